/*
 * upstream_apply.c: keys of upstream's configuration into a CiConfig
 *
 * Keys that no network here depends on are ignored, as are those of parts that
 * the network does not have.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "upstream.h"

#include <math.h>
#include <string.h>

#include "coco.h"

/* ---- values ----------------------------------------------------------- */

typedef struct
{
  const CiUpstream *upstream;
  const CiTensorFacts *facts;   /* NULL if a description told them */
  const gchar *source;
  CiConfig *config;
  GError **error;
  /* of the key at hand */
  const gchar *key, *origin;
  JsonNode *node;
} Apply;

/* Looks @key up; FALSE if it is not there. */
static gboolean
find (Apply * a, const gchar * key)
{
  a->key = key;
  a->node = ci_upstream_get (a->upstream, key, &a->origin);
  return a->node != NULL;
}

static gchar *
show (JsonNode * node)
{
  g_autofree gchar *text = json_to_string (node, FALSE);

  return strlen (text) > 80 ? g_strdup ("a long value")
      : g_steal_pointer (&text);
}

static gboolean
fail_type (Apply * a, const gchar * expected)
{
  g_autofree gchar *found = show (a->node);

  g_set_error (a->error, CI_ERROR, CI_ERROR_BAD_FORMAT,
      "%s: %s: expected %s, found %s", a->origin, a->key, expected, found);
  return FALSE;
}

static gboolean G_GNUC_PRINTF (2, 3)
contradict (Apply * a, const gchar * format, ...)
{
  g_autofree gchar *found = show (a->node);
  g_autofree gchar *told = NULL;
  va_list args;

  va_start (args, format);
  told = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (a->error, CI_ERROR, CI_ERROR_BAD_FORMAT,
      "%s: %s is %s in %s, but %s %s", a->source, a->key, found, a->origin,
      a->facts ? "the tensors say" : "its description says", told);
  return FALSE;
}

static gboolean
node_holds (JsonNode * node, GType type)
{
  return JSON_NODE_HOLDS_VALUE (node)
      && json_node_get_value_type (node) == type;
}

static gboolean
holds_number (JsonNode * node)
{
  return node_holds (node, G_TYPE_INT64) || node_holds (node, G_TYPE_DOUBLE);
}

static gboolean
read_int (Apply * a, gint * out)
{
  gdouble value = holds_number (a->node) ? json_node_get_double (a->node)
      : NAN;

  if (!(ABS (value) <= G_MAXINT) || value != (gint) value)
    return fail_type (a, "an integer");
  *out = value;
  return TRUE;
}

static gboolean
read_number (Apply * a, gdouble * out)
{
  if (!holds_number (a->node))
    return fail_type (a, "a number");
  *out = json_node_get_double (a->node);
  return TRUE;
}

static gboolean
read_boolean (Apply * a, gboolean * out)
{
  /* 0 and 1 are what Python takes for them, too */
  if (holds_number (a->node) && (json_node_get_double (a->node) == 0
          || json_node_get_double (a->node) == 1)) {
    *out = json_node_get_double (a->node) == 1;
    return TRUE;
  }
  if (!node_holds (a->node, G_TYPE_BOOLEAN))
    return fail_type (a, "True or False");
  *out = json_node_get_boolean (a->node);
  return TRUE;
}

static const gchar *
read_string (Apply * a)
{
  if (!node_holds (a->node, G_TYPE_STRING)) {
    fail_type (a, "a string");
    return NULL;
  }
  return json_node_get_string (a->node);
}

/* From @min to @max numbers; returns how many, 0 after an error. */
static gint
read_numbers (Apply * a, gfloat * out, gint min, gint max)
{
  JsonArray *array = JSON_NODE_HOLDS_ARRAY (a->node) ?
      json_node_get_array (a->node) : NULL;
  gint n = array ? (gint) json_array_get_length (array) : 0;
  gboolean ok = array && n >= min && n <= max;

  for (gint i = 0; ok && i < n; i++) {
    JsonNode *element = json_array_get_element (array, i);

    ok = holds_number (element);
    if (ok)
      out[i] = json_node_get_double (element);
  }
  if (!ok) {
    g_autofree gchar *expected = min == max ?
        g_strdup_printf ("a list of %d numbers", min) :
        g_strdup_printf ("a list of %d or %d numbers", min, max);

    fail_type (a, expected);
    return 0;
  }
  return n;
}

