/*
 * recognise.c: what network a checkpoint holds, from the names and shapes of
 * its tensors (golden/SEMANTICS.md sections 2 and 3).
 *
 * Only what tells networks apart is looked at; whether all tensors are there
 * and fit is checked against the finished network (model.c).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "upstream.h"

#include <math.h>
#include <string.h>

#include "tensors.h"

#define BOTTOM_UP "backbone.bottom_up."
#define HEAD "proposal_generator.fcos_head."
#define MAX_BLOCKS 64           /* of a stage, convolutions of a tower, .. */

typedef struct
{
  const CiCheckpoint *checkpoint;
  const gchar *source;
  const gchar *bottom_up;       /* prefix of the backbone */
  CiConfig *config;
  GError **error;
} Reader;

static gboolean G_GNUC_PRINTF (2, 3)
unsupported (const Reader * r, const gchar * format, ...)
{
  g_autofree gchar *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (r->error, CI_ERROR, CI_ERROR_UNSUPPORTED, "%s: %s", r->source,
      what);
  return FALSE;
}

static gboolean
lookup_v (const Reader * r, CiTensor * tensor, const gchar * format,
    va_list args)
{
  g_autofree gchar *name = g_strdup_vprintf (format, args);

  return ci_checkpoint_lookup (r->checkpoint, name, tensor);
}

static gboolean G_GNUC_PRINTF (2, 3)
has (const Reader * r, const gchar * format, ...)
{
  CiTensor tensor;
  gboolean found;
  va_list args;

  va_start (args, format);
  found = lookup_v (r, &tensor, format, args);
  va_end (args);
  return found;
}

/* Dimension @index of a tensor; 0 if there is none. */
static gint G_GNUC_PRINTF (3, 4)
dim (const Reader * r, gint index, const gchar * format, ...)
{
  CiTensor tensor;
  gboolean found;
  va_list args;

  va_start (args, format);
  found = lookup_v (r, &tensor, format, args);
  va_end (args);
  return found && index < tensor.n_dims ?
      (gint) CLAMP (tensor.dims[index], 0, G_MAXINT) : 0;
}

/* What normalises behind the convolution whose norm is called @name. */
static CiNorm
norm_of (const Reader * r, const gchar * name)
{
  if (has (r, "%s.running_mean", name))
    return CI_NORM_BN;
  return has (r, "%s.weight", name) ? CI_NORM_GN : CI_NORM_NONE;
}

/* The @n values of the tensor @name; FALSE if it has others, or is missing. */
static gboolean
read_values (const Reader * r, const gchar * name, gfloat * out, gint n)
{
  CiTensor t;

  if (!ci_checkpoint_lookup (r->checkpoint, name, &t)
      || ci_tensor_n_elements (&t) != (gsize) n)
    return FALSE;
  for (gint i = 0; i < n; i++) {
    switch (t.dtype) {
      case CI_DTYPE_F32:
        out[i] = ((const gfloat *) t.data)[i];
        break;
      case CI_DTYPE_F16:
        out[i] = ci_half_to_float (((const guint16 *) t.data)[i]);
        break;
      case CI_DTYPE_F64:
        out[i] = ((const gdouble *) t.data)[i];
        break;
      case CI_DTYPE_I32:
        out[i] = ((const gint32 *) t.data)[i];
        break;
      case CI_DTYPE_I64:
        out[i] = ((const gint64 *) t.data)[i];
        break;
      case CI_DTYPE_U8:
        out[i] = ((const guint8 *) t.data)[i];
        break;
    }
    if (!isfinite (out[i]))
      return FALSE;
  }
  return TRUE;
}

/* How far the values of @name may be from what was rounded to them. */
static gfloat
get_rounding (const Reader * r, const gchar * name)
{
  g_autofree gchar *text = ci_checkpoint_describe (r->checkpoint, name);

  if (g_str_has_prefix (text, "F16"))
    return 1 / 2048.0f;
  return g_str_has_prefix (text, "BF16") ? 1 / 256.0f : 0;
}

/* ---- backbones -------------------------------------------------------- */

