/*
 * published.c: AdelaiDet's published configurations (golden/SEMANTICS.md
 * section 13), as far as inference goes
 *
 * A row is made of parts, each with what tensors tell and, behind it, what
 * they do not tell. For tensors that fit no row entirely (other classes, other
 * widths, parts put together anew), the rows with the same part are asked.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "upstream.h"

#include <math.h>
#include <string.h>

typedef struct
{
  CiBackboneType type;
  gint depth, num_groups, width_per_group;
  guint deform;                 /* bit 0: res2, .., bit 3: res5 */
  gint deform_interval;
  gboolean stride_in_1x1;
  gfloat std[3];
} Backbone;

typedef struct
{
  CiNeck type;
  gint channels, top_levels, min_size, max_size;
  enum
  {
    ANY_NORM, FROZEN_NORM, TRAINED_NORM,
  } norm;                       /* of the backbone */
} Neck;

typedef struct
{
  gint share, cls, box;
  CiNorm norm;
  gboolean deformable;
} Towers;

typedef struct
{
  CiArchitecture architecture;
  gint size;                    /* mask features; convolutions of the bases */
  gboolean semantic, use_scale, thresh_with_ctr;
} Method;

typedef struct
{
  const gchar *names;           /* files below configs/, separated by blanks */
  const Method *method;
  const Backbone *backbone;
  const Neck *neck;
  const Towers *towers;
  gint n_classes;
} Row;

#define RESNET(depth, deform, interval) \
    { CI_BACKBONE_RESNET, depth, 1, 64, deform, interval, TRUE, {1, 1, 1} }
#define RESNEXT_32(deform) \
    { CI_BACKBONE_RESNET, 101, 32, 8, deform, 1, FALSE, \
      {57.375f, 57.12f, 58.395f} }
#define RESNEXT_64(deform) \
    { CI_BACKBONE_RESNET, 101, 64, 4, deform, 1, FALSE, {1, 1, 1} }
#define OTHER(type, depth) { type, depth, 0, 0, 0, 1, TRUE, {1, 1, 1} }

static const Backbone r50 = RESNET (50, 0, 1), r101 = RESNET (101, 0, 1);
static const Backbone r50_dcni3 = RESNET (50, 0xe, 3);
static const Backbone r101_dcni3 = RESNET (101, 0xe, 3);
static const Backbone x101_32 = RESNEXT_32 (0), x101_64 = RESNEXT_64 (0);
static const Backbone x101_32_dcn = RESNEXT_32 (0xc);
static const Backbone x101_64_dcn = RESNEXT_64 (0xc);
static const Backbone dla34 = OTHER (CI_BACKBONE_DLA, 34);
static const Backbone v39 = OTHER (CI_BACKBONE_VOVNET, 39);
static const Backbone v57 = OTHER (CI_BACKBONE_VOVNET, 57);
static const Backbone v99 = OTHER (CI_BACKBONE_VOVNET, 99);

static const Neck p7 = { CI_NECK_FPN, 256, 2, 800, 1333 };
static const Neck p6 = { CI_NECK_FPN, 256, 1, 550, 916, FROZEN_NORM };
static const Neck p6_rt = { CI_NECK_FPN, 256, 1, 512, 736, TRAINED_NORM };
static const Neck p5 = { CI_NECK_FPN, 256, 0, 512, 736 };
static const Neck bifpn = { CI_NECK_BIFPN, 160, 2, 800, 1333 };

static const Towers two = { 0, 4, 4, CI_NORM_GN, FALSE };
static const Towers two_bn = { 0, 4, 4, CI_NORM_BN, FALSE };
static const Towers two_dcn = { 0, 4, 4, CI_NORM_GN, TRUE };
static const Towers shared = { 4, 0, 0, CI_NORM_GN, FALSE };
static const Towers shared_bn = { 4, 0, 0, CI_NORM_BN, FALSE };
static const Towers shared3 = { 3, 0, 0, CI_NORM_GN, FALSE };
static const Towers shared3_bn = { 3, 0, 0, CI_NORM_BN, FALSE };

static const Method condinst =
    { CI_ARCHITECTURE_CONDINST, 8, FALSE, TRUE, TRUE };
static const Method condinst_sem =
    { CI_ARCHITECTURE_CONDINST, 8, TRUE, TRUE, TRUE };
