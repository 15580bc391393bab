/*
 * darknet.c: DarkNet-53 (YOLOv3, Redmon and Farhadi, 2018, section 2.4) under
 * the names of YOLACT's code (SEMANTICS-yolact "Backbone").
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "blocks.h"

const gint ci_darknet_blocks[CI_DARKNET_STAGES] = { 1, 2, 8, 8, 4 };

/* Convolution `@prefix.@conv.0` with its norm, the entry behind it. */
static CiValue
conv_norm (CiGraph * g, CiValue x, const CiConfig * config,
    const gchar * prefix, const gchar * conv, gint channels, gint kernel,
    gint stride)
{
  g_autofree gchar *name = g_strconcat (prefix, conv, ".0", NULL);
  g_autofree gchar *norm = g_strconcat (prefix, conv, ".1", NULL);

  x = ci_graph_conv (g, x, name, channels, kernel, stride, kernel / 2, 1,
      config->backbone.norm == CI_NORM_NONE);
  return ci_block_norm (g, x, norm, config->backbone.norm,
      config->backbone.norm_eps, CI_ACTIVATION_LEAKY_RELU);
}

void
ci_backbone_darknet (CiGraph * g, CiValue x, const CiConfig * config,
    const gchar * prefix, CiFeature c[4])
{
  gint channels = config->backbone.stem_out_channels;

  x = conv_norm (g, x, config, prefix, "_preconv", channels, 3, 1);
  for (gint stage = 0; stage < CI_DARKNET_STAGES; stage++) {
    g_autofree gchar *feature = g_strdup_printf ("feat.dark%d", stage + 1);
    g_autofree gchar *down = g_strdup_printf ("layers.%d.0", stage);

    channels *= 2;
    x = conv_norm (g, x, config, prefix, down, channels, 3, 2);
    for (gint i = 1; i <= ci_darknet_blocks[stage]; i++) {
      g_autofree gchar *block = g_strdup_printf ("%slayers.%d.%d.", prefix,
          stage, i);
      CiValue y = conv_norm (g, x, config, block, "conv1", channels / 2, 1, 1);

      y = conv_norm (g, y, config, block, "conv2", channels, 3, 1);
      x = ci_graph_add (g, y, x);
    }
    ci_graph_name (g, x, feature);
    if (stage > 0)
      c[stage - 1] = (CiFeature) {
      x, channels};
  }
}
