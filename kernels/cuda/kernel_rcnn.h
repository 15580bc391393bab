/*
 * kernel_rcnn.h: what a thread computes of two-stage detectors: region
 * proposals, the candidates of a box head, masks of a class
 * (SEMANTICS-maskrcnn). A box head's candidates go on as those of FCOS.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_KERNEL_RCNN_H
#define CI_KERNEL_RCNN_H

#include "kernel_detect.h"
#include "kernel_mask.h"

/* ---- boxes ------------------------------------------------------------- */

/* Moves @box by @deltas, each divided by its weight, and clips it to the frame;
 * detectron2's arithmetic. Whether it is a box then. */
CI_HD int
ci_move_box (CiBox * box, const float deltas[4], const float weights[4],
    const CiFrameSettings * settings, float min_size, int inclusive)
{
  const float limit = 4.135166556742356f;       /* log (1000 / 16) */
  float right = (float) settings->frame_width;
  float bottom = (float) settings->frame_height;
  float w = box->x1 - box->x0, h = box->y1 - box->y0;
  float x = box->x0 + ci_mul (0.5f, w), y = box->y0 + ci_mul (0.5f, h);
  float dw = deltas[2] / weights[2], dh = deltas[3] / weights[3];

  x += ci_mul (deltas[0] / weights[0], w);
  y += ci_mul (deltas[1] / weights[1], h);
  w *= expf (dw > limit ? limit : dw);
  h *= expf (dh > limit ? limit : dh);
  /* only broken weights make such boxes */
  if (!ci_is_finite (x + y + w + h))
    return 0;
  w = ci_mul (0.5f, w);
  h = ci_mul (0.5f, h);
  box->x0 = fminf (fmaxf (x - w, 0.0f), right);
  box->y0 = fminf (fmaxf (y - h, 0.0f), bottom);
  box->x1 = fminf (fmaxf (x + w, 0.0f), right);
  box->y1 = fminf (fmaxf (y + h, 0.0f), bottom);
  w = box->x1 - box->x0;
  h = box->y1 - box->y0;
  return inclusive ? w >= min_size && h >= min_size
      : w > min_size && h > min_size;
}

/* ---- region proposals -------------------------------------------------- */

/* Anchors of a cell; words of as many bits as a level has boxes at most. */
#define CI_MAX_ANCHORS 8
#define CI_RPN_WORDS ((CI_MAX_PRE_NMS + 31) / 32)

typedef struct
{
  CiView logits, deltas;
  float half[CI_MAX_ANCHORS][2];        /* of anchors: width and height */
  int32_t step_x, step_y;
  uint32_t first;               /* of all levels' anchors */
} CiRpnMaps;

/* A key is the order of a logit above the inverse of the anchor's number. */
typedef struct
{
  int32_t n_levels, n_anchors;  /* of a cell */
  uint32_t n_all;               /* anchors of all levels */
  CiRpnMaps level[CI_MAX_LEVELS];
  const CiFrameSettings *settings;
  int32_t top_n;                /* of each level; words: in whole words */
  int32_t words;
  double nms_threshold;
  float min_size;
  int32_t inclusive;
  CiKey *keys;                  /* of all anchors */
  CiKey *top;                   /* top_n per level, descending */
  CiBox *boxes;                 /* theirs; x1 < x0: none */
  uint32_t *overlaps;           /* per box: bits of those behind it */
  uint32_t *n_kept;             /* per level */
  CiKey *kept;                  /* top_n per level, descending, */
  CiBox *kept_boxes;
  CiDeviceDetections out;
} CiRpnArgs;

/* Greater for greater values; 0 for what is no number, or infinitely small. */
CI_HD uint32_t
ci_value_order (float v)
{
  uint32_t bits = ci_float_to_bits (v + 0.0f);

  if (v != v || v == -INFINITY)
    return 0;
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}

CI_HD float
ci_order_value (uint32_t order)
{
  return ci_bits_to_float (order >> 31 ? order & 0x7fffffffu : ~order);
}

