/*
 * kernel_map.h: what a thread computes of maps: layout, resampling, pooling and
 * all that is done per value. What needs sums over maps: kernel_norm.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_KERNEL_MAP_H
#define CI_KERNEL_MAP_H

#include "hostdev.h"

/* ---- which octet an element is ----------------------------------------- */

/* Division by a number that is known before the launch, as a multiplication:
 * exact below 2^31 (Granlund, Montgomery, PLDI 1994). */
typedef struct
{
  uint32_t multiplier, shift;
} CiDivisor;

#define CI_DIVIDEND_END ((int64_t) 1 << 31)

CI_HD CiDivisor
ci_divisor (uint32_t d)
{
  CiDivisor divisor;
  uint32_t log = 0;

  while (((uint64_t) 1 << log) < d)
    log++;
  divisor.shift = 31 + log;
  divisor.multiplier = ((((uint64_t) 1 << divisor.shift) + d - 1) / d);
  return divisor;
}

CI_HD uint32_t
ci_quotient (uint32_t n, CiDivisor d)
{
  return (uint64_t) n * d.multiplier >> d.shift;
}

/* All octets of a map, counted with the octets of a pixel first, then along
 * rows, rows and images: neighbouring threads have neighbouring memory. */
typedef struct
{
  int32_t octets, w, h;
  CiDivisor by_octets, by_w, by_h;
} CiOctets;

CI_HD CiOctets
ci_octets (const CiView * v)
{
  CiOctets o;

  o.octets = v->cp / CI_OCTET;
  o.w = v->w;
  o.h = v->h;
  o.by_octets = ci_divisor (o.octets);
  o.by_w = ci_divisor (o.w);
  o.by_h = ci_divisor (o.h);
  return o;
}

typedef struct
{
  int32_t n, y, x, c;           /* image, pixel, first channel */
} CiSpot;

CI_HD CiSpot
ci_octets_spot (const CiOctets * o, int64_t i)
{
  uint32_t pixel = ci_quotient (i, o->by_octets);
  uint32_t row = ci_quotient (pixel, o->by_w);
  CiSpot s;

  s.c = (int32_t) (i - (int64_t) pixel * o->octets) * CI_OCTET;
  s.x = pixel - row * o->w;
  s.n = ci_quotient (row, o->by_h);
  s.y = row - (uint32_t) s.n * o->h;
  return s;
}

CI_HD int64_t
ci_spot_at (const CiView * v, CiSpot s)
{
  return ci_view_at (v, s.n, s.y, s.x) + s.c;
}

/* Stores the octet of channels from @c on: zeros behind the last channel,
 * whatever was computed there. */
CI_HD void
ci_store_octet (const CiView * v, int64_t at, int c, float values[CI_OCTET])
{
  if (c + CI_OCTET > v->c)
    for (int k = 0; k < CI_OCTET; k++)
      values[k] = c + k < v->c ? values[k] : 0.0f;
  ci_store8 (v, at, values);
}

CI_HD void
ci_store_zeros (const CiView * v, int64_t at)
{
  float zeros[CI_OCTET] = { 0.0f };

  ci_store8 (v, at, zeros);
}

#define CI_ACTIVATE_OCTET(activation) \
  case activation: \
    for (int k = 0; k < CI_OCTET; k++) \
      values[k] = ci_activate (values[k], activation); \
    break

/* ci_activate() of each, the choice being made once. */
CI_HD void
ci_activate_octet (float values[CI_OCTET], int activation)
{
  switch (activation) {
    CI_ACTIVATE_OCTET (CI_ACT_RELU);
    CI_ACTIVATE_OCTET (CI_ACT_RELU6);
    CI_ACTIVATE_OCTET (CI_ACT_SWISH);
    CI_ACTIVATE_OCTET (CI_ACT_HARD_SIGMOID);
    CI_ACTIVATE_OCTET (CI_ACT_LEAKY_RELU);
    CI_ACTIVATE_OCTET (CI_ACT_SIGMOID);
    CI_ACTIVATE_OCTET (CI_ACT_TANH);
  }
}

/* The octet of floats from @p on, which is aligned. */
CI_HD void
ci_load_floats (const float *p, float out[CI_OCTET])
{
  for (int k = 0; k < 2; k++) {
    CiWords w = ((const CiWords *) p)[k];

    for (int i = 0; i < 4; i++)
      out[4 * k + i] = ci_bits_to_float (w.word[i]);
  }
}

