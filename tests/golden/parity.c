/*
 * parity.c: the official code's outputs, for the whole network and for single
 * steps, at the tolerances of golden/README.md.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gst/check/gstcheck.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

#include "golden_weights.h"
#include "models/config.h"
#include "tools/condinst/picture.h"

#define GOLDEN SHARED_DIR "/golden/"

static CiSafetensors *
open_golden (const gchar * path)
{
  g_autoptr (GError) error = NULL;
  CiSafetensors *file = ci_safetensors_open (path, &error);

  fail_unless (file != NULL, "%s", error ? error->message : "");
  return file;
}

static CiTensor
get (const CiSafetensors * file, const gchar * name)
{
  CiTensor t;

  fail_unless (ci_safetensors_lookup (file, name, &t), "no tensor %s", name);
  return t;
}

#define F32(tensor) ((const gfloat *) (tensor).data)
#define I32(tensor) ((const gint32 *) (tensor).data)

/* ---- a whole network ---------------------------------------------------- */

typedef struct
{
  const CiWeights *weights;
  GPtrArray *names;
  GArray *tensors;
} Collect;

static void
collect_tensor (const gchar * name, gint n_dims, const gint64 * dims,
    gpointer user_data)
{
  Collect *c = user_data;
  CiTensor t;

  fail_unless (c->weights->lookup (c->weights, name, &t), "no tensor %s",
      name);
  g_ptr_array_add (c->names, g_strdup (name));
  g_array_append_val (c->tensors, t);
}

/* Writes the generated weights of @dir as a model file of the architecture
 * @like, so that the path from a file on disk is tested, too. */
static void
write_model (const gchar * dir, const gchar * like, const gchar * path)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CiModel) model = ci_model_load (like, &error);
  g_autofree gchar *json = NULL;
  const gchar *metadata[] = { "condinst", NULL, NULL };
  Collect c = { golden_weights_load (dir, &error),
    g_ptr_array_new_with_free_func (g_free),
    g_array_new (FALSE, FALSE, sizeof (CiTensor))
  };
  CiGraph *graph;

  fail_unless (model && c.weights, "%s", error ? error->message : "");
  graph = ci_network_build (ci_model_get_config (model), 100, TRUE, TRUE);
  ci_graph_foreach_tensor (graph, collect_tensor, &c);
  metadata[1] = json = ci_config_to_json (ci_model_get_config (model));
  fail_unless (ci_safetensors_write (path,
          (const gchar * const *) c.names->pdata, (CiTensor *) c.tensors->data,
          c.tensors->len, metadata, &error), "%s", error ? error->message
      : "");
  ci_graph_free (graph);
  g_ptr_array_unref (c.names);
  g_array_unref (c.tensors);
  golden_weights_free ((CiWeights *) c.weights);
}

/* @name against its sub-sampled and summed-up golden twin. @noise: what the
 * official float32 run differs by from a float64 one. */
static void
compare_dense (const CiSafetensors * ours, const CiSafetensors * golden,
    JsonObject * strides, const gchar * name, gdouble tolerance)
{
  g_autofree gchar *sub_name = g_strconcat (name, ".sub", NULL);
  g_autofree gchar *stats_name = g_strconcat (name, ".stats", NULL);
  CiTensor t = get (ours, name), sub = get (golden, sub_name);
  const gdouble *stats = get (golden, stats_name).data;
  JsonArray *s = json_object_get_array_member (strides, name);
  gint64 sc = json_array_get_int_element (s, 1);
  gint64 sh = json_array_get_int_element (s, 2);
  gint64 sw = json_array_get_int_element (s, 3), i = 0;
  gdouble worst = 0, sum = 0, norm = 0;
  gsize n = ci_tensor_n_elements (&t);

  if (tolerance < 0)            /* relative to the spread */
    tolerance = -tolerance * MAX (stats[1], 1e-3);
  for (gint64 c = 0; c < t.dims[1]; c += sc)
    for (gint64 y = 0; y < t.dims[2]; y += sh)
      for (gint64 x = 0; x < t.dims[3]; x += sw, i++) {
        gdouble d = fabs (F32 (t)[(c * t.dims[2] + y) * t.dims[3] + x]
            - F32 (sub)[i]);

        worst = MAX (worst, d);
        sum += d;
      }
  fail_unless_equals_int64 (i, ci_tensor_n_elements (&sub));
  fail_unless (worst <= tolerance, "%s: differs by %g, allowed %g", name,
      worst, tolerance);
  fail_unless (sum / i <= tolerance / 10, "%s: mean difference %g", name,
      sum / i);
  /* all the positions that the sample leaves out */
  for (gsize k = 0; k < n; k++)
    norm += (gdouble) F32 (t)[k] * F32 (t)[k];
  fail_unless (fabs (sqrt (norm) - stats[5]) <= 1e-4 * stats[5] + 1e-6,
      "%s: norm %g, official %g", name, sqrt (norm), stats[5]);
}

