/*
 * network_zoo.c: networks of Mask R-CNN and SOLO that no golden case has, at
 * widths of our own, on the CPU against the reference.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "models/method.h"
#include "tests/check/kernels/conformance.h"

#define BACKBONE(names) "\"backbone\":{\"type\":\"resnet\"," \
    "\"names\":\"" names "\",\"norm\":\"bn\",\"stride_in_1x1\":false," \
    "\"depth\":50,\"stem_out_channels\":8,\"res2_out_channels\":16," \
    "\"width_per_group\":4},\"classes\":[\"a\",\"b\"],"
#define RCNN(names, more) "{\"architecture\":\"maskrcnn\"," \
    BACKBONE (names) "\"rcnn\":{\"code_base\":\"" names "\"}," more "}"
#define SOLO(name, more) "{\"architecture\":\"" name "\"," \
    BACKBONE ("mmdetection") "\"fpn\":{\"out_channels\":16}," \
    "\"solo\":{\"num_grids\":[9,7,5,4,3],\"seg_feat_channels\":32," more "}}"

static const struct
{
  const gchar *json;
  const gchar *tensor;          /* of a two-stage network: one that it has */
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
  {SOLO ("solo", "\"stacked_convs\":2,\"deformable_convs\":\"all\"")},
  {SOLO ("decoupled_solo", "\"stacked_convs\":3")},
  {SOLO ("decoupled_solo", "\"stacked_convs\":2,\"separate_towers\":false,"
        "\"prediction_kernel\":3,\"deformable_convs\":\"last\"")},
  {SOLO ("solov2", "\"stacked_convs\":2,\"feature_channels\":64,"
        "\"ins_out_channels\":32,\"deformable_convs\":\"all\"")},
  {SOLO ("solov2", "\"stacked_convs\":3,\"feature_channels\":32,"
        "\"ins_out_channels\":96,\"deformable_convs\":\"last\"")},
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

/* Sets @data, the name of a tensor, to NULL when it is there. */
static void
find_tensor (const gchar * name, gint n_dims, const gint64 * dims,
    gpointer data)
{
  const gchar **wanted = data;

  if (g_strcmp0 (name, *wanted) == 0)
    *wanted = NULL;
}

/* What is looked at one by one is in the order of scores, of which some hardly
 * differ. */
static void
compare_stages (CiPlan * ref, CiPlan * plan)
{
  for (gint l = 0; l < 5; l++) {
    g_autofree gchar *level = g_strdup_printf ("feat.p%d", l + 2);
    g_autofree gchar *logits = g_strdup_printf ("rpn.objectness.%d", l);

    compare (level, ref, plan, 2e-4, 0);
    compare (logits, ref, plan, 2e-4, 0);
  }
  compare ("box.features", ref, plan, 1e-3, 1 / 8.0);
  compare ("box.cls_logits", ref, plan, 1e-3, 1 / 8.0);
}

GST_START_TEST (test_backends_agree)
{
  const gchar *json = networks[__i__].json, *tensor = networks[__i__].tensor;
  CiBuildOptions build = { 100, TRUE };
  GError *error = NULL;
  g_autoptr (CiConfig) config = ci_config_parse (json, "test", &error);
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
  if (tensor) {
    ci_graph_foreach_tensor (graph, find_tensor, &tensor);
    fail_if (tensor, "no %s", tensor);
    compare_stages (ref, plan);
  } else {
    compare_maps (json, ref, plan, 2e-4);
  }
  ci_plan_get_detections (ref, &found);
  fail_unless (found.count > 3, "%d found", found.count);
  compare_rough_detections (json, ref, plan);
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
  Suite *s = suite_create ("network-zoo");
  TCase *tc = tcase_create ("general");

  suite_add_tcase (s, tc);
  tcase_set_timeout (tc, 60);
  tcase_add_loop_test (tc, test_backends_agree, 0, G_N_ELEMENTS (networks));
  return s;
}

GST_CHECK_MAIN (network);
