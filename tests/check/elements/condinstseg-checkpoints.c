/* GStreamer instance segmentation
 *
 * condinstseg-checkpoints.c: official checkpoints in a pipeline
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "condinstseg.h"

#define CHECKPOINT(name, file) SHARED_DIR "/golden/" name "/" file
#define SMALL "condinstseg input-width=128 input-height=96 " \
    "score-threshold=0 model-file="
#define CONDINST CHECKPOINT ("condinst_small_a", "model_zip.pth")

/* Pushes the same frame into @launch. */
static GstBuffer *
run_once (const gchar * launch, const GstVideoInfo * info)
{
  GstHarness *h = gst_harness_new_parse (launch);
  GstBuffer *buf;

  set_caps (h, info);
  buf = push (h, info, 0);
  gst_harness_teardown (h);
  return buf;
}

/* Three containers of the same weights: the same objects. */
GST_START_TEST (test_containers)
{
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_NV12, 320, 240);
  GstBuffer *zip = run_once (SMALL CONDINST, &info);
  GstBuffer *legacy = run_once (SMALL CHECKPOINT ("condinst_small_a",
          "model_legacy.pth"), &info);
  GstBuffer *pickle = run_once (SMALL CHECKPOINT ("condinst_small_a",
          "model_pkl.pkl"), &info);
  const GstInstanceMask *mask;

  fail_unless (count (zip) > 0);
  mask = gst_instance_mask_meta_get_instance (get_meta (zip, &info), 0);
  fail_unless (mask->grid != NULL);
  /* names of COCO's classes */
  fail_unless (mask->class_id < 80);
  fail_unless (g_ascii_isalpha (*g_quark_to_string (mask->label)));
  assert_same_objects (zip, legacy);
  assert_same_objects (zip, pickle);
  gst_buffer_unref (zip);
  gst_buffer_unref (legacy);
  gst_buffer_unref (pickle);
}

GST_END_TEST;

/* Boxes without masks stay that, and are drawn as that. */
GST_START_TEST (test_boxes_only)
{
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_I420, 320, 240);
  GstBuffer *buf = run_once (SMALL CHECKPOINT ("fcos_small", "model_zip.pth")
      " attach-roi-meta=true ! maskoverlay draw-boxes=true", &info);
  GstInstanceMaskMeta *meta = get_meta (buf, &info);

  fail_unless (count (buf) > 0);
  for (guint i = 0; i < count (buf); i++) {
    const GstInstanceMask *mask = gst_instance_mask_meta_get_instance (meta,
        i);

    fail_unless (mask->grid == NULL);
    fail_unless (mask->x0 < mask->x1 && mask->y0 < mask->y1);
  }
  fail_unless (gst_buffer_get_video_region_of_interest_meta (buf) != NULL);
  gst_buffer_unref (buf);
}

GST_END_TEST;

/* FCOS' own threshold is not on the score, the property is. */
GST_START_TEST (test_score_threshold)
{
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_I420, 320, 240);
  GstBuffer *all = run_once (SMALL CHECKPOINT ("fcos_small", "model_zip.pth"),
      &info);
  GstBuffer *some = run_once (SMALL CHECKPOINT ("fcos_small", "model_zip.pth")
      " score-threshold=0.4", &info);
  GstInstanceMaskMeta *meta = get_meta (some, &info);

  fail_unless (count (some) > 0 && count (some) < count (all));
  for (guint i = 0; i < count (some); i++)
    fail_unless (gst_instance_mask_meta_get_instance (meta, i)->score >= 0.4f);
  gst_buffer_unref (all);
  gst_buffer_unref (some);
}

GST_END_TEST;

/* The grid of each object is stretched over its box. */
GST_START_TEST (test_masks_in_boxes)
{
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_RGB, 320, 240);
  GstBuffer *buf = run_once (SMALL CHECKPOINT ("blendmask_small",
          "model_zip.pth"), &info);
  GstInstanceMaskMeta *meta = get_meta (buf, &info);

  fail_unless (count (buf) > 0);
  for (guint i = 0; i < count (buf); i++) {
    const GstInstanceMask *mask = gst_instance_mask_meta_get_instance (meta,
        i);

    fail_unless_equals_int (mask->grid_width, 56);
    fail_unless_equals_int (mask->grid_height, 56);
    fail_unless (ABS (mask->offset_x - mask->x0) < 1e-3);
    fail_unless (ABS (mask->offset_y + 56 * mask->scale_y - mask->y1) < 1e-2);
  }
  gst_buffer_unref (buf);
}

