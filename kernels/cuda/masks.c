/*
 * masks.c: CondInst's dynamic mask head (SEMANTICS 8 and 9) and BlendMask's
 * blender (SEMANTICS 11).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cuda.h"

/* Blocks that share the tiles of a detection. */
#define MAX_HEAD_BLOCKS 24

/* ---- dynamic mask head -------------------------------------------------- */

static gboolean
run_mask_head (CiPlan * plan, CiStep * step, GError ** error)
{
  CiMaskHeadArgs args = *(const CiMaskHeadArgs *) step->state;
  CiKernel kernel = args.features.c > 16 || args.channels > 8
      ? CI_KERNEL_mask_head_32 : args.features.c > 8 ? CI_KERNEL_mask_head_16
      : CI_KERNEL_mask_head_8;

  args.features = ci_cuda_image_view (plan, args.features);
  return ci_cuda_blocks (plan, kernel, &args, args.detections.capacity,
      args.n_blocks, 1, error);
}

static gboolean
prepare_mask_head (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiMaskHeadParams *mask = &step->node->mask;
  const CiMap *rows = ci_plan_map (plan, step->node->srcs[2]);
  CiView features = ci_cuda_view (plan, step->node->srcs[0]);
  CiMaskHeadArgs *args = g_new0 (CiMaskHeadArgs, 1);

  step->state = args;
  step->free_state = g_free;
  step->run = run_mask_head;
  if (features.c > CI_HEAD_MAX_WIDTH || mask->channels > CI_HEAD_MAX_WIDTH
      || mask->n_layers > CI_HEAD_MAX_LAYERS) {
    g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
        "a mask head of %d features, %d channels and %d layers (at most %d, %d "
        "and %d)", features.c, mask->channels, mask->n_layers,
        CI_HEAD_MAX_WIDTH, CI_HEAD_MAX_WIDTH, CI_HEAD_MAX_LAYERS);
    return FALSE;
  }
  *args = (CiMaskHeadArgs) {
    .features = features,
    .detections = ci_cuda_detections (plan),
    .rows = rows->data,
    .n_params = rows->c,
    .rel_coords = mask->rel_coords,
    .channels = mask->channels,
    .n_layers = mask->n_layers,
    .full_map = mask->full_map,
    .stride = mask->stride,
    .out_stride = mask->out_stride,
    .factor = mask->stride / mask->out_stride,
    /* one more cell than whole tiles is common, see ci_head_cells() */
    .n_blocks = MIN ((features.w / CI_HEAD_TILE + 1)
        * (features.h / CI_HEAD_TILE + 1), MAX_HEAD_BLOCKS),
    .out = ci_cuda_masks (plan),
  };
  memcpy (args->sizes_of_interest, mask->sizes_of_interest,
      sizeof (args->sizes_of_interest));
  return TRUE;
}

/* ---- blender ------------------------------------------------------------ */

static gboolean
run_blend_masks (CiPlan * plan, CiStep * step, GError ** error)
{
  CiBlendMasksArgs args = *(const CiBlendMasksArgs *) step->state;

  args.bases = ci_cuda_image_view (plan, args.bases);
  return ci_cuda_elements (plan, CI_KERNEL_blend_masks, &args,
      (gint64) args.detections.capacity * args.size * args.size, error);
}

gboolean
ci_cuda_prepare_masks (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  CiBlendMasksArgs *args;

  if (node->op == CI_OP_MASK_HEAD)
    return prepare_mask_head (plan, step, error);
  step->state = args = g_new (CiBlendMasksArgs, 1);
  step->free_state = g_free;
  step->run = run_blend_masks;
  *args = (CiBlendMasksArgs) {
    .bases = ci_cuda_view (plan, node->srcs[0]),
    .detections = ci_cuda_detections (plan),
    .rows = ci_plan_map (plan, node->srcs[2])->data,
    .size = node->blend.resolution,
    .side = node->blend.attention_size,
    .scale = 1.0f / node->blend.stride,
    .out = ci_cuda_masks (plan),
  };
  return TRUE;
}
