/*
 * parity.c: whole networks against the official code's outputs, from the files
 * of weights that it read.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gst/check/gstcheck.h>
#include <glib/gstdio.h>

#include "compare.h"
#include "golden_weights.h"
#include "models/checkpoint.h"
#include "models/config.h"
#include "tools/condinst/picture.h"

/* ---- the cases ---------------------------------------------------------- */

#define RESNET(stem, res2, width, more) "\"backbone\":{\"type\":\"resnet\"," \
    "\"depth\":50,\"norm\":\"bn\",\"stem_out_channels\":" #stem "," \
    "\"res2_out_channels\":" #res2 ",\"width_per_group\":" #width more "},"
#define DLA "\"backbone\":{\"type\":\"dla\",\"depth\":34,\"norm\":\"bn\"}," \
    "\"fpn\":{\"top_levels\":0},"
#define MASK_BRANCH(more) "\"condinst\":{\"mask_branch\":{\"norm\":\"bn\"" \
    more "}}"
#define SMALL_A RESNET (8, 32, 8, "") "\"fpn\":{\"out_channels\":32}," \
    "\"fcos\":{\"norm\":\"gn\"}," MASK_BRANCH (",\"channels\":32")
#define SMALL_B RESNET (8, 16, 4, "") "\"fpn\":{\"out_channels\":64}," \
    "\"fcos\":{\"norm\":\"gn\",\"num_cls_convs\":2,\"num_box_convs\":3}," \
    MASK_BRANCH (",\"channels\":16,\"num_convs\":2")

/* What case.json calls "config", as our files describe it. */
static const struct
{
  const gchar *name;
  const gchar *weights;         /* NULL: generated */
  CiArchitecture architecture;
  const gchar *network;
} cases[] = {
  {"condinst_small_a", "condinst_small_a/model_zip.pth",
      CI_ARCHITECTURE_CONDINST, SMALL_A},
  {"condinst_small_a", "condinst_small_a/model_legacy.pth",
      CI_ARCHITECTURE_CONDINST, SMALL_A},
  {"condinst_small_a", "condinst_small_a/model_pkl.pkl",
      CI_ARCHITECTURE_CONDINST, SMALL_A},
  {"condinst_small_b", "condinst_small_b/model_zip.pth",
      CI_ARCHITECTURE_CONDINST, SMALL_B},
  {"condinst_small_b_topk", "condinst_small_b/model_zip.pth",
      CI_ARCHITECTURE_CONDINST, SMALL_B},
  {"condinst_bifpn_small", "condinst_bifpn_small/model_zip.pth",
        CI_ARCHITECTURE_CONDINST, RESNET (8, 16, 4, "")
        "\"fpn\":{\"type\":\"bifpn\",\"norm\":\"bn\",\"out_channels\":32,"
        "\"num_repeats\":5},\"fcos\":{\"norm\":\"gn\"},"
        MASK_BRANCH (",\"channels\":16")},
  {"condinst_r50_full", NULL, CI_ARCHITECTURE_CONDINST,
      RESNET (64, 256, 64, "") "\"fcos\":{\"norm\":\"gn\"}," MASK_BRANCH ("")},
  {"condinst_rt_dla34_full", NULL, CI_ARCHITECTURE_CONDINST,
        DLA "\"fcos\":{\"norm\":\"gn\",\"num_share_convs\":4,"
        "\"num_cls_convs\":0,\"num_box_convs\":0}," MASK_BRANCH ("")},
  {"fcos_small", "fcos_small/model_zip.pth", CI_ARCHITECTURE_FCOS,
        RESNET (8, 16, 4, "") "\"fpn\":{\"out_channels\":32},"
        "\"fcos\":{\"norm\":\"gn\",\"thresh_with_ctr\":false}"},
  {"fcos_rt_dla34_full", NULL, CI_ARCHITECTURE_FCOS,
        DLA "\"fcos\":{\"norm\":\"bn\",\"num_share_convs\":4,"
        "\"num_cls_convs\":0,\"num_box_convs\":0,\"thresh_with_ctr\":false}"},
  {"blendmask_small", "blendmask_small/model_zip.pth",
        CI_ARCHITECTURE_BLENDMASK, RESNET (8, 16, 4, "")
        "\"fpn\":{\"out_channels\":32,\"top_levels\":1},"
        "\"fcos\":{\"norm\":\"gn\",\"num_share_convs\":3,\"num_cls_convs\":0,"
        "\"num_box_convs\":0,\"use_scale\":false},"
        "\"blendmask\":{\"basis_channels\":32,\"basis_num_convs\":2,"
        "\"basis_norm\":\"bn\"}"},
  {"boxinst_dcn_small", "boxinst_dcn_small/model_zip.pth",
        CI_ARCHITECTURE_CONDINST, RESNET (8, 16, 4,
            ",\"deform_on_per_stage\":[false,true,true,true],"
            "\"deform_interval\":3") "\"fpn\":{\"out_channels\":32},"
        "\"fcos\":{\"norm\":\"gn\"},"
        MASK_BRANCH (",\"channels\":16,\"out_channels\":16")},
};

