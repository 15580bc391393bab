/* GStreamer instance masks
 *
 * effects.c: blurred and pixelated pixels under a tile
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "maskdraw-private.h"

void
effect_scratch_clear (EffectScratch * scratch)
{
  scratch_clear (&scratch->image);
  scratch_clear (&scratch->sums);
}

/* Room for the pixels under @tile in each plane */
static void
image_init (CanvasImage * image, const Canvas * canvas, const Tile * tile,
    EffectScratch * scratch)
{
  gsize offset[GST_VIDEO_MAX_PLANES], size = 0;
  gint p, group, row, n_groups, n_rows;
  guint8 *data;

  for (p = 0; p < canvas->n_planes; p++) {
    canvas_plane_get_region (&canvas->planes[p], tile, &group, &row,
        &n_groups, &n_rows);
    image->stride[p] = GST_ROUND_UP_32 (n_groups * canvas->planes[p].bytes);
    offset[p] = size;
    size += (gsize) image->stride[p] * n_rows;
  }
  data = scratch_get (&scratch->image, size);
  for (p = 0; p < canvas->n_planes; p++)
    image->data[p] = data + offset[p];
}

/* ---- blur -------------------------------------------------------------- */

/* One pass of a running mean over 2 @radius + 1 samples, the outermost ones
 * repeated at the ends; @line has @n samples, @step bytes apart. */
static void
blur_line (guint8 * line, gint n, gint step, gint radius, guint8 * copy)
{
  guint inverse = (1 << 24) / (2 * radius + 1), sum;
  gint i;

  for (i = 0; i < n; i++)
    copy[i] = line[i * step];
  sum = radius * copy[0];
  for (i = 0; i < radius; i++)
    sum += copy[MIN (i, n - 1)];
  for (i = 0; i < n; i++) {
    sum += copy[MIN (i + radius, n - 1)];
    line[i * step] = (sum * inverse + (1 << 23)) >> 24;
    sum -= copy[MAX (i - radius, 0)];
  }
}

MULTIVERSION static void
blur_row (guint8 * restrict dst, guint32 * restrict sums,
    const guint8 * restrict add, const guint8 * restrict drop, gint n,
    guint32 inverse)
{
  gint i;

  for (i = 0; i < n; i++) {
    guint32 sum = sums[i] + add[i];

    dst[i] = (sum * inverse + (1 << 23)) >> 24;
    sums[i] = sum - drop[i];
  }
}

/* The same down all columns at once. A row is still needed when it was
 * overwritten, so the last rows are kept in @kept, a ring of radius + 1. */
static void
blur_columns (guint8 * data, gint stride, gint n, gint n_rows, gint radius,
    guint32 * sums, guint8 * kept)
{
  guint inverse = (1 << 24) / (2 * radius + 1);
  gint i, y;

  for (i = 0; i < n; i++)
    sums[i] = radius * data[i];
  for (y = 0; y < radius; y++) {
    const guint8 *row = data + (gsize) MIN (y, n_rows - 1) * stride;

    for (i = 0; i < n; i++)
      sums[i] += row[i];
  }
  /* kept row k lives in slot k % (radius + 1); row 0 is the one repeated, so
   * all slots start with it */
  for (y = 0; y <= radius; y++)
    memcpy (kept + (gsize) y * stride, data, n);
  /* rows past the end repeat the last one, which is overwritten last */
  for (y = 0; y < n_rows; y++) {
    guint8 *row = data + (gsize) y * stride;
    guint8 *slot = kept + (gsize) (y % (radius + 1)) * stride;
    guint8 *oldest = kept + (gsize) ((y + 1) % (radius + 1)) * stride;
    const guint8 *add = data + (gsize) MIN (y + radius, n_rows - 1) * stride;

    memcpy (slot, row, n);
    /* with add == row nothing may alias: read it from the ring */
    blur_row (row, sums, add == row ? slot : add, oldest, n, inverse);
  }
}

MULTIVERSION static void
add_row (guint32 * restrict sums, const guint8 * restrict row, gint n)
{
  gint i;

  for (i = 0; i < n; i++)
    sums[i] += row[i];
}

/* @a and @b in the proportion 256 - @part to @part */
MULTIVERSION static void
mix_rows (guint8 * restrict dst, const guint8 * a, const guint8 * b,
    guint16 part, gint n)
{
  gint i;

  for (i = 0; i < n; i++)
    dst[i] = (guint16) (a[i] * (256 - part) + b[i] * part + 128) >> 8;
}

/* Mean of the @n_rows rows of @n bytes from @src on */
static void
average_rows (guint8 * dst, const guint8 * src, gint stride, gint n,
    gint n_rows, guint32 * sums)
{
  guint inverse = (1 << 16) / n_rows;
  gint i, y;

  memset (sums, 0, n * sizeof (guint32));
  for (y = 0; y < n_rows; y++)
    add_row (sums, src + (gsize) y * stride, n);
  for (i = 0; i < n; i++)
    dst[i] = (sums[i] * inverse + (1 << 15)) >> 16;
}

