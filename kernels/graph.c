/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "graph.h"

#include <string.h>

gsize
ci_dtype_size (CiDType dtype)
{
  static const guint8 sizes[] = { 4, 2, 8, 4, 8, 1 };

  return sizes[dtype];
}

const gchar *
ci_dtype_name (CiDType dtype)
{
  static const gchar *const names[] =
      { "F32", "F16", "F64", "I32", "I64", "U8" };

  return names[dtype];
}

gsize
ci_tensor_n_elements (const CiTensor * tensor)
{
  gsize n = 1;

  for (gint i = 0; i < tensor->n_dims; i++)
    n *= tensor->dims[i];
  return n;
}

static void
node_free (CiNode * node)
{
  g_free (node->srcs);
  g_free (node->name);
  g_free (node->norm_name);
  g_free (node->scale_name);
  g_free (node->value_name);
  g_free (node->priors);
  g_free (node);
}

CiGraph *
ci_graph_new (void)
{
  CiGraph *graph = g_new0 (CiGraph, 1);

  graph->nodes = g_ptr_array_new_with_free_func ((GDestroyNotify) node_free);
  return graph;
}

void
ci_graph_free (CiGraph * graph)
{
  if (!graph)
    return;
  g_ptr_array_unref (graph->nodes);
  g_free (graph);
}

CiGraph *
ci_graph_copy (const CiGraph * graph)
{
  CiGraph *copy = ci_graph_new ();

  for (guint i = 0; i < graph->nodes->len; i++) {
    const CiNode *from = ci_graph_node (graph, i);
    CiNode *to = g_memdup2 (from, sizeof (CiNode));

    to->srcs = g_memdup2 (from->srcs, from->n_srcs * sizeof (CiValue));
    to->name = g_strdup (from->name);
    to->norm_name = g_strdup (from->norm_name);
    to->scale_name = g_strdup (from->scale_name);
    to->value_name = g_strdup (from->value_name);
    to->priors = g_memdup2 (from->priors, ci_graph_count_priors (graph, from)
        * 2 * sizeof (gfloat));
    g_ptr_array_add (copy->nodes, to);
  }
  return copy;
}

const gchar *
ci_op_name (CiOp op)
{
  static const gchar *const names[] = {
    [CI_OP_NONE] = "none",
    [CI_OP_INPUT] = "input",
    [CI_OP_CONV] = "conv",
    [CI_OP_DECONV] = "deconv",
    [CI_OP_BATCH_NORM] = "batch_norm",
    [CI_OP_GROUP_NORM] = "group_norm",
    [CI_OP_ACTIVATION] = "activation",
    [CI_OP_SCALE] = "scale",
    [CI_OP_ADD] = "add",
    [CI_OP_MAX_POOL] = "max_pool",
    [CI_OP_GLOBAL_AVG_POOL] = "global_avg_pool",
    [CI_OP_GLOBAL_MAX_POOL] = "global_max_pool",
    [CI_OP_CHANNEL_SCALE] = "channel_scale",
    [CI_OP_CONCAT] = "concat",
    [CI_OP_COORDS] = "coords",
    [CI_OP_WEIGHTED_ADD] = "weighted_add",
    [CI_OP_RESIZE] = "resize",
    [CI_OP_DEFORM_CONV] = "deform_conv",
    [CI_OP_FCOS_DETECT] = "fcos_detect",
    [CI_OP_RPN] = "rpn",
    [CI_OP_BOX_DETECT] = "box_detect",
    [CI_OP_MULTIBOX_DETECT] = "multibox_detect",
    [CI_OP_GATHER] = "gather",
    [CI_OP_CONV_AT] = "conv_at",
    [CI_OP_ROI_ALIGN] = "roi_align",
    [CI_OP_MASK_HEAD] = "mask_head",
    [CI_OP_BLEND_MASKS] = "blend_masks",
    [CI_OP_SOLO_DETECT] = "solo_detect",
    [CI_OP_SOLO_MASKS] = "solo_masks",
    [CI_OP_CLASS_MASKS] = "class_masks",
    [CI_OP_POINT_REND] = "point_rend",
    [CI_OP_ASSEMBLE_MASKS] = "assemble_masks",
    [CI_OP_ASSEMBLE_ITEMS] = "assemble_items",
    [CI_OP_RESCORE] = "rescore",
  };

  return names[op];
}

