/*
 * kernel_mask.h
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_KERNEL_MASK_H
#define CI_KERNEL_MASK_H

#include "hostdev.h"

#define CI_MASK_KERNELS(ELEMENT, BLOCK)

#endif /* CI_KERNEL_MASK_H */
