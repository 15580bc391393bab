/* GStreamer instance masks
 *
 * gstinstancemaskrle.c: COCO run lengths
 *
 * The pixels of a frame are read column by column; the counts are the lengths
 * of runs of 0 and 1 in turn, starting with 0. Without compression COCO JSON
 * has them as a list of numbers, with it as the string that pycocotools makes:
 * each count (from the fourth on less the one two before it) in groups of 5
 * bits, lowest first, with a sixth bit for "more follows", plus 48.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>
#include "instancemask.h"
#include "gstinstancemask-private.h"

typedef struct
{
  GArray *counts;
  guint64 run;                  /* length of the run so far */
  gboolean value;               /* what it consists of */
} Runs;

static void
runs_start (Runs * runs)
{
  runs->counts = g_array_new (FALSE, FALSE, sizeof (guint32));
  runs->run = 0;
  runs->value = FALSE;
}

static void
runs_append (Runs * runs, gboolean value, guint64 n)
{
  if (n == 0)
    return;
  if (value != runs->value) {
    guint32 count = (guint32) runs->run;

    g_array_append_val (runs->counts, count);
    runs->value = value;
    runs->run = 0;
  }
  runs->run += n;
}

static guint32 *
runs_finish (Runs * runs, gsize * n_counts)
{
  guint32 count = (guint32) runs->run;
  gsize n;
  guint32 *data;

  g_array_append_val (runs->counts, count);
  data = g_array_steal (runs->counts, &n);
  g_array_free (runs->counts, TRUE);
  *n_counts = n;
  return data;
}

static gboolean
size_fits (guint64 width, guint64 height)
{
  return width <= G_MAXINT && height <= G_MAXINT
      && width * height <= G_MAXUINT32;
}

/**
 * gst_instance_mask_to_rle:
 * @mask: a #GstInstanceMask
 * @frame_width: width of the frame
 * @frame_height: its height
 * @threshold: least value that counts, 1 to 255
 * @n_counts: (out): the number of counts
 *
 * COCO's uncompressed run lengths of the mask over the whole frame. Only the
 * mask's own pixels are rendered.
 *
 * Returns: (transfer full) (array length=n_counts): run lengths, which add up
 *   to @frame_width * @frame_height
 */
guint32 *
gst_instance_mask_to_rle (const GstInstanceMask * mask, guint frame_width,
    guint frame_height, guint8 threshold, gsize * n_counts)
{
  GstInstanceMaskRows rows;
  g_autoptr (GstInstanceMask) turned = NULL;
  Runs runs;

  g_return_val_if_fail (mask != NULL && n_counts != NULL, NULL);
  g_return_val_if_fail (threshold > 0, NULL);
  g_return_val_if_fail (size_fits (frame_width, frame_height), NULL);

  /* The rows of the transposed mask are the columns of this one. */
  turned = gst_instance_mask_copy (mask);
  gst_instance_mask_transpose (turned);

  runs_start (&runs);
  if (gst_instance_mask_rows_init (&rows, turned, 0, frame_height, threshold)) {
    gint x_first = CLAMP (rows.vertical.first, 0, (gint) frame_width);
    gint x_last = CLAMP (rows.vertical.last, x_first, (gint) frame_width);

    runs_append (&runs, FALSE, (guint64) x_first * frame_height);
    for (gint x = x_first; x < x_last; x++) {
      gint n = gst_instance_mask_rows_find (&rows, x), end = 0;

      for (gint i = 0; i < n; i++) {
        const GstInstanceMaskRun *run = &rows.runs[i];

        runs_append (&runs, FALSE, run->first - end);
        runs_append (&runs, TRUE, run->last - run->first);
        end = run->last;
      }
      runs_append (&runs, FALSE, frame_height - end);
    }
    runs_append (&runs, FALSE, (guint64) (frame_width - x_last) * frame_height);
  } else {
    runs_append (&runs, FALSE, (guint64) frame_width * frame_height);
  }
  gst_instance_mask_rows_finish (&rows);
  return runs_finish (&runs, n_counts);
}

/**
 * gst_instance_mask_to_rle_string:
 * @mask: a #GstInstanceMask
 * @frame_width: width of the frame
 * @frame_height: its height
 * @threshold: least value that counts, 1 to 255
 *
 * Returns: (transfer full): COCO's compressed run lengths of the mask over
 *   the whole frame, as pycocotools has them
 */
gchar *
gst_instance_mask_to_rle_string (const GstInstanceMask * mask,
    guint frame_width, guint frame_height, guint8 threshold)
{
  g_autofree guint32 *counts = NULL;
  gsize n_counts = 0;

  counts = gst_instance_mask_to_rle (mask, frame_width, frame_height,
      threshold, &n_counts);
  return counts ? gst_instance_mask_rle_to_string (counts, n_counts) : NULL;
}

