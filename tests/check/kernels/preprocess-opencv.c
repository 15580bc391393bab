/*
 * CI_RESIZE_OPENCV: against OpenCV's own results and plain arithmetic.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>

#include "preprocess.h"
#include "preprocess_priv.h"

/* ---- what OpenCV made --------------------------------------------------- */

/* An RGB picture, the same wherever it is made: upper bytes of a linear
 * congruential generator. */
static guint8 *
make_picture (guint32 seed, gint w, gint h, gboolean contrast)
{
  gsize n = (gsize) w * h * 3;
  guint8 *rgb = g_malloc (n);

  for (gsize i = 0; i < n; i++) {
    seed = seed * 1664525 + 1013904223;
    rgb[i] = contrast ? (seed >> 31) * 255 : seed >> 24;
  }
  return rgb;
}

/* A packed frame that shows @rgb. */
static void
frame_from_rgb (Frame * frame, const guint8 * rgb, gint w, gint h)
{
  frame_init (frame, CI_PIXEL_RGB, w, h, 0, 1);
  memcpy (frame->memory[0], rgb, frame->size[0]);
}

/* FNV-1a 64 of cv2.resize (picture, (out_w, out_h), cv2.INTER_LINEAR), case i
 * with seed i + 1, plain and with contrast: wheels 4.10.0 and 5.0.0 of
 * opencv-python-headless for x86-64, which agree. */
static const struct
{
  gint w, h, out_w, out_h;
  guint64 hash[2];
} resizes[] = {
  {1, 1, 1, 1, {0x70368918303614ba, 0xd94c37186c0dbb96}},
  {1, 1, 7, 5, {0xbe1b8a0d424fd010, 0xff0377e1732b483f}},
  {2, 1, 1, 3, {0x7036578c26b163f6, 0xbef97bbbbc3907d0}},
  {1, 37, 4, 12, {0xdf16fc8af4d2448d, 0x6e9182717128c0a1}},
  {37, 1, 12, 4, {0x4d746067ecdce721, 0xfe429980790d24f5}},
  {16, 16, 16, 5, {0x9965383a10d1c315, 0xf03892b82b134286}},
  {16, 16, 5, 16, {0xd6c7655eef9db529, 0x5e8cfdb81ed87c34}},
  {64, 48, 64, 48, {0x248d9e0fe465588f, 0x98526361b97feff5}},
  {33, 17, 31, 19, {0x9b20b173d672d175, 0xd6b679f6054069b9}},
  {250, 100, 5, 2, {0x7044d19e2aef95db, 0x8bc569dd8af46571}},
  {1650, 20, 33, 1, {0xecff7102540e1525, 0x55bd1f8f793d55d7}},
  {2000, 2, 1333, 1, {0x782c428aff577a0a, 0x249ade90a7912dae}},
  {2000, 2, 1, 2, {0x59ed800180dbf13a, 0x09624173e8755e98}},
  {2, 2000, 2, 1, {0x0ecdc2ecd4d205b1, 0x775d2aa49e327870}},
  {2, 1600, 1, 400, {0xd9b6eef184f20e39, 0x0668d31ebbec8505}},
  {5, 3, 101, 77, {0x26d887f5027c407f, 0xc13c71678fc813e5}},
  {320, 45, 128, 18, {0x87ebcae5426be956, 0x1bcb2eace8b87f37}},
  {161, 91, 65, 37, {0xe0f9bef7d671e041, 0x419e2d2a3a38a528}},
  {97, 61, 98, 60, {0x83d054dcb58db185, 0xa08e70cd041e48f7}},
  {64, 32, 32, 16, {0x280022170a80cd22, 0x49bd93f14bcb7d0c}},
  {66, 50, 33, 25, {0xf45f578ce979a380, 0xd492f3920300183d}},
  {64, 31, 32, 16, {0xa0151990b4ae60f4, 0xe8d7354adb1e43be}},
  {64, 16, 32, 16, {0xa80c0fc17c0a589e, 0x0f1d25fdf62be17b}},
  {33, 32, 33, 16, {0x7af27639c624ec6e, 0x100e1b7ab80b171d}},
  {2, 2, 1, 1, {0x820833183a7288ff, 0x01f85219a49c6c77}},
  {63, 31, 32, 16, {0xee8f95617daba8d1, 0xc1a0bc79dc007795}},
  {65, 33, 32, 16, {0xb4c951820031ff31, 0x59b4aa1d1401168c}},
  {90, 60, 60, 40, {0x305b46a6930c2eb5, 0x7166214db9fffec9}},
  {96, 60, 32, 20, {0x5d2a1bdeff9df043, 0x206388ba9143df90}},
  {128, 64, 32, 16, {0x1186ea69e51f48cb, 0x8fd02dc019371a11}},
  {75, 45, 15, 9, {0x0010ee7efc6538ae, 0xc0cec213a0361008}},
  {32, 20, 96, 60, {0x18b5a48c8f245133, 0xd83518abce340ad7}},
  {31, 20, 62, 40, {0x3e058316a499d1f6, 0xbb9f4a2669ffa709}},
};

