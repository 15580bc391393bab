/*
 * frame.c: the way of a frame: upload, the captured graph, results; and how
 * several of them are in flight at once.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cuda.h"

#include "../preprocess_priv.h"

/* Stages change a few times in a plan. */
#define MAX_MARKS 64

/* Memory that grows: pinned host memory, and as much of the device's. */
typedef struct
{
  guint8 *host, *device;
  gsize bytes;
} Pair;

/* What is of one frame. */
typedef struct
{
  Pair settings;                /* CiFrameSettings, then those of
                                   pre-processing */
  guint64 tables;               /* which tables the latter has */
  Pair staging;                 /* the planes of a frame of the host's */
} Item;

/* A batch in flight: launched once it is full or wanted. */
typedef struct
{
  Item *items;                  /* as many as a batch has */
  gint n_items, n_collected;
  gboolean launched;
  guint8 *results;              /* pinned; those of each item */
  cudaGraphExec_t graph;        /* NULL: to be captured */
  cudaEvent_t uploaded, done;
  cudaEvent_t marks[MAX_MARKS]; /* ends of stages; the first: the beginning */
  CiStage stages[MAX_MARKS];
  gint n_marks;
} Slot;

struct _CiCudaFrames
{
  Slot *slots;
  gint n_slots, first, n_used;
  gsize results_bytes;          /* of an item */
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
pair_grow (CiPlan * plan, Pair * pair, gsize n_bytes, gboolean * grown,
    GError ** error)
{
  if (n_bytes <= pair->bytes)
    return TRUE;
  *grown = TRUE;
  pair_clear (pair);
  if (!(pair->device = ci_cuda_alloc (ci_cuda_plan (plan)->device, n_bytes,
              error))
      || !alloc_pinned ((gpointer *) & pair->host, n_bytes, error)) {
    pair_clear (pair);
    return FALSE;
  }
  pair->bytes = n_bytes;
  return TRUE;
}

/* ---- opening ----------------------------------------------------------- */

static void
slot_clear (CiPlan * plan, Slot * slot)
{
  for (gint i = 0; slot->items && i < plan->batch; i++) {
    pair_clear (&slot->items[i].settings);
    pair_clear (&slot->items[i].staging);
  }
  g_free (slot->items);
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

/* Stages are told apart for the first few images of a batch. */
static gint
count_marks (const CiPlan * plan)
{
  const CiStep *last = NULL;
  gint n = 1;                   /* of an image */

  for (gint i = 0; i < plan->n_steps; i++) {
    const CiStep *step = &plan->steps[i];

    if (!ci_plan_is_per_image (plan, step->node))
      continue;
    n += last && ci_plan_get_stage (plan, last->node)
        != ci_plan_get_stage (plan, step->node);
    last = step;
  }
  return MIN (3 + n * plan->batch, MAX_MARKS);
}

static gboolean
slot_init (CiPlan * plan, Slot * slot, GError ** error)
{
  gsize results_bytes = plan->batch
      * ci_cuda_plan (plan)->frames->results_bytes;
  gboolean grown;

  slot->items = g_new0 (Item, plan->batch);
  for (gint i = 0; i < plan->batch; i++)
    if (!pair_grow (plan, &slot->items[i].settings, settings_offset (), &grown,
            error))
      return FALSE;
  if (!alloc_pinned ((gpointer *) & slot->results, results_bytes, error)
      || !ci_cuda_ok (cudaEventCreateWithFlags (&slot->uploaded,
              cudaEventDisableTiming), "cudaEventCreate", error)
      /* whoever waits sleeps: decoders need the cores */
      || !ci_cuda_ok (cudaEventCreateWithFlags (&slot->done,
              cudaEventDisableTiming | cudaEventBlockingSync),
          "cudaEventCreate", error))
    return FALSE;
  memset (slot->results, 0, results_bytes);
  for (gint i = 0; i < count_marks (plan); i++)
    if (!ci_cuda_ok (cudaEventCreateWithFlags (&slot->marks[i],
                cudaEventDefault), "cudaEventCreate", error))
      return FALSE;
  return TRUE;
}

/* The end of @stage, here in the stream. */
static gboolean
mark (CiPlan * plan, Slot * slot, CiStage stage, gboolean captured,
    GError ** error)
{
  /* of the last images of a large batch nobody knows */
  if (slot->n_marks == count_marks (plan))
    return TRUE;
  slot->stages[slot->n_marks] = stage;
  return ci_cuda_ok (cudaEventRecordWithFlags (slot->marks[slot->n_marks++],
          ci_cuda_plan (plan)->stream, captured ? cudaEventRecordExternal :
          cudaEventRecordDefault), "cudaEventRecord", error);
}

/* Sets what steps are enqueued for. */
static void
choose_image (CiCudaPlan * cuda, const Slot * slot, gint image)
{
  cuda->image = image;
  cuda->settings =
      (const CiFrameSettings *) slot->items[image].settings.device;
}

/* From the frames' planes (@captured), or from the planar input. */
static gboolean
enqueue_input (CiPlan * plan, CiStep * step, Slot * slot, gboolean captured,
    GError ** error)
{
  CiView input = ci_cuda_view (plan, step->value);

  if (!captured)
    return step->run (plan, step, error);
  for (gint i = 0; i < plan->batch; i++) {
    choose_image (ci_cuda_plan (plan), slot, i);
    if (!ci_cuda_enqueue_preprocess (plan, slot->items[i].settings.device
            + settings_offset (), ci_cuda_image_view (plan, input), error))
      return FALSE;
  }
  return TRUE;
}

/* What is found in one image of the batch. */
static gboolean
enqueue_image (CiPlan * plan, Slot * slot, gint image, gboolean captured,
    GError ** error)
{
  CiStage stage = CI_STAGE_NETWORK;
  gboolean first = TRUE;

  choose_image (ci_cuda_plan (plan), slot, image);
  for (gint i = 0; i < plan->n_steps; i++) {
    CiStep *step = &plan->steps[i];

    if (!ci_plan_is_per_image (plan, step->node))
      continue;
    if (!first && stage != ci_plan_get_stage (plan, step->node)
        && !mark (plan, slot, stage, captured, error))
      return FALSE;
    first = FALSE;
    stage = ci_plan_get_stage (plan, step->node);
    if (!step->run (plan, step, error))
      return FALSE;
  }
  return ci_cuda_enqueue_results (plan, error)
      && mark (plan, slot, stage, captured, error);
}

/* All kernels of a batch. */
static gboolean
enqueue (CiPlan * plan, Slot * slot, gboolean captured, GError ** error)
{
  slot->n_marks = 0;
  choose_image (ci_cuda_plan (plan), slot, 0);
  if (!mark (plan, slot, CI_STAGE_PREPROCESS, captured, error))
    return FALSE;
  for (gint i = 0; i < plan->n_steps; i++) {
    CiStep *step = &plan->steps[i];

    if (step->node->op == CI_OP_INPUT) {
      if (!enqueue_input (plan, step, slot, captured, error)
          || !mark (plan, slot, CI_STAGE_PREPROCESS, captured, error))
        return FALSE;
    } else if (!ci_plan_is_per_image (plan, step->node)
        && !step->run (plan, step, error)) {
      return FALSE;
    }
  }
  if (!mark (plan, slot, CI_STAGE_NETWORK, captured, error))
    return FALSE;
  for (gint i = 0; i < plan->batch; i++)
    if (!enqueue_image (plan, slot, i, captured, error))
      return FALSE;
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

/* Of an item without a frame; into the stream itself. */
static gboolean
upload_settings (CiPlan * plan, Slot * slot, gint index,
    const CiFrameSettings * settings, GError ** error)
{
  Pair *pair = &slot->items[index].settings;
  CiFrameSettings *host = (CiFrameSettings *) pair->host;

  *host = *settings;
  host->results = slot->results + index
      * ci_cuda_plan (plan)->frames->results_bytes;
  return ci_cuda_ok (cudaMemcpyAsync (pair->device, host, sizeof (*host),
          cudaMemcpyHostToDevice, ci_cuda_plan (plan)->stream),
      "uploading settings", error);
}

static gsize
input_bytes (CiPlan * plan)
{
  for (gint i = 0; i < plan->n_steps; i++)
    if (plan->steps[i].node->op == CI_OP_INPUT) {
      const CiMap *map = ci_plan_map (plan, plan->steps[i].value);

      return (gsize) plan->batch * map->c * map->h * map->w * sizeof (float);
    }
  return 0;
}

gboolean
ci_cuda_frames_open (CiPlan * plan, GError ** error)
{
  CiCudaPlan *cuda = ci_cuda_plan (plan);
  struct _CiCudaFrames *frames = cuda->frames =
      g_new0 (struct _CiCudaFrames, 1);
  const CiFrameSettings nothing = { 0 };

  if (plan->batch > CI_MAX_BATCH) {
    g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "a batch of %d frames (at most %d)", plan->batch, CI_MAX_BATCH);
    return FALSE;
  }
  /* one more for a batch that had to begin before it was full */
  frames->n_slots = (plan->max_in_flight + plan->batch - 1) / plan->batch
      + (plan->batch > 1);
  frames->slots = g_new0 (Slot, frames->n_slots);
  frames->results_bytes = ci_cuda_align (ci_cuda_results_bytes (plan));
  if (!(cuda->input = ci_cuda_plan_alloc (plan, input_bytes (plan), error))
      || !ci_cuda_ok (cudaStreamCreateWithFlags (&frames->upload,
              cudaStreamNonBlocking), "cudaStreamCreate", error))
    return FALSE;
  for (gint i = 0; i < frames->n_slots; i++)
    if (!slot_init (plan, &frames->slots[i], error))
      return FALSE;
  /* Once without a graph, on zeros: whatever is loaded on first use is there
   * before anything is captured. */
  for (gint i = 0; i < plan->batch; i++)
    if (!upload_settings (plan, &frames->slots[0], i, &nothing, error))
      return FALSE;
  return enqueue (plan, &frames->slots[0], FALSE, error)
      && ci_cuda_ok (cudaStreamSynchronize (cuda->stream), "a first run",
      error);
}

void
ci_cuda_frames_close (CiPlan * plan)
{
  CiCudaPlan *cuda = ci_cuda_plan (plan);

  if (!cuda->frames)
    return;
  for (gint i = 0; i < cuda->frames->n_slots; i++)
    slot_clear (plan, &cuda->frames->slots[i]);
  if (cuda->frames->upload)
    cudaStreamDestroy (cuda->frames->upload);
  g_free (cuda->frames->slots);
  g_clear_pointer (&cuda->frames, g_free);
}

/* ---- frames ------------------------------------------------------------ */

static void
fill_settings (const CiPlan * plan, CiFrameSettings * out)
{
  const CiDetectParams *params = plan->params;
  gint n_classes;

  memset (out, 0, sizeof (*out));
  out->frame_width = plan->frame_width;
  out->frame_height = plan->frame_height;
  if (!params)
    return;
  out->inference_threshold = params->inference_threshold;
  out->pre_nms_top_k = params->pre_nms_top_k;
  out->post_nms_top_k = params->post_nms_top_k;
  out->nms_threshold = params->nms_threshold;
  out->cross_class_threshold = params->cross_class_threshold;
  out->nms = params->nms;
  out->score_threshold = params->score_threshold;
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

/* A frame of the host's into the item's staging memory, on its way to the
 * device. @out: where the planes will lie there. */
static gboolean
upload_planes (CiPlan * plan, Item * item, const CiImageFormat * format,
    const CiImage * image, CiImage * out, GError ** error)
{
  gsize total = 0, at = 0, row_bytes;
  gboolean grown;
  gint rows;

  for (gint i = 0; plane_size (format, i, &row_bytes, &rows); i++)
    total += ci_cuda_align (row_bytes) * rows;
  if (!pair_grow (plan, &item->staging, total, &grown, error))
    return FALSE;
  for (gint i = 0; plane_size (format, i, &row_bytes, &rows); i++) {
    gsize stride = ci_cuda_align (row_bytes);

    for (gint y = 0; y < rows; y++)
      memcpy (item->staging.host + at + y * stride, image->planes[i]
          + (gsize) y * image->strides[i], row_bytes);
    out->planes[i] = item->staging.device + at;
    out->strides[i] = stride;
    at += stride * rows;
  }
  return ci_cuda_ok (cudaMemcpyAsync (item->staging.device,
          item->staging.host, total, cudaMemcpyHostToDevice,
          ci_cuda_plan (plan)->frames->upload), "uploading a frame", error);
}

/* Makes room for settings of @bytes; what was captured has other addresses. */
static gboolean
grow_settings (CiPlan * plan, Slot * slot, Item * item, gsize bytes,
    GError ** error)
{
  gboolean moved = FALSE;

  if (!pair_grow (plan, &item->settings, bytes, &moved, error))
    return FALSE;
  if (moved) {
    item->tables = 0;
    if (slot->graph)
      cudaGraphExecDestroy (slot->graph);
    slot->graph = NULL;
  }
  return TRUE;
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

/* Brings what the graph of @slot reads of a frame to the device. */
static gboolean
upload (CiPlan * plan, Slot * slot, gint index, CiPreprocess * pre,
    const CiImage * image, GError ** error)
{
  struct _CiCudaFrames *frames = ci_cuda_plan (plan)->frames;
  Item *item = &slot->items[index];
  CiFrameSettings *settings;
  CiImage there = *image;
  gsize bytes;

  if (!pre->options.on_device) {
    g_set_error_literal (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "pre-processing was made for the CPU, not for a device");
    return FALSE;
  }
  if (!grow_settings (plan, slot, item, settings_offset ()
          + ci_cuda_preprocess_settings_bytes (pre), error)
      || !wait_for_producer (plan, slot, image, error)
      || (!image->on_device && !upload_planes (plan, item, &pre->format,
              image, &there, error)))
    return FALSE;
  settings = (CiFrameSettings *) item->settings.host;
  fill_settings (plan, settings);
  settings->results = slot->results + index * frames->results_bytes;
  bytes = settings_offset () + ci_cuda_preprocess_fill (pre, &there,
      &item->tables, item->settings.host + settings_offset ());
  return ci_cuda_ok (cudaMemcpyAsync (item->settings.device,
          item->settings.host, bytes, cudaMemcpyHostToDevice,
          frames->upload), "uploading settings", error);
}

/* Items that no frame came for look at that of the first one, and find
 * nothing. */
static gboolean
fill_up (CiPlan * plan, Slot * slot, GError ** error)
{
  struct _CiCudaFrames *frames = ci_cuda_plan (plan)->frames;
  const Item *from = &slot->items[0];

  for (gint i = slot->n_items; i < plan->batch; i++) {
    Item *item = &slot->items[i];
    CiFrameSettings *settings;

    if (!grow_settings (plan, slot, item, from->settings.bytes, error))
      return FALSE;
    memcpy (item->settings.host, from->settings.host, from->settings.bytes);
    item->tables = 0;
    settings = (CiFrameSettings *) item->settings.host;
    settings->post_nms_top_k = 0;
    settings->results = slot->results + i * frames->results_bytes;
    if (!ci_cuda_ok (cudaMemcpyAsync (item->settings.device,
                item->settings.host, from->settings.bytes,
                cudaMemcpyHostToDevice, frames->upload),
            "uploading settings", error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
launch (CiPlan * plan, Slot * slot, GError ** error)
{
  CiCudaPlan *cuda = ci_cuda_plan (plan);
  gboolean ok = fill_up (plan, slot, error);

  if (ok && !slot->graph) {
    g_mutex_lock (&cuda->device->lock);
    ok = capture (plan, slot, error);
    g_mutex_unlock (&cuda->device->lock);
  }
  /* if not, whoever collects one of its frames tries again, and is told */
  slot->launched = ok && ci_cuda_ok (cudaEventRecord (slot->uploaded,
          cuda->frames->upload), "cudaEventRecord", error)
      && ci_cuda_ok (cudaStreamWaitEvent (cuda->stream, slot->uploaded, 0),
      "cudaStreamWaitEvent", error)
      && ci_cuda_ok (cudaGraphLaunch (slot->graph, cuda->stream),
      "cudaGraphLaunch", error)
      && ci_cuda_ok (cudaEventRecord (slot->done, cuda->stream),
      "cudaEventRecord", error);
  return slot->launched;
}

/* From the planar input, without a graph. */
static gboolean
run_input (CiPlan * plan, Slot * slot, GError ** error)
{
  CiCudaPlan *cuda = ci_cuda_plan (plan);
  CiFrameSettings settings;
  gboolean ok;

  slot->launched = TRUE;
  fill_settings (plan, &settings);
  for (gint i = 0; i < plan->batch; i++)
    if (!upload_settings (plan, slot, i, &settings, error))
      return FALSE;
  if (!ci_cuda_ok (cudaMemcpyAsync (cuda->input, plan->input,
              input_bytes (plan), cudaMemcpyHostToDevice, cuda->stream),
          "uploading the input", error))
    return FALSE;
  g_mutex_lock (&cuda->device->lock);
  ok = enqueue (plan, slot, FALSE, error);
  g_mutex_unlock (&cuda->device->lock);
  return ok && ci_cuda_ok (cudaEventRecord (slot->done, cuda->stream),
      "cudaEventRecord", error);
}

/* Nothing works any more on what @slot has. */
static void
wait_for_all (CiPlan * plan, Slot * slot)
{
  CiCudaPlan *cuda = ci_cuda_plan (plan);

  cudaStreamSynchronize (cuda->frames->upload);
  cudaStreamSynchronize (cuda->stream);
  for (gint i = 0; i < plan->batch; i++)
    slot->items[i].tables = 0;
}

static Slot *
nth_slot (struct _CiCudaFrames *frames, gint n)
{
  return &frames->slots[(frames->first + n) % frames->n_slots];
}

gboolean
ci_cuda_submit (CiPlan * plan, CiPreprocess * pre, const CiImage * image,
    GError ** error)
{
  CiCudaPlan *cuda = ci_cuda_plan (plan);
  struct _CiCudaFrames *frames = cuda->frames;
  Slot *slot = frames->n_used ? nth_slot (frames, frames->n_used - 1) : NULL;
  gboolean fresh = !slot || slot->launched, ok;

  if (fresh) {
    slot = nth_slot (frames, frames->n_used);
    slot->n_items = slot->n_collected = 0;
    slot->launched = FALSE;
  }
  if (!ci_cuda_enter (cuda->device, error))
    return FALSE;
  ok = pre ? upload (plan, slot, slot->n_items, pre, image, error)
      : run_input (plan, slot, error);
  if (ok) {
    frames->n_used += fresh;
    slot->n_items++;
    if (pre && slot->n_items == plan->batch
        && !(ok = launch (plan, slot, error)))
      /* those before it stay */
      frames->n_used -= --slot->n_items == 0;
  }
  if (!ok)
    wait_for_all (plan, slot);
  ci_cuda_leave (cuda->device);
  return ok;
}

static void
measure (CiPlan * plan, const Slot * slot)
{
  gint64 ns[CI_N_STAGES] = { 0 };

  for (gint i = 1; i < slot->n_marks; i++) {
    float ms = 0;

    if (cudaEventElapsedTime (&ms, slot->marks[i - 1], slot->marks[i])
        == cudaSuccess)
      ns[slot->stages[i]] += ms * 1e6f;
  }
  plan->times = (CiPlanTimes) {
  ns[CI_STAGE_PREPROCESS], ns[CI_STAGE_NETWORK], ns[CI_STAGE_DECODE],
        ns[CI_STAGE_MASKS]};
}

gboolean
ci_cuda_collect (CiPlan * plan, GError ** error)
{
  CiCudaPlan *cuda = ci_cuda_plan (plan);
  struct _CiCudaFrames *frames = cuda->frames;
  Slot *slot = nth_slot (frames, 0);
  gint index = slot->n_collected++;
  gboolean ok;

  if (slot->n_collected == slot->n_items) {
    frames->first = (frames->first + 1) % frames->n_slots;
    frames->n_used--;
  }
  if (!ci_cuda_enter (cuda->device, error))
    return FALSE;
  ok = (slot->launched || launch (plan, slot, error))
      && ci_cuda_ok (cudaEventSynchronize (slot->done), "a frame", error)
      && ci_cuda_read_results (plan, slot->results
      + index * frames->results_bytes, error);
  if (ok)
    measure (plan, slot);
  else
    wait_for_all (plan, slot);
  ci_cuda_leave (cuda->device);
  return ok;
}
