/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "preprocess_priv.h"

#include <math.h>
#include <string.h>

/* Tasks repeat up to 15 source rows of their upper neighbour, so few are made;
 * more of them than threads even out a busy machine. */
#define TASKS_PER_THREAD 2
#define MAX_TASKS 32
/* Scratch beyond which extreme shapes make do with fewer tasks. */
#define MAX_SCRATCH_BYTES (16 << 20)

static const struct
{
  gboolean (*init) (CiPreprocess * pre);
  void (*clear) (CiPreprocess * pre);
  void (*rows) (CiPreprocess * pre, const CiImage * image, gfloat * dst,
      guint8 * scratch, gint first_row, gint end_row);
} resizes[] = {
  [CI_RESIZE_EXACT] = {ci_preprocess_exact_init, ci_preprocess_exact_clear,
      ci_preprocess_exact_rows},
  [CI_RESIZE_FAST] = {ci_preprocess_fast_init, ci_preprocess_fast_clear,
      ci_preprocess_fast_rows},
  [CI_RESIZE_OPENCV] = {ci_preprocess_opencv_init, ci_preprocess_opencv_clear,
      ci_preprocess_opencv_rows},
};

static gboolean
check_range (const gchar * what, gint value, gint low, gint high,
    GError ** error)
{
  if (value >= low && value <= high)
    return TRUE;
  g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
      "pre-processing: %s is %d, expected %d to %d", what, value, low, high);
  return FALSE;
}

static gboolean
check_arguments (const CiImageFormat * format, const CiPreprocessOptions * o,
    GError ** error)
{
  const gint max = CI_PREPROCESS_MAX_SIZE;
  gint c;

  if (!format || !o) {
    g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "pre-processing: no %s given", format ? "options" : "image format");
    return FALSE;
  }
  if (!check_range ("frame width", format->width, 1, max, error)
      || !check_range ("frame height", format->height, 1, max, error)
      || !check_range ("resized width", o->resized_width, 1, max, error)
      || !check_range ("resized height", o->resized_height, 1, max, error)
      || !check_range ("padded width", o->padded_width, o->resized_width,
          max, error)
      || !check_range ("padded height", o->padded_height, o->resized_height,
          max, error)
      || !check_range ("pixel format", format->pixel_format, CI_PIXEL_NV12,
          CI_PIXEL_P010, error)
      || !check_range ("colour matrix", format->matrix, CI_YUV_BT601,
          CI_YUV_BT2020, error)
      || !check_range ("resize quality", o->quality, CI_RESIZE_EXACT,
          CI_RESIZE_OPENCV, error))
    return FALSE;
  for (c = 0; c < 3; c++) {
    if (!isfinite (o->mean[c]) || !isfinite (o->std[c]) || o->std[c] <= 0) {
      g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
          "pre-processing: mean %g and std %g of channel %d, "
          "expected finite values and std > 0", o->mean[c], o->std[c], c);
      return FALSE;
    }
  }
  return TRUE;
}

/* Bytes of a pixel in the first plane, and of what 2 x 2 pixels share in each
 * other one. Packed formats: red and blue; green is byte 1. */
static const struct
{
  gint n_planes, bytes, chroma_bytes, red, blue;
} formats[] = {
  [CI_PIXEL_NV12] = {2, 1, 2},
  [CI_PIXEL_I420] = {3, 1, 1},
  [CI_PIXEL_RGB] = {1, 3, 0, 0, 2},
  [CI_PIXEL_BGR] = {1, 3, 0, 2, 0},
  [CI_PIXEL_RGBA] = {1, 4, 0, 0, 2},
  [CI_PIXEL_BGRA] = {1, 4, 0, 2, 0},
  [CI_PIXEL_RGBX] = {1, 4, 0, 0, 2},
  [CI_PIXEL_BGRX] = {1, 4, 0, 2, 0},
  [CI_PIXEL_GRAY8] = {1, 1},
  [CI_PIXEL_P010] = {2, 2, 4},
};