GST_END_TEST;

GST_START_TEST (test_config_settings)
{
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_RGB, 320, 240);
  const gchar *few = SMALL CONDINST " config-settings=MODEL.FCOS.NMS_TH=0.9;"
      "MODEL.FCOS.POST_NMS_TOPK_TEST=3 ";
  GstBuffer *buf = run_once (few, &info);
  GstElement *leader, *other;
  GstBus *bus;

  fail_unless_equals_int (count (buf), 3);
  gst_buffer_unref (buf);

  /* one id, one model: other settings make another one */
  leader = gst_element_factory_make ("condinstseg", NULL);
  g_object_set (leader, "model-file", CONDINST, "config-settings",
      "MODEL.FCOS.POST_NMS_TOPK_TEST=3", "model-instance-id", "few", NULL);
  fail_unless_equals_int (gst_element_set_state (leader, GST_STATE_PAUSED),
      GST_STATE_CHANGE_SUCCESS);
  other = fail_to_start ("condinstseg model-instance-id=few model-file="
      CONDINST, &bus);
  assert_message (bus, GST_MESSAGE_ERROR, GST_RESOURCE_ERROR,
      GST_RESOURCE_ERROR_SETTINGS, "few", "config-settings", NULL);
  remove_bus (other, bus);
  gst_object_unref (other);
  gst_element_set_state (leader, GST_STATE_NULL);
  gst_object_unref (leader);
}

GST_END_TEST;

static const struct
{
  const gchar *properties, *culprit;
} mistakes[] = {
  {"config-file=/nowhere/none.yaml", "/nowhere/none.yaml"},
  {"config-file=CondInst/MS_R_101_3x", "CondInst/MS_R_101_3x"},
  {"config-settings=MODEL.FCOS.NUM_CLASSES", "MODEL.FCOS.NUM_CLASSES"},
  {"config-settings=MODEL.FCOS.NUM_CLASSES=20", "NUM_CLASSES"},
  {"config-settings=MODEL.FCOS.NMS_TH=high", "NMS_TH"},
};

GST_START_TEST (test_bad_configuration)
{
  g_autofree gchar *launch = g_strconcat ("condinstseg model-file=" CONDINST
      " ", mistakes[__i__].properties, NULL);
  GstBus *bus;
  GstElement *seg = fail_to_start (launch, &bus);
  GstMessage *message = gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR);
  g_autofree gchar *debug = NULL;
  g_autoptr (GError) error = NULL;

  fail_unless (message != NULL);
  gst_message_parse_error (message, &error, &debug);
  fail_unless (strstr (error->message, mistakes[__i__].culprit) != NULL,
      "%s", error->message);
  gst_message_unref (message);
  remove_bus (seg, bus);
  gst_object_unref (seg);
}

GST_END_TEST;

static Suite *
condinstseg_checkpoints_suite (void)
{
  Suite *s = suite_create ("condinstseg-checkpoints");
  TCase *tc = tcase_create ("checkpoints");

  suite_add_tcase (s, tc);
  if (!g_file_test (SHARED_DIR "/golden", G_FILE_TEST_IS_DIR)) {
    g_print ("skipped: no " SHARED_DIR "/golden\n");
    return s;
  }
  tcase_set_timeout (tc, 300);
  tcase_add_test (tc, test_containers);
  tcase_add_test (tc, test_boxes_only);
  tcase_add_test (tc, test_score_threshold);
  tcase_add_test (tc, test_masks_in_boxes);
  tcase_add_test (tc, test_config_settings);
  tcase_add_loop_test (tc, test_bad_configuration, 0,
      G_N_ELEMENTS (mistakes));
  return s;
}

GST_CHECK_MAIN (condinstseg_checkpoints);
