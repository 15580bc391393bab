/*
 * Pre-processing as kernels do it, run as loops, against that of the CPU.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <stdlib.h>

#include "preprocess.h"
#include "preprocess_priv.h"

static const gint sizes[][4] = {
  {1, 1, 1, 1}, {1, 1, 7, 5}, {2, 1, 1, 3}, {1, 37, 4, 12}, {37, 1, 12, 4},
  {33, 17, 31, 19}, {64, 48, 64, 48}, {250, 100, 5, 2}, {321, 181, 129, 73},
  {320, 180, 128, 72}, {97, 61, 98, 60}, {5, 3, 101, 77}, {90, 60, 60, 40},
  /* more rows of the frame than a block holds at once: 48 */
  {2, 5000, 1, 1250}, {40, 640, 33, 90}, {2, 16384, 2, 1}, {16384, 2, 1333, 1}
};

/* A view with a border that nothing may touch. */
#define BORDER 3
#define GARBAGE 0xcd

typedef struct
{
  CiView view;
  guint8 *memory;
  gsize bytes;
} Input;

static void
input_init (Input * input, gint w, gint h, gboolean half)
{
  gint pitch = w + BORDER;
  gsize bytes = (gsize) pitch * h * CI_OCTET * (half ? 2 : 4);

  /* the last row ends with its last pixel */
  input->bytes = bytes - BORDER * CI_OCTET * (half ? 2 : 4);
  input->memory = aligned_alloc (16, input->bytes);
  memset (input->memory, GARBAGE, input->bytes);
  input->view = (CiView) {
  input->memory, h, w, 3, CI_OCTET, pitch, half, 0};
}

/* Channel c of pixel (y, x). */
static gfloat
input_get (const Input * input, gint y, gint x, gint c)
{
  gsize i = ((gsize) y * input->view.pitch + x) * CI_OCTET + c;
  CiHalf half;
  gfloat f;

  if (input->view.half) {
    memcpy (&half, input->memory + 2 * i, 2);
    return ci_half_to_float (half);
  }
  memcpy (&f, input->memory + 4 * i, 4);
  return f;
}

static gboolean
input_is_untouched (const Input * input, gint y, gint x)
{
  gsize bytes = CI_OCTET * (input->view.half ? 2 : 4);
  const guint8 *pixel = input->memory + ((gsize) y * input->view.pitch + x) *
      bytes;

  for (gsize i = 0; i < bytes; i++)
    if (pixel[i] != GARBAGE)
      return FALSE;
  return TRUE;
}

/* As a GPU would, but that threads take turns. */
static void
run_blocks (const CiPreprocessSettings * settings, const Input * input)
{
  CiPreprocessArgs args = { settings, input->view };
  CiPreprocessShared *shared = aligned_alloc (16, sizeof (*shared));
  gint gx = (input->view.w + CI_PREPROCESS_WIDTH - 1) / CI_PREPROCESS_WIDTH;
  gint gy = (input->view.h + CI_PREPROCESS_HEIGHT - 1) / CI_PREPROCESS_HEIGHT;

  for (gint b = 0; b < gx * gy; b++) {
    gint again = 1;

    memset (shared, GARBAGE, sizeof (*shared));
    for (gint phase = 0; again; phase++) {
      again = ci_preprocess_block (&args, shared, b % gx, b / gx, 0, 0, phase);
      for (gint t = 1; t < CI_PREPROCESS_THREADS; t++)
        check (ci_preprocess_block (&args, shared, b % gx, b / gx, 0, t,
                phase) == again, "threads disagree on phase %d", phase);
    }
  }
  free (shared);
}

