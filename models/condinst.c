/*
 * condinst.c: CondInst (Tian et al., ECCV 2020) as a graph: backbone, FPN,
 * FCOS head, mask branch, lazy controller, dynamic mask head. Names are those
 * of AdelaiDet's state dicts; golden/SEMANTICS.md section numbers in brackets.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "blocks.h"

typedef struct
{
  CiValue p[CI_MAX_LEVELS];
} Pyramid;

/* FPN over C3..C5 and the extra levels on top of P5 (2.4). */
static void
build_fpn (CiGraph * g, const CiConfig * config, const CiValue c[3],
    Pyramid * out)
{
  gint channels = config->fpn.out_channels;
  CiValue m = CI_NO_VALUE;

  for (gint i = 2; i >= 0; i--) {
    g_autofree gchar *lateral = g_strdup_printf ("backbone.fpn_lateral%d",
        i + 3);
    g_autofree gchar *output = g_strdup_printf ("backbone.fpn_output%d",
        i + 3);
    CiValue x = ci_graph_conv (g, c[i], lateral, channels, 1, 1, 0, 1, TRUE);

    if (m != CI_NO_VALUE)
      x = ci_graph_add (g, x, ci_graph_upsample (g, m, 2, CI_RESIZE_NEAREST));
    m = x;
    out->p[i] = config->fpn.output_convs ?
        ci_graph_conv (g, m, output, channels, 3, 1, 1, 1, TRUE) : m;
  }
  /* P7 sees P6 through a ReLU, P6 itself is used without */
  for (gint i = 0; i < config->fpn.top_levels; i++) {
    CiValue below = out->p[2 + i];

    if (i > 0)
      below = ci_graph_activation (g, below, CI_ACTIVATION_RELU);
    out->p[3 + i] = ci_graph_conv (g, below, i ? "backbone.top_block.p7" :
        "backbone.top_block.p6", channels, 3, 2, 1, 1, TRUE);
  }
  for (gint i = 0; i < config->fcos.n_levels; i++) {
    g_autofree gchar *name = g_strdup_printf ("feat.p%d", i + 3);

    ci_graph_name (g, out->p[i], name);
  }
}

static CiValue
build_tower (CiGraph * g, const CiConfig * config, CiValue x,
    const gchar * tower, gint n_convs)
{
  for (gint i = 0; i < n_convs; i++) {
    g_autofree gchar *conv =
        g_strdup_printf ("proposal_generator.fcos_head.%s_tower.%d", tower,
        3 * i);
    g_autofree gchar *norm =
        g_strdup_printf ("proposal_generator.fcos_head.%s_tower.%d", tower,
        3 * i + 1);

    x = ci_block_conv (g, x, conv, norm, config->fcos.norm,
        config->fpn.out_channels, 3, 1, 1, TRUE, CI_ACTIVATION_RELU);
  }
  return x;
}

/* The FCOS head on each level (4); returns the box towers, which the
 * controller reads, too. */
static void
build_fcos (CiGraph * g, const CiConfig * config, const Pyramid * pyramid,
    CiFcosLevel * levels, CiValue * box_towers)
{
  gint k = config->fcos.prediction_kernel, pad = k / 2;

  for (gint l = 0; l < config->fcos.n_levels; l++) {
    g_autofree gchar *scale =
        g_strdup_printf ("proposal_generator.fcos_head.scales.%d.scale", l);
    g_autofree gchar *logits = g_strdup_printf ("head.%d.logits", l);
    g_autofree gchar *reg = g_strdup_printf ("head.%d.reg", l);
    g_autofree gchar *ctr = g_strdup_printf ("head.%d.ctr", l);
    CiValue x = build_tower (g, config, pyramid->p[l], "share",
        config->fcos.num_share_convs);
    CiValue cls = build_tower (g, config, x, "cls",
        config->fcos.num_cls_convs);
    CiValue box = build_tower (g, config, x, "bbox",
        config->fcos.num_box_convs);
    CiValue r;

    box_towers[l] = box;
    levels[l].stride = config->fcos.strides[l];
    levels[l].logits = ci_graph_conv (g, cls,
        "proposal_generator.fcos_head.cls_logits", config->n_classes, k, 1,
        pad, 1, TRUE);
    r = ci_graph_conv (g, box, "proposal_generator.fcos_head.bbox_pred", 4, k,
        1, pad, 1, TRUE);
    if (config->fcos.use_scale)
      r = ci_graph_scale (g, r, scale);
    levels[l].reg = ci_graph_activation (g, r, CI_ACTIVATION_RELU);
    levels[l].ctr = ci_graph_conv (g, box,
        "proposal_generator.fcos_head.ctrness", 1, k, 1, pad, 1, TRUE);
    ci_graph_name (g, levels[l].logits, logits);
    ci_graph_name (g, levels[l].reg, reg);
    ci_graph_name (g, levels[l].ctr, ctr);
  }
}

