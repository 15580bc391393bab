/*
 * preprocess_fast.c: CI_RESIZE_FAST, two taps in each direction.
 *
 * Per output row: two source rows are blended vertically into rows of 16-bit
 * samples with 7 fraction bits (which also takes interleaved formats apart);
 * the two neighbours of every output are picked, as one word, from these;
 * then one loop blends them, converts to RGB and normalises. Luma and chroma
 * are resized on their own and converted afterwards: the same picture up to
 * rounding, for less work.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "preprocess_priv.h"

#include <math.h>
#include <string.h>

#define SAMPLE_BITS 7
#define ROW_WEIGHT_BITS 15

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

    taps->index[i] = (gint) pos;
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

CI_INLINE gint16
blend (gint a, gint b, gint weight)
{
  /* the shape of one rounding 16-bit multiplication */
  gint16 d = (b - a) * (1 << SAMPLE_BITS);
  gint16 base = a << SAMPLE_BITS;

  return base + (gint16) (((d * weight >> (ROW_WEIGHT_BITS - 1)) + 1) >> 1);
}

/* @n samples of one component, @step bytes apart. */
CI_INLINE void
blend_rows (const guint8 * a, const guint8 * b, gint n, const gint step,
    gint16 weight, gint16 * dst)
{
  gint i;

  for (i = 0; i < n; i++)
    dst[i] = blend (a[i * step], b[i * step], weight);
}

/* @n samples of each of two interleaved components; as words, which vectors
 * take apart without shuffling. */
CI_INLINE void
blend_pairs (const guint8 * a, const guint8 * b, gint n, gint16 weight,
    gint16 * dst0, gint16 * dst1)
{
  gint i;

  for (i = 0; i < n; i++) {
    guint16 wa, wb;

    memcpy (&wa, a + 2 * i, 2);
    memcpy (&wb, b + 2 * i, 2);
    wa = GUINT16_FROM_LE (wa);
    wb = GUINT16_FROM_LE (wb);
    dst0[i] = blend (wa & 0xff, wb & 0xff, weight);
    dst1[i] = blend (wa >> 8, wb >> 8, weight);
  }
}

/* Puts each output's two neighbours into one word. */
CI_INLINE void
pick (gint16 * samples, gint n_samples, const gint * index, gint n,
    guint32 * dst)
{
  gint i;

  samples[n_samples] = samples[n_samples - 1];
  for (i = 0; i < n; i++)
    memcpy (dst + i, samples + index[i], 4);
}

/* The second neighbour comes first in a big-endian word. */
#define FIRST(word) ((gint) (G_BYTE_ORDER == G_LITTLE_ENDIAN ? \
    (word) & 0xffff : (word) >> 16))
#define SECOND(word) ((gint) (G_BYTE_ORDER == G_LITTLE_ENDIAN ? \
    (word) >> 16 : (word) & 0xffff))

CI_INLINE gfloat
lerp (guint32 word, gfloat weight)
{
  gfloat a = FIRST (word);
  gfloat b = SECOND (word);

  return a + (b - a) * weight;
}

/* Blends the neighbours, converts and normalises: @n outputs of 3 channels. */
CI_INLINE void
finish_row (const CiPreprocess * pre, const guint32 * restrict w0,
    const guint32 * restrict w1, const guint32 * restrict w2,
    const gfloat * restrict luma_x, const gfloat * restrict chroma_x, gint n,
    gfloat * restrict dst0, gfloat * restrict dst1, gfloat * restrict dst2)
{
  const gfloat (*m)[4] = pre->fast.matrix;
  const gfloat *low = pre->fast.low, *high = pre->fast.high;
  gint i;

  for (i = 0; i < n; i++) {
    gfloat a = lerp (w0[i], luma_x[i]);
    gfloat b = lerp (w1[i], chroma_x[i]);
    gfloat c = lerp (w2[i], chroma_x[i]);
    gfloat v0 = m[0][0] * a + m[0][1] * b + m[0][2] * c + m[0][3];
    gfloat v1 = m[1][0] * a + m[1][1] * b + m[1][2] * c + m[1][3];
    gfloat v2 = m[2][0] * a + m[2][1] * b + m[2][2] * c + m[2][3];

    v0 = v0 < low[0] ? low[0] : v0;
    v1 = v1 < low[1] ? low[1] : v1;
    v2 = v2 < low[2] ? low[2] : v2;
    dst0[i] = v0 > high[0] ? high[0] : v0;
    dst1[i] = v1 > high[1] ? high[1] : v1;
    dst2[i] = v2 > high[2] ? high[2] : v2;
  }
}

/* Two neighbouring rows of a plane and the weight of the second. */
typedef struct
{
  const guint8 *a, *b;
  gint16 weight;
} RowPair;

