/*
 * upstream_files.c: files of configurations, what they are based on, and which
 * of several counts
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model_helpers.h"

#include <string.h>

#include <glib/gstdio.h>

static const gchar network[] =
    "{\"architecture\":\"condinst\",\"backbone\":{\"type\":\"resnet\","
    "\"depth\":50,\"stem_out_channels\":8,\"res2_out_channels\":16,"
    "\"width_per_group\":4},\"fpn\":{\"out_channels\":32},"
    "\"condinst\":{\"mask_branch\":{\"channels\":16}},"
    "\"classes\":[\"a\",\"b\",\"c\"]}";

/* ---- files ------------------------------------------------------------- */

GST_START_TEST (test_bases)
{
  g_autofree gchar *top = write_text ("top.yaml",
      "_BASE_: middle.yml\nA: 1\n");
  g_autofree gchar *middle = write_text ("middle.yml",
      "B: 2\nA: 2\nD: {E: 1}\n_BASE_: ./bottom.json\n");
  g_autofree gchar *elsewhere = g_strdup_printf ("_BASE_: \"%s\"\nX: 1\n",
      middle);
  g_autofree gchar *absolute = write_text ("absolute.yaml", elsewhere);
  g_autoptr (CiUpstream) upstream = ci_upstream_new ();
  g_autoptr (CiUpstream) other = ci_upstream_new ();
  const gchar *origin = NULL;

  g_free (write_text ("bottom.json",
          "{\"A\": 3, \"B\": 3, \"C\": 3, \"D\": {\"F\": 2}}"));
  fail_unless (ci_upstream_read_file (upstream, top, NULL));
  check_value (upstream, "A", "1");
  check_value (upstream, "B", "2");
  check_value (upstream, "C", "3");
  check_value (upstream, "D.E", "1");
  check_value (upstream, "D.F", "2");
  ci_upstream_get (upstream, "C", &origin);
  fail_unless (g_str_has_suffix (origin, "bottom.json"), "%s", origin);
  fail_unless (ci_upstream_read_file (other, absolute, NULL));
  check_value (other, "A", "2");
}

GST_END_TEST;

GST_START_TEST (test_bad_files)
{
  g_autofree gchar *own = write_text ("own.yaml", "_BASE_: own.yaml\n");
  g_autofree gchar *a = write_text ("a.yaml", "_BASE_: b.yaml\n");
  g_autofree gchar *list = write_text ("list.yaml", "_BASE_: [a, b]\n");
  g_autofree gchar *above = write_text ("above.yaml", "_BASE_: broken.yaml\n");
  g_autofree gchar *missing = g_build_filename (test_dir, "missing.yaml", NULL);
  g_autofree gchar *first = g_build_filename (test_dir, "c00.yaml", NULL);
  const struct
  {
    const gchar *path;
    CiError code;
    const gchar *wanted;
  } cases[] = {
    {own, CI_ERROR_BAD_FORMAT, "own.yaml: is its own _BASE_"},
    {a, CI_ERROR_BAD_FORMAT, "a.yaml: is its own _BASE_"},
    {list, CI_ERROR_BAD_FORMAT, "list.yaml: _BASE_: expected the name"},
    {above, CI_ERROR_BAD_FORMAT, "broken.yaml: line "},
    {missing, CI_ERROR_IO, "missing.yaml"},
    {test_dir, CI_ERROR_IO, "not a regular file"},
    {"/dev/zero", CI_ERROR_IO, "not a regular file"},
    {first, CI_ERROR_BAD_FORMAT, "too long a chain"},
  };

  g_free (write_text ("b.yaml", "_BASE_: ./a.yaml\n"));
  g_free (write_text ("broken.yaml", "A: [\n"));
  for (guint i = 0; i < 20; i++) {
    g_autofree gchar *name = g_strdup_printf ("c%02u.yaml", i);
    g_autofree gchar *text = g_strdup_printf ("_BASE_: c%02u.yaml\n", i + 1);

    g_free (write_text (name, text));
  }
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (CiUpstream) upstream = ci_upstream_new ();
    GError *error = NULL;

    fail_if (ci_upstream_read_file (upstream, cases[i].path, &error), "%s",
        cases[i].path);
    check_error (error, cases[i].code, cases[i].wanted);
  }
}

GST_END_TEST;

