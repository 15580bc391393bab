/*
 * conformance-multibox.c: heads with priors and masks of prototypes, against
 * the reference.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "conformance.h"

#define WITHOUT_MASKS 1
#define FULL_MAP 2
#define RESCORE 4

/* @n levels of SSD's or YOLACT's kind over @x, @n_priors a cell; @towers: their
 * maps */
static CiValue
build_multibox (CiGraph * g, CiValue x, gint n_classes, gint n, gint n_priors,
    CiNms nms, CiValue * towers)
{
  CiMultiboxParams params = { 40, {0.1f, 0.2f}, nms };
  CiMultiboxLevel levels[4];

  for (gint l = 0; l < n; l++) {
    if (l)
      x = ci_graph_conv (g, x, "down", 24, 3, 2, 1, 1, TRUE);
    towers[l] = x;
    levels[l].loc = ci_graph_conv (g, x, "loc", 4 * n_priors, 3, 1, 1, 1,
        TRUE);
    levels[l].conf = ci_graph_conv (g, x, "conf", n_priors * (n_classes + 1),
        3, 1, 1, 1, TRUE);
    for (gint a = 0; a < n_priors; a++) {
      levels[l].sizes[a][0] = 0.1f * (1 << l) * (1 + a % 3);
      levels[l].sizes[a][1] = 0.1f * (1 << l) * (1 + a / 3);
    }
  }
  return ci_graph_multibox_detect (g, levels, n, &params);
}

/* classes, levels, priors, NMS, prototypes, flags, qualities */
static void
build_prototypes (CiGraph * g, CiValue x, const gint * a)
{
  CiValue towers[4], detections, rows, prototypes;

  x = ci_graph_conv (g, x, "stem", 24, 3, 1, 1, 1, TRUE);
  prototypes = ci_graph_activation (g, ci_graph_conv (g, x, "prototypes",
          a[4], 3, 1, 1, 1, TRUE), CI_ACTIVATION_RELU);
  detections = build_multibox (g, x, a[0], a[1], a[2], a[3], towers);
  ci_graph_output (g, detections, "detections");
  if (a[5] & WITHOUT_MASKS)
    return;
  for (gint l = 0; l < a[1]; l++)
    towers[l] = ci_graph_activation (g, ci_graph_conv (g, towers[l],
            "coefficients", a[2] * a[4], 3, 1, 1, 1, TRUE),
        CI_ACTIVATION_TANH);
  rows = ci_graph_gather (g, towers, a[1], detections, a[4]);
  ci_graph_output (g, rows, "rows");
  if (a[5] & RESCORE) {
    x = ci_graph_assemble_items (g, prototypes, detections, rows);
    ci_graph_output (g, x, "items");
    x = ci_graph_activation (g, ci_graph_conv (g, x, "quality.0", 6, 3, 2, 0,
            1, TRUE), CI_ACTIVATION_RELU);
    x = ci_graph_conv (g, x, "quality.1", a[6], 1, 1, 0, 1, TRUE);
    x = ci_graph_global_max_pool (g, x);
    ci_graph_output (g, ci_graph_rescore (g, detections, x), "mask scores");
  }
  ci_graph_output (g, ci_graph_assemble_masks (g, prototypes, detections, rows,
          a[5] & FULL_MAP), "masks");
}

static const Case cases[] = {
  {"prototypes", 16, 24, 36, {5, 4, 3, CI_NMS_FAST, 32, 0}, build_prototypes},
  {"prototypes, full map", 16, 24, 36, {5, 4, 3, CI_NMS_FAST, 32, FULL_MAP},
      build_prototypes},
  {"prototypes, nine priors", 16, 18, 22, {6, 2, 9, CI_NMS_DEFAULT, 5, 0},
      build_prototypes},
  {"prototypes, one of one", 16, 19, 23, {1, 1, 1, CI_NMS_FAST, 1, 0},
      build_prototypes},
  {"prototypes, cross-class", 16, 24, 36,
      {5, 3, 3, CI_NMS_FAST_CROSS_CLASS, 8, 0}, build_prototypes},
  {"prototypes, greedy", 16, 24, 36, {5, 3, 3, CI_NMS_GREEDY, 13, FULL_MAP},
      build_prototypes},
  {"rescored", 16, 24, 36, {5, 3, 3, CI_NMS_FAST, 13, RESCORE, 5},
      build_prototypes},
  {"rescored, one for all", 16, 24, 36,
      {5, 3, 3, CI_NMS_FAST, 8, RESCORE | FULL_MAP, 1}, build_prototypes},
  {"prototypes, one cell", 16, 1, 1, {2, 1, 3, CI_NMS_FAST, 8, 0},
      build_prototypes},
  {"boxes of one prior", 16, 24, 36, {7, 3, 1, CI_NMS_FAST, 8,
          WITHOUT_MASKS}, build_prototypes},
  {"boxes of sixteen priors", 16, 9, 13, {3, 2, 16, CI_NMS_GREEDY, 8,
          WITHOUT_MASKS}, build_prototypes},
};

