/* Masks behind real elements: what the mask says after an element must be
 * what the element made of the picture.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>
#include <gst/check/gstcheck.h>
#include <gst/check/gstharness.h>
#include <gst/instancemask/instancemask.h>

#define BOX_X 40
#define BOX_Y 30
#define BOX_W 100
#define BOX_H 130

/* An ellipse and a bar; no mirror or rotation leaves them as they are. */
static gboolean
in_object (gint x, gint y)
{
  gint u = 2 * (x - 45) + 1, v = 2 * (y - 40) + 1;

  if (x < 0 || y < 0 || x >= BOX_W || y >= BOX_H)
    return FALSE;
  return u * u * 4 + v * v * 5 <= 90 * 90 * 4 || (x < 30 && y > 40) || y >= 110;
}

static GstBuffer *
picture_new (const gchar * caps_string)
{
  g_autoptr (GstCaps) caps = gst_caps_from_string (caps_string);
  g_autoptr (GstInstanceMask) mask = gst_instance_mask_new ();
  g_autoptr (GBytes) grid = NULL;
  guint8 *cells = g_malloc (BOX_W * BOX_H);
  GstInstanceMaskMeta *meta;
  GstVideoInfo info;
  GstVideoFrame frame;
  GstBuffer *buffer;

  fail_unless (gst_video_info_from_caps (&info, caps));
  buffer = gst_buffer_new_allocate (NULL, info.size, NULL);
  gst_buffer_memset (buffer, 0, 128, info.size);
  fail_unless (gst_video_frame_map (&frame, &info, buffer, GST_MAP_WRITE));
  for (gint y = 0; y < info.height; y++) {
    guint8 *row = GST_VIDEO_FRAME_COMP_DATA (&frame, 0);

    row += y * GST_VIDEO_FRAME_COMP_STRIDE (&frame, 0);
    for (gint x = 0; x < info.width; x++)
      row[x] = in_object (x - BOX_X, y - BOX_Y) ? 235 : 30;
  }
  gst_video_frame_unmap (&frame);

  for (gint i = 0; i < BOX_W * BOX_H; i++)
    cells[i] = in_object (i % BOX_W, i / BOX_W) ? 255 : 0;
  grid = g_bytes_new_take (cells, BOX_W * BOX_H);
  gst_instance_mask_set_grid (mask, grid, 0, BOX_W, BOX_W, BOX_H);
  gst_instance_mask_set_label (mask, "thing");
  mask->id = 7;
  mask->class_id = 3;
  mask->score = 0.75f;
  mask->x0 = mask->offset_x = BOX_X;
  mask->y0 = mask->offset_y = BOX_Y;
  mask->x1 = BOX_X + BOX_W;
  mask->y1 = BOX_Y + BOX_H;
  meta = gst_buffer_add_instance_mask_meta (buffer, "test", info.width,
      info.height);
  gst_instance_mask_meta_add (meta, mask);
  GST_BUFFER_PTS (buffer) = 0;
  return buffer;
}

/* 0 or 1 if a pixel and its neighbours are all dark or all bright, else -1. */
static gint
clear_case (const guint8 * data, gint stride, gint w, gint h, gint x, gint y)
{
  gint bright = 0, all = 0;

  for (gint v = MAX (y - 1, 0); v <= MIN (y + 1, h - 1); v++) {
    for (gint u = MAX (x - 1, 0); u <= MIN (x + 1, w - 1); u++) {
      bright += data[v * stride + u] >= 128;
      all++;
    }
  }
  return bright == 0 ? 0 : bright == all ? 1 : -1;
}

