/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "helpers.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "models/method.h"

static void
setup (void)
{
  setup_dir ();
  g_setenv ("GST_CONDINST_MODEL_PATH", test_dir, TRUE);
}

static gchar *
in_dir (const gchar * name)
{
  return g_build_filename (test_dir, name, NULL);
}

static CiModel *
load_ok (const gchar * spec)
{
  GError *error = NULL;
  CiModel *model = ci_model_load (spec, &error);

  fail_unless (model, "%s", error ? error->message : "no error set");
  return model;
}

static void
check_bad (const gchar * spec, CiError code, const gchar * wanted)
{
  GError *error = NULL;

  fail_if (ci_model_load (spec, &error), "%s: accepted", spec);
  check_error (error, code, wanted);
}

/* The tensors of a network, to be written to a file. */
typedef struct
{
  const CiWeights *weights;
  GPtrArray *names;
  GArray *tensors;
} Collection;

static void
collect (const gchar * name, gint n_dims, const gint64 * dims,
    gpointer user_data)
{
  Collection *c = user_data;
  CiTensor tensor;

  fail_unless (c->weights->lookup (c->weights, name, &tensor), "%s", name);
  fail_unless_equals_int (tensor.n_dims, n_dims);
  fail_unless (memcmp (tensor.dims, dims, n_dims * sizeof *dims) == 0);
  g_ptr_array_add (c->names, g_strdup (name));
  g_array_append_val (c->tensors, tensor);
}

static void
collect_model (Collection * c, const CiModel * model)
{
  CiGraph *graph = ci_network_build (ci_model_get_config (model), NULL);

  c->weights = ci_model_get_weights (model);
  c->names = g_ptr_array_new_with_free_func (g_free);
  c->tensors = g_array_new (FALSE, FALSE, sizeof (CiTensor));
  ci_graph_foreach_tensor (graph, collect, c);
  ci_graph_free (graph);
}

static CiTensor *
find (const Collection * c, const gchar * name)
{
  for (guint i = 0; i < c->names->len; i++)
    if (g_str_equal (g_ptr_array_index (c->names, i), name))
      return &g_array_index (c->tensors, CiTensor, i);
  fail ("no tensor %s", name);
  return NULL;
}

static void
collection_write (const Collection * c, const gchar * path,
    const gchar * const *metadata)
{
  GError *error = NULL;

  fail_unless (ci_safetensors_write (path, (const gchar * const *)
          c->names->pdata, (const CiTensor *) c->tensors->data, c->names->len,
          metadata, &error), "%s", error ? error->message : "");
}

static void
collection_clear (Collection * c)
{
  g_ptr_array_unref (c->names);
  g_array_unref (c->tensors);
}

/* A complete model file, optionally with another description. */
static gchar *
write_light (const gchar * name, const gchar * json)
{
  g_autoptr (CiModel) model = load_ok ("random:condinst-light");
  g_autofree gchar *own = ci_config_to_json (ci_model_get_config (model));
  const gchar *const metadata[] = { "condinst", json ? json : own, NULL };
  gchar *path = in_dir (name);
  Collection c;

  collect_model (&c, model);
  collection_write (&c, path, metadata);
  collection_clear (&c);
  return path;
}

static const struct
{
  const gchar *name, *architecture;
  guint n_classes;
  gint min_size, max_size;
  guint64 min_parameters, max_parameters;
} published[] = {
  {"condinst-r18", "condinst", 80, 800, 1333, 20000000, 24000000},
  {"condinst-r34", "condinst", 80, 800, 1333, 30000000, 34000000},
  {"condinst-r50", "condinst", 80, 800, 1333, 33000000, 35000000},
  {"condinst-r101", "condinst", 80, 800, 1333, 52000000, 54000000},
  {"condinst-mobilenet-v2", "condinst", 80, 800, 1333, 11000000, 14000000},
  {"condinst-light", "condinst", 5, 288, 512, 2600000, 2700000},
  {"condinst-r50-bifpn", "condinst", 80, 800, 1333, 38000000, 40000000},
  /* a controller with 233 instead of 169 channels */
  {"boxinst-r50", "condinst", 80, 800, 1333, 34000000, 35000000},
  {"fcos-r50", "fcos", 80, 800, 1333, 32000000, 33000000},
  /* the official one has 19856065: also what nothing uses (42496 of two
   * projections) and 57 counters and constants */
  {"fcos-rt-dla34-shared-bn-head", "fcos", 80, 512, 736, 19813512, 19813512},
  {"fcos-v39", "fcos", 80, 800, 1333, 33000000, 35000000},
  {"blendmask-550-r50", "blendmask", 80, 550, 916, 31000000, 33000000},
  {"solo-r50", "solo", 80, 800, 1333, 36000000, 38000000},
  {"decoupled-solo-light-r50", "decoupled_solo", 80, 512, 852, 30000000,
      34000000},
  {"solov2-light-448-r18", "solov2", 80, 448, 768, 16000000, 20000000},
};

