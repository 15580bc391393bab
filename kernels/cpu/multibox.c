/*
 * multibox.c: detections of a head with priors, and what else it says of them
 * (SEMANTICS-yolact "Priors" to "Selection and NMS").
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cpu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../simd.h"

/* More candidates than this per class are never looked at. */
#define MAX_PRE_NMS 1000

typedef struct
{
  const CiMap *loc, *conf;
  const gfloat *sizes;          /* of the priors of a cell */
  gint n_priors, first_prior, first_cell;
} Level;

/* A prior with a class. */
typedef struct
{
  gfloat score;
  gint32 prior, cls;
} Candidate;

/* One that has been looked at and may suppress others. */
typedef struct
{
  gfloat box[4];                /* in widths and heights of the input */
  gint32 cls;
  gint32 before;                /* the one of its list before it, or -1 */
} Seen;

typedef struct
{
  CiPlan *plan;
  const CiNode *node;
  Level levels[8];
  gint n_classes;               /* without the background */
  gint n_cells, n_priors;       /* of all levels */
  gint row_floats;              /* of a cell's logits */
  gfloat least;                 /* best logit - background's, to pass */
  gfloat *rows;                 /* per task */
  guint8 *passes;               /* per prior */
  gfloat *scores;               /* of one prior */
  gdouble *exponentials;
  gint list_size;
  Candidate *lists;             /* list_size for each class, worst first */
  gint *n_listed;
  Seen *seen;
  gint32 *last;                 /* per class: the last one seen, or -1 */
  gint32 *kept;                 /* those seen that are detections */
} Multibox;

static void
multibox_free (gpointer data)
{
  Multibox *m = data;

  free (m->rows);
  free (m->passes);
  free (m->scores);
  free (m->exponentials);
  free (m->lists);
  free (m->n_listed);
  free (m->seen);
  free (m->last);
  free (m->kept);
  g_free (m);
}

/* ---- which priors are worth it ------------------------------------------ */

/* Marks the priors of the cells [@first, @end) of @level whose best class comes
 * close enough to the background. */
CI_MULTIVERSION static void
scan_cells (const Multibox * m, const Level * level, gint first, gint end,
    gfloat * row)
{
  const CiMap *conf = level->conf;
  gint blocks = ci_map_blocks (conf), n = m->n_classes + 1;
  guint8 *passes = m->passes + level->first_prior + first * level->n_priors;

  for (gint i = first; i < end; i++) {
    for (gint b = 0; b < blocks; b++)
      *(CiV8 *) (row + b * CI_BLOCK) =
          *(const CiV8 *) (ci_map_block (conf, b) + (gsize) i * CI_BLOCK);
    for (gint a = 0; a < level->n_priors; a++) {
      const gfloat *p = row + a * n;
      CiV8 best = ci_v8_set1 (-INFINITY);
      gfloat top = -INFINITY;
      gint k = 1;

      for (; k + CI_BLOCK <= n; k += CI_BLOCK)
        best = ci_v8_max ((CiV8) * (const CiV8u *) (p + k), best);
      for (; k < n; k++)
        top = MAX (p[k], top);
      for (gint l = 0; l < CI_BLOCK; l++)
        top = MAX (best[l], top);
      *passes++ = top - p[0] >= m->least;
    }
  }
}

static void
scan_task (gpointer data, gint task, gint n_tasks)
{
  Multibox *m = data;
  gint first = (gint64) m->n_cells * task / n_tasks;
  gint end = (gint64) m->n_cells * (task + 1) / n_tasks;

  for (gint l = 0; l < m->node->n_levels; l++) {
    const Level *level = &m->levels[l];
    gint n = level->conf->h * level->conf->w;
    gint a = CLAMP (first - level->first_cell, 0, n);
    gint b = CLAMP (end - level->first_cell, 0, n);

    scan_cells (m, level, a, b, m->rows + (gsize) task * m->row_floats);
  }
}

/* ---- candidates ---------------------------------------------------------- */

/* Whether @a comes behind @b: by score, ties in the order of the priors. */
static gboolean
behind (const Candidate * a, const Candidate * b)
{
  if (a->score != b->score)
    return a->score < b->score;
  if (a->prior != b->prior)
    return a->prior > b->prior;
  return a->cls > b->cls;
}

/* @sign 1: the best one is c[0], -1: the worst one. */
CI_INLINE gboolean
below (const Candidate * a, const Candidate * b, const gint sign)
{
  return sign > 0 ? behind (a, b) : behind (b, a);
}

