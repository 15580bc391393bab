/*
 * session.c: frames in, instances out: pre-processing, a plan per input size,
 * and the way back from network to frame coordinates (SEMANTICS 10).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "session_priv.h"

#include <string.h>

/* Formats whose plans are kept: a stream that changes between a few sizes
 * finds them all again. */
#define MAX_FORMATS 4

#define MAX_SIZE 16384
#define MAX_DETECTIONS 10000

static void
sized_plan_unref (SizedPlan * sized)
{
  if (!sized || --sized->refs)
    return;
  ci_plan_free (sized->plan);
  g_free (sized);
}

static Scaling *
scaling_new (const CiImageFormat * image, const CiPreprocessOptions * options,
    GError ** error)
{
  CiPreprocess *pre = ci_preprocess_new (image, options, error);
  Scaling *scaling;

  if (!pre)
    return NULL;
  scaling = g_new (Scaling, 1);
  *scaling = (Scaling) {
  1, *image, *options, pre};
  return scaling;
}

static Scaling *
scaling_ref (Scaling * scaling)
{
  scaling->refs++;
  return scaling;
}

static void
scaling_unref (Scaling * scaling)
{
  if (!scaling || --scaling->refs)
    return;
  ci_preprocess_free (scaling->pre);
  g_free (scaling);
}

static void
format_free (Format * format)
{
  scaling_unref (format->whole);
  sized_plan_unref (format->sized);
  g_free (format);
}

static gboolean
check_options (const CiSessionOptions * o, GError ** error)
{
  if (o->threads < 0 || o->min_size < 0 || o->max_size < 0
      || o->input_width < 0 || o->input_height < 0 || o->max_detections < 0
      || o->max_in_flight < 0 || o->batch < 0) {
    g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "negative option: threads %d, min-size %d, max-size %d, input %dx%d, "
        "max-detections %d, max-in-flight %d, batch %d", o->threads,
        o->min_size, o->max_size, o->input_width, o->input_height,
        o->max_detections, o->max_in_flight, o->batch);
    return FALSE;
  }
  if (MAX (o->min_size, o->max_size) > MAX_SIZE
      || MAX (o->input_width, o->input_height) > MAX_SIZE
      || o->max_detections > MAX_DETECTIONS
      || o->max_in_flight > CI_SESSION_MAX_IN_FLIGHT
      || o->batch > CI_MAX_BATCH) {
    g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "min-size %d, max-size %d and input %dx%d can be at most %d, "
        "max-detections %d at most %d, max-in-flight %d at most %d, batch %d "
        "at most %d", o->min_size, o->max_size, o->input_width,
        o->input_height, MAX_SIZE, o->max_detections, MAX_DETECTIONS,
        o->max_in_flight, CI_SESSION_MAX_IN_FLIGHT, o->batch, CI_MAX_BATCH);
    return FALSE;
  }
  if (o->backend == CI_BACKEND_CUDA && !o->device) {
    g_set_error_literal (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "the CUDA backend needs a device");
    return FALSE;
  }
  if (!o->input_width != !o->input_height) {
    g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "input width (%d) and height (%d) have to be given together",
        o->input_width, o->input_height);
    return FALSE;
  }
  return TRUE;
}

const gchar *const ci_nms_names[] = {
  [CI_NMS_DEFAULT] = "default",
  [CI_NMS_GREEDY] = "greedy",
  [CI_NMS_FAST] = "fast",
  [CI_NMS_FAST_CROSS_CLASS] = "fast-cross-class",
  [CI_NMS_MATRIX] = "matrix",
  [CI_NMS_MATRIX + 1] = NULL
};

/* Whether @wanted is among @choices, which 0 ends, or 0 itself; else @known
 * lists them. */
static gboolean
find_choice (const gint * choices, gint wanted, const gchar * const *names,
    gchar ** known)
{
  g_autoptr (GString) list = g_string_new (NULL);

  for (; *choices && wanted; choices++) {
    if (*choices == wanted)
      return TRUE;
    g_string_append (list, list->len ? ", " : "");
    if (names)
      g_string_append (list, names[*choices]);
    else
      g_string_append_printf (list, "%d", *choices);
  }
  *known = g_strdup (list->str);
  return !wanted;
}

