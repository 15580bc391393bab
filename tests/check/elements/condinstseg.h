/* GStreamer instance segmentation
 *
 * condinstseg.h: what the tests of condinstseg share
 *
 * The model is an architecture with made-up weights: what it finds means
 * nothing, but it finds something, the same every time.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef __CHECK_CONDINSTSEG_H__
#define __CHECK_CONDINSTSEG_H__

#include <gst/check/gstcheck.h>
#include <gst/check/gstharness.h>
#include <gst/instancemask/instancemask.h>
#include <gst/video/video.h>

#include <string.h>

#define MODEL "random:condinst-light"
/* On a GPU, too, each frame comes out before the next one goes in. */
#define ELEMENT "condinstseg input-width=128 input-height=96 max-in-flight=1 "
#define SEG ELEMENT "model-file=" MODEL " score-threshold=0 max-detections=5 "
#define FRAME_TIME (GST_SECOND / 25)

/* Whether auto finds a GPU, maybe a fake one. */
static inline gboolean
on_gpu (void)
{
  return g_getenv ("GST_CONDINST_CUDA_MODULE") != NULL;
}

/* ---- frames ------------------------------------------------------------ */

static inline GstVideoInfo
make_info (GstVideoFormat format, gint width, gint height)
{
  GstVideoInfo info;

  fail_unless (gst_video_info_set_format (&info, format, width, height));
  info.fps_n = 25;
  info.fps_d = 1;
  return info;
}

static inline void
set_caps (GstHarness * h, const GstVideoInfo * info)
{
  gst_harness_set_src_caps (h, gst_video_info_to_caps (info));
}

/* A soft pattern with edges in all planes; the same for the same @number. */
static inline GstBuffer *
make_frame (const GstVideoInfo * info, guint number)
{
  GstBuffer *buf = gst_buffer_new_allocate (NULL, info->size, NULL);
  GstVideoFrame frame;

  fail_unless (gst_video_frame_map (&frame, info, buf, GST_MAP_WRITE));
  for (guint p = 0; p < GST_VIDEO_FRAME_N_PLANES (&frame); p++) {
    guint8 *data = GST_VIDEO_FRAME_PLANE_DATA (&frame, p);
    gint stride = GST_VIDEO_FRAME_PLANE_STRIDE (&frame, p);
    gint rows = GST_VIDEO_SUB_SCALE (info->finfo->h_sub[p], info->height);

    for (gint y = 0; y < rows; y++)
      for (gint x = 0; x < stride; x++)
        data[y * stride + x] = (x / 9 + y / 7 + p) % 3 * 70 + (x + y) % 40 +
            number;
  }
  gst_video_frame_unmap (&frame);
  GST_BUFFER_PTS (buf) = number * FRAME_TIME;
  GST_BUFFER_DURATION (buf) = FRAME_TIME;
  return buf;
}

static inline GstBuffer *
push (GstHarness * h, const GstVideoInfo * info, guint number)
{
  GstBuffer *buf = gst_harness_push_and_pull (h, make_frame (info, number));

  fail_unless (buf != NULL);
  return buf;
}

static inline GstInstanceMaskMeta *
get_meta (GstBuffer * buf, const GstVideoInfo * info)
{
  GstInstanceMaskMeta *meta = gst_buffer_get_instance_mask_meta (buf);

  fail_unless (meta != NULL);
  fail_unless (gst_instance_mask_meta_matches (meta, info->width,
          info->height));
  return meta;
}

static inline guint
count (GstBuffer * buf)
{
  return gst_instance_mask_meta_get_n_instances
      (gst_buffer_get_instance_mask_meta (buf));
}

