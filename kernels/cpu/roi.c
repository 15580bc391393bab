/*
 * roi.c: RoIAlign (CiRoiAlignParams), eight channels at once. A bin is the mean
 * of bilinear samples on a grid, so it is separable: cells have weights on each
 * axis, which are the same for all channels. First the rows of the map that a
 * box covers are summed up to bins along x, then these along y.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cpu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../simd.h"

typedef struct
{
  gint cell;
  gfloat weight;
} Tap;

/* One axis of a box: the taps of bin i are [ends[i - 1], ends[i]). */
typedef struct
{
  Tap *taps;
  gint *ends;
} Axis;

typedef struct
{
  CiPlan *plan;
  const CiNode *node;
  const CiMap *dst;
  const CiDetectionBuffer *boxes;
  gint n_tasks;
  /* of a task, as many floats */
  gsize axis_floats, row_floats;
  gfloat *axes, *rows;
} Roi;

static void
roi_free (gpointer data)
{
  Roi *roi = data;

  free (roi->axes);
  free (roi->rows);
  g_free (roi);
}

static gint
find_level (const Roi * roi, const gfloat * box)
{
  const CiRoiAlignParams *p = &roi->node->roi;
  gfloat size = sqrtf ((box[2] - box[0]) * (box[3] - box[1]));
  gfloat level = floorf (p->canonical_level + log2f (size / p->canonical_size
          + p->log_epsilon) + p->level_epsilon) - p->first_level;

  /* no number: the first */
  return level > 0 ? MIN (level, roi->node->n_levels - 1) : 0;
}

/* Samples come in a row, so a cell is one of the last two, if it is there. */
static Tap *
add_tap (const Tap * first, Tap * end, gint cell, gfloat weight)
{
  for (Tap * tap = end - 1; tap >= first && tap >= end - 2; tap--)
    if (tap->cell == cell) {
      tap->weight += weight;
      return end;
    }
  *end = (Tap) { cell, weight };
  return end + 1;
}

/* The taps of a sample at @t among @cells. */
static Tap *
add_sample (const Tap * first, Tap * end, gfloat t, gint cells, gfloat weight,
    gboolean points)
{
  gint i0;
  gfloat a;

  if (!(t >= -1 && t <= cells))
    return end;
  if (!points)
    t = CLAMP (t, 0, cells - 1);
  i0 = floorf (t);
  a = t - i0;
  if (i0 >= 0 && i0 < cells)
    end = add_tap (first, end, i0, (1 - a) * weight);
  if (i0 + 1 < cells && a > 0)
    end = add_tap (first, end, i0 + 1, a * weight);
  return end;
}

/* In single precision and in this order, as the official code: where a sample
 * is outside of the map, and how many there are, depends on it. */
static void
make_axis (const CiRoiAlignParams * p, gfloat lo, gfloat hi, gint stride,
    gint cells, Axis * axis)
{
  gfloat scale = 1.0f / stride, shift = p->aligned || p->points ? 0.5f : 0;
  gfloat start = lo * scale - shift, size = hi * scale - shift - start, bin;
  gint n = p->points ? 1 : p->sampling_ratio;
  Tap *end = axis->taps;

  if (!p->aligned && !p->points)
    size = MAX (size, 1);
  bin = size / p->resolution;
  if (!n && bin > 0)
    n = MIN (ceilf (bin), CI_ROI_MAX_SAMPLES);
  for (gint i = 0; i < p->resolution; i++) {
    const Tap *first = end;

    for (gint k = 0; k < n; k++)
      end = add_sample (first, end, start + i * bin + (k + 0.5f) * bin / n,
          cells, 1.0f / n, p->points);
    axis->ends[i] = end - axis->taps;
  }
}

/* A row of a block of channels to bins along x. Boxes lie anywhere, so the same
 * row of the next block, @next on, is asked for in time. */
CI_INLINE void
sum_row (const CiV8 * row, gsize next, const Axis * xs, gint n, CiV8 * out)
{
  const Tap *tap = xs->taps;

  for (gint x = 0; x < n; x++) {
    CiV8 sum = ci_v8_set1 (0);

    for (const Tap * end = xs->taps + xs->ends[x]; tap < end; tap++) {
      __builtin_prefetch (row + next + tap->cell);
      sum += row[tap->cell] * ci_v8_set1 (tap->weight);
    }
    out[x] = sum;
  }
}

/* One block of channels. @rows: sums along x, of those rows of the map that
 * have been needed: @made. */