static const Method boxinst =
    { CI_ARCHITECTURE_CONDINST, 16, FALSE, TRUE, TRUE };
static const Method fcos = { CI_ARCHITECTURE_FCOS, 0, FALSE, TRUE, FALSE };
static const Method blendmask =
    { CI_ARCHITECTURE_BLENDMASK, 3, FALSE, FALSE, TRUE };
static const Method blendmask2 =
    { CI_ARCHITECTURE_BLENDMASK, 2, FALSE, FALSE, TRUE };

#define COND "CondInst/MS_"
#define BOX "BoxInst/MS_"
#define FCOS "FCOS-Detection/"
#define RT FCOS "FCOS_RT/MS_"
#define BLEND "BlendMask/"

static const Row rows[] = {
  {COND "R_50_1x " COND "R_50_3x", &condinst, &r50, &p7, &two, 80},
  {COND "R_50_3x_sem", &condinst_sem, &r50, &p7, &two, 80},
  {COND "R_101_1x " COND "R_101_3x", &condinst, &r101, &p7, &two, 80},
  {COND "R_101_3x_sem", &condinst_sem, &r101, &p7, &two, 80},
  {COND "R_50_BiFPN_1x " COND "R_50_BiFPN_3x", &condinst, &r50, &bifpn, &two,
      80},
  {COND "R_50_BiFPN_3x_sem", &condinst_sem, &r50, &bifpn, &two, 80},
  {COND "R_101_BiFPN_3x", &condinst, &r101, &bifpn, &two, 80},
  {COND "R_101_BiFPN_3x_sem", &condinst_sem, &r101, &bifpn, &two, 80},

  {BOX "R_50_1x " BOX "R_50_3x", &boxinst, &r50, &p7, &two, 80},
  {BOX "R_101_1x " BOX "R_101_3x", &boxinst, &r101, &p7, &two, 80},
  {BOX "R_50_BiFPN_1x " BOX "R_50_BiFPN_3x", &boxinst, &r50, &bifpn, &two,
      80},
  {BOX "R_101_BiFPN_3x", &boxinst, &r101, &bifpn, &two, 80},
  {BOX "R_101_BiFPN_dcni3_3x", &boxinst, &r101_dcni3, &bifpn, &two, 80},

  {FCOS "R_50_1x " FCOS "R_50_1x_iou " FCOS "MS_R_50_2x "
        FCOS "MS_R_50_2x_iou", &fcos, &r50, &p7, &two, 80},
  {FCOS "MS_R_101_2x " FCOS "MS_R_101_2x_iou", &fcos, &r101, &p7, &two, 80},
  {FCOS "MS_X_101_32x8d_2x " FCOS "MS_X_101_32x8d_2x_iou", &fcos, &x101_32,
      &p7, &two, 80},
  {FCOS "MS_X_101_64x4d_2x", &fcos, &x101_64, &p7, &two, 80},
  {FCOS "MS_X_101_32x8d_2x_dcnv2 " FCOS "MS_X_101_32x8d_2x_dcnv2_iou", &fcos,
      &x101_32_dcn, &p7, &two_dcn, 80},
  {FCOS "MS_X_101_64x4d_2x_dcnv2", &fcos, &x101_64_dcn, &p7, &two_dcn, 80},
  {RT "DLA_34_4x_syncbn", &fcos, &dla34, &p5, &two, 80},
  {RT "DLA_34_4x_syncbn_bn_head", &fcos, &dla34, &p5, &two_bn, 80},
  {RT "DLA_34_4x_syncbn_shared_towers", &fcos, &dla34, &p5, &shared, 80},
  {RT "DLA_34_4x_syncbn_shared_towers_bn_head", &fcos, &dla34, &p5,
      &shared_bn, 80},
  {RT "R_50_4x_syncbn", &fcos, &r50, &p5, &two, 80},
  {RT "R_50_4x_syncbn_bn_head", &fcos, &r50, &p5, &two_bn, 80},
  {FCOS "vovnet/MS_V_39_3x", &fcos, &v39, &p7, &two, 80},
  {FCOS "vovnet/MS_V_57_3x", &fcos, &v57, &p7, &two, 80},
  {FCOS "vovnet/MS_V_99_3x", &fcos, &v99, &p7, &two, 80},

  {BLEND "R_50_1x " BLEND "R_50_3x", &blendmask, &r50, &p7, &two, 80},
  {BLEND "R_101_3x", &blendmask, &r101, &p7, &two, 80},
  {BLEND "R_101_dcni3_5x", &blendmask, &r101_dcni3, &p7, &two, 80},
  {BLEND "550_R_50_1x " BLEND "550_R_50_3x", &blendmask2, &r50, &p6, &shared3,
      80},
  {BLEND "550_R_50_dcni3_5x", &blendmask2, &r50_dcni3, &p6, &shared3, 80},
  {BLEND "RT_R_50_4x", &blendmask2, &r50, &p6_rt, &shared3, 80},
  {BLEND "RT_R_50_4x_syncbn_shtw", &blendmask2, &r50, &p5, &shared3, 80},
  {BLEND "RT_R_50_4x_bn-head_syncbn_shtw", &blendmask2, &r50, &p5,
      &shared3_bn, 80},
  {BLEND "DLA_34_syncbn_4x", &blendmask, &dla34, &p5, &two, 80},
  {BLEND "Person/R_50_1x", &blendmask, &r50, &p7, &two, 1},
};

