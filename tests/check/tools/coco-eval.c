/*
 * coco-eval.c: COCO's masks and figures, against those of pycocotools
 * (tests/data/coco_eval/make.py)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <glib/gstdio.h>
#include <gst/check/gstcheck.h>
#include <math.h>
#include <string.h>

#include "../../../tools/condinst/coco_eval.h"
#include "kernels.h"

#define FIXTURE(name) TEST_DATA_DIR "/coco_eval/" name

/* ---- helpers ----------------------------------------------------------- */

static JsonNode *
load_expected (void)
{
  GError *error = NULL;
  JsonNode *node = ci_json_load (FIXTURE ("expected.json"), &error);

  fail_unless (node != NULL, "%s", error ? error->message : "");
  return node;
}

static CiCoco *
load_truth (void)
{
  GError *error = NULL;
  CiCoco *coco = ci_coco_load (FIXTURE ("annotations.json"), &error);

  fail_unless (coco != NULL, "%s", error ? error->message : "");
  return coco;
}

static GArray *
load_results (const CiCoco * coco)
{
  GError *error = NULL;
  guint n_skipped;
  GArray *results = ci_coco_load_results (coco, FIXTURE ("results.json"),
      &n_skipped, &error);

  fail_unless (results != NULL, "%s", error ? error->message : "");
  fail_unless_equals_int (n_skipped, 0);
  return results;
}

static void
check_figures (const gdouble * figures, JsonObject * expected,
    const gchar * what)
{
  guint f;

  for (f = 0; f < CI_COCO_N_FIGURES; f++) {
    const gchar *name = ci_coco_figure_name (f);
    gdouble value = json_object_get_double_member (expected, name);

    fail_unless (fabs (figures[f] - value) < 1e-6,
        "%s %s: %.9f, pycocotools says %.9f", what, name, figures[f], value);
  }
}

/* A file of @text in a new folder, whose path the caller frees. */
static gchar *
write_text (const gchar * text)
{
  g_autofree gchar *dir = g_dir_make_tmp ("condinst-XXXXXX", NULL);
  gchar *path = g_build_filename (dir, "file.json", NULL);

  fail_unless (g_file_set_contents (path, text, -1, NULL));
  return path;
}

static void
remove_text (gchar * path)
{
  g_autofree gchar *dir = g_path_get_dirname (path);

  fail_unless (g_remove (path) == 0);
  fail_unless (g_rmdir (dir) == 0);
  g_free (path);
}

/* ---- figures ----------------------------------------------------------- */

GST_START_TEST (test_figures)
{
  g_autoptr (JsonNode) root = load_expected ();
  JsonObject *expected = json_node_get_object (root);
  JsonObject *classes = json_object_get_object_member (expected, "per_class");
  g_autoptr (CiCoco) truth = load_truth ();
  g_autoptr (GArray) results = load_results (truth);
  gint masks;
  guint k;

  fail_unless (truth->has_masks);
  for (masks = 0; masks < 2; masks++) {
    const gchar *kind = masks ? "segm" : "bbox";
    CiCocoEval eval;

    ci_coco_eval (&eval, truth, results, masks, NULL);
    check_figures (eval.all, json_object_get_object_member (expected, kind),
        kind);
    for (k = 0; k < truth->categories->len; k++) {
      const gchar *name =
          g_array_index (truth->categories, CiCocoCategory, k).name;

      check_figures (eval.per_class[k], json_object_get_object_member
          (json_object_get_object_member (classes, name), kind), name);
    }
    ci_coco_eval_clear (&eval);
  }
}

GST_END_TEST;

GST_START_TEST (test_wanted_classes)
{
  g_autoptr (JsonNode) root = load_expected ();
  JsonObject *classes = json_object_get_object_member
      (json_node_get_object (root), "per_class");
  g_autoptr (CiCoco) truth = load_truth ();
  g_autoptr (GArray) results = load_results (truth);
  gint cat = ci_coco_find_category (truth, "cat");
  guint8 wanted[5] = { 0, };
  CiCocoEval eval;

  fail_unless_equals_int (truth->categories->len, 5);
  wanted[cat] = 1;
  ci_coco_eval (&eval, truth, results, TRUE, wanted);
  check_figures (eval.all, json_object_get_object_member
      (json_object_get_object_member (classes, "cat"), "segm"), "cat only");
  fail_unless (eval.per_class[ci_coco_find_category (truth, "person")]
      [CI_COCO_AP] == -1);
  ci_coco_eval_clear (&eval);
}

