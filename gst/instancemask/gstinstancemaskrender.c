/* GStreamer instance masks
 *
 * gstinstancemaskrender.c: from the grid to pixels
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <string.h>
#include "instancemask.h"
#include "gstinstancemask-private.h"

/* The pixels with centres within the grid: [first, last). */
static void
grid_span (gdouble offset, gdouble scale, gint size, gint * first, gint * last)
{
  gdouble a = offset, b = offset + scale * size;
  gdouble lo = ceil (MIN (a, b) - 0.5), hi = floor (MAX (a, b) - 0.5) + 1;

  *first = (gint) CLAMP (lo, G_MININT / 4, G_MAXINT / 4);
  *last = (gint) CLAMP (hi, G_MININT / 4, G_MAXINT / 4);
}

/**
 * gst_instance_mask_get_extents:
 * @mask: a #GstInstanceMask
 * @x: (out): left column
 * @y: (out): top row
 * @width: (out): number of columns
 * @height: (out): number of rows
 *
 * The pixels that the grid covers; all others are not in the mask. They can
 * lie outside of the frame. This reads the map only, not the grid.
 *
 * Returns: %FALSE (and an empty rectangle) if there are none
 */
gboolean
gst_instance_mask_get_extents (const GstInstanceMask * mask,
    gint * x, gint * y, gint * width, gint * height)
{
  gint x0 = 0, x1 = 0, y0 = 0, y1 = 0;

  g_return_val_if_fail (mask != NULL, FALSE);

  if (gst_instance_mask_peek_grid (mask)) {
    grid_span (mask->offset_x, mask->scale_x, mask->grid_width, &x0, &x1);
    grid_span (mask->offset_y, mask->scale_y, mask->grid_height, &y0, &y1);
  }
  if (x1 <= x0 || y1 <= y0)
    x0 = x1 = y0 = y1 = 0;
  *x = x0;
  *y = y0;
  *width = x1 - x0;
  *height = y1 - y0;
  return x1 > x0;
}

/* Position in the grid of a pixel's centre: cell << 9 | weight of the next
 * cell, 0 to 256. The last cell is written as the one before with 256, so that
 * the next cell always exists. */
static inline guint32
tap (gdouble offset, gdouble inv_scale, gint pixel, gint size)
{
  gdouble u = (pixel + 0.5 - offset) * inv_scale - 0.5;
  guint pos = (guint) (CLAMP (u, 0.0, size - 1.0) * 256.0 + 0.5);
  guint cell = pos >> 8;

  if ((gint) cell == size - 1 && cell > 0)
    return (cell - 1) << 9 | 256;
  return cell << 9 | (pos & 255);
}

gboolean
gst_instance_mask_rows_init (GstInstanceMaskRows * rows,
    const GstInstanceMask * mask, gint x, guint width, guint8 threshold)
{
  gdouble inv_scale_x;
  gint64 right;
  gint n;
  guint8 *scratch;

  rows->heap = NULL;
  rows->grid = gst_instance_mask_peek_grid (mask);
  if (!rows->grid)
    return FALSE;

  grid_span (mask->offset_x, mask->scale_x, mask->grid_width, &rows->first,
      &rows->last);
  grid_span (mask->offset_y, mask->scale_y, mask->grid_height, &rows->y_first,
      &rows->y_last);
  right = MIN (rows->last, (gint64) x + width);
  rows->first = MAX (rows->first, x);
  if (rows->first >= right || rows->y_first >= rows->y_last)
    return FALSE;
  rows->last = (gint) right;
  n = rows->last - rows->first;

  rows->x = x;
  rows->grid_stride = mask->grid_stride;
  rows->grid_width = mask->grid_width;
  rows->grid_height = mask->grid_height;
  rows->soft = threshold == 0;
  rows->level = (guint32) MAX (threshold, 1) << 16;
  rows->offset_y = mask->offset_y;
  rows->inv_scale_y = 1.0 / mask->scale_y;
  rows->cached[0] = rows->cached[1] = rows->span_row = -1;

  scratch = (guint8 *) rows->stack;
  if ((gsize) n > sizeof (rows->stack) / 8)
    scratch = rows->heap = g_malloc ((gsize) n * 8);
  rows->taps = (guint32 *) scratch;
  rows->lines[0] = (guint16 *) (rows->taps + n);
  rows->lines[1] = rows->lines[0] + n;

  inv_scale_x = 1.0 / mask->scale_x;
  for (gint i = 0; i < n; i++) {
    rows->taps[i] =
        tap (mask->offset_x, inv_scale_x, rows->first + i, rows->grid_width);
  }
  return TRUE;
}

void
gst_instance_mask_rows_finish (GstInstanceMaskRows * rows)
{
  g_free (rows->heap);
}

