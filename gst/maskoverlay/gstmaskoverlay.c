/* GStreamer instance masks
 *
 * gstmaskoverlay.c: draws instance masks into video
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/**
 * SECTION:element-maskoverlay
 * @title: maskoverlay
 * @short_description: draws the masks that condinstseg found
 * @see_also: condinstseg
 *
 * Draws what #GstInstanceMaskMeta on the frames describes, straight into their
 * planes: each object's mask (#GstMaskOverlay:effect), its outline, its box
 * and its label; each of these layers can be switched on and off by itself.
 * All properties can be changed while playing.
 *
 * A frame without masks passes untouched and uncopied. If none of the first
 * frames has any metadata, a warning is posted: most likely condinstseg is
 * missing upstream.
 *
 * The effects blur, pixelate and blackout hide objects; cutout-alpha keeps the
 * objects and hides everything else, so a frame on which nothing was found is
 * transparent as a whole. Frames that carry no metadata at all are left as they
 * are, so for privacy every frame must have been looked at, or
 * #GstMaskOverlay:expire-overlay must bridge those in between.
 *
 * ## Frames on a GPU
 *
 * Frames in CUDA memory stay there: what covers them is rendered by the CPU and
 * blended by one kernel, with the same pixels as a result. The effects blur and
 * pixelate need the frame's own pixels, so with them it goes to the host's
 * memory and back; the same happens where the CUDA backend of this plugin is
 * missing, which is warned of in the log.
 *
 * ## Example launch lines
 * |[
 * gst-launch-1.0 filesrc location=street.mp4 ! decodebin ! videoconvert ! condinstseg ! maskoverlay ! videoconvert ! autovideosink
 * ]| Shows all objects.
 * |[
 * gst-launch-1.0 filesrc location=street.mp4 ! decodebin ! videoconvert ! condinstseg ! maskoverlay effect=blur selected-types=person draw-contours=false draw-labels=false draw-scores=false ! videoconvert ! autovideosink
 * ]| Makes people unrecognisable.
 * |[
 * gst-launch-1.0 filesrc location=street.mp4 ! qtdemux ! h264parse ! nvh264dec ! 'video/x-raw(memory:CUDAMemory)' ! condinstseg execution-provider=cuda ! maskoverlay ! nvh264enc ! h264parse ! mp4mux ! filesink location=out.mp4
 * ]| Shows all objects, on the GPU all the way.
 * |[
 * gst-launch-1.0 v4l2src ! videoconvert ! video/x-raw,format=RGBA ! condinstseg selected-types=person ! maskoverlay effect=cutout-alpha draw-contours=false draw-labels=false draw-scores=false ! pngenc snapshot=true ! filesink location=me.png
 * ]| Cuts out the person before the camera.
 *
 * Since: 0.1
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "../frametime.h"
#include "gstmaskoverlay.h"
#include "maskoverlaycuda.h"
#include "maskoverlaysettings.h"

#include <gst/instancemask/gstinstancemaskmeta.h>

GST_DEBUG_CATEGORY_STATIC (mask_overlay_debug);
#define GST_CAT_DEFAULT mask_overlay_debug

/* After so many frames without metadata somebody should be told. */
#define PATIENCE 30

struct _GstMaskOverlay
{
  GstVideoFilter parent;

  /* object lock */
  MaskOverlaySettings *settings;

  /* streaming thread */
  GstMaskDraw *draw;
  gboolean on_cuda;             /* frames are in CUDA memory */
  MaskOverlayCuda cuda;
  MaskOverlaySettings *current; /* those of the frame in work */
  GArray *masks;                /* GstInstanceMask, what to draw on it */
  gboolean needed;
  GArray *held;                 /* the last masks, with their own references */
  gboolean is_holding;          /* maybe none at all */
  GstClockTime held_since;      /* in running time */
  guint n_frames;               /* until metadata or the warning came */
  gboolean settled;             /* one of both came */
  gboolean mismatch_reported;
};

