/*
 * preprocess_fast.c: CI_RESIZE_FAST, two taps in each direction.
 *
 * A source row becomes a row of floats of the output's width: one plain loop
 * picks the two neighbours of every output, as words, and a vector loop takes
 * these apart and blends them. Two such rows of each component are kept; the
 * last loop blends them vertically, converts to RGB and normalises. Luma and
 * chroma are resized on their own and converted afterwards. The cost depends
 * on the output's size, hardly on the frame's.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "preprocess_load.h"
#include "preprocess_priv.h"

#include <string.h>

/* Half-pixel centres by a ratio in single precision, as torch's interpolate()
 * has it: a thousand outputs further, an exact one is 1e-5 of a sample off, and
 * the maps of a deep network 1e-4. */
gint
ci_preprocess_fast_tap (gdouble ratio, gint in, gint i, gfloat * weight)
{
  gdouble pos = CLAMP ((i + 0.5) * (gfloat) ratio - 0.5, 0.0, in - 1.0);
  /* there is a second sample except where there is but one */
  gint index = MIN ((gint) pos, MAX (in - 2, 0));

  *weight = pos - index;
  return index;
}

/* Samples are @step apart. */
static gboolean
fast_taps_init (CiFastTaps * taps, gdouble ratio, gint in, gint step, gint out)
{
  gint i;

  taps->index = g_try_new (gint, out);
  taps->weight = g_try_new (gfloat, out);
  if (!taps->index || !taps->weight)
    return FALSE;

  for (i = 0; i < out; i++)
    taps->index[i] = step *
        ci_preprocess_fast_tap (ratio, in, i, &taps->weight[i]);
  return TRUE;
}

static void
fast_taps_clear (CiFastTaps * taps)
{
  g_free (taps->index);
  g_free (taps->weight);
}

/* ---- rows of the frame ------------------------------------------------ */

/* Blends the samples, up to @most, from bit @left of each word of @a and from
 * bit @right of @b on. */
CI_INLINE void
blend_samples (const guint32 * restrict a, gint left,
    const guint32 * restrict b, gint right, const guint32 most,
    const gfloat * restrict weight, gint n, gfloat * restrict dst)
{
  gint i;

  for (i = 0; i < n; i++) {
    gfloat v0 = (gint) (a[i] >> left & most);
    gfloat v1 = (gint) (b[i] >> right & most);

    dst[i] = v0 + (v1 - v0) * weight[i];
  }
}

CI_INLINE void
blend_words (const guint32 * a, gint left, const guint32 * b, gint right,
    const gfloat * weight, gint n, gfloat * dst)
{
  blend_samples (a, left, b, right, 0xff, weight, n, dst);
}

/* A plane of one component. */
CI_INLINE void
blend_plane (const guint8 * src, const CiFastTaps * taps, gint n,
    guint32 * restrict words, gfloat * dst)
{
  const gint *restrict index = taps->index;
  gint i;

#pragma GCC unroll 4
  for (i = 0; i < n; i++)
    words[i] = ci_load2 (src + index[i]);
  blend_words (words, 0, words, 8, taps->weight, n, dst);
}

/* NV12's chroma. */
CI_INLINE void
blend_pairs (const guint8 * src, const CiFastTaps * taps, gint n,
    guint32 * restrict words, gfloat * dst0, gfloat * dst1)
{
  const gint *restrict index = taps->index;
  gint i;

#pragma GCC unroll 4
  for (i = 0; i < n; i++)
    words[i] = ci_load4 (src + index[i]);
  blend_words (words, 0, words, 16, taps->weight, n, dst0);
  blend_words (words, 8, words, 24, taps->weight, n, dst1);
}

/* P010. */
CI_INLINE void
blend_plane10 (const guint8 * src, const CiFastTaps * taps, gint n,
    guint32 * restrict words, gfloat * dst)
{
  const gint *restrict index = taps->index;
  gint i;

#pragma GCC unroll 4
  for (i = 0; i < n; i++)
    words[i] = ci_load4 (src + index[i]);
  blend_samples (words, 6, words, 22, 0x3ff, taps->weight, n, dst);
}

CI_INLINE void
blend_pairs10 (const guint8 * src, const CiFastTaps * taps, gint n,
    guint32 * restrict left, guint32 * restrict right, gfloat * dst0,
    gfloat * dst1)
{
  const gint *restrict index = taps->index;
  gint i;

#pragma GCC unroll 4
  for (i = 0; i < n; i++) {
    left[i] = ci_load4 (src + index[i]);
    right[i] = ci_load4 (src + index[i] + 4);
  }
  blend_samples (left, 6, right, 6, 0x3ff, taps->weight, n, dst0);
  blend_samples (left, 22, right, 22, 0x3ff, taps->weight, n, dst1);
}

