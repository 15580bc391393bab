/*
 * kernels.h: how numbers are computed; the only header of kernels/ that
 * others include.
 *
 * A network is described once as a CiGraph (symbolic: layer names, no sizes)
 * and compiled for one input size, one backend and one set of weights into a
 * CiPlan. Compiling folds normalisation into weights, fuses conv + bias +
 * residual + activation, plans one arena by liveness and packs weights.
 * Running a plan allocates nothing.
 *
 * Tensors are NCHW in every description, whatever the layout in memory; the
 * batch is 1. Boxes are x0, y0, x1, y1, floats, half-open.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_KERNELS_H
#define CI_KERNELS_H

#include <glib.h>

G_BEGIN_DECLS

/* ---- errors ---------------------------------------------------------- */

#define CI_ERROR (ci_error_quark ())
GQuark ci_error_quark (void);

/**
 * CiError:
 * @CI_ERROR_IO: a file cannot be opened or read
 * @CI_ERROR_BAD_FORMAT: a file or tensor contradicts itself or its format
 * @CI_ERROR_MISSING_TENSOR: the weights lack a tensor, or its shape differs
 * @CI_ERROR_UNSUPPORTED: correct, but nothing here can do it
 * @CI_ERROR_INVALID_ARGUMENT: a caller's mistake (zero size, bad option)
 * @CI_ERROR_OUT_OF_MEMORY: a buffer does not fit into memory
 * @CI_ERROR_NO_DEVICE: the asked-for device or driver is absent
 * @CI_ERROR_BACKEND: a foreign library (oneDNN, cuDNN) failed
 */
typedef enum
{
  CI_ERROR_IO,
  CI_ERROR_BAD_FORMAT,
  CI_ERROR_MISSING_TENSOR,
  CI_ERROR_UNSUPPORTED,
  CI_ERROR_INVALID_ARGUMENT,
  CI_ERROR_OUT_OF_MEMORY,
  CI_ERROR_NO_DEVICE,
  CI_ERROR_BACKEND,
} CiError;

/* ---- tensors and weights --------------------------------------------- */

#define CI_MAX_DIMS 5

typedef enum
{
  CI_DTYPE_F32,
  CI_DTYPE_F16,
  CI_DTYPE_F64,
  CI_DTYPE_I32,
  CI_DTYPE_I64,
  CI_DTYPE_U8,
} CiDType;

/** Size in bytes of one element. */
gsize ci_dtype_size (CiDType dtype);
/** Name as in safetensors headers: "F32", "F16", ... */
const gchar *ci_dtype_name (CiDType dtype);

/**
 * CiTensor: a plain, dense, row-major view; never owns @data.
 */
typedef struct
{
  CiDType dtype;
  gint n_dims;
  gint64 dims[CI_MAX_DIMS];
  gconstpointer data;
} CiTensor;

/** Number of elements (1 for a scalar). */
gsize ci_tensor_n_elements (const CiTensor * tensor);

/**
 * CiWeights: where a plan finds the tensors that a graph names.
 *
 * @lookup fills @out with a view that lives as long as the weights do and
 * returns FALSE if there is no tensor called @name. @id is unique per set of
 * weights in the process; packed weights are cached under it and shared by
 * all plans made from it, until ci_weights_forget().
 */
typedef struct _CiWeights CiWeights;
struct _CiWeights
{
  gboolean (*lookup) (const CiWeights * weights, const gchar * name,
      CiTensor * out);
  gpointer user_data;
  guint64 id;
};

/** A fresh value for CiWeights.id. */
guint64 ci_weights_new_id (void);
/** Drops the packed copies cached under @id; plans that use them keep them. */
void ci_weights_forget (guint64 id);

/* ---- threads --------------------------------------------------------- */

/**
 * CiPool: worker threads that wait passively (a short spin, then sleep), so
 * that decoders and sinks beside us keep their cores.
 */
typedef struct _CiPool CiPool;
typedef void (*CiPoolFunc) (gpointer data, gint task, gint n_tasks);

/** @n_threads counts the caller; 0 = one per core this process may use. */
CiPool *ci_pool_new (gint n_threads);
void ci_pool_free (CiPool * pool);
gint ci_pool_get_n_threads (const CiPool * pool);
/** Calls @func for every task in [0, @n_tasks), on all threads, and returns
 * when all are done. One caller at a time; @pool may be NULL (runs inline). */
void ci_pool_run (CiPool * pool, CiPoolFunc func, gpointer data, gint n_tasks);

/* ---- devices --------------------------------------------------------- */

/**
 * CiDevice: a GPU with all that plans on it share: its CUDA context, cuDNN,
 * packed weights, measured choices of algorithms. Reference counted, thread
 * safe. What computes there is a module of its own, opened when a device is
 * first asked for.
 */
typedef struct _CiDevice CiDevice;

/**
 * The GPU @index (-1: the first one that can be used) in the CUDA context
 * @context (a CUcontext, borrowed; it has to outlive the device), or in the
 * primary one if that is NULL. Asking twice for the same gives the same
 * device. NO_DEVICE and @error with the driver's reason if there is no GPU,
 * no or too old a driver, no cuDNN, or no such module in this build.
 */
