/*
 * conformance-rcnn.c: region proposals, box heads and masks of two-stage
 * detectors, against the reference.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "conformance.h"

#include <stdio.h>

/* An RPN on @n levels of strides 4, 8, ... over @x; @maps: their maps of 24
 * channels */
static CiValue
build_proposals (CiGraph * g, CiValue x, gint n, const CiRpnParams * params,
    CiValue * maps)
{
  CiRpnLevel levels[4];

  for (gint l = 0; l < n; l++) {
    x = l ? ci_graph_conv (g, x, "down", 24, 3, 2, 1, 1, TRUE)
        : ci_graph_conv (g, x, "stem", 24, 7, 4, 3, 1, TRUE);
    maps[l] = x;
    levels[l] = (CiRpnLevel) {
    ci_graph_conv (g, x, "objectness", params->n_ratios, 1, 1, 0, 1, TRUE),
          ci_graph_conv (g, x, "deltas", 4 * params->n_ratios, 1, 1, 0, 1,
          TRUE), 4 << l, 10 << l};
  }
  return ci_graph_rpn (g, levels, n, params);
}

/* levels, anchors a cell, rounded anchors, top_n before and after NMS */
static void
build_rpn (CiGraph * g, CiValue x, const gint * a)
{
  CiRpnParams params = { a[1], {0.5f, 1, 2, 3, 0.3f, 1.5f, 0.7f, 4}, a[2],
    a[3], a[4], 0.7, a[2] ? 2.5f : 0, a[2]
  };
  CiValue maps[4];

  ci_graph_output (g, build_proposals (g, x, a[0], &params, maps), "out");
}

typedef enum
{
  EACH_CLASS,                   /* deltas: for each class, */
  EACH_AND_BACKGROUND,
  ALL_TOGETHER,
} Deltas;

typedef enum
{
  BOXES,
  CLASS_MASKS,
  POINT_REND,
} Head;

/* PointRend: a coarse head without layers of its own. */
static CiValue
build_point_rend (CiGraph * g, CiValue features, CiValue detections,
    gint n_classes, const gint * a)
{
  CiRoiAlignParams points = {.strides = {4},.resolution = 5,.points = TRUE,
    .canonical_size = 224
  };
  CiPointRendParams params = { 4, 3, a[0], a[1], a[2], 2, a[3] };
  CiValue coarse = ci_graph_roi_align (g, &features, 1, detections, &points);

  coarse = ci_graph_linear (g, coarse, "coarse", n_classes * 9, 5, TRUE);
  return ci_graph_point_rend (g, features, coarse, detections, "point",
      &params);
}

/* head, classes, background first, deltas; class masks: channels that no class
 * has, resolution; PointRend: channels, 10 * first size + layers, points */
static void
build_two_stages (CiGraph * g, CiValue x, const gint * a)
{
  CiRpnParams rpn = { 3, {0.5f, 1, 2}, FALSE, 200, 60, 0.7 };
  CiRoiAlignParams roi = {.strides = {4, 8, 16},.resolution = 3,
    .sampling_ratio = 2,.aligned = TRUE,.canonical_size = 24,
    .canonical_level = 3,.first_level = 2
  };
  CiBoxDetectParams detect = { a[2], {10, 10, 5, 5}, a[2] ? 1 : 0, a[2], 40 };
  gint n_deltas = a[3] == EACH_CLASS ? a[1] : a[3] == ALL_TOGETHER ? 1
      : a[1] + 1;
  CiValue maps[3], proposals, items, logits, deltas, detections, out;

  proposals = build_proposals (g, x, 3, &rpn, maps);
  items = ci_graph_roi_align (g, maps, 3, proposals, &roi);
  logits = ci_graph_linear (g, items, "cls", a[1] + 1, 3, TRUE);
  deltas = ci_graph_linear (g, items, "box", 4 * n_deltas, 3, TRUE);
  out = detections = ci_graph_box_detect (g, proposals, logits, deltas,
      &detect);
  if (a[0] == CLASS_MASKS) {
    roi.resolution = a[5];
    items = ci_graph_roi_align (g, maps, 3, detections, &roi);
    out = ci_graph_class_masks (g, items, detections, "predictor",
        a[1] + a[4], a[4]);
  } else if (a[0] == POINT_REND) {
    const gint point[4] = { a[4], a[5] % 10, a[5] / 10, a[6] };

    out = build_point_rend (g, maps[0], detections, a[1], point);
  }
  ci_graph_output (g, out, "out");
}

