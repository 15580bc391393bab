/* GStreamer instance segmentation
 *
 * states.c: our elements go through their states in any order, and leave
 * nothing behind
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gst/check/gstcheck.h>

#define MODEL "random:condinst-light"

GST_START_TEST (test_elements)
{
  static const GstState states[] = {
    GST_STATE_READY, GST_STATE_NULL,
    GST_STATE_READY, GST_STATE_PAUSED, GST_STATE_READY, GST_STATE_NULL,
    GST_STATE_PLAYING, GST_STATE_PAUSED, GST_STATE_PLAYING, GST_STATE_NULL,
    GST_STATE_PAUSED, GST_STATE_NULL, GST_STATE_NULL
  };
  GList *features = gst_registry_get_feature_list_by_plugin
      (gst_registry_get (), "condinst");

  fail_unless (features != NULL, "the plugin is not there");
  for (GList * l = features; l; l = l->next) {
    GstElement *element = gst_element_factory_create (l->data, NULL);

    if (g_object_class_find_property (G_OBJECT_GET_CLASS (element),
            "model-file"))
      g_object_set (element, "model-file", MODEL, NULL);
    for (guint i = 0; i < G_N_ELEMENTS (states); i++)
      fail_unless_equals_int (gst_element_set_state (element, states[i]),
          GST_STATE_CHANGE_SUCCESS);
    ASSERT_OBJECT_REFCOUNT (element, GST_OBJECT_NAME (element), 1);
    gst_object_unref (element);
  }
  gst_plugin_feature_list_free (features);
}

GST_END_TEST;

/* Needs GST_TRACERS=leaks; the whole program runs in one process. */
GST_START_TEST (test_no_leaks)
{
  GList *tracers = gst_tracing_get_active_tracers ();
  GstElement *pipeline = gst_parse_launch ("videotestsrc num-buffers=8 ! "
      "video/x-raw,format=I420,width=160,height=120 ! tee name=t "
      "t. ! queue ! condinstseg model-file=" MODEL " input-width=128 "
      "input-height=96 score-threshold=0 attach-roi-meta=true "
      "inference-interval=2 post-messages=true ! maskoverlay ! fakesink "
      "t. ! queue ! fakesink", NULL);
  GstBus *bus = gst_element_get_bus (pipeline);
  GstMessage *message;
  gboolean tracked = FALSE;

  fail_if (gst_element_set_state (pipeline, GST_STATE_PLAYING) ==
      GST_STATE_CHANGE_FAILURE);
  message = gst_bus_timed_pop_filtered (bus, GST_CLOCK_TIME_NONE,
      GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  fail_unless_equals_int (GST_MESSAGE_TYPE (message), GST_MESSAGE_EOS);
  gst_message_unref (message);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (bus);
  gst_object_unref (pipeline);

  for (GList * l = tracers; l; l = l->next) {
    if (g_str_equal (g_type_name (G_OBJECT_TYPE (l->data)), "GstLeaksTracer")) {
      const GValue *objects;
      GstStructure *live;

      tracked = TRUE;
      g_signal_emit_by_name (l->data, "get-live-objects", &live);
      objects = gst_structure_get_value (live, "live-objects-list");
      for (guint i = 0; i < gst_value_list_get_size (objects); i++) {
        const GstStructure *object = g_value_get_boxed
            (gst_value_list_get_value (objects, i));
        gchar *text = gst_structure_to_string (object);

        fail ("left behind: %s", text);
        g_free (text);
      }
      gst_structure_free (live);
    }
  }
  fail_unless (tracked, "GST_TRACERS does not name the leaks tracer");
  g_list_free_full (tracers, gst_object_unref);
}

GST_END_TEST;

static Suite *
states_suite (void)
{
  Suite *s = suite_create ("states");
  TCase *tc = tcase_create ("general");

  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_elements);
  tcase_add_test (tc, test_no_leaks);
  return s;
}

GST_CHECK_MAIN (states);
