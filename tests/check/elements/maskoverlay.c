/* GStreamer instance masks
 *
 * maskoverlay.c: how maskoverlay behaves as an element
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "maskframe.h"

GST_START_TEST (test_types)
{
  static const struct
  {
    const gchar *properties;
    gboolean drawn[3];
  } cases[] = {
    {"", {TRUE, TRUE, TRUE}},
    {"selected-types=cat", {TRUE, FALSE, FALSE}},
    {"selected-types=\"dog; cat\"", {TRUE, TRUE, FALSE}},
    {"selected-types=2", {FALSE, FALSE, TRUE}},
    {"excluded-types=dog;", {TRUE, FALSE, TRUE}},
    {"selected-types=cat;dog excluded-types=cat", {FALSE, TRUE, FALSE}},
    {"selected-types=horse", {FALSE, FALSE, FALSE}},
  };
  static const gchar *labels[] = { "cat", "dog", NULL };
  guint i, k;

  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *properties = g_strdup_printf (PLAIN "mask-opacity=1 %s",
        cases[i].properties);
    g_autofree guint8 *rgba = NULL;
    GstInstanceMaskMeta *meta;
    GstVideoInfo info;
    GstBuffer *buffer;

    gst_video_info_set_format (&info, GST_VIDEO_FORMAT_RGB, 120, 40);
    buffer = make_frame (&info, 0, BACKGROUND);
    meta = add_meta (buffer, &info);
    for (k = 0; k < 3; k++)
      add_ellipse (meta, &(Ellipse) { 20 + 40 * k, 20, 12, 12 }, 4, k, k,
          labels[k]);
    rgba = run (properties, &info, buffer);
    for (k = 0; k < 3; k++)
      assert_pixel (rgba, &info, (gint) (20 + 40 * k), 20,
          cases[i].drawn[k] ? COLOR : BACKGROUND, 0);
  }
}

GST_END_TEST;

GST_START_TEST (test_color_modes)
{
  static const struct
  {
    const gchar *properties;
    guint32 colors[3];          /* ids 4, 1, 7, classes 2, 2, 0 */
  } cases[] = {
    {"color-mode=class", {0x0000ff, 0x0000ff, 0xff0000}},
    {"color-mode=track", {0x00ff00, 0x00ff00, 0x00ff00}},
    {"color-mode=instance", {0x00ff00, 0x0000ff, 0xff0000}},
  };
  static const guint ids[] = { 4, 1, 7 };
  static const gint classes[] = { 2, 2, 0 };
  guint i, k;

  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *properties = g_strdup_printf ("draw-contours=false "
        "draw-labels=false draw-scores=false mask-opacity=1 "
        "palette=\"#ff0000,00ff00;#0000ff\" %s", cases[i].properties);
    g_autofree guint8 *rgba = NULL;
    GstInstanceMaskMeta *meta;
    GstVideoInfo info;
    GstBuffer *buffer;

    gst_video_info_set_format (&info, GST_VIDEO_FORMAT_RGB, 120, 40);
    buffer = make_frame (&info, 0, BACKGROUND);
    meta = add_meta (buffer, &info);
    for (k = 0; k < 3; k++)
      add_ellipse (meta, &(Ellipse) { 20 + 40 * k, 20, 12, 12 }, 4, ids[k],
          classes[k], NULL);
    rgba = run (properties, &info, buffer);
    for (k = 0; k < 3; k++)
      assert_pixel (rgba, &info, (gint) (20 + 40 * k), 20, cases[i].colors[k],
          0);
  }
}

GST_END_TEST;

/* No metadata, or nothing to draw: the very same buffer comes out, even if it
 * is shared and its memory read-only. */
