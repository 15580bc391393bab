/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <gst/check/gstcheck.h>

#include <string.h>

#include "models/config.h"

/* As models/train/weights.py writes it. */
static const gchar light[] = "{\"format_version\":1,"
    "\"name\":\"condinst-light\",\"architecture\":\"condinst\","
    "\"input\":{\"channel_order\":\"RGB\","
    "\"pixel_mean\":[123.675,116.28,103.53],"
    "\"pixel_std\":[58.395,57.12,57.375],\"min_size\":288,\"max_size\":512,"
    "\"size_divisor\":32},"
    "\"backbone\":{\"type\":\"mobilenet_v2\",\"width_mult\":1.0},"
    "\"fpn\":{\"out_channels\":96,\"output_convs\":false,\"top_levels\":1},"
    "\"fcos\":{\"strides\":[8,16,32,64],\"num_share_convs\":0,"
    "\"num_cls_convs\":2,\"num_box_convs\":2,\"norm\":\"none\","
    "\"prediction_kernel\":1,\"use_scale\":true,"
    "\"sizes_of_interest\":[48,96,192],\"thresh_with_ctr\":true},"
    "\"condinst\":{\"mask_branch\":{\"channels\":64,\"num_convs\":2,"
    "\"out_channels\":8},\"mask_head\":{\"channels\":8,\"num_layers\":3},"
    "\"mask_out_stride\":4},"
    "\"inference\":{\"inference_threshold\":0.05,\"nms_threshold\":0.6,"
    "\"pre_nms_top_k\":1000,\"post_nms_top_k\":100,"
    "\"score_threshold\":0.35},"
    "\"classes\":[\"person\",\"cat\",\"traffic \\\"light\\\"\"],"
    "\"training\":{\"epochs\":[1,2,{\"x\":null}]}}";

static CiConfig *
parse_ok (const gchar * json)
{
  GError *error = NULL;
  CiConfig *config = ci_config_parse (json, "test", &error);

  fail_unless (config, "%s", error ? error->message : "no error set");
  return config;
}

static void
check_bad (const gchar * json, CiError code, const gchar * wanted)
{
  g_auto (GStrv) parts = g_strsplit (wanted, "|", -1);
  GError *error = NULL;

  fail_if (ci_config_parse (json, "m.safetensors", &error), "%s", json);
  fail_unless (error, "no error for %s", json);
  fail_unless (error->domain == CI_ERROR && error->code == (gint) code,
      "code %d: %s", error->code, error->message);
  fail_unless (g_str_has_prefix (error->message, "m.safetensors: "), "%s",
      error->message);
  for (guint i = 0; parts[i]; i++)
    fail_unless (strstr (error->message, parts[i]), "no \"%s\" in \"%s\"",
        parts[i], error->message);
  g_error_free (error);
}

static void
check_light (const CiConfig * c)
{
  fail_unless_equals_string (c->name, "condinst-light");
  fail_unless_equals_int (c->architecture, CI_ARCHITECTURE_CONDINST);
  fail_unless (c->input.rgb);
  fail_unless (c->input.pixel_mean[0] == 123.675f);
  fail_unless (c->input.pixel_std[2] == 57.375f);
  fail_unless_equals_int (c->input.min_size, 288);
  fail_unless_equals_int (c->input.max_size, 512);
  fail_unless_equals_int (c->backbone.type, CI_BACKBONE_MOBILENET_V2);
  fail_unless_equals_int (c->backbone.norm, CI_NORM_NONE);
  fail_unless (c->backbone.width_mult == 1);
  fail_unless_equals_int (c->fpn.out_channels, 96);
  fail_if (c->fpn.output_convs);
  fail_unless_equals_int (c->fcos.n_levels, 4);
  fail_unless_equals_int (c->fcos.strides[3], 64);
  fail_unless_equals_int (c->fcos.num_cls_convs, 2);
  fail_unless_equals_int (c->fcos.prediction_kernel, 1);
  fail_unless_equals_int (c->fcos.norm, CI_NORM_NONE);
  fail_unless (c->fcos.sizes_of_interest[2] == 192);
  /* the last level's is left out and twice the one before */
  fail_unless (c->fcos.sizes_of_interest[3] == 384);
  fail_unless_equals_int (c->condinst.branch_channels, 64);
  fail_unless_equals_int (c->condinst.branch_num_convs, 2);
  fail_unless (c->condinst.rel_coords);
  fail_unless (c->inference.score_threshold == 0.35f);
  fail_unless_equals_int (c->n_classes, 3);
  fail_unless_equals_string (c->classes[2], "traffic \"light\"");
  fail_unless (c->classes[3] == NULL);
  fail_unless_equals_int (ci_config_n_parameters (c), 169);
}

