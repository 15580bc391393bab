/*
 * cudnn.c: a cuDNN for convolutions with what may be fused to them. It takes
 * attributes as strictly as the documentation says, proposes engines good and
 * bad, and computes on the host. What an engine has a note about, it does
 * badly, so that nobody uses it unnoticed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "fakecuda.h"

#include <stdbool.h>
#include <string.h>

#include "cudnn_job.h"

/* ---- descriptors --------------------------------------------------------- */

typedef struct
{
  cudnnBackendAttributeType_t type;
  gint64 n;
  gpointer values;
} Attribute;

typedef struct
{
  gint refs;
  cudnnBackendDescriptorType_t type;
  gboolean final;
  GHashTable *attributes;       /* Attribute, by name */
  Graph graph;                  /* of graphs and all that are made of them */
} Descriptor;

struct cudnnContext
{
  cudaStream_t stream;
};

/* How an attribute has to be set. */
typedef struct
{
  cudnnBackendDescriptorType_t descriptor;
  cudnnBackendAttributeName_t name;
  cudnnBackendAttributeType_t type;
  gint64 min, max;              /* elements */
  gboolean required;
  gint of;                      /* type of the descriptors that they are */
} Rule;

#define D(name) CUDNN_BACKEND_##name##_DESCRIPTOR
#define A(name) CUDNN_ATTR_##name
#define T(name) CUDNN_TYPE_##name
static const Rule rules[] = {
  {D (TENSOR), A (TENSOR_DATA_TYPE), T (DATA_TYPE), 1, 1, TRUE, -1},
  {D (TENSOR), A (TENSOR_DIMENSIONS), T (INT64), 1, CUDNN_DIM_MAX, TRUE, -1},
  {D (TENSOR), A (TENSOR_STRIDES), T (INT64), 1, CUDNN_DIM_MAX, TRUE, -1},
  {D (TENSOR), A (TENSOR_UNIQUE_ID), T (INT64), 1, 1, TRUE, -1},
  {D (TENSOR), A (TENSOR_BYTE_ALIGNMENT), T (INT64), 1, 1, TRUE, -1},
  {D (TENSOR), A (TENSOR_IS_VIRTUAL), T (BOOLEAN), 1, 1, FALSE, -1},
  {D (CONVOLUTION), A (CONVOLUTION_SPATIAL_DIMS), T (INT64), 1, 1, TRUE, -1},
  {D (CONVOLUTION), A (CONVOLUTION_COMP_TYPE), T (DATA_TYPE), 1, 1, TRUE, -1},
  {D (CONVOLUTION), A (CONVOLUTION_CONV_MODE), T (CONVOLUTION_MODE), 1, 1,
      TRUE, -1},
  {D (CONVOLUTION), A (CONVOLUTION_DILATIONS), T (INT64), 2, 2, TRUE, -1},
  {D (CONVOLUTION), A (CONVOLUTION_FILTER_STRIDES), T (INT64), 2, 2, TRUE, -1},
  {D (CONVOLUTION), A (CONVOLUTION_PRE_PADDINGS), T (INT64), 2, 2, TRUE, -1},
  {D (CONVOLUTION), A (CONVOLUTION_POST_PADDINGS), T (INT64), 2, 2, TRUE, -1},
  {D (OPERATION_CONVOLUTION_FORWARD),
        A (OPERATION_CONVOLUTION_FORWARD_CONV_DESC), T (BACKEND_DESCRIPTOR),
      1, 1, TRUE, D (CONVOLUTION)},
  {D (OPERATION_CONVOLUTION_FORWARD), A (OPERATION_CONVOLUTION_FORWARD_X),
      T (BACKEND_DESCRIPTOR), 1, 1, TRUE, D (TENSOR)},
  {D (OPERATION_CONVOLUTION_FORWARD), A (OPERATION_CONVOLUTION_FORWARD_W),
      T (BACKEND_DESCRIPTOR), 1, 1, TRUE, D (TENSOR)},
  {D (OPERATION_CONVOLUTION_FORWARD), A (OPERATION_CONVOLUTION_FORWARD_Y),
      T (BACKEND_DESCRIPTOR), 1, 1, TRUE, D (TENSOR)},
  {D (OPERATION_CONVOLUTION_FORWARD), A (OPERATION_CONVOLUTION_FORWARD_ALPHA),
      T (FLOAT), 1, 1, TRUE, -1},
  {D (OPERATION_CONVOLUTION_FORWARD), A (OPERATION_CONVOLUTION_FORWARD_BETA),
      T (FLOAT), 1, 1, TRUE, -1},
  {D (POINTWISE), A (POINTWISE_MODE), T (POINTWISE_MODE), 1, 1, TRUE, -1},
  {D (POINTWISE), A (POINTWISE_MATH_PREC), T (DATA_TYPE), 1, 1, TRUE, -1},
  {D (POINTWISE), A (POINTWISE_RELU_UPPER_CLIP), T (DOUBLE), 1, 1, FALSE, -1},
  {D (POINTWISE), A (POINTWISE_RELU_LOWER_CLIP_SLOPE), T (DOUBLE), 1, 1, FALSE,
      -1},
  {D (OPERATION_POINTWISE), A (OPERATION_POINTWISE_PW_DESCRIPTOR),
      T (BACKEND_DESCRIPTOR), 1, 1, TRUE, D (POINTWISE)},
  {D (OPERATION_POINTWISE), A (OPERATION_POINTWISE_XDESC),
      T (BACKEND_DESCRIPTOR), 1, 1, TRUE, D (TENSOR)},
  {D (OPERATION_POINTWISE), A (OPERATION_POINTWISE_BDESC),
      T (BACKEND_DESCRIPTOR), 1, 1, FALSE, D (TENSOR)},
  {D (OPERATION_POINTWISE), A (OPERATION_POINTWISE_YDESC),
      T (BACKEND_DESCRIPTOR), 1, 1, TRUE, D (TENSOR)},
  {D (OPERATIONGRAPH), A (OPERATIONGRAPH_HANDLE), T (HANDLE), 1, 1, TRUE, -1},
  {D (OPERATIONGRAPH), A (OPERATIONGRAPH_OPS), T (BACKEND_DESCRIPTOR), 1,
      MAX_OPS, TRUE, -1},
  {D (ENGINEHEUR), A (ENGINEHEUR_OPERATION_GRAPH), T (BACKEND_DESCRIPTOR), 1,
      1, TRUE, D (OPERATIONGRAPH)},
  {D (ENGINEHEUR), A (ENGINEHEUR_MODE), T (HEUR_MODE), 1, 1, TRUE, -1},
  {D (EXECUTION_PLAN), A (EXECUTION_PLAN_HANDLE), T (HANDLE), 1, 1, TRUE, -1},
  {D (EXECUTION_PLAN), A (EXECUTION_PLAN_ENGINE_CONFIG),
      T (BACKEND_DESCRIPTOR), 1, 1, FALSE, D (ENGINECFG)},
  {D (EXECUTION_PLAN), A (EXECUTION_PLAN_JSON_REPRESENTATION), T (CHAR), 1,
      G_MAXINT, FALSE, -1},
  {D (VARIANT_PACK), A (VARIANT_PACK_UNIQUE_IDS), T (INT64), 1, MAX_TENSORS,
      TRUE, -1},
  {D (VARIANT_PACK), A (VARIANT_PACK_DATA_POINTERS), T (VOID_PTR), 1,
      MAX_TENSORS, TRUE, -1},
  {D (VARIANT_PACK), A (VARIANT_PACK_WORKSPACE), T (VOID_PTR), 1, 1, TRUE,
      -1},
};

