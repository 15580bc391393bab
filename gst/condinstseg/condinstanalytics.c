/* GStreamer instance segmentation
 *
 * condinstanalytics.c: objects as GStreamer's own analytics metadata
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "condinstanalytics.h"

#include <math.h>

#ifdef HAVE_GST_ANALYTICS
#include <gst/analytics/analytics.h>
#include <gst/video/video.h>
#endif

gboolean
cond_inst_analytics_available (void)
{
#ifdef HAVE_GST_ANALYTICS
  return TRUE;
#else
  return FALSE;
#endif
}

#ifdef HAVE_GST_ANALYTICS

/* Entries per object: detection, segmentation, classification. */
#define ENTRIES 3
#define BYTES_PER_OBJECT 256

#if GST_CHECK_VERSION (1, 26, 0)

/* Regions are coloured by their id, and the overlay of GStreamer takes ids
 * modulo a number that can be as low as 11, 0 being the background. */
#define N_REGION_IDS 10

static void
relate (GstAnalyticsRelationMeta * meta, guint a, guint b)
{
  gst_analytics_relation_meta_set_relation (meta,
      GST_ANALYTICS_REL_TYPE_RELATE_TO, a, b);
  gst_analytics_relation_meta_set_relation (meta,
      GST_ANALYTICS_REL_TYPE_RELATE_TO, b, a);
}

/* The pixels of @mask in the rectangle around them, as a picture in which they
 * are @id and all others 0. NULL: the mask has no pixel. */
static GstBuffer *
render (const GstInstanceMask * mask, guint width, guint height, guint8 id,
    gint * x, gint * y, gint * w, gint * h)
{
  GstBuffer *buffer;
  GstMapInfo map;

  if (!gst_instance_mask_get_bounding_rect (mask, width, height, 128, x, y, w,
          h))
    return NULL;
  buffer = gst_buffer_new_allocate (NULL, (gsize) *w * *h, NULL);
  gst_buffer_map (buffer, &map, GST_MAP_WRITE);
  gst_instance_mask_render_a8 (mask, *x, *y, *w, *h, 128, map.data, *w);
  for (gsize i = 0; i < map.size; i++)
    map.data[i] &= id;
  gst_buffer_unmap (buffer, &map);
  {
    gsize offset[GST_VIDEO_MAX_PLANES] = { 0 };
    gint stride[GST_VIDEO_MAX_PLANES] = { *w };

    gst_buffer_add_video_meta_full (buffer, GST_VIDEO_FRAME_FLAG_NONE,
        GST_VIDEO_FORMAT_GRAY8, *w, *h, 1, offset, stride);
  }
  return buffer;
}

static void
attach_segmentation (GstAnalyticsRelationMeta * meta, guint detection,
    const GstInstanceMask * mask, guint index, guint width, guint height)
{
  guint ids[] = { 0, index % N_REGION_IDS + 1 };
  GQuark labels[] = { g_quark_from_static_string ("background"), mask->label };
  gfloat scores[] = { -1, mask->score };
  GstAnalyticsSegmentationMtd segmentation;
  GstAnalyticsClsMtd classes;
  GstBuffer *picture;
  gint x, y, w, h;

  if (!mask->grid || !(picture = render (mask, width, height, ids[1], &x, &y,
              &w, &h)))
    return;
  if (!gst_analytics_relation_meta_add_segmentation_mtd (meta, picture,
          GST_SEGMENTATION_TYPE_INSTANCE, 2, ids, x, y, w, h, &segmentation)
      || !gst_analytics_relation_meta_add_cls_mtd (meta, 2, scores, labels,
          &classes))
    return;
  relate (meta, detection, segmentation.id);
  gst_analytics_relation_meta_set_relation (meta,
      GST_ANALYTICS_REL_TYPE_RELATE_TO | GST_ANALYTICS_REL_TYPE_N_TO_N,
      segmentation.id, classes.id);
}

#endif

void
cond_inst_analytics_attach (GstBuffer * buffer, const GstInstanceMask * masks,
    guint n, guint width, guint height)
{
  /* growing by the default of five entries copies the whole each time */
  GstAnalyticsRelationMetaInitParams params = {
    MAX (n, 1) * ENTRIES + 2, MAX (n, 1) * BYTES_PER_OBJECT
  };
  GstAnalyticsRelationMeta *meta =
      gst_buffer_get_analytics_relation_meta (buffer);

  if (!meta)
    meta = gst_buffer_add_analytics_relation_meta_full (buffer, &params);
  for (guint i = 0; i < n; i++) {
    const GstInstanceMask *mask = &masks[i];
    gint x0 = floorf (mask->x0), y0 = floorf (mask->y0);
    GstAnalyticsODMtd detection;

    if (!gst_analytics_relation_meta_add_od_mtd (meta, mask->label, x0, y0,
            MAX ((gint) ceilf (mask->x1) - x0, 1),
            MAX ((gint) ceilf (mask->y1) - y0, 1), mask->score, &detection))
      continue;
#if GST_CHECK_VERSION (1, 26, 0)
    attach_segmentation (meta, detection.id, mask, i, width, height);
#endif
  }
}

#else /* !HAVE_GST_ANALYTICS */

void
cond_inst_analytics_attach (GstBuffer * buffer, const GstInstanceMask * masks,
    guint n, guint width, guint height)
{
}

#endif
