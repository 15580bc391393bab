/*
 * conformance-items.c: maps for each box of a list, against the reference, and
 * that by hand.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "conformance.h"

#include <stdio.h>

#include "kernels/plan.h"

/* A list of @capacity boxes, to be filled by give_boxes(). */
static CiValue
build_list (CiGraph * g, CiValue x, gint capacity)
{
  CiFcosLevel level = { x, x, x, 1 };

  return ci_graph_fcos_detect (g, &level, 1, capacity, FALSE);
}

static const gfloat *given_boxes;
static gint n_given;

static gboolean
run_given (CiPlan * plan, CiStep * step, GError ** error)
{
  CiDetectionBuffer *d = &plan->buffers[step->value].detections;

  d->count = n_given;
  memcpy (d->boxes, given_boxes, n_given * 4 * sizeof (gfloat));
  return TRUE;
}

/* The plan takes @n boxes instead of what it would detect. */
static void
give_boxes (CiPlan * plan, const gfloat * boxes, gint n)
{
  given_boxes = boxes;
  n_given = n;
  for (gint i = 0; i < plan->n_steps; i++)
    if (plan->steps[i].node->op == CI_OP_FCOS_DETECT)
      plan->steps[i].run = run_given;
}

/* ---- networks over items ---------------------------------------------- */

#define CAPACITY 12
#define HEIGHT 23
#define WIDTH 34

/* Ordinary ones, thin ones, beyond the map on all sides, empty ones, inside
 * out, far larger than the map; all of them halves. */
static const gfloat boxes[CAPACITY][4] = {
  {3, 2, 20, 15}, {-4.5f, -6, 12, 9.5f}, {0, 0, 34, 23}, {5, 6, 5.5f, 22},
  {30, 18, 44, 40}, {-20, -20, -8, -9}, {12, 8, 12, 16}, {9, 4, 9, 4},
  {20, 3, 6, 19}, {-3000, -2000, 2600, 3000}, {7, 5, 9, 7}, {60, 2, 70, 9}
};

/* The channels @first and following of the input as they are. */
static CiValue
hand_through (CiGraph * g, CiValue x, gint first, gint count)
{
  g_autofree gchar *name = g_strdup_printf ("pick.%d", first);

  return ci_graph_conv (g, x, name, count, 1, 1, 0, 1, FALSE);
}

/* Weights of hand_through() that pick. */
static void
set_picks (TestWeights * weights)
{
  GHashTableIter iter;
  gpointer name, value;

  g_hash_table_iter_init (&iter, weights->tensors);
  while (g_hash_table_iter_next (&iter, &name, &value)) {
    const CiTensor *t = value;
    gint first;

    if (sscanf (name, "pick.%d.weight", &first) != 1)
      continue;
    memset ((gpointer) t->data, 0, ci_tensor_n_elements (t) * sizeof (gfloat));
    for (gint i = 0; i < t->dims[0]; i++)
      ((gfloat *) t->data)[i * t->dims[1] + first + i] = 1;
  }
}

/* A detector that finds the boxes that are in the first channels of its
 * input. */
static CiValue
build_boxes (CiGraph * g, CiValue x)
{
  CiFcosLevel level = { hand_through (g, x, 0, 1), hand_through (g, x, 1, 4),
    hand_through (g, x, 5, 1), 1
  };

  return ci_graph_fcos_detect (g, &level, 1, CAPACITY, TRUE);
}

/* How it is told: cell i has box i, in descending score. */
static void
fill_boxes (gfloat * input, gint n)
{
  const gint plane = HEIGHT * WIDTH;

  for (gint i = 0; i < plane; i++) {
    input[i] = i < n ? 4 - 0.5f * i : -30;
    input[5 * plane + i] = 4;
    for (gint k = 0; k < 4; k++) {
      gint at = k % 2 ? i / WIDTH : i % WIDTH;

      input[(1 + k) * plane + i] = i >= n ? 1
          : k < 2 ? at - boxes[i][k] : boxes[i][k] - at;
    }
  }
}

