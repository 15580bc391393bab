/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "helpers.h"

#include <string.h>
#include <sys/stat.h>

#include <glib/gstdio.h>

#include "models/safetensors.h"

/* A file as other writers would make it: length, header, @data_size bytes
 * 0, 1, 2, ... */
static GByteArray *
make_file (const gchar * header, gsize data_size)
{
  GByteArray *bytes = g_byte_array_new ();
  guint64 length = strlen (header);

  g_byte_array_append (bytes, (const guint8 *) &length, 8);
  g_byte_array_append (bytes, (const guint8 *) header, length);
  for (gsize i = 0; i < data_size; i++) {
    guint8 value = i;

    g_byte_array_append (bytes, &value, 1);
  }
  return bytes;
}

static CiSafetensors *
parse_ok (const GByteArray * bytes)
{
  GError *error = NULL;
  CiSafetensors *file =
      ci_safetensors_parse (bytes->data, bytes->len, "test", &error);

  fail_unless (file, "%s", error ? error->message : "no error set");
  return file;
}

GST_START_TEST (test_safetensors_reads_other_writers)
{
  g_autoptr (GByteArray) bytes = make_file ("{\"__metadata__\":"
      "{\"a\":\"1\",\"\\u00e4\\n\":\"x \\ud83d\\ude00 \\\"y\\\"\"},"
      "\"z.weight\" : {\"dtype\":\"F32\",\"shape\":[2,3],"
      "\"data_offsets\":[0,24]},"
      "\"a\":{\"data_offsets\":[24,40],\"shape\":[2],\"dtype\":\"I64\"},\n"
      "\"empty\":{\"dtype\":\"F32\",\"shape\":[4,0],\"data_offsets\":[40,40]},"
      "\"s\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[40,41]}}  ", 41);
  CiSafetensors *file = parse_ok (bytes);
  const gchar *const *names = ci_safetensors_get_names (file);
  CiTensor t;

  fail_unless_equals_int (g_strv_length ((gchar **) names), 4);
  fail_unless_equals_string (names[0], "a");
  fail_unless_equals_string (names[1], "empty");
  fail_unless_equals_string (names[2], "s");
  fail_unless_equals_string (names[3], "z.weight");

  fail_unless (ci_safetensors_lookup (file, "z.weight", &t));
  fail_unless_equals_int (t.dtype, CI_DTYPE_F32);
  fail_unless_equals_int (t.n_dims, 2);
  fail_unless_equals_int64 (t.dims[0], 2);
  fail_unless_equals_int64 (t.dims[1], 3);
  fail_unless_equals_int (((const guint8 *) t.data)[23], 23);
  fail_unless (ci_safetensors_lookup (file, "a", &t));
  fail_unless_equals_int (t.dtype, CI_DTYPE_I64);
  fail_unless_equals_int (((const guint8 *) t.data)[15], 39);
  fail_unless (ci_safetensors_lookup (file, "empty", &t));
  fail_unless_equals_int (ci_tensor_n_elements (&t), 0);
  fail_unless (ci_safetensors_lookup (file, "s", &t));
  fail_unless_equals_int (t.n_dims, 0);
  fail_unless_equals_int (*(const guint8 *) t.data, 40);
  fail_if (ci_safetensors_lookup (file, "b", &t));
  fail_if (ci_safetensors_lookup (file, "__metadata__", &t));

  fail_unless_equals_string (ci_safetensors_get_metadata (file, "a"), "1");
  fail_unless_equals_string (ci_safetensors_get_metadata (file, "ä\n"),
      "x \xf0\x9f\x98\x80 \"y\"");
  fail_unless (ci_safetensors_get_metadata (file, "b") == NULL);
  ci_safetensors_free (file);
}

GST_END_TEST;

GST_START_TEST (test_safetensors_empty_header)
{
  g_autoptr (GByteArray) bytes = make_file ("{}", 0);
  CiSafetensors *file = parse_ok (bytes);

  fail_unless (ci_safetensors_get_names (file)[0] == NULL);
  ci_safetensors_free (file);
}

