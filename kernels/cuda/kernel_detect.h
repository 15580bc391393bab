/*
 * kernel_detect.h: what a thread computes of FCOS' candidates, top-k, NMS
 * (SEMANTICS 5 and 6) and of what is evaluated at detections only.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_KERNEL_DETECT_H
#define CI_KERNEL_DETECT_H

#include "hostdev.h"

/* What a frame brings: uploaded before anything else runs, read by kernels. */
#define CI_MAX_CLASSES 4096

typedef struct
{
  /* of CiDetectParams */
  float inference_threshold;
  int32_t pre_nms_top_k, post_nms_top_k;
  int32_t has_classes;
  double nms_threshold, cross_class_threshold;
  int32_t nms;                  /* a CiNms */
  float score_threshold;
  int32_t frame_width, frame_height;    /* in the input */
  uint8_t classes[CI_MAX_CLASSES];      /* wanted ones, if has_classes */

  /* the frame's planes, on the device, and where results go (pinned memory of
   * the host) */
  const uint8_t *planes[3];
  int32_t strides[3];
  void *results;
} CiFrameSettings;

/* A list of detections on the device: arrays of capacity entries. */
typedef struct
{
  int32_t capacity;
  int32_t *count;
  float *boxes, *scores, *locations;
  int32_t *classes, *levels, *cells;
  float *mask_scores;           /* or NULL */
} CiDeviceDetections;

/* ---- helpers ----------------------------------------------------------- */

/* A product that is rounded, never part of a fused multiplication and addition:
 * boxes and decisions are to be those of the CPU. */
CI_HD float
ci_mul (float a, float b)
{
#ifdef __CUDA_ARCH__
  return __fmul_rn (a, b);
#else
  return a * b;
#endif
}

/* Adds @n to a number that other threads add to, and what it was before. */
CI_HD uint32_t
ci_atomic_add (uint32_t * number, uint32_t n)
{
#ifdef __CUDA_ARCH__
  return atomicAdd (number, n);
#else
  uint32_t before = *number;

  *number += n;
  return before;
#endif
}

CI_HD void
ci_atomic_or (uint32_t * word, uint32_t bits)
{
#ifdef __CUDA_ARCH__
  atomicOr (word, bits);
#else
  *word |= bits;
#endif
}

CI_HD void
ci_atomic_and (uint32_t * word, uint32_t bits)
{
#ifdef __CUDA_ARCH__
  atomicAnd (word, bits);
#else
  *word &= bits;
#endif
}

/* Number of the lowest bit of @word, which is not 0. */
CI_HD int
ci_lowest_bit (uint32_t word)
{
#ifdef __CUDA_ARCH__
  return __ffs (word) - 1;
#else
  return __builtin_ctz (word);
#endif
}

CI_HD int
ci_count_bits (uint32_t word)
{
#ifdef __CUDA_ARCH__
  return __popc (word);
#else
  return __builtin_popcount (word);
#endif
}

CI_HD int
ci_is_finite (float f)
{
  return (ci_float_to_bits (f) & 0x7f800000) != 0x7f800000;
}

/* As the CPU has it, rounded once. */
CI_HD float
ci_exact_sigmoid (float x)
{
  return (float) (1.0 / (1.0 + exp (-(double) x)));
}

/* ---- candidates -------------------------------------------------------- */

#define CI_MAX_LEVELS 8
/* More candidates than this per level are never looked at. */
#define CI_MAX_PRE_NMS 5000

/* A candidate is a key: the bits of its value above the inverse of its index,
 * which counts levels, cells and classes. A greater key comes first. */
typedef uint64_t CiKey;

typedef struct
{
  float x0, y0, x1, y1;
} __attribute__ ((aligned (16))) CiBox;

typedef struct
{
  CiView logits, reg, ctr;
  int32_t stride;
  uint32_t first_octet;         /* of all levels' octets of logits */
  uint32_t first_cell;
} CiDetectLevel;

