/* GStreamer instance segmentation
 *
 * condinstcuda.c: CUDA contexts that elements share, and frames in them
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "condinstcuda.h"

#include <string.h>

#ifdef HAVE_GST_CUDA

#include <gst/cuda/gstcudabufferpool.h>
#include <gst/cuda/gstcudacontext.h>
#include <gst/cuda/gstcudaloader.h>
#include <gst/cuda/gstcudamemory.h>
#include <gst/cuda/gstcudautils.h>

static GstCudaContext *
get_context (CondInstCuda * cuda)
{
  GstCudaContext *context;

  GST_OBJECT_LOCK (cuda->element);
  context = cuda->context ? gst_object_ref (cuda->context) : NULL;
  GST_OBJECT_UNLOCK (cuda->element);
  return context;
}

gboolean
cond_inst_cuda_find (CondInstCuda * cuda, gint device_id)
{
  if (!gst_cuda_load_library ())
    return FALSE;
  gst_cuda_memory_init_once ();
  /* What it asks around for comes by set_context(), so no lock is held here,
   * and it has to look at the same place. */
  return gst_cuda_ensure_element_context (cuda->element, device_id,
      (GstCudaContext **) & cuda->context);
}

static gint
get_device_id (GstCudaContext * context)
{
  guint id;

  g_object_get (context, "cuda-device-id", &id, NULL);
  return id;
}

gpointer
cond_inst_cuda_get_handle (CondInstCuda * cuda, gint * device_id)
{
  GstCudaContext *context = get_context (cuda);
  gpointer handle = NULL;

  if (context) {
    handle = gst_cuda_context_get_handle (context);
    *device_id = get_device_id (context);
    gst_object_unref (context);
  }
  return handle;
}

void
cond_inst_cuda_set_context (CondInstCuda * cuda, GstContext * context,
    gint device_id)
{
  GstCudaContext *found = NULL;

  gst_cuda_handle_set_context (cuda->element, context, device_id, &found);
  GST_OBJECT_LOCK (cuda->element);
  if (!cuda->context)           /* in use, so it stays */
    cuda->context = g_steal_pointer (&found);
  GST_OBJECT_UNLOCK (cuda->element);
  gst_clear_object (&found);
}

gboolean
cond_inst_cuda_answer (CondInstCuda * cuda, GstQuery * query)
{
  GstCudaContext *context = get_context (cuda);
  gboolean answered = gst_cuda_handle_context_query (cuda->element, query,
      context);

  gst_clear_object (&context);
  return answered;
}

/* The context of @buffer's memory; NULL if that is no CUDA memory. */
static GstCudaContext *
context_of (GstBuffer * buffer)
{
  GstMemory *memory = gst_buffer_n_memory (buffer) > 0 ?
      gst_buffer_peek_memory (buffer, 0) : NULL;

  return memory && gst_is_cuda_memory (memory) ?
      GST_CUDA_MEMORY_CAST (memory)->context : NULL;
}

gboolean
cond_inst_cuda_is_elsewhere (CondInstCuda * cuda, GstBuffer * buffer,
    gint device_id)
{
  GstCudaContext *theirs = context_of (buffer);
  gint our_id;

  return theirs && gst_cuda_context_get_handle (theirs) !=
      cond_inst_cuda_get_handle (cuda, &our_id)
      && (device_id == -1 || device_id == get_device_id (theirs));
}

gpointer
cond_inst_cuda_ref_context_of (GstBuffer * buffer)
{
  return gst_object_ref (context_of (buffer));
}

static gboolean
is_here (CondInstCuda * cuda, GstBuffer * buffer)
{
  GstCudaContext *theirs = context_of (buffer);
  gint our_id;

  return cuda && theirs && gst_cuda_context_get_handle (theirs) ==
      cond_inst_cuda_get_handle (cuda, &our_id);
}

/* The CUstream whose work @buffer waits for; NULL if it is there already. */
static gpointer
stream_of (GstBuffer * buffer)
{
#if GST_CHECK_VERSION (1, 24, 0)
  GstCudaMemory *memory =
      GST_CUDA_MEMORY_CAST (gst_buffer_peek_memory (buffer, 0));
  GstCudaStream *stream = gst_cuda_memory_get_stream (memory);

  /* work in the default stream has no handle to wait for */
  if (stream)
    return gst_cuda_stream_get_handle (stream);
  gst_cuda_memory_sync (memory);
#endif
  return NULL;
}

void
cond_inst_cuda_set_busy (GstBuffer * buffer)
{
#if GST_CHECK_VERSION (1, 24, 0)
  GST_MINI_OBJECT_FLAG_SET (gst_buffer_peek_memory (buffer, 0),
      GST_CUDA_MEMORY_TRANSFER_NEED_SYNC);
#endif
}

