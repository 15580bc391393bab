/*
 * mask_pixel_box.c: masks over whole pixels, as torchvision pastes them
 * (torchvision/models/detection/roi_heads.py).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels.h"

#include <math.h>
#include <string.h>

/* Boxes may be anywhere; what is beyond this is in no frame. */
#define FAR 1e6f

/* Truncated; a box that is no number is far away. */
static gint
to_pixel (gfloat t)
{
  return t > -FAR ? MIN (t, FAR) : -FAR;
}

/* The pixels of one axis that a map of @size cells and a cell more at either
 * end covers. */
static void
pixel_range (gfloat lo, gfloat hi, gint size, gint * first, gint * n)
{
  gfloat half = (hi - lo) * 0.5f * ((size + 2) / (gfloat) size);
  gfloat centre = (hi + lo) * 0.5f;

  *first = to_pixel (centre - half);
  *n = MAX (to_pixel (centre + half) - *first + 1, 1);
}

/* A pixel, along one axis, between two cells of the map; the border is 0. */
typedef struct
{
  gint cell[2];
  gfloat weight[2];
} Taps;

static void
make_taps (Taps * taps, gint first, gint n, gint size, gint start, gint end)
{
  gfloat scale = (gfloat) (size + 2) / n;

  for (gint i = start; i < end; i++) {
    gfloat t = MAX ((i - first + 0.5f) * scale - 0.5f, 0.0f);
    gint i0 = MIN ((gint) t, size + 1);
    gfloat a = t - i0;

    for (gint k = 0; k < 2; k++) {
      gint cell = MIN (i0 + k, size + 1) - 1;
      gboolean inside = cell >= 0 && cell < size;

      taps[i - start].cell[k] = inside ? cell : 0;
      taps[i - start].weight[k] = inside ? (k ? a : 1.0f - a) : 0.0f;
    }
  }
}

void
ci_mask_paste_pixel_box (const gfloat * prob, gint size, const gfloat box[4],
    gint frame_width, gint frame_height, gfloat threshold, guint8 * dst)
{
  gint first_x, first_y, n_x, n_y, x0, y0, x1, y1;
  g_autofree Taps *xs = g_new (Taps, frame_width);
  g_autofree Taps *ys = g_new (Taps, frame_height);

  pixel_range (box[0], box[2], size, &first_x, &n_x);
  pixel_range (box[1], box[3], size, &first_y, &n_y);
  x0 = CLAMP (first_x, 0, frame_width);
  y0 = CLAMP (first_y, 0, frame_height);
  x1 = CLAMP (first_x + n_x, x0, frame_width);
  y1 = CLAMP (first_y + n_y, y0, frame_height);
  make_taps (xs, first_x, n_x, size, x0, x1);
  make_taps (ys, first_y, n_y, size, y0, y1);
  memset (dst, 0, (gsize) frame_width * frame_height);
  for (gint y = y0; y < y1; y++) {
    const Taps *v = &ys[y - y0];
    const gfloat *row0 = prob + v->cell[0] * size;
    const gfloat *row1 = prob + v->cell[1] * size;

    for (gint x = x0; x < x1; x++) {
      const Taps *u = &xs[x - x0];
      gfloat p = v->weight[0] * (u->weight[0] * row0[u->cell[0]]
          + u->weight[1] * row0[u->cell[1]])
          + v->weight[1] * (u->weight[0] * row1[u->cell[0]]
          + u->weight[1] * row1[u->cell[1]]);

      dst[(gsize) y * frame_width + x] = p > threshold;
    }
  }
}

void
ci_mask_pixel_box (gint size, const gfloat box[4], gfloat out[4])
{
  for (gint k = 0; k < 2; k++) {
    gint first, n;
    gfloat cell;

    pixel_range (box[k], box[k + 2], size, &first, &n);
    cell = (gfloat) n / (size + 2);
    out[k] = first + cell;
    out[k + 2] = first + n - cell;
  }
}
