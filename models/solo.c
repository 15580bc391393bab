/*
 * solo.c: SOLO (Wang et al., ECCV 2020), Decoupled SOLO (ibid., section 3.4)
 * and SOLOv2 (Wang et al., NeurIPS 2020): the classes of a grid's cells, and a
 * mask of the whole image for each (golden/zoo/SEMANTICS-solo.md).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "method.h"

#include <math.h>

#define HEAD "bbox_head."
#define FEATURES "mask_feat_head."

/* Strides of the levels that the head sees. The largest map of the pyramid is
 * halved for it, the smallest enlarged. */
static const gint strides[CI_SOLO_LEVELS] = { 8, 8, 16, 32, 32 };

/* Which convolutions of the towers are deformable; by CiConfig.solo.deform. */
enum
{
  DEFORM_NONE,
  DEFORM_LAST,
  DEFORM_ALL,
};
static const gchar *const deforms[] = { "none", "last", "all", NULL };
static const gchar *const nms_kernels[] = { "gaussian", "linear", NULL };

static CiSoloSource
get_source (const CiConfig * config)
{
  switch (config->architecture) {
    case CI_ARCHITECTURE_SOLOV2:
      return CI_SOLO_DYNAMIC;
    case CI_ARCHITECTURE_DECOUPLED_SOLO:
      return CI_SOLO_PRODUCT;
    default:
      return CI_SOLO_STATIC;
  }
}

/* ---- description -------------------------------------------------------- */

/* The integer @key of @s, channels of a group norm. */
static gint
read_channels (const CiSection * s, const gchar * key, gint fallback)
{
  gint n = ci_section_int (s, key, fallback, 1, 65536);

  if (n % CI_NORM_GROUPS)
    ci_section_fail (s, key, CI_ERROR_BAD_FORMAT, "expected a multiple of %d "
        "(the groups of its normalisation), found %d", CI_NORM_GROUPS, n);
  return n;
}

static void
read_description (const CiSection * root, CiConfig * config)
{
  CiSection s = ci_section_open (root, "solo", "solo.");
  CiSection fpn = ci_section_open (root, "fpn", "fpn.");
  CiSection input = ci_section_open (root, "input", "input.");
  CiSoloSource source = get_source (config);
  gfloat grids[CI_SOLO_LEVELS] = { 40, 36, 24, 16, 12 };
  gint divisor = config->input.size_divisor;

  if (divisor % 32)
    ci_section_fail (&input, "size_divisor", CI_ERROR_BAD_FORMAT, "expected a "
        "multiple of 32 (the stride of the backbone), found %d", divisor);
  config->paste = CI_PASTE_BILINEAR;
  config->fpn.out_channels =
      ci_section_int (&fpn, "out_channels", 256, 1, 65536);
  ci_section_floats (&s, "num_grids", grids, CI_SOLO_LEVELS, CI_SOLO_LEVELS, 1,
      64);
  for (gint l = 0; l < CI_SOLO_LEVELS; l++) {
    config->solo.grids[l] = grids[l];
    if (grids[l] != config->solo.grids[l])
      ci_section_fail (&s, "num_grids", CI_ERROR_BAD_FORMAT,
          "expected integers, found %g", grids[l]);
  }
  config->solo.channels = read_channels (&s, "seg_feat_channels",
      source == CI_SOLO_DYNAMIC ? 512 : 256);
  config->solo.num_convs = ci_section_int (&s, "stacked_convs",
      source == CI_SOLO_DYNAMIC ? 4 : 7, 1, CI_MAX_BLOCKS);
  config->solo.deform =
      ci_section_choice (&s, "deformable_convs", DEFORM_NONE, deforms);
  if (source == CI_SOLO_PRODUCT) {
    config->solo.separate_towers =
        ci_section_boolean (&s, "separate_towers", TRUE);
    config->solo.prediction_kernel =
        ci_section_int (&s, "prediction_kernel", 1, 1, 3);
    if (config->solo.prediction_kernel == 2)
      ci_section_fail (&s, "prediction_kernel", CI_ERROR_BAD_FORMAT,
          "expected 1 or 3, found 2");
  } else if (source == CI_SOLO_DYNAMIC) {
    config->solo.feature_channels =
        read_channels (&s, "feature_channels", 128);
    config->solo.kernel_channels = read_channels (&s, "ins_out_channels", 256);
  }
  config->solo.mask_threshold =
      ci_section_float (&s, "mask_thr", 0.5, 0, 1);
  config->solo.update_threshold =
      ci_section_float (&s, "update_thr", 0.05, 0, 1);
  config->solo.sigma = ci_section_float (&s, "sigma", 2, 0, 1e4);
  config->solo.linear = ci_section_choice (&s, "kernel", 0, nms_kernels);
}

