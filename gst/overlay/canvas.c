/* GStreamer instance masks
 *
 * canvas.c: blends coverage into the planes of a frame, whatever its format
 *
 * Each row of a tile is turned into one coverage per byte of the plane, so
 * that one loop over bytes, which compilers vectorise, blends all formats.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "maskdraw-private.h"

/* Pixels that are skipped or blended together; a multiple of all groups */
#define BLOCK 32
#define PREFETCH_ROWS 3

typedef guint16 __attribute__ ((may_alias)) Pair;
typedef guint32 __attribute__ ((may_alias)) Quad;
typedef guint64 __attribute__ ((may_alias)) Octet;

/* ---- loops ------------------------------------------------------------- */

MULTIVERSION static void
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

/* Mean of 2 x 2 pixels; @b may be @a. */
MULTIVERSION static void
average_pairs (guint8 * restrict dst, const guint8 * a, const guint8 * b,
    gint n)
{
  const Pair *pa = (const Pair *) a, *pb = (const Pair *) b;
  gint i;

  for (i = 0; i < n; i++)
    dst[i] = (guint16) ((pa[i] & 0xff) + (pa[i] >> 8) + (pb[i] & 0xff)
        + (pb[i] >> 8) + 2) >> 2;
}

/* The same, each twice: for interleaved chroma */
MULTIVERSION static void
average_pairs_twice (guint8 * restrict dst, const guint8 * a,
    const guint8 * b, gint n)
{
  const Pair *pa = (const Pair *) a, *pb = (const Pair *) b;
  Pair *out = (Pair *) dst;
  gint i;

  for (i = 0; i < n; i++)
    out[i] = ((guint16) ((pa[i] & 0xff) + (pa[i] >> 8) + (pb[i] & 0xff)
            + (pb[i] >> 8) + 2) >> 2) * 0x0101;
}

MULTIVERSION static void
repeat_2 (guint8 * restrict dst, const guint8 * restrict src, gint n)
{
  Pair *out = (Pair *) dst;
  gint i;

  for (i = 0; i < n; i++)
    out[i] = src[i] * 0x0101;
}

MULTIVERSION static void
repeat_3 (guint8 * restrict dst, const guint8 * restrict src, gint n)
{
  gint i;

  for (i = 0; i < n; i++)
    dst[3 * i] = dst[3 * i + 1] = dst[3 * i + 2] = src[i];
}

/* Packed 4:2:2: the coverage of two pixels each, and their mean between them
 * (@luma_first: Y at even bytes) */
MULTIVERSION static void
expand_422 (guint8 * restrict dst, const guint8 * restrict src, gint n,
    gint luma_first)
{
  const Pair *pairs = (const Pair *) src;
  Quad *out = (Quad *) dst;
  gint luma = luma_first == (G_BYTE_ORDER == G_LITTLE_ENDIAN) ? 0 : 8;
  gint chroma = 8 - luma, i;

  for (i = 0; i < n; i++) {
    guint32 a = pairs[i] & 0xff, b = pairs[i] >> 8;
    guint32 mean = (a + b + 1) >> 1;

    out[i] = (a | b << 16) << luma | (mean | mean << 16) << chroma;
  }
}

MULTIVERSION static void
repeat_4 (guint8 * restrict dst, const guint8 * restrict src, gint n,
    guint32 mask)
{
  Quad *out = (Quad *) dst;
  gint i;

  for (i = 0; i < n; i++) {
    guint32 c = src[i];

    c |= c << 8;
    c |= c << 16;
    out[i] = c & mask;
  }
}

/* ---- formats ----------------------------------------------------------- */

/* Groups of one plane from the format's description; FALSE if it packs bits or
 * needs more than 8 of them. */
static gboolean
init_plane (CanvasPlane * plane, const GstVideoFrame * frame, gint p)
{
  const GstVideoFormatInfo *info = frame->info.finfo;
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
    if (GST_VIDEO_FORMAT_INFO_DEPTH (info, c) != 8)
      return FALSE;
    for (k = 0; first + k * step < plane->bytes; k++) {
      plane->component[first + k * step] = c;
      plane->pixel[first + k * step] = whole ? -1 : (gint8) k;
    }
  }
  plane->data = GST_VIDEO_FRAME_PLANE_DATA (frame, p);
  plane->stride = GST_VIDEO_FRAME_PLANE_STRIDE (frame, p);
  plane->n_groups = GST_VIDEO_SUB_SCALE (w_sub, GST_VIDEO_FRAME_WIDTH (frame));
  plane->n_rows = GST_VIDEO_SUB_SCALE (h_sub, GST_VIDEO_FRAME_HEIGHT (frame));
  return plane->data != NULL;
}

/* Rows of canvas->matrix: RGB 0..255 -> components 0..255 */
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

    for (j = 0; j < 3; j++)
      canvas->matrix[i][j] = known ? m[i][j] * scale[i] / 255 : 0;
    canvas->offset[i] = known ? offset[i] : 0;
  }
}

