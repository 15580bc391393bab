/*
 * allocations.c: a frame costs no memory once a format is known.
 *
 * Every allocation of the process goes through the functions below, which
 * count those made while a session runs. Not counted: what the C++ run-time
 * library asks for, for oneDNN's dnnl_primitive_execute() builds a small map
 * of its arguments in each call, which no caller of it can avoid.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gst/check/gstcheck.h>
#include <link.h>
#include <string.h>

#include "conformance.h"
#include "models/models.h"

extern void *__libc_malloc (size_t);
extern void *__libc_calloc (size_t, size_t);
extern void *__libc_realloc (void *, size_t);
extern void *__libc_memalign (size_t, size_t);
/* Everybody's, the build hides what it is not told to show. */
#pragma GCC visibility push(default)
void *malloc (size_t n);
void *calloc (size_t n, size_t size);
void *realloc (void *p, size_t n);
int posix_memalign (void **p, size_t alignment, size_t n);
#pragma GCC visibility pop

static gint counting, n_allocations;
static guintptr cxx_start, cxx_end;

static void
count (void *caller)
{
  if (g_atomic_int_get (&counting) && ((guintptr) caller < cxx_start
          || (guintptr) caller >= cxx_end))
    g_atomic_int_inc (&n_allocations);
}

void *
malloc (size_t n)
{
  count (__builtin_return_address (0));
  return __libc_malloc (n);
}

void *
calloc (size_t n, size_t size)
{
  count (__builtin_return_address (0));
  return __libc_calloc (n, size);
}

void *
realloc (void *p, size_t n)
{
  count (__builtin_return_address (0));
  return __libc_realloc (p, n);
}

int
posix_memalign (void **p, size_t alignment, size_t n)
{
  count (__builtin_return_address (0));
  *p = __libc_memalign (alignment, n);
  return *p ? 0 : 12;
}

static int
find_cxx (struct dl_phdr_info *info, size_t size, void *data)
{
  if (!strstr (info->dlpi_name, "libstdc++"))
    return 0;
  for (gint i = 0; i < info->dlpi_phnum; i++)
    if (info->dlpi_phdr[i].p_type == PT_LOAD
        && (info->dlpi_phdr[i].p_flags & PF_X)) {
      cxx_start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
      cxx_end = cxx_start + info->dlpi_phdr[i].p_memsz;
    }
  return 1;
}

static void
look_for_cxx (void)
{
  dl_iterate_phdr (find_cxx, NULL);
  fail_unless (cxx_end > cxx_start, "libstdc++ not found");
}

/* FALSE if a frame fails or does not find something (nothing); asserts would
 * allocate. */
static gboolean
run_frames (CiSession * session, gint n, gboolean nothing)
{
  static guint8 frame[320 * 192 * 3 / 2];
  CiImage image = { {frame, frame + 320 * 192}, {320, 320} };
  CiDetectParams params;
  const CiInstance *instances;
  gint found = 0;

  for (guint i = 0; i < sizeof (frame); i++)
    frame[i] = (i * 2654435761u >> 24) % 220 + 16;
  ci_session_get_detect_params (session, &params);
  /* made-up weights find something everywhere at a low threshold */
  params.inference_threshold = nothing ? 1.0f : 1e-4f;
  for (gint i = 0; i < n; i++)
    if (!ci_session_run (session, &image, &params, &instances, &found, NULL)
        || nothing != (found == 0))
      return FALSE;
  return TRUE;
}

GST_START_TEST (test_no_allocation_per_frame)
{
  g_autoptr (CiModel) model = ci_model_load ("random:condinst-light", NULL);
  CiSessionOptions options = CI_SESSION_OPTIONS_INIT;
  CiImageFormat format = { CI_PIXEL_NV12, 320, 192, CI_YUV_BT709, FALSE };
  CiSession *session;
  gboolean ok;

  options.input_width = 256;
  options.input_height = 160;
  session = ci_session_new (model, &options, NULL);
  fail_unless (ci_session_configure (session, &format, NULL));
  fail_unless (run_frames (session, 1, FALSE));

  g_atomic_int_set (&counting, 1);
  ok = run_frames (session, 50, FALSE) && run_frames (session, 50, TRUE);
  g_atomic_int_set (&counting, 0);
  fail_unless (ok);
  fail_unless_equals_int (n_allocations, 0);

  /* the counter counts */
  g_atomic_int_set (&counting, 1);
  g_free (g_malloc (100));
  g_atomic_int_set (&counting, 0);
  fail_unless (n_allocations > 0);
  ci_session_free (session);
}

