/*
 * Checkpoints that torch and numpy wrote (make_checkpoints.py), and the golden
 * ones of the official code.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "checkpoint_helpers.h"

#include <math.h>
#include <string.h>

#include <glib/gstdio.h>
#include <json-glib/json-glib.h>

/* ---- against torch and numpy ------------------------------------------ */

static const struct
{
  const gchar *file;
  CiCheckpointFormat format;
} written[] = {
  {"torch_zip.pth", CI_CHECKPOINT_TORCH_ZIP},
  {"torch_legacy.pth", CI_CHECKPOINT_TORCH_LEGACY},
  {"torch_legacy_4.pth", CI_CHECKPOINT_TORCH_LEGACY},
  {"protocol5.pth", CI_CHECKPOINT_TORCH_ZIP},
  {"state_dict.pth", CI_CHECKPOINT_TORCH_ZIP},
  {"model_state.pth", CI_CHECKPOINT_TORCH_ZIP},
  {"model_state_dict.pth", CI_CHECKPOINT_TORCH_ZIP},
  {"bare.pth", CI_CHECKPOINT_TORCH_ZIP},
  {"module_prefix.pth", CI_CHECKPOINT_TORCH_ZIP},
  {"module_mixed.pth", CI_CHECKPOINT_TORCH_ZIP},
  {"numpy_in_torch.pth", CI_CHECKPOINT_TORCH_ZIP},
  {"frozen_bn.pth", CI_CHECKPOINT_TORCH_ZIP},
  {"frozen_bn_legacy.pth", CI_CHECKPOINT_TORCH_LEGACY},
  {"frozen_bn_module.pth", CI_CHECKPOINT_TORCH_ZIP},
  {"frozen_bn_plain.pth", CI_CHECKPOINT_TORCH_ZIP},
  {"frozen_bn_half.pth", CI_CHECKPOINT_TORCH_ZIP},
  {"legacy_views.pth", CI_CHECKPOINT_TORCH_LEGACY},
  {"numpy_2.pkl", CI_CHECKPOINT_PICKLE},
  {"numpy_3.pkl", CI_CHECKPOINT_PICKLE},
  {"numpy_4.pkl", CI_CHECKPOINT_PICKLE},
  {"numpy_5.pkl", CI_CHECKPOINT_PICKLE},
};

static gdouble
from_half (guint16 bits)
{
  gint exponent = bits >> 10 & 31;
  gdouble value = exponent ? ldexp (1024 + (bits & 1023), exponent - 25) :
      ldexp (bits & 1023, -24);

  fail_if (exponent == 31);
  return bits & 0x8000 ? -value : value;
}

static gdouble
get_value (const CiTensor * tensor, gsize i)
{
  switch (tensor->dtype) {
    case CI_DTYPE_F32:
      return ((const gfloat *) tensor->data)[i];
    case CI_DTYPE_F64:
      return ((const gdouble *) tensor->data)[i];
    case CI_DTYPE_F16:
      return from_half (((const guint16 *) tensor->data)[i]);
    case CI_DTYPE_I64:
      return ((const gint64 *) tensor->data)[i];
    case CI_DTYPE_I32:
      return ((const gint32 *) tensor->data)[i];
    default:
      return ((const guint8 *) tensor->data)[i];
  }
}

/* @expected: ["F32 2x3", [values]], or null for values that have no view */
static void
check_tensor (const CiCheckpoint * checkpoint, const gchar * name,
    JsonArray * expected)
{
  g_autofree gchar *text = ci_checkpoint_describe (checkpoint, name);
  JsonArray *values;
  CiTensor t;

  fail_unless_equals_string (text, json_array_get_string_element (expected,
          0));
  if (json_array_get_null_element (expected, 1)) {
    fail_if (ci_checkpoint_lookup (checkpoint, name, &t));
    return;
  }
  fail_unless (ci_checkpoint_lookup (checkpoint, name, &t), "%s", name);
  fail_unless ((guintptr) t.data % ci_dtype_size (t.dtype) == 0);
  values = json_array_get_array_element (expected, 1);
  fail_unless_equals_int64 (ci_tensor_n_elements (&t),
      json_array_get_length (values));
  for (guint i = 0; i < json_array_get_length (values); i++) {
    gdouble value = json_array_get_double_element (values, i);

    fail_unless (get_value (&t, i) == value, "%s[%u]: expected %.9g, found "
        "%.9g", name, i, value, get_value (&t, i));
  }
}

