/*
 * recognise.c: what network a checkpoint holds, from the names and shapes of
 * its tensors (golden/SEMANTICS.md sections 2 and 3): backbones, FCOS heads,
 * and the choice among the methods, whose files tell the rest.
 *
 * Only what tells networks apart is looked at; whether all tensors are there
 * and fit is checked against the finished network (model.c).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "method.h"

#include <string.h>

#define BOTTOM_UP "backbone.bottom_up."
#define HEAD "proposal_generator.fcos_head."

/* ---- backbones -------------------------------------------------------- */

/* Which stages have deformable blocks, and at what interval. */
static gboolean
read_deformable (const CiReader * r, const gchar * prefix,
    const gint blocks[4])
{
  const CiResnetNames *names = &ci_resnet_names[r->config->backbone.names];
  guint64 found[4] = { 0 };
  gboolean any = FALSE;
  gint interval, s, i;

  for (s = 0; s < 4 && names->offset; s++)
    for (i = 0; i < blocks[s]; i++) {
      gint channels = ci_reader_dim (r, 0, "%s%s%d.%d.conv2%s.weight", prefix,
          names->stage, names->first_stage + s, i, names->offset);

      if (channels != 0 && channels != 27)
        return ci_reader_fail (r, "%s%d.%d has %d offset channels; deformable "
            "convolutions here are modulated, of one group: 27", names->stage,
            names->first_stage + s, i, channels);
      if (channels)
        found[s] |= G_GUINT64_CONSTANT (1) << i;
    }
  for (s = 0; s < 4; s++) {
    r->config->backbone.deform_on_per_stage[s] = found[s] != 0;
    any |= found[s] != 0;
  }
  /* the smallest interval that puts them where they are */
  for (interval = 1; any && interval <= CI_MAX_BLOCKS; interval++) {
    gboolean fits = TRUE;

    for (s = 0; s < 4 && fits; s++)
      for (i = 0; i < blocks[s] && found[s] && fits; i++)
        fits = (found[s] >> i & 1) == (i % interval == 0);
    if (fits)
      break;
  }
  if (interval > CI_MAX_BLOCKS)
    return ci_reader_fail (r, "its deformable blocks follow no interval");
  r->config->backbone.deform_interval = interval;
  return TRUE;
}

gboolean
ci_reader_resnet (const CiReader * r, gint names_index, const gchar * prefix)
{
  static const struct
  {
    gboolean bottleneck;
    gint blocks[4], depth;
  } known[] = {
    {FALSE, {2, 2, 2, 2}, 18}, {FALSE, {3, 4, 6, 3}, 34},
    {TRUE, {3, 4, 6, 3}, 50}, {TRUE, {3, 4, 23, 3}, 101},
    {TRUE, {3, 8, 36, 3}, 152},
  };
  const CiResnetNames *names = &ci_resnet_names[names_index];
  const gchar *p = prefix ? prefix : names->prefix;
  CiConfig *c = r->config;
  g_autofree gchar *first = g_strdup_printf ("%s%s%d.0.", p, names->stage,
      names->first_stage);
  g_autofree gchar *norm = ci_resnet_norm_name (names, "conv1");
  g_autofree gchar *stem_norm = g_strconcat (p, names->stem, norm, NULL);
  gboolean bottleneck = ci_reader_has (r, "%sconv3.weight", first);
  gint width = ci_reader_dim (r, 0, "%sconv1.weight", first);
  gint per_group = ci_reader_dim (r, 1, "%sconv2.weight", first);
  gint blocks[4] = { 0 };

  c->backbone.type = CI_BACKBONE_RESNET;
  c->backbone.names = names_index;
  c->backbone.norm = ci_reader_norm (r, stem_norm);
  c->backbone.stem_out_channels = ci_reader_dim (r, 0, "%s%sconv1.weight", p,
      names->stem);
  c->backbone.res2_out_channels = ci_reader_dim (r, 0, "%s%s.weight", first,
      bottleneck ? "conv3" : "conv2");
  c->backbone.num_groups = 1;
  c->backbone.width_per_group = 64;
  if (bottleneck && per_group > 0) {
    c->backbone.num_groups = MAX (width / per_group, 1);
    c->backbone.width_per_group = width / c->backbone.num_groups;
  }
  for (gint s = 0; s < 4; s++)
    while (blocks[s] < CI_MAX_BLOCKS
        && ci_reader_has (r, "%s%s%d.%d.conv1.weight", p, names->stage,
            names->first_stage + s, blocks[s]))
      blocks[s]++;
  for (guint i = 0; i < G_N_ELEMENTS (known); i++)
    if (known[i].bottleneck == bottleneck
        && memcmp (known[i].blocks, blocks, sizeof blocks) == 0)
      c->backbone.depth = known[i].depth;
  if (c->backbone.depth == 0)
    return ci_reader_fail (r, "a ResNet with %d, %d, %d and %d %s blocks is "
        "not known here", blocks[0], blocks[1], blocks[2], blocks[3],
        bottleneck ? "bottleneck" : "basic");
  return read_deformable (r, p, blocks);
}

