/*
 * cli.c: the condinst command from outside: what it prints, writes and
 * returns, and how it fails
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <glib/gstdio.h>
#include <gst/check/gstcheck.h>
#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

#include "../../../tools/condinst/coco_eval.h"
#include "../../../tools/condinst/picture.h"

/* Small, made-up weights: any picture gives some objects. */
#define MODEL "random:condinst-light"
#define FIXTURE(name) TEST_DATA_DIR "/coco_eval/" name

static gchar *folder;
static gchar *out, *err;        /* of the last command */

static void
setup (void)
{
  CiPicture picture = { 96, 64, g_malloc (96 * 64 * 3) };
  g_autofree gchar *path = NULL;
  gint i;

  folder = g_dir_make_tmp ("condinst-XXXXXX", NULL);
  fail_unless (folder != NULL);
  for (i = 0; i < 96 * 64 * 3; i++)
    picture.rgb[i] = i / 3 % 96 * 2 + i / 3 / 96;
  path = g_build_filename (folder, "in.png", NULL);
  fail_unless (ci_picture_save (&picture, path, NULL));
  ci_picture_clear (&picture);
}

static void
remove_tree (const gchar * path)
{
  GDir *dir = g_dir_open (path, 0, NULL);
  const gchar *name;

  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree gchar *child = g_build_filename (path, name, NULL);

    if (g_file_test (child, G_FILE_TEST_IS_DIR))
      remove_tree (child);
    else
      g_remove (child);
  }
  g_clear_pointer (&dir, g_dir_close);
  g_rmdir (path);
}

static void
teardown (void)
{
  remove_tree (folder);
  g_clear_pointer (&folder, g_free);
  g_clear_pointer (&out, g_free);
  g_clear_pointer (&err, g_free);
}

/* Runs the command, in the folder of the test, with the arguments of @line
 * (as a shell would split them), and returns its status. */
static gint
condinst (const gchar * line)
{
  g_autofree gchar *whole = g_strdup_printf ("%s %s", CONDINST, line);
  g_auto (GStrv) argv = NULL;
  g_auto (GStrv) envp = g_environ_setenv (g_get_environ (), "LC_ALL", "C",
      TRUE);
  GError *error = NULL;
  gint status;

  g_clear_pointer (&out, g_free);
  g_clear_pointer (&err, g_free);
  fail_unless (g_shell_parse_argv (whole, NULL, &argv, NULL));
  fail_unless (g_spawn_sync (folder, argv, envp, 0, NULL, NULL, &out, &err,
          &status, &error), "%s", error ? error->message : "");
  fail_unless (WIFEXITED (status), "\"%s\" crashed: %s", line, err);
  return WEXITSTATUS (status);
}

#define assert_condinst(line, expected) G_STMT_START { \
  gint status_ = condinst (line); \
  fail_unless (status_ == (expected), "condinst %s: status %d, not %d: %s", \
      line, status_, expected, err); \
} G_STMT_END

#define assert_contains(text, part) \
  fail_unless (strstr (text, part) != NULL, "\"%s\" lacks \"%s\"", text, part)

static JsonNode *
parse (const gchar * text)
{
  GError *error = NULL;
  JsonNode *node = json_from_string (text, &error);

  fail_unless (node != NULL, "%s in: %s", error ? error->message : "", text);
  return node;
}

static gboolean
exists (const gchar * name)
{
  g_autofree gchar *path = g_build_filename (folder, name, NULL);

  return g_file_test (path, G_FILE_TEST_EXISTS);
}

static void
write_file (const gchar * name, const gchar * text)
{
  g_autofree gchar *path = g_build_filename (folder, name, NULL);

  fail_unless (g_file_set_contents (path, text, -1, NULL));
}

/* ---- usage ------------------------------------------------------------- */

GST_START_TEST (test_help)
{
  const gchar *commands[] = { "info", "import", "run", "eval", "bench" };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (commands); i++) {
    g_autofree gchar *line = g_strdup_printf ("%s --help", commands[i]);
    g_autofree gchar *name = g_strdup_printf ("condinst %s", commands[i]);

    assert_condinst ("--help", 0);
    assert_contains (out, commands[i]);

    assert_condinst (line, 0);
    assert_contains (out, name);
    assert_contains (out, "MODEL");
  }
  assert_condinst ("--version", 0);
  fail_unless (g_str_has_prefix (out, "condinst "));
}

