/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "random.h"

#include <math.h>
#include <string.h>

#include "blocks.h"
#include "coco.h"

#define RESNET(depth, more) "\"backbone\":{\"type\":\"resnet\"," \
    "\"norm\":\"bn\",\"depth\":" #depth more "},"
#define DCN_I3 ",\"deform_on_per_stage\":[false,true,true,true]," \
    "\"deform_interval\":3"
#define DCN_45 ",\"deform_on_per_stage\":[false,false,true,true]"
#define RESNEXT(groups, width, more) RESNET (101, ",\"num_groups\":" #groups \
    ",\"width_per_group\":" #width ",\"stride_in_1x1\":false" more)
#define DLA34 "\"backbone\":{\"type\":\"dla\",\"norm\":\"bn\",\"depth\":34},"
#define VOVNET(depth) "\"backbone\":{\"type\":\"vovnet\",\"norm\":\"bn\"," \
    "\"depth\":" #depth "},"
#define BIFPN "\"fpn\":{\"type\":\"bifpn\",\"out_channels\":160," \
    "\"norm\":\"bn\"},"

/* test sizes and levels */
#define RGB "{\"channel_order\":\"RGB\"," \
    "\"pixel_mean\":[123.675,116.28,103.53]," \
    "\"pixel_std\":[58.395,57.12,57.375]"
#define BGR_STD "\"input\":{\"pixel_std\":[57.375,57.12,58.395]},"
#define S550 "\"input\":{\"min_size\":550,\"max_size\":916}," \
    "\"fpn\":{\"top_levels\":1},"
#define RT "\"input\":{\"min_size\":512,\"max_size\":736}," \
    "\"fpn\":{\"top_levels\":0},"

/* towers; what is not said is as in the official CondInst */
#define TOWERS(more) "\"fcos\":{\"norm\":\"gn\"" more "},"
#define BN_TOWERS(more) "\"fcos\":{\"norm\":\"bn\"" more "},"
#define SHARED(n) ",\"num_share_convs\":" #n ",\"num_cls_convs\":0," \
    "\"num_box_convs\":0"
#define NO_SCALE ",\"use_scale\":false"
#define CLS_ONLY ",\"thresh_with_ctr\":false"
#define DCN_TOWERS CLS_ONLY ",\"use_deformable\":true"

#define CONDINST "\"architecture\":\"condinst\"," \
    "\"condinst\":{\"mask_branch\":{\"norm\":\"bn\"}}"
#define BOXINST "\"architecture\":\"condinst\"," \
    "\"condinst\":{\"mask_branch\":{\"norm\":\"bn\",\"out_channels\":16}}"
#define FCOS "\"architecture\":\"fcos\""
#define BLENDMASK(n_convs) "\"architecture\":\"blendmask\"," \
    "\"blendmask\":{\"basis_norm\":\"bn\",\"basis_num_convs\":" #n_convs "}"

/* mmdetection's names; in RGB */
#define MMDETECTION(depth, more) RESNET (depth, ",\"names\":" \
    "\"mmdetection\",\"stride_in_1x1\":false" more)
#define DCN_345 ",\"deform_on_per_stage\":[false,true,true,true]"
#define SOLO(name, size, more) "\"architecture\":\"" name "\"," \
    "\"input\":" RGB ",\"resize\":\"keep_ratio\"," \
    "\"interpolation\":\"opencv\"" size "},\"solo\":{" more "}," \
    "\"inference\":{\"inference_threshold\":0.1,\"pre_nms_top_k\":500," \
    "\"score_threshold\":0.3}"
#define LIGHT(convs, more) "\"stacked_convs\":" #convs "," more

/* of YOLACT's code; in RGB */
#define YOLACT(size, pixels, backbone, more) "\"architecture\":\"yolact\"," \
    "\"input\":{\"channel_order\":\"RGB\",\"resize\":\"fixed\"," \
    "\"interpolation\":\"bilinear\",\"size_divisor\":1,\"min_size\":" #size \
    ",\"max_size\":" #size "," pixels "}," backbone "\"yolact\":{" more "}," \
    "\"inference\":{\"nms_threshold\":0.5,\"pre_nms_top_k\":200," \
    "\"score_threshold\":0.15}"
#define YOLACT_RESNET(depth, size, deform, more) YOLACT (size, \
    "\"pixel_mean\":[123.68,116.78,103.94],\"pixel_std\":[58.4,57.12,57.38]", \
    RESNET (depth, ",\"names\":\"yolact\",\"stride_in_1x1\":false" deform), \
    more)
#define YOLACT_PLUS "\"scales_per_octave\":3,\"square_anchors\":false," \
    "\"maskiou_channels\":[8,16,32,64,128]"

