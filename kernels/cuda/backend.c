/*
 * backend.c: plans on a GPU: which levels share a canvas, how maps are seen,
 * and which step does what.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cuda.h"

/* ---- groups and canvases ----------------------------------------------- */

/* The levels of a pyramid go through one convolution, also if each has a scale
 * of its own, which is applied behind it, and through one normalisation. */
static gboolean
share (const CiNode * a, const CiNode * b)
{
  CiNode like_a = *b;

  if (a->op == CI_OP_GROUP_NORM)
    return g_str_equal (a->name, b->name) && a->groups == b->groups
        && a->activation == b->activation;
  like_a.scale_name = a->scale_name;
  return a->op == CI_OP_CONV && a->groups == 1 && a->stride == 1
      && a->kernel <= 3 && a->padding == a->kernel / 2
      && ci_plan_same_weights (a, &like_a);
}

static void
dissolve (CiPlan * plan, CiValue lead)
{
  CiValue value = lead, next;

  for (gint i = plan->group[lead]; i > 0; i--, value = next) {
    next = ci_plan_next (plan, value);
    plan->lead[value] = value;
    plan->group[value] = 1;
  }
}

/* Shelves as wide as the widest map, a row and a column apart. */
static gboolean
place_shelves (CiPlan * plan, CiValue lead)
{
  gint width = 0, x = 0, y = 0, height = 0;
  CiValue value = lead;

  if (plan->group[lead] > CI_MAX_RECTS)
    return FALSE;
  for (gint i = 0; i < plan->group[lead]; i++) {
    width = MAX (width, ci_plan_map (plan, value)->w);
    value = ci_plan_next (plan, value);
  }
  value = lead;
  for (gint i = 0; i < plan->group[lead]; i++) {
    const CiMap *map = ci_plan_map (plan, value);

    if (x + map->w > width) {
      x = 0;
      y += height + 1;
      height = 0;
    }
    plan->place[value] = (CiPlace) {
    0, width, y, x};
    x += map->w + 1;
    height = MAX (height, map->h);
    value = ci_plan_next (plan, value);
  }
  for (gint i = 0; i < plan->group[lead]; i++) {
    plan->place[value = i ? ci_plan_next (plan, value) : lead].h = y + height;
  }
  return TRUE;
}

/* Whether the sources of a group are the members of another one, in order. */
static gboolean
follows_canvas (const CiPlan * plan, CiValue lead)
{
  CiValue value = lead;
  CiValue src = ci_graph_node (plan->graph, lead)->srcs[0];

  if (!plan->place[src].h || plan->lead[src] != src
      || plan->group[src] != plan->group[lead])
    return FALSE;
  for (gint i = 0; i < plan->group[lead]; i++) {
    if (ci_graph_node (plan->graph, value)->srcs[0] != src)
      return FALSE;
    value = ci_plan_next (plan, value);
    src = ci_plan_next (plan, src);
  }
  return TRUE;
}

static void
arrange (CiPlan * plan)
{
  for (guint i = 0; i < plan->graph->nodes->len; i++) {
    const CiNode *node = ci_graph_node (plan->graph, i);

    if (plan->lead[i] != (CiValue) i || plan->group[i] < 2)
      continue;
    if (node->op == CI_OP_GROUP_NORM && !follows_canvas (plan, i))
      dissolve (plan, i);
    else if (!place_shelves (plan, i))
      dissolve (plan, i);
  }
}

/* ---- views ------------------------------------------------------------- */

CiView
ci_cuda_view (const CiPlan * plan, CiValue value)
{
  const CiCudaPlan *cuda = ci_cuda_plan (plan);
  const CiMap *map = &plan->buffers[value].map;
  const CiPlace *place = &plan->place[value];
  gint rows = place->h ? place->h : map->h;

  return (CiView) {
  map->data, map->h, map->w, map->c, map->block, map->pitch, cuda->half,
        (gint64) rows *map->pitch * map->block};
}

CiView
ci_cuda_canvas_view (const CiPlan * plan, CiValue lead, CiCanvas * canvas)
{
  CiView view = ci_cuda_view (plan, lead);
  const CiPlace *place = &plan->place[lead];
  CiValue value = lead;

  *canvas = (CiCanvas) {
    1, {
      {
  0, 0, view.h, view.w}}};
  if (!place->h)
    return view;
  canvas->n = plan->group[lead];
  for (gint i = 0; i < canvas->n; i++) {
    const CiMap *map = &plan->buffers[value].map;

    canvas->rect[i] = (CiRect) {
    plan->place[value].y, plan->place[value].x, map->h, map->w};
    value = ci_plan_next (plan, value);
  }
  view.h = place->h;
  view.w = place->w;
  return view;
}

