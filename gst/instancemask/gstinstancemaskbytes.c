/* GStreamer instance masks
 *
 * gstinstancemaskbytes.c: a meta as bytes
 *
 * All numbers are little-endian, floats IEEE 754 single precision, strings a
 * length of one byte and UTF-8 without end mark.
 *
 *   4 bytes "GIM1"; u32 frame width, u32 frame height; string source;
 *   u32 number of instances; for each instance:
 *     u32 id; i32 class id; string label; float score; float x0, y0, x1, y1;
 *     u32 flags; u32 grid width; u32 grid height; if there is a grid:
 *       float offset x, offset y, scale x, scale y;
 *       u8 packing; u32 length; that many bytes
 *
 * Packing 0: the cells row by row. Packing 1: runs: a byte c < 128 is followed
 * by c + 1 cells as they are, a byte c >= 128 by one that stands c - 125 times.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <string.h>
#include "instancemask.h"
#include "gstinstancemask-private.h"

#define MAGIC "GIM1"
#define RAW 0
#define RUNS 1
#define MIN_RUN 3
#define MAX_RUN 130
#define MAX_LITERAL 128

/* ---- writing ---- */

static void
put_u32 (GByteArray * out, guint32 v)
{
  v = GUINT32_TO_LE (v);
  g_byte_array_append (out, (const guint8 *) &v, 4);
}

static void
put_float (GByteArray * out, gfloat f)
{
  guint32 v;

  memcpy (&v, &f, 4);
  put_u32 (out, v);
}

static void
put_string (GByteArray * out, GQuark quark)
{
  const gchar *s = quark ? g_quark_to_string (quark) : "";
  gsize size = strlen (s);
  guint8 n;

  /* Cut between characters. */
  if (size > 255) {
    size = 255;
    while (size > 0 && ((guchar) s[size] & 0xc0) == 0x80)
      size--;
  }
  n = (guint8) size;
  g_byte_array_append (out, &n, 1);
  g_byte_array_append (out, (const guint8 *) s, n);
}

static gsize
run_length (const guint8 * p, gsize n)
{
  gsize k = 1;

  n = MIN (n, MAX_RUN);
  while (k < n && p[k] == p[0])
    k++;
  return k;
}

/* Appends runs, or gives up (FALSE, with the array as it was) as soon as they
 * are no shorter than the cells themselves. */
static gboolean
put_runs (GByteArray * out, const guint8 * cells, gsize n)
{
  guint start = out->len;
  gsize i = 0;

  while (i < n) {
    gsize literal = 0, run = run_length (cells + i, n - i);
    guint8 code;

    while (run < MIN_RUN && i + literal < n && literal < MAX_LITERAL) {
      literal++;
      run = run_length (cells + i + literal, n - i - literal);
    }
    if (literal > 0) {
      code = (guint8) (literal - 1);
      g_byte_array_append (out, &code, 1);
      g_byte_array_append (out, cells + i, literal);
      i += literal;
    } else {
      code = (guint8) (run - MIN_RUN + 128);
      g_byte_array_append (out, &code, 1);
      g_byte_array_append (out, cells + i, 1);
      i += run;
    }
    if (out->len - start >= n) {
      g_byte_array_set_size (out, start);
      return FALSE;
    }
  }
  return TRUE;
}

static void
put_grid (GByteArray * out, const GstInstanceMask * mask, const guint8 * grid)
{
  gsize n = (gsize) mask->grid_width * mask->grid_height;
  g_autofree guint8 *cells = g_malloc (n);
  guint header = out->len;
  guint8 packing = RUNS;
  guint32 length;

  for (guint j = 0; j < mask->grid_height; j++) {
    memcpy (cells + (gsize) j * mask->grid_width,
        grid + (gsize) j * mask->grid_stride, mask->grid_width);
  }
  g_byte_array_set_size (out, header + 5);
  if (!put_runs (out, cells, n)) {
    packing = RAW;
    g_byte_array_append (out, cells, n);
  }
  length = GUINT32_TO_LE (out->len - header - 5);
  out->data[header] = packing;
  memcpy (out->data + header + 1, &length, 4);
}

/**
 * gst_instance_mask_meta_to_bytes:
 * @meta: a #GstInstanceMaskMeta
 *
 * The meta in a form that can be stored or sent to another machine; GStreamer
 * from 1.24 on does it by itself (unixfdsink, for instance). Only the cells
 * that an object uses are written, run-length coded where that is shorter.
 *
 * Returns: (transfer full): the bytes
 */
