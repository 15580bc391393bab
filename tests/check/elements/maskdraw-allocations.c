/* GStreamer instance masks
 *
 * maskdraw-allocations.c: drawing allocates nothing once it has seen a frame
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <errno.h>
#include <string.h>

#include "maskframe.h"

static gint counting, n_allocations;    /* (atomic) */

/* glibc's own, under the functions that this program replaces */
extern void *__libc_malloc (size_t);
extern void *__libc_calloc (size_t, size_t);
extern void *__libc_realloc (void *, size_t);
extern void *__libc_memalign (size_t, size_t);
/* Everybody's; the build hides what it is not told to show. */
#pragma GCC visibility push(default)
void *malloc (size_t n);
void *calloc (size_t n, size_t size);
void *realloc (void *p, size_t n);
void *memalign (size_t alignment, size_t n);
int posix_memalign (void **p, size_t alignment, size_t n);
#pragma GCC visibility pop

static void
count (void)
{
  if (g_atomic_int_get (&counting))
    g_atomic_int_inc (&n_allocations);
}

void *
malloc (size_t n)
{
  count ();
  return __libc_malloc (n);
}

void *
calloc (size_t n, size_t size)
{
  count ();
  return __libc_calloc (n, size);
}

void *
realloc (void *p, size_t n)
{
  count ();
  return __libc_realloc (p, n);
}

void *
memalign (size_t alignment, size_t n)
{
  count ();
  return __libc_memalign (alignment, n);
}

int
posix_memalign (void **p, size_t alignment, size_t n)
{
  *p = memalign (alignment, n);
  return *p ? 0 : ENOMEM;
}

/* Eight objects that wander, with all layers and each effect */
GST_START_TEST (test_no_allocations)
{
  guint effect;

  for (effect = 0; effect < 6; effect++) {
    GstMaskDrawOptions options = GST_MASK_DRAW_OPTIONS_INIT;
    g_autoptr (GstMaskDraw) draw = gst_mask_draw_new ();
    GstInstanceMask masks[8];
    GstVideoFrame frame;
    GstVideoInfo info;
    GstBuffer *buffer;
    gboolean drawn;
    gint f;
    guint i;

    options.draw_boxes = TRUE;
    options.effect = effect;
    for (i = 0; i < 8; i++)
      make_mask (&masks[i], &(Ellipse) { 40 + 25 * i, 60, 20, 25 }, 5, i, i % 3,
          i % 2 ? "person" : "cat");
    gst_video_info_set_format (&info, GST_VIDEO_FORMAT_NV12, 320, 240);
    buffer = make_frame (&info, 0, BACKGROUND);
    fail_unless (gst_video_frame_map (&frame, &info, buffer,
            GST_MAP_READWRITE));
    fail_unless (gst_mask_draw_frame (draw, &frame, &options, masks, 8));

    n_allocations = 0;
    for (f = 0; f < 100; f++) {
      for (i = 0; i < 8; i++) {
        masks[i].offset_x += 0.1f;
        masks[i].offset_y += 0.2f;
        masks[i].y0 += 0.2f;
        masks[i].y1 += 0.2f;
      }
      counting = TRUE;
      drawn = gst_mask_draw_frame (draw, &frame, &options, masks, 8);
      counting = FALSE;
      fail_unless (drawn);
    }
    fail_unless_equals_int (n_allocations, 0);

    gst_video_frame_unmap (&frame);
    gst_buffer_unref (buffer);
    for (i = 0; i < 8; i++)
      g_bytes_unref (masks[i].grid);
  }
}

GST_END_TEST;

static Suite *
maskdraw_allocations_suite (void)
{
  Suite *s = suite_create ("maskdraw-allocations");
  TCase *tc = tcase_create ("general");

  /* or else zero would mean nothing */
  counting = TRUE;
  g_free (g_malloc (100));
  counting = FALSE;
  g_assert_cmpint (n_allocations, ==, 1);

  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_no_allocations);
  return s;
}

GST_CHECK_MAIN (maskdraw_allocations);