static CiNode *
add_node (CiGraph * graph, CiOp op, CiKind kind, const CiValue * srcs,
    gint n_srcs, const gchar * name, CiValue * value)
{
  CiNode *node = g_new0 (CiNode, 1);

  for (gint i = 0; i < n_srcs; i++)
    g_assert (srcs[i] >= 0 && srcs[i] < (gint) graph->nodes->len);
  node->op = op;
  node->kind = kind;
  node->n_srcs = n_srcs;
  node->srcs = g_memdup2 (srcs, n_srcs * sizeof (CiValue));
  node->name = g_strdup (name);
  node->residual = node->like = node->counted_by = CI_NO_VALUE;
  *value = graph->nodes->len;
  g_ptr_array_add (graph->nodes, node);
  return node;
}

CiNode *
ci_graph_add_node (CiGraph * graph, CiOp op, CiKind kind,
    const CiValue * srcs, gint n_srcs, const gchar * name, CiValue * value)
{
  return add_node (graph, op, kind, srcs, n_srcs, name, value);
}

/* What is made of items, are items. */
static void
inherit_items (const CiGraph * graph, CiNode * node)
{
  const CiNode *first = ci_graph_node (graph, node->srcs[0]);

  node->items = first->items;
  node->counted_by = first->counted_by;
  for (gint i = 1; i < node->n_srcs; i++)
    g_assert (ci_graph_node (graph, node->srcs[i])->counted_by
        == first->counted_by);
}

/* A node over one map, with as many channels. */
static CiNode *
add_map_node (CiGraph * graph, CiOp op, CiValue src, const gchar * name,
    CiValue * value)
{
  CiNode *node = add_node (graph, op, CI_KIND_MAP, &src, 1, name, value);

  g_assert (ci_graph_node (graph, src)->kind == CI_KIND_MAP);
  node->channels = ci_graph_node (graph, src)->channels;
  inherit_items (graph, node);
  return node;
}

CiValue
ci_graph_input (CiGraph * graph, gint channels)
{
  CiValue value;

  add_node (graph, CI_OP_INPUT, CI_KIND_MAP, NULL, 0, NULL,
      &value)->channels = channels;
  return value;
}

CiValue
ci_graph_conv (CiGraph * graph, CiValue src, const gchar * name,
    gint out_channels, gint kernel, gint stride, gint padding, gint groups,
    gboolean bias)
{
  CiValue value;
  CiNode *node = add_map_node (graph, CI_OP_CONV, src, name, &value);

  g_assert (node->channels % groups == 0 && out_channels % groups == 0);
  g_assert (groups == 1 || !node->items);
  node->channels = out_channels;
  node->kernel = kernel;
  node->stride = stride;
  node->padding = padding;
  node->groups = groups;
  node->bias = bias;
  return value;
}

CiValue
ci_graph_linear (CiGraph * graph, CiValue src, const gchar * name,
    gint out_channels, gint side, gboolean bias)
{
  CiValue value = ci_graph_conv (graph, src, name, out_channels, side, 1, 0, 1,
      bias);

  ci_graph_node (graph, value)->linear = TRUE;
  return value;
}

CiValue
ci_graph_deconv (CiGraph * graph, CiValue src, const gchar * name,
    gint out_channels, gboolean bias)
{
  CiValue value;
  CiNode *node = add_map_node (graph, CI_OP_DECONV, src, name, &value);

  node->channels = out_channels;
  node->kernel = node->stride = 2;
  node->groups = 1;
  node->bias = bias;
  return value;
}