/* Maps of @channels at strides 2, 4, 8. */
static CiValue
build_items (CiGraph * g, CiValue x, gint channels, gint n_levels,
    CiRoiAlignParams params)
{
  CiValue levels[3], from = hand_through (g, x, 6, 10);

  for (gint i = 0; i < n_levels; i++) {
    g_autofree gchar *name = g_strdup_printf ("p%d", i + 2);

    levels[i] = from = ci_graph_conv (g, from, name, channels, 3, 2, 1, 1,
        TRUE);
    params.strides[i] = 2 << i;
  }
  params.canonical_size = 12;
  params.canonical_level = 3;
  params.first_level = 2;
  return ci_graph_roi_align (g, levels, n_levels, build_boxes (g, x), &params);
}

/* channels, levels, resolution, samples, aligned, points, torchvision's rule */
static void
build_roi_align (CiGraph * g, CiValue x, const gint * a)
{
  CiRoiAlignParams params = {.resolution = a[2],.sampling_ratio = a[3],
    .aligned = a[4],.points = a[5],.log_epsilon = a[6] ? 0 : 1e-8,
    .level_epsilon = a[6] ? 1e-6 : 0
  };

  ci_graph_output (g, build_items (g, x, a[0], a[1], params), "out");
}

static CiValue
build_some_items (CiGraph * g, CiValue x, gint channels, gint resolution)
{
  CiRoiAlignParams params = {.resolution = resolution,.sampling_ratio = 2,
    .aligned = TRUE
  };

  return build_items (g, x, channels, 2, params);
}

/* channels, resolution, width */
static void
build_box_head (CiGraph * g, CiValue x, const gint * a)
{
  x = build_some_items (g, x, a[0], a[1]);
  x = ci_graph_linear (g, x, "fc1", a[2], a[1], TRUE);
  x = ci_graph_activation (g, x, CI_ACTIVATION_RELU);
  x = ci_graph_linear (g, x, "fc2", a[2], 1, TRUE);
  x = ci_graph_activation (g, x, CI_ACTIVATION_RELU);
  ci_graph_output (g, ci_graph_linear (g, x, "scores", 7, 1, TRUE), "scores");
  ci_graph_output (g, ci_graph_linear (g, x, "deltas", 28, 1, FALSE),
      "deltas");
}

/* channels, resolution */
static void
build_mask_head (CiGraph * g, CiValue x, const gint * a)
{
  x = build_some_items (g, x, a[0], a[1]);
  for (gint i = 0; i < 2; i++) {
    x = ci_graph_conv (g, x, i ? "mask1" : "mask0", a[0], 3, 1, 1, 1, TRUE);
    x = ci_graph_activation (g, x, CI_ACTIVATION_RELU);
  }
  x = ci_graph_deconv (g, x, "deconv", a[0], TRUE);
  x = ci_graph_activation (g, x, CI_ACTIVATION_RELU);
  ci_graph_output (g, ci_graph_conv (g, x, "predictor", 5, 1, 1, 0, 1, TRUE),
      "out");
}

/* resolution: YOLACT++'s net over masks, with fewer layers */
static void
build_rescoring (CiGraph * g, CiValue x, const gint * a)
{
  x = build_some_items (g, x, 1, a[0]);
  for (gint i = 0; i < 3; i++) {
    g_autofree gchar *name = g_strdup_printf ("maskiou%d", i);

    x = ci_graph_conv (g, x, name, 8 << i, 3, 2, 0, 1, TRUE);
    x = ci_graph_activation (g, x, CI_ACTIVATION_RELU);
  }
  x = ci_graph_conv (g, x, "maskiou", 11, 1, 1, 0, 1, TRUE);
  x = ci_graph_activation (g, x, CI_ACTIVATION_RELU6);
  ci_graph_output (g, ci_graph_global_max_pool (g, x), "out");
}

/* channels, resolution: PointRend's coarse head */
static void
build_coarse_head (CiGraph * g, CiValue x, const gint * a)
{
  CiRoiAlignParams params = {.resolution = a[1],.points = TRUE };

  x = build_items (g, x, a[0], 1, params);
  x = ci_graph_conv (g, x, "reduce", a[0] / 2, 2, 2, 0, 1, TRUE);
  x = ci_graph_activation (g, x, CI_ACTIVATION_RELU);
  x = ci_graph_linear (g, x, "fc1", 33, a[1] / 2, TRUE);
  ci_graph_output (g, x, "out");
}