/* @frame through both; @tolerance is of floats. */
static void
compare (const Frame * frame, CiPreprocessOptions options, gint w, gint h,
    gboolean half, gfloat tolerance)
{
  CiPreprocess *cpu = new_preprocess (frame, options, w, h), *device;
  gint padded_w = MAX (options.padded_width, w);
  gint padded_h = MAX (options.padded_height, h);
  gsize plane = (gsize) padded_w * padded_h;
  g_autofree gfloat *wanted = g_new (gfloat, 3 * plane);
  CiPreprocessSettings *settings;
  Input input;

  options.on_device = TRUE;
  device = new_preprocess (frame, options, w, h);
  fail_unless (ci_preprocess_get_resized (device) == NULL);
  settings = g_malloc (device->device.bytes);
  assert_equals_uint64 (ci_preprocess_device_fill (device, &frame->image, 0,
          settings), device->device.bytes);
  input_init (&input, padded_w, padded_h, half);
  run_blocks (settings, &input);
  ci_preprocess_run (cpu, &frame->image, wanted, NULL);

  for (gint y = 0; y < padded_h; y++) {
    for (gint x = 0; x < padded_w; x++) {
      for (gint c = 0; c < CI_OCTET; c++) {
        gfloat got = input_get (&input, y, x, c);
        gfloat value = c < 3 ? wanted[c * plane + (gsize) y * padded_w + x] : 0;

        if (half)
          value = ci_half_to_float (ci_float_to_half (value));
        check (fabsf (got - value) <= tolerance, "format %d, quality %d, "
            "%d x %d to %d x %d: channel %d at %d, %d is %g, expected %g",
            frame->format.pixel_format, options.quality, frame->format.width,
            frame->format.height, w, h, c, x, y, got, value);
      }
    }
    for (gint x = padded_w; x < padded_w + BORDER && y < padded_h - 1; x++)
      check (input_is_untouched (&input, y, x), "written at %d, %d", x, y);
  }
  free (input.memory);
  g_free (settings);
  ci_preprocess_free (device);
  ci_preprocess_free (cpu);
}

/* The same levels, in every format and size, whether words of four bytes are
 * aligned or not. */
GST_START_TEST (test_levels)
{
  for (gint f = CI_PIXEL_NV12; f <= CI_PIXEL_P010; f++) {
    for (guint s = 0; s < G_N_ELEMENTS (sizes); s++) {
      CiPreprocessOptions options = plain_options;
      Frame frame;

      frame_init (&frame, f, sizes[s][0], sizes[s][1],
          sizes[s][0] % 4 ? s % 3 : 0, s);
      frame.format.matrix = s % 3;
      frame.format.full_range = s % 2;
      options.rgb = s % 2;
      options.quality = __i__;
      compare (&frame, options, sizes[s][2], sizes[s][3], FALSE, 0);
      frame_clear (&frame);
    }
  }
}

GST_END_TEST;

/* Blends of the same samples in another order: a millionth of the range for
 * each of a few roundings. */
GST_START_TEST (test_fast)
{
  for (gint f = CI_PIXEL_NV12; f <= CI_PIXEL_P010; f++) {
    for (guint s = 0; s < G_N_ELEMENTS (sizes); s++) {
      CiPreprocessOptions options = plain_options;
      Frame frame;

      frame_init (&frame, f, sizes[s][0], sizes[s][1], s % 3, s);
      frame.format.matrix = s % 3;
      frame.format.full_range = s % 2;
      options.rgb = s % 2;
      options.quality = CI_RESIZE_FAST;
      compare (&frame, options, sizes[s][2], sizes[s][3], FALSE, 1e-3f);
      frame_clear (&frame);
    }
  }
}

GST_END_TEST;

/* Mean and std, zeros right and below that fill whole blocks and parts of
 * them, halves and floats. */
