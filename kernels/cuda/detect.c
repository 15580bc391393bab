/*
 * detect.c: FCOS' candidates, top-k and NMS (SEMANTICS 5 and 6), and
 * convolutions at detections only.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cuda.h"

/* ---- detection --------------------------------------------------------- */

typedef struct
{
  CiDetectArgs args;
  gint64 n_octets;              /* of logits, all levels */
} Detect;

static gboolean
run_detect (CiPlan * plan, CiStep * step, GError ** error)
{
  const Detect *d = step->state;
  CiDetectArgs args = d->args;

  args.settings = ci_cuda_plan (plan)->settings;
  for (gint l = 0; l < args.n_levels; l++) {
    CiDetectLevel *level = &args.level[l];

    level->logits = ci_cuda_image_view (plan, level->logits);
    level->reg = ci_cuda_image_view (plan, level->reg);
    level->ctr = ci_cuda_image_view (plan, level->ctr);
  }
  return ci_cuda_elements (plan, CI_KERNEL_candidates, &args, d->n_octets,
      error)
      && ci_cuda_blocks (plan, CI_KERNEL_select, &args, args.n_levels, 1, 1,
      error)
      && ci_cuda_elements (plan, CI_KERNEL_merge, &args,
      args.n_levels * CI_MAX_PRE_NMS, error)
      && ci_cuda_blocks (plan, CI_KERNEL_nms, &args, 1, 1, 1, error);
}

/* All lists in one allocation; counts come first, since they begin as 0. */
gboolean
ci_cuda_alloc_lists (CiPlan * plan, CiDetectArgs * args, gsize n_candidates,
    GError ** error)
{
  gsize n_top = (gsize) args->n_levels * CI_MAX_PRE_NMS;
  const gsize bytes[] = {
    CI_MAX_LEVELS * sizeof (guint32), CI_MAX_LEVELS * sizeof (guint32),
    n_candidates * sizeof (CiKey), n_top * sizeof (CiKey),
    n_top * sizeof (CiKey), n_top * sizeof (CiBox), n_top * sizeof (gint32)
  };
  gpointer parts[G_N_ELEMENTS (bytes)];

  if (!ci_cuda_plan_alloc_parts (plan, bytes, parts, G_N_ELEMENTS (parts),
          error))
    return FALSE;
  args->n_found = parts[0];
  args->n_top = parts[1];
  args->found = parts[2];
  args->top = parts[3];
  args->keys = parts[4];
  args->boxes = parts[5];
  args->classes = parts[6];
  return TRUE;
}

gboolean
ci_cuda_prepare_detect (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  Detect *d = g_new0 (Detect, 1);
  CiDetectArgs *args = &d->args;
  guint64 cells = 0;

  step->state = d;
  step->free_state = g_free;
  step->run = run_detect;
  args->n_levels = node->n_levels;
  args->n_classes = node->channels;
  args->thresh_with_ctr = node->thresh_with_ctr;
  for (gint l = 0; l < node->n_levels; l++) {
    CiView logits = ci_cuda_view (plan, node->srcs[3 * l]);

    args->level[l] = (CiDetectLevel) {
      .logits = logits,
      .reg = ci_cuda_view (plan, node->srcs[3 * l + 1]),
      .ctr = ci_cuda_view (plan, node->srcs[3 * l + 2]),
      .stride = node->strides[l],
      .first_octet = d->n_octets,
      .first_cell = cells,
    };
    cells += (guint64) logits.h * logits.w;
    d->n_octets += (gint64) logits.h * logits.w * (logits.cp / CI_OCTET);
  }
  /* indices have 32 bits */
  if (node->channels > CI_MAX_CLASSES
      || cells * node->channels >= G_MAXUINT32) {
    g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
        "%" G_GUINT64_FORMAT " cells of %d classes (at most %d classes, and "
        "%u for all cells)", cells, node->channels, CI_MAX_CLASSES,
        G_MAXUINT32);
    return FALSE;
  }
  if (!ci_cuda_prepare_results (plan, error)
      || !ci_cuda_alloc_lists (plan, args, cells * node->channels, error))
    return FALSE;
  args->out = ci_cuda_list (plan, step->value);
  return TRUE;
}

/* ---- convolution at detections ----------------------------------------- */

/* The layout of weights: bias, then as CiConvAtArgs has it. */
typedef struct
{
  CiPlan *plan;
  const CiNode *node;
  gint in, in_octets, out_octets;
  gsize bias_bytes;
} AtWeights;

static gboolean
fill_weights (gpointer host, gpointer data, GError ** error)
{
  const AtWeights *a = data;
  const CiNode *node = a->node;
  gint k2 = node->kernel * node->kernel;
  gsize n = (gsize) k2 * a->in_octets;
  g_autofree gfloat *weight = NULL, *bias = NULL;
  CiView to = {.data = (guint8 *) host + a->bias_bytes,
    .half = ci_cuda_plan (a->plan)->half
  };

  if (!ci_plan_fold_conv (a->plan, node, &weight, &bias, error))
    return FALSE;
  memcpy (host, bias, node->channels * sizeof (gfloat));
  for (gsize o = 0; o < (gsize) node->channels; o++)
    for (gint i = 0; i < a->in; i++)
      for (gint t = 0; t < k2; t++)
        ci_store (&to, ((o / CI_OCTET * CI_OCTET + i % CI_OCTET) * n
                + t * a->in_octets + i / CI_OCTET) * CI_OCTET + o % CI_OCTET,
            weight[(o * a->in + i) * k2 + t]);
  return TRUE;
}

static gboolean
run_conv_at (CiPlan * plan, CiStep * step, GError ** error)
{
  CiConvAtArgs args = *(const CiConvAtArgs *) step->state;
  gint capacity = args.detections.capacity;

  for (gint l = 0; l < args.n_levels; l++)
    args.level[l] = ci_cuda_image_view (plan, args.level[l]);
  return ci_cuda_blocks (plan, CI_KERNEL_conv_at, &args,
      (capacity + CI_AT_DETECTIONS - 1) / CI_AT_DETECTIONS,
      (args.channels + CI_OCTET - 1) / CI_OCTET, 1, error);
}

gboolean
ci_cuda_prepare_conv_at (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  CiConvAtArgs *args = g_new0 (CiConvAtArgs, 1);
  CiView src = ci_cuda_view (plan, node->srcs[0]);
  AtWeights weights = { plan, node, src.c, src.cp / CI_OCTET,
    (node->channels + CI_OCTET - 1) / CI_OCTET
  };
  g_autofree gchar *key = ci_cuda_weights_key (node, "at");
  const guint8 *constant;

  step->state = args;
  step->free_state = g_free;
  step->run = run_conv_at;
  weights.bias_bytes = ci_cuda_align (weights.out_octets * CI_OCTET
      * sizeof (gfloat));
  constant = ci_cuda_constant (plan, key, weights.bias_bytes
      + (gsize) weights.out_octets * CI_OCTET * node->kernel * node->kernel
      * src.cp * plan->element_bytes, fill_weights, &weights, error);
  if (!constant)
    return FALSE;
  args->n_levels = node->n_levels;
  for (gint l = 0; l < node->n_levels; l++)
    args->level[l] = ci_cuda_view (plan, node->srcs[l]);
  args->detections = ci_cuda_detections (plan);
  args->kernel = node->kernel;
  args->channels = node->channels;
  args->bias = (const float *) constant;
  args->weight.data = (gpointer) (constant + weights.bias_bytes);
  args->weight.half = src.half;
  args->rows = ci_plan_map (plan, step->value)->data;
  return TRUE;
}