static void
write_description (GString * out, const CiConfig * c)
{
  CiSoloSource source = get_source (c);
  gfloat grids[CI_SOLO_LEVELS];

  for (gint l = 0; l < CI_SOLO_LEVELS; l++)
    grids[l] = c->solo.grids[l];
  ci_write_open (out, "fpn");
  ci_write_int (out, "out_channels", c->fpn.out_channels);
  ci_write_close (out);
  ci_write_open (out, "solo");
  ci_write_floats (out, "num_grids", grids, CI_SOLO_LEVELS);
  ci_write_int (out, "seg_feat_channels", c->solo.channels);
  ci_write_int (out, "stacked_convs", c->solo.num_convs);
  ci_write_string (out, "deformable_convs", deforms[c->solo.deform]);
  if (source == CI_SOLO_PRODUCT) {
    ci_write_boolean (out, "separate_towers", c->solo.separate_towers);
    ci_write_int (out, "prediction_kernel", c->solo.prediction_kernel);
  } else if (source == CI_SOLO_DYNAMIC) {
    ci_write_int (out, "feature_channels", c->solo.feature_channels);
    ci_write_int (out, "ins_out_channels", c->solo.kernel_channels);
  }
  ci_write_float (out, "mask_thr", c->solo.mask_threshold);
  ci_write_float (out, "update_thr", c->solo.update_threshold);
  ci_write_float (out, "sigma", c->solo.sigma);
  ci_write_string (out, "kernel", nms_kernels[c->solo.linear]);
  ci_write_close (out);
}

/* ---- recognition -------------------------------------------------------- */

/* Cells of a level's side. Of SOLOv2 no tensor tells. */
static gboolean
read_grids (const CiReader * r)
{
  static const gint defaults[CI_SOLO_LEVELS] = { 40, 36, 24, 16, 12 };
  CiSoloSource source = get_source (r->config);
  const gchar *list = source == CI_SOLO_STATIC ? "solo_ins_list"
      : "dsolo_ins_list_x";

  for (gint l = 0; l < CI_SOLO_LEVELS; l++) {
    gint n = ci_reader_dim (r, 0, HEAD "%s.%d.weight", list, l), side = n;

    if (source == CI_SOLO_STATIC)
      side = (gint) lround (sqrt (n));
    if (source == CI_SOLO_DYNAMIC)
      side = defaults[l];
    else if (side < 1 || (source == CI_SOLO_STATIC
            && (gint64) side * side != n))
      return ci_reader_fail (r, "the %d channels of " HEAD "%s.%d are no "
          "square grid's", n, list, l);
    r->config->solo.grids[l] = side;
  }
  if (source != CI_SOLO_DYNAMIC
      && ci_reader_has (r, HEAD "%s.%d.weight", list, CI_SOLO_LEVELS))
    return ci_reader_fail (r, "a head of more than %d levels is not known "
        "here", CI_SOLO_LEVELS);
  return TRUE;
}

