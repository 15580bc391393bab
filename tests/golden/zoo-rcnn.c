/*
 * zoo-rcnn.c: Mask R-CNN and PointRend against the outputs of torchvision and
 * detectron2. On a GPU in single precision; few with PARITY_CASES=small.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gst/check/gstcheck.h>
#include <math.h>
#include <string.h>

#include "compare_zoo.h"
#include "kernels/plan.h"
#include "models/method.h"
#include "tools/condinst/picture.h"

#define I64(tensor) ((const gint64 *) (tensor).data)

typedef void (*PasteFunc) (const gfloat * prob, gint size,
    const gfloat box[4], gint frame_width, gint frame_height,
    gfloat threshold, guint8 * dst);

static const struct
{
  const gchar *stem;
  PasteFunc paste;
} paste_cases[] = {
  {"maskrcnn_torchvision/maskrcnn_resnet50_fpn", ci_mask_paste_pixel_box},
  {"maskrcnn_d2/mask_rcnn_R_50_FPN", ci_mask_paste_box},
};

/* The official masks of the first three detections from their soft maps. */
static void
check_pastes (const gchar * path, PasteFunc paste)
{
  CiSafetensors *file = golden_open (path);
  CiTensor prob = golden_get (file, "inst.mask_probs_first3");
  CiTensor boxes = golden_get (file, "det.boxes");
  CiTensor packed = golden_get (file, "det.masks_packed");
  CiTensor hw = golden_get (file, "det.image_hw");
  gint h = ((const gint64 *) hw.data)[0], w = ((const gint64 *) hw.data)[1];
  gint size = prob.dims[1];
  g_autofree guint8 *mask = g_malloc (h * w);

  for (gint i = 0; i < prob.dims[0]; i++) {
    const guint8 *bits = (const guint8 *) packed.data + i * packed.dims[1];
    gint n_wrong = 0, n_set = 0;

    paste (F32 (prob) + i * size * size, size, F32 (boxes) + 4 * i, w, h, 0.5f,
        mask);
    for (gint k = 0; k < h * w; k++) {
      n_wrong += mask[k] != (bits[k / 8] >> (7 - k % 8) & 1);
      n_set += mask[k];
    }
    fail_unless (!n_wrong && n_set > 100, "%s: mask %d: %d of %d pixels",
        path, i, n_wrong, n_set);
  }
  ci_safetensors_free (file);
}

GST_START_TEST (test_paste)
{
  for (gint image = 0; image < 2; image++) {
    g_autofree gchar *path = g_strdup_printf (ZOO "%s.%c.safetensors",
        paste_cases[__i__].stem, 'a' + image);

    check_pastes (path, paste_cases[__i__].paste);
  }
}

GST_END_TEST;

/* ---- networks ------------------------------------------------------------ */

typedef struct
{
  const gchar *checkpoint, *stem;
  const gchar *backbone;        /* of the taps of res2 to res5, .. */
  gint first;                   /* and their first number */
  const gchar *const *levels;
  gdouble probability;          /* how far a mask's may be from official */
} Variant;

static const gchar *const detectron2_levels[] = { "fpn.p2", "fpn.p3", "fpn.p4",
  "fpn.p5", "fpn.p6"
};
static const gchar *const torchvision_levels[] = { "fpn.0", "fpn.1", "fpn.2",
  "fpn.3", "fpn.pool"
};

static const Variant variants[] = {
  {"maskrcnn_d2/mask_rcnn_R_50_FPN.pkl", "maskrcnn_d2/mask_rcnn_R_50_FPN",
      "bottom_up.res", 2, detectron2_levels, 1e-3},
  {"maskrcnn_torchvision/maskrcnn_resnet50_fpn.pth",
        "maskrcnn_torchvision/maskrcnn_resnet50_fpn", "body.", 0,
      torchvision_levels, 2e-3},
  {"pointrend/pointrend_rcnn_R_50_FPN.pkl",
        "pointrend/pointrend_rcnn_R_50_FPN", "bottom_up.res", 2,
      detectron2_levels, 1e-3},
};

/* One image in a network. */
typedef struct
{
  const Variant *variant;
  const CiConfig *config;
  CiSafetensors *golden;
  CiPicture picture;
  gint width, height;           /* of the picture in the input */
  CiPlan *plan;
} Run;