gboolean
canvas_init (Canvas * canvas, GstVideoFrame * frame)
{
  const GstVideoFormatInfo *info = frame->info.finfo;
  gint p;

  if (GST_VIDEO_FORMAT_INFO_IS_COMPLEX (info)
      || GST_VIDEO_FORMAT_INFO_IS_TILED (info)
      || GST_VIDEO_FORMAT_INFO_HAS_PALETTE (info)
      || GST_VIDEO_FORMAT_INFO_N_PLANES (info) == 0)
    return FALSE;
  canvas->n_planes = GST_VIDEO_FORMAT_INFO_N_PLANES (info);
  canvas->grain = 1;
  for (p = 0; p < canvas->n_planes; p++) {
    if (!init_plane (&canvas->planes[p], frame, p))
      return FALSE;
    canvas->grain = MAX (canvas->grain, canvas->planes[p].width);
  }
  canvas->width = GST_VIDEO_FRAME_WIDTH (frame);
  canvas->height = GST_VIDEO_FRAME_HEIGHT (frame);
  canvas->has_alpha = GST_VIDEO_FORMAT_INFO_HAS_ALPHA (info);
  init_colorimetry (canvas, &frame->info);
  return TRUE;
}

void
canvas_clear (Canvas * canvas)
{
  scratch_clear (&canvas->coverage);
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

/* Rows of a frame lie too far apart for the processor to guess the next. */
static void
prefetch (const guint8 * data, gint n)
{
  gint i;

  for (i = 0; i < n; i += 64)
    __builtin_prefetch (data + i, 1);
}

static gboolean
is_empty (const guint8 * coverage)
{
  const Octet *c = (const Octet *) coverage;

  return (c[0] | c[1] | c[2] | c[3]) == 0;
}

/* The coverage of @n groups, byte by byte; @a and @b are the rows that they
 * stand for (the same without vertical subsampling). */
static const guint8 *
expand (const CanvasPlane * plane, const guint8 * a, const guint8 * b, gint n,
    guint components, guint8 * out)
{
  gint k;

  if (plane->width == 1 && plane->height == 1) {
    guint8 used[4];
    guint32 mask;

    switch (plane->bytes) {
      case 1:
        return a;
      case 2:
        repeat_2 (out, a, n);
        break;
      case 3:
        repeat_3 (out, a, n);
        break;
      default:
        for (k = 0; k < 4; k++)
          used[k] = plane->component[k] >= 0
              && (components >> plane->component[k] & 1) ? 0xff : 0;
        memcpy (&mask, used, 4);
        repeat_4 (out, a, n, mask);
        break;
    }
  } else if (plane->bytes == 1) {
    average_pairs (out, a, b, n);
  } else if (plane->bytes == 2) {
    average_pairs_twice (out, a, b, n);
  } else {
    expand_422 (out, a, n, plane->pixel[0] == 0);
  }
  return out;
}

/* Blends rows of @src, @src_stride bytes apart (0: always the same one). */
static void
blend_plane (Canvas * canvas, const CanvasPlane * plane, const Tile * tile,
    const guint8 * src, gint src_stride, guint components)
{
  gint group, row, n_groups, n_rows, width, y, x, end;
  guint8 *coverage;

  canvas_plane_get_region (plane, tile, &group, &row, &n_groups, &n_rows);
  width = n_groups * plane->width;
  coverage = scratch_get (&canvas->coverage,
      (gsize) (tile->stride / plane->width) * plane->bytes);

  for (y = 0; y < n_rows; y++) {
    const guint8 *a = tile->data + (gsize) y * plane->height * tile->stride;
    const guint8 *b = plane->height > 1 ? a + tile->stride : a;
    guint8 *dst = plane->data + (gsize) (row + y) * plane->stride
        + group * plane->bytes;

    for (x = 0; x < width; x = end) {
      const guint8 *expanded;
      gint first, n;

      end = x + BLOCK;
      if (is_empty (a + x) && (a == b || is_empty (b + x)))
        continue;
      while (end < width && !(is_empty (a + end)
              && (a == b || is_empty (b + end))))
        end += BLOCK;
      first = x / plane->width;
      n = MIN (end, width) / plane->width - first;
      if (y + PREFETCH_ROWS < n_rows)
        prefetch (dst + first * plane->bytes + PREFETCH_ROWS * plane->stride,
            n * plane->bytes);
      expanded = expand (plane, a + x, b + x, n, components, coverage);
      blend_bytes (dst + first * plane->bytes, src + first * plane->bytes,
          expanded, n * plane->bytes);
    }
    src += src_stride;
  }
}

void
canvas_blend_color (Canvas * canvas, const Tile * tile,
    const guint8 color[4], guint components)
{
  gint p, i, filled;

  for (p = 0; p < canvas->n_planes; p++) {
    const CanvasPlane *plane = &canvas->planes[p];
    gint n = tile->stride / plane->width * plane->bytes;
    guint8 *src = scratch_get (&canvas->source, n);
    guint used = 0;

    for (i = 0; i < plane->bytes; i++)
      if (plane->component[i] >= 0)
        used |= 1 << plane->component[i];
    if (!(used & components))
      continue;
    for (i = 0; i < plane->bytes; i++)
      src[i] = plane->component[i] < 0 ? 0 : color[plane->component[i]];
    for (; i < n; i += filled) {
      filled = MIN (i, n - i);
      memcpy (src + i, src, filled);
    }
    blend_plane (canvas, plane, tile, src, 0, components);
  }
}

void
canvas_blend_image (Canvas * canvas, const Tile * tile,
    const CanvasImage * image)
{
  gint p;

  for (p = 0; p < canvas->n_planes; p++)
    blend_plane (canvas, &canvas->planes[p], tile, image->data[p],
        image->stride[p], CANVAS_ALL);
}
