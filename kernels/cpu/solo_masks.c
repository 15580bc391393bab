/*
 * solo_masks.c: SOLO's soft masks (SEMANTICS-solo). The 1x1 convolutions that
 * make them are computed here, for the cells that are asked for only: all of
 * SOLO's would be 1600 channels at the largest size there is.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "solo.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../simd.h"

/* Pixels that share one reading of a cell's weights. */
#define PIXELS 3

static gint
whole_vectors (gint n)
{
  return (n + CI_BLOCK - 1) / CI_BLOCK * CI_BLOCK;
}

/* ---- where masks come from ---------------------------------------------- */

static gboolean
pack_weights (CiPlan * plan, const CiNode * node, gint level, CiSolo * solo,
    GError ** error)
{
  gint64 s = node->grids[level], c = solo->levels[level].maps[0]->c;
  gint64 dims[4] = { s * s, c, 1, 1 };
  g_autofree gchar *prefix = g_strdup_printf ("%s.%d", node->name, level);
  g_autofree gchar *key = g_strdup_printf ("%s/solo", prefix);
  g_autofree gfloat *w = NULL, *bias = NULL;
  CiPacked *packed = ci_packed_find (plan->weights->id, key, NULL);

  if (!packed) {
    if (!(w = ci_plan_tensor (plan, prefix, ".weight", 4, dims, error))
        || !(bias = ci_plan_tensor (plan, prefix, ".bias", 1, dims, error))
        || !(packed = ci_packed_new (plan->weights->id, key, NULL,
                s * s * solo->row_floats * sizeof (gfloat),
                s * s * sizeof (gfloat), error)))
      return FALSE;
    memcpy (packed->bias, bias, s * s * sizeof (gfloat));
    for (gint64 i = 0; i < s * s; i++)
      memcpy (packed->weight + i * solo->row_floats, w + i * c,
          c * sizeof (gfloat));
    packed = ci_packed_publish (packed);
  }
  solo->levels[level].packed = packed;
  return TRUE;
}

/* Rows of a map that so many rows of the masks need at most. */
static gint
most_rows (const CiTap * ys, gint h)
{
  gint most = 0;

  for (gint y = 0; y < h; y++)
    most = MAX (most, ys[MIN (y + CI_SOLO_ROWS, h) - 1].i1 - ys[y].i0 + 1);
  return most;
}

gboolean
ci_cpu_solo_init (CiSolo * solo, CiPlan * plan, const CiNode * node,
    GError ** error)
{
  const CiMap *like = ci_plan_map (plan, node->like);
  gfloat t = node->solo.mask_threshold;

  solo->source = node->solo.source;
  solo->n_levels = node->n_levels;
  solo->h = like->h;
  solo->w = like->w;
  /* with room for rounding */
  solo->least = t <= 0 ? -INFINITY : t >= 1 ? INFINITY
      : log (t / (1 - t)) - 1e-4;
  memcpy (solo->grids, node->grids, sizeof (solo->grids));
  for (gint l = 0; l < node->n_levels; l++) {
    CiSoloMaps *level = &solo->levels[l];
    const CiMap *map = ci_plan_map (plan, ci_solo_source (node, l, 1));
    gint rows = CI_SOLO_ROWS;

    level->maps[0] = map;
    if (solo->source != CI_SOLO_STATIC)
      level->maps[1] = ci_plan_map (plan, ci_solo_source (node, l, 2));
    if (solo->source == CI_SOLO_DYNAMIC) {
      level->kernels = map;
      level->maps[0] = map = level->maps[1];
    }
    if (solo->source != CI_SOLO_PRODUCT)
      solo->row_floats = ci_map_blocks (map) * CI_BLOCK;
    if (solo->source == CI_SOLO_STATIC
        && !pack_weights (plan, node, l, solo, error))
      return FALSE;
    if (map->h != solo->h || map->w != solo->w) {
      level->ys = ci_cpu_resize_taps (CI_RESIZE_BILINEAR, 0, map->h, solo->h);
      level->xs = ci_cpu_resize_taps (CI_RESIZE_BILINEAR, 0, map->w, solo->w);
      rows = most_rows (level->ys, solo->h);
    }
    /* and one row more */
    solo->scratch_floats = MAX (solo->scratch_floats, (gsize) (CI_SOLO_GROUP
            * rows + 1) * whole_vectors (map->w));
  }
  return TRUE;
}

