/*
 * point_rend.c: PointRend's subdivision inference (SEMANTICS-pointrend).
 *
 * A thread takes a detection and goes through its points tile by tile: their
 * fine features as V[c / 8][point][8], then a product for each layer. What the
 * coarse logits add to a layer is linear in them and so is their sampling: it
 * is computed once for each cell of the coarse map and sampled instead of them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "boxes.h"
#include "gemm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../simd.h"

/* Points of a tile: six of them are 784. */
#define TILE (11 * CI_GEMM_UNIT)
#define PITCH (TILE * CI_BLOCK)

/* A sample: four cells and their weights, 0 outside. */
typedef struct
{
  gint32 cell[4];
  gfloat weight[4];
} Sample;

typedef struct
{
  gint in;                      /* blocks of what comes from the layer before */
  gint out;                     /* blocks, whole panels */
  CiPacked *packed;             /* U of these, U of the coarse logits; bias.
                                   Predictor: a row of each for every class */
} Layer;

/* Of a thread. */
typedef struct
{
  gfloat *v, *m;                /* of a tile */
  gfloat *coarse;               /* [classes / 8][padded cells][8] */
  gfloat *tables;               /* per layer: [out / 8][padded cells][8] */
  gfloat *predictor_table;      /* per cell */
  gfloat *map;                  /* the logits of the step before */
  Sample *fine_samples, *coarse_samples;        /* of a tile */
  guint64 *ranks;               /* of points: 2 * n_points */
} Scratch;

typedef struct
{
  const CiPointRendParams *params;
  const CiGemmFuncs *funcs;
  const CiMap *features, *coarse;
  gint n_classes, size;         /* of the coarse logits */
  const CiDetectionBuffer *detections;
  CiBuffer *out;
  gint n_cells;                 /* of a coarse map, padded */
  gint width;                   /* blocks of the widest layer */
  Layer *layers;                /* n_layers and the predictor */
  gsize *tables;                /* per layer: offset of its table */
  Scratch *scratch;
  gint n_tasks;
} PointRend;

static void
point_rend_free (gpointer data)
{
  PointRend *p = data;

  for (gint l = 0; p->layers && l <= p->params->n_layers; l++)
    if (p->layers[l].packed)
      ci_packed_unref (p->layers[l].packed);
  for (gint t = 0; p->scratch && t < p->n_tasks; t++)
    free (p->scratch[t].v);
  g_free (p->layers);
  g_free (p->tables);
  g_free (p->scratch);
  g_free (p);
}

static gint
round_up (gint n, gint unit)
{
  return (n + unit - 1) / unit * unit;
}

/* ---- sampling ---------------------------------------------------------- */

/* The cells around (@x, @y), as torch's grid_sample has them. */
static void
make_sample (gint h, gint w, gfloat y, gfloat x, Sample * out)
{
  gint y0, x0;
  gfloat ay, ax;

  memset (out, 0, sizeof (*out));
  if (!(y > -1 && y < h && x > -1 && x < w))
    return;
  y0 = floorf (y);
  x0 = floorf (x);
  ay = y - y0;
  ax = x - x0;
  for (gint i = 0; i < 4; i++) {
    gint sy = y0 + i / 2, sx = x0 + i % 2;

    if (sy < 0 || sy >= h || sx < 0 || sx >= w)
      continue;
    out->cell[i] = sy * w + sx;
    out->weight[i] = (i / 2 ? ay : 1 - ay) * (i % 2 ? ax : 1 - ax);
  }
}

/* Blocks of @pitch floats of @src, sampled, plus @bias, if any. */
CI_MULTIVERSION static void
sample_blocks (const gfloat * src, gsize pitch, gint n_blocks,
    const gfloat * bias, const Sample * samples, gint n, gfloat * dst)
{
  for (gint b = 0; b < n_blocks; b++) {
    const CiV8 *in = (const CiV8 *) (src + b * pitch);
    CiV8 *out = (CiV8 *) (dst + (gsize) b * PITCH);
    CiV8 add = bias ? *(const CiV8 *) (bias + b * CI_BLOCK) : ci_v8_set1 (0);

    for (gint i = 0; i < n; i++) {
      const Sample *s = &samples[i];

      out[i] = add + in[s->cell[0]] * ci_v8_set1 (s->weight[0])
          + in[s->cell[1]] * ci_v8_set1 (s->weight[1])
          + in[s->cell[2]] * ci_v8_set1 (s->weight[2])
          + in[s->cell[3]] * ci_v8_set1 (s->weight[3]);
    }
  }
}

