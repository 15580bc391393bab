/*
 * solo.c: SOLO's detections and masks (SEMANTICS-solo).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cuda.h"

G_STATIC_ASSERT ((gint) CI_SOLO_STATIC == CI_MASKS_STATIC
    && (gint) CI_SOLO_PRODUCT == CI_MASKS_PRODUCT
    && (gint) CI_SOLO_DYNAMIC == CI_MASKS_DYNAMIC
    && CI_SOLO_MAX_PRE_NMS == CI_SOLO_TOP);

/* Blocks that share the cells of a detection, and groups of slots. */
#define MAX_MASK_BLOCKS 64
#define MAX_GROUPS 16

typedef struct
{
  CiSoloArgs args;
  gint64 n_octets;              /* of logits, all levels */
} Solo;

/* ---- what both nodes read ---------------------------------------------- */

typedef struct
{
  CiPlan *plan;
  const CiNode *node;
  gint level, n_cells, c, cp;
  gsize bias_bytes;
} Rows;

/* Bias, then a row of weights for each cell. */
static gboolean
fill_rows (gpointer host, gpointer data, GError ** error)
{
  const Rows *r = data;
  gint64 dims[4] = { r->n_cells, r->c, 1, 1 };
  g_autofree gchar *prefix = g_strdup_printf ("%s.%d", r->node->name,
      r->level);
  g_autofree gfloat *weight = ci_plan_tensor (r->plan, prefix, ".weight", 4,
      dims, error);
  g_autofree gfloat *bias = weight ? ci_plan_tensor (r->plan, prefix, ".bias",
      1, dims, error) : NULL;
  CiView to = {.data = (guint8 *) host + r->bias_bytes,
    .half = ci_cuda_plan (r->plan)->half
  };

  if (!bias)
    return FALSE;
  memcpy (host, bias, r->n_cells * sizeof (gfloat));
  for (gsize i = 0; i < (gsize) r->n_cells; i++)
    for (gint c = 0; c < r->c; c++)
      ci_store (&to, i * r->cp + c, weight[i * r->c + c]);
  return TRUE;
}

static gboolean
load_rows (CiPlan * plan, const CiNode * node, gint level,
    CiSoloDeviceLevel * out, GError ** error)
{
  Rows rows = { plan, node, level, node->grids[level] * node->grids[level],
    out->maps[0].c, out->maps[0].cp
  };
  g_autofree gchar *key = g_strdup_printf ("%s.%d|solo", node->name, level);
  const guint8 *constant;

  rows.bias_bytes = ci_cuda_align (rows.n_cells * sizeof (gfloat));
  constant = ci_cuda_constant (plan, key, rows.bias_bytes
      + (gsize) rows.n_cells * rows.cp * plan->element_bytes, fill_rows, &rows,
      error);
  if (!constant)
    return FALSE;
  out->bias = (const float *) constant;
  out->rows.data = (gpointer) (constant + rows.bias_bytes);
  out->rows.half = out->maps[0].half;
  return TRUE;
}

static gboolean
fill_args (CiPlan * plan, const CiNode * node, Solo * solo, GError ** error)
{
  const CiMap *like = ci_plan_map (plan, node->like);
  CiSoloArgs *a = &solo->args;
  gint n_places = 0;

  *a = (CiSoloArgs) {
    .source = node->solo.source,
    .n_levels = node->n_levels,
    .n_classes = node->channels,
    .h = like->h,
    .w = like->w,
    .row_words = (like->w + 31) / 32,
    .mask_stride = node->solo.stride,
    .linear = node->solo.linear,
    .full_map = node->solo.full_map,
    .mask_threshold = node->solo.mask_threshold,
    .update_threshold = node->solo.update_threshold,
    .sigma = node->solo.sigma,
  };
  for (gint l = 0; l < node->n_levels; l++) {
    CiSoloDeviceLevel *level = &a->level[l];

    level->logits = ci_cuda_view (plan, ci_solo_source (node, l, 0));
    level->maps[0] = ci_cuda_view (plan, ci_solo_source (node, l, 1));
    level->grid = node->grids[l];
    level->stride = node->strides[l];
    level->first_octet = solo->n_octets;
    level->first_place = n_places;
    if (a->source == CI_MASKS_PRODUCT) {
      level->maps[1] = ci_cuda_view (plan, ci_solo_source (node, l, 2));
    } else if (a->source == CI_MASKS_DYNAMIC) {
      level->rows = level->maps[0];
      level->maps[0] = ci_cuda_view (plan, ci_solo_source (node, l, 2));
    } else if (!load_rows (plan, node, l, level, error)) {
      return FALSE;
    }
    level->resized = level->maps[0].h != a->h || level->maps[0].w != a->w;
    level->step_y = (gfloat) level->maps[0].h / a->h;
    level->step_x = (gfloat) level->maps[0].w / a->w;
    n_places += level->grid * level->grid;
    solo->n_octets += (gint64) level->grid * level->grid
        * (level->logits.cp / CI_OCTET);
  }
  if (node->channels > CI_MAX_CLASSES) {
    g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
        "%d classes (at most %d)", node->channels, CI_MAX_CLASSES);
    return FALSE;
  }
  a->n_places = n_places;
  return TRUE;
}

