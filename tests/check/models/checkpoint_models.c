/*
 * checkpoint_models.c: models from checkpoints: golden ones, what is left over
 * of them, and what is saved of them
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model_helpers.h"

#include <string.h>

#include <json-glib/json-glib.h>

#include "models/safetensors.h"

#define NETWORK "{\"architecture\":\"condinst\",\"backbone\":{" \
    "\"type\":\"resnet\",\"norm\":\"bn\",\"depth\":50," \
    "\"stem_out_channels\":8,\"res2_out_channels\":16," \
    "\"width_per_group\":4},\"fpn\":{\"out_channels\":32}," \
    "\"fcos\":{\"norm\":\"gn\"},\"condinst\":{\"mask_branch\":{" \
    "\"channels\":16,\"norm\":\"bn\"}},\"classes\":[\"a\",\"b\",\"c\"]}"

static void
count_info (const gchar * domain, GLogLevelFlags level, const gchar * message,
    gpointer user_data)
{
  g_ptr_array_add (user_data, g_strdup (message));
}

GST_START_TEST (test_unknown_tensors)
{
  static const gint64 dims[] = { 1 };
  static const gchar *const names[] = { "a.x", "b.x", "c.x", "d.x" };
  g_autoptr (GPtrArray) lines = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (Sparse) sparse = sparse_new ();
  g_autofree gchar *path = NULL;
  g_autoptr (CiModel) model = NULL;
  guint handler;

  sparse_add_network (sparse, NETWORK);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    sparse_add (sparse, names[i], CI_DTYPE_F32, 1, dims, NULL);
  path = write_sparse (sparse, "m.pth");
  handler = g_log_set_handler (NULL, G_LOG_LEVEL_INFO, count_info, lines);
  model = load_ok (path, NULL, "");
  g_log_remove_handler (NULL, handler);
  fail_unless_equals_int (lines->len, 1);
  fail_unless (strstr (g_ptr_array_index (lines, 0),
          "m.pth: 4 tensors are not needed: a.x, b.x, c.x, ..."), "%s",
      (gchar *) g_ptr_array_index (lines, 0));
}

GST_END_TEST;

/* What is saved describes itself, with what the configuration said. */
GST_START_TEST (test_save)
{
  g_autofree gchar *path = write_network ("m.pth", NETWORK);
  g_autofree gchar *saved = g_build_filename (test_dir, "s.safetensors", NULL);
  g_autofree gchar *half = g_build_filename (test_dir, "h.safetensors", NULL);
  g_autoptr (CiModel) model = load_ok (path, NULL, "MODEL.FCOS.NMS_TH=0.25|"
      "INPUT.MIN_SIZE_TEST=321|thing_classes=[dog, cat, cow]");
  g_autofree gchar *json = ci_config_to_json (ci_model_get_config (model));
  const CiWeights *weights;
  CiTensor tensor;

  for (gint i = 0; i < 2; i++) {
    GError *error = NULL;
    g_autoptr (CiModel) again = NULL;

    fail_unless (ci_model_save (model, i ? half : saved, i, &error), "%s",
        error ? error->message : "");
    again = load_ok (i ? half : saved, NULL, "");
    {
      g_autofree gchar *text = ci_config_to_json (ci_model_get_config (again));

      fail_unless_equals_string (text, json);
    }
    fail_unless_equals_string (ci_model_get_class_name (again, 1), "cat");
    weights = ci_model_get_weights (again);
    fail_unless (weights->lookup (weights, "controller.weight", &tensor));
    fail_unless (tensor.dtype == (i ? CI_DTYPE_F16 : CI_DTYPE_F32));
    fail_unless (weights->lookup (weights, "controller.bias", &tensor));
    fail_unless (tensor.dtype == CI_DTYPE_F32);
  }
}

GST_END_TEST;

