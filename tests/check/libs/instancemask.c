/* Rendering, run lengths, outlines and overlap of instance masks.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <string.h>
#include <gst/check/gstcheck.h>
#include <gst/instancemask/instancemask.h>

/* A mask with a pixel per cell, at 0, 0. */
static GstInstanceMask *
mask_from_cells (const guint8 * cells, guint width, guint height)
{
  GstInstanceMask *mask = gst_instance_mask_new ();
  g_autoptr (GBytes) grid = g_bytes_new (cells, (gsize) width * height);

  fail_unless (gst_instance_mask_set_grid (mask, grid, 0, width, width,
          height));
  mask->x1 = width;
  mask->y1 = height;
  return mask;
}

static gboolean
in_ellipse (gint x, gint y, gint w, gint h)
{
  gint u = 2 * x + 1 - w, v = 2 * y + 1 - h;

  return u * u * h * h + v * v * w * w <= w * w * h * h;
}

static GstInstanceMask *
ellipse (gint w, gint h)
{
  g_autofree guint8 *cells = g_malloc (w * h);

  for (gint y = 0; y < h; y++) {
    for (gint x = 0; x < w; x++)
      cells[y * w + x] = in_ellipse (x, y, w, h) ? 255 : 0;
  }
  return mask_from_cells (cells, w, h);
}

/* Smooth blobs with holes. */
static GstInstanceMask *
blobs (gint w, gint h, guint seed)
{
  g_autofree guint8 *cells = g_malloc (w * h);
  gfloat a = 0.3f + 0.05f * seed, b = 0.45f - 0.03f * seed;

  for (gint y = 0; y < h; y++) {
    for (gint x = 0; x < w; x++) {
      gfloat v = sinf (a * x + seed) * cosf (b * y) + 0.4f * sinf (b * (x + y));

      cells[y * w + x] = (guint8) CLAMP (128 + 110 * v, 0, 255);
    }
  }
  return mask_from_cells (cells, w, h);
}

/* The definition in gstinstancemask.h, word by word; -1 outside. */
static gdouble
value_at (const GstInstanceMask * m, gdouble x, gdouble y)
{
  const guint8 *g = (const guint8 *) g_bytes_get_data (m->grid, NULL)
      + m->grid_offset;
  gdouble u = (x - m->offset_x) / m->scale_x;
  gdouble v = (y - m->offset_y) / m->scale_y;
  gint w = m->grid_width, h = m->grid_height, i, j, i1, j1;

  if (u < 0 || u > w || v < 0 || v > h)
    return -1;
  u = CLAMP (u - 0.5, 0, w - 1);
  v = CLAMP (v - 0.5, 0, h - 1);
  i = (gint) u;
  j = (gint) v;
  i1 = MIN (i + 1, w - 1);
  j1 = MIN (j + 1, h - 1);
  u -= i;
  v -= j;
#define AT(i, j) g[(j) * m->grid_stride + (i)]
  return (AT (i, j) * (1 - u) + AT (i1, j) * u) * (1 - v)
      + (AT (i, j1) * (1 - u) + AT (i1, j1) * u) * v;
#undef AT
}

static void
check_rendering (const GstInstanceMask * mask, gint x, gint y, gint w, gint h)
{
  gsize stride = w + 5, bit_stride = (w + 7) / 8 + 2;
  g_autofree guint8 *soft = g_malloc (stride * h + 1);
  g_autofree guint8 *hard = g_malloc (stride * h + 1);
  g_autofree guint8 *bits = g_malloc (bit_stride * h + 1);

  memset (soft, 77, stride * h);
  memset (hard, 77, stride * h);
  memset (bits, 0xa5, bit_stride * h);
  gst_instance_mask_render_a8 (mask, x, y, w, h, 0, soft, stride);
  gst_instance_mask_render_a8 (mask, x, y, w, h, 128, hard, stride);
  gst_instance_mask_render_bits (mask, x, y, w, h, 128, bits, bit_stride);

  for (gint j = 0; j < h; j++) {
    for (gint i = 0; i < w; i++) {
      gdouble v = value_at (mask, x + i + 0.5, y + j + 0.5);
      guint8 s = soft[j * stride + i], p = hard[j * stride + i];
      gint bit = bits[j * bit_stride + i / 8] >> (7 - i % 8) & 1;

      /* Rounded down, after weights of 8 bits. */
      v = MAX (v, 0);
      if (s <= v - 1.5 || s >= v + 0.5)
        fail ("soft %d at %d, %d, not %f", s, x + i, y + j, v);
      if (p != (s >= 128 ? 255 : 0) || bit != p >> 7)
        fail ("%d, %d: soft %d, hard %d, bit %d", x + i, y + j, s, p, bit);
    }
    /* Not a byte beyond. */
    for (gint i = w; i < (gint) stride; i++)
      fail_unless (soft[j * stride + i] == 77 && hard[j * stride + i] == 77);
    for (gint i = (w + 7) / 8; i < (gint) bit_stride; i++)
      fail_unless (bits[j * bit_stride + i] == 0xa5);
  }
}

