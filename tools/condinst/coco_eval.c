/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "coco_eval.h"

#include <string.h>

#define N_THRESHOLDS 10         /* IoU from 0.5 to 0.95 */
#define N_RECALLS 101           /* from 0 to 1 */
#define N_AREAS 4
#define MAX_DETECTIONS 100      /* per picture and class */

static const gdouble area_ranges[N_AREAS][2] = {
  {0, 1e10}, {0, 32 * 32}, {32 * 32, 96 * 96}, {96 * 96, 1e10}
};

static const gchar *const figure_names[CI_COCO_N_FIGURES] = {
  "AP", "AP50", "AP75", "APs", "APm", "APl",
  "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"
};

/* The detections of one class over all pictures, within one range of areas. */
typedef struct
{
  gdouble score;
  guint rank;                   /* by score, in its picture */
  guint order;                  /* over all pictures, before sorting */
  guint16 matched, ignored;     /* a bit per IoU threshold */
} Candidate;

typedef struct
{
  GArray *candidates;
  guint n_truths;               /* that are to be found */
} Range;

const gchar *
ci_coco_figure_name (CiCocoFigure figure)
{
  return figure_names[figure];
}

static gdouble
iou_threshold (guint i)
{
  /* numpy.linspace (0.5, 0.95, 10) */
  return i == N_THRESHOLDS - 1 ? 0.95 : 0.5 + i * ((0.95 - 0.5) / 9);
}

static gdouble
recall_threshold (guint i)
{
  /* numpy.linspace (0, 1, 101) */
  return i == N_RECALLS - 1 ? 1.0 : i * (1.0 / 100);
}

static gint
compare_objects (gconstpointer a, gconstpointer b)
{
  const CiCocoObject *x = *(const CiCocoObject * const *) a;
  const CiCocoObject *y = *(const CiCocoObject * const *) b;

  /* Ties stay in the order of the file: they are in one array. */
  if (x->score != y->score)
    return x->score > y->score ? -1 : 1;
  return x < y ? -1 : x > y;
}

static gint
compare_candidates (gconstpointer a, gconstpointer b)
{
  const Candidate *x = a, *y = b;

  if (x->score != y->score)
    return x->score > y->score ? -1 : 1;
  return x->order < y->order ? -1 : x->order > y->order;
}

/* Matches the @n_d detections of one picture, best first, with its @n_t
 * objects, for one range of areas and all IoU thresholds. @ious: n_d x n_t. */
static void
match_picture (Range * range, const gdouble * area_range,
    const CiCocoObject ** detections, guint n_d,
    const CiCocoObject ** truths, guint n_t, const gdouble * ious,
    gboolean masks)
{
  g_autofree guint *order = g_new (guint, MAX (n_t, 1));
  g_autofree guint16 *taken = g_new0 (guint16, MAX (n_t, 1));
  guint d, g, i, n_wanted = 0, n = 0;

  /* Objects to be ignored come last, so that the others are preferred. */
  for (i = 0; i < 2; i++) {
    for (g = 0; g < n_t; g++) {
      gboolean ignored = truths[g]->crowd || truths[g]->area < area_range[0] ||
          truths[g]->area > area_range[1];
      if (ignored == (gboolean) i)
        order[n++] = g;
    }
    if (i == 0)
      n_wanted = n;
  }
  range->n_truths += n_wanted;

  for (d = 0; d < n_d; d++) {
    gdouble area = masks ? ci_rle_area (&detections[d]->mask) :
        detections[d]->box[2] * detections[d]->box[3];
    gboolean outside = area < area_range[0] || area > area_range[1];
    Candidate candidate = { detections[d]->score, d, range->candidates->len,
      0, 0
    };
    guint t;

    for (t = 0; t < N_THRESHOLDS; t++) {
      gdouble best = MIN (iou_threshold (t), 1 - 1e-10);
      guint16 bit = 1 << t;
      gint match = -1;

      for (i = 0; i < n_t; i++) {
        g = order[i];
        if ((taken[g] & bit) && !truths[g]->crowd)
          continue;
        /* No ignored object takes a detection from a wanted one. */
        if (match >= 0 && (guint) match < n_wanted && i >= n_wanted)
          break;
        if (ious[d * n_t + g] < best)
          continue;
        best = ious[d * n_t + g];
        match = i;
      }
      if (match >= 0) {
        taken[order[match]] |= bit;
        candidate.matched |= bit;
        if ((guint) match >= n_wanted)
          candidate.ignored |= bit;
      } else if (outside) {
        candidate.ignored |= bit;
      }
    }
    g_array_append_val (range->candidates, candidate);
  }
}

