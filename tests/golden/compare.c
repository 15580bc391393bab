/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compare.h"

#include <gst/check/gstcheck.h>
#include <math.h>
#include <string.h>

CiSafetensors *
golden_open (const gchar * path)
{
  g_autoptr (GError) error = NULL;
  CiSafetensors *file = ci_safetensors_open (path, &error);

  fail_unless (file != NULL, "%s", error ? error->message : "");
  return file;
}

CiTensor
golden_get (const CiSafetensors * file, const gchar * name)
{
  CiTensor t;

  fail_unless (ci_safetensors_lookup (file, name, &t), "no tensor %s", name);
  return t;
}

gboolean
golden_near_box (const gfloat * a, const gfloat * b)
{
  for (gint k = 0; k < 4; k++)
    if (fabs (a[k] - b[k]) > 0.05 + 1e-3 * fabs (b[k]))
      return FALSE;
  return TRUE;
}

/* ---- dense maps --------------------------------------------------------- */

/* Half precision rounds 8192 times as coarsely as float, so its noise is about
 * that of float so many times; half of that is allowed. */
#define HALF_NOISE 4096

/* What @name may differ by. */
static gdouble
tolerance_of (const gchar * name, JsonObject * noise, gboolean half,
    gdouble spread)
{
  const gchar *kind = strrchr (name, '.');

  if (g_str_equal (name, "input"))
    return half ? 4e-3 * spread : 1e-4;
  kind = g_str_has_prefix (name, "mask.") ? "mask" : kind + 1;
  if (half && !json_object_has_member (noise, kind))
    kind = "p5";
  if (json_object_has_member (noise, kind))
    return (half ? HALF_NOISE : 10) * json_object_get_double_member (noise,
        kind);
  /* a backbone's maps have no entry */
  return 1e-3 * MAX (spread, 1e-3);
}

/* @name against its complete golden twin, or the sub-sampled one, and against
 * what sums up all of it. */
static void
compare_dense (const CiSafetensors * ours, const CiSafetensors * golden,
    JsonArray * strides, const gchar * name, JsonObject * noise, gboolean half)
{
  g_autofree gchar *sub_name = g_strconcat (name, ".sub", NULL);
  g_autofree gchar *stats_name = g_strconcat (name, ".stats", NULL);
  CiTensor t = golden_get (ours, name), expected;
  const gdouble *stats = golden_get (golden, stats_name).data;
  gdouble tolerance = tolerance_of (name, noise, half, stats[1]);
  gdouble worst = 0, sum = 0, norm = 0;
  gsize n = ci_tensor_n_elements (&t);
  gint64 step[3] = { 1, 1, 1 }, i = 0;

  if (!ci_safetensors_lookup (golden, name, &expected)) {
    expected = golden_get (golden, sub_name);
    for (gint k = 0; k < 3; k++)
      step[k] = json_array_get_int_element (strides, k + 1);
  }
  for (gint64 c = 0; c < t.dims[1]; c += step[0])
    for (gint64 y = 0; y < t.dims[2]; y += step[1])
      for (gint64 x = 0; x < t.dims[3]; x += step[2], i++) {
        gdouble d = fabs (F32 (t)[(c * t.dims[2] + y) * t.dims[3] + x]
            - F32 (expected)[i]);

        worst = MAX (worst, d);
        sum += d;
      }
  fail_unless_equals_int64 (i, ci_tensor_n_elements (&expected));
  fail_unless (worst <= tolerance, "%s: differs by %g, allowed %g", name,
      worst, tolerance);
  fail_unless (sum / i <= tolerance / (half ? 5 : 10),
      "%s: mean difference %g", name, sum / i);
  /* all the positions that the sample leaves out */
  for (gsize k = 0; k < n; k++)
    norm += (gdouble) F32 (t)[k] * F32 (t)[k];
  fail_unless (fabs (sqrt (norm) - stats[5]) <= 1e-4 * stats[5]
      + 0.1 * tolerance * sqrt (n),
      "%s: norm %g, official %g", name, sqrt (norm), stats[5]);
}

