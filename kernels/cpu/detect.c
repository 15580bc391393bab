/*
 * detect.c: FCOS' candidates, decoding, top-k and NMS (SEMANTICS 5 and 6).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "boxes.h"

#include <math.h>
#include <stdlib.h>

#include "../simd.h"

/* More candidates than this per level are never looked at. */
#define MAX_PRE_NMS 5000

typedef struct
{
  CiCandidate *level;           /* 2 * MAX_PRE_NMS, those of one level */
  CiCandidate *all;             /* n_levels * MAX_PRE_NMS */
  gfloat *thresholds;           /* logit from which a cell's class counts */
  gfloat *quality;              /* sigmoid (centre-ness) of each cell */
  gint n_level, n_all;
  gfloat floor;                 /* of the values still of interest */
} Detect;

static void
detect_free (gpointer data)
{
  Detect *d = data;

  free (d->level);
  free (d->all);
  free (d->thresholds);
  free (d->quality);
  g_free (d);
}

static gfloat
sigmoid (gfloat x)
{
  return 1.0 / (1.0 + exp (-(gdouble) x));
}

static void
keep_top (Detect * d, gint top_k)
{
  ci_sort_candidates (d->level, d->n_level);
  if (d->n_level > top_k) {
    d->n_level = top_k;
    d->floor = d->level[top_k - 1].value;
  }
}

static void
consider (Detect * d, const CiNode * node, const CiDetectParams * params,
    gint top_k, const CiMap * reg, gint width, gint level, gint cell, gint cls,
    gfloat logit)
{
  gfloat p = sigmoid (logit), v = p * d->quality[cell];
  const gfloat *ltrb = reg->data + (gsize) cell * CI_BLOCK;
  gint s = node->strides[level];
  gfloat x = cell % width * s + s / 2, y = cell / width * s + s / 2;
  CiCandidate *c = &d->level[d->n_level];

  if (!((node->thresh_with_ctr ? v : p) > params->inference_threshold)
      || !(v >= d->floor) || (params->classes && !params->classes[cls]))
    return;
  *c = (CiCandidate) {
  x - s * ltrb[0], y - s * ltrb[1], x + s * ltrb[2], y + s * ltrb[3], v, cls,
        level, cell};
  /* only broken weights make such boxes */
  if (!isfinite (c->x0 + c->y0 + c->x1 + c->y1))
    return;
  if (++d->n_level == 2 * MAX_PRE_NMS)
    keep_top (d, top_k);
}

/* Cells of @logits in which some class of a block exceeds its threshold. */
CI_MULTIVERSION static gint
next_cell (const gfloat * logits, const gfloat * thresholds, gint cell, gint n)
{
  typedef gint64 V4i __attribute__ ((vector_size (32)));

  for (; cell < n; cell++) {
    CiV8 v = *(const CiV8 *) (logits + (gsize) cell * CI_BLOCK);
    V4i m = (V4i) (v > ci_v8_set1 (thresholds[cell]));

    if (m[0] | m[1] | m[2] | m[3])
      break;
  }
  return cell;
}

static void
scan_level (CiPlan * plan, const CiNode * node, Detect * d, gint level)
{
  const CiDetectParams *params = plan->params;
  const CiMap *logits = ci_plan_map (plan, node->srcs[3 * level]);
  const CiMap *reg = ci_plan_map (plan, node->srcs[3 * level + 1]);
  const CiMap *ctr = ci_plan_map (plan, node->srcs[3 * level + 2]);
  gint n = logits->h * logits->w;
  gint top_k = CLAMP (params->pre_nms_top_k, 1, MAX_PRE_NMS);

  d->n_level = 0;
  d->floor = 0;
  for (gint i = 0; i < n; i++) {
    gdouble q, t = params->inference_threshold;

    d->quality[i] = sigmoid (ctr->data[(gsize) i * CI_BLOCK]);
    q = node->thresh_with_ctr ? d->quality[i] : 1.0;
    /* p > t / q, with room for rounding; consider() decides */
    t = t / q - 1e-5;
    d->thresholds[i] = t <= 0 ? -INFINITY
        : t >= 1 ? INFINITY : log (t / (1 - t));
  }
  for (gint b = 0; b < ci_map_blocks (logits); b++) {
    const gfloat *block = ci_map_block (logits, b);
    gint lanes = MIN (CI_BLOCK, logits->c - b * CI_BLOCK);

    for (gint i = next_cell (block, d->thresholds, 0, n); i < n;
        i = next_cell (block, d->thresholds, i + 1, n))
      for (gint l = 0; l < lanes; l++)
        if (block[(gsize) i * CI_BLOCK + l] > d->thresholds[i])
          consider (d, node, params, top_k, reg, logits->w, level, i,
              b * CI_BLOCK + l, block[(gsize) i * CI_BLOCK + l]);
  }
  keep_top (d, top_k);
}

static gboolean
overlaps (const CiCandidate * a, const CiCandidate * b, gdouble threshold)
{
  gfloat w = MIN (a->x1, b->x1) - MAX (a->x0, b->x0);
  gfloat h = MIN (a->y1, b->y1) - MAX (a->y0, b->y0);
  gfloat inter;

  if (w <= 0 || h <= 0)
    return FALSE;
  inter = w * h;
  return inter / ((a->x1 - a->x0) * (a->y1 - a->y0)
      + (b->x1 - b->x0) * (b->y1 - b->y0) - inter) > threshold;
}

static gboolean
run_fcos_detect (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const CiDetectParams *params = plan->params;
  CiDetectionBuffer *out = &plan->buffers[step->value].detections;
  Detect *d = step->state;
  gint limit = MIN (params->post_nms_top_k, node->capacity);
  gdouble cross_class = params->cross_class_threshold > 0 ?
      params->cross_class_threshold : INFINITY;

  d->n_all = 0;
  for (gint l = 0; l < node->n_levels; l++) {
    scan_level (plan, node, d, l);
    for (gint i = 0; i < d->n_level; i++)
      d->all[d->n_all++] = d->level[i];
  }
  ci_sort_candidates (d->all, d->n_all);

  /* the kept ones gather at the front of the list */
  out->count = 0;
  for (gint i = 0; i < d->n_all && out->count < limit; i++) {
    const CiCandidate *c = &d->all[i];
    gboolean keep = TRUE;

    for (gint k = 0; k < out->count && keep; k++)
      keep = !overlaps (&d->all[k], c, d->all[k].cls == c->cls ?
          params->nms_threshold : cross_class);
    if (!keep)
      continue;
    ci_detections_set (out, out->count, c,
        ci_plan_map (plan, node->srcs[3 * c->level])->w,
        node->strides[c->level]);
    d->all[out->count++] = *c;
  }
  return TRUE;
}

gboolean
ci_cpu_prepare_fcos_detect (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  Detect *d = g_new0 (Detect, 1);
  gsize cells = 0;

  for (gint l = 0; l < node->n_levels; l++) {
    const CiMap *map = ci_plan_map (plan, node->srcs[3 * l]);

    cells = MAX (cells, (gsize) map->h * map->w);
  }
  step->state = d;
  step->free_state = detect_free;
  step->run = run_fcos_detect;
  return (d->level = ci_aligned_alloc0 (2 * MAX_PRE_NMS
          * sizeof (CiCandidate), error))
      && (d->all = ci_aligned_alloc0 (node->n_levels * MAX_PRE_NMS
          * sizeof (CiCandidate), error))
      && (d->thresholds = ci_aligned_alloc0 (cells * sizeof (gfloat), error))
      && (d->quality = ci_aligned_alloc0 (cells * sizeof (gfloat), error));
}
