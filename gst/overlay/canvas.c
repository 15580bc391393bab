/* GStreamer instance masks
 *
 * canvas.c: blends coverage into the planes of a frame, whatever its format
 *
 * What a tile covers as a whole needs no more than a factor and a summand for
 * each byte of the plane. Where its coverage varies, it is turned into one
 * coverage per byte, so that one way to blend does for all formats.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "maskdraw-private.h"

#define PREFETCH_ROWS 3

/* ---- loops ------------------------------------------------------------- */

/* Rows of a frame lie too far apart for the processor to guess the next. */
INLINE void
prefetch (const guint8 * data, gint n)
{
  gint i;

  for (i = 0; i < n; i += 64)
    __builtin_prefetch (data + i, 1);
}

INLINE void
blend_bytes (guint8 * restrict dst, const guint8 * restrict src,
    const guint8 * restrict coverage, gint n)
{
  gint i;

  for (i = 0; i < n; i++) {
    guint16 a = coverage[i] + (coverage[i] >> 7);

    /* at most 255 * 256 + 128, so 16 bits are enough */
    dst[i] = (guint16) (dst[i] * (256 - a) + src[i] * a + 128) >> 8;
  }
}

/* The same on the first @n bytes of a vector */
INLINE void
blend_vector (guint8 * dst, const guint8 * src, Bytes16 coverage, gint n)
{
  Bytes16 d = { 0, }, s = { 0, };
  Words a, low, high;

  memcpy (&d, dst, n);
  memcpy (&s, src, n);
  a = bytes_to_words_low (coverage);
  a += a >> 7;
  low = bytes_to_words_low (d) * (256 - a) + bytes_to_words_low (s) * a + 128;
  a = bytes_to_words_high (coverage);
  a += a >> 7;
  high = bytes_to_words_high (d) * (256 - a) + bytes_to_words_high (s) * a
      + 128;
  d = words_to_bytes (low >> 8, high >> 8);
  memcpy (dst, &d, n);
}

/* The same over coverage that is known beforehand: what is kept of the frame,
 * in 256ths, and what is added, rounding included */
INLINE void
blend_constant (guint8 * restrict dst, const guint16 * restrict keep,
    const guint16 * restrict add, gint n)
{
  gint i;

  for (i = 0; i < n; i++)
    dst[i] = (guint16) (dst[i] * keep[i] + add[i]) >> 8;
}

/* ---- formats ----------------------------------------------------------- */

/* Samples of 16 bits whose upper ones count, as two bytes. Blending is linear,
 * so each byte can be blended by itself: the lower one of a colour is 0. */
static gboolean
is_two_bytes (const GstVideoFormatInfo * info, gint c)
{
  return GST_VIDEO_FORMAT_INFO_IS_LE (info)
      && GST_VIDEO_FORMAT_INFO_DEPTH (info, c)
      + GST_VIDEO_FORMAT_INFO_SHIFT (info, c) == 16;
}

/* Groups of one plane from the format's description; FALSE if it packs bits or
 * needs more than 8 of them and less than 16. */
static gboolean
init_plane (CanvasPlane * plane, const GstVideoInfo * frame_info, gint p)
{
  const GstVideoFormatInfo *info = frame_info->finfo;
  gint n_components = GST_VIDEO_FORMAT_INFO_N_COMPONENTS (info);
  gint c, k, w_sub = 0, h_sub = 0;

  memset (plane, 0, sizeof (CanvasPlane));
  for (c = 0; c < 4; c++)
    plane->component[c] = plane->pixel[c] = -1;

  for (c = 0; c < n_components; c++) {
    if ((gint) GST_VIDEO_FORMAT_INFO_PLANE (info, c) != p)
      continue;
    plane->bytes = MAX (plane->bytes, GST_VIDEO_FORMAT_INFO_PSTRIDE (info, c));
    w_sub = MAX (w_sub, (gint) GST_VIDEO_FORMAT_INFO_W_SUB (info, c));
    h_sub = MAX (h_sub, (gint) GST_VIDEO_FORMAT_INFO_H_SUB (info, c));
  }
  if (plane->bytes < 1 || plane->bytes > 4 || w_sub > 1 || h_sub > 1)
    return FALSE;
  plane->width = 1 << w_sub;
  plane->height = 1 << h_sub;

  for (c = 0; c < n_components; c++) {
    gint first = GST_VIDEO_FORMAT_INFO_POFFSET (info, c);
    gint step = GST_VIDEO_FORMAT_INFO_PSTRIDE (info, c);
    gboolean whole = (gint) GST_VIDEO_FORMAT_INFO_W_SUB (info, c) == w_sub;

    if ((gint) GST_VIDEO_FORMAT_INFO_PLANE (info, c) != p)
      continue;
    if (is_two_bytes (info, c)) {
      /* GStreamer says 1 of P010's V */
      first = GST_ROUND_UP_2 (first);
      plane->component[first++] = CANVAS_LOW_BYTE;
    } else if (GST_VIDEO_FORMAT_INFO_DEPTH (info, c) != 8) {
      return FALSE;
    }
    for (k = 0; first + k * step < plane->bytes; k++) {
      plane->component[first + k * step] = c;
      plane->pixel[first + k * step] = whole ? -1 : (gint8) k;
    }
  }
  plane->n_groups =
      GST_VIDEO_SUB_SCALE (w_sub, GST_VIDEO_INFO_WIDTH (frame_info));
  plane->n_rows =
      GST_VIDEO_SUB_SCALE (h_sub, GST_VIDEO_INFO_HEIGHT (frame_info));
  return TRUE;
}

