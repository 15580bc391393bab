/* GStreamer instance segmentation
 *
 * condinstengine.c: the model of an element at work, and on what it runs
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "condinstengine.h"

#include "condinsterror.h"
#include "condinstlabels.h"

GST_DEBUG_CATEGORY_EXTERN (cond_inst_seg_debug);
#define GST_CAT_DEFAULT cond_inst_seg_debug

/* ---- model ------------------------------------------------------------- */

static gboolean
load_labels (CondInstEngine * engine, const gchar * file)
{
  guint n = ci_model_get_n_classes (engine->model);
  GError *error = NULL;

  if (file) {
    engine->labels = cond_inst_labels_load (file, n,
        ci_model_get_name (engine->model), &error);
    if (!engine->labels) {
      cond_inst_post_error (engine->element, error, "Cannot use label-file");
      return FALSE;
    }
  } else {
    engine->labels = g_new0 (gchar *, n + 1);
    for (guint i = 0; i < n; i++)
      engine->labels[i] = g_strdup (ci_model_get_class_name (engine->model,
              i));
  }
  engine->quarks = g_new (GQuark, n);
  for (guint i = 0; i < n; i++)
    engine->quarks[i] = g_quark_from_string (engine->labels[i]);
  return TRUE;
}

gboolean
cond_inst_engine_load (CondInstEngine * engine, const gchar * model_file,
    const gchar * config_file, const gchar * config_settings,
    const gchar * label_file)
{
  g_auto (GStrv) settings = NULL;
  g_autofree gchar *what = NULL;
  GError *error = NULL;

  if (config_settings)
    settings = g_strsplit (config_settings, ";", -1);
  engine->model = ci_model_load_full (model_file, config_file,
      (const gchar * const *) settings, &error);
  if (!engine->model) {
    what = model_file ? g_strdup_printf ("Cannot load model '%s'", model_file)
        : g_strdup ("Cannot load the default model");
    cond_inst_post_error (engine->element, error, what);
    return FALSE;
  }
  return load_labels (engine, label_file);
}

/* ---- device and session ------------------------------------------------ */

/* On the context that elements here share, if they do. */
static CiDevice *
open_device (CondInstEngine * engine, GError ** error)
{
  gint index = engine->device_id;
  gpointer context = cond_inst_cuda_get_handle (&engine->cuda, &index);

  return ci_device_open (index, context, error);
}

/* FALSE and a posted error if there is no GPU, but has to be. */
static gboolean
choose_device (CondInstEngine * engine, const CondInstOptions * options)
{
  CiSessionOptions *chosen = &engine->options;
  GError *error = NULL;

  engine->device_id = options->cuda_device_id;
  if (options->provider == GST_COND_INST_SEG_PROVIDER_CPU) {
    GST_INFO_OBJECT (engine->element, "runs on the processor, as asked for");
    return TRUE;
  }
  cond_inst_cuda_find (&engine->cuda, engine->device_id);
  chosen->device = open_device (engine, &error);
  if (!chosen->device) {
    cond_inst_cuda_clear (&engine->cuda);
    if (options->provider == GST_COND_INST_SEG_PROVIDER_CUDA) {
      cond_inst_post_error (engine->element, error,
          "execution-provider=cuda: cannot run on a GPU");
      return FALSE;
    }
    GST_WARNING_OBJECT (engine->element, "runs on the processor: %s",
        error->message);
    engine->fallback = g_strdup (error->message);
    g_error_free (error);
    return TRUE;
  }
  chosen->precision = options->precision == GST_COND_INST_SEG_PRECISION_FP32 ?
      CI_PRECISION_FP32 : CI_PRECISION_FP16;
  /* regions of a frame are looked at one after the other */
  chosen->max_in_flight = chosen->for_regions ? 1 : options->max_in_flight;
  GST_INFO_OBJECT (engine->element, "runs on %s, in %s precision, on up to %d "
      "frames at once", ci_device_get_description (chosen->device),
      chosen->precision == CI_PRECISION_FP16 ? "half" : "single",
      chosen->max_in_flight);
  return TRUE;
}

