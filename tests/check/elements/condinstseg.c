/* GStreamer instance segmentation
 *
 * condinstseg.c: what condinstseg attaches to a frame
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "condinstseg.h"

/* ---- what is attached -------------------------------------------------- */

static const GstVideoFormat formats[] = {
  GST_VIDEO_FORMAT_NV12, GST_VIDEO_FORMAT_I420, GST_VIDEO_FORMAT_RGB,
  GST_VIDEO_FORMAT_BGR, GST_VIDEO_FORMAT_RGBA, GST_VIDEO_FORMAT_BGRA,
  GST_VIDEO_FORMAT_RGBx, GST_VIDEO_FORMAT_BGRx, GST_VIDEO_FORMAT_GRAY8,
  GST_VIDEO_FORMAT_P010_10LE
};

GST_START_TEST (test_attaches_instances)
{
  GstHarness *h = gst_harness_new_parse (SEG);
  GstVideoInfo info = make_info (formats[__i__], 161, 119);
  GstInstanceMaskMeta *meta;
  GstBuffer *buf;
  gfloat score = 1;

  set_caps (h, &info);
  buf = push (h, &info, 0);
  meta = get_meta (buf, &info);
  fail_unless_equals_string (gst_instance_mask_meta_get_source (meta),
      "condinst-light");
  fail_unless (count (buf) >= 1 && count (buf) <= 5);

  for (guint i = 0; i < count (buf); i++) {
    const GstInstanceMask *m = gst_instance_mask_meta_get_instance (meta, i);

    fail_unless_equals_int (m->id, i);
    fail_unless (m->class_id >= 0);
    fail_unless (gst_instance_mask_get_label (m) != NULL);
    fail_unless (m->score > 0 && m->score <= score);
    fail_unless (m->x0 >= 0 && m->x0 < m->x1 && m->x1 <= info.width);
    fail_unless (m->y0 >= 0 && m->y0 < m->y1 && m->y1 <= info.height);
    fail_unless (m->grid_width > 0 && m->grid_height > 0);
    fail_unless (m->grid_offset + (m->grid_height - 1) * m->grid_stride +
        m->grid_width <= g_bytes_get_size (m->grid));
    fail_unless (m->scale_x > 0 && m->scale_y > 0);
    fail_unless_equals_int (m->flags, GST_INSTANCE_MASK_FLAG_NONE);
    score = m->score;
  }
  gst_buffer_unref (buf);
  gst_harness_teardown (h);
}

GST_END_TEST;

GST_START_TEST (test_leaves_buffer_alone)
{
  GstHarness *h = gst_harness_new_parse (SEG);
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_NV12, 160, 120);
  GstBuffer *in = make_frame (&info, 3), *copy = gst_buffer_copy_deep (in);
  GstMemory *memory = gst_buffer_peek_memory (in, 0);
  GstBuffer *out;
  GstMapInfo map;

  set_caps (h, &info);
  GST_BUFFER_DTS (in) = 7;
  GST_BUFFER_OFFSET (in) = 11;
  GST_BUFFER_FLAG_SET (in, GST_BUFFER_FLAG_MARKER | GST_BUFFER_FLAG_GAP);
  out = gst_harness_push_and_pull (h, in);

  fail_unless (out == in);
  fail_unless (gst_buffer_peek_memory (out, 0) == memory);
  fail_unless_equals_uint64 (GST_BUFFER_PTS (out), 3 * FRAME_TIME);
  fail_unless_equals_uint64 (GST_BUFFER_DTS (out), 7);
  fail_unless_equals_uint64 (GST_BUFFER_DURATION (out), FRAME_TIME);
  fail_unless_equals_uint64 (GST_BUFFER_OFFSET (out), 11);
  fail_unless (GST_BUFFER_FLAG_IS_SET (out, GST_BUFFER_FLAG_MARKER));
  fail_unless (GST_BUFFER_FLAG_IS_SET (out, GST_BUFFER_FLAG_GAP));
  fail_unless (gst_buffer_map (copy, &map, GST_MAP_READ));
  gst_check_buffer_data (out, map.data, map.size);
  gst_buffer_unmap (copy, &map);
  gst_buffer_unref (copy);
  gst_buffer_unref (out);
  gst_harness_teardown (h);
}

