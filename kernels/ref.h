/*
 * ref.h: the reference's ops that are not in ref.c; private to kernels/.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_REF_H
#define CI_REF_H

#include "plan.h"

G_BEGIN_DECLS

gboolean ci_ref_prepare_solo (CiPlan * plan, CiStep * step, GError ** error);

G_END_DECLS

#endif