static void
evaluate_picture (Range * ranges, GPtrArray * detections, GPtrArray * truths,
    gboolean masks)
{
  guint n_d = 0, n_t = truths ? truths->len : 0, d, g, a;
  const CiCocoObject **ds = NULL, **gs = NULL;
  g_autofree gdouble *ious = NULL;

  if (detections) {
    g_ptr_array_sort (detections, compare_objects);
    n_d = MIN (detections->len, MAX_DETECTIONS);
    ds = (const CiCocoObject **) detections->pdata;
  }
  if (truths)
    gs = (const CiCocoObject **) truths->pdata;

  ious = g_new (gdouble, MAX ((gsize) n_d * n_t, 1));
  for (d = 0; d < n_d; d++) {
    for (g = 0; g < n_t; g++) {
      ious[d * n_t + g] = masks ?
          ci_rle_iou (&ds[d]->mask, &gs[g]->mask, gs[g]->crowd) :
          ci_box_iou (ds[d]->box, gs[g]->box, gs[g]->crowd);
    }
  }
  for (a = 0; a < N_AREAS; a++)
    match_picture (&ranges[a], area_ranges[a], ds, n_d, gs, n_t, ious, masks);
}

/* Precision, averaged over the recall levels, and highest recall at one IoU
 * threshold, with the best @max_detections of each picture. @candidates are
 * sorted; @precision and @recall are scratch of their length. */
static void
measure_threshold (const Range * range, guint threshold,
    guint max_detections, gdouble * precision, gdouble * recall,
    gdouble * mean_precision, gdouble * max_recall)
{
  guint i, r, n = 0, found = 0, wrong = 0;

  for (i = 0; i < range->candidates->len; i++) {
    const Candidate *c = &g_array_index (range->candidates, Candidate, i);

    if (c->rank >= max_detections || (c->ignored >> threshold) & 1)
      continue;
    if ((c->matched >> threshold) & 1)
      found++;
    else
      wrong++;
    recall[n] = (gdouble) found / range->n_truths;
    precision[n] = (gdouble) found / (found + wrong);
    n++;
  }
  for (i = n; i > 1; i--)
    precision[i - 2] = MAX (precision[i - 2], precision[i - 1]);

  *max_recall = n > 0 ? recall[n - 1] : 0;
  *mean_precision = 0;
  for (r = 0, i = 0; r < N_RECALLS; r++) {
    while (i < n && recall[i] < recall_threshold (r))
      i++;
    if (i == n)
      break;
    *mean_precision += precision[i];
  }
  *mean_precision /= N_RECALLS;
}

typedef struct
{
  gdouble ap, ap50, ap75, ar;
} Measure;

static Measure
measure_range (const Range * range, guint max_detections)
{
  Measure m = { -1, -1, -1, -1 };
  gsize n = MAX (range->candidates->len, 1);
  g_autofree gdouble *precision = NULL, *recall = NULL;
  guint t;

  if (range->n_truths == 0)
    return m;

  precision = g_new (gdouble, n);
  recall = g_new (gdouble, n);
  m.ap = m.ar = 0;
  for (t = 0; t < N_THRESHOLDS; t++) {
    gdouble ap, ar;

    measure_threshold (range, t, max_detections, precision, recall, &ap, &ar);
    m.ap += ap / N_THRESHOLDS;
    m.ar += ar / N_THRESHOLDS;
    if (t == 0)
      m.ap50 = ap;
    else if (t == 5)
      m.ap75 = ap;
  }
  return m;
}

