/* GStreamer instance masks
 *
 * maskoverlay-pixels.c: what maskoverlay does to the pixels of a frame
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "maskframe.h"

static const GstVideoFormat formats[] = {
  GST_VIDEO_FORMAT_NV12, GST_VIDEO_FORMAT_NV21, GST_VIDEO_FORMAT_I420,
  GST_VIDEO_FORMAT_YV12, GST_VIDEO_FORMAT_YUY2, GST_VIDEO_FORMAT_UYVY,
  GST_VIDEO_FORMAT_YVYU, GST_VIDEO_FORMAT_NV16,
  GST_VIDEO_FORMAT_NV24, GST_VIDEO_FORMAT_Y42B,
  GST_VIDEO_FORMAT_Y444, GST_VIDEO_FORMAT_A420, GST_VIDEO_FORMAT_AYUV,
  GST_VIDEO_FORMAT_VUYA, GST_VIDEO_FORMAT_RGB, GST_VIDEO_FORMAT_BGR,
  GST_VIDEO_FORMAT_RGBx, GST_VIDEO_FORMAT_BGRx, GST_VIDEO_FORMAT_xRGB,
  GST_VIDEO_FORMAT_xBGR, GST_VIDEO_FORMAT_RGBA, GST_VIDEO_FORMAT_BGRA,
  GST_VIDEO_FORMAT_ARGB, GST_VIDEO_FORMAT_ABGR, GST_VIDEO_FORMAT_RGBP,
  GST_VIDEO_FORMAT_BGRP, GST_VIDEO_FORMAT_GBR, GST_VIDEO_FORMAT_GBRA,
  GST_VIDEO_FORMAT_GRAY8, GST_VIDEO_FORMAT_P010_10LE,
};

/* Inside is the colour, outside is untouched, in every format, with and
 * without padding, at even and odd sizes */
GST_START_TEST (test_formats)
{
  static const gint sizes[][2] = { {96, 64}, {95, 63} };
  const Ellipse e = { 44.3, 30.8, 27.6, 18.2 };
  guint f, s, padding;
  gint x, y;

  for (f = 0; f < G_N_ELEMENTS (formats); f++) {
    for (s = 0; s < G_N_ELEMENTS (sizes); s++) {
      for (padding = 0; padding <= 6; padding += 6) {
        gboolean grey = formats[f] == GST_VIDEO_FORMAT_GRAY8;
        guint32 inside = grey ? to_grey (COLOR) : COLOR;
        guint32 outside = grey ? to_grey (BACKGROUND) : BACKGROUND;
        g_autoptr (GstBuffer) before = NULL;
        g_autofree guint8 *rgba = NULL;
        GstVideoInfo info;
        GstHarness *h;
        GstBuffer *buffer;

        gst_video_info_set_format (&info, formats[f], sizes[s][0],
            sizes[s][1]);
        h = make_harness (PLAIN "mask-opacity=1", &info);
        buffer = make_frame (&info, padding, BACKGROUND);
        before = gst_buffer_copy_deep (buffer);
        add_ellipse (add_meta (buffer, &info), &e, 5.3, 0, 0, "cat");
        buffer = gst_harness_push_and_pull (h, buffer);
        assert_untouched (before, buffer, &info, 16, 12, 73, 50);
        rgba = to_rgba (buffer, &info);
        for (y = 0; y < info.height; y++) {
          for (x = 0; x < info.width; x++) {
            gdouble d = ellipse_distance (&e, x + 0.5, y + 0.5);

            /* chroma is two pixels wide, and its upsampling as much again */
            if (d > 3.5)
              assert_pixel (rgba, &info, x, y, inside, 4);
            else if (d < -3.5)
              assert_pixel (rgba, &info, x, y, outside, 4);
          }
        }
        gst_buffer_unref (buffer);
        gst_harness_teardown (h);
      }
    }
  }
}

GST_END_TEST;

/* Area and centre of what is drawn, to a fraction of a pixel: in RGB and in
 * both planes of NV12; also mirrored, and with cells smaller than pixels */