GST_END_TEST;

GST_START_TEST (test_shares_memory_of_shared_buffer)
{
  GstHarness *h = gst_harness_new_parse (SEG);
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_I420, 160, 120);
  GstBuffer *in = make_frame (&info, 0), *out;

  set_caps (h, &info);
  /* as behind a tee: someone else has the buffer, too */
  out = gst_harness_push_and_pull (h, gst_buffer_ref (in));
  fail_unless (out != in);
  fail_unless (gst_buffer_get_instance_mask_meta (in) == NULL);
  get_meta (out, &info);
  fail_unless_equals_int (gst_buffer_n_memory (out), gst_buffer_n_memory (in));
  for (guint i = 0; i < gst_buffer_n_memory (in); i++)
    fail_unless (gst_buffer_peek_memory (out, i) ==
        gst_buffer_peek_memory (in, i));
  gst_buffer_unref (in);
  gst_buffer_unref (out);
  gst_harness_teardown (h);
}

GST_END_TEST;

GST_START_TEST (test_read_only_memory)
{
  GstHarness *h = gst_harness_new_parse (SEG);
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_RGB, 64, 48);
  guint8 *data = g_malloc0 (info.size);
  GstBuffer *buf = gst_buffer_new_wrapped_full (GST_MEMORY_FLAG_READONLY,
      data, info.size, 0, info.size, data, g_free);

  set_caps (h, &info);
  buf = gst_harness_push_and_pull (h, buf);
  get_meta (buf, &info);
  fail_unless (gst_memory_is_type (gst_buffer_peek_memory (buf, 0),
          GST_ALLOCATOR_SYSMEM));
  fail_unless (GST_MEMORY_IS_READONLY (gst_buffer_peek_memory (buf, 0)));
  gst_buffer_unref (buf);
  gst_harness_teardown (h);
}

GST_END_TEST;

/* Strides and plane offsets come from the buffer, not from the caps. */
GST_START_TEST (test_padded_planes)
{
  GstHarness *h = gst_harness_new_parse (SEG);
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_NV12, 150, 110), padded;
  GstVideoAlignment align;
  GstBuffer *plain, *wide;
  GstVideoFrame src, dst;

  set_caps (h, &info);
  plain = make_frame (&info, 0);
  gst_video_alignment_reset (&align);
  align.padding_left = 16;
  align.padding_right = 22;
  align.padding_top = 6;
  padded = info;
  fail_unless (gst_video_info_align (&padded, &align));
  wide = gst_buffer_new_allocate (NULL, padded.size, NULL);
  gst_buffer_memset (wide, 0, 255, padded.size);
  gst_buffer_add_video_meta_full (wide, GST_VIDEO_FRAME_FLAG_NONE,
      GST_VIDEO_FORMAT_NV12, 150, 110, 2, padded.offset, padded.stride);
  fail_unless (gst_video_frame_map (&src, &info, plain, GST_MAP_READ));
  fail_unless (gst_video_frame_map (&dst, &info, wide, GST_MAP_WRITE));
  fail_unless (GST_VIDEO_FRAME_PLANE_STRIDE (&dst, 0) !=
      GST_VIDEO_FRAME_PLANE_STRIDE (&src, 0));
  gst_video_frame_copy (&dst, &src);
  gst_video_frame_unmap (&src);
  gst_video_frame_unmap (&dst);

  plain = gst_harness_push_and_pull (h, plain);
  wide = gst_harness_push_and_pull (h, wide);
  assert_same_objects (plain, wide);
  gst_buffer_unref (plain);
  gst_buffer_unref (wide);
  gst_harness_teardown (h);
}

