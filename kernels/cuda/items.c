/*
 * items.c: RoIAlign, which makes maps for each box of a list, and transposed
 * convolutions: those of 1x1 to the four results of each pixel, which are then
 * put in their places.
 *
 * A list's items are as many as it has capacity, whatever was found: steps
 * enqueue the same for each frame. They are computed image by image.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cuda.h"

/* ---- RoIAlign ---------------------------------------------------------- */

typedef struct
{
  CiRoiAlignArgs args;
  gint64 n;
} RoiAlign;

static gboolean
run_roi_align (CiPlan * plan, CiStep * step, GError ** error)
{
  const RoiAlign *roi = step->state;
  CiRoiAlignArgs args = roi->args;

  for (gint i = 0; i < args.n_levels; i++)
    args.level[i] = ci_cuda_image_view (plan, args.level[i]);
  return ci_cuda_elements (plan, CI_KERNEL_roi_align, &args, roi->n, error);
}

gboolean
ci_cuda_prepare_roi_align (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const CiRoiAlignParams *p = &node->roi;
  RoiAlign *roi = g_new0 (RoiAlign, 1);
  CiRoiAlignArgs *args = &roi->args;

  step->state = roi;
  step->free_state = g_free;
  step->run = run_roi_align;
  if (!ci_cuda_prepare_results (plan, error))
    return FALSE;
  *args = (CiRoiAlignArgs) {
    .n_levels = node->n_levels,
    .boxes = ci_cuda_list (plan, node->counted_by),
    .dst = ci_cuda_view (plan, step->value),
    .size = p->resolution,
    .sampling_ratio = p->sampling_ratio,
    .max_samples = CI_ROI_MAX_SAMPLES,
    .aligned = p->aligned,
    .points = p->points,
    .canonical_size = p->canonical_size,
    .canonical_level = p->canonical_level,
    .first_level = p->first_level,
    .log_epsilon = p->log_epsilon,
    .level_epsilon = p->level_epsilon,
  };
  for (gint i = 0; i < node->n_levels; i++) {
    args->level[i] = ci_cuda_view (plan, node->srcs[i]);
    args->scale[i] = 1.0f / p->strides[i];
  }
  return ci_cuda_cover (plan, step->value, &args->octets, &roi->n, error);
}

/* ---- transposed convolution -------------------------------------------- */

typedef struct
{
  CiConv *conv;
  CiPixelShuffleArgs shuffle;
  gint64 n;
} Deconv;

static void
deconv_free (gpointer data)
{
  Deconv *d = data;

  if (d->conv)
    ci_conv_free (d->conv);
  g_free (d);
}

/* The results of each pixel of the source; without memory yet. */
static CiView
corners_view (const CiPlan * plan, CiValue value)
{
  CiView view = ci_cuda_view (plan, value);

  view.data = NULL;
  view.h /= 2;
  view.w /= 2;
  view.c = view.cp *= 4;
  view.pitch = view.w;
  view.image = (gint64) view.h * view.w * view.cp;
  return view;
}

gsize
ci_cuda_deconv_scratch (CiPlan * plan, CiValue value)
{
  return ci_cuda_count_images (plan, value) * corners_view (plan, value).image
      * plan->element_bytes;
}

static gboolean
run_deconv (CiPlan * plan, CiStep * step, GError ** error)
{
  const Deconv *d = step->state;

  return ci_conv_run (plan, d->conv, error)
      && ci_cuda_elements (plan, CI_KERNEL_pixel_shuffle, &d->shuffle, d->n,
      error);
}

typedef struct
{
  CiPlan *plan;
  const CiNode *node;
  gint in, in_pitch, out_pitch;
  gsize bias_at;                /* bytes */
} Weights;

/* I x O x 2 x 2 -> 2 x 2 x O x I, then the bias of each. */
static gboolean
fill_weights (gpointer host, gpointer data, GError ** error)
{
  const Weights *w = data;
  g_autofree gfloat *weight = NULL, *bias = NULL;
  gfloat *to_bias = (gfloat *) ((guint8 *) host + w->bias_at);
  CiView to = {.data = host,.half = ci_cuda_plan (w->plan)->half };
  gint out = w->node->channels;

  if (!ci_plan_fold_conv (w->plan, w->node, &weight, &bias, error))
    return FALSE;
  for (gint corner = 0; corner < 4; corner++)
    for (gint o = 0; o < out; o++) {
      gint64 row = corner * w->out_pitch + o;

      to_bias[row] = bias[o];
      for (gint i = 0; i < w->in; i++)
        ci_store (&to, row * w->in_pitch + i,
            weight[((gsize) i * out + o) * 4 + corner]);
    }
  return TRUE;
}

gboolean
ci_cuda_prepare_deconv (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  Deconv *d = g_new0 (Deconv, 1);
  CiConvSpec spec = { ci_cuda_count_images (plan, step->value),
    ci_cuda_view (plan, node->srcs[0]), corners_view (plan, step->value), 1, 1,
    0, 1, node->activation
  };
  Weights w = { plan, node, spec.src.c, spec.src.cp, spec.dst.cp / 4 };
  g_autofree gchar *key = ci_cuda_weights_key (node, "corners");
  const guint8 *constant;

  step->state = d;
  step->free_state = deconv_free;
  step->run = run_deconv;
  spec.dst.data = plan->buffers[step->value].scratch;
  w.bias_at = ci_cuda_align ((gsize) spec.dst.cp * w.in_pitch
      * plan->element_bytes);
  constant = ci_cuda_constant (plan, key, w.bias_at + spec.dst.cp
      * sizeof (gfloat), fill_weights, &w, error);
  if (!constant)
    return FALSE;
  spec.weight = constant;
  spec.bias = (const float *) (constant + w.bias_at);
  d->shuffle.src = spec.dst;
  d->shuffle.dst = ci_cuda_view (plan, step->value);
  return ci_cuda_cover (plan, step->value, &d->shuffle.octets, &d->n, error)
      && (d->conv = ci_conv_new (plan, &spec, node->name, error));
}
