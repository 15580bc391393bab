/*
 * cudamemory.c: frames in CUDA memory through condinstseg and maskoverlay, by
 * libgstcuda's own allocator and pool (nvcodec's elements may be missing).
 *
 *   check-cudamemory            compares with the same frames in system memory
 *   check-cudamemory --soak N   N frames; the device's free memory stays
 *
 * Exits with 77 where there is no GPU.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gmodule.h>
#include <gst/check/gstharness.h>
#include <gst/cuda/gstcudabufferpool.h>
#include <gst/cuda/gstcudacontext.h>
#include <gst/cuda/gstcudaloader.h>
#include <gst/cuda/gstcudamemory.h>
#include <gst/cuda/gstcudautils.h>
#include <gst/instancemask/instancemask.h>
#include <gst/video/video.h>
#include <stdio.h>

#define WIDTH 642               /* no multiple of any device's alignment */
#define HEIGHT 362
#define N_FRAMES 6
/* Everything has been allocated after so many frames. */
#define SETTLED 200
/* What libraries may take besides. */
#define SLACK (2 << 20)

static const gchar *const formats[] = {
  "NV12", "I420", "P010_10LE", "RGBA", "BGRA", "RGBx", "BGRx"
};

static gchar *elements = (gchar *)
    "condinstseg model-file=random:condinst-light "
    "score-threshold=0.01 max-detections=20 execution-provider=cuda "
    "! maskoverlay draw-labels=false draw-scores=false";
static GstCudaContext *context;
static gboolean failed;

static void
complain (const gchar * format, ...)
{
  va_list args;

  va_start (args, format);
  vfprintf (stderr, format, args);
  va_end (args);
  failed = TRUE;
}

/* ---- frames ------------------------------------------------------------ */

/* Soft shapes that move, with a little noise. */
static void
draw (GstVideoFrame * frame, guint index)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (index);
  guint n_planes = GST_VIDEO_FRAME_N_PLANES (frame);

  for (guint plane = 0; plane < n_planes; plane++) {
    gint component = 0;
    gint stride = GST_VIDEO_FRAME_PLANE_STRIDE (frame, plane);
    gint rows, bytes;

    while ((guint) GST_VIDEO_FRAME_COMP_PLANE (frame, component) != plane)
      component++;
    rows = GST_VIDEO_FRAME_COMP_HEIGHT (frame, component);
    bytes = GST_VIDEO_FRAME_COMP_WIDTH (frame, component)
        * GST_VIDEO_FRAME_COMP_PSTRIDE (frame, component);
    for (gint y = 0; y < rows; y++) {
      guint8 *row = (guint8 *) GST_VIDEO_FRAME_PLANE_DATA (frame, plane)
          + (gsize) y * stride;

      for (gint x = 0; x < bytes; x++)
        row[x] = 64 + 64 * ((x / 97 + y / 61 + (gint) index) % 2)
            + 64 * x / bytes + g_rand_int_range (random, 0, 16);
    }
  }
}

/* Through the host's mapping, which uploads what was written when the device
 * is to see it. */
static GstBuffer *
make_frame (GstBufferPool * pool, const GstVideoInfo * info, guint index)
{
  GstBuffer *buffer = NULL;
  GstVideoFrame frame;

  if (pool)
    gst_buffer_pool_acquire_buffer (pool, &buffer, NULL);
  else
    buffer = gst_buffer_new_allocate (NULL, GST_VIDEO_INFO_SIZE (info), NULL);
  g_assert_nonnull (buffer);
  g_assert_true (gst_video_frame_map (&frame, info, buffer, GST_MAP_WRITE));
  draw (&frame, index);
  gst_video_frame_unmap (&frame);
  GST_BUFFER_PTS (buffer) = index * 40 * GST_MSECOND;
  GST_BUFFER_DURATION (buffer) = 40 * GST_MSECOND;
  return buffer;
}

static GstCaps *
make_caps (const gchar * format, gboolean on_device, GstVideoInfo * info)
{
  GstCaps *caps;

  gst_video_info_set_format (info, gst_video_format_from_string (format),
      WIDTH, HEIGHT);
  info->fps_n = 25;
  info->fps_d = 1;
  caps = gst_video_info_to_caps (info);
  if (on_device)
    gst_caps_set_features_simple (caps,
        gst_caps_features_new (GST_CAPS_FEATURE_MEMORY_CUDA_MEMORY, NULL));
  return caps;
}

static GstBufferPool *
make_pool (GstCaps * caps, const GstVideoInfo * info)
{
  GstBufferPool *pool = gst_cuda_buffer_pool_new (context);
  GstStructure *config = gst_buffer_pool_get_config (pool);

  gst_buffer_pool_config_set_params (config, caps, GST_VIDEO_INFO_SIZE (info),
      0, 0);
  gst_buffer_pool_config_add_option (config,
      GST_BUFFER_POOL_OPTION_VIDEO_META);
  g_assert_true (gst_buffer_pool_set_config (pool, config));
  g_assert_true (gst_buffer_pool_set_active (pool, TRUE));
  return pool;
}