static gsize
type_bytes (cudnnBackendAttributeType_t type)
{
  switch (type) {
    case CUDNN_TYPE_CHAR:
      return 1;
    case CUDNN_TYPE_BOOLEAN:
      return sizeof (bool);
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_DOUBLE:
      return 8;
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
      return sizeof (gpointer);
    default:                   /* enumerations and floats */
      return 4;
  }
}

static void
descriptor_unref (Descriptor * d)
{
  if (--d->refs)
    return;
  g_hash_table_unref (d->attributes);
  g_free (d);
}

static void
attribute_free (gpointer data)
{
  Attribute *a = data;

  if (a->type == CUDNN_TYPE_BACKEND_DESCRIPTOR)
    for (gint64 i = 0; i < a->n; i++)
      descriptor_unref (((Descriptor **) a->values)[i]);
  g_free (a->values);
  g_free (a);
}

/* NULL: it has not been set. */
static gconstpointer
get (const Descriptor * d, cudnnBackendAttributeName_t name)
{
  const Attribute *a = g_hash_table_lookup (d->attributes,
      GINT_TO_POINTER (name));

  return a ? a->values : NULL;
}

static gint64
get_n (const Descriptor * d, cudnnBackendAttributeName_t name)
{
  const Attribute *a = g_hash_table_lookup (d->attributes,
      GINT_TO_POINTER (name));

  return a ? a->n : 0;
}

