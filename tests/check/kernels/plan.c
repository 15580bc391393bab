/*
 * plan.c: what the plan compiler refuses and how it uses memory; the thread
 * pool; mask bytes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "conformance.h"

/* ---- the plan compiler -------------------------------------------------- */

GST_START_TEST (test_missing_and_misshaped_tensors_are_named)
{
  CiGraph *graph = ci_graph_new ();
  CiGraph *other = ci_graph_new ();
  CiPlanOptions options = { CI_BACKEND_CPU, NULL, 8, 8 };
  GError *error = NULL;
  TestWeights *weights;

  ci_graph_conv (graph, ci_graph_input (graph, 3), "conv", 16, 3, 1, 1, 1,
      TRUE);
  ci_graph_conv (other, ci_graph_input (other, 4), "conv", 16, 3, 1, 1, 1,
      TRUE);
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
    CiValue x = ci_graph_input (graph, 8), y;
    GError *error = NULL;
    TestWeights *weights;

    /* 6 rows do not come back from a stride of 4 */
    y = ci_graph_conv (graph, x, "small", 8, 1, 4, 0, 1, TRUE);
    y = ci_graph_upsample (graph, y, 4, CI_RESIZE_NEAREST);
    ci_graph_output (graph, ci_graph_add (graph, x, y), "out");
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

typedef struct
{
  const gchar *expected[2];     /* parts of the message */
  CiValue (*build) (CiGraph * graph, CiValue x, CiValue half);
} Mismatch;

static CiValue
concat_mismatch (CiGraph * graph, CiValue x, CiValue half)
{
  return ci_graph_concat (graph, (CiValue[]) { x, half }, 2);
}

static CiValue
weighted_add_mismatch (CiGraph * graph, CiValue x, CiValue half)
{
  return ci_graph_weighted_add (graph, (CiValue[]) { x, half }, 2, "fusion");
}

static CiValue
deform_mismatch (CiGraph * graph, CiValue x, CiValue half)
{
  CiValue offsets = ci_graph_conv (graph, half, "offset", 27, 3, 1, 1, 1,
      TRUE);

  return ci_graph_deform_conv (graph, x, offsets, "deform", 8, 3, 1, 1, 1,
      TRUE);
}

static CiValue
channel_scale_mismatch (CiGraph * graph, CiValue x, CiValue half)
{
  return ci_graph_channel_scale (graph, x, half);
}

static CiValue
aligned_mismatch (CiGraph * graph, CiValue x, CiValue half)
{
  return ci_graph_resize_like (graph, half, x, CI_RESIZE_ALIGNED_BILINEAR);
}

static const Mismatch mismatches[] = {
  {{"13x9", "7x5"}, concat_mismatch},
  {{"fusion", "7x5"}, weighted_add_mismatch},
  {{"deform", "7x5"}, deform_mismatch},
  {{"1x1", "7x5"}, channel_scale_mismatch},
  {{"7x5", "13x9"}, aligned_mismatch},
};

GST_START_TEST (test_maps_of_other_sizes_are_refused)
{
  const Mismatch *m = &mismatches[__i__];
  CiGraph *graph = ci_graph_new ();
  CiPlanOptions options = { CI_BACKEND_CPU, NULL, 9, 13 };
  CiValue x = ci_graph_input (graph, 8);
  g_autoptr (GError) error = NULL;
  TestWeights *weights;

  ci_graph_output (graph, m->build (graph, x, ci_graph_max_pool (graph, x, 3,
              2, 1, FALSE)), "out");
  weights = weights_for (graph);
  fail_if (ci_plan_compile (graph, &weights->base, &options, &error));
  fail_unless (g_error_matches (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT));
  for (gint i = 0; i < 2; i++)
    fail_unless (strstr (error->message, m->expected[i]), "%s",
        error->message);
  weights_free (weights);
  ci_graph_free (graph);
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

    x = ci_graph_conv (graph, x, name, 32, 1, 1, 0, 1, TRUE);
  }
  ci_graph_output (graph, x, "out");
  weights = weights_for (graph);
  plan = ci_plan_compile (graph, &weights->base, &options, NULL);
  fail_unless (plan != NULL);
  fail_unless_equals_uint64 (ci_plan_get_arena_bytes (plan),
      2 * 32 * 32 * 32 * sizeof (gfloat));
  fail_unless (fabs (ci_plan_get_flops (plan) - 2.0 * 32 * 32 * 32 * (3
              + 19 * 32)) < 1);
  ci_plan_free (plan);
  weights_free (weights);
  ci_graph_free (graph);
}