CiValue
ci_graph_batch_norm (CiGraph * graph, CiValue src, const gchar * name,
    gfloat eps)
{
  CiValue value;

  add_map_node (graph, CI_OP_BATCH_NORM, src, name, &value)->eps = eps;
  return value;
}

CiValue
ci_graph_group_norm (CiGraph * graph, CiValue src, const gchar * name,
    gint groups)
{
  CiValue value;
  CiNode *node = add_map_node (graph, CI_OP_GROUP_NORM, src, name, &value);

  g_assert (node->channels % groups == 0);
  node->groups = groups;
  return value;
}

CiValue
ci_graph_activation (CiGraph * graph, CiValue src, CiActivation activation)
{
  CiValue value;

  add_map_node (graph, CI_OP_ACTIVATION, src, NULL,
      &value)->activation = activation;
  return value;
}

CiValue
ci_graph_scale (CiGraph * graph, CiValue src, const gchar * name)
{
  CiValue value;

  add_map_node (graph, CI_OP_SCALE, src, name, &value);
  return value;
}

CiValue
ci_graph_add (CiGraph * graph, CiValue a, CiValue b)
{
  CiValue srcs[2] = { a, b }, value;
  CiNode *node = add_node (graph, CI_OP_ADD, CI_KIND_MAP, srcs, 2, NULL,
      &value);

  node->channels = ci_graph_node (graph, a)->channels;
  g_assert (node->channels == ci_graph_node (graph, b)->channels);
  inherit_items (graph, node);
  return value;
}

CiValue
ci_graph_max_pool (CiGraph * graph, CiValue src, gint kernel, gint stride,
    gint padding, gboolean ceil_mode)
{
  CiValue value;
  CiNode *node = add_map_node (graph, CI_OP_MAX_POOL, src, NULL, &value);

  node->kernel = kernel;
  node->stride = stride;
  node->padding = padding;
  node->ceil_mode = ceil_mode;
  return value;
}

CiValue
ci_graph_global_avg_pool (CiGraph * graph, CiValue src)
{
  CiValue value;

  add_map_node (graph, CI_OP_GLOBAL_AVG_POOL, src, NULL, &value);
  return value;
}

CiValue
ci_graph_global_max_pool (CiGraph * graph, CiValue src)
{
  CiValue value;

  add_map_node (graph, CI_OP_GLOBAL_MAX_POOL, src, NULL, &value);
  return value;
}

/* A node over several maps, with as many channels as the first. */
static CiNode *
add_maps_node (CiGraph * graph, CiOp op, const CiValue * srcs, gint n,
    const gchar * name, CiValue * value)
{
  CiNode *node;

  g_assert (n >= 1);
  node = add_node (graph, op, CI_KIND_MAP, srcs, n, name, value);
  for (gint i = 0; i < n; i++)
    g_assert (ci_graph_node (graph, srcs[i])->kind == CI_KIND_MAP);
  node->channels = ci_graph_node (graph, srcs[0])->channels;
  inherit_items (graph, node);
  return node;
}

CiValue
ci_graph_channel_scale (CiGraph * graph, CiValue src, CiValue factors)
{
  CiValue srcs[2] = { src, factors }, value;

  add_maps_node (graph, CI_OP_CHANNEL_SCALE, srcs, 2, NULL, &value);
  g_assert (ci_graph_node (graph, src)->channels
      == ci_graph_node (graph, factors)->channels);
  return value;
}

CiValue
ci_graph_concat (CiGraph * graph, const CiValue * srcs, gint n)
{
  CiValue value;
  CiNode *node = add_maps_node (graph, CI_OP_CONCAT, srcs, n, NULL, &value);

  for (gint i = 1; i < n; i++)
    node->channels += ci_graph_node (graph, srcs[i])->channels;
  return value;
}