static gint
find_detection (const CiSafetensors * golden, const CiTensor * level,
    const CiTensor * cell, const CiTensor * cls, gint i)
{
  CiTensor l = get (golden, "pre.level"), p = get (golden, "pre.loc_index");
  CiTensor c = get (golden, "pre.classes");

  for (gint k = 0; k < l.dims[0]; k++)
    if (I32 (l)[k] == I32 (*level)[i] && I32 (p)[k] == I32 (*cell)[i]
        && I32 (c)[k] == I32 (*cls)[i])
      return k;
  return -1;
}

static gboolean
near_box (const gfloat * a, const gfloat * b)
{
  for (gint k = 0; k < 4; k++)
    if (fabs (a[k] - b[k]) > 0.05 + 1e-3 * fabs (b[k]))
      return FALSE;
  return TRUE;
}

/* The same set before the filter of empty boxes; @index maps ours to theirs. */
static void
compare_detections (const CiSafetensors * ours, const CiSafetensors * golden,
    gdouble param_tolerance, gint * index)
{
  CiTensor boxes = get (ours, "pre.boxes"), params = get (ours, "pre.params");
  CiTensor scores = get (ours, "pre.scores"), cls = get (ours, "pre.classes");
  CiTensor level = get (ours, "pre.level"), cell = get (ours, "pre.loc_index");
  CiTensor loc = get (ours, "pre.loc");
  CiTensor gboxes = get (golden, "pre.boxes");
  CiTensor gparams = get (golden, "pre.params");
  CiTensor gscores = get (golden, "pre.scores");
  CiTensor gloc = get (golden, "pre.loc");
  gint64 n_params = gparams.dims[1];

  fail_unless_equals_int64 (boxes.dims[0], gboxes.dims[0]);
  fail_unless_equals_int64 (params.dims[1], n_params);
  for (gint i = 0; i < boxes.dims[0]; i++) {
    gint k = index[i] = find_detection (golden, &level, &cell, &cls, i);

    fail_unless (k >= 0, "detection %d (level %d, cell %d, class %d) is not "
        "an official one", i, I32 (level)[i], I32 (cell)[i], I32 (cls)[i]);
    fail_unless (fabs (F32 (scores)[i] - F32 (gscores)[k]) <= 1e-3);
    fail_unless (near_box (F32 (boxes) + 4 * i, F32 (gboxes) + 4 * k),
        "box %d", i);
    fail_unless (F32 (loc)[2 * i] == F32 (gloc)[2 * k]
        && F32 (loc)[2 * i + 1] == F32 (gloc)[2 * k + 1]);
    for (gint64 p = 0; p < n_params; p++)
      fail_unless (fabs (F32 (params)[i * n_params + p] - F32 (gparams)[k
                  * n_params + p]) <= param_tolerance,
          "parameter %d of detection %d: %g, official %g", (gint) p, i,
          F32 (params)[i * n_params + p], F32 (gparams)[k * n_params + p]);
  }
}

