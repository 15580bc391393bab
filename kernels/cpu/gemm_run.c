/*
 * gemm_run.c: the loops of gemm.h, for the CPU that the compiler is told to
 * build for.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "gemm.h"

#include "panel.h"

/* Where the @n rows from @first on are. */
static void
find_rows (const CiGemm * g, gint first, gint n, CiGemmRow * rows)
{
  gint area = g->h * g->w, item = first / area;
  gint y = first % area / g->w, x = first % g->w;
  gsize from = ci_map_floats (g->src), to = ci_map_floats (g->dst);

  for (gint i = 0; i < n; i++) {
    CiGemmRow *row = &rows[i];

    row->y = y * g->stride - g->padding;
    row->x = x * g->stride - g->padding;
    row->from = item * from + ((gssize) row->y * g->src->w + row->x)
        * CI_BLOCK;
    row->to = item * to + ((gsize) y * g->dst->w + x) * g->to_stride
        * CI_BLOCK;
    if (++x == g->w) {
      x = 0;
      if (++y == g->h) {
        y = 0;
        item++;
      }
    }
  }
}

/* @n_taps blocks of the depth of all @n rows. */
CI_INLINE void
gather (const CiGemm * g, const CiGemmTap * taps, gint n_taps,
    const CiGemmRow * rows, gint n, const gboolean padded, gfloat * v,
    gsize pitch)
{
  gint h = g->src->h, w = g->src->w;

  for (gint r = 0; r < n; r++) {
    const gfloat *from = g->src->data + rows[r].from;
    gfloat *to = v + r * CI_BLOCK;

    for (gint k = 0; k < n_taps; k++, to += pitch) {
      gint y = rows[r].y + taps[k].y, x = rows[r].x + taps[k].x;

      *(CiV8 *) to = !padded || (y >= 0 && y < h && x >= 0 && x < w) ?
          *(const CiV8 *) (from + taps[k].offset) : ci_v8_set1 (0);
    }
  }
}

/* Blocks of columns [@first, @end) of all @n rows into the maps. */
static void
scatter (const CiGemm * g, gint first, gint end, const CiGemmRow * rows,
    gint n, const gfloat * m, gsize pitch)
{
  for (gint i = first; i < end; i++, m += pitch) {
    gfloat *to = g->dst->data + g->offsets[i];
    const gfloat *residual = g->residual ? g->residual->data + g->offsets[i]
        : NULL;
    CiV8 bias = *(const CiV8 *) (g->packed->bias + i * CI_BLOCK);

    for (gint r = 0; r < n; r++) {
      CiV8 value = *(const CiV8 *) (m + r * CI_BLOCK) + bias;

      if (residual)
        value += *(const CiV8 *) (residual + rows[r].to);
      *(CiV8 *) (to + rows[r].to) = activate (value, g->activation);
    }
  }
}

static void
run_part (const CiGemm * g, gint part, CiGemmRow * rows, gfloat * v,
    gfloat * m)
{
  gint group = part % g->n_groups, first = part / g->n_groups * g->block_rows;
  gint n = MIN (g->block_rows, g->n_rows - first);
  gint at_a_time = rows_at_a_time (n);
  gint padded = (n + at_a_time - 1) / at_a_time * at_a_time;
  gint panel = (gint64) g->n_panels * group / g->n_groups;
  gint end = (gint64) g->n_panels * (group + 1) / g->n_groups;
  gint blocks = PANEL / CI_BLOCK;
  gsize pitch = CI_GEMM_ROWS * CI_BLOCK + CI_BLOCK;

  find_rows (g, first, n, rows);
  for (gint k = 0; k < g->depth; k += CI_GEMM_DEPTH) {
    gint n_taps = MIN (CI_GEMM_DEPTH, g->depth - k);

    if (g->padding)
      gather (g, g->taps + k, n_taps, rows, n, TRUE, v, pitch);
    else
      gather (g, g->taps + k, n_taps, rows, n, FALSE, v, pitch);
    for (gint i = panel; i < end; i++)
      multiply_panel (padded, v, g->packed->weight
          + ((gsize) i * g->depth + k) * CI_BLOCK * PANEL, n_taps * CI_BLOCK,
          pitch, m + (i - panel) * blocks * pitch, k > 0);
  }
  scatter (g, panel * blocks, MIN (end * blocks, g->columns), rows, n, m,
      pitch);
}

static void
run_parts (gpointer data, gint task, gint n_tasks)
{
  CiGemm *g = data;
  gint part;

  while ((part = atomic_fetch_add (&g->next_part, 1)) < g->n_parts)
    run_part (g, part, g->rows + task * CI_GEMM_ROWS,
        g->v + task * g->v_floats, g->m + task * g->m_floats);
}

static void
multiply_panels (gint n, const gfloat * v, const gfloat * u, gint depth,
    gint n_panels, gsize pitch, gfloat * m, gboolean add)
{
  for (gint i = 0; i < n_panels; i++)
    multiply_rows (ROWS, n, v, u + (gsize) i * depth * CI_BLOCK * PANEL,
        depth * CI_BLOCK, pitch, m + i * (PANEL / CI_BLOCK) * pitch, add);
}

const CiGemmFuncs CI_FOR_LEVEL (ci_gemm_funcs) = { PANEL, run_parts,
  multiply_panels
};