/* ---- layout ------------------------------------------------------------ */

/* Planar floats, as CiPreprocess makes them, to a map. */
typedef struct
{
  const float *src;             /* channels x h x w of each image */
  CiView dst;
  CiOctets octets;
} CiPackInputArgs;

CI_HD void
ci_pack_input_element (const CiPackInputArgs * a, int64_t i)
{
  const CiView *dst = &a->dst;
  CiSpot s = ci_octets_spot (&a->octets, i);
  int64_t plane = (int64_t) dst->h * dst->w;
  const float *src = a->src + ((int64_t) s.n * dst->c + s.c) * plane
      + (int64_t) s.y * dst->w + s.x;
  float values[CI_OCTET];

  for (int k = 0; k < CI_OCTET; k++)
    values[k] = s.c + k < dst->c ? src[k * plane] : 0.0f;
  ci_store8 (dst, ci_spot_at (dst, s), values);
}

/* Maps onto a canvas, zeros between them. */
typedef struct
{
  CiView src[CI_MAX_RECTS];
  CiView dst;
  CiCanvas canvas;
  CiOctets octets;
} CiCanvasPackArgs;

CI_HD void
ci_canvas_pack_element (const CiCanvasPackArgs * a, int64_t i)
{
  CiSpot s = ci_octets_spot (&a->octets, i);
  int64_t at = ci_spot_at (&a->dst, s);
  int r = ci_canvas_find (&a->canvas, s.y, s.x);
  float values[CI_OCTET];

  if (r < 0) {
    ci_store_zeros (&a->dst, at);
    return;
  }
  s.y -= a->canvas.rect[r].y;
  s.x -= a->canvas.rect[r].x;
  ci_load8 (&a->src[r], ci_spot_at (&a->src[r], s), values);
  ci_store8 (&a->dst, at, values);
}

/* What a convolution over a canvas leaves undone: a scale for each map,
 * activation, zeros between them. In place. */
typedef struct
{
  CiView map;
  CiCanvas canvas;
  const float *scales;          /* one per rectangle, or NULL */
  int32_t activation;
  CiOctets octets;
} CiCanvasFinishArgs;

CI_HD void
ci_canvas_finish_element (const CiCanvasFinishArgs * a, int64_t i)
{
  CiSpot s = ci_octets_spot (&a->octets, i);
  int64_t at = ci_spot_at (&a->map, s);
  int r = ci_canvas_find (&a->canvas, s.y, s.x);
  float values[CI_OCTET], scale;

  if (r < 0) {
    ci_store_zeros (&a->map, at);
    return;
  }
  if (!a->scales && a->activation == CI_ACT_NONE)
    return;
  scale = a->scales ? a->scales[r] : 1.0f;
  ci_load8 (&a->map, at, values);
  for (int k = 0; k < CI_OCTET; k++)
    values[k] *= scale;
  ci_activate_octet (values, a->activation);
  ci_store_octet (&a->map, at, s.c, values);
}

/* Maps side by side along the channels. */
#define CI_MAX_CONCAT 16

typedef struct
{
  CiView src[CI_MAX_CONCAT];
  int32_t end[CI_MAX_CONCAT];   /* behind its last channel in @dst */
  CiView dst;
  CiOctets octets;
} CiConcatArgs;

CI_HD void
ci_concat_element (const CiConcatArgs * a, int64_t i)
{
  const CiView *dst = &a->dst;
  CiSpot s = ci_octets_spot (&a->octets, i);
  int64_t at = ci_spot_at (dst, s);
  float values[CI_OCTET];
  int k = 0, first;

  while (s.c >= a->end[k])
    k++;
  first = k ? a->end[k - 1] : 0;
  /* an octet of one source, or its last one and the result's */
  if ((s.c - first) % CI_OCTET == 0 && (s.c + CI_OCTET <= a->end[k]
          || a->end[k] == dst->c)) {
    s.c -= first;
    ci_load8 (&a->src[k], ci_spot_at (&a->src[k], s), values);
  } else {
    for (int l = 0; l < CI_OCTET; l++) {
      values[l] = 0.0f;
      if (s.c + l < dst->c) {
        while (s.c + l >= a->end[k])
          k++;
        values[l] = ci_load (&a->src[k], ci_view_at (&a->src[k], s.n, s.y,
                s.x) + s.c + l - (k ? a->end[k - 1] : 0));
      }
    }
  }
  ci_store8 (dst, at, values);
}

