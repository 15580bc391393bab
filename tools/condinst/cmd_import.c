/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli.h"

gint
ci_cmd_import (gint argc, gchar ** argv)
{
  g_autofree gchar *output = NULL;
  gboolean half = FALSE;
  const GOptionEntry entries[] = {
    {"output", 'o', 0, G_OPTION_ARG_FILENAME, &output,
        "The file to write", "OUT.safetensors"},
    CI_CLI_MODEL_ENTRIES,
    {"half", 0, 0, G_OPTION_ARG_NONE, &half,
        "Store the weights of convolutions as 16-bit floats", NULL},
    {NULL}
  };
  const CiCliUsage usage = { "MODEL",
    "Writes a model as safetensors with all that is known of it, so that it\n"
        "loads without further configuration: the tensors that the network\n"
        "needs, under their own names, and its description.", entries, 1, 1
  };
  g_autoptr (CiModel) model = NULL;
  g_autoptr (GError) error = NULL;

  if (!ci_cli_parse (&usage, &argc, &argv))
    return CI_EXIT_USAGE;
  if (!output)
    return ci_cli_fail (CI_EXIT_USAGE, "--output is missing");
  model = ci_cli_load_model (argv[1], &error);
  if (!model || !ci_model_save (model, output, half, &error))
    return ci_cli_fail (CI_EXIT_FAILED, "%s", error->message);
  g_print ("%s: %s, %u classes\n", output, ci_model_get_name (model),
      ci_model_get_n_classes (model));
  return CI_EXIT_OK;
}