gboolean
cond_inst_cuda_propose_pool (CondInstCuda * cuda, GstQuery * query)
{
  GstCudaContext *context;
  GstBufferPool *pool;
  GstStructure *config;
  GstVideoInfo info;
  gboolean need_pool, ok;
  GstCaps *caps;
  guint size;

  gst_query_parse_allocation (query, &caps, &need_pool);
  if (!caps || !need_pool || gst_query_get_n_allocation_pools (query) > 0
      || !gst_caps_features_contains (gst_caps_get_features (caps, 0),
          GST_CAPS_FEATURE_MEMORY_CUDA_MEMORY)
      || !gst_video_info_from_caps (&info, caps)
      || !(context = get_context (cuda)))
    return FALSE;
  pool = gst_cuda_buffer_pool_new (context);
  gst_object_unref (context);
  config = gst_buffer_pool_get_config (pool);
  gst_buffer_pool_config_add_option (config,
      GST_BUFFER_POOL_OPTION_VIDEO_META);
  gst_buffer_pool_config_set_params (config, caps, GST_VIDEO_INFO_SIZE (&info),
      0, 0);
  ok = gst_buffer_pool_set_config (pool, config);
  if (ok) {
    /* with the GPU's pitch it takes more than the caps say */
    config = gst_buffer_pool_get_config (pool);
    gst_buffer_pool_config_get_params (config, NULL, &size, NULL, NULL);
    gst_structure_free (config);
    gst_query_add_allocation_pool (query, pool, size, 0, 0);
    if (!gst_query_find_allocation_meta (query, GST_VIDEO_META_API_TYPE, NULL))
      gst_query_add_allocation_meta (query, GST_VIDEO_META_API_TYPE, NULL);
  }
  gst_object_unref (pool);
  return ok;
}

#define MAP_ON_DEVICE GST_MAP_CUDA

#else /* !HAVE_GST_CUDA */

gboolean
cond_inst_cuda_find (CondInstCuda * cuda, gint device_id)
{
  return FALSE;
}

gpointer
cond_inst_cuda_get_handle (CondInstCuda * cuda, gint * device_id)
{
  return NULL;
}

void
cond_inst_cuda_set_context (CondInstCuda * cuda, GstContext * context,
    gint device_id)
{
}

gboolean
cond_inst_cuda_answer (CondInstCuda * cuda, GstQuery * query)
{
  return FALSE;
}

gboolean
cond_inst_cuda_is_elsewhere (CondInstCuda * cuda, GstBuffer * buffer,
    gint device_id)
{
  return FALSE;
}

gpointer
cond_inst_cuda_ref_context_of (GstBuffer * buffer)
{
  return NULL;
}

static gboolean
is_here (CondInstCuda * cuda, GstBuffer * buffer)
{
  return FALSE;
}

static gpointer
stream_of (GstBuffer * buffer)
{
  return NULL;
}

void
cond_inst_cuda_set_busy (GstBuffer * buffer)
{
}

gboolean
cond_inst_cuda_propose_pool (CondInstCuda * cuda, GstQuery * query)
{
  return FALSE;
}

#define MAP_ON_DEVICE 0

#endif

gpointer
cond_inst_cuda_replace (CondInstCuda * cuda, gpointer context)
{
  gpointer before;

  GST_OBJECT_LOCK (cuda->element);
  before = cuda->context;
  cuda->context = context;
  GST_OBJECT_UNLOCK (cuda->element);
  return before;
}

void
cond_inst_cuda_clear (CondInstCuda * cuda)
{
  gpointer context = cond_inst_cuda_replace (cuda, NULL);

  if (context)
    gst_object_unref (context);
}

gboolean
cond_inst_cuda_map (CondInstCuda * cuda, const GstVideoInfo * info,
    GstBuffer * buffer, GstMapFlags flags, GstVideoFrame * frame,
    CiImage * image)
{
  gboolean on_device = is_here (cuda, buffer);
  guint n_planes;

  /* without a reference, the frame stays writable */
  if (!gst_video_frame_map (frame, info, buffer, flags |
          GST_VIDEO_FRAME_MAP_FLAG_NO_REF | (on_device ? MAP_ON_DEVICE : 0)))
    return FALSE;
  memset (image, 0, sizeof (*image));
  /* a fourth plane is alpha's, in formats that the engine has no name for */
  n_planes = MIN (GST_VIDEO_FRAME_N_PLANES (frame),
      G_N_ELEMENTS (image->planes));
  for (guint i = 0; i < n_planes; i++) {
    image->planes[i] = GST_VIDEO_FRAME_PLANE_DATA (frame, i);
    image->strides[i] = GST_VIDEO_FRAME_PLANE_STRIDE (frame, i);
  }
  image->on_device = on_device;
  image->stream = on_device ? stream_of (buffer) : NULL;
  return TRUE;
}
