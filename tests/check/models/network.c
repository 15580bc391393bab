/*
 * network.c: the tensors that networks ask for. Names and shapes are those of
 * the official code's state dicts (AdelaiDet adet/modeling/backbone/,
 * fcos.py, condinst.py, blendmask/; detectron2 resnet.py).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gst/check/gstcheck.h>
#include <string.h>

#include "models/config.h"
#include "models/random.h"

#define RES "backbone.bottom_up.res"
#define V "backbone.bottom_up."
#define BIFPN "backbone.repeated_bifpn."
#define HEAD "proposal_generator.fcos_head."

/* dims of 0: there must be no such tensor */
static const struct
{
  const gchar *network, *name;
  gint64 dims[4];
} tensors[] = {
  /* grouped: 32 x 8 channels in res2 and twice as many in each next stage */
  {"fcos-x101-32x8d", RES "2.0.conv2.weight", {256, 8, 3, 3}},
  {"fcos-x101-32x8d", RES "5.2.conv2.weight", {2048, 64, 3, 3}},
  {"fcos-x101-32x8d", RES "4.22.conv3.norm.running_var", {1024}},
  {"fcos-x101-64x4d", RES "3.0.conv2.weight", {512, 8, 3, 3}},
  {"fcos-x101-64x4d", RES "3.0.conv2_offset.weight", {0}},
  {"fcos-x101-64x4d", "controller.weight", {0}},

  /* deformable: everywhere in res4 and res5, or each third block */
  {"fcos-x101-32x8d-dcnv2", RES "3.3.conv2_offset.weight", {0}},
  {"fcos-x101-32x8d-dcnv2", RES "4.1.conv2_offset.weight", {27, 1024, 3, 3}},
  {"fcos-x101-32x8d-dcnv2", RES "4.1.conv2_offset.bias", {27}},
  {"fcos-x101-32x8d-dcnv2", RES "4.1.conv2.weight", {1024, 32, 3, 3}},
  {"fcos-x101-32x8d-dcnv2", RES "4.1.conv2.bias", {0}},
  {"fcos-x101-32x8d-dcnv2", HEAD "cls_tower.9.offset.weight",
      {27, 256, 3, 3}},
  {"fcos-x101-32x8d-dcnv2", HEAD "bbox_tower.9.conv.bias", {256}},
  {"fcos-x101-32x8d-dcnv2", HEAD "bbox_tower.9.weight", {0}},
  {"fcos-x101-32x8d-dcnv2", HEAD "bbox_tower.6.weight", {256, 256, 3, 3}},
  {"fcos-x101-32x8d-dcnv2", HEAD "bbox_tower.10.bias", {256}},
  {"blendmask-r101-dcni3", RES "4.21.conv2_offset.bias", {27}},
  {"blendmask-r101-dcni3", RES "4.22.conv2_offset.bias", {0}},
  {"blendmask-r101-dcni3", RES "2.0.conv2_offset.bias", {0}},

  /* VoVNet: 39 has 1, 1, 2, 2 modules of five layers, 57 has 1, 1, 4, 3 and
   * 99 has 1, 3, 9, 3 */
  {"fcos-v39", V "stem.stem_1/conv.weight", {64, 3, 3, 3}},
  {"fcos-v39", V "stem.stem_1/conv.bias", {0}},
  {"fcos-v39", V "stem.stem_3/norm.running_mean", {128}},
  {"fcos-v39", V "stage2.OSA2_1.layers.0.OSA2_1_0/conv.weight",
      {128, 128, 3, 3}},
  {"fcos-v39", V "stage2.OSA2_1.layers.4.OSA2_1_4/norm.weight", {128}},
  {"fcos-v39", V "stage2.OSA2_1.concat.OSA2_1_concat/conv.weight",
      {256, 768, 1, 1}},
  {"fcos-v39", V "stage3.OSA3_1.layers.0.OSA3_1_0/conv.weight",
      {160, 256, 3, 3}},
  {"fcos-v39", V "stage3.OSA3_1.concat.OSA3_1_concat/conv.weight",
      {512, 1056, 1, 1}},
  {"fcos-v39", V "stage4.OSA4_2.layers.0.OSA4_2_0/conv.weight",
      {192, 768, 3, 3}},
  {"fcos-v39", V "stage4.OSA4_2.concat.OSA4_2_concat/conv.weight",
      {768, 1728, 1, 1}},
  {"fcos-v39", V "stage5.OSA5_2.concat.OSA5_2_concat/norm.bias", {1024}},
  {"fcos-v39", V "stage5.OSA5_2.ese.fc.weight", {1024, 1024, 1, 1}},
  {"fcos-v39", V "stage5.OSA5_2.ese.fc.bias", {1024}},
  {"fcos-v39", V "stage5.OSA5_3.ese.fc.bias", {0}},
  {"fcos-v39", "backbone.fpn_lateral3.weight", {256, 512, 1, 1}},
  {"fcos-v39", "backbone.fpn_lateral5.weight", {256, 1024, 1, 1}},
  {"fcos-v57", V "stage3.OSA3_2.ese.fc.bias", {0}},
  {"fcos-v57", V "stage4.OSA4_4.ese.fc.bias", {768}},
  {"fcos-v57", V "stage5.OSA5_3.ese.fc.bias", {1024}},
  {"fcos-v99", V "stage2.OSA2_2.ese.fc.bias", {0}},
  {"fcos-v99", V "stage3.OSA3_3.ese.fc.bias", {512}},
  {"fcos-v99", V "stage4.OSA4_9.ese.fc.bias", {768}},
  {"fcos-v99", V "stage5.OSA5_4.ese.fc.bias", {0}},

  /* batch norms of the towers are one per level, the others one for all */
  {"fcos-rt-dla34-bn-head", HEAD "cls_tower.1.0.running_mean", {256}},
  {"fcos-rt-dla34-bn-head", HEAD "bbox_tower.10.2.weight", {256}},
  {"fcos-rt-dla34-bn-head", HEAD "bbox_tower.10.3.weight", {0}},
  {"fcos-rt-dla34-bn-head", HEAD "bbox_tower.9.bias", {256}},
  {"fcos-rt-dla34-bn-head", HEAD "scales.2.scale", {1}},
  {"fcos-rt-dla34-bn-head", "backbone.top_block.p6.weight", {0}},
  {"fcos-rt-dla34", HEAD "cls_tower.1.weight", {256}},
  {"fcos-rt-dla34", HEAD "cls_tower.1.running_mean", {0}},

  {"condinst-r101-bifpn", V "backbone.res4.22.conv1.weight",
      {256, 1024, 1, 1}},
  {"condinst-r101-bifpn", V "res6.reduction.weight", {160, 2048, 1, 1}},
  {"condinst-r101-bifpn", V "res6.reduction.bias", {0}},
  {"condinst-r101-bifpn", V "res7.reduction.weight", {0}},
  {"condinst-r101-bifpn", BIFPN "0.lateral_0_f0.weight", {160, 512, 1, 1}},
  {"condinst-r101-bifpn", BIFPN "0.lateral_0_f0.bias", {160}},
  {"condinst-r101-bifpn", BIFPN "0.lateral_3_f3.bias", {0}},
  {"condinst-r101-bifpn", BIFPN "1.lateral_0_f0.bias", {0}},
  {"condinst-r101-bifpn", BIFPN "5.weights_f3_3_5_10", {3}},
  {"condinst-r101-bifpn", BIFPN "5.outputs_f4_4_11.norm.running_var", {160}},
  {"condinst-r101-bifpn", BIFPN "5.outputs_f4_4_11.bias", {0}},
  {"condinst-r101-bifpn", BIFPN "6.weights_f3_3_4", {0}},
  {"condinst-r101-bifpn", "backbone.fpn_lateral3.weight", {0}},

  {"boxinst-r50", "controller.weight", {233, 256, 3, 3}},
  {"boxinst-r50", "mask_branch.tower.4.weight", {16, 128, 1, 1}},
  {"blendmask-r50", "top_layer.weight", {784, 256, 3, 3}},
  {"blendmask-r50", "basis_module.tower.2.0.weight", {128, 128, 3, 3}},
  {"blendmask-r50", "basis_module.tower.4.0.weight", {128, 128, 3, 3}},
  {"blendmask-r50", "basis_module.tower.5.weight", {4, 128, 1, 1}},
  {"blendmask-r50", HEAD "scales.0.scale", {0}},
  {"blendmask-550-r50", "basis_module.tower.4.bias", {4}},
  {"blendmask-550-r50", HEAD "share_tower.7.bias", {256}},
  {"blendmask-550-r50", HEAD "cls_tower.0.weight", {0}},
  {"blendmask-550-r50", "backbone.top_block.p7.weight", {0}},
};

