/*
 * cpu.h: the CPU backend's parts; private to kernels/cpu. Maps lie in memory
 * as [c / 8][h][w][8].
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_CPU_H
#define CI_CPU_H

#include "../plan.h"

G_BEGIN_DECLS

#define CI_BLOCK 8

/* Each makes one kind of step ready to run. */
gboolean ci_cpu_prepare_conv (CiPlan * plan, CiStep * step, GError ** error);
/* The same for a group of 3x3 convolutions, given its lead, if it pays; groups
 * may be joined if they read the same maps. */
gboolean ci_cpu_winograd_pays (CiPlan * plan, CiValue lead);
gboolean ci_cpu_winograd_join (CiPlan * plan, CiValue a, CiValue b);
gboolean ci_cpu_prepare_winograd (CiPlan * plan, CiStep * step,
    GError ** error);
gsize ci_cpu_winograd_scratch (CiPlan * plan, CiValue lead);
/* Convolutions of items and transposed ones. */
gboolean ci_cpu_prepare_gemm (CiPlan * plan, CiStep * step, GError ** error);
gsize ci_cpu_gemm_scratch (CiPlan * plan);
gboolean ci_cpu_prepare_max_pool (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_group_norm (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_affine (CiPlan * plan, CiStep * step, GError ** error);
gboolean ci_cpu_prepare_resize (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_global_avg_pool (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_global_max_pool (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_channel_scale (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_concat (CiPlan * plan, CiStep * step, GError ** error);
gboolean ci_cpu_prepare_coords (CiPlan * plan, CiStep * step, GError ** error);
gboolean ci_cpu_prepare_weighted_add (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_deform_conv (CiPlan * plan, CiStep * step,
    GError ** error);
gsize ci_cpu_deform_conv_scratch (CiPlan * plan, CiValue value);
gboolean ci_cpu_prepare_pack (CiPlan * plan, CiStep * step, GError ** error);
gboolean ci_cpu_prepare_fcos_detect (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_rpn (CiPlan * plan, CiStep * step, GError ** error);
gboolean ci_cpu_prepare_box_detect (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_multibox_detect (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_gather (CiPlan * plan, CiStep * step, GError ** error);
gboolean ci_cpu_prepare_conv_at (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_roi_align (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_mask_head (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_blend_masks (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_assemble (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_rescore (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_solo_detect (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_solo_masks (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_class_masks (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_point_rend (CiPlan * plan, CiStep * step,
    GError ** error);

/* oneDNN's own threads stay out of the way: one thread per call, the pool
 * gives each of its threads a slice. begin() returns what end() restores. */
gint ci_dnnl_begin (void);
void ci_dnnl_end (gint saved);

/* Layouts of oneDNN (dnnl_memory_desc_t), for packed.c. */
gboolean ci_dnnl_layout_equal (gconstpointer a, gconstpointer b);
void ci_dnnl_layout_free (gpointer layout);

/* Weights and bias of one slice of one layer in the layout that a step wants;
 * shared by all plans of a model. */
typedef struct
{
  gint refs;
  guint64 id;                   /* CiWeights.id */
  gchar *key;                   /* layer, what is folded into it, slice */
  gpointer layout;              /* of oneDNN, or NULL */
  gfloat *weight, *bias;
} CiPacked;

/* A reference to what an earlier plan published, or NULL. */
CiPacked *ci_packed_find (guint64 id, const gchar * key, gpointer layout);
/* Zeroed memory to pack into; takes @layout. */
CiPacked *ci_packed_new (guint64 id, const gchar * key, gpointer layout,
    gsize weight_bytes, gsize bias_bytes, GError ** error);
/* Shares @packed, or gives it up for what another thread shared first; returns
 * a reference for the caller, who gives up the one that it had. */
CiPacked *ci_packed_publish (CiPacked * packed);
void ci_packed_unref (CiPacked * packed);

/* Groups of a convolution over @in channels, merged until each has whole
 * blocks. */
gint ci_cpu_merge_groups (const CiNode * node, gint in);

/* The matrix product of a deformable convolution, with its bias and activation.
 * Each of @n_tasks has its own @columns and @results, which lie @pitch floats
 * behind those of the task before. The channels of the columns are ordered
 * [merged group][tap][block of the group]. */
typedef struct _CiProduct CiProduct;
CiProduct *ci_product_new (CiPlan * plan, const CiNode * node,
    const CiMap * columns, const CiMap * results, gint n_tasks, gsize pitch,
    GError ** error);
void ci_product_free (CiProduct * product);
/* May run for several tasks at once. */
void ci_product_run (CiProduct * product, gint task);
/* FALSE and @error if a run failed. */
gboolean ci_product_check (const CiProduct * product, GError ** error);

/* A sample along one axis: between the cells @i0 and @i1, @a of the way. */
typedef struct
{
  gint i0, i1;
  gfloat a;
  gboolean outside;             /* of the map: the sample is 0 */
} CiTap;

/* Where the @n_out cells of a resized axis lie among its @n cells; @factor:
 * n_out / n. Free with g_free. */
CiTap *ci_cpu_resize_taps (CiResizeMode mode, gint factor, gint n,
    gint n_out);

static inline gint
ci_map_blocks (const CiMap * map)
{
  return (map->c + CI_BLOCK - 1) / CI_BLOCK;
}

static inline gfloat *
ci_map_block (const CiMap * map, gint block)
{
  return map->data + (gsize) block * map->h * map->w * CI_BLOCK;
}

G_END_DECLS

#endif