/* Cells that reach the level in one of two neighbouring rows. */
static void
cell_span (const GstInstanceMaskRows * rows, const guint8 * a,
    const guint8 * b, gint * first, gint * last)
{
  guint8 t = rows->level >> 16;
  gint i = 0, n = rows->grid_width;

  while (i < n && a[i] < t && b[i] < t)
    i++;
  while (n > i && a[n - 1] < t && b[n - 1] < t)
    n--;
  *first = i;
  *last = n;
}

/* Narrows the columns to those between cells that reach the level: what lies
 * between four cells below it is below it too. */
static void
update_span (GstInstanceMaskRows * rows, gint row, gint next)
{
  gint n = rows->last - rows->first, c0, c1, lo = 0, hi = n;

  rows->span_row = row;
  cell_span (rows, rows->grid + rows->grid_stride * row,
      rows->grid + rows->grid_stride * next, &c0, &c1);
  rows->span_first = rows->span_last = 0;
  if (c0 == c1)
    return;

  /* A tap of cell i reads i and i + 1; taps go one way, up or down. */
#define OUTSIDE(k) ((gint) (rows->taps[k] >> 9) < c0 - 1 \
      || (gint) (rows->taps[k] >> 9) >= c1)
  if (c0 > 0 || c1 < rows->grid_width) {
    while (lo < hi && OUTSIDE (lo))
      lo++;
    while (hi > lo && OUTSIDE (hi - 1))
      hi--;
  }
#undef OUTSIDE
  rows->span_first = lo;
  rows->span_last = hi;
}

static const guint16 *
grid_line (GstInstanceMaskRows * rows, gint row, gint other)
{
  gint n = rows->last - rows->first, slot;
  gint next = rows->grid_width > 1;
  const guint8 *src = rows->grid + rows->grid_stride * row;
  const guint32 *taps = rows->taps;
  guint16 *dst;

  if (rows->cached[0] == row)
    return rows->lines[0];
  if (rows->cached[1] == row)
    return rows->lines[1];

  slot = rows->cached[0] == other;
  dst = rows->lines[slot];
  for (gint i = 0; i < n; i++) {
    const guint8 *cell = src + (taps[i] >> 9);
    guint w = taps[i] & 511;

    dst[i] = cell[0] * (256 - w) + cell[next] * w;
  }
  rows->cached[slot] = row;
  return dst;
}

/* The inner loops; plain enough for the compiler to vectorise. */
static void
blend_hard (guint8 * restrict dst, const guint16 * restrict a,
    const guint16 * restrict b, guint16 wb, guint32 level, gint n)
{
  guint16 wa = 256 - wb;

  for (gint i = 0; i < n; i++) {
    guint32 v = (guint32) a[i] * wa + (guint32) b[i] * wb;

    dst[i] = v >= level ? 255 : 0;
  }
}

static void
blend_soft (guint8 * restrict dst, const guint16 * restrict a,
    const guint16 * restrict b, guint16 wb, gint n)
{
  guint16 wa = 256 - wb;

  for (gint i = 0; i < n; i++)
    dst[i] = ((guint32) a[i] * wa + (guint32) b[i] * wb) >> 16;
}

gboolean
gst_instance_mask_rows_render (GstInstanceMaskRows * rows, gint y,
    guint8 * dst, gint * first, gint * last)
{
  const guint16 *a, *b;
  guint32 t;
  gint row, next, n;

  if (y < rows->y_first || y >= rows->y_last)
    return FALSE;

  t = tap (rows->offset_y, rows->inv_scale_y, y, rows->grid_height);
  row = t >> 9;
  next = row + (rows->grid_height > 1);
  if (rows->span_row != row)
    update_span (rows, row, next);
  n = rows->span_last - rows->span_first;
  if (n == 0)
    return FALSE;

  a = grid_line (rows, row, next) + rows->span_first;
  b = grid_line (rows, next, row) + rows->span_first;
  *first = rows->first - rows->x + rows->span_first;
  *last = *first + n;
  if (rows->soft)
    blend_soft (dst + *first, a, b, t & 511, n);
  else
    blend_hard (dst + *first, a, b, t & 511, rows->level, n);
  return TRUE;
}

/**
 * gst_instance_mask_render_a8: (skip)
 * @mask: a #GstInstanceMask
 * @x: left column of the rectangle to render, in pixels of the frame
 * @y: its top row
 * @width: number of columns
 * @height: number of rows
 * @threshold: 1 to 255: pixels get 255 where the mask is at least this (128
 *   for the probability 0.5), else 0; with 0 they get the probability
 * @data: one byte per pixel, all of them written
 * @stride: bytes from one row of @data to the next
 *
 * Renders a rectangle of the frame, or beyond it. The cost is that of clearing
 * the rectangle and of the pixels around the mask.
 */
