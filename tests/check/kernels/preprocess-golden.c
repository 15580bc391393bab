/*
 * Pre-processing against the official code's images.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <json-glib/json-glib.h>
#include <math.h>
#include <png.h>

#include "preprocess.h"

static const CiPixelFormat rgb_formats[] = {
  CI_PIXEL_RGB, CI_PIXEL_BGR, CI_PIXEL_RGBA, CI_PIXEL_BGRA, CI_PIXEL_RGBX,
  CI_PIXEL_BGRX
};

/* A packed frame that shows @rgb. */
static void
frame_from_rgb (Frame * frame, CiPixelFormat f, const guint8 * rgb, gint width,
    gint height, gint padding)
{
  gint bytes = pixel_bytes (f);
  gboolean swap = f == CI_PIXEL_BGR || f == CI_PIXEL_BGRA
      || f == CI_PIXEL_BGRX;
  gint x, y, c;

  frame_init (frame, f, width, height, padding, 7);
  for (y = 0; y < height; y++)
    for (x = 0; x < width; x++)
      for (c = 0; c < 3; c++)
        frame->memory[0][(gsize) y * frame->image.strides[0] + x * bytes + c] =
            rgb[((gsize) y * width + x) * 3 + (swap ? 2 - c : c)];
}

static guint8 *
read_png (const gchar * path, gint * width, gint * height)
{
  png_image png = {.version = PNG_IMAGE_VERSION };
  guint8 *rgb;

  fail_unless (png_image_begin_read_from_file (&png, path), "%s: %s", path,
      png.message);
  png.format = PNG_FORMAT_RGB;
  rgb = g_malloc (PNG_IMAGE_SIZE (png));
  fail_unless (png_image_finish_read (&png, NULL, rgb, 0, NULL), "%s: %s",
      path, png.message);
  *width = png.width;
  *height = png.height;
  return rgb;
}

static JsonParser *
read_json (const gchar * path, const gchar * data, gssize n)
{
  JsonParser *parser = json_parser_new ();
  g_autoptr (GError) error = NULL;

  if (path)
    json_parser_load_from_file (parser, path, &error);
  else
    json_parser_load_from_data (parser, data, n, &error);
  fail_unless (error == NULL, "%s", error ? error->message : "");
  return parser;
}

static void
read_hw (JsonObject * object, const gchar * name, gint * h, gint * w)
{
  JsonArray *hw = json_object_get_array_member (object, name);

  *h = json_array_get_int_element (hw, 0);
  *w = json_array_get_int_element (hw, 1);
}

static const gchar *const golden_cases[] = {
  "blendmask_small", "boxinst_dcn_small", "condinst_bifpn_small",
  "condinst_r50_full", "condinst_rt_dla34_full", "condinst_small_a",
  "condinst_small_b", "condinst_small_b_topk", "fcos_rt_dla34_full",
  "fcos_small"
};

static gboolean
have_golden (void)
{
  if (g_file_test (SHARED_DIR "/golden", G_FILE_TEST_IS_DIR))
    return TRUE;
  g_print ("skipped: no " SHARED_DIR "/golden\n");
  return FALSE;
}

typedef void (*ImageFunc) (const gchar * png, JsonObject * image);

static void
foreach_image (ImageFunc func)
{
  for (guint k = 0; k < G_N_ELEMENTS (golden_cases); k++) {
    g_autofree gchar *path = g_strdup_printf ("%s/golden/%s/case.json",
        SHARED_DIR, golden_cases[k]);
    g_autoptr (JsonParser) parser = read_json (path, NULL, 0);
    JsonObject *root = json_node_get_object (json_parser_get_root (parser));
    JsonArray *images = json_object_get_array_member (root, "images");

    for (guint i = 0; i < json_array_get_length (images); i++) {
      g_autofree gchar *png = g_strdup_printf ("%s/golden/%s/img%u.png",
          SHARED_DIR, golden_cases[k], i);

      func (png, json_array_get_object_element (images, i));
    }
  }
}

