/* GStreamer instance segmentation
 *
 * gstcondinstseg.c: finds objects and their masks in video
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/**
 * SECTION:element-condinstseg
 * @title: condinstseg
 * @short_description: Finds objects in video and attaches a mask of each
 *
 * condinstseg runs an instance segmentation network (CondInst, "Conditional
 * Convolutions for Instance Segmentation") on the frames that pass through it
 * and attaches a #GstInstanceMaskMeta with one entry per object: class, score,
 * box and a soft mask. The pixels are only read, so a frame that a tee shares
 * with other branches is never copied. maskoverlay draws the result.
 *
 * The model is a file of weights, see #GstCondInstSeg:model-file. A small one
 * is installed with the element and used by default. Elements that run the same
 * file share one copy of its weights.
 *
 * A frame without inference, be it because of
 * #GstCondInstSeg:inference-interval or because it is late and
 * #GstCondInstSeg:qos is on, carries the objects of the last inferred frame
 * with %GST_INSTANCE_MASK_FLAG_PREDICTED. Late frames are never dropped here,
 * and the decoder is not asked to drop them for what inference took. Even if
 * all frames are late, one per second or so is inferred. Where inference takes
 * longer than a frame lasts, a queue behind condinstseg makes for smooth
 * playback; live pipelines are told the latency that inference adds.
 *
 * With #GstCondInstSeg:inference-region `roi-list` only the regions that a
 * detector upstream attached to the frame are looked at: that finds far
 * smaller objects, and costs nothing where there are none.
 *
 * With #GstCondInstSeg:post-messages each frame posts an element message named
 * `condinstseg` on the bus, with the fields
 *
 * * #GstClockTime `timestamp`, `stream-time`, `running-time`, `duration`: of
 *   the frame
 * * #gboolean `inferred`: whether this very frame was looked at
 * * #guint `instances`: number of objects
 * * #GstStructure `counts`: a #guint field per class that was found, named by
 *   its label
 *
 * ## Example launch line
 * |[
 * gst-launch-1.0 filesrc location=in.mp4 ! decodebin ! videoconvert ! condinstseg ! maskoverlay ! videoconvert ! autovideosink
 * ]| Shows a video with its objects marked.
 * |[
 * gst-launch-1.0 -m v4l2src ! videoconvert ! condinstseg selected-types="person" post-messages=true ! fakesink
 * ]| Prints how many people a camera sees.
 *
 * Since: 0.1
 */
#include <string.h>

#include <gst/instancemask/instancemask.h>
#include <gst/video/video.h>

#include "models.h"

#include "../frametime.h"
#include "condinstanalytics.h"
#include "condinsterror.h"
#include "condinstformat.h"
#include "condinstlabels.h"
#include "condinstoptions.h"
#include "condinstqos.h"
#include "condinstresult.h"
#include "condinstshare.h"
#include "condinststats.h"
#include "gstcondinstseg.h"

GST_DEBUG_CATEGORY_STATIC (cond_inst_seg_debug);
#define GST_CAT_DEFAULT cond_inst_seg_debug

#define FORMATS "{ NV12, I420, P010_10LE, RGB, BGR, RGBA, BGRA, RGBx, " \
    "BGRx, GRAY8 }"
#define VIDEO_CAPS "video/x-raw, format = (string) " FORMATS ", " \
    "width = (int) [ 1, 32767 ], height = (int) [ 1, 32767 ], " \
    "framerate = " GST_VIDEO_FPS_RANGE

/* How often, in inferred frames, the latency is looked at again. */
#define LATENCY_PERIOD 16

struct _GstCondInstSeg
{
  GstBaseTransform parent;

  /* under the object lock */
  CondInstOptions options;
  gboolean filters_changed;     /* selected, excluded types, object class */
  CondInstQos qos;
  GstClockTime latency;         /* what LATENCY queries are told */
  gboolean live;
  CondInstStats stats;
  gchar *model_name, *input_size;       /* for stats */

  /* from start() to stop() */
  CiModel *model;
  gchar *source;                /* that metadata names */
  gchar **labels;
  GQuark *quarks;               /* the same, as quarks */

  /* streaming thread, from start() to stop() */
  CiSessionOptions session_options;
  CiSession *session;
  guint capacity;               /* detections that it has room for */
  guint8 *classes;              /* flags of wanted classes */
  gchar **region_types;         /* wanted ones; NULL: all */
  gboolean configured;          /* there are caps: `info` and `format` */
  GstVideoInfo info;
  CiImageFormat format;
  gboolean lacks_analytics;     /* and a warning was posted */
  CiImageFormat refused;        /* what an error was posted about already */