static GstHarness *
make_harness (GstCaps * caps)
{
  GstHarness *h = gst_harness_new_parse (elements);
  GstContext *shared = gst_context_new_cuda_context (context);

  gst_element_set_context (h->element, shared);
  gst_context_unref (shared);
  gst_harness_set_src_caps (h, gst_caps_ref (caps));
  return h;
}

/* ---- comparing --------------------------------------------------------- */

/* N_FRAMES frames, as they come out. */
static GPtrArray *
run (const gchar * format, gboolean on_device)
{
  GPtrArray *out = g_ptr_array_new_with_free_func ((GDestroyNotify)
      gst_buffer_unref);
  GstVideoInfo info;
  GstCaps *caps = make_caps (format, on_device, &info);
  GstBufferPool *pool = on_device ? make_pool (caps, &info) : NULL;
  GstHarness *h = make_harness (caps);
  GstBuffer *buffer;

  for (guint i = 0; i < N_FRAMES; i++) {
    GstFlowReturn flow = gst_harness_push (h, make_frame (pool, &info, i));

    if (flow != GST_FLOW_OK)
      complain ("%s: frame %u: %s\n", format, i, gst_flow_get_name (flow));
  }
  gst_harness_push_event (h, gst_event_new_eos ());
  while ((buffer = gst_harness_try_pull (h)))
    g_ptr_array_add (out, buffer);
  gst_harness_teardown (h);
  if (pool) {
    gst_buffer_pool_set_active (pool, FALSE);
    gst_object_unref (pool);
  }
  gst_caps_unref (caps);
  return out;
}

static guint
compare_objects (GstBuffer * a, GstBuffer * b, const gchar * what)
{
  GstInstanceMaskMeta *ma = gst_buffer_get_instance_mask_meta (a);
  GstInstanceMaskMeta *mb = gst_buffer_get_instance_mask_meta (b);
  guint n = ma ? gst_instance_mask_meta_get_n_instances (ma) : 0;

  if (!mb || n != gst_instance_mask_meta_get_n_instances (mb)) {
    complain ("%s: another number of objects\n", what);
    return 0;
  }
  for (guint i = 0; i < n; i++) {
    const GstInstanceMask *p = gst_instance_mask_meta_get_instance (ma, i);
    const GstInstanceMask *q = gst_instance_mask_meta_get_instance (mb, i);

    /* the same kernels of the same planes */
    if (p->class_id != q->class_id || p->score != q->score || p->x0 != q->x0
        || p->y0 != q->y0 || p->x1 != q->x1 || p->y1 != q->y1
        || gst_instance_mask_iou (p, q, 128) < 0.9999)
      complain ("%s: object %u differs\n", what, i);
  }
  return n;
}

/* Blending on the device may round to the other side. */
static void
compare_pixels (GstBuffer * a, GstBuffer * b, const gchar * format,
    const gchar * what)
{
  GstVideoInfo info, device_info;
  GstVideoFrame fa, fb;
  guint64 n = 0, n_far = 0;
  gint worst = 0;

  gst_caps_unref (make_caps (format, FALSE, &info));
  gst_caps_unref (make_caps (format, TRUE, &device_info));
  g_assert_true (gst_video_frame_map (&fa, &info, a, GST_MAP_READ));
  g_assert_true (gst_video_frame_map (&fb, &device_info, b, GST_MAP_READ));
  for (guint c = 0; c < GST_VIDEO_FRAME_N_COMPONENTS (&fa); c++) {
    gint step = GST_VIDEO_FRAME_COMP_PSTRIDE (&fa, c);
    gboolean wide = GST_VIDEO_FRAME_COMP_DEPTH (&fa, c) > 8;

    for (gint y = 0; y < GST_VIDEO_FRAME_COMP_HEIGHT (&fa, c); y++) {
      const guint8 *p = (guint8 *) GST_VIDEO_FRAME_COMP_DATA (&fa, c)
          + (gsize) y * GST_VIDEO_FRAME_COMP_STRIDE (&fa, c);
      const guint8 *q = (guint8 *) GST_VIDEO_FRAME_COMP_DATA (&fb, c)
          + (gsize) y * GST_VIDEO_FRAME_COMP_STRIDE (&fb, c);

      for (gint x = 0; x < GST_VIDEO_FRAME_COMP_WIDTH (&fa, c); x++, n++) {
        gint d = wide ? (GST_READ_UINT16_LE (p + x * step)
            - GST_READ_UINT16_LE (q + x * step)) / 64
            : p[x * step] - q[x * step];

        worst = MAX (worst, ABS (d));
        n_far += ABS (d) > 2;
      }
    }
  }
  gst_video_frame_unmap (&fa);
  gst_video_frame_unmap (&fb);
  if (n_far * 1000 > n)
    complain ("%s: %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " values are "
        "off by more than 2, by %d at most\n", what, n_far, n, worst);
}

