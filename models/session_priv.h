/*
 * session_priv.h: inside of a CiSession, for its own files.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_SESSION_PRIV_H
#define CI_SESSION_PRIV_H

#include "method.h"

G_BEGIN_DECLS

#define CI_SESSION_MAX_IN_FLIGHT 64

typedef struct
{
  gint refs;
  gint width, height;           /* padded input */
  CiPlan *plan;
} SizedPlan;

/* How a frame, or a part of it of this size, comes into the input. Frames in
 * flight hold a reference: a GPU reads the tables until it is done. */
typedef struct
{
  gint refs;
  CiImageFormat image;          /* with the part's size */
  CiPreprocessOptions pre_options;
  CiPreprocess *pre;
} Scaling;

/* What a frame was looked at: all of it, or a part. */
typedef struct
{
  gint x, y;                    /* its corner in the frame */
  Scaling *scaling;
} View;

typedef struct
{
  Scaling *whole;
  SizedPlan *sized;
} Format;

struct _CiSession
{
  CiModel *model;
  const CiConfig *config;
  CiSessionOptions options;
  CiPool *pool;
  CiGraph *graph;
  gint capacity;

  GPtrArray *formats;           /* Format, most recently used last */
  Format *current;
  Scaling *region;              /* of the latest region, or NULL */
  View flights[CI_SESSION_MAX_IN_FLIGHT];       /* of frames in flight, the
                                                   oldest first */
  gint n_flights;
  View view;                    /* of the frame collected last; without a
                                   scaling: none since configure () */

  CiInstance *instances;        /* capacity */
  gint n_instances;
  guint8 *grids;
  gsize grids_size;
};

/* The probabilities of @grid. From CUDA a grid in a box has only its cells;
 * then @owned is what to free. */
const gfloat *ci_session_get_probabilities (const CiMaskGrid * grid,
    gfloat ** owned);

G_END_DECLS

#endif /* CI_SESSION_PRIV_H */
