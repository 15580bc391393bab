/*
 * conformance.c: the layers of the networks, against the reference.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "conformance.h"

/* out, kernel, stride, padding, groups, bias, activation */
static void
build_conv (CiGraph * g, CiValue x, const gint * a)
{
  x = ci_graph_conv (g, x, "conv", a[0], a[1], a[2], a[3], a[4], a[5]);
  ci_graph_output (g, ci_graph_activation (g, x, a[6]), "out");
}

/* the same, batch norm and scale behind it, over a packed input */
static void
build_conv_norm (CiGraph * g, CiValue x, const gint * a)
{
  x = ci_graph_activation (g, x, CI_ACTIVATION_NONE);
  x = ci_graph_conv (g, x, "conv", a[0], a[1], a[2], a[3], a[4], a[5]);
  x = ci_graph_batch_norm (g, x, "norm", 1e-5f);
  x = ci_graph_scale (g, x, "scales.0.scale");
  ci_graph_output (g, ci_graph_activation (g, x, a[6]), "out");
}

/* residuals: arg[1] = 0: the shortcut dies with the addition, 1: it is needed
 * again and must not be overwritten, 2: both sides are convolutions, 3: a
 * value is added to itself */
static void
build_residual (CiGraph * g, CiValue x, const gint * a)
{
  CiValue y, s = ci_graph_conv (g, x, "first", a[0], 3, 1, 1, 1, TRUE);

  if (a[1] != 2)
    s = ci_graph_activation (g, s, CI_ACTIVATION_RELU);
  y = ci_graph_conv (g, a[1] == 2 ? x : s, "second", a[0], 3, 1, 1, 1, TRUE);
  y = a[1] == 3 ? ci_graph_add (g, y, y) : ci_graph_add (g, s, y);
  y = ci_graph_activation (g, y, CI_ACTIVATION_RELU);
  if (a[1] == 1)
    ci_graph_output (g, ci_graph_conv (g, s, "third", a[0], 1, 1, 0, 1, TRUE),
        "third");
  ci_graph_output (g, y, "out");
}

/* channels, activation: a convolution reads what it leaves behind the last
 * channel */
static void
build_activation (CiGraph * g, CiValue x, const gint * a)
{
  x = ci_graph_conv (g, x, "conv", a[0], 3, 1, 1, 1, TRUE);
  x = ci_graph_activation (g, x, a[1]);
  ci_graph_output (g, ci_graph_concat (g, &x, 1), "copy");
  ci_graph_output (g, ci_graph_conv (g, x, "last", 8, 3, 1, 1, 1, TRUE),
      "out");
}

/* channels, activation: DarkNet's, behind which the sum is */
static void
build_residual_activation (CiGraph * g, CiValue x, const gint * a)
{
  CiValue y = ci_graph_conv (g, x, "conv", a[0], 3, 1, 1, 1, TRUE);

  y = ci_graph_activation (g, y, a[1]);
  ci_graph_output (g, ci_graph_activation (g, ci_graph_add (g, x, y), a[1]),
      "out");
}

/* channels, groups, activation */
static void
build_group_norm (CiGraph * g, CiValue x, const gint * a)
{
  x = ci_graph_conv (g, x, "conv", a[0], 3, 1, 1, 1, TRUE);
  x = ci_graph_group_norm (g, x, "norm", a[1]);
  ci_graph_output (g, ci_graph_activation (g, x, a[2]), "out");
}

/* kernel, stride, padding, ceil mode */
static void
build_max_pool (CiGraph * g, CiValue x, const gint * a)
{
  ci_graph_output (g, ci_graph_max_pool (g, x, a[0], a[1], a[2], a[3]), "out");
}

/* factor, mode, residual */
static void
build_upsample (CiGraph * g, CiValue x, const gint * a)
{
  CiValue small = ci_graph_conv (g, x, "small", 12, 1, a[0], 0, 1, TRUE);
  CiValue up = ci_graph_upsample (g, small, a[0], a[1]);

  if (a[2]) {
    CiValue side = ci_graph_conv (g, x, "side", 12, 1, 1, 0, 1, TRUE);

    /* 1: fused into the convolution, 2: into the upsampling */
    if (a[2] == 2)
      side = ci_graph_activation (g, side, CI_ACTIVATION_RELU);
    up = ci_graph_add (g, side, up);
  }
  ci_graph_output (g, up, "out");
}

