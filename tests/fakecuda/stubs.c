/* Temporary: what is not there yet. */
#include "kernels/cuda/cuda.h"

#define WEAK __attribute__ ((weak))
#define MISSING(name) \
  { g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED, "stub: %s", name); return FALSE; }
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

WEAK gboolean ci_cuda_prepare_map (CiPlan *plan, CiStep *step, GError **error) MISSING ("map")
WEAK gboolean ci_cuda_prepare_input (CiPlan *plan, CiStep *step, GError **error) MISSING ("input")
WEAK gsize ci_cuda_map_scratch (CiPlan *plan, CiValue value) { return 0; }
WEAK gboolean ci_cuda_prepare_deform_conv (CiPlan *plan, CiStep *step, GError **error) MISSING ("deform")
WEAK gsize ci_cuda_deform_conv_scratch (CiPlan *plan, CiValue value) { return 0; }
WEAK gboolean ci_cuda_prepare_detect (CiPlan *plan, CiStep *step, GError **error) MISSING ("detect")
WEAK gboolean ci_cuda_prepare_conv_at (CiPlan *plan, CiStep *step, GError **error) MISSING ("conv_at")
WEAK gboolean ci_cuda_prepare_masks (CiPlan *plan, CiStep *step, GError **error) MISSING ("masks")
WEAK gboolean ci_cuda_canvas_pack (CiPlan *plan, const CiView *srcs, gint n, CiView dst, const CiCanvas *canvas, GError **error) MISSING ("pack")
WEAK gboolean ci_cuda_canvas_finish (CiPlan *plan, CiView view, const CiCanvas *canvas, const float *scales, CiActivation activation, GError **error) MISSING ("finish")
WEAK gsize ci_cuda_results_bytes (const CiPlan *plan) { return 64; }
WEAK gboolean ci_cuda_prepare_results (CiPlan *plan, GError **error) { return TRUE; }
WEAK gboolean ci_cuda_enqueue_results (CiPlan *plan, GError **error) { return TRUE; }
WEAK gboolean ci_cuda_read_results (CiPlan *plan, gconstpointer pinned, GError **error) { return TRUE; }
WEAK CiConv *ci_conv_new (CiPlan *plan, const CiConvSpec *spec, const gchar *name, GError **error) { g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED, "stub: conv"); return NULL; }
WEAK void ci_conv_free (CiConv *conv) {}
WEAK gboolean ci_conv_run (CiPlan *plan, CiConv *conv, GError **error) MISSING ("conv")
WEAK cudnnStatus_t cudnnCreate (cudnnHandle_t *h) { *h = (cudnnHandle_t) 1; return 0; }
WEAK cudnnStatus_t cudnnDestroy (cudnnHandle_t h) { return 0; }
WEAK size_t cudnnGetVersion (void) { return CUDNN_VERSION; }
WEAK const char *cudnnGetErrorString (cudnnStatus_t s) { return "stub"; }
WEAK void cudnnGetLastErrorString (char *m, size_t n) { *m = 0; }