GST_END_TEST;

GST_START_TEST (test_wrong_usage)
{
  const struct
  {
    const gchar *line, *message;
  } cases[] = {
    {"", "a command is missing"},
    {"frobnicate", "unknown command \"frobnicate\""},
    {"--frobnicate", "unknown option \"--frobnicate\""},
    {"info", "too few arguments"},
    {"info a b", "too many arguments"},
    {"info --frobnicate a", "--frobnicate"},
    {"import " MODEL, "--output is missing"},
    {"import -o x.safetensors", "too few arguments"},
    {"run " MODEL, "too few arguments"},
    {"run " MODEL " in.png --threads=many", "many"},
    {"run " MODEL " in.png --threads=-1", "negative"},
    {"run " MODEL " in.png -x gpu", "\"gpu\" is no --execution-provider"},
    {"bench " MODEL " --precision int8", "\"int8\" is no --precision"},
    {"run " MODEL " in.png -s 1.5", "score threshold 1.5"},
    {"run " MODEL " in.png --input 12", "\"12\" is no size"},
    {"run " MODEL " in.png --input 8x8 --min-size 8", "excludes"},
    {"run " MODEL " in.png in.png --dump x", "--dump takes one IMAGE"},
    {"eval " MODEL " -i .", "--annotations is missing"},
    {"eval " MODEL " -a x.json", "--images"},
    {"eval " MODEL " -a x.json -d y.json", "takes the place of MODEL"},
    {"bench " MODEL " --size 0x0", "no size"},
    {"bench " MODEL " --size 99999x99999", "too large"},
    {"bench " MODEL " --iterations 0", "--iterations"},
    {"bench " MODEL " --busy -1", "--busy"},
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    assert_condinst (cases[i].line, 2);
    fail_unless (g_str_has_prefix (err, "condinst: "), "%s", err);
    assert_contains (err, cases[i].message);
    fail_unless_equals_string (out, "");
  }
}

GST_END_TEST;

GST_START_TEST (test_missing_files)
{
  assert_condinst ("info nowhere.safetensors", 1);
  assert_contains (err, "nowhere.safetensors");
  assert_condinst ("run nowhere.safetensors in.png", 1);
  assert_contains (err, "nowhere.safetensors");
  assert_condinst ("bench nowhere.safetensors", 1);
  assert_condinst ("eval " MODEL " -a nowhere.json -i .", 1);
  assert_contains (err, "nowhere.json");
  assert_condinst ("eval -a " FIXTURE ("annotations.json")
      " -d nowhere.json", 1);
  assert_contains (err, "nowhere.json");
  assert_condinst ("eval " MODEL " -i . -a " FIXTURE ("annotations.json"), 1);
  assert_contains (err, ".png");
}

GST_END_TEST;

/* ---- info -------------------------------------------------------------- */

GST_START_TEST (test_info)
{
  g_autoptr (JsonNode) root = NULL;
  JsonArray *classes;

  assert_condinst ("info " MODEL, 0);
  assert_contains (out, "architecture");
  assert_contains (out, "person");

  assert_condinst ("info --json " MODEL, 0);
  root = parse (out);
  classes = json_object_get_array_member (json_node_get_object (root),
      "classes");
  fail_unless (json_array_get_length (classes) > 0);
}

GST_END_TEST;

/* ---- official checkpoints ---------------------------------------------- */

/* What is imported gives the same results, by itself. */
GST_START_TEST (test_import)
{
  g_autofree gchar *before = NULL;

  assert_condinst ("import " MODEL " -o a.safetensors "
      "--set MODEL.FCOS.NMS_TH=0.3 --set INPUT.MIN_SIZE_TEST=64", 0);
  assert_contains (out, "a.safetensors: condinst-light, 5 classes");
  assert_condinst ("run " MODEL " in.png --json -s 0 -t 1 "
      "--set INPUT.MIN_SIZE_TEST=64 --set MODEL.FCOS.NMS_TH=0.3", 0);
  assert_contains (out, "\"segmentation\"");
  before = g_steal_pointer (&out);
  assert_condinst ("run a.safetensors in.png --json -s 0 -t 1", 0);
  fail_unless_equals_string (out, before);

  assert_condinst ("import a.safetensors -o h.safetensors --half", 0);
  assert_condinst ("run h.safetensors in.png --json -s 0 -t 1", 0);
  assert_contains (out, "\"segmentation\"");
  /* a file may be replaced by itself */
  assert_condinst ("import h.safetensors -o h.safetensors", 0);
  assert_condinst ("info h.safetensors", 0);
}