/* The description of case @index, whose case.json is @root. */
static gchar *
describe (guint index, JsonObject * root)
{
  GString *out = g_string_new (NULL);

  g_string_append_printf (out, "{\"architecture\":\"%s\",%s,"
      "\"inference\":{\"inference_threshold\":%g,\"nms_threshold\":%g,"
      "\"pre_nms_top_k\":%d,\"post_nms_top_k\":%d},\"classes\":[",
      ci_architecture_name (cases[index].architecture), cases[index].network,
      json_object_get_double_member (root, "score_thresh"),
      json_object_get_double_member (root, "nms_thresh"),
      (gint) json_object_get_int_member (root, "pre_nms_topk"),
      (gint) json_object_get_int_member (root, "post_nms_topk"));
  for (gint i = 0; i < 80; i++)
    g_string_append_printf (out, "%s\"%d\"", i ? "," : "", i);
  g_string_append (out, "]}");
  return g_string_free (out, FALSE);
}

/* ---- models ------------------------------------------------------------- */

static gboolean
lookup_checkpoint (const CiWeights * weights, const gchar * name,
    CiTensor * out)
{
  return ci_checkpoint_lookup (weights->user_data, name, out);
}

typedef struct
{
  const CiWeights *weights;
  GPtrArray *names;
  GArray *tensors;
} Collect;

static void
collect_tensor (const gchar * name, gint n_dims, const gint64 * dims,
    gpointer user_data)
{
  Collect *c = user_data;
  CiTensor t;

  fail_unless (c->weights->lookup (c->weights, name, &t), "no tensor %s",
      name);
  g_ptr_array_add (c->names, g_strdup (name));
  g_array_append_val (c->tensors, t);
}

/* Loads @weights as the model file @path that describes itself by @json. */
static CiModel *
load_described (const CiWeights * weights, const gchar * json,
    const gchar * path)
{
  const gchar *metadata[] = { "condinst", json, NULL };
  Collect c = { weights, g_ptr_array_new_with_free_func (g_free),
    g_array_new (FALSE, FALSE, sizeof (CiTensor))
  };
  g_autoptr (GError) error = NULL;
  g_autoptr (CiConfig) config = ci_config_parse (json, "case", &error);
  CiGraph *graph;
  CiModel *model;

  fail_unless (config != NULL, "%s", error ? error->message : "");
  graph = ci_network_build (config, 100, TRUE, TRUE);
  ci_graph_foreach_tensor (graph, collect_tensor, &c);
  fail_unless (ci_safetensors_write (path,
          (const gchar * const *) c.names->pdata, (CiTensor *) c.tensors->data,
          c.tensors->len, metadata, &error), "%s", error ? error->message
      : "");
  model = ci_model_load (path, &error);
  fail_unless (model != NULL, "%s", error ? error->message : "");
  ci_graph_free (graph);
  g_ptr_array_unref (c.names);
  g_array_unref (c.tensors);
  return model;
}

/* The model of case @index; @path: a file to be made. */
static CiModel *
load_case (guint index, JsonObject * root, const gchar * path)
{
  g_autofree gchar *dir = g_strconcat (GOLDEN, cases[index].name, NULL);
  g_autofree gchar *json = describe (index, root);
  g_autoptr (GError) error = NULL;
  CiModel *model;

  if (cases[index].weights) {
    g_autofree gchar *file = g_strconcat (GOLDEN, cases[index].weights, NULL);
    g_autoptr (CiCheckpoint) checkpoint = ci_checkpoint_open (file, &error);
    CiWeights weights = { lookup_checkpoint, checkpoint };

    fail_unless (checkpoint != NULL, "%s", error ? error->message : "");
    model = load_described (&weights, json, path);
  } else {
    CiWeights *weights = golden_weights_load (dir, &error);

    fail_unless (weights != NULL, "%s", error ? error->message : "");
    model = load_described (weights, json, path);
    golden_weights_free (weights);
  }
  return model;
}

