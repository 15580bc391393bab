/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "coco_mask.h"

#include <math.h>
#include <string.h>

#include "kernels.h"

/* Polygons are traced on a grid this much finer than the pixels. */
#define POLYGON_SCALE 5.0
/* Bounds the work that a polygon far outside of its picture can make. */
#define POLYGON_MAX_COORDINATE 1e5

void
ci_rle_clear (CiRle * rle)
{
  g_free (rle->runs);
  memset (rle, 0, sizeof (*rle));
}

/* @toggles: ascending positions where the value changes, all below the number
 * of pixels. */
static void
rle_from_toggles (CiRle * rle, const GArray * toggles, guint width,
    guint height)
{
  const guint32 *at = (const guint32 *) toggles->data;
  guint i, n = toggles->len;
  guint32 last = 0;

  rle->width = width;
  rle->height = height;
  rle->n_runs = n + 1;
  rle->runs = g_new (guint32, n + 1);
  for (i = 0; i < n; i++) {
    rle->runs[i] = at[i] - last;
    last = at[i];
  }
  rle->runs[n] = width * height - last;
}

void
ci_rle_from_bits (CiRle * rle, const guint8 * bits, guint width, guint height)
{
  g_autoptr (GArray) toggles = g_array_new (FALSE, FALSE, sizeof (guint32));
  g_autofree guint8 *used = g_malloc0 (MAX (width, 1));
  gboolean value = FALSE;
  guint x, y;

  /* Walking down columns is slow; most columns of most masks are empty. */
  for (y = 0; y < height; y++) {
    const guint8 *row = bits + (gsize) y * width;
    for (x = 0; x < width; x++)
      used[x] |= row[x];
  }

  for (x = 0; x < width; x++) {
    guint32 first = x * height;

    if (!used[x]) {
      if (value)
        g_array_append_val (toggles, first);
      value = FALSE;
      continue;
    }
    for (y = 0; y < height; y++) {
      if ((bits[(gsize) y * width + x] != 0) != value) {
        guint32 at = first + y;
        g_array_append_val (toggles, at);
        value = !value;
      }
    }
  }
  rle_from_toggles (rle, toggles, width, height);
}

gboolean
ci_rle_from_runs (CiRle * rle, const guint32 * runs, guint n_runs,
    guint width, guint height, GError ** error)
{
  guint64 sum = 0;
  guint i;

  memset (rle, 0, sizeof (*rle));
  for (i = 0; i < n_runs; i++)
    sum += runs[i];
  if (sum != (guint64) width * height) {
    g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
        "the runs of a mask of %ux%u pixels add up to %" G_GUINT64_FORMAT,
        width, height, sum);
    return FALSE;
  }
  rle->width = width;
  rle->height = height;
  rle->n_runs = MAX (n_runs, 1);
  rle->runs = g_new0 (guint32, rle->n_runs);
  if (n_runs > 0)
    memcpy (rle->runs, runs, n_runs * sizeof (*runs));
  return TRUE;
}

/* Groups of 5 bits from the lowest up, each as a character from '0' on, 32
 * added where more follow, the highest bit of the last giving the sign; from
 * the fourth run on, the difference to the last but one run. */
gboolean
ci_rle_from_string (CiRle * rle, const gchar * string, guint width,
    guint height, GError ** error)
{
  g_autoptr (GArray) runs = g_array_new (FALSE, FALSE, sizeof (guint32));
  const gchar *p = string;

  memset (rle, 0, sizeof (*rle));
  while (*p) {
    gint64 value = 0;
    guint shift = 0, group;
    guint32 run;

    do {
      group = (guint) ((guchar) * p) - '0';
      /* 7 groups hold any 32-bit value; this also stops at the final 0. */
      if (group > 63 || shift > 30)
        goto bad;
      value |= (gint64) (group & 31) << shift;
      shift += 5;
      p++;
    } while (group & 32);
    if (group & 16)
      value -= (gint64) 1 << shift;

    if (runs->len > 2)
      value += g_array_index (runs, guint32, runs->len - 2);
    if (value < 0 || value > (gint64) width * height)
      goto bad;
    run = value;
    g_array_append_val (runs, run);
  }
  return ci_rle_from_runs (rle, (const guint32 *) runs->data, runs->len,
      width, height, error);

bad:
  g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
      "the compressed mask of %ux%u pixels is damaged at character %d",
      width, height, (gint) (p - string));
  return FALSE;
}

static gint
compare_positions (gconstpointer a, gconstpointer b)
{
  guint32 x = *(const guint32 *) a, y = *(const guint32 *) b;

  return x < y ? -1 : x > y;
}

