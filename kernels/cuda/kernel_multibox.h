/*
 * kernel_multibox.h: what a thread computes of heads with priors and of masks
 * of prototypes (SEMANTICS-yolact).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_KERNEL_MULTIBOX_H
#define CI_KERNEL_MULTIBOX_H

#include "kernel_detect.h"
#include "kernel_mask.h"

#define CI_CELL_PRIORS 16
/* More candidates than this per class are never looked at. */
#define CI_MULTIBOX_TOP 1000

/* The values of CiNms. */
enum
{
  CI_HOW_DEFAULT,
  CI_HOW_GREEDY,
  CI_HOW_FAST,
  CI_HOW_FAST_CROSS_CLASS,
};

typedef struct
{
  CiView loc, conf;
  int32_t n_priors;             /* of a cell */
  uint32_t first_prior;         /* of all levels' priors */
  float sizes[CI_CELL_PRIORS][2];
} CiPriorLevel;

/* A candidate is a key as in FCOS: its index counts priors and classes. */
typedef struct
{
  int32_t n_levels, n_classes;
  int32_t nms;                  /* where the frame wants the default */
  float width, height;          /* of the input */
  float variances[2];
  uint32_t n_priors;            /* of all levels */
  CiPriorLevel level[CI_MAX_LEVELS];
  const CiFrameSettings *settings;
  uint32_t *n_found;            /* per class; 0 between frames */
  CiKey *found;                 /* n_priors per class */
  uint32_t *n_kept;             /* 0 between frames */
  CiKey *kept;                  /* CI_MULTIBOX_TOP per class: what its class
                                   does not suppress */
  CiBox *boxes;                 /* CI_MAX_PRE_NMS */
  CiDeviceDetections out;
} CiMultiboxArgs;

CI_HD int
ci_multibox_how (const CiMultiboxArgs * a)
{
  int nms = a->settings->nms;

  return nms == CI_HOW_DEFAULT || nms > CI_HOW_FAST_CROSS_CLASS ? a->nms : nms;
}

/* Where a prior is. */
typedef struct
{
  const CiPriorLevel *level;
  int index, prior;             /* of the level; in its level */
  int a, y, x;
} CiPriorSpot;

CI_HD CiPriorSpot
ci_prior_spot (const CiMultiboxArgs * a, uint32_t prior)
{
  CiPriorSpot s;
  int cell;

  s.index = a->n_levels - 1;
  while (prior < a->level[s.index].first_prior)
    s.index--;
  s.level = &a->level[s.index];
  s.prior = (int) (prior - s.level->first_prior);
  cell = s.prior / s.level->n_priors;
  s.a = s.prior - cell * s.level->n_priors;
  s.y = cell / s.level->loc.w;
  s.x = cell - s.y * s.level->loc.w;
  return s;
}

/* In widths and heights of the input. */
CI_HD CiBox
ci_prior_box (const CiMultiboxArgs * a, const CiPriorSpot * s)
{
  const CiView *loc = &s->level->loc;
  const float *size = s->level->sizes[s->a];
  int64_t at = ci_view_at (loc, 0, s->y, s->x) + 4 * s->a;
  float cx = ((float) s->x + 0.5f) / (float) loc->w;
  float cy = ((float) s->y + 0.5f) / (float) loc->h;
  float w = ci_mul (size[0], expf (ci_mul (a->variances[1], ci_load (loc,
                  at + 2))));
  float h = ci_mul (size[1], expf (ci_mul (a->variances[1], ci_load (loc,
                  at + 3))));
  CiBox box;

  box.x0 = cx + ci_mul (ci_mul (a->variances[0], ci_load (loc, at)), size[0])
      - w / 2;
  box.y0 = cy + ci_mul (ci_mul (a->variances[0], ci_load (loc, at + 1)),
      size[1]) - h / 2;
  box.x1 = box.x0 + w;
  box.y1 = box.y0 + h;
  return box;
}

CI_HD CiBox
ci_multibox_key_box (const CiMultiboxArgs * a, CiKey key)
{
  CiPriorSpot s = ci_prior_spot (a, ~(uint32_t) key
      / (uint32_t) a->n_classes);

  return ci_prior_box (a, &s);
}

