/*
 * Zip archives and files of torch before 1.6 that contradict themselves.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "checkpoint_helpers.h"

#include <string.h>

/* {"w": tensor of 4 floats in storage "0"} */
static const gchar pickle[] = "\x80\x02}X\1\0\0\0w"
    "ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storage"
    "ctorch\nFloatStorage\nX\1\0\0\0" "0X\6\0\0\0cuda:0K\4tQK\0(K\4t(K\1t\x89"
    "ccollections\nOrderedDict\n)RtRs.";

static const guint8 floats[16] = { 0, 0, 128, 63 };

#define PICKLE pickle, sizeof pickle - 1

/* ---- zip -------------------------------------------------------------- */

static void
poke (GByteArray * bytes, gsize pos, guint64 value, gint width)
{
  for (gint i = 0; i < width; i++)
    bytes->data[pos + i] = value >> 8 * i;
}

typedef enum
{
  NONE,
  LOCAL0, LOCAL1, CENTRAL0, CENTRAL1,   /* of data.pkl and data/0 */
  END, END64, LOCATOR,
} Place;

/* Bytes of an archive that is right otherwise; field positions as in
 * PKWARE's APPNOTE.TXT, 4.3. */
static const struct
{
  gboolean zip64;
  struct
  {
    Place place;
    gint offset, width;
    guint64 value;
  } pokes[4];
  CiError code;
  const gchar *message;
} lies[] = {
  /* bombs are compressed */
  {FALSE, {{CENTRAL1, 10, 2, 8}}, CI_ERROR_UNSUPPORTED,
      "zip archive: \"a/data/0\" is compressed (method 8)"},
  {FALSE, {{CENTRAL1, 8, 2, 1}}, CI_ERROR_UNSUPPORTED,
      "\"a/data/0\" is encrypted"},
  {FALSE, {{LOCAL1, 8, 2, 8}}, CI_ERROR_BAD_FORMAT,
      "\"a/data/0\": the header at byte |contradicts the directory"},
  {FALSE, {{LOCAL1, 6, 2, 1}}, CI_ERROR_BAD_FORMAT, "contradicts"},
  {FALSE, {{LOCAL1, 30, 1, 'b'}}, CI_ERROR_BAD_FORMAT, "contradicts"},
  {FALSE, {{LOCAL1, 22, 4, 15}}, CI_ERROR_BAD_FORMAT, "contradicts"},
  {FALSE, {{LOCAL1, 18, 4, 17}}, CI_ERROR_BAD_FORMAT, "contradicts"},
  {FALSE, {{LOCAL1, 18, 4, 0}, {LOCAL1, 22, 4, 0}}, CI_ERROR_BAD_FORMAT,
      "contradicts"},
  {FALSE, {{LOCAL1, 28, 2, 65535}}, CI_ERROR_BAD_FORMAT, "do not fit"},
  {FALSE, {{LOCAL1, 0, 4, 0}}, CI_ERROR_BAD_FORMAT, "expected a header"},
  {FALSE, {{CENTRAL1, 20, 4, 15}}, CI_ERROR_BAD_FORMAT,
      "\"a/data/0\" is stored, but has the sizes 15 and 16"},
  {FALSE, {{CENTRAL1, 20, 4, 17}, {CENTRAL1, 24, 4, 17}},
      CI_ERROR_BAD_FORMAT, "17 bytes from byte |do not fit"},
  {FALSE, {{CENTRAL1, 20, 4, 0xfffffffe}, {CENTRAL1, 24, 4, 0xfffffffe}},
      CI_ERROR_BAD_FORMAT, "4294967294 bytes from byte |do not fit"},
  {FALSE, {{CENTRAL1, 42, 4, 0xfffffffe}}, CI_ERROR_BAD_FORMAT,
      "starts at byte 4294967294, after the last possible one"},
  {FALSE, {{CENTRAL1, 42, 4, 0}}, CI_ERROR_BAD_FORMAT, "contradicts"},
  {FALSE, {{CENTRAL1, 42, 4, 3}}, CI_ERROR_BAD_FORMAT, "expected a header"},
  {FALSE, {{CENTRAL1, 28, 2, 65535}}, CI_ERROR_BAD_FORMAT,
      "reaches past its end"},
  {FALSE, {{CENTRAL1, 28, 2, 0}}, CI_ERROR_BAD_FORMAT, "expected names"},
  {FALSE, {{CENTRAL1, 0, 1, 0}}, CI_ERROR_BAD_FORMAT,
      "expected an entry of the directory"},
  /* overlapping: data.pkl over data/0 */
  {FALSE, {{CENTRAL0, 20, 4, 190}, {CENTRAL0, 24, 4, 190}, {LOCAL0, 18, 4,
                  190}, {LOCAL0, 22, 4, 190}}, CI_ERROR_BAD_FORMAT,
      "\"a/data/0\" starts at byte |, inside \"a/data.pkl\" (0 to 230)"},
  {FALSE, {{END, 10, 2, 1}}, CI_ERROR_BAD_FORMAT,
      "1 entries end at byte |the directory at byte"},
  {FALSE, {{END, 10, 2, 3}}, CI_ERROR_BAD_FORMAT,
      "expected an entry of the directory"},
  {FALSE, {{END, 12, 4, 1}}, CI_ERROR_BAD_FORMAT, "a directory of 1 bytes"},
  {FALSE, {{END, 16, 4, 0}}, CI_ERROR_BAD_FORMAT, "a directory of "},
  {FALSE, {{END, 16, 4, 0x7fffffff}}, CI_ERROR_BAD_FORMAT,
      "bytes at byte 2147483647, but its end is at byte"},
  {FALSE, {{END, 20, 2, 7}}, CI_ERROR_BAD_FORMAT,
      "no directory at its end (is the file truncated?)"},
  {FALSE, {{END, 4, 2, 1}}, CI_ERROR_UNSUPPORTED, "several files"},
  {TRUE, {{LOCATOR, 8, 8, 0}}, CI_ERROR_BAD_FORMAT,
      "expected the ZIP64 end of the directory at byte 0"},
  {TRUE, {{LOCATOR, 8, 8, G_MAXUINT64}}, CI_ERROR_BAD_FORMAT,
      "at byte 18446744073709551615"},
  {TRUE, {{LOCATOR, 0, 4, 0}}, CI_ERROR_BAD_FORMAT,
      "a directory of 4294967295 bytes"},
  {TRUE, {{END64, 4, 8, 1000}}, CI_ERROR_BAD_FORMAT, "expected the ZIP64"},
  {TRUE, {{END64, 32, 8, G_MAXUINT64}}, CI_ERROR_UNSUPPORTED,
      "18446744073709551615 entries, at most 100000"},
  {TRUE, {{END64, 40, 8, 0}}, CI_ERROR_BAD_FORMAT, "a directory of 0 bytes"},
  {TRUE, {{END64, 48, 8, G_MAXUINT64}}, CI_ERROR_BAD_FORMAT,
      "at byte 18446744073709551615"},
  {TRUE, {{END64, 16, 4, 1}}, CI_ERROR_BAD_FORMAT,
      "contradict each other: 0 and, in ZIP64, 1 at byte 4"},
  {TRUE, {{END, 10, 2, 1}}, CI_ERROR_BAD_FORMAT,
      "contradict each other: 1 and, in ZIP64, 2 at byte 10"},
  /* sizes and offset in the extra field, which follows the name */
  {TRUE, {{CENTRAL1, 46 + 8 + 2, 2, 15}}, CI_ERROR_BAD_FORMAT,
      "\"a/data/0\": its extra fields are broken"},
  {TRUE, {{CENTRAL1, 46 + 8 + 2, 2, 25}}, CI_ERROR_BAD_FORMAT,
      "its extra fields are broken"},
  {TRUE, {{CENTRAL1, 46 + 8, 2, 7}}, CI_ERROR_BAD_FORMAT,
      "starts at byte 4294967295"},
  {TRUE, {{CENTRAL1, 46 + 8 + 4, 8, G_MAXUINT64}, {CENTRAL1, 46 + 8 + 12, 8,
                  G_MAXUINT64}}, CI_ERROR_BAD_FORMAT,
      "18446744073709551615 bytes from byte |do not fit"},
  {TRUE, {{CENTRAL1, 46 + 8 + 20, 8, G_MAXUINT64}}, CI_ERROR_BAD_FORMAT,
      "starts at byte 18446744073709551615"},
  {TRUE, {{LOCAL1, 30 + 8 + 4, 8, 17}}, CI_ERROR_BAD_FORMAT, "contradicts"},
};

