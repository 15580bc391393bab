/* The meta on buffers, its geometry and its bytes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <string.h>
#include <gst/check/gstcheck.h>
#include <gst/instancemask/instancemask.h>

static GstInstanceMask *
mask_new (guint id, guint w, guint h)
{
  GstInstanceMask *mask = gst_instance_mask_new ();
  guint8 *cells = g_malloc (w * h + 1);
  GBytes *grid = g_bytes_new_take (cells, w * h + 1);

  for (guint i = 0; i < w * h; i++)
    cells[i] = (i * 7 + id) % 251 < 120 ? (guint8) (i * id) : 255;
  if (w * h > 0)
    fail_unless (gst_instance_mask_set_grid (mask, grid, 0, w, w, h));
  g_bytes_unref (grid);
  mask->id = id;
  mask->class_id = -1 - (gint) id;
  mask->score = 0.5f + id / 100.0f;
  mask->x0 = mask->offset_x = 10.25f * id;
  mask->y0 = mask->offset_y = 5;
  mask->scale_x = id % 2 ? 4 : -4;
  mask->x1 = 10.25f * id + 4 * w + 1;
  mask->y1 = 7 + h;
  return mask;
}

static GstBuffer *
buffer_new (void)
{
  GstBuffer *buffer = gst_buffer_new_allocate (NULL, 16, NULL);
  GstInstanceMaskMeta *meta =
      gst_buffer_add_instance_mask_meta (buffer, "seg0", 640, 360);

  for (guint i = 1; i < 4; i++) {
    g_autoptr (GstInstanceMask) mask = mask_new (i, i == 2 ? 0 : 8 + i, 6);

    gst_instance_mask_set_label (mask, i == 1 ? "M\303\274cke" : NULL);
    mask->flags = i == 3 ? GST_INSTANCE_MASK_FLAG_PREDICTED : 0;
    fail_unless_equals_int (gst_instance_mask_meta_add (meta, mask), i - 1);
  }
  return buffer;
}

static void
check_equal (const GstInstanceMaskMeta * a, const GstInstanceMaskMeta * b)
{
  fail_unless_equals_string (gst_instance_mask_meta_get_source (a),
      gst_instance_mask_meta_get_source (b));
  fail_unless (gst_instance_mask_meta_matches (a, b->frame_width,
          b->frame_height));
  fail_unless_equals_int (gst_instance_mask_meta_get_n_instances (a),
      gst_instance_mask_meta_get_n_instances (b));
  for (guint i = 0; i < gst_instance_mask_meta_get_n_instances (a); i++) {
    const GstInstanceMask *p = gst_instance_mask_meta_get_instance (a, i);
    const GstInstanceMask *q = gst_instance_mask_meta_get_instance (b, i);

    fail_unless_equals_int (p->id, q->id);
    fail_unless_equals_int (p->class_id, q->class_id);
    fail_unless_equals_int (p->label, q->label);
    fail_unless_equals_int (p->flags, q->flags);
    fail_unless_equals_float (p->score, q->score);
    fail_unless (p->x0 == q->x0 && p->y0 == q->y0 && p->x1 == q->x1
        && p->y1 == q->y1);
    fail_unless_equals_int (p->grid_width, q->grid_width);
    fail_unless_equals_int (p->grid_height, q->grid_height);
    if (p->grid_width == 0)
      continue;
    fail_unless (p->offset_x == q->offset_x && p->offset_y == q->offset_y);
    fail_unless (p->scale_x == q->scale_x && p->scale_y == q->scale_y);
    for (guint j = 0; j < p->grid_height; j++) {
      const guint8 *c = g_bytes_get_data (p->grid, NULL);
      const guint8 *d = g_bytes_get_data (q->grid, NULL);

      fail_unless (memcmp (c + p->grid_offset + j * p->grid_stride,
              d + q->grid_offset + j * q->grid_stride, p->grid_width) == 0);
    }
  }
}

GST_START_TEST (test_life)
{
  GstBuffer *buffer = gst_buffer_new ();
  g_autoptr (GstInstanceMask) mask = mask_new (1, 4, 4);
  GstInstanceMaskMeta *meta;

  fail_unless (gst_buffer_get_instance_mask_meta (buffer) == NULL);
  meta = gst_buffer_add_instance_mask_meta (buffer, NULL, 640, 360);
  fail_unless (gst_buffer_get_instance_mask_meta (buffer) == meta);
  fail_unless (gst_instance_mask_meta_get_source (meta) == NULL);
  fail_unless_equals_int (gst_instance_mask_meta_get_n_instances (meta), 0);
  fail_unless (gst_instance_mask_meta_get_instance (meta, 0) == NULL);

  for (guint i = 0; i < 5; i++) {
    mask->id = i;
    gst_instance_mask_meta_add (meta, mask);
  }
  fail_unless (gst_instance_mask_meta_get_instance (meta, 2)->grid ==
      mask->grid);
  gst_instance_mask_meta_remove (meta, 1);
  gst_instance_mask_meta_remove (meta, 3);
  fail_unless_equals_int (gst_instance_mask_meta_get_n_instances (meta), 3);
  fail_unless_equals_int (gst_instance_mask_meta_get_instance (meta, 1)->id, 2);
  fail_unless_equals_int (gst_instance_mask_meta_get_instance (meta, 2)->id, 3);
  gst_buffer_remove_meta (buffer, (GstMeta *) meta);
  fail_unless (gst_buffer_get_instance_mask_meta (buffer) == NULL);
  gst_buffer_unref (buffer);
}

GST_END_TEST;

GST_START_TEST (test_copy)
{
  GstBuffer *buffer = buffer_new (), *copy, *part;
  GstInstanceMaskMeta *meta = gst_buffer_get_instance_mask_meta (buffer);
  GstInstanceMaskMeta *other;

  copy = gst_buffer_copy (buffer);
  other = gst_buffer_get_instance_mask_meta (copy);
  check_equal (meta, other);
  fail_unless (gst_instance_mask_meta_get_instance (meta, 0)->grid ==
      gst_instance_mask_meta_get_instance (other, 0)->grid);
  /* A change here does not show there. */
  gst_instance_mask_meta_crop (other, 0, 0, 15, 15);
  fail_unless_equals_int (gst_instance_mask_meta_get_n_instances (meta), 3);
  gst_buffer_unref (copy);

  part = gst_buffer_copy_region (buffer, GST_BUFFER_COPY_ALL, 0, -1);
  check_equal (meta, gst_buffer_get_instance_mask_meta (part));
  gst_buffer_unref (part);
  part = gst_buffer_copy_region (buffer, GST_BUFFER_COPY_ALL, 0, 16);
  check_equal (meta, gst_buffer_get_instance_mask_meta (part));
  gst_buffer_unref (part);
  part = gst_buffer_copy_region (buffer, GST_BUFFER_COPY_ALL, 0, 8);
  fail_unless (gst_buffer_get_instance_mask_meta (part) == NULL);
  gst_buffer_unref (part);
  gst_buffer_unref (buffer);
}

