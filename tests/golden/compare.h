/*
 * compare.h: our dumps against the official code's outputs, at the tolerances
 * of golden/README.md.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef GOLDEN_COMPARE_H
#define GOLDEN_COMPARE_H

#include <json-glib/json-glib.h>

#include "models/models.h"

G_BEGIN_DECLS

#define GOLDEN SHARED_DIR "/golden/"
#define MAX_GOLDEN_DETECTIONS 1000

#define F32(tensor) ((const gfloat *) (tensor).data)
#define I32(tensor) ((const gint32 *) (tensor).data)

/** These fail the test where a file or a tensor is missing. */
CiSafetensors *golden_open (const gchar * path);
CiTensor golden_get (const CiSafetensors * file, const gchar * name);

/** Whether the boxes agree to 0.05 pixels and 0.1 %. */
gboolean golden_near_box (const gfloat * a, const gfloat * b);

/**
 * Everything that @golden, the file of one image of a case, has and @ours, a
 * dump, can have: dense maps, detections as an exact set, masks. @image: its
 * entry in case.json; @noise: by what the official float32 run differs from a
 * float64 one, by kind of tensor.
 */
void golden_compare (const CiSafetensors * ours, const CiSafetensors * golden,
    JsonObject * image, JsonObject * noise);
/**
 * The same of a run in half precision: dense maps, and scores of the golden
 * detections that are not close to the threshold, to what the coarser rounding
 * makes of @noise. What is borderline with such weights may come or go.
 */
void golden_compare_half (const CiSafetensors * ours,
    const CiSafetensors * golden, JsonObject * image, JsonObject * noise);

G_END_DECLS

#endif /* GOLDEN_COMPARE_H */
