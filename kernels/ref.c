/*
 * ref.c: every op in plain C on NCHW, the way its definition reads. The
 * yardstick for the others: slow, double sums, no tricks, nothing shared with
 * them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "ref.h"

#include <math.h>
#include <string.h>

static gfloat
sigmoid (gfloat x)
{
  return 1.0 / (1.0 + exp (-(gdouble) x));
}

static gfloat
activate (gfloat x, CiActivation activation)
{
  switch (activation) {
    case CI_ACTIVATION_NONE:
      break;
    case CI_ACTIVATION_RELU:
      return MAX (x, 0);
    case CI_ACTIVATION_RELU6:
      return CLAMP (x, 0, 6);
    case CI_ACTIVATION_SWISH:
      return x / (1.0 + exp (-(gdouble) x));
    case CI_ACTIVATION_HARD_SIGMOID:
      return CLAMP (x + 3, 0, 6) / 6;
    case CI_ACTIVATION_LEAKY_RELU:
      return x > 0 ? x : x * CI_LEAKY_RELU_SLOPE;
    case CI_ACTIVATION_SIGMOID:
      return sigmoid (x);
    case CI_ACTIVATION_TANH:
      return tanh (x);
  }
  return x;
}

static gfloat *
at (const CiMap * map, gint c, gint y, gint x)
{
  return map->data + ((gsize) c * map->h + y) * map->w + x;
}

typedef struct
{
  gfloat *weight, *bias, *mean, *var;
} State;

static void
state_free (gpointer data)
{
  State *state = data;

  g_free (state->weight);
  g_free (state->bias);
  g_free (state->mean);
  g_free (state->var);
  g_free (state);
}

static gboolean
run_conv (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const State *state = step->state;
  const CiMap *src = ci_plan_map (plan, node->srcs[0]);
  const CiMap *dst = ci_plan_map (plan, step->value);
  gint in = src->c / node->groups, out = dst->c / node->groups;
  gint k = node->kernel;

  for (gint o = 0; o < dst->c; o++)
    for (gint y = 0; y < dst->h; y++)
      for (gint x = 0; x < dst->w; x++) {
        gdouble sum = state->bias[o];

        for (gint i = 0; i < in; i++)
          for (gint ky = 0; ky < k; ky++)
            for (gint kx = 0; kx < k; kx++) {
              gint sy = y * node->stride - node->padding + ky;
              gint sx = x * node->stride - node->padding + kx;

              if (sy >= 0 && sy < src->h && sx >= 0 && sx < src->w)
                sum += (gdouble) state->weight[((o * in + i) * k + ky) * k
                    + kx] * *at (src, o / out * in + i, sy, sx);
            }
        if (node->residual != CI_NO_VALUE)
          sum += *at (ci_plan_map (plan, node->residual), o, y, x);
        *at (dst, o, y, x) = activate (sum, node->activation);
      }
  return TRUE;
}

static gboolean
run_deconv (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const State *state = step->state;
  const CiMap *src = ci_plan_map (plan, node->srcs[0]);
  const CiMap *dst = ci_plan_map (plan, step->value);

  for (gint o = 0; o < dst->c; o++)
    for (gint y = 0; y < dst->h; y++)
      for (gint x = 0; x < dst->w; x++) {
        gdouble sum = state->bias[o];

        for (gint i = 0; i < src->c; i++)
          sum += (gdouble) state->weight[((i * dst->c + o) * 2 + y % 2) * 2
              + x % 2] * *at (src, i, y / 2, x / 2);
        *at (dst, o, y, x) = activate (sum, node->activation);
      }
  return TRUE;
}

static gboolean
run_batch_norm (CiPlan * plan, CiStep * step, GError ** error)
{
  const State *s = step->state;
  const CiMap *src = ci_plan_map (plan, step->node->srcs[0]);
  const CiMap *dst = ci_plan_map (plan, step->value);

  for (gint c = 0; c < dst->c; c++)
    for (gint i = 0; i < dst->h * dst->w; i++)
      at (dst, c, 0, 0)[i] = (at (src, c, 0, 0)[i] - s->mean[c])
          / sqrt ((gdouble) s->var[c] + step->node->eps) * s->weight[c]
          + s->bias[c];
  return TRUE;
}

static gboolean
run_group_norm (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const State *state = step->state;
  const CiMap *src = ci_plan_map (plan, node->srcs[0]);
  const CiMap *dst = ci_plan_map (plan, step->value);
  gint per = dst->c / node->groups;
  gsize plane = (gsize) dst->h * dst->w, n = per * plane;

  for (gint g = 0; g < node->groups; g++) {
    const gfloat *in = at (src, g * per, 0, 0);
    gdouble mean = 0, var = 0;

    for (gsize i = 0; i < n; i++)
      mean += in[i];
    mean /= n;
    for (gsize i = 0; i < n; i++)
      var += (in[i] - mean) * (in[i] - mean);
    var /= n;
    for (gsize i = 0; i < n; i++) {
      gint c = g * per + i / plane;

      at (dst, g * per, 0, 0)[i] = activate ((in[i] - mean) / sqrt (var + 1e-5)
          * state->weight[c] + state->bias[c], node->activation);
    }
  }
  return TRUE;
}

static gboolean
run_pointwise (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const State *state = step->state;
  const CiMap *dst = ci_plan_map (plan, step->value);
  const gfloat *a = ci_plan_map (plan, node->srcs[0])->data;
  gsize n = ci_map_floats (dst);

  for (gsize i = 0; i < n; i++) {
    if (node->op == CI_OP_ADD)
      dst->data[i] = a[i] + ci_plan_map (plan, node->srcs[1])->data[i];
    else if (node->op == CI_OP_SCALE)
      dst->data[i] = a[i] * state->weight[0];
    else
      dst->data[i] = activate (a[i], node->activation);
  }
  return TRUE;
}

static gboolean
run_max_pool (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const CiMap *src = ci_plan_map (plan, node->srcs[0]);
  const CiMap *dst = ci_plan_map (plan, step->value);

  for (gint c = 0; c < dst->c; c++)
    for (gint y = 0; y < dst->h; y++)
      for (gint x = 0; x < dst->w; x++) {
        gfloat best = -INFINITY;

        for (gint ky = 0; ky < node->kernel; ky++)
          for (gint kx = 0; kx < node->kernel; kx++) {
            gint sy = y * node->stride - node->padding + ky;
            gint sx = x * node->stride - node->padding + kx;

            if (sy >= 0 && sy < src->h && sx >= 0 && sx < src->w)
              best = MAX (best, *at (src, c, sy, sx));
          }
        *at (dst, c, y, x) = best;
      }
  return TRUE;
}

/* The closed form of aligned_bilinear (SEMANTICS 9): where output cell @o of
 * an axis of @n cells enlarged @f times lies between the cells @i0 and @i1. */
