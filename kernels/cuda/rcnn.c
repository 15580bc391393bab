/*
 * rcnn.c: what two-stage detectors decide: region proposals, the detections of
 * a box head, masks of a class (SEMANTICS-maskrcnn).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cuda.h"

/* ---- region proposals -------------------------------------------------- */

static gboolean
run_rpn (CiPlan * plan, CiStep * step, GError ** error)
{
  CiRpnArgs args = *(const CiRpnArgs *) step->state;
  gint64 n = (gint64) args.n_levels * args.top_n;

  args.settings = ci_cuda_plan (plan)->settings;
  for (gint l = 0; l < args.n_levels; l++) {
    CiRpnMaps *level = &args.level[l];

    level->logits = ci_cuda_image_view (plan, level->logits);
    level->deltas = ci_cuda_image_view (plan, level->deltas);
  }
  return ci_cuda_elements (plan, CI_KERNEL_rpn_keys, &args, args.n_all, error)
      && ci_cuda_blocks (plan, CI_KERNEL_rpn_select, &args, args.n_levels, 1,
      1, error)
      && ci_cuda_elements (plan, CI_KERNEL_rpn_boxes, &args, n, error)
      && ci_cuda_elements (plan, CI_KERNEL_rpn_overlaps, &args,
      n * args.words, error)
      && ci_cuda_blocks (plan, CI_KERNEL_rpn_nms, &args, args.n_levels, 1, 1,
      error)
      && ci_cuda_elements (plan, CI_KERNEL_rpn_merge, &args, n, error);
}

static void
set_level (CiPlan * plan, const CiNode * node, gint index, CiRpnMaps * out)
{
  const CiRpnParams *params = &node->rpn;

  out->logits = ci_cuda_view (plan, node->srcs[2 * index]);
  out->deltas = ci_cuda_view (plan, node->srcs[2 * index + 1]);
  out->step_x = out->step_y = node->strides[index];
  if (params->rounded_anchors) {
    out->step_x = plan->width / out->logits.w;
    out->step_y = plan->height / out->logits.h;
  }
  for (gint a = 0; a < params->n_ratios; a++)
    for (gint k = 0; k < 2; k++) {
      gdouble root = sqrt (params->ratios[a]);
      gfloat half = node->anchor_sizes[index] * (k ? root : 1 / root) / 2;

      out->half[a][k] = params->rounded_anchors ? rintf (half) : half;
    }
}

gboolean
ci_cuda_prepare_rpn (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const CiRpnParams *params = &node->rpn;
  CiRpnArgs *args = g_new0 (CiRpnArgs, 1);
  guint64 n_all = 0;
  gsize n_top = (gsize) node->n_levels * params->pre_nms_top_n;
  gpointer parts[7];

  step->state = args;
  step->free_state = g_free;
  step->run = run_rpn;
  *args = (CiRpnArgs) {
    .n_levels = node->n_levels,
    .n_anchors = params->n_ratios,
    .top_n = params->pre_nms_top_n,
    .words = (params->pre_nms_top_n + 31) / 32,
    .nms_threshold = params->nms_threshold,
    .min_size = params->min_size,
    .inclusive = params->min_size_inclusive,
  };
  for (gint l = 0; l < node->n_levels; l++) {
    CiRpnMaps *level = &args->level[l];

    set_level (plan, node, l, level);
    level->first = n_all;
    n_all += (guint64) level->logits.h * level->logits.w * params->n_ratios;
  }
  args->n_all = n_all;
  G_STATIC_ASSERT (CI_RPN_MAX_TOP_N <= CI_MAX_PRE_NMS);
  /* numbers have 32 bits */
  if (n_all >= G_MAXUINT32) {
    g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
        "%" G_GUINT64_FORMAT " anchors (at most %u)", n_all, G_MAXUINT32);
    return FALSE;
  }
  if (!ci_cuda_prepare_results (plan, error)
      || !ci_cuda_plan_alloc_parts (plan, (gsize[]) {
          n_all * sizeof (CiKey), n_top * sizeof (CiKey), n_top
          * sizeof (CiBox), n_top * args->words * sizeof (guint32),
          CI_MAX_LEVELS * sizeof (guint32), n_top * sizeof (CiKey), n_top
          * sizeof (CiBox)}, parts, G_N_ELEMENTS (parts), error))
    return FALSE;
  args->keys = parts[0];
  args->top = parts[1];
  args->boxes = parts[2];
  args->overlaps = parts[3];
  args->n_kept = parts[4];
  args->kept = parts[5];
  args->kept_boxes = parts[6];
  args->out = ci_cuda_list (plan, step->value);
  return TRUE;
}

/* ---- the box head ------------------------------------------------------ */

