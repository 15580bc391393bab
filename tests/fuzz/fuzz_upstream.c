/*
 * Configurations of official checkpoints: whatever the bytes, reading gives an
 * error or keys, keys give an error or a description, and so do the tensors of
 * a file without a description. What ci_config_parse() takes of it can be
 * built.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "models/method.h"
#include "models/upstream.h"

int LLVMFuzzerTestOneInput (const guint8 * data, gsize size);

#define CLASSES ",\"classes\":[\"a\",\"b\",\"c\"]}"

static const gchar *const networks[] = {
  "{\"architecture\":\"condinst\",\"backbone\":{\"type\":\"resnet\","
      "\"depth\":50,\"deform_on_per_stage\":[false,true,true,true],"
      "\"deform_interval\":3}" CLASSES,
  "{\"architecture\":\"condinst\",\"backbone\":{\"type\":\"resnet\","
      "\"depth\":101},\"fpn\":{\"type\":\"bifpn\"}" CLASSES,
  "{\"architecture\":\"fcos\",\"backbone\":{\"type\":\"vovnet\","
      "\"depth\":39}" CLASSES,
  "{\"architecture\":\"blendmask\",\"backbone\":{\"type\":\"dla\","
      "\"depth\":34},\"fpn\":{\"top_levels\":0}" CLASSES,
  "{\"architecture\":\"maskrcnn\",\"backbone\":{\"type\":\"resnet\","
      "\"depth\":50}" CLASSES,
  "{\"architecture\":\"pointrend\",\"backbone\":{\"type\":\"resnet\","
      "\"depth\":101,\"num_groups\":32,\"width_per_group\":8}" CLASSES,
  "{\"architecture\":\"solov2\",\"backbone\":{\"type\":\"resnet\","
      "\"names\":\"mmdetection\",\"depth\":18}" CLASSES,
  "{\"architecture\":\"yolact\",\"backbone\":{\"type\":\"darknet\","
      "\"depth\":53}" CLASSES,
};

/* Whether it is accepted or not, it must not break anything. */
static void
check_description (const gchar * json)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CiConfig) config = ci_config_parse (json, "fuzz", &error);

  g_assert ((config == NULL) == (error != NULL));
  if (config)
    ci_graph_free (ci_network_build (config, NULL));
}

static void
check_keys (const CiUpstream * upstream)
{
  for (guint i = 0; i < G_N_ELEMENTS (networks); i++)
    for (guint told = 0; told < 2; told++) {
      const CiTensorFacts facts = { TRUE, TRUE, FALSE, FALSE, 169 };
      g_autoptr (GError) error = NULL;
      g_autoptr (CiConfig) config = ci_config_parse (networks[i], "own",
          &error);
      gboolean ok;

      g_assert_no_error (error);
      ok = ci_upstream_apply (upstream, told ? &facts : NULL, "fuzz", config,
          &error);
      g_assert (ok == (error == NULL));
      if (ok) {
        g_autofree gchar *json = ci_config_to_json (config);

        check_description (json);
      } else {
        g_assert (error->domain == CI_ERROR);
      }
    }
}

static void
check_tensors (const guint8 * data, gsize size, const CiUpstream * upstream)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CiCheckpoint) checkpoint = ci_checkpoint_parse (data, size,
      "fuzz", NULL);
  g_autofree gchar *json = NULL;
  g_auto (GStrv) names = NULL;

  if (!checkpoint)
    return;
  json = ci_upstream_describe (checkpoint, upstream, "fuzz.pth", &names,
      &error);
  g_assert ((json == NULL) == (error != NULL));
  g_assert ((json == NULL) == (names == NULL));
  if (json)
    check_description (json);
}

int
LLVMFuzzerTestOneInput (const guint8 * data, gsize size)
{
  g_autoptr (CiUpstream) upstream = ci_upstream_new ();
  g_autoptr (GError) error = NULL;
  g_autofree gchar *text = NULL;

  if (size > 8 && data[8] == '{') {
    check_tensors (data, size, NULL);
    return 0;
  }
  if (ci_upstream_parse (upstream, (const gchar *) data, size, "fuzz",
          &error))
    check_keys (upstream);
  else
    g_assert (error->domain == CI_ERROR);

  text = g_strndup ((const gchar *) data, size);
  g_clear_error (&error);
  if (!ci_upstream_set (upstream, "MODEL.PIXEL_MEAN", text, &error))
    g_assert (error->domain == CI_ERROR);
  return 0;
}
