/*
 * Pre-processing: against plain conversions and resizes in doubles, and its
 * arguments.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <sys/resource.h>
#include <unistd.h>

#include "preprocess.h"
#include "preprocess_priv.h"

static const CiPixelFormat yuv_formats[] = {
  CI_PIXEL_NV12, CI_PIXEL_I420, CI_PIXEL_GRAY8, CI_PIXEL_P010
};

/* ---- plain references ------------------------------------------------- */

/* 8-bit RGB levels of a sample of Y, U and V by the definitions of the
 * standards, clamped but not rounded. */
static void
reference_rgb (const CiImageFormat * format, gdouble y, gdouble u, gdouble v,
    gdouble rgb[3])
{
  static const gdouble red[] = { 0.299, 0.2126, 0.2627 };
  static const gdouble blue[] = { 0.114, 0.0722, 0.0593 };
  gdouble kr = red[format->matrix], kb = blue[format->matrix];
  gint bits = format->pixel_format == CI_PIXEL_P010 ? 10 : 8;
  gdouble scale = 1 << (bits - 8), most = (1 << bits) - 1;
  gdouble luma, cb, cr;
  gint c;

  if (format->full_range) {
    luma = y / most;
    cb = (u - 128 * scale) / most;
    cr = (v - 128 * scale) / most;
  } else {
    luma = (y / scale - 16) / 219;
    cb = (u / scale - 128) / 224;
    cr = (v / scale - 128) / 224;
  }
  rgb[0] = luma + cr * (2 - 2 * kr);
  rgb[2] = luma + cb * (2 - 2 * kb);
  rgb[1] = (luma - kr * rgb[0] - kb * rgb[2]) / (1 - kr - kb);
  for (c = 0; c < 3; c++)
    rgb[c] = CLAMP (rgb[c] * 255, 0, 255);
}

/* Sample of component @c (Y, U, V or R, G, B) at a whole position of its own
 * grid, clamped to it. */
static gdouble
reference_sample (const Frame * frame, gint c, gint x, gint y)
{
  CiPixelFormat f = frame->format.pixel_format;
  gboolean yuv = n_planes (f) > 1;
  const guint8 *sample;
  gint w = frame->format.width, h = frame->format.height;
  gint plane = 0, offset;

  if (yuv && c > 0) {
    w = (w + 1) / 2;
    h = (h + 1) / 2;
  }
  x = CLAMP (x, 0, w - 1);
  y = CLAMP (y, 0, h - 1);
  offset = x * pixel_bytes (f);
  if (yuv && c > 0) {
    plane = n_planes (f) == 2 ? 1 : c;
    offset = n_planes (f) == 2 ? pixel_bytes (f) * (2 * x + c - 1) : x;
  } else if (pixel_bytes (f) >= 3) {
    gboolean swap = f == CI_PIXEL_BGR || f == CI_PIXEL_BGRA
        || f == CI_PIXEL_BGRX;

    offset += swap ? 2 - c : c;
  }
  sample = frame->memory[plane] + (gsize) y * frame->image.strides[plane]
      + offset;
  /* the upper ten of sixteen bits */
  return f == CI_PIXEL_P010 ? sample[1] << 2 | sample[0] >> 6 : sample[0];
}

static void
reference_pixel (const Frame * frame, gint x, gint y, gdouble rgb[3])
{
  gboolean yuv = n_planes (frame->format.pixel_format) > 1;
  gdouble s[3];
  gint c;

  for (c = 0; c < 3; c++)
    s[c] = c && yuv ? reference_sample (frame, c, x / 2, y / 2)
        : reference_sample (frame, c, x, y);
  if (yuv)
    reference_rgb (&frame->format, s[0], s[1], s[2], rgb);
  else if (frame->format.pixel_format == CI_PIXEL_GRAY8)
    reference_rgb (&frame->format, s[0], 128, 128, rgb);
  else
    memcpy (rgb, s, sizeof (s));
}

/* One pass of Pillow's 8-bit bilinear resize over lines of 3-channel pixels:
 * from pixel i of line j at i * step + j * line. */
