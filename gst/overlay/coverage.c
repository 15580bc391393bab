/* GStreamer instance masks
 *
 * coverage.c: soft masks -> tiles of anti-aliased coverage
 *
 * Between four neighbouring cells a mask is bilinear. Where all four are on
 * one side of the threshold, its pixels are all in or all out; only the few
 * quads that the outline passes through are computed pixel by pixel.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <string.h>

#include "maskdraw-private.h"

/* A cell is inside from 128 on. */
#define LEVEL 127.5f
/* Nothing farther out can be told apart from nonsense. */
#define MAX_COORD 1e9

/* Pixels that are computed together */
#define BLOCK 16

/* Columns or rows of pixels between the same two cells */
typedef struct
{
  gint start, end;              /* in the tile */
  gint cell0, cell1;
} Run;

/* What pixels of a run or block can be */
enum
{
  OUT = 1 << 0,
  IN = 1 << 1,
  EDGE = 1 << 2,
};

guint8 *
scratch_get (Scratch * scratch, gsize size)
{
  if (size > scratch->size) {
    /* with room for an object that comes nearer */
    scratch->size = size + size / 2;
    g_free (scratch->data);
    scratch->data = g_malloc (scratch->size + 32);
  }
  return (guint8 *) (((guintptr) scratch->data + 31) & ~(guintptr) 31);
}

void
scratch_clear (Scratch * scratch)
{
  g_free (scratch->data);
  scratch->data = NULL;
  scratch->size = 0;
}

void
coverage_scratch_clear (CoverageScratch * scratch)
{
  scratch_clear (&scratch->fractions);
  scratch_clear (&scratch->runs);
  scratch_clear (&scratch->blocks);
}

gboolean
tile_init (Tile * tile, Scratch * scratch, gint frame_width,
    gint frame_height, gdouble x0, gdouble y0, gdouble x1, gdouble y1)
{
  /* written such that a NaN gives FALSE */
  if (!(x0 < frame_width && y0 < frame_height && x1 > 0 && y1 > 0
          && x0 < x1 && y0 < y1))
    return FALSE;

  tile->frame_width = frame_width;
  tile->frame_height = frame_height;
  tile->x = (gint) floor (MAX (x0, 0)) & ~1;
  tile->y = (gint) floor (MAX (y0, 0)) & ~1;
  tile->width = GST_ROUND_UP_2 ((gint) ceil (MIN (x1, frame_width)) - tile->x);
  tile->height =
      GST_ROUND_UP_2 ((gint) ceil (MIN (y1, frame_height)) - tile->y);
  tile->stride = GST_ROUND_UP_32 (tile->width);
  tile->data = scratch_get (scratch, (gsize) tile->stride * tile->height);
  memset (tile->data, 0, (gsize) tile->stride * tile->height);
  return TRUE;
}

void
tile_finish (Tile * tile)
{
  gint y;

  if (tile->x + tile->width > tile->frame_width) {
    guint8 *column = tile->data + tile->width - 1;

    for (y = 0; y < tile->height; y++, column += tile->stride)
      column[0] = column[-1];
  }
  if (tile->y + tile->height > tile->frame_height) {
    guint8 *row = tile->data + (gsize) tile->stride * (tile->height - 1);

    memcpy (row, row - tile->stride, tile->width);
  }
}

static gboolean
is_coord (gdouble value)
{
  return value >= -MAX_COORD && value <= MAX_COORD;
}

/* First and last column or row of cells that is inside somewhere */
static gboolean
find_inside (MaskMap * map, gint * u0, gint * v0, gint * u1, gint * v1)
{
  gint i, j;

  *u0 = map->width;
  *v0 = map->height;
  *u1 = *v1 = -1;
  for (j = 0; j < map->height; j++) {
    const guint8 *row = map->grid + j * map->stride;
    gint left = 0, right = map->width - 1;

    while (left <= right && row[left] < 128)
      left++;
    if (left > right)
      continue;
    for (i = right; row[i] < 128;)
      i--;
    *u0 = MIN (*u0, left);
    *u1 = MAX (*u1, i);
    *v0 = MIN (*v0, j);
    *v1 = j;
  }
  return *v1 >= 0;
}

