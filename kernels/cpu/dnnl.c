/*
 * dnnl.c: every call of oneDNN: convolutions and the matrix product that they
 * are measured by. oneDNN 2.x (Debian 12) and 3.x (Debian 13) differ in how
 * descriptors are made; the functions named make_... are where it shows.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cpu.h"

#include <stdlib.h>
#include <string.h>
#include <oneapi/dnnl/dnnl.h>

#define V3 (DNNL_VERSION_MAJOR >= 3)
#if V3
typedef dnnl_memory_desc_t Desc;
#else
typedef dnnl_memory_desc_t *Desc;
#endif

/* libgomp's; oneDNN brings it. The header would ask for -fopenmp. */
extern void omp_set_num_threads (int);
extern int omp_get_max_threads (void);

gint
ci_dnnl_begin (void)
{
  gint saved = omp_get_max_threads ();

  omp_set_num_threads (1);
  return saved;
}

void
ci_dnnl_end (gint saved)
{
  omp_set_num_threads (saved);
}

static dnnl_engine_t
get_engine (void)
{
  static gsize once;
  static dnnl_engine_t engine;

  if (g_once_init_enter (&once)) {
    if (dnnl_engine_create (&engine, dnnl_cpu, 0) != dnnl_success)
      engine = NULL;
    g_once_init_leave (&once, 1);
  }
  return engine;
}

/* ---- descriptors ------------------------------------------------------ */

static dnnl_status_t
make_desc (Desc * desc, gint n_dims, const dnnl_dim_t * dims,
    dnnl_format_tag_t tag)
{
#if V3
  return dnnl_memory_desc_create_with_tag (desc, n_dims, dims, dnnl_f32, tag);
#else
  *desc = g_new0 (dnnl_memory_desc_t, 1);
  return dnnl_memory_desc_init_by_tag (*desc, n_dims, dims, dnnl_f32, tag);
#endif
}

static void
free_desc (Desc * desc)
{
  if (*desc) {
#if V3
    dnnl_memory_desc_destroy (*desc);
#else
    g_free (*desc);
#endif
  }
  *desc = NULL;
}

static Desc
copy_desc (Desc desc)
{
#if V3
  Desc copy = NULL;

  dnnl_memory_desc_clone (&copy, desc);
  return copy;
#else
  return g_memdup2 (desc, sizeof (*desc));
#endif
}

static dnnl_status_t
make_conv (dnnl_primitive_desc_t * pd, Desc src, Desc weight, Desc bias,
    Desc dst, const dnnl_dim_t * strides, const dnnl_dim_t * pad0,
    const dnnl_dim_t * pad1, dnnl_primitive_attr_t attr)
{
  const dnnl_dims_t dilation = { 0, 0 };
#if V3
  return dnnl_convolution_forward_primitive_desc_create (pd, get_engine (),
      dnnl_forward_inference, dnnl_convolution_direct, src, weight, bias, dst,
      strides, dilation, pad0, pad1, attr);
#else
  dnnl_convolution_desc_t desc;
  dnnl_status_t status = dnnl_dilated_convolution_forward_desc_init (&desc,
      dnnl_forward_inference, dnnl_convolution_direct, src, weight, bias, dst,
      strides, dilation, pad0, pad1);

  if (status != dnnl_success)
    return status;
  return dnnl_primitive_desc_create (pd, &desc, attr, get_engine (), NULL);
#endif
}

static dnnl_status_t
append_activation (dnnl_post_ops_t ops, CiActivation activation)
{
  dnnl_alg_kind_t kind = activation == CI_ACTIVATION_RELU6 ? dnnl_eltwise_clip
      : dnnl_eltwise_relu;
  gfloat alpha = activation == CI_ACTIVATION_LEAKY_RELU ? CI_LEAKY_RELU_SLOPE
      : 0.0f;
  gfloat beta = activation == CI_ACTIVATION_RELU6 ? 6.0f : 0.0f;

  if (activation == CI_ACTIVATION_NONE)
    return dnnl_success;
#if V3
  return dnnl_post_ops_append_eltwise (ops, kind, alpha, beta);
#else
  return dnnl_post_ops_append_eltwise (ops, 1.0f, kind, alpha, beta);
#endif
}

static dnnl_status_t
append_sum (dnnl_post_ops_t ops)
{
#if V3
  return dnnl_post_ops_append_sum (ops, 1.0f, 0, dnnl_data_type_undef);
#else
  return dnnl_post_ops_append_sum (ops, 1.0f);
#endif
}

