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

/* Finds the pixels with centres within the grid. */
static void
axis_init (GstInstanceMaskAxis * axis, gdouble offset, gdouble scale, gint size)
{
  gdouble a = offset, b = offset + scale * size;
  gdouble lo = ceil (MIN (a, b) - 0.5), hi = floor (MAX (a, b) - 0.5) + 1;

  axis->offset = offset;
  axis->scale = scale;
  axis->inv_scale = 1.0 / scale;
  axis->size = size;
  axis->first = (gint) CLAMP (lo, G_MININT / 4, G_MAXINT / 4);
  axis->last = (gint) CLAMP (hi, G_MININT / 4, G_MAXINT / 4);
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
  GstInstanceMaskAxis h = { 0, }, v = { 0, };

  g_return_val_if_fail (mask != NULL, FALSE);

  if (gst_instance_mask_peek_grid (mask)) {
    axis_init (&h, mask->offset_x, mask->scale_x, mask->grid_width);
    axis_init (&v, mask->offset_y, mask->scale_y, mask->grid_height);
  }
  if (h.last <= h.first || v.last <= v.first)
    h.first = h.last = v.first = v.last = 0;
  *x = h.first;
  *y = v.first;
  *width = h.last - h.first;
  *height = v.last - v.first;
  return h.last > h.first;
}

/* Position in the grid of a pixel's centre, in 256ths from the centre of the
 * first cell to that of the last one. */
static inline gint
position (const GstInstanceMaskAxis * axis, gint pixel)
{
  gdouble u = (pixel + 0.5 - axis->offset) * axis->inv_scale - 0.5;

  return (gint) (CLAMP (u, 0.0, axis->size - 1.0) * 256.0 + 0.5);
}

/* The same as a cell, and the weight of the next one, 0 to 256. The last cell
 * is written as the one before with 256, so that the next one always exists,
 * unless there is but one. */
static inline gint
tap (const GstInstanceMaskAxis * axis, gint pixel, guint * weight)
{
  gint pos = position (axis, pixel);
  gint cell = MIN (pos >> 8, MAX (axis->size - 2, 0));

  *weight = pos - (cell << 8);
  return cell;
}

/* The two rows of the grid that a row of pixels lies between */
static gint
find_cells (const GstInstanceMaskRows * rows, gint y, const guint8 ** upper,
    const guint8 ** lower, guint * weight)
{
  gint row = tap (&rows->vertical, y, weight);

  *upper = rows->grid + rows->grid_stride * row;
  *lower = *upper + (rows->vertical.size > 1 ? rows->grid_stride : 0);
  return row;
}

gboolean
gst_instance_mask_rows_init (GstInstanceMaskRows * rows,
    const GstInstanceMask * mask, gint x, guint width, guint8 threshold)
{
  GstInstanceMaskAxis *h = &rows->horizontal, *v = &rows->vertical;
  gint64 right;
  gint first, last;
  gsize size;

  rows->heap = NULL;
  rows->grid = gst_instance_mask_peek_grid (mask);
  if (!rows->grid)
    return FALSE;

  axis_init (h, mask->offset_x, mask->scale_x, mask->grid_width);
  axis_init (v, mask->offset_y, mask->scale_y, mask->grid_height);
  right = MIN (h->last, (gint64) x + width);
  h->first = MAX (h->first, x);
  if (h->first >= right || v->first >= v->last)
    return FALSE;
  h->last = (gint) right;

  rows->x = x;
  rows->grid_stride = mask->grid_stride;
  rows->level = (guint32) threshold << 8;
  rows->band = -1;
  first = position (h, h->first);
  last = position (h, h->last - 1);
  rows->step = h->scale > 0 ? 1 : -1;
  rows->start = (first + (h->scale > 0 ? 0 : 255)) >> 8;
  rows->n_cells = 1 + (h->scale > 0 ? ((last + 255) >> 8) - rows->start :
      rows->start - (last >> 8));

  size = rows->n_cells * sizeof (guint16)
      + (rows->n_cells / 2 + 1) * sizeof (GstInstanceMaskRun);
  rows->runs = (GstInstanceMaskRun *) rows->stack;
  if (size > sizeof (rows->stack)) {
    rows->heap = g_malloc (size);
    rows->runs = (GstInstanceMaskRun *) rows->heap;
  }
  rows->quads = (guint16 *) (rows->runs + rows->n_cells / 2 + 1);
  return TRUE;
}