typedef struct
{
  int32_t n_levels, n_classes, thresh_with_ctr;
  CiDetectLevel level[CI_MAX_LEVELS];
  const CiFrameSettings *settings;
  uint32_t *n_found;            /* per level; 0 between frames */
  CiKey *found;                 /* room for each class of each cell */
  uint32_t *n_top;              /* per level */
  CiKey *top;                   /* CI_MAX_PRE_NMS per level, descending */
  /* of all levels, descending: key, box and class */
  CiKey *keys;
  CiBox *boxes;
  int32_t *classes;
  /* A box head's: the cells of the one level are numbers of proposals. Else
   * without a count. */
  CiDeviceDetections proposals;
  CiDeviceDetections out;
} CiDetectArgs;

CI_HD CiBox
ci_candidate_box (const CiDetectLevel * l, int y, int x)
{
  float ltrb[CI_OCTET];
  float s = (float) l->stride;
  float px = (float) (x * l->stride + l->stride / 2);
  float py = (float) (y * l->stride + l->stride / 2);
  CiBox box;

  ci_load8 (&l->reg, ci_view_at (&l->reg, 0, y, x), ltrb);
  box.x0 = px - ci_mul (s, ltrb[0]);
  box.y0 = py - ci_mul (s, ltrb[1]);
  box.x1 = px + ci_mul (s, ltrb[2]);
  box.y1 = py + ci_mul (s, ltrb[3]);
  return box;
}

CI_HD CiKey
ci_candidate_key (float value, uint32_t index)
{
  return (CiKey) ci_float_to_bits (value) << 32 | (uint32_t) ~index;
}

typedef struct
{
  float value;
  int cls, level, cell;
} CiKeyParts;

CI_HD CiKeyParts
ci_key_parts (const CiDetectArgs * a, CiKey key)
{
  uint32_t index = ~(uint32_t) key, cell = index / (uint32_t) a->n_classes;
  CiKeyParts p;

  p.value = ci_bits_to_float ((uint32_t) (key >> 32));
  p.cls = (int) (index - cell * (uint32_t) a->n_classes);
  p.level = a->n_levels - 1;
  while (cell < a->level[p.level].first_cell)
    p.level--;
  p.cell = (int) (cell - a->level[p.level].first_cell);
  return p;
}

/* Element: an octet of classes of a cell of a level. Few cells have anything;
 * rough numbers find them, with room for rounding, exact ones decide. */
CI_HD void
ci_candidates_element (const CiDetectArgs * a, int64_t i)
{
  const CiFrameSettings *settings = a->settings;
  float threshold = settings->inference_threshold, quality = 1.0f;
  /* the error of rough numbers is a few times 2^-23 of them, or they are 0 */
  float rough = threshold - fabsf (threshold) * 1e-5f - 1e-30f;
  float logits[CI_OCTET], highest = -INFINITY;
  const CiDetectLevel *l;
  CiKey keys[CI_OCTET], *to;    /* 0: none */
  uint32_t octets, at, cell, octet, n = 0;
  int level = a->n_levels - 1, lanes, y, x;
  CiBox box;

  while ((uint32_t) i < a->level[level].first_octet)
    level--;
  l = &a->level[level];
  octets = (uint32_t) l->logits.cp / CI_OCTET;
  at = (uint32_t) i - l->first_octet;
  cell = at / octets;
  octet = at - cell * octets;
  y = (int) (cell / (uint32_t) l->logits.w);
  x = (int) (cell - (uint32_t) (y * l->logits.w));
  lanes = ci_min (CI_OCTET, l->logits.c - (int) octet * CI_OCTET);

  ci_load8 (&l->logits, ci_view_at (&l->logits, 0, y, x)
      + (int64_t) octet * CI_OCTET, logits);
  for (int k = 0; k < CI_OCTET; k++)
    if (k < lanes && logits[k] > highest)
      highest = logits[k];
  if (a->thresh_with_ctr)
    quality = ci_sigmoid (ci_load (&l->ctr, ci_view_at (&l->ctr, 0, y, x)));
  if (!(ci_sigmoid (highest) * quality > rough))
    return;

  quality = ci_exact_sigmoid (ci_load (&l->ctr, ci_view_at (&l->ctr, 0, y,
              x)));
  CI_UNROLL for (int k = 0; k < CI_OCTET; k++) {
    int cls = (int) octet * CI_OCTET + k;
    float p, value;

    keys[k] = 0;
    if (k >= lanes || (settings->has_classes && !settings->classes[cls]))
      continue;
    p = ci_exact_sigmoid (logits[k]);
    value = p * quality;
    /* broken weights give what is no number */
    if (!((a->thresh_with_ctr ? value : p) > threshold) || !(value >= 0))
      continue;
    keys[k] = ci_candidate_key (value, (l->first_cell + cell)
        * (uint32_t) a->n_classes + (uint32_t) cls);
    n++;
  }
  box = ci_candidate_box (l, y, x);
  if (n == 0 || !ci_is_finite (box.x0 + box.y0 + box.x1 + box.y1))
    return;
  to = a->found + (size_t) l->first_cell * (size_t) a->n_classes
      + ci_atomic_add (&a->n_found[level], n);
  CI_UNROLL for (int k = 0; k < CI_OCTET; k++)
      if (keys[k])
        *to++ = keys[k];
}

