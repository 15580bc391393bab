/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "picture.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>
#include <png.h>

#include "kernels.h"

#define JPEG_QUALITY 92

void
ci_picture_clear (CiPicture * picture)
{
  g_free (picture->rgb);
  memset (picture, 0, sizeof (*picture));
}

static gboolean
picture_alloc (CiPicture * picture, guint width, guint height, guint channels,
    gchar * message, gsize message_size)
{
  if (width == 0 || height == 0 || width > CI_PICTURE_MAX_SIDE
      || height > CI_PICTURE_MAX_SIDE
      || (gsize) width * height > CI_PICTURE_MAX_PIXELS) {
    g_snprintf (message, message_size, "%ux%u pixels are too many", width,
        height);
    return FALSE;
  }
  picture->width = width;
  picture->height = height;
  picture->rgb = g_try_malloc ((gsize) width * height * channels);
  if (!picture->rgb)
    g_snprintf (message, message_size, "no memory for %ux%u pixels", width,
        height);
  return picture->rgb != NULL;
}

/* ---- orientation ------------------------------------------------------- */

static guint
read_uint (const guint8 * data, guint n, gboolean little)
{
  guint i, value = 0;

  for (i = 0; i < n; i++)
    value = value << 8 | data[little ? n - 1 - i : i];
  return value;
}

/* The tag Orientation of an Exif block: 1 to 8, 1 being upright. */
static guint
exif_orientation (const guint8 * data, gsize size)
{
  const guint8 *tiff = data + 6;
  gboolean little;
  guint i, n, value;
  gsize at;

  if (size < 6 + 8 || memcmp (data, "Exif\0\0", 6) != 0)
    return 1;
  size -= 6;
  little = tiff[0] == 'I';
  at = read_uint (tiff + 4, 4, little);
  if (at > size - 2)
    return 1;
  n = read_uint (tiff + at, 2, little);
  for (i = 0, at += 2; i < n && at + 12 <= size; i++, at += 12) {
    if (read_uint (tiff + at, 2, little) == 0x0112) {
      value = read_uint (tiff + at + 8, 2, little);
      return value >= 1 && value <= 8 ? value : 1;
    }
  }
  return 1;
}

static void
picture_orient (CiPicture * picture, guint orientation)
{
  /* Where the upright picture's first row and column start and lead to. */
  gboolean transpose = orientation >= 5;
  gboolean flip_x = orientation == 2 || orientation == 3 || orientation == 7
      || orientation == 8;
  gboolean flip_y = orientation == 3 || orientation == 4 || orientation == 6
      || orientation == 7;
  gint w = picture->width, h = picture->height, x, y;
  gint out_w = transpose ? h : w, out_h = transpose ? w : h;
  guint8 *out, *dst;

  if (orientation == 1)
    return;
  dst = out = g_malloc ((gsize) w * h * 3);
  for (y = 0; y < out_h; y++) {
    for (x = 0; x < out_w; x++, dst += 3) {
      gint sx = transpose ? y : x, sy = transpose ? x : y;

      sx = flip_x ? w - 1 - sx : sx;
      sy = flip_y ? h - 1 - sy : sy;
      memcpy (dst, picture->rgb + ((gsize) sy * w + sx) * 3, 3);
    }
  }
  g_free (picture->rgb);
  picture->rgb = out;
  picture->width = out_w;
  picture->height = out_h;
}

/* ---- JPEG -------------------------------------------------------------- */

typedef struct
{
  struct jpeg_error_mgr base;
  jmp_buf jump;
  gchar message[JMSG_LENGTH_MAX];
} JpegErrors;

static void
jpeg_fail (j_common_ptr info)
{
  JpegErrors *errors = (JpegErrors *) info->err;

  info->err->format_message (info, errors->message);
  longjmp (errors->jump, 1);
}

/* Warnings tell of harmless oddities, but for one: the file ended early. */
static void
jpeg_warn (j_common_ptr info, int level)
{
  if (level < 0 && info->err->msg_code == JWRN_JPEG_EOF)
    jpeg_fail (info);
}