static gboolean
read_detectron2_resnet (const CiReader * r, const gchar * p)
{
  return ci_reader_resnet (r, CI_RESNET_DETECTRON2, p);
}

static gboolean
read_vovnet (const CiReader * r, const gchar * p)
{
  static const struct
  {
    gint layers, modules[4], depth;
  } known[] = {
    {3, {1, 1, 1, 1}, 19}, {5, {1, 1, 2, 2}, 39}, {5, {1, 1, 4, 3}, 57},
    {5, {1, 3, 9, 3}, 99},
  };
  CiConfig *c = r->config;
  gint modules[4] = { 0 }, layers = 0;
  g_autofree gchar *norm = g_strconcat (p, "stem.stem_1/norm", NULL);

  c->backbone.type = CI_BACKBONE_VOVNET;
  c->backbone.norm = ci_reader_norm (r, norm);
  while (layers < CI_MAX_BLOCKS
      && ci_reader_has (r, "%sstage2.OSA2_1.layers.%d.OSA2_1_%d/conv.weight",
          p, layers, layers))
    layers++;
  for (gint s = 0; s < 4; s++)
    while (modules[s] < CI_MAX_BLOCKS
        && ci_reader_has (r,
            "%sstage%d.OSA%d_%d.concat.OSA%d_%d_concat/conv.weight", p, s + 2,
            s + 2, modules[s] + 1, s + 2, modules[s] + 1))
      modules[s]++;
  for (guint i = 0; i < G_N_ELEMENTS (known); i++)
    if (known[i].layers == layers
        && memcmp (known[i].modules, modules, sizeof modules) == 0)
      c->backbone.depth = known[i].depth;
  if (c->backbone.depth == 0)
    return ci_reader_fail (r, "a VoVNet with %d, %d, %d and %d modules of %d "
        "layers is not known here", modules[0], modules[1], modules[2],
        modules[3], layers);
  if (!ci_reader_has (r, "%sstage2.OSA2_1.ese.fc.weight", p))
    return ci_reader_fail (r, "a VoVNet without eSE is not known here");
  return TRUE;
}

static gboolean
read_dla (const CiReader * r, const gchar * p)
{
  CiConfig *c = r->config;
  g_autofree gchar *norm = g_strconcat (p, "base_layer.1", NULL);

  c->backbone.type = CI_BACKBONE_DLA;
  c->backbone.norm = ci_reader_norm (r, norm);
  c->backbone.depth = 34;
  /* the others have bottlenecks or other levels */
  if (ci_reader_has (r, "%slevel2.tree1.conv3.weight", p)
      || !ci_reader_has (r, "%slevel3.tree1.tree1.conv1.weight", p)
      || !ci_reader_has (r, "%slevel4.tree1.tree1.conv1.weight", p)
      || !ci_reader_has (r, "%slevel5.tree1.conv1.weight", p))
    return ci_reader_fail (r, "its DLA is not DLA-34, the one known here");
  return TRUE;
}

