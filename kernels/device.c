/*
 * device.c: finds and opens the module that computes on GPUs, and shares the
 * devices that it makes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cuda_module.h"

#include <gmodule.h>

/* Another path than that of the installation. */
#define MODULE_VARIABLE "GST_CONDINST_CUDA_MODULE"

static GMutex lock;             /* of all below, and of the devices' counts */
static GSList *devices;         /* CiDevice */
static const CiCudaModule *module;

/* The module stays open: CUDA's runtime in it does not come twice. */
static const CiCudaModule *
open_module_locked (GError ** error)
{
  const gchar *path = g_getenv (MODULE_VARIABLE);
  const CiCudaModule *found = NULL;
  GModule *handle;

  if (module)
    return module;
  if (!path || !*path)
    path = CI_CUDA_MODULE_PATH;
  if (!*path) {
    g_set_error_literal (error, CI_ERROR, CI_ERROR_NO_DEVICE,
        "this build has no CUDA backend");
    return NULL;
  }
  handle = g_module_open (path, G_MODULE_BIND_LAZY | G_MODULE_BIND_LOCAL);
  if (!handle) {
    g_set_error (error, CI_ERROR, CI_ERROR_NO_DEVICE,
        "the CUDA backend cannot be loaded: %s", g_module_error ());
    return NULL;
  }
  if (!g_module_symbol (handle, CI_CUDA_MODULE_SYMBOL, (gpointer *) & found)
      || found->version != CI_CUDA_MODULE_VERSION
      || found->plan_bytes != sizeof (CiPlan)) {
    g_set_error (error, CI_ERROR, CI_ERROR_NO_DEVICE,
        "the CUDA backend '%s' does not belong to this build", path);
    g_module_close (handle);
    return NULL;
  }
  g_module_make_resident (handle);
  return module = found;
}

CiDevice *
ci_device_open (gint index, gpointer context, GError ** error)
{
  CiDevice *device = NULL;
  gpointer native;

  g_mutex_lock (&lock);
  for (GSList * l = devices; l && !device; l = l->next) {
    CiDevice *other = l->data;

    if (other->index == index && other->context == context)
      device = other;
  }
  if (device) {
    device->refs++;
  } else if (open_module_locked (error)
      && (native = module->open (index, context, error))) {
    device = g_new0 (CiDevice, 1);
    *device = (CiDevice) {
    1, index, context, module, native};
    devices = g_slist_prepend (devices, device);
  }
  g_mutex_unlock (&lock);
  return device;
}

CiDevice *
ci_device_ref (CiDevice * device)
{
  g_mutex_lock (&lock);
  device->refs++;
  g_mutex_unlock (&lock);
  return device;
}

void
ci_device_unref (CiDevice * device)
{
  if (!device)
    return;
  g_mutex_lock (&lock);
  if (--device->refs == 0) {
    devices = g_slist_remove (devices, device);
    device->module->close (device->native);
    g_free (device);
  }
  g_mutex_unlock (&lock);
}

const gchar *
ci_device_get_description (const CiDevice * device)
{
  return device->module->describe (device->native);
}

/* ---- overlays ---------------------------------------------------------- */

struct _CiOverlay
{
  CiDevice *device;
  gpointer native;
};

CiOverlay *
ci_overlay_new (CiDevice * device, GError ** error)
{
  gpointer native = device->module->overlay->open (device->native, error);
  CiOverlay *overlay;

  if (!native)
    return NULL;
  overlay = g_new0 (CiOverlay, 1);
  overlay->device = ci_device_ref (device);
  overlay->native = native;
  return overlay;
}

void
ci_overlay_free (CiOverlay * overlay)
{
  if (!overlay)
    return;
  overlay->device->module->overlay->close (overlay->native);
  ci_device_unref (overlay->device);
  g_free (overlay);
}

void
ci_overlay_add (CiOverlay * overlay, const CiOverlayLayer * layer)
{
  overlay->device->module->overlay->add (overlay->native, layer);
}

gboolean
ci_overlay_blend (CiOverlay * overlay, const CiImageFormat * format,
    const CiImage * image, GError ** error)
{
  return overlay->device->module->overlay->blend (overlay->native, format,
      image, error);
}

const CiBackendFuncs *
ci_device_get_backend (const CiDevice * device)
{
  return device->module->backend;
}
