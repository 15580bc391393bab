/* GStreamer instance masks
 *
 * gstinstancemaskpolygon.c: outlines by marching squares on the grid
 *
 * The mask is sampled at nodes: the centres of the grid's cells, its edges, and
 * some points between where cells are many pixels large. Between neighbouring
 * nodes of a row or column the mask is linear, so every corner of an outline
 * lies exactly where the mask crosses the threshold. Around the nodes runs one
 * more ring of nodes, at the place of the outermost ones and outside of every
 * mask, so that all outlines are closed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <string.h>
#include "instancemask.h"
#include "gstinstancemask-private.h"

/* Nodes that refinement may make, and cells beyond which a grid is no mask but
 * an attack. */
#define MAX_NODES (1 << 21)
#define MAX_CELLS (1 << 26)

G_DEFINE_BOXED_TYPE (GstInstanceMaskRing, gst_instance_mask_ring,
    gst_instance_mask_ring_copy, gst_instance_mask_ring_free)

static GstInstanceMaskRing *
ring_new (const gfloat * points, guint n_points, gboolean is_hole)
{
  GstInstanceMaskRing *ring = g_new (GstInstanceMaskRing, 1);

  ring->n_points = n_points;
  ring->points = g_memdup2 (points, sizeof (gfloat) * 2 * n_points);
  ring->is_hole = is_hole;
  return ring;
}

/**
 * gst_instance_mask_ring_copy:
 * @ring: a #GstInstanceMaskRing
 *
 * Returns: (transfer full): a copy
 */
GstInstanceMaskRing *
gst_instance_mask_ring_copy (const GstInstanceMaskRing * ring)
{
  g_return_val_if_fail (ring != NULL, NULL);

  return ring_new (ring->points, ring->n_points, ring->is_hole);
}

/**
 * gst_instance_mask_ring_free:
 * @ring: (transfer full): a #GstInstanceMaskRing
 */
void
gst_instance_mask_ring_free (GstInstanceMaskRing * ring)
{
  if (!ring)
    return;
  g_free (ring->points);
  g_free (ring);
}

/**
 * gst_instance_mask_ring_get_points:
 * @ring: a #GstInstanceMaskRing
 * @n_values: (out): number of values, twice that of the points
 *
 * Returns: (transfer full) (array length=n_values): x and y of the points in
 *   turn, as COCO's polygons have them
 */
gfloat *
gst_instance_mask_ring_get_points (const GstInstanceMaskRing * ring,
    gsize * n_values)
{
  g_return_val_if_fail (ring != NULL && n_values != NULL, NULL);

  *n_values = (gsize) ring->n_points * 2;
  return g_memdup2 (ring->points, sizeof (gfloat) * *n_values);
}

/* Nodes along one direction, in cells; the first and the last are outside. */
typedef struct
{
  gint n;
  gfloat *pos;
} Axis;

static void
axis_init (Axis * axis, gint cells, gint parts)
{
  gint n = 0;

  axis->pos = g_new (gfloat, (gsize) (cells - 1) * parts + 5);
  axis->pos[n++] = 0;
  axis->pos[n++] = 0;
  for (gint i = 0; i < (cells - 1) * parts; i++)
    axis->pos[n++] = 0.5f + (gfloat) i / parts;
  axis->pos[n++] = cells - 0.5f;
  axis->pos[n++] = cells;
  axis->pos[n++] = cells;
  axis->n = n;
}

typedef struct
{
  Axis x, y;
  gfloat *values;               /* of the nodes, less the threshold */
  gint *next;                   /* edge to edge along the outline; -1: none */
} Field;

/* Outside is any value below every threshold. */
#define OUTSIDE -256.0f

