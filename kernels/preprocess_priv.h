/*
 * preprocess_priv.h: what the parts of the pre-processing share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_PREPROCESS_PRIV_H
#define CI_PREPROCESS_PRIV_H

#include "kernels.h"

#define CI_PREPROCESS_MAX_SIZE 16384
#define CI_ALIGN64(bytes) (((gsize) (bytes) + 63) & ~(gsize) 63)

/** Source rows and outputs that CI_RESIZE_EXACT takes at once. */
#define CI_EXACT_BLOCK 16
#define CI_EXACT_STRIP 32
/** Fraction bits of the conversion, and of the weights: two parts. */
#define CI_EXACT_MATRIX_BITS 20
#define CI_EXACT_WEIGHT_BITS 22
#define CI_EXACT_COARSE_BITS 15
#define CI_EXACT_FINE_BITS (CI_EXACT_WEIGHT_BITS - CI_EXACT_COARSE_BITS)
#define CI_EXACT_HALF (1u << (CI_EXACT_COARSE_BITS - 1))

/** One output of Pillow's filter: a sum over pairs of pixels. */
typedef struct
{
  gint first, n_pairs;          /* pixels 2 * first to 2 * (first + n_pairs) */
  gboolean fine;                /* coarse weights alone would round wrongly */
} CiExactOutput;

/** Pillow's filter of one direction in integers. Output i has @max_pairs coarse
 * weights from weights[i * 2 * max_pairs] on, two in a word, the lower half
 * for the even pixel; what these lack of 22 bits follows likewise. */
typedef struct
{
  gint max_pairs;
  CiExactOutput *outputs;
  guint32 *weights;
} CiExactTaps;

/** What one task of CI_RESIZE_EXACT writes. */
typedef struct
{
  guint32 *tile;                /* tile_columns / 2 x n_channels x 16 rows */
  guint32 *luma;                /* words as fetched, x 16 rows */
  guint32 *chroma, *chroma2;    /* x 8 rows */
  guint32 *resized;             /* STRIP / 2 x n_channels x 8 pairs of rows */
  const guint32 **rows;         /* of the ring, under the vertical filter */
  guint32 *ring;                /* ring_rows x n_channels x stride */
} CiExactScratch;

/** Two taps of one direction: the sample at index[i], in rows or bytes, and the
 * next, with weight[i]. */
typedef struct
{
  gint *index;
  gfloat *weight;
} CiFastTaps;

struct _CiPreprocess
{
  CiImageFormat format;
  CiPreprocessOptions options;

  gboolean is_yuv;              /* planes of luma and halved chroma */
  gint n_channels;              /* resized on their own: 3, or 1 for grey */
  gint pixel_bytes;             /* in the first plane: 1 to 4 */
  gint chroma_bytes;            /* of a sample, or pair, in the others */
  /* Packed: byte of each input channel, and the other way round; YUV: channels
   * of blue, green and red. */
  gint component[3];
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
      gint ring_rows;           /* pairs */
      gsize stride;             /* words of a resized pair of rows */
      guint32 *planes;          /* n_channels x resized_height x stride / 2 */
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

/** Bytes of a row and rows of each plane of a frame; returns how many planes
 * there are. */
gint ci_image_get_planes (const CiImageFormat * format, gint row_bytes[3],
    gint rows[3]);

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

/** Cuts the memory of one task up (NULL: only counts); returns the bytes that
 * it takes. */
gsize ci_preprocess_exact_layout (const CiPreprocess * pre, guint8 * memory,
    CiExactScratch * scratch);
/** The loops of the exact one, for any CPU and for newer ones. */
typedef void (*CiExactRun) (const CiPreprocess * pre, const CiImage * image,
    gfloat * dst, const CiExactScratch * scratch, gint first_row,
    gint end_row);
extern const CiExactRun ci_preprocess_exact_run;
extern const CiExactRun ci_preprocess_exact_run_x86_64_v3;
extern const CiExactRun ci_preprocess_exact_run_x86_64_v4;

#endif /* CI_PREPROCESS_PRIV_H */
