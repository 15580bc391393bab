/*
 * network_rcnn.c: Mask R-CNNs that no golden case has, at widths of our own,
 * on the CPU against the reference.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "models/method.h"
#include "tests/check/kernels/conformance.h"

#define RCNN(names, more) "{\"architecture\":\"maskrcnn\"," \
    "\"backbone\":{\"type\":\"resnet\",\"names\":\"" names "\"," \
    "\"norm\":\"bn\",\"stride_in_1x1\":false,\"depth\":50," \
    "\"stem_out_channels\":8,\"res2_out_channels\":16," \
    "\"width_per_group\":4},\"rcnn\":{\"code_base\":\"" names "\"}," \
    "\"classes\":[\"a\",\"b\"]," more "}"

static const struct
{
  const gchar *json;
  const gchar *tensor;          /* one that it has */
} networks[] = {
  {RCNN ("torchvision", "\"fpn\":{\"out_channels\":16,\"norm\":\"bn\"},"
        "\"rpn\":{\"num_convs\":2,\"post_nms_top_n\":80},"
        "\"box_head\":{\"num_convs\":4,\"conv_channels\":24,"
        "\"norm\":\"bn\",\"fc_channels\":40,\"num_fcs\":1},"
        "\"mask_head\":{\"channels\":20,\"norm\":\"bn\"}"),
      "roi_heads.box_head.5.weight"},
  {RCNN ("torchvision", "\"fpn\":{\"out_channels\":16},"
        "\"rpn\":{\"num_convs\":3,\"post_nms_top_n\":80},"
        "\"box_head\":{\"num_convs\":1,\"conv_channels\":24,"
        "\"fc_channels\":40,\"num_fcs\":2},"
        "\"mask_head\":{\"channels\":20,\"num_convs\":1}"),
      "roi_heads.box_head.4.bias"},
  {RCNN ("detectron2", "\"fpn\":{\"out_channels\":32,\"norm\":\"gn\"},"
        "\"rpn\":{\"num_convs\":2,\"post_nms_top_n\":80},"
        "\"box_head\":{\"num_convs\":2,\"conv_channels\":64,"
        "\"norm\":\"gn\",\"fc_channels\":40,\"num_fcs\":1},"
        "\"mask_head\":{\"channels\":32,\"norm\":\"gn\"}"),
      "roi_heads.mask_head.mask_fcn4.norm.weight"},
};

static CiPlan *
run_network (const CiGraph * graph, const CiWeights * weights,
    CiBackend backend, CiPool * pool)
{
  CiPlanOptions options = { backend, pool, 64, 96, TRUE };
  CiDetectParams params = { 0.3f, 0.5, 1000, 100 };
  GError *error = NULL;
  CiPlan *plan = ci_plan_compile (graph, weights, &options, &error);
  guint32 state = 1;

  fail_unless (plan != NULL, "%s", error ? error->message : "");
  params.frame_width = 96;
  params.frame_height = 64;
  for (gint i = 0; i < 3 * 64 * 96; i++)
    ci_plan_get_input (plan)[i] = uniform (&state, -2, 2);
  fail_unless (ci_plan_run (plan, &params, &error), "%s",
      error ? error->message : "");
  return plan;
}

/* All values but @most of them agree up to @tolerance of the biggest. */
static void
compare (const gchar * name, CiPlan * ref, CiPlan * plan, gdouble tolerance,
    gdouble most)
{
  gdouble biggest = 1e-3;
  gsize n, n_wrong = 0;
  CiTensor x, y;

  fail_unless (ci_plan_read (ref, name, &x) && ci_plan_read (plan, name, &y));
  n = ci_tensor_n_elements (&x);
  fail_unless (n > 0 && n == ci_tensor_n_elements (&y), "%s: %u values", name,
      (guint) n);
  for (gsize i = 0; i < n; i++)
    biggest = MAX (biggest, fabs (((const gfloat *) x.data)[i]));
  for (gsize i = 0; i < n; i++)
    n_wrong += !(fabs (((const gfloat *) x.data)[i]
            - ((const gfloat *) y.data)[i]) <= tolerance * biggest);
  fail_unless (n_wrong <= most * n, "%s: %u of %u values differ", name,
      (guint) n_wrong, (guint) n);
  g_free ((gpointer) x.data);
  g_free ((gpointer) y.data);
}

static void
find_tensor (const gchar * name, gint n_dims, const gint64 * dims,
    gpointer data)
{
  gint *wanted = data;

  (void) n_dims;
  (void) dims;
  if (g_str_equal (name, networks[*wanted].tensor))
    *wanted = -1;
}

GST_START_TEST (test_backends_agree)
{
  gint wanted = __i__;
  GError *error = NULL;
  g_autoptr (CiConfig) config = ci_config_parse (networks[wanted].json,
      "test", &error);
  CiPool *pool = ci_pool_new (2);
  TestWeights *weights;
  CiDetections found;
  CiPlan *ref, *plan;
  CiGraph *graph;

  fail_unless (config != NULL, "%s", error ? error->message : "");
  graph = ci_network_build (config, NULL);
  ci_graph_foreach_tensor (graph, find_tensor, &wanted);
  fail_unless (wanted == -1, "no %s", networks[__i__].tensor);
  weights = weights_for (graph);
  ref = run_network (graph, &weights->base, CI_BACKEND_REF, NULL);
  plan = run_network (graph, &weights->base, CI_BACKEND_CPU, pool);
  for (gint l = 0; l < 5; l++) {
    g_autofree gchar *level = g_strdup_printf ("feat.p%d", l + 2);
    g_autofree gchar *logits = g_strdup_printf ("rpn.objectness.%d", l);

    compare (level, ref, plan, 2e-4, 0);
    compare (logits, ref, plan, 2e-4, 0);
  }
  ci_plan_get_detections (ref, &found);
  fail_unless (found.count > 3, "%d found", found.count);
  /* items are in the order of scores, of which some hardly differ */
  compare ("box.features", ref, plan, 1e-3, 1 / 8.0);
  compare ("box.cls_logits", ref, plan, 1e-3, 1 / 8.0);
  compare_rough_detections (networks[__i__].json, ref, plan);
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
  Suite *s = suite_create ("network-rcnn");
  TCase *tc = tcase_create ("general");

  suite_add_tcase (s, tc);
  tcase_set_timeout (tc, 60);
  tcase_add_loop_test (tc, test_backends_agree, 0, G_N_ELEMENTS (networks));
  return s;
}

GST_CHECK_MAIN (network);
