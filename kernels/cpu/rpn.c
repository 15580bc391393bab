/*
 * rpn.c: region proposals (SEMANTICS-maskrcnn "RPN"): the best logits of each
 * level, their anchors moved by the deltas, NMS, the best of all.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "boxes.h"

#include <math.h>
#include <stdlib.h>

#include "../simd.h"

typedef struct
{
  const CiMap *logits, *deltas;
  gfloat anchors[8][2];         /* half a width, half a height */
  gint step_x, step_y;
  guint64 *ranks;               /* 2 * pre_nms_top_n */
  gfloat *boxes;                /* of those that NMS kept, best first */
  guint64 *kept_ranks;
  CiKept kept;
} Level;

typedef struct
{
  const CiRpnParams *params;
  gint n_levels;
  Level levels[8];
  guint64 *ranks;               /* of all levels' proposals */
  gint frame_width, frame_height;
} Rpn;

static void
rpn_free (gpointer data)
{
  Rpn *r = data;

  for (gint l = 0; l < r->n_levels; l++) {
    free (r->levels[l].ranks);
    free (r->levels[l].boxes);
    free (r->levels[l].kept_ranks);
    free (r->levels[l].kept.planes[0]);
  }
  free (r->ranks);
  g_free (r);
}

/* The next of @n cells with a logit above @floor in its first lanes; @others is
 * -inf in the rest. */
CI_MULTIVERSION static gint
next_cell (const gfloat * logits, const gfloat * others, gfloat floor,
    gint cell, gint n)
{
  typedef gint64 V4i __attribute__ ((vector_size (32)));
  const CiV8 not = *(const CiV8u *) others, limit = ci_v8_set1 (floor);

  for (; cell < n; cell++) {
    CiV8 v = *(const CiV8 *) (logits + (gsize) cell * CI_BLOCK) + not;
    V4i m = (V4i) (v > limit);

    if (m[0] | m[1] | m[2] | m[3])
      break;
  }
  return cell;
}

/* The best @top_n logits, in their order; returns how many. */
static gint
find_top (const Level * level, gint top_n)
{
  const CiMap *logits = level->logits;
  gint n_cells = logits->h * logits->w, n = 0;
  gfloat floor = -INFINITY, others[CI_BLOCK] = { 0 };

  for (gint a = logits->c; a < CI_BLOCK; a++)
    others[a] = -INFINITY;
  for (gint i = next_cell (logits->data, others, floor, 0, n_cells);
      i < n_cells; i = next_cell (logits->data, others, floor, i + 1, n_cells))
    for (gint a = 0; a < logits->c; a++) {
      gfloat value = logits->data[(gsize) i * CI_BLOCK + a];

      if (!(value > floor))
        continue;
      level->ranks[n++] = ci_rank (value, i * logits->c + a);
      if (n == 2 * top_n) {
        ci_ranks_select (level->ranks, n, top_n);
        n = top_n;
        /* later ones of this very value are behind */
        floor = ci_rank_value (level->ranks[0]);
        for (gint k = 1; k < n; k++)
          floor = MIN (floor, ci_rank_value (level->ranks[k]));
      }
    }
  ci_ranks_select (level->ranks, n, top_n);
  n = MIN (n, top_n);
  ci_ranks_sort (level->ranks, n);
  return n;
}

/* The centre of anchor @number. */
static void
anchor_centre (const Level * level, guint32 number, gfloat * x, gfloat * y)
{
  gint cell = number / level->logits->c;

  *x = cell % level->logits->w * level->step_x;
  *y = cell / level->logits->w * level->step_y;
}