GST_END_TEST;

/* Finding exactly what is there is worth 1 in every figure that exists. */
GST_START_TEST (test_perfect_detections)
{
  g_autoptr (CiCoco) truth = load_truth ();
  g_autoptr (GArray) results = ci_coco_objects_new ();
  CiCocoEval eval;
  guint i;

  for (i = 0; i < truth->objects->len; i++) {
    CiCocoObject object = g_array_index (truth->objects, CiCocoObject, i);

    if (object.crowd)
      continue;
    object.score = 0.5;
    object.mask.runs = g_memdup2 (object.mask.runs,
        object.mask.n_runs * sizeof (*object.mask.runs));
    g_array_append_val (results, object);
  }
  ci_coco_eval (&eval, truth, results, TRUE, NULL);
  fail_unless (fabs (eval.all[CI_COCO_AP] - 1) < 1e-6);
  fail_unless (fabs (eval.all[CI_COCO_AR100] - 1) < 1e-6);
  fail_unless (fabs (eval.all[CI_COCO_APS] - 1) < 1e-6);
  ci_coco_eval_clear (&eval);
}

GST_END_TEST;

GST_START_TEST (test_no_detections)
{
  g_autoptr (CiCoco) truth = load_truth ();
  g_autoptr (GArray) results = ci_coco_objects_new ();
  gint nobody = ci_coco_find_category (truth, "nobody");
  CiCocoEval eval;

  ci_coco_eval (&eval, truth, results, FALSE, NULL);
  fail_unless (eval.all[CI_COCO_AP] == 0);
  fail_unless (eval.all[CI_COCO_AR100] == 0);
  fail_unless (eval.per_class[nobody][CI_COCO_AP] == -1);
  ci_coco_eval_clear (&eval);
}

GST_END_TEST;

/* ---- masks ------------------------------------------------------------- */

GST_START_TEST (test_polygons)
{
  g_autoptr (JsonNode) root = load_expected ();
  JsonArray *list = json_object_get_array_member (json_node_get_object (root),
      "polygons");
  guint i, j;

  for (i = 0; i < json_array_get_length (list); i++) {
    JsonObject *item = json_array_get_object_element (list, i);
    JsonArray *numbers = json_object_get_array_member (item, "polygon");
    JsonArray *bbox = json_object_get_array_member (item, "bbox");
    guint n = json_array_get_length (numbers);
    g_autofree gdouble *points = g_new (gdouble, n);
    g_autofree gchar *counts = NULL;
    gdouble box[4];
    CiRle rle;

    for (j = 0; j < n; j++)
      points[j] = json_array_get_double_element (numbers, j);
    fail_unless (ci_rle_from_polygon (&rle, points, n / 2,
            json_object_get_int_member (item, "width"),
            json_object_get_int_member (item, "height"), NULL));
    counts = ci_rle_to_string (&rle);
    fail_unless_equals_string (counts,
        json_object_get_string_member (item, "counts"));
    fail_unless_equals_int (ci_rle_area (&rle),
        json_object_get_int_member (item, "area"));
    ci_rle_box (&rle, box);
    for (j = 0; j < 4; j++)
      fail_unless_equals_float (box[j], json_array_get_double_element (bbox,
              j));
    ci_rle_clear (&rle);
  }
}

GST_END_TEST;

GST_START_TEST (test_iou)
{
  g_autoptr (JsonNode) root = load_expected ();
  JsonObject *expected = json_node_get_object (root);
  JsonArray *list = json_object_get_array_member (expected, "polygons");
  JsonArray *ious = json_object_get_array_member (expected, "ious_with_next");
  guint i, crowd;

  for (i = 0; i < json_array_get_length (ious); i++) {
    JsonArray *pair = json_array_get_array_element (ious, i);
    CiRle rles[2];
    guint k;

    for (k = 0; k < 2; k++) {
      JsonObject *item = json_array_get_object_element (list, i + k);
      fail_unless (ci_rle_from_string (&rles[k],
              json_object_get_string_member (item, "counts"),
              json_object_get_int_member (item, "width"),
              json_object_get_int_member (item, "height"), NULL));
    }
    for (crowd = 0; crowd < 2; crowd++)
      fail_unless_equals_float (ci_rle_iou (&rles[0], &rles[1], crowd),
          json_array_get_double_element (pair, crowd));
    ci_rle_clear (&rles[0]);
    ci_rle_clear (&rles[1]);
  }
}

