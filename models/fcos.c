/*
 * fcos.c: the head of FCOS (Tian et al., ICCV 2019), which CondInst and
 * BlendMask share (3 to 6).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "method.h"

#include <string.h>

#define HEAD "proposal_generator.fcos_head."
#define MAX_SIZE_OF_INTEREST 65536

/* ---- description -------------------------------------------------------- */

void
ci_fcos_read (const CiSection * root, CiConfig * config)
{
  CiSection s = ci_section_open (root, "fcos", "fcos.");
  CiSection input = ci_section_open (root, "input", "input.");
  gint n_levels, divisor = config->input.size_divisor;
  gfloat strides[CI_MAX_LEVELS];
  gfloat *sizes = config->fcos.sizes_of_interest;
  gint n, i;

  if (divisor % 32)
    ci_section_fail (&input, "size_divisor", CI_ERROR_BAD_FORMAT, "expected a "
        "multiple of 32 (the stride of the backbone), found %d", divisor);
  ci_pyramid_read (root, config);
  n_levels = 3 + config->fpn.top_levels;
  config->fcos.n_levels = n_levels;
  for (i = 0; i < n_levels; i++) {
    config->fcos.strides[i] = 8 << i;
    sizes[i] = 64 << i;
  }
  n = ci_section_floats (&s, "strides", strides, n_levels, n_levels, 1, 16384);
  for (i = 0; i < n; i++)
    if (strides[i] != config->fcos.strides[i])
      ci_section_fail (&s, "strides", CI_ERROR_BAD_FORMAT,
          "expected %d for level P%d, found %g", config->fcos.strides[i],
          i + 3, strides[i]);
  config->fcos.num_share_convs =
      ci_section_int (&s, "num_share_convs", 0, 0, 32);
  config->fcos.num_cls_convs = ci_section_int (&s, "num_cls_convs", 4, 0, 32);
  config->fcos.num_box_convs = ci_section_int (&s, "num_box_convs", 4, 0, 32);
  config->fcos.norm = ci_section_norm (&s, "norm", config->fpn.out_channels,
      "fpn.out_channels");
  config->fcos.use_deformable =
      ci_section_boolean (&s, "use_deformable", FALSE);
  config->fcos.prediction_kernel =
      ci_section_int (&s, "prediction_kernel", 3, 1, 3);
  if (config->fcos.prediction_kernel == 2)
    ci_section_fail (&s, "prediction_kernel", CI_ERROR_BAD_FORMAT,
        "expected 1 or 3, found 2");
  config->fcos.use_scale = ci_section_boolean (&s, "use_scale", TRUE);
  n = ci_section_floats (&s, "sizes_of_interest", sizes, n_levels - 1,
      n_levels, 1, MAX_SIZE_OF_INTEREST);
  /* the official configs leave the last level out: everything above */
  if (n == n_levels - 1)
    sizes[n] = 2 * sizes[n - 1];
  if (sizes[n_levels - 1] > MAX_SIZE_OF_INTEREST)
    ci_section_fail (&s, "sizes_of_interest", CI_ERROR_BAD_FORMAT,
        "expected at most %d for the last level, found %g, twice the one "
        "before", MAX_SIZE_OF_INTEREST, sizes[n_levels - 1]);
  config->fcos.thresh_with_ctr =
      ci_section_boolean (&s, "thresh_with_ctr", TRUE);
}

void
ci_fcos_write (GString * out, const CiConfig * c)
{
  gfloat strides[CI_MAX_LEVELS];

  ci_pyramid_write (out, c);
  for (gint i = 0; i < c->fcos.n_levels; i++)
    strides[i] = c->fcos.strides[i];
  ci_write_open (out, "fcos");
  ci_write_floats (out, "strides", strides, c->fcos.n_levels);
  ci_write_int (out, "num_share_convs", c->fcos.num_share_convs);
  ci_write_int (out, "num_cls_convs", c->fcos.num_cls_convs);
  ci_write_int (out, "num_box_convs", c->fcos.num_box_convs);
  ci_write_string (out, "norm", ci_norm_names[c->fcos.norm]);
  ci_write_boolean (out, "use_deformable", c->fcos.use_deformable);
  ci_write_int (out, "prediction_kernel", c->fcos.prediction_kernel);
  ci_write_boolean (out, "use_scale", c->fcos.use_scale);
  ci_write_floats (out, "sizes_of_interest", c->fcos.sizes_of_interest,
      c->fcos.n_levels);
  ci_write_boolean (out, "thresh_with_ctr", c->fcos.thresh_with_ctr);
  ci_write_close (out);
}