/* Values are finite, not all alike, and the same each time. */
static void
check_values (const CiModel * model, const Collection * c, guint64 * n_values)
{
  *n_values = 0;
  for (guint i = 0; i < c->names->len; i++) {
    const CiTensor *tensor = &g_array_index (c->tensors, CiTensor, i);
    const gfloat *values = tensor->data;
    gsize n = ci_tensor_n_elements (tensor), step = n > 64 ? n / 64 : 1;
    gboolean ok = TRUE;

    *n_values += n;
    for (gsize k = 0; k < n; k += step)
      ok = ok && isfinite (values[k]) && fabsf (values[k]) < 10;
    if (g_str_has_suffix (g_ptr_array_index (c->names, i), "running_var"))
      for (gsize k = 0; k < n; k++)
        ok = ok && values[k] >= 0.5f && values[k] <= 1.5f;
    fail_unless (ok, "%s", (gchar *) g_ptr_array_index (c->names, i));
    fail_unless (n == 1 || values[0] != values[1], "%s",
        (gchar *) g_ptr_array_index (c->names, i));
  }
}

GST_START_TEST (test_model_random)
{
  g_autofree gchar *spec =
      g_strconcat ("random:", published[__i__].name, NULL);
  g_autoptr (CiModel) model = load_ok (spec);
  g_autoptr (CiModel) again = load_ok (spec);
  g_autofree gchar *json = ci_model_to_json (model);
  g_autofree gchar *figure = NULL;
  gint min_size, max_size;
  guint64 n_values;
  Collection c;

  fail_unless (again == model);
  fail_unless_equals_string (ci_model_get_name (model), published[__i__].name);
  fail_unless_equals_string (ci_model_get_architecture (model),
      published[__i__].architecture);
  fail_unless (ci_model_get_path (model) == NULL);
  fail_unless_equals_int (ci_model_get_n_classes (model),
      published[__i__].n_classes);
  fail_unless_equals_string (ci_model_get_class_name (model, 0), "person");
  ci_model_get_test_size (model, &min_size, &max_size);
  fail_unless_equals_int (min_size, published[__i__].min_size);
  fail_unless_equals_int (max_size, published[__i__].max_size);

  collect_model (&c, model);
  check_values (model, &c, &n_values);
  fail_unless (n_values >= published[__i__].min_parameters
      && n_values <= published[__i__].max_parameters,
      "%" G_GUINT64_FORMAT " values", n_values);
  figure = g_strdup_printf ("\"parameters\":%" G_GUINT64_FORMAT ",", n_values);
  fail_unless (strstr (json, figure), "no %s in %s", figure, json);
  collection_clear (&c);
}

GST_END_TEST;

GST_START_TEST (test_model_random_is_repeatable)
{
  CiModel *model = load_ok ("random:condinst-light");
  gfloat first[4];
  Collection c;

  collect_model (&c, model);
  memcpy (first, find (&c, "controller.weight")->data, sizeof first);
  collection_clear (&c);
  ci_model_unref (model);
  model = load_ok ("random:condinst-light");
  collect_model (&c, model);
  fail_unless (memcmp (first, find (&c, "controller.weight")->data,
          sizeof first) == 0);
  collection_clear (&c);
  ci_model_unref (model);
}

GST_END_TEST;

GST_START_TEST (test_model_file)
{
  g_autofree gchar *path = write_light ("some.safetensors", NULL);
  g_autoptr (CiModel) model = load_ok (path);
  g_autoptr (CiModel) random = load_ok ("random:condinst-light");
  g_autofree gchar *json = ci_model_to_json (model);
  CiTensor ours, theirs;
  const CiWeights *a = ci_model_get_weights (model);
  const CiWeights *b = ci_model_get_weights (random);

  fail_unless_equals_string (ci_model_get_path (model), path);
  fail_unless_equals_string (ci_model_get_name (model), "condinst-light");
  fail_unless_equals_string (ci_model_get_class_name (model, 4), "motorcycle");
  fail_unless (ci_model_get_class_name (model, 5) == NULL);
  fail_unless (ci_model_get_score_threshold (model) == 0.5f);
  fail_unless (ci_model_get_nms_threshold (model) == 0.6f);
  fail_unless (strstr (json, "\"parameters\":26"), "%s", json);
  fail_unless (a->id != b->id);
  fail_unless (a->lookup (a, "controller.bias", &ours));
  fail_unless (b->lookup (b, "controller.bias", &theirs));
  fail_unless (memcmp (ours.data, theirs.data,
          ci_tensor_n_elements (&ours) * sizeof (gfloat)) == 0);
  fail_if (a->lookup (a, "nothing", &ours));
}

