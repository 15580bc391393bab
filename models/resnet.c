/*
 * resnet.c: ResNet (He et al., CVPR 2016) and ResNeXt (Xie et al., CVPR 2017),
 * with DCNv2 (Zhu et al., CVPR 2019) in some stages, as in detectron2 (2.1).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "blocks.h"

/* Convolution `@block@name` with its `.norm`; @deform: deformable, 3x3. */
static CiValue
conv_norm (CiGraph * g, CiValue x, const CiConfig * config,
    const gchar * block, const gchar * name, gint channels, gint kernel,
    gint stride, gint groups, gboolean deform, gboolean relu)
{
  g_autofree gchar *conv = g_strconcat (block, name, NULL);
  g_autofree gchar *norm = g_strconcat (conv, ".norm", NULL);
  g_autofree gchar *offset = g_strconcat (conv, "_offset", NULL);
  gboolean bias = config->backbone.norm == CI_NORM_NONE;
  CiActivation activation = relu ? CI_ACTIVATION_RELU : CI_ACTIVATION_NONE;

  if (deform)
    return ci_block_deform_conv (g, x, offset, conv, norm,
        config->backbone.norm, channels, stride, groups, bias, activation);
  return ci_block_conv (g, x, conv, norm, config->backbone.norm, channels,
      kernel, stride, groups, bias, activation);
}

/* @x from @in to @out channels; @width: of the 3x3 convolution between. */
static CiValue
residual_block (CiGraph * g, CiValue x, const CiConfig * config,
    const gchar * name, gint in, gint width, gint out, gint stride,
    gboolean deform)
{
  gboolean in_1x1 = config->backbone.stride_in_1x1;
  CiValue y = x;

  if (config->backbone.depth >= 50) {
    y = conv_norm (g, y, config, name, "conv1", width, 1, in_1x1 ? stride : 1,
        1, FALSE, TRUE);
    y = conv_norm (g, y, config, name, "conv2", width, 3, in_1x1 ? 1 : stride,
        config->backbone.num_groups, deform, TRUE);
    y = conv_norm (g, y, config, name, "conv3", out, 1, 1, 1, FALSE, FALSE);
  } else {
    y = conv_norm (g, y, config, name, "conv1", out, 3, stride, 1, FALSE,
        TRUE);
    y = conv_norm (g, y, config, name, "conv2", out, 3, 1, 1, FALSE, FALSE);
  }
  if (in != out)
    x = conv_norm (g, x, config, name, "shortcut", out, 1, stride, 1, FALSE,
        FALSE);
  return ci_graph_activation (g, ci_graph_add (g, y, x), CI_ACTIVATION_RELU);
}

void
ci_backbone_resnet (CiGraph * g, CiValue x, const CiConfig * config,
    const gchar * prefix, CiFeature c[3])
{
  static const struct
  {
    gint depth, blocks[4];
  } depths[] = {
    {18, {2, 2, 2, 2}}, {34, {3, 4, 6, 3}}, {50, {3, 4, 6, 3}},
    {101, {3, 4, 23, 3}}
  };
  g_autofree gchar *stem = g_strconcat (prefix, "stem.", NULL);
  const gint *blocks = NULL;
  gint width = config->backbone.num_groups * config->backbone.width_per_group;
  gint in = config->backbone.stem_out_channels;
  gint out = config->backbone.res2_out_channels;

  for (guint i = 0; i < G_N_ELEMENTS (depths); i++)
    if (depths[i].depth == config->backbone.depth)
      blocks = depths[i].blocks;
  g_assert (blocks);

  x = conv_norm (g, x, config, stem, "conv1", in, 7, 2, 1, FALSE, TRUE);
  x = ci_graph_max_pool (g, x, 3, 2, 1, FALSE);
  for (gint stage = 0; stage < 4; stage++, width *= 2, out *= 2) {
    for (gint i = 0; i < blocks[stage]; i++, in = out) {
      g_autofree gchar *name = g_strdup_printf ("%sres%d.%d.", prefix,
          stage + 2, i);
      gboolean deform = config->backbone.deform_on_per_stage[stage]
          && i % config->backbone.deform_interval == 0;

      x = residual_block (g, x, config, name, in, width, out,
          i == 0 && stage > 0 ? 2 : 1, deform);
    }
    if (stage > 0) {
      g_autofree gchar *name = g_strdup_printf ("feat.res%d", stage + 2);

      ci_graph_name (g, x, name);
      c[stage - 1] = (CiFeature) {
      x, out};
    }
  }
}
