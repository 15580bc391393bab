/*
 * recognise_solo.c: SOLO, Decoupled SOLO and SOLOv2 from the tensors of every
 * published model, and of broken ones.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model_helpers.h"

#include <string.h>

#include "models/coco.h"

#define COCO ",\"classes\":[" CI_COCO_CLASSES "]}"
#define INPUT(min, max) "\"input\":{\"channel_order\":\"RGB\"," \
    "\"pixel_mean\":[123.675,116.28,103.53]," \
    "\"pixel_std\":[58.395,57.12,57.375],\"resize\":\"keep_ratio\"," \
    "\"interpolation\":\"opencv\",\"min_size\":" min "," \
    "\"max_size\":" max "},"
#define LARGE INPUT ("800", "1333")
#define RESNET(depth, more) "\"backbone\":{\"type\":\"resnet\"," \
    "\"names\":\"mmdetection\",\"norm\":\"bn\",\"stride_in_1x1\":false," \
    "\"depth\":" depth more "},"
#define DCN ",\"deform_on_per_stage\":[false,true,true,true]"
#define INFERENCE "\"inference\":{\"inference_threshold\":0.1," \
    "\"pre_nms_top_k\":500,\"score_threshold\":0.3}" COCO
#define MODEL(name, input, backbone, solo) "{\"architecture\":\"" name "\"," \
    input backbone "\"solo\":{" solo "}," INFERENCE

static const gchar *const published[] = {
  MODEL ("solo", LARGE, RESNET ("50", ""), ""),
  MODEL ("solo", LARGE, RESNET ("101", ""), ""),
  MODEL ("decoupled_solo", LARGE, RESNET ("50", ""), ""),
  MODEL ("decoupled_solo", INPUT ("512", "852"), RESNET ("50", ""),
      "\"stacked_convs\":4,\"separate_towers\":false,"
      "\"prediction_kernel\":3"),
  MODEL ("decoupled_solo", INPUT ("512", "852"), RESNET ("50", DCN),
      "\"stacked_convs\":4,\"separate_towers\":false,"
      "\"prediction_kernel\":3,\"deformable_convs\":\"last\""),
  MODEL ("solov2", LARGE, RESNET ("50", ""), ""),
  MODEL ("solov2", LARGE, RESNET ("101", DCN),
      "\"deformable_convs\":\"all\""),
  MODEL ("solov2", LARGE, RESNET ("101", ",\"num_groups\":64,"
          "\"width_per_group\":4" DCN), "\"deformable_convs\":\"all\""),
  MODEL ("solov2", INPUT ("448", "768"), RESNET ("18", ""),
      "\"stacked_convs\":2,\"seg_feat_channels\":256,"
      "\"ins_out_channels\":128"),
  MODEL ("solov2", INPUT ("448", "768"), RESNET ("34", ""),
      "\"stacked_convs\":2,\"seg_feat_channels\":256,"
      "\"ins_out_channels\":128"),
  MODEL ("solov2", INPUT ("512", "852"), RESNET ("50", DCN),
      "\"stacked_convs\":2,\"seg_feat_channels\":256,"
      "\"ins_out_channels\":128,\"deformable_convs\":\"last\""),
};

/* Other widths and grids. */
#define NARROW_R50 RESNET ("50", ",\"stem_out_channels\":8," \
    "\"res2_out_channels\":16,\"width_per_group\":4")
#define NARROW(name, solo) MODEL (name, LARGE, NARROW_R50 \
    "\"fpn\":{\"out_channels\":24},", "\"num_grids\":[7,5,4,3,2]," \
    "\"seg_feat_channels\":32," solo)
#define NARROW_SOLO NARROW ("solo", "\"stacked_convs\":7")
#define NARROW_SOLOV2 MODEL ("solov2", LARGE, NARROW_R50, \
    "\"seg_feat_channels\":32,\"feature_channels\":64," \
    "\"ins_out_channels\":96")

static const gchar *const unpublished[] = {
  NARROW_SOLO,
  NARROW ("decoupled_solo", "\"prediction_kernel\":1"),
  NARROW_SOLOV2,
};

GST_START_TEST (test_published)
{
  check_network (published[__i__]);
}

GST_END_TEST;

GST_START_TEST (test_unpublished)
{
  check_network (unpublished[__i__]);
}

GST_END_TEST;

/* What is known besides. */
GST_START_TEST (test_settings)
{
  g_autofree gchar *path = write_network ("m.pth", NARROW_SOLOV2);
  g_autoptr (CiModel) model = load_ok (path, NULL,
      "INPUT.MIN_SIZE_TEST=320|INPUT.MAX_SIZE_TEST=600");
  gint min_size, max_size;

  ci_model_get_test_size (model, &min_size, &max_size);
  fail_unless_equals_int (min_size, 320);
  fail_unless_equals_int (max_size, 600);
  check_bad (path, NULL, "MODEL.META_ARCHITECTURE=CondInst",
      CI_ERROR_BAD_FORMAT, "solov2");
}