static void
pillow_pass (const guint8 * src, gint in, gsize src_step, gsize src_line,
    guint8 * dst, gint out, gsize dst_step, gsize dst_line, gint n_lines)
{
  gdouble scale = (gdouble) in / out, support = MAX (scale, 1.0);
  g_autofree gdouble *k = g_new (gdouble, in);
  gint o, i, j, c;

  for (o = 0; o < out; o++) {
    gdouble center = (o + 0.5) * scale, sum = 0;
    gint first = MAX ((gint) (center - support + 0.5), 0);
    gint end = MIN ((gint) (center + support + 0.5), in);

    for (i = first; i < end; i++) {
      k[i] = MAX (0.0, 1.0 - fabs ((i - center + 0.5) / support));
      sum += k[i];
    }
    for (j = 0; j < n_lines; j++) {
      for (c = 0; c < 3; c++) {
        gint64 acc = 1 << 21;

        for (i = first; i < end; i++)
          acc += (gint64) (0.5 + k[i] / sum * (1 << 22)) *
              src[i * src_step + j * src_line + c];
        dst[o * dst_step + j * dst_line + c] = CLAMP (acc >> 22, 0, 255);
      }
    }
  }
}

static guint8 *
pillow_resize (const guint8 * rgb, gint w, gint h, gint out_w, gint out_h)
{
  g_autofree guint8 *tmp = g_malloc ((gsize) out_w * h * 3);
  guint8 *dst = g_malloc ((gsize) out_w * out_h * 3);

  pillow_pass (rgb, w, 3, (gsize) w * 3, tmp, out_w, 3, (gsize) out_w * 3, h);
  pillow_pass (tmp, h, (gsize) out_w * 3, 3, dst, out_h, (gsize) out_w * 3, 3,
      out_w);
  return dst;
}

static void
compare_bytes (const guint8 * got, const guint8 * wanted, gsize n,
    const gchar * what)
{
  gsize i;

  for (i = 0; i < n; i++)
    check (got[i] == wanted[i], "%s: byte %" G_GSIZE_FORMAT
        " is %d, expected %d", what, i, got[i], wanted[i]);
}

/* ---- conversion ------------------------------------------------------- */

/* Colours whose values the standards and calculators agree on. */
GST_START_TEST (test_known_colours)
{
  static const struct
  {
    CiYuvMatrix matrix;
    gboolean full;
    guint8 yuv[3], rgb[3];
  } colours[] = {
    {CI_YUV_BT601, FALSE, {16, 128, 128}, {0, 0, 0}},
    {CI_YUV_BT601, FALSE, {235, 128, 128}, {255, 255, 255}},
    {CI_YUV_BT601, FALSE, {0, 128, 128}, {0, 0, 0}},
    {CI_YUV_BT601, FALSE, {255, 128, 128}, {255, 255, 255}},
    {CI_YUV_BT601, FALSE, {81, 90, 240}, {254, 0, 0}},
    {CI_YUV_BT601, FALSE, {145, 54, 34}, {0, 255, 1}},
    {CI_YUV_BT601, FALSE, {41, 240, 110}, {0, 0, 255}},
    {CI_YUV_BT709, FALSE, {63, 102, 240}, {255, 1, 0}},
    {CI_YUV_BT709, FALSE, {173, 42, 26}, {0, 255, 1}},
    {CI_YUV_BT709, FALSE, {32, 240, 118}, {1, 0, 255}},
    {CI_YUV_BT709, TRUE, {77, 77, 77}, {0, 110, 0}},
    {CI_YUV_BT601, TRUE, {76, 85, 255}, {254, 0, 0}},
    {CI_YUV_BT2020, FALSE, {74, 97, 240}, {255, 0, 0}},
    {CI_YUV_BT2020, TRUE, {128, 128, 128}, {128, 128, 128}},
  };
  guint i;
  gint c;

  for (i = 0; i < G_N_ELEMENTS (colours); i++) {
    g_autofree guint8 *got = NULL;
    Frame frame;

    frame_init (&frame, CI_PIXEL_I420, 1, 1, 0, 1);
    frame.format.matrix = colours[i].matrix;
    frame.format.full_range = colours[i].full;
    for (c = 0; c < 3; c++)
      frame.memory[c][0] = colours[i].yuv[c];
    got = run_exact (&frame, TRUE, 1, 1, NULL);
    for (c = 0; c < 3; c++)
      fail_unless (ABS (got[c] - colours[i].rgb[c]) <= 1,
          "colour %u channel %d is %d, expected %d", i, c, got[c],
          colours[i].rgb[c]);
    frame_clear (&frame);
  }
}