/* The picture as the official code resizes and normalises it. */
static void
fill_input (const Run * r, gint padded_width, gint padded_height)
{
  const CiImageFormat format = { CI_PIXEL_RGB, r->picture.width,
    r->picture.height
  };
  CiPreprocessOptions options = { r->width, r->height, padded_width,
    padded_height, r->config->input.rgb,.quality =
        r->config->rcnn.torchvision ? CI_RESIZE_FAST : CI_RESIZE_EXACT
  };
  CiPreprocess *pre;

  memcpy (options.mean, r->config->input.pixel_mean, sizeof options.mean);
  memcpy (options.std, r->config->input.pixel_std, sizeof options.std);
  pre = ci_preprocess_new (&format, &options, NULL);
  fail_unless (pre != NULL);
  ci_preprocess_run (pre, &(CiImage) { {r->picture.rgb}, {r->picture.width
              * 3} }, ci_plan_get_input (r->plan), NULL);
  ci_preprocess_free (pre);
}

static void
run_network (Run * r, const CiWeights * weights)
{
  CiTensor hw = golden_get (r->golden, "input.valid_hw");
  CiGraph *graph = ci_network_build (r->config, NULL);
  CiPool *pool = ci_pool_new (0);
  CiPlanOptions options = {
    .backend = zoo_device ? CI_BACKEND_CUDA : CI_BACKEND_CPU,.pool = pool,
    .keep_named = TRUE,.device = zoo_device
  };
  CiDetectParams params = {
    r->config->inference.inference_threshold,
    r->config->inference.nms_threshold, 1000, 100
  };
  g_autoptr (GError) error = NULL;

  params.frame_height = r->height = I64 (hw)[0];
  params.frame_width = r->width = I64 (hw)[1];
  options.height = (r->height + 31) / 32 * 32;
  options.width = (r->width + 31) / 32 * 32;
  r->plan = ci_plan_compile (graph, weights, &options, &error);
  fail_unless (r->plan != NULL, "%s", error ? error->message : "");
  fill_input (r, options.width, options.height);
  fail_unless (ci_plan_run (r->plan, &params, &error), "%s",
      error ? error->message : "");
  ci_graph_free (graph);
  ci_pool_free (pool);
}

/* Items of one cell as rows. The order of proposals whose scores hardly differ
 * is anybody's, so a few rows are others. */
static void
compare_rows (const Run * r, const gchar * name)
{
  g_autofree gchar *val = g_strconcat (name, ".val", NULL);
  g_autofree gchar *idx = g_strconcat (name, ".idx", NULL);
  g_autofree gchar *stats = g_strconcat (name, ".stats", NULL);
  CiTensor values = golden_get (r->golden, val), t;
  CiTensor index = golden_get (r->golden, idx);
  const gfloat *s = F32 (golden_get (r->golden, stats));
  gdouble limit = 1e-3 * MAX (fabs (s[2]), fabs (s[3])), sum = 0;
  gint n_others = 0;
  gsize n;

  fail_unless (ci_plan_read (r->plan, name, &t));
  n = ci_tensor_n_elements (&t);
  for (gint i = 0; i < values.dims[0]; i++)
    n_others += fabs (F32 (t)[I64 (index)[i]] - F32 (values)[i]) > limit;
  fail_unless (n_others <= values.dims[0] / 8, "%s: %d of %d values differ",
      name, n_others, (gint) values.dims[0]);
  for (gsize i = 0; i < n; i++)
    sum += F32 (t)[i];
  fail_unless (fabs (sum / n - s[0]) <= limit, "%s: mean %g, official %g",
      name, sum / n, s[0]);
  g_free ((gpointer) t.data);
}

static void
compare_maps (const Run * r)
{
  const gdouble tolerance = 1e-4;

  zoo_compare_value (r->golden, "input", r->plan, "input", 1e-6);
  for (gint i = 0; i < 4; i++) {
    g_autofree gchar *name = g_strdup_printf ("%s%d", r->variant->backbone,
        r->variant->first + i);
    g_autofree gchar *value = g_strdup_printf ("feat.res%d", i + 2);

    zoo_compare_value (r->golden, name, r->plan, value,
        tolerance);
  }
  for (gint l = 0; l < 5; l++) {
    g_autofree gchar *value = g_strdup_printf ("feat.p%d", l + 2);
    g_autofree gchar *logits = g_strdup_printf ("rpn.objectness.%d", l);
    g_autofree gchar *deltas = g_strdup_printf ("rpn.deltas.%d", l);

    zoo_compare_value (r->golden, r->variant->levels[l], r->plan, value,
        tolerance);
    zoo_compare_value (r->golden, logits, r->plan, logits, tolerance);
    zoo_compare_value (r->golden, deltas, r->plan, deltas, tolerance);
  }
}

