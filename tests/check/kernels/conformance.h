/*
 * conformance.h: what the programs share that hold every op, in every
 * implementation there is, against the plain C reference. A case is a small
 * graph; each is run unfused by the reference and, fused and unfused, on one
 * and on three threads, by the CPU's, or, if the environment says
 * CONFORMANCE_BACKEND=cuda, in both precisions by CUDA's. Seeds come from
 * names, so a failure can be replayed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include <gst/check/gstcheck.h>
#include <math.h>
#include <stdio.h>
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
  if (n_dims > 1)
    bound = sqrtf (3.0f * dims[0] / n);
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

/* A network that hands through the channels of its input: "pick.FIRST.COUNT.OF"
 * are the weights of a convolution of 1x1 that gives COUNT of OF channels. */
static inline gboolean
lookup_pick (const CiWeights * weights, const gchar * name, CiTensor * out)
{
  gfloat *matrix = weights->user_data;
  gint first, count, of;

  if (sscanf (name, "pick.%d.%d.%d.weight", &first, &count, &of) != 3)
    return FALSE;
  memset (matrix, 0, sizeof (gfloat) * count * of);
  for (gint i = 0; i < count; i++)
    matrix[i * of + first + i] = 1.0f;
  *out = (CiTensor) {
    CI_DTYPE_F32, 4, {count, of, 1, 1}, matrix};
  return TRUE;
}

