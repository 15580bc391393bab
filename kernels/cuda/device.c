/*
 * device.c: a GPU, its context, its memory, and constants on it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gmodule.h>

#include "cuda.h"

/* Driver functions as they were in CUDA 12.0. */
#define DRIVER_API 12000

gboolean
ci_cuda_ok (cudaError_t status, const gchar * what, GError ** error)
{
  CiError code = CI_ERROR_BACKEND;

  if (status == cudaSuccess)
    return TRUE;
  if (status == cudaErrorMemoryAllocation)
    code = CI_ERROR_OUT_OF_MEMORY;
  else if (status == cudaErrorNoDevice || status == cudaErrorInsufficientDriver
      || status == cudaErrorInvalidDevice
      || status == cudaErrorSystemDriverMismatch
      || status == cudaErrorDevicesUnavailable)
    code = CI_ERROR_NO_DEVICE;
  g_set_error (error, CI_ERROR, code, "CUDA: %s: %s (%s)", what,
      cudaGetErrorString (status), cudaGetErrorName (status));
  /* what is no lasting fault must not be reported again by the next call */
  cudaGetLastError ();
  return FALSE;
}

gboolean
ci_cudnn_ok (cudnnStatus_t status, const gchar * what, GError ** error)
{
  gchar details[512] = "";

  if (status == CUDNN_STATUS_SUCCESS)
    return TRUE;
  cudnnGetLastErrorString (details, sizeof (details));
  g_set_error (error, CI_ERROR, status == CUDNN_STATUS_ALLOC_FAILED ?
      CI_ERROR_OUT_OF_MEMORY : CI_ERROR_BACKEND, "cuDNN: %s: %s%s%s", what,
      cudnnGetErrorString (status), *details ? ": " : "", details);
  return FALSE;
}

/* ---- opening ----------------------------------------------------------- */

/* Why there is no device, in the words of somebody who can change that. */
static gboolean
check_driver (gint * n_devices, GError ** error)
{
  int driver = 0, runtime = 0;
  cudaError_t status;

  cudaDriverGetVersion (&driver);
  cudaRuntimeGetVersion (&runtime);
  status = cudaGetDeviceCount (n_devices);
  if (status == cudaErrorInsufficientDriver && driver == 0) {
    g_set_error_literal (error, CI_ERROR, CI_ERROR_NO_DEVICE,
        "there is no NVIDIA driver (libcuda.so.1)");
    return FALSE;
  }
  if (status == cudaErrorInsufficientDriver) {
    g_set_error (error, CI_ERROR, CI_ERROR_NO_DEVICE,
        "the NVIDIA driver is for CUDA %d.%d, this build needs %d.%d",
        driver / 1000, driver % 1000 / 10, runtime / 1000,
        runtime % 1000 / 10);
    return FALSE;
  }
  return ci_cuda_ok (status, "looking for GPUs", error);
}

static gboolean
get_driver_function (const gchar * name, gpointer * function, GError ** error)
{
  enum cudaDriverEntryPointQueryResult result;

  if (!ci_cuda_ok (cudaGetDriverEntryPointByVersion (name, function,
              DRIVER_API, cudaEnableDefault, &result), name, error))
    return FALSE;
  if (result == cudaDriverEntryPointSuccess && *function)
    return TRUE;
  g_set_error (error, CI_ERROR, CI_ERROR_NO_DEVICE,
      "the NVIDIA driver has no %s of CUDA %d.%d", name, DRIVER_API / 1000,
      DRIVER_API % 1000 / 10);
  return FALSE;
}

static gboolean
driver_ok (int status, const gchar * what, GError ** error)
{
  if (status == 0)
    return TRUE;
  /* the runtime's numbers are the driver's */
  return ci_cuda_ok ((cudaError_t) status, what, error);
}

gboolean
ci_cuda_enter (CiCudaDevice * device, GError ** error)
{
  return driver_ok (device->push (device->context),
      "making the context current", error);
}

void
ci_cuda_leave (CiCudaDevice * device)
{
  gpointer popped;

  device->pop (&popped);
}

/* The context, and the number of its GPU. */
static gboolean
find_context (CiCudaDevice * device, gpointer context, gint index,
    gint n_devices, GError ** error)
{
  int (*get_device) (int *index) = NULL;
  int (*retain_primary) (gpointer * context, int index) = NULL;
  int (*release_primary) (int index) = NULL;

  if (!get_driver_function ("cuCtxPushCurrent", (gpointer *) & device->push,
          error)
      || !get_driver_function ("cuCtxPopCurrent", (gpointer *) & device->pop,
          error)
      || !get_driver_function ("cuCtxGetDevice", (gpointer *) & get_device,
          error)
      || !get_driver_function ("cuDevicePrimaryCtxRetain",
          (gpointer *) & retain_primary, error)
      || !get_driver_function ("cuDevicePrimaryCtxRelease",
          (gpointer *) & release_primary, error))
    return FALSE;
  if (context) {
    device->context = context;
    if (!ci_cuda_enter (device, error))
      return FALSE;
    if (!driver_ok (get_device (&device->index), "cuCtxGetDevice", error)) {
      ci_cuda_leave (device);
      return FALSE;
    }
    ci_cuda_leave (device);
    return TRUE;
  }
  device->index = MAX (index, 0);
  if (device->index >= n_devices) {
    g_set_error (error, CI_ERROR, CI_ERROR_NO_DEVICE,
        "there is no GPU %d: they are numbered 0 to %d", index,
        n_devices - 1);
    return FALSE;
  }
  if (!driver_ok (retain_primary (&device->context, device->index),
          "cuDevicePrimaryCtxRetain", error))
    return FALSE;
  device->release_primary = release_primary;
  return TRUE;
}

