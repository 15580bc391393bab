/*
 * preprocess_exact_run.c: the loops of CI_RESIZE_EXACT, for the CPU that the
 * compiler is told to build for.
 *
 * Source rows go through in blocks of 16, block columns in strips that stay in
 * the first-level cache: fetch bytes -> 8-bit RGB -> horizontal pass -> ring of
 * resized 8-bit rows; the vertical pass reads the ring. Inside a block the
 * vector lanes are rows, so that a horizontal tap is one vector times one
 * scalar. Both passes take two taps at once: a lane holds two neighbours in 16
 * bits each. Bytes come and go as lanes of four, which shifts take apart and
 * put together; only such words are transposed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "preprocess_lanes.h"

#define BLOCK CI_EXACT_BLOCK
/* Lanes 0-7 are the even rows of a block and 8-15 the odd ones, so that one
 * vector of eight chroma rows serves both halves. */
#define ROW_OF_LANE(l) (2 * ((l) & 7) + ((l) >> 3))

/* ---- frame -> integers ------------------------------------------------ */

/* Word i of vector j becomes word j of vector i. */
CI_INLINE void
transpose (Words v[4])
{
  Words a = SHUFFLE (v[0], v[1], 0, 4, 1, 5);
  Words b = SHUFFLE (v[0], v[1], 2, 6, 3, 7);
  Words c = SHUFFLE (v[2], v[3], 0, 4, 1, 5);
  Words d = SHUFFLE (v[2], v[3], 2, 6, 3, 7);

  v[0] = SHUFFLE (a, c, 0, 1, 4, 5);
  v[1] = SHUFFLE (a, c, 2, 3, 6, 7);
  v[2] = SHUFFLE (b, d, 0, 1, 4, 5);
  v[3] = SHUFFLE (b, d, 2, 3, 6, 7);
}

/* Four words of four bytes, @step apart. */
CI_INLINE void
load_words (const guint8 * src, const gint step, Words * dst)
{
  typedef guint8 Bytes __attribute__ ((vector_size (16), aligned (1)));
  Bytes v = *(const Bytes *) src;

  if (step == 3)
    v = SHUFFLE (v, v, 0, 1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 9, 10, 11, 12);
  *dst = (Words) v;
}

/* Words of four bytes from @n_rows rows: word g, row r to dst[g * n_rows + r]
 * from byte @offset + g * @step. Bytes from @row_bytes on read as 0. There is
 * room for a multiple of four words. */
CI_INLINE void
fetch (const guint8 * const *rows, const gint n_rows, gsize row_bytes,
    gsize offset, const gint step, gint n_words, guint32 * dst)
{
  gint n_inside, n_vectors = 0, r, g, i;

  /* The next block, into the second-level cache: two dozen short runs are too
   * many for a CPU to foresee. Behind the frame it does no harm. */
  for (r = 0; r < n_rows; r++)
    for (i = (offset + 63) & ~63; i < (gint) offset + n_words * step; i += 64)
      __builtin_prefetch (rows[r] + 8 * (rows[1] - rows[0]) + i, 0, 2);

  n_inside = row_bytes < offset + 4 ? 0
      : (gint) MIN ((row_bytes - offset - 4) / step + 1, (gsize) n_words);
  if (G_BYTE_ORDER == G_LITTLE_ENDIAN && row_bytes >= offset + 16)
    n_vectors = MIN ((row_bytes - offset - 16) / (4 * step) + 1,
        (gsize) (n_words + 3) / 4);

  for (r = 0; r < n_rows; r += 4) {
    for (g = 0; g < 4 * n_vectors; g += 4) {
      Words v[4];

      for (i = 0; i < 4; i++)
        load_words (rows[r + i] + offset + g * step, step, &v[i]);
      transpose (v);
      for (i = 0; i < 4; i++)
        *(ByteWords *) (dst + (g + i) * n_rows + r) = v[i];
    }
  }
  if (4 * n_vectors >= n_words)
    return;

  for (r = 0; r < n_rows; r++) {
    const guint8 *src = rows[r] + offset;

    for (g = 4 * n_vectors; g < n_inside; g++) {
      guint32 word;

      memcpy (&word, src + g * step, 4);
      dst[g * n_rows + r] = GUINT32_FROM_LE (word);
    }
    for (; g < n_words; g++) {
      guint32 word = 0;

      for (i = 0; i < 4 && offset + g * step + i < row_bytes; i++)
        word |= (guint32) src[g * step + i] << (8 * i);
      dst[g * n_rows + r] = word;
    }
  }
}

