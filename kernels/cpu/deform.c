/*
 * deform.c: modulated deformable convolution (SEMANTICS 2.1): the sampled
 * columns of a few output pixels at a time, then their product with the
 * weights.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cpu.h"

#include <math.h>
#include <string.h>

#include "../simd.h"

/* Floats of a tile's columns: 1 MiB, about what a core's own cache holds. Each
 * tile reads all weights again. */
#define TILE_FLOATS (256 << 10)
#define MAX_TILE 64

/* One sample: four cells of a block and their weights, modulation included;
 * cells outside the map have the weight 0. */
typedef struct
{
  gint32 cell[4];
  gfloat weight[4];
} Sample;

typedef struct
{
  const CiNode *node;
  const CiMap *src, *offsets, *dst;
  CiProduct *product;
  gint groups, tile;            /* merged groups; pixels of a tile */
  /* per task, @pitch floats apart: columns, results, samples */
  CiMap columns, results;
  gfloat *samples;              /* kernel^2 x tile Samples */
  gsize pitch;
} Deform;

static void
deform_free (gpointer data)
{
  Deform *d = data;

  ci_product_free (d->product);
  g_free (d);
}

static void
make_sample (const Deform * d, gint tap, gint pixel, Sample * out)
{
  const CiNode *node = d->node;
  const CiMap *src = d->src;
  gint k = node->kernel, n = d->dst->h * d->dst->w, channels[3] = {
    2 * tap, 2 * tap + 1, 2 * k * k + tap
  };
  gfloat v[3], y, x, ay, ax, modulation;
  gint y0, x0;

  for (gint i = 0; i < 3; i++)
    v[i] = d->offsets->data[((gsize) channels[i] / CI_BLOCK * n + pixel)
        * CI_BLOCK + channels[i] % CI_BLOCK];
  y = pixel / d->dst->w * node->stride - node->padding + tap / k + v[0];
  x = pixel % d->dst->w * node->stride - node->padding + tap % k + v[1];
  memset (out, 0, sizeof (*out));
  if (!(y > -1 && y < src->h && x > -1 && x < src->w))
    return;
  modulation = 1.0f / (1.0f + expf (-v[2]));
  y0 = floorf (y);
  x0 = floorf (x);
  ay = y - y0;
  ax = x - x0;
  for (gint i = 0; i < 4; i++) {
    gint sy = y0 + i / 2, sx = x0 + i % 2;

    if (sy < 0 || sy >= src->h || sx < 0 || sx >= src->w)
      continue;
    out->cell[i] = sy * src->w + sx;
    out->weight[i] = (i / 2 ? ay : 1 - ay) * (i % 2 ? ax : 1 - ax)
        * modulation;
  }
}

/* The columns of one block of channels at one tap. */
CI_MULTIVERSION static void
sample_block (const gfloat * block, const Sample * samples, gint n,
    gfloat * columns)
{
  const CiV8 *in = (const CiV8 *) block;
  CiV8 *out = (CiV8 *) columns;

  for (gint i = 0; i < n; i++) {
    const Sample *s = &samples[i];

    out[i] = in[s->cell[0]] * ci_v8_set1 (s->weight[0])
        + in[s->cell[1]] * ci_v8_set1 (s->weight[1])
        + in[s->cell[2]] * ci_v8_set1 (s->weight[2])
        + in[s->cell[3]] * ci_v8_set1 (s->weight[3]);
  }
}

static void
deform_tile (const Deform * d, gint task, gint first, gint n)
{
  gint k2 = d->node->kernel * d->node->kernel;
  gint per_group = ci_map_blocks (d->src) / d->groups;
  Sample *samples = (Sample *) (d->samples + task * d->pitch);
  gfloat *columns = d->columns.data + task * d->pitch;
  const gfloat *result = d->results.data + task * d->pitch;
  gsize pixels = (gsize) d->dst->h * d->dst->w;

  for (gint t = 0; t < k2; t++)
    for (gint i = 0; i < n; i++)
      make_sample (d, t, first + i, &samples[t * d->tile + i]);
  for (gint g = 0; g < d->groups; g++)
    for (gint t = 0; t < k2; t++)
      for (gint b = 0; b < per_group; b++) {
        sample_block (ci_map_block (d->src, g * per_group + b),
            samples + t * d->tile, n, columns);
        columns += d->tile * CI_BLOCK;
      }
  ci_product_run (d->product, task);
  for (gint b = 0; b < ci_map_blocks (d->dst); b++)
    memcpy (d->dst->data + (b * pixels + first) * CI_BLOCK,
        result + (gsize) b * d->tile * CI_BLOCK,
        n * CI_BLOCK * sizeof (gfloat));
}

static void
deform_task (gpointer data, gint task, gint n_tasks)
{
  Deform *d = data;
  gint pixels = d->dst->h * d->dst->w;

  for (gint first = task * d->tile; first < pixels;
      first += n_tasks * d->tile)
    deform_tile (d, task, first, MIN (d->tile, pixels - first));
}

static gboolean
run_deform (CiPlan * plan, CiStep * step, GError ** error)
{
  Deform *d = step->state;

  ci_pool_run (plan->pool, deform_task, d,
      ci_pool_get_n_threads (plan->pool));
  return ci_product_check (d->product, error);
}

/* All but the product and where the memory is. */
static void
lay_out (CiPlan * plan, CiValue value, Deform * d)
{
  const CiNode *node = ci_graph_node (plan->graph, value);
  gint k2 = node->kernel * node->kernel, c;

  d->node = node;
  d->src = ci_plan_map (plan, node->srcs[0]);
  d->offsets = ci_plan_map (plan, node->srcs[1]);
  d->dst = ci_plan_map (plan, value);
  d->groups = ci_cpu_merge_groups (node, d->src->c);
  c = k2 * ci_map_blocks (d->src) * CI_BLOCK;
  d->tile = CLAMP (TILE_FLOATS / c, 8, MAX_TILE);
  d->columns = (CiMap) {
  c, 1, d->tile, CI_BLOCK, NULL};
  d->results = (CiMap) {
  d->dst->c, 1, d->tile, CI_BLOCK, NULL};
  /* all three are multiples of a tile of at least 8 pixels: aligned */
  d->pitch = ci_map_floats (&d->columns) + ci_map_floats (&d->results)
      + (gsize) k2 * d->tile * sizeof (Sample) / sizeof (gfloat);
}

gsize
ci_cpu_deform_conv_scratch (CiPlan * plan, CiValue value)
{
  Deform d;

  lay_out (plan, value, &d);
  return d.pitch * sizeof (gfloat) * ci_pool_get_n_threads (plan->pool);
}

gboolean
ci_cpu_prepare_deform_conv (CiPlan * plan, CiStep * step, GError ** error)
{
  Deform *d = g_new0 (Deform, 1);

  step->state = d;
  step->free_state = deform_free;
  step->run = run_deform;
  lay_out (plan, step->value, d);
  d->columns.data = plan->buffers[step->value].scratch;
  d->results.data = d->columns.data + ci_map_floats (&d->columns);
  d->samples = d->results.data + ci_map_floats (&d->results);
  d->product = ci_product_new (plan, d->node, &d->columns, &d->results,
      ci_pool_get_n_threads (plan->pool), d->pitch, error);
  return d->product != NULL;
}