static dnnl_status_t
make_reorder (dnnl_primitive_desc_t * pd, Desc from, Desc to)
{
  return dnnl_reorder_primitive_desc_create (pd, from, get_engine (), to,
      get_engine (), NULL);
}

static Desc
query_desc (dnnl_primitive_desc_t pd, dnnl_query_t what)
{
  return (Desc) dnnl_primitive_desc_query_md (pd, what, 0);
}

gboolean
ci_dnnl_layout_equal (gconstpointer a, gconstpointer b)
{
  return dnnl_memory_desc_equal ((Desc) a, (Desc) b);
}

void
ci_dnnl_layout_free (gpointer layout)
{
  Desc desc = layout;

  free_desc (&desc);
}

/* ---- convolution ------------------------------------------------------ */

/* What oneDNN computes for a node. Its kernels want groups of whole blocks of
 * channels, so smaller groups are merged: the weights between what were several
 * groups are 0. */
typedef struct
{
  const CiNode *node;
  CiMap src, dst;
  gint kernel, stride, padding, groups;
  gfloat *weight, *bias;        /* plain; loaded at the first need */
} Layer;

/* One thread's share: some of the output channels. */
typedef struct
{
  dnnl_primitive_t primitive;
  dnnl_stream_t stream;
  gpointer scratch;
  CiPacked *packed;
  dnnl_exec_arg_t args[5];
  gint first, channels, groups; /* of the result; groups of the slice */
} Slice;

typedef struct _CiProduct
{
  const gchar *name;
  gint n_slices;
  Slice *slices;
  const gfloat *residual;       /* to be copied to dst first, or NULL */
  gfloat *dst;
  gsize n_floats;
  gint failed;                  /* a dnnl_status_t */
} Conv;

static void
conv_free (gpointer data)
{
  Conv *conv = data;

  for (gint i = 0; i < conv->n_slices; i++) {
    Slice *s = &conv->slices[i];

    for (guint k = 0; k < G_N_ELEMENTS (s->args); k++)
      dnnl_memory_destroy (s->args[k].memory);
    dnnl_primitive_destroy (s->primitive);
    dnnl_stream_destroy (s->stream);
    free (s->scratch);
    if (s->packed)
      ci_packed_unref (s->packed);
  }
  g_free (conv->slices);
  g_free (conv);
}

static void
run_slice (gpointer data, gint task, gint n_tasks)
{
  Conv *conv = data;
  Slice *s = &conv->slices[task];
  dnnl_status_t status;

  omp_set_num_threads (1);
  status = dnnl_primitive_execute (s->primitive, s->stream, 5, s->args);
  if (status != dnnl_success)
    g_atomic_int_set (&conv->failed, status);
}

static gboolean
check_conv (const Conv * conv, GError ** error)
{
  if (conv->failed) {
    g_set_error (error, CI_ERROR, CI_ERROR_BACKEND,
        "oneDNN could not run the convolution %s (status %d)",
        conv->name, conv->failed);
    return FALSE;
  }
  return TRUE;
}

/* A convolution, or a group of them: the slices of all. */
typedef struct
{
  gint n_convs, n_tasks;
  Conv **convs;
  struct
  {
    Conv *conv;
    gint slice;
  } *tasks;
} Group;

static void
group_free (gpointer data)
{
  Group *group = data;

  for (gint i = 0; i < group->n_convs; i++)
    if (group->convs[i])
      conv_free (group->convs[i]);
  g_free (group->convs);
  g_free (group->tasks);
  g_free (group);
}

static void
run_task (gpointer data, gint task, gint n_tasks)
{
  Group *group = data;

  run_slice (group->tasks[task].conv, group->tasks[task].slice, 0);
}

static gboolean
run_group (CiPlan * plan, CiStep * step, GError ** error)
{
  Group *group = step->state;
  Conv *first = group->convs[0];
  gboolean ok = TRUE;

  if (first->residual)
    memcpy (first->dst, first->residual, first->n_floats * sizeof (gfloat));
  ci_pool_run (plan->pool, run_task, group, group->n_tasks);
  for (gint i = 0; i < group->n_convs && ok; i++)
    ok = check_conv (group->convs[i], error);
  return ok;
}