static void
compare_final (const CiSafetensors * ours, const CiSafetensors * golden,
    const gint * index)
{
  CiTensor from = get (ours, "det.from_pre");
  CiTensor gfrom = get (golden, "det.from_pre");
  CiTensor boxes = get (ours, "det.boxes"), gboxes = get (golden, "det.boxes");
  CiTensor cls = get (ours, "det.classes");
  CiTensor gcls = get (golden, "det.classes");
  CiTensor bits = get (ours, "mask.bits"), gbits = get (golden, "mask.bits");
  CiTensor near = get (golden, "mask.near1e-2");
  gint64 n_bytes = gbits.dims[1];

  fail_unless_equals_int64 (from.dims[0], gfrom.dims[0]);
  fail_unless_equals_int64 (bits.dims[1], n_bytes);
  for (gint i = 0; i < from.dims[0]; i++) {
    const guint8 *a = (const guint8 *) bits.data + i * n_bytes, *b;
    gint k = 0, inter = 0, both = 0, differing = 0;

    while (k < gfrom.dims[0] && I32 (gfrom)[k] != index[I32 (from)[i]])
      k++;
    fail_unless (k < gfrom.dims[0], "instance %d is not an official one", i);
    fail_unless (near_box (F32 (boxes) + 4 * i, F32 (gboxes) + 4 * k),
        "final box %d", i);
    fail_unless_equals_int (I32 (cls)[i], I32 (gcls)[k]);
    b = (const guint8 *) gbits.data + k * n_bytes;
    for (gint64 p = 0; p < n_bytes; p++) {
      inter += __builtin_popcount (a[p] & b[p]);
      both += __builtin_popcount (a[p] | b[p]);
      differing += __builtin_popcount (a[p] ^ b[p]);
    }
    fail_unless (differing <= I32 (near)[k], "mask %d: %d pixels differ, %d "
        "are near the threshold", i, differing, I32 (near)[k]);
    if (both > 200)
      fail_unless (inter > 0.99 * both, "mask %d", i);
  }
}

static const gchar *const condinst_tensors[] = {
  "input", "feat.res3", "feat.res4", "feat.res5", "feat.p3", "feat.p4",
  "feat.p5", "feat.p6", "feat.p7", "mask.feats"
};

static void
run_image (const gchar * dir, CiModel * model, JsonObject * root, guint index,
    const gchar * dump)
{
  JsonArray *images = json_object_get_array_member (root, "images");
  JsonObject *image = json_array_get_object_element (images, index);
  /* the noise was measured for the first image */
  JsonObject *noise = json_object_get_object_member
      (json_array_get_object_element (images, 0), "fp32_vs_fp64_maxabs");
  JsonObject *strides = json_object_get_object_member (image,
      "sub_strides_nchw");
  g_autofree gchar *png = g_strdup_printf ("%s/%s", dir,
      json_object_get_string_member (image, "image"));
  g_autofree gchar *file = g_strdup_printf ("%s/img%u.safetensors", dir,
      index);
  CiSessionOptions options = CI_SESSION_OPTIONS_INIT;
  CiImageFormat format = { CI_PIXEL_RGB };
  g_autoptr (GError) error = NULL;
  const CiInstance *instances;
  CiPicture picture = { 0 };
  CiSession *session;
  CiSafetensors *ours, *golden;
  gint n, map[100];

  options.min_size = json_object_get_int_member (image, "min_size_test");
  options.max_size = json_object_get_int_member (image, "max_size_test");
  options.full_map = options.keep_tensors = TRUE;
  fail_unless (ci_picture_load (&picture, png, &error));
  format.width = picture.width;
  format.height = picture.height;
  session = ci_session_new (model, &options, &error);
  fail_unless (session && ci_session_configure (session, &format, &error)
      && ci_session_run (session, &(CiImage) { {picture.rgb}, {picture.width
                  * 3} }, NULL, &instances, &n, &error)
      && ci_session_dump (session, dump, &error), "%s",
      error ? error->message : "");
  ours = open_golden (dump);
  golden = open_golden (file);

  for (guint i = 0; i < G_N_ELEMENTS (condinst_tensors); i++) {
    const gchar *name = condinst_tensors[i];
    gdouble tolerance = -5e-4;

    if (!strcmp (name, "input"))
      tolerance = 1e-4;
    else if (!strcmp (name, "mask.feats"))
      tolerance = 10 * json_object_get_double_member (noise, "mask");
    else if (json_object_has_member (noise, name + 5))
      tolerance = 10 * json_object_get_double_member (noise, name + 5);
    compare_dense (ours, golden, strides, name, tolerance);
  }
  for (gint l = 0; l < 5; l++)
    for (guint k = 0; k < 4; k++) {
      static const gchar *const kinds[] = { "logits", "reg", "ctr", "top" };
      g_autofree gchar *name = g_strdup_printf ("head.%d.%s", l, kinds[k]);

      compare_dense (ours, golden, strides, name, 10
          * json_object_get_double_member (noise, kinds[k]));
    }
  compare_detections (ours, golden, 10
      * json_object_get_double_member (noise, "top"), map);
  compare_final (ours, golden, map);
  fail_unless_equals_int (n, get (golden, "det.boxes").dims[0]);

  ci_safetensors_free (ours);
  ci_safetensors_free (golden);
  ci_session_free (session);
  ci_picture_clear (&picture);
}

