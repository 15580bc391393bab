/* GStreamer instance segmentation
 *
 * condinstframe.c: a frame on its way through the element
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "condinstframe.h"

CondInstFrame *
cond_inst_frame_new (GstBuffer * buffer, const CondInstOptions * options)
{
  CondInstFrame *frame = g_new0 (CondInstFrame, 1);

  frame->buffer = buffer;
  frame->options = *options;
  return frame;
}

static void
unmap (CondInstFrame * frame)
{
  if (frame->mapped)
    gst_video_frame_unmap (&frame->video);
  frame->mapped = FALSE;
}

void
cond_inst_frame_free (CondInstFrame * frame)
{
  unmap (frame);
  if (frame->buffer)
    gst_buffer_unref (frame->buffer);
  g_free (frame);
}

static gboolean
map (CondInstFrame * frame, CondInstEngine * engine, CiImage * image,
    GError ** error)
{
  const GstVideoInfo *info = &engine->info;

  frame->mapped = cond_inst_cuda_map (engine->options.device ? &engine->cuda
      : NULL, info, frame->buffer, GST_MAP_READ, &frame->video, image);
  if (!frame->mapped)
    g_set_error (error, GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT,
        "a %dx%d %s frame takes %" G_GSIZE_FORMAT " bytes, the buffer has %"
        G_GSIZE_FORMAT, engine->format.width, engine->format.height,
        gst_video_format_to_string (GST_VIDEO_INFO_FORMAT (info)),
        GST_VIDEO_INFO_SIZE (info), gst_buffer_get_size (frame->buffer));
  return frame->mapped;
}

static void
add_time_since (CondInstFrame * frame, gint64 start_us)
{
  frame->times_ns[COND_INST_STAGE_TOTAL] +=
      (g_get_monotonic_time () - start_us) * 1000;
}

/* Adds what was found to @result, and what it took to the frame's times. */
static void
take_found (CondInstFrame * frame, CondInstEngine * engine,
    CondInstResult * result, const CiInstance * found, gint n)
{
  CiSessionTimes times;

  cond_inst_result_add (result, found, n, engine->quarks,
      frame->options.mask_threshold, &frame->params);
  ci_session_get_times (engine->session, &times);
  frame->times_ns[COND_INST_STAGE_PREPROCESS] += times.preprocess_ns;
  frame->times_ns[COND_INST_STAGE_NETWORK] += times.network_ns;
  frame->times_ns[COND_INST_STAGE_DECODE] += times.decode_ns;
  frame->times_ns[COND_INST_STAGE_MASKS] += times.masks_ns;
}

gboolean
cond_inst_frame_submit (CondInstFrame * frame, CondInstEngine * engine,
    GError ** error)
{
  gint64 start = g_get_monotonic_time ();
  CiImage image;

  if (!map (frame, engine, &image, error))
    return FALSE;
  frame->in_flight = ci_session_submit (engine->session, &image, NULL,
      &frame->params, error);
  /* on a device it is still to be read */
  if (!frame->in_flight || !image.on_device)
    unmap (frame);
  add_time_since (frame, start);
  return frame->in_flight;
}

gboolean
cond_inst_frame_collect (CondInstFrame * frame, CondInstEngine * engine,
    CondInstResult * result, GError ** error)
{
  gint64 start = g_get_monotonic_time (), sum = 0;
  const CiInstance *found;
  gboolean ok;
  gint n;

  ok = ci_session_collect (engine->session, &found, &n, error);
  frame->in_flight = FALSE;
  unmap (frame);
  if (!ok)
    return FALSE;
  cond_inst_result_reset (result, engine->format.width,
      engine->format.height);
  take_found (frame, engine, result, found, n);
  add_time_since (frame, start);
  /* a device has worked on it while the element did something else */
  for (guint i = 0; i < COND_INST_STAGE_TOTAL; i++)
    sum += frame->times_ns[i];
  frame->times_ns[COND_INST_STAGE_TOTAL] =
      MAX (frame->times_ns[COND_INST_STAGE_TOTAL], sum);
  return TRUE;
}

gboolean
cond_inst_frame_look_into_regions (CondInstFrame * frame,
    CondInstEngine * engine, gchar ** types, CondInstResult * result,
    GError ** error)
{
  gint64 start = g_get_monotonic_time ();
  GstVideoRegionOfInterestMeta *roi;
  gpointer state = NULL;
  gboolean ok = TRUE;
  CiImage image;

  if (!map (frame, engine, &image, error))
    return FALSE;
  cond_inst_result_reset (result, engine->format.width,
      engine->format.height);
  while (ok && (roi = (GstVideoRegionOfInterestMeta *)
          gst_buffer_iterate_meta_filtered (frame->buffer, &state,
              GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE))) {
    const gchar *type = g_quark_to_string (roi->roi_type);
    CiRegion region = { MIN (roi->x, G_MAXINT), MIN (roi->y, G_MAXINT),
      MIN (roi->w, G_MAXINT), MIN (roi->h, G_MAXINT)
    };
    const CiInstance *found;
    gint n;

    if (types && !(type && g_strv_contains ((const gchar * const *) types,
                type)))
      continue;
    /* trackers let regions leave the frame */
    if (region.x >= engine->format.width || region.y >= engine->format.height
        || region.width == 0 || region.height == 0)
      continue;
    ok = ci_session_run_region (engine->session, &image, &region,
        &frame->params, &found, &n, error);
    if (ok)
      take_found (frame, engine, result, found, n);
  }
  unmap (frame);
  cond_inst_result_truncate (result, frame->params.post_nms_top_k);
  add_time_since (frame, start);
  return ok;
}
