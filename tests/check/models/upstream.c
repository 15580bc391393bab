/*
 * upstream.c: configurations of official checkpoints: what they may hold, what
 * it means and what they may not say
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model_helpers.h"

#include <string.h>

#include <glib/gstdio.h>

#include "models/upstream.h"

static CiUpstream *
parse_ok (const gchar * text)
{
  CiUpstream *upstream = ci_upstream_new ();
  GError *error = NULL;

  fail_unless (ci_upstream_parse (upstream, text, strlen (text), "test",
          &error), "%s: %s", text, error ? error->message : "no error set");
  return upstream;
}

/* ---- values ------------------------------------------------------------ */

/* As yacs reads them: YAML 1.1, and Python's literals in strings. */
GST_START_TEST (test_values)
{
  static const struct
  {
    const gchar *yaml, *json;
  } cases[] = {
    {"80", "80"}, {"-3", "-3"}, {"+5", "5"}, {"0.05", "0.050000000000000003"},
    {"1e-2", "0.01"}, {"1.", "1.0"}, {"True", "true"}, {"false", "false"},
    {"yes", "true"}, {"OFF", "false"}, {"\"yes\"", "\"yes\""},
    {"\"True\"", "true"}, {"'0.5'", "0.5"}, {"SyncBN", "\"SyncBN\""},
    {"\"\"", "\"\""}, {"''", "\"\""}, {"~", NULL}, {"null", NULL},
    {"None", NULL}, {"", NULL}, {"[64, 128]", "[64,128]"},
    {"(64, 128)", "[64,128]"}, {"\"(64,128)\"", "[64,128]"},
    {"(0.25,)", "[0.25]"}, {"()", "[]"}, {"[]", "[]"},
    {"('p3', \"p4\")", "[\"p3\",\"p4\"]"}, {"[p3, p4]", "[\"p3\",\"p4\"]"},
    {"((1, 2), (3,))", "[[1,2],[3]]"}, {"[[1, 2], [3]]", "[[1,2],[3]]"},
    {"[True, False]", "[true,false]"}, {"(True, None)", "[true,null]"},
    {"!!python/tuple [1, 2]", "[1,2]"}, {"!!str x", "\"x\""},
    {"(1, 2", "\"(1, 2\""}, {"(1)(2)", "\"(1)(2)\""},
    {"(os.system)", "\"(os.system)\""}, {"1.2.3", "\"1.2.3\""},
    {"1e999", "\"1e999\""}, {"0x10", "\"0x10\""}, {"V-39-eSE", "\"V-39-eSE\""},
    {"# a comment", NULL}, {"5  # a comment", "5"},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *text = g_strdup_printf ("A:\n  B: %s\n", cases[i].yaml);
    g_autoptr (CiUpstream) upstream = parse_ok (text);

    check_value (upstream, "A.B", cases[i].json);
  }
}

GST_END_TEST;

