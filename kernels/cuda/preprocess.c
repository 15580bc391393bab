/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cuda.h"

#include "../preprocess_priv.h"

gsize
ci_cuda_preprocess_settings_bytes (const CiPreprocess * pre)
{
  return pre->device.bytes;
}

gsize
ci_cuda_preprocess_fill (const CiPreprocess * pre, const CiImage * image,
    guint64 * tables, gpointer settings)
{
  gsize n = ci_preprocess_device_fill (pre, image, *tables, settings);

  *tables = pre->device.settings->tables;
  return n;
}

gboolean
ci_cuda_enqueue_preprocess (CiPlan * plan, gconstpointer settings, CiView dst,
    GError ** error)
{
  CiPreprocessArgs args = { settings, dst };

  return ci_cuda_blocks (plan, CI_KERNEL_preprocess, &args,
      (dst.w + CI_PREPROCESS_WIDTH - 1) / CI_PREPROCESS_WIDTH,
      (dst.h + CI_PREPROCESS_HEIGHT - 1) / CI_PREPROCESS_HEIGHT, 1, error);
}
