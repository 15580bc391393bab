/*
 * class_masks.c: the last layer of Mask R-CNN's mask head: of the 1x1
 * convolution only the channel of each detection's class, and sigmoid.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cpu.h"

#include <string.h>

#include "../simd.h"

typedef struct
{
  const CiNode *node;
  const CiMap *src;
  const CiDetectionBuffer *detections;
  CiBuffer *out;
  CiPacked *packed;             /* out_channels rows of whole blocks */
} ClassMasks;

static void
class_masks_free (gpointer data)
{
  ClassMasks *m = data;

  if (m->packed)
    ci_packed_unref (m->packed);
  g_free (m);
}

/* Eight cells at a time: their sums are made one by one, their sigmoids
 * together. */
CI_MULTIVERSION static void
compute_mask (const gfloat * map, gint n_blocks, gint n_cells,
    const gfloat * weight, gfloat bias, gfloat * prob)
{
  const CiV8 *w = (const CiV8 *) weight, *in = (const CiV8 *) map;

  for (gint first = 0; first < n_cells; first += CI_BLOCK) {
    gint n = MIN (CI_BLOCK, n_cells - first);
    CiV8 sums[CI_BLOCK] = { {0} }, logits;

    for (gint b = 0; b < n_blocks; b++)
      for (gint i = 0; i < n; i++)
        sums[i] += w[b] * in[(gsize) b * n_cells + first + i];
    for (gint i = 0; i < CI_BLOCK; i++) {
      CiV8 v = sums[i];

      logits[i] = bias + (((v[0] + v[4]) + (v[1] + v[5]))
          + ((v[2] + v[6]) + (v[3] + v[7])));
    }
    logits = ci_v8_sigmoid (logits);
    memcpy (prob + first, &logits, n * sizeof (gfloat));
  }
}

static void
class_masks_task (gpointer data, gint task, gint n_tasks)
{
  ClassMasks *m = data;
  const CiMap *src = m->src;
  gint n_blocks = ci_map_blocks (src);

  for (gint n = task; n < m->detections->count; n += n_tasks) {
    gint o = m->node->channels == 1 ? 0
        : m->node->first_channel + m->detections->classes[n];
    gfloat *prob = m->out->prob + n * m->out->grid_size;

    compute_mask (src->data + n * ci_map_floats (src), n_blocks,
        src->h * src->w, m->packed->weight + (gsize) o * n_blocks * CI_BLOCK,
        m->packed->bias[o], prob);
    m->out->grids[n] = (CiMaskGrid) {
    0, 0, src->w, src->h,.prob = prob,.in_box = TRUE};
  }
}

static gboolean
run_class_masks (CiPlan * plan, CiStep * step, GError ** error)
{
  ci_pool_run (plan->pool, class_masks_task, step->state,
      ci_pool_get_n_threads (plan->pool));
  return TRUE;
}

gboolean
ci_cpu_prepare_class_masks (CiPlan * plan, CiStep * step, GError ** error)
{
  const CiNode *node = step->node;
  g_autofree gchar *key = g_strdup_printf ("%s/classes", node->name);
  g_autofree gfloat *w = NULL, *bias = NULL;
  ClassMasks *m = g_new0 (ClassMasks, 1);
  CiPacked *packed;
  gsize row;

  step->state = m;
  step->free_state = class_masks_free;
  step->run = run_class_masks;
  m->node = node;
  m->src = ci_plan_map (plan, node->srcs[0]);
  m->detections = &plan->buffers[node->srcs[1]].detections;
  m->out = &plan->buffers[step->value];
  row = (gsize) ci_map_blocks (m->src) * CI_BLOCK;
  if ((m->packed = ci_packed_find (plan->weights->id, key, NULL)))
    return TRUE;
  if (!ci_plan_fold_conv (plan, node, &w, &bias, error)
      || !(packed = ci_packed_new (plan->weights->id, key, NULL,
              node->channels * row * sizeof (gfloat),
              node->channels * sizeof (gfloat), error)))
    return FALSE;
  memcpy (packed->bias, bias, node->channels * sizeof (gfloat));
  for (gint o = 0; o < node->channels; o++)
    memcpy (packed->weight + o * row, w + (gsize) o * m->src->c,
        m->src->c * sizeof (gfloat));
  m->packed = ci_packed_publish (packed);
  return TRUE;
}
