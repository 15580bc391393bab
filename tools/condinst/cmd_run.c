/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "detect.h"
#include "draw.h"

typedef struct
{
  CiModel *model;
  CiSession *session;
  CiDetectParams params;
  gdouble score_threshold;
  const gchar *out_dir;         /* NULL: nothing is written */
  gboolean as_json;
  GHashTable *written;          /* names in out_dir */
  GstMaskDraw *draw;
  JsonArray *results;
} Run;

/* Where the drawn picture goes: the input's name in the output folder, with a
 * number before it where two inputs have the same one. */
static gchar *
output_path (Run * run, const gchar * input, guint index, GError ** error)
{
  g_autofree gchar *name = g_path_get_basename (input);
  g_autofree gchar *path = NULL;
  GStatBuf in, out;

  if (g_hash_table_contains (run->written, name)) {
    gchar *numbered = g_strdup_printf ("%u-%s", index + 1, name);
    g_free (name);
    name = numbered;
  }
  path = g_build_filename (run->out_dir, name, NULL);
  if (g_stat (input, &in) == 0 && g_stat (path, &out) == 0
      && in.st_dev == out.st_dev && in.st_ino == out.st_ino) {
    g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "%s: would be overwritten; choose another folder", input);
    return NULL;
  }
  g_hash_table_add (run->written, g_steal_pointer (&name));
  return g_steal_pointer (&path);
}

static gboolean
run_picture (Run * run, const gchar * input, guint index, GError ** error)
{
  CiPicture picture;
  const CiInstance *instances;
  g_autofree guint8 *bits = NULL;
  g_autofree gchar *path = NULL;
  gboolean ok = FALSE;
  gint n, n_shown = 0, i;

  if (!ci_picture_load (&picture, input, error))
    return FALSE;
  if (!ci_detect_run (run->session, &picture, &run->params, &instances, &n,
          error)) {
    g_prefix_error (error, "%s: ", input);
    goto out;
  }
  while (n_shown < n && instances[n_shown].score >= run->score_threshold)
    n_shown++;

  if (!run->as_json)
    g_print ("%s: %dx%d, %d object%s\n", input, picture.width, picture.height,
        n_shown, n_shown == 1 ? "" : "s");
  bits = g_malloc ((gsize) picture.width * picture.height);
  for (i = 0; i < n_shown; i++) {
    const CiInstance *instance = &instances[i];
    const gchar *label = ci_model_get_class_name (run->model,
        instance->class_id);
    CiCocoObject object;
    JsonNode *node;

    if (!ci_detect_object (run->session, &picture, instance, bits, &object,
            error))
      goto out;
    if (!run->as_json)
      g_print ("  %-14s %5.3f  box %.0f,%.0f %.0fx%.0f", label,
          instance->score, object.box[0], object.box[1], object.box[2],
          object.box[3]);
    if (!run->as_json && instance->grid)
      g_print ("  mask %u pixels\n", ci_rle_area (&object.mask));
    else if (!run->as_json)
      g_print ("\n");
    node = ci_coco_result_to_json (&object, index + 1,
        instance->class_id + 1, label);
    json_object_set_string_member (json_node_get_object (node), "file_name",
        input);
    json_array_add_element (run->results, node);
    ci_rle_clear (&object.mask);
  }

  if (run->out_dir) {
    path = output_path (run, input, index, error);
    if (!path)
      goto out;
    ci_draw_picture (run->draw, &picture, run->model, instances, n_shown);
    if (!ci_picture_save (&picture, path, error))
      goto out;
  }
  ok = TRUE;

out:
  ci_picture_clear (&picture);
  return ok;
}

static gboolean
write_results (Run * run, GError ** error)
{
  g_autoptr (JsonNode) root = json_node_new (JSON_NODE_ARRAY);
  g_autofree gchar *path = NULL;

  json_node_set_array (root, run->results);
  if (run->as_json && !ci_json_write (root, NULL, error))
    return FALSE;
  if (!run->out_dir)
    return TRUE;
  path = g_build_filename (run->out_dir, "results.json", NULL);
  return ci_json_write (root, path, error);
}