/* In place: 4 samples a pixel to 3. Adobe's programs store them inverted. */
static void
cmyk_to_rgb (CiPicture * picture, gboolean inverted)
{
  gsize n = (gsize) picture->width * picture->height, i;
  guint8 flip = inverted ? 0 : 255;
  guint c;

  for (i = 0; i < n; i++) {
    const guint8 *src = picture->rgb + 4 * i;
    guint black = src[3] ^ flip;

    for (c = 0; c < 3; c++)
      picture->rgb[3 * i + c] = ((src[c] ^ flip) * black + 127) / 255;
  }
}

/* All that must survive a longjmp() lives in the caller. */
static gboolean
jpeg_decode (struct jpeg_decompress_struct *info, JpegErrors * errors,
    CiPicture * picture, const guint8 * data, gsize size)
{
  gboolean cmyk;

  info->err = jpeg_std_error (&errors->base);
  errors->base.error_exit = jpeg_fail;
  errors->base.emit_message = jpeg_warn;
  if (setjmp (errors->jump))
    return FALSE;

  jpeg_create_decompress (info);
  jpeg_mem_src (info, (guchar *) data, size);
  jpeg_save_markers (info, JPEG_APP0 + 1, 0xffff);
  jpeg_read_header (info, TRUE);
  cmyk = info->num_components == 4;
  info->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
  if (!picture_alloc (picture, info->image_width, info->image_height,
          cmyk ? 4 : 3, errors->message, sizeof (errors->message)))
    return FALSE;

  jpeg_start_decompress (info);
  while (info->output_scanline < info->output_height) {
    JSAMPROW row = picture->rgb + (gsize) info->output_scanline
        * info->output_width * info->output_components;
    jpeg_read_scanlines (info, &row, 1);
  }

  if (cmyk)
    cmyk_to_rgb (picture, info->saw_Adobe_marker);
  if (info->marker_list)
    picture_orient (picture, exif_orientation (info->marker_list->data,
            info->marker_list->data_length));
  jpeg_finish_decompress (info);        /* frees the markers */
  return TRUE;
}

static gboolean
jpeg_encode (struct jpeg_compress_struct *info, JpegErrors * errors,
    const CiPicture * picture, guchar ** data, gulong * size)
{
  info->err = jpeg_std_error (&errors->base);
  errors->base.error_exit = jpeg_fail;
  if (setjmp (errors->jump))
    return FALSE;

  jpeg_create_compress (info);
  jpeg_mem_dest (info, data, size);
  info->image_width = picture->width;
  info->image_height = picture->height;
  info->input_components = 3;
  info->in_color_space = JCS_RGB;
  jpeg_set_defaults (info);
  jpeg_set_quality (info, JPEG_QUALITY, TRUE);
  jpeg_start_compress (info, TRUE);
  while (info->next_scanline < info->image_height) {
    JSAMPROW row = picture->rgb + (gsize) info->next_scanline
        * picture->width * 3;
    jpeg_write_scanlines (info, &row, 1);
  }
  jpeg_finish_compress (info);
  return TRUE;
}

/* ---- PNG --------------------------------------------------------------- */

static gboolean
png_decode (CiPicture * picture, const guint8 * data, gsize size,
    gchar * message, gsize message_size)
{
  png_image image = {.version = PNG_IMAGE_VERSION };
  gsize n, i;

  if (!png_image_begin_read_from_memory (&image, data, size))
    goto fail;
  /* Read with alpha, which is then dropped: without, it would be blended. */
  image.format = PNG_FORMAT_RGBA;
  if (!picture_alloc (picture, image.width, image.height, 4, message,
          message_size)) {
    png_image_free (&image);
    return FALSE;
  }
  if (!png_image_finish_read (&image, NULL, picture->rgb, 0, NULL))
    goto fail;
  n = (gsize) image.width * image.height;
  for (i = 0; i < n; i++)
    memmove (picture->rgb + 3 * i, picture->rgb + 4 * i, 3);
  return TRUE;

fail:
  g_strlcpy (message, image.message, message_size);
  png_image_free (&image);
  return FALSE;
}