GST_END_TEST;

static gfloat
best_score_with (const gchar * caps_string)
{
  GstHarness *h = gst_harness_new_parse (SEG);
  GstCaps *caps = gst_caps_from_string (caps_string);
  GstVideoInfo info;
  GstBuffer *buf;
  gfloat score;

  fail_unless (gst_video_info_from_caps (&info, caps));
  gst_harness_set_src_caps (h, caps);
  buf = push (h, &info, 0);
  score = gst_instance_mask_meta_get_instance (get_meta (buf, &info),
      0)->score;
  gst_buffer_unref (buf);
  gst_harness_teardown (h);
  return score;
}

GST_START_TEST (test_colorimetry)
{
#define CAPS "video/x-raw,format=I420,width=160,height=120,framerate=25/1"
  gfloat bt601 = best_score_with (CAPS ",colorimetry=bt601");

  fail_unless (best_score_with (CAPS ",colorimetry=bt601") == bt601);
  fail_unless (best_score_with (CAPS) == bt601);        /* small video */
  fail_unless (best_score_with (CAPS ",colorimetry=bt709") != bt601);
  fail_unless (best_score_with (CAPS ",colorimetry=1:4:0:0") != bt601);
#undef CAPS
}

GST_END_TEST;

/* as appsrc makes them unless told otherwise; criticals are fatal here */
GST_START_TEST (test_segment_in_bytes)
{
  GstHarness *h = gst_harness_new_parse (SEG "post-messages=true "
      "! maskoverlay");
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_I420, 64, 64);
  GstSegment segment;

  set_caps (h, &info);
  gst_segment_init (&segment, GST_FORMAT_BYTES);
  fail_unless (gst_harness_push_event (h, gst_event_new_segment (&segment)));
  for (guint i = 0; i < 2; i++)
    gst_buffer_unref (push (h, &info, i));
  gst_harness_teardown (h);
}

GST_END_TEST;

/* videocrop on its own would drop the metadata (GStreamer 1.22) */
GST_START_TEST (test_objects_survive_a_crop)
{
  GstHarness *whole = gst_harness_new_parse (SEG);
  GstHarness *cropped = gst_harness_new_parse (SEG
      "! videocrop left=20 top=10");
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_I420, 160, 120);
  GstVideoInfo out = make_info (GST_VIDEO_FORMAT_I420, 140, 110);
  GstInstanceMaskMeta *a, *b;
  GstBuffer *x, *y;
  guint found = 0;

  set_caps (whole, &info);
  set_caps (cropped, &info);
  x = push (whole, &info, 0);
  y = push (cropped, &info, 0);
  a = get_meta (x, &info);
  b = get_meta (y, &out);
  fail_unless (count (y) >= 1);
  for (guint i = 0; i < count (y); i++) {
    const GstInstanceMask *q = gst_instance_mask_meta_get_instance (b, i);

    for (guint k = 0; k < count (x); k++) {
      const GstInstanceMask *p = gst_instance_mask_meta_get_instance (a, k);

      if (p->id != q->id)
        continue;
      found++;
      assert_equals_float (q->x0, MAX (p->x0 - 20, 0));
      assert_equals_float (q->y0, MAX (p->y0 - 10, 0));
      assert_equals_float (q->offset_x, p->offset_x - 20);
      assert_equals_float (q->offset_y, p->offset_y - 10);
    }
  }
  fail_unless_equals_int (found, count (y));
  gst_buffer_unref (x);
  gst_buffer_unref (y);
  gst_harness_teardown (whole);
  gst_harness_teardown (cropped);
}

GST_END_TEST;