CiDevice *ci_device_open (gint index, gpointer context, GError ** error);
CiDevice *ci_device_ref (CiDevice * device);
void ci_device_unref (CiDevice * device);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CiDevice, ci_device_unref)
/** "NVIDIA H200 (sm_90), CUDA 13.0, cuDNN 9.13.0" */
const gchar *ci_device_get_description (const CiDevice * device);

typedef enum
{
  CI_PRECISION_FP32,
  CI_PRECISION_FP16,            /* maps and weights; sums are FP32 */
} CiPrecision;

/* ---- graph ----------------------------------------------------------- */

typedef struct _CiGraph CiGraph;
/** A value (edge) of a graph; negative values are never valid. */
typedef gint CiValue;
#define CI_NO_VALUE (-1)

typedef enum
{
  CI_ACTIVATION_NONE,
  CI_ACTIVATION_RELU,
  CI_ACTIVATION_RELU6,
  CI_ACTIVATION_SWISH,          /* x * sigmoid (x) */
  CI_ACTIVATION_HARD_SIGMOID,   /* relu6 (x + 3) / 6 */
  CI_ACTIVATION_LEAKY_RELU,     /* x, or 0.1 x below 0: the slope of DarkNet */
  CI_ACTIVATION_SIGMOID,
  CI_ACTIVATION_TANH,
} CiActivation;

#define CI_LEAKY_RELU_SLOPE 0.1f

typedef enum
{
  CI_RESIZE_NEAREST,            /* floor (dst * in / out) */
  CI_RESIZE_ALIGNED_BILINEAR,   /* AdelaiDet's aligned_bilinear */
  CI_RESIZE_BILINEAR,           /* pixel centres at .5, clamped at the edges
                                   (align_corners=False) */
} CiResizeMode;

CiGraph *ci_graph_new (void);
void ci_graph_free (CiGraph * graph);

/** The network's input: 1 x @channels x H x W, normalised; one per graph. */
CiValue ci_graph_input (CiGraph * graph, gint channels);

/**
 * Convolution with square kernel @kernel, stride @stride, padding @padding and
 * @groups. Weights `@name.weight` (out_channels x in/groups x k x k), and
 * `@name.bias` if @bias.
 */
CiValue ci_graph_conv (CiGraph * graph, CiValue src, const gchar * name,
    gint out_channels, gint kernel, gint stride, gint padding, gint groups,
    gboolean bias);
/** Inference batch norm with `@name.{weight,bias,running_mean,running_var}`;
 * @eps is added to the variance: 1e-5, or 0 as in torchvision's published
 * detectors. */
CiValue ci_graph_batch_norm (CiGraph * graph, CiValue src, const gchar * name,
    gfloat eps);
/** Group norm, eps 1e-5, over the whole map, with `@name.{weight,bias}`. */
CiValue ci_graph_group_norm (CiGraph * graph, CiValue src, const gchar * name,
    gint groups);
CiValue ci_graph_activation (CiGraph * graph, CiValue src,
    CiActivation activation);
/** Multiplies by the one value of the tensor @name (FCOS' `scales.l.scale`). */
CiValue ci_graph_scale (CiGraph * graph, CiValue src, const gchar * name);
CiValue ci_graph_add (CiGraph * graph, CiValue a, CiValue b);
/**
 * Transposed convolution of 2 x 2, stride 2: twice the height and width.
 * Weights `@name.weight` (in x out_channels x 2 x 2), and `@name.bias` if
 * @bias.
 */
CiValue ci_graph_deconv (CiGraph * graph, CiValue src, const gchar * name,
    gint out_channels, gboolean bias);
/**
 * A fully connected layer over maps of @side x @side: ci_graph_conv() of that
 * kernel without padding, but that its weights have two dimensions:
 * `@name.weight` (out_channels x in * side * side). Result: out_channels x 1 x
 * 1.
 */
CiValue ci_graph_linear (CiGraph * graph, CiValue src, const gchar * name,
    gint out_channels, gint side, gboolean bias);
/** Max pooling; padding never wins. @ceil_mode: a last window may reach over
 * the edge, if it starts inside. */
CiValue ci_graph_max_pool (CiGraph * graph, CiValue src, gint kernel,
    gint stride, gint padding, gboolean ceil_mode);
/** Mean of each channel: channels x 1 x 1. */
CiValue ci_graph_global_avg_pool (CiGraph * graph, CiValue src);
/** Maximum of each channel: channels x 1 x 1. */
CiValue ci_graph_global_max_pool (CiGraph * graph, CiValue src);
/** Multiplies each channel of @src by its value in @factors (channels x 1 x
 * 1): the end of a squeeze-and-excitation block. */
CiValue ci_graph_channel_scale (CiGraph * graph, CiValue src, CiValue factors);
/** @n maps of one size, stacked along the channels. */
CiValue ci_graph_concat (CiGraph * graph, const CiValue * srcs, gint n);
/** CoordConv's constants (Liu et al., NeurIPS 2018): a map of the size of @like
 * with the channels x and y, or one of them: from -1 in the first column (row)
 * to 1 in the last one; -1 if there is but one. */
CiValue ci_graph_coords (CiGraph * graph, CiValue like, gboolean x,
    gboolean y);
