/*
 * coco_eval.h: COCO's average precision and recall
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_COCO_EVAL_H
#define CI_COCO_EVAL_H

#include "coco_json.h"

G_BEGIN_DECLS

/** COCO's figures, in the order of its own summary. */
typedef enum
{
  CI_COCO_AP,
  CI_COCO_AP50,
  CI_COCO_AP75,
  CI_COCO_APS,
  CI_COCO_APM,
  CI_COCO_APL,
  CI_COCO_AR1,
  CI_COCO_AR10,
  CI_COCO_AR100,
  CI_COCO_ARS,
  CI_COCO_ARM,
  CI_COCO_ARL,
  CI_COCO_N_FIGURES
} CiCocoFigure;

/** "AP50", ... */
const gchar *ci_coco_figure_name (CiCocoFigure figure);

/** Figures from 0 to 1; -1 where there is no object to be found. */
typedef struct
{
  gdouble all[CI_COCO_N_FIGURES];       /* mean of the classes that have any */
  gdouble (*per_class)[CI_COCO_N_FIGURES];      /* one row per category */
} CiCocoEval;

/**
 * Evaluates @detections (an array of CiCocoObject) against @truth like
 * pycocotools' COCOeval with its default parameters: boxes, or masks if
 * @masks. @wanted: a flag per category, or NULL for all.
 *
 * Two details. The area that decides whether an unmatched detection counts in
 * a size range is that of what is compared, box or mask, as in the results
 * that detectron2 hands to COCOeval. And annotations may have the id 0, which
 * COCOeval takes for "no match".
 */
void ci_coco_eval (CiCocoEval * eval, const CiCoco * truth,
    const GArray * detections, gboolean masks, const guint8 * wanted);
void ci_coco_eval_clear (CiCocoEval * eval);

G_END_DECLS

#endif /* CI_COCO_EVAL_H */