  /* the last inferred frame */
  gboolean have_result;
  CondInstResult result;
  guint result_age;             /* frames that had it so far */
};

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE ("sink",
    GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS (VIDEO_CAPS));
static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE ("src",
    GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS (VIDEO_CAPS));

G_DEFINE_TYPE_WITH_CODE (GstCondInstSeg, gst_cond_inst_seg,
    GST_TYPE_BASE_TRANSFORM,
    GST_DEBUG_CATEGORY_INIT (cond_inst_seg_debug, "condinstseg", 0,
        "instance segmentation"));
GST_ELEMENT_REGISTER_DEFINE (condinstseg, "condinstseg", GST_RANK_NONE,
    GST_TYPE_COND_INST_SEG);

/* ---- inference --------------------------------------------------------- */

/* (Re)makes the session for at most @max_detections objects; 0 = the model's
 * own limit. */
static gboolean
open_session (GstCondInstSeg * self, guint max_detections, GError ** error)
{
  CiDetectParams params;
  CiSession *session;

  self->session_options.max_detections = max_detections;
  session = ci_session_new (self->model, &self->session_options, error);
  if (!session)
    return FALSE;
  if (self->configured
      && !ci_session_configure (session, &self->format, error)) {
    ci_session_free (session);
    return FALSE;
  }
  g_clear_pointer (&self->session, ci_session_free);
  self->session = session;
  ci_session_get_detect_params (session, &params);
  self->capacity = params.post_nms_top_k;
  return TRUE;
}

/* Reads the filters of classes and regions again if they changed. */
static void
update_filters (GstCondInstSeg * self)
{
  g_autofree gchar *selected = NULL, *excluded = NULL, *unknown = NULL;

  GST_OBJECT_LOCK (self);
  if (self->classes && !self->filters_changed) {
    GST_OBJECT_UNLOCK (self);
    return;
  }
  self->filters_changed = FALSE;
  selected = g_strdup (self->options.selected_types);
  excluded = g_strdup (self->options.excluded_types);
  g_strfreev (self->region_types);
  self->region_types = self->options.object_class ?
      g_strsplit (self->options.object_class, ";", -1) : NULL;
  GST_OBJECT_UNLOCK (self);

  g_free (self->classes);
  self->classes = cond_inst_labels_select (self->labels, selected, excluded,
      &unknown);
  if (unknown) {
    g_autofree gchar *valid = g_strjoinv (";", self->labels);

    GST_ELEMENT_WARNING (self, RESOURCE, SETTINGS,
        ("selected-types and excluded-types: model '%s' has no class %s. Its "
            "classes are %s.", ci_model_get_name (self->model), unknown,
            valid), (NULL));
  }
}

/* Maximum detections, thresholds and classes for the next run. */
static gboolean
prepare_run (GstCondInstSeg * self, const CondInstOptions * options,
    CiDetectParams * params)
{
  GError *error = NULL;

  update_filters (self);
  if (options->max_detections == 0 ? self->session_options.max_detections != 0 :
      options->max_detections > self->capacity) {
    if (!open_session (self, options->max_detections, &error)) {
      cond_inst_post_error (GST_ELEMENT (self), error,
          "Cannot change max-detections");
      return FALSE;
    }
  }

  ci_session_get_detect_params (self->session, params);
  /* scores are square roots of what the engine compares */
  params->inference_threshold = options->score_threshold >= 0 ?
      options->score_threshold : ci_model_get_score_threshold (self->model);
  params->inference_threshold *= params->inference_threshold;
  if (options->iou_threshold >= 0)
    params->nms_threshold = options->iou_threshold;
  if (options->cross_class_iou_threshold >= 0)
    params->cross_class_threshold = options->cross_class_iou_threshold;
  if (options->max_detections > 0)
    params->post_nms_top_k = options->max_detections;
  params->classes = self->classes;
  return TRUE;
}

/* Looks into @region of a frame (NULL: all of it) and adds what it finds to
 * the result, and what it takes to @times_ns. */