/** BiFPN's fast normalised fusion (EfficientDet section 3.2; SEMANTICS 2.5):
 * sum of w_i * src_i over @n maps of one shape, with w = relu (v) / (sum relu
 * (v) + 1e-4) of the tensor v = @name (n values). */
CiValue ci_graph_weighted_add (CiGraph * graph, const CiValue * srcs, gint n,
    const gchar * name);
/** Upsampling by the integer @factor. */
CiValue ci_graph_upsample (CiGraph * graph, CiValue src, gint factor,
    CiResizeMode mode);
/** Resizing to @height x @width. Bilinear takes two cells of each axis, also
 * where that skips some (torch's interpolate without antialias). Aligned
 * bilinear enlarges by an integer only. */
CiValue ci_graph_resize (CiGraph * graph, CiValue src, gint height, gint width,
    CiResizeMode mode);
/** Resizing to height and width of the map @like. */
CiValue ci_graph_resize_like (CiGraph * graph, CiValue src, CiValue like,
    CiResizeMode mode);
/**
 * Modulated deformable convolution (DCNv2; Zhu et al., CVPR 2019; SEMANTICS
 * 2.1) with weights as in ci_graph_conv(). @offsets has 3 * kernel^2 channels:
 * (dy, dx) per tap, then one modulation logit per tap. Samples outside the map
 * count as 0.
 */
CiValue ci_graph_deform_conv (CiGraph * graph, CiValue src, CiValue offsets,
    const gchar * name, gint out_channels, gint kernel, gint stride,
    gint padding, gint groups, gboolean bias);
/** One level of an FCOS head: maps of the same H x W. */
typedef struct
{
  CiValue logits;               /* num_classes x H x W */
  CiValue reg;                  /* 4 x H x W: l, t, r, b >= 0, in strides */
  CiValue ctr;                  /* 1 x H x W: centre-ness logit */
  gint stride;
} CiFcosLevel;

/**
 * FCOS candidates, box decoding, top-k per level, class-aware NMS and the
 * final top-k (FCOS section 3; AdelaiDet fcos_outputs.py; SEMANTICS 5, 6).
 * The thresholds come from CiDetectParams at run time. The result is a
 * detection list of capacity @capacity, in descending score, boxes in pixels
 * of the network input, unclipped. @thresh_with_ctr: threshold on cls * ctr
 * (CondInst) or on cls alone (FCOS).
 */
CiValue ci_graph_fcos_detect (CiGraph * graph, const CiFcosLevel * levels,
    gint n_levels, gint capacity, gboolean thresh_with_ctr);

/** One level of a region proposal network: maps of the same H x W. */
typedef struct
{
  CiValue objectness;           /* A x H x W: logits of A anchors a cell */
  CiValue deltas;               /* 4 A x H x W: dx, dy, dw, dh of each */
  gint stride;
  gfloat anchor_size;           /* root of an anchor's area, in pixels */
} CiRpnLevel;

typedef struct
{
  gint n_ratios;                /* anchors of a cell, up to 8: their */
  gfloat ratios[8];             /* height / width */
  gboolean rounded_anchors;     /* torchvision: corners rounded, halves to even,
                                   and steps of floor (input / map); else
                                   exact, and steps of the stride */
  gint pre_nms_top_n;           /* of each level, up to CI_RPN_MAX_TOP_N */
  gint post_nms_top_n;          /* of all: the capacity */
  gdouble nms_threshold;        /* IoU, within each level */
  gfloat min_size;              /* sides of a box: more than that, */
  gboolean min_size_inclusive;  /* or as much */
} CiRpnParams;

#define CI_RPN_MAX_TOP_N 5000

/**
 * Region proposals (Ren et al., NeurIPS 2015, section 3.3; detectron2
 * proposal_utils.py, torchvision rpn.py; SEMANTICS-maskrcnn "RPN"): anchors
 * moved by their deltas and clipped to the frame's part of the input, top-k and
 * NMS per level, final top-k. The result is in descending score, which is the
 * logit; classes are 0, cells (y * W + x) * A + a, locations the anchors'
 * centres.
 */
CiValue ci_graph_rpn (CiGraph * graph, const CiRpnLevel * levels,
    gint n_levels, const CiRpnParams * params);

typedef struct
{
  gboolean background_first;    /* logit 0 is the background, else the last */
  gfloat weights[4];            /* divisors of dx, dy, dw, dh */
  gfloat min_size;              /* as in CiRpnParams */
  gboolean min_size_inclusive;
  gint capacity;
} CiBoxDetectParams;

/**
 * Detections of a box head (Fast R-CNN; detectron2 fast_rcnn.py, torchvision
 * roi_heads.py; SEMANTICS-maskrcnn "Box head"). @logits and @deltas are maps of
 * one cell for each of @proposals: classes + 1 logits; 4 deltas for each class,
 * for each and the background, or for all together. Softmax, boxes clipped to
 * the frame's part of the input, score > inference_threshold and NMS of each
 * class at nms_threshold (CiDetectParams), the best. The result is in
 * descending score; classes count from 0 without the background, cells are the
 * numbers of the proposals, levels and locations theirs.
 */
CiValue ci_graph_box_detect (CiGraph * graph, CiValue proposals,
    CiValue logits, CiValue deltas, const CiBoxDetectParams * params);

