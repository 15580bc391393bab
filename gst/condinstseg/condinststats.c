/* GStreamer instance segmentation
 *
 * condinststats.c: how many frames went through, and what they cost
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdlib.h>
#include <string.h>

#include "condinststats.h"

static const gchar *const stage_names[COND_INST_N_STAGES] = {
  "preprocess", "network", "decode", "masks", "total"
};

void
cond_inst_stats_count_frame (CondInstStats * stats, gint64 now_us)
{
  stats->passed_us[stats->frames++ % COND_INST_STATS_WINDOW] = now_us;
}

void
cond_inst_stats_count_inference (CondInstStats * stats,
    const gint64 times_ns[COND_INST_N_STAGES])
{
  guint slot = stats->inferred++ % COND_INST_STATS_WINDOW;

  for (guint i = 0; i < COND_INST_N_STAGES; i++)
    stats->times_ns[i][slot] = times_ns[i];
}

static gint
compare_times (gconstpointer a, gconstpointer b)
{
  gint64 x = *(const gint64 *) a, y = *(const gint64 *) b;

  return (x > y) - (x < y);
}

gint64
cond_inst_stats_p95_ns (const CondInstStats * stats, CondInstStage stage)
{
  gint64 sorted[COND_INST_STATS_WINDOW];
  guint n = MIN (stats->inferred, COND_INST_STATS_WINDOW);

  if (n == 0)
    return 0;
  memcpy (sorted, stats->times_ns[stage], n * sizeof (gint64));
  qsort (sorted, n, sizeof (gint64), compare_times);
  return sorted[(n * 95 + 99) / 100 - 1];
}

gdouble
cond_inst_stats_fps (const CondInstStats * stats)
{
  guint n = MIN (stats->frames, COND_INST_STATS_WINDOW);
  gint64 first, last;

  if (n < 2)
    return 0;
  last = stats->passed_us[(stats->frames - 1) % COND_INST_STATS_WINDOW];
  first = stats->passed_us[(stats->frames - n) % COND_INST_STATS_WINDOW];
  return last > first ? (n - 1) * (gdouble) G_USEC_PER_SEC / (last - first) : 0;
}

void
cond_inst_stats_to_structure (const CondInstStats * stats,
    GstStructure * structure)
{
  guint n = MIN (stats->inferred, COND_INST_STATS_WINDOW);

  gst_structure_set (structure, "frames", G_TYPE_UINT64, stats->frames,
      "inferred", G_TYPE_UINT64, stats->inferred,
      "skipped", G_TYPE_UINT64, stats->skipped,
      "fps", G_TYPE_DOUBLE, cond_inst_stats_fps (stats), NULL);

  for (guint i = 0; i < COND_INST_N_STAGES; i++) {
    g_autoptr (GstStructure) stage = NULL;
    gint64 last = 0, sum = 0;

    for (guint j = 0; j < n; j++)
      sum += stats->times_ns[i][j];
    if (n > 0)
      last = stats->times_ns[i][(stats->inferred - 1) % COND_INST_STATS_WINDOW];
    stage = gst_structure_new (stage_names[i],
        "last-ms", G_TYPE_DOUBLE, last / 1e6,
        "mean-ms", G_TYPE_DOUBLE, n > 0 ? sum / 1e6 / n : 0.0,
        "p95-ms", G_TYPE_DOUBLE, cond_inst_stats_p95_ns (stats, i) / 1e6, NULL);
    gst_structure_set (structure, stage_names[i], GST_TYPE_STRUCTURE, stage,
        NULL);
  }
}