/* A depthwise layer has kernels of its own. */
static gboolean
is_depthwise (const CiNode * node, gint in)
{
  return node->groups == in && node->groups == node->channels;
}

gint
ci_cpu_merge_groups (const CiNode * node, gint in)
{
  for (gint m = 1; m <= node->groups; m++)
    if (node->groups % m == 0 && in / node->groups * m % CI_BLOCK == 0
        && node->channels / node->groups * m % CI_BLOCK == 0)
      return node->groups / m;
  return 1;
}

/* Into how many parts of whole groups and whole channel blocks a layer can be
 * cut. */
static gint
count_slices (CiPlan * plan, const Layer * layer)
{
  gint n = ci_pool_get_n_threads (plan->pool), c = layer->dst.c;

  if (layer->groups == 1)
    return MIN (n, ci_map_blocks (&layer->dst));
  if (layer->groups == c)
    return c % CI_BLOCK == 0 ? MIN (n, c / CI_BLOCK) : 1;
  return MIN (n, layer->groups);
}

/* The folded weights, with the zeros of merged groups. Those of a deformable
 * convolution are for its columns: out_channels x [tap][channel of the group].
 */
static gboolean
load_weights (CiPlan * plan, Layer * layer, GError ** error)
{
  const CiNode *node = layer->node;
  gint in = ci_graph_node (plan->graph, node->srcs[0])->channels;
  gint per = in / node->groups, k2 = node->kernel * node->kernel;
  gint per_out = node->channels / node->groups;
  gint merged = node->groups / layer->groups;
  gboolean columns = node->op == CI_OP_DEFORM_CONV;
  gsize wide = (gsize) layer->src.c / layer->groups * layer->kernel
      * layer->kernel;
  gfloat *w, *out;

  if (!ci_plan_fold_conv (plan, node, &layer->weight, &layer->bias, error))
    return FALSE;
  if (merged == 1 && !columns)
    return TRUE;
  w = layer->weight;
  layer->weight = out = g_try_new0 (gfloat, node->channels * wide);
  if (!out)
    g_set_error (error, CI_ERROR, CI_ERROR_OUT_OF_MEMORY,
        "out of memory: %d x %" G_GSIZE_FORMAT " weights", node->channels,
        wide);
  for (gint o = 0; out && o < node->channels; o++, out += wide)
    for (gint i = 0; i < per; i++) {
      /* channel of the merged group */
      gsize c = o / per_out % merged * per + i;

      for (gint t = 0; t < k2; t++)
        out[columns ? t * (wide / k2) + c : c * k2 + t] =
            w[((gsize) o * per + i) * k2 + t];
    }
  g_free (w);
  return layer->weight != NULL;
}

static void
unload_weights (Layer * layer)
{
  g_free (layer->weight);
  g_free (layer->bias);
}

/* Weights and bias for @slice in the layout @wanted; @plain: as loaded. */
static gboolean
pack_slice (CiPlan * plan, Layer * layer, Slice * slice, Desc wanted,
    Desc plain, GError ** error)
{
  const CiNode *node = layer->node;
  g_autofree gchar *key = g_strdup_printf ("%s/%s/%s/%d+%d", node->name,
      node->norm_name ? node->norm_name : "",
      node->scale_name ? node->scale_name : "", slice->first, slice->channels);
  CiPacked *packed;
  gsize per_channel, padded = (slice->channels + CI_BLOCK - 1) / CI_BLOCK
      * CI_BLOCK;
  dnnl_memory_t from = NULL, to = NULL;
  dnnl_primitive_desc_t pd = NULL;
  dnnl_primitive_t reorder = NULL;
  dnnl_status_t status;

  if ((slice->packed = ci_packed_find (plan->weights->id, key, wanted)))
    return TRUE;

  if (!layer->weight && !load_weights (plan, layer, error))
    return FALSE;
  if (!(packed = ci_packed_new (plan->weights->id, key, copy_desc (wanted),
              dnnl_memory_desc_get_size (wanted), padded * sizeof (gfloat),
              error)))
    return FALSE;
  memcpy (packed->bias, layer->bias + slice->first,
      slice->channels * sizeof (gfloat));
  per_channel = (gsize) layer->src.c / layer->groups * layer->kernel
      * layer->kernel;
  if ((status = dnnl_memory_create (&from, plain, get_engine (),
              layer->weight + slice->first * per_channel)) == dnnl_success
      && (status = dnnl_memory_create (&to, wanted, get_engine (),
              packed->weight)) == dnnl_success
      && (status = make_reorder (&pd, plain, wanted)) == dnnl_success
      && (status = dnnl_primitive_create (&reorder, pd)) == dnnl_success) {
    dnnl_exec_arg_t args[2] = { {DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to} };

    status = dnnl_primitive_execute (reorder, slice->stream, 2, args);
    if (status == dnnl_success)
      status = dnnl_stream_wait (slice->stream);
  }
  dnnl_primitive_destroy (reorder);
  dnnl_primitive_desc_destroy (pd);
  dnnl_memory_destroy (from);
  dnnl_memory_destroy (to);
  if (status != dnnl_success) {
    g_set_error (error, CI_ERROR, CI_ERROR_BACKEND,
        "oneDNN could not pack the weights (status %d)", status);
    ci_packed_unref (packed);
    return FALSE;
  }
  slice->packed = ci_packed_publish (packed);
  return TRUE;
}