gboolean
cond_inst_engine_start (CondInstEngine * engine,
    const CondInstOptions * options)
{
  static const CiNms nms_of[] = {
    [GST_COND_INST_SEG_NMS_DEFAULT] = CI_NMS_DEFAULT,
    [GST_COND_INST_SEG_NMS_GREEDY] = CI_NMS_GREEDY,
    [GST_COND_INST_SEG_NMS_FAST] = CI_NMS_FAST,
    [GST_COND_INST_SEG_NMS_FAST_CROSS_CLASS] = CI_NMS_FAST_CROSS_CLASS,
    [GST_COND_INST_SEG_NMS_MATRIX] = CI_NMS_MATRIX,
  };
  CiSessionOptions *chosen = &engine->options;
  GError *error = NULL;

  *chosen = (CiSessionOptions) CI_SESSION_OPTIONS_INIT;
  chosen->threads = options->threads;
  chosen->min_size = options->min_size;
  chosen->max_size = options->max_size;
  chosen->input_width = options->input_width;
  chosen->input_height = options->input_height;
  chosen->resize =
      options->resize_quality == GST_COND_INST_SEG_RESIZE_QUALITY_FAST ?
      CI_RESIZE_FAST : CI_RESIZE_EXACT;
  chosen->full_map = options->full_map;
  chosen->mask_resolution = options->mask_resolution;
  chosen->nms = nms_of[options->nms];
  chosen->for_regions = options->region == GST_COND_INST_SEG_REGION_ROI_LIST;
  if (!choose_device (engine, options))
    return FALSE;
  if (!cond_inst_engine_reopen (engine, options->max_detections, &error)) {
    g_autofree gchar *what = g_strdup_printf ("Cannot run model '%s'",
        ci_model_get_name (engine->model));

    /* there are no frames yet to blame */
    if (g_error_matches (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT)) {
      error->domain = GST_RESOURCE_ERROR;
      error->code = GST_RESOURCE_ERROR_SETTINGS;
    }
    cond_inst_post_error (engine->element, error, what);
    return FALSE;
  }
  return TRUE;
}

void
cond_inst_engine_stop (CondInstEngine * engine)
{
  /* in the order of who uses whom */
  g_clear_pointer (&engine->session, ci_session_free);
  g_clear_pointer (&engine->options.device, ci_device_unref);
  cond_inst_cuda_clear (&engine->cuda);
  g_clear_pointer (&engine->fallback, g_free);
  g_clear_pointer (&engine->source, g_free);
  g_clear_pointer (&engine->classes, g_free);
  g_clear_pointer (&engine->quarks, g_free);
  g_clear_pointer (&engine->labels, g_strfreev);
  g_clear_pointer (&engine->model, ci_model_unref);
  engine->configured = FALSE;
}

void
cond_inst_engine_select (CondInstEngine * engine, const gchar * selected,
    const gchar * excluded)
{
  g_autofree gchar *unknown = NULL;

  g_free (engine->classes);
  engine->classes = cond_inst_labels_select (engine->labels, selected,
      excluded, &unknown);
  if (unknown) {
    g_autofree gchar *valid = g_strjoinv (";", engine->labels);

    GST_ELEMENT_WARNING (engine->element, RESOURCE, SETTINGS,
        ("selected-types and excluded-types: model '%s' has no class %s. Its "
            "classes are %s.", ci_model_get_name (engine->model), unknown,
            valid), (NULL));
  }
}

void
cond_inst_engine_get_params (const CondInstEngine * engine,
    const CondInstOptions * options, CiDetectParams * params)
{
  ci_session_get_detect_params (engine->session, params);
  ci_session_set_score_threshold (engine->session, params,
      options->score_threshold >= 0 ? options->score_threshold
      : ci_model_get_score_threshold (engine->model));
  if (options->iou_threshold >= 0)
    params->nms_threshold = options->iou_threshold;
  if (options->cross_class_iou_threshold >= 0)
    params->cross_class_threshold = options->cross_class_iou_threshold;
  if (options->max_detections > 0)
    params->post_nms_top_k = options->max_detections;
  params->classes = engine->classes;
}

gboolean
cond_inst_engine_reopen (CondInstEngine * engine, guint max_detections,
    GError ** error)
{
  CiDetectParams params;
  CiSession *session;

  engine->options.max_detections = max_detections;
  session = ci_session_new (engine->model, &engine->options, error);
  if (!session)
    return FALSE;
  if (engine->configured
      && !ci_session_configure (session, &engine->format, error)) {
    ci_session_free (session);
    return FALSE;
  }
  g_clear_pointer (&engine->session, ci_session_free);
  engine->session = session;
  ci_session_get_detect_params (session, &params);
  engine->capacity = params.post_nms_top_k;
  return TRUE;
}

