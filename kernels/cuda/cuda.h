/*
 * cuda.h: the CUDA backend's parts; private to kernels/cuda. Maps lie in
 * memory as NHWC, of halves or floats, channels in whole octets.
 *
 * A plan's steps enqueue kernels into the stream of the plan's device. They run
 * twice: once to have everything loaded, once while the stream is captured into
 * the graph that every frame launches. So a step must enqueue the same whatever
 * the frame: counts and thresholds are read by kernels from device memory.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_CUDA_H
#define CI_CUDA_H

#include <cuda_runtime_api.h>
#include <cudnn.h>

#include "../cuda_module.h"
#include "launch.h"

G_BEGIN_DECLS

/* ---- errors ---------------------------------------------------------- */

/* FALSE and @error (OUT_OF_MEMORY, NO_DEVICE or BACKEND) unless @status is a
 * success; @what: "cudaMalloc of 12 bytes", "kernel group_norm_stats". */
gboolean ci_cuda_ok (cudaError_t status, const gchar *what, GError **error);
gboolean ci_cudnn_ok (cudnnStatus_t status, const gchar *what,
    GError **error);

/* ---- device ---------------------------------------------------------- */

typedef struct
{
  gint index;
  gpointer context;             /* CUcontext; never NULL */
  gchar *description;
  gchar *key;                   /* GPU and cuDNN, for files of choices */
  gint sm;                      /* 90 for compute capability 9.0 */
  gint n_processors;
  cudnnHandle_t cudnn;
  cudaStream_t stream;          /* of all plans */

  GMutex lock;                  /* of what follows, and of compiling plans */
  GHashTable *constants;        /* CiCudaConstant, by key */
} CiCudaDevice;

/* Makes the device's context current, and what was so before current again.
 * Whatever calls CUDA or cuDNN does so between the two. */
gboolean ci_cuda_enter (CiCudaDevice *device, GError **error);
void ci_cuda_leave (CiCudaDevice *device);

/* Device memory, zeroed; NULL and @error if there is not enough. */
gpointer ci_cuda_alloc (CiCudaDevice *device, gsize n_bytes, GError **error);
void ci_cuda_free (CiCudaDevice *device, gpointer memory);

/* ---- plan ------------------------------------------------------------ */

typedef struct _CiCudaPlan CiCudaPlan;

/* Of the plan (CiPlan.device). */
struct _CiCudaPlan
{
  CiCudaDevice *device;
  CiDevice *owner;              /* a reference */
  gboolean half;
  gint batch;                   /* images at once */
  GPtrArray *memory;            /* device memory, freed with the plan */
  GPtrArray *constants;         /* CiCudaConstant that it uses */

  /* What kernels read of a frame; one buffer on the device, filled by the
   * first node of the graph. */
  CiFrameSettings *settings;    /* device */
  /* What comes back; written by the last kernel straight into pinned memory
   * of the frame's slot, whose address it finds in @settings. */
  gsize results_bytes;

  struct _CiCudaFrames *frames; /* of frame.c */
};

static inline CiCudaPlan *
ci_cuda_plan (const CiPlan *plan)
{
  return (CiCudaPlan *) plan->device;
}

/* The map of a value as kernels see it. A value that is a member of a group on
 * a canvas is seen as that part of it. */
CiView ci_cuda_view (const CiPlan *plan, CiValue value);
/* The whole canvas of the group @lead and the rectangles of its members, in
 * order; without one, the map by itself. */
CiView ci_cuda_canvas_view (const CiPlan *plan, CiValue lead,
    CiCanvas *canvas);
/* Whether @value lies by itself, without gaps: what cuDNN wants. */
gboolean ci_cuda_is_dense (const CiPlan *plan, CiValue value);

/* Device memory that lives as long as the plan, zeroed. */
gpointer ci_cuda_plan_alloc (CiPlan *plan, gsize n_bytes, GError **error);

/* Constant data on the device, shared by all plans of the same weights and
 * precision. @fill writes @n_bytes, zeroed before, which are then uploaded; it
 * is not called if another plan has been there. The plan keeps a reference. */
typedef gboolean (*CiCudaFill) (gpointer host, gpointer data, GError **error);
gpointer ci_cuda_constant (CiPlan *plan, const gchar *key, gsize n_bytes,
    CiCudaFill fill, gpointer data, GError **error);
/* The tensor @prefix@suffix of @n floats as floats, padded with zeros to whole
 * octets. */
const float *ci_cuda_vector (CiPlan *plan, const gchar *prefix,
    const gchar *suffix, gint n, GError **error);
/* The key of a layer's weights with everything that is folded into them. */
gchar *ci_cuda_weights_key (const CiNode *node, const gchar *layout);

/* Enqueues a kernel into the plan's stream. */
gboolean ci_cuda_elements (CiPlan *plan, CiKernel kernel, gconstpointer args,
    gint64 n, GError **error);
gboolean ci_cuda_blocks (CiPlan *plan, CiKernel kernel, gconstpointer args,
    gint gx, gint gy, gint gz, GError **error);

/* The lists on the device that a value of kind DETECTIONS is (@n: its image),
 * and the rows of one of kind ROWS (floats, capacity x channels, dense). */
CiDeviceDetections ci_cuda_detections (const CiPlan *plan, CiValue value);

/* ---- steps ----------------------------------------------------------- */

/* Each makes one kind of step ready to run. */
gboolean ci_cuda_prepare_map (CiPlan *plan, CiStep *step, GError **error);
gsize ci_cuda_map_scratch (CiPlan *plan, CiValue value);
gboolean ci_cuda_prepare_conv (CiPlan *plan, CiStep *step, GError **error);
gsize ci_cuda_conv_scratch (CiPlan *plan, CiValue lead);
gboolean ci_cuda_prepare_deform_conv (CiPlan *plan, CiStep *step,
    GError **error);
gsize ci_cuda_deform_conv_scratch (CiPlan *plan, CiValue value);
gboolean ci_cuda_prepare_detect (CiPlan *plan, CiStep *step, GError **error);
gboolean ci_cuda_prepare_conv_at (CiPlan *plan, CiStep *step,
    GError **error);
gboolean ci_cuda_prepare_masks (CiPlan *plan, CiStep *step, GError **error);

/* ---- convolutions (conv.c, tune.c) ------------------------------------ */

/* One convolution of dense maps by cuDNN, or by our own kernels where cuDNN has
 * nothing for it. Channels are those of the views, in whole octets. */
typedef struct
{
  gint batch;
  CiView src, dst;              /* dense; dst may be src's canvas' like */
  gint kernel, stride, padding, groups;
  CiActivation activation;
  CiView residual;              /* data NULL: none; dense */
  gconstpointer weight;         /* K x kernel x kernel x C / groups, in the
                                   plan's type; K = dst.cp, C = src.cp */
  const float *bias;            /* dst.cp */
} CiConvSpec;

typedef struct _CiConv CiConv;
/* Chooses the fastest way, by files of earlier choices or by measuring. */
CiConv *ci_conv_new (CiPlan *plan, const CiConvSpec *spec, const gchar *name,
    GError **error);
void ci_conv_free (CiConv *conv);
gboolean ci_conv_run (CiPlan *plan, CiConv *conv, GError **error);

G_END_DECLS

#endif /* CI_CUDA_H */