GST_END_TEST;

/* What the networks that condinst-light does not stand for are made of. */
static CiGraph *
build_everything (void)
{
  CiGraph *g = ci_graph_new ();
  CiValue x = ci_graph_input (g, 3), y, maps[3], detections, rows;
  CiFcosLevel level;
  CiBlendParams blend = { 4, 14, 56 };

  x = ci_graph_conv (g, x, "stem", 32, 3, 2, 1, 1, TRUE);
  y = ci_graph_conv (g, x, "offset", 27, 3, 1, 1, 1, TRUE);
  y = ci_graph_deform_conv (g, x, y, "deform", 32, 3, 1, 1, 8, FALSE);
  maps[0] = x;
  maps[1] = ci_graph_conv (g, y, "grouped", 20, 3, 1, 1, 4, TRUE);
  maps[2] = ci_graph_resize_like (g, ci_graph_max_pool (g, x, 3, 2, 0, TRUE),
      x, CI_RESIZE_BILINEAR);
  y = ci_graph_concat (g, maps, 3);
  y = ci_graph_conv (g, y, "shrink", 32, 1, 1, 0, 1, TRUE);
  maps[1] = ci_graph_channel_scale (g, y, ci_graph_activation (g,
          ci_graph_global_avg_pool (g, y), CI_ACTIVATION_HARD_SIGMOID));
  y = ci_graph_weighted_add (g, maps, 2, "fusion");
  y = ci_graph_activation (g, y, CI_ACTIVATION_SWISH);
  y = ci_graph_group_norm (g, y, "norm", 4);
  level.logits = ci_graph_conv (g, y, "logits", 5, 3, 1, 1, 1, TRUE);
  level.reg = ci_graph_activation (g, ci_graph_conv (g, y, "reg", 4, 3, 1, 1,
          1, TRUE), CI_ACTIVATION_RELU);
  level.ctr = ci_graph_conv (g, y, "ctr", 1, 3, 1, 1, 1, TRUE);
  level.stride = 8;
  detections = ci_graph_fcos_detect (g, &level, 1, 50, FALSE);
  rows = ci_graph_conv_at (g, &y, 1, detections, "top", 4 * 14 * 14, 3);
  y = ci_graph_conv (g, y, "bases", 4, 1, 1, 0, 1, TRUE);
  ci_graph_output (g, ci_graph_blend_masks (g, y, detections, rows, &blend),
      "masks");
  return g;
}

/* SOLOv2, and SOLO, whose masks have another size than their maps. */
static CiGraph *
build_solo (CiSoloSource source)
{
  CiSoloParams params = { source, 4, 0.5f, 0.0f, 2.0f };
  CiGraph *g = ci_graph_new ();
  CiValue x = ci_graph_conv (g, ci_graph_input (g, 3), "stem", 16, 3, 2, 1, 1,
      TRUE), maps[2] = { x, ci_graph_coords (g, x, TRUE, TRUE) }, detections;
  CiSoloLevel levels[2];

  x = ci_graph_concat (g, maps, 2);
  for (gint l = 0; l < 2; l++) {
    CiValue y = ci_graph_resize (g, x, 9 - l, 9 - l, CI_RESIZE_BILINEAR);

    levels[l] = (CiSoloLevel) {
      ci_graph_conv (g, y, "logits", 5, 3, 1, 1, 1, TRUE), 9 - l, 8, {x, x}};
    if (source == CI_SOLO_DYNAMIC)
      levels[l].masks[0] = ci_graph_conv (g, y, "kernels", 18, 3, 1, 1, 1,
          TRUE);
    else if (l)
      levels[l].masks[0] = ci_graph_max_pool (g, x, 2, 2, 0, TRUE);
  }
  detections = ci_graph_solo_detect (g, levels, 2, x, "masks", 50, &params);
  ci_graph_output (g, ci_graph_solo_masks (g, levels, 2, x, "masks",
          detections, &params), "masks");
  return g;
}

