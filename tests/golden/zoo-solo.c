/*
 * zoo-solo.c: SOLO, Decoupled SOLO and SOLOv2 against the official code's
 * outputs.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gst/check/gstcheck.h>
#include <math.h>
#include <string.h>

#include "compare_zoo.h"
#include "models/method.h"
#include "tools/condinst/picture.h"

/* Of maps, of their largest value. */
static gdouble
tolerance (void)
{
  return zoo_half ? 8e-2 : 1e-4;
}

static const struct
{
  const gchar *name, *architecture;
} variants[] = {
  {"solo_r50_fpn", "solo"},
  {"decoupled_solo_light_r50_fpn", "decoupled_solo"},
  {"solov2_light_448_r18_fpn", "solov2"},
};

/* One picture. */
typedef struct
{
  const CiSafetensors *golden;
  const CiWeights *weights;
  const CiConfig *config;
  CiPlan *plan;
  CiPreprocessOptions input;
  CiPicture picture;
} Run;

/* ---- maps ---------------------------------------------------------------- */

static gfloat
sigmoid (gfloat x)
{
  return 1 / (1 + exp (-x));
}

/* The probabilities of classes, 0 where a neighbour has more; 1 x S x S x
 * classes. */
static void
compare_classes (const Run * run, gint level)
{
  g_autofree gchar *name = g_strdup_printf ("head.cate.%d", level);
  g_autofree gchar *value = g_strdup_printf ("head.%d.logits", level);
  g_autofree gfloat *out = NULL;
  CiTensor map, t;
  gint n, s;

  fail_unless (ci_plan_read (run->plan, value, &map));
  n = map.dims[1];
  s = map.dims[2];
  out = g_new (gfloat, n * s * s);
  for (gint c = 0; c < n; c++)
    for (gint y = 0; y < s; y++)
      for (gint x = 0; x < s; x++) {
        const gfloat *plane = F32 (map) + c * s * s;
        gfloat p = sigmoid (plane[y * s + x]), most = p;

        for (gint k = 1; k < 4; k++)
          if (y >= k / 2 && x >= k % 2)
            most = MAX (most, sigmoid (plane[(y - k / 2) * s + x - k % 2]));
        out[(y * s + x) * n + c] = most > p ? 0 : p;
      }
  t = (CiTensor) {
    CI_DTYPE_F32, 4, {1, s, s, n}, out};
  zoo_compare_tap (run->golden, name, &t, tolerance ());
  g_free ((gpointer) map.data);
}

/* Half-pixel bilinear of sigmoids. */
static gfloat
sample (const gfloat * plane, gint h, gint w, gint out_h, gint out_w, gint y,
    gint x)
{
  gfloat v = MAX ((y + 0.5f) * h / out_h - 0.5f, 0);
  gfloat u = MAX ((x + 0.5f) * w / out_w - 0.5f, 0);
  gint y0 = v, x0 = u, y1 = MIN (y0 + 1, h - 1), x1 = MIN (x0 + 1, w - 1);
  gfloat b = v - y0, a = u - x0;

  return (1 - b) * ((1 - a) * sigmoid (plane[y0 * w + x0])
      + a * sigmoid (plane[y0 * w + x1]))
      + b * ((1 - a) * sigmoid (plane[y1 * w + x0])
      + a * sigmoid (plane[y1 * w + x1]));
}

/* A map of logits as the official code hands it on: sigmoids at the size of the
 * masks. */
static void
compare_soft (const Run * run, const gchar * name, const CiTensor * logits)
{
  gint n = logits->dims[1], h = logits->dims[2], w = logits->dims[3];
  gint out_h = run->input.padded_height / 4;
  gint out_w = run->input.padded_width / 4;
  g_autofree gfloat *out = g_new (gfloat, (gsize) n * out_h * out_w);
  CiTensor t = { CI_DTYPE_F32, 4, {1, n, out_h, out_w}, out };
  gfloat *p = out;

  for (gint c = 0; c < n; c++)
    for (gint y = 0; y < out_h; y++)
      for (gint x = 0; x < out_w; x++)
        *p++ = sample (F32 (*logits) + (gsize) c * h * w, h, w, out_h, out_w,
            y, x);
  zoo_compare_tap (run->golden, name, &t, tolerance ());
}

