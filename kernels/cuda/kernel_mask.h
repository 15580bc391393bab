/*
 * kernel_mask.h: what a thread computes of the soft grids of detections
 * (SEMANTICS 8, 9 and 11), and of their way into the host's memory.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_KERNEL_MASK_H
#define CI_KERNEL_MASK_H

#include "kernel_detect.h"

/* Where the grid of a detection lies; as CiMaskGrid. The grids lie one behind
 * the other, each padded to 16 cells. */
typedef struct
{
  int32_t x, y, width, height;
  int64_t offset;               /* of the first cell, in cells */
  int64_t end;
} CiDeviceGrid;

typedef struct
{
  CiDeviceGrid *grids;
  uint8_t *cells;               /* as of ci_mask_quantise() */
  float *prob;                  /* the same as floats, or NULL */
} CiDeviceMasks;

CI_HD int64_t
ci_grid_bytes (int width, int height)
{
  return ((int64_t) width * height + 15) & ~(int64_t) 15;
}

CI_HD uint8_t
ci_quantise (float p)
{
  return (uint8_t) (255 - (int) (255.5f - p * 255.0f));
}

typedef struct
{
  float v[4];
} __attribute__ ((aligned (16))) CiFloat4;

/* ---- dynamic mask head --------------------------------------------------- */

/* A block makes tiles of a detection's grid: the logits of that many cells of
 * the features a side, and those that their enlargement needs around them. */
#define CI_HEAD_TILE 16
#define CI_HEAD_SPAN (CI_HEAD_TILE + 2)
#define CI_HEAD_THREADS 128
#define CI_HEAD_MAX_LAYERS 9
#define CI_HEAD_MAX_WIDTH 32

typedef struct
{
  CiView features;
  CiDeviceDetections detections;
  const float *rows;            /* n_params each: all weights, all biases */
  int32_t n_params;
  int32_t rel_coords, channels, n_layers, full_map;
  int32_t stride, out_stride, factor;   /* factor: stride / out_stride */
  int32_t n_blocks;             /* per detection */
  float sizes_of_interest[CI_MAX_LEVELS];
  CiDeviceMasks out;
} CiMaskHeadArgs;

/* Parameters as threads want them: per layer the biases, then for each input
 * the weights of all outputs, all in whole rows of the kernel's @width; of the
 * last layer the bias and the weights. Two coordinates come first. */
#define CI_HEAD_PARAMS(features, width) \
  (((features) + 3) * (width) + (CI_HEAD_MAX_LAYERS - 2) * ((width) + 1) \
      * (width) + (features) + 3)
#define CI_HEAD_SHARED(features, width) \
  (sizeof (CiHeadShared) + 4 * CI_HEAD_PARAMS (features, width))

typedef struct
{
  uint32_t before;              /* cells of the detections before this one, in
                                   units of 16 */
  float rel_scale;              /* of coordinates */
  float logits[CI_HEAD_SPAN * CI_HEAD_SPAN];
} __attribute__ ((aligned (16))) CiHeadShared;

/* Mask cells, at out_stride, of [@lo, @hi] pixels and @margin around it; of the
 * whole map that has @n if @full. Cell -1 repeats the first one, whose centre
 * is not the map's very edge. */
CI_HD void
ci_head_cells (const CiMaskHeadArgs * a, float lo, float hi, int n,
    int32_t * first, int32_t * count)
{
  float margin = (float) a->stride, stride = (float) a->out_stride;
  float from = (lo - margin) / stride, to = (hi + margin) / stride;
  int begin, end;

  from = from < -1.0f ? -1.0f : from > (float) n ? (float) n : from;
  to = to < 0.0f ? 0.0f : to > (float) n ? (float) n : to;
  begin = a->full_map ? -1 : (int) floorf (from);
  end = a->full_map ? n : (int) ceilf (to);
  *first = begin;
  *count = ci_max (end - begin, 0);
}

/* All but its offset. */
CI_HD CiDeviceGrid
ci_head_grid (const CiMaskHeadArgs * a, int detection)
{
  const float *box = a->detections.boxes + 4 * (int64_t) detection;
  CiDeviceGrid g;

  ci_head_cells (a, box[0], box[2], a->features.w * a->factor, &g.x, &g.width);
  ci_head_cells (a, box[1], box[3], a->features.h * a->factor, &g.y,
      &g.height);
  g.offset = g.end = 0;
  return g;
}