CI_MULTIVERSION static void
align_block (const CiMap * map, const CiV8 * in, const Axis * ys,
    const Axis * xs, gint n, CiV8 * rows, guint8 * made, CiV8 * out)
{
  const Tap *tap = ys->taps;

  memset (made, 0, map->h);
  for (gint y = 0; y < n; y++, out += n) {
    for (gint x = 0; x < n; x++)
      out[x] = ci_v8_set1 (0);
    for (const Tap * end = ys->taps + ys->ends[y]; tap < end; tap++) {
      CiV8 *row = rows + (gsize) tap->cell * n;
      CiV8 weight = ci_v8_set1 (tap->weight);

      if (!made[tap->cell])
        sum_row (in + (gsize) tap->cell * map->w, (gsize) map->h * map->w, xs,
            n, row);
      made[tap->cell] = 1;
      for (gint x = 0; x < n; x++)
        out[x] += row[x] * weight;
    }
  }
}

static void
align_box (const Roi * roi, gint index, gfloat * axes, gfloat * rows)
{
  const gfloat *box = roi->boxes->boxes + 4 * index;
  const CiRoiAlignParams *p = &roi->node->roi;
  gint level = find_level (roi, box), n = p->resolution;
  const CiMap *map = ci_plan_map (roi->plan, roi->node->srcs[level]);
  CiMap dst = *roi->dst;
  Axis xs = { (Tap *) axes, (gint *) (axes + roi->axis_floats - n) };
  Axis ys = { (Tap *) (axes + roi->axis_floats),
    (gint *) (axes + 2 * roi->axis_floats - n)
  };
  guint8 *made = (guint8 *) (rows + roi->row_floats) - map->h;

  make_axis (p, box[0], box[2], p->strides[level], map->w, &xs);
  make_axis (p, box[1], box[3], p->strides[level], map->h, &ys);
  dst.data += index * ci_map_floats (&dst);
  for (gint block = 0; block < ci_map_blocks (&dst); block++)
    align_block (map, (const CiV8 *) ci_map_block (map, block), &ys, &xs, n,
        (CiV8 *) rows, made, (CiV8 *) ci_map_block (&dst, block));
}

static void
align_task (gpointer data, gint task, gint n_tasks)
{
  const Roi *roi = data;

  for (gint i = task; i < roi->boxes->count; i += n_tasks)
    align_box (roi, i, roi->axes + task * 2 * roi->axis_floats,
        roi->rows + task * roi->row_floats);
}

static gboolean
run_roi_align (CiPlan * plan, CiStep * step, GError ** error)
{
  Roi *roi = step->state;

  ci_pool_run (plan->pool, align_task, roi, roi->n_tasks);
  return TRUE;
}

/* The most taps that the bins of an axis of @cells can have: two a sample. If
 * these are as many as cells, they ascend, and no cell is there twice. */
static gsize
count_taps (const CiRoiAlignParams * p, gint cells)
{
  gsize n = p->resolution;

  return p->points ? 2 * n : n * (p->sampling_ratio ? 2 * p->sampling_ratio
      : cells);
}

gboolean
ci_cpu_prepare_roi_align (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const CiRoiAlignParams *p = &node->roi;
  Roi *roi = g_new0 (Roi, 1);
  gsize taps = 0, height = 0;

  step->state = roi;
  step->free_state = roi_free;
  step->run = run_roi_align;
  step->all_items = TRUE;
  roi->plan = plan;
  roi->node = node;
  roi->dst = ci_plan_map (plan, step->value);
  roi->boxes = &plan->buffers[node->counted_by].detections;
  roi->n_tasks = ci_pool_get_n_threads (plan->pool);
  for (gint i = 0; i < node->n_levels; i++) {
    const CiMap *map = ci_plan_map (plan, node->srcs[i]);

    taps = MAX (taps, count_taps (p, MAX (map->w, map->h)));
    height = MAX (height, (gsize) map->h);
  }
  roi->axis_floats = taps * sizeof (Tap) / sizeof (gfloat) + p->resolution;
  roi->row_floats = (height * p->resolution + (height + 31) / 32) * CI_BLOCK;
  return (roi->axes = ci_aligned_alloc0 (roi->n_tasks * 2 * roi->axis_floats
          * sizeof (gfloat), error))
      && (roi->rows = ci_aligned_alloc0 (roi->n_tasks * roi->row_floats
          * sizeof (gfloat), error));
}