gboolean
mask_map_init (MaskMap * map, const GstInstanceMask * mask)
{
  static const guint8 inside = 255;
  gint u0, v0, u1, v1;

  if (mask->grid && mask->grid_width > 0 && mask->grid_height > 0) {
    gsize size;
    const guint8 *data = g_bytes_get_data (mask->grid, &size);

    if (mask->grid_width > G_MAXINT16 || mask->grid_height > G_MAXINT16
        || mask->grid_stride < mask->grid_width || mask->grid_offset > size
        || size - mask->grid_offset < mask->grid_width
        || (size - mask->grid_offset - mask->grid_width) / mask->grid_stride
        < mask->grid_height - 1)
      return FALSE;
    map->grid = data + mask->grid_offset;
    map->stride = mask->grid_stride;
    map->width = mask->grid_width;
    map->height = mask->grid_height;
    map->offset_x = mask->offset_x;
    map->offset_y = mask->offset_y;
    map->scale_x = mask->scale_x;
    map->scale_y = mask->scale_y;
  } else {
    map->grid = &inside;
    map->stride = map->width = map->height = 1;
    map->offset_x = mask->x0;
    map->offset_y = mask->y0;
    map->scale_x = mask->x1 - (gdouble) mask->x0;
    map->scale_y = mask->y1 - (gdouble) mask->y0;
    if (!(map->scale_x > 0 && map->scale_y > 0))
      return FALSE;
  }

  if (!is_coord (map->offset_x) || !is_coord (map->offset_y)
      || !is_coord (map->scale_x) || !is_coord (map->scale_y)
      || fabs (map->scale_x) < 1e-6 || fabs (map->scale_y) < 1e-6)
    return FALSE;
  if (!find_inside (map, &u0, &v0, &u1, &v1))
    return FALSE;

  /* from the centre of the last cell outside, or the edge of the grid */
  map->x0 = map->offset_x + map->scale_x * MAX (u0 - 0.5, 0);
  map->x1 = map->offset_x + map->scale_x * MIN (u1 + 1.5, map->width);
  map->y0 = map->offset_y + map->scale_y * MAX (v0 - 0.5, 0);
  map->y1 = map->offset_y + map->scale_y * MIN (v1 + 1.5, map->height);
  if (map->x0 > map->x1) {
    gdouble tmp = map->x0;

    map->x0 = map->x1;
    map->x1 = tmp;
  }
  if (map->y0 > map->y1) {
    gdouble tmp = map->y0;

    map->y0 = map->y1;
    map->y1 = tmp;
  }
  return TRUE;
}

/* Runs of pixels and their position between two cells, for one direction:
 * pixel k of @n has its centre at @first + k + 0.5. */
static gint
make_runs (Run * runs, gfloat * fractions, gint n, gint first, gdouble offset,
    gdouble scale, gint n_cells)
{
  gint k, n_runs = 0;

  for (k = 0; k < n; k++) {
    gdouble u = (first + k + 0.5 - offset) / scale - 0.5;
    gint cell0, cell1;

    if (u <= 0) {
      cell0 = cell1 = 0;
      fractions[k] = 0;
    } else if (u >= n_cells - 1) {
      cell0 = cell1 = n_cells - 1;
      fractions[k] = 0;
    } else {
      cell0 = (gint) u;
      cell1 = cell0 + 1;
      fractions[k] = u - cell0;
    }
    if (n_runs == 0 || runs[n_runs - 1].cell0 != cell0
        || runs[n_runs - 1].cell1 != cell1) {
      runs[n_runs].start = k;
      runs[n_runs].cell0 = cell0;
      runs[n_runs++].cell1 = cell1;
    }
    runs[n_runs - 1].end = k + 1;
  }
  return n_runs;
}

/* Distance from the outline in pixels, p + q t, where t is the position
 * between two rows of cells: the value above the level divided by the length
 * of the gradient. Four neighbours f and a run of pixels at s between them. */
MULTIVERSION static void
set_ramp (gfloat * restrict p, gfloat * restrict q, const gfloat * s, gint n,
    gfloat f00, gfloat f10, gfloat f01, gfloat f11, gfloat ix, gfloat iy)
{
  /* half way down; it varies little within a quad */
  gfloat gx = (f10 - f00 + f11 - f01) * 0.5f * ix;
  gint i;

  for (i = 0; i < n; i++) {
    gfloat upper = f00 + (f10 - f00) * s[i];
    gfloat dy = f01 + (f11 - f01) * s[i] - upper;
    gfloat gy = dy * iy;
    gfloat scale = 1 / sqrtf (gx * gx + gy * gy + 1e-6f);

    p[i] = (upper - LEVEL) * scale + 0.5f;
    q[i] = dy * scale;
  }
}

