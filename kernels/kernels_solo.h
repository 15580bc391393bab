/*
 * kernels_solo.h: the nodes of SOLO; a part of kernels.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_KERNELS_SOLO_H
#define CI_KERNELS_SOLO_H

#include "kernels.h"

G_BEGIN_DECLS

typedef enum
{
  CI_SOLO_STATIC,               /* SOLO: of a 1x1 convolution, the channel of
                                   the cell */
  CI_SOLO_PRODUCT,              /* Decoupled SOLO: channel x of one map times
                                   channel y of another one */
  CI_SOLO_DYNAMIC,              /* SOLOv2: a 1x1 convolution that is given by
                                   the cell */
} CiSoloSource;

/** One level of a SOLO head: @grid x @grid cells. */
typedef struct
{
  CiValue logits;               /* num_classes x grid x grid */
  gint grid;
  gint stride;                  /* masks have more cells than that */
  /* Static: features, C x h x w. Product: logits of columns and of rows, each
   * grid x h x w. Dynamic: kernels, E x grid x grid, and features, E x h x w,
   * the same of all levels. */
  CiValue masks[2];
} CiSoloLevel;

typedef struct
{
  CiSoloSource source;
  gint stride;                  /* of the masks, 4 */
  gfloat mask_threshold;        /* 0.5 */
  gfloat update_threshold;      /* of scores behind NMS, 0.05 */
  gfloat sigma;                 /* of matrix NMS, 2 */
  gboolean linear;              /* matrix NMS without an exponential */
  gboolean full_map;            /* whole map, not only what lies in a mask's
                                   bounds and a cell around them */
} CiSoloParams;

/* Of pre_nms_top_k. */
#define CI_SOLO_MAX_PRE_NMS 1000

/**
 * Detections of SOLO (Wang et al., ECCV 2020, section 3), Decoupled SOLO and
 * SOLOv2 (Wang et al., NeurIPS 2020, sections 3.2 and 3.3; WXinlong/SOLO
 * solo_head.py, solov2_head.py, matrix_nms.py; SEMANTICS-solo): classes of
 * cells that no neighbour (left, above, both) exceeds, masks of those above
 * inference_threshold, the pre_nms_top_k best of all levels by score times mean
 * of the mask, matrix NMS, the best. A mask is the sigmoid of what its source
 * gives (0 where that is no number), resized to the map @like, which has the
 * stride of the masks, and of factors their product. Static ones take
 * `@name.L.{weight,bias}` of level L. The result is in descending score; boxes
 * are the bounds of the masks, in pixels of the network input; locations are
 * the centres of the cells.
 */
CiValue ci_graph_solo_detect (CiGraph * graph, const CiSoloLevel * levels,
    gint n_levels, CiValue like, const gchar * name, gint capacity,
    const CiSoloParams * params);
/** The soft masks of @detections, which ci_graph_solo_detect() found with the
 * other arguments. */
CiValue ci_graph_solo_masks (CiGraph * graph, const CiSoloLevel * levels,
    gint n_levels, CiValue like, const gchar * name, CiValue detections,
    const CiSoloParams * params);

G_END_DECLS

#endif /* CI_KERNELS_SOLO_H */