static const Case cases[] = {
  {"proposals", 16, 64, 96, {3, 3, FALSE, 300, 200}, build_rpn},
  {"proposals, rounded anchors", 16, 64, 96, {3, 3, TRUE, 200, 1000},
      build_rpn},
  {"proposals, odd sizes", 16, 61, 83, {4, 3, TRUE, 200, 100}, build_rpn},
  {"proposals, the best", 16, 64, 96, {3, 3, FALSE, 50, 30}, build_rpn},
  {"proposals, two a level", 16, 64, 96, {4, 2, FALSE, 2, 30}, build_rpn},
  {"proposals, one anchor", 8, 64, 96, {2, 1, FALSE, 300, 1000}, build_rpn},
  {"proposals, eight anchors", 8, 64, 96, {2, 8, TRUE, 100, 1000}, build_rpn},
  {"proposals of one cell", 8, 1, 1, {1, 3, FALSE, 100, 100}, build_rpn},
  {"two stages", 16, 64, 96, {BOXES, 5, FALSE, EACH_CLASS}, build_two_stages},
  {"two stages, background first", 16, 64, 96, {BOXES, 5, TRUE,
          EACH_AND_BACKGROUND}, build_two_stages},
  {"two stages, boxes of all classes", 16, 64, 96, {BOXES, 12, FALSE,
          ALL_TOGETHER}, build_two_stages},
  {"two stages, one class", 16, 64, 96, {BOXES, 1, TRUE, EACH_CLASS},
      build_two_stages},
  {"two stages, one cell", 16, 1, 1, {BOXES, 3, FALSE, EACH_CLASS},
      build_two_stages},
  {"class masks", 16, 64, 96, {CLASS_MASKS, 5, FALSE, EACH_CLASS, 0, 7},
      build_two_stages},
  {"class masks, an unused channel", 16, 64, 96, {CLASS_MASKS, 5, TRUE,
          EACH_AND_BACKGROUND, 1, 6}, build_two_stages},
  {"point rend", 16, 64, 96, {POINT_REND, 5, FALSE, EACH_CLASS, 24, 73, 30},
      build_two_stages},
  {"point rend, one layer", 16, 64, 96, {POINT_REND, 9, FALSE, EACH_CLASS, 13,
          41, 150}, build_two_stages},
  {"point rend, no layer", 16, 64, 96, {POINT_REND, 2, FALSE, EACH_CLASS, 8,
          120, 1000}, build_two_stages},
};

GST_START_TEST (test_matches_reference)
{
  const Case *c = &cases[__i__];

  if (leaves_out (__i__))
    return;
  check_case (c, TRUE, c->build == build_two_stages && c->arg[0] != BOXES ?
      FULL_MASKS : NO_MASKS);
}

GST_END_TEST;

/* What is proposed among many equal logits: a network that hands through the
 * channels of its input, which are eighths, the same in any precision. */
typedef struct
{
  const gchar *name;
  gfloat logits;                /* they are at most so far from 0, */
  gfloat slope;                 /* plus so much for each pixel */
  gfloat deltas;
  gint n_nan;                   /* every so many'th number is none */
  CiRpnParams params;
  gint frame_width, frame_height;
} SelectCase;