GST_START_TEST (test_nests)
{
  g_autoptr (CiUpstream) yaml = parse_ok ("# of AdelaiDet\n"
      "_BASE_: \"Base-CondInst.yaml\"\n"
      "MODEL:\n"
      "  RESNETS:\n"
      "    DEPTH: 50\n"
      "    OUT_FEATURES: [\"res3\", \"res4\"]\n"
      "  FCOS: {NMS_TH: 0.5, NORM: GN}\n"
      "  WEIGHTS:\n"
      "SOLVER:\n"
      "  STEPS: (60000, 80000)\n"
      "  NMS:\n"
      "  - 1\n"
      "  - a: 1\n");
  g_autoptr (CiUpstream) json = parse_ok (" {\"MODEL\": {\"RESNETS\": "
      "{\"DEPTH\": 50}, \"FCOS\": {\"NMS_TH\": 0.5}, \"X\": null}}");
  g_autoptr (CiUpstream) golden = parse_ok ("{\"config\": {\"FCOS\": "
      "{\"NUM_CLASSES\": 80}, \"BACKBONE\": \"b\"}, \"score_thresh\": 0.5, "
      "\"nms_thresh\": 0.25, \"pre_nms_topk\": 7, \"post_nms_topk\": 8, "
      "\"thresh_with_ctr\": true, \"pixel_mean\": [1, 2, 3], "
      "\"pixel_std\": [4, 5, 6], \"images\": [{\"min_size_test\": 9, "
      "\"max_size_test\": 10}, {\"min_size_test\": 11}]}");
  g_autoptr (CiUpstream) empty = parse_ok ("");
  g_autoptr (CiUpstream) twice = parse_ok ("A: 1\nA: 2\n");

  check_value (yaml, "MODEL.RESNETS.DEPTH", "50");
  check_value (yaml, "MODEL.RESNETS.OUT_FEATURES", "[\"res3\",\"res4\"]");
  check_value (yaml, "MODEL.FCOS.NMS_TH", "0.5");
  check_value (yaml, "MODEL.WEIGHTS", NULL);
  check_value (yaml, "SOLVER.STEPS", "[60000,80000]");
  check_value (yaml, "SOLVER.NMS", "[1,{\"a\":1}]");
  check_value (yaml, "MODEL", NULL);
  check_value (yaml, "_BASE_", NULL);
  check_value (json, "MODEL.RESNETS.DEPTH", "50");
  check_value (json, "MODEL.FCOS.NMS_TH", "0.5");
  check_value (json, "MODEL.X", NULL);
  check_value (golden, "MODEL.FCOS.NUM_CLASSES", "80");
  check_value (golden, "MODEL.BACKBONE", "\"b\"");
  check_value (golden, "MODEL.FCOS.INFERENCE_TH_TEST", "0.5");
  check_value (golden, "MODEL.FCOS.NMS_TH", "0.25");
  check_value (golden, "MODEL.FCOS.PRE_NMS_TOPK_TEST", "7");
  check_value (golden, "MODEL.FCOS.POST_NMS_TOPK_TEST", "8");
  check_value (golden, "MODEL.FCOS.THRESH_WITH_CTR", "true");
  check_value (golden, "MODEL.PIXEL_MEAN", "[1,2,3]");
  check_value (golden, "MODEL.PIXEL_STD", "[4,5,6]");
  check_value (golden, "INPUT.MIN_SIZE_TEST", "9");
  check_value (golden, "INPUT.MAX_SIZE_TEST", "10");
  check_value (empty, "A", NULL);
  check_value (twice, "A", "2");
}

GST_END_TEST;

/* What PyYAML makes of constants that are the same object, as in the
 * config.yaml that detectron2 writes. */
GST_START_TEST (test_aliases)
{
  g_autoptr (CiUpstream) upstream = parse_ok ("MODEL:\n"
      "  ROI_BOX_HEAD:\n"
      "    BBOX_REG_WEIGHTS: &id001\n"
      "    - 10.0\n"
      "    - 5.0\n"
      "  RPN: {BBOX_REG_WEIGHTS: *id001, POOL: &p 7}\n"
      "  CASCADE:\n"
      "  - *id001\n"
      "  - - 20.0\n"
      "    - *p\n"
      "  SIZE: *p\n"
      "  LEVELS: &l (3, 4)\n"
      "  BOTH: [*p, *p]\n"
      "  EMPTY: [&e [], *e]\n"
      "  NULL: &n ~\n"
      "TEST: {STRIDES: *l, NONE: *n, KEPT: &unused {A: [[1]]}}\n");
  static const gchar *const wanted[][2] = {
    {"MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS", "[10.0,5.0]"},
    {"MODEL.RPN.BBOX_REG_WEIGHTS", "[10.0,5.0]"},
    {"MODEL.CASCADE", "[[10.0,5.0],[20.0,7]]"}, {"MODEL.SIZE", "7"},
    {"MODEL.BOTH", "[7,7]"}, {"MODEL.EMPTY", "[[],[]]"},
    {"TEST.STRIDES", "[3,4]"}, {"TEST.NONE", NULL},
    {"TEST.KEPT.A", "[[1]]"},
  };

  for (guint i = 0; i < G_N_ELEMENTS (wanted); i++)
    check_value (upstream, wanted[i][0], wanted[i][1]);
}

GST_END_TEST;