/* ---- the point head ------------------------------------------------------ */

CI_MULTIVERSION static void
rectify (gfloat * values, gint n_blocks, gint n)
{
  for (gint b = 0; b < n_blocks; b++) {
    CiV8 *v = (CiV8 *) (values + (gsize) b * PITCH);

    for (gint i = 0; i < n; i++)
      v[i] = ci_v8_max (v[i], ci_v8_set1 (0));
  }
}

/* out[i] = sum of @w times the blocks of row i, which are @pitch floats
 * apart. */
CI_MULTIVERSION static void
dot_rows (const gfloat * v, gsize pitch, gint n_blocks, const gfloat * w,
    gint n, gfloat * out)
{
  for (gint i = 0; i < n; i++) {
    CiV8 sum = ci_v8_set1 (0);

    for (gint b = 0; b < n_blocks; b++)
      sum += *(const CiV8 *) (v + b * pitch + i * CI_BLOCK)
          * *(const CiV8 *) (w + b * CI_BLOCK);
    out[i] = ((sum[0] + sum[4]) + (sum[1] + sum[5]))
        + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
  }
}

/* A row of the predictor, and that of the coarse logits. */
static const gfloat *
predictor_row (const PointRend * p, gint cls, gboolean of_coarse)
{
  const Layer *layer = &p->layers[p->params->n_layers];
  gsize in = (gsize) layer->in * CI_BLOCK;
  gsize coarse = (gsize) round_up (p->n_classes, CI_BLOCK);

  return layer->packed->weight + cls * (in + coarse) + (of_coarse ? in : 0);
}

/* What the coarse logits of detection @n add to each layer, per cell. */
static void
make_tables (const PointRend * p, const Scratch * s, gint n)
{
  const gfloat *from = p->coarse->data + n * ci_map_floats (p->coarse);
  gint blocks = round_up (p->n_classes, CI_BLOCK) / CI_BLOCK;
  gint cells = p->size * p->size;
  gsize pitch = (gsize) p->n_cells * CI_BLOCK;

  for (gint c = 0; c < p->n_classes; c++)
    for (gint i = 0; i < cells; i++)
      s->coarse[c / CI_BLOCK * pitch + i * CI_BLOCK + c % CI_BLOCK] = *from++;
  for (gint l = 0; l < p->params->n_layers; l++) {
    const Layer *layer = &p->layers[l];
    gsize u = (gsize) layer->in * CI_BLOCK * layer->out * CI_BLOCK;

    p->funcs->multiply (p->n_cells, s->coarse, layer->packed->weight + u,
        blocks, layer->out * CI_BLOCK / p->funcs->panel, pitch,
        s->tables + p->tables[l], FALSE);
  }
  dot_rows (s->coarse, pitch, blocks,
      predictor_row (p, p->detections->classes[n], TRUE), cells,
      s->predictor_table);
}

/* New logits for @n cells of detection @index, whose map has @size cells a
 * side; @ranks name them, NULL: those from @first on. */
