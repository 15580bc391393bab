/*
 * blocks.h: the parts that networks are made of; private to models/. Names of
 * tensors are those of AdelaiDet's state dicts; golden/SEMANTICS.md's section
 * numbers in brackets.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_BLOCKS_H
#define CI_BLOCKS_H

#include "config.h"

G_BEGIN_DECLS

/* A map and its number of channels. */
typedef struct
{
  CiValue value;
  gint channels;
} CiFeature;

/* ---- blocks.c: what all of them use ------------------------------------- */

/* Normalisation `@norm_name` and activation. */
CiValue ci_block_norm (CiGraph * graph, CiValue src, const gchar * norm_name,
    CiNorm norm, CiActivation activation);

/* Convolution `@conv`, normalisation `@norm_name` and activation; padding that
 * keeps the size at stride 1. */
CiValue ci_block_conv (CiGraph * graph, CiValue src, const gchar * conv,
    const gchar * norm_name, CiNorm norm, gint out_channels, gint kernel,
    gint stride, gint groups, gboolean bias, CiActivation activation);

/* The same with a deformable 3x3 convolution (DCNv2, 2.1), whose offsets the
 * convolution `@offset` gives. */
CiValue ci_block_deform_conv (CiGraph * graph, CiValue src,
    const gchar * offset, const gchar * conv, const gchar * norm_name,
    CiNorm norm, gint out_channels, gint stride, gint groups, gboolean bias,
    CiActivation activation);

/* Features for masks at the size of P3 (7, 11): `@name.refine.I` on P3 to P5,
 * upsampled in @mode and summed, then @n_convs convolutions `@name.tower.I`;
 * all with @channels and @norm. */
CiValue ci_block_mask_features (CiGraph * graph, const CiValue * pyramid,
    const gchar * name, gint channels, gint n_convs, CiNorm norm,
    CiResizeMode mode);

/* ---- backbones ---------------------------------------------------------- */

/* Tensors' names begin with @prefix; @c gets the maps of stride 8, 16 and 32,
 * named for dumps as the official ones. */
typedef void (*CiBackboneFunc) (CiGraph * graph, CiValue input,
    const CiConfig * config, const gchar * prefix, CiFeature c[3]);

void ci_backbone_resnet (CiGraph * graph, CiValue input,
    const CiConfig * config, const gchar * prefix, CiFeature c[3]);
void ci_backbone_mobilenet_v2 (CiGraph * graph, CiValue input,
    const CiConfig * config, const gchar * prefix, CiFeature c[3]);
void ci_backbone_dla (CiGraph * graph, CiValue input,
    const CiConfig * config, const gchar * prefix, CiFeature c[3]);
void ci_backbone_vovnet (CiGraph * graph, CiValue input,
    const CiConfig * config, const gchar * prefix, CiFeature c[3]);

/* ---- necks and heads ---------------------------------------------------- */

/* pyramid.c: @pyramid gets P3 and on, config->fcos.n_levels of them. */
void ci_pyramid_build (CiGraph * graph, const CiConfig * config,
    const CiFeature c[3], CiValue * pyramid);

/* fcos.c: the detections. @box_towers gets what methods predict their masks
 * from, one map per level. */
CiValue ci_fcos_build (CiGraph * graph, const CiConfig * config,
    const CiValue * pyramid, gint capacity, CiValue * box_towers);
/* The convolution @name on the box towers at @detections only, of
 * ci_config_n_parameters() channels; @dense: everywhere, too, for dumps. */
CiValue ci_fcos_predict_at (CiGraph * graph, const CiConfig * config,
    const CiValue * box_towers, CiValue detections, const gchar * name,
    gboolean dense);

/* condinst.c, blendmask.c: the masks of @detections. */
void ci_condinst_build (CiGraph * graph, const CiConfig * config,
    const CiValue * pyramid, const CiValue * box_towers, CiValue detections,
    gboolean full_map, gboolean dense_top);
void ci_blendmask_build (CiGraph * graph, const CiConfig * config,
    const CiValue * pyramid, const CiValue * box_towers, CiValue detections,
    gboolean dense_top);

G_END_DECLS

#endif
