/*
 * network_solo.c: SOLO's networks that no golden case has, at widths of our
 * own, on the CPU against the reference.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "models/method.h"
#include "tests/check/kernels/conformance.h"

#define R50 "\"backbone\":{\"type\":\"resnet\",\"names\":\"mmdetection\"," \
    "\"norm\":\"bn\",\"stride_in_1x1\":false,\"depth\":50," \
    "\"stem_out_channels\":8,\"res2_out_channels\":16," \
    "\"width_per_group\":4}"
#define SOLO(name, more) "{\"architecture\":\"" name "\"," R50 "," \
    "\"fpn\":{\"out_channels\":16},\"classes\":[\"a\",\"b\"]," \
    "\"solo\":{\"num_grids\":[9,7,5,4,3],\"seg_feat_channels\":32," more "}}"

static const gchar *const networks[] = {
  SOLO ("solo", "\"stacked_convs\":2,\"deformable_convs\":\"all\""),
  SOLO ("decoupled_solo", "\"stacked_convs\":3"),
  SOLO ("decoupled_solo", "\"stacked_convs\":2,\"separate_towers\":false,"
      "\"prediction_kernel\":3,\"deformable_convs\":\"last\""),
  SOLO ("solov2", "\"stacked_convs\":2,\"feature_channels\":64,"
      "\"ins_out_channels\":32,\"deformable_convs\":\"all\""),
  SOLO ("solov2", "\"stacked_convs\":3,\"feature_channels\":32,"
      "\"ins_out_channels\":96,\"deformable_convs\":\"last\""),
};

static CiPlan *
run_network (const CiGraph * graph, const CiWeights * weights,
    CiBackend backend, CiPool * pool)
{
  CiPlanOptions options = { backend, pool, 64, 96, TRUE };
  CiDetectParams params = { 0.3f, 0.6, 500, 100 };
  GError *error = NULL;
  CiPlan *plan = ci_plan_compile (graph, weights, &options, &error);
  guint32 state = 1;

  fail_unless (plan != NULL, "%s", error ? error->message : "");
  for (gint i = 0; i < 3 * 64 * 96; i++)
    ci_plan_get_input (plan)[i] = uniform (&state, -2, 2);
  fail_unless (ci_plan_run (plan, &params, &error), "%s",
      error ? error->message : "");
  return plan;
}

GST_START_TEST (test_backends_agree)
{
  CiBuildOptions build = { 100, TRUE };
  GError *error = NULL;
  g_autoptr (CiConfig) config = ci_config_parse (networks[__i__], "test",
      &error);
  CiPool *pool = ci_pool_new (2);
  TestWeights *weights;
  CiDetections found;
  CiPlan *ref, *plan;
  CiGraph *graph;

  fail_unless (config != NULL, "%s", error ? error->message : "");
  graph = ci_network_build (config, &build);
  weights = weights_for (graph);
  ref = run_network (graph, &weights->base, CI_BACKEND_REF, NULL);
  plan = run_network (graph, &weights->base, CI_BACKEND_CPU, pool);
  compare_maps (networks[__i__], ref, plan, 2e-4);
  ci_plan_get_detections (ref, &found);
  fail_unless (found.count > 3, "%d found", found.count);
  compare_rough_detections (networks[__i__], ref, plan);
  ci_plan_free (ref);
  ci_plan_free (plan);
  weights_free (weights);
  ci_graph_free (graph);
  ci_pool_free (pool);
}

GST_END_TEST;

static Suite *
network_suite (void)
{
  Suite *s = suite_create ("network-solo");
  TCase *tc = tcase_create ("general");

  suite_add_tcase (s, tc);
  tcase_set_timeout (tc, 60);
  tcase_add_loop_test (tc, test_backends_agree, 0, G_N_ELEMENTS (networks));
  return s;
}

GST_CHECK_MAIN (network);