static gdouble
aligned_position (gint o, gint f, gint n, gint * i0, gint * i1)
{
  gdouble t = (gdouble) MAX (o - f / 2, 0) / f;

  *i0 = floor (t);
  *i1 = MIN (*i0 + 1, n - 1);
  return t - *i0;
}

static gdouble
aligned_sample (const gfloat * plane, gint h, gint w, gint f, gint y, gint x)
{
  gint y0, y1, x0, x1;
  gdouble ay = aligned_position (y, f, h, &y0, &y1);
  gdouble ax = aligned_position (x, f, w, &x0, &x1);

  return (1 - ay) * ((1 - ax) * plane[y0 * w + x0] + ax * plane[y0 * w + x1])
      + ay * ((1 - ax) * plane[y1 * w + x0] + ax * plane[y1 * w + x1]);
}

/* Half-pixel bilinear, as torch has it: positions are floats. */
static gdouble
bilinear_position (gint o, gint n_out, gint n, gint * i0, gint * i1)
{
  gfloat t = MAX ((o + 0.5f) * ((gfloat) n / n_out) - 0.5f, 0.0f);

  *i0 = MIN ((gint) t, n - 1);
  *i1 = MIN (*i0 + 1, n - 1);
  return t - *i0;
}

static gdouble
bilinear_sample (const gfloat * plane, gint h, gint w, gint out_h, gint out_w,
    gint y, gint x)
{
  gint y0, y1, x0, x1;
  gdouble ay = bilinear_position (y, out_h, h, &y0, &y1);
  gdouble ax = bilinear_position (x, out_w, w, &x0, &x1);

  return (1 - ay) * ((1 - ax) * plane[y0 * w + x0] + ax * plane[y0 * w + x1])
      + ay * ((1 - ax) * plane[y1 * w + x0] + ax * plane[y1 * w + x1]);
}