GST_START_TEST (test_checkpoint_as_written)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autofree gchar *path = g_build_filename (DATA_DIR, written[__i__].file,
      NULL);
  GError *error = NULL;
  g_autoptr (CiCheckpoint) checkpoint = ci_checkpoint_open (path, &error);
  const gchar *const *names;
  JsonObject *files;
  JsonNode *node;
  JsonObject *tensors;

  fail_unless (checkpoint, "%s", error ? error->message : "");
  fail_unless_equals_int (ci_checkpoint_get_format (checkpoint),
      written[__i__].format);
  fail_unless (json_parser_load_from_file (parser, DATA_DIR "/expected.json",
          NULL));
  files = json_node_get_object (json_parser_get_root (parser));
  node = json_object_get_member (files, written[__i__].file);
  /* another file holds the same */
  if (JSON_NODE_HOLDS_VALUE (node))
    node = json_object_get_member (files, json_node_get_string (node));
  tensors = json_node_get_object (node);
  names = ci_checkpoint_get_names (checkpoint);
  fail_unless_equals_int (g_strv_length ((gchar **) names),
      json_object_get_size (tensors));
  for (guint i = 0; names[i]; i++) {
    fail_unless (i == 0 || strcmp (names[i - 1], names[i]) < 0);
    fail_unless (json_object_has_member (tensors, names[i]), "%s", names[i]);
    check_tensor (checkpoint, names[i],
        json_object_get_array_member (tensors, names[i]));
  }
  fail_unless (ci_checkpoint_describe (checkpoint, "none") == NULL);
  fail_unless (ci_checkpoint_get_metadata (checkpoint, "condinst") == NULL);
}

GST_END_TEST;

/* Whatever is cut off, somebody notices. */
GST_START_TEST (test_checkpoint_truncated)
{
  static const gchar *const files[] = { "bare.pth", "legacy_views.pth",
    "numpy_5.pkl"
  };
  g_autofree gchar *path = g_build_filename (DATA_DIR, files[__i__], NULL);
  g_autofree gchar *data = NULL;
  gsize size;

  fail_unless (g_file_get_contents (path, &data, &size, NULL));
  for (gsize n = 0; n < size; n++) {
    /* behind the cut is nothing that may be read */
    g_autofree gchar *part = g_memdup2 (data, n);
    GError *error = NULL;

    fail_if (ci_checkpoint_parse ((const guint8 *) part, n, "test", &error),
        "%" G_GSIZE_FORMAT " bytes", n);
    fail_unless (error->domain == CI_ERROR);
    g_error_free (error);
  }
}

GST_END_TEST;

/* Views of one storage take no memory of their own. */
GST_START_TEST (test_checkpoint_views)
{
  g_autofree gchar *path = g_build_filename (DATA_DIR, "torch_zip.pth", NULL);
  g_autoptr (CiCheckpoint) checkpoint = ci_checkpoint_open (path, NULL);
  CiTensor all, rows, scalar;

  fail_unless (checkpoint);
  fail_unless (ci_checkpoint_lookup (checkpoint, "shared.all", &all));
  fail_unless (ci_checkpoint_lookup (checkpoint, "shared.rows", &rows));
  fail_unless (ci_checkpoint_lookup (checkpoint, "shared.scalar", &scalar));
  fail_unless (rows.data == (const gfloat *) all.data + 16);
  fail_unless (scalar.data == (const gfloat *) all.data + 9);
}

