/*
 * kernel_conv.h: what a thread computes of convolutions: those of one channel
 * a group, those that cuDNN does not take, what follows a convolution where
 * cuDNN does not fuse it, and the samples of deformable ones.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_KERNEL_CONV_H
#define CI_KERNEL_CONV_H

#include "hostdev.h"

/* What follows the sums of an octet, from element @to of @dst on: bias,
 * residual (@residual.data NULL: none), activation. Channels that only fill the
 * octet stay 0. */
CI_HD void
ci_conv_finish (const CiView * dst, int64_t to, const CiView * residual,
    int64_t from, const float *bias, int activation, int octet, float sum[])
{
  float more[CI_OCTET];

  CI_UNROLL for (int k = 0; k < CI_OCTET; k++)
    sum[k] += bias[octet * CI_OCTET + k];
  if (residual->data) {
    ci_load8 (residual, from, more);
    CI_UNROLL for (int k = 0; k < CI_OCTET; k++)
      sum[k] += more[k];
  }
  CI_UNROLL for (int k = 0; k < CI_OCTET; k++)
    sum[k] = octet * CI_OCTET + k < dst->c ? ci_activate (sum[k], activation)
        : 0.0f;
  ci_store8 (dst, to, sum);
}

/* ---- after a convolution ----------------------------------------------- */

/* In place; both maps lie without gaps. */
typedef struct
{
  CiView dst, residual;
  const float *bias;
  int32_t activation;
} CiConvEpilogueArgs;

/* Element: an octet. */
CI_HD void
ci_conv_epilogue_element (const CiConvEpilogueArgs * a, int64_t i)
{
  int octet = (uint32_t) i % (uint32_t) (a->dst.cp / CI_OCTET);
  float sum[CI_OCTET];

  ci_load8 (&a->dst, i * CI_OCTET, sum);
  ci_conv_finish (&a->dst, i * CI_OCTET, &a->residual, i * CI_OCTET, a->bias,
      a->activation, octet, sum);
}

/* ---- a channel a group -------------------------------------------------- */

/* Pixels of a row that a thread computes: they share what they read. */
#define CI_DEPTHWISE_STRIP 4

typedef struct
{
  CiView src, dst, residual;
  CiView weight;                /* one row: a pixel for each tap */
  const float *bias;
  int32_t kernel, stride, padding, activation;
} CiDepthwiseArgs;

CI_HD void
ci_depthwise_strip (const CiDepthwiseArgs * a, uint32_t i, int kernel,
    int stride)
{
  const CiView *src = &a->src, *dst = &a->dst;
  uint32_t octets = dst->cp / CI_OCTET, octet = i % octets;
  uint32_t strips = (dst->w + CI_DEPTHWISE_STRIP - 1) / CI_DEPTHWISE_STRIP;
  int x = i / octets % strips * CI_DEPTHWISE_STRIP;
  uint32_t row = i / octets / strips;
  int y = row % (uint32_t) dst->h, n = row / (uint32_t) dst->h;
  int left = x * stride - a->padding, top = y * stride - a->padding;
  float sum[CI_DEPTHWISE_STRIP][CI_OCTET] = { {0} };

  for (int ky = 0; ky < kernel; ky++) {
    int64_t line;

    if (top + ky < 0 || top + ky >= src->h)
      continue;
    line = ci_view_at (src, n, top + ky, 0) + octet * CI_OCTET;
    CI_UNROLL for (int j = 0; j < (CI_DEPTHWISE_STRIP - 1) * stride + kernel;
        j++) {
      float in[CI_OCTET], w[CI_OCTET];

      if (left + j < 0 || left + j >= src->w)
        continue;
      ci_load8 (src, line + (int64_t) (left + j) * src->cp, in);
      CI_UNROLL for (int p = 0; p < CI_DEPTHWISE_STRIP; p++) {
        int kx = j - p * stride;

        if (kx < 0 || kx >= kernel)
          continue;
        ci_load8 (&a->weight, (int64_t) (ky * kernel + kx) * src->cp
            + octet * CI_OCTET, w);
        CI_UNROLL for (int k = 0; k < CI_OCTET; k++)
          sum[p][k] += in[k] * w[k];
      }
    }
  }
  CI_UNROLL for (int p = 0; p < CI_DEPTHWISE_STRIP; p++)
    if (x + p < dst->w)
      ci_conv_finish (dst, ci_view_at (dst, n, y, x + p) + octet * CI_OCTET,
          &a->residual, ci_view_at (&a->residual, n, y, x + p)
          + octet * CI_OCTET, a->bias, a->activation, octet, sum[p]);
}