GST_START_TEST (test_render)
{
  static const gfloat scales[] = { 1, 4, 8, 7.3f, 0.4f, -1, -5.5f };

  for (guint k = 0; k < G_N_ELEMENTS (scales) * G_N_ELEMENTS (scales); k++) {
    g_autoptr (GstInstanceMask) mask = blobs (23, 17, k % 5);
    gint x, y, w, h;

    mask->scale_x = scales[k % G_N_ELEMENTS (scales)];
    mask->scale_y = scales[k / G_N_ELEMENTS (scales)];
    mask->offset_x = 31.25f - 3.7f * k;
    mask->offset_y = -13.6f + 2.1f * k;
    fail_unless (gst_instance_mask_get_extents (mask, &x, &y, &w, &h));
    check_rendering (mask, x - 2, y - 3, w + 4, h + 6);
    check_rendering (mask, x + w / 3, y + h / 3, w / 3 + 1, h / 3 + 1);
  }
}

GST_END_TEST;

GST_START_TEST (test_render_part_of_shared_grid)
{
  guint8 cells[64];
  g_autoptr (GBytes) grid = NULL;
  g_autoptr (GstInstanceMask) mask = gst_instance_mask_new ();

  for (guint i = 0; i < 64; i++)
    cells[i] = i * 37;
  grid = g_bytes_new (cells, sizeof (cells));
  fail_unless (gst_instance_mask_set_grid (mask, grid, 10, 8, 5, 6));
  mask->scale_x = mask->scale_y = 3;
  check_rendering (mask, -1, -1, 18, 21);
  /* The last row ends with the bytes. */
  fail_unless (gst_instance_mask_set_grid (mask, grid, 3, 8, 5, 8));
  check_rendering (mask, -1, -1, 18, 26);

  /* What does not fit changes nothing. */
  fail_if (gst_instance_mask_set_grid (mask, grid, 4, 8, 5, 8));
  fail_if (gst_instance_mask_set_grid (mask, grid, 0, 4, 5, 2));
  fail_if (gst_instance_mask_set_grid (mask, grid, 0, 8, 0, 2));
  fail_if (gst_instance_mask_set_grid (mask, grid, 65, 1, 1, 1));
  fail_if (gst_instance_mask_set_grid (mask, grid, 0, G_MAXSIZE, 8, 2));
  fail_if (gst_instance_mask_set_grid (mask, grid, 0, G_MAXSIZE / 2 + 1, 8, 3));
  fail_if (gst_instance_mask_set_grid (mask, grid, G_MAXSIZE, 8, 8, 2));
  fail_unless_equals_int (mask->grid_height, 8);
  fail_unless_equals_int (mask->grid_offset, 3);
}

GST_END_TEST;

