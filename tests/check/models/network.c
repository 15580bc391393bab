/*
 * network.c: the tensors that networks ask for, and both backends on networks
 * that no golden case has. Names and shapes are those of the official code's
 * state dicts (AdelaiDet adet/modeling/backbone/, fcos.py, condinst.py,
 * blendmask/; detectron2 resnet.py; golden/zoo/SEMANTICS-solo.md).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gst/check/gstcheck.h>
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#include "models/method.h"
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

  /* SOLO: deformable offsets belong to the convolution */
  {"solo-r50", "backbone.layer4.2.bn3.running_var", {2048}},
  {"solo-r50", "neck.lateral_convs.0.conv.weight", {256, 256, 1, 1}},
  {"solo-r50", "neck.fpn_convs.3.conv.bias", {256}},
  {"solo-r50", "neck.fpn_convs.4.conv.bias", {0}},
  {"solo-r50", "bbox_head.ins_convs.0.conv.weight", {256, 258, 3, 3}},
  {"solo-r50", "bbox_head.ins_convs.6.gn.weight", {256}},
  {"solo-r50", "bbox_head.ins_convs.6.conv.bias", {0}},
  {"solo-r50", "bbox_head.solo_ins_list.1.weight", {1296, 256, 1, 1}},
  {"solo-r50", "bbox_head.solo_cate.weight", {80, 256, 3, 3}},
  {"decoupled-solo-r50", "bbox_head.ins_convs_y.0.conv.weight",
      {256, 257, 3, 3}},
  {"decoupled-solo-r50", "bbox_head.dsolo_ins_list_x.4.weight",
      {12, 256, 1, 1}},
  {"decoupled-solo-light-r50", "bbox_head.ins_convs.0.conv.weight",
      {256, 258, 3, 3}},
  {"decoupled-solo-light-r50", "bbox_head.ins_convs_y.0.conv.weight", {0}},
  {"decoupled-solo-light-r50", "bbox_head.dsolo_ins_list_y.0.weight",
      {40, 256, 3, 3}},
  {"solov2-r50", "bbox_head.kernel_convs.0.conv.weight", {512, 258, 3, 3}},
  {"solov2-r50", "bbox_head.solo_kernel.weight", {256, 512, 3, 3}},
  {"solov2-r50", "mask_feat_head.convs_all_levels.3.conv0.conv.weight",
      {128, 258, 3, 3}},
  {"solov2-r50", "mask_feat_head.convs_all_levels.3.conv2.gn.bias", {128}},
  {"solov2-r50", "mask_feat_head.conv_pred.0.conv.weight", {256, 128, 1, 1}},
  {"solov2-r101-dcn", "backbone.layer2.3.conv2.conv_offset.bias", {27}},
  {"solov2-r101-dcn", "backbone.layer1.0.conv2.conv_offset.bias", {0}},
  {"solov2-r101-dcn", "bbox_head.cate_convs.3.conv.conv_offset.weight",
      {27, 512, 3, 3}},
  {"solov2-light-448-r18", "mask_feat_head.conv_pred.0.gn.weight", {128}},

  {"maskrcnn-r50-v2", "backbone.fpn_lateral2.bias", {0}},
  {"maskrcnn-r50-v2", "backbone.fpn_output5.norm.running_var", {256}},
  {"maskrcnn-r50-v2", "proposal_generator.rpn_head.conv.weight", {0}},
  {"maskrcnn-r50-v2", "proposal_generator.rpn_head.conv.conv1.weight",
      {256, 256, 3, 3}},
  {"maskrcnn-r50-v2", "proposal_generator.rpn_head.conv.conv2.weight", {0}},
  {"maskrcnn-r50-v2", "roi_heads.box_head.conv4.weight", {256, 256, 3, 3}},
  {"maskrcnn-r50-v2", "roi_heads.box_head.conv4.bias", {0}},
  {"maskrcnn-r50-v2", "roi_heads.box_head.conv4.norm.weight", {256}},
  {"maskrcnn-r50-v2", "roi_heads.box_head.fc1.weight", {1024, 12544}},
  {"maskrcnn-r50-v2", "roi_heads.box_head.fc2.weight", {0}},
  {"maskrcnn-r50-v2", "roi_heads.mask_head.mask_fcn4.norm.bias", {256}},
  {"maskrcnn-r50-v2", "roi_heads.mask_head.deconv.bias", {256}},

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
  CiGraph *graph = ci_network_build (config, NULL);

  ci_graph_foreach_tensor (graph, search, &s);
  fail_unless (s.found == (tensors[s.index].dims[0] > 0), "%s: %s",
      tensors[s.index].network, tensors[s.index].name);
  ci_graph_free (graph);
}

