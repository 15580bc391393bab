/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compare_zoo.h"

#include <math.h>
#include <string.h>

#define I64(tensor) ((const gint64 *) (tensor).data)
#define U8(tensor) ((const guint8 *) (tensor).data)

/* Sides of boxes in whole pixels say little of small ones. */
#define SAME_BOX 0.9
#define SAME_MASK 0.5
#define LARGE_AREA 100

CiDevice *zoo_device;
gboolean zoo_half;

int
zoo_run (int argc, char **argv, Suite * (*make) (void))
{
  g_autoptr (GError) error = NULL;
  int failed;

  if (!g_file_test (ZOO, G_FILE_TEST_IS_DIR)) {
    g_print ("skipped: no " ZOO "\n");
    return 77;
  }
  if (g_strcmp0 (g_getenv ("PARITY_PROVIDER"), "cuda") == 0) {
    zoo_device = ci_device_open (-1, NULL, &error);
    if (!zoo_device) {
      g_print ("skipped: %s\n", error->message);
      return 77;
    }
    zoo_half = g_strcmp0 (g_getenv ("PARITY_PRECISION"), "fp16") == 0;
  }
  gst_check_init (&argc, &argv);
  failed = gst_check_run_suite (make (), "zoo", __FILE__);
  ci_device_unref (zoo_device);
  return failed;
}

CiModel *
zoo_load_model (const gchar * checkpoint)
{
  g_autofree gchar *path = g_strconcat (ZOO, checkpoint, NULL);
  g_autoptr (GError) error = NULL;
  CiModel *model = ci_model_load (path, &error);

  fail_unless (model != NULL, "%s", error ? error->message : "");
  return model;
}

CiSafetensors *
zoo_open (const gchar * path)
{
  g_autofree gchar *file = g_strconcat (ZOO, path, ".safetensors", NULL);

  return golden_open (file);
}

static CiTensor
get (const CiSafetensors * golden, const gchar * prefix, const gchar * name)
{
  g_autofree gchar *full = g_strconcat (prefix, ".", name, NULL);

  return golden_get (golden, full);
}

/* ---- taps ---------------------------------------------------------------- */

void
zoo_compare_tap (const CiSafetensors * golden, const gchar * name,
    const CiTensor * ours, gdouble tolerance)
{
  CiTensor shape = get (golden, name, "shape");
  CiTensor stats = get (golden, name, "stats"), samples, index;
  g_autofree gchar *full = g_strconcat (name, ".full", NULL);
  gboolean complete = ci_safetensors_lookup (golden, full, &samples);
  gdouble largest = MAX (fabs (F32 (stats)[2]), fabs (F32 (stats)[3]));
  gdouble limit = tolerance * MAX (largest, 1e-6), sum = 0, absolute = 0;
  gsize n = ci_tensor_n_elements (ours);

  fail_unless_equals_int64 (shape.dims[0], ours->n_dims);
  for (gint k = 0; k < ours->n_dims; k++)
    fail_unless (I64 (shape)[k] == ours->dims[k],
        "%s: dimension %d is %" G_GINT64_FORMAT ", official %"
        G_GINT64_FORMAT, name, k, ours->dims[k], I64 (shape)[k]);
  if (!complete) {
    samples = get (golden, name, "val");
    index = get (golden, name, "idx");
  }
  for (gsize i = 0; i < ci_tensor_n_elements (&samples); i++) {
    gsize at = complete ? i : (gsize) I64 (index)[i];
    gfloat a = F32 (*ours)[at], b = F32 (samples)[i];

    fail_unless (fabs (a - b) <= limit, "%s[%" G_GSIZE_FORMAT
        "]: %g, official %g, allowed %g", name, at, a, b, limit);
  }
  /* what the samples leave out */
  for (gsize i = 0; i < n; i++) {
    sum += F32 (*ours)[i];
    absolute += fabs (F32 (*ours)[i]);
  }
  fail_unless (fabs (sum / n - F32 (stats)[0]) <= limit
      && fabs (absolute / n - F32 (stats)[4]) <= limit,
      "%s: mean %g, of absolute values %g, official %g and %g", name, sum / n,
      absolute / n, F32 (stats)[0], F32 (stats)[4]);
}

void
zoo_compare_value (const CiSafetensors * golden, const gchar * name,
    const CiPlan * plan, const gchar * value, gdouble tolerance)
{
  CiTensor ours;

  fail_unless (ci_plan_read (plan, value, &ours), "no value %s", value);
  zoo_compare_tap (golden, name, &ours, tolerance);
  g_free ((gpointer) ours.data);
}

/* ---- detections ---------------------------------------------------------- */

