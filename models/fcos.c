/*
 * fcos.c: the head of FCOS (Tian et al., ICCV 2019), which CondInst and
 * BlendMask share (3 to 6).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "blocks.h"

#include <string.h>

#define HEAD "proposal_generator.fcos_head."

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
        ci_block_deform_conv (g, tower->x[l], offset, inner, NULL,
        CI_NORM_NONE, channels, 1, 1, TRUE, CI_ACTIVATION_NONE) :
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
        CI_ACTIVATION_RELU);
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
ci_fcos_build (CiGraph * g, const CiConfig * config, const CiValue * pyramid,
    gint capacity, CiValue * box_towers)
{
  gint n = config->fcos.n_levels;
  gsize bytes = n * sizeof (CiValue);
  CiValue shared[CI_MAX_LEVELS], cls[CI_MAX_LEVELS];
  CiValue logits[CI_MAX_LEVELS], reg[CI_MAX_LEVELS], ctr[CI_MAX_LEVELS];
  CiFcosLevel levels[CI_MAX_LEVELS];
  gboolean deformable = config->fcos.use_deformable;
  const Tower share = { "share", config->fcos.num_share_convs, FALSE, shared };
  const Tower towers[] = {
    {"cls", config->fcos.num_cls_convs, deformable, cls},
    {"bbox", config->fcos.num_box_convs, deformable, box_towers},
  };

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
