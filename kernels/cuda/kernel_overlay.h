/*
 * kernel_overlay.h: blends layers of colour onto the planes of a frame.
 *
 * What covers a frame is split into cells of 16 x 16 pixels; a cell has a list
 * of layers, blended one after the other while its pixels are in registers. The
 * arithmetic is that of gst/overlay, bit by bit. 16-bit samples are blended
 * byte by byte, which is the same but for the rounding, as blending is linear.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_KERNEL_OVERLAY_H
#define CI_KERNEL_OVERLAY_H

#include "hostdev.h"

#define CI_CELL 16
#define CI_CELL_BYTES (CI_CELL * CI_CELL)
/* A thread has four groups of a plane, so a plane that is not subsampled has
 * so many of them in a cell. */
#define CI_CELL_THREADS (CI_CELL_BYTES / 4)

typedef struct
{
  uint16_t x, y;                /* in cells */
  uint32_t first, end;          /* of its layers */
} CiBlendCell;

/* No coverage of its own: its opacity holds for the whole cell. */
#define CI_UNIFORM UINT32_MAX

typedef struct
{
  uint32_t coverage;            /* which CI_CELL_BYTES, row by row */
  uint32_t color;               /* component c: bits 8 c to 8 c + 7 */
  uint8_t opacity;              /* if CI_UNIFORM */
  uint8_t components;           /* bits: those that change */
  uint16_t reserved;
} CiBlendLayer;

/* A byte of a plane that is the lower one of a component's sample */
#define CI_LOW_BYTE 8
#define CI_NO_COMPONENT 7

/* Groups of @bytes bytes (1 to 4) that stand for 1 << x_shift by 1 << y_shift
 * pixels */
typedef struct
{
  uint8_t *data;
  int32_t stride;
  int32_t n_groups, n_rows;
  uint8_t bytes, x_shift, y_shift;
  uint8_t component[4];         /* of each byte */
} CiBlendPlane;

#define CI_MAX_PLANES 3

typedef struct
{
  const CiBlendCell *cells;
  const CiBlendLayer *layers;
  const uint8_t *coverage;
  CiBlendPlane planes[CI_MAX_PLANES];
} CiBlendCellsArgs;


/* Four groups to words and back, whatever is there of them */
CI_HD void
ci_load_groups (const uint8_t * data, int bytes, int n, uint32_t word[4])
{
  int whole = n == 4 && ((uintptr_t) data & (4 * bytes - 1)) == 0;

  word[0] = word[1] = word[2] = word[3] = 0;
  if (whole && bytes == 1) {
    word[0] = *(const uint32_t *) data;
  } else if (whole && bytes == 2) {
    uint64_t pair = *(const uint64_t *) data;

    word[0] = (uint32_t) pair;
    word[1] = (uint32_t) (pair >> 32);
  } else if (whole && bytes == 4) {
    CiWords quad = *(const CiWords *) data;

    for (int k = 0; k < 4; k++)
      word[k] = quad.word[k];
  } else {
    for (int k = 0; k < 4 * bytes; k++)
      if (k < n * bytes)
        word[k / 4] |= (uint32_t) data[k] << k % 4 * 8;
  }
}

CI_HD void
ci_store_groups (uint8_t * data, int bytes, int n, const uint32_t word[4])
{
  int whole = n == 4 && ((uintptr_t) data & (4 * bytes - 1)) == 0;

  if (whole && bytes == 1) {
    *(uint32_t *) data = word[0];
  } else if (whole && bytes == 2) {
    *(uint64_t *) data = word[0] | (uint64_t) word[1] << 32;
  } else if (whole && bytes == 4) {
    CiWords quad;

    for (int k = 0; k < 4; k++)
      quad.word[k] = word[k];
    *(CiWords *) data = quad;
  } else {
    for (int k = 0; k < 4 * bytes; k++)
      if (k < n * bytes)
        data[k] = (uint8_t) (word[k / 4] >> k % 4 * 8);
  }
}

