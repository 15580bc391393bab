/*
 * solo_detect.c: SOLO's candidates, their masks as bits, matrix NMS
 * (SEMANTICS-solo).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "boxes.h"
#include "gemm.h"
#include "solo.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../simd.h"

/* Of a task at a time; of maps that are enlarged whole strips, since these
 * share rows. */
#define DIRECT_ROWS 2

/* Products: pixels and panels of cells at a time. Blocks of pixels lie PITCH
 * floats apart, not a power of two. */
#define PIXELS 144
#define PITCH ((PIXELS + 1) * CI_BLOCK)
#define PANELS 4

/* A cell with a candidate: its mask. */
typedef struct
{
  CiSoloCell cell;
  gint area;
  gint x0, x1, y0, y1;          /* of the mask; x in bytes of bits */
  gdouble sum;                  /* of the soft mask where the mask is */
} Slot;

typedef struct
{
  CiPlan *plan;
  const CiNode *node;
  CiSolo solo;
  gint first_place[9];
  gint first_slot[9];
  gint32 *slot_of;              /* per place, or -1 */
  CiCandidate *candidates;      /* all cells times all classes */
  gint n_candidates;
  Slot *slots;
  gint n_slots;
  gfloat *rows;                 /* dynamic: weights, per slot */
  const CiGemmFuncs *funcs;
  gint first_panel[9];
  gfloat *u;                    /* weights as panels, of levels whose maps have
                                   the size of the masks */
  gint pitch, row_bytes;        /* of soft masks, of bits: whole words */
  guint8 *bits;                 /* per slot: h rows */
  gdouble *sums;                /* per slot and row */
  gfloat *overlap;              /* IoU of candidates, below the diagonal */
  gfloat *compensation;         /* per candidate */
  gfloat *scratch;              /* per task */
  gsize scratch_floats;
  gint next_item;               /* of the work to be shared */
} Detect;

static void
detect_free (gpointer data)
{
  Detect *d = data;

  ci_cpu_solo_clear (&d->solo);
  free (d->slot_of);
  free (d->candidates);
  free (d->slots);
  free (d->rows);
  free (d->u);
  free (d->bits);
  free (d->sums);
  free (d->overlap);
  free (d->compensation);
  free (d->scratch);
  g_free (d);
}

/* The slot of the cell of @c. */
static gint
slot_of (const Detect * d, const CiCandidate * c)
{
  return d->slot_of[d->first_place[c->level] + c->cell];
}

/* ---- candidates --------------------------------------------------------- */

static gfloat
sigmoid (gfloat x)
{
  return 1.0 / (1.0 + exp (-(gdouble) x));
}

/* Whether the value of a neighbour is more than @p, that of @logit. */
static gboolean
exceeds (gfloat neighbour, gfloat logit, gfloat p)
{
  return neighbour > logit && sigmoid (neighbour) > p;
}

static void
consider (Detect * d, gint level, gint cell, gint cls, const gfloat * logit)
{
  const CiDetectParams *params = d->plan->params;
  gint s = d->solo.grids[level], place = d->first_place[level] + cell;
  gfloat p = sigmoid (*logit);
  const gfloat *above = logit - (gsize) s * CI_BLOCK;

  if (!(p > params->inference_threshold)
      || (params->classes && !params->classes[cls])
      || (cell % s && exceeds (logit[-CI_BLOCK], *logit, p))
      || (cell >= s && exceeds (*above, *logit, p))
      || (cell % s && cell >= s && exceeds (above[-CI_BLOCK], *logit, p)))
    return;
  if (d->slot_of[place] < 0) {
    d->slot_of[place] = d->n_slots;
    ci_cpu_solo_get_cell (&d->solo, level, cell, d->rows + (gsize) d->n_slots
        * d->solo.row_floats, &d->slots[d->n_slots].cell);
    d->n_slots++;
  }
  d->candidates[d->n_candidates++] = (CiCandidate) {
    .value = p,.cls = cls,.level = level,.cell = cell};
}