/* Whether the model's method can do what users choose of it. */
static gboolean
check_choices (const CiModel * model, const CiSessionOptions * o,
    GError ** error)
{
  static const gint greedy[] = { CI_NMS_GREEDY, 0 };
  const CiMethod *method =
      ci_methods[ci_model_get_config (model)->architecture];
  g_autofree gchar *nms = NULL, *resolutions = NULL;

  if (!find_choice (method->nms ? method->nms : greedy, o->nms, ci_nms_names,
          &nms)) {
    g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "nms %s: %s has only %s", ci_nms_names[o->nms], method->title, nms);
    return FALSE;
  }
  if (o->mask_resolution && !method->mask_resolutions) {
    g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "mask-resolution %d: masks of %s have the resolution that the network "
        "gives them", o->mask_resolution, method->title);
    return FALSE;
  }
  if (o->mask_resolution && !find_choice (method->mask_resolutions,
          o->mask_resolution, NULL, &resolutions)) {
    g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "mask-resolution %d: %s has only %s", o->mask_resolution,
        method->title, resolutions);
    return FALSE;
  }
  return TRUE;
}

CiSession *
ci_session_new (CiModel * model, const CiSessionOptions * options,
    GError ** error)
{
  CiBuildOptions build = { 0, options->full_map, options->keep_tensors,
    options->mask_resolution
  };
  CiSession *session;

  if (!check_options (options, error)
      || !check_choices (model, options, error))
    return NULL;
  session = g_new0 (CiSession, 1);
  session->model = ci_model_ref (model);
  session->config = ci_model_get_config (model);
  session->options = *options;
  if (options->device) {
    ci_device_ref (options->device);
    session->options.backend = CI_BACKEND_CUDA;
  } else {
    session->options.max_in_flight = session->options.batch = 1;
  }
  session->capacity = options->max_detections ? options->max_detections
      : session->config->inference.post_nms_top_k;
  build.capacity = session->capacity;
  session->pool = ci_pool_new (options->threads);
  session->graph = ci_network_build (session->config, &build);
  session->formats =
      g_ptr_array_new_with_free_func ((GDestroyNotify) format_free);
  session->instances = g_new0 (CiInstance, session->capacity);
  return session;
}

void
ci_session_free (CiSession * session)
{
  if (!session)
    return;
  while (session->n_flights) {
    ci_plan_collect (session->current->sized->plan, NULL);
    scaling_unref (session->flights[--session->n_flights].scaling);
  }
  scaling_unref (session->view.scaling);
  scaling_unref (session->region);
  g_ptr_array_unref (session->formats);
  ci_graph_free (session->graph);
  ci_pool_free (session->pool);
  g_free (session->instances);
  g_free (session->grids);
  ci_model_unref (session->model);
  ci_device_unref (session->options.device);
  g_free (session);
}

/* ---- formats ----------------------------------------------------------- */

static gint
round_up (gint n, gint divisor)
{
  return (n + divisor - 1) / divisor * divisor;
}

/* The size that keeps the shape of @image in a box; all of the box, if a
 * network sees every frame in one shape. */
static void
fit (const CiImageFormat * image, gint width, gint height, CiSizeRule rule,
    CiPreprocessOptions * out)
{
  gdouble scale = MIN ((gdouble) width / image->width,
      (gdouble) height / image->height);

  if (rule == CI_SIZE_FIXED) {
    out->resized_width = width;
    out->resized_height = height;
    return;
  }
  /* an image of extreme shape keeps a pixel */
  out->resized_width = CLAMP ((gint) (image->width * scale + 0.5), 1, width);
  out->resized_height = CLAMP ((gint) (image->height * scale + 0.5), 1, height);
}