/* ---- single keys ------------------------------------------------------ */

typedef enum
{
  INT, NUMBER, DOUBLE, BOOLEAN, INVERSE, NORM,
} Kind;

typedef enum
{
  ALWAYS, RESNET, BOTTLENECKS, FPN, BIFPN, FCOS, CONDINST, BLENDMASK,
  RCNN, BOX_CONVS, MASKRCNN,
} Part;

typedef struct
{
  const gchar *key;
  Kind kind;
  Part part;
  gboolean told;                /* by the tensors */
  gsize offset;                 /* in a CiConfig */
} Key;

#define FIELD(field) G_STRUCT_OFFSET (CiConfig, field)

static const Key keys[] = {
  {"INPUT.MIN_SIZE_TEST", INT, ALWAYS, FALSE, FIELD (input.min_size)},
  {"INPUT.MAX_SIZE_TEST", INT, ALWAYS, FALSE, FIELD (input.max_size)},
  {"MODEL.RESNETS.DEPTH", INT, RESNET, TRUE, FIELD (backbone.depth)},
  {"MODEL.RESNETS.STEM_OUT_CHANNELS", INT, RESNET, TRUE,
      FIELD (backbone.stem_out_channels)},
  {"MODEL.RESNETS.RES2_OUT_CHANNELS", INT, RESNET, TRUE,
      FIELD (backbone.res2_out_channels)},
  {"MODEL.RESNETS.NUM_GROUPS", INT, BOTTLENECKS, TRUE,
      FIELD (backbone.num_groups)},
  {"MODEL.RESNETS.WIDTH_PER_GROUP", INT, BOTTLENECKS, TRUE,
      FIELD (backbone.width_per_group)},
  {"MODEL.RESNETS.STRIDE_IN_1X1", BOOLEAN, BOTTLENECKS, FALSE,
      FIELD (backbone.stride_in_1x1)},
  {"MODEL.FPN.OUT_CHANNELS", INT, FPN, TRUE, FIELD (fpn.out_channels)},
  {"MODEL.FPN.NORM", NORM, FPN, TRUE, FIELD (fpn.norm)},
  {"MODEL.BiFPN.OUT_CHANNELS", INT, BIFPN, TRUE, FIELD (fpn.out_channels)},
  {"MODEL.BiFPN.NUM_REPEATS", INT, BIFPN, TRUE, FIELD (fpn.num_repeats)},
  {"MODEL.BiFPN.NORM", NORM, BIFPN, TRUE, FIELD (fpn.norm)},
  {"MODEL.FCOS.NUM_CLASSES", INT, FCOS, TRUE, FIELD (n_classes)},
  {"MODEL.FCOS.TOP_LEVELS", INT, FCOS, TRUE, FIELD (fpn.top_levels)},
  {"MODEL.FCOS.NUM_SHARE_CONVS", INT, FCOS, TRUE,
      FIELD (fcos.num_share_convs)},
  {"MODEL.FCOS.NUM_CLS_CONVS", INT, FCOS, TRUE, FIELD (fcos.num_cls_convs)},
  {"MODEL.FCOS.NUM_BOX_CONVS", INT, FCOS, TRUE, FIELD (fcos.num_box_convs)},
  {"MODEL.FCOS.NORM", NORM, FCOS, TRUE, FIELD (fcos.norm)},
  {"MODEL.FCOS.USE_SCALE", BOOLEAN, FCOS, TRUE, FIELD (fcos.use_scale)},
  {"MODEL.FCOS.USE_DEFORMABLE", BOOLEAN, FCOS, TRUE,
      FIELD (fcos.use_deformable)},
  {"MODEL.FCOS.THRESH_WITH_CTR", BOOLEAN, FCOS, FALSE,
      FIELD (fcos.thresh_with_ctr)},
  {"MODEL.FCOS.INFERENCE_TH_TEST", NUMBER, FCOS, FALSE,
      FIELD (inference.inference_threshold)},
  {"MODEL.FCOS.NMS_TH", DOUBLE, FCOS, FALSE,
      FIELD (inference.nms_threshold)},
  {"MODEL.FCOS.PRE_NMS_TOPK_TEST", INT, FCOS, FALSE,
      FIELD (inference.pre_nms_top_k)},
  {"MODEL.FCOS.POST_NMS_TOPK_TEST", INT, FCOS, FALSE,
      FIELD (inference.post_nms_top_k)},
  {"MODEL.CONDINST.MASK_OUT_STRIDE", INT, CONDINST, FALSE,
      FIELD (condinst.mask_out_stride)},
  {"MODEL.CONDINST.MASK_BRANCH.CHANNELS", INT, CONDINST, TRUE,
      FIELD (condinst.branch_channels)},
  {"MODEL.CONDINST.MASK_BRANCH.NUM_CONVS", INT, CONDINST, TRUE,
      FIELD (condinst.branch_num_convs)},
  {"MODEL.CONDINST.MASK_BRANCH.OUT_CHANNELS", INT, CONDINST, TRUE,
      FIELD (condinst.branch_out_channels)},
  {"MODEL.CONDINST.MASK_BRANCH.NORM", NORM, CONDINST, TRUE,
      FIELD (condinst.branch_norm)},
  {"MODEL.CONDINST.MASK_HEAD.CHANNELS", INT, CONDINST, TRUE,
      FIELD (condinst.head_channels)},
  {"MODEL.CONDINST.MASK_HEAD.NUM_LAYERS", INT, CONDINST, TRUE,
      FIELD (condinst.head_num_layers)},
  {"MODEL.CONDINST.MASK_HEAD.DISABLE_REL_COORDS", INVERSE, CONDINST, TRUE,
      FIELD (condinst.rel_coords)},
  {"MODEL.BLENDMASK.ATTN_SIZE", INT, BLENDMASK, TRUE,
      FIELD (blendmask.attention_size)},
  {"MODEL.BLENDMASK.BOTTOM_RESOLUTION", INT, BLENDMASK, FALSE,
      FIELD (blendmask.resolution)},
  {"MODEL.BASIS_MODULE.NUM_BASES", INT, BLENDMASK, TRUE,
      FIELD (blendmask.num_bases)},
  {"MODEL.BASIS_MODULE.CONVS_DIM", INT, BLENDMASK, TRUE,
      FIELD (blendmask.basis_channels)},
  {"MODEL.BASIS_MODULE.NUM_CONVS", INT, BLENDMASK, TRUE,
      FIELD (blendmask.basis_num_convs)},
  {"MODEL.BASIS_MODULE.NORM", NORM, BLENDMASK, TRUE,
      FIELD (blendmask.basis_norm)},
  {"MODEL.RPN.PRE_NMS_TOPK_TEST", INT, RCNN, FALSE,
      FIELD (rcnn.pre_nms_top_n)},
  {"MODEL.RPN.POST_NMS_TOPK_TEST", INT, RCNN, FALSE,
      FIELD (rcnn.post_nms_top_n)},
  {"MODEL.RPN.NMS_THRESH", DOUBLE, RCNN, FALSE, FIELD (rcnn.nms_threshold)},
  {"MODEL.ROI_HEADS.NUM_CLASSES", INT, RCNN, TRUE, FIELD (n_classes)},
  {"MODEL.ROI_HEADS.SCORE_THRESH_TEST", NUMBER, RCNN, FALSE,
      FIELD (inference.inference_threshold)},
  {"MODEL.ROI_HEADS.NMS_THRESH_TEST", DOUBLE, RCNN, FALSE,
      FIELD (inference.nms_threshold)},
  {"TEST.DETECTIONS_PER_IMAGE", INT, RCNN, FALSE,
      FIELD (inference.post_nms_top_k)},
  {"MODEL.ROI_BOX_HEAD.NUM_CONV", INT, RCNN, TRUE,
      FIELD (rcnn.box_num_convs)},
  {"MODEL.ROI_BOX_HEAD.CONV_DIM", INT, BOX_CONVS, TRUE,
      FIELD (rcnn.box_channels)},
  {"MODEL.ROI_BOX_HEAD.NORM", NORM, BOX_CONVS, TRUE, FIELD (rcnn.box_norm)},
  {"MODEL.ROI_BOX_HEAD.NUM_FC", INT, RCNN, TRUE, FIELD (rcnn.num_fcs)},
  {"MODEL.ROI_BOX_HEAD.FC_DIM", INT, RCNN, TRUE, FIELD (rcnn.fc_channels)},
  {"MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", BOOLEAN, RCNN, TRUE,
      FIELD (rcnn.class_agnostic_boxes)},
  {"MODEL.ROI_MASK_HEAD.NUM_CONV", INT, MASKRCNN, TRUE,
      FIELD (rcnn.mask_num_convs)},
  {"MODEL.ROI_MASK_HEAD.CONV_DIM", INT, MASKRCNN, TRUE,
      FIELD (rcnn.mask_channels)},
  {"MODEL.ROI_MASK_HEAD.NORM", NORM, MASKRCNN, TRUE, FIELD (rcnn.mask_norm)},
  {"MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK", BOOLEAN, MASKRCNN, TRUE,
      FIELD (rcnn.class_agnostic_masks)},
};

