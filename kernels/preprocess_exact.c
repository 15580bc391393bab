/*
 * preprocess_exact.c: CI_RESIZE_EXACT, Pillow's 8-bit resize bit for bit.
 *
 * Source rows go through in blocks of 16, block columns in tiles that stay in
 * the first-level cache: fetch bytes -> 8-bit RGB as integers -> horizontal
 * pass -> ring of resized 8-bit rows; the vertical pass reads the ring. Inside
 * a block the vector lanes are rows, so that a horizontal tap is one vector
 * times one scalar. A lane holds four neighbouring bytes of its row in a word,
 * which shifts take apart and put together; only such words are transposed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "preprocess_priv.h"

#include <math.h>
#include <string.h>

#define BLOCK 16
/* Lanes 0-7 are the even rows of a block and 8-15 the odd ones, so that one
 * vector of eight chroma rows serves both halves. */
#define ROW_OF_LANE(l) (2 * ((l) & 7) + ((l) >> 3))

/* Outputs of one horizontal tile. */
#define TILE 32

/* Bit position of byte @i of a word in memory. */
#define SHIFT_OF_BYTE(i) \
    (8 * (G_BYTE_ORDER == G_LITTLE_ENDIAN ? (i) : 3 - (i)))

#define WEIGHT_BITS 22
#define MATRIX_BITS 20

typedef guint32 Lanes __attribute__ ((vector_size (32)));
/* The same, of bytes in memory. */
typedef guint32 ByteLanes
    __attribute__ ((vector_size (32), aligned (4), may_alias));
/* Four words of bytes in memory, of the widest vector that all CPUs have. */
typedef guint32 Words __attribute__ ((vector_size (16)));
typedef guint32 ByteWords
    __attribute__ ((vector_size (16), aligned (1), may_alias));

#if defined (__clang__) || __GNUC__ >= 12
# define SHUFFLE(a, b, ...) __builtin_shufflevector (a, b, __VA_ARGS__)
#else
# define SHUFFLE(a, b, ...) __builtin_shuffle (a, b, \
    (__typeof__ (a)) { __VA_ARGS__ })
#endif

/* Scratch of one task. */
typedef struct
{
  Lanes *tile;                  /* tile_columns x n_channels x 16 rows */
  guint32 *luma;                /* words as fetched, x 16 rows */
  guint32 *chroma, *chroma2;    /* x 8 rows */
  guint32 *resized;             /* TILE / 4 x n_channels x 16 rows */
  const guint8 **rows;          /* of the ring, under the vertical filter */
  guint8 *ring;                 /* ring_rows x n_channels x stride */
} Scratch;

/* ---- tables ----------------------------------------------------------- */

/* Pillow 9.4 Resample.c, precompute_coeffs() and normalize_coeffs_8bpc(), for
 * the triangle filter. */
static gboolean
exact_taps_init (CiExactTaps * taps, gint in, gint out, gint n_entries)
{
  gdouble scale = (gdouble) in / out;
  gdouble support = MAX (scale, 1.0);
  gint capacity = (gint) ceil (support) * 2 + 1;
  g_autofree gdouble *w = g_try_new (gdouble, capacity);
  gint i, j, pass;

  taps->first = g_try_new (gint, n_entries);
  if (!w || !taps->first)
    return FALSE;

  /* The first pass finds how many taps the widest output has: all get as
   * many, with zeros, for loops of one length. */
  for (pass = 0; pass < 2; pass++) {
    for (i = 0; i < n_entries; i++) {
      gdouble center = (MIN (i, out - 1) + 0.5) * scale;
      gint first = MAX (0, (gint) (center - support + 0.5));
      gint end = MIN (in, (gint) (center + support + 0.5));
      gint shift, n = end - first;
      gdouble sum = 0.0;

      for (j = 0; j < n; j++) {
        gdouble d = fabs ((first + j - center + 0.5) * (1.0 / support));

        w[j] = d < 1.0 ? 1.0 - d : 0.0;
        sum += w[j];
      }
      for (j = 0; j < n; j++)
        w[j] = floor (0.5 + w[j] / sum * (1 << WEIGHT_BITS));
      for (shift = 0; shift < n - 1 && w[shift] == 0.0; shift++);
      while (n - 1 > shift && w[n - 1] == 0.0)
        n--;

      if (pass == 0) {
        taps->taps = MAX (taps->taps, n - shift);
      } else {
        gint32 *dst = taps->weights + (gsize) i * taps->taps;

        taps->first[i] = MIN (first + shift, in - taps->taps);
        dst += first + shift - taps->first[i];
        for (j = shift; j < n; j++)
          *dst++ = w[j];
      }
    }
    if (pass == 0) {
      taps->weights = g_try_malloc0_n ((gsize) n_entries * taps->taps,
          sizeof (gint32));
      if (!taps->weights)
        return FALSE;
    }
  }
  return TRUE;
}