GST_END_TEST;

/* One object per file content, whatever path leads to it. */
GST_START_TEST (test_model_sharing)
{
  g_autofree gchar *path = write_light ("a.safetensors", NULL);
  g_autofree gchar *alias = in_dir ("b.safetensors");
  g_autofree gchar *again = NULL;
  CiModel *a = load_ok (path), *b, *c;

  fail_unless (symlink (path, alias) == 0);
  b = load_ok (alias);
  fail_unless (a == b);
  fail_unless (ci_model_ref (a) == a);
  ci_model_unref (a);
  ci_model_unref (a);
  /* a new file in the same place is another model; the old one still works */
  again = write_light ("a.safetensors", NULL);
  c = load_ok (path);
  fail_if (c == b);
  fail_unless_equals_string (ci_model_get_name (b), "condinst-light");
  ci_model_unref (b);
  ci_model_unref (c);
}

GST_END_TEST;

static gpointer
load_often (gpointer path)
{
  for (gint i = 0; i < 20; i++) {
    CiModel *a = load_ok (path), *b = ci_model_ref (a);
    CiTensor tensor;
    const CiWeights *weights = ci_model_get_weights (a);

    ci_model_unref (a);
    fail_unless (weights->lookup (weights, "controller.weight", &tensor));
    ci_model_unref (b);
  }
  return NULL;
}

GST_START_TEST (test_model_threads)
{
  g_autofree gchar *path = write_light ("a.safetensors", NULL);
  GThread *threads[4];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("load", load_often, path);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
}

GST_END_TEST;

GST_START_TEST (test_model_names)
{
  g_autofree gchar *path = NULL;
  g_autofree gchar *two = g_strconcat ("/no/such/folder::", test_dir, NULL);
  g_autofree gchar *missing = in_dir ("missing.safetensors");
  CiModel *model;

  g_setenv ("GST_CONDINST_MODEL_PATH", two, TRUE);
  check_bad ("nothing", CI_ERROR_IO, "\"nothing\"|nothing.safetensors|"
      "/no/such/folder, |GST_CONDINST_MODEL_PATH|/models");
  check_bad ("nothing", CI_ERROR_IO, test_dir);
  check_bad (missing, CI_ERROR_IO, missing);

  path = write_light ("condinst-light.safetensors", NULL);
  model = load_ok (NULL);
  fail_unless_equals_string (ci_model_get_path (model), path);
  ci_model_unref (model);
  model = load_ok ("condinst-light");
  fail_unless_equals_string (ci_model_get_path (model), path);
  ci_model_unref (model);
  model = load_ok ("condinst-light.safetensors");
  fail_unless_equals_string (ci_model_get_path (model), path);
  ci_model_unref (model);

  check_bad ("random:condinst-r99", CI_ERROR_INVALID_ARGUMENT,
      "random:condinst-r99|random:condinst-r50|random:condinst-light");
  check_bad (test_dir, CI_ERROR_IO, "not a regular file");
}

GST_END_TEST;

GST_START_TEST (test_model_foreign_formats)
{
  static const struct
  {
    const gchar *name, *content;
    gsize size;
    CiError code;
    const gchar *message;
  } files[] = {
    {"m.onnx", "\10\7\22\7pytorch", 11, CI_ERROR_UNSUPPORTED,
        "m.onnx|ONNX|.pth"},
    {"m.engine", "ftrt\0\0\0\0\0\0\0", 11, CI_ERROR_UNSUPPORTED,
        "m.engine|TensorRT"},
    {"renamed.pth", "ptrt\0\0\0\0\0\0\0", 11, CI_ERROR_UNSUPPORTED,
        "renamed.pth|TensorRT"},
    {"m.gguf", "GGUF\3\0\0\0\0\0\0", 11, CI_ERROR_UNSUPPORTED, "GGUF"},
    {"m.h5", "\x89HDF\r\n\x1a\n\0\0\0", 11, CI_ERROR_UNSUPPORTED, "HDF5"},
    {"script.pt", "PK\3\4\0\0 m/code/x.py m/constants.pkl PK\5\6", 39,
        CI_ERROR_UNSUPPORTED, "script.pt|TorchScript"},
    {"m", "who knows what", 14, CI_ERROR_UNSUPPORTED, "m: |another format"},
    {"e.safetensors", "", 0, CI_ERROR_UNSUPPORTED, "e.safetensors|empty"},
    {"t.safetensors", "\377\0\0\0\0\0\0\0{}", 10, CI_ERROR_BAD_FORMAT,
        "t.safetensors|255 bytes|2 follow"},
    {"w.safetensors", "\2\0\0\0\0\0\0\0{}", 10, CI_ERROR_UNSUPPORTED,
        "w.safetensors|none of the networks|cls_logits.weight"},
  };

  for (guint i = 0; i < G_N_ELEMENTS (files); i++) {
    g_autofree gchar *path = in_dir (files[i].name);

    fail_unless (g_file_set_contents (path, files[i].content, files[i].size,
            NULL));
    check_bad (path, files[i].code, files[i].message);
  }
}

