/* GStreamer instance masks
 *
 * maskdraw-private.h: the parts of the mask drawing library
 *
 * What is drawn is rendered into a tile of 8-bit coverage and then blended into
 * the planes of the frame; effects bring their pixels in the frame's own byte
 * layout, so that there is one way to blend, whatever the format.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef __GST_MASK_DRAW_PRIVATE_H__
#define __GST_MASK_DRAW_PRIVATE_H__

#include <string.h>

#include "lanes.h"
#include "maskdraw.h"

G_BEGIN_DECLS

/* ---- scratch memory --------------------------------------------------- */

typedef struct
{
  guint8 *data;
  gsize size;
} Scratch;

/* At least @size bytes, aligned to 32, contents undefined; grows only. */
guint8 *scratch_get (Scratch * scratch, gsize size);
void scratch_clear (Scratch * scratch);

/* ---- tiles (tile.c) ---------------------------------------------------- */

/* Pixels of a row that are of one kind */
#define TILE_BLOCK 16

enum
{
  TILE_EMPTY,
  TILE_SOLID,
  TILE_MIXED,
};

/* Coverage of a part of the frame. @x, @y, @width and @height are even, so
 * that chroma samples lie in it as a whole; at an odd edge of the frame it
 * reaches one pixel beyond, and repeats the last one there. Only mixed blocks
 * have coverage of their own in @data; so large objects cost little where they
 * are all in or all out. */
typedef struct
{
  gint x, y, width, height;
  gint frame_width, frame_height;
  gint stride;                  /* leaves at least a block beyond @width */
  gint n_blocks;                /* of a row, those beyond @width included */
  guint8 *data, *kinds;
  guint8 solid;                 /* coverage in solid blocks; 255 at first */
} Tile;

/* Sets the size and the number of bytes that tile_bind() needs. */
gsize tile_layout (Tile * tile, gint width, gint height);
/* Uses @memory for coverage and kinds, both undefined yet. */
void tile_bind (Tile * tile, guint8 * memory);
/* An empty tile over the pixels [x0, x1) x [y0, y1), or FALSE if none of them
 * is in the frame. */
gboolean tile_init (Tile * tile, Scratch * scratch, gint frame_width,
    gint frame_height, gdouble x0, gdouble y0, gdouble x1, gdouble y1);
/* Repeats the last column and row of an odd frame. */
void tile_finish (Tile * tile);
/* Makes the pixels [x0, x1) of a row solid; both lie within the tile. */
void tile_set (Tile * tile, gint y, gint x0, gint x1);
/* Finds the kinds of all blocks, whose coverage is in @data. */
void tile_find_kinds (Tile * tile);

/* Adds what @src covers, which lies in @dst; both are as solid, and their
 * blocks lie on the same raster. */
void tile_unite (Tile * dst, const Tile * src);
void tile_invert (Tile * tile);

/* Makes a block mixed: its coverage is in the data. @row and @kinds are those
 * of one row of @tile. */
static inline void
tile_touch (const Tile * tile, guint8 * row, guint8 * kinds, gint block)
{
  if (kinds[block] != TILE_MIXED) {
    memset (row + block * TILE_BLOCK,
        kinds[block] == TILE_SOLID ? tile->solid : 0, TILE_BLOCK);
    kinds[block] = TILE_MIXED;
  }
}

/* Both are rows of kinds. */
static inline void
copy_kinds (guint8 * dst, const guint8 * src, gint n)
{
  gint i;

  for (i = 0; i < n; i += 8)
    memcpy (dst + i, src + i, 8);
}

/* The first block from @block on that is of another kind, or at least @n */
static inline gint
next_kind (const guint8 * kinds, gint block, gint n)
{
  const guint64 same = kinds[block] * G_GUINT64_CONSTANT (0x0101010101010101);
  guint64 differs;

  for (; block < n; block += 8) {
    memcpy (&differs, kinds + block, 8);
    differs = GUINT64_FROM_LE (differs ^ same);
    if (differs)
      return block + __builtin_ctzll (differs) / 8;
  }
  return block;
}

static inline gboolean
same_kinds (const guint8 * a, const guint8 * b, gint n)
{
  guint64 differs = 0, va, vb;
  gint i;

  for (i = 0; i < n; i += 8) {
    memcpy (&va, a + i, 8);
    memcpy (&vb, b + i, 8);
    differs |= va ^ vb;
  }
  return differs == 0;
}

/* ---- coverage (coverage.c) -------------------------------------------- */

/* A mask whose numbers were checked. */
typedef struct
{
  const guint8 *grid;
  gint width, height;
  gsize stride;
  gdouble offset_x, offset_y, scale_x, scale_y;
  gdouble x0, y0, x1, y1;       /* in the frame: where it can be inside */
} MaskMap;