#define CHECK(expression) \
    do { if ((status = (expression)) != dnnl_success) goto out; } while (0)

/* @s->first, channels and groups are set. @sum: adds to what dst holds. */
static gboolean
prepare_slice (CiPlan * plan, Layer * layer, gboolean sum, Slice * s,
    GError ** error)
{
  const CiMap *src = &layer->src, *dst = &layer->dst;
  gint k = layer->kernel, g = s->groups, stride = layer->stride;
  gint padding = layer->padding;
  /* a slice of the groups reads a slice of the source */
  gint in = src->c / layer->groups * g;
  gsize src_first = g == layer->groups ? 0
      : (gsize) s->first * src->c / dst->c;
  dnnl_dims_t src_dims = { 1, in, src->h, src->w };
  dnnl_dims_t dst_dims = { 1, s->channels, dst->h, dst->w };
  dnnl_dims_t weight_dims = { s->channels, in, k, k };
  dnnl_dims_t grouped_dims = { g, s->channels / g, in / g, k, k };
  dnnl_dims_t bias_dims = { s->channels }, strides = { stride, stride };
  dnnl_dims_t pad0 = { padding, padding };
  dnnl_dims_t pad1 = {
    MAX (0, (dst->h - 1) * stride + k - src->h - padding),
    MAX (0, (dst->w - 1) * stride + k - src->w - padding)
  };
  gint weight_n_dims = layer->groups == 1 ? 4 : 5;
  const dnnl_dim_t *wd = layer->groups == 1 ? weight_dims : grouped_dims;
  Desc src_desc = NULL, dst_desc = NULL, any = NULL, plain = NULL;
  Desc bias_desc = NULL, scratch_desc;
  struct
  {
    gint arg;
    Desc desc;
    gpointer data;
  } args[] = {
    {DNNL_ARG_SRC}, {DNNL_ARG_WEIGHTS}, {DNNL_ARG_BIAS}, {DNNL_ARG_DST},
    {DNNL_ARG_SCRATCHPAD}
  };
  dnnl_primitive_attr_t attr = NULL;
  dnnl_post_ops_t ops = NULL;
  dnnl_primitive_desc_t pd = NULL;
  dnnl_status_t status;
  gboolean ok = FALSE;

  CHECK (make_desc (&src_desc, 4, src_dims,
          src->block == 1 ? dnnl_nchw : dnnl_aBcd8b));
  CHECK (make_desc (&dst_desc, 4, dst_dims, dnnl_aBcd8b));
  CHECK (make_desc (&any, weight_n_dims, wd, dnnl_format_tag_any));
  CHECK (make_desc (&plain, weight_n_dims, wd,
          weight_n_dims == 4 ? dnnl_abcd : dnnl_abcde));
  CHECK (make_desc (&bias_desc, 1, bias_dims, dnnl_a));
  CHECK (dnnl_primitive_attr_create (&attr));
  CHECK (dnnl_primitive_attr_set_scratchpad_mode (attr,
          dnnl_scratchpad_mode_user));
  CHECK (dnnl_post_ops_create (&ops));
  if (sum)
    CHECK (append_sum (ops));
  CHECK (append_activation (ops, layer->node->activation));
  CHECK (dnnl_primitive_attr_set_post_ops (attr, ops));
  CHECK (make_conv (&pd, src_desc, any, bias_desc, dst_desc, strides, pad0,
          pad1, attr));
  CHECK (dnnl_primitive_create (&s->primitive, pd));
  CHECK (dnnl_stream_create (&s->stream, get_engine (),
          dnnl_stream_default_flags));
  if (!pack_slice (plan, layer, s, query_desc (pd, dnnl_query_weights_md),
          plain, error))
    goto cleanup;

  scratch_desc = query_desc (pd, dnnl_query_scratchpad_md);
  s->scratch = ci_aligned_alloc0 (dnnl_memory_desc_get_size (scratch_desc),
      error);
  if (!s->scratch)
    goto cleanup;
  args[0].desc = src_desc;
  args[0].data = src->data + src_first * src->h * src->w;
  args[1].desc = query_desc (pd, dnnl_query_weights_md);
  args[1].data = s->packed->weight;
  args[2].desc = bias_desc;
  args[2].data = s->packed->bias;
  args[3].desc = dst_desc;
  args[3].data = dst->data + (gsize) s->first * dst->h * dst->w;
  args[4].desc = scratch_desc;
  args[4].data = s->scratch;
  for (guint i = 0; i < G_N_ELEMENTS (args); i++) {
    s->args[i].arg = args[i].arg;
    CHECK (dnnl_memory_create (&s->args[i].memory, args[i].desc,
            get_engine (), args[i].data));
  }
  ok = TRUE;

out:
  if (!ok)
    g_set_error (error, CI_ERROR, CI_ERROR_BACKEND,
        "oneDNN cannot do a %dx%d convolution, stride %d, groups %d, of "
        "%dx%dx%d (status %d)", k, k, stride, layer->groups, src->c, src->h,
        src->w, status);
cleanup:
  dnnl_primitive_desc_destroy (pd);
  dnnl_post_ops_destroy (ops);
  dnnl_primitive_attr_destroy (attr);
  free_desc (&src_desc);
  free_desc (&dst_desc);
  free_desc (&any);
  free_desc (&plain);
  free_desc (&bias_desc);
  return ok;
}

