/*
 * compare_zoo.h: what networks compute against the outputs of their official
 * code in golden/zoo, at the tolerances of its README.md.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef GOLDEN_COMPARE_ZOO_H
#define GOLDEN_COMPARE_ZOO_H

#include <gst/check/gstcheck.h>

#include "compare.h"

G_BEGIN_DECLS

#define ZOO SHARED_DIR "/golden/zoo/"

/** Where networks run: NULL for the CPU, else a GPU, in half precision if
 * zoo_half. */
extern CiDevice *zoo_device;
extern gboolean zoo_half;

/** The main () of a test: runs the suite that @make gives on what the
 * environment says, PARITY_PROVIDER=cuda and PARITY_PRECISION=fp16. Skips, with
 * status 77, where there is no zoo or no such device. */
int zoo_run (int argc, char **argv, Suite * (*make) (void));

/** The model in @checkpoint, a path in the zoo. Fails the test if there is
 * none. */
CiModel *zoo_load_model (const gchar * checkpoint);
/** The outputs in @path, without the suffix. */
CiSafetensors *zoo_open (const gchar * path);

/**
 * The tapped tensor @name: shape, statistics and the values that there are.
 * @tolerance: of the largest absolute value; 1e-4 is what README.md proposes.
 */
void zoo_compare_tap (const CiSafetensors * golden, const gchar * name,
    const CiTensor * ours, gdouble tolerance);
/** The same of the value @value of @plan, which has to keep it. */
void zoo_compare_value (const CiSafetensors * golden, const gchar * name,
    const CiPlan * plan, const gchar * value, gdouble tolerance);

/** What was found, in pixels of the image and numbers of the official code;
 * what is NULL is not compared. */
typedef struct
{
  gint n;
  const gfloat *boxes;          /* n x 4 */
  const gfloat *scores;
  const gint32 *classes;
  const guint8 *masks;          /* n x height x width, 0 or 1 */
  const gdouble *mask_ious;     /* n limits instead of ZooLimits.mask_iou */
} ZooDetections;

/** How far detections may differ. */
typedef struct
{
  gdouble score;
  gdouble box;                  /* pixels; 1 where official ones are whole */
  gdouble mask_iou;             /* of masks above 100 pixels */
  gint strays;                  /* found by one side only */
  gboolean by_mask;             /* matched by masks, not by boxes */
} ZooLimits;

#define ZOO_LIMITS { 1e-3, 0.05, 0.98, 2, FALSE }

/**
 * Matches by class, then by IoU of the boxes (0.9) or masks, in the order of
 * scores. @prefix: of the tensors, "det".
 */
void zoo_compare_detections (const CiSafetensors * golden,
    const gchar * prefix, const ZooDetections * ours,
    const ZooLimits * limits);

G_END_DECLS

#endif /* GOLDEN_COMPARE_ZOO_H */
