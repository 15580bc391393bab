/*
 * picture.c: reading and writing of pictures, and of archives of them
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <glib/gstdio.h>
#include <gst/check/gstcheck.h>
#include <string.h>

#include "../../../tools/condinst/picture.h"
#include "kernels.h"

static gchar *folder;

static void
setup (void)
{
  folder = g_dir_make_tmp ("condinst-XXXXXX", NULL);
  fail_unless (folder != NULL);
}

static void
teardown (void)
{
  GDir *dir = g_dir_open (folder, 0, NULL);
  const gchar *name;

  while ((name = g_dir_read_name (dir))) {
    g_autofree gchar *path = g_build_filename (folder, name, NULL);
    g_remove (path);
  }
  g_dir_close (dir);
  g_rmdir (folder);
  g_clear_pointer (&folder, g_free);
}

/* The path of @name in the folder of this test. */
static gchar *
in_folder (const gchar * name)
{
  return g_build_filename (folder, name, NULL);
}

static void
save (const CiPicture * picture, const gchar * path)
{
  g_autoptr (GError) error = NULL;

  fail_unless (ci_picture_save (picture, path, &error), "%s",
      error ? error->message : "");
}

static CiPicture
load (const gchar * path)
{
  g_autoptr (GError) error = NULL;
  CiPicture picture;

  fail_unless (ci_picture_load (&picture, path, &error), "%s",
      error ? error->message : "");
  return picture;
}

/* Red in the left, blue in the right half, the lower half darker. */
static CiPicture
make_picture (gint width, gint height)
{
  CiPicture picture = { width, height, g_malloc0 (width * height * 3) };
  gint x, y;

  for (y = 0; y < height; y++) {
    for (x = 0; x < width; x++)
      picture.rgb[(y * width + x) * 3 + (x < width / 2 ? 0 : 2)] =
          y < height / 2 ? 240 : 120;
  }
  return picture;
}

/* 'R' and 'B' for bright, 'r' and 'b' for dark red and blue. */
static gchar
colour_at (const CiPicture * picture, gdouble u, gdouble v)
{
  const guint8 *p = picture->rgb + 3 * ((gint) (v * picture->height)
      * picture->width + (gint) (u * picture->width));

  if (p[0] > p[2])
    return p[0] > 180 ? 'R' : 'r';
  return p[2] > 180 ? 'B' : 'b';
}

GST_START_TEST (test_png_is_lossless)
{
  g_autofree gchar *path = in_folder ("x.png");
  CiPicture picture = make_picture (37, 21), back;

  picture.rgb[5] = 77;
  save (&picture, path);
  back = load (path);
  fail_unless_equals_int (back.width, 37);
  fail_unless_equals_int (back.height, 21);
  fail_unless (memcmp (picture.rgb, back.rgb, 37 * 21 * 3) == 0);
  ci_picture_clear (&picture);
  ci_picture_clear (&back);
  fail_unless (back.rgb == NULL);
}

GST_END_TEST;

GST_START_TEST (test_jpeg_by_suffix)
{
  const gchar *names[] = { "x.jpg", "x.JPEG" };
  CiPicture picture = make_picture (64, 48), back;
  guint i;

  for (i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree gchar *path = in_folder (names[i]), *data = NULL;

    save (&picture, path);
    fail_unless (g_file_get_contents (path, &data, NULL, NULL));
    fail_unless (memcmp (data, "\xff\xd8\xff", 3) == 0);
    back = load (path);
    fail_unless_equals_int (back.width, 64);
    fail_unless_equals_int (back.height, 48);
    fail_unless (colour_at (&back, 0.2, 0.2) == 'R');
    fail_unless (colour_at (&back, 0.8, 0.2) == 'B');
    fail_unless (colour_at (&back, 0.2, 0.8) == 'r');
    fail_unless (colour_at (&back, 0.8, 0.8) == 'b');
    ci_picture_clear (&back);
  }
  ci_picture_clear (&picture);
}

GST_END_TEST;

