/*
 * boxes.h: what detectors share: candidates by rank, boxes by deltas, and
 * suppression by overlap; private to kernels/cpu.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_BOXES_H
#define CI_BOXES_H

#include "cpu.h"

G_BEGIN_DECLS

/* A candidate: its value in the upper half, in the lower one the complement of
 * its number. The greater, the better; no two are equal. @value is no NaN. */
static inline guint64
ci_rank (gfloat value, guint32 number)
{
  /* no negative zero */
  union { gfloat f; guint32 u; } v = { value + 0.0f };

  v.u = v.u >> 31 ? ~v.u : v.u | 0x80000000u;
  return (guint64) v.u << 32 | (guint32) ~number;
}

static inline guint32
ci_rank_number (guint64 rank)
{
  return ~(guint32) rank;
}

static inline gfloat
ci_rank_value (guint64 rank)
{
  guint32 u = rank >> 32;
  union { guint32 u; gfloat f; } v = { u >> 31 ? u & 0x7fffffffu : ~u };

  return v.f;
}

/* Moves the best @k of @n to the front, in any order. */
void ci_ranks_select (guint64 * ranks, gint n, gint k);
/* Best first. Neither allocates. */
void ci_ranks_sort (guint64 * ranks, gint n);

/* Best first, ties in the order of the cells; heap sort, since qsort
 * allocates. */
void ci_sort_candidates (CiCandidate * candidates, gint n);

/* Boxes that were kept, as planes of floats: x0, y0, x1, y1, area, class. */
typedef struct
{
  gfloat *planes[6];
  gint count, capacity;
} CiKept;

/* FALSE and @error if memory lacks; free with free (kept->planes[0]). */
gboolean ci_kept_init (CiKept * kept, gint capacity, GError ** error);
/* Adds @box, unless its IoU with a kept box of its class exceeds @threshold, or
 * @cross_class with one of another. Returns whether it did. There must be
 * room. */
gboolean ci_kept_add (CiKept * kept, const gfloat box[4], gint cls,
    gfloat threshold, gfloat cross_class);
/* The greatest float that is not above @threshold: to be compared with floats
 * as @threshold is. */
gfloat ci_float_threshold (gdouble threshold);

/* @box moved by the @deltas dx, dy, dw, dh, each divided by its weight, in
 * official float arithmetic (detectron2 box_regression.py), and clipped to
 * @width x @height. FALSE if the result is not finite or one of its sides less
 * than @min_size (or equal to it, unless @inclusive). */
gboolean ci_move_box (gfloat box[4], const gfloat deltas[4],
    const gfloat weights[4], gint width, gint height, gfloat min_size,
    gboolean inclusive);

G_END_DECLS

#endif
