/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <string.h>

#include <json-glib/json-glib.h>

#include "json.h"

#define MAX_JSON_BYTES (1024 * 1024)
#define MAX_JSON_DEPTH 16
#define MAX_CLASSES 10000
#define MAX_CLASS_NAME_BYTES 256

/* ---- reading values --------------------------------------------------- */

/* One object of the document. @error points to what all sections share: the
 * first fault stays, later reads then only give fallbacks. */
typedef struct
{
  const gchar *source, *path;   /* "" or "fcos." */
  JsonObject *object;           /* NULL if the document has no such section */
  GError **error;
} Section;

static void G_GNUC_PRINTF (4, 5)
fail (const Section * s, const gchar * key, CiError code,
    const gchar * format, ...)
{
  g_autofree gchar *what = NULL;
  va_list args;

  if (*s->error)
    return;
  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (s->error, CI_ERROR, code, "%s: %s%s: %s", s->source, s->path,
      key, what);
}

/* The value as short JSON, for messages. */
static gchar *
show (JsonNode * node)
{
  g_autofree gchar *text = NULL;

  if (!JSON_NODE_HOLDS_VALUE (node))
    return g_strdup (json_node_type_name (node));
  text = json_to_string (node, FALSE);
  return strlen (text) > 60 ? g_strdup ("a long string")
      : g_steal_pointer (&text);
}

static void
fail_type (const Section * s, const gchar * key, JsonNode * node,
    const gchar * expected)
{
  g_autofree gchar *found = show (node);

  fail (s, key, CI_ERROR_BAD_FORMAT, "expected %s, found %s", expected, found);
}

static JsonNode *
get (const Section * s, const gchar * key)
{
  return s->object ? json_object_get_member (s->object, key) : NULL;
}

static Section
read_section (const Section * parent, const gchar * key, const gchar * path)
{
  JsonNode *node = get (parent, key);
  Section section = { parent->source, path, NULL, parent->error };

  if (node && JSON_NODE_HOLDS_OBJECT (node))
    section.object = json_node_get_object (node);
  else if (node)
    fail_type (parent, key, node, "an object");
  return section;
}

static gboolean
holds_number (JsonNode * node)
{
  GType type = JSON_NODE_HOLDS_VALUE (node) ? json_node_get_value_type (node)
      : G_TYPE_INVALID;

  return type == G_TYPE_INT64 || type == G_TYPE_DOUBLE;
}

static gint
read_int (const Section * s, const gchar * key, gint fallback, gint min,
    gint max)
{
  JsonNode *node = get (s, key);
  gdouble value;

  if (!node)
    return fallback;
  value = holds_number (node) ? json_node_get_double (node) : 0;
  /* 64.0 is an integer, too */
  if (!holds_number (node) || !(value >= min && value <= max)
      || value != (gint) value) {
    g_autofree gchar *expected =
        g_strdup_printf ("an integer from %d to %d", min, max);

    fail_type (s, key, node, expected);
    return fallback;
  }
  return value;
}

/* One number of @s' key @key; @node is the value or an element of it. */
static gdouble
check_float (const Section * s, const gchar * key, JsonNode * node,
    gdouble fallback, gdouble min, gdouble max)
{
  gdouble value = holds_number (node) ? json_node_get_double (node) : 0;

  if (!holds_number (node) || !(value >= min && value <= max)) {
    g_autofree gchar *expected =
        g_strdup_printf ("a number from %g to %g", min, max);

    fail_type (s, key, node, expected);
    return fallback;
  }
  return value;
}

static gdouble
read_float (const Section * s, const gchar * key, gdouble fallback,
    gdouble min, gdouble max)
{
  JsonNode *node = get (s, key);

  return node ? check_float (s, key, node, fallback, min, max) : fallback;
}

static gboolean
read_boolean (const Section * s, const gchar * key, gboolean fallback)
{
  JsonNode *node = get (s, key);

  if (!node)
    return fallback;
  if (!JSON_NODE_HOLDS_VALUE (node)
      || json_node_get_value_type (node) != G_TYPE_BOOLEAN) {
    fail_type (s, key, node, "true or false");
    return fallback;
  }
  return json_node_get_boolean (node);
}