static gboolean
describe (CiCudaDevice * device, GError ** error)
{
  struct cudaDeviceProp prop;
  int driver = 0;
  gsize cudnn = cudnnGetVersion ();

  if (!ci_cuda_ok (cudaGetDeviceProperties (&prop, device->index),
          "cudaGetDeviceProperties", error)
      || !ci_cuda_ok (cudaDriverGetVersion (&driver), "cudaDriverGetVersion",
          error))
    return FALSE;
  device->sm = prop.major * 10 + prop.minor;
  device->description = g_strdup_printf ("%s (sm_%d), CUDA %d.%d, cuDNN %"
      G_GSIZE_FORMAT ".%" G_GSIZE_FORMAT ".%" G_GSIZE_FORMAT, prop.name,
      device->sm, driver / 1000, driver % 1000 / 10, cudnn / 10000,
      cudnn / 100 % 100, cudnn % 100);
  device->key = g_strdup_printf ("%s sm_%d cudnn %" G_GSIZE_FORMAT, prop.name,
      device->sm, cudnn);
  if (cudnn / 10000 != CUDNN_MAJOR || cudnn < CUDNN_VERSION / 100 * 100) {
    g_set_error (error, CI_ERROR, CI_ERROR_NO_DEVICE,
        "cuDNN is %" G_GSIZE_FORMAT ".%" G_GSIZE_FORMAT ", this build needs "
        "%d.%d or a newer %d", cudnn / 10000, cudnn / 100 % 100, CUDNN_MAJOR,
        CUDNN_MINOR, CUDNN_MAJOR);
    return FALSE;
  }
  if (device->sm < 75) {
    g_set_error (error, CI_ERROR, CI_ERROR_NO_DEVICE,
        "%s has compute capability %d.%d, at least 7.5 is needed", prop.name,
        prop.major, prop.minor);
    return FALSE;
  }
  return TRUE;
}

static void
device_close (gpointer native)
{
  CiCudaDevice *device = native;

  if (device->cudnn) {
    gboolean entered = ci_cuda_enter (device, NULL);

    /* it has memory of the host's, too, also where the context is gone */
    cudnnDestroy (device->cudnn);
    if (entered)
      ci_cuda_leave (device);
  }
  if (device->release_primary)
    device->release_primary (device->index);
  g_hash_table_unref (device->constants);
  g_clear_pointer (&device->choices, g_hash_table_unref);
  g_mutex_clear (&device->lock);
  g_free (device->description);
  g_free (device->key);
  g_free (device);
}

static gpointer
device_open (gint index, gpointer context, GError ** error)
{
  CiCudaDevice *device;
  gint n_devices = 0;
  gboolean ok;

  if (!check_driver (&n_devices, error))
    return NULL;
  device = g_new0 (CiCudaDevice, 1);
  g_mutex_init (&device->lock);
  device->constants = g_hash_table_new (g_str_hash, g_str_equal);
  ok = find_context (device, context, index, n_devices, error);
  if (ok && (ok = ci_cuda_enter (device, error))) {
    ok = describe (device, error)
        && ci_cuda_ok (ci_cuda_load_kernels (), "loading kernels", error)
        && ci_cudnn_ok (cudnnCreate (&device->cudnn), "cudnnCreate", error);
    ci_cuda_leave (device);
  }
  if (!ok)
    g_clear_pointer (&device, device_close);
  return device;
}

static const gchar *
device_describe (gconstpointer native)
{
  return ((const CiCudaDevice *) native)->description;
}

/* ---- memory ------------------------------------------------------------ */

gpointer
ci_cuda_alloc (CiCudaDevice * device, gsize n_bytes, GError ** error)
{
  g_autofree gchar *what = g_strdup_printf ("a buffer of %" G_GSIZE_FORMAT
      " bytes", n_bytes);
  gpointer memory = NULL;

  if (!ci_cuda_ok (cudaMalloc (&memory, MAX (n_bytes, 1)), what, error))
    return NULL;
  /* other streams do not wait for this one by themselves */
  if (!ci_cuda_ok (cudaMemset (memory, 0, n_bytes), what, error)
      || !ci_cuda_ok (cudaStreamSynchronize (NULL), what, error)) {
    cudaFree (memory);
    return NULL;
  }
  return memory;
}

