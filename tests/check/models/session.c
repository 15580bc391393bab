/*
 * session.c: sizes, formats and misuse of CiSession.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gst/check/gstcheck.h>
#include <gmodule.h>
#include <glib/gstdio.h>
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
    {.max_detections = G_MAXINT}, {.max_in_flight = -1},
    {.max_in_flight = 1000}, {.backend = CI_BACKEND_CUDA},
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

/* The planes of a frame of @width x @height in `pixels`. */
static CiImage
planes_of (CiPixelFormat format, gint width, gint height)
{
  gint chroma = (width + 1) / 2, luma_size = width * height;
  CiImage image = { {pixels}, {width} };

  if (format == CI_PIXEL_RGB) {
    image.strides[0] = 3 * width;
  } else if (format == CI_PIXEL_NV12) {
    image.planes[1] = pixels + luma_size;
    image.strides[1] = 2 * chroma;
  } else if (format == CI_PIXEL_I420) {
    image.planes[1] = pixels + luma_size;
    image.planes[2] = image.planes[1] + chroma * ((height + 1) / 2);
    image.strides[1] = image.strides[2] = chroma;
  } else if (format == CI_PIXEL_P010) {
    image.planes[1] = pixels + 2 * luma_size;
    image.strides[0] = 2 * width;
    image.strides[1] = 4 * chroma;
  }
  return image;
}

static const CiPixelFormat region_formats[] = {
  CI_PIXEL_RGB, CI_PIXEL_NV12, CI_PIXEL_I420, CI_PIXEL_GRAY8, CI_PIXEL_P010
};

/* What is found in a region is what is found in a frame that ends where the
 * region does, moved by its corner. */
GST_START_TEST (test_region_is_like_a_frame_of_its_own)
{
  const CiRegion region = { 40, 22, 150, 98 };
  CiPixelFormat pixel_format = region_formats[__i__];
  CiImageFormat whole = { pixel_format, 241, 163 };
  CiImageFormat part = { pixel_format, region.width, region.height };
  CiImage image = planes_of (pixel_format, whole.width, whole.height);
  CiSessionOptions options = CI_SESSION_OPTIONS_INIT;
  const CiInstance *a, *b;
  gint n_a, n_b, padded_width, padded_height, width, height;
  CiSession *in_frame, *alone;
  CiDetectParams params;
  CiImage cropped;

  for (guint i = 0; i < sizeof (pixels); i++)
    pixels[i] = (i / 50 % 3) * 80 + i % 41;
  options.input_width = 128;
  options.input_height = 160;
  options.for_regions = TRUE;
  in_frame = new_session (&options);
  alone = new_session (&options);
  fail_unless (ci_session_configure (in_frame, &whole, NULL));
  fail_unless (ci_session_configure (alone, &part, NULL));
  ci_session_get_input_size (in_frame, &width, &height, &padded_width,
      &padded_height);
  fail_unless_equals_int (padded_width, 128);
  fail_unless_equals_int (padded_height, 160);

  ci_session_get_detect_params (alone, &params);
  params.inference_threshold = 0;
  fail_unless (ci_session_run_region (in_frame, &image, &region, &params, &a,
          &n_a, NULL));
  ci_image_crop (&whole, &image, region.x, region.y, &cropped);
  fail_unless (ci_session_run (alone, &cropped, &params, &b, &n_b, NULL));
  fail_unless (n_a > 0);
  fail_unless_equals_int (n_a, n_b);
  for (gint i = 0; i < n_a; i++) {
    fail_unless_equals_int (a[i].class_id, b[i].class_id);
    fail_unless_equals_float (a[i].score, b[i].score);
    fail_unless (ABS (a[i].x0 - b[i].x0 - region.x) < 1e-4f);
    fail_unless (ABS (a[i].y1 - b[i].y1 - region.y) < 1e-4f);
    fail_unless (ABS (a[i].offset_x - b[i].offset_x - region.x) < 1e-4f);
    fail_unless (ABS (a[i].offset_y - b[i].offset_y - region.y) < 1e-4f);
    fail_unless_equals_float (a[i].scale_x, b[i].scale_x);
    fail_unless_equals_int (a[i].grid_width, b[i].grid_width);
    fail_unless (memcmp (a[i].grid, b[i].grid,
            a[i].grid_width * a[i].grid_height) == 0);
  }
  ci_session_free (in_frame);
  ci_session_free (alone);
}