/* mode: to the size of the input, whatever that is, added to it */
static void
build_resize_like (CiGraph * g, CiValue x, const gint * a)
{
  CiValue small = ci_graph_conv (g, x, "small", 12, 3, 2, 1, 1, TRUE);
  CiValue side = ci_graph_conv (g, x, "side", 12, 1, 1, 0, 1, TRUE);

  side = ci_graph_activation (g, side, CI_ACTIVATION_RELU);
  small = ci_graph_resize_like (g, small, side, a[0]);
  ci_graph_output (g, ci_graph_add (g, small, side), "out");
}

/* height, width, mode, residual: shrinks and enlarges */
static void
build_resize (CiGraph * g, CiValue x, const gint * a)
{
  CiValue side, y = ci_graph_conv (g, x, "conv", 12, 1, 1, 0, 1, TRUE);

  y = ci_graph_resize (g, y, a[0], a[1], a[2]);
  if (a[3]) {
    side = ci_graph_conv (g, x, "side", 12, 1, 1, 0, 1, TRUE);
    side = ci_graph_resize_like (g, side, y, CI_RESIZE_NEAREST);
    side = ci_graph_activation (g, side, CI_ACTIVATION_RELU);
    y = ci_graph_add (g, y, side);
  }
  ci_graph_output (g, y, "out");
}

/* channels, x, y: coordinates behind a map, which others read, too */
static void
build_coords (CiGraph * g, CiValue x, const gint * a)
{
  CiValue maps[2], y;

  maps[0] = ci_graph_conv (g, x, "conv", a[0], 3, 2, 1, 1, TRUE);
  maps[1] = ci_graph_coords (g, maps[0], a[1], a[2]);
  y = ci_graph_concat (g, maps, 2);
  ci_graph_output (g, maps[1], "coords");
  ci_graph_output (g, ci_graph_conv (g, maps[0], "other", 8, 3, 1, 1, 1,
          TRUE), "other");
  ci_graph_output (g, ci_graph_conv (g, y, "last", 8, 3, 1, 1, 1, TRUE),
      "out");
}

/* VoVNet's: channels, residual, whether the map is needed again */
static void
build_squeeze (CiGraph * g, CiValue x, const gint * a)
{
  CiValue y = ci_graph_conv (g, x, "conv", a[0], 3, 1, 1, 1, TRUE), s;

  y = ci_graph_activation (g, y, CI_ACTIVATION_RELU);
  s = ci_graph_global_avg_pool (g, y);
  ci_graph_output (g, s, "mean");
  s = ci_graph_conv (g, s, "fc", a[0], 1, 1, 0, 1, TRUE);
  s = ci_graph_activation (g, s, CI_ACTIVATION_HARD_SIGMOID);
  s = ci_graph_channel_scale (g, y, s);
  if (a[1])
    s = ci_graph_add (g, s, ci_graph_conv (g, x, "side", a[0], 1, 1, 0, 1,
            TRUE));
  if (a[2])
    ci_graph_output (g, ci_graph_conv (g, y, "third", 8, 1, 1, 0, 1, TRUE),
        "third");
  ci_graph_output (g, s, "out");
}

/* channels of up to four maps, which a convolution reads side by side */
static void
build_concat (CiGraph * g, CiValue x, const gint * a)
{
  CiValue maps[5] = { x };
  gint n = 1;

  for (; n < 5 && a[n - 1]; n++) {
    g_autofree gchar *name = g_strdup_printf ("conv%d", n);

    maps[n] = ci_graph_conv (g, maps[n - 1], name, a[n - 1], 3, 1, 1, 1, TRUE);
  }
  x = ci_graph_concat (g, maps, n);
  ci_graph_output (g, x, "stack");
  ci_graph_output (g, ci_graph_conv (g, x, "last", 8, 1, 1, 0, 1, TRUE),
      "out");
}

