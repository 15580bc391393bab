/* GStreamer instance segmentation
 *
 * condinstanalytics.h: objects as GStreamer's own analytics metadata
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef __COND_INST_ANALYTICS_H__
#define __COND_INST_ANALYTICS_H__

#include <gst/instancemask/instancemask.h>

G_BEGIN_DECLS

/* Whether this build knows GstAnalyticsRelationMeta (GStreamer >= 1.24). */
gboolean cond_inst_analytics_available (void);

/* Adds @n objects to the GstAnalyticsRelationMeta of the writable @buffer,
 * which gets one if it has none. Each becomes an object detection and, from
 * GStreamer 1.26 on, a segmentation of its own with the classification of its
 * region, all related to each other as GStreamer's tensor decoders do it. The
 * frame has @width x @height pixels. */
void cond_inst_analytics_attach (GstBuffer * buffer,
    const GstInstanceMask * masks, guint n, guint width, guint height);

G_END_DECLS

#endif