void
ci_cuda_free (CiCudaDevice * device, gpointer memory)
{
  cudaFree (memory);
}

gpointer
ci_cuda_plan_alloc (CiPlan * plan, gsize n_bytes, GError ** error)
{
  CiCudaPlan *cuda = ci_cuda_plan (plan);
  gpointer memory = ci_cuda_alloc (cuda->device, n_bytes, error);

  if (memory)
    g_ptr_array_add (cuda->memory, memory);
  return memory;
}

gboolean
ci_cuda_plan_alloc_parts (CiPlan * plan, const gsize * bytes,
    gpointer * parts, gint n, GError ** error)
{
  gsize total = 0;
  guint8 *memory;

  for (gint i = 0; i < n; i++)
    total += ci_cuda_align (bytes[i]);
  if (!(memory = ci_cuda_plan_alloc (plan, total, error)))
    return FALSE;
  for (gint i = 0; i < n; i++) {
    parts[i] = memory;
    memory += ci_cuda_align (bytes[i]);
  }
  return TRUE;
}

/* ---- constants --------------------------------------------------------- */

/* Under the device's lock. */
struct _CiCudaConstant
{
  gint refs;                    /* plans */
  gchar *key;
  gpointer memory;
};

gconstpointer
ci_cuda_constant (CiPlan * plan, const gchar * key, gsize n_bytes,
    CiCudaFill fill, gpointer data, GError ** error)
{
  CiCudaPlan *cuda = ci_cuda_plan (plan);
  g_autofree gchar *name = g_strdup_printf ("%" G_GUINT64_FORMAT "/%s/%s",
      plan->weights->id, cuda->half ? "fp16" : "fp32", key);
  CiCudaConstant *constant = g_hash_table_lookup (cuda->device->constants,
      name);
  g_autofree gpointer host = NULL;

  if (constant) {
    if (!g_ptr_array_find (cuda->constants, constant, NULL)) {
      constant->refs++;
      g_ptr_array_add (cuda->constants, constant);
    }
    return constant->memory;
  }
  if (!(host = g_try_malloc0 (n_bytes))) {
    g_set_error (error, CI_ERROR, CI_ERROR_OUT_OF_MEMORY,
        "out of memory: a buffer of %" G_GSIZE_FORMAT " bytes", n_bytes);
    return NULL;
  }
  if (!fill (host, data, error))
    return NULL;
  constant = g_new0 (CiCudaConstant, 1);
  constant->memory = ci_cuda_alloc (cuda->device, n_bytes, error);
  if (!constant->memory || !ci_cuda_ok (cudaMemcpy (constant->memory, host,
              n_bytes, cudaMemcpyHostToDevice), "uploading weights", error)) {
    if (constant->memory)
      ci_cuda_free (cuda->device, constant->memory);
    g_free (constant);
    return NULL;
  }
  constant->refs = 1;
  constant->key = g_steal_pointer (&name);
  g_hash_table_insert (cuda->device->constants, constant->key, constant);
  g_ptr_array_add (cuda->constants, constant);
  return constant->memory;
}

void
ci_cuda_constant_unref (CiCudaDevice * device, CiCudaConstant * constant)
{
  if (--constant->refs)
    return;
  g_hash_table_remove (device->constants, constant->key);
  ci_cuda_free (device, constant->memory);
  g_free (constant->key);
  g_free (constant);
}

typedef struct
{
  CiPlan *plan;
  const gchar *prefix, *suffix;
  gint n;
} Vector;

static gboolean
fill_vector (gpointer host, gpointer data, GError ** error)
{
  const Vector *v = data;
  const gint64 n = v->n;
  g_autofree gfloat *values = ci_plan_tensor (v->plan, v->prefix, v->suffix, 1,
      &n, error);

  if (values)
    memcpy (host, values, v->n * sizeof (gfloat));
  return values != NULL;
}

const float *
ci_cuda_vector (CiPlan * plan, const gchar * prefix, const gchar * suffix,
    gint n, GError ** error)
{
  g_autofree gchar *key = g_strconcat (prefix, suffix, NULL);
  Vector v = { plan, prefix, suffix, n };

  return ci_cuda_constant (plan, key, ((n + 7) & ~7) * sizeof (float),
      fill_vector, &v, error);
}

gchar *
ci_cuda_weights_key (const CiNode * node, const gchar * layout)
{
  return g_strdup_printf ("%s|%s|%s|%s", node->name,
      node->norm_name ? node->norm_name : "",
      node->scale_name ? node->scale_name : "", layout);
}

/* ---- the module -------------------------------------------------------- */

extern const CiBackendFuncs ci_backend_cuda;
extern const CiOverlayFuncs ci_cuda_overlay;

G_MODULE_EXPORT const CiCudaModule ci_cuda_module = {
  CI_CUDA_MODULE_VERSION, sizeof (CiPlan), &ci_backend_cuda,
  device_open, device_close, device_describe, &ci_cuda_overlay
};
