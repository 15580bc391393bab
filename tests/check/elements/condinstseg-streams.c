/* GStreamer instance segmentation
 *
 * condinstseg-streams.c: condinstseg in streams, and what goes wrong
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "condinstseg.h"

#include <glib/gstdio.h>
#include <unistd.h>

/* ---- QoS and latency --------------------------------------------------- */

static void
send_qos (GstHarness * h, GstClockTime timestamp, GstClockTimeDiff diff)
{
  fail_unless (gst_harness_push_upstream_event (h, gst_event_new_qos
          (GST_QOS_TYPE_UNDERFLOW, 1.5, diff, timestamp)));
}

static gboolean
is_predicted (GstBuffer * buf)
{
  GstInstanceMaskMeta *meta = gst_buffer_get_instance_mask_meta (buf);
  gboolean predicted = (gst_instance_mask_meta_get_instance (meta, 0)->flags &
      GST_INSTANCE_MASK_FLAG_PREDICTED) != 0;

  gst_buffer_unref (buf);
  return predicted;
}

GST_START_TEST (test_late_frames_pass)
{
  GstHarness *h = gst_harness_new_parse (SEG);
  GstElement *seg = gst_harness_find_element (h, "condinstseg");
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_RGB, 160, 120);
  GstBus *bus = add_bus (seg);
  guint64 processed, dropped;
  GstClockTime running_time;
  GstMessage *message;
  GstSegment segment;
  GstFormat format;
  guint n;

  set_caps (h, &info);
  fail_if (is_predicted (push (h, &info, 0)));
  /* frame 2 came three frames late: twice that, and one, to catch up */
  send_qos (h, 2 * FRAME_TIME, 3 * FRAME_TIME);
  for (guint i = 3; i <= 9; i++)
    fail_unless (is_predicted (push (h, &info, i)));
  fail_if (is_predicted (push (h, &info, 10)));
  fail_unless_equals_uint64 (get_stat (h, "skipped"), 7);
  fail_unless_equals_uint64 (get_stat (h, "inferred"), 2);
  fail_unless_equals_uint64 (get_stat (h, "frames"), 9);

  for (guint i = 3; i <= 9; i++) {
    message = gst_bus_pop_filtered (bus, GST_MESSAGE_QOS);
    fail_unless (message != NULL);
    gst_message_parse_qos (message, NULL, &running_time, NULL, NULL, NULL);
    fail_unless_equals_uint64 (running_time, i * FRAME_TIME);
    gst_message_parse_qos_stats (message, &format, &processed, &dropped);
    fail_unless_equals_uint64 (processed, 1);
    fail_unless_equals_uint64 (dropped, i - 2);
    gst_message_unref (message);
  }

  /* in time again */
  send_qos (h, 10 * FRAME_TIME, -1);
  fail_if (is_predicted (push (h, &info, 11)));

  /* even if all frames are late, some are looked at, but not soon */
  send_qos (h, 11 * FRAME_TIME, GST_SECOND * 3600);
  for (n = 12; is_predicted (push (h, &info, n)); n++)
    fail_unless (n < 10000);
  fail_unless (n >= 11 + 25);
  fail_unless (is_predicted (push (h, &info, n + 1)));

  g_object_set (seg, "qos", FALSE, NULL);
  fail_if (is_predicted (push (h, &info, n + 2)));

  /* a flush makes a new start */
  g_object_set (seg, "qos", TRUE, NULL);
  gst_harness_push_event (h, gst_event_new_flush_start ());
  gst_harness_push_event (h, gst_event_new_flush_stop (TRUE));
  gst_segment_init (&segment, GST_FORMAT_TIME);
  gst_harness_push_event (h, gst_event_new_segment (&segment));
  fail_if (is_predicted (push (h, &info, 1)));
  fail_if (is_predicted (push (h, &info, 2)));

  remove_bus (seg, bus);
  gst_object_unref (seg);
  gst_harness_teardown (h);
}

GST_END_TEST;

/* Sends a QoS event from downstream and returns the lateness that arrives
 * upstream. */
