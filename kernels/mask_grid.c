/*
 * mask_grid.c: where the cells of soft grids lie in the network's input.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "plan.h"

void
ci_plan_place_grid (const CiPlan * plan, CiMaskGrid * grid)
{
  const CiNode *node = ci_graph_node (plan->graph, plan->masks);
  gint stride = node->mask.out_stride;

  if (node->op == CI_OP_SOLO_MASKS) {
    grid->scale_x = grid->scale_y = node->solo.stride;
    grid->offset_x = grid->x * grid->scale_x;
    grid->offset_y = grid->y * grid->scale_y;
    return;
  }
  if (node->op == CI_OP_ASSEMBLE_MASKS) {
    /* the map divides the input */
    const CiMap *map = &plan->buffers[node->srcs[0]].map;

    grid->scale_x = (gfloat) plan->width / map->w;
    grid->scale_y = (gfloat) plan->height / map->h;
    grid->offset_x = grid->x * grid->scale_x;
    grid->offset_y = grid->y * grid->scale_y;
  }
  if (node->op != CI_OP_MASK_HEAD)
    return;
  /* cell i lies at pixel stride * i + stride / 2 (SEMANTICS 9), whose centre is
   * half a pixel from that */
  grid->scale_x = grid->scale_y = stride;
  grid->offset_x = stride * grid->x + 0.5f - (stride / 2.0f - stride / 2);
  grid->offset_y = stride * grid->y + 0.5f - (stride / 2.0f - stride / 2);
}