CI_INLINE void
sift_down (Candidate * c, gint root, gint n, const gint sign)
{
  Candidate moved = c[root];
  gint child;

  while ((child = 2 * root + 1) < n) {
    if (child + 1 < n && below (&c[child], &c[child + 1], sign))
      child++;
    if (!below (&moved, &c[child], sign))
      break;
    c[root] = c[child];
    root = child;
  }
  c[root] = moved;
}

/* Adds @c to list @index, of which the @limit best stay. */
static void
list_candidate (Multibox * m, gint index, gint limit, const Candidate * c)
{
  Candidate *list = m->lists + (gsize) index * m->list_size;
  gint n = m->n_listed[index];

  if (n == limit) {
    if (behind (c, &list[0]))
      return;
    list[0] = *c;
    sift_down (list, 0, n, -1);
    return;
  }
  m->n_listed[index]++;
  for (; n > 0 && behind (c, &list[(n - 1) / 2]); n = (n - 1) / 2)
    list[n] = list[(n - 1) / 2];
  list[n] = *c;
}

/* The box of a prior; FALSE if it is no number. */
static gboolean
decode (const Multibox * m, const Level * level, gint cell, gint a,
    gfloat box[4])
{
  const CiMap *loc = level->loc;
  const gfloat *v = m->node->multibox.variances;
  const gfloat *size = level->sizes + 2 * a;
  gfloat d[4], cx = (cell % loc->w + 0.5f) / loc->w;
  gfloat cy = (cell / loc->w + 0.5f) / loc->h, w, h;

  for (gint k = 0; k < 4; k++)
    d[k] = ci_map_block (loc, (4 * a + k) / CI_BLOCK)[(gsize) cell * CI_BLOCK
        + (4 * a + k) % CI_BLOCK];
  w = size[0] * expf (v[1] * d[2]);
  h = size[1] * expf (v[1] * d[3]);
  box[0] = cx + v[0] * d[0] * size[0] - w / 2;
  box[1] = cy + v[0] * d[1] * size[1] - h / 2;
  box[2] = box[0] + w;
  box[3] = box[1] + h;
  return isfinite (box[0] + box[1] + box[2] + box[3]);
}

/* As exact as the reference: equal scores have to stay equal. */
static void
softmax (const Multibox * m, const Level * level, gint cell, gint a)
{
  const CiMap *conf = level->conf;
  gint n = m->n_classes, first = a * (n + 1);
  gfloat *out = m->scores, background = 0;
  gdouble top = -INFINITY, sum = 0;

  for (gint k = 0; k <= n; k++) {
    gint c = first + k;
    gfloat v = ci_map_block (conf, c / CI_BLOCK)[(gsize) cell * CI_BLOCK
        + c % CI_BLOCK];

    *(k ? &out[k - 1] : &background) = v;
    top = MAX (top, v);
  }
  sum = exp (background - top);
  for (gint k = 0; k < n; k++)
    sum += m->exponentials[k] = exp (out[k] - top);
  for (gint k = 0; k < n; k++)
    out[k] = m->exponentials[k] / sum;
}

/* Adds the classes of one prior to the lists. */
static void
consider (Multibox * m, CiNms nms, gint limit, gint prior)
{
  const CiDetectParams *params = m->plan->params;
  gfloat least = params->score_threshold > 0 ? params->score_threshold : -1;
  const Level *level = m->levels;
  gint best = 0, i;
  gfloat box[4];

  while (prior >= level->first_prior + level->n_priors * level->loc->h
      * level->loc->w)
    level++;
  i = prior - level->first_prior;
  softmax (m, level, i / level->n_priors, i % level->n_priors);
  for (gint c = 1; c < m->n_classes; c++)
    best = m->scores[c] > m->scores[best] ? c : best;
  if (!(m->scores[best] > params->inference_threshold)
      || !decode (m, level, i / level->n_priors, i % level->n_priors, box))
    return;
  if (nms == CI_NMS_GREEDY)
    least = MAX (least, params->inference_threshold);
  for (gint c = 0; c < m->n_classes; c++) {
    Candidate candidate = { m->scores[c], prior, c };

    if ((nms != CI_NMS_FAST_CROSS_CLASS || c == best)
        && m->scores[c] > least && (!params->classes || params->classes[c]))
      list_candidate (m, nms == CI_NMS_FAST_CROSS_CLASS ? 0 : c, limit,
          &candidate);
  }
}

/* ---- suppression --------------------------------------------------------- */