GST_START_TEST (test_position)
{
  static const gdouble steps[] = { 4.7, 9.9, -6.1, 1, 0.8 };
  const Ellipse e = { 60.37, 45.81, 30.2, 22.7 };
  guint s, f;

  for (s = 0; s < G_N_ELEMENTS (steps); s++) {
    for (f = 0; f < 3; f++) {
      GstVideoFormat format = f == 0 ? GST_VIDEO_FORMAT_RGB :
          GST_VIDEO_FORMAT_NV12;
      gint unit = f == 2 ? 2 : 1, c = f, x, y;
      gdouble sum = 0, sum_x = 0, sum_y = 0, area = G_PI * e.rx * e.ry;
      gdouble from, to;
      GstVideoFrame frame;
      GstVideoInfo info;
      GstBuffer *buffer;
      GstHarness *h;

      gst_video_info_set_format (&info, format, 128, 96);
      h = make_harness (PLAIN "mask-opacity=1", &info);
      buffer = make_frame (&info, 0, 0x000000);
      add_ellipse (add_meta (buffer, &info), &e, steps[s], 0, 0, NULL);
      buffer = gst_harness_push_and_pull (h, buffer);
      fail_unless (gst_video_frame_map (&frame, &info, buffer, GST_MAP_READ));
      c = f == 2 ? 1 : 0;
#define SAMPLE(x, y) (GST_VIDEO_FRAME_COMP_DATA (&frame, c) \
    [(y) * GST_VIDEO_FRAME_COMP_STRIDE (&frame, c) \
    + (x) * GST_VIDEO_FRAME_COMP_PSTRIDE (&frame, c)])
      from = SAMPLE (0, 0);
      to = SAMPLE ((gint) e.x / unit, (gint) e.y / unit);
      fail_unless (fabs (to - from) > 50);
      for (y = 0; y < GST_VIDEO_FRAME_COMP_HEIGHT (&frame, c); y++) {
        for (x = 0; x < GST_VIDEO_FRAME_COMP_WIDTH (&frame, c); x++) {
          gdouble part = (SAMPLE (x, y) - from) / (to - from) * unit * unit;

          sum += part;
          sum_x += part * (x + 0.5) * unit;
          sum_y += part * (y + 0.5) * unit;
        }
      }
      fail_unless (fabs (sum_x / sum - e.x) < 0.1, "step %g, component %d: "
          "centre x %g, expected %g", steps[s], c, sum_x / sum, e.x);
      fail_unless (fabs (sum_y / sum - e.y) < 0.1, "step %g, component %d: "
          "centre y %g, expected %g", steps[s], c, sum_y / sum, e.y);
      fail_unless (fabs (sum - area) < 0.03 * area, "step %g, component %d: "
          "area %g, expected %g", steps[s], c, sum, area);
      gst_video_frame_unmap (&frame);
      gst_buffer_unref (buffer);
      gst_harness_teardown (h);
    }
  }
}

GST_END_TEST;

GST_START_TEST (test_colorimetry)
{
  static const gchar *colorimetries[] = { "bt601", "bt709", "bt2020",
    "1:4:0:0", "1:3:0:0"
  };
  const Ellipse e = { 32, 32, 20, 20 };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (colorimetries); i++) {
    g_autofree guint8 *rgba = NULL;
    GstVideoInfo info;
    GstBuffer *buffer;

    gst_video_info_set_format (&info, GST_VIDEO_FORMAT_NV12, 64, 64);
    fail_unless (gst_video_colorimetry_from_string (&info.colorimetry,
            colorimetries[i]));
    /* what is compared here is the matrix and the range alone */
    info.colorimetry.primaries = GST_VIDEO_COLOR_PRIMARIES_UNKNOWN;
    info.colorimetry.transfer = GST_VIDEO_TRANSFER_UNKNOWN;
    buffer = make_frame (&info, 0, BACKGROUND);
    add_ellipse (add_meta (buffer, &info), &e, 4, 0, 0, NULL);
    rgba = run (PLAIN "mask-opacity=1", &info, buffer);
    assert_pixel (rgba, &info, 32, 32, COLOR, 3);
  }
}

