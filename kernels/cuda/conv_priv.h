/*
 * conv_priv.h: convolutions by cuDNN; private to conv.c, conv_cudnn.c and
 * tune.c.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_CONV_PRIV_H
#define CI_CONV_PRIV_H

#include "cuda.h"

G_BEGIN_DECLS

/* How much of a convolution a cuDNN graph computes, in the order in which we
 * want it. Which kinds of bias an engine takes along with maps of halves is
 * nowhere written, so both are asked for. */
typedef enum
{
  CI_FORM_FUSED,                /* all of it, bias of floats */
  CI_FORM_FUSED_HALF_BIAS,      /* all of it, bias of halves */
  CI_FORM_PLAIN,                /* sums only: our epilogue follows */
  CI_N_FORMS
} CiForm;

/* A choice of tune.c. It outlives its users, who find it by @key: then without
 * @plan, which @json brings back. */
typedef struct
{
  gchar *key;
  gint n_users;
  CiForm form;
  gchar *json;                  /* the plan for a later time; may be NULL */
  cudnnBackendDescriptor_t plan;
  gint64 workspace;             /* bytes */
} CiEngine;

struct _CiConv
{
  CiConvSpec spec;
  CiCudaPlan *owner;
  CiEngine *engine;             /* NULL: one of our kernels */
  gconstpointer bias;           /* of the type that the engine wants */
  CiView weight;                /* as our kernels see it */
};

/* Memory that engines ask for at most. */
#define CI_MAX_WORKSPACE (256 << 20)

/* ---- conv_cudnn.c ------------------------------------------------------ */

/* Plans that are ready to run and need no more than CI_MAX_WORKSPACE, best
 * guess first: none, if cuDNN has nothing for that. NULL and @error if it could
 * not be asked. */
GPtrArray *ci_engines_new (CiCudaDevice *device, const CiConvSpec *spec,
    CiForm form, GError **error);
/* Sets @plan and @workspace from @json. */
gboolean ci_engine_load (CiCudaDevice *device, CiEngine *engine);
/* The plan for ci_engine_load(), or NULL if it cannot be written down. */
gchar *ci_engine_save (const CiEngine *engine);
/* Into the stream of @device->cudnn. */
cudnnStatus_t ci_engine_run (CiCudaDevice *device, const CiEngine *engine,
    const CiConvSpec *spec, gconstpointer bias, gpointer workspace);
void ci_engine_free (CiEngine *engine);

/* ---- tune.c ------------------------------------------------------------ */

/* Sets @engine and @bias of @conv, if cuDNN has something for it. */
gboolean ci_conv_tune (CiPlan *plan, CiConv *conv, GError **error);
/* Waits for what @user has enqueued. */
void ci_engine_unref (CiCudaPlan *user, CiEngine *engine);

/* ---- conv.c ------------------------------------------------------------ */

/* Sets @bias of @conv as @form wants it. */
gboolean ci_conv_set_bias (CiPlan *plan, CiConv *conv, CiForm form,
    GError **error);

G_END_DECLS

#endif /* CI_CONV_PRIV_H */
