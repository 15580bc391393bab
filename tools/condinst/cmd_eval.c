/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "cli.h"
#include "coco_eval.h"
#include "detect.h"

static gchar *annotations, *images_dir, *results_path, *detections_path;
static gchar *class_list, *input_size;
static gboolean respect_labelled, as_json;

/* ---- classes ----------------------------------------------------------- */

/* Flags of the categories to be measured, from a list of names. */
static guint8 *
wanted_from_list (const CiCoco * truth, const gchar * list, GError ** error)
{
  g_auto (GStrv) names = g_strsplit (list, ",", -1);
  g_autofree guint8 *wanted = g_new0 (guint8, truth->categories->len + 1);
  guint i;

  for (i = 0; names[i]; i++) {
    gint category = ci_coco_find_category (truth, g_strstrip (names[i]));

    if (category < 0) {
      g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
          "%s: no category is called \"%s\"", annotations, names[i]);
      return NULL;
    }
    wanted[category] = 1;
  }
  return g_steal_pointer (&wanted);
}

/* The category of each class of @model, -1 where the annotations have none of
 * that name; NULL and @error if they have none at all. */
static gint *
map_classes (const CiCoco * truth, CiModel * model, GError ** error)
{
  guint n = ci_model_get_n_classes (model), i, n_known = 0;
  g_autofree gint *map = g_new (gint, n + 1);

  for (i = 0; i < n; i++) {
    const gchar *name = ci_model_get_class_name (model, i);

    map[i] = ci_coco_find_category (truth, name);
    if (map[i] >= 0)
      n_known++;
    else
      g_printerr ("condinst: warning: %s has no category \"%s\"\n",
          annotations, name);
  }
  if (n_known == 0) {
    g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "%s has none of the classes of model %s", annotations,
        ci_model_get_name (model));
    return NULL;
  }
  return g_steal_pointer (&map);
}

/* ---- detections -------------------------------------------------------- */

static gboolean
detect_picture (const CiCoco * truth, guint index, CiSession * session,
    CiPictureStore * store, const gint * map, GArray * detections,
    GError ** error)
{
  CiDetectParams params;
  const CiCocoImage *image = &g_array_index (truth->images, CiCocoImage,
      index);
  const CiInstance *instances;
  g_autofree guint8 *bits = NULL;
  CiPicture picture;
  gboolean ok = FALSE;
  gint n, i;

  if (!ci_picture_store_load (store, image->file_name, image->tar, &picture,
          error))
    return FALSE;
  if (picture.width != (gint) image->width
      || picture.height != (gint) image->height) {
    g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
        "%s has %dx%d pixels, the annotations expect %ux%u",
        image->file_name, picture.width, picture.height, image->width,
        image->height);
    goto out;
  }
  ci_session_get_detect_params (session, &params);
  params.cross_class_threshold = 0;     /* COCO rates each class by itself */
  if (!ci_detect_run (session, &picture, &params, &instances, &n, error))
    goto out;
  bits = g_malloc ((gsize) picture.width * picture.height);
  for (i = 0; i < n; i++) {
    CiCocoObject object;

    if (map[instances[i].class_id] < 0)
      continue;
    if (!ci_detect_object (session, &picture, &instances[i], bits, &object,
            error))
      goto out;
    object.image = index;
    object.category = map[instances[i].class_id];
    g_array_append_val (detections, object);
  }
  ok = TRUE;

out:
  ci_picture_clear (&picture);
  return ok;
}

static gint
compare_sizes (gconstpointer a, gconstpointer b, gpointer data)
{
  const CiCocoImage *images = data;
  guint i = *(const guint *) a, j = *(const guint *) b;
  const CiCocoImage *x = &images[i], *y = &images[j];

  if (x->width != y->width)
    return x->width < y->width ? -1 : 1;
  if (x->height != y->height)
    return x->height < y->height ? -1 : 1;
  return i < j ? -1 : i > j;
}