GST_END_TEST;

GST_START_TEST (test_opacity)
{
  const Ellipse e = { 32, 32, 20, 20 };
  g_autofree guint8 *half = NULL;
  g_autofree guint8 *none = NULL;
  GstVideoInfo info;
  GstBuffer *buffer;

  gst_video_info_set_format (&info, GST_VIDEO_FORMAT_BGRx, 64, 64);
  buffer = make_frame (&info, 0, 0x204060);
  add_ellipse (add_meta (buffer, &info), &e, 4, 0, 0, NULL);
  half = run (PLAIN "mask-opacity=0.5", &info, buffer);
  assert_pixel (half, &info, 32, 32, 0x807040, 1);
  assert_pixel (half, &info, 2, 2, 0x204060, 0);

  buffer = make_frame (&info, 0, 0x204060);
  add_ellipse (add_meta (buffer, &info), &e, 4, 0, 0, NULL);
  none = run (PLAIN "mask-opacity=0", &info, buffer);
  assert_pixel (none, &info, 32, 32, 0x204060, 0);
}

GST_END_TEST;

/* Masks that reach out of the frame on every side, and frames smaller than
 * anything */
GST_START_TEST (test_clipping)
{
  static const Ellipse ellipses[] = {
    {0, 20, 15, 10}, {50, 20, 15, 10}, {25, 0, 10, 15}, {25, 40, 10, 15},
    {25, 20, 500, 300}, {0, 0, 8, 8}, {50, 40, 8, 8},
  };
  static const gint sizes[][2] = { {1, 1}, {2, 1}, {1, 2}, {3, 3}, {5, 1} };
  static const gchar *effects[] = { "fill", "contour", "blur", "pixelate",
    "blackout", "cutout-alpha"
  };
  guint i, f, k;
  gint x, y;

  for (i = 0; i < G_N_ELEMENTS (ellipses); i++) {
    const Ellipse *e = &ellipses[i];
    g_autofree guint8 *rgba = NULL;
    GstVideoInfo info;
    GstBuffer *buffer;

    gst_video_info_set_format (&info, GST_VIDEO_FORMAT_RGB, 50, 40);
    buffer = make_frame (&info, 0, BACKGROUND);
    add_ellipse (add_meta (buffer, &info), e, 3.1, 0, 0, NULL);
    rgba = run (PLAIN "mask-opacity=1", &info, buffer);
    for (y = 0; y < info.height; y++) {
      for (x = 0; x < info.width; x++) {
        gdouble d = ellipse_distance (e, x + 0.5, y + 0.5);

        if (fabs (d) > 1)
          assert_pixel (rgba, &info, x, y, d > 0 ? COLOR : BACKGROUND, 1);
      }
    }
  }

  for (f = 0; f < G_N_ELEMENTS (formats); f++) {
    for (i = 0; i < G_N_ELEMENTS (sizes); i++) {
      for (k = 0; k < G_N_ELEMENTS (effects); k++) {
        const Ellipse e = { 0, 0, 30, 30 };
        g_autofree gchar *properties = g_strdup_printf ("palette=#e0a020 "
            "draw-boxes=true mask-opacity=1 effect=%s", effects[k]);
        g_autofree guint8 *rgba = NULL;
        GstVideoInfo info;
        GstBuffer *buffer;

        gst_video_info_set_format (&info, formats[f], sizes[i][0],
            sizes[i][1]);
        buffer = make_frame (&info, 0, BACKGROUND);
        add_ellipse (add_meta (buffer, &info), &e, 4, 0, 0, "a label");
        rgba = run (properties, &info, buffer);
        fail_unless (rgba != NULL);
      }
    }
  }
}

GST_END_TEST;

/* Work goes by blocks of pixels: frames and objects of all widths around the
 * sizes of those, the object cut off by the edge or just not */