static void
check_truth (GstHarness * h, GstBuffer * buffer, const gchar * what)
{
  g_autoptr (GstCaps) caps = gst_pad_get_current_caps (h->sinkpad);
  GstInstanceMaskMeta *meta = gst_buffer_get_instance_mask_meta (buffer);
  const GstInstanceMask *mask;
  g_autofree guint8 *rendered = NULL;
  GstVideoInfo info;
  GstVideoFrame frame;
  gint bright = 0, wrong = 0, x, y, w, height, stride;
  const guint8 *data;

  fail_unless (meta != NULL, "%s: no masks", what);
  fail_unless (gst_video_info_from_caps (&info, caps));
  fail_unless (gst_instance_mask_meta_matches (meta, info.width, info.height),
      "%s: %ux%u, not %dx%d", what, meta->frame_width, meta->frame_height,
      info.width, info.height);
  fail_unless_equals_int (gst_instance_mask_meta_get_n_instances (meta), 1);
  fail_unless_equals_string (gst_instance_mask_meta_get_source (meta), "test");
  mask = gst_instance_mask_meta_get_instance (meta, 0);
  fail_unless_equals_int (mask->id, 7);
  fail_unless_equals_int (mask->class_id, 3);
  fail_unless_equals_float (mask->score, 0.75f);
  fail_unless_equals_string (gst_instance_mask_get_label (mask), "thing");

  rendered = g_malloc (info.width * info.height);
  gst_instance_mask_render_a8 (mask, 0, 0, info.width, info.height, 128,
      rendered, info.width);
  fail_unless (gst_video_frame_map (&frame, &info, buffer, GST_MAP_READ));
  data = GST_VIDEO_FRAME_COMP_DATA (&frame, 0);
  stride = GST_VIDEO_FRAME_COMP_STRIDE (&frame, 0);
  for (y = 0; y < info.height; y++) {
    for (x = 0; x < info.width; x++) {
      gint c = clear_case (data, stride, info.width, info.height, x, y);

      bright += c == 1;
      wrong += c >= 0 && c != rendered[y * info.width + x] >> 7;
    }
  }
  gst_video_frame_unmap (&frame);
  fail_unless (bright > 100, "%s: %d", what, bright);
  fail_unless (wrong == 0, "%s: %d pixels differ, %d are in the object", what,
      wrong, bright);

  /* The box goes with the mask; it is not refitted to what a crop leaves. */
  if (mask->flags & GST_INSTANCE_MASK_FLAG_TRUNCATED)
    return;
  fail_unless (gst_instance_mask_get_bounding_rect (mask, info.width,
          info.height, 128, &x, &y, &w, &height));
  fail_unless (ABS (mask->x0 - x) < 1.1 && ABS (mask->y0 - y) < 1.1
      && ABS (mask->x1 - x - w) < 1.1 && ABS (mask->y1 - y - height) < 1.1,
      "%s: box %f %f %f %f, mask %d %d %d %d", what, mask->x0, mask->y0,
      mask->x1, mask->y1, x, y, x + w, y + height);
}

#define GRAY(w, h) "video/x-raw,format=GRAY8,framerate=1/1,width=" #w \
    ",height=" #h
#define I420 "video/x-raw,format=I420,framerate=1/1,width=320,height=240"
#define PAR(n, d) ",pixel-aspect-ratio=" #n "/" #d

/* Pushes two frames through @launch; gives the second. */
static GstBuffer *
run (GstHarness ** h, const gchar * launch, const gchar * in,
    const gchar * out, gboolean follow)
{
  *h = gst_harness_new_parse (launch);
  fail_unless (*h != NULL, "%s", launch);
  if (follow)
    gst_instance_mask_follow ((*h)->srcpad);
  gst_harness_set_src_caps_str (*h, in);
  if (out)
    gst_harness_set_sink_caps_str (*h, out);
  gst_buffer_unref (gst_harness_push_and_pull (*h, picture_new (in)));
  return gst_harness_push_and_pull (*h, picture_new (in));
}

typedef struct
{
  const gchar *launch, *in, *out;
} Case;