/* The string @key; NULL if it is absent (or wrong). */
static const gchar *
read_string (const Section * s, const gchar * key)
{
  JsonNode *node = get (s, key);

  if (!node)
    return NULL;
  if (!JSON_NODE_HOLDS_VALUE (node)
      || json_node_get_value_type (node) != G_TYPE_STRING) {
    fail_type (s, key, node, "a string");
    return NULL;
  }
  return json_node_get_string (node);
}

/* Index of the string @key in @choices, NULL-terminated. */
static gint
read_choice (const Section * s, const gchar * key, gint fallback,
    const gchar * const *choices)
{
  const gchar *value = read_string (s, key);

  if (!value)
    return fallback;
  for (gint i = 0; choices[i]; i++)
    if (g_str_equal (choices[i], value))
      return i;
  {
    g_autofree gchar *known = g_strjoinv (", ", (gchar **) choices);

    fail (s, key, CI_ERROR_UNSUPPORTED, "\"%.60s\" is not known here (%s)",
        value, known);
  }
  return fallback;
}

/* Fills @out with the numbers of the array @key, which must have from
 * @min_length to @max_length of them; returns how many, 0 if it is absent. */
static gint
read_floats (const Section * s, const gchar * key, gfloat * out,
    gint min_length, gint max_length, gdouble min, gdouble max)
{
  JsonNode *node = get (s, key);
  JsonArray *array;
  gint n;

  if (!node)
    return 0;
  if (!JSON_NODE_HOLDS_ARRAY (node)) {
    fail_type (s, key, node, "an array of numbers");
    return 0;
  }
  array = json_node_get_array (node);
  n = json_array_get_length (array);
  if (n < min_length || n > max_length) {
    if (min_length == max_length)
      fail (s, key, CI_ERROR_BAD_FORMAT, "expected %d numbers, found %d",
          min_length, n);
    else
      fail (s, key, CI_ERROR_BAD_FORMAT, "expected %d or %d numbers, found %d",
          min_length, max_length, n);
    return 0;
  }
  for (gint i = 0; i < n; i++)
    out[i] = check_float (s, key, json_array_get_element (array, i), min, min,
        max);
  return n;
}

/* ---- the sections ----------------------------------------------------- */

static const gchar *const channel_orders[] = { "BGR", "RGB", NULL };
/* in the order of their enums */
static const gchar *const architectures[] =
    { "condinst", "fcos", "blendmask", NULL };
static const gchar *const backbones[] =
    { "resnet", "mobilenet_v2", "dla", "vovnet", NULL };
static const gchar *const necks[] = { "fpn", "bifpn", NULL };
static const gchar *const norms[] = { "none", "bn", "gn", NULL };

/* The normalisation @key of maps of @channels, a number called @source. */
static CiNorm
read_norm (const Section * s, const gchar * key, gint channels,
    const gchar * source)
{
  CiNorm norm = read_choice (s, key, CI_NORM_NONE, norms);

  if (norm == CI_NORM_GN && channels % CI_NORM_GROUPS)
    fail (s, key, CI_ERROR_BAD_FORMAT, "expected %s to be a multiple of gn's "
        "%d groups, found %d", source, CI_NORM_GROUPS, channels);
  return norm;
}

