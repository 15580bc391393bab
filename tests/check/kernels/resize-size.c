/*
 * Sizes of resized frames by the rules of the official codes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gst/check/gstcheck.h>

#include "kernels.h"

typedef struct
{
  gint w, h, min, max, out_w, out_h;
} Case;

static void
check_cases (CiSizeRule rule, const Case * cases, guint n)
{
  for (guint i = 0; i < n; i++) {
    gint w, h;

    ci_resize_get_size (rule, cases[i].w, cases[i].h, cases[i].min,
        cases[i].max, &w, &h);
    fail_unless (w == cases[i].out_w && h == cases[i].out_h,
        "%d x %d: got %d x %d", cases[i].w, cases[i].h, w, h);
  }
}

GST_START_TEST (test_shortest_edge)
{
  static const Case cases[] = {
    {640, 480, 800, 1333, 1067, 800},   /* 1066.67 */
    {480, 640, 800, 1333, 800, 1067},
    {500, 500, 800, 1333, 800, 800},
    {1280, 720, 800, 1333, 1333, 750},  /* 1422.2 x 800 is too long */
    {1920, 1080, 800, 1333, 1333, 750}, /* 749.8 */
    {1280, 720, 288, 512, 512, 288},
    {1000, 200, 800, 1333, 1333, 267},  /* 266.6 */
    {97, 301, 800, 1333, 430, 1333},    /* 429.6 */
    {16384, 2, 800, 1333, 1333, 1},     /* 0.16 */
    {1, 16384, 800, 1333, 1, 1333},
    {1, 1, 800, 1333, 800, 800},
    {1280, 720, 720, 1280, 1280, 720},
    /* here the arithmetic decides */
    {88, 176, 800, 1333, 666, 1333}, {121, 946, 800, 1333, 170, 1333},
    {298, 596, 800, 1333, 667, 1333},
  };

  check_cases (CI_SIZE_SHORTEST_EDGE, cases, G_N_ELEMENTS (cases));
}

GST_END_TEST;

/* By mmcv's formula in Python. */
GST_START_TEST (test_keep_ratio)
{
  static const Case cases[] = {
    {640, 480, 800, 1333, 1067, 800}, {480, 640, 800, 1333, 800, 1067},
    {1280, 720, 800, 1333, 1333, 750}, {1280, 720, 448, 768, 768, 432},
    {1920, 1080, 512, 852, 852, 479}, {97, 301, 800, 1333, 430, 1333},
    {16384, 2, 800, 1333, 1333, 1},     /* 0 */
    {1, 1, 800, 1333, 800, 800},
    {88, 176, 800, 1333, 667, 1333}, {121, 946, 800, 1333, 171, 1333},
    {298, 596, 800, 1333, 666, 1333},
  };

  check_cases (CI_SIZE_KEEP_RATIO, cases, G_N_ELEMENTS (cases));
}

GST_END_TEST;

/* By the formula of torchvision and torch with numpy's float32; 237 x 283 is
 * what torchvision gave. */
GST_START_TEST (test_keep_ratio_floor)
{
  static const Case cases[] = {
    {640, 480, 800, 1333, 1066, 800}, {480, 640, 800, 1333, 800, 1066},
    {1280, 720, 800, 1333, 1333, 749}, {1280, 720, 448, 768, 768, 432},
    {237, 283, 800, 1333, 799, 955}, {427, 640, 800, 1333, 799, 1199},
    {97, 301, 800, 1333, 429, 1332}, {1000, 200, 800, 1333, 1333, 266},
    {16384, 2, 800, 1333, 1333, 1},     /* 0 */
    {1, 1, 800, 1333, 800, 800},
  };

  check_cases (CI_SIZE_KEEP_RATIO_FLOOR, cases, G_N_ELEMENTS (cases));
}

GST_END_TEST;

GST_START_TEST (test_fixed)
{
  static const Case cases[] = {
    {640, 480, 550, 550, 550, 550}, {1, 16384, 768, 1280, 1280, 768},
  };

  check_cases (CI_SIZE_FIXED, cases, G_N_ELEMENTS (cases));
}

GST_END_TEST;

static Suite *
resize_size_suite (void)
{
  Suite *s = suite_create ("resize-size");
  TCase *tc = tcase_create ("general");

  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_shortest_edge);
  tcase_add_test (tc, test_keep_ratio);
  tcase_add_test (tc, test_keep_ratio_floor);
  tcase_add_test (tc, test_fixed);
  return s;
}

GST_CHECK_MAIN (resize_size);