static void
check_cases (const Case * cases, guint n, gboolean follow)
{
  for (guint i = 0; i < n; i++) {
    GstHarness *h;
    GstBuffer *buffer =
        run (&h, cases[i].launch, cases[i].in, cases[i].out, follow);
    g_autofree gchar *what = g_strdup_printf ("%s to %s", cases[i].launch,
        cases[i].out);

    GST_INFO ("%s", what);
    check_truth (h, buffer, what);
    gst_buffer_unref (buffer);
    gst_harness_teardown (h);
  }
}

GST_START_TEST (test_scale_and_convert)
{
  static const Case cases[] = {
    {"videoconvert", GRAY (320, 240), "video/x-raw,format=I420"},
    {"videoconvert", GRAY (320, 240), "video/x-raw,format=NV12"},
    {"videoscale", GRAY (320, 240), GRAY (640, 480)},
    {"videoscale", GRAY (320, 240), GRAY (200, 90)},
    {"videoscale", GRAY (321, 241), GRAY (177, 133)},
    /* Letterbox and pillarbox, even and odd. */
    {"videoscale add-borders=true", GRAY (320, 240) PAR (1, 1),
        GRAY (320, 320) PAR (1, 1)},
    {"videoscale add-borders=true", GRAY (320, 240) PAR (1, 1),
        GRAY (403, 120) PAR (1, 1)},
    {"videoscale add-borders=true", GRAY (321, 241) PAR (1, 1),
        GRAY (177, 333) PAR (1, 1)},
    {"videoscale add-borders=true", GRAY (320, 240) PAR (1, 1),
        GRAY (512, 288) PAR (1, 1)},
    {"videoscale add-borders=true", GRAY (320, 240) PAR (4, 3),
        GRAY (320, 240) PAR (1, 1)},
    {"videoscale add-borders=true", GRAY (320, 240) PAR (1, 1),
        GRAY (320, 240) PAR (12, 11)},
    {"videoscale add-borders=true", GRAY (320, 240) PAR (4, 3),
        GRAY (640, 360) PAR (1, 1)},
    /* Nothing moves. */
    {"identity", GRAY (320, 240), NULL},
    {"videobalance brightness=0.05", I420, NULL},
    {"queue ! videoconvert ! videoscale ! videoconvert", GRAY (320, 240),
        "video/x-raw,format=YV12,width=500,height=300" PAR (1, 1)},
  };

  check_cases (cases, G_N_ELEMENTS (cases), FALSE);
  /* Watching does no harm where it is not needed. */
  check_cases (cases, G_N_ELEMENTS (cases), TRUE);
}

GST_END_TEST;

GST_START_TEST (test_crop)
{
  static const Case cases[] = {
    {"videocrop left=11 top=7 right=3 bottom=5", GRAY (320, 240), NULL},
    /* Through the object. */
    {"videocrop left=70 top=60 right=200 bottom=100", GRAY (320, 240), NULL},
    {"videocrop left=-1 right=-1 top=-1 bottom=-1", GRAY (320, 240),
        GRAY (301, 221)},
    {"videocrop left=-1 right=9 top=8 bottom=-1", GRAY (320, 240),
        GRAY (301, 221)},
    {"videobox left=11 top=7 right=3 bottom=5", GRAY (320, 240), NULL},
    {"videobox left=-11 top=-1 right=3 bottom=-50", GRAY (320, 240), NULL},
  };
  GstHarness *h;
  GstBuffer *buffer;
  GstInstanceMask *mask;

  check_cases (cases, G_N_ELEMENTS (cases), TRUE);

  buffer = run (&h, cases[1].launch, cases[1].in, NULL, TRUE);
  mask = gst_instance_mask_meta_get_instance (gst_buffer_get_instance_mask_meta
      (buffer), 0);
  fail_unless_equals_int (mask->flags, GST_INSTANCE_MASK_FLAG_TRUNCATED);
  gst_buffer_unref (buffer);
  gst_harness_teardown (h);

  /* The object is cut off; that frames were looked at stays known. */
  buffer = run (&h, "videocrop left=200", GRAY (320, 240), NULL, TRUE);
  fail_unless_equals_int (gst_instance_mask_meta_get_n_instances
      (gst_buffer_get_instance_mask_meta (buffer)), 0);
  gst_buffer_unref (buffer);
  gst_harness_teardown (h);
}