/* Runs the model on every picture of @truth. */
static GArray *
detect_all (const CiCoco * truth, const gchar * spec, guint8 ** wanted,
    GError ** error)
{
  g_autoptr (CiModel) model = ci_cli_load_model (spec, error);
  g_autoptr (CiPictureStore) store = ci_picture_store_new (images_dir);
  g_autoptr (GArray) detections = ci_coco_objects_new ();
  g_autofree guint *order = g_new (guint, truth->images->len + 1);
  g_autofree gint *map = NULL;
  CiSessionOptions options = CI_SESSION_OPTIONS_INIT;
  CiSession *session;
  gint64 start = g_get_monotonic_time ();
  guint i, n = truth->images->len;
  gboolean ok = TRUE;

  if (!model)
    return NULL;
  map = map_classes (truth, model, error);
  if (!map)
    return NULL;
  if (!*wanted) {
    *wanted = g_new0 (guint8, truth->categories->len + 1);
    for (i = 0; i < ci_model_get_n_classes (model); i++) {
      if (map[i] >= 0)
        (*wanted)[map[i]] = 1;
    }
  }
  ci_cli_session_options (input_size, &options);
  options.full_map = TRUE;
  session = ci_cli_new_session (model, &options, error);
  if (!session)
    return NULL;

  /* Equal sizes in a row, so that each is prepared for once. */
  for (i = 0; i < n; i++)
    order[i] = i;
  g_qsort_with_data (order, n, sizeof (guint), compare_sizes,
      truth->images->data);
  for (i = 0; i < n && ok; i++) {
    ci_cli_progress (i, n, "pictures", start);
    ok = detect_picture (truth, order[i], session, store, map, detections,
        error);
  }
  ci_cli_progress (n, n, "pictures", start);
  ci_session_free (session);
  return ok ? g_steal_pointer (&detections) : NULL;
}

/* Whether masks can be measured; tells if not. */
static gboolean
all_have_masks (const CiCoco * truth, const GArray * detections)
{
  if (!truth->has_masks)
    g_printerr ("condinst: warning: annotations without masks: boxes only\n");
  for (guint i = 0; i < detections->len && truth->has_masks; i++)
    if (!g_array_index (detections, CiCocoObject, i).mask.n_runs) {
      g_printerr ("condinst: warning: the model has no masks: boxes only\n");
      return FALSE;
    }
  return truth->has_masks;
}

static gboolean
save_results (const CiCoco * truth, const GArray * detections,
    GError ** error)
{
  g_autoptr (JsonNode) root = json_node_new (JSON_NODE_ARRAY);
  JsonArray *array = json_array_new ();
  guint i;

  for (i = 0; i < detections->len; i++) {
    const CiCocoObject *object = &g_array_index (detections, CiCocoObject, i);

    json_array_add_element (array, ci_coco_result_to_json (object,
            g_array_index (truth->images, CiCocoImage, object->image).id,
            g_array_index (truth->categories, CiCocoCategory,
                object->category).id, NULL));
  }
  json_node_take_array (root, array);
  return ci_json_write (root, results_path, error);
}

/* Drops what was found of classes that a picture's annotations leave out. */
static void
drop_unlabelled (const CiCoco * truth, GArray * detections)
{
  guint i, n = 0;

  for (i = 0; i < detections->len; i++) {
    CiCocoObject *object = &g_array_index (detections, CiCocoObject, i);
    const guint8 *labelled = g_array_index (truth->images, CiCocoImage,
        object->image).labelled;

    if (!labelled || labelled[object->category]) {
      CiCocoObject kept = *object;

      *object = g_array_index (detections, CiCocoObject, n);
      g_array_index (detections, CiCocoObject, n) = kept;
      n++;
    }
  }
  g_array_set_size (detections, n);
}

/* ---- output ------------------------------------------------------------ */

static void
add_figures (JsonBuilder * builder, const gchar * name,
    const gdouble * figures)
{
  guint f;

  json_builder_set_member_name (builder, name);
  json_builder_begin_object (builder);
  for (f = 0; f < CI_COCO_N_FIGURES; f++) {
    json_builder_set_member_name (builder, ci_coco_figure_name (f));
    json_builder_add_double_value (builder, figures[f]);
  }
  json_builder_end_object (builder);
}

static void
add_figure (JsonBuilder * builder, const gchar * name, gdouble value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_double_value (builder, value);
}