GST_END_TEST;

GST_START_TEST (test_region_at_the_edge)
{
  CiSessionOptions options = CI_SESSION_OPTIONS_INIT;
  CiImage image = planes_of (CI_PIXEL_NV12, 101, 75);
  CiImageFormat format = { CI_PIXEL_NV12, 101, 75 };
  static const CiRegion partly[] = {
    {-20, -10, 50, 50}, {100, 74, 1, 1}, {33, 11, 1, 1}, {0, 0, 101, 75},
    {-5, 40, G_MAXINT, G_MAXINT},
  };
  static const CiRegion outside[] = {
    {101, 0, 10, 10}, {0, -5, 10, 5}, {5, 5, 0, 10}, {5, 5, 10, -1},
    {G_MAXINT, G_MAXINT, G_MAXINT, G_MAXINT},
  };
  CiSession *session;
  const CiInstance *found;
  gint n;

  options.input_width = options.input_height = 64;
  session = new_session (&options);
  fail_unless (ci_session_configure (session, &format, NULL));
  for (guint i = 0; i < G_N_ELEMENTS (partly); i++) {
    fail_unless (ci_session_run_region (session, &image, &partly[i], NULL,
            &found, &n, NULL));
    for (gint k = 0; k < n; k++)
      fail_unless (found[k].x0 >= 0 && found[k].x1 <= 101 && found[k].y0 >= 0
          && found[k].y1 <= 75 && found[k].x0 < found[k].x1);
  }
  for (guint i = 0; i < G_N_ELEMENTS (outside); i++) {
    g_autoptr (GError) error = NULL;

    fail_if (ci_session_run_region (session, &image, &outside[i], NULL,
            &found, &n, &error));
    fail_unless (g_error_matches (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT));
  }
  ci_session_free (session);
}

GST_END_TEST;

/* In two halves it is the same; the CPU has one frame in flight at most. */
GST_START_TEST (test_submit_and_collect)
{
  CiSessionOptions options = CI_SESSION_OPTIONS_INIT;
  CiImage image = planes_of (CI_PIXEL_RGB, 101, 75);
  CiImageFormat format = { CI_PIXEL_RGB, 101, 75 };
  const CiRegion region = { 10, 10, 60, 50 };
  const CiInstance *found;
  CiInstance earlier;
  CiDetectParams params;
  CiSession *session;
  gint n, n_whole;

  for (guint i = 0; i < sizeof (pixels); i++)
    pixels[i] = i * 2654435761u >> 24;
  options.input_width = options.input_height = 64;
  options.max_in_flight = 4;
  session = new_session (&options);
  fail_if (ci_session_submit (session, &image, NULL, NULL, NULL));
  fail_unless (ci_session_configure (session, &format, NULL));
  fail_if (ci_session_collect (session, &found, &n, NULL));
  ci_session_get_detect_params (session, &params);
  params.inference_threshold = 0;
  fail_unless (ci_session_run (session, &image, &params, &found, &n_whole,
          NULL));
  fail_unless (n_whole > 0);
  earlier = found[0];

  fail_unless_equals_int (ci_session_get_in_flight (session), 0);
  fail_unless (ci_session_submit (session, &image, NULL, &params, NULL));
  fail_unless_equals_int (ci_session_get_in_flight (session), 1);
  /* what would need it to be over */
  fail_if (ci_session_submit (session, &image, &region, &params, NULL));
  fail_if (ci_session_run (session, &image, &params, &found, &n, NULL));
  fail_if (ci_session_configure (session, &format, NULL));
  fail_unless_equals_int (ci_session_get_in_flight (session), 1);
  fail_unless (ci_session_collect (session, &found, &n, NULL));
  fail_unless_equals_int (n, n_whole);
  fail_unless (found[0].x0 == earlier.x0 && found[0].y1 == earlier.y1
      && found[0].score == earlier.score);
  fail_unless_equals_int (ci_session_get_in_flight (session), 0);
  fail_unless (ci_session_configure (session, &format, NULL));

  /* one is left when it goes */
  fail_unless (ci_session_submit (session, &image, &region, &params, NULL));
  ci_session_free (session);
}

GST_END_TEST;

/* Frames in flight keep the place that they were taken from, whatever is
 * submitted after them; in batches, of which the last may not be full, the
 * same is found. */
