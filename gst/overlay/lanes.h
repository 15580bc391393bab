/* GStreamer instance masks
 *
 * lanes.h: loops for several CPUs, and eight floats or integers at a time for
 * any compiler with GNU vectors
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef __GST_MASK_DRAW_LANES_H__
#define __GST_MASK_DRAW_LANES_H__

#include <math.h>
#include <string.h>

#include <glib.h>

/* Functions with inner loops are built for several CPUs; not under sanitizers,
 * whose instrumented resolvers would run before they are set up. */
#if defined (__SANITIZE_ADDRESS__) || defined (__SANITIZE_THREAD__)
# define MASK_DRAW_SANITIZED 1
#endif
#if defined (__x86_64__) && defined (__linux__) && defined (__GNUC__) \
    && !defined (__clang__) && !defined (MASK_DRAW_SANITIZED)
/* A level, not a CPU's name: that would match this very model only. */
# if __GNUC__ >= 12
#  define MULTIVERSION \
    __attribute__ ((target_clones ("arch=x86-64-v3", "default")))
# else
#  define MULTIVERSION __attribute__ ((target_clones ("avx2", "default")))
# endif
#else
# define MULTIVERSION
#endif

/* What these functions call is to be built with them; and without AVX there is
 * no common calling convention for what takes or returns vectors. */
#define INLINE static inline __attribute__ ((always_inline))

#define LANES 8

typedef gfloat Floats __attribute__ ((vector_size (32)));
typedef gint32 Ints __attribute__ ((vector_size (32)));
typedef guint8 Bytes __attribute__ ((vector_size (8)));
typedef guint8 Bytes16 __attribute__ ((vector_size (16)));
typedef guint16 Words __attribute__ ((vector_size (16)));

/* The given elements of two vectors of a type, those of the second one counted
 * on */
#ifdef __clang__
# define SHUFFLE(type, a, b, ...) __builtin_shufflevector (a, b, __VA_ARGS__)
#else
# define SHUFFLE(type, a, b, ...) \
    __builtin_shuffle (a, b, (type) { __VA_ARGS__ })
#endif
/* Where the low byte of a number lies */
#define LOW(bytes) (G_BYTE_ORDER == G_LITTLE_ENDIAN ? 0 : (bytes) - 1)

INLINE Floats
floats_load (const gfloat * src)
{
  Floats v;

  memcpy (&v, src, sizeof (v));
  return v;
}

INLINE Floats
floats_abs (Floats v)
{
  return (Floats) ((Ints) v & 0x7fffffff);
}

INLINE Floats
floats_sqrt (Floats v)
{
  gint i;

  for (i = 0; i < LANES; i++)
    v[i] = sqrtf (v[i]);
  return v;
}

/* Whole numbers within [0, @high]; what is in between is cut off. */
INLINE Ints
floats_to_ints (Floats v, gint high)
{
  Ints n = __builtin_convertvector (v, Ints), small;

  n &= n > 0;
  small = n < high;
  return (n & small) | (high & ~small);
}

/* The lowest byte of each */
INLINE Bytes
ints_to_bytes (Ints v)
{
  typedef guint8 All __attribute__ ((vector_size (32)));
  All low = SHUFFLE (All, (All) v, (All) v, LOW (4), LOW (4) + 4, LOW (4) + 8,
      LOW (4) + 12, LOW (4) + 16, LOW (4) + 20, LOW (4) + 24, LOW (4) + 28, 0,
      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  Bytes bytes;

  memcpy (&bytes, &low, sizeof (bytes));
  return bytes;
}

INLINE Bytes16
bytes_load (const guint8 * src)
{
  Bytes16 v;

  memcpy (&v, src, sizeof (v));
  return v;
}

/* The first and the second half of two vectors, mixed one by one */
INLINE Bytes16
bytes_zip_low (Bytes16 a, Bytes16 b)
{
  return SHUFFLE (Bytes16, a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6,
      22, 7, 23);
}

INLINE Bytes16
bytes_zip_high (Bytes16 a, Bytes16 b)
{
  return SHUFFLE (Bytes16, a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29,
      14, 30, 15, 31);
}

INLINE Words
words_zip_low (Words a, Words b)
{
  return SHUFFLE (Words, a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}

INLINE Words
words_zip_high (Words a, Words b)
{
  return SHUFFLE (Words, a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

INLINE Words
bytes_to_words_low (Bytes16 v)
{
  const Bytes16 zero = { 0, };

  return (Words) (LOW (2) ? bytes_zip_low (zero, v) : bytes_zip_low (v, zero));
}

INLINE Words
bytes_to_words_high (Bytes16 v)
{
  const Bytes16 zero = { 0, };

  return (Words) (LOW (2) ? bytes_zip_high (zero, v) :
      bytes_zip_high (v, zero));
}

/* The low byte of each */
INLINE Bytes16
words_to_bytes (Words a, Words b)
{
  return SHUFFLE (Bytes16, (Bytes16) a, (Bytes16) b, LOW (2), LOW (2) + 2,
      LOW (2) + 4, LOW (2) + 6, LOW (2) + 8, LOW (2) + 10, LOW (2) + 12,
      LOW (2) + 14, LOW (2) + 16, LOW (2) + 18, LOW (2) + 20, LOW (2) + 22,
      LOW (2) + 24, LOW (2) + 26, LOW (2) + 28, LOW (2) + 30);
}

#endif
