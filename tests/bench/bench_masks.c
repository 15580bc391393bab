/*
 * Time of CondInst's dynamic mask head (10 -> 8 -> 8 -> 1 for each detection,
 * enlargement and sigmoid included), beside a plain loop over the same cells
 * that the compiler vectorises, in turn; one thread, best of N times of the
 * thread's CPU clock, as JSON. Boxes take 30 % of each side of the map.
 *
 *   bench-masks [ROUNDS]
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/plan.h"

#define FEATURES 8
#define WIDTH 8
#define N_PARAMETERS 169
#define STRIDE 8
#define MAX_DETECTIONS 100

typedef struct
{
  gint n, height, width;        /* detections, cells of the features */
  gboolean full_map;
} Case;

static const Case cases[] = {
  {1, 48, 48, FALSE}, {10, 48, 48, FALSE}, {100, 48, 48, FALSE},
  {10, 48, 48, TRUE}, {10, 100, 168, FALSE}, {100, 100, 168, FALSE},
};

static gdouble
cpu_ms (void)
{
  struct timespec t;

  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec * 1e3 + t.tv_nsec * 1e-6;
}

static gfloat
random_float (void)
{
  return rand () / (gfloat) RAND_MAX - 0.5f;
}

/* Every convolution here is 1x1, but for the controller. */
static gboolean
lookup (const CiWeights * weights, const gchar * name, CiTensor * out)
{
  static const struct
  {
    const gchar *name;
    gint64 out, in;
  } layers[] = {
    {"features", FEATURES, 3}, {"logits", 1, FEATURES}, {"reg", 4, FEATURES},
    {"ctr", 1, FEATURES}, {"controller", N_PARAMETERS, FEATURES},
  };

  for (guint i = 0; i < G_N_ELEMENTS (layers); i++) {
    gsize length = strlen (layers[i].name);

    if (strncmp (name, layers[i].name, length))
      continue;
    *out = (CiTensor) {
      CI_DTYPE_F32, g_str_equal (name + length, ".bias") ? 1 : 4, {
      layers[i].out, layers[i].in, 1, 1}, weights->user_data};
    return TRUE;
  }
  return FALSE;
}

static CiPlan *
make_plan (const Case * c, const CiWeights * weights)
{
  CiMaskHeadParams head = { STRIDE, STRIDE / 2, WIDTH, 3, TRUE, {64},
    c->full_map
  };
  CiPlanOptions options = { CI_BACKEND_CPU };
  g_autoptr (GError) error = NULL;
  CiGraph *g = ci_graph_new ();
  CiValue x = ci_graph_input (g, 3), detections, rows;
  CiFcosLevel level;
  CiPlan *plan;

  options.height = c->height;
  options.width = c->width;
  x = ci_graph_conv (g, x, "features", FEATURES, 1, 1, 0, 1, TRUE);
  level = (CiFcosLevel) {
    ci_graph_conv (g, x, "logits", 1, 1, 1, 0, 1, TRUE),
        ci_graph_conv (g, x, "reg", 4, 1, 1, 0, 1, TRUE),
        ci_graph_conv (g, x, "ctr", 1, 1, 1, 0, 1, TRUE), STRIDE};
  detections = ci_graph_fcos_detect (g, &level, 1, MAX_DETECTIONS, TRUE);
  rows = ci_graph_conv_at (g, &x, 1, detections, "controller", N_PARAMETERS,
      1);
  ci_graph_output (g, ci_graph_dynamic_mask_head (g, x, detections, rows,
          &head), "masks");
  plan = ci_plan_compile (g, weights, &options, &error);
  if (!plan)
    g_error ("%s", error->message);
  ci_graph_free (g);
  return plan;
}

/* Detections all over the map, with random networks. */
static void
fill_detections (CiPlan * plan, const Case * c)
{
  CiDetectionBuffer *d = &plan->buffers[plan->detections].detections;
  gfloat w = 0.3f * c->width * STRIDE, h = 0.3f * c->height * STRIDE;

  d->count = c->n;
  for (gint i = 0; i < c->n; i++) {
    gfloat x = (random_float () + 0.5f) * (c->width * STRIDE - w);
    gfloat y = (random_float () + 0.5f) * (c->height * STRIDE - h);

    memcpy (d->boxes + 4 * i, (gfloat[]) { x, y, x + w, y + h },
        4 * sizeof (gfloat));
    d->locations[2 * i] = x + w / 2;
    d->locations[2 * i + 1] = y + h / 2;
    d->levels[i] = 0;
  }
}

static CiStep *
find_mask_head (CiPlan * plan)
{
  for (gint i = 0; i < plan->n_steps; i++)
    if (plan->steps[i].node->op == CI_OP_MASK_HEAD)
      return &plan->steps[i];
  return NULL;
}