GST_END_TEST;

GST_START_TEST (test_box_iou)
{
  const gdouble a[4] = { 0, 0, 10, 10 }, b[4] = { 5, 0, 10, 20 };
  const gdouble beside[4] = { 10, 0, 5, 5 };

  fail_unless_equals_float (ci_box_iou (a, b, FALSE), 50.0 / 250);
  fail_unless_equals_float (ci_box_iou (a, b, TRUE), 0.5);
  fail_unless_equals_float (ci_box_iou (a, beside, FALSE), 0);
}

GST_END_TEST;

GST_START_TEST (test_bits_round_trip)
{
  const guint sizes[][2] = { {1, 1}, {1, 9}, {9, 1}, {13, 7}, {64, 33} };
  g_autoptr (GRand) random = g_rand_new_with_seed (7);
  guint s, kind, i;

  for (s = 0; s < G_N_ELEMENTS (sizes); s++) {
    guint w = sizes[s][0], h = sizes[s][1];
    g_autofree guint8 *bits = g_malloc (w * h), *back = g_malloc (w * h);

    /* empty, full, noise, mostly empty columns */
    for (kind = 0; kind < 4; kind++) {
      g_autofree gchar *string = NULL;
      CiRle rle, again;
      guint area = 0;

      for (i = 0; i < w * h; i++) {
        bits[i] = kind == 0 ? 0 : kind == 1 ? 1 : kind == 2 ?
            g_rand_int_range (random, 0, 2) : (i % w) % 5 == 2;
        area += bits[i];
      }
      ci_rle_from_bits (&rle, bits, w, h);
      fail_unless_equals_int (ci_rle_area (&rle), area);
      string = ci_rle_to_string (&rle);
      fail_unless (ci_rle_from_string (&again, string, w, h, NULL));
      ci_rle_to_bits (&again, back);
      fail_unless (memcmp (bits, back, w * h) == 0, "%ux%u, kind %u", w, h,
          kind);
      fail_unless_equals_float (ci_rle_iou (&rle, &again, FALSE),
          area > 0 ? 1 : 0);
      ci_rle_clear (&rle);
      ci_rle_clear (&again);
    }
  }
}

GST_END_TEST;

GST_START_TEST (test_damaged_masks)
{
  const guint32 runs[] = { 3, 4, 5 };
  const gdouble far[] = { 0, 0, 1e9, 0, 0, 1 };
  const gdouble nan_point[] = { 0, 0, NAN, 0, 0, 1 };
  /* below '0'; not ended; too long a number; negative; too many pixels */
  const gchar *strings[] = { "1 2", "P", "ooooooooo0", "O", "d0" };
  CiRle rle;
  guint i;

  fail_if (ci_rle_from_runs (&rle, runs, 3, 4, 4, NULL));
  fail_unless (rle.runs == NULL);
  fail_if (ci_rle_from_polygon (&rle, far, 3, 4, 4, NULL));
  fail_if (ci_rle_from_polygon (&rle, nan_point, 3, 4, 4, NULL));
  for (i = 0; i < G_N_ELEMENTS (strings); i++) {
    g_autoptr (GError) error = NULL;

    fail_if (ci_rle_from_string (&rle, strings[i], 4, 4, &error),
        "\"%s\" was accepted", strings[i]);
    fail_unless (g_error_matches (error, CI_ERROR, CI_ERROR_BAD_FORMAT));
  }
}

GST_END_TEST;

/* ---- files ------------------------------------------------------------- */

#define HEAD "{\"categories\":[{\"id\":1,\"name\":\"a\"}],\"images\":[" \
    "{\"id\":5,\"file_name\":\"x.png\",\"width\":4,\"height\":3}],"
#define NOTE(fields) HEAD "\"annotations\":[{\"image_id\":5," \
    "\"category_id\":1," fields "}]}"