/* What every network here does in one way. */
static const struct
{
  const gchar *key;
  Part part;
  const gchar *json;
} fixed[] = {
  {"MODEL.PROPOSAL_GENERATOR.NAME", FCOS, "\"FCOS\""},
  {"MODEL.FPN.FUSE_TYPE", FPN, "\"sum\""},
  {"MODEL.ANCHOR_GENERATOR.SIZES", RCNN, "[[32],[64],[128],[256],[512]]"},
  {"MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS", RCNN, "[[0.5,1.0,2.0]]"},
  {"MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION", RCNN, "7"},
  {"MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO", RCNN, "0"},
  {"MODEL.ROI_BOX_HEAD.POOLER_TYPE", RCNN, "\"ROIAlignV2\""},
  {"MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION", MASKRCNN, "14"},
  {"MODEL.RESNETS.RES5_DILATION", RESNET, "1"},
  {"MODEL.RESNETS.DEFORM_NUM_GROUPS", RESNET, "1"},
  {"MODEL.FCOS.USE_RELU", FCOS, "true"},
  {"MODEL.CONDINST.MASK_BRANCH.IN_FEATURES", CONDINST,
      "[\"p3\",\"p4\",\"p5\"]"},
  {"MODEL.BASIS_MODULE.IN_FEATURES", BLENDMASK, "[\"p3\",\"p4\",\"p5\"]"},
  {"MODEL.BASIS_MODULE.COMMON_STRIDE", BLENDMASK, "8"},
  {"MODEL.BLENDMASK.TOP_INTERP", BLENDMASK, "\"bilinear\""},
  {"MODEL.BLENDMASK.POOLER_TYPE", BLENDMASK, "\"ROIAlignV2\""},
  {"MODEL.BLENDMASK.POOLER_SAMPLING_RATIO", BLENDMASK, "1"},
  {"MODEL.BLENDMASK.POOLER_SCALES", BLENDMASK, "[0.25]"},
};

