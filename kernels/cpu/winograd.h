/*
 * winograd.h: 3x3 convolutions of stride 1 by Winograd's F(4x4, 3x3) (Lavin and
 * Gray, CVPR 2016): tiles of 4 x 4 results cost 36 products per pair of
 * channels instead of 144. Tiles of several maps that share their weights (the
 * levels of a pyramid) go through one matrix product.
 *
 * In turn for each block of tiles:
 *   V[36][in / 8][tile][8]  = B' d B of the 6 x 6 inputs of each tile,
 *   M[36][out / 8][tile][8] = V[36] x U[36], with U = G g G' of the weights,
 *   A' M A of each tile + bias (+ residual), activation, into the map.
 * Layers that read the same maps (the first ones of FCOS' two towers) share V.
 * The threads share out blocks of tiles. Where U is large, they make one V
 * together instead and share out the panels of U, so that it is read once.
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

/* The loops for one level of CPU. Tasks for ci_pool_run(): @pack makes one
 * panel of U of a CiWinogradPacking, @gather the V of one block of channels of
 * a CiWinograd by panel; @run takes parts as long as there are any. */
typedef struct
{
  gint panel;                   /* output channels of a panel of U */
  CiPoolFunc pack, gather, run;
} CiWinogradFuncs;

/* A source. */
typedef struct
{
  const gfloat *src;
  gint h, w, tiles_x;
  gint first_tile;
} CiWinogradMap;

typedef struct
{
  const gfloat *residual;       /* NULL: none */
  gfloat *dst;
} CiWinogradResult;

/* Weights, and what they make of each map. */
typedef struct
{
  CiPacked *packed;             /* U: [36][panel][in][panel's channels], bias */
  gint out;                     /* channels, whole blocks */
  gint padded_out;              /* whole panels */
  CiActivation activation;
  CiWinogradResult *results;
} CiWinogradLayer;

typedef struct
{
  const CiWinogradFuncs *funcs;
  gint n_maps, n_layers;
  CiWinogradMap *maps;
  CiWinogradLayer *layers;
  gint in;                      /* channels, whole blocks */
  gboolean by_panel;
  gint n_tiles, block_tiles;
  gint first_tile;              /* by panel: of the current block */
  gint n_parts;                 /* blocks, or panels of all layers */
  gint pitch;                   /* tiles from a block of channels to the next */
  gsize v_pitch, m_pitch;       /* floats from one of the 36 to the next */
  gfloat *v, *m;
  gsize v_floats, m_floats;     /* of a thread; v: 0 if they share it */
  atomic_int next_part;
} CiWinograd;

typedef struct
{
  const gfloat *weight;         /* real_out x real_in x 3 x 3 */
  gint in, real_in, real_out;
  gfloat *u;                    /* zeroed */
} CiWinogradPacking;

extern const CiWinogradFuncs ci_winograd_funcs;
#ifdef CI_HAVE_X86_64_V3
extern const CiWinogradFuncs ci_winograd_funcs_x86_64_v3;
#endif
#ifdef CI_HAVE_X86_64_V4
extern const CiWinogradFuncs ci_winograd_funcs_x86_64_v4;
#endif

G_END_DECLS

#endif
