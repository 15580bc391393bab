/*
 * kernel_conv.h
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_KERNEL_CONV_H
#define CI_KERNEL_CONV_H

#include "hostdev.h"

#define CI_CONV_KERNELS(ELEMENT, BLOCK)

#endif /* CI_KERNEL_CONV_H */
