/*
 * inputs.c: the input of each network of the zoo against what the official code
 * made of the same picture.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gst/check/gstcheck.h>
#include <math.h>

#include "compare.h"
#include "tools/condinst/picture.h"

#define ZOO SHARED_DIR "/golden/zoo/"
#define NO_LIMIT G_MAXINT

typedef struct
{
  gboolean rgb;
  gfloat mean[3], std[3];
} Normalisation;

static const Normalisation detectron2 = {
  FALSE, {103.53f, 116.28f, 123.675f}, {1, 1, 1}
};
static const Normalisation torchvision = {
  TRUE, {0.485f * 255, 0.456f * 255, 0.406f * 255},
  {0.229f * 255, 0.224f * 255, 0.225f * 255}
};
static const Normalisation mmdetection = {
  TRUE, {123.675f, 116.28f, 103.53f}, {58.395f, 57.12f, 57.375f}
};
static const Normalisation polarmask = {
  FALSE, {102.9801f, 115.9465f, 122.7717f}, {1, 1, 1}
};
static const Normalisation instancefcn = {
  FALSE, {103.939f, 116.779f, 123.68f}, {1, 1, 1}
};
static const Normalisation yolact = {
  TRUE, {123.68f, 116.78f, 103.94f}, {58.4f, 57.12f, 57.38f}
};
static const Normalisation darknet = { TRUE, {0}, {255, 255, 255} };

static const struct
{
  const gchar *file, *input;
  CiResizeQuality quality;
  CiSizeRule rule;
  gint min_size, max_size, divisor;
  const Normalisation *normalisation;
} cases[] = {
  {"yolact/yolact_resnet50", "input", CI_RESIZE_FAST, CI_SIZE_FIXED, 550, 550,
      1, &yolact},
  {"yolact/yolact_darknet53", "input", CI_RESIZE_FAST, CI_SIZE_FIXED, 550, 550,
      1, &darknet},
  {"maskrcnn_torchvision/maskrcnn_resnet50_fpn", "input", CI_RESIZE_FAST,
      CI_SIZE_KEEP_RATIO_FLOOR, 800, 1333, 32, &torchvision},
  {"maskrcnn_d2/mask_rcnn_R_50_FPN", "input", CI_RESIZE_EXACT,
      CI_SIZE_SHORTEST_EDGE, 800, 1333, 32, &detectron2},
  {"pointrend/pointrend_rcnn_R_50_FPN", "input", CI_RESIZE_EXACT,
      CI_SIZE_SHORTEST_EDGE, 800, 1333, 32, &detectron2},
  {"centermask/centermask_lite_V_39_eSE_FPN", "input", CI_RESIZE_EXACT,
      CI_SIZE_SHORTEST_EDGE, 600, 1000, 32, &detectron2},
  {"centermask/centermask_V_39_eSE_FPN", "input", CI_RESIZE_EXACT,
      CI_SIZE_SHORTEST_EDGE, 800, 1333, 32, &detectron2},
  {"solo/solo_r50_fpn", "input", CI_RESIZE_OPENCV, CI_SIZE_KEEP_RATIO, 288,
      416, 32, &mmdetection},
  {"solo/decoupled_solo_light_r50_fpn", "input", CI_RESIZE_OPENCV,
      CI_SIZE_KEEP_RATIO, 512, 852, 32, &mmdetection},
  {"solo/solov2_light_448_r18_fpn", "input", CI_RESIZE_OPENCV,
      CI_SIZE_KEEP_RATIO, 448, 768, 32, &mmdetection},
  {"rdsnet/rdsnet_refine_r50_fpn", "input", CI_RESIZE_OPENCV,
      CI_SIZE_KEEP_RATIO, 800, 1333, 32, &mmdetection},
  {"polarmask/polar_768_1x_r50", "input", CI_RESIZE_OPENCV, CI_SIZE_FIXED, 768,
      1280, 32, &polarmask},
  {"instancefcn/instancefcn_vgg16", "input.0", CI_RESIZE_OPENCV,
      CI_SIZE_KEEP_RATIO, 180, NO_LIMIT, 1, &instancefcn},
  {"instancefcn/instancefcn_vgg16", "input.1", CI_RESIZE_OPENCV,
      CI_SIZE_KEEP_RATIO, 270, NO_LIMIT, 1, &instancefcn},
};

static CiTensor
get_part (const CiSafetensors * golden, const gchar * input,
    const gchar * part)
{
  g_autofree gchar *name = g_strconcat (input, part, NULL);

  return golden_get (golden, name);
}

static gint
round_up (gint n, gint divisor)
{
  return (n + divisor - 1) / divisor * divisor;
}

/* @dst: a new 3 x *height x *width input of case @i. */
static gfloat *
preprocess (guint i, const CiPicture * picture, gint * width, gint * height)
{
  const Normalisation *n = cases[i].normalisation;
  CiImageFormat format = {
    CI_PIXEL_RGB,.width = picture->width,.height = picture->height
  };
  CiPreprocessOptions options = {
    .quality = cases[i].quality,.rgb = n->rgb
  };
  CiImage image = { {picture->rgb}, {picture->width * 3} };
  g_autoptr (GError) error = NULL;
  CiPreprocess *pre;
  gfloat *dst;

  memcpy (options.mean, n->mean, sizeof (n->mean));
  memcpy (options.std, n->std, sizeof (n->std));
  ci_resize_get_size (cases[i].rule, picture->width, picture->height,
      cases[i].min_size, cases[i].max_size, &options.resized_width,
      &options.resized_height);
  *width = options.padded_width =
      round_up (options.resized_width, cases[i].divisor);
  *height = options.padded_height =
      round_up (options.resized_height, cases[i].divisor);
  pre = ci_preprocess_new (&format, &options, &error);
  fail_unless (pre != NULL, "%s", error ? error->message : "");
  dst = g_new (gfloat, 3 * (gsize) *width * *height);
  ci_preprocess_run (pre, &image, dst, NULL);
  ci_preprocess_free (pre);
  return dst;
}