/* The next cell in which some class of a block exceeds @threshold. */
CI_MULTIVERSION static gint
next_cell (const gfloat * logits, gfloat threshold, gint cell, gint n)
{
  typedef gint64 V4i __attribute__ ((vector_size (32)));
  const CiV8 limit = ci_v8_set1 (threshold);

  for (; cell < n; cell++) {
    V4i m = (V4i) (*(const CiV8 *) (logits + (gsize) cell * CI_BLOCK) > limit);

    if (m[0] | m[1] | m[2] | m[3])
      break;
  }
  return cell;
}

static void
find_candidates (Detect * d)
{
  gfloat t = d->plan->params->inference_threshold;

  /* with room for rounding; consider() decides */
  t = t <= 0 ? -INFINITY : t >= 1 ? INFINITY : log (t / (1 - t)) - 1e-4;
  d->n_candidates = d->n_slots = 0;
  memset (d->slot_of, -1, d->first_place[d->node->n_levels]
      * sizeof (gint32));
  for (gint l = 0; l < d->node->n_levels; l++) {
    const CiMap *logits = ci_plan_map (d->plan, ci_solo_source (d->node, l,
            0));
    gint n = logits->h * logits->w;

    for (gint b = 0; b < ci_map_blocks (logits); b++) {
      const gfloat *block = ci_map_block (logits, b);
      gint lanes = MIN (CI_BLOCK, logits->c - b * CI_BLOCK);

      for (gint i = next_cell (block, t, 0, n); i < n;
          i = next_cell (block, t, i + 1, n))
        for (gint k = 0; k < lanes; k++)
          consider (d, l, i, b * CI_BLOCK + k, block + (gsize) i * CI_BLOCK
              + k);
    }
    d->first_slot[l + 1] = d->n_slots;
  }
}

/* ---- masks -------------------------------------------------------------- */

/* Bits of a row of a soft mask that is above @threshold, and its sum there. */
CI_MULTIVERSION static gdouble
make_bits (const gfloat * soft, gint pitch, gfloat threshold, guint8 * bits)
{
  typedef gint64 V4i __attribute__ ((vector_size (32)));
  const CiV8 limit = ci_v8_set1 (threshold), zero = ci_v8_set1 (0.0f);
  gdouble total = 0;

  for (gint x = 0; x < pitch; x += CI_BLOCK) {
    CiV8 v = *(const CiV8 *) (soft + x);
    CiV8i in = v > limit;
    V4i m = (V4i) in;
    guint byte = 0;

    if (m[0] | m[1] | m[2] | m[3]) {
      CiV8 s = ci_v8_select (in, v, zero);

      for (gint i = 0; i < CI_BLOCK; i++)
        byte |= (in[i] & 1) << i;
      total += ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6])
          + (s[3] + s[7]));
    }
    bits[x / CI_BLOCK] = byte;
  }
  return total;
}

/* Whether masks of a level are a product of its map and the cells' weights,
 * nothing else. */
static gboolean
is_direct (const Detect * d, gint level)
{
  return d->solo.source != CI_SOLO_PRODUCT && !d->solo.levels[level].xs;
}

/* The levels that masks are made by; all of dynamic ones are alike. */
static gint
count_levels (const Detect * d)
{
  return d->solo.source == CI_SOLO_DYNAMIC ? 1 : d->node->n_levels;
}

/* The end of a level's slots. */
static gint
end_of (const Detect * d, gint level)
{
  return level + 1 == count_levels (d) ? d->n_slots : d->first_slot[level + 1];
}

static void
find_panels (Detect * d)
{
  gint panel = d->funcs->panel;

  for (gint l = 0; l < count_levels (d); l++)
    d->first_panel[l + 1] = d->first_panel[l] + (is_direct (d, l) ?
        (end_of (d, l) - d->first_slot[l] + panel - 1) / panel : 0);
}

static gfloat *
panel_at (const Detect * d, gint index)
{
  return d->u + (gsize) index * d->funcs->panel * d->solo.row_floats;
}

