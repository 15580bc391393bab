/*
 * kernel_preprocess.h
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_KERNEL_PREPROCESS_H
#define CI_KERNEL_PREPROCESS_H

#include "hostdev.h"

#define CI_PREPROCESS_KERNELS(ELEMENT, BLOCK)

#endif /* CI_KERNEL_PREPROCESS_H */