/* @segm: NULL without masks. */
static void
print_json (const CiCoco * truth, const guint8 * wanted,
    const CiCocoEval * bbox, const CiCocoEval * segm, gdouble seconds)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  g_autoptr (JsonNode) root = NULL;
  guint k;

  json_builder_begin_object (builder);
  add_figures (builder, "bbox", bbox->all);
  if (segm)
    add_figures (builder, "segm", segm->all);
  json_builder_set_member_name (builder, "per_class");
  json_builder_begin_object (builder);
  for (k = 0; k < truth->categories->len; k++) {
    if (wanted && !wanted[k])
      continue;
    json_builder_set_member_name (builder,
        g_array_index (truth->categories, CiCocoCategory, k).name);
    json_builder_begin_object (builder);
    add_figure (builder, "bbox_AP", bbox->per_class[k][CI_COCO_AP]);
    add_figure (builder, "bbox_AP50", bbox->per_class[k][CI_COCO_AP50]);
    if (segm) {
      add_figure (builder, "segm_AP", segm->per_class[k][CI_COCO_AP]);
      add_figure (builder, "segm_AP50", segm->per_class[k][CI_COCO_AP50]);
    }
    json_builder_end_object (builder);
  }
  json_builder_end_object (builder);
  json_builder_set_member_name (builder, "images");
  json_builder_add_int_value (builder, truth->images->len);
  add_figure (builder, "seconds", seconds);
  json_builder_end_object (builder);
  root = json_builder_get_root (builder);
  ci_json_write (root, NULL, NULL);
}

static void
print_row (const gchar * name, const gdouble * figures, guint n)
{
  guint f;

  g_print ("%-14s", name);
  for (f = 0; f < n; f++) {
    if (figures[f] < 0)
      g_print ("     -");
    else
      g_print (" %5.3f", figures[f]);
  }
  g_print ("\n");
}

static void
print_text (const CiCoco * truth, const guint8 * wanted,
    const CiCocoEval * bbox, const CiCocoEval * segm, gdouble seconds)
{
  guint f, k;

  g_print ("%-14s", "");
  for (f = 0; f < CI_COCO_N_FIGURES; f++)
    g_print (" %5s", ci_coco_figure_name (f));
  g_print ("\n");
  print_row ("bbox", bbox->all, CI_COCO_N_FIGURES);
  if (segm)
    print_row ("segm", segm->all, CI_COCO_N_FIGURES);

  g_print ("\n%-14s %5s %5s %5s %5s\n%-14s %5s %5s %5s %5s\n", "", "bbox", "",
      segm ? "segm" : "", "", "class", "AP", "AP50", segm ? "AP" : "",
      segm ? "AP50" : "");
  for (k = 0; k < truth->categories->len; k++) {
    const gdouble row[] = { bbox->per_class[k][CI_COCO_AP],
      bbox->per_class[k][CI_COCO_AP50],
      segm ? segm->per_class[k][CI_COCO_AP] : -1,
      segm ? segm->per_class[k][CI_COCO_AP50] : -1
    };

    /* Without JSON, only classes that the annotations have objects of. */
    if ((!wanted || wanted[k]) && row[0] >= 0)
      print_row (g_array_index (truth->categories, CiCocoCategory, k).name,
          row, segm ? 4 : 2);
  }
  g_print ("\n%u pictures, %.1f seconds\n", truth->images->len, seconds);
}

/* ---- command ----------------------------------------------------------- */