static void
pack_task (gpointer data, gint task, gint n_tasks)
{
  Detect *d = data;
  gint panel = d->funcs->panel, depth = d->solo.row_floats;

  for (gint l = 0; l < count_levels (d); l++)
    for (gint i = d->first_slot[l] + task; i < end_of (d, l)
        && is_direct (d, l); i += n_tasks) {
      gint column = i - d->first_slot[l];
      const gfloat *row = d->slots[i].cell.row;
      gfloat *u = panel_at (d, d->first_panel[l] + column / panel)
          + column % panel;

      for (gint k = 0; k < depth; k++, u += panel)
        *u = row[k];
    }
}

/* Bits of @n pixels from column @x on of row @y, and their sums, of up to 8
 * slots from @first on: the lanes of the logits @m. */
CI_MULTIVERSION static void
add_bits (Detect * d, gint first, gint n_slots, gint x, gint y, gint n,
    const gfloat * m)
{
  typedef gint64 V4i __attribute__ ((vector_size (32)));
  const CiV8 limit = ci_v8_set1 (d->node->solo.mask_threshold);
  const CiV8 least = ci_v8_set1 (d->solo.least), zero = ci_v8_set1 (0.0f);
  gsize plane = (gsize) d->solo.h * d->row_bytes;
  guint8 *bits = d->bits + first * plane + (gsize) y * d->row_bytes
      + x / CI_BLOCK;
  CiV8 bias = zero, sums = zero;

  for (gint i = 0; i < n_slots; i++)
    bias[i] = d->slots[first + i].cell.bias;
  for (gint at = 0; at < n; at += CI_BLOCK, bits++) {
    CiV8i bytes = { 0 };

    for (gint p = 0; p < MIN (CI_BLOCK, n - at); p++) {
      CiV8 v = *(const CiV8 *) (m + (at + p) * CI_BLOCK) + bias;
      V4i near = (V4i) (v >= least);
      CiV8i in;

      if (!(near[0] | near[1] | near[2] | near[3]))
        continue;
      v = ci_v8_sigmoid (v);
      in = v > limit;
      bytes |= in & (1 << p);
      sums += ci_v8_select (in, v, zero);
    }
    for (gint i = 0; i < n_slots; i++)
      bits[i * plane] = bytes[i];
  }
  for (gint i = 0; i < n_slots; i++) {
    gdouble *sum = &d->sums[(gsize) (first + i) * d->solo.h + y];

    *sum = (x ? *sum : 0) + sums[i];
  }
}

/* Rows [@y0, @y1) of a direct level's slots. */
static void
multiply_strip (Detect * d, gint level, gint y0, gint y1, gfloat * v)
{
  const CiMap *map = d->solo.levels[level].maps[0];
  gint panel = d->funcs->panel, depth = ci_map_blocks (map), w = d->solo.w;
  gint first = d->first_slot[level], end = end_of (d, level);
  gfloat *m = v + depth * PITCH;

  for (gint y = y0; y < y1; y++)
    for (gint x = 0; x < w; x += PIXELS) {
      gint n = MIN (PIXELS, w - x);
      gint rows = (n + CI_GEMM_UNIT - 1) / CI_GEMM_UNIT * CI_GEMM_UNIT;

      for (gint b = 0; b < depth; b++)
        memcpy (v + b * PITCH, ci_map_block (map, b) + ((gsize) y * w + x)
            * CI_BLOCK, n * CI_BLOCK * sizeof (gfloat));
      for (gint i = first; i < end; i += PANELS * panel) {
        gint count = MIN (PANELS * panel, end - i);

        d->funcs->multiply (rows, v, panel_at (d, d->first_panel[level]
                + (i - first) / panel), depth, (count + panel - 1) / panel,
            PITCH, m, FALSE);
        for (gint k = 0; k < count; k += CI_BLOCK)
          add_bits (d, i + k, MIN (CI_BLOCK, count - k), x, y, n,
              m + k / CI_BLOCK * PITCH);
      }
    }
}

