/*
 * frame.c: the way of a frame: upload, the captured graph, results; and how
 * several of them are in flight at once.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cuda.h"

#include "../preprocess_priv.h"

#define MAX_SLOTS 8
/* Stages change a few times in a plan. */
#define MAX_MARKS 16

typedef enum
{
  STAGE_PREPROCESS,
  STAGE_NETWORK,
  STAGE_DECODE,
  STAGE_MASKS,
  N_STAGES
} Stage;

/* Memory that grows: pinned host memory, device memory, or both as a pair. */
typedef struct
{
  guint8 *host, *device;
  gsize bytes;
} Pair;

/* A frame in flight. */
typedef struct
{
  Pair settings;                /* CiFrameSettings, then those of
                                   pre-processing */
  Pair staging;                 /* the planes of a frame of the host's */
  guint8 *results;              /* pinned */
  guint64 tables;               /* of pre-processing that the device has */
  cudaGraphExec_t graph;
  cudaEvent_t uploaded, done;
  cudaEvent_t marks[MAX_MARKS]; /* ends of stages; the first: the beginning */
  Stage stages[MAX_MARKS];
  gint n_marks;
} Slot;

struct _CiCudaFrames
{
  Slot slots[MAX_SLOTS];
  gint n_slots, first, n_used;
  cudaStream_t upload;
};

static gsize
settings_offset (void)
{
  return ci_cuda_align (sizeof (CiFrameSettings));
}

/* ---- memory ------------------------------------------------------------ */

static void
pair_clear (Pair * pair)
{
  if (pair->host)
    cudaFreeHost (pair->host);
  if (pair->device)
    cudaFree (pair->device);
  *pair = (Pair) {
  0};
}

static gboolean
alloc_pinned (gpointer * out, gsize n_bytes, GError ** error)
{
  g_autofree gchar *what = g_strdup_printf ("%" G_GSIZE_FORMAT
      " bytes of pinned memory", n_bytes);

  /* results are written there by kernels, whatever the context */
  return ci_cuda_ok (cudaHostAlloc (out, MAX (n_bytes, 1),
          cudaHostAllocMapped | cudaHostAllocPortable), what, error);
}

/* TRUE in @grown if addresses changed. */
static gboolean
pair_grow (CiPlan * plan, Pair * pair, gsize n_bytes, gboolean host,
    gboolean * grown, GError ** error)
{
  if (n_bytes <= pair->bytes)
    return TRUE;
  *grown = TRUE;
  pair_clear (pair);
  if (!(pair->device = ci_cuda_alloc (ci_cuda_plan (plan)->device, n_bytes,
              error))
      || (host && !alloc_pinned ((gpointer *) & pair->host, n_bytes, error))) {
    pair_clear (pair);
    return FALSE;
  }
  pair->bytes = n_bytes;
  return TRUE;
}

/* ---- opening ----------------------------------------------------------- */

static void
slot_clear (Slot * slot)
{
  pair_clear (&slot->settings);
  pair_clear (&slot->staging);
  if (slot->results)
    cudaFreeHost (slot->results);
  if (slot->graph)
    cudaGraphExecDestroy (slot->graph);
  if (slot->uploaded)
    cudaEventDestroy (slot->uploaded);
  if (slot->done)
    cudaEventDestroy (slot->done);
  for (gint i = 0; i < MAX_MARKS; i++)
    if (slot->marks[i])
      cudaEventDestroy (slot->marks[i]);
}

