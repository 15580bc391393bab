/*
 * hostdev.h: C that both nvcc and any C compiler take. What a thread of a
 * kernel computes is written once, in the headers kernel_*.h, with nothing but
 * what is here: nvcc makes kernels of it (launch.cu), gcc and clang make loops
 * (tests/fakecuda), which conformance tests run under sanitizers where there
 * is no GPU.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_HOSTDEV_H
#define CI_HOSTDEV_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
# include <cuda_fp16.h>
# define CI_HD static __host__ __device__ __forceinline__
#else
# define CI_HD static inline
#endif

/* Before loops that the compiler for GPUs would not unroll by itself. */
#ifdef __CUDA_ARCH__
# define CI_UNROLL _Pragma ("unroll")
#else
# define CI_UNROLL
#endif

/* Channels of a pixel come in groups of this many, which a thread moves at
 * once. */
#define CI_OCTET 8

/* A half-precision number as it lies in memory. */
typedef uint16_t CiHalf;

CI_HD int
ci_min (int a, int b)
{
  return a < b ? a : b;
}

CI_HD int
ci_max (int a, int b)
{
  return a > b ? a : b;
}

CI_HD int
ci_clamp (int v, int lo, int hi)
{
  return v < lo ? lo : v > hi ? hi : v;
}

/* The nearest float: @bits says which. */
CI_HD float
ci_bits_to_float (uint32_t bits)
{
  float f;

  memcpy (&f, &bits, sizeof (f));
  return f;
}

CI_HD uint32_t
ci_float_to_bits (float f)
{
  uint32_t bits;

  memcpy (&bits, &f, sizeof (bits));
  return bits;
}

CI_HD float
ci_half_to_float (CiHalf h)
{
#ifdef __CUDA_ARCH__
  return __half2float (__ushort_as_half (h));
#else
  uint32_t sign = (uint32_t) (h & 0x8000) << 16;
  uint32_t exponent = (h >> 10) & 31, mantissa = h & 1023;

  if (exponent == 31)
    return ci_bits_to_float (sign | 0x7f800000 | mantissa << 13);
  if (exponent == 0)            /* zero and subnormals: multiples of 2^-24 */
    return (sign ? -1.0f : 1.0f) * (float) mantissa * 0x1p-24f;
  return ci_bits_to_float (sign | (exponent + 112) << 23 | mantissa << 13);
#endif
}

/* To the nearest, ties to even; what is too large becomes the largest number,
 * so that one value does not spoil a map. */
CI_HD CiHalf
ci_float_to_half (float f)
{
  float limited = f > 65504.0f ? 65504.0f : f < -65504.0f ? -65504.0f : f;
#ifdef __CUDA_ARCH__
  return __half_as_ushort (__float2half_rn (limited));
#else
  uint32_t bits = ci_float_to_bits (limited), sign = bits >> 16 & 0x8000;
  uint32_t magnitude = bits & 0x7fffffff, rest, half;

  if (magnitude > 0x7f800000)   /* no number */
    return sign | 0x7e00;
  if (magnitude < 0x38800000) { /* subnormal: in steps of 2^-24 */
    float scaled = ci_bits_to_float (magnitude) * 0x1p24f;

    return sign | (uint32_t) rintf (scaled);
  }
  half = (magnitude - 0x38000000) >> 13;
  rest = magnitude & 0x1fff;
  if (rest > 0x1000 || (rest == 0x1000 && (half & 1)))
    half++;
  return sign | half;
#endif
}

/**
 * CiView: a map on the device, NHWC: channel c of pixel (y, x) of image n lies
 * at element n * image + (y * pitch + x) * cp + c of @data. Channels from c to
 * cp are 0.
 */
typedef struct
{
  void *data;
  int32_t h, w, c;
  int32_t cp;                   /* c in whole octets */
  int32_t pitch;                /* pixels from row to row */
  int32_t half;                 /* elements are CiHalf, else float */
  int64_t image;                /* elements from image to image */
} CiView;

/* Element of channel 0. */
CI_HD int64_t
ci_view_at (const CiView * v, int n, int y, int x)
{
  return n * v->image + ((int64_t) y * v->pitch + x) * v->cp;
}

