/* GStreamer instance segmentation
 *
 * condinstoptions.h: what a user can set, and the properties to set it with
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef __COND_INST_OPTIONS_H__
#define __COND_INST_OPTIONS_H__

#include <gst/gst.h>

G_BEGIN_DECLS

/**
 * GstCondInstSegProvider:
 * @GST_COND_INST_SEG_PROVIDER_AUTO: the fastest that this build and machine
 *   have
 * @GST_COND_INST_SEG_PROVIDER_CPU: the processor
 * @GST_COND_INST_SEG_PROVIDER_CUDA: an NVIDIA GPU
 *
 * What runs the network.
 *
 * Since: 0.1
 */
typedef enum
{
  GST_COND_INST_SEG_PROVIDER_AUTO,
  GST_COND_INST_SEG_PROVIDER_CPU,
  GST_COND_INST_SEG_PROVIDER_CUDA,
} GstCondInstSegProvider;

/**
 * GstCondInstSegPrecision:
 * @GST_COND_INST_SEG_PRECISION_AUTO: half on a GPU, single on the processor
 * @GST_COND_INST_SEG_PRECISION_FP32: single precision
 * @GST_COND_INST_SEG_PRECISION_FP16: half precision on a GPU, with sums in
 *   single
 *
 * How exactly the network computes.
 *
 * Since: 0.1
 */
typedef enum
{
  GST_COND_INST_SEG_PRECISION_AUTO,
  GST_COND_INST_SEG_PRECISION_FP32,
  GST_COND_INST_SEG_PRECISION_FP16,
} GstCondInstSegPrecision;

/**
 * GstCondInstSegResizeQuality:
 * @GST_COND_INST_SEG_RESIZE_QUALITY_EXACT: antialiased, equal to the picture
 *   that the model was trained on
 * @GST_COND_INST_SEG_RESIZE_QUALITY_FAST: bilinear without antialiasing
 *
 * How frames are brought to the size of the network's input.
 *
 * Since: 0.1
 */
typedef enum
{
  GST_COND_INST_SEG_RESIZE_QUALITY_EXACT,
  GST_COND_INST_SEG_RESIZE_QUALITY_FAST,
} GstCondInstSegResizeQuality;

/**
 * GstCondInstSegRegion:
 * @GST_COND_INST_SEG_REGION_FULL_FRAME: the whole frame at once
 * @GST_COND_INST_SEG_REGION_ROI_LIST: each region of interest that elements
 *   upstream attached to the frame (#GstVideoRegionOfInterestMeta)
 *
 * Where in a frame objects are looked for.
 *
 * Since: 0.1
 */
typedef enum
{
  GST_COND_INST_SEG_REGION_FULL_FRAME,
  GST_COND_INST_SEG_REGION_ROI_LIST,
} GstCondInstSegRegion;

/**
 * GstCondInstSegNms:
 * @GST_COND_INST_SEG_NMS_DEFAULT: as the model's method has it
 * @GST_COND_INST_SEG_NMS_GREEDY: one object after the other, by those of its
 *   class that are kept
 * @GST_COND_INST_SEG_NMS_FAST: all at once, by all of its class (YOLACT)
 * @GST_COND_INST_SEG_NMS_FAST_CROSS_CLASS: all at once, by all of any class
 *   (YOLACT)
 * @GST_COND_INST_SEG_NMS_MATRIX: lowers scores instead of leaving out (SOLO)
 *
 * How objects are left out that others are found in place of.
 *
 * Since: 0.1
 */
typedef enum
{
  GST_COND_INST_SEG_NMS_DEFAULT,
  GST_COND_INST_SEG_NMS_GREEDY,
  GST_COND_INST_SEG_NMS_FAST,
  GST_COND_INST_SEG_NMS_FAST_CROSS_CLASS,
  GST_COND_INST_SEG_NMS_MATRIX,
} GstCondInstSegNms;

typedef enum
{
  COND_INST_PROP_0,
  COND_INST_PROP_MODEL_FILE,
  COND_INST_PROP_CONFIG_FILE,
  COND_INST_PROP_CONFIG_SETTINGS,
  COND_INST_PROP_MODEL_INSTANCE_ID,
  COND_INST_PROP_LABEL_FILE,
  COND_INST_PROP_EXECUTION_PROVIDER,
  COND_INST_PROP_CUDA_DEVICE_ID,
  COND_INST_PROP_PRECISION,
  COND_INST_PROP_MAX_IN_FLIGHT,
  COND_INST_PROP_THREADS,
  COND_INST_PROP_INPUT_WIDTH,
  COND_INST_PROP_INPUT_HEIGHT,
  COND_INST_PROP_MIN_SIZE,
  COND_INST_PROP_MAX_SIZE,
  COND_INST_PROP_RESIZE_QUALITY,
  COND_INST_PROP_FULL_MAP,
  COND_INST_PROP_MASK_RESOLUTION,
  COND_INST_PROP_NMS,
  COND_INST_PROP_INFERENCE_REGION,
  COND_INST_PROP_OBJECT_CLASS,
  COND_INST_PROP_SCORE_THRESHOLD,
  COND_INST_PROP_IOU_THRESHOLD,
  COND_INST_PROP_CROSS_CLASS_IOU_THRESHOLD,
  COND_INST_PROP_MASK_THRESHOLD,
  COND_INST_PROP_MAX_DETECTIONS,
  COND_INST_PROP_SELECTED_TYPES,
  COND_INST_PROP_EXCLUDED_TYPES,
  COND_INST_PROP_INFERENCE_INTERVAL,
  COND_INST_PROP_ATTACH_ROI_META,
  COND_INST_PROP_ATTACH_ANALYTICS_META,
  COND_INST_PROP_POST_MESSAGES,
  COND_INST_PROP_QOS,
  COND_INST_PROP_STATS,         /* read-only and not an option */
  COND_INST_N_PROPS
} CondInstProp;

/* One field per property of the same name; see there. */
typedef struct
{
  /* for the next start */
  gchar *model_file, *config_file, *config_settings, *model_instance_id;
  gchar *label_file;
  gint provider;                /* GstCondInstSegProvider */
  gint cuda_device_id;
  gint precision;               /* GstCondInstSegPrecision */
  gint resize_quality;          /* GstCondInstSegResizeQuality */
  gint region;                  /* GstCondInstSegRegion */
  gint nms;                     /* GstCondInstSegNms */
  guint max_in_flight, threads, input_width, input_height, min_size, max_size;
  guint mask_resolution;
  gboolean full_map;

  /* for the next frame */
  gfloat score_threshold, iou_threshold, cross_class_iou_threshold;
  gfloat mask_threshold;
  guint max_detections, inference_interval;
  gchar *selected_types, *excluded_types, *object_class;
  gboolean attach_roi_meta, attach_analytics_meta, post_messages, qos;
} CondInstOptions;

/* Adds all properties to the class of condinstseg. */
void cond_inst_options_install (GObjectClass * klass);
/* Gives @options, all zero, the defaults of the properties. */
void cond_inst_options_init (CondInstOptions * options);
void cond_inst_options_clear (CondInstOptions * options);
/* What to do in set_property() and get_property(). */
void cond_inst_options_set (CondInstOptions * options, CondInstProp prop,
    const GValue * value);
void cond_inst_options_get (const CondInstOptions * options, CondInstProp prop,
    GValue * value);

G_END_DECLS

#endif
