/*
 * vovnet.c: VoVNet with effective squeeze and excitation (Lee and Park, CVPR
 * 2020, "CenterMask", section 3.3), as in AdelaiDet (2.3).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "blocks.h"

#define MAX_LAYERS 5

/* Convolution `@module_@suffix/conv` in `@path`, its norm and ReLU. */
static CiValue
conv_norm (CiGraph * g, CiValue x, const CiConfig * config,
    const gchar * path, const gchar * module, const gchar * suffix,
    gint channels, gint kernel, gint stride)
{
  g_autofree gchar *conv = g_strdup_printf ("%s%s_%s/conv", path, module,
      suffix);
  g_autofree gchar *norm = g_strdup_printf ("%s%s_%s/norm", path, module,
      suffix);

  return ci_block_conv (g, x, conv, norm, config->backbone.norm, channels,
      kernel, stride, 1, config->backbone.norm == CI_NORM_NONE,
      CI_ACTIVATION_RELU);
}

/* One-shot aggregation: a chain of @n_layers convolutions of @width channels,
 * of which the last one sees all, then a factor per channel. */
static CiValue
osa_module (CiGraph * g, CiFeature x, const CiConfig * config,
    const gchar * path, const gchar * module, gint n_layers, gint width,
    gint channels, gboolean identity)
{
  g_autofree gchar *concat = g_strconcat (path, "concat.", NULL);
  g_autofree gchar *fc = g_strconcat (path, "ese.fc", NULL);
  CiValue all[MAX_LAYERS + 1] = { x.value }, y, factors;

  for (gint i = 0; i < n_layers; i++) {
    g_autofree gchar *layer = g_strdup_printf ("%slayers.%d.", path, i);
    g_autofree gchar *index = g_strdup_printf ("%d", i);

    all[i + 1] = conv_norm (g, all[i], config, layer, module, index, width, 3,
        1);
  }
  y = conv_norm (g, ci_graph_concat (g, all, n_layers + 1), config, concat,
      module, "concat", channels, 1, 1);
  factors = ci_graph_conv (g, ci_graph_global_avg_pool (g, y), fc, channels, 1,
      1, 0, 1, TRUE);
  factors = ci_graph_activation (g, factors, CI_ACTIVATION_HARD_SIGMOID);
  y = ci_graph_channel_scale (g, y, factors);
  return identity ? ci_graph_add (g, y, x.value) : y;
}

void
ci_backbone_vovnet (CiGraph * g, CiValue input, const CiConfig * config,
    const gchar * prefix, CiFeature c[4])
{
  static const struct
  {
    gint depth, n_layers, modules[4];
  } depths[] = {
    {19, 3, {1, 1, 1, 1}}, {39, 5, {1, 1, 2, 2}}, {57, 5, {1, 1, 4, 3}},
    {99, 5, {1, 3, 9, 3}}
  };
  static const gint widths[4] = { 128, 160, 192, 224 };
  static const gint outs[4] = { 256, 512, 768, 1024 };
  g_autofree gchar *stem = g_strconcat (prefix, "stem.", NULL);
  const gint *modules = NULL;
  CiFeature x = { input, 128 };
  gint n_layers = 0;

  for (guint i = 0; i < G_N_ELEMENTS (depths); i++)
    if (depths[i].depth == config->backbone.depth) {
      modules = depths[i].modules;
      n_layers = depths[i].n_layers;
    }
  g_assert (modules);

  x.value = conv_norm (g, x.value, config, stem, "stem", "1", 64, 3, 2);
  x.value = conv_norm (g, x.value, config, stem, "stem", "2", 64, 3, 1);
  x.value = conv_norm (g, x.value, config, stem, "stem", "3", 128, 3, 2);
  for (gint stage = 0; stage < 4; stage++) {
    g_autofree gchar *feature = g_strdup_printf ("feat.stage%d", stage + 2);

    if (stage > 0)
      x.value = ci_graph_max_pool (g, x.value, 3, 2, 0, TRUE);
    for (gint i = 0; i < modules[stage]; i++) {
      g_autofree gchar *module = g_strdup_printf ("OSA%d_%d", stage + 2,
          i + 1);
      g_autofree gchar *path = g_strdup_printf ("%sstage%d.%s.", prefix,
          stage + 2, module);

      x.value = osa_module (g, x, config, path, module, n_layers,
          widths[stage], outs[stage], i > 0);
      x.channels = outs[stage];
    }
    ci_graph_name (g, x.value, feature);
    c[stage] = x;
  }
}
