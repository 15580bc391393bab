/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "winograd.h"

#include "../simd.h"

#define TILE CI_WINOGRAD_TILE
#define POINTS CI_WINOGRAD_POINTS
/* In floats. A U of this size stays in the second cache, or nearly, while
 * blocks of tiles that fit there, too, pass by. A larger one comes from memory;
 * then V and M are what stays: V in the last cache, read anew for each panel, M
 * of one panel in the second one. */
#define SMALL_WEIGHTS (1024 * 1024)
#define SMALL_BLOCK (192 * 1024)
#define SHARED_V (3 * 1024 * 1024)
/* Rows of V and M that lie a multiple of 4096 bytes apart would share few
 * lines of the first cache. */
#define SKEW 16

static const CiWinogradFuncs *
get_funcs (void)
{
#ifdef CI_HAVE_X86_64_V4
  if (CI_IS_X86_64_V4 ())
    return &ci_winograd_funcs_x86_64_v4;
#endif
#ifdef CI_HAVE_X86_64_V3
  if (CI_IS_X86_64_V3 ())
    return &ci_winograd_funcs_x86_64_v3;
#endif
  return &ci_winograd_funcs;
}

static gint
divide_up (gint n, gint unit)
{
  return (n + unit - 1) / unit;
}

static gint
round_up (gint n, gint unit)
{
  return divide_up (n, unit) * unit;
}

/* Of one item. */
static gint
count_tiles (const CiMap * map)
{
  return divide_up (map->h, TILE) * divide_up (map->w, TILE);
}

static gboolean
pack (CiPlan * plan, const CiNode * node, gint in, CiWinogradLayer * layer,
    GError ** error)
{
  g_autofree gchar *key = g_strdup_printf ("winograd/%s/%s/%s", node->name,
      node->norm_name ? node->norm_name : "",
      node->scale_name ? node->scale_name : "");
  gint real_in = ci_plan_map (plan, node->srcs[0])->c;
  CiWinogradPacking packing = { NULL, in, real_in, node->channels };
  gfloat *weight, *bias;

  if ((layer->packed = ci_packed_find (plan->weights->id, key, NULL)))
    return TRUE;
  if (!(layer->packed = ci_packed_new (plan->weights->id, key, NULL,
              sizeof (gfloat) * POINTS * layer->padded_out * in,
              sizeof (gfloat) * layer->padded_out, error)))
    return FALSE;
  if (!ci_plan_fold_conv (plan, node, &weight, &bias, error))
    return FALSE;
  packing.weight = weight;
  packing.u = layer->packed->weight;
  for (gint i = 0; i < node->channels; i++)
    layer->packed->bias[i] = bias[i];
  ci_pool_run (plan->pool, get_funcs ()->pack, &packing,
      layer->padded_out / get_funcs ()->panel);
  g_free (weight);
  g_free (bias);
  layer->packed = ci_packed_publish (layer->packed);
  return TRUE;
}

static gboolean
run_winograd (CiPlan * plan, CiStep * step, GError ** error)
{
  CiWinograd *w = step->state;

  if (step->node->items)
    w->n_tiles = ci_plan_count_items (plan, step->node)
        * count_tiles (ci_plan_map (plan, step->value));
  if (!w->by_panel)
    w->n_parts = divide_up (w->n_tiles, w->block_tiles);
  for (w->first_tile = 0; w->first_tile < w->n_tiles;
      w->first_tile += w->by_panel ? w->block_tiles : w->n_tiles) {
    if (w->by_panel)
      ci_pool_run (plan->pool, w->funcs->gather, w, w->in / CI_BLOCK);
    atomic_store (&w->next_part, 0);
    ci_pool_run (plan->pool, w->funcs->run, w,
        MIN (ci_pool_get_n_threads (plan->pool), w->n_parts));
  }
  return TRUE;
}

/* ---- choosing ---------------------------------------------------------- */