/* Rows [@y0, @y1) of the slots [@first, @end), of one level. */
static void
make_rows (Detect * d, gint first, gint end, gint y0, gint y1,
    gfloat * scratch)
{
  gfloat *soft = scratch + d->solo.scratch_floats;
  gint h = d->solo.h;

  for (gint i = first; i < end; i += CI_SOLO_GROUP) {
    gint n = MIN (CI_SOLO_GROUP, end - i);
    CiSoloCell cells[CI_SOLO_GROUP];

    for (gint k = 0; k < n; k++)
      cells[k] = d->slots[i + k].cell;
    ci_cpu_solo_soft (&d->solo, cells, n, 0, d->solo.w, y0, y1, TRUE, scratch,
        soft, d->pitch);
    for (gint k = 0; k < n; k++)
      for (gint y = y0; y < y1; y++) {
        gsize row = (gsize) (i + k) * h + y;

        d->sums[row] = make_bits (soft + ((gsize) k * CI_SOLO_ROWS + y - y0)
            * d->pitch, d->pitch, d->node->solo.mask_threshold,
            d->bits + row * d->row_bytes);
      }
  }
}

/* Work is shared by level and strip. */
static void
rows_task (gpointer data, gint task, gint n_tasks)
{
  Detect *d = data;
  gint n_levels = count_levels (d), h = d->solo.h;
  gfloat *scratch = d->scratch + task * d->scratch_floats;

  for (;;) {
    gint item = g_atomic_int_add (&d->next_item, 1), l = 0, rows = 1, y0, y1;

    for (; l < n_levels; l++) {
      gint n_strips;

      rows = d->solo.levels[l].xs ? CI_SOLO_ROWS : DIRECT_ROWS;
      n_strips = (h + rows - 1) / rows;
      if (item < n_strips)
        break;
      item -= n_strips;
    }
    if (l == n_levels)
      return;
    y0 = item * rows;
    y1 = MIN (y0 + rows, h);
    if (is_direct (d, l))
      multiply_strip (d, l, y0, y1, scratch);
    else
      make_rows (d, d->first_slot[l], end_of (d, l), y0, y1, scratch);
  }
}

/* Area, bounds and sum of a slot. */
CI_MULTIVERSION static void
measure (Detect * d, gint index)
{
  Slot *slot = &d->slots[index];
  gint n_words = d->row_bytes / 8;
  const guint64 *row = (const guint64 *) (d->bits + (gsize) index * d->solo.h
      * d->row_bytes);

  slot->area = 0;
  slot->sum = 0;
  slot->x0 = n_words;
  slot->x1 = slot->y1 = 0;
  slot->y0 = d->solo.h;
  for (gint y = 0; y < d->solo.h; y++, row += n_words) {
    gint area = 0;

    for (gint i = 0; i < n_words; i++)
      if (row[i]) {
        area += __builtin_popcountll (row[i]);
        slot->x0 = MIN (slot->x0, i);
        slot->x1 = MAX (slot->x1, i + 1);
      }
    if (area) {
      slot->y0 = MIN (slot->y0, y);
      slot->y1 = y + 1;
    }
    slot->area += area;
    slot->sum += d->sums[(gsize) index * d->solo.h + y];
  }
}

static void
measure_task (gpointer data, gint task, gint n_tasks)
{
  Detect *d = data;

  for (gint i = task; i < d->n_slots; i += n_tasks)
    measure (d, i);
}

/* ---- matrix NMS --------------------------------------------------------- */

/* Scores with masks, best first. */
static void
rank (Detect * d)
{
  gint top_k = CLAMP (d->plan->params->pre_nms_top_k, 1,
      CI_SOLO_MAX_PRE_NMS), n = 0;

  for (gint i = 0; i < d->n_candidates; i++) {
    CiCandidate c = d->candidates[i];
    const Slot *slot = &d->slots[slot_of (d, &c)];

    if (slot->area <= d->node->strides[slot->cell.level])
      continue;
    c.value *= (gfloat) (slot->sum / slot->area);
    d->candidates[n++] = c;
  }
  ci_sort_candidates (d->candidates, n);
  d->n_candidates = MIN (n, top_k);
}