/* Anchors that level @l has. */
CI_HD uint32_t
ci_rpn_count (const CiRpnArgs * a, int l)
{
  return (l + 1 < a->n_levels ? a->level[l + 1].first : a->n_all)
      - a->level[l].first;
}

CI_HD int
ci_rpn_n_top (const CiRpnArgs * a, int l)
{
  uint32_t n = ci_rpn_count (a, l);

  return n < (uint32_t) a->top_n ? (int) n : a->top_n;
}

/* Where anchor @number is: level, cell, which of the cell's. */
typedef struct
{
  int level, anchor, y, x;
  uint32_t cell;                /* with its anchors */
} CiAnchor;

CI_HD CiAnchor
ci_find_anchor (const CiRpnArgs * a, uint32_t number)
{
  CiAnchor at;
  int cell;

  at.level = a->n_levels - 1;
  while (number < a->level[at.level].first)
    at.level--;
  at.cell = number - a->level[at.level].first;
  cell = (int) (at.cell / (uint32_t) a->n_anchors);
  at.anchor = (int) at.cell - cell * a->n_anchors;
  at.y = cell / a->level[at.level].logits.w;
  at.x = cell - at.y * a->level[at.level].logits.w;
  return at;
}

/* Element: an anchor. */
CI_HD void
ci_rpn_keys_element (const CiRpnArgs * a, int64_t i)
{
  CiAnchor at = ci_find_anchor (a, (uint32_t) i);
  const CiView *logits = &a->level[at.level].logits;
  float v = ci_load (logits, ci_view_at (logits, 0, at.y, at.x) + at.anchor);

  a->keys[i] = (CiKey) ci_value_order (v) << 32 | (uint32_t) ~(uint32_t) i;
}

/* Block: a level's best keys. */
CI_HD int
ci_rpn_select_block (const CiRpnArgs * a, void *shared, int bx, int by,
    int bz, int thread, int phase)
{
  CiSelectShared *s = (CiSelectShared *) shared;
  const CiKey *found = a->keys + a->level[bx].first;
  CiKey *top = a->top + (size_t) bx * (size_t) a->top_n;

  (void) by;
  (void) bz;
  if (phase == 0) {
    ci_select_start (&s->select, ci_rpn_count (a, bx),
        (uint32_t) ci_rpn_n_top (a, bx), thread);
    return 1;
  }
  if (ci_select_phase (&s->select, s->keys, found, thread, phase))
    return 1;
  for (uint32_t i = (uint32_t) thread; i < s->select.n; i += CI_SELECT_THREADS)
    top[i] = s->keys[i];
  return 0;
}

/* Element: place of a level's list. */
CI_HD void
ci_rpn_boxes_element (const CiRpnArgs * a, int64_t i)
{
  const float weights[4] = { 1.0f, 1.0f, 1.0f, 1.0f };
  int l = (int) (i / a->top_n), rank = (int) (i - (int64_t) l * a->top_n);
  const CiRpnMaps *level = &a->level[l];
  float deltas[4], x, y;
  CiAnchor at;
  CiBox box;
  CiKey key;

  if (rank >= ci_rpn_n_top (a, l))
    return;
  key = a->top[i];
  at = ci_find_anchor (a, ~(uint32_t) key);
  for (int k = 0; k < 4; k++)
    deltas[k] = ci_load (&level->deltas, ci_view_at (&level->deltas, 0, at.y,
            at.x) + 4 * at.anchor + k);
  x = (float) (at.x * level->step_x);
  y = (float) (at.y * level->step_y);
  box.x0 = x - level->half[at.anchor][0];
  box.y0 = y - level->half[at.anchor][1];
  box.x1 = x + level->half[at.anchor][0];
  box.y1 = y + level->half[at.anchor][1];
  if (!(key >> 32) || !ci_move_box (&box, deltas, weights, a->settings,
          a->min_size, a->inclusive)) {
    box.x0 = box.y0 = 1.0f;
    box.x1 = box.y1 = 0.0f;
  }
  a->boxes[i] = box;
}

