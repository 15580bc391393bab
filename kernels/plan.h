/*
 * plan.h: inside of a CiPlan and what a backend has to provide; private to
 * kernels/.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_PLAN_H
#define CI_PLAN_H

#include "graph.h"

G_BEGIN_DECLS

/* A map in memory: [ceil (c / block)][h][w][block]; lanes behind the last
 * channel are 0. block is 1 (NCHW) or that of the backend. A backend whose
 * block is 0 has all channels of a pixel in one block, in whole octets. */
typedef struct
{
  gint c, h, w, block;
  gfloat *data;                 /* 64-byte aligned, if it is no part of
                                   another map */
  gint pitch;                   /* pixels from row to row: w, but for parts of a
                                   canvas */
  gint items;                   /* maps like this, one behind the other; 1 if it
                                   is no map of items */
} CiMap;

typedef struct
{
  gint count;
  gfloat *boxes, *scores, *locations;
  gint32 *classes, *levels, *cells;
} CiDetectionBuffer;

typedef struct
{
  CiMap map;                    /* kind MAP; ROWS: dense rows of c numbers */
  gpointer scratch;             /* kind MAP: the backend's, during the step */
  CiDetectionBuffer detections; /* kind DETECTIONS */
  CiMaskGrid *grids;            /* kind MASKS: capacity */
  gfloat *prob;                 /* kind MASKS: capacity x grid_size floats */
  gsize grid_size;
} CiBuffer;

typedef struct _CiStep CiStep;
typedef gboolean (*CiStepFunc) (CiPlan * plan, CiStep * step, GError ** error);

struct _CiStep
{
  const CiNode *node;
  CiValue value;
  CiStepFunc run;
  /* Of items: whether @run computes all there are. Else it is called for each,
   * with all maps of items moved to it. */
  gboolean all_items;
  gpointer state;
  GDestroyNotify free_state;
};

/* A backend: how maps lie in memory, and what makes a step ready to run (sets
 * run, state and free_state). @scratch: bytes of the arena that a step of kind
 * MAP needs only while it runs (CiBuffer.scratch). @begin and @end embrace each
 * run. All but @prepare may be NULL. */
typedef struct
{
  gint block;
  /* Whether @b may be computed in one step with @a, which has the same weights
   * and is of the same op; NULL: every node is a step. */
  gboolean (*share) (const CiNode *a, const CiNode *b);
  /* Whether two groups of such nodes, which follow each other, may be one step,
   * too. */
  gboolean (*join) (CiPlan *plan, CiValue a, CiValue b);
  gboolean (*prepare) (CiPlan *plan, CiStep *step, GError **error);
  gsize (*scratch) (CiPlan *plan, CiValue value);
  gint (*begin) (void);
  void (*end) (gint saved);

  /* Of a backend with a memory of its own. @open comes first, @close last.
   * @arrange may put groups of maps onto canvases. @alloc: as
   * ci_plan_alloc(). @finish comes after the steps. */
  gboolean (*open) (CiPlan *plan, const CiPlanOptions *options,
      GError **error);
  void (*close) (CiPlan *plan);
  void (*arrange) (CiPlan *plan);
  gpointer (*alloc) (CiPlan *plan, gsize n_bytes, GError **error);
  gboolean (*finish) (CiPlan *plan, GError **error);
  gboolean (*submit) (CiPlan *plan, CiPreprocess *pre, const CiImage *image,
      GError **error);          /* @pre NULL: the input has been filled */
  gboolean (*collect) (CiPlan *plan, GError **error);
  /* Of items: as many as the list has entries, which @count says; all items
   * and lists are those of the last image of a batch. */
  gboolean (*read) (const CiPlan *plan, CiValue value, gfloat *nchw);
  gint (*count) (const CiPlan *plan, CiValue list);
} CiBackendFuncs;

extern const CiBackendFuncs ci_backend_ref;
extern const CiBackendFuncs ci_backend_cpu;
const CiBackendFuncs *ci_device_get_backend (const CiDevice * device);

/* Maps of a group side by side in one (CiBackendFuncs.arrange): of the lead,
 * its size in pixels; of all members, their place. */
typedef struct
{
  gint h, w;
  gint y, x;
} CiPlace;

struct _CiPlan
{
  CiGraph *graph;               /* rewritten copy */
  const CiBackendFuncs *backend;
  const CiWeights *weights;
  CiPool *pool;
  gint height, width;           /* of the input */
  gfloat *input;                /* planar */
  CiBuffer *buffers;            /* one per node */
  gboolean *keep;               /* values that stay readable */
  /* Convolutions in a row that do not need each other are one step, that of
   * the first, if the backend wants. Per value: the first one's, and how many
   * follow it, itself included (0 for the others). */
  CiValue *lead;
  gint *group;
  CiStep *steps;
  gint n_steps;
  CiPlace *place;               /* per value; h is 0 without a canvas */
  gint element_bytes;           /* of maps */
  gint batch;                   /* images that maps have */
  gsize arena_bytes;
  GPtrArray *extra;             /* other memory, freed with the plan */
  GPtrArray *names;
  CiValue detections, masks, rescored;
  gdouble flops;