CiValue
ci_graph_coords (CiGraph * graph, CiValue like, gboolean x, gboolean y)
{
  CiValue value;
  CiNode *node = add_node (graph, CI_OP_COORDS, CI_KIND_MAP, NULL, 0, NULL,
      &value);

  g_assert ((x || y) && like >= 0 && like < value
      && ci_graph_node (graph, like)->kind == CI_KIND_MAP);
  node->channels = (x ? 1 : 0) + (y ? 1 : 0);
  node->coord_x = x;
  node->coord_y = y;
  node->like = like;
  return value;
}

CiValue
ci_graph_weighted_add (CiGraph * graph, const CiValue * srcs, gint n,
    const gchar * name)
{
  CiValue value;
  CiNode *node = add_maps_node (graph, CI_OP_WEIGHTED_ADD, srcs, n, name,
      &value);

  for (gint i = 1; i < n; i++)
    g_assert (ci_graph_node (graph, srcs[i])->channels == node->channels);
  return value;
}

CiValue
ci_graph_upsample (CiGraph * graph, CiValue src, gint factor, CiResizeMode mode)
{
  CiValue value;
  CiNode *node = add_map_node (graph, CI_OP_RESIZE, src, NULL, &value);

  node->stride = factor;
  node->resize_mode = mode;
  return value;
}

CiValue
ci_graph_resize (CiGraph * graph, CiValue src, gint height, gint width,
    CiResizeMode mode)
{
  CiValue value;
  CiNode *node = add_map_node (graph, CI_OP_RESIZE, src, NULL, &value);

  g_assert (height >= 1 && width >= 1);
  node->height = height;
  node->width = width;
  node->resize_mode = mode;
  return value;
}

CiValue
ci_graph_resize_like (CiGraph * graph, CiValue src, CiValue like,
    CiResizeMode mode)
{
  CiValue value;
  CiNode *node = add_map_node (graph, CI_OP_RESIZE, src, NULL, &value);

  g_assert (like >= 0 && like < value
      && ci_graph_node (graph, like)->kind == CI_KIND_MAP);
  node->like = like;
  node->resize_mode = mode;
  return value;
}

CiValue
ci_graph_deform_conv (CiGraph * graph, CiValue src, CiValue offsets,
    const gchar * name, gint out_channels, gint kernel, gint stride,
    gint padding, gint groups, gboolean bias)
{
  CiValue srcs[2] = { src, offsets }, value;
  CiNode *node = add_maps_node (graph, CI_OP_DEFORM_CONV, srcs, 2, name,
      &value);

  g_assert (node->channels % groups == 0 && out_channels % groups == 0);
  g_assert (ci_graph_node (graph, offsets)->channels == 3 * kernel * kernel);
  g_assert (!node->items);
  node->channels = out_channels;
  node->kernel = kernel;
  node->stride = stride;
  node->padding = padding;
  node->groups = groups;
  node->bias = bias;
  return value;
}

CiValue
ci_graph_fcos_detect (CiGraph * graph, const CiFcosLevel * levels,
    gint n_levels, gint capacity, gboolean thresh_with_ctr)
{
  CiValue srcs[24], value;
  CiNode *node;

  g_assert (n_levels >= 1 && n_levels <= 8 && capacity >= 1);
  for (gint i = 0; i < n_levels; i++) {
    srcs[3 * i] = levels[i].logits;
    srcs[3 * i + 1] = levels[i].reg;
    srcs[3 * i + 2] = levels[i].ctr;
  }
  node = add_node (graph, CI_OP_FCOS_DETECT, CI_KIND_DETECTIONS, srcs,
      3 * n_levels, NULL, &value);
  node->channels = ci_graph_node (graph, srcs[0])->channels;
  node->capacity = capacity;
  node->n_levels = n_levels;
  node->thresh_with_ctr = thresh_with_ctr;
  for (gint i = 0; i < n_levels; i++)
    node->strides[i] = levels[i].stride;
  return value;
}