GST_END_TEST;

GST_START_TEST (test_scale_and_crop)
{
  GstBuffer *buffer = buffer_new ();
  GstInstanceMaskMeta *meta = gst_buffer_get_instance_mask_meta (buffer);
  GstInstanceMask *mask;

  gst_instance_mask_meta_scale (meta, 0, 20, 320, 180, 320, 220);
  fail_unless (gst_instance_mask_meta_matches (meta, 320, 220));
  mask = gst_instance_mask_meta_get_instance (meta, 0);
  fail_unless (mask->x0 == 5.125f && mask->y0 == 22.5f);
  fail_unless (mask->scale_x == 2 && mask->scale_y == 0.5f);
  fail_unless (mask->offset_x == 5.125f && mask->offset_y == 22.5f);

  /* The second box ends at 10.75, before the crop. */
  gst_instance_mask_meta_crop (meta, 12, 2, 100, 50);
  fail_unless (gst_instance_mask_meta_matches (meta, 100, 50));
  fail_unless_equals_int (gst_instance_mask_meta_get_n_instances (meta), 2);
  mask = gst_instance_mask_meta_get_instance (meta, 0);
  fail_unless_equals_int (mask->id, 1);
  fail_unless_equals_int (mask->flags, GST_INSTANCE_MASK_FLAG_TRUNCATED);
  fail_unless (mask->x0 == 0 && mask->y0 == 20.5f);
  fail_unless (mask->offset_x == 5.125f - 12);
  mask = gst_instance_mask_meta_get_instance (meta, 1);
  fail_unless_equals_int (mask->flags, GST_INSTANCE_MASK_FLAG_PREDICTED);
  gst_buffer_unref (buffer);
}