GST_START_TEST (test_tiny_and_thin_frames)
{
  static const gint sizes[][2] = { {1, 1}, {1, 200}, {300, 1}, {2, 3} };
  GstHarness *h = gst_harness_new_parse (SEG);

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++) {
    GstVideoInfo info = make_info (formats[__i__], sizes[i][0], sizes[i][1]);
    GstBuffer *buf;

    set_caps (h, &info);
    buf = push (h, &info, i);
    get_meta (buf, &info);
    gst_buffer_unref (buf);
  }
  gst_harness_teardown (h);
}

GST_END_TEST;

GST_START_TEST (test_roi_meta)
{
  GstHarness *h = gst_harness_new_parse (SEG "attach-roi-meta=true");
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_RGB, 160, 120);
  GstInstanceMaskMeta *meta;
  GstBuffer *buf;

  set_caps (h, &info);
  buf = push (h, &info, 0);
  meta = get_meta (buf, &info);
  for (guint i = 0; i < count (buf); i++) {
    const GstInstanceMask *m = gst_instance_mask_meta_get_instance (meta, i);
    GstVideoRegionOfInterestMeta *roi =
        gst_buffer_get_video_region_of_interest_meta_id (buf, i);
    GstStructure *detection;
    gdouble x_min, y_max, confidence;
    gint label_id;

    fail_unless (roi != NULL);
    fail_unless_equals_string (g_quark_to_string (roi->roi_type),
        gst_instance_mask_get_label (m));
    fail_unless (roi->x <= m->x0 && roi->x + roi->w >= m->x1);
    fail_unless (roi->x + roi->w <= 160 && roi->y + roi->h <= 120);
    detection = gst_video_region_of_interest_meta_get_param (roi, "detection");
    fail_unless (gst_structure_get (detection, "x_min", G_TYPE_DOUBLE, &x_min,
            "y_max", G_TYPE_DOUBLE, &y_max, "confidence", G_TYPE_DOUBLE,
            &confidence, "label_id", G_TYPE_INT, &label_id, NULL));
    fail_unless (ABS (x_min * 160 - m->x0) < 1e-3);
    fail_unless (ABS (y_max * 120 - m->y1) < 1e-3);
    fail_unless (ABS (confidence - m->score) < 1e-6);
    fail_unless_equals_int (label_id, m->class_id);
  }
  gst_buffer_unref (buf);

  gst_harness_set (h, "condinstseg", "attach-roi-meta", FALSE, NULL);
  buf = push (h, &info, 1);
  fail_unless (gst_buffer_get_video_region_of_interest_meta (buf) == NULL);
  gst_buffer_unref (buf);
  gst_harness_teardown (h);
}

GST_END_TEST;

/* ---- regions ----------------------------------------------------------- */

#define IN_REGIONS SEG "inference-region=roi-list "

/* Pushes a frame with regions of interest: type, x, y, width, height. */
typedef struct
{
  const gchar *type;
  guint x, y, width, height;
} Roi;

static GstBuffer *
push_with_regions (GstHarness * h, const GstVideoInfo * info,
    const Roi * regions, guint n)
{
  GstBuffer *buf = make_frame (info, 0);

  for (guint i = 0; i < n; i++)
    gst_buffer_add_video_region_of_interest_meta (buf, regions[i].type,
        regions[i].x, regions[i].y, regions[i].width, regions[i].height);
  buf = gst_harness_push_and_pull (h, buf);
  fail_unless (buf != NULL);
  return buf;
}

