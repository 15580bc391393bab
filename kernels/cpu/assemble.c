/*
 * assemble.c: masks as sums of prototypes (SEMANTICS-yolact "Masks").
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cpu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../simd.h"

/* How many vectors of a row are summed side by side. */
#define GROUP 4

typedef struct
{
  CiPlan *plan;
  const CiNode *node;
  const CiMap *prototypes;
  const CiDetectionBuffer *detections;
  const gfloat *rows;
  CiBuffer *out;
  const CiMap *items;           /* or NULL: grids are wanted */
  gint pitch;                   /* of planes, in floats */
  gfloat *planes;               /* the prototypes as planes */
  gfloat *rows_of_items;        /* per task: one */
} Assemble;

static void
assemble_free (gpointer data)
{
  Assemble *m = data;

  free (m->planes);
  free (m->rows_of_items);
  g_free (m);
}

/* The cells of an axis of @n inside of [@lo, @hi), given in inputs, and
 * a cell around that. */
static void
cell_range (gfloat lo, gfloat hi, gint n, gint * first, gint * end)
{
  gfloat a = MAX (MIN (lo, hi) * n - 1, 0), b = MIN (MAX (lo, hi) * n + 1, n);

  *first = ceilf (MIN (a, n));
  *end = MAX (ceilf (MAX (b, 0)), *first);
}

/* @n cells of a row, the first of which is at @planes. */
CI_MULTIVERSION static void
assemble_row (const Assemble * m, const gfloat * weights,
    const gfloat * planes, gint n, gfloat * prob)
{
  gsize plane = (gsize) m->prototypes->h * m->pitch;
  gint n_planes = m->prototypes->c;

  for (gint x = 0; x < n; x += GROUP * CI_BLOCK) {
    CiV8 sum[GROUP] = { {0} };

    for (gint k = 0; k < n_planes; k++) {
      const gfloat *in = planes + k * plane + x;
      CiV8 w = ci_v8_set1 (weights[k]);

#pragma GCC unroll 4
      for (gint g = 0; g < GROUP; g++)
        sum[g] += w * (CiV8) * (const CiV8u *) (in + g * CI_BLOCK);
    }
    for (gint g = 0; g < GROUP && x + g * CI_BLOCK < n; g++) {
      CiV8 p = ci_v8_sigmoid (sum[g]);
      gint at = x + g * CI_BLOCK;

      if (at + CI_BLOCK <= n)
        *(CiV8u *) (prob + at) = p;
      else
        memcpy (prob + at, &p, (n - at) * sizeof (gfloat));
    }
  }
}

static void
assemble_detection (const Assemble * m, gint n)
{
  const CiMap *map = m->prototypes;
  const gfloat *box = m->detections->boxes + 4 * n;
  gfloat width = m->plan->width, height = m->plan->height;
  gfloat *prob = m->out->prob + n * m->out->grid_size;
  CiMaskGrid *grid = &m->out->grids[n];
  gint x0, x1, y0, y1;

  cell_range (box[0] / width, box[2] / width, map->w, &x0, &x1);
  cell_range (box[1] / height, box[3] / height, map->h, &y0, &y1);
  *grid = (CiMaskGrid) {
  x0, y0, x1 - x0, y1 - y0,.prob = prob};
  if (m->node->full_map) {
    grid->x = grid->y = 0;
    grid->width = map->w;
    grid->height = map->h;
    memset (prob, 0, m->out->grid_size * sizeof (gfloat));
  }
  ci_plan_place_grid (m->plan, grid);
  prob += (gsize) (y0 - grid->y) * grid->width + x0 - grid->x;
  for (gint y = y0; y < y1 && x0 < x1; y++, prob += grid->width)
    assemble_row (m, m->rows + (gsize) n * map->c,
        m->planes + (gsize) y * m->pitch + x0, x1 - x0, prob);
}

