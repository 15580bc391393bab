/*
 * yolact.c: YOLACT (Bolya et al., ICCV 2019) and YOLACT++ (TPAMI 2020):
 * prototypes for the whole image, coefficients per detection
 * (golden/zoo/SEMANTICS-yolact.md).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "method.h"

#include <math.h>
#include <string.h>

#define HEAD "prediction_layers.0."
#define MASKIOU "maskiou_net.maskiou_net."
#define PROTO_CONVS 3           /* before the upsampling */

/* ---- description -------------------------------------------------------- */

static void
read_priors (const CiSection * s, CiConfig * config)
{
  gint n;

  for (gint l = 0; l < CI_YOLACT_LEVELS; l++)
    config->yolact.scales[l] = 24 << l;
  ci_section_floats (s, "scales", config->yolact.scales, CI_YOLACT_LEVELS,
      CI_YOLACT_LEVELS, 1, 65536);
  config->yolact.scales_per_octave =
      ci_section_int (s, "scales_per_octave", 1, 1, CI_MAX_PRIORS);
  memcpy (config->yolact.aspect_ratios, (gfloat[3]) {
      1, 0.5f, 2}
      , 3 * sizeof (gfloat));
  n = ci_section_floats (s, "aspect_ratios", config->yolact.aspect_ratios, 1,
      G_N_ELEMENTS (config->yolact.aspect_ratios), 0.01, 100);
  config->yolact.n_aspect_ratios = n ? n : 3;
  config->yolact.square_anchors =
      ci_section_boolean (s, "square_anchors", TRUE);
  if (config->yolact.n_aspect_ratios * config->yolact.scales_per_octave
      > CI_MAX_PRIORS)
    ci_section_fail (s, "scales_per_octave", CI_ERROR_UNSUPPORTED,
        "expected at most %d priors a cell, found %d x %d", CI_MAX_PRIORS,
        config->yolact.scales_per_octave, config->yolact.n_aspect_ratios);
}

static void
read_description (const CiSection * root, CiConfig * config)
{
  CiSection s = ci_section_open (root, "yolact", "yolact.");
  CiSection fpn = ci_section_open (root, "fpn", "fpn.");
  gfloat widths[CI_MASKIOU_CONVS];

  if (config->backbone.type != CI_BACKBONE_DARKNET
      && (config->backbone.type != CI_BACKBONE_RESNET
          || config->backbone.depth < 50))
    ci_section_fail (root, "backbone", CI_ERROR_UNSUPPORTED,
        "expected a resnet from depth 50 on or a darknet, found %s",
        ci_backbone_names[config->backbone.type]);
  config->paste = CI_PASTE_BILINEAR;
  config->fpn.out_channels =
      ci_section_int (&fpn, "out_channels", 256, 1, 65536);
  config->yolact.proto_channels =
      ci_section_int (&s, "proto_channels", 256, 1, 65536);
  config->yolact.num_prototypes =
      ci_section_int (&s, "num_prototypes", 32, 1, 1024);
  config->yolact.head_channels =
      ci_section_int (&s, "head_channels", 256, 1, 65536);
  read_priors (&s, config);
  config->yolact.rescore = ci_section_floats (&s, "maskiou_channels", widths,
      CI_MASKIOU_CONVS, CI_MASKIOU_CONVS, 1, 65536) > 0;
  for (gint i = 0; i < CI_MASKIOU_CONVS; i++)
    config->yolact.maskiou_channels[i] = config->yolact.rescore ? widths[i]
        : 0;
}

static void
write_description (GString * out, const CiConfig * c)
{
  gfloat widths[CI_MASKIOU_CONVS];

  ci_write_open (out, "fpn");
  ci_write_int (out, "out_channels", c->fpn.out_channels);
  ci_write_close (out);
  ci_write_open (out, "yolact");
  ci_write_int (out, "proto_channels", c->yolact.proto_channels);
  ci_write_int (out, "num_prototypes", c->yolact.num_prototypes);
  ci_write_int (out, "head_channels", c->yolact.head_channels);
  ci_write_floats (out, "scales", c->yolact.scales, CI_YOLACT_LEVELS);
  ci_write_int (out, "scales_per_octave", c->yolact.scales_per_octave);
  ci_write_floats (out, "aspect_ratios", c->yolact.aspect_ratios,
      c->yolact.n_aspect_ratios);
  ci_write_boolean (out, "square_anchors", c->yolact.square_anchors);
  for (gint i = 0; i < CI_MASKIOU_CONVS; i++)
    widths[i] = c->yolact.maskiou_channels[i];
  if (c->yolact.rescore)
    ci_write_floats (out, "maskiou_channels", widths, CI_MASKIOU_CONVS);
  ci_write_close (out);
}