/* @detections and @truths: the objects of one class per picture, NULL where
 * there are none. */
static void
evaluate_class (GPtrArray ** detections, GPtrArray ** truths, guint n_pictures,
    gboolean masks, gdouble * figures)
{
  Range ranges[N_AREAS];
  Measure m;
  guint i, a;

  for (a = 0; a < N_AREAS; a++) {
    ranges[a].candidates = g_array_new (FALSE, FALSE, sizeof (Candidate));
    ranges[a].n_truths = 0;
  }
  for (i = 0; i < n_pictures; i++) {
    if (detections[i] || truths[i])
      evaluate_picture (ranges, detections[i], truths[i], masks);
  }
  for (a = 0; a < N_AREAS; a++) {
    g_array_sort (ranges[a].candidates, compare_candidates);
    m = measure_range (&ranges[a], MAX_DETECTIONS);
    if (a == 0) {
      figures[CI_COCO_AP] = m.ap;
      figures[CI_COCO_AP50] = m.ap50;
      figures[CI_COCO_AP75] = m.ap75;
      figures[CI_COCO_AR100] = m.ar;
      figures[CI_COCO_AR1] = measure_range (&ranges[a], 1).ar;
      figures[CI_COCO_AR10] = measure_range (&ranges[a], 10).ar;
    } else {
      figures[CI_COCO_APS + a - 1] = m.ap;
      figures[CI_COCO_ARS + a - 1] = m.ar;
    }
    g_array_unref (ranges[a].candidates);
  }
}

/* Lists of the objects, in their order, per category and picture. */
static GPtrArray **
sort_into_lists (const CiCoco * truth, const GArray * objects)
{
  GPtrArray **lists = g_new0 (GPtrArray *,
      (gsize) truth->categories->len * truth->images->len + 1);
  guint i;

  for (i = 0; i < objects->len; i++) {
    CiCocoObject *object = &g_array_index (objects, CiCocoObject, i);
    GPtrArray **list = &lists[(gsize) object->category * truth->images->len
        + object->image];

    if (!*list)
      *list = g_ptr_array_new ();
    g_ptr_array_add (*list, object);
  }
  return lists;
}

static void
free_lists (GPtrArray ** lists, gsize n)
{
  gsize i;

  for (i = 0; i < n; i++)
    g_clear_pointer (&lists[i], g_ptr_array_unref);
  g_free (lists);
}

void
ci_coco_eval (CiCocoEval * eval, const CiCoco * truth,
    const GArray * detections, gboolean masks, const guint8 * wanted)
{
  gsize n_pictures = truth->images->len, n_classes = truth->categories->len;
  GPtrArray **truths = sort_into_lists (truth, truth->objects);
  GPtrArray **found = sort_into_lists (truth, detections);
  gsize k;
  guint f;

  eval->per_class = g_malloc (MAX (n_classes, 1) * sizeof (*eval->per_class));
  for (k = 0; k < n_classes; k++) {
    if (!wanted || wanted[k]) {
      evaluate_class (found + k * n_pictures, truths + k * n_pictures,
          n_pictures, masks, eval->per_class[k]);
    } else {
      for (f = 0; f < CI_COCO_N_FIGURES; f++)
        eval->per_class[k][f] = -1;
    }
  }
  /* Each class has as many values in COCO's tables, so the mean over all of
   * these is the mean over the classes. */
  for (f = 0; f < CI_COCO_N_FIGURES; f++) {
    gdouble sum = 0;
    guint n = 0;

    for (k = 0; k < n_classes; k++) {
      if (eval->per_class[k][f] > -1) {
        sum += eval->per_class[k][f];
        n++;
      }
    }
    eval->all[f] = n > 0 ? sum / n : -1;
  }
  free_lists (truths, n_pictures * n_classes);
  free_lists (found, n_pictures * n_classes);
}

void
ci_coco_eval_clear (CiCocoEval * eval)
{
  g_clear_pointer (&eval->per_class, g_free);
}