/* BiFPN's node: channels, maps, activation */
static void
build_weighted_add (CiGraph * g, CiValue x, const gint * a)
{
  CiValue maps[5];

  for (gint i = 0; i < a[1]; i++) {
    g_autofree gchar *name = g_strdup_printf ("conv%d", i);

    maps[i] = ci_graph_conv (g, x, name, a[0], 3, i == 1 ? 2 : 1, 1, 1, TRUE);
    if (i == 1)
      maps[i] = ci_graph_resize_like (g, maps[i], maps[0],
          CI_RESIZE_NEAREST);
  }
  x = ci_graph_weighted_add (g, maps, a[1], "fusion");
  x = ci_graph_activation (g, x, a[2]);
  ci_graph_output (g, ci_graph_conv (g, x, "last", 8, 3, 1, 1, 1, TRUE),
      "out");
}

/* out, kernel, stride, padding, groups, bias, activation; batch norm as in
 * ResNet where there is no bias */
static void
build_deform (CiGraph * g, CiValue x, const gint * a)
{
  CiValue offsets = ci_graph_conv (g, x, "offset", 3 * a[1] * a[1], a[1], a[2],
      a[3], 1, TRUE);

  x = ci_graph_activation (g, x, CI_ACTIVATION_NONE);
  x = ci_graph_deform_conv (g, x, offsets, "conv", a[0], a[1], a[2], a[3],
      a[4], a[5]);
  if (!a[5])
    x = ci_graph_batch_norm (g, x, "norm", 0.01f);
  ci_graph_output (g, ci_graph_activation (g, x, a[6]), "out");
}

#define RELU CI_ACTIVATION_RELU
#define RELU6 CI_ACTIVATION_RELU6
#define NEAREST CI_RESIZE_NEAREST
#define ALIGNED CI_RESIZE_ALIGNED_BILINEAR
#define BILINEAR CI_RESIZE_BILINEAR
#define SWISH CI_ACTIVATION_SWISH
#define HARD_SIGMOID CI_ACTIVATION_HARD_SIGMOID
#define LEAKY CI_ACTIVATION_LEAKY_RELU
#define SIGMOID CI_ACTIVATION_SIGMOID
#define TANH CI_ACTIVATION_TANH

/* levels, out of the first layer: what follows a pyramid. Layers that share
 * their weights on all levels, and one that does not, in a row: the backend may
 * compute them together. */
static void
build_heads (CiGraph * g, CiValue x, const gint * a)
{
  CiValue levels[5];

  levels[0] = ci_graph_conv (g, x, "stem", 32, 3, 1, 1, 1, TRUE);
  for (gint l = 1; l < a[0]; l++)
    levels[l] = ci_graph_max_pool (g, levels[l - 1], 3, 2, 1, FALSE);
  for (gint layer = 0; layer < 3; layer++)
    for (gint l = 0; l < a[0]; l++) {
      g_autofree gchar *name = layer == 1 ? g_strdup_printf ("layer1.%d", l)
          : g_strdup_printf ("layer%d", layer);
      g_autofree gchar *output = g_strdup_printf ("out%d.%d", layer, l);

      ci_graph_output (g, ci_graph_conv (g, levels[l], name,
              layer == 0 ? a[1] : 4, 3, 1, 1, 1, TRUE), output);
    }
}

/* levels, channels, groups of normalisation (0: none), layers: FCOS' towers
 * and the prediction that each level scales in its own way */
static void
build_towers (CiGraph * g, CiValue x, const gint * a)
{
  CiValue levels[8], reg[8];

  levels[0] = ci_graph_conv (g, x, "stem", 16, 3, 1, 1, 1, TRUE);
  for (gint l = 1; l < a[0]; l++)
    levels[l] = ci_graph_max_pool (g, levels[l - 1], 3, 2, 1, FALSE);
  for (gint layer = 0; layer < a[3]; layer++) {
    g_autofree gchar *conv = g_strdup_printf ("conv%d", layer);
    g_autofree gchar *norm = g_strdup_printf ("norm%d", layer);

    for (gint l = 0; l < a[0]; l++)
      levels[l] = ci_graph_conv (g, levels[l], conv, a[1], 3, 1, 1, 1, TRUE);
    for (gint l = 0; l < a[0]; l++) {
      if (a[2])
        levels[l] = ci_graph_group_norm (g, levels[l], norm, a[2]);
      levels[l] = ci_graph_activation (g, levels[l], CI_ACTIVATION_RELU);
    }
  }
  for (gint l = 0; l < a[0]; l++)
    reg[l] = ci_graph_conv (g, levels[l], "reg", 4, 3, 1, 1, 1, TRUE);
  for (gint l = 0; l < a[0]; l++) {
    g_autofree gchar *scale = g_strdup_printf ("scales.%d.scale", l);
    g_autofree gchar *name = g_strdup_printf ("reg.%d", l);
    g_autofree gchar *tower = g_strdup_printf ("tower.%d", l);

    reg[l] = ci_graph_scale (g, reg[l], scale);
    ci_graph_output (g, ci_graph_activation (g, reg[l], CI_ACTIVATION_RELU),
        name);
    ci_graph_output (g, ci_graph_max_pool (g, levels[l], 2, 1, 0, FALSE),
        tower);
  }
}