static gboolean
look (GstCondInstSeg * self, const CiImage * image, const CiRegion * region,
    const CiDetectParams * params, gfloat mask_threshold, gint64 * times_ns)
{
  GError *error = NULL;
  CiSessionTimes times;
  const CiInstance *found;
  gint n = 0;

  if (!ci_session_run_region (self->session, image, region, params, &found,
          &n, &error)) {
    cond_inst_post_error (GST_ELEMENT (self), error,
        "Cannot look for objects in a frame");
    return FALSE;
  }
  cond_inst_result_add (&self->result, found, n, self->quarks, mask_threshold,
      params);
  ci_session_get_times (self->session, &times);
  times_ns[COND_INST_STAGE_PREPROCESS] += times.preprocess_ns;
  times_ns[COND_INST_STAGE_NETWORK] += times.network_ns;
  times_ns[COND_INST_STAGE_DECODE] += times.decode_ns;
  times_ns[COND_INST_STAGE_MASKS] += times.masks_ns;
  return TRUE;
}

/* Looks into the regions of interest of @buf that are of a wanted type. */
static gboolean
look_into_regions (GstCondInstSeg * self, GstBuffer * buf,
    const CiImage * image, const CiDetectParams * params,
    gfloat mask_threshold, gint64 * times_ns)
{
  const gchar *const *types = (const gchar * const *) self->region_types;
  GstVideoRegionOfInterestMeta *roi;
  gpointer state = NULL;

  while ((roi = (GstVideoRegionOfInterestMeta *)
          gst_buffer_iterate_meta_filtered (buf, &state,
              GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE))) {
    const gchar *type = g_quark_to_string (roi->roi_type);
    CiRegion region = { MIN (roi->x, G_MAXINT), MIN (roi->y, G_MAXINT),
      MIN (roi->w, G_MAXINT), MIN (roi->h, G_MAXINT)
    };

    if (types && !(type && g_strv_contains (types, type)))
      continue;
    /* trackers let regions leave the frame */
    if (region.x >= self->format.width || region.y >= self->format.height
        || region.width == 0 || region.height == 0)
      continue;
    if (!look (self, image, &region, params, mask_threshold, times_ns))
      return FALSE;
  }
  cond_inst_result_truncate (&self->result, params->post_nms_top_k);
  return TRUE;
}

/* Runs the network on @buf and keeps what it finds. */
static gboolean
infer (GstCondInstSeg * self, GstBuffer * buf, const CondInstOptions * options)
{
  GstBaseTransform *trans = GST_BASE_TRANSFORM (self);
  gint64 times_ns[COND_INST_N_STAGES] = { 0 };
  gint64 start = g_get_monotonic_time ();
  CiImage image = { {NULL}, {0} };
  CiDetectParams params;
  GstVideoFrame frame;
  gboolean ok;

  if (!prepare_run (self, options, &params))
    return FALSE;
  if (!gst_video_frame_map (&frame, &self->info, buf,
          GST_MAP_READ | GST_VIDEO_FRAME_MAP_FLAG_NO_REF)) {
    GST_ELEMENT_ERROR (self, STREAM, FORMAT,
        ("Cannot read a frame: a %dx%d %s frame takes %" G_GSIZE_FORMAT
            " bytes, the buffer has %" G_GSIZE_FORMAT ".",
            self->format.width, self->format.height,
            gst_video_format_to_string (GST_VIDEO_INFO_FORMAT (&self->info)),
            GST_VIDEO_INFO_SIZE (&self->info), gst_buffer_get_size (buf)),
        (NULL));
    return FALSE;
  }
  for (guint i = 0; i < GST_VIDEO_FRAME_N_PLANES (&frame); i++) {
    image.planes[i] = GST_VIDEO_FRAME_PLANE_DATA (&frame, i);
    image.strides[i] = GST_VIDEO_FRAME_PLANE_STRIDE (&frame, i);
  }
  cond_inst_result_reset (&self->result, self->format.width,
      self->format.height);
  if (options->region == GST_COND_INST_SEG_REGION_FULL_FRAME)
    ok = look (self, &image, NULL, &params, options->mask_threshold, times_ns);
  else
    ok = look_into_regions (self, buf, &image, &params,
        options->mask_threshold, times_ns);
  gst_video_frame_unmap (&frame);
  if (!ok)
    return FALSE;
  self->have_result = TRUE;
  self->result_age = 0;

  times_ns[COND_INST_STAGE_TOTAL] = (g_get_monotonic_time () - start) * 1000;
  GST_OBJECT_LOCK (self);
  cond_inst_qos_inferred (&self->qos, frame_running_time (&trans->segment,
          buf), times_ns[COND_INST_STAGE_TOTAL]);
  cond_inst_stats_count_inference (&self->stats, times_ns);
  GST_OBJECT_UNLOCK (self);
  return TRUE;
}