/* ---- running ------------------------------------------------------------ */

static void
run_image (const gchar * dir, CiModel * model, JsonArray * images, guint index,
    const gchar * dump)
{
  JsonObject *image = json_array_get_object_element (images, index);
  /* the noise was measured for the first image */
  JsonObject *noise = json_object_get_object_member
      (json_array_get_object_element (images, 0), "fp32_vs_fp64_maxabs");
  g_autofree gchar *png = g_build_filename (dir,
      json_object_get_string_member (image, "image"), NULL);
  g_autofree gchar *file = g_strdup_printf ("%s/img%u.safetensors", dir,
      index);
  CiSessionOptions options = CI_SESSION_OPTIONS_INIT;
  CiImageFormat format = { CI_PIXEL_RGB };
  g_autoptr (GError) error = NULL;
  const CiInstance *instances;
  CiPicture picture = { 0 };
  CiSession *session;
  CiSafetensors *ours, *golden;
  gint n;

  options.min_size = json_object_get_int_member (image, "min_size_test");
  options.max_size = json_object_get_int_member (image, "max_size_test");
  options.full_map = options.keep_tensors = TRUE;
  fail_unless (ci_picture_load (&picture, png, &error));
  format.width = picture.width;
  format.height = picture.height;
  session = ci_session_new (model, &options, &error);
  fail_unless (session && ci_session_configure (session, &format, &error)
      && ci_session_run (session, &(CiImage) { {picture.rgb}, {picture.width
                  * 3} }, NULL, &instances, &n, &error)
      && ci_session_dump (session, dump, &error), "%s",
      error ? error->message : "");
  ours = golden_open (dump);
  golden = golden_open (file);
  golden_compare (ours, golden, image, noise);
  fail_unless_equals_int (n, golden_get (golden, "det.boxes").dims[0]);
  /* boxes have no masks, all others have one */
  for (gint i = 0; i < n; i++)
    fail_unless (!instances[i].grid
        == g_str_equal (ci_model_get_architecture (model), "fcos"));

  ci_safetensors_free (ours);
  ci_safetensors_free (golden);
  ci_session_free (session);
  ci_picture_clear (&picture);
}

GST_START_TEST (test_case)
{
  g_autofree gchar *dir = g_strconcat (GOLDEN, cases[__i__].name, NULL);
  g_autofree gchar *tmp = g_dir_make_tmp ("condinst-parity-XXXXXX", NULL);
  g_autofree gchar *path = g_build_filename (tmp, "model.safetensors", NULL);
  g_autofree gchar *dump = g_build_filename (tmp, "dump.safetensors", NULL);
  g_autofree gchar *json = g_build_filename (dir, "case.json", NULL);
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (GError) error = NULL;
  JsonArray *images;
  JsonObject *root;
  CiModel *model;

  GST_INFO ("%s", cases[__i__].name);
  fail_unless (json_parser_load_from_file (parser, json, &error));
  root = json_node_get_object (json_parser_get_root (parser));
  images = json_object_get_array_member (root, "images");
  model = load_case (__i__, root, path);
  for (guint i = 0; i < json_array_get_length (images); i++)
    run_image (dir, model, images, i, dump);
  ci_model_unref (model);
  g_unlink (dump);
  g_unlink (path);
  g_rmdir (tmp);
}

GST_END_TEST;

static Suite *
parity_suite (void)
{
  Suite *s = suite_create ("parity");
  TCase *tc = tcase_create ("golden");

  suite_add_tcase (s, tc);
  tcase_set_timeout (tc, 600);
  tcase_add_loop_test (tc, test_case, 0, G_N_ELEMENTS (cases));
  return s;
}

int
main (int argc, char **argv)
{
  if (!g_file_test (GOLDEN, G_FILE_TEST_IS_DIR)) {
    g_print ("skipped: no " GOLDEN "\n");
    return 77;
  }
  gst_check_init (&argc, &argv);
  return gst_check_run_suite (parity_suite (), "parity", __FILE__);
}
