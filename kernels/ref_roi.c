/*
 * ref_roi.c: RoIAlign in plain C, sample by sample.
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

static gboolean
roi_reaches (gfloat t, gint cells)
{
  return t >= -1 && t <= cells;
}

gdouble
ci_ref_roi_sample (const CiMap * map, gint c, gfloat y, gfloat x)
{
  gint y0, x0, y1, x1;
  gdouble ay, ax;

  if (!roi_reaches (y, map->h) || !roi_reaches (x, map->w))
    return 0;
  y = CLAMP (y, 0, map->h - 1);
  x = CLAMP (x, 0, map->w - 1);
  y0 = y;
  x0 = x;
  y1 = MIN (y0 + 1, map->h - 1);
  x1 = MIN (x0 + 1, map->w - 1);
  ay = y - y0;
  ax = x - x0;
  return (1 - ay) * ((1 - ax) * at (map, c, y0, x0)
      + ax * at (map, c, y0, x1))
      + ay * ((1 - ax) * at (map, c, y1, x0) + ax * at (map, c, y1, x1));
}

/* As grid_sample: bilinear in a map with zeros around it. */
static gdouble
point_sample (const CiMap * map, gint c, gfloat y, gfloat x)
{
  gdouble sum = 0;

  if (!roi_reaches (y, map->h) || !roi_reaches (x, map->w))
    return 0;
  for (gint k = 0; k < 4; k++) {
    gint sy = (gint) floorf (y) + k / 2, sx = (gint) floorf (x) + k % 2;

    if (sy >= 0 && sy < map->h && sx >= 0 && sx < map->w)
      sum += (1 - fabs ((gdouble) y - sy)) * (1 - fabs ((gdouble) x - sx))
          * at (map, c, sy, sx);
  }
  return sum;
}

static gint
find_level (const CiNode * node, const gfloat * box)
{
  const CiRoiAlignParams *p = &node->roi;
  gfloat size = sqrtf ((box[2] - box[0]) * (box[3] - box[1]));
  gfloat level = floorf (p->canonical_level + log2f (size / p->canonical_size
          + p->log_epsilon) + p->level_epsilon) - p->first_level;

  return level > 0 ? MIN (level, node->n_levels - 1) : 0;
}

/* One axis of a box: where its bins are and how many samples each has. */
typedef struct
{
  gfloat start, bin;
  gint n;
} Axis;

static Axis
make_axis (const CiRoiAlignParams * p, gfloat lo, gfloat hi, gint stride)
{
  gfloat scale = 1.0f / stride, shift = p->aligned || p->points ? 0.5f : 0;
  gfloat start = lo * scale - shift, size = hi * scale - shift - start;
  Axis axis = { start };

  if (!p->aligned && !p->points)
    size = MAX (size, 1);
  axis.bin = size / p->resolution;
  axis.n = p->points ? 1 : p->sampling_ratio;
  /* what is no number has no samples */
  if (!axis.n && axis.bin > 0)
    axis.n = MIN (ceilf (axis.bin), CI_ROI_MAX_SAMPLES);
  return axis;
}

static gfloat
position (const Axis * axis, gint bin, gint sample)
{
  return axis->start + bin * axis->bin
      + (sample + 0.5f) * axis->bin / axis->n;
}

static gdouble
mean_of_bin (const CiMap * map, gint c, const Axis * ys, gint y,
    const Axis * xs, gint x, gboolean points)
{
  gdouble sum = 0;

  for (gint i = 0; i < ys->n; i++) {
    gfloat sy = position (ys, y, i);

    /* boxes may be far larger than the map */
    for (gint k = 0; roi_reaches (sy, map->h) && k < xs->n; k++)
      sum += points ? point_sample (map, c, sy, position (xs, x, k))
          : ci_ref_roi_sample (map, c, sy, position (xs, x, k));
  }
  return sum / MAX (ys->n * xs->n, 1);
}

gboolean
ci_ref_run_roi_align (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const CiRoiAlignParams *p = &node->roi;
  const CiMap *dst = ci_plan_map (plan, step->value);
  const gfloat *box = plan->buffers[node->counted_by].detections.boxes;
  gfloat *out = dst->data;

  for (gint n = ci_plan_count_items (plan, node); n > 0; n--, box += 4) {
    gint level = find_level (node, box);
    const CiMap *map = ci_plan_map (plan, node->srcs[level]);
    Axis xs = make_axis (p, box[0], box[2], p->strides[level]);
    Axis ys = make_axis (p, box[1], box[3], p->strides[level]);

    for (gint c = 0; c < dst->c; c++)
      for (gint y = 0; y < dst->h; y++)
        for (gint x = 0; x < dst->w; x++)
          *out++ = mean_of_bin (map, c, &ys, y, &xs, x, p->points);
  }
  return TRUE;
}
