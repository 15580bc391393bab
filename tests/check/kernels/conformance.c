/*
 * conformance.c: every op, in every implementation there is, against the
 * plain C reference. A case is a small graph; each is run unfused by the
 * reference and, fused and unfused, on one and on three threads, by the
 * others. Seeds come from the case's name, so a failure can be replayed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gst/check/gstcheck.h>
#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

/* ---- made-up weights ---------------------------------------------------- */

static guint32
hash_next (guint32 * state)
{
  *state = *state * 1664525u + 1013904223u;
  return *state >> 8;
}

static gfloat
uniform (guint32 * state, gfloat lo, gfloat hi)
{
  return lo + (hi - lo) * hash_next (state) / (1 << 24);
}

typedef struct
{
  CiWeights base;
  GHashTable *tensors;          /* name -> CiTensor */
} TestWeights;

static void
add_tensor (const gchar * name, gint n_dims, const gint64 * dims,
    gpointer user_data)
{
  TestWeights *weights = user_data;
  CiTensor *t = g_new0 (CiTensor, 1);
  guint32 state = g_str_hash (name);
  gboolean positive = g_str_has_suffix (name, ".running_var");
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
  t->data = data;
  g_hash_table_insert (weights->tensors, g_strdup (name), t);
}

static gboolean
lookup (const CiWeights * weights, const gchar * name, CiTensor * out)
{
  const CiTensor *t = g_hash_table_lookup (((TestWeights *) weights)->tensors,
      name);

  if (t)
    *out = *t;
  return t != NULL;
}

static void
tensor_free (gpointer data)
{
  g_free ((gpointer) ((CiTensor *) data)->data);
  g_free (data);
}

static TestWeights *
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

static void
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

/* out, kernel, stride, padding, groups, bias, activation */
static void
build_conv (CiGraph * g, CiValue x, const gint * a)
{
  x = ci_graph_conv (g, x, "conv", a[0], a[1], a[2], a[3], a[4], a[5]);
  ci_graph_output (g, ci_graph_activation (g, x, a[6]), "out");
}

/* the same, batch norm and scale behind it, over a packed input */
static void
build_conv_norm (CiGraph * g, CiValue x, const gint * a)
{
  x = ci_graph_activation (g, x, CI_ACTIVATION_NONE);
  x = ci_graph_conv (g, x, "conv", a[0], a[1], a[2], a[3], a[4], a[5]);
  x = ci_graph_batch_norm (g, x, "norm");
  x = ci_graph_scale (g, x, "scales.0.scale");
  ci_graph_output (g, ci_graph_activation (g, x, a[6]), "out");
}

/* residuals: arg[1] = 0: the shortcut dies with the addition, 1: it is needed
 * again and must not be overwritten, 2: both sides are convolutions, 3: a
 * value is added to itself */
static void
build_residual (CiGraph * g, CiValue x, const gint * a)
{
  CiValue y, s = ci_graph_conv (g, x, "first", a[0], 3, 1, 1, 1, TRUE);

  if (a[1] != 2)
    s = ci_graph_activation (g, s, CI_ACTIVATION_RELU);
  y = ci_graph_conv (g, a[1] == 2 ? x : s, "second", a[0], 3, 1, 1, 1, TRUE);
  y = a[1] == 3 ? ci_graph_add (g, y, y) : ci_graph_add (g, s, y);
  y = ci_graph_activation (g, y, CI_ACTIVATION_RELU);
  if (a[1] == 1)
    ci_graph_output (g, ci_graph_conv (g, s, "third", a[0], 1, 1, 0, 1, TRUE),
        "third");
  ci_graph_output (g, y, "out");
}

/* channels, groups, relu */
static void
build_group_norm (CiGraph * g, CiValue x, const gint * a)
{
  x = ci_graph_conv (g, x, "conv", a[0], 3, 1, 1, 1, TRUE);
  x = ci_graph_group_norm (g, x, "norm", a[1]);
  ci_graph_output (g, ci_graph_activation (g, x, a[2]), "out");
}

