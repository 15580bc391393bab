/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Winograd's loops of every CPU level that this machine can run, against a
 * direct convolution in double precision.
 */
#include <gst/check/gstcheck.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/winograd.h"
#include "kernels/simd.h"

#define MAX_MAPS 3
#define MAX_LAYERS 2
/* Of the largest result. */
#define TOLERANCE 1e-4

/* The vectors of the widest level, as far as the compiler has to split them. */
extern const CiWinogradFuncs ci_winograd_funcs_wide;

static gint
get_levels (const CiWinogradFuncs ** levels)
{
  gint n = 0;

  levels[n++] = &ci_winograd_funcs;
  levels[n++] = &ci_winograd_funcs_wide;
#ifdef CI_HAVE_X86_64_V3
  if (CI_IS_X86_64_V3 ())
    levels[n++] = &ci_winograd_funcs_x86_64_v3;
#endif
#ifdef CI_HAVE_X86_64_V4
  if (CI_IS_X86_64_V4 ())
    levels[n++] = &ci_winograd_funcs_x86_64_v4;
#endif
  return n;
}

/* ---- a case ------------------------------------------------------------ */

/* Plain tensors: channels x height x width, out x in x 3 x 3. */
typedef struct
{
  gint in, n_maps, n_layers, block_tiles;
  gboolean by_panel;
  gint sizes[MAX_MAPS][2];      /* height, width */
  gint out[MAX_LAYERS];
  CiActivation activation;
  gboolean residual;
  gfloat *src[MAX_MAPS], *weight[MAX_LAYERS], *bias[MAX_LAYERS];
} Case;

static gfloat *
new_floats (gsize n)
{
  return ci_aligned_alloc0 (n * sizeof (gfloat), NULL);
}

static gint
round_up (gint n, gint unit)
{
  return (n + unit - 1) / unit * unit;
}

static gsize
n_pixels (const Case * c, gint map)
{
  return (gsize) c->sizes[map][0] * c->sizes[map][1];
}

static void
make_case (Case * c)
{
  for (gint i = 0; i < c->n_maps; i++)
    c->src[i] = new_floats (c->in * n_pixels (c, i));
  for (gint i = 0; i < c->n_layers; i++) {
    c->weight[i] = new_floats (9 * (gsize) c->in * c->out[i]);
    c->bias[i] = new_floats (c->out[i]);
  }
}

static void
free_case (Case * c)
{
  for (gint i = 0; i < c->n_maps; i++)
    free (c->src[i]);
  for (gint i = 0; i < c->n_layers; i++) {
    free (c->weight[i]);
    free (c->bias[i]);
  }
}

/* Like normally distributed ones. */
static void
fill_random (GRand * rand, gfloat * p, gsize n, gdouble scale)
{
  for (gsize i = 0; i < n; i++) {
    gdouble sum = -6;

    for (gint k = 0; k < 12; k++)
      sum += g_rand_double (rand);
    p[i] = scale * sum;
  }
}

static void
fill_case (Case * c, guint32 seed)
{
  GRand *rand = g_rand_new_with_seed (seed);

  for (gint i = 0; i < c->n_maps; i++)
    fill_random (rand, c->src[i], c->in * n_pixels (c, i), 1);
  for (gint i = 0; i < c->n_layers; i++) {
    fill_random (rand, c->weight[i], 9 * (gsize) c->in * c->out[i],
        1 / sqrt (9.0 * c->in));
    fill_random (rand, c->bias[i], c->out[i], 1);
  }
  g_rand_free (rand);
}

/* [c / 8][h][w][8], as the loops want it. */
static gfloat *
to_blocks (const gfloat * plain, gint channels, gsize pixels)
{
  gfloat *p = new_floats (round_up (channels, CI_BLOCK) * pixels);

  for (gint i = 0; i < channels; i++)
    for (gsize x = 0; x < pixels; x++)
      p[(i / CI_BLOCK * pixels + x) * CI_BLOCK + i % CI_BLOCK] =
          plain[i * pixels + x];
  return p;
}

/* The residual of a result; any numbers. */
static gfloat
get_residual (gsize i)
{
  return (gint) (i % 7) - 3;
}

