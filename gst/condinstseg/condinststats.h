/* GStreamer instance segmentation
 *
 * condinststats.h: how many frames went through, and what they cost
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef __COND_INST_STATS_H__
#define __COND_INST_STATS_H__

#include <gst/gst.h>

G_BEGIN_DECLS

/* Times are remembered for this many of the latest inferred frames. */
#define COND_INST_STATS_WINDOW 256

typedef enum
{
  COND_INST_STAGE_PREPROCESS,
  COND_INST_STAGE_NETWORK,
  COND_INST_STAGE_DECODE,
  COND_INST_STAGE_MASKS,
  COND_INST_STAGE_TOTAL,        /* the element's, so more than the sum */
  COND_INST_N_STAGES
} CondInstStage;

/* Plain data; whoever owns it keeps threads apart. All zero is empty. */
typedef struct
{
  guint64 frames;               /* passed on */
  guint64 inferred;             /* of these, run through the network */
  guint64 skipped;              /* of these, too late for it */
  gint64 times_ns[COND_INST_N_STAGES][COND_INST_STATS_WINDOW];
  gint64 passed_us[COND_INST_STATS_WINDOW];     /* when frames went by */
} CondInstStats;

/* Counts a frame that passes at the monotonic time @now_us. */
void cond_inst_stats_count_frame (CondInstStats * stats, gint64 now_us);
/* Counts an inferred frame and what each stage of it took. */
void cond_inst_stats_count_inference (CondInstStats * stats,
    const gint64 times_ns[COND_INST_N_STAGES]);
/* The time that 95 % of the remembered frames did not exceed in @stage; 0 if
 * there are none. */
gint64 cond_inst_stats_p95_ns (const CondInstStats * stats,
    CondInstStage stage);
/* Frames per second of the remembered frames; 0 if there are too few. */
gdouble cond_inst_stats_fps (const CondInstStats * stats);
/* Adds the fields `frames` ... `total` to @structure. */
void cond_inst_stats_to_structure (const CondInstStats * stats,
    GstStructure * structure);

G_END_DECLS

#endif
