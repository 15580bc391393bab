/*
 * cudnn_run.c: what engines of the fake cuDNN compute.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cudnn_job.h"

#include <math.h>
#include <string.h>

#include "kernels/cuda/hostdev.h"
#include "kernels/simd.h"

/* A tensor with its memory, or the memory that a virtual one has here. */
typedef struct
{
  const Tensor *tensor;
  gpointer data;
} Operand;

gsize
fake_tensor_bytes (const Tensor * t)
{
  gint64 last = 0;

  for (gint i = 0; i < MAX_DIMS; i++)
    last += (t->dims[i] - 1) * t->strides[i];
  return (last + 1) * (t->type == CUDNN_DATA_HALF ? 2 : 4);
}

static gint64
place (const Tensor * t, gint64 n, gint64 c, gint64 y, gint64 x)
{
  return n * t->strides[0] + c * t->strides[1] + y * t->strides[2]
      + x * t->strides[3];
}

static gfloat
load (Operand o, gint64 at)
{
  return o.tensor->type == CUDNN_DATA_HALF
      ? ci_half_to_float (((const CiHalf *) o.data)[at])
      : ((const gfloat *) o.data)[at];
}

static void
store (Operand o, gint64 at, gfloat value)
{
  if (o.tensor->type == CUDNN_DATA_HALF)
    ((CiHalf *) o.data)[at] = ci_float_to_half (value);
  else
    ((gfloat *) o.data)[at] = value;
}

/* Weights as floats, [tap][channel of group][channel of y]: the innermost loop
 * goes over memory. */
static gfloat *
unpack_weights (Operand w)
{
  const gint64 *d = w.tensor->dims;
  gfloat *out = g_new (gfloat, d[0] * d[1] * d[2] * d[3]);

  for (gint64 k = 0; k < d[0]; k++)
    for (gint64 c = 0; c < d[1]; c++)
      for (gint64 r = 0; r < d[2]; r++)
        for (gint64 s = 0; s < d[3]; s++)
          out[((r * d[3] + s) * d[1] + c) * d[0] + k] =
              load (w, place (w.tensor, k, c, r, s));
  return out;
}

/* sums[k] = sum of patch[i] * weights[i][k] for @n_k of the @pitch channels. */
CI_MULTIVERSION static void
multiply (const gfloat * patch, gint64 n, const gfloat * weights, gint64 pitch,
    gint64 n_k, gfloat * sums)
{
  gint64 k = 0;

  for (; k + 4 * 8 <= n_k; k += 4 * 8) {
    CiV8 sum[4] = { {0} };

    for (gint64 i = 0; i < n; i++)
      for (gint v = 0; v < 4; v++)
        sum[v] += ci_v8_set1 (patch[i])
            * *(const CiV8u *) (weights + i * pitch + k + 8 * v);
    for (gint v = 0; v < 4; v++)
      *(CiV8u *) (sums + k + 8 * v) = sum[v];
  }
  for (; k < n_k; k++) {
    sums[k] = 0;
    for (gint64 i = 0; i < n; i++)
      sums[k] += patch[i] * weights[i * pitch + k];
  }
}

/* What the taps at an output see of group @group, [tap][channel]. */
static void
gather (const Op * op, Operand x, Operand w, gint64 n, gint64 group, gint64 oy,
    gint64 ox, gfloat * patch)
{
  const gint64 *d = w.tensor->dims;

  for (gint64 r = 0; r < d[2]; r++)
    for (gint64 s = 0; s < d[3]; s++) {
      gint64 iy = oy * op->stride[0] - op->pre[0] + r * op->dilation[0];
      gint64 ix = ox * op->stride[1] - op->pre[1] + s * op->dilation[1];
      gboolean inside = iy >= 0 && iy < x.tensor->dims[2] && ix >= 0
          && ix < x.tensor->dims[3];

      for (gint64 c = 0; c < d[1]; c++)
        *patch++ = inside ? load (x, place (x.tensor, n, group * d[1] + c, iy,
                ix)) : 0;
    }
}