CiValue
ci_graph_conv_at (CiGraph * graph, const CiValue * srcs, gint n_levels,
    CiValue detections, const gchar * name, gint out_channels, gint kernel)
{
  CiValue all[9], value;
  CiNode *node;

  g_assert (n_levels >= 1 && n_levels <= 8);
  memcpy (all, srcs, n_levels * sizeof (CiValue));
  all[n_levels] = detections;
  node = add_node (graph, CI_OP_CONV_AT, CI_KIND_ROWS, all, n_levels + 1,
      name, &value);
  node->channels = out_channels;
  node->kernel = kernel;
  node->groups = 1;
  node->bias = TRUE;
  node->n_levels = n_levels;
  node->capacity = ci_graph_node (graph, detections)->capacity;
  return value;
}

CiValue
ci_graph_roi_align (CiGraph * graph, const CiValue * levels, gint n_levels,
    CiValue boxes, const CiRoiAlignParams * params)
{
  const CiNode *list = ci_graph_node (graph, boxes);
  CiValue all[9], value;
  CiNode *node;

  g_assert (n_levels >= 1 && n_levels <= 8 && params->resolution >= 1
      && params->sampling_ratio >= 0
      && params->sampling_ratio <= CI_ROI_MAX_SAMPLES);
  g_assert (list->kind == CI_KIND_DETECTIONS);
  memcpy (all, levels, n_levels * sizeof (CiValue));
  all[n_levels] = boxes;
  node = add_node (graph, CI_OP_ROI_ALIGN, CI_KIND_MAP, all, n_levels + 1,
      NULL, &value);
  node->channels = ci_graph_node (graph, levels[0])->channels;
  for (gint i = 0; i < n_levels; i++) {
    const CiNode *map = ci_graph_node (graph, levels[i]);

    g_assert (map->kind == CI_KIND_MAP && !map->items
        && map->channels == node->channels && params->strides[i] >= 1);
  }
  node->n_levels = n_levels;
  node->roi = *params;
  node->items = list->capacity;
  node->counted_by = boxes;
  return value;
}

CiValue
ci_graph_dynamic_mask_head (CiGraph * graph, CiValue features,
    CiValue detections, CiValue parameters, const CiMaskHeadParams * params)
{
  CiValue srcs[3] = { features, detections, parameters }, value;
  CiNode *node = add_node (graph, CI_OP_MASK_HEAD, CI_KIND_MASKS, srcs, 3,
      NULL, &value);

  g_assert (params->n_layers >= 1 && params->stride % params->out_stride == 0);
  node->mask = *params;
  node->capacity = ci_graph_node (graph, detections)->capacity;
  return value;
}

CiValue
ci_graph_blend_masks (CiGraph * graph, CiValue bases, CiValue detections,
    CiValue attention, const CiBlendParams * params)
{
  CiValue srcs[3] = { bases, detections, attention }, value;
  CiNode *node = add_node (graph, CI_OP_BLEND_MASKS, CI_KIND_MASKS, srcs, 3,
      NULL, &value);

  g_assert (ci_graph_node (graph, attention)->channels
      == ci_graph_node (graph, bases)->channels * params->attention_size
      * params->attention_size);
  node->blend = *params;
  node->capacity = ci_graph_node (graph, detections)->capacity;
  return value;
}

void
ci_graph_name (CiGraph * graph, CiValue value, const gchar * name)
{
  CiNode *node = ci_graph_node (graph, value);

  g_free (node->value_name);
  node->value_name = g_strdup (name);
}

void
ci_graph_output (CiGraph * graph, CiValue value, const gchar * name)
{
  ci_graph_name (graph, value, name);
  ci_graph_node (graph, value)->is_output = TRUE;
}

typedef struct
{
  GHashTable *seen;
  CiTensorFunc func;
  gpointer user_data;
} Foreach;