/* ---- the best of each level -------------------------------------------- */

#define CI_SELECT_THREADS 1024

/* What is known of the least wanted key after some bytes. */
typedef struct
{
  CiKey prefix;
  uint32_t wanted;              /* of the keys that begin so */
  uint32_t done;                /* all of them are wanted */
} CiPivot;

/* Of a search for the @n greatest of @n_found keys. */
typedef struct
{
  uint32_t n_found, n;
  uint32_t n_gathered;
  CiPivot pivot[2];             /* by turns */
  uint32_t histogram[2][256];   /* by turns */
} CiSelect;

typedef struct
{
  CiSelect select;
  CiKey keys[CI_MAX_PRE_NMS];
} CiSelectShared;

/* What all threads do before the search. */
CI_HD void
ci_select_start (CiSelect * s, uint32_t n_found, uint32_t n, int thread)
{
  if (thread < 256)
    s->histogram[0][thread] = 0;
  if (thread == 0) {
    s->n_found = n_found;
    s->n = n_found < n ? n_found : n;
    s->n_gathered = 0;
    s->pivot[0].prefix = 0;
    s->pivot[0].wanted = s->n;
    s->pivot[0].done = 0;
  }
}

/* Radix select: phases of two by two, for each byte from the top one on. */
CI_HD void
ci_select_pivot (CiSelect * s, const CiKey * found, int thread, int byte,
    int count)
{
  const CiPivot *pivot = &s->pivot[byte & 1];
  uint32_t *histogram = s->histogram[byte & 1];
  int shift = 56 - 8 * byte;

  if (count && !pivot->done) {
    uint32_t n = 0, bin = 0;

    /* neighbours often share a byte: one addition for a row of equal ones */
    for (uint32_t i = (uint32_t) thread; i < s->n_found;
        i += CI_SELECT_THREADS) {
      CiKey key = found[i];
      uint32_t b = (uint32_t) (key >> shift) & 255;

      if ((key ^ pivot->prefix) >> shift >> 8)
        continue;
      if (b != bin && n) {
        ci_atomic_add (&histogram[bin], n);
        n = 0;
      }
      bin = b;
      n++;
    }
    if (n)
      ci_atomic_add (&histogram[bin], n);
  } else if (!count && pivot->done) {
    if (thread == 0)
      s->pivot[~byte & 1] = *pivot;
  } else if (!count && thread < 256) {
    uint32_t above = 0;

    for (int b = thread + 1; b < 256; b++)
      above += histogram[b];
    if (above < pivot->wanted && pivot->wanted <= above + histogram[thread]) {
      CiPivot *next = &s->pivot[~byte & 1];

      next->prefix = pivot->prefix | (CiKey) thread << shift;
      next->wanted = pivot->wanted - above;
      next->done = next->wanted == histogram[thread];
    }
    s->histogram[~byte & 1][thread] = 0;
  }
}