static const SelectCase select_cases[] = {
  {"few of many", 8, 0, 1, 0, {3, {0.5f, 1, 2}, FALSE, 100, 40, 0.7}},
  {"all", 8, 0, 1, 0, {3, {0.5f, 1, 2}, FALSE, 5000, 5000, 1.0}},
  {"all of equal logits", 0, 0, 1, 0, {3, {0.5f, 1, 2}, FALSE, 5000, 5000,
          0.5}},
  {"some of equal logits", 0, 0, 0, 0, {3, {0.5f, 1, 2}, TRUE, 77, 99, 0.3}},
  {"ever better logits", 0, 0.125f, 1, 0, {3, {0.5f, 1, 2}, FALSE, 16, 30,
          0.7}},
  {"ever worse logits", 0, -0.125f, 1, 0, {3, {0.5f, 1, 2}, FALSE, 16, 30,
          0.7}},
  {"negative logits", 1, -1, 1, 0, {2, {1, 2}, FALSE, 50, 500, 0.7}},
  {"no numbers", 8, 0, 1, 7, {3, {0.5f, 1, 2}, FALSE, 400, 400, 0.7}},
  {"large deltas", 8, 0, 12, 0, {3, {0.5f, 1, 2}, FALSE, 400, 400, 0.7}},
  {"a small frame", 8, 0, 1, 0, {3, {0.5f, 1, 2}, FALSE, 400, 400, 0.7}, 7,
      5},
  {"large boxes only", 8, 0, 1, 0, {3, {0.5f, 1, 2}, TRUE, 400, 400, 0.7, 8,
          TRUE}},
  {"larger boxes only", 8, 0, 1, 0, {3, {0.5f, 1, 2}, TRUE, 400, 400, 0.7, 8,
          FALSE}},
};

static CiPlan *
run_select (const SelectCase * c, const CiGraph * graph,
    const CiWeights * weights, const Variant * variant)
{
  const gint h = 20, w = 28, n_anchors = c->params.n_ratios;
  CiPlanOptions options = { variant->backend, NULL, h, w, FALSE,
    variant->no_fuse, NULL, variant->precision
  };
  CiDetectParams params = {.frame_width = c->frame_width,
    .frame_height = c->frame_height
  };
  guint32 state = g_str_hash (c->name);
  CiPlan *plan;

  if (variant->backend == CI_BACKEND_CUDA)
    options.device = cuda_device ();
  plan = ci_plan_compile (graph, weights, &options, NULL);
  fail_unless (plan != NULL);
  for (gint i = 0; i < 5 * n_anchors * h * w; i++) {
    gboolean is_logit = i / (h * w) < n_anchors;
    gfloat range = is_logit ? c->logits : c->deltas;
    gfloat v = rintf (uniform (&state, -range, range) * 8) / 8;

    if (is_logit)
      v += c->slope * (i % (h * w));
    if (c->n_nan && i % c->n_nan == 0)
      v = i % 2 ? NAN : INFINITY;
    ci_plan_get_input (plan)[i] = v;
  }
  /* what one frame leaves behind must not show in the next */
  for (gint run = 0; run < 2; run++)
    fail_unless (ci_plan_run (plan, &params, NULL));
  return plan;
}

GST_START_TEST (test_proposes_as_reference)
{
  const SelectCase *c = &select_cases[__i__];
  const Variant *variants = wants_cuda () ? cuda_variants : cpu_variants;
  const guint n_variants = wants_cuda () ? G_N_ELEMENTS (cuda_variants) : 2;
  const gint n = c->params.n_ratios, of = 5 * n;
  g_autofree gfloat *matrix = g_new (gfloat, of * of);
  CiWeights weights = { lookup_pick, matrix, ci_weights_new_id () };
  CiGraph *graph = ci_graph_new ();
  CiValue x = ci_graph_input (graph, of);
  CiRpnLevel levels[3];
  CiDetections d;
  CiPlan *ref;

  if (wants_cuda () && !cuda_device ())
    return;
  for (gint l = 0; l < 3; l++)
    levels[l] = (CiRpnLevel) {
    pick (graph, x, 0, n, of, l), pick (graph, x, n, 4 * n, of, l), 1 << l,
          4 << l};
  ci_graph_output (graph, ci_graph_rpn (graph, levels, 3, &c->params), "out");
  ref = run_select (c, graph, &weights, &reference);
  ci_plan_get_detections (ref, &d);
  fail_unless (d.count > 3, "%s: only %d proposals", c->name, d.count);
  for (gint i = 0; i < d.count; i++)
    fail_unless (d.boxes[4 * i] >= 0 && d.boxes[4 * i + 1] >= 0
        && d.boxes[4 * i + 2] <= (c->frame_width ? c->frame_width : 28)
        && d.boxes[4 * i + 3] <= (c->frame_height ? c->frame_height : 20));
  for (guint i = 0; i < n_variants; i++) {
    g_autofree gchar *what = g_strdup_printf ("%s (%s)", c->name,
        variants[i].name);
    CiPlan *plan;

    /* halves have no large eighths, and no infinity */
    if (variants[i].precision == CI_PRECISION_FP16 && (c->slope || c->n_nan))
      continue;
    plan = run_select (c, graph, &weights, &variants[i]);
    compare_detections (what, ref, plan, NO_MASKS);
    ci_plan_free (plan);
  }
  ci_plan_free (ref);
  ci_weights_forget (weights.id);
  ci_graph_free (graph);
}