/* Which stages have deformable blocks, and at what interval. */
static gboolean
read_deformable (const Reader * r, const gint blocks[4])
{
  guint64 found[4] = { 0 };
  gboolean any = FALSE;
  gint interval, s, i;

  for (s = 0; s < 4; s++)
    for (i = 0; i < blocks[s]; i++) {
      gint channels = dim (r, 0, "%sres%d.%d.conv2_offset.weight",
          r->bottom_up, s + 2, i);

      if (channels != 0 && channels != 27)
        return unsupported (r, "res%d.%d has %d offset channels; deformable "
            "convolutions here are modulated, of one group: 27", s + 2, i,
            channels);
      if (channels)
        found[s] |= G_GUINT64_CONSTANT (1) << i;
    }
  for (s = 0; s < 4; s++) {
    r->config->backbone.deform_on_per_stage[s] = found[s] != 0;
    any |= found[s] != 0;
  }
  /* the smallest interval that puts them where they are */
  for (interval = 1; any && interval <= MAX_BLOCKS; interval++) {
    gboolean fits = TRUE;

    for (s = 0; s < 4 && fits; s++)
      for (i = 0; i < blocks[s] && found[s] && fits; i++)
        fits = (found[s] >> i & 1) == (i % interval == 0);
    if (fits)
      break;
  }
  if (interval > MAX_BLOCKS)
    return unsupported (r, "its deformable blocks follow no interval");
  r->config->backbone.deform_interval = interval;
  return TRUE;
}

static gboolean
read_resnet (const Reader * r)
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
  CiConfig *c = r->config;
  const gchar *p = r->bottom_up;
  gboolean bottleneck = has (r, "%sres2.0.conv3.weight", p);
  gint width = dim (r, 0, "%sres2.0.conv1.weight", p);
  gint per_group = dim (r, 1, "%sres2.0.conv2.weight", p);
  gint blocks[4] = { 0 };
  g_autofree gchar *norm = g_strconcat (p, "stem.conv1.norm", NULL);

  c->backbone.type = CI_BACKBONE_RESNET;
  c->backbone.norm = norm_of (r, norm);
  c->backbone.stem_out_channels = dim (r, 0, "%sstem.conv1.weight", p);
  c->backbone.res2_out_channels = dim (r, 0, "%sres2.0.%s.weight", p,
      bottleneck ? "conv3" : "conv2");
  c->backbone.num_groups = 1;
  c->backbone.width_per_group = 64;
  if (bottleneck && per_group > 0) {
    c->backbone.num_groups = MAX (width / per_group, 1);
    c->backbone.width_per_group = width / c->backbone.num_groups;
  }
  for (gint s = 0; s < 4; s++)
    while (blocks[s] < MAX_BLOCKS
        && has (r, "%sres%d.%d.conv1.weight", p, s + 2, blocks[s]))
      blocks[s]++;
  for (guint i = 0; i < G_N_ELEMENTS (known); i++)
    if (known[i].bottleneck == bottleneck
        && memcmp (known[i].blocks, blocks, sizeof blocks) == 0)
      c->backbone.depth = known[i].depth;
  if (c->backbone.depth == 0)
    return unsupported (r, "a ResNet with %d, %d, %d and %d %s blocks is not "
        "known here", blocks[0], blocks[1], blocks[2], blocks[3],
        bottleneck ? "bottleneck" : "basic");
  return read_deformable (r, blocks);
}

static gboolean
read_vovnet (const Reader * r)
{
  static const struct
  {
    gint layers, modules[4], depth;
  } known[] = {
    {3, {1, 1, 1, 1}, 19}, {5, {1, 1, 2, 2}, 39}, {5, {1, 1, 4, 3}, 57},
    {5, {1, 3, 9, 3}, 99},
  };
  CiConfig *c = r->config;
  const gchar *p = r->bottom_up;
  gint modules[4] = { 0 }, layers = 0;
  g_autofree gchar *norm = g_strconcat (p, "stem.stem_1/norm", NULL);

  c->backbone.type = CI_BACKBONE_VOVNET;
  c->backbone.norm = norm_of (r, norm);
  while (layers < MAX_BLOCKS
      && has (r, "%sstage2.OSA2_1.layers.%d.OSA2_1_%d/conv.weight", p, layers,
          layers))
    layers++;
  for (gint s = 0; s < 4; s++)
    while (modules[s] < MAX_BLOCKS
        && has (r, "%sstage%d.OSA%d_%d.concat.OSA%d_%d_concat/conv.weight", p,
            s + 2, s + 2, modules[s] + 1, s + 2, modules[s] + 1))
      modules[s]++;
  for (guint i = 0; i < G_N_ELEMENTS (known); i++)
    if (known[i].layers == layers
        && memcmp (known[i].modules, modules, sizeof modules) == 0)
      c->backbone.depth = known[i].depth;
  if (c->backbone.depth == 0)
    return unsupported (r, "a VoVNet with %d, %d, %d and %d modules of %d "
        "layers is not known here", modules[0], modules[1], modules[2],
        modules[3], layers);
  if (!has (r, "%sstage2.OSA2_1.ese.fc.weight", p))
    return unsupported (r, "a VoVNet without eSE is not known here");
  return TRUE;
}