/* channels, kernel, stride, padding, relu: fused with all there is */
static void
build_conv_items (CiGraph * g, CiValue x, const gint * a)
{
  CiValue shortcut;

  x = build_some_items (g, x, a[0], 9);
  shortcut = ci_graph_conv (g, x, "shortcut", 13, a[1], a[2], a[3], 1, TRUE);
  shortcut = ci_graph_activation (g, shortcut, CI_ACTIVATION_RELU);
  x = ci_graph_conv (g, x, "conv", 13, a[1], a[2], a[3], 1, FALSE);
  x = ci_graph_batch_norm (g, x, "norm", 1e-5);
  x = ci_graph_scale (g, x, "scale");
  x = ci_graph_add (g, x, shortcut);
  ci_graph_output (g, ci_graph_activation (g, x, a[4]), "out");
}

/* channels: every other layer over items */
static void
build_all_items (CiGraph * g, CiValue x, const gint * a)
{
  CiValue maps[2], small, mean;

  x = build_some_items (g, x, a[0], 6);
  maps[0] = ci_graph_group_norm (g, x, "gn", 4);
  maps[0] = ci_graph_activation (g, maps[0], CI_ACTIVATION_RELU);
  small = ci_graph_max_pool (g, x, 3, 2, 1, FALSE);
  maps[1] = ci_graph_upsample (g, small, 2, CI_RESIZE_BILINEAR);
  ci_graph_output (g, ci_graph_concat (g, maps, 2), "concat");
  x = ci_graph_weighted_add (g, maps, 2, "fusion");
  mean = ci_graph_global_avg_pool (g, x);
  mean = ci_graph_activation (g, mean, CI_ACTIVATION_HARD_SIGMOID);
  ci_graph_output (g, ci_graph_channel_scale (g, x, mean), "scaled");
  ci_graph_output (g, ci_graph_add (g, maps[1], maps[1]), "twice");
}

/* channels: two lists, and a map of the image behind the first one's items */
static void
build_two_lists (CiGraph * g, CiValue x, const gint * a)
{
  const CiRoiAlignParams params = {.strides = {1},.resolution = 5,
    .sampling_ratio = 2,.canonical_size = 9
  };
  CiValue late;

  ci_graph_output (g, ci_graph_linear (g, build_some_items (g, x, a[0], 3),
          "fc", 21, 3, TRUE), "first");
  late = ci_graph_conv (g, hand_through (g, x, 6, 10), "late", a[0], 3, 1, 1,
      1, TRUE);
  late = ci_graph_activation (g, late, CI_ACTIVATION_RELU);
  late = ci_graph_roi_align (g, &late, 1, build_boxes (g, x), &params);
  ci_graph_output (g, ci_graph_conv (g, late, "last", 9, 3, 1, 1, 1, TRUE),
      "last");
}

/* channels, out, relu: of a map of the whole image */
static void
build_deconv (CiGraph * g, CiValue x, const gint * a)
{
  x = hand_through (g, x, 6, 10);
  x = ci_graph_conv (g, x, "conv", a[0], 3, 2, 1, 1, TRUE);
  x = ci_graph_deconv (g, x, "deconv", a[1], a[2]);
  ci_graph_output (g, ci_graph_activation (g, x, a[2]), "out");
}

#define CASE(name, build, ...) \
  {name, 16, HEIGHT, WIDTH, {__VA_ARGS__}, build}