GST_START_TEST (test_render_corners)
{
  static const guint8 one[] = { 200 };
  static const guint8 row[] = { 0, 255, 0 };
  g_autoptr (GstInstanceMask) mask = mask_from_cells (one, 1, 1);
  guint8 pixels[64];
  gint x, y, w, h;

  /* A single cell is constant over its whole area. */
  mask->scale_x = 6;
  mask->scale_y = -4;
  mask->offset_x = 1;
  mask->offset_y = 5;
  gst_instance_mask_render_a8 (mask, 0, 0, 8, 8, 0, pixels, 8);
  for (gint i = 0; i < 64; i++) {
    gboolean in = i % 8 >= 1 && i % 8 < 7 && i / 8 >= 1 && i / 8 < 5;

    fail_unless_equals_int (pixels[i], in ? 200 : 0);
  }
  fail_unless_equals_int (gst_instance_mask_get_area (mask, 8, 8, 200), 24);
  fail_unless_equals_int (gst_instance_mask_get_area (mask, 8, 8, 201), 0);
  fail_unless_equals_int (gst_instance_mask_get_area (mask, 4, 3, 200), 6);
  gst_instance_mask_render_a8 (mask, 0, 0, 0, 0, 0, NULL, 0);

  fail_unless (gst_instance_mask_get_bounding_rect (mask, 4, 8, 128, &x, &y,
          &w, &h));
  fail_unless (x == 1 && y == 1 && w == 3 && h == 4);

  /* One row; the threshold is reached exactly half way. */
  gst_instance_mask_free (mask);
  mask = mask_from_cells (row, 3, 1);
  mask->scale_x = 8;
  gst_instance_mask_render_a8 (mask, 0, 0, 24, 1, 128, pixels, 24);
  for (gint i = 0; i < 24; i++)
    fail_unless_equals_int (pixels[i], i >= 8 && i < 16 ? 255 : 0);

  /* Maps that make no sense are empty, whoever wrote them. */
  mask->scale_x = NAN;
  fail_if (gst_instance_mask_get_extents (mask, &x, &y, &w, &h));
  mask->scale_x = 0;
  fail_if (gst_instance_mask_get_extents (mask, &x, &y, &w, &h));
  mask->scale_x = 1e30f;
  fail_if (gst_instance_mask_get_extents (mask, &x, &y, &w, &h));
  mask->scale_x = 8;
  mask->offset_x = INFINITY;
  fail_if (gst_instance_mask_get_extents (mask, &x, &y, &w, &h));
  mask->offset_x = 0;
  mask->grid_stride = 2;
  fail_if (gst_instance_mask_get_extents (mask, &x, &y, &w, &h));
  mask->grid_stride = 3;
  mask->grid_height = 2;
  fail_if (gst_instance_mask_get_extents (mask, &x, &y, &w, &h));
  memset (pixels, 1, sizeof (pixels));
  gst_instance_mask_render_a8 (mask, 0, 0, 8, 8, 128, pixels, 8);
  for (gint i = 0; i < 64; i++)
    fail_unless_equals_int (pixels[i], 0);
  mask->grid_height = 1;
  fail_unless (gst_instance_mask_get_extents (mask, &x, &y, &w, &h));

  /* Far away, at both ends of the numbers. */
  gst_instance_mask_render_a8 (mask, G_MAXINT - 3, G_MAXINT - 3, 8, 8, 128,
      pixels, 8);
  gst_instance_mask_render_a8 (mask, G_MININT, G_MININT, 8, 8, 128, pixels, 8);
  for (gint i = 0; i < 64; i++)
    fail_unless_equals_int (pixels[i], 0);

  /* A box without a mask. */
  fail_unless (gst_instance_mask_set_grid (mask, NULL, 1, 2, 3, 4));
  fail_unless_equals_int (mask->grid_width, 0);
  fail_if (gst_instance_mask_get_extents (mask, &x, &y, &w, &h));
  fail_unless_equals_int (gst_instance_mask_get_area (mask, 8, 8, 128), 0);
  fail_if (gst_instance_mask_get_bounding_rect (mask, 8, 8, 1, &x, &y, &w, &h));
}

GST_END_TEST;

GST_START_TEST (test_render_wide)
{
  /* More columns than fit on the stack. */
  g_autoptr (GstInstanceMask) mask = blobs (61, 4, 2);

  mask->scale_x = 100;
  check_rendering (mask, -7, -1, 6200, 6);
}

GST_END_TEST;

GST_START_TEST (test_transform)
{
  g_autoptr (GstInstanceMask) mask = blobs (23, 17, 1);
  g_autoptr (GstInstanceMask) other = NULL;
  guint8 a[46 * 51], b[46 * 51];

  mask->scale_x = 2;
  mask->scale_y = 3;
  mask->x0 = 1;
  mask->y0 = 2;
  mask->x1 = 46;
  mask->y1 = 50;
  other = gst_instance_mask_copy (mask);
  fail_unless (other->grid == mask->grid);
  gst_instance_mask_transform (other, -1, -1, 46, 51);
  fail_unless (other->x0 == 0 && other->y0 == 1);
  fail_unless (other->x1 == 45 && other->y1 == 49);
  gst_instance_mask_render_a8 (mask, 0, 0, 46, 51, 128, a, 46);
  gst_instance_mask_render_a8 (other, 0, 0, 46, 51, 128, b, 46);
  for (gint i = 0; i < 46 * 51; i++)
    fail_unless_equals_int (a[i], b[46 * 51 - 1 - i]);

  fail_unless (gst_instance_mask_clip (other, 46, 51));
  fail_unless_equals_int (other->flags, 0);
  fail_unless (gst_instance_mask_clip (other, 40, 51));
  fail_unless_equals_int (other->flags, GST_INSTANCE_MASK_FLAG_TRUNCATED);
  fail_unless (other->x1 == 40 && other->y1 == 49);
  gst_instance_mask_transform (other, 1, 1, 100, 0);
  fail_if (gst_instance_mask_clip (other, 40, 51));
}

