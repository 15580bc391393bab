/*
 * deform.c: modulated deformable convolution (SEMANTICS 2.1): the samples of
 * some rows of pixels, then their product with the weights, a convolution of
 * 1x1.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cuda.h"

/* Memory for samples; what does not fit is done in several parts. */
#define COLUMNS_BYTES (64 << 20)

typedef struct
{
  CiDeformColumnsArgs columns;
  CiConv *conv;
} Part;

typedef struct
{
  gint n_parts;
  Part parts[];
} Deform;

static void
deform_free (gpointer data)
{
  Deform *d = data;

  for (gint i = 0; i < d->n_parts; i++)
    if (d->parts[i].conv)
      ci_conv_free (d->parts[i].conv);
  g_free (d);
}

/* Channels of a sample's group, in whole octets. */
static gint
group_pitch (const CiPlan * plan, const CiNode * node)
{
  gint in = ci_graph_node (plan->graph, node->srcs[0])->channels
      / node->groups;

  return (in + CI_OCTET - 1) / CI_OCTET * CI_OCTET;
}

/* The samples of one part; without memory yet. */
static CiView
columns_view (const CiPlan * plan, CiValue value)
{
  const CiNode *node = ci_graph_node (plan->graph, value);
  const CiView dst = ci_cuda_view (plan, value);
  gint cp = node->groups * node->kernel * node->kernel
      * group_pitch (plan, node);
  gsize row_bytes = (gsize) dst.w * cp * plan->element_bytes;
  gint rows = CLAMP (COLUMNS_BYTES / row_bytes, 1,
      (gsize) ci_cuda_plan (plan)->batch * dst.h);

  return (CiView) {
  NULL, rows, dst.w, cp, cp, dst.w, dst.half, (gint64) rows *dst.w * cp};
}

gsize
ci_cuda_deform_conv_scratch (CiPlan * plan, CiValue value)
{
  return columns_view (plan, value).image * plan->element_bytes;
}

/* ---- the step ---------------------------------------------------------- */

static gboolean
run_deform (CiPlan * plan, CiStep * step, GError ** error)
{
  const Deform *d = step->state;

  for (gint i = 0; i < d->n_parts; i++) {
    const CiDeformColumnsArgs *args = &d->parts[i].columns;

    if (!ci_cuda_elements (plan, CI_KERNEL_deform_columns, args,
            args->columns.image / CI_OCTET, error)
        || !ci_conv_run (plan, d->parts[i].conv, error))
      return FALSE;
  }
  return TRUE;
}

gboolean
ci_cuda_prepare_deform_conv (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  CiView columns = columns_view (plan, step->value);
  const CiView dst = ci_cuda_view (plan, step->value);
  gint rows = ci_cuda_plan (plan)->batch * dst.h;
  gint n_parts = (rows + columns.h - 1) / columns.h;
  Deform *d = g_malloc0 (sizeof (Deform) + n_parts * sizeof (Part));
  CiConvSpec spec = {.batch = 1 };

  step->state = d;
  step->free_state = deform_free;
  step->run = run_deform;
  columns.data = plan->buffers[step->value].scratch;
  spec.dst = dst;
  spec.kernel = spec.stride = 1;
  spec.groups = node->groups;
  spec.activation = node->activation;
  if (!ci_cuda_load_weights (plan, node, group_pitch (plan, node), &spec,
          error))
    return FALSE;
  for (gint i = 0; i < n_parts; i++) {
    Part *part = &d->parts[i];
    gint first = i * columns.h;

    part->columns = (CiDeformColumnsArgs) {
      ci_cuda_view (plan, node->srcs[0]), ci_cuda_view (plan, node->srcs[1]),
      columns, node->kernel, node->stride, node->padding, node->groups,
      ci_graph_node (plan->graph, node->srcs[0])->channels / node->groups,
      dst.h, first
    };
    part->columns.columns.h = MIN (columns.h, rows - first);
    part->columns.columns.image = (gint64) part->columns.columns.h
        * columns.w * columns.cp;
    spec.src = part->columns.columns;
    spec.dst.h = spec.src.h;
    spec.dst.data = (guint8 *) dst.data
        + (gint64) first * dst.pitch * dst.cp * plan->element_bytes;
    spec.dst.image = (gint64) spec.dst.h * dst.pitch * dst.cp;
    if (!(part->conv = ci_conv_new (plan, &spec, node->name, error)))
      return FALSE;
    d->n_parts++;
  }
  return TRUE;
}
