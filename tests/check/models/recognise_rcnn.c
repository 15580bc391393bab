/*
 * recognise_rcnn.c: Mask R-CNN and PointRend of detectron2 and torchvision from
 * the tensors of published models, and of broken ones.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model_helpers.h"

#include <string.h>

#include "models/coco.h"

#define COCO ",\"classes\":[" CI_COCO_CLASSES "]}"
#define RESNET(depth, more) "\"backbone\":{\"type\":\"resnet\"," \
    "\"norm\":\"bn\",\"depth\":" depth more "},"
#define X101 "\"input\":{\"pixel_std\":[57.375,57.12,58.395]}," \
    RESNET ("101", ",\"num_groups\":32,\"width_per_group\":8," \
        "\"stride_in_1x1\":false")
#define MODEL(name, backbone, more) "{\"architecture\":\"" name "\"," \
    backbone more "\"inference\":{\"nms_threshold\":0.5}" COCO
#define RGB "\"input\":{\"channel_order\":\"RGB\"," \
    "\"pixel_mean\":[123.675,116.28,103.53]," \
    "\"pixel_std\":[58.395,57.12,57.375]," \
    "\"resize\":\"keep_ratio_floor\",\"interpolation\":\"bilinear\"},"
#define TORCHVISION(depth, eps, old, more) MODEL ("maskrcnn", RGB \
    RESNET (depth, ",\"names\":\"torchvision\",\"stride_in_1x1\":false," \
        "\"norm_eps\":" eps), "\"rcnn\":{\"code_base\":\"torchvision\"," \
    "\"old_names\":" old "}," more)
/* of torchvision's second version, and of detectron2's new baselines */
#define V2_HEADS "\"fpn\":{\"norm\":\"bn\"},\"rpn\":{\"num_convs\":2}," \
    "\"box_head\":{\"num_convs\":4,\"norm\":\"bn\",\"num_fcs\":1}," \
    "\"mask_head\":{\"norm\":\"bn\"},"
#define TORCHVISION_V2 TORCHVISION ("50", "0.00001", "false", V2_HEADS)

static const gchar *const published[] = {
  MODEL ("maskrcnn", RESNET ("50", ""), ""),
  MODEL ("maskrcnn", RESNET ("101", ""), ""),
  MODEL ("maskrcnn", X101, ""),
  MODEL ("maskrcnn", RESNET ("50", ""), V2_HEADS),
  TORCHVISION ("50", "0", "true", ""),
  TORCHVISION ("50", "0", "false", ""),
  TORCHVISION_V2,
  MODEL ("pointrend", RESNET ("50", ""), ""),
  MODEL ("pointrend", RESNET ("101", ""), ""),
  MODEL ("pointrend", X101, ""),
  MODEL ("pointrend", RESNET ("50", ""), "\"rcnn\":{\"old_names\":true},"),
};

/* Other widths and numbers of layers. */
#define NARROW RESNET ("50", ",\"stem_out_channels\":8," \
    "\"res2_out_channels\":16,\"width_per_group\":4") \
    "\"fpn\":{\"out_channels\":24},"
#define NARROW_MASKRCNN MODEL ("maskrcnn", NARROW, \
    "\"box_head\":{\"fc_channels\":40,\"num_fcs\":3," \
    "\"class_agnostic\":true},\"mask_head\":{\"channels\":20," \
    "\"num_convs\":2,\"class_agnostic\":true},")
#define NARROW_POINTREND MODEL ("pointrend", NARROW, \
    "\"box_head\":{\"fc_channels\":40},\"pointrend\":{" \
    "\"coarse_head\":{\"reduced_channels\":12,\"channels\":16," \
    "\"fc_channels\":32,\"num_fcs\":1},\"point_head\":{\"channels\":28," \
    "\"num_layers\":2}},")

#define NARROW_GN MODEL ("maskrcnn", NARROW, \
    "\"box_head\":{\"num_convs\":2,\"conv_channels\":64," \
    "\"norm\":\"gn\",\"fc_channels\":40,\"num_fcs\":2}," \
    "\"mask_head\":{\"channels\":32,\"norm\":\"gn\"},")

