/* GStreamer instance segmentation
 *
 * condinstseg-device.c: condinstseg on a GPU, with several frames at once
 *
 * It runs over the fake CUDA runtime (tests/fakecuda), whose calls can be made
 * to fail, so nothing of it needs a GPU.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "condinstseg.h"

#include <gmodule.h>

#define WAITING "condinstseg input-width=64 input-height=64 " \
    "score-threshold=0 max-detections=5 model-file=" MODEL " " \
    "execution-provider=cuda "

/* ---- what comes out, in order ------------------------------------------ */

/* A letter per buffer (b) and event that arrives behind the element. */
typedef struct
{
  GstHarness *h;
  GstVideoInfo info;
  GString *log;
  gulong probe;
} Stream;

static GstPadProbeReturn
note (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  Stream *s = data;
  gchar letter = 'b';

  if (!(info->type & GST_PAD_PROBE_TYPE_BUFFER)) {
    switch (GST_EVENT_TYPE (GST_PAD_PROBE_INFO_EVENT (info))) {
      case GST_EVENT_CAPS:
        letter = 'c';
        break;
      case GST_EVENT_SEGMENT:
        letter = 's';
        break;
      case GST_EVENT_TAG:
        letter = 't';
        break;
      case GST_EVENT_GAP:
        letter = 'g';
        break;
      case GST_EVENT_FLUSH_STOP:
        letter = 'f';
        break;
      case GST_EVENT_EOS:
        letter = 'e';
        break;
      default:
        return GST_PAD_PROBE_OK;
    }
  }
  g_string_append_c (s->log, letter);
  return GST_PAD_PROBE_OK;
}

static void
stream_start (Stream * s, const gchar * launch)
{
  s->h = gst_harness_new_parse (launch);
  s->info = make_info (GST_VIDEO_FORMAT_I420, 160, 120);
  s->log = g_string_new (NULL);
  set_caps (s->h, &s->info);
  s->probe = gst_pad_add_probe (s->h->sinkpad,
      GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_BOTH |
      GST_PAD_PROBE_TYPE_EVENT_FLUSH, note, s, NULL);
}

static void
stream_stop (Stream * s)
{
  gst_pad_remove_probe (s->h->sinkpad, s->probe);
  gst_harness_teardown (s->h);
  g_string_free (s->log, TRUE);
}

static void
feed (Stream * s, guint number)
{
  fail_unless_equals_int (gst_harness_push (s->h, make_frame (&s->info,
              number)), GST_FLOW_OK);
}

/* What has arrived since this was last asked is @expected. */
static void
assert_log (Stream * s, const gchar * expected)
{
  fail_unless_equals_string (s->log->str, expected);
  g_string_truncate (s->log, 0);
}

static GstBuffer *
take (Stream * s, guint number)
{
  GstBuffer *buf = gst_harness_try_pull (s->h);

  fail_unless (buf != NULL, "frame %u is missing", number);
  fail_unless_equals_uint64 (GST_BUFFER_PTS (buf), number * FRAME_TIME);
  get_meta (buf, &s->info);
  return buf;
}

static gboolean
is_predicted (GstBuffer * buf)
{
  GstInstanceMaskMeta *meta = gst_buffer_get_instance_mask_meta (buf);

  fail_unless (count (buf) > 0);
  return (gst_instance_mask_meta_get_instance (meta, 0)->flags &
      GST_INSTANCE_MASK_FLAG_PREDICTED) != 0;
}

/* ---- order -------------------------------------------------------------- */

/* Frames that wait come out in order, with what each has when it is alone. */
GST_START_TEST (test_order_and_end)
{
  guint at_once = __i__;
  g_autofree gchar *launch = g_strdup_printf (WAITING "max-in-flight=%u",
      at_once);
  GstBuffer *alone[6];
  Stream s;

  stream_start (&s, WAITING "max-in-flight=1");
  for (guint i = 0; i < G_N_ELEMENTS (alone); i++) {
    feed (&s, i);
    assert_log (&s, "b");
    alone[i] = take (&s, i);
  }
  stream_stop (&s);

  stream_start (&s, launch);
  for (guint i = 0; i < G_N_ELEMENTS (alone); i++) {
    feed (&s, i);
    assert_log (&s, i + 1 < at_once ? "" : "b");
  }
  fail_unless (gst_harness_push_event (s.h, gst_event_new_eos ()));
  assert_log (&s, &"bbbe"[4 - at_once]);
  for (guint i = 0; i < G_N_ELEMENTS (alone); i++) {
    GstBuffer *buf = take (&s, i);

    fail_if (is_predicted (buf));
    assert_same_objects (buf, alone[i]);
    gst_buffer_unref (buf);
    gst_buffer_unref (alone[i]);
  }
  fail_unless_equals_uint64 (get_stat (s.h, "inferred"),
      G_N_ELEMENTS (alone));
  stream_stop (&s);
}