/* Tells the pipeline when inference takes much longer or shorter than it was
 * told before. */
static void
update_latency (GstCondInstSeg * self)
{
  gboolean post = FALSE;

  GST_OBJECT_LOCK (self);
  if (self->stats.inferred % LATENCY_PERIOD == 1) {
    GstClockTime now = cond_inst_stats_p95_ns (&self->stats,
        COND_INST_STAGE_TOTAL);

    if (now > self->latency + self->latency / 4 + GST_MSECOND
        || now < self->latency / 2) {
      self->latency = now;
      post = self->live;
    }
  }
  GST_OBJECT_UNLOCK (self);

  if (post)
    gst_element_post_message (GST_ELEMENT (self),
        gst_message_new_latency (GST_OBJECT (self)));
}

/* ---- frames ------------------------------------------------------------ */

static void
gst_cond_inst_seg_before_transform (GstBaseTransform * trans, GstBuffer * buf)
{
  GstClockTime stream_time = frame_stream_time (&trans->segment, buf);

  if (GST_CLOCK_TIME_IS_VALID (stream_time))
    gst_object_sync_values (GST_OBJECT (trans), stream_time);
}

/* Whether the frame is too late already for inference. Posts a QoS message if
 * so. */
static gboolean
is_late (GstCondInstSeg * self, GstBuffer * buf)
{
  const GstSegment *segment = &GST_BASE_TRANSFORM (self)->segment;
  GstClockTime running_time = frame_running_time (segment, buf);
  GstClockTime stream_time;
  guint64 inferred, skipped;
  GstMessage *message;
  CondInstQos qos;
  gboolean live;

  GST_OBJECT_LOCK (self);
  qos = self->qos;
  if (!self->options.qos || !cond_inst_qos_is_late (&qos, running_time)) {
    GST_OBJECT_UNLOCK (self);
    return FALSE;
  }
  live = self->live;
  inferred = self->stats.inferred;
  skipped = ++self->stats.skipped;
  GST_OBJECT_UNLOCK (self);

  stream_time = frame_stream_time (segment, buf);
  message = gst_message_new_qos (GST_OBJECT (self), live, running_time,
      stream_time, GST_BUFFER_PTS (buf), GST_BUFFER_DURATION (buf));
  gst_message_set_qos_values (message, GST_CLOCK_DIFF (running_time,
          qos.earliest_time), qos.proportion, 1000000);
  gst_message_set_qos_stats (message, GST_FORMAT_BUFFERS, inferred, skipped);
  gst_element_post_message (GST_ELEMENT (self), message);
  return TRUE;
}

static void
post_counts (GstCondInstSeg * self, GstBuffer * buf, gboolean inferred)
{
  const GstSegment *segment = &GST_BASE_TRANSFORM (self)->segment;
  GstClockTime pts = GST_BUFFER_PTS (buf);
  g_autoptr (GstStructure) counts = cond_inst_result_count (&self->result);

  gst_element_post_message (GST_ELEMENT (self),
      gst_message_new_element (GST_OBJECT (self),
          gst_structure_new ("condinstseg",
              "timestamp", GST_TYPE_CLOCK_TIME, pts,
              "stream-time", GST_TYPE_CLOCK_TIME,
              frame_stream_time (segment, buf),
              "running-time", GST_TYPE_CLOCK_TIME,
              frame_running_time (segment, buf),
              "duration", GST_TYPE_CLOCK_TIME, GST_BUFFER_DURATION (buf),
              "inferred", G_TYPE_BOOLEAN, inferred,
              "instances", G_TYPE_UINT, self->result.instances->len,
              "counts", GST_TYPE_STRUCTURE, counts, NULL)));
}

static void
attach_analytics (GstCondInstSeg * self, GstBuffer * buf)
{
  if (cond_inst_analytics_available ()) {
    cond_inst_analytics_attach (buf, (const GstInstanceMask *)
        self->result.instances->data, self->result.instances->len,
        self->result.width, self->result.height);
  } else if (!self->lacks_analytics) {
    self->lacks_analytics = TRUE;
    GST_ELEMENT_WARNING (self, LIBRARY, INIT,
        ("attach-analytics-meta: this plugin was built against a GStreamer "
            "without GstAnalytics (before 1.24), so that metadata is missing; "
            "attach-roi-meta works."), (NULL));
  }
}