static gboolean
slot_init (CiPlan * plan, Slot * slot, GError ** error)
{
  gboolean grown;

  if (!pair_grow (plan, &slot->settings, settings_offset (), TRUE, &grown,
          error)
      || !alloc_pinned ((gpointer *) & slot->results,
          ci_cuda_results_bytes (plan), error)
      || !ci_cuda_ok (cudaEventCreateWithFlags (&slot->uploaded,
              cudaEventDisableTiming), "cudaEventCreate", error)
      /* whoever waits sleeps: decoders need the cores */
      || !ci_cuda_ok (cudaEventCreateWithFlags (&slot->done,
              cudaEventDisableTiming | cudaEventBlockingSync),
          "cudaEventCreate", error))
    return FALSE;
  memset (slot->results, 0, ci_cuda_results_bytes (plan));
  for (gint i = 0; i < MAX_MARKS; i++)
    if (!ci_cuda_ok (cudaEventCreateWithFlags (&slot->marks[i],
                cudaEventDefault), "cudaEventCreate", error))
      return FALSE;
  return TRUE;
}

/* The end of @stage, here in the stream. */
static gboolean
mark (CiPlan * plan, Slot * slot, Stage stage, gboolean captured,
    GError ** error)
{
  slot->stages[slot->n_marks] = stage;
  return ci_cuda_ok (cudaEventRecordWithFlags (slot->marks[slot->n_marks++],
          ci_cuda_plan (plan)->stream, captured ? cudaEventRecordExternal :
          cudaEventRecordDefault), "cudaEventRecord", error);
}

static Stage
stage_of (const CiStep * step)
{
  switch (step->node->kind) {
    case CI_KIND_MAP:
      return STAGE_NETWORK;
    case CI_KIND_DETECTIONS:
      return STAGE_DECODE;
    default:
      return STAGE_MASKS;
  }
}

/* All kernels of a frame, from its planes (@captured) or from the planar input
 * to the results. */
static gboolean
enqueue (CiPlan * plan, Slot * slot, gboolean captured, GError ** error)
{
  CiCudaPlan *cuda = ci_cuda_plan (plan);

  cuda->settings = (const CiFrameSettings *) slot->settings.device;
  slot->n_marks = 0;
  if (!mark (plan, slot, STAGE_PREPROCESS, captured, error))
    return FALSE;
  for (gint i = 0; i < plan->n_steps; i++) {
    CiStep *step = &plan->steps[i];
    Stage stage = stage_of (step);
    gboolean last = i + 1 == plan->n_steps, ok;

    if (step->node->op == CI_OP_INPUT) {
      ok = captured ? ci_cuda_enqueue_preprocess (plan,
          slot->settings.device + settings_offset (),
          ci_cuda_view (plan, step->value), error)
          : step->run (plan, step, error);
      if (!ok || !mark (plan, slot, STAGE_PREPROCESS, captured, error))
        return FALSE;
      continue;
    }
    if (!step->run (plan, step, error))
      return FALSE;
    if (last && !ci_cuda_enqueue_results (plan, error))
      return FALSE;
    if ((last || stage_of (step + 1) != stage)
        && slot->n_marks + last < MAX_MARKS
        && !mark (plan, slot, stage, captured, error))
      return FALSE;
  }
  return TRUE;
}