CiView
ci_cuda_image_view (const CiPlan * plan, CiView view)
{
  view.data = (guint8 *) view.data + ci_cuda_plan (plan)->image * view.image
      * plan->element_bytes;
  return view;
}

gint
ci_cuda_count_images (const CiPlan * plan, CiValue value)
{
  return ci_graph_node (plan->graph, value)->items ?
      plan->buffers[value].map.items : plan->batch;
}

gboolean
ci_cuda_is_dense (const CiPlan * plan, CiValue value)
{
  return plan->place[value].h == 0;
}

gboolean
ci_cuda_is_canvas_of (const CiPlan * plan, CiValue lead)
{
  return plan->place[lead].h != 0 && follows_canvas (plan, lead);
}

/* ---- launches ---------------------------------------------------------- */

static gboolean
launched (cudaError_t status, CiKernel kernel, GError ** error)
{
  g_autofree gchar *what = NULL;

  if (G_LIKELY (status == cudaSuccess))
    return TRUE;
  what = g_strconcat ("kernel ", ci_cuda_kernel_name (kernel), NULL);
  return ci_cuda_ok (status, what, error);
}

gboolean
ci_cuda_elements (CiPlan * plan, CiKernel kernel, gconstpointer args, gint64 n,
    GError ** error)
{
  return launched (ci_cuda_launch_elements (kernel, args, n,
          ci_cuda_plan (plan)->stream), kernel, error);
}

gboolean
ci_cuda_blocks (CiPlan * plan, CiKernel kernel, gconstpointer args, gint gx,
    gint gy, gint gz, GError ** error)
{
  return launched (ci_cuda_launch_blocks (kernel, args, gx, gy, gz,
          ci_cuda_plan (plan)->stream), kernel, error);
}

/* ---- the backend ------------------------------------------------------- */

static gboolean
prepare (CiPlan * plan, CiStep * step, GError ** error)
{
  switch (step->node->op) {
    case CI_OP_INPUT:
      return ci_cuda_prepare_input (plan, step, error);
    case CI_OP_CONV:
      return ci_cuda_prepare_conv (plan, step, error);
    case CI_OP_DECONV:
      return ci_cuda_prepare_deconv (plan, step, error);
    case CI_OP_DEFORM_CONV:
      return ci_cuda_prepare_deform_conv (plan, step, error);
    case CI_OP_ROI_ALIGN:
      return ci_cuda_prepare_roi_align (plan, step, error);
    case CI_OP_FCOS_DETECT:
      return ci_cuda_prepare_detect (plan, step, error);
    case CI_OP_MULTIBOX_DETECT:
      return ci_cuda_prepare_multibox_detect (plan, step, error);
    case CI_OP_GATHER:
      return ci_cuda_prepare_gather (plan, step, error);
    case CI_OP_RPN:
      return ci_cuda_prepare_rpn (plan, step, error);
    case CI_OP_BOX_DETECT:
      return ci_cuda_prepare_box_detect (plan, step, error);
    case CI_OP_CLASS_MASKS:
      return ci_cuda_prepare_class_masks (plan, step, error);
    case CI_OP_POINT_REND:
      return ci_cuda_prepare_point_rend (plan, step, error);
    case CI_OP_CONV_AT:
      return ci_cuda_prepare_conv_at (plan, step, error);
    case CI_OP_SOLO_DETECT:
      return ci_cuda_prepare_solo_detect (plan, step, error);
    case CI_OP_SOLO_MASKS:
      return ci_cuda_prepare_solo_masks (plan, step, error);
    case CI_OP_MASK_HEAD:
    case CI_OP_BLEND_MASKS:
      return ci_cuda_prepare_masks (plan, step, error);
    case CI_OP_ASSEMBLE_MASKS:
    case CI_OP_ASSEMBLE_ITEMS:
      return ci_cuda_prepare_assemble (plan, step, error);
    case CI_OP_RESCORE:
      return ci_cuda_prepare_rescore (plan, step, error);
    default:
      return ci_cuda_prepare_map (plan, step, error);
  }
}

static gsize
scratch (CiPlan * plan, CiValue value)
{
  switch (ci_graph_node (plan->graph, value)->op) {
    case CI_OP_CONV:
      return ci_cuda_conv_scratch (plan, value);
    case CI_OP_DECONV:
      return ci_cuda_deconv_scratch (plan, value);
    case CI_OP_DEFORM_CONV:
      return ci_cuda_deform_conv_scratch (plan, value);
    default:
      return ci_cuda_map_scratch (plan, value);
  }
}

static void
unlock (CiCudaPlan * cuda)
{
  if (cuda->locked) {
    cuda->locked = FALSE;
    ci_cuda_leave (cuda->device);
    g_mutex_unlock (&cuda->device->lock);
  }
}