static void
report (Foreach * f, const gchar * prefix, const gchar * suffix, gint n_dims,
    const gint64 * dims)
{
  gchar *name = g_strconcat (prefix, suffix, NULL);

  /* weights shared by several levels are one tensor */
  if (!g_hash_table_contains (f->seen, name))
    f->func (name, n_dims, dims, f->user_data);
  g_hash_table_add (f->seen, name);
}

gint
ci_graph_weight_dims (const CiGraph * graph, const CiNode * node,
    gint64 dims[4])
{
  gint64 in = ci_graph_node (graph, node->srcs[0])->channels;

  dims[0] = node->op == CI_OP_DECONV ? in : node->channels;
  dims[1] = node->op == CI_OP_DECONV ? node->channels : in / node->groups;
  dims[2] = dims[3] = node->kernel;
  if (!node->linear)
    return 4;
  dims[1] *= dims[2] * dims[3];
  return 2;
}

void
ci_graph_foreach_tensor (const CiGraph * graph, CiTensorFunc func,
    gpointer user_data)
{
  Foreach f = { g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL),
    func, user_data
  };

  for (guint i = 0; i < graph->nodes->len; i++) {
    const CiNode *node = ci_graph_node (graph, i);
    const gint64 c = node->channels, one = 1, n_srcs = node->n_srcs;

    switch (node->op) {
      case CI_OP_CONV:
      case CI_OP_DECONV:
      case CI_OP_DEFORM_CONV:
      case CI_OP_CONV_AT:
      case CI_OP_CLASS_MASKS:{
        gint64 dims[4];
        gint n_dims = ci_graph_weight_dims (graph, node, dims);

        report (&f, node->name, ".weight", n_dims, dims);
        if (node->bias)
          report (&f, node->name, ".bias", 1, &c);
        break;
      }
      case CI_OP_BATCH_NORM:
      case CI_OP_GROUP_NORM:
        report (&f, node->name, ".weight", 1, &c);
        report (&f, node->name, ".bias", 1, &c);
        if (node->op == CI_OP_BATCH_NORM) {
          report (&f, node->name, ".running_mean", 1, &c);
          report (&f, node->name, ".running_var", 1, &c);
        }
        break;
      case CI_OP_SCALE:
        report (&f, node->name, "", 1, &one);
        break;
      case CI_OP_WEIGHTED_ADD:
        report (&f, node->name, "", 1, &n_srcs);
        break;
      case CI_OP_SOLO_DETECT:
      case CI_OP_SOLO_MASKS:
        for (gint l = 0; node->solo.source == CI_SOLO_STATIC
            && l < node->n_levels; l++) {
          g_autofree gchar *prefix = g_strdup_printf ("%s.%d", node->name, l);
          gint64 dims[4] = { node->grids[l] * node->grids[l],
            ci_graph_node (graph, ci_solo_source (node, l, 1))->channels, 1, 1
          };

          report (&f, prefix, ".weight", 4, dims);
          report (&f, prefix, ".bias", 1, dims);
        }
        break;
      case CI_OP_POINT_REND:
        for (gint l = 0; l <= node->point_rend.n_layers; l++) {
          g_autofree gchar *layer = ci_point_rend_layer (node, l);
          gint64 dims[3];

          ci_point_rend_dims (graph, node, l, dims);
          report (&f, layer, ".weight", 3, dims);
          report (&f, layer, ".bias", 1, dims);
        }
        break;
      default:
        break;
    }
  }
  g_hash_table_unref (f.seen);
}

/* Cells of one side of a window that slides over @in cells. */
static gint
window_cells (const CiNode * node, gint in)
{
  gint span = in + 2 * node->padding - node->kernel, out;

  if (!node->ceil_mode)
    return span < 0 ? 0 : span / node->stride + 1;
  out = span <= -node->stride ? 0
      : (span + node->stride - 1) / node->stride + 1;
  /* the last window starts inside the map or the padding before it */
  return (out - 1) * node->stride >= in + node->padding ? out - 1 : out;
}

