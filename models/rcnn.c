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
  gboolean old;

  config->rcnn.torchvision = ci_section_choice (&s, "code_base", 0,
      code_bases);
  config->rcnn.old_names = ci_section_boolean (&s, "old_names", FALSE);
  config->paste = config->rcnn.torchvision ? CI_PASTE_PIXEL_BOX : CI_PASTE_BOX;
  config->fpn.out_channels =
      ci_section_int (&fpn, "out_channels", 256, 1, 65536);
  config->fpn.norm = ci_section_norm (&fpn, "norm", config->fpn.out_channels,
      "fpn.out_channels");
  config->rcnn.rpn_num_convs = ci_section_int (&rpn, "num_convs", 1, 1, 32);
  config->rcnn.pre_nms_top_n =
      ci_section_int (&rpn, "pre_nms_top_n", 1000, 1, CI_RPN_MAX_TOP_N);
  config->rcnn.post_nms_top_n =
      ci_section_int (&rpn, "post_nms_top_n", 1000, 1, 5000);
  config->rcnn.nms_threshold =
      ci_section_float (&rpn, "nms_threshold", 0.7, 0, 1);
  config->rcnn.box_num_convs = ci_section_int (&box, "num_convs", 0, 0, 32);
  if (config->rcnn.box_num_convs > 0) {
    config->rcnn.box_channels =
        ci_section_int (&box, "conv_channels", 256, 1, 65536);
    config->rcnn.box_norm = ci_section_norm (&box, "norm",
        config->rcnn.box_channels, "box_head.conv_channels");
  }
  config->rcnn.fc_channels =
      ci_section_int (&box, "fc_channels", 1024, 1, 65536);
  config->rcnn.num_fcs = ci_section_int (&box, "num_fcs", 2, 1, 32);
  config->rcnn.class_agnostic_boxes =
      ci_section_boolean (&box, "class_agnostic", FALSE);
  /* what torchvision has no names for */
  if (config->rcnn.torchvision && config->rcnn.box_num_convs == 0
      && config->rcnn.num_fcs != 2)
    ci_section_fail (&box, "num_fcs", CI_ERROR_UNSUPPORTED,
        "expected 2 with torchvision's names and no convolutions, found %d",
        config->rcnn.num_fcs);
  old = config->rcnn.torchvision && config->rcnn.old_names;
  if (old && config->fpn.norm != CI_NORM_NONE)
    ci_section_fail (&fpn, "norm", CI_ERROR_UNSUPPORTED,
        "expected \"none\" with torchvision's old names");
  if (old && config->rcnn.rpn_num_convs != 1)
    ci_section_fail (&rpn, "num_convs", CI_ERROR_UNSUPPORTED,
        "expected 1 with torchvision's old names, found %d",
        config->rcnn.rpn_num_convs);
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
  ci_write_int (out, "num_convs", c->rcnn.rpn_num_convs);
  ci_write_int (out, "pre_nms_top_n", c->rcnn.pre_nms_top_n);
  ci_write_int (out, "post_nms_top_n", c->rcnn.post_nms_top_n);
  ci_write_float (out, "nms_threshold", c->rcnn.nms_threshold);
  ci_write_close (out);
  ci_write_open (out, "box_head");
  ci_write_int (out, "num_convs", c->rcnn.box_num_convs);
  if (c->rcnn.box_num_convs > 0) {
    ci_write_int (out, "conv_channels", c->rcnn.box_channels);
    ci_write_string (out, "norm", ci_norm_names[c->rcnn.box_norm]);
  }
  ci_write_int (out, "fc_channels", c->rcnn.fc_channels);
  ci_write_int (out, "num_fcs", c->rcnn.num_fcs);
  ci_write_boolean (out, "class_agnostic", c->rcnn.class_agnostic_boxes);
  ci_write_close (out);
}

/* ---- names -------------------------------------------------------------- */

/* Torchvision's layers are a sequence: convolution, norm, activation. */
gchar *
ci_rcnn_norm_name (const CiConfig * c, const gchar * conv)
{
  if (c->rcnn.torchvision && g_str_has_suffix (conv, ".0"))
    return g_strdup_printf ("%.*s1", (gint) strlen (conv) - 1, conv);
  return g_strconcat (conv, ".norm", NULL);
}

/* Convolution @index of the RPN, from 0 on; free with g_free, as the next
 * two. */
static gchar *
rpn_conv_name (const CiConfig * c, gint index)
{
  if (c->rcnn.torchvision)
    return c->rcnn.old_names ? g_strdup ("rpn.head.conv")
        : g_strdup_printf ("rpn.head.conv.%d.0", index);
  return c->rcnn.rpn_num_convs == 1
      ? g_strdup ("proposal_generator.rpn_head.conv")
      : g_strdup_printf ("proposal_generator.rpn_head.conv.conv%d", index);
}

static gchar *
box_conv_name (const CiConfig * c, gint index)
{
  return c->rcnn.torchvision
      ? g_strdup_printf ("roi_heads.box_head.%d.0", index)
      : g_strdup_printf ("roi_heads.box_head.conv%d", index + 1);
}

