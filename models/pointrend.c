/*
 * pointrend.c: PointRend (Kirillov et al., CVPR 2020) behind detectron2's
 * Faster R-CNN: a coarse head, and a point head that draws masks where they
 * are uncertain (golden/zoo/SEMANTICS-pointrend.md).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "method.h"

#define COARSE_SIZE 7
#define START_SIZE 28
#define N_POINTS 784

/* ---- description -------------------------------------------------------- */

static void
read_description (const CiSection * root, CiConfig * config)
{
  CiSection s = ci_section_open (root, "pointrend", "pointrend.");
  CiSection coarse = ci_section_open (&s, "coarse_head",
      "pointrend.coarse_head.");
  CiSection point = ci_section_open (&s, "point_head",
      "pointrend.point_head.");

  ci_rcnn_read (root, config);
  config->pointrend.reduced_channels =
      ci_section_int (&coarse, "reduced_channels", 0, 0, 65536);
  config->pointrend.coarse_channels =
      ci_section_int (&coarse, "channels", 256, 1, 65536);
  config->pointrend.coarse_fc_channels =
      ci_section_int (&coarse, "fc_channels", 1024, 1, 65536);
  config->pointrend.coarse_num_fcs =
      ci_section_int (&coarse, "num_fcs", 2, 0, 32);
  config->pointrend.channels =
      ci_section_int (&point, "channels", 256, 1, 65536);
  config->pointrend.num_layers =
      ci_section_int (&point, "num_layers", 3, 0, 32);
  config->pointrend.num_steps = ci_section_int (&s, "num_steps", 3, 0, 5);
  if (config->rcnn.torchvision)
    ci_section_fail (&s, "code_base", CI_ERROR_UNSUPPORTED,
        "expected detectron2");
}

static void
write_description (GString * out, const CiConfig * c)
{
  ci_rcnn_write (out, c);
  ci_write_open (out, "pointrend");
  ci_write_open (out, "coarse_head");
  ci_write_int (out, "reduced_channels", c->pointrend.reduced_channels);
  ci_write_int (out, "channels", c->pointrend.coarse_channels);
  ci_write_int (out, "fc_channels", c->pointrend.coarse_fc_channels);
  ci_write_int (out, "num_fcs", c->pointrend.coarse_num_fcs);
  ci_write_close (out);
  ci_write_open (out, "point_head");
  ci_write_int (out, "channels", c->pointrend.channels);
  ci_write_int (out, "num_layers", c->pointrend.num_layers);
  ci_write_close (out);
  ci_write_int (out, "num_steps", c->pointrend.num_steps);
  ci_write_close (out);
}

/* ---- names -------------------------------------------------------------- */

/* What tensors' names begin with; older files differ. */
typedef struct
{
  const gchar *coarse, *point;
  const gchar *fc;              /* of the coarse head, before the number */
} Names;

static const Names *
get_names (const CiConfig * c)
{
  static const Names names[2] = {
    {"roi_heads.mask_head.coarse_head.", "roi_heads.mask_head.point_head",
        "fc"},
    {"roi_heads.mask_coarse_head.", "roi_heads.mask_point_head",
        "coarse_mask_fc"},
  };

  return &names[c->rcnn.old_names];
}

/* ---- recognition -------------------------------------------------------- */

static gboolean
recognise (const CiReader * r)
{
  CiConfig *c = r->config;
  const Names *names;

  if (!ci_rcnn_recognise (r))
    return FALSE;
  c->rcnn.old_names = ci_reader_has (r,
      "roi_heads.mask_point_head.predictor.weight");
  names = get_names (c);
  c->pointrend.reduced_channels = ci_reader_dim (r, 0,
      "%sreduce_channel_dim_conv.weight", names->coarse);
  c->pointrend.coarse_channels = ci_reader_dim (r, 0,
      "%sreduce_spatial_dim_conv.weight", names->coarse);
  while (c->pointrend.coarse_num_fcs < CI_MAX_BLOCKS
      && ci_reader_has (r, "%s%s%d.weight", names->coarse, names->fc,
          c->pointrend.coarse_num_fcs + 1))
    c->pointrend.coarse_num_fcs++;
  c->pointrend.coarse_fc_channels = ci_reader_dim (r, 0, "%s%s1.weight",
      names->coarse, names->fc);
  c->pointrend.channels = ci_reader_dim (r, 0, "%s.fc1.weight", names->point);
  while (c->pointrend.num_layers < CI_MAX_BLOCKS
      && ci_reader_has (r, "%s.fc%d.weight", names->point,
          c->pointrend.num_layers + 1))
    c->pointrend.num_layers++;
  c->pointrend.num_steps = 3;
  if (c->pointrend.coarse_channels == 0 || c->pointrend.coarse_num_fcs == 0
      || c->pointrend.num_layers == 0)
    return ci_reader_fail (r, "it has a point head, but no coarse head that "
        "is known here (%sreduce_spatial_dim_conv, %s%s1)", names->coarse,
        names->coarse, names->fc);
  return TRUE;
}