/* Rows of canvas->matrix: RGB 0..255 -> components 0..255, or the upper eight
 * of their bits */
static void
init_colorimetry (Canvas * canvas, const GstVideoInfo * info)
{
  gint offset[GST_VIDEO_MAX_COMPONENTS], scale[GST_VIDEO_MAX_COMPONENTS];
  gdouble kr = 0.299, kb = 0.114, kg, m[3][3];
  gint i, j;

  gst_video_color_range_offsets (info->colorimetry.range, info->finfo, offset,
      scale);
  memset (m, 0, sizeof (m));
  if (GST_VIDEO_INFO_IS_RGB (info)) {
    m[0][0] = m[1][1] = m[2][2] = 1;
  } else {
    if (!gst_video_color_matrix_get_Kr_Kb (info->colorimetry.matrix, &kr,
            &kb)) {
      kr = 0.299;
      kb = 0.114;
    }
    kg = 1 - kr - kb;
    m[0][0] = kr;
    m[0][1] = kg;
    m[0][2] = kb;
    m[1][0] = -kr / (2 * (1 - kb));
    m[1][1] = -kg / (2 * (1 - kb));
    m[1][2] = 0.5;
    m[2][0] = 0.5;
    m[2][1] = -kg / (2 * (1 - kr));
    m[2][2] = -kb / (2 * (1 - kr));
  }
  for (i = 0; i < 3; i++) {
    /* of formats with one component, only the first is known and needed */
    gboolean known = i < (gint) GST_VIDEO_INFO_N_COMPONENTS (info);
    gint unit = known ? 1 << (GST_VIDEO_INFO_COMP_DEPTH (info, i) - 8) : 1;

    for (j = 0; j < 3; j++)
      canvas->matrix[i][j] = known ? m[i][j] * scale[i] / unit / 255 : 0;
    canvas->offset[i] = known ? (gfloat) offset[i] / unit : 0;
  }
}

gboolean
canvas_init (Canvas * canvas, const GstVideoInfo * frame_info,
    GstVideoFrame * frame)
{
  const GstVideoFormatInfo *info = frame_info->finfo;
  gint p;

  if (GST_VIDEO_FORMAT_INFO_IS_COMPLEX (info)
      || GST_VIDEO_FORMAT_INFO_IS_TILED (info)
      || GST_VIDEO_FORMAT_INFO_HAS_PALETTE (info)
      || GST_VIDEO_FORMAT_INFO_N_PLANES (info) == 0)
    return FALSE;
  canvas->n_planes = GST_VIDEO_FORMAT_INFO_N_PLANES (info);
  canvas->grain = 1;
  for (p = 0; p < canvas->n_planes; p++) {
    if (!init_plane (&canvas->planes[p], frame_info, p))
      return FALSE;
    if (frame) {
      canvas->planes[p].data = GST_VIDEO_FRAME_PLANE_DATA (frame, p);
      canvas->planes[p].stride = GST_VIDEO_FRAME_PLANE_STRIDE (frame, p);
      if (canvas->planes[p].data == NULL)
        return FALSE;
    }
    canvas->grain = MAX (canvas->grain, canvas->planes[p].width);
  }
  canvas->width = GST_VIDEO_INFO_WIDTH (frame_info);
  canvas->height = GST_VIDEO_INFO_HEIGHT (frame_info);
  canvas->has_alpha = GST_VIDEO_FORMAT_INFO_HAS_ALPHA (info);
  init_colorimetry (canvas, frame_info);
  return TRUE;
}

