/*
 * kernel_preprocess.h: what a thread computes of a frame's way into the input:
 * CiPreprocess on a device, straight from the frame's planes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_KERNEL_PREPROCESS_H
#define CI_KERNEL_PREPROCESS_H

#include "hostdev.h"

/* How samples lie in the planes. */
enum
{
  CI_LAYOUT_NV12,
  CI_LAYOUT_I420,
  CI_LAYOUT_P010,
  CI_LAYOUT_GREY,
  CI_LAYOUT_RGB,                /* three bytes, in any order */
  CI_LAYOUT_RGBX,               /* four */
};

/* As CiResizeQuality. */
enum
{
  CI_PREPROCESS_EXACT,
  CI_PREPROCESS_FAST,
  CI_PREPROCESS_OPENCV,
};

/* Pillow's filter of one direction, in the tables: for each of @pitch outputs
 * its first sample, how many there are, and their weights, in 22 bits, tap by
 * tap. Fast: the first of two samples, and the weight of the second, a float.
 * OpenCV: the first of two samples, -1 above the first row, and the weights of
 * both in the halves of a word. Positions in words. */
typedef struct
{
  int32_t pitch, first, count, weight;
} CiPreprocessTaps;

/* All that depends on frame and view. The tables follow it. */
typedef struct
{
  uint64_t tables;              /* which ones: a number of their own, not 0 */

  /* of this frame */
  const uint8_t *planes[3];
  int32_t strides[3];
  int32_t wide;                 /* all of that is a multiple of 4 */

  int32_t layout, resize;
  int32_t width, height;
  int32_t resized_width, resized_height;
  int32_t shift[3];             /* RGB and RGBX: bits below a channel */
  /* as in CiPreprocess, of exact and OpenCV's (20 fraction bits, with the half
   * that rounds) and fast (normalised, with levels 0 and 255) */
  int32_t matrix[3][4];
  float fast_matrix[3][4], low[3], high[3];
  float mean[3], scale[3];
  CiPreprocessTaps x, y, chroma_x, chroma_y;
} CiPreprocessSettings;

CI_HD const int32_t *
ci_preprocess_table (const CiPreprocessSettings * s, int32_t position)
{
  return (const int32_t *) (s + 1) + position;
}

/* ---- samples ----------------------------------------------------------- */

CI_HD uint32_t
ci_preprocess_word (const uint8_t * p, const int bytes, int wide)
{
  uint32_t word = 0;
  uint16_t half;

  if (wide && bytes == 4) {
    memcpy (&word, __builtin_assume_aligned (p, 4), 4);
    return word;
  }
  if (wide && bytes == 2) {
    memcpy (&half, __builtin_assume_aligned (p, 2), 2);
    return half;
  }
  for (int i = 0; i < bytes; i++)
    word |= (uint32_t) p[i] << 8 * i;
  return word;
}

/* The first plane at (x, y): Y to v[0], or all channels. */
CI_HD void
ci_preprocess_luma (const CiPreprocessSettings * s, const int layout, int x,
    int y, int v[3])
{
  const uint8_t *row = s->planes[0] + (int64_t) y * s->strides[0];
  uint32_t word;

  switch (layout) {
    case CI_LAYOUT_RGB:
    case CI_LAYOUT_RGBX:
      word = layout == CI_LAYOUT_RGB ? ci_preprocess_word (row + 3 * x, 3, 0)
          : ci_preprocess_word (row + 4 * x, 4, s->wide);
      for (int c = 0; c < 3; c++)
        v[c] = word >> s->shift[c] & 0xff;
      break;
    case CI_LAYOUT_P010:
      v[0] = ci_preprocess_word (row + 2 * x, 2, s->wide) >> 6;
      break;
    default:
      v[0] = row[x];
  }
}

/* U and V, to v[1] and v[2], at (x, y) of their own grid. */
CI_HD void
ci_preprocess_chroma (const CiPreprocessSettings * s, const int layout, int x,
    int y, int v[3])
{
  const uint8_t *row;
  uint32_t word;

  v[1] = v[2] = 0;
  if (layout > CI_LAYOUT_P010)  /* no such plane */
    return;
  row = s->planes[1] + (int64_t) y * s->strides[1];
  switch (layout) {
    case CI_LAYOUT_NV12:
      word = ci_preprocess_word (row + 2 * x, 2, s->wide);
      v[1] = word & 0xff;
      v[2] = word >> 8;
      break;
    case CI_LAYOUT_I420:
      v[1] = row[x];
      v[2] = s->planes[2][(int64_t) y * s->strides[2] + x];
      break;
    case CI_LAYOUT_P010:
      word = ci_preprocess_word (row + 4 * x, 4, s->wide);
      v[1] = word >> 6 & 0x3ff;
      v[2] = word >> 22;
      break;
  }
}