GST_END_TEST;

/* Wherever the data lies in memory, views are aligned for their type. */
GST_START_TEST (test_safetensors_aligns_views)
{
  g_autoptr (GByteArray) bytes = make_file ("{"
      "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
      "\"d\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[1,17]},"
      "\"f\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[17,25]},"
      "\"h\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[27,33]}}", 33);
  static const struct
  {
    const gchar *name;
    gsize begin, size;
  } tensors[] = { {"d", 1, 16}, {"f", 17, 8}, {"h", 27, 6} };

  for (gsize shift = 0; shift < 8; shift++) {
    g_autofree guint8 *memory = g_malloc (bytes->len + 8);
    CiSafetensors *file;
    GError *error = NULL;

    memcpy (memory + shift, bytes->data, bytes->len);
    file = ci_safetensors_parse (memory + shift, bytes->len, "test", &error);
    fail_unless (file, "%s", error ? error->message : "");
    for (guint i = 0; i < G_N_ELEMENTS (tensors); i++) {
      CiTensor t;

      fail_unless (ci_safetensors_lookup (file, tensors[i].name, &t));
      fail_unless ((guintptr) t.data % ci_dtype_size (t.dtype) == 0);
      for (gsize k = 0; k < tensors[i].size; k++)
        fail_unless_equals_int (((const guint8 *) t.data)[k],
            tensors[i].begin + k);
    }
    ci_safetensors_free (file);
  }
}

GST_END_TEST;

GST_START_TEST (test_safetensors_other_dtypes)
{
  /* 1.0 and -2.5 as BF16 */
  static const guint8 bf16[] = { 0x80, 0x3f, 0x20, 0xc0 };
  g_autoptr (GByteArray) bytes = make_file ("{"
      "\"bf16\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]},"
      "\"bool\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[4,6]},"
      "\"u16\":{\"dtype\":\"U16\",\"shape\":[3],\"data_offsets\":[6,12]},"
      "\"i8\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[12,13]},"
      "\"r6\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1],"
      "\"data_offsets\":[13,14]}}", 14);
  CiSafetensors *file;
  g_autofree gchar *u16 = NULL;
  g_autofree gchar *r6 = NULL;
  CiTensor t;

  memcpy (bytes->data + bytes->len - 14, bf16, 4);
  bytes->data[bytes->len - 2] = (guint8) -5;
  file = parse_ok (bytes);
  fail_unless_equals_int (g_strv_length ((gchar **)
          ci_safetensors_get_names (file)), 5);
  fail_unless (ci_safetensors_lookup (file, "bf16", &t));
  fail_unless_equals_int (t.dtype, CI_DTYPE_F32);
  fail_unless_equals_float (((const gfloat *) t.data)[0], 1);
  fail_unless_equals_float (((const gfloat *) t.data)[1], -2.5);
  fail_unless (ci_safetensors_lookup (file, "bool", &t));
  fail_unless_equals_int (t.dtype, CI_DTYPE_U8);
  fail_unless (ci_safetensors_lookup (file, "i8", &t));
  fail_unless_equals_int (t.dtype, CI_DTYPE_I32);
  fail_unless_equals_int (((const gint32 *) t.data)[0], -5);
  /* listed, but nothing that kernels could use */
  fail_if (ci_safetensors_lookup (file, "u16", &t));
  fail_if (ci_safetensors_lookup (file, "r6", &t));
  u16 = ci_safetensors_describe (file, "u16");
  fail_unless_equals_string (u16, "U16 3");
  r6 = ci_safetensors_describe (file, "r6");
  fail_unless_equals_string (r6, "U8 1x1x1x1x1x... (6 dimensions)");
  fail_unless (ci_safetensors_describe (file, "none") == NULL);
  ci_safetensors_free (file);
}

GST_END_TEST;

#define T(shape, offsets) "{\"dtype\":\"F32\",\"shape\":" shape \
    ",\"data_offsets\":" offsets "}"
#define HUGE_DIM "4611686018427387904"  /* 2^62 */