void
canvas_clear (Canvas * canvas)
{
  scratch_clear (&canvas->source);
}

void
canvas_get_color (const Canvas * canvas, guint32 rgb, guint8 color[4])
{
  gfloat r = (rgb >> 16) & 0xff, g = (rgb >> 8) & 0xff, b = rgb & 0xff;
  gint i;

  for (i = 0; i < 3; i++) {
    const gfloat *m = canvas->matrix[i];
    gfloat v = m[0] * r + m[1] * g + m[2] * b + canvas->offset[i];

    color[i] = (gint) (CLAMP (v, 0, 255) + 0.5f);
  }
  color[3] = 255;
}

/* ---- blending ---------------------------------------------------------- */

void
canvas_plane_get_region (const CanvasPlane * plane, const Tile * tile,
    gint * group, gint * row, gint * n_groups, gint * n_rows)
{
  *group = tile->x / plane->width;
  *row = tile->y / plane->height;
  *n_groups = MIN (tile->width / plane->width, plane->n_groups - *group);
  *n_rows = MIN (tile->height / plane->height, plane->n_rows - *row);
}

/* What is blended into a plane */
typedef struct
{
  const guint8 *data;
  gint stride;                  /* 0: always the same row */
  guint components;
  /* for solid blocks: of one colour, or their coverage byte by byte */
  const guint16 *keep, *add;
  const guint8 *solid;
} Source;

/* A part of a plane, and what lies over it */
typedef struct
{
  guint8 *dst;
  const guint8 *src, *coverage;
  gint dst_stride, src_stride;
  gint stride, below;           /* of the coverage, and its second row */
  gint n, n_rows;               /* bytes, rows */
  gint n_more;                  /* rows that will be blended next */
  Bytes16 mask;                 /* of groups of four bytes, those to change */
  gint first_luma;              /* byte of a group of packed 4:2:2, else -1 */
} Part;

INLINE void
prefetch_row (const Part * part, const guint8 * dst, gint y)
{
  if (y + PREFETCH_ROWS < part->n_rows + part->n_more)
    prefetch (dst + PREFETCH_ROWS * part->dst_stride, part->n);
}

INLINE void
blend_solid (const Part * part, const guint16 * keep, const guint16 * add)
{
  guint8 *dst = part->dst;
  gint y;

  for (y = 0; y < part->n_rows; y++, dst += part->dst_stride) {
    prefetch_row (part, dst, y);
    blend_constant (dst, keep, add, part->n);
  }
}

/* Solid blocks of an image */
INLINE void
blend_rows (const Part * part, const guint8 * coverage)
{
  const guint8 *src = part->src;
  guint8 *dst = part->dst;
  gint y;

  for (y = 0; y < part->n_rows; y++, dst += part->dst_stride) {
    prefetch_row (part, dst, y);
    blend_bytes (dst, src, coverage, part->n);
    src += part->src_stride;
  }
}

/* The coverage of a block, byte by byte, in a plane of groups of @bytes bytes
 * for @width pixels; @b is the row below @a that is meant, too. */