static gboolean
read_dla (const Reader * r)
{
  CiConfig *c = r->config;
  const gchar *p = r->bottom_up;
  g_autofree gchar *norm = g_strconcat (p, "base_layer.1", NULL);

  c->backbone.type = CI_BACKBONE_DLA;
  c->backbone.norm = norm_of (r, norm);
  c->backbone.depth = 34;
  /* the others have bottlenecks or other levels */
  if (has (r, "%slevel2.tree1.conv3.weight", p)
      || !has (r, "%slevel3.tree1.tree1.conv1.weight", p)
      || !has (r, "%slevel4.tree1.tree1.conv1.weight", p)
      || !has (r, "%slevel5.tree1.conv1.weight", p))
    return unsupported (r, "its DLA is not DLA-34, the one known here");
  return TRUE;
}

static gboolean
read_backbone (Reader * r)
{
  static const gchar *const prefixes[] =
      { BOTTOM_UP, BOTTOM_UP "backbone." };
  static const struct
  {
    const gchar *name;
    gboolean (*read) (const Reader * r);
  } known[] = {
    {"stem.conv1.weight", read_resnet},
    {"base_layer.0.weight", read_dla},
    {"stem.stem_1/conv.weight", read_vovnet},
  };

  for (guint i = 0; i < G_N_ELEMENTS (prefixes); i++) {
    gint channels = dim (r, 0, "%sfeatures.0.0.weight", prefixes[i]);

    r->bottom_up = prefixes[i];
    if (channels > 0) {
      g_autofree gchar *norm = g_strconcat (prefixes[i], "features.0.1", NULL);

      r->config->backbone.type = CI_BACKBONE_MOBILENET_V2;
      r->config->backbone.norm = norm_of (r, norm);
      r->config->backbone.width_mult = channels / 32.0f;
      return TRUE;
    }
    for (guint k = 0; k < G_N_ELEMENTS (known); k++)
      if (has (r, "%s%s", prefixes[i], known[k].name))
        return known[k].read (r);
  }
  return unsupported (r, "its backbone is none of ResNet, MobileNetV2, DLA and "
      "VoVNet: no tensor has the name of their first layers "
      "(backbone.bottom_up.stem.conv1.weight, ...)");
}

/* ---- neck and head ---------------------------------------------------- */

/* The first name that begins with @prefix and ends with @suffix. */
static const gchar *
find_name (const Reader * r, const gchar * prefix, const gchar * suffix)
{
  const gchar *const *names = ci_checkpoint_get_names (r->checkpoint);

  for (guint i = 0; names[i]; i++)
    if (g_str_has_prefix (names[i], prefix)
        && g_str_has_suffix (names[i], suffix))
      return names[i];
  return NULL;
}