gboolean
ci_reader_backbone (const CiReader * r)
{
  static const gchar *const prefixes[] = { BOTTOM_UP, BOTTOM_UP "backbone." };
  static const struct
  {
    const gchar *name;
      gboolean (*read) (const CiReader * r, const gchar * p);
  } known[] = {
    {"stem.conv1.weight", read_detectron2_resnet},
    {"base_layer.0.weight", read_dla},
    {"stem.stem_1/conv.weight", read_vovnet},
  };

  for (guint i = 0; i < G_N_ELEMENTS (prefixes); i++) {
    gint channels = ci_reader_dim (r, 0, "%sfeatures.0.0.weight", prefixes[i]);

    if (channels > 0) {
      g_autofree gchar *norm = g_strconcat (prefixes[i], "features.0.1", NULL);

      r->config->backbone.type = CI_BACKBONE_MOBILENET_V2;
      r->config->backbone.norm = ci_reader_norm (r, norm);
      r->config->backbone.width_mult = channels / 32.0f;
      return TRUE;
    }
    for (guint k = 0; k < G_N_ELEMENTS (known); k++)
      if (ci_reader_has (r, "%s%s", prefixes[i], known[k].name))
        return known[k].read (r, prefixes[i]);
  }
  return ci_reader_fail (r,
      "its backbone is none of ResNet, MobileNetV2, DLA and "
      "VoVNet: no tensor has the name of their first layers "
      "(backbone.bottom_up.stem.conv1.weight, ...)");
}

/* ---- neck and head ---------------------------------------------------- */

static gboolean
read_neck (const CiReader * r)
{
  CiConfig *c = r->config;
  const gchar *output =
      ci_reader_find (r, "backbone.repeated_bifpn.0.outputs_",
      "weight");

  if (output) {
    c->fpn.type = CI_NECK_BIFPN;
    output = ci_reader_find (r, "backbone.repeated_bifpn.0.outputs_",
        ".norm.running_mean");
    c->fpn.norm = output ? CI_NORM_BN
        : ci_reader_find (r, "backbone.repeated_bifpn.0.outputs_",
        ".norm.weight")
        ? CI_NORM_GN : CI_NORM_NONE;
    /* every output convolution keeps the number of channels */
    for (const gchar * const *name = ci_checkpoint_get_names (r->checkpoint);
        *name; name++)
      if (g_str_has_prefix (*name, "backbone.repeated_bifpn.0.outputs_")
          && ci_reader_dim (r, 3, "%s", *name) > 0)
        c->fpn.out_channels = ci_reader_dim (r, 0, "%s", *name);
    while (c->fpn.num_repeats < CI_MAX_BLOCKS) {
      g_autofree gchar *repeat = g_strdup_printf
          ("backbone.repeated_bifpn.%d.outputs_", c->fpn.num_repeats);

      if (!ci_reader_find (r, repeat, "weight"))
        break;
      c->fpn.num_repeats++;
    }
    c->fpn.top_levels =
        ci_reader_has (r, BOTTOM_UP "res6.reduction.weight") ? 2 : 0;
    return TRUE;
  }

  c->fpn.type = CI_NECK_FPN;
  c->fpn.out_channels = ci_reader_dim (r, 0, "backbone.fpn_lateral3.weight");
  c->fpn.norm = ci_reader_norm (r, "backbone.fpn_lateral3.norm");
  c->fpn.output_convs = ci_reader_has (r, "backbone.fpn_output3.weight");
  c->fpn.top_levels = ci_reader_has (r, "backbone.top_block.p7.weight") ? 2
      : ci_reader_has (r, "backbone.top_block.p6.weight") ? 1 : 0;
  if (c->fpn.out_channels == 0)
    return ci_reader_fail (r, "its neck is neither FPN nor BiFPN: there is no "
        "backbone.fpn_lateral3.weight");
  if (ci_reader_has (r, "backbone.fpn_lateral2.weight"))
    return ci_reader_fail (r, "an FPN that begins at P2 is not known here");
  return TRUE;
}