GST_END_TEST;

/* 100 % colours of 10-bit signals (SMPTE RP 219 and BT.2111 give them), their
 * lower six bits set or not. */
GST_START_TEST (test_known_deep_colours)
{
  static const struct
  {
    CiYuvMatrix matrix;
    gboolean full;
    guint16 yuv[3];
    guint8 rgb[3];
  } colours[] = {
    {CI_YUV_BT709, FALSE, {64, 512, 512}, {0, 0, 0}},
    {CI_YUV_BT709, FALSE, {940, 512, 512}, {255, 255, 255}},
    {CI_YUV_BT709, FALSE, {502, 512, 512}, {128, 128, 128}},
    {CI_YUV_BT709, FALSE, {250, 409, 960}, {255, 0, 0}},
    {CI_YUV_BT709, FALSE, {691, 167, 105}, {0, 255, 0}},
    {CI_YUV_BT709, FALSE, {127, 960, 471}, {0, 0, 255}},
    {CI_YUV_BT709, FALSE, {877, 64, 553}, {255, 255, 0}},
    {CI_YUV_BT2020, FALSE, {294, 387, 960}, {255, 0, 0}},
    {CI_YUV_BT709, TRUE, {0, 512, 512}, {0, 0, 0}},
    {CI_YUV_BT709, TRUE, {1023, 512, 512}, {255, 255, 255}},
  };

  for (guint i = 0; i < 2 * G_N_ELEMENTS (colours); i++) {
    guint k = i / 2, low = i % 2 * 63;
    g_autofree guint8 *got = NULL;
    Frame frame;

    frame_init (&frame, CI_PIXEL_P010, 1, 1, 0, 1);
    frame.format.matrix = colours[k].matrix;
    frame.format.full_range = colours[k].full;
    for (gint c = 0; c < 3; c++) {
      guint8 *dst = frame.memory[c > 0] + (c > 1 ? 2 : 0);

      dst[0] = (colours[k].yuv[c] << 6 | low) & 0xff;
      dst[1] = colours[k].yuv[c] >> 2;
    }
    got = run_exact (&frame, TRUE, 1, 1, NULL);
    for (gint c = 0; c < 3; c++)
      fail_unless (ABS (got[c] - colours[k].rgb[c]) <= 1,
          "colour %u channel %d is %d, expected %d", k, c, got[c],
          colours[k].rgb[c]);
    frame_clear (&frame);
  }
}

GST_END_TEST;

static const gint sizes[][2] = {
  {1, 1}, {2, 1}, {1, 2}, {3, 5}, {4, 16}, {17, 33}, {1, 40}, {40, 1},
  {133, 47}, {256, 31}
};

/* Without a change of size the result is the converted frame. */
GST_START_TEST (test_yuv_conversion)
{
  guint f, s;
  gint matrix, full, padding, x, y, c;

  for (f = 0; f < G_N_ELEMENTS (yuv_formats); f++) {
    for (s = 0; s < G_N_ELEMENTS (sizes); s++) {
      for (matrix = CI_YUV_BT601; matrix <= CI_YUV_BT2020; matrix++) {
        for (full = 0; full < 2; full++) {
          for (padding = 0; padding < 16; padding += 7) {
            gint w = sizes[s][0], h = sizes[s][1];
            g_autofree guint8 *got = NULL;
            Frame frame;

            frame_init (&frame, yuv_formats[f], w, h, padding, s + 100);
            frame.format.matrix = matrix;
            frame.format.full_range = full;
            got = run_exact (&frame, TRUE, w, h, NULL);
            for (y = 0; y < h; y++) {
              for (x = 0; x < w; x++) {
                const guint8 *pixel = got + (y * w + x) * 3;
                gdouble rgb[3];

                /* coefficients of 20 bits times samples of 10 */
                reference_pixel (&frame, x, y, rgb);
                for (c = 0; c < 3; c++)
                  check (fabs (pixel[c] - rgb[c]) < (yuv_formats[f] ==
                          CI_PIXEL_P010 ? 0.502 : 0.501),
                      "format %d, %d x %d, matrix %d, full %d: channel %d at "
                      "%d, %d is %d, expected %g", yuv_formats[f], w, h,
                      matrix, full, c, x, y, pixel[c], rgb[c]);
              }
            }
            frame_clear (&frame);
          }
        }
      }
    }
  }
}