static void
evaluate_tile (const PointRend * p, const Scratch * s, gint index,
    const guint64 * ranks, gint first, gint n, gint size, gfloat * map)
{
  const gfloat *box = p->detections->boxes + 4 * index;
  gint cls = p->detections->classes[index], padded = round_up (n, CI_GEMM_UNIT);
  const Layer *last = &p->layers[p->params->n_layers];
  gfloat *v = s->v, *m = s->m, logits[TILE];
  gint cells[TILE];

  for (gint i = 0; i < n; i++) {
    gint cell = ranks ? (gint) ci_rank_number (ranks[i]) : first + i;
    gfloat a = (cell % size + 0.5f) / size, b = (cell / size + 0.5f) / size;
    gfloat x = (box[0] + a * (box[2] - box[0])) / p->params->stride - 0.5f;
    gfloat y = (box[1] + b * (box[3] - box[1])) / p->params->stride - 0.5f;

    cells[i] = cell;
    make_sample (p->features->h, p->features->w, y, x, &s->fine_samples[i]);
    make_sample (p->size, p->size, b * p->size - 0.5f, a * p->size - 0.5f,
        &s->coarse_samples[i]);
  }
  sample_blocks (p->features->data, (gsize) p->features->h * p->features->w
      * CI_BLOCK, ci_map_blocks (p->features), NULL, s->fine_samples, n, v);
  for (gint l = 0; l < p->params->n_layers; l++) {
    const Layer *layer = &p->layers[l];
    gfloat *t = v;

    sample_blocks (s->tables + p->tables[l], (gsize) p->n_cells * CI_BLOCK,
        layer->out, layer->packed->bias, s->coarse_samples, n, m);
    p->funcs->multiply (padded, v, layer->packed->weight, layer->in,
        layer->out * CI_BLOCK / p->funcs->panel, PITCH, m, TRUE);
    rectify (m, layer->out, n);
    v = m;
    m = t;
  }
  dot_rows (v, PITCH, last->in, predictor_row (p, cls, FALSE), n, logits);
  for (gint i = 0; i < n; i++) {
    const Sample *c = &s->coarse_samples[i];

    map[cells[i]] = logits[i] + last->packed->bias[cls]
        + c->weight[0] * s->predictor_table[c->cell[0]]
        + c->weight[1] * s->predictor_table[c->cell[1]]
        + c->weight[2] * s->predictor_table[c->cell[2]]
        + c->weight[3] * s->predictor_table[c->cell[3]];
  }
}

/* ---- subdivision --------------------------------------------------------- */

/* The @map of @size cells a side, twice as large in @dst: bilinear, half-pixel.
 * Between two rows, results weigh 3/4 and 1/4. */
CI_MULTIVERSION static void
enlarge (const gfloat * map, gint size, gfloat * dst)
{
  for (gint y = 0; y < 2 * size; y++) {
    gint y0 = (y + 1) / 2 - 1, y1 = MIN (y0 + 1, size - 1);
    gfloat a = y == 0 ? 0 : y % 2 ? 0.25f : 0.75f;
    const gfloat *p = map + MAX (y0, 0) * size, *q = map + y1 * size;
    gfloat before = p[0] + (q[0] - p[0]) * a;

    for (gint x = 0; x < size; x++) {
      gint x1 = MIN (x + 1, size - 1);
      gfloat at = p[x] + (q[x] - p[x]) * a;
      gfloat behind = p[x1] + (q[x1] - p[x1]) * a;

      *dst++ = before + (at - before) * 0.75f;
      *dst++ = at + (behind - at) * 0.25f;
      before = at;
    }
  }
}

/* The first vector, of @n, that has a value closer to 0 than @limit. */
CI_MULTIVERSION static gint
next_uncertain (const gfloat * map, gfloat limit, gint i, gint n)
{
  typedef gint64 V4i __attribute__ ((vector_size (32)));

  for (; i < n; i++) {
    CiV8 v = *(const CiV8u *) (map + (gsize) i * CI_BLOCK);
    V4i m = (V4i) (ci_v8_max (v, -v) < ci_v8_set1 (limit));

    if (m[0] | m[1] | m[2] | m[3])
      break;
  }
  return i;
}

/* The @n cells of @n_cells that are the least certain, in any order; what is no
 * number is certain. Returns how many there are. */
