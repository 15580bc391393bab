/*
 * preprocess_priv.h: what the parts of the pre-processing share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_PREPROCESS_PRIV_H
#define CI_PREPROCESS_PRIV_H

#include <string.h>

#include "cuda/kernel_preprocess.h"
#include "kernels.h"

#define CI_PREPROCESS_MAX_SIZE 16384
#define CI_ALIGN64(bytes) (((gsize) (bytes) + 63) & ~(gsize) 63)

/** Outputs that the 8-bit resizes take at once, and source rows that
 * CI_RESIZE_EXACT does. */
#define CI_PREPROCESS_STRIP 32
#define CI_EXACT_BLOCK 16
/** Fraction bits of the conversion, and of the weights: two parts. */
#define CI_EXACT_MATRIX_BITS CI_PREPROCESS_MATRIX_BITS
#define CI_EXACT_WEIGHT_BITS CI_PREPROCESS_WEIGHT_BITS
#define CI_EXACT_COARSE_BITS 15
#define CI_EXACT_FINE_BITS (CI_EXACT_WEIGHT_BITS - CI_EXACT_COARSE_BITS)
#define CI_EXACT_HALF (1u << (CI_EXACT_COARSE_BITS - 1))
/** Of OpenCV's weights, and those that its vertical taps do without. */
#define CI_OPENCV_WEIGHT_BITS CI_PREPROCESS_OPENCV_BITS
#define CI_OPENCV_ROW_SHIFT CI_PREPROCESS_OPENCV_ROW_SHIFT

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

/** OpenCV's two taps of one direction: the samples at index[i], in rows or
 * bytes, and after it; the lower half of weights[i] is the first one's weight,
 * in 11 fraction bits. */
typedef struct
{
  gint *index;
  guint32 *weights;
} CiOpencvTaps;

/** What one task of CI_RESIZE_OPENCV writes. */
typedef struct
{
  guint32 *pixels;              /* a row of the frame, 8-bit channels */
  guint32 *picked;              /* two of them for each output */
  guint32 *rows[2][3];          /* an even and an odd row of each channel at the
                                   output's width: 16 bits, columns i and i + 8
                                   of 16 in one word */
} CiOpencvScratch;

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
  /* 8-bit resizes: n_channels x resized_height x row_words words, each with
   * the levels of four columns, 8 apart; what get_resized() returns, or NULL */
  gsize row_words;
  guint32 *levels;
  guint8 *packed;

  union
  {
    struct
    {
      CiExactTaps x, y;
      gint32 matrix[3][4];      /* the above in 20 fraction bits */
      gint tile_columns;        /* most source columns of a tile */
      gint ring_rows;           /* pairs */
      gsize stride;             /* words of a resized pair of rows */
    } exact;
    struct
    {
      CiFastTaps x, chroma_x, y, chroma_y;
      gfloat matrix[3][4];      /* the above, normalised */
      gfloat low[3], high[3];   /* levels 0 and 255, normalised */
      gsize row_bytes;          /* room for a row of floats or words */
    } fast;
    struct
    {
      CiOpencvTaps x, y;
      gint32 matrix[3][4];      /* as of exact */
    } opencv;
    struct                      /* with options.on_device */
    {
      CiPreprocessSettings *settings;   /* and tables; without planes */
      gsize bytes;
    } device;
  };
};

/** Room for the weights of Pillow's triangle filter, and those of one output:
 * whole numbers of 22 bits; returns how many there are, from @first on. */
gint ci_preprocess_exact_capacity (gint in, gint out);
gint ci_preprocess_exact_filter (gint in, gint out, gint index,
    gdouble * weights, gint * first);
/** CiPreprocess.matrix in integers, with the half that rounds. */
void ci_preprocess_exact_matrix (const CiPreprocess * pre,
    gint32 matrix[3][4]);
/** The first of two taps, of @in samples, @ratio for an output, and the weight
 * of the second. */
gint ci_preprocess_fast_tap (gdouble ratio, gint in, gint i, gfloat * weight);
/** CiPreprocess.matrix and the levels 0 and 255, normalised. */
void ci_preprocess_fast_matrix (const CiPreprocess * pre,
    gfloat matrix[3][4], gfloat low[3], gfloat high[3]);

/** The first of two taps, of @in samples for @out outputs, and their weights as
 * in CiOpencvTaps. Rows go from -1 to @in - 1, to be clamped; a column and the
 * next are inside where there are two. */
gint ci_preprocess_opencv_row (gint in, gint out, gint i, guint32 * weights);
gint ci_preprocess_opencv_column (gint in, gint out, gint i,
    guint32 * weights);

/** Sets up tables and scratch_bytes for one quality, or for a device; FALSE if
 * memory lacks. The owner clears in either case. */
gboolean ci_preprocess_exact_init (CiPreprocess * pre);
gboolean ci_preprocess_fast_init (CiPreprocess * pre);
gboolean ci_preprocess_opencv_init (CiPreprocess * pre);
gboolean ci_preprocess_device_init (CiPreprocess * pre);
void ci_preprocess_exact_clear (CiPreprocess * pre);
void ci_preprocess_fast_clear (CiPreprocess * pre);
void ci_preprocess_opencv_clear (CiPreprocess * pre);

/** Writes rows [@first_row, @end_row) of the input, without padding. */
void ci_preprocess_exact_rows (CiPreprocess * pre, const CiImage * image,
    gfloat * dst, guint8 * scratch, gint first_row, gint end_row);
void ci_preprocess_fast_rows (CiPreprocess * pre, const CiImage * image,
    gfloat * dst, guint8 * scratch, gint first_row, gint end_row);
void ci_preprocess_opencv_rows (CiPreprocess * pre, const CiImage * image,
    gfloat * dst, guint8 * scratch, gint first_row, gint end_row);

/** What the kernels of a device read of a frame, for @pre made for a device:
 * writes settings for the planes of @image, and tables, unless those numbered
 * @tables are there already (0: none are). @dst has room for
 * pre->device.bytes; returns how many are written. */
static inline gsize
ci_preprocess_device_fill (const CiPreprocess * pre, const CiImage * image,
    guint64 tables, CiPreprocessSettings * dst)
{
  gsize n = tables == pre->device.settings->tables ? sizeof (*dst)
      : pre->device.bytes;
  guintptr bits = 0;

  memcpy (dst, pre->device.settings, n);
  for (gint i = 0; i < 3; i++) {
    dst->planes[i] = image->planes[i];
    dst->strides[i] = image->strides[i];
    bits |= (guintptr) image->planes[i] | (guintptr) image->strides[i];
  }
  dst->wide = G_BYTE_ORDER == G_LITTLE_ENDIAN && bits % 4 == 0;
  return n;
}

/** Room for levels; FALSE if memory lacks. */
gboolean ci_preprocess_alloc_levels (CiPreprocess * pre);
/** @bytes of @memory from @pos on, which moves to the next 64. */
gpointer ci_preprocess_take (guint8 * memory, gsize * pos, gsize bytes);

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


/** The same of OpenCV's. */
gsize ci_preprocess_opencv_layout (const CiPreprocess * pre, guint8 * memory,
    CiOpencvScratch * scratch);
typedef void (*CiOpencvRun) (const CiPreprocess * pre, const CiImage * image,
    gfloat * dst, const CiOpencvScratch * scratch, gint first_row,
    gint end_row);
extern const CiOpencvRun ci_preprocess_opencv_run;
extern const CiOpencvRun ci_preprocess_opencv_run_x86_64_v3;
extern const CiOpencvRun ci_preprocess_opencv_run_x86_64_v4;

#endif /* CI_PREPROCESS_PRIV_H */