static void
build_max_pool (CiGraph * g, CiValue x, const gint * a)
{
  ci_graph_output (g, ci_graph_max_pool (g, x, a[0], a[1], a[2], FALSE), "out");
}

/* factor, mode, residual */
static void
build_upsample (CiGraph * g, CiValue x, const gint * a)
{
  CiValue small = ci_graph_conv (g, x, "small", 12, 1, a[0], 0, 1, TRUE);
  CiValue up = ci_graph_upsample (g, small, a[0], a[1]);

  if (a[2]) {
    CiValue side = ci_graph_conv (g, x, "side", 12, 1, 1, 0, 1, TRUE);

    /* 1: fused into the convolution, 2: into the upsampling */
    if (a[2] == 2)
      side = ci_graph_activation (g, side, CI_ACTIVATION_RELU);
    up = ci_graph_add (g, side, up);
  }
  ci_graph_output (g, up, "out");
}

/* classes, levels, thresh_with_ctr, mask features, hidden width, layers,
 * flags: 1 = full map, 2 = no coordinates */
static void
build_detector (CiGraph * g, CiValue x, const gint * a)
{
  CiFcosLevel levels[4];
  CiValue towers[4], detections, params, masks, features;
  gint in = a[3] + (a[6] & 2 ? 0 : 2), n_params = 0;
  CiMaskHeadParams head = { 8, 4, a[4], a[5], !(a[6] & 2), {16, 32, 64, 128},
    a[6] & 1
  };

  for (gint l = 0; l < a[5]; l++) {
    gint out = l == a[5] - 1 ? 1 : a[4];

    n_params += (in + 1) * out;
    in = out;
  }
  x = ci_graph_conv (g, x, "stem", 24, 3, 1, 1, 1, TRUE);
  features = ci_graph_conv (g, x, "features", a[3], 3, 1, 1, 1, TRUE);
  for (gint l = 0; l < a[1]; l++) {
    if (l)
      x = ci_graph_conv (g, x, "down", 24, 3, 2, 1, 1, TRUE);
    towers[l] = x;
    levels[l].logits = ci_graph_conv (g, x, "logits", a[0], 3, 1, 1, 1, TRUE);
    levels[l].reg = ci_graph_activation (g, ci_graph_scale (g,
            ci_graph_conv (g, x, "reg", 4, 3, 1, 1, 1, TRUE), "scale"),
        CI_ACTIVATION_RELU);
    levels[l].ctr = ci_graph_conv (g, x, "ctr", 1, 3, 1, 1, 1, TRUE);
    levels[l].stride = 8 << l;
  }
  detections = ci_graph_fcos_detect (g, levels, a[1], 40, a[2]);
  params = ci_graph_conv_at (g, towers, a[1], detections, "controller",
      n_params, 3);
  ci_graph_output (g, params, "params");
  masks = ci_graph_dynamic_mask_head (g, features, detections, params, &head);
  ci_graph_output (g, masks, "masks");
}

#define RELU CI_ACTIVATION_RELU
#define RELU6 CI_ACTIVATION_RELU6
#define NEAREST CI_RESIZE_NEAREST
#define ALIGNED CI_RESIZE_ALIGNED_BILINEAR