static void
read_input (const Section * root, CiConfig * config)
{
  /* ImageNet's means in the order B, G, R */
  static const gfloat bgr_mean[3] = { 103.53f, 116.28f, 123.675f };
  Section s = read_section (root, "input", "input.");

  config->input.rgb = read_choice (&s, "channel_order", 0, channel_orders);
  for (gint i = 0; i < 3; i++) {
    config->input.pixel_mean[i] = bgr_mean[config->input.rgb ? 2 - i : i];
    config->input.pixel_std[i] = 1;
  }
  read_floats (&s, "pixel_mean", config->input.pixel_mean, 3, 3, -1e4, 1e4);
  read_floats (&s, "pixel_std", config->input.pixel_std, 3, 3, 1e-3, 1e4);
  config->input.min_size = read_int (&s, "min_size", 800, 1, 16384);
  config->input.max_size = read_int (&s, "max_size",
      MAX (1333, config->input.min_size), 1, 16384);
  if (config->input.max_size < config->input.min_size)
    fail (&s, "max_size", CI_ERROR_BAD_FORMAT,
        "expected at least min_size (%d), found %d", config->input.min_size,
        config->input.max_size);
  config->input.size_divisor = read_int (&s, "size_divisor", 32, 32, 1024);
  if (config->input.size_divisor % 32)
    fail (&s, "size_divisor", CI_ERROR_BAD_FORMAT, "expected a multiple of 32 "
        "(the stride of the backbone), found %d", config->input.size_divisor);
}

static void
read_booleans (const Section * s, const gchar * key, gboolean * out, gint n)
{
  JsonNode *node = get (s, key);
  JsonArray *array = node && JSON_NODE_HOLDS_ARRAY (node) ?
      json_node_get_array (node) : NULL;
  gboolean ok = array && (gint) json_array_get_length (array) == n;

  for (gint i = 0; i < n && ok; i++) {
    JsonNode *element = json_array_get_element (array, i);

    ok = JSON_NODE_HOLDS_VALUE (element)
        && json_node_get_value_type (element) == G_TYPE_BOOLEAN;
    if (ok)
      out[i] = json_node_get_boolean (element);
  }
  if (node && !ok) {
    g_autofree gchar *expected =
        g_strdup_printf ("an array of %d, each true or false", n);

    fail_type (s, key, node, expected);
  }
}

/* The number of layers, which has to be one of @known (0 at the end). */
static gint
read_depth (const Section * s, const gint * known)
{
  g_autoptr (GString) list = g_string_new (NULL);
  gint depth = read_int (s, "depth", known[0], 1, G_MAXINT);

  if (!get (s, "depth"))
    fail (s, "depth", CI_ERROR_BAD_FORMAT, "is missing");
  for (gint i = 0; known[i]; i++) {
    if (known[i] == depth)
      return depth;
    g_string_append_printf (list, "%s%d", i ? ", " : "", known[i]);
  }
  fail (s, "depth", CI_ERROR_UNSUPPORTED, "%d is not known here (%s)", depth,
      list->str);
  return known[0];
}

static void
read_resnet (const Section * s, CiConfig * config)
{
  static const gint depths[] = { 18, 34, 50, 101, 0 };
  gint depth = read_depth (s, depths);
  gint groups = read_int (s, "num_groups", 1, 1, 8192);
  gint width = read_int (s, "width_per_group", 64, 1, 8192);
  gboolean *deform = config->backbone.deform_on_per_stage;

  config->backbone.depth = depth;
  config->backbone.num_groups = groups;
  config->backbone.width_per_group = width;
  config->backbone.stem_out_channels =
      read_int (s, "stem_out_channels", 64, 1, 65536);
  config->backbone.res2_out_channels =
      read_int (s, "res2_out_channels", depth < 50 ? 64 : 256, 1, 65536 / 8);
  config->backbone.stride_in_1x1 = read_boolean (s, "stride_in_1x1", TRUE);
  read_booleans (s, "deform_on_per_stage", deform, 4);
  config->backbone.deform_interval = read_int (s, "deform_interval", 1, 1, 64);
  if (groups * width > 65536 / 8)
    fail (s, "width_per_group", CI_ERROR_BAD_FORMAT,
        "expected at most 8192 channels in res2, found %d groups of %d",
        groups, width);
  if (depth < 50 && groups != 1)
    fail (s, "num_groups", CI_ERROR_UNSUPPORTED,
        "expected 1 at depth %d, found %d", depth, groups);
  if (depth < 50 && (deform[0] || deform[1] || deform[2] || deform[3]))
    fail (s, "deform_on_per_stage", CI_ERROR_UNSUPPORTED,
        "expected no deformable stage at depth %d", depth);
}

