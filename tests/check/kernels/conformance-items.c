/*
 * conformance-items.c: maps for each box of a list, against the reference, and
 * that by hand.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "conformance.h"

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

/* Over a ramp, a mean is the value in the middle: RoIAlign of x + 10 y. */
GST_START_TEST (test_reference_of_a_ramp)
{
  static const gfloat boxes[] = { 4, 2, 12, 10, 6, 8, 14, 12 };
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
  give_boxes (plan, boxes, 2);
  fail_unless (ci_plan_run (plan, &detect, NULL));
  fail_unless (ci_plan_read (plan, "items", &t));
  fail_unless (t.n_dims == 4 && t.dims[0] == 2 && t.dims[1] == 1
      && t.dims[2] == 2 && t.dims[3] == 2);
  for (gint i = 0; i < 8; i++) {
    const gfloat *b = boxes + i / 4 * 4;
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
  tcase_add_loop_test (tc, test_reference_of_a_ramp, 0, 2);
  return s;
}

GST_CHECK_MAIN (kernels);