static const struct
{
  const gchar *header;
  CiError code;
  const gchar *message;
} bad_headers[] = {
  {"{\"w\":" T ("[4]", "[0,32]") "}", CI_ERROR_BAD_FORMAT,
      "test: |\"w\"|[0, 32]|16 bytes of data"},
  {"{\"w\":" T ("[4]", "[16,0]") "}", CI_ERROR_BAD_FORMAT, "\"w\"|[16, 0]"},
  {"{\"w\":" T ("[4]", "[9223372036854775807,9223372036854775807]") "}",
      CI_ERROR_BAD_FORMAT, "\"w\"|16 bytes of data"},
  {"{\"w\":" T ("[4]", "[0,18446744073709551632]") "}", CI_ERROR_BAD_FORMAT,
      "\"w\"|64-bit integer|18446744073709551632"},
  {"{\"w\":" T ("[4]", "[-16,0]") "}", CI_ERROR_BAD_FORMAT,
      "\"w\"|integer >= 0|-16"},
  {"{\"w\":" T ("[4]", "[0,1.6e1]") "}", CI_ERROR_BAD_FORMAT, "\"w\"|1.6e1"},
  {"{\"w\":" T ("[4]", "[0]") "}", CI_ERROR_BAD_FORMAT, "\"w\"|','|']'"},
  {"{\"w\":" T ("[4]", "[0,16,32]") "}", CI_ERROR_BAD_FORMAT,
      "\"w\"|']'|','"},
  {"{\"w\":" T ("[3]", "[0,16]") "}", CI_ERROR_BAD_FORMAT,
      "\"w\"|F32 3|3 elements|16 bytes"},
  {"{\"w\":" T ("[]", "[0,16]") "}", CI_ERROR_BAD_FORMAT,
      "\"w\"|1 elements|16 bytes"},
  {"{\"w\":" T ("[-1,4]", "[0,16]") "}", CI_ERROR_BAD_FORMAT, "\"w\"|-1"},
  {"{\"w\":" T ("[" HUGE_DIM "," HUGE_DIM "]", "[0,16]") "}",
      CI_ERROR_BAD_FORMAT, "\"w\"|overflow|" HUGE_DIM},
  /* 2^62 elements of 4 bytes are 0 modulo 2^64 */
  {"{\"w\":" T ("[" HUGE_DIM "]", "[0,0]") "}", CI_ERROR_BAD_FORMAT,
      "\"w\"|" HUGE_DIM "|0 bytes"},
  {"{\"w\":" T ("[2]", "[0,8]") ",\"v\":" T ("[2]", "[4,12]") "}",
      CI_ERROR_BAD_FORMAT, "\"v\"|\"w\"|starts at 4|inside"},
  {"{\"w\":" T ("[2]", "[0,8]") ",\"w\":" T ("[2]", "[8,16]") "}",
      CI_ERROR_BAD_FORMAT, "\"w\"|twice"},
  {"{\"w\":" T ("[2]", "[0,8]") ",\"\\u0077\":" T ("[2]", "[8,16]") "}",
      CI_ERROR_BAD_FORMAT, "tensor \"w\" comes twice"},
  {"{\"w\":{\"dtype\":\"F99\",\"shape\":[2],\"data_offsets\":[0,8]}}",
      CI_ERROR_UNSUPPORTED, "\"w\"|F99"},
  {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2]}}", CI_ERROR_BAD_FORMAT,
      "\"w\"|data_offsets is missing"},
  {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"shape\":[2],"
        "\"data_offsets\":[0,8]}}", CI_ERROR_BAD_FORMAT, "\"w\"|shape|twice"},
  {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"strides\":[1],"
        "\"data_offsets\":[0,8]}}", CI_ERROR_BAD_FORMAT, "\"w\"|strides"},
  {"{\"w\":{\"dtype\":\"F32\",\"shape\":[[[[[[2]]]]]],"
        "\"data_offsets\":[0,8]}}", CI_ERROR_BAD_FORMAT, "\"w\"|'['"},
  {"{\"w\":[]}", CI_ERROR_BAD_FORMAT, "\"w\"|'{'|'['"},
  {"{\"__metadata__\":{\"k\":1}}", CI_ERROR_BAD_FORMAT,
      "__metadata__|a string|'1'"},
  {"{\"__metadata__\":{\"k\":\"\",\"k\":\"\"}}", CI_ERROR_BAD_FORMAT,
      "__metadata__|\"k\"|twice"},
  {"{\"__metadata__\":{},\"__metadata__\":{}}", CI_ERROR_BAD_FORMAT,
      "__metadata__|twice"},
  {"{\"__metadata__\":{\"k\":\"\\ud83d\"}}", CI_ERROR_BAD_FORMAT,
      "surrogate"},
  {"{\"__metadata__\":{\"k\":\"\\u0000\"}}", CI_ERROR_BAD_FORMAT, "escape"},
  {"{\"__metadata__\":{\"k\":\"\t\"}}", CI_ERROR_BAD_FORMAT, "control"},
  {"{\"\xff\":1}", CI_ERROR_BAD_FORMAT, "UTF-8|0xff"},
  {"{\"w\":" T ("[4]", "[0,16]") ",}", CI_ERROR_BAD_FORMAT, "a string|'}'"},
  {"{\"w\":" T ("[4]", "[0,16]") "", CI_ERROR_BAD_FORMAT, "'}'|the end"},
  {"{\"w\":" T ("[4]", "[0,16]") "} x", CI_ERROR_BAD_FORMAT, "the end|'x'"},
  {"{\"w", CI_ERROR_BAD_FORMAT, "the end of a string"},
  {"[]", CI_ERROR_BAD_FORMAT, "'{'|'['"},
  {"", CI_ERROR_BAD_FORMAT, "'{'|the end"},
  {"{} {}", CI_ERROR_BAD_FORMAT, "the end|'{'"},
};

