/*
 * ref_rcnn.c: region proposals and the detections of a box head, in plain C
 * (SEMANTICS-maskrcnn).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "ref.h"

#include <math.h>

static gfloat
at (const CiMap * map, gint c, gint y, gint x)
{
  return map->data[((gsize) c * map->h + y) * map->w + x];
}

/* Moves the box of @c by @deltas, of which those of the sides have a limit, and
 * clips it. Whether it is a box then. */
static gboolean
move_box (CiPlan * plan, CiCandidate * c, const gfloat deltas[4],
    const gfloat weights[4], gfloat min_size, gboolean inclusive)
{
  gfloat limit = log (1000.0 / 16);
  gfloat w = c->x1 - c->x0, h = c->y1 - c->y0;
  gfloat cx = c->x0 + 0.5f * w, cy = c->y0 + 0.5f * h;

  cx = deltas[0] / weights[0] * w + cx;
  cy = deltas[1] / weights[1] * h + cy;
  w = expf (MIN (deltas[2] / weights[2], limit)) * w;
  h = expf (MIN (deltas[3] / weights[3], limit)) * h;
  if (!isfinite (cx + cy + w + h))
    return FALSE;
  c->x0 = CLAMP (cx - 0.5f * w, 0, plan->frame_width);
  c->y0 = CLAMP (cy - 0.5f * h, 0, plan->frame_height);
  c->x1 = CLAMP (cx + 0.5f * w, 0, plan->frame_width);
  c->y1 = CLAMP (cy + 0.5f * h, 0, plan->frame_height);
  w = c->x1 - c->x0;
  h = c->y1 - c->y0;
  return inclusive ? w >= min_size && h >= min_size
      : w > min_size && h > min_size;
}

static void
set_detection (CiDetectionBuffer * out, const CiCandidate * c, gfloat x,
    gfloat y)
{
  gint n = out->count++;

  ci_detections_set (out, n, c, 1, 1);
  out->scores[n] = c->value;
  out->locations[2 * n] = x;
  out->locations[2 * n + 1] = y;
}

/* ---- region proposals --------------------------------------------------- */

/* The anchor of a cell and its centre. */
static void
set_anchor (CiPlan * plan, const CiNode * node, gint level, CiCandidate * c,
    gfloat * x, gfloat * y)
{
  const CiMap *map = ci_plan_map (plan, node->srcs[2 * level]);
  gint a = c->cell % map->c, cell = c->cell / map->c;
  gint step_x = node->strides[level], step_y = step_x;
  gdouble size = node->anchor_sizes[level], ratio = node->rpn.ratios[a];
  gdouble w = size / sqrt (ratio), h = size * sqrt (ratio);
  gfloat x1 = w / 2, y1 = h / 2;

  if (node->rpn.rounded_anchors) {
    x1 = rint (x1);
    y1 = rint (y1);
    step_x = plan->width / map->w;
    step_y = plan->height / map->h;
  }
  *x = cell % map->w * step_x;
  *y = cell / map->w * step_y;
  c->x0 = *x - x1;
  c->y0 = *y - y1;
  c->x1 = *x + x1;
  c->y1 = *y + y1;
}

/* The proposals of a level, after NMS, appended to @all. */
static void
propose (CiPlan * plan, const CiNode * node, gint level, GArray * all)
{
  static const gfloat weights[4] = { 1, 1, 1, 1 };
  const CiRpnParams *rpn = &node->rpn;
  const CiMap *logits = ci_plan_map (plan, node->srcs[2 * level]);
  const CiMap *deltas = ci_plan_map (plan, node->srcs[2 * level + 1]);
  GArray *top = g_array_new (FALSE, FALSE, sizeof (CiCandidate));
  guint first = all->len;

  for (gint y = 0; y < logits->h; y++)
    for (gint x = 0; x < logits->w; x++)
      for (gint a = 0; a < logits->c; a++) {
        CiCandidate c = {.value = at (logits, a, y, x),.level = level,
          .cell = (y * logits->w + x) * logits->c + a
        };

        if (!isnan (c.value))
          g_array_append_val (top, c);
      }
  g_array_sort_with_data (top, ci_ref_compare_candidates, NULL);
  for (guint i = 0; i < top->len && i < (guint) rpn->pre_nms_top_n; i++) {
    CiCandidate *c = &g_array_index (top, CiCandidate, i);
    gint a = c->cell % logits->c, cell = c->cell / logits->c;
    gfloat d[4], px, py;
    gboolean keep = TRUE;

    set_anchor (plan, node, level, c, &px, &py);
    for (gint k = 0; k < 4; k++)
      d[k] = at (deltas, 4 * a + k, cell / logits->w, cell % logits->w);
    if (!move_box (plan, c, d, weights, rpn->min_size,
            rpn->min_size_inclusive))
      continue;
    for (guint k = first; k < all->len && keep; k++)
      keep = !(ci_ref_iou (&g_array_index (all, CiCandidate, k), c)
          > rpn->nms_threshold);
    if (keep)
      g_array_append_val (all, *c);
  }
  g_array_unref (top);
}

static gboolean
run_rpn (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  CiDetectionBuffer *out = &plan->buffers[step->value].detections;
  GArray *all = g_array_new (FALSE, FALSE, sizeof (CiCandidate));

  for (gint l = 0; l < node->n_levels; l++)
    propose (plan, node, l, all);
  g_array_sort_with_data (all, ci_ref_compare_candidates, NULL);
  out->count = 0;
  for (guint i = 0; i < all->len && out->count < node->capacity; i++) {
    const CiCandidate *c = &g_array_index (all, CiCandidate, i);
    CiCandidate anchor = *c;
    gfloat x, y;

    set_anchor (plan, node, c->level, &anchor, &x, &y);
    set_detection (out, c, x, y);
  }
  g_array_unref (all);
  return TRUE;
}

