/* GStreamer instance masks
 *
 * gstinstancemaskmeta.h: the objects of a frame as metadata of its buffer
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef __GST_INSTANCE_MASK_META_H__
#define __GST_INSTANCE_MASK_META_H__

#include <gst/instancemask/gstinstancemask.h>

G_BEGIN_DECLS

typedef struct _GstInstanceMaskMeta GstInstanceMaskMeta;

/**
 * GstInstanceMaskMeta:
 * @meta: parent
 * @source: who found the objects (as a quark; 0 if unknown), for telling the
 *   metas of several elements apart
 * @frame_width: width of the frame that all boxes and maps are about
 * @frame_height: its height
 *
 * What an element found in a frame. A meta without instances says that it
 * looked and found nothing; a buffer without a meta that nobody looked.
 *
 * A buffer whose video is not @frame_width x @frame_height went through an
 * element that changes the frame's geometry without telling metadata how;
 * see gst_instance_mask_meta_matches().
 */
struct _GstInstanceMaskMeta
{
  GstMeta meta;

  GQuark source;
  guint frame_width, frame_height;

  /*< private >*/
  GArray *instances;
};

#define GST_INSTANCE_MASK_META_API_TYPE \
  (gst_instance_mask_meta_api_get_type ())
#define GST_INSTANCE_MASK_META_INFO (gst_instance_mask_meta_get_info ())

GST_INSTANCE_MASK_API
GType gst_instance_mask_meta_api_get_type (void);

GST_INSTANCE_MASK_API
const GstMetaInfo *gst_instance_mask_meta_get_info (void);

GST_INSTANCE_MASK_API
GstInstanceMaskMeta *gst_buffer_add_instance_mask_meta (GstBuffer * buffer,
    const gchar * source, guint frame_width, guint frame_height);

GST_INSTANCE_MASK_API
GstInstanceMaskMeta *gst_buffer_get_instance_mask_meta (GstBuffer * buffer);

GST_INSTANCE_MASK_API
const gchar *gst_instance_mask_meta_get_source (
    const GstInstanceMaskMeta * meta);

GST_INSTANCE_MASK_API
guint gst_instance_mask_meta_add (GstInstanceMaskMeta * meta,
    const GstInstanceMask * mask);

GST_INSTANCE_MASK_API
guint gst_instance_mask_meta_get_n_instances (
    const GstInstanceMaskMeta * meta);

GST_INSTANCE_MASK_API
GstInstanceMask *gst_instance_mask_meta_get_instance (
    const GstInstanceMaskMeta * meta, guint index);

GST_INSTANCE_MASK_API
void gst_instance_mask_meta_remove (GstInstanceMaskMeta * meta, guint index);

GST_INSTANCE_MASK_API
gboolean gst_instance_mask_meta_matches (const GstInstanceMaskMeta * meta,
    guint width, guint height);

/* Geometry */

GST_INSTANCE_MASK_API
void gst_instance_mask_meta_scale (GstInstanceMaskMeta * meta, gfloat x,
    gfloat y, gfloat width, gfloat height, guint frame_width,
    guint frame_height);

GST_INSTANCE_MASK_API
void gst_instance_mask_meta_crop (GstInstanceMaskMeta * meta, gint x, gint y,
    guint width, guint height);

GST_INSTANCE_MASK_API
gboolean gst_instance_mask_meta_orient (GstInstanceMaskMeta * meta,
    GstVideoOrientationMethod method);

GST_INSTANCE_MASK_API
void gst_instance_mask_follow (GstPad * pad);

/* Bytes */

GST_INSTANCE_MASK_API
GBytes *gst_instance_mask_meta_to_bytes (const GstInstanceMaskMeta * meta);

GST_INSTANCE_MASK_API
GstInstanceMaskMeta *gst_buffer_add_instance_mask_meta_from_bytes (
    GstBuffer * buffer, GBytes * bytes, GError ** error);

G_END_DECLS

#endif
