/*
 * kernel_items.h: what a thread computes of items, the maps that each entry of
 * a detection list has.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_KERNEL_ITEMS_H
#define CI_KERNEL_ITEMS_H

#include "kernel_detect.h"
#include "kernel_map.h"

/* ---- RoIAlign ------------------------------------------------------------ */

/* CiRoiAlignParams. */
typedef struct
{
  CiView level[CI_MAX_LEVELS];
  float scale[CI_MAX_LEVELS];   /* 1 / stride */
  int32_t n_levels;
  CiDeviceDetections boxes;
  CiView dst;
  CiOctets octets;
  int32_t size;                 /* bins a side */
  int32_t sampling_ratio, max_samples;
  int32_t aligned, points;
  float canonical_size;
  int32_t canonical_level, first_level;
  float log_epsilon, level_epsilon;
} CiRoiAlignArgs;

CI_HD int
ci_roi_level (const CiRoiAlignArgs * a, const float *box)
{
  float size = sqrtf (ci_mul (box[2] - box[0], box[3] - box[1]));
  float level = floorf ((float) a->canonical_level + log2f (size
          / a->canonical_size + a->log_epsilon) + a->level_epsilon)
      - (float) a->first_level;

  /* no number: the first */
  if (!(level > 0.0f))
    return 0;
  return level < (float) a->n_levels ? (int) level : a->n_levels - 1;
}

/* The samples of a bin along one axis: number @first to @end - 1 of @n. */
typedef struct
{
  float start, bin;             /* where the bin begins, how large it is */
  int32_t n, first, end;
} CiRoiAxis;

CI_HD float
ci_roi_position (const CiRoiAxis * axis, int sample)
{
  return axis->start + ci_mul ((float) sample + 0.5f, axis->bin)
      / (float) axis->n;
}

CI_HD int
ci_roi_reaches (float t, int cells)
{
  return t >= -1.0f && t <= (float) cells;
}

CI_HD CiRoiAxis
ci_roi_axis (const CiRoiAlignArgs * a, int bin, float lo, float hi,
    float scale, int cells)
{
  float shift = a->aligned || a->points ? 0.5f : 0.0f, samples;
  float start = ci_mul (lo, scale) - shift;
  float size = ci_mul (hi, scale) - shift - start;
  CiRoiAxis axis;

  if (!a->aligned && !a->points)
    size = size > 1.0f ? size : 1.0f;
  axis.bin = size / (float) a->size;
  axis.start = start + ci_mul ((float) bin, axis.bin);
  axis.n = a->points ? 1 : a->sampling_ratio;
  if (axis.n == 0 && axis.bin > 0.0f) {
    samples = ceilf (axis.bin);
    axis.n = samples < (float) a->max_samples ? (int) samples
        : a->max_samples;
  }
  axis.first = 0;
  axis.end = axis.n;
  /* of a large box most may be outside of the map */
  while (axis.first < axis.end && !ci_roi_reaches (ci_roi_position (&axis,
              axis.first), cells))
    axis.first++;
  while (axis.first < axis.end && !ci_roi_reaches (ci_roi_position (&axis,
              axis.end - 1), cells))
    axis.end--;
  return axis;
}

/* Where a sample lies among cells, and the shares of the two; what is outside
 * has none. */
typedef struct
{
  int32_t i0, i1;
  float w0, w1;
} CiRoiTap;

CI_HD CiRoiTap
ci_roi_sample (float t, int cells, int points)
{
  CiRoiTap tap;
  float edge = (float) (cells - 1);

  if (!points)
    t = t < 0.0f ? 0.0f : t > edge ? edge : t;
  tap.i0 = (int) floorf (t);
  tap.i1 = tap.i0 + 1;
  tap.w1 = t - (float) tap.i0;
  tap.w0 = tap.i0 >= 0 && tap.i0 < cells ? 1.0f - tap.w1 : 0.0f;
  tap.w1 = tap.i1 < cells ? tap.w1 : 0.0f;
  tap.i0 = ci_clamp (tap.i0, 0, cells - 1);
  tap.i1 = ci_clamp (tap.i1, 0, cells - 1);
  return tap;
}