void
ci_cpu_solo_clear (CiSolo * solo)
{
  for (gint l = 0; l < solo->n_levels; l++) {
    if (solo->levels[l].packed)
      ci_packed_unref (solo->levels[l].packed);
    g_free (solo->levels[l].ys);
    g_free (solo->levels[l].xs);
  }
}

void
ci_cpu_solo_get_cell (const CiSolo * solo, gint level, gint cell,
    gfloat * room, CiSoloCell * out)
{
  const CiSoloMaps *maps = &solo->levels[level];

  *out = (CiSoloCell) {
  level, cell};
  if (maps->packed) {
    out->row = maps->packed->weight + (gsize) cell * solo->row_floats;
    out->bias = maps->packed->bias[cell];
  } else if (maps->kernels) {
    for (gint b = 0; b < ci_map_blocks (maps->kernels); b++)
      memcpy (room + b * CI_BLOCK, ci_map_block (maps->kernels, b)
          + (gsize) cell * CI_BLOCK, CI_BLOCK * sizeof (gfloat));
    out->row = room;
  }
}

/* ---- soft masks --------------------------------------------------------- */

CI_INLINE gfloat
sum_lanes (CiV8 v)
{
  return ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7]));
}

/* @n_pixels products from @map's pixel @at on, of each of @n cells; sums stay
 * in registers, as both are constants. */
CI_INLINE void
dot (const CiMap * map, gsize at, const CiSoloCell * cells, const gint n,
    const gint n_pixels, gfloat * out, gsize plane)
{
  CiV8 sums[CI_SOLO_GROUP][PIXELS] = { {{0}} };

  for (gint b = 0; b < ci_map_blocks (map); b++) {
    const CiV8 *in = (const CiV8 *) ci_map_block (map, b) + at;

#pragma GCC unroll 4
    for (gint i = 0; i < n; i++) {
      CiV8 w = *(const CiV8 *) (cells[i].row + b * CI_BLOCK);

#pragma GCC unroll 3
      for (gint p = 0; p < n_pixels; p++)
        sums[i][p] += w * in[p];
    }
  }
#pragma GCC unroll 4
  for (gint i = 0; i < n; i++)
#pragma GCC unroll 3
    for (gint p = 0; p < n_pixels; p++)
      out[i * plane + p] = cells[i].bias + sum_lanes (sums[i][p]);
}

CI_INLINE void
dot_row (const CiMap * map, gsize at, gint count, const CiSoloCell * cells,
    const gint n, gfloat * out, gsize plane)
{
  gint x = 0;

  for (; x + PIXELS <= count; x += PIXELS)
    dot (map, at + x, cells, n, PIXELS, out + x, plane);
  for (; x < count; x++)
    dot (map, at + x, cells, n, 1, out + x, plane);
}

/* Logits of a part of factor @k's map, row by row. */
CI_MULTIVERSION static void
fill_logits (const CiSolo * solo, const CiSoloCell * cells, gint n, gint k,
    gint x0, gint x1, gint y0, gint y1, gfloat * out, gint pitch, gsize plane)
{
  const CiMap *map = solo->levels[cells->level].maps[k];

  for (gint y = y0; y < y1; y++, out += pitch) {
    gsize at = (gsize) y * map->w + x0;

    if (solo->source == CI_SOLO_PRODUCT) {
      for (gint i = 0; i < n; i++) {
        gint s = solo->grids[cells[i].level];
        gint c = k ? cells[i].cell / s : cells[i].cell % s;
        const gfloat *in = ci_map_block (map, c / CI_BLOCK) + at * CI_BLOCK
            + c % CI_BLOCK;

        for (gint x = 0; x < x1 - x0; x++)
          out[i * plane + x] = in[x * CI_BLOCK];
      }
    } else if (n == 4) {
      dot_row (map, at, x1 - x0, cells, 4, out, plane);
    } else {
      for (gint i = 0; i < n; i++)
        dot_row (map, at, x1 - x0, cells + i, 1, out + i * plane, plane);
    }
  }
}

