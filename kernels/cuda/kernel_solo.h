/*
 * kernel_solo.h: what a thread computes of SOLO's candidates, their masks as
 * bits, matrix NMS and soft grids (SEMANTICS-solo).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_KERNEL_SOLO_H
#define CI_KERNEL_SOLO_H

#include "kernel_mask.h"

/* As CI_SOLO_MAX_PRE_NMS. */
#define CI_SOLO_TOP 1000

/* The values of CiSoloSource. */
enum
{
  CI_MASKS_STATIC,
  CI_MASKS_PRODUCT,
  CI_MASKS_DYNAMIC,
};

typedef struct
{
  CiView logits;                /* grid x grid */
  CiView maps[2];               /* product: columns and rows; else features */
  CiView rows;                  /* weights of cells, cp of maps[0] each; static:
                                   a view for data and type alone */
  const float *bias;            /* static: of each cell */
  int32_t grid, stride;
  int32_t resized;              /* maps have another size than masks: */
  float step_y, step_x;         /* cells of the map to one of the mask */
  uint32_t first_octet, first_place;
} CiSoloDeviceLevel;

/* A cell that has a candidate is a slot. */
typedef struct
{
  int32_t area, x0, y0, x1, y1;
  uint64_t sum;                 /* of the soft mask in the mask, times 2^30 */
} CiSoloSlot;

typedef struct
{
  int32_t source, n_levels, n_classes, n_places;
  int32_t h, w, row_words;      /* of masks; rows of bits in whole words */
  int32_t mask_stride, linear, full_map;
  float mask_threshold, update_threshold, sigma;
  CiSoloDeviceLevel level[CI_MAX_LEVELS];
  const CiFrameSettings *settings;
  uint32_t *counts;             /* candidates; those with masks; 0 between
                                   frames. The best */
  CiKey *found, *ranked;        /* room for each class of each cell */
  uint32_t *wanted;             /* per place; 0 between frames */
  int32_t *slot;                /* per place */
  int32_t *place;               /* per slot */
  int32_t *first_slot;          /* per level, and behind the last */
  uint16_t *bits;               /* per slot: h rows */
  uint64_t *sums;               /* per slot; 0 between frames */
  CiSoloSlot *slots;
  CiKey *top;                   /* CI_SOLO_TOP, descending */
  float *overlap;               /* IoU of those, below the diagonal */
  CiDeviceDetections out;
  CiDeviceMasks masks;
  int32_t n_blocks;             /* masks: per detection */
  /* of the tiles that are made at once: levels, and how many lie in a row */
  int32_t begin, end, tiles_x, n_groups;
} CiSoloArgs;

enum
{
  CI_SOLO_FOUND,
  CI_SOLO_RANKED,
  CI_SOLO_BEST,
  CI_SOLO_COUNTS
};

CI_HD void
ci_atomic_add64 (uint64_t * number, uint64_t n)
{
#ifdef __CUDA_ARCH__
  atomicAdd ((unsigned long long *) number, (unsigned long long) n);
#else
  *number += n;
#endif
}

CI_HD void
ci_atomic_max (int32_t * number, int32_t n)
{
#ifdef __CUDA_ARCH__
  atomicMax (number, n);
#else
  *number = ci_max (*number, n);
#endif
}

CI_HD int
ci_highest_bit (uint32_t word)
{
#ifdef __CUDA_ARCH__
  return 31 - __clz ((int) word);
#else
  return 31 - __builtin_clz (word);
#endif
}

CI_HD int
ci_solo_level (const CiSoloArgs * a, uint32_t place)
{
  int level = a->n_levels - 1;

  while (place < a->level[level].first_place)
    level--;
  return level;
}

/* ---- candidates -------------------------------------------------------- */

/* Whether the number at @at is more than @p, that of @logit. */
CI_HD int
ci_solo_exceeds (const CiView * logits, int64_t at, float logit, float p)
{
  float v = ci_load (logits, at);

  return v > logit && ci_exact_sigmoid (v) > p;
}