GST_END_TEST;

/* Frames without inference wait behind those with, and have their objects. */
GST_START_TEST (test_interval)
{
  GstBuffer *inferred = NULL;
  Stream s;

  stream_start (&s, WAITING "max-in-flight=3 inference-interval=3");
  for (guint i = 0; i < 8; i++)
    feed (&s, i);
  /* two more wait behind 6, which is looked at, at most */
  fail_unless_equals_int (gst_harness_buffers_in_queue (s.h), 6);
  fail_unless (gst_harness_push_event (s.h, gst_event_new_eos ()));
  assert_log (&s, "bbbbbbbbe");
  for (guint i = 0; i < 8; i++) {
    GstBuffer *buf = take (&s, i);

    fail_unless_equals_int (is_predicted (buf), i % 3 != 0);
    if (i % 3 == 0)
      gst_buffer_replace (&inferred, buf);
    assert_same_objects (buf, inferred);
    gst_buffer_unref (buf);
  }
  gst_buffer_unref (inferred);
  stream_stop (&s);
}

GST_END_TEST;

/* Nothing overtakes a frame that waits. */
GST_START_TEST (test_serialized_events)
{
  GstSegment segment;
  GstCaps *caps;
  Stream s;

  stream_start (&s, WAITING "max-in-flight=3");
  feed (&s, 0);
  fail_unless (gst_harness_push_event (s.h, gst_event_new_tag
          (gst_tag_list_new_empty ())));
  assert_log (&s, "bt");
  feed (&s, 1);
  feed (&s, 2);
  fail_unless (gst_harness_push_event (s.h, gst_event_new_gap (3 * FRAME_TIME,
              FRAME_TIME)));
  assert_log (&s, "bbg");
  feed (&s, 4);
  gst_segment_init (&segment, GST_FORMAT_TIME);
  fail_unless (gst_harness_push_event (s.h, gst_event_new_segment (&segment)));
  assert_log (&s, "bs");
  for (guint i = 0; i < 5; i++)
    if (i != 3)
      gst_buffer_unref (take (&s, i));

  /* each frame has what was found in frames of its own size */
  feed (&s, 5);
  feed (&s, 6);
  assert_log (&s, "");
  caps = gst_caps_from_string ("video/x-raw,format=RGB,width=100,height=80,"
      "framerate=25/1");
  fail_unless (gst_harness_push_event (s.h, gst_event_new_caps (caps)));
  assert_log (&s, "bbc");
  gst_buffer_unref (take (&s, 5));
  gst_buffer_unref (take (&s, 6));
  s.info = make_info (GST_VIDEO_FORMAT_RGB, 100, 80);
  feed (&s, 7);
  fail_unless (gst_harness_push_event (s.h, gst_event_new_eos ()));
  assert_log (&s, "be");
  gst_buffer_unref (take (&s, 7));
  gst_caps_unref (caps);
  stream_stop (&s);
}

GST_END_TEST;

GST_START_TEST (test_serialized_queries)
{
  GstQuery *query = gst_query_new_drain ();
  GstCaps *caps;
  Stream s;

  stream_start (&s, WAITING);
  feed (&s, 0);
  gst_pad_peer_query (s.h->srcpad, query);
  assert_log (&s, "b");
  gst_query_unref (query);

  caps = gst_video_info_to_caps (&s.info);
  query = gst_query_new_allocation (caps, FALSE);
  feed (&s, 1);
  gst_pad_peer_query (s.h->srcpad, query);
  assert_log (&s, "b");
  gst_query_unref (query);
  gst_caps_unref (caps);

  /* others do not wait */
  query = gst_query_new_duration (GST_FORMAT_TIME);
  feed (&s, 2);
  gst_pad_peer_query (s.h->srcpad, query);
  assert_log (&s, "");
  gst_query_unref (query);
  stream_stop (&s);
}

GST_END_TEST;

