/*
 * models.h: model files in, instances out; the only header of models/ that
 * others include (with kernels.h for images and thresholds).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_MODELS_H
#define CI_MODELS_H

#include "../kernels/kernels.h"

G_BEGIN_DECLS

/* ---- safetensors ------------------------------------------------------ */

/**
 * CiSafetensors: a memory-mapped, read-only safetensors file. Every offset,
 * shape product and dtype is checked when the file is opened, so the views
 * that it gives out can be trusted.
 */
typedef struct _CiSafetensors CiSafetensors;

CiSafetensors *ci_safetensors_open (const gchar * path, GError ** error);
/** The same over memory that must outlive it (@name is for messages). */
CiSafetensors *ci_safetensors_parse (const guint8 * data, gsize size,
    const gchar * name, GError ** error);
void ci_safetensors_free (CiSafetensors * file);
/** Tensor called @name, a view into the file; FALSE if there is none. */
gboolean ci_safetensors_lookup (const CiSafetensors * file,
    const gchar * name, CiTensor * out);
/** Names of all tensors, sorted, NULL-terminated; borrowed. */
const gchar *const *ci_safetensors_get_names (const CiSafetensors * file);
/** The string @key of `__metadata__`, or NULL. */
const gchar *ci_safetensors_get_metadata (const CiSafetensors * file,
    const gchar * key);
/** Writes @n tensors, wide dtypes first, so that each is aligned for its own
 * without holes (the official reader refuses holes); @metadata: NULL or key,
 * value, ..., NULL. An existing file is replaced by renaming. */
gboolean ci_safetensors_write (const gchar * path, const gchar * const *names,
    const CiTensor * tensors, gint n, const gchar * const *metadata,
    GError ** error);

/* ---- models ----------------------------------------------------------- */

/**
 * CiModel: weights, architecture and class names of one model; immutable,
 * reference counted, thread safe. Loading the same file twice gives the same
 * object (and so one copy of the packed weights) as long as it is in use.
 */
typedef struct _CiModel CiModel;

/**
 * @spec: a path, the name of an installed model ("condinst-light"), or
 * "random:NAME" for a published architecture with made-up weights
 * ("random:condinst-r50"); NULL = the default model. Names are looked up in
 * GST_CONDINST_MODEL_PATH, then in the data directory.
 */
CiModel *ci_model_load (const gchar * spec, GError ** error);
/**
 * The same with what else is known of the model. Files of ours describe
 * themselves; of official checkpoints (.pth, .pkl), tensors tell what the
 * network is, and these, in ascending precedence, what tensors do not tell:
 * upstream's defaults, the published configurations that have such tensors, a
 * configuration beside the file (NAME.yaml, .yml or .json for NAME.pth) if
 * @config_file is NULL, else that one, @settings. What has such a name but is
 * no configuration is warned of and left out.
 *
 * @config_file: NULL, a configuration of detectron2 or AdelaiDet (YAML, or the
 * same nest of keys as JSON), or the name of a published one
 * ("CondInst/MS_R_50_3x"). @settings: NULL or strings "KEY=VALUE", NULL at the
 * end; the last one wins. Keys that contradict the tensors are errors, those
 * that mean nothing here are ignored.
 */
CiModel *ci_model_load_full (const gchar * spec, const gchar * config_file,
    const gchar * const *settings, GError ** error);
CiModel *ci_model_ref (CiModel * model);
void ci_model_unref (CiModel * model);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CiModel, ci_model_unref)

const gchar *ci_model_get_name (const CiModel * model);
/** File it came from; NULL for random models. */
const gchar *ci_model_get_path (const CiModel * model);
/** "condinst", "fcos", "blendmask", "yolact". */
const gchar *ci_model_get_architecture (const CiModel * model);
guint ci_model_get_n_classes (const CiModel * model);
/** Name of class @index; never NULL for index < n_classes. */
const gchar *ci_model_get_class_name (const CiModel * model, guint index);
/** The score (sqrt (cls * ctr)) from which showing a detection makes sense. */
gfloat ci_model_get_score_threshold (const CiModel * model);
/** IoU threshold of its NMS. */
gfloat ci_model_get_nms_threshold (const CiModel * model);
/** Default test sizes: short side and longest side, pixels. */
void ci_model_get_test_size (const CiModel * model, gint * min_size,
    gint * max_size);
/** Everything known of the model as a JSON object (path, format, published
 * configurations that it is recognised as, what else it was configured by,
 * parameters count, input, backbone, fpn, fcos, condinst or blendmask,
 * inference, classes); free with g_free. */
gchar *ci_model_to_json (const CiModel * model);
/** Writes @model as a safetensors file that describes itself: the tensors that
 * its network needs, under their names, and its description. @half: weights of
 * convolutions as F16. An existing file is replaced by renaming. */
gboolean ci_model_save (const CiModel * model, const gchar * path,
    gboolean half, GError ** error);

/* ---- sessions --------------------------------------------------------- */

typedef struct
{
  CiBackend backend;
  gint threads;                 /* 0 = one per core */
  gint min_size, max_size;      /* 0 = the model's own */
  gint input_width, input_height;       /* both > 0: fit the frame into this box
                                           instead of min_size / max_size */
  CiResizeQuality resize;
  gint max_detections;          /* capacity; 0 = the model's post_nms_top_k */
  gboolean full_map;            /* mask cells outside the boxes, too */
  gboolean for_regions;         /* the input is input_width x input_height for
                                   frames of any shape, so that regions of any
                                   shape fit */
  gboolean keep_tensors;        /* named tensors stay readable (dump) */
  CiDevice *device;             /* runs there, whatever @backend says; the
                                   session takes a reference; NULL = the CPU */
  CiPrecision precision;        /* of a device; the CPU computes FP32 */
  gint max_in_flight;           /* of a device: frames submitted and not yet
                                   collected, 0 = one batch; the CPU has 1 */
  gint batch;                   /* of a device: frames that are computed
                                   together, up to CI_MAX_BATCH; 0 = 1 */
  CiNms nms;                    /* default: the method's own */
  gint mask_resolution;         /* of the mask of an object, cells a side, of
                                   methods that can choose (PointRend: 28 to
                                   896, powers of two apart); 0 = the model's
                                   own */
} CiSessionOptions;

