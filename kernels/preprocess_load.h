/*
 * preprocess_load.h: samples of a frame's rows as words, for the resizes of two
 * taps.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_PREPROCESS_LOAD_H
#define CI_PREPROCESS_LOAD_H

#include <string.h>

#include "simd.h"

CI_INLINE guint32
ci_load2 (const guint8 * src)
{
  guint16 word;

  memcpy (&word, src, 2);
  return GUINT16_FROM_LE (word);
}

CI_INLINE guint32
ci_load4 (const guint8 * src)
{
  guint32 word;

  memcpy (&word, src, 4);
  return GUINT32_FROM_LE (word);
}

CI_INLINE guint32
ci_load_pixel (const guint8 * src, const gint bytes)
{
  return bytes == 4 ? ci_load4 (src) : ci_load2 (src) | (guint32) src[2] << 16;
}

#endif
