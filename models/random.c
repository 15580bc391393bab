/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "random.h"

#include <math.h>
#include <string.h>

/* COCO's 80 "thing" classes in ascending category id. */
#define COCO_CLASSES "[\"person\",\"bicycle\",\"car\",\"motorcycle\"," \
    "\"airplane\",\"bus\",\"train\",\"truck\",\"boat\",\"traffic light\"," \
    "\"fire hydrant\",\"stop sign\",\"parking meter\",\"bench\",\"bird\"," \
    "\"cat\",\"dog\",\"horse\",\"sheep\",\"cow\",\"elephant\",\"bear\"," \
    "\"zebra\",\"giraffe\",\"backpack\",\"umbrella\",\"handbag\",\"tie\"," \
    "\"suitcase\",\"frisbee\",\"skis\",\"snowboard\",\"sports ball\"," \
    "\"kite\",\"baseball bat\",\"baseball glove\",\"skateboard\"," \
    "\"surfboard\",\"tennis racket\",\"bottle\",\"wine glass\",\"cup\"," \
    "\"fork\",\"knife\",\"spoon\",\"bowl\",\"banana\",\"apple\"," \
    "\"sandwich\",\"orange\",\"broccoli\",\"carrot\",\"hot dog\",\"pizza\"," \
    "\"donut\",\"cake\",\"chair\",\"couch\",\"potted plant\",\"bed\"," \
    "\"dining table\",\"toilet\",\"tv\",\"laptop\",\"mouse\",\"remote\"," \
    "\"keyboard\",\"cell phone\",\"microwave\",\"oven\",\"toaster\"," \
    "\"sink\",\"refrigerator\",\"book\",\"clock\",\"vase\",\"scissors\"," \
    "\"teddy bear\",\"hair drier\",\"toothbrush\"]"

#define IMAGENET_RGB "{\"channel_order\":\"RGB\"," \
    "\"pixel_mean\":[123.675,116.28,103.53]," \
    "\"pixel_std\":[58.395,57.12,57.375]"

/* AdelaiDet's CondInst/MS_R_*_3x, whose other values are our defaults. */
#define OFFICIAL(name, input, backbone) \
    "{\"name\":\"" name "\",\"architecture\":\"condinst\"," input \
    "\"backbone\":{" backbone ",\"norm\":\"bn\"},\"fcos\":{\"norm\":\"gn\"}," \
    "\"condinst\":{\"mask_branch\":{\"norm\":\"bn\"}}," \
    "\"classes\":" COCO_CLASSES "}"
#define OFFICIAL_RESNET(depth) \
    OFFICIAL ("condinst-r" #depth, "", "\"type\":\"resnet\",\"depth\":" #depth)

static const struct
{
  const gchar *name, *json;
} architectures[] = {
  {"condinst-r18", OFFICIAL_RESNET (18)},
  {"condinst-r34", OFFICIAL_RESNET (34)},
  {"condinst-r50", OFFICIAL_RESNET (50)},
  {"condinst-r101", OFFICIAL_RESNET (101)},
  {"condinst-mobilenet-v2", OFFICIAL ("condinst-mobilenet-v2",
            "\"input\":" IMAGENET_RGB "},", "\"type\":\"mobilenet_v2\"")},
  /* models/train/network.py */
  {"condinst-light", "{\"name\":\"condinst-light\","
        "\"architecture\":\"condinst\",\"input\":" IMAGENET_RGB ","
        "\"min_size\":288,\"max_size\":512},"
        "\"backbone\":{\"type\":\"mobilenet_v2\"},"
        "\"fpn\":{\"out_channels\":96,\"output_convs\":false,"
        "\"top_levels\":1},\"fcos\":{\"num_cls_convs\":2,"
        "\"num_box_convs\":2,\"prediction_kernel\":1,"
        "\"sizes_of_interest\":[48,96,192]},"
        "\"condinst\":{\"mask_branch\":{\"channels\":64,\"num_convs\":2}},"
        "\"classes\":[\"person\",\"cat\",\"car\",\"bicycle\","
        "\"motorcycle\"]}"},
};

CiConfig *
ci_random_config (const gchar * name, GError ** error)
{
  g_autoptr (GString) known = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (architectures); i++) {
    if (g_str_equal (architectures[i].name, name))
      return ci_config_parse (architectures[i].json, name, error);
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
conv_gain (const CiConfig * config, const gchar * name)
{
  static const struct
  {
    const gchar *part;
    gdouble gain;
  } gains[] = {
    {"fpn_lateral", 0.2}, {"fpn_output", 0.7}, {"top_block", 0.7},
    {"cls_logits", 0.57}, {"bbox_pred", 0.5}, {"ctrness", 0.7},
    {"controller", 0.5}, {"mask_branch.refine", 0.4},
  };

  if (strstr (name, "bottom_up")) {
    /* pixels are about 60 away from the mean; normalise what pixel_std does
     * not */
    if (strstr (name, "stem.") || strstr (name, "features.0."))
      return config->input.pixel_std[0] / 60;
    /* what ends a block has no ReLU behind it, or is added to the block's
     * input, once per block */
    if (config->backbone.type == CI_BACKBONE_MOBILENET_V2)
      return g_str_has_suffix (name, "conv.6.weight") ? 0.7 : 1;
    return g_str_has_suffix (name, config->backbone.depth < 50 ?
        "conv2.weight" : "conv3.weight") ? sqrt (3.0 / config->backbone.depth)
        : 1;
  }
  for (guint i = 0; i < G_N_ELEMENTS (gains); i++)
    if (strstr (name, gains[i].part))
      return gains[i].gain;
  return 1;
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
    scale = sqrt (6 / fan_in) * conv_gain (config, name);
  else if (g_str_has_suffix (name, "running_var"))
    offset = 1, scale = 0.5;
  else if (g_str_has_suffix (name, "weight")
      || g_str_has_suffix (name, "scale"))
    offset = 1;
  else if (g_str_has_suffix (name, "cls_logits.bias"))
    /* the prior of focal loss: -log ((1 - 0.01) / 0.01) */
    offset = -4.6;
  else if (g_str_has_suffix (name, "ctrness.bias"))
    offset = 0.5;
  else if (g_str_has_suffix (name, "bbox_pred.bias"))
    /* boxes of a few strides instead of empty ones */
    offset = 3, scale = 1;
  ci_random_fill (dst, n, name, SEED, offset, scale);
}