static const Case cases[] = {
  {"conv 7x7 s2 of an image", 3, 31, 45, {64, 7, 2, 3, 1, 0, RELU},
      build_conv},
  {"conv 3x3 s2 of an image", 3, 32, 48, {32, 3, 2, 1, 1, 1, RELU6},
      build_conv},
  {"conv 3x3 gray", 1, 9, 9, {8, 3, 1, 1, 1, 1, 0}, build_conv},
  {"conv 1x1", 24, 7, 5, {40, 1, 1, 0, 1, 1, 0}, build_conv},
  {"conv 1x1 s2", 16, 7, 5, {24, 1, 2, 0, 1, 1, RELU}, build_conv},
  {"conv 3x3 one pixel", 16, 1, 1, {16, 3, 1, 1, 1, 1, 0}, build_conv},
  {"conv 3x3 odd channels", 13, 6, 11, {5, 3, 1, 1, 1, 1, 0}, build_conv},
  {"conv 3x3 one channel out", 32, 8, 8, {1, 3, 1, 1, 1, 1, 0}, build_conv},
  {"conv 3x3 s2 even", 32, 8, 10, {32, 3, 2, 1, 1, 1, 0}, build_conv},
  {"depthwise 3x3", 48, 9, 7, {48, 3, 1, 1, 48, 1, RELU6}, build_conv},
  {"depthwise 3x3 s2", 40, 10, 7, {40, 3, 2, 1, 40, 1, RELU6}, build_conv},
  {"grouped 3x3, 16 a group", 64, 6, 6, {64, 3, 1, 1, 4, 1, 0}, build_conv},
  {"grouped 3x3, 4 a group", 32, 6, 6, {32, 3, 1, 1, 8, 1, 0}, build_conv},
  {"conv norm scale", 24, 6, 7, {72, 3, 1, 1, 1, 1, RELU}, build_conv_norm},
  {"conv norm scale no bias", 8, 5, 5, {20, 1, 1, 0, 1, 0, 0},
      build_conv_norm},
  {"depthwise norm", 24, 6, 7, {24, 3, 1, 1, 24, 0, RELU6}, build_conv_norm},
  {"residual", 16, 6, 6, {16, 0}, build_residual},
  {"residual needed again", 16, 6, 6, {20, 1}, build_residual},
  {"residual of two convs", 16, 6, 6, {24, 2}, build_residual},
  {"twice itself", 16, 6, 6, {8, 3}, build_residual},
  {"group norm, a block a group", 16, 13, 9, {64, 8, RELU}, build_group_norm},
  {"group norm, 1 a group", 8, 5, 4, {32, 32, RELU}, build_group_norm},
  {"group norm, 5 a group", 8, 5, 4, {40, 8, 0}, build_group_norm},
  {"group norm, one pixel", 8, 1, 1, {32, 4, 0}, build_group_norm},
  {"max pool 3x3 s2", 20, 11, 8, {3, 2, 1}, build_max_pool},
  {"max pool 2x2 s2", 8, 8, 8, {2, 2, 0}, build_max_pool},
  {"max pool 3x3 one pixel", 8, 1, 1, {3, 2, 1}, build_max_pool},
  {"nearest x2", 8, 6, 10, {2, NEAREST, 0}, build_upsample},
  {"nearest x2 plus conv", 8, 6, 10, {2, NEAREST, 1}, build_upsample},
  {"aligned x2", 8, 6, 10, {2, ALIGNED, 0}, build_upsample},
  {"aligned x4 onto a map", 8, 8, 12, {4, ALIGNED, 2}, build_upsample},
  {"aligned x2 of one pixel", 8, 2, 2, {2, ALIGNED, 1}, build_upsample},
  {"detector", 16, 24, 36, {5, 4, 1, 8, 8, 3, 0}, build_detector},
  {"detector, full map", 16, 24, 36, {5, 4, 1, 8, 8, 3, 1}, build_detector},
  {"detector, threshold on cls", 16, 16, 24, {80, 3, 0, 8, 8, 3, 0},
      build_detector},
  {"detector, 16 features", 16, 16, 24, {3, 3, 1, 16, 8, 3, 0},
      build_detector},
  {"detector, no coordinates", 16, 16, 24, {1, 1, 1, 8, 4, 2, 2},
      build_detector},
  {"detector, one cell", 16, 1, 1, {2, 1, 1, 8, 8, 3, 0}, build_detector},
};

/* ---- comparison --------------------------------------------------------- */

static const guint8 some_classes[80] = { 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1 };

static void
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

