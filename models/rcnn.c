/*
 * rcnn.c: Faster R-CNN (Ren et al., NeurIPS 2015) with a feature pyramid (Lin
 * et al., CVPR 2017), as detectron2 and torchvision have it: backbone, levels
 * P2 to P6, RPN and box head (golden/zoo/SEMANTICS-maskrcnn.md).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "method.h"

#include <string.h>

#define N_LEVELS 5              /* P2 to P6 */
#define N_RATIOS 3              /* anchors of a cell */
#define BOX_RESOLUTION 7

static const gchar *const code_bases[] = { "detectron2", "torchvision", NULL };

/* ---- description -------------------------------------------------------- */

void
ci_rcnn_read (const CiSection * root, CiConfig * config)
{
  CiSection s = ci_section_open (root, "rcnn", "rcnn.");
  CiSection fpn = ci_section_open (root, "fpn", "fpn.");
  CiSection rpn = ci_section_open (root, "rpn", "rpn.");
  CiSection box = ci_section_open (root, "box_head", "box_head.");

  config->rcnn.torchvision = ci_section_choice (&s, "code_base", 0,
      code_bases);
  config->rcnn.old_names = ci_section_boolean (&s, "old_names", FALSE);
  config->paste = config->rcnn.torchvision ? CI_PASTE_PIXEL_BOX : CI_PASTE_BOX;
  config->fpn.out_channels =
      ci_section_int (&fpn, "out_channels", 256, 1, 65536);
  config->fpn.norm = ci_section_norm (&fpn, "norm", config->fpn.out_channels,
      "fpn.out_channels");
  config->rcnn.pre_nms_top_n =
      ci_section_int (&rpn, "pre_nms_top_n", 1000, 1, CI_RPN_MAX_TOP_N);
  config->rcnn.post_nms_top_n =
      ci_section_int (&rpn, "post_nms_top_n", 1000, 1, 5000);
  config->rcnn.nms_threshold =
      ci_section_float (&rpn, "nms_threshold", 0.7, 0, 1);
  config->rcnn.fc_channels =
      ci_section_int (&box, "fc_channels", 1024, 1, 65536);
  config->rcnn.num_fcs = ci_section_int (&box, "num_fcs", 2, 1, 32);
  config->rcnn.class_agnostic_boxes =
      ci_section_boolean (&box, "class_agnostic", FALSE);
  if (config->rcnn.torchvision && config->rcnn.num_fcs != 2)
    ci_section_fail (&box, "num_fcs", CI_ERROR_UNSUPPORTED,
        "expected 2 with torchvision's names, found %d",
        config->rcnn.num_fcs);
  if (config->rcnn.torchvision && config->fpn.norm != CI_NORM_NONE)
    ci_section_fail (&fpn, "norm", CI_ERROR_UNSUPPORTED,
        "expected \"none\" with torchvision's names");
}

void
ci_rcnn_write (GString * out, const CiConfig * c)
{
  ci_write_open (out, "rcnn");
  ci_write_string (out, "code_base", code_bases[c->rcnn.torchvision]);
  ci_write_boolean (out, "old_names", c->rcnn.old_names);
  ci_write_close (out);
  ci_write_open (out, "fpn");
  ci_write_int (out, "out_channels", c->fpn.out_channels);
  ci_write_string (out, "norm", ci_norm_names[c->fpn.norm]);
  ci_write_close (out);
  ci_write_open (out, "rpn");
  ci_write_int (out, "pre_nms_top_n", c->rcnn.pre_nms_top_n);
  ci_write_int (out, "post_nms_top_n", c->rcnn.post_nms_top_n);
  ci_write_float (out, "nms_threshold", c->rcnn.nms_threshold);
  ci_write_close (out);
  ci_write_open (out, "box_head");
  ci_write_int (out, "fc_channels", c->rcnn.fc_channels);
  ci_write_int (out, "num_fcs", c->rcnn.num_fcs);
  ci_write_boolean (out, "class_agnostic", c->rcnn.class_agnostic_boxes);
  ci_write_close (out);
}