typedef struct
{
  guint index;
  gboolean found;
} Search;

static void
search (const gchar * name, gint n_dims, const gint64 * dims, gpointer data)
{
  Search *s = data;
  const gint64 *expected = tensors[s->index].dims;

  if (strcmp (name, tensors[s->index].name))
    return;
  s->found = TRUE;
  for (gint i = 0; i < n_dims; i++)
    fail_unless (dims[i] == expected[i], "%s: dimension %d is %d", name, i,
        (gint) dims[i]);
  fail_unless (n_dims == 4 || !expected[n_dims]);
}

GST_START_TEST (test_tensors)
{
  Search s = { __i__ };
  g_autoptr (CiConfig) config = ci_random_config (tensors[s.index].network,
      NULL);
  CiGraph *graph = ci_network_build (config, 100, FALSE, FALSE);

  ci_graph_foreach_tensor (graph, search, &s);
  fail_unless (s.found == (tensors[s.index].dims[0] > 0), "%s: %s",
      tensors[s.index].network, tensors[s.index].name);
  ci_graph_free (graph);
}

GST_END_TEST;

static Suite *
network_suite (void)
{
  Suite *s = suite_create ("network");
  TCase *tc = tcase_create ("names");

  suite_add_tcase (s, tc);
  tcase_add_loop_test (tc, test_tensors, 0, G_N_ELEMENTS (tensors));
  return s;
}

GST_CHECK_MAIN (network);
