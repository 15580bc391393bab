/*
 * condinst.c: CondInst (Tian et al., ECCV 2020) and BoxInst (Tian et al., CVPR
 * 2021) behind FCOS: mask branch (7), lazy controller, dynamic mask head (8).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "blocks.h"

void
ci_condinst_build (CiGraph * g, const CiConfig * config,
    const CiValue * pyramid, const CiValue * box_towers, CiValue detections,
    gboolean full_map, gboolean dense_top)
{
  gint n_convs = config->condinst.branch_num_convs;
  g_autofree gchar *last = g_strdup_printf ("mask_branch.tower.%d", n_convs);
  CiMaskHeadParams head = {
    config->fcos.strides[0], config->condinst.mask_out_stride,
    config->condinst.head_channels, config->condinst.head_num_layers,
    config->condinst.rel_coords, {0}, full_map
  };
  CiValue features, params;

  for (gint i = 0; i < config->fcos.n_levels; i++)
    head.sizes_of_interest[i] = config->fcos.sizes_of_interest[i];
  features = ci_block_mask_features (g, pyramid, "mask_branch",
      config->condinst.branch_channels, n_convs, config->condinst.branch_norm,
      CI_RESIZE_ALIGNED_BILINEAR);
  features = ci_graph_conv (g, features, last,
      config->condinst.branch_out_channels, 1, 1, 0, 1, TRUE);
  ci_graph_name (g, features, "mask.feats");
  params = ci_fcos_predict_at (g, config, box_towers, detections, "controller",
      dense_top);
  ci_graph_output (g, ci_graph_dynamic_mask_head (g, features, detections,
          params, &head), "masks");
}
