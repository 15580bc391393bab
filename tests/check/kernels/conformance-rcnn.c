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
};

GST_START_TEST (test_matches_reference)
{
  const Case *c = &cases[__i__];

  check_case (c, TRUE, NO_MASKS);
}

GST_END_TEST;

/* What is proposed among many equal logits: a network that hands through the
 * channels of its input, which are eighths, the same in any precision. */
static gboolean
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

static CiValue
pick (CiGraph * g, CiValue x, gint first, gint count, gint of, gint level)
{
  g_autofree gchar *name = g_strdup_printf ("pick.%d.%d.%d", first, count, of);

  return ci_graph_conv (g, x, name, count, 1, 1 << level, 0, 1, FALSE);
}

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
  {"all", 8, 0, 1, 0, {3, {0.5f, 1, 2}, FALSE, 8192, 8192, 1.0}},
  {"all of equal logits", 0, 0, 1, 0, {3, {0.5f, 1, 2}, FALSE, 8192, 8192,
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
  TCase *tc = tcase_create ("rcnn");

  suite_add_tcase (s, tc);
  tcase_set_timeout (tc, 120);
  tcase_add_loop_test (tc, test_matches_reference, 0, G_N_ELEMENTS (cases));
  tcase_add_loop_test (tc, test_proposes_as_reference, 0,
      G_N_ELEMENTS (select_cases));
  return s;
}

GST_CHECK_MAIN (kernels);
