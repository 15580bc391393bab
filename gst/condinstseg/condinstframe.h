/* GStreamer instance segmentation
 *
 * condinstframe.h: a frame on its way through the element
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef __COND_INST_FRAME_H__
#define __COND_INST_FRAME_H__

#include "condinstengine.h"
#include "condinstresult.h"
#include "condinststats.h"

G_BEGIN_DECLS

typedef struct
{
  GstBuffer *buffer;
  CondInstOptions options;      /* when it came; its strings may be gone */
  gboolean inferred;            /* else it carries an earlier frame's objects */
  gboolean in_flight;           /* the engine works on it */
  CiDetectParams params;
  gint64 times_ns[COND_INST_N_STAGES];

  gboolean mapped;
  GstVideoFrame video;
} CondInstFrame;

/* Takes @buffer. */
CondInstFrame *cond_inst_frame_new (GstBuffer * buffer,
    const CondInstOptions * options);
/* The engine must have forgotten it or be done with it. */
void cond_inst_frame_free (CondInstFrame * frame);

/* Has the engine look at the whole frame. */
gboolean cond_inst_frame_submit (CondInstFrame * frame,
    CondInstEngine * engine, GError ** error);
/* Waits for that; what was found goes into @result, all anew. */
gboolean cond_inst_frame_collect (CondInstFrame * frame,
    CondInstEngine * engine, CondInstResult * result, GError ** error);
/* Looks, instead, at the regions of interest on the frame that are of one of
 * @types (NULL: all). */
gboolean cond_inst_frame_look_into_regions (CondInstFrame * frame,
    CondInstEngine * engine, gchar ** types, CondInstResult * result,
    GError ** error);

G_END_DECLS

#endif
