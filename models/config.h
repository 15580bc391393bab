/*
 * config.h: the hyper-parameters of a model, as its file's JSON describes
 * them (docs/model-format.md). Names are those of the official configs.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_CONFIG_H
#define CI_CONFIG_H

#include "models.h"

G_BEGIN_DECLS

#define CI_MAX_LEVELS 8
#define CI_NORM_GROUPS 32       /* of every group norm */
#define CI_SOLO_LEVELS 5        /* P2 to P6 */
#define CI_YOLACT_LEVELS 5      /* P3 to P7 */
#define CI_MASKIOU_CONVS 5      /* 3x3 ones of YOLACT++'s mask re-scoring */

/* One per method (method.h); files have the names, not the numbers. */
typedef enum
{
  CI_ARCHITECTURE_CONDINST,     /* BoxInst is one with 16 mask features */
  CI_ARCHITECTURE_BLENDMASK,
  CI_ARCHITECTURE_FCOS,         /* boxes only */
  CI_ARCHITECTURE_SOLOV2,
  CI_ARCHITECTURE_DECOUPLED_SOLO,
  CI_ARCHITECTURE_SOLO,
  CI_ARCHITECTURE_YOLACT,       /* and YOLACT++ */
  CI_ARCHITECTURE_POINTREND,
  CI_ARCHITECTURE_MASKRCNN,
  CI_N_ARCHITECTURES
} CiArchitecture;

typedef enum
{
  CI_BACKBONE_RESNET,           /* and ResNeXt, by num_groups */
  CI_BACKBONE_MOBILENET_V2,
  CI_BACKBONE_DLA,
  CI_BACKBONE_VOVNET,           /* with eSE */
  CI_BACKBONE_DARKNET,
} CiBackboneType;

/* Whose names a ResNet's tensors have (ci_resnet_names). */
enum
{
  CI_RESNET_DETECTRON2,         /* backbone.bottom_up.res2.0.conv1.norm */
  CI_RESNET_TORCHVISION,        /* backbone.body.layer1.0.bn1 */
  CI_RESNET_MMDETECTION,        /* backbone.layer1.0.bn1 */
  CI_RESNET_YOLACT,             /* backbone.layers.0.0.bn1 */
  CI_N_RESNET_NAMES
};

typedef enum
{
  CI_NECK_FPN,
  CI_NECK_BIFPN,
} CiNeck;

typedef enum
{
  CI_NORM_NONE,                 /* folded into weights and bias */
  CI_NORM_BN,                   /* batch norm, frozen or synchronised */
  CI_NORM_GN,                   /* group norm */
} CiNorm;

/* How the official code brings masks to the frame. */
typedef enum
{
  CI_PASTE_ALIGNED,             /* ci_mask_paste() */
  CI_PASTE_BILINEAR,            /* ci_mask_paste_bilinear() */
  CI_PASTE_BOX,                 /* ci_mask_paste_box() */
  CI_PASTE_PIXEL_BOX,           /* ci_mask_paste_pixel_box() */
} CiPaste;