CI_MULTIVERSION static gdouble
overlap (const Detect * d, gint a, gint b)
{
  const Slot *p = &d->slots[a], *q = &d->slots[b];
  gint x0 = MAX (p->x0, q->x0), x1 = MIN (p->x1, q->x1), inter = 0;
  gint n_words = d->row_bytes / 8;
  const guint64 *bits = (const guint64 *) d->bits;
  gsize plane = (gsize) d->solo.h * n_words;

  for (gint y = MAX (p->y0, q->y0); y < MIN (p->y1, q->y1); y++) {
    const guint64 *v = bits + a * plane + (gsize) y * n_words;
    const guint64 *w = bits + b * plane + (gsize) y * n_words;

    for (gint i = x0; i < x1; i++)
      inter += __builtin_popcountll (v[i] & w[i]);
  }
  return inter / ((gdouble) p->area + q->area - inter);
}

static gfloat *
overlaps_of (const Detect * d, gint j)
{
  return d->overlap + (gsize) j * (j - 1) / 2;
}

static void
overlap_task (gpointer data, gint task, gint n_tasks)
{
  Detect *d = data;
  const CiCandidate *c = d->candidates;

  for (gint j = task; j < d->n_candidates; j += n_tasks)
    for (gint i = 0; i < j; i++)
      overlaps_of (d, j)[i] = c[i].cls == c[j].cls ?
          overlap (d, slot_of (d, &c[i]), slot_of (d, &c[j])) : 0;
}

static void
decay (Detect * d)
{
  const CiSoloParams *params = &d->node->solo;

  ci_pool_run (d->plan->pool, overlap_task, d,
      ci_pool_get_n_threads (d->plan->pool));
  for (gint j = 0; j < d->n_candidates; j++) {
    gdouble most = 0, linear = 1, compensation = 0;

    for (gint i = 0; i < j; i++) {
      gdouble o = overlaps_of (d, j)[i], c = d->compensation[i];

      compensation = MAX (compensation, o);
      most = MAX (most, o * o - c * c);
      if (params->linear)
        linear = MIN (linear, c < 1 ? (1 - o) / (1 - c) : o < 1 ? 1 : 0);
    }
    d->compensation[j] = compensation;
    d->candidates[j].value *= (gfloat) (params->linear ? linear
        : exp (-params->sigma * most));
  }
  ci_sort_candidates (d->candidates, d->n_candidates);
}

/* The first and the last column of a mask. */
static void
find_columns (const Detect * d, gint index, gint * x0, gint * x1)
{
  const Slot *slot = &d->slots[index];
  const guint8 *bits = d->bits + (gsize) index * d->solo.h * d->row_bytes;

  *x0 = d->solo.w;
  *x1 = 0;
  for (gint i = 8 * slot->x0; i < 8 * slot->x1; i++) {
    guint byte = 0;

    for (gint y = slot->y0; y < slot->y1; y++)
      byte |= bits[(gsize) y * d->row_bytes + i];
    for (gint k = 0; k < CI_BLOCK; k++)
      if (byte >> k & 1) {
        *x0 = MIN (*x0, i * CI_BLOCK + k);
        *x1 = i * CI_BLOCK + k + 1;
      }
  }
}

static void
set_detection (const Detect * d, CiDetectionBuffer * out, gint n,
    const CiCandidate * c)
{
  const Slot *slot = &d->slots[slot_of (d, c)];
  gint stride = d->node->solo.stride, s = d->solo.grids[slot->cell.level];
  gint x0, x1;

  find_columns (d, slot_of (d, c), &x0, &x1);
  out->boxes[4 * n] = x0 * stride;
  out->boxes[4 * n + 1] = slot->y0 * stride;
  out->boxes[4 * n + 2] = x1 * stride;
  out->boxes[4 * n + 3] = slot->y1 * stride;
  out->scores[n] = c->value;
  out->classes[n] = c->cls;
  out->levels[n] = slot->cell.level;
  out->cells[n] = slot->cell.cell;
  out->locations[2 * n] = (slot->cell.cell % s + 0.5f)
      * (d->solo.w * stride) / s;
  out->locations[2 * n + 1] = (slot->cell.cell / s + 0.5f)
      * (d->solo.h * stride) / s;
}

