/*
 * cuda.h: the CUDA backend's parts; private to kernels/cuda. Maps lie in
 * memory as NHWC, of halves or floats, channels in whole octets.
 *
 * A plan's steps enqueue kernels into the plan's stream. They run once to have
 * everything loaded, and while the stream is captured into the graph that every
 * frame, or batch, of a slot launches. So a step must enqueue the same whatever
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
  /* driver functions */
  int (*push) (gpointer context);
  int (*pop) (gpointer *context);
  int (*release_primary) (int index);   /* NULL: the context is a caller's */

  /* Whoever uses what follows holds the lock: plans from their beginning until
   * they are compiled, and while they run without a graph. */
  GMutex lock;
  cudnnHandle_t cudnn;
  GHashTable *constants;        /* CiCudaConstant, by key; holds no reference */
  GHashTable *choices;          /* of tune.c */
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
  gboolean half;
  gint batch;                   /* images at once */
  gint image;                   /* the one that steps per image are enqueued
                                   for */
  cudaStream_t stream;          /* of its steps */
  gboolean locked;              /* holds the device's lock */
  float *input;                 /* device: the planar input of ci_plan_run() */
  GPtrArray *memory;            /* device memory, freed with the plan */
  GPtrArray *constants;         /* CiCudaConstant that it uses */
  gpointer workspace;           /* of all its convolutions; one of memory */
  gsize workspace_bytes;

  /* What kernels read of a frame, on the device. Each frame in flight has its
   * own, and its own graph with this address in it: steps look here when they
   * run, not when they are prepared. Its `results` is pinned memory of the
   * host, into which the last kernel writes what comes back. */
  const CiFrameSettings *settings;

  struct _CiCudaFrames *frames; /* of frame.c */
  struct _CiCudaResults *results;       /* of results.c */
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
/* @view, not of items, of the one image that a step per image is for. */
CiView ci_cuda_image_view (const CiPlan *plan, CiView view);
/* How many maps @value has: items, or the images of a batch. */
gint ci_cuda_count_images (const CiPlan *plan, CiValue value);
/* Whether @value lies by itself, without gaps: what cuDNN wants. */
gboolean ci_cuda_is_dense (const CiPlan *plan, CiValue value);

/* Whether the group @lead reads the canvas of another group, in order. */
gboolean ci_cuda_is_canvas_of (const CiPlan *plan, CiValue lead);

/* Device memory that lives as long as the plan, zeroed. */
gpointer ci_cuda_plan_alloc (CiPlan *plan, gsize n_bytes, GError **error);
/* The same in @n parts of @bytes each, aligned, in one allocation. */
gboolean ci_cuda_plan_alloc_parts (CiPlan *plan, const gsize *bytes,
    gpointer *parts, gint n, GError **error);

/* Whole 256 bytes, for parts of one allocation. */
static inline gsize
ci_cuda_align (gsize n_bytes)
{
  return (n_bytes + 255) & ~(gsize) 255;
}

/* Constant data on the device, shared by all plans of the same weights and
 * precision. @fill writes @n_bytes, zeroed before, which are then uploaded; it
 * is not called if another plan has been there. The plan keeps a reference. */
typedef struct _CiCudaConstant CiCudaConstant;
typedef gboolean (*CiCudaFill) (gpointer host, gpointer data, GError **error);
gconstpointer ci_cuda_constant (CiPlan *plan, const gchar *key, gsize n_bytes,
    CiCudaFill fill, gpointer data, GError **error);
void ci_cuda_constant_unref (CiCudaDevice *device,
    CiCudaConstant *constant);
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

/* A thread for each octet of @value in all its maps: how they find theirs, and
 * their number. */
gboolean ci_cuda_cover (CiPlan *plan, CiValue value, CiOctets *octets,
    gint64 *n, GError **error);

/* The list on the device that @value of kind DETECTIONS is, after
 * ci_cuda_prepare_results(). The last one of a plan is what a frame gives; */
CiDeviceDetections ci_cuda_list (const CiPlan *plan, CiValue value);
/* which this is, too. And the plan's value of kind MASKS, after
 * ci_cuda_prepare_results(). A value of kind ROWS is an ordinary buffer:
 * floats, capacity x channels, dense. */
CiDeviceDetections ci_cuda_detections (const CiPlan *plan);
CiDeviceMasks ci_cuda_masks (const CiPlan *plan);

/* ---- steps ----------------------------------------------------------- */

/* Each makes one kind of step ready to run. */
gboolean ci_cuda_prepare_input (CiPlan *plan, CiStep *step, GError **error);
gboolean ci_cuda_prepare_map (CiPlan *plan, CiStep *step, GError **error);
gsize ci_cuda_map_scratch (CiPlan *plan, CiValue value);
gboolean ci_cuda_prepare_conv (CiPlan *plan, CiStep *step, GError **error);
gsize ci_cuda_conv_scratch (CiPlan *plan, CiValue lead);
gboolean ci_cuda_prepare_deconv (CiPlan *plan, CiStep *step, GError **error);
gsize ci_cuda_deconv_scratch (CiPlan *plan, CiValue value);
gboolean ci_cuda_prepare_roi_align (CiPlan *plan, CiStep *step,
    GError **error);
gboolean ci_cuda_prepare_deform_conv (CiPlan *plan, CiStep *step,
    GError **error);