/* A camera's note of how it was held is obeyed, in both byte orders. */
GST_START_TEST (test_orientation)
{
  /* Colours of the corners, row by row, for the orientations 1 to 8 */
  const gchar *expected[] = { "RBrb", "BRbr", "brBR", "rbRB", "RrBb", "rRbB",
    "bBrR", "BbRr"
  };
  g_autofree gchar *path = in_folder ("x.jpg"), *data = NULL;
  CiPicture picture = make_picture (64, 48), back;
  gsize size;
  guint i, little;

  save (&picture, path);
  fail_unless (g_file_get_contents (path, &data, &size, NULL));
  for (i = 0; i < 16; i++) {
    g_autoptr (GByteArray) file = g_byte_array_new ();
    guint8 exif[] = "\xff\xe1\0\42Exif\0\0MM\0\52\0\0\0\10\0\1"
        "\1\22\0\3\0\0\0\1\0\0\0\0\0\0\0";
    gchar corners[5];

    little = i / 8;
    if (little) {
      memcpy (exif + 10, "II\52\0\10\0\0\0\1\0\22\1\3\0\1\0\0\0\0\0\0\0\0\0\0",
          26);
      exif[28] = i % 8 + 1;
    } else {
      exif[29] = i % 8 + 1;
    }
    g_byte_array_append (file, (guint8 *) data, 2);
    g_byte_array_append (file, exif, 36);
    g_byte_array_append (file, (guint8 *) data + 2, size - 2);
    fail_unless (ci_picture_decode (&back, file->data, file->len, "x", NULL));
    fail_unless_equals_int (back.width, i % 8 < 4 ? 64 : 48);
    fail_unless_equals_int (back.height, i % 8 < 4 ? 48 : 64);
    g_snprintf (corners, sizeof (corners), "%c%c%c%c",
        colour_at (&back, 0.2, 0.2), colour_at (&back, 0.8, 0.2),
        colour_at (&back, 0.2, 0.8), colour_at (&back, 0.8, 0.8));
    fail_unless_equals_string (corners, expected[i % 8]);
    ci_picture_clear (&back);
  }
  ci_picture_clear (&picture);
}

GST_END_TEST;

GST_START_TEST (test_damaged_files)
{
  const gchar *names[] = { "x.jpg", "x.png" };
  CiPicture picture = make_picture (64, 48), back;
  GError *error = NULL;
  guint i, part;

  for (i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree gchar *path = in_folder (names[i]), *data = NULL;
    gsize size;

    save (&picture, path);
    fail_unless (g_file_get_contents (path, &data, &size, NULL));
    for (part = 0; part < 10; part++) {
      fail_if (ci_picture_decode (&back, (guint8 *) data, size * part / 10,
              names[i], &error));
      fail_unless (g_error_matches (error, CI_ERROR, CI_ERROR_BAD_FORMAT));
      fail_unless (strstr (error->message, names[i]) != NULL);
      fail_unless (back.rgb == NULL);
      g_clear_error (&error);
    }
  }
  fail_if (ci_picture_decode (&back, (guint8 *) "GIF89a", 6, "x.gif",
          &error));
  fail_unless (strstr (error->message, "x.gif: neither a JPEG nor a PNG")
      != NULL);
  g_clear_error (&error);
  fail_if (ci_picture_load (&back, "/nonexistent/x.png", &error));
  fail_unless (g_error_matches (error, CI_ERROR, CI_ERROR_IO));
  g_clear_error (&error);
  fail_if (ci_picture_save (&picture, "/nonexistent/x.png", &error));
  g_clear_error (&error);
  fail_if (ci_picture_save (&picture, "/nonexistent/x.jpg", &error));
  g_clear_error (&error);
  ci_picture_clear (&picture);
}

GST_END_TEST;

/* ---- stores ------------------------------------------------------------ */

static void
append_member (GByteArray * tar, const gchar * prefix, const gchar * name,
    gconstpointer data, gsize size)
{
  gchar block[512] = { 0, };

  g_strlcpy (block, name, 100);
  g_snprintf (block + 124, 12, "%011o", (guint) size);
  block[156] = '0';
  memcpy (block + 257, "ustar\0" "00", 8);
  g_strlcpy (block + 345, prefix, 155);
  g_byte_array_append (tar, (guint8 *) block, 512);
  g_byte_array_append (tar, data, size);
  memset (block, 0, 512);
  if (size % 512)
    g_byte_array_append (tar, (guint8 *) block, 512 - size % 512);
}

