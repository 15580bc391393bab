/*
 * preprocess_opencv_run.c: the loops of CI_RESIZE_OPENCV, for the CPU that the
 * compiler is told to build for.
 *
 * A source row becomes words of 8-bit channels, and these a row of the output's
 * width with 7 of the weights' 11 fraction bits: all that the vertical taps
 * read. Two such rows of each channel are kept. Halving both sides, which
 * OpenCV leaves to INTER_AREA, needs no code of its own: four weights of a half
 * give the rounded mean.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "preprocess_lanes.h"
#include "preprocess_load.h"

/* Eight halves of memory. */
typedef guint16 ByteHalves
    __attribute__ ((vector_size (16), aligned (1), may_alias));

/* ---- frame -> words of 8-bit channels ---------------------------------- */

/* Two neighbouring samples of each of eight pairs from pair @i on. */
CI_INLINE void
load_pairs (const guint8 * plane, gint i, const gboolean deep, CiV8i v[2])
{
  if (deep) {
    Lanes words = *(const ByteLanes *) (plane + 4 * i);

    v[0] = (CiV8i) (words >> 6 & 0x3ff);
    v[1] = (CiV8i) (words >> 22);
  } else {
    Lanes words = __builtin_convertvector (*(const ByteHalves *)
        (plane + 2 * i), Lanes);

    v[0] = (CiV8i) (words & 0xff);
    v[1] = (CiV8i) (words >> 8);
  }
}

/* Eight samples of each of two planes. */
CI_INLINE void
load_both (const guint8 * first, const guint8 * second, CiV8i v[2])
{
  typedef guint64 Wide __attribute__ ((vector_size (16)));
  typedef guint8 Bytes __attribute__ ((vector_size (16)));
  Wide a = { 0 }, b = { 0 };
  Bytes pairs;

  memcpy (&a, first, 8);
  memcpy (&b, second, 8);
  pairs = SHUFFLE ((Bytes) a, (Bytes) b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5,
      21, 6, 22, 7, 23);
  load_pairs ((const guint8 *) &pairs, 0, FALSE, v);
}

