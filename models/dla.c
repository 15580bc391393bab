/*
 * dla.c: DLA-34 (Yu et al., CVPR 2018, "Deep Layer Aggregation"), as in
 * AdelaiDet (2.2).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "blocks.h"

/* What a root joins besides the results of its own two blocks: the level's
 * input and the first tree of the level above. */
#define MAX_CHILDREN 2

/* Convolution `@module@conv` with norm `@module@bn`. */
static CiValue
conv_norm (CiGraph * g, CiValue x, const CiConfig * config,
    const gchar * module, const gchar * conv, const gchar * bn, gint channels,
    gint kernel, gint stride, gboolean relu)
{
  g_autofree gchar *conv_name = g_strconcat (module, conv, NULL);
  g_autofree gchar *bn_name = g_strconcat (module, bn, NULL);

  return ci_block_conv (g, x, conv_name, bn_name, config->backbone.norm,
      channels, kernel, stride, 1, config->backbone.norm == CI_NORM_NONE,
      relu ? CI_ACTIVATION_RELU : CI_ACTIVATION_NONE);
}

static CiValue
basic_block (CiGraph * g, CiValue x, const CiConfig * config,
    const gchar * module, gint channels, gint stride, CiValue residual)
{
  x = conv_norm (g, x, config, module, "conv1", "bn1", channels, 3, stride,
      TRUE);
  x = conv_norm (g, x, config, module, "conv2", "bn2", channels, 3, 1, FALSE);
  return ci_graph_activation (g, ci_graph_add (g, x, residual),
      CI_ACTIVATION_RELU);
}

/* A tree of @depth 1 (two blocks) or 2 (two trees) under `@module`. Its root
 * joins the @n_children values, too, and with @join_input the pooled @x. */
static CiValue
tree (CiGraph * g, CiFeature x, const CiConfig * config, const gchar * module,
    gint depth, gint channels, gint stride, gboolean join_input,
    const CiValue * children, gint n_children)
{
  g_autofree gchar *first = g_strconcat (module, "tree1.", NULL);
  g_autofree gchar *second = g_strconcat (module, "tree2.", NULL);
  CiValue joined[2 + MAX_CHILDREN], bottom = x.value, residual;
  gint n = 2;

  if (stride > 1)
    bottom = ci_graph_max_pool (g, x.value, stride, stride, 0, FALSE);
  for (gint i = 0; i < n_children; i++)
    joined[n++] = children[i];
  if (join_input)
    joined[n++] = bottom;

  if (depth > 1) {
    CiFeature inner = { CI_NO_VALUE, channels };

    /* the official outer tree has a projection that nothing uses */
    joined[n++] = inner.value = tree (g, x, config, first, depth - 1, channels,
        stride, FALSE, NULL, 0);
    return tree (g, inner, config, second, depth - 1, channels, 1, FALSE,
        joined + 2, n - 2);
  }
  residual = x.channels == channels ? bottom : conv_norm (g, bottom, config,
      module, "project.0", "project.1", channels, 1, 1, FALSE);
  joined[1] = basic_block (g, x.value, config, first, channels, stride,
      residual);
  joined[0] = basic_block (g, joined[1], config, second, channels, 1,
      joined[1]);
  return conv_norm (g, ci_graph_concat (g, joined, n), config, module,
      "root.conv", "root.bn", channels, 1, 1, TRUE);
}

void
ci_backbone_dla (CiGraph * g, CiValue input, const CiConfig * config,
    const gchar * prefix, CiFeature c[4])
{
  static const struct
  {
    const gchar *name;
    gint channels, kernel, stride;
  } stem[] = {
    {"base_layer.", 16, 7, 1}, {"level0.", 16, 3, 1}, {"level1.", 32, 3, 2}
  };
  static const struct
  {
    gint depth, channels;
  } levels[] = { {1, 64}, {2, 128}, {2, 256}, {1, 512} };
  CiFeature x = { input, 3 };

  for (guint i = 0; i < G_N_ELEMENTS (stem); i++) {
    g_autofree gchar *name = g_strconcat (prefix, stem[i].name, NULL);

    x.value = conv_norm (g, x.value, config, name, "0", "1", stem[i].channels,
        stem[i].kernel, stem[i].stride, TRUE);
    x.channels = stem[i].channels;
  }
  for (guint i = 0; i < G_N_ELEMENTS (levels); i++) {
    g_autofree gchar *module = g_strdup_printf ("%slevel%u.", prefix, i + 2);
    g_autofree gchar *feature = g_strdup_printf ("feat.level%u", i + 2);

    x.value = tree (g, x, config, module, levels[i].depth, levels[i].channels,
        2, i > 0, NULL, 0);
    x.channels = levels[i].channels;
    ci_graph_name (g, x.value, feature);
    c[i] = x;
  }
}
