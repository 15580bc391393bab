/*
 * preprocess_fast.c: CI_RESIZE_FAST, two taps in each direction.
 *
 * Per output row: one plain loop picks the 2 x 2 neighbours of every output
 * from the source rows, as words; one vector loop takes these apart, blends,
 * converts to RGB and normalises. Luma and chroma are resized on their own and
 * converted afterwards, in floats. The cost depends on the output's size only.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "preprocess_priv.h"

#include <string.h>

/* Half-pixel centres. @ratio source samples make an output, of @in ones. */
static gboolean
fast_taps_init (CiFastTaps * taps, gdouble ratio, gint in, gint out)
{
  gint i;

  taps->index = g_try_new (gint, out);
  taps->weight = g_try_new (gfloat, out);
  if (!taps->index || !taps->weight)
    return FALSE;

  for (i = 0; i < out; i++) {
    gdouble pos = CLAMP ((i + 0.5) * ratio - 0.5, 0.0, in - 1.0);

    /* there is a second sample except where there is but one */
    taps->index[i] = MIN ((gint) pos, MAX (in - 2, 0));
    taps->weight[i] = pos - taps->index[i];
  }
  return TRUE;
}

static void
fast_taps_clear (CiFastTaps * taps)
{
  g_free (taps->index);
  g_free (taps->weight);
}

/* ---- picking ---------------------------------------------------------- */

/* The two rows of one plane under an output row. */
typedef struct
{
  const guint8 *a, *b;
  gfloat weight;                /* of b */
  guint8 copies[2][8];          /* of rows of one sample, to make them two */
} RowPair;

CI_INLINE void
row_pair_init (RowPair * pair, const CiImage * image, gint plane,
    const CiFastTaps * taps, gint y, gint width, gint height,
    gint sample_bytes)
{
  const gssize stride = image->strides[plane];

  pair->a = image->planes[plane] + taps->index[y] * stride;
  pair->b = height > 1 ? pair->a + stride : pair->a;
  pair->weight = taps->weight[y];
  if (width == 1) {
    memcpy (pair->copies[0], pair->a, sample_bytes);
    memcpy (pair->copies[0] + sample_bytes, pair->a, sample_bytes);
    memcpy (pair->copies[1], pair->b, sample_bytes);
    memcpy (pair->copies[1] + sample_bytes, pair->b, sample_bytes);
    pair->a = pair->copies[0];
    pair->b = pair->copies[1];
  }
}

CI_INLINE guint32
load2 (const guint8 * src)
{
  guint16 word;

  memcpy (&word, src, 2);
  return GUINT16_FROM_LE (word);
}

CI_INLINE guint32
load4 (const guint8 * src)
{
  guint32 word;

  memcpy (&word, src, 4);
  return GUINT32_FROM_LE (word);
}

CI_INLINE guint32
load_pixel (const guint8 * src, const gint bytes)
{
  return bytes == 4 ? load4 (src) : load2 (src) | (guint32) src[2] << 16;
}

/* Planes of one component: both rows' neighbours in one word. */
CI_INLINE void
pick_plane (const RowPair * rows, const gint * index, gint n, guint32 * dst)
{
  gint i;

  for (i = 0; i < n; i++)
    dst[i] = load2 (rows->a + index[i]) | load2 (rows->b + index[i]) << 16;
}

/* NV12's chroma: a word U V U V for each row. */
CI_INLINE void
pick_pairs (const RowPair * rows, const gint * index, gint n, guint32 * dst_a,
    guint32 * dst_b)
{
  gint i;

  for (i = 0; i < n; i++) {
    dst_a[i] = load4 (rows->a + 2 * index[i]);
    dst_b[i] = load4 (rows->b + 2 * index[i]);
  }
}

