/* GStreamer instance segmentation
 *
 * condinstseg-analytics.c: objects as GStreamer's own analytics metadata
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "condinstseg.h"

#define WITH_ANALYTICS SEG "attach-analytics-meta=true "

#ifdef HAVE_GST_ANALYTICS

#include <gst/analytics/analytics.h>

#include <math.h>

static GstAnalyticsODMtd
next_detection (GstAnalyticsRelationMeta * meta, gpointer * state,
    const GstInstanceMask * mask)
{
  GstAnalyticsODMtd detection;
  gint x, y, w, h;
  gfloat score;

  fail_unless (gst_analytics_relation_meta_iterate (meta, state,
          gst_analytics_od_mtd_get_mtd_type (),
          (GstAnalyticsMtd *) & detection));
  fail_unless_equals_int (gst_analytics_od_mtd_get_obj_type (&detection),
      mask->label);
  fail_unless (gst_analytics_od_mtd_get_location (&detection, &x, &y, &w, &h,
          &score));
  fail_unless (score == mask->score);
  fail_unless_equals_int (x, (gint) floorf (mask->x0));
  fail_unless_equals_int (y, (gint) floorf (mask->y0));
  fail_unless_equals_int (x + w, (gint) ceilf (mask->x1));
  fail_unless_equals_int (y + h, (gint) ceilf (mask->y1));
  return detection;
}

#if GST_CHECK_VERSION (1, 26, 0)

/* The segmentation that belongs to @detection is the mask, pixel by pixel. */
static void
check_segmentation (GstAnalyticsRelationMeta * meta, guint detection,
    const GstInstanceMask * mask)
{
  GstAnalyticsSegmentationMtd segmentation;
  GstAnalyticsClsMtd classes;
  gpointer state = NULL;
  g_autofree guint8 *expected = NULL;
  GstVideoMeta *video;
  GstBuffer *picture;
  GstMapInfo map;
  gint x, y;
  guint w, h, id, n_set = 0;

  fail_unless (gst_analytics_relation_meta_get_direct_related (meta,
          detection, GST_ANALYTICS_REL_TYPE_RELATE_TO,
          gst_analytics_segmentation_mtd_get_mtd_type (), &state,
          (GstAnalyticsMtd *) & segmentation));
  picture = gst_analytics_segmentation_mtd_get_mask (&segmentation, &x, &y,
      &w, &h);
  fail_unless (picture != NULL);
  fail_unless_equals_int
      (gst_analytics_segmentation_mtd_get_region_count (&segmentation), 2);
  id = gst_analytics_segmentation_mtd_get_region_id (&segmentation, 1);
  video = gst_buffer_get_video_meta (picture);
  fail_unless (video && video->format == GST_VIDEO_FORMAT_GRAY8);
  fail_unless_equals_int (video->width, w);
  fail_unless_equals_int (video->height, h);

  expected = g_malloc (w * h);
  gst_instance_mask_render_a8 (mask, x, y, w, h, 128, expected, w);
  fail_unless (gst_buffer_map (picture, &map, GST_MAP_READ));
  for (guint i = 0; i < w * h; i++) {
    fail_unless_equals_int (map.data[i], expected[i] ? id : 0);
    n_set += expected[i] != 0;
  }
  gst_buffer_unmap (picture, &map);
  gst_buffer_unref (picture);
  fail_unless (n_set > 0);

  state = NULL;
  fail_unless (gst_analytics_relation_meta_get_direct_related (meta,
          segmentation.id, GST_ANALYTICS_REL_TYPE_N_TO_N,
          gst_analytics_cls_mtd_get_mtd_type (), &state,
          (GstAnalyticsMtd *) & classes));
  fail_unless_equals_int (gst_analytics_cls_mtd_get_quark (&classes, 1),
      mask->label);
  fail_unless (gst_analytics_cls_mtd_get_level (&classes, 1) == mask->score);
}

#endif

GST_START_TEST (test_analytics_meta)
{
  GstHarness *h = gst_harness_new_parse (WITH_ANALYTICS);
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_RGB, 160, 120);
  GstAnalyticsRelationMeta *meta;
  gpointer state = NULL;
  GstAnalyticsMtd other;
  GstBuffer *buf;

  set_caps (h, &info);
  buf = push (h, &info, 0);
  meta = gst_buffer_get_analytics_relation_meta (buf);
  fail_unless (meta != NULL);
  fail_unless (count (buf) > 0);
  for (guint i = 0; i < count (buf); i++) {
    const GstInstanceMask *mask =
        gst_instance_mask_meta_get_instance (get_meta (buf, &info), i);
    GstAnalyticsODMtd detection = next_detection (meta, &state, mask);

#if GST_CHECK_VERSION (1, 26, 0)
    {
      gint x, y, w, h2;

      if (gst_instance_mask_get_bounding_rect (mask, 160, 120, 128, &x, &y,
              &w, &h2))
        check_segmentation (meta, detection.id, mask);
    }
#else
    fail_unless (detection.meta == meta);
#endif
  }
  fail_if (gst_analytics_relation_meta_iterate (meta, &state,
          gst_analytics_od_mtd_get_mtd_type (), &other));
  gst_buffer_unref (buf);

  gst_harness_set (h, "condinstseg", "attach-analytics-meta", FALSE, NULL);
  buf = push (h, &info, 1);
  fail_unless (gst_buffer_get_analytics_relation_meta (buf) == NULL);
  gst_buffer_unref (buf);
  gst_harness_teardown (h);
}

GST_END_TEST;

#else /* !HAVE_GST_ANALYTICS */

GST_START_TEST (test_analytics_meta)
{
  GstHarness *h = gst_harness_new_parse (WITH_ANALYTICS);
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_RGB, 160, 120);
  GstBus *bus = gst_bus_new ();
  GstMessage *message;
  gchar *debug;
  GError *error;

  gst_element_set_bus (h->element, bus);
  set_caps (h, &info);
  /* one warning, and everything else as ever */
  for (guint i = 0; i < 2; i++) {
    GstBuffer *buf = push (h, &info, i);

    fail_unless (count (buf) > 0);
    gst_buffer_unref (buf);
  }
  message = gst_bus_pop_filtered (bus, GST_MESSAGE_WARNING);
  fail_unless (message != NULL);
  gst_message_parse_warning (message, &error, &debug);
  fail_unless (strstr (error->message, "attach-analytics-meta") != NULL);
  g_error_free (error);
  g_free (debug);
  gst_message_unref (message);
  fail_if (gst_bus_pop_filtered (bus, GST_MESSAGE_WARNING));
  gst_element_set_bus (h->element, NULL);
  gst_object_unref (bus);
  gst_harness_teardown (h);
}

GST_END_TEST;

#endif

static Suite *
condinstseg_analytics_suite (void)
{
  Suite *s = suite_create ("condinstseg-analytics");
  TCase *tc = tcase_create ("analytics");

  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_analytics_meta);
  return s;
}

GST_CHECK_MAIN (condinstseg_analytics);