/* Step @step of a bitonic sort of @n keys, greater ones first. All comparators
 * point the same way, so @n need not be a power of two. FALSE: it is sorted. */
CI_HD int
ci_sort_step (CiKey * keys, int n, int step, int thread, int n_threads)
{
  int level = 0, stride;        /* merging pairs of 2^level keys */

  while (step > level)
    step -= ++level;
  if (1 << level >= n)
    return 0;
  stride = 1 << (level - step);
  for (int i = thread;; i += n_threads) {
    int low = (i & (stride - 1)) | (i & ~(stride - 1)) << 1;
    int high = step == 0 ? low ^ (2 * stride - 1) : low + stride;
    CiKey a, b;

    if (low >= n)
      return 1;
    if (high >= n)
      continue;
    a = keys[low];
    b = keys[high];
    if (a < b) {
      keys[low] = b;
      keys[high] = a;
    }
  }
}

/* Phases from 1 on: gathers the @s->n greatest of @found in @keys, and sorts
 * them, greater ones first; 0: so it is. */
CI_HD int
ci_select_phase (CiSelect * s, CiKey * keys, const CiKey * found, int thread,
    int phase)
{
  int gather = s->n_found > s->n ? 17 : 1;

  if (phase < gather) {
    ci_select_pivot (s, found, thread, (phase - 1) / 2, phase & 1);
  } else if (phase == gather) {
    /* in any order; keys differ, so there are as many as wanted */
    for (uint32_t i = (uint32_t) thread; i < s->n_found; i += CI_SELECT_THREADS)
      if (found[i] >= s->pivot[0].prefix)
        keys[ci_atomic_add (&s->n_gathered, 1)] = found[i];
  } else {
    return ci_sort_step (keys, (int) s->n, phase - gather - 1, thread,
        CI_SELECT_THREADS);
  }
  return 1;
}

/* Block: a level. */
CI_HD int
ci_select_block (const CiDetectArgs * a, void *shared, int bx, int by, int bz,
    int thread, int phase)
{
  CiSelectShared *s = (CiSelectShared *) shared;
  const CiKey *found = a->found + (size_t) a->level[bx].first_cell
      * (size_t) a->n_classes;
  int top_k = a->proposals.count ? CI_MAX_PRE_NMS
      : ci_clamp (a->settings->pre_nms_top_k, 1, CI_MAX_PRE_NMS);

  (void) by;
  (void) bz;
  if (phase == 0) {
    ci_select_start (&s->select, a->n_found[bx], (uint32_t) top_k, thread);
    return 1;
  }
  if (phase == 1 && thread == 0) {
    a->n_found[bx] = 0;
    a->n_top[bx] = s->select.n;
  }
  if (ci_select_phase (&s->select, s->keys, found, thread, phase))
    return 1;
  for (uint32_t i = (uint32_t) thread; i < s->select.n; i += CI_SELECT_THREADS)
    a->top[bx * CI_MAX_PRE_NMS + i] = s->keys[i];
  return 0;
}

/* ---- all levels in one order ------------------------------------------- */

/* How many of @n descending keys come before @key. */
CI_HD uint32_t
ci_count_before (const CiKey * keys, uint32_t n, CiKey key)
{
  uint32_t lo = 0;

  while (lo < n) {
    uint32_t middle = (lo + n) / 2;

    if (keys[middle] > key)
      lo = middle + 1;
    else
      n = middle;
  }
  return lo;
}

/* Element: place of a level's list. */
CI_HD void
ci_merge_element (const CiDetectArgs * a, int64_t i)
{
  uint32_t level = (uint32_t) i / CI_MAX_PRE_NMS, rank;
  const CiDetectLevel *l;
  CiKeyParts p;
  CiKey key;

  rank = (uint32_t) i - level * CI_MAX_PRE_NMS;
  if (rank >= a->n_top[level])
    return;
  key = a->top[i];
  for (uint32_t k = 0; k < (uint32_t) a->n_levels; k++)
    if (k != level)
      rank += ci_count_before (a->top + k * CI_MAX_PRE_NMS, a->n_top[k], key);
  p = ci_key_parts (a, key);
  l = &a->level[p.level];
  a->keys[rank] = key;
  a->boxes[rank] = ci_candidate_box (l, p.cell / l->logits.w,
      p.cell % l->logits.w);
  a->classes[rank] = p.cls;
}

