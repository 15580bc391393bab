/*
 * conformance-heads.c: detection and what is evaluated per detection, against
 * the reference.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "conformance.h"

/* FCOS on @n levels over @x; @towers: their maps of 24 channels */
static CiValue
build_fcos (CiGraph * g, CiValue x, gint n_classes, gint n,
    gboolean thresh_with_ctr, CiValue * towers)
{
  CiFcosLevel levels[4];

  for (gint l = 0; l < n; l++) {
    if (l)
      x = ci_graph_conv (g, x, "down", 24, 3, 2, 1, 1, TRUE);
    towers[l] = x;
    levels[l].logits = ci_graph_conv (g, x, "logits", n_classes, 3, 1, 1, 1,
        TRUE);
    levels[l].reg = ci_graph_activation (g, ci_graph_scale (g,
            ci_graph_conv (g, x, "reg", 4, 3, 1, 1, 1, TRUE), "scale"),
        CI_ACTIVATION_RELU);
    levels[l].ctr = ci_graph_conv (g, x, "ctr", 1, 3, 1, 1, 1, TRUE);
    levels[l].stride = 8 << l;
  }
  return ci_graph_fcos_detect (g, levels, n, 40, thresh_with_ctr);
}

/* classes, levels, thresh_with_ctr, mask features, hidden width, layers,
 * flags: 1 = full map, 2 = no coordinates */
static void
build_detector (CiGraph * g, CiValue x, const gint * a)
{
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
  detections = build_fcos (g, x, a[0], a[1], a[2], towers);
  params = ci_graph_conv_at (g, towers, a[1], detections, "controller",
      n_params, 3);
  ci_graph_output (g, params, "params");
  masks = ci_graph_dynamic_mask_head (g, features, detections, params, &head);
  ci_graph_output (g, masks, "masks");
}

/* classes, levels, thresh_with_ctr, bases, attention, resolution */
static void
build_blender (CiGraph * g, CiValue x, const gint * a)
{
  CiValue towers[4], detections, attention, bases;
  CiBlendParams params = { 4, a[4], a[5] };

  x = ci_graph_conv (g, x, "stem", 24, 3, 1, 1, 1, TRUE);
  bases = ci_graph_conv (g, x, "bases", a[3], 3, 1, 1, 1, TRUE);
  bases = ci_graph_upsample (g, bases, 2, CI_RESIZE_BILINEAR);
  detections = build_fcos (g, x, a[0], a[1], a[2], towers);
  attention = ci_graph_conv_at (g, towers, a[1], detections, "top",
      a[3] * a[4] * a[4], 3);
  ci_graph_output (g, attention, "attention");
  ci_graph_output (g, ci_graph_blend_masks (g, bases, detections, attention,
          &params), "masks");
}

/* classes, levels, thresh_with_ctr: boxes only */
static void
build_boxes (CiGraph * g, CiValue x, const gint * a)
{
  CiValue towers[4];

  x = ci_graph_conv (g, x, "stem", 24, 3, 1, 1, 1, TRUE);
  ci_graph_output (g, build_fcos (g, x, a[0], a[1], a[2], towers),
      "detections");
}

static const Case cases[] = {
  {"detector", 16, 24, 36, {5, 4, 1, 8, 8, 3, 0}, build_detector},
  {"detector, full map", 16, 24, 36, {5, 4, 1, 8, 8, 3, 1}, build_detector},
  {"detector, threshold on cls", 16, 16, 24, {80, 3, 0, 8, 8, 3, 0},
      build_detector},
  {"detector, 16 features", 16, 16, 24, {3, 3, 1, 16, 8, 3, 0},
      build_detector},
  {"detector, no coordinates", 16, 16, 24, {1, 1, 1, 8, 4, 2, 2},
      build_detector},
  {"detector, one cell", 16, 1, 1, {2, 1, 1, 8, 8, 3, 0}, build_detector},
  {"blender", 16, 24, 36, {5, 4, 1, 4, 14, 56}, build_blender},
  {"blender, odd sizes", 16, 16, 24, {5, 2, 1, 3, 5, 13}, build_blender},
  {"blender, one base", 16, 16, 24, {5, 2, 1, 1, 4, 8}, build_blender},
  {"blender, many bases", 16, 16, 24, {5, 2, 1, 11, 3, 9}, build_blender},
  {"boxes only", 16, 24, 36, {5, 4, 0}, build_boxes},
};