/* The size of the source @index, if it has to be that of the result. */
static gboolean
same_size (const CiNode * node, gint index)
{
  return node->op == CI_OP_ADD || node->op == CI_OP_CONCAT
      || node->op == CI_OP_WEIGHTED_ADD
      || (node->op == CI_OP_DEFORM_CONV && index == 1);
}

gboolean
ci_graph_infer (const CiGraph * graph, gint height, gint width, gint * hw,
    GError ** error)
{
  for (guint i = 0; i < graph->nodes->len; i++) {
    const CiNode *node = ci_graph_node (graph, i);
    gint *out = hw + 2 * i, *in;

    out[0] = out[1] = 0;
    if (node->op == CI_OP_INPUT) {
      out[0] = height;
      out[1] = width;
    } else if (node->op == CI_OP_COORDS) {
      out[0] = hw[2 * node->like];
      out[1] = hw[2 * node->like + 1];
    }
    if ((node->op == CI_OP_SOLO_DETECT || node->op == CI_OP_SOLO_MASKS)
        && !ci_solo_check_sizes (node, hw, error))
      return FALSE;
    if (node->kind != CI_KIND_MAP || !node->n_srcs)
      continue;
    in = hw + 2 * node->srcs[0];
    for (gint k = 0; k < 2; k++) {
      switch (node->op) {
        case CI_OP_CONV:
        case CI_OP_DEFORM_CONV:
        case CI_OP_MAX_POOL:
          out[k] = window_cells (node, in[k]);
          break;
        case CI_OP_RESIZE:
          out[k] = node->like != CI_NO_VALUE ? hw[2 * node->like + k]
              : node->height ? (k ? node->width : node->height)
              : in[k] * node->stride;
          break;
        case CI_OP_DECONV:
          out[k] = 2 * in[k];
          break;
        case CI_OP_GLOBAL_AVG_POOL:
        case CI_OP_GLOBAL_MAX_POOL:
          out[k] = 1;
          break;
        case CI_OP_ROI_ALIGN:
          out[k] = node->roi.resolution;
          break;
        default:
          out[k] = in[k];
      }
    }
    if (out[0] < 1 || out[1] < 1) {
      g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
          "an input of %dx%d is too small for %s %s", width, height,
          ci_op_name (node->op), node->name ? node->name : "");
      return FALSE;
    }
    for (gint k = 0; k < node->n_srcs; k++) {
      const gint *b = hw + 2 * node->srcs[k];

      if (same_size (node, k) && (b[0] != out[0] || b[1] != out[1])) {
        g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
            "an input of %dx%d makes maps of %dx%d and %dx%d that have to be "
            "of one size for %s %s; its sides must be multiples of the "
            "largest stride that is upsampled again", width, height, out[1],
            out[0], b[1], b[0], ci_op_name (node->op),
            node->name ? node->name : "");
        return FALSE;
      }
    }
    if (node->op == CI_OP_RESIZE
        && node->resize_mode == CI_RESIZE_ALIGNED_BILINEAR
        && (out[0] % in[0] || out[1] != out[0] / in[0] * in[1])) {
      g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
          "an input of %dx%d makes a map of %dx%d that has to be upsampled to "
          "%dx%d, which is no multiple; its sides must be multiples of the "
          "largest stride that is upsampled again", width, height, in[1],
          in[0], out[1], out[0]);
      return FALSE;
    }
    if (node->linear && (out[0] != 1 || out[1] != 1)) {
      g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
          "the map of %dx%d is too large for the linear layer %s over %dx%d",
          in[1], in[0], node->name, node->kernel, node->kernel);
      return FALSE;
    }
    if (node->op == CI_OP_CHANNEL_SCALE && (hw[2 * node->srcs[1]] != 1
            || hw[2 * node->srcs[1] + 1] != 1)) {
      g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
          "the factors of a channel_scale are a map of %dx%d, not of 1x1",
          hw[2 * node->srcs[1] + 1], hw[2 * node->srcs[1]]);
      return FALSE;
    }
  }
  return TRUE;
}

