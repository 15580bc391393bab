/*
 * random.h: made-up weights for published architectures, so that speed, memory
 * and plumbing can be measured without a download; private to models/.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_RANDOM_H
#define CI_RANDOM_H

#include "config.h"

G_BEGIN_DECLS

/** The configuration of "condinst-r50" and so on; CI_ERROR_INVALID_ARGUMENT
 * and the list of names if there is no such architecture. */
CiConfig *ci_random_config (const gchar * name, GError ** error);

/**
 * Uniform values in [@offset - @scale, @offset + @scale), the same on every
 * machine: FNV-1a of "@name#@seed" keys a splitmix64 sequence whose upper 24
 * bits count.
 */
void ci_random_fill (gfloat * dst, gsize n, const gchar * name, guint seed,
    gdouble offset, gdouble scale);

/** Values for the parameter tensor @name of @config's network, such that
 * activations keep their size through all layers and a few dozen detections
 * survive. */
void ci_random_weights (gfloat * dst, const CiConfig * config,
    const gchar * name, gint n_dims, const gint64 * dims);

G_END_DECLS

#endif /* CI_RANDOM_H */
