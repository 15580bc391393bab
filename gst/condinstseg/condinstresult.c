/* GStreamer instance segmentation
 *
 * condinstresult.c: what was found in a frame, as metadata and as counts
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>

#include "condinstresult.h"

void
cond_inst_result_init (CondInstResult * result)
{
  result->instances = g_array_new (FALSE, FALSE, sizeof (GstInstanceMask));
  result->grids = NULL;
}

void
cond_inst_result_clear (CondInstResult * result)
{
  g_clear_pointer (&result->instances, g_array_unref);
  g_clear_pointer (&result->grids, g_bytes_unref);
}

/* Readers of the metadata take a pixel for the object's from the probability
 * 0.5 on, so another threshold bends the probabilities: what is below it goes
 * linearly to 0 ... 0.5, the rest to 0.5 ... 1. The order of cells stays. */
static void
fill_mask_table (gfloat threshold, guint8 table[256])
{
  gint first = CLAMP ((gint) (threshold * 255) + 1, 1, 255);

  for (gint i = 0; i < first; i++)
    table[i] = first > 1 ? (i * 127 + (first - 1) / 2) / (first - 1) : 0;
  for (gint i = first; i < 256; i++)
    table[i] = first < 255 ?
        128 + ((i - first) * 127 + (255 - first) / 2) / (255 - first) : 255;
}

void
cond_inst_result_set (CondInstResult * result, const CiInstance * found,
    gint n, guint width, guint height, const GQuark * labels,
    gfloat mask_threshold)
{
  guint8 table[256], *cells = NULL;
  gsize size = 0, offset = 0;

  result->width = width;
  result->height = height;
  g_array_set_size (result->instances, 0);
  g_clear_pointer (&result->grids, g_bytes_unref);

  for (gint i = 0; i < n; i++)
    if (found[i].grid)
      size += (gsize) found[i].grid_width * found[i].grid_height;
  if (size > 0) {
    cells = g_malloc (size);
    result->grids = g_bytes_new_take (cells, size);
    fill_mask_table (mask_threshold, table);
  }

  for (gint i = 0; i < n; i++) {
    const CiInstance *src = &found[i];
    GstInstanceMask mask = { 0 };

    mask.id = i;
    mask.class_id = src->class_id;
    mask.label = labels[src->class_id];
    mask.score = src->score;
    mask.x0 = src->x0;
    mask.y0 = src->y0;
    mask.x1 = src->x1;
    mask.y1 = src->y1;
    mask.offset_x = src->offset_x;
    mask.offset_y = src->offset_y;
    mask.scale_x = src->scale_x;
    mask.scale_y = src->scale_y;
    if (src->grid) {
      gsize area = (gsize) src->grid_width * src->grid_height;

      for (gsize j = 0; j < area; j++)
        cells[offset + j] = table[src->grid[j]];
      mask.grid_width = mask.grid_stride = src->grid_width;
      mask.grid_height = src->grid_height;
      mask.grid_offset = offset;
      mask.grid = result->grids;
      offset += area;
    }
    g_array_append_val (result->instances, mask);
  }
}

/* In the layout that DL Streamer's elements read. */
static void
attach_roi (const CondInstResult * result, GstBuffer * buffer,
    const GstInstanceMask * mask)
{
  gint width = result->width, height = result->height;
  gint x0 = CLAMP (floorf (mask->x0), 0, width - 1);
  gint y0 = CLAMP (floorf (mask->y0), 0, height - 1);
  gint x1 = CLAMP (ceilf (mask->x1), x0 + 1, width);
  gint y1 = CLAMP (ceilf (mask->y1), y0 + 1, height);
  GstVideoRegionOfInterestMeta *roi =
      gst_buffer_add_video_region_of_interest_meta_id (buffer, mask->label, x0,
      y0, x1 - x0, y1 - y0);

  roi->id = mask->id;
  gst_video_region_of_interest_meta_add_param (roi,
      gst_structure_new ("detection",
          "x_min", G_TYPE_DOUBLE, (gdouble) mask->x0 / width,
          "x_max", G_TYPE_DOUBLE, (gdouble) mask->x1 / width,
          "y_min", G_TYPE_DOUBLE, (gdouble) mask->y0 / height,
          "y_max", G_TYPE_DOUBLE, (gdouble) mask->y1 / height,
          "confidence", G_TYPE_DOUBLE, (gdouble) mask->score,
          "label_id", G_TYPE_INT, mask->class_id, NULL));
}

void
cond_inst_result_attach (CondInstResult * result, GstBuffer * buffer,
    const gchar * source, gboolean predicted, gboolean with_roi)
{
  GstInstanceMaskMeta *meta = gst_buffer_add_instance_mask_meta (buffer,
      source, result->width, result->height);

  for (guint i = 0; i < result->instances->len; i++) {
    GstInstanceMask *mask = &g_array_index (result->instances,
        GstInstanceMask, i);

    mask->flags = predicted ? GST_INSTANCE_MASK_FLAG_PREDICTED :
        GST_INSTANCE_MASK_FLAG_NONE;
    gst_instance_mask_meta_add (meta, mask);
    if (with_roi)
      attach_roi (result, buffer, mask);
  }
}

GstStructure *
cond_inst_result_count (const CondInstResult * result)
{
  GstStructure *counts = gst_structure_new_empty ("counts");

  for (guint i = 0; i < result->instances->len; i++) {
    GQuark label = g_array_index (result->instances, GstInstanceMask, i).label;
    const GValue *old = gst_structure_id_get_value (counts, label);

    gst_structure_id_set (counts, label, G_TYPE_UINT,
        old ? g_value_get_uint (old) + 1 : 1, NULL);
  }
  return counts;
}