#define CAPS COND_INST_CUDA_CAPS ( \
    "width = " GST_VIDEO_SIZE_RANGE ", height = " GST_VIDEO_SIZE_RANGE ", " \
    "framerate = " GST_VIDEO_FPS_RANGE) \
    GST_VIDEO_CAPS_MAKE (GST_MASK_DRAW_FORMATS)

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE ("sink",
    GST_PAD_SINK, GST_PAD_ALWAYS,
    GST_STATIC_CAPS (CAPS));
static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE ("src",
    GST_PAD_SRC, GST_PAD_ALWAYS,
    GST_STATIC_CAPS (CAPS));

G_DEFINE_TYPE_WITH_CODE (GstMaskOverlay, gst_mask_overlay,
    GST_TYPE_VIDEO_FILTER,
    GST_DEBUG_CATEGORY_INIT (mask_overlay_debug, "maskoverlay", 0,
        "instance mask overlay"));
GST_ELEMENT_REGISTER_DEFINE (maskoverlay, "maskoverlay", GST_RANK_NONE,
    GST_TYPE_MASK_OVERLAY);

static void
set_property (GObject * object, guint prop_id, const GValue * value,
    GParamSpec * pspec)
{
  GstMaskOverlay *self = GST_MASK_OVERLAY (object);
  MaskOverlaySettings *old, *changed;
  g_autoptr (GError) error = NULL;

  GST_OBJECT_LOCK (self);
  changed = old = mask_overlay_settings_copy (self->settings);
  if (mask_overlay_settings_set (changed, prop_id, value, &error)) {
    old = self->settings;
    self->settings = changed;
  }
  GST_OBJECT_UNLOCK (self);
  mask_overlay_settings_unref (old);
  if (error)
    GST_ELEMENT_WARNING (self, RESOURCE, SETTINGS, ("%s", error->message),
        ("property %s keeps its value", pspec->name));
}

static void
get_property (GObject * object, guint prop_id, GValue * value,
    GParamSpec * pspec)
{
  GstMaskOverlay *self = GST_MASK_OVERLAY (object);

  GST_OBJECT_LOCK (self);
  mask_overlay_settings_get (self->settings, prop_id, value);
  GST_OBJECT_UNLOCK (self);
}

static void
clear_mask (gpointer data)
{
  GstInstanceMask *mask = data;

  if (mask->grid)
    g_bytes_unref (mask->grid);
}

static void
drop_held (GstMaskOverlay * self)
{
  g_array_set_size (self->held, 0);
  self->is_holding = FALSE;
}

static gboolean
start (GstBaseTransform * trans)
{
  GstMaskOverlay *self = GST_MASK_OVERLAY (trans);

  drop_held (self);
  self->n_frames = 0;
  self->settled = FALSE;
  self->mismatch_reported = FALSE;
  return TRUE;
}

static gboolean
stop (GstBaseTransform * trans)
{
  GstMaskOverlay *self = GST_MASK_OVERLAY (trans);

  g_array_set_size (self->masks, 0);
  drop_held (self);
  mask_overlay_cuda_clear (&self->cuda);
  return TRUE;
}

static gboolean
set_info (GstVideoFilter * filter, GstCaps * incaps, GstVideoInfo * in_info,
    GstCaps * outcaps, GstVideoInfo * out_info)
{
  GstMaskOverlay *self = GST_MASK_OVERLAY (filter);

  /* they belong to frames of another size */
  drop_held (self);
  self->on_cuda = gst_caps_features_contains (gst_caps_get_features (incaps,
          0), "memory:CUDAMemory");
  if (self->on_cuda)
    mask_overlay_cuda_set_info (&self->cuda, in_info);
  return TRUE;
}

static void
report_missing_metadata (GstMaskOverlay * self)
{
  self->settled = TRUE;
  GST_ELEMENT_WARNING (self, STREAM, FAILED,
      ("There is nothing to draw: no frame carries masks. Is a condinstseg "
          "element missing before maskoverlay?"),
      ("%u frames came without GstInstanceMaskMeta", self->n_frames));
}

