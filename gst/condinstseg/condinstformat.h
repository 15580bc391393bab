/* GStreamer instance segmentation
 *
 * condinstformat.h: video formats as the engine knows them
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef __COND_INST_FORMAT_H__
#define __COND_INST_FORMAT_H__

#include <gst/video/video.h>

#include "models.h"

G_BEGIN_DECLS

/* Pixel format, size and colorimetry of @info; FALSE if the engine does not
 * read that format. */
gboolean cond_inst_format_from_info (const GstVideoInfo * info,
    CiImageFormat * format);

G_END_DECLS

#endif