/* ---- candidates --------------------------------------------------------- */

/* Element: a prior. Few have a class that comes close to the background; exact
 * numbers are made of those only. */
CI_HD void
ci_multibox_candidates_element (const CiMultiboxArgs * a, int64_t i)
{
  const CiFrameSettings *settings = a->settings;
  CiPriorSpot s = ci_prior_spot (a, (uint32_t) i);
  const CiView *conf = &s.level->conf;
  int n = a->n_classes, how = ci_multibox_how (a), best = 0;
  int64_t at = ci_view_at (conf, 0, s.y, s.x) + (int64_t) s.a * (n + 1);
  float background = ci_load (conf, at), top = -INFINITY, score, least;
  float threshold = settings->inference_threshold;
  double sum, highest;
  CiBox box;

  for (int c = 0; c < n; c++) {
    float v = ci_load (conf, at + 1 + c);

    if (v > top) {
      top = v;
      best = c;
    }
  }
  /* the best probability is not above this, but for rounding */
  if (!(1.0f / (1.0f + expf (background - top)) > threshold * 0.999f - 1e-6f))
    return;
  highest = top > background ? top : background;
  sum = exp (background - highest);
  for (int c = 0; c < n; c++)
    sum += exp (ci_load (conf, at + 1 + c) - highest);
  score = (float) (exp (top - highest) / sum);
  box = ci_prior_box (a, &s);
  /* broken weights give what is no number */
  if (!(score > threshold)
      || !ci_is_finite (box.x0 + box.y0 + box.x1 + box.y1))
    return;
  least = settings->score_threshold > 0 ? settings->score_threshold : -1.0f;
  if (how == CI_HOW_GREEDY && threshold > least)
    least = threshold;
  for (int c = 0; c < n; c++) {
    int list = how == CI_HOW_FAST_CROSS_CLASS ? 0 : c;

    if ((how == CI_HOW_FAST_CROSS_CLASS && c != best)
        || (settings->has_classes && !settings->classes[c]))
      continue;
    score = (float) (exp (ci_load (conf, at + 1 + c) - highest) / sum);
    if (score > least)
      a->found[(size_t) list * a->n_priors + ci_atomic_add (&a->n_found[list],
              1)] = ci_candidate_key (score, (uint32_t) i * (uint32_t) n
          + (uint32_t) c);
  }
}

/* ---- within a class ----------------------------------------------------- */

typedef struct
{
  CiSelect select;
  int32_t sorted;               /* the phase in which it was, or 0 */
  CiKey keys[CI_MULTIBOX_TOP];
  CiBox box[CI_MULTIBOX_TOP];
} CiMultiboxClassShared;

/* Block: a class, or all of them: the best ones, without those that Fast NMS
 * takes away. */
CI_HD int
ci_multibox_class_block (const CiMultiboxArgs * a, void *shared, int bx,
    int by, int bz, int thread, int phase)
{
  CiMultiboxClassShared *s = (CiMultiboxClassShared *) shared;
  const CiKey *found = a->found + (size_t) bx * a->n_priors;
  int how = ci_multibox_how (a);
  int top_k = how == CI_HOW_GREEDY ? CI_MULTIBOX_TOP
      : ci_clamp (a->settings->pre_nms_top_k, 0, CI_MULTIBOX_TOP);

  (void) by;
  (void) bz;
  if (phase == 0) {
    ci_select_start (&s->select, a->n_found[bx], (uint32_t) top_k, thread);
    if (thread == 0)
      s->sorted = 0;
    return 1;
  }
  if (s->select.n == 0) {
    if (thread == 0)
      a->n_found[bx] = 0;
    return 0;
  }
  if (!s->sorted || s->sorted == phase) {
    if (phase == 1 && thread == 0)
      a->n_found[bx] = 0;
    if (!ci_select_phase (&s->select, s->keys, found, thread, phase)) {
      for (uint32_t i = (uint32_t) thread; i < s->select.n;
          i += CI_SELECT_THREADS)
        s->box[i] = ci_multibox_key_box (a, s->keys[i]);
      if (thread == 0)
        s->sorted = phase;
    }
    return 1;
  }
  for (uint32_t i = (uint32_t) thread; i < s->select.n;
      i += CI_SELECT_THREADS) {
    int keep = 1;

    for (uint32_t k = 0; k < i && keep && how != CI_HOW_GREEDY; k++)
      keep = !ci_boxes_overlap (&s->box[k], &s->box[i],
          a->settings->nms_threshold);
    if (keep)
      a->kept[ci_atomic_add (a->n_kept, 1)] = s->keys[i];
  }
  return 0;
}