static GstFlowReturn
gst_cond_inst_seg_transform_ip (GstBaseTransform * trans, GstBuffer * buf)
{
  GstCondInstSeg *self = GST_COND_INST_SEG (trans);
  CondInstOptions options;      /* its strings belong to self->options */
  gboolean inferred;

  GST_OBJECT_LOCK (self);
  options = self->options;
  GST_OBJECT_UNLOCK (self);

  inferred = !self->have_result
      || (self->result_age >= options.inference_interval
      && !is_late (self, buf));
  if (inferred) {
    if (!infer (self, buf, &options))
      return GST_FLOW_ERROR;
    update_latency (self);
  }
  self->result_age++;
  cond_inst_result_attach (&self->result, buf, self->source, !inferred,
      options.attach_roi_meta);
  if (options.attach_analytics_meta)
    attach_analytics (self, buf);
  if (options.post_messages)
    post_counts (self, buf, inferred);

  GST_OBJECT_LOCK (self);
  cond_inst_stats_count_frame (&self->stats, g_get_monotonic_time ());
  GST_OBJECT_UNLOCK (self);
  return GST_FLOW_OK;
}

/* ---- caps -------------------------------------------------------------- */

static gboolean
gst_cond_inst_seg_set_caps (GstBaseTransform * trans, GstCaps * incaps,
    GstCaps * outcaps)
{
  GstCondInstSeg *self = GST_COND_INST_SEG (trans);
  gint width, height, padded_width, padded_height;
  GError *error = NULL;
  CiImageFormat format;
  GstVideoInfo info;

  if (!gst_video_info_from_caps (&info, incaps)
      || !cond_inst_format_from_info (&info, &format)) {
    GST_ELEMENT_ERROR (self, STREAM, FORMAT,
        ("Cannot handle caps %" GST_PTR_FORMAT ".", incaps), (NULL));
    return FALSE;
  }
  self->have_result = FALSE;
  if (!ci_session_configure (self->session, &format, &error)) {
    g_autofree gchar *what = g_strdup_printf ("Cannot run model '%s' on "
        "frames of %dx%d", ci_model_get_name (self->model), format.width,
        format.height);

    /* sources try more than once */
    if (memcmp (&format, &self->refused, sizeof (format)) == 0)
      g_error_free (error);
    else
      cond_inst_post_error (GST_ELEMENT (self), error, what);
    self->refused = format;
    return FALSE;
  }
  self->info = info;
  self->format = format;
  self->configured = TRUE;

  ci_session_get_input_size (self->session, &width, &height, &padded_width,
      &padded_height);
  GST_INFO_OBJECT (self, "%dx%d frames are %dx%d in an input of %dx%d",
      format.width, format.height, width, height, padded_width, padded_height);
  GST_OBJECT_LOCK (self);
  g_free (self->input_size);
  self->input_size = g_strdup_printf ("%dx%d", padded_width, padded_height);
  self->qos.frame_duration = info.fps_n > 0 ?
      gst_util_uint64_scale (GST_SECOND, info.fps_d, info.fps_n) : 0;
  GST_OBJECT_UNLOCK (self);
  return TRUE;
}

/* ---- events and queries ------------------------------------------------ */

static gboolean
gst_cond_inst_seg_sink_event (GstBaseTransform * trans, GstEvent * event)
{
  GstCondInstSeg *self = GST_COND_INST_SEG (trans);

  switch (GST_EVENT_TYPE (event)) {
    case GST_EVENT_FLUSH_STOP:
      GST_OBJECT_LOCK (self);
      cond_inst_qos_reset (&self->qos);
      GST_OBJECT_UNLOCK (self);
      self->have_result = FALSE;
      break;
    case GST_EVENT_SEGMENT:
      self->have_result = FALSE;
      break;
    default:
      break;
  }
  return GST_BASE_TRANSFORM_CLASS (gst_cond_inst_seg_parent_class)->sink_event
      (trans, event);
}

/* The base class would drop late frames, but only if its own QoS handling,
 * which is never switched on here, is enabled. */