GST_START_TEST (test_widths)
{
  gint width, k, x, y;

  for (width = 90; width < 150; width++) {
    for (k = 0; k < 3; k++) {
      const Ellipse e = { width - 40 + 22 * k, 16, width - 50, 13.3 };
      g_autofree guint8 *fill = NULL;
      g_autofree guint8 *contour = NULL;
      GstVideoInfo info;
      GstBuffer *buffer;

      gst_video_info_set_format (&info, GST_VIDEO_FORMAT_RGB, width, 33);
      buffer = make_frame (&info, 0, BACKGROUND);
      add_ellipse (add_meta (buffer, &info), &e, 3.7, 0, 0, NULL);
      fill = run (PLAIN "mask-opacity=1", &info, buffer);
      buffer = make_frame (&info, 0, BACKGROUND);
      add_ellipse (add_meta (buffer, &info), &e, 3.7, 0, 0, NULL);
      contour = run (PLAIN "effect=contour contour-width=3", &info, buffer);
      for (y = 0; y < info.height; y++) {
        for (x = 0; x < info.width; x++) {
          gdouble d = ellipse_distance (&e, x + 0.5, y + 0.5);

          if (fabs (d) > 1.2)
            assert_pixel (fill, &info, x, y, d > 0 ? COLOR : BACKGROUND, 0);
          if (fabs (d) > 3)
            assert_pixel (contour, &info, x, y, BACKGROUND, 0);
          else if (fabs (d) < 0.3)
            assert_pixel (contour, &info, x, y, COLOR, 0);
        }
      }
    }
  }
}

GST_END_TEST;

/* A producer's nonsense costs neither the process nor the other objects. */
GST_START_TEST (test_bad_masks)
{
  static const gfloat bad[] = { NAN, INFINITY, -INFINITY, 1e30f, -1e30f, 0,
    1e9f, -1e9f, 1e-30f, 3e6f
  };
  const Ellipse e = { 40, 30, 15, 15 };
  guint i, field;

  for (i = 0; i < G_N_ELEMENTS (bad); i++) {
    for (field = 0; field < 12; field++) {
      g_autofree guint8 *rgba = NULL;
      GstInstanceMask masks[2];
      GstMaskDrawOptions options = GST_MASK_DRAW_OPTIONS_INIT;
      g_autoptr (GstMaskDraw) draw = gst_mask_draw_new ();
      GstInstanceMask *mask = &masks[0];
      GstVideoFrame frame;
      GstVideoInfo info;
      GstBuffer *buffer;

      make_mask (&masks[0], &e, 4, 1, -5, NULL);
      make_mask (&masks[1], &(Ellipse) { 10, 50, 6, 6 }, 3, 2, 1, "\xff\xfe");
      switch (field) {
        case 0:
          mask->x0 = bad[i];
          break;
        case 1:
          mask->y0 = bad[i];
          break;
        case 2:
          mask->x1 = bad[i];
          break;
        case 3:
          mask->y1 = bad[i];
          break;
        case 4:
          mask->offset_x = bad[i];
          break;
        case 5:
          mask->offset_y = bad[i];
          break;
        case 6:
          mask->scale_x = bad[i];
          break;
        case 7:
          mask->scale_y = bad[i];
          break;
        case 8:
          mask->score = bad[i];
          break;
        case 9:
          mask->grid_height = 1000 + i;
          break;
        case 10:
          mask->grid_offset = G_MAXSIZE - i;
          break;
        case 11:
          mask->grid_stride = i == 0 ? 0 : G_MAXSIZE / i;
          break;
      }
      options.draw_boxes = TRUE;
      options.mask_opacity = 1;
      options.palette = (const guint32[]) {
      COLOR};
      options.n_palette = 1;
      gst_video_info_set_format (&info, GST_VIDEO_FORMAT_I420, 80, 61);
      buffer = make_frame (&info, 0, BACKGROUND);
      fail_unless (gst_video_frame_map (&frame, &info, buffer,
              GST_MAP_READWRITE));
      fail_unless (gst_mask_draw_frame (draw, &frame, &options, masks, 2));
      gst_video_frame_unmap (&frame);
      rgba = to_rgba (buffer, &info);
      assert_pixel (rgba, &info, 10, 50, COLOR, 4);
      gst_buffer_unref (buffer);
      g_bytes_unref (masks[0].grid);
      g_bytes_unref (masks[1].grid);
    }
  }
}