static const gchar *const unpublished[] = {
  NARROW_MASKRCNN,
  NARROW_GN,
  TORCHVISION ("101", "0.00001", "false", ""),
  TORCHVISION ("152", "0.00001", "false", ""),
  TORCHVISION ("34", "0.00001", "false", "\"rpn\":{\"num_convs\":3},"
      "\"box_head\":{\"num_convs\":1,\"conv_channels\":24,"
      "\"fc_channels\":40,\"num_fcs\":2},"),
  NARROW_POINTREND,
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

/* Norms that count their batches are not those of published weights, whose eps
 * torchvision sets to 0. */
GST_START_TEST (test_trained_norm)
{
  g_autoptr (Sparse) sparse = sparse_new ();
  g_autoptr (CiModel) model = NULL;
  g_autofree gchar *path = NULL;

  sparse_add_network (sparse, TORCHVISION ("50", "0", "false", ""));
  sparse_add (sparse, "backbone.body.bn1.num_batches_tracked", CI_DTYPE_I64,
      0, NULL, NULL);
  path = write_sparse (sparse, "m.pth");
  model = load_ok (path, NULL, "");
  fail_unless_equals_float (ci_model_get_config (model)->backbone.norm_eps,
      1e-5f);
}

GST_END_TEST;

/* What detectron2's configuration says besides. */
GST_START_TEST (test_settings)
{
  g_autofree gchar *path = write_network ("m.pth", NARROW_MASKRCNN);
  g_autoptr (CiModel) model = load_ok (path, NULL,
      "MODEL.META_ARCHITECTURE=GeneralizedRCNN|"
      "MODEL.RPN.POST_NMS_TOPK_TEST=300|MODEL.ROI_HEADS.NMS_THRESH_TEST=0.4");
  const CiConfig *config = ci_model_get_config (model);

  fail_unless_equals_int (config->rcnn.post_nms_top_n, 300);
  fail_unless_equals_float (config->inference.nms_threshold, 0.4);
  fail_unless_equals_string (ci_model_get_class_name (model, 79),
      "toothbrush");
  check_bad (path, NULL, "MODEL.META_ARCHITECTURE=CondInst",
      CI_ERROR_BAD_FORMAT, "maskrcnn");
  check_bad (path, NULL, "MODEL.ROI_BOX_HEAD.FC_DIM=41", CI_ERROR_BAD_FORMAT,
      "FC_DIM");
  /* detectron2 writes it whether there are such convolutions or not */
  g_clear_pointer (&model, ci_model_unref);
  model = load_ok (path, NULL, "MODEL.ROI_BOX_HEAD.NUM_CONV=0|"
      "MODEL.ROI_BOX_HEAD.CONV_DIM=256");
  check_bad (path, NULL, "MODEL.ROI_BOX_HEAD.NUM_CONV=4", CI_ERROR_BAD_FORMAT,
      "NUM_CONV");
  check_bad (path, NULL, "MODEL.ROI_MASK_HEAD.NORM=GN", CI_ERROR_BAD_FORMAT,
      "ROI_MASK_HEAD.NORM");
  check_bad (path, NULL, "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION=14",
      CI_ERROR_UNSUPPORTED, "POOLER_RESOLUTION");
}

GST_END_TEST;

/* A tensor that does not fit, or that tells of something else. */
static const struct
{
  const gchar *json, *name;
  gint n_dims;
  gint64 dims[4];
  CiError code;
  const gchar *wanted;
} broken[] = {
  {NARROW_MASKRCNN, "roi_heads.box_head.conv1.weight", 4, {24, 24, 3, 3},
      CI_ERROR_MISSING_TENSOR, "roi_heads.box_head.conv1.bias"},
  {NARROW_MASKRCNN, "roi_heads.box_predictor.bbox_pred.weight", 2, {2, 40},
      CI_ERROR_UNSUPPORTED, "no box head"},
  {NARROW_MASKRCNN, "roi_heads.box_predictor.bbox_pred.weight", 2, {8, 40},
      CI_ERROR_MISSING_TENSOR, "bbox_pred"},
  {NARROW_MASKRCNN, "roi_heads.box_head.fc2.weight", 2, {40, 41},
      CI_ERROR_MISSING_TENSOR, "roi_heads.box_head.fc2.weight"},
  {NARROW_MASKRCNN, "roi_heads.mask_head.predictor.weight", 4, {0, 20, 1, 1},
      CI_ERROR_UNSUPPORTED, "mask head"},
  {NARROW_MASKRCNN, "backbone.fpn_lateral2.weight", 4, {1 << 20, 16, 1, 1},
      CI_ERROR_BAD_FORMAT, "fpn.out_channels"},
  {NARROW_MASKRCNN, "roi_heads.mask_head.parameter_head.fc1.weight", 2,
        {8, 8}, CI_ERROR_UNSUPPORTED, "Implicit PointRend"},
  {NARROW_POINTREND, "roi_heads.mask_head.point_head.fc2.weight", 3,
        {28, 100, 1}, CI_ERROR_MISSING_TENSOR, "point_head.fc2.weight"},
  {NARROW_POINTREND,
        "roi_heads.mask_head.coarse_head.reduce_spatial_dim_conv.weight", 4,
        {0, 12, 2, 2}, CI_ERROR_UNSUPPORTED, "coarse head"},
  {TORCHVISION ("50", "0", "false", ""), "rpn.head.conv.1.0.weight", 4,
        {256, 256, 3, 3}, CI_ERROR_MISSING_TENSOR, "rpn.head.conv.1.0.bias"},
  {TORCHVISION_V2, "roi_heads.box_head.2.0.weight", 4, {256, 128, 3, 3},
      CI_ERROR_MISSING_TENSOR, "roi_heads.box_head.2.0.weight"},
  {TORCHVISION_V2, "roi_heads.box_head.4.0.weight", 4, {256, 256, 3, 3},
      CI_ERROR_UNSUPPORTED, "fully connected layers"},
  {TORCHVISION_V2, "backbone.fpn.layer_blocks.3.1.running_var", 1, {255},
      CI_ERROR_MISSING_TENSOR, "backbone.fpn.layer_blocks.3.1.running_var"},
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
    {MODEL ("maskrcnn", RESNET ("50", ""), "\"rpn\":{\"pre_nms_top_n\":0},"),
        "rpn.pre_nms_top_n"},
    {MODEL ("maskrcnn", RESNET ("50", ""), "\"box_head\":{\"num_fcs\":0},"),
        "box_head.num_fcs"},
    {MODEL ("maskrcnn", RESNET ("50", ""), "\"rcnn\":{\"code_base\":"
          "\"torchvision\"},\"box_head\":{\"num_fcs\":3},"),
        "box_head.num_fcs"},
    {TORCHVISION ("50", "0", "true", "\"fpn\":{\"norm\":\"bn\"},"),
        "fpn.norm"},
    {TORCHVISION ("50", "0", "true", "\"rpn\":{\"num_convs\":2},"),
        "rpn.num_convs"},
    {TORCHVISION ("50", "0", "true", "\"mask_head\":{\"norm\":\"gn\"},"),
        "mask_head.norm"},
    {MODEL ("maskrcnn", RESNET ("50", ""), "\"rpn\":{\"num_convs\":0},"),
        "rpn.num_convs"},
    {MODEL ("maskrcnn", RESNET ("50", ""), "\"box_head\":{\"num_convs\":1,"
          "\"conv_channels\":48,\"norm\":\"gn\"},"),
        "box_head.conv_channels"},
    {MODEL ("maskrcnn", RESNET ("50", ""), "\"mask_head\":{\"channels\":"
          "\"many\"},"), "mask_head.channels"},
    {MODEL ("pointrend", RESNET ("50", ""), "\"pointrend\":{\"num_steps\":"
          "9},"), "pointrend.num_steps"},
    {MODEL ("pointrend", RESNET ("50", ""), "\"rcnn\":{\"code_base\":"
          "\"torchvision\"},"), "code_base"},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    check_bad_description (cases[i][0], cases[i][1]);
}

GST_END_TEST;

static Suite *
recognise_suite (void)
{
  Suite *s = suite_create ("recognise-rcnn");
  TCase *tc = tcase_create ("general");

  suite_add_tcase (s, tc);
  tcase_add_checked_fixture (tc, setup_dir, teardown_dir);
  tcase_set_timeout (tc, 60);
  tcase_add_loop_test (tc, test_published, 0, G_N_ELEMENTS (published));
  tcase_add_loop_test (tc, test_unpublished, 0, G_N_ELEMENTS (unpublished));
  tcase_add_loop_test (tc, test_broken, 0, G_N_ELEMENTS (broken));
  tcase_add_test (tc, test_trained_norm);
  tcase_add_test (tc, test_settings);
  tcase_add_test (tc, test_bad_descriptions);
  return s;
}

GST_CHECK_MAIN (recognise);