/* Whole groups and whole blocks for slice @index of @n. */
static void
cut_slice (const Layer * layer, Slice * s, gint index, gint n)
{
  gint channels = layer->dst.c, unit = CI_BLOCK, units, end;

  if (layer->groups > 1)
    unit = MAX (unit, channels / layer->groups);
  units = (channels + unit - 1) / unit;
  end = MIN (channels, units * (index + 1) / n * unit);
  s->first = units * index / n * unit;
  s->channels = end - s->first;
  s->groups = (gint64) layer->groups * s->channels / channels;
  if (layer->groups == 1)
    s->groups = 1;
}

/* Its slices share @layer's weights. */
static Conv *
prepare_conv (CiPlan * plan, const CiNode * node, Layer * layer, gint n_slices,
    GError ** error)
{
  Conv *conv = g_new0 (Conv, 1);
  gboolean ok = TRUE;

  conv->name = node->name;
  conv->n_slices = n_slices;
  conv->slices = g_new0 (Slice, n_slices);
  conv->dst = layer->dst.data;
  conv->n_floats = ci_map_floats (&layer->dst);
  if (node->residual != CI_NO_VALUE) {
    const gfloat *residual = ci_plan_map (plan, node->residual)->data;

    conv->residual = residual == conv->dst ? NULL : residual;
  }
  for (gint i = 0; i < n_slices && ok; i++) {
    cut_slice (layer, &conv->slices[i], i, n_slices);
    ok = prepare_slice (plan, layer, node->residual != CI_NO_VALUE,
        &conv->slices[i], error);
  }
  if (!ok)
    g_clear_pointer (&conv, conv_free);
  return conv;
}