/* ---- exact ------------------------------------------------------------- */

/* Fraction bits of the conversion and of Pillow's weights. */
#define CI_PREPROCESS_MATRIX_BITS 20
#define CI_PREPROCESS_WEIGHT_BITS 22

/* A pixel of the frame as 8-bit channels of the input. */
CI_HD void
ci_preprocess_pixel (const CiPreprocessSettings * s, const int layout, int x,
    int y, int level[3])
{
  int v[3];

  if (layout == CI_LAYOUT_RGB || layout == CI_LAYOUT_RGBX) {
    ci_preprocess_luma (s, layout, x, y, level);
    return;
  }
  ci_preprocess_luma (s, layout, x, y, v);
  ci_preprocess_chroma (s, layout, x >> 1, y >> 1, v);
  for (int c = 0; c < 3; c++)
    level[c] = ci_clamp ((s->matrix[c][0] * v[0] + s->matrix[c][1] * v[1]
            + s->matrix[c][2] * v[2] + s->matrix[c][3])
        >> CI_PREPROCESS_MATRIX_BITS, 0, 255);
}

/* Sums of weighted levels to a level. */
CI_HD int
ci_preprocess_level (int sum)
{
  return ci_clamp (sum >> CI_PREPROCESS_WEIGHT_BITS, 0, 255);
}

/* Column x of row y of the frame resized in width only, a byte per channel. */
CI_HD uint32_t
ci_preprocess_across_layout (const CiPreprocessSettings * s, const int layout,
    int x, int y)
{
  const int pitch = s->x.pitch;
  const int32_t *weight = ci_preprocess_table (s, s->x.weight) + x;
  int first = ci_preprocess_table (s, s->x.first)[x];
  int end = first + ci_preprocess_table (s, s->x.count)[x];
  int sum[3], level[3];

  for (int c = 0; c < 3; c++)
    sum[c] = 1 << (CI_PREPROCESS_WEIGHT_BITS - 1);
  for (int i = first; i < end; i++, weight += pitch) {
    ci_preprocess_pixel (s, layout, i, y, level);
    for (int c = 0; c < 3; c++)
      sum[c] += level[c] * *weight;
  }
  return ci_preprocess_level (sum[0]) | ci_preprocess_level (sum[1]) << 8
      | ci_preprocess_level (sum[2]) << 16;
}

CI_HD uint32_t
ci_preprocess_across (const CiPreprocessSettings * s, int x, int y)
{
  /* loops of their own: the layout is the same for all threads */
  switch (s->layout) {
    case CI_LAYOUT_NV12:
      return ci_preprocess_across_layout (s, CI_LAYOUT_NV12, x, y);
    case CI_LAYOUT_I420:
      return ci_preprocess_across_layout (s, CI_LAYOUT_I420, x, y);
    case CI_LAYOUT_P010:
      return ci_preprocess_across_layout (s, CI_LAYOUT_P010, x, y);
    case CI_LAYOUT_GREY:
      return ci_preprocess_across_layout (s, CI_LAYOUT_GREY, x, y);
    case CI_LAYOUT_RGB:
      return ci_preprocess_across_layout (s, CI_LAYOUT_RGB, x, y);
    default:
      return ci_preprocess_across_layout (s, CI_LAYOUT_RGBX, x, y);
  }
}

/* ---- fast -------------------------------------------------------------- */