static gboolean
has_part (const CiConfig * c, Part part)
{
  gboolean resnet = c->backbone.type == CI_BACKBONE_RESNET;

  switch (part) {
    case ALWAYS:
      return TRUE;
    case RESNET:
      return resnet;
    case BOTTLENECKS:
      return resnet && c->backbone.depth >= 50;
    case FPN:
      return c->fpn.type == CI_NECK_FPN;
    case BIFPN:
      return c->fpn.type == CI_NECK_BIFPN;
    case FCOS:
      return c->fcos.n_levels > 0;
    case CONDINST:
      return c->architecture == CI_ARCHITECTURE_CONDINST;
    case BLENDMASK:
      return c->architecture == CI_ARCHITECTURE_BLENDMASK;
    case RCNN:
      return c->architecture == CI_ARCHITECTURE_MASKRCNN
          || c->architecture == CI_ARCHITECTURE_POINTREND;
    case BOX_CONVS:
      return has_part (c, RCNN) && c->rcnn.box_num_convs > 0;
    case MASKRCNN:
      return c->architecture == CI_ARCHITECTURE_MASKRCNN;
  }
  return FALSE;
}

static gboolean
read_norm (Apply * a, gint * out)
{
  const gchar *name = read_string (a);

  if (!name)
    return FALSE;
  if (g_str_has_suffix (name, "GN"))
    *out = CI_NORM_GN;
  else if (g_str_has_suffix (name, "BN"))
    *out = CI_NORM_BN;
  else if (!*name || g_ascii_strcasecmp (name, "none") == 0)
    *out = CI_NORM_NONE;
  else
    return fail_type (a, "a normalisation (GN, BN, SyncBN, FrozenBN, none)");
  return TRUE;
}