/* What came before a flush is gone, and does not come back. */
GST_START_TEST (test_flush)
{
  GstSegment segment;
  Stream s;

  stream_start (&s, WAITING "max-in-flight=3 inference-interval=2");
  for (guint round = 0; round < 3; round++) {
    feed (&s, 10 * round);
    feed (&s, 10 * round + 1);
    gst_harness_push_event (s.h, gst_event_new_flush_start ());
    gst_harness_push_event (s.h, gst_event_new_flush_stop (TRUE));
    gst_segment_init (&segment, GST_FORMAT_TIME);
    gst_harness_push_event (s.h, gst_event_new_segment (&segment));
    assert_log (&s, "fs");
  }
  feed (&s, 40);
  fail_unless (gst_harness_push_event (s.h, gst_event_new_eos ()));
  assert_log (&s, "be");
  gst_buffer_unref (take (&s, 40));
  stream_stop (&s);
}

GST_END_TEST;

/* A discontinuity stays with its frame, and those after it wait again. */
GST_START_TEST (test_discont)
{
  GstBuffer *buf;
  Stream s;

  stream_start (&s, WAITING "max-in-flight=3");
  for (guint i = 0; i < 8; i++) {
    buf = make_frame (&s.info, i);
    if (i % 4 == 0)
      GST_BUFFER_FLAG_SET (buf, GST_BUFFER_FLAG_DISCONT);
    fail_unless_equals_int (gst_harness_push (s.h, buf), GST_FLOW_OK);
    assert_log (&s, i == 4 ? "bb" : i % 4 < 2 ? "" : "b");
  }
  fail_unless (gst_harness_push_event (s.h, gst_event_new_eos ()));
  for (guint i = 0; i < 8; i++) {
    buf = take (&s, i);
    fail_unless_equals_int (GST_BUFFER_IS_DISCONT (buf), i % 4 == 0);
    gst_buffer_unref (buf);
  }
  stream_stop (&s);
}

GST_END_TEST;

GST_START_TEST (test_no_timestamps)
{
  Stream s;

  stream_start (&s, WAITING);
  for (guint i = 0; i < 3; i++) {
    GstBuffer *buf = make_frame (&s.info, i);

    GST_BUFFER_PTS (buf) = GST_BUFFER_DURATION (buf) = GST_CLOCK_TIME_NONE;
    GST_BUFFER_OFFSET (buf) = i;
    fail_unless_equals_int (gst_harness_push (s.h, buf), GST_FLOW_OK);
  }
  fail_unless (gst_harness_push_event (s.h, gst_event_new_eos ()));
  assert_log (&s, "bbbe");
  for (guint i = 0; i < 3; i++) {
    GstBuffer *buf = gst_harness_pull (s.h);

    fail_unless_equals_uint64 (GST_BUFFER_OFFSET (buf), i);
    gst_buffer_unref (buf);
  }
  stream_stop (&s);
}

GST_END_TEST;

/* Settings hold from the frame on that comes after them. */
GST_START_TEST (test_settings_while_playing)
{
  GstBuffer *buf;
  Stream s;

  stream_start (&s, WAITING "max-in-flight=3");
  feed (&s, 0);
  gst_harness_set (s.h, "condinstseg", "max-detections", 2,
      "attach-roi-meta", TRUE, NULL);
  feed (&s, 1);
  assert_log (&s, "");
  /* needs the network anew */
  gst_harness_set (s.h, "condinstseg", "max-detections", 40,
      "attach-roi-meta", FALSE, "score-threshold", 0.0, NULL);
  feed (&s, 2);
  assert_log (&s, "bb");
  gst_harness_set (s.h, "condinstseg", "score-threshold", 1.0, NULL);
  feed (&s, 3);
  fail_unless (gst_harness_push_event (s.h, gst_event_new_eos ()));
  assert_log (&s, "bbe");

  buf = take (&s, 0);
  fail_unless_equals_int (count (buf), 5);
  fail_if (gst_buffer_get_video_region_of_interest_meta (buf));
  gst_buffer_unref (buf);
  buf = take (&s, 1);
  fail_unless_equals_int (count (buf), 2);
  fail_unless (gst_buffer_get_video_region_of_interest_meta (buf) != NULL);
  gst_buffer_unref (buf);
  buf = take (&s, 2);
  fail_unless (count (buf) > 5);
  gst_buffer_unref (buf);
  buf = take (&s, 3);
  fail_unless_equals_int (count (buf), 0);
  gst_buffer_unref (buf);
  stream_stop (&s);
}

GST_END_TEST;

/* With frames still inside. */
GST_START_TEST (test_stop_and_start)
{
  GstElement *seg = gst_parse_launch (WAITING "max-in-flight=4", NULL);
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_I420, 160, 120);

  gst_object_ref_sink (seg);
  for (guint round = 0; round < 3; round++) {
    GstHarness *h = gst_harness_new_with_element (seg, "sink", "src");

    set_caps (h, &info);
    for (guint i = 0; i < 3; i++)
      fail_unless_equals_int (gst_harness_push (h, make_frame (&info, i)),
          GST_FLOW_OK);
    fail_unless_equals_int (gst_harness_buffers_received (h), 0);
    gst_harness_teardown (h);
    gst_element_set_state (seg, GST_STATE_NULL);
  }
  gst_object_unref (seg);
}