static gchar *
fc_name (const CiConfig * c, gint index)
{
  if (!c->rcnn.torchvision)
    return g_strdup_printf ("roi_heads.box_head.fc%d", index + 1);
  /* behind convolutions: a flattening, then by turns layers and ReLUs */
  return c->rcnn.box_num_convs > 0 ? g_strdup_printf ("roi_heads.box_head.%d",
      c->rcnn.box_num_convs + 1 + 2 * index)
      : g_strdup_printf ("roi_heads.box_head.fc%d", index + 6);
}

/* ---- recognition -------------------------------------------------------- */

typedef gchar *(*NameFunc) (const CiConfig * c, gint index);

/* How many layers there are of those that @name names. */
static gint
count_layers (const CiReader * r, NameFunc name)
{
  gint n = 0;
  gboolean found = TRUE;

  while (found && n < CI_MAX_BLOCKS) {
    g_autofree gchar *layer = name (r->config, n);

    found = ci_reader_has (r, "%s.weight", layer);
    n += found;
  }
  return n;
}

static void
recognise_box_head (const CiReader * r)
{
  CiConfig *c = r->config;
  g_autofree gchar *conv = box_conv_name (c, 0);
  g_autofree gchar *norm = ci_rcnn_norm_name (c, conv);
  g_autofree gchar *fc = NULL;

  c->rcnn.box_num_convs = count_layers (r, box_conv_name);
  c->rcnn.box_channels = ci_reader_dim (r, 0, "%s.weight", conv);
  c->rcnn.box_norm = ci_reader_norm (r, norm);
  c->rcnn.num_fcs = count_layers (r, fc_name);
  fc = fc_name (c, 0);
  c->rcnn.fc_channels = ci_reader_dim (r, 0, "%s.weight", fc);
}

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
  c->rcnn.rpn_num_convs = MAX (1, ci_reader_count (r,
          "proposal_generator.rpn_head.conv.conv", ".weight"));
  recognise_box_head (r);
  if (c->rcnn.num_fcs == 0)
    return ci_reader_fail (r, "a box head without fully connected layers is "
        "not known here");
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
      && c->fpn.norm == CI_NORM_NONE
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
  if (!ci_reader_resnet (r, CI_RESNET_TORCHVISION, NULL))
    return FALSE;
  c->input.rgb = TRUE;
  c->input.size_rule = CI_SIZE_KEEP_RATIO_FLOOR;
  c->input.interpolation = CI_RESIZE_FAST;
  memcpy (c->input.pixel_mean, mean, sizeof mean);
  memcpy (c->input.pixel_std, std, sizeof std);
  c->backbone.stride_in_1x1 = FALSE;
  c->rcnn.old_names = ci_reader_has (r, "rpn.head.conv.weight");
  c->fpn.out_channels = ci_reader_dim (r, 0, c->rcnn.old_names ?
      "backbone.fpn.inner_blocks.0.weight"
      : "backbone.fpn.inner_blocks.0.0.weight");
  c->fpn.norm = ci_reader_norm (r, "backbone.fpn.inner_blocks.0.1");
  if (has_no_eps (r))
    c->backbone.norm_eps = 0;
  c->rcnn.rpn_num_convs = MAX (1, ci_reader_count (r, "rpn.head.conv.",
          ".0.weight"));
  recognise_box_head (r);
  if (c->fpn.out_channels == 0 || c->rcnn.num_fcs == 0)
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

CiValue
ci_rcnn_conv (CiGraph * g, const CiConfig * config, CiValue x,
    const gchar * conv, CiNorm norm, gint channels)
{
  g_autofree gchar *norm_name = ci_rcnn_norm_name (config, conv);

  return ci_block_conv (g, x, conv, norm_name, norm, channels, 3, 1, 1,
      norm == CI_NORM_NONE, CI_ACTIVATION_RELU);
}

static void
build_pyramid (CiGraph * g, const CiConfig * config, const CiFeature c[4],
    CiValue * p)
{
  gboolean torchvision = config->rcnn.torchvision;
  const gchar *end = torchvision && !config->rcnn.old_names ? ".0" : "";
  const CiFpn fpn = {
    torchvision ? "backbone.fpn.inner_blocks." : "backbone.fpn_lateral",
    torchvision ? "backbone.fpn.layer_blocks." : "backbone.fpn_output",
    end, end, torchvision ? ".1" : ".norm", torchvision ? 0 : 2, 1,
    config->fpn.norm, CI_RESIZE_NEAREST, TRUE, CI_ACTIVATION_NONE
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
  memcpy (x, p, sizeof x);
  for (gint i = 0; i < config->rcnn.rpn_num_convs; i++) {
    g_autofree gchar *conv = rpn_conv_name (config, i);

    for (gint l = 0; l < N_LEVELS; l++)
      x[l] = ci_graph_conv (g, x[l], conv, config->fpn.out_channels, 3, 1, 1,
          1, TRUE);
    for (gint l = 0; l < N_LEVELS; l++)
      x[l] = ci_graph_activation (g, x[l], CI_ACTIVATION_RELU);
  }
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

  for (gint i = 0; i < config->rcnn.box_num_convs; i++) {
    g_autofree gchar *name = box_conv_name (config, i);

    x = ci_rcnn_conv (g, config, x, name, config->rcnn.box_norm,
        config->rcnn.box_channels);
  }
  for (gint i = 0; i < config->rcnn.num_fcs; i++) {
    g_autofree gchar *name = fc_name (config, i);

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