/* ---- recognition -------------------------------------------------------- */

/* What the published models have where no tensor tells. */
static gboolean
recognise_detectron2 (const CiReader * r)
{
  /* of torchvision's weights, in the order B, G, R */
  static const gfloat resnext_std[3] = { 57.375f, 57.12f, 58.395f };
  CiConfig *c = r->config;

  if (!ci_reader_backbone (r))
    return FALSE;
  if (!ci_reader_has (r, "backbone.fpn_lateral2.weight"))
    return ci_reader_fail (r, "only R-CNNs with a feature pyramid from P2 on "
        "are known here: there is no backbone.fpn_lateral2.weight");
  if (c->backbone.num_groups > 1) {
    c->backbone.stride_in_1x1 = FALSE;
    memcpy (c->input.pixel_std, resnext_std, sizeof resnext_std);
  }
  ci_reader_pixels (r);
  c->fpn.out_channels = ci_reader_dim (r, 0, "backbone.fpn_lateral2.weight");
  c->fpn.norm = ci_reader_norm (r, "backbone.fpn_lateral2.norm");
  c->rcnn.fc_channels = ci_reader_dim (r, 0, "roi_heads.box_head.fc1.weight");
  while (c->rcnn.num_fcs < CI_MAX_BLOCKS
      && ci_reader_has (r, "roi_heads.box_head.fc%d.weight",
          c->rcnn.num_fcs + 1))
    c->rcnn.num_fcs++;
  if (ci_reader_has (r, "roi_heads.box_head.conv1.weight")
      || c->rcnn.num_fcs == 0)
    return ci_reader_fail (r, "a box head with convolutions, or without fully "
        "connected layers, is not known here");
  return TRUE;
}

/* Torchvision sets the eps of frozen norms to 0 when it loads its published
 * weights of the first version, of which there are ResNet-50's only. What is
 * trained further from them keeps it, under the new names. */
static gboolean
has_no_eps (const CiReader * r)
{
  const CiConfig *c = r->config;

  /* neither grouped nor wide */
  return c->backbone.depth == 50
      && c->backbone.res2_out_channels == 4 * c->backbone.width_per_group
      && !ci_reader_has (r, "backbone.body.bn1.num_batches_tracked");
}

static gboolean
recognise_torchvision (const CiReader * r)
{
  /* in the order R, G, B */
  static const gfloat mean[3] = { 123.675f, 116.28f, 103.53f };
  static const gfloat std[3] = { 58.395f, 57.12f, 57.375f };
  CiConfig *c = r->config;

  c->rcnn.torchvision = TRUE;
  if (ci_reader_has (r, "roi_heads.box_head.0.0.weight")
      || ci_reader_has (r, "rpn.head.conv.1.0.weight"))
    return ci_reader_fail (r, "torchvision's second version of this network "
        "(convolutions in its box head, two in its RPN) is not known here");
  if (!ci_reader_resnet (r, CI_RESNET_TORCHVISION, NULL))
    return FALSE;
  c->input.rgb = TRUE;
  c->input.size_rule = CI_SIZE_KEEP_RATIO_FLOOR;
  c->input.interpolation = CI_RESIZE_FAST;
  memcpy (c->input.pixel_mean, mean, sizeof mean);
  memcpy (c->input.pixel_std, std, sizeof std);
  c->backbone.stride_in_1x1 = FALSE;
  c->rcnn.old_names = ci_reader_has (r, "rpn.head.conv.weight");
  if (has_no_eps (r))
    c->backbone.norm_eps = 0;
  c->fpn.out_channels = ci_reader_dim (r, 0, c->rcnn.old_names ?
      "backbone.fpn.inner_blocks.0.weight"
      : "backbone.fpn.inner_blocks.0.0.weight");
  c->rcnn.fc_channels = ci_reader_dim (r, 0, "roi_heads.box_head.fc6.weight");
  c->rcnn.num_fcs = 2;
  if (c->fpn.out_channels == 0 || c->rcnn.fc_channels == 0)
    return ci_reader_fail (r, "it has no feature pyramid with a box head of "
        "fully connected layers (backbone.fpn.inner_blocks, "
        "roi_heads.box_head.fc6)");
  return TRUE;
}