static GstClockTimeDiff
lateness_upstream (GstHarness * h, GstClockTime timestamp,
    GstClockTimeDiff diff)
{
  GstClockTime new_timestamp;
  GstClockTimeDiff new_diff;
  gdouble proportion;
  GstEvent *event;
  GstQOSType type;

  while ((event = gst_harness_try_pull_upstream_event (h)))
    gst_event_unref (event);
  send_qos (h, timestamp, diff);
  event = gst_harness_pull_upstream_event (h);
  fail_unless_equals_int (GST_EVENT_TYPE (event), GST_EVENT_QOS);
  gst_event_parse_qos (event, &type, &proportion, &new_diff, &new_timestamp);
  fail_unless_equals_int (type, GST_QOS_TYPE_UNDERFLOW);
  fail_unless_equals_float (proportion, 1.5);
  fail_unless_equals_uint64 (new_timestamp, timestamp);
  gst_event_unref (event);
  return new_diff;
}

/* A decoder is not to drop frames for what inference takes. */
GST_START_TEST (test_qos_upstream)
{
  GstHarness *h = gst_harness_new_parse (SEG);
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_RGB, 16, 16);
  GstClockTimeDiff late = GST_SECOND, rest;

  set_caps (h, &info);
  gst_buffer_unref (push (h, &info, 1));
  rest = lateness_upstream (h, FRAME_TIME, late);
  fail_unless (rest >= 0 && rest < late);
  /* has no more to do with it */
  fail_unless (lateness_upstream (h, 1000 * FRAME_TIME, late) == late);
  fail_unless (lateness_upstream (h, 1000 * FRAME_TIME, -late) == -late);
  gst_harness_set (h, "condinstseg", "qos", FALSE, NULL);
  fail_unless (lateness_upstream (h, FRAME_TIME, late) == late);
  gst_harness_teardown (h);
}

GST_END_TEST;

static GstClockTime
query_min_latency (GstHarness * h)
{
  GstQuery *query = gst_query_new_latency ();
  GstClockTime min, max;

  fail_unless (gst_pad_peer_query (h->sinkpad, query));
  gst_query_parse_latency (query, NULL, &min, &max);
  fail_unless (max >= min);
  gst_query_unref (query);
  return min;
}

GST_START_TEST (test_latency)
{
  GstHarness *h = gst_harness_new_parse (SEG);
  GstElement *seg = gst_harness_find_element (h, "condinstseg");
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_RGB, 160, 120);
  GstBus *bus = add_bus (seg);
  GstMessage *message;

  set_caps (h, &info);
  gst_harness_set_upstream_latency (h, 5 * GST_MSECOND);
  fail_unless_equals_uint64 (query_min_latency (h), 5 * GST_MSECOND);
  gst_buffer_unref (push (h, &info, 0));
  /* the pipeline is told that the answer changed */
  message = gst_bus_pop_filtered (bus, GST_MESSAGE_LATENCY);
  fail_unless (message != NULL);
  gst_message_unref (message);
  fail_unless (query_min_latency (h) > 5 * GST_MSECOND);

  /* files do not wait for anyone */
  gst_harness_set_live (h, FALSE);
  fail_unless_equals_uint64 (query_min_latency (h), 0);
  remove_bus (seg, bus);
  gst_object_unref (seg);
  gst_harness_teardown (h);
}

GST_END_TEST;

/* Frames go on as they are, so it is for those behind to say what they take. */
GST_START_TEST (test_allocation_query_is_downstreams)
{
  GstHarness *h = gst_harness_new_parse (SEG);
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_RGB, 160, 120);
  GstCaps *caps = gst_video_info_to_caps (&info);
  GstQuery *query = gst_query_new_allocation (caps, FALSE);

  set_caps (h, &info);
  fail_unless (gst_pad_peer_query (h->srcpad, query));
  fail_if (gst_query_find_allocation_meta (query, GST_VIDEO_META_API_TYPE,
          NULL));
  gst_query_unref (query);

  gst_harness_add_propose_allocation_meta (h, GST_VIDEO_META_API_TYPE, NULL);
  query = gst_query_new_allocation (caps, FALSE);
  fail_unless (gst_pad_peer_query (h->srcpad, query));
  fail_unless (gst_query_find_allocation_meta (query, GST_VIDEO_META_API_TYPE,
          NULL));
  gst_query_unref (query);
  gst_caps_unref (caps);
  gst_harness_teardown (h);
}

GST_END_TEST;

/* ---- streams ----------------------------------------------------------- */