static void
read_backbone (const Section * root, CiConfig * config)
{
  static const gint dla_depths[] = { 34, 0 };
  static const gint vovnet_depths[] = { 19, 39, 57, 99, 0 };
  Section s = read_section (root, "backbone", "backbone.");

  if (!get (&s, "type"))
    fail (&s, "type", CI_ERROR_BAD_FORMAT, "is missing");
  config->backbone.type = read_choice (&s, "type", 0, backbones);
  config->backbone.norm = read_choice (&s, "norm", CI_NORM_NONE, norms);
  if (config->backbone.norm == CI_NORM_GN)
    fail (&s, "norm", CI_ERROR_UNSUPPORTED,
        "\"gn\" is not known here (none, bn)");
  switch (config->backbone.type) {
    case CI_BACKBONE_RESNET:
      read_resnet (&s, config);
      break;
    case CI_BACKBONE_MOBILENET_V2:
      config->backbone.width_mult = read_float (&s, "width_mult", 1, 0.1, 4);
      break;
    case CI_BACKBONE_DLA:
      config->backbone.depth = read_depth (&s, dla_depths);
      break;
    case CI_BACKBONE_VOVNET:
      config->backbone.depth = read_depth (&s, vovnet_depths);
      break;
  }
}

static void
read_fpn (const Section * root, CiConfig * config)
{
  Section s = read_section (root, "fpn", "fpn.");

  config->fpn.type = read_choice (&s, "type", CI_NECK_FPN, necks);
  config->fpn.out_channels = read_int (&s, "out_channels", 256, 1, 65536);
  config->fpn.norm = read_norm (&s, "norm", config->fpn.out_channels,
      "fpn.out_channels");
  config->fpn.top_levels = read_int (&s, "top_levels", 2, 0, 2);
  if (config->fpn.type == CI_NECK_FPN) {
    config->fpn.output_convs = read_boolean (&s, "output_convs", TRUE);
    return;
  }
  config->fpn.num_repeats = read_int (&s, "num_repeats", 6, 1, 32);
  /* what the official code has no nodes, or no names, for */
  if (config->fpn.top_levels == 1)
    fail (&s, "top_levels", CI_ERROR_UNSUPPORTED,
        "expected 0 or 2 with a bifpn, found 1");
  if (config->backbone.type != CI_BACKBONE_RESNET
      && config->backbone.type != CI_BACKBONE_MOBILENET_V2)
    fail (&s, "type", CI_ERROR_UNSUPPORTED, "expected a resnet or "
        "mobilenet_v2 under a bifpn, found %s",
        backbones[config->backbone.type]);
}

static void
read_fcos (const Section * root, CiConfig * config)
{
  Section s = read_section (root, "fcos", "fcos.");
  gint n_levels = 3 + config->fpn.top_levels;
  gfloat strides[CI_MAX_LEVELS];
  gfloat *sizes = config->fcos.sizes_of_interest;
  gint n, i;

  config->fcos.n_levels = n_levels;
  for (i = 0; i < n_levels; i++) {
    config->fcos.strides[i] = 8 << i;
    sizes[i] = 64 << i;
  }
  n = read_floats (&s, "strides", strides, n_levels, n_levels, 1, 16384);
  for (i = 0; i < n; i++)
    if (strides[i] != config->fcos.strides[i])
      fail (&s, "strides", CI_ERROR_BAD_FORMAT,
          "expected %d for level P%d, found %g", config->fcos.strides[i],
          i + 3, strides[i]);
  config->fcos.num_share_convs = read_int (&s, "num_share_convs", 0, 0, 32);
  config->fcos.num_cls_convs = read_int (&s, "num_cls_convs", 4, 0, 32);
  config->fcos.num_box_convs = read_int (&s, "num_box_convs", 4, 0, 32);
  config->fcos.norm = read_norm (&s, "norm", config->fpn.out_channels,
      "fpn.out_channels");
  config->fcos.use_deformable = read_boolean (&s, "use_deformable", FALSE);
  config->fcos.prediction_kernel = read_int (&s, "prediction_kernel", 3, 1, 3);
  if (config->fcos.prediction_kernel == 2)
    fail (&s, "prediction_kernel", CI_ERROR_BAD_FORMAT,
        "expected 1 or 3, found 2");
  config->fcos.use_scale = read_boolean (&s, "use_scale", TRUE);
  n = read_floats (&s, "sizes_of_interest", sizes, n_levels - 1, n_levels,
      1, 65536);
  /* the official configs leave the last level out: everything above */
  if (n == n_levels - 1)
    sizes[n] = 2 * sizes[n - 1];
  config->fcos.thresh_with_ctr = read_boolean (&s, "thresh_with_ctr", TRUE);
}

