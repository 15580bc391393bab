/*
 * golden_weights.h: the generated weights of a golden case.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef GOLDEN_WEIGHTS_H
#define GOLDEN_WEIGHTS_H

#include "kernels/kernels.h"

G_BEGIN_DECLS

/** Weights that @case_dir's weights.json describes: values of a hash, or
 * tensors of weights_explicit.safetensors. Free with golden_weights_free(). */
CiWeights *golden_weights_load (const gchar * case_dir, GError ** error);
void golden_weights_free (CiWeights * weights);
/** Writes all of them to @path, as the official code would: names, shapes and
 * values without a description. */
gboolean golden_weights_write (const CiWeights * weights, const gchar * path,
    GError ** error);

G_END_DECLS

#endif /* GOLDEN_WEIGHTS_H */
