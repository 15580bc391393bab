/*
 * gemm.h: convolutions of items as matrix products. The rows are the pixels of
 * all results of all items, the columns their channels:
 *   V[depth / 8][row][8] = what each row's window holds,
 *   M[column / 8][row][8] = V x U, with U = the weights,
 *   M + bias (+ residual), activation, into the maps.
 * The depth is ordered as a map is: [in / 8][y][x][8] of a window, so that a
 * linear layer reads its items as they lie. Transposed convolutions of 2 x 2
 * have the four results of a pixel as columns, one behind the other.
 *
 * The threads share out blocks of rows times groups of panels of U, and go
 * through the depth in chunks that fit into the second cache. How many rows
 * there are is known only when it runs.
 *
 * gemm_run.c has the loops and is built once per level of CPU, gemm.c prepares
 * steps.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_GEMM_H
#define CI_GEMM_H

#include "cpu.h"

#include <stdatomic.h>

G_BEGIN_DECLS

/* Of a part: what is in the second cache at a time. A multiple of the rows that
 * any level's product takes at a time. */
#define CI_GEMM_ROWS 144
#define CI_GEMM_DEPTH 32        /* blocks of a chunk */
#define CI_GEMM_COLUMNS 256     /* a multiple of any level's panel */

/* The loops for one level of CPU. @run: tasks for ci_pool_run() of a CiGemm;
 * takes parts as long as there are any. @multiply: the product alone, of @n
 * rows (a multiple of CI_GEMM_UNIT), @depth in blocks; blocks of columns of @v
 * and @m lie @pitch floats apart. @add: to what @m holds. */
typedef struct
{
  gint panel;                   /* columns of a panel of U */
  CiPoolFunc run;
  void (*multiply) (gint n, const gfloat *v, const gfloat *u, gint depth,
      gint n_panels, gsize pitch, gfloat *m, gboolean add);
} CiGemmFuncs;

/* A multiple of the rows that any level's product takes at a time. */
#define CI_GEMM_UNIT 12

/* Those for the CPU at hand. */
const CiGemmFuncs *ci_gemm_get_funcs (void);

/* One block of the depth, relative to where a row's window begins. */
typedef struct
{
  gint y, x;
  gsize offset;                 /* floats */
} CiGemmTap;

/* One row of V and M. */
typedef struct
{
  gint y, x;                    /* where its window begins, may be outside */
  gssize from;                  /* floats, in the source */
  gsize to;                     /* in the result */
} CiGemmRow;

typedef struct
{
  const CiGemmFuncs *funcs;
  const CiMap *src, *dst, *residual;    /* residual: NULL: none */
  CiActivation activation;
  gint h, w;                    /* rows an item has */
  gint stride, padding;         /* of their windows */
  gint to_stride;               /* pixels of the result between rows */
  gint depth;                   /* blocks */
  CiGemmTap *taps;              /* per block of the depth */
  gint columns;                 /* blocks */
  gsize *offsets;               /* per block of columns: floats in the result */
  gint n_panels;
  CiPacked *packed;             /* U: [panel][depth][8][panel's columns]; bias,
                                   per column */
  gfloat *v, *m;
  gsize v_floats, m_floats;     /* of a thread */
  CiGemmRow *rows;              /* CI_GEMM_ROWS a thread */
  /* of the current run */
  gint n_rows, block_rows;
  gint n_groups;                /* of panels */
  gint n_parts;
  atomic_int next_part;
} CiGemm;

extern const CiGemmFuncs ci_gemm_funcs;
#ifdef CI_HAVE_X86_64_V3
extern const CiGemmFuncs ci_gemm_funcs_x86_64_v3;
#endif
#ifdef CI_HAVE_X86_64_V4
extern const CiGemmFuncs ci_gemm_funcs_x86_64_v4;
#endif

G_END_DECLS

#endif
