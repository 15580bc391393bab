/* GStreamer instance segmentation
 *
 * gstcondinstseg.h: finds objects and their masks in video
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef __GST_COND_INST_SEG_H__
#define __GST_COND_INST_SEG_H__

#include <gst/base/gstbasetransform.h>

G_BEGIN_DECLS

#define GST_TYPE_COND_INST_SEG (gst_cond_inst_seg_get_type ())
G_DECLARE_FINAL_TYPE (GstCondInstSeg, gst_cond_inst_seg, GST, COND_INST_SEG,
    GstBaseTransform)

GST_ELEMENT_REGISTER_DECLARE (condinstseg);

G_END_DECLS

#endif