CI_HD void
ci_head_load_params (const CiMaskHeadArgs * a, const int features,
    const int width, int detection, int thread, float *to)
{
  const float *row = a->rows + (int64_t) detection * a->n_params;
  int coords = a->rel_coords ? 2 : 0, in = coords + a->features.c;
  int n_weights, weights = 0, biases, hidden = a->n_layers - 1;

  n_weights = hidden == 0 ? in
      : in * a->channels + (hidden - 1) * a->channels * a->channels
      + a->channels;
  biases = n_weights;
  for (int l = 0; l < a->n_layers; l++) {
    int n_in = l == 0 ? in : a->channels, n_out = l < hidden ? a->channels : 1;
    int pitch = l < hidden ? width : 1;
    int room = ((l == 0 ? features + 2 : width) + 1) * pitch;

    for (int i = thread; i < room; i += CI_HEAD_THREADS) {
      int o = i % pitch, input = i / pitch - 1;
      float v = 0.0f;

      /* without coordinates their places stay empty */
      if (input >= 0 && l == 0)
        input -= 2 - coords;
      if (i < pitch)
        v = o < n_out ? row[biases + o] : 0.0f;
      else if (input >= 0 && input < n_in && o < n_out)
        v = row[weights + o * n_in + input];
      to[i] = v;
    }
    to += room;
    weights += n_in * n_out;
    biases += n_out;
  }
}

/* @v = max (W v + b, 0) */
CI_HD void
ci_head_layer (const int n_in, const int width, const float *p, float *v)
{
  float out[CI_HEAD_MAX_WIDTH];

  CI_UNROLL for (int o = 0; o < width; o++)
      out[o] = p[o];
  CI_UNROLL for (int i = 0; i < n_in; i++)
      CI_UNROLL for (int o = 0; o < width; o += 4) {
    CiFloat4 w = *(const CiFloat4 *) (p + (i + 1) * width + o);

    CI_UNROLL for (int k = 0; k < 4; k++)
        out[o + k] += w.v[k] * v[i];
  }
  CI_UNROLL for (int o = 0; o < width; o++)
      v[o] = out[o] > 0.0f ? out[o] : 0.0f;
}

/* The logit of cell (@y, @x) of the features. */
CI_HD float
ci_head_logit (const CiMaskHeadArgs * a, const int features, const int width,
    const float *p, float loc_x, float loc_y, float scale, int y, int x)
{
  const CiView *src = &a->features;
  int64_t at = ci_view_at (src, 0, y, x);
  float v[CI_HEAD_MAX_WIDTH + 2], logit;
  int n = a->n_layers;

  v[0] = a->rel_coords ? (loc_x - (float) (a->stride * x + a->stride / 2))
      * scale : 0.0f;
  v[1] = a->rel_coords ? (loc_y - (float) (a->stride * y + a->stride / 2))
      * scale : 0.0f;
  CI_UNROLL for (int c = 0; c < features; c += CI_OCTET) {
    if (c < src->cp) {
      ci_load8 (src, at + c, v + 2 + c);
    } else {
      CI_UNROLL for (int k = 0; k < CI_OCTET; k++)
          v[2 + c + k] = 0.0f;
    }
  }
  if (n == 1) {
    logit = p[0];
    CI_UNROLL for (int i = 0; i < features + 2; i++)
        logit += p[1 + i] * v[i];
    return logit;
  }
  ci_head_layer (features + 2, width, p, v);
  p += (features + 3) * width;
  for (int l = 2; l < n; l++, p += (width + 1) * width)
    ci_head_layer (width, width, p, v);
  logit = p[0];
  CI_UNROLL for (int i = 0; i < width; i++)
      logit += p[1 + i] * v[i];
  return logit;
}

/* Where cell @o, enlarged @f times, lies between cells i and i + 1. */
CI_HD int
ci_aligned_cell (int o, int f, float *fraction)
{
  uint32_t t = (uint32_t) ci_max (o - f / 2, 0), cell = t / (uint32_t) f;

  *fraction = (float) (t - cell * (uint32_t) f) / (float) f;
  return (int) cell;
}

/* Cells [@first, @last] of the features that the enlarged [@from, @to) need. */
CI_HD void
ci_head_span (int from, int to, int f, int n, int *first, int *last)
{
  float fraction;

  *first = ci_aligned_cell (from, f, &fraction);
  *last = ci_min (ci_aligned_cell (to - 1, f, &fraction) + 1, n - 1);
}

/* Aligned bilinear enlargement, sigmoid and quantisation of the cells
 * [@x0, @x1) x [@y0, @y1); logits are those from (@first_x, @first_y) on. */