static gboolean
sink_event (GstBaseTransform * trans, GstEvent * event)
{
  GstMaskOverlay *self = GST_MASK_OVERLAY (trans);

  switch (GST_EVENT_TYPE (event)) {
    case GST_EVENT_FLUSH_STOP:
      drop_held (self);
      break;
    case GST_EVENT_EOS:
      if (!self->settled && self->n_frames > 0)
        report_missing_metadata (self);
      break;
    default:
      break;
  }
  return GST_BASE_TRANSFORM_CLASS (gst_mask_overlay_parent_class)->sink_event
      (trans, event);
}

static gboolean
query (GstBaseTransform * trans, GstPadDirection direction, GstQuery * query)
{
  GstMaskOverlay *self = GST_MASK_OVERLAY (trans);

  if (GST_QUERY_TYPE (query) == GST_QUERY_CONTEXT
      && cond_inst_cuda_answer (&self->cuda.shared, query))
    return TRUE;
  return GST_BASE_TRANSFORM_CLASS (gst_mask_overlay_parent_class)->query
      (trans, direction, query);
}

static void
set_context (GstElement * element, GstContext * context)
{
  GstMaskOverlay *self = GST_MASK_OVERLAY (element);

  cond_inst_cuda_set_context (&self->cuda.shared, context, -1);
  GST_ELEMENT_CLASS (gst_mask_overlay_parent_class)->set_context (element,
      context);
}

static gboolean
propose_allocation (GstBaseTransform * trans, GstQuery * decide_query,
    GstQuery * query)
{
  GstMaskOverlay *self = GST_MASK_OVERLAY (trans);

  /* GstVideoFilter adds one of the host's memory if there is none */
  if (self->on_cuda)
    cond_inst_cuda_propose_pool (&self->cuda.shared, query);
  if (!GST_BASE_TRANSFORM_CLASS (gst_mask_overlay_parent_class)->
      propose_allocation (trans, decide_query, query))
    return FALSE;
  if (!gst_query_find_allocation_meta (query, GST_INSTANCE_MASK_META_API_TYPE,
          NULL))
    gst_query_add_allocation_meta (query, GST_INSTANCE_MASK_META_API_TYPE,
        NULL);
  return TRUE;
}

/* ---- frames ------------------------------------------------------------ */

static void
report_mismatch (GstMaskOverlay * self, const GstInstanceMaskMeta * meta)
{
  const GstVideoInfo *info = &GST_VIDEO_FILTER (self)->in_info;

  if (self->mismatch_reported)
    return;
  self->mismatch_reported = TRUE;
  GST_ELEMENT_WARNING (self, STREAM, FAILED,
      ("Masks are not drawn: they were made for frames of %ux%u, but these "
          "are %dx%d", meta->frame_width, meta->frame_height, info->width,
          info->height),
      ("an element between condinstseg and maskoverlay changes the size of "
          "frames, but not their metadata"));
}

/* Appends the masks of @buffer that are wanted, without references of their
 * own; FALSE if it has no metadata. */
static gboolean
collect_masks (GstMaskOverlay * self, GstBuffer * buffer)
{
  const GstVideoInfo *info = &GST_VIDEO_FILTER (self)->in_info;
  gpointer state = NULL;
  gboolean found = FALSE;
  GstMeta *meta;
  guint i, n;

  while ((meta = gst_buffer_iterate_meta_filtered (buffer, &state,
              GST_INSTANCE_MASK_META_API_TYPE))) {
    GstInstanceMaskMeta *masks = (GstInstanceMaskMeta *) meta;

    found = TRUE;
    if (!gst_instance_mask_meta_matches (masks, info->width, info->height)) {
      report_mismatch (self, masks);
      continue;
    }
    n = gst_instance_mask_meta_get_n_instances (masks);
    for (i = 0; i < n; i++) {
      const GstInstanceMask *mask =
          gst_instance_mask_meta_get_instance (masks, i);

      if (mask_overlay_settings_wants (self->current, mask))
        g_array_append_vals (self->masks, mask, 1);
    }
  }
  return found;
}