GST_START_TEST (test_zip_lies)
{
  ZipItem items[] = { {"a/data.pkl", PICKLE},
  {"a/data/0", floats, sizeof floats}
  };
  Zip zip = { 0 };
  gsize places[8];

  zip_build (&zip, items, 2, lies[__i__].zip64);
  places[LOCAL0] = items[0].local;
  places[LOCAL1] = items[1].local;
  places[CENTRAL0] = items[0].central;
  places[CENTRAL1] = items[1].central;
  places[END] = zip.end;
  places[END64] = zip.end64;
  places[LOCATOR] = zip.locator;
  /* right, before */
  ci_checkpoint_free (check_accepted (zip.bytes->data, zip.bytes->len));
  for (guint i = 0; i < 4 && lies[__i__].pokes[i].place; i++)
    poke (zip.bytes, places[lies[__i__].pokes[i].place] +
        lies[__i__].pokes[i].offset, lies[__i__].pokes[i].value,
        lies[__i__].pokes[i].width);
  check_refused (zip.bytes->data, zip.bytes->len, lies[__i__].code,
      lies[__i__].message);
  g_byte_array_unref (zip.bytes);
}

GST_END_TEST;

static const struct
{
  const gchar *names[3];
  CiError code;
  const gchar *message;
} names[] = {
  {{"a/data.pkl", "a/data/0", "a/data/0"}, CI_ERROR_BAD_FORMAT,
      "entry \"a/data/0\" comes twice"},
  {{"a/data.pkl", "a/data.pkl"}, CI_ERROR_BAD_FORMAT,
      "entry \"a/data.pkl\" comes twice"},
  {{"a/data.pkl", "b/data/0"}, CI_ERROR_BAD_FORMAT,
      "expected all entries in one folder, a/, found \"b/data/0\""},
  {{"data.pkl"}, CI_ERROR_BAD_FORMAT, "in one folder, found \"data.pkl\""},
  {{"../data.pkl"}, CI_ERROR_BAD_FORMAT,
      "\"../data.pkl\" is no name inside a folder"},
  {{"a/data.pkl", "a/../../etc/passwd"}, CI_ERROR_BAD_FORMAT,
      "\"a/../../etc/passwd\" is no name"},
  {{"a/./data.pkl"}, CI_ERROR_BAD_FORMAT, "is no name"},
  {{"/etc/passwd"}, CI_ERROR_BAD_FORMAT, "\"/etc/passwd\" is no name"},
  {{"a//data.pkl"}, CI_ERROR_BAD_FORMAT, "is no name"},
  {{"a\\data.pkl"}, CI_ERROR_BAD_FORMAT, "is no name"},
  {{"a/\xff.pkl"}, CI_ERROR_BAD_FORMAT, "names in UTF-8, found \"a/\\377"},
  {{""}, CI_ERROR_BAD_FORMAT, "names in UTF-8, found \"\""},
  {{"a/model.json"}, CI_ERROR_UNSUPPORTED,
      "a zip archive of 1 entries|it is no PyTorch checkpoint"},
  {{"a/data.pkl"}, CI_ERROR_BAD_FORMAT,
      "test: tensor \"w\": its storage \"0\" is not in the file"},
};