GST_START_TEST (test_regions)
{
  static const Roi regions[] = {
    {"car", 20, 30, 90, 64}, {"person", 120, 20, 40, 80},
    {"car", 150, 110, 400, 400}, {"car", 4000, 10, 5, 5}, {"car", 5, 5, 0, 9}
  };
  GstHarness *h = gst_harness_new_parse (IN_REGIONS);
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_NV12, 170, 130);
  GstInstanceMaskMeta *meta;
  GstBuffer *buf;
  guint n_all;

  set_caps (h, &info);
  /* nothing to look at: no objects, but still looked */
  buf = push_with_regions (h, &info, NULL, 0);
  fail_unless (get_meta (buf, &info) != NULL);
  fail_unless_equals_int (count (buf), 0);
  gst_buffer_unref (buf);

  buf = push_with_regions (h, &info, regions, 1);
  meta = get_meta (buf, &info);
  fail_unless (count (buf) > 0);
  for (guint i = 0; i < count (buf); i++) {
    const GstInstanceMask *m = gst_instance_mask_meta_get_instance (meta, i);

    fail_unless (m->x0 >= 20 && m->x1 <= 110 && m->y0 >= 30 && m->y1 <= 94);
    fail_unless (m->grid != NULL);
  }
  gst_buffer_unref (buf);

  /* regions that leave the frame, are outside of it or empty */
  gst_harness_set (h, "condinstseg", "max-detections", 1000, NULL);
  buf = push_with_regions (h, &info, regions, G_N_ELEMENTS (regions));
  n_all = count (buf);
  gst_buffer_unref (buf);
  fail_unless (n_all > 0);

  gst_harness_set (h, "condinstseg", "object-class", "bus;person", NULL);
  buf = push_with_regions (h, &info, regions, G_N_ELEMENTS (regions));
  meta = get_meta (buf, &info);
  fail_unless (count (buf) > 0 && count (buf) < n_all);
  for (guint i = 0; i < count (buf); i++)
    fail_unless (gst_instance_mask_meta_get_instance (meta, i)->x0 >= 120);
  gst_buffer_unref (buf);
  gst_harness_teardown (h);
}

GST_END_TEST;

/* What two regions share is there once, and all in all there are not more
 * objects than allowed, the best of them, in order. */
GST_START_TEST (test_regions_share_objects)
{
  static const Roi twice[] = {
    {"a", 10, 10, 100, 80}, {"b", 10, 10, 100, 80}, {"c", 60, 40, 100, 80}
  };
  GstHarness *h = gst_harness_new_parse (IN_REGIONS);
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_RGB, 170, 130);
  GstInstanceMaskMeta *meta;
  GstBuffer *once, *both;

  set_caps (h, &info);
  once = push_with_regions (h, &info, twice, 1);
  both = push_with_regions (h, &info, twice, 2);
  fail_unless (count (once) > 0);
  assert_same_objects (once, both);
  gst_buffer_unref (both);

  both = push_with_regions (h, &info, twice, 3);
  fail_unless_equals_int (count (both), 5);
  meta = get_meta (both, &info);
  for (guint i = 0; i < 5; i++) {
    const GstInstanceMask *m = gst_instance_mask_meta_get_instance (meta, i);

    fail_unless_equals_int (m->id, i);
    if (i > 0)
      fail_unless (m->score <= gst_instance_mask_meta_get_instance (meta,
              i - 1)->score);
  }
  gst_buffer_unref (once);
  gst_buffer_unref (both);
  gst_harness_teardown (h);
}

GST_END_TEST;

/* ---- options that change while playing --------------------------------- */

GST_START_TEST (test_score_threshold)
{
  GstHarness *h = gst_harness_new_parse (SEG);
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_RGB, 160, 120);
  GstBuffer *all, *some, *none;
  gfloat best, threshold;

  set_caps (h, &info);
  gst_harness_set (h, "condinstseg", "max-detections", 50, NULL);
  all = push (h, &info, 0);
  best = gst_instance_mask_meta_get_instance (get_meta (all, &info), 0)->score;
  threshold = gst_instance_mask_meta_get_instance (get_meta (all, &info),
      count (all) - 1)->score;
  threshold = (best + threshold) / 2;

  gst_harness_set (h, "condinstseg", "score-threshold", threshold, NULL);
  some = push (h, &info, 0);
  fail_unless (count (some) >= 1 && count (some) < count (all));
  for (guint i = 0; i < count (some); i++)
    fail_unless (gst_instance_mask_meta_get_instance (get_meta (some, &info),
            i)->score >= threshold);

  /* a meta that says that nothing was found */
  gst_harness_set (h, "condinstseg", "score-threshold", 1.0, NULL);
  none = push (h, &info, 0);
  get_meta (none, &info);
  fail_unless_equals_int (count (none), 0);

  gst_buffer_unref (all);
  gst_buffer_unref (some);
  gst_buffer_unref (none);
  gst_harness_teardown (h);
}

