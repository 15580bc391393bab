/*
 * graph_multibox.c: the nodes of heads with priors and of what is made of
 * prototypes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "graph.h"

#include <string.h>

gint
ci_graph_level_priors (const CiGraph * graph, const CiNode * node, gint level)
{
  return ci_graph_node (graph, node->srcs[2 * level])->channels / 4;
}

gint
ci_graph_count_priors (const CiGraph * graph, const CiNode * node)
{
  gint n = 0;

  for (gint l = 0; node->op == CI_OP_MULTIBOX_DETECT && l < node->n_levels;
      l++)
    n += ci_graph_level_priors (graph, node, l);
  return n;
}

CiNms
ci_multibox_nms (const CiNode * node, CiNms wanted)
{
  if (wanted == CI_NMS_DEFAULT || wanted > CI_NMS_FAST_CROSS_CLASS)
    wanted = node->multibox.nms;
  return wanted == CI_NMS_GREEDY || wanted == CI_NMS_FAST_CROSS_CLASS ? wanted
      : CI_NMS_FAST;
}

CiValue
ci_graph_multibox_detect (CiGraph * graph, const CiMultiboxLevel * levels,
    gint n_levels, const CiMultiboxParams * params)
{
  gint n_priors, n_classes, at = 0;
  CiValue srcs[16], value;
  CiNode *node;

  g_assert (n_levels >= 1 && n_levels <= 8 && params->capacity >= 1);
  for (gint l = 0; l < n_levels; l++) {
    srcs[2 * l] = levels[l].loc;
    srcs[2 * l + 1] = levels[l].conf;
  }
  node = ci_graph_add_node (graph, CI_OP_MULTIBOX_DETECT, CI_KIND_DETECTIONS,
      srcs, 2 * n_levels, NULL, &value);
  node->n_levels = n_levels;
  node->capacity = params->capacity;
  node->multibox = *params;
  node->priors = g_new (gfloat, 2 * ci_graph_count_priors (graph, node));
  for (gint l = 0; l < n_levels; l++) {
    n_priors = ci_graph_level_priors (graph, node, l);
    n_classes = ci_graph_node (graph, levels[l].conf)->channels / n_priors;
    g_assert (n_priors >= 1 && n_priors <= CI_MAX_PRIORS && n_classes >= 2
        && (l == 0 || n_classes - 1 == node->channels));
    g_assert (ci_graph_node (graph, levels[l].conf)->channels
        == n_priors * n_classes);
    node->channels = n_classes - 1;
    memcpy (node->priors + 2 * at, levels[l].sizes,
        2 * n_priors * sizeof (gfloat));
    at += n_priors;
  }
  return value;
}

CiValue
ci_graph_gather (CiGraph * graph, const CiValue * srcs, gint n_levels,
    CiValue detections, gint channels)
{
  CiValue all[9], value;
  CiNode *node;

  g_assert (n_levels >= 1 && n_levels <= 8);
  memcpy (all, srcs, n_levels * sizeof (CiValue));
  all[n_levels] = detections;
  for (gint l = 0; l < n_levels; l++)
    g_assert (ci_graph_node (graph, srcs[l])->channels % channels == 0);
  node = ci_graph_add_node (graph, CI_OP_GATHER, CI_KIND_ROWS, all,
      n_levels + 1, NULL, &value);
  node->channels = channels;
  node->n_levels = n_levels;
  node->capacity = ci_graph_node (graph, detections)->capacity;
  return value;
}

CiValue
ci_graph_assemble_masks (CiGraph * graph, CiValue prototypes,
    CiValue detections, CiValue coefficients, gboolean full_map)
{
  CiValue srcs[3] = { prototypes, detections, coefficients }, value;
  CiNode *node = ci_graph_add_node (graph, CI_OP_ASSEMBLE_MASKS, CI_KIND_MASKS,
      srcs, 3, NULL, &value);

  g_assert (ci_graph_node (graph, coefficients)->channels
      == ci_graph_node (graph, prototypes)->channels);
  node->full_map = full_map;
  node->capacity = ci_graph_node (graph, detections)->capacity;
  return value;
}

CiValue
ci_graph_assemble_items (CiGraph * graph, CiValue prototypes,
    CiValue detections, CiValue coefficients)
{
  CiValue srcs[3] = { prototypes, detections, coefficients }, value;
  CiNode *node = ci_graph_add_node (graph, CI_OP_ASSEMBLE_ITEMS, CI_KIND_MAP,
      srcs, 3, NULL, &value);

  g_assert (ci_graph_node (graph, coefficients)->channels
      == ci_graph_node (graph, prototypes)->channels);
  node->channels = 1;
  node->items = ci_graph_node (graph, detections)->capacity;
  node->counted_by = detections;
  return value;
}

CiValue
ci_graph_rescore (CiGraph * graph, CiValue detections, CiValue quality)
{
  const CiNode *list = ci_graph_node (graph, detections);
  const CiNode *items = ci_graph_node (graph, quality);
  CiValue srcs[2] = { detections, quality }, value;
  CiNode *node = ci_graph_add_node (graph, CI_OP_RESCORE, CI_KIND_ROWS, srcs,
      2, NULL, &value);

  g_assert (items->counted_by == detections
      && (items->channels == 1 || items->channels == list->channels));
  node->channels = 1;
  node->capacity = list->capacity;
  return value;
}