/* One row of @n pixels, whole blocks. The limits are those of integers, for
 * which there are instructions. */
MULTIVERSION static void
fill_ramp (guint8 * restrict dst, const gfloat * restrict p,
    const gfloat * restrict q, gfloat t, gint n, gint opacity)
{
  gfloat scale = opacity;
  gint i;

  n &= ~(BLOCK - 1);
  for (i = 0; i < n; i++) {
    gint c = (gint) ((p[i] + q[i] * t) * scale + 0.5f);

    c = MAX (c, 0);
    dst[i] = MIN (c, opacity);
  }
}

static gint
classify (gint f00, gint f10, gint f01, gint f11, gfloat pixels)
{
  gint low = MIN (MIN (f00, f10), MIN (f01, f11));
  gint high = MAX (MAX (f00, f10), MAX (f01, f11));
  /* the ramp reaches half a pixel beyond the outline */
  gfloat reach = 0.5f * (high - low) * pixels;

  if (low == high)
    return low < LEVEL ? OUT : IN;
  return high + reach < LEVEL ? OUT : low - reach > LEVEL ? IN : EDGE;
}

/* Part of pixel @k that lies in [a, b] */
static gdouble
overlap (gint k, gdouble a, gdouble b)
{
  return MAX (MIN (k + 1, b) - MAX (k, a), 0);
}

static void
scale_pixels (guint8 * data, gsize step, gint n, gdouble factor)
{
  guint f = (guint) (factor * 256 + 0.5);
  gint i;

  for (i = 0; i < n; i++)
    data[i * step] = (data[i * step] * f + 128) >> 8;
}

/* The pixels that the edge of the grid cuts */
static void
fade_edges (Tile * tile, const MaskMap * map)
{
  gdouble x0 = map->offset_x, x1 = x0 + map->scale_x * map->width;
  gdouble y0 = map->offset_y, y1 = y0 + map->scale_y * map->height;
  gdouble left = MIN (x0, x1) - tile->x, right = MAX (x0, x1) - tile->x;
  gdouble top = MIN (y0, y1) - tile->y, bottom = MAX (y0, y1) - tile->y;
  gint k;

  for (k = 0; k < tile->width; k++) {
    gdouble part = overlap (k, left, right);

    if (part < 1)
      scale_pixels (tile->data + k, tile->stride, tile->height, part);
  }
  for (k = 0; k < tile->height; k++) {
    gdouble part = overlap (k, top, bottom);

    if (part < 1)
      scale_pixels (tile->data + (gsize) k * tile->stride, 1, tile->width,
          part);
  }
}

