/*
 * ops.c: the simple layers on blocks of eight channels.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cpu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../simd.h"

/* Of a weighted sum. */
#define MAX_MAPS 8

typedef struct
{
  CiPlan *plan;
  const CiNode *node;
  const CiMap *src, *other, *dst;
  gfloat *scale, *shift;        /* per channel, padded; weighted add: of each
                                   source */
  CiTap *ys, *xs;               /* resize: per row and column of dst */
  gdouble *sums;                /* group norm, per channel: sum, of squares */
  void (*block) (gpointer layer, gint block);
} Layer;

static void
layer_free (gpointer data)
{
  Layer *layer = data;

  g_free (layer->scale);
  g_free (layer->shift);
  g_free (layer->ys);
  g_free (layer->xs);
  g_free (layer->sums);
  g_free (layer);
}

static void
run_block (gpointer data, gint task, gint n_tasks)
{
  Layer *layer = data;

  layer->block (layer, task);
}

static gboolean
run_layer (CiPlan * plan, CiStep * step, GError ** error)
{
  Layer *layer = step->state;

  ci_pool_run (plan->pool, run_block, layer, ci_map_blocks (layer->dst));
  return TRUE;
}

static Layer *
new_layer (CiPlan * plan, CiStep * step, void (*block) (gpointer, gint))
{
  Layer *layer = g_new0 (Layer, 1);

  layer->plan = plan;
  layer->node = step->node;
  layer->dst = ci_plan_map (plan, step->value);
  if (step->node->n_srcs)
    layer->src = ci_plan_map (plan, step->node->srcs[0]);
  layer->block = block;
  step->state = layer;
  step->free_state = layer_free;
  step->run = run_layer;
  return layer;
}

/* Per-channel numbers, padded to whole blocks with zeros. */
static gfloat *
padded_tensor (CiPlan * plan, const CiNode * node, const gchar * suffix,
    GError ** error)
{
  gint64 c = node->channels;
  g_autofree gfloat *t = ci_plan_tensor (plan, node->name, suffix, 1, &c,
      error);
  gfloat *padded;

  if (!t)
    return NULL;
  padded = g_new0 (gfloat, c + CI_BLOCK);
  memcpy (padded, t, c * sizeof (gfloat));
  return padded;
}

/* Lanes behind the last channel have to stay 0: who calls activate() sees to
 * that if the activation makes something else of it. */
static gboolean
moves_zero (CiActivation activation)
{
  return activation == CI_ACTIVATION_HARD_SIGMOID
      || activation == CI_ACTIVATION_SIGMOID;
}

CI_INLINE CiV8
activate (CiV8 v, CiActivation activation)
{
  const CiV8 zero = ci_v8_set1 (0.0f), six = ci_v8_set1 (6.0f);

  switch (activation) {
    case CI_ACTIVATION_NONE:
      break;
    case CI_ACTIVATION_RELU:
      return ci_v8_max (v, zero);
    case CI_ACTIVATION_RELU6:
      return ci_v8_min (ci_v8_max (v, zero), six);
    case CI_ACTIVATION_SWISH:
      return v * ci_v8_sigmoid (v);
    case CI_ACTIVATION_HARD_SIGMOID:
      return ci_v8_min (ci_v8_max (v + ci_v8_set1 (3.0f), zero), six)
          * ci_v8_set1 (1.0f / 6);
    case CI_ACTIVATION_LEAKY_RELU:
      return ci_v8_max (v, v * ci_v8_set1 (CI_LEAKY_RELU_SLOPE));
    case CI_ACTIVATION_SIGMOID:
      return ci_v8_sigmoid (v);
    case CI_ACTIVATION_TANH:
      return ci_v8_sigmoid (v + v) * ci_v8_set1 (2.0f) - ci_v8_set1 (1.0f);
  }
  return v;
}

static void
clear_dead_lanes (const CiMap * map, gint block)
{
  gfloat *out = ci_map_block (map, block);
  gint lanes = map->c - block * CI_BLOCK;

  for (gsize i = 0; lanes < CI_BLOCK && i < (gsize) map->h * map->w; i++)
    memset (out + i * CI_BLOCK + lanes, 0,
        (CI_BLOCK - lanes) * sizeof (gfloat));
}

/* ---- planar -> blocks -------------------------------------------------- */

