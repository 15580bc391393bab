/* GStreamer instance masks
 *
 * maskoverlay-cuda.c: frames that the CUDA backend blends are those that
 * gst_mask_draw_frame() draws. Its kernels run as loops on the host, since the
 * frames are there.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gmodule.h>

#include "condinstformat.h"
#include "maskframe.h"

static const GstVideoFormat formats[] = {
  GST_VIDEO_FORMAT_NV12, GST_VIDEO_FORMAT_I420, GST_VIDEO_FORMAT_P010_10LE,
  GST_VIDEO_FORMAT_RGBA, GST_VIDEO_FORMAT_BGRA, GST_VIDEO_FORMAT_RGBx,
  GST_VIDEO_FORMAT_BGRx, GST_VIDEO_FORMAT_RGB, GST_VIDEO_FORMAT_BGR,
  GST_VIDEO_FORMAT_GRAY8,
};

static const gint sizes[][2] = {
  {320, 240}, {127, 95}, {33, 17}, {16, 16}, {2, 2}, {1, 1}, {1, 50},
};

static CiDevice *device;

/* ---- scenes ------------------------------------------------------------ */

#define N_MASKS 7

/* Objects over each other, over the edges, mirrored, without a mask, tiny, out
 * of sight. */
static void
make_masks (GstInstanceMask masks[N_MASKS], gint width, gint height)
{
  const Ellipse ellipses[] = {
    {0.5 * width, 0.5 * height, 0.4 * width, 0.35 * height},
    {0.3 * width + 0.3, 0.4 * height, 0.15 * width, 0.3 * height},
    {0, 0, 0.3 * width, 0.3 * height},
    {width, 0.9 * height, 0.25 * width, 0.2 * height},
    {0.7 * width, 0.2 * height, 3, 2},
    {2 * width, 2 * height, 0.2 * width, 0.2 * height},
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (ellipses); i++)
    make_mask (&masks[i], &ellipses[i], i % 2 ? -2.7 : 4, i, i, "object");
  masks[i] = (GstInstanceMask) {.x0 = 0.1f * width,.y0 = 0.55f * height,
    .x1 = 0.8f * width,.y1 = 0.8f * height,.class_id = 9,.score = 0.5f
  };
}

static GstBuffer *
make_noise (GstVideoInfo * info, guint padding)
{
  GstBuffer *buffer = make_frame (info, padding, BACKGROUND);
  g_autoptr (GRand) rand = g_rand_new_with_seed (info->width * 1000
      + info->height);
  GstMapInfo map;
  gsize i;

  fail_unless (gst_buffer_map (buffer, &map, GST_MAP_WRITE));
  for (i = 0; i < map.size; i++)
    map.data[i] = g_rand_int (rand);
  gst_buffer_unmap (buffer, &map);
  return buffer;
}

/* ---- blending ---------------------------------------------------------- */

static void
add_cell (const GstMaskDrawCell * cell, gpointer user_data)
{
  CiOverlayLayer layer = { cell->x, cell->y, cell->coverage, cell->opacity,
    {cell->color[0], cell->color[1], cell->color[2], cell->color[3]},
    cell->components
  };

  ci_overlay_add (user_data, &layer);
}

static gboolean
blend (CiOverlay * overlay, GstMaskDraw * draw, GstVideoInfo * info,
    GstBuffer * buffer, const GstMaskDrawOptions * options,
    const GstInstanceMask * masks, guint n_masks, gpointer stream,
    GError ** error)
{
  CiImageFormat format;
  CiImage image = {.on_device = TRUE,.stream = stream };
  GstVideoFrame frame;
  gboolean ok;
  guint p;

  fail_unless (cond_inst_format_from_info (info, &format));
  fail_unless (gst_video_frame_map (&frame, info, buffer, GST_MAP_READWRITE));
  for (p = 0; p < GST_VIDEO_FRAME_N_PLANES (&frame); p++) {
    image.planes[p] = GST_VIDEO_FRAME_PLANE_DATA (&frame, p);
    image.strides[p] = GST_VIDEO_FRAME_PLANE_STRIDE (&frame, p);
  }
  fail_unless (gst_mask_draw_cells (draw, info, options, masks, n_masks,
          add_cell, overlay));
  ok = ci_overlay_blend (overlay, &format, &image, error);
  gst_video_frame_unmap (&frame);
  return ok;
}

