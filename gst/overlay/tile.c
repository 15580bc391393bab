/* GStreamer instance masks
 *
 * tile.c: coverage of a part of the frame, most of which is all or nothing
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <string.h>

#include "maskdraw-private.h"

guint8 *
scratch_get (Scratch * scratch, gsize size)
{
  if (size > scratch->size) {
    /* with room for an object that comes nearer */
    scratch->size = size + size / 2;
    g_free (scratch->data);
    scratch->data = g_malloc (scratch->size + 32);
  }
  return (guint8 *) (((guintptr) scratch->data + 31) & ~(guintptr) 31);
}

void
scratch_clear (Scratch * scratch)
{
  g_free (scratch->data);
  scratch->data = NULL;
  scratch->size = 0;
}

gsize
tile_layout (Tile * tile, gint width, gint height)
{
  tile->width = width;
  tile->height = height;
  /* One block more than need be, so that a stroke may end in it; a multiple of
   * 8, so that rows can be compared fast. */
  tile->n_blocks = GST_ROUND_UP_8 ((width - 1) / TILE_BLOCK + 2);
  /* an odd number of cache lines, so that a column has room in the cache */
  tile->stride = tile->n_blocks * TILE_BLOCK + 64;
  tile->solid = 255;
  /* next_kind() looks at 8 kinds at once */
  return (gsize) (tile->stride + tile->n_blocks) * height + 8;
}

void
tile_bind (Tile * tile, guint8 * memory)
{
  tile->data = memory;
  tile->kinds = memory + (gsize) tile->stride * tile->height;
}

gboolean
tile_init (Tile * tile, Scratch * scratch, gint frame_width,
    gint frame_height, gdouble x0, gdouble y0, gdouble x1, gdouble y1)
{
  gsize size;

  /* written such that a NaN gives FALSE */
  if (!(x0 < frame_width && y0 < frame_height && x1 > 0 && y1 > 0
          && x0 < x1 && y0 < y1))
    return FALSE;

  tile->frame_width = frame_width;
  tile->frame_height = frame_height;
  tile->x = (gint) floor (MAX (x0, 0)) & ~1;
  tile->y = (gint) floor (MAX (y0, 0)) & ~1;
  size = tile_layout (tile,
      GST_ROUND_UP_2 ((gint) ceil (MIN (x1, frame_width)) - tile->x),
      GST_ROUND_UP_2 ((gint) ceil (MIN (y1, frame_height)) - tile->y));
  tile_bind (tile, scratch_get (scratch, size));
  memset (tile->kinds, TILE_EMPTY, (gsize) tile->n_blocks * tile->height + 8);
  return TRUE;
}

void
tile_finish (Tile * tile)
{
  gint y, last = tile->width - 1;

  if (tile->x + tile->width > tile->frame_width) {
    for (y = 0; y < tile->height; y++) {
      guint8 *row = tile->data + (gsize) y * tile->stride;

      if (tile->kinds[y * tile->n_blocks + last / TILE_BLOCK] == TILE_MIXED)
        row[last] = row[last - 1];
    }
  }
  if (tile->y + tile->height > tile->frame_height) {
    guint8 *row = tile->data + (gsize) tile->stride * (tile->height - 1);
    guint8 *kinds = tile->kinds + (gsize) tile->n_blocks * (tile->height - 1);

    memcpy (row, row - tile->stride, tile->stride);
    memcpy (kinds, kinds - tile->n_blocks, tile->n_blocks);
  }
}

void
tile_set (Tile * tile, gint y, gint x0, gint x1)
{
  guint8 *row = tile->data + (gsize) y * tile->stride;
  guint8 *kinds = tile->kinds + (gsize) y * tile->n_blocks;
  gint first, last, k;

  for (k = x0 / TILE_BLOCK; k * TILE_BLOCK < x1; k++) {
    first = MAX (x0, k * TILE_BLOCK);
    last = MIN (x1, (k + 1) * TILE_BLOCK);
    if (last - first == TILE_BLOCK || (first == k * TILE_BLOCK
            && last == tile->width)) {
      kinds[k] = TILE_SOLID;
    } else if (kinds[k] != TILE_SOLID) {
      tile_touch (tile, row, kinds, k);
      memset (row + first, tile->solid, last - first);
    }
  }
}

void
tile_find_kinds (Tile * tile)
{
  gint y, k, i;

  for (y = 0; y < tile->height; y++) {
    const guint8 *row = tile->data + (gsize) y * tile->stride;
    guint8 *kinds = tile->kinds + (gsize) y * tile->n_blocks;

    memset (kinds, TILE_EMPTY, tile->n_blocks);
    for (k = 0; k * TILE_BLOCK < tile->width; k++) {
      gint n = MIN (tile->width - k * TILE_BLOCK, TILE_BLOCK);
      guint8 value = row[k * TILE_BLOCK];

      for (i = 1; i < n && row[k * TILE_BLOCK + i] == value;)
        i++;
      kinds[k] = i < n || (value != 0 && value != tile->solid) ? TILE_MIXED :
          value ? TILE_SOLID : TILE_EMPTY;
    }
  }
}

void
tile_unite (Tile * dst, const Tile * src)
{
  gint first = (src->x - dst->x) / TILE_BLOCK, y, k, i;

  for (y = 0; y < src->height; y++) {
    gint below = src->y - dst->y + y;
    const guint8 *row = src->data + (gsize) y * src->stride;
    const guint8 *kinds = src->kinds + (gsize) y * src->n_blocks;
    guint8 *dst_row = dst->data + (gsize) below * dst->stride;
    guint8 *dst_kinds = dst->kinds + (gsize) below * dst->n_blocks;

    for (k = 0; k * TILE_BLOCK < src->width; k++) {
      const guint8 *block = row + k * TILE_BLOCK;
      guint8 *dst_block = dst_row + (first + k) * TILE_BLOCK;

      if (kinds[k] == TILE_SOLID) {
        dst_kinds[first + k] = TILE_SOLID;
      } else if (kinds[k] == TILE_MIXED && dst_kinds[first + k] != TILE_SOLID) {
        tile_touch (dst, dst_row, dst_kinds, first + k);
        for (i = 0; i < TILE_BLOCK; i++)
          dst_block[i] = MAX (dst_block[i], block[i]);
      }
    }
  }
}

void
tile_invert (Tile * tile)
{
  gint y, k, i;

  for (y = 0; y < tile->height; y++) {
    guint8 *row = tile->data + (gsize) y * tile->stride;
    guint8 *kinds = tile->kinds + (gsize) y * tile->n_blocks;

    for (k = 0; k < tile->n_blocks; k++) {
      if (kinds[k] == TILE_MIXED) {
        for (i = k * TILE_BLOCK; i < (k + 1) * TILE_BLOCK; i++)
          row[i] = 255 - row[i];
      } else {
        kinds[k] = kinds[k] == TILE_EMPTY ? TILE_SOLID : TILE_EMPTY;
      }
    }
  }
}
