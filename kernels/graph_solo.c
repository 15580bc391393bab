/*
 * graph_solo.c: the nodes of SOLO and SOLOv2.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "graph.h"

/* Of all cells; each may become a candidate, and has a place in lists. */
#define MAX_SCORES (1 << 24)

static CiNode *
add_solo_node (CiGraph * graph, CiOp op, CiKind kind,
    const CiSoloLevel * levels, gint n_levels, CiValue like,
    const gchar * name, CiValue detections, const CiSoloParams * params,
    CiValue * value)
{
  gint per_level = params->source == CI_SOLO_STATIC ? 2 : 3, n = 0;
  CiValue srcs[25];
  CiNode *node;

  g_assert (n_levels >= 1 && n_levels <= 8);
  g_assert (params->source != CI_SOLO_STATIC || name);
  for (gint l = 0; l < n_levels; l++) {
    const CiSoloLevel *level = &levels[l];

    g_assert (level->grid >= 1);
    srcs[n] = level->logits;
    for (gint k = 1; k < per_level; k++) {
      const CiNode *map = ci_graph_node (graph, level->masks[k - 1]);

      g_assert (map->kind == CI_KIND_MAP);
      if (params->source == CI_SOLO_PRODUCT)
        g_assert (map->channels == level->grid);
      if (params->source == CI_SOLO_DYNAMIC)
        g_assert (map->channels
            == ci_graph_node (graph, levels[0].masks[1])->channels);
      if (params->source == CI_SOLO_DYNAMIC && k == 2)
        g_assert (level->masks[1] == levels[0].masks[1]);
      srcs[n + k] = level->masks[k - 1];
    }
    n += per_level;
  }
  if (detections != CI_NO_VALUE)
    srcs[n++] = detections;
  node = ci_graph_add_node (graph, op, kind, srcs, n,
      params->source == CI_SOLO_STATIC ? name : NULL, value);
  g_assert (ci_graph_node (graph, like)->kind == CI_KIND_MAP);
  node->like = like;
  node->solo = *params;
  node->n_levels = n_levels;
  node->channels = ci_graph_node (graph, levels[0].logits)->channels;
  for (gint l = 0; l < n_levels; l++) {
    node->grids[l] = levels[l].grid;
    node->strides[l] = levels[l].stride;
  }
  return node;
}

CiValue
ci_graph_solo_detect (CiGraph * graph, const CiSoloLevel * levels,
    gint n_levels, CiValue like, const gchar * name, gint capacity,
    const CiSoloParams * params)
{
  CiValue value;
  CiNode *node = add_solo_node (graph, CI_OP_SOLO_DETECT, CI_KIND_DETECTIONS,
      levels, n_levels, like, name, CI_NO_VALUE, params, &value);

  g_assert (capacity >= 1);
  node->capacity = capacity;
  return value;
}

CiValue
ci_graph_solo_masks (CiGraph * graph, const CiSoloLevel * levels,
    gint n_levels, CiValue like, const gchar * name, CiValue detections,
    const CiSoloParams * params)
{
  CiValue value;
  CiNode *node = add_solo_node (graph, CI_OP_SOLO_MASKS, CI_KIND_MASKS, levels,
      n_levels, like, name, detections, params, &value);

  node->capacity = ci_graph_node (graph, detections)->capacity;
  return value;
}

gboolean
ci_solo_check_sizes (const CiNode * node, const gint * hw, GError ** error)
{
  gint64 n_scores = 0;

  for (gint l = 0; l < node->n_levels; l++)
    n_scores += (gint64) node->grids[l] * node->grids[l] * node->channels;
  if (n_scores > MAX_SCORES) {
    g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
        "%" G_GINT64_FORMAT " scores of SOLO's head (at most %d)", n_scores,
        MAX_SCORES);
    return FALSE;
  }
  for (gint l = 0; l < node->n_levels; l++) {
    const gint *logits = hw + 2 * ci_solo_source (node, l, 0);
    const gint *first = hw + 2 * ci_solo_source (node, l, 1), *second = NULL;
    gint s = node->grids[l];

    if (node->solo.source == CI_SOLO_PRODUCT)
      second = hw + 2 * ci_solo_source (node, l, 2);
    for (gint k = 0; k < (node->solo.source == CI_SOLO_DYNAMIC ? 2 : 1); k++) {
      const gint *cells = k ? first : logits;

      if (cells[0] == s && cells[1] == s)
        continue;
      g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
          "a map of %dx%d for the %dx%d cells of level %d of SOLO's head",
          cells[1], cells[0], s, s, l);
      return FALSE;
    }
    if (second && (first[0] != second[0] || first[1] != second[1])) {
      g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
          "columns of %dx%d and rows of %dx%d for the masks of level %d of "
          "SOLO's head", first[1], first[0], second[1], second[0], l);
      return FALSE;
    }
  }
  return TRUE;
}