/* Element: an octet of classes of a cell of a level. */
CI_HD void
ci_solo_candidates_element (const CiSoloArgs * a, int64_t i)
{
  const CiFrameSettings *settings = a->settings;
  float threshold = settings->inference_threshold;
  float rough = threshold - fabsf (threshold) * 1e-5f - 1e-30f;
  int level = a->n_levels - 1, y, x, octet, up, left;
  const CiSoloDeviceLevel *l;
  float v[CI_OCTET];
  uint32_t rest;
  int64_t at;

  while ((uint32_t) i < a->level[level].first_octet)
    level--;
  l = &a->level[level];
  rest = (uint32_t) i - l->first_octet;
  octet = (int) (rest % (uint32_t) (l->logits.cp / CI_OCTET));
  rest /= (uint32_t) (l->logits.cp / CI_OCTET);
  y = (int) (rest / (uint32_t) l->grid);
  x = (int) (rest % (uint32_t) l->grid);
  at = ci_view_at (&l->logits, 0, y, x) + octet * CI_OCTET;
  up = l->logits.pitch * l->logits.cp;
  left = l->logits.cp;
  ci_load8 (&l->logits, at, v);
  for (int k = 0; k < CI_OCTET; k++, at++) {
    int cls = octet * CI_OCTET + k;
    uint32_t place = l->first_place + rest;
    float p;

    if (cls >= l->logits.c || !(ci_sigmoid (v[k]) > rough)
        || (settings->has_classes && !settings->classes[cls]))
      continue;
    p = ci_exact_sigmoid (v[k]);
    if (!(p > threshold)
        || (x && ci_solo_exceeds (&l->logits, at - left, v[k], p))
        || (y && ci_solo_exceeds (&l->logits, at - up, v[k], p))
        || (x && y && ci_solo_exceeds (&l->logits, at - up - left, v[k], p)))
      continue;
    a->wanted[place] = 1;
    a->found[ci_atomic_add (&a->counts[CI_SOLO_FOUND], 1)] =
        ci_candidate_key (p, place * (uint32_t) a->n_classes
        + (uint32_t) cls);
  }
}

/* ---- slots ------------------------------------------------------------- */

#define CI_SOLO_SLOT_THREADS 1024

typedef struct
{
  int32_t count[CI_SOLO_SLOT_THREADS];
  int32_t group[CI_SOLO_SLOT_THREADS / 32];
} CiSoloSlotsShared;

/* One block; a thread has some places in a row. */
CI_HD int
ci_solo_slots_block (const CiSoloArgs * a, void *shared, int bx, int by,
    int bz, int thread, int phase)
{
  CiSoloSlotsShared *s = (CiSoloSlotsShared *) shared;
  int per = (a->n_places + CI_SOLO_SLOT_THREADS - 1) / CI_SOLO_SLOT_THREADS;
  int first = ci_min (thread * per, a->n_places);
  int end = ci_min (first + per, a->n_places), n = 0;

  (void) bx;
  (void) by;
  (void) bz;
  if (phase == 0) {
    for (int i = first; i < end; i++)
      n += (int) a->wanted[i];
    s->count[thread] = n;
    return 1;
  }
  if (phase == 1) {
    if (thread < CI_SOLO_SLOT_THREADS / 32) {
      for (int i = 0; i < 32; i++)
        n += s->count[32 * thread + i];
      s->group[thread] = n;
    }
    return 1;
  }
  for (int i = 0; i < thread / 32; i++)
    n += s->group[i];
  for (int i = thread / 32 * 32; i < thread; i++)
    n += s->count[i];
  for (int i = first; i < end; i++) {
    for (int l = 0; l < a->n_levels; l++)
      if ((uint32_t) i == a->level[l].first_place)
        a->first_slot[l] = n;
    if (!a->wanted[i])
      continue;
    a->wanted[i] = 0;
    a->slot[i] = n;
    a->place[n++] = i;
  }
  if (thread == CI_SOLO_SLOT_THREADS - 1)
    a->first_slot[a->n_levels] = n;
  return 0;
}

/* ---- masks ------------------------------------------------------------- */

#define CI_SOLO_THREADS 128
/* A tile: cells, and products of each. */
#define CI_SOLO_CELLS 32
#define CI_SOLO_PIXELS 64

