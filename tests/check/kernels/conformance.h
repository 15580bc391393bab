/*
 * conformance.h: what the programs share that hold every op, in every
 * implementation there is, against the plain C reference. A case is a small
 * graph; each is run unfused by the reference and, fused and unfused, on one
 * and on three threads, by the others. Seeds come from names, so a failure can
 * be replayed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include <gst/check/gstcheck.h>
#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

/* ---- made-up weights ---------------------------------------------------- */

static inline guint32
hash_next (guint32 * state)
{
  *state = *state * 1664525u + 1013904223u;
  return *state >> 8;
}

static inline gfloat
uniform (guint32 * state, gfloat lo, gfloat hi)
{
  return lo + (hi - lo) * hash_next (state) / (1 << 24);
}

typedef struct
{
  CiWeights base;
  GHashTable *tensors;          /* name -> CiTensor */
} TestWeights;

static inline void
add_tensor (const gchar * name, gint n_dims, const gint64 * dims,
    gpointer user_data)
{
  TestWeights *weights = user_data;
  CiTensor *t = g_new0 (CiTensor, 1);
  guint32 state = g_str_hash (name);
  gboolean positive = g_str_has_suffix (name, ".running_var")
      || g_str_equal (name, "fusion");
  gfloat bound = 1.0f, *data;
  gsize n;

  t->dtype = CI_DTYPE_F32;
  t->n_dims = n_dims;
  memcpy (t->dims, dims, n_dims * sizeof (gint64));
  n = ci_tensor_n_elements (t);
  if (n_dims == 4)
    bound = sqrtf (3.0f / (dims[1] * dims[2] * dims[3]));
  data = g_new (gfloat, n);
  for (gsize i = 0; i < n; i++)
    data[i] = positive ? uniform (&state, 0.5f, 2.0f)
        : uniform (&state, -bound, bound);
  if (g_str_equal (name, "fusion") && n > 2)
    data[2] = -0.5f;            /* counts as 0 */
  t->data = data;
  g_hash_table_insert (weights->tensors, g_strdup (name), t);
}

static inline gboolean
lookup (const CiWeights * weights, const gchar * name, CiTensor * out)
{
  const CiTensor *t = g_hash_table_lookup (((TestWeights *) weights)->tensors,
      name);

  if (t)
    *out = *t;
  return t != NULL;
}

static inline void
tensor_free (gpointer data)
{
  g_free ((gpointer) ((CiTensor *) data)->data);
  g_free (data);
}

static inline TestWeights *
weights_for (const CiGraph * graph)
{
  TestWeights *weights = g_new0 (TestWeights, 1);

  weights->base.lookup = lookup;
  weights->base.id = ci_weights_new_id ();
  weights->tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
      tensor_free);
  ci_graph_foreach_tensor (graph, add_tensor, weights);
  return weights;
}

static inline void
weights_free (TestWeights * weights)
{
  ci_weights_forget (weights->base.id);
  g_hash_table_unref (weights->tensors);
  g_free (weights);
}

/* ---- cases -------------------------------------------------------------- */

typedef struct
{
  const gchar *name;
  gint channels, height, width;
  gint arg[7];
  void (*build) (CiGraph * graph, CiValue input, const gint * arg);
} Case;

/* ---- comparison --------------------------------------------------------- */

static const guint8 some_classes[80] = { 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1 };

static inline void
compare_maps (const gchar * what, CiPlan * a, CiPlan * b)
{
  for (const gchar * const *name = ci_plan_get_names (a); *name; name++) {
    CiTensor x, y;
    gdouble biggest = 1e-3;
    gsize n;

    if (!ci_plan_read (a, *name, &x))
      continue;
    fail_unless (ci_plan_read (b, *name, &y));
    n = ci_tensor_n_elements (&x);
    fail_unless_equals_uint64 (n, ci_tensor_n_elements (&y));
    for (gsize i = 0; i < n; i++)
      biggest = MAX (biggest, fabs (((const gfloat *) x.data)[i]));
    for (gsize i = 0; i < n; i++) {
      gfloat p = ((const gfloat *) x.data)[i];
      gfloat q = ((const gfloat *) y.data)[i];

      fail_unless (fabs (p - q) <= 2e-5 * biggest,
          "%s: %s[%u]: %g, reference %g", what, *name, (guint) i, q, p);
    }
    g_free ((gpointer) x.data);
    g_free ((gpointer) y.data);
  }
}

typedef enum
{
  NO_MASKS,
  PART_MASKS,                   /* the reference makes whole maps, the others
                                   parts of them */
  FULL_MASKS,
} Masks;