gboolean
cond_inst_engine_configure (CondInstEngine * engine,
    const GstVideoInfo * info, const CiImageFormat * format, GError ** error)
{
  if (!ci_session_configure (engine->session, format, error))
    return FALSE;
  engine->info = *info;
  engine->format = *format;
  engine->configured = TRUE;
  return TRUE;
}

gboolean
cond_inst_engine_is_elsewhere (CondInstEngine * engine, GstBuffer * buffer)
{
  return engine->options.device
      && cond_inst_cuda_is_elsewhere (&engine->cuda, buffer,
      engine->device_id);
}

gboolean
cond_inst_engine_follow (CondInstEngine * engine, GstBuffer * buffer,
    GError ** error)
{
  gpointer context = cond_inst_cuda_replace (&engine->cuda,
      cond_inst_cuda_ref_context_of (buffer));
  CiDevice *device = engine->options.device;
  gboolean ok;

  engine->options.device = open_device (engine, error);
  ok = engine->options.device && cond_inst_engine_reopen (engine,
      engine->options.max_detections, error);
  if (ok) {
    GST_INFO_OBJECT (engine->element, "follows the frames to %s",
        ci_device_get_description (engine->options.device));
  } else {
    CiDevice *refused = engine->options.device;

    engine->options.device = device;
    device = refused;
    context = cond_inst_cuda_replace (&engine->cuda, context);
  }
  /* nothing may use a context when it goes */
  ci_device_unref (device);
  if (context)
    gst_object_unref (context);
  return ok;
}

void
cond_inst_engine_forget_frames (CondInstEngine * engine)
{
  const CiInstance *found;
  gint n;

  while (engine->session && ci_session_get_in_flight (engine->session) > 0)
    ci_session_collect (engine->session, &found, &n, NULL);
}

guint
cond_inst_engine_get_max_in_flight (const CondInstEngine * engine)
{
  return MAX (engine->options.max_in_flight, 1);
}

gboolean
cond_inst_engine_propose_pool (CondInstEngine * engine, GstQuery * query)
{
  guint n_waiting = cond_inst_engine_get_max_in_flight (engine) - 1;
  gboolean added = cond_inst_cuda_propose_pool (&engine->cuda, query);

  for (guint i = 0; i < gst_query_get_n_allocation_pools (query); i++) {
    GstBufferPool *pool;
    guint size, min, max;

    gst_query_parse_nth_allocation_pool (query, i, &pool, &size, &min, &max);
    min += n_waiting;
    if (max > 0)
      max = MAX (max, min);
    gst_query_set_nth_allocation_pool (query, i, pool, size, min, max);
    if (pool)
      gst_object_unref (pool);
  }
  return added;
}

GstStructure *
cond_inst_engine_describe (const CondInstEngine * engine)
{
  const CiSessionOptions *o = &engine->options;
  const gchar *provider = o->device ? "cuda" : "cpu";
  gint width = 0, height = 0, padded_width = 0, padded_height = 0;
  g_autofree gchar *size = NULL;
  GstStructure *s;

  s = gst_structure_new ("condinstseg-stats",
      "provider", G_TYPE_STRING, provider,
      "execution-provider", G_TYPE_STRING, provider,
      "device", G_TYPE_STRING,
      o->device ? ci_device_get_description (o->device) : "CPU",
      "precision", G_TYPE_STRING,
      o->device && o->precision == CI_PRECISION_FP16 ? "fp16" : "fp32",
      "model", G_TYPE_STRING, ci_model_get_name (engine->model), NULL);
  if (engine->fallback)
    gst_structure_set (s, "fallback-reason", G_TYPE_STRING, engine->fallback,
        NULL);
  if (engine->configured) {
    ci_session_get_input_size (engine->session, &width, &height,
        &padded_width, &padded_height);
    size = g_strdup_printf ("%dx%d", padded_width, padded_height);
  }
  gst_structure_set (s, "input-size", G_TYPE_STRING, size, NULL);
  return s;
}