GBytes *
gst_instance_mask_meta_to_bytes (const GstInstanceMaskMeta * meta)
{
  GByteArray *out;

  g_return_val_if_fail (meta != NULL, NULL);

  out = g_byte_array_new ();
  g_byte_array_append (out, (const guint8 *) MAGIC, 4);
  put_u32 (out, meta->frame_width);
  put_u32 (out, meta->frame_height);
  put_string (out, meta->source);
  put_u32 (out, meta->instances->len);
  for (guint i = 0; i < meta->instances->len; i++) {
    const GstInstanceMask *mask =
        &g_array_index (meta->instances, GstInstanceMask, i);
    const guint8 *grid = gst_instance_mask_peek_grid (mask);

    put_u32 (out, mask->id);
    put_u32 (out, (guint32) mask->class_id);
    put_string (out, mask->label);
    put_float (out, mask->score);
    put_float (out, mask->x0);
    put_float (out, mask->y0);
    put_float (out, mask->x1);
    put_float (out, mask->y1);
    put_u32 (out, mask->flags);
    put_u32 (out, grid ? mask->grid_width : 0);
    put_u32 (out, grid ? mask->grid_height : 0);
    if (grid) {
      put_float (out, mask->offset_x);
      put_float (out, mask->offset_y);
      put_float (out, mask->scale_x);
      put_float (out, mask->scale_y);
      put_grid (out, mask, grid);
    }
  }
  return g_byte_array_free_to_bytes (out);
}

/* ---- reading ---- */

typedef struct
{
  const guint8 *data;
  gsize size, pos;
  const gchar *what;            /* that is being read */
  GError **error;
} Reader;

static gboolean
fail (Reader * in, const gchar * problem)
{
  g_set_error (in->error, GST_STREAM_ERROR, GST_STREAM_ERROR_DECODE,
      "Instance masks: %s %s at byte %" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT,
      in->what, problem, in->pos, in->size);
  return FALSE;
}

static const guint8 *
get_bytes (Reader * in, gsize n)
{
  const guint8 *p = in->data + in->pos;

  if (n > in->size - in->pos) {
    fail (in, "is cut off");
    return NULL;
  }
  in->pos += n;
  return p;
}

static gboolean
get_u32 (Reader * in, const gchar * what, guint32 * v)
{
  const guint8 *p;

  in->what = what;
  p = get_bytes (in, 4);
  if (!p)
    return FALSE;
  memcpy (v, p, 4);
  *v = GUINT32_FROM_LE (*v);
  return TRUE;
}

/* NaN and infinity never come out of a detector, and break all who compute
 * with them. */
static gboolean
get_floats (Reader * in, const gchar * what, gfloat * f, guint n)
{
  for (guint i = 0; i < n; i++) {
    guint32 v;

    if (!get_u32 (in, what, &v))
      return FALSE;
    memcpy (&f[i], &v, 4);
    if (!isfinite (f[i]))
      return fail (in, "is not a finite number");
  }
  return TRUE;
}

#define MAX_NEW_LABELS 65536

static gboolean
get_string (Reader * in, const gchar * what, GQuark * quark)
{
  const guint8 *n, *s;
  g_autofree gchar *string = NULL;
  static gint n_new_labels;

  in->what = what;
  n = get_bytes (in, 1);
  if (!n)
    return FALSE;
  s = get_bytes (in, *n);
  if (!s)
    return FALSE;
  if (!g_utf8_validate ((const gchar *) s, *n, NULL))
    return fail (in, "is not UTF-8");
  string = g_strndup ((const gchar *) s, *n);
  /* quarks are never freed: strangers may make only so many */
  if (*n && !g_quark_try_string (string)
      && g_atomic_int_add (&n_new_labels, 1) >= MAX_NEW_LABELS)
    return fail (in, "is one new name too many");
  *quark = *n ? g_quark_from_string (string) : 0;
  return TRUE;
}

static gboolean
unpack_runs (const guint8 * src, gsize size, guint8 * dst, gsize n)
{
  const guint8 *end = src + size;

  while (src < end) {
    guint code = *src++;
    gsize k = code < 128 ? code + 1 : code - 128 + MIN_RUN;

    if (k > n)
      return FALSE;
    if (code < 128) {
      if (k > (gsize) (end - src))
        return FALSE;
      memcpy (dst, src, k);
      src += k;
    } else {
      if (src == end)
        return FALSE;
      memset (dst, *src++, k);
    }
    dst += k;
    n -= k;
  }
  return n == 0;
}

