/*
 * condinst.c: CondInst (Tian et al., ECCV 2020) and BoxInst (Tian et al., CVPR
 * 2021) behind FCOS: mask branch (7), lazy controller, dynamic mask head (8).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "method.h"

/* ---- description -------------------------------------------------------- */

static void
read_description (const CiSection * root, CiConfig * config)
{
  CiSection s = ci_section_open (root, "condinst", "condinst.");
  CiSection branch =
      ci_section_open (&s, "mask_branch", "condinst.mask_branch.");
  CiSection head = ci_section_open (&s, "mask_head", "condinst.mask_head.");
  gint stride;

  ci_fcos_read (root, config);
  config->condinst.branch_channels =
      ci_section_int (&branch, "channels", 128, 1, 65536);
  config->condinst.branch_num_convs =
      ci_section_int (&branch, "num_convs", 4, 0, 32);
  config->condinst.branch_out_channels =
      ci_section_int (&branch, "out_channels", 8, 1, 32);
  config->condinst.branch_norm =
      ci_section_norm (&branch, "norm", config->condinst.branch_channels,
      "channels");
  config->condinst.head_channels =
      ci_section_int (&head, "channels", 8, 1, 32);
  config->condinst.head_num_layers =
      ci_section_int (&head, "num_layers", 3, 1, 8);
  config->condinst.rel_coords = ci_section_boolean (&head, "rel_coords", TRUE);
  stride = ci_section_int (&s, "mask_out_stride", 4, 1, 8);
  if (stride & (stride - 1))
    ci_section_fail (&s, "mask_out_stride", CI_ERROR_BAD_FORMAT,
        "expected 1, 2, 4 or 8, found %d", stride);
  config->condinst.mask_out_stride = stride;
}

static void
write_description (GString * out, const CiConfig * c)
{
  ci_fcos_write (out, c);
  ci_write_open (out, "condinst");
  ci_write_open (out, "mask_branch");
  ci_write_int (out, "channels", c->condinst.branch_channels);
  ci_write_int (out, "num_convs", c->condinst.branch_num_convs);
  ci_write_int (out, "out_channels", c->condinst.branch_out_channels);
  ci_write_string (out, "norm", ci_norm_names[c->condinst.branch_norm]);
  ci_write_close (out);
  ci_write_open (out, "mask_head");
  ci_write_int (out, "channels", c->condinst.head_channels);
  ci_write_int (out, "num_layers", c->condinst.head_num_layers);
  ci_write_boolean (out, "rel_coords", c->condinst.rel_coords);
  ci_write_close (out);
  ci_write_int (out, "mask_out_stride", c->condinst.mask_out_stride);
  ci_write_close (out);
}

/* ---- recognition -------------------------------------------------------- */

static gboolean
recognise (const CiReader * r)
{
  CiConfig *c = r->config;

  if (!ci_fcos_recognise (r))
    return FALSE;
  c->condinst.branch_channels = ci_reader_dim (r, 0,
      "mask_branch.refine.0.0.weight");
  c->condinst.branch_norm = ci_reader_norm (r, "mask_branch.refine.0.1");
  c->condinst.branch_num_convs = ci_reader_count (r, "mask_branch.tower.",
      ".0.weight");
  c->condinst.branch_out_channels = ci_reader_dim (r, 0,
      "mask_branch.tower.%d.weight", c->condinst.branch_num_convs);
  r->facts->head_parameters = ci_reader_dim (r, 0, "controller.weight");
  r->facts->semantic = ci_reader_has (r, "mask_branch.logits.weight");
  if (c->condinst.branch_out_channels == 0)
    return ci_reader_fail (r,
        "it has a controller, but no mask branch that is "
        "known here: no mask_branch.tower.%d.weight",
        c->condinst.branch_num_convs);
  return TRUE;
}

/* ---- graph -------------------------------------------------------------- */

static void
build (CiGraph * g, CiValue input, const CiConfig * config,
    const CiBuildOptions * options)
{
  CiValue pyramid[CI_MAX_LEVELS], box_towers[CI_MAX_LEVELS];
  CiValue detections = ci_fcos_build (g, input, config, options->capacity,
      pyramid, box_towers);
  gint n_convs = config->condinst.branch_num_convs;
  g_autofree gchar *last = g_strdup_printf ("mask_branch.tower.%d", n_convs);
  CiMaskHeadParams head = {
    config->fcos.strides[0], config->condinst.mask_out_stride,
    config->condinst.head_channels, config->condinst.head_num_layers,
    config->condinst.rel_coords, {0}, options->full_map
  };
  CiValue features, params;

  for (gint i = 0; i < config->fcos.n_levels; i++)
    head.sizes_of_interest[i] = config->fcos.sizes_of_interest[i];
  features = ci_block_mask_features (g, pyramid, "mask_branch",
      config->condinst.branch_channels, n_convs, config->condinst.branch_norm,
      CI_RESIZE_ALIGNED_BILINEAR);
  features = ci_graph_conv (g, features, last,
      config->condinst.branch_out_channels, 1, 1, 0, 1, TRUE);
  ci_graph_name (g, features, "mask.feats");
  params = ci_fcos_predict_at (g, config, box_towers, detections, "controller",
      options->dense_top);
  ci_graph_output (g, ci_graph_dynamic_mask_head (g, features, detections,
          params, &head), "masks");
}

const CiMethod ci_method_condinst = {
  "condinst", "CondInst and BoxInst", "controller.weight", recognise,
      read_description,
  write_description, build
};
