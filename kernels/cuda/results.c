/*
 * results.c: what a frame gives: lists of detections and grids that kernels
 * fill on the device, and their way to the caller.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cuda.h"

/* Threads enough to fill a bus, not a GPU. */
#define COLLECT_BLOCKS 48

typedef struct _CiCudaResults
{
  CiCollectArgs collect;        /* says where all lies in the block */
  gint capacity;
  gsize mask_bytes;             /* room for cells */
  CiMaskGrid *grids;            /* host; capacity */
  CiDeviceDetections *lists;    /* per value: those that stay on the device */
} CiCudaResults;

/* Grids cut out of maps come as bytes only. */
static gboolean
gives_probabilities (const CiNode * masks)
{
  switch (masks->op) {
    case CI_OP_MASK_HEAD:
      return masks->mask.full_map;
    case CI_OP_ASSEMBLE_MASKS:
      return masks->full_map;
    case CI_OP_SOLO_MASKS:
      return masks->solo.full_map;
    default:
      return TRUE;
  }
}

/* Where all lies in a block; how large that is. */
static gsize
lay_out (const CiPlan * plan, CiCollectArgs * out, gint * capacity,
    gsize * mask_bytes)
{
  static const gint units[CI_N_RESULTS] = {
    [CI_RESULT_COUNT] = sizeof (CiWords),
    [CI_RESULT_BOXES] = 4 * sizeof (float),
    [CI_RESULT_SCORES] = sizeof (float),
    [CI_RESULT_LOCATIONS] = 2 * sizeof (float),
    [CI_RESULT_CLASSES] = sizeof (gint32),
    [CI_RESULT_LEVELS] = sizeof (gint32),
    [CI_RESULT_CELLS] = sizeof (gint32),
    [CI_RESULT_MASK_SCORES] = sizeof (float),
    [CI_RESULT_GRIDS] = sizeof (CiDeviceGrid),
    [CI_RESULT_MASKS] = sizeof (guint8),
    [CI_RESULT_PROB] = sizeof (float),
  };
  const CiNode *masks = plan->masks == CI_NO_VALUE ? NULL
      : ci_graph_node (plan->graph, plan->masks);
  gsize bytes = 0;

  *capacity = 0;
  *mask_bytes = 0;
  if (plan->detections == CI_NO_VALUE)
    return 0;
  *capacity = ci_graph_node (plan->graph, plan->detections)->capacity;
  if (masks)
    *mask_bytes = *capacity
        * (gsize) ci_grid_bytes (1, plan->buffers[plan->masks].grid_size);
  for (gint i = 0; i < CI_N_RESULTS; i++) {
    gsize n = i == CI_RESULT_COUNT ? 1 : i < CI_RESULT_MASKS
        ? (gsize) *capacity : *mask_bytes;

    out->at[i] = bytes;
    out->unit[i] = units[i];
    if ((i == CI_RESULT_MASK_SCORES && plan->rescored == CI_NO_VALUE)
        || (i >= CI_RESULT_GRIDS && !masks)
        || (i == CI_RESULT_PROB && masks && !gives_probabilities (masks)))
      out->unit[i] = 0;
    bytes += ci_cuda_align (n * out->unit[i]);
  }
  return bytes;
}

gsize
ci_cuda_results_bytes (const CiPlan * plan)
{
  CiCollectArgs args;
  gsize mask_bytes;
  gint capacity;

  return lay_out (plan, &args, &capacity, &mask_bytes);
}

/* Lists that are but read by later steps. */
static gboolean
alloc_lists (CiPlan * plan, CiCudaResults * r, GError ** error)
{
  gint n = plan->graph->nodes->len;

  if (!(r->lists = ci_plan_alloc (plan, n * sizeof (*r->lists), error)))
    return FALSE;
  for (gint i = 0; i < n; i++) {
    const CiNode *node = ci_graph_node (plan->graph, i);
    gsize capacity = ci_cuda_align (node->capacity);
    float *p;

    if (node->kind != CI_KIND_DETECTIONS || i == plan->detections)
      continue;
    /* the count has a place like the others */
    if (!(p = ci_cuda_plan_alloc (plan, 11 * capacity * sizeof (float),
                error)))
      return FALSE;
    r->lists[i] = (CiDeviceDetections) {
      .capacity = node->capacity,
      .boxes = p,
      .scores = p + 4 * capacity,
      .locations = p + 5 * capacity,
      .classes = (gint32 *) (p + 7 * capacity),
      .levels = (gint32 *) (p + 8 * capacity),
      .cells = (gint32 *) (p + 9 * capacity),
      .count = (gint32 *) (p + 10 * capacity),
    };
  }
  return TRUE;
}

gboolean
ci_cuda_prepare_results (CiPlan * plan, GError ** error)
{
  CiCudaPlan *cuda = ci_cuda_plan (plan);
  CiCudaResults *r;
  gsize bytes;

  if (cuda->results)
    return TRUE;
  if (!(r = ci_plan_alloc (plan, sizeof (CiCudaResults), error)))
    return FALSE;
  bytes = lay_out (plan, &r->collect, &r->capacity, &r->mask_bytes);
  r->collect.n_blocks = COLLECT_BLOCKS;
  if (bytes && (!(r->collect.block = ci_cuda_plan_alloc (plan, bytes, error))
          || !(r->grids = ci_plan_alloc (plan, r->capacity
                  * sizeof (CiMaskGrid), error)) || !alloc_lists (plan, r,
              error)))
    return FALSE;
  cuda->results = r;
  return TRUE;
}

