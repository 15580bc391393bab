/*
 * mask_head.c: the lazy controller and CondInst's dynamic mask head
 * (SEMANTICS 8 and 9).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cpu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../simd.h"

/* ---- controller -------------------------------------------------------- */

/* How many detections share one reading of the weights. */
#define GROUP 4

typedef struct
{
  const CiNode *node;
  gint n_vectors;               /* in a patch: k * k * blocks */
  CiPacked *packed;             /* out_channels patches: ky, kx, channel */
  gfloat *patches;              /* of the detections, in whole groups */
  gfloat *rows;                 /* result */
  gint count;
} ConvAt;

static void
conv_at_free (gpointer data)
{
  ConvAt *c = data;

  if (c->packed)
    ci_packed_unref (c->packed);
  free (c->patches);
  g_free (c);
}

static void
gather (const CiMap * src, gint cell, gint k, gfloat * patch)
{
  gint cy = cell / src->w - k / 2, cx = cell % src->w - k / 2;
  gint blocks = ci_map_blocks (src);

  for (gint ky = 0; ky < k; ky++)
    for (gint kx = 0; kx < k; kx++, patch += blocks * CI_BLOCK) {
      gint y = cy + ky, x = cx + kx;

      if (y < 0 || y >= src->h || x < 0 || x >= src->w) {
        memset (patch, 0, blocks * CI_BLOCK * sizeof (gfloat));
        continue;
      }
      for (gint b = 0; b < blocks; b++)
        memcpy (patch + b * CI_BLOCK, ci_map_block (src, b)
            + (y * src->w + x) * CI_BLOCK, CI_BLOCK * sizeof (gfloat));
    }
}

CI_INLINE gfloat
sum_lanes (CiV8 v)
{
  return ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7]));
}

CI_MULTIVERSION static void
conv_at_channels (ConvAt * c, gint first, gint end)
{
  gint n = c->n_vectors;

  for (gint o = first; o < end; o++) {
    const CiV8 *w = (const CiV8 *) c->packed->weight + (gsize) o * n;

    for (gint d = 0; d < c->count; d += GROUP) {
      const CiV8 *p = (const CiV8 *) c->patches + (gsize) d * n;
      CiV8 sum[GROUP] = { {0} };

      for (gint i = 0; i < n; i++)
        for (gint g = 0; g < GROUP; g++)
          sum[g] += w[i] * p[g * n + i];
      for (gint g = 0; g < GROUP && d + g < c->count; g++)
        c->rows[(gsize) (d + g) * c->node->channels + o] =
            c->packed->bias[o] + sum_lanes (sum[g]);
    }
  }
}

static void
conv_at_task (gpointer data, gint task, gint n_tasks)
{
  ConvAt *c = data;
  gint n = c->node->channels;

  conv_at_channels (c, n * task / n_tasks, n * (task + 1) / n_tasks);
}

static gboolean
run_conv_at (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const CiDetectionBuffer *d =
      &plan->buffers[node->srcs[node->n_levels]].detections;
  ConvAt *c = step->state;

  for (gint i = 0; i < d->count; i++)
    gather (ci_plan_map (plan, node->srcs[d->levels[i]]), d->cells[i],
        node->kernel, c->patches + (gsize) i * c->n_vectors * CI_BLOCK);
  c->count = d->count;
  ci_pool_run (plan->pool, conv_at_task, c,
      ci_pool_get_n_threads (plan->pool));
  return TRUE;
}

static gboolean
pack_weights (CiPlan * plan, ConvAt * c, const CiMap * src, GError ** error)
{
  const CiNode *node = c->node;
  g_autofree gchar *key = g_strdup_printf ("%s/at", node->name);
  g_autofree gfloat *w = NULL, *bias = NULL;
  gint k2 = node->kernel * node->kernel, in = ci_map_blocks (src) * CI_BLOCK;
  CiPacked *packed;

  if ((c->packed = ci_packed_find (plan->weights->id, key, NULL)))
    return TRUE;
  if (!ci_plan_fold_conv (plan, node, &w, &bias, error)
      || !(packed = ci_packed_new (plan->weights->id, key, NULL,
              (gsize) node->channels * c->n_vectors * sizeof (CiV8),
              node->channels * sizeof (gfloat), error)))
    return FALSE;
  memcpy (packed->bias, bias, node->channels * sizeof (gfloat));
  for (gsize o = 0; o < (gsize) node->channels; o++)
    for (gint i = 0; i < src->c; i++)
      for (gint k = 0; k < k2; k++)
        packed->weight[(o * k2 + k) * in + i] = w[(o * src->c + i) * k2 + k];
  c->packed = ci_packed_publish (packed);
  return TRUE;
}