static void
propose (gpointer data, gint task, gint n_tasks)
{
  static const gfloat weights[4] = { 1, 1, 1, 1 };
  Rpn *r = data;
  const CiRpnParams *params = r->params;
  gfloat threshold = ci_float_threshold (params->nms_threshold);
  Level *level = &r->levels[task];
  const CiMap *deltas = level->deltas;
  gsize plane = (gsize) deltas->h * deltas->w * CI_BLOCK;
  gint n = find_top (level, params->pre_nms_top_n);

  level->kept.count = 0;
  for (gint i = 0; i < n; i++) {
    guint32 number = ci_rank_number (level->ranks[i]);
    gint a = number % level->logits->c, cell = number / level->logits->c;
    gint kept = level->kept.count;
    gfloat *box = level->boxes + 4 * kept, x, y;
    /* four of a block */
    const gfloat *d = deltas->data + a / 2 * plane + (gsize) cell * CI_BLOCK
        + a % 2 * 4;

    anchor_centre (level, number, &x, &y);
    box[0] = x - level->anchors[a][0];
    box[1] = y - level->anchors[a][1];
    box[2] = x + level->anchors[a][0];
    box[3] = y + level->anchors[a][1];
    if (ci_move_box (box, d, weights, r->frame_width, r->frame_height,
            params->min_size, params->min_size_inclusive)
        && ci_kept_add (&level->kept, box, 0, threshold, INFINITY))
      level->kept_ranks[kept] = level->ranks[i];
  }
}

static gboolean
run_rpn (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  CiDetectionBuffer *out = &plan->buffers[step->value].detections;
  gint top_n = node->rpn.pre_nms_top_n, n = 0;
  Rpn *r = step->state;

  r->frame_width = plan->frame_width;
  r->frame_height = plan->frame_height;
  ci_pool_run (plan->pool, propose, r, r->n_levels);

  for (gint l = 0; l < r->n_levels; l++)
    for (gint i = 0; i < r->levels[l].kept.count; i++)
      r->ranks[n++] = ci_rank (ci_rank_value (r->levels[l].kept_ranks[i]),
          l * top_n + i);
  ci_ranks_select (r->ranks, n, node->capacity);
  out->count = MIN (n, node->capacity);
  ci_ranks_sort (r->ranks, out->count);
  for (gint i = 0; i < out->count; i++) {
    guint32 number = ci_rank_number (r->ranks[i]);
    const Level *level = &r->levels[number / top_n];
    guint32 cell = ci_rank_number (level->kept_ranks[number % top_n]);

    for (gint k = 0; k < 4; k++)
      out->boxes[4 * i + k] = level->boxes[4 * (number % top_n) + k];
    out->scores[i] = ci_rank_value (r->ranks[i]);
    out->classes[i] = 0;
    out->levels[i] = number / top_n;
    out->cells[i] = cell;
    anchor_centre (level, cell, &out->locations[2 * i],
        &out->locations[2 * i + 1]);
  }
  return TRUE;
}

static gboolean
prepare_level (CiPlan * plan, const CiNode * node, Level * level, gint index,
    GError ** error)
{
  const CiRpnParams *params = &node->rpn;
  gsize n = params->pre_nms_top_n;

  level->logits = ci_plan_map (plan, node->srcs[2 * index]);
  level->deltas = ci_plan_map (plan, node->srcs[2 * index + 1]);
  level->step_x = level->step_y = node->strides[index];
  if (params->rounded_anchors) {
    level->step_x = plan->width / level->logits->w;
    level->step_y = plan->height / level->logits->h;
  }
  for (gint a = 0; a < params->n_ratios; a++)
    for (gint k = 0; k < 2; k++) {
      gdouble root = sqrt (params->ratios[a]);
      gfloat half = node->anchor_sizes[index] * (k ? root : 1 / root) / 2;

      level->anchors[a][k] = params->rounded_anchors ? rintf (half) : half;
    }
  return (level->ranks = ci_aligned_alloc0 (2 * n * sizeof (guint64), error))
      && (level->kept_ranks = ci_aligned_alloc0 (n * sizeof (guint64), error))
      /* and a candidate behind them */
      && (level->boxes = ci_aligned_alloc0 ((n + 1) * 4 * sizeof (gfloat),
          error)) && ci_kept_init (&level->kept, n, error);
}

gboolean
ci_cpu_prepare_rpn (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  Rpn *r = g_new0 (Rpn, 1);

  step->state = r;
  step->free_state = rpn_free;
  step->run = run_rpn;
  r->params = &node->rpn;
  r->n_levels = node->n_levels;
  for (gint l = 0; l < r->n_levels; l++)
    if (!prepare_level (plan, node, &r->levels[l], l, error))
      return FALSE;
  return (r->ranks = ci_aligned_alloc0 ((gsize) r->n_levels
          * node->rpn.pre_nms_top_n * sizeof (guint64), error)) != NULL;
}