static void
read_condinst (const Section * root, CiConfig * config)
{
  Section s = read_section (root, "condinst", "condinst.");
  Section branch = read_section (&s, "mask_branch", "condinst.mask_branch.");
  Section head = read_section (&s, "mask_head", "condinst.mask_head.");
  gint stride;

  config->condinst.branch_channels =
      read_int (&branch, "channels", 128, 1, 65536);
  config->condinst.branch_num_convs = read_int (&branch, "num_convs", 4, 0, 32);
  config->condinst.branch_out_channels =
      read_int (&branch, "out_channels", 8, 1, 32);
  config->condinst.branch_norm = read_norm (&branch, "norm",
      config->condinst.branch_channels, "channels");
  config->condinst.head_channels = read_int (&head, "channels", 8, 1, 32);
  config->condinst.head_num_layers = read_int (&head, "num_layers", 3, 1, 8);
  config->condinst.rel_coords = read_boolean (&head, "rel_coords", TRUE);
  stride = read_int (&s, "mask_out_stride", 4, 1, 8);
  if (stride & (stride - 1))
    fail (&s, "mask_out_stride", CI_ERROR_BAD_FORMAT,
        "expected 1, 2, 4 or 8, found %d", stride);
  config->condinst.mask_out_stride = stride;
}

static void
read_blendmask (const Section * root, CiConfig * config)
{
  Section s = read_section (root, "blendmask", "blendmask.");

  config->blendmask.num_bases = read_int (&s, "num_bases", 4, 1, 32);
  config->blendmask.attention_size = read_int (&s, "attention_size", 14, 1,
      32);
  config->blendmask.resolution = read_int (&s, "resolution", 56, 1, 256);
  config->blendmask.basis_channels =
      read_int (&s, "basis_channels", 128, 1, 65536);
  config->blendmask.basis_num_convs = read_int (&s, "basis_num_convs", 3, 0,
      32);
  config->blendmask.basis_norm = read_norm (&s, "basis_norm",
      config->blendmask.basis_channels, "basis_channels");
}

static void
read_inference (const Section * root, CiConfig * config)
{
  Section s = read_section (root, "inference", "inference.");

  config->inference.inference_threshold =
      read_float (&s, "inference_threshold", 0.05f, 0, 1);
  config->inference.nms_threshold =
      read_float (&s, "nms_threshold", 0.6, 0, 1);
  config->inference.cross_class_threshold =
      read_float (&s, "cross_class_threshold", 0, 0, 1);
  config->inference.pre_nms_top_k =
      read_int (&s, "pre_nms_top_k", 1000, 1, 5000);
  config->inference.post_nms_top_k =
      read_int (&s, "post_nms_top_k", 100, 1, 1000);
  config->inference.score_threshold =
      read_float (&s, "score_threshold", 0.5f, 0, 1);
}