GST_END_TEST;

/* ---- resize ----------------------------------------------------------- */

static const struct
{
  gint w, h, out_w, out_h;
} resizes[] = {
  {1, 1, 1, 1}, {1, 1, 7, 5}, {2, 1, 1, 3}, {1, 37, 4, 12}, {37, 1, 12, 4},
  {16, 16, 16, 5}, {16, 16, 5, 16}, {64, 48, 64, 48}, {33, 17, 31, 19},
  {250, 100, 5, 2}, {1650, 50, 33, 1}, {16384, 2, 1333, 1}, {16384, 2, 1, 2},
  {2, 16384, 2, 1}, {2, 5000, 1, 1250}, {5, 3, 101, 77}, {320, 180, 128, 72},
  {321, 181, 129, 73}, {97, 61, 98, 60}, {640, 90, 129, 18},
  /* ratios of 1.5, 2, 3, 3.75 and 5 */
  {90, 60, 60, 40}, {64, 32, 32, 16}, {96, 60, 32, 20}, {480, 270, 128, 72},
  {75, 45, 15, 9}
};

/* Every format equals Pillow's resize of the frame converted to RGB, whether
 * the errors of weights average out or add up. */
GST_START_TEST (test_exact_resize)
{
  static const CiPixelFormat formats[] = {
    CI_PIXEL_NV12, CI_PIXEL_I420, CI_PIXEL_GRAY8, CI_PIXEL_RGB, CI_PIXEL_BGRA,
    CI_PIXEL_P010
  };
  const gboolean contrast = __i__;
  guint f, s;

  for (f = 0; f < G_N_ELEMENTS (formats); f++) {
    for (s = 0; s < G_N_ELEMENTS (resizes); s++) {
      gint w = resizes[s].w, h = resizes[s].h;
      gint out_w = resizes[s].out_w, out_h = resizes[s].out_h;
      g_autofree guint8 *rgb = NULL, *wanted = NULL, *got = NULL;
      g_autofree gchar *what = g_strdup_printf
          ("format %d, %d x %d to %d x %d", formats[f], w, h, out_w, out_h);
      Frame frame;

      frame_init (&frame, formats[f], w, h, s % 3, s);
      if (contrast)
        frame_contrast (&frame);
      rgb = run_exact (&frame, TRUE, w, h, NULL);
      wanted = pillow_resize (rgb, w, h, out_w, out_h);
      got = run_exact (&frame, TRUE, out_w, out_h, NULL);
      compare_bytes (got, wanted, (gsize) out_w * out_h * 3, what);
      frame_clear (&frame);
    }
  }
}

GST_END_TEST;

/* The loops for any CPU make what those for this one do. */
GST_START_TEST (test_portable_loops)
{
  guint s;
  gint f;

  for (f = CI_PIXEL_NV12; f <= CI_PIXEL_P010; f++) {
    for (s = 0; s < G_N_ELEMENTS (resizes); s++) {
      gint w = resizes[s].out_w, h = resizes[s].out_h;
      gsize n = (gsize) w * h * 3 * sizeof (gfloat);
      g_autofree gfloat *one = g_malloc (n), *other = g_malloc (n);
      CiExactScratch scratch;
      CiPreprocess *pre;
      Frame frame;

      frame_init (&frame, f, resizes[s].w, resizes[s].h, s % 3, s);
      pre = new_preprocess (&frame, plain_options, w, h);
      ci_preprocess_run (pre, &frame.image, one, NULL);
      ci_preprocess_exact_layout (pre, pre->scratch, &scratch);
      ci_preprocess_exact_run (pre, &frame.image, other, &scratch, 0, h);
      fail_unless (memcmp (one, other, n) == 0, "format %d, %d x %d to %d x %d",
          f, resizes[s].w, resizes[s].h, w, h);
      ci_preprocess_free (pre);
      frame_clear (&frame);
    }
  }
}

GST_END_TEST;