/* Keeps the masks for frames without any. */
static void
hold_masks (GstMaskOverlay * self, GstClockTime now)
{
  guint i;

  g_array_set_size (self->held, 0);
  g_array_append_vals (self->held, self->masks->data, self->masks->len);
  for (i = 0; i < self->held->len; i++) {
    GstInstanceMask *mask = &g_array_index (self->held, GstInstanceMask, i);

    if (mask->grid)
      g_bytes_ref (mask->grid);
  }
  self->held_since = now;
  self->is_holding = TRUE;
}

static gboolean
may_reuse (GstMaskOverlay * self, GstClockTime now)
{
  guint64 expire = self->current->expire_overlay;

  if (!self->is_holding || expire == 0)
    return FALSE;
  if (expire == G_MAXUINT64)
    return TRUE;
  return GST_CLOCK_TIME_IS_VALID (now)
      && GST_CLOCK_TIME_IS_VALID (self->held_since) && now >= self->held_since
      && now - self->held_since <= expire;
}

/* Finds out what is to be drawn on @buffer; FALSE for nothing. */
static gboolean
prepare_masks (GstMaskOverlay * self, GstBuffer * buffer)
{
  GstBaseTransform *trans = GST_BASE_TRANSFORM (self);
  GstClockTime now = frame_running_time (&trans->segment, buffer);

  g_clear_pointer (&self->current, mask_overlay_settings_unref);
  GST_OBJECT_LOCK (self);
  self->current = mask_overlay_settings_ref (self->settings);
  GST_OBJECT_UNLOCK (self);

  g_array_set_size (self->masks, 0);
  if (collect_masks (self, buffer)) {
    self->settled = TRUE;
    if (self->current->expire_overlay > 0)
      hold_masks (self, now);
    return gst_mask_draw_needed (&self->current->options, self->masks->len);
  }

  if (!self->settled && ++self->n_frames == PATIENCE)
    report_missing_metadata (self);
  if (!may_reuse (self, now))
    return FALSE;
  g_array_append_vals (self->masks, self->held->data, self->held->len);
  return gst_mask_draw_needed (&self->current->options, self->masks->len);
}

/* A frame on which nothing is drawn goes on as it is, writable or not. */
static GstFlowReturn
prepare_output_buffer (GstBaseTransform * trans, GstBuffer * inbuf,
    GstBuffer ** outbuf)
{
  GstMaskOverlay *self = GST_MASK_OVERLAY (trans);
  GstClockTime time = frame_stream_time (&trans->segment, inbuf);

  if (GST_CLOCK_TIME_IS_VALID (time))
    gst_object_sync_values (GST_OBJECT (self), time);
  self->needed = prepare_masks (self, inbuf);
  if (!self->needed) {
    *outbuf = inbuf;
    return GST_FLOW_OK;
  }
  return GST_BASE_TRANSFORM_CLASS (gst_mask_overlay_parent_class)->
      prepare_output_buffer (trans, inbuf, outbuf);
}

static gboolean
draw_frame (GstMaskOverlay * self, GstVideoFrame * frame,
    const CiImage * image, GError ** error)
{
  const GstMaskDrawOptions *options = &self->current->options;
  const GstInstanceMask *masks = (const GstInstanceMask *) self->masks->data;

  if (image->on_device)
    return mask_overlay_cuda_draw (&self->cuda, self->draw, &frame->info,
        image, options, masks, self->masks->len, error);
  gst_mask_draw_frame (self->draw, frame, options, masks, self->masks->len);
  return TRUE;
}