static gboolean
read_neck (const Reader * r)
{
  CiConfig *c = r->config;
  const gchar *output = find_name (r, "backbone.repeated_bifpn.0.outputs_",
      "weight");

  if (output) {
    c->fpn.type = CI_NECK_BIFPN;
    output = find_name (r, "backbone.repeated_bifpn.0.outputs_",
        ".norm.running_mean");
    c->fpn.norm = output ? CI_NORM_BN
        : find_name (r, "backbone.repeated_bifpn.0.outputs_", ".norm.weight")
        ? CI_NORM_GN : CI_NORM_NONE;
    /* every output convolution keeps the number of channels */
    for (const gchar * const *name = ci_checkpoint_get_names (r->checkpoint);
        *name; name++)
      if (g_str_has_prefix (*name, "backbone.repeated_bifpn.0.outputs_")
          && dim (r, 3, "%s", *name) > 0)
        c->fpn.out_channels = dim (r, 0, "%s", *name);
    while (c->fpn.num_repeats < MAX_BLOCKS) {
      g_autofree gchar *repeat = g_strdup_printf
          ("backbone.repeated_bifpn.%d.outputs_", c->fpn.num_repeats);

      if (!find_name (r, repeat, "weight"))
        break;
      c->fpn.num_repeats++;
    }
    c->fpn.top_levels =
        has (r, BOTTOM_UP "res6.reduction.weight") ? 2 : 0;
    return TRUE;
  }

  c->fpn.type = CI_NECK_FPN;
  c->fpn.out_channels = dim (r, 0, "backbone.fpn_lateral3.weight");
  c->fpn.norm = norm_of (r, "backbone.fpn_lateral3.norm");
  c->fpn.output_convs = has (r, "backbone.fpn_output3.weight");
  c->fpn.top_levels = has (r, "backbone.top_block.p7.weight") ? 2
      : has (r, "backbone.top_block.p6.weight") ? 1 : 0;
  if (c->fpn.out_channels == 0)
    return unsupported (r, "its neck is neither FPN nor BiFPN: there is no "
        "backbone.fpn_lateral3.weight");
  if (has (r, "backbone.fpn_lateral2.weight"))
    return unsupported (r, "an FPN that begins at P2 is not known here");
  return TRUE;
}

/* Number of convolutions of a tower; the last one may be deformable. */
static gint
read_tower (const Reader * r, const gchar * tower, gboolean * deformable)
{
  gint n = 0;

  while (n < MAX_BLOCKS) {
    if (dim (r, 3, HEAD "%s_tower.%d.conv.weight", tower, 3 * n) > 0)
      *deformable = TRUE;
    else if (dim (r, 3, HEAD "%s_tower.%d.weight", tower, 3 * n) == 0)
      break;
    n++;
  }
  if (n > 0) {
    g_autofree gchar *norm = g_strdup_printf (HEAD "%s_tower.1", tower);

    r->config->fcos.norm = has (r, "%s.0.running_mean", norm) ? CI_NORM_BN
        : norm_of (r, norm);
  }
  return n;
}

static gboolean
read_head (const Reader * r, CiTensorFacts * facts)
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
    if (dim (r, 3, HEAD "%s_tower.2.weight", towers[i]) > 0
        || dim (r, 3, HEAD "%s_tower.2.conv.weight", towers[i]) > 0)
      return unsupported (r, "its towers have no normalisation "
          "(MODEL.FCOS.NORM none, convolutions %s_tower.0, 2, ..), which is "
          "not known here", towers[i]);
  if (has (r, HEAD "share_tower.1.running_mean")
      || has (r, HEAD "cls_tower.1.running_mean"))
    return unsupported (r, "towers with one batch norm for all levels are not "
        "known here");
  c->n_classes = dim (r, 0, HEAD "cls_logits.weight");
  c->fcos.prediction_kernel = dim (r, 2, HEAD "cls_logits.weight");
  while (n_scales < CI_MAX_LEVELS && has (r, HEAD "scales.%d.scale", n_scales))
    n_scales++;
  c->fcos.use_scale = n_scales > 0;
  if (n_scales > 0 && n_scales != c->fcos.n_levels)
    return unsupported (r, "its head has scales for %d levels, its neck makes "
        "%d", n_scales, c->fcos.n_levels);

  for (gint i = 0; i < c->fcos.n_levels; i++) {
    c->fcos.strides[i] = 8 << i;
    c->fcos.sizes_of_interest[i] = 64 << i;
  }
  if (read_values (r, "mask_head.sizes_of_interest", values,
          c->fcos.n_levels)) {
    memcpy (c->fcos.sizes_of_interest, values,
        c->fcos.n_levels * sizeof *values);
    facts->sizes_of_interest = TRUE;
  }
  return TRUE;
}

/* ---- masks ------------------------------------------------------------ */

