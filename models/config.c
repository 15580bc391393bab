/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <string.h>

#include "blocks.h"
#include "json.h"
#include "method.h"
#include "section.h"

#define MAX_JSON_BYTES (1024 * 1024)
#define MAX_JSON_DEPTH 16
#define MAX_CLASSES 10000
#define MAX_CLASS_NAME_BYTES 256

/* ---- the sections ----------------------------------------------------- */

static const gchar *const channel_orders[] = { "BGR", "RGB", NULL };
static const gchar *const size_rules[] =
    { "shortest_edge", "keep_ratio", "keep_ratio_floor", "fixed", NULL };
static const gchar *const interpolations[] =
    { "pillow", "bilinear", "opencv", NULL };

/* in the order of their enums */
const gchar *const ci_backbone_names[] =
    { "resnet", "mobilenet_v2", "dla", "vovnet", "darknet", NULL };

static void
read_input (const CiSection * root, CiConfig * config)
{
  /* ImageNet's means in the order B, G, R */
  static const gfloat bgr_mean[3] = { 103.53f, 116.28f, 123.675f };
  CiSection s = ci_section_open (root, "input", "input.");

  config->input.rgb =
      ci_section_choice (&s, "channel_order", 0, channel_orders);
  for (gint i = 0; i < 3; i++) {
    config->input.pixel_mean[i] = bgr_mean[config->input.rgb ? 2 - i : i];
    config->input.pixel_std[i] = 1;
  }
  ci_section_floats (&s, "pixel_mean", config->input.pixel_mean, 3, 3, -1e4,
      1e4);
  ci_section_floats (&s, "pixel_std", config->input.pixel_std, 3, 3, 1e-3,
      1e4);
  config->input.size_rule = ci_section_choice (&s, "resize",
      CI_SIZE_SHORTEST_EDGE, size_rules);
  config->input.interpolation = ci_section_choice (&s, "interpolation",
      CI_RESIZE_EXACT, interpolations);
  config->input.min_size = ci_section_int (&s, "min_size", 800, 1, 16384);
  config->input.max_size = ci_section_int (&s, "max_size",
      MAX (1333, config->input.min_size), 1, 16384);
  if (config->input.max_size < config->input.min_size)
    ci_section_fail (&s, "max_size", CI_ERROR_BAD_FORMAT,
        "expected at least min_size (%d), found %d", config->input.min_size,
        config->input.max_size);
  config->input.size_divisor =
      ci_section_int (&s, "size_divisor", 32, 1, 1024);
}

/* How tensors are called: as in detectron2, torchvision, ... */
static gint
read_resnet_names (const CiSection * s)
{
  const gchar *names[CI_N_RESNET_NAMES + 1] = { NULL };

  for (gint i = 0; i < CI_N_RESNET_NAMES; i++)
    names[i] = ci_resnet_names[i].name;
  return ci_section_choice (s, "names", 0, names);
}

static void
read_resnet (const CiSection * s, CiConfig * config)
{
  static const gint depths[] = { 18, 34, 50, 101, 152, 0 };
  gint depth = ci_section_one_of (s, "depth", depths);
  gint groups = ci_section_int (s, "num_groups", 1, 1, 8192);
  gint width = ci_section_int (s, "width_per_group", 64, 1, 8192);
  gboolean *deform = config->backbone.deform_on_per_stage;

  config->backbone.names = read_resnet_names (s);
  config->backbone.depth = depth;
  config->backbone.num_groups = groups;
  config->backbone.width_per_group = width;
  config->backbone.stem_out_channels =
      ci_section_int (s, "stem_out_channels", 64, 1, 65536);
  config->backbone.res2_out_channels =
      ci_section_int (s, "res2_out_channels", depth < 50 ? 64 : 256, 1,
      65536 / 8);
  config->backbone.stride_in_1x1 =
      ci_section_boolean (s, "stride_in_1x1", TRUE);
  ci_section_booleans (s, "deform_on_per_stage", deform, 4);
  config->backbone.deform_interval =
      ci_section_int (s, "deform_interval", 1, 1, 64);
  if (groups * width > 65536 / 8)
    ci_section_fail (s, "width_per_group", CI_ERROR_BAD_FORMAT,
        "expected at most 8192 channels in res2, found %d groups of %d",
        groups, width);
  if (depth < 50 && groups != 1)
    ci_section_fail (s, "num_groups", CI_ERROR_UNSUPPORTED,
        "expected 1 at depth %d, found %d", depth, groups);
  if (depth < 50 && (deform[0] || deform[1] || deform[2] || deform[3]))
    ci_section_fail (s, "deform_on_per_stage", CI_ERROR_UNSUPPORTED,
        "expected no deformable stage at depth %d", depth);
}