GST_END_TEST;

/* A frame with an edge through the object: blur and mosaic mix both sides
 * inside it, and only there. */
static GstBuffer *
make_striped_frame (GstVideoInfo * info)
{
  GstBuffer *buffer = make_frame (info, 0, 0x000000);
  GstBuffer *white = make_frame (info, 0, 0xffffff);
  GstVideoFrame a, b;
  guint c;
  gint x, y;

  fail_unless (gst_video_frame_map (&a, info, buffer, GST_MAP_READWRITE));
  fail_unless (gst_video_frame_map (&b, info, white, GST_MAP_READ));
  for (c = 0; c < GST_VIDEO_FRAME_N_COMPONENTS (&a); c++)
    for (y = 0; y < GST_VIDEO_FRAME_COMP_HEIGHT (&a, c); y++)
      for (x = 0; x < GST_VIDEO_FRAME_COMP_WIDTH (&a, c); x++) {
        gsize offset = (gsize) y * GST_VIDEO_FRAME_COMP_STRIDE (&a, c)
            + x * GST_VIDEO_FRAME_COMP_PSTRIDE (&a, c);

        if ((x << GST_VIDEO_FORMAT_INFO_W_SUB (info->finfo, c)) % 8 >= 4)
          memcpy (GST_VIDEO_FRAME_COMP_DATA (&a, c) + offset,
              GST_VIDEO_FRAME_COMP_DATA (&b, c) + offset,
              (GST_VIDEO_FRAME_COMP_DEPTH (&a, c) + 7) / 8);
      }
  gst_video_frame_unmap (&a);
  gst_video_frame_unmap (&b);
  gst_buffer_unref (white);
  return buffer;
}

GST_START_TEST (test_effects)
{
  const Ellipse e = { 64, 48, 40, 30 };
  guint f;

  for (f = 0; f < G_N_ELEMENTS (formats); f++) {
    gboolean alpha = GST_VIDEO_FORMAT_INFO_HAS_ALPHA
        (gst_video_format_get_info (formats[f]));
    static const gchar *effects[] = { "blur", "pixelate", "blackout",
      "cutout-alpha", "contour"
    };
    guint k;

    for (k = 0; k < G_N_ELEMENTS (effects); k++) {
      g_autofree gchar *properties = g_strdup_printf (PLAIN "effect=%s",
          effects[k]);
      g_autofree guint8 *before = NULL;
      g_autofree guint8 *after = NULL;
      GstVideoInfo info;
      GstBuffer *buffer;
      gint x, y;

      gst_video_info_set_format (&info, formats[f], 128, 96);
      buffer = make_striped_frame (&info);
      before = to_rgba (buffer, &info);
      add_ellipse (add_meta (buffer, &info), &e, 5, 0, 0, NULL);
      after = run (properties, &info, buffer);

      for (y = 0; y < info.height; y++) {
        for (x = 0; x < info.width; x++) {
          const guint8 *p = pixel (before, &info, x, y);
          const guint8 *q = pixel (after, &info, x, y);
          gdouble d = ellipse_distance (&e, x + 0.5, y + 0.5);

          if (fabs (d) < 4)
            continue;
          if (d < 0 && k == 3) {
            if (!alpha)
              assert_pixel (after, &info, x, y, 0x000000, 2);
            else if (q[3] != 0 || memcmp (p, q, 3) != 0)
              fail ("%s: %d,%d has alpha %d", GST_VIDEO_INFO_NAME (&info), x,
                  y, q[3]);
          } else if (d < 0 || k == 3 || k == 4) {
            if (memcmp (p, q, 4) != 0)
              fail ("%s %s: %d,%d changed", GST_VIDEO_INFO_NAME (&info),
                  effects[k], x, y);
          } else if (k == 2) {
            assert_pixel (after, &info, x, y, 0x000000, 2);
          } else if (q[1] < 75 || q[1] > 180) {
            /* stripes of 4 pixels melt into grey */
            fail ("%s %s: %d,%d is %d", GST_VIDEO_INFO_NAME (&info),
                effects[k], x, y, q[1]);
          }
        }
      }
      if (k == 4)
        assert_pixel (after, &info, 24, 48, formats[f] ==
            GST_VIDEO_FORMAT_GRAY8 ? to_grey (COLOR) : COLOR, 160);
    }
  }
}