GST_END_TEST;

/* Where one frame is looked at more than once, and on the processor, each goes
 * on before the next one comes. */
GST_START_TEST (test_at_once)
{
  static const gchar *const launches[] = {
    WAITING "max-in-flight=4 inference-region=roi-list",
    WAITING "max-in-flight=4 execution-provider=cpu",
  };
  Stream s;

  stream_start (&s, launches[__i__]);
  for (guint i = 0; i < 3; i++) {
    GstBuffer *buf = make_frame (&s.info, i);

    for (guint r = 0; r <= i; r++)
      gst_buffer_add_video_region_of_interest_meta (buf, "box", 20 * r, 10,
          60 + 10 * r, 80);
    fail_unless_equals_int (gst_harness_push (s.h, buf), GST_FLOW_OK);
    assert_log (&s, "b");
    buf = take (&s, i);
    fail_unless (count (buf) > 0);
    gst_buffer_unref (buf);
  }
  stream_stop (&s);
}

GST_END_TEST;

GST_START_TEST (test_latency)
{
  GstQuery *query = gst_query_new_latency ();
  GstClockTime min, max;
  Stream s;

  stream_start (&s, WAITING "max-in-flight=3");
  gst_harness_set_upstream_latency (s.h, 5 * GST_MSECOND);
  fail_unless (gst_pad_peer_query (s.h->sinkpad, query));
  gst_query_parse_latency (query, NULL, &min, &max);
  /* nothing was measured, but two frames wait */
  fail_unless_equals_uint64 (min, 5 * GST_MSECOND + 2 * FRAME_TIME);
  fail_unless (max >= min);
  gst_query_unref (query);
  stream_stop (&s);
}

GST_END_TEST;

/* ---- reports and failures ----------------------------------------------- */

GST_START_TEST (test_stats)
{
  static const gchar *const wanted[][2] = {
    {"auto", "fp16"}, {"fp16", "fp16"}, {"fp32", "fp32"}
  };
  g_autofree gchar *launch = g_strconcat (WAITING "execution-provider=auto "
      "precision=", wanted[__i__][0], NULL);
  GstStructure *stats;
  Stream s;

  stream_start (&s, launch);
  stats = get_stats (s.h);
  fail_unless_equals_string (gst_structure_get_string (stats, "provider"),
      "cuda");
  fail_unless_equals_string (gst_structure_get_string (stats,
          "execution-provider"), "cuda");
  fail_unless_equals_string (gst_structure_get_string (stats, "precision"),
      wanted[__i__][1]);
  fail_unless_equals_string (gst_structure_get_string (stats, "input-size"),
      "64x64");
  fail_unless (strlen (gst_structure_get_string (stats, "device")) > 0);
  fail_if (gst_structure_has_field (stats, "fallback-reason"));
  gst_structure_free (stats);
  stream_stop (&s);
}

GST_END_TEST;

static void (*fail_call) (const char *name, int at, gboolean sticky);

/* Calls that submitting a frame, or waiting for it, cannot do without. */
static const gchar *const calls[] = {
  "cudaGraphLaunch", "cudaEventSynchronize"
};

/* A GPU that fails while frames are on it: one error, and nothing hangs. */
GST_START_TEST (test_failure)
{
  GstElement *seg;
  GstFlowReturn ret = GST_FLOW_OK;
  GstBus *bus;
  Stream s;

  stream_start (&s, WAITING "max-in-flight=3");
  seg = gst_harness_find_element (s.h, "condinstseg");
  bus = add_bus (seg);
  feed (&s, 0);
  feed (&s, 1);
  fail_call (calls[__i__], 1, FALSE);
  for (guint i = 2; i < 4 && ret == GST_FLOW_OK; i++)
    ret = gst_harness_push (s.h, make_frame (&s.info, i));
  fail_call (NULL, 0, FALSE);
  fail_unless_equals_int (ret, GST_FLOW_ERROR);
  assert_message (bus, GST_MESSAGE_ERROR, GST_LIBRARY_ERROR,
      GST_LIBRARY_ERROR_FAILED, "Cannot look for objects in a frame", NULL);
  fail_unless (gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR) == NULL);
  fail_unless (gst_harness_push_event (s.h, gst_event_new_eos ()));
  assert_log (&s, "e");
  remove_bus (seg, bus);
  gst_object_unref (seg);
  stream_stop (&s);
}