static void
compare (guint i, gchar letter)
{
  g_autofree gchar *path = g_strdup_printf (ZOO "%s.%c.safetensors",
      cases[i].file, letter);
  g_autofree gchar *png = g_strdup_printf (ZOO "images/%c.png", letter);
  CiSafetensors *golden = golden_open (path);
  CiTensor index = get_part (golden, cases[i].input, ".idx");
  const gint64 *shape = get_part (golden, cases[i].input, ".shape").data;
  const gfloat *stats = get_part (golden, cases[i].input, ".stats").data;
  const gfloat *value = get_part (golden, cases[i].input, ".val").data;
  const gfloat most = MAX (fabsf (stats[2]), fabsf (stats[3]));
  /* nothing but the last float rounding differs */
  const gfloat limit = most * 5e-7f;
  g_autoptr (GError) error = NULL;
  g_autofree gfloat *input = NULL;
  gdouble sum = 0, absolute = 0;
  CiPicture picture = { 0 };
  gint width, height;
  gsize n;

  fail_unless (ci_picture_load (&picture, png, &error), "%s",
      error ? error->message : "");
  input = preprocess (i, &picture, &width, &height);
  ci_picture_clear (&picture);
  fail_unless (shape[1] == 3 && shape[2] == height && shape[3] == width,
      "%s: %d x %d, expected %d x %d", path, width, height, (gint) shape[3],
      (gint) shape[2]);
  for (gint64 k = 0; k < index.dims[0]; k++) {
    gint64 at = ((const gint64 *) index.data)[k];

    fail_unless (fabsf (input[at] - value[k]) <= limit,
        "%s: value %d is %.9g, expected %.9g", path, (gint) at, input[at],
        value[k]);
  }
  /* what samples do not show */
  n = 3 * (gsize) width * height;
  for (gsize k = 0; k < n; k++) {
    sum += input[k];
    absolute += fabsf (input[k]);
  }
  fail_unless (fabs (sum / n - stats[0]) <= most * 1e-6
      && fabs (absolute / n - stats[4]) <= most * 1e-6,
      "%s: means %.9g and %.9g, expected %.9g and %.9g", path, sum / n,
      absolute / n, stats[0], stats[4]);
  ci_safetensors_free (golden);
}

GST_START_TEST (test_input)
{
  if (!g_file_test (ZOO "images", G_FILE_TEST_IS_DIR)) {
    g_print ("skipped: no " ZOO "\n");
    return;
  }
  compare (__i__, 'a');
  compare (__i__, 'b');
}

GST_END_TEST;

static Suite *
inputs_suite (void)
{
  Suite *s = suite_create ("inputs");
  TCase *tc = tcase_create ("general");

  tcase_set_timeout (tc, 120);
  suite_add_tcase (s, tc);
  tcase_add_loop_test (tc, test_input, 0, G_N_ELEMENTS (cases));
  return s;
}

GST_CHECK_MAIN (inputs);