GST_START_TEST (test_matches_reference)
{
  const Case *c = &cases[__i__];

  if (leaves_out (__i__))
    return;
  check_case (c, TRUE, c->build == build_boxes ? NO_MASKS
      : c->build == build_blender || c->arg[6] & 1 ? FULL_MASKS : PART_MASKS);
}

GST_END_TEST;

/* Broken weights overflow; what is no number is no detection. */
GST_START_TEST (test_scores_are_numbers)
{
  CiGraph *g = ci_graph_new ();
  CiPlanOptions options = { __i__ ? CI_BACKEND_CPU : CI_BACKEND_REF, NULL, 9,
    11
  };
  CiDetectParams params = { 0, 1, 1000, 200, NULL };
  CiValue x = ci_graph_input (g, 3);
  CiFcosLevel level = {.stride = 8 };
  TestWeights *weights;
  CiDetections found;
  CiPlan *plan;

  level.logits = ci_graph_conv (g, x, "logits", 2, 1, 1, 0, 1, TRUE);
  level.reg = ci_graph_activation (g, ci_graph_conv (g, x, "reg", 4, 1, 1, 0,
          1, TRUE), CI_ACTIVATION_RELU);
  /* sees the neighbours, too */
  level.ctr = ci_graph_conv (g, x, "ctr", 1, 3, 1, 1, 1, TRUE);
  ci_graph_output (g, ci_graph_fcos_detect (g, &level, 1, 200, FALSE), "out");
  weights = weights_for (g);
  plan = ci_plan_compile (g, &weights->base, &options, NULL);
  fail_unless (plan != NULL);
  for (gint i = 0; i < 3 * 9 * 11; i++)
    ci_plan_get_input (plan)[i] = i % 99 == 4 * 11 + 5 ? NAN : 1;
  fail_unless (ci_plan_run (plan, &params, NULL));
  ci_plan_get_detections (plan, &found);
  fail_unless_equals_int (found.count, (9 * 11 - 9) * 2);
  for (gint i = 0; i < found.count; i++)
    fail_unless (found.scores[i] >= 0 && isfinite (found.boxes[4 * i]));
  ci_plan_free (plan);
  weights_free (weights);
  ci_graph_free (g);
}

GST_END_TEST;

/* What is found among many equal values: all implementations have to decide the
 * same. */
typedef struct
{
  const gchar *name;
  gint n_classes, capacity;
  gboolean thresh_with_ctr;
  gfloat logits;                /* they are at most so far from 0 */
  CiDetectParams params;
} SelectCase;

static const SelectCase select_cases[] = {
  {"few", 3, 100, TRUE, 4, {0.9f, 0.6, 1000, 100}},
  {"none", 3, 100, TRUE, 4, {0.99f, 0.6, 1000, 100}},
  {"all of them", 20, 300, TRUE, 8, {0, 0.6, 5000, 300}},
  {"all of them, by class", 20, 300, FALSE, 8, {0, 0.6, 5000, 300}},
  {"some classes", 12, 300, TRUE, 8, {0.05f, 0.6, 5000, 300, some_classes}},
  {"equal values", 5, 2000, FALSE, 0, {0, 0.6, 700, 2000}},
  {"all kept", 3, 5000, TRUE, 8, {0, 1.0, 700, 5000}},
  {"each class apart", 3, 5000, TRUE, 8, {0, 0.1, 5000, 5000}},
  {"classes compete", 3, 5000, TRUE, 8, {0, 0.5, 5000, 5000, NULL, 0.3}},
  {"the best of each level", 3, 10, TRUE, 8, {0, 1.0, 1, 10}},
  {"the best", 3, 1, TRUE, 8, {0, 0.6, 1000, 10}},
  {"not one", 3, 10, TRUE, 8, {0, 0.6, 1000, 0}},
};

