/*
 * launch.h: the kernels that there are, and how C code launches them.
 *
 * An element kernel calls ci_NAME_element (args, i) for every i in [0, n). A
 * block kernel runs gx * gy * gz blocks of some threads, each in phases with a
 * barrier between them: ci_NAME_block (args, shared, bx, by, bz, thread, phase)
 * returns whether there is a next phase, the same for all threads of a block
 * (so it looks only at what earlier phases wrote). Nothing but @shared outlives
 * a phase; it is aligned to 16 bytes and not initialised.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_LAUNCH_H
#define CI_LAUNCH_H

#include <cuda_runtime_api.h>

#include "kernel_map.h"
#include "kernel_norm.h"
#include "kernel_conv.h"
#include "kernel_detect.h"
#include "kernel_items.h"
#include "kernel_mask.h"
#include "kernel_multibox.h"
#include "kernel_solo.h"
#include "kernel_rcnn.h"
#include "kernel_point.h"
#include "kernel_preprocess.h"
#include "kernel_overlay.h"

/* ELEMENT (name, arguments), BLOCK (name, arguments, threads, shared bytes) */
#define CI_CUDA_KERNELS(ELEMENT, BLOCK) \
  CI_MAP_KERNELS (ELEMENT, BLOCK) \
  CI_NORM_KERNELS (ELEMENT, BLOCK) \
  CI_CONV_KERNELS (ELEMENT, BLOCK) \
  CI_DETECT_KERNELS (ELEMENT, BLOCK) \
  CI_ITEMS_KERNELS (ELEMENT, BLOCK) \
  CI_MASK_KERNELS (ELEMENT, BLOCK) \
  CI_MULTIBOX_KERNELS (ELEMENT, BLOCK) \
  CI_SOLO_KERNELS (ELEMENT, BLOCK) \
  CI_RCNN_KERNELS (ELEMENT, BLOCK) \
  CI_POINT_KERNELS (ELEMENT, BLOCK) \
  CI_PREPROCESS_KERNELS (ELEMENT, BLOCK) \
  CI_OVERLAY_KERNELS (ELEMENT, BLOCK)

/* Threads of an element kernel's block. */
#define CI_ELEMENT_THREADS 256

#define CI_KERNEL_ENUM_ELEMENT(name, Args) CI_KERNEL_##name,
#define CI_KERNEL_ENUM_BLOCK(name, Args, threads, shared) CI_KERNEL_##name,
typedef enum
{
  CI_CUDA_KERNELS (CI_KERNEL_ENUM_ELEMENT, CI_KERNEL_ENUM_BLOCK)
  CI_N_KERNELS
} CiKernel;

#ifdef __cplusplus
extern "C"
{
#endif

/* Enqueues a kernel; @args is copied. */
cudaError_t ci_cuda_launch_elements (CiKernel kernel, const void *args,
    int64_t n, cudaStream_t stream);
cudaError_t ci_cuda_launch_blocks (CiKernel kernel, const void *args, int gx,
    int gy, int gz, cudaStream_t stream);
const char *ci_cuda_kernel_name (CiKernel kernel);
/* Has them all loaded in the current context: what is loaded on first use
 * cannot be while a stream is captured. */
cudaError_t ci_cuda_load_kernels (void);

#ifdef __cplusplus
}
#endif

#endif /* CI_LAUNCH_H */
