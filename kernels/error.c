/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernels.h"

G_DEFINE_QUARK (ci-error-quark, ci_error)
