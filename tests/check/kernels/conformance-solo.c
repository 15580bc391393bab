/*
 * conformance-solo.c: SOLO's detections and masks, against the reference.
 *
 * Inputs are eighths and weights hand them through, so that all implementations
 * in any precision see the same numbers and have to decide the same; many of
 * them are equal.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "conformance.h"

#include <stdio.h>

typedef struct
{
  const gchar *name;
  CiSoloSource source;
  gint height, width, n_classes, channels, n_levels;
  gint shift;                   /* the first level's maps are so many halvings
                                   of the masks */
  gint capacity;
  gint strides[4];              /* cells that a mask must have more of */
  gint blot;                    /* side of blots of equal numbers in inputs */
  gfloat logits;                /* at most so far from 0 */
  gboolean linear, full_map;
  CiDetectParams params;
} SoloCase;

static const gint grids[] = { 9, 6, 4, 1 };

static const SoloCase cases[] = {
  {"static", CI_SOLO_STATIC, 24, 36, 5, 12, 3, 0, 100, {8, 8, 16}, 3, 3,
      FALSE, FALSE, {0.3f, 0.6, 500, 100}},
  {"static, resized", CI_SOLO_STATIC, 26, 37, 5, 8, 3, 1, 100, {8, 8, 16}, 4,
      3, FALSE, FALSE, {0.3f, 0.6, 500, 100}},
  {"static, full maps", CI_SOLO_STATIC, 13, 21, 3, 9, 2, 0, 100, {8, 8}, 3, 3,
      FALSE, TRUE, {0.3f, 0.6, 500, 100}},
  {"product", CI_SOLO_PRODUCT, 24, 36, 5, 9, 3, 0, 100, {8, 8, 16}, 5, 4,
      FALSE, FALSE, {0.2f, 0.6, 500, 100}},
  {"product, resized", CI_SOLO_PRODUCT, 17, 35, 11, 9, 3, 1, 100, {8, 8, 16},
      6, 4, FALSE, TRUE, {0.2f, 0.6, 500, 100}},
  {"dynamic", CI_SOLO_DYNAMIC, 24, 36, 5, 16, 3, 0, 100, {8, 8, 16}, 3, 4,
      FALSE, FALSE, {0.3f, 0.6, 500, 100}},
  {"dynamic, odd channels", CI_SOLO_DYNAMIC, 23, 67, 80, 13, 4, 0, 100,
      {8, 8, 16, 32}, 4, 3, FALSE, FALSE, {0.5f, 0.6, 500, 100}},
  {"dynamic, resized", CI_SOLO_DYNAMIC, 24, 36, 5, 5, 2, 1, 100, {8, 8}, 3, 4,
      FALSE, TRUE, {0.3f, 0.6, 500, 100}},
  {"dynamic, 64 columns", CI_SOLO_DYNAMIC, 8, 64, 2, 8, 1, 0, 100, {8}, 2, 4,
      FALSE, FALSE, {0.3f, 0.6, 500, 100}},
  {"dynamic, 130 columns", CI_SOLO_DYNAMIC, 8, 130, 2, 8, 1, 0, 100, {8}, 2,
      4, FALSE, FALSE, {0.3f, 0.6, 500, 100}},
  {"large masks only", CI_SOLO_DYNAMIC, 24, 36, 5, 16, 3, 0, 100,
      {330, 380, 410}, 3, 4, FALSE, FALSE, {0.3f, 0.6, 500, 100}},
  {"no mask is large enough", CI_SOLO_DYNAMIC, 24, 36, 5, 16, 3, 0, 100,
      {864, 864, 864}, 3, 4, FALSE, FALSE, {0.3f, 0.6, 500, 100}},
  {"none", CI_SOLO_STATIC, 24, 36, 5, 12, 3, 0, 100, {8, 8, 16}, 3, 3, FALSE,
      FALSE, {0.999f, 0.6, 500, 100}},
  {"all of them", CI_SOLO_STATIC, 24, 36, 12, 8, 3, 0, 900, {0, 0, 0}, 3, 5,
      FALSE, FALSE, {0, 0.6, 1000, 900}},
  {"equal scores", CI_SOLO_DYNAMIC, 24, 36, 3, 8, 3, 0, 900, {0, 0, 0}, 12, 0,
      FALSE, FALSE, {0.3f, 0.6, 700, 900}},
  {"linear", CI_SOLO_DYNAMIC, 24, 36, 3, 16, 3, 0, 100, {8, 8, 16}, 6, 4, TRUE,
      FALSE, {0.2f, 0.6, 500, 100}},
  {"linear, equal scores", CI_SOLO_DYNAMIC, 24, 36, 3, 8, 3, 0, 900, {0, 0, 0},
      12, 0, TRUE, FALSE, {0.3f, 0.6, 700, 900}},
  {"some classes", CI_SOLO_PRODUCT, 24, 36, 12, 9, 3, 0, 100, {8, 8, 16}, 4, 4,
      FALSE, FALSE, {0.2f, 0.6, 500, 100, some_classes}},
  {"classes compete", CI_SOLO_DYNAMIC, 24, 36, 5, 8, 3, 0, 100, {8, 8, 16}, 4,
      4, FALSE, FALSE, {0.2f, 0.6, 500, 100, NULL, 0.4}},
  {"the best before", CI_SOLO_DYNAMIC, 24, 36, 5, 8, 3, 0, 100, {8, 8, 16}, 4,
      4, FALSE, FALSE, {0.2f, 0.6, 7, 100}},
  {"the best behind", CI_SOLO_DYNAMIC, 24, 36, 5, 8, 3, 0, 100, {8, 8, 16}, 4,
      4, FALSE, FALSE, {0.2f, 0.6, 500, 5}},
  {"scores that suffice", CI_SOLO_DYNAMIC, 24, 36, 5, 8, 3, 0, 100,
      {8, 8, 16}, 4, 4, FALSE, FALSE, {0.2f, 0.6, 500, 100,
          .score_threshold = 0.3f}},
  {"a list of three", CI_SOLO_DYNAMIC, 24, 36, 5, 8, 3, 0, 3, {8, 8, 16}, 4, 4,
      FALSE, FALSE, {0.2f, 0.6, 500, 100}},
  {"one pixel", CI_SOLO_DYNAMIC, 1, 1, 2, 7, 4, 0, 10, {0}, 1, 4, FALSE, FALSE,
      {0, 0.6, 500, 10}},
  {"one pixel of a product", CI_SOLO_PRODUCT, 1, 1, 2, 9, 4, 0, 10, {0}, 1, 4,
      FALSE, FALSE, {0, 0.6, 500, 10}},
};

