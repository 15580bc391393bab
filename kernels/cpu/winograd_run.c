/*
 * winograd_run.c: the loops of winograd.h, for the CPU that the compiler is
 * told to build for.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "winograd.h"

#include "panel.h"

#define TILE CI_WINOGRAD_TILE
#define INPUTS 6                /* a side of what a tile needs */
#define POINTS CI_WINOGRAD_POINTS

/* ---- weights ----------------------------------------------------------- */

/* G g of three values: six. */
CI_INLINE void
transform_weights (const CiV8 g[3], CiV8 out[INPUTS], gint step)
{
  CiV8 even = (g[0] + g[2]) * ci_v8_set1 (-1.0f / 6);
  CiV8 odd = g[1] * ci_v8_set1 (-1.0f / 6);
  CiV8 far = g[0] * ci_v8_set1 (1.0f / 24) + g[2] * ci_v8_set1 (1.0f / 6);
  CiV8 far_odd = g[1] * ci_v8_set1 (1.0f / 12);

  out[0] = g[0] * ci_v8_set1 (0.25f);
  out[step] = even + odd;
  out[2 * step] = even - odd;
  out[3 * step] = far + far_odd;
  out[4 * step] = far - far_odd;
  out[5 * step] = g[2];
}

/* One panel of U. */
static void
pack_panel (gpointer data, gint panel, gint n_panels)
{
  const CiWinogradPacking *p = data;

  for (gint half = 0; half < PANEL; half += 8)
    for (gint i = 0; i < p->real_in; i++) {
      CiV8 g[9], t[3 * INPUTS], u[POINTS];
      gint first = panel * PANEL + half;

      for (gint k = 0; k < 9; k++)
        for (gint o = 0; o < 8; o++)
          g[k][o] = first + o < p->real_out ?
              p->weight[((gsize) (first + o) * p->real_in + i) * 9 + k] : 0;
      for (gint x = 0; x < 3; x++) {
        CiV8 column[3] = { g[x], g[3 + x], g[6 + x] };

        transform_weights (column, t + x, 3);
      }
      for (gint y = 0; y < INPUTS; y++)
        transform_weights (t + 3 * y, u + INPUTS * y, 1);
      for (gint k = 0; k < POINTS; k++)
        *(CiV8 *) (p->u + (((gsize) k * n_panels + panel) * p->in + i) * PANEL
            + half) = u[k];
    }
}

/* ---- inputs ------------------------------------------------------------ */

/* B' d of six values that lie @step apart, in place. */
CI_INLINE void
transform_inputs (CiV8 * d, const gint step)
{
  const CiV8 two = ci_v8_set1 (2), four = ci_v8_set1 (4);
  CiV8 a = d[0], b = d[step], c = d[2 * step], e = d[3 * step];
  CiV8 f = d[4 * step], g = d[5 * step];
  CiV8 p = f - four * c, q = e - four * b, r = f - c, t = two * (e - b);

  d[0] = four * a + (f - ci_v8_set1 (5) * c);
  d[step] = p + q;
  d[2 * step] = p - q;
  d[3 * step] = r + t;
  d[4 * step] = r - t;
  d[5 * step] = four * b + (g - ci_v8_set1 (5) * e);
}

/* One block of channels of one tile, whose inputs begin at (@x, @y) of @src,
 * into V. */
CI_INLINE void
gather_tile (const CiWinogradMap * map, const gfloat * src, gint x, gint y,
    gfloat * v, gsize v_pitch)
{
  gboolean inside = x >= 0 && y >= 0 && x + INPUTS <= map->w
      && y + INPUTS <= map->h;
  CiV8 d[POINTS];

  if (inside) {
    src += ((gsize) y * map->w + x) * CI_BLOCK;
    for (gint i = 0; i < INPUTS; i++)
      for (gint j = 0; j < INPUTS; j++)
        d[i * INPUTS + j] = *(const CiV8 *) (src
            + ((gsize) i * map->w + j) * CI_BLOCK);
  } else {
    for (gint i = 0; i < INPUTS; i++)
      for (gint j = 0; j < INPUTS; j++)
        d[i * INPUTS + j] = y + i >= 0 && y + i < map->h && x + j >= 0
            && x + j < map->w ? *(const CiV8 *) (src
            + ((gsize) (y + i) * map->w + x + j) * CI_BLOCK)
            : ci_v8_set1 (0);
  }
#pragma GCC unroll 6
  for (gint j = 0; j < INPUTS; j++)
    transform_inputs (d + j, INPUTS);
#pragma GCC unroll 6
  for (gint i = 0; i < INPUTS; i++)
    transform_inputs (d + i * INPUTS, 1);
#pragma GCC unroll 36
  for (gint k = 0; k < POINTS; k++)
    *(CiV8 *) (v + k * v_pitch) = d[k];
}

