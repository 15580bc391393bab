/*
 * launch.c: the kernels as loops: what launch.cu is for nvcc.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "fakecuda.h"

#include <stdlib.h>

#include "kernels/cuda/launch.h"

typedef struct
{
  CiKernel kernel;
  int64_t n;
  int gx, gy, gz;
  _Alignas (16) unsigned char args[];
} Launch;

#define GARBAGE 0xcd

#define ELEMENT(name, Args) \
  static void \
  run_##name (void *data) \
  { \
    Launch *launch = data; \
    const Args *args = (const Args *) launch->args; \
    \
    for (int64_t i = 0; i < launch->n; i++) \
      ci_##name##_element (args, i); \
  }
/* Shared memory of the exact size, so that sanitizers see its borders. */
#define BLOCK(name, Args, threads, shared_bytes) \
  static void \
  run_##name (void *data) \
  { \
    Launch *launch = data; \
    const Args *args = (const Args *) launch->args; \
    unsigned char *shared = aligned_alloc (16, \
        ((shared_bytes) + 31) / 16 * 16); \
    \
    for (int z = 0; z < launch->gz; z++) \
      for (int y = 0; y < launch->gy; y++) \
        for (int x = 0; x < launch->gx; x++) { \
          int again = 1; \
          \
          memset (shared, GARBAGE, (shared_bytes)); \
          for (int phase = 0; again; phase++) { \
            again = ci_##name##_block (args, shared, x, y, z, 0, phase); \
            for (int t = 1; t < (threads); t++) \
              if (ci_##name##_block (args, shared, x, y, z, t, phase) \
                  != again) \
                g_error ("threads of " #name " disagree on phase %d", phase); \
          } \
        } \
    free (shared); \
  }

CI_CUDA_KERNELS (ELEMENT, BLOCK)
#undef ELEMENT
#undef BLOCK

#define ELEMENT(name, Args) \
  { #name, run_##name, sizeof (Args) },
#define BLOCK(name, Args, threads, shared_bytes) ELEMENT (name, Args)
static const struct
{
  const char *name;
  void (*run) (void *data);
  size_t args_bytes;
} kernels[] = { CI_CUDA_KERNELS (ELEMENT, BLOCK) };

static cudaError_t
launch (CiKernel kernel, const void *args, int64_t n, int gx, int gy, int gz,
    cudaStream_t stream)
{
  size_t bytes = sizeof (Launch) + kernels[kernel].args_bytes;
  Launch *l;

  if (fake_fault (kernels[kernel].name))
    return cudaErrorLaunchFailure;
  l = aligned_alloc (16, (bytes + 15) / 16 * 16);
  *l = (Launch) {
  kernel, n, gx, gy, gz};
  memcpy (l->args, args, kernels[kernel].args_bytes);
  fake_stream_enqueue (stream, kernels[kernel].run, l, free);
  return cudaSuccess;
}

cudaError_t
ci_cuda_launch_elements (CiKernel kernel, const void *args, int64_t n,
    cudaStream_t stream)
{
  return n < 1 ? cudaSuccess : launch (kernel, args, n, 0, 0, 0, stream);
}

cudaError_t
ci_cuda_launch_blocks (CiKernel kernel, const void *args, int gx, int gy,
    int gz, cudaStream_t stream)
{
  return gx < 1 || gy < 1 || gz < 1 ? cudaSuccess
      : launch (kernel, args, 0, gx, gy, gz, stream);
}

cudaError_t
ci_cuda_load_kernels (void)
{
  return fake_fault ("cudaFuncGetAttributes") ? cudaErrorInvalidKernelImage
      : cudaSuccess;
}

const char *
ci_cuda_kernel_name (CiKernel kernel)
{
  return kernels[kernel].name;
}