static gboolean
run_resize (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const CiMap *src = ci_plan_map (plan, node->srcs[0]);
  const CiMap *dst = ci_plan_map (plan, step->value);

  for (gint c = 0; c < dst->c; c++)
    for (gint y = 0; y < dst->h; y++)
      for (gint x = 0; x < dst->w; x++) {
        const gfloat *plane = at (src, c, 0, 0);
        gdouble v = 0;

        switch (node->resize_mode) {
          case CI_RESIZE_NEAREST:
            v = *at (src, c, y * src->h / dst->h, x * src->w / dst->w);
            break;
          case CI_RESIZE_ALIGNED_BILINEAR:
            v = aligned_sample (plane, src->h, src->w, dst->h / src->h, y, x);
            break;
          case CI_RESIZE_BILINEAR:
            v = bilinear_sample (plane, src->h, src->w, dst->h, dst->w, y, x);
            break;
        }
        if (node->residual != CI_NO_VALUE)
          v += *at (ci_plan_map (plan, node->residual), c, y, x);
        *at (dst, c, y, x) = v;
      }
  return TRUE;
}

static gboolean
run_global_avg_pool (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiMap *src = ci_plan_map (plan, step->node->srcs[0]);
  const CiMap *dst = ci_plan_map (plan, step->value);
  gint n = src->h * src->w;

  for (gint c = 0; c < dst->c; c++) {
    gdouble sum = 0;

    for (gint i = 0; i < n; i++)
      sum += at (src, c, 0, 0)[i];
    dst->data[c] = sum / n;
  }
  return TRUE;
}

static gboolean
run_global_max_pool (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiMap *src = ci_plan_map (plan, step->node->srcs[0]);
  const CiMap *dst = ci_plan_map (plan, step->value);

  for (gint c = 0; c < dst->c; c++) {
    dst->data[c] = -INFINITY;
    for (gint i = 0; i < src->h * src->w; i++)
      dst->data[c] = MAX (dst->data[c], at (src, c, 0, 0)[i]);
  }
  return TRUE;
}

static gboolean
run_channel_scale (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const CiMap *src = ci_plan_map (plan, node->srcs[0]);
  const CiMap *dst = ci_plan_map (plan, step->value);

  for (gint c = 0; c < dst->c; c++) {
    gfloat factor = ci_plan_map (plan, node->srcs[1])->data[c];

    for (gint i = 0; i < dst->h * dst->w; i++)
      at (dst, c, 0, 0)[i] = at (src, c, 0, 0)[i] * factor;
  }
  return TRUE;
}

static gboolean
run_concat (CiPlan * plan, CiStep * step, GError ** error)
{
  gfloat *out = ci_plan_map (plan, step->value)->data;

  for (gint k = 0; k < step->node->n_srcs; k++) {
    const CiMap *src = ci_plan_map (plan, step->node->srcs[k]);

    /* the plan may have put it there */
    if (out != src->data)
      memcpy (out, src->data, ci_map_floats (src) * sizeof (gfloat));
    out += ci_map_floats (src);
  }
  return TRUE;
}

static gboolean
run_coords (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiMap *dst = ci_plan_map (plan, step->value);

  for (gint y = 0; y < dst->h; y++)
    for (gint x = 0; x < dst->w; x++) {
      gint c = 0;

      if (step->node->coord_x)
        *at (dst, c++, y, x) = -1 + 2.0 * x / MAX (dst->w - 1, 1);
      if (step->node->coord_y)
        *at (dst, c, y, x) = -1 + 2.0 * y / MAX (dst->h - 1, 1);
    }
  return TRUE;
}