static const gfloat pixel_mean[3] = { 103.53f, 116.28f, 123.675f };

/* ---- by name ---------------------------------------------------------- */

/* Whether @name is @full or what stands behind one of its slashes. */
static gboolean
is_tail (const gchar * full, const gchar * name)
{
  gsize length = strlen (full), n = strlen (name);

  return n <= length && strcmp (full + length - n, name) == 0
      && (n == length || full[length - n - 1] == '/');
}

/* The only row with classes of its own. */
static gboolean
is_person (const Row * row)
{
  return row->n_classes == 1;
}

/* The row called @name, for --config; the keys that it stands for are those of
 * the file of that name, as far as they are read here. */
static gboolean
expand_row (const Row * row, const gchar * name, CiUpstream * upstream,
    GError ** error)
{
  static const gchar *const methods[] = {
    [CI_ARCHITECTURE_CONDINST] = "CondInst",
    [CI_ARCHITECTURE_BLENDMASK] = "BlendMask",
    [CI_ARCHITECTURE_FCOS] = "OneStageDetector",
  };
  static const gchar *const backbones[] =
      { "resnet", "mobilenetv2", "dla", "vovnet" };
  const Backbone *b = row->backbone;
  const Towers *t = row->towers;
  g_autoptr (GString) out = g_string_new (NULL);
  gchar std[3][G_ASCII_DTOSTR_BUF_SIZE];

  for (gint i = 0; i < 3; i++)
    g_ascii_formatd (std[i], sizeof *std, "%.6g", b->std[i]);
  g_string_append_printf (out, "INPUT: {FORMAT: BGR, MIN_SIZE_TEST: %d, "
      "MAX_SIZE_TEST: %d}\nMODEL:\n"
      "  META_ARCHITECTURE: %s\n  PIXEL_MEAN: [103.53, 116.28, 123.675]\n"
      "  PIXEL_STD: [%s, %s, %s]\n"
      "  BACKBONE: {NAME: build_fcos_%s_%s_backbone}\n"
      "  %s: {OUT_CHANNELS: %d}\n", row->neck->min_size, row->neck->max_size,
      methods[row->method->architecture], std[0], std[1], std[2],
      backbones[b->type], row->neck->type == CI_NECK_FPN ? "fpn" : "bifpn",
      row->neck->type == CI_NECK_FPN ? "FPN" : "BiFPN", row->neck->channels);
  if (b->type == CI_BACKBONE_RESNET)
    g_string_append_printf (out, "  RESNETS: {DEPTH: %d, NUM_GROUPS: %d, "
        "WIDTH_PER_GROUP: %d, STRIDE_IN_1X1: %s, DEFORM_INTERVAL: %d,"
        " DEFORM_ON_PER_STAGE: [%s, %s, %s, %s]}\n", b->depth, b->num_groups,
        b->width_per_group, b->stride_in_1x1 ? "True" : "False",
        b->deform_interval, b->deform & 1 ? "True" : "False",
        b->deform & 2 ? "True" : "False", b->deform & 4 ? "True" : "False",
        b->deform & 8 ? "True" : "False");
  else if (b->type == CI_BACKBONE_VOVNET)
    g_string_append_printf (out, "  VOVNET: {CONV_BODY: V-%d-eSE}\n",
        b->depth);
  else
    g_string_append_printf (out, "  DLA: {CONV_BODY: DLA%d}\n", b->depth);
  g_string_append_printf (out, "  FCOS: {TOP_LEVELS: %d, NUM_SHARE_CONVS: %d,"
      " NUM_CLS_CONVS: %d, NUM_BOX_CONVS: %d, NORM: %s, USE_DEFORMABLE: %s,"
      " USE_SCALE: %s, THRESH_WITH_CTR: %s%s}\n", row->neck->top_levels,
      t->share, t->cls, t->box, t->norm == CI_NORM_GN ? "GN" : "SyncBN",
      t->deformable ? "True" : "False",
      row->method->use_scale ? "True" : "False",
      row->method->thresh_with_ctr ? "True" : "False",
      is_person (row) ? ", NUM_CLASSES: 1" : "");
  if (row->method->architecture == CI_ARCHITECTURE_CONDINST)
    g_string_append_printf (out,
        "  CONDINST: {MASK_BRANCH: {OUT_CHANNELS: %d}}\n", row->method->size);
  else if (row->method->architecture == CI_ARCHITECTURE_BLENDMASK)
    g_string_append_printf (out, "  BASIS_MODULE: {NUM_CONVS: %d}\n",
        row->method->size);
  if (is_person (row))
    g_string_append (out, "DATASETS: {TRAIN: [pic_person_train]}\n");
  return ci_upstream_parse (upstream, out->str, out->len, name, error);
}