GST_END_TEST;

GST_START_TEST (test_configuration)
{
  g_autoptr (JsonNode) root = NULL;
  JsonObject *object;

  write_file ("c.yaml", "INPUT: {MIN_SIZE_TEST: 65}\n"
      "MODEL: {FCOS: {NMS_TH: 0.5}}\n");
  assert_condinst ("info " MODEL " --json --config c.yaml --set "
      "MODEL.FCOS.NMS_TH=0.25", 0);
  root = parse (out);
  object = json_node_get_object (root);
  fail_unless (json_object_get_double_member (json_object_get_object_member
          (object, "inference"), "nms_threshold") == 0.25);
  fail_unless_equals_int (json_object_get_int_member
      (json_object_get_object_member (object, "input"), "min_size"), 65);
  fail_unless_equals_int (json_array_get_length (json_object_get_array_member
          (object, "config")), 2);

  assert_condinst ("run " MODEL " in.png --set MODEL.FCOS.NUM_CLASSES=9", 1);
  assert_contains (err, "MODEL.FCOS.NUM_CLASSES is 9");
  assert_condinst ("bench " MODEL " --config CondInst/MS_R_50", 1);
  assert_contains (err, "neither a file nor a published configuration");
  assert_condinst ("eval " MODEL " -i . -a " FIXTURE ("annotations.json")
      " --set FOO", 1);
  assert_contains (err, "\"FOO\" is no setting");
}

GST_END_TEST;

/* An official file, as it is. */
GST_START_TEST (test_checkpoint)
{
  g_autofree gchar *golden = g_build_filename (SHARED_DIR, "golden",
      "condinst_small_a", NULL);
  g_autofree gchar *info = NULL;
  g_autofree gchar *import = NULL;
  g_autofree gchar *run = NULL;
  g_autofree gchar *again = NULL;
  g_autofree gchar *before = NULL;

  if (!g_file_test (golden, G_FILE_TEST_IS_DIR)) {
    g_print ("skipped: there is no %s\n", golden);
    return;
  }
  info = g_strdup_printf ("info '%s/model_zip.pth'", golden);
  assert_condinst (info, 0);
  assert_contains (out, "PyTorch zip");
  assert_contains (out, "CondInst/MS_R_50_1x (other sizes)");
  assert_contains (out, "toothbrush");

  import = g_strdup_printf ("import '%s/model_legacy.pth' -o a.safetensors "
      "--config '%s/case.json'", golden, golden);
  assert_condinst (import, 0);
  run = g_strdup_printf ("run '%s/model_zip.pth' '%s/img0.png' --json -s 0.3 "
      "--config '%s/case.json'", golden, golden, golden);
  assert_condinst (run, 0);
  assert_contains (out, "\"cell phone\"");
  before = g_steal_pointer (&out);
  again = g_strdup_printf ("run a.safetensors '%s/img0.png' --json -s 0.3",
      golden);
  assert_condinst (again, 0);
  fail_unless_equals_string (out, before);
}

GST_END_TEST;

/* ---- bench ------------------------------------------------------------- */