static gint
find_uncertain (const gfloat * map, gint n_cells, gint n, guint64 * ranks)
{
  gint n_vectors = n_cells / CI_BLOCK, n_found = 0;
  gfloat limit = INFINITY;

  for (gint i = next_uncertain (map, limit, 0, n_vectors);
      i * CI_BLOCK < n_cells;
      i = next_uncertain (map, limit, i + 1, n_vectors)) {
    gint end = MIN ((i + 1) * CI_BLOCK, n_cells);

    for (gint k = i * CI_BLOCK; k < end; k++) {
      gfloat value = fabsf (map[k]);

      if (!(value < limit))
        continue;
      ranks[n_found++] = ci_rank (-value, k);
      if (n_found == 2 * n) {
        ci_ranks_select (ranks, n_found, n);
        n_found = n;
        limit = 0;
        for (gint c = 0; c < n; c++)
          limit = MAX (limit, -ci_rank_value (ranks[c]));
      }
    }
  }
  ci_ranks_select (ranks, n_found, n);
  return MIN (n_found, n);
}

CI_MULTIVERSION static void
apply_sigmoid (gfloat * map, gint n)
{
  for (gint i = 0; i < n; i += CI_BLOCK) {
    CiV8 v = { 0 };

    memcpy (&v, map + i, MIN (CI_BLOCK, n - i) * sizeof (gfloat));
    v = ci_v8_sigmoid (v);
    memcpy (map + i, &v, MIN (CI_BLOCK, n - i) * sizeof (gfloat));
  }
}

static void
point_rend_task (gpointer data, gint task, gint n_tasks)
{
  PointRend *p = data;
  const CiPointRendParams *params = p->params;
  const Scratch *s = &p->scratch[task];

  for (gint n = task; n < p->detections->count; n += n_tasks) {
    gfloat *map = p->out->prob + n * p->out->grid_size;
    gint size = params->start_size;

    make_tables (p, s, n);
    for (gint i = 0; i < size * size; i += TILE)
      evaluate_tile (p, s, n, NULL, i, MIN (TILE, size * size - i), size, map);
    for (gint step = 0; step < params->n_steps; step++) {
      gint n_points;

      memcpy (s->map, map, (gsize) size * size * sizeof (gfloat));
      enlarge (s->map, size, map);
      size *= 2;
      n_points = find_uncertain (map, size * size, params->n_points,
          s->ranks);
      for (gint i = 0; i < n_points; i += TILE)
        evaluate_tile (p, s, n, s->ranks + i, 0, MIN (TILE, n_points - i),
            size, map);
    }
    apply_sigmoid (map, size * size);
    p->out->grids[n] = (CiMaskGrid) {
    .width = size,.height = size,.prob = map,.in_box = TRUE};
  }
}

static gboolean
run_point_rend (CiPlan * plan, CiStep * step, GError ** error)
{
  PointRend *p = step->state;

  ci_pool_run (plan->pool, point_rend_task, p, p->n_tasks);
  return TRUE;
}

/* ---- preparing ----------------------------------------------------------- */

/* @n_in columns from @first on of rows of @dims[1] weights, as panels. */
static void
pack_panels (const gfloat * w, const gint64 dims[3], gint first, gint n_in,
    gint panel, gfloat * u)
{
  gint depth = round_up (n_in, CI_BLOCK);

  for (gint o = 0; o < dims[0]; o++)
    for (gint i = 0; i < n_in; i++)
      u[((gsize) o / panel * depth + i) * panel + o % panel] =
          w[o * dims[1] + first + i];
}