GST_START_TEST (test_safetensors_bad_header)
{
  g_autoptr (GByteArray) bytes = make_file (bad_headers[__i__].header, 16);
  GError *error = NULL;

  fail_if (ci_safetensors_parse (bytes->data, bytes->len, "test", &error));
  check_error (error, bad_headers[__i__].code, bad_headers[__i__].message);
}

GST_END_TEST;

GST_START_TEST (test_safetensors_bad_length)
{
  static const struct
  {
    guint64 length;
    const gchar *message;
  } lengths[] = { {3, "test: |header of 3 bytes|2 follow"},
  {100000001, "100000001 bytes|100000000 are allowed"},
  {G_MAXUINT64, "18446744073709551615"},
  {G_MAXUINT64 - 7, "18446744073709551608"}
  };

  for (guint i = 0; i < G_N_ELEMENTS (lengths); i++) {
    g_autoptr (GByteArray) bytes = make_file ("{}", 0);
    GError *error = NULL;

    memcpy (bytes->data, &lengths[i].length, 8);
    fail_if (ci_safetensors_parse (bytes->data, bytes->len, "test", &error));
    check_error (error, CI_ERROR_BAD_FORMAT, lengths[i].message);
  }
}

GST_END_TEST;

/* Every way of cutting a good file off is noticed. */
GST_START_TEST (test_safetensors_truncated)
{
  g_autoptr (GByteArray) bytes =
      make_file ("{\"w\":" T ("[4]", "[0,16]") "}", 16);

  for (gsize size = 0; size < bytes->len; size++) {
    g_autofree guint8 *part = g_memdup2 (bytes->data, size);
    GError *error = NULL;

    fail_if (ci_safetensors_parse (part, size, "cut.safetensors", &error));
    check_error (error, CI_ERROR_BAD_FORMAT, "cut.safetensors: ");
  }
  ci_safetensors_free (parse_ok (bytes));
}

GST_END_TEST;

