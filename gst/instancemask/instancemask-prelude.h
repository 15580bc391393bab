/* GStreamer instance masks
 *
 * instancemask-prelude.h: the export macro
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef __GST_INSTANCE_MASK_PRELUDE_H__
#define __GST_INSTANCE_MASK_PRELUDE_H__

#include <gst/gst.h>

#ifndef GST_INSTANCE_MASK_API
#ifdef BUILDING_GST_INSTANCE_MASK
#define GST_INSTANCE_MASK_API GST_API_EXPORT
#else
#define GST_INSTANCE_MASK_API GST_API_IMPORT
#endif
#endif

#endif