/**
 * The last layer of Mask R-CNN's mask head (He et al., ICCV 2017): 1x1
 * convolution `@name.{weight,bias}` of @out_channels, of which only the
 * detection's class + @first_channel is computed, and sigmoid. @src are square
 * maps, one for each of @detections. Result: one grid per detection, stretched
 * over its box (CiMaskGrid.in_box).
 */
CiValue ci_graph_class_masks (CiGraph * graph, CiValue src,
    CiValue detections, const gchar * name, gint out_channels,
    gint first_channel);

typedef struct
{
  gint stride;                  /* of the features, 4 */
  gint coarse_size;             /* cells a side of the coarse logits, 7 */
  gint channels;                /* of the hidden layers, 256 */
  gint n_layers;                /* hidden ones, 3 */
  gint start_size;              /* of the first map, 28 */
  gint n_steps;                 /* doublings, 3 */
  gint n_points;                /* new ones of a step, 784 */
} CiPointRendParams;

/**
 * PointRend's subdivision inference (Kirillov et al., CVPR 2020, section 3.2;
 * projects/PointRend/point_rend; SEMANTICS-pointrend): logits of all cells of a
 * map of start_size by the point head, `@name.fc1`, ... and `@name.predictor`
 * (weight, bias), from @features and @coarse at the cells' centres; then
 * n_steps times bilinear x2 and new logits for the n_points most uncertain
 * cells; sigmoid. @coarse has the coarse logits of each of @detections,
 * classes x coarse_size x coarse_size, as a row of channels of one cell; they
 * join the input of each layer.
 * Only the channel of the detection's class is followed, nothing depends on the
 * others. Result: one grid of start_size << n_steps per detection, stretched
 * over its box.
 */
CiValue ci_graph_point_rend (CiGraph * graph, CiValue features,
    CiValue coarse, CiValue detections, const gchar * name,
    const CiPointRendParams * params);

#define CI_MAX_PRIORS 16

/** One level of a head with priors (anchors), A for each cell: maps of the same
 * H x W. */
typedef struct
{
  CiValue loc;                  /* A * 4 x H x W: dx, dy, dw, dh of each */
  CiValue conf;                 /* A * num_classes x H x W: logits, that of the
                                   background first */
  gfloat sizes[CI_MAX_PRIORS][2];       /* of the priors: width and height, in
                                           widths and heights of the input */
} CiMultiboxLevel;

/** How detections suppress those of a lower score. */
typedef enum
{
  CI_NMS_DEFAULT,               /* the method's own way */
  CI_NMS_GREEDY,                /* within a class, each that is kept */
  CI_NMS_FAST,                  /* within a class, each, kept or not (YOLACT
                                   section 5) */
  CI_NMS_FAST_CROSS_CLASS,      /* the same among all classes, each prior being
                                   of its best one */
  CI_NMS_MATRIX,                /* by taking from scores (SOLOv2 section 3.3) */
} CiNms;

typedef struct
{
  gint capacity;
  gfloat variances[2];          /* of dx and dy, of dw and dh: 0.1, 0.2 */
  CiNms nms;                    /* for CI_NMS_DEFAULT */
} CiMultiboxParams;

/**
 * Detections of a head with priors (SSD, Liu et al., ECCV 2016, section 2;
 * YOLACT's layers/box_utils.py and functions/detection.py; SEMANTICS-yolact
 * "Priors" to "Selection and NMS"). The prior of cell (x, y) has its centre at
 * ((x + 0.5) / W, (y + 0.5) / H) of the input; a box is that centre + v0 *
 * (dx, dy) * size and size * exp (v1 * (dw, dh)). Softmax over the classes; of
 * the priors whose best class exceeds inference_threshold NMS, by
 * CiDetectParams.nms, among the pre_nms_top_k best of each class (cross class:
 * of all; greedy: all that exceed the threshold by themselves), then the best.
 * More than 1000 of a class are never looked at. Fast NMS suppresses above
 * nms_threshold, greedy NMS from there on and by areas of whole pixels (+ 1),
 * as Fast R-CNN. The result is in descending score, which is the probability of
 * the class; classes count from 0 without the background; boxes are in pixels
 * of the network input, unclipped; cells (y * W + x) * A + a; locations are the
 * priors' centres.
 */
CiValue ci_graph_multibox_detect (CiGraph * graph,
    const CiMultiboxLevel * levels, gint n_levels,
    const CiMultiboxParams * params);

/** What a head with priors says of those that were found: of @n_levels maps of
 * A * @channels x H x W the channels of each detection's prior at its cell.
 * Result: capacity x @channels. */
CiValue ci_graph_gather (CiGraph * graph, const CiValue * srcs, gint n_levels,
    CiValue detections, gint channels);

/**
 * YOLACT's masks (Bolya et al., ICCV 2019, section 3.3; layers/output_utils.py;
 * SEMANTICS-yolact "Masks"): per detection the sum of @prototypes (k x h x w,
 * over the whole input) times its row of @coefficients (capacity x k), sigmoid,
 * cut to the box and one cell around it. Result: one soft grid per detection,
 * of what is left, or, with @full_map, of the whole map with zeros around that.
 */
CiValue ci_graph_assemble_masks (CiGraph * graph, CiValue prototypes,
    CiValue detections, CiValue coefficients, gboolean full_map);
