/*
 * session.c: sizes, formats and misuse of CiSession.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gst/check/gstcheck.h>
#include <string.h>

#include "models/models.h"

static guint8 pixels[640 * 480 * 3];

static CiSession *
new_session (const CiSessionOptions * options)
{
  g_autoptr (CiModel) model = ci_model_load ("random:condinst-light", NULL);
  CiSession *session = ci_session_new (model, options, NULL);

  fail_unless (session != NULL);
  return session;
}

static gboolean
configure (CiSession * session, gint width, gint height, GError ** error)
{
  CiImageFormat format = { CI_PIXEL_RGB, width, height };

  return ci_session_configure (session, &format, error);
}

static gint
run (CiSession * session, gint width)
{
  CiImage image = { {pixels}, {width * 3} };
  const CiInstance *instances;
  gint n;

  fail_unless (ci_session_run (session, &image, NULL, &instances, &n, NULL));
  return n;
}

/* What a frame of 640x480 becomes: the model's own sizes are 288 and 512. */
static const struct
{
  gint min_size, max_size, input_width, input_height, width, height;
} sizes[] = {
  {0, 0, 0, 0, 384, 288},
  {320, 0, 0, 0, 427, 320},
  {600, 0, 0, 0, 600, 450},     /* lifts the model's limit */
  {0, 256, 0, 0, 256, 192},     /* below the model's short side */
  {0, 0, 256, 256, 256, 192},
  {0, 0, 1000, 96, 128, 96},
};

GST_START_TEST (test_input_size)
{
  CiSessionOptions options = CI_SESSION_OPTIONS_INIT;
  gint width, height, padded_width, padded_height;
  CiSession *session;

  options.min_size = sizes[__i__].min_size;
  options.max_size = sizes[__i__].max_size;
  options.input_width = sizes[__i__].input_width;
  options.input_height = sizes[__i__].input_height;
  session = new_session (&options);
  fail_unless (configure (session, 640, 480, NULL));
  ci_session_get_input_size (session, &width, &height, &padded_width,
      &padded_height);
  fail_unless_equals_int (width, sizes[__i__].width);
  fail_unless_equals_int (height, sizes[__i__].height);
  fail_unless_equals_int (padded_width, (width + 31) / 32 * 32);
  fail_unless_equals_int (padded_height, (height + 31) / 32 * 32);
  ci_session_free (session);
}

GST_END_TEST;

GST_START_TEST (test_bad_options_are_refused)
{
  g_autoptr (CiModel) model = ci_model_load ("random:condinst-light", NULL);
  static const CiSessionOptions bad[] = {
    {.threads = -1}, {.min_size = -1}, {.min_size = G_MAXINT},
    {.input_width = 64}, {.input_width = 64, .input_height = 20000},
    {.max_detections = G_MAXINT},
  };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;

    fail_if (ci_session_new (model, &bad[i], &error));
    fail_unless (g_error_matches (error, CI_ERROR,
            CI_ERROR_INVALID_ARGUMENT));
  }
}

GST_END_TEST;

/* A format that cannot be had leaves the one before in use; formats may
 * return, more of them than are kept. */
GST_START_TEST (test_formats_follow_each_other)
{
  CiSessionOptions options = CI_SESSION_OPTIONS_INIT;
  CiSession *session;
  gint n_before;

  options.input_width = options.input_height = 64;
  session = new_session (&options);
  for (guint i = 0; i < sizeof (pixels); i++)
    pixels[i] = i * 2654435761u >> 24;
  fail_unless (configure (session, 64, 64, NULL));
  n_before = run (session, 64);
  for (gint side = 32; side < 96; side += 8) {
    g_autoptr (GError) error = NULL;

    fail_unless (configure (session, side, 64, NULL));
    run (session, side);
    fail_if (configure (session, 0, side, &error));
    fail_unless (strstr (error->message, "0x") != NULL);
    run (session, side);
  }
  fail_unless (configure (session, 64, 64, NULL));
  fail_unless_equals_int (run (session, 64), n_before);
  ci_session_free (session);
}

GST_END_TEST;

GST_START_TEST (test_misuse_gives_errors)
{
  CiSessionOptions options = CI_SESSION_OPTIONS_INIT;
  CiImage image = { {pixels}, {192} };
  const CiInstance *instances;
  CiInstance none = { 0 };
  guint8 mask[64 * 64];
  CiSession *session;
  gint n;

  options.input_width = options.input_height = 64;
  session = new_session (&options);
  fail_if (ci_session_run (session, &image, NULL, &instances, &n, NULL));
  fail_unless (configure (session, 64, 64, NULL));
  run (session, 64);
  /* without full_map there are no exact masks, without keep_tensors no dump */
  fail_if (ci_session_paste_mask (session, &none, 0.5f, mask, NULL));
  fail_if (ci_session_dump (session, "/nonexistent/dump", NULL));
  ci_session_free (session);

  options.full_map = options.keep_tensors = TRUE;
  session = new_session (&options);
  fail_unless (configure (session, 64, 64, NULL));
  /* nothing has run */
  fail_if (ci_session_paste_mask (session, &none, 0.5f, mask, NULL));
  fail_if (ci_session_dump (session, "/nonexistent/dump", NULL));
  ci_session_free (session);
}

GST_END_TEST;

static Suite *
session_suite (void)
{
  Suite *s = suite_create ("session");
  TCase *tc = tcase_create ("session");

  suite_add_tcase (s, tc);
  tcase_add_loop_test (tc, test_input_size, 0, G_N_ELEMENTS (sizes));
  tcase_add_test (tc, test_bad_options_are_refused);
  tcase_add_test (tc, test_formats_follow_each_other);
  tcase_add_test (tc, test_misuse_gives_errors);
  return s;
}

GST_CHECK_MAIN (session);