GST_END_TEST;

GST_START_TEST (test_crop_changes_while_playing)
{
  GstHarness *h = gst_harness_new_parse ("videocrop name=c left=10 right=30");
  g_autoptr (GstElement) crop = gst_harness_find_element (h, "videocrop");

  gst_instance_mask_follow (h->srcpad);
  gst_instance_mask_follow (h->srcpad);
  gst_harness_set_src_caps_str (h, GRAY (320, 240));
  for (gint i = 0; i < 5; i++) {
    GstBuffer *buffer;

    g_object_set (crop, "left", 10 + 9 * i, "right", 30 - i, "top", i, NULL);
    buffer = gst_harness_push_and_pull (h, picture_new (GRAY (320, 240)));
    check_truth (h, buffer, "moving crop");
    gst_buffer_unref (buffer);
  }
  gst_harness_teardown (h);
}

GST_END_TEST;

/* A consumer that crops by itself gets the whole frame and its masks. */
GST_START_TEST (test_crop_by_meta)
{
  for (gint follow = 0; follow < 2; follow++) {
    GstHarness *h = gst_harness_new_parse ("videocrop left=10 top=20");
    GstBuffer *buffer;
    GstInstanceMaskMeta *meta;
    GstVideoCropMeta *crop;

    if (follow)
      gst_instance_mask_follow (h->srcpad);
    gst_harness_add_propose_allocation_meta (h, GST_VIDEO_META_API_TYPE, NULL);
    gst_harness_add_propose_allocation_meta (h, GST_VIDEO_CROP_META_API_TYPE,
        NULL);
    gst_harness_set_src_caps_str (h, GRAY (320, 240));
    buffer = gst_harness_push_and_pull (h, picture_new (GRAY (320, 240)));
    crop = gst_buffer_get_video_crop_meta (buffer);
    meta = gst_buffer_get_instance_mask_meta (buffer);
    fail_unless (crop != NULL && meta != NULL);
    fail_unless (gst_instance_mask_meta_matches (meta, 320, 240));
    gst_instance_mask_meta_crop (meta, crop->x, crop->y, crop->width,
        crop->height);
    fail_unless (gst_instance_mask_meta_matches (meta, 310, 220));
    gst_buffer_unref (buffer);
    gst_harness_teardown (h);
  }
}

GST_END_TEST;

GST_START_TEST (test_flip)
{
  static const gchar *const directions[] = { "identity", "90r", "180", "90l",
    "horiz", "vert", "ul-lr", "ur-ll"
  };

  for (guint i = 0; i < G_N_ELEMENTS (directions); i++) {
    g_autofree gchar *launch =
        g_strdup_printf ("videoflip video-direction=%s", directions[i]);
    const Case c = { launch, GRAY (320, 240), NULL };

    check_cases (&c, 1, TRUE);
  }
}

GST_END_TEST;

GST_START_TEST (test_scale_without_borders)
{
  static const Case cases[] = {
    {"videoscale add-borders=false", GRAY (320, 240) PAR (1, 1),
        GRAY (320, 320) PAR (1, 1)},
    {"videoconvertscale add-borders=false", GRAY (320, 240) PAR (1, 1),
        "video/x-raw,format=I420,width=500,height=200" PAR (1, 1)},
    {"videoscale add-borders=false", GRAY (320, 240) PAR (1, 1),
        GRAY (640, 480) PAR (1, 1)},
  };

  check_cases (cases, G_N_ELEMENTS (cases), TRUE);
}

GST_END_TEST;

