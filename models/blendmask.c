/*
 * blendmask.c: BlendMask (Chen et al., CVPR 2020) behind FCOS: bases for the
 * whole image, attention over them per detection, and the blender (11).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "method.h"

#include <math.h>

/* ---- description -------------------------------------------------------- */

static void
read_description (const CiSection * root, CiConfig * config)
{
  CiSection s = ci_section_open (root, "blendmask", "blendmask.");

  ci_fcos_read (root, config);
  config->paste = CI_PASTE_BOX;
  config->blendmask.num_bases = ci_section_int (&s, "num_bases", 4, 1, 32);
  config->blendmask.attention_size =
      ci_section_int (&s, "attention_size", 14, 1, 32);
  config->blendmask.resolution = ci_section_int (&s, "resolution", 56, 1, 256);
  config->blendmask.basis_channels =
      ci_section_int (&s, "basis_channels", 128, 1, 65536);
  config->blendmask.basis_num_convs =
      ci_section_int (&s, "basis_num_convs", 3, 0, 32);
  config->blendmask.basis_norm =
      ci_section_norm (&s, "basis_norm", config->blendmask.basis_channels,
      "basis_channels");
}

static void
write_description (GString * out, const CiConfig * c)
{
  ci_fcos_write (out, c);
  ci_write_open (out, "blendmask");
  ci_write_int (out, "num_bases", c->blendmask.num_bases);
  ci_write_int (out, "attention_size", c->blendmask.attention_size);
  ci_write_int (out, "resolution", c->blendmask.resolution);
  ci_write_int (out, "basis_channels", c->blendmask.basis_channels);
  ci_write_int (out, "basis_num_convs", c->blendmask.basis_num_convs);
  ci_write_string (out, "basis_norm", ci_norm_names[c->blendmask.basis_norm]);
  ci_write_close (out);
}

/* ---- recognition -------------------------------------------------------- */

static gboolean
recognise (const CiReader * r)
{
  CiConfig *c = r->config;
  gint n_convs = ci_reader_count (r, "basis_module.tower.", ".0.weight");
  gint n = ci_reader_dim (r, 0, "top_layer.weight"), size = 0;
  gint bases = ci_reader_dim (r, 0, "basis_module.tower.%d.weight",
      n_convs + 2);

  if (!ci_fcos_recognise (r))
    return FALSE;
  c->blendmask.basis_channels = ci_reader_dim (r, 0,
      "basis_module.refine.0.0.weight");
  c->blendmask.basis_num_convs = n_convs;
  c->blendmask.basis_norm = ci_reader_norm (r, "basis_module.refine.0.1");
  c->blendmask.num_bases = bases;
  if (bases > 0)
    size = (gint) lround (sqrt (n / bases));
  c->blendmask.attention_size = size;
  if (size < 1 || (gint64) bases * size * size != n)
    return ci_reader_fail (r, "the %d channels of top_layer are no square "
        "attention maps for %d bases (basis_module.tower.%d)", n, bases,
        n_convs + 2);
  return TRUE;
}

/* ---- graph -------------------------------------------------------------- */

static CiValue
build_bases (CiGraph * g, const CiConfig * config, const CiValue * pyramid)
{
  gint channels = config->blendmask.basis_channels;
  gint n_convs = config->blendmask.basis_num_convs;
  CiNorm norm = config->blendmask.basis_norm;
  /* entry n_convs of the official tower is the upsampling */
  g_autofree gchar *conv = g_strdup_printf ("basis_module.tower.%d.0",
      n_convs + 1);
  g_autofree gchar *bn = g_strdup_printf ("basis_module.tower.%d.1",
      n_convs + 1);
  g_autofree gchar *last = g_strdup_printf ("basis_module.tower.%d",
      n_convs + 2);
  CiValue x = ci_block_mask_features (g, pyramid, "basis_module", channels,
      n_convs, norm, CI_RESIZE_BILINEAR);

  x = ci_graph_upsample (g, x, 2, CI_RESIZE_BILINEAR);
  x = ci_block_conv (g, x, conv, bn, norm, channels, 3, 1, 1,
      norm == CI_NORM_NONE, CI_ACTIVATION_RELU);
  x = ci_graph_conv (g, x, last, config->blendmask.num_bases, 1, 1, 0, 1,
      TRUE);
  ci_graph_name (g, x, "mask.bases");
  return x;
}

static void
build (CiGraph * g, CiValue input, const CiConfig * config,
    const CiBuildOptions * options)
{
  CiValue pyramid[CI_MAX_LEVELS], box_towers[CI_MAX_LEVELS];
  CiValue detections = ci_fcos_build (g, input, config, options->capacity,
      pyramid, box_towers);
  CiBlendParams blend = {
    config->fcos.strides[0] / 2, config->blendmask.attention_size,
    config->blendmask.resolution
  };
  CiValue bases = build_bases (g, config, pyramid);
  CiValue attention = ci_fcos_predict_at (g, config, box_towers, detections,
      "top_layer", options->dense_top);

  ci_graph_output (g, ci_graph_blend_masks (g, bases, detections, attention,
          &blend), "masks");
}

const CiMethod ci_method_blendmask = {
  "blendmask", "BlendMask", "top_layer.weight", recognise, read_description,
  write_description, build
};