/* What is no number is not in a mask. */
CI_HD float
ci_solo_sigmoid (float logit)
{
  return logit == logit ? ci_sigmoid (logit) : 0.0f;
}

/* Where cell @o of a mask lies in a map of @n cells. */
CI_HD int
ci_solo_tap (int o, float step, int n, float *share)
{
  float t = ci_mul ((float) o + 0.5f, step) - 0.5f;
  int cell;

  t = t > 0.0f ? t : 0.0f;
  cell = ci_min ((int) t, n - 1);
  *share = t - (float) cell;
  return cell;
}

/* The weights of a cell. */
CI_HD int64_t
ci_solo_row (const CiSoloDeviceLevel * l, int source, int cell)
{
  return source == CI_MASKS_STATIC ? (int64_t) cell * l->maps[0].cp
      : ci_view_at (&l->rows, 0, cell / l->grid, cell % l->grid);
}

/* Logit of factor @k of a cell's mask at (@y, @x) of the map. */
CI_HD float
ci_solo_logit (const CiSoloArgs * a, const CiSoloDeviceLevel * l, int cell,
    int k, int y, int x)
{
  const CiView *map = &l->maps[k];
  int64_t at = ci_view_at (map, 0, y, x), row;
  float sum = 0.0f;

  if (a->source == CI_MASKS_PRODUCT)
    return ci_load (map, at + (k ? cell / l->grid : cell % l->grid));
  row = ci_solo_row (l, a->source, cell);
  for (int c = 0; c < map->cp; c += CI_OCTET) {
    float v[CI_OCTET], w[CI_OCTET];

    ci_load8 (map, at + c, v);
    ci_load8 (&l->rows, row + c, w);
    CI_UNROLL for (int i = 0; i < CI_OCTET; i++)
        sum += v[i] * w[i];
  }
  return a->source == CI_MASKS_STATIC ? sum + l->bias[cell] : sum;
}

/* The soft mask of a cell at (@y, @x). */
CI_HD float
ci_solo_soft (const CiSoloArgs * a, const CiSoloDeviceLevel * l, int cell,
    int y, int x)
{
  int n_factors = a->source == CI_MASKS_PRODUCT ? 2 : 1;
  float p = 1.0f, ay, ax;

  for (int k = 0; k < n_factors; k++) {
    const CiView *map = &l->maps[k];
    int y0, x0, y1, x1;

    if (!l->resized) {
      p *= ci_solo_sigmoid (ci_solo_logit (a, l, cell, k, y, x));
      continue;
    }
    y0 = ci_solo_tap (y, l->step_y, map->h, &ay);
    x0 = ci_solo_tap (x, l->step_x, map->w, &ax);
    y1 = ci_min (y0 + 1, map->h - 1);
    x1 = ci_min (x0 + 1, map->w - 1);
    p *= ci_lerp2 (ci_solo_sigmoid (ci_solo_logit (a, l, cell, k, y0, x0)),
        ci_solo_sigmoid (ci_solo_logit (a, l, cell, k, y0, x1)),
        ci_solo_sigmoid (ci_solo_logit (a, l, cell, k, y1, x0)),
        ci_solo_sigmoid (ci_solo_logit (a, l, cell, k, y1, x1)), ay, ax);
  }
  return p;
}

typedef struct
{
  float logit[CI_SOLO_CELLS][CI_SOLO_PIXELS + 1];
} CiSoloTilesShared;

/* A thread's share of a tile's products: four cells from @first on, and four
 * pixels of row @y, from @x on each sixteenth, or the four that one pixel of a
 * mask lies between. @half is that of the views, as a constant. */
