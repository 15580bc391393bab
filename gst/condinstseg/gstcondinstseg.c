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
 * The network runs on an NVIDIA GPU if there is one, see
 * #GstCondInstSeg:execution-provider. Frames that are in its memory already
 * (caps with `memory:CUDAMemory`) stay there, others are copied. A GPU works on
 * #GstCondInstSeg:max-in-flight frames at once, so that frames go on a little
 * later, in order.
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
 * |[
 * gst-launch-1.0 filesrc location=in.mp4 ! qtdemux ! h264parse ! nvh264dec ! 'video/x-raw(memory:CUDAMemory)' ! condinstseg execution-provider=cuda ! cudadownload ! maskoverlay ! videoconvert ! autovideosink
 * ]| The same on a GPU, where frames stay until they are drawn on.
 *
 * Since: 0.1
 */
#include <string.h>

#include <gst/instancemask/instancemask.h>
#include <gst/video/video.h>

#include "models.h"

#include "../frametime.h"
#include "condinstanalytics.h"
#include "condinstengine.h"
#include "condinsterror.h"
#include "condinstformat.h"
#include "condinstframe.h"
#include "condinstoptions.h"
#include "condinstqos.h"
#include "condinstresult.h"
#include "condinstshare.h"
#include "condinststats.h"
#include "gstcondinstseg.h"

GST_DEBUG_CATEGORY (cond_inst_seg_debug);
#define GST_CAT_DEFAULT cond_inst_seg_debug

#define FORMATS "{ NV12, I420, P010_10LE, RGB, BGR, RGBA, BGRA, RGBx, " \
    "BGRx, GRAY8 }"
#define SIZES \
    "width = (int) [ 1, 32767 ], height = (int) [ 1, 32767 ], " \
    "framerate = " GST_VIDEO_FPS_RANGE
#define VIDEO_CAPS COND_INST_CUDA_CAPS (SIZES) \
    "video/x-raw, format = (string) " FORMATS ", " SIZES

/* How often, in inferred frames, the latency is looked at again. */
#define LATENCY_PERIOD 16

struct _GstCondInstSeg
{
  GstBaseTransform parent;

  /* under the object lock */
  CondInstOptions options;
  gboolean filters_changed;     /* selected, excluded types, object class */
  CondInstQos qos;
  GstClockTime latency;         /* that inference adds, */
  GstClockTime queue_latency;   /* and waiting for other frames */
  gboolean live;
  CondInstStats stats;
  GstStructure *about;          /* what runs, for stats; NULL: nothing did */

  /* streaming thread, from start() to stop() */
  CondInstEngine engine;
  gchar **region_types;         /* wanted ones; NULL: all */
  gboolean lacks_analytics;     /* and a warning was posted */
  CiImageFormat refused;        /* what an error was posted about already */