gint
ci_cmd_run (gint argc, gchar ** argv)
{
  Run run = { 0, };
  CiSessionOptions options = CI_SESSION_OPTIONS_INIT;
  g_autofree gchar *out_dir = NULL, *dump = NULL, *input = NULL;
  gdouble score_threshold = -1;
  gfloat threshold;
  const GOptionEntry entries[] = {
    {"output", 'o', 0, G_OPTION_ARG_FILENAME, &out_dir,
        "Folder for the drawn pictures and results.json (COCO)", "DIR"},
    {"dump", 0, 0, G_OPTION_ARG_FILENAME, &dump,
        "Save all intermediate tensors of the one IMAGE", "OUT.safetensors"},
    {"score-threshold", 's', 0, G_OPTION_ARG_DOUBLE, &score_threshold,
        "Show objects from this score on (default: the model's)", "0..1"},
    CI_CLI_MODEL_ENTRIES,
    CI_CLI_SIZE_ENTRIES,
    {"input", 0, 0, G_OPTION_ARG_STRING, &input,
        "Fit pictures into this size instead", "WxH"},
    CI_CLI_THREADS_ENTRY,
    CI_CLI_DEVICE_ENTRIES,
    CI_CLI_METHOD_ENTRIES,
    {"json", 0, 0, G_OPTION_ARG_NONE, &run.as_json,
        "Print COCO results instead of a table", NULL},
    {NULL}
  };
  const CiCliUsage usage = { "MODEL IMAGE...",
    "Finds the objects in JPEG and PNG pictures and prints a table of them.\n"
        "With -o, draws them like the element maskoverlay does. In the\n"
        "results, image_id counts the pictures from 1, category_id the\n"
        "model's classes from 1.", entries, 2, -1
  };
  g_autoptr (GError) error = NULL;
  gint status = CI_EXIT_FAILED, i;

  if (!ci_cli_parse (&usage, &argc, &argv)
      || !ci_cli_session_options (input, &options))
    return CI_EXIT_USAGE;
  if (score_threshold > 1 || (score_threshold < 0 && score_threshold != -1))
    return ci_cli_fail (CI_EXIT_USAGE,
        "the score threshold %g is not between 0 and 1", score_threshold);
  if (dump && argc > 3)
    return ci_cli_fail (CI_EXIT_USAGE, "--dump takes one IMAGE");

  if (out_dir && g_mkdir_with_parents (out_dir, 0777) != 0)
    return ci_cli_fail (CI_EXIT_FAILED, "%s: %s", out_dir,
        g_strerror (errno));
  run.model = ci_cli_load_model (argv[1], &error);
  if (!run.model)
    return ci_cli_fail (CI_EXIT_FAILED, "%s", error->message);
  options.full_map = TRUE;
  options.keep_tensors = dump != NULL;
  run.session = ci_cli_new_session (run.model, &options, &error);
  if (!run.session) {
    ci_model_unref (run.model);
    return ci_cli_fail (CI_EXIT_FAILED, "%s", error->message);
  }
  gst_init (NULL, NULL);
  run.out_dir = out_dir;
  run.written = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  run.draw = gst_mask_draw_new ();
  run.results = json_array_new ();
  run.score_threshold = score_threshold >= 0 ? score_threshold :
      ci_model_get_score_threshold (run.model);
  ci_session_get_detect_params (run.session, &run.params);
  threshold = run.params.inference_threshold;
  ci_session_set_score_threshold (run.session, &run.params,
      run.score_threshold);
  /* dumps have all that the network finds by its own thresholds, too */
  if (dump) {
    run.params.inference_threshold = MIN (run.params.inference_threshold,
        threshold);
    run.params.score_threshold = 0;
  }

  status = CI_EXIT_OK;
  for (i = 2; i < argc; i++) {
    g_autoptr (GError) local = NULL;

    if (!run_picture (&run, argv[i], i - 2, &local))
      status = ci_cli_fail (CI_EXIT_FAILED, "%s", local->message);
  }
  if (dump && status == CI_EXIT_OK
      && !ci_session_dump (run.session, dump, &error))
    status = ci_cli_fail (CI_EXIT_FAILED, "%s", error->message);
  else if (!write_results (&run, &error))
    status = ci_cli_fail (CI_EXIT_FAILED, "%s", error->message);

  json_array_unref (run.results);
  gst_mask_draw_free (run.draw);
  g_hash_table_unref (run.written);
  ci_session_free (run.session);
  ci_model_unref (run.model);
  return status;
}
