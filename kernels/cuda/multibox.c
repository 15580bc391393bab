/*
 * multibox.c: detections of heads with priors, what else these say of them,
 * and masks of prototypes (SEMANTICS-yolact).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cuda.h"

G_STATIC_ASSERT ((gint) CI_NMS_GREEDY == CI_HOW_GREEDY
    && (gint) CI_NMS_FAST == CI_HOW_FAST
    && (gint) CI_NMS_FAST_CROSS_CLASS == CI_HOW_FAST_CROSS_CLASS
    && CI_MAX_PRIORS == CI_CELL_PRIORS);

/* ---- detection ---------------------------------------------------------- */

static gboolean
run_multibox (CiPlan * plan, CiStep * step, GError ** error)
{
  CiMultiboxArgs args = *(const CiMultiboxArgs *) step->state;

  args.settings = ci_cuda_plan (plan)->settings;
  for (gint l = 0; l < args.n_levels; l++) {
    args.level[l].loc = ci_cuda_image_view (plan, args.level[l].loc);
    args.level[l].conf = ci_cuda_image_view (plan, args.level[l].conf);
  }
  return ci_cuda_elements (plan, CI_KERNEL_multibox_candidates, &args,
      args.n_priors, error)
      && ci_cuda_blocks (plan, CI_KERNEL_multibox_class, &args,
      args.n_classes, 1, 1, error)
      && ci_cuda_blocks (plan, CI_KERNEL_multibox_merge, &args, 1, 1, 1,
      error);
}

/* All lists in one allocation; counts begin as 0. */
static gboolean
alloc_lists (CiPlan * plan, CiMultiboxArgs * args, GError ** error)
{
  gsize n = args->n_classes;
  const gsize bytes[] = {
    n * sizeof (guint32), sizeof (guint32), n * args->n_priors * sizeof (CiKey),
    n * CI_MULTIBOX_TOP * sizeof (CiKey), CI_MAX_PRE_NMS * sizeof (CiBox)
  };
  gpointer parts[G_N_ELEMENTS (bytes)];

  if (!ci_cuda_plan_alloc_parts (plan, bytes, parts, G_N_ELEMENTS (parts),
          error))
    return FALSE;
  args->n_found = parts[0];
  args->n_kept = parts[1];
  args->found = parts[2];
  args->kept = parts[3];
  args->boxes = parts[4];
  return TRUE;
}

gboolean
ci_cuda_prepare_multibox_detect (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  CiMultiboxArgs *args = g_new0 (CiMultiboxArgs, 1);
  const gfloat *sizes = node->priors;
  guint64 n_priors = 0;

  step->state = args;
  step->free_state = g_free;
  step->run = run_multibox;
  args->n_levels = node->n_levels;
  args->n_classes = node->channels;
  args->nms = ci_multibox_nms (node, CI_NMS_DEFAULT);
  args->width = plan->width;
  args->height = plan->height;
  memcpy (args->variances, node->multibox.variances, sizeof (args->variances));
  for (gint l = 0; l < node->n_levels; l++) {
    CiPriorLevel *level = &args->level[l];

    level->loc = ci_cuda_view (plan, node->srcs[2 * l]);
    level->conf = ci_cuda_view (plan, node->srcs[2 * l + 1]);
    level->n_priors = ci_graph_level_priors (plan->graph, node, l);
    level->first_prior = n_priors;
    memcpy (level->sizes, sizes, 2 * level->n_priors * sizeof (gfloat));
    sizes += 2 * level->n_priors;
    n_priors += (guint64) level->loc.h * level->loc.w * level->n_priors;
  }
  /* indices have 32 bits */
  if (node->channels > CI_MAX_CLASSES
      || n_priors * node->channels >= G_MAXUINT32) {
    g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
        "%" G_GUINT64_FORMAT " priors of %d classes (at most %d classes, and "
        "%u for all priors)", n_priors, node->channels, CI_MAX_CLASSES,
        G_MAXUINT32);
    return FALSE;
  }
  args->n_priors = n_priors;
  if (!ci_cuda_prepare_results (plan, error)
      || !alloc_lists (plan, args, error))
    return FALSE;
  args->out = ci_cuda_list (plan, step->value);
  return TRUE;
}