gboolean
ci_upstream_set_published (CiUpstream * upstream, const gchar * name,
    GError ** error)
{
  const gchar *start = g_str_has_prefix (name, "configs/") ? name + 8 : name;
  gsize length = strlen (start) - (g_str_has_suffix (start, ".yaml") ? 5 : 0);
  g_autofree gchar *wanted = g_strndup (start, length);
  g_autoptr (GString) found = g_string_new (NULL);
  g_autoptr (GString) all = g_string_new (NULL);
  const Row *row = NULL;
  guint n = 0;

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_auto (GStrv) names = g_strsplit (rows[i].names, " ", -1);

    for (guint k = 0; names[k]; k++) {
      g_string_append_printf (all, "%s%s", all->len ? ", " : "", names[k]);
      if (!is_tail (names[k], wanted))
        continue;
      row = &rows[i];
      g_string_append_printf (found, "%s%s", n++ ? ", " : "", names[k]);
    }
  }
  if (n == 1)
    return expand_row (row, found->str, upstream, error);
  g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
      n ? "\"%.80s\" may be any of the published configurations %s" :
      "\"%.80s\" is neither a file nor a published configuration (%s)", name,
      n ? found->str : all->str);
  return FALSE;
}

/* ---- by tensors ------------------------------------------------------- */

static guint
deform_bits (const CiConfig * c)
{
  guint bits = 0;

  for (gint i = 0; i < 4; i++)
    bits |= (c->backbone.deform_on_per_stage[i] ? 1u : 0) << i;
  return bits;
}

/* Whether @neck makes the levels of @c on a backbone like the one that was
 * trained. */
static gboolean
has_levels (const Neck * neck, const CiTensorFacts * facts,
    const CiConfig * c)
{
  return neck->top_levels == c->fpn.top_levels && (neck->norm == ANY_NORM
      || (neck->norm == TRAINED_NORM) == facts->trained_norm);
}

/* Whether @row has the same parts as the tensors of @c: all but how many
 * channels, convolutions and classes there are. */
static gboolean
has_parts (const Row * row, const CiTensorFacts * facts, const CiConfig * c)
{
  const Backbone *b = row->backbone;

  if (b->type != c->backbone.type || b->depth != c->backbone.depth
      || row->method->architecture != c->architecture
      || row->neck->type != c->fpn.type
      || !has_levels (row->neck, facts, c)
      || row->towers->norm != c->fcos.norm
      || row->towers->deformable != c->fcos.use_deformable
      || row->method->use_scale != c->fcos.use_scale
      || row->method->semantic != facts->semantic)
    return FALSE;
  if (b->type == CI_BACKBONE_RESNET
      && (b->num_groups != c->backbone.num_groups
          || (b->num_groups > 1
              && b->width_per_group != c->backbone.width_per_group)
          || b->deform != deform_bits (c)
          || (b->deform && b->deform_interval != c->backbone.deform_interval)))
    return FALSE;
  return c->architecture != CI_ARCHITECTURE_CONDINST
      || row->method->size == c->condinst.branch_out_channels;
}