/* Values of --half: the nearest ones; what does not fit stays as it is. */
GST_START_TEST (test_save_half)
{
  static const struct
  {
    gfloat value;
    guint16 half;
  } values[] = {
    {0, 0}, {1, 0x3c00}, {-2, 0xc000}, {65504, 0x7bff}, {0.1f, 0x2e66},
    {1.00048828125f, 0x3c00},   /* a tie: to even */
    {1.00146484375f, 0x3c02}, {5.9604645e-8f, 1}, {2.9802322e-8f, 0},
    {2.98023259e-8f, 1}, {6.097555e-5f, 0x3ff}, {6.1035156e-5f, 0x400},
    {-1e-30f, 0x8000}, {65519, 0x7bff},
  };
  static const gint64 dims[] = { 4, 32, 3, 3 };
  g_autofree gfloat *data = g_new0 (gfloat, 4 * 32 * 9);
  g_autofree gchar *saved = g_build_filename (test_dir, "h.safetensors", NULL);

  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    data[i] = values[i].value;
  for (gint pass = 0; pass < 2; pass++) {
    g_autoptr (Sparse) sparse = sparse_new ();
    g_autofree gchar *path = NULL;
    g_autoptr (CiModel) model = NULL;
    g_autoptr (CiSafetensors) file = NULL;
    CiTensor t;

    if (pass == 1)
      data[20] = 65520;         /* would be infinite */
    sparse_add_network (sparse, NETWORK);
    sparse_add (sparse, "proposal_generator.fcos_head.bbox_pred.weight",
        CI_DTYPE_F32, 4, dims, data);
    path = write_sparse (sparse, "m.pth");
    model = load_ok (path, NULL, "");
    fail_unless (ci_model_save (model, saved, TRUE, NULL));
    file = ci_safetensors_open (saved, NULL);
    fail_unless (ci_safetensors_lookup (file,
            "proposal_generator.fcos_head.bbox_pred.weight", &t));
    fail_unless (t.dtype == (pass ? CI_DTYPE_F32 : CI_DTYPE_F16));
    for (guint i = 0; pass == 0 && i < G_N_ELEMENTS (values); i++)
      fail_unless (((const guint16 *) t.data)[i] == values[i].half,
          "%.9g gave 0x%x", values[i].value, ((const guint16 *) t.data)[i]);
  }
}

GST_END_TEST;

/* ---- golden files ------------------------------------------------------ */

static const struct
{
  const gchar *folder, *file, *config, *names;
} golden[] = {
  {"condinst_small_a", "model_zip.pth", "condinst_small_a",
      "CondInst/MS_R_50_1x (other sizes) CondInst/MS_R_50_3x (other sizes)"},
  {"condinst_small_a", "model_legacy.pth", "condinst_small_a",
      "CondInst/MS_R_50_1x (other sizes) CondInst/MS_R_50_3x (other sizes)"},
  {"condinst_small_a", "model_pkl.pkl", "condinst_small_a",
      "CondInst/MS_R_50_1x (other sizes) CondInst/MS_R_50_3x (other sizes)"},
  {"condinst_small_b", "model_zip.pth", "condinst_small_b",
      "CondInst/MS_R_50_3x_sem (other sizes)"},
  {"condinst_small_b", "model_zip.pth", "condinst_small_b_topk",
      "CondInst/MS_R_50_3x_sem (other sizes)"},
  {"condinst_bifpn_small", "model_zip.pth", "condinst_bifpn_small",
      "CondInst/MS_R_50_BiFPN_3x_sem (other sizes)"},
  {"fcos_small", "model_zip.pth", "fcos_small",
      "FCOS-Detection/R_50_1x (other sizes) "
      "FCOS-Detection/R_50_1x_iou (other sizes) "
      "FCOS-Detection/MS_R_50_2x (other sizes) "
      "FCOS-Detection/MS_R_50_2x_iou (other sizes)"},
  {"blendmask_small", "model_zip.pth", "blendmask_small",
      "BlendMask/550_R_50_1x (other sizes) "
      "BlendMask/550_R_50_3x (other sizes)"},
  {"boxinst_dcn_small", "model_zip.pth", "boxinst_dcn_small", ""},
  {"condinst_r50_full", "weights.json", "condinst_r50_full",
      "CondInst/MS_R_50_1x CondInst/MS_R_50_3x"},
  {"condinst_rt_dla34_full", "weights.json", "condinst_rt_dla34_full", ""},
  {"fcos_rt_dla34_full", "weights.json", "fcos_rt_dla34_full",
      "FCOS-Detection/FCOS_RT/MS_DLA_34_4x_syncbn_shared_towers_bn_head"},
};

/* Names and shapes of a list of generated weights; the few values that
 * recognition looks at. */
