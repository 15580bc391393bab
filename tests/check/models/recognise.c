/*
 * recognise.c: what network a checkpoint holds: from the tensors of every
 * published model, and of others
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model_helpers.h"

#include <string.h>

#include <glib/gstdio.h>

#include "models/coco.h"
#include "models/upstream.h"

/* Whether the description of @model is @json, but for name and classes. */
static void
check_description (const CiModel * model, const gchar * json)
{
  GError *error = NULL;
  const CiConfig *config = ci_model_get_config (model);
  g_autoptr (CiConfig) wanted = ci_config_parse (json, "test", &error);
  g_autofree gchar *found_text = ci_config_to_json (config);
  g_autofree gchar *wanted_text = NULL;

  fail_unless (wanted, "%s", error ? error->message : "no error set");
  g_free (wanted->name);
  wanted->name = g_strdup (config->name);
  g_strfreev (wanted->classes);
  wanted->classes = g_strdupv (config->classes);
  fail_unless_equals_int (wanted->n_classes, config->n_classes);
  wanted_text = ci_config_to_json (wanted);
  fail_unless_equals_string (found_text, wanted_text);
}

/* ---- published models -------------------------------------------------- */

#define COCO ",\"classes\":[" CI_COCO_CLASSES "]}"
#define BACKBONE(type, rest) \
    ",\"backbone\":{\"type\":\"" type "\",\"norm\":\"bn\",\"depth\":" rest "}"
#define R50 BACKBONE ("resnet", "50")
#define R101 BACKBONE ("resnet", "101")
#define DCNI3 ",\"deform_on_per_stage\":[false,true,true,true]," \
    "\"deform_interval\":3"
#define X101(groups, width, rest) \
    BACKBONE ("resnet", "101,\"num_groups\":" groups "," \
        "\"width_per_group\":" width ",\"stride_in_1x1\":false" rest)
#define DCN_45 ",\"deform_on_per_stage\":[false,false,true,true]"
#define X32_STD ",\"input\":{\"pixel_std\":[57.375,57.12,58.395]}"
#define DLA BACKBONE ("dla", "34")
#define BIFPN ",\"fpn\":{\"type\":\"bifpn\",\"out_channels\":160," \
    "\"norm\":\"bn\"}"
#define P6 ",\"fpn\":{\"top_levels\":1}," \
    "\"input\":{\"min_size\":550,\"max_size\":916}"
#define P5 ",\"fpn\":{\"top_levels\":0}," \
    "\"input\":{\"min_size\":512,\"max_size\":736}"
#define CONDINST(rest) "{\"architecture\":\"condinst\"," \
    "\"fcos\":{\"norm\":\"gn\"},\"condinst\":{\"mask_branch\":" \
    "{\"norm\":\"bn\"}}" rest COCO
#define BOXINST(rest) "{\"architecture\":\"condinst\"," \
    "\"fcos\":{\"norm\":\"gn\"},\"condinst\":{\"mask_branch\":" \
    "{\"norm\":\"bn\",\"out_channels\":16}}" rest COCO
#define FCOS(head, rest) "{\"architecture\":\"fcos\"," \
    "\"fcos\":{\"thresh_with_ctr\":false," head "}" rest COCO
#define BLENDMASK_OF(head, convs, rest) "{\"architecture\":\"blendmask\"," \
    "\"fcos\":{\"use_scale\":false," head "},\"blendmask\":{" \
    "\"basis_norm\":\"bn\",\"basis_num_convs\":" convs "}" rest
#define BLENDMASK(head, convs, rest) BLENDMASK_OF (head, convs, rest) COCO
#define GN "\"norm\":\"gn\""
#define BN "\"norm\":\"bn\""
#define SHARED(n) ",\"num_share_convs\":" n ",\"num_cls_convs\":0," \
    "\"num_box_convs\":0"
#define PERSON "BlendMask/Person/R_50_1x"
#define RT "FCOS-Detection/FCOS_RT/MS_"
#define FD "FCOS-Detection/"

