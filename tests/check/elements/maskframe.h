/* GStreamer instance masks
 *
 * maskframe.h: frames, elliptical masks and what the tests of maskoverlay
 * look at
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef MASK_FRAME_H
#define MASK_FRAME_H

#include <math.h>
#include <string.h>

#include <gst/check/gstcheck.h>
#include <gst/check/gstharness.h>
#include <gst/instancemask/gstinstancemaskmeta.h>

#include "maskdraw.h"

#define BACKGROUND 0x406080
#define COLOR 0xe0a020
#define PLAIN "draw-contours=false draw-labels=false draw-scores=false " \
    "palette=#e0a020 "

/* ---- frames ------------------------------------------------------------ */

/* All pixels as 8-bit RGBA, rows of 4 * width bytes, by the textbook's
 * formulas; chroma is repeated. */
G_GNUC_UNUSED static guint8 *
to_rgba (GstBuffer * buffer, GstVideoInfo * info)
{
  guint8 *pixels = g_malloc (4 * info->width * info->height), *p = pixels;
  /* unpacked: 4 components of 8 or 16 bits, of which the upper ones count */
  gint size = GST_VIDEO_INFO_COMP_DEPTH (info, 0) > 8 ? 2 : 1;
  gdouble unit = size > 1 ? 1 << (16 - GST_VIDEO_INFO_COMP_DEPTH (info, 0)) : 1;
  g_autofree guint8 *line = g_malloc (4 * size * (info->width + 32));
  gint offset[4], scale[4], i, k, y;
  gdouble kr = 0.299, kb = 0.114;
  GstVideoFrame frame;

  gst_video_color_matrix_get_Kr_Kb (info->colorimetry.matrix, &kr, &kb);
  gst_video_color_range_offsets (info->colorimetry.range, info->finfo, offset,
      scale);
  fail_unless (gst_video_frame_map (&frame, info, buffer, GST_MAP_READ));
  for (y = 0; y < info->height; y++) {
    info->finfo->unpack_func (info->finfo, GST_VIDEO_PACK_FLAG_NONE, line,
        frame.data, frame.info.stride, 0, y, info->width);
    for (i = 0; i < info->width; i++, p += 4) {
      gdouble c[4];

      for (k = 0; k < 4; k++)
        c[k] = size > 1 ? ((guint16 *) line)[4 * i + k] / unit
            : line[4 * i + k];
      p[3] = MIN (c[0], 255);
      if (GST_VIDEO_INFO_IS_RGB (info)) {
        for (k = 0; k < 3; k++)
          p[k] = c[k + 1];
      } else {
        gboolean grey = GST_VIDEO_INFO_IS_GRAY (info);
        gdouble l = 255. * (c[1] - offset[0]) / scale[0];
        gdouble u = grey ? 0 : 255. * (c[2] - offset[1]) / scale[1];
        gdouble v = grey ? 0 : 255. * (c[3] - offset[2]) / scale[2];
        gdouble r = l + 2 * (1 - kr) * v, b = l + 2 * (1 - kb) * u;
        gdouble g = (l - kr * r - kb * b) / (1 - kr - kb);

        p[0] = (guint8) CLAMP (r + 0.5, 0, 255);
        p[1] = (guint8) CLAMP (g + 0.5, 0, 255);
        p[2] = (guint8) CLAMP (b + 0.5, 0, 255);
      }
    }
  }
  gst_video_frame_unmap (&frame);
  return pixels;
}

/* A frame of one colour, with rows @padding bytes longer than need be. */
G_GNUC_UNUSED static GstBuffer *
make_frame (GstVideoInfo * info, guint padding, guint32 rgb)
{
  GstVideoInfo rgba;
  GstBuffer *buffer, *flat;
  GstVideoConverter *converter;
  GstVideoFrame src, dst;
  gint i;

  if (padding) {
    GstVideoAlignment align;

    gst_video_alignment_reset (&align);
    align.padding_left = align.padding_right = align.padding_top =
        align.padding_bottom = padding;
    gst_video_info_align (info, &align);
  }
  buffer = gst_buffer_new_allocate (NULL, info->size, NULL);
  gst_buffer_memset (buffer, 0, 0x55, info->size);
  if (padding)
    gst_buffer_add_video_meta_full (buffer, 0, GST_VIDEO_INFO_FORMAT (info),
        info->width, info->height, GST_VIDEO_INFO_N_PLANES (info),
        info->offset, info->stride);

  gst_video_info_set_format (&rgba, GST_VIDEO_FORMAT_RGBA, info->width,
      info->height);
  flat = gst_buffer_new_allocate (NULL, rgba.size, NULL);
  fail_unless (gst_video_frame_map (&src, &rgba, flat, GST_MAP_WRITE));
  for (i = 0; i < info->width * info->height; i++) {
    guint8 *p = (guint8 *) src.data[0] + 4 * i;

    p[0] = rgb >> 16;
    p[1] = rgb >> 8;
    p[2] = rgb;
    p[3] = 255;
  }
  fail_unless (gst_video_frame_map (&dst, info, buffer, GST_MAP_WRITE));
  converter = gst_video_converter_new (&rgba, info, NULL);
  gst_video_converter_frame (converter, &src, &dst);
  gst_video_converter_free (converter);
  gst_video_frame_unmap (&dst);
  gst_video_frame_unmap (&src);
  gst_buffer_unref (flat);
  return buffer;
}

