/* GStreamer instance segmentation
 *
 * frametime.h: times of a frame, for the elements
 *
 * Segments need not be in time (appsrc begins in bytes); then nothing is known
 * about when a frame is due.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef __GST_FRAME_TIME_H__
#define __GST_FRAME_TIME_H__

#include <gst/gst.h>

G_BEGIN_DECLS

static inline GstClockTime
frame_running_time (const GstSegment * segment, GstBuffer * buffer)
{
  return segment->format == GST_FORMAT_TIME ?
      gst_segment_to_running_time (segment, GST_FORMAT_TIME,
      GST_BUFFER_PTS (buffer)) : GST_CLOCK_TIME_NONE;
}

static inline GstClockTime
frame_stream_time (const GstSegment * segment, GstBuffer * buffer)
{
  return segment->format == GST_FORMAT_TIME ?
      gst_segment_to_stream_time (segment, GST_FORMAT_TIME,
      GST_BUFFER_PTS (buffer)) : GST_CLOCK_TIME_NONE;
}

G_END_DECLS

#endif