static void
choose_size (const CiSession * session, const CiImageFormat * image,
    CiPreprocessOptions * out)
{
  const CiSessionOptions *o = &session->options;
  const CiConfig *config = session->config;
  CiSizeRule rule = config->input.size_rule;
  gint divisor = config->input.size_divisor;

  if (o->input_width) {
    fit (image, o->input_width, o->input_height, rule, out);
  } else {
    gint min_size = o->min_size ? o->min_size : config->input.min_size;
    gint max_size = o->max_size ? o->max_size : config->input.max_size;

    /* of networks that see squares, either stands for both */
    if (rule == CI_SIZE_FIXED && config->input.min_size
        == config->input.max_size && !o->min_size != !o->max_size)
      min_size = max_size = o->min_size ? o->min_size : o->max_size;
    /* a larger short side lifts the model's limit, never the user's */
    else if (!o->max_size)
      max_size = MAX (min_size, max_size);
    ci_resize_get_size (rule, image->width, image->height, min_size, max_size,
        &out->resized_width, &out->resized_height);
  }
  out->padded_width = round_up (o->for_regions && o->input_width ?
      o->input_width : out->resized_width, divisor);
  out->padded_height = round_up (o->for_regions && o->input_width ?
      o->input_height : out->resized_height, divisor);
}

static SizedPlan *
get_plan (CiSession * session, gint width, gint height, GError ** error)
{
  const CiSessionOptions *o = &session->options;
  CiPlanOptions options = {
    .backend = o->backend,.pool = session->pool,
    .height = height,.width = width,.keep_named = o->keep_tensors,
    .device = o->device,.precision = o->precision,
    .max_in_flight = o->max_in_flight,.batch = o->batch
  };
  SizedPlan *sized;
  CiPlan *plan;

  for (guint i = 0; i < session->formats->len; i++) {
    sized = ((Format *) g_ptr_array_index (session->formats, i))->sized;
    if (sized->width == width && sized->height == height) {
      sized->refs++;
      return sized;
    }
  }
  plan = ci_plan_compile (session->graph,
      ci_model_get_weights (session->model), &options, error);
  if (!plan) {
    g_prefix_error (error, "%s: ", ci_model_get_name (session->model));
    return NULL;
  }
  sized = g_new0 (SizedPlan, 1);
  *sized = (SizedPlan) {
  1, width, height, plan};
  return sized;
}

static gboolean
same_format (const CiImageFormat * a, const CiImageFormat * b)
{
  return a->pixel_format == b->pixel_format && a->width == b->width
      && a->height == b->height && a->matrix == b->matrix
      && a->full_range == b->full_range;
}

static Format *
new_format (CiSession * session, const CiImageFormat * image, GError ** error)
{
  const CiConfig *config = session->config;
  CiPreprocessOptions pre_options = { 0 };
  Format *format;

  if (image->width < 1 || image->height < 1) {
    g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "a frame cannot be %dx%d pixels", image->width, image->height);
    return NULL;
  }
  format = g_new0 (Format, 1);
  pre_options.rgb = config->input.rgb;
  pre_options.quality = session->options.resize == CI_RESIZE_EXACT
      ? config->input.interpolation : session->options.resize;
  pre_options.on_device = session->options.device != NULL;
  memcpy (pre_options.mean, config->input.pixel_mean,
      sizeof (pre_options.mean));
  memcpy (pre_options.std, config->input.pixel_std, sizeof (pre_options.std));
  choose_size (session, image, &pre_options);
  if (!(format->whole = scaling_new (image, &pre_options, error))
      || !(format->sized = get_plan (session, pre_options.padded_width,
              pre_options.padded_height, error))) {
    format_free (format);
    return NULL;
  }
  return format;
}

gboolean
ci_session_configure (CiSession * session, const CiImageFormat * image,
    GError ** error)
{
  GPtrArray *formats = session->formats;
  Format *format = NULL;
  gsize needed;

  if (session->n_flights) {
    g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "%d frames of another format are in flight", session->n_flights);
    return FALSE;
  }
  for (guint i = 0; i < formats->len && !format; i++)
    if (same_format (&((Format *) g_ptr_array_index (formats,
                    i))->whole->image, image))
      format = g_ptr_array_steal_index (formats, i);
  if (!format && !(format = new_format (session, image, error)))
    return FALSE;

  needed = session->capacity * ci_plan_get_grid_size (format->sized->plan);
  if (needed > session->grids_size) {
    guint8 *grids = g_try_realloc (session->grids, needed);

    if (!grids) {
      g_set_error (error, CI_ERROR, CI_ERROR_OUT_OF_MEMORY,
          "out of memory: %d mask grids", session->capacity);
      format_free (format);
      return FALSE;
    }
    session->grids = grids;
    session->grids_size = needed;
  }
  g_ptr_array_add (formats, format);
  session->current = format;
  g_clear_pointer (&session->view.scaling, scaling_unref);
  g_clear_pointer (&session->region, scaling_unref);
  session->n_instances = 0;
  if (formats->len > MAX_FORMATS)
    g_ptr_array_remove_index (formats, 0);
  return TRUE;
}

