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

/*
 * Renders single rows of a mask. A pixel's value is the sum of four cells
 * weighed with 8 bits each way, in full precision; so rendering the transposed
 * mask gives exactly the transposed pixels.
 */
typedef struct
{
  const guint8 *grid;
  gsize grid_stride;
  gint grid_width, grid_height;
  guint32 level;                /* the threshold in the sum's units */
  gboolean soft;
  gdouble offset_y, inv_scale_y;
  gint x, width;                /* of a row */
  gint first, last;             /* columns of a row in the grid, half-open */
  gint y_first, y_last;         /* rows in the grid, half-open */
  gint cached[2];               /* row of the grid in lines[] */
  guint16 *lines[2];            /* rows of the grid, interpolated along x */
  guint32 *taps;                /* column << 9 | weight of the next column */
  gint span_row;                /* row of the grid that span_* is about */
  gint span_first, span_last;   /* pixels that can reach the threshold */
  guint8 *heap;
  guint64 stack[2048];
} GstInstanceMaskRows;

/* FALSE if no pixel of the columns can be in the mask. @threshold 0: soft. */
gboolean gst_instance_mask_rows_init (GstInstanceMaskRows * rows,
    const GstInstanceMask * mask, gint x, guint width, guint8 threshold);
void gst_instance_mask_rows_finish (GstInstanceMaskRows * rows);
/* Writes only the columns *@first to *@last (half-open, from the row's start);
 * all others are 0. FALSE if there is none. */
gboolean gst_instance_mask_rows_render (GstInstanceMaskRows * rows, gint y,
    guint8 * dst, gint * first, gint * last);

/* Adds a copy of @src to @buffer. */
GstInstanceMaskMeta *gst_instance_mask_meta_clone (GstBuffer * buffer,
    const GstInstanceMaskMeta * src);

G_END_DECLS

#endif