GST_END_TEST;

/* A line of the given width along the outline, and nothing else */
GST_START_TEST (test_contour)
{
  static const gdouble widths[] = { 1, 3, 6.5 };
  const Ellipse e = { 63.4, 50.7, 42, 31 };
  guint i;
  gint x, y;

  for (i = 0; i < G_N_ELEMENTS (widths); i++) {
    gchar number[G_ASCII_DTOSTR_BUF_SIZE];
    g_autofree gchar *properties = g_strdup_printf ("draw-labels=false "
        "draw-scores=false palette=#ffffff effect=contour contour-width=%s",
        g_ascii_dtostr (number, sizeof (number), widths[i]));
    g_autofree guint8 *rgba = NULL;
    gdouble sum = 0, length = G_PI * (3 * (e.rx + e.ry)
        - sqrt ((3 * e.rx + e.ry) * (e.rx + 3 * e.ry)));
    GstVideoInfo info;
    GstBuffer *buffer;

    gst_video_info_set_format (&info, GST_VIDEO_FORMAT_RGB, 128, 100);
    buffer = make_frame (&info, 0, 0x000000);
    add_ellipse (add_meta (buffer, &info), &e, 7, 0, 0, NULL);
    rgba = run (properties, &info, buffer);
    for (y = 0; y < info.height; y++) {
      for (x = 0; x < info.width; x++) {
        gdouble d = fabs (ellipse_distance (&e, x + 0.5, y + 0.5));

        sum += pixel (rgba, &info, x, y)[0] / 255.;
        if (d < widths[i] / 2 - 1.2)
          assert_pixel (rgba, &info, x, y, 0xffffff, 0);
        else if (d > widths[i] / 2 + 1.2)
          assert_pixel (rgba, &info, x, y, 0x000000, 0);
      }
    }
    fail_unless (fabs (sum - length * widths[i]) < 0.05 * length * widths[i],
        "a line %g wide and %g long covers %g", widths[i], length, sum);
  }
}

GST_END_TEST;

/* Boxes lie on whole pixels, also where an object has no mask. */
GST_START_TEST (test_boxes_and_labels)
{
  GstInstanceMask mask = { 1, 0, 0, 0.87f, 20, 30, 60, 70 };
  g_autofree guint8 *box = NULL;
  g_autofree guint8 *label = NULL;
  g_autofree guint8 *fill = NULL;
  g_autofree guint8 *hidden = NULL;
  GstVideoInfo info;
  GstBuffer *buffer;
  gint x, y, n_plate = 0, n_text = 0;

  mask.label = g_quark_from_static_string ("person");
  gst_video_info_set_format (&info, GST_VIDEO_FORMAT_RGB, 200, 100);

  buffer = make_frame (&info, 0, BACKGROUND);
  gst_instance_mask_meta_add (add_meta (buffer, &info), &mask);
  box = run (PLAIN "draw-masks=false draw-boxes=true contour-width=2", &info,
      buffer);
  for (y = 0; y < info.height; y++) {
    for (x = 0; x < info.width; x++) {
      gboolean outer = x >= 20 && x < 60 && y >= 30 && y < 70;
      gboolean inner = x >= 22 && x < 58 && y >= 32 && y < 68;

      assert_pixel (box, &info, x, y, outer && !inner ? COLOR : BACKGROUND, 0);
    }
  }

  buffer = make_frame (&info, 0, BACKGROUND);
  gst_instance_mask_meta_add (add_meta (buffer, &info), &mask);
  fill = run (PLAIN "mask-opacity=1 contour-width=2", &info, buffer);
  /* nothing says that it fills its box */
  fail_unless (memcmp (fill, box, info.size) == 0);

  buffer = make_frame (&info, 0, BACKGROUND);
  gst_instance_mask_meta_add (add_meta (buffer, &info), &mask);
  hidden = run (PLAIN "effect=blackout", &info, buffer);
  assert_pixel (hidden, &info, 20, 30, 0x000000, 0);
  assert_pixel (hidden, &info, 59, 69, 0x000000, 0);
  assert_pixel (hidden, &info, 60, 69, BACKGROUND, 0);
  assert_pixel (hidden, &info, 19, 30, BACKGROUND, 0);

  /* a plate above the box with letters in the colour asked for */
  buffer = make_frame (&info, 0, BACKGROUND);
  gst_instance_mask_meta_add (add_meta (buffer, &info), &mask);
  label = run ("draw-masks=false draw-contours=false palette=#e0a020 "
      "font-desc=\"Sans Bold 12px\" labels-color=0xff0000ff", &info, buffer);
  for (y = 0; y < info.height; y++) {
    for (x = 0; x < info.width; x++) {
      if (is_near (pixel (label, &info, x, y), COLOR, 0))
        n_plate++;
      else if (is_near (pixel (label, &info, x, y), 0x0000ff, 40))
        n_text++;
      if (y >= 30 || x < 20)
        assert_pixel (label, &info, x, y, BACKGROUND, 0);
    }
  }
  if (n_plate == 0)
    g_print ("no fonts on this machine: labels not checked\n");
  else
    fail_unless (n_plate > 300 && n_text > 40, "plate %d, text %d", n_plate,
        n_text);
}

