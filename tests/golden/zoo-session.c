/*
 * zoo-session.c: from a picture to instances in its pixels, as a user of a
 * session has it: the networks of the zoo against their official code's
 * outputs. Few of them with PARITY_CASES=small.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gst/check/gstcheck.h>
#include <string.h>

#include "compare_zoo.h"
#include "tools/condinst/picture.h"

typedef struct
{
  const gchar *checkpoint, *outputs;
  gint first_class;             /* of the official numbers */
  gint min_size, max_size;      /* 0: the model's */
  gfloat score_threshold;       /* 0: none but the model's own */
  gdouble box, mask_iou;        /* limits; 0: those of all */
  gboolean no_boxes;            /* has masks alone */
  gboolean vague;               /* so many cells of its masks, which were never
                                   trained, are near their threshold that in
                                   half precision they tell nothing */
} Variant;

static const Variant variants[] = {
  {"yolact/yolact_resnet50.pth", "yolact/yolact_resnet50", 0, 0, 0, 0.15f, 1,
      0.9},
  {"yolact/yolact_darknet53.pth", "yolact/yolact_darknet53", 0, 0, 0, 0.15f, 1,
      0.9},
  {"maskrcnn_d2/mask_rcnn_R_50_FPN.pkl", "maskrcnn_d2/mask_rcnn_R_50_FPN",
      .vague = TRUE},
  {"maskrcnn_torchvision/maskrcnn_resnet50_fpn.pth",
      "maskrcnn_torchvision/maskrcnn_resnet50_fpn", 1,.vague = TRUE},
  {"pointrend/pointrend_rcnn_R_50_FPN.pkl",
      "pointrend/pointrend_rcnn_R_50_FPN",.vague = TRUE},
  {"solo/solo_r50_fpn.pth", "solo/solo_r50_fpn", 0, 288, 416,.no_boxes = TRUE},
  {"solo/decoupled_solo_light_r50_fpn.pth",
        "solo/decoupled_solo_light_r50_fpn",.no_boxes = TRUE},
  {"solo/solov2_light_448_r18_fpn.pth",
        "solo/solov2_light_448_r18_fpn",.no_boxes = TRUE},
};

/* The probability that the grid of @in has at a position of the frame. */
static gfloat
grid_at (const CiInstance * in, gfloat x, gfloat y)
{
  gfloat u = (x - in->offset_x) / in->scale_x;
  gfloat v = (y - in->offset_y) / in->scale_y, p[2];
  gint w = in->grid_width, h = in->grid_height, i[2], j[2];

  if (u < 0 || v < 0 || u >= w || v >= h)
    return 0;
  u = CLAMP (u - 0.5f, 0, w - 1);
  v = CLAMP (v - 0.5f, 0, h - 1);
  i[0] = u;
  i[1] = MIN (i[0] + 1, w - 1);
  j[0] = v;
  j[1] = MIN (j[0] + 1, h - 1);
  for (gint k = 0; k < 2; k++) {
    const guint8 *row = in->grid + j[k] * w;

    p[k] = row[i[0]] + (row[i[1]] - row[i[0]]) * (u - i[0]);
  }
  return (p[0] + (p[1] - p[0]) * (v - j[0])) / 255;
}

/* Adds the pixels that both the grid, which elements draw, and the exact mask
 * have, and those that any of the two has. */
static void
compare_grid (const CiInstance * in, const guint8 * mask, gint width,
    gint height, gint64 * n_both, gint64 * n_any)
{
  for (gint y = 0; y < height; y++)
    for (gint x = 0; x < width; x++) {
      gboolean drawn = grid_at (in, x + 0.5f, y + 0.5f) > 0.5f;
      gboolean exact = mask[y * width + x];

      *n_both += drawn && exact;
      *n_any += drawn || exact;
    }
}

/* In half precision, scores and boxes move, and with them what is above a
 * threshold or suppressed. */
static void
loosen (const Variant * v, ZooLimits * limits)
{
  limits->score = 0.15;
  limits->box = 8;
  limits->mask_iou = v->vague ? 0 : 0.8;
  limits->strays = 10;
}