gboolean
ci_rcnn_recognise (const CiReader * r)
{
  CiConfig *c = r->config;
  gint n_logits = ci_reader_dim (r, 0,
      "roi_heads.box_predictor.cls_score.weight");
  gint n_deltas = ci_reader_dim (r, 0,
      "roi_heads.box_predictor.bbox_pred.weight");

  c->rcnn.pre_nms_top_n = c->rcnn.post_nms_top_n = 1000;
  c->rcnn.nms_threshold = 0.7;
  c->inference.inference_threshold = 0.05f;
  c->inference.nms_threshold = 0.5;
  if (!(ci_reader_has (r, "rpn.head.cls_logits.weight") ?
          recognise_torchvision (r) : recognise_detectron2 (r)))
    return FALSE;
  if (n_logits < 2 || n_deltas < 4)
    return ci_reader_fail (r, "it has no box head that is known here: no "
        "roi_heads.box_predictor.cls_score and bbox_pred");
  c->n_classes = n_logits - 1;
  c->rcnn.class_agnostic_boxes = c->n_classes > 1 && n_deltas == 4;
  return TRUE;
}

/* ---- graph -------------------------------------------------------------- */

static void
build_pyramid (CiGraph * g, const CiConfig * config, const CiFeature c[4],
    CiValue * p)
{
  gboolean torchvision = config->rcnn.torchvision;
  const gchar *end = torchvision && !config->rcnn.old_names ? ".0" : "";
  const CiFpn fpn = {
    torchvision ? "backbone.fpn.inner_blocks." : "backbone.fpn_lateral",
    torchvision ? "backbone.fpn.layer_blocks." : "backbone.fpn_output",
    end, end, torchvision ? 0 : 2, 1, config->fpn.norm, CI_RESIZE_NEAREST,
    TRUE, CI_ACTIVATION_NONE
  };

  ci_block_fpn (g, &fpn, c, 4, config->fpn.out_channels, p);
  p[4] = ci_graph_max_pool (g, p[3], 1, 2, 0, FALSE);
  for (gint l = 0; l < N_LEVELS; l++) {
    g_autofree gchar *name = g_strdup_printf ("feat.p%d", l + 2);

    ci_graph_name (g, p[l], name);
  }
}

static CiValue
build_rpn (CiGraph * g, const CiConfig * config, const CiValue * p)
{
  gboolean torchvision = config->rcnn.torchvision;
  const gchar *conv = !torchvision ? "proposal_generator.rpn_head.conv"
      : config->rcnn.old_names ? "rpn.head.conv" : "rpn.head.conv.0.0";
  const gchar *objectness = torchvision ? "rpn.head.cls_logits"
      : "proposal_generator.rpn_head.objectness_logits";
  const gchar *deltas = torchvision ? "rpn.head.bbox_pred"
      : "proposal_generator.rpn_head.anchor_deltas";
  const CiRpnParams params = { N_RATIOS, {0.5f, 1, 2}, torchvision,
    config->rcnn.pre_nms_top_n, config->rcnn.post_nms_top_n,
    config->rcnn.nms_threshold, torchvision ? 1e-3f : 0, torchvision
  };
  CiRpnLevel levels[N_LEVELS];
  CiValue x[N_LEVELS];

  /* layer by layer: backends compute convolutions in a row together */
  for (gint l = 0; l < N_LEVELS; l++)
    x[l] = ci_graph_conv (g, p[l], conv, config->fpn.out_channels, 3, 1, 1, 1,
        TRUE);
  for (gint l = 0; l < N_LEVELS; l++)
    x[l] = ci_graph_activation (g, x[l], CI_ACTIVATION_RELU);
  for (gint l = 0; l < N_LEVELS; l++)
    levels[l].objectness = ci_graph_conv (g, x[l], objectness, N_RATIOS, 1, 1,
        0, 1, TRUE);
  for (gint l = 0; l < N_LEVELS; l++)
    levels[l].deltas = ci_graph_conv (g, x[l], deltas, 4 * N_RATIOS, 1, 1, 0,
        1, TRUE);
  for (gint l = 0; l < N_LEVELS; l++) {
    g_autofree gchar *logits_name = g_strdup_printf ("rpn.objectness.%d", l);
    g_autofree gchar *deltas_name = g_strdup_printf ("rpn.deltas.%d", l);

    ci_graph_name (g, levels[l].objectness, logits_name);
    ci_graph_name (g, levels[l].deltas, deltas_name);
    levels[l].stride = 4 << l;
    levels[l].anchor_size = 32 << l;
  }
  return ci_graph_rpn (g, levels, N_LEVELS, &params);
}

