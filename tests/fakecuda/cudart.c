/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fakecuda.h"

#include <gmodule.h>
#include <stdlib.h>
#include <string.h>

#define GARBAGE 0xcd

/* ---- faults ------------------------------------------------------------ */

static GRecMutex lock;          /* of everything */
static char fault_name[64];     /* "": any */
static int fault_at, n_calls, n_named;
static gboolean fault_sticky, fault_lasts, configured;

G_MODULE_EXPORT void
fakecuda_fail (const char *name, int at, gboolean sticky)
{
  g_rec_mutex_lock (&lock);
  configured = TRUE;
  g_strlcpy (fault_name, name ? name : "", sizeof (fault_name));
  fault_at = at;
  n_calls = n_named = 0;
  fault_sticky = sticky;
  fault_lasts = FALSE;
  g_rec_mutex_unlock (&lock);
}

static void
configure_locked (void)
{
  const char *spec = g_getenv ("FAKECUDA_FAIL");
  const char *colon = spec ? strchr (spec, ':') : NULL;
  g_autofree char *name = colon ? g_strndup (spec, colon - spec) : NULL;

  if (configured)
    return;
  fakecuda_fail (name, spec ? atoi (colon ? colon + 1 : spec) : 0,
      g_getenv ("FAKECUDA_STICKY") != NULL);
}

gboolean
fake_fault (const char *name)
{
  gboolean fails;

  g_rec_mutex_lock (&lock);
  configure_locked ();
  n_calls++;
  if (!*fault_name || !strcmp (fault_name, name))
    n_named++;
  fails = fault_lasts || (fault_at > 0 && n_named == fault_at
      && (!*fault_name || !strcmp (fault_name, name)));
  fault_lasts = fault_lasts || (fails && fault_sticky);
  g_rec_mutex_unlock (&lock);
  return fails;
}

G_MODULE_EXPORT int
fakecuda_calls (void)
{
  return n_calls;
}

/* ---- context ----------------------------------------------------------- */

/* The primary context is this one's address; any other is a caller's. */
static int primary_context, primary_refs;
static GPrivate stack = G_PRIVATE_INIT ((GDestroyNotify) g_ptr_array_unref);

static GPtrArray *
get_stack (void)
{
  if (!g_private_get (&stack))
    g_private_set (&stack, g_ptr_array_new ());
  return g_private_get (&stack);
}

gboolean
fake_has_context (void)
{
  return get_stack ()->len > 0;
}

static int
env_int (const char *name, int fallback)
{
  const char *value = g_getenv (name);

  return value ? atoi (value) : fallback;
}

#define ENTER(name, error) \
  do { \
    if (fake_fault (name)) \
      return error; \
    if (!get_stack ()->len) \
      return cudaErrorDeviceUninitialized; \
  } while (0)

static int
push_current (gpointer context)
{
  if (fake_fault ("cuCtxPushCurrent"))
    return cudaErrorContextIsDestroyed;
  g_ptr_array_add (get_stack (), context);
  return 0;
}

static int
pop_current (gpointer * context)
{
  GPtrArray *s = get_stack ();

  fake_fault ("cuCtxPopCurrent");
  *context = g_ptr_array_steal_index (s, s->len - 1);
  return 0;
}

static int
get_device (int *index)
{
  if (fake_fault ("cuCtxGetDevice"))
    return cudaErrorContextIsDestroyed;
  *index = 0;
  return 0;
}

static int
retain_primary (gpointer * context, int index)
{
  if (fake_fault ("cuDevicePrimaryCtxRetain"))
    return cudaErrorDevicesUnavailable;
  primary_refs++;
  *context = &primary_context;
  return 0;
}

static int
release_primary (int index)
{
  fake_fault ("cuDevicePrimaryCtxRelease");
  g_assert (primary_refs-- > 0);
  return 0;
}

cudaError_t
cudaGetDriverEntryPointByVersion (const char *symbol, void **function,
    unsigned version, unsigned long long flags,
    enum cudaDriverEntryPointQueryResult *result)
{
  static const struct
  {
    const char *name;
    gpointer function;
  } functions[] = {
    {"cuCtxPushCurrent", push_current},
    {"cuCtxPopCurrent", pop_current},
    {"cuCtxGetDevice", get_device},
    {"cuDevicePrimaryCtxRetain", retain_primary},
    {"cuDevicePrimaryCtxRelease", release_primary},
  };

