/*
 * parity.c: whole networks against the official code's outputs, from the files
 * of weights that it read. PARITY_PROVIDER=cuda runs them on a GPU,
 * PARITY_PRECISION=fp16 in half precision there, PARITY_CASES=small only the
 * small ones.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gst/check/gstcheck.h>
#include <glib/gstdio.h>

#include "compare.h"
#include "golden_weights.h"
#include "tools/condinst/picture.h"

/* Cases, and the weights of those that do not generate them. */
static const struct
{
  const gchar *name, *weights;
} cases[] = {
  {"condinst_small_a", "condinst_small_a/model_zip.pth"},
  {"condinst_small_a", "condinst_small_a/model_legacy.pth"},
  {"condinst_small_a", "condinst_small_a/model_pkl.pkl"},
  {"condinst_small_b", "condinst_small_b/model_zip.pth"},
  {"condinst_small_b_topk", "condinst_small_b/model_zip.pth"},
  {"condinst_bifpn_small", "condinst_bifpn_small/model_zip.pth"},
  {"condinst_r50_full", NULL},
  {"condinst_rt_dla34_full", NULL},
  {"fcos_small", "fcos_small/model_zip.pth"},
  {"fcos_rt_dla34_full", NULL},
  {"blendmask_small", "blendmask_small/model_zip.pth"},
  {"boxinst_dcn_small", "boxinst_dcn_small/model_zip.pth"},
};

/* The model of case @index, configured by its @case_json; @path: a file to be
 * made. */
static CiModel *
load_case (guint index, const gchar * case_json, const gchar * path)
{
  g_autofree gchar *dir = g_strconcat (GOLDEN, cases[index].name, NULL);
  g_autofree gchar *file = g_strconcat (GOLDEN, cases[index].weights, NULL);
  g_autoptr (GError) error = NULL;
  CiModel *model;

  if (!cases[index].weights) {
    CiWeights *weights = golden_weights_load (dir, &error);

    fail_unless (weights && golden_weights_write (weights, path, &error), "%s",
        error ? error->message : "");
    golden_weights_free (weights);
  }
  model = ci_model_load_full (cases[index].weights ? file : path, case_json,
      NULL, &error);
  fail_unless (model != NULL, "%s", error ? error->message : "");
  return model;
}

/* ---- running ------------------------------------------------------------ */

static CiDevice *device;        /* NULL: the CPU */
static gboolean half;

static void
run_image (const gchar * dir, CiModel * model, JsonArray * images, guint index,
    const gchar * dump)
{
  JsonObject *image = json_array_get_object_element (images, index);
  /* the noise was measured for the first image */
  JsonObject *noise = json_object_get_object_member
      (json_array_get_object_element (images, 0), "fp32_vs_fp64_maxabs");
  g_autofree gchar *png = g_build_filename (dir,
      json_object_get_string_member (image, "image"), NULL);
  g_autofree gchar *file = g_strdup_printf ("%s/img%u.safetensors", dir,
      index);
  CiSessionOptions options = CI_SESSION_OPTIONS_INIT;
  CiImageFormat format = { CI_PIXEL_RGB };
  g_autoptr (GError) error = NULL;
  const CiInstance *instances;
  CiPicture picture = { 0 };
  CiSession *session;
  CiSafetensors *ours, *golden;
  gint n;

  options.min_size = json_object_get_int_member (image, "min_size_test");
  options.max_size = json_object_get_int_member (image, "max_size_test");
  options.full_map = options.keep_tensors = TRUE;
  options.device = device;
  options.precision = half ? CI_PRECISION_FP16 : CI_PRECISION_FP32;
  fail_unless (ci_picture_load (&picture, png, &error));
  format.width = picture.width;
  format.height = picture.height;
  session = ci_session_new (model, &options, &error);
  fail_unless (session && ci_session_configure (session, &format, &error)
      && ci_session_run (session, &(CiImage) { {picture.rgb}, {picture.width
                  * 3} }, NULL, &instances, &n, &error)
      && ci_session_dump (session, dump, &error), "%s",
      error ? error->message : "");
  ours = golden_open (dump);
  golden = golden_open (file);
  if (half) {
    golden_compare_half (ours, golden, image, noise);
  } else {
    golden_compare (ours, golden, image, noise);
    fail_unless_equals_int (n, golden_get (golden, "det.boxes").dims[0]);
  }
  /* boxes have no masks, all others have one */
  for (gint i = 0; i < n; i++)
    fail_unless (!instances[i].grid
        == g_str_equal (ci_model_get_architecture (model), "fcos"));

  ci_safetensors_free (ours);
  ci_safetensors_free (golden);
  ci_session_free (session);
  ci_picture_clear (&picture);
}

GST_START_TEST (test_case)
{
  g_autofree gchar *dir = g_strconcat (GOLDEN, cases[__i__].name, NULL);
  g_autofree gchar *tmp = g_dir_make_tmp ("condinst-parity-XXXXXX", NULL);
  g_autofree gchar *path = g_build_filename (tmp, "model.safetensors", NULL);
  g_autofree gchar *dump = g_build_filename (tmp, "dump.safetensors", NULL);
  g_autofree gchar *json = g_build_filename (dir, "case.json", NULL);
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (GError) error = NULL;
  JsonArray *images;
  CiModel *model;

  /* the weights of full networks are generated */
  if (!cases[__i__].weights && g_getenv ("PARITY_CASES"))
    return;
  fail_unless (json_parser_load_from_file (parser, json, &error));
  images = json_object_get_array_member (json_node_get_object
      (json_parser_get_root (parser)), "images");
  model = load_case (__i__, json, path);
  /* half precision is judged by the noise, which is that of the first image */
  for (guint i = 0; i < (half ? 1 : json_array_get_length (images)); i++)
    run_image (dir, model, images, i, dump);
  ci_model_unref (model);
  g_unlink (dump);
  g_unlink (path);
  g_rmdir (tmp);
}

GST_END_TEST;

static Suite *
parity_suite (void)
{
  Suite *s = suite_create ("parity");
  TCase *tc = tcase_create ("golden");

  suite_add_tcase (s, tc);
  tcase_set_timeout (tc, 600);
  tcase_add_loop_test (tc, test_case, 0, G_N_ELEMENTS (cases));
  return s;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  int failed;

  if (!g_file_test (GOLDEN, G_FILE_TEST_IS_DIR)) {
    g_print ("skipped: no " GOLDEN "\n");
    return 77;
  }
  if (g_strcmp0 (g_getenv ("PARITY_PROVIDER"), "cuda") == 0) {
    device = ci_device_open (-1, NULL, &error);
    if (!device) {
      g_print ("skipped: %s\n", error->message);
      return 77;
    }
    half = g_strcmp0 (g_getenv ("PARITY_PRECISION"), "fp16") == 0;
  }
  gst_check_init (&argc, &argv);
  failed = gst_check_run_suite (parity_suite (), "parity", __FILE__);
  ci_device_unref (device);
  return failed;
}