gsize ci_cuda_deform_conv_scratch (CiPlan *plan, CiValue value);
gboolean ci_cuda_prepare_detect (CiPlan *plan, CiStep *step, GError **error);
gboolean ci_cuda_prepare_multibox_detect (CiPlan *plan, CiStep *step,
    GError **error);
gboolean ci_cuda_prepare_gather (CiPlan *plan, CiStep *step, GError **error);
gboolean ci_cuda_prepare_rpn (CiPlan *plan, CiStep *step, GError **error);
gboolean ci_cuda_prepare_box_detect (CiPlan *plan, CiStep *step,
    GError **error);
gboolean ci_cuda_prepare_class_masks (CiPlan *plan, CiStep *step,
    GError **error);
gboolean ci_cuda_prepare_point_rend (CiPlan *plan, CiStep *step,
    GError **error);
/* Memory for the lists of @args, one per level; @n_candidates of all. */
gboolean ci_cuda_alloc_lists (CiPlan *plan, CiDetectArgs *args,
    gsize n_candidates, GError **error);
gboolean ci_cuda_prepare_conv_at (CiPlan *plan, CiStep *step,
    GError **error);
gboolean ci_cuda_prepare_masks (CiPlan *plan, CiStep *step, GError **error);
gboolean ci_cuda_prepare_assemble (CiPlan *plan, CiStep *step,
    GError **error);
gboolean ci_cuda_prepare_rescore (CiPlan *plan, CiStep *step, GError **error);
gboolean ci_cuda_prepare_solo_detect (CiPlan *plan, CiStep *step,
    GError **error);
gboolean ci_cuda_prepare_solo_masks (CiPlan *plan, CiStep *step,
    GError **error);

/* @n maps side by side into a canvas, with zeros between them. */
gboolean ci_cuda_canvas_pack (CiPlan *plan, const CiView *srcs, gint n,
    CiView dst, const CiCanvas *canvas, GError **error);
/* In place: act (x * scale of its rectangle; NULL: 1), zeros in the gaps. */
gboolean ci_cuda_canvas_finish (CiPlan *plan, CiView view,
    const CiCanvas *canvas, const float *scales, CiActivation activation,
    GError **error);

/* ---- results (results.c) ---------------------------------------------- */

/* Largest block that a frame can give; what prepares (any number of times),
 * enqueues and reads it. */
gsize ci_cuda_results_bytes (const CiPlan *plan);
gboolean ci_cuda_prepare_results (CiPlan *plan, GError **error);
gboolean ci_cuda_enqueue_results (CiPlan *plan, GError **error);
gboolean ci_cuda_read_results (CiPlan *plan, gconstpointer pinned,
    GError **error);
/* Entries that the list @value has on the device now (CiBackendFuncs.count). */
gint ci_cuda_count (const CiPlan *plan, CiValue value);

/* ---- pre-processing (preprocess.c) ------------------------------------- */

/* What the kernels of pre-processing read of a frame format and a frame: @pre
 * is made for a device. */
gsize ci_cuda_preprocess_settings_bytes (const CiPreprocess *pre);
/* Writes it; @image: planes on the device. Most of it are tables, which stay
 * out if they are those numbered @tables (0: none), which the device has;
 * @tables becomes the number of its new ones. Returns how many bytes there are
 * to upload. */
gsize ci_cuda_preprocess_fill (const CiPreprocess *pre, const CiImage *image,
    guint64 *tables, gpointer settings);
/* From the planes that @settings (on the device) name to the input @dst. */
gboolean ci_cuda_enqueue_preprocess (CiPlan *plan, gconstpointer settings,
    CiView dst, GError **error);

/* ---- frames (frame.c) -------------------------------------------------- */

gboolean ci_cuda_frames_open (CiPlan *plan, GError **error);
void ci_cuda_frames_close (CiPlan *plan);
gboolean ci_cuda_submit (CiPlan *plan, CiPreprocess *pre,
    const CiImage *image, GError **error);
gboolean ci_cuda_collect (CiPlan *plan, GError **error);

/* ---- convolutions (conv.c, tune.c) ------------------------------------ */

/* One convolution by cuDNN, or by our own kernels where cuDNN has nothing for
 * it, the maps are not dense, or there is a channel a group. */
typedef struct
{
  gint batch;
  CiView src, dst;
  gint kernel, stride, padding, groups;
  CiActivation activation;
  CiView residual;              /* data NULL: none; like dst */
  gconstpointer weight;         /* dst.cp x kernel x kernel x C, in the plan's
                                   type; C is src.cp, or src.c / groups if there
                                   are groups */
  const float *bias;            /* dst.cp */
} CiConvSpec;

/* Sets weight and bias of @spec, whose dst is set, to those of @node, with
 * @in_pitch channels of a group, padded (conv_step.c). */
gboolean ci_cuda_load_weights (CiPlan *plan, const CiNode *node,
    gint in_pitch, CiConvSpec *spec, GError **error);

typedef struct _CiConv CiConv;
/* Chooses the fastest way, by files of earlier choices or by measuring. */
CiConv *ci_conv_new (CiPlan *plan, const CiConvSpec *spec, const gchar *name,
    GError **error);
void ci_conv_free (CiConv *conv);
gboolean ci_conv_run (CiPlan *plan, CiConv *conv, GError **error);

G_END_DECLS

#endif /* CI_CUDA_H */