/* ---- files ------------------------------------------------------------- */

gboolean
ci_picture_decode (CiPicture * picture, const guint8 * data, gsize size,
    const gchar * name, GError ** error)
{
  g_autofree JpegErrors *errors = g_new0 (JpegErrors, 1);
  gboolean ok = FALSE;

  memset (picture, 0, sizeof (*picture));
  if (size >= 3 && memcmp (data, "\xff\xd8\xff", 3) == 0) {
    struct jpeg_decompress_struct info = { 0, };

    ok = jpeg_decode (&info, errors, picture, data, size);
    jpeg_destroy_decompress (&info);
  } else if (size >= 8 && memcmp (data, "\x89PNG\r\n\x1a\n", 8) == 0) {
    ok = png_decode (picture, data, size, errors->message,
        sizeof (errors->message));
  } else {
    g_strlcpy (errors->message, "neither a JPEG nor a PNG file",
        sizeof (errors->message));
  }
  if (!ok) {
    ci_picture_clear (picture);
    g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT, "%s: %s", name,
        errors->message);
  }
  return ok;
}

static GMappedFile *
map_file (const gchar * path, GError ** error)
{
  GError *local = NULL;
  GMappedFile *file = g_mapped_file_new (path, FALSE, &local);

  if (!file) {
    g_set_error_literal (error, CI_ERROR, CI_ERROR_IO, local->message);
    g_error_free (local);
  }
  return file;
}

gboolean
ci_picture_load (CiPicture * picture, const gchar * path, GError ** error)
{
  g_autoptr (GMappedFile) file = map_file (path, error);

  memset (picture, 0, sizeof (*picture));
  return file && ci_picture_decode (picture,
      (const guint8 *) g_mapped_file_get_contents (file),
      g_mapped_file_get_length (file), path, error);
}

static gboolean
is_jpeg_name (const gchar * path)
{
  const gchar *dot = strrchr (path, '.');

  return dot && (g_ascii_strcasecmp (dot, ".jpg") == 0
      || g_ascii_strcasecmp (dot, ".jpeg") == 0);
}

gboolean
ci_picture_save (const CiPicture * picture, const gchar * path,
    GError ** error)
{
  if (is_jpeg_name (path)) {
    g_autofree JpegErrors *errors = g_new0 (JpegErrors, 1);
    struct jpeg_compress_struct info = { 0, };
    guchar *data = NULL;
    gulong size = 0;
    GError *local = NULL;
    gboolean ok = jpeg_encode (&info, errors, picture, &data, &size);

    jpeg_destroy_compress (&info);
    if (!ok) {
      g_set_error (error, CI_ERROR, CI_ERROR_IO, "%s: %s", path,
          errors->message);
    } else if (!g_file_set_contents (path, (gchar *) data, size, &local)) {
      g_set_error_literal (error, CI_ERROR, CI_ERROR_IO, local->message);
      g_error_free (local);
      ok = FALSE;
    }
    free (data);
    return ok;
  } else {
    png_image image = {.version = PNG_IMAGE_VERSION,
      .width = picture->width,.height = picture->height,
      .format = PNG_FORMAT_RGB
    };

    if (!png_image_write_to_file (&image, path, 0, picture->rgb, 0, NULL)) {
      g_set_error (error, CI_ERROR, CI_ERROR_IO, "%s: %s", path,
          image.message);
      return FALSE;
    }
    return TRUE;
  }
}

/* ---- stores ------------------------------------------------------------ */

typedef struct
{
  GMappedFile *file;
  GHashTable *members;          /* name -> offset of its header */
} Archive;

struct _CiPictureStore
{
  gchar *dir;
  GHashTable *archives;         /* name -> Archive */
};

#define TAR_BLOCK 512

