/*
 * blocks.h: the parts that networks are made of; private to models/. Names of
 * tensors are those of the official state dicts; golden/SEMANTICS.md's section
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

/* Of batch norms, but for few. */
#define CI_NORM_EPS 1e-5f

/* Normalisation `@norm_name` and activation; @eps: of a batch norm. */
CiValue ci_block_norm (CiGraph * graph, CiValue src, const gchar * norm_name,
    CiNorm norm, gfloat eps, CiActivation activation);

/* Convolution `@conv`, normalisation `@norm_name` and activation; padding that
 * keeps the size at stride 1. */
CiValue ci_block_conv (CiGraph * graph, CiValue src, const gchar * conv,
    const gchar * norm_name, CiNorm norm, gint out_channels, gint kernel,
    gint stride, gint groups, gboolean bias, CiActivation activation);

/* A deformable 3x3 convolution (DCNv2, 2.1), whose offsets the convolution
 * `@offset` gives. */
CiValue ci_block_deform (CiGraph * graph, CiValue src, const gchar * offset,
    const gchar * conv, gint out_channels, gint stride, gint groups,
    gboolean bias);

/* How a feature pyramid network's (FPN; Lin et al., CVPR 2017) tensors are
 * called, and what differs. The finest level's convolutions have the number
 * @first in their names, the next ones that plus @step, and so on. */
typedef struct
{
  const gchar *lateral, *output;        /* what comes before the number */
  const gchar *lateral_end, *output_end;        /* and behind it */
  const gchar *norm_end;        /* the same of both's norms */
  gint first, step;
  CiNorm norm;                  /* none: bias */
  CiResizeMode resize;          /* of the coarser level's sum to the size of the
                                   finer one */
  gboolean outputs;             /* a 3x3 convolution behind each sum */
  CiActivation activation;      /* behind that */
} CiFpn;

/* @p gets the @n maps that go with @c, finest first, of @channels. */
void ci_block_fpn (CiGraph * graph, const CiFpn * fpn, const CiFeature * c,
    gint n, gint channels, CiValue * p);

/* Features for masks at the size of P3 (7, 11): `@name.refine.I` on P3 to P5,
 * upsampled in @mode and summed, then @n_convs convolutions `@name.tower.I`;
 * all with @channels and @norm. */
CiValue ci_block_mask_features (CiGraph * graph, const CiValue * pyramid,
    const gchar * name, gint channels, gint n_convs, CiNorm norm,
    CiResizeMode mode);

/* ---- backbones ---------------------------------------------------------- */

/* Tensors' names begin with @prefix; @c gets the maps of stride 4, 8, 16 and
 * 32, named for dumps as the official ones. */
typedef void (*CiBackboneFunc) (CiGraph * graph, CiValue input,
    const CiConfig * config, const gchar * prefix, CiFeature c[4]);

/* That of @config; @prefix NULL: as its names are. */
void ci_backbone_build (CiGraph * graph, CiValue input,
    const CiConfig * config, const gchar * prefix, CiFeature c[4]);

/* What a code base calls the tensors of a ResNet. */
typedef struct
{
  const gchar *name;            /* in descriptions */
  const gchar *prefix;          /* of all */
  const gchar *stem;            /* of `conv1` */
  const gchar *stage;           /* before the stage's number, */
  gint first_stage;             /* which begins at that */
  const gchar *norm;            /* behind a convolution's name; NULL: "bn1" goes
                                   with "conv1" */
  const gchar *shortcut, *shortcut_norm;
  const gchar *offset;          /* of a deformable convolution, behind its
                                   name; NULL: there are none */
  gboolean deform_bias;         /* these have a bias beside their norm */
} CiResnetNames;
extern const CiResnetNames ci_resnet_names[CI_N_RESNET_NAMES];
/* The norm behind the convolution @conv ("conv1", "shortcut") of a block; free
 * with g_free. */
gchar *ci_resnet_norm_name (const CiResnetNames * names, const gchar * conv);

void ci_backbone_resnet (CiGraph * graph, CiValue input,
    const CiConfig * config, const gchar * prefix, CiFeature c[4]);
void ci_backbone_mobilenet_v2 (CiGraph * graph, CiValue input,
    const CiConfig * config, const gchar * prefix, CiFeature c[4]);
void ci_backbone_dla (CiGraph * graph, CiValue input,
    const CiConfig * config, const gchar * prefix, CiFeature c[4]);
void ci_backbone_vovnet (CiGraph * graph, CiValue input,
    const CiConfig * config, const gchar * prefix, CiFeature c[4]);

#define CI_DARKNET_STAGES 5
extern const gint ci_darknet_blocks[CI_DARKNET_STAGES];
void ci_backbone_darknet (CiGraph * graph, CiValue input,
    const CiConfig * config, const gchar * prefix, CiFeature c[4]);

/* ---- necks and heads ---------------------------------------------------- */

/* pyramid.c: @pyramid gets P3 and on, config->fcos.n_levels of them. */
void ci_pyramid_build (CiGraph * graph, const CiConfig * config,
    const CiFeature c[4], CiValue * pyramid);

/* fcos.c: all up to the detections. @pyramid gets the levels of the neck,
 * @box_towers what methods predict their masks from, one map per level. */
CiValue ci_fcos_build (CiGraph * graph, CiValue input,
    const CiConfig * config, gint capacity, CiValue * pyramid,
    CiValue * box_towers);
/* The convolution @name on the box towers at @detections only, of
 * ci_config_n_parameters() channels; @dense: everywhere, too, for dumps. */
CiValue ci_fcos_predict_at (CiGraph * graph, const CiConfig * config,
    const CiValue * box_towers, CiValue detections, const gchar * name,
    gboolean dense);

G_END_DECLS

#endif