GST_END_TEST;

GST_START_TEST (test_max_detections)
{
  GstHarness *h = gst_harness_new_parse (SEG);
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_RGB, 160, 120);
  GstBuffer *five, *two, *many;

  set_caps (h, &info);
  five = push (h, &info, 0);
  fail_unless_equals_int (count (five), 5);
  gst_harness_set (h, "condinstseg", "max-detections", 2, NULL);
  two = push (h, &info, 0);
  fail_unless_equals_int (count (two), 2);
  /* more than the network was made for */
  gst_harness_set (h, "condinstseg", "max-detections", 0, NULL);
  many = push (h, &info, 0);
  fail_unless (count (many) > 5);
  gst_buffer_unref (five);
  gst_buffer_unref (two);
  gst_buffer_unref (many);
  gst_harness_teardown (h);
}

GST_END_TEST;

GST_START_TEST (test_iou_threshold)
{
  GstHarness *h = gst_harness_new_parse (SEG "max-detections=100");
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_RGB, 160, 120);
  GstBuffer *loose, *strict;

  set_caps (h, &info);
  gst_harness_set (h, "condinstseg", "iou-threshold", 1.0, NULL);
  loose = push (h, &info, 0);
  gst_harness_set (h, "condinstseg", "iou-threshold", 0.0, NULL);
  strict = push (h, &info, 0);
  fail_unless (count (strict) < count (loose));
  gst_buffer_unref (loose);
  gst_buffer_unref (strict);
  gst_harness_teardown (h);
}

GST_END_TEST;

/* No two objects that are left lie on each other, whatever they are. */
GST_START_TEST (test_cross_class_iou_threshold)
{
  GstHarness *h = gst_harness_new_parse (SEG "max-detections=100 "
      "cross-class-iou-threshold=0");
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_RGB, 160, 120);
  GstInstanceMaskMeta *meta;
  GstBuffer *loose, *strict;

  set_caps (h, &info);
  loose = push (h, &info, 0);
  gst_harness_set (h, "condinstseg", "iou-threshold", 0.2,
      "cross-class-iou-threshold", 0.2, NULL);
  strict = push (h, &info, 0);
  meta = get_meta (strict, &info);
  fail_unless (count (strict) > 0 && count (strict) < count (loose));
  for (guint i = 0; i < count (strict); i++)
    for (guint k = 0; k < i; k++) {
      const GstInstanceMask *a = gst_instance_mask_meta_get_instance (meta, i);
      const GstInstanceMask *b = gst_instance_mask_meta_get_instance (meta, k);
      gfloat w = MIN (a->x1, b->x1) - MAX (a->x0, b->x0);
      gfloat y = MIN (a->y1, b->y1) - MAX (a->y0, b->y0);
      gfloat inter = MAX (w, 0) * MAX (y, 0);
      gfloat both = (a->x1 - a->x0) * (a->y1 - a->y0) + (b->x1 - b->x0)
          * (b->y1 - b->y0) - inter;
      /* the network's boxes are those of before the frame's edge cut them */
      gboolean cut = a->x0 == 0 || a->y0 == 0 || a->x1 == info.width
          || a->y1 == info.height || b->x0 == 0 || b->y0 == 0
          || b->x1 == info.width || b->y1 == info.height;

      fail_unless (cut || inter <= 0.21 * both);
    }
  gst_buffer_unref (loose);
  gst_buffer_unref (strict);
  gst_harness_teardown (h);
}

