/*
 * graph.h: inside of a CiGraph; private to kernels/.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_GRAPH_H
#define CI_GRAPH_H

#include "kernels.h"

G_BEGIN_DECLS

typedef enum
{
  CI_OP_NONE,                   /* fused into another node */
  CI_OP_INPUT,
  CI_OP_CONV,
  CI_OP_DECONV,
  CI_OP_BATCH_NORM,
  CI_OP_GROUP_NORM,
  CI_OP_ACTIVATION,
  CI_OP_SCALE,
  CI_OP_ADD,
  CI_OP_MAX_POOL,
  CI_OP_GLOBAL_AVG_POOL,
  CI_OP_GLOBAL_MAX_POOL,
  CI_OP_CHANNEL_SCALE,
  CI_OP_CONCAT,
  CI_OP_COORDS,
  CI_OP_WEIGHTED_ADD,
  CI_OP_RESIZE,
  CI_OP_DEFORM_CONV,
  CI_OP_FCOS_DETECT,
  CI_OP_RPN,
  CI_OP_BOX_DETECT,
  CI_OP_MULTIBOX_DETECT,
  CI_OP_GATHER,
  CI_OP_CONV_AT,
  CI_OP_ROI_ALIGN,
  CI_OP_MASK_HEAD,
  CI_OP_BLEND_MASKS,
  CI_OP_SOLO_DETECT,
  CI_OP_SOLO_MASKS,
  CI_OP_CLASS_MASKS,
  CI_OP_POINT_REND,
  CI_OP_ASSEMBLE_MASKS,
  CI_OP_ASSEMBLE_ITEMS,
  CI_OP_RESCORE,
} CiOp;

typedef enum
{
  CI_KIND_MAP,                  /* channels x height x width, or items of it */
  CI_KIND_DETECTIONS,           /* at most capacity */
  CI_KIND_ROWS,                 /* capacity x channels */
  CI_KIND_MASKS,                /* capacity grids */
} CiKind;

/* A node has one result, whose CiValue is the node's index. */
typedef struct
{
  CiOp op;
  CiKind kind;
  gint n_srcs;
  CiValue *srcs;
  gchar *name;                  /* prefix of its tensors */

  gint channels;                /* of the result */
  /* Kind MAP: 0, or the capacity of the detection list @counted_by: the value
   * holds a map for each of its entries. */
  gint items;
  CiValue counted_by;
  gint kernel, stride, padding, groups;
  gboolean bias;
  gboolean linear;              /* conv: the weights have two dimensions */
  gboolean ceil_mode;           /* max pool */
  CiActivation activation;
  CiResizeMode resize_mode;     /* resize: factor = stride, */
  gint height, width;           /* or to this size, if it is not 0, */
  CiValue like;                 /* or to the size of this map, as coords. It is
                                   not read, so it is no source; solo, too */
  gboolean coord_x, coord_y;    /* coords */

  /* conv and deform conv: what fusion folded into the weights; prefixes of
   * tensors */
  gchar *norm_name, *scale_name;
  gfloat eps;                   /* of that batch norm, or of this one */
  /* conv, resize, channel scale: added before the activation, or
   * CI_NO_VALUE */
  CiValue residual;

  gint capacity;
  gboolean thresh_with_ctr;
  gint n_levels;
  gint strides[8];
  gfloat anchor_sizes[8];
  CiRpnParams rpn;
  CiBoxDetectParams box_detect;
  CiMultiboxParams multibox;
  gfloat *priors;               /* multibox: width and height of each, level by
                                   level */
  gboolean full_map;            /* assemble masks */
  CiMaskHeadParams mask;
  CiBlendParams blend;
  CiSoloParams solo;
  gint grids[8];
  CiRoiAlignParams roi;
  gint first_channel;           /* class masks: that of class 0 */
  CiPointRendParams point_rend;

  gchar *value_name;
  gboolean is_output;
} CiNode;

struct _CiGraph
{
  GPtrArray *nodes;             /* CiNode */
};

static inline CiNode *
ci_graph_node (const CiGraph * graph, CiValue value)
{
  return g_ptr_array_index (graph->nodes, value);
}

/* A new node, whose CiValue is @value, with the next index. */
CiNode *ci_graph_add_node (CiGraph * graph, CiOp op, CiKind kind,
    const CiValue * srcs, gint n_srcs, const gchar * name, CiValue * value);

/* A deep copy, for the plan compiler to rewrite. */
CiGraph *ci_graph_copy (const CiGraph * graph);

const gchar *ci_op_name (CiOp op);

/* Shape of the weights of a convolution of any kind; returns how many
 * dimensions it has. */
gint ci_graph_weight_dims (const CiGraph * graph, const CiNode * node,
    gint64 dims[4]);

/* The prefix of layer @index of a point head, to be freed, and the shape of its
 * weights. The predictor is the last layer. */
gchar *ci_point_rend_layer (const CiNode * node, gint index);
void ci_point_rend_dims (const CiGraph * graph, const CiNode * node,
    gint index, gint64 dims[3]);

/* Priors of a cell on @level of a multibox node, and of all levels together. */
gint ci_graph_level_priors (const CiGraph * graph, const CiNode * node,
    gint level);
gint ci_graph_count_priors (const CiGraph * graph, const CiNode * node);
/* What a multibox node does when @wanted is asked for. */
CiNms ci_multibox_nms (const CiNode * node, CiNms wanted);

/* Height and width of every map for an input of @height x @width; @hw has two
 * entries per node. */
gboolean ci_graph_infer (const CiGraph * graph, gint height, gint width,
    gint * hw, GError ** error);

/* Source @index of a SOLO node's @level: 0: logits, 1 and 2: of the masks
 * (static ones have but one). */
static inline CiValue
ci_solo_source (const CiNode * node, gint level, gint index)
{
  return node->srcs[(node->solo.source == CI_SOLO_STATIC ? 2 : 3) * level
      + index];
}

/* FALSE and @error if sizes of a SOLO node's sources contradict its grids. */
gboolean ci_solo_check_sizes (const CiNode * node, const gint * hw,
    GError ** error);

/* Fuses normalisation, scales, residual additions and activations into the
 * nodes before them. @keep: values that have to stay readable, per node. */
void ci_graph_fuse (CiGraph * graph, const gboolean * keep);

G_END_DECLS

#endif