static void
sample (Field * field, const GstInstanceMask * mask, const guint8 * grid,
    gfloat threshold)
{
  gint nx = field->x.n, ny = field->y.n;
  gint w = mask->grid_width, h = mask->grid_height;

  field->values = g_new (gfloat, (gsize) nx * ny);
  for (gint j = 0; j < ny; j++) {
    gfloat *dst = field->values + (gsize) j * nx;
    gfloat v = CLAMP (field->y.pos[j] - 0.5f, 0, h - 1), fy;
    gint j0 = (gint) v, j1 = MIN (j0 + 1, h - 1);
    const guint8 *a = grid + mask->grid_stride * j0;
    const guint8 *b = grid + mask->grid_stride * j1;

    fy = v - j0;
    for (gint i = 0; i < nx; i++) {
      gfloat u = CLAMP (field->x.pos[i] - 0.5f, 0, w - 1), fx;
      gint i0 = (gint) u, i1 = MIN (i0 + 1, w - 1);

      fx = u - i0;
      if (i == 0 || j == 0 || i == nx - 1 || j == ny - 1) {
        dst[i] = OUTSIDE;
        continue;
      }
      dst[i] = (a[i0] * (1 - fx) + a[i1] * fx) * (1 - fy)
          + (b[i0] * (1 - fx) + b[i1] * fx) * fy - threshold;
    }
  }
}

/* Edge from node i, j to the right (even numbers) or down (odd ones). */
#define EDGE_RIGHT(i, j) (((j) * nx + (i)) * 2)
#define EDGE_DOWN(i, j) (((j) * nx + (i)) * 2 + 1)

/* Joins the crossings on the edges of every square of four nodes, such that
 * the inside is on the right hand. */
static void
join (Field * field)
{
  gint nx = field->x.n, ny = field->y.n;
  gsize n_edges = (gsize) nx * ny * 2;

  field->next = g_new (gint, n_edges);
  memset (field->next, 0xff, n_edges * sizeof (gint));

  for (gint j = 0; j < ny - 1; j++) {
    const gfloat *top = field->values + (gsize) j * nx, *bottom = top + nx;

    for (gint i = 0; i < nx - 1; i++) {
      gfloat a = top[i], b = top[i + 1], c = bottom[i + 1], d = bottom[i];
      gint code = (a >= 0) | (b >= 0) << 1 | (c >= 0) << 2 | (d >= 0) << 3;
      gint up = EDGE_RIGHT (i, j), down = EDGE_RIGHT (i, j + 1);
      gint left = EDGE_DOWN (i, j), right = EDGE_DOWN (i + 1, j);
      gint *next = field->next;
      gboolean joined;

      switch (code) {
        case 1:
          next[up] = left;
          break;
        case 2:
          next[right] = up;
          break;
        case 3:
          next[right] = left;
          break;
        case 4:
          next[down] = right;
          break;
        case 6:
          next[down] = up;
          break;
        case 7:
          next[down] = left;
          break;
        case 8:
          next[left] = down;
          break;
        case 9:
          next[up] = down;
          break;
        case 11:
          next[right] = down;
          break;
        case 12:
          next[left] = right;
          break;
        case 13:
          next[up] = right;
          break;
        case 14:
          next[left] = up;
          break;
        case 5:
        case 10:
          /* Whether the corners inside hang together: the bilinear surface's
           * value at its saddle point tells. */
          joined = (a * c - b * d) / (a + c - b - d) >= 0;
          if (code == 5) {
            next[up] = joined ? right : left;
            next[down] = joined ? left : right;
          } else {
            next[right] = joined ? down : up;
            next[left] = joined ? up : down;
          }
          break;
        default:
          break;
      }
    }
  }
}

static void
crossing (const Field * field, gint edge, gfloat * u, gfloat * v)
{
  gint nx = field->x.n, node = edge / 2, i = node % nx, j = node / nx;
  gfloat a = field->values[node];
  gfloat b = field->values[edge & 1 ? node + nx : node + 1];
  gfloat t = a / (a - b);

  *u = field->x.pos[i];
  *v = field->y.pos[j];
  if (edge & 1)
    *v += t * (field->y.pos[j + 1] - *v);
  else
    *u += t * (field->x.pos[i + 1] - *u);
}

/* Twice the area; positive if clockwise on the screen. */
static gdouble
doubled_area (const gfloat * p, guint n)
{
  gdouble sum = 0;

  for (guint i = 0, k = n - 1; i < n; k = i++) {
    sum += (gdouble) p[2 * k] * p[2 * i + 1];
    sum -= (gdouble) p[2 * i] * p[2 * k + 1];
  }
  return sum;
}