static gboolean
run_solo_detect (CiPlan * plan, CiStep * step, GError ** error)
{
  Detect *d = step->state;
  const CiDetectParams *params = plan->params;
  CiDetectionBuffer *out = &plan->buffers[step->value].detections;
  gint n_threads = ci_pool_get_n_threads (plan->pool);
  gint limit = MIN (params->post_nms_top_k, step->node->capacity);

  out->count = 0;
  find_candidates (d);
  if (!d->n_slots)
    return TRUE;
  find_panels (d);
  ci_pool_run (plan->pool, pack_task, d, n_threads);
  d->next_item = 0;
  ci_pool_run (plan->pool, rows_task, d, n_threads);
  ci_pool_run (plan->pool, measure_task, d, n_threads);
  rank (d);
  decay (d);

  /* the kept ones gather at the front of the list */
  for (gint i = 0; i < d->n_candidates && out->count < limit; i++) {
    CiCandidate c = d->candidates[i];
    gboolean keep = c.value >= MAX (d->node->solo.update_threshold,
        d->plan->params->score_threshold);

    for (gint k = 0; k < out->count && keep
        && params->cross_class_threshold > 0; k++)
      keep = d->candidates[k].cls == c.cls || !(overlap (d,
              slot_of (d, &d->candidates[k]), slot_of (d, &c))
          > params->cross_class_threshold);
    if (!keep)
      continue;
    set_detection (d, out, out->count, &c);
    d->candidates[out->count++] = c;
  }
  return TRUE;
}

gboolean
ci_cpu_prepare_solo_detect (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  Detect *d = g_new0 (Detect, 1);
  gsize n, n_tasks = ci_pool_get_n_threads (plan->pool);
  gint panel;

  step->state = d;
  step->free_state = detect_free;
  step->run = run_solo_detect;
  d->plan = plan;
  d->node = node;
  if (!ci_cpu_solo_init (&d->solo, plan, node, error))
    return FALSE;
  for (gint l = 0; l < node->n_levels; l++)
    d->first_place[l + 1] = d->first_place[l] + node->grids[l]
        * node->grids[l];
  n = d->first_place[node->n_levels];
  d->pitch = (d->solo.w + CI_BLOCK - 1) / CI_BLOCK * CI_BLOCK;
  d->row_bytes = (d->pitch / CI_BLOCK + 7) / 8 * 8;
  d->funcs = ci_gemm_get_funcs ();
  panel = d->funcs->panel;
  d->scratch_floats = MAX (d->solo.scratch_floats + CI_SOLO_GROUP
      * CI_SOLO_ROWS * (gsize) d->pitch, (gsize) PITCH * (d->solo.row_floats
          / CI_BLOCK + PANELS * panel / CI_BLOCK));
  return (d->slot_of = ci_aligned_alloc0 (n * sizeof (gint32), error))
      && (d->candidates = ci_aligned_alloc0 (n * node->channels
          * sizeof (CiCandidate), error))
      && (d->slots = ci_aligned_alloc0 (n * sizeof (Slot), error))
      && (d->rows = ci_aligned_alloc0 ((node->solo.source == CI_SOLO_DYNAMIC ?
              n * d->solo.row_floats : 1) * sizeof (gfloat), error))
      && (d->u = ci_aligned_alloc0 ((n + node->n_levels * panel)
          * d->solo.row_floats * sizeof (gfloat) + 1, error))
      && (d->bits = ci_aligned_alloc0 (n * d->solo.h * d->row_bytes, error))
      && (d->sums = ci_aligned_alloc0 (n * d->solo.h * sizeof (gdouble),
          error))
      && (d->overlap = ci_aligned_alloc0 (CI_SOLO_MAX_PRE_NMS
          * (CI_SOLO_MAX_PRE_NMS - 1) / 2 * sizeof (gfloat), error))
      && (d->compensation = ci_aligned_alloc0 (CI_SOLO_MAX_PRE_NMS
          * sizeof (gfloat), error))
      && (d->scratch = ci_aligned_alloc0 (n_tasks * d->scratch_floats
          * sizeof (gfloat), error));
}
