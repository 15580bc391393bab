/*
 * zoo-yolact.c: YOLACT and YOLACT++ against the official code's outputs. Few of
 * them with PARITY_CASES=small.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gst/check/gstcheck.h>
#include <math.h>
#include <string.h>

#include "compare_zoo.h"
#include "models/method.h"
#include "tools/condinst/picture.h"

#define SIZE 550
#define CELLS 138               /* of a side of the prototypes */
#define CAPACITY 200

static const struct
{
  const gchar *name;
  gint n_maps;                  /* of the backbone */
  const gchar *map;             /* the first of them, and its number */
  gint first;
  gint n_priors;
  gdouble tolerance;            /* of maps */
} variants[] = {
  {"yolact_resnet50", 4, "feat.res", 2, 3, 2e-4},
  {"yolact_base", 4, "feat.res", 2, 3, 1e-4},
  {"yolact_darknet53", 5, "feat.dark", 1, 3, 1e-4},
  /* positions of deformable samples multiply what rounding does */
  {"yolact_plus_resnet50", 4, "feat.res", 2, 9, 1e-3},
};

/* Half-pixel bilinear of floats, as torch has it. */
static void
fill_input (const CiConfig * config, const CiPicture * picture, gfloat * out)
{
  gint w = picture->width, h = picture->height;
  gfloat sx = (gfloat) w / SIZE, sy = (gfloat) h / SIZE;

  for (gint c = 0; c < 3; c++)
    for (gint y = 0; y < SIZE; y++)
      for (gint x = 0; x < SIZE; x++) {
        gfloat u = MAX ((x + 0.5f) * sx - 0.5f, 0);
        gfloat v = MAX ((y + 0.5f) * sy - 0.5f, 0);
        gint x0 = u, y0 = v, x1 = MIN (x0 + 1, w - 1);
        gint y1 = MIN (y0 + 1, h - 1);
        gfloat a = u - x0, b = v - y0;
        const guint8 *p = picture->rgb + c;
        gfloat value = (1 - b) * ((1 - a) * p[(y0 * w + x0) * 3]
            + a * p[(y0 * w + x1) * 3])
            + b * ((1 - a) * p[(y1 * w + x0) * 3] + a * p[(y1 * w + x1) * 3]);

        *out++ = (value - config->input.pixel_mean[c])
            / config->input.pixel_std[c];
      }
}

/* ---- maps ---------------------------------------------------------------- */

/* Maps of all levels with @channels for each of @n_priors as official rows:
 * cells, then priors. */
static void
compare_rows (const CiSafetensors * golden, const gchar * name, CiPlan * plan,
    const gchar * value, guint variant, gint channels, gboolean softmax)
{
  gint n_priors = variants[variant].n_priors;
  g_autofree gfloat *rows = NULL;
  CiTensor t = { CI_DTYPE_F32, 3, {1, 0, channels} };
  gint n = 0;

  for (gint l = 3; l < 3 + CI_YOLACT_LEVELS; l++) {
    g_autofree gchar *level = g_strdup_printf ("%s.p%d", value, l);
    gint cells, k;
    CiTensor map;

    fail_unless (ci_plan_read (plan, level, &map));
    fail_unless_equals_int64 (map.dims[1], n_priors * channels);
    cells = map.dims[2] * map.dims[3];
    rows = g_renew (gfloat, rows, (n + cells) * n_priors * channels);
    for (gint i = 0; i < cells; i++)
      for (k = 0; k < n_priors * channels; k++)
        rows[(n + i) * n_priors * channels + k] = F32 (map)[k * cells + i];
    n += cells;
    g_free ((gpointer) map.data);
  }
  for (gint i = 0; i < n * n_priors && softmax; i++) {
    gfloat *row = rows + i * channels;
    gdouble top = row[0], sum = 0;

    for (gint k = 1; k < channels; k++)
      top = MAX (top, row[k]);
    for (gint k = 0; k < channels; k++)
      sum += exp (row[k] - top);
    for (gint k = 0; k < channels; k++)
      row[k] = exp (row[k] - top) / sum;
  }
  t.dims[1] = n * n_priors;
  t.data = rows;
  zoo_compare_tap (golden, name, &t, variants[variant].tolerance);
}