/* SEMANTICS.md section 13, in our own words */
static const struct
{
  const gchar *names, *json;
} published[] = {
  {"CondInst/MS_R_50_1x CondInst/MS_R_50_3x", CONDINST (R50)},
  {"CondInst/MS_R_101_1x CondInst/MS_R_101_3x", CONDINST (R101)},
  {"CondInst/MS_R_50_BiFPN_1x CondInst/MS_R_50_BiFPN_3x",
        CONDINST (R50 BIFPN)},
  {"CondInst/MS_R_101_BiFPN_3x", CONDINST (R101 BIFPN)},
  {"BoxInst/MS_R_50_1x BoxInst/MS_R_50_3x", BOXINST (R50)},
  {"BoxInst/MS_R_101_1x BoxInst/MS_R_101_3x", BOXINST (R101)},
  {"BoxInst/MS_R_50_BiFPN_1x BoxInst/MS_R_50_BiFPN_3x", BOXINST (R50 BIFPN)},
  {"BoxInst/MS_R_101_BiFPN_3x", BOXINST (R101 BIFPN)},
  {"BoxInst/MS_R_101_BiFPN_dcni3_3x",
        BOXINST (BACKBONE ("resnet", "101" DCNI3) BIFPN)},
  {FD "R_50_1x " FD "R_50_1x_iou " FD "MS_R_50_2x " FD "MS_R_50_2x_iou",
        FCOS (GN, R50)},
  {FD "MS_R_101_2x " FD "MS_R_101_2x_iou", FCOS (GN, R101)},
  {FD "MS_X_101_32x8d_2x " FD "MS_X_101_32x8d_2x_iou",
        FCOS (GN, X101 ("32", "8", "") X32_STD)},
  {FD "MS_X_101_64x4d_2x", FCOS (GN, X101 ("64", "4", ""))},
  {FD "MS_X_101_32x8d_2x_dcnv2 " FD "MS_X_101_32x8d_2x_dcnv2_iou",
        FCOS (GN ",\"use_deformable\":true",
            X101 ("32", "8", DCN_45) X32_STD)},
  {FD "MS_X_101_64x4d_2x_dcnv2", FCOS (GN ",\"use_deformable\":true",
            X101 ("64", "4", DCN_45))},
  {RT "DLA_34_4x_syncbn", FCOS (GN, DLA P5)},
  {RT "DLA_34_4x_syncbn_bn_head", FCOS (BN, DLA P5)},
  {RT "DLA_34_4x_syncbn_shared_towers", FCOS (GN SHARED ("4"), DLA P5)},
  {RT "DLA_34_4x_syncbn_shared_towers_bn_head",
        FCOS (BN SHARED ("4"), DLA P5)},
  {RT "R_50_4x_syncbn", FCOS (GN, R50 P5)},
  {RT "R_50_4x_syncbn_bn_head", FCOS (BN, R50 P5)},
  {FD "vovnet/MS_V_39_3x", FCOS (GN, BACKBONE ("vovnet", "39"))},
  {FD "vovnet/MS_V_57_3x", FCOS (GN, BACKBONE ("vovnet", "57"))},
  {FD "vovnet/MS_V_99_3x", FCOS (GN, BACKBONE ("vovnet", "99"))},
  {"BlendMask/R_50_1x BlendMask/R_50_3x", BLENDMASK (GN, "3", R50)},
  {"BlendMask/R_101_3x", BLENDMASK (GN, "3", R101)},
  {"BlendMask/R_101_dcni3_5x",
        BLENDMASK (GN, "3", BACKBONE ("resnet", "101" DCNI3))},
  {"BlendMask/550_R_50_1x BlendMask/550_R_50_3x",
        BLENDMASK (GN SHARED ("3"), "2", R50 P6)},
  {"BlendMask/550_R_50_dcni3_5x", BLENDMASK (GN SHARED ("3"), "2",
            BACKBONE ("resnet", "50" DCNI3) P6)},
  {"BlendMask/RT_R_50_4x_syncbn_shtw",
        BLENDMASK (GN SHARED ("3"), "2", R50 P5)},
  {"BlendMask/RT_R_50_4x_bn-head_syncbn_shtw",
        BLENDMASK (BN SHARED ("3"), "2", R50 P5)},
  {"BlendMask/DLA_34_syncbn_4x", BLENDMASK (GN, "3", DLA P5)},
  {PERSON, BLENDMASK_OF (GN, "3", R50)
        ",\"classes\":[\"person\"]}"},
};

