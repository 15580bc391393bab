/*
 * kernel_map.h: what a thread computes of maps: layout, normalisation,
 * resampling, pooling and all that is done per value.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_KERNEL_MAP_H
#define CI_KERNEL_MAP_H

#include "hostdev.h"

/* Planar floats, as CiPreprocess makes them, to a map. */
typedef struct
{
  const float *src;             /* channels x h x w of each image */
  CiView dst;
} CiPackInputArgs;

/* Element: one octet of one pixel of one image. */
CI_HD void
ci_pack_input_element (const CiPackInputArgs * a, int64_t i)
{
  const CiView *dst = &a->dst;
  int octets = dst->cp / CI_OCTET, octet = i % octets;
  int64_t plane = (int64_t) dst->h * dst->w, pixel = i / octets;
  int64_t image = pixel / plane;
  float values[CI_OCTET];

  pixel %= plane;
  for (int k = 0; k < CI_OCTET; k++) {
    int c = octet * CI_OCTET + k;

    values[k] = c < dst->c ? a->src[(image * dst->c + c) * plane + pixel]
        : 0.0f;
  }
  ci_store8 (dst, ci_view_at (dst, image, pixel / dst->w, pixel % dst->w)
      + octet * CI_OCTET, values);
}

#define CI_MAP_KERNELS(ELEMENT, BLOCK) \
  ELEMENT (pack_input, CiPackInputArgs)

#endif /* CI_KERNEL_MAP_H */