/* All bytes, those between and beyond the rows, too */
static void
assert_same (GstBuffer * a, GstBuffer * b, const GstVideoInfo * info,
    const GstMaskDrawOptions * options)
{
  GstMapInfo ma, mb;
  gsize i, n = 0, first = 0;

  fail_unless (gst_buffer_map (a, &ma, GST_MAP_READ));
  fail_unless (gst_buffer_map (b, &mb, GST_MAP_READ));
  for (i = 0; i < ma.size; i++)
    if (ma.data[i] != mb.data[i] && n++ == 0)
      first = i;
  fail_unless (n == 0, "%s %dx%d, effect %d: %" G_GSIZE_FORMAT " bytes differ, "
      "the first at %" G_GSIZE_FORMAT ": %d, not %d",
      GST_VIDEO_INFO_NAME (info), info->width, info->height, options->effect,
      n, first, mb.data[first], ma.data[first]);
  gst_buffer_unmap (a, &ma);
  gst_buffer_unmap (b, &mb);
}

/* A frame, and what it is to be */
typedef struct
{
  GstVideoInfo info;
  GstMaskDrawOptions options;
  GstInstanceMask masks[N_MASKS];
  guint n_masks;
  GstBuffer *expected, *blended;
} Scene;

static void
scene_init (Scene * scene, GstVideoFormat format, gint width, gint height,
    guint padding, const GstMaskDrawOptions * options, guint n_masks)
{
  g_autoptr (GstMaskDraw) draw = gst_mask_draw_new ();
  GstVideoFrame frame;

  make_masks (scene->masks, width, height);
  scene->options = *options;
  scene->n_masks = n_masks;
  gst_video_info_set_format (&scene->info, format, width, height);
  scene->expected = make_noise (&scene->info, padding);
  scene->blended = gst_buffer_copy_deep (scene->expected);
  fail_unless (gst_video_frame_map (&frame, &scene->info, scene->expected,
          GST_MAP_READWRITE));
  fail_unless (gst_mask_draw_frame (draw, &frame, options, scene->masks,
          n_masks));
  gst_video_frame_unmap (&frame);
}

static gboolean
scene_blend (Scene * scene, CiOverlay * overlay, gpointer stream,
    GError ** error)
{
  g_autoptr (GstMaskDraw) draw = gst_mask_draw_new ();

  return blend (overlay, draw, &scene->info, scene->blended, &scene->options,
      scene->masks, scene->n_masks, stream, error);
}

static void
scene_clear (Scene * scene)
{
  guint i;

  gst_buffer_unref (scene->expected);
  gst_buffer_unref (scene->blended);
  for (i = 0; i < N_MASKS; i++)
    g_clear_pointer (&scene->masks[i].grid, g_bytes_unref);
}

static void
check_scene (CiOverlay * overlay, GstVideoFormat format, gint width,
    gint height, guint padding, const GstMaskDrawOptions * options,
    guint n_masks)
{
  g_autoptr (GError) error = NULL;
  Scene scene;

  scene_init (&scene, format, width, height, padding, options, n_masks);
  fail_unless (scene_blend (&scene, overlay, NULL, &error), "%s",
      error ? error->message : "");
  assert_same (scene.expected, scene.blended, &scene.info, options);
  scene_clear (&scene);
}

GST_START_TEST (test_same_pixels)
{
  static const GstMaskOverlayEffect effects[] = {
    GST_MASK_OVERLAY_EFFECT_FILL, GST_MASK_OVERLAY_EFFECT_CONTOUR,
    GST_MASK_OVERLAY_EFFECT_BLACKOUT, GST_MASK_OVERLAY_EFFECT_CUTOUT_ALPHA,
  };
  CiOverlay *overlay = ci_overlay_new (device, NULL);
  guint f, s, e;

  /* frames of all sizes and formats follow each other */
  for (f = 0; f < G_N_ELEMENTS (formats); f++) {
    for (s = 0; s < G_N_ELEMENTS (sizes); s++) {
      for (e = 0; e < G_N_ELEMENTS (effects); e++) {
        GstMaskDrawOptions options = GST_MASK_DRAW_OPTIONS_INIT;
        guint padding = (f + s + e) % 3;

        options.effect = effects[e];
        options.draw_boxes = e % 2;
        check_scene (overlay, formats[f], sizes[s][0], sizes[s][1], padding,
            &options, N_MASKS);
        options.draw_contours = FALSE;
        options.mask_opacity = 1;
        check_scene (overlay, formats[f], sizes[s][0], sizes[s][1], padding,
            &options, N_MASKS);
        check_scene (overlay, formats[f], sizes[s][0], sizes[s][1], padding,
            &options, 0);
      }
    }
  }
  ci_overlay_free (overlay);
}

GST_END_TEST;

/* Of the backend that computes on the host; NULL of another one */
static gpointer
symbol (const gchar * name)
{
  static GModule *module;
  gpointer found = NULL;

  if (!module)
    module = g_module_open (g_getenv ("GST_CONDINST_CUDA_MODULE"),
        G_MODULE_BIND_LOCAL);
  return module && g_module_symbol (module, name, &found) ? found : NULL;
}