/* The masks of all cells, which the plan makes of candidates only. */
static void
compare_static (const Run * run, gint level)
{
  g_autofree gchar *name = g_strdup_printf ("head.seg.%d", level);
  g_autofree gchar *value = g_strdup_printf ("head.%d.masks", level);
  g_autofree gchar *weight =
      g_strdup_printf ("bbox_head.solo_ins_list.%d.weight", level);
  g_autofree gchar *bias =
      g_strdup_printf ("bbox_head.solo_ins_list.%d.bias", level);
  g_autofree gfloat *data = NULL;
  CiTensor map, w, b, logits;
  gint n, c;
  gsize cells;

  fail_unless (ci_plan_read (run->plan, value, &map)
      && run->weights->lookup (run->weights, weight, &w)
      && run->weights->lookup (run->weights, bias, &b));
  n = w.dims[0];
  c = map.dims[1];
  cells = map.dims[2] * map.dims[3];
  data = g_new (gfloat, n * cells);
  for (gint o = 0; o < n; o++) {
    gfloat *out = data + o * cells;

    for (gsize i = 0; i < cells; i++)
      out[i] = F32 (b)[o];
    for (gint k = 0; k < c; k++)
      for (gsize i = 0; i < cells; i++)
        out[i] += F32 (w)[o * c + k] * F32 (map)[k * cells + i];
  }
  logits = (CiTensor) {
    CI_DTYPE_F32, 4, {1, n, map.dims[2], map.dims[3]}, data};
  compare_soft (run, name, &logits);
  g_free ((gpointer) map.data);
}

static void
compare_level (const Run * run, gint level)
{
  /* which of two neighbours is the larger one is no matter of degree */
  if (!zoo_half)
    compare_classes (run, level);
  if (run->config->architecture == CI_ARCHITECTURE_SOLO)
    compare_static (run, level);
  for (gint k = 0; k < 2
      && run->config->architecture == CI_ARCHITECTURE_DECOUPLED_SOLO; k++) {
    g_autofree gchar *name = g_strdup_printf ("head.seg_%c.%d", "xy"[k],
        level);
    g_autofree gchar *value = g_strdup_printf ("head.%d.%c", level, "xy"[k]);
    CiTensor logits;

    fail_unless (ci_plan_read (run->plan, value, &logits));
    compare_soft (run, name, &logits);
    g_free ((gpointer) logits.data);
  }
  if (run->config->architecture == CI_ARCHITECTURE_SOLOV2) {
    g_autofree gchar *name = g_strdup_printf ("head.kernel.%d", level);
    g_autofree gchar *value = g_strdup_printf ("head.%d.kernels", level);

    zoo_compare_value (run->golden, name, run->plan, value, tolerance ());
  }
}

static void
compare_maps (const Run * run)
{
  zoo_compare_value (run->golden, "input", run->plan, "input",
      zoo_half ? 1e-3 : 1e-6);
  for (gint i = 0; i < 4; i++) {
    g_autofree gchar *name = g_strdup_printf ("backbone.%d", i);
    g_autofree gchar *value = g_strdup_printf ("feat.res%d", i + 2);

    zoo_compare_value (run->golden, name, run->plan, value, tolerance ());
  }
  for (gint l = 0; l < CI_SOLO_LEVELS; l++) {
    g_autofree gchar *name = g_strdup_printf ("fpn.%d", l);
    g_autofree gchar *value = g_strdup_printf ("feat.p%d", l + 2);

    zoo_compare_value (run->golden, name, run->plan, value, tolerance ());
    compare_level (run, l);
  }
  if (run->config->architecture == CI_ARCHITECTURE_SOLOV2)
    zoo_compare_value (run->golden, "mask_feat", run->plan, "mask.feats",
        tolerance ());
}

/* ---- detections ---------------------------------------------------------- */

static void
compare_detections (const Run * run)
{
  gint w = run->picture.width, h = run->picture.height;
  ZooLimits limits = ZOO_LIMITS;
  g_autofree guint8 *masks = NULL;
  ZooDetections ours;
  CiDetections d;

  ci_plan_get_detections (run->plan, &d);
  masks = g_malloc ((gsize) d.count * w * h + 1);
  for (gint i = 0; i < d.count; i++) {
    CiMaskGrid grid;

    fail_unless (ci_plan_get_mask (run->plan, i, &grid));
    ci_mask_paste_bilinear (&grid, run->input.padded_width,
        run->input.padded_height, run->input.resized_width,
        run->input.resized_height, w, h, run->config->solo.mask_threshold,
        masks + (gsize) i * w * h);
  }
  limits.by_mask = TRUE;
  /* of masks that are nearly the same it is rounding that says which one takes
   * from the other's score */
  if (zoo_half)
    limits = (ZooLimits) {
    0.15, 0, 0.85, 8, TRUE};
  ours = (ZooDetections) {
  d.count, NULL, d.scores, d.classes, masks};
  zoo_compare_detections (run->golden, "det", &ours, &limits);
}