/* ---- NMS ---------------------------------------------------------------- */

/* Candidates at once, and threads. */
#define CI_NMS_CHUNK 512

enum
{
  CI_NMS_LOAD,                  /* a chunk, and hold it against what is kept */
  CI_NMS_KEEP,                  /* candidate current, and drop what it covers */
  CI_NMS_END,
};

typedef struct
{
  int32_t total, limit;
  int32_t stage, kept;
  int32_t first;                /* of the chunk; in it: */
  uint32_t current, next;       /* kept now, looked at next */
  uint32_t alive[CI_NMS_CHUNK / 32];    /* bits */
  CiBox box[CI_NMS_CHUNK];
  int32_t cls[CI_NMS_CHUNK];
} CiNmsShared;

CI_HD int
ci_boxes_overlap (const CiBox * a, const CiBox * b, double threshold)
{
  float w = (a->x1 < b->x1 ? a->x1 : b->x1) - (a->x0 > b->x0 ? a->x0 : b->x0);
  float h = (a->y1 < b->y1 ? a->y1 : b->y1) - (a->y0 > b->y0 ? a->y0 : b->y0);
  float inter;

  if (w <= 0 || h <= 0)
    return 0;
  inter = ci_mul (w, h);
  return inter / (ci_mul (a->x1 - a->x0, a->y1 - a->y0)
      + ci_mul (b->x1 - b->x0, b->y1 - b->y0) - inter) > threshold;
}

CI_HD int
ci_nms_drops (const CiFrameSettings * settings, const CiBox * kept,
    int kept_class, const CiBox * box, int cls)
{
  if (kept_class == cls)
    return ci_boxes_overlap (kept, box, settings->nms_threshold);
  return settings->cross_class_threshold > 0
      && ci_boxes_overlap (kept, box, settings->cross_class_threshold);
}

/* What comes next; by one thread, between two phases of all. */
CI_HD void
ci_nms_control (const CiDetectArgs * a, CiNmsShared * s, int phase)
{
  uint32_t word;
  int load = phase == 0;

  if (phase == 0) {
    s->total = s->kept = s->first = s->current = 0;
    for (int l = 0; l < a->n_levels; l++)
      s->total += (int32_t) a->n_top[l];
    s->limit = ci_min (a->settings->post_nms_top_k, a->out.capacity);
  } else if (s->kept < s->limit) {
    for (word = s->next / 32; word < CI_NMS_CHUNK / 32; word++) {
      uint32_t bits = s->alive[word];

      if (word == s->next / 32)
        bits &= ~0u << s->next % 32;
      if (bits) {
        s->stage = CI_NMS_KEEP;
        s->current = 32 * word + (uint32_t) ci_lowest_bit (bits);
        s->next = s->current + 1;
        s->kept++;
        return;
      }
    }
    s->first += CI_NMS_CHUNK;
    load = 1;
  }
  s->stage = load && s->first < s->total && s->limit > 0 ? CI_NMS_LOAD
      : CI_NMS_END;
  s->next = 0;
  for (word = 0; word < CI_NMS_CHUNK / 32; word++)
    s->alive[word] = 0;
  if (s->stage == CI_NMS_END)
    *a->out.count = s->kept;
}