/* ---- graph -------------------------------------------------------------- */

/* Convolution `@prefix@name` and ReLU. */
static CiValue
conv_relu (CiGraph * g, CiValue x, const gchar * prefix, const gchar * name,
    gint channels, gint kernel)
{
  g_autofree gchar *conv = g_strconcat (prefix, name, NULL);

  x = ci_graph_conv (g, x, conv, channels, kernel, kernel, 0, 1, TRUE);
  return ci_graph_activation (g, x, CI_ACTIVATION_RELU);
}

static CiValue
build_coarse_head (CiGraph * g, const CiConfig * config, CiValue p2,
    CiValue detections)
{
  const CiRoiAlignParams points = {.strides = {4},
    .resolution = 2 * COARSE_SIZE,.points = TRUE,.canonical_size = 224
  };
  const Names *names = get_names (config);
  g_autofree gchar *prediction = g_strconcat (names->coarse, "prediction",
      NULL);
  CiValue x = ci_graph_roi_align (g, &p2, 1, detections, &points);
  gint side = COARSE_SIZE;

  if (config->pointrend.reduced_channels)
    x = conv_relu (g, x, names->coarse, "reduce_channel_dim_conv",
        config->pointrend.reduced_channels, 1);
  x = conv_relu (g, x, names->coarse, "reduce_spatial_dim_conv",
      config->pointrend.coarse_channels, 2);
  for (gint i = 0; i < config->pointrend.coarse_num_fcs; i++, side = 1) {
    g_autofree gchar *fc = g_strdup_printf ("%s%s%d", names->coarse,
        names->fc, i + 1);

    x = ci_graph_linear (g, x, fc, config->pointrend.coarse_fc_channels, side,
        TRUE);
    x = ci_graph_activation (g, x, CI_ACTIVATION_RELU);
  }
  x = ci_graph_linear (g, x, prediction, config->n_classes * COARSE_SIZE
      * COARSE_SIZE, side, TRUE);
  ci_graph_name (g, x, "mask.coarse");
  return x;
}

/* Subdivisions until masks have @resolution cells a side. */
static gint
count_steps (gint resolution)
{
  gint n = 0;

  while (START_SIZE << n < resolution)
    n++;
  return n;
}

static void
build (CiGraph * g, CiValue input, const CiConfig * config,
    const CiBuildOptions * options)
{
  const CiPointRendParams params = { 4, COARSE_SIZE,
    config->pointrend.channels, config->pointrend.num_layers, START_SIZE,
    options->mask_resolution ? count_steps (options->mask_resolution)
        : config->pointrend.num_steps, N_POINTS
  };
  CiValue pyramid[4];
  CiValue detections = ci_rcnn_build (g, input, config, options->capacity,
      pyramid);
  CiValue coarse = build_coarse_head (g, config, pyramid[0], detections);

  ci_graph_output (g, ci_graph_point_rend (g, pyramid[0], coarse, detections,
          get_names (config)->point, &params), "masks");
}

static const gint resolutions[] = {
  START_SIZE, START_SIZE << 1, START_SIZE << 2, START_SIZE << 3,
  START_SIZE << 4, START_SIZE << 5, 0
};

const CiMethod ci_method_pointrend = {
  "pointrend", "PointRend", "roi_heads.mask_head.point_head.predictor.weight "
      "roi_heads.mask_point_head.predictor.weight", recognise,
  read_description, write_description, build,
  .mask_resolutions = resolutions
};
