/*
 * ops.c: the steps that are no convolutions, and what convolutions on a canvas
 * need. A step knows all arguments of its kernels when it is prepared.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cuda.h"

G_STATIC_ASSERT ((gint) CI_RESIZE_NEAREST == CI_UPSAMPLE_NEAREST
    && (gint) CI_RESIZE_ALIGNED_BILINEAR == CI_UPSAMPLE_ALIGNED
    && (gint) CI_RESIZE_BILINEAR == CI_UPSAMPLE_BILINEAR);
G_STATIC_ASSERT ((gint) CI_ACTIVATION_TANH == CI_ACT_TANH
    && (gint) CI_ACTIVATION_SIGMOID == CI_ACT_SIGMOID
    && (gint) CI_ACTIVATION_LEAKY_RELU == CI_ACT_LEAKY_RELU
    && (gint) CI_ACTIVATION_HARD_SIGMOID == CI_ACT_HARD_SIGMOID
    && (gint) CI_ACTIVATION_SWISH == CI_ACT_SWISH
    && (gint) CI_ACTIVATION_RELU6 == CI_ACT_RELU6
    && (gint) CI_ACTIVATION_RELU == CI_ACT_RELU);

/* ---- launches ---------------------------------------------------------- */

typedef struct
{
  CiKernel kernel;
  gint64 n;                     /* elements; 0: a kernel of blocks */
  gint gx, gy, gz;
  union
  {
    CiPackInputArgs pack_input;
    CiConcatArgs concat;
    CiPointwiseArgs pointwise;
    CiWeightedAddArgs weighted_add;
    CiMaxPoolArgs max_pool;
    CiUpsampleArgs upsample;
    CiGroupNormArgs group_norm;
    CiSumPixelsArgs sum_pixels;
  } args;
} Launch;

typedef struct
{
  gint n;
  Launch launch[2];
} Launches;

static gboolean
run_launches (CiPlan * plan, CiStep * step, GError ** error)
{
  const Launches *launches = step->state;

  for (gint i = 0; i < launches->n; i++) {
    const Launch *l = &launches->launch[i];

    if (!(l->n ? ci_cuda_elements (plan, l->kernel, &l->args, l->n, error)
            : ci_cuda_blocks (plan, l->kernel, &l->args, l->gx, l->gy, l->gz,
                error)))
      return FALSE;
  }
  return TRUE;
}

static Launch *
add_launch (CiStep * step, CiKernel kernel)
{
  Launches *launches = step->state;
  Launch *l;

  if (!launches) {
    step->state = launches = g_new0 (Launches, 1);
    step->free_state = g_free;
    step->run = run_launches;
  }
  l = &launches->launch[launches->n++];
  l->kernel = kernel;
  return l;
}

/* A thread for each octet of @map, of which there are @n_maps: how they find
 * theirs, and their number. */
static gboolean
cover (const CiView * map, gint n_maps, CiOctets * octets, gint64 * n,
    GError ** error)
{
  *octets = ci_octets (map);
  *n = (gint64) map->h * map->w * octets->octets * n_maps;
  if (*n < CI_DIVIDEND_END)
    return TRUE;
  g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
      "%d maps of %d channels of %dx%d pixels are too large", n_maps, map->c,
      map->w, map->h);
  return FALSE;
}

gboolean
ci_cuda_cover (CiPlan * plan, CiValue value, CiOctets * octets, gint64 * n,
    GError ** error)
{
  CiView view = ci_cuda_view (plan, value);

  return cover (&view, ci_cuda_count_images (plan, value), octets, n, error);
}

static CiView
source (CiPlan * plan, const CiStep * step, gint index)
{
  return ci_cuda_view (plan, step->node->srcs[index]);
}

static CiView
optional (CiPlan * plan, CiValue value)
{
  return value == CI_NO_VALUE ? (CiView) {
  0}: ci_cuda_view (plan, value);
}

/* ---- layout ------------------------------------------------------------ */

static gboolean
run_input (CiPlan * plan, CiStep * step, GError ** error)
{
  Launches *launches = step->state;

  /* memory that comes after all steps are prepared */
  launches->launch[0].args.pack_input.src = ci_cuda_plan (plan)->input;
  return run_launches (plan, step, error);
}