GST_START_TEST (test_config_light)
{
  g_autoptr (CiConfig) config = parse_ok (light);
  g_autoptr (CiConfig) again = NULL;
  g_autofree gchar *json = ci_config_to_json (config);
  g_autofree gchar *json_again = NULL;

  check_light (config);
  again = parse_ok (json);
  check_light (again);
  json_again = ci_config_to_json (again);
  fail_unless_equals_string (json, json_again);
  /* readable figures instead of a float's 17 digits */
  fail_unless (strstr (json, "[123.675,116.28,103.53]"), "%s", json);
}

GST_END_TEST;

/* What is left out is as in the official configuration of CondInst. */
GST_START_TEST (test_config_defaults)
{
  g_autoptr (CiConfig) c = parse_ok ("{\"architecture\":\"condinst\","
      "\"backbone\":{\"type\":\"resnet\",\"depth\":101,\"norm\":\"bn\"},"
      "\"fcos\":{\"norm\":\"gn\"},\"classes\":[\"x\"]}");

  fail_unless_equals_string (c->name, "condinst");
  fail_if (c->input.rgb);
  fail_unless (c->input.pixel_mean[0] == 103.53f);
  fail_unless (c->input.pixel_std[0] == 1);
  fail_unless_equals_int (c->input.min_size, 800);
  fail_unless_equals_int (c->input.max_size, 1333);
  fail_unless_equals_int (c->input.size_divisor, 32);
  fail_unless_equals_int (c->backbone.depth, 101);
  fail_unless_equals_int (c->backbone.norm, CI_NORM_BN);
  fail_unless_equals_int (c->backbone.stem_out_channels, 64);
  fail_unless_equals_int (c->backbone.res2_out_channels, 256);
  fail_unless_equals_int (c->backbone.num_groups, 1);
  fail_unless_equals_int (c->backbone.width_per_group, 64);
  fail_unless (c->backbone.stride_in_1x1);
  fail_unless_equals_int (c->fpn.out_channels, 256);
  fail_unless (c->fpn.output_convs);
  fail_unless_equals_int (c->fcos.n_levels, 5);
  fail_unless_equals_int (c->fcos.strides[4], 128);
  fail_unless (c->fcos.sizes_of_interest[0] == 64);
  fail_unless (c->fcos.sizes_of_interest[4] == 1024);
  fail_unless_equals_int (c->fcos.num_cls_convs, 4);
  fail_unless_equals_int (c->fcos.norm, CI_NORM_GN);
  fail_unless_equals_int (c->fcos.prediction_kernel, 3);
  fail_unless (c->fcos.use_scale);
  fail_unless (c->fcos.thresh_with_ctr);
  fail_unless_equals_int (c->condinst.branch_channels, 128);
  fail_unless_equals_int (c->condinst.branch_num_convs, 4);
  fail_unless_equals_int (c->condinst.branch_out_channels, 8);
  fail_unless_equals_int (c->condinst.branch_norm, CI_NORM_NONE);
  fail_unless_equals_int (c->condinst.mask_out_stride, 4);
  fail_unless (c->inference.inference_threshold == 0.05f);
  fail_unless (c->inference.nms_threshold == 0.6);
  fail_unless_equals_int (c->inference.pre_nms_top_k, 1000);
  fail_unless_equals_int (c->inference.post_nms_top_k, 100);
}

GST_END_TEST;

/* A description with one part replaced. */
#define RESNET "\"backbone\":{\"type\":\"resnet\",\"depth\":50}"
#define WITH(part) "{\"architecture\":\"condinst\"," RESNET "," part "," \
    "\"classes\":[\"x\"]}"