static void
read_classes (const Section * root, CiConfig * config)
{
  JsonNode *node = get (root, "classes");
  JsonArray *array;

  if (!node || !JSON_NODE_HOLDS_ARRAY (node)) {
    fail (root, "classes", CI_ERROR_BAD_FORMAT, "expected an array of names, "
        "found %s", node ? json_node_type_name (node) : "nothing");
    return;
  }
  array = json_node_get_array (node);
  config->n_classes = json_array_get_length (array);
  if (config->n_classes < 1 || config->n_classes > MAX_CLASSES) {
    fail (root, "classes", CI_ERROR_BAD_FORMAT,
        "expected from 1 to %d names, found %u", MAX_CLASSES,
        config->n_classes);
    config->n_classes = 0;
    return;
  }
  config->classes = g_new0 (gchar *, config->n_classes + 1);
  for (guint i = 0; i < config->n_classes; i++) {
    JsonNode *element = json_array_get_element (array, i);
    const gchar *name = JSON_NODE_HOLDS_VALUE (element)
        && json_node_get_value_type (element) == G_TYPE_STRING
        ? json_node_get_string (element) : "";

    if (!*name || strlen (name) > MAX_CLASS_NAME_BYTES)
      fail (root, "classes", CI_ERROR_BAD_FORMAT, "expected entry %u to be a "
          "string of 1 to %d bytes", i, MAX_CLASS_NAME_BYTES);
    config->classes[i] = g_strdup (name);
  }
}

static void
read_root (const Section * root, CiConfig * config)
{
  const gchar *name = read_string (root, "name");
  gint version = read_int (root, "format_version", 1, 0, G_MAXINT);

  if (version != 1)
    fail (root, "format_version", CI_ERROR_UNSUPPORTED,
        "%d is not known here (1)", version);
  if (!get (root, "architecture"))
    fail (root, "architecture", CI_ERROR_BAD_FORMAT, "is missing");
  config->architecture = read_choice (root, "architecture", 0, architectures);
  if (name && (!*name || strlen (name) > MAX_CLASS_NAME_BYTES))
    fail (root, "name", CI_ERROR_BAD_FORMAT,
        "expected a string of 1 to %d bytes", MAX_CLASS_NAME_BYTES);
  config->name = g_strdup (name ? name : architectures[config->architecture]);
  read_input (root, config);
  read_backbone (root, config);
  read_fpn (root, config);
  read_fcos (root, config);
  switch (config->architecture) {
    case CI_ARCHITECTURE_CONDINST:
      read_condinst (root, config);
      break;
    case CI_ARCHITECTURE_BLENDMASK:
      read_blendmask (root, config);
      break;
    case CI_ARCHITECTURE_FCOS:
      break;
  }
  read_inference (root, config);
  read_classes (root, config);
}

CiConfig *
ci_config_parse (const gchar * json, const gchar * source, GError ** error)
{
  g_autoptr (JsonParser) parser = NULL;
  g_autoptr (CiConfig) config = NULL;
  GError *fault = NULL;
  Section root = { source, "", NULL, &fault };
  gsize size = strlen (json);

  if (size > MAX_JSON_BYTES) {
    g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
        "%s: expected at most %d bytes of JSON, found %" G_GSIZE_FORMAT,
        source, MAX_JSON_BYTES, size);
    return NULL;
  }
  parser = json_parser_new_immutable ();
  if (ci_json_check (json, size, MAX_JSON_DEPTH, &fault)
      && !json_parser_load_from_data (parser, json, size, &fault)) {
    fault->domain = CI_ERROR;
    fault->code = CI_ERROR_BAD_FORMAT;
  }
  if (fault) {
    g_propagate_prefixed_error (error, fault, "%s: ", source);
    return NULL;
  }
  if (!JSON_NODE_HOLDS_OBJECT (json_parser_get_root (parser))) {
    g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
        "%s: expected a JSON object, found %s", source,
        json_node_type_name (json_parser_get_root (parser)));
    return NULL;
  }
  root.object = json_node_get_object (json_parser_get_root (parser));
  config = g_new0 (CiConfig, 1);
  read_root (&root, config);
  if (fault) {
    g_propagate_error (error, fault);
    return NULL;
  }
  return g_steal_pointer (&config);
}

void
ci_config_free (CiConfig * config)
{
  if (!config)
    return;
  g_free (config->name);
  g_strfreev (config->classes);
  g_free (config);
}

