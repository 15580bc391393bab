/* GStreamer instance segmentation
 *
 * condinstresult.c: what was found in a frame, as metadata and as counts
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>

#include "../frametime.h"
#include "condinstresult.h"

static void
clear_mask (gpointer mask)
{
  g_clear_pointer (&((GstInstanceMask *) mask)->grid, g_bytes_unref);
}

void
cond_inst_result_init (CondInstResult * result)
{
  result->instances = g_array_new (FALSE, FALSE, sizeof (GstInstanceMask));
  g_array_set_clear_func (result->instances, clear_mask);
}

void
cond_inst_result_clear (CondInstResult * result)
{
  g_clear_pointer (&result->instances, g_array_unref);
}

void
cond_inst_result_reset (CondInstResult * result, guint width, guint height)
{
  result->width = width;
  result->height = height;
  g_array_set_size (result->instances, 0);
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

static gdouble
box_iou (const GstInstanceMask * a, const CiInstance * b)
{
  gdouble w = MIN (a->x1, b->x1) - MAX (a->x0, b->x0);
  gdouble h = MIN (a->y1, b->y1) - MAX (a->y0, b->y0);
  gdouble both = w > 0 && h > 0 ? w * h : 0;

  return both / ((gdouble) (a->x1 - a->x0) * (a->y1 - a->y0)
      + (gdouble) (b->x1 - b->x0) * (b->y1 - b->y0) - both);
}

/* Whether one of the first @n_before objects is @found, and at least as good;
 * worse ones make room for it. */
static gboolean
is_known (CondInstResult * result, guint * n_before, const CiInstance * found,
    gdouble iou_threshold)
{
  for (guint i = 0; i < *n_before; i++) {
    const GstInstanceMask *mask = &g_array_index (result->instances,
        GstInstanceMask, i);

    if (mask->class_id != found->class_id
        || box_iou (mask, found) <= iou_threshold)
      continue;
    if (mask->score >= found->score)
      return TRUE;
    g_array_remove_index (result->instances, i--);
    (*n_before)--;
  }
  return FALSE;
}

void
cond_inst_result_add (CondInstResult * result, const CiInstance * found,
    gint n, const GQuark * labels, gfloat mask_threshold,
    const CiDetectParams * params)
{
  g_autoptr (GBytes) grids = NULL;
  guint n_before = result->instances->len;
  guint8 table[256], *cells = NULL;
  gsize size = 0, offset = 0;

  /* FCOS compares the class alone with the threshold, so its scores, which
   * weigh in the centre, can be lower; the best come first */
  while (n > 0 && found[n - 1].score < params->score_threshold)
    n--;
  for (gint i = 0; i < n; i++)
    if (found[i].grid)
      size += (gsize) found[i].grid_width * found[i].grid_height;
  if (size > 0) {
    cells = g_malloc (size);
    grids = g_bytes_new_take (cells, size);
    fill_mask_table (mask_threshold, table);
  }

  for (gint i = 0; i < n; i++) {
    const CiInstance *src = &found[i];
    GstInstanceMask mask = { 0 };

    if (is_known (result, &n_before, src, params->nms_threshold))
      continue;
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
      mask.grid = g_bytes_ref (grids);
      offset += area;
    }
    g_array_append_val (result->instances, mask);
  }
}

static gint
compare_scores (gconstpointer a, gconstpointer b)
{
  gfloat x = ((const GstInstanceMask *) a)->score;
  gfloat y = ((const GstInstanceMask *) b)->score;

  return (x < y) - (x > y);
}

void
cond_inst_result_truncate (CondInstResult * result, guint max)
{
  g_array_sort (result->instances, compare_scores);
  if (result->instances->len > max)
    g_array_set_size (result->instances, max);
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

    mask->id = i;
    mask->flags = predicted ? GST_INSTANCE_MASK_FLAG_PREDICTED :
        GST_INSTANCE_MASK_FLAG_NONE;
    gst_instance_mask_meta_add (meta, mask);
    if (with_roi)
      attach_roi (result, buffer, mask);
  }
}

static GstStructure *
count_labels (const CondInstResult * result)
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

GstStructure *
cond_inst_result_describe (const CondInstResult * result,
    const GstSegment * segment, GstBuffer * buffer, gboolean inferred)
{
  g_autoptr (GstStructure) counts = count_labels (result);

  return gst_structure_new ("condinstseg",
      "timestamp", GST_TYPE_CLOCK_TIME, GST_BUFFER_PTS (buffer),
      "stream-time", GST_TYPE_CLOCK_TIME, frame_stream_time (segment, buffer),
      "running-time", GST_TYPE_CLOCK_TIME,
      frame_running_time (segment, buffer),
      "duration", GST_TYPE_CLOCK_TIME, GST_BUFFER_DURATION (buffer),
      "inferred", G_TYPE_BOOLEAN, inferred,
      "instances", G_TYPE_UINT, result->instances->len,
      "counts", GST_TYPE_STRUCTURE, counts, NULL);
}