GST_START_TEST (test_published)
{
  /* no tensor tells people from other things */
  g_autofree gchar *path = write_network (g_str_has_prefix
      (published[__i__].names, PERSON) ? "Person.pth" : "model_final.pth",
      published[__i__].json);
  g_autoptr (CiModel) model = load_ok (path, NULL, "");
  g_autofree gchar *names = get_recognised (model);
  g_auto (GStrv) list = g_strsplit (published[__i__].names, " ", -1);
  g_autoptr (CiCheckpoint) checkpoint = NULL;

  fail_unless_equals_string (names, published[__i__].names);
  check_description (model, published[__i__].json);
  fail_unless_equals_string (ci_model_get_class_name (model, 0), "person");
  fail_unless_equals_string (ci_model_get_name (model),
      list[1] ? "model_final" : list[0]);

  /* the published configuration of that name agrees, those of others do not;
   * Person's alone sets the number of classes */
  checkpoint = ci_checkpoint_open (path, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (published); i++) {
    g_auto (GStrv) others = g_strsplit (published[i].names, " ", -1);
    g_autoptr (CiUpstream) upstream = ci_upstream_new ();
    g_autofree gchar *json = NULL;
    g_autoptr (GError) error = NULL;

    fail_unless (ci_upstream_set_published (upstream, others[0], NULL));
    json = ci_upstream_describe (checkpoint, upstream, "m.pth", NULL, &error);
    if (i == (guint) __i__) {
      fail_unless (json, "%s: %s", others[0], error ? error->message : "");
    } else if (!g_str_equal (list[0], PERSON)) {
      fail_if (json, "%s is taken for %s", list[0], others[0]);
      fail_unless (g_error_matches (error, CI_ERROR, CI_ERROR_BAD_FORMAT)
          && strstr (error->message, "the tensors say"), "%s",
          error->message);
    }
  }
}

GST_END_TEST;

/* The name of the file picks one of those with the same tensors; a semantic
 * head tells others apart. */
GST_START_TEST (test_file_names)
{
  static const gint64 dims[] = { 80, 128, 1, 1 };
  static const struct
  {
    const gchar *file, *names;
    gint row;
    gboolean semantic;
  } cases[] = {
    {"CondInst_MS_R_50_3x.pth", "CondInst/MS_R_50_3x", 0, FALSE},
    {"condinst-ms-r50-1x.pth", "CondInst/MS_R_50_1x", 0, FALSE},
    {"CondInst_MS_R_50_3x_sem.pth", "CondInst/MS_R_50_3x_sem", 0, TRUE},
    {"x.pth", "CondInst/MS_R_101_3x_sem", 1, TRUE},
    {"CondInst_R_101_BiFPN_3x_sem.pth", "CondInst/MS_R_101_BiFPN_3x_sem", 3,
        TRUE},
    {"FCOS_R_50_1x.pth", FD "R_50_1x", 9, FALSE},
    {"FCOS_MS_R_50_2x_iou.pth", FD "MS_R_50_2x_iou", 9, FALSE},
    {"FCOS_MS_X_101_32x8d_2x_dcnv2_iou.pth",
          FD "MS_X_101_32x8d_2x_dcnv2_iou", 13, FALSE},
    /* a name that the tensors contradict counts for nothing */
    {"CondInst_MS_R_101_3x.pth", "CondInst/MS_R_50_1x CondInst/MS_R_50_3x", 0,
        FALSE},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Sparse) sparse = sparse_new ();
    g_autoptr (CiModel) model = NULL;
    g_autofree gchar *path = NULL;
    g_autofree gchar *names = NULL;

    sparse_add_network (sparse, published[cases[i].row].json);
    if (cases[i].semantic)
      sparse_add (sparse, "mask_branch.logits.weight", CI_DTYPE_F32, 4, dims,
          NULL);
    path = write_sparse (sparse, cases[i].file);
    model = load_ok (path, NULL, "");
    names = get_recognised (model);
    fail_unless_equals_string (names, cases[i].names);
  }
}

GST_END_TEST;