GST_END_TEST;

GST_START_TEST (test_orient)
{
  /* Each method followed by its inverse. */
  static const GstVideoOrientationMethod pairs[][2] = {
    {GST_VIDEO_ORIENTATION_90R, GST_VIDEO_ORIENTATION_90L},
    {GST_VIDEO_ORIENTATION_180, GST_VIDEO_ORIENTATION_180},
    {GST_VIDEO_ORIENTATION_HORIZ, GST_VIDEO_ORIENTATION_HORIZ},
    {GST_VIDEO_ORIENTATION_VERT, GST_VIDEO_ORIENTATION_VERT},
    {GST_VIDEO_ORIENTATION_UL_LR, GST_VIDEO_ORIENTATION_UL_LR},
    {GST_VIDEO_ORIENTATION_UR_LL, GST_VIDEO_ORIENTATION_UR_LL},
  };
  GstBuffer *buffer = buffer_new (), *copy;
  GstInstanceMaskMeta *meta = gst_buffer_get_instance_mask_meta (buffer);

  for (guint i = 0; i < G_N_ELEMENTS (pairs); i++) {
    GstInstanceMaskMeta *turned;

    copy = gst_buffer_copy (buffer);
    turned = gst_buffer_get_instance_mask_meta (copy);
    fail_unless (gst_instance_mask_meta_orient (turned, pairs[i][0]));
    fail_if (gst_instance_mask_meta_get_instance (turned, 0)->x0 == 10.25f
        && gst_instance_mask_meta_get_instance (turned, 0)->y0 == 5);
    fail_unless (gst_instance_mask_meta_orient (turned, pairs[i][1]));
    check_equal (meta, turned);
    gst_buffer_unref (copy);
  }
  fail_unless (gst_instance_mask_meta_orient (meta,
          GST_VIDEO_ORIENTATION_IDENTITY));
  fail_if (gst_instance_mask_meta_orient (meta, GST_VIDEO_ORIENTATION_AUTO));
  gst_buffer_unref (buffer);
}

GST_END_TEST;

static GBytes *
round_trip (const GstInstanceMaskMeta * meta)
{
  GBytes *bytes = gst_instance_mask_meta_to_bytes (meta);
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) again = NULL;
  GstBuffer *buffer = gst_buffer_new ();
  GstInstanceMaskMeta *read =
      gst_buffer_add_instance_mask_meta_from_bytes (buffer, bytes, &error);

  g_assert_no_error (error);
  check_equal (meta, read);
  again = gst_instance_mask_meta_to_bytes (read);
  fail_unless (g_bytes_equal (bytes, again));
  gst_buffer_unref (buffer);
  return bytes;
}