gboolean
ci_cuda_prepare_input (CiPlan * plan, CiStep * step, GError ** error)
{
  Launch *l = add_launch (step, CI_KERNEL_pack_input);
  CiPackInputArgs *args = &l->args.pack_input;

  step->run = run_input;
  args->dst = ci_cuda_view (plan, step->value);
  return ci_cuda_cover (plan, step->value, &args->octets, &l->n, error);
}

gboolean
ci_cuda_canvas_pack (CiPlan * plan, const CiView * srcs, gint n, CiView dst,
    const CiCanvas * canvas, GError ** error)
{
  CiCanvasPackArgs args = {.dst = dst,.canvas = *canvas };
  gint64 n_octets;

  g_assert (n == canvas->n && n <= CI_MAX_RECTS);
  memcpy (args.src, srcs, n * sizeof (*srcs));
  return cover (&dst, plan->batch, &args.octets, &n_octets, error)
      && ci_cuda_elements (plan, CI_KERNEL_canvas_pack, &args, n_octets,
      error);
}

gboolean
ci_cuda_canvas_finish (CiPlan * plan, CiView view, const CiCanvas * canvas,
    const float *scales, CiActivation activation, GError ** error)
{
  CiCanvasFinishArgs args = { view, *canvas, scales, activation };
  gint64 n_octets;

  return cover (&view, plan->batch, &args.octets, &n_octets, error)
      && ci_cuda_elements (plan, CI_KERNEL_canvas_finish, &args, n_octets,
      error);
}

static gboolean
prepare_concat (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  Launch *l = add_launch (step, CI_KERNEL_concat);
  CiConcatArgs *args = &l->args.concat;
  gint end = 0;

  if (node->n_srcs > CI_MAX_CONCAT) {
    g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
        "a concatenation of %d maps (at most %d)", node->n_srcs,
        CI_MAX_CONCAT);
    return FALSE;
  }
  for (gint k = 0; k < node->n_srcs; k++) {
    args->src[k] = source (plan, step, k);
    args->end[k] = end += args->src[k].c;
  }
  args->dst = ci_cuda_view (plan, step->value);
  return ci_cuda_cover (plan, step->value, &args->octets, &l->n, error);
}

/* ---- per value --------------------------------------------------------- */

typedef struct
{
  CiPlan *plan;
  const CiNode *node;
} BatchNorm;

/* All scales, then all shifts, each in whole octets. */
static gboolean
fill_batch_norm (gpointer host, gpointer data, GError ** error)
{
  const BatchNorm *norm = data;
  gint c = norm->node->channels;
  gfloat *scale = host;

  return ci_plan_batch_norm (norm->plan, norm->node->name, norm->node->eps, c,
      scale, scale + (c + 7) / 8 * 8, error);
}

static gboolean
prepare_pointwise (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  Launch *l = add_launch (step, CI_KERNEL_pointwise);
  CiPointwiseArgs *args = &l->args.pointwise;
  CiValue residual = node->op == CI_OP_ADD ? node->srcs[1] : node->residual;
  gint padded = (node->channels + 7) / 8 * 8;

  args->src = source (plan, step, 0);
  args->dst = ci_cuda_view (plan, step->value);
  args->residual = optional (plan, residual);
  args->gain = 1.0f;
  args->activation = node->activation;
  if (node->op == CI_OP_CHANNEL_SCALE) {
    args->factors = source (plan, step, 1);
  } else if (node->op == CI_OP_SCALE) {
    const gint64 one = 1;
    g_autofree gfloat *gain = ci_plan_tensor (plan, node->name, "", 1, &one,
        error);

    if (!gain)
      return FALSE;
    args->gain = *gain;
  } else if (node->op == CI_OP_BATCH_NORM) {
    g_autofree gchar *key = ci_cuda_weights_key (node, "scale and shift");
    BatchNorm norm = { plan, node };

    args->scale = ci_cuda_constant (plan, key, 2 * padded * sizeof (float),
        fill_batch_norm, &norm, error);
    if (!args->scale)
      return FALSE;
    args->shift = args->scale + padded;
  }
  return ci_cuda_cover (plan, step->value, &args->octets, &l->n, error);
}