GST_START_TEST (test_bad_annotations)
{
  const struct
  {
    const gchar *text, *message;
  } cases[] = {
    {"", "empty"},
    {"{\"images\":[", "file.json"},
    {"[]", "not a COCO annotation file"},
    {"{\"images\":3,\"categories\":[],\"annotations\":[]}", "not a COCO"},
    {HEAD "\"annotations\":[7]}", "annotations[0]: not an object"},
    {HEAD "\"annotations\":[{\"image_id\":5}]}", "category_id is missing"},
    {NOTE ("\"bbox\":[1,2,3]"), "the box has 3 numbers"},
    {NOTE ("\"iscrowd\":0"), "neither bbox nor segmentation"},
    {NOTE ("\"segmentation\":{\"size\":[4,3],\"counts\":[12]}"),
        "4 rows and 3 columns"},
    {NOTE ("\"segmentation\":{\"size\":[3,4],\"counts\":[11]}"),
        "add up to 11"},
    {NOTE ("\"segmentation\":{\"size\":[3,4],\"counts\":[-1,13]}"),
        "no length of a run"},
    {NOTE ("\"segmentation\":{\"size\":[3,4],\"counts\":\"!\"}"), "damaged"},
    {NOTE ("\"segmentation\":[[0,0,1,0,\"x\",1]]"), "no list of numbers"},
    {NOTE ("\"segmentation\":[[0,0,1e300,0,1,1]]"), "far outside"},
    {"{\"categories\":[],\"annotations\":[],\"images\":[{\"id\":1,"
          "\"file_name\":\"x\",\"width\":0,\"height\":3}]}", "between 1 and"},
    {"{\"categories\":[],\"annotations\":[],\"images\":[{\"id\":1,"
          "\"file_name\":\"x\",\"width\":1e9,\"height\":3}]}",
        "between 1 and"},
    {"{\"categories\":[{\"id\":1,\"name\":\"a\"},{\"id\":1,\"name\":\"b\"}],"
          "\"annotations\":[],\"images\":[]}", "occurs twice"},
  };
  g_autofree gchar *deep = g_strnfill (100000, '[');
  guint i;

  for (i = 0; i <= G_N_ELEMENTS (cases); i++) {
    gboolean last = i == G_N_ELEMENTS (cases);
    const gchar *message = last ? "too deeply" : cases[i].message;
    gchar *path = write_text (last ? deep : cases[i].text);
    g_autoptr (GError) error = NULL;
    CiCoco *coco = ci_coco_load (path, &error);

    fail_unless (coco == NULL, "case %u was accepted", i);
    fail_unless (strstr (error->message, message) != NULL,
        "case %u: \"%s\" lacks \"%s\"", i, error->message, message);
    fail_unless (strstr (error->message, "file.json") != NULL);
    remove_text (path);
  }
}

GST_END_TEST;

GST_START_TEST (test_bad_results)
{
  const struct
  {
    const gchar *text, *message;
  } cases[] = {
    {"{}", "a list of detections"},
    {"[{\"image_id\":3,\"category_id\":1}]", "score is missing"},
    {"[{\"image_id\":4,\"category_id\":1,\"score\":0.5,\"bbox\":[0,0,1,1]}]",
        "no picture with the id 4"},
    {"[{\"image_id\":3,\"category_id\":1,\"score\":\"x\",\"bbox\":[0,0,1,1]}]",
        "score is missing"},
  };
  g_autoptr (CiCoco) truth = load_truth ();
  guint i, n_skipped;

  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    gchar *path = write_text (cases[i].text);
    g_autoptr (GError) error = NULL;

    fail_unless (ci_coco_load_results (truth, path, &n_skipped, &error)
        == NULL);
    fail_unless (strstr (error->message, cases[i].message) != NULL,
        "\"%s\" lacks \"%s\"", error->message, cases[i].message);
    remove_text (path);
  }
}

GST_END_TEST;

/* Boxes stand in for masks and masks for boxes; unknown classes are counted. */
GST_START_TEST (test_partial_results)
{
  gchar *path = write_text ("[{\"image_id\":3,\"category_id\":1,\"score\":1,"
      "\"bbox\":[10,20,30,40]},"
      "{\"image_id\":3,\"category_id\":77,\"score\":1,\"bbox\":[1,2,3,4]},"
      "{\"image_id\":3,\"category_id\":3,\"score\":1,\"segmentation\":"
      "[[10,20,10,60,40,60,40,20]]}]");
  g_autoptr (CiCoco) truth = load_truth ();
  g_autoptr (GArray) results = NULL;
  GError *error = NULL;
  guint n_skipped, i, k;

  results = ci_coco_load_results (truth, path, &n_skipped, &error);
  fail_unless (results != NULL, "%s", error ? error->message : "");
  fail_unless_equals_int (n_skipped, 1);
  fail_unless_equals_int (results->len, 2);
  for (i = 0; i < 2; i++) {
    CiCocoObject *object = &g_array_index (results, CiCocoObject, i);
    const gdouble box[4] = { 10, 20, 30, 40 };

    fail_unless_equals_int (ci_rle_area (&object->mask), 30 * 40);
    for (k = 0; k < 4; k++)
      fail_unless_equals_float (object->box[k], box[k]);
  }
  remove_text (path);
}

