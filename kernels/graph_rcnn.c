/*
 * graph_rcnn.c: the nodes of two-stage detectors.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "graph.h"

CiValue
ci_graph_rpn (CiGraph * graph, const CiRpnLevel * levels, gint n_levels,
    const CiRpnParams * params)
{
  CiValue srcs[16], value;
  CiNode *node;

  g_assert (n_levels >= 1 && n_levels <= 8);
  g_assert (params->n_ratios >= 1 && params->n_ratios <= 8);
  g_assert (params->pre_nms_top_n >= 1
      && params->pre_nms_top_n <= CI_RPN_MAX_TOP_N);
  g_assert (params->post_nms_top_n >= 1);
  for (gint i = 0; i < n_levels; i++) {
    srcs[2 * i] = levels[i].objectness;
    srcs[2 * i + 1] = levels[i].deltas;
    g_assert (ci_graph_node (graph, srcs[2 * i])->channels
        == params->n_ratios);
    g_assert (ci_graph_node (graph, srcs[2 * i + 1])->channels
        == 4 * params->n_ratios);
  }
  node = ci_graph_add_node (graph, CI_OP_RPN, CI_KIND_DETECTIONS, srcs,
      2 * n_levels, NULL, &value);
  node->rpn = *params;
  node->channels = 1;
  node->capacity = params->post_nms_top_n;
  node->n_levels = n_levels;
  for (gint i = 0; i < n_levels; i++) {
    node->strides[i] = levels[i].stride;
    node->anchor_sizes[i] = levels[i].anchor_size;
  }
  return value;
}

CiValue
ci_graph_box_detect (CiGraph * graph, CiValue proposals, CiValue logits,
    CiValue deltas, const CiBoxDetectParams * params)
{
  CiValue srcs[3] = { proposals, logits, deltas }, value;
  CiNode *node = ci_graph_add_node (graph, CI_OP_BOX_DETECT,
      CI_KIND_DETECTIONS, srcs, 3, NULL, &value);
  gint n_boxes = ci_graph_node (graph, deltas)->channels / 4;

  g_assert (ci_graph_node (graph, logits)->counted_by == proposals
      && ci_graph_node (graph, deltas)->counted_by == proposals);
  node->box_detect = *params;
  node->capacity = params->capacity;
  node->channels = ci_graph_node (graph, logits)->channels - 1;
  g_assert (node->capacity >= 1 && node->channels >= 1);
  g_assert (ci_graph_node (graph, deltas)->channels == 4 * n_boxes);
  g_assert (n_boxes == 1 || n_boxes == node->channels
      || n_boxes == node->channels + 1);
  return value;
}

CiValue
ci_graph_class_masks (CiGraph * graph, CiValue src, CiValue detections,
    const gchar * name, gint out_channels, gint first_channel)
{
  CiValue srcs[2] = { src, detections }, value;
  CiNode *node = ci_graph_add_node (graph, CI_OP_CLASS_MASKS, CI_KIND_MASKS,
      srcs, 2, name, &value);

  g_assert (out_channels == 1 || first_channel
      + ci_graph_node (graph, detections)->channels <= out_channels);
  g_assert (ci_graph_node (graph, src)->counted_by == detections);
  node->channels = out_channels;
  node->first_channel = first_channel;
  node->kernel = node->groups = 1;
  node->bias = TRUE;
  node->capacity = ci_graph_node (graph, detections)->capacity;
  return value;
}

CiValue
ci_graph_point_rend (CiGraph * graph, CiValue features, CiValue coarse,
    CiValue detections, const gchar * name, const CiPointRendParams * params)
{
  CiValue srcs[3] = { features, coarse, detections }, value;
  CiNode *node = ci_graph_add_node (graph, CI_OP_POINT_REND, CI_KIND_MASKS,
      srcs, 3, name, &value);

  g_assert (params->n_layers >= 0 && params->start_size >= 1
      && params->n_steps >= 0 && params->n_points >= 1);
  g_assert (params->start_size << params->n_steps <= 4096);
  g_assert (ci_graph_node (graph, coarse)->counted_by == detections);
  node->point_rend = *params;
  node->channels = ci_graph_node (graph, coarse)->channels
      / (params->coarse_size * params->coarse_size);
  g_assert (ci_graph_node (graph, coarse)->channels == node->channels
      * params->coarse_size * params->coarse_size);
  g_assert (ci_graph_node (graph, detections)->channels <= node->channels);
  node->capacity = ci_graph_node (graph, detections)->capacity;
  return value;
}

gchar *
ci_point_rend_layer (const CiNode * node, gint index)
{
  return index == node->point_rend.n_layers ?
      g_strdup_printf ("%s.predictor", node->name)
      : g_strdup_printf ("%s.fc%d", node->name, index + 1);
}

void
ci_point_rend_dims (const CiGraph * graph, const CiNode * node, gint index,
    gint64 dims[3])
{
  const CiPointRendParams *params = &node->point_rend;

  dims[0] = index == params->n_layers ? node->channels : params->channels;
  dims[1] = node->channels + (index ? params->channels
      : ci_graph_node (graph, node->srcs[0])->channels);
  dims[2] = 1;
}