CiValue
ci_rcnn_roi_align (CiGraph * g, const CiConfig * config,
    const CiValue pyramid[4], CiValue boxes, gint resolution)
{
  gboolean torchvision = config->rcnn.torchvision;
  const CiRoiAlignParams params = {.strides = {4, 8, 16, 32},
    .resolution = resolution,.sampling_ratio = torchvision ? 2 : 0,
    .aligned = !torchvision,.canonical_size = 224,.canonical_level = 4,
    .first_level = 2,.log_epsilon = torchvision ? 0 : 1e-8f,
    .level_epsilon = torchvision ? 1e-6f : 0
  };

  return ci_graph_roi_align (g, pyramid, 4, boxes, &params);
}

static CiValue
build_box_head (CiGraph * g, const CiConfig * config, const CiValue * p,
    CiValue proposals, gint capacity)
{
  gboolean torchvision = config->rcnn.torchvision;
  const CiBoxDetectParams params = { torchvision, {10, 10, 5, 5},
    torchvision ? 1e-2f : 0, torchvision, capacity
  };
  gint n = config->n_classes, n_boxes = config->rcnn.class_agnostic_boxes ? 1
      : torchvision ? n + 1 : n;
  CiValue x = ci_rcnn_roi_align (g, config, p, proposals, BOX_RESOLUTION);
  CiValue logits, deltas;

  for (gint i = 0; i < config->rcnn.num_fcs; i++) {
    g_autofree gchar *name = g_strdup_printf ("roi_heads.box_head.fc%d",
        i + (torchvision ? 6 : 1));

    x = ci_graph_linear (g, x, name, config->rcnn.fc_channels,
        i == 0 ? BOX_RESOLUTION : 1, TRUE);
    x = ci_graph_activation (g, x, CI_ACTIVATION_RELU);
  }
  ci_graph_name (g, x, "box.features");
  logits = ci_graph_linear (g, x, "roi_heads.box_predictor.cls_score", n + 1,
      1, TRUE);
  deltas = ci_graph_linear (g, x, "roi_heads.box_predictor.bbox_pred",
      4 * n_boxes, 1, TRUE);
  ci_graph_name (g, logits, "box.cls_logits");
  ci_graph_name (g, deltas, "box.deltas");
  return ci_graph_box_detect (g, proposals, logits, deltas, &params);
}

CiValue
ci_rcnn_build (CiGraph * g, CiValue input, const CiConfig * config,
    gint capacity, CiValue pyramid[4])
{
  CiValue p[N_LEVELS];
  CiFeature c[4];

  ci_backbone_build (g, input, config, NULL, c);
  build_pyramid (g, config, c, p);
  memcpy (pyramid, p, 4 * sizeof (CiValue));
  return build_box_head (g, config, p, build_rpn (g, config, p), capacity);
}