GST_START_TEST (test_renegotiation)
{
  static const struct
  {
    GstVideoFormat format;
    gint width, height;
  } steps[] = {
    {GST_VIDEO_FORMAT_NV12, 320, 240},
    {GST_VIDEO_FORMAT_I420, 321, 239},
    {GST_VIDEO_FORMAT_RGB, 240, 320},
    {GST_VIDEO_FORMAT_NV12, 320, 240},
  };
  GstHarness *h = gst_harness_new_parse (SEG "inference-interval=100");
  GstBuffer *before = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (steps); i++) {
    GstVideoInfo info = make_info (steps[i].format, steps[i].width,
        steps[i].height);
    GstBuffer *buf;

    set_caps (h, &info);
    buf = push (h, &info, 0);
    get_meta (buf, &info);
    /* no objects of another size */
    fail_unless_equals_int (gst_instance_mask_meta_get_instance (get_meta (buf,
                &info), 0)->flags, GST_INSTANCE_MASK_FLAG_NONE);
    if (i == 0)
      before = gst_buffer_ref (buf);
    else if (i == 3)
      assert_same_objects (before, buf);
    gst_buffer_unref (buf);
  }
  gst_buffer_unref (before);
  gst_harness_teardown (h);
}

GST_END_TEST;

GST_START_TEST (test_flush_seek_eos)
{
  GstHarness *h = gst_harness_new_parse (SEG "inference-interval=100");
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_I420, 160, 120);
  GstSegment segment;
  GstEvent *event;
  gboolean eos = FALSE;

  set_caps (h, &info);
  fail_if (is_predicted (push (h, &info, 0)));
  fail_unless (is_predicted (push (h, &info, 1)));

  fail_unless (gst_harness_push_upstream_event (h, gst_event_new_seek (1.0,
              GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH, GST_SEEK_TYPE_SET,
              GST_SECOND, GST_SEEK_TYPE_NONE, 0)));
  while ((event = gst_harness_try_pull_upstream_event (h))) {
    if (GST_EVENT_TYPE (event) == GST_EVENT_SEEK)
      break;
    gst_event_unref (event);
  }
  fail_unless (event != NULL);
  gst_event_unref (event);

  fail_unless (gst_harness_push_event (h, gst_event_new_flush_start ()));
  fail_unless (gst_harness_push_event (h, gst_event_new_flush_stop (TRUE)));
  gst_segment_init (&segment, GST_FORMAT_TIME);
  segment.start = segment.time = segment.position = GST_SECOND;
  fail_unless (gst_harness_push_event (h, gst_event_new_segment (&segment)));
  /* what was found before the seek is not carried over it */
  fail_if (is_predicted (push (h, &info, 25)));
  fail_unless (is_predicted (push (h, &info, 26)));

  fail_unless (gst_harness_push_event (h, gst_event_new_eos ()));
  while ((event = gst_harness_try_pull_event (h))) {
    eos = eos || GST_EVENT_TYPE (event) == GST_EVENT_EOS;
    gst_event_unref (event);
  }
  fail_unless (eos);
  gst_harness_teardown (h);
}

GST_END_TEST;

GST_START_TEST (test_state_cycling)
{
  GstElement *seg = gst_parse_launch (SEG, NULL);
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_I420, 160, 120);

  gst_object_ref_sink (seg);
  for (guint i = 0; i < 10; i++) {
    GstHarness *h = gst_harness_new_with_element (seg, "sink", "src");
    GstBuffer *buf;

    set_caps (h, &info);
    buf = push (h, &info, i);
    get_meta (buf, &info);
    gst_buffer_unref (buf);
    fail_unless_equals_uint64 (get_stat (h, "frames"), 1);
    gst_harness_teardown (h);
    fail_unless_equals_int (gst_element_set_state (seg, GST_STATE_NULL),
        GST_STATE_CHANGE_SUCCESS);
  }
  gst_object_unref (seg);
}

GST_END_TEST;

GST_START_TEST (test_two_elements)
{
  GstHarness *a = gst_harness_new_parse (SEG);
  GstHarness *b = gst_harness_new_parse (SEG);
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_I420, 160, 120);
  GstVideoInfo other = make_info (GST_VIDEO_FORMAT_RGB, 64, 64);
  GstBuffer *x, *y;

  set_caps (a, &info);
  set_caps (b, &other);
  x = push (a, &info, 0);
  gst_buffer_unref (push (b, &other, 0));
  set_caps (b, &info);
  y = push (b, &info, 0);
  assert_same_objects (x, y);
  gst_buffer_unref (y);

  /* the other one does not need the first */
  gst_harness_teardown (a);
  y = push (b, &info, 0);
  assert_same_objects (x, y);
  gst_buffer_unref (x);
  gst_buffer_unref (y);
  gst_harness_teardown (b);
}