CI_HD void
ci_head_enlarge (const CiMaskHeadArgs * a, const float *logits,
    const CiDeviceGrid * grid, int x0, int x1, int y0, int y1,
    int first_x, int first_y, int thread)
{
  int f = a->factor, lane = thread % 32;

  for (int x = x0 + lane; x < x1; x += 32) {
    float wx, wy;
    int u0 = ci_aligned_cell (x, f, &wx);
    int u1 = ci_min (u0 + 1, a->features.w - 1) - first_x;

    u0 -= first_x;
    for (int y = y0 + thread / 32; y < y1; y += CI_HEAD_THREADS / 32) {
      int v0 = ci_aligned_cell (y, f, &wy);
      int v1 = ci_min (v0 + 1, a->features.h - 1) - first_y;
      const float *r0 = logits + (v0 - first_y) * CI_HEAD_SPAN;
      const float *r1 = logits + v1 * CI_HEAD_SPAN;
      float left = r0[u0] + (r1[u0] - r0[u0]) * wy;
      float right = r0[u1] + (r1[u1] - r0[u1]) * wy;
      float p = ci_sigmoid (left + (right - left) * wx);
      int64_t at = grid->offset + (int64_t) (y - grid->y) * grid->width
          + (x - grid->x);

      a->out.cells[at] = ci_quantise (p);
      if (a->out.prob)
        a->out.prob[at] = p;
    }
  }
}

/* Block: a detection and each n_blocks-th tile of its grid. Phase 0 loads the
 * parameters; then odd phases make the logits of a tile, even ones its cells.
 * The kernels differ in how many features and channels they have room for. */
CI_HD int
ci_head_block (const CiMaskHeadArgs * a, const int features, const int width,
    void *shared, int detection, int by, int thread, int phase)
{
  CiHeadShared *s = (CiHeadShared *) shared;
  float *params = (float *) (s + 1);
  const CiDeviceDetections *d = &a->detections;
  int side = CI_HEAD_TILE * a->factor, columns, n_tiles, tile;
  int x0, y0, x1, y1, first_x, last_x, first_y, last_y;
  CiDeviceGrid grid;

  if (detection >= *d->count)
    return 0;
  grid = ci_head_grid (a, detection);
  columns = (grid.width + side - 1) / side;
  n_tiles = columns * ((grid.height + side - 1) / side);
  tile = by + ci_max (phase - 1, 0) / 2 * a->n_blocks;
  /* the first block also tells where the grid lies, which may be empty */
  if (tile >= n_tiles && (by > 0 || phase > 2))
    return 0;

  if (phase == 0) {
    ci_head_load_params (a, features, width, detection, thread, params);
    if (thread == 0) {
      s->before = 0;
      s->rel_scale = 1.0f / a->sizes_of_interest[d->levels[detection]];
    }
    return 1;
  }
  if (phase == 1) {
    uint32_t n = 0;

    for (int k = thread; k < detection; k += CI_HEAD_THREADS) {
      CiDeviceGrid other = ci_head_grid (a, k);

      n += (uint32_t) (ci_grid_bytes (other.width, other.height) / 16);
    }
    if (n)
      ci_atomic_add (&s->before, n);
  } else {
    grid.offset = (int64_t) s->before * 16;
    grid.end = grid.offset + ci_grid_bytes (grid.width, grid.height);
    if (phase == 2 && by == 0 && thread == 0)
      a->out.grids[detection] = grid;
  }
  if (tile >= n_tiles)
    return 1;

  x0 = grid.x + tile % columns * side;
  y0 = grid.y + tile / columns * side;
  x1 = ci_min (x0 + side, grid.x + grid.width);
  y1 = ci_min (y0 + side, grid.y + grid.height);
  ci_head_span (x0, x1, a->factor, a->features.w, &first_x, &last_x);
  ci_head_span (y0, y1, a->factor, a->features.h, &first_y, &last_y);
  if (phase % 2) {
    for (int i = thread; i < CI_HEAD_SPAN * CI_HEAD_SPAN;
        i += CI_HEAD_THREADS) {
      int y = first_y + i / CI_HEAD_SPAN, x = first_x + i % CI_HEAD_SPAN;

      if (y <= last_y && x <= last_x)
        s->logits[i] = ci_head_logit (a, features, width, params,
            d->locations[2 * detection], d->locations[2 * detection + 1],
            s->rel_scale, y, x);
    }
  } else {
    ci_head_enlarge (a, s->logits, &grid, x0, x1, y0, y1,
        first_x, first_y, thread);
  }
  return 1;
}

#define CI_HEAD_KERNEL(name, features, width) \
  CI_HD int \
  ci_##name##_block (const CiMaskHeadArgs * a, void *shared, int bx, int by, \
      int bz, int thread, int phase) \
  { \
    (void) bz; \
    return ci_head_block (a, features, width, shared, bx, by, thread, \
        phase); \
  }