GST_END_TEST;

/* The same while the stream ends. */
GST_START_TEST (test_failure_at_the_end)
{
  GstElement *seg;
  GstBus *bus;
  Stream s;

  stream_start (&s, WAITING "max-in-flight=3");
  seg = gst_harness_find_element (s.h, "condinstseg");
  bus = add_bus (seg);
  feed (&s, 0);
  feed (&s, 1);
  fail_call ("cudaEventSynchronize", 1, FALSE);
  gst_harness_push_event (s.h, gst_event_new_eos ());
  fail_call (NULL, 0, FALSE);
  assert_message (bus, GST_MESSAGE_ERROR, GST_LIBRARY_ERROR,
      GST_LIBRARY_ERROR_FAILED, "Cannot look for objects in a frame", NULL);
  fail_unless (gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR) == NULL);
  assert_log (&s, "e");
  remove_bus (seg, bus);
  gst_object_unref (seg);
  stream_stop (&s);
}

GST_END_TEST;

/* Without a GPU `cuda` does not start and says why; `auto` does, and says so,
 * too. */
GST_START_TEST (test_no_gpu)
{
  GstStructure *stats;
  GstElement *seg;
  GstBus *bus;
  Stream s;

  g_setenv ("FAKECUDA_DEVICES", "0", TRUE);
  seg = fail_to_start (WAITING, &bus);
  assert_message (bus, GST_MESSAGE_ERROR, GST_RESOURCE_ERROR,
      GST_RESOURCE_ERROR_NOT_FOUND, "execution-provider=cuda", "GPU", NULL);
  fail_unless (gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR) == NULL);
  remove_bus (seg, bus);
  gst_object_unref (seg);

  stream_start (&s, WAITING "execution-provider=auto");
  feed (&s, 0);
  assert_log (&s, "b");
  stats = get_stats (s.h);
  fail_unless_equals_string (gst_structure_get_string (stats,
          "execution-provider"), "cpu");
  fail_unless_equals_string (gst_structure_get_string (stats, "precision"),
      "fp32");
  fail_unless_equals_string (gst_structure_get_string (stats, "device"),
      "CPU");
  fail_unless (gst_structure_get_string (stats, "fallback-reason") != NULL);
  gst_structure_free (stats);
  stream_stop (&s);
  g_unsetenv ("FAKECUDA_DEVICES");
}

GST_END_TEST;

GST_START_TEST (test_wrong_gpu)
{
  GstElement *seg;
  GstBus *bus;

  seg = fail_to_start (WAITING "cuda-device-id=7", &bus);
  assert_message (bus, GST_MESSAGE_ERROR, GST_RESOURCE_ERROR,
      GST_RESOURCE_ERROR_NOT_FOUND, "execution-provider=cuda", "7", NULL);
  remove_bus (seg, bus);
  gst_object_unref (seg);
}

GST_END_TEST;

static Suite *
condinstseg_device_suite (void)
{
  Suite *s = suite_create ("condinstseg-device");
  GModule *module = g_module_open (g_getenv ("GST_CONDINST_CUDA_MODULE"),
      G_MODULE_BIND_LAZY | G_MODULE_BIND_LOCAL);
  TCase *tc;

  if (!module || !g_module_symbol (module, "fakecuda_fail",
          (gpointer *) & fail_call))
    g_error ("%s", g_module_error ());

  tc = tcase_create ("order");
  suite_add_tcase (s, tc);
  tcase_add_loop_test (tc, test_order_and_end, 1, 5);
  tcase_add_test (tc, test_interval);
  tcase_add_test (tc, test_serialized_events);
  tcase_add_test (tc, test_serialized_queries);
  tcase_add_test (tc, test_flush);
  tcase_add_test (tc, test_discont);
  tcase_add_test (tc, test_no_timestamps);
  tcase_add_test (tc, test_settings_while_playing);
  tcase_add_test (tc, test_stop_and_start);
  tcase_add_loop_test (tc, test_at_once, 0, 2);
  tcase_add_test (tc, test_latency);

  tc = tcase_create ("reports");
  suite_add_tcase (s, tc);
  tcase_add_loop_test (tc, test_stats, 0, 3);
  tcase_add_loop_test (tc, test_failure, 0, G_N_ELEMENTS (calls));
  tcase_add_test (tc, test_failure_at_the_end);
  tcase_add_test (tc, test_no_gpu);
  tcase_add_test (tc, test_wrong_gpu);
  return s;
}

GST_CHECK_MAIN (condinstseg_device);
