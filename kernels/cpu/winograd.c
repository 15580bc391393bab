/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "winograd.h"

#define TILE CI_WINOGRAD_TILE
#define POINTS CI_WINOGRAD_POINTS
#define PANEL CI_WINOGRAD_PANEL
#define ROWS CI_WINOGRAD_ROWS
/* V and M of one block stay in the last level cache, several to a core */
#define BLOCK_FLOATS (384 * 1024)
#define MIN_BLOCK_TILES 12
/* Rows of V and M that lie a multiple of 4096 bytes apart would share few
 * lines of the first cache. */
#define SKEW 16
/* Below 32 the transforms cost more than the product saves; up to here the gain
 * is not worth the rounding. */
#define MIN_CHANNELS 64

static const CiWinogradFuncs *
get_funcs (void)
{
#ifdef CI_HAVE_X86_64_V3
  if (__builtin_cpu_supports ("avx2") && __builtin_cpu_supports ("fma"))
    return &ci_winograd_funcs_x86_64_v3;
#endif
  return &ci_winograd_funcs;
}

static gboolean
pack (CiPlan * plan, const CiNode * node, CiWinograd * w, GError ** error)
{
  g_autofree gchar *key = g_strdup_printf ("winograd/%s/%s/%s", node->name,
      node->norm_name ? node->norm_name : "",
      node->scale_name ? node->scale_name : "");
  gint real_in = ci_plan_map (plan, node->srcs[0])->c;
  CiWinogradPacking packing = { NULL, w->in, real_in, node->channels };
  gfloat *weight, *bias;

  if ((w->packed = ci_packed_find (plan->weights->id, key, NULL)))
    return TRUE;
  if (!(w->packed = ci_packed_new (plan->weights->id, key, NULL,
              sizeof (gfloat) * POINTS * w->padded_out * w->in,
              sizeof (gfloat) * w->padded_out, error)))
    return FALSE;
  if (!ci_plan_fold_conv (plan, node, &weight, &bias, error))
    return FALSE;
  packing.weight = weight;
  packing.u = w->packed->weight;
  for (gint i = 0; i < node->channels; i++)
    w->packed->bias[i] = bias[i];
  ci_pool_run (plan->pool, get_funcs ()->pack, &packing,
      w->padded_out / PANEL);
  g_free (weight);
  g_free (bias);
  w->packed = ci_packed_publish (w->packed);
  return TRUE;
}

static gboolean
run_winograd (CiPlan * plan, CiStep * step, GError ** error)
{
  CiWinograd *w = step->state;

  atomic_store (&w->next_block, 0);
  ci_pool_run (plan->pool, w->run, w,
      MIN (ci_pool_get_n_threads (plan->pool), w->n_blocks));
  return TRUE;
}

/* ---- preparing --------------------------------------------------------- */

static gint
count_tiles (const CiMap * map)
{
  return (map->h + TILE - 1) / TILE * ((map->w + TILE - 1) / TILE);
}

static gint
padded_channels (gint channels, gint unit)
{
  return (channels + unit - 1) / unit * unit;
}

/* Everything but memory. */
static void
describe (CiPlan * plan, CiValue value, CiWinograd * w)
{
  const CiNode *node = ci_graph_node (plan->graph, value);
  gint n_threads = ci_pool_get_n_threads (plan->pool), floats;

  w->in = padded_channels (ci_plan_map (plan, node->srcs[0])->c, CI_BLOCK);
  w->out = padded_channels (node->channels, CI_BLOCK);
  w->padded_out = padded_channels (node->channels, PANEL);
  w->activation = node->activation;
  w->n_maps = plan->group[value];
  for (CiValue i = value, k = 0; k < w->n_maps; i++)
    if (plan->lead[i] == value) {
      w->n_tiles += count_tiles (ci_plan_map (plan, i));
      k++;
    }
  /* as many blocks as keep all threads busy to the end */
  floats = POINTS * (w->in + w->padded_out);
  w->block_tiles = MAX (BLOCK_FLOATS / floats, MIN_BLOCK_TILES);
  w->n_blocks = (w->n_tiles + w->block_tiles - 1) / w->block_tiles;
  w->n_blocks = (w->n_blocks + n_threads - 1) / n_threads * n_threads;
  w->block_tiles = (w->n_tiles + w->n_blocks - 1) / w->n_blocks;
  w->block_tiles = padded_channels (w->block_tiles, ROWS);
  w->n_blocks = (w->n_tiles + w->block_tiles - 1) / w->block_tiles;
  w->v_pitch = (gsize) w->block_tiles * w->in + SKEW;
  w->m_pitch = (gsize) w->block_tiles * w->padded_out + SKEW;
  w->scratch_floats = POINTS * (w->v_pitch + w->m_pitch);
}

static void
winograd_free (gpointer data)
{
  CiWinograd *w = data;

  if (w->packed)
    ci_packed_unref (w->packed);
  g_free (w->maps);
  g_free (w);
}

gboolean
ci_cpu_winograd_pays (CiPlan * plan, CiValue value)
{
  const CiNode *node = ci_graph_node (plan->graph, value);
  const CiMap *src = ci_plan_map (plan, node->srcs[0]);

  return node->kernel == 3 && node->stride == 1 && node->padding == 1
      && node->groups == 1 && src->block == CI_BLOCK
      && node->activation <= CI_ACTIVATION_RELU6 && src->c >= MIN_CHANNELS
      && node->channels >= MIN_CHANNELS;
}

gsize
ci_cpu_winograd_scratch (CiPlan * plan, CiValue value)
{
  CiWinograd w = { 0 };

  describe (plan, value, &w);
  return w.scratch_floats * ci_pool_get_n_threads (plan->pool)
      * sizeof (gfloat);
}

gboolean
ci_cpu_prepare_winograd (CiPlan * plan, CiStep * step, GError ** error)
{
  CiWinograd *w = g_new0 (CiWinograd, 1);
  gint n = 0, tile = 0;

  step->state = w;
  step->free_state = winograd_free;
  step->run = run_winograd;
  describe (plan, step->value, w);
  w->run = get_funcs ()->run;
  w->scratch = plan->buffers[step->value].scratch;
  w->maps = g_new0 (CiWinogradMap, w->n_maps);
  for (CiValue i = step->value; n < w->n_maps; i++) {
    const CiNode *node = ci_graph_node (plan->graph, i);
    const CiMap *dst = ci_plan_map (plan, i);

    if (plan->lead[i] != step->value)
      continue;
    w->maps[n++] = (CiWinogradMap) {
    ci_plan_map (plan, node->srcs[0])->data,
          node->residual == CI_NO_VALUE ? NULL
          : ci_plan_map (plan, node->residual)->data, dst->data, dst->h,
          dst->w, (dst->w + TILE - 1) / TILE, tile};
    tile += count_tiles (dst);
  }
  return pack (plan, step->node, w, error);
}