static void
blur_plane (const CanvasPlane * plane, const Tile * tile, gint radius,
    EffectScratch * scratch, guint8 * dst, gint stride)
{
  gint radius_x = MAX (radius / plane->width, 1);
  gint radius_y = MAX (radius / plane->height, 1);
  /* What is blurred down the columns anyway needs but a few rows: one for a
   * band of rows, which saves most of the work. */
  gint band = CLAMP (radius_y / 4, 1, 16), radius_bands = radius_y / band;
  gint group, row, n_groups, n_rows, n_bands, n, i, y, c, pass;
  guint8 *bands, *copy;
  guint32 *sums;

  canvas_plane_get_region (plane, tile, &group, &row, &n_groups, &n_rows);
  n = n_groups * plane->bytes;
  n_bands = (n_rows + band - 1) / band;
  sums = (guint32 *) scratch_get (&scratch->sums, stride * sizeof (guint32)
      + (gsize) stride * (radius_bands + 1 + n_bands));
  copy = (guint8 *) (sums + stride);
  bands = copy + (gsize) stride * (radius_bands + 1);

  for (i = 0; i < n_bands; i++) {
    guint8 *line = bands + (gsize) i * stride;

    average_rows (line, plane->data + (gsize) (row + i * band) * plane->stride
        + group * plane->bytes, plane->stride, n, MIN (band,
            n_rows - i * band), sums);
    for (c = 0; c < plane->bytes; c++) {
      if (plane->component[c] < 0 || plane->pixel[c] > 0)
        continue;
      for (pass = 0; pass < 2; pass++) {
        if (plane->pixel[c] == 0)
          /* the luma of packed 4:2:2, two in a group */
          blur_line (line + c, 2 * n_groups, plane->bytes / 2,
              MAX (radius, 1), copy);
        else
          blur_line (line + c, n_groups, plane->bytes, radius_x, copy);
      }
    }
  }
  for (pass = 0; pass < 2; pass++)
    blur_columns (bands, stride, n, n_bands, radius_bands, sums, copy);

  for (y = 0; y < n_rows; y++) {
    /* from the middle of one band to that of the next, in 256ths */
    gint v = MAX ((256 * (2 * y + 1) / band - 256) / 2, 0);

    i = MIN (v >> 8, n_bands - 1);
    mix_rows (dst + (gsize) y * stride, bands + (gsize) i * stride,
        bands + (gsize) MIN (i + 1, n_bands - 1) * stride, v & 0xff, n);
  }
}

void
effect_blur (const Canvas * canvas, const Tile * tile, gint radius,
    EffectScratch * scratch, CanvasImage * image)
{
  gint p;

  image_init (image, canvas, tile, scratch);
  for (p = 0; p < canvas->n_planes; p++)
    blur_plane (&canvas->planes[p], tile, radius, scratch, image->data[p],
        image->stride[p]);
}

/* ---- pixelate ---------------------------------------------------------- */

/* Replaces @n groups by their mean. */
static void
flatten (const CanvasPlane * plane, guint8 * line, gint n)
{
  guint sum[4] = { 0, };
  gint i, c;

  for (i = 0; i < n; i++)
    for (c = 0; c < plane->bytes; c++)
      sum[c] += line[i * plane->bytes + c];
  for (c = 0; c < plane->bytes; c++) {
    sum[c] = (sum[c] + n / 2) / n;
    /* the second luma of packed 4:2:2 shares the first one's value */
    if (plane->pixel[c] > 0)
      sum[c] = sum[c - 2] = (sum[c] + sum[c - 2] + 1) / 2;
  }
  for (i = 0; i < n; i++)
    for (c = 0; c < plane->bytes; c++)
      line[i * plane->bytes + c] = sum[c];
}

/* Means of the blocks of one plane, which lie on a fixed raster of the frame
 * and so do not swim when the object moves. */
static void
pixelate_plane (const CanvasPlane * plane, const Tile * tile, gint block,
    EffectScratch * scratch, guint8 * dst, gint stride)
{
  gint width = block / plane->width, height = block / plane->height;
  gint group, row, n_groups, n_rows, first, n, x, y, top, bottom;
  guint32 *sums;
  guint8 *line;

  canvas_plane_get_region (plane, tile, &group, &row, &n_groups, &n_rows);
  first = group - group % width;
  n = MIN ((group + n_groups + width - 1) / width * width, plane->n_groups)
      - first;
  sums = (guint32 *) scratch_get (&scratch->sums, n * plane->bytes * 5);
  line = (guint8 *) (sums + n * plane->bytes);

  for (top = row - row % height; top < row + n_rows; top = bottom) {
    bottom = MIN (top + height, plane->n_rows);
    average_rows (line, plane->data + (gsize) top * plane->stride
        + first * plane->bytes, plane->stride, n * plane->bytes, bottom - top,
        sums);
    for (x = 0; x < n; x += width)
      flatten (plane, line + x * plane->bytes, MIN (width, n - x));
    for (y = MAX (top, row); y < MIN (bottom, row + n_rows); y++)
      memcpy (dst + (gsize) (y - row) * stride,
          line + (group - first) * plane->bytes, n_groups * plane->bytes);
  }
}

void
effect_pixelate (const Canvas * canvas, const Tile * tile, gint block,
    EffectScratch * scratch, CanvasImage * image)
{
  gint p;

  image_init (image, canvas, tile, scratch);
  for (p = 0; p < canvas->n_planes; p++)
    pixelate_plane (&canvas->planes[p], tile, block, scratch, image->data[p],
        image->stride[p]);
}