void
coverage_fill (Tile * tile, const MaskMap * map, guint8 opacity,
    CoverageScratch * scratch)
{
  gint width = tile->width, height = tile->height, stride = tile->stride;
  gint n_blocks = stride / BLOCK, n_columns, n_rows, i, j, k, y;
  gfloat *s = (gfloat *) scratch_get (&scratch->fractions,
      (3 * stride + height) * sizeof (gfloat));
  gfloat *p = s + stride, *q = p + stride, *t = q + stride;
  Run *columns = (Run *) scratch_get (&scratch->runs,
      (width + height) * sizeof (Run));
  Run *rows = columns + width;
  guint8 *blocks = scratch_get (&scratch->blocks, n_blocks + width);
  guint8 *types = blocks + n_blocks;
  gfloat ix = 1 / fabs (map->scale_x), iy = 1 / fabs (map->scale_y);

  n_columns = make_runs (columns, s, width, tile->x, map->offset_x,
      map->scale_x, map->width);
  n_rows = make_runs (rows, t, height, tile->y, map->offset_y, map->scale_y,
      map->height);
  /* the slack stays 0 */
  for (k = width; k < stride; k++) {
    p[k] = -1;
    q[k] = 0;
  }

  for (j = 0; j < n_rows; j++) {
    const guint8 *upper = map->grid + rows[j].cell0 * map->stride;
    const guint8 *lower = map->grid + rows[j].cell1 * map->stride;

    memset (blocks, 0, n_blocks);
    for (i = 0; i < n_columns; i++) {
      const Run *run = &columns[i];

      types[i] = classify (upper[run->cell0], upper[run->cell1],
          lower[run->cell0], lower[run->cell1], ix + iy);
      for (k = run->start / BLOCK; k <= (run->end - 1) / BLOCK; k++)
        blocks[k] |= types[i];
    }
    if (width % BLOCK)
      blocks[width / BLOCK] |= OUT;

    for (i = 0; i < n_columns; i++) {
      const Run *run = &columns[i];
      gint used = 0;

      for (k = run->start / BLOCK; k <= (run->end - 1) / BLOCK; k++)
        used |= blocks[k];
      if (used != OUT && used != IN)
        set_ramp (p + run->start, q + run->start, s + run->start,
            run->end - run->start, upper[run->cell0], upper[run->cell1],
            lower[run->cell0], lower[run->cell1], ix, iy);
    }

    for (k = 0; k < n_blocks; k = i) {
      gint type = blocks[k];
      gint first = k * BLOCK;

      /* neighbours of the same kind together */
      if (type == OUT || type == IN) {
        for (i = k + 1; i < n_blocks && blocks[i] == type;)
          i++;
      } else {
        for (i = k + 1; i < n_blocks && blocks[i] != OUT && blocks[i] != IN;)
          i++;
      }
      for (y = rows[j].start; y < rows[j].end && type != OUT; y++) {
        guint8 *dst = tile->data + (gsize) y * stride + first;

        if (type == IN)
          memset (dst, opacity, (i - k) * BLOCK);
        else
          fill_ramp (dst, p + first, q + first, t[y], (i - k) * BLOCK, opacity);
      }
    }
  }
  fade_edges (tile, map);
}

/* ---- contour ----------------------------------------------------------- */

typedef struct
{
  Tile *tile;
  gfloat half_width;
  gdouble reach;
} Pen;

/* Raises the pixels near a segment 2 @half_length long; its middle lies (x, y)
 * from the centre of the first pixel, its direction is (ux, uy). @n is a
 * multiple of BLOCK. */
MULTIVERSION static void
stroke_row (guint8 * dst, gint n, gfloat x, gfloat y, gfloat ux, gfloat uy,
    gfloat half_length, gfloat half_width)
{
  gint i;

  n &= ~(BLOCK - 1);
  for (i = 0; i < n; i++) {
    gfloat px = i - x;
    /* across, and along beyond the end */
    gfloat across = px * uy + y * ux;
    gfloat beyond = fabsf (px * ux - y * uy) - half_length;
    gint c;

    beyond = (beyond + fabsf (beyond)) * 0.5f;
    c = (gint) ((half_width + 0.5f - sqrtf (across * across
                + beyond * beyond)) * 255 + 0.5f);
    c = MAX (c, dst[i]);
    dst[i] = MIN (c, 255);
  }
}

/* Cuts [t0, t1] to where p + t d lies in [low, high]. */
static gboolean
clip_range (gdouble p, gdouble d, gdouble low, gdouble high, gdouble * t0,
    gdouble * t1)
{
  gdouble a, b;

  if (fabs (d) < 1e-9)
    return p >= low && p <= high;
  a = (low - p) / d;
  b = (high - p) / d;
  *t0 = MAX (*t0, MIN (a, b));
  *t1 = MIN (*t1, MAX (a, b));
  return *t0 < *t1;
}