static void
read_backbone (const CiSection * root, CiConfig * config)
{
  static const gint dla_depths[] = { 34, 0 };
  static const gint vovnet_depths[] = { 19, 39, 57, 99, 0 };
  static const gint darknet_depths[] = { 53, 0 };
  CiSection s = ci_section_open (root, "backbone", "backbone.");

  if (!ci_section_get (&s, "type"))
    ci_section_fail (&s, "type", CI_ERROR_BAD_FORMAT, "is missing");
  config->backbone.type = ci_section_choice (&s, "type", 0, ci_backbone_names);
  config->backbone.norm =
      ci_section_choice (&s, "norm", CI_NORM_NONE, ci_norm_names);
  if (config->backbone.norm == CI_NORM_GN)
    ci_section_fail (&s, "norm", CI_ERROR_UNSUPPORTED,
        "\"gn\" is not known here (none, bn)");
  config->backbone.norm_eps = ci_section_float (&s, "norm_eps", 1e-5, 0, 1);
  switch (config->backbone.type) {
    case CI_BACKBONE_RESNET:
      read_resnet (&s, config);
      break;
    case CI_BACKBONE_MOBILENET_V2:
      config->backbone.width_mult =
          ci_section_float (&s, "width_mult", 1, 0.1, 4);
      break;
    case CI_BACKBONE_DLA:
      config->backbone.depth = ci_section_one_of (&s, "depth", dla_depths);
      break;
    case CI_BACKBONE_VOVNET:
      config->backbone.depth = ci_section_one_of (&s, "depth", vovnet_depths);
      break;
    case CI_BACKBONE_DARKNET:
      config->backbone.depth = ci_section_one_of (&s, "depth", darknet_depths);
      config->backbone.stem_out_channels =
          ci_section_int (&s, "stem_out_channels", 32, 1, 65536 / 32);
      break;
  }
}

static void
read_inference (const CiSection * root, CiConfig * config)
{
  CiSection s = ci_section_open (root, "inference", "inference.");

  config->inference.inference_threshold =
      ci_section_float (&s, "inference_threshold", 0.05f, 0, 1);
  config->inference.nms_threshold =
      ci_section_float (&s, "nms_threshold", 0.6, 0, 1);
  config->inference.cross_class_threshold =
      ci_section_float (&s, "cross_class_threshold", 0, 0, 1);
  config->inference.pre_nms_top_k =
      ci_section_int (&s, "pre_nms_top_k", 1000, 1, 5000);
  config->inference.post_nms_top_k =
      ci_section_int (&s, "post_nms_top_k", 100, 1, 1000);
  config->inference.score_threshold =
      ci_section_float (&s, "score_threshold", 0.5f, 0, 1);
}