GST_END_TEST;

static void
check_rle (const GstInstanceMask * mask, guint w, guint h, const gchar * expect)
{
  g_autofree gchar *string = NULL;
  g_autofree guint32 *counts = NULL, *other = NULL, *parsed = NULL;
  g_autofree guint8 *pixels = g_malloc (w * h), *back = g_malloc (w * h);
  gsize n, n_other, n_parsed;

  string = gst_instance_mask_to_rle_string (mask, w, h, 128);
  if (expect)
    fail_unless_equals_string (string, expect);

  counts = gst_instance_mask_to_rle (mask, w, h, 128, &n);
  gst_instance_mask_render_a8 (mask, 0, 0, w, h, 128, pixels, w);
  other = gst_instance_mask_rle_from_a8 (pixels, w, h, w, &n_other);
  fail_unless_equals_int (n, n_other);
  fail_unless (memcmp (counts, other, n * sizeof (guint32)) == 0);
  parsed = gst_instance_mask_rle_from_string (string, &n_parsed);
  fail_unless_equals_int (n, n_parsed);
  fail_unless (memcmp (counts, parsed, n * sizeof (guint32)) == 0);
  fail_unless (gst_instance_mask_rle_to_a8 (counts, n, w, h, back, w));
  fail_unless (memcmp (pixels, back, w * h) == 0);
  fail_if (gst_instance_mask_rle_to_a8 (counts, n, w, h - 1, back, w));
  fail_if (gst_instance_mask_rle_to_a8 (counts, n - 1, w, h, back, w));
}

/* Strings by pycocotools 2.0. */
GST_START_TEST (test_rle)
{
  static const guint8 one[] = { 255 };
  static const guint32 small_counts[] = { 5, 2, 2, 2, 2, 2, 5 };
  g_autoptr (GstInstanceMask) e = ellipse (37, 23);
  g_autoptr (GstInstanceMask) box = mask_from_cells (one, 1, 1);
  g_autofree guint32 *counts = NULL;
  g_autofree gchar *ones = NULL, *zeros = NULL;
  g_autoptr (GString) rect = g_string_new ("Tkm2X6h8");
  guint8 pattern[63];
  gsize n;

  check_rle (e, 37, 23,
      "95`04M2N2N2N2O0O2O0O2O00000OX70hH1000001N101N101N2N2N2N3LI");
  fail_unless_equals_int (gst_instance_mask_get_area (e, 37, 23, 128), 671);
  gst_instance_mask_transform (e, 1, 1, 20, 10);
  check_rle (e, 80, 64, "cX15i14M2N2N2N2O0O2O0O2O00000O2O000000000000000000"
      "01N1000001N101N101N2N2N2N3L_]1");

  for (gint i = 0; i < 63; i++) {
    gint x = i % 9, y = i / 9;

    pattern[i] = (x * x * 7 + y * 13 + x * y * 3) % 11 < 5 ? 255 : 0;
  }
  {
    g_autoptr (GstInstanceMask) p = mask_from_cells (pattern, 9, 7);

    check_rle (p, 9, 7, "033NN00010O11O60J12OM00022N04NM00");
  }

  /* 3 x 2 pixels at 1, 1 of 5 x 4, worked by hand. */
  box->scale_x = 3;
  box->scale_y = 2;
  box->offset_x = box->offset_y = 1;
  check_rle (box, 5, 4, "5220003");
  counts = gst_instance_mask_to_rle (box, 5, 4, 128, &n);
  fail_unless_equals_int (n, G_N_ELEMENTS (small_counts));
  fail_unless (memcmp (counts, small_counts, sizeof (small_counts)) == 0);

  /* The same pixels with much of the mask outside of the frame. */
  box->offset_x = box->offset_y = -2;
  box->scale_x = box->scale_y = 3;
  check_rle (box, 5, 4, "01c0");
  box->scale_x = 700;
  box->scale_y = 700;
  ones = gst_instance_mask_to_rle_string (box, 640, 480, 128);
  fail_unless_equals_string (ones, "0PP\\9");
  box->offset_x = 640;
  zeros = gst_instance_mask_to_rle_string (box, 640, 480, 128);
  fail_unless_equals_string (zeros, "PP\\9");
  check_rle (box, 640, 480, "PP\\9");

  box->scale_x = 300;
  box->scale_y = 200;
  box->offset_x = 200;
  box->offset_y = 100;
  /* Each further column is as those before it: 0 and 0. */
  for (gint i = 1; i < 299; i++)
    g_string_append (rect, "00");
  g_string_append (rect, "0l`Q2");
  check_rle (box, 640, 480, rect->str);
}