/* Blends samples, those of the first plane or U and V, at output (x, y). */
CI_HD void
ci_preprocess_blend (const CiPreprocessSettings * s, int chroma, int x, int y,
    float out[3])
{
  const CiPreprocessTaps *tx = chroma ? &s->chroma_x : &s->x;
  const CiPreprocessTaps *ty = chroma ? &s->chroma_y : &s->y;
  int w = chroma ? (s->width + 1) / 2 : s->width;
  int h = chroma ? (s->height + 1) / 2 : s->height;
  int x0 = ci_preprocess_table (s, tx->first)[x], x1 = ci_min (x0 + 1, w - 1);
  int y0 = ci_preprocess_table (s, ty->first)[y], y1 = ci_min (y0 + 1, h - 1);
  float wx = ci_bits_to_float (ci_preprocess_table (s, tx->weight)[x]);
  float wy = ci_bits_to_float (ci_preprocess_table (s, ty->weight)[y]);
  int v[4][3] = { {0} };

  for (int i = 0; i < 4; i++) {
    if (chroma)
      ci_preprocess_chroma (s, s->layout, i & 1 ? x1 : x0, i & 2 ? y1 : y0,
          v[i]);
    else
      ci_preprocess_luma (s, s->layout, i & 1 ? x1 : x0, i & 2 ? y1 : y0,
          v[i]);
  }
  for (int c = 0; c < 3; c++) {
    float top = v[0][c] + (v[1][c] - v[0][c]) * wx;
    float bottom = v[2][c] + (v[3][c] - v[2][c]) * wx;

    out[c] = top + (bottom - top) * wy;
  }
}

/* Normalised channels. */
CI_HD void
ci_preprocess_fast (const CiPreprocessSettings * s, int x, int y,
    float out[3])
{
  float v[3], chroma[3];

  ci_preprocess_blend (s, 0, x, y, v);
  if (s->layout <= CI_LAYOUT_P010) {
    ci_preprocess_blend (s, 1, x, y, chroma);
    v[1] = chroma[1];
    v[2] = chroma[2];
  }
  for (int c = 0; c < 3; c++) {
    const float *m = s->fast_matrix[c];
    float level = m[0] * v[0] + m[1] * v[1] + m[2] * v[2] + m[3];

    level = level < s->low[c] ? s->low[c] : level;
    out[c] = level > s->high[c] ? s->high[c] : level;
  }
}

/* ---- OpenCV's ---------------------------------------------------------- */

/* Fraction bits of a weight, and those that the taps of a column do without; so
 * many go with their products, and two with their sum. */
#define CI_PREPROCESS_OPENCV_BITS 11
#define CI_PREPROCESS_OPENCV_ROW_SHIFT 4
#define CI_PREPROCESS_OPENCV_PRODUCT_SHIFT 16

/* Normalised channels. */
CI_HD void
ci_preprocess_opencv (const CiPreprocessSettings * s, int x, int y,
    float out[3])
{
  int x0 = ci_preprocess_table (s, s->x.first)[x];
  int x1 = ci_min (x0 + 1, s->width - 1);
  int y0 = ci_preprocess_table (s, s->y.first)[y];
  uint32_t across = ci_preprocess_table (s, s->x.weight)[x];
  uint32_t down = ci_preprocess_table (s, s->y.weight)[y];
  int sum[3] = { 2, 2, 2 };

  for (int i = 0; i < 2; i++) {
    int row = ci_clamp (y0 + i, 0, s->height - 1);
    int weight = i ? down >> 16 : down & 0xffff;
    int left[3], right[3];

    ci_preprocess_pixel (s, s->layout, x0, row, left);
    ci_preprocess_pixel (s, s->layout, x1, row, right);
    for (int c = 0; c < 3; c++) {
      int v = left[c] * (int) (across & 0xffff)
          + right[c] * (int) (across >> 16);

      sum[c] += (v >> CI_PREPROCESS_OPENCV_ROW_SHIFT) * weight
          >> CI_PREPROCESS_OPENCV_PRODUCT_SHIFT;
    }
  }
  for (int c = 0; c < 3; c++)
    out[c] = ((sum[c] >> 2) - s->mean[c]) * s->scale[c];
}

/* ---- a tile of the input ----------------------------------------------- */

/* A block makes a tile of outputs, a thread each. The rows of the frame that it
 * needs, resized in width, are in shared memory, so many at once; that is all
 * for ratios up to 5. */
#define CI_PREPROCESS_WIDTH 32
#define CI_PREPROCESS_HEIGHT 8
#define CI_PREPROCESS_THREADS (CI_PREPROCESS_WIDTH * CI_PREPROCESS_HEIGHT)
#define CI_PREPROCESS_ROWS 48

typedef struct
{
  uint32_t rows[CI_PREPROCESS_ROWS][CI_PREPROCESS_WIDTH];
  int32_t sums[3][CI_PREPROCESS_THREADS];
} CiPreprocessShared;