/* What is picked, and "solo.L": made up, but in steps that no precision
 * rounds. */
static gboolean
lookup_steps (const CiWeights * weights, const gchar * name, CiTensor * out)
{
  const SoloCase *c = ((gpointer *) weights->user_data)[0];
  gfloat *data = ((gpointer *) weights->user_data)[1];
  const CiWeights picks = { lookup_pick, data };
  gboolean bias = g_str_has_suffix (name, ".bias");
  guint32 state = g_str_hash (name);
  gint level, n;

  if (sscanf (name, "solo.%d.", &level) != 1)
    return lookup_pick (&picks, name, out);
  n = grids[level] * grids[level];
  *out = (CiTensor) {
    CI_DTYPE_F32, bias ? 1 : 4, {n, c->channels, 1, 1}, data};
  for (gint i = 0; i < n * (bias ? 1 : c->channels); i++)
    data[i] = rintf (uniform (&state, -1, 1) * 8) / 8
        + (bias ? 1.0f / 64 : 0.0f);
  return TRUE;
}

/* The input has the channels of logits and twice those of masks. */
static CiGraph *
build_solo (const SoloCase * c)
{
  gint n = c->n_classes, k = c->channels, of = n + 2 * k;
  CiGraph *g = ci_graph_new ();
  CiValue x = ci_graph_input (g, of), detections, features;
  CiSoloParams params = { c->source, 4, 0.5f, 0.05f, 2.0f, c->linear,
    c->full_map
  };
  CiSoloLevel levels[4];

  features = pick (g, x, n, k, of, c->shift);
  for (gint l = 0; l < c->n_levels; l++) {
    gint s = grids[l];

    levels[l] = (CiSoloLevel) {
      ci_graph_resize (g, pick (g, x, 0, n, of, 0), s, s, CI_RESIZE_NEAREST),
          s, c->strides[l]};
    switch (c->source) {
      case CI_SOLO_STATIC:
        levels[l].masks[0] = pick (g, x, n, k, of, c->shift + l);
        break;
      case CI_SOLO_PRODUCT:
        levels[l].masks[0] = pick (g, x, n, s, of, c->shift + l);
        levels[l].masks[1] = pick (g, x, n + k, s, of, c->shift + l);
        break;
      case CI_SOLO_DYNAMIC:
        levels[l].masks[0] = ci_graph_resize (g, pick (g, x, n + k, k, of, 0),
            s, s, CI_RESIZE_NEAREST);
        levels[l].masks[1] = features;
        break;
    }
  }
  detections = ci_graph_solo_detect (g, levels, c->n_levels, x, "solo",
      c->capacity, &params);
  ci_graph_output (g, detections, "detections");
  ci_graph_output (g, ci_graph_solo_masks (g, levels, c->n_levels, x, "solo",
          detections, &params), "masks");
  return g;
}