static gboolean
run_weighted_add (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const State *state = step->state;
  const CiMap *dst = ci_plan_map (plan, step->value);
  gdouble total = 1e-4;

  for (gint k = 0; k < node->n_srcs; k++)
    total += MAX (state->weight[k], 0);
  for (gsize i = 0; i < ci_map_floats (dst); i++) {
    gdouble sum = 0;

    for (gint k = 0; k < node->n_srcs; k++)
      sum += MAX (state->weight[k], 0) / total
          * ci_plan_map (plan, node->srcs[k])->data[i];
    dst->data[i] = sum;
  }
  return TRUE;
}

/* Bilinear in a map with zeros around it. */
static gdouble
zero_padded_sample (const CiMap * map, gint c, gfloat y, gfloat x)
{
  gint y0 = floorf (y), x0 = floorf (x);
  gdouble sum = 0;

  for (gint k = 0; k < 4; k++) {
    gint sy = y0 + k / 2, sx = x0 + k % 2;

    if (sy >= 0 && sy < map->h && sx >= 0 && sx < map->w)
      sum += (1 - fabs ((gdouble) y - sy)) * (1 - fabs ((gdouble) x - sx))
          * *at (map, c, sy, sx);
  }
  return sum;
}

static gboolean
run_deform_conv (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const State *state = step->state;
  const CiMap *src = ci_plan_map (plan, node->srcs[0]);
  const CiMap *offsets = ci_plan_map (plan, node->srcs[1]);
  const CiMap *dst = ci_plan_map (plan, step->value);
  gint in = src->c / node->groups, out = dst->c / node->groups;
  gint k2 = node->kernel * node->kernel;
  g_autofree gdouble *column = g_new (gdouble, src->c * k2);

  for (gint y = 0; y < dst->h; y++)
    for (gint x = 0; x < dst->w; x++) {
      for (gint t = 0; t < k2; t++) {
        gfloat sy = y * node->stride - node->padding + t / node->kernel
            + *at (offsets, 2 * t, y, x);
        gfloat sx = x * node->stride - node->padding + t % node->kernel
            + *at (offsets, 2 * t + 1, y, x);
        gfloat mask = sigmoid (*at (offsets, 2 * k2 + t, y, x));

        for (gint i = 0; i < src->c; i++)
          column[i * k2 + t] = mask * zero_padded_sample (src, i, sy, sx);
      }
      for (gint o = 0; o < dst->c; o++) {
        const gfloat *w = state->weight + (gsize) o * in * k2;
        const gdouble *of_group = column + o / out * in * k2;
        gdouble sum = state->bias[o];

        for (gint i = 0; i < in * k2; i++)
          sum += w[i] * of_group[i];
        *at (dst, o, y, x) = sum;
      }
    }
  return TRUE;
}

/* ---- detection -------------------------------------------------------- */

gint
ci_ref_compare_candidates (gconstpointer a, gconstpointer b, gpointer user_data)
{
  const CiCandidate *x = a, *y = b;

  if (x->value != y->value)
    return x->value < y->value ? 1 : -1;
  if (x->level != y->level)
    return x->level - y->level;
  if (x->cell != y->cell)
    return x->cell - y->cell;
  return x->cls - y->cls;
}

gdouble
ci_ref_iou (const CiCandidate * a, const CiCandidate * b)
{
  gfloat w = MIN (a->x1, b->x1) - MAX (a->x0, b->x0);
  gfloat h = MIN (a->y1, b->y1) - MAX (a->y0, b->y0);
  gfloat inter = MAX (w, 0) * MAX (h, 0);

  return inter / ((a->x1 - a->x0) * (a->y1 - a->y0)
      + (b->x1 - b->x0) * (b->y1 - b->y0) - inter);
}

