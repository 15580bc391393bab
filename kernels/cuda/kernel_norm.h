/*
 * kernel_norm.h: what a thread computes of group normalisation and of means:
 * all that sums over maps. Sums are trees of a fixed form, so a result is the
 * same in each run, on each GPU and in each batch.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_KERNEL_NORM_H
#define CI_KERNEL_NORM_H

#include "kernel_map.h"

/* A block takes a slice of the channels, some octets wide, of a chunk of the
 * pixels: neighbouring threads have neighbouring octets, then come lanes of
 * pixels, each thread sums over its own. */
#define CI_SUM_THREADS 256
#define CI_SLICE_OCTETS 8
/* A thread loads as many pixels before it needs the first. */
#define CI_SUM_AHEAD 4
/* Pixels of a thread, at least, and chunks of a map, at most: what the chunks
 * have summed is read again by every block of the map. */
#define CI_SUM_PIXELS 8
#define CI_MAX_CHUNKS 512

/* How the channels are cut: @slices of @width octets. */
typedef struct
{
  int32_t octets, width, slices, lanes;
} CiSlices;

CI_HD CiSlices
ci_slices (const CiView * v, int widest)
{
  CiSlices s;

  s.octets = v->cp / CI_OCTET;
  s.slices = (s.octets + widest - 1) / widest;
  s.width = (s.octets + s.slices - 1) / s.slices;
  s.slices = (s.octets + s.width - 1) / s.width;
  s.lanes = CI_SUM_THREADS / s.width;
  return s;
}

/* Pixels of a chunk of a map of @n. */
CI_HD int
ci_chunk_pixels (const CiSlices * s, int n)
{
  return ci_max (CI_SUM_PIXELS * s->lanes,
      (n + CI_MAX_CHUNKS - 1) / CI_MAX_CHUNKS);
}

/* Four lanes become one from phase to phase: the lanes that are left after
 * @n_phases. */
CI_HD int
ci_lanes_left (int lanes, int n_phases)
{
  for (int i = 0; i < n_phases; i++)
    lanes = (lanes + 3) / 4;
  return lanes;
}

/* ---- group normalisation ------------------------------------------------ */

/* Of n values: mean and sum of squared differences from it. */
typedef struct
{
  float n, mean, m2;
} CiMoments;

/* Chan, Golub, LeVeque: Updating formulae, 1979. */
CI_HD CiMoments
ci_moments_add (CiMoments a, CiMoments b)
{
  float n = a.n + b.n, part = n > 0.0f ? b.n / n : 0.0f;
  float d = b.mean - a.mean;

  a.mean += d * part;
  a.m2 += b.m2 + d * d * a.n * part;
  a.n = n;
  return a;
}

/* One launch of group_norm_stats, which leaves @moments, one of group_norm.
 * Both have blocks for all chunks (x) of all slices (y) of all images (z); the
 * latter has more in x, which zero what is between the maps. */
typedef struct
{
  CiView src, dst;
  const float *gamma, *beta;    /* in whole octets */
  /* of each image, each map, each unit, each chunk */
  CiMoments *moments;
  CiCanvas canvas;
  int32_t first_chunk[CI_MAX_RECTS + 1];
  int32_t chunk_pixels[CI_MAX_RECTS];
  CiDivisor by_w[CI_MAX_RECTS];
  int32_t gap_chunks;           /* of the whole canvas; 0: there are no gaps */
  CiDivisor by_canvas_w;
  CiSlices slices;
  int32_t per_group;            /* channels */
  CiDivisor by_group;
  int32_t unit;                 /* channels that are summed together, in the
                                   same group and octet: 1, 2, 4 or 8 */
  int32_t activation;
} CiGroupNormArgs;

#define CI_GAP_PIXELS(a) (CI_SUM_PIXELS * (a)->slices.lanes)

/* Everything but the pointers; @chunks in x of group_norm_stats are
 * first_chunk[canvas.n], of group_norm @gap_chunks more. */