/** The same, the whole maps, as items: 1 x h x w. */
CiValue ci_graph_assemble_items (CiGraph * graph, CiValue prototypes,
    CiValue detections, CiValue coefficients);
/** CiDetections.mask_scores: scores of @detections times the one value, or that
 * of its class, in the item of @quality (channels x 1 x 1). */
CiValue ci_graph_rescore (CiGraph * graph, CiValue detections,
    CiValue quality);

/**
 * Convolution `@name.{weight,bias}`, stride 1, evaluated only at the cells of
 * @detections (the lazy controller, CondInst section 3.1). @srcs has one
 * feature map per FPN level. Result: capacity x out_channels.
 */
CiValue ci_graph_conv_at (CiGraph * graph, const CiValue * srcs, gint n_levels,
    CiValue detections, const gchar * name, gint out_channels, gint kernel);

/**
 * RoIAlign (He et al., ICCV 2017; ROIAlign_cpu.cpp of detectron2 and
 * torchvision; SEMANTICS-maskrcnn.md). A box belongs to the level
 *   floor (canonical_level + log2 (sqrt (area) / canonical_size + log_epsilon)
 *       + level_epsilon),
 * of which @first_level is the number of the first map, clamped to what there
 * is. A box that is no number is on the first one.
 */
typedef struct
{
  gint strides[8];              /* of the levels, finest first */
  gint resolution;              /* bins a side */
  gint sampling_ratio;          /* samples a bin, on each axis; 0: its size in
                                   cells, rounded up, at most
                                   CI_ROI_MAX_SAMPLES */
  gboolean aligned;             /* detectron2: cell i lies at (i + 0.5) *
                                   stride; else torchvision: at i * stride, and
                                   boxes have at least one cell */
  gboolean points;              /* PointRend's point_sample instead: one sample
                                   in the middle of each bin, aligned, with
                                   zeros around the map */
  gint canonical_size, canonical_level, first_level;    /* 224, 4, 2 */
  gfloat log_epsilon;           /* 1e-8 (detectron2) or 0 */
  gfloat level_epsilon;         /* 0 or 1e-6 (torchvision) */
} CiRoiAlignParams;

#define CI_ROI_MAX_SAMPLES 4096

/**
 * A map of resolution x resolution cells for each box of the detection list
 * @boxes, sampled from one of the @n_levels maps @levels, which have the same
 * channels. A sample more than one cell outside of its map is 0, one less far
 * outside that of the edge.
 *
 * The result are items: as many maps as the list has capacity, of which those
 * of boxes that were found hold something. Layers over items (convolutions of
 * one group, linear, deconv, pooling, norms, activation, ...) compute each of
 * these by itself and make items of the same list.
 */
CiValue ci_graph_roi_align (CiGraph * graph, const CiValue * levels,
    gint n_levels, CiValue boxes, const CiRoiAlignParams * params);

typedef struct
{
  gint stride;                  /* of the mask features, 8 */
  gint out_stride;              /* of the grids, 4 (MASK_OUT_STRIDE) */
  gint channels;                /* hidden width, 8 */
  gint n_layers;                /* 3 */
  gboolean rel_coords;
  gfloat sizes_of_interest[8];  /* divisor of the coordinates, per level */
  gboolean full_map;            /* whole map, not only boxes and a margin */
} CiMaskHeadParams;

/**
 * CondInst's dynamic mask head (section 3.2; condinst/dynamic_mask_head.py;
 * SEMANTICS 8): per detection a small conv net, whose weights are the row of
 * @parameters, over @features and relative coordinates; logits, aligned
 * upsampling to out_stride, sigmoid. Result: one soft grid per detection.
 */
CiValue ci_graph_dynamic_mask_head (CiGraph * graph, CiValue features,
    CiValue detections, CiValue parameters, const CiMaskHeadParams * params);

typedef struct
{
  gint stride;                  /* of the bases, 4 */
  gint attention_size;          /* 14 */
  gint resolution;              /* of RoIAlign and of the masks, 56 */
} CiBlendParams;

/**
 * BlendMask's blender (Chen et al., CVPR 2020, section 3.3;
 * modeling/blendmask/blender.py; SEMANTICS 11): per detection RoIAlign of
 * @bases (B x h x w) over the box, one sample per bin; the row of @attention
 * (B x attention_size^2, basis-major) resized to the same resolution; softmax
 * over the bases, sum of products, sigmoid. Result: one grid per detection,
 * stretched over its box (CiMaskGrid.in_box).
 */
CiValue ci_graph_blend_masks (CiGraph * graph, CiValue bases,
    CiValue detections, CiValue attention, const CiBlendParams * params);

/** Gives a value the name under which plans report it ("feat.p3"). */
void ci_graph_name (CiGraph * graph, CiValue value, const gchar * name);
/** Named values with @output are kept readable in every plan; the others only
 * in plans compiled with keep_named. */
void ci_graph_output (CiGraph * graph, CiValue value, const gchar * name);

/** Calls @func for the name and shape of every tensor that @graph needs; each
 * name once. */
typedef void (*CiTensorFunc) (const gchar * name, gint n_dims,
    const gint64 * dims, gpointer user_data);
void ci_graph_foreach_tensor (const CiGraph * graph, CiTensorFunc func,
    gpointer user_data);