static void
pack_block (gpointer data, gint block)
{
  Layer *layer = data;
  const CiMap *dst = layer->dst;
  gsize n = (gsize) dst->h * dst->w;
  gfloat *out = ci_map_block (dst, block);

  for (gint l = 0; l < CI_BLOCK; l++) {
    gint c = block * CI_BLOCK + l;

    for (gsize i = 0; i < n; i++)
      out[i * CI_BLOCK + l] = c < dst->c ? layer->plan->input[c * n + i] : 0;
  }
}

gboolean
ci_cpu_prepare_pack (CiPlan * plan, CiStep * step, GError ** error)
{
  new_layer (plan, step, pack_block);
  return TRUE;
}

/* ---- activation, addition, unfused scale and batch norm ---------------- */

CI_MULTIVERSION static void
affine_block (gpointer data, gint block)
{
  Layer *layer = data;
  gsize n = (gsize) layer->dst->h * layer->dst->w;
  const CiV8 *a = (const CiV8 *) ci_map_block (layer->src, block);
  CiV8 *out = (CiV8 *) ci_map_block (layer->dst, block);
  CiActivation activation = layer->node->activation;

  if (layer->other) {
    const CiV8 *b = (const CiV8 *) ci_map_block (layer->other, block);

    for (gsize i = 0; i < n; i++)
      out[i] = a[i] + b[i];
  } else {
    CiV8 scale = *(const CiV8u *) (layer->scale + block * CI_BLOCK);
    CiV8 shift = *(const CiV8u *) (layer->shift + block * CI_BLOCK);

    for (gsize i = 0; i < n; i++)
      out[i] = activate (a[i] * scale + shift, activation);
    if (moves_zero (activation))
      clear_dead_lanes (layer->dst, block);
  }
}

gboolean
ci_cpu_prepare_affine (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  Layer *layer = new_layer (plan, step, affine_block);
  gint64 one = 1;

  if (node->op == CI_OP_ADD) {
    layer->other = ci_plan_map (plan, node->srcs[1]);
    return TRUE;
  }
  layer->scale = g_new0 (gfloat, node->channels + CI_BLOCK);
  layer->shift = g_new0 (gfloat, node->channels + CI_BLOCK);
  for (gint c = 0; c < node->channels; c++)
    layer->scale[c] = 1.0f;
  if (node->op == CI_OP_SCALE) {
    g_autofree gfloat *s = ci_plan_tensor (plan, node->name, "", 1, &one,
        error);

    if (!s)
      return FALSE;
    for (gint c = 0; c < node->channels; c++)
      layer->scale[c] = *s;
  } else if (node->op == CI_OP_BATCH_NORM) {
    return ci_plan_batch_norm (plan, node->name, node->eps, node->channels,
        layer->scale, layer->shift, error);
  }
  return TRUE;
}

/* ---- group norm -------------------------------------------------------- */

/* Sums of each channel of a block. Single precision within a row and relative
 * to the first pixel, double between rows: the variance survives large maps
 * and large means. */
CI_MULTIVERSION static void
sum_block (gpointer data, gint block)
{
  Layer *layer = data;
  const CiMap *src = layer->src;
  const CiV8 *in = (const CiV8 *) ci_map_block (src, block);
  CiV8 first = in[0];
  gdouble *out = layer->sums + block * CI_BLOCK * 2;

  memset (out, 0, CI_BLOCK * 2 * sizeof (gdouble));
  for (gint y = 0; y < src->h; y++, in += src->w) {
    CiV8 sum = ci_v8_set1 (0.0f), squares = sum;

    for (gint x = 0; x < src->w; x++) {
      CiV8 v = in[x] - first;

      sum += v;
      squares += v * v;
    }
    for (gint l = 0; l < CI_BLOCK; l++) {
      out[2 * l] += sum[l];
      out[2 * l + 1] += squares[l];
    }
  }
  for (gint l = 0; l < CI_BLOCK; l++) {
    gdouble n = (gdouble) src->h * src->w, f = first[l], s = out[2 * l];

    out[2 * l] = s + n * f;
    out[2 * l + 1] += 2 * f * s + n * f * f;
  }
}

static void
run_sum_block (gpointer data, gint task, gint n_tasks)
{
  sum_block (data, task);
}