static const Case cases[] = {
  CASE ("detectron2's RoIAlign", build_roi_align, 16, 3, 7, 0, 1, 0, 0),
  CASE ("torchvision's RoIAlign", build_roi_align, 16, 3, 7, 2, 0, 0, 1),
  CASE ("RoIAlign, odd channels", build_roi_align, 13, 2, 14, 3, 1, 0, 0),
  CASE ("RoIAlign unaligned, all samples", build_roi_align, 8, 1, 5, 0, 0, 0,
      1),
  CASE ("RoIAlign of one bin", build_roi_align, 3, 3, 1, 0, 1, 0, 0),
  CASE ("points", build_roi_align, 16, 1, 14, 0, 0, 1, 0),
  CASE ("points of levels", build_roi_align, 5, 3, 4, 0, 0, 1, 0),
  CASE ("box head", build_box_head, 16, 7, 64),
  CASE ("box head, odd widths", build_box_head, 13, 5, 43),
  CASE ("box head, wide", build_box_head, 40, 3, 300),
  CASE ("mask head", build_mask_head, 64, 14),
  CASE ("mask head, odd sizes", build_mask_head, 19, 7),
  CASE ("mask head of one cell", build_mask_head, 8, 1),
  CASE ("rescoring", build_rescoring, 33),
  CASE ("rescoring, odd sizes", build_rescoring, 22),
  CASE ("coarse head", build_coarse_head, 24, 14),
  CASE ("coarse head, odd sizes", build_coarse_head, 13, 7),
  CASE ("items 3x3", build_conv_items, 20, 3, 1, 1, CI_ACTIVATION_RELU),
  CASE ("items 3x3 s2", build_conv_items, 13, 3, 2, 1, CI_ACTIVATION_RELU6),
  CASE ("items 5x5", build_conv_items, 8, 5, 1, 2, CI_ACTIVATION_LEAKY_RELU),
  CASE ("items 1x1", build_conv_items, 8, 1, 1, 0, CI_ACTIVATION_SWISH),
  CASE ("items 9x9", build_conv_items, 5, 9, 1, 0, CI_ACTIVATION_RELU),
  CASE ("items of all layers", build_all_items, 20),
  CASE ("items of two lists", build_two_lists, 40),
  CASE ("deconv", build_deconv, 16, 24, CI_ACTIVATION_RELU),
  CASE ("deconv odd channels", build_deconv, 13, 5, CI_ACTIVATION_NONE),
  CASE ("deconv relu6", build_deconv, 7, 19, CI_ACTIVATION_RELU6),
};

static void
fill_input (gfloat * input, const gchar * what, gint n)
{
  guint32 state = g_str_hash (what);

  for (gint i = 0; i < 16 * HEIGHT * WIDTH; i++)
    input[i] = uniform (&state, -2, 2);
  fill_boxes (input, n);
}

static void
run_boxes (CiPlan * plan, const gchar * what, gint n)
{
  const CiDetectParams params = { 0.01f, INFINITY, 1000, CAPACITY };
  GError *error = NULL;

  fill_input (ci_plan_get_input (plan), what, n);
  fail_unless (ci_plan_run (plan, &params, &error), "%s: %s", what,
      error ? error->message : "");
}

static CiPlan *
compile (const Case * c, const CiGraph * graph, const TestWeights * weights,
    const Variant * v, CiPool * pool, gint batch)
{
  CiPlanOptions options = { v->backend, v->n_threads > 1 ? pool : NULL,
    HEIGHT, WIDTH, v->keep, v->no_fuse, NULL, v->precision, 0, batch
  };
  GError *error = NULL;
  CiPlan *plan;

  if (v->backend == CI_BACKEND_CUDA)
    options.device = cuda_device ();
  plan = ci_plan_compile (graph, &weights->base, &options, &error);
  fail_unless (plan != NULL, "%s (%s): %s", c->name, v->name,
      error ? error->message : "");
  return plan;
}

GST_START_TEST (test_matches_reference)
{
  /* what one frame leaves behind must not show in the next */
  static const gint counts[] = { 5, 0, CAPACITY, 1 };
  const Case *c = &cases[__i__];
  const Variant *variants = wants_cuda () ? cuda_variants : cpu_variants;
  const guint n_variants = wants_cuda () ? G_N_ELEMENTS (cuda_variants)
      : G_N_ELEMENTS (cpu_variants);
  CiGraph *graph;
  CiPool *pool;
  TestWeights *weights;
  CiPlan *ref, *plans[MAX (G_N_ELEMENTS (cpu_variants),
          G_N_ELEMENTS (cuda_variants))];

  if (leaves_out (__i__))
    return;
  if (wants_cuda () && !cuda_device ())
    return;
  graph = ci_graph_new ();
  pool = ci_pool_new (3);
  c->build (graph, ci_graph_input (graph, c->channels), c->arg);
  weights = weights_for (graph);
  set_picks (weights);
  ref = compile (c, graph, weights, &reference, NULL, 0);
  for (guint i = 0; i < n_variants; i += variant_step ())
    plans[i] = compile (c, graph, weights, &variants[i], pool, 0);
  for (guint k = 0; k < G_N_ELEMENTS (counts); k++) {
    CiDetections found;

    run_boxes (ref, c->name, counts[k]);
    if (c->build != build_deconv) {
      ci_plan_get_detections (ref, &found);
      fail_unless_equals_int (found.count, counts[k]);
      for (gint n = 0; n < 4 * counts[k]; n++)
        fail_unless_equals_float (found.boxes[n], boxes[n / 4][n % 4]);
    }
    for (guint i = 0; i < n_variants; i += variant_step ()) {
      g_autofree gchar *what = g_strdup_printf ("%s (%s), %d", c->name,
          variants[i].name, counts[k]);

      run_boxes (plans[i], c->name, counts[k]);
      compare_maps (what, ref, plans[i],
          variants[i].precision == CI_PRECISION_FP16 ? 8e-3 : 2e-5);
    }
  }
  for (guint i = 0; i < n_variants; i += variant_step ())
    ci_plan_free (plans[i]);
  ci_plan_free (ref);
  weights_free (weights);
  ci_pool_free (pool);
  ci_graph_free (graph);
}