/* ---- gathering ---------------------------------------------------------- */

static gboolean
run_gather (CiPlan * plan, CiStep * step, GError ** error)
{
  CiGatherArgs args = *(const CiGatherArgs *) step->state;

  for (gint l = 0; l < step->node->n_levels; l++)
    args.level[l] = ci_cuda_image_view (plan, args.level[l]);
  return ci_cuda_elements (plan, CI_KERNEL_gather, &args,
      (gint64) args.detections.capacity * args.channels, error);
}

gboolean
ci_cuda_prepare_gather (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  CiGatherArgs *args = g_new0 (CiGatherArgs, 1);

  step->state = args;
  step->free_state = g_free;
  step->run = run_gather;
  for (gint l = 0; l < node->n_levels; l++)
    args->level[l] = ci_cuda_view (plan, node->srcs[l]);
  args->detections = ci_cuda_list (plan, node->srcs[node->n_levels]);
  args->channels = node->channels;
  args->rows = ci_plan_map (plan, step->value)->data;
  return TRUE;
}

/* ---- masks -------------------------------------------------------------- */

static gboolean
run_assemble_masks (CiPlan * plan, CiStep * step, GError ** error)
{
  CiAssembleMasksArgs args = *(const CiAssembleMasksArgs *) step->state;

  args.prototypes = ci_cuda_image_view (plan, args.prototypes);
  return ci_cuda_blocks (plan, CI_KERNEL_assemble_masks, &args,
      args.detections.capacity, CI_ASSEMBLE_BLOCKS, 1, error);
}

static gboolean
run_assemble_items (CiPlan * plan, CiStep * step, GError ** error)
{
  CiAssembleItemsArgs args = *(const CiAssembleItemsArgs *) step->state;

  args.masks.prototypes = ci_cuda_image_view (plan, args.masks.prototypes);
  return ci_cuda_elements (plan, CI_KERNEL_assemble_items, &args,
      (gint64) args.masks.detections.capacity * args.dst.h * args.dst.w,
      error);
}

gboolean
ci_cuda_prepare_assemble (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  gboolean items = node->op == CI_OP_ASSEMBLE_ITEMS;
  CiView prototypes = ci_cuda_view (plan, node->srcs[0]);
  CiAssembleItemsArgs *args = g_new0 (CiAssembleItemsArgs, 1);

  step->state = args;
  step->free_state = g_free;
  step->run = items ? run_assemble_items : run_assemble_masks;
  if (prototypes.c > CI_MAX_PROTOTYPES) {
    g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
        "masks of %d prototypes (at most %d)", prototypes.c,
        CI_MAX_PROTOTYPES);
    return FALSE;
  }
  /* the masks' arguments are the first part of the items' */
  args->masks = (CiAssembleMasksArgs) {
    .prototypes = prototypes,
    .detections = ci_cuda_list (plan, node->srcs[1]),
    .rows = ci_plan_map (plan, node->srcs[2])->data,
    .width = plan->width,
    .height = plan->height,
    .full_map = node->full_map,
    .out = ci_cuda_masks (plan),
  };
  if (items)
    args->dst = ci_cuda_view (plan, step->value);
  return TRUE;
}

/* ---- scores of masks ---------------------------------------------------- */

static gboolean
run_rescore (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiRescoreArgs *args = step->state;

  return ci_cuda_elements (plan, CI_KERNEL_rescore, args,
      args->detections.capacity, error);
}

gboolean
ci_cuda_prepare_rescore (CiPlan * plan, CiStep * step, GError ** error)
{
  CiRescoreArgs *args = g_new (CiRescoreArgs, 1);

  step->state = args;
  step->free_state = g_free;
  step->run = run_rescore;
  *args = (CiRescoreArgs) {
  ci_cuda_detections (plan), ci_cuda_view (plan, step->node->srcs[1]),
        ci_plan_map (plan, step->value)->data};
  return TRUE;
}
