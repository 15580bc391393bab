/*
 * preprocess_priv.h: what the parts of the pre-processing share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_PREPROCESS_PRIV_H
#define CI_PREPROCESS_PRIV_H

#include "kernels.h"
#include "simd.h"

#define CI_PREPROCESS_MAX_SIZE 16384
#define CI_ALIGN64(bytes) (((gsize) (bytes) + 63) & ~(gsize) 63)

/** Pillow's filter of one direction in integers: output i is the sum of
 * @taps pixels from first[i] on, times weights[i * taps...], over 2^22. */
typedef struct
{
  gint taps;
  gint *first;
  gint32 *weights;
} CiExactTaps;

/** Two taps of one direction: pixels index[i] and index[i] + 1, the second
 * with weight[i]. */
typedef struct
{
  gint *index;
  gfloat *weight;
} CiFastTaps;

struct _CiPreprocess
{
  CiImageFormat format;
  CiPreprocessOptions options;

  gboolean is_yuv;              /* NV12 or I420 */
  gint n_channels;              /* resized on their own: 3, or 1 for grey */
  gint pixel_bytes;             /* packed formats and grey: 1, 3 or 4 */
  gint component[3];            /* packed: byte of each input channel */
  /* Channel of the input = matrix[c][0..2] . (samples of the frame) +
   * matrix[c][3], in levels 0-255; samples are Y, U, V or, for packed formats,
   * the channels themselves. */
  gdouble matrix[3][4];

  gint max_tasks;
  gsize scratch_bytes;          /* of one task, a multiple of 64 */
  guint8 *scratch;              /* aligned to 64 bytes */
  gpointer scratch_base;

  union
  {
    struct
    {
      CiExactTaps x, y;
      gint32 matrix[3][4];      /* the above in 20 fraction bits */
      gint tile_columns;        /* most source columns of a tile */
      gint ring_rows;
      gsize stride;             /* bytes of a resized 8-bit row */
      guint8 *planes;           /* n_channels x resized_height x stride */
      guint8 *packed;           /* what get_resized() returns, or NULL */
    } exact;
    struct
    {
      CiFastTaps x, chroma_x, y, chroma_y;
      gfloat matrix[3][4];      /* the above, normalised */
      gfloat low[3], high[3];   /* levels 0 and 255, normalised */
      gsize row_bytes;          /* room for a row of floats or words */
    } fast;
  };
};

/** Sets up tables and scratch_bytes for one quality; FALSE if memory lacks.
 * The owner clears in either case. */
gboolean ci_preprocess_exact_init (CiPreprocess * pre);
gboolean ci_preprocess_fast_init (CiPreprocess * pre);
void ci_preprocess_exact_clear (CiPreprocess * pre);
void ci_preprocess_fast_clear (CiPreprocess * pre);

/** Writes rows [@first_row, @end_row) of the input, without padding. */
void ci_preprocess_exact_rows (CiPreprocess * pre, const CiImage * image,
    gfloat * dst, guint8 * scratch, gint first_row, gint end_row);
void ci_preprocess_fast_rows (CiPreprocess * pre, const CiImage * image,
    gfloat * dst, guint8 * scratch, gint first_row, gint end_row);

#endif /* CI_PREPROCESS_PRIV_H */
