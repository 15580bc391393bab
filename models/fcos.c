/*
 * fcos.c: the head of FCOS (Tian et al., ICCV 2019), which CondInst and
 * BlendMask share (3 to 6).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "blocks.h"

#define HEAD "proposal_generator.fcos_head."

/* The tower @tower on level @level: the convolutions are the same on every
 * level, batch norms are not. */
static CiValue
build_tower (CiGraph * g, const CiConfig * config, CiValue x,
    const gchar * tower, gint level, gint n_convs, gboolean deformable)
{
  gint channels = config->fpn.out_channels;
  CiNorm norm = config->fcos.norm;

  for (gint i = 0; i < n_convs; i++) {
    g_autofree gchar *conv = g_strdup_printf (HEAD "%s_tower.%d", tower,
        3 * i);
    g_autofree gchar *norm_name = norm == CI_NORM_BN
        ? g_strdup_printf (HEAD "%s_tower.%d.%d", tower, 3 * i + 1, level)
        : g_strdup_printf (HEAD "%s_tower.%d", tower, 3 * i + 1);

    if (deformable && i == n_convs - 1) {
      g_autofree gchar *offset = g_strconcat (conv, ".offset", NULL);
      g_autofree gchar *inner = g_strconcat (conv, ".conv", NULL);

      x = ci_block_deform_conv (g, x, offset, inner, norm_name, norm, channels,
          1, 1, TRUE, CI_ACTIVATION_RELU);
    } else {
      x = ci_block_conv (g, x, conv, norm_name, norm, channels, 3, 1, 1, TRUE,
          CI_ACTIVATION_RELU);
    }
  }
  return x;
}

static CiValue
predict (CiGraph * g, const CiConfig * config, CiValue x, const gchar * name,
    gint channels)
{
  gint k = config->fcos.prediction_kernel;

  return ci_graph_conv (g, x, name, channels, k, 1, k / 2, 1, TRUE);
}

CiValue
ci_fcos_build (CiGraph * g, const CiConfig * config, const CiValue * pyramid,
    gint capacity, CiValue * box_towers)
{
  CiFcosLevel levels[CI_MAX_LEVELS];
  gint n = config->fcos.n_levels;

  for (gint l = 0; l < n; l++) {
    g_autofree gchar *scale = g_strdup_printf (HEAD "scales.%d.scale", l);
    g_autofree gchar *logits = g_strdup_printf ("head.%d.logits", l);
    g_autofree gchar *reg = g_strdup_printf ("head.%d.reg", l);
    g_autofree gchar *ctr = g_strdup_printf ("head.%d.ctr", l);
    CiValue x = build_tower (g, config, pyramid[l], "share", l,
        config->fcos.num_share_convs, FALSE);
    CiValue cls = build_tower (g, config, x, "cls", l,
        config->fcos.num_cls_convs, config->fcos.use_deformable);
    CiValue box = build_tower (g, config, x, "bbox", l,
        config->fcos.num_box_convs, config->fcos.use_deformable);
    CiValue r = predict (g, config, box, HEAD "bbox_pred", 4);

    if (config->fcos.use_scale)
      r = ci_graph_scale (g, r, scale);
    box_towers[l] = box;
    levels[l] = (CiFcosLevel) {
    predict (g, config, cls, HEAD "cls_logits", config->n_classes),
          ci_graph_activation (g, r, CI_ACTIVATION_RELU),
          predict (g, config, box, HEAD "ctrness", 1),
          config->fcos.strides[l]};
    ci_graph_name (g, levels[l].logits, logits);
    ci_graph_name (g, levels[l].reg, reg);
    ci_graph_name (g, levels[l].ctr, ctr);
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