static inline void
compare_masks (const gchar * what, CiPlan * ref, CiPlan * plan, gint index,
    Masks masks)
{
  CiMaskGrid x, y;

  fail_unless_equals_int (ci_plan_get_mask (ref, index, &x),
      masks != NO_MASKS);
  fail_unless_equals_int (ci_plan_get_mask (plan, index, &y),
      masks != NO_MASKS);
  if (masks == NO_MASKS)
    return;
  fail_unless_equals_int (x.in_box, y.in_box);
  fail_unless (y.x >= x.x && y.y >= x.y && y.x + y.width <= x.x + x.width
      && y.y + y.height <= x.y + x.height, "%s: mask %d leaves the map", what,
      index);
  if (masks == FULL_MASKS)
    fail_unless (y.width == x.width && y.height == x.height);
  for (gint r = 0; r < y.height; r++)
    for (gint c = 0; c < y.width; c++) {
      gfloat p = x.prob[(y.y - x.y + r) * x.width + y.x - x.x + c];
      gfloat q = y.prob[r * y.width + c];

      fail_unless (fabs (p - q) < 1e-4, "%s: mask %d (%d, %d): %g, reference "
          "%g", what, index, y.x + c, y.y + r, q, p);
    }
}

static inline void
compare_detections (const gchar * what, CiPlan * ref, CiPlan * plan,
    Masks masks)
{
  CiDetections x, y;

  ci_plan_get_detections (ref, &x);
  ci_plan_get_detections (plan, &y);
  fail_unless (x.count == y.count, "%s: %d detections, reference %d", what,
      y.count, x.count);
  for (gint i = 0; i < x.count; i++) {
    fail_unless (x.classes[i] == y.classes[i] && x.levels[i] == y.levels[i]
        && x.cells[i] == y.cells[i], "%s: detection %d is another", what, i);
    fail_unless (fabs (x.scores[i] - y.scores[i]) < 1e-5);
    for (gint k = 0; k < 4; k++)
      fail_unless (fabs (x.boxes[4 * i + k] - y.boxes[4 * i + k]) < 1e-2,
          "%s: box %d: %g, reference %g", what, i, y.boxes[4 * i + k],
          x.boxes[4 * i + k]);
    fail_unless (x.locations[2 * i] == y.locations[2 * i]
        && x.locations[2 * i + 1] == y.locations[2 * i + 1]);
    compare_masks (what, ref, plan, i, masks);
  }
}

static inline CiPlan *
run_plan (const Case * c, const CiGraph * graph, const CiWeights * weights,
    CiBackend backend, CiPool * pool, gboolean no_fuse, gboolean keep,
    const CiDetectParams * params)
{
  CiPlanOptions options = { backend, pool, c->height, c->width, keep, no_fuse };
  GError *error = NULL;
  CiPlan *plan = ci_plan_compile (graph, weights, &options, &error);
  guint32 state = g_str_hash (c->name);
  gsize n = (gsize) c->channels * c->height * c->width;

  fail_unless (plan != NULL, "%s: %s", c->name, error ? error->message : "");
  for (gint run = 0; run < 2; run++) {
    state = g_str_hash (c->name);
    for (gsize i = 0; i < n; i++)
      ci_plan_get_input (plan)[i] = uniform (&state, -2, 2);
    fail_unless (ci_plan_run (plan, params, &error), "%s: %s", c->name,
        error ? error->message : "");
  }
  return plan;
}

static inline void
check_case (const Case * c, gboolean detects, Masks masks)
{
  CiGraph *graph = ci_graph_new ();
  CiPool *pools[2] = { NULL, ci_pool_new (3) };
  CiDetectParams params = { 0.25f, 0.6, 60, 30, NULL };
  TestWeights *weights;
  CiPlan *ref;

  c->build (graph, ci_graph_input (graph, c->channels), c->arg);
  weights = weights_for (graph);
  for (gint filter = 0; filter <= detects; filter++) {
    CiDetections d;

    params.classes = filter ? some_classes : NULL;
    params.cross_class_threshold = filter ? 0.8 : 0;
    ref = run_plan (c, graph, &weights->base, CI_BACKEND_REF, NULL, TRUE,
        FALSE, &params);
    ci_plan_get_detections (ref, &d);
    if (detects && !filter && c->height > 1)
      fail_unless (d.count > 3, "%s: only %d detections", c->name, d.count);
    for (gint variant = 0; variant < 8; variant++) {
      gboolean no_fuse = variant & 1, keep = variant & 2;
      g_autofree gchar *what = g_strdup_printf ("%s (%s%s%s)", c->name,
          no_fuse ? "unfused" : "fused", keep ? ", kept" : "",
          variant & 4 ? ", 3 threads" : "");
      CiPlan *plan = run_plan (c, graph, &weights->base, CI_BACKEND_CPU,
          pools[variant >> 2], no_fuse, keep, &params);

      compare_maps (what, ref, plan);
      compare_detections (what, ref, plan, masks);
      ci_plan_free (plan);
    }
    ci_plan_free (ref);
  }
  weights_free (weights);
  ci_pool_free (pools[1]);
  ci_graph_free (graph);
}

#endif