static gboolean
prepare_layer (CiPlan * plan, const CiNode * node, PointRend * p, gint index,
    GError ** error)
{
  Layer *layer = &p->layers[index];
  g_autofree gchar *name = ci_point_rend_layer (node, index);
  g_autofree gchar *key = g_strdup_printf ("point/%s", name);
  g_autofree gfloat *w = NULL, *bias = NULL;
  gboolean predictor = index == p->params->n_layers;
  gint64 dims[3];
  gint n_coarse = p->n_classes, n_in, in, coarse, panel = p->funcs->panel;
  CiPacked *packed;

  ci_point_rend_dims (plan->graph, node, index, dims);
  n_in = dims[1] - n_coarse;
  in = round_up (n_in, CI_BLOCK);
  coarse = round_up (n_coarse, CI_BLOCK);
  layer->in = in / CI_BLOCK;
  layer->out = round_up (dims[0], panel) / CI_BLOCK;
  if ((layer->packed = ci_packed_find (plan->weights->id, key, NULL)))
    return TRUE;
  if (!(w = ci_plan_tensor (plan, name, ".weight", 3, dims, error))
      || !(bias = ci_plan_tensor (plan, name, ".bias", 1, dims, error))
      || !(packed = ci_packed_new (plan->weights->id, key, NULL,
              (gsize) (in + coarse) * layer->out * CI_BLOCK * sizeof (gfloat),
              layer->out * CI_BLOCK * sizeof (gfloat), error)))
    return FALSE;
  memcpy (packed->bias, bias, dims[0] * sizeof (gfloat));
  if (!predictor) {
    pack_panels (w, dims, 0, n_in, panel, packed->weight);
    pack_panels (w, dims, n_in, n_coarse, panel, packed->weight
        + (gsize) in * layer->out * CI_BLOCK);
  }
  for (gint o = 0; predictor && o < dims[0]; o++) {
    gfloat *row = packed->weight + (gsize) o * (in + coarse);

    memcpy (row, w + o * dims[1], n_in * sizeof (gfloat));
    memcpy (row + in, w + o * dims[1] + n_in, n_coarse * sizeof (gfloat));
  }
  layer->packed = ci_packed_publish (packed);
  return TRUE;
}

/* Cuts the memory of one thread up (NULL: only counts); returns its bytes. */
static gsize
lay_out (const PointRend * p, guint8 * memory, Scratch * s)
{
  const CiPointRendParams *params = p->params;
  gsize side = params->start_size << params->n_steps, at = 0;

#define TAKE(what, count) \
  G_STMT_START { \
    s->what = memory ? (gpointer) (memory + at) : NULL; \
    at += ((count) * sizeof (*s->what) + 63) & ~(gsize) 63; \
  } G_STMT_END
  TAKE (v, (gsize) p->width * PITCH);
  TAKE (m, (gsize) p->width * PITCH);
  TAKE (coarse, (gsize) round_up (p->n_classes, CI_BLOCK) * p->n_cells);
  TAKE (tables, p->tables[params->n_layers]);
  TAKE (predictor_table, p->n_cells);
  TAKE (map, side * side / 4 + 1);
  TAKE (fine_samples, TILE);
  TAKE (coarse_samples, TILE);
  TAKE (ranks, 2 * (gsize) params->n_points);
#undef TAKE
  return at;
}

static gboolean
prepare_scratch (const PointRend * p, Scratch * s, GError ** error)
{
  guint8 *memory = ci_aligned_alloc0 (lay_out (p, NULL, s), error);

  memset (s, 0, sizeof (*s));
  if (memory)
    lay_out (p, memory, s);
  return memory != NULL;
}

gboolean
ci_cpu_prepare_point_rend (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  PointRend *p = g_new0 (PointRend, 1);
  gint n = node->point_rend.n_layers;

  step->state = p;
  step->free_state = point_rend_free;
  step->run = run_point_rend;
  p->params = &node->point_rend;
  p->funcs = ci_gemm_get_funcs ();
  p->features = ci_plan_map (plan, node->srcs[0]);
  p->coarse = ci_plan_map (plan, node->srcs[1]);
  p->detections = &plan->buffers[node->srcs[2]].detections;
  p->out = &plan->buffers[step->value];
  p->n_classes = node->channels;
  p->size = p->params->coarse_size;
  p->n_cells = round_up (p->size * p->size, CI_GEMM_UNIT);
  p->layers = g_new0 (Layer, n + 1);
  p->tables = g_new0 (gsize, n + 1);
  p->width = ci_map_blocks (p->features);
  for (gint l = 0; l <= n; l++) {
    if (!prepare_layer (plan, node, p, l, error))
      return FALSE;
    if (l < n) {
      p->width = MAX (p->width, p->layers[l].out);
      p->tables[l + 1] = p->tables[l]
          + (gsize) p->layers[l].out * p->n_cells * CI_BLOCK;
    }
  }
  p->n_tasks = ci_pool_get_n_threads (plan->pool);
  p->scratch = g_new0 (Scratch, p->n_tasks);
  for (gint t = 0; t < p->n_tasks; t++)
    if (!prepare_scratch (p, &p->scratch[t], error))
      return FALSE;
  return TRUE;
}