/* Whether the tensors of @c, which have the same parts, are just @row's. */
static gboolean
has_sizes (const Row * row, const CiConfig * c)
{
  const Backbone *b = row->backbone;

  if (b->type == CI_BACKBONE_RESNET
      && (b->width_per_group != c->backbone.width_per_group
          || c->backbone.stem_out_channels != 64
          || c->backbone.res2_out_channels != 256))
    return FALSE;
  if (row->neck->channels != c->fpn.out_channels
      || (row->neck->type == CI_NECK_BIFPN && c->fpn.num_repeats != 6)
      || row->towers->share != c->fcos.num_share_convs
      || row->towers->cls != c->fcos.num_cls_convs
      || row->towers->box != c->fcos.num_box_convs
      || row->n_classes != (gint) c->n_classes)
    return FALSE;
  if (c->architecture == CI_ARCHITECTURE_CONDINST)
    return c->condinst.branch_channels == 128
        && c->condinst.branch_num_convs == 4;
  return c->architecture != CI_ARCHITECTURE_BLENDMASK
      || (c->blendmask.basis_num_convs == row->method->size
      && c->blendmask.basis_channels == 128 && c->blendmask.num_bases == 4
      && c->blendmask.attention_size == 14);
}

/* Letters and digits of @text's last two parts, in lower case; of the family's
 * folder only "fcos": FCOS-Detection/R_50_1x was published as FCOS_R_50_1x. */
static gchar *
squeeze (const gchar * text)
{
  const gchar *slash = strrchr (text, '/');
  GString *out = g_string_new (NULL);

  while (slash && slash > text && slash[-1] != '/')
    slash--;
  for (const gchar * p = slash ? slash : text; *p; p++) {
    if (g_str_has_prefix (p, "-Detection/"))
      p += strlen ("-Detection/") - 1;
    else if (g_ascii_isalnum (*p))
      g_string_append_c (out, g_ascii_tolower (*p));
  }
  return g_string_free (out, FALSE);
}

/* Keeps only the longest of @names that the name of the file @source holds, if
 * it holds any. */
static void
prefer_file_name (GPtrArray * names, const gchar * source)
{
  g_autofree gchar *base = g_path_get_basename (source);
  g_autofree gchar *file = squeeze (base);
  gsize longest = 0;

  for (guint pass = 0; pass < 2; pass++)
    for (guint i = names->len; i-- > 0;) {
      g_autofree gchar *name = squeeze (g_ptr_array_index (names, i));
      gsize length = strstr (file, name) ? strlen (name) : 0;

      if (pass == 0)
        longest = MAX (longest, length);
      else if (length < longest)
        g_ptr_array_remove_index (names, i);
    }
}

/* Whether the one class is known to be people, which no tensor tells: by the
 * data, else by the file's name. */
static gboolean
shows_people (const CiUpstream * upstream, const gchar * source)
{
  JsonNode *node = ci_upstream_get (upstream, "DATASETS.TRAIN", NULL);
  JsonArray *array = node && JSON_NODE_HOLDS_ARRAY (node) ?
      json_node_get_array (node) : NULL;
  g_autofree gchar *base = g_path_get_basename (source);
  g_autofree gchar *file = squeeze (base);
  const gchar *name = NULL;

  if (array && json_array_get_length (array) > 0) {
    node = json_array_get_element (array, 0);
    name = JSON_NODE_HOLDS_VALUE (node) ? json_node_get_string (node) : NULL;
  }
  return name ? g_str_has_prefix (name, "pic_person")
      : strstr (file, "person") != NULL;
}

