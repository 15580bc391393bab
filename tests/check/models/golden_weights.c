/*
 * The generator of golden weights against values written down beside them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gst/check/gstcheck.h>
#include <json-glib/json-glib.h>

#include "tests/golden/golden_weights.h"

static gdouble
get_value (const CiTensor * tensor, gsize i)
{
  return tensor->dtype == CI_DTYPE_I64 ? ((const gint64 *) tensor->data)[i]
      : ((const gfloat *) tensor->data)[i];
}

static void
check_values (const CiWeights * weights, const gchar * name,
    JsonObject * expected)
{
  JsonArray *head = json_object_get_array_member (expected, "first");
  CiTensor tensor;
  gsize n;
  gdouble sum = 0, wanted;

  fail_unless (weights->lookup (weights, name, &tensor), "no %s", name);
  fail_unless (tensor.dtype == CI_DTYPE_F32 || tensor.dtype == CI_DTYPE_I64);
  n = ci_tensor_n_elements (&tensor);
  fail_unless_equals_int64 (n, json_object_get_int_member (expected, "n"));
  for (guint i = 0; i < json_array_get_length (head); i++)
    fail_unless (get_value (&tensor, i) ==
        (gfloat) json_array_get_double_element (head, i), "%s[%u] is %.9g",
        name, i, get_value (&tensor, i));
  fail_unless (get_value (&tensor, n - 1) ==
      (gfloat) json_object_get_double_member (expected, "last"), "%s", name);
  for (gsize i = 0; i < n; i++)
    sum += get_value (&tensor, i);
  wanted = json_object_get_double_member (expected, "sum");
  fail_unless (ABS (sum - wanted) <= 1e-12 * n, "%s: sum %.17g, not %.17g",
      name, sum, wanted);
}

GST_START_TEST (test_golden_weights_values)
{
  static const gchar *const cases[] =
      { "condinst_r50_full", "condinst_rt_dla34_full" };
  g_autofree gchar *dir = g_build_filename (SHARED_DIR, "golden",
      cases[__i__], NULL);
  g_autofree gchar *path = g_build_filename (dir, "weights_check.json", NULL);
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (GList) names = NULL;
  JsonObject *root;
  CiWeights *weights;
  GError *error = NULL;
  CiTensor tensor;

  weights = golden_weights_load (dir, &error);
  fail_unless (weights, "%s", error ? error->message : "");
  fail_unless (json_parser_load_from_file (parser, path, NULL));
  root = json_node_get_object (json_parser_get_root (parser));
  names = json_object_get_members (root);
  fail_unless (g_list_length (names) >= 30);
  for (GList * l = names; l; l = l->next)
    check_values (weights, l->data,
        json_object_get_object_member (root, l->data));
  fail_if (weights->lookup (weights, "no.such.tensor", &tensor));
  golden_weights_free (weights);
}

GST_END_TEST;

static Suite *
golden_weights_suite (void)
{
  Suite *s = suite_create ("golden weights");
  TCase *tc = tcase_create ("general");

  suite_add_tcase (s, tc);
  tcase_set_timeout (tc, 60);
  tcase_add_loop_test (tc, test_golden_weights_values, 0, 2);
  return s;
}

int
main (int argc, char **argv)
{
  if (!g_file_test (SHARED_DIR "/golden", G_FILE_TEST_IS_DIR)) {
    g_print ("skipped: there is no " SHARED_DIR "/golden\n");
    return 77;
  }
  gst_check_init (&argc, &argv);
  return gst_check_run_suite (golden_weights_suite (), "golden_weights",
      __FILE__);
}
