/*
 * network.c: a whole network from its description.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "method.h"

const CiMethod *const ci_methods[CI_N_ARCHITECTURES] = {
  [CI_ARCHITECTURE_CONDINST] = &ci_method_condinst,
  [CI_ARCHITECTURE_BLENDMASK] = &ci_method_blendmask,
  [CI_ARCHITECTURE_FCOS] = &ci_method_fcos,
  [CI_ARCHITECTURE_SOLOV2] = &ci_method_solov2,
  [CI_ARCHITECTURE_DECOUPLED_SOLO] = &ci_method_decoupled_solo,
  [CI_ARCHITECTURE_SOLO] = &ci_method_solo,
  [CI_ARCHITECTURE_YOLACT] = &ci_method_yolact,
  [CI_ARCHITECTURE_POINTREND] = &ci_method_pointrend,
  [CI_ARCHITECTURE_MASKRCNN] = &ci_method_maskrcnn,
};

void
ci_backbone_build (CiGraph * graph, CiValue input, const CiConfig * config,
    const gchar * prefix, CiFeature c[4])
{
  static const CiBackboneFunc backbones[] = {
    [CI_BACKBONE_RESNET] = ci_backbone_resnet,
    [CI_BACKBONE_MOBILENET_V2] = ci_backbone_mobilenet_v2,
    [CI_BACKBONE_DLA] = ci_backbone_dla,
    [CI_BACKBONE_VOVNET] = ci_backbone_vovnet,
    [CI_BACKBONE_DARKNET] = ci_backbone_darknet,
  };

  backbones[config->backbone.type] (graph, input, config, prefix ? prefix
      : ci_resnet_names[config->backbone.names].prefix, c);
}

CiGraph *
ci_network_build (const CiConfig * config, const CiBuildOptions * options)
{
  const CiBuildOptions defaults = { config->inference.post_nms_top_k };
  CiGraph *graph = ci_graph_new ();
  CiValue input = ci_graph_input (graph, 3);

  ci_graph_name (graph, input, "input");
  ci_methods[config->architecture]->build (graph, input, config,
      options ? options : &defaults);
  return graph;
}