GST_END_TEST;

GST_START_TEST (test_rle_random)
{
  static const gfloat scales[] = { 1, 3.3f, -2.7f, 0.6f };

  for (guint k = 0; k < 16; k++) {
    g_autoptr (GstInstanceMask) mask = blobs (19, 29, k % 4);

    mask->scale_x = scales[k % 4];
    mask->scale_y = scales[k / 4];
    mask->offset_x = 20.5f;
    mask->offset_y = 31.75f;
    check_rle (mask, 67, 53, NULL);
  }
}

GST_END_TEST;

/* The frame of the next test */
#define W 131
#define H 73

/* Runs against pixels: whatever reads a mask at a threshold finds those pixels
 * whose probability is at least that. Noise crosses it everywhere, often within
 * a pixel, and values next to it meet it between two pixels. */
GST_START_TEST (test_thresholds)
{
  static const gfloat scales[] = { 9.7f, -8, 2, 0.9f, -0.35f };
  static const guint8 thresholds[] = { 1, 2, 128, 200, 255 };
  static guint8 soft[W * H], hard[W * H], bits[(W + 7) / 8 * H], last[W * H];
  g_autoptr (GstInstanceMask) other = NULL;
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);

  for (guint k = 0; k < 400; k++) {
    guint8 t = thresholds[k % G_N_ELEMENTS (thresholds)];
    gint w = g_rand_int_range (rand, 1, 40), h = g_rand_int_range (rand, 1, 30);
    gint spread = k % 3 ? 256 : 4, box[4] = { W, H, 0, 0 }, rect[4];
    guint area = 0, both = 0, any = 0;
    guint8 cells[40 * 30];
    g_autoptr (GstInstanceMask) mask = NULL;

    for (gint i = 0; i < w * h; i++)
      cells[i] = CLAMP (t + g_rand_int_range (rand, -spread, spread), 0, 255);
    mask = mask_from_cells (cells, w, h);
    mask->scale_x = scales[g_rand_int_range (rand, 0, 5)];
    mask->scale_y = scales[g_rand_int_range (rand, 0, 5)];
    mask->offset_x = g_rand_int_range (rand, -40, 4 * W + 160) / 4.f;
    mask->offset_y = g_rand_double_range (rand, -10, H + 10);

    gst_instance_mask_render_a8 (mask, 0, 0, W, H, 0, soft, W);
    gst_instance_mask_render_a8 (mask, 0, 0, W, H, t, hard, W);
    gst_instance_mask_render_bits (mask, 0, 0, W, H, t, bits, (W + 7) / 8);
    for (gint y = 0; y < H; y++) {
      for (gint x = 0; x < W; x++) {
        gint i = y * W + x;
        gint bit = bits[y * ((W + 7) / 8) + x / 8] >> (7 - x % 8) & 1;

        if (hard[i] != (soft[i] >= t ? 255 : 0) || bit != hard[i] >> 7)
          fail ("mask %u: %d, %d is %d of %d, but hard %d, bit %d", k, x, y,
              soft[i], t, hard[i], bit);
        if (bit) {
          area++;
          box[0] = MIN (box[0], x);
          box[1] = MIN (box[1], y);
          box[2] = MAX (box[2], x + 1);
          box[3] = MAX (box[3], y + 1);
        }
      }
    }
    fail_unless_equals_int (gst_instance_mask_get_area (mask, W, H, t), area);
    if (gst_instance_mask_get_bounding_rect (mask, W, H, t, &rect[0], &rect[1],
            &rect[2], &rect[3])) {
      fail_unless (rect[0] == box[0] && rect[1] == box[1]
          && rect[0] + rect[2] == box[2] && rect[1] + rect[3] == box[3]);
    } else {
      fail_unless_equals_int (area, 0);
    }
    check_rle (mask, W, H, NULL);

    /* with the one before, where the frame holds both as a whole */
    if (other) {
      gint e[8];

      gst_instance_mask_get_extents (mask, &e[0], &e[1], &e[2], &e[3]);
      gst_instance_mask_get_extents (other, &e[4], &e[5], &e[6], &e[7]);
      gst_instance_mask_render_a8 (other, 0, 0, W, H, t, last, W);
      for (gint i = 0; i < W * H; i++) {
        both += (hard[i] & last[i]) >> 7;
        any += (hard[i] | last[i]) >> 7;
      }
      if (e[0] >= 0 && e[1] >= 0 && e[0] + e[2] <= W && e[1] + e[3] <= H
          && e[4] >= 0 && e[5] >= 0 && e[4] + e[6] <= W && e[5] + e[7] <= H)
        fail_unless (gst_instance_mask_iou (mask, other, t) ==
            (any ? (gdouble) both / any : 0));
      gst_instance_mask_free (other);
    }
    other = g_steal_pointer (&mask);
  }
}