static void
compare_maps (const CiSafetensors * golden, guint variant, CiPlan * plan,
    gint n_classes)
{
  gdouble tolerance = variants[variant].tolerance;

  zoo_compare_value (golden, "input", plan, "input", 1e-5);
  for (gint i = 0; i < variants[variant].n_maps; i++) {
    g_autofree gchar *name = g_strdup_printf ("backbone.%d", i);
    g_autofree gchar *value = g_strdup_printf ("%s%d", variants[variant].map,
        variants[variant].first + i);

    zoo_compare_value (golden, name, plan, value, tolerance);
  }
  for (gint l = 3; l < 8; l++) {
    g_autofree gchar *name = g_strdup_printf ("fpn.P%d", l);
    g_autofree gchar *value = g_strdup_printf ("feat.p%d", l);

    zoo_compare_value (golden, name, plan, value, tolerance);
  }
  zoo_compare_value (golden, "proto", plan, "mask.prototypes",
      tolerance);
  compare_rows (golden, "head.loc", plan, "head.bbox", variant, 4,
      FALSE);
  compare_rows (golden, "head.conf", plan, "head.conf", variant,
      n_classes + 1, TRUE);
  compare_rows (golden, "head.mask", plan, "head.mask", variant, 32,
      FALSE);
}

/* ---- detections ---------------------------------------------------------- */

/* All hundred, of which many have scores that hardly differ. */
static void
compare_all (const CiSafetensors * golden, CiPlan * plan)
{
  CiTensor scores = golden_get (golden, "nms.scores");
  CiTensor boxes = golden_get (golden, "nms.boxes_rel");
  CiTensor classes = golden_get (golden, "nms.classes");
  CiTensor coefficients = golden_get (golden, "nms.coeffs"), rows;
  gint n_found = 0;
  CiDetections d;

  ci_plan_get_detections (plan, &d);
  fail_unless_equals_int64 (d.count, scores.dims[0]);
  fail_unless (ci_plan_read (plan, "pre.params", &rows));
  for (gint i = 0; i < d.count; i++)
    fail_unless (fabs (d.scores[i] - F32 (scores)[i]) <= 1e-3,
        "score %d: %g, official %g", i, d.scores[i], F32 (scores)[i]);
  for (gint k = 0; k < boxes.dims[0]; k++) {
    gint found = -1;

    for (gint i = 0; i < d.count && found < 0; i++) {
      gboolean same = d.classes[i] == ((const gint64 *) classes.data)[k]
          && fabs (d.scores[i] - F32 (scores)[k]) <= 1e-3;

      for (gint s = 0; s < 4 && same; s++)
        same = fabs (d.boxes[4 * i + s] - F32 (boxes)[4 * k + s] * SIZE)
            <= 0.05;
      found = same ? i : -1;
    }
    n_found += found >= 0;
    for (gint c = 0; c < 32 && found >= 0 && k < coefficients.dims[0]; c++)
      fail_unless (fabs (F32 (rows)[32 * found + c]
              - F32 (coefficients)[32 * k + c]) <= 1e-3,
          "coefficient %d of detection %d", c, k);
  }
  fail_unless (n_found >= boxes.dims[0] - 2, "%d of the best %d are there",
      n_found, (gint) boxes.dims[0]);
  g_free ((gpointer) rows.data);
}

/* How well the mask in @box has to agree: where an edge lies on the border of
 * two cells, rounding decides whether one more is cut off. */
static gdouble
least_iou (const gfloat * box)
{
  for (gint s = 0; s < 4; s++) {
    gdouble edge = box[s] * CELLS / SIZE;

    if (fabs (edge - rint (edge)) < 2e-3)
      return 0.9;
  }
  return 0.98;
}

/* Those of the last run, in whole pixels of @picture; with their masks if
 * @golden has some. */