/* The logits of the cells that the boxes of @plan touch, as one would write it
 * down; 64 cells of a row at a time, which the compiler vectorises. */
static void
run_plain (const CiPlan * plan, const CiStep * head, gint map_width,
    const gfloat * planes, gfloat * logits)
{
  const CiDetectionBuffer *d = &plan->buffers[plan->detections].detections;
  const CiMap *rows = &plan->buffers[head->node->srcs[2]].map;
  const CiMaskGrid *grids = plan->buffers[head->value].grids;
  gsize plane = (gsize) plan->buffers[head->node->srcs[0]].map.h * map_width;

  for (gint n = 0; n < d->count; n++) {
    const CiMaskGrid *grid = &grids[n];
    gint x0 = MAX (grid->x, 0) / 2, y0 = MAX (grid->y, 0) / 2;
    gint x1 = MIN (x0 + grid->width / 2 + 1, map_width);
    gint y1 = y0 + grid->height / 2;

    for (gint y = y0; y < y1; y++)
      for (gint x = x0; x < x1; x += 64) {
        gint count = MIN (64, x1 - x), n_in = FEATURES + 2;
        const gfloat *w = rows->data + (gsize) n * rows->c, *b = w + 152;
        gfloat in[FEATURES + 2][64], out[WIDTH][64];

        for (gint i = 0; i < count; i++) {
          in[0][i] = (d->locations[2 * n] - STRIDE * (x + i)) / 64;
          in[1][i] = (d->locations[2 * n + 1] - STRIDE * y) / 64;
        }
        for (gint k = 0; k < FEATURES; k++)
          memcpy (in[k + 2], planes + k * plane + y * map_width + x,
              count * sizeof (gfloat));
        for (gint layer = 0; layer < 3; layer++) {
          gint n_out = layer < 2 ? WIDTH : 1;

          for (gint o = 0; o < n_out; o++, b++) {
            for (gint i = 0; i < count; i++)
              out[o][i] = *b;
            for (gint k = 0; k < n_in; k++, w++)
              for (gint i = 0; i < count; i++)
                out[o][i] += *w * in[k][i];
            for (gint i = 0; i < count && layer < 2; i++)
              out[o][i] = MAX (out[o][i], 0);
          }
          memcpy (in, out, sizeof (out));
          n_in = WIDTH;
        }
        memcpy (logits + y * map_width + x, out[0], count * sizeof (gfloat));
      }
  }
}

int
main (int argc, char **argv)
{
  gint rounds = argc > 1 ? atoi (argv[1]) : 200;
  gfloat weights_data[N_PARAMETERS * FEATURES];
  CiWeights weights = { lookup, weights_data, ci_weights_new_id () };

  for (guint i = 0; i < G_N_ELEMENTS (weights_data); i++)
    weights_data[i] = random_float ();
  g_print ("[");
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    const Case *c = &cases[i];
    CiPlan *plan = make_plan (c, &weights);
    CiStep *head = find_mask_head (plan);
    gsize cells = (gsize) c->height * c->width;
    g_autofree gfloat *planes = g_new (gfloat, FEATURES * cells);
    g_autofree gfloat *logits = g_new (gfloat, cells);
    CiDetectParams params = { 0 };
    gdouble ours = INFINITY, plain = INFINITY;

    for (gsize k = 0; k < 3 * cells; k++)
      ci_plan_get_input (plan)[k] = random_float ();
    for (gsize k = 0; k < FEATURES * cells; k++)
      planes[k] = random_float ();
    params.inference_threshold = 1;
    if (!ci_plan_run (plan, &params, NULL))
      return 1;
    fill_detections (plan, c);
    for (gint k = 0; k < c->n * N_PARAMETERS; k++)
      plan->buffers[head->node->srcs[2]].map.data[k] = random_float ();
    for (gint k = 0; k < rounds; k++) {
      gdouble t0 = cpu_ms (), t1;

      head->run (plan, head, NULL);
      t1 = cpu_ms ();
      ours = MIN (ours, t1 - t0);
      run_plain (plan, head, c->width, planes, logits);
      plain = MIN (plain, cpu_ms () - t1);
    }
    g_print ("%s\n  {\"bench\": \"masks\", \"detections\": %d, \"map\": "
        "\"%dx%d\", \"full_map\": %s, \"ms\": %.4f, \"plain_ms\": %.4f, "
        "\"ratio\": %.2f}", i ? "," : "", c->n, c->width, c->height,
        c->full_map ? "true" : "false", ours, plain, ours / plain);
    ci_plan_free (plan);
  }
  g_print ("\n]\n");
  ci_weights_forget (weights.id);
  return 0;
}