static gboolean
open_plan (CiPlan * plan, const CiPlanOptions * options, GError ** error)
{
  CiCudaPlan *cuda = g_new0 (CiCudaPlan, 1);

  plan->device = cuda;
  cuda->device = options->device->native;
  cuda->half = options->precision == CI_PRECISION_FP16;
  cuda->batch = plan->batch;
  cuda->memory = g_ptr_array_new ();
  cuda->constants = g_ptr_array_new ();
  plan->element_bytes = cuda->half ? sizeof (CiHalf) : sizeof (float);

  g_mutex_lock (&cuda->device->lock);
  if (!ci_cuda_enter (cuda->device, error)) {
    g_mutex_unlock (&cuda->device->lock);
    return FALSE;
  }
  cuda->locked = TRUE;
  return ci_cuda_ok (cudaStreamCreateWithFlags (&cuda->stream,
          cudaStreamNonBlocking), "cudaStreamCreate", error);
}

static void
close_plan (CiPlan * plan)
{
  CiCudaPlan *cuda = ci_cuda_plan (plan);
  CiCudaDevice *device;
  gboolean entered;

  if (!cuda)
    return;
  device = cuda->device;
  unlock (cuda);
  g_mutex_lock (&device->lock);
  /* where the context is gone, so is what was in it */
  entered = ci_cuda_enter (device, NULL);
  if (entered && cuda->stream)
    cudaStreamSynchronize (cuda->stream);
  ci_cuda_frames_close (plan);
  for (guint i = 0; i < cuda->memory->len; i++)
    ci_cuda_free (device, g_ptr_array_index (cuda->memory, i));
  for (guint i = 0; i < cuda->constants->len; i++)
    ci_cuda_constant_unref (device, g_ptr_array_index (cuda->constants, i));
  if (entered && cuda->stream)
    cudaStreamDestroy (cuda->stream);
  if (entered)
    ci_cuda_leave (device);
  g_mutex_unlock (&device->lock);
  g_ptr_array_unref (cuda->memory);
  g_ptr_array_unref (cuda->constants);
  g_free (cuda);
}

/* The input of ci_plan_run(), and all that waits for results. */
static gboolean
finish (CiPlan * plan, GError ** error)
{
  CiCudaPlan *cuda = ci_cuda_plan (plan);
  gboolean ok = ci_cuda_prepare_results (plan, error)
      /* weights came by another stream */
      && ci_cuda_ok (cudaDeviceSynchronize (), "preparing a plan", error)
      && ci_cuda_frames_open (plan, error);

  unlock (cuda);
  return ok;
}

static gboolean
read_value (const CiPlan * plan, CiValue value, gfloat * nchw)
{
  const CiCudaPlan *cuda = ci_cuda_plan (plan);
  const CiMap *map = &plan->buffers[value].map;
  gsize pixels = (gsize) map->h * map->w;
  const CiNode *node = ci_graph_node (plan->graph, value);
  CiView view = ci_cuda_view (plan, value);
  gint n = ci_plan_count_items (plan, node);
  g_autofree guint8 *host = NULL;
  cudaError_t status;
  gsize bytes;

  if (node->kind == CI_KIND_ROWS)
    bytes = (gsize) map->c * map->h * sizeof (gfloat);
  else if (node->items)
    bytes = n * view.image * plan->element_bytes;
  else                          /* a part ends before its canvas does */
    bytes = (((gsize) view.h - 1) * view.pitch + view.w) * view.cp
        * plan->element_bytes;
  if (!bytes)
    return TRUE;
  host = g_try_malloc (bytes);
  if (!host || !ci_cuda_enter (cuda->device, NULL))
    return FALSE;
  status = cudaMemcpyAsync (host, map->data, bytes, cudaMemcpyDeviceToHost,
      cuda->stream);
  if (status == cudaSuccess)
    status = cudaStreamSynchronize (cuda->stream);
  ci_cuda_leave (cuda->device);
  if (status != cudaSuccess)
    return FALSE;
  if (node->kind == CI_KIND_ROWS) {
    memcpy (nchw, host, bytes);
    return TRUE;
  }
  view.data = host;
  for (gint i = 0; i < n; i++, nchw += view.c * pixels)
    for (gint y = 0; y < view.h; y++)
      for (gint x = 0; x < view.w; x++)
        for (gint c = 0; c < view.c; c++)
          nchw[c * pixels + y * view.w + x] =
              ci_load (&view, ci_view_at (&view, i, y, x) + c);
  return TRUE;
}

const CiBackendFuncs ci_backend_cuda = {
  .share = share,
  .prepare = prepare,
  .scratch = scratch,
  .open = open_plan,
  .close = close_plan,
  .arrange = arrange,
  .alloc = ci_cuda_plan_alloc,
  .finish = finish,
  .submit = ci_cuda_submit,
  .collect = ci_cuda_collect,
  .read = read_value,
  .count = ci_cuda_count,
};