gboolean
ci_cpu_prepare_conv_at (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const CiMap *src = ci_plan_map (plan, node->srcs[0]);
  gsize groups = (node->capacity + GROUP - 1) / GROUP;
  ConvAt *c = g_new0 (ConvAt, 1);

  step->state = c;
  step->free_state = conv_at_free;
  step->run = run_conv_at;
  c->node = node;
  c->n_vectors = node->kernel * node->kernel * ci_map_blocks (src);
  c->rows = ci_plan_map (plan, step->value)->data;
  return pack_weights (plan, c, src, error)
      && (c->patches = ci_aligned_alloc0 (groups * GROUP * c->n_vectors
          * sizeof (CiV8), error));
}

/* ---- mask head --------------------------------------------------------- */

#define MAX_WIDTH 32
/* Enlarged cells before the map's first one, which repeat it: cell -1, and half
 * a cell of the features; in whole vectors. */
#define MARGIN(f) ((1 + (f) / 2 + CI_BLOCK - 1) / CI_BLOCK * CI_BLOCK)

typedef struct
{
  const CiPlan *plan;
  const CiNode *node;
  const CiMap *features;
  const CiDetectionBuffer *detections;
  const CiMap *rows;
  CiBuffer *out;
  gint pitch;                   /* of planes and logits, in floats */
  gfloat *planes;               /* features as planes */
  gfloat *scratch;              /* per task: logits of the map, two rows */
  gsize scratch_floats;
} MaskHead;

static void
mask_head_free (gpointer data)
{
  MaskHead *m = data;

  free (m->planes);
  free (m->scratch);
  g_free (m);
}

/* One layer for eight cells: @out = @w (n_out x n_in) x @in + @b. The results
 * stay in registers when @n_in and @n_out are constants. */
CI_INLINE void
dense (const gint n_in, const gint n_out, const gfloat * w, const gfloat * b,
    const CiV8 * in, CiV8 * out)
{
#pragma GCC unroll 8
  for (gint o = 0; o < n_out; o++)
    out[o] = ci_v8_set1 (b[o]);
#pragma GCC unroll 10
  for (gint i = 0; i < n_in; i++)
#pragma GCC unroll 8
    for (gint o = 0; o < n_out; o++)
      out[o] += ci_v8_set1 (w[o * n_in + i]) * in[i];
}

/* Logits of the cells [x0, x1) x [y0, y1), whole vectors. */
CI_INLINE void
head_region (const MaskHead * m, const gint n_coords, const gint n_features,
    const gint width, const gint n_layers, const gfloat * params,
    gfloat loc_x, gfloat loc_y, gfloat soi, gint x0, gint x1, gint y0, gint y1,
    gfloat * logits)
{
  const CiV8 lanes = { 0, 1, 2, 3, 4, 5, 6, 7 }, zero = ci_v8_set1 (0.0f);
  gint n_in = n_coords + n_features, stride = m->node->mask.stride;
  gint n_weights = n_in * (n_layers == 1 ? 1 : width);
  gsize plane = (gsize) m->features->h * m->pitch;

  if (n_layers > 1)
    n_weights += (n_layers - 2) * width * width + width;
  for (gint y = y0; y < y1; y++) {
    CiV8 rel_y = ci_v8_set1 ((loc_y - (stride * y + stride / 2)) / soi);

    for (gint x = x0; x < x1; x += CI_BLOCK) {
      const gfloat *w = params, *b = params + n_weights;
      gsize at = (gsize) y * m->pitch + x;
      CiV8 in[MAX_WIDTH + 2], out[MAX_WIDTH];

      in[0] = (ci_v8_set1 (loc_x - (stride * x + stride / 2))
          - lanes * ci_v8_set1 (stride)) * ci_v8_set1 (1.0f / soi);
      in[1] = rel_y;
#pragma GCC unroll 8
      for (gint i = 0; i < n_features; i++)
        in[n_coords + i] = *(const CiV8 *) (m->planes + i * plane + at);
#pragma GCC unroll 3
      for (gint l = 1; l < n_layers; l++) {
        dense (l == 1 ? n_in : width, width, w, b, in, out);
        w += (l == 1 ? n_in : width) * width;
        b += width;
#pragma GCC unroll 8
        for (gint o = 0; o < width; o++)
          in[o] = ci_v8_max (out[o], zero);
      }
      dense (n_layers == 1 ? n_in : width, 1, w, b, in, out);
      *(CiV8 *) (logits + at) = out[0];
    }
  }
}