GST_END_TEST;

/* ---- backends ----------------------------------------------------------- */

/* Networks with parts that no golden case has. */
static const gchar *const uncovered[] = {
  "fcos-v39", "fcos-x101-32x8d-dcnv2", "blendmask-550-r50-dcni3"
};

/* Runs @model on a small picture; returns its tensors. */
static CiSafetensors *
run_on (CiModel * model, CiBackend backend, const gchar * path)
{
  static guint8 pixels[64 * 32 * 3];
  CiSessionOptions options = CI_SESSION_OPTIONS_INIT;
  CiImageFormat format = { CI_PIXEL_RGB, 64, 32 };
  CiImage image = { {pixels}, {192} };
  const CiInstance *instances;
  CiSafetensors *dump;
  CiSession *session;
  gint n;

  for (guint i = 0; i < sizeof (pixels); i++)
    pixels[i] = i * 2654435761u >> 24;
  options.backend = backend;
  options.input_width = 64;
  options.input_height = 32;
  options.full_map = options.keep_tensors = TRUE;
  session = ci_session_new (model, &options, NULL);
  fail_unless (ci_session_configure (session, &format, NULL));
  fail_unless (ci_session_run (session, &image, NULL, &instances, &n, NULL));
  fail_unless (ci_session_dump (session, path, NULL));
  ci_session_free (session);
  dump = ci_safetensors_open (path, NULL);
  fail_unless (dump != NULL);
  return dump;
}

GST_START_TEST (test_backends_agree)
{
  g_autofree gchar *dir = g_dir_make_tmp ("network-XXXXXX", NULL);
  g_autofree gchar *path = g_build_filename (dir, "dump", NULL);
  g_autofree gchar *spec = g_strconcat ("random:", uncovered[__i__], NULL);
  g_autoptr (CiModel) model = ci_model_load (spec, NULL);
  CiSafetensors *plain = run_on (model, CI_BACKEND_REF, path);
  CiSafetensors *fast = run_on (model, CI_BACKEND_CPU, path);
  guint n_maps = 0;

  for (const gchar * const *name = ci_safetensors_get_names (plain); *name;
      name++) {
    gdouble worst = 0, norm = 0;
    CiTensor a, b;
    gsize n;

    /* what detections decide may differ by one of them */
    if (!g_str_has_prefix (*name, "feat.") && !g_str_has_prefix (*name, "head.")
        && strcmp (*name, "mask.bases"))
      continue;
    fail_unless (ci_safetensors_lookup (plain, *name, &a)
        && ci_safetensors_lookup (fast, *name, &b));
    n = ci_tensor_n_elements (&a);
    fail_unless_equals_uint64 (n, ci_tensor_n_elements (&b));
    for (gsize i = 0; i < n; i++) {
      gdouble x = ((const gfloat *) a.data)[i];

      worst = MAX (worst, fabs (x - ((const gfloat *) b.data)[i]));
      norm += x * x;
    }
    norm = sqrt (norm / n);
    fail_unless (norm > 0 && worst < 1e-3 * norm, "%s: differs by %g, is "
        "about %g", *name, worst, norm);
    n_maps++;
  }
  fail_unless (n_maps > 15);
  ci_safetensors_free (plain);
  ci_safetensors_free (fast);
  g_unlink (path);
  g_rmdir (dir);
}

GST_END_TEST;

static Suite *
network_suite (void)
{
  Suite *s = suite_create ("network");
  TCase *tc = tcase_create ("general");

  suite_add_tcase (s, tc);
  tcase_set_timeout (tc, 120);
  tcase_add_loop_test (tc, test_tensors, 0, G_N_ELEMENTS (tensors));
  tcase_add_loop_test (tc, test_backends_agree, 0, G_N_ELEMENTS (uncovered));
  return s;
}

GST_CHECK_MAIN (network);