GST_END_TEST;

/* Maps of a batch are made together, items image by image: no image may spoil
 * what the next one needs. What is read are the last one's. */
GST_START_TEST (test_batch)
{
  static const Case batches[] = {
    CASE ("batch of box heads", build_box_head, 16, 7, 64),
    CASE ("batch of mask heads", build_mask_head, 24, 14),
    CASE ("batch of two lists", build_two_lists, 40),
  };
  const Case *c = &batches[__i__];
  const CiDetectParams params = { 0.01f, INFINITY, 1000, CAPACITY };
  TestWeights *weights;
  CiGraph *graph;
  CiPlan *ref, *plan;

  if (!wants_cuda () || !cuda_device ())
    return;
  graph = ci_graph_new ();
  c->build (graph, ci_graph_input (graph, c->channels), c->arg);
  weights = weights_for (graph);
  set_picks (weights);
  ref = compile (c, graph, weights, &reference, NULL, 0);
  plan = compile (c, graph, weights, &cuda_variants[0], NULL, 3);
  for (gint i = 0; i < 3; i++)
    fill_input (ci_plan_get_input (plan) + i * 16 * HEIGHT * WIDTH,
        i < 2 ? "another" : c->name, CAPACITY - 4 * i);
  fail_unless (ci_plan_run (plan, &params, NULL));
  run_boxes (ref, c->name, CAPACITY - 8);
  compare_maps (c->name, ref, plan, 2e-5);
  ci_plan_free (plan);
  ci_plan_free (ref);
  weights_free (weights);
  ci_graph_free (graph);
}

GST_END_TEST;

/* ---- broken boxes ----------------------------------------------------- */

/* Weights may make anything of a box, and no detector says that it is one. */
GST_START_TEST (test_broken_boxes)
{
  static const gfloat broken[][4] = {
    {NAN, NAN, NAN, NAN}, {NAN, 2, 12, 10}, {4, 2, 12, NAN}, {1, NAN, 5, 9},
    {-INFINITY, -INFINITY, INFINITY, INFINITY}, {2, 2, INFINITY, 8},
    {INFINITY, INFINITY, INFINITY, INFINITY}, {-3e38f, -3e38f, 3e38f, 3e38f},
    {-1e9f, -1e9f, 1e9f, 1e9f}, {0, 0, 1e7f, 3}, {3, 4, 17, 11}
  };
  static const CiRoiAlignParams params[] = {
    {.sampling_ratio = 0,.aligned = TRUE,.log_epsilon = 1e-8},
    {.sampling_ratio = 2,.level_epsilon = 1e-6},
    {.points = TRUE},
    {.sampling_ratio = 0},
  };
  CiDetectParams detect = { 0 };
  CiGraph *g = ci_graph_new ();
  CiRoiAlignParams p = params[__i__];
  CiPlanOptions options = { CI_BACKEND_REF, NULL, HEIGHT, WIDTH };
  TestWeights *weights;
  CiPlan *plans[2];
  CiTensor t;

  p.resolution = 3;
  ci_graph_output (g, build_items (g, ci_graph_input (g, 16), 5, 3, p), "out");
  weights = weights_for (g);
  set_picks (weights);
  for (gint i = 0; i < 2; i++) {
    options.backend = i ? CI_BACKEND_CPU : CI_BACKEND_REF;
    plans[i] = ci_plan_compile (g, &weights->base, &options, NULL);
    fail_unless (plans[i] != NULL);
    for (gint k = 0; k < 16 * HEIGHT * WIDTH; k++)
      ci_plan_get_input (plans[i])[k] = k % 23 - 11;
    give_boxes (plans[i], broken[0], G_N_ELEMENTS (broken));
    fail_unless (ci_plan_run (plans[i], &detect, NULL));
  }
  compare_maps ("broken boxes", plans[0], plans[1], 2e-5);
  fail_unless (ci_plan_read (plans[1], "out", &t));
  fail_unless_equals_int (t.dims[0], G_N_ELEMENTS (broken));
  for (gint i = 0; i < 5 * 9; i++)
    fail_unless (((const gfloat *) t.data)[i] == 0);
  for (gint i = 0; i < 2; i++)
    ci_plan_free (plans[i]);
  g_free ((gpointer) t.data);
  weights_free (weights);
  ci_graph_free (g);
}

