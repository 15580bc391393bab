/*
 * cuda-faults.c: each call of CUDA and cuDNN fails once, at every place where
 * it is made from opening the device to closing it, alone and with all calls
 * after it. Whatever happens: an error that says so, nothing lost, and another
 * try works. On the fake runtime (tests/fakecuda).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "conformance.h"

#include <gmodule.h>

/* Sanitizers make it slow: not every call then. */
#if defined (__SANITIZE_ADDRESS__)
# define STRIDE 7
#else
# define STRIDE 1
#endif

static void (*inject) (const char *name, int at, gboolean sticky);
static int (*calls) (void);
static gint64 (*device_bytes) (void);

static gpointer
symbol (const gchar * name)
{
  static GModule *module;
  gpointer function = NULL;

  if (!module)
    module = g_module_open (g_getenv ("GST_CONDINST_CUDA_MODULE"),
        G_MODULE_BIND_LAZY);
  fail_unless (module != NULL, "%s", g_module_error ());
  fail_unless (g_module_symbol (module, name, &function));
  return function;
}

/* A small CondInst: two levels, one tower, masks. */
static CiGraph *
build (void)
{
  CiGraph *g = ci_graph_new ();
  CiValue x = ci_graph_input (g, 3), levels[2], reg[2], d, features, params;
  CiFcosLevel heads[2];
  CiMaskHeadParams mask = { 8, 4, 8, 3, TRUE, {16, 32}, FALSE };

  x = ci_graph_conv (g, x, "stem", 8, 3, 2, 1, 1, TRUE);
  features = ci_graph_conv (g, x, "features", 8, 1, 1, 0, 1, TRUE);
  levels[0] = ci_graph_conv (g, x, "depthwise", 8, 3, 2, 1, 8, TRUE);
  levels[1] = ci_graph_max_pool (g, levels[0], 3, 2, 1, FALSE);
  for (gint l = 0; l < 2; l++)
    levels[l] = ci_graph_conv (g, levels[l], "tower", 8, 3, 1, 1, 1, TRUE);
  for (gint l = 0; l < 2; l++)
    levels[l] = ci_graph_activation (g, ci_graph_group_norm (g, levels[l],
            "norm", 2), CI_ACTIVATION_RELU);
  for (gint l = 0; l < 2; l++)
    heads[l].logits = ci_graph_conv (g, levels[l], "logits", 3, 3, 1, 1, 1,
        TRUE);
  for (gint l = 0; l < 2; l++)
    reg[l] = ci_graph_conv (g, levels[l], "reg", 4, 3, 1, 1, 1, TRUE);
  for (gint l = 0; l < 2; l++)
    heads[l].ctr = ci_graph_conv (g, levels[l], "ctr", 1, 3, 1, 1, 1, TRUE);
  for (gint l = 0; l < 2; l++) {
    g_autofree gchar *name = g_strdup_printf ("scales.%d.scale", l);

    heads[l].reg = ci_graph_activation (g, ci_graph_scale (g, reg[l], name),
        CI_ACTIVATION_RELU);
    heads[l].stride = 8 << l;
  }
  d = ci_graph_fcos_detect (g, heads, 2, 10, TRUE);
  params = ci_graph_conv_at (g, levels, 2, d, "controller", 169, 3);
  ci_graph_output (g, ci_graph_dynamic_mask_head (g, features, d, params,
          &mask), "masks");
  return g;
}

/* Everything that an element does, to the end or to the first error. */
static gboolean
live (const CiGraph * graph, const CiWeights * weights, gint batch,
    gint * n_found, GError ** error)
{
  guint8 pixels[32 * 32 * 3];
  CiImageFormat format = { CI_PIXEL_RGB, 32, 32 };
  CiPreprocessOptions pre_options = { 32, 32, 32, 32, TRUE, {0}, {50, 50, 50},
  CI_RESIZE_EXACT, TRUE
  };
  CiImage image = { {pixels}, {32 * 3} };
  CiDetectParams params = { 0.2f, 0.6, 60, 10, NULL };
  CiPlanOptions options = { CI_BACKEND_CUDA, NULL, 32, 32, FALSE, FALSE,
    ci_device_open (-1, NULL, error), CI_PRECISION_FP16, 2, batch
  };
  CiPreprocess *pre;
  CiPlan *plan = NULL;
  gboolean ok = FALSE;

  if (!options.device)
    return FALSE;
  for (guint i = 0; i < sizeof (pixels); i++)
    pixels[i] = i * 7 % 251;
  pre = ci_preprocess_new (&format, &pre_options, NULL);
  plan = ci_plan_compile (graph, weights, &options, error);
  if (plan && ci_plan_submit (plan, pre, &image, &params, error)
      && ci_plan_submit (plan, pre, &image, &params, error)
      && ci_plan_collect (plan, error)
      && ci_plan_submit (plan, pre, &image, &params, error)
      && ci_plan_collect (plan, error) && ci_plan_collect (plan, error)
      && ci_plan_run (plan, &params, error)) {
    CiDetections found;

    ci_plan_get_detections (plan, &found);
    *n_found = found.count;
    ok = TRUE;
  }
  ci_plan_free (plan);
  ci_preprocess_free (pre);
  ci_device_unref (options.device);
  return ok;
}