/* Neither memory nor the stack follow the depth of nesting. */
GST_START_TEST (test_safetensors_deep_header)
{
  gsize depth = 4 * 1024 * 1024;
  g_autofree gchar *header = g_malloc (depth + 8);
  g_autoptr (GByteArray) bytes = NULL;
  GError *error = NULL;

  memcpy (header, "{\"w\":", 5);
  memset (header + 5, '[', depth);
  header[depth + 5] = '\0';
  bytes = make_file (header, 0);
  fail_if (ci_safetensors_parse (bytes->data, bytes->len, "test", &error));
  check_error (error, CI_ERROR_BAD_FORMAT, "\"w\"|'{'|'['");
}

GST_END_TEST;

GST_START_TEST (test_safetensors_bad_paths)
{
  g_autofree gchar *dir = g_dir_make_tmp ("ci-XXXXXX", NULL);
  g_autofree gchar *absent = g_build_filename (dir, "absent", NULL);
  g_autofree gchar *empty = g_build_filename (dir, "empty", NULL);
  g_autofree gchar *pipe = g_build_filename (dir, "pipe", NULL);
  GError *error = NULL;

  fail_if (ci_safetensors_open (absent, &error));
  check_error (g_steal_pointer (&error), CI_ERROR_IO, absent);
  fail_if (ci_safetensors_open (dir, &error));
  check_error (g_steal_pointer (&error), CI_ERROR_IO, "not a regular file");
  fail_unless (g_file_set_contents (empty, "", 0, NULL));
  fail_if (ci_safetensors_open (empty, &error));
  check_error (g_steal_pointer (&error), CI_ERROR_BAD_FORMAT, empty);
  fail_unless (mkfifo (pipe, 0600) == 0);
  fail_if (ci_safetensors_open (pipe, &error));
  check_error (g_steal_pointer (&error), CI_ERROR_IO, "not a regular file");
  g_unlink (empty);
  g_unlink (pipe);
  g_rmdir (dir);
}

GST_END_TEST;

GST_START_TEST (test_safetensors_round_trip)
{
  static const gfloat f32[] = { 0.1f, -1, 3e38f, 0, 1, 2 };
  static const guint8 u8[] = { 1, 2, 255 };
  static const gint64 i64[] = { G_MININT64 };
  static const gdouble f64[] = { 0.1 };
  static const gchar *const names[] = { "b\"\\\n.ü", "u8", "i64", "empty",
    "f64"
  };
  static const gchar *const metadata[] = { "condinst", "{\"a\": \"\\u0001\"}",
    "kéy", "tab\tand \"quotes\"", NULL
  };
  const CiTensor tensors[] = {
    {CI_DTYPE_F32, 3, {1, 3, 2}, f32},
    {CI_DTYPE_U8, 1, {3}, u8},
    {CI_DTYPE_I64, 0, {0}, i64},
    {CI_DTYPE_F16, 2, {3, 0}, u8},
    {CI_DTYPE_F64, 1, {1}, f64},
  };
  g_autofree gchar *dir = g_dir_make_tmp ("ci-XXXXXX", NULL);
  g_autofree gchar *path = g_build_filename (dir, "t.safetensors", NULL);
  g_autofree gchar *bad = g_build_filename (dir, "no", "t", NULL);
  GError *error = NULL;
  CiSafetensors *file, *old;
  CiTensor t;

  for (gint round = 0; round < 2; round++) {
    fail_unless (ci_safetensors_write (path, names, tensors,
            G_N_ELEMENTS (tensors), metadata, &error));
    file = ci_safetensors_open (path, &error);
    fail_unless (file, "%s", error ? error->message : "");
    for (guint i = 0; i < G_N_ELEMENTS (tensors); i++) {
      fail_unless (ci_safetensors_lookup (file, names[i], &t));
      fail_unless_equals_int (t.dtype, tensors[i].dtype);
      fail_unless_equals_int (t.n_dims, tensors[i].n_dims);
      for (gint k = 0; k < t.n_dims; k++)
        fail_unless_equals_int64 (t.dims[k], tensors[i].dims[k]);
      fail_unless (memcmp (t.data, tensors[i].data, ci_tensor_n_elements (&t)
              * ci_dtype_size (t.dtype)) == 0);
    }
    fail_unless_equals_string (ci_safetensors_get_metadata (file, "condinst"),
        metadata[1]);
    fail_unless_equals_string (ci_safetensors_get_metadata (file, "kéy"),
        metadata[3]);
    ci_safetensors_free (file);
  }

  /* writing over a file leaves those alone who have it mapped */
  old = ci_safetensors_open (path, NULL);
  fail_unless (ci_safetensors_write (path, NULL, NULL, 0, NULL, &error));
  fail_unless (ci_safetensors_lookup (old, "f64", &t));
  fail_unless (*(const gdouble *) t.data == 0.1);
  ci_safetensors_free (old);
  file = ci_safetensors_open (path, &error);
  fail_unless (file && !ci_safetensors_get_names (file)[0]);
  ci_safetensors_free (file);

  fail_if (ci_safetensors_write (bad, names, tensors, 1, NULL, &error));
  check_error (error, CI_ERROR_IO, bad);
  g_unlink (path);
  /* no part files stay behind */
  fail_unless (g_rmdir (dir) == 0);
}