static void
compare_detections (const CiSafetensors * golden, const gchar * prefix,
    CiPlan * plan, const CiPicture * picture)
{
  gsize n_pixels = (gsize) picture->width * picture->height;
  g_autofree gchar *masks_name = g_strconcat (prefix, ".masks_packed", NULL);
  g_autofree gfloat *boxes = g_new (gfloat, 4 * CAPACITY);
  g_autofree gdouble *mask_ious = g_new (gdouble, CAPACITY);
  g_autofree guint8 *masks = NULL;
  ZooLimits limits = ZOO_LIMITS;
  ZooDetections ours;
  CiDetections d;
  CiTensor t;

  ci_plan_get_detections (plan, &d);
  if (ci_safetensors_lookup (golden, masks_name, &t))
    masks = g_malloc (d.count * n_pixels + 1);
  for (gint i = 0; i < d.count; i++) {
    CiMaskGrid grid;

    mask_ious[i] = least_iou (d.boxes + 4 * i);
    for (gint s = 0; s < 4; s++) {
      gint side = s % 2 ? picture->height : picture->width;

      boxes[4 * i + s] = (gint) CLAMP (d.boxes[4 * i + s] / SIZE * side, 0,
          side);
    }
    fail_unless (ci_plan_get_mask (plan, i, &grid));
    if (masks)
      ci_mask_paste_bilinear (&grid, picture->width, picture->height,
          picture->width, picture->height, picture->width, picture->height,
          0.5f, masks + i * n_pixels);
  }
  limits.box = 1;
  ours = (ZooDetections) {
  d.count, boxes, d.scores, d.classes, masks, mask_ious};
  zoo_compare_detections (golden, prefix, &ours, &limits);
}

/* The masks' scores of the last run belong to boxes that are there. */
static void
compare_mask_scores (const CiSafetensors * golden, CiPlan * plan)
{
  CiTensor expected, scores, classes;
  gint n_found = 0;
  CiDetections d;

  ci_plan_get_detections (plan, &d);
  fail_unless_equals_int (d.mask_scores != NULL,
      ci_safetensors_lookup (golden, "det.mask_scores", &expected));
  if (!d.mask_scores)
    return;
  scores = golden_get (golden, "det.scores");
  classes = golden_get (golden, "det.classes");
  for (gint k = 0; k < expected.dims[0]; k++)
    for (gint i = 0; i < d.count; i++)
      if (d.classes[i] == ((const gint64 *) classes.data)[k]
          && fabs (d.scores[i] - F32 (scores)[k]) <= 1e-3
          && fabs (d.mask_scores[i] - F32 (expected)[k]) <= 1e-3) {
        n_found++;
        break;
      }
  fail_unless (n_found >= expected.dims[0] - 1,
      "%d mask scores of %d are the official ones", n_found,
      (gint) expected.dims[0]);
}

static void
run (CiPlan * plan, CiNms nms, gint limit, gfloat score_threshold)
{
  CiDetectParams params = { 0.05f, 0.5, 200, limit, NULL, 0, nms,
    score_threshold
  };
  g_autoptr (GError) error = NULL;

  fail_unless (ci_plan_run (plan, &params, &error), "%s",
      error ? error->message : "");
}

GST_START_TEST (test_variant)
{
  const gchar *name = variants[__i__ / 2].name;
  const gchar *image = __i__ % 2 ? "b" : "a";
  g_autofree gchar *file = g_strdup_printf ("yolact/%s.pth", name);
  g_autofree gchar *outputs = g_strdup_printf ("yolact/%s.%s", name, image);
  g_autofree gchar *png = g_strdup_printf (ZOO "images/%s.png", image);
  CiModel *model = zoo_load_model (file);
  CiSafetensors *golden = zoo_open (outputs);
  const CiConfig *config = ci_model_get_config (model);
  CiBuildOptions build = { CAPACITY, TRUE, TRUE };
  CiGraph *graph = ci_network_build (config, &build);
  CiPool *pool = ci_pool_new (2);
  CiPlanOptions options = { zoo_device ? CI_BACKEND_CUDA : CI_BACKEND_CPU,
    pool, SIZE, SIZE, TRUE, FALSE, zoo_device
  };
  g_autoptr (GError) error = NULL;
  CiPicture picture = { 0 };
  CiPlan *plan;

  fail_unless_equals_string (ci_model_get_architecture (model), "yolact");
  fail_unless (ci_picture_load (&picture, png, &error));
  plan = ci_plan_compile (graph, ci_model_get_weights (model), &options,
      &error);
  fail_unless (plan != NULL, "%s", error ? error->message : "");
  fill_input (config, &picture, ci_plan_get_input (plan));
  run (plan, CI_NMS_DEFAULT, 100, 0);
  compare_maps (golden, __i__ / 2, plan, config->n_classes);
  compare_all (golden, plan);
  run (plan, CI_NMS_DEFAULT, 100, 0.15f);
  compare_detections (golden, "det", plan, &picture);
  compare_mask_scores (golden, plan);
  run (plan, CI_NMS_FAST_CROSS_CLASS, CAPACITY, 0.15f);
  compare_detections (golden, "det_cross_class", plan, &picture);
  ci_plan_free (plan);
  ci_pool_free (pool);
  ci_graph_free (graph);
  ci_safetensors_free (golden);
  ci_picture_clear (&picture);
  ci_model_unref (model);
}