void
gst_instance_mask_render_a8 (const GstInstanceMask * mask, gint x, gint y,
    guint width, guint height, guint8 threshold, guint8 * data, gsize stride)
{
  GstInstanceMaskRows rows;
  gboolean any;

  g_return_if_fail (mask != NULL);
  g_return_if_fail (data != NULL || width == 0 || height == 0);
  g_return_if_fail (stride >= width);

  any = gst_instance_mask_rows_init (&rows, mask, x, width, threshold);
  for (guint j = 0; j < height; j++, data += stride) {
    gint first, last;

    if (any && gst_instance_mask_rows_render (&rows, (gint) (y + j), data,
            &first, &last)) {
      memset (data, 0, first);
      memset (data + last, 0, width - last);
    } else {
      memset (data, 0, width);
    }
  }
  gst_instance_mask_rows_finish (&rows);
}

/**
 * gst_instance_mask_render_bits: (skip)
 * @mask: a #GstInstanceMask
 * @x: left column of the rectangle to render, in pixels of the frame
 * @y: its top row
 * @width: number of columns
 * @height: number of rows
 * @threshold: least value that counts, 1 to 255
 * @data: one bit per pixel; the leftmost pixel is the most significant bit,
 *   rows start at whole bytes and are filled up with 0
 * @stride: bytes from one row of @data to the next
 */
void
gst_instance_mask_render_bits (const GstInstanceMask * mask, gint x,
    gint y, guint width, guint height, guint8 threshold, guint8 * data,
    gsize stride)
{
  GstInstanceMaskRows rows;
  g_autofree guint8 *line = NULL;
  gsize n_bytes = width / 8 + (width % 8 != 0);
  gboolean any;

  g_return_if_fail (mask != NULL);
  g_return_if_fail (threshold > 0);
  g_return_if_fail (data != NULL || width == 0 || height == 0);
  g_return_if_fail (stride >= n_bytes);

  any = gst_instance_mask_rows_init (&rows, mask, x, width, threshold);
  line = g_malloc (any ? width : 0);
  for (guint j = 0; j < height; j++, data += stride) {
    gint first, last;

    memset (data, 0, n_bytes);
    if (any && gst_instance_mask_rows_render (&rows, (gint) (y + j), line,
            &first, &last)) {
      for (gint i = first; i < last; i++)
        data[i >> 3] |= (line[i] & 0x80) >> (i & 7);
    }
  }
  gst_instance_mask_rows_finish (&rows);
}

/**
 * gst_instance_mask_render_bytes:
 * @mask: a #GstInstanceMask
 * @x: left column of the rectangle to render, in pixels of the frame
 * @y: its top row
 * @width: number of columns
 * @height: number of rows
 * @threshold: 1 to 255: pixels get 255 where the mask is at least this (128
 *   for the probability 0.5), else 0; with 0 they get the probability
 *
 * As gst_instance_mask_render_a8(), for languages with a collector.
 *
 * Returns: (transfer full): @width * @height bytes, row by row
 */
GBytes *
gst_instance_mask_render_bytes (const GstInstanceMask * mask, gint x, gint y,
    guint width, guint height, guint8 threshold)
{
  guint8 *data;

  g_return_val_if_fail (mask != NULL, NULL);
  g_return_val_if_fail (width < G_MAXINT && height < G_MAXINT, NULL);

  data = g_malloc ((gsize) width * height);
  gst_instance_mask_render_a8 (mask, x, y, width, height, threshold, data,
      width);
  return g_bytes_new_take (data, (gsize) width * height);
}

/* Number of set pixels, and the rectangle [box[0], box[2]) x [box[1], box[3])
 * around them. */
static guint64
measure (const GstInstanceMask * mask, guint frame_width, guint frame_height,
    guint8 threshold, gint box[4])
{
  GstInstanceMaskRows rows;
  g_autofree guint8 *line = NULL;
  guint64 area = 0;
  gint y_last;

  memset (box, 0, 4 * sizeof (gint));
  frame_width = MIN (frame_width, G_MAXINT);
  if (!gst_instance_mask_rows_init (&rows, mask, 0, frame_width, threshold))
    return 0;

  line = g_malloc (frame_width);
  y_last = MIN (rows.y_last, (gint64) frame_height);
  for (gint y = MAX (rows.y_first, 0); y < y_last; y++) {
    gint first, last;
    guint n = 0;

    if (!gst_instance_mask_rows_render (&rows, y, line, &first, &last))
      continue;
    for (gint i = first; i < last; i++)
      n += line[i] >> 7;
    if (n == 0)
      continue;
    while (line[first] == 0)
      first++;
    while (line[last - 1] == 0)
      last--;
    if (area == 0) {
      box[0] = first;
      box[1] = y;
    }
    box[0] = MIN (box[0], first);
    box[2] = MAX (box[2], last);
    box[3] = y + 1;
    area += n;
  }
  gst_instance_mask_rows_finish (&rows);
  return area;
}