/* ---- recognition -------------------------------------------------------- */

static gboolean
read_backbone (const CiReader * r)
{
  CiConfig *c = r->config;

  if (!ci_reader_has (r, "backbone._preconv.0.weight")) {
    c->backbone.stride_in_1x1 = FALSE;
    return ci_reader_resnet (r, CI_RESNET_YOLACT, NULL);
  }
  c->backbone.type = CI_BACKBONE_DARKNET;
  c->backbone.depth = 53;
  c->backbone.norm = ci_reader_norm (r, "backbone._preconv.1");
  c->backbone.stem_out_channels = ci_reader_dim (r, 0,
      "backbone._preconv.0.weight");
  for (gint s = 0; s < CI_DARKNET_STAGES; s++) {
    g_autofree gchar *stage = g_strdup_printf ("backbone.layers.%d.", s);
    gint n = ci_reader_count (r, stage, ".0.weight");

    /* blocks are conv1 and conv2, the first entry is a convolution */
    while (n > 0 && n < CI_MAX_BLOCKS
        && ci_reader_has (r, "%s%d.conv1.0.weight", stage, n))
      n++;
    if (n != ci_darknet_blocks[s] + 1)
      return ci_reader_fail (r, "its DarkNet is not DarkNet-53: stage %d has "
          "%d blocks", s, n - 1);
  }
  return TRUE;
}

/* What the name of the configuration tells beside tensors; files are called
 * "yolact_im700_54_800000.pth". */
static void
read_name (const CiReader * r)
{
  g_autofree gchar *base = g_path_get_basename (r->source);
  CiConfig *c = r->config;
  gint size = 550;

  if (strstr (base, "im700"))
    size = 700;
  else if (strstr (base, "im400"))
    size = 400;
  c->input.min_size = c->input.max_size = size;
  for (gint l = 0; l < CI_YOLACT_LEVELS; l++)
    c->yolact.scales[l] = (24 << l) * size / 550;
}

static void
read_priors_of (const CiReader * r, gint n_priors)
{
  CiConfig *c = r->config;

  c->yolact.aspect_ratios[0] = 1;
  c->yolact.aspect_ratios[1] = 0.5f;
  c->yolact.aspect_ratios[2] = 2;
  c->yolact.n_aspect_ratios = 3;
  c->yolact.scales_per_octave = n_priors / 3;
  c->yolact.square_anchors = n_priors == 3;
  /* yolact_resnet50_pascal */
  if (n_priors == 3 && c->n_classes == 20) {
    c->yolact.square_anchors = FALSE;
    for (gint l = 0; l < CI_YOLACT_LEVELS; l++)
      c->yolact.scales[l] = 32 << l;
  }
}

static gboolean
recognise (const CiReader * r)
{
  /* of the files' own order */
  static const gfloat mean[3] = { 123.68f, 116.78f, 103.94f };
  static const gfloat std[3] = { 58.40f, 57.12f, 57.38f };
  CiConfig *c = r->config;
  gint n_priors = ci_reader_dim (r, 0, HEAD "bbox_layer.weight") / 4;
  gint n_conf = ci_reader_dim (r, 0, HEAD "conf_layer.weight");

  if (!read_backbone (r))
    return FALSE;
  if (n_priors < 1 || n_priors > CI_MAX_PRIORS || n_priors % 3
      || n_conf % n_priors || n_conf / n_priors < 2)
    return ci_reader_fail (r, "a head of %d priors with %d channels of "
        "classes is not known here", n_priors, n_conf);
  c->n_classes = n_conf / n_priors - 1;
  c->input.rgb = TRUE;
  c->input.size_rule = CI_SIZE_FIXED;
  c->input.interpolation = CI_RESIZE_FAST;
  for (gint i = 0; i < 3; i++) {
    gboolean darknet = c->backbone.type == CI_BACKBONE_DARKNET;

    c->input.pixel_mean[i] = darknet ? 0 : mean[i];
    c->input.pixel_std[i] = darknet ? 255 : std[i];
  }
  c->input.size_divisor = 1;
  read_name (r);
  read_priors_of (r, n_priors);
  c->fpn.out_channels = ci_reader_dim (r, 0, "fpn.lat_layers.0.weight");
  c->yolact.proto_channels = ci_reader_dim (r, 0, "proto_net.0.weight");
  c->yolact.num_prototypes = ci_reader_dim (r, 0, "proto_net.10.weight");
  c->yolact.head_channels = ci_reader_dim (r, 0, HEAD "upfeature.0.weight");
  c->yolact.rescore = ci_reader_has (r, MASKIOU "0.weight");
  for (gint i = 0; i < CI_MASKIOU_CONVS && c->yolact.rescore; i++)
    c->yolact.maskiou_channels[i] = ci_reader_dim (r, 0,
        MASKIOU "%d.weight", 2 * i);
  c->inference.nms_threshold = 0.5;
  c->inference.pre_nms_top_k = 200;
  c->inference.score_threshold = 0.15f;
  return TRUE;
}