/* A sample of each word. */
CI_INLINE CiV8i
bits_at (Lanes words, const gint shift, const gint n)
{
  return (CiV8i) (words >> shift & ((1 << n) - 1));
}

CI_INLINE CiV8i
byte_at (Lanes words, const gint shift)
{
  return bits_at (words, shift, 8);
}

/* Two columns of YUV and the chroma that they share. Their luma, of @bits, ends
 * at bits @shift and @shift + @step. */
CI_INLINE void
convert_yuv (const CiPreprocess * pre, const Lanes * luma, const gint shift,
    const gint step, const gint bits, CiV8i u, CiV8i v, Lanes * dst)
{
  const gint32 (*m)[4] = pre->exact.matrix;
  const gint blue = pre->component[0], red = pre->component[2];
  CiV8i b = u * m[blue][1] + m[blue][3];
  CiV8i g = u * m[1][1] + v * m[1][2] + m[1][3];
  CiV8i r = v * m[red][2] + m[red][3];
  gint half;

#pragma GCC unroll 2
  for (half = 0; half < 2; half++) {
    CiV8i even = bits_at (luma[half], shift, bits) * m[1][0];
    CiV8i odd = bits_at (luma[half], shift + step, bits) * m[1][0];

    store_levels (even + b, odd + b, &dst[blue * 2 + half]);
    store_levels (even + g, odd + g, &dst[2 + half]);
    store_levels (even + r, odd + r, &dst[red * 2 + half]);
  }
}

CI_INLINE void
convert_grey (const gint32 matrix[4], const Lanes * luma, const gint shift,
    Lanes * dst)
{
  gint half;

  for (half = 0; half < 2; half++)
    store_levels (byte_at (luma[half], shift) * matrix[0] + matrix[3],
        byte_at (luma[half], shift + 8) * matrix[0] + matrix[3], &dst[half]);
}

/* Two pixels of a packed format. */
CI_INLINE void
convert_packed (const gint component[3], const Lanes * words, Lanes * dst)
{
  gint half;

  for (half = 0; half < 2; half++) {
    Lanes even = words[half], odd = words[2 + half];
    Lanes low = (even & 0xffff) | odd << 16;

    /* red and blue may have changed places, either way */
    dst[component[0] * 2 + half] = low & 0xff00ff;
    dst[component[1] * 2 + half] = low >> 8 & 0xff00ff;
    dst[component[2] * 2 + half] = (even >> 16 & 0xff) | (odd & 0xff0000);
  }
}

/* Pointers to the rows of a plane from @first on, in lane order; rows below
 * the frame repeat its last one. */
CI_INLINE void
lane_rows (const CiImage * image, gint plane, gint first, gint height,
    gint n_lanes, const guint8 ** rows)
{
  gint l;

  for (l = 0; l < n_lanes; l++) {
    gint row = first + (n_lanes == BLOCK ? ROW_OF_LANE (l) : l);

    rows[l] = image->planes[plane] +
        (gssize) MIN (row, height - 1) * image->strides[plane];
  }
}

typedef struct
{
  const guint8 *rows[BLOCK], *chroma[BLOCK / 2], *chroma2[BLOCK / 2];
} BlockRows;

