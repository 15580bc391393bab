/*
 * tune.c: which of cuDNN's engines computes a convolution: the fastest one of
 * those that it proposes, measured once. The choice is kept in a file for the
 * next start, which then neither measures nor compiles.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "conv_priv.h"

#include <glib/gstdio.h>
#include <string.h>

/* A measurement: so many runs in a CUDA graph, as frames have them, which is
 * launched so many times; the shortest counts. */
#define RUNS 4
#define LAUNCHES 3

/* What a file begins with; changes with what it contains. */
#define MAGIC "gst-condinst convolution 1"

/* ---- files -------------------------------------------------------------- */

/* All that a choice depends on. */
static gchar *
make_key (const CiCudaDevice * device, const CiConvSpec * s)
{
  return g_strdup_printf ("%s|%s|%d x %dx%dx%d > %dx%dx%d|k%d s%d p%d g%d|"
      "act%d%s", device->key, s->src.half ? "fp16" : "fp32", s->batch,
      s->src.cp, s->src.h, s->src.w, s->dst.cp, s->dst.h, s->dst.w, s->kernel,
      s->stride, s->padding, s->groups, s->activation,
      s->residual.data ? " residual" : "");
}

/* NULL: no files are wanted. */
static gchar *
file_name (const gchar * key)
{
  const gchar *dir = g_getenv ("GST_CONDINST_CACHE_DIR");
  g_autofree gchar *hash = NULL, *name = NULL;

  if (dir && !*dir)
    return NULL;
  hash = g_compute_checksum_for_string (G_CHECKSUM_SHA256, key, -1);
  name = g_strdup_printf ("conv-%.32s", hash);
  return dir ? g_build_filename (dir, name, NULL)
      : g_build_filename (g_get_user_cache_dir (), "gst-condinst", name, NULL);
}

/* The choice in a file, unless it is not ours, of another key or damaged. */
static gboolean
read_choice (CiEngine * engine)
{
  g_autofree gchar *name = file_name (engine->key), *text = NULL, *sum = NULL;
  g_auto (GStrv) lines = NULL;

  if (!name || !g_file_get_contents (name, &text, NULL, NULL))
    return FALSE;
  lines = g_strsplit (text, "\n", 5);
  if (g_strv_length (lines) != 5 || !g_str_equal (lines[0], MAGIC)
      || !g_str_equal (lines[1], engine->key)
      || strlen (lines[2]) != 1 || *lines[2] < '0'
      || *lines[2] >= '0' + CI_N_FORMS)
    return FALSE;
  sum = g_compute_checksum_for_string (G_CHECKSUM_SHA256, lines[4], -1);
  if (!g_str_equal (sum, lines[3]))
    return FALSE;
  engine->form = *lines[2] - '0';
  engine->json = g_strdup (lines[4]);
  return TRUE;
}

static void
write_choice (const CiEngine * engine)
{
  g_autofree gchar *name = file_name (engine->key), *dir = NULL;
  g_autofree gchar *text = NULL, *sum = NULL;
  g_autoptr (GError) error = NULL;

  if (!name || !engine->json)
    return;
  sum = g_compute_checksum_for_string (G_CHECKSUM_SHA256, engine->json, -1);
  text = g_strdup_printf (MAGIC "\n%s\n%d\n%s\n%s", engine->key, engine->form,
      sum, engine->json);
  dir = g_path_get_dirname (name);
  g_mkdir_with_parents (dir, 0700);
  if (!g_file_set_contents (name, text, -1, &error))
    g_debug ("the choice of an engine is not kept: %s", error->message);
}

/* ---- measuring ---------------------------------------------------------- */

/* Nobody has its address but runs to come. */
static gboolean
grow_workspace (CiPlan * plan, gsize bytes, GError ** error)
{
  CiCudaPlan *cuda = ci_cuda_plan (plan);
  gpointer workspace;

  if (bytes <= cuda->workspace_bytes)
    return TRUE;
  if (!(workspace = ci_cuda_plan_alloc (plan, bytes, error)))
    return FALSE;
  if (cuda->workspace) {
    g_ptr_array_remove_fast (cuda->memory, cuda->workspace);
    ci_cuda_free (cuda->device, cuda->workspace);
  }
  cuda->workspace = workspace;
  cuda->workspace_bytes = bytes;
  return TRUE;
}

/* Where and with what measuring is done. */
typedef struct
{
  cudaStream_t stream;
  cudaEvent_t start, end;
} Clock;

static void
clock_clear (Clock * clock)
{
  if (clock->start)
    cudaEventDestroy (clock->start);
  if (clock->end)
    cudaEventDestroy (clock->end);
  if (clock->stream)
    cudaStreamDestroy (clock->stream);
}