CI_HD void
ci_nms_emit (const CiDetectArgs * a, CiKey key, const CiBox * box, int index)
{
  CiKeyParts p = ci_key_parts (a, key);
  const CiDetectLevel *l = &a->level[p.level];
  int y, x;

  ((CiBox *) a->out.boxes)[index] = *box;
  a->out.classes[index] = p.cls;
  a->out.cells[index] = p.cell;
  if (a->proposals.count) {
    a->out.scores[index] = p.value;
    a->out.levels[index] = a->proposals.levels[p.cell];
    a->out.locations[2 * index] = a->proposals.locations[2 * p.cell];
    a->out.locations[2 * index + 1] = a->proposals.locations[2 * p.cell + 1];
    return;
  }
  y = p.cell / l->logits.w;
  x = p.cell - y * l->logits.w;
  a->out.scores[index] = sqrtf (p.value);
  a->out.levels[index] = p.level;
  a->out.locations[2 * index] = (float) (x * l->stride + l->stride / 2);
  a->out.locations[2 * index + 1] = (float) (y * l->stride + l->stride / 2);
}

/* One block; a thread has a candidate of each chunk. Even phases decide, odd
 * ones do. */
CI_HD int
ci_nms_block (const CiDetectArgs * a, void *shared, int bx, int by, int bz,
    int thread, int phase)
{
  CiNmsShared *s = (CiNmsShared *) shared;
  int i, keep = 1;

  (void) bx;
  (void) by;
  (void) bz;
  if (phase % 2 == 0) {
    if (thread == 0)
      ci_nms_control (a, s, phase);
    return 1;
  }
  if (s->stage == CI_NMS_END)
    return 0;

  i = s->first + thread;
  if (i >= s->total)
    return 1;
  if (s->stage == CI_NMS_LOAD) {
    CiBox box = a->boxes[i];
    int cls = a->classes[i];

    s->box[thread] = box;
    s->cls[thread] = cls;
    for (int k = 0; k < s->kept && keep; k++)
      keep = !ci_nms_drops (a->settings, (const CiBox *) a->out.boxes + k,
          a->out.classes[k], &box, cls);
    if (keep)
      ci_atomic_or (&s->alive[thread / 32], 1u << thread % 32);
  } else if ((uint32_t) thread == s->current) {
    ci_nms_emit (a, a->keys[i], &s->box[thread], s->kept - 1);
  } else if ((uint32_t) thread > s->current
      && ci_nms_drops (a->settings, &s->box[s->current], s->cls[s->current],
          &s->box[thread], s->cls[thread])) {
    ci_atomic_and (&s->alive[thread / 32], ~(1u << thread % 32));
  }
  return 1;
}

/* ---- convolution at detections ------------------------------------------ */

/* A block makes an octet of outputs of some detections; its threads share the
 * sum, a thread takes each CI_AT_THREADSth octet of the patch. */
#define CI_AT_DETECTIONS 4
#define CI_AT_THREADS 96

typedef struct
{
  int32_t n_levels;
  CiView level[CI_MAX_LEVELS];
  CiDeviceDetections detections;
  int32_t kernel, channels;     /* of the rows */
  const float *bias;            /* in whole octets */
  /* [octet of outputs][8 of an input octet][tap, input octet][8 outputs]; a
   * view for its type alone */
  CiView weight;
  float *rows;
} CiConvAtArgs;

typedef struct
{
  int32_t level[CI_AT_DETECTIONS];      /* -1: there is no such detection */
  int32_t y[CI_AT_DETECTIONS], x[CI_AT_DETECTIONS];
  float sum[CI_AT_DETECTIONS * CI_OCTET][CI_AT_THREADS + 1];
} CiConvAtShared;

/* @half is that of the views, as a constant, and all loads happen, wanted or
 * not: then none waits for another. */