/* A model of both ways' time, in products of which oneDNN does 46e9 a second on
 * one thread of a Zen 3, fitted to what layers of ResNet-50 took there: the
 * transforms of one tile's channel (in or out) and the floats of U, which come
 * from memory. The threads share the memory. Rounding has its price. */
#define TRANSFORM_COST 600.0
#define WEIGHT_COST 6.0
#define MEMORY_THREADS 1.5
#define WORTH 0.75

gboolean
ci_cpu_winograd_pays (CiPlan * plan, CiValue lead)
{
  const CiNode *node = ci_graph_node (plan->graph, lead);
  const CiMap *src = ci_plan_map (plan, node->srcs[0]);
  gint n_threads = ci_pool_get_n_threads (plan->pool);
  gint n_maps = ci_plan_count_maps (plan, lead);
  gdouble in = src->c, out = node->channels, weights = in * out, tiles = 0;
  gdouble pixels = 0, direct, winograd;

  if (node->kernel != 3 || node->stride != 1 || node->padding != 1
      || node->groups != 1 || src->block != CI_BLOCK
      || (node->activation > CI_ACTIVATION_RELU6
          && node->activation != CI_ACTIVATION_LEAKY_RELU))
    return FALSE;
  for (CiValue i = lead, n = 0; n < n_maps; n++, i = ci_plan_next (plan, i)) {
    const CiMap *dst = ci_plan_map (plan, i);

    pixels += (gdouble) dst->items * dst->h * dst->w;
    tiles += (gdouble) dst->items * count_tiles (dst);
  }
  direct = pixels * 9 * in * round_up (out, CI_BLOCK);
  winograd = tiles * (POINTS * in * round_up (out, get_funcs ()->panel)
      + TRANSFORM_COST * (in + out))
      + POINTS * weights * WEIGHT_COST * MAX (1, n_threads / MEMORY_THREADS);
  return winograd < WORTH * direct;
}

gboolean
ci_cpu_winograd_join (CiPlan * plan, CiValue a, CiValue b)
{
  gint n_maps = plan->group[b];

  if (ci_plan_count_maps (plan, a) != n_maps)
    return FALSE;
  for (; n_maps > 0; n_maps--) {
    if (ci_graph_node (plan->graph, a)->srcs[0]
        != ci_graph_node (plan->graph, b)->srcs[0])
      return FALSE;
    a = ci_plan_next (plan, a);
    b = ci_plan_next (plan, b);
  }
  return TRUE;
}

/* ---- preparing --------------------------------------------------------- */

/* How the threads share the work. */
static void
divide (CiWinograd * w, gint n_threads, gint max_out)
{
  gint block, columns = max_out;

  w->by_panel = (gint64) POINTS * w->in * max_out > SMALL_WEIGHTS;
  block = w->by_panel ? SHARED_V / (POINTS * w->in)
      : SMALL_BLOCK / (POINTS * (w->in + max_out));
  w->n_parts = divide_up (w->n_tiles, MAX (block, 1));
  /* keep all threads busy to the end */
  if (!w->by_panel)
    w->n_parts = round_up (w->n_parts, n_threads);
  w->block_tiles = divide_up (w->n_tiles, w->n_parts);
  w->n_parts = divide_up (w->n_tiles, w->block_tiles);
  if (w->by_panel) {
    columns = w->funcs->panel;
    w->n_parts = 0;
    for (gint i = 0; i < w->n_layers; i++)
      w->n_parts += w->layers[i].padded_out / columns;
  }
  w->pitch = w->block_tiles | 1;
  w->v_pitch = (gsize) w->pitch * w->in + SKEW;
  w->m_pitch = (gsize) w->pitch * columns + SKEW;
  w->v_floats = w->by_panel ? 0 : POINTS * w->v_pitch;
  w->m_floats = POINTS * w->m_pitch;
}