/* White stays white and black black however the weights round. */
GST_START_TEST (test_exact_extremes)
{
  static const gint widths[] = { 16384, 16383, 9973, 4099, 3, 1 };
  static const gint outs[] = { 1, 2, 3, 7, 1333, 16384 };
  guint i, j;

  for (i = 0; i < G_N_ELEMENTS (widths); i++) {
    for (j = 0; j < G_N_ELEMENTS (outs); j++) {
      g_autofree guint8 *across = NULL, *down = NULL;
      Frame wide, tall;
      gint x;

      frame_init (&wide, CI_PIXEL_GRAY8, widths[i], 1, 0, 1);
      frame_init (&tall, CI_PIXEL_GRAY8, 1, widths[i], 0, 1);
      wide.format.full_range = tall.format.full_range = TRUE;
      memset (wide.memory[0], 255, widths[i]);
      memset (tall.memory[0], 255, widths[i]);
      across = run_exact (&wide, TRUE, outs[j], 1, NULL);
      down = run_exact (&tall, TRUE, 1, outs[j], NULL);
      for (x = 0; x < outs[j] * 3; x++)
        check (across[x] == 255 && down[x] == 255,
            "%d to %d: %d and %d at %d", widths[i], outs[j], across[x],
            down[x], x);
      frame_clear (&wide);
      frame_clear (&tall);
    }
  }
}

GST_END_TEST;

static gdouble
reference_bilinear (const Frame * frame, gint c, gdouble x, gdouble y)
{
  gint x0, y0;
  gdouble top, bottom;

  x = MAX (x, 0);
  y = MAX (y, 0);
  x0 = x;
  y0 = y;
  top = (x0 + 1 - x) * reference_sample (frame, c, x0, y0)
      + (x - x0) * reference_sample (frame, c, x0 + 1, y0);
  bottom = (x0 + 1 - x) * reference_sample (frame, c, x0, y0 + 1)
      + (x - x0) * reference_sample (frame, c, x0 + 1, y0 + 1);
  return (y0 + 1 - y) * top + (y - y0) * bottom;
}

/* Two taps on each component's own grid, then conversion; within a
 * thousandth of the range. */
GST_START_TEST (test_fast_resize)
{
  static const CiPixelFormat formats[] = {
    CI_PIXEL_NV12, CI_PIXEL_I420, CI_PIXEL_GRAY8, CI_PIXEL_RGB, CI_PIXEL_BGR,
    CI_PIXEL_RGBX, CI_PIXEL_BGRA, CI_PIXEL_P010
  };
  CiPreprocessOptions options = plain_options;
  guint f, s;
  gint x, y, c;

  options.quality = CI_RESIZE_FAST;
  for (f = 0; f < G_N_ELEMENTS (formats); f++) {
    for (s = 0; s < G_N_ELEMENTS (resizes); s++) {
      gint w = resizes[s].w, h = resizes[s].h;
      gint out_w = resizes[s].out_w, out_h = resizes[s].out_h;
      gboolean yuv = n_planes (formats[f]) > 1;
      g_autofree gfloat *got = g_new (gfloat, (gsize) out_w * out_h * 3);
      CiPreprocess *pre;
      Frame frame;

      frame_init (&frame, formats[f], w, h, s % 3, s);
      frame.format.matrix = s % 3;
      frame.format.full_range = s % 2;
      pre = new_preprocess (&frame, options, out_w, out_h);
      ci_preprocess_run (pre, &frame.image, got, NULL);
      fail_unless (ci_preprocess_get_resized (pre) == NULL);
      for (y = 0; y < out_h; y++) {
        for (x = 0; x < out_w; x++) {
          gdouble sx = (x + 0.5) * w / out_w, sy = (y + 0.5) * h / out_h;
          gdouble v[3], rgb[3];

          for (c = 0; c < 3; c++)
            v[c] = c && yuv ? reference_bilinear (&frame, c, sx / 2 - 0.5,
                sy / 2 - 0.5) : reference_bilinear (&frame, c, sx - 0.5,
                sy - 0.5);
          if (formats[f] == CI_PIXEL_GRAY8)
            reference_rgb (&frame.format, v[0], 128, 128, rgb);
          else if (yuv)
            reference_rgb (&frame.format, v[0], v[1], v[2], rgb);
          else
            memcpy (rgb, v, sizeof (v));
          for (c = 0; c < 3; c++) {
            gfloat value = got[((gsize) c * out_h + y) * out_w + x];

            check (fabs (value - rgb[c]) <= 0.255,
                "format %d, %d x %d to %d x %d: channel %d at %d, %d is %g, "
                "expected %g", formats[f], w, h, out_w, out_h, c, x, y, value,
                rgb[c]);
          }
        }
      }
      ci_preprocess_free (pre);
      frame_clear (&frame);
    }
  }
}

