/*
 * maskrcnn.c: Mask R-CNN (He et al., ICCV 2017) of detectron2 and torchvision:
 * a small convolutional network over each detection of Faster R-CNN.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "method.h"

#define MASK_RESOLUTION 14

/* ---- description -------------------------------------------------------- */

static void
read_description (const CiSection * root, CiConfig * config)
{
  CiSection s = ci_section_open (root, "mask_head", "mask_head.");

  ci_rcnn_read (root, config);
  config->rcnn.mask_channels = ci_section_int (&s, "channels", 256, 1, 65536);
  config->rcnn.mask_num_convs = ci_section_int (&s, "num_convs", 4, 0, 32);
  config->rcnn.mask_norm = ci_section_norm (&s, "norm",
      config->rcnn.mask_channels, "mask_head.channels");
  config->rcnn.class_agnostic_masks =
      ci_section_boolean (&s, "class_agnostic", FALSE);
  if (config->rcnn.torchvision && config->rcnn.old_names
      && config->rcnn.mask_norm != CI_NORM_NONE)
    ci_section_fail (&s, "norm", CI_ERROR_UNSUPPORTED,
        "expected \"none\" with torchvision's old names");
}

static void
write_description (GString * out, const CiConfig * c)
{
  ci_rcnn_write (out, c);
  ci_write_open (out, "mask_head");
  ci_write_int (out, "channels", c->rcnn.mask_channels);
  ci_write_int (out, "num_convs", c->rcnn.mask_num_convs);
  ci_write_string (out, "norm", ci_norm_names[c->rcnn.mask_norm]);
  ci_write_boolean (out, "class_agnostic", c->rcnn.class_agnostic_masks);
  ci_write_close (out);
}

/* ---- names -------------------------------------------------------------- */

/* Convolution @index of the mask head, from 0 on; free with g_free. */
static gchar *
conv_name (const CiConfig * c, gint index)
{
  if (c->rcnn.torchvision && !c->rcnn.old_names)
    return g_strdup_printf ("roi_heads.mask_head.%d.0", index);
  return g_strdup_printf ("roi_heads.mask_head.mask_fcn%d", index + 1);
}

static const gchar *
deconv_name (const CiConfig * c)
{
  return c->rcnn.torchvision ? "roi_heads.mask_predictor.conv5_mask"
      : "roi_heads.mask_head.deconv";
}

static const gchar *
predictor_name (const CiConfig * c)
{
  return c->rcnn.torchvision ? "roi_heads.mask_predictor.mask_fcn_logits"
      : "roi_heads.mask_head.predictor";
}

/* ---- recognition -------------------------------------------------------- */

static gboolean
recognise (const CiReader * r)
{
  CiConfig *c = r->config;
  g_autofree gchar *first = NULL;
  g_autofree gchar *norm = NULL;
  gint n_masks;

  if (!ci_rcnn_recognise (r))
    return FALSE;
  n_masks = ci_reader_dim (r, 0, "%s.weight", predictor_name (c));
  c->rcnn.mask_channels = ci_reader_dim (r, 1, "%s.weight",
      predictor_name (c));
  if (ci_reader_find (r, "roi_heads.mask_head.parameter_head.", ""))
    return ci_reader_fail (r, "Implicit PointRend is not known here");
  if (n_masks == 0)
    return ci_reader_fail (r, "it has no mask head: there is no %s.weight",
        predictor_name (c));
  c->rcnn.class_agnostic_masks = n_masks == 1 && c->n_classes > 1;
  while (c->rcnn.mask_num_convs < CI_MAX_BLOCKS) {
    g_autofree gchar *name = conv_name (c, c->rcnn.mask_num_convs);

    if (!ci_reader_has (r, "%s.weight", name))
      break;
    c->rcnn.mask_num_convs++;
  }
  first = conv_name (c, 0);
  norm = ci_rcnn_norm_name (c, first);
  if (c->rcnn.mask_num_convs > 0)
    c->rcnn.mask_norm = ci_reader_norm (r, norm);
  return TRUE;
}

/* ---- graph -------------------------------------------------------------- */

static void
build (CiGraph * g, CiValue input, const CiConfig * config,
    const CiBuildOptions * options)
{
  /* torchvision has a mask of the background, too */
  gboolean first = config->rcnn.torchvision;
  CiValue pyramid[4];
  CiValue detections = ci_rcnn_build (g, input, config, options->capacity,
      pyramid);
  CiValue x = ci_rcnn_roi_align (g, config, pyramid, detections,
      MASK_RESOLUTION);

  ci_graph_name (g, x, "mask.pooled");
  for (gint i = 0; i < config->rcnn.mask_num_convs; i++) {
    g_autofree gchar *name = conv_name (config, i);

    x = ci_rcnn_conv (g, config, x, name, config->rcnn.mask_norm,
        config->rcnn.mask_channels);
  }
  x = ci_graph_deconv (g, x, deconv_name (config), config->rcnn.mask_channels,
      TRUE);
  x = ci_graph_activation (g, x, CI_ACTIVATION_RELU);
  x = ci_graph_class_masks (g, x, detections, predictor_name (config),
      config->rcnn.class_agnostic_masks ? 1 : config->n_classes + first,
      first);
  ci_graph_output (g, x, "masks");
}

const CiMethod ci_method_maskrcnn = {
  "maskrcnn", "Mask R-CNN",
  "proposal_generator.rpn_head.objectness_logits.weight "
      "rpn.head.cls_logits.weight", recognise, read_description,
  write_description, build
};