GST_START_TEST (test_every_call)
{
  CiGraph *graph = build ();
  TestWeights *weights = weights_for (graph);
  gint n_found = -1, n_calls, n_failed = 0;
  const gboolean sticky = __i__ & 1;
  const gint batch = __i__ & 2 ? 2 : 1;
  GError *error = NULL;

  fail_unless (live (graph, &weights->base, batch, &n_found, &error), "%s",
      error ? error->message : "");
  fail_unless (n_found >= 0);
  inject = symbol ("fakecuda_fail");
  calls = symbol ("fakecuda_calls");
  device_bytes = symbol ("fakecuda_device_bytes");
  fail_unless_equals_int64 (device_bytes (), 0);

  inject (NULL, 0, FALSE);
  fail_unless (live (graph, &weights->base, batch, &n_found, &error), "%s",
      error ? error->message : "");
  n_calls = calls ();
  fail_unless (n_calls > 100);
  for (gint at = 1; at <= n_calls; at += STRIDE) {
    gboolean ok;
    gint n = -1;

    inject (NULL, at, sticky);
    ok = live (graph, &weights->base, batch, &n, &error);
    fail_unless (ok == (error == NULL), "call %d", at);
    /* some have another way, or nobody who could be told */
    fail_unless (!ok || n == n_found, "call %d: %d detections", at, n);
    if (error)
      fail_unless (error->domain == CI_ERROR && *error->message);
    g_clear_error (&error);
    n_failed += !ok;
    inject (NULL, 0, FALSE);
    fail_unless (device_bytes () == 0, "call %d: %" G_GINT64_FORMAT
        " bytes are lost", at, device_bytes ());
  }
  /* most calls only ask cuDNN what it could do */
  fail_unless (n_failed > n_calls / STRIDE / (sticky ? 2 : 8), "%d of %d",
      n_failed, n_calls / STRIDE);
  fail_unless (live (graph, &weights->base, batch, &n_found, &error));
  weights_free (weights);
  ci_graph_free (graph);
}

GST_END_TEST;

/* What there is to say when there is no GPU. */
GST_START_TEST (test_no_device)
{
  static const struct
  {
    const gchar *name, *value, *message;
  } cases[] = {
    {"FAKECUDA_DRIVER", "0", "there is no NVIDIA driver"},
    {"FAKECUDA_DRIVER", "11040", "the NVIDIA driver is for CUDA 11.4"},
    {"FAKECUDA_DEVICES", "0", "no CUDA-capable device"},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    GError *error = NULL;

    g_setenv (cases[i].name, cases[i].value, TRUE);
    fail_unless (ci_device_open (-1, NULL, &error) == NULL);
    fail_unless (g_error_matches (error, CI_ERROR, CI_ERROR_NO_DEVICE));
    fail_unless (strstr (error->message, cases[i].message) != NULL, "%s",
        error->message);
    g_clear_error (&error);
    g_unsetenv (cases[i].name);
  }
  fail_unless (ci_device_open (1, NULL, NULL) == NULL);
}

GST_END_TEST;

static Suite *
kernels_suite (void)
{
  Suite *s = suite_create ("kernels");
  TCase *tc = tcase_create ("cuda-faults");

  suite_add_tcase (s, tc);
  tcase_set_timeout (tc, 600);
  tcase_add_test (tc, test_no_device);
  /* alone or lasting, in single frames or in batches of two */
  tcase_add_loop_test (tc, test_every_call, 0, 4);
  return s;
}

GST_CHECK_MAIN (kernels);