static gboolean
clock_init (Clock * clock, GError ** error)
{
  *clock = (Clock) {
  NULL};
  return ci_cuda_ok (cudaStreamCreateWithFlags (&clock->stream,
          cudaStreamNonBlocking), "cudaStreamCreate", error)
      && ci_cuda_ok (cudaEventCreateWithFlags (&clock->start,
          cudaEventDefault), "cudaEventCreate", error)
      && ci_cuda_ok (cudaEventCreateWithFlags (&clock->end,
          cudaEventDefault), "cudaEventCreate", error);
}

static gboolean
run_once (CiPlan * plan, const CiConv * conv, const CiEngine * engine,
    GError ** error)
{
  CiCudaPlan *cuda = ci_cuda_plan (plan);

  return ci_cudnn_ok (ci_engine_run (cuda->device, engine, &conv->spec,
          conv->bias, cuda->workspace), "a convolution", error);
}

/* A graph of several runs; it also shows that the engine can be captured. */
static cudaGraphExec_t
capture (CiPlan * plan, const CiConv * conv, const CiEngine * engine,
    const Clock * clock, GError ** error)
{
  cudaGraphExec_t exec = NULL;
  cudaGraph_t graph = NULL;
  gboolean ok = TRUE;

  if (!ci_cuda_ok (cudaStreamBeginCapture (clock->stream,
              cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture",
          error))
    return NULL;
  for (gint i = 0; i < RUNS && ok; i++)
    ok = run_once (plan, conv, engine, error);
  /* the first failure counts */
  ok = ci_cuda_ok (cudaStreamEndCapture (clock->stream, &graph),
      "cudaStreamEndCapture", ok ? error : NULL) && ok;
  if (ok && !ci_cuda_ok (cudaGraphInstantiate (&exec, graph, 0),
          "cudaGraphInstantiate", error))
    exec = NULL;
  if (graph)
    cudaGraphDestroy (graph);
  return exec;
}

/* Runs on the maps of the plan themselves: nothing in them counts yet.
 * @rival: whether there is another one; if not, it only has to work. */
static gboolean
measure (CiPlan * plan, const CiConv * conv, const CiEngine * engine,
    gboolean rival, const Clock * clock, gfloat * best, GError ** error)
{
  cudaGraphExec_t exec = NULL;
  gboolean ok;

  *best = G_MAXFLOAT / 2;
  /* what is loaded at the first run must not be while capturing */
  ok = grow_workspace (plan, engine->workspace, error)
      && run_once (plan, conv, engine, error)
      && ci_cuda_ok (cudaStreamSynchronize (clock->stream), "a convolution",
      error)
      && (!rival || (exec = capture (plan, conv, engine, clock, error)));
  for (gint i = 0; rival && ok && i <= LAUNCHES; i++) {
    gfloat ms = 0;

    ok = ci_cuda_ok (cudaEventRecord (clock->start, clock->stream),
        "cudaEventRecord", error)
        && ci_cuda_ok (cudaGraphLaunch (exec, clock->stream),
        "cudaGraphLaunch", error)
        && ci_cuda_ok (cudaEventRecord (clock->end, clock->stream),
        "cudaEventRecord", error)
        && ci_cuda_ok (cudaEventSynchronize (clock->end), "a convolution",
        error)
        && ci_cuda_ok (cudaEventElapsedTime (&ms, clock->start, clock->end),
        "cudaEventElapsedTime", error);
    if (i)                      /* the first one warms up */
      *best = MIN (*best, ms / RUNS);
  }
  if (exec)
    cudaGraphExecDestroy (exec);
  return ok;
}

/* The fastest of @engines, which it takes out of there; NULL and @error if none
 * works. */
static CiEngine *
take_fastest (CiPlan * plan, CiConv * conv, GPtrArray * engines,
    const Clock * clock, GError ** error)
{
  gint fastest = -1;
  gfloat best = G_MAXFLOAT;

  for (guint i = 0; i < engines->len; i++) {
    CiEngine *engine = g_ptr_array_index (engines, i);
    g_autoptr (GError) fault = NULL;
    gfloat ms;

    if (measure (plan, conv, engine, engines->len > 1, clock, &ms, &fault)) {
      if (ms < best) {
        best = ms;
        fastest = i;
      }
      continue;
    }
    g_debug ("an engine is left out: %s", fault->message);
    if (fastest < 0 && i + 1 == engines->len)
      g_propagate_error (error, g_steal_pointer (&fault));
  }
  return fastest < 0 ? NULL : g_ptr_array_steal_index (engines, fastest);
}

/* Sets @out to NULL if cuDNN has nothing. What it has, but does not work, is an
 * error: our own kernel would be many times slower. */
static gboolean
choose (CiPlan * plan, CiConv * conv, CiEngine ** out, GError ** error)
{
  CiCudaPlan *cuda = ci_cuda_plan (plan);
  CiCudaDevice *device = cuda->device;
  g_autoptr (GError) fault = NULL;
  Clock clock;
  gboolean ok = clock_init (&clock, error)
      && ci_cudnn_ok (cudnnSetStream (device->cudnn, clock.stream),
      "cudnnSetStream", error);

  *out = NULL;
  for (CiForm form = 0; ok && form < CI_N_FORMS && !*out; form++) {
    g_autoptr (GPtrArray) engines = NULL;

    if ((form == CI_FORM_FUSED_HALF_BIAS && !conv->spec.src.half)
        || (form != CI_FORM_PLAIN
            && conv->spec.activation == CI_ACTIVATION_HARD_SIGMOID))
      continue;
    g_clear_error (&fault);
    engines = ci_engines_new (device, &conv->spec, form, &fault);
    if (engines && engines->len
        && (ok = ci_conv_set_bias (plan, conv, form, error)))
      *out = take_fastest (plan, conv, engines, &clock, &fault);
  }
  /* the last form is the simplest one */
  if (ok && fault) {
    g_propagate_error (error, g_steal_pointer (&fault));
    ok = FALSE;
  }
  /* what an engine broke lastingly shows here */
  ok = ok && ci_cuda_ok (cudaStreamSynchronize (clock.stream),
      "measuring a convolution", error);
  cudnnSetStream (device->cudnn, cuda->stream);
  clock_clear (&clock);
  if (!ok)
    g_clear_pointer (out, ci_engine_free);
  return ok;
}

/* ---- choices ------------------------------------------------------------ */

/* The plan of a choice of an earlier time. It has to show that it works. */
static gboolean
revive (CiPlan * plan, CiConv * conv, CiEngine * engine)
{
  CiCudaPlan *cuda = ci_cuda_plan (plan);
  g_autoptr (GError) error = NULL;

  if (ci_engine_load (cuda->device, engine)
      && grow_workspace (plan, engine->workspace, &error)
      && ci_conv_set_bias (plan, conv, engine->form, &error)
      && ci_cudnn_ok (cudnnSetStream (cuda->device->cudnn, cuda->stream),
          "cudnnSetStream", &error)
      && run_once (plan, conv, engine, &error)
      && ci_cuda_ok (cudaStreamSynchronize (cuda->stream), "a convolution",
          &error))
    return TRUE;
  g_debug ("an earlier choice is of no use: %s: %s", engine->key,
      error ? error->message : "cuDNN does not take it");
  return FALSE;
}

/* The choice for @key, of an earlier time or a new one; NULL if there is
 * none. */
static gboolean
find_choice (CiPlan * plan, CiConv * conv, const gchar * key, CiEngine ** out,
    GError ** error)
{
  CiEngine *engine = g_new0 (CiEngine, 1);
  gboolean ok = TRUE;

  engine->key = g_strdup (key);
  if (!read_choice (engine) || !revive (plan, conv, engine)) {
    g_clear_pointer (&engine, ci_engine_free);
    ok = choose (plan, conv, &engine, error);
    if (engine) {
      engine->key = g_strdup (key);
      engine->json = ci_engine_save (engine);
      write_choice (engine);
    }
  }
  *out = engine;
  return ok;
}

gboolean
ci_conv_tune (CiPlan * plan, CiConv * conv, GError ** error)
{
  CiCudaDevice *device = ci_cuda_plan (plan)->device;
  g_autofree gchar *key = make_key (device, &conv->spec);
  CiEngine *engine;

  if (!device->choices)
    device->choices = g_hash_table_new_full (g_str_hash, g_str_equal, NULL,
        (GDestroyNotify) ci_engine_free);
  engine = g_hash_table_lookup (device->choices, key);
  if (engine && !engine->plan && !revive (plan, conv, engine)) {
    g_hash_table_remove (device->choices, key);
    engine = NULL;
  }
  if (!engine) {
    if (!find_choice (plan, conv, key, &engine, error))
      return FALSE;
    if (!engine)
      return TRUE;
    g_hash_table_insert (device->choices, engine->key, engine);
  }
  engine->n_users++;
  conv->engine = engine;
  return grow_workspace (plan, engine->workspace, error)
      && ci_conv_set_bias (plan, conv, engine->form, error);
}

void
ci_engine_unref (CiCudaPlan * user, CiEngine * engine)
{
  CiCudaDevice *device = user->device;
  gboolean entered;

  /* a plan that could not be compiled holds it still */
  if (!user->locked)
    g_mutex_lock (&device->lock);
  if ((entered = ci_cuda_enter (device, NULL))) {
    cudaStreamSynchronize (user->stream);
    /* that one will not live much longer */
    cudnnSetStream (device->cudnn, NULL);
  }
  if (--engine->n_users == 0) {
    cudnnBackendDestroyDescriptor (engine->plan);
    engine->plan = NULL;
  }
  if (entered)
    ci_cuda_leave (device);
  if (!user->locked)
    g_mutex_unlock (&device->lock);
}