/* Sixteen pixels of 8-bit channels, one to a half, as words. */
CI_INLINE void
store_pixels (Lanes blue, Lanes green, Lanes red, guint32 * dst)
{
  Halves low = (Halves) (blue | green << 8), high = (Halves) red;

  ((ByteLanes *) dst)[0] = (Lanes) SHUFFLE (low, high, 0, 16, 1, 17, 2, 18, 3,
      19, 4, 20, 5, 21, 6, 22, 7, 23);
  ((ByteLanes *) dst)[1] = (Lanes) SHUFFLE (low, high, 8, 24, 9, 25, 10, 26,
      11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

CI_INLINE gint
load_sample (const guint8 * plane, gint i, const gboolean deep)
{
  return deep ? (gint) (ci_load2 (plane + 2 * i) >> 6) : plane[i];
}

CI_INLINE guint32
level_of (gint value)
{
  return CLAMP (value >> CI_EXACT_MATRIX_BITS, 0, 255);
}

/* Words of blue, green and red from the lowest byte on. Samples of U and V lie
 * in turn in @u if there is no @v. */
CI_INLINE void
convert_yuv (const CiPreprocess * pre, const guint8 * luma, const guint8 * u,
    const guint8 * v, const gboolean paired, const gboolean deep,
    guint32 * dst)
{
  const gint32 *b = pre->opencv.matrix[pre->component[0]];
  const gint32 *g = pre->opencv.matrix[1];
  const gint32 *r = pre->opencv.matrix[pre->component[2]];
  const gint width = pre->format.width;
  gint i = 0;

  for (; G_BYTE_ORDER == G_LITTLE_ENDIAN && i + 16 <= width; i += 16) {
    CiV8i y[2], c[2], blue, green, red;
    Lanes level[3];

    load_pairs (luma, i / 2, deep, y);
    if (paired)
      load_pairs (u, i / 2, deep, c);
    else
      load_both (u + i / 2, v + i / 2, c);
    y[0] *= g[0];
    y[1] *= g[0];
    blue = c[0] * b[1] + b[3];
    green = c[0] * g[1] + c[1] * g[2] + g[3];
    red = c[1] * r[2] + r[3];
    store_levels (y[0] + blue, y[1] + blue, &level[0]);
    store_levels (y[0] + green, y[1] + green, &level[1]);
    store_levels (y[0] + red, y[1] + red, &level[2]);
    store_pixels (level[0], level[1], level[2], dst + i);
  }
  for (; i < width; i++) {
    gint y = load_sample (luma, i, deep) * g[0];
    gint cu = load_sample (u, paired ? i / 2 * 2 : i / 2, deep);
    gint cv = paired ? load_sample (u, i / 2 * 2 + 1, deep) : v[i / 2];

    dst[i] = level_of (y + cu * b[1] + b[3])
        | level_of (y + cu * g[1] + cv * g[2] + g[3]) << 8
        | level_of (y + cv * r[2] + r[3]) << 16;
  }
}

CI_INLINE void
convert_grey (const CiPreprocess * pre, const guint8 * luma, guint32 * dst)
{
  const gint32 *m = pre->opencv.matrix[0];
  gint i = 0;

  for (; G_BYTE_ORDER == G_LITTLE_ENDIAN && i + 16 <= pre->format.width;
      i += 16) {
    CiV8i y[2];
    Lanes level;

    load_pairs (luma, i / 2, FALSE, y);
    store_levels (y[0] * m[0] + m[3], y[1] * m[0] + m[3], &level);
    store_pixels (level, SET1 (0), SET1 (0), dst + i);
  }
  for (; i < pre->format.width; i++)
    dst[i] = level_of (luma[i] * m[0] + m[3]);
}

/* A row of a format that is not packed. */
CI_INLINE void
convert_row (const CiPreprocess * pre, const CiImage * image, gint row,
    guint32 * dst)
{
  const guint8 *src[3];
  gint i;

  for (i = 0; i < 3; i++)
    src[i] = image->planes[i] ? image->planes[i] +
        (gssize) (i > 0 ? row / 2 : row) * image->strides[i] : NULL;
  switch (pre->format.pixel_format) {
    case CI_PIXEL_NV12:
      convert_yuv (pre, src[0], src[1], NULL, TRUE, FALSE, dst);
      break;
    case CI_PIXEL_I420:
      convert_yuv (pre, src[0], src[1], src[2], FALSE, FALSE, dst);
      break;
    case CI_PIXEL_P010:
      convert_yuv (pre, src[0], src[1], NULL, TRUE, TRUE, dst);
      break;
    default:
      convert_grey (pre, src[0], dst);
  }
}

/* ---- horizontal -------------------------------------------------------- */

/* The pixels of each output in turn, @bytes each. */
CI_INLINE void
pick_pixels (const guint8 * src, const gint bytes,
    const gint * restrict index, gint n, guint32 * restrict dst)
{
  gint i;

#pragma GCC unroll 8
  for (i = 0; i < n; i++) {
    const guint8 *pixel = src + index[i];

    /* a fourth byte is not looked at */
    dst[2 * i] = ci_load4 (pixel);
    dst[2 * i + 1] = bytes == 4 ? ci_load4 (pixel + 4)
        : ci_load4 (pixel + 2) >> 8;
  }
}

/* Eight outputs of each channel in the order of the words' bytes. */
CI_INLINE void
blend_pixels (const Lanes * pixels, Lanes weights, const gint n, Lanes dst[3])
{
  Lanes left = SHUFFLE (pixels[0], pixels[1], 0, 2, 4, 6, 8, 10, 12, 14);
  Lanes right = SHUFFLE (pixels[0], pixels[1], 1, 3, 5, 7, 9, 11, 13, 15);
  Lanes low = (left & 0xffff) | right << 16, pairs[3];
  gint i;

  pairs[0] = low & 0xff00ff;
  pairs[1] = low >> 8 & 0xff00ff;
  pairs[2] = (left >> 16 & 0xff) | (right & 0xff0000);
  for (i = 0; i < n; i++)
    dst[i] = add_products (SET1 (0), pairs[i], weights) >> CI_OPENCV_ROW_SHIFT;
}

/* Row @row of the frame at the output's width, in the order of bytes. */
CI_INLINE void
load_row (const CiPreprocess * pre, const CiImage * image, gint row,
    const CiOpencvScratch * scratch, const gint n_channels,
    guint32 * const dst[3])
{
  const CiOpencvTaps *taps = &pre->opencv.x;
  const gint n = pre->row_words * 4;
  const gint bytes = pre->pixel_bytes == 3 ? 3 : 4;
  const Lanes *picked = (const Lanes *) scratch->picked;
  const ByteLanes *weights = (const ByteLanes *) taps->weights;
  const guint8 *src = (const guint8 *) scratch->pixels;
  guint8 twice[8];
  gint i, c;

  if (pre->pixel_bytes < 3)
    convert_row (pre, image, row, scratch->pixels);
  else
    src = image->planes[0] + (gssize) row * image->strides[0];
  if (pre->format.width == 1) {
    /* there is no second pixel to pick */
    memcpy (twice, src, bytes);
    memcpy (twice + bytes, src, bytes);
    src = twice;
  }
  if (bytes == 3)
    pick_pixels (src, 3, taps->index, n, scratch->picked);
  else
    pick_pixels (src, 4, taps->index, n, scratch->picked);

  for (i = 0; i < n / 8; i += 2) {
    Lanes low[3], high[3];

    blend_pixels (picked + 2 * i, weights[i], n_channels, low);
    blend_pixels (picked + 2 * i + 2, weights[i + 1], n_channels, high);
    for (c = 0; c < n_channels; c++)
      ((Lanes *) dst[c])[i / 2] = low[c] | high[c] << 16;
  }
}

/* ---- vertical ---------------------------------------------------------- */

CI_INLINE void
blend_rows (const guint32 * a, const guint32 * b, guint32 weights,
    Lanes level[4])
{
  const gint16 w0 = weights & 0xffff, w1 = weights >> 16;
  gint i;

#pragma GCC unroll 2
  for (i = 0; i < 2; i++) {
    Halves v = multiply_high ((Halves) ((const Lanes *) a)[i], w0)
        + multiply_high ((Halves) ((const Lanes *) b)[i], w1);

    v = (v + 2) >> 2;
    level[2 * i] = (Lanes) v & 0xffff;
    level[2 * i + 1] = (Lanes) v >> 16;
  }
}

CI_INLINE void
resize (const CiPreprocess * pre, const CiImage * image, gfloat * dst,
    const CiOpencvScratch * scratch, gint first_row, gint end_row,
    const gint n_channels)
{
  const CiPreprocessOptions *o = &pre->options;
  const CiOpencvTaps *taps = &pre->opencv.y;
  const gsize plane = (gsize) o->padded_width * o->padded_height;
  const gfloat scale[3] = {
    1.0f / o->std[0], 1.0f / o->std[1], 1.0f / o->std[2]
  };
  gint cached[2] = { -1, -1 };
  gint x, y, c, i;

  for (y = first_row; y < end_row; y++) {
    const gint first = MAX (taps->index[y], 0);
    const gint last = taps->weights[y] >> 16 == 0 ? first
        : MIN (taps->index[y] + 1, pre->format.height - 1);

    for (i = first; i <= last; i++) {
      if (cached[i & 1] != i)
        load_row (pre, image, i, scratch, n_channels, scratch->rows[i & 1]);
      cached[i & 1] = i;
    }
    for (c = 0; c < n_channels; c++) {
      const gint byte = pre->component[c];
      const guint32 *a = scratch->rows[first & 1][byte];
      const guint32 *b = scratch->rows[last & 1][byte];
      guint32 *words = pre->levels +
          ((gsize) c * o->resized_height + y) * pre->row_words;

      for (x = 0; x < o->resized_width; x += STRIP) {
        Lanes level[4];

        blend_rows (a + x / 2, b + x / 2, taps->weights[y], level);
        store_bytes (level, words + x / 4);
        for (i = c; i < 3; i += n_channels)
          normalise (level, MIN (o->resized_width - x, STRIP), o->mean[i],
              scale[i], dst + i * plane + (gsize) y * o->padded_width + x);
      }
    }
  }
}

static void
run (const CiPreprocess * pre, const CiImage * image, gfloat * dst,
    const CiOpencvScratch * scratch, gint first_row, gint end_row)
{
  if (pre->n_channels == 3)
    resize (pre, image, dst, scratch, first_row, end_row, 3);
  else
    resize (pre, image, dst, scratch, first_row, end_row, 1);
}

const CiOpencvRun CI_FOR_LEVEL (ci_preprocess_opencv_run) = run;