CI_MULTIVERSION static void
normalise_block (gpointer data, gint block)
{
  const Layer *layer = data;
  const CiMap *dst = layer->dst;
  gint per = dst->c / layer->node->groups;
  gsize n = (gsize) dst->h * dst->w;
  const CiV8 *in = (const CiV8 *) ci_map_block (layer->src, block);
  CiV8 *out = (CiV8 *) ci_map_block (dst, block);
  CiV8 scale = ci_v8_set1 (0.0f), shift = scale;

  for (gint l = 0; l < CI_BLOCK && block * CI_BLOCK + l < dst->c; l++) {
    gint c = block * CI_BLOCK + l, first = c / per * per;
    gdouble mean = 0, var = 0, s;

    for (gint k = first; k < first + per; k++) {
      mean += layer->sums[2 * k];
      var += layer->sums[2 * k + 1];
    }
    mean /= per * (gdouble) n;
    var = MAX (var / (per * (gdouble) n) - mean * mean, 0);
    s = layer->scale[c] / sqrt (var + 1e-5);
    scale[l] = s;
    shift[l] = layer->shift[c] - mean * s;
  }
  if (layer->node->activation == CI_ACTIVATION_RELU)
    for (gsize i = 0; i < n; i++)
      out[i] = ci_v8_max (in[i] * scale + shift, ci_v8_set1 (0.0f));
  else
    for (gsize i = 0; i < n; i++)
      out[i] = activate (in[i] * scale + shift, layer->node->activation);
  if (moves_zero (layer->node->activation))
    clear_dead_lanes (dst, block);
}

static gboolean
run_group_norm (CiPlan * plan, CiStep * step, GError ** error)
{
  Layer *layer = step->state;

  ci_pool_run (plan->pool, run_sum_block, layer, ci_map_blocks (layer->src));
  return run_layer (plan, step, error);
}

gboolean
ci_cpu_prepare_group_norm (CiPlan * plan, CiStep * step, GError ** error)
{
  Layer *layer = new_layer (plan, step, normalise_block);

  step->run = run_group_norm;
  layer->sums = g_new0 (gdouble, 2 * (step->node->channels + CI_BLOCK));
  return (layer->scale = padded_tensor (plan, step->node, ".weight", error))
      && (layer->shift = padded_tensor (plan, step->node, ".bias", error));
}

/* ---- max pool ---------------------------------------------------------- */

CI_MULTIVERSION static void
max_pool_block (gpointer data, gint block)
{
  Layer *layer = data;
  const CiNode *node = layer->node;
  const CiMap *src = layer->src, *dst = layer->dst;
  const CiV8 *in = (const CiV8 *) ci_map_block (src, block);
  CiV8 *out = (CiV8 *) ci_map_block (dst, block);

  for (gint y = 0; y < dst->h; y++) {
    gint y0 = y * node->stride - node->padding;
    gint y1 = MIN (y0 + node->kernel, src->h);

    y0 = MAX (y0, 0);
    for (gint x = 0; x < dst->w; x++) {
      gint x0 = x * node->stride - node->padding;
      gint x1 = MIN (x0 + node->kernel, src->w);
      CiV8 best;

      x0 = MAX (x0, 0);
      best = in[y0 * src->w + x0];
      for (gint sy = y0; sy < y1; sy++)
        for (gint sx = x0; sx < x1; sx++)
          best = ci_v8_max (in[sy * src->w + sx], best);
      *out++ = best;
    }
  }
}

gboolean
ci_cpu_prepare_max_pool (CiPlan * plan, CiStep * step, GError ** error)
{
  if (step->node->padding >= step->node->kernel) {
    g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
        "max pooling whose padding (%d) is not smaller than its kernel (%d)",
        step->node->padding, step->node->kernel);
    return FALSE;
  }
  new_layer (plan, step, max_pool_block);
  return TRUE;
}

/* ---- squeeze and excitation --------------------------------------------- */

/* Sums of rows in single precision, of the map in double. */
CI_MULTIVERSION static void
mean_block (gpointer data, gint block)
{
  Layer *layer = data;
  const CiMap *src = layer->src;
  const CiV8 *in = (const CiV8 *) ci_map_block (src, block);
  gfloat *out = ci_map_block (layer->dst, block);
  gdouble total[CI_BLOCK] = { 0 };

  for (gint y = 0; y < src->h; y++, in += src->w) {
    CiV8 sum = ci_v8_set1 (0.0f);

    for (gint x = 0; x < src->w; x++)
      sum += in[x];
    for (gint l = 0; l < CI_BLOCK; l++)
      total[l] += sum[l];
  }
  for (gint l = 0; l < CI_BLOCK; l++)
    out[l] = total[l] / ((gdouble) src->h * src->w);
}

gboolean
ci_cpu_prepare_global_avg_pool (CiPlan * plan, CiStep * step, GError ** error)
{
  new_layer (plan, step, mean_block);
  return TRUE;
}