/* A case in full, of seed 100. */
static const guint8 small[5][7 * 3] = {
  {70, 89, 74, 78, 60, 83, 92, 13, 98, 104, 36, 98, 112, 63,
    94, 94, 51, 70, 83, 43, 56},
  {72, 60, 130, 71, 41, 135, 69, 10, 144, 81, 39, 134, 96, 72,
    119, 119, 70, 93, 134, 69, 76},
  {76, 17, 214, 60, 13, 213, 34, 6, 212, 47, 44, 187, 73, 84,
    158, 158, 99, 127, 211, 108, 107},
  {145, 75, 226, 115, 73, 223, 67, 70, 218, 51, 92, 195, 44, 117,
    173, 70, 140, 178, 87, 155, 181},
  {192, 114, 234, 152, 113, 229, 89, 112, 222, 53, 124, 200, 24, 139,
    183, 12, 168, 212, 4, 186, 230},
};

GST_START_TEST (test_equals_opencv)
{
  for (guint s = 0; s < G_N_ELEMENTS (resizes); s++) {
    for (gint contrast = 0; contrast < 2; contrast++) {
      gint w = resizes[s].w, h = resizes[s].h;
      gint out_w = resizes[s].out_w, out_h = resizes[s].out_h;
      g_autofree guint8 *rgb = make_picture (s + 1, w, h, contrast);
      g_autofree guint8 *got = NULL;
      Frame frame;

      frame_from_rgb (&frame, rgb, w, h);
      got = run_levels (&frame, CI_RESIZE_OPENCV, TRUE, out_w, out_h, NULL);
      fail_unless (fnv1a64 (got, (gsize) out_w * out_h * 3) ==
          resizes[s].hash[contrast], "%d x %d to %d x %d, contrast %d", w, h,
          out_w, out_h, contrast);
      frame_clear (&frame);
    }
  }
}

GST_END_TEST;

GST_START_TEST (test_equals_opencv_in_full)
{
  g_autofree guint8 *rgb = make_picture (100, 4, 3, FALSE), *got = NULL;
  Frame frame;

  frame_from_rgb (&frame, rgb, 4, 3);
  got = run_levels (&frame, CI_RESIZE_OPENCV, TRUE, 7, 5, NULL);
  for (gint i = 0; i < 5 * 7 * 3; i++)
    fail_unless (got[i] == small[i / 21][i % 21],
        "byte %d is %d, expected %d", i, got[i], small[i / 21][i % 21]);
  frame_clear (&frame);
}

GST_END_TEST;

/* ---- any format --------------------------------------------------------- */

/* First tap and both weights, in 2048ths, of output @i. */
static gint
reference_tap (gint in, gint out, gint i, gint weight[2])
{
  gfloat position = (i + 0.5) * (1.0 / ((gdouble) out / in)) - 0.5;
  gfloat fraction = position - floorf (position);

  weight[0] = nearbyintf ((1 - fraction) * 2048);
  weight[1] = nearbyintf (fraction * 2048);
  return floorf (position);
}

static guint8 *
reference_resize (const guint8 * rgb, gint w, gint h, gint out_w, gint out_h)
{
  guint8 *dst = g_malloc ((gsize) out_w * out_h * 3);

  for (gint y = 0; y < out_h; y++) {
    for (gint x = 0; x < out_w; x++) {
      gint wx[2], wy[2];
      gint x0 = reference_tap (w, out_w, x, wx);
      gint y0 = reference_tap (h, out_h, y, wy);

      /* beyond an edge, only columns get a whole weight */
      if (x0 < 0 || x0 >= w - 1) {
        wx[0] = 2048;
        wx[1] = 0;
      }
      for (gint c = 0; c < 3; c++) {
        gint sum = 2;

        for (gint j = 0; j < 2; j++) {
          const guint8 *row = rgb + (gsize) CLAMP (y0 + j, 0, h - 1) * w * 3;
          gint across = row[CLAMP (x0, 0, w - 1) * 3 + c] * wx[0]
              + row[CLAMP (x0 + 1, 0, w - 1) * 3 + c] * wx[1];

          sum += (across >> 4) * wy[j] >> 16;
        }
        dst[((gsize) y * out_w + x) * 3 + c] = sum >> 2;
      }
    }
  }
  return dst;
}

