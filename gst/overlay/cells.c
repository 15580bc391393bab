/* GStreamer instance masks
 *
 * cells.c: tiles as cells of the frame, for whoever blends them elsewhere
 *
 * Cells lie on one raster, so that all that covers a pixel is found in the list
 * of its cell. Only cells that an edge passes through have coverage of their
 * own.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "maskdraw-private.h"

#define SIZE GST_MASK_DRAW_CELL_SIZE

G_STATIC_ASSERT (SIZE == TILE_BLOCK);

/* All kinds in a column of blocks; each is one more than its value, so that
 * empty and solid ones together count as mixed. */
enum
{
  SEEN_EMPTY = TILE_EMPTY + 1,
  SEEN_SOLID = TILE_SOLID + 1,
};

static void
see_kinds (guint8 * restrict seen, const guint8 * restrict kinds, gint n)
{
  gint i;

  for (i = 0; i < n; i++)
    seen[i] |= kinds[i] + 1;
}

/* The pixels [x0, x1) of a row, each at its place in @dst */
static void
copy_row (const Tile * tile, gint y, gint x0, gint x1, guint8 * dst)
{
  const guint8 *row = tile->data + (gsize) y * tile->stride;
  const guint8 *kinds = tile->kinds + (gsize) y * tile->n_blocks;
  gint end;

  for (; x0 < x1; dst += end - x0, x0 = end) {
    guint8 kind = kinds[x0 / TILE_BLOCK];

    end = MIN (GST_ROUND_UP_N (x0 + 1, TILE_BLOCK), x1);
    if (kind == TILE_MIXED)
      memcpy (dst, row + x0, end - x0);
    else
      memset (dst, kind == TILE_SOLID ? tile->solid : 0, end - x0);
  }
}

void
canvas_split (Canvas * canvas, const Tile * tile, const guint8 color[4],
    guint components)
{
  /* what is beyond the frame may count as covered */
  gint right = tile->x + tile->width, bottom = tile->y + tile->height;
  gint cover_right = right >= canvas->width ? G_MAXINT : right;
  gint cover_bottom = bottom >= canvas->height ? G_MAXINT : bottom;
  guint8 *seen = scratch_get (&canvas->source, tile->n_blocks);
  guint8 coverage[SIZE * SIZE];
  GstMaskDrawCell cell;
  gint y, y0, y1, x0, x1;

  memcpy (cell.color, color, sizeof (cell.color));
  cell.components = components & GST_MASK_DRAW_ALL_COMPONENTS;
  for (cell.y = tile->y & -SIZE; cell.y < bottom; cell.y += SIZE) {
    y0 = MAX (cell.y, tile->y);
    y1 = MIN (cell.y + SIZE, bottom);
    memset (seen, 0, tile->n_blocks);
    for (y = y0; y < y1; y++)
      see_kinds (seen, tile->kinds + (gsize) (y - tile->y) * tile->n_blocks,
          tile->n_blocks);

    for (cell.x = tile->x & -SIZE; cell.x < right; cell.x += SIZE) {
      guint8 all;

      x0 = MAX (cell.x, tile->x);
      x1 = MIN (cell.x + SIZE, right);
      all = seen[(x0 - tile->x) / TILE_BLOCK]
          | seen[(x1 - 1 - tile->x) / TILE_BLOCK];
      if (all == SEEN_EMPTY)
        continue;
      cell.opacity = tile->solid;
      cell.coverage = NULL;
      if (all != SEEN_SOLID || x0 > cell.x || y0 > cell.y
          || cell.x + SIZE > cover_right || cell.y + SIZE > cover_bottom) {
        memset (coverage, 0, sizeof (coverage));
        for (y = y0; y < y1; y++)
          copy_row (tile, y - tile->y, x0 - tile->x, x1 - tile->x,
              coverage + (y - cell.y) * SIZE + x0 - cell.x);
        cell.coverage = coverage;
      }
      canvas->func (&cell, canvas->user_data);
    }
  }
}