/* Element: an octet of a strip. The usual shapes have code of their own, with
 * loops that the compiler can unroll. */
CI_HD void
ci_depthwise_element (const CiDepthwiseArgs * a, int64_t i)
{
  ci_depthwise_strip (a, i, a->kernel, a->stride);
}

CI_HD void
ci_depthwise_3x3_element (const CiDepthwiseArgs * a, int64_t i)
{
  ci_depthwise_strip (a, i, 3, 1);
}

CI_HD void
ci_depthwise_3x3_s2_element (const CiDepthwiseArgs * a, int64_t i)
{
  ci_depthwise_strip (a, i, 3, 2);
}

CI_HD void
ci_depthwise_5x5_element (const CiDepthwiseArgs * a, int64_t i)
{
  ci_depthwise_strip (a, i, 5, 1);
}

/* Weights: from a channel's taps side by side to a tap's channels. */
typedef struct
{
  CiView src, dst;              /* src: [channel][tap]; dst: as above */
} CiDepthwiseWeightsArgs;

/* Element: one number of @dst. */
CI_HD void
ci_depthwise_weights_element (const CiDepthwiseWeightsArgs * a, int64_t i)
{
  int taps = a->dst.w, channel = i % a->dst.cp, tap = i / a->dst.cp;

  ci_store (&a->dst, i, ci_load (&a->src, (int64_t) channel * taps + tap));
}

/* ---- any other ---------------------------------------------------------- */

typedef struct
{
  CiView src, dst, residual;
  CiView weight;                /* [channel of dst][tap][channel of group] */
  const float *bias;
  int32_t kernel, stride, padding, activation;
  int32_t in, out;              /* channels of a group of src, of dst */
} CiDirectConvArgs;

/* The sum over one tap for one channel. @from: its group's first channel of
 * src, @w: its first weight. */
CI_HD float
ci_direct_conv_tap (const CiDirectConvArgs * a, int64_t from, int64_t w)
{
  float sum = 0.0f;
  int c = 0;

  if (from % CI_OCTET == 0 && w % CI_OCTET == 0)
    for (; c + CI_OCTET <= a->in; c += CI_OCTET) {
      float in[CI_OCTET], weight[CI_OCTET];

      ci_load8 (&a->src, from + c, in);
      ci_load8 (&a->weight, w + c, weight);
      for (int k = 0; k < CI_OCTET; k++)
        sum += in[k] * weight[k];
    }
  for (; c < a->in; c++)
    sum += ci_load (&a->src, from + c) * ci_load (&a->weight, w + c);
  return sum;
}

/* Element: an octet of one pixel. */
CI_HD void
ci_direct_conv_element (const CiDirectConvArgs * a, int64_t i)
{
  const CiView *src = &a->src, *dst = &a->dst;
  uint32_t octets = dst->cp / CI_OCTET, at = i, octet = at % octets;
  int x, y, n, taps = a->kernel * a->kernel;
  float sum[CI_OCTET] = { 0 };

  at /= octets;
  x = at % (uint32_t) dst->w;
  at /= (uint32_t) dst->w;
  y = at % (uint32_t) dst->h;
  n = at / (uint32_t) dst->h;
  for (int k = 0; k < CI_OCTET; k++) {
    int channel = octet * CI_OCTET + k;

    if (channel >= dst->c)
      break;
    for (int ky = 0; ky < a->kernel; ky++) {
      int sy = y * a->stride - a->padding + ky;

      if (sy < 0 || sy >= src->h)
        continue;
      for (int kx = 0; kx < a->kernel; kx++) {
        int sx = x * a->stride - a->padding + kx;

        if (sx >= 0 && sx < src->w)
          sum[k] += ci_direct_conv_tap (a, ci_view_at (src, n, sy, sx)
              + channel / a->out * a->in,
              ((int64_t) channel * taps + ky * a->kernel + kx) * a->in);
      }
    }
  }
  ci_conv_finish (dst, ci_view_at (dst, n, y, x) + octet * CI_OCTET,
      &a->residual, ci_view_at (&a->residual, n, y, x) + octet * CI_OCTET,
      a->bias, a->activation, octet, sum);
}

