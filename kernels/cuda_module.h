/*
 * cuda_module.h: what the module of the CUDA backend shows to the engine that
 * opens it (device.c): one symbol, ci_cuda_module.
 *
 * The module reads and fills the structs of plan.h and graph.h, so it has to
 * come from the same build: @version and @plan_bytes tell.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_CUDA_MODULE_H
#define CI_CUDA_MODULE_H

#include "plan.h"

#define CI_CUDA_MODULE_SYMBOL "ci_cuda_module"
/* Raised with every change of what is shared. */
#define CI_CUDA_MODULE_VERSION 1

/* What CiOverlay is made of; @device: the module's. */
typedef struct
{
  gpointer (*open) (gpointer device, GError **error);
  void (*close) (gpointer native);
  void (*add) (gpointer native, const CiOverlayLayer *layer);
  gboolean (*blend) (gpointer native, const CiImageFormat *format,
      const CiImage *image, GError **error);
} CiOverlayFuncs;

typedef struct
{
  guint32 version;              /* CI_CUDA_MODULE_VERSION */
  guint32 plan_bytes;           /* sizeof (CiPlan) */
  const CiBackendFuncs *backend;

  /* A device of the module's, and back */
  gpointer (*open) (gint index, gpointer context, GError **error);
  void (*close) (gpointer native);
  const gchar *(*describe) (gconstpointer native);
  const CiOverlayFuncs *overlay;
} CiCudaModule;

struct _CiDevice
{
  gint refs;
  gint index;
  gpointer context;
  const CiCudaModule *module;
  gpointer native;              /* of the module */
};

#endif
