/*
 * blendmask.c: BlendMask (Chen et al., CVPR 2020) behind FCOS: bases for the
 * whole image, attention over them per detection, and the blender (11).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "blocks.h"

static CiValue
build_bases (CiGraph * g, const CiConfig * config, const CiValue * pyramid)
{
  gint channels = config->blendmask.basis_channels;
  gint n_convs = config->blendmask.basis_num_convs;
  CiNorm norm = config->blendmask.basis_norm;
  /* entry n_convs of the official tower is the upsampling */
  g_autofree gchar *conv = g_strdup_printf ("basis_module.tower.%d.0",
      n_convs + 1);
  g_autofree gchar *bn = g_strdup_printf ("basis_module.tower.%d.1",
      n_convs + 1);
  g_autofree gchar *last = g_strdup_printf ("basis_module.tower.%d",
      n_convs + 2);
  CiValue x = ci_block_mask_features (g, pyramid, "basis_module", channels,
      n_convs, norm, CI_RESIZE_BILINEAR);

  x = ci_graph_upsample (g, x, 2, CI_RESIZE_BILINEAR);
  x = ci_block_conv (g, x, conv, bn, norm, channels, 3, 1, 1,
      norm == CI_NORM_NONE, CI_ACTIVATION_RELU);
  x = ci_graph_conv (g, x, last, config->blendmask.num_bases, 1, 1, 0, 1,
      TRUE);
  ci_graph_name (g, x, "mask.bases");
  return x;
}

void
ci_blendmask_build (CiGraph * g, const CiConfig * config,
    const CiValue * pyramid, const CiValue * box_towers, CiValue detections,
    gboolean dense_top)
{
  CiBlendParams blend = {
    config->fcos.strides[0] / 2, config->blendmask.attention_size,
    config->blendmask.resolution
  };
  CiValue bases = build_bases (g, config, pyramid);
  CiValue attention = ci_fcos_predict_at (g, config, box_towers, detections,
      "top_layer", dense_top);

  ci_graph_output (g, ci_graph_blend_masks (g, bases, detections, attention,
          &blend), "masks");
}
