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

void
effect_blur (const Canvas * canvas, const Tile * tile, gint radius,
    EffectScratch * scratch, CanvasImage * image)
{
  gint p, c, y, pass;

  image_init (image, canvas, tile, scratch);
  for (p = 0; p < canvas->n_planes; p++) {
    const CanvasPlane *plane = &canvas->planes[p];
    gint group, row, n_groups, n_rows, n, stride = image->stride[p];
    gint radius_y = MAX (radius / plane->height, 1);
    guint32 *sums;
    guint8 *copy;

    canvas_plane_get_region (plane, tile, &group, &row, &n_groups, &n_rows);
    n = n_groups * plane->bytes;
    sums = (guint32 *) scratch_get (&scratch->sums, stride * sizeof (guint32)
        + (gsize) stride * (radius_y + 1));
    copy = (guint8 *) (sums + stride);

    for (y = 0; y < n_rows; y++) {
      guint8 *line = image->data[p] + (gsize) y * stride;

      memcpy (line, plane->data + (gsize) (row + y) * plane->stride
          + group * plane->bytes, n);
      for (c = 0; c < plane->bytes; c++) {
        gint step = plane->bytes, count = n_groups, wide = plane->width;

        if (plane->component[c] < 0 || plane->pixel[c] > 0)
          continue;
        if (plane->pixel[c] == 0) {
          /* the luma of packed 4:2:2 */
          step /= 2;
          count *= 2;
          wide = 1;
        }
        for (pass = 0; pass < 2; pass++)
          blur_line (line + c, count, step, MAX (radius / wide, 1), copy);
      }
    }
    for (pass = 0; pass < 2; pass++)
      blur_columns (image->data[p], stride, n, n_rows, radius_y, sums, copy);
  }
}

/* ---- pixelate ---------------------------------------------------------- */

/* Groups [first, last) of block @index, @size groups wide, of @n in all */
static void
get_block (gint index, gint size, gint n, gint * first, gint * last)
{
  *first = index * size;
  *last = MIN (*first + size, n);
}

/* Means of the blocks of one plane, which lie on a fixed raster of the frame
 * and so do not swim when the object moves. */
static void
pixelate_plane (const CanvasPlane * plane, const Tile * tile, gint block,
    guint8 * dst, gint stride)
{
  gint group, row, n_groups, n_rows, bx, by, c, x, y;
  gint width = block / plane->width, height = block / plane->height;

  canvas_plane_get_region (plane, tile, &group, &row, &n_groups, &n_rows);
  for (by = row / height; by * height < row + n_rows; by++) {
    for (bx = group / width; bx * width < group + n_groups; bx++) {
      gint x0, y0, x1, y1;
      guint64 sum[4] = { 0, };
      guint8 mean[4];
      guint count;

      get_block (bx, width, plane->n_groups, &x0, &x1);
      get_block (by, height, plane->n_rows, &y0, &y1);
      count = (x1 - x0) * (y1 - y0);
      for (y = y0; y < y1; y++) {
        const guint8 *src = plane->data + (gsize) y * plane->stride
            + x0 * plane->bytes;

        for (x = x0; x < x1; x++, src += plane->bytes)
          for (c = 0; c < plane->bytes; c++)
            sum[c] += src[c];
      }
      for (c = 0; c < plane->bytes; c++)
        mean[c] = (sum[c] + count / 2) / count;
      /* both lumas of packed 4:2:2 */
      for (c = 2; c < plane->bytes; c++)
        if (plane->pixel[c] > 0)
          mean[c] = mean[c - 2] = (mean[c] + mean[c - 2] + 1) / 2;

      x0 = MAX (x0, group);
      x1 = MIN (x1, group + n_groups);
      y0 = MAX (y0, row);
      y1 = MIN (y1, row + n_rows);
      for (y = y0; y < y1; y++) {
        guint8 *out = dst + (gsize) (y - row) * stride
            + (x0 - group) * plane->bytes;

        for (x = x0; x < x1; x++)
          for (c = 0; c < plane->bytes; c++)
            *out++ = mean[c];
      }
    }
  }
}

void
effect_pixelate (const Canvas * canvas, const Tile * tile, gint block,
    EffectScratch * scratch, CanvasImage * image)
{
  gint p;

  image_init (image, canvas, tile, scratch);
  for (p = 0; p < canvas->n_planes; p++)
    pixelate_plane (&canvas->planes[p], tile, block, image->data[p],
        image->stride[p]);
}