GST_START_TEST (test_normalise_and_pad)
{
  CiPreprocessOptions options = {
    .padded_width = 96,.padded_height = 32,
    .mean = {103.53f, 116.28f, 123.675f},.std = {57.375f, 57.12f, 58.395f}
  };
  gint half = __i__ % 2, f;

  options.quality = __i__ / 2;
  for (f = CI_PIXEL_NV12; f <= CI_PIXEL_P010; f++) {
    Frame frame;

    frame_init (&frame, f, 75, 41, 1, f);
    /* a half may be rounded the other way when its float differs */
    compare (&frame, options, 43, 13, half, options.quality != CI_RESIZE_FAST
        ? 0 : half ? 2e-3f : 2e-5f);
    frame_clear (&frame);
  }
}

GST_END_TEST;

/* A part of a frame, as regions of interest are. */
GST_START_TEST (test_region)
{
  CiPreprocessOptions opencv = plain_options;

  opencv.quality = CI_RESIZE_OPENCV;
  for (gint f = CI_PIXEL_NV12; f <= CI_PIXEL_P010; f++) {
    Frame frame, part;

    frame_init (&frame, f, 95, 67, 3, f);
    part = frame;
    part.format.width = 41;
    part.format.height = 33;
    ci_image_crop (&frame.format, &frame.image, 38, 22, &part.image);
    compare (&part, plain_options, 27, 40, FALSE, 0);
    compare (&part, opencv, 27, 40, FALSE, 0);
    frame_clear (&frame);
  }
}

GST_END_TEST;

/* Tables are written once; the next frame brings its planes only. */
GST_START_TEST (test_tables_stay)
{
  CiPreprocessOptions options = plain_options;
  CiPreprocess *pre, *other;
  CiPreprocessSettings *settings;
  Frame frame, next;
  Input a, b;

  options.on_device = TRUE;
  frame_init (&frame, CI_PIXEL_NV12, 64, 48, 0, 1);
  frame_init (&next, CI_PIXEL_NV12, 64, 48, 5, 1);
  pre = new_preprocess (&frame, options, 32, 24);
  other = new_preprocess (&frame, options, 32, 24);
  fail_unless (pre->device.settings->tables != 0);
  fail_unless (pre->device.settings->tables !=
      other->device.settings->tables);

  settings = g_malloc0 (pre->device.bytes);
  ci_preprocess_device_fill (pre, &frame.image, 0, settings);
  input_init (&a, 32, 24, FALSE);
  run_blocks (settings, &a);
  for (gint y = 0; y < 48; y++)
    memcpy (next.memory[0] + y * 69, frame.memory[0] + y * 64, 64);
  for (gint y = 0; y < 24; y++)
    memcpy (next.memory[1] + y * 69, frame.memory[1] + y * 64, 64);
  assert_equals_uint64 (ci_preprocess_device_fill (pre, &next.image,
          settings->tables, settings), sizeof (*settings));
  input_init (&b, 32, 24, FALSE);
  run_blocks (settings, &b);
  fail_unless (memcmp (a.memory, b.memory, a.bytes) == 0);
  assert_equals_uint64 (ci_preprocess_device_fill (other, &next.image,
          settings->tables, settings), other->device.bytes);

  free (a.memory);
  free (b.memory);
  g_free (settings);
  ci_preprocess_free (pre);
  ci_preprocess_free (other);
  frame_clear (&frame);
  frame_clear (&next);
}

GST_END_TEST;

static Suite *
preprocess_suite (void)
{
  Suite *s = suite_create ("preprocess-cuda");
  TCase *tc = tcase_create ("general");

  tcase_set_timeout (tc, 300);
  suite_add_tcase (s, tc);
  tcase_add_loop_test (tc, test_levels, CI_RESIZE_EXACT, CI_RESIZE_EXACT + 1);
  tcase_add_loop_test (tc, test_levels, CI_RESIZE_OPENCV, CI_RESIZE_OPENCV + 1);
  tcase_add_test (tc, test_fast);
  tcase_add_loop_test (tc, test_normalise_and_pad, 0, 6);
  tcase_add_test (tc, test_region);
  tcase_add_test (tc, test_tables_stay);
  return s;
}

GST_CHECK_MAIN (preprocess);