gboolean
ci_cpu_prepare_conv (CiPlan * plan, CiStep * step, GError ** error)
{
  Group *group = g_new0 (Group, 1);
  CiValue value = step->value;
  Layer layer = { 0 };
  gboolean ok = TRUE;
  gint saved;

  group->n_convs = plan->group[value];
  group->convs = g_new0 (Conv *, group->n_convs);
  group->tasks = g_malloc0_n (group->n_convs
      * ci_pool_get_n_threads (plan->pool), sizeof (*group->tasks));
  step->state = group;
  step->free_state = group_free;
  step->run = run_group;

  saved = ci_dnnl_begin ();
  for (gint i = 0; ok && i < group->n_convs; i++) {
    const CiNode *node = ci_graph_node (plan->graph, value);

    if (layer.node && !ci_plan_same_weights (layer.node, node)) {
      unload_weights (&layer);
      layer.weight = layer.bias = NULL;
    }
    layer = (Layer) {
    node, *ci_plan_map (plan, node->srcs[0]), *ci_plan_map (plan, value),
          node->kernel, node->stride, node->padding, node->groups,
          layer.weight, layer.bias};
    if (!is_depthwise (node, layer.src.c))
      layer.groups = ci_cpu_merge_groups (node, layer.src.c);
    group->convs[i] = prepare_conv (plan, node, &layer,
        count_slices (plan, &layer), error);
    ok = group->convs[i] != NULL;
    for (gint k = 0; ok && k < group->convs[i]->n_slices; k++) {
      group->tasks[group->n_tasks].conv = group->convs[i];
      group->tasks[group->n_tasks++].slice = k;
    }
    value = ci_plan_next (plan, value);
  }
  ci_dnnl_end (saved);
  unload_weights (&layer);
  return ok;
}

/* ---- the product of a deformable convolution ---------------------------- */

/* A 1x1 convolution of the columns, the same for each task. */
CiProduct *
ci_product_new (CiPlan * plan, const CiNode * node, const CiMap * columns,
    const CiMap * results, gint n_tasks, gsize pitch, GError ** error)
{
  gint in = ci_graph_node (plan->graph, node->srcs[0])->channels;
  Layer layer = { node, *columns, *results, 1, 1, 0,
    ci_cpu_merge_groups (node, in), NULL, NULL
  };
  Conv *conv = g_new0 (Conv, 1);
  gint saved = ci_dnnl_begin ();
  gboolean ok = TRUE;

  conv->name = node->name;
  conv->n_slices = n_tasks;
  conv->slices = g_new0 (Slice, n_tasks);
  for (gint i = 0; i < n_tasks && ok; i++) {
    cut_slice (&layer, &conv->slices[i], 0, 1);
    ok = prepare_slice (plan, &layer, FALSE, &conv->slices[i], error);
    layer.src.data += pitch;
    layer.dst.data += pitch;
  }
  ci_dnnl_end (saved);
  unload_weights (&layer);
  if (!ok)
    g_clear_pointer (&conv, conv_free);
  return conv;
}

void
ci_product_free (CiProduct * product)
{
  if (product)
    conv_free (product);
}

void
ci_product_run (CiProduct * product, gint task)
{
  run_slice (product, task, product->n_slices);
}

gboolean
ci_product_check (const CiProduct * product, GError ** error)
{
  return check_conv (product, error);
}

/* ---- the ceiling ------------------------------------------------------ */

typedef struct
{
  gint n;
  gfloat *a, *b, *c;
} Sgemm;

static void
run_sgemm (gpointer data, gint task, gint n_tasks)
{
  Sgemm *s = data;
  gint first = s->n * task / n_tasks, end = s->n * (task + 1) / n_tasks;

  omp_set_num_threads (1);
  dnnl_sgemm ('N', 'N', end - first, s->n, s->n, 1.0f,
      s->a + (gsize) first * s->n, s->n, s->b, s->n, 0.0f,
      s->c + (gsize) first * s->n, s->n);
}

gdouble
ci_cpu_sgemm_gflops (CiPool * pool, gint n, gint repeats)
{
  gsize bytes = (gsize) n * n * sizeof (gfloat);
  Sgemm s = { n, ci_aligned_alloc0 (bytes, NULL),
    ci_aligned_alloc0 (bytes, NULL), ci_aligned_alloc0 (bytes, NULL)
  };
  gint saved = ci_dnnl_begin ();
  gdouble best = 0;

  if (s.a && s.b && s.c) {
    for (gsize i = 0; i < (gsize) n * n; i++)
      s.a[i] = s.b[i] = (gfloat) (i % 17) / 17 - 0.5f;
    for (gint i = 0; i <= repeats; i++) {
      gint64 start = g_get_monotonic_time ();
      gdouble us;

      ci_pool_run (pool, run_sgemm, &s, ci_pool_get_n_threads (pool));
      us = MAX (1, g_get_monotonic_time () - start);
      if (i > 0)
        best = MAX (best, 2.0 * n * n * n / us / 1e3);
    }
  }
  ci_dnnl_end (saved);
  free (s.a);
  free (s.b);
  free (s.c);
  return best;
}