GST_START_TEST (test_bytes)
{
  static const guint8 empty[] = { 'G', 'I', 'M', '1', 0x80, 2, 0, 0,
    0x68, 1, 0, 0, 2, 'm', 'e', 0, 0, 0, 0
  };
  GstBuffer *buffer = buffer_new ();
  GstInstanceMaskMeta *meta = gst_buffer_get_instance_mask_meta (buffer);
  g_autoptr (GstInstanceMask) mask = NULL;
  GBytes *bytes = round_trip (meta);
  guint8 *cells;
  g_autoptr (GBytes) grid = NULL;
  gsize size;

  g_bytes_unref (bytes);
  gst_buffer_unref (buffer);

  /* Nothing found; byte by byte. */
  buffer = gst_buffer_new ();
  meta = gst_buffer_add_instance_mask_meta (buffer, "me", 640, 360);
  bytes = round_trip (meta);
  fail_unless_equals_int (g_bytes_get_size (bytes), sizeof (empty));
  fail_unless (memcmp (g_bytes_get_data (bytes, NULL), empty,
          sizeof (empty)) == 0);
  g_bytes_unref (bytes);

  /* A mask as they are: mostly 0 and 255. It packs well; noise is kept as it
   * is, without growing. */
  cells = g_malloc (160 * 200);
  for (guint i = 0; i < 160 * 200; i++) {
    gdouble d = hypot ((gint) (i % 160) - 80, (gint) (i / 160) - 100);

    cells[i] = (guint8) CLAMP ((60 - d) * 40, 0, 255);
  }
  grid = g_bytes_new_take (cells, 160 * 200);
  mask = gst_instance_mask_new ();
  gst_instance_mask_set_grid (mask, grid, 160 * 20 + 10, 160, 140, 170);
  gst_instance_mask_meta_add (meta, mask);
  bytes = round_trip (meta);
  size = g_bytes_get_size (bytes);
  fail_unless (size < 140 * 170 / 6, "%" G_GSIZE_FORMAT, size);
  g_bytes_unref (bytes);

  g_clear_pointer (&grid, g_bytes_unref);
  cells = g_malloc (1000);
  for (guint i = 0; i < 1000; i++)
    cells[i] = (guint8) (i * i * 31 + i / 7);
  grid = g_bytes_new_take (cells, 1000);
  gst_instance_mask_set_grid (mask, grid, 0, 40, 40, 25);
  gst_instance_mask_meta_add (meta, mask);
  bytes = round_trip (meta);
  fail_unless (g_bytes_get_size (bytes) < size + 1000 + 100);
  g_bytes_unref (bytes);

  /* Runs and literals of every length around the limits. */
  g_clear_pointer (&grid, g_bytes_unref);
  cells = g_malloc (40000);
  for (guint i = 0, n = 1; i < 40000; n++) {
    for (guint k = 0; k < n && i < 40000; k++)
      cells[i++] = n & 1 ? 3 : (guint8) (k * 5);
  }
  grid = g_bytes_new_take (cells, 40000);
  gst_instance_mask_set_grid (mask, grid, 0, 200, 200, 200);
  gst_instance_mask_meta_add (meta, mask);
  g_bytes_unref (round_trip (meta));
  gst_buffer_unref (buffer);
}

GST_END_TEST;

static gboolean
taken (const guint8 * data, gsize size)
{
  g_autoptr (GBytes) bytes = g_bytes_new (data, size);
  g_autoptr (GError) error = NULL;
  GstBuffer *buffer = gst_buffer_new ();
  GstInstanceMaskMeta *meta =
      gst_buffer_add_instance_mask_meta_from_bytes (buffer, bytes, &error);
  gboolean ok = meta != NULL;

  fail_unless (ok == (error == NULL));
  fail_unless (ok == (gst_buffer_get_instance_mask_meta (buffer) != NULL));
  if (error)
    fail_unless (g_error_matches (error, GST_STREAM_ERROR,
            GST_STREAM_ERROR_DECODE));
  gst_buffer_unref (buffer);
  return ok;
}

GST_START_TEST (test_bad_bytes)
{
  GstBuffer *buffer = buffer_new ();
  GBytes *bytes = gst_instance_mask_meta_to_bytes
      (gst_buffer_get_instance_mask_meta (buffer));
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  g_autofree guint8 *copy = g_malloc (size + 1);
  GRand *rand = g_rand_new_with_seed (1);

  fail_unless (taken (data, size));
  for (gsize n = 0; n < size; n++)
    fail_if (taken (data, n), "%" G_GSIZE_FORMAT, n);
  memcpy (copy, data, size);
  copy[size] = 0;
  fail_if (taken (copy, size + 1));

  /* Every byte in turn, and many at once: any outcome but a crash. */
  for (gsize i = 0; i < size; i++) {
    for (guint bit = 0; bit < 8; bit++) {
      copy[i] ^= 1 << bit;
      taken (copy, size);
      copy[i] ^= 1 << bit;
    }
  }
  for (guint i = 0; i < 3000; i++) {
    memcpy (copy, data, size);
    for (guint k = 0; k < 1 + i % 5; k++)
      copy[g_rand_int_range (rand, 0, size)] = g_rand_int (rand);
    taken (copy, size);
  }
  g_rand_free (rand);
  g_bytes_unref (bytes);
  gst_buffer_unref (buffer);
}