GST_END_TEST;

/* ---- by hand ---------------------------------------------------------- */

/* Over a ramp, a mean is the value in the middle: RoIAlign of x + 10 y. */
GST_START_TEST (test_reference_of_a_ramp)
{
  static const gfloat on_ramp[] = { 4, 2, 12, 10, 6, 8, 14, 12 };
  const gboolean aligned = __i__;
  const CiRoiAlignParams params = {.strides = {2},.resolution = 2,
    .sampling_ratio = aligned ? 0 : 2,.aligned = aligned,.canonical_size = 224
  };
  CiDetectParams detect = { 0 };
  CiGraph *g = ci_graph_new ();
  CiValue x = ci_graph_input (g, 1), items;
  CiPlanOptions options = { CI_BACKEND_REF, NULL, 8, 9 };
  TestWeights *weights;
  CiPlan *plan;
  CiTensor t;

  items = ci_graph_roi_align (g, &x, 1, build_list (g, x, 5), &params);
  ci_graph_output (g, items, "items");
  ci_graph_output (g, ci_graph_global_max_pool (g, items), "max");
  weights = weights_for (g);
  plan = ci_plan_compile (g, &weights->base, &options, NULL);
  fail_unless (plan != NULL);
  for (gint i = 0; i < 8 * 9; i++)
    ci_plan_get_input (plan)[i] = i % 9 + 10 * (i / 9);
  give_boxes (plan, on_ramp, 2);
  fail_unless (ci_plan_run (plan, &detect, NULL));
  fail_unless (ci_plan_read (plan, "items", &t));
  fail_unless (t.n_dims == 4 && t.dims[0] == 2 && t.dims[1] == 1
      && t.dims[2] == 2 && t.dims[3] == 2);
  for (gint i = 0; i < 8; i++) {
    const gfloat *b = on_ramp + i / 4 * 4;
    gfloat px = b[0] + (b[2] - b[0]) * (i % 2 + 0.5f) / 2;
    gfloat py = b[1] + (b[3] - b[1]) * (i / 2 % 2 + 0.5f) / 2;
    gfloat shift = aligned ? 0.5f : 0;

    fail_unless (fabs (((const gfloat *) t.data)[i] - (px / 2 - shift)
            - 10 * (py / 2 - shift)) < 1e-4);
  }
  g_free ((gpointer) t.data);
  fail_unless (ci_plan_read (plan, "max", &t));
  fail_unless_equals_float (((const gfloat *) t.data)[0], aligned ? 39.5 : 45);
  fail_unless_equals_float (((const gfloat *) t.data)[1], aligned ? 55.5 : 61);
  g_free ((gpointer) t.data);
  ci_plan_free (plan);
  weights_free (weights);
  ci_graph_free (g);
}

GST_END_TEST;

static Suite *
kernels_suite (void)
{
  Suite *s = suite_create ("kernels");
  TCase *tc = tcase_create ("items");

  suite_add_tcase (s, tc);
  tcase_set_timeout (tc, 120);
  tcase_add_loop_test (tc, test_matches_reference, 0, G_N_ELEMENTS (cases));
  tcase_add_loop_test (tc, test_batch, 0, 3);
  tcase_add_loop_test (tc, test_broken_boxes, 0, 4);
  tcase_add_loop_test (tc, test_reference_of_a_ramp, 0, 2);
  return s;
}

GST_CHECK_MAIN (kernels);