GST_END_TEST;

static gpointer
run_frames (gpointer h)
{
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_I420, 160, 120);

  set_caps (h, &info);
  for (guint i = 0; i < 10; i++)
    gst_buffer_unref (push (h, &info, i));
  return NULL;
}

/* Elements that share weights run, start and stop at the same time. */
GST_START_TEST (test_two_threads)
{
  for (guint round = 0; round < 3; round++) {
    GstHarness *h[2];
    GThread *threads[2];

    for (guint i = 0; i < 2; i++) {
      h[i] = gst_harness_new_parse (SEG);
      threads[i] = g_thread_new ("stream", run_frames, h[i]);
    }
    for (guint i = 0; i < 2; i++) {
      g_thread_join (threads[i]);
      gst_harness_teardown (h[i]);
    }
  }
}

GST_END_TEST;

GST_START_TEST (test_caps)
{
  static const gchar *const bad[] = {
    "video/x-raw,format=YUY2,width=64,height=64,framerate=25/1",
    "video/x-raw,format=P016_LE,width=64,height=64,framerate=25/1",
    "video/x-raw(memory:CUDAMemory),format=GRAY8,width=64,height=64,"
        "framerate=25/1",
    "video/x-raw(memory:GLMemory),format=RGBA,width=64,height=64,"
        "framerate=25/1",
    "video/x-raw(format:Interlaced),format=NV12,width=64,height=64,"
        "framerate=25/1,interlace-mode=alternate",
    "video/x-raw,format=NV12,width=0,height=64,framerate=25/1",
    "video/x-raw,format=NV12,width=32768,height=64,framerate=25/1",
    "image/jpeg",
  };
  GstHarness *h = gst_harness_new_parse (SEG);
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_I420, 160, 120);
  GstCaps *caps;

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    caps = gst_caps_from_string (bad[i]);
    fail_if (gst_pad_peer_query_accept_caps (h->srcpad, caps), "%s", bad[i]);
    gst_caps_unref (caps);
  }

  /* pushed on regardless of that answer */
  set_caps (h, &info);
  gst_buffer_unref (push (h, &info, 0));
  caps = gst_caps_from_string (bad[0]);
  gst_harness_push_event (h, gst_event_new_caps (caps));
  gst_caps_unref (caps);
  fail_unless_equals_int (gst_harness_push (h, gst_buffer_new_allocate (NULL,
              64 * 64 * 2, NULL)), GST_FLOW_NOT_NEGOTIATED);

  /* and goes on with what it can do */
  caps = gst_video_info_to_caps (&info);
  gst_harness_push_event (h, gst_event_new_caps (caps));
  gst_caps_unref (caps);
  gst_buffer_unref (push (h, &info, 0));
  gst_harness_teardown (h);
}

GST_END_TEST;

GST_START_TEST (test_huge_frames)
{
  GstHarness *h = gst_harness_new_parse (SEG);
  GstElement *seg = gst_harness_find_element (h, "condinstseg");
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_GRAY8, 32767, 2);
  GstBus *bus = add_bus (seg);

  set_caps (h, &info);
  for (guint i = 0; i < 3; i++)
    fail_unless_equals_int (gst_harness_push (h, make_frame (&info, i)),
        GST_FLOW_NOT_NEGOTIATED);
  /* once, though it was tried three times */
  assert_message (bus, GST_MESSAGE_ERROR, GST_STREAM_ERROR,
      GST_STREAM_ERROR_FORMAT, "32767x2", "condinst-light", NULL);
  fail_unless (gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR) == NULL);

  info = make_info (GST_VIDEO_FORMAT_GRAY8, 16384, 2);
  set_caps (h, &info);
  gst_buffer_unref (push (h, &info, 0));
  remove_bus (seg, bus);
  gst_object_unref (seg);
  gst_harness_teardown (h);
}

GST_END_TEST;

/* ---- model, labels, settings ------------------------------------------- */

