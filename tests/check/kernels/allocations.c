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

  dl_iterate_phdr (find_cxx, NULL);
  fail_unless (cxx_end > cxx_start, "libstdc++ not found");
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

static Suite *
allocations_suite (void)
{
  Suite *s = suite_create ("allocations");
  TCase *tc = tcase_create ("frame");

  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_no_allocation_per_frame);
  return s;
}

GST_CHECK_MAIN (allocations);
