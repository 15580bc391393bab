/*
 * kernel_point.h: what a thread computes of PointRend's subdivision inference
 * (SEMANTICS-pointrend). What the coarse logits add to a layer is linear in
 * them and so is their sampling: it is computed once for each of their cells
 * and sampled instead of them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_KERNEL_POINT_H
#define CI_KERNEL_POINT_H

#include "kernel_rcnn.h"

#define CI_POINT_MAX_LAYERS 8
/* Channels of features and of hidden layers, at most. */
#define CI_POINT_MAX_WIDTH 256
/* A block makes the logits of so many points. */
#define CI_POINT_TILE 16
#define CI_POINT_THREADS 256
/* Threads that share a point's last sum. */
#define CI_POINT_PARTS (CI_POINT_THREADS / CI_POINT_TILE)

/* A layer: in x out weights of what comes from the layer before, classes x out
 * of the coarse logits. Of the predictor: a row of inputs for each class. */
typedef struct
{
  const float *weight, *coarse, *bias;
} CiPointLayer;

typedef struct
{
  CiView features, coarse;      /* coarse: items of one cell */
  CiDeviceDetections detections;
  float stride;
  int32_t n_classes, coarse_size;
  int32_t n_layers, width;      /* hidden ones */
  CiPointLayer layer[CI_POINT_MAX_LAYERS + 1];
  float *tables;                /* per detection and cell: n_layers * width, and
                                   one for the predictor */
  /* The maps of all detections, map_pitch apart: of size cells a side, and what
   * they are enlarged from. */
  float *map, *before;
  int32_t size;
  int64_t map_pitch;
  CiKey *keys;                  /* per cell of all maps */
  CiKey *top;                   /* n_points per detection: which to make */
  int32_t n_points;             /* all: every cell, without top */
  int32_t all;
  CiDeviceMasks out;
} CiPointArgs;

CI_HD int
ci_point_table_width (const CiPointArgs * a)
{
  return a->n_layers * a->width + 1;
}

/* Element: what the coarse logits of a cell add to an output of a layer. */
CI_HD void
ci_point_tables_element (const CiPointArgs * a, int64_t i)
{
  int width = ci_point_table_width (a), cells = a->coarse_size
      * a->coarse_size;
  int64_t row = i / width, n = row / cells, at = n * a->coarse.image;
  int o = (int) (i - row * width), cell = (int) (row - n * cells), l;
  const float *weight;
  float sum = 0.0f;
  int step;

  if (n >= *a->detections.count)
    return;
  l = o / a->width < a->n_layers ? o / a->width : a->n_layers;
  if (l == a->n_layers) {
    weight = a->layer[l].coarse + (int64_t) a->detections.classes[n]
        * a->n_classes;
    step = 1;
  } else {
    weight = a->layer[l].coarse + (o - l * a->width);
    step = a->width;
  }
  for (int c = 0; c < a->n_classes; c++)
    sum += weight[(int64_t) c * step] * ci_load (&a->coarse, at + c * cells
        + cell);
  a->tables[i] = sum;
}

/* A sample: four cells and their weights, 0 outside (torch's grid_sample). */
typedef struct
{
  int32_t cell[4];
  float weight[4];
} CiPointSample;

CI_HD CiPointSample
ci_point_sample (float y, float x, int h, int w)
{
  CiPointSample s;
  int inside = y > -1.0f && y < (float) h && x > -1.0f && x < (float) w;
  int y0 = inside ? (int) floorf (y) : 0, x0 = inside ? (int) floorf (x) : 0;
  float ay = y - (float) y0, ax = x - (float) x0;

  for (int k = 0; k < 4; k++) {
    int sy = y0 + k / 2, sx = x0 + k % 2;
    int hit = inside && sy >= 0 && sy < h && sx >= 0 && sx < w;

    s.cell[k] = hit ? sy * w + sx : 0;
    s.weight[k] = hit ? (k / 2 ? ay : 1.0f - ay) * (k % 2 ? ax : 1.0f - ax)
        : 0.0f;
  }
  return s;
}

/* Cell of point @index of detection @n, or -1. */
CI_HD int
ci_point_cell (const CiPointArgs * a, int n, int index)
{
  if (index >= a->n_points)
    return -1;
  return a->all ? index
      : (int) ~(uint32_t) a->top[(int64_t) n * a->n_points + index];
}