/* The published network for people looks like any other of one class. */
GST_START_TEST (test_person)
{
  static const gchar others[] = "BlendMask/R_50_1x (other sizes) "
      "BlendMask/R_50_3x (other sizes)";
  static const struct
  {
    const gchar *file, *config, *setting, *names, *class;
  } cases[] = {
    {"m.pth", NULL, "", others, "class 0"},
    {"BlendMask_Person_R_50_1x.pth", NULL, "", PERSON, "person"},
    {"m.pth", PERSON, "", PERSON, "person"},
    {"m.pth", NULL, "DATASETS.TRAIN=('pic_person_train',)", PERSON, "person"},
    {"m.pth", NULL, "DATASETS.TRAIN=('coco_2017_train',)", others, "class 0"},
    {"person.pth", NULL, "DATASETS.TRAIN=('coins',)", others, "class 0"},
    {"person.pth", NULL, "thing_classes=[pedestrian]", PERSON, "pedestrian"},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *path = write_network (cases[i].file,
        BLENDMASK_OF (GN, "3", R50) ",\"classes\":[\"coin\"]}");
    g_autoptr (CiModel) model = load_ok (path, cases[i].config,
        cases[i].setting);
    g_autofree gchar *names = get_recognised (model);

    fail_unless_equals_string (names, cases[i].names);
    fail_unless_equals_string (ci_model_get_class_name (model, 0),
        cases[i].class);
  }
}

GST_END_TEST;

/* ---- others ------------------------------------------------------------ */

#define THREE ",\"classes\":[\"a\",\"b\",\"c\"]}"
#define NARROW_R50(rest) BACKBONE ("resnet", "50,\"stem_out_channels\":8," \
    "\"res2_out_channels\":16,\"width_per_group\":4" rest)
#define NARROW_FPN ",\"fpn\":{\"out_channels\":32}"
#define NARROW_CONDINST(head) "{\"architecture\":\"condinst\"" \
    NARROW_R50 ("") NARROW_FPN ",\"fcos\":{" GN ",\"num_cls_convs\":2," \
    "\"num_box_convs\":3},\"condinst\":{\"mask_branch\":{\"channels\":16," \
    "\"num_convs\":1,\"norm\":\"bn\"}," head "\"mask_out_stride\":4}" THREE

/* Parts that were never published together, other sizes, other classes. */
GST_START_TEST (test_unpublished)
{
  static const struct
  {
    const gchar *json, *names;
  } cases[] = {
    {NARROW_CONDINST (""), "CondInst/MS_R_50_1x (other sizes) "
          "CondInst/MS_R_50_3x (other sizes)"},
    {"{\"architecture\":\"condinst\"" DLA P5 ",\"fcos\":{" GN SHARED ("4")
          "},\"condinst\":{\"mask_branch\":{\"norm\":\"bn\"}}" THREE, ""},
    {"{\"architecture\":\"condinst\"" BACKBONE ("resnet", "18")
          ",\"fcos\":{" GN "},\"condinst\":{\"mask_branch\":{\"norm\":\"gn\"}}"
          THREE, ""},
    {"{\"architecture\":\"fcos\",\"backbone\":{\"type\":\"mobilenet_v2\","
          "\"norm\":\"bn\",\"width_mult\":0.5},\"fpn\":{\"norm\":\"bn\"},"
          "\"fcos\":{" GN ",\"thresh_with_ctr\":false,"
          "\"prediction_kernel\":1}" THREE, ""},
    {"{\"architecture\":\"blendmask\"" BACKBONE ("resnet", "34") P5
          ",\"fcos\":{" BN ",\"use_scale\":false},\"blendmask\":{"
          "\"num_bases\":3,\"attention_size\":7,\"basis_channels\":24,"
          "\"basis_num_convs\":0,\"basis_norm\":\"none\"}" THREE, ""},
    {"{\"architecture\":\"blendmask\"" BACKBONE ("vovnet", "19")
          ",\"fcos\":{" GN "},\"blendmask\":{}" THREE, ""},
    {"{\"architecture\":\"condinst\"" BACKBONE ("resnet", "50,"
            "\"deform_on_per_stage\":[false,false,false,true],"
            "\"deform_interval\":2") ",\"fpn\":{\"type\":\"bifpn\","
          "\"out_channels\":64,\"top_levels\":0,\"num_repeats\":3},"
          "\"input\":{\"min_size\":512,\"max_size\":736},"
          "\"fcos\":{" GN "},\"condinst\":{\"mask_branch\":{\"norm\":\"bn\"}}"
          THREE, ""},
    /* towers as in condinst-light */
    {"{\"architecture\":\"condinst\",\"backbone\":{\"type\":\"mobilenet_v2\"}"
          ",\"fpn\":{\"out_channels\":96,\"output_convs\":false},"
          "\"fcos\":{\"num_cls_convs\":2,\"num_box_convs\":2},"
          "\"condinst\":{\"mask_branch\":{\"channels\":64,\"num_convs\":2}}"
          THREE, ""},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *path = write_network ("m.pth", cases[i].json);
    g_autoptr (CiModel) model = load_ok (path, NULL, "");
    g_autofree gchar *names = get_recognised (model);

    fail_unless_equals_string (names, cases[i].names);
    check_description (model, cases[i].json);
    fail_unless_equals_string (ci_model_get_name (model), "m");
    fail_unless_equals_string (ci_model_get_class_name (model, 2), "class 2");
  }
}