/* Which convolutions of the towers have offsets. */
static gboolean
read_deformable (const CiReader * r)
{
  gint n = r->config->solo.num_convs, found = 0;
  gboolean last = FALSE;

  for (gint i = 0; i < n; i++) {
    gint channels = ci_reader_dim (r, 0,
        HEAD "cate_convs.%d.conv.conv_offset.weight", i);

    if (channels != 0 && channels != 27)
      return ci_reader_fail (r, "cate_convs.%d has %d offset channels; "
          "deformable convolutions here are modulated, of one group: 27", i,
          channels);
    found += channels != 0;
    last = channels != 0;
  }
  r->config->solo.deform = found == n ? DEFORM_ALL
      : found ? DEFORM_LAST : DEFORM_NONE;
  if (found && found < n && !(found == 1 && last))
    return ci_reader_fail (r, "%d of the %d convolutions of cate_convs are "
        "deformable; only the last one or all of them may be", found, n);
  return TRUE;
}

/* Not in the tensors: what the official configurations say of networks like
 * this one. */
static void
set_test_size (CiConfig * c)
{
  CiSoloSource source = get_source (c);
  gint normal = source == CI_SOLO_DYNAMIC ? 4 : 7;

  c->input.min_size = 800;
  c->input.max_size = 1333;
  if (c->solo.num_convs >= normal)
    return;
  /* the light ones; of SOLOv2's, the one with deformable convolutions is
   * larger */
  if (source == CI_SOLO_DYNAMIC && c->solo.deform == DEFORM_NONE) {
    c->input.min_size = 448;
    c->input.max_size = 768;
  } else {
    c->input.min_size = 512;
    c->input.max_size = 852;
  }
}

static gboolean
recognise (const CiReader * r)
{
  static const gfloat mean[3] = { 123.675f, 116.28f, 103.53f };
  static const gfloat std[3] = { 58.395f, 57.12f, 57.375f };
  CiConfig *c = r->config;
  CiSoloSource source = get_source (c);

  if (!ci_reader_resnet (r, CI_RESNET_MMDETECTION, NULL))
    return FALSE;
  c->backbone.stride_in_1x1 = FALSE;
  c->fpn.out_channels = ci_reader_dim (r, 0,
      "neck.lateral_convs.0.conv.weight");
  c->n_classes = ci_reader_dim (r, 0, source == CI_SOLO_PRODUCT
      ? HEAD "dsolo_cate.weight" : HEAD "solo_cate.weight");
  c->solo.channels = ci_reader_dim (r, 0, HEAD "cate_convs.0.conv.weight");
  c->solo.num_convs = ci_reader_count (r, HEAD "cate_convs.",
      ".conv.weight");
  c->solo.separate_towers = ci_reader_has (r,
      HEAD "ins_convs_x.0.conv.weight");
  c->solo.prediction_kernel = ci_reader_dim (r, 2,
      HEAD "dsolo_ins_list_x.0.weight");
  c->solo.feature_channels = ci_reader_dim (r, 0,
      FEATURES "convs_all_levels.0.conv0.conv.weight");
  c->solo.kernel_channels = ci_reader_dim (r, 0, HEAD "solo_kernel.weight");
  if (!read_grids (r) || !read_deformable (r))
    return FALSE;

  c->input.rgb = TRUE;
  c->input.size_rule = CI_SIZE_KEEP_RATIO;
  c->input.interpolation = CI_RESIZE_OPENCV;
  for (gint i = 0; i < 3; i++) {
    c->input.pixel_mean[i] = mean[i];
    c->input.pixel_std[i] = std[i];
  }
  set_test_size (c);
  c->solo.mask_threshold = 0.5f;
  c->solo.update_threshold = 0.05f;
  c->solo.sigma = 2;
  c->inference.inference_threshold = 0.1f;
  c->inference.pre_nms_top_k = 500;
  c->inference.post_nms_top_k = 100;
  c->inference.score_threshold = 0.3f;
  return TRUE;
}

/* ---- graph -------------------------------------------------------------- */

/* A row of convolutions on every level, in place. */
typedef struct
{
  const gchar *name;            /* "bbox_head.cate_convs" */
  CiValue *x;
} Tower;