GST_START_TEST (test_untouched_buffers)
{
  const Ellipse e = { 32, 24, 20, 15 };
  GstVideoInfo info;
  GstBuffer *in, *out;
  GstMemory *memory;
  GstHarness *h;
  guint i;

  gst_video_info_set_format (&info, GST_VIDEO_FORMAT_NV12, 64, 48);
  h = make_harness ("selected-types=dog", &info);
  for (i = 0; i < 3; i++) {
    in = make_frame (&info, 0, BACKGROUND);
    if (i > 0) {
      GstInstanceMaskMeta *meta = add_meta (in, &info);

      if (i > 1)
        add_ellipse (meta, &e, 4, 0, 0, "cat");
    }
    memory = gst_buffer_peek_memory (in, 0);
    GST_MINI_OBJECT_FLAG_SET (memory, GST_MEMORY_FLAG_READONLY);
    gst_buffer_ref (in);
    out = gst_harness_push_and_pull (h, in);
    fail_unless (out == in);
    fail_unless (gst_buffer_peek_memory (out, 0) == memory);
    gst_buffer_unref (in);
    gst_buffer_unref (out);
  }

  /* with something to draw, a shared frame is copied, its other owner's stays
   * as it was */
  g_object_set (get_element (h), "selected-types", NULL, NULL);
  in = make_frame (&info, 0, BACKGROUND);
  add_ellipse (add_meta (in, &info), &e, 4, 0, 0, "cat");
  gst_buffer_ref (in);
  out = gst_harness_push_and_pull (h, in);
  fail_unless (out != in);
  fail_unless (gst_buffer_get_instance_mask_meta (out) != NULL);
  {
    g_autofree guint8 *before = to_rgba (in, &info);
    g_autofree guint8 *after = to_rgba (out, &info);

    assert_pixel (before, &info, 32, 24, BACKGROUND, 3);
    fail_if (is_near (pixel (after, &info, 32, 24), BACKGROUND, 20));
  }
  gst_buffer_unref (in);
  gst_buffer_unref (out);

  /* read-only memory is drawn on in a copy */
  in = make_frame (&info, 0, BACKGROUND);
  add_ellipse (add_meta (in, &info), &e, 4, 0, 0, "cat");
  GST_MINI_OBJECT_FLAG_SET (gst_buffer_peek_memory (in, 0),
      GST_MEMORY_FLAG_READONLY);
  out = gst_harness_push_and_pull (h, in);
  {
    g_autofree guint8 *after = to_rgba (out, &info);

    fail_if (is_near (pixel (after, &info, 32, 24), BACKGROUND, 20));
  }
  gst_buffer_unref (out);
  gst_harness_teardown (h);
}

GST_END_TEST;

GST_START_TEST (test_missing_metadata)
{
  g_autoptr (GstBus) bus = NULL;
  GstVideoInfo info;
  GstBuffer *buffer;
  GstHarness *h;
  guint i;

  gst_video_info_set_format (&info, GST_VIDEO_FORMAT_I420, 16, 16);
  h = make_harness ("", &info);
  bus = watch_bus (h);
  for (i = 0; i < 100; i++) {
    gst_buffer_unref (gst_harness_push_and_pull (h, make_frame (&info, 0, 0)));
    if (i == 9)
      fail_unless_equals_int (count_warnings (bus, ""), 0);
  }
  gst_harness_push_event (h, gst_event_new_eos ());
  fail_unless_equals_int (count_warnings (bus, "condinstseg"), 1);
  gst_element_set_bus (get_element (h), NULL);
  gst_harness_teardown (h);

  /* not if somebody looked and found nothing */
  h = make_harness ("", &info);
  gst_element_set_bus (get_element (h), bus);
  buffer = make_frame (&info, 0, 0);
  add_meta (buffer, &info);
  gst_buffer_unref (gst_harness_push_and_pull (h, buffer));
  for (i = 0; i < 100; i++)
    gst_buffer_unref (gst_harness_push_and_pull (h, make_frame (&info, 0, 0)));
  gst_harness_push_event (h, gst_event_new_eos ());
  fail_unless_equals_int (count_warnings (bus, ""), 0);
  gst_element_set_bus (get_element (h), NULL);
  gst_harness_teardown (h);

  /* a stream of one picture */
  h = make_harness ("", &info);
  gst_element_set_bus (get_element (h), bus);
  gst_buffer_unref (gst_harness_push_and_pull (h, make_frame (&info, 0, 0)));
  gst_harness_push_event (h, gst_event_new_eos ());
  fail_unless_equals_int (count_warnings (bus, "condinstseg"), 1);
  gst_element_set_bus (get_element (h), NULL);
  gst_harness_teardown (h);
}

