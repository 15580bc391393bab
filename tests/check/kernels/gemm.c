/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The product of gemm.h in every CPU level that this machine can run, against
 * plain sums in double precision. How layers become products is tested by
 * conformance-items.
 */
#include <gst/check/gstcheck.h>
#include <math.h>
#include <stdlib.h>

#include "kernels/cpu/gemm.h"
#include "kernels/simd.h"

/* The vectors of the widest level, as far as the compiler has to split them. */
extern const CiGemmFuncs ci_gemm_funcs_wide;

static gint
get_levels (const CiGemmFuncs ** levels)
{
  gint n = 0;

  levels[n++] = &ci_gemm_funcs;
  levels[n++] = &ci_gemm_funcs_wide;
#ifdef CI_HAVE_X86_64_V3
  if (CI_IS_X86_64_V3 ())
    levels[n++] = &ci_gemm_funcs_x86_64_v3;
#endif
#ifdef CI_HAVE_X86_64_V4
  if (CI_IS_X86_64_V4 ())
    levels[n++] = &ci_gemm_funcs_x86_64_v4;
#endif
  return n;
}

static gfloat *
new_floats (gsize n)
{
  return ci_aligned_alloc0 (n * sizeof (gfloat), NULL);
}

static gfloat *
random_floats (gsize n, guint32 seed)
{
  GRand *rand = g_rand_new_with_seed (seed);
  gfloat *p = new_floats (n);

  for (gsize i = 0; i < n; i++)
    p[i] = g_rand_double_range (rand, -1, 1);
  g_rand_free (rand);
  return p;
}

/* Items, blocks of channels in and out, blocks of rows and groups of columns
 * that threads would share. */
typedef struct
{
  gint items, in, out, block_rows, n_groups;
  gboolean residual;
} Case;

static const Case cases[] = {
  {1, 1, 1, 1, 1}, {2, 3, 2, 2, 1, TRUE}, {7, 2, 5, 7, 2}, {13, 33, 9, 13, 3},
  {23, 65, 3, 8, 1, TRUE}, {144, 4, 32, 144, 1}, {145, 32, 33, 73, 2, TRUE},
  {300, 40, 70, 144, 5}, {289, 1, 4, 97, 1},
};

/* Every item is one pixel, so rows are items: dst = src x weight. */
static void
check (const Case * c, const CiGemmFuncs * funcs)
{
  gint in = c->in * CI_BLOCK, out = c->out * CI_BLOCK, panel = funcs->panel;
  gint n_panels = (out + panel - 1) / panel;
  gfloat *src = random_floats ((gsize) c->items * in, 1);
  gfloat *weight = random_floats ((gsize) in * out, 2);
  gfloat *bias = random_floats ((gsize) n_panels * panel, 3);
  gfloat *residual = random_floats ((gsize) c->items * out, 4);
  gfloat *u = new_floats ((gsize) n_panels * panel * in);
  gfloat *dst = new_floats ((gsize) c->items * out);
  const gsize pitch = (CI_GEMM_ROWS + 1) * CI_BLOCK;
  CiMap from = { in, 1, 1, CI_BLOCK, src, 1, c->items };
  CiMap to = { out, 1, 1, CI_BLOCK, dst, 1, c->items }, add = to;
  CiPacked packed = {.weight = u,.bias = bias };
  CiGemm g = { funcs, &from, &to, c->residual ? &add : NULL,
    CI_ACTIVATION_RELU, 1, 1, 1, 0, 1
  };

  add.data = residual;
  g.depth = c->in;
  g.taps = g_new0 (CiGemmTap, c->in);
  for (gint i = 0; i < c->in; i++)
    g.taps[i].offset = i * CI_BLOCK;
  g.columns = c->out;
  g.offsets = g_new0 (gsize, c->out);
  for (gint i = 0; i < c->out; i++)
    g.offsets[i] = i * CI_BLOCK;
  for (gint i = 0; i < in; i++)
    for (gint o = 0; o < out; o++)
      u[((gsize) (o / panel) * in + i) * panel + o % panel] =
          weight[(gsize) i * out + o];
  g.n_panels = n_panels;
  g.packed = &packed;
  /* rows that nobody needs are computed, too */
  g.v = random_floats (CI_GEMM_DEPTH * pitch, 5);
  g.m = random_floats (CI_GEMM_COLUMNS / CI_BLOCK * pitch, 6);
  g.rows = g_new0 (CiGemmRow, CI_GEMM_ROWS);
  g.n_rows = c->items;
  g.block_rows = c->block_rows;
  g.n_groups = MIN (c->n_groups, n_panels);
  g.n_parts = (c->items + c->block_rows - 1) / c->block_rows * g.n_groups;
  funcs->run (&g, 0, 1);
  for (gint i = 0; i < c->items; i++)
    for (gint o = 0; o < out; o++) {
      gdouble sum = bias[o];

      for (gint k = 0; k < in; k++)
        sum += (gdouble) src[(gsize) i * in + k] * weight[(gsize) k * out + o];
      if (c->residual)
        sum += residual[(gsize) i * out + o];
      fail_unless (fabs (dst[(gsize) i * out + o] - MAX (sum, 0)) < 1e-4,
          "item %d, column %d: %g, not %g", i, o, dst[(gsize) i * out + o],
          MAX (sum, 0));
    }
  free (src);
  free (weight);
  free (bias);
  free (residual);
  free (u);
  free (dst);
  free (g.v);
  free (g.m);
  g_free (g.taps);
  g_free (g.offsets);
  g_free (g.rows);
}

GST_START_TEST (test_product)
{
  const CiGemmFuncs *levels[4];
  gint n = get_levels (levels);

  for (gint i = 0; i < n; i++)
    check (&cases[__i__], levels[i]);
}

GST_END_TEST;

static Suite *
gemm_suite (void)
{
  Suite *s = suite_create ("gemm");
  TCase *tc = tcase_create ("gemm");

  suite_add_tcase (s, tc);
  tcase_add_loop_test (tc, test_product, 0, G_N_ELEMENTS (cases));
  return s;
}

GST_CHECK_MAIN (gemm);