/* Under the device's lock. */
static gboolean
capture (CiPlan * plan, Slot * slot, GError ** error)
{
  CiCudaPlan *cuda = ci_cuda_plan (plan);
  cudaGraph_t graph = NULL;
  gboolean ok;

  if (slot->graph)
    cudaGraphExecDestroy (slot->graph);
  slot->graph = NULL;
  if (!ci_cuda_ok (cudaStreamBeginCapture (cuda->stream,
              cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture",
          error))
    return FALSE;
  ok = enqueue (plan, slot, TRUE, error);
  /* the first failure counts */
  ok = ci_cuda_ok (cudaStreamEndCapture (cuda->stream, &graph),
      "cudaStreamEndCapture", ok ? error : NULL) && ok;
  if (ok)
    ok = ci_cuda_ok (cudaGraphInstantiate (&slot->graph, graph, 0),
        "cudaGraphInstantiate", error)
        && ci_cuda_ok (cudaGraphUpload (slot->graph, cuda->stream),
        "cudaGraphUpload", error);
  if (graph)
    cudaGraphDestroy (graph);
  if (!ok && slot->graph) {
    cudaGraphExecDestroy (slot->graph);
    slot->graph = NULL;
  }
  return ok;
}

gboolean
ci_cuda_frames_open (CiPlan * plan, GError ** error)
{
  CiCudaPlan *cuda = ci_cuda_plan (plan);
  struct _CiCudaFrames *frames = cuda->frames =
      g_new0 (struct _CiCudaFrames, 1);
  gsize input_bytes = 0;

  for (gint i = 0; i < plan->n_steps; i++)
    if (plan->steps[i].node->op == CI_OP_INPUT) {
      const CiMap *map = ci_plan_map (plan, plan->steps[i].value);

      input_bytes = (gsize) map->c * map->h * map->w * sizeof (float);
    }
  frames->n_slots = MIN (plan->max_in_flight, MAX_SLOTS);
  plan->max_in_flight = frames->n_slots;
  if (!(cuda->input = ci_cuda_plan_alloc (plan, input_bytes, error))
      || !ci_cuda_ok (cudaStreamCreateWithFlags (&frames->upload,
              cudaStreamNonBlocking), "cudaStreamCreate", error))
    return FALSE;
  for (gint i = 0; i < frames->n_slots; i++)
    if (!slot_init (plan, &frames->slots[i], error))
      return FALSE;
  /* Once without a graph, on zeros: whatever is loaded on first use is there
   * before anything is captured. The settings are zeros: nothing is found. */
  ((CiFrameSettings *) frames->slots[0].settings.host)->results =
      frames->slots[0].results;
  return ci_cuda_ok (cudaMemcpyAsync (frames->slots[0].settings.device,
          frames->slots[0].settings.host, sizeof (CiFrameSettings),
          cudaMemcpyHostToDevice, cuda->stream), "uploading settings", error)
      && enqueue (plan, &frames->slots[0], FALSE, error)
      && ci_cuda_ok (cudaStreamSynchronize (cuda->stream), "a first run",
      error);
}

void
ci_cuda_frames_close (CiPlan * plan)
{
  CiCudaPlan *cuda = ci_cuda_plan (plan);

  if (!cuda->frames)
    return;
  for (gint i = 0; i < MAX_SLOTS; i++)
    slot_clear (&cuda->frames->slots[i]);
  if (cuda->frames->upload)
    cudaStreamDestroy (cuda->frames->upload);
  g_clear_pointer (&cuda->frames, g_free);
}

/* ---- frames ------------------------------------------------------------ */

static void
fill_settings (const CiPlan * plan, const Slot * slot, CiFrameSettings * out)
{
  const CiDetectParams *params = plan->params;
  gint n_classes;

  memset (out, 0, sizeof (*out));
  out->results = slot->results;
  if (!params)
    return;
  out->inference_threshold = params->inference_threshold;
  out->pre_nms_top_k = params->pre_nms_top_k;
  out->post_nms_top_k = params->post_nms_top_k;
  out->nms_threshold = params->nms_threshold;
  out->cross_class_threshold = params->cross_class_threshold;
  out->has_classes = params->classes != NULL;
  n_classes = plan->detections == CI_NO_VALUE ? 0
      : ci_graph_node (plan->graph, plan->detections)->channels;
  if (params->classes)
    memcpy (out->classes, params->classes, MIN (n_classes, CI_MAX_CLASSES));
}

/* Rows of plane @index, and bytes of a row; FALSE if there is none. */
static gboolean
plane_size (const CiImageFormat * format, gint index, gsize * row_bytes,
    gint * rows)
{
  const gsize w = format->width, half_w = (w + 1) / 2;
  const gint h = format->height, half_h = (h + 1) / 2;

  *rows = index ? half_h : h;
  switch (format->pixel_format) {
    case CI_PIXEL_NV12:
      *row_bytes = index ? 2 * half_w : w;
      return index < 2;
    case CI_PIXEL_P010:
      *row_bytes = index ? 4 * half_w : 2 * w;
      return index < 2;
    case CI_PIXEL_I420:
      *row_bytes = index ? half_w : w;
      return index < 3;
    case CI_PIXEL_RGB:
    case CI_PIXEL_BGR:
      *row_bytes = 3 * w;
      break;
    case CI_PIXEL_GRAY8:
      *row_bytes = w;
      break;
    default:
      *row_bytes = 4 * w;
  }
  return index == 0;
}

/* A frame of the host's into the slot's staging memory, on its way to the
 * device. @out: where the planes will lie there. */
static gboolean
upload_planes (CiPlan * plan, Slot * slot, const CiImageFormat * format,
    const CiImage * image, CiImage * out, GError ** error)
{
  gsize total = 0, at = 0, row_bytes;
  gboolean grown;
  gint rows;

  for (gint i = 0; plane_size (format, i, &row_bytes, &rows); i++)
    total += ci_cuda_align (row_bytes) * rows;
  if (!pair_grow (plan, &slot->staging, total, TRUE, &grown, error))
    return FALSE;
  for (gint i = 0; plane_size (format, i, &row_bytes, &rows); i++) {
    gsize stride = ci_cuda_align (row_bytes);

    for (gint y = 0; y < rows; y++)
      memcpy (slot->staging.host + at + y * stride, image->planes[i]
          + (gsize) y * image->strides[i], row_bytes);
    out->planes[i] = slot->staging.device + at;
    out->strides[i] = stride;
    at += stride * rows;
  }
  return ci_cuda_ok (cudaMemcpyAsync (slot->staging.device,
          slot->staging.host, total, cudaMemcpyHostToDevice,
          ci_cuda_plan (plan)->frames->upload), "uploading a frame", error);
}

/* Brings what the graph of @slot reads to the device. */
static gboolean
upload (CiPlan * plan, Slot * slot, CiPreprocess * pre, const CiImage * image,
    GError ** error)
{
  CiCudaPlan *cuda = ci_cuda_plan (plan);
  gboolean moved = FALSE;
  CiImage there = *image;
  gsize bytes;

  if (!pre->options.on_device) {
    g_set_error_literal (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "pre-processing was made for the CPU, not for a device");
    return FALSE;
  }
  if (!pair_grow (plan, &slot->settings, settings_offset ()
          + ci_cuda_preprocess_settings_bytes (pre), TRUE, &moved, error))
    return FALSE;
  if (moved)
    slot->tables = 0;
  if (moved || !slot->graph) {
    gboolean ok;

    g_mutex_lock (&cuda->device->lock);
    ok = capture (plan, slot, error);
    g_mutex_unlock (&cuda->device->lock);
    if (!ok)
      return FALSE;
  }
  if (!image->on_device
      && !upload_planes (plan, slot, &pre->format, image, &there, error))
    return FALSE;
  fill_settings (plan, slot, (CiFrameSettings *) slot->settings.host);
  bytes = settings_offset () + ci_cuda_preprocess_fill (pre, &there,
      &slot->tables, slot->settings.host + settings_offset ());
  return ci_cuda_ok (cudaMemcpyAsync (slot->settings.device,
          slot->settings.host, bytes, cudaMemcpyHostToDevice,
          cuda->frames->upload), "uploading settings", error)
      && ci_cuda_ok (cudaEventRecord (slot->uploaded, cuda->frames->upload),
      "cudaEventRecord", error)
      && ci_cuda_ok (cudaStreamWaitEvent (cuda->stream, slot->uploaded, 0),
      "cudaStreamWaitEvent", error);
}

/* The planes of @image are there when its stream has come so far. */
static gboolean
wait_for_producer (CiPlan * plan, Slot * slot, const CiImage * image,
    GError ** error)
{
  if (!image->on_device || !image->stream)
    return TRUE;
  return ci_cuda_ok (cudaEventRecord (slot->done, image->stream),
      "waiting for a frame", error)
      && ci_cuda_ok (cudaStreamWaitEvent (ci_cuda_plan (plan)->stream,
          slot->done, 0), "waiting for a frame", error);
}

/* From the planar input, without a graph. */
static gboolean
run_input (CiPlan * plan, Slot * slot, GError ** error)
{
  CiCudaPlan *cuda = ci_cuda_plan (plan);
  CiFrameSettings *settings = (CiFrameSettings *) slot->settings.host;
  gsize n = 0;
  gboolean ok;

  for (gint i = 0; i < plan->n_steps; i++)
    if (plan->steps[i].node->op == CI_OP_INPUT) {
      const CiMap *map = ci_plan_map (plan, plan->steps[i].value);

      n = (gsize) map->c * map->h * map->w;
    }
  fill_settings (plan, slot, settings);
  if (!ci_cuda_ok (cudaMemcpyAsync (cuda->input, plan->input,
              n * sizeof (gfloat), cudaMemcpyHostToDevice, cuda->stream),
          "uploading the input", error)
      || !ci_cuda_ok (cudaMemcpyAsync (slot->settings.device, settings,
              sizeof (*settings), cudaMemcpyHostToDevice, cuda->stream),
          "uploading settings", error))
    return FALSE;
  g_mutex_lock (&cuda->device->lock);
  ok = enqueue (plan, slot, FALSE, error);
  g_mutex_unlock (&cuda->device->lock);
  return ok;
}

gboolean
ci_cuda_submit (CiPlan * plan, CiPreprocess * pre, const CiImage * image,
    GError ** error)
{
  CiCudaPlan *cuda = ci_cuda_plan (plan);
  struct _CiCudaFrames *frames = cuda->frames;
  Slot *slot = &frames->slots[(frames->first + frames->n_used)
      % frames->n_slots];
  gboolean ok;

  if (!ci_cuda_enter (cuda->device, error))
    return FALSE;
  if (pre)
    ok = upload (plan, slot, pre, image, error)
        && wait_for_producer (plan, slot, image, error)
        && ci_cuda_ok (cudaGraphLaunch (slot->graph, cuda->stream),
        "cudaGraphLaunch", error);
  else
    ok = run_input (plan, slot, error);
  ok = ok && ci_cuda_ok (cudaEventRecord (slot->done, cuda->stream),
      "cudaEventRecord", error);
  /* what was enqueued may still read the slot */
  if (!ok) {
    cudaStreamSynchronize (frames->upload);
    cudaStreamSynchronize (cuda->stream);
    slot->tables = 0;
  }
  ci_cuda_leave (cuda->device);
  frames->n_used += ok;
  return ok;
}

static void
measure (CiPlan * plan, const Slot * slot)
{
  gint64 ns[N_STAGES] = { 0 };

  for (gint i = 1; i < slot->n_marks; i++) {
    float ms = 0;

    if (cudaEventElapsedTime (&ms, slot->marks[i - 1], slot->marks[i])
        == cudaSuccess)
      ns[slot->stages[i]] += ms * 1e6f;
  }
  plan->times = (CiPlanTimes) {
  ns[STAGE_PREPROCESS], ns[STAGE_NETWORK], ns[STAGE_DECODE], ns[STAGE_MASKS]};
}

gboolean
ci_cuda_collect (CiPlan * plan, GError ** error)
{
  CiCudaPlan *cuda = ci_cuda_plan (plan);
  struct _CiCudaFrames *frames = cuda->frames;
  Slot *slot = &frames->slots[frames->first];
  gboolean ok;

  frames->first = (frames->first + 1) % frames->n_slots;
  frames->n_used--;
  if (!ci_cuda_enter (cuda->device, error))
    return FALSE;
  ok = ci_cuda_ok (cudaEventSynchronize (slot->done), "a frame", error)
      && ci_cuda_read_results (plan, slot->results, error);
  if (ok)
    measure (plan, slot);
  ci_cuda_leave (cuda->device);
  return ok;
}