GST_END_TEST;

GST_START_TEST (test_lying_bytes)
{
  /* One instance; what follows is changed in turn. */
  GByteArray *array = g_byte_array_new ();
  GstBuffer *buffer = gst_buffer_new ();
  GstInstanceMaskMeta *meta =
      gst_buffer_add_instance_mask_meta (buffer, NULL, 64, 64);
  g_autoptr (GstInstanceMask) mask = mask_new (1, 4, 4);
  GBytes *bytes;
  gsize size, i;
  /* Positions: header 17; id, class, label, score, box 33; flags 37. */
  static const struct
  {
    gsize pos;
    guint32 value;
  } lies[] = {
    {0, 0}, {13, 2}, {13, G_MAXUINT32}, {26, 0x7fc00000}, {30, 0x7f800000},
    {50, 5}, {50, 0}, {50, G_MAXUINT32}, {50, 32769}, {54, 5}, {54, 0},
    {54, 0x40000000}, {58, 0x7fc00000}, {66, 0xff800000}, {75, 17},
    {75, G_MAXUINT32}, {75, 0},
  };

  gst_instance_mask_set_label (mask, NULL);
  gst_instance_mask_meta_add (meta, mask);
  bytes = gst_instance_mask_meta_to_bytes (meta);
  size = g_bytes_get_size (bytes);
  fail_unless_equals_int (size, 79 + 16);
  g_byte_array_append (array, g_bytes_get_data (bytes, NULL), size);
  fail_unless (taken (array->data, size));
  for (i = 0; i < G_N_ELEMENTS (lies); i++) {
    guint8 old[4];

    memcpy (old, array->data + lies[i].pos, 4);
    GST_WRITE_UINT32_LE (array->data + lies[i].pos, lies[i].value);
    fail_if (taken (array->data, size), "%u at %" G_GSIZE_FORMAT,
        lies[i].value, lies[i].pos);
    memcpy (array->data + lies[i].pos, old, 4);
  }
  array->data[74] = 2;          /* no such packing */
  fail_if (taken (array->data, size));
  array->data[74] = 1;          /* but these are no runs */
  fail_if (taken (array->data, size));
  fail_unless (array->data[25] == 0);
  g_byte_array_unref (array);
  g_bytes_unref (bytes);
  gst_buffer_unref (buffer);

  /* A label that is no text. */
  {
    static const guint8 bad[] = "GIM1\1\0\0\0\1\0\0\0\2\xff\xfe\0\0\0";

    fail_if (taken (bad, sizeof (bad)));
  }
}

GST_END_TEST;

#if GST_CHECK_VERSION (1, 24, 0)
GST_START_TEST (test_serialize)
{
  GstBuffer *buffer = buffer_new (), *other = gst_buffer_new ();
  GstMeta *meta = (GstMeta *) gst_buffer_get_instance_mask_meta (buffer);
  GByteArray *data = g_byte_array_new ();
  guint32 consumed = 0;

  fail_unless (gst_meta_serialize_simple (meta, data));
  fail_unless (gst_meta_deserialize (other, data->data, data->len, &consumed));
  fail_unless_equals_int (consumed, data->len);
  check_equal ((GstInstanceMaskMeta *) meta,
      gst_buffer_get_instance_mask_meta (other));
  g_byte_array_unref (data);
  gst_buffer_unref (buffer);
  gst_buffer_unref (other);
}

GST_END_TEST;
#endif

static Suite *
instancemaskmeta_suite (void)
{
  Suite *s = suite_create ("instancemaskmeta");
  TCase *tc = tcase_create ("general");

  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_life);
  tcase_add_test (tc, test_copy);
  tcase_add_test (tc, test_scale_and_crop);
  tcase_add_test (tc, test_orient);
  tcase_add_test (tc, test_bytes);
  tcase_add_test (tc, test_bad_bytes);
  tcase_add_test (tc, test_lying_bytes);
#if GST_CHECK_VERSION (1, 24, 0)
  tcase_add_test (tc, test_serialize);
#endif
  return s;
}

GST_CHECK_MAIN (instancemaskmeta);