/* ---- per value --------------------------------------------------------- */

/* dst = act (src * gain * scale[c] * factors[n][c] + shift[c] + residual) */
typedef struct
{
  CiView src, dst;
  CiView factors, residual;     /* data NULL: none; factors: 1 x 1 pixel */
  const float *scale, *shift;   /* per channel, in whole octets; or NULL */
  float gain;
  int32_t activation;
  CiOctets octets;
} CiPointwiseArgs;

CI_HD void
ci_pointwise_element (const CiPointwiseArgs * a, int64_t i)
{
  CiSpot s = ci_octets_spot (&a->octets, i);
  float values[CI_OCTET], more[CI_OCTET];

  ci_load8 (&a->src, ci_spot_at (&a->src, s), values);
  for (int k = 0; k < CI_OCTET; k++)
    values[k] *= a->gain;
  if (a->factors.data) {
    ci_load8 (&a->factors, s.n * a->factors.image + s.c, more);
    for (int k = 0; k < CI_OCTET; k++)
      values[k] *= more[k];
  }
  if (a->scale) {
    float shift[CI_OCTET];

    ci_load_floats (a->scale + s.c, more);
    ci_load_floats (a->shift + s.c, shift);
    for (int k = 0; k < CI_OCTET; k++)
      values[k] = values[k] * more[k] + shift[k];
  }
  if (a->residual.data) {
    ci_load8 (&a->residual, ci_spot_at (&a->residual, s), more);
    for (int k = 0; k < CI_OCTET; k++)
      values[k] += more[k];
  }
  ci_activate_octet (values, a->activation);
  ci_store_octet (&a->dst, ci_spot_at (&a->dst, s), s.c, values);
}

/* dst = act (sum of weight[k] * src[k]) */
#define CI_MAX_WEIGHTED 8

typedef struct
{
  CiView src[CI_MAX_WEIGHTED];
  float weight[CI_MAX_WEIGHTED];
  int32_t n_srcs, activation;
  CiView dst;
  CiOctets octets;
} CiWeightedAddArgs;

CI_HD void
ci_weighted_add_element (const CiWeightedAddArgs * a, int64_t i)
{
  CiSpot s = ci_octets_spot (&a->octets, i);
  float sum[CI_OCTET] = { 0.0f }, values[CI_OCTET];

  for (int n = 0; n < a->n_srcs; n++) {
    ci_load8 (&a->src[n], ci_spot_at (&a->src[n], s), values);
    for (int k = 0; k < CI_OCTET; k++)
      sum[k] += a->weight[n] * values[k];
  }
  ci_activate_octet (sum, a->activation);
  ci_store_octet (&a->dst, ci_spot_at (&a->dst, s), s.c, sum);
}

/* ---- windows ----------------------------------------------------------- */

/* Every window has at least one pixel of the map. */
typedef struct
{
  CiView src, dst;
  int32_t kernel, stride, padding;
  CiOctets octets;
} CiMaxPoolArgs;

CI_HD void
ci_max_pool_element (const CiMaxPoolArgs * a, int64_t i)
{
  const CiView *src = &a->src;
  CiSpot s = ci_octets_spot (&a->octets, i);
  int y0 = s.y * a->stride - a->padding, x0 = s.x * a->stride - a->padding;
  int y1 = ci_min (y0 + a->kernel, src->h);
  int x1 = ci_min (x0 + a->kernel, src->w);
  float best[CI_OCTET], values[CI_OCTET];

  for (int k = 0; k < CI_OCTET; k++)
    best[k] = -INFINITY;
  for (int y = ci_max (y0, 0); y < y1; y++)
    for (int x = ci_max (x0, 0); x < x1; x++) {
      ci_load8 (src, ci_view_at (src, s.n, y, x) + s.c, values);
      for (int k = 0; k < CI_OCTET; k++)
        best[k] = values[k] > best[k] ? values[k] : best[k];
    }
  ci_store_octet (&a->dst, ci_spot_at (&a->dst, s), s.c, best);
}