/* @half: that of the maps, as a constant: then no load waits for another. */
CI_HD void
ci_roi_octet (const CiRoiAlignArgs * a, const int half, CiSpot s)
{
  const float *box = a->boxes.boxes + 4 * s.n;
  int level = ci_roi_level (a, box), count;
  CiView map = a->level[level];
  CiRoiAxis ys = ci_roi_axis (a, s.y, box[1], box[3], a->scale[level], map.h);
  CiRoiAxis xs = ci_roi_axis (a, s.x, box[0], box[2], a->scale[level], map.w);
  float sum[CI_OCTET] = { 0.0f };

  map.half = half;
  for (int i = ys.first; i < ys.end; i++) {
    float y = ci_roi_position (&ys, i);
    CiRoiTap ty = ci_roi_sample (y, map.h, a->points);

    for (int k = xs.first; k < xs.end; k++) {
      CiRoiTap tx = ci_roi_sample (ci_roi_position (&xs, k), map.w, a->points);
      float v00[CI_OCTET], v01[CI_OCTET], v10[CI_OCTET], v11[CI_OCTET];

      ci_load8 (&map, ci_view_at (&map, 0, ty.i0, tx.i0) + s.c, v00);
      ci_load8 (&map, ci_view_at (&map, 0, ty.i0, tx.i1) + s.c, v01);
      ci_load8 (&map, ci_view_at (&map, 0, ty.i1, tx.i0) + s.c, v10);
      ci_load8 (&map, ci_view_at (&map, 0, ty.i1, tx.i1) + s.c, v11);
      CI_UNROLL for (int c = 0; c < CI_OCTET; c++)
        sum[c] += ty.w0 * (tx.w0 * v00[c] + tx.w1 * v01[c])
            + ty.w1 * (tx.w0 * v10[c] + tx.w1 * v11[c]);
    }
  }
  count = ys.n * xs.n;
  CI_UNROLL for (int c = 0; c < CI_OCTET; c++)
    sum[c] /= (float) ci_max (count, 1);
  ci_store_octet (&a->dst, ci_spot_at (&a->dst, s), s.c, sum);
}

/* Element: an octet of a bin. Items that no box has are zeros. */
CI_HD void
ci_roi_align_element (const CiRoiAlignArgs * a, int64_t i)
{
  CiSpot s = ci_octets_spot (&a->octets, i);

  if (s.n >= *a->boxes.count)
    ci_store_zeros (&a->dst, ci_spot_at (&a->dst, s));
  else if (a->dst.half)
    ci_roi_octet (a, 1, s);
  else
    ci_roi_octet (a, 0, s);
}

/* ---- transposed convolution ---------------------------------------------- */

/* @src has the four results of a pixel as channels, those of the upper left one
 * first; each has its own octets. */
typedef struct
{
  CiView src, dst;
  CiOctets octets;              /* of dst */
} CiPixelShuffleArgs;

CI_HD void
ci_pixel_shuffle_element (const CiPixelShuffleArgs * a, int64_t i)
{
  CiSpot s = ci_octets_spot (&a->octets, i);
  float values[CI_OCTET];

  ci_load8 (&a->src, ci_view_at (&a->src, s.n, s.y / 2, s.x / 2)
      + (s.y % 2 * 2 + s.x % 2) * a->dst.cp + s.c, values);
  ci_store8 (&a->dst, ci_spot_at (&a->dst, s), values);
}

#define CI_ITEMS_KERNELS(ELEMENT, BLOCK) \
  ELEMENT (roi_align, CiRoiAlignArgs) \
  ELEMENT (pixel_shuffle, CiPixelShuffleArgs)

#endif /* CI_KERNEL_ITEMS_H */
