/* GStreamer instance masks
 *
 * gstinstancemaskmeta.c: the objects of a frame as metadata of its buffer
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/**
 * SECTION:gstinstancemaskmeta
 * @title: GstInstanceMaskMeta
 * @short_description: the objects of a frame as metadata of its buffer
 *
 * The meta follows the frame through elements that work in place, through
 * copies, and, by GStreamer's transform for scaling, through videoconvert,
 * videoscale and their like, borders included. (Up to GStreamer 1.26 metas are
 * not told whether borders are added; they are taken to be there whenever the
 * display aspect ratio changes, which is what videoscale does unless
 * add-borders=false.)
 *
 * Up to GStreamer 1.26 videocrop and videoflip tell metas nothing about what
 * they do, and this one is dropped there rather than left wrong, unless
 * gst_instance_mask_follow() watches over the way.
 */

#include <string.h>
#include "instancemask.h"
#include "gstinstancemask-private.h"

GST_DEBUG_CATEGORY_STATIC (instance_mask_debug);
#define GST_CAT_DEFAULT instance_mask_debug

static void
debug_init (void)
{
  static gsize once = 0;

  if (g_once_init_enter (&once)) {
    GST_DEBUG_CATEGORY_INIT (instance_mask_debug, "instancemask", 0,
        "instance masks");
    g_once_init_leave (&once, 1);
  }
}

/**
 * gst_instance_mask_meta_api_get_type:
 *
 * Returns: the type of the meta's API
 */
GType
gst_instance_mask_meta_api_get_type (void)
{
  /* These tags, and no other, make videoconvertscale ask the transform. */
  static const gchar *tags[] = { GST_META_TAG_VIDEO_STR,
    GST_META_TAG_VIDEO_SIZE_STR, GST_META_TAG_VIDEO_ORIENTATION_STR, NULL
  };
  static gsize type = 0;

  if (g_once_init_enter (&type)) {
    GType t = gst_meta_api_type_register ("GstInstanceMaskMetaAPI", tags);

    g_once_init_leave (&type, t);
  }
  return type;
}

static gboolean
meta_init (GstMeta * meta, gpointer params, GstBuffer * buffer)
{
  GstInstanceMaskMeta *self = (GstInstanceMaskMeta *) meta;

  self->source = 0;
  self->frame_width = self->frame_height = 0;
  self->instances = g_array_new (FALSE, FALSE, sizeof (GstInstanceMask));
  g_array_set_clear_func (self->instances,
      (GDestroyNotify) gst_instance_mask_clear);
  return TRUE;
}

static void
meta_free (GstMeta * meta, GstBuffer * buffer)
{
  g_array_unref (((GstInstanceMaskMeta *) meta)->instances);
}

GstInstanceMaskMeta *
gst_instance_mask_meta_clone (GstBuffer * buffer,
    const GstInstanceMaskMeta * src)
{
  GstInstanceMaskMeta *dst;

  dst = (GstInstanceMaskMeta *) gst_buffer_add_meta (buffer,
      GST_INSTANCE_MASK_META_INFO, NULL);
  dst->source = src->source;
  dst->frame_width = src->frame_width;
  dst->frame_height = src->frame_height;
  g_array_set_size (dst->instances, src->instances->len);
  for (guint i = 0; i < src->instances->len; i++) {
    gst_instance_mask_init_copy (&g_array_index (dst->instances,
            GstInstanceMask, i),
        &g_array_index (src->instances, GstInstanceMask, i));
  }
  return dst;
}

/* Where videoconvertscale (and those that do as it does) puts the picture: if
 * the display aspect ratio changes, with borders around it; the same integer
 * arithmetic, since a rounding error here would shift the mask. */
static void
scaled_rectangle (const GstVideoInfo * in, const GstVideoInfo * out,
    gint * x, gint * y, gint * width, gint * height)
{
  gint in_dar_n, in_dar_d, out_dar_n, out_dar_d, n, d;

  *x = *y = 0;
  *width = out->width;
  *height = out->height;

  if (!gst_util_fraction_multiply (in->width, in->height, in->par_n,
          in->par_d, &in_dar_n, &in_dar_d))
    return;
  if (gst_util_fraction_multiply (out->width, out->height, out->par_n,
          out->par_d, &out_dar_n, &out_dar_d)
      && in_dar_n == out_dar_n && in_dar_d == out_dar_d)
    return;
  if (!gst_util_fraction_multiply (in_dar_n, in_dar_d, out->par_d, out->par_n,
          &n, &d))
    return;

  *height = (gint) gst_util_uint64_scale_int (out->width, d, n);
  if (*height <= out->height) {
    *y = (out->height - *height) / 2;
  } else {
    *height = out->height;
    *width = (gint) gst_util_uint64_scale_int (out->height, n, d);
    *x = (out->width - *width) / 2;
  }
}