GST_START_TEST (test_store)
{
  g_autoptr (CiPictureStore) store = ci_picture_store_new (folder);
  g_autoptr (GByteArray) tar = g_byte_array_new ();
  g_autofree gchar *png = in_folder ("plain.png"), *data = NULL;
  g_autofree gchar *archive = in_folder ("a.tar");
  CiPicture picture = make_picture (8, 6), back;
  GError *error = NULL;
  gsize size;

  save (&picture, png);
  fail_unless (g_file_get_contents (png, &data, &size, NULL));
  append_member (tar, "", "text.txt", "hello", 5);
  append_member (tar, "", "b/one.png", data, size);
  append_member (tar, "some/folder", "two.png", data, size);
  g_byte_array_set_size (tar, tar->len + 1024);
  memset (tar->data + tar->len - 1024, 0, 1024);
  fail_unless (g_file_set_contents (archive, (gchar *) tar->data, tar->len,
          NULL));

  /* A plain file, with and without an archive where it might be. */
  fail_unless (ci_picture_store_load (store, "plain.png", NULL, &back, NULL));
  ci_picture_clear (&back);
  fail_unless (ci_picture_store_load (store, "plain.png", "no.tar", &back,
          NULL));
  ci_picture_clear (&back);
  /* Members; the archive's own folder may be missing. */
  fail_unless (ci_picture_store_load (store, "b/one.png", "a.tar", &back,
          NULL));
  fail_unless (memcmp (back.rgb, picture.rgb, 8 * 6 * 3) == 0);
  ci_picture_clear (&back);
  fail_unless (ci_picture_store_load (store, "some/folder/two.png",
          "images/a.tar", &back, NULL));
  ci_picture_clear (&back);

  fail_if (ci_picture_store_load (store, "three.png", "a.tar", &back, &error));
  fail_unless (strstr (error->message, "three.png") != NULL);
  fail_unless (strstr (error->message, "a.tar") != NULL);
  g_clear_error (&error);
  fail_if (ci_picture_store_load (store, "text.txt", "a.tar", &back, &error));
  g_clear_error (&error);
  fail_if (ci_picture_store_load (store, "x.png", "no.tar", &back, &error));
  fail_unless (strstr (error->message, "no.tar") != NULL);
  g_clear_error (&error);
  fail_if (ci_picture_store_load (store, "x.png", NULL, &back, &error));
  g_clear_error (&error);
  ci_picture_clear (&picture);
}

GST_END_TEST;

GST_START_TEST (test_damaged_archives)
{
  const gsize sizes[] = { 512 + 3, 512, 511 * 2 };
  g_autofree gchar *archive = in_folder ("a.tar");
  guint i;

  for (i = 0; i < 4; i++) {
    g_autoptr (CiPictureStore) store = ci_picture_store_new (folder);
    g_autoptr (GByteArray) tar = g_byte_array_new ();
    g_autoptr (GError) error = NULL;
    CiPicture back;

    append_member (tar, "", "x.png", "abcdefgh", 8);
    append_member (tar, "", "y.png", "abcdefgh", 8);
    if (i == 3)                 /* no such size in this file */
      memcpy (tar->data + 124, "77777777777", 11);
    fail_unless (g_file_set_contents (archive, (gchar *) tar->data,
            i < 3 ? sizes[i] : tar->len, NULL));
    fail_if (ci_picture_store_load (store, "y.png", "a.tar", &back, &error));
    fail_unless (strstr (error->message, "a.tar") != NULL);
  }
}

GST_END_TEST;

static Suite *
picture_suite (void)
{
  Suite *suite = suite_create ("picture");
  TCase *tcase = tcase_create ("general");

  suite_add_tcase (suite, tcase);
  tcase_add_checked_fixture (tcase, setup, teardown);
  tcase_add_test (tcase, test_png_is_lossless);
  tcase_add_test (tcase, test_jpeg_by_suffix);
  tcase_add_test (tcase, test_orientation);
  tcase_add_test (tcase, test_damaged_files);
  tcase_add_test (tcase, test_store);
  tcase_add_test (tcase, test_damaged_archives);
  return suite;
}

GST_CHECK_MAIN (picture);