GST_START_TEST (test_missing_model)
{
  GstElement *seg;
  GstBus *bus;

  seg = fail_to_start ("condinstseg model-file=/nowhere/none.safetensors",
      &bus);
  assert_message (bus, GST_MESSAGE_ERROR, GST_RESOURCE_ERROR,
      GST_RESOURCE_ERROR_NOT_FOUND, "/nowhere/none.safetensors", "model-file",
      NULL);

  /* a better file, and it starts */
  g_object_set (seg, "model-file", MODEL, NULL);
  fail_unless_equals_int (gst_element_set_state (seg, GST_STATE_PAUSED),
      GST_STATE_CHANGE_SUCCESS);
  gst_element_set_state (seg, GST_STATE_NULL);
  remove_bus (seg, bus);
  gst_object_unref (seg);

  seg = fail_to_start ("condinstseg model-file=no-such-model", &bus);
  assert_message (bus, GST_MESSAGE_ERROR, GST_RESOURCE_ERROR,
      GST_RESOURCE_ERROR_NOT_FOUND, "no-such-model", NULL);
  remove_bus (seg, bus);
  gst_object_unref (seg);
}

GST_END_TEST;

GST_START_TEST (test_broken_model)
{
  /* a header of 255 bytes is promised */
  static const gchar truncated[] = "\xff\0\0\0\0\0\0\0{\"__metadata__\":{";
  gchar *path = write_temp (truncated, sizeof (truncated) - 1);
  gchar *launch = g_strdup_printf ("condinstseg model-file=%s", path);
  GstBus *bus;
  GstElement *seg = fail_to_start (launch, &bus);

  assert_message (bus, GST_MESSAGE_ERROR, GST_RESOURCE_ERROR,
      GST_RESOURCE_ERROR_READ, path, NULL);
  remove_bus (seg, bus);
  gst_object_unref (seg);
  g_unlink (path);
  g_free (path);
  g_free (launch);
}

GST_END_TEST;

GST_START_TEST (test_settings)
{
  GstElement *seg;
  GstBus *bus;

  if (!on_gpu ()) {
    seg = fail_to_start (SEG "execution-provider=cuda", &bus);
    assert_message (bus, GST_MESSAGE_ERROR, GST_RESOURCE_ERROR,
        GST_RESOURCE_ERROR_NOT_FOUND, "execution-provider=cuda",
        "CUDA backend", "execution-provider=cpu", NULL);
    fail_unless (gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR) == NULL);
    remove_bus (seg, bus);
    gst_object_unref (seg);
  }

  seg = fail_to_start ("condinstseg model-file=" MODEL " input-width=64",
      &bus);
  assert_message (bus, GST_MESSAGE_ERROR, GST_RESOURCE_ERROR,
      GST_RESOURCE_ERROR_SETTINGS, "input-width is 64", "input-height is 0",
      NULL);
  remove_bus (seg, bus);
  gst_object_unref (seg);

  seg = fail_to_start ("condinstseg model-file=" MODEL " nms=fast", &bus);
  assert_message (bus, GST_MESSAGE_ERROR, GST_RESOURCE_ERROR,
      GST_RESOURCE_ERROR_SETTINGS, "nms fast", "CondInst", NULL);
  remove_bus (seg, bus);
  gst_object_unref (seg);
}

GST_END_TEST;

/* Every option for the network's shape can be used. */
GST_START_TEST (test_input_options)
{
  static const gchar *const launches[] = {
    ELEMENT "model-file=" MODEL " score-threshold=0 resize-quality=fast",
    ELEMENT "model-file=" MODEL " score-threshold=0 full-map=true",
    ELEMENT "model-file=" MODEL " score-threshold=0 threads=1",
    "condinstseg model-file=" MODEL " score-threshold=0 min-size=64 "
        "max-size=80 execution-provider=cpu",
  };

  for (guint i = 0; i < G_N_ELEMENTS (launches); i++) {
    GstHarness *h = gst_harness_new_parse (launches[i]);
    GstVideoInfo info = make_info (GST_VIDEO_FORMAT_I420, 160, 120);
    GstBuffer *buf;

    set_caps (h, &info);
    buf = push (h, &info, 0);
    fail_unless (count (buf) >= 1);
    gst_buffer_unref (buf);
    gst_harness_teardown (h);
  }
}

GST_END_TEST;

GST_START_TEST (test_full_map_covers_frame)
{
  GstHarness *h = gst_harness_new_parse (SEG "full-map=true");
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_I420, 160, 120);
  const GstInstanceMask *m;
  GstBuffer *buf;
  gint x, y, width, height;

  set_caps (h, &info);
  buf = push (h, &info, 0);
  m = gst_instance_mask_meta_get_instance (get_meta (buf, &info), 0);
  fail_unless (gst_instance_mask_get_extents (m, &x, &y, &width, &height));
  /* the first and last cell's halves that stick out may be missing */
  fail_unless (x <= 3 && y <= 3 && x + width >= 157 && y + height >= 117);
  gst_buffer_unref (buf);
  gst_harness_teardown (h);
}