GST_END_TEST;

/* Masks of another frame size are not drawn in the wrong place. */
GST_START_TEST (test_mismatch)
{
  const Ellipse e = { 32, 24, 20, 15 };
  g_autoptr (GstBus) bus = NULL;
  GstVideoInfo info, other;
  GstBuffer *in, *out;
  GstHarness *h;
  guint i;

  gst_video_info_set_format (&info, GST_VIDEO_FORMAT_I420, 64, 48);
  gst_video_info_set_format (&other, GST_VIDEO_FORMAT_I420, 128, 96);
  h = make_harness ("", &info);
  bus = watch_bus (h);
  for (i = 0; i < 5; i++) {
    in = make_frame (&info, 0, BACKGROUND);
    add_ellipse (add_meta (in, &other), &e, 4, 0, 0, NULL);
    out = gst_harness_push_and_pull (h, in);
    fail_unless (out == in);
    gst_buffer_unref (out);
  }
  fail_unless_equals_int (count_warnings (bus, "128x96"), 1);
  gst_element_set_bus (get_element (h), NULL);
  gst_harness_teardown (h);
}

GST_END_TEST;

GST_START_TEST (test_expire)
{
  static const struct
  {
    const gchar *properties;
    guint n_drawn;              /* of the 9 frames after the first */
  } cases[] = {
    {"", 0}, {"expire-overlay=45000000", 4},
    {"expire-overlay=18446744073709551615", 9},
  };
  const Ellipse e = { 32, 24, 20, 15 };
  guint i, k;

  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    guint n_drawn = 0;
    GstVideoInfo info;
    GstHarness *h;

    gst_video_info_set_format (&info, GST_VIDEO_FORMAT_RGB, 64, 48);
    h = make_harness (cases[i].properties, &info);
    for (k = 0; k < 10; k++) {
      GstBuffer *buffer = make_frame (&info, 0, BACKGROUND);
      g_autofree guint8 *rgba = NULL;

      GST_BUFFER_PTS (buffer) = k * 10 * GST_MSECOND;
      if (k == 0)
        add_ellipse (add_meta (buffer, &info), &e, 4, 0, 0, NULL);
      buffer = gst_harness_push_and_pull (h, buffer);
      rgba = to_rgba (buffer, &info);
      if (!is_near (pixel (rgba, &info, 32, 24), BACKGROUND, 20) && k > 0)
        n_drawn++;
      gst_buffer_unref (buffer);
    }
    fail_unless_equals_int (n_drawn, cases[i].n_drawn);
    gst_harness_teardown (h);
  }
}

GST_END_TEST;