/* Bias for those engines of cuDNN that want it in the maps' type. */
typedef struct
{
  const float *src;
  CiHalf *dst;
} CiHalfVectorArgs;

CI_HD void
ci_half_vector_element (const CiHalfVectorArgs * a, int64_t i)
{
  a->dst[i] = ci_float_to_half (a->src[i]);
}

/* ---- deformable convolution (SEMANTICS 2.1) ----------------------------- */

/* The samples of a few rows of pixels: [pixel][group][tap][channel], channels
 * of a group in whole octets. */
typedef struct
{
  CiView src, offsets, columns;
  int32_t kernel, stride, padding;
  int32_t groups, in;           /* channels of a group */
  int32_t h;                    /* of the result, whose width columns has */
  int32_t first;                /* row of columns' first, of all images */
} CiDeformColumnsArgs;

/* Adds @factor times the octet of group-relative channel @c. */
CI_HD void
ci_deform_add (const CiDeformColumnsArgs * a, int64_t pixel, int group, int c,
    float factor, float sum[CI_OCTET])
{
  int64_t from = pixel + group * a->in + c;

  if (from % CI_OCTET == 0 && c + CI_OCTET <= a->in) {
    float in[CI_OCTET];

    ci_load8 (&a->src, from, in);
    CI_UNROLL for (int k = 0; k < CI_OCTET; k++)
      sum[k] += factor * in[k];
  } else {
    for (int k = 0; k < CI_OCTET && c + k < a->in; k++)
      sum[k] += factor * ci_load (&a->src, from + k);
  }
}

/* Element: an octet of one sample. */
CI_HD void
ci_deform_columns_element (const CiDeformColumnsArgs * a, int64_t i)
{
  const CiView *src = &a->src, *out = &a->columns;
  int taps = a->kernel * a->kernel;
  uint32_t octets = (a->in + CI_OCTET - 1) / CI_OCTET, at = i;
  int c = at % octets * CI_OCTET, tap, group, x, y, n, y0, x0;
  int64_t offset;
  float sum[CI_OCTET] = { 0 }, sy, sx, modulation, ay, ax;

  at /= octets;
  tap = at % (uint32_t) taps;
  at /= (uint32_t) taps;
  group = at % (uint32_t) a->groups;
  at /= (uint32_t) a->groups;
  x = at % (uint32_t) out->w;
  at = at / (uint32_t) out->w + a->first;
  y = at % (uint32_t) a->h;
  n = at / (uint32_t) a->h;

  offset = ci_view_at (&a->offsets, n, y, x);
  sy = y * a->stride - a->padding + tap / a->kernel
      + ci_load (&a->offsets, offset + 2 * tap);
  sx = x * a->stride - a->padding + tap % a->kernel
      + ci_load (&a->offsets, offset + 2 * tap + 1);
  /* beyond that, or no number at all: nothing but the zeros around the map */
  if (sy > -1.0f && sy < src->h && sx > -1.0f && sx < src->w) {
    modulation = ci_sigmoid (ci_load (&a->offsets, offset + 2 * taps + tap));
    y0 = (int) floorf (sy);
    x0 = (int) floorf (sx);
    ay = sy - y0;
    ax = sx - x0;
    for (int k = 0; k < 4; k++) {
      int cy = y0 + k / 2, cx = x0 + k % 2;

      if (cy >= 0 && cy < src->h && cx >= 0 && cx < src->w)
        ci_deform_add (a, ci_view_at (src, n, cy, cx), group, c, modulation
            * (k / 2 ? ay : 1 - ay) * (k % 2 ? ax : 1 - ax), sum);
    }
  }
  ci_store8 (out, i * CI_OCTET, sum);
}

#define CI_CONV_KERNELS(ELEMENT, BLOCK) \
  ELEMENT (conv_epilogue, CiConvEpilogueArgs) \
  ELEMENT (depthwise, CiDepthwiseArgs) \
  ELEMENT (depthwise_3x3, CiDepthwiseArgs) \
  ELEMENT (depthwise_3x3_s2, CiDepthwiseArgs) \
  ELEMENT (depthwise_5x5, CiDepthwiseArgs) \
  ELEMENT (depthwise_weights, CiDepthwiseWeightsArgs) \
  ELEMENT (direct_conv, CiDirectConvArgs) \
  ELEMENT (half_vector, CiHalfVectorArgs) \
  ELEMENT (deform_columns, CiDeformColumnsArgs)

#endif /* CI_KERNEL_CONV_H */