GST_END_TEST;

/* Shapes alike, but not how the backbone was trained. */
GST_START_TEST (test_trained_norm)
{
  for (gint trained = 0; trained < 2; trained++) {
    g_autoptr (Sparse) sparse = sparse_new ();
    g_autoptr (CiModel) model = NULL;
    g_autofree gchar *path = NULL;
    g_autofree gchar *names = NULL;
    gint min, max;

    sparse_add_network (sparse, BLENDMASK (GN SHARED ("3"), "2", R50 P6));
    if (trained)
      sparse_add (sparse, "backbone.bottom_up.res3.0.conv1.norm."
          "num_batches_tracked", CI_DTYPE_I64, 0, NULL, NULL);
    path = write_sparse (sparse, "m.pth");
    model = load_ok (path, NULL, "");
    names = get_recognised (model);
    fail_unless_equals_string (names, trained ? "BlendMask/RT_R_50_4x" :
        "BlendMask/550_R_50_1x BlendMask/550_R_50_3x");
    ci_model_get_test_size (model, &min, &max);
    fail_unless_equals_int (min, trained ? 512 : 550);
    fail_unless_equals_int (max, trained ? 736 : 916);
    g_remove (path);
  }
}

GST_END_TEST;

/* Norms are called otherwise in each backbone; BiFPN's own are no sign. */
GST_START_TEST (test_trained_names)
{
  static const struct
  {
    const gchar *json, *name;
    gboolean trained;
  } cases[] = {
    {FCOS (GN, DLA P5), "base_layer.1.num_batches_tracked", TRUE},
    {FCOS (GN, DLA P5), "base_layer.1.running_mean", FALSE},
    {FCOS (GN, BACKBONE ("vovnet", "39")),
          "stem.stem_1/norm.num_batches_tracked", TRUE},
    {CONDINST (R50 BIFPN), "res6.reduction.norm.num_batches_tracked", FALSE},
    {CONDINST (R50 BIFPN), "res5.2.conv3.norm.num_batches_tracked", TRUE},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Sparse) sparse = sparse_new ();
    g_autoptr (CiConfig) config = g_new0 (CiConfig, 1);
    g_autoptr (CiCheckpoint) checkpoint = NULL;
    g_autofree gchar *path = NULL;
    g_autofree gchar *name = g_strconcat ("backbone.bottom_up.",
        cases[i].name, NULL);
    CiTensorFacts facts;

    sparse_add_network (sparse, cases[i].json);
    if (g_str_has_suffix (name, "_tracked"))
      sparse_add (sparse, name, CI_DTYPE_I64, 0, NULL, NULL);
    path = write_sparse (sparse, "m.pth");
    checkpoint = ci_checkpoint_open (path, NULL);
    fail_unless (ci_recognise (checkpoint, "m", config, &facts, NULL));
    fail_unless_equals_int (facts.trained_norm, cases[i].trained);
  }
}

GST_END_TEST;

