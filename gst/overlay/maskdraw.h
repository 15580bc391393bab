/* GStreamer instance masks
 *
 * maskdraw.h: draws instance masks into the planes of a video frame
 *
 * A small static library without an element around it: maskoverlay draws with
 * it, and so can any program that has a mapped frame and some masks. Each
 * object costs as many operations as it has pixels; the frame is never
 * converted. Scratch memory and labels are kept between frames.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef __GST_MASK_DRAW_H__
#define __GST_MASK_DRAW_H__

#include <gst/gst.h>
#include <gst/video/video.h>

#include <gst/instancemask/gstinstancemask.h>

G_BEGIN_DECLS

/** The formats that can be drawn on, for caps. */
#define GST_MASK_DRAW_FORMATS \
    "{ NV12, NV21, I420, YV12, YUY2, UYVY, YVYU, NV16, NV24, " \
    "Y42B, Y444, A420, AYUV, VUYA, RGB, BGR, RGBx, BGRx, xRGB, xBGR, RGBA, " \
    "BGRA, ARGB, ABGR, RGBP, BGRP, GBR, GBRA, GRAY8, P010_10LE }"

/**
 * GstMaskOverlayEffect:
 * @GST_MASK_OVERLAY_EFFECT_FILL: tint the object in its colour
 * @GST_MASK_OVERLAY_EFFECT_CONTOUR: draw its outline only
 * @GST_MASK_OVERLAY_EFFECT_BLUR: blur it beyond recognition
 * @GST_MASK_OVERLAY_EFFECT_PIXELATE: replace it by a mosaic
 * @GST_MASK_OVERLAY_EFFECT_BLACKOUT: paint it black
 * @GST_MASK_OVERLAY_EFFECT_CUTOUT_ALPHA: make everything but the objects
 *   transparent; black where the format has no alpha
 *
 * What becomes of the pixels of an object. Each works on the mask, not on the
 * box; an object without a mask counts as one that fills its box.
 */
typedef enum
{
  GST_MASK_OVERLAY_EFFECT_FILL,
  GST_MASK_OVERLAY_EFFECT_CONTOUR,
  GST_MASK_OVERLAY_EFFECT_BLUR,
  GST_MASK_OVERLAY_EFFECT_PIXELATE,
  GST_MASK_OVERLAY_EFFECT_BLACKOUT,
  GST_MASK_OVERLAY_EFFECT_CUTOUT_ALPHA,
} GstMaskOverlayEffect;

/**
 * GstMaskOverlayColorMode:
 * @GST_MASK_OVERLAY_COLOR_MODE_CLASS: by class id
 * @GST_MASK_OVERLAY_COLOR_MODE_INSTANCE: by id, moved on where two objects of
 *   a frame would get the same colour
 * @GST_MASK_OVERLAY_COLOR_MODE_TRACK: by id, always the same one for an id
 *
 * What decides the colour of an object.
 */
typedef enum
{
  GST_MASK_OVERLAY_COLOR_MODE_CLASS,
  GST_MASK_OVERLAY_COLOR_MODE_INSTANCE,
  GST_MASK_OVERLAY_COLOR_MODE_TRACK,
} GstMaskOverlayColorMode;

/**
 * GstMaskDrawOptions:
 *
 * How to draw; plain data, start from GST_MASK_DRAW_OPTIONS_INIT. The layers
 * (mask, contour, box, label) are independent of each other.
 */
typedef struct
{
  gboolean draw_masks;          /* apply @effect to the masks */
  gboolean draw_contours;
  gboolean draw_boxes;
  gboolean draw_labels;         /* the class' name on a plate */
  gboolean draw_scores;         /* and the score beside it, or alone */
  GstMaskOverlayEffect effect;
  GstMaskOverlayColorMode color_mode;
  gdouble mask_opacity;         /* of FILL, 0 to 1 */
  gdouble contour_width;        /* pixels, of boxes too; 0 = by frame height */
  guint effect_size;            /* pixels: blur radius, pixelate block; 0 = by
                                   the object's size */
  const guint32 *palette;       /* borrowed, 0xRRGGBB; NULL = the default one */
  guint n_palette;
  const gchar *font_desc;       /* borrowed, "Sans Bold 12"; NULL = default */
  guint32 labels_color;         /* of the text, 0xAARRGGBB; 0 = black or white,
                                   whichever reads better */
} GstMaskDrawOptions;