/* Without its base, a file says what it says itself. */
GST_START_TEST (test_missing_base)
{
  g_autofree gchar *path = write_text ("x.yaml",
      "_BASE_: Base-CondInst.yaml\nA: 1\n");
  g_autoptr (CiUpstream) upstream = ci_upstream_new ();

  ASSERT_WARNING (fail_unless (ci_upstream_read_file (upstream, path, NULL)));
  check_value (upstream, "A", "1");
}

GST_END_TEST;

/* Files of no bytes at all say nothing, like files of comments. */
GST_START_TEST (test_empty_files)
{
  static const gchar *const suffixes[] = { "yaml", "yml", "json" };
  g_autofree gchar *weights = write_network ("m.pth", network);

  for (guint i = 0; i < G_N_ELEMENTS (suffixes); i++) {
    g_autofree gchar *name = g_strconcat ("empty.", suffixes[i], NULL);
    g_autofree gchar *path = write_text (name, "");
    g_autofree gchar *text = g_strdup_printf ("_BASE_: %s\nA: 1\n", name);
    g_autofree gchar *above = write_text ("above.yaml", text);
    g_autofree gchar *beside_name = g_strconcat ("m.", suffixes[i], NULL);
    g_autofree gchar *beside = NULL;
    g_autoptr (CiUpstream) upstream = ci_upstream_new ();
    g_autoptr (CiModel) model = load_ok (weights, path, "");
    CiModel *other;

    fail_unless (ci_upstream_read_file (upstream, path, NULL));
    fail_unless (ci_upstream_read_file (upstream, above, NULL));
    check_value (upstream, "A", "1");
    beside = write_text (beside_name, "");
    ASSERT_WARNING (other = load_ok (weights, NULL, ""));
    fail_if (model == other);
    ci_model_unref (other);
    g_remove (beside);
  }
}

GST_END_TEST;

/* ---- beside weights ----------------------------------------------------- */

/* Explicit settings count more than the explicit file, that one more than the
 * published configuration; with an explicit file, none beside the weights
 * counts, else that one. */
GST_START_TEST (test_precedence)
{
  g_autofree gchar *path = write_network ("m.pth", network);
  g_autofree gchar *given = write_text ("given.yaml",
      "INPUT: {MAX_SIZE_TEST: 902}\n");
  gint min, max;

  for (guint step = 0; step < 4; step++) {
    static const gchar *const siblings[] = { "m.json", "m.yml", "m.yaml" };
    g_autoptr (CiModel) model = load_ok (path, NULL, "");
    g_autoptr (CiModel) again = load_ok (path, NULL, "");
    g_autofree gchar *json = ci_model_to_json (model);
    static const gint sizes[] = { 800, 401, 402, 403 };

    fail_unless (model == again);
    ci_model_get_test_size (model, &min, &max);
    fail_unless_equals_int (min, sizes[step]);
    fail_unless ((strstr (json, "\"config\":[") != NULL) == (step > 0));
    if (step < 3) {
      g_autofree gchar *text = g_strdup_printf (step == 0 ?
          "{\"INPUT\": {\"MIN_SIZE_TEST\": %d}}" :
          "INPUT:\n  MIN_SIZE_TEST: %d\n", 401 + step);

      g_free (write_text (siblings[step], text));
    }
  }
  {
    g_autoptr (CiModel) beside = load_ok (path, NULL,
        "INPUT.MAX_SIZE_TEST=903");
    g_autoptr (CiModel) model = load_ok (path, given, "");
    g_autoptr (CiModel) set = load_ok (path, given,
        "INPUT.MIN_SIZE_TEST=203");
    g_autofree gchar *json = ci_model_to_json (set);

    ci_model_get_test_size (beside, &min, &max);
    fail_unless_equals_int (min, 403);
    fail_unless_equals_int (max, 903);
    ci_model_get_test_size (model, &min, &max);
    fail_unless_equals_int (min, 800);
    fail_unless_equals_int (max, 902);
    ci_model_get_test_size (set, &min, &max);
    fail_unless_equals_int (min, 203);
    fail_unless_equals_int (max, 902);
    fail_if (model == set);
    fail_if (strstr (json, "m.yaml"), "%s", json);
    fail_unless (strstr (json, "given.yaml\",\"INPUT.MIN_SIZE_TEST=203\"]"),
        "%s", json);
  }
}

GST_END_TEST;