CI_MULTIVERSION static void
top_block (gpointer data, gint block)
{
  Layer *layer = data;
  const CiMap *src = layer->src;
  const CiV8 *in = (const CiV8 *) ci_map_block (src, block);
  CiV8 best = in[0];

  for (gsize i = 1; i < (gsize) src->h * src->w; i++)
    best = ci_v8_max (in[i], best);
  *(CiV8 *) ci_map_block (layer->dst, block) = best;
}

gboolean
ci_cpu_prepare_global_max_pool (CiPlan * plan, CiStep * step, GError ** error)
{
  new_layer (plan, step, top_block);
  return TRUE;
}

CI_MULTIVERSION static void
channel_scale_block (gpointer data, gint block)
{
  Layer *layer = data;
  gsize n = (gsize) layer->dst->h * layer->dst->w;
  const CiMap *factors = ci_plan_map (layer->plan, layer->node->srcs[1]);
  CiV8 factor = *(const CiV8 *) ci_map_block (factors, block);
  const CiV8 *a = (const CiV8 *) ci_map_block (layer->src, block);
  CiV8 *out = (CiV8 *) ci_map_block (layer->dst, block);

  if (layer->other) {
    const CiV8 *b = (const CiV8 *) ci_map_block (layer->other, block);

    for (gsize i = 0; i < n; i++)
      out[i] = a[i] * factor + b[i];
  } else {
    for (gsize i = 0; i < n; i++)
      out[i] = a[i] * factor;
  }
}

gboolean
ci_cpu_prepare_channel_scale (CiPlan * plan, CiStep * step, GError ** error)
{
  Layer *layer = new_layer (plan, step, channel_scale_block);

  if (step->node->residual != CI_NO_VALUE)
    layer->other = ci_plan_map (plan, step->node->residual);
  return TRUE;
}

/* ---- several maps ------------------------------------------------------- */

static void
concat_block (gpointer data, gint block)
{
  Layer *layer = data;
  const CiMap *dst = layer->dst;
  gsize n = (gsize) dst->h * dst->w;
  gint first = block * CI_BLOCK, at = 0;
  gfloat *out = ci_map_block (dst, block);

  for (gint k = 0; k < layer->node->n_srcs; k++) {
    const CiMap *src = ci_plan_map (layer->plan, layer->node->srcs[k]);
    gint c0 = MAX (first, at), c1 = MIN (first + CI_BLOCK, at + src->c);

    /* a whole block, or one that ends both maps */
    if (c0 == first && (c0 - at) % CI_BLOCK == 0 && (c1 - c0 == CI_BLOCK
            || c1 == dst->c)) {
      const gfloat *in = ci_map_block (src, (c0 - at) / CI_BLOCK);

      /* the plan may have put it there */
      if (in != out)
        memcpy (out, in, n * CI_BLOCK * sizeof (gfloat));
      return;
    }
    for (gint c = c0; c < c1; c++) {
      const gfloat *in = ci_map_block (src, (c - at) / CI_BLOCK)
          + (c - at) % CI_BLOCK;

      for (gsize i = 0; i < n; i++)
        out[i * CI_BLOCK + c - first] = in[i * CI_BLOCK];
    }
    at += src->c;
  }
  clear_dead_lanes (dst, block);
}

gboolean
ci_cpu_prepare_concat (CiPlan * plan, CiStep * step, GError ** error)
{
  new_layer (plan, step, concat_block);
  return TRUE;
}

/* Coordinates never change: there is nothing to run. */
gboolean
ci_cpu_prepare_coords (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiMap *dst = ci_plan_map (plan, step->value);
  gfloat dx = 2.0f / MAX (dst->w - 1, 1), dy = 2.0f / MAX (dst->h - 1, 1);
  gfloat *out = dst->data;

  for (gint y = 0; y < dst->h; y++)
    for (gint x = 0; x < dst->w; x++, out += CI_BLOCK) {
      gint c = 0;

      if (step->node->coord_x)
        out[c++] = x * dx - 1.0f;
      if (step->node->coord_y)
        out[c] = y * dy - 1.0f;
    }
  return TRUE;
}