/* A head with priors, masks of prototypes and their scores. */
static CiGraph *
build_prototypes (void)
{
  CiGraph *g = ci_graph_new ();
  CiValue x = ci_graph_conv (g, ci_graph_input (g, 3), "stem", 16, 3, 2, 1, 1,
      TRUE), detections, rows;
  CiMultiboxLevel level = { ci_graph_conv (g, x, "loc", 12, 3, 1, 1, 1, TRUE),
    ci_graph_conv (g, x, "conf", 18, 3, 1, 1, 1, TRUE), {{0.1f, 0.1f},
          {0.2f, 0.1f}, {0.1f, 0.2f}}
  };
  CiMultiboxParams params = { 50, {0.1f, 0.2f} };
  CiValue coefficients = ci_graph_activation (g, ci_graph_conv (g, x,
          "coefficients", 48, 3, 1, 1, 1, TRUE), CI_ACTIVATION_TANH);

  detections = ci_graph_multibox_detect (g, &level, 1, &params);
  rows = ci_graph_gather (g, &coefficients, 1, detections, 16);
  x = ci_graph_activation (g, x, CI_ACTIVATION_LEAKY_RELU);
  ci_graph_rescore (g, detections, ci_graph_global_max_pool (g,
          ci_graph_conv (g, ci_graph_assemble_items (g, x, detections, rows),
              "quality", 5, 3, 2, 0, 1, TRUE)));
  ci_graph_output (g, ci_graph_assemble_masks (g, x, detections, rows, FALSE),
      "masks");
  return g;
}

GST_START_TEST (test_no_allocation_in_any_layer)
{
  CiGraph *graph = __i__ == 0 ? build_everything () : __i__ == 3
      ? build_prototypes ()
      : build_solo (__i__ == 1 ? CI_SOLO_STATIC : CI_SOLO_DYNAMIC);
  TestWeights *weights = weights_for (graph);
  CiPool *pool = ci_pool_new (2);
  CiPlanOptions options = { CI_BACKEND_CPU, pool, 60, 90 };
  CiPlan *plan = ci_plan_compile (graph, &weights->base, &options, NULL);
  CiDetectParams params = { 0.05f, 0.6, 1000, 50, NULL };
  CiDetections detections;
  gboolean ok = TRUE;

  fail_unless (plan != NULL);
  for (gint i = 0; i < 3 * 60 * 90; i++)
    ci_plan_get_input (plan)[i] = i % 17 - 8;
  /* oneDNN makes things of its own when a thread comes by first */
  for (gint i = 0; i < 50; i++)
    fail_unless (ci_plan_run (plan, &params, NULL));
  n_allocations = 0;
  g_atomic_int_set (&counting, 1);
  for (gint i = 0; i < 10; i++)
    ok &= ci_plan_run (plan, &params, NULL);
  g_atomic_int_set (&counting, 0);
  fail_unless (ok);
  fail_unless_equals_int (n_allocations, 0);
  ci_plan_get_detections (plan, &detections);
  fail_unless (detections.count > 0);
  ci_plan_free (plan);
  ci_pool_free (pool);
  weights_free (weights);
  ci_graph_free (graph);
}

GST_END_TEST;

static Suite *
allocations_suite (void)
{
  Suite *s = suite_create ("allocations");
  TCase *tc = tcase_create ("frame");

  suite_add_tcase (s, tc);
  tcase_add_unchecked_fixture (tc, look_for_cxx, NULL);
  tcase_add_test (tc, test_no_allocation_per_frame);
  tcase_add_loop_test (tc, test_no_allocation_in_any_layer, 0, 4);
  return s;
}

GST_CHECK_MAIN (allocations);