/* ---- masks ------------------------------------------------------------- */

typedef struct
{
  gdouble x, y, rx, ry;
} Ellipse;

/* Distance from the outline, positive inside, good near it */
G_GNUC_UNUSED static gdouble
ellipse_distance (const Ellipse * e, gdouble x, gdouble y)
{
  gdouble u = (x - e->x) / e->rx, v = (y - e->y) / e->ry;
  gdouble r = sqrt (u * u + v * v);
  gdouble slope = sqrt (u * u / (e->rx * e->rx) + v * v / (e->ry * e->ry));

  return r < 1e-6 ? MIN (e->rx, e->ry) : (1 - r) * r / slope;
}

/* A grid of cells @step pixels apart around the ellipse, not in step with the
 * pixels; a negative step mirrors it. */
G_GNUC_UNUSED static void
make_mask (GstInstanceMask * mask, const Ellipse * e, gdouble step, guint id,
    gint class_id, const gchar * label)
{
  gdouble size = fabs (step);
  guint i, j;
  guint8 *grid;

  memset (mask, 0, sizeof (GstInstanceMask));
  mask->id = id;
  mask->class_id = class_id;
  mask->label = label ? g_quark_from_string (label) : 0;
  mask->score = 0.9f;
  mask->x0 = e->x - e->rx;
  mask->x1 = e->x + e->rx;
  mask->y0 = e->y - e->ry;
  mask->y1 = e->y + e->ry;
  mask->grid_width = (guint) ceil (2 * e->rx / size) + 5;
  mask->grid_height = (guint) ceil (2 * e->ry / size) + 6;
  mask->grid_stride = mask->grid_width + 3;
  mask->grid_offset = 7;
  mask->scale_x = step;
  mask->scale_y = size;
  mask->offset_x = step > 0 ? mask->x0 - 2.3 * size : mask->x1 + 2.3 * size;
  mask->offset_y = mask->y0 - 2.7 * size;
  grid = g_malloc0 (mask->grid_offset + mask->grid_stride * mask->grid_height);
  for (j = 0; j < mask->grid_height; j++) {
    for (i = 0; i < mask->grid_width; i++) {
      gdouble d = ellipse_distance (e, mask->offset_x + step * (i + 0.5),
          mask->offset_y + size * (j + 0.5));
      gdouble p = CLAMP (0.5 + d / (3 * size), 0, 1);

      grid[mask->grid_offset + j * mask->grid_stride + i] =
          (guint8) (p * 255 + 0.5);
    }
  }
  mask->grid = g_bytes_new_take (grid,
      mask->grid_offset + mask->grid_stride * mask->grid_height);
}

G_GNUC_UNUSED static GstInstanceMaskMeta *
add_meta (GstBuffer * buffer, const GstVideoInfo * info)
{
  return gst_buffer_add_instance_mask_meta (buffer, "test", info->width,
      info->height);
}

G_GNUC_UNUSED static void
add_ellipse (GstInstanceMaskMeta * meta, const Ellipse * e, gdouble step,
    guint id, gint class_id, const gchar * label)
{
  GstInstanceMask mask;

  make_mask (&mask, e, step, id, class_id, label);
  gst_instance_mask_meta_add (meta, &mask);
  g_bytes_unref (mask.grid);
}

/* ---- harness ----------------------------------------------------------- */

G_GNUC_UNUSED static GstHarness *
make_harness (const gchar * properties, const GstVideoInfo * info)
{
  g_autofree gchar *launch = g_strdup_printf ("maskoverlay %s", properties);
  GstHarness *h = gst_harness_new_parse (launch);

  gst_harness_set_src_caps (h, gst_video_info_to_caps (info));
  return h;
}

G_GNUC_UNUSED static GstElement *
get_element (GstHarness * h)
{
  GstElement *element = gst_harness_find_element (h, "maskoverlay");

  fail_unless (element != NULL);
  gst_object_unref (element);
  return element;
}