GST_START_TEST (test_regions_in_flight)
{
  static const CiRegion regions[] = {
    {40, 22, 150, 98}, {0, 0, 150, 98}, {100, 60, 90, 90}
  };
  g_autoptr (CiDevice) device = ci_device_open (-1, NULL, NULL);
  CiImage image = planes_of (CI_PIXEL_NV12, 241, 163);
  CiImageFormat format = { CI_PIXEL_NV12, 241, 163 };
  CiSessionOptions options = CI_SESSION_OPTIONS_INIT;
  CiInstance alone[4][5];
  gint n_alone[4], n;
  const CiInstance *found;
  CiDetectParams params;
  CiSession *session;

  if (!device) {
    g_print ("test_regions_in_flight: skipped, there is no GPU\n");
    return;
  }
  for (guint i = 0; i < sizeof (pixels); i++)
    pixels[i] = (i / 50 % 3) * 80 + i % 41;
  options.device = device;
  options.input_width = options.input_height = 64;
  options.for_regions = TRUE;
  options.max_detections = 5;
  options.max_in_flight = 4;
  options.batch = __i__;
  session = new_session (&options);
  fail_unless (ci_session_configure (session, &format, NULL));
  ci_session_get_detect_params (session, &params);
  params.inference_threshold = 0;
  for (guint i = 0; i < 4; i++) {
    fail_unless (ci_session_run_region (session, &image,
            i < 3 ? &regions[i] : NULL, &params, &found, &n_alone[i], NULL));
    fail_unless (n_alone[i] > 0);
    memcpy (alone[i], found, n_alone[i] * sizeof (CiInstance));
  }
  for (guint i = 0; i < 4; i++)
    fail_unless (ci_session_submit (session, &image,
            i < 3 ? &regions[i] : NULL, &params, NULL));
  fail_if (ci_session_submit (session, &image, NULL, &params, NULL));
  for (guint i = 0; i < 4; i++) {
    fail_unless (ci_session_collect (session, &found, &n, NULL));
    fail_unless_equals_int (n, n_alone[i]);
    for (gint k = 0; k < n; k++)
      fail_unless (found[k].x0 == alone[i][k].x0
          && found[k].y0 == alone[i][k].y0 && found[k].x1 == alone[i][k].x1
          && found[k].score == alone[i][k].score
          && found[k].offset_x == alone[i][k].offset_x
          && found[k].scale_y == alone[i][k].scale_y);
  }
  ci_session_free (session);
}

GST_END_TEST;

/* What a frame launches is what a small GPU waits for. */
GST_START_TEST (test_kernels_of_a_frame)
{
  const gchar *path = g_getenv ("GST_CONDINST_CUDA_MODULE");
  GModule *module = path ? g_module_open (path, G_MODULE_BIND_LAZY) : NULL;
  g_autoptr (CiModel) model = ci_model_load ("random:condinst-r50", NULL);
  g_autoptr (CiDevice) device = NULL;
  CiSessionOptions options = CI_SESSION_OPTIONS_INIT;
  CiImageFormat format = { CI_PIXEL_RGB, 64, 64 };
  CiImage image = { {pixels}, {192} };
  const CiInstance *found;
  int (*count) (void);
  CiSession *session;
  gint n;

  if (!module || !g_module_symbol (module, "fakecuda_graph_kernels",
          (gpointer *) & count)) {
    g_print ("test_kernels_of_a_frame: skipped, it needs the fake GPU\n");
    g_clear_pointer (&module, g_module_close);
    return;
  }
  device = ci_device_open (-1, NULL, NULL);
  options.device = device;
  options.precision = CI_PRECISION_FP16;
  options.input_width = options.input_height = 128;
  session = ci_session_new (model, &options, NULL);
  fail_unless (ci_session_configure (session, &format, NULL));
  fail_unless (ci_session_run (session, &image, NULL, &found, &n, NULL));
  fail_unless (count () > 60 && count () <= 120, "%d kernels", count ());
  ci_session_free (session);
  g_module_close (module);
}

GST_END_TEST;