static gint
evaluate (const gchar * spec)
{
  g_autoptr (CiCoco) truth = NULL;
  g_autoptr (GArray) detections = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree guint8 *wanted = NULL;
  gint64 start = g_get_monotonic_time ();
  CiCocoEval bbox, segm;
  gboolean masks;
  gdouble seconds;
  guint n_skipped = 0;

  truth = ci_coco_load (annotations, &error);
  if (truth && class_list)
    wanted = wanted_from_list (truth, class_list, &error);
  if (truth && !error)
    detections = detections_path ?
        ci_coco_load_results (truth, detections_path, &n_skipped, &error) :
        detect_all (truth, spec, &wanted, &error);
  if (detections && results_path && !save_results (truth, detections, &error))
    return ci_cli_fail (CI_EXIT_FAILED, "%s", error->message);
  if (!detections)
    return ci_cli_fail (CI_EXIT_FAILED, "%s", error->message);

  if (truth->n_skipped > 0)
    g_printerr ("condinst: warning: %u annotations are of no listed picture "
        "or category\n", truth->n_skipped);
  if (n_skipped > 0)
    g_printerr ("condinst: warning: %u detections are of no listed category\n",
        n_skipped);
  masks = all_have_masks (truth, detections);
  if (respect_labelled)
    drop_unlabelled (truth, detections);

  ci_coco_eval (&bbox, truth, detections, FALSE, wanted);
  if (masks)
    ci_coco_eval (&segm, truth, detections, TRUE, wanted);
  seconds = (g_get_monotonic_time () - start) / 1e6;
  if (as_json)
    print_json (truth, wanted, &bbox, masks ? &segm : NULL, seconds);
  else
    print_text (truth, wanted, &bbox, masks ? &segm : NULL, seconds);
  ci_coco_eval_clear (&bbox);
  if (masks)
    ci_coco_eval_clear (&segm);
  return CI_EXIT_OK;
}

gint
ci_cmd_eval (gint argc, gchar ** argv)
{
  const GOptionEntry entries[] = {
    {"annotations", 'a', 0, G_OPTION_ARG_FILENAME, &annotations,
        "What is in the pictures", "COCO.json"},
    {"images", 'i', 0, G_OPTION_ARG_FILENAME, &images_dir,
        "Folder of the pictures, or of the tar files that the annotations "
          "name", "DIR"},
    {"detections", 'd', 0, G_OPTION_ARG_FILENAME, &detections_path,
        "Measure these COCO results instead of running a model", "JSON"},
    {"results", 'r', 0, G_OPTION_ARG_FILENAME, &results_path,
        "Save the detections as COCO results", "OUT.json"},
    {"classes", 'c', 0, G_OPTION_ARG_STRING, &class_list,
        "Measure these only (default: all of the model)", "NAME,..."},
    {"respect-labelled", 0, 0, G_OPTION_ARG_NONE, &respect_labelled,
        "Ignore detections of classes that a picture's list \"labelled\" "
          "lacks", NULL},
    CI_CLI_MODEL_ENTRIES,
    CI_CLI_SIZE_ENTRIES,
    {"input", 0, 0, G_OPTION_ARG_STRING, &input_size,
        "Fit pictures into this size instead", "WxH"},
    CI_CLI_THREADS_ENTRY,
    CI_CLI_DEVICE_ENTRIES,
    CI_CLI_METHOD_ENTRIES,
    {"json", 0, 0, G_OPTION_ARG_NONE, &as_json, "Print JSON", NULL},
    {NULL}
  };
  const CiCliUsage usage = { "[MODEL]",
    "Measures average precision and recall of boxes and masks exactly as\n"
        "COCO's own evaluation does, over the classes that MODEL and the\n"
        "annotations share by name. -1 or \"-\": no such objects.",
    entries, 0, 1
  };
  CiSessionOptions options = CI_SESSION_OPTIONS_INIT;
  gint status;

  if (!ci_cli_parse (&usage, &argc, &argv)
      || !ci_cli_session_options (input_size, &options))
    status = CI_EXIT_USAGE;
  else if (!annotations)
    status = ci_cli_fail (CI_EXIT_USAGE, "--annotations is missing");
  else if (detections_path && (argc > 1 || images_dir))
    status = ci_cli_fail (CI_EXIT_USAGE,
        "--detections takes the place of MODEL and --images");
  else if (!detections_path && (argc < 2 || !images_dir))
    status = ci_cli_fail (CI_EXIT_USAGE,
        "MODEL and --images are needed, or --detections");
  else
    status = evaluate (detections_path ? NULL : argv[1]);
  g_free (annotations);
  g_free (images_dir);
  g_free (results_path);
  g_free (detections_path);
  g_free (class_list);
  g_free (input_size);
  return status;
}