/* ---- running ----------------------------------------------------------- */

void
ci_session_get_detect_params (const CiSession * session,
    CiDetectParams * params)
{
  const CiConfig *config = session->config;

  *params = (CiDetectParams) {
  config->inference.inference_threshold, config->inference.nms_threshold,
        config->inference.pre_nms_top_k, session->capacity, NULL,
        config->inference.cross_class_threshold, session->options.nms};
}

void
ci_session_set_score_threshold (const CiSession * session,
    CiDetectParams * params, gfloat threshold)
{
  const CiConfig *config = session->config;

  params->score_threshold = threshold;
  /* FCOS' scores are roots of what is compared; others' later steps take from
   * the scores of candidates */
  params->inference_threshold = config->fcos.n_levels ? threshold * threshold
      : MIN (config->inference.inference_threshold, threshold);
}

/* The grid of @mask as bytes at @cells, and where it lies in the frame. */
static void
set_grid (const CiSession * session, const CiMaskGrid * mask, guint8 * cells,
    CiInstance * out)
{
  const View *view = &session->view;
  const CiImageFormat *image = &view->scaling->image;
  const CiPreprocessOptions *pre = &view->scaling->pre_options;
  gfloat sx = (gdouble) image->width / pre->resized_width;
  gfloat sy = (gdouble) image->height / pre->resized_height;
  gsize n = (gsize) mask->width * mask->height;

  if (mask->cells)
    memcpy (cells, mask->cells, n);
  else
    ci_mask_quantise (mask->prob, cells, n);
  out->grid = cells;
  out->grid_width = mask->width;
  out->grid_height = mask->height;
  if (mask->in_box) {
    const gfloat found[4] = { out->x0, out->y0, out->x1, out->y1 };
    gfloat box[4];

    if (session->config->paste == CI_PASTE_PIXEL_BOX)
      ci_mask_pixel_box (mask->width, found, box);
    else
      memcpy (box, found, sizeof (box));
    /* in detectron2, 0.5 itself belongs to the object (SEMANTICS 11) */
    for (gsize i = 0; i < n && !mask->cells
        && session->config->paste == CI_PASTE_BOX; i++)
      if (mask->prob[i] == 0.5f)
        cells[i] = 128;
    out->scale_x = (box[2] - box[0]) / mask->width;
    out->scale_y = (box[3] - box[1]) / mask->height;
    out->offset_x = box[0];
    out->offset_y = box[1];
  } else {
    out->scale_x = mask->scale_x * sx;
    out->scale_y = mask->scale_y * sy;
    out->offset_x = view->x + mask->offset_x * sx;
    out->offset_y = view->y + mask->offset_y * sy;
  }
}

/* In descending score; few are out of order. */
static void
sort_instances (CiInstance * instances, gint n)
{
  for (gint i = 1; i < n; i++) {
    CiInstance moved = instances[i];
    gint k = i;

    for (; k > 0 && instances[k - 1].score < moved.score; k--)
      instances[k] = instances[k - 1];
    instances[k] = moved;
  }
}