GST_END_TEST;

/* Box heads whose decisions do not depend on rounding: all proposals have the
 * same logits and keep their boxes. */
typedef struct
{
  const gchar *name;
  gfloat logits[6];             /* the last one: background */
  gint n_nan;                   /* every so many'th pixel is no number */
  CiDetectParams params;
  gint n_expected;              /* -1: more than 3 */
} HeadCase;

static const HeadCase head_cases[] = {
  {"equal scores", {1, 1, 1, 1, 1, 1}, 0, {0.1f, 0.5, 1, 40}, -1},
  {"some equal scores", {2, 1, 2, 1, 0, 1}, 0, {0.05f, 0.3, 1, 40}, -1},
  {"one class only", {9, 0, 0, 0, 0, 0}, 0, {0.5f, 0.3, 1, 40}, -1},
  {"some classes", {1, 1, 1, 1, 1, 1}, 0, {0.1f, 0.3, 1, 40, some_classes},
      -1},
  {"classes compete", {1, 1, 1, 1, 1, 1}, 0, {0.1f, 0.9, 1, 40, NULL, 0.2},
      -1},
  {"all kept", {1, 1, 1, 1, 1, 1}, 0, {0, 1, 1, 40}, 40},
  {"not one", {1, 1, 1, 1, 1, 1}, 0, {0.1f, 0.5, 1, 0}, 0},
  {"all background", {0, 0, 0, 0, 0, 20}, 0, {0.1f, 0.5, 1, 40}, 0},
  {"logits far apart", {1000, -1000, 0, 0, 0, 999}, 0, {0.1f, 0.5, 1, 40},
      -1},
  {"no numbers", {1, 1, 1, 1, 1, 1}, 211, {0.1f, 0.9, 1, 40}, -1},
};

static void
set_tensor (TestWeights * weights, const gchar * name, const gfloat * values)
{
  CiTensor *t = g_hash_table_lookup (weights->tensors, name);
  gsize n = ci_tensor_n_elements (t);

  for (gsize i = 0; i < n; i++)
    ((gfloat *) t->data)[i] = values ? values[i] : 0;
}

static CiPlan *
run_head (const HeadCase * c, const CiGraph * graph,
    const CiWeights * weights, const Variant * variant)
{
  CiPlanOptions options = { variant->backend, NULL, 64, 96, FALSE,
    variant->no_fuse, NULL, variant->precision
  };
  guint32 state = 7;
  CiPlan *plan;

  if (variant->backend == CI_BACKEND_CUDA)
    options.device = cuda_device ();
  plan = ci_plan_compile (graph, weights, &options, NULL);
  fail_unless (plan != NULL);
  for (gint i = 0; i < 64 * 96; i++)
    ci_plan_get_input (plan)[i] = c->n_nan && i % c->n_nan == 0 ? NAN
        : uniform (&state, -2, 2);
  for (gint run = 0; run < 2; run++)
    fail_unless (ci_plan_run (plan, &c->params, NULL));
  return plan;
}