GST_START_TEST (test_chain)
{
  static const Case cases[] = {
    {"videoscale add-borders=true ! video/x-raw,width=400,height=400"
          PAR (1, 1) " ! queue ! videocrop left=33 top=51 right=13 ! "
          "videoconvert ! video/x-raw,format=I420 ! videoflip "
          "video-direction=90l ! videocrop top=21 ! videoscale",
          GRAY (320, 240) PAR (1, 1),
        "video/x-raw,format=I420,width=512,height=288" PAR (1, 1)},
    {"tee name=t ! queue ! videocrop left=21 ! fakesink async=false "
          "t. ! queue ! videocrop left=15 name=last",
        GRAY (320, 240), NULL},
  };
  GstHarness *h;
  GstBuffer *buffer;

  check_cases (cases, 1, TRUE);

  /* A tee: both ways are watched. */
  {
    GstElement *bin = gst_parse_launch (cases[1].launch, NULL);
    GstElement *tee = gst_bin_get_by_name (GST_BIN (bin), "t");
    GstElement *last = gst_bin_get_by_name (GST_BIN (bin), "last");
    GstPad *sink = gst_element_get_static_pad (tee, "sink");
    GstPad *src = gst_element_get_static_pad (last, "src");

    gst_element_add_pad (bin, gst_ghost_pad_new ("sink", sink));
    gst_element_add_pad (bin, gst_ghost_pad_new ("src", src));
    gst_object_unref (sink);
    gst_object_unref (src);
    gst_object_unref (tee);
    gst_object_unref (last);
    h = gst_harness_new_with_element (bin, "sink", "src");
    gst_object_unref (bin);
  }
  gst_instance_mask_follow (h->srcpad);
  gst_harness_set_src_caps_str (h, cases[1].in);
  buffer = gst_harness_push_and_pull (h, picture_new (cases[1].in));
  check_truth (h, buffer, "tee");
  gst_buffer_unref (buffer);
  gst_harness_teardown (h);
}

GST_END_TEST;

/* Masks are rather dropped than wrong. */
GST_START_TEST (test_dropped)
{
  static const struct
  {
    const gchar *launch, *out;
    gboolean follow;
  } cases[] = {
#if !GST_CHECK_VERSION (1, 28, 0)
    {"videocrop left=20", NULL, FALSE},
    {"videoflip video-direction=horiz", NULL, FALSE},
#endif
    {"videobox autocrop=true", GRAY (300, 200), TRUE},
  };
  GstHarness *h;
  GstBuffer *buffer;

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    buffer = run (&h, cases[i].launch, GRAY (320, 240), cases[i].out,
        cases[i].follow);
    fail_unless (gst_buffer_get_instance_mask_meta (buffer) == NULL,
        "%s", cases[i].launch);
    gst_buffer_unref (buffer);
    gst_harness_teardown (h);
  }

  /* The meta is about another frame than comes. */
  h = gst_harness_new_parse ("videoscale");
  gst_harness_set_src_caps_str (h, GRAY (320, 240));
  gst_harness_set_sink_caps_str (h, GRAY (160, 120));
  buffer = picture_new (GRAY (320, 240));
  gst_buffer_get_instance_mask_meta (buffer)->frame_width = 640;
  buffer = gst_harness_push_and_pull (h, buffer);
  fail_unless (gst_buffer_get_instance_mask_meta (buffer) == NULL);
  gst_buffer_unref (buffer);
  gst_harness_teardown (h);
}

GST_END_TEST;

static Suite *
instancemaskelements_suite (void)
{
  Suite *s = suite_create ("instancemaskelements");
  TCase *tc = tcase_create ("general");

  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_scale_and_convert);
  tcase_add_test (tc, test_crop);
  tcase_add_test (tc, test_crop_changes_while_playing);
  tcase_add_test (tc, test_crop_by_meta);
  tcase_add_test (tc, test_flip);
  tcase_add_test (tc, test_scale_without_borders);
  tcase_add_test (tc, test_chain);
  tcase_add_test (tc, test_dropped);
  return s;
}

GST_CHECK_MAIN (instancemaskelements);