static gboolean
prepare_weighted_add (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  Launch *l = add_launch (step, CI_KERNEL_weighted_add);
  CiWeightedAddArgs *args = &l->args.weighted_add;
  gint64 n = node->n_srcs;
  g_autofree gfloat *weight = NULL;
  gdouble total = 1e-4;

  if (n > CI_MAX_WEIGHTED) {
    g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
        "a weighted sum of %d maps (at most %d)", node->n_srcs,
        CI_MAX_WEIGHTED);
    return FALSE;
  }
  if (!(weight = ci_plan_tensor (plan, node->name, "", 1, &n, error)))
    return FALSE;
  for (gint k = 0; k < n; k++)
    total += MAX (weight[k], 0);
  for (gint k = 0; k < n; k++) {
    args->src[k] = source (plan, step, k);
    args->weight[k] = MAX (weight[k], 0) / total;
  }
  args->n_srcs = n;
  args->activation = node->activation;
  args->dst = ci_cuda_view (plan, step->value);
  return ci_cuda_cover (plan, step->value, &args->octets, &l->n, error);
}

/* ---- windows ----------------------------------------------------------- */

static gboolean
prepare_max_pool (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  Launch *l = add_launch (step, CI_KERNEL_max_pool);
  CiMaxPoolArgs *args = &l->args.max_pool;
  gboolean global = node->op == CI_OP_GLOBAL_MAX_POOL;

  if (!global && node->padding >= node->kernel) {
    g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
        "max pooling whose padding (%d) is not smaller than its kernel (%d)",
        node->padding, node->kernel);
    return FALSE;
  }
  args->src = source (plan, step, 0);
  args->dst = ci_cuda_view (plan, step->value);
  args->kernel = global ? MAX (args->src.h, args->src.w) : node->kernel;
  args->stride = node->stride;
  args->padding = node->padding;
  return ci_cuda_cover (plan, step->value, &args->octets, &l->n, error);
}

/* Coordinates never change: there is nothing to run. */
static gboolean
prepare_coords (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  CiView map = ci_cuda_view (plan, step->value);
  gint n = ci_cuda_count_images (plan, step->value);
  gsize bytes = n * map.image * plan->element_bytes;
  g_autofree gpointer host = g_malloc0 (bytes);
  gpointer device = map.data;

  map.data = host;
  for (gint i = 0; i < n; i++)
    for (gint y = 0; y < map.h; y++)
      for (gint x = 0; x < map.w; x++) {
        gint64 at = ci_view_at (&map, i, y, x);

        if (node->coord_x)
          ci_store (&map, at++, x * (2.0f / MAX (map.w - 1, 1)) - 1.0f);
        if (node->coord_y)
          ci_store (&map, at, y * (2.0f / MAX (map.h - 1, 1)) - 1.0f);
      }
  return ci_cuda_ok (cudaMemcpy (device, host, bytes, cudaMemcpyHostToDevice),
      "uploading coordinates", error);
}

static gboolean
prepare_resize (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  Launch *l = add_launch (step, CI_KERNEL_upsample);
  CiUpsampleArgs *args = &l->args.upsample;

  args->src = source (plan, step, 0);
  args->dst = ci_cuda_view (plan, step->value);
  args->residual = optional (plan, node->residual);
  args->mode = node->resize_mode;
  args->ys = ci_axis (args->mode, args->src.h, args->dst.h);
  args->xs = ci_axis (args->mode, args->src.w, args->dst.w);
  return ci_cuda_cover (plan, step->value, &args->octets, &l->n, error);
}

/* ---- sums over maps ---------------------------------------------------- */

/* Of the group @lead: all but tensors. */
static void
group_norm_args (CiPlan * plan, CiValue lead, CiGroupNormArgs * args)
{
  const CiNode *node = ci_graph_node (plan->graph, lead);
  CiCanvas same;

  args->dst = ci_cuda_canvas_view (plan, lead, &args->canvas);
  args->src = plan->group[lead] > 1 ?
      ci_cuda_canvas_view (plan, node->srcs[0], &same)
      : ci_cuda_view (plan, node->srcs[0]);
  args->moments = plan->buffers[lead].scratch;
  args->activation = node->activation;
  ci_group_norm_layout (args, node->groups);
}

static gboolean
prepare_group_norm (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  Launch *stats = add_launch (step, CI_KERNEL_group_norm_stats), *norm;
  CiGroupNormArgs *args = &stats->args.group_norm;

  group_norm_args (plan, step->value, args);
  stats->gx = args->first_chunk[args->canvas.n];
  stats->gy = args->slices.slices;
  stats->gz = ci_cuda_count_images (plan, step->value);
  args->gamma = ci_cuda_vector (plan, node->name, ".weight", node->channels,
      error);
  if (!args->gamma || !(args->beta = ci_cuda_vector (plan, node->name,
              ".bias", node->channels, error)))
    return FALSE;
  norm = add_launch (step, CI_KERNEL_group_norm);
  norm->gx = stats->gx + args->gap_chunks;
  norm->gy = stats->gy;
  norm->gz = stats->gz;
  norm->args = stats->args;
  return TRUE;
}