/* @n numbers, and whatever is behind them, in whole vectors; those that are all
 * below @least become 0, and what is no number. */
CI_MULTIVERSION static void
make_sigmoids (gfloat * v, gint n, gfloat least)
{
  typedef gint64 V4i __attribute__ ((vector_size (32)));
  const CiV8 limit = ci_v8_set1 (least), zero = ci_v8_set1 (0.0f);

  for (gint x = 0; x < n; x += CI_BLOCK) {
    CiV8 logits = *(const CiV8 *) (v + x);
    V4i m = (V4i) (logits >= limit);

    if (m[0] | m[1] | m[2] | m[3])
      *(CiV8 *) (v + x) = ci_v8_select (logits == logits,
          ci_v8_sigmoid (logits), zero);
    else
      *(CiV8 *) (v + x) = zero;
  }
}

/* One row of a mask from the two rows of a map that it lies between, both from
 * column @first on; @times: it is multiplied by that. */
CI_MULTIVERSION static void
resize_row (const gfloat * row0, const gfloat * row1, gfloat a, gint n,
    const CiTap * xs, gint x0, gint x1, gint first, gfloat * tmp,
    gboolean times, gfloat * out)
{
  CiV8 va = ci_v8_set1 (a);

  for (gint x = 0; x < n; x += CI_BLOCK) {
    CiV8 p = *(const CiV8 *) (row0 + x), q = *(const CiV8 *) (row1 + x);

    *(CiV8 *) (tmp + x) = p + (q - p) * va;
  }
  tmp -= first;
  for (gint x = x0; x < x1; x++) {
    gfloat p = tmp[xs[x].i0], v = p + (tmp[xs[x].i1] - p) * xs[x].a;

    out[x - x0] = times ? out[x - x0] * v : v;
  }
}

void
ci_cpu_solo_soft (const CiSolo * solo, const CiSoloCell * cells, gint n,
    gint x0, gint x1, gint y0, gint y1, gboolean binary, gfloat * scratch,
    gfloat * out, gint pitch)
{
  const CiSoloMaps *level = &solo->levels[cells->level];
  gint n_factors = solo->source == CI_SOLO_PRODUCT ? 2 : 1;
  const CiTap *ys = level->ys, *xs = level->xs;
  gint sx0 = xs ? xs[x0].i0 : x0, sx1 = xs ? xs[x1 - 1].i1 + 1 : x1;
  gint sy0 = ys ? ys[y0].i0 : y0, sy1 = ys ? ys[y1 - 1].i1 + 1 : y1;
  gint width = whole_vectors (sx1 - sx0);
  gsize plane = (gsize) CI_SOLO_ROWS * pitch;
  gsize from_plane = (gsize) (sy1 - sy0) * width;
  gfloat *tmp = scratch + n * from_plane;

  for (gint k = 0; k < n_factors; k++) {
    /* what needs no resizing is made in its place */
    gboolean direct = !xs && !k;
    gfloat *from = direct ? out : scratch;
    gint from_pitch = direct ? pitch : width;
    gsize stride = direct ? plane : from_plane;
    /* of a product, and of what is resized, small numbers count, too */
    gfloat least = binary && !xs && n_factors == 1 ? solo->least : -INFINITY;

    fill_logits (solo, cells, n, k, sx0, sx1, sy0, sy1, from, from_pitch,
        stride);
    for (gint i = 0; i < n; i++)
      for (gint y = 0; y < sy1 - sy0; y++)
        make_sigmoids (from + i * stride + y * from_pitch, sx1 - sx0, least);
    for (gint i = 0; i < n && !direct; i++)
      for (gint y = y0; y < y1; y++) {
        const gfloat *in = from + i * stride;
        gfloat *row = out + i * plane + (gsize) (y - y0) * pitch;

        if (xs) {
          resize_row (in + (ys[y].i0 - sy0) * width, in + (ys[y].i1 - sy0)
              * width, ys[y].a, sx1 - sx0, xs, x0, x1, sx0, tmp, k, row);
          continue;
        }
        in += (y - y0) * width;
        for (gint x = 0; x < x1 - x0; x++)
          row[x] *= in[x];
      }
  }
  for (gint i = 0; i < n; i++)
    for (gint y = 0; y < y1 - y0; y++)
      for (gint x = x1 - x0; x < whole_vectors (x1 - x0); x++)
        out[i * plane + (gsize) y * pitch + x] = 0.0f;
}