static gboolean
meta_transform_scale (GstBuffer * dest, const GstInstanceMaskMeta * src,
    const GstVideoMetaTransform * transform)
{
  const GstVideoInfo *in = transform->in_info, *out = transform->out_info;
  GstInstanceMaskMeta *dst;
  gint x, y, width, height;

  if (!gst_instance_mask_meta_matches (src, in->width, in->height)) {
    GST_WARNING ("dropping masks of a %ux%u frame: it is %dx%d now, and no "
        "element said what became of them", src->frame_width,
        src->frame_height, in->width, in->height);
    return FALSE;
  }

  dst = gst_instance_mask_meta_clone (dest, src);
  scaled_rectangle (in, out, &x, &y, &width, &height);
  gst_instance_mask_meta_scale (dst, x, y, width, height, out->width,
      out->height);
  return TRUE;
}

static gboolean
meta_transform (GstBuffer * dest, GstMeta * meta, GstBuffer * buffer,
    GQuark type, gpointer data)
{
  const GstInstanceMaskMeta *src = (GstInstanceMaskMeta *) meta;

  if (GST_META_TRANSFORM_IS_COPY (type)) {
    const GstMetaTransformCopy *copy = data;

    /* A part of the bytes is not the frame. */
    if (copy->region && (copy->offset != 0 || (copy->size != (gsize) - 1
                && copy->size != gst_buffer_get_size (buffer))))
      return FALSE;
    gst_instance_mask_meta_clone (dest, src);
    return TRUE;
  }
  if (GST_VIDEO_META_TRANSFORM_IS_SCALE (type))
    return meta_transform_scale (dest, src, data);
  return FALSE;
}

#if GST_CHECK_VERSION (1, 24, 0)
static gboolean
meta_serialize (const GstMeta * meta, GstByteArrayInterface * data,
    guint8 * version)
{
  g_autoptr (GBytes) bytes =
      gst_instance_mask_meta_to_bytes ((const GstInstanceMaskMeta *) meta);
  gsize size;
  const guint8 *p = g_bytes_get_data (bytes, &size);

  *version = 1;
  return gst_byte_array_interface_append_data (data, p, size);
}

static GstMeta *
meta_deserialize (const GstMetaInfo * info, GstBuffer * buffer,
    const guint8 * data, gsize size, guint8 version)
{
  g_autoptr (GBytes) bytes = g_bytes_new (data, size);
  g_autoptr (GError) error = NULL;
  GstInstanceMaskMeta *meta;

  if (version != 1) {
    GST_WARNING ("cannot read version %u of instance masks, only 1", version);
    return NULL;
  }
  meta = gst_buffer_add_instance_mask_meta_from_bytes (buffer, bytes, &error);
  if (!meta)
    GST_WARNING ("%s", error->message);
  return (GstMeta *) meta;
}

static void
meta_clear (GstBuffer * buffer, GstMeta * meta)
{
  g_array_set_size (((GstInstanceMaskMeta *) meta)->instances, 0);
}
#endif

/**
 * gst_instance_mask_meta_get_info:
 *
 * Returns: (transfer none): the meta's implementation
 */
const GstMetaInfo *
gst_instance_mask_meta_get_info (void)
{
  static const GstMetaInfo *info = NULL;

  if (g_once_init_enter (&info)) {
    const GstMetaInfo *meta_info;

    debug_init ();
#if GST_CHECK_VERSION (1, 24, 0)
    {
      GstMetaInfo *mine = gst_meta_info_new (GST_INSTANCE_MASK_META_API_TYPE,
          "GstInstanceMaskMeta", sizeof (GstInstanceMaskMeta));

      mine->init_func = meta_init;
      mine->free_func = meta_free;
      mine->transform_func = meta_transform;
      mine->serialize_func = meta_serialize;
      mine->deserialize_func = meta_deserialize;
      mine->clear_func = meta_clear;
      meta_info = gst_meta_info_register (mine);
    }
#else
    meta_info = gst_meta_register (GST_INSTANCE_MASK_META_API_TYPE,
        "GstInstanceMaskMeta", sizeof (GstInstanceMaskMeta), meta_init,
        meta_free, meta_transform);
#endif
    g_once_init_leave (&info, meta_info);
  }
  return info;
}