GST_END_TEST;

/* ---- the golden files ------------------------------------------------- */

static CiCheckpoint *
open_golden (const gchar * folder, const gchar * file)
{
  g_autofree gchar *path = g_build_filename (SHARED_DIR, "golden", folder,
      file, NULL);
  CiCheckpoint *checkpoint;
  GError *error = NULL;

  if (!g_file_test (path, G_FILE_TEST_EXISTS)) {
    g_print ("skipped: there is no %s\n", path);
    return NULL;
  }
  checkpoint = ci_checkpoint_open (path, &error);
  fail_unless (checkpoint, "%s", error ? error->message : "");
  return checkpoint;
}

static const struct
{
  const gchar *folder;
  guint n_tensors;              /* as torch.load() counts them */
  const gchar *tensor, *description;
} golden[] = {
  {"condinst_small_a", 372, "controller.weight", "F32 169x32x3x3"},
  {"condinst_small_b", 362, "mask_head.sizes_of_interest", "I64 5"},
  {"condinst_bifpn_small", 670,
      "backbone.repeated_bifpn.0.weights_f3_3_4", "F32 2"},
  {"fcos_small", 326, "pixel_mean", "F32 3x1x1"},
  {"blendmask_small", 351, "top_layer.weight", "F32 784x32x3x3"},
  {"boxinst_dcn_small", 382,
      "backbone.bottom_up.res3.0.conv2_offset.weight", "F32 27x8x3x3"},
};

GST_START_TEST (test_checkpoint_golden)
{
  g_autoptr (CiCheckpoint) checkpoint =
      open_golden (golden[__i__].folder, "model_zip.pth");
  const gchar *const *names;
  g_autofree gchar *text = NULL;
  CiTensor t;

  if (!checkpoint)
    return;
  names = ci_checkpoint_get_names (checkpoint);
  fail_unless_equals_int (g_strv_length ((gchar **) names),
      golden[__i__].n_tensors);
  text = ci_checkpoint_describe (checkpoint, golden[__i__].tensor);
  fail_unless_equals_string (text, golden[__i__].description);
  for (guint i = 0; names[i]; i++)
    fail_unless (ci_checkpoint_lookup (checkpoint, names[i], &t), "%s",
        names[i]);
}

GST_END_TEST;

/* Three formats, the same values */
GST_START_TEST (test_checkpoint_golden_formats)
{
  static const gchar *const files[] = { "model_legacy.pth", "model_pkl.pkl" };
  g_autoptr (CiCheckpoint) zip =
      open_golden ("condinst_small_a", "model_zip.pth");
  g_autoptr (CiCheckpoint) other =
      open_golden ("condinst_small_a", files[__i__]);
  const gchar *const *names;

  if (!zip || !other)
    return;
  names = ci_checkpoint_get_names (zip);
  fail_unless (g_strv_equal (names, ci_checkpoint_get_names (other)));
  for (guint i = 0; names[i]; i++) {
    g_autofree gchar *text = ci_checkpoint_describe (zip, names[i]);
    g_autofree gchar *other_text = ci_checkpoint_describe (other, names[i]);
    CiTensor a, b;

    fail_unless_equals_string (text, other_text);
    fail_unless (ci_checkpoint_lookup (zip, names[i], &a));
    fail_unless (ci_checkpoint_lookup (other, names[i], &b));
    fail_unless (memcmp (a.data, b.data, ci_tensor_n_elements (&a)
            * ci_dtype_size (a.dtype)) == 0, "%s", names[i]);
  }
}

GST_END_TEST;

/* ---- files ------------------------------------------------------------ */