/* Convolution `@name.conv`, without bias, group norm `@name.gn`, ReLU. */
static CiValue
conv_norm (CiGraph * g, CiValue x, const gchar * name, gint channels,
    gint kernel)
{
  g_autofree gchar *conv = g_strconcat (name, ".conv", NULL);
  g_autofree gchar *gn = g_strconcat (name, ".gn", NULL);

  return ci_block_conv (g, x, conv, gn, CI_NORM_GN, channels, kernel, 1, 1,
      FALSE, CI_ACTIVATION_RELU);
}

/* Layer by layer over all levels and towers, since backends compute
 * convolutions in a row together. */
static void
build_towers (CiGraph * g, const CiConfig * config, const Tower * towers,
    gint n_towers)
{
  gint channels = config->solo.channels, n = config->solo.num_convs;

  for (gint i = 0; i < n; i++) {
    gboolean deform = config->solo.deform == DEFORM_ALL
        || (config->solo.deform == DEFORM_LAST && i == n - 1);

    for (gint t = 0; t < n_towers; t++) {
      g_autofree gchar *conv = g_strdup_printf ("%s.%d.conv", towers[t].name,
          i);
      g_autofree gchar *offset = g_strconcat (conv, ".conv_offset", NULL);

      for (gint l = 0; l < CI_SOLO_LEVELS; l++) {
        CiValue *x = &towers[t].x[l];

        *x = deform ? ci_block_deform (g, *x, offset, conv, channels, 1, 1,
            FALSE) : ci_graph_conv (g, *x, conv, channels, 3, 1, 1, 1, FALSE);
      }
    }
    for (gint t = 0; t < n_towers; t++) {
      g_autofree gchar *gn = g_strdup_printf ("%s.%d.gn", towers[t].name, i);

      for (gint l = 0; l < CI_SOLO_LEVELS; l++)
        towers[t].x[l] = ci_block_norm (g, towers[t].x[l], gn, CI_NORM_GN, 0,
            CI_ACTIVATION_RELU);
    }
  }
}

/* @x with coordinates behind its channels. */
static CiValue
with_coords (CiGraph * g, CiValue x, gboolean horizontal, gboolean vertical)
{
  CiValue maps[2] = { x, ci_graph_coords (g, x, horizontal, vertical) };

  return ci_graph_concat (g, maps, 2);
}

/* P2 to P6; @head: what the head makes of them. */
static void
build_pyramid (CiGraph * g, CiValue input, const CiConfig * config,
    CiValue p[CI_SOLO_LEVELS], CiValue head[CI_SOLO_LEVELS])
{
  static const CiFpn fpn = { "neck.lateral_convs.", "neck.fpn_convs.",
    ".conv", ".conv", ".bn", 0, 1, CI_NORM_NONE, CI_RESIZE_NEAREST, TRUE,
    CI_ACTIVATION_NONE
  };
  CiFeature c[4];

  ci_backbone_build (g, input, config, NULL, c);
  ci_block_fpn (g, &fpn, c, 4, config->fpn.out_channels, p);
  p[4] = ci_graph_max_pool (g, p[3], 1, 2, 0, FALSE);
  for (gint l = 0; l < CI_SOLO_LEVELS; l++) {
    g_autofree gchar *name = g_strdup_printf ("feat.p%d", l + 2);

    ci_graph_name (g, p[l], name);
    head[l] = p[l];
  }
  head[0] = ci_graph_resize_like (g, p[0], p[1], CI_RESIZE_BILINEAR);
  head[4] = ci_graph_resize_like (g, p[4], p[3], CI_RESIZE_BILINEAR);
}

static CiValue
to_grid (CiGraph * g, const CiConfig * config, CiValue x, gint level)
{
  gint s = config->solo.grids[level];

  return ci_graph_resize (g, x, s, s, CI_RESIZE_BILINEAR);
}

/* A name for dumps. */
static void
name_level (CiGraph * g, CiValue value, const gchar * what, gint level)
{
  g_autofree gchar *name = g_strdup_printf ("head.%d.%s", level, what);

  ci_graph_name (g, value, name);
}