const gchar *
ci_architecture_name (CiArchitecture architecture)
{
  return architectures[architecture];
}

gint
ci_config_n_parameters (const CiConfig * config)
{
  gint size = config->blendmask.attention_size;
  gint in = config->condinst.branch_out_channels
      + (config->condinst.rel_coords ? 2 : 0);
  gint n = 0;

  if (config->architecture == CI_ARCHITECTURE_BLENDMASK)
    return config->blendmask.num_bases * size * size;
  for (gint i = 0; i < config->condinst.head_num_layers; i++) {
    gint out = i == config->condinst.head_num_layers - 1 ? 1
        : config->condinst.head_channels;

    n += out * (in + 1);
    in = out;
  }
  return n;
}

/* ---- writing ---------------------------------------------------------- */

/* "key": before a value, with a comma unless it opens its object. */
static void
add_key (GString * out, const gchar * key)
{
  if (out->len && out->str[out->len - 1] != '{')
    g_string_append_c (out, ',');
  ci_json_append_string (out, key);
  g_string_append_c (out, ':');
}

static void
add_string (GString * out, const gchar * key, const gchar * value)
{
  add_key (out, key);
  ci_json_append_string (out, value);
}

static void
add_int (GString * out, const gchar * key, gint value)
{
  add_key (out, key);
  g_string_append_printf (out, "%d", value);
}

static void
add_boolean (GString * out, const gchar * key, gboolean value)
{
  add_key (out, key);
  g_string_append (out, value ? "true" : "false");
}

static void
add_float (GString * out, const gchar * key, gfloat value)
{
  add_key (out, key);
  ci_json_append_float (out, value);
}

static void
add_floats (GString * out, const gchar * key, const gfloat * values, gint n)
{
  add_key (out, key);
  for (gint i = 0; i < n; i++) {
    g_string_append_c (out, i ? ',' : '[');
    ci_json_append_float (out, values[i]);
  }
  g_string_append_c (out, ']');
}

static void
open_section (GString * out, const gchar * key)
{
  add_key (out, key);
  g_string_append_c (out, '{');
}

static void
close_section (GString * out)
{
  g_string_append_c (out, '}');
}

static void
add_backbone (GString * out, const CiConfig * c)
{
  open_section (out, "backbone");
  add_string (out, "type", backbones[c->backbone.type]);
  add_string (out, "norm", norms[c->backbone.norm]);
  if (c->backbone.type == CI_BACKBONE_MOBILENET_V2)
    add_float (out, "width_mult", c->backbone.width_mult);
  else
    add_int (out, "depth", c->backbone.depth);
  if (c->backbone.type == CI_BACKBONE_RESNET) {
    add_int (out, "stem_out_channels", c->backbone.stem_out_channels);
    add_int (out, "res2_out_channels", c->backbone.res2_out_channels);
    add_int (out, "num_groups", c->backbone.num_groups);
    add_int (out, "width_per_group", c->backbone.width_per_group);
    add_boolean (out, "stride_in_1x1", c->backbone.stride_in_1x1);
    add_key (out, "deform_on_per_stage");
    for (gint i = 0; i < 4; i++)
      g_string_append_printf (out, "%s%s", i ? "," : "[",
          c->backbone.deform_on_per_stage[i] ? "true" : "false");
    g_string_append_c (out, ']');
    add_int (out, "deform_interval", c->backbone.deform_interval);
  }
  close_section (out);
}