GST_START_TEST (test_matches_reference)
{
  const Case *c = &cases[__i__];

  if (leaves_out (__i__))
    return;
  check_case (c, TRUE, c->arg[5] & WITHOUT_MASKS ? NO_MASKS
      : c->arg[5] & FULL_MAP ? FULL_MASKS : PART_MASKS);
}

GST_END_TEST;

/* ---- selection among equals ---------------------------------------------- */

#define PRIORS 3

typedef struct
{
  const gchar *name;
  gint n_classes, capacity;
  gfloat logits;                /* they are at most so far from 0 */
  gfloat background;            /* added to those of the background */
  CiDetectParams params;
} SelectCase;

#define NMS(nms) NULL, 0, CI_NMS_##nms

static const SelectCase select_cases[] = {
  {"few", 3, 100, 4, 4, {0.5f, 0.5, 200, 100, NMS (FAST)}},
  {"few, cross-class", 3, 100, 4, 4, {0.5f, 0.5, 200, 100,
          NMS (FAST_CROSS_CLASS)}},
  {"few, greedy", 3, 100, 4, 4, {0.5f, 0.5, 200, 100, NMS (GREEDY)}},
  {"none", 3, 100, 4, 8, {0.99f, 0.5, 200, 100, NMS (FAST)}},
  {"no number is above one", 3, 100, 4, -8, {1, 0.5, 200, 100, NMS (FAST)}},
  {"all of them", 20, 300, 8, 0, {0, 0.5, 1000, 300, NMS (FAST)}},
  {"all of them, cross-class", 20, 300, 8, 0, {0, 0.5, 1000, 300,
          NMS (FAST_CROSS_CLASS)}},
  {"many, greedy", 20, 300, 8, 0, {0.1f, 0.5, 1000, 300, NMS (GREEDY)}},
  {"its own way", 4, 300, 8, 0, {0.1f, 0.5, 200, 300}},
  {"no such way", 4, 300, 8, 0, {0.1f, 0.5, 200, 300, NMS (MATRIX)}},
  {"few of each class", 20, 300, 8, 0, {0.05f, 0.5, 7, 300, NMS (FAST)}},
  {"few, cross-class top", 20, 300, 8, 0, {0.05f, 0.5, 7, 300,
          NMS (FAST_CROSS_CLASS)}},
  {"equal values", 5, 2000, 0, 0, {0, 0.5, 200, 2000, NMS (FAST)}},
  {"equal values, cross-class", 5, 2000, 0, 0, {0, 0.5, 200, 2000,
          NMS (FAST_CROSS_CLASS)}},
  {"equal values, greedy", 5, 2000, 0, 0, {0.1f, 0.5, 200, 2000,
          NMS (GREEDY)}},
  {"some classes", 12, 300, 8, 0, {0.05f, 0.5, 200, 300, some_classes, 0,
          CI_NMS_FAST}},
  {"some classes, cross-class", 12, 300, 8, 0, {0.05f, 0.5, 200, 300,
          some_classes, 0, CI_NMS_FAST_CROSS_CLASS}},
  {"classes compete", 12, 300, 8, 0, {0.05f, 0.5, 200, 300, NULL, 0.3,
          CI_NMS_FAST}},
  {"classes compete, greedy", 12, 300, 8, 0, {0.05f, 0.5, 200, 300, NULL, 0.3,
          CI_NMS_GREEDY}},
  {"a floor", 6, 300, 8, 0, {0.05f, 0.5, 200, 300, NULL, 0, CI_NMS_FAST,
          0.4f}},
  {"a floor, cross-class", 6, 300, 8, 0, {0.05f, 0.5, 200, 300, NULL, 0,
          CI_NMS_FAST_CROSS_CLASS, 0.4f}},
  {"a floor, greedy", 6, 300, 8, 0, {0.05f, 0.5, 200, 300, NULL, 0,
          CI_NMS_GREEDY, 0.4f}},
  {"nothing overlaps", 3, 3000, 8, 0, {0, 1.0, 1000, 3000, NMS (FAST)}},
  {"everything overlaps", 3, 300, 8, 0, {0, 0, 1000, 300, NMS (GREEDY)}},
  {"the best", 3, 1, 8, 0, {0, 0.5, 200, 10, NMS (FAST)}},
  {"not one", 3, 10, 8, 0, {0, 0.5, 200, 0, NMS (FAST)}},
  {"none of a class", 3, 10, 8, 0, {0, 0.5, 0, 10, NMS (FAST)}},
};

