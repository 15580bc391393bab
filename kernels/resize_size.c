/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernels.h"

/* A product, then a sum, as in Python: builds may contract both to one. */
static gdouble
scaled_plus_half (gdouble side, gdouble scale)
{
  volatile gdouble product = side * scale;

  return product + 0.5;
}

/* detectron2's ResizeShortestEdge.get_output_shape(). */
static void
shortest_edge (gint width, gint height, gint min_size, gint max_size,
    gdouble * out_width, gdouble * out_height)
{
  gdouble scale = (gdouble) min_size / MIN (width, height);
  gdouble w = height < width ? scale * width : min_size;
  gdouble h = height < width ? min_size : scale * height;

  scale = MAX (w, h) > max_size ? max_size / MAX (w, h) : 1.0;
  *out_width = scaled_plus_half (w, scale);
  *out_height = scaled_plus_half (h, scale);
}

/* mmcv's rescale_size(). */
static void
keep_ratio (gint width, gint height, gint min_size, gint max_size,
    gdouble * out_width, gdouble * out_height)
{
  gdouble scale = MIN ((gdouble) max_size / MAX (width, height),
      (gdouble) min_size / MIN (width, height));

  *out_width = scaled_plus_half (width, scale);
  *out_height = scaled_plus_half (height, scale);
}

/* torchvision 0.14's _resize_image_and_masks(), where a number over a tensor is
 * the number times the tensor's reciprocal, and torch 1.13's interpolate(),
 * which multiplies doubles. */
static void
keep_ratio_floor (gint width, gint height, gint min_size, gint max_size,
    gdouble * out_width, gdouble * out_height)
{
  gfloat of_short = 1.0f / MIN (width, height);
  gfloat of_long = 1.0f / MAX (width, height);
  gdouble scale = MIN (of_short * min_size, of_long * max_size);

  *out_width = width * scale;
  *out_height = height * scale;
}

void
ci_resize_get_size (CiSizeRule rule, gint width, gint height, gint min_size,
    gint max_size, gint * out_width, gint * out_height)
{
  gdouble w = max_size, h = min_size;

  if (rule == CI_SIZE_SHORTEST_EDGE)
    shortest_edge (width, height, min_size, max_size, &w, &h);
  else if (rule == CI_SIZE_KEEP_RATIO)
    keep_ratio (width, height, min_size, max_size, &w, &h);
  else if (rule == CI_SIZE_KEEP_RATIO_FLOOR)
    keep_ratio_floor (width, height, min_size, max_size, &w, &h);
  /* the official codes let thin frames vanish */
  *out_width = MAX (1, (gint) w);
  *out_height = MAX (1, (gint) h);
}