static void
stroke_segment (const Pen * pen, gdouble ax, gdouble ay, gdouble bx,
    gdouble by)
{
  Tile *tile = pen->tile;
  gdouble dx = bx - ax, dy = by - ay, t0 = 0, t1 = 1, length, ux = 1, uy = 0;
  gint x0, y0, x1, y1, y;

  ax -= tile->x;
  ay -= tile->y;
  if (!clip_range (ax, dx, -pen->reach, tile->width + pen->reach, &t0, &t1)
      || !clip_range (ay, dy, -pen->reach, tile->height + pen->reach, &t0, &t1))
    return;
  ax += t0 * dx;
  ay += t0 * dy;
  dx *= t1 - t0;
  dy *= t1 - t0;
  length = sqrt (dx * dx + dy * dy);
  if (length > 1e-6) {
    ux = dx / length;
    uy = dy / length;
  }
  /* whole blocks; what falls into the slack is never looked at */
  x0 = MAX ((gint) floor (MIN (ax, ax + dx) - pen->reach), 0) & ~(BLOCK - 1);
  x1 = MIN ((gint) ceil (MAX (ax, ax + dx) + pen->reach), tile->width);
  x1 = GST_ROUND_UP_16 (x1);
  y0 = MAX ((gint) floor (MIN (ay, ay + dy) - pen->reach), 0);
  y1 = MIN ((gint) ceil (MAX (ay, ay + dy) + pen->reach), tile->height);
  for (y = y0; y < y1 && x0 < x1; y++)
    stroke_row (tile->data + (gsize) y * tile->stride + x0, x1 - x0,
        ax + dx / 2 - x0 - 0.5, ay + dy / 2 - y - 0.5, ux, uy, length / 2,
        pen->half_width);
}

/* Position of node @n of the grid extended by its edges */
static gdouble
node_position (gint n, gint n_cells)
{
  return n <= 0 ? 0 : n > n_cells ? n_cells : n - 0.5;
}

/* The value in a quad is a + b s + c t + d s t. */
typedef struct
{
  gdouble a, b, c, d;
} Quad;

/* Outline in one quad, from (s0, t0) to (s1, t1): a piece of a hyperbola,
 * split into chords that it does not leave visibly. */
static void
stroke_quad (const Pen * pen, const Quad * f, gdouble s0, gdouble t0,
    gdouble s1, gdouble t1, gdouble x, gdouble y, gdouble sx, gdouble sy)
{
  gdouble ds = s1 - s0, dt = t1 - t0, px = x + s0 * sx, py = y + t0 * sy;
  /* the curve bends by |d ds dt| / 4 in value, over the gradient in pixels */
  gdouble gs = (f->b + f->d * (t0 + t1) / 2) / sx;
  gdouble gt = (f->c + f->d * (s0 + s1) / 2) / sy;
  gdouble bend = fabs (f->d * ds * dt) / 4 / sqrt (gs * gs + gt * gt + 1e-9);
  gint i, n = CLAMP ((gint) ceil (sqrt (MIN (bend, 100) / 0.1)), 1, 16);

  for (i = 1; i <= n; i++) {
    gdouble s = s0 + ds * i / n, t = t0 + dt * i / n, qx, qy, slope;

    if (i < n && fabs (ds) > fabs (dt)) {
      slope = f->c + f->d * s;
      if (fabs (slope) > 1e-3)
        t = CLAMP (-(f->a + f->b * s) / slope, 0, 1);
    } else if (i < n) {
      slope = f->b + f->d * t;
      if (fabs (slope) > 1e-3)
        s = CLAMP (-(f->a + f->c * t) / slope, 0, 1);
    }
    qx = x + s * sx;
    qy = y + t * sy;
    stroke_segment (pen, px, py, qx, qy);
    px = qx;
    py = qy;
  }
}

static gdouble
crossing (gint f0, gint f1)
{
  return (LEVEL - f0) / (f1 - f0);
}

/* Where the mask is inside up to the edge of its grid, that edge is part of
 * the outline; but not along the edge of the frame, beyond which the object
 * may go on. */
static void
stroke_edge (const Pen * pen, const MaskMap * map, gboolean vertical,
    gboolean far_side)
{
  gint n = vertical ? map->height : map->width, k;
  gint n_across = vertical ? map->width : map->height;
  gsize step = vertical ? map->stride : 1;
  gsize across = vertical ? 1 : map->stride;
  const guint8 *cells = map->grid + (far_side ? across * (n_across - 1) : 0);
  gdouble offset = vertical ? map->offset_y : map->offset_x;
  gdouble scale = vertical ? map->scale_y : map->scale_x;
  gdouble edge = vertical ?
      map->offset_x + (far_side ? map->scale_x * n_across : 0) :
      map->offset_y + (far_side ? map->scale_y * n_across : 0);
  gint size = vertical ? pen->tile->frame_width : pen->tile->frame_height;

  if (edge < 1 || edge > size - 1)
    return;
  for (k = 0; k <= n; k++) {
    gint f0 = cells[step * MAX (k - 1, 0)], f1 = cells[step * MIN (k, n - 1)];
    gdouble p0 = node_position (k, n), p1 = node_position (k + 1, n);
    gdouble cut;

    if (f0 < 128 && f1 < 128)
      continue;
    if (f0 < 128 || f1 < 128) {
      cut = p0 + (p1 - p0) * crossing (f0, f1);
      if (f0 < 128)
        p0 = cut;
      else
        p1 = cut;
    }
    p0 = offset + scale * p0;
    p1 = offset + scale * p1;
    if (vertical)
      stroke_segment (pen, edge, p0, edge, p1);
    else
      stroke_segment (pen, p0, edge, p1, edge);
  }
}

