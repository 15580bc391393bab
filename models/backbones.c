/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "blocks.h"

CiValue
ci_block_conv (CiGraph * graph, CiValue src, const gchar * conv,
    const gchar * norm_name, CiNorm norm, gint out_channels, gint kernel,
    gint stride, gint groups, gboolean bias, CiActivation activation)
{
  CiValue x = ci_graph_conv (graph, src, conv, out_channels, kernel, stride,
      kernel / 2, groups, bias);

  if (norm == CI_NORM_BN)
    x = ci_graph_batch_norm (graph, x, norm_name);
  else if (norm == CI_NORM_GN)
    x = ci_graph_group_norm (graph, x, norm_name, 32);
  if (activation != CI_ACTIVATION_NONE)
    x = ci_graph_activation (graph, x, activation);
  return x;
}

#define PREFIX "backbone.bottom_up."

/* ---- ResNet (He et al., CVPR 2016), as in detectron2 ------------------- */

/* Convolution `PREFIX@block.@name` with its `.norm`. */
static CiValue
resnet_conv (CiGraph * g, CiValue x, const CiConfig * config,
    const gchar * block, const gchar * name, gint channels, gint kernel,
    gint stride, gint groups, gboolean relu)
{
  g_autofree gchar *conv = g_strdup_printf (PREFIX "%s.%s", block, name);
  g_autofree gchar *norm = g_strconcat (conv, ".norm", NULL);

  return ci_block_conv (g, x, conv, norm, config->backbone.norm, channels,
      kernel, stride, groups, config->backbone.norm == CI_NORM_NONE,
      relu ? CI_ACTIVATION_RELU : CI_ACTIVATION_NONE);
}

static void
build_resnet (CiGraph * g, CiValue x, const CiConfig * config, CiValue c[3])
{
  static const struct
  {
    gint depth, blocks[4];
  } depths[] = {
    {18, {2, 2, 2, 2}}, {34, {3, 4, 6, 3}}, {50, {3, 4, 6, 3}},
    {101, {3, 4, 23, 3}}
  };
  const gint *blocks = NULL;
  gint groups = config->backbone.num_groups;
  gint width = groups * config->backbone.width_per_group;
  gint in = config->backbone.stem_out_channels;
  gint out = config->backbone.res2_out_channels;
  gboolean bottleneck = config->backbone.depth >= 50;

  for (guint i = 0; i < G_N_ELEMENTS (depths); i++)
    if (depths[i].depth == config->backbone.depth)
      blocks = depths[i].blocks;
  g_assert (blocks);

  x = resnet_conv (g, x, config, "stem", "conv1", in, 7, 2, 1, TRUE);
  x = ci_graph_max_pool (g, x, 3, 2, 1, FALSE);
  for (gint stage = 2; stage <= 5; stage++, width *= 2, out *= 2) {
    for (gint i = 0; i < blocks[stage - 2]; i++, in = out) {
      g_autofree gchar *name = g_strdup_printf ("res%d.%d", stage, i);
      gint stride = i == 0 && stage > 2 ? 2 : 1;
      gboolean in_1x1 = config->backbone.stride_in_1x1;
      CiValue y = x;

      if (bottleneck) {
        y = resnet_conv (g, y, config, name, "conv1", width, 1,
            in_1x1 ? stride : 1, 1, TRUE);
        y = resnet_conv (g, y, config, name, "conv2", width, 3,
            in_1x1 ? 1 : stride, groups, TRUE);
        y = resnet_conv (g, y, config, name, "conv3", out, 1, 1, 1, FALSE);
      } else {
        y = resnet_conv (g, y, config, name, "conv1", out, 3, stride, 1, TRUE);
        y = resnet_conv (g, y, config, name, "conv2", out, 3, 1, 1, FALSE);
      }
      if (in != out)
        x = resnet_conv (g, x, config, name, "shortcut", out, 1, stride, 1,
            FALSE);
      x = ci_graph_activation (g, ci_graph_add (g, y, x), CI_ACTIVATION_RELU);
    }
    if (stage > 2)
      c[stage - 3] = x;
  }
}

/* ---- MobileNetV2 (Sandler et al., CVPR 2018), as in AdelaiDet ---------- */

static CiValue
mobilenet_conv (CiGraph * g, CiValue x, const CiConfig * config,
    const gchar * block, gint index, gint channels, gint kernel, gint stride,
    gint groups, gboolean relu6)
{
  g_autofree gchar *conv = g_strdup_printf (PREFIX "features.%s.%d", block,
      index);
  g_autofree gchar *norm = g_strdup_printf (PREFIX "features.%s.%d", block,
      index + 1);

  return ci_block_conv (g, x, conv, norm, config->backbone.norm, channels,
      kernel, stride, groups, config->backbone.norm == CI_NORM_NONE,
      relu6 ? CI_ACTIVATION_RELU6 : CI_ACTIVATION_NONE);
}

static void
build_mobilenet_v2 (CiGraph * g, CiValue x, const CiConfig * config,
    CiValue c[3])
{
  /* table 2 of the paper */
  static const struct
  {
    gint expansion, channels, n, stride;
  } rows[] = {
    {1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1},
    {6, 160, 3, 2}, {6, 320, 1, 1}
  };
  gint in = 32 * config->backbone.width_mult, index = 1;

  x = mobilenet_conv (g, x, config, "0", 0, in, 3, 2, 1, TRUE);
  for (guint r = 0; r < G_N_ELEMENTS (rows); r++) {
    gint out = rows[r].channels * config->backbone.width_mult;

    for (gint i = 0; i < rows[r].n; i++, index++, in = out) {
      g_autofree gchar *name = g_strdup_printf ("%d.conv", index);
      gint stride = i == 0 ? rows[r].stride : 1;
      gint hidden = in * rows[r].expansion, layer = 0;
      CiValue y = x;

      if (rows[r].expansion > 1) {
        y = mobilenet_conv (g, y, config, name, layer, hidden, 1, 1, 1, TRUE);
        layer += 3;
      }
      y = mobilenet_conv (g, y, config, name, layer, hidden, 3, stride,
          hidden, TRUE);
      y = mobilenet_conv (g, y, config, name, layer + 3, out, 1, 1, 1, FALSE);
      x = stride == 1 && in == out ? ci_graph_add (g, x, y) : y;
    }
    /* the last block of each resolution */
    if (r == 2)
      c[0] = x;
    else if (r == 4)
      c[1] = x;
    else if (r == 6)
      c[2] = x;
  }
}

void
ci_block_backbone (CiGraph * graph, CiValue input, const CiConfig * config,
    CiValue c[3])
{
  static const gchar *const names[] = { "feat.res3", "feat.res4", "feat.res5" };

  ci_graph_name (graph, input, "input");
  switch (config->backbone.type) {
    case CI_BACKBONE_RESNET:
      build_resnet (graph, input, config, c);
      break;
    case CI_BACKBONE_MOBILENET_V2:
      build_mobilenet_v2 (graph, input, config, c);
      break;
    case CI_BACKBONE_DLA:
    case CI_BACKBONE_VOVNET:
      g_assert_not_reached ();  /* the parser refuses them so far */
  }
  for (gint i = 0; i < 3; i++)
    ci_graph_name (graph, c[i], names[i]);
}
