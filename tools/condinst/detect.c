/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "detect.h"

#include <string.h>

gboolean
ci_detect_run (CiSession * session, const CiPicture * picture,
    const CiDetectParams * params, const CiInstance ** instances, gint * n,
    GError ** error)
{
  const CiImageFormat format = { CI_PIXEL_RGB, picture->width,
    picture->height, CI_YUV_BT601, TRUE
  };
  const CiImage image = { {picture->rgb}, {3 * picture->width} };

  return ci_session_configure (session, &format, error)
      && ci_session_run (session, &image, params, instances, n, error);
}

gboolean
ci_detect_object (CiSession * session, const CiPicture * picture,
    const CiInstance * instance, guint8 * bits, CiCocoObject * object,
    GError ** error)
{
  memset (object, 0, sizeof (*object));
  if (instance->grid) {
    if (!ci_session_paste_mask (session, instance, 0.5f, bits, error))
      return FALSE;
    ci_rle_from_bits (&object->mask, bits, picture->width, picture->height);
  }
  object->box[0] = instance->x0;
  object->box[1] = instance->y0;
  object->box[2] = (gdouble) instance->x1 - instance->x0;
  object->box[3] = (gdouble) instance->y1 - instance->y0;
  object->score = instance->score;
  return TRUE;
}