/* What tensors hold beside shapes. */
GST_START_TEST (test_stored_values)
{
  static const gint64 three[] = { 3, 1, 1 }, five[] = { 5 };
  static const gint64 sizes[] = { 32, 64, 128, 256, 512 };
  static const gfloat mean[] = { 1, 2, 3 };
  static const gdouble std[] = { 4, 5, 6.5 };
  g_autoptr (Sparse) sparse = sparse_new ();
  g_autoptr (CiModel) model = NULL;
  g_autofree gchar *path = NULL;
  const CiConfig *config;

  sparse_add_network (sparse, NARROW_CONDINST (""));
  sparse_add (sparse, "pixel_mean", CI_DTYPE_F32, 3, three, mean);
  sparse_add (sparse, "pixel_std", CI_DTYPE_F64, 3, three, std);
  sparse_add (sparse, "mask_head.sizes_of_interest", CI_DTYPE_I64, 1, five,
      sizes);
  path = write_sparse (sparse, "m.pth");
  model = load_ok (path, NULL, "");
  config = ci_model_get_config (model);
  for (gint i = 0; i < 3; i++) {
    fail_unless (config->input.pixel_mean[i] == mean[i]);
    fail_unless (config->input.pixel_std[i] == (gfloat) std[i]);
  }
  for (gint i = 0; i < 5; i++)
    fail_unless (config->fcos.sizes_of_interest[i] == sizes[i]);
  check_bad (path, NULL, "MODEL.PIXEL_MEAN=[1,2,4]", CI_ERROR_BAD_FORMAT,
      "MODEL.PIXEL_MEAN|[1,2,4]|1, 2, 3");
  check_bad (path, NULL, "MODEL.FCOS.SIZES_OF_INTEREST=(64,128,256,512)",
      CI_ERROR_BAD_FORMAT, "SIZES_OF_INTEREST|32 for P3");
}

GST_END_TEST;

/* Half precision rounds what was published, and what configurations say. */
GST_START_TEST (test_rounded_values)
{
  static const gint64 dims[] = { 3, 1, 1 };
  static const struct
  {
    const gchar *dtype;
    guint16 mean[3], std[3];
  } cases[] = {
    {"F16", {0x5678, 0x5744, 0x57bb}, {0x532c, 0x5324, 0x534d}},
    {"BF16", {0x42cf, 0x42e9, 0x42f7}, {0x4266, 0x4264, 0x426a}},
  };
  static const gfloat mean[] = { 103.53f, 116.28f, 123.675f };
  static const gfloat std[] = { 57.375f, 57.12f, 58.395f };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Sparse) sparse = sparse_new ();
    g_autoptr (CiModel) model = NULL;
    g_autoptr (CiModel) other = NULL;
    g_autofree gchar *path = NULL;
    const CiConfig *config;

    sparse_add_network (sparse, FCOS (GN, X101 ("32", "8", "") X32_STD));
    sparse_add (sparse, "pixel_mean", CI_DTYPE_F16, 3, dims, cases[i].mean);
    sparse_add (sparse, "pixel_std", CI_DTYPE_F16, 3, dims, cases[i].std);
    sparse_set_dtype (sparse, "pixel_mean", cases[i].dtype);
    sparse_set_dtype (sparse, "pixel_std", cases[i].dtype);
    path = write_sparse (sparse, "m.pth");
    model = load_ok (path, NULL, "");
    config = ci_model_get_config (model);
    for (gint k = 0; k < 3; k++) {
      fail_unless (config->input.pixel_mean[k] == mean[k]);
      fail_unless (config->input.pixel_std[k] == std[k]);
    }
    other = load_ok (path, NULL, "MODEL.PIXEL_MEAN=[103.5,116.3,123.67]");
    fail_unless (ci_model_get_config (other)->input.pixel_mean[1] == 116.3f);
    check_bad (path, NULL, "MODEL.PIXEL_MEAN=[103.53,117,123.675]",
        CI_ERROR_BAD_FORMAT, "MODEL.PIXEL_MEAN|tensors say 103.53, 116.28");
  }
}

GST_END_TEST;

/* The number of parameters fits several dynamic heads. */
GST_START_TEST (test_ambiguous_head)
{
  g_autofree gchar *path = write_network ("m.pth",
      NARROW_CONDINST ("\"mask_head\":{\"channels\":4,\"num_layers\":2},"));
  g_autofree gchar *given = write_network ("given.pth", NARROW_CONDINST
      ("\"mask_head\":{\"channels\":6,\"rel_coords\":false},"));
  g_autoptr (CiModel) model = NULL;
  g_autoptr (CiModel) other = NULL;
  g_autoptr (CiModel) third = NULL;

  check_bad (path, NULL, "", CI_ERROR_BAD_FORMAT, "m.pth: the 49 channels|"
      "2 layers of 4 channels|3 layers of 3 channels|"
      "MODEL.CONDINST.MASK_HEAD.CHANNELS");
  model = load_ok (path, NULL, "MODEL.CONDINST.MASK_HEAD.NUM_LAYERS=2");
  fail_unless_equals_int (ci_model_get_config (model)->condinst.head_channels,
      4);
  other = load_ok (path, NULL, "MODEL.CONDINST.MASK_HEAD.CHANNELS=3");
  fail_unless_equals_int (ci_model_get_config (other)->
      condinst.head_num_layers, 3);
  check_bad (path, NULL, "MODEL.CONDINST.MASK_HEAD.CHANNELS=7",
      CI_ERROR_BAD_FORMAT, "49 channels|no dynamic head");
  third = load_ok (given, NULL, "MODEL.CONDINST.MASK_HEAD.CHANNELS=6|"
      "MODEL.CONDINST.MASK_HEAD.NUM_LAYERS=3|"
      "MODEL.CONDINST.MASK_HEAD.DISABLE_REL_COORDS=True");
  fail_if (ci_model_get_config (third)->condinst.rel_coords);
}

