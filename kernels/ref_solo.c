/*
 * ref_solo.c: SOLO's detections and masks (SEMANTICS-solo) in plain C on NCHW;
 * as ref.c, the yardstick.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "ref.h"

#include <math.h>
#include <string.h>

typedef struct
{
  const CiNode *node;
  gint h, w;                    /* of the masks */
  gfloat *weight[8], *bias[8];  /* static */
} Solo;

/* A class of a cell; its mask is shared by all classes of the cell. */
typedef struct
{
  gfloat score;
  gint level, cell, cls, area;
  gdouble compensation;         /* IoU with the best that comes before it */
  const gfloat *soft;
} Candidate;

static void
solo_free (gpointer data)
{
  Solo *solo = data;

  for (gint l = 0; l < 8; l++) {
    g_free (solo->weight[l]);
    g_free (solo->bias[l]);
  }
  g_free (solo);
}

static gfloat
sigmoid (gfloat x)
{
  return 1.0 / (1.0 + exp (-(gdouble) x));
}

static gfloat
at (const CiMap * map, gint c, gint y, gint x)
{
  return map->data[((gsize) c * map->h + y) * map->w + x];
}

/* Before the sigmoid, factor @k of a mask, at (@y, @x) of its own map. */
static gfloat
logit (CiPlan * plan, const Solo * solo, gint level, gint cell, gint k, gint y,
    gint x)
{
  const CiNode *node = solo->node;
  gint s = node->grids[level];
  const CiMap *map = ci_plan_map (plan, ci_solo_source (node, level, 1 + k));
  gdouble sum = 0;

  if (node->solo.source == CI_SOLO_PRODUCT)
    return at (map, k ? cell / s : cell % s, y, x);
  if (node->solo.source == CI_SOLO_DYNAMIC) {
    const CiMap *features = ci_plan_map (plan, ci_solo_source (node, level,
            2));

    for (gint c = 0; c < map->c; c++)
      sum += (gdouble) at (map, c, cell / s, cell % s)
          * at (features, c, y, x);
    return sum;
  }
  for (gint c = 0; c < map->c; c++)
    sum += (gdouble) solo->weight[level][cell * map->c + c]
        * at (map, c, y, x);
  return sum + solo->bias[level][cell];
}

/* Half-pixel bilinear, as torch has it: where cell @o of @n_out lies. */
static gdouble
position (gint o, gint n_out, gint n, gint * i0, gint * i1)
{
  gfloat t = MAX ((o + 0.5f) * ((gfloat) n / n_out) - 0.5f, 0.0f);

  *i0 = MIN ((gint) t, n - 1);
  *i1 = MIN (*i0 + 1, n - 1);
  return t - *i0;
}

/* The whole soft mask of a cell: sigmoid, then resizing, then the product. */
static gfloat *
make_mask (CiPlan * plan, const Solo * solo, gint level, gint cell)
{
  const CiNode *node = solo->node;
  gint n_factors = node->solo.source == CI_SOLO_PRODUCT ? 2 : 1;
  const CiMap *map = ci_plan_map (plan, ci_solo_source (node, level,
          node->solo.source == CI_SOLO_DYNAMIC ? 2 : 1));
  gint h = map->h, w = map->w;
  g_autofree gfloat *p = g_new (gfloat, (gsize) h * w);
  gfloat *soft = g_new (gfloat, (gsize) solo->h * solo->w);

  for (gint k = 0; k < n_factors; k++) {
    for (gint y = 0; y < h; y++)
      for (gint x = 0; x < w; x++) {
        gfloat v = sigmoid (logit (plan, solo, level, cell, k, y, x));

        p[y * w + x] = isnan (v) ? 0 : v;
      }
    for (gint y = 0; y < solo->h; y++)
      for (gint x = 0; x < solo->w; x++) {
        gint y0, y1, x0, x1;
        gdouble ay = position (y, solo->h, h, &y0, &y1);
        gdouble ax = position (x, solo->w, w, &x0, &x1);
        gdouble v = (1 - ay) * ((1 - ax) * p[y0 * w + x0]
            + ax * p[y0 * w + x1])
            + ay * ((1 - ax) * p[y1 * w + x0] + ax * p[y1 * w + x1]);

        soft[y * solo->w + x] = k ? soft[y * solo->w + x] * v : v;
      }
  }
  return soft;
}

