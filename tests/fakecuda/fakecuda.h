/*
 * fakecuda.h: a CUDA runtime and a cuDNN that compute on the host, for tests
 * where there is no GPU: what of each the CUDA backend uses, and no more.
 *
 * Streams are lazy: what is enqueued happens when somebody waits for it, so a
 * missing wait shows; memory is filled with garbage when it is allocated; calls
 * without a current context fail; and any call can be made to fail.
 *
 * The environment sets it up:
 *   FAKECUDA_DEVICES=N     how many GPUs there are (default: 1)
 *   FAKECUDA_DRIVER=N      the driver's version, 0 for none (default: the
 *                          headers')
 *   FAKECUDA_FAIL=N        the N-th call from the start fails
 *   FAKECUDA_FAIL=NAME:N   the N-th call of the function NAME fails
 *   FAKECUDA_STICKY=1      and all calls after it
 *   FAKECUDA_CUDNN=WHAT    what cuDNN has engines for: fused (default), single
 *                          (just one for each graph: nothing to choose),
 *                          half-bias (maps of halves want such a bias),
 *                          fallback (heuristics know nothing), conv-only, none
 *   FAKECUDA_CUDNN_VERSION=N  as cudnnGetVersion() (default: the headers')
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef FAKECUDA_H
#define FAKECUDA_H

#include <cuda_runtime_api.h>
#include <glib.h>

/* Whether the call of @name is to fail; the first thing every function asks. */
gboolean fake_fault (const char *name);

/* @func (@data) happens when the stream comes to it: once, or at each launch of
 * the graph that the stream is being captured into. Then @free_data. */
void fake_stream_enqueue (cudaStream_t stream, void (*func) (void *data),
    void *data, void (*free_data) (void *data));
/* Lets happen what was enqueued. */
void fake_stream_drain (cudaStream_t stream);
/* Whether @memory is part of an allocation on the device, with @n_bytes. */
gboolean fake_is_device (const void *memory, size_t n_bytes);

/* Whether the calling thread has a current context. */
gboolean fake_has_context (void);

/* For tests, which look these up in the module: what a test switches and
 * counts; all calls so far, and the bytes that are allocated on the device. */
void fakecuda_fail (const char *name, int at, gboolean sticky);
int fakecuda_calls (void);
gint64 fakecuda_device_bytes (void);
/* Kernels, cuDNN's included, in the graph that was made last. */
int fakecuda_graph_kernels (void);
/* A stream of somebody else's; when it goes, its work has been done. */
cudaStream_t fakecuda_stream_new (void);
void fakecuda_stream_free (cudaStream_t stream);

#endif