/* The reference always makes whole maps; the others may make a part. */
static void
compare_masks (const gchar * what, CiPlan * ref, CiPlan * plan, gint index,
    gboolean full)
{
  CiMaskGrid x, y;

  if (!ci_plan_get_mask (ref, index, &x))
    return;
  fail_unless (ci_plan_get_mask (plan, index, &y));
  fail_unless (y.x >= x.x && y.y >= x.y && y.x + y.width <= x.x + x.width
      && y.y + y.height <= x.y + x.height, "%s: mask %d leaves the map", what,
      index);
  if (full)
    fail_unless (y.width == x.width && y.height == x.height);
  for (gint r = 0; r < y.height; r++)
    for (gint c = 0; c < y.width; c++) {
      gfloat p = x.prob[(y.y - x.y + r) * x.width + y.x - x.x + c];
      gfloat q = y.prob[r * y.width + c];

      fail_unless (fabs (p - q) < 1e-4, "%s: mask %d (%d, %d): %g, reference "
          "%g", what, index, y.x + c, y.y + r, q, p);
    }
}

static void
compare_detections (const gchar * what, CiPlan * ref, CiPlan * plan,
    gboolean full)
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
    compare_masks (what, ref, plan, i, full);
  }
}

static CiPlan *
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

GST_START_TEST (test_matches_reference)
{
  const Case *c = &cases[__i__];
  CiGraph *graph = ci_graph_new ();
  CiPool *pools[2] = { NULL, ci_pool_new (3) };
  CiDetectParams params = { 0.25f, 0.6, 60, 30, NULL };
  gboolean detects = c->build == build_detector;
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
      compare_detections (what, ref, plan, c->arg[6] & 1);
      ci_plan_free (plan);
    }
    ci_plan_free (ref);
  }
  weights_free (weights);
  ci_pool_free (pools[1]);
  ci_graph_free (graph);
}

GST_END_TEST;

/* ---- the plan compiler -------------------------------------------------- */

GST_START_TEST (test_missing_and_misshaped_tensors_are_named)
{
  CiGraph *graph = ci_graph_new ();
  CiGraph *other = ci_graph_new ();
  CiPlanOptions options = { CI_BACKEND_CPU, NULL, 8, 8 };
  GError *error = NULL;
  TestWeights *weights;

  build_conv (graph, ci_graph_input (graph, 3), (gint[]) {
      16, 3, 1, 1, 1, 1, 0});
  build_conv (other, ci_graph_input (other, 4), (gint[]) {
      16, 3, 1, 1, 1, 1, 0});
  weights = weights_for (other);
  fail_if (ci_plan_compile (graph, &weights->base, &options, &error));
  fail_unless (g_error_matches (error, CI_ERROR, CI_ERROR_MISSING_TENSOR));
  fail_unless (strstr (error->message, "conv.weight")
      && strstr (error->message, "[16, 3, 3, 3]")
      && strstr (error->message, "[16, 4, 3, 3]"), "%s", error->message);
  g_clear_error (&error);

  {
    CiTensor *t = g_hash_table_lookup (weights->tensors, "conv.bias");

    ((gfloat *) t->data)[5] = NAN;
    fail_if (ci_plan_compile (other, &weights->base, &options, &error));
    fail_unless (g_error_matches (error, CI_ERROR, CI_ERROR_BAD_FORMAT));
    fail_unless (strstr (error->message, "conv.bias")
        && strstr (error->message, "number 5"), "%s", error->message);
    g_clear_error (&error);
  }

  g_hash_table_remove (weights->tensors, "conv.weight");
  fail_if (ci_plan_compile (graph, &weights->base, &options, &error));
  fail_unless (strstr (error->message, "conv.weight")
      && strstr (error->message, "missing"), "%s", error->message);
  g_clear_error (&error);
  weights_free (weights);
  ci_graph_free (graph);
  ci_graph_free (other);
}

GST_END_TEST;