static const Descriptor *
get_descriptor (const Descriptor * d, cudnnBackendAttributeName_t name)
{
  Descriptor *const *value = get (d, name);

  return value ? *value : NULL;
}

static gint
get_enum (const Descriptor * d, cudnnBackendAttributeName_t name)
{
  return *(const gint *) get (d, name);
}

#define ENTER \
  if (fake_fault (__func__)) \
    return CUDNN_STATUS_INTERNAL_ERROR; \
  if (!fake_has_context ()) \
    return CUDNN_STATUS_EXECUTION_FAILED_CUDART;

cudnnStatus_t
cudnnBackendCreateDescriptor (cudnnBackendDescriptorType_t type,
    cudnnBackendDescriptor_t * descriptor)
{
  Descriptor *d;

  ENTER;
  d = g_new0 (Descriptor, 1);
  d->refs = 1;
  d->type = type;
  d->attributes = g_hash_table_new_full (NULL, NULL, NULL, attribute_free);
  *descriptor = d;
  return CUDNN_STATUS_SUCCESS;
}

/* A fault frees nevertheless: nobody could try again. */
cudnnStatus_t
cudnnBackendDestroyDescriptor (cudnnBackendDescriptor_t descriptor)
{
  gboolean fails = fake_fault (__func__);

  if (!descriptor)
    return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
  descriptor_unref (descriptor);
  return fails ? CUDNN_STATUS_INTERNAL_ERROR : CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnBackendSetAttribute (cudnnBackendDescriptor_t descriptor,
    cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
    int64_t n, const void *values)
{
  Descriptor *d = descriptor;
  const Rule *rule = NULL;
  Attribute *attribute;

  ENTER;
  if (!d || !values)
    return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
  for (guint i = 0; i < G_N_ELEMENTS (rules); i++)
    if (rules[i].descriptor == d->type && rules[i].name == name)
      rule = &rules[i];
  if (!rule || d->final)
    return CUDNN_STATUS_BAD_PARAM;
  if (type != rule->type)
    return CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE;
  if (n < rule->min || n > rule->max)
    return CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT;
  if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR)
    for (gint64 i = 0; i < n; i++) {
      Descriptor *value = ((Descriptor * const *) values)[i];

      if (!value || !value->final)
        return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
      if (rule->of >= 0 && (gint) value->type != rule->of)
        return CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE;
    }
  if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR)
    for (gint64 i = 0; i < n; i++)
      ((Descriptor * const *) values)[i]->refs++;
  attribute = g_new (Attribute, 1);
  *attribute = (Attribute) {
  type, n, g_memdup2 (values, n * type_bytes (type))};
  g_hash_table_replace (d->attributes, GINT_TO_POINTER (name), attribute);
  return CUDNN_STATUS_SUCCESS;
}

/* ---- finishing ----------------------------------------------------------- */