/* ---- parameters of masks ------------------------------------------------ */

gint
ci_config_n_parameters (const CiConfig * config)
{
  gint size = config->blendmask.attention_size;
  gint in = config->condinst.branch_out_channels
      + (config->condinst.rel_coords ? 2 : 0);
  gint n = 0;

  if (config->architecture == CI_ARCHITECTURE_BLENDMASK)
    return config->blendmask.num_bases * size * size;
  for (gint i = 0; i < config->condinst.head_num_layers; i++) {
    gint out = i == config->condinst.head_num_layers - 1 ? 1
        : config->condinst.head_channels;

    n += out * (in + 1);
    in = out;
  }
  return n;
}

/* ---- graph -------------------------------------------------------------- */

/* A row of convolutions on every level of a pyramid, in place. */
typedef struct
{
  const gchar *name;
  gint n_convs;
  gboolean deformable;          /* the last one */
  CiValue *x;
} Tower;

static void
build_conv (CiGraph * g, const CiConfig * config, const Tower * tower, gint i)
{
  g_autofree gchar *name = g_strdup_printf (HEAD "%s_tower.%d", tower->name,
      3 * i);
  g_autofree gchar *offset = g_strconcat (name, ".offset", NULL);
  g_autofree gchar *inner = g_strconcat (name, ".conv", NULL);
  gint channels = config->fpn.out_channels;

  for (gint l = 0; l < config->fcos.n_levels; l++)
    tower->x[l] = tower->deformable && i == tower->n_convs - 1 ?
        ci_block_deform (g, tower->x[l], offset, inner, channels, 1, 1, TRUE) :
        ci_graph_conv (g, tower->x[l], name, channels, 3, 1, 1, 1, TRUE);
}

/* The convolutions are the same on every level, batch norms are not. */
static void
build_norm (CiGraph * g, const CiConfig * config, const Tower * tower, gint i)
{
  CiNorm norm = config->fcos.norm;

  for (gint l = 0; l < config->fcos.n_levels; l++) {
    g_autofree gchar *name = norm == CI_NORM_BN
        ? g_strdup_printf (HEAD "%s_tower.%d.%d", tower->name, 3 * i + 1, l)
        : g_strdup_printf (HEAD "%s_tower.%d", tower->name, 3 * i + 1);

    tower->x[l] = ci_block_norm (g, tower->x[l], name, norm,
        CI_NORM_EPS, CI_ACTIVATION_RELU);
  }
}

/* Layer by layer over all levels and towers, since backends compute
 * convolutions in a row together, and those that read the same maps share
 * work. */
static void
build_towers (CiGraph * g, const CiConfig * config, const Tower * towers,
    gint n_towers)
{
  gint n_convs = 0;

  for (gint t = 0; t < n_towers; t++)
    n_convs = MAX (n_convs, towers[t].n_convs);
  for (gint i = 0; i < n_convs; i++) {
    for (gint t = 0; t < n_towers; t++)
      if (i < towers[t].n_convs)
        build_conv (g, config, &towers[t], i);
    for (gint t = 0; t < n_towers; t++)
      if (i < towers[t].n_convs)
        build_norm (g, config, &towers[t], i);
  }
}

static void
predict (CiGraph * g, const CiConfig * config, const CiValue * x,
    const gchar * name, gint channels, CiValue * out)
{
  gint k = config->fcos.prediction_kernel;

  for (gint l = 0; l < config->fcos.n_levels; l++)
    out[l] = ci_graph_conv (g, x[l], name, channels, k, 1, k / 2, 1, TRUE);
}