/**
 * gst_instance_mask_rle_from_a8: (skip)
 * @data: one byte per pixel; all but 0 count as set
 * @width: number of columns
 * @height: number of rows
 * @stride: bytes from one row to the next
 * @n_counts: (out): the number of counts
 *
 * Returns: (transfer full) (array length=n_counts): COCO's uncompressed run
 *   lengths of a rendered mask
 */
guint32 *
gst_instance_mask_rle_from_a8 (const guint8 * data, guint width,
    guint height, gsize stride, gsize * n_counts)
{
  Runs runs;

  g_return_val_if_fail (n_counts != NULL, NULL);
  g_return_val_if_fail (data != NULL || width == 0 || height == 0, NULL);
  g_return_val_if_fail (stride >= width && size_fits (width, height), NULL);

  runs_start (&runs);
  for (guint x = 0; x < width; x++) {
    for (guint y = 0; y < height; y++)
      runs_append (&runs, data[y * stride + x] != 0, 1);
  }
  return runs_finish (&runs, n_counts);
}

/**
 * gst_instance_mask_rle_to_a8: (skip)
 * @counts: (array length=n_counts): run lengths
 * @n_counts: their number
 * @width: number of columns
 * @height: number of rows
 * @data: where to put one byte per pixel, 0 or 255
 * @stride: bytes from one row to the next
 *
 * Returns: whether the counts add up to @width * @height; else @data is only
 *   partly right
 */
gboolean
gst_instance_mask_rle_to_a8 (const guint32 * counts, gsize n_counts,
    guint width, guint height, guint8 * data, gsize stride)
{
  guint64 left = (guint64) width * height;
  guint x = 0, y = 0;

  g_return_val_if_fail (counts != NULL || n_counts == 0, FALSE);
  g_return_val_if_fail (data != NULL || left == 0, FALSE);
  g_return_val_if_fail (stride >= width, FALSE);

  for (gsize i = 0; i < n_counts; i++) {
    if (counts[i] > left)
      return FALSE;
    left -= counts[i];
    for (guint32 n = counts[i]; n > 0; n--) {
      data[y * stride + x] = i & 1 ? 255 : 0;
      if (++y == height) {
        y = 0;
        x++;
      }
    }
  }
  return left == 0;
}

/**
 * gst_instance_mask_rle_to_string:
 * @counts: (array length=n_counts): run lengths
 * @n_counts: their number
 *
 * Returns: (transfer full): the counts as pycocotools' string
 */
gchar *
gst_instance_mask_rle_to_string (const guint32 * counts, gsize n_counts)
{
  GString *string;

  g_return_val_if_fail (counts != NULL || n_counts == 0, NULL);

  string = g_string_sized_new (n_counts * 2 + 1);
  for (gsize i = 0; i < n_counts; i++) {
    gint64 v = counts[i];
    gboolean more;

    if (i > 2)
      v -= counts[i - 2];
    do {
      gint bits = v & 0x1f;

      v >>= 5;                  /* keeps the sign */
      more = bits & 0x10 ? v != -1 : v != 0;
      g_string_append_c (string, (bits | (more ? 0x20 : 0)) + 48);
    } while (more);
  }
  return g_string_free (string, FALSE);
}

/**
 * gst_instance_mask_rle_from_string:
 * @string: run lengths as pycocotools has them
 * @n_counts: (out): the number of counts
 *
 * Returns: (transfer full) (nullable) (array length=n_counts): the counts, or
 *   %NULL if @string is not such a string
 */
guint32 *
gst_instance_mask_rle_from_string (const gchar * string, gsize * n_counts)
{
  g_autoptr (GArray) counts = NULL;
  gsize n = 0;

  g_return_val_if_fail (string != NULL && n_counts != NULL, NULL);

  *n_counts = 0;
  counts = g_array_new (FALSE, FALSE, sizeof (guint32));
  while (*string) {
    gint64 v = 0;
    guint32 count;
    gint shift = 0, bits;

    do {
      bits = *string++ - 48;
      if (bits < 0 || bits > 0x3f || shift > 35)
        return NULL;
      v |= (gint64) (bits & 0x1f) << shift;
      shift += 5;
    } while (bits & 0x20);
    if (bits & 0x10)
      v |= -((gint64) 1 << shift);

    if (n > 2)
      v += g_array_index (counts, guint32, n - 2);
    if (v < 0 || v > G_MAXUINT32)
      return NULL;
    count = (guint32) v;
    g_array_append_val (counts, count);
    n++;
  }
  return g_array_steal (counts, n_counts);
}
