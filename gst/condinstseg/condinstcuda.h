/* GStreamer instance segmentation
 *
 * condinstcuda.h: CUDA contexts that elements share, and frames in them
 *
 * In a build without gst-cuda there are neither, and all of this says so.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef __COND_INST_CUDA_H__
#define __COND_INST_CUDA_H__

#include <gst/video/video.h>

#include "models.h"

G_BEGIN_DECLS

/* What condinstseg reads of CUDA memory, as caps, with `; ` at the end. */
#ifdef HAVE_GST_CUDA
#define COND_INST_CUDA_CAPS(sizes) "video/x-raw(memory:CUDAMemory), " \
    "format = (string) { NV12, I420, P010_10LE, RGBA, BGRA, RGBx, BGRx }, " \
    sizes "; "
#else
#define COND_INST_CUDA_CAPS(sizes) ""
#endif

typedef struct
{
  GstElement *element;          /* whose it is; its object lock protects what
                                   follows */
  gpointer context;             /* GstCudaContext, or NULL */
} CondInstCuda;

/* Finds a context on the GPU @device_id (-1: any) in the pipeline, or makes one
 * and tells the pipeline. FALSE if there can be none. */
gboolean cond_inst_cuda_find (CondInstCuda * cuda, gint device_id);
void cond_inst_cuda_clear (CondInstCuda * cuda);
/* The CUcontext, and the GPU that it is on; NULL without one. */
gpointer cond_inst_cuda_get_handle (CondInstCuda * cuda, gint * device_id);
/* What to do in set_context() and with CONTEXT queries; TRUE if answered. */
void cond_inst_cuda_set_context (CondInstCuda * cuda, GstContext * context,
    gint device_id);
gboolean cond_inst_cuda_answer (CondInstCuda * cuda, GstQuery * query);

/* Whether @buffer lies in another context than @cuda has, on the GPU @device_id
 * (-1: any). */
gboolean cond_inst_cuda_is_elsewhere (CondInstCuda * cuda,
    GstBuffer * buffer, gint device_id);
/* A reference to the GstCudaContext that @buffer, which is elsewhere, lies
 * in. */
gpointer cond_inst_cuda_ref_context_of (GstBuffer * buffer);
/* Takes @context (transfer full) and gives back the one before. */
gpointer cond_inst_cuda_replace (CondInstCuda * cuda, gpointer context);

/* Maps @buffer by @flags, on the device if it lies in the context of @cuda
 * (NULL: never), else in the host's memory. */
gboolean cond_inst_cuda_map (CondInstCuda * cuda, const GstVideoInfo * info,
    GstBuffer * buffer, GstMapFlags flags, GstVideoFrame * frame,
    CiImage * image);
/* For a frame on the device whose stream has work to do on it yet. */
void cond_inst_cuda_set_busy (GstBuffer * buffer);
/* Adds a pool to an ALLOCATION query that asks for CUDA memory and has none;
 * whether it did. */
gboolean cond_inst_cuda_propose_pool (CondInstCuda * cuda, GstQuery * query);

G_END_DECLS

#endif
