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

G_END_DECLS

#endif /* GOLDEN_WEIGHTS_H */