GST_END_TEST;

#undef W
#undef H

GST_START_TEST (test_rle_bad_strings)
{
  static const gchar *const bad[] = { "/", "P", "PPPPPPPPPPP0", "p", "5\x7f",
    "5\xc3\xa4", "oooooo?", "O", "PPPPPPPP1",
  };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    gsize n = 1;
    guint32 *counts = gst_instance_mask_rle_from_string (bad[i], &n);

    fail_unless (counts == NULL, "%s was taken", bad[i]);
    fail_unless_equals_int (n, 0);
  }
}

GST_END_TEST;

static gdouble
ring_area (const GstInstanceMaskRing * ring)
{
  gdouble sum = 0;

  for (guint i = 0; i < ring->n_points; i++) {
    const gfloat *p = ring->points + 2 * i;
    const gfloat *q = ring->points + 2 * ((i + 1) % ring->n_points);

    sum += (gdouble) p[0] * q[1] - (gdouble) q[0] * p[1];
  }
  return sum / 2;
}

static gdouble
rings_length (GPtrArray * rings)
{
  gdouble sum = 0;

  for (guint i = 0; i < rings->len; i++) {
    const GstInstanceMaskRing *ring = g_ptr_array_index (rings, i);

    for (guint k = 0; k < ring->n_points; k++) {
      const gfloat *p = ring->points + 2 * k;
      const gfloat *q = ring->points + 2 * ((k + 1) % ring->n_points);

      sum += hypot (q[0] - p[0], q[1] - p[1]);
    }
  }
  return sum;
}

/* Area by polygons, holes counting negative. */
static gdouble
rings_area (GPtrArray * rings)
{
  gdouble sum = 0;

  for (guint i = 0; i < rings->len; i++) {
    const GstInstanceMaskRing *ring = g_ptr_array_index (rings, i);
    gdouble area = ring_area (ring);

    fail_unless (ring->n_points >= 3);
    fail_unless (ring->is_hole == (area < 0));
    fail_unless (i > 0 || !ring->is_hole);
    sum += area;
  }
  return sum;
}

GST_START_TEST (test_polygons)
{
  static const guint8 one[] = { 255 };
  static const gfloat corners[][2] = { {2, 3}, {7, 3}, {7, 5}, {2, 5} };
  g_autoptr (GstInstanceMask) box = mask_from_cells (one, 1, 1);
  g_autoptr (GPtrArray) rings = NULL;
  g_autofree gfloat *points = NULL;
  gsize n;

  /* A rectangle has four corners, in order. */
  box->offset_x = 2;
  box->offset_y = 3;
  box->scale_x = 5;
  box->scale_y = 2;
  rings = gst_instance_mask_to_polygons (box, 128, 0);
  fail_unless_equals_int (rings->len, 1);
  points = gst_instance_mask_ring_get_points (g_ptr_array_index (rings, 0), &n);
  fail_unless_equals_int (n, 8);
  for (gint i = 0; i < 4; i++) {
    gboolean found = FALSE;

    for (gint k = 0; k < 4; k++) {
      found |= points[2 * k] == corners[i][0]
          && points[2 * k + 1] == corners[i][1];
    }
    fail_unless (found);
  }
  fail_unless_equals_float (rings_area (rings), 10);

  g_ptr_array_unref (rings);
  rings = gst_instance_mask_to_polygons (box, 255, 0);
  fail_unless_equals_int (rings->len, 1);
  g_ptr_array_unref (rings);
  gst_instance_mask_set_grid (box, NULL, 0, 0, 0, 0);
  rings = gst_instance_mask_to_polygons (box, 128, 0);
  fail_unless_equals_int (rings->len, 0);
}