/* Whether two frames carry the same objects, flags aside. */
static inline void
assert_same_objects (GstBuffer * a, GstBuffer * b)
{
  GstInstanceMaskMeta *ma = gst_buffer_get_instance_mask_meta (a);
  GstInstanceMaskMeta *mb = gst_buffer_get_instance_mask_meta (b);

  fail_unless_equals_int (count (a), count (b));
  for (guint i = 0; i < count (a); i++) {
    const GstInstanceMask *x = gst_instance_mask_meta_get_instance (ma, i);
    const GstInstanceMask *y = gst_instance_mask_meta_get_instance (mb, i);

    fail_unless_equals_int (x->class_id, y->class_id);
    fail_unless (x->score == y->score && x->x0 == y->x0 && x->y0 == y->y0
        && x->x1 == y->x1 && x->y1 == y->y1);
    fail_unless_equals_int (x->grid_width, y->grid_width);
    fail_unless_equals_int (x->grid_height, y->grid_height);
    for (guint row = 0; row < x->grid_height; row++)
      fail_unless (memcmp ((const guint8 *) g_bytes_get_data (x->grid, NULL) +
              x->grid_offset + row * x->grid_stride,
              (const guint8 *) g_bytes_get_data (y->grid, NULL) +
              y->grid_offset + row * y->grid_stride, x->grid_width) == 0);
  }
}

static inline GstStructure *
get_stats (GstHarness * h)
{
  GstElement *seg = gst_harness_find_element (h, "condinstseg");
  GstStructure *stats;

  g_object_get (seg, "stats", &stats, NULL);
  gst_object_unref (seg);
  fail_unless (stats != NULL);
  return stats;
}

static inline guint64
get_stat (GstHarness * h, const gchar * name)
{
  GstStructure *stats = get_stats (h);
  guint64 value;

  fail_unless (gst_structure_get_uint64 (stats, name, &value));
  gst_structure_free (stats);
  return value;
}

/* ---- errors ------------------------------------------------------------ */

static inline GstBus *
add_bus (GstElement * element)
{
  GstBus *bus = gst_bus_new ();

  gst_element_set_bus (element, bus);
  return bus;
}

static inline void
remove_bus (GstElement * element, GstBus * bus)
{
  gst_element_set_bus (element, NULL);
  gst_object_unref (bus);
}

/* The next error or warning has this domain and code and names all of the
 * NULL-terminated list of strings. */
static inline void
assert_message (GstBus * bus, GstMessageType type, GQuark domain, gint code,
    ...)
{
  GstMessage *message = gst_bus_pop_filtered (bus, type);
  const gchar *part;
  GError *error;
  va_list args;

  fail_unless (message != NULL, "nothing on the bus");
  if (type == GST_MESSAGE_ERROR)
    gst_message_parse_error (message, &error, NULL);
  else
    gst_message_parse_warning (message, &error, NULL);
  fail_unless (g_error_matches (error, domain, code),
      "unexpected: %s %d: %s", g_quark_to_string (error->domain), error->code,
      error->message);
  va_start (args, code);
  while ((part = va_arg (args, const gchar *)))
      fail_unless (strstr (error->message, part) != NULL,
        "'%s' does not name '%s'", error->message, part);

  va_end (args);
  g_error_free (error);
  gst_message_unref (message);
}

/* Makes an element from a launch line and sees it fail to start. */
static inline GstElement *
fail_to_start (const gchar * launch, GstBus ** bus)
{
  GstElement *element = gst_parse_launch (launch, NULL);

  *bus = add_bus (element);
  fail_unless_equals_int (gst_element_set_state (element, GST_STATE_PAUSED),
      GST_STATE_CHANGE_FAILURE);
  gst_element_set_state (element, GST_STATE_NULL);
  return element;
}

static inline gchar *
write_temp (const gchar * contents, gssize size)
{
  gchar *path;
  gint fd = g_file_open_tmp ("condinstseg-XXXXXX", &path, NULL);

  fail_unless (fd >= 0);
  close (fd);
  fail_unless (g_file_set_contents (path, contents, size, NULL));
  return path;
}

#endif