/* Element: 32 boxes that come behind one in a level's list. */
CI_HD void
ci_rpn_overlaps_element (const CiRpnArgs * a, int64_t i)
{
  int64_t row = i / a->words;
  int word = (int) (i - row * a->words);
  int l = (int) (row / a->top_n), rank = (int) (row - (int64_t) l * a->top_n);
  int n = ci_rpn_n_top (a, l), first = 32 * word;
  const CiBox *boxes = a->boxes + (int64_t) l * a->top_n;
  uint32_t bits = 0;
  CiBox box;

  if (rank >= n || first + 31 <= rank || first >= n)
    return;
  box = boxes[rank];
  for (int k = 0; k < 32 && first + k < n; k++)
    if (first + k > rank && ci_boxes_overlap (&box, &boxes[first + k],
            a->nms_threshold))
      bits |= 1u << k;
  a->overlaps[i] = bits;
}

#define CI_RPN_THREADS 256

typedef struct
{
  uint32_t removed[CI_RPN_WORDS], kept[CI_RPN_WORDS];
  uint32_t before[CI_RPN_WORDS];        /* how many are kept in earlier words */
} CiRpnShared;

/* Block: what is kept of a level's list. Even phases decide on the boxes of a
 * word, odd ones remove what these cover. */
CI_HD int
ci_rpn_nms_block (const CiRpnArgs * a, void *shared, int bx, int by, int bz,
    int thread, int phase)
{
  CiRpnShared *s = (CiRpnShared *) shared;
  int n = ci_rpn_n_top (a, bx), words = (n + 31) / 32, word = phase / 2 - 1;
  int64_t list = (int64_t) bx * a->top_n;
  const CiBox *boxes = a->boxes + list;

  (void) by;
  (void) bz;
  if (phase == 0) {
    for (int w = thread; w < words; w += CI_RPN_THREADS) {
      uint32_t removed = 0;

      for (int k = 0; k < 32; k++)
        if (32 * w + k >= n || boxes[32 * w + k].x1 < boxes[32 * w + k].x0)
          removed |= 1u << k;
      s->removed[w] = removed;
    }
  } else if (phase == 1) {
    return 1;
  } else if (word < words && phase % 2 == 0) {
    if (thread == 0) {
      uint32_t kept = ~s->removed[word];

      for (int k = 0; k < 32; k++)
        if (kept >> k & 1)
          kept &= ~a->overlaps[(list + 32 * word + k) * a->words + word];
      s->kept[word] = kept;
      s->before[word] = word == 0 ? 0 : s->before[word - 1]
          + ci_count_bits (s->kept[word - 1]);
    }
  } else if (word < words) {
    for (int w = word + 1 + thread; w < words; w += CI_RPN_THREADS) {
      uint32_t removed = 0;

      for (uint32_t bits = s->kept[word]; bits; bits &= bits - 1)
        removed |= a->overlaps[(list + 32 * word + ci_lowest_bit (bits))
            * a->words + w];
      s->removed[w] |= removed;
    }
  } else {
    for (int i = thread; i < n; i += CI_RPN_THREADS) {
      uint32_t bit = 1u << i % 32, kept = s->kept[i / 32];
      int64_t to = list + s->before[i / 32] + ci_count_bits (kept & (bit - 1));

      if (!(kept & bit))
        continue;
      a->kept[to] = a->top[list + i];
      a->kept_boxes[to] = boxes[i];
    }
    if (thread == 0)
      a->n_kept[bx] = words == 0 ? 0 : s->before[words - 1]
          + ci_count_bits (s->kept[words - 1]);
    return 0;
  }
  return 1;
}

