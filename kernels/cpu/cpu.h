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
gboolean ci_cpu_prepare_max_pool (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_group_norm (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_affine (CiPlan * plan, CiStep * step, GError ** error);
gboolean ci_cpu_prepare_upsample (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_global_avg_pool (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_channel_scale (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_concat (CiPlan * plan, CiStep * step, GError ** error);
gboolean ci_cpu_prepare_weighted_add (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_deform_conv (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_pack (CiPlan * plan, CiStep * step, GError ** error);
gboolean ci_cpu_prepare_fcos_detect (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_conv_at (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_mask_head (CiPlan * plan, CiStep * step,
    GError ** error);
gboolean ci_cpu_prepare_blend_masks (CiPlan * plan, CiStep * step,
    GError ** error);

/* oneDNN's own threads stay out of the way: one thread per call, the pool
 * gives each of its threads a slice. begin() returns what end() restores. */
gint ci_dnnl_begin (void);
void ci_dnnl_end (gint saved);

/* The matrix product of a deformable convolution, with its bias and activation:
 * each of @n_tasks has its own columns and results of @n_pixels pixels, as maps
 * of blocks. The channels of the columns are ordered [group][tap][block of the
 * group]. */
typedef struct _CiProductPrivate CiProductPrivate;
typedef struct
{
  gint groups;                  /* of whole blocks of channels */
  gfloat **columns, **results;  /* per task */
  CiProductPrivate *priv;
} CiProduct;

CiProduct *ci_product_new (CiPlan * plan, const CiNode * node, gint n_pixels,
    gint n_tasks, GError ** error);
void ci_product_free (CiProduct * product);
/* May run for several tasks at once. */
void ci_product_run (CiProduct * product, gint task);
/* FALSE and @error if a run failed. */
gboolean ci_product_check (CiProduct * product, CiStep * step,
    GError ** error);

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