/* Number of convolutions of a tower; the last one may be deformable. */
static gint
read_tower (const CiReader * r, const gchar * tower, gboolean * deformable)
{
  gint n = 0;

  while (n < CI_MAX_BLOCKS) {
    if (ci_reader_dim (r, 3, HEAD "%s_tower.%d.conv.weight", tower, 3 * n) > 0)
      *deformable = TRUE;
    else if (ci_reader_dim (r, 3, HEAD "%s_tower.%d.weight", tower,
            3 * n) == 0)
      break;
    n++;
  }
  if (n > 0) {
    g_autofree gchar *norm = g_strdup_printf (HEAD "%s_tower.1", tower);

    r->config->fcos.norm =
        ci_reader_has (r, "%s.0.running_mean",
        norm) ? CI_NORM_BN : ci_reader_norm (r, norm);
  }
  return n;
}

static gboolean
read_head (const CiReader * r)
{
  static const gchar *const towers[] = { "share", "cls", "bbox" };
  CiConfig *c = r->config;
  gfloat values[CI_MAX_LEVELS];
  gint n_scales = 0;

  c->fcos.n_levels = 3 + c->fpn.top_levels;
  c->fcos.num_share_convs = read_tower (r, "share", &c->fcos.use_deformable);
  c->fcos.num_cls_convs = read_tower (r, "cls", &c->fcos.use_deformable);
  c->fcos.num_box_convs = read_tower (r, "bbox", &c->fcos.use_deformable);
  for (guint i = 0; i < G_N_ELEMENTS (towers); i++)
    if (ci_reader_dim (r, 3, HEAD "%s_tower.2.weight", towers[i]) > 0
        || ci_reader_dim (r, 3, HEAD "%s_tower.2.conv.weight", towers[i]) > 0)
      return ci_reader_fail (r, "its towers have no normalisation "
          "(MODEL.FCOS.NORM none, convolutions %s_tower.0, 2, ..), which is "
          "not known here", towers[i]);
  if (ci_reader_has (r, HEAD "share_tower.1.running_mean")
      || ci_reader_has (r, HEAD "cls_tower.1.running_mean"))
    return ci_reader_fail (r,
        "towers with one batch norm for all levels are not " "known here");
  c->n_classes = ci_reader_dim (r, 0, HEAD "cls_logits.weight");
  c->fcos.prediction_kernel = ci_reader_dim (r, 2, HEAD "cls_logits.weight");
  while (n_scales < CI_MAX_LEVELS
      && ci_reader_has (r, HEAD "scales.%d.scale", n_scales))
    n_scales++;
  c->fcos.use_scale = n_scales > 0;
  if (n_scales > 0 && n_scales != c->fcos.n_levels)
    return ci_reader_fail (r,
        "its head has scales for %d levels, its neck makes " "%d", n_scales,
        c->fcos.n_levels);

  for (gint i = 0; i < c->fcos.n_levels; i++) {
    c->fcos.strides[i] = 8 << i;
    c->fcos.sizes_of_interest[i] = 64 << i;
  }
  if (ci_reader_values (r, "mask_head.sizes_of_interest", values,
          c->fcos.n_levels)) {
    memcpy (c->fcos.sizes_of_interest, values,
        c->fcos.n_levels * sizeof *values);
    r->facts->sizes_of_interest = TRUE;
  }
  return TRUE;
}

/* ---- all -------------------------------------------------------------- */

/* Frozen norms do not count their batches, those of BiFPN's own level below the
 * backbone always do. */
static gboolean
has_trained_norm (const CiReader * r)
{
  const gchar *const *names = ci_checkpoint_get_names (r->checkpoint);

  for (guint i = 0; names[i]; i++)
    if (g_str_has_prefix (names[i], BOTTOM_UP)
        && !g_str_has_prefix (names[i], BOTTOM_UP "res6.")
        && g_str_has_suffix (names[i], ".num_batches_tracked"))
      return TRUE;
  return FALSE;
}