/* Runs @c; results[layer][map] in blocks, free'd by the caller. */
static void
run (const CiWinogradFuncs * funcs, const Case * c,
    gfloat * results[MAX_LAYERS][MAX_MAPS])
{
  CiWinogradMap maps[MAX_MAPS];
  CiWinogradLayer layers[MAX_LAYERS];
  CiWinogradResult destinations[MAX_LAYERS][MAX_MAPS];
  CiPacked packed[MAX_LAYERS] = { {0} };
  gfloat *residuals[MAX_LAYERS][MAX_MAPS] = { {NULL} };
  CiWinograd w = { funcs, c->n_maps, c->n_layers, maps, layers };
  gint max_out = 0, n_panels = 0;

  w.in = round_up (c->in, CI_BLOCK);
  for (gint i = 0; i < c->n_maps; i++) {
    gint h = c->sizes[i][0], width = c->sizes[i][1];

    maps[i] = (CiWinogradMap) {
    to_blocks (c->src[i], c->in, n_pixels (c, i)), h, width,
          (width + 3) / 4, w.n_tiles};
    w.n_tiles += (h + 3) / 4 * ((width + 3) / 4);
  }
  for (gint i = 0; i < c->n_layers; i++) {
    gint padded = round_up (c->out[i], funcs->panel);
    CiWinogradPacking packing = { c->weight[i], w.in, c->in, c->out[i] };

    packed[i].weight = packing.u = new_floats (36 * (gsize) padded * w.in);
    packed[i].bias = new_floats (padded);
    memcpy (packed[i].bias, c->bias[i], c->out[i] * sizeof (gfloat));
    for (gint k = 0; k < padded / funcs->panel; k++)
      funcs->pack (&packing, k, padded / funcs->panel);
    layers[i] = (CiWinogradLayer) {
    &packed[i], round_up (c->out[i], CI_BLOCK), padded, c->activation,
          destinations[i]};
    max_out = MAX (max_out, padded);
    n_panels += padded / funcs->panel;
    for (gint k = 0; k < c->n_maps; k++) {
      gsize n = layers[i].out * n_pixels (c, k);

      results[i][k] = new_floats (n);
      if (c->residual) {
        residuals[i][k] = new_floats (n);
        for (gsize x = 0; x < n; x++)
          residuals[i][k][x] = get_residual (x);
      }
      destinations[i][k] = (CiWinogradResult) {
      residuals[i][k], results[i][k]};
    }
  }
  w.by_panel = c->by_panel;
  w.block_tiles = MIN (c->block_tiles, w.n_tiles);
  w.n_parts = (w.n_tiles + w.block_tiles - 1) / w.block_tiles;
  if (w.by_panel)
    w.n_parts = n_panels;
  w.pitch = w.block_tiles | 1;
  w.v_pitch = (gsize) w.pitch * w.in;
  w.m_pitch = (gsize) w.pitch * (w.by_panel ? funcs->panel : max_out);
  w.v = new_floats (36 * w.v_pitch);
  w.m = new_floats (36 * w.m_pitch);
  for (; w.first_tile < w.n_tiles;
      w.first_tile += w.by_panel ? w.block_tiles : w.n_tiles) {
    for (gint i = 0; w.by_panel && i < w.in / CI_BLOCK; i++)
      funcs->gather (&w, i, w.in / CI_BLOCK);
    w.next_part = 0;
    funcs->run (&w, 0, 1);
  }

  for (gint i = 0; i < c->n_layers; i++) {
    free (packed[i].weight);
    free (packed[i].bias);
    for (gint k = 0; k < c->n_maps; k++)
      free (residuals[i][k]);
  }
  for (gint k = 0; k < c->n_maps; k++)
    free ((gpointer) maps[k].src);
  free (w.v);
  free (w.m);
}

/* One result of a direct convolution, before the activation; @scale takes what
 * it would be without cancellation. */