static void
read_classes (const CiSection * root, CiConfig * config)
{
  JsonNode *node = ci_section_get (root, "classes");
  JsonArray *array;

  if (!node || !JSON_NODE_HOLDS_ARRAY (node)) {
    ci_section_fail (root, "classes", CI_ERROR_BAD_FORMAT,
        "expected an array of names, " "found %s",
        node ? json_node_type_name (node) : "nothing");
    return;
  }
  array = json_node_get_array (node);
  config->n_classes = json_array_get_length (array);
  if (config->n_classes < 1 || config->n_classes > MAX_CLASSES) {
    ci_section_fail (root, "classes", CI_ERROR_BAD_FORMAT,
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
      ci_section_fail (root, "classes", CI_ERROR_BAD_FORMAT,
          "expected entry %u to be a " "string of 1 to %d bytes", i,
          MAX_CLASS_NAME_BYTES);
    config->classes[i] = g_strdup (name);
  }
}

static void
read_root (const CiSection * root, CiConfig * config)
{
  const gchar *names[CI_N_ARCHITECTURES + 1] = { NULL };
  const gchar *name = ci_section_string (root, "name");
  gint version = ci_section_int (root, "format_version", 1, 0, G_MAXINT);

  for (gint i = 0; i < CI_N_ARCHITECTURES; i++)
    names[i] = ci_methods[i]->name;
  if (version != 1)
    ci_section_fail (root, "format_version", CI_ERROR_UNSUPPORTED,
        "%d is not known here (1)", version);
  if (!ci_section_get (root, "architecture"))
    ci_section_fail (root, "architecture", CI_ERROR_BAD_FORMAT, "is missing");
  config->architecture = ci_section_choice (root, "architecture", 0, names);
  if (name && (!*name || strlen (name) > MAX_CLASS_NAME_BYTES))
    ci_section_fail (root, "name", CI_ERROR_BAD_FORMAT,
        "expected a string of 1 to %d bytes", MAX_CLASS_NAME_BYTES);
  config->name = g_strdup (name ? name : names[config->architecture]);
  read_input (root, config);
  read_backbone (root, config);
  ci_methods[config->architecture]->read (root, config);
  read_inference (root, config);
  read_classes (root, config);
}

CiConfig *
ci_config_parse (const gchar * json, const gchar * source, GError ** error)
{
  g_autoptr (JsonParser) parser = NULL;
  g_autoptr (CiConfig) config = NULL;
  GError *fault = NULL;
  CiSection root = { source, "", NULL, &fault };
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
  return ci_methods[architecture]->name;
}

/* ---- writing ---------------------------------------------------------- */

static void
add_backbone (GString * out, const CiConfig * c)
{
  ci_write_open (out, "backbone");
  ci_write_string (out, "type", ci_backbone_names[c->backbone.type]);
  ci_write_string (out, "norm", ci_norm_names[c->backbone.norm]);
  if (c->backbone.type == CI_BACKBONE_MOBILENET_V2)
    ci_write_float (out, "width_mult", c->backbone.width_mult);
  else
    ci_write_int (out, "depth", c->backbone.depth);
  ci_write_float (out, "norm_eps", c->backbone.norm_eps);
  if (c->backbone.type == CI_BACKBONE_DARKNET)
    ci_write_int (out, "stem_out_channels", c->backbone.stem_out_channels);
  if (c->backbone.type == CI_BACKBONE_RESNET) {
    ci_write_string (out, "names", ci_resnet_names[c->backbone.names].name);
    ci_write_int (out, "stem_out_channels", c->backbone.stem_out_channels);
    ci_write_int (out, "res2_out_channels", c->backbone.res2_out_channels);
    ci_write_int (out, "num_groups", c->backbone.num_groups);
    ci_write_int (out, "width_per_group", c->backbone.width_per_group);
    ci_write_boolean (out, "stride_in_1x1", c->backbone.stride_in_1x1);
    ci_write_booleans (out, "deform_on_per_stage",
        c->backbone.deform_on_per_stage, 4);
    ci_write_int (out, "deform_interval", c->backbone.deform_interval);
  }
  ci_write_close (out);
}

gchar *
ci_config_to_json (const CiConfig * c)
{
  GString *out = g_string_new ("{");

  ci_write_int (out, "format_version", 1);
  ci_write_string (out, "name", c->name);
  ci_write_string (out, "architecture", ci_methods[c->architecture]->name);

  ci_write_open (out, "input");
  ci_write_string (out, "channel_order", channel_orders[c->input.rgb]);
  ci_write_floats (out, "pixel_mean", c->input.pixel_mean, 3);
  ci_write_floats (out, "pixel_std", c->input.pixel_std, 3);
  ci_write_string (out, "resize", size_rules[c->input.size_rule]);
  ci_write_string (out, "interpolation",
      interpolations[c->input.interpolation]);
  ci_write_int (out, "min_size", c->input.min_size);
  ci_write_int (out, "max_size", c->input.max_size);
  ci_write_int (out, "size_divisor", c->input.size_divisor);
  ci_write_close (out);

  add_backbone (out, c);
  ci_methods[c->architecture]->write (out, c);

  ci_write_open (out, "inference");
  ci_write_float (out, "inference_threshold",
      c->inference.inference_threshold);
  ci_write_float (out, "nms_threshold", c->inference.nms_threshold);
  ci_write_float (out, "cross_class_threshold",
      c->inference.cross_class_threshold);
  ci_write_int (out, "pre_nms_top_k", c->inference.pre_nms_top_k);
  ci_write_int (out, "post_nms_top_k", c->inference.post_nms_top_k);
  ci_write_float (out, "score_threshold", c->inference.score_threshold);
  ci_write_close (out);

  ci_write_key (out, "classes");
  for (guint i = 0; i < c->n_classes; i++) {
    g_string_append_c (out, i ? ',' : '[');
    ci_json_append_string (out, c->classes[i]);
  }
  g_string_append (out, "]}");
  return g_string_free (out, FALSE);
}