GST_END_TEST;

/* ---- the rest --------------------------------------------------------- */

/* Mean and std in the input's order, zeros right and below, in each run. */
GST_START_TEST (test_normalise_and_pad)
{
  static const gfloat mean[] = { 123.675f, 116.28f, 103.53f };
  static const gfloat std[] = { 58.395f, 57.12f, 57.375f };
  gint rgb, quality, run, x, y, c;

  for (rgb = 0; rgb < 2; rgb++) {
    for (quality = CI_RESIZE_EXACT; quality <= CI_RESIZE_OPENCV; quality++) {
      CiPreprocessOptions options = {
        .padded_width = 11,.padded_height = 9,.rgb = rgb,.quality = quality
      };
      gfloat dst[3][9][11];
      CiPreprocess *pre;
      Frame frame;

      for (c = 0; c < 3; c++) {
        options.mean[c] = mean[rgb ? c : 2 - c];
        options.std[c] = std[rgb ? c : 2 - c];
      }
      frame_init (&frame, CI_PIXEL_RGBA, 7, 4, 3, 5);
      pre = new_preprocess (&frame, options, 7, 4);
      for (run = 0; run < 2; run++) {
        memset (dst, 0xff, sizeof (dst));
        ci_preprocess_run (pre, &frame.image, &dst[0][0][0], NULL);
        for (c = 0; c < 3; c++) {
          for (y = 0; y < 9; y++) {
            for (x = 0; x < 11; x++) {
              gint k = rgb ? c : 2 - c;
              gfloat wanted = 0.0f;

              if (x < 7 && y < 4)
                wanted = (reference_sample (&frame, k, x, y) - mean[k]) /
                    std[k];
              check (fabsf (dst[c][y][x] - wanted) < 1e-5f,
                  "channel %d at %d, %d is %g, expected %g", c, x, y,
                  dst[c][y][x], wanted);
            }
          }
        }
      }
      ci_preprocess_free (pre);
      frame_clear (&frame);
    }
  }
}

GST_END_TEST;

GST_START_TEST (test_threads)
{
  static const CiPixelFormat formats[] = {
    CI_PIXEL_NV12, CI_PIXEL_GRAY8, CI_PIXEL_BGR, CI_PIXEL_P010
  };
  CiPool *pool = ci_pool_new (3);
  guint f;
  gint quality, h;

  for (f = 0; f < G_N_ELEMENTS (formats); f++) {
    for (quality = CI_RESIZE_EXACT; quality <= CI_RESIZE_OPENCV; quality++) {
      /* one row, fewer rows than tasks, more */
      for (h = 1; h < 200; h = h * 7 + 1) {
        CiPreprocessOptions options = plain_options;
        gsize n = 3 * 160 * 200 * sizeof (gfloat);
        g_autofree gfloat *one = g_malloc (n), *many = g_malloc (n);
        CiPreprocess *pre;
        Frame frame;

        options.quality = quality;
        options.padded_width = 160;
        options.padded_height = 200;
        frame_init (&frame, formats[f], 333, 217, 0, f);
        pre = new_preprocess (&frame, options, 131, h);
        memset (one, 0xee, n);
        memset (many, 0xdd, n);
        ci_preprocess_run (pre, &frame.image, one, NULL);
        ci_preprocess_run (pre, &frame.image, many, pool);
        fail_unless (memcmp (one, many, n) == 0,
            "format %d, quality %d, height %d", formats[f], quality, h);
        ci_preprocess_free (pre);
        frame_clear (&frame);
      }
    }
  }
  ci_pool_free (pool);
}

GST_END_TEST;