/* Boxes to the frame and clipped to the view, grids to bytes. */
static void
collect_instances (CiSession * session)
{
  const Format *format = session->current;
  const View *view = &session->view;
  const CiImageFormat *image = &view->scaling->image;
  const CiPreprocessOptions *pre = &view->scaling->pre_options;
  gint x0 = view->x, y0 = view->y;
  gint x1 = x0 + image->width, y1 = y0 + image->height;
  gfloat sx = (gdouble) image->width / pre->resized_width;
  gfloat sy = (gdouble) image->height / pre->resized_height;
  guint8 *cells = session->grids;
  CiDetections d;

  session->n_instances = 0;
  ci_plan_get_detections (format->sized->plan, &d);
  for (gint i = 0; i < d.count; i++) {
    CiInstance *out = &session->instances[session->n_instances];
    const gfloat *box = d.boxes + 4 * i;
    CiMaskGrid mask;

    *out = (CiInstance) {
    CLAMP (x0 + box[0] * sx, x0, x1), CLAMP (y0 + box[1] * sy, y0, y1),
          CLAMP (x0 + box[2] * sx, x0, x1), CLAMP (y0 + box[3] * sy, y0, y1),
          d.mask_scores ? d.mask_scores[i] : d.scores[i], d.classes[i]};
    if (out->x1 <= out->x0 || out->y1 <= out->y0)
      continue;
    out->detection = i;
    if (ci_plan_get_mask (format->sized->plan, i, &mask) && mask.width
        && mask.height) {
      set_grid (session, &mask, cells, out);
      cells += (gsize) mask.width * mask.height;
    }
    session->n_instances++;
  }
  if (d.mask_scores)
    sort_instances (session->instances, session->n_instances);
}

/* Sets @view to @region of the frame. */
static gboolean
choose_region (CiSession * session, const CiRegion * region, View * view,
    GError ** error)
{
  const Scaling *whole = session->current->whole;
  CiImageFormat image = whole->image;
  CiPreprocessOptions pre_options = whole->pre_options;
  /* chroma samples are not split */
  gboolean halved = image.pixel_format == CI_PIXEL_NV12
      || image.pixel_format == CI_PIXEL_I420
      || image.pixel_format == CI_PIXEL_P010;
  gint64 x0 = MAX (region->x, 0), y0 = MAX (region->y, 0);
  gint64 x1 = MIN ((gint64) region->x + region->width, image.width);
  gint64 y1 = MIN ((gint64) region->y + region->height, image.height);

  if (x0 >= x1 || y0 >= y1) {
    g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "the region %dx%d at (%d, %d) has no pixel of a frame of %dx%d",
        region->width, region->height, region->x, region->y, image.width,
        image.height);
    return FALSE;
  }
  view->x = halved ? x0 & ~1 : x0;
  view->y = halved ? y0 & ~1 : y0;
  image.width = MIN (halved ? (x1 + 1) & ~1 : x1, image.width) - view->x;
  image.height = MIN (halved ? (y1 + 1) & ~1 : y1, image.height) - view->y;
  if (!session->region || !same_format (&image, &session->region->image)) {
    Scaling *scaling;

    fit (&image, pre_options.padded_width, pre_options.padded_height,
        session->config->input.size_rule, &pre_options);
    if (!(scaling = scaling_new (&image, &pre_options, error)))
      return FALSE;
    scaling_unref (session->region);
    session->region = scaling;
  }
  view->scaling = session->region;
  return TRUE;
}

gboolean
ci_session_submit (CiSession * session, const CiImage * image,
    const CiRegion * region, const CiDetectParams * params, GError ** error)
{
  Format *format = session->current;
  CiDetectParams defaults;
  View view = { 0 };
  CiImage part;

  if (!format) {
    g_set_error_literal (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "the session has not been configured for a frame format");
    return FALSE;
  }
  if (!params) {
    ci_session_get_detect_params (session, &defaults);
    params = &defaults;
  }
  view.scaling = format->whole;
  if (region && !choose_region (session, region, &view, error))
    return FALSE;
  ci_image_crop (&view.scaling->image, image, view.x, view.y, &part);
  /* the plan refuses more frames than it was made for */
  if (!ci_plan_submit (format->sized->plan, view.scaling->pre, &part, params,
          error))
    return FALSE;
  scaling_ref (view.scaling);
  session->flights[session->n_flights++] = view;
  return TRUE;
}

gboolean
ci_session_collect (CiSession * session, const CiInstance ** instances,
    gint * n, GError ** error)
{
  View view = session->flights[0];

  if (!session->n_flights) {
    g_set_error_literal (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "no frame is in flight");
    return FALSE;
  }
  session->n_flights--;
  memmove (session->flights, session->flights + 1,
      session->n_flights * sizeof (View));
  session->n_instances = 0;
  g_clear_pointer (&session->view.scaling, scaling_unref);
  if (!ci_plan_collect (session->current->sized->plan, error)) {
    scaling_unref (view.scaling);
    return FALSE;
  }
  session->view = view;
  collect_instances (session);
  *instances = session->instances;
  *n = session->n_instances;
  return TRUE;
}