GST_START_TEST (test_checkpoint_safetensors)
{
  static const gfloat values[] = { 1, 2, 3, 4, 5, 6 };
  static const gchar *const names[] = { "b", "a" };
  static const gchar *const metadata[] = { "condinst", "{}", NULL };
  CiTensor tensors[] = { {CI_DTYPE_F32, 2, {2, 3}, values},
  {CI_DTYPE_F32, 1, {4}, values}
  };
  g_autofree gchar *dir = g_dir_make_tmp ("checkpoint-XXXXXX", NULL);
  /* the suffix tells nothing */
  g_autofree gchar *path = g_build_filename (dir, "weights.pth", NULL);
  g_autofree gchar *text = NULL;
  CiCheckpoint *checkpoint;
  GError *error = NULL;
  CiTensor t;

  fail_unless (ci_safetensors_write (path, names, tensors, 2, metadata, NULL));
  checkpoint = ci_checkpoint_open (path, &error);
  fail_unless (checkpoint, "%s", error ? error->message : "");
  fail_unless_equals_int (ci_checkpoint_get_format (checkpoint),
      CI_CHECKPOINT_SAFETENSORS);
  fail_unless_equals_string (ci_checkpoint_get_names (checkpoint)[0], "a");
  fail_unless_equals_string (ci_checkpoint_get_metadata (checkpoint,
          "condinst"), "{}");
  text = ci_checkpoint_describe (checkpoint, "b");
  fail_unless_equals_string (text, "F32 2x3");
  fail_unless (ci_checkpoint_lookup (checkpoint, "b", &t));
  fail_unless (memcmp (t.data, values, sizeof values) == 0);
  ci_checkpoint_free (checkpoint);
  fail_unless_equals_int (g_unlink (path), 0);
  fail_unless_equals_int (g_rmdir (dir), 0);
}

GST_END_TEST;

GST_START_TEST (test_checkpoint_no_file)
{
  GError *error = NULL;

  fail_if (ci_checkpoint_open ("/nowhere/model.pth", &error));
  check_error (g_steal_pointer (&error), CI_ERROR_IO,
      "/nowhere/model.pth: |No such file");
  fail_if (ci_checkpoint_open (g_get_tmp_dir (), &error));
  check_error (error, CI_ERROR_IO, "not a regular file");
}

GST_END_TEST;

static const struct
{
  const gchar *begin, *message;
} foreign[] = {
  {"", "expected safetensors, a PyTorch checkpoint or a pickle|an empty file"},
  {"GGUF\3", "a GGUF file"},
  {"\x89HDF\r\n", "an HDF5 file"},
  {"\x1f\x8b\x08", "a gzip file"},
  {"version https://git-lfs.github.com/spec/v1\n", "Git LFS"},
  {"<!DOCTYPE html><html>", "HTML"},
  {"\x7f" "ELF", "another format"},
};

GST_START_TEST (test_checkpoint_foreign)
{
  gchar tar[512] = "pickle";

  for (guint i = 0; i < G_N_ELEMENTS (foreign); i++)
    check_refused (foreign[i].begin, strlen (foreign[i].begin),
        CI_ERROR_UNSUPPORTED, foreign[i].message);
  memcpy (tar + 257, "ustar", 5);
  check_refused (tar, sizeof tar, CI_ERROR_UNSUPPORTED, "a tar archive");
}

GST_END_TEST;

static Suite *
checkpoint_suite (void)
{
  Suite *s = suite_create ("checkpoint");
  TCase *tc = tcase_create ("general");

  suite_add_tcase (s, tc);
  tcase_add_loop_test (tc, test_checkpoint_as_written, 0,
      G_N_ELEMENTS (written));
  tcase_add_loop_test (tc, test_checkpoint_truncated, 0, 3);
  tcase_add_test (tc, test_checkpoint_views);
  tcase_add_loop_test (tc, test_checkpoint_golden, 0, G_N_ELEMENTS (golden));
  tcase_add_loop_test (tc, test_checkpoint_golden_formats, 0, 2);
  tcase_add_test (tc, test_checkpoint_safetensors);
  tcase_add_test (tc, test_checkpoint_no_file);
  tcase_add_test (tc, test_checkpoint_foreign);
  return s;
}

GST_CHECK_MAIN (checkpoint);