void
gst_instance_mask_rows_finish (GstInstanceMaskRows * rows)
{
  g_free (rows->heap);
}

/* Lists the quads of cells between two rows of the grid that are not all in or
 * all out. */
static void
find_quads (GstInstanceMaskRows * rows, const guint8 * upper,
    const guint8 * lower)
{
  guint threshold = rows->level >> 8, corners = 0;
  gint n = 0, cell = rows->start;

  for (gint i = 0; i < rows->n_cells; i++, cell += rows->step) {
    corners = corners >> 2 | (guint) (upper[cell] >= threshold) << 2
        | (guint) (lower[cell] >= threshold) << 3;
    if (i > 0) {
      rows->quads[n] = i - 1;
      n += corners != 0 && corners != 15;
    }
  }
  rows->n_quads = n;
}

/* The first pixel that lies at least @weight, in 256ths, beyond the given cell
 * in the order of pixels. */
static gint
find_pixel (const GstInstanceMaskRows * rows, gint index, gint weight)
{
  const GstInstanceMaskAxis *h = &rows->horizontal;
  gint distance = (index << 8) + weight, start = rows->start << 8;
  gdouble u = (start + rows->step * (distance - 0.5)) / 256 + 0.5;
  gdouble guess = h->offset + h->scale * u - 0.5 - h->first, rest;
  gint x;

  guess = CLAMP (guess, 0, h->last - h->first);
  x = (gint) guess;
  rest = guess - x;
  x += h->first;
  if (rest > 1e-3 && rest < 1 - 1e-3)
    return x + 1;
  /* Too close to tell: it is position() that decides. */
  while (x > h->first && (position (h, x - 1) - start) * rows->step >= distance)
    x--;
  while (x < h->last && (position (h, x) - start) * rows->step < distance)
    x++;
  return x;
}

gint
gst_instance_mask_rows_find (GstInstanceMaskRows * rows, gint y)
{
  const GstInstanceMaskAxis *h = &rows->horizontal;
  GstInstanceMaskRun *runs = rows->runs;
  const guint8 *upper, *lower;
  gint level = rows->level, n = 0, row, cell, first = h->first;
  gboolean inside;
  guint weight;

  if (y < rows->vertical.first || y >= rows->vertical.last)
    return 0;
  row = find_cells (rows, y, &upper, &lower, &weight);
  if (rows->band != row) {
    find_quads (rows, upper, lower);
    rows->band = row;
  }

#define VALUE(cell) (gint) (upper[cell] * (256 - weight) + lower[cell] * weight)
  inside = VALUE (rows->start) >= level;
  for (gint i = 0; i < rows->n_quads; i++) {
    gint left, right, part, x;

    cell = rows->start + rows->step * rows->quads[i];
    left = VALUE (cell);
    right = VALUE (cell + rows->step);
    if ((right >= level) == inside)
      continue;
    /* the least of 256 parts of the way at which that has changed */
    if (inside)
      part = (left - level) * 256 / (left - right) + 1;
    else
      part = ((level - left) * 256 + right - left - 1) / (right - left);
    x = find_pixel (rows, rows->quads[i], part);
    if (!inside && n > 0 && runs[n - 1].last == x - rows->x) {
      /* cells smaller than pixels */
      first = runs[--n].first + rows->x;
    } else if (!inside) {
      first = x;
    } else if (x > first) {
      runs[n].first = first - rows->x;
      runs[n++].last = x - rows->x;
    }
    inside = !inside;
  }
#undef VALUE
  if (inside && h->last > first) {
    runs[n].first = first - rows->x;
    runs[n++].last = h->last - rows->x;
  }
  return n;
}

/* ---- probabilities ----------------------------------------------------- */

/* Rows of the grid, interpolated along x once for all rows of pixels between
 * them */
typedef struct
{
  gint cached[2];               /* row of the grid in lines[] */
  guint16 *lines[2];
  guint32 *taps;                /* column << 9 | weight of the next column */
  gint first, last;             /* columns that can be more than 0 */
} Lines;

static void
lines_init (Lines * lines, const GstInstanceMaskRows * rows)
{
  const GstInstanceMaskAxis *h = &rows->horizontal;
  gint n = h->last - h->first;

  lines->taps = g_malloc ((gsize) n * 8);
  lines->lines[0] = (guint16 *) (lines->taps + n);
  lines->lines[1] = lines->lines[0] + n;
  lines->cached[0] = lines->cached[1] = -1;
  lines->first = lines->last = h->first;
  for (gint i = 0; i < n; i++) {
    guint weight, cell = tap (h, h->first + i, &weight);

    lines->taps[i] = cell << 9 | weight;
  }
}