/* ---- pre-processing --------------------------------------------------- */

typedef enum
{
  CI_PIXEL_NV12,
  CI_PIXEL_I420,
  CI_PIXEL_RGB,
  CI_PIXEL_BGR,
  CI_PIXEL_RGBA,                /* alpha, like x, is ignored */
  CI_PIXEL_BGRA,
  CI_PIXEL_RGBX,
  CI_PIXEL_BGRX,
  CI_PIXEL_GRAY8,
  CI_PIXEL_P010,                /* NV12 of 16-bit words; the upper 10 count */
} CiPixelFormat;

typedef enum
{
  CI_YUV_BT601,
  CI_YUV_BT709,
  CI_YUV_BT2020,
} CiYuvMatrix;

/** What a frame looks like; stays the same between frames. */
typedef struct
{
  CiPixelFormat pixel_format;
  gint width, height;
  CiYuvMatrix matrix;           /* YUV formats only */
  gboolean full_range;          /* YUV and GRAY8: 0-255 instead of 16-235 */
} CiImageFormat;

/** The planes of one frame; borrowed. */
typedef struct
{
  const guint8 *planes[3];
  gint strides[3];              /* bytes */
  gboolean on_device;           /* planes are in the memory of the plan's
                                   device, */
  gpointer stream;              /* there when this CUstream has done its work;
                                   NULL: now */
} CiImage;

/** @out: the planes of @image (of pixel format @format) from pixel (@x, @y) on,
 * both even for 4:2:0 formats. */
void ci_image_crop (const CiImageFormat * format, const CiImage * image,
    gint x, gint y, CiImage * out);

typedef enum
{
  CI_RESIZE_EXACT,              /* 8-bit antialiased, bit-equal to Pillow's */
  CI_RESIZE_FAST,               /* two taps a direction, no antialiasing, not
                                   rounded: of RGB frames torch's bilinear
                                   interpolate () */
  CI_RESIZE_OPENCV,             /* two taps in 8 bits, bit-equal to OpenCV's
                                   INTER_LINEAR */
} CiResizeQuality;

typedef struct
{
  gint resized_width, resized_height;   /* the frame's size in the input */
  gint padded_width, padded_height;     /* the input; zeros right and below */
  gboolean rgb;                 /* channel order of the input: RGB, else BGR */
  gfloat mean[3], std[3];       /* in that order */
  CiResizeQuality quality;
  gboolean on_device;           /* for ci_plan_submit() of plans on a device
                                   only: without the CPU's scratch */
} CiPreprocessOptions;

/**
 * CiPreprocess: frame -> normalised planar float input (SEMANTICS 1):
 * conversion to 8-bit RGB by the frame's own matrix and range, resize,
 * (v - mean) / std, zero padding. Tables and scratch are made by new(); run()
 * allocates nothing. Ten-bit samples are rounded with their conversion, not
 * before. A 4:2:0 chroma sample holds for its 2 x 2 pixels, as in OpenCV's and
 * swscale's conversions, whatever the chroma site of the caps.
 */
typedef struct _CiPreprocess CiPreprocess;

/** Sizes from 1 to 16384; NULL and @error (INVALID_ARGUMENT, OUT_OF_MEMORY)
 * otherwise. */
CiPreprocess *ci_preprocess_new (const CiImageFormat * format,
    const CiPreprocessOptions * options, GError ** error);
void ci_preprocess_free (CiPreprocess * pre);
/** @dst: 3 x padded_height x padded_width floats. @pool may be NULL. */
void ci_preprocess_run (CiPreprocess * pre, const CiImage * image,
    gfloat * dst, CiPool * pool);
/** The resized 8-bit image of the last run, resized_height x resized_width x 3
 * in the input's channel order (for dumps and tests); made on this call, valid
 * until the next one. NULL with CI_RESIZE_FAST, which has no such image, and
 * with on_device. */
const guint8 *ci_preprocess_get_resized (const CiPreprocess * pre);

typedef enum
{
  CI_SIZE_SHORTEST_EDGE,        /* detectron2's ResizeShortestEdge (SEMANTICS
                                   1.2): sides rounded */
  CI_SIZE_KEEP_RATIO,           /* mmdetection's Resize with keep_ratio: the
                                   same but for a side near a half */
  CI_SIZE_KEEP_RATIO_FLOOR,     /* torchvision's GeneralizedRCNNTransform: in
                                   single precision, sides rounded down */
  CI_SIZE_FIXED,                /* @max_size x @min_size, whatever the frame */
} CiSizeRule;

/** Size of a resized frame whose short side becomes @min_size unless the long
 * one then exceeds @max_size, by the arithmetic of one of the official codes;
 * at least 1 x 1. All arguments are positive. */
void ci_resize_get_size (CiSizeRule rule, gint width, gint height,
    gint min_size, gint max_size, gint * out_width, gint * out_height);

/* ---- overlays -------------------------------------------------------- */

/**
 * CiOverlay: blends colours onto frames in the memory of a device. Its buffers
 * grow with what frames need and are kept. One thread at a time.
 */
typedef struct _CiOverlay CiOverlay;