static void
build_classes (CiGraph * g, const CiConfig * config, const gchar * name,
    const CiValue * x, CiSoloLevel * levels)
{
  for (gint l = 0; l < CI_SOLO_LEVELS; l++) {
    levels[l].logits = ci_graph_conv (g, x[l], name, config->n_classes, 3, 1,
        1, 1, TRUE);
    levels[l].grid = config->solo.grids[l];
    levels[l].stride = strides[l];
    name_level (g, levels[l].logits, "logits", l);
  }
}

/* SOLO: features for masks; the last convolution is the detection's. Returns
 * the map whose size masks have. */
static CiValue
build_static (CiGraph * g, const CiConfig * config, const CiValue * head,
    CiSoloLevel * levels)
{
  CiValue masks[CI_SOLO_LEVELS], classes[CI_SOLO_LEVELS];
  const Tower towers[] = {
    {HEAD "ins_convs", masks}, {HEAD "cate_convs", classes},
  };

  for (gint l = 0; l < CI_SOLO_LEVELS; l++) {
    masks[l] = with_coords (g, head[l], TRUE, TRUE);
    classes[l] = to_grid (g, config, head[l], l);
  }
  build_towers (g, config, towers, 2);
  build_classes (g, config, HEAD "solo_cate", classes, levels);
  for (gint l = 0; l < CI_SOLO_LEVELS; l++) {
    levels[l].masks[0] = ci_graph_upsample (g, masks[l], 2,
        CI_RESIZE_BILINEAR);
    name_level (g, levels[l].masks[0], "masks", l);
  }
  return levels[0].masks[0];
}

/* Decoupled SOLO: a map for each column and one for each row of cells. */
static CiValue
build_product (CiGraph * g, const CiConfig * config, const CiValue * head,
    CiSoloLevel * levels)
{
  static const gchar *const axes[] = { "x", "y" };
  gboolean separate = config->solo.separate_towers;
  CiValue x[CI_SOLO_LEVELS], y[CI_SOLO_LEVELS], classes[CI_SOLO_LEVELS];
  const Tower towers[] = {
    {HEAD "cate_convs", classes},
    {separate ? HEAD "ins_convs_x" : HEAD "ins_convs", x},
    {HEAD "ins_convs_y", y},
  };

  for (gint l = 0; l < CI_SOLO_LEVELS; l++) {
    x[l] = with_coords (g, head[l], TRUE, !separate);
    if (separate)
      y[l] = with_coords (g, head[l], FALSE, TRUE);
    classes[l] = to_grid (g, config, head[l], l);
  }
  build_towers (g, config, towers, separate ? 3 : 2);
  build_classes (g, config, HEAD "dsolo_cate", classes, levels);
  for (gint l = 0; l < CI_SOLO_LEVELS; l++) {
    x[l] = ci_graph_upsample (g, x[l], 2, CI_RESIZE_BILINEAR);
    y[l] = separate ? ci_graph_upsample (g, y[l], 2, CI_RESIZE_BILINEAR)
        : x[l];
    for (gint k = 0; k < 2; k++) {
      g_autofree gchar *name = g_strdup_printf (HEAD "dsolo_ins_list_%s.%d",
          axes[k], l);
      gint kernel = config->solo.prediction_kernel;

      levels[l].masks[k] = ci_graph_conv (g, k ? y[l] : x[l], name,
          config->solo.grids[l], kernel, 1, kernel / 2, 1, TRUE);
      name_level (g, levels[l].masks[k], axes[k], l);
    }
  }
  return levels[0].masks[0];
}