CI_HD void
ci_conv_at_partial (const CiConvAtArgs * a, const int half,
    CiConvAtShared * s, int by, int thread)
{
  int octets = a->level[0].cp / CI_OCTET, k = a->kernel, n = k * k * octets;
  float sum[CI_AT_DETECTIONS][CI_OCTET];
  CiView weight = a->weight;

  weight.half = half;

  CI_UNROLL for (int d = 0; d < CI_AT_DETECTIONS; d++)
      CI_UNROLL for (int o = 0; o < CI_OCTET; o++)
          sum[d][o] = 0.0f;
  for (int i = thread; i < n; i += CI_AT_THREADS) {
    int tap = i / octets, octet = i - tap * octets;
    int ky = tap / k - k / 2, kx = tap % k - k / 2;
    float in[CI_AT_DETECTIONS][CI_OCTET];

    CI_UNROLL for (int d = 0; d < CI_AT_DETECTIONS; d++) {
      CiView src = a->level[ci_max (s->level[d], 0)];
      int y = s->y[d] + ky, x = s->x[d] + kx;
      int inside = s->level[d] >= 0 && y >= 0 && y < src.h && x >= 0
          && x < src.w;

      src.half = half;
      ci_load8 (&src, ci_view_at (&src, 0, inside ? y : 0, inside ? x : 0)
          + octet * CI_OCTET, in[d]);
      CI_UNROLL for (int c = 0; c < CI_OCTET; c++)
          in[d][c] = inside ? in[d][c] : 0.0f;
    }
    CI_UNROLL for (int c = 0; c < CI_OCTET; c++) {
      float w[CI_OCTET];

      ci_load8 (&weight, (((int64_t) by * CI_OCTET + c) * n + i)
          * CI_OCTET, w);
      CI_UNROLL for (int d = 0; d < CI_AT_DETECTIONS; d++)
          CI_UNROLL for (int o = 0; o < CI_OCTET; o++)
              sum[d][o] += w[o] * in[d][c];
    }
  }
  CI_UNROLL for (int d = 0; d < CI_AT_DETECTIONS; d++)
      CI_UNROLL for (int o = 0; o < CI_OCTET; o++)
          s->sum[d * CI_OCTET + o][thread] = sum[d][o];
}

/* Block: some detections, an octet of outputs. */
CI_HD int
ci_conv_at_block (const CiConvAtArgs * a, void *shared, int bx, int by, int bz,
    int thread, int phase)
{
  CiConvAtShared *s = (CiConvAtShared *) shared;
  int first = bx * CI_AT_DETECTIONS, count = *a->detections.count;

  (void) bz;
  if (first >= count)
    return 0;
  if (phase == 0) {
    if (thread < CI_AT_DETECTIONS) {
      int n = first + thread;
      int level = n < count ? a->detections.levels[n] : -1;
      int cell = n < count ? a->detections.cells[n] : 0;

      s->level[thread] = level;
      s->y[thread] = cell / a->level[ci_max (level, 0)].w;
      s->x[thread] = cell % a->level[ci_max (level, 0)].w;
    }
  } else if (phase == 1) {
    if (a->weight.half)
      ci_conv_at_partial (a, 1, s, by, thread);
    else
      ci_conv_at_partial (a, 0, s, by, thread);
  } else {
    int n = first + thread / CI_OCTET, o = by * CI_OCTET + thread % CI_OCTET;

    if (thread < CI_AT_DETECTIONS * CI_OCTET && n < count && o < a->channels) {
      const float *part = s->sum[thread];
      float sum[4] = { 0, 0, 0, 0 };

      for (int i = 0; i < CI_AT_THREADS; i += 4)
        CI_UNROLL for (int k = 0; k < 4; k++)
            sum[k] += part[i + k];
      a->rows[(int64_t) n * a->channels + o] = a->bias[o]
          + ((sum[0] + sum[1]) + (sum[2] + sum[3]));
    }
    return 0;
  }
  return 1;
}

#define CI_DETECT_KERNELS(ELEMENT, BLOCK) \
  ELEMENT (candidates, CiDetectArgs) \
  BLOCK (select, CiDetectArgs, CI_SELECT_THREADS, sizeof (CiSelectShared)) \
  ELEMENT (merge, CiDetectArgs) \
  BLOCK (nms, CiDetectArgs, CI_NMS_CHUNK, sizeof (CiNmsShared)) \
  BLOCK (conv_at, CiConvAtArgs, CI_AT_THREADS, sizeof (CiConvAtShared))

#endif /* CI_KERNEL_DETECT_H */
