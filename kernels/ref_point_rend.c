/*
 * ref_point_rend.c: PointRend's subdivision inference in plain C
 * (SEMANTICS-pointrend), point by point.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "ref.h"

#include <math.h>
#include <string.h>

typedef struct
{
  gint n_layers;                /* the predictor included */
  gfloat **weights, **biases;
  gint64 (*dims)[3];
} PointHead;

static void
point_head_free (gpointer data)
{
  PointHead *head = data;

  for (gint l = 0; l < head->n_layers; l++) {
    g_free (head->weights[l]);
    g_free (head->biases[l]);
  }
  g_free (head->weights);
  g_free (head->biases);
  g_free (head->dims);
  g_free (head);
}

/* torch's grid_sample: bilinear, zeros around the plane. */
static gdouble
sample (const gfloat * plane, gint h, gint w, gfloat y, gfloat x)
{
  gdouble sum = 0;

  if (!(y > -1 && y < h && x > -1 && x < w))
    return 0;
  for (gint k = 0; k < 4; k++) {
    gint sy = floorf (y) + k / 2, sx = floorf (x) + k % 2;

    if (sy >= 0 && sy < h && sx >= 0 && sx < w)
      sum += (1 - fabs ((gdouble) y - sy)) * (1 - fabs ((gdouble) x - sx))
          * plane[sy * w + sx];
  }
  return sum;
}

/* One detection. */
typedef struct
{
  const PointHead *head;
  const CiMap *features;
  gint stride, n_classes, size; /* of the coarse logits */
  const gfloat *box, *coarse;
  gint cls;
} Instance;

/* The logit of the point (@u, @v) of the box. */
static gdouble
point_logit (const Instance * in, gfloat u, gfloat v)
{
  const CiMap *f = in->features;
  gint n_classes = in->n_classes, size = in->size;
  gfloat x = in->box[0] + u * (in->box[2] - in->box[0]);
  gfloat y = in->box[1] + v * (in->box[3] - in->box[1]);
  gint hidden = f->c;
  g_autofree gdouble *values = NULL, *next = NULL, *coarse = NULL;

  for (gint l = 0; l < in->head->n_layers; l++)
    hidden = MAX (hidden, in->head->dims[l][0]);
  values = g_new (gdouble, hidden);
  next = g_new (gdouble, hidden);
  coarse = g_new (gdouble, n_classes);
  for (gint i = 0; i < f->c; i++)
    values[i] = sample (f->data + (gsize) i * f->h * f->w, f->h, f->w,
        y / in->stride - 0.5f, x / in->stride - 0.5f);
  for (gint i = 0; i < n_classes; i++)
    coarse[i] = sample (in->coarse + i * size * size, size, size,
        v * size - 0.5f, u * size - 0.5f);

  for (gint l = 0; l < in->head->n_layers; l++) {
    const gint64 *dims = in->head->dims[l];
    gint n = dims[1] - n_classes;
    gboolean last = l == in->head->n_layers - 1;

    for (gint o = 0; o < dims[0]; o++) {
      const gfloat *w = in->head->weights[l] + o * dims[1];
      gdouble sum = in->head->biases[l][o];

      for (gint i = 0; i < n; i++)
        sum += w[i] * values[i];
      for (gint i = 0; i < n_classes; i++)
        sum += w[n + i] * coarse[i];
      if (last && o == in->cls)
        return sum;
      next[o] = MAX (sum, 0);
    }
    memcpy (values, next, dims[0] * sizeof (gdouble));
  }
  g_return_val_if_reached (0);
}