CI_HD CiPointSample
ci_point_coarse_sample (const CiPointArgs * a, int cell)
{
  int y = cell / a->size, size = a->coarse_size;
  float v = ((float) y + 0.5f) / (float) a->size;
  float u = ((float) (cell - y * a->size) + 0.5f) / (float) a->size;

  return ci_point_sample (ci_mul (v, (float) size) - 0.5f,
      ci_mul (u, (float) size) - 0.5f, size, size);
}

CI_HD CiPointSample
ci_point_fine_sample (const CiPointArgs * a, const float *box, int cell)
{
  int y = cell / a->size;
  float v = ((float) y + 0.5f) / (float) a->size;
  float u = ((float) (cell - y * a->size) + 0.5f) / (float) a->size;

  return ci_point_sample ((box[1] + ci_mul (v, box[3] - box[1])) / a->stride
      - 0.5f, (box[0] + ci_mul (u, box[2] - box[0])) / a->stride - 0.5f,
      a->features.h, a->features.w);
}

typedef struct
{
  int32_t cell[CI_POINT_TILE];  /* -1: there is no such point */
  CiPointSample coarse[CI_POINT_TILE];
  float partial[CI_POINT_TILE][CI_POINT_PARTS];
  /* of layers by turns */
  float values[2][CI_POINT_TILE][CI_POINT_MAX_WIDTH];
} CiPointShared;

CI_HD float
ci_point_sampled (const CiPointArgs * a, int n, const CiPointSample * s, int o)
{
  int width = ci_point_table_width (a);
  const float *table = a->tables + (int64_t) n * a->coarse_size
      * a->coarse_size * width + o;
  float sum = 0.0f;

  for (int k = 0; k < 4; k++)
    sum += s->weight[k] * table[(int64_t) s->cell[k] * width];
  return sum;
}

/* A layer's outputs @o, thread by thread, of all points. */
CI_HD void
ci_point_layer (const CiPointArgs * a, CiPointShared * s, int n, int l,
    int thread)
{
  const CiPointLayer *layer = &a->layer[l];
  float (*in)[CI_POINT_MAX_WIDTH] = s->values[l & 1];
  float (*out)[CI_POINT_MAX_WIDTH] = s->values[~l & 1];
  int n_in = l == 0 ? a->features.c : a->width;
  float sum[CI_POINT_TILE];

  if (thread >= a->width)
    return;
  CI_UNROLL for (int p = 0; p < CI_POINT_TILE; p++)
    sum[p] = layer->bias[thread] + (s->cell[p] < 0 ? 0.0f
        : ci_point_sampled (a, n, &s->coarse[p], l * a->width + thread));
  for (int i = 0; i < n_in; i++) {
    float w = layer->weight[(int64_t) i * a->width + thread];

    CI_UNROLL for (int p = 0; p < CI_POINT_TILE; p++)
      sum[p] += w * in[p][i];
  }
  CI_UNROLL for (int p = 0; p < CI_POINT_TILE; p++)
    out[p][thread] = sum[p] > 0.0f ? sum[p] : 0.0f;
}

/* Block: a tile of a detection's points. */
CI_HD int
ci_point_head_block (const CiPointArgs * a, void *shared, int bx, int by,
    int bz, int thread, int phase)
{
  CiPointShared *s = (CiPointShared *) shared;
  const CiPointLayer *last = &a->layer[a->n_layers];
  int n = by, p = thread / CI_POINT_PARTS, part = thread % CI_POINT_PARTS;
  int n_last = a->n_layers ? a->width : a->features.c;

  (void) bz;
  if (n >= *a->detections.count)
    return 0;
  if (phase == 0) {
    const float *box = a->detections.boxes + 4 * n;
    int cell = ci_point_cell (a, n, bx * CI_POINT_TILE + p);
    CiPointSample fine;

    if (part == 0) {
      s->cell[p] = cell;
      s->coarse[p] = ci_point_coarse_sample (a, cell < 0 ? 0 : cell);
    }
    fine = ci_point_fine_sample (a, box, cell < 0 ? 0 : cell);
    for (int c = part * CI_OCTET; c < a->features.cp;
        c += CI_POINT_PARTS * CI_OCTET) {
      float sum[CI_OCTET] = { 0.0f }, v[CI_OCTET];

      for (int k = 0; k < 4; k++) {
        int y = fine.cell[k] / a->features.w;

        ci_load8 (&a->features, ci_view_at (&a->features, 0, y,
                fine.cell[k] - y * a->features.w) + c, v);
        CI_UNROLL for (int i = 0; i < CI_OCTET; i++)
          sum[i] += fine.weight[k] * v[i];
      }
      CI_UNROLL for (int i = 0; i < CI_OCTET; i++)
        s->values[0][p][c + i] = sum[i];
    }
  } else if (phase <= a->n_layers) {
    ci_point_layer (a, s, n, phase - 1, thread);
  } else if (phase == a->n_layers + 1) {
    const float *in = s->values[a->n_layers & 1][p];
    const float *weight = last->weight
        + (int64_t) a->detections.classes[n] * n_last;
    float sum = 0.0f;

    for (int i = part; i < n_last; i += CI_POINT_PARTS)
      sum += weight[i] * in[i];
    s->partial[p][part] = sum;
  } else {
    if (thread < CI_POINT_TILE && s->cell[thread] >= 0) {
      float sum = last->bias[a->detections.classes[n]]
          + ci_point_sampled (a, n, &s->coarse[thread],
          a->n_layers * a->width);

      for (int i = 0; i < CI_POINT_PARTS; i++)
        sum += s->partial[thread][i];
      a->map[(int64_t) n * a->map_pitch + s->cell[thread]] = sum;
    }
    return 0;
  }
  return 1;
}