gboolean
ci_ref_prepare_rpn (CiPlan * plan, CiStep * step, GError ** error)
{
  step->run = run_rpn;
  return TRUE;
}

/* ---- the box head ------------------------------------------------------- */

/* FALSE if one of the @n logits is not finite. */
static gboolean
softmax (const gfloat * logits, gint n, gdouble * p)
{
  gdouble top = -INFINITY, sum = 0;

  for (gint i = 0; i < n; i++) {
    if (!isfinite (logits[i]))
      return FALSE;
    top = MAX (top, logits[i]);
  }
  for (gint i = 0; i < n; i++)
    sum += p[i] = exp (logits[i] - top);
  for (gint i = 0; i < n; i++)
    p[i] /= sum;
  return TRUE;
}

/* All that @proposal gives, appended to @all. */
static void
detect_proposal (CiPlan * plan, const CiNode * node, gint proposal,
    GArray * all)
{
  const CiBoxDetectParams *box_detect = &node->box_detect;
  const gfloat *from = plan->buffers[node->srcs[0]].detections.boxes
      + 4 * proposal;
  const CiMap *logits = ci_plan_map (plan, node->srcs[1]);
  const CiMap *deltas = ci_plan_map (plan, node->srcs[2]);
  gint n_boxes = deltas->c / 4, first = box_detect->background_first;
  g_autofree gdouble *p = g_new (gdouble, logits->c);

  if (!softmax (logits->data + (gsize) proposal * logits->c, logits->c, p))
    return;
  for (gint k = 0; k < node->channels; k++) {
    gint box = n_boxes == 1 ? 0 : n_boxes == node->channels ? k : k + first;
    CiCandidate c = { from[0], from[1], from[2], from[3], p[k + first], k, 0,
      proposal
    };

    if (c.value > MAX (plan->params->inference_threshold,
            plan->params->score_threshold)
        && (!plan->params->classes || plan->params->classes[k])
        && move_box (plan, &c, deltas->data + (gsize) proposal * deltas->c
            + 4 * box, box_detect->weights, box_detect->min_size,
            box_detect->min_size_inclusive))
      g_array_append_val (all, c);
  }
}

static gboolean
run_box_detect (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const CiDetectParams *params = plan->params;
  const CiDetectionBuffer *proposals =
      &plan->buffers[node->srcs[0]].detections;
  CiDetectionBuffer *out = &plan->buffers[step->value].detections;
  GArray *all = g_array_new (FALSE, FALSE, sizeof (CiCandidate));
  guint n = 0;

  for (gint i = 0; i < proposals->count; i++)
    detect_proposal (plan, node, i, all);
  g_array_sort_with_data (all, ci_ref_compare_candidates, NULL);

  /* the kept ones gather at the front */
  out->count = 0;
  for (guint i = 0; i < all->len
      && out->count < MIN (params->post_nms_top_k, node->capacity); i++) {
    CiCandidate c = g_array_index (all, CiCandidate, i);
    gboolean keep = TRUE;

    for (guint k = 0; k < n && keep; k++) {
      const CiCandidate *b = &g_array_index (all, CiCandidate, k);

      keep = b->cls == c.cls ? !(ci_ref_iou (b, &c) > params->nms_threshold)
          : !(params->cross_class_threshold > 0
          && ci_ref_iou (b, &c) > params->cross_class_threshold);
    }
    if (!keep)
      continue;
    g_array_index (all, CiCandidate, n++) = c;
    set_detection (out, &c, proposals->locations[2 * c.cell],
        proposals->locations[2 * c.cell + 1]);
    out->levels[out->count - 1] = proposals->levels[c.cell];
  }
  g_array_unref (all);
  return TRUE;
}

gboolean
ci_ref_prepare_box_detect (CiPlan * plan, CiStep * step, GError ** error)
{
  step->run = run_box_detect;
  return TRUE;
}

/* ---- the mask head's last layer ------------------------------------------ */

typedef struct
{
  gfloat *weight, *bias;
} Layer;

static void
layer_free (gpointer data)
{
  Layer *layer = data;

  g_free (layer->weight);
  g_free (layer->bias);
  g_free (layer);
}

static gboolean
run_class_masks (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const Layer *layer = step->state;
  const CiMap *src = ci_plan_map (plan, node->srcs[0]);
  const CiDetectionBuffer *d = &plan->buffers[node->srcs[1]].detections;
  CiBuffer *out = &plan->buffers[step->value];
  gsize cells = (gsize) src->h * src->w;

  for (gint n = 0; n < d->count; n++) {
    const gfloat *map = src->data + n * src->c * cells;
    gfloat *prob = out->prob + n * out->grid_size;
    gint o = node->channels == 1 ? 0 : node->first_channel + d->classes[n];

    for (gsize i = 0; i < cells; i++) {
      gdouble sum = layer->bias[o];

      for (gint c = 0; c < src->c; c++)
        sum += (gdouble) layer->weight[o * src->c + c] * map[c * cells + i];
      prob[i] = 1 / (1 + exp (-sum));
    }
    out->grids[n] = (CiMaskGrid) {
    0, 0, src->w, src->h,.prob = prob,.in_box = TRUE};
  }
  return TRUE;
}

gboolean
ci_ref_prepare_class_masks (CiPlan * plan, CiStep * step, GError ** error)
{
  Layer *layer = g_new0 (Layer, 1);

  step->run = run_class_masks;
  step->state = layer;
  step->free_state = layer_free;
  return ci_plan_fold_conv (plan, step->node, &layer->weight, &layer->bias,
      error);
}
