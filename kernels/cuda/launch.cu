/*
 * launch.cu: kernels around the functions of kernel_*.h; nothing but indices
 * and barriers.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "launch.h"

#define ELEMENT(name, Args) \
  __global__ void __launch_bounds__ (CI_ELEMENT_THREADS) \
  run_##name (const __grid_constant__ Args args, int64_t n) \
  { \
    int64_t i = (int64_t) blockIdx.x * CI_ELEMENT_THREADS + threadIdx.x; \
    \
    if (i < n) \
      ci_##name##_element (&args, i); \
  }
#define BLOCK(name, Args, threads, shared_bytes) \
  __global__ void __launch_bounds__ (threads) \
  run_##name (const __grid_constant__ Args args) \
  { \
    __shared__ __align__ (16) unsigned char shared[(shared_bytes) + 16]; \
    \
    for (int phase = 0; ci_##name##_block (&args, shared, blockIdx.x, \
            blockIdx.y, blockIdx.z, threadIdx.x, phase); phase++) \
      __syncthreads (); \
  }

CI_CUDA_KERNELS (ELEMENT, BLOCK)
#undef ELEMENT
#undef BLOCK

#define ELEMENT(name, Args) \
  { #name, (const void *) run_##name, CI_ELEMENT_THREADS },
#define BLOCK(name, Args, threads, shared_bytes) \
  { #name, (const void *) run_##name, threads },

static const struct
{
  const char *name;
  const void *run;
  int threads;
} kernels[] = { CI_CUDA_KERNELS (ELEMENT, BLOCK) };

cudaError_t
ci_cuda_launch_elements (CiKernel kernel, const void *args, int64_t n,
    cudaStream_t stream)
{
  void *arguments[2] = { (void *) args, &n };

  if (n < 1)
    return cudaSuccess;
  return cudaLaunchKernel (kernels[kernel].run,
      dim3 ((unsigned) ((n + CI_ELEMENT_THREADS - 1) / CI_ELEMENT_THREADS)),
      dim3 (CI_ELEMENT_THREADS), arguments, 0, stream);
}

cudaError_t
ci_cuda_launch_blocks (CiKernel kernel, const void *args, int gx, int gy,
    int gz, cudaStream_t stream)
{
  void *arguments[1] = { (void *) args };

  if (gx < 1 || gy < 1 || gz < 1)
    return cudaSuccess;
  return cudaLaunchKernel (kernels[kernel].run, dim3 (gx, gy, gz),
      dim3 (kernels[kernel].threads), arguments, 0, stream);
}

cudaError_t
ci_cuda_load_kernels (void)
{
  for (int i = 0; i < CI_N_KERNELS; i++) {
    cudaFuncAttributes attributes;
    cudaError_t status = cudaFuncGetAttributes (&attributes, kernels[i].run);

    if (status != cudaSuccess)
      return status;
  }
  return cudaSuccess;
}

const char *
ci_cuda_kernel_name (CiKernel kernel)
{
  return kernels[kernel].name;
}
