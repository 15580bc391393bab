/*
 * ref_multibox.c: heads with priors and masks of prototypes in plain C.
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

/* A prior with a class. */
typedef struct
{
  gfloat score;
  gfloat box[4];                /* x0, y0, x1, y1 in widths and heights of the
                                   input */
  gfloat cx, cy;                /* of the prior */
  gint level, cell, cls;
  gboolean suppressed;
} Candidate;

/* Descending score, then the order of the priors. */
static gint
compare_candidates (gconstpointer a, gconstpointer b)
{
  const Candidate *x = a, *y = b;

  if (x->score != y->score)
    return x->score < y->score ? 1 : -1;
  if (x->level != y->level)
    return x->level - y->level;
  if (x->cell != y->cell)
    return x->cell - y->cell;
  return x->cls - y->cls;
}

/* Level, cell, prior's centre and box; FALSE if that is no number. */
static gboolean
decode (const CiPlan * plan, const CiNode * node, gint level, gint y, gint x,
    gint a, const gfloat * size, Candidate * out)
{
  const CiMap *loc = &plan->buffers[node->srcs[2 * level]].map;
  const gfloat *v = node->multibox.variances;
  gfloat cx = (x + 0.5f) / loc->w, cy = (y + 0.5f) / loc->h;
  gfloat w = size[0] * expf (v[1] * at (loc, 4 * a + 2, y, x));
  gfloat h = size[1] * expf (v[1] * at (loc, 4 * a + 3, y, x));
  gfloat x0 = cx + v[0] * at (loc, 4 * a, y, x) * size[0] - w / 2;
  gfloat y0 = cy + v[0] * at (loc, 4 * a + 1, y, x) * size[1] - h / 2;

  *out = (Candidate) {
    0, {x0, y0, x0 + w, y0 + h}, cx, cy, level,
        (y * loc->w + x) * (loc->c / 4) + a};
  return isfinite (x0 + y0 + (x0 + w) + (y0 + h));
}

/* Probabilities of the @n classes behind the background. */
static void
softmax (const CiMap * conf, gint first, gint n, gint y, gint x, gfloat * out)
{
  gdouble top = -INFINITY, sum = 0;

  for (gint k = 0; k <= n; k++)
    top = MAX (top, at (conf, first + k, y, x));
  for (gint k = 0; k <= n; k++)
    sum += exp (at (conf, first + k, y, x) - top);
  for (gint k = 0; k < n; k++)
    out[k] = exp (at (conf, first + 1 + k, y, x) - top) / sum;
}

/* Adds what one prior is, by classes, to @all. */
static void
add_candidates (const CiPlan * plan, CiNms nms, const gfloat * scores, gint n,
    Candidate * candidate, GArray * all)
{
  const CiDetectParams *params = plan->params;
  gint best = 0;

  for (gint c = 1; c < n; c++)
    best = scores[c] > scores[best] ? c : best;
  if (!(scores[best] > params->inference_threshold))
    return;
  for (gint c = 0; c < n; c++) {
    candidate->score = scores[c];
    candidate->cls = c;
    if ((nms == CI_NMS_FAST_CROSS_CLASS && c != best)
        || (nms == CI_NMS_GREEDY && !(scores[c] > params->inference_threshold))
        || (params->score_threshold > 0
            && !(scores[c] > params->score_threshold))
        || (params->classes && !params->classes[c]))
      continue;
    g_array_append_val (all, *candidate);
  }
}