static gdouble
direct (const Case * c, gint layer, gint map, gint o, gint y, gint x,
    gdouble * scale)
{
  gint h = c->sizes[map][0], w = c->sizes[map][1];
  gdouble sum = c->bias[layer][o];

  *scale = fabs (sum);
  for (gint i = 0; i < c->in; i++)
    for (gint ky = 0; ky < 3; ky++)
      for (gint kx = 0; kx < 3; kx++) {
        gint sy = y + ky - 1, sx = x + kx - 1;
        gdouble product;

        if (sy < 0 || sy >= h || sx < 0 || sx >= w)
          continue;
        product = (gdouble) c->src[map][((gsize) i * h + sy) * w + sx]
            * c->weight[layer][(((gsize) o * c->in + i) * 3 + ky) * 3 + kx];
        sum += product;
        *scale += fabs (product);
      }
  return sum;
}

/* Every result of every level; @of_scale: the tolerance is one of the sum of
 * the products' sizes, for inputs that cancel out. Lanes behind the last
 * channel must stay 0. */
static void
check_case (const Case * c, gboolean of_scale)
{
  const CiWinogradFuncs *levels[4];
  gint n_levels = get_levels (levels);

  for (gint level = 0; level < n_levels; level++) {
    gfloat *results[MAX_LAYERS][MAX_MAPS];

    run (levels[level], c, results);
    for (gint l = 0; l < c->n_layers; l++)
      for (gint m = 0; m < c->n_maps; m++) {
        gint h = c->sizes[m][0], w = c->sizes[m][1];
        gdouble largest = 0, error = 0;

        for (gint o = 0; o < round_up (c->out[l], CI_BLOCK); o++)
          for (gint p = 0; p < h * w; p++) {
            gsize at = ((gsize) o / CI_BLOCK * h * w + p) * CI_BLOCK
                + o % CI_BLOCK;
            gdouble expected = 0, scale = 0;

            if (o < c->out[l])
              expected = direct (c, l, m, o, p / w, p % w, &scale);
            if (c->residual)
              expected += get_residual (at);
            if (c->activation == CI_ACTIVATION_LEAKY_RELU)
              expected = MAX (expected, expected * CI_LEAKY_RELU_SLOPE);
            else if (c->activation != CI_ACTIVATION_NONE)
              expected = MAX (expected, 0);
            if (c->activation == CI_ACTIVATION_RELU6)
              expected = MIN (expected, 6);
            largest = MAX (largest, of_scale ? scale : fabs (expected));
            error = MAX (error, fabs (results[l][m][at] - expected));
          }
        fail_unless (error <= TOLERANCE * largest,
            "level %d, layer %d, map %d: off by %g of %g", level, l, m, error,
            largest);
        GST_DEBUG ("level %d: %g", level, error / largest);
        free (results[l][m]);
      }
  }
}

/* ---- tests ------------------------------------------------------------- */

/* Maps that tiles do not fit, blocks that cross maps, channels that do not fill
 * panels. */
GST_START_TEST (test_shapes)
{
  static const Case cases[] = {
    {8, 1, 1, 100, FALSE, {{1, 1}}, {8}},
    {16, 1, 1, 1, FALSE, {{5, 3}}, {16}},
    {24, 1, 1, 7, FALSE, {{13, 22}}, {40}, CI_ACTIVATION_RELU, TRUE},
    {3, 2, 1, 5, FALSE, {{8, 9}, {4, 5}}, {5}},
    {64, 3, 2, 13, FALSE, {{20, 17}, {10, 9}, {5, 5}}, {64, 24},
          CI_ACTIVATION_RELU6},
    {96, 2, 2, 64, FALSE, {{12, 31}, {6, 16}}, {48, 80},
          CI_ACTIVATION_LEAKY_RELU},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    Case c = cases[i];

    make_case (&c);
    fill_case (&c, i);
    check_case (&c, FALSE);
    c.by_panel = TRUE;
    check_case (&c, FALSE);
    free_case (&c);
  }
}

GST_END_TEST;

/* Each pass of the product takes from one to as many tiles as it can. */
GST_START_TEST (test_heights)
{
  for (gint width = 4; width <= 60; width += 4) {
    Case c = { 16, 1, 1, 100, FALSE, {{4, width}}, {16} };

    make_case (&c);
    fill_case (&c, width);
    check_case (&c, FALSE);
    free_case (&c);
  }
}