CI_HD void
ci_group_norm_layout (CiGroupNormArgs * a, int groups)
{
  int64_t area = 0;
  int pixels;

  a->slices = ci_slices (&a->dst, CI_SLICE_OCTETS);
  a->per_group = a->dst.c / groups;
  a->by_group = ci_divisor (a->per_group);
  for (a->unit = CI_OCTET; a->per_group % a->unit != 0;)
    a->unit /= 2;
  a->first_chunk[0] = 0;
  for (int r = 0; r < a->canvas.n; r++) {
    const CiRect *rect = &a->canvas.rect[r];

    pixels = rect->h * rect->w;
    area += pixels;
    a->by_w[r] = ci_divisor (rect->w);
    a->chunk_pixels[r] = ci_chunk_pixels (&a->slices, pixels);
    a->first_chunk[r + 1] = a->first_chunk[r]
        + (pixels + a->chunk_pixels[r] - 1) / a->chunk_pixels[r];
  }
  pixels = a->dst.h * a->dst.w;
  a->by_canvas_w = ci_divisor (a->dst.w);
  a->gap_chunks = area == pixels ? 0
      : (pixels + CI_GAP_PIXELS (a) - 1) / CI_GAP_PIXELS (a);
}

/* Where a thread is. */
typedef struct
{
  int rect, lane, octet;
  int32_t pixel, end;           /* of the rectangle; its first one, all's end */
} CiSumSpot;

CI_HD CiSumSpot
ci_group_norm_spot (const CiGroupNormArgs * a, int bx, int by, int thread)
{
  const CiRect *rect;
  CiSumSpot s;

  for (s.rect = 0; bx >= a->first_chunk[s.rect + 1];)
    s.rect++;
  rect = &a->canvas.rect[s.rect];
  s.lane = thread / a->slices.width;
  s.octet = by * a->slices.width + thread - s.lane * a->slices.width;
  s.pixel = (bx - a->first_chunk[s.rect]) * a->chunk_pixels[s.rect];
  s.end = ci_min (s.pixel + a->chunk_pixels[s.rect], rect->h * rect->w);
  s.pixel += s.lane;
  if (s.lane >= a->slices.lanes || s.octet >= a->slices.octets)
    s.pixel = s.end;            /* nothing to do */
  return s;
}

CI_HD int64_t
ci_group_norm_at (const CiGroupNormArgs * a, const CiView * v,
    const CiSumSpot * s, int n, int pixel)
{
  const CiRect *rect = &a->canvas.rect[s->rect];
  int y = ci_quotient (pixel, a->by_w[s->rect]);

  return ci_view_at (v, n, rect->y + y, rect->x + pixel - y * rect->w)
      + s->octet * CI_OCTET;
}

/* Of an image. */
CI_HD int64_t
ci_group_norm_n_moments (const CiGroupNormArgs * a)
{
  return (int64_t) a->first_chunk[a->canvas.n] * (a->src.c / a->unit);
}

/* The moments of the first chunk of the unit that begins with channel @c;
 * those of the next unit are as far behind as the map has chunks. */
CI_HD int64_t
ci_group_norm_moments (const CiGroupNormArgs * a, int n, int rect, int c)
{
  int chunks = a->first_chunk[rect + 1] - a->first_chunk[rect];

  return n * ci_group_norm_n_moments (a) + (int64_t) a->first_chunk[rect]
      * (a->src.c / a->unit) + (int64_t) (c / a->unit) * chunks;
}

CI_HD CiMoments
ci_moments_load (const float *shared, int i)
{
  CiMoments m;

  m.n = shared[i];
  m.mean = shared[CI_SUM_THREADS + i];
  m.m2 = shared[2 * CI_SUM_THREADS + i];
  return m;
}

CI_HD void
ci_moments_store (float *shared, int i, CiMoments m)
{
  shared[i] = m.n;
  shared[CI_SUM_THREADS + i] = m.mean;
  shared[2 * CI_SUM_THREADS + i] = m.m2;
}

#define CI_GROUP_NORM_STATS_SHARED (CI_OCTET * 3 * CI_SUM_THREADS * 4)

/* The moments of each channel of a thread's pixels, relative to the first one:
 * with so few of them nothing is lost, however large the mean. Those of a unit
 * become one; @out has them at its first channel. */
