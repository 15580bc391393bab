/*
 * panel.h: the matrix product of winograd_run.c and gemm_run.c, for the CPU
 * that the compiler is told to build for: rows times a panel of columns, as
 * many as its registers hold.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_PANEL_H
#define CI_PANEL_H

#include "cpu.h"

#include "../simd.h"

/* Vectors are as wide as the CPU's; ROWS times PANEL columns are what its
 * registers hold. */
#ifdef CI_WIDE
# define LANES 16
# define ROWS 12
#else
# define LANES 8
# define ROWS 6
#endif
#define PANEL (2 * LANES)

typedef gfloat Vector __attribute__ ((vector_size (4 * LANES),
        aligned (4 * LANES)));
/* A block of columns of a Vector. */
typedef gfloat Part __attribute__ ((vector_size (4 * CI_BLOCK),
        aligned (4 * CI_BLOCK), may_alias));

/* @n rows, from @a on, times a panel @u of @depth x PANEL; blocks of columns,
 * of @a and of @m, lie @pitch floats apart. @add: to what @m holds. */
CI_INLINE void
multiply (const gint n, const gfloat * a, const gfloat * u, gint depth,
    gsize pitch, gfloat * m, gboolean add)
{
  Vector left[ROWS], right[ROWS];

#pragma GCC unroll 12
  for (gint r = 0; r < n; r++)
    left[r] = right[r] = (Vector) { 0 };
  for (gint c = 0; c < depth; c += CI_BLOCK, a += pitch)
#pragma GCC unroll 8
    for (gint k = 0; k < CI_BLOCK; k++, u += PANEL) {
      Vector u0 = *(const Vector *) u, u1 = *(const Vector *) (u + LANES);

#pragma GCC unroll 12
      for (gint r = 0; r < n; r++) {
        Vector x = a[r * CI_BLOCK + k] - (Vector) { 0 };

        left[r] += x * u0;
        right[r] += x * u1;
      }
    }
#pragma GCC unroll 12
  for (gint r = 0; r < n; r++, m += CI_BLOCK)
    for (gint i = 0; i < LANES / CI_BLOCK; i++) {
      Part *p = (Part *) (m + i * pitch);
      Part *q = (Part *) (m + (LANES / CI_BLOCK + i) * pitch);

      if (add) {
        *p += ((const Part *) &left[r])[i];
        *q += ((const Part *) &right[r])[i];
      } else {
        *p = ((const Part *) &left[r])[i];
        *q = ((const Part *) &right[r])[i];
      }
    }
}

/* All @n rows, @rows at a time; the last ones overlap others. */
CI_INLINE void
multiply_rows (const gint rows, gint n, const gfloat * a, const gfloat * u,
    gint depth, gsize pitch, gfloat * m, gboolean add)
{
  for (gint t = 0; t < n; t += rows) {
    gint first = MIN (t, n - rows);

    multiply (rows, a + first * CI_BLOCK, u, depth, pitch,
        m + first * CI_BLOCK, add);
  }
}

/* How many rows multiply_panel() takes at a time. */
static inline gint
rows_at_a_time (gint n)
{
  gint n_passes = (n + ROWS - 1) / ROWS;

  return (n + n_passes - 1) / n_passes;
}

/* All @n rows of @a times the panel @u. With @add, @n has to be a multiple of
 * rows_at_a_time(). */
static void
multiply_panel (gint n, const gfloat * a, const gfloat * u, gint depth,
    gsize pitch, gfloat * m, gboolean add)
{
  switch (rows_at_a_time (n)) {
#define CASE(rows) \
    case rows: \
      multiply_rows (rows, n, a, u, depth, pitch, m, add); \
      break
      CASE (1);
      CASE (2);
      CASE (3);
      CASE (4);
      CASE (5);
      CASE (6);
#if ROWS > 6
      CASE (7);
      CASE (8);
      CASE (9);
      CASE (10);
      CASE (11);
      CASE (12);
#endif
#undef CASE
  }
}

/* One of those that a convolution may have. */
CI_INLINE CiV8
activate (CiV8 v, CiActivation activation)
{
  if (activation == CI_ACTIVATION_NONE)
    return v;
  if (activation == CI_ACTIVATION_LEAKY_RELU)
    return ci_v8_max (v, v * ci_v8_set1 (CI_LEAKY_RELU_SLOPE));
  v = ci_v8_max (v, ci_v8_set1 (0));
  return activation == CI_ACTIVATION_RELU6 ? ci_v8_min (v, ci_v8_set1 (6)) : v;
}

#endif