/* The resized image to the bit. */
static void
compare_resized (const CiSafetensors * ours, JsonObject * image)
{
  CiTensor t = golden_get (ours, "input.resized_u8");
  guint64 hash = G_GUINT64_CONSTANT (0xcbf29ce484222325);
  g_autofree gchar *found = NULL;

  for (gsize i = 0; i < ci_tensor_n_elements (&t); i++)
    hash = (hash ^ ((const guint8 *) t.data)[i])
        * G_GUINT64_CONSTANT (0x100000001b3);
  found = g_strdup_printf ("%016" G_GINT64_MODIFIER "x", hash);
  fail_unless_equals_string (found, json_object_get_string_member (image,
          "resized_fnv1a64"));
}

/* ---- detections --------------------------------------------------------- */

static gint
find_detection (const CiSafetensors * golden, const CiTensor * level,
    const CiTensor * cell, const CiTensor * cls, gint i)
{
  CiTensor l = golden_get (golden, "pre.level");
  CiTensor p = golden_get (golden, "pre.loc_index");
  CiTensor c = golden_get (golden, "pre.classes");

  for (gint k = 0; k < l.dims[0]; k++)
    if (I32 (l)[k] == I32 (*level)[i] && I32 (p)[k] == I32 (*cell)[i]
        && I32 (c)[k] == I32 (*cls)[i])
      return k;
  return -1;
}

static void
compare_params (const CiSafetensors * ours, const CiSafetensors * golden,
    const gint * index, gdouble tolerance)
{
  CiTensor params = golden_get (ours, "pre.params");
  CiTensor expected = golden_get (golden, "pre.params");
  gint64 n = expected.dims[1];

  fail_unless_equals_int64 (params.dims[1], n);
  for (gint64 i = 0; i < params.dims[0] * n; i++) {
    gfloat a = F32 (params)[i], b = F32 (expected)[index[i / n] * n + i % n];

    fail_unless (fabs (a - b) <= tolerance,
        "parameter %d of detection %d: %g, official %g", (gint) (i % n),
        (gint) (i / n), a, b);
  }
}

/* The same set before the filter of empty boxes; @index maps ours to theirs. */
static void
compare_detections (const CiSafetensors * ours, const CiSafetensors * golden,
    gint * index)
{
  CiTensor boxes = golden_get (ours, "pre.boxes");
  CiTensor scores = golden_get (ours, "pre.scores");
  CiTensor cls = golden_get (ours, "pre.classes");
  CiTensor level = golden_get (ours, "pre.level");
  CiTensor cell = golden_get (ours, "pre.loc_index");
  CiTensor loc = golden_get (ours, "pre.loc");
  CiTensor gboxes = golden_get (golden, "pre.boxes");
  CiTensor gscores = golden_get (golden, "pre.scores");
  CiTensor gloc = golden_get (golden, "pre.loc");
  gfloat last = INFINITY;

  fail_unless_equals_int64 (boxes.dims[0], gboxes.dims[0]);
  fail_unless (boxes.dims[0] <= MAX_GOLDEN_DETECTIONS);
  for (gint i = 0; i < boxes.dims[0]; i++) {
    gint k = index[i] = find_detection (golden, &level, &cell, &cls, i);

    fail_unless (k >= 0, "detection %d (level %d, cell %d, class %d) is not "
        "an official one", i, I32 (level)[i], I32 (cell)[i], I32 (cls)[i]);
    fail_unless (fabs (F32 (scores)[i] - F32 (gscores)[k]) <= 1e-3);
    /* close scores may change places */
    fail_unless (F32 (gscores)[k] <= last + 1e-4, "detection %d is out of "
        "order", i);
    last = F32 (gscores)[k];
    fail_unless (golden_near_box (F32 (boxes) + 4 * i, F32 (gboxes) + 4 * k),
        "box %d", i);
    fail_unless (F32 (loc)[2 * i] == F32 (gloc)[2 * k]
        && F32 (loc)[2 * i + 1] == F32 (gloc)[2 * k + 1]);
  }
}

/* Which of the final instances of @golden is @from, one of @golden's
 * detections. */
static gint
find_instance (const CiSafetensors * golden, gint from)
{
  CiTensor all = golden_get (golden, "det.from_pre");

  for (gint k = 0; k < all.dims[0]; k++)
    if (I32 (all)[k] == from)
      return k;
  fail ("detection %d is no official instance", from);
  return -1;
}