/* The best hundred, in their order but for what hardly differs. */
static void
compare_proposals (const Run * r)
{
  CiTensor boxes = golden_get (r->golden, "rpn.proposals_first100");
  const CiDetectionBuffer *ours = NULL;
  gint n_found = 0;

  for (guint i = 0; i < r->plan->graph->nodes->len; i++)
    if (ci_graph_node (r->plan->graph, i)->op == CI_OP_RPN)
      ours = &r->plan->buffers[i].detections;
  fail_unless_equals_int64 (ours->count, I64 (golden_get (r->golden,
              "rpn.num_proposals"))[0]);
  for (gint i = 0; i < boxes.dims[0]; i++) {
    gboolean found = FALSE;

    for (gint k = MAX (i - 3, 0); k < i + 4 && !found; k++) {
      found = TRUE;
      for (gint s = 0; s < 4; s++)
        found &= fabs (ours->boxes[4 * k + s] - F32 (boxes)[4 * i + s])
            <= 0.05;
    }
    n_found += found;
  }
  fail_unless (n_found >= boxes.dims[0] - 1, "%d of %d proposals are there",
      n_found, (gint) boxes.dims[0]);
}

/* What masks are made of. */
static void
compare_mask_features (const Run * r)
{
  CiTensor t;

  if (ci_plan_read (r->plan, "mask.coarse", &t)) {
    t.dims[1] /= 49;
    t.dims[2] = t.dims[3] = 7;
    zoo_compare_tap (r->golden, "mask.coarse", &t, 1e-3);
  } else {
    fail_unless (ci_plan_read (r->plan, "mask.pooled", &t));
    zoo_compare_tap (r->golden, "mask.pooled", &t, 1e-3);
  }
  g_free ((gpointer) t.data);
}

/* The cells of mask @index; a GPU gives bytes. Free with g_free. */
static gfloat *
get_mask (const Run * r, gint index, CiMaskGrid * grid)
{
  gsize n;
  gfloat *out;

  fail_unless (ci_plan_get_mask (r->plan, index, grid));
  n = (gsize) grid->width * grid->height;
  out = g_new (gfloat, n);
  for (gsize i = 0; i < n; i++)
    out[i] = grid->prob ? grid->prob[i] : grid->cells[i] / 255.0f;
  return out;
}

/* Soft masks of the first detections. */
static void
compare_probabilities (const Run * r)
{
  gdouble limit = r->variant->probability + (zoo_device ? 0.5 / 255 : 0);
  g_autofree gfloat *maps = NULL;
  CiMaskGrid grid;
  CiTensor t, whole;
  gsize n;

  fail_unless (ci_plan_get_mask (r->plan, 0, &grid));
  n = (gsize) grid.width * grid.height;
  maps = g_new (gfloat, 3 * n);
  for (gint i = 0; i < 3; i++) {
    g_autofree gfloat *prob = get_mask (r, i, &grid);

    memcpy (maps + i * n, prob, n * sizeof (gfloat));
  }
  t = (CiTensor) {
  CI_DTYPE_F32, 3, {3, grid.height, grid.width}, maps};
  if (!ci_safetensors_lookup (r->golden, "inst.mask_probs_first3", &whole))
    zoo_compare_tap (r->golden, "inst.mask_probs_first3", &t, limit);
  else
    for (gsize i = 0; i < 3 * n; i++)
      fail_unless (fabs (maps[i] - F32 (whole)[i]) <= limit,
          "cell %u: %g, official %g", (guint) i, maps[i], F32 (whole)[i]);
}

static void
compare_detections (const Run * r)
{
  gint w = r->picture.width, h = r->picture.height;
  gsize n_pixels = (gsize) w * h;
  PasteFunc paste = r->config->rcnn.torchvision ? ci_mask_paste_pixel_box
      : ci_mask_paste_box;
  ZooLimits limits = ZOO_LIMITS;
  g_autofree gfloat *boxes = NULL;
  g_autofree gint32 *classes = NULL;
  g_autofree guint8 *masks = NULL;
  CiDetections d;

  ci_plan_get_detections (r->plan, &d);
  boxes = g_new (gfloat, 4 * d.count);
  classes = g_new (gint32, d.count);
  masks = g_malloc (d.count * n_pixels + 1);
  for (gint i = 0; i < d.count; i++) {
    g_autofree gfloat *prob = NULL;
    CiMaskGrid grid;

    classes[i] = d.classes[i] + r->config->rcnn.torchvision;
    for (gint s = 0; s < 4; s++)
      boxes[4 * i + s] = d.boxes[4 * i + s]
          * (s % 2 ? (gdouble) h / r->height : (gdouble) w / r->width);
    prob = get_mask (r, i, &grid);
    fail_unless (grid.in_box);
    paste (prob, grid.width, boxes + 4 * i, w, h, 0.5f,
        masks + i * n_pixels);
  }
  zoo_compare_detections (r->golden, "det", &(ZooDetections) {
      d.count, boxes, d.scores, classes, masks}, &limits);
}