INLINE void
expand (const Part * part, gint width, gint bytes, Bytes16 a, Bytes16 b,
    Bytes16 out[4])
{
  Words even = (Words) a & 0xff, odd = (Words) a >> 8, mean;

  if (width == 1 && bytes == 1) {
    out[0] = a;
  } else if (width == 1 && bytes == 2) {
    out[0] = bytes_zip_low (a, a);
    out[1] = bytes_zip_high (a, a);
  } else if (width == 1 && bytes == 3) {
    out[0] = SHUFFLE (Bytes16, a, a, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4,
        4, 5);
    out[1] = SHUFFLE (Bytes16, a, a, 5, 5, 6, 6, 6, 7, 7, 7, 8, 8, 8, 9, 9, 9,
        10, 10);
    out[2] = SHUFFLE (Bytes16, a, a, 10, 11, 11, 11, 12, 12, 12, 13, 13, 13,
        14, 14, 14, 15, 15, 15);
  } else if (width == 1) {
    Words low = (Words) bytes_zip_low (a, a), high =
        (Words) bytes_zip_high (a, a);

    out[0] = (Bytes16) words_zip_low (low, low) & part->mask;
    out[1] = (Bytes16) words_zip_high (low, low) & part->mask;
    out[2] = (Bytes16) words_zip_low (high, high) & part->mask;
    out[3] = (Bytes16) words_zip_high (high, high) & part->mask;
  } else if (bytes <= 2) {
    /* of 2 x 2 pixels; twice for interleaved chroma */
    mean = (even + odd + ((Words) b & 0xff) + ((Words) b >> 8) + 2) >> 2;
    out[0] = bytes == 1 ? words_to_bytes (mean, mean) :
        (Bytes16) (mean | mean << 8);
  } else if (part->first_luma < 0) {
    /* of 2 x 2 pixels, for two samples of two bytes */
    mean = (even + odd + ((Words) b & 0xff) + ((Words) b >> 8) + 2) >> 2;
    mean |= mean << 8;
    out[0] = (Bytes16) words_zip_low (mean, mean);
    out[1] = (Bytes16) words_zip_high (mean, mean);
  } else {
    /* Packed 4:2:2: two pixels each, and their mean between them */
    Words left, right;

    if (LOW (2)) {
      mean = even;
      even = odd;
      odd = mean;
    }
    mean = (even + odd + 1) >> 1;
    if (part->first_luma == LOW (2)) {
      left = even | mean << 8;
      right = odd | mean << 8;
    } else {
      left = even << 8 | mean;
      right = odd << 8 | mean;
    }
    out[0] = (Bytes16) words_zip_low (left, right);
    out[1] = (Bytes16) words_zip_high (left, right);
  }
}

/* Mixed blocks. As @width and @bytes are known where this is built in, so is
 * all work on a block. */
INLINE void
blend_mixed (const Part * part, gint width, gint bytes)
{
  const gint size = TILE_BLOCK / width * bytes, step = MIN (size, 16);
  const guint8 *row = part->coverage, *src = part->src;
  guint8 *dst = part->dst;
  gint y, x, i;

  for (y = 0; y < part->n_rows; y++) {
    const guint8 *a = row;

    prefetch_row (part, dst, y);
    for (x = 0; x < part->n; x += size, a += TILE_BLOCK) {
      gint n = part->n - x;
      Bytes16 coverage[4];

      expand (part, width, bytes, bytes_load (a), bytes_load (a + part->below),
          coverage);
      if (n >= size) {
        for (i = 0; i < size; i += step)
          blend_vector (dst + x + i, src + x + i, coverage[i / step], step);
      } else {
        blend_bytes (dst + x, src + x, (const guint8 *) coverage, n);
      }
    }
    dst += part->dst_stride;
    src += part->src_stride;
    row += part->stride;
  }
}

/* Makes the rows that a row of @plane stands for alike; returns the kinds. */
INLINE const guint8 *
match_rows (const Tile * tile, const CanvasPlane * plane, gint y)
{
  guint8 *row = tile->data + (gsize) y * plane->height * tile->stride;
  guint8 *kinds = tile->kinds + (gsize) y * plane->height * tile->n_blocks;
  gint n = tile->n_blocks, k;

  if (plane->height == 1 || same_kinds (kinds, kinds + n, n))
    return kinds;
  for (k = 0; k < n; k++) {
    if (kinds[k] != kinds[n + k]) {
      tile_touch (tile, row, kinds, k);
      tile_touch (tile, row + tile->stride, kinds + n, k);
    }
  }
  return kinds;
}