static gboolean
apply_key (Apply * a, const Key * key)
{
  static const gchar *const norms[] = { "none", "BN", "GN" };
  gpointer field = G_STRUCT_MEMBER_P (a->config, key->offset);
  gint *integer = field;
  gint value = 0;
  gdouble number = 0;

  switch (key->kind) {
    case NUMBER:
    case DOUBLE:
      if (!read_number (a, &number))
        return FALSE;
      if (key->kind == DOUBLE)
        *(gdouble *) field = number;
      else
        *(gfloat *) field = number;
      return TRUE;
    case INT:
      if (!read_int (a, &value))
        return FALSE;
      break;
    case BOOLEAN:
    case INVERSE:
      if (!read_boolean (a, &value))
        return FALSE;
      value ^= key->kind == INVERSE;
      break;
    case NORM:
      if (!read_norm (a, &value))
        return FALSE;
      break;
  }
  if (!key->told) {
    *integer = value;
  } else if (value != *integer) {
    if (key->kind == INT)
      return contradict (a, "%d", *integer);
    if (key->kind == NORM)
      return contradict (a, "%s", norms[*integer]);
    return contradict (a, "%s", value ^ (key->kind == INVERSE) ? "False"
        : "True");
  }
  return TRUE;
}

static gboolean
nodes_equal (JsonNode * a, JsonNode * b)
{
  if (holds_number (a) && holds_number (b))
    return json_node_get_double (a) == json_node_get_double (b);
  if (JSON_NODE_HOLDS_ARRAY (a) && JSON_NODE_HOLDS_ARRAY (b)) {
    JsonArray *x = json_node_get_array (a), *y = json_node_get_array (b);
    guint n = json_array_get_length (x);
    gboolean equal = n == json_array_get_length (y);

    for (guint i = 0; i < n && equal; i++)
      equal = nodes_equal (json_array_get_element (x, i),
          json_array_get_element (y, i));
    return equal;
  }
  return json_node_equal (a, b);
}

static gboolean
check_fixed (Apply * a)
{
  for (guint i = 0; i < G_N_ELEMENTS (fixed); i++) {
    g_autoptr (JsonNode) wanted = NULL;

    if (!has_part (a->config, fixed[i].part) || !find (a, fixed[i].key))
      continue;
    wanted = json_from_string (fixed[i].json, NULL);
    if (!nodes_equal (a->node, wanted)) {
      g_autofree gchar *found = show (a->node);

      g_set_error (a->error, CI_ERROR, CI_ERROR_UNSUPPORTED,
          "%s: %s: only %s is known here, found %s", a->origin, a->key,
          fixed[i].json, found);
      return FALSE;
    }
  }
  return TRUE;
}