CI_MULTIVERSION static void
head_logits (const MaskHead * m, gint n, gint x0, gint x1, gint y0, gint y1,
    gfloat * logits)
{
  const CiMaskHeadParams *mask = &m->node->mask;
  const CiDetectionBuffer *d = m->detections;
  const gfloat *params = m->rows->data + (gsize) n * m->rows->c;
  gfloat soi = mask->sizes_of_interest[d->levels[n]];
  gfloat x = d->locations[2 * n], y = d->locations[2 * n + 1];

  /* the published shape, and any other */
  if (mask->rel_coords && m->features->c == 8 && mask->channels == 8
      && mask->n_layers == 3)
    head_region (m, 2, 8, 8, 3, params, x, y, soi, x0, x1, y0, y1, logits);
  else
    head_region (m, mask->rel_coords ? 2 : 0, m->features->c, mask->channels,
        mask->n_layers, params, x, y, soi, x0, x1, y0, y1, logits);
}

/* Aligned bilinear enlargement of the logits and sigmoid. @row holds the
 * vertically interpolated logits of the columns [x0, x1), @wide the enlarged
 * ones, from that of x0 on. */
CI_MULTIVERSION static void
enlarge (const MaskHead * m, const gfloat * logits, const CiMaskGrid * grid,
    gint x0, gint x1, gint f, gfloat * row, gfloat * wide, gfloat * prob)
{
  gint height = m->features->h;
  /* the first cell that is wanted */
  const gfloat *first = wide + grid->x - f / 2 - f * x0;

  for (gint y = grid->y; y < grid->y + grid->height; y++) {
    gint t = MAX (y - f / 2, 0), v0 = t / f;
    const gfloat *a = logits + (gsize) v0 * m->pitch;
    const gfloat *b = logits + (gsize) MIN (v0 + 1, height - 1) * m->pitch;
    gfloat w = (gfloat) (t % f) / f;

    for (gint x = x0; x < x1; x++)
      row[x] = a[x] + (b[x] - a[x]) * w;
    row[x1] = row[x1 - 1];
    /* the compiler makes vectors of this one */
    for (gint x = x0; x < x1 && f == 2; x++) {
      wide[2 * (x - x0)] = row[x];
      wide[2 * (x - x0) + 1] = row[x] + (row[x + 1] - row[x]) * 0.5f;
    }
    for (gint x = x0; x < x1 && f != 2; x++)
      for (gint i = 0; i < f; i++)
        wide[f * (x - x0) + i] =
            row[x] + (row[x + 1] - row[x]) * ((gfloat) i / f);
    for (gint i = 1; i <= 1 + f / 2; i++)
      wide[-i] = wide[0];
    for (gint x = 0; x < grid->width; x += CI_BLOCK) {
      CiV8 p = ci_v8_sigmoid ((CiV8) * (const CiV8u *) (first + x));

      if (x + CI_BLOCK <= grid->width)
        *(CiV8u *) (prob + x) = p;
      else
        memcpy (prob + x, &p, (grid->width - x) * sizeof (gfloat));
    }
    prob += grid->width;
  }
}

/* Mask cells, at out_stride, of [@lo, @hi] pixels and @margin around it. Cell
 * -1 repeats the first one, whose centre is not the map's very edge. */
static void
cell_range (gfloat lo, gfloat hi, gint margin, gint stride, gint n,
    gint * first, gint * count)
{
  gint a = floorf (CLAMP ((lo - margin) / stride, -1.0f, (gfloat) n));
  gint b = ceilf (CLAMP ((hi + margin) / stride, 0.0f, (gfloat) n));

  *first = a;
  *count = MAX (0, b - a);
}