#define V2_HEADS "\"fpn\":{\"norm\":\"bn\"},\"rpn\":{\"num_convs\":2}," \
    "\"box_head\":{\"num_convs\":4,\"norm\":\"bn\",\"num_fcs\":1}," \
    "\"mask_head\":{\"norm\":\"bn\"},"
#define RCNN(name) "\"architecture\":\"" name "\"," \
    "\"inference\":{\"nms_threshold\":0.5}"

/* Ours, and what differs among AdelaiDet's published networks (SEMANTICS 13).
 * Names and COCO's classes are added. */
static const struct
{
  const gchar *name, *json;
} architectures[] = {
  {"condinst-r18", RESNET (18, "") TOWERS ("") CONDINST},
  {"condinst-r34", RESNET (34, "") TOWERS ("") CONDINST},
  {"condinst-r50", RESNET (50, "") TOWERS ("") CONDINST},
  {"condinst-r101", RESNET (101, "") TOWERS ("") CONDINST},
  {"condinst-r50-bifpn", RESNET (50, "") BIFPN TOWERS ("") CONDINST},
  {"condinst-r101-bifpn", RESNET (101, "") BIFPN TOWERS ("") CONDINST},
  {"condinst-mobilenet-v2", "\"input\":" RGB "},"
        "\"backbone\":{\"type\":\"mobilenet_v2\",\"norm\":\"bn\"},"
        TOWERS ("") CONDINST},
  /* models/train/network.py */
  {"condinst-light", "\"architecture\":\"condinst\","
        "\"input\":" RGB ",\"min_size\":288,\"max_size\":512},"
        "\"backbone\":{\"type\":\"mobilenet_v2\"},"
        "\"fpn\":{\"out_channels\":96,\"output_convs\":false,"
        "\"top_levels\":1},\"fcos\":{\"num_cls_convs\":2,"
        "\"num_box_convs\":2,\"prediction_kernel\":1,"
        "\"sizes_of_interest\":[48,96,192]},"
        "\"condinst\":{\"mask_branch\":{\"channels\":64,\"num_convs\":2}},"
        "\"classes\":[\"person\",\"cat\",\"car\",\"bicycle\","
        "\"motorcycle\"]"},
  {"boxinst-r50", RESNET (50, "") TOWERS ("") BOXINST},
  {"boxinst-r101", RESNET (101, "") TOWERS ("") BOXINST},
  {"boxinst-r101-dcni3-bifpn", RESNET (101, DCN_I3) BIFPN TOWERS ("")
      BOXINST},
  {"fcos-r50", RESNET (50, "") TOWERS (CLS_ONLY) FCOS},
  {"fcos-r101", RESNET (101, "") TOWERS (CLS_ONLY) FCOS},
  {"fcos-x101-32x8d", BGR_STD RESNEXT (32, 8, "") TOWERS (CLS_ONLY) FCOS},
  {"fcos-x101-64x4d", RESNEXT (64, 4, "") TOWERS (CLS_ONLY) FCOS},
  {"fcos-x101-32x8d-dcnv2", BGR_STD RESNEXT (32, 8, DCN_45)
      TOWERS (DCN_TOWERS) FCOS},
  {"fcos-x101-64x4d-dcnv2", RESNEXT (64, 4, DCN_45) TOWERS (DCN_TOWERS)
      FCOS},
  {"fcos-v39", VOVNET (39) TOWERS (CLS_ONLY) FCOS},
  {"fcos-v57", VOVNET (57) TOWERS (CLS_ONLY) FCOS},
  {"fcos-v99", VOVNET (99) TOWERS (CLS_ONLY) FCOS},
  {"fcos-rt-r50", RT RESNET (50, "") TOWERS (CLS_ONLY) FCOS},
  {"fcos-rt-r50-bn-head", RT RESNET (50, "") BN_TOWERS (CLS_ONLY) FCOS},
  {"fcos-rt-dla34", RT DLA34 TOWERS (CLS_ONLY) FCOS},
  {"fcos-rt-dla34-bn-head", RT DLA34 BN_TOWERS (CLS_ONLY) FCOS},
  {"fcos-rt-dla34-shared", RT DLA34 TOWERS (SHARED (4) CLS_ONLY) FCOS},
  {"fcos-rt-dla34-shared-bn-head", RT DLA34 BN_TOWERS (SHARED (4) CLS_ONLY)
      FCOS},
  {"blendmask-r50", RESNET (50, "") TOWERS (NO_SCALE) BLENDMASK (3)},
  {"blendmask-r101", RESNET (101, "") TOWERS (NO_SCALE) BLENDMASK (3)},
  {"blendmask-r101-dcni3", RESNET (101, DCN_I3) TOWERS (NO_SCALE)
      BLENDMASK (3)},
  {"blendmask-550-r50", S550 RESNET (50, "") TOWERS (SHARED (3) NO_SCALE)
      BLENDMASK (2)},
  {"blendmask-550-r50-dcni3", S550 RESNET (50, DCN_I3)
      TOWERS (SHARED (3) NO_SCALE) BLENDMASK (2)},
  {"blendmask-rt-r50", RT RESNET (50, "") TOWERS (SHARED (3) NO_SCALE)
      BLENDMASK (2)},
  {"blendmask-rt-r50-bn-head", RT RESNET (50, "")
      BN_TOWERS (SHARED (3) NO_SCALE) BLENDMASK (2)},
  {"blendmask-dla34", RT DLA34 TOWERS (NO_SCALE) BLENDMASK (3)},
  {"yolact-r50", YOLACT_RESNET (50, 550, "", "")},
  {"yolact-r101", YOLACT_RESNET (101, 550, "", "")},
  {"yolact-im700-r101", YOLACT_RESNET (101, 700, "",
            "\"scales\":[30,61,122,244,488]")},
  {"yolact-darknet53", YOLACT (550, "\"pixel_mean\":[0,0,0],"
            "\"pixel_std\":[255,255,255]", "\"backbone\":{\"type\":\"darknet\","
            "\"norm\":\"bn\",\"depth\":53},", "")},
  {"yolact-plus-r50", YOLACT_RESNET (50, 550, DCN_345, YOLACT_PLUS)},
  {"yolact-plus-r101", YOLACT_RESNET (101, 550, DCN_I3, YOLACT_PLUS)},
  {"maskrcnn-r50", RESNET (50, "") RCNN ("maskrcnn")},
  {"maskrcnn-r101", RESNET (101, "") RCNN ("maskrcnn")},
  {"maskrcnn-x101-32x8d", BGR_STD RESNEXT (32, 8, "") RCNN ("maskrcnn")},
  /* torchvision's second version, in detectron2's arithmetic */
  {"maskrcnn-r50-v2", RESNET (50, ",\"stride_in_1x1\":false") V2_HEADS
      RCNN ("maskrcnn")},
  {"pointrend-r50", RESNET (50, "") RCNN ("pointrend")},
  {"solo-r50", MMDETECTION (50, "") SOLO ("solo", "", "")},
  {"decoupled-solo-r50", MMDETECTION (50, "")
        SOLO ("decoupled_solo", "", "")},
  {"decoupled-solo-light-r50", MMDETECTION (50, "") SOLO ("decoupled_solo",
            ",\"min_size\":512,\"max_size\":852", LIGHT (4,
                "\"separate_towers\":false,\"prediction_kernel\":3"))},
  {"solov2-r50", MMDETECTION (50, "") SOLO ("solov2", "", "")},
  {"solov2-r101-dcn", MMDETECTION (101, DCN_345) SOLO ("solov2", "",
            "\"deformable_convs\":\"all\"")},
  {"solov2-light-448-r18", MMDETECTION (18, "") SOLO ("solov2",
            ",\"min_size\":448,\"max_size\":768", LIGHT (2,
                "\"seg_feat_channels\":256,\"ins_out_channels\":128"))},
};