static gdouble
box_iou (const gfloat * a, const gfloat * b)
{
  gdouble w = MIN (a[2], b[2]) - MAX (a[0], b[0]);
  gdouble h = MIN (a[3], b[3]) - MAX (a[1], b[1]);
  gdouble inter = MAX (w, 0) * MAX (h, 0);
  gdouble both = (a[2] - a[0]) * (a[3] - a[1])
      + (b[2] - b[0]) * (b[3] - b[1]) - inter;

  /* of empty ones */
  return both > 0 ? inter / both : 1;
}

/* Whether every side is where it should be: small boxes in whole pixels have
 * any IoU. */
static gboolean
near_box (const gfloat * a, const gfloat * b, gdouble limit)
{
  for (gint k = 0; k < 4; k++)
    if (!(fabs (a[k] - b[k]) <= limit))
      return FALSE;
  return TRUE;
}

/* @bits: most significant first. */
static gdouble
mask_iou (const guint8 * mask, const guint8 * bits, gsize n, gint * area)
{
  gsize inter = 0, both = 0;

  *area = 0;
  for (gsize i = 0; i < n; i++) {
    gboolean official = bits[i / 8] >> (7 - i % 8) & 1;

    inter += mask[i] && official;
    both += mask[i] || official;
    *area += official;
  }
  return both ? (gdouble) inter / both : 1;
}

typedef struct
{
  const CiSafetensors *golden;
  const gchar *prefix;
  const ZooDetections *ours;
  const ZooLimits *limits;
  CiTensor boxes, scores, classes, bits;
  gsize n_pixels;
} Comparison;

static gboolean
fits (const Comparison * c, gint i, gint k)
{
  gint area;

  if (c->ours->classes[i] != I64 (c->classes)[k]
      || fabs (c->ours->scores[i] - F32 (c->scores)[k]) > 10
      * c->limits->score)
    return FALSE;
  if (c->limits->by_mask)
    return mask_iou (c->ours->masks + i * c->n_pixels, U8 (c->bits)
        + k * c->bits.dims[1], c->n_pixels, &area) >= SAME_MASK;
  return near_box (c->ours->boxes + 4 * i, F32 (c->boxes) + 4 * k,
      c->limits->box)
      || box_iou (c->ours->boxes + 4 * i, F32 (c->boxes) + 4 * k) >= SAME_BOX;
}

static void
compare_pair (const Comparison * c, gint i, gint k)
{
  gdouble least = c->ours->mask_ious ? c->ours->mask_ious[i]
      : c->limits->mask_iou;
  gint area;
  gdouble iou;

  fail_unless (fabs (c->ours->scores[i] - F32 (c->scores)[k])
      <= c->limits->score, "%s: detection %d: score %g, official %g",
      c->prefix, i, c->ours->scores[i], F32 (c->scores)[k]);
  for (gint s = 0; s < 4 && c->ours->boxes && !c->limits->by_mask; s++) {
    gfloat a = c->ours->boxes[4 * i + s], b = F32 (c->boxes)[4 * k + s];

    fail_unless (fabs (a - b) <= c->limits->box,
        "%s: detection %d: side %d at %g, official %g", c->prefix, i, s, a, b);
  }
  if (!c->ours->masks)
    return;
  iou = mask_iou (c->ours->masks + i * c->n_pixels,
      U8 (c->bits) + k * c->bits.dims[1], c->n_pixels, &area);
  fail_unless (area <= LARGE_AREA || iou >= least,
      "%s: detection %d: mask IoU %g of %d pixels", c->prefix, i, iou, area);
}

void
zoo_compare_detections (const CiSafetensors * golden, const gchar * prefix,
    const ZooDetections * ours, const ZooLimits * limits)
{
  Comparison c = { golden, prefix, ours, limits };
  CiTensor size = get (golden, prefix, "image_hw");
  g_autofree gboolean *taken = NULL;
  gint n, n_matched = 0;

  c.n_pixels = I64 (size)[0] * I64 (size)[1];
  c.scores = get (golden, prefix, "scores");
  c.classes = get (golden, prefix, "classes");
  c.boxes = get (golden, prefix, "boxes");
  if (ours->masks)
    c.bits = get (golden, prefix, "masks_packed");
  n = c.scores.dims[0];
  taken = g_new0 (gboolean, n + 1);
  for (gint i = 0; i < ours->n; i++) {
    gint best = -1;

    fail_unless (i == 0 || ours->scores[i] <= ours->scores[i - 1],
        "%s: detection %d is out of order", prefix, i);
    for (gint k = 0; k < n; k++)
      if (!taken[k] && fits (&c, i, k)
          && (best < 0 || fabs (F32 (c.scores)[k] - ours->scores[i])
              < fabs (F32 (c.scores)[best] - ours->scores[i])))
        best = k;
    if (best < 0)
      continue;
    taken[best] = TRUE;
    compare_pair (&c, i, best);
    n_matched++;
  }
  fail_unless (ours->n - n_matched <= limits->strays
      && n - n_matched <= limits->strays,
      "%s: %d detections, official %d, of which %d agree", prefix, ours->n, n,
      n_matched);
}