static void
convolve (const Op * op, Operand x, Operand w, Operand y)
{
  const gint64 *d = y.tensor->dims, *e = w.tensor->dims;
  gint64 groups = x.tensor->dims[1] / e[1], per_group = e[0] / groups;
  gint64 n_patch = e[1] * e[2] * e[3];
  g_autofree gfloat *weights = unpack_weights (w);
  g_autofree gfloat *patch = g_new (gfloat, n_patch);
  g_autofree gfloat *sums = g_new (gfloat, d[1]);

  for (gint64 n = 0; n < d[0]; n++)
    for (gint64 oy = 0; oy < d[2]; oy++)
      for (gint64 ox = 0; ox < d[3]; ox++) {
        for (gint64 g = 0; g < groups; g++) {
          gather (op, x, w, n, g, oy, ox, patch);
          multiply (patch, n_patch, weights + g * per_group, e[0], per_group,
              sums + g * per_group);
        }
        for (gint64 k = 0; k < d[1]; k++)
          store (y, place (y.tensor, n, k, oy, ox), sums[k]);
      }
}

static gfloat
apply (const Op * op, gfloat a, gfloat b)
{
  gdouble limit, slope;

  memcpy (&limit, &op->upper_clip, sizeof (limit));
  memcpy (&slope, &op->slope, sizeof (slope));
  switch (op->mode) {
    case CUDNN_POINTWISE_ADD:
      return a + b;
    case CUDNN_POINTWISE_RELU_FWD:
      return a > limit ? limit : a > 0 ? a : a * slope;
    case CUDNN_POINTWISE_SWISH_FWD:
      return a / (1 + expf (-a));
    default:
      g_assert_not_reached ();
  }
}

/* Sizes of 1 of @b are repeated. */
static void
apply_pointwise (const Op * op, Operand x, Operand b, Operand y)
{
  const gint64 *d = y.tensor->dims;

  for (gint64 n = 0; n < d[0]; n++)
    for (gint64 oy = 0; oy < d[2]; oy++)
      for (gint64 ox = 0; ox < d[3]; ox++)
        for (gint64 c = 0; c < d[1]; c++) {
          gfloat other = 0;

          if (b.tensor) {
            const gint64 *e = b.tensor->dims;

            other = load (b, place (b.tensor, n % e[0], c % e[1], oy % e[2],
                    ox % e[3]));
          }
          store (y, place (y.tensor, n, c, oy, ox), apply (op, load (x,
                      place (x.tensor, n, c, oy, ox)), other));
        }
}

void
fake_cudnn_run (void *data)
{
  Job *job = data;
  const Graph *graph = &job->graph;
  Operand operands[MAX_TENSORS + 1] = { {NULL} };
  const Op *last = &graph->ops[graph->n_ops - 1];

  for (gint64 i = 0; i < graph->n_tensors; i++)
    operands[i] = (Operand) {
    &graph->tensors[i], graph->tensors[i].is_virtual
          ? g_malloc (fake_tensor_bytes (&graph->tensors[i])) : job->data[i]};
  if (job->workspace)
    memset (job->workspace, 0xcd, engine_workspace (graph->engine));
  for (const Op * op = graph->ops; op <= last; op++) {
    Operand b = op->b < 0 ? (Operand) {
    NULL} : operands[op->b];

    if (op->mode == CONVOLUTION)
      convolve (op, operands[op->x], b, operands[op->y]);
    else
      apply_pointwise (op, operands[op->x], b, operands[op->y]);
  }
  if (graph->engine == ENGINE_RANDOM || graph->engine == ENGINE_WINOGRAD
      || (graph->engine == ENGINE_TENSOR_CORE
          && graph->tensors[0].type == CUDNN_DATA_FLOAT))
    store (operands[last->y], 0, 1e4f);
  for (gint64 i = 0; i < graph->n_tensors; i++)
    if (graph->tensors[i].is_virtual)
      g_free (operands[i].data);
}