typedef struct
{
  guint width, height;
  gboolean started;
  gint u, v;                    /* the last point, on the fine grid */
  GArray *crossings;
} Tracer;

/* Follows the outline to its next point. The mask changes in a column of
 * pixels where the outline crosses that column's middle, from that row on. */
static void
tracer_step (Tracer * tracer, gint u, gint v)
{
  if (tracer->started && u != tracer->u) {
    gdouble x = (u < tracer->u ? u : u - 1);
    gdouble y = MIN (v, tracer->v);

    x = (x + 0.5) / POLYGON_SCALE - 0.5;
    y = (y + 0.5) / POLYGON_SCALE - 0.5;
    if (floor (x) == x && x >= 0 && x <= (gdouble) tracer->width - 1) {
      guint32 at = (guint32) x * tracer->height
          + (guint32) ceil (CLAMP (y, 0, (gdouble) tracer->height));
      g_array_append_val (tracer->crossings, at);
    }
  }
  tracer->started = TRUE;
  tracer->u = u;
  tracer->v = v;
}

/* All points from (u0, v0) to (u1, v1), one for every step of the longer
 * direction; the other one is rounded as if walked upwards. */
static void
tracer_line (Tracer * tracer, gint u0, gint v0, gint u1, gint v1)
{
  gint du = ABS (u1 - u0), dv = ABS (v1 - v0), n = MAX (du, dv), i;
  gboolean flip = du >= dv ? u0 > u1 : v0 > v1;
  gint ub = flip ? u1 : u0, vb = flip ? v1 : v0;
  gint ue = flip ? u0 : u1, ve = flip ? v0 : v1;
  gdouble slope = n == 0 ? 0 :
      du >= dv ? (gdouble) (ve - vb) / du : (gdouble) (ue - ub) / dv;

  for (i = 0; i <= n; i++) {
    gint t = flip ? n - i : i;

    if (du >= dv)
      tracer_step (tracer, ub + t, (gint) (vb + slope * t + 0.5));
    else
      tracer_step (tracer, (gint) (ub + slope * t + 0.5), vb + t);
  }
}

gboolean
ci_rle_from_polygon (CiRle * rle, const gdouble * points, guint n_points,
    guint width, guint height, GError ** error)
{
  g_autoptr (GArray) crossings = g_array_new (FALSE, FALSE, sizeof (guint32));
  Tracer tracer = { width, height, FALSE, 0, 0, crossings };
  guint32 *at;
  guint i, n = 0;

  memset (rle, 0, sizeof (*rle));
  for (i = 0; i < 2 * n_points; i++) {
    if (!(fabs (points[i]) <= POLYGON_MAX_COORDINATE)) {
      g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
          "the polygon's coordinate %g is far outside of its picture",
          points[i]);
      return FALSE;
    }
  }

  for (i = 0; i < n_points; i++) {
    const gdouble *a = points + 2 * i;
    const gdouble *b = points + 2 * ((i + 1) % n_points);

    tracer_line (&tracer,
        (gint) (POLYGON_SCALE * a[0] + 0.5),
        (gint) (POLYGON_SCALE * a[1] + 0.5),
        (gint) (POLYGON_SCALE * b[0] + 0.5),
        (gint) (POLYGON_SCALE * b[1] + 0.5));
  }

  /* Two changes at the same pixel undo each other. */
  g_array_sort (crossings, compare_positions);
  at = (guint32 *) crossings->data;
  for (i = 0; i < crossings->len; i++) {
    if (n > 0 && at[n - 1] == at[i])
      n--;
    else
      at[n++] = at[i];
  }
  if (n > 0 && at[n - 1] == width * height)
    n--;
  g_array_set_size (crossings, n);
  rle_from_toggles (rle, crossings, width, height);
  return TRUE;
}

/* Walks two masks of the same size in step: each call gives the length over
 * which neither changes, 0 at the end, and their values there. */
typedef struct
{
  const CiRle *a, *b;
  guint i, j;
  guint32 left_a, left_b;
} Walk;

static void
walk_init (Walk * walk, const CiRle * a, const CiRle * b)
{
  *walk = (Walk) { a, b, 0, 0, a->n_runs > 0 ? a->runs[0] : 0,
    b->n_runs > 0 ? b->runs[0] : 0
  };
}

