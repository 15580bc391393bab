/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "checkpoint_helpers.h"

#include <string.h>

void
check_refused (gconstpointer data, gsize size, CiError code,
    const gchar * wanted)
{
  GError *error = NULL;

  fail_if (ci_checkpoint_parse (data, size, "test", &error),
      "accepted instead of \"%s\"", wanted);
  fail_unless (g_str_has_prefix (error->message, "test: "), "%s",
      error->message);
  check_error (error, code, wanted);
}

CiCheckpoint *
check_accepted (gconstpointer data, gsize size)
{
  GError *error = NULL;
  CiCheckpoint *checkpoint = ci_checkpoint_parse (data, size, "test", &error);

  fail_unless (checkpoint, "%s", error ? error->message : "no error set");
  return checkpoint;
}

void
append_uint (GByteArray * bytes, guint64 value, gint width)
{
  value = GUINT64_TO_LE (value);
  g_byte_array_append (bytes, (const guint8 *) &value, width);
}

/* What local header and directory have in common */
static void
append_common (GByteArray * bytes, const ZipItem * item, gboolean zip64,
    gint extra_size)
{
  append_uint (bytes, zip64 ? 45 : 20, 2);      /* version needed */
  append_uint (bytes, 0, 2);    /* flags */
  append_uint (bytes, 0, 2);    /* method */
  append_uint (bytes, 0, 4);    /* time and date */
  append_uint (bytes, 0, 4);    /* checksum */
  append_uint (bytes, zip64 ? G_MAXUINT32 : item->size, 4);
  append_uint (bytes, zip64 ? G_MAXUINT32 : item->size, 4);
  append_uint (bytes, strlen (item->name), 2);
  append_uint (bytes, zip64 ? extra_size : 0, 2);
}

static void
append_name (GByteArray * bytes, const ZipItem * item)
{
  g_byte_array_append (bytes, (const guint8 *) item->name,
      strlen (item->name));
}

static void
append_local (GByteArray * bytes, ZipItem * item, gboolean zip64)
{
  item->local = bytes->len;
  append_uint (bytes, 0x04034b50, 4);
  append_common (bytes, item, zip64, 20);
  append_name (bytes, item);
  if (zip64) {
    append_uint (bytes, 1, 2);
    append_uint (bytes, 16, 2);
    append_uint (bytes, item->size, 8);
    append_uint (bytes, item->size, 8);
  }
  if (item->size)
    g_byte_array_append (bytes, item->data, item->size);
}

static void
append_central (GByteArray * bytes, ZipItem * item, gboolean zip64)
{
  item->central = bytes->len;
  append_uint (bytes, 0x02014b50, 4);
  append_uint (bytes, 0, 2);    /* made by */
  append_common (bytes, item, zip64, 28);
  append_uint (bytes, 0, 2);    /* comment */
  append_uint (bytes, 0, 8);    /* disk and attributes */
  append_uint (bytes, zip64 ? G_MAXUINT32 : item->local, 4);
  append_name (bytes, item);
  if (zip64) {
    append_uint (bytes, 1, 2);
    append_uint (bytes, 24, 2);
    append_uint (bytes, item->size, 8);
    append_uint (bytes, item->size, 8);
    append_uint (bytes, item->local, 8);
  }
}

void
zip_build (Zip * zip, ZipItem * items, guint n, gboolean zip64)
{
  GByteArray *bytes = zip->bytes = g_byte_array_new ();
  gsize size;

  for (guint i = 0; i < n; i++)
    append_local (bytes, &items[i], zip64);
  zip->directory = bytes->len;
  for (guint i = 0; i < n; i++)
    append_central (bytes, &items[i], zip64);
  size = bytes->len - zip->directory;
  if (zip64) {
    zip->end64 = bytes->len;
    append_uint (bytes, 0x06064b50, 4);
    append_uint (bytes, 44, 8);
    append_uint (bytes, 45 | 45 << 16, 4);
    append_uint (bytes, 0, 8);  /* disks */
    append_uint (bytes, n, 8);
    append_uint (bytes, n, 8);
    append_uint (bytes, size, 8);
    append_uint (bytes, zip->directory, 8);
    zip->locator = bytes->len;
    append_uint (bytes, 0x07064b50, 4);
    append_uint (bytes, 0, 4);
    append_uint (bytes, zip->end64, 8);
    append_uint (bytes, 1, 4);
  }
  zip->end = bytes->len;
  append_uint (bytes, 0x06054b50, 4);
  append_uint (bytes, 0, 4);    /* disks */
  append_uint (bytes, zip64 ? G_MAXUINT16 : n, 2);
  append_uint (bytes, zip64 ? G_MAXUINT16 : n, 2);
  append_uint (bytes, zip64 ? G_MAXUINT32 : size, 4);
  append_uint (bytes, zip64 ? G_MAXUINT32 : zip->directory, 4);
  append_uint (bytes, 0, 2);    /* comment */
}

GByteArray *
zip_torch (gconstpointer pickle, gsize pickle_size, gsize size)
{
  g_autofree guint8 *storage = g_malloc (size + 1);
  ZipItem items[] = { {"a/data.pkl", pickle, pickle_size},
  {"a/data/0", storage, size}
  };
  Zip zip = { 0 };

  for (gsize i = 0; i < size; i++)
    storage[i] = i;
  zip_build (&zip, items, G_N_ELEMENTS (items), FALSE);
  return zip.bytes;
}
