/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "draw.h"

void
ci_draw_frame (GstMaskDraw * draw, GstVideoFrame * frame, CiModel * model,
    const CiInstance * instances, guint n)
{
  const GstMaskDrawOptions options = GST_MASK_DRAW_OPTIONS_INIT;
  g_autofree GstInstanceMask *masks = g_new0 (GstInstanceMask, MAX (n, 1));
  guint i;

  for (i = 0; i < n; i++) {
    const CiInstance *instance = &instances[i];
    GstInstanceMask *mask = &masks[i];

    mask->id = i;
    mask->class_id = instance->class_id;
    mask->label = g_quark_from_string (ci_model_get_class_name (model,
            instance->class_id));
    mask->score = instance->score;
    mask->x0 = instance->x0;
    mask->y0 = instance->y0;
    mask->x1 = instance->x1;
    mask->y1 = instance->y1;
    if (!instance->grid)
      continue;
    mask->grid_width = mask->grid_stride = instance->grid_width;
    mask->grid_height = instance->grid_height;
    mask->grid = g_bytes_new_static (instance->grid,
        (gsize) instance->grid_width * instance->grid_height);
    mask->offset_x = instance->offset_x;
    mask->offset_y = instance->offset_y;
    mask->scale_x = instance->scale_x;
    mask->scale_y = instance->scale_y;
  }
  gst_mask_draw_frame (draw, frame, &options, masks, n);
  for (i = 0; i < n; i++)
    g_clear_pointer (&masks[i].grid, g_bytes_unref);
}

void
ci_draw_picture (GstMaskDraw * draw, CiPicture * picture, CiModel * model,
    const CiInstance * instances, guint n)
{
  gsize size = (gsize) picture->width * picture->height * 3;
  GstBuffer *buffer = gst_buffer_new_wrapped_full (0, picture->rgb, size, 0,
      size, NULL, NULL);
  GstVideoFrame frame;
  GstVideoInfo info;

  gst_video_info_set_format (&info, GST_VIDEO_FORMAT_RGB, picture->width,
      picture->height);
  info.stride[0] = 3 * picture->width;  /* not rounded up to 4 bytes */
  info.size = size;
  if (gst_video_frame_map (&frame, &info, buffer, GST_MAP_READWRITE)) {
    ci_draw_frame (draw, &frame, model, instances, n);
    gst_video_frame_unmap (&frame);
  }
  gst_buffer_unref (buffer);
}
