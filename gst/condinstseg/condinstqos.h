/* GStreamer instance segmentation
 *
 * condinstqos.h: which frames are too late to be looked at
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef __COND_INST_QOS_H__
#define __COND_INST_QOS_H__

#include <gst/gst.h>

G_BEGIN_DECLS

/* Plain data; whoever owns it keeps threads apart. All times are running
 * times. */
typedef struct
{
  GstClockTime frame_duration;  /* 0 if unknown */
  GstClockTime earliest_time;   /* what is due until then is late */
  gdouble proportion;           /* of the last QoS event */
  GstClockTime inferred_time;   /* the last inferred frame */
  GstClockTime inferred_cost;   /* how long its inference took */
} CondInstQos;

/* Forgets all but the duration of frames. */
void cond_inst_qos_reset (CondInstQos * qos);
/* The frame at @time was inferred, which took @cost. */
void cond_inst_qos_inferred (CondInstQos * qos, GstClockTime time,
    GstClockTime cost);
/* Downstream says that the frame at @timestamp was late by @diff (negative: in
 * time). Returns what of a positive @diff is not inference's fault, and so for
 * elements upstream to make up for. */
GstClockTimeDiff cond_inst_qos_update (CondInstQos * qos, gdouble proportion,
    GstClockTimeDiff diff, GstClockTime timestamp);
/* Whether the frame at @time would better go without inference. */
gboolean cond_inst_qos_is_late (const CondInstQos * qos, GstClockTime time);
/* What @element posts about the late frame @buffer, after @inferred frames and
 * @skipped late ones. */
GstMessage *cond_inst_qos_make_message (const CondInstQos * qos,
    GstObject * element, const GstSegment * segment, GstBuffer * buffer,
    gboolean live, guint64 inferred, guint64 skipped);

G_END_DECLS

#endif