#define GST_MASK_DRAW_OPTIONS_INIT { .draw_masks = TRUE, \
    .draw_contours = TRUE, .draw_labels = TRUE, .draw_scores = TRUE, \
    .effect = GST_MASK_OVERLAY_EFFECT_FILL, \
    .color_mode = GST_MASK_OVERLAY_COLOR_MODE_CLASS, .mask_opacity = 0.5 }

/**
 * GstMaskDraw: scratch memory and cached labels. One thread at a time; frames
 * of any size and format may follow each other.
 */
typedef struct _GstMaskDraw GstMaskDraw;

GstMaskDraw *gst_mask_draw_new (void);
/** @draw may be NULL. */
void gst_mask_draw_free (GstMaskDraw * draw);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GstMaskDraw, gst_mask_draw_free)

/**
 * Draws @n_masks objects into @frame, which is mapped for reading and writing;
 * large objects first, labels above all. Masks and boxes may reach out of the
 * frame; those with impossible numbers are left out. Returns FALSE, with the
 * frame untouched, if its format is none of GST_MASK_DRAW_FORMATS.
 */
gboolean gst_mask_draw_frame (GstMaskDraw * draw, GstVideoFrame * frame,
    const GstMaskDrawOptions * options, const GstInstanceMask * masks,
    guint n_masks);

/**
 * GstMaskDrawCell:
 *
 * One colour over a cell of the frame: 16 x 16 pixels from (@x, @y) on, both
 * multiples of 16. Pixels beyond an odd edge of the frame repeat the last ones,
 * so that every 2 x 2 pixels that share chroma lie in one cell; farther out the
 * coverage means nothing. Blending is v * (256 - a) + color * a + 128 >> 8 with
 * a = coverage + (coverage >> 7); coverage of chroma is the rounded mean.
 */
typedef struct
{
  gint x, y;
  const guint8 *coverage;       /* row by row; NULL = @opacity everywhere */
  guint8 opacity;
  guint8 color[4];              /* Y, U, V or R, G, B as in the frame; alpha */
  guint components;             /* bits: those of the four that change */
} GstMaskDrawCell;

#define GST_MASK_DRAW_CELL_SIZE 16
#define GST_MASK_DRAW_ALL_COMPONENTS 0xf

typedef void (*GstMaskDrawCellFunc) (const GstMaskDrawCell * cell,
    gpointer user_data);

/**
 * Draws on frames like @info that somebody else has (a GPU): @func gets, in the
 * order in which they have to be blended, the cells that
 * gst_mask_draw_frame() would change, and what it would blend there. Returns
 * FALSE, with no call, if the format is not known, or if
 * gst_mask_draw_reads_frame().
 */
gboolean gst_mask_draw_cells (GstMaskDraw * draw, const GstVideoInfo * info,
    const GstMaskDrawOptions * options, const GstInstanceMask * masks,
    guint n_masks, GstMaskDrawCellFunc func, gpointer user_data);

/** Whether the effect needs the frame's pixels: blur and pixelate. */
gboolean gst_mask_draw_reads_frame (const GstMaskDrawOptions * options);

/** Whether gst_mask_draw_frame() would change anything for @n_masks objects;
 * so that a frame need not be mapped for nothing. */
gboolean gst_mask_draw_needed (const GstMaskDrawOptions * options,
    guint n_masks);

/**
 * Colours for GstMaskDrawOptions.palette: @spec is the name of a palette
 * ("default", "tableau", "pastel", "colorblind") or a list of colours,
 * "#RRGGBB" or "RRGGBB" separated by commas, semicolons or blanks. Returns a
 * new array of @n_colors 0xRRGGBB, free with g_free(), or NULL and @error
 * (GST_CORE_ERROR_FAILED) naming what is wrong. NULL = "default".
 */
guint32 *gst_mask_palette_parse (const gchar * spec, guint * n_colors,
    GError ** error);

G_END_DECLS

#endif