GST_END_TEST;

/* How pixels are scaled differs among grouped backbones. */
GST_START_TEST (test_ambiguous_pixels)
{
  static const gint64 dims[] = { 3, 1, 1 };
  static const gfloat values[] = { 1, 1, 1 };
  g_autoptr (Sparse) sparse = sparse_new ();
  g_autofree gchar *path = NULL;
  g_autofree gchar *stored = NULL;
  g_autoptr (CiModel) model = NULL;
  g_autoptr (CiModel) other = NULL;

  sparse_add_network (sparse, FCOS (GN, X101 ("32", "4", "")));
  path = write_sparse (sparse, "m.pth");
  check_bad (path, NULL, "", CI_ERROR_BAD_FORMAT,
      "m.pth|MS_X_101_32x8d_2x (57.375, 57.12, 58.395)|"
      "MS_X_101_64x4d_2x (1, 1, 1)|MODEL.PIXEL_STD");
  model = load_ok (path, NULL, "MODEL.PIXEL_STD=[57.375, 57.12, 58.395]");
  fail_unless (ci_model_get_config (model)->input.pixel_std[0] == 57.375f);
  fail_if (ci_model_get_config (model)->backbone.stride_in_1x1);

  sparse_add (sparse, "pixel_mean", CI_DTYPE_F32, 3, dims, values);
  sparse_add (sparse, "pixel_std", CI_DTYPE_F32, 3, dims, values);
  stored = write_sparse (sparse, "stored.pth");
  other = load_ok (stored, NULL, "");
  fail_unless (ci_model_get_config (other)->input.pixel_std[0] == 1);
}

GST_END_TEST;

/* Tensors of networks that are none of the family. */
GST_START_TEST (test_unknown_networks)
{
  static const gint64 wide[] = { 18, 4, 3, 3 }, head[] = { 32, 32, 3, 3 };
  static const gint64 one[] = { 8 };
  static const struct
  {
    const gchar *remove, *add;
    const gint64 *dims;
    gint n_dims;
    const gchar *wanted;
  } cases[] = {
    {"proposal_generator.fcos_head.cls_logits.weight", NULL, NULL, 0,
        "no FCOS head|cls_logits.weight"},
    {"backbone.bottom_up.stem.conv1.weight", NULL, NULL, 0,
        "backbone|ResNet, MobileNetV2, DLA and VoVNet"},
    {"backbone.bottom_up.res4.5.conv1.weight", NULL, NULL, 0,
        "3, 4, 5 and 3 bottleneck blocks"},
    {"backbone.fpn_lateral3.weight", NULL, NULL, 0, "neither FPN nor BiFPN"},
    {NULL, "backbone.fpn_lateral2.weight", head, 4, "begins at P2"},
    {NULL, "backbone.bottom_up.res3.1.conv2_offset.weight", wide, 4,
        "res3.1 has 18 offset channels"},
    {"mask_branch.tower.1.weight", NULL, NULL, 0, "mask_branch.tower.1"},
    {"proposal_generator.fcos_head.scales.4.scale", NULL, NULL, 0,
        "scales for 4 levels|5"},
    {NULL, "proposal_generator.fcos_head.cls_tower.1.running_mean", one, 1,
        "one batch norm for all levels"},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Sparse) sparse = sparse_new ();
    g_autofree gchar *path = NULL;

    sparse_add_network (sparse, NARROW_CONDINST (""));
    if (cases[i].remove)
      sparse_remove (sparse, cases[i].remove);
    if (cases[i].add)
      sparse_add (sparse, cases[i].add, CI_DTYPE_F32, cases[i].n_dims,
          cases[i].dims, NULL);
    path = write_sparse (sparse, "m.pth");
    check_bad (path, NULL, "", CI_ERROR_UNSUPPORTED, cases[i].wanted);
  }
}