static CiPlan *
run_select (const SelectCase * c, const CiGraph * graph,
    const CiWeights * weights, const Variant * variant)
{
  const gint h = 13, w = 17, of = PRIORS * (c->n_classes + 5);
  CiPool *pool = variant->n_threads > 1 ? ci_pool_new (variant->n_threads)
      : NULL;
  CiPlanOptions options = { variant->backend, pool, h, w, FALSE,
    variant->no_fuse, NULL, variant->precision
  };
  guint32 state = g_str_hash (c->name);
  CiPlan *plan;

  if (variant->backend == CI_BACKEND_CUDA)
    options.device = cuda_device ();
  plan = ci_plan_compile (graph, weights, &options, NULL);
  fail_unless (plan != NULL);
  /* eighths are the same in any precision */
  for (gint i = 0; i < of * h * w; i++) {
    gint channel = i / (h * w) - 4 * PRIORS;
    gfloat v = channel < 0 ? uniform (&state, -4, 4)
        : uniform (&state, -c->logits, c->logits)
        + (channel % (c->n_classes + 1) ? 0 : c->background);

    ci_plan_get_input (plan)[i] = rintf (v * 8) / 8;
  }
  /* what one frame leaves behind must not show in the next */
  for (gint run = 0; run < 2; run++)
    fail_unless (ci_plan_run (plan, &c->params, NULL));
  ci_pool_free (pool);
  return plan;
}