/* The whole map in the first lane of its blocks. */
static void
assemble_item (const Assemble * m, gint n, gfloat * row)
{
  const CiMap *map = m->prototypes;
  const gfloat *box = m->detections->boxes + 4 * n;
  gfloat width = m->plan->width, height = m->plan->height;
  gfloat *out = m->items->data + n * ci_map_floats (m->items);
  gint x0, x1, y0, y1;

  memset (out, 0, ci_map_floats (m->items) * sizeof (gfloat));
  cell_range (box[0] / width, box[2] / width, map->w, &x0, &x1);
  cell_range (box[1] / height, box[3] / height, map->h, &y0, &y1);
  for (gint y = y0; y < y1 && x0 < x1; y++) {
    assemble_row (m, m->rows + (gsize) n * map->c,
        m->planes + (gsize) y * m->pitch + x0, x1 - x0, row);
    for (gint x = x0; x < x1; x++)
      out[((gsize) y * map->w + x) * CI_BLOCK] = row[x - x0];
  }
}

static void
assemble_task (gpointer data, gint task, gint n_tasks)
{
  Assemble *m = data;

  for (gint n = task; n < m->detections->count; n += n_tasks)
    if (m->items)
      assemble_item (m, n, m->rows_of_items + (gsize) task * m->pitch);
    else
      assemble_detection (m, n);
}

/* One plane. */
static void
unpack_task (gpointer data, gint c, gint n_tasks)
{
  Assemble *m = data;
  const CiMap *map = m->prototypes;
  const gfloat *in = ci_map_block (map, c / CI_BLOCK) + c % CI_BLOCK;
  gfloat *out = m->planes + (gsize) c * map->h * m->pitch;

  for (gint y = 0; y < map->h; y++, out += m->pitch)
    for (gint x = 0; x < map->w; x++, in += CI_BLOCK)
      out[x] = *in;
}

static gboolean
run_assemble (CiPlan * plan, CiStep * step, GError ** error)
{
  Assemble *m = step->state;

  if (!m->detections->count)
    return TRUE;
  ci_pool_run (plan->pool, unpack_task, m, m->prototypes->c);
  ci_pool_run (plan->pool, assemble_task, m,
      ci_pool_get_n_threads (plan->pool));
  return TRUE;
}

gboolean
ci_cpu_prepare_assemble (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const CiMap *map = ci_plan_map (plan, node->srcs[0]);
  Assemble *m = g_new0 (Assemble, 1);

  step->state = m;
  step->free_state = assemble_free;
  step->run = run_assemble;
  m->plan = plan;
  m->node = node;
  m->prototypes = map;
  m->detections = &plan->buffers[node->srcs[1]].detections;
  m->rows = ci_plan_map (plan, node->srcs[2])->data;
  m->out = &plan->buffers[step->value];
  m->pitch = (map->w + CI_BLOCK - 1) / CI_BLOCK * CI_BLOCK;
  /* groups may begin at the last cell */
  m->planes = ci_aligned_alloc0 (((gsize) map->c * map->h * m->pitch
          + (GROUP + 1) * CI_BLOCK) * sizeof (gfloat), error);
  if (node->op == CI_OP_ASSEMBLE_ITEMS) {
    step->all_items = TRUE;
    m->items = ci_plan_map (plan, step->value);
    m->rows_of_items = ci_aligned_alloc0 ((gsize) m->pitch * sizeof (gfloat)
        * ci_pool_get_n_threads (plan->pool), error);
  }
  return m->planes && (!m->items || m->rows_of_items);
}

/* ---- scores of masks ---------------------------------------------------- */

static gboolean
run_rescore (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const CiDetectionBuffer *d = &plan->buffers[node->srcs[0]].detections;
  const CiMap *quality = ci_plan_map (plan, node->srcs[1]);
  gfloat *out = ci_plan_map (plan, step->value)->data;

  /* a map of one cell is a row of channels */
  for (gint n = 0; n < d->count; n++)
    out[n] = d->scores[n] * quality->data[n * ci_map_floats (quality)
        + (quality->c == 1 ? 0 : d->classes[n])];
  return TRUE;
}

gboolean
ci_cpu_prepare_rescore (CiPlan * plan, CiStep * step, GError ** error)
{
  step->run = run_rescore;
  return TRUE;
}