CI_INLINE void
blend_packed (const guint8 * src, const CiFastTaps * taps, gint n,
    const gint bytes, const gint component[3], guint32 * restrict left,
    guint32 * restrict right, gfloat * const dst[3])
{
  const gint *restrict index = taps->index;
  gint i, c;

#pragma GCC unroll 4
  for (i = 0; i < n; i++) {
    left[i] = ci_load_pixel (src + index[i], bytes);
    right[i] = ci_load_pixel (src + index[i] + bytes, bytes);
  }
  for (c = 0; c < 3; c++)
    blend_words (left, 8 * component[c], right, 8 * component[c],
        taps->weight, n, dst[c]);
}

/* A row of one plane to rows of its components at the output's width. */
CI_INLINE void
load_row (const CiPreprocess * pre, const CiImage * image, gint plane,
    gint row, guint32 * const words[2], gfloat * const dst[3])
{
  const CiFastTaps *taps = plane > 0 ? &pre->fast.chroma_x : &pre->fast.x;
  const gint width = plane > 0 ? (pre->format.width + 1) / 2
      : pre->format.width;
  const gint bytes = plane > 0 ? pre->chroma_bytes : pre->pixel_bytes;
  const gboolean deep = pre->format.pixel_format == CI_PIXEL_P010;
  const gint n = pre->options.resized_width;
  const guint8 *src = image->planes[plane] +
      (gssize) row * image->strides[plane];
  guint8 twice[8];

  if (width == 1) {
    /* there is no second sample to pick */
    memcpy (twice, src, bytes);
    memcpy (twice + bytes, src, bytes);
    src = twice;
  }
  if (deep && plane == 0)
    blend_plane10 (src, taps, n, words[0], dst[0]);
  else if (deep)
    blend_pairs10 (src, taps, n, words[0], words[1], dst[1], dst[2]);
  else if (bytes == 2)
    blend_pairs (src, taps, n, words[0], dst[1], dst[2]);
  else if (bytes == 1)
    blend_plane (src, taps, n, words[0], dst[plane]);
  else if (bytes == 3)
    blend_packed (src, taps, n, 3, pre->component, words[0], words[1], dst);
  else
    blend_packed (src, taps, n, 4, pre->component, words[0], words[1], dst);
}

/* ---- rows of the input ------------------------------------------------ */

/* Rows @a and @b of @n_components, and the weights of @b. */
typedef struct
{
  const gfloat *a[3], *b[3];
  gfloat weight[3];
} RowPair;

CI_INLINE void
finish_row (const CiPreprocess * pre, const RowPair * rows,
    const gint n_components, gint n, gfloat * restrict dst0,
    gfloat * restrict dst1, gfloat * restrict dst2)
{
  const gfloat *restrict a0 = rows->a[0], *restrict b0 = rows->b[0];
  const gfloat *restrict a1 = rows->a[1], *restrict b1 = rows->b[1];
  const gfloat *restrict a2 = rows->a[2], *restrict b2 = rows->b[2];
  const gfloat *w = rows->weight;
  const gfloat (*m)[4] = pre->fast.matrix;
  const gfloat *low = pre->fast.low, *high = pre->fast.high;
  gint i;

  for (i = 0; i < n; i++) {
    gfloat s = a0[i] + (b0[i] - a0[i]) * w[0];
    gfloat v0 = m[0][0] * s + m[0][3];
    gfloat v1 = m[1][0] * s + m[1][3];
    gfloat v2 = m[2][0] * s + m[2][3];

    if (n_components == 3) {
      gfloat t = a1[i] + (b1[i] - a1[i]) * w[1];
      gfloat u = a2[i] + (b2[i] - a2[i]) * w[2];

      v0 += m[0][1] * t + m[0][2] * u;
      v1 += m[1][1] * t + m[1][2] * u;
      v2 += m[2][1] * t + m[2][2] * u;
    }
    v0 = v0 < low[0] ? low[0] : v0;
    v1 = v1 < low[1] ? low[1] : v1;
    v2 = v2 < low[2] ? low[2] : v2;
    dst0[i] = v0 > high[0] ? high[0] : v0;
    dst1[i] = v1 > high[1] ? high[1] : v1;
    dst2[i] = v2 > high[2] ? high[2] : v2;
  }
}