static void
add_detector (GString * out, const CiConfig * c)
{
  gfloat strides[CI_MAX_LEVELS];

  open_section (out, "fpn");
  add_string (out, "type", necks[c->fpn.type]);
  add_int (out, "out_channels", c->fpn.out_channels);
  add_string (out, "norm", norms[c->fpn.norm]);
  if (c->fpn.type == CI_NECK_FPN)
    add_boolean (out, "output_convs", c->fpn.output_convs);
  else
    add_int (out, "num_repeats", c->fpn.num_repeats);
  add_int (out, "top_levels", c->fpn.top_levels);
  close_section (out);

  for (gint i = 0; i < c->fcos.n_levels; i++)
    strides[i] = c->fcos.strides[i];
  open_section (out, "fcos");
  add_floats (out, "strides", strides, c->fcos.n_levels);
  add_int (out, "num_share_convs", c->fcos.num_share_convs);
  add_int (out, "num_cls_convs", c->fcos.num_cls_convs);
  add_int (out, "num_box_convs", c->fcos.num_box_convs);
  add_string (out, "norm", norms[c->fcos.norm]);
  add_boolean (out, "use_deformable", c->fcos.use_deformable);
  add_int (out, "prediction_kernel", c->fcos.prediction_kernel);
  add_boolean (out, "use_scale", c->fcos.use_scale);
  add_floats (out, "sizes_of_interest", c->fcos.sizes_of_interest,
      c->fcos.n_levels);
  add_boolean (out, "thresh_with_ctr", c->fcos.thresh_with_ctr);
  close_section (out);
}

static void
add_condinst (GString * out, const CiConfig * c)
{
  open_section (out, "condinst");
  open_section (out, "mask_branch");
  add_int (out, "channels", c->condinst.branch_channels);
  add_int (out, "num_convs", c->condinst.branch_num_convs);
  add_int (out, "out_channels", c->condinst.branch_out_channels);
  add_string (out, "norm", norms[c->condinst.branch_norm]);
  close_section (out);
  open_section (out, "mask_head");
  add_int (out, "channels", c->condinst.head_channels);
  add_int (out, "num_layers", c->condinst.head_num_layers);
  add_boolean (out, "rel_coords", c->condinst.rel_coords);
  close_section (out);
  add_int (out, "mask_out_stride", c->condinst.mask_out_stride);
  close_section (out);
}

static void
add_blendmask (GString * out, const CiConfig * c)
{
  open_section (out, "blendmask");
  add_int (out, "num_bases", c->blendmask.num_bases);
  add_int (out, "attention_size", c->blendmask.attention_size);
  add_int (out, "resolution", c->blendmask.resolution);
  add_int (out, "basis_channels", c->blendmask.basis_channels);
  add_int (out, "basis_num_convs", c->blendmask.basis_num_convs);
  add_string (out, "basis_norm", norms[c->blendmask.basis_norm]);
  close_section (out);
}

gchar *
ci_config_to_json (const CiConfig * c)
{
  GString *out = g_string_new ("{");

  add_int (out, "format_version", 1);
  add_string (out, "name", c->name);
  add_string (out, "architecture", architectures[c->architecture]);

  open_section (out, "input");
  add_string (out, "channel_order", channel_orders[c->input.rgb]);
  add_floats (out, "pixel_mean", c->input.pixel_mean, 3);
  add_floats (out, "pixel_std", c->input.pixel_std, 3);
  add_int (out, "min_size", c->input.min_size);
  add_int (out, "max_size", c->input.max_size);
  add_int (out, "size_divisor", c->input.size_divisor);
  close_section (out);

  add_backbone (out, c);
  add_detector (out, c);
  if (c->architecture == CI_ARCHITECTURE_CONDINST)
    add_condinst (out, c);
  else if (c->architecture == CI_ARCHITECTURE_BLENDMASK)
    add_blendmask (out, c);

  open_section (out, "inference");
  add_float (out, "inference_threshold", c->inference.inference_threshold);
  add_float (out, "nms_threshold", c->inference.nms_threshold);
  add_float (out, "cross_class_threshold",
      c->inference.cross_class_threshold);
  add_int (out, "pre_nms_top_k", c->inference.pre_nms_top_k);
  add_int (out, "post_nms_top_k", c->inference.post_nms_top_k);
  add_float (out, "score_threshold", c->inference.score_threshold);
  close_section (out);

  add_key (out, "classes");
  for (guint i = 0; i < c->n_classes; i++) {
    g_string_append_c (out, i ? ',' : '[');
    ci_json_append_string (out, c->classes[i]);
  }
  g_string_append (out, "]}");
  return g_string_free (out, FALSE);
}