GST_START_TEST (test_zip_names)
{
  ZipItem items[3];
  Zip zip = { 0 };
  guint n;

  for (n = 0; n < 3 && names[__i__].names[n]; n++)
    items[n] = (ZipItem) {
    names[__i__].names[n], PICKLE};
  zip_build (&zip, items, n, FALSE);
  check_refused (zip.bytes->data, zip.bytes->len, names[__i__].code,
      names[__i__].message);
  g_byte_array_unref (zip.bytes);
}

GST_END_TEST;

GST_START_TEST (test_zip_byte_order)
{
  static const gchar *const orders[] = { "little", "big", "" };

  for (guint i = 0; i < 3; i++) {
    ZipItem items[] = { {"x/data.pkl", PICKLE},
    {"x/byteorder", orders[i], strlen (orders[i])},
    {"x/data/", "", 0}, {"x/data/0", floats, sizeof floats}
    };
    Zip zip = { 0 };
    CiCheckpoint *checkpoint;
    CiTensor t;

    zip_build (&zip, items, G_N_ELEMENTS (items), i == 0);
    if (i == 0) {
      checkpoint = check_accepted (zip.bytes->data, zip.bytes->len);
      fail_unless (ci_checkpoint_lookup (checkpoint, "w", &t));
      fail_unless (((const gfloat *) t.data)[0] == 1);
      ci_checkpoint_free (checkpoint);
    } else {
      check_refused (zip.bytes->data, zip.bytes->len, CI_ERROR_UNSUPPORTED,
          i == 1 ? "x/byteorder: expected \"little\", found \"big\"" :
          "found \"\"");
    }
    g_byte_array_unref (zip.bytes);
  }
}