/* Packed formats: a word for each neighbour. */
CI_INLINE void
pick_pixels (const RowPair * rows, const gint * index, const gint bytes,
    gint n, guint32 * const *dst)
{
  gint i;

  for (i = 0; i < n; i++) {
    gint left = bytes * index[i], right = left + bytes;

    dst[0][i] = load_pixel (rows->a + left, bytes);
    dst[1][i] = load_pixel (rows->a + right, bytes);
    dst[2][i] = load_pixel (rows->b + left, bytes);
    dst[3][i] = load_pixel (rows->b + right, bytes);
  }
}

/* ---- blending --------------------------------------------------------- */

CI_INLINE gfloat
level (guint32 word, gint shift)
{
  return (gint) (word >> shift & 0xff);
}

CI_INLINE gfloat
blend (gfloat a0, gfloat a1, gfloat b0, gfloat b1, gfloat x, gfloat y)
{
  a0 += (a1 - a0) * x;
  b0 += (b1 - b0) * x;
  return a0 + (b0 - a0) * y;
}

CI_INLINE gfloat
blend_plane (guint32 word, gfloat x, gfloat y)
{
  return blend (level (word, 0), level (word, 8), level (word, 16),
      level (word, 24), x, y);
}

/* The words' layout depends on @format, which is constant here. */
CI_INLINE void
finish_row (const CiPreprocess * pre, const CiPixelFormat format,
    guint32 * const *words, gfloat luma_y, gfloat chroma_y,
    gfloat * restrict dst0, gfloat * restrict dst1, gfloat * restrict dst2)
{
  const guint32 *w0 = words[0], *w1 = words[1], *w2 = words[2], *w3 = words[3];
  const gfloat *luma_x = pre->fast.x.weight;
  const gfloat *chroma_x = pre->fast.chroma_x.weight;
  const gfloat (*m)[4] = pre->fast.matrix;
  const gfloat *low = pre->fast.low, *high = pre->fast.high;
  const gint n = pre->options.resized_width;
  gint i;

  for (i = 0; i < n; i++) {
    gfloat s0, s1 = 0, s2 = 0, v0, v1, v2;

    if (format == CI_PIXEL_RGBX) {
      const gint a = 8 * pre->component[0], b = 8 * pre->component[1];
      const gint c = 8 * pre->component[2];

      s0 = blend (level (w0[i], a), level (w1[i], a), level (w2[i], a),
          level (w3[i], a), luma_x[i], luma_y);
      s1 = blend (level (w0[i], b), level (w1[i], b), level (w2[i], b),
          level (w3[i], b), luma_x[i], luma_y);
      s2 = blend (level (w0[i], c), level (w1[i], c), level (w2[i], c),
          level (w3[i], c), luma_x[i], luma_y);
    } else {
      s0 = blend_plane (w0[i], luma_x[i], luma_y);
    }
    if (format == CI_PIXEL_NV12) {
      s1 = blend (level (w1[i], 0), level (w1[i], 16), level (w2[i], 0),
          level (w2[i], 16), chroma_x[i], chroma_y);
      s2 = blend (level (w1[i], 8), level (w1[i], 24), level (w2[i], 8),
          level (w2[i], 24), chroma_x[i], chroma_y);
    } else if (format == CI_PIXEL_I420) {
      s1 = blend_plane (w1[i], chroma_x[i], chroma_y);
      s2 = blend_plane (w2[i], chroma_x[i], chroma_y);
    }

    v0 = m[0][0] * s0 + m[0][1] * s1 + m[0][2] * s2 + m[0][3];
    v1 = m[1][0] * s0 + m[1][1] * s1 + m[1][2] * s2 + m[1][3];
    v2 = m[2][0] * s0 + m[2][1] * s1 + m[2][2] * s2 + m[2][3];
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
  const CiPreprocessOptions *o = &pre->options;
  const CiFastTaps *taps_x = &pre->fast.x, *taps_y = &pre->fast.y;
  const CiFastTaps *chroma_x = &pre->fast.chroma_x;
  const CiFastTaps *chroma_y = &pre->fast.chroma_y;
  const gint width = pre->format.width, height = pre->format.height;
  const gint chroma_width = (width + 1) / 2, chroma_height = (height + 1) / 2;
  const gint n = o->resized_width;
  const gsize plane = (gsize) o->padded_width * o->padded_height;
  RowPair rows, u_rows, v_rows;
  guint32 *words[4];
  gint y, i;

  for (i = 0; i < 4; i++)
    words[i] = (guint32 *) (scratch + i * pre->fast.words_bytes);

  for (y = first_row; y < end_row; y++) {
    gfloat *dst0 = dst + (gsize) y * o->padded_width;
    gfloat *dst1 = dst0 + plane, *dst2 = dst1 + plane;

    row_pair_init (&rows, image, 0, taps_y, y, width, height,
        pre->pixel_bytes);
    switch (pre->format.pixel_format) {
      case CI_PIXEL_NV12:
        row_pair_init (&u_rows, image, 1, chroma_y, y, chroma_width,
            chroma_height, 2);
        pick_plane (&rows, taps_x->index, n, words[0]);
        pick_pairs (&u_rows, chroma_x->index, n, words[1], words[2]);
        finish_row (pre, CI_PIXEL_NV12, words, rows.weight, u_rows.weight,
            dst0, dst1, dst2);
        break;
      case CI_PIXEL_I420:
        row_pair_init (&u_rows, image, 1, chroma_y, y, chroma_width,
            chroma_height, 1);
        row_pair_init (&v_rows, image, 2, chroma_y, y, chroma_width,
            chroma_height, 1);
        pick_plane (&rows, taps_x->index, n, words[0]);
        pick_plane (&u_rows, chroma_x->index, n, words[1]);
        pick_plane (&v_rows, chroma_x->index, n, words[2]);
        finish_row (pre, CI_PIXEL_I420, words, rows.weight, u_rows.weight,
            dst0, dst1, dst2);
        break;
      case CI_PIXEL_GRAY8:
        pick_plane (&rows, taps_x->index, n, words[0]);
        finish_row (pre, CI_PIXEL_GRAY8, words, rows.weight, 0.0f, dst0, dst1,
            dst2);
        break;
      default:
        if (pre->pixel_bytes == 3)
          pick_pixels (&rows, taps_x->index, 3, n, words);
        else
          pick_pixels (&rows, taps_x->index, 4, n, words);
        finish_row (pre, CI_PIXEL_RGBX, words, rows.weight, 0.0f, dst0, dst1,
            dst2);
        break;
    }
  }
}

/* ---- set-up ----------------------------------------------------------- */

gboolean
ci_preprocess_fast_init (CiPreprocess * pre)
{
  const CiPreprocessOptions *o = &pre->options;
  const gint width = pre->format.width, height = pre->format.height;
  const gdouble x_ratio = (gdouble) width / o->resized_width;
  const gdouble y_ratio = (gdouble) height / o->resized_height;
  gint c, i;

  if (!fast_taps_init (&pre->fast.x, x_ratio, width, o->resized_width)
      || !fast_taps_init (&pre->fast.y, y_ratio, height, o->resized_height)
      || !fast_taps_init (&pre->fast.chroma_x, x_ratio / 2, (width + 1) / 2,
          o->resized_width)
      || !fast_taps_init (&pre->fast.chroma_y, y_ratio / 2, (height + 1) / 2,
          o->resized_height))
    return FALSE;

  for (c = 0; c < 3; c++) {
    for (i = 0; i < 3; i++)
      pre->fast.matrix[c][i] = pre->matrix[c][i] / o->std[c];
    pre->fast.matrix[c][3] = (pre->matrix[c][3] - o->mean[c]) / o->std[c];
    pre->fast.low[c] = (0.0f - o->mean[c]) / o->std[c];
    pre->fast.high[c] = (255.0f - o->mean[c]) / o->std[c];
  }

  pre->fast.words_bytes = CI_ALIGN64 (o->resized_width * sizeof (guint32));
  pre->scratch_bytes = 4 * pre->fast.words_bytes;
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
