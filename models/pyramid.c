/*
 * pyramid.c: from C3 to C5 to the levels P3 and on: FPN (Lin et al., CVPR
 * 2017) with FCOS' levels on top (2.4), and BiFPN (EfficientDet, Tan et al.,
 * CVPR 2020, section 3; 2.5).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "method.h"

#include <string.h>

static const gchar *const necks[] = { "fpn", "bifpn", NULL };

/* ---- description -------------------------------------------------------- */

void
ci_pyramid_read (const CiSection * root, CiConfig * config)
{
  CiSection s = ci_section_open (root, "fpn", "fpn.");

  config->fpn.type = ci_section_choice (&s, "type", CI_NECK_FPN, necks);
  config->fpn.out_channels =
      ci_section_int (&s, "out_channels", 256, 1, 65536);
  config->fpn.norm =
      ci_section_norm (&s, "norm", config->fpn.out_channels,
      "fpn.out_channels");
  config->fpn.top_levels = ci_section_int (&s, "top_levels", 2, 0, 2);
  if (config->fpn.type == CI_NECK_FPN) {
    config->fpn.output_convs = ci_section_boolean (&s, "output_convs", TRUE);
    return;
  }
  config->fpn.num_repeats = ci_section_int (&s, "num_repeats", 6, 1, 32);
  /* what the official code has no nodes, or no names, for */
  if (config->fpn.top_levels == 1)
    ci_section_fail (&s, "top_levels", CI_ERROR_UNSUPPORTED,
        "expected 0 or 2 with a bifpn, found 1");
  if (config->backbone.type != CI_BACKBONE_RESNET
      && config->backbone.type != CI_BACKBONE_MOBILENET_V2)
    ci_section_fail (&s, "type", CI_ERROR_UNSUPPORTED, "expected a resnet or "
        "mobilenet_v2 under a bifpn, found %s",
        ci_backbone_names[config->backbone.type]);
}

void
ci_pyramid_write (GString * out, const CiConfig * c)
{
  ci_write_open (out, "fpn");
  ci_write_string (out, "type", necks[c->fpn.type]);
  ci_write_int (out, "out_channels", c->fpn.out_channels);
  ci_write_string (out, "norm", ci_norm_names[c->fpn.norm]);
  if (c->fpn.type == CI_NECK_FPN)
    ci_write_boolean (out, "output_convs", c->fpn.output_convs);
  else
    ci_write_int (out, "num_repeats", c->fpn.num_repeats);
  ci_write_int (out, "top_levels", c->fpn.top_levels);
  ci_write_close (out);
}

/* ---- convolutions ------------------------------------------------------- */

/* Convolution `@name` with its `.norm`; without a norm it has a bias. */
static CiValue
conv_norm (CiGraph * g, CiValue x, const CiConfig * config,
    const gchar * name, gint kernel, gboolean bias)
{
  g_autofree gchar *norm = g_strconcat (name, ".norm", NULL);

  return ci_block_conv (g, x, name, norm, config->fpn.norm,
      config->fpn.out_channels, kernel, 1, 1,
      bias || config->fpn.norm == CI_NORM_NONE, CI_ACTIVATION_NONE);
}

/* ---- FPN ---------------------------------------------------------------- */

void
ci_block_fpn (CiGraph * g, const CiFpn * fpn, const CiFeature * c, gint n,
    gint channels, CiValue * p)
{
  gboolean bias = fpn->norm == CI_NORM_NONE;
  CiValue sum = CI_NO_VALUE;

  for (gint i = n - 1; i >= 0; i--) {
    gint number = fpn->first + i * fpn->step;
    g_autofree gchar *lateral = g_strdup_printf ("%s%d%s", fpn->lateral,
        number, fpn->lateral_end);
    g_autofree gchar *lateral_norm = g_strdup_printf ("%s%d%s", fpn->lateral,
        number, fpn->norm_end);
    CiValue x = ci_block_conv (g, c[i].value, lateral, lateral_norm,
        fpn->norm, channels, 1, 1, 1, bias, CI_ACTIVATION_NONE);

    if (sum != CI_NO_VALUE)
      x = ci_graph_add (g, x, ci_graph_resize_like (g, sum, x, fpn->resize));
    p[i] = sum = x;
  }
  for (gint i = n - 1; i >= 0 && fpn->outputs; i--) {
    gint number = fpn->first + i * fpn->step;
    g_autofree gchar *output = g_strdup_printf ("%s%d%s", fpn->output, number,
        fpn->output_end);
    g_autofree gchar *output_norm = g_strdup_printf ("%s%d%s", fpn->output,
        number, fpn->norm_end);

    p[i] = ci_block_conv (g, p[i], output, output_norm, fpn->norm, channels,
        3, 1, 1, bias, fpn->activation);
  }
}

static void
build_fpn (CiGraph * g, const CiConfig * config, const CiFeature c[4],
    CiValue * p)
{
  const CiFpn fpn = { "backbone.fpn_lateral", "backbone.fpn_output", "", "",
    ".norm", 3, 1, config->fpn.norm, CI_RESIZE_NEAREST,
    config->fpn.output_convs, CI_ACTIVATION_NONE
  };

  ci_block_fpn (g, &fpn, c + 1, 3, config->fpn.out_channels, p);
  /* P7 sees P6 through a ReLU, P6 itself is used without */
  for (gint i = 0; i < config->fpn.top_levels; i++) {
    CiValue below = p[2 + i];

    if (i > 0)
      below = ci_graph_activation (g, below, CI_ACTIVATION_RELU);
    p[3 + i] = ci_graph_conv (g, below, i ? "backbone.top_block.p7" :
        "backbone.top_block.p6", config->fpn.out_channels, 3, 2, 1, 1, TRUE);
  }
}