MULTIVERSION static void
blend_plane (const CanvasPlane * plane, const Tile * tile, const Source * src)
{
  gint group, row, n_groups, n_rows, n_blocks, size, top, bottom, k, end;
  Part part;

  canvas_plane_get_region (plane, tile, &group, &row, &n_groups, &n_rows);
  n_blocks = (n_groups * plane->width + TILE_BLOCK - 1) / TILE_BLOCK;
  size = TILE_BLOCK / plane->width * plane->bytes;
  part.dst_stride = plane->stride;
  part.src_stride = src->stride;
  part.stride = tile->stride * plane->height;
  part.below = part.stride - tile->stride;
  part.first_luma = plane->pixel[0] == 0 ? 0 : plane->pixel[1] == 0 ? 1 : -1;
  for (k = 0; k < 16; k++)
    part.mask[k] = plane->component[k % 4] >= 0
        && (src->components >> plane->component[k % 4] & 1) ? 0xff : 0;

  for (top = 0; top < n_rows; top = bottom) {
    const guint8 *kinds = match_rows (tile, plane, top);

    /* rows of the same kinds together */
    for (bottom = top + 1; bottom < n_rows && same_kinds (kinds,
            match_rows (tile, plane, bottom), tile->n_blocks);)
      bottom++;
    part.n_rows = bottom - top;
    part.n_more = n_rows - bottom;
    for (k = 0; k < n_blocks; k = end) {
      end = MIN (next_kind (kinds, k, n_blocks), n_blocks);
      if (kinds[k] == TILE_EMPTY)
        continue;
      part.n = MIN (end * size, n_groups * plane->bytes) - k * size;
      part.dst = plane->data + (gssize) (row + top) * plane->stride
          + group * plane->bytes + k * size;
      part.src = src->data + (gsize) top * src->stride + k * size;
      part.coverage = tile->data + (gsize) top * part.stride + k * TILE_BLOCK;
      if (kinds[k] == TILE_SOLID && src->keep)
        blend_solid (&part, src->keep, src->add);
      else if (kinds[k] == TILE_SOLID)
        blend_rows (&part, src->solid);
      else if (plane->width == 1 && plane->bytes == 1)
        blend_mixed (&part, 1, 1);
      else if (plane->width == 1 && plane->bytes == 2)
        blend_mixed (&part, 1, 2);
      else if (plane->width == 1 && plane->bytes == 3)
        blend_mixed (&part, 1, 3);
      else if (plane->width == 1)
        blend_mixed (&part, 1, 4);
      else if (plane->bytes == 1)
        blend_mixed (&part, 2, 1);
      else if (plane->bytes == 2)
        blend_mixed (&part, 2, 2);
      else
        blend_mixed (&part, 2, 4);
    }
  }
}

static void
repeat_bytes (gpointer data, gsize filled, gsize n)
{
  guint8 *bytes = data;
  gsize size;

  for (; filled < n; filled += size) {
    size = MIN (filled, n - filled);
    memcpy (bytes + filled, bytes, size);
  }
}

void
canvas_blend_color (Canvas * canvas, Tile * tile, const guint8 color[4],
    guint components)
{
  guint solid = tile->solid + (tile->solid >> 7);
  gint p, i;

  if (canvas->func) {
    canvas_split (canvas, tile, color, components);
    return;
  }
  for (p = 0; p < canvas->n_planes; p++) {
    const CanvasPlane *plane = &canvas->planes[p];
    gint bytes = plane->bytes, n = tile->stride / plane->width * bytes;
    guint16 *keep = (guint16 *) scratch_get (&canvas->source,
        n * (2 * sizeof (guint16) + 1));
    guint16 *add = keep + n;
    guint8 *data = (guint8 *) (add + n);
    Source src = { data, 0, components, keep, add, NULL };
    guint used = 0;

    for (i = 0; i < bytes; i++) {
      guint part = 0;

      data[i] = 0;
      if (plane->component[i] >= 0) {
        if (plane->component[i] != CANVAS_LOW_BYTE)
          data[i] = color[plane->component[i]];
        used |= 1 << plane->component[i];
        if (components >> plane->component[i] & 1)
          part = solid;
      }
      keep[i] = 256 - part;
      add[i] = data[i] * part + 128;
    }
    if (!(used & components))
      continue;
    repeat_bytes (data, bytes, n);
    repeat_bytes (keep, bytes * sizeof (guint16), n * sizeof (guint16));
    repeat_bytes (add, bytes * sizeof (guint16), n * sizeof (guint16));
    blend_plane (plane, tile, &src);
  }
}

void
canvas_blend_image (Canvas * canvas, Tile * tile, const CanvasImage * image)
{
  gint p;

  for (p = 0; p < canvas->n_planes; p++) {
    const CanvasPlane *plane = &canvas->planes[p];
    gint n = tile->stride / plane->width * plane->bytes, i;
    guint8 *solid = scratch_get (&canvas->source, n);
    Source src = { image->data[p], image->stride[p], CANVAS_ALL, NULL, NULL,
      solid
    };

    for (i = 0; i < plane->bytes; i++)
      solid[i] = plane->component[i] < 0 ? 0 : tile->solid;
    repeat_bytes (solid, plane->bytes, n);
    blend_plane (plane, tile, &src);
  }
}
