/* GStreamer instance segmentation
 *
 * condinstresult.h: what was found in a frame, as metadata and as counts
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef __COND_INST_RESULT_H__
#define __COND_INST_RESULT_H__

#include <gst/instancemask/instancemask.h>

#include "models.h"

G_BEGIN_DECLS

/* The objects of one frame, for this frame and for later ones that are not
 * looked at themselves. */
typedef struct
{
  guint width, height;          /* of the frame */
  GArray *instances;            /* of GstInstanceMask, each with a reference to
                                   its grid */
} CondInstResult;

void cond_inst_result_init (CondInstResult * result);
void cond_inst_result_clear (CondInstResult * result);

/* Starts anew, for a frame of @width x @height. */
void cond_inst_result_reset (CondInstResult * result, guint width,
    guint height);
/* Adds copies of @n objects that one look at the frame found. @labels has one
 * entry per class. A pixel belongs to an object from the probability
 * @mask_threshold on. Scores are not lower than the root of the threshold in
 * @params. Of an object that an earlier look found, too (the same class, an
 * overlap of boxes beyond the one for NMS), the better copy stays. */
void cond_inst_result_add (CondInstResult * result, const CiInstance * found,
    gint n, const GQuark * labels, gfloat mask_threshold,
    const CiDetectParams * params);

/* Leaves the @max objects with the highest scores, in that order. */
void cond_inst_result_truncate (CondInstResult * result, guint max);

/* Attaches a GstInstanceMaskMeta from @source to the writable @buffer, also if
 * there are no objects, and with @with_roi a GstVideoRegionOfInterestMeta per
 * object. @predicted: the objects are of an earlier frame. No pixel is
 * touched, no mask copied. */
void cond_inst_result_attach (CondInstResult * result, GstBuffer * buffer,
    const gchar * source, gboolean predicted, gboolean with_roi);

/* What is posted about the frame @buffer: a structure `condinstseg` with its
 * times in @segment and the number of objects per label. */
GstStructure *cond_inst_result_describe (const CondInstResult * result,
    const GstSegment * segment, GstBuffer * buffer, gboolean inferred);

G_END_DECLS

#endif