/* The values of CiResizeMode. */
enum
{
  CI_UPSAMPLE_NEAREST,
  CI_UPSAMPLE_ALIGNED,
  CI_UPSAMPLE_BILINEAR,
};

/* One axis: cells @n to @n_out. */
typedef struct
{
  int32_t n;
  float step;                   /* aligned: 1 / factor; else n / n_out */
  int32_t factor;               /* aligned */
  CiDivisor divisor;            /* aligned: by the factor; else by n_out */
} CiAxis;

CI_HD CiAxis
ci_axis (int mode, int n, int n_out)
{
  CiAxis a;

  a.n = n;
  a.factor = n_out / n;
  a.step = mode == CI_UPSAMPLE_ALIGNED ? 1.0f / a.factor : (float) n / n_out;
  a.divisor = ci_divisor (mode == CI_UPSAMPLE_ALIGNED ? a.factor : n_out);
  return a;
}

/* Output cell @o is (1 - *@share) * cell + *@share * next. */
CI_HD int
ci_axis_cell (const CiAxis * a, int mode, int o, float *share)
{
  int cell;
  float t;

  if (mode == CI_UPSAMPLE_BILINEAR) {
    t = (o + 0.5f) * a->step - 0.5f;
    t = t > 0.0f ? t : 0.0f;
    cell = ci_min ((int) t, a->n - 1);
    *share = t - cell;
  } else if (mode == CI_UPSAMPLE_ALIGNED) {
    /* cell i lies at i * factor + factor / 2 */
    o = ci_max (o - a->factor / 2, 0);
    cell = ci_quotient (o, a->divisor);
    *share = (o - cell * a->factor) * a->step;
  } else {
    cell = ci_quotient (o * a->n, a->divisor);
    *share = 0.0f;
  }
  return cell;
}

typedef struct
{
  CiView src, dst, residual;    /* residual: data NULL: none */
  int32_t mode;
  CiAxis ys, xs;
  CiOctets octets;
} CiUpsampleArgs;

CI_HD void
ci_upsample_element (const CiUpsampleArgs * a, int64_t i)
{
  const CiView *src = &a->src;
  CiSpot s = ci_octets_spot (&a->octets, i);
  float ay, ax, values[CI_OCTET], b[CI_OCTET];
  int y = ci_axis_cell (&a->ys, a->mode, s.y, &ay);
  int x = ci_axis_cell (&a->xs, a->mode, s.x, &ax);
  int64_t at = ci_view_at (src, s.n, y, x) + s.c;

  ci_load8 (src, at, values);
  if (a->mode != CI_UPSAMPLE_NEAREST) {
    int64_t right = x + 1 < src->w ? src->cp : 0;
    int64_t down = y + 1 < src->h ? (int64_t) src->pitch * src->cp : 0;
    float c[CI_OCTET], d[CI_OCTET];

    ci_load8 (src, at + right, b);
    ci_load8 (src, at + down, c);
    ci_load8 (src, at + down + right, d);
    for (int k = 0; k < CI_OCTET; k++) {
      float above = values[k] + (b[k] - values[k]) * ax;
      float below = c[k] + (d[k] - c[k]) * ax;

      values[k] = above + (below - above) * ay;
    }
  }
  if (a->residual.data) {
    ci_load8 (&a->residual, ci_spot_at (&a->residual, s), b);
    for (int k = 0; k < CI_OCTET; k++)
      values[k] += b[k];
  }
  ci_store_octet (&a->dst, ci_spot_at (&a->dst, s), s.c, values);
}

/* Each element: one octet of the result. */
#define CI_MAP_KERNELS(ELEMENT, BLOCK) \
  ELEMENT (pack_input, CiPackInputArgs) \
  ELEMENT (canvas_pack, CiCanvasPackArgs) \
  ELEMENT (canvas_finish, CiCanvasFinishArgs) \
  ELEMENT (concat, CiConcatArgs) \
  ELEMENT (pointwise, CiPointwiseArgs) \
  ELEMENT (weighted_add, CiWeightedAddArgs) \
  ELEMENT (max_pool, CiMaxPoolArgs) \
  ELEMENT (upsample, CiUpsampleArgs)

#endif /* CI_KERNEL_MAP_H */