CI_HD void
ci_solo_dot (const CiSoloArgs * a, const int half, CiSoloTilesShared * s,
    int first, int end, int y, int x, int thread)
{
  int lane = thread % 16, group = thread / 16 * 4;
  const CiSoloDeviceLevel *l = &a->level[a->begin];
  CiView map = l->maps[0];
  int64_t at[4], row[4];
  float sum[4][4], bias[4], share;
  CiView rows[4];

  map.half = half;
  CI_UNROLL for (int k = 0; k < 4; k++) {
    int px = ci_min (x + (l->resized ? lane : 16 * k + lane), a->w - 1);
    int place = a->place[ci_min (first + group + k, end - 1)];
    const CiSoloDeviceLevel *own = &a->level[ci_solo_level (a,
            (uint32_t) place)];
    int cell = place - (int) own->first_place, py = y;

    if (l->resized) {
      px = ci_solo_tap (px, l->step_x, map.w, &share) + k % 2;
      py = ci_solo_tap (py, l->step_y, map.h, &share) + k / 2;
    }
    at[k] = ci_view_at (&map, 0, ci_min (py, map.h - 1),
        ci_min (px, map.w - 1));
    rows[k] = own->rows;
    rows[k].half = half;
    row[k] = ci_solo_row (own, a->source, cell);
    bias[k] = a->source == CI_MASKS_STATIC ? own->bias[cell] : 0.0f;
    CI_UNROLL for (int i = 0; i < 4; i++)
        sum[k][i] = 0.0f;
  }
  for (int c = 0; c < map.cp; c += CI_OCTET) {
    float v[4][CI_OCTET];

    CI_UNROLL for (int i = 0; i < 4; i++)
        ci_load8 (&map, at[i] + c, v[i]);
    CI_UNROLL for (int k = 0; k < 4; k++) {
      float w[CI_OCTET];

      ci_load8 (&rows[k], row[k] + c, w);
      CI_UNROLL for (int i = 0; i < 4; i++)
          CI_UNROLL for (int o = 0; o < CI_OCTET; o++)
              sum[k][i] += v[i][o] * w[o];
    }
  }
  CI_UNROLL for (int k = 0; k < 4; k++)
      CI_UNROLL for (int i = 0; i < 4; i++)
          s->logit[group + k][16 * i + lane] = sum[k][i] + bias[k];
}

/* Block: a tile of a row of masks, and each n_groups-th group of slots. Even
 * phases make products, odd ones bits. Of resized maps the tile is a quarter as
 * wide, since each of its pixels takes four products. */
CI_HD int
ci_solo_tiles_block (const CiSoloArgs * a, void *shared, int bx, int by,
    int bz, int thread, int phase)
{
  CiSoloTilesShared *s = (CiSoloTilesShared *) shared;
  const CiSoloDeviceLevel *l = &a->level[a->begin];
  int quarter = l->resized && a->source != CI_MASKS_PRODUCT;
  int end = a->first_slot[a->end], y = bx / a->tiles_x;
  int x = bx % a->tiles_x * (quarter ? 16 : CI_SOLO_PIXELS);
  int first = a->first_slot[a->begin] + (by + phase / 2 * a->n_groups)
      * CI_SOLO_CELLS, slot = first + thread / 4;
  int from = x + thread % 4 * 16, place;
  uint32_t bits = 0;
  uint64_t sum = 0;

  (void) bz;
  if (first >= end)
    return 0;
  if (phase % 2 == 0) {
    if (a->source != CI_MASKS_PRODUCT && l->maps[0].half)
      ci_solo_dot (a, 1, s, first, end, y, x, thread);
    else if (a->source != CI_MASKS_PRODUCT)
      ci_solo_dot (a, 0, s, first, end, y, x, thread);
    return 1;
  }
  if (slot >= end || from >= 32 * a->row_words || (quarter && thread % 4))
    return 1;
  place = a->place[slot];
  for (int i = 0; i < 16 && from + i < a->w; i++) {
    const float *logit = &s->logit[thread / 4][thread % 4 * 16 + i];
    float p, ay, ax;

    if (a->source == CI_MASKS_PRODUCT) {
      p = ci_solo_soft (a, l, place - (int) l->first_place, y, from + i);
    } else if (quarter) {
      ci_solo_tap (y, l->step_y, l->maps[0].h, &ay);
      ci_solo_tap (from + i, l->step_x, l->maps[0].w, &ax);
      p = ci_lerp2 (ci_solo_sigmoid (logit[0]), ci_solo_sigmoid (logit[16]),
          ci_solo_sigmoid (logit[32]), ci_solo_sigmoid (logit[48]), ay, ax);
    } else {
      p = ci_solo_sigmoid (logit[0]);
    }
    if (p > a->mask_threshold) {
      bits |= 1u << i;
      /* whole numbers, so that their order does not matter */
      sum += (uint64_t) (p * 0x1p30f);
    }
  }
  a->bits[((int64_t) slot * a->h + y) * a->row_words * 2 + from / 16] =
      (uint16_t) bits;
  if (sum)
    ci_atomic_add64 (&a->sums[slot], sum);
  return 1;
}

