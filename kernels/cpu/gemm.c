/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gemm.h"

#include <stdlib.h>

#include "../simd.h"

/* Parts a thread, so that none waits long for the last one. */
#define PARTS 3
#define PITCH (CI_GEMM_ROWS * CI_BLOCK + CI_BLOCK)

const CiGemmFuncs *
ci_gemm_get_funcs (void)
{
#ifdef CI_HAVE_X86_64_V4
  if (CI_IS_X86_64_V4 ())
    return &ci_gemm_funcs_x86_64_v4;
#endif
#ifdef CI_HAVE_X86_64_V3
  if (CI_IS_X86_64_V3 ())
    return &ci_gemm_funcs_x86_64_v3;
#endif
  return &ci_gemm_funcs;
}

static gint
divide_up (gint n, gint unit)
{
  return (n + unit - 1) / unit;
}

/* ---- weights ----------------------------------------------------------- */

typedef struct
{
  const CiNode *node;
  gint in, columns;             /* real channels in; blocks of columns */
  gint depth, panel;
  const gfloat *weight;         /* out x in x k x k, or in x out x 2 x 2 */
  gfloat *u;
} Packing;

/* One panel of U. */
static void
pack_panel (gpointer data, gint task, gint n_tasks)
{
  const Packing *p = data;
  const CiNode *node = p->node;
  gboolean deconv = node->op == CI_OP_DECONV;
  gint out = node->channels, taps = deconv ? 1 : node->kernel * node->kernel;
  gint blocks = divide_up (out, CI_BLOCK);
  gfloat *u = p->u + (gsize) task * p->depth * CI_BLOCK * p->panel;

  for (gint i = 0; i < p->panel; i++) {
    gint column = task * p->panel + i, block = column / CI_BLOCK;
    gint o = block % blocks * CI_BLOCK + column % CI_BLOCK;
    gint corner = block / blocks;

    for (gint k = 0; block < p->columns && o < out && k < p->depth * CI_BLOCK;
        k++) {
      gint c = k / CI_BLOCK / taps * CI_BLOCK + k % CI_BLOCK;
      gint tap = k / CI_BLOCK % taps;

      if (c < p->in)
        u[(gsize) k * p->panel + i] = deconv ?
            p->weight[((gsize) c * out + o) * 4 + corner]
            : p->weight[((gsize) o * p->in + c) * taps + tap];
    }
  }
}

static gboolean
pack (CiPlan * plan, const CiNode * node, CiGemm * g, GError ** error)
{
  g_autofree gchar *key = g_strdup_printf ("gemm/%s/%s/%s", node->name,
      node->norm_name ? node->norm_name : "",
      node->scale_name ? node->scale_name : "");
  gint panel = g->funcs->panel, blocks = divide_up (node->channels, CI_BLOCK);
  Packing packing = { node, g->src->c, g->columns, g->depth, panel };
  gfloat *weight, *bias;

  if ((g->packed = ci_packed_find (plan->weights->id, key, NULL)))
    return TRUE;
  if (!(g->packed = ci_packed_new (plan->weights->id, key, NULL,
              sizeof (gfloat) * g->n_panels * panel * g->depth * CI_BLOCK,
              sizeof (gfloat) * g->n_panels * panel, error))
      || !ci_plan_fold_conv (plan, node, &weight, &bias, error))
    return FALSE;
  packing.weight = weight;
  packing.u = g->packed->weight;
  for (gint i = 0; i < g->columns; i++)
    for (gint l = 0; l < CI_BLOCK; l++) {
      gint o = i % blocks * CI_BLOCK + l;

      g->packed->bias[i * CI_BLOCK + l] = o < node->channels ? bias[o] : 0;
    }
  ci_pool_run (plan->pool, pack_panel, &packing, g->n_panels);
  g_free (weight);
  g_free (bias);
  g->packed = ci_packed_publish (g->packed);
  return TRUE;
}

/* ---- preparing --------------------------------------------------------- */

static void
gemm_free (gpointer data)
{
  CiGemm *g = data;

  if (g->packed)
    ci_packed_unref (g->packed);
  g_free (g->taps);
  g_free (g->offsets);
  g_free (g->rows);
  g_free (g);
}