GST_START_TEST (test_bench)
{
  const gchar *names[] = { "network_ms_min", "network_ms_median", "gflop",
    "effective_gflops", "sgemm_gflops", "fraction_of_sgemm"
  };
  const gchar *stages[] = { "preprocess_ms", "network_ms", "decode_ms",
    "masks_ms", "overlay_ms"
  };
  g_autoptr (JsonNode) root = NULL;
  JsonObject *object, *stage, *best;
  guint i;

  assert_condinst ("bench " MODEL " --size 64x64 -t 1 -n 2 --busy 1 --json", 0);
  root = parse (out);
  object = json_node_get_object (root);
  for (i = 0; i < G_N_ELEMENTS (names); i++)
    fail_unless (json_object_get_double_member (object, names[i]) > 0,
        "%s", names[i]);
  fail_unless (fabs (json_object_get_double_member (object, "gflop")
          / json_object_get_double_member (object, "network_ms_min") * 1e3
          / json_object_get_double_member (object, "effective_gflops") - 1)
      < 1e-6);
  fail_unless_equals_int (json_array_get_int_element
      (json_object_get_array_member (object, "input"), 0), 64);
  fail_unless_equals_int (json_object_get_int_member (object, "threads"), 1);
  fail_unless_equals_int (json_object_get_int_member (object, "busy"), 1);
  stage = json_object_get_object_member (object, "stages");
  best = json_object_get_object_member (object, "stages_min");
  for (i = 0; i < G_N_ELEMENTS (stages); i++)
    fail_unless (json_object_get_double_member (stage, stages[i]) >=
        json_object_get_double_member (best, stages[i]));
}

GST_END_TEST;

/* ---- run --------------------------------------------------------------- */

GST_START_TEST (test_run)
{
  g_autofree gchar *results = g_build_filename (folder, "out",
      "results.json", NULL);
  g_autofree gchar *drawn = g_build_filename (folder, "out", "in.png", NULL);
  g_autofree gchar *input = g_build_filename (folder, "in.png", NULL);
  g_autofree gchar *text = NULL;
  g_autoptr (JsonNode) root = NULL;
  CiPicture before, after;
  JsonArray *list;
  guint i;

  assert_condinst ("run " MODEL " in.png -o out -s 0 -t 1 --min-size 64", 0);
  assert_contains (out, "in.png: 96x64");
  fail_unless (g_file_get_contents (results, &text, NULL, NULL));
  root = parse (text);
  list = json_node_get_array (root);
  fail_unless (json_array_get_length (list) > 0);
  for (i = 0; i < json_array_get_length (list); i++) {
    JsonObject *object = json_array_get_object_element (list, i);
    JsonObject *mask = json_object_get_object_member (object, "segmentation");
    JsonArray *box = json_object_get_array_member (object, "bbox");
    g_autoptr (GError) error = NULL;
    CiRle rle;

    fail_unless_equals_int (json_object_get_int_member (object, "image_id"),
        1);
    fail_unless (json_object_get_int_member (object, "category_id") >= 1);
    fail_unless (json_object_has_member (object, "label"));
    fail_unless (json_array_get_double_element (box, 0) >= 0);
    fail_unless (json_array_get_double_element (box, 0)
        + json_array_get_double_element (box, 2) <= 96.001);
    fail_unless (ci_rle_from_string (&rle, json_object_get_string_member (mask,
                "counts"), 96, 64, &error));
    ci_rle_clear (&rle);
  }

  fail_unless (ci_picture_load (&before, input, NULL));
  fail_unless (ci_picture_load (&after, drawn, NULL));
  fail_unless (after.width == 96 && after.height == 64);
  fail_if (memcmp (before.rgb, after.rgb, 96 * 64 * 3) == 0);
  ci_picture_clear (&before);
  ci_picture_clear (&after);
}

GST_END_TEST;

GST_START_TEST (test_run_nothing_found)
{
  g_autoptr (JsonNode) root = NULL;

  assert_condinst ("run " MODEL " in.png -s 1 -t 1 --input 64x64 --json", 0);
  root = parse (out);
  fail_unless_equals_int (json_array_get_length (json_node_get_array (root)),
      0);
}

GST_END_TEST;

/* One bad picture does not keep the others from being done. */
GST_START_TEST (test_run_goes_on)
{
  write_file ("bad.jpg", "hello");
  assert_condinst ("run " MODEL " bad.jpg none.png in.png -t 1 --input 64x64"
      " -o out", 1);
  assert_contains (err, "bad.jpg: neither a JPEG nor a PNG file");
  assert_contains (err, "none.png");
  assert_contains (out, "in.png: 96x64");
  fail_unless (exists ("out/in.png"));
  fail_if (exists ("out/bad.jpg"));
}

