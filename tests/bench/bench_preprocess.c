/*
 * Time of the pre-processing of one frame, beside that of GstVideoConverter
 * (what videoconvertscale does) to planar 8-bit RGB and a pass to floats, in
 * turn; one thread, best of N times of the thread's CPU clock, as JSON.
 *
 *   bench-preprocess [ROUNDS]
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gst/video/video.h>
#include <stdlib.h>
#include <time.h>

#include "kernels/kernels.h"

static const gfloat mean[] = { 103.53f, 116.28f, 123.675f };

typedef struct
{
  const gchar *name;
  GstVideoFormat gst_format;
  CiPixelFormat format;
  gint width, height, out_width, out_height;
} Case;

static const Case cases[] = {
  {"NV12 720p", GST_VIDEO_FORMAT_NV12, CI_PIXEL_NV12, 1280, 720, 512, 288},
  {"NV12 1080p", GST_VIDEO_FORMAT_NV12, CI_PIXEL_NV12, 1920, 1080, 512, 288},
  {"NV12 720p", GST_VIDEO_FORMAT_NV12, CI_PIXEL_NV12, 1280, 720, 1344, 756},
  {"I420 720p", GST_VIDEO_FORMAT_I420, CI_PIXEL_I420, 1280, 720, 512, 288},
  {"P010 720p", GST_VIDEO_FORMAT_P010_10LE, CI_PIXEL_P010, 1280, 720, 512, 288},
  {"RGB 720p", GST_VIDEO_FORMAT_RGB, CI_PIXEL_RGB, 1280, 720, 512, 288},
  {"BGRx 720p", GST_VIDEO_FORMAT_BGRx, CI_PIXEL_BGRX, 1280, 720, 512, 288},
  {"GRAY8 720p", GST_VIDEO_FORMAT_GRAY8, CI_PIXEL_GRAY8, 1280, 720, 512, 288},
};

static gdouble
cpu_ms (void)
{
  struct timespec t;

  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec * 1e3 + t.tv_nsec * 1e-6;
}

typedef struct
{
  CiPreprocess *exact, *fast, *opencv;
  CiImage image;
  GstVideoConverter *converter;
  GstVideoFrame src, dst;
  gfloat *floats;
} State;

static void
run_exact (State * s)
{
  ci_preprocess_run (s->exact, &s->image, s->floats, NULL);
}

static void
run_fast (State * s)
{
  ci_preprocess_run (s->fast, &s->image, s->floats, NULL);
}

static void
run_opencv (State * s)
{
  ci_preprocess_run (s->opencv, &s->image, s->floats, NULL);
}

static void
run_gst (State * s)
{
  gint w = GST_VIDEO_FRAME_WIDTH (&s->dst);
  gint h = GST_VIDEO_FRAME_HEIGHT (&s->dst);
  gfloat *dst = s->floats;
  gint x, y, c;

  gst_video_converter_frame (s->converter, &s->src, &s->dst);
  for (c = 2; c >= 0; c--) {
    for (y = 0; y < h; y++, dst += w) {
      const guint8 *row = (const guint8 *)
          GST_VIDEO_FRAME_COMP_DATA (&s->dst, c) +
          y * GST_VIDEO_FRAME_COMP_STRIDE (&s->dst, c);

      for (x = 0; x < w; x++)
        dst[x] = row[x] - mean[2 - c];
    }
  }
}

static GstBuffer *
new_frame (GstVideoFrame * frame, const GstVideoInfo * info)
{
  GstBuffer *buffer = gst_buffer_new_allocate (NULL, info->size, NULL);
  GstMapInfo map;
  gsize i;

  gst_buffer_map (buffer, &map, GST_MAP_WRITE);
  for (i = 0; i < map.size; i++)
    map.data[i] = g_random_int ();
  gst_buffer_unmap (buffer, &map);
  gst_video_frame_map (frame, info, buffer, GST_MAP_READWRITE);
  return buffer;
}

static void
run_case (const Case * k, gint rounds, gboolean last)
{
  static void (*const run[]) (State *) = {
    run_exact, run_fast, run_opencv, run_gst
  };
  CiImageFormat format = {
    .pixel_format = k->format,.width = k->width,.height = k->height,
    .matrix = CI_YUV_BT709
  };
  CiPreprocessOptions options = {
    .resized_width = k->out_width,.resized_height = k->out_height,
    .padded_width = k->out_width,.padded_height = k->out_height,
    .mean = {mean[0], mean[1], mean[2]},.std = {1, 1, 1}
  };
  gdouble best[] = {
    G_MAXDOUBLE, G_MAXDOUBLE, G_MAXDOUBLE, G_MAXDOUBLE
  };
  GstBuffer *src, *dst;
  GstVideoInfo in, out;
  State s = { NULL, };
  guint i;
  gint r;

  gst_video_info_set_format (&in, k->gst_format, k->width, k->height);
  gst_video_info_set_format (&out, GST_VIDEO_FORMAT_RGBP, k->out_width,
      k->out_height);
  in.colorimetry.matrix = GST_VIDEO_COLOR_MATRIX_BT709;
  if (k->gst_format == GST_VIDEO_FORMAT_RGB
      || k->gst_format == GST_VIDEO_FORMAT_BGRx)
    in.colorimetry = out.colorimetry;
  src = new_frame (&s.src, &in);
  dst = new_frame (&s.dst, &out);
  for (i = 0; i < GST_VIDEO_FRAME_N_PLANES (&s.src); i++) {
    s.image.planes[i] = GST_VIDEO_FRAME_PLANE_DATA (&s.src, i);
    s.image.strides[i] = GST_VIDEO_FRAME_PLANE_STRIDE (&s.src, i);
  }
  s.converter = gst_video_converter_new (&in, &out, NULL);
  s.exact = ci_preprocess_new (&format, &options, NULL);
  options.quality = CI_RESIZE_FAST;
  s.fast = ci_preprocess_new (&format, &options, NULL);
  options.quality = CI_RESIZE_OPENCV;
  s.opencv = ci_preprocess_new (&format, &options, NULL);
  s.floats = g_new0 (gfloat, 3 * (gsize) k->out_width * k->out_height);

  for (r = 0; r < rounds; r++) {
    for (i = 0; i < G_N_ELEMENTS (run); i++) {
      gdouble start = cpu_ms ();

      run[i] (&s);
      best[i] = MIN (best[i], cpu_ms () - start);
    }
  }
  g_print ("  {\"case\": \"%s\", \"to\": \"%dx%d\", \"exact_ms\": %.3f, "
      "\"fast_ms\": %.3f, \"opencv_ms\": %.3f, \"videoconverter_ms\": %.3f}"
      "%s\n", k->name, k->out_width, k->out_height, best[0], best[1], best[2],
      best[3], last ? "" : ",");

  ci_preprocess_free (s.exact);
  ci_preprocess_free (s.fast);
  ci_preprocess_free (s.opencv);
  gst_video_converter_free (s.converter);
  gst_video_frame_unmap (&s.src);
  gst_video_frame_unmap (&s.dst);
  gst_buffer_unref (src);
  gst_buffer_unref (dst);
  g_free (s.floats);
}

int
main (int argc, char **argv)
{
  gint rounds = argc > 1 ? atoi (argv[1]) : 100;
  guint i;

  gst_init (NULL, NULL);
  g_print ("[\n");
  for (i = 0; i < G_N_ELEMENTS (cases); i++)
    run_case (&cases[i], rounds, i + 1 == G_N_ELEMENTS (cases));
  g_print ("]\n");
  return 0;
}
