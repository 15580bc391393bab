/*
 * cuda-conv.c: which way convolutions are computed on a GPU: whatever cuDNN has
 * for them, and by choices that were kept in files, good ones and bad ones. On
 * the fake runtime (tests/fakecuda).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "conformance.h"

#include <glib/gstdio.h>
#include <gmodule.h>

static int
count_calls (void)
{
  static GModule *module;
  int (*calls) (void);

  if (!module)
    module = g_module_open (g_getenv ("GST_CONDINST_CUDA_MODULE"),
        G_MODULE_BIND_LAZY);
  fail_unless (module != NULL, "%s", g_module_error ());
  fail_unless (g_module_symbol (module, "fakecuda_calls",
          (gpointer *) & calls));
  return calls ();
}

/* All kinds of convolutions. */
static CiGraph *
build (void)
{
  CiGraph *g = ci_graph_new ();
  CiValue x = ci_graph_input (g, 3), y, offsets;

  x = ci_graph_conv (g, x, "stem", 16, 3, 2, 1, 1, TRUE);
  x = ci_graph_activation (g, x, CI_ACTIVATION_RELU6);
  y = ci_graph_conv (g, x, "groups", 16, 3, 1, 1, 2, TRUE);
  x = ci_graph_activation (g, ci_graph_add (g, x, y), CI_ACTIVATION_RELU);
  x = ci_graph_conv (g, x, "few a group", 16, 3, 1, 1, 4, FALSE);
  x = ci_graph_conv (g, x, "odd groups", 12, 1, 1, 0, 4, TRUE);
  x = ci_graph_conv (g, x, "depthwise", 12, 5, 1, 2, 12, TRUE);
  x = ci_graph_conv (g, x, "again", 16, 1, 1, 0, 1, TRUE);
  offsets = ci_graph_conv (g, x, "offsets", 27, 3, 1, 1, 1, TRUE);
  x = ci_graph_deform_conv (g, x, offsets, "deform", 16, 3, 1, 1, 2, TRUE);
  ci_graph_output (g, x, "out");
  return g;
}

/* Compares a new plan on a new device with the reference; the calls to get
 * there. */
static int
try_once (const gchar * what)
{
  CiGraph *graph = build ();
  TestWeights *weights = weights_for (graph);
  guint32 state = 1;
  int before = count_calls (), n_calls = 0;

  for (gint half = 0; half < 2; half++) {
    GError *error = NULL;
    CiPlanOptions ref = { CI_BACKEND_REF, NULL, 12, 20, TRUE, FALSE };
    CiPlanOptions cuda = { CI_BACKEND_CUDA, NULL, 12, 20, FALSE, FALSE,
      ci_device_open (-1, NULL, &error),
      half ? CI_PRECISION_FP16 : CI_PRECISION_FP32, 1
    };
    CiPlan *a = ci_plan_compile (graph, &weights->base, &ref, &error);
    CiPlan *b = ci_plan_compile (graph, &weights->base, &cuda, &error);

    fail_unless (a && b, "%s: %s", what, error ? error->message : "");
    n_calls = count_calls () - before;
    for (gint i = 0; i < 3 * 12 * 20; i++)
      ci_plan_get_input (a)[i] = ci_plan_get_input (b)[i] =
          uniform (&state, -1, 1);
    fail_unless (ci_plan_run (a, NULL, &error)
        && ci_plan_run (b, NULL, &error), "%s: %s", what,
        error ? error->message : "");
    compare_maps (what, a, b, half ? 1e-2 : 2e-5);
    ci_plan_free (a);
    ci_plan_free (b);
    ci_device_unref (cuda.device);
  }
  weights_free (weights);
  ci_graph_free (graph);
  return n_calls;
}

GST_START_TEST (test_engines)
{
  static const gchar *const kinds[] = {
    "fused", "single", "half-bias", "fallback", "conv-only", "none"
  };

  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++) {
    g_setenv ("FAKECUDA_CUDNN", kinds[i], TRUE);
    try_once (kinds[i]);
  }
  g_unsetenv ("FAKECUDA_CUDNN");
}

GST_END_TEST;

/* ---- files -------------------------------------------------------------- */

typedef void (*Change) (const gchar * file);