/* ---- of all classes ----------------------------------------------------- */

#define CI_ALIVE_WORDS ((CI_MAX_PRE_NMS + 31) / 32)

typedef struct
{
  CiSelect select;
  int32_t sorted;               /* the phase in which it was, or 0 */
  int32_t limit, n_kept, end;
  uint32_t current, next;       /* kept now, looked at next */
  uint32_t alive[CI_ALIVE_WORDS];       /* bits */
  CiKey keys[CI_MAX_PRE_NMS];
} CiMultiboxShared;

CI_HD int
ci_pixels_overlap (const CiBox * a, const CiBox * b, float sx, float sy,
    double threshold)
{
  float w = ci_mul (a->x1 < b->x1 ? a->x1 : b->x1, sx)
      - ci_mul (a->x0 > b->x0 ? a->x0 : b->x0, sx) + 1.0f;
  float h = ci_mul (a->y1 < b->y1 ? a->y1 : b->y1, sy)
      - ci_mul (a->y0 > b->y0 ? a->y0 : b->y0, sy) + 1.0f;
  float inter, area_a, area_b;

  if (w <= 0 || h <= 0)
    return 0.0 >= threshold;
  inter = ci_mul (w, h);
  area_a = ci_mul (ci_mul (a->x1, sx) - ci_mul (a->x0, sx) + 1.0f,
      ci_mul (a->y1, sy) - ci_mul (a->y0, sy) + 1.0f);
  area_b = ci_mul (ci_mul (b->x1, sx) - ci_mul (b->x0, sx) + 1.0f,
      ci_mul (b->y1, sy) - ci_mul (b->y0, sy) + 1.0f);
  return inter / (area_a + area_b - inter) >= threshold;
}

/* Whether the kept @a takes away @b, of a lower score. */
CI_HD int
ci_multibox_drops (const CiMultiboxArgs * a, int how, const CiBox * kept,
    uint32_t kept_class, const CiBox * box, uint32_t cls)
{
  const CiFrameSettings *settings = a->settings;

  if (kept_class == cls)
    return how == CI_HOW_GREEDY && ci_pixels_overlap (kept, box, a->width,
        a->height, settings->nms_threshold);
  return settings->cross_class_threshold > 0
      && ci_boxes_overlap (kept, box, settings->cross_class_threshold);
}

CI_HD void
ci_multibox_emit (const CiMultiboxArgs * a, CiKey key, int index)
{
  uint32_t i = ~(uint32_t) key, prior = i / (uint32_t) a->n_classes;
  CiPriorSpot s = ci_prior_spot (a, prior);
  CiBox box = ci_prior_box (a, &s);
  CiBox pixels = { ci_mul (box.x0, a->width), ci_mul (box.y0, a->height),
    ci_mul (box.x1, a->width), ci_mul (box.y1, a->height)
  };

  ((CiBox *) a->out.boxes)[index] = pixels;
  a->out.scores[index] = ci_bits_to_float ((uint32_t) (key >> 32));
  a->out.classes[index] = (int32_t) (i - prior * (uint32_t) a->n_classes);
  a->out.levels[index] = s.index;
  a->out.cells[index] = s.prior;
  a->out.locations[2 * index] = ((float) s.x + 0.5f) / (float) s.level->loc.w
      * a->width;
  a->out.locations[2 * index + 1] = ((float) s.y + 0.5f)
      / (float) s.level->loc.h * a->height;
}

