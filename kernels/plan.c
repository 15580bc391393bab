/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan.h"
#include "preprocess_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 64
#define MAX_SIDE 16384

static gsize
align_up (gsize n)
{
  return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* ---- compiling -------------------------------------------------------- */

static gpointer
alloc (CiPlan * plan, gsize n_bytes, GError ** error)
{
  return plan->backend->alloc ? plan->backend->alloc (plan, n_bytes, error)
      : ci_plan_alloc (plan, n_bytes, error);
}

/* Where a value's floats lie: values that are computed in place share one. */
typedef struct
{
  gsize bytes, offset;
  gint start, end;              /* first and last step that needs it */
} Storage;

static gint
compare_storage_size (gconstpointer a, gconstpointer b)
{
  const Storage *x = *(const Storage * const *) a;
  const Storage *y = *(const Storage * const *) b;

  return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

static gint
compare_storage_offset (gconstpointer a, gconstpointer b)
{
  const Storage *x = *(const Storage * const *) a;
  const Storage *y = *(const Storage * const *) b;

  return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Largest first, each at the lowest offset that is free while it lives. */
static gsize
place_storages (GPtrArray * storages)
{
  g_autoptr (GPtrArray) placed = g_ptr_array_new ();
  gsize total = 0;

  g_ptr_array_sort (storages, compare_storage_size);
  for (guint i = 0; i < storages->len; i++) {
    Storage *s = g_ptr_array_index (storages, i);
    gsize offset = 0;

    for (guint k = 0; k < placed->len; k++) {
      const Storage *o = g_ptr_array_index (placed, k);

      if (o->end < s->start || s->end < o->start)
        continue;
      if (offset + s->bytes <= o->offset)
        break;
      offset = MAX (offset, o->offset + o->bytes);
    }
    s->offset = offset;
    total = MAX (total, offset + s->bytes);
    g_ptr_array_add (placed, s);
    g_ptr_array_sort (placed, compare_storage_offset);
  }
  return total;
}

/* The operand that @node may overwrite with its result, @index-th choice. */
static CiValue
in_place_operand (const CiNode * node, gint index, gint block)
{
  switch (node->op) {
    case CI_OP_CONV:
      /* nobody says so of a device's libraries */
      return index == 0 && block ? node->residual : CI_NO_VALUE;
    case CI_OP_RESIZE:
      return index == 0 ? node->residual : CI_NO_VALUE;
    case CI_OP_ADD:
    case CI_OP_WEIGHTED_ADD:
      return index < node->n_srcs ? node->srcs[index] : CI_NO_VALUE;
    case CI_OP_CHANNEL_SCALE:
      return index == 0 ? node->srcs[0] : node->residual;
    case CI_OP_GROUP_NORM:
    case CI_OP_BATCH_NORM:
    case CI_OP_ACTIVATION:
    case CI_OP_SCALE:
      return index == 0 ? node->srcs[0] : CI_NO_VALUE;
    default:
      return CI_NO_VALUE;
  }
}

/* Values that are computed right where a concatenation wants them: @into is
 * that one or CI_NO_VALUE, @within the place in it, in bytes. */
static void
find_parts (CiPlan * plan, CiValue * into, gsize * within)
{
  gint n = plan->graph->nodes->len, block = plan->backend->block;

  for (gint i = 0; i < n; i++)
    into[i] = CI_NO_VALUE;
  for (gint i = 0; i < n && block; i++) {
    const CiNode *node = ci_graph_node (plan->graph, i);
    gint c = 0;

    if (node->op != CI_OP_CONCAT || node->n_srcs < 2 || node->items)
      continue;
    for (gint k = 0; k < node->n_srcs; k++) {
      CiValue src = node->srcs[k];
      const CiMap *map = ci_plan_map (plan, src);

      /* whole blocks, and in one place only */
      if (into[src] == CI_NO_VALUE && !map->data && c % block == 0
          && (map->c % block == 0 || k + 1 == node->n_srcs)
          && ci_graph_node (plan->graph, src)->op != CI_OP_CONCAT) {
        into[src] = i;
        within[src] = (gsize) c * map->h * map->w * sizeof (gfloat);
      }
      c += map->c;
    }
  }
}

static Storage *
new_storage (GPtrArray * storages, gsize bytes, gint step)
{
  Storage *s = g_new0 (Storage, 1);

  s->bytes = align_up (bytes);
  s->start = s->end = step;
  g_ptr_array_add (storages, s);
  return s;
}

/* A node that may be computed with others of its kind before it. */
static gboolean
may_join (const CiNode * node, CiValue lead)
{
  return (node->op == CI_OP_CONV || node->op == CI_OP_GROUP_NORM)
      && node->residual == CI_NO_VALUE && node->srcs[0] < lead
      && !node->items;
}

static gboolean
may_share (const CiPlan * plan, CiValue lead, const CiNode * node)
{
  const CiNode *first = lead == CI_NO_VALUE ? NULL
      : ci_graph_node (plan->graph, lead);

  return first && first->op == node->op && may_join (node, lead)
      && plan->backend->share (first, node);
}

static void
form_groups (CiPlan * plan)
{
  const guint n = plan->graph->nodes->len;
  CiValue lead = CI_NO_VALUE;

  /* first those that share weights */
  for (guint i = 0; i < n; i++) {
    CiNode *node = ci_graph_node (plan->graph, i);

    plan->lead[i] = i;
    plan->group[i] = 1;
    if (!plan->backend->share || node->op == CI_OP_NONE)
      continue;
    if (may_share (plan, lead, node)) {
      plan->lead[i] = lead;
      plan->group[lead]++;
      plan->group[i] = 0;
    } else {
      lead = may_join (node, i) ? (CiValue) i : CI_NO_VALUE;
    }
  }
  /* then these groups */
  lead = CI_NO_VALUE;
  for (guint i = 0; i < n && plan->backend->join; i++) {
    CiNode *node = ci_graph_node (plan->graph, i);
    gint n_maps = plan->group[i];
    gboolean join = n_maps > 0 && lead != CI_NO_VALUE;

    if (node->op == CI_OP_NONE || n_maps == 0)
      continue;
    for (CiValue k = i, m = 0; join && m < n_maps; m++) {
      join = may_join (ci_graph_node (plan->graph, k), lead);
      k = ci_plan_next (plan, k);
    }
    if (join && plan->backend->join (plan, lead, i)) {
      for (CiValue k = i, m = 0, next; m < n_maps; m++, k = next) {
        next = ci_plan_next (plan, k);
        plan->lead[k] = lead;
      }
      plan->group[lead] += n_maps;
      plan->group[i] = 0;
    } else {
      lead = may_join (node, i) ? (CiValue) i : CI_NO_VALUE;
    }
  }
}

/* Members of a group that lie on one canvas: parts of their lead. */
static void
find_canvas_parts (CiPlan * plan, CiValue * into, gsize * within)
{
  for (guint i = 0; i < plan->graph->nodes->len; i++) {
    CiValue lead = plan->lead[i];
    const CiPlace *place = &plan->place[i];
    CiMap *map = ci_plan_map (plan, i);

    if (!place->h)
      continue;
    map->pitch = place->w;
    within[i] = ((gsize) place->y * place->w + place->x) * map->block
        * plan->element_bytes;
    if (lead != (CiValue) i)
      into[i] = lead;
  }
}

/* Bytes of what @value lies in: itself, or the canvas that it leads. */
static gsize
storage_bytes (CiPlan * plan, CiValue value)
{
  gint n_maps = ci_graph_node (plan->graph, value)->items ?
      ci_plan_map (plan, value)->items : plan->batch;
  const CiPlace *place = &plan->place[value];
  const CiMap *map = ci_plan_map (plan, value);

  return (gsize) n_maps * plan->element_bytes * (place->h ?
      (gsize) place->h * place->w * map->block : ci_map_floats (map));
}

/* When @value is computed, among all: what is done image by image comes behind
 * the rest. */
static gint
when (const CiPlan * plan, CiValue value)
{
  return value + (ci_plan_is_per_image (plan, ci_graph_node (plan->graph,
              value)) ? (gint) plan->graph->nodes->len : 0);
}

/* @src is read until @end by @node. Of what is not done image by image, the
 * next image needs its own. */
static void
note_use (const CiPlan * plan, const CiNode * node, CiValue src, gint end,
    gint * last)
{
  if (ci_plan_is_per_image (plan, node)
      && !ci_plan_is_per_image (plan, ci_graph_node (plan->graph, src)))
    end = G_MAXINT;
  last[src] = MAX (last[src], end);
}

static gboolean
plan_memory (CiPlan * plan, GError ** error)
{
  gint n = plan->graph->nodes->len;
  g_autofree gint *last = g_new0 (gint, n);
  g_autofree gint *end_of = g_new0 (gint, n);   /* last one of its group */
  g_autofree CiValue *into = g_new (CiValue, n);
  g_autofree gsize *within = g_new0 (gsize, n);
  g_autofree Storage **of = g_new0 (Storage *, n);
  g_autofree Storage **scratch = g_new0 (Storage *, n);
  g_autoptr (GPtrArray) storages = g_ptr_array_new_with_free_func (g_free);
  guint8 *arena;

  /* a group's sources and results live together */
  for (gint i = 0; i < n; i++)
    end_of[plan->lead[i]] = i;
  for (gint i = 0; i < n; i++) {
    const CiNode *node = ci_graph_node (plan->graph, i);
    gint end = when (plan, end_of[plan->lead[i]]);

    for (gint k = 0; k < node->n_srcs; k++)
      note_use (plan, node, node->srcs[k], end, last);
    if (node->residual != CI_NO_VALUE)
      note_use (plan, node, node->residual, end, last);
    last[i] = MAX (last[i], end);
  }
  find_parts (plan, into, within);
  find_canvas_parts (plan, into, within);
  for (gint i = 0; i < n; i++) {
    const CiNode *node = ci_graph_node (plan->graph, i);
    gint end = plan->keep[i] ? G_MAXINT : last[i];
    CiValue whole = into[i] == CI_NO_VALUE ? i : into[i];
    gsize bytes, scratch_bytes;

    if (node->kind != CI_KIND_MAP || node->op == CI_OP_NONE
        || plan->buffers[i].map.data)
      continue;
    bytes = storage_bytes (plan, whole);
    for (gint k = 0; whole == i && k < MAX (node->n_srcs, 2) && !of[i]; k++) {
      CiValue src = in_place_operand (node, k, plan->backend->block);

      /* these still read around what they have written */
      if (src != CI_NO_VALUE && of[src] && of[src]->end == when (plan, i)
          && of[src]->bytes == align_up (bytes) && into[src] == CI_NO_VALUE
          && ((node->op != CI_OP_CONV && node->op != CI_OP_RESIZE)
              || of[src] != of[node->srcs[0]]))
        of[i] = of[src];
    }
    if (!of[whole])
      of[whole] = new_storage (storages, bytes, when (plan, plan->lead[i]));
    of[i] = of[whole];
    of[i]->end = MAX (of[i]->end, end);
    scratch_bytes = plan->backend->scratch && plan->lead[i] == i ?
        plan->backend->scratch (plan, i) : 0;
    if (scratch_bytes)
      scratch[i] = new_storage (storages, scratch_bytes, when (plan, i));
  }

  plan->arena_bytes = place_storages (storages);
  if (!(arena = alloc (plan, plan->arena_bytes, error)))
    return FALSE;
  for (gint i = 0; i < n; i++) {
    if (of[i])
      plan->buffers[i].map.data =
          (gfloat *) (arena + of[i]->offset + within[i]);
    if (scratch[i])
      plan->buffers[i].scratch = arena + scratch[i]->offset;
  }
  return TRUE;
}

/* Whether every user of the input reads planar images: convolutions of a few
 * channels do, and a packed copy would cost a pass. */
static gboolean
input_stays_planar (CiPlan * plan, CiValue input)
{
  if (plan->backend->block <= 1)
    return plan->backend->block;
  if (ci_graph_node (plan->graph, input)->channels > 4)
    return FALSE;
  for (guint i = 0; i < plan->graph->nodes->len; i++) {
    const CiNode *node = ci_graph_node (plan->graph, i);

    for (gint k = 0; k < node->n_srcs; k++)
      if (node->srcs[k] == input && (node->op != CI_OP_CONV
              || node->groups != 1))
        return FALSE;
    if (node->residual == input)
      return FALSE;
  }
  return TRUE;
}

/* Most cells of a mask; @in: height and width of the first source (SOLO: of the
 * map whose size masks have). */
static gsize
grid_size (const CiNode * node, const gint * in)
{
  gsize side = node->blend.resolution, f;

  if (node->op == CI_OP_MASK_HEAD) {
    f = node->mask.stride / node->mask.out_stride;
    return (in[0] * f + 1) * (in[1] * f + 1);
  }
  if (node->op == CI_OP_CLASS_MASKS || node->op == CI_OP_SOLO_MASKS
      || node->op == CI_OP_ASSEMBLE_MASKS)
    return (gsize) in[0] * in[1];
  if (node->op == CI_OP_POINT_REND)
    side = node->point_rend.start_size << node->point_rend.n_steps;
  return side * side;
}

static gboolean
make_buffers (CiPlan * plan, const gint * hw, GError ** error)
{
  for (guint i = 0; i < plan->graph->nodes->len; i++) {
    const CiNode *node = ci_graph_node (plan->graph, i);
    CiBuffer *buffer = &plan->buffers[i];
    CiDetectionBuffer *d = &buffer->detections;
    gsize capacity = node->capacity;

    switch (node->kind) {
      case CI_KIND_MAP:
        buffer->map = (CiMap) {
        node->channels, hw[2 * i], hw[2 * i + 1], plan->backend->block, NULL,
              hw[2 * i + 1], MAX (node->items, 1)};
        if (!buffer->map.block)
          buffer->map.block = (node->channels + 7) & ~7;
        /* constants keep their place */
        if (node->op == CI_OP_COORDS && !(buffer->map.data = alloc (plan,
                    storage_bytes (plan, i), error)))
          return FALSE;
        if (node->op == CI_OP_INPUT) {
          gsize bytes = (gsize) plan->batch * node->channels * hw[2 * i]
              * hw[2 * i + 1] * sizeof (gfloat);

          if (!(plan->input = ci_plan_alloc (plan, bytes, error)))
            return FALSE;
          if (input_stays_planar (plan, i)) {
            buffer->map.block = 1;
            buffer->map.data = plan->input;
          }
        }
        break;
      case CI_KIND_DETECTIONS:{
        gfloat *p;

        plan->detections = i;
        if (plan->backend->alloc)
          break;                /* a device keeps its own lists */
        if (!(p = ci_plan_alloc (plan, capacity * 10 * sizeof (gfloat),
                    error)))
          return FALSE;
        d->boxes = p;
        d->scores = p + 4 * capacity;
        d->locations = p + 5 * capacity;
        d->classes = (gint32 *) (p + 7 * capacity);
        d->levels = (gint32 *) (p + 8 * capacity);
        d->cells = (gint32 *) (p + 9 * capacity);
        break;
      }
      case CI_KIND_ROWS:
        buffer->map = (CiMap) {
        node->channels, capacity, 1, 1, NULL, 1};
        if (node->op == CI_OP_RESCORE)
          plan->rescored = i;
        if (!(buffer->map.data = alloc (plan, capacity * node->channels
                    * sizeof (gfloat), error)))
          return FALSE;
        break;
      case CI_KIND_MASKS:{
        buffer->grid_size = grid_size (node, hw + 2 * (node->like ==
                CI_NO_VALUE ? node->srcs[0] : node->like));
        plan->masks = i;
        if (plan->backend->alloc)
          break;
        buffer->grids = ci_plan_alloc (plan, capacity * sizeof (CiMaskGrid),
            error);
        if (!buffer->grids || !(buffer->prob = ci_plan_alloc (plan, capacity
                    * buffer->grid_size * sizeof (gfloat), error)))
          return FALSE;
        break;
      }
    }
  }
  form_groups (plan);
  if (plan->backend->arrange)
    plan->backend->arrange (plan);
  return plan_memory (plan, error);
}

static gboolean
make_steps (CiPlan * plan, GError ** error)
{
  plan->steps = g_new0 (CiStep, plan->graph->nodes->len);
  for (guint i = 0; i < plan->graph->nodes->len; i++) {
    const CiNode *node = ci_graph_node (plan->graph, i);
    CiStep *step = &plan->steps[plan->n_steps];

    if (node->op == CI_OP_NONE
        || (node->op == CI_OP_INPUT && ci_plan_map (plan, i)->block == 1
            && !plan->backend->alloc))
      continue;
    if (plan->lead[i] == (CiValue) i) {
      step->node = node;
      step->value = i;
      plan->n_steps++;
      if (!plan->backend->prepare (plan, step, error)) {
        if (node->name)
          g_prefix_error (error, "%s: ", node->name);
        return FALSE;
      }
      /* a constant, which is there now */
      if (!step->run)
        plan->n_steps--;
    }
    if (node->op == CI_OP_CONV || node->op == CI_OP_DECONV
        || node->op == CI_OP_DEFORM_CONV) {
      const CiMap *src = ci_plan_map (plan, node->srcs[0]);
      const CiMap *out = ci_plan_map (plan, i);

      plan->flops += 2.0 * node->channels * node->kernel * node->kernel
          * (src->c / node->groups) * out->items
          * (node->op == CI_OP_DECONV ? src->h * src->w : out->h * out->w);
    }
  }
  return TRUE;
}

CiPlan *
ci_plan_compile (const CiGraph * graph, const CiWeights * weights,
    const CiPlanOptions * options, GError ** error)
{
  gint n = graph->nodes->len;
  g_autofree gint *hw = NULL;
  CiPlan *plan;

  if (options->height < 1 || options->width < 1 || options->height > MAX_SIDE
      || options->width > MAX_SIDE) {
    g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "the network's input cannot be %dx%d pixels (1 to %d a side)",
        options->width, options->height, MAX_SIDE);
    return NULL;
  }

  plan = g_new0 (CiPlan, 1);
  plan->graph = ci_graph_copy (graph);
  switch (options->backend) {
    case CI_BACKEND_REF:
      plan->backend = &ci_backend_ref;
      break;
    case CI_BACKEND_CPU:
      plan->backend = &ci_backend_cpu;
      break;
    case CI_BACKEND_CUDA:
      plan->owner = ci_device_ref (options->device);
      plan->backend = ci_device_get_backend (options->device);
      break;
  }
  plan->element_bytes = sizeof (gfloat);
  plan->weights = weights;
  plan->pool = options->pool;
  plan->height = options->height;
  plan->width = options->width;
  plan->batch = options->backend == CI_BACKEND_CUDA ? MAX (options->batch, 1)
      : 1;
  plan->max_in_flight = MAX (options->max_in_flight, plan->batch);
  plan->detections = plan->masks = plan->rescored = CI_NO_VALUE;
  plan->extra = g_ptr_array_new_with_free_func (free);
  plan->names = g_ptr_array_new ();
  plan->buffers = g_new0 (CiBuffer, n);
  plan->keep = g_new0 (gboolean, n);
  plan->lead = g_new0 (CiValue, n);
  plan->group = g_new0 (gint, n);
  plan->place = g_new0 (CiPlace, n);
  for (gint i = 0; i < n; i++) {
    const CiNode *node = ci_graph_node (plan->graph, i);

    plan->keep[i] = node->is_output
        || (options->keep_named && node->value_name);
  }

  if (plan->backend->open && !plan->backend->open (plan, options, error))
    goto fail;
  hw = g_new0 (gint, 2 * n);
  if (!ci_graph_infer (plan->graph, options->height, options->width, hw,
          error))
    goto fail;
  /* the yardstick computes each node by itself */
  if (!options->no_fuse && options->backend != CI_BACKEND_REF)
    ci_graph_fuse (plan->graph, plan->keep);
  if (!make_buffers (plan, hw, error) || !make_steps (plan, error)
      || (plan->backend->finish && !plan->backend->finish (plan, error)))
    goto fail;

  for (gint i = 0; i < n; i++) {
    const CiNode *node = ci_graph_node (plan->graph, i);

    if (plan->keep[i] && (node->kind == CI_KIND_MAP
            || node->kind == CI_KIND_ROWS))
      g_ptr_array_add (plan->names, node->value_name);
  }
  g_ptr_array_add (plan->names, NULL);
  return plan;

fail:
  ci_plan_free (plan);
  return NULL;
}

void
ci_plan_free (CiPlan * plan)
{
  if (!plan)
    return;
  for (gint i = 0; i < plan->n_steps; i++)
    if (plan->steps[i].free_state)
      plan->steps[i].free_state (plan->steps[i].state);
  if (plan->backend->close)
    plan->backend->close (plan);
  g_free (plan->steps);
  g_free (plan->buffers);
  g_free (plan->keep);
  g_free (plan->lead);
  g_free (plan->group);
  g_free (plan->place);
  g_ptr_array_unref (plan->names);
  g_ptr_array_unref (plan->extra);
  ci_graph_free (plan->graph);
  ci_device_unref (plan->owner);
  g_free (plan);
}

/* ---- running ---------------------------------------------------------- */

gfloat *
ci_plan_get_input (CiPlan * plan)
{
  return plan->input;
}

/* Moves the map of @value, if it is one of items, by @items. */
static void
move_map (CiPlan * plan, CiValue value, gint items)
{
  CiMap *map = ci_plan_map (plan, value);

  if (ci_graph_node (plan->graph, value)->items)
    map->data += items * (gssize) ci_map_floats (map);
}

static void
move_maps (CiPlan * plan, const CiStep * step, gint items)
{
  const CiNode *node = step->node;

  for (gint i = 0; i < node->n_srcs; i++) {
    gboolean again = node->srcs[i] == node->residual;

    for (gint k = 0; k < i; k++)
      again |= node->srcs[k] == node->srcs[i];
    if (!again)
      move_map (plan, node->srcs[i], items);
  }
  if (node->residual != CI_NO_VALUE)
    move_map (plan, node->residual, items);
  move_map (plan, step->value, items);
}

static gboolean
run_step (CiPlan * plan, CiStep * step, GError ** error)
{
  gint n = ci_plan_count_items (plan, step->node);
  gboolean ok = TRUE;

  if (!step->node->items || step->all_items)
    return step->run (plan, step, error);
  for (gint i = 0; i < n; i++) {
    ok = ok && step->run (plan, step, error);
    move_maps (plan, step, 1);
  }
  move_maps (plan, step, -n);
  return ok;
}

static gboolean
run_steps (CiPlan * plan, GError ** error)
{
  gint saved = plan->backend->begin ? plan->backend->begin () : 0;
  gint64 spent[CI_N_STAGES] = { 0 };
  gint64 before = g_get_monotonic_time ();
  gboolean ok = TRUE;

  for (gint i = 0; i < plan->n_steps && ok; i++) {
    CiStep *step = &plan->steps[i];
    CiStage stage = ci_plan_get_stage (plan, step->node);

    ok = run_step (plan, step, error);
    if (i + 1 == plan->n_steps
        || ci_plan_get_stage (plan, plan->steps[i + 1].node) != stage) {
      gint64 now = g_get_monotonic_time ();

      spent[stage] += now - before;
      before = now;
    }
  }
  plan->times.network_ns = spent[CI_STAGE_NETWORK] * 1000;
  plan->times.decode_ns = spent[CI_STAGE_DECODE] * 1000;
  plan->times.masks_ns = spent[CI_STAGE_MASKS] * 1000;
  if (plan->backend->end)
    plan->backend->end (saved);
  return ok;
}

/* What the last run found, as callers see it. */
static void
show_results (CiPlan * plan)
{
  if (plan->detections != CI_NO_VALUE) {
    const CiDetectionBuffer *d = &plan->buffers[plan->detections].detections;

    plan->found = (CiDetections) {
    d->count, d->boxes, d->scores, d->classes, d->levels, d->cells,
          d->locations};
    if (plan->rescored != CI_NO_VALUE)
      plan->found.mask_scores = ci_plan_map (plan, plan->rescored)->data;
  }
  if (plan->masks != CI_NO_VALUE)
    plan->found_grids = plan->buffers[plan->masks].grids;
}

/* Of the frame in the input. */
static void
set_frame_size (CiPlan * plan, const CiPreprocess * pre,
    const CiDetectParams * params)
{
  gint width = params ? params->frame_width : 0;
  gint height = params ? params->frame_height : 0;

  if (pre) {
    width = pre->options.resized_width;
    height = pre->options.resized_height;
  }
  plan->frame_width = width ? CLAMP (width, 1, plan->width) : plan->width;
  plan->frame_height = height ? CLAMP (height, 1, plan->height)
      : plan->height;
}

/* @pre: NULL if the input has been filled. */
static gboolean
submit (CiPlan * plan, CiPreprocess * pre, const CiImage * image,
    const CiDetectParams * params, GError ** error)
{
  gint64 start = g_get_monotonic_time ();
  gboolean ok;

  g_assert (params || plan->detections == CI_NO_VALUE);
  plan->params = params;
  set_frame_size (plan, pre, params);
  if (plan->backend->submit) {
    ok = plan->backend->submit (plan, pre, image, error);
  } else {
    if (pre)
      ci_preprocess_run (pre, image, plan->input, plan->pool);
    plan->times.preprocess_ns = (g_get_monotonic_time () - start) * 1000;
    ok = run_steps (plan, error);
    show_results (plan);
  }
  plan->params = NULL;
  plan->in_flight += ok;
  return ok;
}

gboolean
ci_plan_run (CiPlan * plan, const CiDetectParams * params, GError ** error)
{
  while (plan->in_flight)
    if (!ci_plan_collect (plan, error))
      return FALSE;
  return submit (plan, NULL, NULL, params, error)
      && ci_plan_collect (plan, error);
}

gboolean
ci_plan_submit (CiPlan * plan, CiPreprocess * pre, const CiImage * image,
    const CiDetectParams * params, GError ** error)
{
  if (plan->in_flight == plan->max_in_flight) {
    g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "%d frames are in flight already", plan->in_flight);
    return FALSE;
  }
  return submit (plan, pre, image, params, error);
}

gboolean
ci_plan_collect (CiPlan * plan, GError ** error)
{
  if (!plan->in_flight) {
    g_set_error_literal (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "no frame is in flight");
    return FALSE;
  }
  plan->in_flight--;
  return !plan->backend->collect || plan->backend->collect (plan, error);
}

gint
ci_plan_get_in_flight (const CiPlan * plan)
{
  return plan->in_flight;
}

void
ci_plan_get_detections (const CiPlan * plan, CiDetections * out)
{
  *out = plan->found;
}

gsize
ci_plan_get_grid_size (const CiPlan * plan)
{
  return plan->masks == CI_NO_VALUE ? 0 : plan->buffers[plan->masks].grid_size;
}

gboolean
ci_plan_get_mask (const CiPlan * plan, gint index, CiMaskGrid * out)
{
  if (!plan->found_grids || index < 0 || index >= plan->found.count)
    return FALSE;
  *out = plan->found_grids[index];
  return TRUE;
}

const gchar *const *
ci_plan_get_names (const CiPlan * plan)
{
  return (const gchar * const *) plan->names->pdata;
}

static void
read_map (const CiMap * map, const gfloat * data, gfloat * dst)
{
  gsize plane = (gsize) map->h * map->w;

  if (map->block == 1) {
    memcpy (dst, data, map->c * plane * sizeof (gfloat));
    return;
  }
  for (gint c = 0; c < map->c; c++) {
    const gfloat *src = data + c / map->block * map->block * plane
        + c % map->block;

    for (gsize p = 0; p < plane; p++)
      dst[c * plane + p] = src[p * map->block];
  }
}

gboolean
ci_plan_read (const CiPlan * plan, const gchar * name, CiTensor * out)
{
  for (guint i = 0; i < plan->graph->nodes->len; i++) {
    const CiNode *node = ci_graph_node (plan->graph, i);
    const CiMap *map = &plan->buffers[i].map;
    gboolean rows = node->kind == CI_KIND_ROWS;
    gsize floats = (gsize) map->c * map->h * map->w;
    gint n_items;
    g_autofree gfloat *dst = NULL;

    if (!plan->keep[i] || g_strcmp0 (node->value_name, name))
      continue;
    if (node->kind != CI_KIND_MAP && !rows)
      return FALSE;
    n_items = rows ? 1 : ci_plan_count_items (plan, node);
    dst = g_new (gfloat, n_items * floats);
    for (gint k = 0; !plan->backend->read && k < n_items; k++)
      read_map (map, map->data + k * ci_map_floats (map), dst + k * floats);
    if (plan->backend->read && !plan->backend->read (plan, i, dst))
      return FALSE;
    *out = rows ? (CiTensor) {
    CI_DTYPE_F32, 2, {plan->found.count, map->c}} : (CiTensor) {
    CI_DTYPE_F32, 4, {n_items, map->c, map->h, map->w}};
    out->data = g_steal_pointer (&dst);
    return TRUE;
  }
  return FALSE;
}

void
ci_plan_get_times (const CiPlan * plan, CiPlanTimes * out)
{
  *out = plan->times;
}

gdouble
ci_plan_get_flops (const CiPlan * plan)
{
  return plan->flops;
}

gsize
ci_plan_get_arena_bytes (const CiPlan * plan)
{
  return plan->arena_bytes;
}

void
ci_detections_set (CiDetectionBuffer * out, gint index,
    const CiCandidate * candidate, gint width, gint stride)
{
  gfloat *box = out->boxes + 4 * index;

  box[0] = candidate->x0;
  box[1] = candidate->y0;
  box[2] = candidate->x1;
  box[3] = candidate->y1;
  out->scores[index] = sqrtf (candidate->value);
  out->classes[index] = candidate->cls;
  out->levels[index] = candidate->level;
  out->cells[index] = candidate->cell;
  out->locations[2 * index] = candidate->cell % width * stride + stride / 2;
  out->locations[2 * index + 1] = candidate->cell / width * stride
      + stride / 2;
}