static CiPlan *
run_solo (const SoloCase * c, const CiGraph * graph,
    const CiWeights * weights, const Variant * variant, CiPool * pool,
    gboolean broken)
{
  CiPlanOptions options = { variant->backend, pool, c->height, c->width,
    variant->keep, variant->no_fuse, NULL, variant->precision
  };
  gint h = c->height, w = c->width, n = c->n_classes + 2 * c->channels;
  GError *error = NULL;
  CiPlan *plan;

  if (variant->backend == CI_BACKEND_CUDA)
    options.device = cuda_device ();
  plan = ci_plan_compile (graph, weights, &options, &error);
  fail_unless (plan != NULL, "%s (%s): %s", c->name, variant->name,
      error ? error->message : "");
  for (gint i = 0; i < n * h * w; i++) {
    gint k = i / (h * w), y = i / w % h, x = i % w;
    gboolean logit = k < c->n_classes;
    guint32 state = (k * 1000 + y / c->blot) * 1000 + x / c->blot;
    gfloat v = 0;

    /* the first numbers of neighbouring seeds are alike */
    for (gint r = 0; r < 3; r++)
      v = uniform (&state, -1, 1) * (logit ? c->logits : 1);
    ci_plan_get_input (plan)[i] = rintf (v * 8) / 8
        + (k < c->n_classes + c->channels || c->source != CI_SOLO_PRODUCT ? 0
        : 1.0f);
    if (broken && (x + 3 * y) % 7 == 0)
      ci_plan_get_input (plan)[i] = NAN;
  }
  /* what one frame leaves behind must not show in the next */
  for (gint run = 0; run < 2; run++)
    fail_unless (ci_plan_run (plan, &c->params, NULL));
  return plan;
}

static void
check_solo (const SoloCase * c, gboolean broken)
{
  const Variant *variants = wants_cuda () ? cuda_variants : cpu_variants;
  const guint n_variants = wants_cuda () ? G_N_ELEMENTS (cuda_variants)
      : G_N_ELEMENTS (cpu_variants);
  gint of = c->n_classes + 2 * c->channels;
  g_autofree gfloat *data = g_new (gfloat, MAX (of * of, 81 * of));
  gconstpointer user_data[2] = { c, data };
  CiWeights weights = { lookup_steps, user_data, ci_weights_new_id () };
  CiPool *pool = ci_pool_new (3);
  CiGraph *graph = build_solo (c);
  CiDetections found;
  CiPlan *ref;

  if (wants_cuda () && !cuda_device ())
    return;
  ref = run_solo (c, graph, &weights, &reference, NULL, broken);
  ci_plan_get_detections (ref, &found);
  fail_unless (c->height == 1 || strstr (c->name, "no") || found.count > 2,
      "%s: only %d detections", c->name, found.count);
  for (guint i = 0; i < n_variants; i += variant_step ()) {
    const Variant *v = &variants[i];
    g_autofree gchar *what = g_strdup_printf ("%s (%s)", c->name, v->name);
    CiPlan *plan = run_solo (c, graph, &weights, v,
        v->n_threads > 1 ? pool : NULL, broken);

    compare_detections (what, ref, plan,
        c->full_map ? FULL_MASKS : PART_MASKS);
    ci_plan_free (plan);
  }
  ci_plan_free (ref);
  ci_weights_forget (weights.id);
  ci_pool_free (pool);
  ci_graph_free (graph);
}