GST_END_TEST;

GST_START_TEST (test_model_bad_description)
{
  g_autofree gchar *unknown = write_light ("unknown.safetensors",
      "{\"architecture\":\"yolo\",\"backbone\":{\"type\":\"resnet\","
      "\"depth\":50},\"classes\":[\"x\"]}");
  g_autofree gchar *broken = write_light ("broken.safetensors", "{");

  check_bad (unknown, CI_ERROR_UNSUPPORTED,
      "unknown.safetensors|__metadata__.condinst|architecture|yolo");
  check_bad (broken, CI_ERROR_BAD_FORMAT,
      "broken.safetensors|__metadata__.condinst|byte 1");
}

GST_END_TEST;

/* One message for everything that is wrong with the tensors. */
GST_START_TEST (test_model_wrong_tensors)
{
  g_autoptr (CiModel) model = load_ok ("random:condinst-light");
  g_autofree gchar *json = ci_config_to_json (ci_model_get_config (model));
  const gchar *const metadata[] = { "condinst", json, NULL };
  g_autofree gchar *path = in_dir ("m.safetensors");
  Collection c;
  CiTensor *tensor;

  collect_model (&c, model);
  /* another number of classes than the description's */
  tensor = find (&c, "proposal_generator.fcos_head.cls_logits.weight");
  tensor->dims[0]--;
  /* the same size, flattened */
  tensor = find (&c, "mask_branch.tower.2.weight");
  tensor->dims[0] *= tensor->dims[1];
  tensor->n_dims = 1;
  /* integers */
  tensor = find (&c, "controller.bias");
  tensor->dtype = CI_DTYPE_I32;
  /* renamed: missing */
  for (guint i = 0; i < c.names->len; i++)
    if (g_str_equal (g_ptr_array_index (c.names, i),
            "backbone.fpn_lateral4.bias"))
      strcpy (g_ptr_array_index (c.names, i), "backbone.fpn_lateral4.bios");
  collection_write (&c, path, metadata);
  check_bad (path, CI_ERROR_MISSING_TENSOR, "m.safetensors: 4 tensors|"
      "cls_logits.weight (expected F32 5x96x1x1, found F32 4x96x1x1)|"
      "mask_branch.tower.2.weight (expected F32 8x64x1x1, found F32 512)|"
      "controller.bias (expected F32 169, found I32 169)|"
      "backbone.fpn_lateral4.bias (expected F32 96, found nothing)");
  collection_clear (&c);

  /* the weights of another network: the first ten and the number */
  {
    g_autoptr (CiModel) other = load_ok ("random:condinst-r50");
    g_autofree gchar *other_json =
        ci_config_to_json (ci_model_get_config (other));
    const gchar *const other_metadata[] = { "condinst", other_json, NULL };
    GError *error = NULL;
    guint n = 0;

    collect_model (&c, model);
    collection_write (&c, path, other_metadata);
    fail_if (ci_model_load (path, &error));
    fail_unless (g_error_matches (error, CI_ERROR, CI_ERROR_MISSING_TENSOR));
    for (const gchar * p = error->message; (p = strstr (p, "(expected ")); p++)
      n++;
    fail_unless_equals_int (n, 10);
    fail_unless (strstr (error->message, "stem.conv1.weight (expected F32 "
            "64x3x7x7, found nothing)"), "%s", error->message);
    fail_unless (strstr (error->message, " more"), "%s", error->message);
    g_error_free (error);
    collection_clear (&c);
  }
}

GST_END_TEST;

static Suite *
model_suite (void)
{
  Suite *s = suite_create ("model");
  TCase *tc = tcase_create ("general");

  suite_add_tcase (s, tc);
  tcase_add_checked_fixture (tc, setup, teardown_dir);
  tcase_set_timeout (tc, 60);
  tcase_add_loop_test (tc, test_model_random, 0, G_N_ELEMENTS (published));
  tcase_add_test (tc, test_model_random_is_repeatable);
  tcase_add_test (tc, test_model_file);
  tcase_add_test (tc, test_model_sharing);
  tcase_add_test (tc, test_model_threads);
  tcase_add_test (tc, test_model_names);
  tcase_add_test (tc, test_model_foreign_formats);
  tcase_add_test (tc, test_model_bad_description);
  tcase_add_test (tc, test_model_wrong_tensors);
  return s;
}

GST_CHECK_MAIN (model);