static void
archive_free (gpointer data)
{
  Archive *archive = data;

  g_hash_table_unref (archive->members);
  g_mapped_file_unref (archive->file);
  g_free (archive);
}

static guint64
tar_member_size (const gchar * header)
{
  gchar digits[13] = { 0, };

  memcpy (digits, header + 124, 12);
  return g_ascii_strtoull (digits, NULL, 8);
}

/* A ustar archive: blocks of 512 bytes, each member a header (name at 0, size
 * in octal at 124, type at 156, "ustar" at 257, folder at 345) and its data. */
static Archive *
archive_open (const gchar * path, GError ** error)
{
  GMappedFile *file = map_file (path, error);
  const gchar *data;
  Archive *archive;
  gsize size, at;

  if (!file)
    return NULL;
  archive = g_new0 (Archive, 1);
  archive->file = file;
  archive->members = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
      NULL);
  data = g_mapped_file_get_contents (file);
  size = g_mapped_file_get_length (file);
  for (at = 0; at + TAR_BLOCK <= size && data[at] != '\0';) {
    const gchar *header = data + at;
    guint64 n = tar_member_size (header);

    if (memcmp (header + 257, "ustar", 5) != 0 || n > size - at - TAR_BLOCK) {
      g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
          "%s: not a whole tar archive: damaged at byte %" G_GSIZE_FORMAT,
          path, at);
      archive_free (archive);
      return NULL;
    }
    if (header[156] == '0' || header[156] == '\0') {
      gboolean prefix = header[345] != '\0' && header[262] == '\0';

      g_hash_table_insert (archive->members,
          g_strdup_printf ("%.155s%s%.100s", prefix ? header + 345 : "",
              prefix ? "/" : "", header), GSIZE_TO_POINTER (at + TAR_BLOCK));
    }
    at += TAR_BLOCK + (n + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
  }
  return archive;
}

CiPictureStore *
ci_picture_store_new (const gchar * dir)
{
  CiPictureStore *store = g_new0 (CiPictureStore, 1);

  store->dir = g_strdup (dir);
  store->archives = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
      archive_free);
  return store;
}

void
ci_picture_store_free (CiPictureStore * store)
{
  if (!store)
    return;
  g_hash_table_unref (store->archives);
  g_free (store->dir);
  g_free (store);
}

gboolean
ci_picture_store_load (CiPictureStore * store, const gchar * file_name,
    const gchar * tar, CiPicture * picture, GError ** error)
{
  g_autofree gchar *path = g_build_filename (store->dir, file_name, NULL);
  g_autofree gchar *name = NULL;
  Archive *archive;
  const gchar *data;
  gsize at;

  if (!tar || g_file_test (path, G_FILE_TEST_EXISTS))
    return ci_picture_load (picture, path, error);

  memset (picture, 0, sizeof (*picture));
  archive = g_hash_table_lookup (store->archives, tar);
  if (!archive) {
    g_autofree gchar *base = g_path_get_basename (tar);
    g_autofree gchar *tar_path = g_build_filename (store->dir, tar, NULL);

    if (!g_file_test (tar_path, G_FILE_TEST_EXISTS)) {
      g_free (tar_path);
      tar_path = g_build_filename (store->dir, base, NULL);
    }
    archive = archive_open (tar_path, error);
    if (!archive) {
      g_prefix_error (error, "%s not found, and ", path);
      return FALSE;
    }
    g_hash_table_insert (store->archives, g_strdup (tar), archive);
  }

  at = GPOINTER_TO_SIZE (g_hash_table_lookup (archive->members, file_name));
  if (at == 0) {
    g_set_error (error, CI_ERROR, CI_ERROR_IO,
        "%s: neither in %s nor in its archive %s", file_name, store->dir, tar);
    return FALSE;
  }
  data = g_mapped_file_get_contents (archive->file);
  name = g_strdup_printf ("%s/%s", tar, file_name);
  return ci_picture_decode (picture, (const guint8 *) data + at,
      tar_member_size (data + at - TAR_BLOCK), name, error);
}
