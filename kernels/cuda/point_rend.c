/*
 * point_rend.c: PointRend's subdivision inference (SEMANTICS-pointrend): tables
 * of what the coarse logits add, the first map, and steps of enlarging,
 * selecting and making points anew.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cuda.h"

typedef struct
{
  CiPointArgs args;             /* of the first map */
  gint start_size, n_steps, n_points;
  gint64 n_tables;
  gfloat *maps[2];
} PointRend;

/* Logits of the @args->n_points points of each detection. */
static gboolean
make_points (CiPlan * plan, const CiPointArgs * args, GError ** error)
{
  return ci_cuda_blocks (plan, CI_KERNEL_point_head, args,
      (args->n_points + CI_POINT_TILE - 1) / CI_POINT_TILE,
      args->detections.capacity, 1, error);
}

static gboolean
run_point_rend (CiPlan * plan, CiStep * step, GError ** error)
{
  const PointRend *p = step->state;
  CiPointArgs args = p->args;
  gint capacity = args.detections.capacity;

  args.features = ci_cuda_image_view (plan, args.features);
  args.map = p->maps[0];
  args.size = p->start_size;
  args.n_points = args.size * args.size;
  args.all = TRUE;
  if (!ci_cuda_elements (plan, CI_KERNEL_point_tables, &args, p->n_tables,
          error) || !make_points (plan, &args, error))
    return FALSE;
  for (gint i = 0; i < p->n_steps; i++) {
    args.before = args.map;
    args.map = p->maps[~i & 1];
    args.size *= 2;
    args.n_points = MIN (p->n_points, args.size * args.size);
    args.all = FALSE;
    if (!ci_cuda_elements (plan, CI_KERNEL_point_enlarge, &args,
            (gint64) capacity * args.size * args.size, error)
        || !ci_cuda_blocks (plan, CI_KERNEL_point_select, &args, capacity, 1,
            1, error) || !make_points (plan, &args, error))
      return FALSE;
  }
  return ci_cuda_elements (plan, CI_KERNEL_point_finish, &args,
      (gint64) capacity * args.size * args.size, error);
}

/* ---- weights ----------------------------------------------------------- */

typedef struct
{
  CiPlan *plan;
  const gchar *name;
  gint64 dims[3];
  gint n_coarse;
  gboolean transposed;
  gsize coarse_at, bias_at;     /* floats */
} Weights;

static gboolean
fill_weights (gpointer host, gpointer data, GError ** error)
{
  const Weights *w = data;
  g_autofree gfloat *weight = ci_plan_tensor (w->plan, w->name, ".weight", 3,
      w->dims, error);
  g_autofree gfloat *bias = weight ? ci_plan_tensor (w->plan, w->name,
      ".bias", 1, w->dims, error) : NULL;
  gfloat *fine = host, *coarse = fine + w->coarse_at;
  gint64 n_out = w->dims[0], n_in = w->dims[1] - w->n_coarse;

  if (!bias)
    return FALSE;
  for (gint64 o = 0; o < n_out; o++)
    for (gint64 i = 0; i < w->dims[1]; i++) {
      gfloat v = weight[o * w->dims[1] + i];

      if (i < n_in)
        fine[w->transposed ? i * n_out + o : o * n_in + i] = v;
      else
        coarse[w->transposed ? (i - n_in) * n_out + o
            : o * w->n_coarse + i - n_in] = v;
    }
  memcpy (fine + w->bias_at, bias, n_out * sizeof (gfloat));
  return TRUE;
}

static gboolean
load_layer (CiPlan * plan, const CiNode * node, gint index,
    CiPointLayer * out, GError ** error)
{
  g_autofree gchar *name = ci_point_rend_layer (node, index);
  g_autofree gchar *key = g_strconcat (name, "|point", NULL);
  Weights w = { plan, name,.n_coarse = node->channels,
    .transposed = index < node->point_rend.n_layers
  };
  const gfloat *constant;

  ci_point_rend_dims (plan->graph, node, index, w.dims);
  w.coarse_at = w.dims[0] * (w.dims[1] - w.n_coarse);
  w.bias_at = w.dims[0] * w.dims[1];
  constant = ci_cuda_constant (plan, key, (w.bias_at + w.dims[0])
      * sizeof (gfloat), fill_weights, &w, error);
  if (constant)
    *out = (CiPointLayer) {
    constant, constant + w.coarse_at, constant + w.bias_at};
  return constant != NULL;
}

/* ---- preparing ----------------------------------------------------------- */

/* Memory for tables, maps and keys. */
static gboolean
alloc_buffers (CiPlan * plan, PointRend * p, GError ** error)
{
  CiPointArgs *args = &p->args;
  gsize side = (gsize) p->start_size << p->n_steps;
  gsize capacity = args->detections.capacity, cells = side * side;
  const gsize bytes[] = {
    p->n_tables * sizeof (float), capacity * cells * sizeof (float),
    capacity * cells * sizeof (float), capacity * cells * sizeof (CiKey),
    capacity * p->n_points * sizeof (CiKey)
  };
  gpointer parts[G_N_ELEMENTS (bytes)];

  if (!ci_cuda_plan_alloc_parts (plan, bytes, parts, G_N_ELEMENTS (parts),
          error))
    return FALSE;
  args->map_pitch = cells;
  args->tables = parts[0];
  p->maps[0] = parts[1];
  p->maps[1] = parts[2];
  args->keys = parts[3];
  args->top = parts[4];
  return TRUE;
}

gboolean
ci_cuda_prepare_point_rend (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const CiPointRendParams *params = &node->point_rend;
  PointRend *p = g_new0 (PointRend, 1);
  CiPointArgs *args = &p->args;

  step->state = p;
  step->free_state = g_free;
  step->run = run_point_rend;
  args->features = ci_cuda_view (plan, node->srcs[0]);
  if (args->features.c > CI_POINT_MAX_WIDTH
      || params->channels > CI_POINT_MAX_WIDTH
      || params->n_layers > CI_POINT_MAX_LAYERS
      || params->n_points > CI_MAX_PRE_NMS) {
    g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
        "a point head of %d features, %d channels and %d layers, for %d points "
        "(at most %d, %d, %d and %d)", args->features.c, params->channels,
        params->n_layers, params->n_points, CI_POINT_MAX_WIDTH,
        CI_POINT_MAX_WIDTH, CI_POINT_MAX_LAYERS, CI_MAX_PRE_NMS);
    return FALSE;
  }
  if (!ci_cuda_prepare_results (plan, error))
    return FALSE;
  args->coarse = ci_cuda_view (plan, node->srcs[1]);
  args->detections = ci_cuda_detections (plan);
  args->out = ci_cuda_masks (plan);
  args->stride = params->stride;
  args->n_classes = node->channels;
  args->coarse_size = params->coarse_size;
  args->n_layers = params->n_layers;
  args->width = params->channels;
  p->start_size = params->start_size;
  p->n_steps = params->n_steps;
  p->n_points = params->n_points;
  p->n_tables = (gint64) args->detections.capacity * params->coarse_size
      * params->coarse_size * ci_point_table_width (args);
  for (gint l = 0; l <= params->n_layers; l++)
    if (!load_layer (plan, node, l, &args->layer[l], error))
      return FALSE;
  return alloc_buffers (plan, p, error);
}