GST_END_TEST;

/* The fields for numbers of entries are wide; nobody has this many. */
GST_START_TEST (test_zip_many_entries)
{
  guint n = 1000000;
  g_autofree ZipItem *items = g_new0 (ZipItem, n);
  Zip zip = { 0 };

  for (guint i = 0; i < n; i++)
    items[i].name = "a/e";
  zip_build (&zip, items, n, TRUE);
  check_refused (zip.bytes->data, zip.bytes->len, CI_ERROR_UNSUPPORTED,
      "1000000 entries, at most 100000 are allowed");
  g_byte_array_unref (zip.bytes);
  zip_build (&zip, items, 100000, TRUE);
  check_refused (zip.bytes->data, zip.bytes->len, CI_ERROR_BAD_FORMAT,
      "entry \"a/e\" comes twice");
  g_byte_array_unref (zip.bytes);
}

GST_END_TEST;

/* ---- before 1.6 ------------------------------------------------------- */

#define MAGIC "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
#define VERSION "\x80\x02M\xe9\x03."
#define LITTLE "X\x0d\0\0\0little_endian"
#define SYSTEM "\x80\x02}" LITTLE "\x88s."
#define KEYS "\x80\x02]X\1\0\0\0" "0a."
#define DATA "\4\0\0\0\0\0\0\0" "0123456789abcdef"

static const struct
{
  const gchar *before;
  gsize before_size;
  const gchar *after;
  gsize after_size;
  CiError code;
  const gchar *message;
} legacy[] = {
#define LEGACY(before, after, code, message) \
  {before, sizeof (before) - 1, after, sizeof (after) - 1, code, message}
  LEGACY (MAGIC "\x80\x02K\1.", "", CI_ERROR_UNSUPPORTED,
      "test: version: expected 1001, found 1"),
  LEGACY (MAGIC "\x80\x02N.", "", CI_ERROR_UNSUPPORTED, "expected 1001"),
  LEGACY (MAGIC VERSION "\x80\x02}" LITTLE "\x89s.", "",
      CI_ERROR_UNSUPPORTED, "little_endian to be True, found False"),
  LEGACY (MAGIC VERSION "\x80\x02N.", "", CI_ERROR_UNSUPPORTED,
      "system: expected little_endian to be True, found nothing"),
  LEGACY (MAGIC VERSION SYSTEM, "\x80\x02N.", CI_ERROR_BAD_FORMAT,
      "storage keys: expected a list, found None"),
  LEGACY (MAGIC VERSION SYSTEM, "", CI_ERROR_BAD_FORMAT, "storage keys: byte"),
  LEGACY (MAGIC VERSION SYSTEM, "\x80\x02]X\1\0\0\0" "1a." DATA,
      CI_ERROR_BAD_FORMAT, "storage keys: \"1\" is not used by the pickle"),
  LEGACY (MAGIC VERSION SYSTEM, "\x80\x02]Na." DATA, CI_ERROR_BAD_FORMAT,
      "\"(no string)\" is not used"),
  LEGACY (MAGIC VERSION SYSTEM, "\x80\x02](X\1\0\0\0" "0q\0h\0e." DATA DATA,
      CI_ERROR_BAD_FORMAT, "storage keys: \"0\" comes twice"),
  LEGACY (MAGIC VERSION SYSTEM, "\x80\x02].", CI_ERROR_BAD_FORMAT,
      "tensor \"w\": its storage \"0\" is not in the file"),
  LEGACY (MAGIC VERSION SYSTEM, KEYS "\4\0\0\0\0\0\0\0" "0123",
      CI_ERROR_BAD_FORMAT, "storage \"0\": expected 24 bytes at byte |but 12"),
  LEGACY (MAGIC VERSION SYSTEM, KEYS "\5\0\0\0\0\0\0\0" "0123456789abcdefghij",
      CI_ERROR_BAD_FORMAT, "5 elements at byte |the pickle says 4"),
  LEGACY (MAGIC VERSION SYSTEM, KEYS "\4\0\0\0\0\0\0\x80" "0123456789abcdef",
      CI_ERROR_BAD_FORMAT, "9223372036854775812 elements"),
};

