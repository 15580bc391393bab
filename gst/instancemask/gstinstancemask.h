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
#include <gst/instancemask/instancemask-prelude.h>

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

#define GST_TYPE_INSTANCE_MASK (gst_instance_mask_get_type ())

GST_INSTANCE_MASK_API
GType gst_instance_mask_get_type (void);

GST_INSTANCE_MASK_API
GstInstanceMask *gst_instance_mask_new (void);

GST_INSTANCE_MASK_API
GstInstanceMask *gst_instance_mask_copy (const GstInstanceMask * mask);

GST_INSTANCE_MASK_API
void gst_instance_mask_free (GstInstanceMask * mask);

GST_INSTANCE_MASK_API
const gchar *gst_instance_mask_get_label (const GstInstanceMask * mask);

GST_INSTANCE_MASK_API
void gst_instance_mask_set_label (GstInstanceMask * mask, const gchar * label);

GST_INSTANCE_MASK_API
gboolean gst_instance_mask_set_grid (GstInstanceMask * mask, GBytes * grid,
    gsize offset, gsize stride, guint width, guint height);

GST_INSTANCE_MASK_API
void gst_instance_mask_transform (GstInstanceMask * mask, gfloat scale_x,
    gfloat scale_y, gfloat offset_x, gfloat offset_y);

GST_INSTANCE_MASK_API
gboolean gst_instance_mask_clip (GstInstanceMask * mask, guint frame_width,
    guint frame_height);

/* Pixels */

GST_INSTANCE_MASK_API
gboolean gst_instance_mask_get_extents (const GstInstanceMask * mask,
    gint * x, gint * y, gint * width, gint * height);

GST_INSTANCE_MASK_API
void gst_instance_mask_render_a8 (const GstInstanceMask * mask, gint x, gint y,
    guint width, guint height, guint8 threshold, guint8 * data, gsize stride);

GST_INSTANCE_MASK_API
void gst_instance_mask_render_bits (const GstInstanceMask * mask, gint x,
    gint y, guint width, guint height, guint8 threshold, guint8 * data,
    gsize stride);

GST_INSTANCE_MASK_API
GBytes *gst_instance_mask_render_bytes (const GstInstanceMask * mask, gint x,
    gint y, guint width, guint height, guint8 threshold);

GST_INSTANCE_MASK_API
guint64 gst_instance_mask_get_area (const GstInstanceMask * mask,
    guint frame_width, guint frame_height, guint8 threshold);

GST_INSTANCE_MASK_API
gboolean gst_instance_mask_get_bounding_rect (const GstInstanceMask * mask,
    guint frame_width, guint frame_height, guint8 threshold, gint * x,
    gint * y, gint * width, gint * height);

GST_INSTANCE_MASK_API
gdouble gst_instance_mask_iou (const GstInstanceMask * a,
    const GstInstanceMask * b, guint8 threshold);

/* COCO run lengths */

GST_INSTANCE_MASK_API
guint32 *gst_instance_mask_to_rle (const GstInstanceMask * mask,
    guint frame_width, guint frame_height, guint8 threshold, gsize * n_counts);

GST_INSTANCE_MASK_API
gchar *gst_instance_mask_to_rle_string (const GstInstanceMask * mask,
    guint frame_width, guint frame_height, guint8 threshold);

GST_INSTANCE_MASK_API
guint32 *gst_instance_mask_rle_from_a8 (const guint8 * data, guint width,
    guint height, gsize stride, gsize * n_counts);

GST_INSTANCE_MASK_API
gboolean gst_instance_mask_rle_to_a8 (const guint32 * counts, gsize n_counts,
    guint width, guint height, guint8 * data, gsize stride);

GST_INSTANCE_MASK_API
gchar *gst_instance_mask_rle_to_string (const guint32 * counts,
    gsize n_counts);

GST_INSTANCE_MASK_API
guint32 *gst_instance_mask_rle_from_string (const gchar * string,
    gsize * n_counts);

/* Polygons */

/**
 * GstInstanceMaskRing:
 * @n_points: number of corners
 * @points: (array) (not nullable): @n_points pairs of x and y in pixels of
 *   the frame; the last corner is joined to the first
 * @is_hole: whether the ring bounds a hole; a hole follows the outer ring of
 *   the part that it lies in
 *
 * A closed line around a part of a mask. Outer rings go clockwise on the
 * screen, holes counter-clockwise.
 */
typedef struct
{
  guint n_points;
  gfloat *points;
  gboolean is_hole;
} GstInstanceMaskRing;

#define GST_TYPE_INSTANCE_MASK_RING (gst_instance_mask_ring_get_type ())

GST_INSTANCE_MASK_API
GType gst_instance_mask_ring_get_type (void);

GST_INSTANCE_MASK_API
GstInstanceMaskRing *gst_instance_mask_ring_copy (
    const GstInstanceMaskRing * ring);

GST_INSTANCE_MASK_API
void gst_instance_mask_ring_free (GstInstanceMaskRing * ring);

GST_INSTANCE_MASK_API
gfloat *gst_instance_mask_ring_get_points (const GstInstanceMaskRing * ring,
    gsize * n_values);

GST_INSTANCE_MASK_API
GPtrArray *gst_instance_mask_to_polygons (const GstInstanceMask * mask,
    guint8 threshold, gfloat tolerance);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GstInstanceMask, gst_instance_mask_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GstInstanceMaskRing, gst_instance_mask_ring_free)

G_END_DECLS

#endif