GST_START_TEST (test_impossible_sizes_are_refused)
{
  static const gint sizes[][2] = { {0, 8}, {8, -1}, {20000, 8}, {6, 8} };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++) {
    CiGraph *graph = ci_graph_new ();
    CiPlanOptions options = { CI_BACKEND_CPU, NULL, sizes[i][0], sizes[i][1] };
    CiValue x = ci_graph_input (graph, 8);
    GError *error = NULL;
    TestWeights *weights;

    /* 6 rows do not come back from a stride of 4 */
    build_upsample (graph, x, (gint[]) {
        4, NEAREST, 1});
    weights = weights_for (graph);
    fail_if (ci_plan_compile (graph, &weights->base, &options, &error));
    fail_unless (g_error_matches (error, CI_ERROR,
            CI_ERROR_INVALID_ARGUMENT), "%s", error->message);
    g_clear_error (&error);
    weights_free (weights);
    ci_graph_free (graph);
  }
}

GST_END_TEST;

/* Buffers of values that are dead are used again. */
GST_START_TEST (test_arena_is_shared)
{
  CiGraph *graph = ci_graph_new ();
  CiPlanOptions options = { CI_BACKEND_CPU, NULL, 32, 32 };
  CiValue x = ci_graph_input (graph, 3);
  TestWeights *weights;
  CiPlan *plan;

  for (gint i = 0; i < 20; i++) {
    g_autofree gchar *name = g_strdup_printf ("conv%d", i);

    x = ci_graph_conv (graph, x, name, 32, 3, 1, 1, 1, TRUE);
  }
  ci_graph_output (graph, x, "out");
  weights = weights_for (graph);
  plan = ci_plan_compile (graph, &weights->base, &options, NULL);
  fail_unless (plan != NULL);
  fail_unless_equals_uint64 (ci_plan_get_arena_bytes (plan),
      2 * 32 * 32 * 32 * sizeof (gfloat));
  fail_unless (fabs (ci_plan_get_flops (plan) - 2.0 * 32 * 32 * 32 * 9 * (3
              + 19 * 32)) < 1);
  ci_plan_free (plan);
  weights_free (weights);
  ci_graph_free (graph);
}

GST_END_TEST;

/* ---- the pool ----------------------------------------------------------- */

static void
count_task (gpointer data, gint task, gint n_tasks)
{
  g_atomic_int_inc (&((gint *) data)[task]);
}

GST_START_TEST (test_pool_runs_each_task_once)
{
  CiPool *pool = ci_pool_new (4);
  gint counts[37];

  for (gint round = 0; round < 4000; round++) {
    gint n = round % 38;

    memset (counts, 0, sizeof (counts));
    ci_pool_run (pool, count_task, counts, n);
    for (gint i = 0; i < 37; i++)
      fail_unless_equals_int (counts[i], i < n);
    if (round % 1000 == 0)
      g_usleep (20000);         /* let the workers fall asleep */
  }
  ci_pool_free (pool);
}

GST_END_TEST;

/* ---- mask bytes --------------------------------------------------------- */

GST_START_TEST (test_quantise_keeps_the_threshold)
{
  const gfloat p[] = { 0, 0.5f, nextafterf (0.5f, 1), 1, 0.25f };
  guint8 q[5];

  ci_mask_quantise (p, q, 5);
  fail_unless_equals_int (q[0], 0);
  fail_unless_equals_int (q[1], 127);
  fail_unless_equals_int (q[2], 128);
  fail_unless_equals_int (q[3], 255);
  fail_unless_equals_int (q[4], 64);
}

GST_END_TEST;

static Suite *
kernels_suite (void)
{
  Suite *s = suite_create ("kernels");
  TCase *tc = tcase_create ("conformance");

  suite_add_tcase (s, tc);
  tcase_set_timeout (tc, 120);
  tcase_add_loop_test (tc, test_matches_reference, 0, G_N_ELEMENTS (cases));
  tcase_add_test (tc, test_missing_and_misshaped_tensors_are_named);
  tcase_add_test (tc, test_impossible_sizes_are_refused);
  tcase_add_test (tc, test_arena_is_shared);
  tcase_add_test (tc, test_pool_runs_each_task_once);
  tcase_add_test (tc, test_quantise_keeps_the_threshold);
  return s;
}

GST_CHECK_MAIN (kernels);