/* What upstream takes where no configuration says anything else. */
static void
set_defaults (CiConfig * c)
{
  static const gfloat bgr_mean[3] = { 103.53f, 116.28f, 123.675f };

  memset (c, 0, sizeof *c);
  for (gint i = 0; i < 3; i++) {
    c->input.pixel_mean[i] = bgr_mean[i];
    c->input.pixel_std[i] = 1;
  }
  c->input.min_size = 800;
  c->input.max_size = 1333;
  c->input.size_divisor = 32;
  c->backbone.stride_in_1x1 = TRUE;
  c->backbone.width_mult = 1;
  c->backbone.deform_interval = 1;
  c->backbone.norm_eps = CI_NORM_EPS;
  c->condinst.head_channels = 8;
  c->condinst.head_num_layers = 3;
  c->condinst.rel_coords = TRUE;
  c->condinst.mask_out_stride = 4;
  c->blendmask.resolution = 56;
  c->inference.inference_threshold = 0.05f;
  c->inference.nms_threshold = 0.6;
  c->inference.pre_nms_top_k = 1000;
  c->inference.post_nms_top_k = 100;
  c->inference.score_threshold = 0.5f;
}

void
ci_reader_pixels (const CiReader * r)
{
  CiConfig *c = r->config;
  gfloat mean[3] = { 0 }, std[3] = { 0 };

  if (!ci_reader_values (r, "pixel_mean", mean, 3)
      || !ci_reader_values (r, "pixel_std", std, 3))
    return;
  memcpy (c->input.pixel_mean, mean, sizeof mean);
  memcpy (c->input.pixel_std, std, sizeof std);
  r->facts->pixels = TRUE;
  r->facts->pixel_rounding = MAX (ci_reader_rounding (r, "pixel_mean"),
      ci_reader_rounding (r, "pixel_std"));
}

gboolean
ci_fcos_recognise (const CiReader * r)
{
  if (!ci_reader_has (r, HEAD "cls_logits.weight"))
    return ci_reader_fail (r, "it has no FCOS head: there is no tensor " HEAD
        "cls_logits.weight");
  if (!ci_reader_backbone (r) || !read_neck (r) || !read_head (r))
    return FALSE;
  ci_reader_pixels (r);
  r->facts->trained_norm = has_trained_norm (r);
  return TRUE;
}

/* Whether there is one of the tensors @names, separated by blanks. */
static gboolean
has_signature (const CiReader * r, const gchar * names)
{
  g_auto (GStrv) list = g_strsplit (names, " ", -1);
  gboolean found = FALSE;

  for (gint i = 0; list[i]; i++)
    found = found || ci_reader_has (r, "%s", list[i]);
  return found;
}

gboolean
ci_recognise (const CiCheckpoint * checkpoint, const gchar * source,
    CiConfig * config, CiTensorFacts * facts, GError ** error)
{
  const CiReader r = { checkpoint, source, config, facts, error };
  const gchar *const *names = ci_checkpoint_get_names (checkpoint);
  g_autoptr (GString) known = g_string_new (NULL);
  g_autofree gchar *example = NULL;

  memset (facts, 0, sizeof *facts);
  set_defaults (config);
  for (gint i = 0; i < CI_N_ARCHITECTURES; i++) {
    if (has_signature (&r, ci_methods[i]->signature)) {
      config->architecture = i;
      return ci_methods[i]->recognise (&r);
    }
    g_string_append_printf (known, "%s%s (%s)", i ? ", " : "",
        ci_methods[i]->title, ci_methods[i]->signature);
  }
  example = names[0] ? g_strdup_printf (" among its %u (%.80s, ...)",
      g_strv_length ((gchar **) names), names[0]) : g_strdup ("");
  return ci_reader_fail (&r, "none of the networks known here: no tensor has "
      "a name that tells of %s%s", known->str, example);
}