/* Maps up to this many pixels are summed in one launch, by a block for each
 * octet of channels. */
#define SMALL_MAP (16 * CI_SUM_THREADS)

/* A mean in one launch, or in two: the sums of chunks, then of those. */
static gint
global_avg_pool_args (CiPlan * plan, CiValue value, CiSumPixelsArgs args[2])
{
  CiView src = ci_cuda_view (plan,
      ci_graph_node (plan->graph, value)->srcs[0]);
  gint n = src.h * src.w, pixels;

  args[0].src = src;
  args[0].dst = ci_cuda_view (plan, value);
  args[0].by_w = ci_divisor (src.w);
  args[0].slices = ci_slices (&src, n <= SMALL_MAP ? 1 : CI_SLICE_OCTETS);
  args[0].chunk_pixels = n;
  args[0].scale = 1.0f / n;
  if (n <= SMALL_MAP)
    return 1;
  args[1] = args[0];
  args[0].chunk_pixels = pixels = ci_chunk_pixels (&args[0].slices, n);
  args[0].scale = 1.0f;
  args[0].dst.data = plan->buffers[value].scratch;
  args[0].dst.half = FALSE;
  args[0].dst.w = args[0].dst.pitch = (n + pixels - 1) / pixels;
  args[0].dst.image = (gint64) args[0].dst.w * src.cp;
  args[1].src = args[0].dst;
  args[1].by_w = ci_divisor (args[1].src.w);
  args[1].slices = ci_slices (&src, 1);
  args[1].chunk_pixels = args[1].src.w;
  return 2;
}

static gboolean
prepare_global_avg_pool (CiPlan * plan, CiStep * step, GError ** error)
{
  CiSumPixelsArgs args[2];
  gint n = global_avg_pool_args (plan, step->value, args);

  for (gint i = 0; i < n; i++) {
    Launch *l = add_launch (step, CI_KERNEL_sum_pixels);

    l->args.sum_pixels = args[i];
    l->gx = args[i].dst.w;
    l->gy = args[i].slices.slices;
    l->gz = ci_cuda_count_images (plan, step->value);
  }
  return TRUE;
}

/* ---- all of them ------------------------------------------------------- */

gsize
ci_cuda_map_scratch (CiPlan * plan, CiValue value)
{
  gsize n_maps = ci_cuda_count_images (plan, value);

  switch (ci_graph_node (plan->graph, value)->op) {
    case CI_OP_GROUP_NORM:{
      CiGroupNormArgs args = { 0 };

      group_norm_args (plan, value, &args);
      return n_maps * ci_group_norm_n_moments (&args) * sizeof (CiMoments);
    }
    case CI_OP_GLOBAL_AVG_POOL:{
      CiSumPixelsArgs args[2];

      return global_avg_pool_args (plan, value, args) == 1 ? 0
          : n_maps * args[0].dst.image * sizeof (float);
    }
    default:
      return 0;
  }
}

gboolean
ci_cuda_prepare_map (CiPlan * plan, CiStep * step, GError ** error)
{
  switch (step->node->op) {
    case CI_OP_GROUP_NORM:
      return prepare_group_norm (plan, step, error);
    case CI_OP_BATCH_NORM:
    case CI_OP_ACTIVATION:
    case CI_OP_SCALE:
    case CI_OP_ADD:
    case CI_OP_CHANNEL_SCALE:
      return prepare_pointwise (plan, step, error);
    case CI_OP_MAX_POOL:
    case CI_OP_GLOBAL_MAX_POOL:
      return prepare_max_pool (plan, step, error);
    case CI_OP_GLOBAL_AVG_POOL:
      return prepare_global_avg_pool (plan, step, error);
    case CI_OP_CONCAT:
      return prepare_concat (plan, step, error);
    case CI_OP_COORDS:
      return prepare_coords (plan, step, error);
    case CI_OP_WEIGHTED_ADD:
      return prepare_weighted_add (plan, step, error);
    case CI_OP_RESIZE:
      return prepare_resize (plan, step, error);
    default:
      g_return_val_if_reached (FALSE);
  }
}