GST_START_TEST (test_settings)
{
  g_autoptr (CiUpstream) upstream = parse_ok ("A: {B: 1, C: 2}");
  static const gchar *const bad[][2] = {
    {"", "1"}, {"A B", "1"}, {".A", "1"}, {"A.", "1"}, {"A:B", "1"},
  };

  fail_unless (ci_upstream_set (upstream, "A.B", "(64, 128)", NULL));
  check_value (upstream, "A.B", "[64,128]");
  fail_unless (ci_upstream_set (upstream, "A.B", "[p3, p4]", NULL));
  check_value (upstream, "A.B", "[\"p3\",\"p4\"]");
  fail_unless (ci_upstream_set (upstream, "A.B", "False", NULL));
  check_value (upstream, "A.B", "false");
  fail_unless (ci_upstream_set (upstream, "A.B", "", NULL));
  check_value (upstream, "A.B", "\"\"");
  fail_unless (ci_upstream_set (upstream, "A", "{C: 3, D: {E: x}}", NULL));
  check_value (upstream, "A.C", "3");
  check_value (upstream, "A.D.E", "\"x\"");
  /* None takes a value back */
  fail_unless (ci_upstream_set (upstream, "A.C", "None", NULL));
  check_value (upstream, "A.C", NULL);

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    GError *error = NULL;

    fail_if (ci_upstream_set (upstream, bad[i][0], bad[i][1], &error), "%s",
        bad[i][0]);
    check_error (error, CI_ERROR_INVALID_ARGUMENT, "is no key");
  }
}

GST_END_TEST;

/* ---- hostile and broken files ------------------------------------------ */