/* ---- graph -------------------------------------------------------------- */

static CiValue
conv_relu (CiGraph * g, CiValue x, const gchar * name, gint channels,
    gint kernel)
{
  return ci_block_conv (g, x, name, NULL, CI_NORM_NONE, channels, kernel, 1, 1,
      TRUE, CI_ACTIVATION_RELU);
}

/* P3 to P7. */
static void
build_pyramid (CiGraph * g, CiValue input, const CiConfig * config, CiValue * p)
{
  /* numbered from the coarsest level on */
  static const CiFpn fpn = { "fpn.lat_layers.", "fpn.pred_layers.", "", "", "",
    2, -1, CI_NORM_NONE, CI_RESIZE_BILINEAR, TRUE, CI_ACTIVATION_RELU
  };
  CiFeature c[4];

  ci_backbone_build (g, input, config,
      config->backbone.type == CI_BACKBONE_DARKNET ? "backbone." : NULL, c);
  ci_block_fpn (g, &fpn, c + 1, 3, config->fpn.out_channels, p);
  for (gint l = 3; l < CI_YOLACT_LEVELS; l++) {
    g_autofree gchar *name = g_strdup_printf ("fpn.downsample_layers.%d",
        l - 3);

    p[l] = ci_graph_conv (g, p[l - 1], name, config->fpn.out_channels, 3, 2, 1,
        1, TRUE);
  }
  for (gint l = 0; l < CI_YOLACT_LEVELS; l++) {
    g_autofree gchar *name = g_strdup_printf ("feat.p%d", l + 3);

    ci_graph_name (g, p[l], name);
  }
}

static CiValue
build_prototypes (CiGraph * g, CiValue x, const CiConfig * config)
{
  gint channels = config->yolact.proto_channels;

  for (gint i = 0; i < PROTO_CONVS; i++) {
    g_autofree gchar *name = g_strdup_printf ("proto_net.%d", 2 * i);

    x = conv_relu (g, x, name, channels, 3);
  }
  x = ci_graph_upsample (g, x, 2, CI_RESIZE_BILINEAR);
  x = conv_relu (g, x, "proto_net.8", channels, 3);
  x = conv_relu (g, x, "proto_net.10", config->yolact.num_prototypes, 1);
  ci_graph_name (g, x, "mask.prototypes");
  return x;
}

/* Sizes of the priors of a cell on level @index, in inputs: scales, and of each
 * all aspect ratios. */
static void
make_priors (const CiConfig * config, gint index, gfloat (*sizes)[2])
{
  gint n = config->yolact.scales_per_octave, k = 0;

  for (gint i = 0; i < n; i++)
    for (gint j = 0; j < config->yolact.n_aspect_ratios; j++, k++) {
      gdouble scale = config->yolact.scales[index] * pow (2, (gdouble) i / n);
      gdouble ratio = sqrt (config->yolact.aspect_ratios[j]);

      sizes[k][0] = scale * ratio / config->input.max_size;
      sizes[k][1] = config->yolact.square_anchors ? sizes[k][0]
          : scale / ratio / config->input.max_size;
    }
}

