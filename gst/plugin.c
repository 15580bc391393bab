/* GStreamer instance segmentation
 *
 * plugin.c: the elements of the plugin
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/**
 * SECTION:plugin-condinst
 * @title: condinst
 * @short_description: Instance segmentation of video
 */
#include <gst/gst.h>
#include <gst/instancemask/instancemask.h>

#include "condinstseg/gstcondinstseg.h"
#include "maskoverlay/gstmaskoverlay.h"

static gboolean
plugin_init (GstPlugin * plugin)
{
  /* whoever receives frames from another process has to know the metadata
   * before the first ones come */
  const GstMetaInfo *info = gst_instance_mask_meta_get_info ();
  gboolean ret = FALSE;

#if GST_CHECK_VERSION (1, 28, 0)
  gst_meta_factory_register (plugin, info);
#else
  (void) info;
#endif
  ret |= GST_ELEMENT_REGISTER (condinstseg, plugin);
  ret |= GST_ELEMENT_REGISTER (maskoverlay, plugin);

  return ret;
}

GST_PLUGIN_DEFINE (GST_VERSION_MAJOR, GST_VERSION_MINOR, condinst,
    "Instance segmentation of video", plugin_init, VERSION, "LGPL", PACKAGE,
    "Unknown package origin")