CI_HD void
ci_group_norm_sum (const CiGroupNormArgs * a, const CiSumSpot * s, int n,
    CiMoments out[CI_OCTET])
{
  float first[CI_OCTET], sum[CI_OCTET] = { 0.0f }, squares[CI_OCTET] = { 0.0f };
  float count = 0.0f, part;
  int lanes = a->slices.lanes;

  for (int k = 0; k < CI_OCTET; k++)
    first[k] = 0.0f;
  if (s->pixel < s->end)
    ci_load8 (&a->src, ci_group_norm_at (a, &a->src, s, n, s->pixel), first);
  for (int p = s->pixel; p < s->end; p += CI_SUM_AHEAD * lanes) {
    float values[CI_SUM_AHEAD][CI_OCTET];

    CI_UNROLL for (int i = 0; i < CI_SUM_AHEAD; i++) {
      int pixel = p + i * lanes;

      /* what is not there is loaded twice, but not counted */
      ci_load8 (&a->src, ci_group_norm_at (a, &a->src, s, n,
              pixel < s->end ? pixel : p), values[i]);
    }
    CI_UNROLL for (int i = 0; i < CI_SUM_AHEAD; i++) {
      float there = p + i * lanes < s->end ? 1.0f : 0.0f;

      count += there;
      for (int k = 0; k < CI_OCTET; k++) {
        float d = (values[i][k] - first[k]) * there;

        sum[k] += d;
        squares[k] += d * d;
      }
    }
  }
  part = count > 0.0f ? 1.0f / count : 0.0f;
  for (int k = 0; k < CI_OCTET; k++) {
    float m2 = squares[k] - sum[k] * sum[k] * part;

    out[k].n = count;
    out[k].mean = first[k] + sum[k] * part;
    out[k].m2 = m2 > 0.0f ? m2 : 0.0f;
  }
  for (int width = 1; width < CI_OCTET; width *= 2)
    if (width < a->unit)
      for (int k = 0; k < CI_OCTET; k += 2 * width)
        out[k] = ci_moments_add (out[k], out[k + width]);
}

CI_HD int
ci_group_norm_stats_block (const CiGroupNormArgs * a, void *memory, int bx,
    int by, int bz, int thread, int phase)
{
  float *shared = (float *) memory;
  CiSumSpot s = ci_group_norm_spot (a, bx, by, thread);
  int width = a->slices.width, lanes = a->slices.lanes, left;

  if (phase == 0) {
    CiMoments m[CI_OCTET];

    ci_group_norm_sum (a, &s, bz, m);
    for (int k = 0; k < CI_OCTET; k++)
      if (k % a->unit == 0)
        ci_moments_store (shared + k * 3 * CI_SUM_THREADS, thread, m[k]);
    return 1;
  }
  lanes = ci_lanes_left (lanes, phase - 1);
  left = ci_lanes_left (lanes, 1);
  for (int k = 0; k < CI_OCTET && s.lane < left; k += a->unit) {
    float *of_unit = shared + k * 3 * CI_SUM_THREADS;
    CiMoments m = ci_moments_load (of_unit, thread);
    int c = s.octet * CI_OCTET + k;

    for (int l = s.lane + left; l < lanes; l += left)
      m = ci_moments_add (m, ci_moments_load (of_unit,
              thread + (l - s.lane) * width));
    if (left > 1)
      ci_moments_store (of_unit, thread, m);
    else if (c < a->src.c)
      a->moments[ci_group_norm_moments (a, bz, s.rect, c) + bx
          - a->first_chunk[s.rect]] = m;
  }
  return left > 1;
}

#define CI_GROUP_NORM_SHARED (3 * CI_SUM_THREADS * 4)

/* Normalises what the thread has of its chunk. @group: the first one that
 * touches the slice, whose moments begin @shared, with the factor for its
 * values in place of m2; those of the next ones lie @stride apart. */