CI_MULTIVERSION void
ci_preprocess_fast_rows (CiPreprocess * pre, const CiImage * image,
    gfloat * dst, guint8 * scratch, gint first_row, gint end_row)
{
  static const gint planes_of_packed[3] = { 0, 0, 0 };
  static const gint planes_of_pairs[3] = { 0, 1, 1 };
  static const gint planes_of_i420[3] = { 0, 1, 2 };
  const CiPreprocessOptions *o = &pre->options;
  const gint *plane_of = !pre->is_yuv ? planes_of_packed
      : pre->format.pixel_format == CI_PIXEL_I420 ? planes_of_i420
      : planes_of_pairs;
  const gsize plane_size = (gsize) o->padded_width * o->padded_height;
  /* An even and an odd row of each component, and which they are. */
  gfloat *samples[2][3];
  gint cached[3][2] = { {-1, -1}, {-1, -1}, {-1, -1} };
  guint32 *words[2];
  gint y, i, c;

  for (i = 0; i < 2; i++) {
    words[i] = (guint32 *) scratch;
    scratch += pre->fast.row_bytes;
    for (c = 0; c < 3; c++, scratch += pre->fast.row_bytes)
      samples[i][c] = (gfloat *) scratch;
  }

  for (y = first_row; y < end_row; y++) {
    gfloat *out = dst + (gsize) y * o->padded_width;
    RowPair rows = { {NULL} };

    for (c = 0; c < pre->n_channels; c++) {
      const gint plane = plane_of[c];
      const CiFastTaps *taps = plane > 0 ? &pre->fast.chroma_y : &pre->fast.y;
      const gint a = taps->index[y];
      const gint b = taps->weight[y] > 0.0f ? a + 1 : a;

      for (i = a; i <= b; i++) {
        if (cached[plane][i & 1] != i)
          load_row (pre, image, plane, i, words, samples[i & 1]);
        cached[plane][i & 1] = i;
      }
      rows.a[c] = samples[a & 1][c];
      rows.b[c] = samples[b & 1][c];
      rows.weight[c] = taps->weight[y];
    }
    if (pre->n_channels == 3)
      finish_row (pre, &rows, 3, o->resized_width, out, out + plane_size,
          out + 2 * plane_size);
    else
      finish_row (pre, &rows, 1, o->resized_width, out, out + plane_size,
          out + 2 * plane_size);
  }
}

/* ---- set-up ----------------------------------------------------------- */

void
ci_preprocess_fast_matrix (const CiPreprocess * pre, gfloat matrix[3][4],
    gfloat low[3], gfloat high[3])
{
  const CiPreprocessOptions *o = &pre->options;

  for (gint c = 0; c < 3; c++) {
    for (gint i = 0; i < 3; i++)
      matrix[c][i] = pre->matrix[c][i] / o->std[c];
    matrix[c][3] = (pre->matrix[c][3] - o->mean[c]) / o->std[c];
    low[c] = (0.0f - o->mean[c]) / o->std[c];
    high[c] = (255.0f - o->mean[c]) / o->std[c];
  }
}

gboolean
ci_preprocess_fast_init (CiPreprocess * pre)
{
  const CiPreprocessOptions *o = &pre->options;
  const gint width = pre->format.width, height = pre->format.height;
  const gdouble x_ratio = (gdouble) width / o->resized_width;
  const gdouble y_ratio = (gdouble) height / o->resized_height;

  if (!fast_taps_init (&pre->fast.x, x_ratio, width, pre->pixel_bytes,
          o->resized_width)
      || !fast_taps_init (&pre->fast.y, y_ratio, height, 1, o->resized_height)
      || !fast_taps_init (&pre->fast.chroma_x, x_ratio / 2, (width + 1) / 2,
          pre->chroma_bytes, o->resized_width)
      || !fast_taps_init (&pre->fast.chroma_y, y_ratio / 2, (height + 1) / 2,
          1, o->resized_height))
    return FALSE;

  ci_preprocess_fast_matrix (pre, pre->fast.matrix, pre->fast.low,
      pre->fast.high);
  pre->fast.row_bytes = CI_ALIGN64 (o->resized_width * sizeof (gfloat));
  pre->scratch_bytes = 8 * pre->fast.row_bytes;
  return TRUE;
}

void
ci_preprocess_fast_clear (CiPreprocess * pre)
{
  fast_taps_clear (&pre->fast.x);
  fast_taps_clear (&pre->fast.y);
  fast_taps_clear (&pre->fast.chroma_x);
  fast_taps_clear (&pre->fast.chroma_y);
}