#define BACKBONE(part) "{\"architecture\":\"condinst\"," \
    "\"backbone\":{" part "},\"classes\":[\"x\"]}"
#define CLASSES(part) "{\"architecture\":\"condinst\"," RESNET "," \
    "\"classes\":" part "}"

GST_START_TEST (test_config_n_parameters)
{
  /* BoxInst: 16 mask features */
  g_autoptr (CiConfig) box =
      parse_ok (WITH ("\"condinst\":{\"mask_branch\":{\"out_channels\":16}}"));
  g_autoptr (CiConfig) plain =
      parse_ok (WITH ("\"condinst\":{\"mask_head\":{\"rel_coords\":false}}"));

  fail_unless_equals_int (ci_config_n_parameters (box), 233);
  fail_unless_equals_int (ci_config_n_parameters (plain), 153);
}

GST_END_TEST;

/* What is read is what is written, section by section; sections of other
 * architectures neither count nor come back. */
GST_START_TEST (test_config_family)
{
  static const gchar fcos[] = "{\"architecture\":\"fcos\","
      "\"backbone\":{\"type\":\"resnet\",\"depth\":101,\"num_groups\":32,"
      "\"width_per_group\":8,\"stride_in_1x1\":false,"
      "\"deform_on_per_stage\":[false,false,true,true],"
      "\"deform_interval\":3},\"fcos\":{\"norm\":\"bn\","
      "\"use_deformable\":true},\"condinst\":{\"mask_out_stride\":3},"
      "\"classes\":[\"x\"]}";
  static const gchar blendmask[] = "{\"architecture\":\"blendmask\","
      "\"backbone\":{\"type\":\"dla\",\"depth\":34,\"norm\":\"bn\"},"
      "\"fpn\":{\"top_levels\":0},\"blendmask\":{\"num_bases\":5,"
      "\"attention_size\":7,\"resolution\":28,\"basis_channels\":64,"
      "\"basis_num_convs\":2,\"basis_norm\":\"bn\"},\"classes\":[\"x\"]}";
  static const gchar bifpn[] = "{\"architecture\":\"condinst\","
      "\"backbone\":{\"type\":\"resnet\",\"depth\":50},"
      "\"fpn\":{\"type\":\"bifpn\",\"out_channels\":160,\"norm\":\"bn\","
      "\"num_repeats\":5},\"classes\":[\"x\"]}";
  static const gchar vovnet[] = "{\"architecture\":\"fcos\","
      "\"backbone\":{\"type\":\"vovnet\",\"depth\":57},"
      "\"classes\":[\"x\"]}";
  const gchar *const all[] = { fcos, blendmask, bifpn, vovnet };
  CiConfig *parsed[4];
  const CiConfig *c;

  for (guint i = 0; i < 4; i++) {
    g_autoptr (CiConfig) config = parse_ok (all[i]);
    g_autofree gchar *json = ci_config_to_json (config);
    g_autofree gchar *again = NULL;

    parsed[i] = parse_ok (json);
    again = ci_config_to_json (parsed[i]);
    fail_unless_equals_string (json, again);
    fail_unless (!strstr (json, "mask_branch") == (i != 2), "%s", json);
    fail_unless (!strstr (json, "num_bases") == (i != 1), "%s", json);
  }
  c = parsed[0];
  fail_unless_equals_int (c->architecture, CI_ARCHITECTURE_FCOS);
  fail_unless_equals_int (c->backbone.num_groups, 32);
  fail_unless_equals_int (c->backbone.deform_interval, 3);
  fail_if (c->backbone.deform_on_per_stage[1]);
  fail_unless (c->backbone.deform_on_per_stage[2]
      && c->backbone.deform_on_per_stage[3]);
  fail_unless_equals_int (c->fcos.norm, CI_NORM_BN);
  fail_unless (c->fcos.use_deformable);
  c = parsed[1];
  fail_unless_equals_int (c->architecture, CI_ARCHITECTURE_BLENDMASK);
  fail_unless_equals_int (c->backbone.type, CI_BACKBONE_DLA);
  fail_unless_equals_int (c->fcos.n_levels, 3);
  fail_unless_equals_int (c->blendmask.num_bases, 5);
  fail_unless_equals_int (c->blendmask.resolution, 28);
  fail_unless_equals_int (c->blendmask.basis_channels, 64);
  fail_unless_equals_int (c->blendmask.basis_num_convs, 2);
  fail_unless_equals_int (c->blendmask.basis_norm, CI_NORM_BN);
  fail_unless_equals_int (ci_config_n_parameters (c), 5 * 7 * 7);
  c = parsed[2];
  fail_unless_equals_int (c->fpn.type, CI_NECK_BIFPN);
  fail_unless_equals_int (c->fpn.norm, CI_NORM_BN);
  fail_unless_equals_int (c->fpn.num_repeats, 5);
  c = parsed[3];
  fail_unless_equals_int (c->backbone.type, CI_BACKBONE_VOVNET);
  fail_unless_equals_int (c->backbone.depth, 57);
  for (guint i = 0; i < 4; i++)
    ci_config_free (parsed[i]);
}