GST_END_TEST;

/* Cells above the threshold read as belonging to the object, others do not,
 * and their order stays. */
GST_START_TEST (test_mask_threshold)
{
  static const gfloat thresholds[] = { 0.0, 0.1, 0.3, 0.5, 0.9, 1.0 };
  GstHarness *h = gst_harness_new_parse (SEG);
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_RGB, 160, 120);
  GstBuffer *plain;

  set_caps (h, &info);
  plain = push (h, &info, 0);
  for (guint t = 0; t < G_N_ELEMENTS (thresholds); t++) {
    GstBuffer *bent;

    gst_harness_set (h, "condinstseg", "mask-threshold", thresholds[t], NULL);
    bent = push (h, &info, 0);
    fail_unless_equals_int (count (plain), count (bent));
    for (guint i = 0; i < count (plain); i++) {
      const GstInstanceMask *a =
          gst_instance_mask_meta_get_instance (get_meta (plain, &info), i);
      const GstInstanceMask *b =
          gst_instance_mask_meta_get_instance (get_meta (bent, &info), i);
      const guint8 *p = g_bytes_get_data (a->grid, NULL);
      const guint8 *q = g_bytes_get_data (b->grid, NULL);
      gint new_value[256];

      for (guint v = 0; v < 256; v++)
        new_value[v] = -1;
      for (guint j = 0; j < a->grid_width * a->grid_height; j++) {
        guint8 v = p[a->grid_offset + j], w = q[b->grid_offset + j];

        /* a value of 1 is exactly at the threshold 1, and in */
        fail_unless ((w >= 128) == (v > thresholds[t] * 255 || v == 255));
        fail_unless (new_value[v] == -1 || new_value[v] == w);
        new_value[v] = w;
        if (thresholds[t] == 0.5)
          fail_unless_equals_int (v, w);
      }
      for (gint v = 0, last = 0; v < 256; v++) {
        if (new_value[v] >= 0) {
          fail_unless (new_value[v] >= last);
          last = new_value[v];
        }
      }
    }
    gst_buffer_unref (bent);
  }
  gst_buffer_unref (plain);
  gst_harness_teardown (h);
}

GST_END_TEST;

GST_START_TEST (test_types)
{
  GstHarness *h = gst_harness_new_parse (SEG "max-detections=50");
  GstElement *seg = gst_harness_find_element (h, "condinstseg");
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_RGB, 160, 120);
  GstBus *bus = add_bus (seg);
  const GstInstanceMask *best;
  GstBuffer *buf, *same;
  gchar *label, *index, *list;

  set_caps (h, &info);
  buf = push (h, &info, 0);
  best = gst_instance_mask_meta_get_instance (get_meta (buf, &info), 0);
  label = g_strdup (gst_instance_mask_get_label (best));
  index = g_strdup_printf ("%d", best->class_id);
  gst_buffer_unref (buf);

  g_object_set (seg, "selected-types", label, NULL);
  buf = push (h, &info, 0);
  fail_unless (count (buf) >= 1);
  for (guint i = 0; i < count (buf); i++)
    fail_unless_equals_string (gst_instance_mask_get_label
        (gst_instance_mask_meta_get_instance (get_meta (buf, &info), i)),
        label);

  g_object_set (seg, "selected-types", index, NULL);
  same = push (h, &info, 0);
  assert_same_objects (buf, same);
  gst_buffer_unref (buf);
  gst_buffer_unref (same);

  g_object_set (seg, "excluded-types", label, NULL);
  buf = push (h, &info, 0);
  fail_unless_equals_int (count (buf), 0);
  gst_buffer_unref (buf);

  g_object_set (seg, "selected-types", NULL, NULL);
  buf = push (h, &info, 0);
  fail_unless (count (buf) >= 1);
  for (guint i = 0; i < count (buf); i++)
    fail_if (g_strcmp0 (gst_instance_mask_get_label
            (gst_instance_mask_meta_get_instance (get_meta (buf, &info), i)),
            label) == 0);
  gst_buffer_unref (buf);
  fail_unless (gst_bus_pop_filtered (bus, GST_MESSAGE_WARNING) == NULL);

  /* one warning per change, not per frame */
  list = g_strdup_printf (" %s ; unicorn;;99999", label);
  g_object_set (seg, "excluded-types", NULL, "selected-types", list, NULL);
  gst_buffer_unref (push (h, &info, 0));
  gst_buffer_unref (push (h, &info, 1));
  assert_message (bus, GST_MESSAGE_WARNING, GST_RESOURCE_ERROR,
      GST_RESOURCE_ERROR_SETTINGS, "'unicorn'", "'99999'", label, NULL);
  fail_unless (gst_bus_pop_filtered (bus, GST_MESSAGE_WARNING) == NULL);

  g_free (label);
  g_free (index);
  g_free (list);
  remove_bus (seg, bus);
  gst_object_unref (seg);
  gst_harness_teardown (h);
}