static guint
for_files (const gchar * dir, Change change)
{
  GDir *d = g_dir_open (dir, 0, NULL);
  const gchar *name;
  guint n = 0;

  fail_unless (d != NULL);
  while ((name = g_dir_read_name (d))) {
    g_autofree gchar *file = g_build_filename (dir, name, NULL);

    change (file);
    n++;
  }
  g_dir_close (d);
  return n;
}

static void
look (const gchar * file)
{
  g_autofree gchar *text = NULL;

  fail_unless (g_file_get_contents (file, &text, NULL, NULL));
  fail_unless (g_str_has_prefix (text, "gst-condinst convolution 1\n"));
  fail_unless (g_str_has_suffix (text, "]}"));
}

static void
empty (const gchar * file)
{
  fail_unless (g_file_set_contents (file, "", 0, NULL));
}

static void
cut (const gchar * file)
{
  g_autofree gchar *text = NULL;
  gsize n;

  fail_unless (g_file_get_contents (file, &text, &n, NULL));
  fail_unless (g_file_set_contents (file, text, n / 2, NULL));
}

static void
flip (const gchar * file)
{
  g_autofree gchar *text = NULL;
  gsize n;

  fail_unless (g_file_get_contents (file, &text, &n, NULL));
  text[n - 20] ^= 1;
  fail_unless (g_file_set_contents (file, text, n, NULL));
}

static void
erase (const gchar * file)
{
  fail_unless_equals_int (g_unlink (file), 0);
}

/* Whole in itself, but cuDNN does not know it. */
static void
refuse (const gchar * file)
{
  g_autofree gchar *text = NULL, *sum = NULL, *other = NULL;
  g_auto (GStrv) lines = NULL;

  fail_unless (g_file_get_contents (file, &text, NULL, NULL));
  lines = g_strsplit (text, "\n", 5);
  sum = g_compute_checksum_for_string (G_CHECKSUM_SHA256, "{}", -1);
  other = g_strjoin ("\n", lines[0], lines[1], lines[2], sum, "{}", NULL);
  fail_unless (g_file_set_contents (file, other, -1, NULL));
}

GST_START_TEST (test_files)
{
  static const Change changes[] = { empty, cut, flip, refuse };
  g_autofree gchar *dir = g_dir_make_tmp ("condinst-XXXXXX", NULL);
  g_autofree gchar *below = g_build_filename (dir, "a", "b", NULL);
  g_autofree gchar *file = g_build_filename (dir, "file", NULL);
  g_autofree gchar *nowhere = g_build_filename (file, "c", NULL);
  g_autofree gchar *a = g_build_filename (dir, "a", NULL);
  int measured, kept;
  guint n;

  g_setenv ("GST_CONDINST_CACHE_DIR", below, TRUE);
  measured = try_once ("measured");
  n = for_files (below, look);
  fail_unless (n > 4);
  kept = try_once ("kept");
  fail_unless (kept * 3 < measured, "%d, %d calls", measured, kept);
  for (guint i = 0; i < G_N_ELEMENTS (changes); i++) {
    for_files (below, changes[i]);
    fail_unless (try_once ("damaged") > 2 * kept);
    fail_unless_equals_int (for_files (below, look), n);
    fail_unless (try_once ("mended") < kept + 10);
  }

  /* another cuDNN, another choice */
  g_setenv ("FAKECUDA_CUDNN_VERSION", "99999", TRUE);
  fail_unless (try_once ("another version") > 2 * kept);
  g_unsetenv ("FAKECUDA_CUDNN_VERSION");
  fail_unless_equals_int (for_files (below, look), 2 * n);

  /* no folder, and none possible */
  fail_unless (g_file_set_contents (file, "", 0, NULL));
  g_setenv ("GST_CONDINST_CACHE_DIR", nowhere, TRUE);
  fail_unless (try_once ("nowhere") > 2 * kept);
  g_setenv ("GST_CONDINST_CACHE_DIR", "", TRUE);

  for_files (below, erase);
  g_rmdir (below);
  g_rmdir (a);
  g_unlink (file);
  g_rmdir (dir);
}

GST_END_TEST;

static Suite *
kernels_suite (void)
{
  Suite *s = suite_create ("kernels");
  TCase *tc = tcase_create ("cuda-conv");

  suite_add_tcase (s, tc);
  tcase_set_timeout (tc, 300);
  tcase_add_test (tc, test_engines);
  tcase_add_test (tc, test_files);
  return s;
}

GST_CHECK_MAIN (kernels);