static guint32
walk_next (Walk * walk, gboolean * value_a, gboolean * value_b)
{
  guint32 n;

  while (walk->left_a == 0 && walk->i + 1 < walk->a->n_runs)
    walk->left_a = walk->a->runs[++walk->i];
  while (walk->left_b == 0 && walk->j + 1 < walk->b->n_runs)
    walk->left_b = walk->b->runs[++walk->j];
  n = MIN (walk->left_a, walk->left_b);
  walk->left_a -= n;
  walk->left_b -= n;
  *value_a = walk->i & 1;
  *value_b = walk->j & 1;
  return n;
}

void
ci_rle_add (CiRle * rle, const CiRle * other)
{
  g_autoptr (GArray) toggles = g_array_new (FALSE, FALSE, sizeof (guint32));
  guint32 at = 0, n;
  guint width = rle->width, height = rle->height;
  gboolean a, b, value = FALSE;
  Walk walk;

  g_return_if_fail (other->width == width && other->height == height);

  walk_init (&walk, rle, other);
  while ((n = walk_next (&walk, &a, &b)) > 0) {
    if ((a || b) != value)
      g_array_append_val (toggles, at);
    value = a || b;
    at += n;
  }
  ci_rle_clear (rle);
  rle_from_toggles (rle, toggles, width, height);
}

void
ci_rle_to_bits (const CiRle * rle, guint8 * bits)
{
  guint32 x = 0, y = 0, n;
  guint i;

  for (i = 0; i < rle->n_runs; i++) {
    for (n = rle->runs[i]; n > 0; n--) {
      bits[(gsize) y * rle->width + x] = i & 1;
      if (++y == rle->height) {
        y = 0;
        x++;
      }
    }
  }
}

gchar *
ci_rle_to_string (const CiRle * rle)
{
  GString *string = g_string_new (NULL);
  guint i;

  for (i = 0; i < rle->n_runs; i++) {
    gint64 value = rle->runs[i];
    gint group;
    gboolean more;

    if (i > 2)
      value -= rle->runs[i - 2];
    do {
      group = value & 31;
      value >>= 5;
      more = (group & 16) ? value != -1 : value != 0;
      g_string_append_c (string, '0' + group + (more ? 32 : 0));
    } while (more);
  }
  return g_string_free (string, FALSE);
}

guint32
ci_rle_area (const CiRle * rle)
{
  guint32 area = 0;
  guint i;

  for (i = 1; i < rle->n_runs; i += 2)
    area += rle->runs[i];
  return area;
}

void
ci_rle_box (const CiRle * rle, gdouble box[4])
{
  guint32 x0 = G_MAXUINT32, y0 = G_MAXUINT32, x1 = 0, y1 = 0, at = 0;
  guint i;

  for (i = 0; i < rle->n_runs; at += rle->runs[i++]) {
    guint32 last = at + rle->runs[i] - 1, top, bottom;

    if (!(i & 1) || rle->runs[i] == 0)
      continue;
    x0 = MIN (x0, at / rle->height);
    x1 = MAX (x1, last / rle->height + 1);
    /* A run over the end of a column has pixels in its first and last row. */
    top = at / rle->height < last / rle->height ? 0 : at % rle->height;
    bottom = top == 0 && at / rle->height < last / rle->height ?
        rle->height - 1 : last % rle->height;
    y0 = MIN (y0, top);
    y1 = MAX (y1, bottom + 1);
  }
  box[0] = x1 > 0 ? x0 : 0;
  box[1] = x1 > 0 ? y0 : 0;
  box[2] = x1 > 0 ? x1 - x0 : 0;
  box[3] = x1 > 0 ? y1 - y0 : 0;
}

gdouble
ci_rle_iou (const CiRle * detection, const CiRle * truth, gboolean crowd)
{
  guint32 both = 0, whole = 0, n;
  gboolean a, b;
  Walk walk;

  walk_init (&walk, detection, truth);
  while ((n = walk_next (&walk, &a, &b)) > 0) {
    both += a && b ? n : 0;
    whole += a || (b && !crowd) ? n : 0;
  }
  return both > 0 ? (gdouble) both / (gdouble) whole : 0;
}

gdouble
ci_box_iou (const gdouble detection[4], const gdouble truth[4], gboolean crowd)
{
  const gdouble *d = detection, *t = truth;
  gdouble w = MIN (d[2] + d[0], t[2] + t[0]) - MAX (d[0], t[0]);
  gdouble h = MIN (d[3] + d[1], t[3] + t[1]) - MAX (d[1], t[1]);
  gdouble area = d[2] * d[3], both = w * h;

  if (!(w > 0 && h > 0))
    return 0;
  return both / (crowd ? area : area + t[2] * t[3] - both);
}
