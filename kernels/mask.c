/*
 * mask.c: from soft grids to bytes and to the frame's own pixels.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels.h"

#include <math.h>
#include <string.h>

#include "simd.h"

CI_MULTIVERSION void
ci_mask_quantise (const gfloat * prob, guint8 * dst, gsize n)
{
  /* rounds halves down: 0.5 gives 127, all above it 128 or more */
  for (gsize i = 0; i < n; i++)
    dst[i] = 255 - (gint) (255.5f - prob[i] * 255.0f);
}

/* A pixel of the frame, along one axis, as a sum of cells of the grid: the
 * half-pixel bilinear of the resized frame over the aligned bilinear of the
 * grid gives two taps of two taps. */
typedef struct
{
  gint cell[4];
  gfloat weight[4];
} Taps;

static void
make_taps (Taps * taps, gint n_out, gint n_resized, gint first_cell,
    gint n_cells, gint stride)
{
  gfloat scale = (gfloat) n_resized / n_out;

  for (gint o = 0; o < n_out; o++) {
    gfloat t = MAX ((o + 0.5f) * scale - 0.5f, 0.0f);
    gint i0 = MIN ((gint) t, n_resized - 1);
    gfloat a = t - i0;

    for (gint k = 0; k < 2; k++) {
      gint i = k ? MIN (i0 + 1, n_resized - 1) : i0;
      gint u = MAX (i - stride / 2, 0);
      gint c = MIN (u / stride - first_cell, n_cells - 1);
      gfloat b = (gfloat) (u % stride) / stride, w = k ? a : 1.0f - a;

      taps[o].cell[2 * k] = c;
      taps[o].cell[2 * k + 1] = MIN (c + 1, n_cells - 1);
      taps[o].weight[2 * k] = w * (1.0f - b);
      taps[o].weight[2 * k + 1] = w * b;
    }
  }
}

/* The same where both steps are half-pixel bilinear: cells of the padded input,
 * of which the frame sees the first @n_resized. */
static void
make_bilinear_taps (Taps * taps, gint n_out, gint n_resized, gint n_padded,
    gint n_cells)
{
  gfloat scale = (gfloat) n_resized / n_out;
  gfloat cell_scale = (gfloat) n_cells / n_padded;

  for (gint o = 0; o < n_out; o++) {
    gfloat t = MAX ((o + 0.5f) * scale - 0.5f, 0.0f);
    gint i0 = MIN ((gint) t, n_resized - 1);
    gfloat a = t - i0;

    for (gint k = 0; k < 2; k++) {
      gint i = k ? MIN (i0 + 1, n_resized - 1) : i0;
      gfloat u = MAX ((i + 0.5f) * cell_scale - 0.5f, 0.0f);
      gint c = MIN ((gint) u, n_cells - 1);
      gfloat b = u - c, w = k ? a : 1.0f - a;

      taps[o].cell[2 * k] = c;
      taps[o].cell[2 * k + 1] = MIN (c + 1, n_cells - 1);
      taps[o].weight[2 * k] = w * (1.0f - b);
      taps[o].weight[2 * k + 1] = w * b;
    }
  }
}

static void
paste (const CiMaskGrid * grid, const Taps * xs, const Taps * ys,
    gint frame_width, gint frame_height, gfloat threshold, guint8 * dst)
{
  g_autofree gfloat *row = g_new (gfloat, grid->width);

  for (gint y = 0; y < frame_height; y++) {
    memset (row, 0, grid->width * sizeof (gfloat));
    for (gint k = 0; k < 4; k++) {
      const gfloat *in = grid->prob + (gsize) ys[y].cell[k] * grid->width;
      gfloat w = ys[y].weight[k];

      if (w != 0.0f)
        for (gint i = 0; i < grid->width; i++)
          row[i] += w * in[i];
    }
    for (gint x = 0; x < frame_width; x++) {
      const Taps *t = &xs[x];
      gfloat v = t->weight[0] * row[t->cell[0]]
          + t->weight[1] * row[t->cell[1]] + t->weight[2] * row[t->cell[2]]
          + t->weight[3] * row[t->cell[3]];

      *dst++ = v > threshold;
    }
  }
}

void
ci_mask_paste (const CiMaskGrid * grid, gint out_stride, gint resized_width,
    gint resized_height, gint frame_width, gint frame_height,
    gfloat threshold, guint8 * dst)
{
  g_autofree Taps *xs = g_new (Taps, frame_width);
  g_autofree Taps *ys = g_new (Taps, frame_height);

  make_taps (xs, frame_width, resized_width, grid->x, grid->width, out_stride);
  make_taps (ys, frame_height, resized_height, grid->y, grid->height,
      out_stride);
  paste (grid, xs, ys, frame_width, frame_height, threshold, dst);
}

void
ci_mask_paste_bilinear (const CiMaskGrid * grid, gint padded_width,
    gint padded_height, gint resized_width, gint resized_height,
    gint frame_width, gint frame_height, gfloat threshold, guint8 * dst)
{
  g_autofree Taps *xs = g_new (Taps, frame_width);
  g_autofree Taps *ys = g_new (Taps, frame_height);

  make_bilinear_taps (xs, frame_width, resized_width, padded_width,
      grid->width);
  make_bilinear_taps (ys, frame_height, resized_height, padded_height,
      grid->height);
  paste (grid, xs, ys, frame_width, frame_height, threshold, dst);
}

/* Cell before the centre of pixel @i when [@lo, @hi) is @size cells wide, and
 * how far behind its centre that lies. */
static gint
box_cell (gint i, gfloat lo, gfloat hi, gint size, gfloat * fraction)
{
  gfloat u = (i + 0.5f - lo) / (hi - lo) * 2.0f - 1.0f;
  gfloat at = ((u + 1.0f) * size - 1.0f) / 2.0f;
  gfloat cell = floorf (CLAMP (at, -2.0f, size + 1.0f));

  *fraction = at - cell;
  return cell;
}

static gfloat
cell_or_zero (const gfloat * prob, gint size, gint y, gint x)
{
  return x < 0 || y < 0 || x >= size || y >= size ? 0.0f : prob[y * size + x];
}

void
ci_mask_paste_box (const gfloat * prob, gint size, const gfloat box[4],
    gint frame_width, gint frame_height, gfloat threshold, guint8 * dst)
{
  gint x0 = MAX (floorf (box[0]) - 1, 0), y0 = MAX (floorf (box[1]) - 1, 0);
  gint x1 = MIN (ceilf (box[2]) + 1, frame_width);
  gint y1 = MIN (ceilf (box[3]) + 1, frame_height);

  memset (dst, 0, (gsize) frame_width * frame_height);
  for (gint y = y0; y < y1; y++) {
    gfloat b, a;
    gint v = box_cell (y, box[1], box[3], size, &b);

    for (gint x = x0; x < x1; x++) {
      gint u = box_cell (x, box[0], box[2], size, &a);
      gfloat p = (1 - a) * (1 - b) * cell_or_zero (prob, size, v, u)
          + a * (1 - b) * cell_or_zero (prob, size, v, u + 1)
          + (1 - a) * b * cell_or_zero (prob, size, v + 1, u)
          + a * b * cell_or_zero (prob, size, v + 1, u + 1);

      dst[(gsize) y * frame_width + x] = p >= threshold;
    }
  }
}