/* CondInst's shape, BoxInst's and all others */
CI_HEAD_KERNEL (mask_head_8, 8, 8)
CI_HEAD_KERNEL (mask_head_16, 16, 8)
CI_HEAD_KERNEL (mask_head_32, 32, 32)

/* ---- BlendMask's blender ------------------------------------------------- */

typedef struct
{
  CiView bases;
  CiDeviceDetections detections;
  const float *rows;            /* bases x side x side numbers each */
  int32_t size, side;           /* of a grid, of the attention */
  float scale;                  /* of boxes, to cells of the bases */
  CiDeviceMasks out;
} CiBlendMasksArgs;

/* One axis of a bilinear sample. */
typedef struct
{
  int i0, i1, outside;
  float a;
} CiTapPair;

/* The centre of bin @i of @n of [@lo, @hi) in a map of @cells: detectron2's
 * ROIAlign, aligned, one sample a bin. */
CI_HD CiTapPair
ci_roi_tap (int i, int n, float lo, float hi, int cells)
{
  float t = lo + ci_mul ((float) i + 0.5f, (hi - lo) / (float) n);
  CiTapPair tap;

  tap.outside = !(t >= -1.0f && t <= (float) cells);
  t = tap.outside || t < 0.0f ? 0.0f
      : t > (float) (cells - 1) ? (float) (cells - 1) : t;
  tap.i0 = (int) t;
  tap.i1 = ci_min (tap.i0 + 1, cells - 1);
  tap.a = t - (float) tap.i0;
  return tap;
}

/* Cell @i of @n of the attention, which is @side wide: half-pixel bilinear. */
CI_HD CiTapPair
ci_attention_tap (int i, int n, int side)
{
  float t = ci_mul ((float) i + 0.5f, (float) side / (float) n) - 0.5f;
  CiTapPair tap;

  t = t > 0.0f ? t : 0.0f;
  tap.outside = 0;
  tap.i0 = ci_min ((int) t, side - 1);
  tap.i1 = ci_min (tap.i0 + 1, side - 1);
  tap.a = t - (float) tap.i0;
  return tap;
}

CI_HD float
ci_lerp2 (float v00, float v01, float v10, float v11, float y, float x)
{
  float p = v00 + (v01 - v00) * x, q = v10 + (v11 - v10) * x;

  return p + (q - p) * y;
}

CI_HD float
ci_attention_at (const float *plane, int side, const CiTapPair * y,
    const CiTapPair * x)
{
  const float *r0 = plane + y->i0 * side, *r1 = plane + y->i1 * side;

  return ci_lerp2 (r0[x->i0], r0[x->i1], r1[x->i0], r1[x->i1], y->a, x->a);
}

/* @half: that of the bases, as a constant: then no load waits for another. */
CI_HD void
ci_blend_cell (const CiBlendMasksArgs * a, const int half, int64_t i)
{
  CiView view = a->bases;
  const CiView *bases = &view;
  int size = a->size, side = a->side, area = side * side;
  int64_t n = i / (size * size), padded = ci_grid_bytes (size, size), at;
  int cell = (int) (i - n * size * size), row = cell / size;
  const float *box = a->detections.boxes + 4 * n;
  const float *attention = a->rows + n * bases->c * area;
  float top = -INFINITY, norm = 0.0f, sum = 0.0f, p;
  CiTapPair y, x, ay, ax;

  if (n >= *a->detections.count)
    return;
  view.half = half;
  y = ci_roi_tap (row, size, ci_mul (box[1], a->scale) - 0.5f,
      ci_mul (box[3], a->scale) - 0.5f, bases->h);
  x = ci_roi_tap (cell - row * size, size, ci_mul (box[0], a->scale) - 0.5f,
      ci_mul (box[2], a->scale) - 0.5f, bases->w);
  ay = ci_attention_tap (row, size, side);
  ax = ci_attention_tap (cell - row * size, size, side);

  for (int b = 0; b < bases->c; b++) {
    float v = ci_attention_at (attention + b * area, side, &ay, &ax);

    top = v > top ? v : top;
  }
  for (int b0 = 0; b0 < bases->c; b0 += CI_OCTET) {
    float v00[CI_OCTET], v01[CI_OCTET], v10[CI_OCTET], v11[CI_OCTET];

    ci_load8 (bases, ci_view_at (bases, 0, y.i0, x.i0) + b0, v00);
    ci_load8 (bases, ci_view_at (bases, 0, y.i0, x.i1) + b0, v01);
    ci_load8 (bases, ci_view_at (bases, 0, y.i1, x.i0) + b0, v10);
    ci_load8 (bases, ci_view_at (bases, 0, y.i1, x.i1) + b0, v11);
    CI_UNROLL for (int k = 0; k < CI_OCTET; k++) {
      float weight, v = 0.0f;

      if (b0 + k >= bases->c)
        continue;
      weight = expf (ci_attention_at (attention + (b0 + k) * area, side, &ay,
              &ax) - top);
      if (!y.outside && !x.outside)
        v = ci_lerp2 (v00[k], v01[k], v10[k], v11[k], y.a, x.a);
      norm += weight;
      sum += weight * v;
    }
  }

  p = ci_sigmoid (sum / norm);
  at = n * padded + cell;
  /* here 0.5 itself belongs to the object */
  a->out.cells[at] = p == 0.5f ? 128 : ci_quantise (p);
  a->out.prob[at] = p;
  if (cell == 0) {
    CiDeviceGrid *grid = &a->out.grids[n];

    grid->x = grid->y = 0;
    grid->width = grid->height = size;
    grid->offset = n * padded;
    grid->end = grid->offset + padded;
  }
}

