/* GStreamer instance masks
 *
 * gstinstancemask.c: one object and where its grid lies in the frame
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/**
 * SECTION:gstinstancemask
 * @title: GstInstanceMask
 * @short_description: one object found in a frame, with its soft mask
 *
 * The mask of an object is a small grid of probabilities and a map from the
 * grid to the frame. Scaling, mirroring or cropping a frame changes the map
 * alone; whoever needs pixels renders the rectangle that he needs.
 */

#include <math.h>
#include <string.h>
#include "instancemask.h"
#include "gstinstancemask-private.h"

G_DEFINE_BOXED_TYPE (GstInstanceMask, gst_instance_mask,
    gst_instance_mask_copy, gst_instance_mask_free)

/**
 * gst_instance_mask_new: (constructor)
 *
 * Returns: (transfer full): an object without a box, label or grid. Its map
 *   is the identity.
 */
GstInstanceMask *
gst_instance_mask_new (void)
{
  GstInstanceMask *mask = g_new0 (GstInstanceMask, 1);

  mask->scale_x = mask->scale_y = 1.0f;
  return mask;
}

void
gst_instance_mask_init_copy (GstInstanceMask * dst, const GstInstanceMask * src)
{
  *dst = *src;
  if (dst->grid)
    g_bytes_ref (dst->grid);
}

void
gst_instance_mask_clear (GstInstanceMask * mask)
{
  g_clear_pointer (&mask->grid, g_bytes_unref);
}

/**
 * gst_instance_mask_copy:
 * @mask: a #GstInstanceMask
 *
 * Returns: (transfer full): a copy that shares the grid
 */
GstInstanceMask *
gst_instance_mask_copy (const GstInstanceMask * mask)
{
  GstInstanceMask *copy;

  g_return_val_if_fail (mask != NULL, NULL);

  copy = g_new (GstInstanceMask, 1);
  gst_instance_mask_init_copy (copy, mask);
  return copy;
}

/**
 * gst_instance_mask_free:
 * @mask: (transfer full): a #GstInstanceMask that gst_instance_mask_new() or
 *   gst_instance_mask_copy() made
 */
void
gst_instance_mask_free (GstInstanceMask * mask)
{
  if (!mask)
    return;
  gst_instance_mask_clear (mask);
  g_free (mask);
}

/**
 * gst_instance_mask_get_label:
 * @mask: a #GstInstanceMask
 *
 * Returns: (nullable): the name of the class
 */
const gchar *
gst_instance_mask_get_label (const GstInstanceMask * mask)
{
  g_return_val_if_fail (mask != NULL, NULL);

  return g_quark_to_string (mask->label);
}

/**
 * gst_instance_mask_set_label:
 * @mask: a #GstInstanceMask
 * @label: (nullable): the name of the class
 *
 * Labels are quarks: they are kept for the life of the process.
 */
void
gst_instance_mask_set_label (GstInstanceMask * mask, const gchar * label)
{
  g_return_if_fail (mask != NULL);

  mask->label = g_quark_from_string (label);
}

static gboolean
grid_fits (GBytes * grid, gsize offset, gsize stride, guint width, guint height)
{
  gsize size = g_bytes_get_size (grid);

  /* Written so that no step can overflow. */
  return width > 0 && height > 0 && width <= GST_INSTANCE_MASK_MAX_GRID
      && height <= GST_INSTANCE_MASK_MAX_GRID && stride >= width
      && offset <= size && width <= size - offset
      && (height == 1 || stride <= (size - offset - width) / (height - 1));
}

/**
 * gst_instance_mask_set_grid:
 * @mask: a #GstInstanceMask
 * @grid: (nullable) (transfer none): probabilities, 0 to 255; %NULL takes the
 *   mask away
 * @offset: bytes from the start of @grid to the first row
 * @stride: bytes from one row to the next
 * @width: columns, at most 32768
 * @height: rows, at most 32768
 *
 * Sets the grid; several objects may share one @grid. The map is left as it
 * is.
 *
 * Returns: whether the rows lie within @grid; else nothing is changed
 */
gboolean
gst_instance_mask_set_grid (GstInstanceMask * mask, GBytes * grid,
    gsize offset, gsize stride, guint width, guint height)
{
  g_return_val_if_fail (mask != NULL, FALSE);

  if (!grid)
    offset = stride = width = height = 0;
  else if (!grid_fits (grid, offset, stride, width, height))
    return FALSE;

  if (grid)
    g_bytes_ref (grid);
  gst_instance_mask_clear (mask);
  mask->grid = grid;
  mask->grid_offset = offset;
  mask->grid_stride = stride;
  mask->grid_width = width;
  mask->grid_height = height;
  return TRUE;
}