/* Columns [@x, @x + @n) of a block as 8-bit channels in the input's order, two
 * columns to a lane; @x is even and @n a multiple of 8. */
CI_INLINE void
load_tile (const CiPreprocess * pre, const BlockRows * block, gint x, gint n,
    const CiExactScratch * scratch, Lanes * tile)
{
  const CiPixelFormat format = pre->format.pixel_format;
  const gint width = pre->format.width;
  const gint chroma_width = (width + 1) / 2;
  const gint n_pixels = 4 / pre->pixel_bytes;   /* in a word */
  const Lanes *luma = (const Lanes *) scratch->luma;
  const Lanes *u = (const Lanes *) scratch->chroma;
  const Lanes *v = (const Lanes *) scratch->chroma2;
  gint g, i;

  if (pre->pixel_bytes == 3)
    fetch (block->rows, BLOCK, 3 * (gsize) width, 3 * (gsize) x, 3, n,
        scratch->luma);
  else
    fetch (block->rows, BLOCK, pre->pixel_bytes * (gsize) width,
        pre->pixel_bytes * (gsize) x, 4, n / n_pixels, scratch->luma);

  if (format == CI_PIXEL_NV12) {
    fetch (block->chroma, BLOCK / 2, 2 * chroma_width, x, 4, n / 4,
        scratch->chroma);
    for (g = 0; g < n / 4; g++)
#pragma GCC unroll 2
      for (i = 0; i < 2; i++)
        convert_yuv (pre, luma + g * 2, 16 * i, 8, 8,
            byte_at (u[g], 16 * i), byte_at (u[g], 16 * i + 8),
            tile + (2 * g + i) * 6);
  } else if (format == CI_PIXEL_I420) {
    fetch (block->chroma, BLOCK / 2, chroma_width, x / 2, 4, n / 8,
        scratch->chroma);
    fetch (block->chroma2, BLOCK / 2, chroma_width, x / 2, 4, n / 8,
        scratch->chroma2);
    for (g = 0; g < n / 8; g++)
#pragma GCC unroll 4
      for (i = 0; i < 4; i++)
        convert_yuv (pre, luma + (2 * g + i / 2) * 2,
            16 * (i % 2), 8, 8, byte_at (u[g], 8 * i), byte_at (v[g], 8 * i),
            tile + (4 * g + i) * 6);
  } else if (format == CI_PIXEL_P010) {
    fetch (block->chroma, BLOCK / 2, 4 * chroma_width, 2 * x, 4, n / 2,
        scratch->chroma);
    for (g = 0; g < n / 2; g++)
      convert_yuv (pre, luma + g * 2, 6, 16, 10, bits_at (u[g], 6, 10),
          bits_at (u[g], 22, 10), tile + g * 6);
  } else if (format == CI_PIXEL_GRAY8) {
    for (g = 0; g < n / 4; g++)
#pragma GCC unroll 2
      for (i = 0; i < 2; i++)
        convert_grey (pre->exact.matrix[0], luma + g * 2, 16 * i,
            tile + (2 * g + i) * 2);
  } else {
    for (g = 0; g < n / 2; g++)
      convert_packed (pre->component, luma + g * 4, tile + g * 6);
  }
}

/* ---- horizontal ------------------------------------------------------- */

/* One output of a block: levels of the even and the odd rows of each channel,
 * @n vectors. */
CI_INLINE void
resize_column (const CiExactOutput * output, const guint32 * w,
    gint max_pairs, const gboolean fine, const Lanes * src, const gint n,
    Lanes level[6])
{
  Lanes rest[6];
  gint p, i;

  for (i = 0; i < n; i++) {
    level[i] = CI_EXACT_HALF - (Lanes) { 0 };
    rest[i] = (Lanes) { 0 };
  }
  for (p = 0; p < output->n_pairs; p++, src += n) {
    for (i = 0; i < n; i++) {
      level[i] = add_products (level[i], src[i], SET1 (w[p]));
      if (fine)
        rest[i] = add_products (rest[i], src[i], SET1 (w[max_pairs + p]));
    }
  }
  for (i = 0; i < n; i++)
    level[i] = (level[i] + (rest[i] >> CI_EXACT_FINE_BITS)) >>
        CI_EXACT_COARSE_BITS;
}