CI_HD const uint32_t *
ci_solo_words (const CiSoloArgs * a, int slot, int y)
{
  return (const uint32_t *) a->bits + ((int64_t) slot * a->h + y)
      * a->row_words;
}

typedef struct
{
  uint32_t area;
  int32_t most[4];              /* -x0, -y0, x1, y1 */
} CiSoloMeasureShared;

/* Block: a slot. */
CI_HD int
ci_solo_measure_block (const CiSoloArgs * a, void *shared, int bx, int by,
    int bz, int thread, int phase)
{
  CiSoloMeasureShared *s = (CiSoloMeasureShared *) shared;
  int most[4] = { -a->w, -a->h, 0, 0 };
  uint32_t area = 0;

  (void) by;
  (void) bz;
  if (bx >= a->first_slot[a->n_levels])
    return 0;
  if (phase == 0) {
    if (thread < 4)
      s->most[thread] = most[thread];
    if (thread == 0)
      s->area = 0;
    return 1;
  }
  if (phase == 2) {
    if (thread == 0) {
      CiSoloSlot *slot = &a->slots[bx];

      slot->area = (int32_t) s->area;
      slot->x0 = -s->most[0];
      slot->y0 = -s->most[1];
      slot->x1 = s->most[2];
      slot->y1 = s->most[3];
      slot->sum = a->sums[bx];
      a->sums[bx] = 0;
    }
    return 0;
  }
  for (int i = thread; i < a->h * a->row_words; i += CI_SOLO_THREADS) {
    uint32_t word = ci_solo_words (a, bx, 0)[i];
    int y = i / a->row_words, x = (i - y * a->row_words) * 32;

    if (!word)
      continue;
    area += (uint32_t) ci_count_bits (word);
    most[0] = ci_max (most[0], -(x + ci_lowest_bit (word)));
    most[1] = ci_max (most[1], -y);
    most[2] = ci_max (most[2], x + ci_highest_bit (word) + 1);
    most[3] = ci_max (most[3], y + 1);
  }
  if (area) {
    ci_atomic_add (&s->area, area);
    for (int k = 0; k < 4; k++)
      ci_atomic_max (&s->most[k], most[k]);
  }
  return 1;
}

/* ---- the best ---------------------------------------------------------- */

typedef struct
{
  float value;
  int cls, slot, level, cell;
} CiSoloParts;

CI_HD CiSoloParts
ci_solo_parts (const CiSoloArgs * a, CiKey key)
{
  uint32_t index = ~(uint32_t) key, place = index / (uint32_t) a->n_classes;
  CiSoloParts p;

  p.value = ci_bits_to_float ((uint32_t) (key >> 32));
  p.cls = (int) (index - place * (uint32_t) a->n_classes);
  p.slot = a->slot[place];
  p.level = ci_solo_level (a, place);
  p.cell = (int) (place - a->level[p.level].first_place);
  return p;
}

/* Element: a candidate. */
CI_HD void
ci_solo_rank_element (const CiSoloArgs * a, int64_t i)
{
  const CiSoloSlot *slot;
  CiSoloParts p;
  float maskness;

  if (i >= (int64_t) a->counts[CI_SOLO_FOUND])
    return;
  p = ci_solo_parts (a, a->found[i]);
  slot = &a->slots[p.slot];
  if (slot->area <= a->level[p.level].stride)
    return;
  maskness = (float) ((double) slot->sum * 0x1p-30 / slot->area);
  a->ranked[ci_atomic_add (&a->counts[CI_SOLO_RANKED], 1)] =
      ci_candidate_key (ci_mul (p.value, maskness), ~(uint32_t) a->found[i]);
}