typedef struct
{
  const CiPreprocessSettings *settings;
  CiView dst;                   /* 3 channels */
} CiPreprocessArgs;

CI_HD void
ci_preprocess_store (const CiPreprocessArgs * a, int x, int y,
    const float value[CI_OCTET])
{
  if (x < a->dst.w && y < a->dst.h)
    ci_store8 (&a->dst, ci_view_at (&a->dst, 0, y, x), value);
}

/* Rows [begin, end) of the frame, which lie in @shared, added to what output
 * (x, y) has of those above. */
CI_HD void
ci_preprocess_down (const CiPreprocessSettings * s,
    const CiPreprocessShared * shared, int column, int y, int begin, int end,
    int sum[3])
{
  int first = ci_preprocess_table (s, s->y.first)[y];
  const int32_t *weight = ci_preprocess_table (s, s->y.weight) + y;

  end = ci_min (end, first + ci_preprocess_table (s, s->y.count)[y]);
  for (int i = ci_max (begin, first); i < end; i++) {
    uint32_t pixel = shared->rows[i - begin][column];
    int w = weight[(i - first) * s->y.pitch];

    for (int c = 0; c < 3; c++)
      sum[c] += (int) (pixel >> 8 * c & 0xff) * w;
  }
}

/* Even phases resize rows in width, odd ones gather them. */
CI_HD int
ci_preprocess_block (const CiPreprocessArgs * a, void *memory, int bx, int by,
    int bz, int thread, int phase)
{
  const CiPreprocessSettings *s = a->settings;
  CiPreprocessShared *shared = (CiPreprocessShared *) memory;
  const int column = thread % CI_PREPROCESS_WIDTH;
  const int x0 = bx * CI_PREPROCESS_WIDTH, x = x0 + column;
  const int y0 = by * CI_PREPROCESS_HEIGHT;
  const int y = y0 + thread / CI_PREPROCESS_WIDTH;
  const int inside = x < s->resized_width && y < s->resized_height;
  int last, begin, end, chunk_end, sum[3];
  float value[CI_OCTET] = { 0 };

  (void) bz;
  if (s->resize != CI_PREPROCESS_EXACT || x0 >= s->resized_width
      || y0 >= s->resized_height) {
    if (inside && s->resize == CI_PREPROCESS_OPENCV)
      ci_preprocess_opencv (s, x, y, value);
    else if (inside)
      ci_preprocess_fast (s, x, y, value);
    ci_preprocess_store (a, x, y, value);
    return 0;
  }

  last = ci_min (y0 + CI_PREPROCESS_HEIGHT, s->resized_height) - 1;
  begin = ci_preprocess_table (s, s->y.first)[y0]
      + phase / 2 * CI_PREPROCESS_ROWS;
  end = ci_preprocess_table (s, s->y.first)[last]
      + ci_preprocess_table (s, s->y.count)[last];
  chunk_end = ci_min (begin + CI_PREPROCESS_ROWS, end);

  if (phase % 2 == 0) {
    if (x < s->resized_width)
      for (int row = begin + thread / CI_PREPROCESS_WIDTH; row < chunk_end;
          row += CI_PREPROCESS_HEIGHT)
        shared->rows[row - begin][column] = ci_preprocess_across (s, x, row);
    return 1;
  }

  for (int c = 0; c < 3; c++)
    sum[c] = phase == 1 ? 1 << (CI_PREPROCESS_WEIGHT_BITS - 1)
        : shared->sums[c][thread];
  if (inside)
    ci_preprocess_down (s, shared, column, y, begin, chunk_end, sum);
  if (chunk_end < end) {
    for (int c = 0; c < 3; c++)
      shared->sums[c][thread] = sum[c];
    return 1;
  }
  for (int c = 0; c < 3 && inside; c++)
    value[c] = (ci_preprocess_level (sum[c]) - s->mean[c]) * s->scale[c];
  ci_preprocess_store (a, x, y, value);
  return 0;
}

#define CI_PREPROCESS_KERNELS(ELEMENT, BLOCK) \
  BLOCK (preprocess, CiPreprocessArgs, CI_PREPROCESS_THREADS, \
      sizeof (CiPreprocessShared))

#endif /* CI_KERNEL_PREPROCESS_H */