/* ---- BiFPN -------------------------------------------------------------- */

/* Input @index of a repeat, brought to the width of the pyramid for nodes of
 * level @level. */
static CiValue
lateral (CiGraph * g, const CiConfig * config, const gchar * repeat,
    CiFeature x, gint index, gint level)
{
  g_autofree gchar *name = g_strdup_printf ("%slateral_%d_f%d", repeat, index,
      level);

  /* the only convolution that has a bias even before a norm */
  return x.channels == config->fpn.out_channels ? x.value
      : conv_norm (g, x.value, config, name, 1, TRUE);
}

/* The node of level @level over @n maps of its size, which are number
 * @indices[] in the list of inputs and nodes. */
static CiValue
node (CiGraph * g, const CiConfig * config, const gchar * repeat, gint level,
    const CiValue * maps, const gint * indices, gint n)
{
  g_autoptr (GString) name = g_string_new (NULL);
  g_autofree gchar *weights = NULL;
  g_autofree gchar *output = NULL;
  CiValue x;

  g_string_append_printf (name, "f%d", level);
  for (gint i = 0; i < n; i++)
    g_string_append_printf (name, "_%d", indices[i]);
  weights = g_strconcat (repeat, "weights_", name->str, NULL);
  output = g_strconcat (repeat, "outputs_", name->str, NULL);
  x = ci_graph_weighted_add (g, maps, n, weights);
  x = ci_graph_activation (g, x, CI_ACTIVATION_SWISH);
  return conv_norm (g, x, config, output, 3, FALSE);
}

/* One repeat: a way down the @n levels of @p, and one up again. */
static void
build_repeat (CiGraph * g, const CiConfig * config, const gchar * repeat,
    CiFeature * p, gint n)
{
  CiValue own[CI_MAX_LEVELS], down[CI_MAX_LEVELS], last;
  gint last_index = n - 1, down_index[CI_MAX_LEVELS];

  for (gint l = 0; l < n; l++)
    own[l] = lateral (g, config, repeat, p[l], l, l);
  last = lateral (g, config, repeat, p[n - 1], n - 1, n - 2);
  for (gint l = n - 2; l >= 0; l--) {
    CiValue maps[2] = { own[l], ci_graph_resize_like (g, last, own[l],
          CI_RESIZE_NEAREST)
    };
    gint indices[2] = { l, last_index };

    down[l] = last = node (g, config, repeat, l, maps, indices, 2);
    down_index[l] = last_index = n + (n - 2 - l);
  }
  p[0].value = last;
  for (gint l = 1; l < n; l++) {
    /* the same size as own[l], down to maps of one cell */
    CiValue below = ci_graph_max_pool (g, last, 3, 2, 1, FALSE);
    CiValue maps[3] = { own[l], below };
    gint indices[3] = { l, last_index };
    gint n_maps = 2;

    if (l < n - 1) {
      maps[1] = down[l];
      indices[1] = down_index[l];
      maps[2] = below;
      indices[2] = last_index;
      n_maps = 3;
    }
    p[l].value = last = node (g, config, repeat, l, maps, indices, n_maps);
    last_index = 2 * n - 2 + l;
  }
  for (gint l = 0; l < n; l++)
    p[l].channels = config->fpn.out_channels;
}

static void
build_bifpn (CiGraph * g, const CiConfig * config, const CiFeature c[4],
    CiValue * out)
{
  gint n = config->fcos.n_levels, channels = config->fpn.out_channels;
  CiFeature p[CI_MAX_LEVELS];

  memcpy (p, c + 1, 3 * sizeof (CiFeature));
  for (gint l = 3; l < n; l++) {
    CiValue x = p[l - 1].value;

    if (p[l - 1].channels != channels)
      x = conv_norm (g, x, config, "backbone.bottom_up.res6.reduction", 1,
          FALSE);
    p[l] = (CiFeature) {
    ci_graph_max_pool (g, x, 3, 2, 1, FALSE), channels};
  }
  for (gint r = 0; r < config->fpn.num_repeats; r++) {
    g_autofree gchar *repeat =
        g_strdup_printf ("backbone.repeated_bifpn.%d.", r);

    build_repeat (g, config, repeat, p, n);
  }
  for (gint l = 0; l < n; l++)
    out[l] = p[l].value;
}

void
ci_pyramid_build (CiGraph * graph, const CiConfig * config,
    const CiFeature c[4], CiValue * pyramid)
{
  if (config->fpn.type == CI_NECK_BIFPN)
    build_bifpn (graph, config, c, pyramid);
  else
    build_fpn (graph, config, c, pyramid);
  for (gint i = 0; i < config->fcos.n_levels; i++) {
    g_autofree gchar *name = g_strdup_printf ("feat.p%d", i + 3);

    ci_graph_name (graph, pyramid[i], name);
  }
}