static gboolean
gst_cond_inst_seg_src_event (GstBaseTransform * trans, GstEvent * event)
{
  if (GST_EVENT_TYPE (event) == GST_EVENT_QOS) {
    GstCondInstSeg *self = GST_COND_INST_SEG (trans);
    GstClockTimeDiff diff, rest;
    GstClockTime timestamp;
    gdouble proportion;
    GstQOSType type;

    gst_event_parse_qos (event, &type, &proportion, &diff, &timestamp);
    GST_OBJECT_LOCK (self);
    rest = cond_inst_qos_update (&self->qos, proportion, diff, timestamp);
    if (!self->options.qos)
      rest = diff;
    GST_OBJECT_UNLOCK (self);
    if (rest != diff) {
      guint32 seqnum = gst_event_get_seqnum (event);

      gst_event_unref (event);
      event = gst_event_new_qos (type, proportion, rest, timestamp);
      gst_event_set_seqnum (event, seqnum);
    }
  }
  return GST_BASE_TRANSFORM_CLASS (gst_cond_inst_seg_parent_class)->src_event
      (trans, event);
}

static gboolean
gst_cond_inst_seg_query (GstBaseTransform * trans, GstPadDirection direction,
    GstQuery * query)
{
  GstCondInstSeg *self = GST_COND_INST_SEG (trans);
  GstClockTime min, max, latency;
  gboolean live;

  if (GST_QUERY_TYPE (query) != GST_QUERY_LATENCY || direction != GST_PAD_SRC)
    return GST_BASE_TRANSFORM_CLASS (gst_cond_inst_seg_parent_class)->query
        (trans, direction, query);

  if (!gst_pad_peer_query (trans->sinkpad, query))
    return FALSE;
  gst_query_parse_latency (query, &live, &min, &max);
  GST_OBJECT_LOCK (self);
  self->live = live;
  latency = self->latency;
  GST_OBJECT_UNLOCK (self);
  if (live) {
    min += latency;
    if (GST_CLOCK_TIME_IS_VALID (max))
      max += latency;
    gst_query_set_latency (query, live, min, max);
  }
  return TRUE;
}

/* ---- life -------------------------------------------------------------- */

static gboolean
gst_cond_inst_seg_stop (GstBaseTransform * trans)
{
  GstCondInstSeg *self = GST_COND_INST_SEG (trans);

  self->have_result = FALSE;
  self->configured = FALSE;
  self->lacks_analytics = FALSE;
  memset (&self->refused, 0, sizeof (self->refused));
  g_clear_pointer (&self->source, g_free);
  g_clear_pointer (&self->classes, g_free);
  g_clear_pointer (&self->region_types, g_strfreev);
  g_clear_pointer (&self->quarks, g_free);
  g_clear_pointer (&self->labels, g_strfreev);
  g_clear_pointer (&self->session, ci_session_free);
  g_clear_pointer (&self->model, ci_model_unref);
  return TRUE;
}

/* Copies of the strings that say which model to run; they may change while it
 * loads. @id may be NULL. */
static void
get_model (GstCondInstSeg * self, CondInstModel * model, gchar ** id)
{
  GST_OBJECT_LOCK (self);
  model->model_file = g_strdup (self->options.model_file);
  model->config_file = g_strdup (self->options.config_file);
  model->config_settings = g_strdup (self->options.config_settings);
  if (id)
    *id = g_strdup (self->options.model_instance_id);
  GST_OBJECT_UNLOCK (self);
}

/* Says which model goes with model-instance-id, if this element knows. */
static gboolean
share_model (GstCondInstSeg * self)
{
  g_auto (CondInstModel) model = { NULL };
  g_autofree gchar *id = NULL;
  GError *error = NULL;

  get_model (self, &model, &id);
  if (!id || !model.model_file)
    cond_inst_share_withdraw (self);
  else if (!cond_inst_share_publish (self, id, &model, &error)) {
    cond_inst_post_error (GST_ELEMENT (self), error, "Cannot share a model");
    return FALSE;
  }
  return TRUE;
}

static gboolean
load_model (GstCondInstSeg * self)
{
  g_auto (CondInstModel) spec = { NULL };
  g_auto (GStrv) settings = NULL;
  g_autofree gchar *id = NULL, *what = NULL;
  GError *error = NULL;

  get_model (self, &spec, &id);
  if (!spec.model_file && id) {
    cond_inst_model_clear (&spec);
    cond_inst_share_find (id, &spec);
  }
  if (spec.config_settings)
    settings = g_strsplit (spec.config_settings, ";", -1);
  self->model = ci_model_load_full (spec.model_file, spec.config_file,
      (const gchar * const *) settings, &error);
  if (!self->model) {
    what = spec.model_file ? g_strdup_printf ("Cannot load model '%s'",
        spec.model_file) : g_strdup ("Cannot load the default model");
    cond_inst_post_error (GST_ELEMENT (self), error, what);
    return FALSE;
  }
  self->source = g_strdup (id ? id : ci_model_get_name (self->model));
  return TRUE;
}