/* A file that merely has the weights' name is warned of and left out. */
GST_START_TEST (test_unrelated)
{
  g_autofree gchar *big = g_strnfill (1024 * 1024 + 1, ' ');
  g_autofree gchar *path = write_network ("m.pth", network);
  g_autofree gchar *given = write_text ("given.yaml", "INPUT: {}\n");
  const struct
  {
    const gchar *name, *text;
  } cases[] = {
    {"m.json", "[{\"image_id\": 1, \"score\": 0.5}]"},
    {"m.json", "{\"images\": [], \"annotations\": [], \"categories\": []}"},
    {"m.json", "{\"config\": 3}"}, {"m.json", "{\"MODEL\": [1]}"},
    {"m.json", "{\"MODEL\": "}, {"m.yaml", big},
    {"m.yml", "path: data\ntrain: images\nnames: [a, b]\n"},
    {"m.yml", "just text"}, {"m.yml", "a: !!python/name:os.system\n"},
    {"m.yaml", "_BASE_: m.yaml\n"},
  };
  gint min, max;

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *file = write_text (cases[i].name, cases[i].text);
    g_autoptr (CiModel) set = NULL;
    g_autofree gchar *json = NULL;
    CiModel *model = NULL;

    ASSERT_WARNING (model = load_ok (path, NULL, ""));
    json = ci_model_to_json (model);
    fail_if (strstr (json, "\"config\":["), "%s: %s", cases[i].text, json);
    ci_model_unref (model);
    /* nobody asks for it when there is a file of one's own */
    set = load_ok (path, given, "");
    g_remove (file);
  }

  /* the next one in line counts */
  g_free (write_text ("m.yaml", "names: [a]\n"));
  g_free (write_text ("m.json", "{\"INPUT\": {\"MIN_SIZE_TEST\": 401}}"));
  {
    CiModel *model = NULL;

    ASSERT_WARNING (model = load_ok (path, NULL, ""));
    ci_model_get_test_size (model, &min, &max);
    fail_unless_equals_int (min, 401);
    ci_model_unref (model);
  }
}

GST_END_TEST;

/* All that makes a file a configuration. */
GST_START_TEST (test_related)
{
  g_autofree gchar *path = write_network ("m.pth", network);
  static const gchar *const cases[] = {
    "MODEL: {FCOS: {NMS_TH: 0.25}}", "_BASE_: base.yaml",
    "{\"config\": {\"FCOS\": {}}, \"nms_thresh\": 0.25}",
    "INPUT: {FORMAT: BGR}\nMODEL.FCOS.NMS_TH: 0.25",
    "DATASETS: {TRAIN: x}\nMODEL: {FCOS: {NMS_TH: 0.25}}",
  };

  g_free (write_text ("base.yaml", "MODEL: {FCOS: {NMS_TH: 0.25}}\n"));
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *file = write_text ("m.yaml", cases[i]);
    g_autoptr (CiModel) model = load_ok (path, NULL, "");

    fail_unless (ci_model_get_nms_threshold (model) == 0.25f, "%s", cases[i]);
    g_remove (file);
  }
}

GST_END_TEST;

/* What nobody named opens no file outside its folder; what somebody named
 * does. */