GST_START_TEST (test_decides_as_reference)
{
  const HeadCase *c = &head_cases[__i__];
  const Variant *variants = wants_cuda () ? cuda_variants : cpu_variants;
  /* proposals differ in half precision */
  const guint n_variants = wants_cuda () ? 3 : 2;
  const gint arg[7] = { BOXES, 5, FALSE, EACH_CLASS };
  CiGraph *graph = ci_graph_new ();
  TestWeights *weights;
  CiDetections d;
  CiPlan *ref;

  if (wants_cuda () && !cuda_device ())
    return;
  build_two_stages (graph, ci_graph_input (graph, 1), arg);
  weights = weights_for (graph);
  set_tensor (weights, "cls.weight", NULL);
  set_tensor (weights, "cls.bias", c->logits);
  set_tensor (weights, "box.weight", NULL);
  set_tensor (weights, "box.bias", NULL);
  ref = run_head (c, graph, &weights->base, &reference);
  ci_plan_get_detections (ref, &d);
  fail_unless (c->n_expected < 0 ? d.count > 3 : d.count == c->n_expected,
      "%s: %d detections", c->name, d.count);
  for (guint i = 0; i < n_variants; i++) {
    g_autofree gchar *what = g_strdup_printf ("%s (%s)", c->name,
        variants[i].name);
    CiPlan *plan = run_head (c, graph, &weights->base, &variants[i]);

    compare_detections (what, ref, plan, NO_MASKS);
    ci_plan_free (plan);
  }
  ci_plan_free (ref);
  weights_free (weights);
  ci_graph_free (graph);
}

GST_END_TEST;

static gfloat
cell_or_zero (const gfloat * prob, gint size, gint y, gint x)
{
  return x < 0 || y < 0 || x >= size || y >= size ? 0 : prob[y * size + x];
}

/* A map that is stretched over ci_mask_pixel_box(), with zeros around it, is
 * what torchvision pastes. */
GST_START_TEST (test_pixel_box)
{
  static const gfloat boxes[][4] = { {3, 4, 30, 25}, {3.7f, 4.2f, 30.9f, 24.1f},
  {-9.5f, -3, 50, 12}, {20, 20, 20.3f, 20.2f}, {70, 5, 90, 9},
  {-40, 3, -30, 9}, {5, 5, 6, 31}, {NAN, 0, 9, 9}
  };
  const gfloat *box = boxes[__i__];
  const gint size = 7, w = 41, h = 33;
  gfloat prob[49], at[4];
  guint8 mask[33 * 41];
  guint32 state = 5;

  for (gint i = 0; i < size * size; i++)
    prob[i] = uniform (&state, 0, 1);
  ci_mask_paste_pixel_box (prob, size, box, w, h, 0.5f, mask);
  ci_mask_pixel_box (size, box, at);
  for (gint y = 0; y < h; y++)
    for (gint x = 0; x < w; x++) {
      gdouble u = (x + 0.5 - at[0]) / (at[2] - at[0]) * size - 0.5;
      gdouble v = (y + 0.5 - at[1]) / (at[3] - at[1]) * size - 0.5;
      gdouble p = 0;

      for (gint k = 0; k < 4; k++) {
        gint i = floor (v) + k / 2, j = floor (u) + k % 2;

        p += (1 - fabs (v - i)) * (1 - fabs (u - j)) * cell_or_zero (prob,
            size, i, j);
      }
      if (fabs (p - 0.5) > 1e-4)
        fail_unless_equals_int (mask[y * w + x], p > 0.5);
    }
}

GST_END_TEST;

static Suite *
kernels_suite (void)
{
  Suite *s = suite_create ("kernels");
  TCase *tc = tcase_create ("rcnn");

  suite_add_tcase (s, tc);
  tcase_set_timeout (tc, 120);
  tcase_add_loop_test (tc, test_matches_reference, 0, G_N_ELEMENTS (cases));
  tcase_add_loop_test (tc, test_proposes_as_reference, 0,
      G_N_ELEMENTS (select_cases));
  tcase_add_loop_test (tc, test_decides_as_reference, 0,
      G_N_ELEMENTS (head_cases));
  tcase_add_loop_test (tc, test_pixel_box, 0, 8);
  return s;
}

GST_CHECK_MAIN (kernels);