  const CiDetectParams *params; /* of the current run */
  gint frame_height, frame_width;       /* and of its frame in the input, from
                                           the upper left corner on */
  /* what the last run found, in the host's memory */
  CiDetections found;
  const CiMaskGrid *found_grids;
  gint in_flight, max_in_flight;
  gpointer device;              /* the backend's */
  CiDevice *owner;              /* a reference */
  CiPlanTimes times;
};

/* The next member of a group after @value. */
static inline CiValue
ci_plan_next (const CiPlan * plan, CiValue value)
{
  CiValue lead = plan->lead[value], n = plan->graph->nodes->len;

  do
    value++;
  while (value < n && plan->lead[value] != lead);
  return value;
}

/* On how many maps (the levels of a pyramid) a group begins with the weights of
 * its lead. */
gint ci_plan_count_maps (const CiPlan * plan, CiValue lead);

static inline CiMap *
ci_plan_map (CiPlan * plan, CiValue value)
{
  return &plan->buffers[value].map;
}

/* Of one item. */
static inline gsize
ci_map_floats (const CiMap * map)
{
  return (gsize) ((map->c + map->block - 1) / map->block) * map->block
      * map->h * map->w;
}

/* What times are told apart by. */
typedef enum
{
  CI_STAGE_PREPROCESS,
  CI_STAGE_NETWORK,
  CI_STAGE_DECODE,
  CI_STAGE_MASKS,
  CI_N_STAGES
} CiStage;

/* What is computed for the final detections belongs to their masks, as a mask
 * head of two-stage detectors. */
static inline CiStage
ci_plan_get_stage (const CiPlan * plan, const CiNode * node)
{
  switch (node->kind) {
    case CI_KIND_MAP:
      return node->items && node->counted_by == plan->detections ?
          CI_STAGE_MASKS : CI_STAGE_NETWORK;
    case CI_KIND_DETECTIONS:
      return CI_STAGE_DECODE;
    default:
      return CI_STAGE_MASKS;
  }
}

/* How many items @node has in this run; 1 if its map is none of items. */
static inline gint
ci_plan_count_items (const CiPlan * plan, const CiNode * node)
{
  if (!node->items)
    return 1;
  return plan->backend->count ? plan->backend->count (plan, node->counted_by)
      : plan->buffers[node->counted_by].detections.count;
}

/* Whether a backend with a memory of its own computes @node image by image,
 * when the maps of all images are done: what is found, and what that needs. */
static inline gboolean
ci_plan_is_per_image (const CiPlan * plan, const CiNode * node)
{
  return plan->backend->alloc && (node->kind != CI_KIND_MAP || node->items);
}

/* 64-byte aligned and zeroed memory that lives as long as the plan; NULL and
 * @error if there is not enough. */
gpointer ci_plan_alloc (CiPlan * plan, gsize n_bytes, GError ** error);
/* The same, owned by the caller; free with free(). */
gpointer ci_aligned_alloc0 (gsize n_bytes, GError ** error);

/* The tensor @prefix@suffix as floats, with exactly the given shape; the
 * caller frees it with g_free. */
gfloat *ci_plan_tensor (CiPlan * plan, const gchar * prefix,
    const gchar * suffix, gint n_dims, const gint64 * dims, GError ** error);
/* y = gamma * (x - mean) / sqrt (var + eps) + beta, of the tensors
 * `@name.{weight,bias,running_mean,running_var}`, as @scale and @shift of @c
 * channels. */
gboolean ci_plan_batch_norm (CiPlan * plan, const gchar * name, gfloat eps,
    gint64 c, gfloat * scale, gfloat * shift, GError ** error);
/* Weights (O x I/g x k x k; of a deconv I x O x 2 x 2) and bias (O) of a
 * convolution with everything folded that fusion gave it. */
gboolean ci_plan_fold_conv (CiPlan * plan, const CiNode * node,
    gfloat ** weight, gfloat ** bias, GError ** error);

/* Whether two convolutions compute the same of different maps. */
gboolean ci_plan_same_weights (const CiNode * a, const CiNode * b);

/* detect.c and ref.c share nothing but this: the detections' arrays. */
typedef struct
{
  gfloat x0, y0, x1, y1, value; /* value: what candidates are ranked by */
  gint32 cls, level, cell;
} CiCandidate;

/* Sets scales and offsets of @grid, a result of the graph's masks whose cells
 * are known. */
void ci_plan_place_grid (const CiPlan * plan, CiMaskGrid * grid);

void ci_detections_set (CiDetectionBuffer * out, gint index,
    const CiCandidate * candidate, gint width, gint stride);

G_END_DECLS

#endif