/* Number of blocks `@module.tower.I.0` from I = 0 on. */
static gint
count_convs (const Reader * r, const gchar * module)
{
  gint n = 0;

  while (n < MAX_BLOCKS && dim (r, 3, "%s.tower.%d.0.weight", module, n) > 0)
    n++;
  return n;
}

static gboolean
read_condinst (const Reader * r, CiTensorFacts * facts)
{
  CiConfig *c = r->config;

  c->architecture = CI_ARCHITECTURE_CONDINST;
  c->condinst.branch_channels = dim (r, 0, "mask_branch.refine.0.0.weight");
  c->condinst.branch_norm = norm_of (r, "mask_branch.refine.0.1");
  c->condinst.branch_num_convs = count_convs (r, "mask_branch");
  c->condinst.branch_out_channels = dim (r, 0, "mask_branch.tower.%d.weight",
      c->condinst.branch_num_convs);
  facts->head_parameters = dim (r, 0, "controller.weight");
  facts->semantic = has (r, "mask_branch.logits.weight");
  if (c->condinst.branch_out_channels == 0)
    return unsupported (r, "it has a controller, but no mask branch that is "
        "known here: no mask_branch.tower.%d.weight",
        c->condinst.branch_num_convs);
  return TRUE;
}

static gboolean
read_blendmask (const Reader * r)
{
  CiConfig *c = r->config;
  gint n_convs = count_convs (r, "basis_module");
  gint n = dim (r, 0, "top_layer.weight"), size = 0;
  gint bases = dim (r, 0, "basis_module.tower.%d.weight", n_convs + 2);

  c->architecture = CI_ARCHITECTURE_BLENDMASK;
  c->blendmask.basis_channels = dim (r, 0, "basis_module.refine.0.0.weight");
  c->blendmask.basis_num_convs = n_convs;
  c->blendmask.basis_norm = norm_of (r, "basis_module.refine.0.1");
  c->blendmask.num_bases = bases;
  if (bases > 0)
    size = (gint) lround (sqrt (n / bases));
  c->blendmask.attention_size = size;
  if (size < 1 || (gint64) bases * size * size != n)
    return unsupported (r, "the %d channels of top_layer are no square "
        "attention maps for %d bases (basis_module.tower.%d)", n, bases,
        n_convs + 2);
  return TRUE;
}

/* ---- all -------------------------------------------------------------- */

/* Frozen norms do not count their batches, those of BiFPN's own level below the
 * backbone always do. */
static gboolean
has_trained_norm (const Reader * r)
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

gboolean
ci_recognise (const CiCheckpoint * checkpoint, const gchar * source,
    CiConfig * config, CiTensorFacts * facts, GError ** error)
{
  Reader r = { checkpoint, source, NULL, config, error };
  gfloat mean[3] = { 0 }, std[3] = { 0 };

  memset (facts, 0, sizeof *facts);
  set_defaults (config);
  if (dim (&r, 3, HEAD "cls_logits.weight") == 0) {
    const gchar *const *names = ci_checkpoint_get_names (checkpoint);
    g_autofree gchar *example = names[0] ?
        g_strdup_printf (" among its %u (%.80s, ...)",
        g_strv_length ((gchar **) names), names[0]) : g_strdup ("");

    return unsupported (&r, "not a network of the FCOS family (CondInst, "
        "BoxInst, FCOS, BlendMask): there is no tensor "
        HEAD "cls_logits.weight%s", example);
  }
  if (!read_backbone (&r) || !read_neck (&r) || !read_head (&r, facts))
    return FALSE;
  if (read_values (&r, "pixel_mean", mean, 3)
      && read_values (&r, "pixel_std", std, 3)) {
    memcpy (config->input.pixel_mean, mean, sizeof mean);
    memcpy (config->input.pixel_std, std, sizeof std);
    facts->pixels = TRUE;
    facts->pixel_rounding = MAX (get_rounding (&r, "pixel_mean"),
        get_rounding (&r, "pixel_std"));
  }
  facts->trained_norm = has_trained_norm (&r);
  if (has (&r, "controller.weight"))
    return read_condinst (&r, facts);
  if (has (&r, "top_layer.weight"))
    return read_blendmask (&r);
  config->architecture = CI_ARCHITECTURE_FCOS;
  return TRUE;
}
