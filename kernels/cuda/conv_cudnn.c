/*
 * conv_cudnn.c: a convolution as an operation graph of cuDNN's backend API, and
 * the execution plans for it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "conv_priv.h"

#include <stdbool.h>
#include <string.h>

/* Plans of a graph that tuning gets at most, and configurations that are tried
 * for that. An engine that is compiled for the case takes about a second, so
 * there is a limit of time, too: microseconds. */
#define MAX_ENGINES 10
/* Fewer of them: 1 takes cuDNN's first guess and measures nothing. */
#define ENGINES_VARIABLE "GST_CONDINST_MAX_ENGINES"
#define MAX_CONFIGS 32
#define MAX_BUILD_TIME (2 * G_USEC_PER_SEC)

/* The tensors of a graph. */
enum
{
  UID_X = 1,
  UID_W,
  UID_Y,
  UID_BIAS,
  UID_RESIDUAL,
  UID_BETWEEN                   /* and what follows */
};

/* Descriptors that make a graph. Does nothing after the first failure. */
typedef struct
{
  cudnnStatus_t status;
  gint n;
  cudnnBackendDescriptor_t all[32];
} Builder;

static cudnnBackendDescriptor_t
add (Builder * b, cudnnBackendDescriptorType_t type)
{
  cudnnBackendDescriptor_t descriptor = NULL;

  if (b->status == CUDNN_STATUS_SUCCESS)
    b->status = cudnnBackendCreateDescriptor (type, &descriptor);
  if (b->status != CUDNN_STATUS_SUCCESS)
    return NULL;
  g_assert (b->n < (gint) G_N_ELEMENTS (b->all));
  b->all[b->n++] = descriptor;
  return descriptor;
}

static void
set (Builder * b, cudnnBackendDescriptor_t descriptor,
    cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
    gint64 n, gconstpointer values)
{
  if (b->status == CUDNN_STATUS_SUCCESS)
    b->status = cudnnBackendSetAttribute (descriptor, name, type, n, values);
}