static gboolean
run_box_detect (CiPlan * plan, CiStep * step, GError ** error)
{
  CiBoxHeadArgs args = *(const CiBoxHeadArgs *) step->state;
  gint64 n = args.detect.proposals.capacity;

  args.detect.settings = ci_cuda_plan (plan)->settings;
  return ci_cuda_elements (plan, CI_KERNEL_box_softmax, &args, n, error)
      && ci_cuda_elements (plan, CI_KERNEL_box_candidates, &args,
      n * args.detect.n_classes, error)
      && ci_cuda_blocks (plan, CI_KERNEL_select, &args.detect, 1, 1, 1, error)
      && ci_cuda_elements (plan, CI_KERNEL_box_boxes, &args, CI_MAX_PRE_NMS,
      error)
      && ci_cuda_blocks (plan, CI_KERNEL_nms, &args.detect, 1, 1, 1, error);
}

gboolean
ci_cuda_prepare_box_detect (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const CiBoxDetectParams *params = &node->box_detect;
  gsize n = ci_graph_node (plan->graph, node->srcs[0])->capacity;
  CiBoxHeadArgs *args = g_new0 (CiBoxHeadArgs, 1);
  CiDetectArgs *detect = &args->detect;
  gpointer parts[2];

  step->state = args;
  step->free_state = g_free;
  step->run = run_box_detect;
  if (node->channels > CI_MAX_CLASSES) {
    g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
        "%d classes (at most %d)", node->channels, CI_MAX_CLASSES);
    return FALSE;
  }
  detect->n_levels = 1;
  detect->n_classes = node->channels;
  if (!ci_cuda_prepare_results (plan, error)
      || !ci_cuda_alloc_lists (plan, detect, n * node->channels, error)
      || !ci_cuda_plan_alloc_parts (plan, (gsize[]) {
          n * sizeof (float), n * sizeof (float)}, parts, 2, error))
    return FALSE;
  detect->proposals = ci_cuda_list (plan, node->srcs[0]);
  detect->out = ci_cuda_list (plan, step->value);
  args->logits = ci_cuda_view (plan, node->srcs[1]);
  args->deltas = ci_cuda_view (plan, node->srcs[2]);
  args->n_boxes = args->deltas.c / 4;
  args->first = params->background_first ? 1 : 0;
  memcpy (args->weights, params->weights, sizeof (args->weights));
  args->min_size = params->min_size;
  args->inclusive = params->min_size_inclusive;
  args->tops = parts[0];
  args->sums = parts[1];
  return TRUE;
}

/* ---- masks of a class -------------------------------------------------- */

static gboolean
run_class_masks (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiClassMasksArgs *args = step->state;

  return ci_cuda_elements (plan, CI_KERNEL_class_masks, args,
      (gint64) args->detections.capacity * args->src.h * args->src.w, error);
}

typedef struct
{
  CiPlan *plan;
  const CiNode *node;
  gint in, in_pitch;
  gsize bias_at;                /* bytes */
} Weights;

static gboolean
fill_weights (gpointer host, gpointer data, GError ** error)
{
  const Weights *w = data;
  g_autofree gfloat *weight = NULL, *bias = NULL;
  gfloat *rows = host;

  if (!ci_plan_fold_conv (w->plan, w->node, &weight, &bias, error))
    return FALSE;
  memcpy ((guint8 *) host + w->bias_at, bias, w->node->channels
      * sizeof (gfloat));
  for (gint o = 0; o < w->node->channels; o++)
    memcpy (rows + (gsize) o * w->in_pitch, weight + (gsize) o * w->in,
        w->in * sizeof (gfloat));
  return TRUE;
}

gboolean
ci_cuda_prepare_class_masks (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  CiClassMasksArgs *args = g_new0 (CiClassMasksArgs, 1);
  CiView src = ci_cuda_view (plan, node->srcs[0]);
  Weights w = { plan, node, src.c, src.cp };
  g_autofree gchar *key = ci_cuda_weights_key (node, "classes");
  const guint8 *constant;

  step->state = args;
  step->free_state = g_free;
  step->run = run_class_masks;
  w.bias_at = ci_cuda_align ((gsize) node->channels * src.cp
      * sizeof (gfloat));
  constant = ci_cuda_constant (plan, key, w.bias_at + node->channels
      * sizeof (gfloat), fill_weights, &w, error);
  if (!constant)
    return FALSE;
  *args = (CiClassMasksArgs) {
    .src = src,
    .detections = ci_cuda_detections (plan),
    .weight = (const float *) constant,
    .bias = (const float *) (constant + w.bias_at),
    .n_channels = node->channels,
    .first = node->first_channel,
    .out = ci_cuda_masks (plan),
  };
  return TRUE;
}
