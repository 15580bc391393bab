/*
 * units.c: single steps against the official code's outputs.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gst/check/gstcheck.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare.h"

/* A network that hands through the channels of its input: level l is the
 * input's every 2^l-th pixel, picked by convolutions of one. */
typedef struct
{
  CiWeights base;
  gint n_channels;
  gfloat *buffer;
} Pick;

static gboolean
lookup_pick (const CiWeights * weights, const gchar * name, CiTensor * out)
{
  const Pick *pick = (const Pick *) weights;
  gint first, count;

  /* "pick.FIRST.COUNT.weight" */
  if (sscanf (name, "pick.%d.%d.weight", &first, &count) != 2)
    return FALSE;
  memset (pick->buffer, 0, sizeof (gfloat) * count * pick->n_channels);
  for (gint i = 0; i < count; i++)
    pick->buffer[i * pick->n_channels + first + i] = 1.0f;
  *out = (CiTensor) {
    CI_DTYPE_F32, 4, {count, pick->n_channels, 1, 1}, pick->buffer};
  return TRUE;
}

static CiValue
pick (CiGraph * graph, CiValue src, gint first, gint count, gint stride)
{
  g_autofree gchar *name = g_strdup_printf ("pick.%d.%d", first, count);

  return ci_graph_conv (graph, src, name, count, 1, stride, 0, 1, FALSE);
}

static void
run_select (const gchar * name, CiBackend backend)
{
  g_autofree gchar *path =
      g_strdup_printf (GOLDEN "units/select_%s.safetensors", name);
  CiSafetensors *file = golden_open (path);
  CiTensor first = golden_get (file, "in.0.logits");
  CiTensor scores = golden_get (file, "out.scores");
  CiTensor boxes = golden_get (file, "out.boxes");
  CiTensor cls = golden_get (file, "out.classes");
  CiTensor level = golden_get (file, "out.level");
  CiTensor loc = golden_get (file, "out.loc");
  gint n_classes = first.dims[0], per = n_classes + 5;
  gint h = first.dims[1], w = first.dims[2];
  Pick weights = { {lookup_pick, NULL, ci_weights_new_id ()}, 5 * per };
  CiPlanOptions options = { backend, NULL, h, w };
  const gchar *with_ctr = ci_safetensors_get_metadata (file,
      "thresh_with_ctr");
  CiDetectParams params = {
    g_ascii_strtod (ci_safetensors_get_metadata (file, "score_thresh"), NULL),
    g_ascii_strtod (ci_safetensors_get_metadata (file, "nms_thresh"), NULL),
    atoi (ci_safetensors_get_metadata (file, "pre_nms_topk")),
    atoi (ci_safetensors_get_metadata (file, "post_nms_topk")), NULL
  };
  CiGraph *graph = ci_graph_new ();
  CiValue x = ci_graph_input (graph, 5 * per);
  CiFcosLevel levels[5];
  GError *error = NULL;
  CiDetections d;
  CiPlan *plan;

  weights.buffer = g_new (gfloat, 5 * per * per);
  for (gint l = 0; l < 5; l++) {
    levels[l].logits = pick (graph, x, l * per, n_classes, 1 << l);
    levels[l].reg = pick (graph, x, l * per + n_classes, 4, 1 << l);
    levels[l].ctr = pick (graph, x, l * per + n_classes + 4, 1, 1 << l);
    levels[l].stride = 8 << l;
  }
  ci_graph_fcos_detect (graph, levels, 5, 200, strcmp (with_ctr, "0"));
  plan = ci_plan_compile (graph, &weights.base, &options, &error);
  fail_unless (plan != NULL, "%s", error ? error->message : "");
  for (gint l = 0; l < 5; l++) {
    static const gchar *const kinds[] = { "logits", "reg", "ctr" };
    gint c = l * per;

    for (gint k = 0; k < 3; k++) {
      g_autofree gchar *tensor = g_strdup_printf ("in.%d.%s", l, kinds[k]);
      CiTensor t = golden_get (file, tensor);

      fail_unless (t.dims[1] == (h - 1) / (1 << l) + 1
          && t.dims[2] == (w - 1) / (1 << l) + 1);
      for (gint i = 0; i < t.dims[0]; i++, c++)
        for (gint y = 0; y < t.dims[1]; y++)
          for (gint xx = 0; xx < t.dims[2]; xx++)
            ci_plan_get_input (plan)[((gsize) c * h + (y << l)) * w
                + (xx << l)] = F32 (t)[(i * t.dims[1] + y) * t.dims[2] + xx];
    }
  }
  fail_unless (ci_plan_run (plan, &params, &error));
  ci_plan_get_detections (plan, &d);
  fail_unless (d.count == scores.dims[0], "%s: %d detections, official %d",
      name, d.count, (gint) scores.dims[0]);
  for (gint i = 0; i < d.count; i++) {
    gint k = 0;

    /* order may swap between equal scores */
    while (k < d.count && !(d.classes[i] == I32 (cls)[k]
            && d.levels[i] == I32 (level)[k]
            && d.locations[2 * i] == F32 (loc)[2 * k]
            && d.locations[2 * i + 1] == F32 (loc)[2 * k + 1]))
      k++;
    fail_unless (k < d.count, "%s: detection %d is not an official one", name,
        i);
    fail_unless (fabs (d.scores[i] - F32 (scores)[k]) < 1e-6);
    fail_unless (golden_near_box (d.boxes + 4 * i, F32 (boxes) + 4 * k));
  }
  ci_plan_free (plan);
  ci_graph_free (graph);
  ci_weights_forget (weights.base.id);
  g_free (weights.buffer);
  ci_safetensors_free (file);
}

