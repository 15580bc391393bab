/*
 * detect.h: the objects of a picture, with masks of its own size
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_DETECT_H
#define CI_DETECT_H

#include "coco_json.h"
#include "models.h"
#include "picture.h"

G_BEGIN_DECLS

/** Prepares @session for pictures of this size and runs it. @instances: as
 * from ci_session_run(). */
gboolean ci_detect_run (CiSession * session, const CiPicture * picture,
    const CiDetectParams * params, const CiInstance ** instances, gint * n,
    GError ** error);
/**
 * Fills @object (box, mask, score; image and category are left to the caller)
 * from an instance of the last run; the mask follows the official chain of
 * interpolations and has no runs if the model makes boxes only. @bits: scratch
 * of width * height bytes.
 */
gboolean ci_detect_object (CiSession * session, const CiPicture * picture,
    const CiInstance * instance, guint8 * bits, CiCocoObject * object,
    GError ** error);

G_END_DECLS

#endif /* CI_DETECT_H */