GST_END_TEST;

/* Files written with numpy, of known content. */
GST_START_TEST (test_safetensors_golden_files)
{
  static const struct
  {
    const gchar *path, *tensor;
    CiDType dtype;
    gint n_dims;
    gint64 dims[CI_MAX_DIMS];
    guint n_names;
  } files[] = {
    {"units/aligned_bilinear", "out.x4", CI_DTYPE_F32, 3, {2, 28, 44}, 4},
    {"units/paste_masks", "in.hw", CI_DTYPE_I32, 1, {2}, 4},
    {"units/select_default", "in.0.reg", CI_DTYPE_F32, 3, {4}, 20},
    {"condinst_small_a/img0", "input.stats", CI_DTYPE_F64, 1, {6}, 108},
  };
  g_autofree gchar *dir = g_build_filename (SHARED_DIR, "golden", NULL);

  if (!g_file_test (dir, G_FILE_TEST_IS_DIR)) {
    g_print ("skipped: there is no %s\n", dir);
    return;
  }
  for (guint i = 0; i < G_N_ELEMENTS (files); i++) {
    g_autofree gchar *name =
        g_strconcat (files[i].path, ".safetensors", NULL);
    g_autofree gchar *path = g_build_filename (dir, name, NULL);
    GError *error = NULL;
    CiSafetensors *file = ci_safetensors_open (path, &error);
    CiTensor t;

    fail_unless (file, "%s", error ? error->message : "");
    fail_unless_equals_int (g_strv_length ((gchar **)
            ci_safetensors_get_names (file)), files[i].n_names);
    fail_unless (ci_safetensors_lookup (file, files[i].tensor, &t));
    fail_unless_equals_int (t.dtype, files[i].dtype);
    fail_unless_equals_int (t.n_dims, files[i].n_dims);
    for (gint k = 0; k < t.n_dims; k++)
      if (files[i].dims[k])
        fail_unless_equals_int64 (t.dims[k], files[i].dims[k]);
    if (i == 2)
      fail_unless_equals_string (ci_safetensors_get_metadata (file,
              "nms_thresh"), "0.6");
    ci_safetensors_free (file);
  }
}

GST_END_TEST;

static Suite *
safetensors_suite (void)
{
  Suite *s = suite_create ("safetensors");
  TCase *tc = tcase_create ("general");

  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_safetensors_reads_other_writers);
  tcase_add_test (tc, test_safetensors_empty_header);
  tcase_add_test (tc, test_safetensors_aligns_views);
  tcase_add_test (tc, test_safetensors_other_dtypes);
  tcase_add_loop_test (tc, test_safetensors_bad_header, 0,
      G_N_ELEMENTS (bad_headers));
  tcase_add_test (tc, test_safetensors_bad_length);
  tcase_add_test (tc, test_safetensors_truncated);
  tcase_add_test (tc, test_safetensors_deep_header);
  tcase_add_test (tc, test_safetensors_bad_paths);
  tcase_add_test (tc, test_safetensors_round_trip);
  tcase_add_test (tc, test_safetensors_golden_files);
  return s;
}

GST_CHECK_MAIN (safetensors);