static GPtrArray *
find_names (const CiUpstream * upstream, const CiTensorFacts * facts,
    const CiConfig * c, const gchar * source)
{
  gboolean people = shows_people (upstream, source);
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  guint pass;

  /* those that fit entirely, else those that do but for sizes */
  for (pass = 0; pass < 2 && names->len == 0; pass++)
    for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
      g_auto (GStrv) list = NULL;

      if (!has_parts (&rows[i], facts, c) || (is_person (&rows[i]) && !people)
          || (pass == 0 && !has_sizes (&rows[i], c)))
        continue;
      list = g_strsplit (rows[i].names, " ", -1);
      for (guint k = 0; list[k]; k++)
        g_ptr_array_add (names, g_strdup (list[k]));
    }
  prefer_file_name (names, source);
  for (guint i = 0; pass == 2 && i < names->len; i++) {
    gchar *name = g_ptr_array_index (names, i);

    g_ptr_array_index (names, i) = g_strconcat (name, " (other sizes)", NULL);
    g_free (name);
  }
  return names;
}

/* The deviations of grouped backbones differ without a rule: where none is
 * just like this one, nothing can be taken for granted. */
static gboolean
refuse_groups (const CiConfig * c, const gchar * source, GError ** error)
{
  g_autoptr (GString) list = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    const Backbone *b = rows[i].backbone;
    const gchar *blank = strchr (rows[i].names, ' ');
    gint length = blank ? blank - rows[i].names
        : (gint) strlen (rows[i].names);

    if (b->num_groups > 1 && b->deform == 0)
      g_string_append_printf (list, "%s%.*s (%g, %g, %g)",
          list->len ? ", " : "", length, rows[i].names, b->std[0], b->std[1],
          b->std[2]);
  }
  g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
      "%s: the tensors do not tell how pixels are scaled, and published "
      "configurations like this network (ResNeXt, here %dx%dd) differ in it: "
      "%s; the key MODEL.PIXEL_STD decides (--set MODEL.PIXEL_STD=..), or a "
      "configuration (--config)", source, c->backbone.num_groups,
      c->backbone.width_per_group, list->str);
  return FALSE;
}

gboolean
ci_facts_agree (const CiTensorFacts * facts, gfloat stored, gfloat value)
{
  return fabsf (value - stored)
      <= 1e-3f + facts->pixel_rounding * fabsf (stored);
}

/* Takes @published for what was rounded to @stored. */
static void
undo_rounding (const CiTensorFacts * facts, gfloat * stored,
    const gfloat * published)
{
  for (gint i = 0; i < 3; i++)
    if (!ci_facts_agree (facts, stored[i], published[i]))
      return;
  memcpy (stored, published, 3 * sizeof *stored);
}

/* What hangs on the backbone. */
static gboolean
fill_backbone (const CiUpstream * upstream, const CiTensorFacts * facts,
    const gchar * source, CiConfig * c, GError ** error)
{
  gint groups = c->backbone.num_groups;

  if (c->backbone.type == CI_BACKBONE_RESNET)
    c->backbone.stride_in_1x1 = groups == 1;
  if (facts->pixel_rounding > 0)
    undo_rounding (facts, c->input.pixel_mean, pixel_mean);
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    const Backbone *b = rows[i].backbone;

    if (b->type != c->backbone.type || (b->type == CI_BACKBONE_RESNET
            && (b->num_groups != groups || (groups > 1
                    && b->width_per_group != c->backbone.width_per_group))))
      continue;
    c->backbone.stride_in_1x1 = b->stride_in_1x1;
    if (!facts->pixels)
      memcpy (c->input.pixel_std, b->std, sizeof b->std);
    else if (facts->pixel_rounding > 0)
      undo_rounding (facts, c->input.pixel_std, b->std);
    return TRUE;
  }
  return c->backbone.type != CI_BACKBONE_RESNET || groups == 1 || facts->pixels
      || ci_upstream_get (upstream, "MODEL.PIXEL_STD", NULL)
      || refuse_groups (c, source, error);
}

gchar **
ci_published_fill (const CiUpstream * upstream, const CiTensorFacts * facts,
    const gchar * source, CiConfig * config, GError ** error)
{
  GPtrArray *names;

  if (!fill_backbone (upstream, facts, source, config, error))
    return NULL;
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    if (has_levels (rows[i].neck, facts, config)) {
      config->input.min_size = rows[i].neck->min_size;
      config->input.max_size = rows[i].neck->max_size;
    }
    if (rows[i].method->architecture == config->architecture)
      config->fcos.thresh_with_ctr = rows[i].method->thresh_with_ctr;
  }
  names = find_names (upstream, facts, config, source);
  g_ptr_array_add (names, NULL);
  return (gchar **) g_ptr_array_free (names, FALSE);
}
