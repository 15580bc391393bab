/*
 * preprocess_exact.c: CI_RESIZE_EXACT, Pillow's 8-bit resize bit for bit; the
 * loops are in preprocess_exact_run.c.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "preprocess_priv.h"

#include <math.h>
#include <string.h>

#include "simd.h"

/* ---- tables ----------------------------------------------------------- */

static gint
coarse_weight (gint weight)
{
  return MIN ((weight + (1 << (CI_EXACT_FINE_BITS - 1))) >> CI_EXACT_FINE_BITS,
      G_MAXINT16);
}

/* Whether coarse weights give the levels of the fine ones, whatever the pixels:
 * those of output @i are @n ones from @first on. Without rounding they would be
 * whole multiples of 1 / d, and so are the sums; with an odd d none is nearer
 * than 1 / 2d to a half, where levels change. So it is for common ratios, such
 * as 2.5 and 3. */
static gboolean
coarse_weights_do (const gdouble * w, gint n, gint first, gint i, gint in,
    gint out)
{
  gint64 sum = 0, gcd = 0, d;
  gint above = 0, below = 0, j;

  for (j = 0; j < n; j++) {
    gint64 part = 2 * MAX (in, out) - ABS ((2 * (gint64) (first + j) + 1) *
        out - (2 * (gint64) i + 1) * in);
    gint error = (gint) w[j] - (coarse_weight (w[j]) << CI_EXACT_FINE_BITS);
    gint64 a = part;

    sum += part;
    while (a != 0) {
      gint64 rest = gcd % a;

      gcd = a;
      a = rest;
    }
    if (error > 0)
      above += error;
    else
      below -= error;
  }
  if (above == 0 && below == 0)
    return TRUE;
  d = sum / gcd;
  /* each fine weight is off by up to a half itself */
  return d % 2 == 1 && 2 * d * 255 * (MAX (above, below) + n) <
      1 << CI_EXACT_WEIGHT_BITS;
}

gint
ci_preprocess_exact_capacity (gint in, gint out)
{
  gint side = ceil (MAX ((gdouble) in / out, 1.0));

  return MIN (2 * side + 1, in);
}

/* Pillow 9.4 Resample.c, precompute_coeffs() and normalize_coeffs_8bpc(), for
 * the triangle filter. */
gint
ci_preprocess_exact_filter (gint in, gint out, gint index, gdouble * w,
    gint * first_sample)
{
  gdouble scale = (gdouble) in / out;
  gdouble support = MAX (scale, 1.0);
  gdouble center = (index + 0.5) * scale;
  gint first = MAX (0, (gint) (center - support + 0.5));
  gint end = MIN (in, (gint) (center + support + 0.5));
  gint shift, j, n = end - first;
  gdouble sum = 0.0;

  for (j = 0; j < n; j++) {
    gdouble d = fabs ((first + j - center + 0.5) * (1.0 / support));

    w[j] = d < 1.0 ? 1.0 - d : 0.0;
    sum += w[j];
  }
  for (j = 0; j < n; j++)
    w[j] = floor (0.5 + w[j] / sum * (1 << CI_EXACT_WEIGHT_BITS));
  for (shift = 0; shift < n - 1 && w[shift] == 0.0; shift++);
  while (n - 1 > shift && w[n - 1] == 0.0)
    n--;
  memmove (w, w + shift, (n - shift) * sizeof (*w));
  *first_sample = first + shift;
  return n - shift;
}

static gboolean
exact_taps_init (CiExactTaps * taps, gint in, gint out, gint n_entries)
{
  g_autofree gdouble *w = g_try_new (gdouble,
      ci_preprocess_exact_capacity (in, out));
  gint i, j, pass;

  taps->outputs = g_try_new (CiExactOutput, n_entries);
  if (!w || !taps->outputs)
    return FALSE;

  /* the first pass finds how many pairs the widest output has */
  for (pass = 0; pass < 2; pass++) {
    for (i = 0; i < n_entries; i++) {
      CiExactOutput *output = &taps->outputs[i];
      gint index = MIN (i, out - 1), first;
      gint n = ci_preprocess_exact_filter (in, out, index, w, &first);

      output->first = first / 2;
      output->n_pairs = (first + n - 1) / 2 - output->first + 1;
      if (pass == 0) {
        taps->max_pairs = MAX (taps->max_pairs, output->n_pairs);
        continue;
      }
      output->fine = !coarse_weights_do (w, n, first, index, in, out);
      for (j = 0; j < n; j++) {
        gint pair = (first + j) / 2 - output->first;
        gint bit = (first + j) % 2 * 16;
        gint weight = w[j];
        gint coarse = output->fine ? MIN (weight >> CI_EXACT_FINE_BITS,
            G_MAXINT16) : coarse_weight (weight);
        gint fine = weight - (coarse << CI_EXACT_FINE_BITS);
        guint32 *dst = taps->weights + (gsize) i * 2 * taps->max_pairs + pair;

        dst[0] |= (guint32) coarse << bit;
        if (output->fine)
          dst[taps->max_pairs] |= (guint32) fine << bit;
      }
    }
    if (pass == 0) {
      taps->weights = g_try_malloc0_n ((gsize) n_entries * 2 *
          taps->max_pairs, sizeof (guint32));
      if (!taps->weights)
        return FALSE;
    }
  }
  return TRUE;
}

