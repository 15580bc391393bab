/*
 * Zip archives of stored entries (PKWARE's APPNOTE.TXT 6.3), with ZIP64.
 *
 * Checksums are not verified: torch does not, either, and can be told to write
 * wrong ones (torch.serialization.set_crc32_options); reading everything twice
 * would also cost a third of the time to the first frame.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "zip.h"

#include <string.h>

#include "tensors.h"

/* An R-101 with its optimizer has 2000. */
#define MAX_ENTRIES 100000

#define LOCAL_SIZE 30
#define CENTRAL_SIZE 46
#define END_SIZE 22
#define END64_SIZE 56
#define LOCATOR64_SIZE 20

#define FLAG_ENCRYPTED 1
#define FLAG_DESCRIPTOR 8       /* sizes follow the data */

typedef struct
{
  const guint8 *data;
  guint64 size;
  guint64 n_entries, directory_begin, directory_end;
  GError **error;
} Zip;

static guint64
get (const guint8 * bytes, gint width)
{
  guint64 value = 0;

  for (gint i = width - 1; i >= 0; i--)
    value = value << 8 | bytes[i];
  return value;
}

static gboolean G_GNUC_PRINTF (3, 4)
fail (Zip * zip, CiError code, const gchar * format, ...)
{
  g_autofree gchar *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (zip->error, CI_ERROR, code, "zip archive: %s", text);
  return FALSE;
}

/* ---- end of the directory --------------------------------------------- */

static const guint8 *
find_end (const Zip * zip)
{
  guint64 least = zip->size > END_SIZE + 65535 ?
      zip->size - END_SIZE - 65535 : 0;

  if (zip->size >= END_SIZE)
    for (guint64 pos = zip->size - END_SIZE + 1; pos-- > least;) {
      const guint8 *end = zip->data + pos;

      if (memcmp (end, "PK\5\6", 4) == 0
          && pos + END_SIZE + get (end + 20, 2) == zip->size)
        return end;
    }
  return NULL;
}

/* The ZIP64 record repeats the fields of the old one; which must be full, where
 * they are too narrow, or agree. */
static gboolean
read_end64 (Zip * zip, const guint8 * locator, const guint8 * end)
{
  static const struct
  {
    gint pos, width, pos64, width64;
  } fields[] = { {4, 2, 16, 4}, {6, 2, 20, 4}, {8, 2, 24, 8}, {10, 2, 32, 8},
  {12, 4, 40, 8}, {16, 4, 48, 8}
  };
  guint64 pos = get (locator + 8, 8);
  guint64 locator_pos = locator - zip->data;
  const guint8 *end64;

  if (locator_pos < END64_SIZE || pos > locator_pos - END64_SIZE
      || memcmp (zip->data + pos, "PK\6\6", 4) != 0
      || get (zip->data + pos + 4, 8) != locator_pos - pos - 12)
    return fail (zip, CI_ERROR_BAD_FORMAT,
        "expected the ZIP64 end of the directory at byte %" G_GUINT64_FORMAT
        " of %" G_GUINT64_FORMAT ", found none", pos, zip->size);
  end64 = zip->data + pos;
  for (guint i = 0; i < G_N_ELEMENTS (fields); i++) {
    guint64 value = get (end + fields[i].pos, fields[i].width);
    guint64 value64 = get (end64 + fields[i].pos64, fields[i].width64);
    guint64 full = fields[i].width == 2 ? G_MAXUINT16 : G_MAXUINT32;

    if (value != full && value != value64)
      return fail (zip, CI_ERROR_BAD_FORMAT,
          "its ends of the directory contradict each other: %"
          G_GUINT64_FORMAT " and, in ZIP64, %" G_GUINT64_FORMAT " at byte %d",
          value, value64, fields[i].pos);
  }
  zip->n_entries = get (end64 + 32, 8);
  zip->directory_begin = get (end64 + 48, 8);
  zip->directory_end = pos;
  if (zip->directory_begin > pos
      || get (end64 + 40, 8) != pos - zip->directory_begin)
    return fail (zip, CI_ERROR_BAD_FORMAT,
        "a directory of %" G_GUINT64_FORMAT " bytes at byte %"
        G_GUINT64_FORMAT ", but its end is at byte %" G_GUINT64_FORMAT,
        get (end64 + 40, 8), zip->directory_begin, pos);
  return TRUE;
}