/* What is different for each image and frame. */
static CiSoloArgs
current_args (CiPlan * plan, const Solo * solo)
{
  CiSoloArgs a = solo->args;

  a.settings = ci_cuda_plan (plan)->settings;
  for (gint l = 0; l < a.n_levels; l++) {
    CiSoloDeviceLevel *level = &a.level[l];

    level->logits = ci_cuda_image_view (plan, level->logits);
    level->maps[0] = ci_cuda_image_view (plan, level->maps[0]);
    if (a.source == CI_MASKS_PRODUCT)
      level->maps[1] = ci_cuda_image_view (plan, level->maps[1]);
    if (a.source == CI_MASKS_DYNAMIC)
      level->rows = ci_cuda_image_view (plan, level->rows);
  }
  return a;
}

/* ---- detections -------------------------------------------------------- */

/* Bits of all slots: level by level, or all at once if they read one map. */
static gboolean
make_bits (CiPlan * plan, CiSoloArgs a, GError ** error)
{
  gint step = a.source == CI_MASKS_DYNAMIC ? a.n_levels : 1;

  for (gint l = 0; l < a.n_levels; l += step) {
    const CiSoloDeviceLevel *level = &a.level[l];
    gint cells = 0, width = level->resized
        && a.source != CI_MASKS_PRODUCT ? 16 : CI_SOLO_PIXELS;

    for (gint k = l; k < l + step; k++)
      cells += a.level[k].grid * a.level[k].grid;
    a.begin = l;
    a.end = l + step;
    a.tiles_x = (32 * a.row_words + width - 1) / width;
    a.n_groups = MIN ((cells + CI_SOLO_CELLS - 1) / CI_SOLO_CELLS,
        MAX_GROUPS);
    if (!ci_cuda_blocks (plan, CI_KERNEL_solo_tiles, &a, a.tiles_x * a.h,
            a.n_groups, 1, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
run_solo_detect (CiPlan * plan, CiStep * step, GError ** error)
{
  const Solo *solo = step->state;
  CiSoloArgs a = current_args (plan, solo);

  return ci_cuda_elements (plan, CI_KERNEL_solo_candidates, &a,
      solo->n_octets, error)
      && ci_cuda_blocks (plan, CI_KERNEL_solo_slots, &a, 1, 1, 1, error)
      && make_bits (plan, a, error)
      && ci_cuda_blocks (plan, CI_KERNEL_solo_measure, &a, a.n_places, 1, 1,
      error)
      && ci_cuda_elements (plan, CI_KERNEL_solo_rank, &a,
      (gint64) a.n_places * a.n_classes, error)
      && ci_cuda_blocks (plan, CI_KERNEL_solo_select, &a, 1, 1, 1, error)
      && ci_cuda_blocks (plan, CI_KERNEL_solo_overlap, &a, CI_SOLO_TOP, 1, 1,
      error)
      && ci_cuda_blocks (plan, CI_KERNEL_solo_decay, &a, 1, 1, 1, error);
}

/* All lists in one allocation. */
static gboolean
alloc_lists (CiPlan * plan, CiSoloArgs * a, GError ** error)
{
  gsize n = a->n_places, n_found = n * a->n_classes;
  const gsize bytes[] = {
    CI_SOLO_COUNTS * sizeof (guint32), n_found * sizeof (CiKey),
    n_found * sizeof (CiKey), n * sizeof (guint32), n * sizeof (gint32),
    n * sizeof (gint32), (CI_MAX_LEVELS + 1) * sizeof (gint32),
    n * a->h * a->row_words * sizeof (guint32), n * sizeof (guint64),
    n * sizeof (CiSoloSlot), CI_SOLO_TOP * sizeof (CiKey),
    (gsize) CI_SOLO_TOP * (CI_SOLO_TOP - 1) / 2 * sizeof (gfloat)
  };
  gpointer parts[G_N_ELEMENTS (bytes)];

  if (!ci_cuda_plan_alloc_parts (plan, bytes, parts, G_N_ELEMENTS (parts),
          error))
    return FALSE;
  a->counts = parts[0];
  a->found = parts[1];
  a->ranked = parts[2];
  a->wanted = parts[3];
  a->slot = parts[4];
  a->place = parts[5];
  a->first_slot = parts[6];
  a->bits = parts[7];
  a->sums = parts[8];
  a->slots = parts[9];
  a->top = parts[10];
  a->overlap = parts[11];
  return TRUE;
}

gboolean
ci_cuda_prepare_solo_detect (CiPlan * plan, CiStep * step, GError ** error)
{
  Solo *solo = g_new0 (Solo, 1);

  step->state = solo;
  step->free_state = g_free;
  step->run = run_solo_detect;
  if (!fill_args (plan, step->node, solo, error)
      || !ci_cuda_prepare_results (plan, error)
      || !alloc_lists (plan, &solo->args, error))
    return FALSE;
  solo->args.out = ci_cuda_list (plan, step->value);
  return TRUE;
}

/* ---- masks ------------------------------------------------------------- */

static gboolean
run_solo_masks (CiPlan * plan, CiStep * step, GError ** error)
{
  CiSoloArgs a = current_args (plan, step->state);

  return ci_cuda_blocks (plan, CI_KERNEL_solo_masks, &a, a.out.capacity,
      a.n_blocks, 1, error);
}

gboolean
ci_cuda_prepare_solo_masks (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  Solo *solo = g_new0 (Solo, 1);
  CiSoloArgs *a = &solo->args;

  step->state = solo;
  step->free_state = g_free;
  step->run = run_solo_masks;
  if (!fill_args (plan, node, solo, error))
    return FALSE;
  a->out = ci_cuda_list (plan, node->srcs[node->n_srcs - 1]);
  a->masks = ci_cuda_masks (plan);
  a->n_blocks = MIN ((a->w * a->h + CI_SOLO_THREADS - 1) / CI_SOLO_THREADS,
      MAX_MASK_BLOCKS);
  return TRUE;
}
