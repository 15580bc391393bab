/*
 * blocks.h: parts of networks that methods share; private to models/.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_BLOCKS_H
#define CI_BLOCKS_H

#include "config.h"

G_BEGIN_DECLS

/* Convolution `@conv`, normalisation `@norm_name` and activation; padding that
 * keeps the size at stride 1. */
CiValue ci_block_conv (CiGraph * graph, CiValue src, const gchar * conv,
    const gchar * norm_name, CiNorm norm, gint out_channels, gint kernel,
    gint stride, gint groups, gboolean bias, CiActivation activation);

/* The backbone under `backbone.bottom_up.`; @c gets the maps of stride 8, 16
 * and 32 (named feat.res3 to feat.res5). */
void ci_block_backbone (CiGraph * graph, CiValue input,
    const CiConfig * config, CiValue c[3]);

G_END_DECLS

#endif