GST_START_TEST (test_renegotiation)
{
  static const struct
  {
    GstVideoFormat format;
    gint width, height;
  } steps[] = {
    {GST_VIDEO_FORMAT_NV12, 64, 48}, {GST_VIDEO_FORMAT_NV12, 320, 240},
    {GST_VIDEO_FORMAT_BGRx, 320, 240}, {GST_VIDEO_FORMAT_I420, 33, 47},
    {GST_VIDEO_FORMAT_GRAY8, 64, 48}, {GST_VIDEO_FORMAT_NV12, 64, 48},
  };
  GstHarness *h = gst_harness_new_parse ("maskoverlay " PLAIN
      "mask-opacity=1 expire-overlay=18446744073709551615");
  guint i;

  for (i = 0; i < G_N_ELEMENTS (steps); i++) {
    gint width = steps[i].width, height = steps[i].height;
    const Ellipse e = { width / 2., height / 2., width / 3., height / 3. };
    gboolean grey = steps[i].format == GST_VIDEO_FORMAT_GRAY8;
    g_autofree guint8 *rgba = NULL;
    g_autofree guint8 *first = NULL;
    GstVideoInfo info;
    GstBuffer *buffer;

    gst_video_info_set_format (&info, steps[i].format, width, height);
    gst_harness_set_src_caps (h, gst_video_info_to_caps (&info));
    /* what was held for another size must not be drawn now */
    buffer = gst_harness_push_and_pull (h, make_frame (&info, 0, BACKGROUND));
    first = to_rgba (buffer, &info);
    gst_buffer_unref (buffer);
    assert_pixel (first, &info, width / 2, height / 2,
        grey ? to_grey (BACKGROUND) : BACKGROUND, 4);

    buffer = make_frame (&info, 0, BACKGROUND);
    add_ellipse (add_meta (buffer, &info), &e, width / 16., 0, 0, NULL);
    buffer = gst_harness_push_and_pull (h, buffer);
    rgba = to_rgba (buffer, &info);
    gst_buffer_unref (buffer);
    assert_pixel (rgba, &info, width / 2, height / 2,
        grey ? to_grey (COLOR) : COLOR, 4);
    assert_pixel (rgba, &info, 0, 0,
        grey ? to_grey (BACKGROUND) : BACKGROUND, 4);
  }
  gst_harness_teardown (h);
}

GST_END_TEST;

GST_START_TEST (test_defaults)
{
  GstElement *element = gst_element_factory_make ("maskoverlay", NULL);
  g_autofree GParamSpec **specs = NULL;
  guint i, n, n_own = 0;

  specs = g_object_class_list_properties (G_OBJECT_GET_CLASS (element), &n);
  for (i = 0; i < n; i++) {
    g_auto (GValue) value = G_VALUE_INIT;

    if (specs[i]->owner_type != G_OBJECT_TYPE (element))
      continue;
    g_value_init (&value, specs[i]->value_type);
    g_object_get_property (G_OBJECT (element), specs[i]->name, &value);
    fail_unless (g_param_value_defaults (specs[i], &value),
        "%s does not have its default value", specs[i]->name);
    fail_unless (specs[i]->flags & GST_PARAM_MUTABLE_PLAYING);
    n_own++;
  }
  fail_unless_equals_int (n_own, 16);
  gst_object_unref (element);
}

GST_END_TEST;

GST_START_TEST (test_palette)
{
  GstElement *element = gst_element_factory_make ("maskoverlay", NULL);
  g_autoptr (GstBus) bus = gst_bus_new ();
  static const gchar *names[] = { "default", "tableau", "pastel",
    "colorblind", "#010203", "123456;abcdef,  #FFFFFF"
  };
  static const guint counts[] = { 24, 20, 16, 7, 1, 3 };
  g_autofree gchar *value = NULL;
  guint i, k, l, n;

  for (i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree guint32 *colors = gst_mask_palette_parse (names[i], &n, NULL);

    fail_unless (colors != NULL);
    fail_unless_equals_int (n, counts[i]);
    for (k = 0; k < n; k++)
      for (l = 0; l < k; l++)
        fail_if (colors[k] == colors[l]);
  }

  gst_element_set_bus (element, bus);
  g_object_set (element, "palette", "tableau", NULL);
  fail_unless_equals_int (count_warnings (bus, ""), 0);
  g_object_set (element, "palette", "#12345", NULL);
  fail_unless_equals_int (count_warnings (bus, "#12345"), 1);
  g_object_set (element, "palette", " ,", NULL);
  fail_unless_equals_int (count_warnings (bus, "colour"), 1);
  g_object_get (element, "palette", &value, NULL);
  fail_unless_equals_string (value, "tableau");
  gst_element_set_bus (element, NULL);
  gst_object_unref (element);
}

GST_END_TEST;

