/*
 * kernel_overlay.h
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_KERNEL_OVERLAY_H
#define CI_KERNEL_OVERLAY_H

#include "hostdev.h"

#define CI_OVERLAY_KERNELS(ELEMENT, BLOCK)

#endif /* CI_KERNEL_OVERLAY_H */