GST_END_TEST;

/* Maps are computed right where their concatenation wants them, or copied: if
 * two want them, if they are no whole blocks, if they are one themselves. */
GST_START_TEST (test_concat_holds_its_sources)
{
  static const gint channels[] = { 16, 8, 5, 24 };
  static const gchar *const parts[] =
      { "map1", "map0", "map1", "map2", "map3", "map3" };
  CiGraph *graph = ci_graph_new ();
  CiPlanOptions options = { CI_BACKEND_CPU, NULL, 9, 7 };
  CiValue x = ci_graph_input (graph, 3), maps[4], last[3];
  CiTensor whole, part;
  TestWeights *weights;
  CiPlan *plan;
  gsize at = 0;

  for (gint i = 0; i < 4; i++) {
    g_autofree gchar *conv = g_strdup_printf ("conv%d", i);
    g_autofree gchar *name = g_strdup_printf ("map%d", i);

    maps[i] = x = ci_graph_conv (graph, x, conv, channels[i], 3, 1, 1, 1,
        TRUE);
    ci_graph_name (graph, x, name);
  }
  last[0] = maps[1];
  last[1] = ci_graph_concat (graph, maps, 4);
  ci_graph_name (graph, last[1], "stack");
  last[2] = ci_graph_activation (graph, maps[3], CI_ACTIVATION_NONE);
  ci_graph_output (graph, ci_graph_concat (graph, last, 3), "out");
  weights = weights_for (graph);
  for (gint keep = 0; keep < 2; keep++) {
    options.keep_named = keep;
    plan = ci_plan_compile (graph, &weights->base, &options, NULL);
    fail_unless (plan != NULL);
    for (gint i = 0; i < 3 * 9 * 7; i++)
      ci_plan_get_input (plan)[i] = i % 23 - 11;
    fail_unless (ci_plan_run (plan, NULL, NULL));
    if (keep)
      break;
    fail_unless (ci_plan_read (plan, "out", &whole));
    ci_plan_free (plan);
  }
  for (guint i = 0; i < G_N_ELEMENTS (parts); i++) {
    const gfloat *data = (const gfloat *) whole.data + at;
    gsize n;

    fail_unless (ci_plan_read (plan, parts[i], &part));
    n = ci_tensor_n_elements (&part);
    fail_unless (!memcmp (data, part.data, n * sizeof (gfloat)), "%s",
        parts[i]);
    at += n;
    g_free ((gpointer) part.data);
  }
  fail_unless_equals_uint64 (at, ci_tensor_n_elements (&whole));
  g_free ((gpointer) whole.data);
  ci_plan_free (plan);
  weights_free (weights);
  ci_graph_free (graph);
}

GST_END_TEST;

static const gint group_kernels[] = { 1, 3 };

/* Levels of a pyramid that share their weights are computed together, and come
 * out as if they were not. Their sources die with them. */