CI_HD void
ci_group_norm_write (const CiGroupNormArgs * a, const CiSumSpot * s, int n,
    const float *shared, int group, int stride)
{
  float mean[CI_OCTET], scale[CI_OCTET], shift[CI_OCTET];
  int lanes = a->slices.lanes;

  /* threads beyond the channels have no factors either */
  if (s->pixel >= s->end)
    return;
  ci_load_floats (a->gamma + s->octet * CI_OCTET, scale);
  ci_load_floats (a->beta + s->octet * CI_OCTET, shift);
  for (int k = 0; k < CI_OCTET; k++) {
    int c = ci_min (s->octet * CI_OCTET + k, a->dst.c - 1);
    CiMoments m = ci_moments_load (shared,
        ((int) ci_quotient (c, a->by_group) - group) * stride);

    mean[k] = m.mean;
    scale[k] *= m.m2;
  }
  for (int p = s->pixel; p < s->end; p += CI_SUM_AHEAD * lanes) {
    float values[CI_SUM_AHEAD][CI_OCTET];

    /* all of them before the first is written: it may be in place */
    CI_UNROLL for (int i = 0; i < CI_SUM_AHEAD; i++) {
      int pixel = p + i * lanes;

      ci_load8 (&a->src, ci_group_norm_at (a, &a->src, s, n,
              pixel < s->end ? pixel : p), values[i]);
    }
    CI_UNROLL for (int i = 0; i < CI_SUM_AHEAD; i++) {
      int pixel = p + i * lanes;

      for (int k = 0; k < CI_OCTET; k++)
        values[i][k] = (values[i][k] - mean[k]) * scale[k] + shift[k];
      ci_activate_octet (values[i], a->activation);
      if (pixel < s->end)
        ci_store_octet (&a->dst, ci_group_norm_at (a, &a->dst, s, n, pixel),
            s->octet * CI_OCTET, values[i]);
    }
  }
}

CI_HD void
ci_group_norm_clear (const CiGroupNormArgs * a, int chunk, int by, int n,
    int thread)
{
  int lane = thread / a->slices.width;
  int octet = by * a->slices.width + thread - lane * a->slices.width;
  int begin = chunk * CI_GAP_PIXELS (a);
  int end = ci_min (begin + CI_GAP_PIXELS (a), a->dst.h * a->dst.w);

  if (lane >= a->slices.lanes || octet >= a->slices.octets)
    return;
  for (int p = begin + lane; p < end; p += a->slices.lanes) {
    int y = ci_quotient (p, a->by_canvas_w), x = p - y * a->dst.w;

    if (ci_canvas_find (&a->canvas, y, x) < 0)
      ci_store_zeros (&a->dst, ci_view_at (&a->dst, n, y, x)
          + octet * CI_OCTET);
  }
}

CI_HD int
ci_group_norm_block (const CiGroupNormArgs * a, void *memory, int bx, int by,
    int bz, int thread, int phase)
{
  float *shared = (float *) memory;
  int c0 = by * a->slices.width * CI_OCTET, c1, group, n_groups, lanes, lane;
  int of_group, left;
  CiSumSpot s;

  if (bx >= a->first_chunk[a->canvas.n]) {
    ci_group_norm_clear (a, bx - a->first_chunk[a->canvas.n], by, bz, thread);
    return 0;
  }
  /* first the moments of all groups that touch the slice, at most one for each
   * of its channels: four threads or more for each */
  s = ci_group_norm_spot (a, bx, by, thread);
  c1 = ci_min (c0 + a->slices.width * CI_OCTET, a->dst.c);
  group = ci_quotient (c0, a->by_group);
  n_groups = ci_quotient (c1 - 1, a->by_group) - group + 1;
  lanes = CI_SUM_THREADS / n_groups;
  of_group = thread / lanes;
  lane = thread - of_group * lanes;
  if (phase == 0) {
    CiMoments m = { 0.0f, 0.0f, 0.0f };

    if (of_group < n_groups) {
      const CiMoments *of = a->moments + ci_group_norm_moments (a, bz, s.rect,
          (group + of_group) * a->per_group);
      int n = a->per_group / a->unit
          * (a->first_chunk[s.rect + 1] - a->first_chunk[s.rect]);

      for (int i = lane; i < n; i += lanes)
        m = ci_moments_add (m, of[i]);
    }
    ci_moments_store (shared, thread, m);
    return 1;
  }
  left = ci_lanes_left (lanes, phase - 1);
  if (left == 1) {
    ci_group_norm_write (a, &s, bz, shared, group, lanes);
    return 0;
  }
  lanes = left;
  left = ci_lanes_left (lanes, 1);
  if (of_group < n_groups && lane < left) {
    CiMoments m = ci_moments_load (shared, thread);

    for (int l = lane + left; l < lanes; l += left)
      m = ci_moments_add (m, ci_moments_load (shared, thread + l - lane));
    if (left == 1)
      m.m2 = 1.0f / sqrtf (m.m2 / m.n + 1e-5f);
    ci_moments_store (shared, thread, m);
  }
  return 1;
}