GST_END_TEST;

/* Without a norm, what follows a convolution is the next but one. */
GST_START_TEST (test_bare_towers)
{
  static const gint64 dims[] = { 32, 32, 3, 3 };
  static const gchar *const names[] = { "cls_tower.2.weight",
    "bbox_tower.2.conv.weight"
  };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autoptr (Sparse) sparse = sparse_new ();
    g_autofree gchar *path = NULL;
    g_autofree gchar *name = g_strconcat ("proposal_generator.fcos_head.",
        names[i], NULL);

    sparse_add_network (sparse, "{\"architecture\":\"fcos\"" NARROW_R50 ("")
        NARROW_FPN ",\"fcos\":{\"num_cls_convs\":1,\"num_box_convs\":1}"
        THREE);
    sparse_add (sparse, name, CI_DTYPE_F32, 4, dims, NULL);
    path = write_sparse (sparse, "m.pth");
    check_bad (path, NULL, "", CI_ERROR_UNSUPPORTED,
        "m.pth: its towers have no normalisation|MODEL.FCOS.NORM");
  }
}

GST_END_TEST;

/* Deformable blocks that no interval explains; tensors of absurd shapes. */
GST_START_TEST (test_odd_shapes)
{
  static const gint64 offsets[] = { 27, 4, 3, 3 };
  static const gint64 huge[] = { G_GINT64_CONSTANT (5000000000), 0, 3, 3 };
  static const gint64 flat[] = { 32 }, none[] = { 0, 32, 3, 3 };
  static const struct
  {
    const gchar *name;
    const gint64 *dims;
    gint n_dims;
    CiError code;
    const gchar *wanted;
  } cases[] = {
    {"backbone.bottom_up.res4.1.conv2_offset.weight", offsets, 4,
        CI_ERROR_UNSUPPORTED, "follow no interval"},
    {"proposal_generator.fcos_head.cls_logits.weight", huge, 4,
        CI_ERROR_BAD_FORMAT, "expected 1 to 10000 classes"},
    {"proposal_generator.fcos_head.cls_logits.weight", none, 4,
        CI_ERROR_BAD_FORMAT, "classes, found 0"},
    {"backbone.fpn_lateral3.weight", huge, 4, CI_ERROR_BAD_FORMAT,
        "fpn.out_channels"},
    {"backbone.bottom_up.res2.0.conv2.weight", huge, 4,
        CI_ERROR_MISSING_TENSOR, "res2.0.conv2.weight"},
    {"backbone.bottom_up.stem.conv1.weight", flat, 1,
        CI_ERROR_MISSING_TENSOR, "stem.conv1.weight"},
    {"controller.weight", none, 4, CI_ERROR_BAD_FORMAT, "the 0 channels"},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Sparse) sparse = sparse_new ();
    g_autofree gchar *path = NULL;

    sparse_add_network (sparse, NARROW_CONDINST (""));
    sparse_add (sparse, cases[i].name, CI_DTYPE_F32, cases[i].n_dims,
        cases[i].dims, NULL);
    path = write_sparse (sparse, "m.pth");
    check_bad (path, NULL, "", cases[i].code, cases[i].wanted);
  }
}

GST_END_TEST;

static Suite *
recognise_suite (void)
{
  Suite *s = suite_create ("recognise");
  TCase *tc = tcase_create ("general");

  suite_add_tcase (s, tc);
  tcase_add_checked_fixture (tc, setup_dir, teardown_dir);
  tcase_set_timeout (tc, 60);
  tcase_add_loop_test (tc, test_published, 0, G_N_ELEMENTS (published));
  tcase_add_test (tc, test_file_names);
  tcase_add_test (tc, test_person);
  tcase_add_test (tc, test_unpublished);
  tcase_add_test (tc, test_trained_norm);
  tcase_add_test (tc, test_trained_names);
  tcase_add_test (tc, test_stored_values);
  tcase_add_test (tc, test_rounded_values);
  tcase_add_test (tc, test_ambiguous_head);
  tcase_add_test (tc, test_ambiguous_pixels);
  tcase_add_test (tc, test_unknown_networks);
  tcase_add_test (tc, test_bare_towers);
  tcase_add_test (tc, test_odd_shapes);
  return s;
}

GST_CHECK_MAIN (recognise);