static gboolean
run_fcos_detect (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const CiDetectParams *params = plan->params;
  CiDetectionBuffer *out = &plan->buffers[step->value].detections;
  GArray *all = g_array_sized_new (FALSE, FALSE, sizeof (CiCandidate), 64);
  g_autofree guint8 *dropped = NULL;

  for (gint l = 0; l < node->n_levels; l++) {
    const CiMap *logits = ci_plan_map (plan, node->srcs[3 * l]);
    const CiMap *reg = ci_plan_map (plan, node->srcs[3 * l + 1]);
    const CiMap *ctr = ci_plan_map (plan, node->srcs[3 * l + 2]);
    gint s = node->strides[l], first = all->len;

    for (gint y = 0; y < logits->h; y++)
      for (gint x = 0; x < logits->w; x++)
        for (gint c = 0; c < logits->c; c++) {
          gfloat p = sigmoid (*at (logits, c, y, x));
          gfloat v = p * sigmoid (*at (ctr, 0, y, x));
          gfloat px = x * s + s / 2, py = y * s + s / 2;
          CiCandidate candidate = {
            px - s * *at (reg, 0, y, x), py - s * *at (reg, 1, y, x),
            px + s * *at (reg, 2, y, x), py + s * *at (reg, 3, y, x),
            v, c, l, y * logits->w + x
          };

          /* broken weights give what is no number */
          if ((node->thresh_with_ctr ? v : p) > params->inference_threshold
              && v >= 0 && isfinite (candidate.x0 + candidate.y0
                  + candidate.x1 + candidate.y1)
              && (!params->classes || params->classes[c]))
            g_array_append_val (all, candidate);
        }
    g_qsort_with_data (&g_array_index (all, CiCandidate, first),
        all->len - first, sizeof (CiCandidate), ci_ref_compare_candidates,
        NULL);
    if ((gint) all->len - first > params->pre_nms_top_k)
      g_array_set_size (all, first + params->pre_nms_top_k);
  }
  g_array_sort_with_data (all, ci_ref_compare_candidates, NULL);

  dropped = g_new0 (guint8, all->len + 1);
  out->count = 0;
  for (guint i = 0; i < all->len; i++) {
    const CiCandidate *a = &g_array_index (all, CiCandidate, i);

    if (dropped[i])
      continue;
    for (guint k = i + 1; k < all->len; k++) {
      const CiCandidate *b = &g_array_index (all, CiCandidate, k);

      if (a->cls == b->cls ? ci_ref_iou (a, b) > params->nms_threshold
          : params->cross_class_threshold > 0
          && ci_ref_iou (a, b) > params->cross_class_threshold)
        dropped[k] = 1;
    }
    if (out->count >= MIN (params->post_nms_top_k, node->capacity))
      break;
    ci_detections_set (out, out->count++, a,
        ci_plan_map (plan, node->srcs[3 * a->level])->w,
        node->strides[a->level]);
  }
  g_array_unref (all);
  return TRUE;
}

static gboolean
run_conv_at (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const State *state = step->state;
  const CiDetectionBuffer *d =
      &plan->buffers[node->srcs[node->n_levels]].detections;
  gint k = node->kernel;

  for (gint n = 0; n < d->count; n++) {
    const CiMap *src = ci_plan_map (plan, node->srcs[d->levels[n]]);
    gint cy = d->cells[n] / src->w, cx = d->cells[n] % src->w;

    for (gint o = 0; o < node->channels; o++) {
      gdouble sum = state->bias[o];

      for (gint i = 0; i < src->c; i++)
        for (gint ky = 0; ky < k; ky++)
          for (gint kx = 0; kx < k; kx++) {
            gint y = cy + ky - k / 2, x = cx + kx - k / 2;

            if (y >= 0 && y < src->h && x >= 0 && x < src->w)
              sum += (gdouble) state->weight[((o * src->c + i) * k + ky) * k
                  + kx] * *at (src, i, y, x);
          }
      ci_plan_map (plan, step->value)->data[n * node->channels + o] = sum;
    }
  }
  return TRUE;
}

/* One cell of the dynamic head: @x has the input channels, coordinates
 * first. The parameters are all weights, layer by layer, then all biases. */
static gdouble
head_cell (const CiMaskHeadParams * mask, gint in, const gfloat * params,
    gdouble * x)
{
  gint widths[10], n_weights = 0;
  const gfloat *w = params, *b;

  widths[0] = in;
  for (gint l = 1; l <= mask->n_layers; l++) {
    widths[l] = l == mask->n_layers ? 1 : mask->channels;
    n_weights += widths[l - 1] * widths[l];
  }
  b = params + n_weights;
  for (gint l = 1; l <= mask->n_layers; l++) {
    gdouble y[64];

    for (gint o = 0; o < widths[l]; o++) {
      y[o] = *b++;
      for (gint i = 0; i < widths[l - 1]; i++)
        y[o] += *w++ * x[i];
      if (l < mask->n_layers)
        y[o] = MAX (y[o], 0);
    }
    memcpy (x, y, widths[l] * sizeof (gdouble));
  }
  return x[0];
}