/**
 * gst_buffer_add_instance_mask_meta:
 * @buffer: a writable #GstBuffer
 * @source: (nullable): who found the objects, for instance the element's name
 * @frame_width: width of the frame
 * @frame_height: its height
 *
 * Adds a meta without instances, which says that nothing was found.
 *
 * Returns: (transfer none): the new meta; it belongs to @buffer
 */
GstInstanceMaskMeta *
gst_buffer_add_instance_mask_meta (GstBuffer * buffer, const gchar * source,
    guint frame_width, guint frame_height)
{
  GstInstanceMaskMeta *meta;

  g_return_val_if_fail (GST_IS_BUFFER (buffer), NULL);
  g_return_val_if_fail (gst_buffer_is_writable (buffer), NULL);

  meta = (GstInstanceMaskMeta *) gst_buffer_add_meta (buffer,
      GST_INSTANCE_MASK_META_INFO, NULL);
  meta->source = g_quark_from_string (source);
  meta->frame_width = frame_width;
  meta->frame_height = frame_height;
  return meta;
}

/**
 * gst_buffer_get_instance_mask_meta:
 * @buffer: a #GstBuffer
 *
 * Returns: (transfer none) (nullable): the first #GstInstanceMaskMeta of
 *   @buffer; %NULL if nobody looked for objects
 */
GstInstanceMaskMeta *
gst_buffer_get_instance_mask_meta (GstBuffer * buffer)
{
  g_return_val_if_fail (GST_IS_BUFFER (buffer), NULL);

  return (GstInstanceMaskMeta *) gst_buffer_get_meta (buffer,
      GST_INSTANCE_MASK_META_API_TYPE);
}

/**
 * gst_instance_mask_meta_get_source:
 * @meta: a #GstInstanceMaskMeta
 *
 * Returns: (nullable): who found the objects
 */
const gchar *
gst_instance_mask_meta_get_source (const GstInstanceMaskMeta * meta)
{
  g_return_val_if_fail (meta != NULL, NULL);

  return g_quark_to_string (meta->source);
}

/**
 * gst_instance_mask_meta_add:
 * @meta: a #GstInstanceMaskMeta of a writable buffer
 * @mask: (transfer none): what to add a copy of; the grid is shared
 *
 * Returns: the index of the copy
 */
guint
gst_instance_mask_meta_add (GstInstanceMaskMeta * meta,
    const GstInstanceMask * mask)
{
  guint index;

  g_return_val_if_fail (meta != NULL && mask != NULL, 0);

  index = meta->instances->len;
  g_array_set_size (meta->instances, index + 1);
  gst_instance_mask_init_copy (&g_array_index (meta->instances,
          GstInstanceMask, index), mask);
  return index;
}

/**
 * gst_instance_mask_meta_get_n_instances:
 * @meta: a #GstInstanceMaskMeta
 *
 * Returns: the number of objects
 */
guint
gst_instance_mask_meta_get_n_instances (const GstInstanceMaskMeta * meta)
{
  g_return_val_if_fail (meta != NULL, 0);

  return meta->instances->len;
}

/**
 * gst_instance_mask_meta_get_instance:
 * @meta: a #GstInstanceMaskMeta
 * @index: less than gst_instance_mask_meta_get_n_instances()
 *
 * Whoever may write to the buffer may change the object, too.
 *
 * Returns: (transfer none) (nullable): the object, valid until one is added
 *   or removed; %NULL if there is none at @index
 */
GstInstanceMask *
gst_instance_mask_meta_get_instance (const GstInstanceMaskMeta * meta,
    guint index)
{
  g_return_val_if_fail (meta != NULL, NULL);

  if (index >= meta->instances->len)
    return NULL;
  return &g_array_index (meta->instances, GstInstanceMask, index);
}

/**
 * gst_instance_mask_meta_remove:
 * @meta: a #GstInstanceMaskMeta of a writable buffer
 * @index: less than gst_instance_mask_meta_get_n_instances()
 *
 * Removes an object; those after it move up by one.
 */
void
gst_instance_mask_meta_remove (GstInstanceMaskMeta * meta, guint index)
{
  g_return_if_fail (meta != NULL);
  g_return_if_fail (index < meta->instances->len);

  g_array_remove_index (meta->instances, index);
}

/**
 * gst_instance_mask_meta_matches:
 * @meta: a #GstInstanceMaskMeta
 * @width: width of the video now
 * @height: its height
 *
 * Elements that change the size of frames but copy all metadata blindly leave
 * boxes and masks of the old frame behind. Ask before using them.
 *
 * Returns: whether the meta is about frames of this size
 */
