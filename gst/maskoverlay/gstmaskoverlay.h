/* GStreamer instance masks
 *
 * gstmaskoverlay.h: draws instance masks into video
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef __GST_MASK_OVERLAY_H__
#define __GST_MASK_OVERLAY_H__

#include <gst/gst.h>
#include <gst/video/gstvideofilter.h>

G_BEGIN_DECLS

#define GST_TYPE_MASK_OVERLAY (gst_mask_overlay_get_type ())
G_DECLARE_FINAL_TYPE (GstMaskOverlay, gst_mask_overlay, GST, MASK_OVERLAY,
    GstVideoFilter)

GST_ELEMENT_REGISTER_DECLARE (maskoverlay)

G_END_DECLS

#endif