typedef struct
{
  gchar *name;                  /* "condinst-light" */
  CiArchitecture architecture;

  struct
  {
    gboolean rgb;               /* channel_order: RGB, else BGR */
    gfloat pixel_mean[3], pixel_std[3];
    CiSizeRule size_rule;       /* resize */
    CiResizeQuality interpolation;      /* of CI_RESIZE_EXACT sessions */
    gint min_size, max_size, size_divisor;
  } input;

  struct
  {
    CiBackboneType type;
    CiNorm norm;
    gfloat norm_eps;            /* of batch norm; 1e-5 but for few */
    gint names;                 /* resnet: CI_RESNET_DETECTRON2, ... */
    gint depth;                 /* resnet: 18, 34, 50, 101, 152; dla: 34;
                                   vovnet: 19, 39, 57, 99; darknet: 53 */
    gint stem_out_channels;     /* resnet, darknet */
    gint res2_out_channels;
    gint num_groups, width_per_group;
    gboolean stride_in_1x1;
    gboolean deform_on_per_stage[4];    /* resnet: DCNv2 in res2 to res5, */
    gint deform_interval;       /* in blocks 0, n, 2n, .. of the stage */
    gfloat width_mult;          /* mobilenet_v2 */
  } backbone;

  struct
  {
    CiNeck type;
    gint out_channels;
    gboolean output_convs;      /* fpn */
    gint top_levels;            /* 0: P3-P5, 1: P6, 2: P6 and P7; bifpn: 0 or
                                   2 */
    gint num_repeats;           /* bifpn */
    CiNorm norm;
  } fpn;

  struct
  {
    gint n_levels;              /* 3 + top_levels */
    gint strides[CI_MAX_LEVELS];
    gint num_share_convs, num_cls_convs, num_box_convs;
    CiNorm norm;                /* bn: one per level */
    gboolean use_deformable;    /* last convolution of cls and box tower */
    gint prediction_kernel;     /* 1 or 3 */
    gboolean use_scale;
    gfloat sizes_of_interest[CI_MAX_LEVELS];    /* one per level */
    gboolean thresh_with_ctr;
  } fcos;

  struct
  {
    gint branch_channels, branch_num_convs, branch_out_channels;
    CiNorm branch_norm;
    gint head_channels, head_num_layers;
    gboolean rel_coords;
    gint mask_out_stride;
  } condinst;

  struct
  {
    gint num_bases, attention_size, resolution;
    gint basis_channels, basis_num_convs;
    CiNorm basis_norm;
  } blendmask;

  struct                        /* all three */
  {
    gint grids[CI_SOLO_LEVELS]; /* cells of a side */
    gint channels, num_convs;   /* of the towers */
    gint deform;                /* convolutions of them: none, the last, all */
    gboolean separate_towers;   /* decoupled: one for columns, one for rows */
    gint prediction_kernel;     /* decoupled: 1 or 3 */
    gint feature_channels, kernel_channels;     /* solov2: of the features
                                                   before, and in, masks */
    gfloat mask_threshold, update_threshold, sigma;
    gboolean linear;            /* matrix NMS */
  } solo;

  struct
  {
    gint proto_channels, num_prototypes, head_channels;
    gfloat scales[CI_YOLACT_LEVELS];    /* of priors, pixels of an input of
                                           input.max_size */
    gint scales_per_octave;     /* of each level */
    gfloat aspect_ratios[8];    /* width / height */
    gint n_aspect_ratios;
    gboolean square_anchors;    /* as high as wide, whatever the ratio */
    gboolean rescore;           /* scores by mask re-scoring (YOLACT++) */
    gint maskiou_channels[CI_MASKIOU_CONVS];
  } yolact;
  struct                        /* maskrcnn, pointrend */
  {
    gboolean torchvision;       /* whose names and arithmetic; else
                                   detectron2's */
    gboolean old_names;         /* those of first releases */
    gint rpn_num_convs;
    gint pre_nms_top_n, post_nms_top_n; /* of the RPN; the first per level */
    gdouble nms_threshold;
    gint box_num_convs;         /* of the box head; with these: */
    gint box_channels;
    CiNorm box_norm;
    gint fc_channels, num_fcs;  /* behind them */
    gboolean class_agnostic_boxes;
    gint mask_channels, mask_num_convs;
    CiNorm mask_norm;
    gboolean class_agnostic_masks;
  } rcnn;

  struct
  {
    gint reduced_channels;      /* of the coarse head's first convolution; 0:
                                   there is none */
    gint coarse_channels, coarse_fc_channels, coarse_num_fcs;
    gint channels, num_layers;  /* of the point head */
    gint num_steps;             /* masks are of 28 << num_steps cells a side */
  } pointrend;

  struct
  {
    gfloat inference_threshold; /* on cls * ctr, or cls (thresh_with_ctr) */
    gdouble nms_threshold;
    gdouble cross_class_threshold;      /* 0: classes do not suppress others */
    gint pre_nms_top_k, post_nms_top_k;
    gfloat score_threshold;     /* for display, on sqrt (cls * ctr) */
  } inference;

  CiPaste paste;                /* follows from the method */

  gchar **classes;
  guint n_classes;
} CiConfig;

/** Parses and checks @json (at most 1 MiB, depth 16); errors name @source, the
 * key, what was expected and what was found. */
CiConfig *ci_config_parse (const gchar * json, const gchar * source,
    GError ** error);
void ci_config_free (CiConfig * config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CiConfig, ci_config_free)
/** The same as JSON; free with g_free. parse (to_json (c)) gives c. */
gchar *ci_config_to_json (const CiConfig * config);

/** As in JSON: "condinst". */
const gchar *ci_architecture_name (CiArchitecture architecture);

/** How many numbers are predicted for each detection's mask: the dynamic head's
 * weights, then biases; BlendMask's attention, basis by basis. */
gint ci_config_n_parameters (const CiConfig * config);

/* model.c, for session.c */
const CiConfig *ci_model_get_config (const CiModel * model);
const CiWeights *ci_model_get_weights (const CiModel * model);

G_END_DECLS

#endif