/* Whatever the format, of the same 8-bit RGB as the exact one's, which its own
 * tests check. */
GST_START_TEST (test_formats)
{
  const gboolean contrast = __i__;

  for (gint f = CI_PIXEL_NV12; f <= CI_PIXEL_P010; f++) {
    for (guint s = 0; s < G_N_ELEMENTS (resizes); s++) {
      gint w = resizes[s].w, h = resizes[s].h;
      gint out_w = resizes[s].out_w, out_h = resizes[s].out_h;
      g_autofree guint8 *rgb = NULL, *wanted = NULL, *got = NULL;
      Frame frame;

      frame_init (&frame, f, w, h, s % 3, s);
      frame.format.matrix = s % 3;
      frame.format.full_range = s % 2;
      if (contrast)
        frame_contrast (&frame);
      rgb = run_exact (&frame, s % 2, w, h, NULL);
      wanted = reference_resize (rgb, w, h, out_w, out_h);
      got = run_levels (&frame, CI_RESIZE_OPENCV, s % 2, out_w, out_h, NULL);
      for (gsize i = 0; i < (gsize) out_w * out_h * 3; i++)
        check (got[i] == wanted[i], "format %d, %d x %d to %d x %d: byte %"
            G_GSIZE_FORMAT " is %d, expected %d", f, w, h, out_w, out_h, i,
            got[i], wanted[i]);
      frame_clear (&frame);
    }
  }
}

GST_END_TEST;

/* Half of both sides: the mean of four, rounded up at a half. */
GST_START_TEST (test_halves_are_means)
{
  const gint w = 46, h = 18;
  g_autofree guint8 *rgb = make_picture (3, w, h, FALSE), *got = NULL;
  Frame frame;

  frame_from_rgb (&frame, rgb, w, h);
  got = run_levels (&frame, CI_RESIZE_OPENCV, TRUE, w / 2, h / 2, NULL);
  for (gint i = 0; i < w / 2 * h / 2 * 3; i++) {
    gint c = i % 3, x = i / 3 % (w / 2) * 2, y = i / 3 / (w / 2) * 2;
    const guint8 *p = rgb + (y * w + x) * 3 + c;
    gint mean = (p[0] + p[3] + p[w * 3] + p[w * 3 + 3] + 2) / 4;

    fail_unless (got[i] == mean, "byte %d is %d, expected %d", i, got[i],
        mean);
  }
  frame_clear (&frame);
}

GST_END_TEST;

/* The loops for any CPU make what those for this one do. */
GST_START_TEST (test_portable_loops)
{
  CiPreprocessOptions options = plain_options;

  options.quality = CI_RESIZE_OPENCV;
  for (gint f = CI_PIXEL_NV12; f <= CI_PIXEL_P010; f++) {
    for (guint s = 0; s < G_N_ELEMENTS (resizes); s++) {
      gint w = resizes[s].out_w, h = resizes[s].out_h;
      gsize n = (gsize) w * h * 3 * sizeof (gfloat);
      g_autofree gfloat *one = g_malloc (n), *other = g_malloc (n);
      CiOpencvScratch scratch;
      CiPreprocess *pre;
      Frame frame;

      frame_init (&frame, f, resizes[s].w, resizes[s].h, s % 3, s);
      pre = new_preprocess (&frame, options, w, h);
      ci_preprocess_run (pre, &frame.image, one, NULL);
      ci_preprocess_opencv_layout (pre, pre->scratch, &scratch);
      ci_preprocess_opencv_run (pre, &frame.image, other, &scratch, 0, h);
      fail_unless (memcmp (one, other, n) == 0, "format %d, %d x %d to %d x %d",
          f, resizes[s].w, resizes[s].h, w, h);
      ci_preprocess_free (pre);
      frame_clear (&frame);
    }
  }
}

GST_END_TEST;

static Suite *
preprocess_suite (void)
{
  Suite *s = suite_create ("preprocess-opencv");
  TCase *tc = tcase_create ("general");

  tcase_set_timeout (tc, 300);
  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_equals_opencv);
  tcase_add_test (tc, test_equals_opencv_in_full);
  tcase_add_loop_test (tc, test_formats, 0, 2);
  tcase_add_test (tc, test_halves_are_means);
  tcase_add_test (tc, test_portable_loops);
  return s;
}

GST_CHECK_MAIN (preprocess);
