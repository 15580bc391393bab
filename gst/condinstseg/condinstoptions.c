/* GStreamer instance segmentation
 *
 * condinstoptions.c: what a user can set, and the properties to set it with
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "condinstoptions.h"

#define MAX_INPUT_SIZE 4096
#define MAX_DETECTIONS 1000
#define MAX_THREADS 1024
#define MAX_IN_FLIGHT 4
#define MAX_MASK_RESOLUTION 896

static GParamSpec *specs[COND_INST_N_PROPS];

/* Where the value of a property is. */
static const gsize offsets[COND_INST_N_PROPS] = {
#define FIELD(prop, field) \
  [COND_INST_PROP_##prop] = G_STRUCT_OFFSET (CondInstOptions, field)
  FIELD (MODEL_FILE, model_file),
  FIELD (CONFIG_FILE, config_file),
  FIELD (CONFIG_SETTINGS, config_settings),
  FIELD (MODEL_INSTANCE_ID, model_instance_id),
  FIELD (LABEL_FILE, label_file),
  FIELD (EXECUTION_PROVIDER, provider),
  FIELD (CUDA_DEVICE_ID, cuda_device_id),
  FIELD (PRECISION, precision),
  FIELD (MAX_IN_FLIGHT, max_in_flight),
  FIELD (THREADS, threads),
  FIELD (INPUT_WIDTH, input_width),
  FIELD (INPUT_HEIGHT, input_height),
  FIELD (MIN_SIZE, min_size),
  FIELD (MAX_SIZE, max_size),
  FIELD (RESIZE_QUALITY, resize_quality),
  FIELD (FULL_MAP, full_map),
  FIELD (MASK_RESOLUTION, mask_resolution),
  FIELD (NMS, nms),
  FIELD (INFERENCE_REGION, region),
  FIELD (OBJECT_CLASS, object_class),
  FIELD (SCORE_THRESHOLD, score_threshold),
  FIELD (IOU_THRESHOLD, iou_threshold),
  FIELD (CROSS_CLASS_IOU_THRESHOLD, cross_class_iou_threshold),
  FIELD (MASK_THRESHOLD, mask_threshold),
  FIELD (MAX_DETECTIONS, max_detections),
  FIELD (SELECTED_TYPES, selected_types),
  FIELD (EXCLUDED_TYPES, excluded_types),
  FIELD (INFERENCE_INTERVAL, inference_interval),
  FIELD (ATTACH_ROI_META, attach_roi_meta),
  FIELD (ATTACH_ANALYTICS_META, attach_analytics_meta),
  FIELD (POST_MESSAGES, post_messages),
  FIELD (QOS, qos),
#undef FIELD
};

#define GST_TYPE_COND_INST_SEG_PROVIDER (gst_cond_inst_seg_provider_get_type ())
static GType
gst_cond_inst_seg_provider_get_type (void)
{
  static GType type = 0;
  static const GEnumValue values[] = {
    {GST_COND_INST_SEG_PROVIDER_AUTO,
        "The fastest that this build and machine have", "auto"},
    {GST_COND_INST_SEG_PROVIDER_CPU, "The processor", "cpu"},
    {GST_COND_INST_SEG_PROVIDER_CUDA, "An NVIDIA GPU", "cuda"},
    {0, NULL, NULL}
  };

  if (g_once_init_enter (&type)) {
    GType new_type =
        g_enum_register_static ("GstCondInstSegProvider", values);

    g_once_init_leave (&type, new_type);
  }
  return type;
}

#define GST_TYPE_COND_INST_SEG_PRECISION \
    (gst_cond_inst_seg_precision_get_type ())
static GType
gst_cond_inst_seg_precision_get_type (void)
{
  static GType type = 0;
  static const GEnumValue values[] = {
    {GST_COND_INST_SEG_PRECISION_AUTO,
        "Half on a GPU, single on the processor", "auto"},
    {GST_COND_INST_SEG_PRECISION_FP32, "Single precision", "fp32"},
    {GST_COND_INST_SEG_PRECISION_FP16,
        "Half precision on a GPU, with sums in single", "fp16"},
    {0, NULL, NULL}
  };

  if (g_once_init_enter (&type)) {
    GType new_type =
        g_enum_register_static ("GstCondInstSegPrecision", values);

    g_once_init_leave (&type, new_type);
  }
  return type;
}

#define GST_TYPE_COND_INST_SEG_RESIZE_QUALITY \
    (gst_cond_inst_seg_resize_quality_get_type ())
static GType
gst_cond_inst_seg_resize_quality_get_type (void)
{
  static GType type = 0;
  static const GEnumValue values[] = {
    {GST_COND_INST_SEG_RESIZE_QUALITY_EXACT,
        "Antialiased, as the model was trained", "exact"},
    {GST_COND_INST_SEG_RESIZE_QUALITY_FAST,
        "Bilinear without antialiasing", "fast"},
    {0, NULL, NULL}
  };

  if (g_once_init_enter (&type)) {
    GType new_type =
        g_enum_register_static ("GstCondInstSegResizeQuality", values);

    g_once_init_leave (&type, new_type);
  }
  return type;
}

#define GST_TYPE_COND_INST_SEG_REGION (gst_cond_inst_seg_region_get_type ())
static GType
gst_cond_inst_seg_region_get_type (void)
{
  static GType type = 0;
  static const GEnumValue values[] = {
    {GST_COND_INST_SEG_REGION_FULL_FRAME, "The whole frame", "full-frame"},
    {GST_COND_INST_SEG_REGION_ROI_LIST,
        "The regions of interest attached to the frame", "roi-list"},
    {0, NULL, NULL}
  };

  if (g_once_init_enter (&type)) {
    GType new_type = g_enum_register_static ("GstCondInstSegRegion", values);

    g_once_init_leave (&type, new_type);
  }
  return type;
}

#define GST_TYPE_COND_INST_SEG_NMS (gst_cond_inst_seg_nms_get_type ())
static GType
gst_cond_inst_seg_nms_get_type (void)
{
  static GType type = 0;
  static const GEnumValue values[] = {
    {GST_COND_INST_SEG_NMS_DEFAULT, "As the model's method has it", "default"},
    {GST_COND_INST_SEG_NMS_GREEDY,
        "One by one, by kept objects of the class", "greedy"},
    {GST_COND_INST_SEG_NMS_FAST,
        "All at once, by objects of the class (YOLACT)", "fast"},
    {GST_COND_INST_SEG_NMS_FAST_CROSS_CLASS,
        "All at once, by objects of any class (YOLACT)", "fast-cross-class"},
    {GST_COND_INST_SEG_NMS_MATRIX, "By lowering scores (SOLO)", "matrix"},
    {0, NULL, NULL}
  };

  if (g_once_init_enter (&type)) {
    GType new_type = g_enum_register_static ("GstCondInstSegNms", values);

    g_once_init_leave (&type, new_type);
  }
  return type;
}

static void
make_specs (void)
{
  const GParamFlags ready = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS |
      GST_PARAM_MUTABLE_READY;
  const GParamFlags playing = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS |
      GST_PARAM_MUTABLE_PLAYING;

  /**
   * GstCondInstSeg:model-file:
   *
   * A path, the name of an installed model (looked up in the folders of
   * GST_CONDINST_MODEL_PATH, then in the data folder), or `random:NAME`, a
   * published architecture with made-up weights. Besides our own model files
   * official checkpoints of AdelaiDet (.pth, .pkl) load as they are. %NULL is
   * the small model that is installed with the plugin, or the one of the
   * element with the same #GstCondInstSeg:model-instance-id.
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_MODEL_FILE] =
      g_param_spec_string ("model-file", "Model file",
          "Path of a model or official checkpoint, name of an installed model, "
          "or random:NAME for an architecture with made-up weights (NULL = the "
          "installed condinst-light)", NULL, ready);
  /**
   * GstCondInstSeg:config-file:
   *
   * What the tensors of an official checkpoint cannot tell: a configuration of
   * detectron2 or AdelaiDet (YAML, or JSON with the same keys), or the name of
   * a published one, like `CondInst/MS_R_50_3x`. Rarely needed: tensors tell
   * most of it, the published configurations are known, and a file of the
   * checkpoint's name that ends in .yaml, .yml or .json is read by itself.
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_CONFIG_FILE] =
      g_param_spec_string ("config-file", "Configuration file",
          "Upstream configuration (YAML or JSON) of an official checkpoint, or "
          "the name of a published one (NULL = what fits the tensors)", NULL,
          ready);
  /**
   * GstCondInstSeg:config-settings:
   *
   * Single keys of such a configuration as `KEY=VALUE` with `;` between them,
   * like `MODEL.FCOS.NMS_TH=0.5`. They win over #GstCondInstSeg:config-file.
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_CONFIG_SETTINGS] =
      g_param_spec_string ("config-settings", "Configuration settings",
          "Keys of the upstream configuration as KEY=VALUE, separated by ';' "
          "(NULL = none)", NULL, ready);
  /**
   * GstCondInstSeg:model-instance-id:
   *
   * Elements with the same id run the same model; it is enough that one of
   * them has a #GstCondInstSeg:model-file. Weights are shared between all
   * elements that run the same file, with or without an id. The id is also the
   * source of the attached metadata, instead of the model's name.
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_MODEL_INSTANCE_ID] =
      g_param_spec_string ("model-instance-id", "Model instance id",
          "Elements with the same id run the model-file that one of them has; "
          "also names the source of the metadata", NULL, ready);
  /**
   * GstCondInstSeg:label-file:
   *
   * A text file with one label per line, in the order of the model's classes,
   * to be used instead of the names in the model.
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_LABEL_FILE] =
      g_param_spec_string ("label-file", "Label file",
          "Text file with one label per class and line (NULL = the model's "
          "own labels)", NULL, ready);
  /**
   * GstCondInstSeg:execution-provider:
   *
   * With `auto` the network runs on a GPU if there is one that it can run on,
   * otherwise on the processor, and a warning in the log says why; so does
   * `fallback-reason` in #GstCondInstSeg:stats. With `cuda` the element does
   * not start without a GPU.
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_EXECUTION_PROVIDER] =
      g_param_spec_enum ("execution-provider", "Execution provider",
          "What runs the network", GST_TYPE_COND_INST_SEG_PROVIDER,
          GST_COND_INST_SEG_PROVIDER_AUTO, ready);
  /**
   * GstCondInstSeg:cuda-device-id:
   *
   * Frames in the memory of another GPU than this one go through the host's
   * memory.
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_CUDA_DEVICE_ID] =
      g_param_spec_int ("cuda-device-id", "CUDA device",
          "GPU to run the network on (-1 = the one that the frames are on, or "
          "the first that can be used)", -1, G_MAXINT, -1, ready);
  /**
   * GstCondInstSeg:precision:
   *
   * The processor computes in single precision, whatever is asked for.
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_PRECISION] =
      g_param_spec_enum ("precision", "Precision",
          "How exactly a GPU computes", GST_TYPE_COND_INST_SEG_PRECISION,
          GST_COND_INST_SEG_PRECISION_AUTO, ready);
  /**
   * GstCondInstSeg:max-in-flight:
   *
   * A GPU is busy only if it has the next frame while it works on one. So a
   * frame goes on when this many have come, itself included, or when the stream
   * ends, pauses or changes; live pipelines are told of it. 1 hands on each
   * frame before the next one comes, as the processor always does, and as it is
   * done with #GstCondInstSeg:inference-region `roi-list`.
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_MAX_IN_FLIGHT] =
      g_param_spec_uint ("max-in-flight", "Maximum in flight",
          "Frames that a GPU works on at once; each beyond the first adds a "
          "frame of latency", 1, MAX_IN_FLIGHT, 2, ready);
  /**
   * GstCondInstSeg:threads:
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_THREADS] =
      g_param_spec_uint ("threads", "Threads",
          "Number of the processor's threads that run the network (0 = one "
          "per core)", 0,
          MAX_THREADS, 0, ready);
  /**
   * GstCondInstSeg:input-width:
   *
   * With #GstCondInstSeg:input-height the box that frames are fitted into,
   * keeping their shape, before they go into the network. Used instead of
   * #GstCondInstSeg:min-size and #GstCondInstSeg:max-size.
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_INPUT_WIDTH] =
      g_param_spec_uint ("input-width", "Input width",
          "Frames are scaled to fit into input-width x input-height (0 = by "
          "min-size and max-size)", 0, MAX_INPUT_SIZE, 0, ready);
  /**
   * GstCondInstSeg:input-height:
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_INPUT_HEIGHT] =
      g_param_spec_uint ("input-height", "Input height",
          "Frames are scaled to fit into input-width x input-height (0 = by "
          "min-size and max-size)", 0, MAX_INPUT_SIZE, 0, ready);
  /**
   * GstCondInstSeg:min-size:
   *
   * Frames are scaled until their short side has this many pixels, or their
   * long side #GstCondInstSeg:max-size.
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_MIN_SIZE] =
      g_param_spec_uint ("min-size", "Minimum size",
          "Short side of the scaled frame, in pixels (0 = the model's own)",
          0, MAX_INPUT_SIZE, 0, ready);
  /**
   * GstCondInstSeg:max-size:
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_MAX_SIZE] =
      g_param_spec_uint ("max-size", "Maximum size",
          "Limit for the long side of the scaled frame, in pixels (0 = the "
          "model's own)", 0, MAX_INPUT_SIZE, 0, ready);
  /**
   * GstCondInstSeg:resize-quality:
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_RESIZE_QUALITY] =
      g_param_spec_enum ("resize-quality", "Resize quality",
          "How frames are scaled to the network's input",
          GST_TYPE_COND_INST_SEG_RESIZE_QUALITY,
          GST_COND_INST_SEG_RESIZE_QUALITY_EXACT, ready);
  /**
   * GstCondInstSeg:full-map:
   *
   * Masks normally cover their box and a margin. With this they cover the
   * frame, as in the authors' implementation, at a price.
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_FULL_MAP] =
      g_param_spec_boolean ("full-map", "Full map",
          "Compute masks all over the frame instead of only around their box",
          FALSE, ready);
  /**
   * GstCondInstSeg:mask-resolution:
   *
   * PointRend draws masks of 28 cells a side twice as finely, as often as it
   * takes: 28, 56, 112, 224 (its own choice), 448, 896. Each step costs about
   * the same time. Masks of other methods have the resolution that the network
   * gives them; choosing one is an error.
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_MASK_RESOLUTION] =
      g_param_spec_uint ("mask-resolution", "Mask resolution",
          "Cells along a side of an object's mask, of methods that can choose: "
          "PointRend, 28 to 896, each twice the one before (0 = the model's "
          "own)", 0, MAX_MASK_RESOLUTION, 0, ready);
  /**
   * GstCondInstSeg:nms:
   *
   * YOLACT has `fast` (its own choice), `fast-cross-class` and `greedy`, SOLO
   * `matrix`, all others `greedy`. Choosing one that the model's method has not
   * is an error.
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_NMS] =
      g_param_spec_enum ("nms", "NMS",
          "How objects are left out in whose place others are found",
          GST_TYPE_COND_INST_SEG_NMS, GST_COND_INST_SEG_NMS_DEFAULT, ready);
  /**
   * GstCondInstSeg:inference-region:
   *
   * With `roi-list` objects are looked for in the regions of interest that
   * elements upstream attached to a frame (#GstVideoRegionOfInterestMeta), one
   * run of the network per region; a frame without any has no objects. Each
   * region is scaled to fit into #GstCondInstSeg:input-width x
   * #GstCondInstSeg:input-height or, without them, into the input that a whole
   * frame would get. Objects that overlapping regions share count once.
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_INFERENCE_REGION] =
      g_param_spec_enum ("inference-region", "Inference region",
          "Where in a frame to look for objects",
          GST_TYPE_COND_INST_SEG_REGION, GST_COND_INST_SEG_REGION_FULL_FRAME,
          ready);
  /**
   * GstCondInstSeg:object-class:
   *
   * With #GstCondInstSeg:inference-region `roi-list` the types of the regions
   * to look into, with `;` between them.
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_OBJECT_CLASS] =
      g_param_spec_string ("object-class", "Object class",
          "With inference-region=roi-list: types of the regions to look into, "
          "separated by ';' (NULL = all)", NULL, playing);

  /**
   * GstCondInstSeg:score-threshold:
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_SCORE_THRESHOLD] =
      g_param_spec_float ("score-threshold", "Score threshold",
          "Objects with a lower score are left out (-1 = the model's own "
          "threshold)", -1, 1, -1,
          playing | GST_PARAM_CONTROLLABLE);
  /**
   * GstCondInstSeg:iou-threshold:
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_IOU_THRESHOLD] =
      g_param_spec_float ("iou-threshold", "IoU threshold",
          "Of two objects of a class whose boxes overlap more, the one with "
          "the lower score is left out (-1 = the model's own threshold)", -1,
          1, -1, playing | GST_PARAM_CONTROLLABLE);
  /**
   * GstCondInstSeg:cross-class-iou-threshold:
   *
   * The official code lets one object be found as several classes at once. A
   * value like 0.8 leaves the best of them, and still a rider on a bicycle.
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_CROSS_CLASS_IOU_THRESHOLD] =
      g_param_spec_float ("cross-class-iou-threshold",
          "Cross-class IoU threshold",
          "The same for two objects of different classes (0 = they do not "
          "exclude each other, -1 = the model's own threshold)", -1, 1, -1,
          playing | GST_PARAM_CONTROLLABLE);
  /**
   * GstCondInstSeg:mask-threshold:
   *
   * The probability from which a pixel belongs to an object. Whoever reads the
   * metadata goes by 0.5, so with another value the probabilities in it are
   * bent: those below the threshold linearly to 0 to 0.5, those above it to
   * 0.5 to 1.
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_MASK_THRESHOLD] =
      g_param_spec_float ("mask-threshold", "Mask threshold",
          "Probability from which a pixel belongs to an object", 0, 1,
          0.5, playing | GST_PARAM_CONTROLLABLE);
  /**
   * GstCondInstSeg:max-detections:
   *
   * The objects with the highest scores are kept. Changing it while playing
   * beyond what it was set to before makes the network anew, which delays one
   * frame.
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_MAX_DETECTIONS] =
      g_param_spec_uint ("max-detections", "Maximum detections",
          "Most objects per frame (0 = the model's own limit)", 0,
          MAX_DETECTIONS, 0, playing);
  /**
   * GstCondInstSeg:selected-types:
   *
   * Classes to look for, as labels or indices with `;` between them. Objects
   * of other classes cost no time after the network.
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_SELECTED_TYPES] =
      g_param_spec_string ("selected-types", "Selected types",
          "Labels or indices of the classes to look for, separated by ';' "
          "(NULL = all)", NULL, playing);
  /**
   * GstCondInstSeg:excluded-types:
   *
   * Classes not to look for, as labels or indices with `;` between them; wins
   * over #GstCondInstSeg:selected-types.
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_EXCLUDED_TYPES] =
      g_param_spec_string ("excluded-types", "Excluded types",
          "Labels or indices of classes to leave out, separated by ';' "
          "(NULL = none)", NULL, playing);
  /**
   * GstCondInstSeg:inference-interval:
   *
   * With N every N-th frame is inferred; the frames between carry the objects
   * of the last inferred one, marked as predicted.
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_INFERENCE_INTERVAL] =
      g_param_spec_uint ("inference-interval", "Inference interval",
          "Infer every N-th frame; the others carry its objects, marked as "
          "predicted (1 = every frame)", 1, G_MAXUINT,
          1, playing);
  /**
   * GstCondInstSeg:attach-roi-meta:
   *
   * Attach a #GstVideoRegionOfInterestMeta per object too: the box rounded to
   * pixels, and a `detection` structure with #gdouble x_min, x_max, y_min,
   * y_max (0 to 1), #gdouble confidence and #gint label_id.
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_ATTACH_ROI_META] =
      g_param_spec_boolean ("attach-roi-meta", "Attach ROI meta",
          "Attach the boxes as GstVideoRegionOfInterestMeta, too", FALSE,
          playing);
  /**
   * GstCondInstSeg:attach-analytics-meta:
   *
   * Attach the objects as GstAnalyticsRelationMeta too, for elements that know
   * nothing of #GstInstanceMaskMeta: an object detection each and, from
   * GStreamer 1.26 on, a segmentation with the mask at the frame's resolution,
   * which costs time per pixel of the object. Needs a build against GStreamer
   * 1.24 or later; others post a warning.
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_ATTACH_ANALYTICS_META] =
      g_param_spec_boolean ("attach-analytics-meta", "Attach analytics meta",
          "Attach the objects as GstAnalyticsRelationMeta, too (with GStreamer "
          ">= 1.24)", FALSE, playing);
  /**
   * GstCondInstSeg:post-messages:
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_POST_MESSAGES] =
      g_param_spec_boolean ("post-messages", "Post messages",
          "Post an element message with the number of objects per class for "
          "each frame", FALSE, playing);
  /**
   * GstCondInstSeg:qos:
   *
   * Pass frames that would come too late on without inference. None is ever
   * dropped here.
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_QOS] =
      g_param_spec_boolean ("qos", "QoS",
          "Pass late frames on without inference, with the objects of an "
          "earlier frame", TRUE, playing);
  /**
   * GstCondInstSeg:stats:
   *
   * What happened since the element started:
   *
   * * #guint64 `frames`, `inferred`, `skipped`: frames that passed, of these
   *   the inferred ones and those that were too late for it
   * * #gdouble `fps`: frames per second that passed
   * * #GstStructure `preprocess`, `network`, `decode`, `masks`, `total`: what
   *   an inferred frame takes, as #gdouble `last-ms`, `mean-ms` and `p95-ms`
   * * #GstClockTime `latency`: what the pipeline is told
   * * string `execution-provider` (`cpu` or `cuda`; also as `provider`),
   *   `device`, `precision`, `model`, `input-size`: what runs, and where
   * * string `fallback-reason`: if #GstCondInstSeg:execution-provider is `auto`
   *   and no GPU can be used, why
   *
   * `fps`, `mean-ms` and `p95-ms` are about the latest 256 frames.
   *
   * Since: 0.1
   */
  specs[COND_INST_PROP_STATS] =
      g_param_spec_boxed ("stats", "Statistics",
          "Frames, speed and times per stage", GST_TYPE_STRUCTURE,
          G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
}

void
cond_inst_options_install (GObjectClass * klass)
{
  make_specs ();
  g_object_class_install_properties (klass, COND_INST_N_PROPS, specs);
  gst_type_mark_as_plugin_api (GST_TYPE_COND_INST_SEG_PROVIDER, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_COND_INST_SEG_PRECISION, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_COND_INST_SEG_RESIZE_QUALITY, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_COND_INST_SEG_REGION, 0);
}

void
cond_inst_options_init (CondInstOptions * options)
{
  for (guint i = 1; i < COND_INST_N_PROPS; i++)
    if (specs[i]->flags & G_PARAM_WRITABLE)
      cond_inst_options_set (options, i,
          g_param_spec_get_default_value (specs[i]));
}

void
cond_inst_options_clear (CondInstOptions * options)
{
  for (guint i = 1; i < COND_INST_N_PROPS; i++)
    if (G_IS_PARAM_SPEC_STRING (specs[i]))
      g_clear_pointer (&G_STRUCT_MEMBER (gchar *, options, offsets[i]),
          g_free);
}

void
cond_inst_options_set (CondInstOptions * options, CondInstProp prop,
    const GValue * value)
{
  gpointer field = G_STRUCT_MEMBER_P (options, offsets[prop]);

  switch (G_TYPE_FUNDAMENTAL (specs[prop]->value_type)) {
    case G_TYPE_STRING:
      g_free (*(gchar **) field);
      *(gchar **) field = g_value_dup_string (value);
      break;
    case G_TYPE_ENUM:
      *(gint *) field = g_value_get_enum (value);
      break;
    case G_TYPE_INT:
      *(gint *) field = g_value_get_int (value);
      break;
    case G_TYPE_UINT:
      *(guint *) field = g_value_get_uint (value);
      break;
    case G_TYPE_FLOAT:
      *(gfloat *) field = g_value_get_float (value);
      break;
    case G_TYPE_BOOLEAN:
      *(gboolean *) field = g_value_get_boolean (value);
      break;
    default:
      g_assert_not_reached ();
  }
}

void
cond_inst_options_get (const CondInstOptions * options, CondInstProp prop,
    GValue * value)
{
  gconstpointer field = G_STRUCT_MEMBER_P (options, offsets[prop]);

  switch (G_TYPE_FUNDAMENTAL (specs[prop]->value_type)) {
    case G_TYPE_STRING:
      g_value_set_string (value, *(gchar * const *) field);
      break;
    case G_TYPE_ENUM:
      g_value_set_enum (value, *(const gint *) field);
      break;
    case G_TYPE_INT:
      g_value_set_int (value, *(const gint *) field);
      break;
    case G_TYPE_UINT:
      g_value_set_uint (value, *(const guint *) field);
      break;
    case G_TYPE_FLOAT:
      g_value_set_float (value, *(const gfloat *) field);
      break;
    case G_TYPE_BOOLEAN:
      g_value_set_boolean (value, *(const gboolean *) field);
      break;
    default:
      g_assert_not_reached ();
  }
}