/** One colour over 16 x 16 pixels of the frame. Blending is v * (256 - a) +
 * color * a + 128 >> 8 with a = coverage + (coverage >> 7); coverage of chroma
 * is the rounded mean of its pixels, beyond an odd edge of the frame, too. */
typedef struct
{
  gint x, y;                    /* multiples of 16 */
  const guint8 *coverage;       /* row by row; NULL: @opacity everywhere */
  guint8 opacity;
  guint8 color[4];              /* Y, U, V or R, G, B as in the frame (of
                                   P010: the upper 8 bits); alpha */
  guint components;             /* bits: those of the four that change */
} CiOverlayLayer;

/** Of the width and the height of frames. */
#define CI_OVERLAY_MAX_SIZE 16384

CiOverlay *ci_overlay_new (CiDevice * device, GError ** error);
void ci_overlay_free (CiOverlay * overlay);
/** To be blended over what was added before; copied. */
void ci_overlay_add (CiOverlay * overlay, const CiOverlayLayer * layer);
/**
 * Blends what was added since the last call onto @image, a frame on the
 * overlay's device, and forgets it: as work of the image's stream if it has
 * one, else before it returns.
 */
gboolean ci_overlay_blend (CiOverlay * overlay, const CiImageFormat * format,
    const CiImage * image, GError ** error);

/* ---- plan ------------------------------------------------------------ */

typedef struct _CiPlan CiPlan;

#define CI_MAX_BATCH 32

typedef enum
{
  CI_BACKEND_REF,               /* plain C, unfused: the yardstick */
  CI_BACKEND_CPU,               /* oneDNN and fused C */
  CI_BACKEND_CUDA,              /* cuDNN and kernels, on a CiDevice */
} CiBackend;

typedef struct
{
  CiBackend backend;
  CiPool *pool;                 /* borrowed; outlives the plan; NULL = one
                                   thread */
  gint height, width;           /* of the input */
  gboolean keep_named;          /* keep every named value (for dumps) */
  gboolean no_fuse;             /* one step per node (for tests) */
  /* CI_BACKEND_CUDA only */
  CiDevice *device;             /* the plan takes a reference */
  CiPrecision precision;
  gint max_in_flight;           /* frames submitted and not yet collected; 0:
                                   one batch */
  gint batch;                   /* frames that are computed together, up to
                                   CI_MAX_BATCH; 0: one */
} CiPlanOptions;

/** Thresholds and filters of one run; they may change from run to run. */
typedef struct
{
  gfloat inference_threshold;   /* on cls * ctr (INFERENCE_TH_TEST) */
  gdouble nms_threshold;        /* IoU (NMS_TH) */
  gint pre_nms_top_k;           /* per level, or what the method says */
  gint post_nms_top_k;          /* at most the capacity */
  const guint8 *classes;        /* num_classes flags, 0 = skip; NULL = all */
  gdouble cross_class_threshold;        /* IoU between classes; 0 = classes do
                                           not suppress each other (official) */
  CiNms nms;                    /* what the method has not is its default */
  gfloat score_threshold;       /* lower scores are dropped before masks are
                                   made (multibox_detect: equal ones, too); not
                                   FCOS', whose inference_threshold does that.
                                   0: any score */
  gint frame_width, frame_height;       /* the frame's part of the input, for
                                           ci_plan_run(); 0: all of it */
} CiDetectParams;

/** Detections of a plan: arrays of @count entries, descending score. */
typedef struct
{
  gint count;
  const gfloat *boxes;          /* count x 4, pixels of the network input */
  const gfloat *scores;         /* FCOS: sqrt (cls * ctr) */
  const gint32 *classes;
  const gint32 *levels;
  const gint32 *cells;          /* row-major cell in its level, or prior */
  const gfloat *locations;      /* count x 2, x and y, pixels of the input */
  const gfloat *mask_scores;    /* what counts in place of scores, in any order;
                                   NULL if the graph does not rescore */
} CiDetections;

/** One soft grid: @width x @height probabilities of the cells
 * [@x, @x + @width) x [@y, @y + @height) of a map over the network's input. In
 * pixels of that, whose centres are at .5, the centre of the grid's own cell
 * (i, j) lies at (@offset_x + @scale_x * (i + 0.5), @offset_y + @scale_y *
 * (j + 0.5)). CondInst's cell -1 repeats the first one, so that a whole map
 * reaches the input's edge. */
typedef struct
{
  gint x, y, width, height;
  gfloat scale_x, scale_y, offset_x, offset_y;  /* 0 if @in_box */
  const gfloat *prob;           /* NULL from CUDA, but of whole maps */
  gboolean in_box;              /* the cells divide the detection's box, clipped
                                   to the frame, instead; x and y are 0 */
  const guint8 *cells;          /* from CUDA: @prob by ci_mask_quantise(), but
                                   that 0.5 is 128 if @in_box */
} CiMaskGrid;

/** Compiles @graph. @weights must outlive the plan. NULL and @error on a
 * missing or mis-shaped tensor (named), an impossible size or a lack of
 * memory. */
CiPlan *ci_plan_compile (const CiGraph * graph, const CiWeights * weights,
    const CiPlanOptions * options, GError ** error);
void ci_plan_free (CiPlan * plan);

/** The planar float input, channels x height x width (of each image of a
 * batch), to be filled before every run. */