/* Coverage of four groups; @coverage: of the first one's first pixel. */
CI_HD void
ci_group_coverage (const uint8_t * coverage, int x_shift, int y_shift,
    uint32_t out[4])
{
  uint32_t upper = *(const uint32_t *) coverage;

  if (x_shift == 0) {
    for (int k = 0; k < 4; k++)
      out[k] = upper >> 8 * k & 0xff;
  } else {
    const uint8_t *below = coverage + (y_shift ? CI_CELL : 0);
    uint32_t word[4] = { upper, *(const uint32_t *) (coverage + 4),
      *(const uint32_t *) below, *(const uint32_t *) (below + 4)
    };

    for (int k = 0; k < 4; k++) {
      uint32_t a = word[k / 2] >> k % 2 * 16;
      uint32_t b = word[2 + k / 2] >> k % 2 * 16;

      out[k] = ((a & 0xff) + (a >> 8 & 0xff) + (b & 0xff) + (b >> 8 & 0xff)
          + 2) >> 2;
    }
  }
}

/* Four groups at @data, @n of which are in the plane. @bytes is known where
 * this is built in. */
CI_HD void
ci_blend_groups (const CiBlendCellsArgs * a, const CiBlendPlane * plane,
    const CiBlendCell * cell, uint8_t * data, int n, int at, int bytes)
{
  uint32_t word[4];

  ci_load_groups (data, bytes, n, word);
  for (uint32_t i = cell->first; i < cell->end; i++) {
    CiBlendLayer layer = a->layers[i];
    uint32_t alpha[4] = { layer.opacity, layer.opacity, layer.opacity,
      layer.opacity
    };

    if (layer.coverage != CI_UNIFORM)
      ci_group_coverage (a->coverage + (size_t) layer.coverage * CI_CELL_BYTES
          + at, plane->x_shift, plane->y_shift, alpha);
    for (int b = 0; b < bytes; b++) {
      int component = plane->component[b] & 7;
      uint32_t color = plane->component[b] & CI_LOW_BYTE ? 0 :
          layer.color >> component % 4 * 8 & 0xff;

      if (!(layer.components >> component & 1))
        continue;
      for (int k = 0; k < 4; k++) {
        int byte = k * bytes + b, shift = byte % 4 * 8;
        uint32_t f = alpha[k] + (alpha[k] >> 7);
        uint32_t v = word[byte / 4] >> shift & 0xff;

        v = (v * (256 - f) + color * f + 128) >> 8;
        word[byte / 4] = (word[byte / 4] & ~(0xffu << shift)) | v << shift;
      }
    }
  }
  ci_store_groups (data, bytes, n, word);
}

/* Block: one cell (bx) of one plane (by). */
CI_HD int
ci_blend_cells_block (const CiBlendCellsArgs * a, void *shared, int bx, int by,
    int bz, int thread, int phase)
{
  const CiBlendPlane *plane = &a->planes[by];
  CiBlendCell cell = a->cells[bx];
  int row = thread >> (2 - plane->x_shift);
  int x = (thread & (3 >> plane->x_shift)) * 4;
  int y = (cell.y * CI_CELL >> plane->y_shift) + row;
  int group = (cell.x * CI_CELL >> plane->x_shift) + x;
  int n = ci_min (plane->n_groups - group, 4);
  int at = (row << plane->y_shift) * CI_CELL + (x << plane->x_shift);
  uint8_t *data;

  (void) shared;
  (void) bz;
  (void) phase;
  if (row >= CI_CELL >> plane->y_shift || y >= plane->n_rows || n <= 0)
    return 0;
  data = plane->data + (ptrdiff_t) y * plane->stride + group * plane->bytes;
  switch (plane->bytes) {
    case 1:
      ci_blend_groups (a, plane, &cell, data, n, at, 1);
      break;
    case 2:
      ci_blend_groups (a, plane, &cell, data, n, at, 2);
      break;
    case 3:
      ci_blend_groups (a, plane, &cell, data, n, at, 3);
      break;
    default:
      ci_blend_groups (a, plane, &cell, data, n, at, 4);
      break;
  }
  return 0;
}

#define CI_OVERLAY_KERNELS(ELEMENT, BLOCK) \
  BLOCK (blend_cells, CiBlendCellsArgs, CI_CELL_THREADS, 0)

#endif /* CI_KERNEL_OVERLAY_H */
