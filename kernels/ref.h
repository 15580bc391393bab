/*
 * ref.h: the reference's parts, where it is more than one file.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_REF_H
#define CI_REF_H

#include "plan.h"

G_BEGIN_DECLS

/* Of CiCandidates: descending value, then the order in which they were found; a
 * GCompareDataFunc. And the IoU of two. */
gint ci_ref_compare_candidates (gconstpointer a, gconstpointer b,
    gpointer user_data);
gdouble ci_ref_iou (const CiCandidate * a, const CiCandidate * b);
/* Bilinear as ROIAlign samples: beyond the map by more than a cell 0, at its
 * edges the outermost cell. */
gdouble ci_ref_roi_sample (const CiMap * map, gint c, gfloat y, gfloat x);
gboolean ci_ref_run_roi_align (CiPlan * plan, CiStep * step, GError ** error);
gboolean ci_ref_run_multibox_detect (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_ref_run_gather (CiPlan * plan, CiStep * step, GError ** error);
gboolean ci_ref_run_assemble_masks (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_ref_run_assemble_items (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_ref_run_rescore (CiPlan * plan, CiStep * step, GError ** error);
gboolean ci_ref_prepare_solo (CiPlan * plan, CiStep * step, GError ** error);
gboolean ci_ref_prepare_rpn (CiPlan * plan, CiStep * step, GError ** error);
gboolean ci_ref_prepare_box_detect (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_ref_prepare_class_masks (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_ref_prepare_point_rend (CiPlan * plan, CiStep * step,
    GError ** error);

G_END_DECLS

#endif
