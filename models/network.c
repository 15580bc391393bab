/*
 * network.c: a whole network from its description.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "blocks.h"

CiGraph *
ci_network_build (const CiConfig * config, gint capacity, gboolean full_map,
    gboolean dense_top)
{
  static const CiBackboneFunc backbones[] = {
    [CI_BACKBONE_RESNET] = ci_backbone_resnet,
    [CI_BACKBONE_MOBILENET_V2] = ci_backbone_mobilenet_v2,
    [CI_BACKBONE_DLA] = ci_backbone_dla,
    [CI_BACKBONE_VOVNET] = ci_backbone_vovnet,
  };
  const gchar *prefix = config->fpn.type == CI_NECK_BIFPN
      ? "backbone.bottom_up.backbone." : "backbone.bottom_up.";
  CiGraph *g = ci_graph_new ();
  CiValue input = ci_graph_input (g, 3), detections;
  CiValue pyramid[CI_MAX_LEVELS], box_towers[CI_MAX_LEVELS];
  CiFeature c[3];

  ci_graph_name (g, input, "input");
  backbones[config->backbone.type] (g, input, config, prefix, c);
  ci_pyramid_build (g, config, c, pyramid);
  detections = ci_fcos_build (g, config, pyramid, capacity, box_towers);
  switch (config->architecture) {
    case CI_ARCHITECTURE_CONDINST:
      ci_condinst_build (g, config, pyramid, box_towers, detections, full_map,
          dense_top);
      break;
    case CI_ARCHITECTURE_BLENDMASK:
      ci_blendmask_build (g, config, pyramid, box_towers, detections,
          dense_top);
      break;
    case CI_ARCHITECTURE_FCOS:
      break;                    /* boxes are all */
  }
  return g;
}