static gpointer
take (guint8 * memory, gsize * pos, gsize bytes)
{
  gsize start = *pos;

  *pos += CI_ALIGN64 (bytes);
  return memory ? memory + start : NULL;
}

/* Cuts @memory up (NULL: only counts); returns the bytes that it takes. */
static gsize
scratch_layout (const CiPreprocess * pre, guint8 * memory, Scratch * scratch)
{
  const gsize words = (gsize) pre->exact.tile_columns * BLOCK;
  const gsize word = sizeof (guint32);
  gsize pos = 0;

  scratch->tile = take (memory, &pos, words * word * pre->n_channels);
  scratch->luma = take (memory, &pos, words * word);
  scratch->chroma = take (memory, &pos, words * word / 2);
  scratch->chroma2 = take (memory, &pos, words * word / 2);
  scratch->resized = take (memory, &pos,
      TILE / 4 * pre->n_channels * BLOCK * word);
  scratch->rows = take (memory, &pos, pre->exact.y.taps * sizeof (guint8 *));
  scratch->ring = take (memory, &pos,
      pre->exact.ring_rows * pre->n_channels * pre->exact.stride);
  return pos;
}

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

/* Fixed point to 0-255. C has no minimum of vectors, but compilers see this
 * loop for what it is. */
CI_INLINE void
store_level (CiV8i v, CiV8i * dst)
{
  gint l;

  for (l = 0; l < 8; l++)
    v[l] = CLAMP (v[l] >> MATRIX_BITS, 0, 255);
  *dst = v;
}

/* Four columns of YUV to 8-bit RGB. Their first chroma samples are at bit
 * @u0 and @v0 of the words, the second ones @pitch bits higher. */
CI_INLINE void
convert_yuv (const gint32 matrix[3][4], const Lanes * luma,
    const Lanes * u_words, gint u0, const Lanes * v_words, gint v0,
    gint pitch, CiV8i * dst)
{
  gint k, half, c;

  for (k = 0; k < 4; k++) {
    CiV8i u = (CiV8i) (*u_words >> (u0 + k / 2 * pitch) & 0xff);
    CiV8i v = (CiV8i) (*v_words >> (v0 + k / 2 * pitch) & 0xff);

    for (half = 0; half < 2; half++) {
      CiV8i y = (CiV8i) (luma[half] >> (8 * k) & 0xff) * matrix[0][0];

      for (c = 0; c < 3; c++)
        store_level (y + (u * matrix[c][1] + v * matrix[c][2] + matrix[c][3]),
            &dst[(k * 3 + c) * 2 + half]);
    }
  }
}

CI_INLINE void
convert_grey (const gint32 matrix[4], const Lanes * luma, CiV8i * dst)
{
  gint k, half;

  for (k = 0; k < 4; k++)
    for (half = 0; half < 2; half++)
      store_level ((CiV8i) (luma[half] >> (8 * k) & 0xff) * matrix[0] +
          matrix[3], &dst[k * 2 + half]);
}