/* Element: place of a level's kept ones, to its place among all. */
CI_HD void
ci_rpn_merge_element (const CiRpnArgs * a, int64_t i)
{
  uint32_t l = (uint32_t) (i / a->top_n), n = 0;
  uint32_t rank = (uint32_t) (i - (int64_t) l * a->top_n);
  CiAnchor at;
  CiKey key;

  if (i == 0) {
    for (int k = 0; k < a->n_levels; k++)
      n += a->n_kept[k];
    *a->out.count = (int32_t) (n < (uint32_t) a->out.capacity ? n
        : (uint32_t) a->out.capacity);
  }
  if (rank >= a->n_kept[l])
    return;
  key = a->kept[i];
  for (uint32_t k = 0; k < (uint32_t) a->n_levels; k++)
    if (k != l)
      rank += ci_count_before (a->kept + (size_t) k * (size_t) a->top_n,
          a->n_kept[k], key);
  if (rank >= (uint32_t) a->out.capacity)
    return;
  at = ci_find_anchor (a, ~(uint32_t) key);
  ((CiBox *) a->out.boxes)[rank] = a->kept_boxes[i];
  a->out.scores[rank] = ci_order_value ((uint32_t) (key >> 32));
  a->out.classes[rank] = 0;
  a->out.levels[rank] = at.level;
  a->out.cells[rank] = (int32_t) at.cell;
  a->out.locations[2 * rank] = (float) (at.x * a->level[l].step_x);
  a->out.locations[2 * rank + 1] = (float) (at.y * a->level[l].step_y);
}

/* ---- the box head ------------------------------------------------------ */

/* What is kept goes through select and nms of CiDetectArgs. */
typedef struct
{
  CiDetectArgs detect;          /* of one level: proposals are its cells */
  CiView logits, deltas;        /* items of one cell */
  int32_t n_boxes;              /* of a proposal: 1, n_classes or one more */
  int32_t first;                /* logit of class 0 */
  float weights[4];
  float min_size;
  int32_t inclusive;
  float *tops, *sums;           /* of the logits of each proposal */
} CiBoxHeadArgs;

/* Element: a proposal. No sum: what it has is not finite. */
CI_HD void
ci_box_softmax_element (const CiBoxHeadArgs * a, int64_t i)
{
  int64_t at = i * a->logits.image;
  float top = -INFINITY, sum = 0.0f;
  int finite = 1;

  if (i >= *a->detect.proposals.count)
    return;
  for (int c = 0; c < a->logits.c; c++) {
    float v = ci_load (&a->logits, at + c);

    finite = finite && ci_is_finite (v);
    top = v > top ? v : top;
  }
  for (int c = 0; c < a->logits.c && finite; c++)
    sum += expf (ci_load (&a->logits, at + c) - top);
  a->tops[i] = top;
  a->sums[i] = finite ? sum : 0.0f;
}

/* The box of class @cls of a proposal; whether it is one. */
CI_HD int
ci_box_of_class (const CiBoxHeadArgs * a, int proposal, int cls, CiBox * box)
{
  int of = a->n_boxes == 1 ? 0 : a->n_boxes == a->detect.n_classes ? cls
      : cls + a->first;
  float deltas[4];

  for (int k = 0; k < 4; k++)
    deltas[k] = ci_load (&a->deltas, proposal * a->deltas.image + 4 * of + k);
  *box = ((const CiBox *) a->detect.proposals.boxes)[proposal];
  return ci_move_box (box, deltas, a->weights, a->detect.settings,
      a->min_size, a->inclusive);
}

/* Element: a class of a proposal. */
CI_HD void
ci_box_candidates_element (const CiBoxHeadArgs * a, int64_t i)
{
  const CiFrameSettings *settings = a->detect.settings;
  int proposal = (int) (i / a->detect.n_classes);
  int cls = (int) (i - (int64_t) proposal * a->detect.n_classes);
  float p;
  CiBox box;

  if (proposal >= *a->detect.proposals.count || !(a->sums[proposal] > 0.0f)
      || (settings->has_classes && !settings->classes[cls]))
    return;
  p = expf (ci_load (&a->logits, proposal * a->logits.image + a->first + cls)
      - a->tops[proposal]) / a->sums[proposal];
  if (!(p > settings->inference_threshold)
      || !ci_box_of_class (a, proposal, cls, &box))
    return;
  a->detect.found[ci_atomic_add (&a->detect.n_found[0], 1)] =
      ci_candidate_key (p, (uint32_t) i);
}