GST_END_TEST;

GST_START_TEST (test_label_file)
{
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_I420, 160, 120);
  GString *labels = g_string_new (NULL);
  gchar *path, *launch, *wanted;
  const GstInstanceMask *m;
  GstMessage *message;
  GstElement *seg;
  GError *error;
  GstBuffer *buf;
  GstHarness *h;
  GstBus *bus;
  guint n = 0;

  /* too few */
  path = write_temp ("only\none two\n\n", -1);
  launch = g_strdup_printf (SEG "label-file=%s", path);
  seg = fail_to_start (launch, &bus);
  message = gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR);
  gst_message_parse_error (message, &error, NULL);
  fail_unless (g_error_matches (error, GST_RESOURCE_ERROR,
          GST_RESOURCE_ERROR_SETTINGS));
  fail_unless (strstr (error->message, path) != NULL);
  fail_unless (strstr (error->message, "2 labels") != NULL);
  fail_unless_equals_int (sscanf (strstr (error->message, "model '"),
          "model '%*[^']' has %u classes", &n), 1);
  g_error_free (error);
  gst_message_unref (message);
  remove_bus (seg, bus);
  gst_object_unref (seg);

  /* not text */
  fail_unless (g_file_set_contents (path, "\xff\xfe", 2, NULL));
  seg = fail_to_start (launch, &bus);
  assert_message (bus, GST_MESSAGE_ERROR, GST_RESOURCE_ERROR,
      GST_RESOURCE_ERROR_READ, path, "UTF-8", NULL);
  remove_bus (seg, bus);
  gst_object_unref (seg);

  /* as many as it asked for, from another system */
  for (guint i = 0; i < n; i++)
    g_string_append_printf (labels, "class %u\r\n", i);
  fail_unless (g_file_set_contents (path, labels->str, labels->len, NULL));
  h = gst_harness_new_parse (launch);
  set_caps (h, &info);
  buf = push (h, &info, 0);
  m = gst_instance_mask_meta_get_instance (get_meta (buf, &info), 0);
  wanted = g_strdup_printf ("class %d", m->class_id);
  fail_unless_equals_string (gst_instance_mask_get_label (m), wanted);
  g_free (wanted);
  gst_buffer_unref (buf);
  gst_harness_teardown (h);

  g_unlink (path);
  seg = fail_to_start (launch, &bus);
  assert_message (bus, GST_MESSAGE_ERROR, GST_RESOURCE_ERROR,
      GST_RESOURCE_ERROR_NOT_FOUND, path, NULL);
  remove_bus (seg, bus);
  gst_object_unref (seg);
  g_string_free (labels, TRUE);
  g_free (path);
  g_free (launch);
}

GST_END_TEST;

GST_START_TEST (test_model_instance_id)
{
  /* the one that knows the model comes last */
  GstElement *bin = gst_parse_launch ("bin.( condinstseg name=follower "
      "model-instance-id=street condinstseg name=leader model-file=" MODEL
      " model-instance-id=street )", NULL);
  GstElement *follower = gst_bin_get_by_name (GST_BIN (bin), "follower");
  GstElement *leader = gst_bin_get_by_name (GST_BIN (bin), "leader");
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_I420, 64, 48);
  GstStructure *stats;
  GstElement *other;
  GstHarness *h;
  GstBuffer *buf;
  GstBus *bus;

  fail_unless_equals_int (gst_element_set_state (leader, GST_STATE_READY),
      GST_STATE_CHANGE_SUCCESS);
  fail_unless_equals_int (gst_element_set_state (follower, GST_STATE_PAUSED),
      GST_STATE_CHANGE_SUCCESS);
  g_object_get (follower, "stats", &stats, NULL);
  fail_unless_equals_string (gst_structure_get_string (stats, "model"),
      "condinst-light");
  gst_structure_free (stats);

  /* no id for two models */
  other = fail_to_start ("condinstseg model-instance-id=street "
      "model-file=random:condinst-r50", &bus);
  assert_message (bus, GST_MESSAGE_ERROR, GST_RESOURCE_ERROR,
      GST_RESOURCE_ERROR_SETTINGS, "street", "random:condinst-r50", MODEL,
      NULL);
  remove_bus (other, bus);
  gst_object_unref (other);

  fail_unless_equals_int (gst_element_set_state (bin, GST_STATE_NULL),
      GST_STATE_CHANGE_SUCCESS);
  gst_object_unref (follower);
  gst_object_unref (leader);
  gst_object_unref (bin);

  /* names the source */
  h = gst_harness_new_parse (SEG "model-instance-id=street");
  set_caps (h, &info);
  buf = push (h, &info, 0);
  fail_unless_equals_string (gst_instance_mask_meta_get_source (get_meta (buf,
              &info)), "street");
  gst_buffer_unref (buf);
  gst_harness_teardown (h);
}