/* ---- products ---------------------------------------------------------- */

/* All @n tiles of one of the 36 times panel @panel of U; @m: where the panel's
 * results begin. */
static void
multiply_tiles (const CiWinograd * w, const CiWinogradLayer * layer, gint k,
    gint panel, const gfloat * v, gfloat * m, gint n)
{
  const gfloat *u = layer->packed->weight
      + ((gsize) k * (layer->padded_out / PANEL) + panel) * w->in * PANEL;

  multiply_panel (n, v + k * w->v_pitch, u, w->in,
      (gsize) w->pitch * CI_BLOCK, m + k * w->m_pitch, FALSE);
}

/* ---- results ----------------------------------------------------------- */

/* A' m of six values that lie @step apart: four, @out_step apart. */
CI_INLINE void
transform_results (const CiV8 * m, const gint step, CiV8 * out,
    const gint out_step)
{
  CiV8 a = m[step] + m[2 * step], b = m[step] - m[2 * step];
  CiV8 c = m[3 * step] + m[4 * step], d = m[3 * step] - m[4 * step];

  out[0] = m[0] + a + c;
  out[out_step] = b + ci_v8_set1 (2) * d;
  out[2 * out_step] = a + ci_v8_set1 (4) * c;
  out[3 * out_step] = b + ci_v8_set1 (8) * d + m[5 * step];
}

/* One block of channels of one tile, whose results begin at (@x, @y), from M
 * into the map; @plane: where the block begins in it. */
CI_INLINE void
scatter_tile (const CiWinogradMap * map, const CiWinogradResult * result,
    CiV8 bias, CiActivation activation, gsize plane, gint x, gint y,
    const gfloat * m, gsize m_pitch)
{
  gint rows = MIN (TILE, map->h - y), columns = MIN (TILE, map->w - x);
  gsize first = plane + ((gsize) y * map->w + x) * CI_BLOCK;
  CiV8 d[POINTS], e[TILE * INPUTS], f[TILE * TILE];

#pragma GCC unroll 36
  for (gint k = 0; k < POINTS; k++)
    d[k] = *(const CiV8 *) (m + k * m_pitch);
#pragma GCC unroll 6
  for (gint j = 0; j < INPUTS; j++)
    transform_results (d + j, INPUTS, e + j, INPUTS);
#pragma GCC unroll 4
  for (gint i = 0; i < TILE; i++)
    transform_results (e + i * INPUTS, 1, f + i * TILE, 1);
  for (gint i = 0; i < rows; i++)
    for (gint j = 0; j < columns; j++) {
      gsize at = first + ((gsize) i * map->w + j) * CI_BLOCK;
      CiV8 value = f[i * TILE + j] + bias;

      if (result->residual)
        value += *(const CiV8 *) (result->residual + at);
      *(CiV8 *) (result->dst + at) = activate (value, activation);
    }
}

/* ---- running ----------------------------------------------------------- */

/* A walk over tiles: where the current one lies. */
typedef struct
{
  const CiWinogradMap *map;
  gint x, y;                    /* of its first result */
} Walk;

static Walk
start_walk (const CiWinograd * w, gint tile)
{
  const CiWinogradMap *map = &w->maps[w->n_maps - 1];

  while (map->first_tile > tile)
    map--;
  tile -= map->first_tile;
  return (Walk) { map, tile % map->tiles_x * TILE, tile / map->tiles_x * TILE };
}