/* The layer @name of the head on all levels. */
static void
predict (CiGraph * g, const CiValue * x, const gchar * name, gint channels,
    CiActivation activation, CiValue * out)
{
  g_autofree gchar *layer = g_strconcat (HEAD, name, NULL);

  for (gint l = 0; l < CI_YOLACT_LEVELS; l++)
    out[l] = ci_graph_conv (g, x[l], layer, channels, 3, 1, 1, 1, TRUE);
  for (gint l = 0; l < CI_YOLACT_LEVELS; l++) {
    g_autofree gchar *value = g_strdup_printf ("head.%.4s.p%d", name, l + 3);

    if (activation != CI_ACTIVATION_NONE)
      out[l] = ci_graph_activation (g, out[l], activation);
    ci_graph_name (g, out[l], value);
  }
}

/* YOLACT++'s mask re-scoring: how good each mask is, by classes. */
static void
build_rescoring (CiGraph * g, const CiConfig * config, CiValue prototypes,
    CiValue detections, CiValue coefficients)
{
  CiValue x = ci_graph_assemble_items (g, prototypes, detections,
      coefficients);
  g_autofree gchar *last = g_strdup_printf (MASKIOU "%d",
      2 * CI_MASKIOU_CONVS);

  for (gint i = 0; i < CI_MASKIOU_CONVS; i++) {
    g_autofree gchar *name = g_strdup_printf (MASKIOU "%d", 2 * i);

    x = ci_graph_conv (g, x, name, config->yolact.maskiou_channels[i], 3, 2, 0,
        1, TRUE);
    x = ci_graph_activation (g, x, CI_ACTIVATION_RELU);
  }
  x = conv_relu (g, x, last, config->n_classes, 1);
  x = ci_graph_global_max_pool (g, x);
  ci_graph_name (g, ci_graph_rescore (g, detections, x), "pre.mask_scores");
}

static void
build (CiGraph * g, CiValue input, const CiConfig * config,
    const CiBuildOptions * options)
{
  const CiMultiboxParams params = { options->capacity, {0.1f, 0.2f},
    CI_NMS_FAST
  };
  gint n_priors = config->yolact.scales_per_octave
      * config->yolact.n_aspect_ratios;
  gint k = config->yolact.num_prototypes;
  CiValue pyramid[CI_YOLACT_LEVELS], x[CI_YOLACT_LEVELS];
  CiValue loc[CI_YOLACT_LEVELS], conf[CI_YOLACT_LEVELS];
  CiValue mask[CI_YOLACT_LEVELS], prototypes, detections, coefficients;
  CiMultiboxLevel levels[CI_YOLACT_LEVELS] = { {0} };

  build_pyramid (g, input, config, pyramid);
  prototypes = build_prototypes (g, pyramid[0], config);
  /* layer by layer over all levels, since backends compute convolutions in a
   * row together */
  for (gint l = 0; l < CI_YOLACT_LEVELS; l++)
    x[l] = ci_graph_conv (g, pyramid[l], HEAD "upfeature.0",
        config->yolact.head_channels, 3, 1, 1, 1, TRUE);
  for (gint l = 0; l < CI_YOLACT_LEVELS; l++)
    x[l] = ci_graph_activation (g, x[l], CI_ACTIVATION_RELU);
  predict (g, x, "bbox_layer", 4 * n_priors, CI_ACTIVATION_NONE, loc);
  predict (g, x, "conf_layer", n_priors * (config->n_classes + 1),
      CI_ACTIVATION_NONE, conf);
  predict (g, x, "mask_layer", n_priors * k, CI_ACTIVATION_TANH, mask);
  for (gint l = 0; l < CI_YOLACT_LEVELS; l++) {
    levels[l].loc = loc[l];
    levels[l].conf = conf[l];
    make_priors (config, l, levels[l].sizes);
  }
  detections = ci_graph_multibox_detect (g, levels, CI_YOLACT_LEVELS, &params);
  coefficients = ci_graph_gather (g, mask, CI_YOLACT_LEVELS, detections, k);
  ci_graph_name (g, coefficients, "pre.params");
  if (config->yolact.rescore)
    build_rescoring (g, config, prototypes, detections, coefficients);
  ci_graph_output (g, ci_graph_assemble_masks (g, prototypes, detections,
          coefficients, options->full_map), "masks");
}

static const gint nms[] = {
  CI_NMS_GREEDY, CI_NMS_FAST, CI_NMS_FAST_CROSS_CLASS, 0
};

const CiMethod ci_method_yolact = {
  "yolact", "YOLACT", HEAD "bbox_layer.weight", recognise, read_description,
  write_description, build,.nms = nms
};