static void
compare (const gchar * format)
{
  GPtrArray *host = run (format, FALSE), *device = run (format, TRUE);
  guint n = 0;

  if (host->len != N_FRAMES || device->len != N_FRAMES) {
    complain ("%s: %u and %u of %d frames came out\n", format, host->len,
        device->len, N_FRAMES);
  } else {
    for (guint i = 0; i < N_FRAMES; i++) {
      GstBuffer *a = host->pdata[i], *b = device->pdata[i];
      g_autofree gchar *what = g_strdup_printf ("%s, frame %u", format, i);

      if (!gst_is_cuda_memory (gst_buffer_peek_memory (b, 0)))
        complain ("%s: came out in other memory\n", what);
      n += compare_objects (a, b, what);
      compare_pixels (a, b, format, what);
    }
    if (n == 0)
      complain ("%s: nothing was found, so nothing compared\n", format);
  }
  g_print ("%-10s %u objects\n", format, n);
  g_ptr_array_unref (host);
  g_ptr_array_unref (device);
}

/* ---- soak -------------------------------------------------------------- */

static gsize
device_bytes_used (void)
{
  static gint (*get_info) (gsize * left, gsize * total);
  gsize left = 0, total = 0;

  if (!get_info) {
    GModule *driver = g_module_open ("libcuda.so.1", 0);

    g_assert_nonnull (driver);
    g_assert_true (g_module_symbol (driver, "cuMemGetInfo_v2",
            (gpointer *) & get_info));
  }
  g_assert_true (gst_cuda_context_push (context));
  g_assert_cmpint (get_info (&left, &total), ==, 0);
  gst_cuda_context_pop (NULL);
  return total - left;
}

static void
soak (guint n_frames)
{
  GstVideoInfo info;
  GstCaps *caps = make_caps ("NV12", TRUE, &info);
  GstBufferPool *pool = make_pool (caps, &info);
  GstHarness *h = make_harness (caps);
  gsize before = 0, after;
  gint64 start = 0;
  guint n_out = 0;
  GstBuffer *buffer;

  for (guint i = 0; i < n_frames + SETTLED; i++) {
    if (i == SETTLED) {
      before = device_bytes_used ();
      start = g_get_monotonic_time ();
    }
    /* few different ones: drawing them is not the matter */
    buffer = make_frame (pool, &info, i % N_FRAMES);
    GST_BUFFER_PTS (buffer) = i * 40 * GST_MSECOND;
    if (gst_harness_push (h, buffer) != GST_FLOW_OK) {
      complain ("frame %u was refused\n", i);
      break;
    }
    while ((buffer = gst_harness_try_pull (h))) {
      gst_buffer_unref (buffer);
      n_out++;
    }
  }
  after = device_bytes_used ();
  gst_harness_push_event (h, gst_event_new_eos ());
  while ((buffer = gst_harness_try_pull (h))) {
    gst_buffer_unref (buffer);
    n_out++;
  }
  if (n_out != n_frames + SETTLED)
    complain ("%u of %u frames came out\n", n_out, n_frames + SETTLED);
  if (after > before + SLACK)
    complain ("the device's used memory grew from %" G_GSIZE_FORMAT " to %"
        G_GSIZE_FORMAT " bytes\n", before, after);
  g_print ("{\"frames\": %u, \"seconds\": %.3f, \"used_before\": %"
      G_GSIZE_FORMAT ", \"used_after\": %" G_GSIZE_FORMAT "}\n", n_frames,
      (g_get_monotonic_time () - start) / 1e6, before, after);
  gst_harness_teardown (h);
  gst_buffer_pool_set_active (pool, FALSE);
  gst_object_unref (pool);
  gst_caps_unref (caps);
}

int
main (int argc, char **argv)
{
  gint n_soak = 0;
  const GOptionEntry entries[] = {
    {"soak", 0, 0, G_OPTION_ARG_INT, &n_soak, "Frames", "N"},
    {"elements", 0, 0, G_OPTION_ARG_STRING, &elements, "Others", "LAUNCH"},
    {NULL}
  };
  g_autoptr (GOptionContext) options = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;

  g_option_context_add_main_entries (options, entries, NULL);
  if (!g_option_context_parse (options, &argc, &argv, &error)) {
    g_printerr ("%s\n", error->message);
    return 2;
  }
  gst_init (NULL, NULL);
  if (!gst_cuda_load_library () || !(context = gst_cuda_context_new (0))) {
    g_print ("skipped: no GPU\n");
    return 77;
  }
  gst_cuda_memory_init_once ();
  if (n_soak > 0)
    soak (n_soak);
  else
    for (guint i = 0; i < G_N_ELEMENTS (formats); i++)
      compare (formats[i]);
  gst_object_unref (context);
  return failed;
}