GST_END_TEST;

/* The same by a session, from the picture to instances and masks. */
GST_START_TEST (test_session)
{
  const gchar *name = variants[__i__].name;
  g_autofree gchar *file = g_strdup_printf ("yolact/%s.pth", name);
  g_autofree gchar *outputs = g_strdup_printf ("yolact/%s.b", name);
  CiModel *model = zoo_load_model (file);
  CiSafetensors *golden = zoo_open (outputs);
  CiSessionOptions options = CI_SESSION_OPTIONS_INIT;
  CiImageFormat format = { CI_PIXEL_RGB };
  g_autofree gint32 *classes = NULL;
  g_autofree gfloat *boxes = NULL, *scores = NULL;
  g_autofree guint8 *masks = NULL;
  g_autoptr (GError) error = NULL;
  const CiInstance *instances;
  CiPicture picture = { 0 };
  ZooLimits limits = ZOO_LIMITS;
  CiDetectParams params;
  CiSession *session;
  gsize n_pixels;
  gint n;

  options.full_map = TRUE;
  options.device = zoo_device;
  fail_unless (ci_picture_load (&picture, ZOO "images/b.png", &error));
  format.width = picture.width;
  format.height = picture.height;
  n_pixels = (gsize) picture.width * picture.height;
  session = ci_session_new (model, &options, &error);
  fail_unless (session && ci_session_configure (session, &format, &error));
  ci_session_get_detect_params (session, &params);
  params.score_threshold = 0.15f;
  fail_unless (ci_session_run (session, &(CiImage) { {picture.rgb},
          {picture.width * 3} }, &params, &instances, &n, &error), "%s",
      error ? error->message : "");
  boxes = g_new (gfloat, 4 * n + 1);
  scores = g_new (gfloat, n + 1);
  classes = g_new (gint32, n + 1);
  masks = g_malloc (n * n_pixels + 1);
  for (gint i = 0; i < n; i++) {
    const CiInstance *in = &instances[i];

    boxes[4 * i] = (gint) in->x0;
    boxes[4 * i + 1] = (gint) in->y0;
    boxes[4 * i + 2] = (gint) in->x1;
    boxes[4 * i + 3] = (gint) in->y1;
    scores[i] = in->score;
    classes[i] = in->class_id;
    fail_unless (i == 0 || in->score <= instances[i - 1].score);
    fail_unless (ci_session_paste_mask (session, in, 0.5f,
            masks + i * n_pixels, &error));
  }
  limits.box = 1;
  limits.score = 2e-3;
  /* the cells that are cut off are looked at above */
  limits.mask_iou = 0.95;
  /* of re-scored ones the goldens have another order */
  if (!ci_model_get_config (model)->yolact.rescore)
    zoo_compare_detections (golden, "det", &(ZooDetections) {
        n, boxes, scores, classes, masks}, &limits);
  else
    fail_unless (abs (n - (gint) golden_get (golden, "det.scores").dims[0])
        <= 2);
  ci_session_free (session);
  ci_safetensors_free (golden);
  ci_picture_clear (&picture);
  ci_model_unref (model);
}

GST_END_TEST;

static Suite *
zoo_suite (void)
{
  Suite *s = suite_create ("zoo");
  TCase *tc = tcase_create ("yolact");
  gboolean few = g_getenv ("PARITY_CASES") != NULL;
  gint last = G_N_ELEMENTS (variants) - 1;

  suite_add_tcase (s, tc);
  tcase_set_timeout (tc, 600);
  /* the last variant has everything */
  tcase_add_loop_test (tc, test_variant, few ? last * 2 + 1 : 0, last * 2 + 2);
  tcase_add_loop_test (tc, test_session, few ? last : 0, last + 1);
  return s;
}

int
main (int argc, char **argv)
{
  return zoo_run (argc, argv, zoo_suite);
}