static gboolean
load_labels (GstCondInstSeg * self, GError ** error)
{
  guint n = ci_model_get_n_classes (self->model);
  g_autofree gchar *file = NULL;

  GST_OBJECT_LOCK (self);
  file = g_strdup (self->options.label_file);
  GST_OBJECT_UNLOCK (self);
  if (file) {
    self->labels = cond_inst_labels_load (file, n,
        ci_model_get_name (self->model), error);
    if (!self->labels)
      return FALSE;
  } else {
    self->labels = g_new0 (gchar *, n + 1);
    for (guint i = 0; i < n; i++)
      self->labels[i] = g_strdup (ci_model_get_class_name (self->model, i));
  }
  self->quarks = g_new (GQuark, n);
  for (guint i = 0; i < n; i++)
    self->quarks[i] = g_quark_from_string (self->labels[i]);
  return TRUE;
}

static gboolean
gst_cond_inst_seg_start (GstBaseTransform * trans)
{
  GstCondInstSeg *self = GST_COND_INST_SEG (trans);
  const CondInstOptions *options = &self->options;
  g_autofree gchar *what = NULL;
  const gchar *name;
  GError *error = NULL;

  if (options->provider == GST_COND_INST_SEG_PROVIDER_CUDA) {
    GST_ELEMENT_ERROR (self, LIBRARY, INIT,
        ("execution-provider=cuda: this plugin was built without CUDA. Use "
            "auto or cpu."), (NULL));
    return FALSE;
  }
  if ((options->input_width == 0) != (options->input_height == 0)) {
    GST_ELEMENT_ERROR (self, RESOURCE, SETTINGS,
        ("input-width is %u and input-height is %u: set both, or neither.",
            options->input_width, options->input_height), (NULL));
    return FALSE;
  }
  if (!share_model (self) || !load_model (self))
    return FALSE;
  name = ci_model_get_name (self->model);
  if (!load_labels (self, &error)) {
    what = g_strdup ("Cannot use label-file");
    goto failed;
  }

  GST_OBJECT_LOCK (self);
  memset (&self->stats, 0, sizeof (self->stats));
  g_free (self->model_name);
  self->model_name = g_strdup (name);
  g_clear_pointer (&self->input_size, g_free);
  cond_inst_qos_reset (&self->qos);
  self->latency = 0;
  self->live = FALSE;
  GST_OBJECT_UNLOCK (self);

  self->session_options = (CiSessionOptions) CI_SESSION_OPTIONS_INIT;
  self->session_options.threads = options->threads;
  self->session_options.min_size = options->min_size;
  self->session_options.max_size = options->max_size;
  self->session_options.input_width = options->input_width;
  self->session_options.input_height = options->input_height;
  self->session_options.resize =
      options->resize_quality == GST_COND_INST_SEG_RESIZE_QUALITY_FAST ?
      CI_RESIZE_FAST : CI_RESIZE_EXACT;
  self->session_options.full_map = options->full_map;
  self->session_options.for_regions =
      options->region == GST_COND_INST_SEG_REGION_ROI_LIST;
  if (!open_session (self, options->max_detections, &error)) {
    what = g_strdup_printf ("Cannot run model '%s'", name);
    goto failed;
  }
  update_filters (self);
  return TRUE;

failed:
  cond_inst_post_error (GST_ELEMENT (self), error, what);
  gst_cond_inst_seg_stop (trans);
  return FALSE;
}

static GstStateChangeReturn
gst_cond_inst_seg_change_state (GstElement * element,
    GstStateChange transition)
{
  GstCondInstSeg *self = GST_COND_INST_SEG (element);
  GstStateChangeReturn ret;

  /* All elements of a pipeline come by here before the first one loads its
   * model in start(), so their order does not matter. */
  if (transition == GST_STATE_CHANGE_NULL_TO_READY && !share_model (self))
    return GST_STATE_CHANGE_FAILURE;
  ret = GST_ELEMENT_CLASS (gst_cond_inst_seg_parent_class)->change_state
      (element, transition);
  if (transition == GST_STATE_CHANGE_READY_TO_NULL)
    cond_inst_share_withdraw (self);
  return ret;
}

/* ---- properties -------------------------------------------------------- */