static GstFlowReturn
transform_ip (GstBaseTransform * trans, GstBuffer * buffer)
{
  GstMaskOverlay *self = GST_MASK_OVERLAY (trans);
  GstVideoFilter *filter = GST_VIDEO_FILTER (trans);
  CondInstCuda *cuda = NULL;
  g_autoptr (GError) error = NULL;
  GstVideoFrame frame;
  CiImage image;
  gboolean ok;

  if (!self->needed)
    return GST_FLOW_OK;
  if (!filter->negotiated) {
    GST_ELEMENT_ERROR (self, CORE, NEGOTIATION, (NULL),
        ("a frame came before its caps"));
    return GST_FLOW_NOT_NEGOTIATED;
  }
  if (self->on_cuda)
    cuda = mask_overlay_cuda_choose (&self->cuda, buffer,
        &self->current->options);
  if (!cond_inst_cuda_map (cuda, &filter->in_info, buffer, GST_MAP_READWRITE,
          &frame, &image)) {
    GST_ELEMENT_ERROR (self, RESOURCE, WRITE,
        ("A frame cannot be drawn on."),
        ("mapping a buffer of %" G_GSIZE_FORMAT " bytes as %dx%d %s for "
            "writing failed", gst_buffer_get_size (buffer),
            filter->in_info.width, filter->in_info.height,
            GST_VIDEO_INFO_NAME (&filter->in_info)));
    return GST_FLOW_ERROR;
  }
  ok = draw_frame (self, &frame, &image, &error);
  gst_video_frame_unmap (&frame);
  if (image.stream)
    cond_inst_cuda_set_busy (buffer);
  if (!ok) {
    GST_ELEMENT_ERROR (self, LIBRARY, FAILED,
        ("A frame cannot be drawn on: %s.", error->message), (NULL));
    return GST_FLOW_ERROR;
  }
  return GST_FLOW_OK;
}

/* ---- class ------------------------------------------------------------- */

static void
finalize (GObject * object)
{
  GstMaskOverlay *self = GST_MASK_OVERLAY (object);

  mask_overlay_settings_unref (self->settings);
  g_clear_pointer (&self->current, mask_overlay_settings_unref);
  mask_overlay_cuda_clear (&self->cuda);
  gst_mask_draw_free (self->draw);
  g_array_unref (self->masks);
  g_array_unref (self->held);
  G_OBJECT_CLASS (gst_mask_overlay_parent_class)->finalize (object);
}

static void
gst_mask_overlay_init (GstMaskOverlay * self)
{
  self->settings = mask_overlay_settings_new ();
  self->draw = gst_mask_draw_new ();
  self->cuda.shared.element = GST_ELEMENT (self);
  self->masks = g_array_new (FALSE, FALSE, sizeof (GstInstanceMask));
  self->held = g_array_new (FALSE, FALSE, sizeof (GstInstanceMask));
  g_array_set_clear_func (self->held, clear_mask);
  gst_base_transform_set_in_place (GST_BASE_TRANSFORM (self), TRUE);
  /* drawing is cheap: whether a late frame is shown is up to the sink */
  gst_base_transform_set_qos_enabled (GST_BASE_TRANSFORM (self), FALSE);
}

static void
gst_mask_overlay_class_init (GstMaskOverlayClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GstBaseTransformClass *trans_class = GST_BASE_TRANSFORM_CLASS (klass);
  GstVideoFilterClass *filter_class = GST_VIDEO_FILTER_CLASS (klass);

  object_class->set_property = set_property;
  object_class->get_property = get_property;
  object_class->finalize = finalize;
  mask_overlay_settings_install (object_class);

  element_class->set_context = set_context;
  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_set_static_metadata (element_class,
      "Instance mask overlay", "Filter/Visualization/Video",
      "Draws the masks, outlines, boxes and labels of the objects that "
      "condinstseg found, or blurs, hides or cuts them out",
      "The gst-condinst developers");

  trans_class->start = start;
  trans_class->stop = stop;
  trans_class->sink_event = sink_event;
  trans_class->query = query;
  trans_class->propose_allocation = propose_allocation;
  trans_class->prepare_output_buffer = prepare_output_buffer;
  /* not GstVideoFilter's, which maps every frame for writing */
  trans_class->transform = NULL;
  trans_class->transform_ip = transform_ip;
  trans_class->transform_ip_on_passthrough = FALSE;
  filter_class->set_info = set_info;
}