GST_START_TEST (test_bad_arguments)
{
  const CiImageFormat good = {.pixel_format = CI_PIXEL_NV12,.width = 64,
    .height = 48
  };
  const CiPreprocessOptions options = {
    .resized_width = 32,.resized_height = 24,.padded_width = 32,
    .padded_height = 32,.std = {1, 1, 1}
  };
  CiImageFormat f[7];
  CiPreprocessOptions o[12];
  guint i;

  for (i = 0; i < G_N_ELEMENTS (f); i++)
    f[i] = good;
  for (i = 0; i < G_N_ELEMENTS (o); i++)
    o[i] = options;
  f[0].width = 0;
  f[1].height = -48;
  f[2].width = 16385;
  f[3].height = G_MAXINT;
  f[4].pixel_format = 10;
  f[5].pixel_format = -1;
  f[6].matrix = 3;
  o[0].resized_width = 0;
  o[1].resized_height = -1;
  o[2].resized_width = o[2].padded_width = 16385;
  o[3].padded_width = 31;
  o[4].padded_height = 23;
  o[5].padded_height = 20000;
  o[6].padded_width = -32;
  o[7].std[1] = 0;
  o[8].std[2] = -1;
  o[9].std[0] = NAN;
  o[10].mean[1] = INFINITY;
  o[11].quality = 3;

  for (i = 0; i < G_N_ELEMENTS (f) + G_N_ELEMENTS (o) + 2; i++) {
    g_autoptr (GError) error = NULL;
    const CiImageFormat *format = &good;
    const CiPreprocessOptions *opt = &options;

    if (i < G_N_ELEMENTS (f))
      format = &f[i];
    else if (i < G_N_ELEMENTS (f) + G_N_ELEMENTS (o))
      opt = &o[i - G_N_ELEMENTS (f)];
    else if (i % 2)
      format = NULL;
    else
      opt = NULL;
    fail_unless (ci_preprocess_new (format, opt, &error) == NULL,
        "argument set %u was taken", i);
    fail_unless (g_error_matches (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT),
        "argument set %u: wrong error", i);
    fail_unless (strstr (error->message, "pre-processing: ") != NULL);
    /* names the value */
    if (i == 2)
      fail_unless (strstr (error->message, "frame width is 16385") != NULL,
          "%s", error->message);
  }
  ci_preprocess_free (NULL);
}

GST_END_TEST;

/* Sanitizers reserve more addresses than this test allows. */
#if defined (__SANITIZE_ADDRESS__)
# define NO_LIMIT 1
#elif defined (__has_feature)
# if __has_feature (address_sanitizer)
#  define NO_LIMIT 1
# endif
#endif

#ifndef NO_LIMIT
GST_START_TEST (test_out_of_memory)
{
  const CiImageFormat format = {.pixel_format = CI_PIXEL_RGB,.width = 16384,
    .height = 16384
  };
  const CiPreprocessOptions options = {
    .resized_width = 16384,.resized_height = 16384,.padded_width = 16384,
    .padded_height = 16384,.std = {1, 1, 1}
  };
  g_autoptr (GError) error = NULL;
  struct rlimit before, limit;
  g_autofree gchar *statm = NULL;
  CiPreprocess *pre;

  /* what is in use and half of what the resized image needs */
  fail_unless (g_file_get_contents ("/proc/self/statm", &statm, NULL, NULL));
  fail_unless (getrlimit (RLIMIT_AS, &before) == 0);
  limit = before;
  limit.rlim_cur = g_ascii_strtoull (statm, NULL, 10) * sysconf (_SC_PAGESIZE)
      + (400 << 20);
  fail_unless (setrlimit (RLIMIT_AS, &limit) == 0);
  pre = ci_preprocess_new (&format, &options, &error);
  setrlimit (RLIMIT_AS, &before);
  fail_unless (pre == NULL);
  fail_unless (g_error_matches (error, CI_ERROR, CI_ERROR_OUT_OF_MEMORY));
  fail_unless (strstr (error->message, "16384 x 16384") != NULL, "%s",
      error->message);
}

GST_END_TEST;
#endif

static Suite *
preprocess_suite (void)
{
  Suite *s = suite_create ("preprocess");
  TCase *tc = tcase_create ("general");

  tcase_set_timeout (tc, 300);
  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_known_colours);
  tcase_add_test (tc, test_known_deep_colours);
  tcase_add_test (tc, test_yuv_conversion);
  tcase_add_loop_test (tc, test_exact_resize, 0, 2);
  tcase_add_test (tc, test_portable_loops);
  tcase_add_test (tc, test_exact_extremes);
  tcase_add_test (tc, test_fast_resize);
  tcase_add_test (tc, test_normalise_and_pad);
  tcase_add_test (tc, test_threads);
  tcase_add_test (tc, test_bad_arguments);
#ifndef NO_LIMIT
  tcase_add_test (tc, test_out_of_memory);
#endif
  return s;
}

GST_CHECK_MAIN (preprocess);