/* A session of @model for 64x64 pixels that has run once. */
static CiSession *
run_once (const gchar * spec, CiSessionOptions options,
    const CiInstance ** instances, gint * n)
{
  g_autoptr (CiModel) model = ci_model_load (spec, NULL);
  CiImageFormat format = { CI_PIXEL_RGB, 64, 64 };
  CiImage image = { {pixels}, {192} };
  CiDetectParams params;
  CiSession *session;

  for (guint i = 0; i < sizeof (pixels); i++)
    pixels[i] = i * 2654435761u >> 24;
  options.input_width = options.input_height = 128;
  session = ci_session_new (model, &options, NULL);
  fail_unless (ci_session_configure (session, &format, NULL));
  ci_session_get_detect_params (session, &params);
  params.inference_threshold = 0.001f;
  fail_unless (ci_session_run (session, &image, &params, instances, n, NULL));
  fail_unless (*n > 0);
  return session;
}

/* Boxes alone: no grids, no masks, none in a dump either. */
GST_START_TEST (test_boxes_without_masks)
{
  g_autofree gchar *dir = g_dir_make_tmp ("session-XXXXXX", NULL);
  g_autofree gchar *path = g_build_filename (dir, "dump", NULL);
  g_autoptr (GError) error = NULL;
  const CiInstance *instances;
  guint8 mask[64 * 64];
  CiSafetensors *dump;
  CiTensor tensor;
  gint n;
  CiSession *session = run_once ("random:fcos-rt-dla34", (CiSessionOptions) {
        CI_BACKEND_CPU,.full_map = TRUE,.keep_tensors = TRUE}, &instances, &n);

  for (gint i = 0; i < n; i++)
    fail_if (instances[i].grid);
  fail_if (ci_session_paste_mask (session, &instances[0], 0.5f, mask, &error));
  fail_unless (g_error_matches (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT));
  fail_unless (ci_session_dump (session, path, NULL));
  dump = ci_safetensors_open (path, NULL);
  fail_unless (ci_safetensors_lookup (dump, "det.boxes", &tensor));
  fail_unless_equals_int64 (tensor.dims[0], n);
  fail_unless (ci_safetensors_lookup (dump, "feat.level3", &tensor));
  for (const gchar * const *name = ci_safetensors_get_names (dump); *name;
      name++)
    fail_if (g_str_has_prefix (*name, "mask"), "%s", *name);
  ci_safetensors_free (dump);
  ci_session_free (session);
  g_unlink (path);
  g_rmdir (dir);
}

GST_END_TEST;

/* BlendMask's grids cover their boxes, and exact masks need no whole map. */
GST_START_TEST (test_masks_in_boxes)
{
  const CiInstance *instances;
  guint8 mask[64 * 64];
  gint n;
  CiSession *session = run_once ("random:blendmask-dla34",
      (CiSessionOptions) CI_SESSION_OPTIONS_INIT, &instances, &n);

  for (gint i = 0; i < n; i++) {
    const CiInstance *in = &instances[i];
    gint inside = 0, agree = 0;

    fail_unless_equals_int (in->grid_width, 56);
    fail_unless_equals_int (in->grid_height, 56);
    fail_unless (in->offset_x == in->x0 && in->offset_y == in->y0);
    fail_unless (ABS (in->scale_x * 56 - (in->x1 - in->x0)) < 1e-4f
        && ABS (in->scale_y * 56 - (in->y1 - in->y0)) < 1e-4f);
    fail_unless (ci_session_paste_mask (session, in, 0.5f, mask, NULL));
    /* the grid says about what the exact mask says */
    for (gint y = 0; y < 64; y++)
      for (gint x = 0; x < 64; x++) {
        gint u = (x + 0.5f - in->offset_x) / in->scale_x;
        gint v = (y + 0.5f - in->offset_y) / in->scale_y;

        if (x + 0.5f < in->x0 + 1 || x + 0.5f >= in->x1 - 1
            || y + 0.5f < in->y0 + 1 || y + 0.5f >= in->y1 - 1)
          continue;
        inside++;
        agree += mask[64 * y + x] == (in->grid[56 * v + u] >= 128);
      }
    fail_unless (agree >= 0.9 * inside, "instance %d: %d of %d pixels", i,
        agree, inside);
  }
  ci_session_free (session);
}

GST_END_TEST;