/* What comes next; by one thread, between two phases of all. */
CI_HD void
ci_multibox_control (const CiMultiboxArgs * a, CiMultiboxShared * s)
{
  uint32_t word = s->next / 32;

  for (; word < CI_ALIVE_WORDS && s->n_kept < s->limit; word++) {
    uint32_t bits = s->alive[word];

    if (word == s->next / 32)
      bits &= ~0u << s->next % 32;
    if (bits) {
      s->current = 32 * word + (uint32_t) ci_lowest_bit (bits);
      s->next = s->current + 1;
      ci_multibox_emit (a, s->keys[s->current], s->n_kept++);
      return;
    }
  }
  s->end = 1;
  *a->out.count = s->n_kept;
}

/* One block: sorts what the classes keep, then lets them compete, if they
 * do. */
CI_HD int
ci_multibox_merge_block (const CiMultiboxArgs * a, void *shared, int bx,
    int by, int bz, int thread, int phase)
{
  CiMultiboxShared *s = (CiMultiboxShared *) shared;
  int how = ci_multibox_how (a);
  int compete = how == CI_HOW_GREEDY || (how == CI_HOW_FAST
      && a->settings->cross_class_threshold > 0);
  int limit = ci_min (ci_min (a->settings->post_nms_top_k, a->out.capacity),
      CI_MAX_PRE_NMS);

  (void) bx;
  (void) by;
  (void) bz;
  if (limit < 0)
    limit = 0;
  if (phase == 0) {
    ci_select_start (&s->select, *a->n_kept, (uint32_t) (compete ?
            CI_MAX_PRE_NMS : limit), thread);
    if (thread == 0) {
      s->sorted = s->n_kept = s->end = 0;
      s->limit = limit;
      s->next = s->current = 0;
    }
    return 1;
  }
  if (s->select.n == 0) {
    if (thread == 0)
      *a->n_kept = 0, *a->out.count = 0;
    return 0;
  }
  if (!s->sorted || s->sorted == phase) {
    int n = (int) s->select.n;

    if (phase == 1 && thread == 0)
      *a->n_kept = 0;
    if (ci_select_phase (&s->select, s->keys, a->kept, thread, phase))
      return 1;
    if (!compete) {
      for (int i = thread; i < n; i += CI_SELECT_THREADS)
        ci_multibox_emit (a, s->keys[i], i);
      if (thread == 0)
        *a->out.count = n;
      return 0;
    }
    for (int i = thread; i < n; i += CI_SELECT_THREADS)
      a->boxes[i] = ci_multibox_key_box (a, s->keys[i]);
    for (int i = thread; i < CI_ALIVE_WORDS; i += CI_SELECT_THREADS)
      s->alive[i] = 32 * (i + 1) <= n ? ~0u : 32 * i >= n ? 0
          : ~0u >> (32 * (i + 1) - n);
    if (thread == 0)
      s->sorted = phase;
    return 1;
  }
  if ((phase - s->sorted) % 2) {
    if (thread == 0)
      ci_multibox_control (a, s);
    return 1;
  }
  if (s->end)
    return 0;
  for (uint32_t i = s->current + 1 + (uint32_t) thread; i < s->select.n;
      i += CI_SELECT_THREADS) {
    uint32_t n = (uint32_t) a->n_classes;

    if ((s->alive[i / 32] >> i % 32 & 1)
        && ci_multibox_drops (a, how, &a->boxes[s->current],
            ~(uint32_t) s->keys[s->current] % n, &a->boxes[i],
            ~(uint32_t) s->keys[i] % n))
      ci_atomic_and (&s->alive[i / 32], ~(1u << i % 32));
  }
  return 1;
}

/* ---- what else is said of detections ------------------------------------ */

typedef struct
{
  CiView level[CI_MAX_LEVELS];
  CiDeviceDetections detections;
  int32_t channels;
  float *rows;
} CiGatherArgs;