/* A strip of outputs of a block. Word @g of a half strip has outputs g and
 * g + 8 of the even row in its lower bytes, of the odd one in its upper ones:
 * the vertical pass finds pairs of rows, and columns in order. */
CI_INLINE void
resize_columns (const CiExactTaps * taps, gint x, const Lanes * tile,
    gint base, const gint n_channels, Lanes * dst)
{
  const gint n = 2 * n_channels;
  gint g, k, c;

  for (g = 0; g < STRIP / 2; g++) {
    Lanes out[3] = { {0}, };

#pragma GCC unroll 2
    for (k = 0; k < 2; k++) {
      const gint i = x + g + (g & 8) + 8 * k;
      const CiExactOutput *output = &taps->outputs[i];
      const guint32 *w = taps->weights + (gsize) i * 2 * taps->max_pairs;
      const Lanes *src = tile + (gsize) (output->first - base) * n;
      Lanes level[6];

      if (output->fine)
        resize_column (output, w, taps->max_pairs, TRUE, src, n, level);
      else
        resize_column (output, w, taps->max_pairs, FALSE, src, n, level);
      for (c = 0; c < n_channels; c++)
        out[c] |= (level[2 * c] | level[2 * c + 1] << 16) << 8 * k;
    }
    for (c = 0; c < n_channels; c++)
      *dst++ = out[c];
  }
}

/* Four words of four lanes each, @pitch apart, to four rows. */
CI_INLINE void
store_words (const guint32 * src, gint pitch, guint32 * const *rows,
    gsize offset)
{
  Words v[4];
  gint i;

  for (i = 0; i < 4; i++)
    v[i] = *(const Words *) (src + i * pitch);
  transpose (v);
  for (i = 0; i < 4; i++)
    *(Words *) (rows[i] + offset) = v[i];
}

/* Pairs of source rows [@first, @first + 8) to the ring. */
CI_INLINE void
resize_block (const CiPreprocess * pre, const CiImage * image, gint first,
    const gint n_channels, const CiExactScratch * scratch)
{
  const gint height = pre->format.height;
  const gint chroma_height = (height + 1) / 2;
  const CiExactTaps *taps = &pre->exact.x;
  const gint n = 2 * n_channels;
  Lanes *tile = (Lanes *) scratch->tile;
  guint32 *ring_rows[BLOCK / 2];
  BlockRows block;
  gint base = 0, end = 0, x, l, c, g;

  for (l = 0; l < BLOCK / 2; l++)
    ring_rows[l] = scratch->ring + (first + l) % pre->exact.ring_rows *
        n_channels * pre->exact.stride;

  lane_rows (image, 0, 2 * first, height, BLOCK, block.rows);
  if (pre->is_yuv)
    lane_rows (image, 1, first, chroma_height, BLOCK / 2, block.chroma);
  if (pre->format.pixel_format == CI_PIXEL_I420)
    lane_rows (image, 2, first, chroma_height, BLOCK / 2, block.chroma2);

  for (x = 0; x < pre->options.resized_width; x += STRIP) {
    const CiExactOutput *last = &taps->outputs[x + STRIP - 1];
    const gint start = taps->outputs[x].first;
    const gint missing = last->first + last->n_pairs - MAX (end, start);
    const gint n_new = (MAX (missing, 0) + 3) & ~3;

    /* the last strip had the first ones, too */
    if (end > start)
      memmove (tile, tile + (gsize) (start - base) * n,
          (gsize) (end - start) * n * sizeof (Lanes));
    base = start;
    end = MAX (end, start);
    load_tile (pre, &block, 2 * end, 2 * n_new, scratch,
        tile + (gsize) (end - base) * n);
    end += n_new;

    resize_columns (taps, x, tile, base, n_channels,
        (Lanes *) scratch->resized);
    for (l = 0; l < 8; l += 4)
      for (c = 0; c < n_channels; c++)
        for (g = 0; g < STRIP / 2; g += 4)
          store_words (scratch->resized + (g * n_channels + c) * 8 + l,
              n_channels * 8, ring_rows + l,
              c * pre->exact.stride + x / 2 + g);
  }
}