static gboolean
read_end (Zip * zip)
{
  const guint8 *end = find_end (zip);
  const guint8 *locator;
  guint64 pos, directory_size;

  if (!end)
    return fail (zip, CI_ERROR_BAD_FORMAT,
        "it has no directory at its end (is the file truncated?)");
  pos = end - zip->data;
  locator = pos >= LOCATOR64_SIZE ? end - LOCATOR64_SIZE : NULL;
  if (locator && memcmp (locator, "PK\6\7", 4) == 0) {
    if (!read_end64 (zip, locator, end))
      return FALSE;
  } else {
    zip->n_entries = get (end + 10, 2);
    directory_size = get (end + 12, 4);
    zip->directory_begin = get (end + 16, 4);
    zip->directory_end = pos;
    if (zip->directory_begin > pos
        || directory_size != pos - zip->directory_begin)
      return fail (zip, CI_ERROR_BAD_FORMAT,
          "a directory of %" G_GUINT64_FORMAT " bytes at byte %"
          G_GUINT64_FORMAT ", but its end is at byte %" G_GUINT64_FORMAT,
          directory_size, zip->directory_begin, pos);
  }
  if (get (end + 4, 2) != 0 || get (end + 6, 2) != 0)
    return fail (zip, CI_ERROR_UNSUPPORTED, "it is spread over several files");
  if (zip->n_entries > MAX_ENTRIES)
    return fail (zip, CI_ERROR_UNSUPPORTED, "%" G_GUINT64_FORMAT
        " entries, at most %d are allowed", zip->n_entries, MAX_ENTRIES);
  return TRUE;
}

/* ---- entries ---------------------------------------------------------- */

/* Fields that are full have their value in the extra field of ZIP64, in this
 * order. */
static gboolean
read_extra64 (const guint8 * extra, gsize size, guint64 ** fields, guint n)
{
  while (size >= 4) {
    guint64 id = get (extra, 2), length = get (extra + 2, 2);

    extra += 4;
    size -= 4;
    if (length > size)
      return FALSE;
    if (id == 1)
      for (guint i = 0; i < n; i++)
        if (*fields[i] == G_MAXUINT32) {
          if (length < 8)
            return FALSE;
          *fields[i] = get (extra, 8);
          extra += 8;
          size -= 8;
          length -= 8;
        }
    extra += length;
    size -= length;
  }
  return TRUE;
}

/* Names are only compared, never opened; one that would leave its folder still
 * has no honest use. */
static gboolean
check_name (Zip * zip, const gchar * name, gsize length, const gchar * folder)
{
  g_autofree gchar *text = g_strndup (name, length);
  g_auto (GStrv) parts = NULL;

  if (length == 0 || !g_utf8_validate_len (name, length, NULL)) {
    g_autofree gchar *shown = g_strescape (text, NULL);

    return fail (zip, CI_ERROR_BAD_FORMAT,
        "expected names in UTF-8, found \"%.100s\"", shown);
  }
  parts = g_strsplit (text, "/", -1);
  for (guint i = 0; parts[i]; i++)
    /* an empty last part is a folder of its own */
    if (g_str_equal (parts[i], "..") || g_str_equal (parts[i], ".")
        || strchr (parts[i], '\\') || (!*parts[i] && (i == 0 || parts[i + 1])))
      return fail (zip, CI_ERROR_BAD_FORMAT,
          "\"%.100s\" is no name inside a folder", text);
  if (!parts[0] || !parts[1]
      || (folder && !g_str_has_prefix (text, folder)))
    return fail (zip, CI_ERROR_BAD_FORMAT,
        "expected all entries in one folder%s%.100s, found \"%.100s\"",
        folder ? ", " : "", folder ? folder : "", text);
  return TRUE;
}