GST_END_TEST;

GST_START_TEST (test_inference_interval)
{
  GstHarness *h = gst_harness_new_parse (SEG "inference-interval=3");
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_RGB, 160, 120);
  GstBuffer *frames[7];

  set_caps (h, &info);
  for (guint i = 0; i < 7; i++) {
    frames[i] = push (h, &info, i);
    fail_unless (count (frames[i]) >= 1);
    for (guint j = 0; j < count (frames[i]); j++)
      fail_unless_equals_int (gst_instance_mask_meta_get_instance (get_meta
              (frames[i], &info), j)->flags, i % 3 == 0 ?
          GST_INSTANCE_MASK_FLAG_NONE : GST_INSTANCE_MASK_FLAG_PREDICTED);
    if (i % 3 != 0)
      assert_same_objects (frames[i - 1], frames[i]);
  }
  fail_unless_equals_uint64 (get_stat (h, "inferred"), 3);
  fail_unless_equals_uint64 (get_stat (h, "frames"), 7);
  fail_unless_equals_uint64 (get_stat (h, "skipped"), 0);
  for (guint i = 0; i < 7; i++)
    gst_buffer_unref (frames[i]);
  gst_harness_teardown (h);
}

GST_END_TEST;

static Suite *
condinstseg_suite (void)
{
  Suite *s = suite_create ("condinstseg");
  TCase *tc;

  tc = tcase_create ("metadata");
  suite_add_tcase (s, tc);
  tcase_add_loop_test (tc, test_attaches_instances, 0, G_N_ELEMENTS (formats));
  tcase_add_loop_test (tc, test_tiny_and_thin_frames, 0,
      G_N_ELEMENTS (formats));
  tcase_add_test (tc, test_objects_survive_a_crop);
  tcase_add_test (tc, test_segment_in_bytes);
  tcase_add_test (tc, test_leaves_buffer_alone);
  tcase_add_test (tc, test_shares_memory_of_shared_buffer);
  tcase_add_test (tc, test_read_only_memory);
  tcase_add_test (tc, test_padded_planes);
  tcase_add_test (tc, test_colorimetry);
  tcase_add_test (tc, test_roi_meta);
  tcase_add_test (tc, test_regions);
  tcase_add_test (tc, test_regions_share_objects);

  tc = tcase_create ("options");
  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_score_threshold);
  tcase_add_test (tc, test_max_detections);
  tcase_add_test (tc, test_iou_threshold);
  tcase_add_test (tc, test_cross_class_iou_threshold);
  tcase_add_test (tc, test_mask_threshold);
  tcase_add_test (tc, test_types);
  tcase_add_test (tc, test_inference_interval);

  return s;
}

GST_CHECK_MAIN (condinstseg);