GST_START_TEST (test_select)
{
  static const gchar *const names[] =
      { "default", "many", "topk", "noctr", "empty" };

  run_select (names[__i__ / 2], __i__ % 2 ? CI_BACKEND_CPU : CI_BACKEND_REF);
}

GST_END_TEST;

GST_START_TEST (test_aligned_bilinear)
{
  CiSafetensors *file = golden_open (GOLDEN
      "units/aligned_bilinear.safetensors");
  CiTensor in = golden_get (file, "in");
  gint c = in.dims[0], h = in.dims[1], w = in.dims[2];

  for (gint backend = CI_BACKEND_REF; backend <= CI_BACKEND_CPU; backend++)
    for (gint factor = 2; factor <= 8; factor *= 2) {
      g_autofree gchar *name = g_strdup_printf ("out.x%d", factor);
      CiTensor expected = golden_get (file, name), out;
      Pick weights = { {lookup_pick, NULL, 0}, c };
      CiPlanOptions options = { backend, NULL, h, w };
      CiGraph *graph = ci_graph_new ();
      CiPlan *plan;

      ci_graph_output (graph, ci_graph_upsample (graph, ci_graph_input (graph,
                  c), factor, CI_RESIZE_ALIGNED_BILINEAR), "out");
      plan = ci_plan_compile (graph, &weights.base, &options, NULL);
      memcpy (ci_plan_get_input (plan), in.data, sizeof (gfloat) * c * h * w);
      fail_unless (ci_plan_run (plan, NULL, NULL));
      fail_unless (ci_plan_read (plan, "out", &out));
      fail_unless_equals_uint64 (ci_tensor_n_elements (&out),
          ci_tensor_n_elements (&expected));
      for (gsize i = 0; i < ci_tensor_n_elements (&out); i++)
        fail_unless (fabs (F32 (out)[i] - F32 (expected)[i]) < 1e-6);
      g_free ((gpointer) out.data);
      ci_plan_free (plan);
      ci_graph_free (graph);
    }
  ci_safetensors_free (file);
}

GST_END_TEST;

GST_START_TEST (test_paste_box)
{
  CiSafetensors *file = golden_open (GOLDEN "units/paste_masks.safetensors");
  CiTensor prob = golden_get (file, "in.prob");
  CiTensor boxes = golden_get (file, "in.boxes");
  CiTensor expected = golden_get (file, "out.masks");
  gint n = expected.dims[0], h = expected.dims[1], w = expected.dims[2];
  gint size = prob.dims[1];
  g_autofree guint8 *mask = g_malloc (h * w);

  for (gint i = 0; i < n; i++) {
    ci_mask_paste_box (F32 (prob) + i * size * size, size, F32 (boxes) + 4 * i,
        w, h, 0.5f, mask);
    fail_unless (!memcmp (mask, (const guint8 *) expected.data
            + (gsize) i * h * w, h * w), "mask %d", i);
  }
  ci_safetensors_free (file);
}

GST_END_TEST;

static Suite *
units_suite (void)
{
  Suite *s = suite_create ("parity-units");
  TCase *tc = tcase_create ("golden");

  suite_add_tcase (s, tc);
  tcase_add_loop_test (tc, test_select, 0, 10);
  tcase_add_test (tc, test_aligned_bilinear);
  tcase_add_test (tc, test_paste_box);
  return s;
}

int
main (int argc, char **argv)
{
  if (!g_file_test (GOLDEN, G_FILE_TEST_IS_DIR)) {
    g_print ("skipped: no " GOLDEN "\n");
    return 77;
  }
  gst_check_init (&argc, &argv);
  return gst_check_run_suite (units_suite (), "parity-units", __FILE__);
}