/* @map of @size cells a side, twice as large: bilinear, half-pixel. */
static gfloat *
enlarge (const gfloat * map, gint size)
{
  gfloat *large = g_new (gfloat, 4 * size * size);

  for (gint y = 0; y < 2 * size; y++)
    for (gint x = 0; x < 2 * size; x++) {
      gdouble ty = MAX (y / 2.0 - 0.25, 0), tx = MAX (x / 2.0 - 0.25, 0);
      gint y0 = ty, x0 = tx;
      gint y1 = MIN (y0 + 1, size - 1), x1 = MIN (x0 + 1, size - 1);
      gdouble ay = ty - y0, ax = tx - x0;

      large[y * 2 * size + x] = (1 - ay) * ((1 - ax) * map[y0 * size + x0]
          + ax * map[y0 * size + x1])
          + ay * ((1 - ax) * map[y1 * size + x0] + ax * map[y1 * size + x1]);
    }
  return large;
}

/* The least certain first; of equals, the first. */
static gint
compare_cells (gconstpointer a, gconstpointer b, gpointer user_data)
{
  const gfloat *map = user_data;
  gint x = *(const gint *) a, y = *(const gint *) b;

  if (fabsf (map[x]) != fabsf (map[y]))
    return fabsf (map[x]) < fabsf (map[y]) ? -1 : 1;
  return x - y;
}

/* New logits for the @n least certain cells. */
static void
refine (const Instance * in, gfloat * map, gint size, gint n)
{
  g_autofree gint *cells = g_new (gint, size * size);

  for (gint i = 0; i < size * size; i++)
    cells[i] = i;
  g_qsort_with_data (cells, size * size, sizeof (gint), compare_cells, map);
  for (gint i = 0; i < MIN (n, size * size); i++)
    map[cells[i]] = point_logit (in, (cells[i] % size + 0.5f) / size,
        (cells[i] / size + 0.5f) / size);
}

static gboolean
run_point_rend (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const CiPointRendParams *params = &node->point_rend;
  const CiDetectionBuffer *d = &plan->buffers[node->srcs[2]].detections;
  CiBuffer *out = &plan->buffers[step->value];
  const CiMap *coarse = ci_plan_map (plan, node->srcs[1]);
  Instance in = { step->state, ci_plan_map (plan, node->srcs[0]),
    params->stride, node->channels, params->coarse_size
  };

  for (gint n = 0; n < d->count; n++) {
    gint size = params->start_size;
    gfloat *map = g_new0 (gfloat, size * size);
    gfloat *prob = out->prob + n * out->grid_size;

    in.box = d->boxes + 4 * n;
    in.coarse = coarse->data + n * ci_map_floats (coarse);
    in.cls = d->classes[n];
    refine (&in, map, size, size * size);
    for (gint s = 0; s < params->n_steps; s++) {
      gfloat *large = enlarge (map, size);

      g_free (map);
      map = large;
      size *= 2;
      refine (&in, map, size, params->n_points);
    }
    for (gint i = 0; i < size * size; i++)
      prob[i] = 1 / (1 + exp (-(gdouble) map[i]));
    out->grids[n] = (CiMaskGrid) {
    0, 0, size, size,.prob = prob,.in_box = TRUE};
    g_free (map);
  }
  return TRUE;
}

gboolean
ci_ref_prepare_point_rend (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  gint n = node->point_rend.n_layers + 1;
  PointHead *head = g_new0 (PointHead, 1);

  step->run = run_point_rend;
  step->state = head;
  step->free_state = point_head_free;
  head->n_layers = n;
  head->weights = g_new0 (gfloat *, n);
  head->biases = g_new0 (gfloat *, n);
  head->dims = g_malloc0_n (n, sizeof (*head->dims));
  for (gint l = 0; l < n; l++) {
    g_autofree gchar *layer = ci_point_rend_layer (node, l);

    ci_point_rend_dims (plan->graph, node, l, head->dims[l]);
    if (!(head->weights[l] = ci_plan_tensor (plan, layer, ".weight", 3,
                head->dims[l], error))
        || !(head->biases[l] = ci_plan_tensor (plan, layer, ".bias", 1,
                head->dims[l], error)))
      return FALSE;
  }
  return TRUE;
}