void
ci_image_crop (const CiImageFormat * format, const CiImage * image, gint x,
    gint y, CiImage * out)
{
  const CiPixelFormat f = format->pixel_format;

  *out = *image;
  out->planes[0] += (gssize) y * image->strides[0] + x * formats[f].bytes;
  for (gint i = 1; i < formats[f].n_planes; i++)
    out->planes[i] += (gssize) (y / 2) * image->strides[i]
        + x / 2 * formats[f].chroma_bytes;
}

/* Samples of the frame (Rec. ITU-R BT.601-7, BT.709-6, BT.2020-2: 10 bits are
 * two more of the same levels, but 0 to 1023 in full range) -> channels of the
 * input, in levels 0-255. */
static void
set_up_channels (CiPreprocess * pre)
{
  static const gdouble kr_kb[][2] = {
    [CI_YUV_BT601] = {0.299, 0.114},
    [CI_YUV_BT709] = {0.2126, 0.0722},
    [CI_YUV_BT2020] = {0.2627, 0.0593},
  };
  const CiPixelFormat format = pre->format.pixel_format;
  const gboolean full = pre->format.full_range;
  const gdouble kr = kr_kb[pre->format.matrix][0];
  const gdouble kb = kr_kb[pre->format.matrix][1];
  const gdouble kg = 1.0 - kr - kb;
  const gdouble level = format == CI_PIXEL_P010 ? 4 : 1;        /* of 8 bits */
  const gdouble most = 256 * level - 1;
  const gdouble luma = 255.0 / (full ? most : 219 * level);
  const gdouble chroma = 255.0 / (full ? most : 224 * level);
  const gint red = pre->options.rgb ? 0 : 2;
  const gint blue = 2 - red;
  gint c;

  pre->is_yuv = formats[format].n_planes > 1;
  pre->n_channels = format == CI_PIXEL_GRAY8 ? 1 : 3;
  pre->pixel_bytes = formats[format].bytes;
  pre->chroma_bytes = formats[format].chroma_bytes;

  if (pre->is_yuv || format == CI_PIXEL_GRAY8) {
    for (c = 0; c < 3; c++)
      pre->matrix[c][0] = luma;
    if (pre->is_yuv) {
      pre->component[0] = blue;
      pre->component[1] = 1;
      pre->component[2] = red;
      pre->matrix[red][2] = chroma * 2 * (1 - kr);
      pre->matrix[1][1] = -chroma * 2 * (1 - kb) * kb / kg;
      pre->matrix[1][2] = -chroma * 2 * (1 - kr) * kr / kg;
      pre->matrix[blue][1] = chroma * 2 * (1 - kb);
    }
    for (c = 0; c < 3; c++)
      pre->matrix[c][3] = -(full ? 0 : 16 * level) * luma
          - 128 * level * (pre->matrix[c][1] + pre->matrix[c][2]);
  } else {
    pre->component[red] = formats[format].red;
    pre->component[1] = 1;
    pre->component[blue] = formats[format].blue;
    for (c = 0; c < 3; c++)
      pre->matrix[c][c] = 1.0;
  }
}

CiPreprocess *
ci_preprocess_new (const CiImageFormat * format,
    const CiPreprocessOptions * options, GError ** error)
{
  CiPreprocess *pre;
  gboolean ok;

  if (!check_arguments (format, options, error))
    return NULL;

  pre = g_new0 (CiPreprocess, 1);
  pre->format = *format;
  pre->options = *options;
  set_up_channels (pre);
  ok = options->on_device ? ci_preprocess_device_init (pre)
      : resizes[options->quality].init (pre);
  if (ok && !options->on_device) {
    pre->max_tasks = MIN (MAX_TASKS, options->resized_height);
    pre->max_tasks = CLAMP (MAX_SCRATCH_BYTES / pre->scratch_bytes, 1,
        (gsize) pre->max_tasks);
    pre->scratch_base =
        g_try_malloc (pre->max_tasks * pre->scratch_bytes + 63);
  }
  if (!ok || (!options->on_device && !pre->scratch_base)) {
    g_set_error (error, CI_ERROR, CI_ERROR_OUT_OF_MEMORY,
        "pre-processing: no memory for tables and scratch of a %d x %d frame "
        "resized to %d x %d", format->width, format->height,
        options->resized_width, options->resized_height);
    ci_preprocess_free (pre);
    return NULL;
  }
  if (pre->scratch_base)
    pre->scratch = (guint8 *) CI_ALIGN64 (pre->scratch_base);
  return pre;
}

