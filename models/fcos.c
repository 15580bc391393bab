/*
 * fcos.c: the head of FCOS (Tian et al., ICCV 2019), which CondInst and
 * BlendMask share (3 to 6).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "blocks.h"

#include <string.h>

#define HEAD "proposal_generator.fcos_head."

/* Layer by layer over all levels, since backends compute convolutions in a row
 * that share their weights together. */

/* The tower @tower on every level of @x, in place: the convolutions are the
 * same on every level, batch norms are not. */
static void
build_towers (CiGraph * g, const CiConfig * config, CiValue * x,
    const gchar * tower, gint n_convs, gboolean deformable)
{
  gint channels = config->fpn.out_channels, n = config->fcos.n_levels;
  CiNorm norm = config->fcos.norm;

  for (gint i = 0; i < n_convs; i++) {
    g_autofree gchar *conv = g_strdup_printf (HEAD "%s_tower.%d", tower,
        3 * i);
    gboolean last = i == n_convs - 1;

    for (gint l = 0; l < n && deformable && last; l++) {
      g_autofree gchar *offset = g_strconcat (conv, ".offset", NULL);
      g_autofree gchar *inner = g_strconcat (conv, ".conv", NULL);

      x[l] = ci_block_deform_conv (g, x[l], offset, inner, NULL, CI_NORM_NONE,
          channels, 1, 1, TRUE, CI_ACTIVATION_NONE);
    }
    for (gint l = 0; l < n && !(deformable && last); l++)
      x[l] = ci_graph_conv (g, x[l], conv, channels, 3, 1, 1, 1, TRUE);
    for (gint l = 0; l < n; l++) {
      g_autofree gchar *norm_name = norm == CI_NORM_BN
          ? g_strdup_printf (HEAD "%s_tower.%d.%d", tower, 3 * i + 1, l)
          : g_strdup_printf (HEAD "%s_tower.%d", tower, 3 * i + 1);

      x[l] = ci_block_norm (g, x[l], norm_name, norm, CI_ACTIVATION_RELU);
    }
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

  memcpy (shared, pyramid, bytes);
  build_towers (g, config, shared, "share", config->fcos.num_share_convs,
      FALSE);
  memcpy (cls, shared, bytes);
  build_towers (g, config, cls, "cls", config->fcos.num_cls_convs,
      config->fcos.use_deformable);
  predict (g, config, cls, HEAD "cls_logits", config->n_classes, logits);
  memcpy (box_towers, shared, bytes);
  build_towers (g, config, box_towers, "bbox", config->fcos.num_box_convs,
      config->fcos.use_deformable);
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