gint
ci_session_get_in_flight (const CiSession * session)
{
  return session->n_flights;
}

gboolean
ci_session_run_region (CiSession * session, const CiImage * image,
    const CiRegion * region, const CiDetectParams * params,
    const CiInstance ** instances, gint * n, GError ** error)
{
  if (session->n_flights) {
    g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "%d frames are in flight", session->n_flights);
    return FALSE;
  }
  session->n_instances = 0;
  g_clear_pointer (&session->view.scaling, scaling_unref);
  return ci_session_submit (session, image, region, params, error)
      && ci_session_collect (session, instances, n, error);
}

gboolean
ci_session_run (CiSession * session, const CiImage * image,
    const CiDetectParams * params, const CiInstance ** instances, gint * n,
    GError ** error)
{
  return ci_session_run_region (session, image, NULL, params, instances, n,
      error);
}

const gfloat *
ci_session_get_probabilities (const CiMaskGrid * grid, gfloat ** owned)
{
  gsize n = (gsize) grid->width * grid->height;

  if (grid->prob)
    return grid->prob;
  *owned = g_new (gfloat, n);
  for (gsize i = 0; i < n; i++)
    (*owned)[i] = grid->cells[i] / 255.0f;
  return *owned;
}

gboolean
ci_session_paste_mask (CiSession * session, const CiInstance * instance,
    gfloat threshold, guint8 * dst, GError ** error)
{
  const View *view = &session->view;
  const CiPreprocessOptions *pre;
  const CiImageFormat *image;
  CiMaskGrid grid;
  CiPaste paste;

  if (!view->scaling || !ci_plan_get_mask (session->current->sized->plan,
          instance->detection, &grid)) {
    g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "no mask of detection %d", instance->detection);
    return FALSE;
  }
  image = &view->scaling->image;
  pre = &view->scaling->pre_options;
  paste = session->config->paste;
  if (grid.in_box) {
    g_autofree gfloat *owned = NULL;
    gfloat box[4] = { instance->x0 - view->x, instance->y0 - view->y,
      instance->x1 - view->x, instance->y1 - view->y
    };

    (paste == CI_PASTE_PIXEL_BOX ? ci_mask_paste_pixel_box : ci_mask_paste_box)
        (ci_session_get_probabilities (&grid, &owned), grid.width, box,
        image->width, image->height, threshold, dst);
    return TRUE;
  }
  if (!session->options.full_map) {
    g_set_error_literal (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "exact masks need a session with full_map");
    return FALSE;
  }
  if (paste == CI_PASTE_BILINEAR)
    ci_mask_paste_bilinear (&grid, pre->padded_width, pre->padded_height,
        pre->resized_width, pre->resized_height, image->width, image->height,
        threshold, dst);
  else
    ci_mask_paste (&grid, session->config->condinst.mask_out_stride,
        pre->resized_width, pre->resized_height, image->width, image->height,
        threshold, dst);
  return TRUE;
}

void
ci_session_get_times (const CiSession * session, CiSessionTimes * out)
{
  CiPlanTimes times = { 0 };

  if (session->current)
    ci_plan_get_times (session->current->sized->plan, &times);
  *out = (CiSessionTimes) {
  times.preprocess_ns, times.network_ns, times.decode_ns, times.masks_ns};
}

void
ci_session_get_input_size (const CiSession * session, gint * resized_width,
    gint * resized_height, gint * padded_width, gint * padded_height)
{
  CiPreprocessOptions none = { 0 };
  const CiPreprocessOptions *o = session->current ?
      &session->current->whole->pre_options : &none;

  *resized_width = o->resized_width;
  *resized_height = o->resized_height;
  *padded_width = o->padded_width;
  *padded_height = o->padded_height;
}

gdouble
ci_session_get_gflop (const CiSession * session)
{
  return session->current ?
      ci_plan_get_flops (session->current->sized->plan) / 1e9 : 0;
}