/* The fields are public, so everything that reads a grid comes through here:
 * whatever an application wrote there, no byte outside the grid is read. */
const guint8 *
gst_instance_mask_peek_grid (const GstInstanceMask * mask)
{
  if (!mask->grid || !grid_fits (mask->grid, mask->grid_offset,
          mask->grid_stride, mask->grid_width, mask->grid_height))
    return NULL;
  /* Written so that NaN fails. */
  if (!(fabsf (mask->offset_x) <= GST_INSTANCE_MASK_MAX_OFFSET)
      || !(fabsf (mask->offset_y) <= GST_INSTANCE_MASK_MAX_OFFSET)
      || !isnormal (mask->scale_x) || !isnormal (mask->scale_y)
      || fabsf (mask->scale_x) * mask->grid_width > GST_INSTANCE_MASK_MAX_PIXELS
      || fabsf (mask->scale_y) * mask->grid_height >
      GST_INSTANCE_MASK_MAX_PIXELS)
    return NULL;
  return (const guint8 *) g_bytes_get_data (mask->grid, NULL)
      + mask->grid_offset;
}

/**
 * gst_instance_mask_transform:
 * @mask: a #GstInstanceMask
 * @scale_x: horizontal factor, negative to mirror
 * @scale_y: vertical factor, negative to mirror
 * @offset_x: added to x after the multiplication
 * @offset_y: added to y after the multiplication
 *
 * Moves box and mask to where a frame is scaled, mirrored and shifted to: a
 * point x, y goes to @scale_x * x + @offset_x, @scale_y * y + @offset_y.
 */
void
gst_instance_mask_transform (GstInstanceMask * mask, gfloat scale_x,
    gfloat scale_y, gfloat offset_x, gfloat offset_y)
{
  gfloat xa, xb, ya, yb;

  g_return_if_fail (mask != NULL);

  xa = scale_x * mask->x0 + offset_x;
  xb = scale_x * mask->x1 + offset_x;
  ya = scale_y * mask->y0 + offset_y;
  yb = scale_y * mask->y1 + offset_y;
  mask->x0 = MIN (xa, xb);
  mask->x1 = MAX (xa, xb);
  mask->y0 = MIN (ya, yb);
  mask->y1 = MAX (ya, yb);

  mask->offset_x = scale_x * mask->offset_x + offset_x;
  mask->offset_y = scale_y * mask->offset_y + offset_y;
  mask->scale_x *= scale_x;
  mask->scale_y *= scale_y;
}

void
gst_instance_mask_transpose (GstInstanceMask * mask)
{
  const guint8 *src = gst_instance_mask_peek_grid (mask);
  guint w = mask->grid_width, h = mask->grid_height;
  gfloat f;

#define SWAP(a, b) G_STMT_START { f = a; a = b; b = f; } G_STMT_END
  SWAP (mask->x0, mask->y0);
  SWAP (mask->x1, mask->y1);
  SWAP (mask->offset_x, mask->offset_y);
  SWAP (mask->scale_x, mask->scale_y);
#undef SWAP

  if (src) {
    guint8 *dst = g_malloc ((gsize) w * h);
    GBytes *grid;

    for (guint j = 0; j < h; j++) {
      for (guint i = 0; i < w; i++)
        dst[(gsize) i * h + j] = src[mask->grid_stride * j + i];
    }
    grid = g_bytes_new_take (dst, (gsize) w * h);
    gst_instance_mask_set_grid (mask, grid, 0, h, h, w);
    g_bytes_unref (grid);
  }
}

/**
 * gst_instance_mask_clip:
 * @mask: a #GstInstanceMask
 * @frame_width: width of the frame
 * @frame_height: its height
 *
 * Cuts the box to the frame and sets %GST_INSTANCE_MASK_FLAG_TRUNCATED if that
 * took something away. The grid may go on outside of the frame.
 *
 * Returns: whether anything of the box is left
 */
gboolean
gst_instance_mask_clip (GstInstanceMask * mask, guint frame_width,
    guint frame_height)
{
  gfloat w = frame_width, h = frame_height;

  g_return_val_if_fail (mask != NULL, FALSE);

  if (mask->x0 < 0 || mask->y0 < 0 || mask->x1 > w || mask->y1 > h) {
    mask->flags |= GST_INSTANCE_MASK_FLAG_TRUNCATED;
    mask->x0 = MAX (mask->x0, 0);
    mask->y0 = MAX (mask->y0, 0);
    mask->x1 = MIN (mask->x1, w);
    mask->y1 = MIN (mask->y1, h);
  }
  return mask->x0 < mask->x1 && mask->y0 < mask->y1;
}