static gpointer
change_properties (gpointer data)
{
  GstElement *element = data;
  guint i;

  for (i = 0; i < 2000; i++) {
    g_autofree gchar *palette = NULL;

    g_object_set (element, "palette", i % 2 ? "tableau" : "#ff0000",
        "effect", i % 6, "selected-types", i % 3 ? "cat;dog" : NULL,
        "mask-opacity", (i % 10) / 10., "font-desc",
        i % 50 ? "Sans 10" : "Serif Bold 9px", "draw-boxes", i % 5 == 0, NULL);
    g_object_get (element, "palette", &palette, NULL);
    fail_unless (palette != NULL);
    g_thread_yield ();
  }
  return NULL;
}

GST_START_TEST (test_properties_while_playing)
{
  const Ellipse e = { 60, 40, 40, 30 };
  GstVideoInfo info;
  GThread *thread;
  GstHarness *h;
  guint i;

  gst_video_info_set_format (&info, GST_VIDEO_FORMAT_NV12, 128, 96);
  h = make_harness ("", &info);
  thread = g_thread_new ("properties", change_properties, get_element (h));
  for (i = 0; i < 300; i++) {
    GstBuffer *buffer = make_frame (&info, 0, BACKGROUND);

    add_ellipse (add_meta (buffer, &info), &e, 4, 0, 0, "cat");
    gst_buffer_unref (gst_harness_push_and_pull (h, buffer));
  }
  g_thread_join (thread);
  gst_harness_teardown (h);
}

GST_END_TEST;

/* Caps of CUDA memory: what lies in the host's memory, whatever they say, is
 * drawn on there, and nobody needs a GPU for that. */
GST_START_TEST (test_cuda_caps)
{
  static const gchar *caps = "video/x-raw(memory:CUDAMemory), format=NV12, "
      "width=64, height=64, framerate=30/1";
  const Ellipse e = { 32, 32, 20, 20 };
  GstHarness *h = gst_harness_new ("maskoverlay");
  g_autoptr (GstCaps) template =
      gst_pad_get_pad_template_caps (get_element (h)->sinkpads->data);
  g_autoptr (GstCaps) cuda_caps = gst_caps_from_string (caps);
  g_autofree guint8 *rgba = NULL;
  GstQuery *query;
  GstVideoInfo info;
  GstBuffer *buffer;

  if (!gst_caps_can_intersect (template, cuda_caps)) {
    GST_INFO ("built without CUDA memory");
    gst_harness_teardown (h);
    return;
  }
  gst_util_set_object_arg (G_OBJECT (get_element (h)), "palette", "#e0a020");
  gst_util_set_object_arg (G_OBJECT (get_element (h)), "mask-opacity", "1");
  gst_harness_set_src_caps_str (h, caps);
  query = gst_query_new_context ("gst.cuda.context");
  gst_pad_peer_query (h->sinkpad, query);
  gst_query_unref (query);

  gst_video_info_set_format (&info, GST_VIDEO_FORMAT_NV12, 64, 64);
  buffer = make_frame (&info, 0, BACKGROUND);
  add_ellipse (add_meta (buffer, &info), &e, 4, 0, 0, NULL);
  buffer = gst_harness_push_and_pull (h, buffer);
  rgba = to_rgba (buffer, &info);
  assert_pixel (rgba, &info, 32, 40, COLOR, 4);
  assert_pixel (rgba, &info, 60, 60, BACKGROUND, 4);
  gst_buffer_unref (buffer);
  gst_harness_teardown (h);
}

GST_END_TEST;

static Suite *
maskoverlay_suite (void)
{
  Suite *s = suite_create ("maskoverlay");
  TCase *tc = tcase_create ("general");

  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_types);
  tcase_add_test (tc, test_color_modes);
  tcase_add_test (tc, test_untouched_buffers);
  tcase_add_test (tc, test_missing_metadata);
  tcase_add_test (tc, test_mismatch);
  tcase_add_test (tc, test_expire);
  tcase_add_test (tc, test_renegotiation);
  tcase_add_test (tc, test_defaults);
  tcase_add_test (tc, test_palette);
  tcase_add_test (tc, test_properties_while_playing);
  tcase_add_test (tc, test_cuda_caps);
  return s;
}

GST_CHECK_MAIN (maskoverlay);
