/* GStreamer instance segmentation
 *
 * condinstqos.c: which frames are too late to be looked at
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "../frametime.h"
#include "condinstqos.h"

/* Late frames are inferred all the same after this much running time (or four
 * times what inference takes), so that a pipeline that is slow elsewhere does
 * not blind us for good. */
#define MAX_BLIND_TIME GST_SECOND

void
cond_inst_qos_reset (CondInstQos * qos)
{
  qos->earliest_time = GST_CLOCK_TIME_NONE;
  qos->proportion = 1.0;
  qos->inferred_time = GST_CLOCK_TIME_NONE;
  qos->inferred_cost = 0;
}

void
cond_inst_qos_inferred (CondInstQos * qos, GstClockTime time,
    GstClockTime cost)
{
  qos->inferred_time = time;
  qos->inferred_cost = cost;
}

GstClockTimeDiff
cond_inst_qos_update (CondInstQos * qos, gdouble proportion,
    GstClockTimeDiff diff, GstClockTime timestamp)
{
  GstClockTimeDiff cost = qos->inferred_cost, since, ours;

  qos->proportion = proportion;
  if (!GST_CLOCK_TIME_IS_VALID (timestamp))
    return diff;

  if (diff <= 0) {
    /* in time, so whatever was in the way is gone */
    if (GST_CLOCK_TIME_IS_VALID (qos->earliest_time))
      qos->earliest_time = MIN (qos->earliest_time, timestamp + cost);
    return diff;
  }

  /* As decoders do: what was lost, and as much again for frames that are in
   * time, or else each of these would be inferred and late again. */
  qos->earliest_time = timestamp + 2 * diff + qos->frame_duration;

  /* Inference holds up its frame, and those after it until time has caught up.
   * This is made up for here; a decoder would drop frames for it. */
  if (!GST_CLOCK_TIME_IS_VALID (qos->inferred_time))
    return diff;
  since = MAX (GST_CLOCK_DIFF (qos->inferred_time, timestamp), 0);
  ours = CLAMP (cost - since, 0, diff);
  return diff - ours;
}

gboolean
cond_inst_qos_is_late (const CondInstQos * qos, GstClockTime time)
{
  return GST_CLOCK_TIME_IS_VALID (time)
      && GST_CLOCK_TIME_IS_VALID (qos->earliest_time)
      && GST_CLOCK_TIME_IS_VALID (qos->inferred_time)
      && time <= qos->earliest_time
      && time < qos->inferred_time + MAX (MAX_BLIND_TIME,
      4 * qos->inferred_cost);
}

GstMessage *
cond_inst_qos_make_message (const CondInstQos * qos, GstObject * element,
    const GstSegment * segment, GstBuffer * buffer, gboolean live,
    guint64 inferred, guint64 skipped)
{
  GstClockTime running_time = frame_running_time (segment, buffer);
  GstMessage *message = gst_message_new_qos (element, live, running_time,
      frame_stream_time (segment, buffer), GST_BUFFER_PTS (buffer),
      GST_BUFFER_DURATION (buffer));

  gst_message_set_qos_values (message, GST_CLOCK_DIFF (running_time,
          qos->earliest_time), qos->proportion, 1000000);
  gst_message_set_qos_stats (message, GST_FORMAT_BUFFERS, inferred, skipped);
  return message;
}