static void
mask_head_task (gpointer data, gint task, gint n_tasks)
{
  MaskHead *m = data;
  const CiMaskHeadParams *mask = &m->node->mask;
  const CiMap *src = m->features;
  gfloat *logits = m->scratch + task * m->scratch_floats;
  gfloat *row = logits + (gsize) src->h * m->pitch;
  gint f = mask->stride / mask->out_stride;
  gfloat *wide = row + m->pitch + CI_BLOCK + MARGIN (f);

  for (gint n = task; n < m->detections->count; n += n_tasks) {
    const gfloat *box = m->detections->boxes + 4 * n;
    CiMaskGrid *grid = &m->out->grids[n];
    gfloat *prob = m->out->prob + n * m->out->grid_size;
    gint x0, x1, y0, y1;

    *grid = (CiMaskGrid) {
    -1, -1, src->w * f + 1, src->h * f + 1,.prob = prob};
    if (!mask->full_map) {
      cell_range (box[0], box[2], mask->stride, mask->out_stride, src->w * f,
          &grid->x, &grid->width);
      cell_range (box[1], box[3], mask->stride, mask->out_stride, src->h * f,
          &grid->y, &grid->height);
    }
    ci_plan_place_grid (m->plan, grid);
    if (!grid->width || !grid->height)
      continue;
    /* the logits that this needs, in whole vectors */
    x0 = MAX (grid->x - f / 2, 0) / f / CI_BLOCK * CI_BLOCK;
    x1 = MIN ((grid->x + grid->width - 1) / f + 2, src->w);
    y0 = MAX (grid->y - f / 2, 0) / f;
    y1 = MIN ((grid->y + grid->height - 1) / f + 2, src->h);
    head_logits (m, n, x0, x1, y0, y1, logits);
    enlarge (m, logits, grid, x0, x1, f, row, wide, prob);
  }
}

static gboolean
run_mask_head (CiPlan * plan, CiStep * step, GError ** error)
{
  MaskHead *m = step->state;
  const CiMap *src = m->features;

  if (!m->detections->count)
    return TRUE;
  for (gint c = 0; c < src->c; c++)
    for (gint y = 0; y < src->h; y++) {
      const gfloat *in = ci_map_block (src, c / CI_BLOCK)
          + (gsize) y * src->w * CI_BLOCK + c % CI_BLOCK;
      gfloat *out = m->planes + ((gsize) c * src->h + y) * m->pitch;

      for (gint x = 0; x < src->w; x++)
        out[x] = in[x * CI_BLOCK];
    }
  ci_pool_run (plan->pool, mask_head_task, m,
      ci_pool_get_n_threads (plan->pool));
  return TRUE;
}

gboolean
ci_cpu_prepare_mask_head (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const CiMap *src = ci_plan_map (plan, node->srcs[0]);
  gint f = node->mask.stride / node->mask.out_stride;
  MaskHead *m = g_new0 (MaskHead, 1);

  step->state = m;
  step->free_state = mask_head_free;
  step->run = run_mask_head;
  if (src->c > MAX_WIDTH || node->mask.channels > MAX_WIDTH) {
    g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
        "a mask head of %d features and %d channels (at most %d)", src->c,
        node->mask.channels, MAX_WIDTH);
    return FALSE;
  }
  m->plan = plan;
  m->node = node;
  m->features = src;
  m->detections = &plan->buffers[node->srcs[1]].detections;
  m->rows = ci_plan_map (plan, node->srcs[2]);
  m->out = &plan->buffers[step->value];
  m->pitch = (src->w + CI_BLOCK - 1) / CI_BLOCK * CI_BLOCK;
  /* logits, a row of them and one more, an enlarged row and what may be read
     around it */
  m->scratch_floats = (gsize) (src->h + 1 + f) * m->pitch + CI_BLOCK
      + MARGIN (f) + CI_BLOCK;
  return (m->planes = ci_aligned_alloc0 ((gsize) src->c * src->h * m->pitch
          * sizeof (gfloat), error))
      && (m->scratch = ci_aligned_alloc0 (m->scratch_floats
          * ci_pool_get_n_threads (plan->pool) * sizeof (gfloat), error));
}
