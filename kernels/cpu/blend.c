/*
 * blend.c: BlendMask's blender (SEMANTICS 11): RoIAlign of the bases, their
 * attention, softmax, sum, sigmoid.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cpu.h"

#include <math.h>
#include <stdlib.h>

#include "../simd.h"

typedef struct
{
  CiBlendParams params;
  const CiMap *bases, *rows;
  const CiDetectionBuffer *detections;
  CiBuffer *out;
  CiTap *resize;                /* of the attention, the same on both axes */
  gint pitch;                   /* resolution in whole vectors */
  gfloat *planes;               /* the bases as planes */
  CiTap *taps;                  /* per task: 2 * resolution of RoIAlign */
  gfloat *scratch;              /* per task: rows of weights and bases */
} Blend;

static void
blend_free (gpointer data)
{
  Blend *b = data;

  g_free (b->resize);
  free (b->planes);
  free (b->taps);
  free (b->scratch);
  g_free (b);
}

/* The centres of @n bins of [@lo, @hi) in a map of @cells: detectron2's
 * ROIAlign, aligned, one sample a bin. */
static void
make_roi_taps (CiTap * taps, gint n, gfloat lo, gfloat hi, gint cells)
{
  gfloat bin = (hi - lo) / n;

  for (gint i = 0; i < n; i++) {
    gfloat t = lo + (i + 0.5f) * bin;
    CiTap *tap = &taps[i];

    tap->outside = !(t >= -1 && t <= cells);
    t = tap->outside ? 0 : CLAMP (t, 0, cells - 1);
    tap->i0 = t;
    tap->i1 = MIN (tap->i0 + 1, cells - 1);
    tap->a = t - tap->i0;
  }
}

/* One row of samples of @map, whose rows are @pitch apart. */
CI_INLINE void
sample_row (const gfloat * map, gint pitch, const CiTap * y, const CiTap * xs,
    gint n, gfloat * out)
{
  const gfloat *row0 = map + (gsize) y->i0 * pitch;
  const gfloat *row1 = map + (gsize) y->i1 * pitch;

  for (gint x = 0; x < n; x++) {
    const CiTap *t = &xs[x];
    gfloat p = row0[t->i0] + (row0[t->i1] - row0[t->i0]) * t->a;
    gfloat q = row1[t->i0] + (row1[t->i1] - row1[t->i0]) * t->a;

    out[x] = y->outside || t->outside ? 0.0f : p + (q - p) * y->a;
  }
}

/* Softmax of @weights over the bases, sum of products with @values, sigmoid;
 * @prob may be overwritten behind its end. */
CI_INLINE void
blend_row (gint n_bases, gint pitch, const gfloat * weights,
    const gfloat * values, gfloat * prob)
{
  for (gint x = 0; x < pitch; x += CI_BLOCK) {
    CiV8 top = *(const CiV8 *) (weights + x), norm = ci_v8_set1 (0.0f);
    CiV8 sum = norm;

    for (gint b = 1; b < n_bases; b++)
      top = ci_v8_max (top, *(const CiV8 *) (weights + b * pitch + x));
    for (gint b = 0; b < n_bases; b++) {
      CiV8 w = ci_v8_exp (*(const CiV8 *) (weights + b * pitch + x) - top);

      norm += w;
      sum += w * *(const CiV8 *) (values + b * pitch + x);
    }
    *(CiV8u *) (prob + x) = ci_v8_sigmoid (sum / norm);
  }
}

CI_MULTIVERSION static void
blend_detection (const Blend * m, gint n, CiTap * xs, gfloat * weights)
{
  gint size = m->params.resolution, side = m->params.attention_size;
  gint n_bases = m->bases->c, w = m->bases->w, h = m->bases->h;
  const gfloat *box = m->detections->boxes + 4 * n;
  const gfloat *attention = m->rows->data + (gsize) n * m->rows->c;
  gfloat *prob = m->out->prob + n * m->out->grid_size;
  gfloat *values = weights + n_bases * m->pitch, *row = values
      + n_bases * m->pitch;
  gfloat scale = 1.0f / m->params.stride;
  CiTap *ys = xs + size;

  make_roi_taps (xs, size, box[0] * scale - 0.5f, box[2] * scale - 0.5f, w);
  make_roi_taps (ys, size, box[1] * scale - 0.5f, box[3] * scale - 0.5f, h);
  m->out->grids[n] = (CiMaskGrid) {
  0, 0, size, size,.prob = prob,.in_box = TRUE};
  for (gint y = 0; y < size; y++) {
    for (gint b = 0; b < n_bases; b++) {
      sample_row (attention + b * side * side, side, &m->resize[y], m->resize,
          size, weights + b * m->pitch);
      sample_row (m->planes + (gsize) b * h * w, w, &ys[y], xs, size,
          values + b * m->pitch);
    }
    blend_row (n_bases, m->pitch, weights, values, row);
    for (gint x = 0; x < size; x++)
      *prob++ = row[x];
  }
}

static void
blend_task (gpointer data, gint task, gint n_tasks)
{
  Blend *m = data;
  gint size = m->params.resolution;
  gsize floats = (2 * (gsize) m->bases->c + 1) * m->pitch;

  for (gint n = task; n < m->detections->count; n += n_tasks)
    blend_detection (m, n, m->taps + (gsize) task * 2 * size,
        m->scratch + task * floats);
}

static gboolean
run_blend (CiPlan * plan, CiStep * step, GError ** error)
{
  Blend *m = step->state;
  gsize n = (gsize) m->bases->h * m->bases->w;

  if (!m->detections->count)
    return TRUE;
  for (gint b = 0; b < m->bases->c; b++) {
    const gfloat *in = ci_map_block (m->bases, b / CI_BLOCK) + b % CI_BLOCK;

    for (gsize i = 0; i < n; i++)
      m->planes[b * n + i] = in[i * CI_BLOCK];
  }
  ci_pool_run (plan->pool, blend_task, m, ci_pool_get_n_threads (plan->pool));
  return TRUE;
}

gboolean
ci_cpu_prepare_blend_masks (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  Blend *m = g_new0 (Blend, 1);
  gint size = node->blend.resolution, side = node->blend.attention_size;
  gsize n_tasks = ci_pool_get_n_threads (plan->pool);

  step->state = m;
  step->free_state = blend_free;
  step->run = run_blend;
  m->params = node->blend;
  m->bases = ci_plan_map (plan, node->srcs[0]);
  m->detections = &plan->buffers[node->srcs[1]].detections;
  m->rows = ci_plan_map (plan, node->srcs[2]);
  m->out = &plan->buffers[step->value];
  m->pitch = (size + CI_BLOCK - 1) / CI_BLOCK * CI_BLOCK;
  /* half-pixel bilinear, as torch has it */
  m->resize = ci_cpu_resize_taps (CI_RESIZE_BILINEAR, 0, side, size);
  return (m->planes = ci_aligned_alloc0 ((gsize) m->bases->c * m->bases->h
          * m->bases->w * sizeof (gfloat), error))
      && (m->taps = ci_aligned_alloc0 (n_tasks * 2 * size * sizeof (CiTap),
          error))
      && (m->scratch = ci_aligned_alloc0 (n_tasks * (2 * m->bases->c + 1)
          * m->pitch * sizeof (gfloat), error));
}