/* Part @index of the block at @block, or NULL. */
static gpointer
part (const CiCudaResults * r, gconstpointer block, gint index)
{
  return r->collect.unit[index] ? (guint8 *) block + r->collect.at[index]
      : NULL;
}

static CiDeviceDetections
detections_in (const CiCudaResults * r, gconstpointer block)
{
  return (CiDeviceDetections) {
    .capacity = r->capacity,
    .count = part (r, block, CI_RESULT_COUNT),
    .boxes = part (r, block, CI_RESULT_BOXES),
    .scores = part (r, block, CI_RESULT_SCORES),
    .locations = part (r, block, CI_RESULT_LOCATIONS),
    .classes = part (r, block, CI_RESULT_CLASSES),
    .levels = part (r, block, CI_RESULT_LEVELS),
    .cells = part (r, block, CI_RESULT_CELLS),
    .mask_scores = part (r, block, CI_RESULT_MASK_SCORES),
  };
}

static CiDeviceMasks
masks_in (const CiCudaResults * r, gconstpointer block)
{
  return (CiDeviceMasks) {
    .grids = part (r, block, CI_RESULT_GRIDS),
    .cells = part (r, block, CI_RESULT_MASKS),
    .prob = part (r, block, CI_RESULT_PROB),
  };
}

CiDeviceDetections
ci_cuda_detections (const CiPlan * plan)
{
  const CiCudaResults *r = ci_cuda_plan (plan)->results;

  return detections_in (r, r->collect.block);
}

CiDeviceDetections
ci_cuda_list (const CiPlan * plan, CiValue value)
{
  return value == plan->detections ? ci_cuda_detections (plan)
      : ci_cuda_plan (plan)->results->lists[value];
}

gint
ci_cuda_count (const CiPlan * plan, CiValue value)
{
  const CiCudaPlan *cuda = ci_cuda_plan (plan);
  CiDeviceDetections list = ci_cuda_list (plan, value);
  gint32 count = 0;
  cudaError_t status;

  if (!ci_cuda_enter (cuda->device, NULL))
    return 0;
  status = cudaMemcpyAsync (&count, list.count, sizeof (count),
      cudaMemcpyDeviceToHost, cuda->stream);
  if (status == cudaSuccess)
    status = cudaStreamSynchronize (cuda->stream);
  ci_cuda_leave (cuda->device);
  return status == cudaSuccess ? CLAMP (count, 0, list.capacity) : 0;
}

CiDeviceMasks
ci_cuda_masks (const CiPlan * plan)
{
  const CiCudaResults *r = ci_cuda_plan (plan)->results;

  return masks_in (r, r->collect.block);
}

gboolean
ci_cuda_enqueue_results (CiPlan * plan, GError ** error)
{
  CiCudaPlan *cuda = ci_cuda_plan (plan);
  CiCollectArgs *args = &cuda->results->collect;

  args->settings = cuda->settings;
  return !args->block || ci_cuda_blocks (plan, CI_KERNEL_collect, args,
      args->n_blocks, 1, 1, error);
}

gboolean
ci_cuda_read_results (CiPlan * plan, gconstpointer pinned, GError ** error)
{
  const CiCudaResults *r = ci_cuda_plan (plan)->results;
  CiDeviceDetections d;
  CiDeviceMasks m;

  plan->found = (CiDetections) {
  0};
  plan->found_grids = NULL;
  if (!r->collect.block)
    return TRUE;
  d = detections_in (r, pinned);
  m = masks_in (r, pinned);
  if (*d.count < 0 || *d.count > r->capacity) {
    g_set_error (error, CI_ERROR, CI_ERROR_BACKEND,
        "the GPU found %d detections, where %d have room", *d.count,
        r->capacity);
    return FALSE;
  }
  for (gint i = 0; m.grids && i < *d.count; i++) {
    const CiDeviceGrid *g = &m.grids[i];

    if (g->width < 0 || g->height < 0 || g->offset < 0
        || (guint64) g->offset + (guint64) g->width * g->height
        > r->mask_bytes) {
      g_set_error (error, CI_ERROR, CI_ERROR_BACKEND,
          "the GPU's mask %d, %dx%d cells, has no room", i, g->width,
          g->height);
      return FALSE;
    }
    r->grids[i] = (CiMaskGrid) {
      .x = g->x,
      .y = g->y,
      .width = g->width,
      .height = g->height,
      .prob = m.prob ? m.prob + g->offset : NULL,
      .cells = m.cells + g->offset,
    };
    ci_plan_place_grid (plan, &r->grids[i]);
    /* those that have no place of their own divide the boxes */
    r->grids[i].in_box = r->grids[i].scale_x == 0;
  }
  plan->found = (CiDetections) {
  *d.count, d.boxes, d.scores, d.classes, d.levels, d.cells, d.locations,
        d.mask_scores};
  plan->found_grids = m.grids ? r->grids : NULL;
  return TRUE;
}