static void
compare (const Variant * v, const CiSafetensors * golden, CiSession * session,
    const CiInstance * instances, gint n, gint width, gint n_pixels)
{
  g_autofree gfloat *boxes = g_new (gfloat, 4 * n + 1);
  g_autofree gfloat *scores = g_new (gfloat, n + 1);
  g_autofree gint32 *classes = g_new (gint32, n + 1);
  g_autofree guint8 *masks = g_malloc ((gsize) n * n_pixels + 1);
  ZooDetections ours = { n, v->no_boxes ? NULL : boxes, scores, classes,
    masks
  };
  ZooLimits limits = ZOO_LIMITS;
  gint64 n_both = 0, n_any = 0;
  GError *error = NULL;

  for (gint i = 0; i < n; i++) {
    memcpy (boxes + 4 * i, &instances[i].x0, 4 * sizeof (gfloat));
    scores[i] = instances[i].score;
    classes[i] = instances[i].class_id + v->first_class;
    fail_unless (ci_session_paste_mask (session, &instances[i], 0.5f,
            masks + (gsize) i * n_pixels, &error), "%s",
        error ? error->message : "");
    compare_grid (&instances[i], masks + (gsize) i * n_pixels, width,
        n_pixels / width, &n_both, &n_any);
  }
  /* they differ at edges only; half a cell beside it, 0.8 are left */
  fail_unless (n_both > 0.96 * n_any, "%s: drawn masks agree in %.3f of their "
      "pixels", v->outputs, n_both / (gdouble) MAX (n_any, 1));
  limits.by_mask = v->no_boxes;
  limits.box = v->box > 0 ? v->box : limits.box;
  limits.mask_iou = v->mask_iou > 0 ? v->mask_iou : limits.mask_iou;
  if (zoo_half)
    loosen (v, &limits);
  zoo_compare_detections (golden, "det", &ours, &limits);
}

GST_START_TEST (test_variant)
{
  const Variant *v = &variants[__i__ / 2];
  const gchar letter = "ab"[__i__ % 2];
  g_autofree gchar *outputs = g_strdup_printf ("%s.%c", v->outputs, letter);
  g_autofree gchar *png = g_strdup_printf (ZOO "images/%c.png", letter);
  CiModel *model = zoo_load_model (v->checkpoint);
  CiSafetensors *golden = zoo_open (outputs);
  CiSessionOptions options = CI_SESSION_OPTIONS_INIT;
  CiImageFormat format = { CI_PIXEL_RGB };
  CiPicture picture = { 0 };
  GError *error = NULL;
  const CiInstance *instances;
  CiDetectParams params;
  CiSession *session;
  gint n;

  fail_unless (ci_picture_load (&picture, png, &error));
  format.width = picture.width;
  format.height = picture.height;
  options.threads = 2;
  options.device = zoo_device;
  options.precision = zoo_half ? CI_PRECISION_FP16 : CI_PRECISION_FP32;
  options.full_map = TRUE;
  options.min_size = v->min_size;
  options.max_size = v->max_size;
  session = ci_session_new (model, &options, &error);
  fail_unless (session && ci_session_configure (session, &format, &error),
      "%s", error ? error->message : "");
  ci_session_get_detect_params (session, &params);
  if (v->score_threshold > 0)
    ci_session_set_score_threshold (session, &params, v->score_threshold);
  fail_unless (ci_session_run (session, &(CiImage) { {picture.rgb},
              {picture.width * 3} }, &params, &instances, &n, &error), "%s",
      error ? error->message : "");
  compare (v, golden, session, instances, n, picture.width,
      picture.width * picture.height);
  ci_session_free (session);
  ci_safetensors_free (golden);
  ci_picture_clear (&picture);
  ci_model_unref (model);
}

GST_END_TEST;

static Suite *
zoo_suite (void)
{
  Suite *s = suite_create ("zoo-session");
  TCase *tc = tcase_create ("golden");
  gboolean few = g_getenv ("PARITY_CASES") != NULL;

  suite_add_tcase (s, tc);
  tcase_set_timeout (tc, 300);
  /* those whose masks are in boxes */
  tcase_add_loop_test (tc, test_variant, few ? 6 : 0, few ? 10
      : 2 * G_N_ELEMENTS (variants));
  return s;
}

int
main (int argc, char **argv)
{
  return zoo_run (argc, argv, zoo_suite);
}
