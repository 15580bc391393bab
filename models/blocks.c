/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "blocks.h"

CiValue
ci_block_norm (CiGraph * graph, CiValue x, const gchar * norm_name,
    CiNorm norm, gfloat eps, CiActivation activation)
{
  if (norm == CI_NORM_BN)
    x = ci_graph_batch_norm (graph, x, norm_name, eps);
  else if (norm == CI_NORM_GN)
    x = ci_graph_group_norm (graph, x, norm_name, CI_NORM_GROUPS);
  if (activation != CI_ACTIVATION_NONE)
    x = ci_graph_activation (graph, x, activation);
  return x;
}

CiValue
ci_block_conv (CiGraph * graph, CiValue src, const gchar * conv,
    const gchar * norm_name, CiNorm norm, gint out_channels, gint kernel,
    gint stride, gint groups, gboolean bias, CiActivation activation)
{
  CiValue x = ci_graph_conv (graph, src, conv, out_channels, kernel, stride,
      kernel / 2, groups, bias);

  return ci_block_norm (graph, x, norm_name, norm, CI_NORM_EPS, activation);
}

CiValue
ci_block_deform (CiGraph * graph, CiValue src, const gchar * offset,
    const gchar * conv, gint out_channels, gint stride, gint groups,
    gboolean bias)
{
  /* of each of the 3x3 taps: dy, dx and a weight */
  CiValue offsets = ci_graph_conv (graph, src, offset, 3 * 9, 3, stride, 1, 1,
      TRUE);

  return ci_graph_deform_conv (graph, src, offsets, conv, out_channels, 3,
      stride, 1, groups, bias);
}

CiValue
ci_block_mask_features (CiGraph * g, const CiValue * pyramid,
    const gchar * name, gint channels, gint n_convs, CiNorm norm,
    CiResizeMode mode)
{
  CiValue x = CI_NO_VALUE;

  for (gint i = 0; i < 3; i++) {
    g_autofree gchar *conv = g_strdup_printf ("%s.refine.%d.0", name, i);
    g_autofree gchar *bn = g_strdup_printf ("%s.refine.%d.1", name, i);
    CiValue y = ci_block_conv (g, pyramid[i], conv, bn, norm, channels, 3, 1,
        1, norm == CI_NORM_NONE, CI_ACTIVATION_RELU);

    x = i == 0 ? y : ci_graph_add (g, x, ci_graph_upsample (g, y, 1 << i,
            mode));
  }
  for (gint i = 0; i < n_convs; i++) {
    g_autofree gchar *conv = g_strdup_printf ("%s.tower.%d.0", name, i);
    g_autofree gchar *bn = g_strdup_printf ("%s.tower.%d.1", name, i);

    x = ci_block_conv (g, x, conv, bn, norm, channels, 3, 1, 1,
        norm == CI_NORM_NONE, CI_ACTIVATION_RELU);
  }
  return x;
}
