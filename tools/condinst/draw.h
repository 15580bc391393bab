/*
 * draw.h: found objects onto pictures, by maskoverlay's own code
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_DRAW_H
#define CI_DRAW_H

#include "maskdraw.h"
#include "models.h"
#include "picture.h"

G_BEGIN_DECLS

/** Draws @n instances of @model with the default style into @frame, which is
 * mapped for writing. */
void ci_draw_frame (GstMaskDraw * draw, GstVideoFrame * frame,
    CiModel * model, const CiInstance * instances, guint n);
void ci_draw_picture (GstMaskDraw * draw, CiPicture * picture,
    CiModel * model, const CiInstance * instances, guint n);

G_END_DECLS

#endif /* CI_DRAW_H */