GST_END_TEST;

GST_START_TEST (test_run_keeps_inputs)
{
  assert_condinst ("run " MODEL " in.png -t 1 --input 64x64 -o .", 1);
  assert_contains (err, "would be overwritten");

  /* The same name twice gives two pictures. */
  assert_condinst ("run " MODEL " in.png ./in.png -t 1 --input 64x64 -o out",
      0);
  fail_unless (exists ("out/in.png"));
  fail_unless (exists ("out/2-in.png"));
}

GST_END_TEST;

GST_START_TEST (test_run_dump)
{
  g_autofree gchar *path = g_build_filename (folder, "x.safetensors", NULL);
  g_autofree gchar *text = NULL;
  gsize size;

  assert_condinst ("run " MODEL " in.png -t 1 --input 64x64 -s 0 --dump "
      "x.safetensors", 0);
  fail_unless (g_file_get_contents (path, &text, &size, NULL));
  fail_unless (size > 4096);
  text[4095] = '\0';
  assert_contains (text + 8, "\"input\"");
  assert_contains (text + 8, "\"det.boxes\"");
}

GST_END_TEST;

/* ---- eval -------------------------------------------------------------- */

GST_START_TEST (test_eval_detections)
{
  g_autoptr (JsonNode) root = NULL;
  g_autoptr (JsonNode) expected = ci_json_load (FIXTURE ("expected.json"),
      NULL);
  const gchar *kinds[] = { "bbox", "segm" };
  JsonObject *cat;
  guint i, f;

  assert_condinst ("eval --json -a " FIXTURE ("annotations.json") " -d "
      FIXTURE ("results.json"), 0);
  root = parse (out);
  for (i = 0; i < 2; i++) {
    JsonObject *got = json_object_get_object_member (json_node_get_object
        (root), kinds[i]);
    JsonObject *wanted = json_object_get_object_member (json_node_get_object
        (expected), kinds[i]);

    for (f = 0; f < CI_COCO_N_FIGURES; f++) {
      const gchar *name = ci_coco_figure_name (f);
      fail_unless (fabs (json_object_get_double_member (got, name)
              - json_object_get_double_member (wanted, name)) < 1e-6);
    }
  }
  cat = json_object_get_object_member (json_object_get_object_member
      (json_node_get_object (root), "per_class"), "cat");
  fail_unless (json_object_get_double_member (cat, "segm_AP50") > 0);
  fail_unless_equals_int (json_object_get_int_member (json_node_get_object
          (root), "images"), 10);

  /* The same in words; one class alone. */
  assert_condinst ("eval -c cat -a " FIXTURE ("annotations.json") " -d "
      FIXTURE ("results.json"), 0);
  assert_contains (out, "AR100");
  assert_contains (out, "cat");
  fail_if (strstr (out, "person") != NULL);
  assert_condinst ("eval -c unicorn -a " FIXTURE ("annotations.json") " -d "
      FIXTURE ("results.json"), 1);
  assert_contains (err, "no category is called \"unicorn\"");
}

GST_END_TEST;

#define IMAGE(fields) "{\"images\":[{\"id\":7,\"file_name\":\"in.png\"," \
    fields "}],"
#define CATEGORY(name) "\"categories\":[{\"id\":4,\"name\":\"" name "\"}],"
#define OBJECT "\"annotations\":[{\"id\":1,\"image_id\":7,\"category_id\":4," \
    "\"bbox\":[10,10,40,30],\"area\":1200,\"iscrowd\":0,\"segmentation\":" \
    "[[10,10,50,10,50,40,10,40]]}]}"

GST_START_TEST (test_eval_model)
{
  g_autoptr (JsonNode) root = NULL, saved = NULL, again = NULL;
  g_autofree gchar *path = g_build_filename (folder, "r.json", NULL);
  JsonObject *object;

  write_file ("a.json", IMAGE ("\"width\":96,\"height\":64")
      CATEGORY ("person") OBJECT);
  assert_condinst ("eval " MODEL " -a a.json -i . -t 1 --min-size 64 --json"
      " -r r.json", 0);
  root = parse (out);
  object = json_node_get_object (root);
  fail_unless_equals_int (json_object_get_int_member (object, "images"), 1);
  fail_unless_equals_int (json_object_get_size (json_object_get_object_member
          (object, "per_class")), 1);

  /* The saved detections give the same figures. */
  saved = ci_json_load (path, NULL);
  fail_unless (saved != NULL && JSON_NODE_HOLDS_ARRAY (saved));
  assert_condinst ("eval -a a.json -d r.json --json", 0);
  again = parse (out);
  fail_unless (json_node_equal (json_object_get_member (object, "segm"),
          json_object_get_member (json_node_get_object (again), "segm")));
}