/* The line for row @row of the grid, which is @cells; @other is to be kept. */
static const guint16 *
lines_get (Lines * lines, const GstInstanceMaskRows * rows,
    const guint8 * cells, gint row, gint other)
{
  const GstInstanceMaskAxis *h = &rows->horizontal;
  gint n = h->last - h->first, next = h->size > 1, slot;
  guint16 *dst;

  if (lines->cached[0] == row)
    return lines->lines[0];
  if (lines->cached[1] == row)
    return lines->lines[1];

  slot = lines->cached[0] == other;
  dst = lines->lines[slot];
  for (gint i = 0; i < n; i++) {
    const guint8 *cell = cells + (lines->taps[i] >> 9);
    guint w = lines->taps[i] & 511;

    dst[i] = cell[0] * (256 - w) + cell[next] * w;
  }
  lines->cached[slot] = row;
  return dst;
}

/* Plain enough for the compiler to vectorise. */
static void
blend_lines (guint8 * restrict dst, const guint16 * restrict a,
    const guint16 * restrict b, guint16 wb, gint n)
{
  guint16 wa = 256 - wb;

  for (gint i = 0; i < n; i++)
    dst[i] = ((guint32) a[i] * wa + (guint32) b[i] * wb) >> 16;
}

/* Columns around all cells between two rows of the grid that are not 0 */
static void
update_span (Lines * lines, GstInstanceMaskRows * rows, const guint8 * upper,
    const guint8 * lower)
{
  const GstInstanceMaskAxis *h = &rows->horizontal;
  gint end = rows->start + rows->step * (rows->n_cells - 1);

  find_quads (rows, upper, lower);
  lines->first = lines->last = h->first;
  if (upper[rows->start] == 0 && lower[rows->start] == 0) {
    if (rows->n_quads == 0)
      return;
    lines->first = find_pixel (rows, rows->quads[0], 0);
  }
  lines->last = upper[end] || lower[end] ? h->last :
      find_pixel (rows, rows->quads[rows->n_quads - 1] + 1, 0);
}

static void
render_soft (GstInstanceMaskRows * rows, gint y, guint width, guint height,
    guint8 * data, gsize stride)
{
  gint skip = rows->horizontal.first;
  Lines lines;

  lines_init (&lines, rows);
  for (guint j = 0; j < height; j++, data += stride) {
    const guint8 *upper, *lower;
    const guint16 *a, *b;
    guint weight;
    gint row, next, first, n;

    memset (data, 0, width);
    if ((gint) (y + j) < rows->vertical.first
        || (gint) (y + j) >= rows->vertical.last)
      continue;
    row = find_cells (rows, y + j, &upper, &lower, &weight);
    next = row + (upper != lower);
    if (rows->band != row) {
      update_span (&lines, rows, upper, lower);
      rows->band = row;
    }
    first = lines.first;
    n = lines.last - first;
    if (n == 0)
      continue;
    a = lines_get (&lines, rows, upper, row, next) + first - skip;
    b = lines_get (&lines, rows, lower, next, row) + first - skip;
    blend_lines (data + first - rows->x, a, b, weight, n);
  }
  g_free (lines.taps);
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

  any = gst_instance_mask_rows_init (&rows, mask, x, width, MAX (threshold, 1));
  if (any && threshold == 0) {
    render_soft (&rows, y, width, height, data, stride);
    height = 0;
  }
  for (guint j = 0; j < height; j++, data += stride) {
    gint n = any ? gst_instance_mask_rows_find (&rows, (gint) (y + j)) : 0;
    gint end = 0;

    for (gint i = 0; i < n; i++) {
      const GstInstanceMaskRun *run = &rows.runs[i];

      memset (data + end, 0, run->first - end);
      memset (data + run->first, 255, run->last - run->first);
      end = run->last;
    }
    memset (data + end, 0, width - end);
  }
  gst_instance_mask_rows_finish (&rows);
}