static gdouble
line_distance2 (const gfloat * p, const gfloat * a, const gfloat * b)
{
  gdouble dx = b[0] - a[0], dy = b[1] - a[1], len2 = dx * dx + dy * dy, t, x, y;

  t = len2 > 0 ? ((p[0] - a[0]) * dx + (p[1] - a[1]) * dy) / len2 : 0;
  t = CLAMP (t, 0, 1);
  x = a[0] + t * dx - p[0];
  y = a[1] + t * dy - p[1];
  return x * x + y * y;
}

/* Douglas and Peucker's simplification of the closed line of @n points, which
 * is cut in two at the point farthest from the first one. Works in place. */
static guint
simplify (gfloat * p, guint n, gfloat tolerance)
{
  g_autofree guint8 *keep = g_new0 (guint8, n);
  g_autoptr (GArray) todo = g_array_new (FALSE, FALSE, 2 * sizeof (guint));
  gdouble limit = (gdouble) tolerance * tolerance, far = -1;
  guint split = 0, kept = 0, part[2];

  for (guint i = 0; i < n; i++) {
    gdouble d = line_distance2 (p + 2 * i, p, p);

    if (d > far) {
      far = d;
      split = i;
    }
  }
  keep[0] = keep[split] = 1;
  part[0] = 0;
  part[1] = split;
  g_array_append_val (todo, part);
  part[0] = split;
  part[1] = n;                  /* the first point again */
  g_array_append_val (todo, part);

  while (todo->len > 0) {
    guint worst = 0, first, last;

    first = ((guint *) todo->data)[2 * todo->len - 2];
    last = ((guint *) todo->data)[2 * todo->len - 1];
    g_array_set_size (todo, todo->len - 1);
    far = limit;
    for (guint i = first + 1; i < last; i++) {
      gdouble d = line_distance2 (p + 2 * i, p + 2 * first, p + 2 * (last % n));

      if (d > far) {
        far = d;
        worst = i;
      }
    }
    if (worst == 0)
      continue;
    keep[worst] = 1;
    part[0] = first;
    part[1] = worst;
    g_array_append_val (todo, part);
    part[0] = worst;
    part[1] = last;
    g_array_append_val (todo, part);
  }

  for (guint i = 0; i < n; i++) {
    if (keep[i]) {
      p[2 * kept] = p[2 * i];
      p[2 * kept + 1] = p[2 * i + 1];
      kept++;
    }
  }
  return kept;
}

static void
reverse (gfloat * p, guint n)
{
  for (guint i = 0, k = n - 1; i < k; i++, k--) {
    for (guint c = 0; c < 2; c++) {
      gfloat f = p[2 * i + c];

      p[2 * i + c] = p[2 * k + c];
      p[2 * k + c] = f;
    }
  }
}

static gboolean
ring_contains (const GstInstanceMaskRing * ring, gfloat x, gfloat y)
{
  const gfloat *p = ring->points;
  gboolean inside = FALSE;

  for (guint i = 0, k = ring->n_points - 1; i < ring->n_points; k = i++) {
    gfloat xi = p[2 * i], yi = p[2 * i + 1];
    gfloat xk = p[2 * k], yk = p[2 * k + 1];

    if ((yi > y) != (yk > y) && x < (xk - xi) * (y - yi) / (yk - yi) + xi)
      inside = !inside;
  }
  return inside;
}

/* The smallest outer ring around the hole. */
static GstInstanceMaskRing *
find_part (GPtrArray * outers, const GstInstanceMaskRing * hole)
{
  GstInstanceMaskRing *best = NULL;
  gdouble best_area = G_MAXDOUBLE;

  for (guint i = 0; i < outers->len; i++) {
    GstInstanceMaskRing *ring = g_ptr_array_index (outers, i);
    gdouble area = doubled_area (ring->points, ring->n_points);

    if (area < best_area
        && ring_contains (ring, hole->points[0], hole->points[1])) {
      best = ring;
      best_area = area;
    }
  }
  return best;
}