CiValue
ci_fcos_build (CiGraph * g, CiValue input, const CiConfig * config,
    gint capacity, CiValue * pyramid, CiValue * box_towers)
{
  const gchar *prefix = config->fpn.type == CI_NECK_BIFPN
      ? "backbone.bottom_up.backbone." : "backbone.bottom_up.";
  gint n = config->fcos.n_levels;
  gsize bytes = n * sizeof (CiValue);
  CiValue shared[CI_MAX_LEVELS], cls[CI_MAX_LEVELS];
  CiValue logits[CI_MAX_LEVELS], reg[CI_MAX_LEVELS], ctr[CI_MAX_LEVELS];
  CiFcosLevel levels[CI_MAX_LEVELS];
  CiFeature c[4];
  gboolean deformable = config->fcos.use_deformable;
  const Tower share = { "share", config->fcos.num_share_convs, FALSE, shared };
  const Tower towers[] = {
    {"cls", config->fcos.num_cls_convs, deformable, cls},
    {"bbox", config->fcos.num_box_convs, deformable, box_towers},
  };

  ci_backbone_build (g, input, config, prefix, c);
  ci_pyramid_build (g, config, c, pyramid);
  memcpy (shared, pyramid, bytes);
  build_towers (g, config, &share, 1);
  memcpy (cls, shared, bytes);
  memcpy (box_towers, shared, bytes);
  build_towers (g, config, towers, G_N_ELEMENTS (towers));
  predict (g, config, cls, HEAD "cls_logits", config->n_classes, logits);
  predict (g, config, box_towers, HEAD "bbox_pred", 4, reg);
  predict (g, config, box_towers, HEAD "ctrness", 1, ctr);

  for (gint l = 0; l < n; l++) {
    g_autofree gchar *scale = g_strdup_printf (HEAD "scales.%d.scale", l);
    g_autofree gchar *logits_name = g_strdup_printf ("head.%d.logits", l);
    g_autofree gchar *reg_name = g_strdup_printf ("head.%d.reg", l);
    g_autofree gchar *ctr_name = g_strdup_printf ("head.%d.ctr", l);

    if (config->fcos.use_scale)
      reg[l] = ci_graph_scale (g, reg[l], scale);
    reg[l] = ci_graph_activation (g, reg[l], CI_ACTIVATION_RELU);
    ci_graph_name (g, logits[l], logits_name);
    ci_graph_name (g, reg[l], reg_name);
    ci_graph_name (g, ctr[l], ctr_name);
    levels[l] = (CiFcosLevel) {
    logits[l], reg[l], ctr[l], config->fcos.strides[l]};
  }
  return ci_graph_fcos_detect (g, levels, n, capacity,
      config->fcos.thresh_with_ctr);
}

CiValue
ci_fcos_predict_at (CiGraph * g, const CiConfig * config,
    const CiValue * box_towers, CiValue detections, const gchar * name,
    gboolean dense)
{
  gint n = config->fcos.n_levels, channels = ci_config_n_parameters (config);
  CiValue rows;

  for (gint l = 0; l < n && dense; l++) {
    g_autofree gchar *top = g_strdup_printf ("head.%d.top", l);

    ci_graph_name (g, ci_graph_conv (g, box_towers[l], name, channels, 3, 1, 1,
            1, TRUE), top);
  }
  rows = ci_graph_conv_at (g, box_towers, n, detections, name, channels, 3);
  ci_graph_name (g, rows, "pre.params");
  return rows;
}

static void
build (CiGraph * g, CiValue input, const CiConfig * config,
    const CiBuildOptions * options)
{
  CiValue pyramid[CI_MAX_LEVELS], box_towers[CI_MAX_LEVELS];

  ci_fcos_build (g, input, config, options->capacity, pyramid, box_towers);
}

/* boxes are all */
const CiMethod ci_method_fcos = {
  "fcos", "FCOS", HEAD "cls_logits.weight", ci_fcos_recognise, ci_fcos_read,
  ci_fcos_write, build
};