gboolean
gst_instance_mask_meta_matches (const GstInstanceMaskMeta * meta,
    guint width, guint height)
{
  g_return_val_if_fail (meta != NULL, FALSE);

  return meta->frame_width == width && meta->frame_height == height;
}

/**
 * gst_instance_mask_meta_scale:
 * @meta: a #GstInstanceMaskMeta of a writable buffer
 * @x: left edge of the picture in the new frame
 * @y: its top edge
 * @width: its width
 * @height: its height
 * @frame_width: width of the new frame
 * @frame_height: height of the new frame
 *
 * Makes the meta about a new frame, into a rectangle of which the old one was
 * scaled. Around it there may be borders.
 */
void
gst_instance_mask_meta_scale (GstInstanceMaskMeta * meta, gfloat x,
    gfloat y, gfloat width, gfloat height, guint frame_width,
    guint frame_height)
{
  g_return_if_fail (meta != NULL);
  g_return_if_fail (meta->frame_width > 0 && meta->frame_height > 0);

  for (guint i = 0; i < meta->instances->len; i++) {
    gst_instance_mask_transform (&g_array_index (meta->instances,
            GstInstanceMask, i), width / meta->frame_width,
        height / meta->frame_height, x, y);
  }
  meta->frame_width = frame_width;
  meta->frame_height = frame_height;
}

/**
 * gst_instance_mask_meta_crop:
 * @meta: a #GstInstanceMaskMeta of a writable buffer
 * @x: left column of the part that is kept
 * @y: its top row
 * @width: its width
 * @height: its height
 *
 * Makes the meta about a part of its frame. Objects outside of it are removed,
 * the boxes of others cut and their %GST_INSTANCE_MASK_FLAG_TRUNCATED set.
 */
void
gst_instance_mask_meta_crop (GstInstanceMaskMeta * meta, gint x, gint y,
    guint width, guint height)
{
  g_return_if_fail (meta != NULL);

  meta->frame_width = width;
  meta->frame_height = height;
  for (guint i = meta->instances->len; i-- > 0;) {
    GstInstanceMask *mask =
        &g_array_index (meta->instances, GstInstanceMask, i);

    gst_instance_mask_transform (mask, 1, 1, -x, -y);
    if (!gst_instance_mask_clip (mask, width, height))
      g_array_remove_index (meta->instances, i);
  }
}

/**
 * gst_instance_mask_meta_orient:
 * @meta: a #GstInstanceMaskMeta of a writable buffer
 * @method: how the frame was turned or mirrored; not auto or custom
 *
 * Makes the meta about the turned or mirrored frame.
 *
 * Returns: %FALSE, and nothing is done, for a @method that says nothing
 */
gboolean
gst_instance_mask_meta_orient (GstInstanceMaskMeta * meta,
    GstVideoOrientationMethod method)
{
  gboolean transpose = FALSE, mirror_x = FALSE, mirror_y = FALSE;
  guint t;

  g_return_val_if_fail (meta != NULL, FALSE);

  /* First the mirroring, then the exchange of x and y. */
  switch (method) {
    case GST_VIDEO_ORIENTATION_IDENTITY:
      return TRUE;
    case GST_VIDEO_ORIENTATION_90R:
      mirror_y = transpose = TRUE;
      break;
    case GST_VIDEO_ORIENTATION_180:
      mirror_x = mirror_y = TRUE;
      break;
    case GST_VIDEO_ORIENTATION_90L:
      mirror_x = transpose = TRUE;
      break;
    case GST_VIDEO_ORIENTATION_HORIZ:
      mirror_x = TRUE;
      break;
    case GST_VIDEO_ORIENTATION_VERT:
      mirror_y = TRUE;
      break;
    case GST_VIDEO_ORIENTATION_UL_LR:
      transpose = TRUE;
      break;
    case GST_VIDEO_ORIENTATION_UR_LL:
      mirror_x = mirror_y = transpose = TRUE;
      break;
    default:
      return FALSE;
  }

  for (guint i = 0; i < meta->instances->len; i++) {
    GstInstanceMask *mask =
        &g_array_index (meta->instances, GstInstanceMask, i);

    gst_instance_mask_transform (mask, mirror_x ? -1 : 1, mirror_y ? -1 : 1,
        mirror_x ? meta->frame_width : 0, mirror_y ? meta->frame_height : 0);
    if (transpose)
      gst_instance_mask_transpose (mask);
  }
  if (transpose) {
    t = meta->frame_width;
    meta->frame_width = meta->frame_height;
    meta->frame_height = t;
  }
  return TRUE;
}