G_GNUC_UNUSED static GstBus *
watch_bus (GstHarness * h)
{
  GstBus *bus = gst_bus_new ();

  gst_element_set_bus (get_element (h), bus);
  return bus;
}

G_GNUC_UNUSED static guint
count_warnings (GstBus * bus, const gchar * expected)
{
  GstMessage *message;
  guint n = 0;

  while ((message = gst_bus_pop (bus))) {
    if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_WARNING) {
      g_autoptr (GError) error = NULL;

      gst_message_parse_warning (message, &error, NULL);
      fail_unless (strstr (error->message, expected) != NULL, "\"%s\" does "
          "not name %s", error->message, expected);
      n++;
    }
    gst_message_unref (message);
  }
  return n;
}

/* The frame after maskoverlay, as RGBA */
G_GNUC_UNUSED static guint8 *
run (const gchar * properties, GstVideoInfo * info, GstBuffer * buffer)
{
  GstHarness *h = make_harness (properties, info);
  GstBuffer *out = gst_harness_push_and_pull (h, buffer);
  guint8 *pixels = to_rgba (out, info);

  gst_buffer_unref (out);
  gst_harness_teardown (h);
  return pixels;
}

G_GNUC_UNUSED static const guint8 *
pixel (const guint8 * rgba, const GstVideoInfo * info, gint x, gint y)
{
  return rgba + 4 * (y * info->width + x);
}

G_GNUC_UNUSED static gboolean
is_near (const guint8 * p, guint32 rgb, gint tolerance)
{
  return ABS (p[0] - (gint) (rgb >> 16 & 0xff)) <= tolerance
      && ABS (p[1] - (gint) (rgb >> 8 & 0xff)) <= tolerance
      && ABS (p[2] - (gint) (rgb & 0xff)) <= tolerance;
}

#define assert_pixel(rgba, info, x, y, rgb, tolerance) G_STMT_START { \
  const guint8 *p_ = pixel (rgba, info, x, y); \
  if (!is_near (p_, rgb, tolerance)) \
    fail ("%s %dx%d: pixel %d,%d is %02x%02x%02x, expected %06x", \
        GST_VIDEO_INFO_NAME (info), (info)->width, (info)->height, x, y, \
        p_[0], p_[1], p_[2], rgb); \
} G_STMT_END

/* The luma that videoconvert gives @rgb in full range, as grey */
G_GNUC_UNUSED static guint32
to_grey (guint32 rgb)
{
  guint y = (guint) (0.299 * (rgb >> 16 & 0xff) + 0.587 * (rgb >> 8 & 0xff)
      + 0.114 * (rgb & 0xff) + 0.5);

  return y * 0x010101;
}

/* Samples of all components whose pixels lie outside the rectangle are the
 * same in both frames. */
G_GNUC_UNUSED static void
assert_untouched (GstBuffer * before, GstBuffer * after, GstVideoInfo * info,
    gint x0, gint y0, gint x1, gint y1)
{
  GstVideoFrame a, b;
  guint c;
  gint x, y;

  fail_unless (gst_video_frame_map (&a, info, before, GST_MAP_READ));
  fail_unless (gst_video_frame_map (&b, info, after, GST_MAP_READ));
  for (c = 0; c < GST_VIDEO_FRAME_N_COMPONENTS (&a); c++) {
    gint w = 1 << GST_VIDEO_FORMAT_INFO_W_SUB (info->finfo, c);
    gint h = 1 << GST_VIDEO_FORMAT_INFO_H_SUB (info->finfo, c);

    for (y = 0; y < GST_VIDEO_FRAME_COMP_HEIGHT (&a, c); y++) {
      for (x = 0; x < GST_VIDEO_FRAME_COMP_WIDTH (&a, c); x++) {
        gsize offset = (gsize) y * GST_VIDEO_FRAME_COMP_STRIDE (&a, c)
            + x * GST_VIDEO_FRAME_COMP_PSTRIDE (&a, c);

        if ((x + 1) * w > x0 && x * w < x1 && (y + 1) * h > y0 && y * h < y1)
          continue;
        if (GST_VIDEO_FRAME_COMP_DATA (&a, c)[offset] !=
            GST_VIDEO_FRAME_COMP_DATA (&b, c)[offset])
          fail ("%s: sample %d,%d of component %u changed",
              GST_VIDEO_INFO_NAME (info), x, y, c);
      }
    }
  }
  gst_video_frame_unmap (&a);
  gst_video_frame_unmap (&b);
}

#endif