void
ci_preprocess_free (CiPreprocess * pre)
{
  if (!pre)
    return;
  if (pre->options.on_device)
    g_free (pre->device.settings);
  else
    resizes[pre->options.quality].clear (pre);
  g_free (pre->levels);
  g_free (pre->packed);
  g_free (pre->scratch_base);
  g_free (pre);
}

gboolean
ci_preprocess_alloc_levels (CiPreprocess * pre)
{
  const CiPreprocessOptions *o = &pre->options;

  pre->row_words = (o->resized_width + CI_PREPROCESS_STRIP - 1)
      / CI_PREPROCESS_STRIP * (CI_PREPROCESS_STRIP / 4);
  pre->levels = g_try_malloc ((gsize) pre->n_channels * o->resized_height *
      pre->row_words * sizeof (guint32));
  return pre->levels != NULL;
}

gpointer
ci_preprocess_take (guint8 * memory, gsize * pos, gsize bytes)
{
  gsize start = *pos;

  *pos += CI_ALIGN64 (bytes);
  return memory ? memory + start : NULL;
}

typedef struct
{
  CiPreprocess *pre;
  const CiImage *image;
  gfloat *dst;
} Run;

/* A share of the rows, with their padding. */
static void
run_task (gpointer data, gint task, gint n_tasks)
{
  const Run *run = data;
  CiPreprocess *pre = run->pre;
  const CiPreprocessOptions *o = &pre->options;
  const gsize plane = (gsize) o->padded_width * o->padded_height;
  const gint right = o->padded_width - o->resized_width;
  guint8 *scratch = pre->scratch + task * pre->scratch_bytes;
  gint first = o->resized_height * task / n_tasks;
  gint end = o->resized_height * (task + 1) / n_tasks;
  gint c, y;

  resizes[o->quality].rows (pre, run->image, run->dst, scratch, first, end);
  for (c = 0; c < 3 && right > 0; c++)
    for (y = first; y < end; y++)
      memset (run->dst + c * plane + (gsize) y * o->padded_width +
          o->resized_width, 0, right * sizeof (gfloat));
  if (task == n_tasks - 1)
    for (c = 0; c < 3; c++)
      memset (run->dst + c * plane + (gsize) end * o->padded_width, 0,
          (gsize) (o->padded_height - end) * o->padded_width *
          sizeof (gfloat));
}

void
ci_preprocess_run (CiPreprocess * pre, const CiImage * image, gfloat * dst,
    CiPool * pool)
{
  Run run = { pre, image, dst };
  gint n_threads = ci_pool_get_n_threads (pool);

  g_return_if_fail (pre != NULL && image != NULL && dst != NULL);
  g_return_if_fail (!pre->options.on_device);

  ci_pool_run (pool, run_task, &run,
      n_threads == 1 ? 1 : MIN (n_threads * TASKS_PER_THREAD, pre->max_tasks));
}

const guint8 *
ci_preprocess_get_resized (const CiPreprocess * pre)
{
  CiPreprocess *self = (CiPreprocess *) pre;
  const CiPreprocessOptions *o = &pre->options;
  gsize n = (gsize) o->resized_width * o->resized_height;
  gint x, y, c;

  if (o->quality == CI_RESIZE_FAST || o->on_device)
    return NULL;
  /* off the per-frame path: made on demand */
  if (!self->packed)
    self->packed = g_try_malloc (3 * n);
  if (!self->packed)
    return NULL;
  for (y = 0; y < o->resized_height; y++) {
    for (c = 0; c < 3; c++) {
      const guint32 *src = pre->levels + ((gsize) (c % pre->n_channels) *
          o->resized_height + y) * pre->row_words;
      guint8 *dst = self->packed + (gsize) y * o->resized_width * 3 + c;

      for (x = 0; x < o->resized_width; x++)
        dst[x * 3] = src[x / 32 * 8 + x % 8] >> x % 32 / 8 * 8;
    }
  }
  return self->packed;
}