GST_START_TEST (test_detects_as_reference)
{
  if (leaves_out (__i__))
    return;
  check_solo (&cases[__i__], FALSE);
}

GST_END_TEST;

/* Broken weights make no numbers: these are no detections and in no mask. */
GST_START_TEST (test_scores_are_numbers)
{
  check_solo (&cases[__i__], TRUE);
}

GST_END_TEST;

/* Cells that no grid has are refused, as are factors of two sizes. */
GST_START_TEST (test_sizes_that_contradict_are_refused)
{
  CiGraph *g = ci_graph_new ();
  CiPlanOptions options = { __i__ % 2 ? CI_BACKEND_CPU : CI_BACKEND_REF, NULL,
    12, 8
  };
  CiValue x = ci_graph_input (g, 4), half, grid;
  CiSoloParams params = { __i__ / 2 == 2 ? CI_SOLO_PRODUCT : CI_SOLO_DYNAMIC,
    4, 0.5f, 0.05f, 2.0f
  };
  CiSoloLevel level = {.grid = 4 };
  GError *error = NULL;
  TestWeights *weights;

  half = ci_graph_max_pool (g, x, 2, 2, 0, FALSE);
  grid = ci_graph_resize (g, x, 4, 4, CI_RESIZE_BILINEAR);
  level.logits = __i__ / 2 == 0 ? half : grid;
  level.masks[0] = __i__ / 2 == 0 ? grid : half;
  level.masks[1] = x;
  ci_graph_output (g, ci_graph_solo_detect (g, &level, 1, x, NULL, 10,
          &params), "out");
  weights = weights_for (g);
  fail_if (ci_plan_compile (g, &weights->base, &options, &error));
  fail_unless (g_error_matches (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT));
  fail_unless (strstr (error->message, "4x6 ") && strstr (error->message,
          "level 0"), "%s", error->message);
  g_clear_error (&error);
  weights_free (weights);
  ci_graph_free (g);
}

GST_END_TEST;

/* More scores than there is room for. */
GST_START_TEST (test_too_many_scores)
{
  CiGraph *g = ci_graph_new ();
  CiPlanOptions options = { CI_BACKEND_CPU, NULL, 8, 8 };
  CiValue x = ci_graph_input (g, 4), y;
  CiSoloParams params = { CI_SOLO_DYNAMIC, 4, 0.5f, 0.05f, 2.0f };
  CiSoloLevel level = {.grid = 1448,.masks = {0, x} };
  GError *error = NULL;
  TestWeights *weights;

  y = ci_graph_resize (g, x, 1448, 1448, CI_RESIZE_NEAREST);
  level.logits = ci_graph_conv (g, y, "logits", 9, 1, 1, 0, 1, TRUE);
  level.masks[0] = y;
  ci_graph_output (g, ci_graph_solo_detect (g, &level, 1, x, NULL, 10,
          &params), "out");
  weights = weights_for (g);
  fail_if (ci_plan_compile (g, &weights->base, &options, &error));
  fail_unless (g_error_matches (error, CI_ERROR, CI_ERROR_UNSUPPORTED)
      && strstr (error->message, "18870336 scores"), "%s", error->message);
  g_clear_error (&error);
  weights_free (weights);
  ci_graph_free (g);
}

GST_END_TEST;

static Suite *
kernels_suite (void)
{
  Suite *s = suite_create ("kernels");
  TCase *tc = tcase_create ("solo");

  suite_add_tcase (s, tc);
  tcase_set_timeout (tc, 120);
  tcase_add_loop_test (tc, test_detects_as_reference, 0, G_N_ELEMENTS (cases));
  tcase_add_loop_test (tc, test_scores_are_numbers, 0, G_N_ELEMENTS (cases));
  tcase_add_loop_test (tc, test_sizes_that_contradict_are_refused, 0, 6);
  tcase_add_test (tc, test_too_many_scores);
  return s;
}

GST_CHECK_MAIN (kernels);