/* The box of @mask as a map of one cell, if it has no grid. FALSE if there is
 * nothing to draw: numbers that make no sense, or no cell inside. */
gboolean mask_map_init (MaskMap * map, const GstInstanceMask * mask);

/* Arrays of as many entries as a tile has columns and rows */
typedef struct
{
  Scratch fractions, runs, quads, types;
} CoverageScratch;

void coverage_scratch_clear (CoverageScratch * scratch);

/* Fills the empty @tile with @opacity where the mask is inside; the edge is a
 * ramp as wide as one pixel. */
void coverage_fill (Tile * tile, const MaskMap * map, guint8 opacity,
    CoverageScratch * scratch);
/* Adds the outline, @width pixels wide. */
void coverage_contour (Tile * tile, const MaskMap * map, gdouble width);
/* Adds the pixels [x0, x1) x [y0, y1). */
void coverage_rectangle (Tile * tile, gint x0, gint y0, gint x1, gint y1);

/* ---- blending (canvas.c) ---------------------------------------------- */

#define CANVAS_ALPHA (1 << 3)
#define CANVAS_LOW_BYTE 4
#define CANVAS_ALL 0x1f

/* How a plane repeats: groups of @bytes bytes that stand for @width x @height
 * pixels; each byte is a component (0 Y or R, 1 U or G, 2 V or B, 3 alpha, 4
 * the lower byte of one, -1 none) and belongs to pixel @pixel of the group, or
 * to all of them (-1). */
typedef struct
{
  guint8 *data;
  gint stride;
  gint bytes, width, height;
  gint n_groups, n_rows;
  gint8 component[4], pixel[4];
} CanvasPlane;

typedef struct
{
  gint width, height;
  gint n_planes;
  gboolean has_alpha;
  gint grain;                   /* pixels in a row that share chroma */
  CanvasPlane planes[GST_VIDEO_MAX_PLANES];
  /* 8-bit RGB -> components */
  gfloat matrix[3][3], offset[3];
  Scratch source;
  /* where colours go, if not into planes */
  GstMaskDrawCellFunc func;
  gpointer user_data;
} Canvas;

/* Binds @canvas to frames like @info; @frame, with its planes, may be NULL.
 * FALSE if the format is not known. */
gboolean canvas_init (Canvas * canvas, const GstVideoInfo * info,
    GstVideoFrame * frame);
void canvas_clear (Canvas * canvas);
/* Components of the colour 0xRRGGBB in the frame's own colorimetry; opaque. */
void canvas_get_color (const Canvas * canvas, guint32 rgb, guint8 color[4]);
/* Blends one colour; @components: a mask of those to change. */
void canvas_blend_color (Canvas * canvas, Tile * tile, const guint8 color[4],
    guint components);
/* The same as calls of the canvas' function (cells.c). */
void canvas_split (Canvas * canvas, const Tile * tile,
    const guint8 color[4], guint components);

/* Pixels of a tile's rectangle in the layout of the canvas */
typedef struct
{
  guint8 *data[GST_VIDEO_MAX_PLANES];
  gint stride[GST_VIDEO_MAX_PLANES];
} CanvasImage;

/* Groups [first, first + n) that @tile covers in @plane, in one direction. */
void canvas_plane_get_region (const CanvasPlane * plane, const Tile * tile,
    gint * group, gint * row, gint * n_groups, gint * n_rows);
void canvas_blend_image (Canvas * canvas, Tile * tile,
    const CanvasImage * image);

/* ---- effects (effects.c) ---------------------------------------------- */

typedef struct
{
  Scratch image, sums;
} EffectScratch;

void effect_scratch_clear (EffectScratch * scratch);
/* Fills @image with the blurred or pixelated pixels under @tile. */
void effect_blur (const Canvas * canvas, const Tile * tile, gint radius,
    EffectScratch * scratch, CanvasImage * image);
void effect_pixelate (const Canvas * canvas, const Tile * tile, gint block,
    EffectScratch * scratch, CanvasImage * image);

/* ---- labels (label.c) ------------------------------------------------- */

typedef struct
{
  Tile plate, text;             /* of the same size, at no place yet */
  guint64 used;
} Label;

typedef struct _LabelCache LabelCache;

LabelCache *label_cache_new (void);
void label_cache_free (LabelCache * cache);
/* To be called once a frame; @font_desc: NULL = default, a description without
 * a size gets one by @frame_height. */
void label_cache_begin (LabelCache * cache, const gchar * font_desc,
    gint frame_height);
/* The label for @text, valid until the next begin; NULL if it has no glyphs. */
const Label *label_cache_get (LabelCache * cache, const gchar * text);

/* ---- colours (palette.c) ---------------------------------------------- */

const guint32 *palette_get_default (guint * n_colors);
/* Black or white, whichever reads better on @rgb. */
guint32 palette_get_text_color (guint32 rgb);

G_END_DECLS

#endif