GST_END_TEST;

/* One tensor that does not fit. */
static const struct
{
  const gchar *json, *name;
  gint n_dims;
  gint64 dims[4];
  CiError code;
  const gchar *wanted;
} broken[] = {
  {NARROW_SOLO, "bbox_head.solo_ins_list.1.weight", 4, {26, 32, 1, 1},
      CI_ERROR_UNSUPPORTED, "the 26 channels of bbox_head.solo_ins_list.1"},
  {NARROW_SOLO, "bbox_head.solo_ins_list.5.weight", 4, {4, 32, 1, 1},
      CI_ERROR_UNSUPPORTED, "more than 5 levels"},
  {NARROW_SOLO, "bbox_head.cate_convs.0.conv.weight", 4, {40, 24, 3, 3},
      CI_ERROR_BAD_FORMAT, "solo.seg_feat_channels"},
  {NARROW_SOLO, "bbox_head.cate_convs.6.conv.conv_offset.weight", 4,
        {18, 32, 3, 3}, CI_ERROR_UNSUPPORTED, "18 offset channels"},
  {NARROW_SOLO, "bbox_head.cate_convs.3.conv.conv_offset.weight", 4,
        {27, 32, 3, 3}, CI_ERROR_UNSUPPORTED, "1 of the 7 convolutions"},
  {NARROW_SOLO, "bbox_head.ins_convs.2.conv.weight", 4, {32, 40, 3, 3},
      CI_ERROR_MISSING_TENSOR, "bbox_head.ins_convs.2.conv.weight"},
  {NARROW_SOLOV2, "bbox_head.solo_kernel.weight", 4, {100, 32, 3, 3},
      CI_ERROR_BAD_FORMAT, "solo.ins_out_channels"},
  {NARROW_SOLOV2, "neck.lateral_convs.0.conv.weight", 4, {1 << 20, 16, 1, 1},
      CI_ERROR_BAD_FORMAT, "fpn.out_channels"},
};

GST_START_TEST (test_broken)
{
  g_autoptr (Sparse) sparse = sparse_new ();
  g_autofree gchar *path = NULL;

  sparse_add_network (sparse, broken[__i__].json);
  sparse_add (sparse, broken[__i__].name, CI_DTYPE_F32, broken[__i__].n_dims,
      broken[__i__].dims, NULL);
  path = write_sparse (sparse, "m.pth");
  check_bad (path, NULL, "", broken[__i__].code, broken[__i__].wanted);
}

GST_END_TEST;

/* Descriptions that contradict themselves. */
GST_START_TEST (test_bad_descriptions)
{
  static const gchar *const cases[][2] = {
    {MODEL ("solov2", LARGE, RESNET ("50", ""),
          "\"num_grids\":[40,36,24,16]"), "solo.num_grids"},
    {MODEL ("solov2", LARGE, RESNET ("50", ""),
          "\"num_grids\":[40,36,24,16,0]"), "solo.num_grids"},
    {MODEL ("solov2", LARGE, RESNET ("50", ""),
          "\"num_grids\":[65,36,24,16,12]"), "solo.num_grids"},
    {MODEL ("solov2", LARGE, RESNET ("50", ""),
          "\"num_grids\":[40,36,24,16,1.5]"), "solo.num_grids"},
    {MODEL ("solov2", LARGE, RESNET ("50", ""),
          "\"feature_channels\":100"), "solo.feature_channels"},
    {MODEL ("decoupled_solo", LARGE, RESNET ("50", ""),
          "\"prediction_kernel\":2"), "solo.prediction_kernel"},
    {MODEL ("solo", LARGE, RESNET ("50", ""),
          "\"deformable_convs\":\"some\""), "solo.deformable_convs"},
    {MODEL ("solo", LARGE, RESNET ("50", ""), "\"kernel\":\"hard\""),
        "solo.kernel"},
    {MODEL ("solo", LARGE, RESNET ("50", ""), "\"stacked_convs\":0"),
        "solo.stacked_convs"},
    {MODEL ("solo", "\"input\":{\"size_divisor\":16},", RESNET ("50", ""),
          ""), "input.size_divisor"},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    check_bad_description (cases[i][0], cases[i][1]);
}

GST_END_TEST;

static Suite *
recognise_suite (void)
{
  Suite *s = suite_create ("recognise-solo");
  TCase *tc = tcase_create ("general");

  suite_add_tcase (s, tc);
  tcase_add_checked_fixture (tc, setup_dir, teardown_dir);
  tcase_set_timeout (tc, 60);
  tcase_add_loop_test (tc, test_published, 0, G_N_ELEMENTS (published));
  tcase_add_loop_test (tc, test_unpublished, 0, G_N_ELEMENTS (unpublished));
  tcase_add_loop_test (tc, test_broken, 0, G_N_ELEMENTS (broken));
  tcase_add_test (tc, test_settings);
  tcase_add_test (tc, test_bad_descriptions);
  return s;
}

GST_CHECK_MAIN (recognise);
