/*
 * Model files: whatever the bytes, the reader gives an error or views that can
 * be read, and a description that it accepts can be built and written back.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "models/method.h"
#include "models/safetensors.h"

int LLVMFuzzerTestOneInput (const guint8 * data, gsize size);

static void
fuzz_config (const gchar * json)
{
  g_autoptr (CiConfig) config = NULL;
  g_autoptr (CiConfig) again = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree gchar *text = NULL;
  g_autofree gchar *text_again = NULL;

  config = ci_config_parse (json, "fuzz", &error);
  g_assert ((config == NULL) == (error != NULL));
  if (!config) {
    g_assert (error->domain == CI_ERROR);
    return;
  }
  text = ci_config_to_json (config);
  again = ci_config_parse (text, "again", &error);
  g_assert_no_error (error);
  text_again = ci_config_to_json (again);
  g_assert_cmpstr (text, ==, text_again);
  ci_graph_free (ci_network_build (config, NULL));
}

static void
fuzz_tensors (const CiSafetensors * file)
{
  const gchar *const *names = ci_safetensors_get_names (file);

  for (guint i = 0; names[i]; i++) {
    g_autofree gchar *text = ci_safetensors_describe (file, names[i]);
    g_autofree guint8 *copy = NULL;
    CiTensor t;

    g_assert (text);
    if (!ci_safetensors_lookup (file, names[i], &t))
      continue;
    g_assert ((guintptr) t.data % ci_dtype_size (t.dtype) == 0);
    /* reads every byte, under the sanitizer's eyes */
    copy = g_memdup2 (t.data, ci_tensor_n_elements (&t) *
        ci_dtype_size (t.dtype));
  }
}

int
LLVMFuzzerTestOneInput (const guint8 * data, gsize size)
{
  g_autoptr (CiSafetensors) file = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree gchar *text = g_strndup ((const gchar *) data, size);
  const gchar *json;

  file = ci_safetensors_parse (data, size, "fuzz", &error);
  g_assert ((file == NULL) == (error != NULL));
  if (file) {
    fuzz_tensors (file);
    json = ci_safetensors_get_metadata (file, "condinst");
    if (json)
      fuzz_config (json);
  } else {
    g_assert (error->domain == CI_ERROR);
    /* descriptions alone are reached sooner */
    fuzz_config (text);
  }
  return 0;
}