GST_START_TEST (test_refused)
{
  static const struct
  {
    const gchar *text, *wanted;
  } cases[] = {
    /* a billion laughs */
    {"a: &a [l, l]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "test: line 3|*b|only a value or a list of values"},
    {"A: &a [*a]\n", "line 1|*a|only a value or a list of values"},
    {"A: &a {b: *a}\n", "*a|only a value or a list of values"},
    {"A: &a {b: 1}\nC: *a\n", "line 2|*a|only a value"},
    {"A: &a {b: 1}\n<<: *a\n", "line 2|*a|only a value"},
    {"A: &a [{b: 1}]\nC: *a\n", "line 2|*a|only a value"},
    {"A: &a [[1]]\nC: *a\n", "line 2|*a|only a value"},
    {"A: &a ((1), 2)\nC: *a\n", "line 2|*a|only a value"},
    {"<<: *x\n", "line 1|no anchor &x before"},
    {"A: *x\nB: &x 1\n", "line 1|no anchor &x before"},
    {"A: &x 1\nB: &x 2\n", "line 2|the anchor &x comes twice"},
    {"A: &x 1\n*x : 2\n", "line 2|expected a key"},
    {"A: !!python/object/apply:os.system [\"true\"]\n",
        "line 1|python/object/apply:os.system"},
    {"A: !!python/name:os.system\n", "python/name:os.system"},
    {"A: !mine {b: 1}\n", "!mine"},
    {"A: 1\n---\nB: 2\n", "line 2|one document"},
    {"A: [1, 2\nB: 3\n", "line "},
    {"A: \"x\n", "line "},
    {"? [a]\n: b\n", "expected a key"},
    {"A:\n\t- b\n", "line 2"},
    {"A: \"a\\0b\"\n", "UTF-8"},
    {"A: 1\n B: 2\n", "line 2"},
    {"- 1\n- 2\n", "nest of keys|a list"},
    {"hello", "nest of keys|a single value"},
    {"%YAML 9.9\n---\nA: 1\n", "line "},
    {"{\"A\": 1, \"A\": 2}", "test: byte "},
    {"{\"A\": tru}", "test: byte "},
    {"{A: 1}", "test: byte "},
    {"A: \xff\xfe\n", "test: line "},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (CiUpstream) upstream = ci_upstream_new ();
    GError *error = NULL;

    fail_if (ci_upstream_parse (upstream, cases[i].text,
            strlen (cases[i].text), "test", &error), "%s", cases[i].text);
    check_error (error, CI_ERROR_BAD_FORMAT, cases[i].wanted);
  }
}

GST_END_TEST;

/* @text must be refused for @wanted, or be read if that is NULL. */
static void
check_bound (const GString * text, const gchar * wanted)
{
  g_autoptr (CiUpstream) upstream = ci_upstream_new ();
  GError *error = NULL;
  gboolean ok = ci_upstream_parse (upstream, text->str, text->len, "test",
      &error);

  fail_unless (ok == (wanted == NULL), "%.40s..: %s", text->str,
      error ? error->message : "no error");
  if (wanted)
    check_error (error, CI_ERROR_BAD_FORMAT, wanted);
}

/* So that no hash table fills with names that collide, and no list of names is
 * searched again and again; repeated keys count each time. */
GST_START_TEST (test_number_of_keys)
{
  /* equal to g_str_hash(), and so are all rows of them */
  static const gchar *const pairs[] = { "Ab", "BA" };
  static const guint numbers[] = { 1000, 1001, 20000 };

  for (guint kind = 0; kind < 3; kind++)
    for (guint j = 0; j < G_N_ELEMENTS (numbers); j++) {
      g_autoptr (GString) text = g_string_new (kind == 0 ? "{" : "");

      for (guint i = 0; i < numbers[j]; i++) {
        if (kind == 0)
          g_string_append (text, i ? ",\"" : "\"");
        for (guint bit = 0; kind < 2 && bit < 15; bit++)
          g_string_append (text, pairs[i >> bit & 1]);
        g_string_append (text, kind == 0 ? "\":1" : kind == 1 ? ": 1\n" :
            "a: 1\n");
      }
      g_string_append (text, kind == 0 ? "}" : "");
      check_bound (text, j == 0 ? NULL : kind == 0 ?
          "test: byte |more than 1000 names in one object" :
          "test: line 1001: more than 1000 keys in one mapping");
    }

  /* 1 and 99 in each of the members of a list */
  for (guint kind = 0; kind < 2; kind++)
    for (guint n = 101; n <= 102; n++) {
      g_autoptr (GString) text = g_string_new (kind == 0 ? "{\"a\":[{}" :
          "a:\n");

      for (guint i = 0; i < n; i++) {
        g_string_append (text, kind == 0 ? ",{\"k\":1" : "- k: 1\n");
        for (guint k = 1; k < 99; k++)
          g_string_append_printf (text, kind == 0 ? ",\"%u\":1" :
              "  %u: 1\n", k);
        g_string_append (text, kind == 0 ? "}" : "");
      }
      g_string_append (text, kind == 0 ? "]}" : "");
      check_bound (text, n == 101 ? NULL : kind == 0 ?
          "test: byte |more than 10000 names" :
          "test: line 10001: more than 10000 keys");
    }
}

GST_END_TEST;

/* Aliases must not make much of little: 64 times a list of 63 and no more. */
GST_START_TEST (test_number_of_copies)
{
  for (guint n = 64; n <= 65; n++) {
    g_autoptr (GString) text = g_string_new ("A: &a [1");

    for (guint i = 1; i < 63; i++)
      g_string_append (text, ", 1");
    g_string_append (text, "]\nB:\n");
    for (guint i = 0; i < n; i++)
      g_string_append (text, "- *a\n");
    check_bound (text, n == 64 ? NULL :
        "test: line 67|aliases stand for more than 4096 values");
  }
}

GST_END_TEST;

/* A long name above many keys would be copied for each of them. */
GST_START_TEST (test_long_keys)
{
  for (guint kind = 0; kind < 2; kind++) {
    g_autofree gchar *name = g_strnfill (kind == 0 ? 600000 : 100, 'n');
    g_autoptr (GString) text = g_string_new (NULL);
    g_autoptr (CiUpstream) upstream = NULL;

    g_string_append_printf (text, "{\"A\": 1, \"%s\": {", name);
    for (guint i = 0; i < 900; i++)
      g_string_append_printf (text, "%s\"%u\": 1", i ? "," : "", i);
    g_string_append (text, "}}");
    upstream = parse_ok (text->str);
    check_value (upstream, "A", "1");
    if (kind == 1) {
      g_autofree gchar *key = g_strconcat (name, ".899", NULL);

      check_value (upstream, key, "1");
    }
  }
}

GST_END_TEST;

/* Depth and size have bounds, in both notations and within strings. */
GST_START_TEST (test_bounds)
{
  for (guint kind = 0; kind < 5; kind++) {
    for (guint depth = 14; depth <= 100000; depth = depth < 100 ? depth + 6 :
        depth * 30) {
      g_autoptr (GString) text = g_string_new (NULL);
      g_autoptr (CiUpstream) upstream = ci_upstream_new ();
      GError *error = NULL;
      gboolean ok;

      if (kind < 2)
        g_string_append (text, "A: ");
      for (guint i = 0; i < depth; i++)
        if (kind == 0)
          g_string_append (text, "[");
        else if (kind == 1)
          g_string_append (text, "{a: ");
        else if (kind == 2)
          g_string_append (text, "{\"a\":");
        else if (kind == 3 && depth < 1000)
          g_string_append_printf (text, "%*sa:\n", i, "");
        else if (kind == 4)
          g_string_append (text, i ? "(" : "A: (");
      g_string_append (text, kind == 2 ? "1" : "");
      for (guint i = 0; i < depth; i++)
        if (kind != 3)
          g_string_append_c (text, "]}} )"[kind]);
      ok = ci_upstream_parse (upstream, text->str, text->len, "test", &error);
      /* brackets in a string that are too many are a string */
      if (depth == 14 || kind == 4 || (kind == 3 && depth >= 1000))
        fail_unless (ok, "kind %u, depth %u: %s", kind, depth,
            error ? error->message : "");
      else
        check_error (error, CI_ERROR_BAD_FORMAT, "test: ");
    }
  }
  {
    g_autoptr (CiUpstream) upstream = ci_upstream_new ();
    g_autofree gchar *big = g_strnfill (1024 * 1024 + 1, '#');
    GError *error = NULL;

    fail_if (ci_upstream_parse (upstream, big, 1024 * 1024 + 1, "test",
            &error));
    check_error (error, CI_ERROR_BAD_FORMAT, "at most 1048576 bytes|1048577");
    fail_unless (ci_upstream_parse (upstream, big, 1024 * 1024, "test", NULL));
  }
}

GST_END_TEST;

/* ---- with a network ---------------------------------------------------- */

#define NETWORK "{\"architecture\":\"condinst\",\"backbone\":{" \
    "\"type\":\"resnet\",\"norm\":\"bn\",\"depth\":50," \
    "\"stem_out_channels\":8,\"res2_out_channels\":16," \
    "\"width_per_group\":4,\"deform_on_per_stage\":[false,false,false,true]," \
    "\"deform_interval\":2},\"fpn\":{\"out_channels\":32}," \
    "\"fcos\":{\"norm\":\"gn\"},\"condinst\":{\"mask_branch\":{" \
    "\"channels\":16,\"norm\":\"bn\"}},\"classes\":[\"a\",\"b\",\"c\"]}"

static CiModel *
load_with (const gchar * path, const gchar * config, const gchar * setting)
{
  const gchar *const settings[] = { setting, NULL };
  GError *error = NULL;
  CiModel *model = ci_model_load_full (path, config, settings, &error);

  fail_unless (model, "%s: %s", setting, error ? error->message : "no error");
  return model;
}

/* Keys that tensors do not tell, and what becomes of them. */
GST_START_TEST (test_keys)
{
  static const gchar config[] =
      "INPUT: {MIN_SIZE_TEST: 480, MAX_SIZE_TEST: 640, FORMAT: RGB}\n"
      "DATASETS: {THING_CLASSES: [dog, cat, cow]}\n"
      "MODEL:\n"
      "  PIXEL_MEAN: [123.675, 116.28, 103.53]\n"
      "  PIXEL_STD: [58.395, 57.12, 57.375]\n"
      "  RESNETS: {STRIDE_IN_1X1: False}\n"
      "  FCOS:\n"
      "    INFERENCE_TH_TEST: 0.1\n"
      "    NMS_TH: 0.7\n"
      "    PRE_NMS_TOPK_TEST: 500\n"
      "    POST_NMS_TOPK_TEST: 50\n"
      "    THRESH_WITH_CTR: 0\n"
      "    SIZES_OF_INTEREST: [32, 64, 128, 256]\n"
      "  CONDINST: {MASK_OUT_STRIDE: 2}\n";
  g_autofree gchar *path = write_network ("m.pth", NETWORK);
  g_autofree gchar *file = write_text ("c.yaml", config);
  g_autoptr (CiModel) model = load_with (path, file, NULL);
  const CiConfig *c = ci_model_get_config (model);

  fail_unless_equals_int (c->input.min_size, 480);
  fail_unless_equals_int (c->input.max_size, 640);
  fail_unless (c->input.rgb);
  fail_unless (c->input.pixel_mean[0] == 123.675f);
  fail_unless (c->input.pixel_std[2] == 57.375f);
  fail_if (c->backbone.stride_in_1x1);
  fail_unless (c->inference.inference_threshold == 0.1f);
  fail_unless (c->inference.nms_threshold == 0.7);
  fail_unless_equals_int (c->inference.pre_nms_top_k, 500);
  fail_unless_equals_int (c->inference.post_nms_top_k, 50);
  fail_if (c->fcos.thresh_with_ctr);
  fail_unless (c->fcos.sizes_of_interest[0] == 32);
  fail_unless (c->fcos.sizes_of_interest[4] == 512);
  fail_unless_equals_int (c->condinst.mask_out_stride, 2);
  fail_unless_equals_string (c->classes[2], "cow");
}

GST_END_TEST;

/* Keys that are wrong: of a type, against the tensors, or beyond what is known
 * here; and keys that do not matter. */
GST_START_TEST (test_wrong_keys)
{
#define M "MODEL."
  static const struct
  {
    const gchar *setting;
    CiError code;               /* with @wanted NULL: no error */
    const gchar *wanted;
  } cases[] = {
    {M "FCOS.NUM_CLASSES=20", CI_ERROR_BAD_FORMAT,
        "m.pth: MODEL.FCOS.NUM_CLASSES is 20 in the settings|tensors say 3"},
    {M "FCOS.NUM_CLASSES=many", CI_ERROR_BAD_FORMAT,
        "NUM_CLASSES: expected an integer, found \"many\""},
    {M "FCOS.NUM_CLASSES=2.5", CI_ERROR_BAD_FORMAT, "an integer, found 2.5"},
    {M "FCOS.NUM_CLASSES=1e300", CI_ERROR_BAD_FORMAT, "an integer"},
    {M "FCOS.NMS_TH=[1]", CI_ERROR_BAD_FORMAT, "expected a number, found [1]"},
    {M "FCOS.NMS_TH=2", CI_ERROR_BAD_FORMAT, "nms_threshold|from 0 to 1"},
    {M "FCOS.THRESH_WITH_CTR=maybe", CI_ERROR_BAD_FORMAT, "True or False"},
    {M "FCOS.TOP_LEVELS=1", CI_ERROR_BAD_FORMAT, "TOP_LEVELS is 1|say 2"},
    {M "FCOS.FPN_STRIDES=[8,16,32]", CI_ERROR_BAD_FORMAT, "say 5 levels"},
    {M "FCOS.FPN_STRIDES=[4,8,16,32,64]", CI_ERROR_BAD_FORMAT, "8 for P3"},
    {M "FCOS.IN_FEATURES=[p3, p4, p5]", CI_ERROR_BAD_FORMAT, "5 levels"},
    {M "FCOS.SIZES_OF_INTEREST=[64, 128]", CI_ERROR_BAD_FORMAT,
        "a list of 4 or 5 numbers"},
    {M "FCOS.NORM=SyncBN", CI_ERROR_BAD_FORMAT, "NORM is \"SyncBN\"|say GN"},
    {M "FCOS.NORM=LN", CI_ERROR_BAD_FORMAT, "a normalisation"},
    {M "FCOS.USE_SCALE=False", CI_ERROR_BAD_FORMAT, "say True"},
    {M "FCOS.NUM_CLS_CONVS=2", CI_ERROR_BAD_FORMAT, "say 4"},
    {M "RESNETS.DEPTH=101", CI_ERROR_BAD_FORMAT, "DEPTH is 101|say 50"},
    {M "RESNETS.DEFORM_ON_PER_STAGE=[False, True, True, True]",
        CI_ERROR_BAD_FORMAT, "res3 is not deformable"},
    {M "RESNETS.DEFORM_ON_PER_STAGE=[False]", CI_ERROR_BAD_FORMAT, "of four"},
    {M "RESNETS.DEFORM_INTERVAL=1", CI_ERROR_BAD_FORMAT, "say 2"},
    {M "RESNETS.DEFORM_MODULATED=False", CI_ERROR_BAD_FORMAT, "modulated"},
    {M "RESNETS.RES5_DILATION=2", CI_ERROR_UNSUPPORTED, "only 1 is known"},
    {M "FPN.FUSE_TYPE=avg", CI_ERROR_UNSUPPORTED, "only \"sum\"|\"avg\""},
    {M "FPN.OUT_CHANNELS=256", CI_ERROR_BAD_FORMAT, "say 32"},
    {M "META_ARCHITECTURE=BlendMask", CI_ERROR_BAD_FORMAT, "say condinst"},
    {M "META_ARCHITECTURE=GeneralizedRCNN", CI_ERROR_BAD_FORMAT, "condinst"},
    {M "META_ARCHITECTURE=3", CI_ERROR_BAD_FORMAT, "expected a string"},
    {M "BACKBONE.NAME=build_fcos_resnet_bifpn_backbone", CI_ERROR_BAD_FORMAT,
        "ResNet with FPN"},
    {M "BACKBONE=build_fcos_vovnet_fpn_backbone", CI_ERROR_BAD_FORMAT,
        "ResNet with FPN"},
    {M "PIXEL_MEAN=[1, 2]", CI_ERROR_BAD_FORMAT, "a list of 3 numbers"},
    {M "PIXEL_STD=[0, 0, 0]", CI_ERROR_BAD_FORMAT, "pixel_std"},
    {M "CONDINST.MASK_BRANCH.OUT_CHANNELS=16", CI_ERROR_BAD_FORMAT, "say 8"},
    {M "CONDINST.MASK_OUT_STRIDE=3", CI_ERROR_BAD_FORMAT, "mask_out_stride"},
    {"INPUT.FORMAT=YUV", CI_ERROR_BAD_FORMAT, "BGR or RGB"},
    {"INPUT.MIN_SIZE_TEST=0", CI_ERROR_BAD_FORMAT, "min_size"},
    {"thing_classes=[a, b]", CI_ERROR_BAD_FORMAT, "say 3 classes"},
    {"thing_classes=3", CI_ERROR_BAD_FORMAT, "a list of names"},
    {"NOTHING", CI_ERROR_INVALID_ARGUMENT, "\"NOTHING\" is no setting"},
    /* of parts that it does not have, or of training */
    {M "BLENDMASK.ATTN_SIZE=99", 0, NULL},
    {M "BiFPN.OUT_CHANNELS=99", 0, NULL},
    {M "VOVNET.CONV_BODY=V-99-eSE", 0, NULL},
    {"SOLVER.BASE_LR=nonsense", 0, NULL},
    {"A.B.C=[1, [2]]", 0, NULL},
    /* what agrees */
    {M "FCOS.NUM_CLASSES=3", 0, NULL},
    {M "FCOS.NUM_CLASSES=3.0", 0, NULL},
    {M "META_ARCHITECTURE=CondInst", 0, NULL},
    {M "BACKBONE.NAME=build_fcos_resnet_fpn_backbone", 0, NULL},
    {M "FCOS.FPN_STRIDES=(8,16,32,64,128)", 0, NULL},
    {M "RESNETS.DEFORM_ON_PER_STAGE=[False, False, False, True]", 0, NULL},
  };
  g_autofree gchar *path = write_network ("m.pth", NETWORK);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    const gchar *const settings[] = { cases[i].setting, NULL };
    GError *error = NULL;
    CiModel *model = ci_model_load_full (path, NULL, settings, &error);

    if (cases[i].wanted) {
      fail_if (model, "%s", cases[i].setting);
      check_error (error, cases[i].code, cases[i].wanted);
    } else {
      fail_unless (model, "%s", error ? error->message : "no error");
      ci_model_unref (model);
    }
  }
}

