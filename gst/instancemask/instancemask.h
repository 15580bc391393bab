/* GStreamer instance masks
 *
 * instancemask.h: the whole library
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef __GST_INSTANCE_MASK_ALL_H__
#define __GST_INSTANCE_MASK_ALL_H__

#include <gst/instancemask/instancemask-prelude.h>
#include <gst/instancemask/gstinstancemask.h>
#include <gst/instancemask/gstinstancemaskmeta.h>

#endif