typedef struct
{
  CiSelect select;
  CiKey keys[CI_SOLO_TOP];
} CiSoloSelectShared;

/* One block. */
CI_HD int
ci_solo_select_block (const CiSoloArgs * a, void *shared, int bx, int by,
    int bz, int thread, int phase)
{
  CiSoloSelectShared *s = (CiSoloSelectShared *) shared;

  (void) bx;
  (void) by;
  (void) bz;
  if (phase == 0) {
    ci_select_start (&s->select, a->counts[CI_SOLO_RANKED],
        (uint32_t) ci_clamp (a->settings->pre_nms_top_k, 1, CI_SOLO_TOP),
        thread);
    return 1;
  }
  if (ci_select_phase (&s->select, s->keys, a->ranked, thread, phase))
    return 1;
  for (uint32_t i = (uint32_t) thread; i < s->select.n; i += CI_SELECT_THREADS)
    a->top[i] = s->keys[i];
  if (thread == 0) {
    a->counts[CI_SOLO_FOUND] = a->counts[CI_SOLO_RANKED] = 0;
    a->counts[CI_SOLO_BEST] = s->select.n;
  }
  return 0;
}

/* ---- matrix NMS -------------------------------------------------------- */

CI_HD double
ci_solo_iou (const CiSoloArgs * a, int i, int k)
{
  const CiSoloSlot *p = &a->slots[i], *q = &a->slots[k];
  int x0 = ci_max (p->x0, q->x0) / 32;
  int x1 = (ci_min (p->x1, q->x1) + 31) / 32, inter = 0;
  int y1 = ci_min (p->y1, q->y1);

  for (int y = ci_max (p->y0, q->y0); y < y1; y++) {
    const uint32_t *v = ci_solo_words (a, i, y), *w = ci_solo_words (a, k, y);

    for (int x = x0; x < x1; x++)
      inter += ci_count_bits (v[x] & w[x]);
  }
  return inter / ((double) p->area + q->area - inter);
}

CI_HD float *
ci_solo_overlaps (const CiSoloArgs * a, int j)
{
  return a->overlap + (int64_t) j * (j - 1) / 2;
}

/* Block: one of the best, with all before it. */
CI_HD int
ci_solo_overlap_block (const CiSoloArgs * a, void *shared, int bx, int by,
    int bz, int thread, int phase)
{
  CiSoloParts own;

  (void) shared;
  (void) by;
  (void) bz;
  (void) phase;
  if ((uint32_t) bx >= a->counts[CI_SOLO_BEST])
    return 0;
  own = ci_solo_parts (a, a->top[bx]);
  for (int i = thread; i < bx; i += CI_SOLO_THREADS) {
    CiSoloParts other = ci_solo_parts (a, a->top[i]);

    ci_solo_overlaps (a, bx)[i] = other.cls == own.cls
        ? (float) ci_solo_iou (a, other.slot, own.slot) : 0.0f;
  }
  return 0;
}

typedef struct
{
  float compensation[CI_SOLO_TOP];
  CiKey keys[CI_SOLO_TOP];
  int32_t kept[CI_SOLO_TOP];
  int32_t n_kept;
  uint32_t dropped;
} CiSoloDecayShared;

/* Phases that ci_sort_step() takes for @n keys. */
CI_HD int
ci_sort_steps (int n)
{
  int levels = 0;

  while (1 << levels < n)
    levels++;
  return levels * (levels + 1) / 2;
}

/* What those before candidate @j leave of its score. */
CI_HD CiKey
ci_solo_decay (const CiSoloArgs * a, const CiSoloDecayShared * s, int j)
{
  const float *overlaps = ci_solo_overlaps (a, j);
  CiKey key = a->top[j];
  double most = 0, linear = 1;

  for (int i = 0; i < j; i++) {
    double o = overlaps[i], c = s->compensation[i], v = o * o - c * c, f;

    most = v > most ? v : most;
    if (!a->linear)
      continue;
    f = c < 1 ? (1 - o) / (1 - c) : o < 1 ? 1 : 0;
    linear = f < linear ? f : linear;
  }
  return ci_candidate_key (ci_mul (ci_bits_to_float ((uint32_t) (key >> 32)),
          (float) (a->linear ? linear : exp (-(double) a->sigma * most))),
      ~(uint32_t) key);
}