/* Element: a cell of a detection's grid. */
CI_HD void
ci_blend_masks_element (const CiBlendMasksArgs * a, int64_t i)
{
  if (a->bases.half)
    ci_blend_cell (a, 1, i);
  else
    ci_blend_cell (a, 0, i);
}

/* ---- results ------------------------------------------------------------- */

/* All that a frame gives lies in one block of memory on the device, and lands
 * in the same places of one in the host's. */
enum
{
  CI_RESULT_COUNT,
  CI_RESULT_BOXES,
  CI_RESULT_SCORES,
  CI_RESULT_LOCATIONS,
  CI_RESULT_CLASSES,
  CI_RESULT_LEVELS,
  CI_RESULT_CELLS,
  CI_RESULT_MASK_SCORES,
  CI_RESULT_GRIDS,
  CI_RESULT_MASKS,              /* bytes, */
  CI_RESULT_PROB,               /* and floats of the grids' cells */
  CI_N_RESULTS
};

#define CI_COLLECT_THREADS 256

typedef struct
{
  const CiFrameSettings *settings;
  const uint8_t *block;
  int64_t at[CI_N_RESULTS];     /* bytes from the block's start, aligned */
  int32_t unit[CI_N_RESULTS];   /* bytes per detection or cell; 0: none */
  int32_t n_blocks;
} CiCollectArgs;

/* Copies what there is, straight to the host. */
CI_HD int
ci_collect_block (const CiCollectArgs * a, void *shared, int bx, int by,
    int bz, int thread, int phase)
{
  uint8_t *dst = (uint8_t *) a->settings->results;
  int64_t count = *(const int32_t *) a->block, cells = 0;
  int64_t step = (int64_t) a->n_blocks * CI_COLLECT_THREADS;

  (void) shared;
  (void) by;
  (void) bz;
  (void) phase;
  if (a->unit[CI_RESULT_GRIDS] && count > 0)
    cells = ((const CiDeviceGrid *) (a->block + a->at[CI_RESULT_GRIDS]))
        [count - 1].end;
  for (int part = 0; part < CI_N_RESULTS; part++) {
    int64_t n = part == CI_RESULT_COUNT ? 1
        : part < CI_RESULT_MASKS ? count : cells;
    int64_t first = (int64_t) bx * CI_COLLECT_THREADS + thread;

    /* small parts are the work of different warps */
    first -= part * 64;
    if (first < 0)
      first += step;
    for (int64_t i = first * (int64_t) sizeof (CiWords); i < n * a->unit[part];
        i += step * (int64_t) sizeof (CiWords))
      *(CiWords *) (dst + a->at[part] + i) =
          *(const CiWords *) (a->block + a->at[part] + i);
  }
  return 0;
}

#define CI_MASK_KERNELS(ELEMENT, BLOCK) \
  BLOCK (mask_head_8, CiMaskHeadArgs, CI_HEAD_THREADS, \
      CI_HEAD_SHARED (8, 8)) \
  BLOCK (mask_head_16, CiMaskHeadArgs, CI_HEAD_THREADS, \
      CI_HEAD_SHARED (16, 8)) \
  BLOCK (mask_head_32, CiMaskHeadArgs, CI_HEAD_THREADS, \
      CI_HEAD_SHARED (32, 32)) \
  ELEMENT (blend_masks, CiBlendMasksArgs) \
  BLOCK (collect, CiCollectArgs, CI_COLLECT_THREADS, 0)

#endif /* CI_KERNEL_MASK_H */