/* Element: a channel of a detection. */
CI_HD void
ci_gather_element (const CiGatherArgs * a, int64_t i)
{
  int n = (int) (i / a->channels), c = (int) (i - (int64_t) n * a->channels);
  int n_priors, cell, prior;
  const CiView *v;

  if (n >= *a->detections.count)
    return;
  v = &a->level[a->detections.levels[n]];
  n_priors = v->c / a->channels;
  cell = a->detections.cells[n] / n_priors;
  prior = a->detections.cells[n] - cell * n_priors;
  a->rows[i] = ci_load (v, ci_view_at (v, 0, cell / v->w, cell % v->w)
      + prior * a->channels + c);
}

/* ---- masks of prototypes ------------------------------------------------ */

#define CI_ASSEMBLE_THREADS 256
#define CI_ASSEMBLE_BLOCKS 8    /* that share a detection's cells */
#define CI_MAX_PROTOTYPES 1024

typedef struct
{
  CiView prototypes;
  CiDeviceDetections detections;
  const float *rows;
  float width, height;          /* of the input */
  int32_t full_map;
  CiDeviceMasks out;
} CiAssembleMasksArgs;

typedef struct
{
  uint32_t before;              /* cells of the detections before this one, in
                                   units of 16 */
  float weights[CI_MAX_PROTOTYPES];
} CiAssembleShared;

/* The cells of an axis of @n that are inside of [@lo, @hi), given in inputs, or
 * in the cell around that. */
CI_HD void
ci_assemble_cells (float lo, float hi, int n, int32_t * first, int32_t * end)
{
  float a = ci_mul (lo < hi ? lo : hi, (float) n) - 1.0f;
  float b = ci_mul (lo < hi ? hi : lo, (float) n) + 1.0f;

  a = a > 0.0f ? a : 0.0f;
  b = b < (float) n ? b : (float) n;
  *first = (int) ceilf (a < (float) n ? a : (float) n);
  *end = ci_max ((int) ceilf (b > 0.0f ? b : 0.0f), *first);
}

/* The part of the map that is no zero; its offset is not set. */
CI_HD CiDeviceGrid
ci_assemble_part (const CiAssembleMasksArgs * a, int detection)
{
  const float *box = a->detections.boxes + 4 * (int64_t) detection;
  int32_t end;
  CiDeviceGrid g;

  ci_assemble_cells (box[0] / a->width, box[2] / a->width, a->prototypes.w,
      &g.x, &end);
  g.width = end - g.x;
  ci_assemble_cells (box[1] / a->height, box[3] / a->height, a->prototypes.h,
      &g.y, &end);
  g.height = end - g.y;
  g.offset = g.end = 0;
  return g;
}

CI_HD CiDeviceGrid
ci_assemble_grid (const CiAssembleMasksArgs * a, CiDeviceGrid part)
{
  if (a->full_map) {
    part.x = part.y = 0;
    part.width = a->prototypes.w;
    part.height = a->prototypes.h;
  }
  return part;
}

CI_HD float
ci_assemble_cell (const CiAssembleMasksArgs * a, const float *weights, int y,
    int x)
{
  const CiView *v = &a->prototypes;
  int64_t at = ci_view_at (v, 0, y, x);
  float sum = 0.0f;

  for (int c = 0; c < v->c; c += CI_OCTET) {
    float in[CI_OCTET];

    ci_load8 (v, at + c, in);
    CI_UNROLL for (int k = 0; k < CI_OCTET; k++)
      if (c + k < v->c)
        sum += in[k] * weights[c + k];
  }
  return ci_sigmoid (sum);
}