GST_END_TEST;

/* What is written reads back as it was. */
GST_START_TEST (test_results_round_trip)
{
  g_autoptr (CiCoco) truth = load_truth ();
  g_autoptr (GArray) results = load_results (truth);
  g_autoptr (GArray) again = NULL;
  g_autoptr (JsonNode) root = json_node_new (JSON_NODE_ARRAY);
  JsonArray *array = json_array_new ();
  gchar *path = write_text ("");
  guint i, n_skipped;

  for (i = 0; i < results->len; i++) {
    CiCocoObject *object = &g_array_index (results, CiCocoObject, i);
    json_array_add_element (array, ci_coco_result_to_json (object,
            g_array_index (truth->images, CiCocoImage, object->image).id,
            g_array_index (truth->categories, CiCocoCategory,
                object->category).id, "label"));
  }
  json_node_take_array (root, array);
  fail_unless (ci_json_write (root, path, NULL));
  again = ci_coco_load_results (truth, path, &n_skipped, NULL);
  fail_unless (again != NULL);
  fail_unless_equals_int (again->len, results->len);
  for (i = 0; i < results->len; i++) {
    CiCocoObject *a = &g_array_index (results, CiCocoObject, i);
    CiCocoObject *b = &g_array_index (again, CiCocoObject, i);

    fail_unless (a->image == b->image && a->category == b->category);
    fail_unless (a->score == b->score);
    fail_unless (memcmp (a->box, b->box, sizeof (a->box)) == 0);
    fail_unless (a->mask.n_runs == b->mask.n_runs
        && memcmp (a->mask.runs, b->mask.runs,
            a->mask.n_runs * sizeof (guint32)) == 0);
  }
  remove_text (path);
}

GST_END_TEST;

GST_START_TEST (test_labelled)
{
  gchar *path = write_text ("{\"annotations\":[],\"categories\":["
      "{\"id\":2,\"name\":\"b\"},{\"id\":1,\"name\":\"a\"}],\"images\":["
      "{\"id\":9,\"file_name\":\"x\",\"width\":4,\"height\":3,"
      "\"tar\":\"t.tar\",\"labelled\":[\"b\"]},"
      "{\"id\":8,\"file_name\":\"y\",\"width\":4,\"height\":3,"
      "\"labelled\":\"all\"}]}");
  g_autoptr (CiCoco) coco = ci_coco_load (path, NULL);
  CiCocoImage *images;

  fail_unless (coco != NULL);
  images = (CiCocoImage *) coco->images->data;
  fail_unless_equals_int (images[0].id, 8);
  fail_unless (images[0].labelled == NULL);
  fail_unless_equals_int (images[1].labelled[0], 0);
  fail_unless_equals_int (images[1].labelled[1], 1);
  fail_unless_equals_string (images[1].tar, "t.tar");
  fail_unless_equals_int (ci_coco_find_category (coco, "a"), 0);
  fail_unless_equals_int (ci_coco_find_category (coco, "c"), -1);
  remove_text (path);
}

GST_END_TEST;

static Suite *
coco_eval_suite (void)
{
  Suite *suite = suite_create ("coco-eval");
  TCase *tcase = tcase_create ("general");

  suite_add_tcase (suite, tcase);
  tcase_add_test (tcase, test_figures);
  tcase_add_test (tcase, test_wanted_classes);
  tcase_add_test (tcase, test_perfect_detections);
  tcase_add_test (tcase, test_no_detections);
  tcase_add_test (tcase, test_polygons);
  tcase_add_test (tcase, test_iou);
  tcase_add_test (tcase, test_box_iou);
  tcase_add_test (tcase, test_bits_round_trip);
  tcase_add_test (tcase, test_damaged_masks);
  tcase_add_test (tcase, test_bad_annotations);
  tcase_add_test (tcase, test_bad_results);
  tcase_add_test (tcase, test_partial_results);
  tcase_add_test (tcase, test_results_round_trip);
  tcase_add_test (tcase, test_labelled);
  return suite;
}

GST_CHECK_MAIN (coco_eval);