CiConfig *
ci_random_config (const gchar * name, GError ** error)
{
  g_autoptr (GString) known = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (architectures); i++) {
    const gchar *json = architectures[i].json;

    if (g_str_equal (architectures[i].name, name)) {
      g_autofree gchar *whole = g_strdup_printf ("{\"name\":\"%s\",%s%s}",
          name, json, strstr (json, "\"classes\"") ? "" : ",\"classes\":["
          CI_COCO_CLASSES "]");

      return ci_config_parse (whole, name, error);
    }
    g_string_append_printf (known, "%srandom:%s", i ? ", " : "",
        architectures[i].name);
  }
  g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
      "there is no model random:%.60s (%s)", name, known->str);
  return NULL;
}

void
ci_random_fill (gfloat * dst, gsize n, const gchar * name, guint seed,
    gdouble offset, gdouble scale)
{
  g_autofree gchar *text = g_strdup_printf ("%s#%u", name, seed);
  guint64 state = G_GUINT64_CONSTANT (0xcbf29ce484222325);

  for (const gchar * p = text; *p; p++)
    state = (state ^ (guchar) * p) * G_GUINT64_CONSTANT (0x100000001b3);
  for (gsize i = 0; i < n; i++) {
    guint64 z = state += G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
    z ^= z >> 31;
    dst[i] = offset + scale * ((gint32) (z >> 40) / 8388608.0 - 1.0);
  }
}

