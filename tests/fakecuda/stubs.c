/* Temporary: what is not there yet. */
#include "kernels/cuda/cuda.h"

#define WEAK __attribute__ ((weak))
#define MISSING(name) \
  { g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED, "stub: %s", name); return FALSE; }
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

WEAK cudnnStatus_t cudnnCreate (cudnnHandle_t *h) { *h = (cudnnHandle_t) 1; return 0; }
WEAK cudnnStatus_t cudnnDestroy (cudnnHandle_t h) { return 0; }
WEAK size_t cudnnGetVersion (void) { return CUDNN_VERSION; }
WEAK const char *cudnnGetErrorString (cudnnStatus_t s) { return "stub"; }
WEAK void cudnnGetLastErrorString (char *m, size_t n) { *m = 0; }