/* SOLOv2: features for all masks, P2 to P5 in one (section 3.1.2). */
static CiValue
build_features (CiGraph * g, const CiConfig * config, const CiValue * p)
{
  gint channels = config->solo.feature_channels;
  CiValue sum = CI_NO_VALUE;

  for (gint l = 0; l < 4; l++) {
    CiValue x = l == 3 ? with_coords (g, p[l], TRUE, TRUE) : p[l];

    for (gint i = 0; i < MAX (l, 1); i++) {
      g_autofree gchar *name =
          g_strdup_printf (FEATURES "convs_all_levels.%d.conv%d", l, i);

      x = conv_norm (g, x, name, channels, 3);
      if (l > 0)
        x = ci_graph_upsample (g, x, 2, CI_RESIZE_BILINEAR);
    }
    sum = l ? ci_graph_add (g, sum, x) : x;
  }
  sum = conv_norm (g, sum, FEATURES "conv_pred.0",
      config->solo.kernel_channels, 1);
  ci_graph_name (g, sum, "mask.feats");
  return sum;
}

/* SOLOv2: a convolution for each cell. */
static CiValue
build_dynamic (CiGraph * g, const CiConfig * config, const CiValue * p,
    const CiValue * head, CiSoloLevel * levels)
{
  CiValue kernels[CI_SOLO_LEVELS], classes[CI_SOLO_LEVELS];
  CiValue features = build_features (g, config, p);
  const Tower towers[] = {
    {HEAD "kernel_convs", kernels}, {HEAD "cate_convs", classes},
  };

  for (gint l = 0; l < CI_SOLO_LEVELS; l++) {
    CiValue maps[2];

    /* coordinates are those of the map, not of the grid */
    maps[0] = classes[l] = to_grid (g, config, head[l], l);
    maps[1] = to_grid (g, config, ci_graph_coords (g, head[l], TRUE, TRUE),
        l);
    kernels[l] = ci_graph_concat (g, maps, 2);
  }
  build_towers (g, config, towers, 2);
  build_classes (g, config, HEAD "solo_cate", classes, levels);
  for (gint l = 0; l < CI_SOLO_LEVELS; l++) {
    levels[l].masks[0] = ci_graph_conv (g, kernels[l], HEAD "solo_kernel",
        config->solo.kernel_channels, 3, 1, 1, 1, TRUE);
    levels[l].masks[1] = features;
    name_level (g, levels[l].masks[0], "kernels", l);
  }
  return features;
}

static void
build (CiGraph * g, CiValue input, const CiConfig * config,
    const CiBuildOptions * options)
{
  const CiSoloParams params = {
    get_source (config), 4, config->solo.mask_threshold,
    config->solo.update_threshold, config->solo.sigma, config->solo.linear,
    options->full_map
  };
  CiValue p[CI_SOLO_LEVELS], head[CI_SOLO_LEVELS], like, detections;
  CiSoloLevel levels[CI_SOLO_LEVELS];

  build_pyramid (g, input, config, p, head);
  switch (params.source) {
    case CI_SOLO_PRODUCT:
      like = build_product (g, config, head, levels);
      break;
    case CI_SOLO_DYNAMIC:
      like = build_dynamic (g, config, p, head, levels);
      break;
    default:
      like = build_static (g, config, head, levels);
  }
  detections = ci_graph_solo_detect (g, levels, CI_SOLO_LEVELS, like,
      HEAD "solo_ins_list", options->capacity, &params);
  ci_graph_output (g, ci_graph_solo_masks (g, levels, CI_SOLO_LEVELS, like,
          HEAD "solo_ins_list", detections, &params), "masks");
}

static const gint nms[] = { CI_NMS_MATRIX, 0 };

const CiMethod ci_method_solo = {
  "solo", "SOLO", HEAD "solo_cate.weight", recognise, read_description,
  write_description, build,.nms = nms
};

const CiMethod ci_method_decoupled_solo = {
  "decoupled_solo", "Decoupled SOLO", HEAD "dsolo_cate.weight", recognise,
  read_description, write_description, build,.nms = nms
};

const CiMethod ci_method_solov2 = {
  "solov2", "SOLOv2", HEAD "solo_kernel.weight", recognise, read_description,
  write_description, build,.nms = nms
};