/* @pixels: of boxes in pixels, the last of which belongs to them, too. */
static gdouble
iou (const CiPlan * plan, const Candidate * a, const Candidate * b,
    gboolean pixels)
{
  gfloat sx = pixels ? plan->width : 1, sy = pixels ? plan->height : 1;
  gfloat more = pixels ? 1 : 0;
  gfloat w = MIN (a->box[2], b->box[2]) * sx - MAX (a->box[0], b->box[0]) * sx;
  gfloat h = MIN (a->box[3], b->box[3]) * sy - MAX (a->box[1], b->box[1]) * sy;
  gfloat area_a = (a->box[2] * sx - a->box[0] * sx + more)
      * (a->box[3] * sy - a->box[1] * sy + more);
  gfloat area_b = (b->box[2] * sx - b->box[0] * sx + more)
      * (b->box[3] * sy - b->box[1] * sy + more);
  gfloat inter = MAX (w + more, 0) * MAX (h + more, 0);

  return inter / (area_a + area_b - inter);
}

/* Whether @b, of a lower score, has to go because of @a. */
static gboolean
suppresses (const CiPlan * plan, CiNms nms, const Candidate * a,
    const Candidate * b)
{
  const CiDetectParams *params = plan->params;

  if (a->cls == b->cls || nms == CI_NMS_FAST_CROSS_CLASS) {
    if (nms == CI_NMS_GREEDY)
      return !a->suppressed && iou (plan, a, b, TRUE) >= params->nms_threshold;
    return iou (plan, a, b, FALSE) > params->nms_threshold;
  }
  return params->cross_class_threshold > 0 && !a->suppressed
      && iou (plan, a, b, FALSE) > params->cross_class_threshold;
}

/* The @top_k best of each class, or of all. */
static void
keep_top (GArray * all, gint n_classes, gboolean cross_class, gint top_k)
{
  g_autofree gint *counts = g_new0 (gint, n_classes);
  guint n = 0;

  for (guint i = 0; i < all->len; i++) {
    Candidate c = g_array_index (all, Candidate, i);

    if (counts[cross_class ? 0 : c.cls]++ < top_k)
      g_array_index (all, Candidate, n++) = c;
  }
  g_array_set_size (all, n);
}

static void
set_detection (const CiPlan * plan, const Candidate * c,
    CiDetectionBuffer * out, gint index)
{
  for (gint k = 0; k < 4; k++)
    out->boxes[4 * index + k] = c->box[k] * (k % 2 ? plan->height
        : plan->width);
  out->scores[index] = c->score;
  out->classes[index] = c->cls;
  out->levels[index] = c->level;
  out->cells[index] = c->cell;
  out->locations[2 * index] = c->cx * plan->width;
  out->locations[2 * index + 1] = c->cy * plan->height;
}

gboolean
ci_ref_run_multibox_detect (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const CiDetectParams *params = plan->params;
  CiDetectionBuffer *out = &plan->buffers[step->value].detections;
  CiNms nms = ci_multibox_nms (node, params->nms);
  GArray *all = g_array_new (FALSE, FALSE, sizeof (Candidate));
  g_autofree gfloat *scores = g_new (gfloat, node->channels);
  const gfloat *sizes = node->priors;

  for (gint l = 0; l < node->n_levels; l++) {
    const CiMap *conf = ci_plan_map (plan, node->srcs[2 * l + 1]);
    gint n_priors = ci_graph_level_priors (plan->graph, node, l);

    for (gint y = 0; y < conf->h; y++)
      for (gint x = 0; x < conf->w; x++)
        for (gint a = 0; a < n_priors; a++) {
          Candidate c;

          softmax (conf, a * (node->channels + 1), node->channels, y, x,
              scores);
          if (decode (plan, node, l, y, x, a, sizes + 2 * a, &c))
            add_candidates (plan, nms, scores, node->channels, &c, all);
        }
    sizes += 2 * n_priors;
  }
  g_array_sort (all, compare_candidates);
  if (nms != CI_NMS_GREEDY)
    keep_top (all, node->channels, nms == CI_NMS_FAST_CROSS_CLASS,
        params->pre_nms_top_k);

  out->count = 0;
  for (guint i = 0; i < all->len
      && out->count < MIN (params->post_nms_top_k, node->capacity); i++) {
    Candidate *c = &g_array_index (all, Candidate, i);

    for (guint k = 0; k < i && !c->suppressed; k++)
      c->suppressed = suppresses (plan, nms,
          &g_array_index (all, Candidate, k), c);
    if (!c->suppressed)
      set_detection (plan, c, out, out->count++);
  }
  g_array_unref (all);
  return TRUE;
}