static void
set_descriptor (Builder * b, cudnnBackendDescriptor_t descriptor,
    cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t value)
{
  set (b, descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static cudnnBackendDescriptor_t
finish (Builder * b, cudnnBackendDescriptor_t descriptor)
{
  if (b->status == CUDNN_STATUS_SUCCESS)
    b->status = cudnnBackendFinalize (descriptor);
  return descriptor;
}

static void
builder_clear (Builder * b)
{
  while (b->n)
    cudnnBackendDestroyDescriptor (b->all[--b->n]);
}

/* Channels lie side by side; cuDNN counts dimensions as N, C, H, W all the
 * same. */
static cudnnBackendDescriptor_t
tensor (Builder * b, gint64 uid, cudnnDataType_t type, gint64 n, gint64 c,
    gint64 h, gint64 w)
{
  cudnnBackendDescriptor_t t = add (b, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  gint64 dims[4] = { n, c, h, w }, strides[4] = { h * w * c, 1, w * c, c };
  gint64 alignment = 16;
  bool is_virtual = uid >= UID_BETWEEN;

  set (b, t, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
  set (b, t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims);
  set (b, t, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
  set (b, t, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
  set (b, t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1,
      &alignment);
  if (is_virtual)
    set (b, t, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1,
        &is_virtual);
  return finish (b, t);
}

static cudnnBackendDescriptor_t
convolution (Builder * b, const CiConvSpec * spec, cudnnBackendDescriptor_t x,
    cudnnBackendDescriptor_t w, cudnnBackendDescriptor_t y)
{
  cudnnBackendDescriptor_t d = add (b, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  cudnnBackendDescriptor_t op;
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  gint64 n = 2, ones[2] = { 1, 1 };
  gint64 strides[2] = { spec->stride, spec->stride };
  gint64 paddings[2] = { spec->padding, spec->padding };
  gfloat alpha = 1, beta = 0;

  set (b, d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &n);
  set (b, d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
  set (b, d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1,
      &mode);
  set (b, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, ones);
  set (b, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2,
      strides);
  set (b, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2,
      paddings);
  set (b, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2,
      paddings);
  finish (b, d);

  op = add (b, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
  set_descriptor (b, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
      d);
  set_descriptor (b, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x);
  set_descriptor (b, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, w);
  set_descriptor (b, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, y);
  set (b, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT,
      1, &alpha);
  set (b, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT,
      1, &beta);
  return finish (b, op);
}

/* @other NULL: of one tensor. @limit > 0: an upper limit of relu, @slope > 0:
 * what relu does below 0. */
static cudnnBackendDescriptor_t
pointwise (Builder * b, cudnnPointwiseMode_t mode, gdouble limit,
    gdouble slope, cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t other,
    cudnnBackendDescriptor_t y)
{
  cudnnBackendDescriptor_t d = add (b, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  cudnnBackendDescriptor_t op;
  cudnnDataType_t type = CUDNN_DATA_FLOAT;

  set (b, d, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
  set (b, d, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &type);
  if (limit > 0)
    set (b, d, CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, CUDNN_TYPE_DOUBLE, 1,
        &limit);
  if (slope > 0)
    set (b, d, CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, CUDNN_TYPE_DOUBLE,
        1, &slope);
  finish (b, d);

  op = add (b, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  set_descriptor (b, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, d);
  set_descriptor (b, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
  if (other)
    set_descriptor (b, op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, other);
  set_descriptor (b, op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
  return finish (b, op);
}

/* The residual comes before the bias: that is the order in which cuDNN's own
 * fused convolutions have them, and those compiled for a graph take any. What
 * lies between two operations never reaches memory and is of floats. */
static cudnnBackendDescriptor_t
operation_graph (Builder * b, CiCudaDevice * device, const CiConvSpec * spec,
    CiForm form)
{
  cudnnDataType_t type = spec->src.half ? CUDNN_DATA_HALF : CUDNN_DATA_FLOAT;
  const CiView *src = &spec->src, *dst = &spec->dst;
  cudnnBackendDescriptor_t tensors[4], with[3] = { NULL }, ops[4], graph;
  cudnnPointwiseMode_t modes[3];
  gdouble limit = 0, slope = 0;
  gint n = 0;

  if (form != CI_FORM_PLAIN) {
    if (spec->residual.data) {
      with[n] = tensor (b, UID_RESIDUAL, type, spec->batch, dst->cp, dst->h,
          dst->w);
      modes[n++] = CUDNN_POINTWISE_ADD;
    }
    with[n] = tensor (b, UID_BIAS, form == CI_FORM_FUSED ? CUDNN_DATA_FLOAT
        : CUDNN_DATA_HALF, 1, dst->cp, 1, 1);
    modes[n++] = CUDNN_POINTWISE_ADD;
    if (spec->activation != CI_ACTIVATION_NONE)
      modes[n++] = spec->activation == CI_ACTIVATION_SWISH
          ? CUDNN_POINTWISE_SWISH_FWD : CUDNN_POINTWISE_RELU_FWD;
    if (spec->activation == CI_ACTIVATION_RELU6)
      limit = 6;
    if (spec->activation == CI_ACTIVATION_LEAKY_RELU)
      slope = CI_LEAKY_RELU_SLOPE;
  }
  for (gint i = 0; i < n; i++)
    tensors[i] = tensor (b, UID_BETWEEN + i, CUDNN_DATA_FLOAT, spec->batch,
        dst->cp, dst->h, dst->w);
  tensors[n] = tensor (b, UID_Y, type, spec->batch, dst->cp, dst->h, dst->w);
  ops[0] = convolution (b, spec, tensor (b, UID_X, type, spec->batch, src->cp,
          src->h, src->w), tensor (b, UID_W, type, dst->cp,
          src->cp / spec->groups, spec->kernel, spec->kernel), tensors[0]);
  for (gint i = 0; i < n; i++)
    ops[i + 1] = pointwise (b, modes[i], with[i] ? 0 : limit,
        with[i] ? 0 : slope, tensors[i], with[i], tensors[i + 1]);

  graph = add (b, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  set (b, graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1,
      &device->cudnn);
  set (b, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
      n + 1, ops);
  return finish (b, graph);
}

/* Whether an engine computes what we want: the same result each time, sums of
 * floats and, of maps of floats, products of floats. Transforms (Winograd, FFT)
 * lose digits. */
static gboolean
is_exact (cudnnBackendDescriptor_t config, gboolean half)
{
  cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
  cudnnBackendDescriptor_t engine;
  gint64 n = 0;
  gboolean good;

  if (cudnnBackendCreateDescriptor (CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine)
      != CUDNN_STATUS_SUCCESS)
    return FALSE;
  good = cudnnBackendGetAttribute (config, CUDNN_ATTR_ENGINECFG_ENGINE,
      CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &n, &engine) == CUDNN_STATUS_SUCCESS
      && cudnnBackendGetAttribute (engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
      CUDNN_TYPE_NUMERICAL_NOTE, G_N_ELEMENTS (notes), &n, notes)
      == CUDNN_STATUS_SUCCESS;
  n = MIN (n, (gint64) G_N_ELEMENTS (notes));
  for (gint64 i = 0; good && i < n; i++)
    switch (notes[i]) {
      case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
        good = half;
        break;
      case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
      case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
      case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
      case CUDNN_NUMERICAL_NOTE_FFT:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13:
        good = FALSE;
        break;
      default:
        break;
    }
  cudnnBackendDestroyDescriptor (engine);
  return good;
}

/* Takes @plan, finalises it and looks how much memory it needs. */
static gboolean
engine_set_plan (CiEngine * engine, CiCudaDevice * device,
    cudnnBackendDescriptor_t plan)
{
  gint64 n = 0, workspace = 0;

  if (cudnnBackendSetAttribute (plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE,
          CUDNN_TYPE_HANDLE, 1, &device->cudnn) != CUDNN_STATUS_SUCCESS
      || cudnnBackendFinalize (plan) != CUDNN_STATUS_SUCCESS
      || cudnnBackendGetAttribute (plan,
          CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &n,
          &workspace) != CUDNN_STATUS_SUCCESS
      || workspace < 0 || workspace > CI_MAX_WORKSPACE) {
    cudnnBackendDestroyDescriptor (plan);
    return FALSE;
  }
  engine->plan = plan;
  engine->workspace = workspace;
  return TRUE;
}

static void
add_engine (GPtrArray * engines, CiCudaDevice * device,
    cudnnBackendDescriptor_t config, CiForm form)
{
  cudnnBackendDescriptor_t plan;
  CiEngine *engine;

  if (cudnnBackendCreateDescriptor (CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR,
          &plan) != CUDNN_STATUS_SUCCESS)
    return;
  if (cudnnBackendSetAttribute (plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
          CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &config) != CUDNN_STATUS_SUCCESS) {
    cudnnBackendDestroyDescriptor (plan);
    return;
  }
  engine = g_new0 (CiEngine, 1);
  engine->form = form;
  if (engine_set_plan (engine, device, plan))
    g_ptr_array_add (engines, engine);
  else
    ci_engine_free (engine);
}

static guint
max_engines (void)
{
  const gchar *text = g_getenv (ENGINES_VARIABLE);
  guint64 n = text ? g_ascii_strtoull (text, NULL, 10) : MAX_ENGINES;

  return CLAMP (n, 1, MAX_ENGINES);
}

/* Whether @status is more than a way to say that there is nothing. */
static gboolean
is_fault (cudnnStatus_t status)
{
  return status != CUDNN_STATUS_SUCCESS
      && CUDNN_STATUS_CATEGORY (status) != CUDNN_STATUS_BAD_PARAM
      && CUDNN_STATUS_CATEGORY (status) != CUDNN_STATUS_NOT_SUPPORTED;
}

/* Adds plans of the configurations that one of cuDNN's heuristics proposes. */
static cudnnStatus_t
ask (GPtrArray * engines, CiCudaDevice * device,
    cudnnBackendDescriptor_t graph, cudnnBackendHeurMode_t mode, CiForm form,
    gboolean half)
{
  Builder b = { CUDNN_STATUS_SUCCESS, 0, {NULL} };
  cudnnBackendDescriptor_t configs[MAX_CONFIGS] = { NULL };
  cudnnBackendDescriptor_t heuristics =
      add (&b, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  gint64 start = g_get_monotonic_time (), n = 0, n_made = 0;

  set_descriptor (&b, heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
      graph);
  set (&b, heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1,
      &mode);
  finish (&b, heuristics);
  if (b.status == CUDNN_STATUS_SUCCESS)
    b.status = cudnnBackendGetAttribute (heuristics,
        CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &n,
        NULL);
  n = b.status == CUDNN_STATUS_SUCCESS ? CLAMP (n, 0, MAX_CONFIGS) : 0;
  while (n_made < n
      && cudnnBackendCreateDescriptor (CUDNN_BACKEND_ENGINECFG_DESCRIPTOR,
          &configs[n_made]) == CUDNN_STATUS_SUCCESS)
    n_made++;
  n = n_made;
  if (n && cudnnBackendGetAttribute (heuristics,
          CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, n_made,
          &n, configs) != CUDNN_STATUS_SUCCESS)
    n = 0;
  for (gint64 i = 0; i < MIN (n, n_made) && engines->len < max_engines ()
      && !(engines->len
          && g_get_monotonic_time () - start > MAX_BUILD_TIME); i++)
    if (is_exact (configs[i], half))
      add_engine (engines, device, configs[i], form);
  while (n_made)
    cudnnBackendDestroyDescriptor (configs[--n_made]);
  builder_clear (&b);
  return b.status;
}

GPtrArray *
ci_engines_new (CiCudaDevice * device, const CiConvSpec * spec, CiForm form,
    GError ** error)
{
  static const cudnnBackendHeurMode_t modes[] = {
    CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK
  };
  GPtrArray *engines =
      g_ptr_array_new_with_free_func ((GDestroyNotify) ci_engine_free);
  Builder b = { CUDNN_STATUS_SUCCESS, 0, {NULL} };
  cudnnBackendDescriptor_t graph = operation_graph (&b, device, spec, form);
  gboolean graph_made = b.status == CUDNN_STATUS_SUCCESS;

  for (guint i = 0; graph_made && i < G_N_ELEMENTS (modes) && !engines->len
      && !is_fault (b.status); i++)
    b.status = ask (engines, device, graph, modes[i], form, spec->src.half);
  if (is_fault (b.status)) {
    ci_cudnn_ok (b.status, "looking for engines", error);
    g_clear_pointer (&engines, g_ptr_array_unref);
  }
  builder_clear (&b);
  return engines;
}

gboolean
ci_engine_load (CiCudaDevice * device, CiEngine * engine)
{
  cudnnBackendDescriptor_t plan;

  if (!engine->json
      || cudnnBackendCreateDescriptor (CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR,
          &plan) != CUDNN_STATUS_SUCCESS)
    return FALSE;
  if (cudnnBackendSetAttribute (plan,
          CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
          strlen (engine->json), engine->json) != CUDNN_STATUS_SUCCESS) {
    cudnnBackendDestroyDescriptor (plan);
    return FALSE;
  }
  return engine_set_plan (engine, device, plan);
}

gchar *
ci_engine_save (const CiEngine * engine)
{
  g_autofree gchar *json = NULL;
  gint64 n = 0;

  if (cudnnBackendGetAttribute (engine->plan,
          CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, 0,
          &n, NULL) != CUDNN_STATUS_SUCCESS || n < 1)
    return NULL;
  json = g_malloc0 (n + 1);
  if (cudnnBackendGetAttribute (engine->plan,
          CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, n,
          &n, json) != CUDNN_STATUS_SUCCESS || !*json)
    return NULL;
  return g_steal_pointer (&json);
}

cudnnStatus_t
ci_engine_run (CiCudaDevice * device, const CiEngine * engine,
    const CiConvSpec * spec, gconstpointer bias, gpointer workspace)
{
  Builder b = { CUDNN_STATUS_SUCCESS, 0, {NULL} };
  cudnnBackendDescriptor_t pack =
      add (&b, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  gint64 uids[5] = { UID_X, UID_W, UID_Y, UID_BIAS, UID_RESIDUAL };
  gconstpointer pointers[5] = { spec->src.data, spec->weight, spec->dst.data,
    bias, spec->residual.data
  };
  gint n = engine->form == CI_FORM_PLAIN ? 3 : spec->residual.data ? 5 : 4;

  set (&b, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n,
      uids);
  set (&b, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n,
      pointers);
  set (&b, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1,
      &workspace);
  finish (&b, pack);
  if (b.status == CUDNN_STATUS_SUCCESS)
    b.status = cudnnBackendExecute (device->cudnn, engine->plan, pack);
  builder_clear (&b);
  return b.status;
}

void
ci_engine_free (CiEngine * engine)
{
  if (engine->plan)
    cudnnBackendDestroyDescriptor (engine->plan);
  g_free (engine->json);
  g_free (engine->key);
  g_free (engine);
}
