/*
 * preprocess_opencv.c: CI_RESIZE_OPENCV, cv::resize()'s INTER_LINEAR of 8-bit
 * images bit for bit, as in modules/imgproc/src/resize.cpp of OpenCV; the loops
 * are in preprocess_opencv_run.c.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "preprocess_priv.h"

#include <math.h>

#include "simd.h"

/* ---- tables ----------------------------------------------------------- */

/* In double, then single precision, as there. */
static gint
get_tap (gint in, gint out, gint i, gfloat * fraction)
{
  gdouble scale = 1.0 / ((gdouble) out / in);
  /* rounded: builds may contract it with the difference */
  volatile gdouble centre = (i + 0.5) * scale;
  gfloat position = centre - 0.5;
  gint index = floorf (position);

  *fraction = position - index;
  return index;
}

/* Halves to even; together they may be off by one. */
static guint32
get_weights (gfloat fraction)
{
  const gfloat one = 1 << CI_OPENCV_WEIGHT_BITS;

  return lrintf ((1.0f - fraction) * one)
      | (guint32) lrintf (fraction * one) << 16;
}

gint
ci_preprocess_opencv_row (gint in, gint out, gint i, guint32 * weights)
{
  gfloat fraction;
  gint index = get_tap (in, out, i, &fraction);

  *weights = get_weights (fraction);
  return index;
}

gint
ci_preprocess_opencv_column (gint in, gint out, gint i, guint32 * weights)
{
  gfloat fraction;
  gint index = get_tap (in, out, i, &fraction);

  if (index < 0) {
    index = 0;
    fraction = 0.0f;
  } else if (index >= in - 1) {
    /* the last one counts whole, here as the second where there are two */
    index = MAX (in - 2, 0);
    fraction = 1.0f;
  }
  *weights = get_weights (fraction);
  return index;
}

/* Samples are @step apart; what is behind the last output repeats it. */
static gboolean
taps_init (CiOpencvTaps * taps, gint in, gint step, gint out, gint n_entries,
    gint (*get) (gint in, gint out, gint i, guint32 * weights))
{
  taps->index = g_try_new (gint, n_entries);
  taps->weights = g_try_new (guint32, n_entries);
  if (!taps->index || !taps->weights)
    return FALSE;

  for (gint i = 0; i < n_entries; i++)
    taps->index[i] = step * get (in, out, MIN (i, out - 1),
        &taps->weights[i]);
  return TRUE;
}

gsize
ci_preprocess_opencv_layout (const CiPreprocess * pre, guint8 * memory,
    CiOpencvScratch * scratch)
{
  const gsize n = pre->row_words * 4;
  gsize pos = 0;

  scratch->pixels = ci_preprocess_take (memory, &pos,
      (gsize) pre->format.width * sizeof (guint32));
  scratch->picked = ci_preprocess_take (memory, &pos,
      2 * n * sizeof (guint32));
  for (gint i = 0; i < 2 * pre->n_channels; i++)
    scratch->rows[i % 2][i / 2] = ci_preprocess_take (memory, &pos,
        n / 2 * sizeof (guint32));
  return pos;
}

static CiOpencvRun
get_run (void)
{
#ifdef CI_HAVE_X86_64_V4
  if (CI_IS_X86_64_V4 ())
    return ci_preprocess_opencv_run_x86_64_v4;
#endif
#ifdef CI_HAVE_X86_64_V3
  if (CI_IS_X86_64_V3 ())
    return ci_preprocess_opencv_run_x86_64_v3;
#endif
  return ci_preprocess_opencv_run;
}

void
ci_preprocess_opencv_rows (CiPreprocess * pre, const CiImage * image,
    gfloat * dst, guint8 * memory, gint first_row, gint end_row)
{
  CiOpencvScratch scratch;

  ci_preprocess_opencv_layout (pre, memory, &scratch);
  get_run () (pre, image, dst, &scratch, first_row, end_row);
}

/* ---- set-up ----------------------------------------------------------- */

gboolean
ci_preprocess_opencv_init (CiPreprocess * pre)
{
  const CiPreprocessOptions *o = &pre->options;
  CiOpencvScratch unused;

  if (!ci_preprocess_alloc_levels (pre)
      || !taps_init (&pre->opencv.x, pre->format.width,
          pre->pixel_bytes == 3 ? 3 : 4, o->resized_width,
          pre->row_words * 4, ci_preprocess_opencv_column)
      || !taps_init (&pre->opencv.y, pre->format.height, 1,
          o->resized_height, o->resized_height, ci_preprocess_opencv_row))
    return FALSE;

  ci_preprocess_exact_matrix (pre, pre->opencv.matrix);
  pre->scratch_bytes = ci_preprocess_opencv_layout (pre, NULL, &unused);
  return TRUE;
}

void
ci_preprocess_opencv_clear (CiPreprocess * pre)
{
  g_free (pre->opencv.x.index);
  g_free (pre->opencv.x.weights);
  g_free (pre->opencv.y.index);
  g_free (pre->opencv.y.weights);
}