GST_START_TEST (test_legacy_refused)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();

  g_byte_array_append (bytes, (const guint8 *) legacy[__i__].before,
      legacy[__i__].before_size);
  g_byte_array_append (bytes, (const guint8 *) pickle, sizeof pickle - 1);
  g_byte_array_append (bytes, (const guint8 *) legacy[__i__].after,
      legacy[__i__].after_size);
  check_refused (bytes->data, bytes->len, legacy[__i__].code,
      legacy[__i__].message);
}

GST_END_TEST;

/* One key, two sizes */
GST_START_TEST (test_legacy_sizes)
{
  static const gchar before[] = MAGIC VERSION SYSTEM "\x80\x02("
      "(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0" "0X\3\0\0\0cpuK\4NtQ"
      "(X\7\0\0\0storagectorch\nLongStorage\nX\1\0\0\0" "0X\3\0\0\0cpuK\4NtQ"
      "t." KEYS DATA;

  check_refused (before, sizeof before - 1, CI_ERROR_BAD_FORMAT,
      "storage \"0\" has |16 bytes|32");
}

GST_END_TEST;

static void
append_deep (GByteArray * bytes, guint n)
{
  g_byte_array_append (bytes, (const guint8 *) "\x80\x02)", 3);
  while (n--)
    g_byte_array_append (bytes, (const guint8 *) "\x85", 1);
  g_byte_array_append (bytes, (const guint8 *) ".", 1);
}

/* What one pickle may take is not there for each of several. */
GST_START_TEST (test_legacy_opcodes)
{
  static const gchar before[] = MAGIC VERSION SYSTEM;
  g_autoptr (GByteArray) bytes = g_byte_array_new ();

  g_byte_array_append (bytes, (const guint8 *) before, sizeof before - 1);
  append_deep (bytes, 600000);
  append_deep (bytes, 600000);
  check_refused (bytes->data, bytes->len, CI_ERROR_UNSUPPORTED,
      "storage keys: byte |more than 1048576 opcodes");
}

GST_END_TEST;

static Suite *
checkpoint_containers_suite (void)
{
  Suite *s = suite_create ("checkpoint-containers");
  TCase *tc = tcase_create ("general");

  suite_add_tcase (s, tc);
  tcase_add_loop_test (tc, test_zip_lies, 0, G_N_ELEMENTS (lies));
  tcase_add_loop_test (tc, test_zip_names, 0, G_N_ELEMENTS (names));
  tcase_add_test (tc, test_zip_byte_order);
  tcase_add_test (tc, test_zip_many_entries);
  tcase_add_loop_test (tc, test_legacy_refused, 0, G_N_ELEMENTS (legacy));
  tcase_add_test (tc, test_legacy_sizes);
  tcase_add_test (tc, test_legacy_opcodes);
  return s;
}

GST_CHECK_MAIN (checkpoint_containers);
