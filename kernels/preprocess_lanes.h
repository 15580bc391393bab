/*
 * preprocess_lanes.h: vectors of eight words, and what becomes of a strip of 32
 * levels, for the loops of the 8-bit resizes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_PREPROCESS_LANES_H
#define CI_PREPROCESS_LANES_H

#include <string.h>

#include "preprocess_priv.h"
#include "simd.h"

#define STRIP CI_PREPROCESS_STRIP
#define SET1(word) ((word) - (Lanes) { 0 })

typedef guint32 Lanes __attribute__ ((vector_size (32)));
/* The same, of bytes in memory. */
typedef guint32 ByteLanes
    __attribute__ ((vector_size (32), aligned (1), may_alias));
/* Four words of bytes in memory, of the widest vector that all CPUs have. */
typedef guint32 Words __attribute__ ((vector_size (16)));
typedef guint32 ByteWords
    __attribute__ ((vector_size (16), aligned (1), may_alias));

#if defined (__clang__) || __GNUC__ >= 12
# define SHUFFLE(a, b, ...) __builtin_shufflevector (a, b, __VA_ARGS__)
#else
# define SHUFFLE(a, b, ...) __builtin_shuffle (a, b, \
    (__typeof__ (a)) { __VA_ARGS__ })
#endif

typedef gint16 Halves __attribute__ ((vector_size (32)));
typedef gint16 Halves128 __attribute__ ((vector_size (16)));

/* @acc plus both halves of each lane of @pairs, 0 to 255, times those of
 * @weights. No compiler makes the instruction for it out of plain C. */
CI_INLINE Lanes
add_products (Lanes acc, Lanes pairs, Lanes weights)
{
#if defined (__AVX2__)
  return acc + (Lanes) __builtin_ia32_pmaddwd256 ((Halves) pairs,
      (Halves) weights);
#elif defined (__SSE2__)
  union
  {
    Lanes all;
    Halves128 part[2];
  } v = { pairs }, w = { weights };

  v.part[0] = (Halves128) __builtin_ia32_pmaddwd128 (v.part[0], w.part[0]);
  v.part[1] = (Halves128) __builtin_ia32_pmaddwd128 (v.part[1], w.part[1]);
  return acc + v.all;
#else
  return acc + (pairs & 0xffff) * (weights & 0xffff) +
      (pairs >> 16) * (weights >> 16);
#endif
}

/* Upper halves of each lane of @low and @high. */
CI_INLINE Halves
join (Lanes low, Lanes high)
{
#ifdef __AVX2__
  return __builtin_ia32_pblendw256 ((Halves) (low >> 16), (Halves) high, 0xaa);
#else
  return (Halves) (low >> 16 | (high & 0xffff0000));
#endif
}

/* Fixed point of two neighbouring columns to 0-255. C has no minimum of
 * vectors, but compilers see this loop for what it is. */
CI_INLINE void
store_levels (CiV8i even, CiV8i odd, Lanes * dst)
{
  Halves v = join ((Lanes) even, (Lanes) odd);
  gint l;

  for (l = 0; l < 16; l++)
    v[l] = CLAMP (v[l] >> (CI_EXACT_MATRIX_BITS - 16), 0, 255);
  *dst = (Lanes) v;
}

/* Upper halves of the products. */
CI_INLINE Halves
multiply_high (Halves a, gint16 weight)
{
#if defined (__AVX2__)
  return __builtin_ia32_pmulhw256 (a, weight - (Halves) { 0 });
#else
  union
  {
    Halves all;
    Halves128 part[2];
  } v = { a };
  gint i;

  for (i = 0; i < 2; i++) {
# if defined (__SSE2__)
    v.part[i] = __builtin_ia32_pmulhw128 (v.part[i],
        weight - (Halves128) { 0 });
# else
    for (gint l = 0; l < 8; l++)
      v.part[i][l] = v.part[i][l] * weight >> 16;
# endif
  }
  return v.all;
#endif
}

/* A strip's levels as bytes: those of a lane in one word. */
CI_INLINE void
store_bytes (const Lanes level[4], guint32 * dst)
{
  *(ByteLanes *) dst =
      level[0] | level[1] << 8 | level[2] << 16 | level[3] << 24;
}

/* The first @n of a strip's levels. */
CI_INLINE void
normalise (const Lanes level[4], gint n, gfloat mean, gfloat scale,
    gfloat * dst)
{
  gfloat tail[STRIP];
  gfloat *out = n < STRIP ? tail : dst;
  gint i;

  for (i = 0; i < 4; i++)
    ((CiV8u *) out)[i] =
        (__builtin_convertvector ((CiV8i) level[i], CiV8) - mean) * scale;
  if (n < STRIP)
    memcpy (dst, tail, n * sizeof (gfloat));
}

#endif