CI_MULTIVERSION static void
weighted_add_block (gpointer data, gint block)
{
  Layer *layer = data;
  const CiNode *node = layer->node;
  gsize n = (gsize) layer->dst->h * layer->dst->w;
  CiV8 *out = (CiV8 *) ci_map_block (layer->dst, block);
  const CiV8 *in[MAX_MAPS];
  CiV8 weight[MAX_MAPS];

  for (gint k = 0; k < node->n_srcs; k++) {
    in[k] = (const CiV8 *) ci_map_block (ci_plan_map (layer->plan,
            node->srcs[k]), block);
    weight[k] = ci_v8_set1 (layer->scale[k]);
  }
  for (gsize i = 0; i < n; i++) {
    CiV8 sum = in[0][i] * weight[0];

    for (gint k = 1; k < node->n_srcs; k++)
      sum += in[k][i] * weight[k];
    out[i] = activate (sum, node->activation);
  }
  if (moves_zero (node->activation))
    clear_dead_lanes (layer->dst, block);
}

gboolean
ci_cpu_prepare_weighted_add (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  Layer *layer = new_layer (plan, step, weighted_add_block);
  gint64 n = node->n_srcs;
  gdouble total = 1e-4;

  if (n > MAX_MAPS) {
    g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
        "a weighted sum of %d maps (at most %d)", node->n_srcs, MAX_MAPS);
    return FALSE;
  }
  if (!(layer->scale = ci_plan_tensor (plan, node->name, "", 1, &n, error)))
    return FALSE;
  for (gint k = 0; k < n; k++)
    total += MAX (layer->scale[k], 0);
  for (gint k = 0; k < n; k++)
    layer->scale[k] = MAX (layer->scale[k], 0) / total;
  return TRUE;
}

/* ---- resizing ---------------------------------------------------------- */

CiTap *
ci_cpu_resize_taps (CiResizeMode mode, gint factor, gint n, gint n_out)
{
  CiTap *taps = g_new0 (CiTap, n_out);

  for (gint o = 0; o < n_out; o++) {
    CiTap *tap = &taps[o];
    gint u = MAX (o - factor / 2, 0);
    gfloat t = MAX ((o + 0.5f) * ((gfloat) n / n_out) - 0.5f, 0.0f);

    switch (mode) {
      case CI_RESIZE_NEAREST:
        tap->i0 = (gint64) o * n / n_out;
        break;
      case CI_RESIZE_ALIGNED_BILINEAR:
        /* source sample i lies at i * factor + factor / 2 */
        tap->i0 = u / factor;
        tap->a = (gfloat) (u % factor) / factor;
        break;
      case CI_RESIZE_BILINEAR:
        tap->i0 = MIN ((gint) t, n - 1);
        tap->a = t - tap->i0;
        break;
    }
    tap->i1 = MIN (tap->i0 + 1, n - 1);
  }
  return taps;
}

CI_MULTIVERSION static void
resize_block (gpointer data, gint block)
{
  Layer *layer = data;
  const CiMap *src = layer->src, *dst = layer->dst;
  const CiV8 *in = (const CiV8 *) ci_map_block (src, block);
  const CiV8 *residual = layer->other ?
      (const CiV8 *) ci_map_block (layer->other, block) : NULL;
  CiV8 *out = (CiV8 *) ci_map_block (dst, block);
  gboolean nearest = layer->node->resize_mode == CI_RESIZE_NEAREST;

  for (gint y = 0; y < dst->h; y++) {
    const CiV8 *row0 = in + layer->ys[y].i0 * src->w;
    const CiV8 *row1 = in + layer->ys[y].i1 * src->w;
    CiV8 ay = ci_v8_set1 (layer->ys[y].a);

    for (gint x = 0; x < dst->w; x++) {
      const CiTap *tap = &layer->xs[x];
      CiV8 v = row0[tap->i0];

      if (!nearest) {
        CiV8 ax = ci_v8_set1 (tap->a), b = row1[tap->i0];

        v += (row0[tap->i1] - v) * ax;
        b += (row1[tap->i1] - b) * ax;
        v += (b - v) * ay;
      }
      *out++ = residual ? v + *residual++ : v;
    }
  }
}

gboolean
ci_cpu_prepare_resize (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  Layer *layer = new_layer (plan, step, resize_block);
  gint factor = layer->dst->h / layer->src->h;

  layer->ys = ci_cpu_resize_taps (node->resize_mode, factor, layer->src->h,
      layer->dst->h);
  layer->xs = ci_cpu_resize_taps (node->resize_mode, factor, layer->src->w,
      layer->dst->w);
  if (node->residual != CI_NO_VALUE)
    layer->other = ci_plan_map (plan, node->residual);
  return TRUE;
}