void
coverage_contour (Tile * tile, const MaskMap * map, gdouble width)
{
  Pen pen = { tile, width / 2, width / 2 + 1 };
  gint i, j;

  for (j = 0; j <= map->height; j++) {
    const guint8 *upper = map->grid + MAX (j - 1, 0) * map->stride;
    const guint8 *lower = map->grid + MIN (j, map->height - 1) * map->stride;
    gdouble v = node_position (j, map->height);
    gdouble sy = map->scale_y * (node_position (j + 1, map->height) - v);
    gdouble y = map->offset_y + map->scale_y * v;

    for (i = 0; i <= map->width; i++) {
      gint left = MAX (i - 1, 0), right = MIN (i, map->width - 1);
      gint f00 = upper[left], f10 = upper[right];
      gint f01 = lower[left], f11 = lower[right];
      guint inside = (f00 >> 7) | (f10 >> 7) << 1 | (f01 >> 7) << 2
          | (f11 >> 7) << 3;
      gdouble u, sx, x, s[4], t[4];
      Quad f;
      gint n = 0;

      if (inside == 0 || inside == 0xf)
        continue;
      u = node_position (i, map->width);
      sx = map->scale_x * (node_position (i + 1, map->width) - u);
      x = map->offset_x + map->scale_x * u;
      f = (Quad) { f00 - LEVEL, f10 - f00, f01 - f00, f00 - f10 - f01 + f11 };

      /* crossings of the sides in the order top, right, bottom, left */
      if ((f00 ^ f10) & 0x80) {
        s[n] = crossing (f00, f10);
        t[n++] = 0;
      }
      if ((f10 ^ f11) & 0x80) {
        s[n] = 1;
        t[n++] = crossing (f10, f11);
      }
      if ((f01 ^ f11) & 0x80) {
        s[n] = crossing (f01, f11);
        t[n++] = 1;
      }
      if ((f00 ^ f01) & 0x80) {
        s[n] = 0;
        t[n++] = crossing (f00, f01);
      }

      if (n == 2) {
        stroke_quad (&pen, &f, s[0], t[0], s[1], t[1], x, y, sx, sy);
      } else {
        /* Two corners across are inside: joined if the saddle between them
         * is inside, too. */
        gdouble saddle = f.a - f.b * f.c / f.d;
        gint first = (saddle > 0) == (f00 >= 128) ? 0 : 3;

        stroke_quad (&pen, &f, s[first], t[first], s[(first + 1) % 4],
            t[(first + 1) % 4], x, y, sx, sy);
        stroke_quad (&pen, &f, s[(first + 2) % 4], t[(first + 2) % 4],
            s[(first + 3) % 4], t[(first + 3) % 4], x, y, sx, sy);
      }
    }
  }
  stroke_edge (&pen, map, FALSE, FALSE);
  stroke_edge (&pen, map, FALSE, TRUE);
  stroke_edge (&pen, map, TRUE, FALSE);
  stroke_edge (&pen, map, TRUE, TRUE);
}

void
coverage_rectangle (Tile * tile, gint x0, gint y0, gint x1, gint y1)
{
  gint y;

  x0 = MAX (x0 - tile->x, 0);
  x1 = MIN (x1 - tile->x, tile->width);
  y0 = MAX (y0 - tile->y, 0);
  y1 = MIN (y1 - tile->y, tile->height);
  for (y = y0; y < y1 && x0 < x1; y++)
    memset (tile->data + (gsize) y * tile->stride + x0, 255, x1 - x0);
}
