/*
 * preprocess_device.c: tables for pre-processing on a device; what they are
 * read by is in cuda/kernel_preprocess.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "preprocess_priv.h"

G_STATIC_ASSERT ((gint) CI_RESIZE_EXACT == CI_PREPROCESS_EXACT
    && (gint) CI_RESIZE_FAST == CI_PREPROCESS_FAST
    && (gint) CI_RESIZE_OPENCV == CI_PREPROCESS_OPENCV);

/* Where the tables of one direction are, from @position on, with @n_taps to an
 * output; returns where they end. */
static gsize
place_taps (CiPreprocessTaps * taps, gsize position, gint out, gint n_taps)
{
  taps->pitch = out;
  taps->first = position;
  taps->count = position + out;
  taps->weight = position + 2 * (gsize) out;
  return taps->weight + (gsize) out * n_taps;
}

static gboolean
fill_exact (gint32 * tables, const CiPreprocessTaps * taps, gint in)
{
  const gint out = taps->pitch;
  g_autofree gdouble *w = g_try_new (gdouble,
      ci_preprocess_exact_capacity (in, out));

  if (!w)
    return FALSE;
  for (gint i = 0; i < out; i++) {
    gint n = ci_preprocess_exact_filter (in, out, i, w,
        &tables[taps->first + i]);

    tables[taps->count + i] = n;
    for (gint j = 0; j < n; j++)
      tables[taps->weight + (gsize) j * out + i] = w[j];
  }
  return TRUE;
}

static void
fill_fast (gint32 * tables, const CiPreprocessTaps * taps, gdouble ratio,
    gint in)
{
  for (gint i = 0; i < taps->pitch; i++) {
    gfloat weight;

    tables[taps->first + i] = ci_preprocess_fast_tap (ratio, in, i, &weight);
    tables[taps->count + i] = 2;
    tables[taps->weight + i] = ci_float_to_bits (weight);
  }
}

static void
fill_opencv (gint32 * tables, const CiPreprocessTaps * taps, gint in,
    gint (*get) (gint in, gint out, gint i, guint32 * weights))
{
  for (gint i = 0; i < taps->pitch; i++) {
    guint32 weights;

    tables[taps->first + i] = get (in, taps->pitch, i, &weights);
    tables[taps->count + i] = 2;
    tables[taps->weight + i] = weights;
  }
}

static gint32
get_layout (CiPixelFormat format)
{
  switch (format) {
    case CI_PIXEL_NV12:
      return CI_LAYOUT_NV12;
    case CI_PIXEL_I420:
      return CI_LAYOUT_I420;
    case CI_PIXEL_P010:
      return CI_LAYOUT_P010;
    case CI_PIXEL_GRAY8:
      return CI_LAYOUT_GREY;
    case CI_PIXEL_RGB:
    case CI_PIXEL_BGR:
      return CI_LAYOUT_RGB;
    default:
      return CI_LAYOUT_RGBX;
  }
}

static void
fill_settings (const CiPreprocess * pre, CiPreprocessSettings * s)
{
  static gint n_tables;
  const CiPreprocessOptions *o = &pre->options;

  s->tables = (guint) g_atomic_int_add (&n_tables, 1) + 1;
  s->layout = get_layout (pre->format.pixel_format);
  s->resize = o->quality;
  s->width = pre->format.width;
  s->height = pre->format.height;
  s->resized_width = o->resized_width;
  s->resized_height = o->resized_height;
  ci_preprocess_exact_matrix (pre, s->matrix);
  ci_preprocess_fast_matrix (pre, s->fast_matrix, s->low, s->high);
  for (gint c = 0; c < 3; c++) {
    s->shift[c] = 8 * pre->component[c];
    s->mean[c] = o->mean[c];
    s->scale[c] = 1.0f / o->std[c];
  }
}

gboolean
ci_preprocess_device_init (CiPreprocess * pre)
{
  const CiPreprocessOptions *o = &pre->options;
  const gint w = pre->format.width, h = pre->format.height;
  const gint out_w = o->resized_width, out_h = o->resized_height;
  const gboolean exact = o->quality == CI_RESIZE_EXACT;
  const gboolean fast = o->quality == CI_RESIZE_FAST;
  const gdouble x_ratio = (gdouble) w / out_w, y_ratio = (gdouble) h / out_h;
  CiPreprocessSettings places = { 0 }, *s;
  gint32 *tables;
  gsize n;

  n = place_taps (&places.x, 0, out_w,
      exact ? ci_preprocess_exact_capacity (w, out_w) : 1);
  n = place_taps (&places.y, n, out_h,
      exact ? ci_preprocess_exact_capacity (h, out_h) : 1);
  if (fast && pre->is_yuv) {
    n = place_taps (&places.chroma_x, n, out_w, 1);
    n = place_taps (&places.chroma_y, n, out_h, 1);
  }
  pre->device.bytes = sizeof (*s) + n * sizeof (gint32);
  s = pre->device.settings = g_try_malloc0 (pre->device.bytes);
  if (!s)
    return FALSE;

  *s = places;
  fill_settings (pre, s);
  tables = (gint32 *) (s + 1);
  if (exact)
    return fill_exact (tables, &s->x, w) && fill_exact (tables, &s->y, h);
  if (!fast) {
    fill_opencv (tables, &s->x, w, ci_preprocess_opencv_column);
    fill_opencv (tables, &s->y, h, ci_preprocess_opencv_row);
    return TRUE;
  }
  fill_fast (tables, &s->x, x_ratio, w);
  fill_fast (tables, &s->y, y_ratio, h);
  if (pre->is_yuv) {
    fill_fast (tables, &s->chroma_x, x_ratio / 2, (w + 1) / 2);
    fill_fast (tables, &s->chroma_y, y_ratio / 2, (h + 1) / 2);
  }
  return TRUE;
}