/* ---- fusion ----------------------------------------------------------- */

/* @node becomes what @from was (its only user), which disappears. */
static void
take_over (CiNode * node, CiNode * from)
{
  CiNode old = *node;

  *node = *from;
  node->value_name = old.value_name;
  node->is_output = old.is_output;
  g_free (old.srcs);
  g_free (old.name);
  g_free (from->value_name);
  memset (from, 0, sizeof (*from));
  from->residual = from->like = from->counted_by = CI_NO_VALUE;
}

static gboolean
is_conv (const CiNode * node)
{
  return node->op == CI_OP_CONV || node->op == CI_OP_DEFORM_CONV;
}

/* Whether @node can apply @activation to its result. */
static gboolean
can_activate (const CiNode * node, CiActivation activation)
{
  if (is_conv (node) || node->op == CI_OP_DECONV)
    return activation <= CI_ACTIVATION_RELU6
        || activation == CI_ACTIVATION_LEAKY_RELU;
  return node->op == CI_OP_GROUP_NORM || node->op == CI_OP_WEIGHTED_ADD;
}

void
ci_graph_fuse (CiGraph * graph, const gboolean * keep)
{
  gint n = graph->nodes->len;
  gint *uses = g_new0 (gint, n);

  for (gint i = 0; i < n; i++) {
    const CiNode *node = ci_graph_node (graph, i);

    for (gint k = 0; k < node->n_srcs; k++)
      uses[node->srcs[k]]++;
  }

  for (gint i = 0; i < n; i++) {
    CiNode *node = ci_graph_node (graph, i);
    gint n_srcs = node->op == CI_OP_ADD ? 2 : 1;

    for (gint k = 0; k < n_srcs && k < node->n_srcs; k++) {
      CiValue src = node->srcs[k];
      CiNode *from = ci_graph_node (graph, src);
      gboolean plain = from->activation == CI_ACTIVATION_NONE
          && from->residual == CI_NO_VALUE;
      gfloat eps = node->eps;
      gchar *name;

      if (uses[src] != 1 || keep[src])
        continue;

      if (node->op == CI_OP_BATCH_NORM && is_conv (from) && plain
          && !from->norm_name && !from->scale_name) {
        name = g_strdup (node->name);
        take_over (node, from);
        node->norm_name = name;
        node->eps = eps;
      } else if (node->op == CI_OP_SCALE && is_conv (from) && plain
          && !from->scale_name) {
        name = g_strdup (node->name);
        take_over (node, from);
        node->scale_name = name;
      } else if (node->op == CI_OP_ACTIVATION
          && from->activation == CI_ACTIVATION_NONE
          && can_activate (from, node->activation)) {
        CiActivation activation = node->activation;

        take_over (node, from);
        node->activation = activation;
      } else if (node->op == CI_OP_ADD && plain
          && node->srcs[0] != node->srcs[1]
          && (from->op == CI_OP_CONV || from->op == CI_OP_RESIZE
              || from->op == CI_OP_CHANNEL_SCALE)) {
        CiValue residual = node->srcs[1 - k];

        /* a convolution adds for nothing, the others nearly so: prefer the
         * former */
        if (from->op != CI_OP_CONV && k == 0) {
          CiNode *other = ci_graph_node (graph, residual);

          if (other->op == CI_OP_CONV && uses[residual] == 1 && !keep[residual]
              && other->activation == CI_ACTIVATION_NONE
              && other->residual == CI_NO_VALUE)
            continue;
        }
        take_over (node, from);
        node->residual = residual;
      } else {
        continue;
      }
      break;
    }
  }
  g_free (uses);
}