static cudnnStatus_t
finish_tensor (const Descriptor * d)
{
  gint64 n = get_n (d, A (TENSOR_DIMENSIONS));
  const gint64 *dims = get (d, A (TENSOR_DIMENSIONS));
  gint64 alignment = *(const gint64 *) get (d, A (TENSOR_BYTE_ALIGNMENT));

  if (n != get_n (d, A (TENSOR_STRIDES)) || n != MAX_DIMS)
    return CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH;
  for (gint64 i = 0; i < n; i++)
    if (dims[i] < 1)
      return CUDNN_STATUS_BAD_PARAM_OUT_OF_BOUND;
  return alignment > 0 && !(alignment & (alignment - 1))
      ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

static Tensor
make_tensor (const Descriptor * d)
{
  const bool *is_virtual = get (d, A (TENSOR_IS_VIRTUAL));
  Tensor t = { *(const gint64 *) get (d, A (TENSOR_UNIQUE_ID)),
    get_enum (d, A (TENSOR_DATA_TYPE)), is_virtual && *is_virtual,
    *(const gint64 *) get (d, A (TENSOR_BYTE_ALIGNMENT)), {0}, {0}
  };

  memcpy (t.dims, get (d, A (TENSOR_DIMENSIONS)), sizeof (t.dims));
  memcpy (t.strides, get (d, A (TENSOR_STRIDES)), sizeof (t.strides));
  return t;
}

/* The tensor's number in @graph; -1: it contradicts another of that id. */
static gint64
add_tensor (Graph * graph, const Descriptor * d)
{
  Tensor t = make_tensor (d);

  for (gint64 i = 0; i < graph->n_tensors; i++)
    if (graph->tensors[i].uid == t.uid)
      return memcmp (&graph->tensors[i], &t, sizeof (t)) ? -1 : i;
  g_assert (graph->n_tensors < MAX_TENSORS);
  graph->tensors[graph->n_tensors] = t;
  return graph->n_tensors++;
}

static gboolean
is_produced (const Graph * graph, gint64 tensor)
{
  for (gint64 i = 0; i < graph->n_ops; i++)
    if (graph->ops[i].y == tensor)
      return TRUE;
  return !graph->tensors[tensor].is_virtual;
}

static cudnnStatus_t
add_convolution (Graph * graph, const Descriptor * d, Op * op)
{
  const Descriptor *conv = get_descriptor (d,
      A (OPERATION_CONVOLUTION_FORWARD_CONV_DESC));
  const Tensor *x, *w, *y;

  op->mode = CONVOLUTION;
  op->x = add_tensor (graph, get_descriptor (d,
          A (OPERATION_CONVOLUTION_FORWARD_X)));
  op->b = add_tensor (graph, get_descriptor (d,
          A (OPERATION_CONVOLUTION_FORWARD_W)));
  op->y = add_tensor (graph, get_descriptor (d,
          A (OPERATION_CONVOLUTION_FORWARD_Y)));
  if (op->x < 0 || op->b < 0 || op->y < 0)
    return CUDNN_STATUS_BAD_PARAM_DUPLICATED_ENTRIES;
  memcpy (op->stride, get (conv, A (CONVOLUTION_FILTER_STRIDES)), 16);
  memcpy (op->pre, get (conv, A (CONVOLUTION_PRE_PADDINGS)), 16);
  memcpy (op->post, get (conv, A (CONVOLUTION_POST_PADDINGS)), 16);
  memcpy (op->dilation, get (conv, A (CONVOLUTION_DILATIONS)), 16);
  x = &graph->tensors[op->x];
  w = &graph->tensors[op->b];
  y = &graph->tensors[op->y];
  if (*(const gint64 *) get (conv, A (CONVOLUTION_SPATIAL_DIMS)) != 2
      || get_enum (conv, A (CONVOLUTION_CONV_MODE)) != CUDNN_CROSS_CORRELATION
      || get_enum (conv, A (CONVOLUTION_COMP_TYPE)) != CUDNN_DATA_FLOAT
      || *(const gfloat *) get (d, A (OPERATION_CONVOLUTION_FORWARD_ALPHA))
      != 1 || *(const gfloat *) get (d,
          A (OPERATION_CONVOLUTION_FORWARD_BETA)) != 0)
    return CUDNN_STATUS_NOT_SUPPORTED;
  if (x->dims[1] % w->dims[1] || w->dims[0] % (x->dims[1] / w->dims[1])
      || y->dims[0] != x->dims[0] || y->dims[1] != w->dims[0])
    return CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH;
  for (gint i = 0; i < 2; i++)
    if (y->dims[2 + i] != (x->dims[2 + i] + op->pre[i] + op->post[i]
            - op->dilation[i] * (w->dims[2 + i] - 1) - 1) / op->stride[i] + 1)
      return CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH;
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t
add_pointwise (Graph * graph, const Descriptor * d, Op * op)
{
  const Descriptor *pointwise = get_descriptor (d,
      A (OPERATION_POINTWISE_PW_DESCRIPTOR));
  const Descriptor *b = get_descriptor (d, A (OPERATION_POINTWISE_BDESC));
  const gdouble *clip = get (pointwise, A (POINTWISE_RELU_UPPER_CLIP));
  const gdouble *below = get (pointwise,
      A (POINTWISE_RELU_LOWER_CLIP_SLOPE));
  gdouble limit = clip ? *clip : G_MAXDOUBLE, slope = below ? *below : 0;

  op->mode = get_enum (pointwise, A (POINTWISE_MODE));
  op->x = add_tensor (graph, get_descriptor (d,
          A (OPERATION_POINTWISE_XDESC)));
  op->b = b ? add_tensor (graph, b) : -1;
  op->y = add_tensor (graph, get_descriptor (d,
          A (OPERATION_POINTWISE_YDESC)));
  memcpy (&op->upper_clip, &limit, sizeof (limit));
  memcpy (&op->slope, &slope, sizeof (slope));
  if (op->x < 0 || op->y < 0 || (b && op->b < 0))
    return CUDNN_STATUS_BAD_PARAM_DUPLICATED_ENTRIES;
  if ((op->mode == CUDNN_POINTWISE_ADD) != (b != NULL)
      || ((clip || below) && op->mode != CUDNN_POINTWISE_RELU_FWD))
    return CUDNN_STATUS_BAD_PARAM;
  for (gint i = 0; i < MAX_DIMS; i++) {
    gint64 n = graph->tensors[op->y].dims[i];
    gint64 m = b ? graph->tensors[op->b].dims[i] : n;

    if (graph->tensors[op->x].dims[i] != n || (m != n && m != 1))
      return CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH;
  }
  return is_produced (graph, op->x) ? CUDNN_STATUS_SUCCESS
      : CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN;
}

static cudnnStatus_t
finish_graph (Descriptor * d)
{
  Descriptor *const *ops = get (d, A (OPERATIONGRAPH_OPS));
  Graph *graph = &d->graph;
  gint64 n = get_n (d, A (OPERATIONGRAPH_OPS));

  if (!*(const gpointer *) get (d, A (OPERATIONGRAPH_HANDLE)))
    return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
  for (gint64 i = 0; i < n; i++) {
    Op op = { 0 };
    cudnnStatus_t status = ops[i]->type == D (OPERATION_POINTWISE)
        ? add_pointwise (graph, ops[i], &op)
        : add_convolution (graph, ops[i], &op);

    if (status != CUDNN_STATUS_SUCCESS)
      return status;
    graph->ops[graph->n_ops++] = op;
  }
  return graph->tensors[graph->ops[n - 1].y].is_virtual
      ? CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN : CUDNN_STATUS_SUCCESS;
}

/* How many engines there are for @graph. */
static gint64
count_engines (const Graph * graph, cudnnBackendHeurMode_t mode)
{
  const gchar *what = g_getenv ("FAKECUDA_CUDNN");

  if (!what)
    what = "fused";
  if (g_str_equal (what, "none")
      || (g_str_equal (what, "conv-only") && graph->n_ops > 1))
    return 0;
  if (g_str_equal (what, "half-bias"))
    for (gint64 i = 0; i < graph->n_tensors; i++)
      if (!graph->tensors[i].is_virtual
          && graph->tensors[i].type != graph->tensors[0].type)
        return 0;
  if (g_str_equal (what, "fallback") && mode != CUDNN_HEUR_MODE_FALLBACK)
    return 0;
  return mode == CUDNN_HEUR_MODE_FALLBACK || g_str_equal (what, "single") ? 1
      : N_ENGINES;
}

static cudnnStatus_t
finish_heuristics (Descriptor * d)
{
  const gchar *what = g_getenv ("FAKECUDA_CUDNN");

  d->graph = get_descriptor (d, A (ENGINEHEUR_OPERATION_GRAPH))->graph;
  /* there are two ways to say that there is nothing */
  return what && g_str_equal (what, "none") ? CUDNN_STATUS_NOT_SUPPORTED
      : CUDNN_STATUS_SUCCESS;
}

static gboolean
read_json (const gchar * json, gint64 n, Graph * graph)
{
  const gchar *start = "{\"plan\":[";
  g_autofree gchar *text = g_strndup (json, n);
  gint64 *words = (gint64 *) graph;
  gchar *at = text;

  if (!g_str_has_prefix (text, start))
    return FALSE;
  at += strlen (start);
  for (gsize i = 0; i < sizeof (Graph) / 8; i++, at++) {
    words[i] = g_ascii_strtoll (at, &at, 10);
    if (*at != ',')
      return FALSE;
  }
  return g_str_equal (at, "0]}") && graph->n_tensors <= MAX_TENSORS
      && graph->n_ops <= MAX_OPS;
}

static gchar *
write_json (const Graph * graph)
{
  const gint64 *words = (const gint64 *) graph;
  GString *text = g_string_new ("{\"plan\":[");

  for (gsize i = 0; i < sizeof (Graph) / 8; i++)
    g_string_append_printf (text, "%" G_GINT64_FORMAT ",", words[i]);
  g_string_append (text, "0]}");
  return g_string_free (text, FALSE);
}

static cudnnStatus_t
finish_plan (Descriptor * d)
{
  const Descriptor *config = get_descriptor (d,
      A (EXECUTION_PLAN_ENGINE_CONFIG));
  const gchar *json = get (d, A (EXECUTION_PLAN_JSON_REPRESENTATION));

  if (!config == !json)
    return CUDNN_STATUS_BAD_PARAM;
  if (config)
    d->graph = config->graph;
  else if (!read_json (json, get_n (d, A (EXECUTION_PLAN_JSON_REPRESENTATION)),
          &d->graph))
    return CUDNN_STATUS_SERIALIZATION_VERSION_MISMATCH;
  return d->graph.engine == ENGINE_UNFINISHED
      ? CUDNN_STATUS_NOT_SUPPORTED : CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnBackendFinalize (cudnnBackendDescriptor_t descriptor)
{
  Descriptor *d = descriptor;
  cudnnStatus_t status = CUDNN_STATUS_SUCCESS;

  ENTER;
  if (!d)
    return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
  if (d->final)
    return CUDNN_STATUS_BAD_PARAM;
  for (guint i = 0; i < G_N_ELEMENTS (rules); i++)
    if (rules[i].descriptor == d->type && rules[i].required
        && !get (d, rules[i].name))
      return CUDNN_STATUS_BAD_PARAM;
  switch (d->type) {
    case D (TENSOR):
      status = finish_tensor (d);
      break;
    case D (OPERATIONGRAPH):
      status = finish_graph (d);
      break;
    case D (ENGINEHEUR):
      status = finish_heuristics (d);
      break;
    case D (EXECUTION_PLAN):
      status = finish_plan (d);
      break;
    case D (VARIANT_PACK):
      if (get_n (d, A (VARIANT_PACK_UNIQUE_IDS))
          != get_n (d, A (VARIANT_PACK_DATA_POINTERS)))
        status = CUDNN_STATUS_BAD_PARAM;
      break;
    case D (ENGINECFG):
    case D (ENGINE):           /* these come from heuristics */
      status = CUDNN_STATUS_NOT_SUPPORTED;
      break;
    default:
      break;
  }
  d->final = status == CUDNN_STATUS_SUCCESS;
  return status;
}

/* ---- asking -------------------------------------------------------------- */

static cudnnStatus_t
get_configs (const Descriptor * d, gint64 n, int64_t * count, void *values)
{
  gboolean fallback = get_enum (d, A (ENGINEHEUR_MODE))
      == CUDNN_HEUR_MODE_FALLBACK;

  *count = count_engines (&d->graph, get_enum (d, A (ENGINEHEUR_MODE)));
  for (gint64 i = 0; i < MIN (n, *count); i++) {
    Descriptor *config = ((Descriptor **) values)[i];

    if (!config || config->type != D (ENGINECFG) || config->final)
      return CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE;
    config->graph = d->graph;
    config->graph.engine = fallback ? ENGINE_FALLBACK : i;
    config->final = TRUE;
  }
  *count = n ? MIN (n, *count) : *count;
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t
get_engine (const Descriptor * d, gint64 n, int64_t * count, void *values)
{
  Descriptor *engine = n == 1 ? *(Descriptor **) values : NULL;

  *count = 1;
  if (!engine || engine->type != D (ENGINE) || engine->final)
    return CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE;
  engine->graph = d->graph;
  engine->final = TRUE;
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t
get_notes (const Descriptor * d, gint64 n, int64_t * count, void *values)
{
  cudnnBackendNumericalNote_t *notes = values;

  *count = 0;
  if (n < CUDNN_NUMERICAL_NOTE_TYPE_COUNT)
    return CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT;
  if (d->graph.engine == ENGINE_RANDOM)
    notes[(*count)++] = CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
  if (d->graph.engine == ENGINE_TENSOR_CORE)
    notes[(*count)++] = CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
  if (d->graph.engine == ENGINE_WINOGRAD)
    notes[(*count)++] = CUDNN_NUMERICAL_NOTE_WINOGRAD;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnBackendGetAttribute (cudnnBackendDescriptor_t const descriptor,
    cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
    int64_t n, int64_t * count, void *values)
{
  const Descriptor *d = descriptor;

  ENTER;
  if (!d || !count || (n && !values))
    return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
  if (!d->final)
    return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
  if (d->type == D (ENGINEHEUR) && name == A (ENGINEHEUR_RESULTS)
      && type == T (BACKEND_DESCRIPTOR))
    return get_configs (d, n, count, values);
  if (d->type == D (ENGINECFG) && name == A (ENGINECFG_ENGINE)
      && type == T (BACKEND_DESCRIPTOR))
    return get_engine (d, n, count, values);
  if (d->type == D (ENGINE) && name == A (ENGINE_NUMERICAL_NOTE)
      && type == T (NUMERICAL_NOTE))
    return get_notes (d, n, count, values);
  if (d->type == D (EXECUTION_PLAN) && type == T (INT64) && n == 1
      && name == A (EXECUTION_PLAN_WORKSPACE_SIZE)) {
    *count = 1;
    *(gint64 *) values = engine_workspace (d->graph.engine);
    return CUDNN_STATUS_SUCCESS;
  }
  if (d->type == D (EXECUTION_PLAN) && type == T (CHAR)
      && name == A (EXECUTION_PLAN_JSON_REPRESENTATION)) {
    g_autofree gchar *json = write_json (&d->graph);

    *count = strlen (json) + 1;
    if (n)
      memcpy (values, json, MIN (n, *count));
    return CUDNN_STATUS_SUCCESS;
  }
  return CUDNN_STATUS_BAD_PARAM;
}

/* ---- running ------------------------------------------------------------- */

cudnnStatus_t
cudnnBackendExecute (cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
    cudnnBackendDescriptor_t pack)
{
  const Descriptor *p = plan, *v = pack;
  const gint64 *uids;
  gpointer const *pointers;
  gint64 n, needed;
  Job job = { 0 };

  ENTER;
  if (!handle || !p || !v)
    return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
  if (!p->final || !v->final)
    return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
  job.graph = p->graph;
  uids = get (v, A (VARIANT_PACK_UNIQUE_IDS));
  pointers = get (v, A (VARIANT_PACK_DATA_POINTERS));
  n = get_n (v, A (VARIANT_PACK_UNIQUE_IDS));
  for (gint64 i = 0; i < job.graph.n_tensors; i++) {
    const Tensor *t = &job.graph.tensors[i];

    for (gint64 k = 0; k < n; k++)
      if (uids[k] == t->uid)
        job.data[i] = pointers[k];
    if (t->is_virtual)
      continue;
    if (!job.data[i])
      return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    if ((guintptr) job.data[i] % t->alignment)
      return CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER;
    if (!fake_is_device (job.data[i], fake_tensor_bytes (t)))
      return CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER;
  }
  needed = engine_workspace (job.graph.engine);
  if (needed) {
    job.workspace = *(gpointer const *) get (v, A (VARIANT_PACK_WORKSPACE));
    if (!job.workspace || !fake_is_device (job.workspace, needed))
      return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
  }
  if (job.graph.engine == ENGINE_UNABLE)
    return CUDNN_STATUS_EXECUTION_FAILED;
  fake_stream_enqueue (handle->stream, fake_cudnn_run,
      g_memdup2 (&job, sizeof (job)), g_free);
  return CUDNN_STATUS_SUCCESS;
}

/* ---- the library -------------------------------------------------------- */

size_t
cudnnGetVersion (void)
{
  const gchar *version = g_getenv ("FAKECUDA_CUDNN_VERSION");

  return version ? g_ascii_strtoull (version, NULL, 10) : CUDNN_VERSION;
}

const char *
cudnnGetErrorString (cudnnStatus_t status)
{
  return status == CUDNN_STATUS_SUCCESS ? "CUDNN_STATUS_SUCCESS"
      : status == CUDNN_STATUS_NOT_SUPPORTED ? "CUDNN_STATUS_NOT_SUPPORTED"
      : "CUDNN_STATUS_INTERNAL_ERROR";
}

void
cudnnGetLastErrorString (char *message, size_t max_size)
{
  g_strlcpy (message, "an injected fault", max_size);
}

cudnnStatus_t
cudnnCreate (cudnnHandle_t * handle)
{
  ENTER;
  *handle = g_new0 (struct cudnnContext, 1);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnDestroy (cudnnHandle_t handle)
{
  gboolean fails = fake_fault (__func__);

  g_free (handle);
  return fails ? CUDNN_STATUS_INTERNAL_ERROR : CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnSetStream (cudnnHandle_t handle, cudaStream_t stream)
{
  ENTER;
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}