static gboolean
get_grid (Reader * in, GstInstanceMask * mask, guint32 width, guint32 height)
{
  g_autoptr (GBytes) grid = NULL;
  const guint8 *packing, *src;
  guint32 length = 0;
  guint8 *cells;
  gsize n;

  in->what = "size of a grid";
  if (width == 0 || height == 0 || width > GST_INSTANCE_MASK_MAX_GRID
      || height > GST_INSTANCE_MASK_MAX_GRID)
    return fail (in, "is out of range");
  n = (gsize) width * height;

  if (!get_floats (in, "offset of a grid", &mask->offset_x, 1)
      || !get_floats (in, "offset of a grid", &mask->offset_y, 1)
      || !get_floats (in, "scale of a grid", &mask->scale_x, 1)
      || !get_floats (in, "scale of a grid", &mask->scale_y, 1))
    return FALSE;
  in->what = "packing of a grid";
  packing = get_bytes (in, 1);
  if (!packing)
    return FALSE;
  if (*packing > RUNS)
    return fail (in, "is unknown");
  if (!get_u32 (in, "length of a grid", &length))
    return FALSE;
  /* Before allocating: the cells must be able to come out of these bytes. */
  if (*packing == RAW ? length != n : (guint64) length * MAX_RUN < n)
    return fail (in, "contradicts its size");
  in->what = "grid";
  src = get_bytes (in, length);
  if (!src)
    return FALSE;

  cells = g_try_malloc (n);
  if (!cells)
    return fail (in, "does not fit into memory");
  grid = g_bytes_new_take (cells, n);
  if (*packing == RAW)
    memcpy (cells, src, n);
  else if (!unpack_runs (src, length, cells, n))
    return fail (in, "does not have its size");
  gst_instance_mask_set_grid (mask, grid, 0, width, width, height);
  return TRUE;
}

static gboolean
get_instance (Reader * in, GstInstanceMask * mask)
{
  guint32 v = 0, width = 0, height = 0;
  gfloat box[4];

  if (!get_u32 (in, "id", &v))
    return FALSE;
  mask->id = v;
  if (!get_u32 (in, "class id", &v))
    return FALSE;
  mask->class_id = (gint32) v;
  if (!get_string (in, "label", &mask->label)
      || !get_floats (in, "score", &mask->score, 1)
      || !get_floats (in, "box", box, 4) || !get_u32 (in, "flags", &v)
      || !get_u32 (in, "grid width", &width)
      || !get_u32 (in, "grid height", &height))
    return FALSE;
  mask->x0 = box[0];
  mask->y0 = box[1];
  mask->x1 = box[2];
  mask->y1 = box[3];
  mask->flags = v;
  return (width == 0 && height == 0) || get_grid (in, mask, width, height);
}

static gboolean
get_meta (Reader * in, GstInstanceMaskMeta * meta)
{
  const guint8 *magic;
  guint32 n = 0;

  in->what = "header";
  magic = get_bytes (in, 4);
  if (!magic)
    return FALSE;
  if (memcmp (magic, MAGIC, 4) != 0)
    return fail (in, "is not \"" MAGIC "\"");
  if (!get_u32 (in, "frame width", &meta->frame_width)
      || !get_u32 (in, "frame height", &meta->frame_height)
      || !get_string (in, "source", &meta->source)
      || !get_u32 (in, "number of instances", &n))
    return FALSE;

  for (guint32 i = 0; i < n; i++) {
    g_autoptr (GstInstanceMask) mask = gst_instance_mask_new ();

    if (!get_instance (in, mask))
      return FALSE;
    gst_instance_mask_meta_add (meta, mask);
  }
  in->what = "end";
  return in->pos == in->size || fail (in, "is not where it should be");
}

/**
 * gst_buffer_add_instance_mask_meta_from_bytes:
 * @buffer: a writable #GstBuffer
 * @bytes: what gst_instance_mask_meta_to_bytes() made
 * @error: return location for an error
 *
 * The bytes may come from anywhere: anything wrong with them is an error, and
 * what they can make this function allocate is at most 130 times their size.
 *
 * Returns: (transfer none) (nullable): the new meta; %NULL with @error set
 *   (in the domain #GST_STREAM_ERROR) if the bytes are not a meta
 */
GstInstanceMaskMeta *
gst_buffer_add_instance_mask_meta_from_bytes (GstBuffer * buffer,
    GBytes * bytes, GError ** error)
{
  GstInstanceMaskMeta *meta;
  Reader in = { NULL, 0, 0, NULL, error };

  g_return_val_if_fail (bytes != NULL, NULL);

  in.data = g_bytes_get_data (bytes, &in.size);
  meta = gst_buffer_add_instance_mask_meta (buffer, NULL, 0, 0);
  if (meta && !get_meta (&in, meta)) {
    gst_buffer_remove_meta (buffer, (GstMeta *) meta);
    return NULL;
  }
  return meta;
}
