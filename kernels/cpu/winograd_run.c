/*
 * winograd_run.c: the loops of winograd.h, for the CPU that the compiler is
 * told to build for.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "winograd.h"

#include "../simd.h"

#define TILE CI_WINOGRAD_TILE
#define INPUTS 6                /* a side of what a tile needs */
#define POINTS CI_WINOGRAD_POINTS
#define PANEL CI_WINOGRAD_PANEL
#define ROWS CI_WINOGRAD_ROWS

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

/* One tile, whose inputs begin at (@x, @y) of the map, into V. */
CI_INLINE void
gather_tile (const CiWinograd * w, const CiWinogradMap * map, gint x, gint y,
    gfloat * v)
{
  gboolean inside = x >= 0 && y >= 0 && x + INPUTS <= map->w
      && y + INPUTS <= map->h;
  gsize plane = (gsize) map->h * map->w * CI_BLOCK;

  for (gint c = 0; c < w->in; c += CI_BLOCK) {
    const gfloat *src = map->src + c / CI_BLOCK * plane;
    CiV8 d[POINTS];

    if (inside) {
      for (gint i = 0; i < INPUTS; i++)
        for (gint j = 0; j < INPUTS; j++)
          d[i * INPUTS + j] = *(const CiV8 *) (src
              + ((gsize) (y + i) * map->w + x + j) * CI_BLOCK);
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
      *(CiV8 *) (v + k * w->v_pitch + c) = d[k];
  }
}

/* ---- products ---------------------------------------------------------- */

/* @n rows of @a (@depth columns) times a panel of U. */
CI_INLINE void
multiply (const gint n, const gfloat * a, const gfloat * u, gint depth,
    gfloat * m, gint m_row)
{
  CiV8 left[ROWS], right[ROWS];

#pragma GCC unroll 6
  for (gint r = 0; r < n; r++)
    left[r] = right[r] = ci_v8_set1 (0);
  for (gint k = 0; k < depth; k++, u += PANEL) {
    CiV8 u0 = *(const CiV8 *) u, u1 = *(const CiV8 *) (u + 8);

#pragma GCC unroll 6
    for (gint r = 0; r < n; r++) {
      CiV8 x = ci_v8_set1 (a[(gsize) r * depth + k]);

      left[r] += x * u0;
      right[r] += x * u1;
    }
  }
#pragma GCC unroll 6
  for (gint r = 0; r < n; r++) {
    *(CiV8 *) (m + (gsize) r * m_row) = left[r];
    *(CiV8 *) (m + (gsize) r * m_row + 8) = right[r];
  }
}

CI_INLINE void
multiply_block (const CiWinograd * w, const gfloat * v, gfloat * m, gint n)
{
  gint n_panels = w->padded_out / PANEL;

  for (gint k = 0; k < POINTS; k++)
    for (gint panel = 0; panel < n_panels; panel++) {
      const gfloat *u = w->packed->weight
          + ((gsize) k * n_panels + panel) * w->in * PANEL;
      const gfloat *a = v + k * w->v_pitch;
      gfloat *out = m + k * w->m_pitch + panel * PANEL;
      gint t = 0;

      for (; t + ROWS <= n; t += ROWS)
        multiply (ROWS, a + (gsize) t * w->in, u, w->in,
            out + (gsize) t * w->padded_out, w->padded_out);
      a += (gsize) t * w->in;
      out += (gsize) t * w->padded_out;
      switch (n - t) {
        case 1:
          multiply (1, a, u, w->in, out, w->padded_out);
          break;
        case 2:
          multiply (2, a, u, w->in, out, w->padded_out);
          break;
        case 3:
          multiply (3, a, u, w->in, out, w->padded_out);
          break;
        case 4:
          multiply (4, a, u, w->in, out, w->padded_out);
          break;
        case 5:
          multiply (5, a, u, w->in, out, w->padded_out);
          break;
      }
    }
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

CI_INLINE CiV8
activate (CiV8 v, CiActivation activation)
{
  if (activation == CI_ACTIVATION_NONE)
    return v;
  v = ci_v8_max (v, ci_v8_set1 (0));
  return activation == CI_ACTIVATION_RELU6 ? ci_v8_min (v, ci_v8_set1 (6)) : v;
}

/* One tile, whose results begin at (@x, @y), from M into the map. */
CI_INLINE void
scatter_tile (const CiWinograd * w, const CiWinogradMap * map, gint x, gint y,
    const gfloat * m)
{
  gint rows = MIN (TILE, map->h - y), columns = MIN (TILE, map->w - x);
  gsize plane = (gsize) map->h * map->w * CI_BLOCK;

  for (gint c = 0; c < w->out; c += CI_BLOCK) {
    gsize first = c / CI_BLOCK * plane + ((gsize) y * map->w + x) * CI_BLOCK;
    CiV8 bias = *(const CiV8 *) (w->packed->bias + c);
    CiV8 d[POINTS], e[TILE * INPUTS], f[TILE * TILE];

#pragma GCC unroll 36
    for (gint k = 0; k < POINTS; k++)
      d[k] = *(const CiV8 *) (m + k * w->m_pitch + c);
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

        if (map->residual)
          value += *(const CiV8 *) (map->residual + at);
        *(CiV8 *) (map->dst + at) = activate (value, w->activation);
      }
  }
}

/* ---- running ----------------------------------------------------------- */

CI_INLINE const CiWinogradMap *
find_map (const CiWinograd * w, gint tile)
{
  const CiWinogradMap *map = &w->maps[w->n_maps - 1];

  while (map->first_tile > tile)
    map--;
  return map;
}

/* Takes blocks as long as there are any. */
static void
run_blocks (gpointer data, gint task, gint n_tasks)
{
  CiWinograd *w = data;
  gfloat *v = w->scratch + task * w->scratch_floats;
  gfloat *m = v + POINTS * w->v_pitch;
  gint block;

  while ((block = atomic_fetch_add (&w->next_block, 1)) < w->n_blocks) {
    gint first = block * w->block_tiles;
    gint n = MIN (w->block_tiles, w->n_tiles - first);

    for (gint t = 0; t < n; t++) {
      const CiWinogradMap *map = find_map (w, first + t);
      gint local = first + t - map->first_tile;

      gather_tile (w, map, local % map->tiles_x * TILE - 1,
          local / map->tiles_x * TILE - 1, v + (gsize) t * w->in);
    }
    multiply_block (w, v, m, n);
    for (gint t = 0; t < n; t++) {
      const CiWinogradMap *map = find_map (w, first + t);
      gint local = first + t - map->first_tile;

      scatter_tile (w, map, local % map->tiles_x * TILE,
          local / map->tiles_x * TILE, m + (gsize) t * w->padded_out);
    }
  }
}

#ifdef CI_LEVEL
# define PASTE(a, b) a##_##b
# define NAME(a, b) PASTE (a, b)
const CiWinogradFuncs NAME (ci_winograd_funcs, CI_LEVEL) = {
  pack_panel, run_blocks
};
#else
const CiWinogradFuncs ci_winograd_funcs = { pack_panel, run_blocks };
#endif