GST_END_TEST;

/* Nothing of what is hidden remains in the lower bits of longer samples. */
GST_START_TEST (test_hidden_bits)
{
  static const guint16 black[] = { 16 << 8, 128 << 8 };
  const Ellipse e = { 48, 32, 40, 28 };
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  GstVideoInfo info;
  GstVideoFrame frame;
  GstBuffer *buffer;
  GstHarness *h;
  gint p, x, y;

  gst_video_info_set_format (&info, GST_VIDEO_FORMAT_P010_10LE, 96, 64);
  buffer = make_frame (&info, 0, BACKGROUND);
  fail_unless (gst_video_frame_map (&frame, &info, buffer, GST_MAP_WRITE));
  for (x = 0; x < (gint) info.size / 2; x++)
    ((guint16 *) frame.data[0])[x] = g_rand_int (rand) & 0xffc0;
  gst_video_frame_unmap (&frame);
  add_ellipse (add_meta (buffer, &info), &e, 5, 0, 0, NULL);
  h = make_harness (PLAIN "effect=blackout", &info);
  buffer = gst_harness_push_and_pull (h, buffer);

  fail_unless (gst_video_frame_map (&frame, &info, buffer, GST_MAP_READ));
  for (p = 0; p < 2; p++) {
    for (y = 0; y < 64 >> p; y++) {
      const guint16 *row = (guint16 *) ((guint8 *) frame.data[p]
          + y * frame.info.stride[p]);

      for (x = 0; x < 96; x++)
        if (ellipse_distance (&e, x + 0.5, (y + 0.5) * (1 << p)) > 4)
          fail_unless (GUINT16_FROM_LE (row[x]) == black[p],
              "plane %d: %d,%d is %x", p, x, y, row[x]);
    }
  }
  gst_video_frame_unmap (&frame);
  gst_buffer_unref (buffer);
  gst_harness_teardown (h);
}

GST_END_TEST;

static Suite *
maskoverlay_pixels_suite (void)
{
  Suite *s = suite_create ("maskoverlay-pixels");
  TCase *tc = tcase_create ("general");

  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_formats);
  tcase_add_test (tc, test_position);
  tcase_add_test (tc, test_colorimetry);
  tcase_add_test (tc, test_opacity);
  tcase_add_test (tc, test_clipping);
  tcase_add_test (tc, test_widths);
  tcase_add_test (tc, test_bad_masks);
  tcase_add_test (tc, test_effects);
  tcase_add_test (tc, test_hidden_bits);
  tcase_add_test (tc, test_contour);
  tcase_add_test (tc, test_boxes_and_labels);
  return s;
}

GST_CHECK_MAIN (maskoverlay_pixels);