/* Frames follow each other in a stream, and nobody waits: buffers grow and are
 * written again while those before are still to be blended. */
GST_START_TEST (test_stream)
{
  GstMaskDrawOptions options = GST_MASK_DRAW_OPTIONS_INIT;
  gpointer (*stream_new) (void) = symbol ("fakecuda_stream_new");
  void (*stream_free) (gpointer stream) = symbol ("fakecuda_stream_free");
  CiOverlay *overlay = ci_overlay_new (device, NULL);
  Scene scenes[9];
  gpointer stream;
  guint i;

  if (!stream_new)
    return;
  stream = stream_new ();
  for (i = 0; i < G_N_ELEMENTS (scenes); i++) {
    scene_init (&scenes[i], GST_VIDEO_FORMAT_NV12, i % 2 ? 64 : 64 << i / 2,
        48 << i / 2, 0, &options, 1 + i % N_MASKS);
    fail_unless (scene_blend (&scenes[i], overlay, stream, NULL));
  }
  ci_overlay_free (overlay);
  stream_free (stream);
  for (i = 0; i < G_N_ELEMENTS (scenes); i++) {
    assert_same (scenes[i].expected, scenes[i].blended, &scenes[i].info,
        &options);
    scene_clear (&scenes[i]);
  }
}

GST_END_TEST;

/* Whatever call fails, somebody is told, and nothing is left behind. */
GST_START_TEST (test_faults)
{
  GstMaskDrawOptions options = GST_MASK_DRAW_OPTIONS_INIT;
  void (*fail_at) (const gchar * name, gint at, gboolean sticky) =
      symbol ("fakecuda_fail");
  gint (*calls) (void) = symbol ("fakecuda_calls");
  gint64 (*device_bytes) (void) = symbol ("fakecuda_device_bytes");
  gint n_calls = 0, n_failed = 0, at;
  gint64 before;

  if (!fail_at)
    return;
  before = device_bytes ();
  for (at = 0; at == 0 || at <= n_calls; at++) {
    g_autoptr (GError) error = NULL;
    CiOverlay *overlay;
    gboolean ok = FALSE;
    gint i;

    fail_at (NULL, at, FALSE);
    overlay = ci_overlay_new (device, &error);
    for (i = 0; overlay && i < 3; i++) {
      Scene scene;

      scene_init (&scene, GST_VIDEO_FORMAT_I420, 32 << i, 32, 0, &options, 3);
      ok = scene_blend (&scene, overlay, NULL, &error);
      if (ok)
        assert_same (scene.expected, scene.blended, &scene.info, &options);
      scene_clear (&scene);
      if (!ok)
        break;
    }
    fail_unless (ok == (error == NULL), "call %d", at);
    ci_overlay_free (overlay);
    if (at == 0)
      n_calls = calls ();
    else
      n_failed += !ok;
    fail_unless (at == 0 ? ok : TRUE);
  }
  fail_at (NULL, 0, FALSE);
  /* whoever cleans up has nobody to tell */
  fail_unless (n_failed > n_calls / 2);
  fail_unless (device_bytes () == before);
}

GST_END_TEST;

/* What reads the frame is not for cells. */
GST_START_TEST (test_refused)
{
  GstMaskDrawOptions options = GST_MASK_DRAW_OPTIONS_INIT;
  g_autoptr (GstMaskDraw) draw = gst_mask_draw_new ();
  GstVideoInfo info;

  gst_video_info_set_format (&info, GST_VIDEO_FORMAT_NV12, 64, 64);
  options.effect = GST_MASK_OVERLAY_EFFECT_BLUR;
  fail_if (gst_mask_draw_cells (draw, &info, &options, NULL, 0, NULL, NULL));
  options.effect = GST_MASK_OVERLAY_EFFECT_PIXELATE;
  fail_if (gst_mask_draw_cells (draw, &info, &options, NULL, 0, NULL, NULL));
  gst_video_info_set_format (&info, GST_VIDEO_FORMAT_v210, 64, 64);
  options.effect = GST_MASK_OVERLAY_EFFECT_FILL;
  fail_if (gst_mask_draw_cells (draw, &info, &options, NULL, 0, NULL, NULL));
}

GST_END_TEST;

static Suite *
maskoverlay_cuda_suite (void)
{
  g_autoptr (GError) error = NULL;
  Suite *s = suite_create ("maskoverlay-cuda");
  TCase *tc = tcase_create ("general");

  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_refused);
  device = ci_device_open (-1, NULL, &error);
  if (!device) {
    GST_INFO ("no frames are blended: %s", error->message);
    return s;
  }
  tcase_add_test (tc, test_same_pixels);
  tcase_add_test (tc, test_stream);
  tcase_add_test (tc, test_faults);
  return s;
}

GST_CHECK_MAIN (maskoverlay_cuda);
