/*
 * coco_mask.h: binary masks as COCO's run lengths
 *
 * An RLE lists the lengths of runs of 0 and 1 by turns, beginning with 0, down
 * the columns of a mask. The figures of pycocotools depend on how polygons
 * become masks, so that is done by the same rule here, to the pixel.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_COCO_MASK_H
#define CI_COCO_MASK_H

#include <glib.h>

G_BEGIN_DECLS

/** Longest side of a mask, so that a pixel's index fits into 32 bits. */
#define CI_RLE_MAX_SIDE 32768

typedef struct
{
  guint32 width, height;
  guint n_runs;                 /* 0 only in a cleared one */
  guint32 *runs;                /* sum is width * height */
} CiRle;

void ci_rle_clear (CiRle * rle);

/* All of these fill an uninitialised @rle, which is left cleared if they
 * fail. Width and height are 0 to CI_RLE_MAX_SIDE. */

/** From @bits: height x width bytes, row by row; anything but 0 counts as 1. */
void ci_rle_from_bits (CiRle * rle, const guint8 * bits, guint width,
    guint height);
/** From given run lengths; FALSE if they do not add up to the size. */
gboolean ci_rle_from_runs (CiRle * rle, const guint32 * runs, guint n_runs,
    guint width, guint height, GError ** error);
/** From COCO's compressed string. */
gboolean ci_rle_from_string (CiRle * rle, const gchar * string, guint width,
    guint height, GError ** error);
/** From a polygon of @n_points x, y pairs, in pixels, closed by itself. */
gboolean ci_rle_from_polygon (CiRle * rle, const gdouble * points,
    guint n_points, guint width, guint height, GError ** error);

/** Adds the pixels of @other, which has the same size, to @rle. */
void ci_rle_add (CiRle * rle, const CiRle * other);

/** To height x width bytes, 0 or 1, row by row. */
void ci_rle_to_bits (const CiRle * rle, guint8 * bits);
/** COCO's compressed string; free with g_free. */
gchar *ci_rle_to_string (const CiRle * rle);

guint32 ci_rle_area (const CiRle * rle);
/** Smallest box around the pixels: x, y, width, height; zeros if empty. */
void ci_rle_box (const CiRle * rle, gdouble box[4]);

/**
 * Intersection over union of two masks of the same size, or, if @crowd, over
 * the area of @detection: what lies within a crowd counts as found.
 */
gdouble ci_rle_iou (const CiRle * detection, const CiRle * truth,
    gboolean crowd);
/** The same for boxes x, y, width, height. */
gdouble ci_box_iou (const gdouble detection[4], const gdouble truth[4],
    gboolean crowd);

G_END_DECLS

#endif /* CI_COCO_MASK_H */
