/*
 * mobilenet.c: MobileNetV2 (Sandler et al., CVPR 2018), as in AdelaiDet.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "blocks.h"

/* Convolution `@block@index` and the norm behind it. */
static CiValue
conv_norm (CiGraph * g, CiValue x, const CiConfig * config,
    const gchar * block, gint index, gint channels, gint kernel, gint stride,
    gint groups, gboolean relu6)
{
  g_autofree gchar *conv = g_strdup_printf ("%s%d", block, index);
  g_autofree gchar *norm = g_strdup_printf ("%s%d", block, index + 1);

  return ci_block_conv (g, x, conv, norm, config->backbone.norm, channels,
      kernel, stride, groups, config->backbone.norm == CI_NORM_NONE,
      relu6 ? CI_ACTIVATION_RELU6 : CI_ACTIVATION_NONE);
}

void
ci_backbone_mobilenet_v2 (CiGraph * g, CiValue x, const CiConfig * config,
    const gchar * prefix, CiFeature c[4])
{
  /* table 2 of the paper; level: of the last block of a resolution, 1 for
   * stride 4 */
  static const struct
  {
    gint expansion, channels, n, stride, level;
  } rows[] = {
    {1, 16, 1, 1}, {6, 24, 2, 2, 1}, {6, 32, 3, 2, 2}, {6, 64, 4, 2},
    {6, 96, 3, 1, 3}, {6, 160, 3, 2}, {6, 320, 1, 1, 4}
  };
  g_autofree gchar *stem = g_strconcat (prefix, "features.0.", NULL);
  gint in = 32 * config->backbone.width_mult, index = 1;

  x = conv_norm (g, x, config, stem, 0, in, 3, 2, 1, TRUE);
  for (guint r = 0; r < G_N_ELEMENTS (rows); r++) {
    gint out = rows[r].channels * config->backbone.width_mult;

    for (gint i = 0; i < rows[r].n; i++, index++, in = out) {
      g_autofree gchar *name = g_strdup_printf ("%sfeatures.%d.conv.", prefix,
          index);
      gint stride = i == 0 ? rows[r].stride : 1;
      gint hidden = in * rows[r].expansion, layer = 0;
      CiValue y = x;

      if (rows[r].expansion > 1) {
        y = conv_norm (g, y, config, name, layer, hidden, 1, 1, 1, TRUE);
        layer += 3;
      }
      y = conv_norm (g, y, config, name, layer, hidden, 3, stride, hidden,
          TRUE);
      y = conv_norm (g, y, config, name, layer + 3, out, 1, 1, 1, FALSE);
      x = stride == 1 && in == out ? ci_graph_add (g, x, y) : y;
    }
    if (rows[r].level) {
      g_autofree gchar *name = g_strdup_printf ("feat.res%d",
          rows[r].level + 1);

      ci_graph_name (g, x, name);
      c[rows[r].level - 1] = (CiFeature) {
      x, out};
    }
  }
}
