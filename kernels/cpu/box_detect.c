/*
 * box_detect.c: the detections of a box head (SEMANTICS-maskrcnn "Box head"):
 * softmax, the candidates' boxes, NMS of each class, the best.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "boxes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../simd.h"

/* Proposals of a task. */
#define CHUNK 32

typedef struct
{
  const CiMap *logits, *deltas;
  gint count;                   /* of the proposals */
  gfloat *scores;               /* as the logits */
  guint64 *ranks;               /* of a class of a proposal */
  CiKept kept;
} BoxDetect;

static void
box_detect_free (gpointer data)
{
  BoxDetect *b = data;

  free (b->scores);
  free (b->ranks);
  free (b->kept.planes[0]);
  g_free (b);
}

/* Softmax of @n logits, in whole vectors; all 0 if one of them is not
 * finite. */
CI_MULTIVERSION static void
softmax (const gfloat * logits, gint n, gfloat * scores)
{
  gint n_vectors = (n + CI_BLOCK - 1) / CI_BLOCK;
  const CiV8 *in = (const CiV8 *) logits;
  CiV8 *out = (CiV8 *) scores;
  CiV8 wrong = ci_v8_set1 (0), sum = wrong, scale;
  gfloat top = logits[0], total = 0;

  for (gint i = 0; i < n; i++)
    top = MAX (top, logits[i]);
  for (gint i = 0; i < n_vectors; i++) {
    wrong += in[i] - in[i];
    out[i] = ci_v8_exp (in[i] - ci_v8_set1 (top));
  }
  for (gint i = n; i < n_vectors * CI_BLOCK; i++)
    scores[i] = 0;
  for (gint i = 0; i < n_vectors; i++)
    sum += out[i];
  for (gint i = 0; i < CI_BLOCK; i++)
    total += sum[i] + wrong[i];
  scale = ci_v8_set1 (total > 0 ? 1 / total : 0);
  for (gint i = 0; i < n_vectors; i++)
    out[i] *= scale;
}

static void
score_task (gpointer data, gint task, gint n_tasks)
{
  BoxDetect *b = data;
  gsize pitch = ci_map_floats (b->logits);
  gint end = MIN ((task + 1) * CHUNK, b->count);

  for (gint i = task * CHUNK; i < end; i++)
    softmax (b->logits->data + i * pitch, b->logits->c, b->scores + i * pitch);
}

/* Candidates above the threshold; returns how many. */
static gint
find_candidates (const BoxDetect * b, const CiNode * node,
    const CiDetectParams * params)
{
  gsize pitch = ci_map_floats (b->logits);
  gfloat least = MAX (params->inference_threshold, params->score_threshold);
  gint n = 0;

  for (gint i = 0; i < b->count; i++) {
    const gfloat *p = b->scores + i * pitch
        + (node->box_detect.background_first ? 1 : 0);

    for (gint k = 0; k < node->channels; k++)
      if (p[k] > least
          && (!params->classes || params->classes[k]))
        b->ranks[n++] = ci_rank (p[k], i * node->channels + k);
  }
  return n;
}

static gboolean
run_box_detect (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  const CiBoxDetectParams *how = &node->box_detect;
  const CiDetectParams *params = plan->params;
  const CiDetectionBuffer *proposals =
      &plan->buffers[node->srcs[0]].detections;
  CiDetectionBuffer *out = &plan->buffers[step->value].detections;
  gint limit = MIN (params->post_nms_top_k, node->capacity), n;
  gfloat threshold = ci_float_threshold (params->nms_threshold);
  gfloat cross_class = params->cross_class_threshold > 0 ?
      ci_float_threshold (params->cross_class_threshold) : INFINITY;
  BoxDetect *b = step->state;
  gint n_boxes = b->deltas->c / 4;

  b->count = proposals->count;
  ci_pool_run (plan->pool, score_task, b, (b->count + CHUNK - 1) / CHUNK);
  n = find_candidates (b, node, params);
  ci_ranks_sort (b->ranks, n);

  b->kept.count = out->count = 0;
  for (gint i = 0; i < n && out->count < limit; i++) {
    guint32 number = ci_rank_number (b->ranks[i]);
    gint cls = number % node->channels, proposal = number / node->channels;
    gint of = n_boxes == 1 ? 0 : n_boxes == node->channels ? cls
        : cls + (how->background_first ? 1 : 0);
    gfloat box[4];

    memcpy (box, proposals->boxes + 4 * proposal, sizeof (box));
    if (!ci_move_box (box, b->deltas->data + proposal
            * ci_map_floats (b->deltas) + 4 * of, how->weights,
            plan->frame_width, plan->frame_height, how->min_size,
            how->min_size_inclusive)
        || !ci_kept_add (&b->kept, box, cls, threshold, cross_class))
      continue;
    memcpy (out->boxes + 4 * out->count, box, sizeof (box));
    out->scores[out->count] = ci_rank_value (b->ranks[i]);
    out->classes[out->count] = cls;
    out->levels[out->count] = proposals->levels[proposal];
    out->cells[out->count] = proposal;
    memcpy (out->locations + 2 * out->count, proposals->locations
        + 2 * proposal, 2 * sizeof (gfloat));
    out->count++;
  }
  return TRUE;
}

gboolean
ci_cpu_prepare_box_detect (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  gsize n = ci_graph_node (plan->graph, node->srcs[0])->capacity;
  BoxDetect *b = g_new0 (BoxDetect, 1);

  step->state = b;
  step->free_state = box_detect_free;
  step->run = run_box_detect;
  b->logits = ci_plan_map (plan, node->srcs[1]);
  b->deltas = ci_plan_map (plan, node->srcs[2]);
  return (b->scores = ci_aligned_alloc0 (n * ci_map_floats (b->logits)
          * sizeof (gfloat), error))
      && (b->ranks = ci_aligned_alloc0 (n * node->channels
          * sizeof (guint64), error))
      && ci_kept_init (&b->kept, node->capacity, error);
}