static void
make_taps (CiGemm * g, gint kernel)
{
  const CiMap *src = g->src;
  gint k2 = kernel * kernel;

  g->depth = ci_map_blocks (src) * k2;
  g->taps = g_new (CiGemmTap, g->depth);
  for (gint i = 0; i < g->depth; i++) {
    CiGemmTap *tap = &g->taps[i];

    tap->y = i % k2 / kernel;
    tap->x = i % kernel;
    tap->offset = (((gsize) (i / k2) * src->h + tap->y) * src->w + tap->x)
        * CI_BLOCK;
  }
}

static void
make_offsets (CiGemm * g, gint corners)
{
  const CiMap *dst = g->dst;
  gint blocks = ci_map_blocks (dst);

  g->columns = blocks * corners;
  g->n_panels = divide_up (g->columns * CI_BLOCK, g->funcs->panel);
  g->offsets = g_new (gsize, g->columns);
  for (gint i = 0; i < g->columns; i++)
    g->offsets[i] = (((gsize) (i % blocks) * dst->h + i / blocks / 2) * dst->w
        + i / blocks % 2) * CI_BLOCK;
}

/* Floats of V and M of a thread. */
static void
measure (CiGemm * g)
{
  g->v_floats = (gsize) CI_GEMM_DEPTH * PITCH;
  g->m_floats = (gsize) CI_GEMM_COLUMNS / CI_BLOCK * PITCH;
}

gsize
ci_cpu_gemm_scratch (CiPlan * plan)
{
  CiGemm g;

  measure (&g);
  return (g.v_floats + g.m_floats) * ci_pool_get_n_threads (plan->pool)
      * sizeof (gfloat);
}

/* How the threads share the work on what was found. */
static void
divide (CiPlan * plan, CiGemm * g, gint n_items)
{
  gint n_blocks, wanted, most = CI_GEMM_COLUMNS / g->funcs->panel;

  g->n_rows = n_items * g->h * g->w;
  n_blocks = divide_up (g->n_rows, CI_GEMM_ROWS);
  g->block_rows = divide_up (g->n_rows, n_blocks);
  wanted = divide_up (PARTS * ci_pool_get_n_threads (plan->pool), n_blocks);
  g->n_groups = MAX (divide_up (g->n_panels, most), MIN (wanted,
          g->n_panels));
  g->n_parts = n_blocks * g->n_groups;
  atomic_store (&g->next_part, 0);
}

static gboolean
run_gemm (CiPlan * plan, CiStep * step, GError ** error)
{
  CiGemm *g = step->state;
  gint n_items = ci_plan_count_items (plan, step->node);

  if (!n_items)
    return TRUE;
  divide (plan, g, n_items);
  ci_pool_run (plan->pool, g->funcs->run, g,
      MIN (ci_pool_get_n_threads (plan->pool), g->n_parts));
  return TRUE;
}

gboolean
ci_cpu_prepare_gemm (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  CiGemm *g = g_new0 (CiGemm, 1);
  gboolean deconv = node->op == CI_OP_DECONV;
  gsize n_threads = ci_pool_get_n_threads (plan->pool);

  step->state = g;
  step->free_state = gemm_free;
  step->run = run_gemm;
  step->all_items = TRUE;
  g->funcs = ci_gemm_get_funcs ();
  g->src = ci_plan_map (plan, node->srcs[0]);
  g->dst = ci_plan_map (plan, step->value);
  if (node->residual != CI_NO_VALUE)
    g->residual = ci_plan_map (plan, node->residual);
  g->activation = node->activation;
  g->h = deconv ? g->src->h : g->dst->h;
  g->w = deconv ? g->src->w : g->dst->w;
  g->stride = deconv ? 1 : node->stride;
  g->to_stride = deconv ? 2 : 1;
  g->padding = node->padding;
  make_taps (g, deconv ? 1 : node->kernel);
  make_offsets (g, deconv ? 4 : 1);
  measure (g);
  g->v = plan->buffers[step->value].scratch;
  g->m = g->v + n_threads * g->v_floats;
  g->rows = g_new (CiGemmRow, n_threads * CI_GEMM_ROWS);
  return pack (plan, node, g, error);
}