/* What a method leaves users to choose, and nothing else. */
GST_START_TEST (test_choices)
{
  static const struct
  {
    const gchar *model;
    CiSessionOptions options;
    const gchar *words[3];      /* of the complaint; none: works */
  } cases[] = {
    {"random:condinst-light", {.nms = CI_NMS_GREEDY}},
    {"random:condinst-light", {.nms = CI_NMS_FAST},
        {"nms fast", "CondInst", "greedy"}},
    {"random:condinst-light", {.mask_resolution = 56},
        {"mask-resolution 56", "CondInst", "network"}},
    {"random:solov2-light-448-r18", {.nms = CI_NMS_MATRIX}},
    {"random:solov2-light-448-r18", {.nms = CI_NMS_GREEDY},
        {"nms greedy", "SOLOv2", "matrix"}},
    {"random:yolact-r50", {.nms = CI_NMS_FAST_CROSS_CLASS}},
    {"random:yolact-r50", {.nms = CI_NMS_MATRIX},
        {"nms matrix", "YOLACT", "greedy, fast, fast-cross-class"}},
    {"random:pointrend-r50", {.mask_resolution = 100},
        {"mask-resolution 100", "PointRend", "28, 56, 112, 224, 448, 896"}},
  };
  g_autoptr (CiModel) model = ci_model_load (cases[__i__].model, NULL);
  g_autoptr (GError) error = NULL;
  CiSession *session = ci_session_new (model, &cases[__i__].options, &error);
  CiDetectParams params;

  if (cases[__i__].words[0]) {
    fail_if (session);
    fail_unless (g_error_matches (error, CI_ERROR,
            CI_ERROR_INVALID_ARGUMENT));
    for (guint i = 0; i < G_N_ELEMENTS (cases[__i__].words); i++)
      fail_unless (strstr (error->message, cases[__i__].words[i]), "%s",
          error->message);
    return;
  }
  fail_unless (session, "%s", error ? error->message : "");
  ci_session_get_detect_params (session, &params);
  fail_unless_equals_int (params.nms, cases[__i__].options.nms);
  ci_session_free (session);
}

GST_END_TEST;

/* More subdivision does not change the masks but on their edges. */
GST_START_TEST (test_mask_resolution)
{
  static const gint sides[] = { 56, 0 };
  gint inside[G_N_ELEMENTS (sides)] = { 0 };

  for (guint i = 0; i < G_N_ELEMENTS (sides); i++) {
    const CiInstance *instances;
    gint n, side = sides[i] ? sides[i] : 224;
    CiSession *session = run_once ("random:pointrend-r50", (CiSessionOptions) {
          CI_BACKEND_CPU,.mask_resolution = sides[i],.max_detections = 1},
        &instances, &n);

    fail_unless_equals_int (instances->grid_width, side);
    fail_unless_equals_int (instances->grid_height, side);
    for (gint k = 0; k < side * side; k++)
      inside[i] += instances->grid[k] >= 128;
    inside[i] = inside[i] * (448 / side) * (448 / side);
    ci_session_free (session);
  }
  for (guint i = 1; i < G_N_ELEMENTS (sides); i++)
    fail_unless (ABS (inside[i] - inside[0]) <= 448 * 448 / 10,
        "%d and %d of %d cells", inside[0], inside[i], 448 * 448);
}

GST_END_TEST;

static Suite *
session_suite (void)
{
  Suite *s = suite_create ("session");
  TCase *tc = tcase_create ("session");

  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_submit_and_collect);
  tcase_add_loop_test (tc, test_regions_in_flight, 1, 5);
  tcase_add_test (tc, test_kernels_of_a_frame);
  /* the others run on the CPU alone */
  if (g_getenv ("GST_CONDINST_CUDA_MODULE"))
    return s;
  tcase_add_loop_test (tc, test_input_size, 0, G_N_ELEMENTS (sizes));
  tcase_add_test (tc, test_bad_options_are_refused);
  tcase_add_test (tc, test_formats_follow_each_other);
  tcase_add_test (tc, test_misuse_gives_errors);
  tcase_add_test (tc, test_boxes_without_masks);
  tcase_add_test (tc, test_masks_in_boxes);
  tcase_add_loop_test (tc, test_choices, 0, 8);
  tcase_add_test (tc, test_mask_resolution);
  tcase_add_loop_test (tc, test_region_is_like_a_frame_of_its_own, 0,
      G_N_ELEMENTS (region_formats));
  tcase_add_test (tc, test_region_at_the_edge);
  return s;
}

GST_CHECK_MAIN (session);