GST_END_TEST;

GST_START_TEST (test_polygons_parts_and_holes)
{
  /* Two parts; the left one has a hole with an island in it. */
  static const gchar picture[] =
      "................"
      ".#########......"
      ".#.......#..###."
      ".#.#####.#..###."
      ".#.#...#.#......"
      ".#.#.#.#.#......"
      ".#.#...#.#......"
      ".#.#####.#......"
      ".#.......#......" ".#########......" "................";
  g_autoptr (GstInstanceMask) mask = NULL;
  g_autoptr (GPtrArray) rings = NULL;
  guint8 cells[16 * 11];
  gint outer_count = 0, holes_of[4] = { 0 };
  gdouble areas[4];

  for (guint i = 0; i < sizeof (cells); i++)
    cells[i] = picture[i] == '#' ? 255 : 0;
  mask = mask_from_cells (cells, 16, 11);
  mask->scale_x = -10;
  mask->scale_y = 10;
  rings = gst_instance_mask_to_polygons (mask, 128, 0);

  for (guint i = 0; i < rings->len; i++) {
    const GstInstanceMaskRing *ring = g_ptr_array_index (rings, i);

    if (ring->is_hole)
      holes_of[outer_count - 1]++;
    else
      areas[outer_count++] = ring_area (ring);
  }
  fail_unless_equals_int (outer_count, 4);
  fail_unless_equals_int (rings->len, 6);
  for (gint i = 0; i < 4; i++)
    fail_unless_equals_int (holes_of[i], areas[i] > 2000 ? 1 : 0);
  fail_unless (fabs (rings_area (rings)
          - gst_instance_mask_get_area (mask, 0, 0, 128)) > 100);
  gst_instance_mask_transform (mask, 1, 1, 160, 0);
  fail_unless (fabs (rings_area (rings)
          - gst_instance_mask_get_area (mask, 160, 110, 128)) < 60);
}

GST_END_TEST;

GST_START_TEST (test_polygons_area)
{
  for (guint k = 0; k < 12; k++) {
    g_autoptr (GstInstanceMask) mask = blobs (31, 27, k % 6);
    g_autoptr (GPtrArray) rings = NULL, rough = NULL;
    guint points = 0, rough_points = 0;
    gdouble area;

    mask->scale_x = k % 2 ? 8 : 13;
    mask->scale_y = k % 3 ? 8 : 3;
    area = gst_instance_mask_get_area (mask, 1000, 1000, 128);
    rings = gst_instance_mask_to_polygons (mask, 128, 0);
    fail_unless (rings->len > 1);
    /* The outline is nowhere a tenth of a pixel off. */
    fail_unless (fabs (rings_area (rings) - area) < 0.02 * rings_length (rings),
        "%f, not %f (%f long)", rings_area (rings), area, rings_length (rings));

    rough = gst_instance_mask_to_polygons (mask, 128, 1);
    fail_unless (fabs (rings_area (rough) / area - 1) < 0.03);
    for (guint i = 0; i < rings->len; i++)
      points += ((GstInstanceMaskRing *) rings->pdata[i])->n_points;
    for (guint i = 0; i < rough->len; i++)
      rough_points += ((GstInstanceMaskRing *) rough->pdata[i])->n_points;
    fail_unless (rough_points * 3 < points, "%u, %u", rough_points, points);
  }
}

GST_END_TEST;

