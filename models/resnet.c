/*
 * resnet.c: ResNet (He et al., CVPR 2016) and ResNeXt (Xie et al., CVPR 2017),
 * with DCNv2 (Zhu et al., CVPR 2019) in some stages (2.1), under the names of
 * several code bases.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "blocks.h"

#include <string.h>

/* The first level's stage is called res2 or layer1. */
const CiResnetNames ci_resnet_names[CI_N_RESNET_NAMES] = {
  [CI_RESNET_DETECTRON2] = {"detectron2", "backbone.bottom_up.", "stem.",
      "res", 2, ".norm", "shortcut", "shortcut.norm", "_offset", FALSE},
  [CI_RESNET_TORCHVISION] = {"torchvision", "backbone.body.", "",
      "layer", 1, NULL, "downsample.0", "downsample.1", NULL, FALSE},
  [CI_RESNET_MMDETECTION] = {"mmdetection", "backbone.", "",
        "layer", 1, NULL, "downsample.0", "downsample.1", ".conv_offset",
      FALSE},
  [CI_RESNET_YOLACT] = {"yolact", "backbone.", "",
        "layers.", 0, NULL, "downsample.0", "downsample.1",
        ".conv_offset_mask",
      TRUE},
};

gchar *
ci_resnet_norm_name (const CiResnetNames * names, const gchar * conv)
{
  /* "bn1" goes with "conv1" */
  if (g_str_equal (conv, "shortcut"))
    return g_strdup (names->shortcut_norm);
  return names->norm ? g_strconcat (conv, names->norm, NULL)
      : g_strconcat ("bn", conv + strlen ("conv"), NULL);
}

/* Convolution @name ("conv1", "shortcut") of @block with its norm; @deform:
 * deformable, 3x3. */
static CiValue
conv_norm (CiGraph * g, CiValue x, const CiConfig * config,
    const gchar * block, const gchar * name, gint channels, gint kernel,
    gint stride, gint groups, gboolean deform, gboolean relu)
{
  const CiResnetNames *names = &ci_resnet_names[config->backbone.names];
  g_autofree gchar *norm_name = ci_resnet_norm_name (names, name);
  g_autofree gchar *conv = g_strconcat (block,
      g_str_equal (name, "shortcut") ? names->shortcut : name, NULL);
  g_autofree gchar *norm = g_strconcat (block, norm_name, NULL);
  g_autofree gchar *offset = g_strconcat (conv, names->offset, NULL);
  gboolean bias = config->backbone.norm == CI_NORM_NONE;
  CiActivation activation = relu ? CI_ACTIVATION_RELU : CI_ACTIVATION_NONE;
  CiValue y = deform ? ci_block_deform (g, x, offset, conv, channels, stride,
      groups, bias || names->deform_bias) : ci_graph_conv (g, x, conv,
      channels, kernel, stride, kernel / 2, groups, bias);

  return ci_block_norm (g, y, norm, config->backbone.norm,
      config->backbone.norm_eps, activation);
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
  if (in != out || stride != 1)
    x = conv_norm (g, x, config, name, "shortcut", out, 1, stride, 1, FALSE,
        FALSE);
  return ci_graph_activation (g, ci_graph_add (g, y, x), CI_ACTIVATION_RELU);
}

void
ci_backbone_resnet (CiGraph * g, CiValue x, const CiConfig * config,
    const gchar * prefix, CiFeature c[4])
{
  static const struct
  {
    gint depth, blocks[4];
  } depths[] = {
    {18, {2, 2, 2, 2}}, {34, {3, 4, 6, 3}}, {50, {3, 4, 6, 3}},
    {101, {3, 4, 23, 3}}, {152, {3, 8, 36, 3}}
  };
  const CiResnetNames *names = &ci_resnet_names[config->backbone.names];
  g_autofree gchar *stem = g_strconcat (prefix, names->stem, NULL);
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
    g_autofree gchar *feature = g_strdup_printf ("feat.res%d", stage + 2);

    for (gint i = 0; i < blocks[stage]; i++, in = out) {
      g_autofree gchar *name = g_strdup_printf ("%s%s%d.%d.", prefix,
          names->stage, names->first_stage + stage, i);
      gboolean deform = config->backbone.deform_on_per_stage[stage]
          && i % config->backbone.deform_interval == 0;

      x = residual_block (g, x, config, name, in, width, out,
          i == 0 && stage > 0 ? 2 : 1, deform);
    }
    ci_graph_name (g, x, feature);
    c[stage] = (CiFeature) {
    x, out};
  }
}