/* Whether what stands before the data agrees with the directory. Sizes may
 * come later; then they are 0 or full here. */
static gboolean
read_local (Zip * zip, CiZipEntry * entry, guint64 flags)
{
  const guint8 *local;
  guint64 size, packed, name_size, extra_size, begin;
  guint64 *fields[] = { &size, &packed };

  if (entry->begin > zip->directory_begin
      || zip->directory_begin - entry->begin < LOCAL_SIZE)
    return fail (zip, CI_ERROR_BAD_FORMAT,
        "\"%.100s\" starts at byte %" G_GUINT64_FORMAT ", after the last "
        "possible one", entry->name, entry->begin);
  local = zip->data + entry->begin;
  if (memcmp (local, "PK\3\4", 4) != 0)
    return fail (zip, CI_ERROR_BAD_FORMAT,
        "\"%.100s\": expected a header at byte %" G_GUINT64_FORMAT
        ", found none", entry->name, entry->begin);
  packed = get (local + 18, 4);
  size = get (local + 22, 4);
  name_size = get (local + 26, 2);
  extra_size = get (local + 28, 2);
  begin = entry->begin + LOCAL_SIZE + name_size + extra_size;
  if (begin > zip->directory_begin
      || entry->size > zip->directory_begin - begin)
    return fail (zip, CI_ERROR_BAD_FORMAT,
        "\"%.100s\": %" G_GUINT64_FORMAT " bytes from byte %" G_GUINT64_FORMAT
        " on do not fit before the directory at byte %" G_GUINT64_FORMAT,
        entry->name, entry->size, begin, zip->directory_begin);
  if (!read_extra64 (local + LOCAL_SIZE + name_size, extra_size, fields, 2))
    return fail (zip, CI_ERROR_BAD_FORMAT,
        "\"%.100s\": its extra fields are broken", entry->name);
  if (name_size != strlen (entry->name)
      || memcmp (local + LOCAL_SIZE, entry->name, name_size) != 0
      || get (local + 6, 2) != flags || get (local + 8, 2) != 0
      || ((size != entry->size || packed != entry->size)
          && !((flags & FLAG_DESCRIPTOR) && size == packed
              && (size == 0 || size == G_MAXUINT32))))
    return fail (zip, CI_ERROR_BAD_FORMAT,
        "\"%.100s\": the header at byte %" G_GUINT64_FORMAT
        " contradicts the directory", entry->name, entry->begin);
  entry->data = zip->data + begin;
  entry->end = begin + entry->size;
  return TRUE;
}