/* ---- means ------------------------------------------------------------- */

/* Pixel (0, bx) of dst = @scale * the sum of the pixels of src's chunk bx. */
typedef struct
{
  CiView src, dst;
  int32_t chunk_pixels;
  float scale;
  CiDivisor by_w;
  CiSlices slices;
} CiSumPixelsArgs;

#define CI_SUM_PIXELS_SHARED (CI_OCTET * CI_SUM_THREADS * 4)

CI_HD int
ci_sum_pixels_block (const CiSumPixelsArgs * a, void *memory, int bx, int by,
    int bz, int thread, int phase)
{
  float *shared = (float *) memory;
  const CiView *src = &a->src;
  int width = a->slices.width, lanes = a->slices.lanes, lane = thread / width;
  int octet = by * width + thread - lane * width, left;
  float sum[CI_OCTET] = { 0.0f };

  if (phase == 0) {
    int begin = bx * a->chunk_pixels;
    int end = ci_min (begin + a->chunk_pixels, src->h * src->w);

    if (lane >= lanes || octet >= a->slices.octets)
      begin = end;              /* nothing to do */
    for (int p = begin + lane; p < end; p += CI_SUM_AHEAD * lanes) {
      float values[CI_SUM_AHEAD][CI_OCTET];

      CI_UNROLL for (int i = 0; i < CI_SUM_AHEAD; i++) {
        int pixel = p + i * lanes < end ? p + i * lanes : p;
        int y = ci_quotient (pixel, a->by_w);

        ci_load8 (src, ci_view_at (src, bz, y, pixel - y * src->w)
            + octet * CI_OCTET, values[i]);
      }
      for (int i = 0; i < CI_SUM_AHEAD; i++)
        for (int k = 0; k < CI_OCTET; k++)
          sum[k] += p + i * lanes < end ? values[i][k] : 0.0f;
    }
    for (int k = 0; k < CI_OCTET; k++)
      shared[k * CI_SUM_THREADS + thread] = sum[k];
    return 1;
  }
  lanes = ci_lanes_left (lanes, phase - 1);
  left = ci_lanes_left (lanes, 1);
  if (lane < left && octet < a->slices.octets) {
    for (int k = 0; k < CI_OCTET; k++)
      for (int l = lane; l < lanes; l += left)
        sum[k] += shared[k * CI_SUM_THREADS + thread + (l - lane) * width];
    if (left > 1) {
      for (int k = 0; k < CI_OCTET; k++)
        shared[k * CI_SUM_THREADS + thread] = sum[k];
    } else {
      for (int k = 0; k < CI_OCTET; k++)
        sum[k] *= a->scale;
      ci_store_octet (&a->dst, ci_view_at (&a->dst, bz, 0, bx)
          + octet * CI_OCTET, octet * CI_OCTET, sum);
    }
  }
  return left > 1;
}

#define CI_NORM_KERNELS(ELEMENT, BLOCK) \
  BLOCK (group_norm_stats, CiGroupNormArgs, CI_SUM_THREADS, \
      CI_GROUP_NORM_STATS_SHARED) \
  BLOCK (group_norm, CiGroupNormArgs, CI_SUM_THREADS, CI_GROUP_NORM_SHARED) \
  BLOCK (sum_pixels, CiSumPixelsArgs, CI_SUM_THREADS, CI_SUM_PIXELS_SHARED)

#endif /* CI_KERNEL_NORM_H */