GST_END_TEST;

/* What is worst for the transforms: rows of B' and of G by their signs, where
 * the sums in between are as large as can be; and large numbers that differ
 * little. */
GST_START_TEST (test_worst_inputs)
{
  static const gint signs[6][6] = {
    {1, 1, -1, 1, 1, 1}, {1, -1, -1, 1, 1, 1}, {1, 1, -1, -1, 1, 1},
    {1, -1, -1, 1, 1, 1}, {1, 1, -1, -1, 1, 1}, {1, 1, 1, -1, 1, 1}
  };
  static const gint weight_signs[4][3] = {
    {1, 1, 1}, {1, -1, 1}, {-1, 1, -1}, {1, -1, -1}
  };
  Case c = { 256, 1, 1, 100, FALSE, {{10, 10}}, {8} };
  GRand *rand = g_rand_new_with_seed (1);

  make_case (&c);
  for (gint k = 0; k < 36; k++)
    for (gint s = 0; s < 16; s++) {
      for (gint i = 0; i < c.in * 10 * 10; i++) {
        /* tiles begin one before the map */
        gint y = (i / 10 % 10 + 1) % 4, x = (i % 10 + 1) % 4;

        c.src[0][i] = signs[k / 6][y] * signs[k % 6][x]
            * (1 + 1e-3 * g_rand_double (rand));
      }
      for (gint i = 0; i < c.in * c.out[0]; i++)
        for (gint t = 0; t < 9; t++)
          c.weight[0][9 * i + t] = weight_signs[s / 4][t / 3]
              * weight_signs[s % 4][t % 3]
              * (1 + 1e-3 * g_rand_double (rand));
      if (s % 5 == k % 5)
        check_case (&c, TRUE);
    }

  fill_case (&c, 2);
  for (gint i = 0; i < c.in * 10 * 10; i++)
    c.src[0][i] += 1000;
  check_case (&c, FALSE);
  for (gint i = 0; i < c.in * 10 * 10; i++)
    c.src[0][i] = i % 10 == 7 ? 1e6f : 1e-3f;
  check_case (&c, FALSE);
  g_rand_free (rand);
  free_case (&c);
}

GST_END_TEST;

/* Zeros stay zeros: no tile takes anything from its neighbours. */
GST_START_TEST (test_single_pixel)
{
  Case c = { 8, 1, 1, 3, FALSE, {{12, 12}}, {8} };
  const CiWinogradFuncs *levels[4];
  gint n_levels = get_levels (levels);

  make_case (&c);
  fill_case (&c, 3);
  memset (c.bias[0], 0, 8 * sizeof (gfloat));
  for (gint p = 0; p < 144; p++) {
    memset (c.src[0], 0, 8 * 144 * sizeof (gfloat));
    c.src[0][p] = 1;
    check_case (&c, FALSE);
    for (gint level = 0; level < n_levels; level++) {
      gfloat *results[MAX_LAYERS][MAX_MAPS];

      run (levels[level], &c, results);
      /* tiles whose inputs do not reach the pixel */
      for (gint q = 0; q < 144; q++)
        if (p / 12 < q / 12 / 4 * 4 - 1 || p / 12 > q / 12 / 4 * 4 + 4
            || p % 12 < q % 12 / 4 * 4 - 1 || p % 12 > q % 12 / 4 * 4 + 4)
          for (gint o = 0; o < 8; o++)
            fail_unless (results[0][0][q * 8 + o] == 0);
      free (results[0][0]);
    }
  }
  free_case (&c);
}

GST_END_TEST;

static Suite *
winograd_suite (void)
{
  Suite *s = suite_create ("winograd");
  TCase *tc = tcase_create ("loops");

  suite_add_tcase (s, tc);
  tcase_set_timeout (tc, 0);
  tcase_add_test (tc, test_shapes);
  tcase_add_test (tc, test_heights);
  tcase_add_test (tc, test_worst_inputs);
  tcase_add_test (tc, test_single_pixel);
  return s;
}

GST_CHECK_MAIN (winograd);