  /* frames that have come and not gone on, the oldest first: those in flight,
   * and those that wait behind them */
  GQueue frames;                /* CondInstFrame */
  gboolean have_result;         /* some frame of this stream was inferred */
  guint result_age;             /* frames since then, itself included */
  CondInstResult result;        /* of the inferred frame that went on last */
  const CondInstFrame *going;   /* is about to go on */
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

static GstFlowReturn push_frames (GstCondInstSeg * self);

/* ---- inference --------------------------------------------------------- */

/* Copies what is told of the engine to where other threads may read it. */
static void
update_about (GstCondInstSeg * self)
{
  GstStructure *about = cond_inst_engine_describe (&self->engine), *before;

  GST_OBJECT_LOCK (self);
  before = self->about;
  self->about = about;
  GST_OBJECT_UNLOCK (self);
  if (before)
    gst_structure_free (before);
}

/* Reads the filters of classes and regions again if they changed. */
static void
update_filters (GstCondInstSeg * self)
{
  g_autofree gchar *selected = NULL, *excluded = NULL;

  GST_OBJECT_LOCK (self);
  if (!self->filters_changed) {
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

  cond_inst_engine_select (&self->engine, selected, excluded);
}

/* Makes the engine fit for @frame: its memory, and how many objects it may
 * have. */
static GstFlowReturn
prepare_engine (GstCondInstSeg * self, const CondInstFrame * frame)
{
  CondInstEngine *engine = &self->engine;
  guint wanted = frame->options.max_detections;
  gboolean move = cond_inst_engine_is_elsewhere (engine, frame->buffer);
  gboolean grow = wanted == 0 ? engine->options.max_detections != 0 :
      wanted > engine->capacity;
  GstFlowReturn ret;
  GError *error = NULL;

  if (!move && !grow)
    return GST_FLOW_OK;
  if ((ret = push_frames (self)) != GST_FLOW_OK)
    return ret;
  if (move && !cond_inst_engine_follow (engine, frame->buffer, &error)) {
    cond_inst_post_error (GST_ELEMENT (self), error,
        "Cannot run where the frames are");
    return GST_FLOW_ERROR;
  }
  if (grow && !cond_inst_engine_reopen (engine, wanted, &error)) {
    cond_inst_post_error (GST_ELEMENT (self), error,
        "Cannot change max-detections");
    return GST_FLOW_ERROR;
  }
  update_about (self);
  return GST_FLOW_OK;
}

/* Has the engine look at @frame. */
static GstFlowReturn
infer (GstCondInstSeg * self, CondInstFrame * frame)
{
  GError *error = NULL;
  GstFlowReturn ret;
  gboolean ok;

  update_filters (self);
  if ((ret = prepare_engine (self, frame)) != GST_FLOW_OK)
    return ret;
  cond_inst_engine_get_params (&self->engine, &frame->options,
      &frame->params);
  if (!self->engine.options.for_regions)
    ok = cond_inst_frame_submit (frame, &self->engine, &error);
  else                          /* no frame waits, so the result is the next */
    ok = cond_inst_frame_look_into_regions (frame, &self->engine,
        self->region_types, &self->result, &error);
  if (!ok) {
    cond_inst_post_error (GST_ELEMENT (self), error,
        "Cannot look for objects in a frame");
    return GST_FLOW_ERROR;
  }
  self->have_result = TRUE;
  self->result_age = 0;
  return GST_FLOW_OK;
}

static void
count_inference (GstCondInstSeg * self, const CondInstFrame * frame)
{
  const GstSegment *segment = &GST_BASE_TRANSFORM (self)->segment;

  GST_OBJECT_LOCK (self);
  cond_inst_qos_inferred (&self->qos, frame_running_time (segment,
          frame->buffer), frame->times_ns[COND_INST_STAGE_TOTAL]);
  cond_inst_stats_count_inference (&self->stats, frame->times_ns);
  GST_OBJECT_UNLOCK (self);
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
  guint64 inferred, skipped;
  CondInstQos qos;
  gboolean live;

  GST_OBJECT_LOCK (self);
  qos = self->qos;
  if (!self->options.qos
      || !cond_inst_qos_is_late (&qos, frame_running_time (segment, buf))) {
    GST_OBJECT_UNLOCK (self);
    return FALSE;
  }
  live = self->live;
  inferred = self->stats.inferred;
  skipped = ++self->stats.skipped;
  GST_OBJECT_UNLOCK (self);

  gst_element_post_message (GST_ELEMENT (self),
      cond_inst_qos_make_message (&qos, GST_OBJECT (self), segment, buf, live,
          inferred, skipped));
  return TRUE;
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

/* A frame has come: it goes to the end of the queue, or an error back. Takes
 * @buf. */
static GstFlowReturn
queue_frame (GstCondInstSeg * self, GstBuffer * buf)
{
  CondInstOptions options;
  CondInstFrame *frame;
  GstFlowReturn ret;

  GST_OBJECT_LOCK (self);
  options = self->options;
  GST_OBJECT_UNLOCK (self);

  frame = cond_inst_frame_new (buf, &options);
  frame->inferred = !self->have_result
      || (self->result_age >= options.inference_interval
      && !is_late (self, buf));
  if (frame->inferred && (ret = infer (self, frame)) != GST_FLOW_OK) {
    cond_inst_frame_free (frame);
    return ret;
  }
  self->result_age++;
  g_queue_push_tail (&self->frames, frame);
  return GST_FLOW_OK;
}

/* The oldest frame is to go on: waits until the engine is done with it, and has
 * the base class make it writable for transform_ip(). */
static GstFlowReturn
finish_frame (GstCondInstSeg * self, GstBuffer ** out)
{
  GstBaseTransform *trans = GST_BASE_TRANSFORM (self);
  CondInstFrame *frame = g_queue_pop_head (&self->frames);
  GError *error = NULL;
  GstFlowReturn ret;

  if (frame->in_flight && !cond_inst_frame_collect (frame, &self->engine,
          &self->result, &error)) {
    cond_inst_post_error (GST_ELEMENT (self), error,
        "Cannot look for objects in a frame");
    cond_inst_frame_free (frame);
    return GST_FLOW_ERROR;
  }
  if (frame->inferred) {
    count_inference (self, frame);
    update_latency (self);
  }
  self->going = frame;
  trans->queued_buf = g_steal_pointer (&frame->buffer);
  ret = GST_BASE_TRANSFORM_CLASS (gst_cond_inst_seg_parent_class)
      ->generate_output (trans, out);
  cond_inst_frame_free (frame);
  return ret;
}

/* Attaches what there is in the frame that is about to go on. */
static GstFlowReturn
gst_cond_inst_seg_transform_ip (GstBaseTransform * trans, GstBuffer * buf)
{
  GstCondInstSeg *self = GST_COND_INST_SEG (trans);
  const CondInstOptions *options = &self->going->options;
  gboolean inferred = self->going->inferred;

  cond_inst_result_attach (&self->result, buf, self->engine.source, !inferred,
      options->attach_roi_meta);
  if (options->attach_analytics_meta)
    attach_analytics (self, buf);
  if (options->post_messages)
    gst_element_post_message (GST_ELEMENT (self),
        gst_message_new_element (GST_OBJECT (self),
            cond_inst_result_describe (&self->result, &trans->segment, buf,
                inferred)));

  GST_OBJECT_LOCK (self);
  cond_inst_stats_count_frame (&self->stats, g_get_monotonic_time ());
  GST_OBJECT_UNLOCK (self);
  return GST_FLOW_OK;
}

static void
drop_frames (GstCondInstSeg * self)
{
  cond_inst_engine_forget_frames (&self->engine);
  g_queue_clear_full (&self->frames, (GDestroyNotify) cond_inst_frame_free);
  /* later frames have nothing to carry on */
  self->have_result = FALSE;
}

/* Pushes all frames that have come, for what cannot overtake them or changes
 * what they need. */
static GstFlowReturn
push_frames (GstCondInstSeg * self)
{
  GstFlowReturn ret = GST_FLOW_OK;

  while (ret == GST_FLOW_OK && !g_queue_is_empty (&self->frames)) {
    GstBuffer *buf = NULL;

    if ((ret = finish_frame (self, &buf)) == GST_FLOW_OK)
      ret = gst_pad_push (GST_BASE_TRANSFORM_SRC_PAD (self), buf);
  }
  if (ret != GST_FLOW_OK)
    drop_frames (self);
  return ret;
}

static GstFlowReturn
gst_cond_inst_seg_submit_input_buffer (GstBaseTransform * trans,
    gboolean is_discont, GstBuffer * buf)
{
  /* The base class marks whatever goes on next as discontinuous, and keeps
   * saying @is_discont until then. */
  if (GST_BUFFER_IS_DISCONT (buf)) {
    GstFlowReturn ret = push_frames (GST_COND_INST_SEG (trans));

    if (ret != GST_FLOW_OK) {
      gst_buffer_unref (buf);
      return ret;
    }
  }
  return GST_BASE_TRANSFORM_CLASS (gst_cond_inst_seg_parent_class)
      ->submit_input_buffer (trans, is_discont, buf);
}

/* Called until nothing goes on. As many frames stay as may be in flight beside
 * the next one; in pull mode each goes on at once. */
static GstFlowReturn
gst_cond_inst_seg_generate_output (GstBaseTransform * trans, GstBuffer ** out)
{
  GstCondInstSeg *self = GST_COND_INST_SEG (trans);
  guint n_stay = GST_PAD_MODE (trans->srcpad) == GST_PAD_MODE_PUSH ?
      cond_inst_engine_get_max_in_flight (&self->engine) - 1 : 0;
  GstBuffer *buf = g_steal_pointer (&trans->queued_buf);
  GstFlowReturn ret = GST_FLOW_OK;
  const CondInstFrame *first;

  if (buf)
    ret = queue_frame (self, buf);
  first = g_queue_peek_head (&self->frames);
  if (ret == GST_FLOW_OK && first && (!first->in_flight
          || g_queue_get_length (&self->frames) > n_stay))
    ret = finish_frame (self, out);
  if (ret != GST_FLOW_OK)
    drop_frames (self);
  return ret;
}

/* ---- caps -------------------------------------------------------------- */

static gboolean
gst_cond_inst_seg_set_caps (GstBaseTransform * trans, GstCaps * incaps,
    GstCaps * outcaps)
{
  GstCondInstSeg *self = GST_COND_INST_SEG (trans);
  gint width, height, padded_width, padded_height;
  GstClockTime duration = 0, queue_latency;
  GError *error = NULL;
  CiImageFormat format;
  GstVideoInfo info;
  gboolean post;

  if (!gst_video_info_from_caps (&info, incaps)
      || !cond_inst_format_from_info (&info, &format)) {
    GST_ELEMENT_ERROR (self, STREAM, FORMAT,
        ("Cannot handle caps %" GST_PTR_FORMAT ".", incaps), (NULL));
    return FALSE;
  }
  push_frames (self);
  self->have_result = FALSE;
  if (!cond_inst_engine_configure (&self->engine, &info, &format, &error)) {
    g_autofree gchar *what = g_strdup_printf ("Cannot run model '%s' on "
        "frames of %dx%d", ci_model_get_name (self->engine.model),
        format.width, format.height);

    /* sources try more than once */
    if (memcmp (&format, &self->refused, sizeof (format)) == 0)
      g_error_free (error);
    else
      cond_inst_post_error (GST_ELEMENT (self), error, what);
    self->refused = format;
    return FALSE;
  }
  update_about (self);

  ci_session_get_input_size (self->engine.session, &width, &height,
      &padded_width, &padded_height);
  GST_INFO_OBJECT (self, "%dx%d frames are %dx%d in an input of %dx%d",
      format.width, format.height, width, height, padded_width, padded_height);
  if (info.fps_n > 0)
    duration = gst_util_uint64_scale (GST_SECOND, info.fps_d, info.fps_n);
  queue_latency = duration
      * (cond_inst_engine_get_max_in_flight (&self->engine) - 1);
  GST_OBJECT_LOCK (self);
  self->qos.frame_duration = duration;
  post = self->live && queue_latency != self->queue_latency;
  self->queue_latency = queue_latency;
  GST_OBJECT_UNLOCK (self);
  if (post)
    gst_element_post_message (GST_ELEMENT (self),
        gst_message_new_latency (GST_OBJECT (self)));
  return TRUE;
}

static gboolean
gst_cond_inst_seg_propose_allocation (GstBaseTransform * trans,
    GstQuery * decide_query, GstQuery * query)
{
  GstCondInstSeg *self = GST_COND_INST_SEG (trans);
  gboolean ret = GST_BASE_TRANSFORM_CLASS (gst_cond_inst_seg_parent_class)
      ->propose_allocation (trans, decide_query, query);

  /* frames go on as they are, so it is for those behind to say what they
   * take */
  if (cond_inst_engine_propose_pool (&self->engine, query))
    ret = TRUE;
  return ret;
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
      drop_frames (self);
      break;
    case GST_EVENT_SEGMENT:
      push_frames (self);
      self->have_result = FALSE;
      break;
    default:
      if (GST_EVENT_IS_SERIALIZED (event))
        push_frames (self);
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

  if (GST_QUERY_TYPE (query) == GST_QUERY_CONTEXT
      && cond_inst_cuda_answer (&self->engine.cuda, query))
    return TRUE;
  if (direction == GST_PAD_SINK && GST_QUERY_IS_SERIALIZED (query))
    push_frames (self);
  if (GST_QUERY_TYPE (query) != GST_QUERY_LATENCY || direction != GST_PAD_SRC)
    return GST_BASE_TRANSFORM_CLASS (gst_cond_inst_seg_parent_class)->query
        (trans, direction, query);

  if (!gst_pad_peer_query (trans->sinkpad, query))
    return FALSE;
  gst_query_parse_latency (query, &live, &min, &max);
  GST_OBJECT_LOCK (self);
  self->live = live;
  latency = self->latency + self->queue_latency;
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

  drop_frames (self);
  self->lacks_analytics = FALSE;
  memset (&self->refused, 0, sizeof (self->refused));
  g_clear_pointer (&self->region_types, g_strfreev);
  cond_inst_engine_stop (&self->engine);
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
  g_autofree gchar *id = NULL, *label_file = NULL;

  get_model (self, &spec, &id);
  GST_OBJECT_LOCK (self);
  label_file = g_strdup (self->options.label_file);
  GST_OBJECT_UNLOCK (self);
  if (!spec.model_file && id) {
    cond_inst_model_clear (&spec);
    cond_inst_share_find (id, &spec);
  }
  if (!cond_inst_engine_load (&self->engine, spec.model_file,
          spec.config_file, spec.config_settings, label_file))
    return FALSE;
  self->engine.source = g_strdup (id ? id :
      ci_model_get_name (self->engine.model));
  return TRUE;
}

static gboolean
gst_cond_inst_seg_start (GstBaseTransform * trans)
{
  GstCondInstSeg *self = GST_COND_INST_SEG (trans);
  const CondInstOptions *options = &self->options;

  if ((options->input_width == 0) != (options->input_height == 0)) {
    GST_ELEMENT_ERROR (self, RESOURCE, SETTINGS,
        ("input-width is %u and input-height is %u: set both, or neither.",
            options->input_width, options->input_height), (NULL));
    return FALSE;
  }
  if (!share_model (self))
    return FALSE;
  if (!load_model (self) || !cond_inst_engine_start (&self->engine, options)) {
    gst_cond_inst_seg_stop (trans);
    return FALSE;
  }

  GST_OBJECT_LOCK (self);
  memset (&self->stats, 0, sizeof (self->stats));
  cond_inst_qos_reset (&self->qos);
  self->latency = self->queue_latency = 0;
  self->filters_changed = TRUE;
  self->live = FALSE;
  GST_OBJECT_UNLOCK (self);
  update_about (self);
  update_filters (self);
  return TRUE;
}

static void
gst_cond_inst_seg_set_context (GstElement * element, GstContext * context)
{
  GstCondInstSeg *self = GST_COND_INST_SEG (element);
  gint device_id;

  GST_OBJECT_LOCK (self);
  device_id = self->options.cuda_device_id;
  GST_OBJECT_UNLOCK (self);
  cond_inst_cuda_set_context (&self->engine.cuda, context, device_id);
  GST_ELEMENT_CLASS (gst_cond_inst_seg_parent_class)->set_context (element,
      context);
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
  stats = self->about ? gst_structure_copy (self->about)
      : gst_structure_new_empty ("condinstseg-stats");
  gst_structure_set (stats, "latency", GST_TYPE_CLOCK_TIME,
      self->latency + self->queue_latency, NULL);
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
  cond_inst_cuda_clear (&self->engine.cuda);
  if (self->about)
    gst_structure_free (self->about);
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
  element_class->set_context =
      GST_DEBUG_FUNCPTR (gst_cond_inst_seg_set_context);

  transform_class->start = GST_DEBUG_FUNCPTR (gst_cond_inst_seg_start);
  transform_class->stop = GST_DEBUG_FUNCPTR (gst_cond_inst_seg_stop);
  transform_class->set_caps = GST_DEBUG_FUNCPTR (gst_cond_inst_seg_set_caps);
  transform_class->sink_event =
      GST_DEBUG_FUNCPTR (gst_cond_inst_seg_sink_event);
  transform_class->src_event = GST_DEBUG_FUNCPTR (gst_cond_inst_seg_src_event);
  transform_class->query = GST_DEBUG_FUNCPTR (gst_cond_inst_seg_query);
  transform_class->before_transform =
      GST_DEBUG_FUNCPTR (gst_cond_inst_seg_before_transform);
  transform_class->propose_allocation =
      GST_DEBUG_FUNCPTR (gst_cond_inst_seg_propose_allocation);
  transform_class->submit_input_buffer =
      GST_DEBUG_FUNCPTR (gst_cond_inst_seg_submit_input_buffer);
  transform_class->generate_output =
      GST_DEBUG_FUNCPTR (gst_cond_inst_seg_generate_output);
  transform_class->transform_ip =
      GST_DEBUG_FUNCPTR (gst_cond_inst_seg_transform_ip);
  transform_class->passthrough_on_same_caps = FALSE;
  transform_class->transform_ip_on_passthrough = FALSE;
}

static void
gst_cond_inst_seg_init (GstCondInstSeg * self)
{
  self->engine.element = self->engine.cuda.element = GST_ELEMENT (self);
  cond_inst_options_init (&self->options);
  cond_inst_result_init (&self->result);
  cond_inst_qos_reset (&self->qos);
  gst_base_transform_set_in_place (GST_BASE_TRANSFORM (self), TRUE);
  gst_base_transform_set_gap_aware (GST_BASE_TRANSFORM (self), TRUE);
  /* croppers and flippers downstream would lose the masks */
  gst_instance_mask_follow (GST_BASE_TRANSFORM_SRC_PAD (self));
}