  if (fake_fault (__func__))
    return cudaErrorUnknown;
  *function = NULL;
  *result = cudaDriverEntryPointSymbolNotFound;
  for (guint i = 0; i < G_N_ELEMENTS (functions); i++)
    if (!strcmp (functions[i].name, symbol)) {
      *function = functions[i].function;
      *result = cudaDriverEntryPointSuccess;
    }
  return cudaSuccess;
}

cudaError_t
cudaDriverGetVersion (int *version)
{
  *version = env_int ("FAKECUDA_DRIVER", CUDART_VERSION);
  return fake_fault (__func__) ? cudaErrorUnknown : cudaSuccess;
}

cudaError_t
cudaRuntimeGetVersion (int *version)
{
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t
cudaGetDeviceCount (int *count)
{
  *count = 0;
  if (fake_fault (__func__))
    return cudaErrorUnknown;
  if (env_int ("FAKECUDA_DRIVER", CUDART_VERSION) < CUDART_VERSION)
    return cudaErrorInsufficientDriver;
  *count = env_int ("FAKECUDA_DEVICES", 1);
  return *count > 0 ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t
cudaGetDeviceProperties (struct cudaDeviceProp *prop, int device)
{
  if (fake_fault (__func__))
    return cudaErrorInvalidDevice;
  memset (prop, 0, sizeof (*prop));
  strcpy (prop->name, "Host that plays a GPU");
  prop->major = 9;
  prop->multiProcessorCount = 4;
  return cudaSuccess;
}

const char *
cudaGetErrorName (cudaError_t error)
{
  return error == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation"
      : error == cudaErrorNoDevice ? "cudaErrorNoDevice" : "cudaError";
}

const char *
cudaGetErrorString (cudaError_t error)
{
  return error == cudaErrorMemoryAllocation ? "out of memory"
      : error == cudaErrorNoDevice ? "no CUDA-capable device is detected"
      : "an injected fault";
}

cudaError_t
cudaGetLastError (void)
{
  return cudaSuccess;
}

/* ---- memory ------------------------------------------------------------ */

typedef struct
{
  guint8 *memory;
  size_t n_bytes;
  gboolean device;
} Block;

static GArray *blocks;          /* Block; device and pinned memory */
static gint64 device_bytes;

static cudaError_t
alloc (void **out, size_t n_bytes, gboolean device)
{
  Block block = { malloc (MAX (n_bytes, 1)), n_bytes, device };

  if (!block.memory)
    return cudaErrorMemoryAllocation;
  memset (block.memory, GARBAGE, n_bytes);
  g_rec_mutex_lock (&lock);
  if (!blocks)
    blocks = g_array_new (FALSE, FALSE, sizeof (Block));
  g_array_append_val (blocks, block);
  device_bytes += device ? n_bytes : 0;
  g_rec_mutex_unlock (&lock);
  *out = block.memory;
  return cudaSuccess;
}

static const Block *
find_block_locked (const void *memory, size_t n_bytes)
{
  const guint8 *p = memory;

  for (guint i = 0; blocks && i < blocks->len; i++) {
    const Block *b = &g_array_index (blocks, Block, i);

    if (p >= b->memory && p + n_bytes <= b->memory + b->n_bytes)
      return b;
  }
  return NULL;
}

gboolean
fake_is_device (const void *memory, size_t n_bytes)
{
  const Block *block;
  gboolean is;

  g_rec_mutex_lock (&lock);
  block = find_block_locked (memory, n_bytes);
  is = block && block->device;
  g_rec_mutex_unlock (&lock);
  return is;
}

static void drain_all (void);

static cudaError_t
release (void *memory, gboolean device)
{
  cudaError_t status = cudaErrorInvalidValue;

  if (!memory)
    return cudaSuccess;
  /* as the real one, it waits for all that may use it */
  drain_all ();
  g_rec_mutex_lock (&lock);
  for (guint i = 0; blocks && i < blocks->len; i++) {
    Block *b = &g_array_index (blocks, Block, i);

    if (b->memory != memory || b->device != device)
      continue;
    device_bytes -= device ? b->n_bytes : 0;
    free (b->memory);
    g_array_remove_index_fast (blocks, i);
    if (!blocks->len)
      g_clear_pointer (&blocks, g_array_unref);
    status = cudaSuccess;
    break;
  }
  g_rec_mutex_unlock (&lock);
  g_assert (status == cudaSuccess);
  return status;
}

G_MODULE_EXPORT gint64
fakecuda_device_bytes (void)
{
  return device_bytes;
}

cudaError_t
cudaMalloc (void **memory, size_t n_bytes)
{
  ENTER (__func__, cudaErrorMemoryAllocation);
  return alloc (memory, n_bytes, TRUE);
}

cudaError_t
cudaHostAlloc (void **memory, size_t n_bytes, unsigned flags)
{
  ENTER (__func__, cudaErrorMemoryAllocation);
  return alloc (memory, n_bytes, FALSE);
}

/* A fault frees nevertheless: nobody could try again. */
cudaError_t
cudaFree (void *memory)
{
  fake_fault (__func__);
  return release (memory, TRUE);
}

cudaError_t
cudaFreeHost (void *memory)
{
  fake_fault (__func__);
  return release (memory, FALSE);
}

/* ---- streams and graphs ------------------------------------------------- */

typedef struct
{
  void (*func) (void *data);
  void *data;
  void (*free_data) (void *data);
} Work;

struct CUgraph_st
{
  GArray *work;                 /* Work */
};

struct CUgraphExec_st
{
  GArray *work;
  int refs;                     /* launches that did not happen yet */
  gboolean destroyed;
};

struct CUstream_st
{
  GQueue *queue;                /* Work * */
  GArray *captured;             /* Work, while it is captured */
  gboolean running;
};

static void run_copy (void *data);
static void run_record (void *data);
static void run_wait (void *data);

static struct CUstream_st null_stream;
static GPtrArray *streams;

static cudaStream_t
get_stream (cudaStream_t stream)
{
  if (stream)
    return stream;
  if (!null_stream.queue)
    null_stream.queue = g_queue_new ();
  return &null_stream;
}

void
fake_stream_enqueue (cudaStream_t stream, void (*func) (void *data),
    void *data, void (*free_data) (void *data))
{
  Work work = { func, data, free_data };

  g_rec_mutex_lock (&lock);
  stream = get_stream (stream);
  if (stream->captured)
    g_array_append_val (stream->captured, work);
  else
    g_queue_push_tail (stream->queue, g_memdup2 (&work, sizeof (work)));
  g_rec_mutex_unlock (&lock);
}

static void
drain_locked (cudaStream_t stream)
{
  Work *work;

  stream = get_stream (stream);
  if (stream->running)
    return;
  stream->running = TRUE;
  while ((work = g_queue_pop_head (stream->queue))) {
    work->func (work->data);
    if (work->free_data)
      work->free_data (work->data);
    g_free (work);
  }
  stream->running = FALSE;
}

void
fake_stream_drain (cudaStream_t stream)
{
  g_rec_mutex_lock (&lock);
  drain_locked (stream);
  g_rec_mutex_unlock (&lock);
}

static void
drain_all (void)
{
  g_rec_mutex_lock (&lock);
  for (guint i = 0; streams && i < streams->len; i++)
    drain_locked (g_ptr_array_index (streams, i));
  if (null_stream.queue)
    drain_locked (NULL);
  g_rec_mutex_unlock (&lock);
}

static void
free_work (GArray * work)
{
  for (guint i = 0; i < work->len; i++) {
    Work *w = &g_array_index (work, Work, i);

    if (w->free_data)
      w->free_data (w->data);
  }
  g_array_unref (work);
}

G_MODULE_EXPORT cudaStream_t
fakecuda_stream_new (void)
{
  cudaStream_t stream = g_new0 (struct CUstream_st, 1);

  g_rec_mutex_lock (&lock);
  stream->queue = g_queue_new ();
  if (!streams)
    streams = g_ptr_array_new ();
  g_ptr_array_add (streams, stream);
  g_rec_mutex_unlock (&lock);
  return stream;
}

G_MODULE_EXPORT void
fakecuda_stream_free (cudaStream_t stream)
{
  g_rec_mutex_lock (&lock);
  drain_locked (stream);
  if (stream->captured)
    free_work (stream->captured);
  g_ptr_array_remove (streams, stream);
  if (!streams->len)
    g_clear_pointer (&streams, g_ptr_array_unref);
  g_queue_free (stream->queue);
  g_free (stream);
  g_rec_mutex_unlock (&lock);
}

cudaError_t
cudaStreamCreateWithFlags (cudaStream_t * out, unsigned flags)
{
  ENTER (__func__, cudaErrorMemoryAllocation);
  *out = fakecuda_stream_new ();
  return cudaSuccess;
}

cudaError_t
cudaStreamDestroy (cudaStream_t stream)
{
  fake_fault (__func__);
  fakecuda_stream_free (stream);
  return cudaSuccess;
}

cudaError_t
cudaStreamSynchronize (cudaStream_t stream)
{
  ENTER (__func__, cudaErrorLaunchFailure);
  if (get_stream (stream)->captured)
    return cudaErrorStreamCaptureUnsupported;
  fake_stream_drain (stream);
  return cudaSuccess;
}

cudaError_t
cudaDeviceSynchronize (void)
{
  ENTER (__func__, cudaErrorLaunchFailure);
  drain_all ();
  return cudaSuccess;
}

cudaError_t
cudaStreamBeginCapture (cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
  ENTER (__func__, cudaErrorIllegalState);
  g_assert (!stream->captured);
  stream->captured = g_array_new (FALSE, FALSE, sizeof (Work));
  return cudaSuccess;
}

cudaError_t
cudaStreamEndCapture (cudaStream_t stream, cudaGraph_t * graph)
{
  gboolean fails = fake_fault (__func__);

  g_assert (stream->captured);
  *graph = g_new0 (struct CUgraph_st, 1);
  (*graph)->work = g_steal_pointer (&stream->captured);
  if (!fails)
    return cudaSuccess;
  free_work ((*graph)->work);
  g_clear_pointer (graph, g_free);
  return cudaErrorStreamCaptureInvalidated;
}

static int n_kernels;           /* of the graph made last */

G_MODULE_EXPORT int
fakecuda_graph_kernels (void)
{
  return n_kernels;
}

/* What is no copy and no event is a kernel, a convolution of cuDNN one, too. */
static int
count_kernels (const GArray * work)
{
  int n = 0;

  for (guint i = 0; i < work->len; i++) {
    const Work *w = &g_array_index (work, Work, i);

    n += w->func != run_copy && w->func != run_record && w->func != run_wait;
  }
  return n;
}

cudaError_t
cudaGraphInstantiate (cudaGraphExec_t * exec, cudaGraph_t graph,
    unsigned long long flags)
{
  ENTER (__func__, cudaErrorMemoryAllocation);
  *exec = g_new0 (struct CUgraphExec_st, 1);
  (*exec)->work = graph->work;
  n_kernels = count_kernels (graph->work);
  graph->work = g_array_new (FALSE, FALSE, sizeof (Work));
  return cudaSuccess;
}

cudaError_t
cudaGraphUpload (cudaGraphExec_t exec, cudaStream_t stream)
{
  ENTER (__func__, cudaErrorMemoryAllocation);
  return cudaSuccess;
}

cudaError_t
cudaGraphDestroy (cudaGraph_t graph)
{
  fake_fault (__func__);
  free_work (graph->work);
  g_free (graph);
  return cudaSuccess;
}

static void
exec_free (cudaGraphExec_t exec)
{
  if (exec->refs || !exec->destroyed)
    return;
  free_work (exec->work);
  g_free (exec);
}

static void
run_graph (void *data)
{
  cudaGraphExec_t exec = data;

  for (guint i = 0; i < exec->work->len; i++) {
    Work *w = &g_array_index (exec->work, Work, i);

    w->func (w->data);
  }
  exec->refs--;
  exec_free (exec);
}

cudaError_t
cudaGraphExecDestroy (cudaGraphExec_t exec)
{
  fake_fault (__func__);
  g_rec_mutex_lock (&lock);
  exec->destroyed = TRUE;
  exec_free (exec);
  g_rec_mutex_unlock (&lock);
  return cudaSuccess;
}

cudaError_t
cudaGraphLaunch (cudaGraphExec_t exec, cudaStream_t stream)
{
  ENTER (__func__, cudaErrorLaunchFailure);
  g_rec_mutex_lock (&lock);
  exec->refs++;
  fake_stream_enqueue (stream, run_graph, exec, NULL);
  g_rec_mutex_unlock (&lock);
  return cudaSuccess;
}

/* ---- copies ------------------------------------------------------------- */

typedef struct
{
  void *dst;
  const void *src;
  size_t n_bytes;
  int value;                    /* where there is no src */
  guint8 copy[];
} Copy;

static void
run_copy (void *data)
{
  Copy *c = data;

  if (c->src)
    memmove (c->dst, c->src, c->n_bytes);
  else
    memset (c->dst, c->value, c->n_bytes);
}

/* From memory that is not pinned, a copy is taken at once. */
cudaError_t
cudaMemcpyAsync (void *dst, const void *src, size_t n_bytes,
    enum cudaMemcpyKind kind, cudaStream_t stream)
{
  gboolean to_device = kind == cudaMemcpyHostToDevice
      || kind == cudaMemcpyDeviceToDevice;
  gboolean pinned;
  Copy *copy;

  ENTER (__func__, cudaErrorInvalidValue);
  if (!n_bytes)
    return cudaSuccess;
  g_assert (!to_device || fake_is_device (dst, n_bytes));
  g_assert (kind == cudaMemcpyHostToDevice || fake_is_device (src, n_bytes));
  g_rec_mutex_lock (&lock);
  pinned = find_block_locked (src, n_bytes) != NULL;
  g_rec_mutex_unlock (&lock);
  copy = g_malloc (sizeof (Copy) + (pinned ? 0 : n_bytes));
  *copy = (Copy) {
  dst, src, n_bytes};
  if (!pinned)
    copy->src = memcpy (copy->copy, src, n_bytes);
  fake_stream_enqueue (stream, run_copy, copy, g_free);
  if (kind == cudaMemcpyDeviceToHost && !fake_is_device (dst, 1)) {
    gboolean host_pinned;

    g_rec_mutex_lock (&lock);
    host_pinned = find_block_locked (dst, n_bytes) != NULL;
    g_rec_mutex_unlock (&lock);
    if (!host_pinned)
      fake_stream_drain (stream);
  }
  return cudaSuccess;
}

cudaError_t
cudaMemcpy (void *dst, const void *src, size_t n_bytes,
    enum cudaMemcpyKind kind)
{
  cudaError_t status;

  ENTER (__func__, cudaErrorInvalidValue);
  status = cudaMemcpyAsync (dst, src, n_bytes, kind, NULL);
  fake_stream_drain (NULL);
  return status;
}

cudaError_t
cudaMemsetAsync (void *dst, int value, size_t n_bytes, cudaStream_t stream)
{
  Copy *copy = g_new0 (Copy, 1);

  *copy = (Copy) {
  dst, NULL, n_bytes, value};
  fake_stream_enqueue (stream, run_copy, copy, g_free);
  return cudaSuccess;
}

cudaError_t
cudaMemset (void *dst, int value, size_t n_bytes)
{
  ENTER (__func__, cudaErrorInvalidValue);
  g_assert (fake_is_device (dst, n_bytes));
  return cudaMemsetAsync (dst, value, n_bytes, NULL);
}

/* ---- events -------------------------------------------------------------- */

struct CUevent_st
{
  cudaStream_t stream;          /* whose work it follows */
  gboolean recorded;
  gint64 time_us;
};

cudaError_t
cudaEventCreateWithFlags (cudaEvent_t * event, unsigned flags)
{
  ENTER (__func__, cudaErrorMemoryAllocation);
  *event = g_new0 (struct CUevent_st, 1);
  return cudaSuccess;
}

cudaError_t
cudaEventDestroy (cudaEvent_t event)
{
  fake_fault (__func__);
  drain_all ();
  g_free (event);
  return cudaSuccess;
}

static void
run_record (void *data)
{
  cudaEvent_t event = data;

  event->time_us = g_get_monotonic_time ();
}

cudaError_t
cudaEventRecordWithFlags (cudaEvent_t event, cudaStream_t stream,
    unsigned flags)
{
  ENTER (__func__, cudaErrorInvalidResourceHandle);
  /* timing of what a graph does needs events outside of it */
  g_assert (!get_stream (stream)->captured == !(flags
          & cudaEventRecordExternal));
  event->stream = stream;
  event->recorded = TRUE;
  fake_stream_enqueue (stream, run_record, event, NULL);
  return cudaSuccess;
}

cudaError_t
cudaEventRecord (cudaEvent_t event, cudaStream_t stream)
{
  return cudaEventRecordWithFlags (event, stream, cudaEventRecordDefault);
}

cudaError_t
cudaEventSynchronize (cudaEvent_t event)
{
  ENTER (__func__, cudaErrorLaunchFailure);
  if (event->recorded)
    fake_stream_drain (event->stream);
  return cudaSuccess;
}

static void
run_wait (void *data)
{
  drain_locked (((cudaEvent_t) data)->stream);
}

cudaError_t
cudaStreamWaitEvent (cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
  ENTER (__func__, cudaErrorInvalidResourceHandle);
  if (event->recorded && event->stream != stream)
    fake_stream_enqueue (stream, run_wait, event, NULL);
  return cudaSuccess;
}

cudaError_t
cudaEventElapsedTime (float *ms, cudaEvent_t start, cudaEvent_t end)
{
  ENTER (__func__, cudaErrorInvalidResourceHandle);
  *ms = (end->time_us - start->time_us) / 1000.0f;
  return cudaSuccess;
}