static gfloat
iou (const gfloat a[4], const gfloat b[4])
{
  gfloat w = MIN (a[2], b[2]) - MAX (a[0], b[0]);
  gfloat h = MIN (a[3], b[3]) - MAX (a[1], b[1]);
  gfloat inter;

  if (w <= 0 || h <= 0)
    return 0;
  inter = w * h;
  return inter / ((a[2] - a[0]) * (a[3] - a[1])
      + (b[2] - b[0]) * (b[3] - b[1]) - inter);
}

/* Of boxes in pixels, the last of which belongs to them, too. */
static gfloat
pixel_iou (const gfloat a[4], const gfloat b[4], gfloat sx, gfloat sy)
{
  gfloat w = MIN (a[2], b[2]) * sx - MAX (a[0], b[0]) * sx + 1;
  gfloat h = MIN (a[3], b[3]) * sy - MAX (a[1], b[1]) * sy + 1;
  gfloat inter;

  if (w <= 0 || h <= 0)
    return 0;
  inter = w * h;
  return inter / ((a[2] * sx - a[0] * sx + 1) * (a[3] * sy - a[1] * sy + 1)
      + (b[2] * sx - b[0] * sx + 1) * (b[3] * sy - b[1] * sy + 1) - inter);
}

/* Whether one of the list that ends at @last suppresses @box. */
static gboolean
is_suppressed (const Multibox * m, CiNms nms, gint32 last, const gfloat * box)
{
  gdouble threshold = m->plan->params->nms_threshold;
  gfloat w = m->plan->width, h = m->plan->height;

  for (gint32 i = last; i >= 0; i = m->seen[i].before)
    if (nms == CI_NMS_GREEDY ? pixel_iou (m->seen[i].box, box, w, h)
        >= threshold : iou (m->seen[i].box, box) > threshold)
      return TRUE;
  return FALSE;
}

/* The same of what is kept of other classes. */
static gboolean
competes (const Multibox * m, const Seen * s, gint n_kept)
{
  gdouble threshold = m->plan->params->cross_class_threshold;

  for (gint i = 0; i < n_kept && threshold > 0; i++) {
    const Seen *other = &m->seen[m->kept[i]];

    if (other->cls != s->cls && iou (other->box, s->box) > threshold)
      return TRUE;
  }
  return FALSE;
}

static void
set_detection (const Multibox * m, const Level * level, const Candidate * c,
    const gfloat * box, CiDetectionBuffer * out)
{
  gint index = out->count++, prior = c->prior - level->first_prior;
  gint cell = prior / level->n_priors, w = level->loc->w, h = level->loc->h;

  for (gint k = 0; k < 4; k++)
    out->boxes[4 * index + k] = box[k] * (k % 2 ? m->plan->height
        : m->plan->width);
  out->scores[index] = c->score;
  out->classes[index] = c->cls;
  out->levels[index] = level - m->levels;
  out->cells[index] = prior;
  out->locations[2 * index] = (cell % w + 0.5f) / w * m->plan->width;
  out->locations[2 * index + 1] = (cell / w + 0.5f) / h * m->plan->height;
}

/* All lists as one, the best one first of all. */
static gint
merge_lists (Multibox * m)
{
  gint n = 0;

  for (gint c = 0; c < m->n_classes; c++) {
    memmove (m->lists + n, m->lists + (gsize) c * m->list_size,
        m->n_listed[c] * sizeof (Candidate));
    n += m->n_listed[c];
  }
  for (gint i = n / 2 - 1; i >= 0; i--)
    sift_down (m->lists, i, n, 1);
  return n;
}

static void
select_best (Multibox * m, CiNms nms, CiDetectionBuffer * out, gint limit)
{
  gint n = merge_lists (m), n_seen = 0;

  for (gint c = 0; c < m->n_classes; c++)
    m->last[c] = -1;
  out->count = 0;
  while (n > 0 && out->count < limit) {
    Candidate c = m->lists[0];
    Seen *s = &m->seen[n_seen];
    gint32 *last = &m->last[nms == CI_NMS_FAST_CROSS_CLASS ? 0 : c.cls];
    const Level *level = m->levels;
    gboolean keep;

    m->lists[0] = m->lists[--n];
    sift_down (m->lists, 0, n, 1);
    while (c.prior >= level->first_prior + level->n_priors * level->loc->h
        * level->loc->w)
      level++;
    decode (m, level, (c.prior - level->first_prior) / level->n_priors,
        (c.prior - level->first_prior) % level->n_priors, s->box);
    s->cls = c.cls;
    keep = !is_suppressed (m, nms, *last, s->box)
        && (nms == CI_NMS_FAST_CROSS_CLASS || !competes (m, s, out->count));
    if (keep) {
      m->kept[out->count] = n_seen;
      set_detection (m, level, &c, s->box, out);
    }
    if (keep || nms != CI_NMS_GREEDY) {
      s->before = *last;
      *last = n_seen++;
    }
  }
}