GST_END_TEST;

/* Only where the model that is shipped has been built in already. */
GST_START_TEST (test_default_model)
{
  const gchar *dir = g_getenv ("GST_CONDINST_MODEL_PATH");
  gchar *path = g_build_filename (dir ? dir : "", "condinst-light.safetensors",
      NULL);
  gchar *data, *broken, *launch;
  GstHarness *h;
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_NV12, 640, 360);
  GstElement *seg;
  GstBuffer *buf;
  GstBus *bus;
  gsize size;

  if (!g_file_get_contents (path, &data, &size, NULL)) {
    g_print ("test_default_model: skipped, there is no %s\n", path);
    g_free (path);
    return;
  }
  h = gst_harness_new_parse (ELEMENT);
  set_caps (h, &info);
  buf = push (h, &info, 0);
  fail_unless_equals_string (gst_instance_mask_meta_get_source (get_meta (buf,
              &info)), "condinst-light");
  gst_buffer_unref (buf);
  gst_harness_teardown (h);

  broken = write_temp (data, size / 2);
  launch = g_strdup_printf ("condinstseg model-file=%s", broken);
  seg = fail_to_start (launch, &bus);
  assert_message (bus, GST_MESSAGE_ERROR, GST_RESOURCE_ERROR,
      GST_RESOURCE_ERROR_READ, broken, NULL);
  remove_bus (seg, bus);
  gst_object_unref (seg);
  g_unlink (broken);
  g_free (broken);
  g_free (launch);
  g_free (data);
  g_free (path);
}

GST_END_TEST;

/* ---- bad frames -------------------------------------------------------- */

GST_START_TEST (test_short_buffer)
{
  GstHarness *h = gst_harness_new_parse (SEG);
  GstElement *seg = gst_harness_find_element (h, "condinstseg");
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_RGB, 64, 48);
  GstBus *bus = add_bus (seg);

  set_caps (h, &info);
  fail_unless_equals_int (gst_harness_push (h, gst_buffer_new_allocate (NULL,
              info.size - 1, NULL)), GST_FLOW_ERROR);
  assert_message (bus, GST_MESSAGE_ERROR, GST_STREAM_ERROR,
      GST_STREAM_ERROR_FORMAT, "64x48", "RGB", "9216", "9215", NULL);
  remove_bus (seg, bus);
  gst_object_unref (seg);
  gst_harness_teardown (h);
}

GST_END_TEST;

/* ---- messages and statistics ------------------------------------------- */

GST_START_TEST (test_messages)
{
  GstHarness *h = gst_harness_new_parse (SEG "inference-interval=2");
  GstElement *seg = gst_harness_find_element (h, "condinstseg");
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_I420, 160, 120);
  GstBus *bus = add_bus (seg);

  set_caps (h, &info);
  gst_buffer_unref (push (h, &info, 0));
  fail_unless (gst_bus_pop_filtered (bus, GST_MESSAGE_ELEMENT) == NULL);
  g_object_set (seg, "post-messages", TRUE, NULL);
  for (guint i = 1; i < 4; i++) {
    GstBuffer *buf = push (h, &info, i);
    GstMessage *message = gst_bus_pop_filtered (bus, GST_MESSAGE_ELEMENT);
    const GstStructure *s;
    GstStructure *counts;
    GstClockTime timestamp;
    gboolean inferred;
    guint n, total = 0;

    fail_unless (message != NULL);
    s = gst_message_get_structure (message);
    fail_unless (gst_structure_has_name (s, "condinstseg"));
    fail_unless (gst_structure_get (s, "timestamp", GST_TYPE_CLOCK_TIME,
            &timestamp, "inferred", G_TYPE_BOOLEAN, &inferred, "instances",
            G_TYPE_UINT, &n, "counts", GST_TYPE_STRUCTURE, &counts, NULL));
    fail_unless_equals_uint64 (timestamp, i * FRAME_TIME);
    fail_unless_equals_int (inferred, i % 2 == 0);
    fail_unless_equals_int (n, count (buf));
    for (gint j = 0; j < gst_structure_n_fields (counts); j++) {
      guint of_class;

      fail_unless (gst_structure_get_uint (counts,
              gst_structure_nth_field_name (counts, j), &of_class));
      total += of_class;
    }
    fail_unless_equals_int (total, n);
    fail_unless (gst_structure_has_field (counts, gst_instance_mask_get_label
            (gst_instance_mask_meta_get_instance (get_meta (buf, &info), 0))));
    gst_structure_free (counts);
    gst_message_unref (message);
    gst_buffer_unref (buf);
  }
  remove_bus (seg, bus);
  gst_object_unref (seg);
  gst_harness_teardown (h);
}

