/*
 * safetensors.h: what model.c asks of a file beyond models.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_SAFETENSORS_H
#define CI_SAFETENSORS_H

#include "models.h"
#include "tensors.h"

G_BEGIN_DECLS

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CiSafetensors, ci_safetensors_free)

/** "I16 2x3": also for tensors that ci_safetensors_lookup() does not give out,
 * because their dtype or rank has no CiTensor; NULL if there is none. */
gchar *ci_safetensors_describe (const CiSafetensors * file,
    const gchar * name);

G_END_DECLS

#endif /* CI_SAFETENSORS_H */