static void
trace (const Field * field, const GstInstanceMask * mask, gfloat tolerance,
    GPtrArray * outers, GPtrArray * holes)
{
  gsize n_edges = (gsize) field->x.n * field->y.n * 2;
  gboolean mirrored = (mask->scale_x < 0) != (mask->scale_y < 0);
  g_autoptr (GArray) line = g_array_new (FALSE, FALSE, 2 * sizeof (gfloat));

  for (gsize start = 0; start < n_edges; start++) {
    gfloat *points, last[2] = { NAN, NAN };
    gint edge = (gint) start;
    gdouble area;
    guint n;

    if (field->next[edge] < 0)
      continue;

    g_array_set_size (line, 0);
    while (field->next[edge] >= 0) {
      gfloat p[2];
      gint next = field->next[edge];

      crossing (field, edge, &p[0], &p[1]);
      p[0] = mask->offset_x + mask->scale_x * p[0];
      p[1] = mask->offset_y + mask->scale_y * p[1];
      if (p[0] != last[0] || p[1] != last[1])
        g_array_append_val (line, p);
      memcpy (last, p, sizeof (p));
      field->next[edge] = -1;
      edge = next;
    }

    points = (gfloat *) line->data;
    n = line->len;
    if (n > 1 && points[0] == last[0] && points[1] == last[1])
      n--;
    if (n >= 3)
      n = simplify (points, n, tolerance);
    if (n < 3)
      continue;
    if (mirrored)
      reverse (points, n);
    area = doubled_area (points, n);
    if (area > 0)
      g_ptr_array_add (outers, ring_new (points, n, FALSE));
    else if (area < 0)
      g_ptr_array_add (holes, ring_new (points, n, TRUE));
  }
}

static gint
parts_per_cell (gfloat scale)
{
  return (gint) CLAMP (ceilf (fabsf (scale) / 2), 1, 8);
}

/**
 * gst_instance_mask_to_polygons:
 * @mask: a #GstInstanceMask
 * @threshold: least value that counts, 1 to 255
 * @tolerance: how far in pixels outlines may stray from the mask's to have
 *   fewer points; 0 drops only points on straight lines
 *
 * The outlines of the mask at sub-pixel precision, as outer rings, each
 * followed by the rings of its holes. They are not cut at the frame.
 *
 * Returns: (transfer container) (element-type GstInstanceMaskRing): the rings;
 *   none if the mask is empty
 */
GPtrArray *
gst_instance_mask_to_polygons (const GstInstanceMask * mask,
    guint8 threshold, gfloat tolerance)
{
  GDestroyNotify free_ring = (GDestroyNotify) gst_instance_mask_ring_free;
  g_autoptr (GPtrArray) outers = NULL, holes = NULL;
  g_autofree GstInstanceMaskRing **parents = NULL;
  GPtrArray *rings = g_ptr_array_new_with_free_func (free_ring);
  const guint8 *grid;
  Field field;
  gint w, h, px, py;

  g_return_val_if_fail (mask != NULL, rings);
  g_return_val_if_fail (threshold > 0, rings);
  g_return_val_if_fail (tolerance >= 0, rings);

  grid = gst_instance_mask_peek_grid (mask);
  if (!grid)
    return rings;

  w = mask->grid_width;
  h = mask->grid_height;
  px = parts_per_cell (mask->scale_x);
  py = parts_per_cell (mask->scale_y);
  while ((px > 1 || py > 1) && (gint64) w * px * h * py > MAX_NODES) {
    px = MAX (px - 1, 1);
    py = MAX (py - 1, 1);
  }
  if ((gint64) w * h > MAX_CELLS)
    return rings;

  axis_init (&field.x, w, px);
  axis_init (&field.y, h, py);
  sample (&field, mask, grid, threshold);
  join (&field);

  outers = g_ptr_array_new ();
  holes = g_ptr_array_new ();
  trace (&field, mask, tolerance, outers, holes);
  g_free (field.x.pos);
  g_free (field.y.pos);
  g_free (field.values);
  g_free (field.next);

  parents = g_new (GstInstanceMaskRing *, holes->len + 1);
  for (guint k = 0; k < holes->len; k++)
    parents[k] = find_part (outers, g_ptr_array_index (holes, k));
  for (guint i = 0; i < outers->len; i++) {
    g_ptr_array_add (rings, g_ptr_array_index (outers, i));
    for (guint k = 0; k < holes->len; k++) {
      if (parents[k] == g_ptr_array_index (outers, i))
        g_ptr_array_add (rings, g_ptr_array_index (holes, k));
    }
  }
  /* Simplification can push a hole out of its part. */
  for (guint k = 0; k < holes->len; k++) {
    if (!parents[k])
      gst_instance_mask_ring_free (g_ptr_array_index (holes, k));
  }
  return rings;
}