GST_END_TEST;

GST_START_TEST (test_stats)
{
  static const gchar *const stages[] = { "preprocess", "network", "decode",
    "masks", "total"
  };
  GstHarness *h = gst_harness_new_parse (SEG);
  GstVideoInfo info = make_info (GST_VIDEO_FORMAT_I420, 160, 120);
  gdouble last, mean, p95, fps, sum = 0;
  GstStructure *stats;

  set_caps (h, &info);
  for (guint i = 0; i < 5; i++)
    gst_buffer_unref (push (h, &info, i));
  stats = get_stats (h);
  fail_unless_equals_string (gst_structure_get_string (stats, "model"),
      "condinst-light");
  fail_unless_equals_string (gst_structure_get_string (stats, "provider"),
      on_gpu ()? "cuda" : "cpu");
  fail_unless_equals_string (gst_structure_get_string (stats, "input-size"),
      "128x96");
  fail_unless_equals_uint64 (get_stat (h, "frames"), 5);
  fail_unless_equals_uint64 (get_stat (h, "inferred"), 5);
  fail_unless_equals_uint64 (get_stat (h, "skipped"), 0);
  fail_unless (gst_structure_get_double (stats, "fps", &fps) && fps > 0);
  for (guint i = 0; i < G_N_ELEMENTS (stages); i++) {
    GstStructure *stage;

    fail_unless (gst_structure_get (stats, stages[i], GST_TYPE_STRUCTURE,
            &stage, NULL));
    fail_unless (gst_structure_get (stage, "last-ms", G_TYPE_DOUBLE, &last,
            "mean-ms", G_TYPE_DOUBLE, &mean, "p95-ms", G_TYPE_DOUBLE, &p95,
            NULL));
    fail_unless (last > 0 && mean > 0 && p95 > 0);
    fail_unless (p95 >= last || p95 >= mean);
    if (i < 4)
      sum += mean;
    gst_structure_free (stage);
  }
  /* the last one is the total, in steps of a microsecond */
  fail_unless (mean + 0.001 >= sum);
  gst_structure_free (stats);
  gst_harness_teardown (h);
}

GST_END_TEST;

static Suite *
condinstseg_streams_suite (void)
{
  Suite *s = suite_create ("condinstseg-streams");
  TCase *tc;

  tc = tcase_create ("time");
  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_late_frames_pass);
  tcase_add_test (tc, test_qos_upstream);
  tcase_add_test (tc, test_latency);

  tc = tcase_create ("streams");
  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_allocation_query_is_downstreams);
  tcase_add_test (tc, test_renegotiation);
  tcase_add_test (tc, test_flush_seek_eos);
  tcase_add_test (tc, test_state_cycling);
  tcase_add_test (tc, test_two_elements);
  tcase_add_test (tc, test_two_threads);
  tcase_add_test (tc, test_caps);
  tcase_add_test (tc, test_short_buffer);
  tcase_add_test (tc, test_huge_frames);

  tc = tcase_create ("models");
  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_missing_model);
  tcase_add_test (tc, test_broken_model);
  tcase_add_test (tc, test_settings);
  tcase_add_test (tc, test_input_options);
  tcase_add_test (tc, test_full_map_covers_frame);
  tcase_add_test (tc, test_label_file);
  tcase_add_test (tc, test_model_instance_id);
  tcase_add_test (tc, test_default_model);

  tc = tcase_create ("reports");
  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_messages);
  tcase_add_test (tc, test_stats);

  return s;
}

GST_CHECK_MAIN (condinstseg_streams);
