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

/* Columns or rows of pixels within the same quad: quad k lies between the cells
 * k - 1 and k, the first and last one between a cell and itself */
typedef struct
{
  gint start, end;              /* in the tile */
  gint quad;
} Run;

/* What pixels of a quad or block can be */
enum
{
  OUT = 1 << 0,
  IN = 1 << 1,
  EDGE = 1 << 2,
};

void
coverage_scratch_clear (CoverageScratch * scratch)
{
  scratch_clear (&scratch->fractions);
  scratch_clear (&scratch->runs);
  scratch_clear (&scratch->quads);
  scratch_clear (&scratch->types);
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

/* Runs of pixels and their position in a quad, for one direction: pixel k of @n
 * has its centre at @first + k + 0.5. @quads: as many as there are pixels */
INLINE gint
make_runs (Run * runs, gfloat * restrict fractions, gint * restrict quads,
    gint n, gint first, gdouble offset, gdouble scale, gint n_cells)
{
  gint k, n_runs = 0;

  for (k = 0; k < n; k++) {
    gdouble u = (first + k + 0.5 - offset) / scale - 0.5;
    gdouble inside = u <= 0 ? 0 : u >= n_cells - 1 ? n_cells - 1 : u;
    gint cell = (gint) inside;

    quads[k] = u <= 0 ? 0 : cell + 1;
    fractions[k] = inside - cell;
  }
  for (k = 0; k < n; k++) {
    if (k == 0 || quads[k] != quads[k - 1]) {
      runs[n_runs].start = k;
      runs[n_runs++].quad = quads[k];
    }
    runs[n_runs - 1].end = k + 1;
  }
  return n_runs;
}

/* Distance from the outline in pixels, p + q t, where t is the position
 * between two rows of cells: the value above the level divided by the length
 * of the gradient. Four neighbours f and a run of pixels at s between them, @n
 * of them, a multiple of LANES. */
INLINE void
set_ramp (gfloat * restrict p, gfloat * restrict q, const gfloat * s, gint n,
    gfloat f00, gfloat f10, gfloat f01, gfloat f11, gfloat ix, gfloat iy)
{
  /* half way down; it varies little within a quad */
  gfloat gx = (f10 - f00 + f11 - f01) * 0.5f * ix;
  gint i;

  n &= ~(LANES - 1);
  for (i = 0; i < n; i++) {
    gfloat upper = f00 + (f10 - f00) * s[i];
    gfloat dy = f01 + (f11 - f01) * s[i] - upper;
    gfloat gy = dy * iy;
    gfloat scale = 1 / sqrtf (gx * gx + gy * gy + 1e-6f);

    p[i] = (upper - LEVEL) * scale + 0.5f;
    q[i] = dy * scale;
  }
}

/* @n_rows rows of @n pixels, whole blocks. */
INLINE void
fill_ramp (guint8 * dst, gint stride, const gfloat * p, const gfloat * q,
    const gfloat * t, gint n, gint n_rows, gint opacity)
{
  gfloat scale = opacity;
  gint i, y;

  for (y = 0; y < n_rows; y++, dst += stride) {
    for (i = 0; i < n; i += LANES) {
      Floats v = (floats_load (p + i) + floats_load (q + i) * t[y]) * scale
          + 0.5f;
      Bytes c = ints_to_bytes (floats_to_ints (v, opacity));

      memcpy (dst + i, &c, LANES);
    }
  }
}

/* What the quads with the corners @a, @b, @c and @d are. @pixels is how much
 * nearer than a quad away the ramp ends, half a pixel beyond the outline. */
INLINE void
classify (guint8 * restrict types, const guint8 * restrict a,
    const guint8 * restrict b, const guint8 * restrict c,
    const guint8 * restrict d, gint n, gfloat pixels)
{
  gint i;

  for (i = 0; i < n; i++) {
    guint8 low = MIN (MIN (a[i], b[i]), MIN (c[i], d[i]));
    guint8 high = MAX (MAX (a[i], b[i]), MAX (c[i], d[i]));
    gfloat reach = 0.5f * (high - low) * pixels;

    types[i] = high + reach < LEVEL ? OUT : low - reach > LEVEL ? IN : EDGE;
  }
}

/* Finds the kinds of a row's blocks. @starts: the first column of each */
INLINE void
find_kinds (guint8 * kinds, gint n_blocks, const Run * columns,
    const gint * starts, const guint8 * types)
{
  gint i, k;

  for (k = 0; k < n_blocks; k++) {
    guint8 type = 0;

    for (i = starts[k]; columns[i].start < (k + 1) * TILE_BLOCK; i++)
      type |= types[columns[i].quad];
    kinds[k] = type == IN ? TILE_SOLID : type == OUT ? TILE_EMPTY : TILE_MIXED;
  }
}

/* Part of pixel @k that lies in [a, b] */
static gdouble
overlap (gint k, gdouble a, gdouble b)
{
  return MAX (MIN (k + 1, b) - MAX (k, a), 0);
}

/* Fades the pixels [x0, x1) x [y0, y1). */
static void
fade (Tile * tile, gint x0, gint y0, gint x1, gint y1, gdouble factor)
{
  guint f = (guint) (factor * 256 + 0.5);
  gint x, y;

  for (y = y0; y < y1; y++) {
    guint8 *row = tile->data + (gsize) y * tile->stride;
    guint8 *kinds = tile->kinds + (gsize) y * tile->n_blocks;

    for (x = x0; x < x1; x++) {
      if (kinds[x / TILE_BLOCK] != TILE_EMPTY) {
        tile_touch (tile, row, kinds, x / TILE_BLOCK);
        row[x] = (row[x] * f + 128) >> 8;
      }
    }
  }
}

/* The pixels that the edge of the grid cuts */
static void
fade_edges (Tile * tile, const MaskMap * map)
{
  gdouble x0 = map->offset_x, x1 = x0 + map->scale_x * map->width;
  gdouble y0 = map->offset_y, y1 = y0 + map->scale_y * map->height;
  gdouble left = MIN (x0, x1) - tile->x, right = MAX (x0, x1) - tile->x;
  gdouble top = MIN (y0, y1) - tile->y, bottom = MAX (y0, y1) - tile->y;
  gint first = (gint) ceil (CLAMP (left, 0, tile->width));
  gint last = MAX ((gint) CLAMP (right, 0, tile->width), first), k;

  for (k = 0; k < first; k++)
    fade (tile, k, 0, k + 1, tile->height, overlap (k, left, right));
  for (k = last; k < tile->width; k++)
    fade (tile, k, 0, k + 1, tile->height, overlap (k, left, right));
  first = (gint) ceil (CLAMP (top, 0, tile->height));
  last = MAX ((gint) CLAMP (bottom, 0, tile->height), first);
  for (k = 0; k < first; k++)
    fade (tile, 0, k, tile->width, k + 1, overlap (k, top, bottom));
  for (k = last; k < tile->height; k++)
    fade (tile, 0, k, tile->width, k + 1, overlap (k, top, bottom));
}

MULTIVERSION void
coverage_fill (Tile * tile, const MaskMap * map, guint8 opacity,
    CoverageScratch * scratch)
{
  gint width = tile->width, height = tile->height, stride = tile->stride;
  gint n_blocks = (width + TILE_BLOCK - 1) / TILE_BLOCK;
  gint n_columns, n_rows, first, last, i, j, k, y;
  gfloat *s = (gfloat *) scratch_get (&scratch->fractions,
      (3 * stride + height) * sizeof (gfloat));
  gfloat *p = s + stride, *q = p + stride, *t = q + stride;
  Run *columns = (Run *) scratch_get (&scratch->runs,
      (width + 1 + height) * sizeof (Run));
  Run *rows = columns + width + 1;
  gint *quads = (gint *) scratch_get (&scratch->quads,
      (MAX (width, height) + n_blocks) * sizeof (gint));
  gint *starts = quads + MAX (width, height);
  guint8 *types = scratch_get (&scratch->types, map->width + 1);
  gfloat ix = 1 / fabs (map->scale_x), iy = 1 / fabs (map->scale_y);

  tile->solid = opacity;
  n_columns = make_runs (columns, s, quads, width, tile->x, map->offset_x,
      map->scale_x, map->width);
  n_rows = make_runs (rows, t, quads, height, tile->y, map->offset_y,
      map->scale_y, map->height);
  /* so that nobody looks for more */
  columns[n_columns].start = G_MAXINT;
  for (i = 0, k = 0; k < n_blocks; k++) {
    while (columns[i].end <= k * TILE_BLOCK)
      i++;
    starts[k] = i;
  }
  /* whatever is computed beyond the width, it is of numbers */
  memset (s + width, 0, (stride - width) * sizeof (gfloat));
  memset (p, 0, 2 * stride * sizeof (gfloat));
  first = MIN (columns[0].quad, columns[n_columns - 1].quad);
  last = MAX (columns[0].quad, columns[n_columns - 1].quad);

  for (j = 0; j < n_rows; j++) {
    const guint8 *upper = map->grid + MAX (rows[j].quad - 1, 0) * map->stride;
    const guint8 *lower = map->grid
        + MIN (rows[j].quad, map->height - 1) * map->stride;
    gint n = rows[j].end - rows[j].start;
    guint8 *kinds = tile->kinds + (gsize) rows[j].start * tile->n_blocks;
    guint8 *data = tile->data + (gsize) rows[j].start * stride;

#define CLASSIFY(quad, n, l, r) classify (types + (quad), upper + (l), \
    upper + (r), lower + (l), lower + (r), n, ix + iy)
    if (first == 0)
      CLASSIFY (0, 1, 0, 0);
    if (last == map->width)
      CLASSIFY (last, 1, last - 1, last - 1);
    k = MAX (first, 1);
    CLASSIFY (k, MIN (last, map->width - 1) - k + 1, k - 1, k);
#undef CLASSIFY
    find_kinds (kinds, n_blocks, columns, starts, types);
    for (y = 1; y < n; y++)
      copy_kinds (kinds + y * tile->n_blocks, kinds, tile->n_blocks);

    for (k = 0; k < n_blocks; k = i) {
      i = MIN (next_kind (kinds, k, n_blocks), n_blocks);
      if (kinds[k] != TILE_MIXED)
        continue;
      for (y = starts[k]; columns[y].start < i * TILE_BLOCK; y++) {
        const Run *run = &columns[y];
        gint left = MAX (run->quad - 1, 0);
        gint right = MIN (run->quad, map->width - 1);

        /* what is too much is set again by the next one */
        set_ramp (p + run->start, q + run->start, s + run->start,
            run->end - run->start + LANES - 1, upper[left], upper[right],
            lower[left], lower[right], ix, iy);
      }
      fill_ramp (data + k * TILE_BLOCK, stride, p + k * TILE_BLOCK,
          q + k * TILE_BLOCK, t + rows[j].start, (i - k) * TILE_BLOCK, n,
          opacity);
    }
  }
  fade_edges (tile, map);
}