GST_END_TEST;

GST_START_TEST (test_eval_mismatches)
{
  write_file ("a.json", IMAGE ("\"width\":97,\"height\":64")
      CATEGORY ("person") OBJECT);
  assert_condinst ("eval " MODEL " -a a.json -i . -t 1 --min-size 64", 1);
  assert_contains (err, "in.png has 96x64 pixels, the annotations expect "
      "97x64");

  write_file ("a.json", IMAGE ("\"width\":96,\"height\":64")
      CATEGORY ("unicorn") OBJECT);
  assert_condinst ("eval " MODEL " -a a.json -i . -t 1 --min-size 64", 1);
  assert_contains (err, "none of the classes");

  write_file ("a.json", "{\"images\":[{\"id\":");
  assert_condinst ("eval " MODEL " -a a.json -i .", 1);
  assert_contains (err, "a.json");
}

GST_END_TEST;

/* Detections of classes that a picture's labels leave out can be ignored. */
GST_START_TEST (test_eval_labelled)
{
  const gchar *line = "eval -a a.json -d d.json --json";
  g_autofree gchar *other = g_strconcat (line, " --respect-labelled", NULL);
  g_autoptr (JsonNode) plain = NULL, respecting = NULL;

  write_file ("a.json", "{\"images\":[{\"id\":7,\"file_name\":\"a\","
      "\"width\":96,\"height\":64},{\"id\":8,\"file_name\":\"b\","
      "\"width\":96,\"height\":64,\"labelled\":[]}],"
      CATEGORY ("person") OBJECT);
  write_file ("d.json", "[{\"image_id\":7,\"category_id\":4,\"score\":0.5,"
      "\"bbox\":[10,10,40,30]},{\"image_id\":8,\"category_id\":4,"
      "\"score\":0.6,\"bbox\":[10,10,40,30]}]");
  assert_condinst (line, 0);
  plain = parse (out);
  assert_condinst (other, 0);
  respecting = parse (out);
  fail_unless (fabs (json_object_get_double_member
          (json_object_get_object_member (json_node_get_object (plain),
                  "bbox"), "AP") - 0.5) < 1e-6);
  fail_unless (fabs (json_object_get_double_member
          (json_object_get_object_member (json_node_get_object (respecting),
                  "bbox"), "AP") - 1) < 1e-6);
}

GST_END_TEST;

static Suite *
cli_suite (void)
{
  Suite *suite = suite_create ("cli");
  TCase *tcase = tcase_create ("general");

  suite_add_tcase (suite, tcase);
  tcase_add_checked_fixture (tcase, setup, teardown);
  tcase_set_timeout (tcase, 120);
  tcase_add_test (tcase, test_help);
  tcase_add_test (tcase, test_wrong_usage);
  tcase_add_test (tcase, test_missing_files);
  tcase_add_test (tcase, test_info);
  tcase_add_test (tcase, test_import);
  tcase_add_test (tcase, test_configuration);
  tcase_add_test (tcase, test_checkpoint);
  tcase_add_test (tcase, test_bench);
  tcase_add_test (tcase, test_run);
  tcase_add_test (tcase, test_run_nothing_found);
  tcase_add_test (tcase, test_run_goes_on);
  tcase_add_test (tcase, test_run_keeps_inputs);
  tcase_add_test (tcase, test_run_dump);
  tcase_add_test (tcase, test_eval_detections);
  tcase_add_test (tcase, test_eval_model);
  tcase_add_test (tcase, test_eval_mismatches);
  tcase_add_test (tcase, test_eval_labelled);
  return suite;
}

GST_CHECK_MAIN (cli);