GST_END_TEST;

static const struct
{
  const gchar *json;
  CiError code;
  const gchar *message;
} bad[] = {
  {"", CI_ERROR_BAD_FORMAT, "a value|the end"},
  {"nul", CI_ERROR_BAD_FORMAT, "a value|'n'"},
  {"7", CI_ERROR_BAD_FORMAT, "a JSON object"},
  {"[]", CI_ERROR_BAD_FORMAT, "a JSON object"},
  {"{\"a\":1,}", CI_ERROR_BAD_FORMAT, "a string|'}'"},
  {"{'a':1}", CI_ERROR_BAD_FORMAT, "a string"},
  {"{\"a\":01}", CI_ERROR_BAD_FORMAT, "a number"},
  {"{\"a\":1.}", CI_ERROR_BAD_FORMAT, "a digit"},
  {"{\"a\":1e}", CI_ERROR_BAD_FORMAT, "a digit"},
  {"{\"a\":-}", CI_ERROR_BAD_FORMAT, "a number"},
  {"{\"a\":1} // x", CI_ERROR_BAD_FORMAT, "the end|'/'"},
  {"{\"a\":NaN}", CI_ERROR_BAD_FORMAT, "a value|'N'"},
  {"{\"a\":1,\"a\":2}", CI_ERROR_BAD_FORMAT, "\"a\"|twice"},
  {"{\"b\":[{\"a\":1,\"\\u0061\":2}]}", CI_ERROR_BAD_FORMAT, "\"a\"|twice"},
  {"{\"a\":99999999999999999999}", CI_ERROR_BAD_FORMAT,
      "64-bit|99999999999999999999"},
  {"{}", CI_ERROR_BAD_FORMAT, "architecture: is missing"},
  {"{\"architecture\":\"yolo\"," RESNET ",\"classes\":[\"x\"]}",
      CI_ERROR_UNSUPPORTED, "architecture|yolo|condinst"},
  {"{\"architecture\":7," RESNET ",\"classes\":[\"x\"]}",
      CI_ERROR_BAD_FORMAT, "architecture: expected a string, found 7"},
  {"{\"architecture\":\"condinst\",\"classes\":[\"x\"]}",
      CI_ERROR_BAD_FORMAT, "backbone.type: is missing"},
  {WITH ("\"format_version\":2"), CI_ERROR_UNSUPPORTED, "format_version|2"},
  {WITH ("\"name\":\"\""), CI_ERROR_BAD_FORMAT, "name"},
  {WITH ("\"fpn\":[]"), CI_ERROR_BAD_FORMAT, "fpn|an object|Array"},
  {WITH ("\"fpn\":null"), CI_ERROR_BAD_FORMAT, "fpn|an object"},
  {BACKBONE ("\"type\":\"vit\""), CI_ERROR_UNSUPPORTED,
      "backbone.type|vit|resnet, mobilenet_v2"},
  {BACKBONE ("\"type\":\"resnet\""), CI_ERROR_BAD_FORMAT,
      "backbone.depth: is missing"},
  {BACKBONE ("\"type\":\"resnet\",\"depth\":51"), CI_ERROR_UNSUPPORTED,
      "backbone.depth|51|18, 34, 50, 101, 152"},
  {BACKBONE ("\"type\":\"resnet\",\"depth\":50,\"norm\":\"gn\""),
      CI_ERROR_UNSUPPORTED, "backbone.norm|gn"},
  {BACKBONE ("\"type\":\"resnet\",\"depth\":50,\"stem_out_channels\":0"),
      CI_ERROR_BAD_FORMAT, "backbone.stem_out_channels|1 to 65536|found 0"},
  {BACKBONE ("\"type\":\"resnet\",\"depth\":50,\"num_groups\":8192,"
            "\"width_per_group\":8192"), CI_ERROR_BAD_FORMAT,
      "backbone.width_per_group|8192 groups of 8192"},
  {BACKBONE ("\"type\":\"resnet\",\"depth\":18,\"num_groups\":2"),
      CI_ERROR_UNSUPPORTED, "backbone.num_groups"},
  {BACKBONE ("\"type\":\"resnet\",\"depth\":34,"
            "\"deform_on_per_stage\":[false,false,false,true]"),
      CI_ERROR_UNSUPPORTED, "backbone.deform_on_per_stage|34"},
  {BACKBONE ("\"type\":\"resnet\",\"depth\":50,"
            "\"deform_on_per_stage\":[false,true]"), CI_ERROR_BAD_FORMAT,
      "backbone.deform_on_per_stage|array of 4"},
  {BACKBONE ("\"type\":\"resnet\",\"depth\":50,"
            "\"deform_on_per_stage\":[0,1,1,1]"), CI_ERROR_BAD_FORMAT,
      "backbone.deform_on_per_stage|true or false"},
  {BACKBONE ("\"type\":\"resnet\",\"depth\":50,\"deform_interval\":0"),
      CI_ERROR_BAD_FORMAT, "backbone.deform_interval"},
  {BACKBONE ("\"type\":\"dla\",\"depth\":60"), CI_ERROR_UNSUPPORTED,
      "backbone.depth|60|34"},
  {BACKBONE ("\"type\":\"vovnet\",\"depth\":27"), CI_ERROR_UNSUPPORTED,
      "backbone.depth|27|19, 39, 57, 99"},
  {BACKBONE ("\"type\":\"dla\",\"depth\":34},\"fpn\":{\"type\":\"bifpn\""),
      CI_ERROR_UNSUPPORTED, "fpn.type|bifpn|dla"},
  {WITH ("\"fpn\":{\"type\":\"pan\"}"), CI_ERROR_UNSUPPORTED,
      "fpn.type|pan|fpn, bifpn"},
  {WITH ("\"fpn\":{\"type\":\"bifpn\",\"top_levels\":1}"),
      CI_ERROR_UNSUPPORTED, "fpn.top_levels|0 or 2"},
  {WITH ("\"fpn\":{\"type\":\"bifpn\",\"num_repeats\":0}"),
      CI_ERROR_BAD_FORMAT, "fpn.num_repeats"},
  {WITH ("\"fpn\":{\"out_channels\":48,\"norm\":\"gn\"}"),
      CI_ERROR_BAD_FORMAT, "fpn.norm|32|48"},
  {WITH ("\"condinst\":{\"mask_branch\":{\"channels\":16,\"norm\":\"gn\"}}"),
      CI_ERROR_BAD_FORMAT, "condinst.mask_branch.norm|32|16"},
  {"{\"architecture\":\"blendmask\"," RESNET ","
        "\"blendmask\":{\"num_bases\":0},\"classes\":[\"x\"]}",
      CI_ERROR_BAD_FORMAT, "blendmask.num_bases"},
  {"{\"architecture\":\"blendmask\"," RESNET ","
        "\"blendmask\":{\"attention_size\":33},\"classes\":[\"x\"]}",
      CI_ERROR_BAD_FORMAT, "blendmask.attention_size|33"},
  {"{\"architecture\":\"blendmask\"," RESNET ","
        "\"blendmask\":{\"basis_channels\":40,\"basis_norm\":\"gn\"},"
        "\"classes\":[\"x\"]}", CI_ERROR_BAD_FORMAT,
      "blendmask.basis_norm|32|40"},
  {BACKBONE ("\"type\":\"mobilenet_v2\",\"width_mult\":1e300"),
      CI_ERROR_BAD_FORMAT, "backbone.width_mult|1e+300"},
  {WITH ("\"fpn\":{\"out_channels\":65537}"), CI_ERROR_BAD_FORMAT,
      "fpn.out_channels|65537"},
  {WITH ("\"fpn\":{\"out_channels\":-256}"), CI_ERROR_BAD_FORMAT, "-256"},
  {WITH ("\"fpn\":{\"out_channels\":2.5}"), CI_ERROR_BAD_FORMAT, "2.5"},
  {WITH ("\"fpn\":{\"out_channels\":9223372036854775807}"),
      CI_ERROR_BAD_FORMAT, "9223372036854775807"},
  {WITH ("\"fpn\":{\"out_channels\":1e400}"), CI_ERROR_BAD_FORMAT,
      "fpn.out_channels"},
  {WITH ("\"fpn\":{\"out_channels\":\"256\"}"), CI_ERROR_BAD_FORMAT,
      "an integer from 1 to 65536, found \"256\""},
  {WITH ("\"fpn\":{\"out_channels\":true}"), CI_ERROR_BAD_FORMAT, "true"},
  {WITH ("\"fpn\":{\"output_convs\":1}"), CI_ERROR_BAD_FORMAT,
      "fpn.output_convs|true or false"},
  {WITH ("\"fpn\":{\"top_levels\":3}"), CI_ERROR_BAD_FORMAT,
      "fpn.top_levels|0 to 2|found 3"},
  {WITH ("\"fcos\":{\"strides\":[8,16,32,64]}"), CI_ERROR_BAD_FORMAT,
      "fcos.strides|expected 5 numbers, found 4"},
  {WITH ("\"fcos\":{\"strides\":[8,16,32,64,127]}"), CI_ERROR_BAD_FORMAT,
      "fcos.strides|128|127"},
  {WITH ("\"fcos\":{\"strides\":[8,16,32,64,\"128\"]}"), CI_ERROR_BAD_FORMAT,
      "fcos.strides|\"128\""},
  {WITH ("\"fpn\":{\"out_channels\":40},\"fcos\":{\"norm\":\"gn\"}"),
      CI_ERROR_BAD_FORMAT, "fcos.norm|32|40"},
  {WITH ("\"fcos\":{\"prediction_kernel\":2}"), CI_ERROR_BAD_FORMAT,
      "fcos.prediction_kernel"},
  {WITH ("\"fcos\":{\"sizes_of_interest\":[64,128,256]}"),
      CI_ERROR_BAD_FORMAT, "fcos.sizes_of_interest|4 or 5 numbers, found 3"},
  {WITH ("\"fcos\":{\"sizes_of_interest\":[64,128,0,512]}"),
      CI_ERROR_BAD_FORMAT, "fcos.sizes_of_interest|found 0"},
  {WITH ("\"fcos\":{\"sizes_of_interest\":[64,128,256,32769]}"),
      CI_ERROR_BAD_FORMAT, "fcos.sizes_of_interest|65538, twice"},
  {WITH ("\"input\":{\"channel_order\":\"YUV\"}"), CI_ERROR_UNSUPPORTED,
      "input.channel_order|YUV"},
  {WITH ("\"input\":{\"pixel_mean\":[1,2]}"), CI_ERROR_BAD_FORMAT,
      "input.pixel_mean|3 numbers, found 2"},
  {WITH ("\"input\":{\"pixel_std\":[1,1,0]}"), CI_ERROR_BAD_FORMAT,
      "input.pixel_std"},
  {WITH ("\"input\":{\"min_size\":0}"), CI_ERROR_BAD_FORMAT,
      "input.min_size"},
  {WITH ("\"input\":{\"min_size\":512,\"max_size\":511}"),
      CI_ERROR_BAD_FORMAT, "input.max_size|512|511"},
  {WITH ("\"input\":{\"max_size\":16385}"), CI_ERROR_BAD_FORMAT,
      "input.max_size|16384"},
  {WITH ("\"input\":{\"size_divisor\":33}"), CI_ERROR_BAD_FORMAT,
      "input.size_divisor|33"},
  {WITH ("\"condinst\":{\"mask_branch\":{\"channels\":0}}"),
      CI_ERROR_BAD_FORMAT, "condinst.mask_branch.channels"},
  {WITH ("\"condinst\":{\"mask_branch\":{\"norm\":\"ln\"}}"),
      CI_ERROR_UNSUPPORTED, "condinst.mask_branch.norm|ln"},
  {WITH ("\"condinst\":{\"mask_head\":{\"num_layers\":0}}"),
      CI_ERROR_BAD_FORMAT, "condinst.mask_head.num_layers"},
  {WITH ("\"condinst\":{\"mask_out_stride\":3}"), CI_ERROR_BAD_FORMAT,
      "condinst.mask_out_stride|3"},
  {WITH ("\"inference\":{\"nms_threshold\":1.5}"), CI_ERROR_BAD_FORMAT,
      "inference.nms_threshold|0 to 1|1.5"},
  {WITH ("\"inference\":{\"inference_threshold\":-0.1}"),
      CI_ERROR_BAD_FORMAT, "inference.inference_threshold"},
  {WITH ("\"inference\":{\"post_nms_top_k\":0}"), CI_ERROR_BAD_FORMAT,
      "inference.post_nms_top_k"},
  {CLASSES ("[]"), CI_ERROR_BAD_FORMAT, "classes|1 to 10000|found 0"},
  {CLASSES ("\"x\""), CI_ERROR_BAD_FORMAT, "classes|an array"},
  {CLASSES ("[\"a\",7]"), CI_ERROR_BAD_FORMAT, "classes|entry 1"},
  {CLASSES ("[\"a\",\"b\",\"\"]"), CI_ERROR_BAD_FORMAT, "classes|entry 2"},
  {"{\"architecture\":\"condinst\"," RESNET "}", CI_ERROR_BAD_FORMAT,
      "classes|found nothing"},
};

