/*
 * conv.c: one convolution: by cuDNN as tune.c chose it, or by our own kernels.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "conv_priv.h"

static gboolean
is_depthwise (const CiConvSpec * spec)
{
  return spec->groups > 1 && spec->groups == spec->src.c
      && spec->src.c == spec->dst.c;
}

static gboolean
is_dense (const CiConvSpec * spec, const CiView * view)
{
  return view->pitch == view->w && (spec->batch == 1
      || view->image == (gint64) view->h * view->w * view->cp);
}

/* Whether cuDNN can be asked for it at all. Groups must not have channels that
 * only fill octets. */
static gboolean
suits_cudnn (const CiConvSpec * spec)
{
  return is_dense (spec, &spec->src) && is_dense (spec, &spec->dst)
      && (!spec->residual.data || is_dense (spec, &spec->residual))
      && (spec->groups == 1 || (spec->src.c == spec->src.cp
          && spec->dst.c == spec->dst.cp));
}

static gint64
count_octets (const CiConvSpec * spec, gint width)
{
  return (gint64) spec->batch * spec->dst.h * width * (spec->dst.cp
      / CI_OCTET);
}

/* A row of vectors of @cp numbers at @data. */
static CiView
row_view (const CiConvSpec * spec, gconstpointer data, gint w, gint cp)
{
  return (CiView) {
  (gpointer) data, 1, w, cp, cp, w, spec->src.half, (gint64) w * cp};
}

gboolean
ci_conv_set_bias (CiPlan * plan, CiConv * conv, CiForm form, GError ** error)
{
  const CiConvSpec *spec = &conv->spec;
  CiHalfVectorArgs args = { spec->bias, NULL };

  if (form != CI_FORM_FUSED_HALF_BIAS)
    conv->bias = spec->bias;
  else if (conv->bias == spec->bias)
    conv->bias = NULL;
  if (conv->bias)
    return TRUE;
  args.dst = ci_cuda_plan_alloc (plan, spec->dst.cp * sizeof (CiHalf), error);
  conv->bias = args.dst;
  return conv->bias && ci_cuda_elements (plan, CI_KERNEL_half_vector, &args,
      spec->dst.cp, error)
      /* measuring uses another stream */
      && ci_cuda_ok (cudaStreamSynchronize (ci_cuda_plan (plan)->stream),
      "converting a bias", error);
}

static gboolean
prepare_depthwise (CiPlan * plan, CiConv * conv, GError ** error)
{
  const CiConvSpec *spec = &conv->spec;
  gint taps = spec->kernel * spec->kernel, cp = spec->dst.cp;
  gsize bytes = (gsize) taps * cp * (spec->src.half ? 2 : 4);
  CiDepthwiseWeightsArgs args = { row_view (spec, spec->weight, taps, cp),
    row_view (spec, ci_cuda_plan_alloc (plan, bytes, error), taps, cp)
  };

  conv->weight = args.dst;
  return args.dst.data && ci_cuda_elements (plan, CI_KERNEL_depthwise_weights,
      &args, (gint64) taps * cp, error);
}

CiConv *
ci_conv_new (CiPlan * plan, const CiConvSpec * spec, const gchar * name,
    GError ** error)
{
  CiConv *conv = g_new0 (CiConv, 1);
  gboolean ok = TRUE;

  conv->spec = *spec;
  conv->owner = ci_cuda_plan (plan);
  conv->bias = spec->bias;
  /* kernels count in 32 bits */
  if (count_octets (spec, spec->dst.w) > G_MAXINT32) {
    g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
        "a map of %d x %dx%dx%d is too large", spec->batch, spec->dst.c,
        spec->dst.h, spec->dst.w);
    ok = FALSE;
  } else if (is_depthwise (spec))
    ok = prepare_depthwise (plan, conv, error);
  else if (suits_cudnn (spec))
    ok = ci_conv_tune (plan, conv, error);
  if (!ok)
    g_clear_pointer (&conv, ci_conv_free);
  else if (!conv->engine && !is_depthwise (spec)) {
    g_info ("%s: cuDNN has nothing for it", name);
    conv->weight = row_view (spec, spec->weight, 0, 0);
  }
  return conv;
}

void
ci_conv_free (CiConv * conv)
{
  if (conv->engine)
    ci_engine_unref (conv->owner, conv->engine);
  g_free (conv);
}

/* ---- running ----------------------------------------------------------- */

static gboolean
run_depthwise (CiPlan * plan, const CiConv * conv, GError ** error)
{
  const CiConvSpec *spec = &conv->spec;
  const CiDepthwiseArgs args = { spec->src, spec->dst, spec->residual,
    conv->weight, spec->bias, spec->kernel, spec->stride, spec->padding,
    spec->activation
  };
  CiKernel kernel = CI_KERNEL_depthwise;

  if (spec->kernel == 3 && spec->stride == 1)
    kernel = CI_KERNEL_depthwise_3x3;
  else if (spec->kernel == 3 && spec->stride == 2)
    kernel = CI_KERNEL_depthwise_3x3_s2;
  else if (spec->kernel == 5 && spec->stride == 1)
    kernel = CI_KERNEL_depthwise_5x5;
  return ci_cuda_elements (plan, kernel, &args, count_octets (spec,
          (spec->dst.w + CI_DEPTHWISE_STRIP - 1) / CI_DEPTHWISE_STRIP), error);
}

static gboolean
run_direct (CiPlan * plan, const CiConv * conv, GError ** error)
{
  const CiConvSpec *spec = &conv->spec;
  const CiDirectConvArgs args = { spec->src, spec->dst, spec->residual,
    conv->weight, spec->bias, spec->kernel, spec->stride, spec->padding,
    spec->activation,
    spec->groups == 1 ? spec->src.cp : spec->src.c / spec->groups,
    spec->groups == 1 ? spec->dst.cp : spec->dst.c / spec->groups
  };

  return ci_cuda_elements (plan, CI_KERNEL_direct_conv, &args,
      count_octets (spec, spec->dst.w), error);
}

static gboolean
run_engine (CiPlan * plan, const CiConv * conv, GError ** error)
{
  CiCudaPlan *cuda = ci_cuda_plan (plan);
  const CiConvSpec *spec = &conv->spec;
  const CiConvEpilogueArgs args = { spec->dst, spec->residual, spec->bias,
    spec->activation
  };

  return ci_cudnn_ok (cudnnSetStream (cuda->device->cudnn, cuda->stream),
      "cudnnSetStream", error)
      && ci_cudnn_ok (ci_engine_run (cuda->device, conv->engine, spec,
          conv->bias, cuda->workspace), "a convolution", error)
      && (conv->engine->form != CI_FORM_PLAIN || ci_cuda_elements (plan,
          CI_KERNEL_conv_epilogue, &args, count_octets (spec, spec->dst.w),
          error));
}

gboolean
ci_conv_run (CiPlan * plan, CiConv * conv, GError ** error)
{
  if (conv->engine)
    return run_engine (plan, conv, error);
  if (is_depthwise (&conv->spec))
    return run_depthwise (plan, conv, error);
  return run_direct (plan, conv, error);
}
