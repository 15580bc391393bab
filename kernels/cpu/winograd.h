/*
 * winograd.h: 3x3 convolutions of stride 1 by Winograd's F(4x4, 3x3) (Lavin and
 * Gray, CVPR 2016): tiles of 4 x 4 results cost 36 products per pair of
 * channels instead of 144. Tiles of several maps that share their weights (the
 * levels of a pyramid) go through one matrix product.
 *
 * In turn for each block of tiles, small enough for the caches:
 *   V[36][tile][in]   = B' d B of the 6 x 6 inputs of each tile,
 *   M[36][tile][out]  = V[36] x U[36], with U = G g G' of the weights,
 *   A' M A of each tile + bias (+ residual), activation, into the map.
 *
 * winograd_run.c has the loops and is built once per level of CPU, winograd.c
 * prepares steps and chooses.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_WINOGRAD_H
#define CI_WINOGRAD_H

#include "cpu.h"

#include <stdatomic.h>

G_BEGIN_DECLS

#define CI_WINOGRAD_TILE 4      /* results a side */
#define CI_WINOGRAD_POINTS 36
#define CI_WINOGRAD_PANEL 16    /* output channels of a panel of U */
#define CI_WINOGRAD_ROWS 6      /* tiles that the innermost product takes */

typedef struct
{
  const gfloat *src, *residual; /* NULL: none */
  gfloat *dst;
  gint h, w, tiles_x;
  gint first_tile;
} CiWinogradMap;

typedef struct
{
  gint n_maps;
  CiWinogradMap *maps;
  gint in, out;                 /* channels, whole blocks */
  gint padded_out;              /* whole panels */
  CiActivation activation;
  CiPoolFunc run;
  CiPacked *packed;             /* U: [36][panel][in][PANEL], bias */
  gint n_tiles, block_tiles, n_blocks;
  gsize v_pitch, m_pitch;       /* floats from one of the 36 to the next */
  gfloat *scratch;
  gsize scratch_floats;         /* of a thread */
  atomic_int next_block;
} CiWinograd;

typedef struct
{
  const gfloat *weight;         /* real_out x real_in x 3 x 3 */
  gint in, real_in, real_out;
  gfloat *u;                    /* zeroed */
} CiWinogradPacking;

/* Tasks for ci_pool_run(): @pack makes one panel of U of a CiWinogradPacking,
 * @run takes blocks of a CiWinograd as long as there are any. */
typedef struct
{
  CiPoolFunc pack, run;
} CiWinogradFuncs;

extern const CiWinogradFuncs ci_winograd_funcs;
#ifdef CI_HAVE_X86_64_V3
extern const CiWinogradFuncs ci_winograd_funcs_x86_64_v3;
#endif

G_END_DECLS

#endif