/* One of few with which every architecture finds something in a photograph. */
#define SEED 3

/* Size of a convolution's results compared with He's initialisation, which
 * keeps it through convolution and ReLU. */
static gdouble
backbone_gain (const CiConfig * config, const gchar * name)
{
  /* what ends a block has no ReLU behind it, or is added to the block's input,
   * once per block */
  switch (config->backbone.type) {
    case CI_BACKBONE_RESNET:
      return g_str_has_suffix (name, config->backbone.depth < 50 ?
          "conv2.weight" : "conv3.weight") ?
          sqrt (3.0 / config->backbone.depth) : 1;
    case CI_BACKBONE_MOBILENET_V2:
      return g_str_has_suffix (name, "conv.6.weight") ? 0.7 : 1;
    case CI_BACKBONE_DLA:
      return strstr (name, "conv2.") || strstr (name, "project.") ? 0.7 : 1;
    case CI_BACKBONE_VOVNET:
      /* the first module of a stage has nothing to add to */
      return strstr (name, "_concat/") && !strstr (name, "_1_concat/") ? 0.3
          : 1;
    case CI_BACKBONE_DARKNET:
      return strstr (name, ".conv2.") ? 0.1 : 1;
  }
  return 1;
}

static gdouble
conv_gain (const CiConfig * config, const gchar * name, gint in_channels)
{
  static const struct
  {
    const gchar *part;
    gdouble gain;
  } gains[] = {
    {"offset.", 0.2}, {"ese.fc", 0.2}, {"res6.reduction", 0.2},
    {"fpn_lateral", 0.2}, {"fpn_output", 0.7}, {"top_block", 0.7},
    {"lateral_convs", 0.2}, {"fpn_convs", 0.7}, {"solo_cate", 1.2},
    {".lateral_", 0.2}, {".outputs_f", 1.57},
    {"cls_logits", 0.57}, {"bbox_pred", 0.5}, {"ctrness", 0.7},
    {"controller", 0.5}, {"mask_branch.refine", 0.4},
    {"top_layer", 0.5}, {"basis_module.refine", 0.4},
    {"lat_layers", 0.2}, {"pred_layers", 0.7}, {"bbox_layer", 0.75},
    {"conf_layer", 0.75},
    {"objectness_logits", 0.5}, {"anchor_deltas", 0.1}, {"cls_score", 1.5},
  };

  for (guint i = 0; i < G_N_ELEMENTS (gains); i++)
    if (strstr (name, gains[i].part))
      return gains[i].gain;
  if (!g_str_has_prefix (name, config->backbone.type == CI_BACKBONE_DARKNET ?
          "backbone." : ci_resnet_names[config->backbone.names].prefix))
    return 1;
  /* pixels are about 60 away from the mean; normalise what pixel_std does
   * not */
  return in_channels == 3 ? config->input.pixel_std[0] / 60
      : backbone_gain (config, name);
}

void
ci_random_weights (gfloat * dst, const CiConfig * config, const gchar * name,
    gint n_dims, const gint64 * dims)
{
  gdouble offset = 0, scale = 0.1;
  gdouble fan_in = 1;
  gsize n = 1;

  for (gint i = 0; i < n_dims; i++) {
    n *= dims[i];
    if (i > 0)
      fan_in *= dims[i];
  }
  if (n_dims > 1)
    scale = sqrt (6 / fan_in) * conv_gain (config, name, dims[1]);
  else if (g_str_has_suffix (name, "running_var"))
    offset = 1, scale = 0.5;
  else if (g_str_has_suffix (name, "weight")
      || g_str_has_suffix (name, "scale") || strstr (name, ".weights_f"))
    offset = 1;
  else if (g_str_has_suffix (name, "ese.fc.bias"))
    /* factors near 1 */
    offset = 2.5;
  else if (g_str_has_suffix (name, "solo_cate.bias"))
    offset = -5.5;
  else if (g_str_has_suffix (name, "cls_logits.bias"))
    /* the prior of focal loss: -log ((1 - 0.01) / 0.01) */
    offset = -4.6;
  else if (strstr (name, "dsolo_ins_list") && n_dims == 1)
    /* of two factors */
    offset = 1.5;
  else if (g_str_has_suffix (name, "ctrness.bias"))
    offset = 0.5;
  else if (g_str_has_suffix (name, "bbox_pred.bias"))
    /* boxes of a few strides instead of empty ones */
    offset = 3, scale = 1;
  ci_random_fill (dst, n, name, SEED, offset, scale);
  /* most priors are background */
  for (gsize i = 0; g_str_has_suffix (name, "conf_layer.bias") && i < n;
      i += config->n_classes + 1)
    dst[i] += 6;
}