static void
set_bits (guint8 * data, gint first, gint last)
{
  guint8 head = 0xff >> (first & 7), tail = 0xff << (7 - ((last - 1) & 7));
  gint a = first >> 3, b = (last - 1) >> 3;

  if (a == b) {
    data[a] |= head & tail;
  } else {
    data[a] |= head;
    memset (data + a + 1, 0xff, b - a - 1);
    data[b] |= tail;
  }
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
  gsize n_bytes = width / 8 + (width % 8 != 0);
  gboolean any;

  g_return_if_fail (mask != NULL);
  g_return_if_fail (threshold > 0);
  g_return_if_fail (data != NULL || width == 0 || height == 0);
  g_return_if_fail (stride >= n_bytes);

  any = gst_instance_mask_rows_init (&rows, mask, x, width, threshold);
  for (guint j = 0; j < height; j++, data += stride) {
    gint n = any ? gst_instance_mask_rows_find (&rows, (gint) (y + j)) : 0;

    memset (data, 0, n_bytes);
    for (gint i = 0; i < n; i++)
      set_bits (data, rows.runs[i].first, rows.runs[i].last);
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

static guint
count_runs (const GstInstanceMaskRun * runs, gint n)
{
  guint count = 0;

  for (gint i = 0; i < n; i++)
    count += runs[i].last - runs[i].first;
  return count;
}

/* Number of set pixels, and the rectangle [box[0], box[2]) x [box[1], box[3])
 * around them. */
static guint64
measure (const GstInstanceMask * mask, guint frame_width, guint frame_height,
    guint8 threshold, gint box[4])
{
  GstInstanceMaskRows rows;
  guint64 area = 0;
  gint y_last;

  memset (box, 0, 4 * sizeof (gint));
  frame_width = MIN (frame_width, G_MAXINT);
  if (!gst_instance_mask_rows_init (&rows, mask, 0, frame_width, threshold))
    return 0;

  y_last = MIN (rows.vertical.last, (gint64) frame_height);
  for (gint y = MAX (rows.vertical.first, 0); y < y_last; y++) {
    gint n = gst_instance_mask_rows_find (&rows, y);

    if (n == 0)
      continue;
    if (area == 0) {
      box[0] = rows.runs[0].first;
      box[1] = y;
    }
    box[0] = MIN (box[0], rows.runs[0].first);
    box[2] = MAX (box[2], rows.runs[n - 1].last);
    box[3] = y + 1;
    area += count_runs (rows.runs, n);
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

/* Pixels that are in both of two rows */
static guint
count_common (const GstInstanceMaskRun * a, gint n_a,
    const GstInstanceMaskRun * b, gint n_b)
{
  const GstInstanceMaskRun *a_end = a + n_a, *b_end = b + n_b;
  guint count = 0;

  while (a < a_end && b < b_end) {
    count += MAX (MIN (a->last, b->last) - MAX (a->first, b->first), 0);
    if (a->last < b->last)
      a++;
    else
      b++;
  }
  return count;
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
  guint64 any = 0, both = 0;
  gint ax, ay, aw, ah, bx, by, bw, bh, x, y, width, bottom;

  g_return_val_if_fail (a != NULL && b != NULL, 0.0);
  g_return_val_if_fail (threshold > 0, 0.0);

  if (!gst_instance_mask_get_extents (a, &ax, &ay, &aw, &ah)
      || !gst_instance_mask_get_extents (b, &bx, &by, &bw, &bh))
    return 0.0;
  if (ax >= bx + bw || bx >= ax + aw || ay >= by + bh || by >= ay + ah)
    return 0.0;

  x = MIN (ax, bx);
  y = MIN (ay, by);
  width = MAX (ax + aw, bx + bw) - x;
  bottom = MAX (ay + ah, by + bh);
  if (!gst_instance_mask_rows_init (&rows[0], a, x, width, threshold))
    return 0.0;
  if (!gst_instance_mask_rows_init (&rows[1], b, x, width, threshold)) {
    gst_instance_mask_rows_finish (&rows[0]);
    return 0.0;
  }

  for (; y < bottom; y++) {
    gint n[2];
    guint common;

    for (gint k = 0; k < 2; k++)
      n[k] = gst_instance_mask_rows_find (&rows[k], y);
    common = count_common (rows[0].runs, n[0], rows[1].runs, n[1]);
    any += count_runs (rows[0].runs, n[0]) + count_runs (rows[1].runs, n[1])
        - common;
    both += common;
  }
  for (gint k = 0; k < 2; k++)
    gst_instance_mask_rows_finish (&rows[k]);
  return any ? (gdouble) both / any : 0.0;
}