static gboolean
run_multibox (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiDetectParams *params = plan->params;
  Multibox *m = step->state;
  CiNms nms = ci_multibox_nms (m->node, params->nms);
  gdouble t = params->inference_threshold;
  gint limit = nms == CI_NMS_GREEDY ? m->list_size
      : CLAMP (params->pre_nms_top_k, 0, m->list_size);

  /* p > t needs exp (logit - background) > t / (1 - t); with room for
   * rounding, consider() decides */
  m->least = t <= 0 ? -INFINITY : t >= 1 ? INFINITY
      : log (t / (1 - t)) - 1e-3;
  ci_pool_run (plan->pool, scan_task, m, ci_pool_get_n_threads (plan->pool));
  memset (m->n_listed, 0, m->n_classes * sizeof (gint));
  for (gint i = 0; i < m->n_priors && limit > 0; i++)
    if (m->passes[i])
      consider (m, nms, limit, i);
  select_best (m, nms, &plan->buffers[step->value].detections,
      MIN (params->post_nms_top_k, m->node->capacity));
  return TRUE;
}

gboolean
ci_cpu_prepare_multibox_detect (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  Multibox *m = g_new0 (Multibox, 1);
  const gfloat *sizes = node->priors;
  gsize n_tasks = ci_pool_get_n_threads (plan->pool), n = node->channels;
  gsize n_listed;

  step->state = m;
  step->free_state = multibox_free;
  step->run = run_multibox;
  m->plan = plan;
  m->node = node;
  m->n_classes = n;
  for (gint l = 0; l < node->n_levels; l++) {
    Level *level = &m->levels[l];

    *level = (Level) {
      ci_plan_map (plan, node->srcs[2 * l]),
          ci_plan_map (plan, node->srcs[2 * l + 1]), sizes,
          ci_graph_level_priors (plan->graph, node, l), m->n_priors,
          m->n_cells};
    sizes += 2 * level->n_priors;
    m->n_cells += level->loc->h * level->loc->w;
    m->n_priors += level->loc->h * level->loc->w * level->n_priors;
    m->row_floats = MAX (m->row_floats, (ci_map_blocks (level->conf) + 1)
        * CI_BLOCK);
  }
  m->list_size = MIN (m->n_priors, MAX_PRE_NMS);
  n_listed = n * m->list_size;
  return (m->rows = ci_aligned_alloc0 (n_tasks * m->row_floats
          * sizeof (gfloat), error))
      && (m->passes = ci_aligned_alloc0 (m->n_priors, error))
      && (m->scores = ci_aligned_alloc0 (n * sizeof (gfloat), error))
      && (m->exponentials = ci_aligned_alloc0 (n * sizeof (gdouble), error))
      && (m->lists = ci_aligned_alloc0 (n_listed * sizeof (Candidate), error))
      && (m->n_listed = ci_aligned_alloc0 (n * sizeof (gint), error))
      && (m->seen = ci_aligned_alloc0 ((n_listed + 1) * sizeof (Seen), error))
      && (m->last = ci_aligned_alloc0 (n * sizeof (gint32), error))
      && (m->kept = ci_aligned_alloc0 (node->capacity * sizeof (gint32),
          error));
}

/* ---- what else is said of them ------------------------------------------- */

static gboolean
run_gather (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const CiDetectionBuffer *d =
      &plan->buffers[node->srcs[node->n_levels]].detections;
  gfloat *row = ci_plan_map (plan, step->value)->data;

  for (gint n = 0; n < d->count; n++) {
    const CiMap *src = ci_plan_map (plan, node->srcs[d->levels[n]]);
    gint n_priors = src->c / node->channels;
    gint first = d->cells[n] % n_priors * node->channels;
    gsize cell = d->cells[n] / n_priors;

    for (gint c = first; c < first + node->channels; c++)
      *row++ = ci_map_block (src, c / CI_BLOCK)[cell * CI_BLOCK
          + c % CI_BLOCK];
  }
  return TRUE;
}

gboolean
ci_cpu_prepare_gather (CiPlan * plan, CiStep * step, GError ** error)
{
  step->run = run_gather;
  return TRUE;
}