CI_HD void
ci_solo_emit (const CiSoloArgs * a, CiKey key, int index)
{
  CiSoloParts p = ci_solo_parts (a, key);
  const CiSoloSlot *slot = &a->slots[p.slot];
  const CiSoloDeviceLevel *l = &a->level[p.level];
  int s = a->mask_stride, y = p.cell / l->grid, x = p.cell - y * l->grid;
  CiBox box = { (float) (slot->x0 * s), (float) (slot->y0 * s),
    (float) (slot->x1 * s), (float) (slot->y1 * s)
  };

  ((CiBox *) a->out.boxes)[index] = box;
  a->out.scores[index] = p.value;
  a->out.classes[index] = p.cls;
  a->out.levels[index] = p.level;
  a->out.cells[index] = p.cell;
  a->out.locations[2 * index] = ci_mul ((float) x + 0.5f, (float) (a->w * s))
      / (float) l->grid;
  a->out.locations[2 * index + 1] = ci_mul ((float) y + 0.5f,
      (float) (a->h * s)) / (float) l->grid;
}

/* Whether candidate @i of the sorted ones is there by its score. */
CI_HD int
ci_solo_stays (const CiSoloArgs * a, const CiSoloDecayShared * s, int i)
{
  float least = a->settings->score_threshold > a->update_threshold
      ? a->settings->score_threshold : a->update_threshold;

  return i < (int) a->counts[CI_SOLO_BEST]
      && ci_bits_to_float ((uint32_t) (s->keys[i] >> 32)) >= least;
}

/* One block; a thread has a candidate. */
CI_HD int
ci_solo_decay_block (const CiSoloArgs * a, void *shared, int bx, int by,
    int bz, int thread, int phase)
{
  CiSoloDecayShared *s = (CiSoloDecayShared *) shared;
  int n = (int) a->counts[CI_SOLO_BEST], sorted = 2 + ci_sort_steps (n), i;
  int limit = ci_min (a->settings->post_nms_top_k, a->out.capacity);
  double cross = a->settings->cross_class_threshold;

  (void) bx;
  (void) by;
  (void) bz;
  if (phase == 0) {
    float c = 0.0f;

    for (i = 0; i < thread && thread < n; i++) {
      float o = ci_solo_overlaps (a, thread)[i];

      c = o > c ? o : c;
    }
    if (thread < n)
      s->compensation[thread] = c;
    if (thread == 0) {
      s->n_kept = 0;
      s->dropped = 0;
    }
    return 1;
  }
  if (phase == 1) {
    if (thread < n)
      s->keys[thread] = ci_solo_decay (a, s, thread);
    return 1;
  }
  if (phase < sorted) {
    ci_sort_step (s->keys, n, phase - 2, thread, CI_SELECT_THREADS);
    return 1;
  }
  if (!(cross > 0)) {
    if (thread < limit && ci_solo_stays (a, s, thread)) {
      ci_solo_emit (a, s->keys[thread], thread);
      if (thread + 1 == limit || !ci_solo_stays (a, s, thread + 1))
        *a->out.count = thread + 1;
    } else if (thread == 0) {
      *a->out.count = 0;
    }
    return 0;
  }

  /* classes compete: one candidate after the other, held against those that
   * are kept in even phases, judged in odd ones */
  phase -= sorted;
  i = phase / 2;
  if (phase % 2) {
    if (thread == 0 && !s->dropped)
      s->kept[s->n_kept++] = i;
    if (thread == 0)
      s->dropped = 0;
    return 1;
  }
  if (s->n_kept >= limit || !ci_solo_stays (a, s, i)) {
    if (thread < s->n_kept)
      ci_solo_emit (a, s->keys[s->kept[thread]], thread);
    if (thread == 0)
      *a->out.count = s->n_kept;
    return 0;
  }
  if (thread < s->n_kept) {
    CiSoloParts own = ci_solo_parts (a, s->keys[i]);
    CiSoloParts other = ci_solo_parts (a, s->keys[s->kept[thread]]);

    if (other.cls != own.cls && ci_solo_iou (a, other.slot, own.slot) > cross)
      ci_atomic_or (&s->dropped, 1);
  }
  return 1;
}

