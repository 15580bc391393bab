/* GStreamer instance masks
 *
 * gstinstancemask.h: one object found in a frame, with its soft mask
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef __GST_INSTANCE_MASK_H__
#define __GST_INSTANCE_MASK_H__

#include <gst/gst.h>
#include <gst/video/video.h>

G_BEGIN_DECLS

/**
 * GstInstanceMaskFlags:
 * @GST_INSTANCE_MASK_FLAG_NONE: no flags
 * @GST_INSTANCE_MASK_FLAG_PREDICTED: carried over from an earlier frame, not
 *   found in this one
 * @GST_INSTANCE_MASK_FLAG_TRUNCATED: a crop cut off a part of it
 */
typedef enum
{
  GST_INSTANCE_MASK_FLAG_NONE = 0,
  GST_INSTANCE_MASK_FLAG_PREDICTED = (1 << 0),
  GST_INSTANCE_MASK_FLAG_TRUNCATED = (1 << 1),
} GstInstanceMaskFlags;

typedef struct _GstInstanceMask GstInstanceMask;

/**
 * GstInstanceMask:
 * @id: unique within its frame; a tracker's id where there is one
 * @class_id: index of the class in the model
 * @label: name of the class, as a quark; 0 if it has none
 * @score: confidence, 0 to 1
 * @x0: left edge of the box, in pixels of the frame
 * @y0: top edge of the box
 * @x1: right edge of the box, exclusive
 * @y1: bottom edge of the box, exclusive
 * @flags: #GstInstanceMaskFlags
 * @grid_width: columns of @grid; 0 for a box without a mask
 * @grid_height: rows of @grid
 * @grid_offset: bytes from the start of @grid to the first row
 * @grid_stride: bytes from one row to the next
 * @grid: (nullable): probabilities, 0 to 255, shared by all instances of a
 *   frame and by all copies of the meta
 * @offset_x: see below
 * @offset_y: see below
 * @scale_x: see below; negative in a mirrored frame
 * @scale_y: see below
 *
 * One object of a frame. Its mask is a small grid of probabilities: the cell
 * in column i and row j has its centre at u = i + 0.5, v = j + 0.5, which lies
 * at x = @offset_x + @scale_x * u, y = @offset_y + @scale_y * v in the frame,
 * in pixels, where the centre of the top left pixel is (0.5, 0.5). Between the
 * centres the mask is interpolated linearly; beyond the outermost centres it
 * goes on unchanged up to the edge of the grid, and outside it is 0. A pixel
 * belongs to the object where the mask is at least the threshold (128 for the
 * probability 0.5).
 */
struct _GstInstanceMask
{
  guint id;
  gint class_id;
  GQuark label;
  gfloat score;
  gfloat x0, y0, x1, y1;
  GstInstanceMaskFlags flags;
  guint grid_width, grid_height;
  gsize grid_offset, grid_stride;
  GBytes *grid;
  gfloat offset_x, offset_y, scale_x, scale_y;
};

G_END_DECLS

#endif