static const Case cases[] = {
  {"towers", 8, 40, 36, {5, 32, 4, 2}, build_towers},
  {"towers of two levels", 8, 11, 19, {2, 24, 3, 3}, build_towers},
  {"towers without norms", 8, 24, 40, {4, 16, 0, 3}, build_towers},
  {"towers, odd channels", 8, 24, 20, {3, 20, 4, 2}, build_towers},
  {"heads of one level", 8, 9, 7, {1, 16}, build_heads},
  {"heads of levels", 8, 40, 36, {4, 64}, build_heads},
  {"small heads of levels, 12", 8, 12, 12, {5, 16}, build_heads},
  {"small heads of levels, 16", 8, 16, 16, {5, 16}, build_heads},
  {"small heads of levels, 20", 8, 20, 20, {5, 16}, build_heads},
  {"small heads of levels, 14x20", 8, 14, 20, {5, 24}, build_heads},
  {"conv 7x7 s2 of an image", 3, 31, 45, {64, 7, 2, 3, 1, 0, RELU},
      build_conv},
  {"conv 3x3 s2 of an image", 3, 32, 48, {32, 3, 2, 1, 1, 1, RELU6},
      build_conv},
  {"conv 3x3 gray", 1, 9, 9, {8, 3, 1, 1, 1, 1, 0}, build_conv},
  {"conv 1x1", 24, 7, 5, {40, 1, 1, 0, 1, 1, 0}, build_conv},
  {"conv 1x1 s2", 16, 7, 5, {24, 1, 2, 0, 1, 1, RELU}, build_conv},
  {"conv 3x3 one pixel", 16, 1, 1, {16, 3, 1, 1, 1, 1, 0}, build_conv},
  {"conv 3x3 odd channels", 13, 6, 11, {5, 3, 1, 1, 1, 1, 0}, build_conv},
  {"conv 3x3 one channel out", 32, 8, 8, {1, 3, 1, 1, 1, 1, 0}, build_conv},
  {"conv 3x3 s2 even", 32, 8, 10, {32, 3, 2, 1, 1, 1, 0}, build_conv},
  {"depthwise 3x3", 48, 9, 7, {48, 3, 1, 1, 48, 1, RELU6}, build_conv},
  {"depthwise 3x3 s2", 40, 10, 7, {40, 3, 2, 1, 40, 1, RELU6}, build_conv},
  {"grouped 3x3, 16 a group", 64, 6, 6, {64, 3, 1, 1, 4, 1, 0}, build_conv},
  {"grouped 3x3, 4 a group", 32, 6, 6, {32, 3, 1, 1, 8, 1, 0}, build_conv},
  {"conv norm scale", 24, 6, 7, {72, 3, 1, 1, 1, 1, RELU}, build_conv_norm},
  {"conv norm scale no bias", 8, 5, 5, {20, 1, 1, 0, 1, 0, 0},
      build_conv_norm},
  {"depthwise norm", 24, 6, 7, {24, 3, 1, 1, 24, 0, RELU6}, build_conv_norm},
  {"residual", 16, 6, 6, {16, 0}, build_residual},
  {"residual needed again", 16, 6, 6, {20, 1}, build_residual},
  {"residual of two convs", 16, 6, 6, {24, 2}, build_residual},
  {"twice itself", 16, 6, 6, {8, 3}, build_residual},
  {"group norm, a block a group", 16, 13, 9, {64, 8, RELU}, build_group_norm},
  {"group norm, 1 a group", 8, 5, 4, {32, 32, RELU}, build_group_norm},
  {"group norm, 5 a group", 8, 5, 4, {40, 8, 0}, build_group_norm},
  {"group norm, one pixel", 8, 1, 1, {32, 4, 0}, build_group_norm},
  {"max pool 3x3 s2", 20, 11, 8, {3, 2, 1}, build_max_pool},
  {"max pool 2x2 s2", 8, 8, 8, {2, 2, 0}, build_max_pool},
  {"max pool 3x3 one pixel", 8, 1, 1, {3, 2, 1}, build_max_pool},
  {"nearest x2", 8, 6, 10, {2, NEAREST, 0}, build_upsample},
  {"nearest x2 plus conv", 8, 6, 10, {2, NEAREST, 1}, build_upsample},
  {"aligned x2", 8, 6, 10, {2, ALIGNED, 0}, build_upsample},
  {"aligned x4 onto a map", 8, 8, 12, {4, ALIGNED, 2}, build_upsample},
  {"aligned x2 of one pixel", 8, 2, 2, {2, ALIGNED, 1}, build_upsample},
  {"conv swish", 12, 7, 9, {20, 3, 1, 1, 1, 1, SWISH}, build_conv},
  {"conv hard sigmoid", 12, 7, 9, {13, 3, 1, 1, 1, 1, HARD_SIGMOID},
      build_conv},
  {"conv leaky", 12, 7, 9, {13, 3, 2, 1, 1, 1, LEAKY}, build_conv},
  {"conv 3x3 leaky of a large map", 64, 20, 26, {64, 3, 1, 1, 1, 1, LEAKY},
      build_conv_norm},
  {"depthwise leaky", 12, 7, 9, {12, 3, 1, 1, 12, 1, LEAKY}, build_conv},
  {"conv sigmoid", 12, 7, 9, {13, 3, 1, 1, 1, 1, SIGMOID}, build_conv},
  {"conv tanh", 12, 7, 9, {13, 3, 1, 1, 1, 1, TANH}, build_conv},
  {"sigmoid before a conv", 12, 7, 9, {13, SIGMOID}, build_activation},
  {"leaky after a sum", 13, 7, 9, {13, LEAKY}, build_residual_activation},
  {"grouped 3x3, 3 a group", 24, 6, 6, {24, 3, 1, 1, 8, 1, RELU}, build_conv},
  {"grouped 3x3, 5 a group", 15, 6, 7, {15, 3, 1, 1, 3, 1, 0}, build_conv},
  {"grouped 3x3, fewer out", 64, 7, 6, {32, 3, 2, 1, 8, 1, 0}, build_conv},
  {"grouped 3x3, more out", 16, 7, 6, {80, 3, 1, 1, 8, 0, 0}, build_conv},
  {"grouped norm, 4 a group", 64, 6, 9, {64, 3, 2, 1, 16, 0, RELU},
      build_conv_norm},
  {"depthwise odd channels", 13, 9, 7, {13, 3, 1, 1, 13, 1, 0}, build_conv},
  {"group norm, 5 a group, of 160", 8, 9, 6, {160, 32, RELU},
      build_group_norm},
  {"group norm, 2 a group", 8, 9, 6, {64, 32, RELU}, build_group_norm},
  {"group norm swish", 8, 9, 6, {24, 3, SWISH}, build_group_norm},
  {"group norm, one group", 8, 9, 6, {72, 1, 0}, build_group_norm},
  {"group norm of a large map", 4, 70, 61, {72, 9, RELU}, build_group_norm},
  {"group norm leaky", 8, 9, 6, {20, 4, LEAKY}, build_group_norm},
  {"group norm sigmoid", 8, 9, 6, {20, 4, SIGMOID}, build_group_norm},
  {"group norm hard sigmoid", 8, 9, 6, {20, 4, HARD_SIGMOID},
      build_group_norm},
  {"max pool 3x3 s2 ceil", 20, 11, 8, {3, 2, 0, TRUE}, build_max_pool},
  {"max pool 3x3 s2 ceil, two rows", 8, 2, 9, {3, 2, 0, TRUE},
      build_max_pool},
  {"max pool 2x2 s2 ceil padded", 8, 6, 7, {2, 2, 1, TRUE}, build_max_pool},
  {"max pool 1x1 s3 ceil", 8, 6, 8, {1, 3, 0, TRUE}, build_max_pool},
  {"bilinear x2", 8, 6, 10, {2, BILINEAR, 0}, build_upsample},
  {"bilinear x4 onto a map", 8, 8, 12, {4, BILINEAR, 2}, build_upsample},
  {"bilinear to any size", 8, 13, 22, {BILINEAR}, build_resize_like},
  {"nearest to any size", 8, 13, 22, {NEAREST}, build_resize_like},
  {"aligned to a size", 8, 14, 22, {ALIGNED}, build_resize_like},
  {"bilinear of one pixel", 8, 2, 1, {BILINEAR}, build_resize_like},
  {"bilinear to a fixed size", 8, 13, 22, {9, 31, BILINEAR}, build_resize},
  {"bilinear to much less", 8, 40, 64, {5, 3, BILINEAR}, build_resize},
  {"bilinear to half", 8, 12, 10, {6, 5, BILINEAR}, build_resize},
  {"bilinear to one pixel", 8, 12, 10, {1, 1, BILINEAR}, build_resize},
  {"bilinear onto a map of less", 8, 20, 33, {7, 12, BILINEAR, 1},
      build_resize},
  {"nearest to less", 8, 20, 33, {7, 12, NEAREST}, build_resize},
  {"coordinates", 8, 13, 22, {16, 1, 1}, build_coords},
  {"coordinates x", 8, 13, 22, {16, 1, 0}, build_coords},
  {"coordinates y, odd channels", 8, 13, 22, {13, 0, 1}, build_coords},
  {"coordinates of one pixel", 8, 1, 1, {8, 1, 1}, build_coords},
  {"squeeze", 16, 9, 7, {24, 0, 0}, build_squeeze},
  {"squeeze odd channels", 16, 9, 7, {13, 0, 1}, build_squeeze},
  {"squeeze with shortcut", 16, 9, 7, {24, 1, 0}, build_squeeze},
  {"squeeze of a large map", 8, 65, 64, {12, 0, 0}, build_squeeze},
  {"squeeze one pixel", 16, 1, 1, {8, 1, 1}, build_squeeze},
  {"concat", 16, 7, 6, {16, 8, 24, 8}, build_concat},
  {"concat odd channels", 13, 7, 6, {5, 8, 11, 3}, build_concat},
  {"concat, an octet of four", 13, 7, 6, {3, 24, 1, 1}, build_concat},
  {"concat of one", 13, 7, 6, {0}, build_concat},
  {"weighted add of two", 16, 7, 9, {24, 2, SWISH}, build_weighted_add},
  {"weighted add of three", 16, 7, 9, {20, 3, SWISH}, build_weighted_add},
  {"weighted add hard sigmoid", 16, 7, 9, {13, 5, HARD_SIGMOID},
      build_weighted_add},
  {"deform 3x3", 16, 13, 22, {24, 3, 1, 1, 1, 0, RELU}, build_deform},
  {"deform 3x3 s2", 64, 13, 22, {32, 3, 2, 1, 1, 1, 0}, build_deform},
  {"deform 3x3, 8 a group", 32, 9, 7, {64, 3, 1, 1, 4, 0, RELU},
      build_deform},
  {"deform 3x3, 4 a group", 32, 9, 7, {32, 3, 2, 1, 8, 0, RELU},
      build_deform},
  {"deform odd channels", 13, 9, 7, {5, 3, 1, 1, 1, 1, RELU6}, build_deform},
  {"deform 5 a group", 15, 9, 7, {15, 3, 1, 1, 3, 1, SWISH}, build_deform},
  {"deform leaky", 13, 9, 7, {5, 3, 1, 1, 1, 1, LEAKY}, build_deform},
  {"deform 1x1", 8, 9, 7, {8, 1, 1, 0, 1, 1, 0}, build_deform},
  {"deform 5x5 one pixel", 8, 1, 1, {8, 5, 1, 2, 1, 1, 0}, build_deform},
};

GST_START_TEST (test_matches_reference)
{
  if (leaves_out (__i__))
    return;
  check_case (&cases[__i__], FALSE, NO_MASKS);
}

GST_END_TEST;

static Suite *
kernels_suite (void)
{
  Suite *s = suite_create ("kernels");
  TCase *tc = tcase_create ("conformance");

  suite_add_tcase (s, tc);
  tcase_set_timeout (tc, 120);
  tcase_add_loop_test (tc, test_matches_reference, 0, G_N_ELEMENTS (cases));
  return s;
}

GST_CHECK_MAIN (kernels);
