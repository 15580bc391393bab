/*
 * preprocess.h: frames and runs that the tests of pre-processing share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef PREPROCESS_H
#define PREPROCESS_H

#include <gst/check/gstcheck.h>
#include <string.h>

#include "kernels.h"

/* fail_unless() for inner loops: it makes a system call each time */
#define check(cond, ...) \
  G_STMT_START { \
    if (G_UNLIKELY (!(cond))) \
      fail_unless (cond, __VA_ARGS__); \
  } G_STMT_END

/* ---- frames ----------------------------------------------------------- */

typedef struct
{
  CiImageFormat format;
  CiImage image;
  guint8 *memory[3];
  gsize size[3];
} Frame;

static inline gint
n_planes (CiPixelFormat f)
{
  return f == CI_PIXEL_NV12 || f == CI_PIXEL_P010 ? 2
      : f == CI_PIXEL_I420 ? 3 : 1;
}

static inline gint
pixel_bytes (CiPixelFormat f)
{
  switch (f) {
    case CI_PIXEL_RGB:
    case CI_PIXEL_BGR:
      return 3;
    case CI_PIXEL_RGBA:
    case CI_PIXEL_BGRA:
    case CI_PIXEL_RGBX:
    case CI_PIXEL_BGRX:
      return 4;
    case CI_PIXEL_P010:
      return 2;
    default:
      return 1;
  }
}

/* Random bytes everywhere, padding included; planes end with their last
 * sample, so that a sanitizer sees reads behind it. */
static inline void
frame_init (Frame * frame, CiPixelFormat f, gint width, gint height,
    gint padding, guint seed)
{
  GRand *rand = g_rand_new_with_seed (seed);
  gint p;

  memset (frame, 0, sizeof (*frame));
  frame->format.pixel_format = f;
  frame->format.width = width;
  frame->format.height = height;
  for (p = 0; p < n_planes (f); p++) {
    gint w = p ? (width + 1) / 2 : width;
    gint h = p ? (height + 1) / 2 : height;
    gint row = pixel_bytes (f) * (p && n_planes (f) == 2 ? 2 * w : w);
    gsize i, size;

    frame->image.strides[p] = row + padding;
    size = (gsize) (h - 1) * (row + padding) + row;
    frame->memory[p] = g_malloc (size);
    frame->size[p] = size;
    frame->image.planes[p] = frame->memory[p];
    for (i = 0; i < size; i++)
      frame->memory[p][i] = g_rand_int (rand) >> 13;
  }
  g_rand_free (rand);
}

static inline void
frame_clear (Frame * frame)
{
  gint p;

  for (p = 0; p < 3; p++)
    g_free (frame->memory[p]);
}

/* ---- running ---------------------------------------------------------- */

static const CiPreprocessOptions plain_options = {
  .rgb = TRUE,.std = {1, 1, 1}
};

static inline CiPreprocess *
new_preprocess (const Frame * frame, CiPreprocessOptions options, gint w,
    gint h)
{
  g_autoptr (GError) error = NULL;
  CiPreprocess *pre;

  options.resized_width = w;
  options.resized_height = h;
  options.padded_width = MAX (options.padded_width, w);
  options.padded_height = MAX (options.padded_height, h);
  pre = ci_preprocess_new (&frame->format, &options, &error);
  fail_unless (pre != NULL, "%s", error ? error->message : "no error set");
  return pre;
}

/* Resized w x h bytes in the input's channel order; checks that the floats
 * are the same, with mean 0 and std 1. */
static inline guint8 *
run_levels (const Frame * frame, CiResizeQuality quality, gboolean rgb, gint w,
    gint h, CiPool * pool)
{
  CiPreprocessOptions options = plain_options;
  gsize n = (gsize) w * h, i;
  g_autofree gfloat *dst = g_new (gfloat, n * 3);
  CiPreprocess *pre;
  guint8 *bytes;

  options.quality = quality;
  options.rgb = rgb;
  pre = new_preprocess (frame, options, w, h);
  memset (dst, 0x7f, n * 3 * sizeof (gfloat));
  ci_preprocess_run (pre, &frame->image, dst, pool);
  bytes = g_memdup2 (ci_preprocess_get_resized (pre), n * 3);
  for (i = 0; i < n * 3; i++)
    check (dst[i % 3 * n + i / 3] == bytes[i],
        "value %" G_GSIZE_FORMAT " is %g, byte %d", i, dst[i % 3 * n + i / 3],
        bytes[i]);
  ci_preprocess_free (pre);
  return bytes;
}

static inline guint8 *
run_exact (const Frame * frame, gboolean rgb, gint w, gint h, CiPool * pool)
{
  return run_levels (frame, CI_RESIZE_EXACT, rgb, w, h, pool);
}

static inline guint64
fnv1a64 (const guint8 * data, gsize n)
{
  guint64 hash = G_GUINT64_CONSTANT (0xcbf29ce484222325);
  gsize i;

  for (i = 0; i < n; i++)
    hash = (hash ^ data[i]) * G_GUINT64_CONSTANT (0x100000001b3);
  return hash;
}

/* All bytes black or white. */
static inline void
frame_contrast (Frame * frame)
{
  for (gint p = 0; p < 3; p++)
    for (gsize i = 0; i < frame->size[p]; i++)
      frame->memory[p][i] = frame->memory[p][i] & 1 ? 255 : 0;
}

#endif