static void
compare_instances (const CiSafetensors * ours, const CiSafetensors * golden,
    const gint * index)
{
  CiTensor from = golden_get (ours, "det.from_pre");
  CiTensor boxes = golden_get (ours, "det.boxes");
  CiTensor scores = golden_get (ours, "det.scores");
  CiTensor cls = golden_get (ours, "det.classes");
  CiTensor gboxes = golden_get (golden, "det.boxes");
  CiTensor gscores = golden_get (golden, "det.scores");
  CiTensor gcls = golden_get (golden, "det.classes");

  fail_unless_equals_int64 (from.dims[0], gboxes.dims[0]);
  for (gint i = 0; i < from.dims[0]; i++) {
    gint k = find_instance (golden, index[I32 (from)[i]]);

    fail_unless (golden_near_box (F32 (boxes) + 4 * i, F32 (gboxes) + 4 * k),
        "final box %d", i);
    fail_unless (fabs (F32 (scores)[i] - F32 (gscores)[k]) <= 1e-3);
    fail_unless_equals_int (I32 (cls)[i], I32 (gcls)[k]);
  }
}

/* ---- masks -------------------------------------------------------------- */

static void
check_probability (const gchar * what, gint i, gfloat ours, gdouble official,
    gdouble tolerance)
{
  fail_unless (fabs (ours - official) <= tolerance,
      "%s of detection %d: %g, official %g", what, i, ours, official);
}

/* Maps of probabilities, as far as both files have them: @name of ours with
 * @name of theirs. */
static void
compare_maps (const CiSafetensors * ours, const CiSafetensors * golden,
    const gchar * name, const gint * index, gdouble tolerance)
{
  CiTensor a, b;
  gint64 n;

  if (!ci_safetensors_lookup (golden, name, &b))
    return;
  a = golden_get (ours, name);
  fail_unless (a.dims[1] == b.dims[1] && a.dims[2] == b.dims[2]);
  n = a.dims[1] * a.dims[2];
  for (gint i = 0; i < a.dims[0]; i++)
    for (gint64 p = 0; p < n && index[i] < b.dims[0]; p++)
      check_probability (name, i, F32 (a)[i * n + p],
          F32 (b)[index[i] * n + p], tolerance);
}

/* The logits of stride 8: at the odd cells of stride 4 the upsampling left them
 * as they were. */
static void
compare_logits (const CiSafetensors * ours, const CiSafetensors * golden,
    const gint * index, gdouble tolerance)
{
  CiTensor a, b;
  gint64 h, w;

  if (!ci_safetensors_lookup (golden, "mask.logits8", &b))
    return;
  a = golden_get (ours, "mask.prob4");
  h = b.dims[1];
  w = b.dims[2];
  fail_unless (a.dims[1] == 2 * h && a.dims[2] == 2 * w);
  for (gint i = 0; i < a.dims[0]; i++)
    for (gint64 p = 0; p < h * w && index[i] < b.dims[0]; p++)
      check_probability ("mask.logits8", i, F32 (a)[((i * h + p / w) * 2 + 1)
              * 2 * w + p % w * 2 + 1],
          1 / (1 + exp (-F32 (b)[index[i] * h * w + p])), tolerance);
}