/* ---- vertical --------------------------------------------------------- */

/* Levels of a strip of one row, its columns in order; the strip is at @offset
 * of the @rows of the ring. */
CI_INLINE void
resize_rows (const guint32 * const *rows, const CiExactOutput * output,
    const guint32 * w, gint max_pairs, const gboolean fine, gsize offset,
    Lanes level[4])
{
  Lanes rest[4];
  gint p, i;

  for (i = 0; i < 4; i++) {
    level[i] = CI_EXACT_HALF - (Lanes) { 0 };
    rest[i] = (Lanes) { 0 };
  }
  for (p = 0; p < output->n_pairs; p++) {
    const Lanes *src = (const Lanes *) (rows[p] + offset);

    for (i = 0; i < 4; i++) {
      Lanes v = src[i / 2] >> i % 2 * 8 & 0xff00ff;

      level[i] = add_products (level[i], v, SET1 (w[p]));
      if (fine)
        rest[i] = add_products (rest[i], v, SET1 (w[max_pairs + p]));
    }
  }
  for (i = 0; i < 4; i++)
    level[i] = (level[i] + (rest[i] >> CI_EXACT_FINE_BITS)) >>
        CI_EXACT_COARSE_BITS;
}

CI_INLINE void
resize (const CiPreprocess * pre, const CiImage * image, gfloat * dst,
    const CiExactScratch * scratch, gint first_row, gint end_row,
    const gint n_channels)
{
  const CiPreprocessOptions *o = &pre->options;
  const CiExactTaps *taps = &pre->exact.y;
  const gsize stride = pre->exact.stride;
  const gsize plane = (gsize) o->padded_width * o->padded_height;
  const gfloat scale[3] = {
    1.0f / o->std[0], 1.0f / o->std[1], 1.0f / o->std[2]
  };
  gint next = taps->outputs[first_row].first & ~(BLOCK / 2 - 1);
  gint x, y, p, c, i;

  for (y = first_row; y < end_row; y++) {
    const CiExactOutput *output = &taps->outputs[y];
    const guint32 *w = taps->weights + (gsize) y * 2 * taps->max_pairs;

    for (; next < output->first + output->n_pairs; next += BLOCK / 2)
      resize_block (pre, image, next, n_channels, scratch);
    for (p = 0; p < output->n_pairs; p++)
      scratch->rows[p] = scratch->ring +
          (output->first + p) % pre->exact.ring_rows * n_channels * stride;

    for (c = 0; c < n_channels; c++) {
      guint32 *words = pre->levels +
          ((gsize) c * o->resized_height + y) * pre->row_words;

      for (x = 0; x < o->resized_width; x += STRIP) {
        Lanes level[4];

        if (output->fine)
          resize_rows (scratch->rows, output, w, taps->max_pairs, TRUE,
              c * stride + x / 2, level);
        else
          resize_rows (scratch->rows, output, w, taps->max_pairs, FALSE,
              c * stride + x / 2, level);
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
    const CiExactScratch * scratch, gint first_row, gint end_row)
{
  if (pre->n_channels == 3)
    resize (pre, image, dst, scratch, first_row, end_row, 3);
  else
    resize (pre, image, dst, scratch, first_row, end_row, 1);
}

const CiExactRun CI_FOR_LEVEL (ci_preprocess_exact_run) = run;