/* ---- running ------------------------------------------------------------- */

/* As the official test pipeline: OpenCV, padded to the stride. */
static CiPreprocess *
make_preprocess (Run * run, CiImageFormat * format)
{
  CiTensor sides = golden_get (run->golden, "meta.resize_long_short");
  const gint64 *size = sides.data;
  CiPreprocessOptions *o = &run->input;
  GError *error = NULL;
  CiPreprocess *pre;

  *o = (CiPreprocessOptions) {
  .rgb = run->config->input.rgb,.quality = CI_RESIZE_OPENCV};
  memcpy (o->mean, run->config->input.pixel_mean, sizeof (o->mean));
  memcpy (o->std, run->config->input.pixel_std, sizeof (o->std));
  ci_resize_get_size (CI_SIZE_KEEP_RATIO, format->width, format->height,
      size[1], size[0], &o->resized_width, &o->resized_height);
  o->padded_width = (o->resized_width + 31) / 32 * 32;
  o->padded_height = (o->resized_height + 31) / 32 * 32;
  pre = ci_preprocess_new (format, o, &error);
  fail_unless (pre != NULL, "%s", error ? error->message : "");
  return pre;
}

GST_START_TEST (test_variant)
{
  const gchar *name = variants[__i__ / 2].name;
  const gchar letter = "ab"[__i__ % 2];
  g_autofree gchar *file = g_strdup_printf ("solo/%s.pth", name);
  g_autofree gchar *outputs = g_strdup_printf ("solo/%s.%c", name, letter);
  g_autofree gchar *png = g_strdup_printf (ZOO "images/%c.png", letter);
  CiModel *model = zoo_load_model (file);
  CiSafetensors *golden = zoo_open (outputs);
  Run run = { golden, ci_model_get_weights (model),
    ci_model_get_config (model)
  };
  CiBuildOptions build = { 100, TRUE };
  CiGraph *graph = ci_network_build (run.config, &build);
  CiPool *pool = ci_pool_new (2);
  CiPlanOptions options = {
    .backend = zoo_device ? CI_BACKEND_CUDA : CI_BACKEND_CPU,.pool = pool,
    .keep_named = TRUE,.device = zoo_device,
    .precision = zoo_half ? CI_PRECISION_FP16 : CI_PRECISION_FP32
  };
  CiImageFormat format = { CI_PIXEL_RGB };
  CiDetectParams params = { run.config->inference.inference_threshold,
    run.config->inference.nms_threshold, run.config->inference.pre_nms_top_k,
    run.config->inference.post_nms_top_k
  };
  GError *error = NULL;
  CiPreprocess *pre;

  fail_unless_equals_string (ci_model_get_architecture (model),
      variants[__i__ / 2].architecture);
  fail_unless (ci_picture_load (&run.picture, png, &error));
  format.width = run.picture.width;
  format.height = run.picture.height;
  pre = make_preprocess (&run, &format);
  options.width = run.input.padded_width;
  options.height = run.input.padded_height;
  run.plan = ci_plan_compile (graph, run.weights, &options, &error);
  fail_unless (run.plan != NULL, "%s", error ? error->message : "");
  ci_preprocess_run (pre, &(CiImage) { {run.picture.rgb},
        {run.picture.width * 3} }, ci_plan_get_input (run.plan), pool);
  fail_unless (ci_plan_run (run.plan, &params, &error), "%s",
      error ? error->message : "");
  compare_maps (&run);
  compare_detections (&run);
  ci_plan_free (run.plan);
  ci_preprocess_free (pre);
  ci_pool_free (pool);
  ci_graph_free (graph);
  ci_safetensors_free (golden);
  ci_picture_clear (&run.picture);
  ci_model_unref (model);
}

GST_END_TEST;

static Suite *
zoo_suite (void)
{
  Suite *s = suite_create ("zoo");
  TCase *tc = tcase_create ("solo");

  suite_add_tcase (s, tc);
  tcase_set_timeout (tc, 600);
  tcase_add_loop_test (tc, test_variant, 0, 2 * G_N_ELEMENTS (variants));
  return s;
}

int
main (int argc, char **argv)
{
  return zoo_run (argc, argv, zoo_suite);
}