gfloat *ci_plan_get_input (CiPlan * plan);
/** Runs the plan; @params may be NULL if the graph detects nothing. */
gboolean ci_plan_run (CiPlan * plan, const CiDetectParams * params,
    GError ** error);
/**
 * The same with a frame: pre-processes @image by @pre, whose padded size is
 * that of the input, and runs. A plan on a device only enqueues that: @image
 * has been read when the frame is collected, unless it is in the host's memory
 * (then at once). INVALID_ARGUMENT if max_in_flight frames wait already. Work
 * on a batch begins when it is full, or when one of its frames is collected.
 */
gboolean ci_plan_submit (CiPlan * plan, CiPreprocess * pre,
    const CiImage * image, const CiDetectParams * params, GError ** error);
/** Waits for the frame that was submitted first of those not yet collected;
 * its results stay until the next call. */
gboolean ci_plan_collect (CiPlan * plan, GError ** error);
/** How many frames were submitted and not collected. */
gint ci_plan_get_in_flight (const CiPlan * plan);
/** Detections of the last run (empty if the graph has none). */
void ci_plan_get_detections (const CiPlan * plan, CiDetections * out);
/** Grid of detection @index of the last run. */
gboolean ci_plan_get_mask (const CiPlan * plan, gint index, CiMaskGrid * out);
/** Most cells of a grid; 0 if the plan makes no masks. */
gsize ci_plan_get_grid_size (const CiPlan * plan);
/** Copies the kept value @name as dense NCHW floats: fills @out (its data is
 * newly allocated, free with g_free). Of items as many as were found. FALSE if
 * there is no such value. */
gboolean ci_plan_read (const CiPlan * plan, const gchar * name, CiTensor * out);
/** Names of the values that ci_plan_read() knows; NULL-terminated, borrowed. */
const gchar *const *ci_plan_get_names (const CiPlan * plan);

typedef struct
{
  gint64 preprocess_ns;         /* of ci_plan_submit() */
  gint64 network_ns, decode_ns, masks_ns;       /* masks: with mask heads that
                                                   look at objects only */
} CiPlanTimes;
/** Of the last run, or of the frame collected last. */
void ci_plan_get_times (const CiPlan * plan, CiPlanTimes * out);
/** Multiply-adds * 2 of the convolutions, and the arena's size. */
gdouble ci_plan_get_flops (const CiPlan * plan);
gsize ci_plan_get_arena_bytes (const CiPlan * plan);

/** Best GFLOP/s of one square single-precision matrix product of size @n over
 * @repeats, on @pool: the ceiling that bench compares with. */
gdouble ci_cpu_sgemm_gflops (CiPool * pool, gint n, gint repeats);

/** p * 255 rounded, such that p > 0.5 exactly if the result is >= 128. */
void ci_mask_quantise (const gfloat * prob, guint8 * dst, gsize n);

/**
 * Mask bits at the frame's size by the official chain of interpolations
 * (SEMANTICS 10): probabilities of the whole map at out_stride -> aligned
 * bilinear to the padded input -> crop to the resized frame -> half-pixel
 * bilinear to the frame -> > @threshold. @grid must be a full map.
 * @dst: frame_height x frame_width bytes, 0 or 1.
 */
void ci_mask_paste (const CiMaskGrid * grid, gint out_stride,
    gint resized_width, gint resized_height, gint frame_width,
    gint frame_height, gfloat threshold, guint8 * dst);

/**
 * Mask bits at the frame's size of a grid whose cells divide the whole input
 * (YOLACT, SOLO): half-pixel bilinear (align_corners=False) to @padded_width x
 * @padded_height -> crop to @resized_width x @resized_height -> the same to the
 * frame -> > @threshold. Equal sizes leave steps out: YOLACT's grids become the
 * frame in one. @grid must be a full map. @dst: frame_height x frame_width
 * bytes, 0 or 1.
 */
void ci_mask_paste_bilinear (const CiMaskGrid * grid, gint padded_width,
    gint padded_height, gint resized_width, gint resized_height,
    gint frame_width, gint frame_height, gfloat threshold, guint8 * dst);

/**
 * Mask bits at the frame's size of a square @size x @size map that is
 * stretched over @box (pixels of the frame): bilinear with zeros outside, >=
 * @threshold, as detectron2's paste_masks_in_image on the CPU (SEMANTICS 11).
 * @dst: frame_height x frame_width bytes, 0 or 1.
 */
void ci_mask_paste_box (const gfloat * prob, gint size, const gfloat box[4],
    gint frame_width, gint frame_height, gfloat threshold, guint8 * dst);

/**
 * The same as torchvision's paste_masks_in_image (SEMANTICS-maskrcnn): the map
 * with a border of zeros is stretched over whole pixels, those of
 * ci_mask_pixel_box(), half-pixel bilinear, > @threshold.
 */
void ci_mask_paste_pixel_box (const gfloat * prob, gint size,
    const gfloat box[4], gint frame_width, gint frame_height,
    gfloat threshold, guint8 * dst);
/** Where that puts a map of @size cells a side without its border. */
void ci_mask_pixel_box (gint size, const gfloat box[4], gfloat out[4]);

G_END_DECLS

/* parts of the graph's builder */
#include "kernels_solo.h"

#endif /* CI_KERNELS_H */