/* ---- keys of their own kind ------------------------------------------- */

static gboolean
apply_architecture (Apply * a)
{
  static const gchar *const names[][2] = {
    {"CondInst", "condinst"}, {"BlendMask", "blendmask"},
    {"OneStageDetector", "fcos"}, {"FCOS", "fcos"},
    {"ProposalNetwork", "fcos"},
    {"GeneralizedRCNN", "maskrcnn"}, {"GeneralizedRCNN", "pointrend"},
  };
  const gchar *found = ci_architecture_name (a->config->architecture);
  const gchar *name;

  if (!find (a, "MODEL.META_ARCHITECTURE"))
    return TRUE;
  if (!(name = read_string (a)))
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_str_equal (names[i][0], name) && g_str_equal (names[i][1], found))
      return TRUE;
  return contradict (a, "%s", found);
}

/* The function that builds the backbone, which names its parts. */
static gboolean
apply_backbone (Apply * a)
{
  static const gchar *const types[] = { "ResNet", "MobileNetV2", "DLA",
    "VoVNet", "DarkNet"
  };
  CiBackboneType type = a->config->backbone.type;
  gboolean bifpn = a->config->fpn.type == CI_NECK_BIFPN;
  const gchar *name, *dash;
  gboolean fits = TRUE;

  /* the golden case.json has it one level up */
  if (find (a, "MODEL.BACKBONE.NAME") || find (a, "MODEL.BACKBONE")) {
    if (!(name = read_string (a)))
      return FALSE;
    if (strstr (name, "dla"))
      fits = type == CI_BACKBONE_DLA;
    else if (strstr (name, "vovnet"))
      fits = type == CI_BACKBONE_VOVNET;
    else if (strstr (name, "resnet"))   /* with MODEL.MOBILENET, MobileNet */
      fits = type == CI_BACKBONE_RESNET || type == CI_BACKBONE_MOBILENET_V2;
    if (strstr (name, "fpn"))
      fits = fits && (strstr (name, "bifpn") != NULL) == bifpn;
    if (!fits)
      return contradict (a, "%s with %s", types[type],
          bifpn ? "BiFPN" : "FPN");
  }
  if (type == CI_BACKBONE_VOVNET && find (a, "MODEL.VOVNET.CONV_BODY")) {
    if (!(name = read_string (a)))
      return FALSE;
    dash = strchr (name, '-');
    if (!dash || atoi (dash + 1) != a->config->backbone.depth)
      return contradict (a, "V-%d-eSE", a->config->backbone.depth);
  }
  if (type == CI_BACKBONE_DLA && find (a, "MODEL.DLA.CONV_BODY")) {
    if (!(name = read_string (a)))
      return FALSE;
    if (!g_str_equal (name, "DLA34"))
      return contradict (a, "DLA34");
  }
  return TRUE;
}

