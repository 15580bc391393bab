/* GStreamer instance segmentation
 *
 * condinstengine.h: the model of an element at work, and on what it runs
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef __COND_INST_ENGINE_H__
#define __COND_INST_ENGINE_H__

#include <gst/video/video.h>

#include "condinstcuda.h"
#include "condinstoptions.h"
#include "models.h"

G_BEGIN_DECLS

/* Used by the streaming thread between start() and stop(), but for `cuda`. */
typedef struct
{
  GstElement *element;          /* whose it is */
  CondInstCuda cuda;

  gchar *source;                /* that metadata names */
  CiModel *model;
  gchar **labels;
  GQuark *quarks;               /* the same, as quarks */

  CiSessionOptions options;
  gint device_id;               /* asked for; -1: any */
  gchar *fallback;              /* why there is no GPU though one may be used */
  CiSession *session;
  guint capacity;               /* detections that it has room for */
  guint8 *classes;              /* flags of wanted ones */

  gboolean configured;          /* there are caps: `info` and `format` */
  GstVideoInfo info;
  CiImageFormat format;
} CondInstEngine;

/* Loads the model (@spec: NULL, or as ci_model_load_full() wants it) and its
 * labels; posts errors. */
gboolean cond_inst_engine_load (CondInstEngine * engine,
    const gchar * model_file, const gchar * config_file,
    const gchar * config_settings, const gchar * label_file);
/* Chooses what the model runs on and makes a session; posts errors. */
gboolean cond_inst_engine_start (CondInstEngine * engine,
    const CondInstOptions * options);
/* Everything is as before load(); frames in flight are lost. */
void cond_inst_engine_stop (CondInstEngine * engine);

/* Chooses classes as cond_inst_labels_select() does; posts a warning about
 * unknown ones. */
void cond_inst_engine_select (CondInstEngine * engine, const gchar * selected,
    const gchar * excluded);
/* Thresholds and classes of a frame that came with @options. */
void cond_inst_engine_get_params (const CondInstEngine * engine,
    const CondInstOptions * options, CiDetectParams * params);

/* Makes the session anew, for at most @max_detections objects (0 = the model's
 * own limit). No frame may be in flight. */
gboolean cond_inst_engine_reopen (CondInstEngine * engine,
    guint max_detections, GError ** error);
/* Gets ready for frames of @info and @format. No frame may be in flight. */
gboolean cond_inst_engine_configure (CondInstEngine * engine,
    const GstVideoInfo * info, const CiImageFormat * format, GError ** error);
/* Whether @buffer is in the memory of a device, but not of ours. */
gboolean cond_inst_engine_is_elsewhere (CondInstEngine * engine,
    GstBuffer * buffer);
/* Goes to the device that @buffer is on. No frame may be in flight. */
gboolean cond_inst_engine_follow (CondInstEngine * engine, GstBuffer * buffer,
    GError ** error);
/* Forgets the frames in flight. */
void cond_inst_engine_forget_frames (CondInstEngine * engine);
/* How many frames may be in flight. */
guint cond_inst_engine_get_max_in_flight (const CondInstEngine * engine);

/* Adds to an ALLOCATION query what the engine needs: a pool on the device, and
 * buffers for the frames that wait. TRUE if it added a pool. */
gboolean cond_inst_engine_propose_pool (CondInstEngine * engine,
    GstQuery * query);

/* What runs, and where: fields for `stats`. */
GstStructure *cond_inst_engine_describe (const CondInstEngine * engine);

G_END_DECLS

#endif