CI_HD float
ci_load (const CiView * v, int64_t at)
{
  return v->half ? ci_half_to_float (((const CiHalf *) v->data)[at])
      : ((const float *) v->data)[at];
}

CI_HD void
ci_store (const CiView * v, int64_t at, float value)
{
  if (v->half)
    ((CiHalf *) v->data)[at] = ci_float_to_half (value);
  else
    ((float *) v->data)[at] = value;
}

typedef struct
{
  uint32_t word[4];
} __attribute__ ((aligned (16))) CiWords;

/* The octet from element @at on, which is a multiple of 8. */
CI_HD void
ci_load8 (const CiView * v, int64_t at, float out[CI_OCTET])
{
  if (v->half) {
    CiWords w = *(const CiWords *) ((const CiHalf *) v->data + at);

    for (int i = 0; i < CI_OCTET; i++)
      out[i] = ci_half_to_float ((CiHalf) (w.word[i / 2] >> i % 2 * 16));
  } else {
    for (int k = 0; k < 2; k++) {
      CiWords w = *(const CiWords *) ((const float *) v->data + at + 4 * k);

      for (int i = 0; i < 4; i++)
        out[4 * k + i] = ci_bits_to_float (w.word[i]);
    }
  }
}

CI_HD void
ci_store8 (const CiView * v, int64_t at, const float in[CI_OCTET])
{
  if (v->half) {
    CiWords w;

    for (int i = 0; i < 4; i++)
      w.word[i] = ci_float_to_half (in[2 * i])
          | (uint32_t) ci_float_to_half (in[2 * i + 1]) << 16;
    *(CiWords *) ((CiHalf *) v->data + at) = w;
  } else {
    for (int k = 0; k < 2; k++) {
      CiWords w;

      for (int i = 0; i < 4; i++)
        w.word[i] = ci_float_to_bits (in[4 * k + i]);
      *(CiWords *) ((float *) v->data + at + 4 * k) = w;
    }
  }
}

/**
 * CiCanvas: where the maps of a pyramid lie side by side in one map, so that a
 * convolution that all levels share runs once. At least one column and row of
 * zeros is between any two. A map by itself is a canvas of one rectangle.
 */
#define CI_MAX_RECTS 8

typedef struct
{
  int32_t y, x, h, w;
} CiRect;

typedef struct
{
  int32_t n;
  CiRect rect[CI_MAX_RECTS];
} CiCanvas;

/* The rectangle that pixel (y, x) of the canvas is in, or -1 between them. */
CI_HD int
ci_canvas_find (const CiCanvas * canvas, int y, int x)
{
  for (int i = 0; i < canvas->n; i++) {
    const CiRect *r = &canvas->rect[i];

    if (y >= r->y && y < r->y + r->h && x >= r->x && x < r->x + r->w)
      return i;
  }
  return -1;
}

/* The values of CiActivation. */
enum
{
  CI_ACT_NONE,
  CI_ACT_RELU,
  CI_ACT_RELU6,
  CI_ACT_SWISH,
  CI_ACT_HARD_SIGMOID,
  CI_ACT_LEAKY_RELU,
  CI_ACT_SIGMOID,
  CI_ACT_TANH,
};

#define CI_ACT_LEAKY_SLOPE 0.1f

CI_HD float
ci_sigmoid (float x)
{
  return 1.0f / (1.0f + expf (-x));
}

CI_HD float
ci_activate (float x, int activation)
{
  switch (activation) {
    case CI_ACT_RELU:
      return x > 0.0f ? x : 0.0f;
    case CI_ACT_RELU6:
      return x < 0.0f ? 0.0f : x > 6.0f ? 6.0f : x;
    case CI_ACT_SWISH:
      return x * ci_sigmoid (x);
    case CI_ACT_HARD_SIGMOID:
      x += 3.0f;
      return (x < 0.0f ? 0.0f : x > 6.0f ? 6.0f : x) / 6.0f;
    case CI_ACT_LEAKY_RELU:
      return x > 0.0f ? x : x * CI_ACT_LEAKY_SLOPE;
    case CI_ACT_SIGMOID:
      return ci_sigmoid (x);
    case CI_ACT_TANH:
      return tanhf (x);
    default:
      return x;
  }
}

#endif /* CI_HOSTDEV_H */