GST_START_TEST (test_bases_beside)
{
  g_autofree gchar *path = write_network ("m.pth", network);
  g_autofree gchar *other = g_dir_make_tmp ("ci-XXXXXX", NULL);
  g_autofree gchar *secret = g_build_filename (other, "secret.yaml", NULL);
  g_autofree gchar *other_name = g_path_get_basename (other);
  g_autofree gchar *below = g_build_filename (test_dir, "below", NULL);
  g_autofree gchar *inner = g_build_filename (below, "base.yaml", NULL);
  g_autofree gchar *deeper = g_build_filename (below, "deeper.yaml", NULL);
  g_autofree gchar *up = g_strdup_printf ("../%s/secret.yaml", other_name);
  g_autofree gchar *through = g_strdup_printf ("below/../../%s/secret.yaml",
      other_name);
  const struct
  {
    const gchar *base;
    gboolean outside;
  } cases[] = {
    {secret, TRUE}, {up, TRUE}, {through, TRUE}, {"below/../base.yaml", TRUE},
    {"~/.bashrc", TRUE}, {"/dev/zero", TRUE}, {"..", TRUE},
    {"below/base.yaml", FALSE}, {"./below/base.yaml", FALSE},
    {"below/deeper.yaml", FALSE}, {"base..yaml", FALSE},
  };
  static const gchar *const texts[] = { "MODEL: {FCOS: {NMS_TH: 0.25}}\n",
    "_BASE_: base.yaml\n"
  };

  fail_unless (g_file_set_contents (secret, "MODEL: {FCOS: {NMS_TH: 0.125}}",
          -1, NULL));
  fail_unless (g_mkdir (below, 0700) == 0);
  fail_unless (g_file_set_contents (inner, texts[0], -1, NULL));
  fail_unless (g_file_set_contents (deeper, texts[1], -1, NULL));
  g_free (write_text ("base..yaml", texts[0]));
  g_free (write_text ("base.yaml", texts[0]));
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *text = g_strdup_printf ("_BASE_: %s\n"
        "INPUT: {MIN_SIZE_TEST: 401}\n", cases[i].base);
    g_autofree gchar *file = write_text ("m.yaml", text);
    CiModel *model = NULL;
    gint min, max;

    if (cases[i].outside)
      ASSERT_WARNING (model = load_ok (path, NULL, ""));
    else
      model = load_ok (path, NULL, "");
    ci_model_get_test_size (model, &min, &max);
    fail_unless_equals_int (min, 401);
    fail_unless (ci_model_get_nms_threshold (model) ==
        (cases[i].outside ? 0.6f : 0.25f), "%s: %g", cases[i].base,
        ci_model_get_nms_threshold (model));
    ci_model_unref (model);
    if (i < 3) {
      g_autoptr (CiModel) named = load_ok (path, file, "");

      fail_unless (ci_model_get_nms_threshold (named) == 0.125f);
    }
    g_remove (file);
  }
  g_remove (secret);
  g_rmdir (other);
  g_remove (inner);
  g_remove (deeper);
}

GST_END_TEST;

/* A description that came with its file has no siblings, but can be amended. */
GST_START_TEST (test_described)
{
  g_autofree gchar *path = write_network ("m.pth", network);
  g_autofree gchar *saved = g_build_filename (test_dir, "s.safetensors", NULL);
  g_autofree gchar *sibling = write_text ("s.yaml",
      "INPUT: {MIN_SIZE_TEST: 123}\n");
  g_autoptr (CiModel) model = load_ok (path, NULL, "INPUT.MIN_SIZE_TEST=321");
  g_autoptr (CiModel) plain = NULL;
  g_autoptr (CiModel) amended = NULL;
  g_autoptr (CiModel) random = load_ok ("random:condinst-light", NULL,
      "MODEL.FCOS.NMS_TH=0.25");
  const gchar *const wrong[] = { "MODEL.FCOS.NUM_CLASSES=4", NULL };
  GError *error = NULL;
  gint min, max;

  fail_unless (ci_model_save (model, saved, FALSE, NULL));
  plain = load_ok (saved, NULL, "");
  ci_model_get_test_size (plain, &min, &max);
  fail_unless_equals_int (min, 321);
  amended = load_ok (saved, sibling, "");
  ci_model_get_test_size (amended, &min, &max);
  fail_unless_equals_int (min, 123);
  fail_unless_equals_string (ci_model_get_class_name (amended, 1), "class 1");
  fail_unless (ci_model_get_nms_threshold (random) == 0.25f);
  fail_unless_equals_string (ci_model_get_class_name (random, 1), "cat");
  fail_if (ci_model_load_full (saved, NULL, wrong, &error));
  check_error (error, CI_ERROR_BAD_FORMAT, "NUM_CLASSES is 4|description|3");
}

GST_END_TEST;

static Suite *
upstream_files_suite (void)
{
  Suite *s = suite_create ("upstream-files");
  TCase *tc = tcase_create ("general");

  suite_add_tcase (s, tc);
  tcase_add_checked_fixture (tc, setup_dir, teardown_dir);
  tcase_set_timeout (tc, 60);
  tcase_add_test (tc, test_bases);
  tcase_add_test (tc, test_bad_files);
  tcase_add_test (tc, test_missing_base);
  tcase_add_test (tc, test_empty_files);
  tcase_add_test (tc, test_precedence);
  tcase_add_test (tc, test_unrelated);
  tcase_add_test (tc, test_related);
  tcase_add_test (tc, test_bases_beside);
  tcase_add_test (tc, test_described);
  return s;
}

GST_CHECK_MAIN (upstream_files);