static gboolean
apply_deformable (Apply * a)
{
  CiConfig *c = a->config;
  const gboolean *deform = c->backbone.deform_on_per_stage;
  gboolean any = deform[0] || deform[1] || deform[2] || deform[3];
  gint blocks[4] = { 3, 4, c->backbone.depth == 101 ? 23 : 6, 3 };
  gint interval, most = 0;
  gboolean modulated;

  if (!has_part (c, BOTTLENECKS))
    return TRUE;
  for (gint i = 0; i < 4; i++)
    if (deform[i])
      most = MAX (most, blocks[i]);
  if (find (a, "MODEL.RESNETS.DEFORM_ON_PER_STAGE")) {
    JsonArray *array = JSON_NODE_HOLDS_ARRAY (a->node) ?
        json_node_get_array (a->node) : NULL;

    if (!array || json_array_get_length (array) != 4)
      return fail_type (a, "a list of four, each True or False");
    for (guint i = 0; i < 4; i++) {
      JsonNode *element = json_array_get_element (array, i);

      if (!node_holds (element, G_TYPE_BOOLEAN))
        return fail_type (a, "a list of four, each True or False");
      if (json_node_get_boolean (element) != deform[i])
        return contradict (a, "that res%u is %sdeformable", i + 2,
            deform[i] ? "" : "not ");
    }
  }
  if (any && find (a, "MODEL.RESNETS.DEFORM_MODULATED")) {
    if (!read_boolean (a, &modulated))
      return FALSE;
    if (!modulated)
      return contradict (a, "modulated ones");
  }
  if (any && find (a, "MODEL.RESNETS.DEFORM_INTERVAL")) {
    if (!read_int (a, &interval))
      return FALSE;
    /* intervals of more blocks than there are look alike */
    if (interval != c->backbone.deform_interval
        && MIN (interval, c->backbone.deform_interval) < most)
      return contradict (a, "%d", c->backbone.deform_interval);
  }
  return TRUE;
}

static gboolean
apply_levels (Apply * a)
{
  CiConfig *c = a->config;
  gint n = c->fcos.n_levels, found;
  gfloat values[CI_MAX_LEVELS];

  if (!has_part (c, FCOS))
    return TRUE;
  if (find (a, "MODEL.FCOS.FPN_STRIDES")) {
    if (!JSON_NODE_HOLDS_ARRAY (a->node))
      return fail_type (a, "a list of strides");
    if ((gint) json_array_get_length (json_node_get_array (a->node)) != n)
      return contradict (a, "%d levels", n);
    if (!read_numbers (a, values, n, n))
      return FALSE;
    for (gint i = 0; i < n; i++)
      if (values[i] != c->fcos.strides[i])
        return contradict (a, "%d for P%d", c->fcos.strides[i], i + 3);
  }
  if (find (a, "MODEL.FCOS.IN_FEATURES")) {
    if (!JSON_NODE_HOLDS_ARRAY (a->node))
      return fail_type (a, "a list of names");
    if ((gint) json_array_get_length (json_node_get_array (a->node)) != n)
      return contradict (a, "%d levels", n);
  }
  if (find (a, "MODEL.FCOS.SIZES_OF_INTEREST")) {
    /* the last level takes everything above */
    found = read_numbers (a, values, n - 1, n);
    if (!found)
      return FALSE;
    if (found == n - 1)
      values[n - 1] = 2 * values[n - 2];
    for (gint i = 0; i < n; i++)
      if (a->facts && a->facts->sizes_of_interest
          && values[i] != c->fcos.sizes_of_interest[i])
        return contradict (a, "%g for P%d",
            (gdouble) c->fcos.sizes_of_interest[i], i + 3);
    memcpy (c->fcos.sizes_of_interest, values, n * sizeof *values);
  }
  return TRUE;
}

static gboolean
apply_pixels (Apply * a)
{
  CiConfig *c = a->config;
  gfloat *fields[2] = { c->input.pixel_mean, c->input.pixel_std };
  const gchar *format;
  gfloat values[3];

  if (find (a, "INPUT.FORMAT")) {
    if (!(format = read_string (a)))
      return FALSE;
    if (!g_str_equal (format, "BGR") && !g_str_equal (format, "RGB"))
      return fail_type (a, "BGR or RGB");
    c->input.rgb = *format == 'R';
  }
  for (gint f = 0; f < 2; f++) {
    if (!find (a, f ? "MODEL.PIXEL_STD" : "MODEL.PIXEL_MEAN"))
      continue;
    if (!read_numbers (a, values, 3, 3))
      return FALSE;
    for (gint i = 0; i < 3; i++)
      if (a->facts && a->facts->pixels
          && !ci_facts_agree (a->facts, fields[f][i], values[i]))
        return contradict (a, "%g, %g, %g", fields[f][0], fields[f][1],
            fields[f][2]);
    memcpy (fields[f], values, sizeof values);
  }
  return TRUE;
}