GST_END_TEST;

GST_START_TEST (test_classes)
{
  static const struct
  {
    const gchar *json;
    gint n;
    const gchar *setting, *first;
  } cases[] = {
    {NETWORK, 3, "X=1", "class 0"},
    {NETWORK, 80, "X=1", "person"},
    {NETWORK, 80, "DATASETS.TRAIN=('coco_2017_train',)", "person"},
    {NETWORK, 80, "DATASETS.TRAIN=('my_pictures',)", "class 0"},
    {NETWORK, 1, "DATASETS.THING_CLASSES=['coin']", "coin"},
    {NETWORK, 1, "thing_classes=[coin]", "coin"},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    const gint64 dims[] = { cases[i].n, 32, 3, 3 }, one[] = { cases[i].n };
    g_autoptr (Sparse) sparse = sparse_new ();
    g_autofree gchar *path = g_build_filename (test_dir, "m.pth", NULL);
    g_autoptr (CiModel) model = NULL;

    sparse_add_network (sparse, cases[i].json);
    sparse_add (sparse, "proposal_generator.fcos_head.cls_logits.weight",
        CI_DTYPE_F32, 4, dims, NULL);
    sparse_add (sparse, "proposal_generator.fcos_head.cls_logits.bias",
        CI_DTYPE_F32, 1, one, NULL);
    g_remove (path);
    sparse_write (sparse, path);
    model = load_with (path, NULL, cases[i].setting);
    fail_unless_equals_int (ci_model_get_n_classes (model), cases[i].n);
    fail_unless_equals_string (ci_model_get_class_name (model, 0),
        cases[i].first);
  }
}