CI_INLINE void
step_walk (Walk * walk)
{
  walk->x += TILE;
  if (walk->x < walk->map->w)
    return;
  walk->x = 0;
  walk->y += TILE;
  if (walk->y < walk->map->h)
    return;
  walk->y = 0;
  walk->map++;
}

/* Tiles in the inner loops: what is read and written then lies in a row. */
static void
gather (const CiWinograd * w, gint block, gint first, gint n, gfloat * v)
{
  Walk walk = start_walk (w, first);

  for (gint t = 0; t < n; t++, step_walk (&walk))
    gather_tile (walk.map, walk.map->src
        + (gsize) block * walk.map->h * walk.map->w * CI_BLOCK,
        walk.x - 1, walk.y - 1,
        v + ((gsize) block * w->pitch + t) * CI_BLOCK, w->v_pitch);
}

/* @m: where the block begins. */
static void
scatter (const CiWinograd * w, const CiWinogradLayer * layer, gint block,
    gint first, gint n, const gfloat * m)
{
  CiV8 bias = *(const CiV8 *) (layer->packed->bias + block * CI_BLOCK);
  Walk walk = start_walk (w, first);

  for (gint t = 0; t < n; t++, step_walk (&walk))
    scatter_tile (walk.map, &layer->results[walk.map - w->maps], bias,
        layer->activation,
        (gsize) block * walk.map->h * walk.map->w * CI_BLOCK, walk.x, walk.y,
        m + t * CI_BLOCK, w->m_pitch);
}

static void
run_tiles (const CiWinograd * w, gint part, gfloat * v, gfloat * m)
{
  gint first = part * w->block_tiles;
  gint n = MIN (w->block_tiles, w->n_tiles - first);
  gsize pitch = (gsize) w->pitch * CI_BLOCK;

  for (gint block = 0; block < w->in / CI_BLOCK; block++)
    gather (w, block, first, n, v);
  for (gint i = 0; i < w->n_layers; i++) {
    const CiWinogradLayer *layer = &w->layers[i];

    for (gint k = 0; k < POINTS; k++)
      for (gint panel = 0; panel < layer->padded_out / PANEL; panel++)
        multiply_tiles (w, layer, k, panel, v,
            m + panel * (PANEL / CI_BLOCK) * pitch, n);
    for (gint block = 0; block < layer->out / CI_BLOCK; block++)
      scatter (w, layer, block, first, n, m + block * pitch);
  }
}

static void
run_panel (const CiWinograd * w, gint part, const gfloat * v, gfloat * m)
{
  const CiWinogradLayer *layer = w->layers;
  gint n = MIN (w->block_tiles, w->n_tiles - w->first_tile);

  for (; part >= layer->padded_out / PANEL; layer++)
    part -= layer->padded_out / PANEL;
  for (gint k = 0; k < POINTS; k++)
    multiply_tiles (w, layer, k, part, v, m, n);
  for (gint i = 0; i < PANEL / CI_BLOCK; i++) {
    gint block = part * (PANEL / CI_BLOCK) + i;

    if (block < layer->out / CI_BLOCK)
      scatter (w, layer, block, w->first_tile, n,
          m + (gsize) i * w->pitch * CI_BLOCK);
  }
}

static void
gather_block (gpointer data, gint task, gint n_tasks)
{
  const CiWinograd *w = data;

  gather (w, task, w->first_tile,
      MIN (w->block_tiles, w->n_tiles - w->first_tile), w->v);
}

/* Takes parts as long as there are any. */
static void
run_parts (gpointer data, gint task, gint n_tasks)
{
  CiWinograd *w = data;
  gfloat *v = w->v + task * w->v_floats, *m = w->m + task * w->m_floats;
  gint part;

  while ((part = atomic_fetch_add (&w->next_part, 1)) < w->n_parts)
    if (w->by_panel)
      run_panel (w, part, v, m);
    else
      run_tiles (w, part, v, m);
}

const CiWinogradFuncs CI_FOR_LEVEL (ci_winograd_funcs) = {
  PANEL, pack_panel, gather_block, run_parts
};