static gchar *
write_listed (const gchar * folder)
{
  g_autofree gchar *list = g_build_filename (folder, "weights.json", NULL);
  g_autofree gchar *values = g_build_filename (folder,
      "weights_explicit.safetensors", NULL);
  g_autoptr (CiSafetensors) explicit = ci_safetensors_open (values, NULL);
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (Sparse) sparse = sparse_new ();
  JsonObjectIter iter;
  const gchar *name;
  JsonNode *node;

  fail_unless (json_parser_load_from_file (parser, list, NULL));
  json_object_iter_init (&iter, json_object_get_object_member
      (json_node_get_object (json_parser_get_root (parser)), "tensors"));
  while (json_object_iter_next (&iter, &name, &node)) {
    JsonObject *object = json_node_get_object (node);
    JsonArray *shape = json_object_get_array_member (object, "shape");
    gint64 dims[CI_MAX_DIMS];
    gint n_dims = json_array_get_length (shape);
    CiTensor t = { CI_DTYPE_F32 };

    for (gint i = 0; i < n_dims; i++)
      dims[i] = json_array_get_int_element (shape, i);
    ci_safetensors_lookup (explicit, name, &t);
    sparse_add (sparse, name, t.dtype, n_dims, dims, t.data);
  }
  return write_sparse (sparse, "model_final.pth");
}

static gdouble
get_number (JsonObject * object, const gchar * key)
{
  fail_unless (json_object_has_member (object, key), "%s", key);
  return json_object_get_double_member (object, key);
}

/* With the case's own configuration, whose keys must all agree with the
 * tensors, and without it, where only tensors speak. */
GST_START_TEST (test_golden)
{
  g_autofree gchar *folder = g_build_filename (SHARED_DIR, "golden",
      golden[__i__].folder, NULL);
  g_autofree gchar *config = g_build_filename (SHARED_DIR, "golden",
      golden[__i__].config, "case.json", NULL);
  g_autofree gchar *path = NULL;
  g_autofree gchar *names = NULL;
  g_autoptr (CiModel) model = NULL;
  g_autoptr (CiModel) alone = NULL;
  g_autoptr (JsonParser) parser = json_parser_new ();
  const CiConfig *found, *told;
  JsonObject *root, *image;

  if (!g_file_test (config, G_FILE_TEST_EXISTS)) {
    g_print ("skipped: there is no %s\n", config);
    return;
  }
  path = g_str_equal (golden[__i__].file, "weights.json") ?
      write_listed (folder) :
      g_build_filename (folder, golden[__i__].file, NULL);
  model = load_ok (path, config, "");
  alone = load_ok (path, NULL, "");
  names = get_recognised (alone);
  fail_unless_equals_string (names, golden[__i__].names);
  found = ci_model_get_config (model);
  told = ci_model_get_config (alone);

  fail_unless (json_parser_load_from_file (parser, config, NULL));
  root = json_node_get_object (json_parser_get_root (parser));
  image = json_array_get_object_element (json_object_get_array_member (root,
          "images"), 0);
  fail_unless_equals_int (found->input.min_size, get_number (image,
          "min_size_test"));
  fail_unless_equals_int (found->input.max_size, get_number (image,
          "max_size_test"));
  fail_unless (found->inference.inference_threshold
      == (gfloat) get_number (root, "score_thresh"));
  fail_unless (found->inference.nms_threshold == get_number (root,
          "nms_thresh"));
  fail_unless_equals_int (found->inference.pre_nms_top_k, get_number (root,
          "pre_nms_topk"));
  fail_unless_equals_int (found->inference.post_nms_top_k, get_number (root,
          "post_nms_topk"));
  fail_unless (found->fcos.thresh_with_ctr
      == json_object_get_boolean_member (root, "thresh_with_ctr"));

  /* all but the thresholds and sizes of the case is known without it */
  fail_unless (told->fcos.thresh_with_ctr == found->fcos.thresh_with_ctr);
  fail_unless (memcmp (&told->backbone, &found->backbone,
          sizeof told->backbone) == 0);
  fail_unless (memcmp (&told->fpn, &found->fpn, sizeof told->fpn) == 0);
  fail_unless (memcmp (&told->fcos, &found->fcos, sizeof told->fcos) == 0);
  fail_unless (memcmp (told->input.pixel_std, found->input.pixel_std,
          sizeof told->input.pixel_std) == 0);
  fail_unless (memcmp (told->input.pixel_mean, found->input.pixel_mean,
          sizeof told->input.pixel_mean) == 0);
}

GST_END_TEST;

static Suite *
checkpoint_models_suite (void)
{
  Suite *s = suite_create ("checkpoint-models");
  TCase *tc = tcase_create ("general");

  suite_add_tcase (s, tc);
  tcase_add_checked_fixture (tc, setup_dir, teardown_dir);
  tcase_set_timeout (tc, 60);
  tcase_add_test (tc, test_unknown_tensors);
  tcase_add_test (tc, test_save);
  tcase_add_test (tc, test_save_half);
  tcase_add_loop_test (tc, test_golden, 0, G_N_ELEMENTS (golden));
  return s;
}

GST_CHECK_MAIN (checkpoint_models);
