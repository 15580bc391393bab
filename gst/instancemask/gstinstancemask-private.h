/* GStreamer instance masks
 *
 * gstinstancemask-private.h: what the files of this library share
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef __GST_INSTANCE_MASK_PRIVATE_H__
#define __GST_INSTANCE_MASK_PRIVATE_H__

#include "instancemask.h"

G_BEGIN_DECLS

/* Larger than any frame; keeps a position in a grid with its fraction within
 * 32 bits. */
#define GST_INSTANCE_MASK_MAX_GRID 32768
/* A mask over more pixels than this, or this far away, counts as empty: a
 * hostile map must not make rendering take minutes. */
#define GST_INSTANCE_MASK_MAX_PIXELS 65536
#define GST_INSTANCE_MASK_MAX_OFFSET 1e7f

void gst_instance_mask_init_copy (GstInstanceMask * dst,
    const GstInstanceMask * src);
void gst_instance_mask_clear (GstInstanceMask * mask);

/* First row of the grid; NULL if it, or its map, cannot be used. */
const guint8 *gst_instance_mask_peek_grid (const GstInstanceMask * mask);

/* Swaps x and y. */
void gst_instance_mask_transpose (GstInstanceMask * mask);

/* Pixels of a row, from its start, half-open */
typedef struct
{
  gint first, last;
} GstInstanceMaskRun;

/* How the cells of a grid lie along a row or a column of pixels */
typedef struct
{
  gdouble offset, scale, inv_scale;
  gint size;                    /* cells */
  gint first, last;             /* pixels within the grid, half-open */
} GstInstanceMaskAxis;

/*
 * The pixels of single rows that reach a threshold, as runs. A pixel's value is
 * the sum of four cells weighed with 8 bits each way, in full precision. So it
 * is linear along a row from one cell to the next and reaches the threshold at
 * most once there, in a place that integers tell: the work is that of cells,
 * not of pixels. And rendering the transposed mask gives exactly the transposed
 * pixels.
 */
typedef struct
{
  const guint8 *grid;
  gsize grid_stride;
  GstInstanceMaskAxis horizontal, vertical;
  guint32 level;                /* the threshold, in 256ths */
  gint x;                       /* of a row's start */
  gint start, step;             /* cells of the grid in the order of pixels */
  gint n_cells;                 /* that these pixels lie between */
  gint band;                    /* row of the grid that quads[] is about */
  gint n_quads;
  guint16 *quads;               /* cells after which the row may cross */
  GstInstanceMaskRun *runs;
  guint8 *heap;
  guint64 stack[256];
} GstInstanceMaskRows;

/* FALSE if no pixel of the columns can be in the mask. @threshold is at
 * least 1. */
gboolean gst_instance_mask_rows_init (GstInstanceMaskRows * rows,
    const GstInstanceMask * mask, gint x, guint width, guint8 threshold);
void gst_instance_mask_rows_finish (GstInstanceMaskRows * rows);
/* Puts the runs of a row into rows->runs, from left to right and with a gap
 * between each two. Returns their number. */
gint gst_instance_mask_rows_find (GstInstanceMaskRows * rows, gint y);

/* Adds a copy of @src to @buffer. */
GstInstanceMaskMeta *gst_instance_mask_meta_clone (GstBuffer * buffer,
    const GstInstanceMaskMeta * src);

G_END_DECLS

#endif
