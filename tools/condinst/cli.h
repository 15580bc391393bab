/*
 * cli.h: what the commands of condinst have in common
 *
 * A command gets its own name in argv[0] and returns the exit status: 0 done,
 * 1 failed, 2 wrongly used. Results go to the standard output, everything else
 * to the standard error.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_CLI_H
#define CI_CLI_H

#include <json-glib/json-glib.h>

#include "models.h"

G_BEGIN_DECLS

#define CI_EXIT_OK 0
#define CI_EXIT_FAILED 1
#define CI_EXIT_USAGE 2

gint ci_cmd_info (gint argc, gchar ** argv);
gint ci_cmd_import (gint argc, gchar ** argv);
gint ci_cmd_run (gint argc, gchar ** argv);
gint ci_cmd_eval (gint argc, gchar ** argv);
gint ci_cmd_bench (gint argc, gchar ** argv);

/** "condinst: message"; the returned status is @status. */
gint ci_cli_fail (gint status, const gchar * format, ...)
  G_GNUC_PRINTF (2, 3);

typedef struct
{
  const gchar *arguments;       /* for the help: "MODEL IMAGE..." */
  const gchar *summary;
  const GOptionEntry *entries;
  gint min_arguments, max_arguments;    /* besides options; max < 0: any */
} CiCliUsage;

/**
 * Parses the options of a command. What remains in @argv, from index 1 on, are
 * its arguments. Returns FALSE, after a message, if the usage was wrong.
 */
gboolean ci_cli_parse (const CiCliUsage * usage, gint * argc, gchar *** argv);

/** Values of the options below; one set, as one command runs. */
extern gint ci_cli_threads, ci_cli_min_size, ci_cli_max_size;
extern gint ci_cli_cuda_device, ci_cli_mask_resolution;
extern gchar *ci_cli_provider, *ci_cli_precision;
extern gchar *ci_cli_nms, *ci_cli_config, **ci_cli_settings;

#define CI_CLI_THREADS_ENTRY \
  {"threads", 't', 0, G_OPTION_ARG_INT, &ci_cli_threads, \
      "Threads to compute with (default: one per core)", "N"}
#define CI_CLI_DEVICE_ENTRIES \
  {"execution-provider", 'x', 0, G_OPTION_ARG_STRING, &ci_cli_provider, \
      "auto (a GPU if there is one, the default), cpu or cuda", "NAME"}, \
  {"cuda-device-id", 0, 0, G_OPTION_ARG_INT, &ci_cli_cuda_device, \
      "GPU to use (default: -1, the first)", "N"}, \
  {"precision", 0, 0, G_OPTION_ARG_STRING, &ci_cli_precision, \
      "Of a GPU: auto (half, the default), fp32 or fp16", "NAME"}
#define CI_CLI_MODEL_ENTRIES \
  {"config", 0, 0, G_OPTION_ARG_FILENAME, &ci_cli_config, \
      "Configuration of an official checkpoint: a YAML or JSON file, or the " \
        "name of a published one", "FILE|NAME"}, \
  {"set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &ci_cli_settings, \
      "One key of it, like MODEL.FCOS.NMS_TH=0.5; may be repeated", \
      "KEY=VALUE"}
#define CI_CLI_SIZE_ENTRIES \
  {"min-size", 0, 0, G_OPTION_ARG_INT, &ci_cli_min_size, \
      "Short side of the network's input (default: the model's)", "PIXELS"}, \
  {"max-size", 0, 0, G_OPTION_ARG_INT, &ci_cli_max_size, \
      "Most that its long side may have (default: the model's)", "PIXELS"}

#define CI_CLI_METHOD_ENTRIES \
  {"nms", 0, 0, G_OPTION_ARG_STRING, &ci_cli_nms, \
      "Of methods that can choose: default, greedy, fast, fast-cross-class, " \
        "matrix", "NAME"}, \
  {"mask-resolution", 0, 0, G_OPTION_ARG_INT, &ci_cli_mask_resolution, \
      "Cells along a side of a mask, of methods that can choose (PointRend)", \
      "CELLS"}

/** The model @spec with the configuration of the options above. */
CiModel *ci_cli_load_model (const gchar * spec, GError ** error);

/** "640x480" to numbers of 1 to 99999; FALSE if it is something else. */
gboolean ci_cli_parse_size (const gchar * text, gint * width, gint * height);
/**
 * Fills @options from the options above and @input ("WxH" or NULL); FALSE,
 * after a message, if they make no sense.
 */
gboolean ci_cli_session_options (const gchar * input,
    CiSessionOptions * options);
/** A session on what the options above choose: sets @options' device, which
 * lives as long as the session, and precision. */
CiSession *ci_cli_new_session (CiModel * model, CiSessionOptions * options,
    GError ** error);

/** "done/total unit, rate, time left" on a terminal; nothing elsewhere.
 * @start_us: g_get_monotonic_time() at the beginning. */
void ci_cli_progress (guint done, guint total, const gchar * unit,
    gint64 start_us);

G_END_DECLS

#endif /* CI_CLI_H */