/**
 * gst_instance_mask_get_area:
 * @mask: a #GstInstanceMask
 * @frame_width: width of the frame
 * @frame_height: its height
 * @threshold: least value that counts, 1 to 255
 *
 * Returns: the number of pixels of the frame that are in the mask
 */
guint64
gst_instance_mask_get_area (const GstInstanceMask * mask, guint frame_width,
    guint frame_height, guint8 threshold)
{
  gint box[4];

  g_return_val_if_fail (mask != NULL, 0);
  g_return_val_if_fail (threshold > 0, 0);

  return measure (mask, frame_width, frame_height, threshold, box);
}

/**
 * gst_instance_mask_get_bounding_rect:
 * @mask: a #GstInstanceMask
 * @frame_width: width of the frame
 * @frame_height: its height
 * @threshold: least value that counts, 1 to 255
 * @x: (out): left column
 * @y: (out): top row
 * @width: (out): number of columns
 * @height: (out): number of rows
 *
 * The smallest rectangle around the pixels of the frame that are in the mask.
 *
 * Returns: %FALSE (and an empty rectangle) if there are none
 */
gboolean
gst_instance_mask_get_bounding_rect (const GstInstanceMask * mask,
    guint frame_width, guint frame_height, guint8 threshold, gint * x,
    gint * y, gint * width, gint * height)
{
  gint box[4];
  guint64 area;

  g_return_val_if_fail (mask != NULL, FALSE);
  g_return_val_if_fail (threshold > 0, FALSE);

  area = measure (mask, frame_width, frame_height, threshold, box);
  *x = box[0];
  *y = box[1];
  *width = box[2] - box[0];
  *height = box[3] - box[1];
  return area > 0;
}

/* Sums of a row's pixels that are in the masks, and in both. */
static void
count_row (const guint8 * a, const guint8 * b, gint n, guint64 counts[3])
{
  guint ca = 0, cb = 0, cab = 0;

  for (gint i = 0; i < n; i++) {
    ca += a[i] >> 7;
    cb += b[i] >> 7;
    cab += (a[i] & b[i]) >> 7;
  }
  counts[0] += ca;
  counts[1] += cb;
  counts[2] += cab;
}

/**
 * gst_instance_mask_iou:
 * @a: a #GstInstanceMask
 * @b: another of the same frame
 * @threshold: least value that counts, 1 to 255
 *
 * Pixels in both masks by pixels in any of them, wherever they lie. Masks
 * whose extents do not meet cost nothing.
 *
 * Returns: 0 to 1; 0 if both are empty
 */
gdouble
gst_instance_mask_iou (const GstInstanceMask * a, const GstInstanceMask * b,
    guint8 threshold)
{
  GstInstanceMaskRows rows[2];
  g_autofree guint8 *lines = NULL;
  guint64 counts[3] = { 0, 0, 0 };
  gint ax, ay, aw, ah, bx, by, bw, bh, x, y, n, bottom;

  g_return_val_if_fail (a != NULL && b != NULL, 0.0);
  g_return_val_if_fail (threshold > 0, 0.0);

  if (!gst_instance_mask_get_extents (a, &ax, &ay, &aw, &ah)
      || !gst_instance_mask_get_extents (b, &bx, &by, &bw, &bh))
    return 0.0;
  if (ax >= bx + bw || bx >= ax + aw || ay >= by + bh || by >= ay + ah)
    return 0.0;

  x = MIN (ax, bx);
  y = MIN (ay, by);
  n = MAX (ax + aw, bx + bw) - x;
  bottom = MAX (ay + ah, by + bh);
  if (!gst_instance_mask_rows_init (&rows[0], a, x, n, threshold))
    return 0.0;
  if (!gst_instance_mask_rows_init (&rows[1], b, x, n, threshold)) {
    gst_instance_mask_rows_finish (&rows[0]);
    return 0.0;
  }

  lines = g_malloc0 ((gsize) n * 2);
  for (; y < bottom; y++) {
    gint lo = n, hi = 0, first, last;

    for (gint k = 0; k < 2; k++) {
      if (gst_instance_mask_rows_render (&rows[k], y, lines + (gsize) n * k,
              &first, &last)) {
        lo = MIN (lo, first);
        hi = MAX (hi, last);
      }
    }
    if (lo >= hi)
      continue;
    count_row (lines + lo, lines + n + lo, hi - lo, counts);
    memset (lines + lo, 0, hi - lo);
    memset (lines + n + lo, 0, hi - lo);
  }
  for (gint k = 0; k < 2; k++)
    gst_instance_mask_rows_finish (&rows[k]);

  counts[0] += counts[1] - counts[2];
  return counts[0] ? (gdouble) counts[2] / counts[0] : 0.0;
}