static gboolean
run_mask_head (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const CiMaskHeadParams *mask = &node->mask;
  const CiMap *src = ci_plan_map (plan, node->srcs[0]);
  const CiDetectionBuffer *d = &plan->buffers[node->srcs[1]].detections;
  const CiMap *params = ci_plan_map (plan, node->srcs[2]);
  CiBuffer *out = &plan->buffers[step->value];
  gint f = mask->stride / mask->out_stride;
  g_autofree gfloat *logits = g_new (gfloat, src->h * src->w);

  for (gint n = 0; n < d->count; n++) {
    gfloat *prob = out->prob + n * out->grid_size;
    gfloat soi = mask->sizes_of_interest[d->levels[n]];

    for (gint y = 0; y < src->h; y++)
      for (gint x = 0; x < src->w; x++) {
        gdouble in[64];
        gint k = 0;

        if (mask->rel_coords) {
          in[k++] = (d->locations[2 * n] - (mask->stride * x
                  + mask->stride / 2)) / soi;
          in[k++] = (d->locations[2 * n + 1] - (mask->stride * y
                  + mask->stride / 2)) / soi;
        }
        for (gint c = 0; c < src->c; c++)
          in[k++] = *at (src, c, y, x);
        logits[y * src->w + x] = head_cell (mask, k,
            params->data + n * params->c, in);
      }
    /* the whole map, also where only the box is asked for */
    out->grids[n] = (CiMaskGrid) {
    -1, -1, src->w * f + 1, src->h * f + 1,.prob = prob};
    ci_plan_place_grid (plan, &out->grids[n]);
    for (gint y = -1; y < src->h * f; y++)
      for (gint x = -1; x < src->w * f; x++)
        *prob++ = sigmoid (aligned_sample (logits, src->h, src->w, f, y, x));
  }
  return TRUE;
}

static gboolean
run_blend_masks (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const CiMap *bases = ci_plan_map (plan, node->srcs[0]);
  const CiDetectionBuffer *d = &plan->buffers[node->srcs[1]].detections;
  const CiMap *rows = ci_plan_map (plan, node->srcs[2]);
  CiBuffer *out = &plan->buffers[step->value];
  gint size = node->blend.resolution, m = node->blend.attention_size;
  gfloat scale = 1.0f / node->blend.stride;

  for (gint n = 0; n < d->count; n++) {
    const gfloat *box = d->boxes + 4 * n;
    const gfloat *attention = rows->data + n * rows->c;
    gfloat *prob = out->prob + n * out->grid_size;
    gfloat x0 = box[0] * scale - 0.5f, y0 = box[1] * scale - 0.5f;
    gfloat bin_w = (box[2] * scale - 0.5f - x0) / size;
    gfloat bin_h = (box[3] * scale - 0.5f - y0) / size;

    out->grids[n] = (CiMaskGrid) {
    0, 0, size, size,.prob = prob,.in_box = TRUE};
    for (gint y = 0; y < size; y++)
      for (gint x = 0; x < size; x++) {
        gdouble sum = 0, norm = 0, top = -INFINITY;

        for (gint b = 0; b < bases->c; b++)
          top = MAX (top, bilinear_sample (attention + b * m * m, m, m, size,
                  size, y, x));
        for (gint b = 0; b < bases->c; b++) {
          gdouble weight = exp (bilinear_sample (attention + b * m * m, m, m,
                  size, size, y, x) - top);

          norm += weight;
          sum += weight * ci_ref_roi_sample (bases, b,
              y0 + (y + 0.5f) * bin_h, x0 + (x + 0.5f) * bin_w);
        }
        *prob++ = sigmoid (sum / norm);
      }
  }
  return TRUE;
}