/* One pixel of a packed format. */
CI_INLINE void
convert_packed (const gint component[3], const Lanes * words, CiV8i * dst)
{
  gint c, half;

  for (c = 0; c < 3; c++)
    for (half = 0; half < 2; half++)
      dst[c * 2 + half] = (CiV8i) (words[half] >> (8 * component[c]) & 0xff);
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

/* Columns [@x, @x + @n) of a block as 8-bit channels in the input's order;
 * @x is even and @n a multiple of 8. */
CI_INLINE void
load_tile (const CiPreprocess * pre, const BlockRows * block, gint x, gint n,
    const Scratch * scratch)
{
  const CiPixelFormat format = pre->format.pixel_format;
  const gint width = pre->format.width;
  const gint chroma_width = (width + 1) / 2;
  const Lanes *luma = (const Lanes *) scratch->luma;
  const Lanes *chroma = (const Lanes *) scratch->chroma;
  const Lanes *chroma2 = (const Lanes *) scratch->chroma2;
  CiV8i *tile = (CiV8i *) scratch->tile;
  gint g;

  if (format == CI_PIXEL_NV12) {
    fetch (block->rows, BLOCK, width, x, 4, n / 4, scratch->luma);
    fetch (block->chroma, BLOCK / 2, 2 * chroma_width, x, 4, n / 4,
        scratch->chroma);
    for (g = 0; g < n / 4; g++)
      convert_yuv (pre->exact.matrix, luma + g * 2, chroma + g, 0, chroma + g,
          8, 16, tile + g * 4 * 3 * 2);
  } else if (format == CI_PIXEL_I420) {
    fetch (block->rows, BLOCK, width, x, 4, n / 4, scratch->luma);
    fetch (block->chroma, BLOCK / 2, chroma_width, x / 2, 4, n / 8,
        scratch->chroma);
    fetch (block->chroma2, BLOCK / 2, chroma_width, x / 2, 4, n / 8,
        scratch->chroma2);
    for (g = 0; g < n / 4; g++)
      convert_yuv (pre->exact.matrix, luma + g * 2, chroma + g / 2,
          g % 2 * 16, chroma2 + g / 2, g % 2 * 16, 8, tile + g * 4 * 3 * 2);
  } else if (format == CI_PIXEL_GRAY8) {
    fetch (block->rows, BLOCK, width, x, 4, n / 4, scratch->luma);
    for (g = 0; g < n / 4; g++)
      convert_grey (pre->exact.matrix[0], luma + g * 2, tile + g * 4 * 2);
  } else {
    if (pre->pixel_bytes == 3)
      fetch (block->rows, BLOCK, 3 * (gsize) width, 3 * (gsize) x, 3, n,
          scratch->luma);
    else
      fetch (block->rows, BLOCK, 4 * (gsize) width, 4 * (gsize) x, 4, n,
          scratch->luma);
    for (g = 0; g < n; g++)
      convert_packed (pre->component, luma + g * 2, tile + g * 3 * 2);
  }
}

/* ---- horizontal ------------------------------------------------------- */

/* Outputs [@x0, @x1) of a block into words of four neighbouring bytes. The
 * weights of at most 16384 taps add up to less than 2^22 + 8224, so that no
 * sum rounds to 256 and nothing needs clamping, here and vertically. */
CI_INLINE void
resize_columns (const CiExactTaps * taps, const Lanes * tile, gint base,
    gint x0, gint x1, const gint n_channels, Lanes * dst)
{
  const gint n = 2 * n_channels;
  gint x, k, t, i;

  for (x = x0; x < x1; x += 4) {
    Lanes out[6] = { {0}, };

    for (k = 0; k < 4; k++) {
      const Lanes *src = tile + (gsize) (taps->first[x + k] - base) * n;
      const gint32 *w = taps->weights + (gsize) (x + k) * taps->taps;
      Lanes acc[6] = { {0}, };

      for (t = 0; t < taps->taps; t++, src += n)
        for (i = 0; i < n; i++)
          acc[i] += src[i] * w[t];
      for (i = 0; i < n; i++)
        out[i] |= (acc[i] + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS
            << SHIFT_OF_BYTE (k);
    }
    for (i = 0; i < n; i++)
      *dst++ = out[i];
  }
}

/* Four words of four lanes each, @pitch apart, to four rows. */
CI_INLINE void
store_words (const guint32 * src, gint pitch, guint8 * const *rows,
    gsize offset)
{
  Words v[4];
  gint i;

  for (i = 0; i < 4; i++)
    v[i] = *(const ByteWords *) (src + i * pitch);
  transpose (v);
  for (i = 0; i < 4; i++)
    *(ByteWords *) (rows[i] + offset) = v[i];
}

/* Source rows [@first, @first + 16) to the ring. */
CI_INLINE void
resize_block (const CiPreprocess * pre, const CiImage * image, gint first,
    const Scratch * scratch)
{
  const gint n_channels = pre->n_channels;
  const gint height = pre->format.height;
  const gint chroma_height = (height + 1) / 2;
  const gint n_outputs = (pre->options.resized_width + 3) & ~3;
  const CiExactTaps *taps = &pre->exact.x;
  const gsize stride = pre->exact.stride;
  guint8 *ring_rows[BLOCK];
  BlockRows block;
  gint x0, x1, l, c, g;

  for (l = 0; l < BLOCK; l++)
    ring_rows[l] = scratch->ring + (first + ROW_OF_LANE (l)) %
        pre->exact.ring_rows * n_channels * stride;

  lane_rows (image, 0, first, height, BLOCK, block.rows);
  if (pre->is_yuv)
    lane_rows (image, 1, first / 2, chroma_height, BLOCK / 2, block.chroma);
  if (pre->format.pixel_format == CI_PIXEL_I420)
    lane_rows (image, 2, first / 2, chroma_height, BLOCK / 2, block.chroma2);

  for (x0 = 0; x0 < n_outputs; x0 = x1) {
    gint base = taps->first[x0] & ~1;
    gint end;

    x1 = MIN (x0 + TILE, n_outputs);
    end = taps->first[x1 - 1] + taps->taps;
    load_tile (pre, &block, base, (end - base + 7) & ~7, scratch);
    if (n_channels == 3)
      resize_columns (taps, scratch->tile, base, x0, x1, 3,
          (Lanes *) scratch->resized);
    else
      resize_columns (taps, scratch->tile, base, x0, x1, 1,
          (Lanes *) scratch->resized);

    for (l = 0; l < BLOCK; l += 4)
      for (c = 0; c < n_channels; c++)
        for (g = 0; g < (x1 - x0) / 4; g += 4)
          store_words (scratch->resized + (g * n_channels + c) * BLOCK + l,
              n_channels * BLOCK, ring_rows + l, c * stride + x0 + 4 * g);
  }
}

/* ---- vertical --------------------------------------------------------- */

CI_INLINE void
resize_rows (const guint8 * const *rows, const gint32 * w, gint n_taps,
    gsize offset, gsize n, guint8 * dst)
{
  gsize x;
  gint t, k;

  for (x = 0; x < n; x += sizeof (Lanes)) {
    Lanes acc[4] = { {0}, }, out = { 0 };

    for (t = 0; t < n_taps; t++) {
      Lanes v = *(const ByteLanes *) (rows[t] + offset + x);

      for (k = 0; k < 4; k++)
        acc[k] += (v >> (8 * k) & 0xff) * w[t];
    }
    for (k = 0; k < 4; k++)
      out |= (acc[k] + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS << (8 * k);
    *(ByteLanes *) (dst + x) = out;
  }
}

CI_INLINE void
normalise (const guint8 * src, gint n, gfloat mean, gfloat scale, gfloat * dst)
{
  gint x;

  for (x = 0; x < n; x++)
    dst[x] = ((gfloat) src[x] - mean) * scale;
}

CI_MULTIVERSION void
ci_preprocess_exact_rows (CiPreprocess * pre, const CiImage * image,
    gfloat * dst, guint8 * memory, gint first_row, gint end_row)
{
  const CiPreprocessOptions *o = &pre->options;
  const CiExactTaps *taps = &pre->exact.y;
  const gsize stride = pre->exact.stride;
  const gsize row_bytes = pre->n_channels * stride;
  const gsize plane = (gsize) o->padded_width * o->padded_height;
  gint next = taps->first[first_row] & ~(BLOCK - 1);
  gint y, t, c;
  Scratch scratch;

  scratch_layout (pre, memory, &scratch);

  for (y = first_row; y < end_row; y++) {
    gint first = taps->first[y];

    for (; next < first + taps->taps; next += BLOCK)
      resize_block (pre, image, next, &scratch);
    for (t = 0; t < taps->taps; t++)
      scratch.rows[t] = scratch.ring +
          (first + t) % pre->exact.ring_rows * row_bytes;

    for (c = 0; c < pre->n_channels; c++)
      resize_rows (scratch.rows, taps->weights + (gsize) y * taps->taps,
          taps->taps, c * stride, stride, pre->exact.planes +
          ((gsize) c * o->resized_height + y) * stride);
    for (c = 0; c < 3; c++)
      normalise (pre->exact.planes + ((gsize) (c % pre->n_channels) *
              o->resized_height + y) * stride, o->resized_width, o->mean[c],
          1.0f / o->std[c], dst + c * plane + (gsize) y * o->padded_width);
  }
}

/* ---- set-up ----------------------------------------------------------- */

gboolean
ci_preprocess_exact_init (CiPreprocess * pre)
{
  const CiPreprocessOptions *o = &pre->options;
  gint n_outputs = (o->resized_width + 3) & ~3;
  gint c, i, x;
  Scratch unused;

  if (!exact_taps_init (&pre->exact.x, pre->format.width, o->resized_width,
          n_outputs)
      || !exact_taps_init (&pre->exact.y, pre->format.height,
          o->resized_height, o->resized_height))
    return FALSE;

  for (c = 0; c < 3; c++) {
    for (i = 0; i < 4; i++)
      pre->exact.matrix[c][i] =
          lrint (pre->matrix[c][i] * (1 << MATRIX_BITS));
    pre->exact.matrix[c][3] += 1 << (MATRIX_BITS - 1);
  }

  for (x = 0; x < n_outputs; x += TILE) {
    gint last = MIN (x + TILE, n_outputs) - 1;
    gint n = pre->exact.x.first[last] + pre->exact.x.taps -
        (pre->exact.x.first[x] & ~1);

    pre->exact.tile_columns = MAX (pre->exact.tile_columns, (n + 7) & ~7);
  }
  /* A whole number of blocks, with room for a filter that starts at the last
   * row of the first one. */
  pre->exact.ring_rows = (pre->exact.y.taps + 2 * (BLOCK - 1)) & ~(BLOCK - 1);
  pre->exact.stride = CI_ALIGN64 (o->resized_width);
  pre->exact.planes = g_try_malloc ((gsize) pre->n_channels *
      o->resized_height * pre->exact.stride);
  if (!pre->exact.planes)
    return FALSE;

  pre->scratch_bytes = scratch_layout (pre, NULL, &unused);
  return TRUE;
}

void
ci_preprocess_exact_clear (CiPreprocess * pre)
{
  g_free (pre->exact.x.first);
  g_free (pre->exact.x.weights);
  g_free (pre->exact.y.first);
  g_free (pre->exact.y.weights);
  g_free (pre->exact.planes);
  g_free (pre->exact.packed);
}