/** CPU, all cores, the model's sizes, exact resize, masks in boxes. */
#define CI_SESSION_OPTIONS_INIT { CI_BACKEND_CPU }

/**
 * CiInstance: one found object, in pixels of the frame. Grid cell (i, j) has
 * its centre at (i + 0.5, j + 0.5) in grid coordinates u, v; the frame's
 * position is x = offset_x + scale_x * u, y = offset_y + scale_y * v.
 */
typedef struct
{
  gfloat x0, y0, x1, y1;        /* clipped to the frame */
  gfloat score;
  gint class_id;
  gint grid_width, grid_height;
  const guint8 *grid;           /* probability * 255, dense rows; NULL: no
                                   mask */
  gfloat offset_x, offset_y, scale_x, scale_y;
  gint detection;               /* its index in the plan's detections */
} CiInstance;

typedef struct
{
  gint64 preprocess_ns, network_ns, decode_ns, masks_ns;
} CiSessionTimes;

/**
 * CiSession: a model made ready to run on frames of one format. Not thread
 * safe; any number of sessions share one model.
 */
typedef struct _CiSession CiSession;

/** Nicks of CiNms, NULL at their end: default, greedy, fast, fast-cross-class,
 * matrix. */
extern const gchar *const ci_nms_names[];

/** Keeps a reference to @model. INVALID_ARGUMENT: NMS or a resolution of masks
 * that its method has not. */
CiSession *ci_session_new (CiModel * model, const CiSessionOptions * options,
    GError ** error);
void ci_session_free (CiSession * session);
/** Compiles for frames of @format; plans of formats seen before are reused.
 * On failure the session keeps its former state. INVALID_ARGUMENT while frames
 * are in flight. */
gboolean ci_session_configure (CiSession * session,
    const CiImageFormat * format, GError ** error);
/** Fills @params with the model's defaults for inference (threshold 0.05). */
void ci_session_get_detect_params (const CiSession * session,
    CiDetectParams * params);
/** Makes @params ask for instances of a score from @threshold on, also below
 * the model's own limits. */
void ci_session_set_score_threshold (const CiSession * session,
    CiDetectParams * params, gfloat threshold);
/**
 * Runs one frame. @params: NULL = the defaults. @instances: array of @n, owned
 * by the session, valid until the next run; descending score. Boxes that are
 * empty after clipping are left out.
 */
gboolean ci_session_run (CiSession * session, const CiImage * image,
    const CiDetectParams * params, const CiInstance ** instances, gint * n,
    GError ** error);

/** A rectangle of the frame, pixels; what lies outside the frame is ignored. */
typedef struct
{
  gint x, y, width, height;
} CiRegion;

/** As ci_session_run(), but looks only into @region (NULL: the whole frame),
 * which is scaled to fit into the input that was made for the frame, so that
 * no region needs a plan of its own. Instances are in pixels of the frame and
 * clipped to the region (of 4:2:0 frames: grown to whole chroma samples).
 * INVALID_ARGUMENT if no pixel of the frame is in it. */
gboolean ci_session_run_region (CiSession * session, const CiImage * image,
    const CiRegion * region, const CiDetectParams * params,
    const CiInstance ** instances, gint * n, GError ** error);

/**
 * The same in two halves, so that a device works on frames while others are
 * made ready: submit() hands over @image, or @region of it if that is not NULL;
 * collect() waits for the frame that was submitted first of those not yet
 * collected. The CPU does all its work in submit(). What is on the device has
 * to stay until the frame is collected, what is in the host's memory until
 * submit() returns. INVALID_ARGUMENT if max_in_flight frames are in flight
 * already, or none; of ci_session_run() if any is. A frame whose collect()
 * failed is no longer in flight.
 */
gboolean ci_session_submit (CiSession * session, const CiImage * image,
    const CiRegion * region, const CiDetectParams * params, GError ** error);
gboolean ci_session_collect (CiSession * session,
    const CiInstance ** instances, gint * n, GError ** error);
gint ci_session_get_in_flight (const CiSession * session);
/**
 * Mask of @instance at the frame's (or region's) size by the official chain
 * (CondInst: needs full_map): height x width bytes, 0 or 1. INVALID_ARGUMENT
 * if it has none, as all of FCOS.
 */
gboolean ci_session_paste_mask (CiSession * session,
    const CiInstance * instance, gfloat threshold, guint8 * dst,
    GError ** error);
void ci_session_get_times (const CiSession * session, CiSessionTimes * out);
/** Sizes of the last configured format: resized frame and padded input. */
void ci_session_get_input_size (const CiSession * session,
    gint * resized_width, gint * resized_height, gint * padded_width,
    gint * padded_height);
/** GFLOP of one frame's convolutions. */
gdouble ci_session_get_gflop (const CiSession * session);
/** With keep_tensors and full_map: writes `input`, `feat.*`, `head.*`,
 * `mask.feats` or `mask.bases`, `pre.*`, `det.*`, `mask.bits`, ... of the last
 * run as safetensors. */
gboolean ci_session_dump (CiSession * session, const gchar * path,
    GError ** error);

G_END_DECLS

#endif /* CI_MODELS_H */