static inline CiValue
pick (CiGraph * g, CiValue x, gint first, gint count, gint of, gint level)
{
  g_autofree gchar *name = g_strdup_printf ("pick.%d.%d.%d", first, count, of);

  return ci_graph_conv (g, x, name, count, 1, 1 << level, 0, 1, FALSE);
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
compare_maps (const gchar * what, CiPlan * a, CiPlan * b, gdouble tolerance)
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

      fail_unless (fabs (p - q) <= tolerance * biggest,
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
  /* the same cells lie in the same place */
  fail_unless (x.in_box || (x.scale_x > 0 && x.scale_y > 0));
  fail_unless (x.scale_x == y.scale_x && x.scale_y == y.scale_y
      && fabs (x.offset_x + x.scale_x * (y.x - x.x) - y.offset_x) < 1e-3
      && fabs (x.offset_y + x.scale_y * (y.y - x.y) - y.offset_y) < 1e-3,
      "%s: mask %d lies elsewhere", what, index);
  for (gint r = 0; r < y.height; r++)
    for (gint c = 0; c < y.width; c++) {
      gfloat p = x.prob[(y.y - x.y + r) * x.width + y.x - x.x + c];
      /* a GPU gives bytes */
      gfloat q = y.prob ? y.prob[r * y.width + c]
          : y.cells[r * y.width + c] / 255.0f;

      /* each check that passes is a write to a log */
      if (!(fabs (p - q) < (y.prob ? 1e-4 : 0.5 / 255 + 1e-4)))
        fail ("%s: mask %d (%d, %d): %g, reference %g", what, index, y.x + c,
            y.y + r, q, p);
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
    fail_unless (fabs (x.scores[i] - y.scores[i]) < 5e-5,
        "%s: score %d: %g, reference %g", what, i, y.scores[i], x.scores[i]);
    fail_unless (!x.mask_scores == !y.mask_scores && (!x.mask_scores
            || fabs (x.mask_scores[i] - y.mask_scores[i]) < 1e-4),
        "%s: another score of mask %d", what, i);
    for (gint k = 0; k < 4; k++)
      fail_unless (fabs (x.boxes[4 * i + k] - y.boxes[4 * i + k]) < 1e-2,
          "%s: box %d: %g, reference %g", what, i, y.boxes[4 * i + k],
          x.boxes[4 * i + k]);
    fail_unless (x.locations[2 * i] == y.locations[2 * i]
        && x.locations[2 * i + 1] == y.locations[2 * i + 1]);
    compare_masks (what, ref, plan, i, masks);
  }
}

/* Half precision moves scores: detections near a threshold come and go. Most of
 * the others must be there. */
static inline void
compare_rough_detections (const gchar * what, CiPlan * ref, CiPlan * plan)
{
  CiDetections x, y;
  gint n_found = 0;

  ci_plan_get_detections (ref, &x);
  ci_plan_get_detections (plan, &y);
  for (gint i = 0; i < x.count; i++) {
    gboolean found = FALSE;

    for (gint k = 0; k < y.count && !found; k++)
      found = x.classes[i] == y.classes[k] && x.levels[i] == y.levels[k]
          && x.cells[i] == y.cells[k]
          && fabs (x.scores[i] - y.scores[k]) < 1e-2;
    n_found += found;
  }
  fail_unless (4 * n_found >= 3 * x.count && 3 * y.count <= 4 * x.count + 3,
      "%s: %d detections, reference %d, of which %d are there", what, y.count,
      x.count, n_found);
}

/* One way to run a case. */
typedef struct
{
  const gchar *name;
  CiBackend backend;
  gboolean no_fuse, keep;
  gint n_threads;
  CiPrecision precision;
} Variant;

static const Variant cpu_variants[] = {
  {"fused", CI_BACKEND_CPU, FALSE, FALSE, 1},
  {"unfused", CI_BACKEND_CPU, TRUE, FALSE, 1},
  {"fused, kept", CI_BACKEND_CPU, FALSE, TRUE, 1},
  {"unfused, kept", CI_BACKEND_CPU, TRUE, TRUE, 1},
  {"fused, 3 threads", CI_BACKEND_CPU, FALSE, FALSE, 3},
  {"unfused, 3 threads", CI_BACKEND_CPU, TRUE, FALSE, 3},
  {"fused, kept, 3 threads", CI_BACKEND_CPU, FALSE, TRUE, 3},
  {"unfused, kept, 3 threads", CI_BACKEND_CPU, TRUE, TRUE, 3},
};

static const Variant cuda_variants[] = {
  {"CUDA", CI_BACKEND_CUDA, FALSE, FALSE, 1},
  {"CUDA, unfused", CI_BACKEND_CUDA, TRUE, FALSE, 1},
  {"CUDA, kept", CI_BACKEND_CUDA, FALSE, TRUE, 1},
  {"CUDA, half", CI_BACKEND_CUDA, FALSE, FALSE, 1, CI_PRECISION_FP16},
  {"CUDA, half, unfused", CI_BACKEND_CUDA, TRUE, FALSE, 1, CI_PRECISION_FP16},
};

static const Variant reference = { "reference", CI_BACKEND_REF, TRUE };

/* CONFORMANCE_BACKEND=cuda asks for that instead of the CPU. NULL if there is
 * no device, which is told once. */
static inline CiDevice *
cuda_device (void)
{
  static CiDevice *device;
  static gboolean asked;
  GError *error = NULL;

  if (!asked && !(device = ci_device_open (-1, NULL, &error))) {
    g_printerr ("SKIPPED, no device: %s\n", error->message);
    g_clear_error (&error);
  }
  asked = TRUE;
  return device;
}

static inline gboolean
wants_cuda (void)
{
  return g_strcmp0 (g_getenv ("CONFORMANCE_BACKEND"), "cuda") == 0;
}

/* Sanitizers make it slow, those of a GPU with CONFORMANCE_FEW=1: fused and
 * unfused, both precisions, threads, but not all of them together. */
static inline guint
variant_step (void)
{
#if defined (__SANITIZE_ADDRESS__)
  gboolean few = TRUE;
#else
  gboolean few = g_getenv ("CONFORMANCE_FEW") != NULL;
#endif

  return !few ? 1 : wants_cuda () ? 4 : 3;
}

/* Under sanitizers, each case is left to one of the CPU and the GPU. */
static inline gboolean
leaves_out (gint index)
{
#if defined (__SANITIZE_ADDRESS__)
  return index % 2 == wants_cuda ();
#else
  return FALSE;
#endif
}

static inline CiPlan *
run_plan (const Case * c, const CiGraph * graph, const CiWeights * weights,
    const Variant * variant, CiPool * pool, const CiDetectParams * params)
{
  CiPlanOptions options = { variant->backend, pool, c->height, c->width,
    variant->keep, variant->no_fuse, NULL, variant->precision
  };
  GError *error = NULL;
  guint32 state = g_str_hash (c->name);
  gsize n = (gsize) c->channels * c->height * c->width;
  CiPlan *plan;

  if (variant->backend == CI_BACKEND_CUDA)
    options.device = cuda_device ();
  plan = ci_plan_compile (graph, weights, &options, &error);
  fail_unless (plan != NULL, "%s (%s): %s", c->name, variant->name,
      error ? error->message : "");
  for (gint run = 0; run < 2; run++) {
    state = g_str_hash (c->name);
    for (gsize i = 0; i < n; i++)
      ci_plan_get_input (plan)[i] = uniform (&state, -2, 2);
    fail_unless (ci_plan_run (plan, params, &error), "%s (%s): %s", c->name,
        variant->name, error ? error->message : "");
  }
  return plan;
}

static inline void
check_case (const Case * c, gboolean detects, Masks masks)
{
  const Variant *variants = wants_cuda () ? cuda_variants : cpu_variants;
  const guint n_variants = wants_cuda () ? G_N_ELEMENTS (cuda_variants)
      : G_N_ELEMENTS (cpu_variants);
  CiGraph *graph;
  CiPool *pool;
  CiDetectParams params = { 0.25f, 0.6, 60, 30, NULL };
  TestWeights *weights;
  CiPlan *ref;

  if (wants_cuda () && !cuda_device ())
    return;
  graph = ci_graph_new ();
  pool = ci_pool_new (3);
  c->build (graph, ci_graph_input (graph, c->channels), c->arg);
  weights = weights_for (graph);
  for (gint filter = 0; filter <= detects; filter++) {
    CiDetections d;

    params.classes = filter ? some_classes : NULL;
    params.cross_class_threshold = filter ? 0.8 : 0;
    params.frame_width = filter ? c->width - c->width / 6 : 0;
    params.frame_height = filter ? c->height - c->height / 7 : 0;
    ref = run_plan (c, graph, &weights->base, &reference, NULL, &params);
    ci_plan_get_detections (ref, &d);
    if (detects && !filter && c->height > 1)
      fail_unless (d.count > 3, "%s: only %d detections", c->name, d.count);
    for (guint i = 0; i < n_variants; i += variant_step ()) {
      const Variant *v = &variants[i];
      gboolean half = v->precision == CI_PRECISION_FP16;
      g_autofree gchar *what = g_strdup_printf ("%s (%s)", c->name, v->name);
      CiPlan *plan = run_plan (c, graph, &weights->base, v,
          v->n_threads > 1 ? pool : NULL, &params);

      if (!half || !detects)
        compare_maps (what, ref, plan, half ? 8e-3 : 2e-5);
      if (half)
        compare_rough_detections (what, ref, plan);
      else
        compare_detections (what, ref, plan, masks);
      ci_plan_free (plan);
    }
    ci_plan_free (ref);
  }
  weights_free (weights);
  ci_pool_free (pool);
  ci_graph_free (graph);
}

#endif