GST_END_TEST;

GST_START_TEST (test_published_names)
{
  g_autoptr (CiUpstream) upstream = ci_upstream_new ();
  static const gchar *const good[] = { "CondInst/MS_R_50_3x",
    "configs/CondInst/MS_R_50_3x.yaml", "FCOS_RT/MS_R_50_4x_syncbn",
    "FCOS-Detection/vovnet/MS_V_39_3x", "R_101_dcni3_5x", "Person/R_50_1x"
  };
  GError *error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    fail_unless (ci_upstream_set_published (upstream, good[i], NULL), "%s",
        good[i]);
  fail_if (ci_upstream_set_published (upstream, "MS_R_50_3x", &error));
  check_error (g_steal_pointer (&error), CI_ERROR_INVALID_ARGUMENT,
      "may be any|CondInst/MS_R_50_3x|BoxInst/MS_R_50_3x");
  fail_if (ci_upstream_set_published (upstream, "S_R_50_3x", &error));
  check_error (g_steal_pointer (&error), CI_ERROR_INVALID_ARGUMENT,
      "neither a file nor a published configuration|BlendMask/Person/R_50_1x");
}

GST_END_TEST;

static Suite *
upstream_suite (void)
{
  Suite *s = suite_create ("upstream");
  TCase *tc = tcase_create ("general");

  suite_add_tcase (s, tc);
  tcase_add_checked_fixture (tc, setup_dir, teardown_dir);
  tcase_set_timeout (tc, 60);
  tcase_add_test (tc, test_values);
  tcase_add_test (tc, test_nests);
  tcase_add_test (tc, test_aliases);
  tcase_add_test (tc, test_settings);
  tcase_add_test (tc, test_refused);
  tcase_add_test (tc, test_number_of_keys);
  tcase_add_test (tc, test_number_of_copies);
  tcase_add_test (tc, test_long_keys);
  tcase_add_test (tc, test_bounds);
  tcase_add_test (tc, test_keys);
  tcase_add_test (tc, test_wrong_keys);
  tcase_add_test (tc, test_classes);
  tcase_add_test (tc, test_published_names);
  return s;
}

GST_CHECK_MAIN (upstream);