/* Whether the cell's left, upper or upper left neighbour exceeds it. */
static gboolean
is_exceeded (const CiMap * logits, gint c, gint y, gint x)
{
  gfloat p = sigmoid (at (logits, c, y, x));

  for (gint dy = 0; dy < 2; dy++)
    for (gint dx = 0; dx < 2; dx++)
      if (y >= dy && x >= dx && sigmoid (at (logits, c, y - dy, x - dx)) > p)
        return TRUE;
  return FALSE;
}

/* Descending score, then the order of the cells. */
static gint
compare_candidates (gconstpointer a, gconstpointer b)
{
  const Candidate *x = a, *y = b;

  if (x->score != y->score)
    return x->score < y->score ? 1 : -1;
  if (x->level != y->level)
    return x->level - y->level;
  if (x->cell != y->cell)
    return x->cell - y->cell;
  return x->cls - y->cls;
}

static gdouble
iou (const Solo * solo, const Candidate * a, const Candidate * b)
{
  gfloat t = solo->node->solo.mask_threshold;
  gint inter = 0;

  for (gint i = 0; i < solo->h * solo->w; i++)
    inter += a->soft[i] > t && b->soft[i] > t;
  return inter / ((gdouble) a->area + b->area - inter);
}

/* All candidates whose masks are large enough; @masks owns the latter. */
static void
find_candidates (CiPlan * plan, const Solo * solo, GArray * all,
    GPtrArray * masks)
{
  const CiNode *node = solo->node;
  const CiDetectParams *params = plan->params;

  for (gint l = 0; l < node->n_levels; l++) {
    const CiMap *logits = ci_plan_map (plan, ci_solo_source (node, l, 0));

    for (gint cell = 0; cell < logits->h * logits->w; cell++) {
      gint y = cell / logits->w, x = cell % logits->w, area = 0;
      gdouble sum = 0;
      gfloat *soft = NULL;

      for (gint c = 0; c < logits->c; c++) {
        gfloat p = sigmoid (at (logits, c, y, x));
        Candidate candidate = { p, l, cell, c };

        if (!(p > params->inference_threshold) || is_exceeded (logits, c, y, x)
            || (params->classes && !params->classes[c]))
          continue;
        if (!soft) {
          soft = make_mask (plan, solo, l, cell);
          g_ptr_array_add (masks, soft);
          for (gint i = 0; i < solo->h * solo->w; i++)
            if (soft[i] > node->solo.mask_threshold) {
              area++;
              sum += soft[i];
            }
        }
        if (area <= node->strides[l])
          continue;
        candidate.score *= (gfloat) (sum / area);
        candidate.area = area;
        candidate.soft = soft;
        g_array_append_val (all, candidate);
      }
    }
  }
}

/* Matrix NMS (SOLOv2 section 3.3); what comes before lowers the score, but less
 * the more it is lowered itself. */
static void
decay (const Solo * solo, GArray * all)
{
  const CiSoloParams *params = &solo->node->solo;
  g_autofree gfloat *factors = g_new (gfloat, all->len + 1);

  for (guint j = 0; j < all->len; j++) {
    Candidate *b = &g_array_index (all, Candidate, j);
    gdouble factor = 1;

    for (guint i = 0; i < j; i++) {
      const Candidate *a = &g_array_index (all, Candidate, i);
      gdouble o = a->cls == b->cls ? iou (solo, a, b) : 0;
      gdouble c = a->compensation, f = exp (-params->sigma * (o * o - c * c));

      if (params->linear)
        f = c < 1 ? (1 - o) / (1 - c) : o < 1 ? 1 : 0;
      factor = MIN (factor, f);
      b->compensation = MAX (b->compensation, o);
    }
    factors[j] = factor;
  }
  for (guint j = 0; j < all->len; j++)
    g_array_index (all, Candidate, j).score *= factors[j];
}