static gboolean
prepare (CiPlan * plan, CiStep * step, GError ** error)
{
  static const CiStepFunc funcs[] = {
    [CI_OP_CONV] = run_conv,
    [CI_OP_DECONV] = run_deconv,
    [CI_OP_BATCH_NORM] = run_batch_norm,
    [CI_OP_GROUP_NORM] = run_group_norm,
    [CI_OP_ACTIVATION] = run_pointwise,
    [CI_OP_SCALE] = run_pointwise,
    [CI_OP_ADD] = run_pointwise,
    [CI_OP_MAX_POOL] = run_max_pool,
    [CI_OP_GLOBAL_AVG_POOL] = run_global_avg_pool,
    [CI_OP_GLOBAL_MAX_POOL] = run_global_max_pool,
    [CI_OP_CHANNEL_SCALE] = run_channel_scale,
    [CI_OP_CONCAT] = run_concat,
    [CI_OP_COORDS] = run_coords,
    [CI_OP_WEIGHTED_ADD] = run_weighted_add,
    [CI_OP_RESIZE] = run_resize,
    [CI_OP_DEFORM_CONV] = run_deform_conv,
    [CI_OP_FCOS_DETECT] = run_fcos_detect,
    [CI_OP_MULTIBOX_DETECT] = ci_ref_run_multibox_detect,
    [CI_OP_GATHER] = ci_ref_run_gather,
    [CI_OP_CONV_AT] = run_conv_at,
    [CI_OP_ROI_ALIGN] = ci_ref_run_roi_align,
    [CI_OP_MASK_HEAD] = run_mask_head,
    [CI_OP_BLEND_MASKS] = run_blend_masks,
    [CI_OP_ASSEMBLE_MASKS] = ci_ref_run_assemble_masks,
    [CI_OP_ASSEMBLE_ITEMS] = ci_ref_run_assemble_items,
    [CI_OP_RESCORE] = ci_ref_run_rescore,
  };
  const CiNode *node = step->node;
  State *state;
  gint64 c = node->channels, one = 1, n_srcs = node->n_srcs;

  switch (node->op) {
    case CI_OP_RPN:
      return ci_ref_prepare_rpn (plan, step, error);
    case CI_OP_BOX_DETECT:
      return ci_ref_prepare_box_detect (plan, step, error);
    case CI_OP_CLASS_MASKS:
      return ci_ref_prepare_class_masks (plan, step, error);
    case CI_OP_POINT_REND:
      return ci_ref_prepare_point_rend (plan, step, error);
    case CI_OP_SOLO_DETECT:
    case CI_OP_SOLO_MASKS:
      return ci_ref_prepare_solo (plan, step, error);
    default:
      break;
  }
  state = g_new0 (State, 1);
  step->run = funcs[node->op];
  step->all_items = node->op == CI_OP_ROI_ALIGN
      || node->op == CI_OP_ASSEMBLE_ITEMS;
  step->state = state;
  step->free_state = state_free;
  switch (node->op) {
    case CI_OP_CONV:
    case CI_OP_DECONV:
    case CI_OP_DEFORM_CONV:
    case CI_OP_CONV_AT:
      return ci_plan_fold_conv (plan, node, &state->weight, &state->bias,
          error);
    case CI_OP_BATCH_NORM:
    case CI_OP_GROUP_NORM:
      if (!(state->weight = ci_plan_tensor (plan, node->name, ".weight", 1,
                  &c, error))
          || !(state->bias = ci_plan_tensor (plan, node->name, ".bias", 1, &c,
                  error)))
        return FALSE;
      if (node->op == CI_OP_GROUP_NORM)
        return TRUE;
      return (state->mean = ci_plan_tensor (plan, node->name, ".running_mean",
              1, &c, error))
          && (state->var = ci_plan_tensor (plan, node->name, ".running_var",
              1, &c, error));
    case CI_OP_SCALE:
      state->weight = ci_plan_tensor (plan, node->name, "", 1, &one, error);
      return state->weight != NULL;
    case CI_OP_WEIGHTED_ADD:
      state->weight = ci_plan_tensor (plan, node->name, "", 1, &n_srcs, error);
      return state->weight != NULL;
    default:
      return TRUE;
  }
}

const CiBackendFuncs ci_backend_ref = { 1, .prepare = prepare };