/* Everything but memory and results; returns the floats of V of all threads. */
static gsize
describe (CiPlan * plan, CiValue lead, CiWinograd * w)
{
  const CiNode *node = ci_graph_node (plan->graph, lead);
  gint n_threads = ci_pool_get_n_threads (plan->pool), max_out = 0;
  gint n_maps, n_items;
  CiValue value = lead;

  w->funcs = get_funcs ();
  w->in = round_up (ci_plan_map (plan, node->srcs[0])->c, CI_BLOCK);
  n_maps = ci_plan_count_maps (plan, lead);
  n_items = ci_plan_map (plan, lead)->items;
  w->n_maps = n_maps * n_items;
  w->n_layers = plan->group[lead] / n_maps;
  w->maps = g_new0 (CiWinogradMap, w->n_maps);
  w->layers = g_new0 (CiWinogradLayer, w->n_layers);
  for (gint i = 0; i < plan->group[lead]; i++) {
    const CiMap *dst = ci_plan_map (plan, value);
    CiWinogradLayer *layer = &w->layers[i / n_maps];

    node = ci_graph_node (plan->graph, value);
    for (gint k = 0; i < n_maps && k < n_items; k++) {
      w->maps[i * n_items + k] = (CiWinogradMap) {
      NULL, dst->h, dst->w, divide_up (dst->w, TILE), w->n_tiles};
      w->n_tiles += count_tiles (dst);
    }
    layer->out = round_up (node->channels, CI_BLOCK);
    layer->padded_out = round_up (node->channels, w->funcs->panel);
    layer->activation = node->activation;
    max_out = MAX (max_out, layer->padded_out);
    value = ci_plan_next (plan, value);
  }
  divide (w, n_threads, max_out);
  return POINTS * w->v_pitch * (w->by_panel ? 1 : n_threads);
}

static void
clear (CiWinograd * w)
{
  for (gint i = 0; i < w->n_layers; i++) {
    if (w->layers[i].packed)
      ci_packed_unref (w->layers[i].packed);
    g_free (w->layers[i].results);
  }
  g_free (w->layers);
  g_free (w->maps);
}

static void
winograd_free (gpointer data)
{
  clear (data);
  g_free (data);
}

gsize
ci_cpu_winograd_scratch (CiPlan * plan, CiValue lead)
{
  CiWinograd w = { 0 };
  gsize floats = describe (plan, lead, &w);

  clear (&w);
  return (floats + w.m_floats * ci_pool_get_n_threads (plan->pool))
      * sizeof (gfloat);
}

static gfloat *
item_data (CiPlan * plan, CiValue value, gint item)
{
  const CiMap *map = ci_plan_map (plan, value);

  return map->data + item * ci_map_floats (map);
}

gboolean
ci_cpu_prepare_winograd (CiPlan * plan, CiStep * step, GError ** error)
{
  CiWinograd *w = g_new0 (CiWinograd, 1);
  CiValue value = step->value;
  gboolean ok = TRUE;
  gint n_items;

  step->state = w;
  step->free_state = winograd_free;
  step->run = run_winograd;
  step->all_items = TRUE;
  w->v = plan->buffers[step->value].scratch;
  w->m = w->v + describe (plan, step->value, w);
  n_items = ci_plan_map (plan, value)->items;
  for (gint i = 0; ok && i < w->n_layers * w->n_maps; i++) {
    const CiNode *node = ci_graph_node (plan->graph, value);
    CiWinogradLayer *layer = &w->layers[i / w->n_maps];
    gint map = i % w->n_maps, item = i % n_items;

    w->maps[map].src = item_data (plan, node->srcs[0], item);
    if (map == 0) {
      layer->results = g_new0 (CiWinogradResult, w->n_maps);
      ok = pack (plan, node, w->in, layer, error);
    }
    layer->results[map].dst = item_data (plan, value, item);
    if (node->residual != CI_NO_VALUE)
      layer->results[map].residual = item_data (plan, node->residual, item);
    if (item == n_items - 1)
      value = ci_plan_next (plan, value);
  }
  return ok;
}