/* ---- grids ------------------------------------------------------------- */

/* All but its offset: the mask's bounds and a cell around them. */
CI_HD CiDeviceGrid
ci_solo_grid (const CiSoloArgs * a, int detection)
{
  const float *box = a->out.boxes + 4 * (int64_t) detection;
  int x1 = a->w, y1 = a->h;
  CiDeviceGrid g;

  g.x = g.y = 0;
  if (!a->full_map) {
    g.x = ci_max ((int) box[0] / a->mask_stride - 1, 0);
    g.y = ci_max ((int) box[1] / a->mask_stride - 1, 0);
    x1 = ci_min ((int) box[2] / a->mask_stride + 1, x1);
    y1 = ci_min ((int) box[3] / a->mask_stride + 1, y1);
  }
  g.width = x1 - g.x;
  g.height = y1 - g.y;
  g.offset = g.end = 0;
  return g;
}

/* Block: a detection, and each n_blocks-th row of cells. */
CI_HD int
ci_solo_masks_block (const CiSoloArgs * a, void *shared, int bx, int by,
    int bz, int thread, int phase)
{
  uint32_t *before = (uint32_t *) shared;       /* in units of 16 cells */
  const CiSoloDeviceLevel *l;
  CiDeviceGrid grid;
  uint32_t n = 0;
  int n_cells;

  (void) bz;
  if (bx >= *a->out.count)
    return 0;
  if (phase == 0) {
    if (thread == 0)
      *before = 0;
    return 1;
  }
  if (phase == 1) {
    for (int k = thread; k < bx; k += CI_SOLO_THREADS) {
      CiDeviceGrid other = ci_solo_grid (a, k);

      n += (uint32_t) (ci_grid_bytes (other.width, other.height) / 16);
    }
    if (n)
      ci_atomic_add (before, n);
    return 1;
  }
  l = &a->level[a->out.levels[bx]];
  grid = ci_solo_grid (a, bx);
  n_cells = grid.width * grid.height;
  grid.offset = (int64_t) *before * 16;
  grid.end = grid.offset + ci_grid_bytes (grid.width, grid.height);
  if (by == 0 && thread == 0)
    a->masks.grids[bx] = grid;
  for (int i = by * CI_SOLO_THREADS + thread; i < n_cells;
      i += a->n_blocks * CI_SOLO_THREADS) {
    float p = ci_solo_soft (a, l, a->out.cells[bx], grid.y + i / grid.width,
        grid.x + i % grid.width);

    a->masks.cells[grid.offset + i] = ci_quantise (p);
    if (a->masks.prob)
      a->masks.prob[grid.offset + i] = p;
  }
  return 0;
}

#define CI_SOLO_KERNELS(ELEMENT, BLOCK) \
  ELEMENT (solo_candidates, CiSoloArgs) \
  BLOCK (solo_slots, CiSoloArgs, CI_SOLO_SLOT_THREADS, \
      sizeof (CiSoloSlotsShared)) \
  BLOCK (solo_tiles, CiSoloArgs, CI_SOLO_THREADS, \
      sizeof (CiSoloTilesShared)) \
  BLOCK (solo_measure, CiSoloArgs, CI_SOLO_THREADS, \
      sizeof (CiSoloMeasureShared)) \
  ELEMENT (solo_rank, CiSoloArgs) \
  BLOCK (solo_select, CiSoloArgs, CI_SELECT_THREADS, \
      sizeof (CiSoloSelectShared)) \
  BLOCK (solo_overlap, CiSoloArgs, CI_SOLO_THREADS, 0) \
  BLOCK (solo_decay, CiSoloArgs, CI_SELECT_THREADS, \
      sizeof (CiSoloDecayShared)) \
  BLOCK (solo_masks, CiSoloArgs, CI_SOLO_THREADS, 16)

#endif /* CI_KERNEL_SOLO_H */