/* Every corner lies where the mask crosses the threshold. */
GST_START_TEST (test_polygons_precision)
{
  g_autoptr (GstInstanceMask) mask = blobs (31, 27, 3);
  g_autoptr (GPtrArray) rings = NULL;

  mask->scale_x = 6;
  mask->scale_y = 5;
  mask->offset_x = -20.25f;
  rings = gst_instance_mask_to_polygons (mask, 100, 0);
  for (guint i = 0; i < rings->len; i++) {
    const GstInstanceMaskRing *ring = rings->pdata[i];

    for (guint k = 0; k < ring->n_points; k++) {
      gfloat x = ring->points[2 * k], y = ring->points[2 * k + 1];
      gboolean on_edge = x == mask->offset_x || y == 0
          || x == mask->offset_x + 6 * 31 || y == 5 * 27;

      if (on_edge)
        fail_unless (value_at (mask, x, y) > 99.9);
      else
        fail_unless (fabs (value_at (mask, x, y) - 100) < 0.05, "%f",
            value_at (mask, x, y));
    }
  }
}

GST_END_TEST;

GST_START_TEST (test_iou)
{
  g_autoptr (GstInstanceMask) a = ellipse (37, 23), b = ellipse (37, 23);
  static const guint8 one[] = { 255 };
  g_autoptr (GstInstanceMask) c = mask_from_cells (one, 1, 1);
  g_autoptr (GstInstanceMask) d = NULL;

  gst_instance_mask_transform (a, 1, 1, 20, 10);
  gst_instance_mask_transform (b, 1, 1, 30, 20);
  fail_unless_equals_float (gst_instance_mask_iou (a, a, 128), 1);
  /* As pycocotools has it. */
  fail_unless (fabs (gst_instance_mask_iou (a, b, 128) - 0.23459062) < 1e-7);
  fail_unless (fabs (gst_instance_mask_iou (b, a, 128) - 0.23459062) < 1e-7);

  /* 10 x 10 and 10 x 10, 5 x 10 of it common: a third. */
  c->scale_x = c->scale_y = 10;
  d = gst_instance_mask_copy (c);
  gst_instance_mask_transform (d, 1, 1, 5, 0);
  fail_unless (fabs (gst_instance_mask_iou (c, d, 128) - 1.0 / 3) < 1e-12);
  gst_instance_mask_transform (d, 1, 1, 5, 0);
  fail_unless_equals_float (gst_instance_mask_iou (c, d, 128), 0);
  fail_unless_equals_float (gst_instance_mask_iou (c, c, 255), 1);

  /* Extents meet, pixels do not. */
  gst_instance_mask_transform (b, 1, 1, 20, 9);
  fail_unless_equals_float (gst_instance_mask_iou (a, b, 128), 0);

  gst_instance_mask_set_grid (d, NULL, 0, 0, 0, 0);
  fail_unless_equals_float (gst_instance_mask_iou (c, d, 128), 0);
  fail_unless_equals_float (gst_instance_mask_iou (d, d, 128), 0);
}

GST_END_TEST;

GST_START_TEST (test_boxed)
{
  g_autoptr (GstInstanceMask) mask = ellipse (9, 9);
  GValue value = G_VALUE_INIT;
  GstInstanceMask *boxed;

  fail_unless (gst_instance_mask_get_label (mask) == NULL);
  gst_instance_mask_set_label (mask, "cat");
  fail_unless_equals_string (gst_instance_mask_get_label (mask), "cat");
  g_value_init (&value, GST_TYPE_INSTANCE_MASK);
  g_value_set_boxed (&value, mask);
  boxed = g_value_get_boxed (&value);
  fail_unless (boxed != mask && boxed->grid == mask->grid);
  fail_unless_equals_string (gst_instance_mask_get_label (boxed), "cat");
  g_value_unset (&value);
  gst_instance_mask_set_label (mask, NULL);
  fail_unless (gst_instance_mask_get_label (mask) == NULL);
}

GST_END_TEST;

static Suite *
instancemask_suite (void)
{
  Suite *s = suite_create ("instancemask");
  TCase *tc = tcase_create ("general");

  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_render);
  tcase_add_test (tc, test_render_part_of_shared_grid);
  tcase_add_test (tc, test_render_corners);
  tcase_add_test (tc, test_render_wide);
  tcase_add_test (tc, test_transform);
  tcase_add_test (tc, test_rle);
  tcase_add_test (tc, test_rle_random);
  tcase_add_test (tc, test_thresholds);
  tcase_add_test (tc, test_rle_bad_strings);
  tcase_add_test (tc, test_polygons);
  tcase_add_test (tc, test_polygons_parts_and_holes);
  tcase_add_test (tc, test_polygons_area);
  tcase_add_test (tc, test_polygons_precision);
  tcase_add_test (tc, test_iou);
  tcase_add_test (tc, test_boxed);
  return s;
}

GST_CHECK_MAIN (instancemask);
