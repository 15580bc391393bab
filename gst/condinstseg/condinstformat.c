/* GStreamer instance segmentation
 *
 * condinstformat.c: video formats as the engine knows them
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "condinstformat.h"

gboolean
cond_inst_format_from_info (const GstVideoInfo * info, CiImageFormat * format)
{
  static const struct
  {
    GstVideoFormat gst;
    CiPixelFormat ci;
  } formats[] = {
    {GST_VIDEO_FORMAT_NV12, CI_PIXEL_NV12},
    {GST_VIDEO_FORMAT_I420, CI_PIXEL_I420},
    {GST_VIDEO_FORMAT_RGB, CI_PIXEL_RGB},
    {GST_VIDEO_FORMAT_BGR, CI_PIXEL_BGR},
    {GST_VIDEO_FORMAT_RGBA, CI_PIXEL_RGBA},
    {GST_VIDEO_FORMAT_BGRA, CI_PIXEL_BGRA},
    {GST_VIDEO_FORMAT_RGBx, CI_PIXEL_RGBX},
    {GST_VIDEO_FORMAT_BGRx, CI_PIXEL_BGRX},
    {GST_VIDEO_FORMAT_GRAY8, CI_PIXEL_GRAY8},
    {GST_VIDEO_FORMAT_P010_10LE, CI_PIXEL_P010},
  };
  guint i = 0;

  while (formats[i].gst != GST_VIDEO_INFO_FORMAT (info))
    if (++i == G_N_ELEMENTS (formats))
      return FALSE;
  format->pixel_format = formats[i].ci;
  format->width = GST_VIDEO_INFO_WIDTH (info);
  format->height = GST_VIDEO_INFO_HEIGHT (info);

  switch (info->colorimetry.matrix) {
    case GST_VIDEO_COLOR_MATRIX_BT709:
    case GST_VIDEO_COLOR_MATRIX_SMPTE240M:     /* within 1 % of BT.709 */
      format->matrix = CI_YUV_BT709;
      break;
    case GST_VIDEO_COLOR_MATRIX_BT2020:
      format->matrix = CI_YUV_BT2020;
      break;
    default:                   /* BT.601, and FCC within 1 % of it */
      format->matrix = CI_YUV_BT601;
      break;
  }
  format->full_range =
      info->colorimetry.range == GST_VIDEO_COLOR_RANGE_0_255;
  return TRUE;
}