static CiPlan *
run_select (const SelectCase * c, const CiGraph * graph,
    const CiWeights * weights, const Variant * variant)
{
  const gint h = 20, w = 28, n = (c->n_classes + 5) * h * w;
  CiPlanOptions options = { variant->backend, NULL, h, w, FALSE,
    variant->no_fuse, NULL, variant->precision
  };
  guint32 state = g_str_hash (c->name);
  CiPlan *plan;

  if (variant->backend == CI_BACKEND_CUDA)
    options.device = cuda_device ();
  plan = ci_plan_compile (graph, weights, &options, NULL);
  fail_unless (plan != NULL);
  for (gint i = 0; i < n; i++) {
    gint channel = i / (h * w);
    gfloat v = channel < c->n_classes ? uniform (&state, -c->logits, c->logits)
        : channel < c->n_classes + 4 ? uniform (&state, 0, 4)
        : c->logits / 4 * uniform (&state, -1, 1);

    ci_plan_get_input (plan)[i] = rintf (v * 8) / 8;
  }
  /* what one frame leaves behind must not show in the next */
  for (gint run = 0; run < 2; run++)
    fail_unless (ci_plan_run (plan, &c->params, NULL));
  return plan;
}

GST_START_TEST (test_selects_as_reference)
{
  const SelectCase *c = &select_cases[__i__];
  const Variant *variants = wants_cuda () ? cuda_variants : cpu_variants;
  const guint n_variants = wants_cuda () ? G_N_ELEMENTS (cuda_variants) : 2;
  const gint n = c->n_classes, of = n + 5;
  g_autofree gfloat *matrix = g_new (gfloat, of * of);
  CiWeights weights = { lookup_pick, matrix, ci_weights_new_id () };
  CiGraph *graph = ci_graph_new ();
  CiValue x = ci_graph_input (graph, of);
  CiFcosLevel levels[3];
  CiPlan *ref;

  if (wants_cuda () && !cuda_device ())
    return;
  for (gint l = 0; l < 3; l++)
    levels[l] = (CiFcosLevel) {
    pick (graph, x, 0, n, of, l), pick (graph, x, n, 4, of, l),
          pick (graph, x, n + 4, 1, of, l), 8 << l};
  ci_graph_output (graph, ci_graph_fcos_detect (graph, levels, 3, c->capacity,
          c->thresh_with_ctr), "detections");
  ref = run_select (c, graph, &weights, &reference);
  for (guint i = 0; i < n_variants; i++) {
    g_autofree gchar *what = g_strdup_printf ("%s (%s)", c->name,
        variants[i].name);
    CiPlan *plan = run_select (c, graph, &weights, &variants[i]);

    compare_detections (what, ref, plan, NO_MASKS);
    ci_plan_free (plan);
  }
  ci_plan_free (ref);
  ci_weights_forget (weights.id);
  ci_graph_free (graph);
}

GST_END_TEST;

static Suite *
kernels_suite (void)
{
  Suite *s = suite_create ("kernels");
  TCase *tc = tcase_create ("heads");

  suite_add_tcase (s, tc);
  tcase_set_timeout (tc, 120);
  tcase_add_loop_test (tc, test_scores_are_numbers, 0, 2);
  tcase_add_loop_test (tc, test_matches_reference, 0, G_N_ELEMENTS (cases));
  tcase_add_loop_test (tc, test_selects_as_reference, 0,
      G_N_ELEMENTS (select_cases));
  return s;
}

GST_CHECK_MAIN (kernels);