/* ---- contour ----------------------------------------------------------- */

/* A segment 2 @half_length long; its middle lies (x, y) from the centre of the
 * tile's pixel (@base, 0), its direction is (ux, uy). Only the pixels
 * [x0, x1) x [y0, y1) can be near it. */
typedef struct
{
  gdouble y;
  gfloat x, ux, uy, half_length;
  gint base;
  gint x0, y0, x1, y1;
} Segment;

typedef struct
{
  Tile *tile;
  gfloat half_width;
  gdouble reach;
  gint n_segments;
  Segment segments[64];         /* not yet drawn */
} Pen;

/* Raises the pixels near the segments: for each of them columns of LANES, from
 * top to bottom, so that little is left to do for a row. */
MULTIVERSION static void
stroke (Pen * pen)
{
  const Floats steps = { 0, 1, 2, 3, 4, 5, 6, 7 };
  const Tile tile = *pen->tile;
  const gfloat limit = pen->half_width + 0.5f;
  gint k, i, row;

  for (k = 0; k < pen->n_segments; k++) {
    const Segment segment = pen->segments[k];

    for (i = segment.x0; i < segment.x1; i += LANES) {
      const Floats px = steps + (gfloat) (i - segment.base) - segment.x;
      const Floats px_across = px * segment.uy, px_along = px * segment.ux;
      const guint left = (guint) i / TILE_BLOCK;
      const guint right = (guint) (i + LANES - 1) / TILE_BLOCK;
      guint8 *data = tile.data + (gsize) segment.y0 * tile.stride;
      guint8 *kinds = tile.kinds + (gsize) segment.y0 * tile.n_blocks;

      for (row = segment.y0; row < segment.y1; row++) {
        gfloat y = segment.y - row - 0.5;
        /* across, and along beyond the end */
        Floats across = px_across + y * segment.ux;
        Floats beyond = floats_abs (px_along - y * segment.uy)
            - segment.half_length;
        Bytes old, new, more;

        beyond = (beyond + floats_abs (beyond)) * 0.5f;
        new = ints_to_bytes (floats_to_ints ((limit - floats_sqrt (across
                        * across + beyond * beyond)) * 255 + 0.5f, 255));
        tile_touch (&tile, data, kinds, left);
        tile_touch (&tile, data, kinds, right);
        memcpy (&old, data + i, LANES);
        more = new > old;
        new = (new & more) | (old & ~more);
        memcpy (data + i, &new, LANES);
        data += tile.stride;
        kinds += tile.n_blocks;
      }
    }
  }
  pen->n_segments = 0;
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

/* Cuts a segment to where it can touch the tile. */
static gboolean
clip_segment (const Pen * pen, gdouble * x, gdouble * y, gdouble * dx,
    gdouble * dy)
{
  gdouble t0 = 0, t1 = 1, width = pen->tile->width, height = pen->tile->height;

  if (MIN (*x, *x + *dx) >= 0 && MAX (*x, *x + *dx) <= width
      && MIN (*y, *y + *dy) >= 0 && MAX (*y, *y + *dy) <= height)
    return TRUE;
  if (!clip_range (*x, *dx, -pen->reach, width + pen->reach, &t0, &t1)
      || !clip_range (*y, *dy, -pen->reach, height + pen->reach, &t0, &t1))
    return FALSE;
  *x += t0 * *dx;
  *y += t0 * *dy;
  *dx *= t1 - t0;
  *dy *= t1 - t0;
  return TRUE;
}

static void
stroke_segment (Pen * pen, gdouble ax, gdouble ay, gdouble bx, gdouble by)
{
  Tile *tile = pen->tile;
  gdouble dx = bx - ax, dy = by - ay, length;
  Segment *segment;

  ax -= tile->x;
  ay -= tile->y;
  if (!clip_segment (pen, &ax, &ay, &dx, &dy))
    return;
  length = sqrt (dx * dx + dy * dy);
  if (pen->n_segments == G_N_ELEMENTS (pen->segments))
    stroke (pen);
  segment = &pen->segments[pen->n_segments++];
  segment->ux = length > 1e-6 ? dx / length : 1;
  segment->uy = length > 1e-6 ? dy / length : 0;
  segment->half_length = length / 2;
  segment->x0 = MAX ((gint) (MIN (ax, ax + dx) - pen->reach), 0);
  segment->x1 = MIN ((gint) (MAX (ax, ax + dx) + pen->reach) + 1, tile->width);
  segment->y0 = MAX ((gint) (MIN (ay, ay + dy) - pen->reach), 0);
  segment->y1 = MIN ((gint) (MAX (ay, ay + dy) + pen->reach) + 1, tile->height);
  segment->base = segment->x0 & ~(TILE_BLOCK - 1);
  segment->x = ax + dx / 2 - segment->base - 0.5;
  segment->y = ay + dy / 2;
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
stroke_quad (Pen * pen, const Quad * f, gdouble s0, gdouble t0,
    gdouble s1, gdouble t1, gdouble x, gdouble y, gdouble sx, gdouble sy)
{
  gdouble ds = s1 - s0, dt = t1 - t0, px = x + s0 * sx, py = y + t0 * sy;
  /* the curve bends by |d ds dt| / 4 in value, over the gradient in pixels */
  gdouble gs = (f->b + f->d * (t0 + t1) / 2) / sx;
  gdouble gt = (f->c + f->d * (s0 + s1) / 2) / sy;
  gdouble bend = fabs (f->d * ds * dt) / 4 / sqrt (gs * gs + gt * gt + 1e-9);
  gint i, n;

  for (n = 1; n < 16 && n * n < bend / 0.1;)
    n++;
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
stroke_edge (Pen * pen, const MaskMap * map, gboolean vertical,
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
  Pen pen;
  gint i, j;

  pen.tile = tile;
  pen.half_width = width / 2;
  pen.reach = width / 2 + 1;
  pen.n_segments = 0;

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
  stroke (&pen);
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
    tile_set (tile, y, x0, x1);
}