static void
check_resize (const gchar * png, JsonObject * image)
{
  guint64 wanted = g_ascii_strtoull (json_object_get_string_member (image,
          "resized_fnv1a64"), NULL, 16);
  gint w, h, orig_w, orig_h, resized_w, resized_h;
  g_autofree guint8 *rgb = read_png (png, &w, &h);

  read_hw (image, "orig_hw", &orig_h, &orig_w);
  read_hw (image, "resized_hw", &resized_h, &resized_w);
  assert_equals_int (w, orig_w);
  assert_equals_int (h, orig_h);
  for (guint f = 0; f < G_N_ELEMENTS (rgb_formats); f++) {
    g_autofree guint8 *got = NULL;
    guint64 hash;
    Frame frame;

    frame_from_rgb (&frame, rgb_formats[f], rgb, w, h, f % 2 ? 13 : 0);
    got = run_exact (&frame, FALSE, resized_w, resized_h, NULL);
    hash = fnv1a64 (got, (gsize) resized_w * resized_h * 3);
    fail_unless (hash == wanted, "%s, format %d: hash %016"
        G_GINT64_MODIFIER "x, expected %016" G_GINT64_MODIFIER "x", png,
        rgb_formats[f], hash, wanted);
    frame_clear (&frame);
  }
}

/* Every image of every case, in every packed format, odd strides too. */
GST_START_TEST (test_golden_resize)
{
  if (have_golden ())
    foreach_image (check_resize);
}

GST_END_TEST;

static void
check_shortest_edge (const gchar * png, JsonObject * image)
{
  gint orig_w, orig_h, wanted_w, wanted_h, w, h;

  read_hw (image, "orig_hw", &orig_h, &orig_w);
  read_hw (image, "resized_hw", &wanted_h, &wanted_w);
  ci_resize_get_size (CI_SIZE_SHORTEST_EDGE, orig_w, orig_h,
      json_object_get_int_member (image, "min_size_test"),
      json_object_get_int_member (image, "max_size_test"), &w, &h);
  fail_unless (w == wanted_w && h == wanted_h, "%s: %d x %d", png, w, h);
}

GST_START_TEST (test_golden_shortest_edge)
{
  if (have_golden ())
    foreach_image (check_shortest_edge);
}

GST_END_TEST;

/* Every 9th row and 12th column of the network's input. */
GST_START_TEST (test_golden_input)
{
  const gchar *dir = SHARED_DIR "/golden/condinst_small_a";
  g_autofree gchar *png = g_strconcat (dir, "/img0.png", NULL);
  g_autofree gchar *tensors = g_strconcat (dir, "/img0.safetensors", NULL);
  g_autoptr (JsonParser) parser = NULL;
  g_autofree gchar *data = NULL;
  g_autofree guint8 *rgb = NULL;
  g_autofree gfloat *dst = NULL;
  CiPreprocessOptions options = {
    .padded_width = 320,.padded_height = 224,
    .mean = {103.53f, 116.28f, 123.675f},.std = {1, 1, 1},
  };
  gsize size, start, n = 3 * 224 * 320;
  JsonObject *input;
  CiPreprocess *pre;
  guint64 header;
  Frame frame;
  gint w, h, x, y, c;

  if (!have_golden ())
    return;
  fail_unless (g_file_get_contents (tensors, &data, &size, NULL));
  memcpy (&header, data, 8);
  header = GUINT64_FROM_LE (header);
  parser = read_json (NULL, data + 8, header);
  input = json_object_get_object_member (json_node_get_object
      (json_parser_get_root (parser)), "input.sub");
  start = json_array_get_int_element (json_object_get_array_member (input,
          "data_offsets"), 0) + 8 + header;
  fail_unless (start + 3 * 25 * 27 * 4 <= size);

  rgb = read_png (png, &w, &h);
  frame_from_rgb (&frame, CI_PIXEL_RGBX, rgb, w, h, 0);
  pre = new_preprocess (&frame, options, 299, 224);
  dst = g_new (gfloat, n);
  memset (dst, 0xff, n * sizeof (gfloat));
  ci_preprocess_run (pre, &frame.image, dst, NULL);
  for (c = 0; c < 3; c++) {
    for (y = 0; y < 25; y++) {
      for (x = 0; x < 27; x++) {
        gfloat got = dst[(c * 224 + y * 9) * 320 + x * 12], wanted;

        memcpy (&wanted, data + start + ((c * 25 + y) * 27 + x) * 4, 4);
        check (fabsf (got - wanted) <= 1e-4f, "channel %d at %d, %d is %g, "
            "expected %g", c, x * 12, y * 9, got, wanted);
      }
    }
  }
  ci_preprocess_free (pre);
  frame_clear (&frame);
}

GST_END_TEST;

static Suite *
preprocess_suite (void)
{
  Suite *s = suite_create ("preprocess-golden");
  TCase *tc = tcase_create ("general");

  tcase_set_timeout (tc, 300);
  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_golden_resize);
  tcase_add_test (tc, test_golden_shortest_edge);
  tcase_add_test (tc, test_golden_input);
  return s;
}

GST_CHECK_MAIN (preprocess);
