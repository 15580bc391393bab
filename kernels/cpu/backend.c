/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cpu.h"

static gboolean
prepare (CiPlan * plan, CiStep * step, GError ** error)
{
  switch (step->node->op) {
    case CI_OP_INPUT:
      return ci_cpu_prepare_pack (plan, step, error);
    case CI_OP_CONV:
      if (ci_cpu_winograd_pays (plan, step->value))
        return ci_cpu_prepare_winograd (plan, step, error);
      return step->node->items ? ci_cpu_prepare_gemm (plan, step, error)
          : ci_cpu_prepare_conv (plan, step, error);
    case CI_OP_DECONV:
      return ci_cpu_prepare_gemm (plan, step, error);
    case CI_OP_GROUP_NORM:
      return ci_cpu_prepare_group_norm (plan, step, error);
    case CI_OP_BATCH_NORM:
    case CI_OP_ACTIVATION:
    case CI_OP_SCALE:
    case CI_OP_ADD:
      return ci_cpu_prepare_affine (plan, step, error);
    case CI_OP_MAX_POOL:
      return ci_cpu_prepare_max_pool (plan, step, error);
    case CI_OP_GLOBAL_AVG_POOL:
      return ci_cpu_prepare_global_avg_pool (plan, step, error);
    case CI_OP_GLOBAL_MAX_POOL:
      return ci_cpu_prepare_global_max_pool (plan, step, error);
    case CI_OP_CHANNEL_SCALE:
      return ci_cpu_prepare_channel_scale (plan, step, error);
    case CI_OP_CONCAT:
      return ci_cpu_prepare_concat (plan, step, error);
    case CI_OP_COORDS:
      return ci_cpu_prepare_coords (plan, step, error);
    case CI_OP_WEIGHTED_ADD:
      return ci_cpu_prepare_weighted_add (plan, step, error);
    case CI_OP_DEFORM_CONV:
      return ci_cpu_prepare_deform_conv (plan, step, error);
    case CI_OP_RESIZE:
      return ci_cpu_prepare_resize (plan, step, error);
    case CI_OP_FCOS_DETECT:
      return ci_cpu_prepare_fcos_detect (plan, step, error);
    case CI_OP_RPN:
      return ci_cpu_prepare_rpn (plan, step, error);
    case CI_OP_BOX_DETECT:
      return ci_cpu_prepare_box_detect (plan, step, error);
    case CI_OP_MULTIBOX_DETECT:
      return ci_cpu_prepare_multibox_detect (plan, step, error);
    case CI_OP_GATHER:
      return ci_cpu_prepare_gather (plan, step, error);
    case CI_OP_CONV_AT:
      return ci_cpu_prepare_conv_at (plan, step, error);
    case CI_OP_ROI_ALIGN:
      return ci_cpu_prepare_roi_align (plan, step, error);
    case CI_OP_MASK_HEAD:
      return ci_cpu_prepare_mask_head (plan, step, error);
    case CI_OP_BLEND_MASKS:
      return ci_cpu_prepare_blend_masks (plan, step, error);
    case CI_OP_ASSEMBLE_MASKS:
    case CI_OP_ASSEMBLE_ITEMS:
      return ci_cpu_prepare_assemble (plan, step, error);
    case CI_OP_RESCORE:
      return ci_cpu_prepare_rescore (plan, step, error);
    case CI_OP_SOLO_DETECT:
      return ci_cpu_prepare_solo_detect (plan, step, error);
    case CI_OP_SOLO_MASKS:
      return ci_cpu_prepare_solo_masks (plan, step, error);
    case CI_OP_CLASS_MASKS:
      return ci_cpu_prepare_class_masks (plan, step, error);
    case CI_OP_POINT_REND:
      return ci_cpu_prepare_point_rend (plan, step, error);
    case CI_OP_NONE:
      break;
  }
  g_return_val_if_reached (FALSE);
}

static gboolean
share (const CiNode * a, const CiNode * b)
{
  return a->op == CI_OP_CONV && ci_plan_same_weights (a, b);
}

/* Of convolutions, all tasks of a step run side by side. */
static gboolean
join (CiPlan * plan, CiValue a, CiValue b)
{
  gboolean winograd;

  if (ci_graph_node (plan->graph, a)->op != CI_OP_CONV
      || ci_graph_node (plan->graph, b)->op != CI_OP_CONV)
    return FALSE;
  winograd = ci_cpu_winograd_pays (plan, a);
  return winograd == ci_cpu_winograd_pays (plan, b)
      && (!winograd || ci_cpu_winograd_join (plan, a, b));
}

static gsize
scratch (CiPlan * plan, CiValue value)
{
  const CiNode *node = ci_graph_node (plan->graph, value);

  switch (node->op) {
    case CI_OP_CONV:
      if (ci_cpu_winograd_pays (plan, value))
        return ci_cpu_winograd_scratch (plan, value);
      return node->items ? ci_cpu_gemm_scratch (plan) : 0;
    case CI_OP_DECONV:
      return ci_cpu_gemm_scratch (plan);
    case CI_OP_DEFORM_CONV:
      return ci_cpu_deform_conv_scratch (plan, value);
    default:
      return 0;
  }
}

const CiBackendFuncs ci_backend_cpu = { CI_BLOCK, share, join, prepare, scratch,
  ci_dnnl_begin, ci_dnnl_end
};