GST_START_TEST (test_network)
{
  const Variant *variant = &variants[__i__ / 2];
  g_autofree gchar *stem = g_strdup_printf ("%s.%c", variant->stem,
      'a' + __i__ % 2);
  g_autofree gchar *png = g_strdup_printf (ZOO "images/%c.png",
      'a' + __i__ % 2);
  g_autoptr (CiModel) model = zoo_load_model (variant->checkpoint);
  Run r = { variant, ci_model_get_config (model), zoo_open (stem) };

  fail_unless (ci_picture_load (&r.picture, png, NULL));
  run_network (&r, ci_model_get_weights (model));
  compare_maps (&r);
  /* a GPU keeps them */
  if (!zoo_device)
    compare_proposals (&r);
  compare_rows (&r, "box.features");
  compare_rows (&r, "box.cls_logits");
  compare_rows (&r, "box.deltas");
  compare_detections (&r);
  compare_mask_features (&r);
  /* rounding decides which points PointRend draws */
  if (!zoo_device || r.config->architecture != CI_ARCHITECTURE_POINTREND)
    compare_probabilities (&r);
  ci_plan_free (r.plan);
  ci_picture_clear (&r.picture);
  ci_safetensors_free (r.golden);
}

GST_END_TEST;

/* The same from the picture to masks, as applications have it. */
GST_START_TEST (test_session)
{
  const Variant *variant = &variants[__i__ / 2];
  g_autofree gchar *stem = g_strdup_printf ("%s.%c", variant->stem,
      'a' + __i__ % 2);
  g_autofree gchar *png = g_strdup_printf (ZOO "images/%c.png",
      'a' + __i__ % 2);
  g_autoptr (CiModel) model = zoo_load_model (variant->checkpoint);
  gboolean torchvision = ci_model_get_config (model)->rcnn.torchvision;
  CiSafetensors *golden = zoo_open (stem);
  CiSessionOptions options = CI_SESSION_OPTIONS_INIT;
  ZooLimits limits = ZOO_LIMITS;
  CiImageFormat format = { CI_PIXEL_RGB };
  const CiInstance *found;
  g_autoptr (GError) error = NULL;
  g_autofree gfloat *boxes = NULL, *scores = NULL;
  g_autofree gint32 *classes = NULL;
  g_autofree guint8 *masks = NULL;
  CiPicture picture = { 0 };
  CiSession *session;
  gsize n_pixels;
  gint n;

  fail_unless (ci_picture_load (&picture, png, NULL));
  format.width = picture.width;
  format.height = picture.height;
  n_pixels = (gsize) picture.width * picture.height;
  options.device = zoo_device;
  options.precision = CI_PRECISION_FP32;
  session = ci_session_new (model, &options, &error);
  fail_unless (session && ci_session_configure (session, &format, &error)
      && ci_session_run (session, &(CiImage) { {picture.rgb}, {picture.width
                  * 3} }, NULL, &found, &n, &error), "%s",
      error ? error->message : "");
  boxes = g_new (gfloat, 4 * n);
  scores = g_new (gfloat, n);
  classes = g_new (gint32, n);
  masks = g_malloc (n * n_pixels);
  for (gint i = 0; i < n; i++) {
    memcpy (boxes + 4 * i, &found[i].x0, 4 * sizeof (gfloat));
    scores[i] = found[i].score;
    classes[i] = found[i].class_id + torchvision;
    fail_unless (found[i].grid != NULL);
    fail_unless (ci_session_paste_mask (session, &found[i], 0.5f,
            masks + i * n_pixels, NULL));
  }
  zoo_compare_detections (golden, "det", &(ZooDetections) {
      n, boxes, scores, classes, masks}, &limits);
  ci_session_free (session);
  ci_picture_clear (&picture);
  ci_safetensors_free (golden);
}

GST_END_TEST;

static Suite *
rcnn_suite (void)
{
  Suite *s = suite_create ("zoo-rcnn");
  TCase *tc = tcase_create ("golden");
  gboolean few = g_getenv ("PARITY_CASES") != NULL;

  suite_add_tcase (s, tc);
  tcase_set_timeout (tc, 300);
  tcase_add_loop_test (tc, test_paste, 0, G_N_ELEMENTS (paste_cases));
  tcase_add_loop_test (tc, test_network, few ? 2 : 0, few ? 5
      : 2 * G_N_ELEMENTS (variants));
  tcase_add_loop_test (tc, test_session, few ? 1 : 0, few ? 2
      : 2 * G_N_ELEMENTS (variants));
  return s;
}

int
main (int argc, char **argv)
{
  return zoo_run (argc, argv, rcnn_suite);
}