/* The bits of the final masks. */
static void
compare_bits (const CiSafetensors * ours, const CiSafetensors * golden,
    const gint * index)
{
  CiTensor from = golden_get (ours, "det.from_pre");
  CiTensor bits = golden_get (ours, "mask.bits");
  CiTensor area = golden_get (ours, "mask.area");
  CiTensor gbits = golden_get (golden, "mask.bits"), roi;
  gboolean in_boxes = ci_safetensors_lookup (golden, "mask.roi_prob", &roi);
  CiTensor near = golden_get (golden, in_boxes ? "mask.near1e-3"
      : "mask.near1e-2");
  gint64 n_bytes = gbits.dims[1];

  fail_unless_equals_int64 (bits.dims[0], gbits.dims[0]);
  fail_unless_equals_int64 (bits.dims[1], n_bytes);
  for (gint i = 0; i < from.dims[0]; i++) {
    gint k = find_instance (golden, index[I32 (from)[i]]);
    const guint8 *a = (const guint8 *) bits.data + i * n_bytes;
    const guint8 *b = (const guint8 *) gbits.data + k * n_bytes;
    gint inter = 0, both = 0, differing = 0, ours_set = 0;

    for (gint64 p = 0; p < n_bytes; p++) {
      inter += __builtin_popcount (a[p] & b[p]);
      both += __builtin_popcount (a[p] | b[p]);
      differing += __builtin_popcount (a[p] ^ b[p]);
      ours_set += __builtin_popcount (a[p]);
    }
    fail_unless_equals_int (ours_set, I32 (area)[i]);
    fail_unless (differing <= I32 (near)[k], "mask %d: %d pixels differ, %d "
        "are near the threshold", i, differing, I32 (near)[k]);
    /* where a box reaches out of the image, all is 0.5 and the last bit of its
     * corners decides */
    if (both > 200)
      fail_unless (inter > (in_boxes ? 0.95 : 0.99) * both, "mask %d: IoU %g",
          i, (gdouble) inter / both);
  }
}

void
golden_compare (const CiSafetensors * ours, const CiSafetensors * golden,
    JsonObject * image, JsonObject * noise)
{
  JsonObject *strides = json_object_get_object_member (image,
      "sub_strides_nchw");
  g_autoptr (GList) names = json_object_get_members (strides);
  gint index[MAX_GOLDEN_DETECTIONS];
  gdouble tolerance;
  CiTensor t;

  compare_resized (ours, image);
  for (GList * l = names; l; l = l->next)
    compare_dense (ours, golden, json_object_get_array_member (strides,
            l->data), l->data, noise, FALSE);
  compare_detections (ours, golden, index);
  compare_instances (ours, golden, index);
  if (!ci_safetensors_lookup (golden, "mask.bits", &t)) {
    /* masks are not made up */
    fail_if (ci_safetensors_lookup (ours, "mask.bits", &t));
    return;
  }
  compare_params (ours, golden, index, 10
      * json_object_get_double_member (noise, "top"));
  tolerance = 10 * json_object_get_double_member (noise, "mask");
  compare_maps (ours, golden, "mask.roi_prob", index, tolerance);
  /* the dynamic head multiplies the noise of features and parameters */
  tolerance = MAX (tolerance, 5e-3);
  compare_maps (ours, golden, "mask.prob4", index, tolerance);
  compare_logits (ours, golden, index, tolerance);
  compare_bits (ours, golden, index);
}

/* The threshold's root is 0.22; golden/README.md proposes this. */
#define SAFE_SCORE 0.26

void
golden_compare_half (const CiSafetensors * ours, const CiSafetensors * golden,
    JsonObject * image, JsonObject * noise)
{
  JsonObject *strides = json_object_get_object_member (image,
      "sub_strides_nchw");
  g_autoptr (GList) names = json_object_get_members (strides);
  CiTensor level = golden_get (golden, "pre.level");
  CiTensor cell = golden_get (golden, "pre.loc_index");
  CiTensor cls = golden_get (golden, "pre.classes");
  CiTensor score = golden_get (golden, "pre.scores");
  CiTensor found = golden_get (ours, "pre.scores");
  /* a score changes by an eighth of what its logit does, or less; half of
   * that again, as the worst logit of all is not among the few */
  gdouble tolerance = tolerance_of ("head.logits", noise, TRUE, 0) / 16;

  for (GList * l = names; l; l = l->next)
    compare_dense (ours, golden, json_object_get_array_member (strides,
            l->data), l->data, noise, TRUE);
  for (gint i = 0; i < level.dims[0]; i++) {
    gint k = find_detection (ours, &level, &cell, &cls, i);

    if (k < 0 && F32 (score)[i] <= SAFE_SCORE + tolerance)
      continue;
    fail_unless (k >= 0, "detection %d of score %g is missing", i,
        F32 (score)[i]);
    fail_unless (fabs (F32 (found)[k] - F32 (score)[i]) <= tolerance,
        "detection %d: score %g, official %g", i, F32 (found)[k],
        F32 (score)[i]);
  }
}