/* Element: place of the list. */
CI_HD void
ci_box_boxes_element (const CiBoxHeadArgs * a, int64_t i)
{
  CiKeyParts p;

  if ((uint32_t) i >= a->detect.n_top[0])
    return;
  p = ci_key_parts (&a->detect, a->detect.top[i]);
  a->detect.keys[i] = a->detect.top[i];
  a->detect.classes[i] = p.cls;
  (void) ci_box_of_class (a, p.cell, p.cls, &a->detect.boxes[i]);
}

/* ---- masks of a class -------------------------------------------------- */

typedef struct
{
  CiView src;                   /* items */
  CiDeviceDetections detections;
  const float *weight;          /* a row of src.cp for each channel */
  const float *bias;
  int32_t n_channels, first;    /* channel of class 0; of one, that one */
  CiDeviceMasks out;
} CiClassMasksArgs;

/* Of a grid in a box, cell @i of detection @n. */
CI_HD void
ci_store_mask (const CiDeviceMasks * out, int width, int height, int64_t n,
    int64_t i, float p)
{
  int64_t padded = ci_grid_bytes (width, height), at = n * padded + i;

  /* here 0.5 itself belongs to the object */
  out->cells[at] = p == 0.5f ? 128 : ci_quantise (p);
  out->prob[at] = p;
  if (i == 0) {
    CiDeviceGrid *grid = &out->grids[n];

    grid->x = grid->y = 0;
    grid->width = width;
    grid->height = height;
    grid->offset = n * padded;
    grid->end = grid->offset + padded;
  }
}

/* Element: a cell of a detection's mask. */
CI_HD void
ci_class_masks_element (const CiClassMasksArgs * a, int64_t i)
{
  int64_t cells = (int64_t) a->src.h * a->src.w, n = i / cells;
  int cell = (int) (i - n * cells), y = cell / a->src.w;
  const float *weight;
  float sum;
  int64_t at;
  int o;

  if (n >= *a->detections.count)
    return;
  o = a->n_channels == 1 ? 0 : a->first + a->detections.classes[n];
  weight = a->weight + (int64_t) o * a->src.cp;
  sum = a->bias[o];
  at = ci_view_at (&a->src, (int) n, y, cell - y * a->src.w);
  for (int c = 0; c < a->src.cp; c += CI_OCTET) {
    float v[CI_OCTET];

    ci_load8 (&a->src, at + c, v);
    CI_UNROLL for (int k = 0; k < CI_OCTET; k++)
      sum += weight[c + k] * v[k];
  }
  ci_store_mask (&a->out, a->src.w, a->src.h, n, cell, ci_sigmoid (sum));
}

#define CI_RCNN_KERNELS(ELEMENT, BLOCK) \
  ELEMENT (rpn_keys, CiRpnArgs) \
  BLOCK (rpn_select, CiRpnArgs, CI_SELECT_THREADS, sizeof (CiSelectShared)) \
  ELEMENT (rpn_boxes, CiRpnArgs) \
  ELEMENT (rpn_overlaps, CiRpnArgs) \
  BLOCK (rpn_nms, CiRpnArgs, CI_RPN_THREADS, sizeof (CiRpnShared)) \
  ELEMENT (rpn_merge, CiRpnArgs) \
  ELEMENT (box_softmax, CiBoxHeadArgs) \
  ELEMENT (box_candidates, CiBoxHeadArgs) \
  ELEMENT (box_boxes, CiBoxHeadArgs) \
  ELEMENT (class_masks, CiClassMasksArgs)

#endif /* CI_KERNEL_RCNN_H */