static void
set_detection (const Solo * solo, CiDetectionBuffer * out, gint n,
    const Candidate * c)
{
  gint stride = solo->node->solo.stride, s = solo->node->grids[c->level];
  gint x0 = solo->w, y0 = solo->h, x1 = 0, y1 = 0;

  for (gint y = 0; y < solo->h; y++)
    for (gint x = 0; x < solo->w; x++)
      if (c->soft[y * solo->w + x] > solo->node->solo.mask_threshold) {
        x0 = MIN (x0, x);
        y0 = MIN (y0, y);
        x1 = MAX (x1, x + 1);
        y1 = MAX (y1, y + 1);
      }
  out->boxes[4 * n] = x0 * stride;
  out->boxes[4 * n + 1] = y0 * stride;
  out->boxes[4 * n + 2] = x1 * stride;
  out->boxes[4 * n + 3] = y1 * stride;
  out->scores[n] = c->score;
  out->classes[n] = c->cls;
  out->levels[n] = c->level;
  out->cells[n] = c->cell;
  out->locations[2 * n] = (c->cell % s + 0.5f) * (solo->w * stride) / s;
  out->locations[2 * n + 1] = (c->cell / s + 0.5f) * (solo->h * stride) / s;
}

static gboolean
run_solo_detect (CiPlan * plan, CiStep * step, GError ** error)
{
  const Solo *solo = step->state;
  const CiDetectParams *params = plan->params;
  CiDetectionBuffer *out = &plan->buffers[step->value].detections;
  gint limit = MIN (params->post_nms_top_k, step->node->capacity);
  guint top_k = CLAMP (params->pre_nms_top_k, 1, CI_SOLO_MAX_PRE_NMS);
  g_autoptr (GPtrArray) masks = g_ptr_array_new_with_free_func (g_free);
  GArray *all = g_array_new (FALSE, FALSE, sizeof (Candidate));
  g_autoptr (GPtrArray) kept = g_ptr_array_new ();

  find_candidates (plan, solo, all, masks);
  g_array_sort (all, compare_candidates);
  g_array_set_size (all, MIN (all->len, top_k));
  decay (solo, all);
  g_array_sort (all, compare_candidates);

  out->count = 0;
  for (guint i = 0; i < all->len && out->count < limit; i++) {
    Candidate *c = &g_array_index (all, Candidate, i);
    gboolean keep = c->score >= MAX (solo->node->solo.update_threshold,
        plan->params->score_threshold);

    for (guint k = 0; k < kept->len; k++) {
      const Candidate *better = g_ptr_array_index (kept, k);

      if (params->cross_class_threshold > 0 && better->cls != c->cls
          && iou (solo, better, c) > params->cross_class_threshold)
        keep = FALSE;
    }
    if (!keep)
      continue;
    g_ptr_array_add (kept, c);
    set_detection (solo, out, out->count++, c);
  }
  g_array_unref (all);
  return TRUE;
}

static gboolean
run_solo_masks (CiPlan * plan, CiStep * step, GError ** error)
{
  const Solo *solo = step->state;
  const CiNode *node = step->node;
  const CiDetectionBuffer *d =
      &plan->buffers[node->srcs[node->n_srcs - 1]].detections;
  CiBuffer *out = &plan->buffers[step->value];

  /* the whole map, also where only the bounds are asked for */
  for (gint n = 0; n < d->count; n++) {
    gfloat *prob = out->prob + n * out->grid_size;
    g_autofree gfloat *soft = make_mask (plan, solo, d->levels[n],
        d->cells[n]);

    memcpy (prob, soft, out->grid_size * sizeof (gfloat));
    out->grids[n] = (CiMaskGrid) {
    0, 0, solo->w, solo->h, .prob = prob};
    ci_plan_place_grid (plan, &out->grids[n]);
  }
  return TRUE;
}

gboolean
ci_ref_prepare_solo (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const CiMap *like = ci_plan_map (plan, node->like);
  Solo *solo = g_new0 (Solo, 1);

  step->run = node->op == CI_OP_SOLO_DETECT ? run_solo_detect : run_solo_masks;
  step->state = solo;
  step->free_state = solo_free;
  solo->node = node;
  solo->h = like->h;
  solo->w = like->w;
  for (gint l = 0; node->solo.source == CI_SOLO_STATIC && l < node->n_levels;
      l++) {
    g_autofree gchar *prefix = g_strdup_printf ("%s.%d", node->name, l);
    gint64 dims[4] = { node->grids[l] * node->grids[l],
      ci_plan_map (plan, ci_solo_source (node, l, 1))->c, 1, 1
    };

    if (!(solo->weight[l] = ci_plan_tensor (plan, prefix, ".weight", 4, dims,
                error))
        || !(solo->bias[l] = ci_plan_tensor (plan, prefix, ".bias", 1, dims,
                error)))
      return FALSE;
  }
  return TRUE;
}