GST_START_TEST (test_levels_together)
{
  gint kernel = group_kernels[__i__];
  CiGraph *graph = ci_graph_new ();
  CiPool *pool = ci_pool_new (2);
  CiValue x = ci_graph_input (graph, 3), levels[4];
  TestWeights *weights;
  CiTensor out[2][4];

  levels[0] = ci_graph_conv (graph, x, "stem", 40, 3, 1, 1, 1, TRUE);
  for (gint l = 1; l < 4; l++)
    levels[l] = ci_graph_max_pool (graph, levels[l - 1], 3, 2, 1, FALSE);
  for (gint i = 0; i < 2; i++) {
    g_autofree gchar *name = g_strdup_printf ("tower.%d", i);

    for (gint l = 0; l < 4; l++)
      levels[l] = ci_graph_conv (graph, levels[l], name, 40, kernel, 1,
          kernel / 2, 1, TRUE);
    for (gint l = 0; l < 4; l++)
      levels[l] = ci_graph_activation (graph, levels[l], CI_ACTIVATION_RELU);
  }
  for (gint l = 0; l < 4; l++) {
    g_autofree gchar *name = g_strdup_printf ("level%d", l);

    ci_graph_output (graph, levels[l], name);
  }
  weights = weights_for (graph);
  for (gint b = 0; b < 2; b++) {
    CiPlanOptions options = { b ? CI_BACKEND_CPU : CI_BACKEND_REF, pool, 37,
      50
    };
    CiPlan *plan = ci_plan_compile (graph, &weights->base, &options, NULL);

    fail_unless (plan != NULL);
    for (gint i = 0; i < 3 * 37 * 50; i++)
      ci_plan_get_input (plan)[i] = (i % 23 - 11) / 8.0f;
    fail_unless (ci_plan_run (plan, NULL, NULL));
    for (gint l = 0; l < 4; l++) {
      g_autofree gchar *name = g_strdup_printf ("level%d", l);

      fail_unless (ci_plan_read (plan, name, &out[b][l]));
    }
    ci_plan_free (plan);
  }
  for (gint l = 0; l < 4; l++) {
    const gfloat *a = out[0][l].data, *b = out[1][l].data;
    gfloat worst = 0, largest = 0;

    for (gsize i = 0; i < ci_tensor_n_elements (&out[0][l]); i++) {
      largest = MAX (largest, fabsf (a[i]));
      worst = MAX (worst, fabsf (a[i] - b[i]));
    }
    fail_unless (largest > 0);
    fail_unless (worst <= 1e-4f * largest, "level %d: %g of %g", l, worst,
        largest);
    g_free ((gpointer) a);
    g_free ((gpointer) b);
  }
  weights_free (weights);
  ci_pool_free (pool);
  ci_graph_free (graph);
}

GST_END_TEST;

/* A concatenation takes no memory beside what it holds. */
GST_START_TEST (test_concat_costs_no_copy)
{
  CiGraph *graph = ci_graph_new ();
  CiPlanOptions options = { CI_BACKEND_CPU, NULL, 32, 32 };
  CiValue x = ci_graph_input (graph, 3), maps[3];
  TestWeights *weights;
  CiPlan *plan;

  for (gint i = 0; i < 3; i++) {
    g_autofree gchar *name = g_strdup_printf ("conv%d", i);

    maps[i] = x = ci_graph_conv (graph, x, name, 32, 1, 1, 0, 1, TRUE);
  }
  ci_graph_output (graph, ci_graph_concat (graph, maps, 3), "out");
  weights = weights_for (graph);
  plan = ci_plan_compile (graph, &weights->base, &options, NULL);
  fail_unless (plan != NULL);
  fail_unless_equals_uint64 (ci_plan_get_arena_bytes (plan),
      3 * 32 * 32 * 32 * sizeof (gfloat));
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
  TCase *tc = tcase_create ("plan");

  suite_add_tcase (s, tc);
  tcase_set_timeout (tc, 120);
  tcase_add_test (tc, test_missing_and_misshaped_tensors_are_named);
  tcase_add_test (tc, test_impossible_sizes_are_refused);
  tcase_add_loop_test (tc, test_maps_of_other_sizes_are_refused, 0,
      G_N_ELEMENTS (mismatches));
  tcase_add_test (tc, test_arena_is_shared);
  tcase_add_test (tc, test_concat_holds_its_sources);
  tcase_add_test (tc, test_concat_costs_no_copy);
  tcase_add_loop_test (tc, test_levels_together, 0,
      G_N_ELEMENTS (group_kernels));
  tcase_add_test (tc, test_pool_runs_each_task_once);
  tcase_add_test (tc, test_quantise_keeps_the_threshold);
  return s;
}

GST_CHECK_MAIN (kernels);