/* Element: a cell of a map, twice as large as before: bilinear, half-pixel; and
 * its key. The less certain, the greater that is. */
CI_HD void
ci_point_enlarge_element (const CiPointArgs * a, int64_t i)
{
  int size = a->size, half = size / 2, x, y, x0, y0, x1, y1;
  int64_t cells = (int64_t) size * size, n = i / cells;
  int cell = (int) (i - n * cells);
  const float *from = a->before + n * a->map_pitch;
  float ay, ax, p, q, v;

  if (n >= *a->detections.count)
    return;
  y = cell / size;
  x = cell - y * size;
  /* results weigh 3/4 and 1/4 of two cells */
  y0 = ci_max ((y + 1) / 2 - 1, 0);
  x0 = ci_max ((x + 1) / 2 - 1, 0);
  y1 = ci_min ((y + 1) / 2, half - 1);
  x1 = ci_min ((x + 1) / 2, half - 1);
  ay = y == 0 ? 0.0f : y % 2 ? 0.25f : 0.75f;
  ax = x == 0 ? 0.0f : x % 2 ? 0.25f : 0.75f;
  p = from[y0 * half + x0] + ci_mul (from[y0 * half + x1]
      - from[y0 * half + x0], ax);
  q = from[y1 * half + x0] + ci_mul (from[y1 * half + x1]
      - from[y1 * half + x0], ax);
  v = p + ci_mul (q - p, ay);
  a->map[n * a->map_pitch + cell] = v;
  a->keys[n * a->map_pitch + cell] =
      (CiKey) ci_value_order (-fabsf (v)) << 32 | (uint32_t) ~(uint32_t) cell;
}

/* Block: the least certain cells of a detection's map. */
CI_HD int
ci_point_select_block (const CiPointArgs * a, void *shared, int bx, int by,
    int bz, int thread, int phase)
{
  CiSelectShared *s = (CiSelectShared *) shared;
  CiKey *top = a->top + (int64_t) bx * a->n_points;

  (void) by;
  (void) bz;
  if (bx >= *a->detections.count)
    return 0;
  if (phase == 0) {
    ci_select_start (&s->select, (uint32_t) (a->size * a->size),
        (uint32_t) a->n_points, thread);
    return 1;
  }
  if (ci_select_phase (&s->select, s->keys, a->keys + bx * a->map_pitch,
          thread, phase))
    return 1;
  for (uint32_t i = (uint32_t) thread; i < s->select.n; i += CI_SELECT_THREADS)
    top[i] = s->keys[i];
  return 0;
}

/* Element: a cell of a mask. */
CI_HD void
ci_point_finish_element (const CiPointArgs * a, int64_t i)
{
  int64_t cells = (int64_t) a->size * a->size, n = i / cells;

  if (n < *a->detections.count)
    ci_store_mask (&a->out, a->size, a->size, n, i - n * cells,
        ci_sigmoid (a->map[n * a->map_pitch + i - n * cells]));
}

#define CI_POINT_KERNELS(ELEMENT, BLOCK) \
  ELEMENT (point_tables, CiPointArgs) \
  BLOCK (point_head, CiPointArgs, CI_POINT_THREADS, sizeof (CiPointShared)) \
  ELEMENT (point_enlarge, CiPointArgs) \
  BLOCK (point_select, CiPointArgs, CI_SELECT_THREADS, \
      sizeof (CiSelectShared)) \
  ELEMENT (point_finish, CiPointArgs)

#endif /* CI_KERNEL_POINT_H */