GST_START_TEST (test_condinst_r50)
{
  const gchar *dir = GOLDEN "condinst_r50_full";
  g_autofree gchar *tmp = g_dir_make_tmp ("condinst-parity-XXXXXX", NULL);
  g_autofree gchar *path = g_build_filename (tmp, "r50.safetensors", NULL);
  g_autofree gchar *dump = g_build_filename (tmp, "dump.safetensors", NULL);
  g_autofree gchar *json = g_build_filename (dir, "case.json", NULL);
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (GError) error = NULL;
  CiModel *model;

  fail_unless (json_parser_load_from_file (parser, json, &error));
  write_model (dir, "random:condinst-r50", path);
  model = ci_model_load (path, &error);
  fail_unless (model != NULL, "%s", error ? error->message : "");
  for (guint i = 0; i < 2; i++)
    run_image (dir, model, json_node_get_object (json_parser_get_root
            (parser)), i, dump);
  ci_model_unref (model);
  g_unlink (dump);
  g_unlink (path);
  g_rmdir (tmp);
}

GST_END_TEST;

/* ---- units: given maps into a graph ------------------------------------- */

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
  CiSafetensors *file = open_golden (path);
  CiTensor first = get (file, "in.0.logits"), scores = get (file,
      "out.scores");
  CiTensor boxes = get (file, "out.boxes"), cls = get (file, "out.classes");
  CiTensor level = get (file, "out.level"), loc = get (file, "out.loc");
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
      CiTensor t = get (file, tensor);

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
    fail_unless (near_box (d.boxes + 4 * i, F32 (boxes) + 4 * k));
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
  CiSafetensors *file = open_golden (GOLDEN
      "units/aligned_bilinear.safetensors");
  CiTensor in = get (file, "in");
  gint c = in.dims[0], h = in.dims[1], w = in.dims[2];

  for (gint backend = CI_BACKEND_REF; backend <= CI_BACKEND_CPU; backend++)
    for (gint factor = 2; factor <= 8; factor *= 2) {
      g_autofree gchar *name = g_strdup_printf ("out.x%d", factor);
      CiTensor expected = get (file, name), out;
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
  CiSafetensors *file = open_golden (GOLDEN "units/paste_masks.safetensors");
  CiTensor prob = get (file, "in.prob"), boxes = get (file, "in.boxes");
  CiTensor expected = get (file, "out.masks");
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
parity_suite (void)
{
  Suite *s = suite_create ("parity");
  TCase *tc = tcase_create ("golden");

  suite_add_tcase (s, tc);
  tcase_set_timeout (tc, 600);
  tcase_add_loop_test (tc, test_select, 0, 10);
  tcase_add_test (tc, test_aligned_bilinear);
  tcase_add_test (tc, test_paste_box);
  tcase_add_test (tc, test_condinst_r50);
  return s;
}

int
main (int argc, char **argv)
{
  Suite *s;

  if (!g_file_test (GOLDEN, G_FILE_TEST_IS_DIR)) {
    g_print ("skipped: no " GOLDEN "\n");
    return 77;
  }
  gst_check_init (&argc, &argv);
  s = parity_suite ();
  return gst_check_run_suite (s, "parity", __FILE__);
}