GST_START_TEST (test_selects_as_reference)
{
  const SelectCase *c = &select_cases[__i__];
  const Variant *variants = wants_cuda () ? cuda_variants : cpu_variants;
  const guint n_variants = wants_cuda () ? G_N_ELEMENTS (cuda_variants)
      : G_N_ELEMENTS (cpu_variants);
  const gint n = PRIORS * (c->n_classes + 1), of = 4 * PRIORS + n;
  g_autofree gfloat *matrix = g_new (gfloat, of * of);
  CiWeights weights = { lookup_pick, matrix, ci_weights_new_id () };
  CiMultiboxParams params = { c->capacity, {0.1f, 0.2f}, CI_NMS_DEFAULT };
  CiGraph *graph = ci_graph_new ();
  CiValue x = ci_graph_input (graph, of);
  CiMultiboxLevel levels[3];
  CiDetections found;
  CiPlan *ref;

  if (wants_cuda () && !cuda_device ())
    return;
  for (gint l = 0; l < 3; l++)
    levels[l] = (CiMultiboxLevel) {
    pick (graph, x, 0, 4 * PRIORS, of, l),
          pick (graph, x, 4 * PRIORS, n, of, l), {{0.25f, 0.25f},
              {0.125f, 0.5f}, {0.5f, 0.125f}}};
  ci_graph_output (graph, ci_graph_multibox_detect (graph, levels, 3,
          &params), "detections");
  ref = run_select (c, graph, &weights, &reference);
  ci_plan_get_detections (ref, &found);
  for (gint i = 0; i < found.count; i++)
    fail_unless (found.scores[i] > c->params.score_threshold
        && (!c->params.classes || c->params.classes[found.classes[i]]));
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

/* What of which is found, where three boxes of a class overlap in a row: the
 * first suppresses the second one, which suppresses the third, in Fast NMS
 * only. */
GST_START_TEST (test_suppression)
{
  static const struct
  {
    CiNms nms;
    gdouble threshold;
    gint count, priors[3];
  } ways[] = {
    {CI_NMS_FAST, 0.5, 1, {0}},
    {CI_NMS_GREEDY, 0.5, 2, {0, 2}},
    {CI_NMS_FAST_CROSS_CLASS, 0.5, 1, {0}},
    /* the IoU of neighbours is 30 / 50, of whole pixels 31 / 51 */
    {CI_NMS_FAST, 0.605, 3, {0, 1, 2}},
    {CI_NMS_GREEDY, 0.605, 2, {0, 2}},
  };
  const gint backends = wants_cuda ()? 1 : 2;
  gfloat matrix[18 * 18];
  CiWeights weights = { lookup_pick, matrix, ci_weights_new_id () };
  CiMultiboxParams params = { 10, {1, 1}, CI_NMS_DEFAULT };
  CiGraph *graph = ci_graph_new ();
  CiValue x = ci_graph_input (graph, 18);
  CiMultiboxLevel level = { pick (graph, x, 0, 12, 18, 0),
    pick (graph, x, 12, 6, 18, 0), {{0.4f, 0.5f}, {0.4f, 0.5f}, {0.4f, 0.5f}}
  };

  if (wants_cuda () && !cuda_device ())
    return;
  ci_graph_output (graph, ci_graph_multibox_detect (graph, &level, 1,
          &params), "detections");
  for (gint b = 0; b < backends; b++)
    for (guint i = 0; i < G_N_ELEMENTS (ways); i++) {
      CiPlanOptions options = { wants_cuda () ? CI_BACKEND_CUDA
        : b ? CI_BACKEND_CPU : CI_BACKEND_REF, NULL, 100, 100
      };
      CiDetectParams detect = { 0.3f, ways[i].threshold, 200, 10, NULL, 0,
        ways[i].nms
      };
      CiDetections found;
      CiPlan *plan;
      gfloat *in;

      if (wants_cuda ())
        options.device = cuda_device ();
      plan = ci_plan_compile (graph, &weights, &options, NULL);
      fail_unless (plan != NULL);
      in = ci_plan_get_input (plan);
      for (gint c = 0; c < 18; c++)
        for (gint p = 0; p < 10000; p++)
          in[c * 10000 + p] = c >= 12 && c % 2 == 0 ? 50 : 0;
      /* one cell only: to the right by a quarter of the width each */
      for (gint a = 0; a < 3; a++) {
        in[a * 4 * 10000 + 5050] = 0.25f * a;
        in[(12 + 2 * a) * 10000 + 5050] = 0;
        in[(13 + 2 * a) * 10000 + 5050] = 3 - a;
      }
      fail_unless (ci_plan_run (plan, &detect, NULL));
      ci_plan_get_detections (plan, &found);
      fail_unless (found.count == ways[i].count, "%d found instead of %d",
          found.count, ways[i].count);
      for (gint k = 0; k < found.count; k++) {
        fail_unless_equals_int (found.cells[k], 5050 * 3 + ways[i].priors[k]);
        fail_unless (fabs (found.boxes[4 * k] - (50.5 - 20
                    + 10 * ways[i].priors[k])) < 1e-3);
        fail_unless (fabs (found.boxes[4 * k + 3] - (50.5 + 25)) < 1e-3);
        fail_unless (fabs (found.scores[k]
                - 1 / (1 + exp (ways[i].priors[k] - 3))) < 1e-6);
      }
      ci_plan_free (plan);
    }
  ci_weights_forget (weights.id);
  ci_graph_free (graph);
}

GST_END_TEST;

/* Broken weights overflow; what is no number is no detection. */
GST_START_TEST (test_scores_are_numbers)
{
  const gint n = 11, of = 4 + n;
  g_autofree gfloat *matrix = g_new (gfloat, of * of);
  CiWeights weights = { lookup_pick, matrix, ci_weights_new_id () };
  CiMultiboxParams params = { 200, {0.1f, 0.2f}, CI_NMS_DEFAULT };
  CiGraph *graph = ci_graph_new ();
  CiValue x = ci_graph_input (graph, of);
  CiMultiboxLevel level = { pick (graph, x, 0, 4, of, 0),
    pick (graph, x, 4, n, of, 0), {{0.01f, 0.01f}}
  };
  CiPlanOptions options = { wants_cuda () ? CI_BACKEND_CUDA
    : __i__ ? CI_BACKEND_CPU : CI_BACKEND_REF, NULL, 9, 11
  };
  CiDetectParams detect = { 0.05f, 0.5, 200, 200, NMS (GREEDY) };
  CiDetections found;
  CiPlan *plan;

  if (wants_cuda () && !(options.device = cuda_device ()))
    return;
  ci_graph_output (graph, ci_graph_multibox_detect (graph, &level, 1,
          &params), "detections");
  plan = ci_plan_compile (graph, &weights, &options, NULL);
  fail_unless (plan != NULL);
  /* all are of the last class, some with numbers that are none */
  for (gint c = 0; c < of; c++)
    for (gint p = 0; p < 9 * 11; p++)
      ci_plan_get_input (plan)[c * 9 * 11 + p] = c == of - 1 ? 9
          : p == 7 && c == 8 ? NAN
          : p == 8 && c == 9 ? INFINITY
          : p == 9 && c == 0 ? NAN
          : p == 10 && c == 3 ? 1e6f
          : p == 11 && c == 4 ? NAN : p == 12 && c == 5 ? -1e30f : 0;
  fail_unless (ci_plan_run (plan, &detect, NULL));
  ci_plan_get_detections (plan, &found);
  fail_unless_equals_int (found.count, 9 * 11 - 5);
  for (gint i = 0; i < found.count; i++)
    fail_unless (found.classes[i] == n - 2 && found.scores[i] > 0.9f
        && (found.cells[i] < 7 || found.cells[i] > 11)
        && isfinite (found.boxes[4 * i + 3]));
  ci_plan_free (plan);
  ci_weights_forget (weights.id);
  ci_graph_free (graph);
}

GST_END_TEST;

/* ---- masks at the frame's size ------------------------------------------- */

static gdouble
resize_sample (const gdouble * in, gint w, gint h, gint out_w, gint out_h,
    gint x, gint y)
{
  gdouble u = MAX ((x + 0.5) * w / out_w - 0.5, 0);
  gdouble v = MAX ((y + 0.5) * h / out_h - 0.5, 0);
  gint x0 = u, y0 = v, x1 = MIN (x0 + 1, w - 1), y1 = MIN (y0 + 1, h - 1);
  gdouble a = u - x0, b = v - y0;

  return (1 - b) * ((1 - a) * in[y0 * w + x0] + a * in[y0 * w + x1])
      + b * ((1 - a) * in[y1 * w + x0] + a * in[y1 * w + x1]);
}

GST_START_TEST (test_paste_bilinear)
{
  static const gint sizes[][8] = {
    /* grid, padded, resized, frame */
    {138, 138, 237, 283, 237, 283, 237, 283},
    {138, 138, 64, 48, 64, 48, 64, 48},
    {24, 16, 96, 64, 90, 51, 121, 77},
    {24, 16, 96, 64, 96, 64, 33, 20},
    {1, 1, 8, 8, 5, 8, 7, 9},
  };
  const gint *s = sizes[__i__];
  g_autofree gfloat *prob = g_new (gfloat, s[0] * s[1]);
  g_autofree gdouble *cells = g_new (gdouble, s[0] * s[1]);
  g_autofree gdouble *cut = g_new (gdouble, s[4] * s[5]);
  g_autofree guint8 *bits = g_new (guint8, s[6] * s[7]);
  CiMaskGrid grid = { 0, 0, s[0], s[1],.prob = prob };
  guint32 state = 7;
  gint n_set = 0;

  for (gint i = 0; i < s[0] * s[1]; i++)
    cells[i] = prob[i] = uniform (&state, 0, 1);
  for (gint y = 0; y < s[5]; y++)
    for (gint x = 0; x < s[4]; x++)
      cut[y * s[4] + x] = resize_sample (cells, s[0], s[1], s[2], s[3], x, y);
  ci_mask_paste_bilinear (&grid, s[2], s[3], s[4], s[5], s[6], s[7], 0.4f,
      bits);
  for (gint y = 0; y < s[7]; y++)
    for (gint x = 0; x < s[6]; x++) {
      gdouble v = resize_sample (cut, s[4], s[5], s[6], s[7], x, y);

      n_set += bits[y * s[6] + x];
      if (fabs (v - 0.4) > 1e-4)
        fail_unless_equals_int (bits[y * s[6] + x], v > 0.4);
    }
  fail_unless (s[0] == 1 || (n_set > 0 && n_set < s[6] * s[7]));
}

GST_END_TEST;

static Suite *
kernels_suite (void)
{
  Suite *s = suite_create ("kernels");
  TCase *tc = tcase_create ("multibox");

  suite_add_tcase (s, tc);
  tcase_set_timeout (tc, 120);
  tcase_add_loop_test (tc, test_scores_are_numbers, 0, 2);
  tcase_add_test (tc, test_suppression);
  tcase_add_loop_test (tc, test_matches_reference, 0, G_N_ELEMENTS (cases));
  tcase_add_loop_test (tc, test_selects_as_reference, 0,
      G_N_ELEMENTS (select_cases));
  tcase_add_loop_test (tc, test_paste_bilinear, 0, 5);
  return s;
}

GST_CHECK_MAIN (kernels);