static inline RowPair
row_pair (const CiImage * image, gint plane, const CiFastTaps * taps, gint y,
    gint height)
{
  gint row = taps->index[y];
  RowPair pair;

  pair.a = image->planes[plane] + (gssize) row * image->strides[plane];
  pair.b = row + 1 < height ? pair.a + image->strides[plane] : pair.a;
  pair.weight = MIN (lrintf (taps->weight[y] * (1 << ROW_WEIGHT_BITS)),
      (1 << ROW_WEIGHT_BITS) - 1);
  return pair;
}

CI_MULTIVERSION void
ci_preprocess_fast_rows (CiPreprocess * pre, const CiImage * image, gfloat * dst,
    guint8 * memory, gint first_row, gint end_row)
{
  const CiPreprocessOptions *o = &pre->options;
  const CiFastTaps *x = &pre->fast.x, *chroma_x = &pre->fast.chroma_x;
  const gint width = pre->format.width, height = pre->format.height;
  const gint chroma_width = (width + 1) / 2, chroma_height = (height + 1) / 2;
  const gint n = o->resized_width;
  const gsize plane = (gsize) o->padded_width * o->padded_height;
  guint32 *words[3];
  gint16 *samples[3];
  gint y, c;

  for (c = 0; c < 3; c++, memory += pre->fast.words_bytes)
    words[c] = (guint32 *) memory;
  for (c = 0; c < 3; c++, memory += pre->fast.samples_bytes)
    samples[c] = (gint16 *) memory;

  for (y = first_row; y < end_row; y++) {
    RowPair p = row_pair (image, 0, &pre->fast.y, y, height), q;

    if (pre->is_yuv) {
      blend_rows (p.a, p.b, width, 1, p.weight, samples[0]);
      p = row_pair (image, 1, &pre->fast.chroma_y, y, chroma_height);
      if (pre->format.pixel_format == CI_PIXEL_NV12) {
        blend_pairs (p.a, p.b, chroma_width, p.weight, samples[1],
            samples[2]);
      } else {
        q = row_pair (image, 2, &pre->fast.chroma_y, y, chroma_height);
        blend_rows (p.a, p.b, chroma_width, 1, p.weight, samples[1]);
        blend_rows (q.a, q.b, chroma_width, 1, q.weight, samples[2]);
      }
    } else if (pre->pixel_bytes == 1) {
      blend_rows (p.a, p.b, width, 1, p.weight, samples[0]);
    } else {
      for (c = 0; c < 3; c++) {
        const guint8 *a = p.a + pre->component[c], *b = p.b + pre->component[c];

        if (pre->pixel_bytes == 3)
          blend_rows (a, b, width, 3, p.weight, samples[c]);
        else
          blend_rows (a, b, width, 4, p.weight, samples[c]);
      }
    }

    pick (samples[0], width, x->index, n, words[0]);
    if (pre->n_channels == 3) {
      gint samples_width = pre->is_yuv ? chroma_width : width;

      pick (samples[1], samples_width, chroma_x->index, n, words[1]);
      pick (samples[2], samples_width, chroma_x->index, n, words[2]);
    }
    finish_row (pre, words[0], words[1], words[2], x->weight,
        chroma_x->weight, n, dst + (gsize) y * o->padded_width,
        dst + plane + (gsize) y * o->padded_width,
        dst + 2 * plane + (gsize) y * o->padded_width);
  }
}

gboolean
ci_preprocess_fast_init (CiPreprocess * pre)
{
  const CiPreprocessOptions *o = &pre->options;
  const gint width = pre->format.width, height = pre->format.height;
  const gdouble x_ratio = (gdouble) width / o->resized_width;
  const gdouble y_ratio = (gdouble) height / o->resized_height;
  const gint down = pre->is_yuv ? 2 : 1;
  gint c, i;

  if (!fast_taps_init (&pre->fast.x, x_ratio, width, o->resized_width)
      || !fast_taps_init (&pre->fast.y, y_ratio, height, o->resized_height)
      || !fast_taps_init (&pre->fast.chroma_x, x_ratio / down,
          (width + down - 1) / down, o->resized_width)
      || !fast_taps_init (&pre->fast.chroma_y, y_ratio / down,
          (height + down - 1) / down, o->resized_height))
    return FALSE;

  for (c = 0; c < 3; c++) {
    for (i = 0; i < 3; i++)
      pre->fast.matrix[c][i] =
          pre->matrix[c][i] / o->std[c] / (1 << SAMPLE_BITS);
    pre->fast.matrix[c][3] = (pre->matrix[c][3] - o->mean[c]) / o->std[c];
    pre->fast.low[c] = (0.0f - o->mean[c]) / o->std[c];
    pre->fast.high[c] = (255.0f - o->mean[c]) / o->std[c];
  }

  pre->fast.words_bytes = CI_ALIGN64 (o->resized_width * sizeof (guint32));
  pre->fast.samples_bytes = CI_ALIGN64 ((width + 1) * sizeof (gint16));
  pre->scratch_bytes =
      3 * (pre->fast.words_bytes + pre->fast.samples_bytes);
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
