/*
 * boxes.c: candidates by rank, boxes by deltas, suppression by overlap.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "boxes.h"

#include <math.h>

#include "../simd.h"

/* ---- ranks ------------------------------------------------------------- */

static void
sift_down (guint64 * r, gint root, gint n)
{
  guint64 moved = r[root];
  gint child;

  while ((child = 2 * root + 1) < n) {
    if (child + 1 < n && r[child + 1] < r[child])
      child++;
    if (r[child] >= moved)
      break;
    r[root] = r[child];
    root = child;
  }
  r[root] = moved;
}

/* Heap sort, since qsort allocates. */
void
ci_ranks_sort (guint64 * ranks, gint n)
{
  for (gint i = n / 2 - 1; i >= 0; i--)
    sift_down (ranks, i, n);
  for (gint i = n - 1; i > 0; i--) {
    guint64 worst = ranks[0];

    ranks[0] = ranks[i];
    ranks[i] = worst;
    sift_down (ranks, 0, i);
  }
}

static guint64
median (guint64 a, guint64 b, guint64 c)
{
  return MAX (MIN (a, b), MIN (MAX (a, b), c));
}

void
ci_ranks_select (guint64 * ranks, gint n, gint k)
{
  gint lo = 0, hi = n - 1;

  if (k >= n)
    return;
  /* quickselect; sorts what is left if the pivots are bad all the time */
  for (gint round = 0; lo < hi; round++) {
    guint64 pivot = median (ranks[lo], ranks[lo + (hi - lo) / 2], ranks[hi]);
    gint i = lo, j = hi;

    if (round == 64) {
      ci_ranks_sort (ranks + lo, hi - lo + 1);
      return;
    }
    while (i <= j) {
      while (ranks[i] > pivot)
        i++;
      while (ranks[j] < pivot)
        j--;
      if (i <= j) {
        guint64 t = ranks[i];

        ranks[i++] = ranks[j];
        ranks[j--] = t;
      }
    }
    if (k - 1 <= j)
      hi = j;
    else if (k - 1 >= i)
      lo = i;
    else
      return;
  }
}

/* ---- suppression ------------------------------------------------------- */

gboolean
ci_kept_init (CiKept * kept, gint capacity, GError ** error)
{
  gsize pitch = (capacity + CI_BLOCK - 1) / CI_BLOCK * CI_BLOCK;
  gfloat *p = ci_aligned_alloc0 (6 * pitch * sizeof (gfloat), error);

  for (gint i = 0; i < 6 && p; i++)
    kept->planes[i] = p + i * pitch;
  kept->count = 0;
  kept->capacity = capacity;
  return p != NULL;
}

/* What lies behind the last box has no area. */
CI_MULTIVERSION static gboolean
overlaps (const CiKept * kept, const gfloat box[4], gfloat area, gfloat cls,
    gfloat threshold, gfloat cross_class)
{
  typedef gint64 V4i __attribute__ ((vector_size (32)));
  const CiV8 zero = ci_v8_set1 (0), x0 = ci_v8_set1 (box[0]);
  const CiV8 y0 = ci_v8_set1 (box[1]), x1 = ci_v8_set1 (box[2]);
  const CiV8 y1 = ci_v8_set1 (box[3]), a = ci_v8_set1 (area);
  const CiV8 same = ci_v8_set1 (threshold), other = ci_v8_set1 (cross_class);
  const CiV8 c = ci_v8_set1 (cls);

  for (gint i = 0; i < kept->count; i += CI_BLOCK) {
    const CiV8 *p[6];
    CiV8 w, h, inter, limit;
    V4i m;

    for (gint k = 0; k < 6; k++)
      p[k] = (const CiV8 *) (kept->planes[k] + i);
    w = ci_v8_min (*p[2], x1) - ci_v8_max (*p[0], x0);
    h = ci_v8_min (*p[3], y1) - ci_v8_max (*p[1], y0);
    inter = ci_v8_max (w, zero) * ci_v8_max (h, zero);
    limit = ci_v8_select (*p[5] == c, same, other);
    m = (V4i) (inter / (*p[4] + a - inter) > limit);
    if (m[0] | m[1] | m[2] | m[3])
      return TRUE;
  }
  return FALSE;
}

gboolean
ci_kept_add (CiKept * kept, const gfloat box[4], gint cls, gfloat threshold,
    gfloat cross_class)
{
  gfloat area = (box[2] - box[0]) * (box[3] - box[1]);
  gint n = kept->count;

  if (overlaps (kept, box, area, cls, threshold, cross_class))
    return FALSE;
  if (n % CI_BLOCK == 0)
    for (gint k = 0; k < 6; k++)
      *(CiV8 *) (kept->planes[k] + n) = ci_v8_set1 (0);
  for (gint k = 0; k < 4; k++)
    kept->planes[k][n] = box[k];
  kept->planes[4][n] = area;
  kept->planes[5][n] = cls;
  kept->count++;
  return TRUE;
}

/* Whether @a comes behind @b: by value, ties in the order of the cells. */
static gboolean
behind (const CiCandidate * a, const CiCandidate * b)
{
  if (a->value != b->value)
    return a->value < b->value;
  if (a->level != b->level)
    return a->level > b->level;
  if (a->cell != b->cell)
    return a->cell > b->cell;
  return a->cls > b->cls;
}

static void
sift_candidate (CiCandidate * c, gint root, gint n)
{
  CiCandidate moved = c[root];
  gint child;

  while ((child = 2 * root + 1) < n) {
    if (child + 1 < n && behind (&c[child + 1], &c[child]))
      child++;
    if (!behind (&c[child], &moved))
      break;
    c[root] = c[child];
    root = child;
  }
  c[root] = moved;
}

void
ci_sort_candidates (CiCandidate * c, gint n)
{
  for (gint i = n / 2 - 1; i >= 0; i--)
    sift_candidate (c, i, n);
  for (gint i = n - 1; i > 0; i--) {
    CiCandidate worst = c[0];

    c[0] = c[i];
    c[i] = worst;
    sift_candidate (c, 0, i);
  }
}

gfloat
ci_float_threshold (gdouble threshold)
{
  gfloat t = threshold;

  return t > threshold ? nextafterf (t, -INFINITY) : t;
}

/* ---- boxes ------------------------------------------------------------- */

gboolean
ci_move_box (gfloat box[4], const gfloat deltas[4], const gfloat weights[4],
    gint width, gint height, gfloat min_size, gboolean inclusive)
{
  const gfloat limit = 4.135166556742356;       /* log (1000 / 16) */
  gfloat w = box[2] - box[0], h = box[3] - box[1];
  gfloat x = box[0] + 0.5f * w, y = box[1] + 0.5f * h;

  x += deltas[0] / weights[0] * w;
  y += deltas[1] / weights[1] * h;
  w *= expf (MIN (deltas[2] / weights[2], limit));
  h *= expf (MIN (deltas[3] / weights[3], limit));
  /* only broken weights make such boxes */
  if (!isfinite (x + y + w + h))
    return FALSE;
  box[0] = CLAMP (x - 0.5f * w, 0, width);
  box[1] = CLAMP (y - 0.5f * h, 0, height);
  box[2] = CLAMP (x + 0.5f * w, 0, width);
  box[3] = CLAMP (y + 0.5f * h, 0, height);
  w = box[2] - box[0];
  h = box[3] - box[1];
  return inclusive ? w >= min_size && h >= min_size
      : w > min_size && h > min_size;
}