gboolean
ci_ref_run_gather (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const CiDetectionBuffer *d =
      &plan->buffers[node->srcs[node->n_levels]].detections;
  gfloat *row = ci_plan_map (plan, step->value)->data;

  for (gint n = 0; n < d->count; n++) {
    const CiMap *src = ci_plan_map (plan, node->srcs[d->levels[n]]);
    gint n_priors = src->c / node->channels;
    gint cell = d->cells[n] / n_priors, prior = d->cells[n] % n_priors;

    for (gint c = 0; c < node->channels; c++)
      *row++ = at (src, prior * node->channels + c, cell / src->w,
          cell % src->w);
  }
  return TRUE;
}

/* Whether cell @i of an axis of @n is inside of [@lo, @hi), given in inputs, or
 * in the cell around that. */
static gboolean
is_inside (gint i, gint n, gfloat lo, gfloat hi)
{
  gfloat first = MAX (MIN (lo, hi) * n - 1, 0);
  gfloat end = MIN (MAX (lo, hi) * n + 1, n);

  return i >= first && i < end;
}

/* A cell of the mask of detection @n. */
static gdouble
assemble_cell (const CiPlan * plan, const CiNode * node, gint n, gint y,
    gint x)
{
  const CiMap *src = &plan->buffers[node->srcs[0]].map;
  const gfloat *box = plan->buffers[node->srcs[1]].detections.boxes + 4 * n;
  const gfloat *row = plan->buffers[node->srcs[2]].map.data + n * src->c;
  gdouble sum = 0;

  if (!is_inside (x, src->w, box[0] / plan->width, box[2] / plan->width)
      || !is_inside (y, src->h, box[1] / plan->height,
          box[3] / plan->height))
    return 0;
  for (gint c = 0; c < src->c; c++)
    sum += (gdouble) row[c] * at (src, c, y, x);
  return 1 / (1 + exp (-sum));
}

gboolean
ci_ref_run_assemble_masks (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const CiMap *src = ci_plan_map (plan, node->srcs[0]);
  gint count = plan->buffers[node->srcs[1]].detections.count;
  CiBuffer *out = &plan->buffers[step->value];

  for (gint n = 0; n < count; n++) {
    gfloat *prob = out->prob + n * out->grid_size;

    /* the whole map, also where only the box is asked for */
    out->grids[n] = (CiMaskGrid) {
    0, 0, src->w, src->h,.prob = prob};
    ci_plan_place_grid (plan, &out->grids[n]);
    for (gint y = 0; y < src->h; y++)
      for (gint x = 0; x < src->w; x++)
        *prob++ = assemble_cell (plan, node, n, y, x);
  }
  return TRUE;
}

gboolean
ci_ref_run_assemble_items (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiMap *dst = ci_plan_map (plan, step->value);
  gint count = ci_plan_count_items (plan, step->node);
  gfloat *out = dst->data;

  for (gint n = 0; n < count; n++)
    for (gint y = 0; y < dst->h; y++)
      for (gint x = 0; x < dst->w; x++)
        *out++ = assemble_cell (plan, step->node, n, y, x);
  return TRUE;
}

gboolean
ci_ref_run_rescore (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const CiDetectionBuffer *d = &plan->buffers[node->srcs[0]].detections;
  const CiMap *quality = ci_plan_map (plan, node->srcs[1]);
  gfloat *out = ci_plan_map (plan, step->value)->data;

  for (gint n = 0; n < d->count; n++)
    out[n] = d->scores[n] * quality->data[n * quality->c
        + (quality->c == 1 ? 0 : d->classes[n])];
  return TRUE;
}