GST_START_TEST (test_config_bad)
{
  check_bad (bad[__i__].json, bad[__i__].code, bad[__i__].message);
}

GST_END_TEST;

GST_START_TEST (test_config_too_many_classes)
{
  g_autoptr (GString) json =
      g_string_new ("{\"architecture\":\"condinst\"," RESNET
      ",\"classes\":[\"x\"");

  for (guint i = 0; i < 10000; i++)
    g_string_append (json, ",\"x\"");
  g_string_append (json, "]}");
  check_bad (json->str, CI_ERROR_BAD_FORMAT, "classes|10000|10001");
}

GST_END_TEST;

GST_START_TEST (test_config_depth)
{
  g_autoptr (GString) json = g_string_new (NULL);

  /* sixteen levels are allowed, wherever they are */
  g_string_append (json, WITH ("\"x\":[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]"));
  ci_config_free (parse_ok (json->str));
  g_string_assign (json, WITH ("\"x\":[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]"));
  check_bad (json->str, CI_ERROR_BAD_FORMAT, "nested too deeply");
  g_string_set_size (json, 0);
  for (guint i = 0; i < 200000; i++)
    g_string_append (json, "{\"a\":");
  check_bad (json->str, CI_ERROR_BAD_FORMAT, "nested too deeply");
}

GST_END_TEST;

GST_START_TEST (test_config_huge)
{
  gsize size = 8 * 1024 * 1024;
  g_autofree gchar *json = g_malloc (size + 1);

  memset (json, ' ', size);
  json[size] = '\0';
  check_bad (json, CI_ERROR_BAD_FORMAT, "1048576|8388608");
}

GST_END_TEST;

static Suite *
config_suite (void)
{
  Suite *s = suite_create ("config");
  TCase *tc = tcase_create ("general");

  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_config_light);
  tcase_add_test (tc, test_config_defaults);
  tcase_add_test (tc, test_config_n_parameters);
  tcase_add_test (tc, test_config_family);
  tcase_add_loop_test (tc, test_config_bad, 0, G_N_ELEMENTS (bad));
  tcase_add_test (tc, test_config_too_many_classes);
  tcase_add_test (tc, test_config_depth);
  tcase_add_test (tc, test_config_huge);
  return s;
}

GST_CHECK_MAIN (config);
