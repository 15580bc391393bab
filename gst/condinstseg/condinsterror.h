/* GStreamer instance segmentation
 *
 * condinsterror.h: the engine's errors as GStreamer's
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef __COND_INST_ERROR_H__
#define __COND_INST_ERROR_H__

#include <gst/gst.h>

G_BEGIN_DECLS

/* Posts @error, which came up while @element (a condinstseg) was trying to do
 * @what; the only place that turns the engine's errors into GStreamer's. Takes
 * @error. */
void cond_inst_post_error (GstElement * element, GError * error,
    const gchar * what);

G_END_DECLS

#endif