static gboolean
read_entry (Zip * zip, CiZipEntry * entry, guint64 * pos,
    const gchar * folder)
{
  const guint8 *central = zip->data + *pos;
  guint64 left = zip->directory_end - *pos;
  guint64 flags, method, packed, name_size, extra_size, comment_size;
  guint64 *fields[] = { &entry->size, &packed, &entry->begin };

  if (left < CENTRAL_SIZE || memcmp (central, "PK\1\2", 4) != 0)
    return fail (zip, CI_ERROR_BAD_FORMAT,
        "expected an entry of the directory at byte %" G_GUINT64_FORMAT
        ", found none", *pos);
  flags = get (central + 8, 2);
  method = get (central + 10, 2);
  packed = get (central + 20, 4);
  entry->size = get (central + 24, 4);
  name_size = get (central + 28, 2);
  extra_size = get (central + 30, 2);
  comment_size = get (central + 32, 2);
  entry->begin = get (central + 42, 4);
  if (name_size + extra_size + comment_size > left - CENTRAL_SIZE)
    return fail (zip, CI_ERROR_BAD_FORMAT,
        "the entry of the directory at byte %" G_GUINT64_FORMAT
        " reaches past its end", *pos);
  central += CENTRAL_SIZE;
  if (!check_name (zip, (const gchar *) central, name_size, folder))
    return FALSE;
  entry->name = g_strndup ((const gchar *) central, name_size);
  if (!read_extra64 (central + name_size, extra_size, fields, 3))
    return fail (zip, CI_ERROR_BAD_FORMAT,
        "\"%.100s\": its extra fields are broken", entry->name);
  if (flags & FLAG_ENCRYPTED)
    return fail (zip, CI_ERROR_UNSUPPORTED, "\"%.100s\" is encrypted",
        entry->name);
  if (method != 0)
    return fail (zip, CI_ERROR_UNSUPPORTED,
        "\"%.100s\" is compressed (method %d); torch.save stores entries as "
        "they are", entry->name, (gint) method);
  if (packed != entry->size)
    return fail (zip, CI_ERROR_BAD_FORMAT,
        "\"%.100s\" is stored, but has the sizes %" G_GUINT64_FORMAT " and %"
        G_GUINT64_FORMAT, entry->name, packed, entry->size);
  *pos += CENTRAL_SIZE + name_size + extra_size + comment_size;
  return read_local (zip, entry, flags);
}

static gint
compare_begins (gconstpointer a, gconstpointer b)
{
  const CiZipEntry *x = *(CiZipEntry * const *) a;
  const CiZipEntry *y = *(CiZipEntry * const *) b;

  return (x->begin > y->begin) - (x->begin < y->begin);
}

static gboolean
check_overlap (Zip * zip, GPtrArray * entries)
{
  g_ptr_array_sort (entries, compare_begins);
  for (guint i = 1; i < entries->len; i++) {
    const CiZipEntry *last = entries->pdata[i - 1];
    const CiZipEntry *entry = entries->pdata[i];

    if (entry->begin < last->end)
      return fail (zip, CI_ERROR_BAD_FORMAT,
          "\"%.100s\" starts at byte %" G_GUINT64_FORMAT ", inside \"%.100s\" "
          "(%" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT ")", entry->name,
          entry->begin, last->name, last->begin, last->end);
  }
  return TRUE;
}

static gboolean
read_entries (Zip * zip, GPtrArray * entries, gchar ** folder)
{
  guint64 pos = zip->directory_begin;

  for (guint64 i = 0; i < zip->n_entries; i++) {
    CiZipEntry *entry = g_new0 (CiZipEntry, 1);

    g_ptr_array_add (entries, entry);
    if (!read_entry (zip, entry, &pos, *folder))
      return FALSE;
    if (!*folder)
      *folder = g_strndup (entry->name,
          strchr (entry->name, '/') + 1 - entry->name);
  }
  if (pos != zip->directory_end)
    return fail (zip, CI_ERROR_BAD_FORMAT,
        "%" G_GUINT64_FORMAT " entries end at byte %" G_GUINT64_FORMAT
        ", the directory at byte %" G_GUINT64_FORMAT, zip->n_entries, pos,
        zip->directory_end);
  if (!check_overlap (zip, entries))
    return FALSE;
  if (!ci_names_sort (entries, "entry", zip->error)) {
    g_prefix_error (zip->error, "zip archive: ");
    return FALSE;
  }
  return TRUE;
}

static void
entry_free (gpointer data)
{
  CiZipEntry *entry = data;

  g_free (entry->name);
  g_free (entry);
}

GPtrArray *
ci_zip_parse (const guint8 * data, gsize size, gchar ** folder,
    GError ** error)
{
  Zip zip = { data, size };
  GPtrArray *entries = g_ptr_array_new_with_free_func (entry_free);

  zip.error = error;
  *folder = NULL;
  if (read_end (&zip) && read_entries (&zip, entries, folder))
    return entries;
  g_clear_pointer (folder, g_free);
  g_ptr_array_unref (entries);
  return NULL;
}