static GstStructure *
make_stats (GstCondInstSeg * self)
{
  GstStructure *stats;

  GST_OBJECT_LOCK (self);
  stats = gst_structure_new ("condinstseg-stats",
      "provider", G_TYPE_STRING, "cpu",
      "model", G_TYPE_STRING, self->model_name,
      "input-size", G_TYPE_STRING, self->input_size,
      "latency", GST_TYPE_CLOCK_TIME, self->latency, NULL);
  cond_inst_stats_to_structure (&self->stats, stats);
  GST_OBJECT_UNLOCK (self);
  return stats;
}

static void
gst_cond_inst_seg_set_property (GObject * object, guint id,
    const GValue * value, GParamSpec * pspec)
{
  GstCondInstSeg *self = GST_COND_INST_SEG (object);

  GST_OBJECT_LOCK (self);
  cond_inst_options_set (&self->options, id, value);
  if (id == COND_INST_PROP_SELECTED_TYPES
      || id == COND_INST_PROP_EXCLUDED_TYPES
      || id == COND_INST_PROP_OBJECT_CLASS)
    self->filters_changed = TRUE;
  GST_OBJECT_UNLOCK (self);
}

static void
gst_cond_inst_seg_get_property (GObject * object, guint id, GValue * value,
    GParamSpec * pspec)
{
  GstCondInstSeg *self = GST_COND_INST_SEG (object);

  if (id == COND_INST_PROP_STATS) {
    g_value_take_boxed (value, make_stats (self));
    return;
  }
  GST_OBJECT_LOCK (self);
  cond_inst_options_get (&self->options, id, value);
  GST_OBJECT_UNLOCK (self);
}

static void
gst_cond_inst_seg_finalize (GObject * object)
{
  GstCondInstSeg *self = GST_COND_INST_SEG (object);

  cond_inst_share_withdraw (self);
  cond_inst_options_clear (&self->options);
  cond_inst_result_clear (&self->result);
  g_free (self->model_name);
  g_free (self->input_size);
  G_OBJECT_CLASS (gst_cond_inst_seg_parent_class)->finalize (object);
}

static void
gst_cond_inst_seg_class_init (GstCondInstSegClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GstBaseTransformClass *transform_class = GST_BASE_TRANSFORM_CLASS (klass);

  object_class->set_property = gst_cond_inst_seg_set_property;
  object_class->get_property = gst_cond_inst_seg_get_property;
  object_class->finalize = gst_cond_inst_seg_finalize;
  cond_inst_options_install (object_class);

  gst_element_class_set_static_metadata (element_class,
      "Instance segmentation", "Filter/Analyzer/Video",
      "Finds objects in video and attaches a mask of each as metadata",
      "The gst-condinst developers");
  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  element_class->change_state =
      GST_DEBUG_FUNCPTR (gst_cond_inst_seg_change_state);

  transform_class->start = GST_DEBUG_FUNCPTR (gst_cond_inst_seg_start);
  transform_class->stop = GST_DEBUG_FUNCPTR (gst_cond_inst_seg_stop);
  transform_class->set_caps = GST_DEBUG_FUNCPTR (gst_cond_inst_seg_set_caps);
  transform_class->sink_event =
      GST_DEBUG_FUNCPTR (gst_cond_inst_seg_sink_event);
  transform_class->src_event = GST_DEBUG_FUNCPTR (gst_cond_inst_seg_src_event);
  transform_class->query = GST_DEBUG_FUNCPTR (gst_cond_inst_seg_query);
  transform_class->before_transform =
      GST_DEBUG_FUNCPTR (gst_cond_inst_seg_before_transform);
  transform_class->transform_ip =
      GST_DEBUG_FUNCPTR (gst_cond_inst_seg_transform_ip);
  transform_class->passthrough_on_same_caps = FALSE;
  transform_class->transform_ip_on_passthrough = FALSE;
}

static void
gst_cond_inst_seg_init (GstCondInstSeg * self)
{
  cond_inst_options_init (&self->options);
  cond_inst_result_init (&self->result);
  cond_inst_qos_reset (&self->qos);
  gst_base_transform_set_in_place (GST_BASE_TRANSFORM (self), TRUE);
  gst_base_transform_set_gap_aware (GST_BASE_TRANSFORM (self), TRUE);
  /* croppers and flippers downstream would lose the masks */
  gst_instance_mask_follow (GST_BASE_TRANSFORM_SRC_PAD (self));
}