/* Mask features from P3..P5 (7). */
static CiValue
build_mask_branch (CiGraph * g, const CiConfig * config,
    const Pyramid * pyramid)
{
  gint channels = config->condinst.branch_channels;
  CiNorm norm = config->condinst.branch_norm;
  CiValue x = CI_NO_VALUE;

  for (gint i = 0; i < 3; i++) {
    g_autofree gchar *conv = g_strdup_printf ("mask_branch.refine.%d.0", i);
    g_autofree gchar *bn = g_strdup_printf ("mask_branch.refine.%d.1", i);
    CiValue y = ci_block_conv (g, pyramid->p[i], conv, bn, norm, channels, 3,
        1, 1, norm == CI_NORM_NONE, CI_ACTIVATION_RELU);

    x = i == 0 ? y : ci_graph_add (g, x, ci_graph_upsample (g, y, 1 << i,
            CI_RESIZE_ALIGNED_BILINEAR));
  }
  for (gint i = 0; i < config->condinst.branch_num_convs; i++) {
    g_autofree gchar *conv = g_strdup_printf ("mask_branch.tower.%d.0", i);
    g_autofree gchar *bn = g_strdup_printf ("mask_branch.tower.%d.1", i);

    x = ci_block_conv (g, x, conv, bn, norm, channels, 3, 1, 1,
        norm == CI_NORM_NONE, CI_ACTIVATION_RELU);
  }
  {
    g_autofree gchar *last = g_strdup_printf ("mask_branch.tower.%d",
        config->condinst.branch_num_convs);

    x = ci_graph_conv (g, x, last, config->condinst.branch_out_channels, 1, 1,
        0, 1, TRUE);
  }
  ci_graph_name (g, x, "mask.feats");
  return x;
}

CiGraph *
ci_network_build (const CiConfig * config, gint capacity, gboolean full_map,
    gboolean dense_controller)
{
  gint n = config->fcos.n_levels, n_params = ci_config_n_parameters (config);
  CiGraph *g = ci_graph_new ();
  CiValue c[3], box_towers[CI_MAX_LEVELS], features, detections, params, masks;
  CiFcosLevel levels[CI_MAX_LEVELS];
  Pyramid pyramid;
  CiMaskHeadParams head = {
    config->fcos.strides[0], config->condinst.mask_out_stride,
    config->condinst.head_channels, config->condinst.head_num_layers,
    config->condinst.rel_coords, {0}, full_map
  };

  for (gint i = 0; i < n; i++)
    head.sizes_of_interest[i] = config->fcos.sizes_of_interest[i];
  ci_block_backbone (g, ci_graph_input (g, 3), config, c);
  build_fpn (g, config, c, &pyramid);
  build_fcos (g, config, &pyramid, levels, box_towers);
  features = build_mask_branch (g, config, &pyramid);
  if (dense_controller)
    for (gint l = 0; l < n; l++) {
      g_autofree gchar *name = g_strdup_printf ("head.%d.top", l);

      ci_graph_name (g, ci_graph_conv (g, box_towers[l], "controller",
              n_params, 3, 1, 1, 1, TRUE), name);
    }
  detections = ci_graph_fcos_detect (g, levels, n, capacity,
      config->fcos.thresh_with_ctr);
  params = ci_graph_conv_at (g, box_towers, n, detections, "controller",
      n_params, 3);
  ci_graph_name (g, params, "pre.params");
  masks = ci_graph_dynamic_mask_head (g, features, detections, params, &head);
  ci_graph_output (g, masks, "masks");
  return g;
}