/* ---- classes ---------------------------------------------------------- */

/* Names of a list; NULL and an error if it is none of as many as there are
 * classes. */
static gchar **
read_classes (Apply * a)
{
  JsonArray *array = JSON_NODE_HOLDS_ARRAY (a->node) ?
      json_node_get_array (a->node) : NULL;
  guint n = array ? json_array_get_length (array) : 0;
  g_auto (GStrv) names = g_new0 (gchar *, n + 1);

  for (guint i = 0; i < n; i++) {
    JsonNode *element = json_array_get_element (array, i);

    if (!node_holds (element, G_TYPE_STRING)) {
      array = NULL;
      break;
    }
    names[i] = g_strdup (json_node_get_string (element));
  }
  if (!array) {
    fail_type (a, "a list of names");
    return NULL;
  }
  if (n != a->config->n_classes) {
    contradict (a, "%u classes", a->config->n_classes);
    return NULL;
  }
  return g_steal_pointer (&names);
}

/* Whether the data set is known to be another one than @name. */
static gboolean
is_other_data (Apply * a, const gchar * name)
{
  JsonNode *first;

  if (!find (a, "DATASETS.TRAIN") || !JSON_NODE_HOLDS_ARRAY (a->node)
      || json_array_get_length (json_node_get_array (a->node)) == 0)
    return FALSE;
  first = json_array_get_element (json_node_get_array (a->node), 0);
  return node_holds (first, G_TYPE_STRING)
      && !strstr (json_node_get_string (first), name);
}

/* COCO's category ids from 1 on, of which some have no class. */
static gchar **
name_coco_ids (void)
{
  static const guint8 unused[] = { CI_COCO_UNUSED_IDS };
  g_autoptr (JsonNode) coco = json_from_string ("[" CI_COCO_CLASSES "]", NULL);
  JsonArray *array = json_node_get_array (coco);
  gchar **names = g_new0 (gchar *, CI_COCO_MAX_ID + 1);
  guint n = 0;

  for (gint id = 1; id <= CI_COCO_MAX_ID; id++)
    names[id - 1] = g_strdup (memchr (unused, id, sizeof unused) ? "N/A"
        : json_array_get_string_element (array, n++));
  return names;
}

static gboolean
apply_classes (Apply * a)
{
  CiConfig *c = a->config;
  gchar **names = NULL;

  if (find (a, "DATASETS.THING_CLASSES") || find (a, "thing_classes")) {
    if (!(names = read_classes (a)))
      return FALSE;
  } else if (c->classes) {
    return TRUE;
  } else if (c->n_classes == CI_COCO_N_CLASSES && !is_other_data (a, "coco")) {
    g_autoptr (JsonNode) coco = json_from_string ("[" CI_COCO_CLASSES "]",
        NULL);

    a->node = coco;
    names = read_classes (a);
  } else if (c->n_classes == CI_COCO_MAX_ID && !is_other_data (a, "coco")) {
    names = name_coco_ids ();
  } else {
    names = g_new0 (gchar *, c->n_classes + 1);
    for (guint i = 0; i < c->n_classes; i++)
      names[i] = g_strdup_printf ("class %u", i);
  }
  g_strfreev (c->classes);
  c->classes = names;
  return TRUE;
}

gboolean
ci_upstream_apply (const CiUpstream * upstream, const CiTensorFacts * facts,
    const gchar * source, CiConfig * config, GError ** error)
{
  Apply a = { upstream, facts, source, config, error };

  if (!apply_architecture (&a) || !apply_backbone (&a))
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    if (has_part (config, keys[i].part) && find (&a, keys[i].key)
        && !apply_key (&a, &keys[i]))
      return FALSE;
  return apply_deformable (&a) && apply_levels (&a) && apply_pixels (&a)
      && check_fixed (&a) && apply_classes (&a);
}