/* ---- masks of detections ------------------------------------------------ */

typedef struct
{
  CiPlan *plan;
  CiSolo solo;
  gint stride, pitch;
  gboolean full_map;
  const CiDetectionBuffer *detections;
  CiBuffer *out;
  gfloat *scratch;              /* per task */
  gsize scratch_floats;
} Masks;

static void
masks_free (gpointer data)
{
  Masks *m = data;

  ci_cpu_solo_clear (&m->solo);
  free (m->scratch);
  g_free (m);
}

static void
masks_task (gpointer data, gint task, gint n_tasks)
{
  Masks *m = data;
  const CiDetectionBuffer *d = m->detections;
  gfloat *room = m->scratch + task * m->scratch_floats;
  gfloat *rows = room + m->solo.row_floats;
  gfloat *scratch = rows + CI_SOLO_ROWS * m->pitch;

  for (gint n = task; n < d->count; n += n_tasks) {
    const gfloat *box = d->boxes + 4 * n;
    gfloat *prob = m->out->prob + n * m->out->grid_size;
    gint x0 = 0, y0 = 0, x1 = m->solo.w, y1 = m->solo.h;
    CiSoloCell cell;

    if (!m->full_map) {
      x0 = MAX ((gint) box[0] / m->stride - 1, 0);
      y0 = MAX ((gint) box[1] / m->stride - 1, 0);
      x1 = MIN ((gint) box[2] / m->stride + 1, x1);
      y1 = MIN ((gint) box[3] / m->stride + 1, y1);
    }
    m->out->grids[n] = (CiMaskGrid) {
    x0, y0, x1 - x0, y1 - y0, .prob = prob};
    ci_plan_place_grid (m->plan, &m->out->grids[n]);
    ci_cpu_solo_get_cell (&m->solo, d->levels[n], d->cells[n], room, &cell);
    for (gint y = y0; y < y1; y += CI_SOLO_ROWS) {
      gint end = MIN (y + CI_SOLO_ROWS, y1);

      ci_cpu_solo_soft (&m->solo, &cell, 1, x0, x1, y, end, FALSE, scratch,
          rows, m->pitch);
      for (gint r = 0; r < end - y; r++, prob += x1 - x0)
        memcpy (prob, rows + (gsize) r * m->pitch,
            (x1 - x0) * sizeof (gfloat));
    }
  }
}

static gboolean
run_solo_masks (CiPlan * plan, CiStep * step, GError ** error)
{
  Masks *m = step->state;

  if (m->detections->count)
    ci_pool_run (plan->pool, masks_task, m,
        ci_pool_get_n_threads (plan->pool));
  return TRUE;
}

gboolean
ci_cpu_prepare_solo_masks (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  Masks *m = g_new0 (Masks, 1);

  step->state = m;
  step->free_state = masks_free;
  step->run = run_solo_masks;
  if (!ci_cpu_solo_init (&m->solo, plan, node, error))
    return FALSE;
  m->plan = plan;
  m->stride = node->solo.stride;
  m->full_map = node->solo.full_map;
  m->pitch = whole_vectors (m->solo.w);
  m->detections = &plan->buffers[node->srcs[node->n_srcs - 1]].detections;
  m->out = &plan->buffers[step->value];
  m->scratch_floats = m->solo.row_floats + CI_SOLO_ROWS * (gsize) m->pitch
      + m->solo.scratch_floats;
  m->scratch = ci_aligned_alloc0 (m->scratch_floats
      * ci_pool_get_n_threads (plan->pool) * sizeof (gfloat), error);
  return m->scratch != NULL;
}