void
ci_preprocess_exact_matrix (const CiPreprocess * pre, gint32 matrix[3][4])
{
  for (gint c = 0; c < 3; c++) {
    for (gint i = 0; i < 4; i++)
      matrix[c][i] = lrint (pre->matrix[c][i] * (1 << CI_EXACT_MATRIX_BITS));
    matrix[c][3] += 1 << (CI_EXACT_MATRIX_BITS - 1);
  }
}

gsize
ci_preprocess_exact_layout (const CiPreprocess * pre, guint8 * memory,
    CiExactScratch * scratch)
{
  const gsize column = CI_EXACT_BLOCK * sizeof (guint32);
  const gsize n = pre->exact.tile_columns;
  gsize pos = 0;

  scratch->tile = ci_preprocess_take (memory, &pos,
      n / 2 * column * pre->n_channels);
  scratch->luma = ci_preprocess_take (memory, &pos, n * column);
  scratch->chroma = ci_preprocess_take (memory, &pos, n * column / 2);
  scratch->chroma2 = ci_preprocess_take (memory, &pos, n * column / 2);
  scratch->resized = ci_preprocess_take (memory, &pos,
      CI_PREPROCESS_STRIP / 4 * column * pre->n_channels);
  scratch->rows = ci_preprocess_take (memory, &pos,
      pre->exact.y.max_pairs * sizeof (gpointer));
  scratch->ring = ci_preprocess_take (memory, &pos, pre->exact.ring_rows *
      pre->n_channels * pre->exact.stride * sizeof (guint32));
  return pos;
}

static CiExactRun
get_run (void)
{
#ifdef CI_HAVE_X86_64_V4
  if (CI_IS_X86_64_V4 ())
    return ci_preprocess_exact_run_x86_64_v4;
#endif
#ifdef CI_HAVE_X86_64_V3
  if (CI_IS_X86_64_V3 ())
    return ci_preprocess_exact_run_x86_64_v3;
#endif
  return ci_preprocess_exact_run;
}

void
ci_preprocess_exact_rows (CiPreprocess * pre, const CiImage * image,
    gfloat * dst, guint8 * memory, gint first_row, gint end_row)
{
  CiExactScratch scratch;

  ci_preprocess_exact_layout (pre, memory, &scratch);
  get_run () (pre, image, dst, &scratch, first_row, end_row);
}

/* ---- set-up ----------------------------------------------------------- */

gboolean
ci_preprocess_exact_init (CiPreprocess * pre)
{
  const CiPreprocessOptions *o = &pre->options;
  gint n_outputs = (o->resized_width + CI_PREPROCESS_STRIP - 1) &
      ~(CI_PREPROCESS_STRIP - 1);
  gint x;
  CiExactScratch unused;

  if (!exact_taps_init (&pre->exact.x, pre->format.width, o->resized_width,
          n_outputs)
      || !exact_taps_init (&pre->exact.y, pre->format.height,
          o->resized_height, o->resized_height))
    return FALSE;

  ci_preprocess_exact_matrix (pre, pre->exact.matrix);
  for (x = 0; x < n_outputs; x += CI_PREPROCESS_STRIP) {
    const CiExactOutput *first = &pre->exact.x.outputs[x];
    const CiExactOutput *last = &first[CI_PREPROCESS_STRIP - 1];
    gint n = last->first + last->n_pairs - first->first;

    /* whole groups of eight, from any pair on */
    pre->exact.tile_columns = MAX (pre->exact.tile_columns, 2 * (n + 3));
  }
  /* A whole number of blocks, with room for a filter that starts at the last
   * pair of the first one. */
  pre->exact.ring_rows =
      (pre->exact.y.max_pairs + CI_EXACT_BLOCK - 2) & ~(CI_EXACT_BLOCK / 2 - 1);
  pre->exact.stride = n_outputs / 2;
  if (!ci_preprocess_alloc_levels (pre))
    return FALSE;

  pre->scratch_bytes = ci_preprocess_exact_layout (pre, NULL, &unused);
  return TRUE;
}

void
ci_preprocess_exact_clear (CiPreprocess * pre)
{
  g_free (pre->exact.x.outputs);
  g_free (pre->exact.x.weights);
  g_free (pre->exact.y.outputs);
  g_free (pre->exact.y.weights);
}