/* Block: some cells of a detection. */
CI_HD int
ci_assemble_masks_block (const CiAssembleMasksArgs * a, void *shared, int bx,
    int by, int bz, int thread, int phase)
{
  CiAssembleShared *s = (CiAssembleShared *) shared;
  CiDeviceGrid part, grid;

  (void) bz;
  if (bx >= *a->detections.count)
    return 0;
  if (phase == 0) {
    int n = a->prototypes.c;

    for (int i = thread; i < n; i += CI_ASSEMBLE_THREADS)
      s->weights[i] = a->rows[(int64_t) bx * n + i];
    if (thread == 0)
      s->before = 0;
    return 1;
  }
  if (phase == 1) {
    uint32_t n = 0;

    for (int k = thread; k < bx; k += CI_ASSEMBLE_THREADS) {
      grid = ci_assemble_grid (a, ci_assemble_part (a, k));
      n += (uint32_t) (ci_grid_bytes (grid.width, grid.height) / 16);
    }
    if (n)
      ci_atomic_add (&s->before, n);
    return 1;
  }
  part = ci_assemble_part (a, bx);
  grid = ci_assemble_grid (a, part);
  grid.offset = (int64_t) s->before * 16;
  grid.end = grid.offset + ci_grid_bytes (grid.width, grid.height);
  if (by == 0 && thread == 0)
    a->out.grids[bx] = grid;
  for (int i = by * CI_ASSEMBLE_THREADS + thread;
      i < grid.width * grid.height;
      i += CI_ASSEMBLE_BLOCKS * CI_ASSEMBLE_THREADS) {
    int y = grid.y + i / grid.width, x = grid.x + i % grid.width;
    int inside = y >= part.y && y < part.y + part.height && x >= part.x
        && x < part.x + part.width;
    float p = inside ? ci_assemble_cell (a, s->weights, y, x) : 0.0f;

    a->out.cells[grid.offset + i] = ci_quantise (p);
    if (a->out.prob)
      a->out.prob[grid.offset + i] = p;
  }
  return 0;
}

/* ---- scores of masks ---------------------------------------------------- */

/* Whole maps as items: of one channel. */
typedef struct
{
  CiAssembleMasksArgs masks;    /* without its results */
  CiView dst;
} CiAssembleItemsArgs;

/* Element: a cell of a detection's map. */
CI_HD void
ci_assemble_items_element (const CiAssembleItemsArgs * a, int64_t i)
{
  const CiView *v = &a->masks.prototypes;
  int64_t area = (int64_t) v->h * v->w;
  int n = (int) (i / area), cell = (int) (i - n * area), y = cell / v->w;
  int x = cell - y * v->w;
  float out[CI_OCTET] = { 0.0f };
  CiDeviceGrid part;

  if (n >= *a->masks.detections.count)
    return;
  part = ci_assemble_part (&a->masks, n);
  if (y >= part.y && y < part.y + part.height && x >= part.x
      && x < part.x + part.width)
    out[0] = ci_assemble_cell (&a->masks, a->masks.rows
        + (int64_t) n * v->c, y, x);
  ci_store8 (&a->dst, ci_view_at (&a->dst, n, y, x), out);
}

typedef struct
{
  CiDeviceDetections detections;
  CiView quality;
  float *rows;                  /* the same as detections.mask_scores */
} CiRescoreArgs;

/* Element: a detection. */
CI_HD void
ci_rescore_element (const CiRescoreArgs * a, int64_t i)
{
  const CiView *v = &a->quality;
  int c = v->c == 1 ? 0 : a->detections.classes[i];

  if (i < *a->detections.count)
    a->rows[i] = a->detections.mask_scores[i] = a->detections.scores[i]
        * ci_load (v, ci_view_at (v, (int) i, 0, 0) + c);
}

#define CI_MULTIBOX_KERNELS(ELEMENT, BLOCK) \
  ELEMENT (multibox_candidates, CiMultiboxArgs) \
  BLOCK (multibox_class, CiMultiboxArgs, CI_SELECT_THREADS, \
      sizeof (CiMultiboxClassShared)) \
  BLOCK (multibox_merge, CiMultiboxArgs, CI_SELECT_THREADS, \
      sizeof (CiMultiboxShared)) \
  ELEMENT (gather, CiGatherArgs) \
  BLOCK (assemble_masks, CiAssembleMasksArgs, CI_ASSEMBLE_THREADS, \
      sizeof (CiAssembleShared)) \
  ELEMENT (assemble_items, CiAssembleItemsArgs) \
  ELEMENT (rescore, CiRescoreArgs)

#endif /* CI_KERNEL_MULTIBOX_H */
