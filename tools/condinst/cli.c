/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

gint ci_cli_threads, ci_cli_min_size, ci_cli_max_size;
gint ci_cli_cuda_device = -1, ci_cli_mask_resolution;
gchar *ci_cli_provider, *ci_cli_precision;
gchar *ci_cli_nms, *ci_cli_config, **ci_cli_settings;

/* A line of progress is on the terminal and must go before the next message. */
static gboolean progress_shown;

static void
clear_progress (void)
{
  if (progress_shown)
    fputs ("\r\033[K", stderr);
  progress_shown = FALSE;
}

gint
ci_cli_fail (gint status, const gchar * format, ...)
{
  g_autofree gchar *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  clear_progress ();
  g_printerr ("condinst: %s\n", text);
  return status;
}

gboolean
ci_cli_parse (const CiCliUsage * usage, gint * argc, gchar *** argv)
{
  g_autofree gchar *name = g_strdup_printf ("condinst %s", (*argv)[0]);
  g_autoptr (GOptionContext) context = g_option_context_new (usage->arguments);
  g_autoptr (GError) error = NULL;
  gint n;

  g_set_prgname (name);
  g_option_context_set_summary (context, usage->summary);
  g_option_context_add_main_entries (context, usage->entries, NULL);
  if (!g_option_context_parse (context, argc, argv, &error)) {
    ci_cli_fail (CI_EXIT_USAGE, "%s; see %s --help", error->message, name);
    return FALSE;
  }
  /* "--" only says that what follows are no options. */
  for (n = 1; n < *argc; n++) {
    if (g_str_equal ((*argv)[n], "--")) {
      memmove (*argv + n, *argv + n + 1, (*argc - n) * sizeof (**argv));
      (*argc)--;
      break;
    }
  }
  n = *argc - 1;
  if (n < usage->min_arguments
      || (usage->max_arguments >= 0 && n > usage->max_arguments)) {
    ci_cli_fail (CI_EXIT_USAGE, "%s: expected %s; see %s --help",
        n < usage->min_arguments ? "too few arguments" : "too many arguments",
        usage->arguments, name);
    return FALSE;
  }
  return TRUE;
}

CiModel *
ci_cli_load_model (const gchar * spec, GError ** error)
{
  return ci_model_load_full (spec, ci_cli_config,
      (const gchar * const *) ci_cli_settings, error);
}

gboolean
ci_cli_parse_size (const gchar * text, gint * width, gint * height)
{
  gchar rest;

  return sscanf (text, "%5dx%5d%c", width, height, &rest) == 2
      && *width > 0 && *height > 0;
}

/* Whether @value is NULL, "auto" or one of two other words. */
static gboolean
check_word (const gchar * option, const gchar * value, const gchar * a,
    const gchar * b)
{
  if (!value || g_str_equal (value, "auto") || g_str_equal (value, a)
      || g_str_equal (value, b))
    return TRUE;
  ci_cli_fail (CI_EXIT_USAGE, "\"%s\" is no %s: auto, %s or %s", value, option,
      a, b);
  return FALSE;
}

static gboolean
choose_nms (CiNms * nms)
{
  g_autofree gchar *known = NULL;

  for (*nms = 0; ci_nms_names[*nms]; ++*nms)
    if (g_str_equal (ci_cli_nms, ci_nms_names[*nms]))
      return TRUE;
  known = g_strjoinv (", ", (gchar **) ci_nms_names);
  ci_cli_fail (CI_EXIT_USAGE, "\"%s\" is no --nms: %s", ci_cli_nms, known);
  return FALSE;
}

gboolean
ci_cli_session_options (const gchar * input, CiSessionOptions * options)
{
  if (ci_cli_threads < 0 || ci_cli_min_size < 0 || ci_cli_max_size < 0
      || ci_cli_mask_resolution < 0) {
    ci_cli_fail (CI_EXIT_USAGE,
        "threads, sizes and resolutions cannot be negative");
    return FALSE;
  }
  if (input && !ci_cli_parse_size (input, &options->input_width,
          &options->input_height)) {
    ci_cli_fail (CI_EXIT_USAGE, "\"%s\" is no size like 512x288", input);
    return FALSE;
  }
  if (input && (ci_cli_min_size > 0 || ci_cli_max_size > 0)) {
    ci_cli_fail (CI_EXIT_USAGE,
        "a size of the input excludes --min-size and --max-size");
    return FALSE;
  }
  if (!check_word ("--execution-provider", ci_cli_provider, "cpu", "cuda")
      || !check_word ("--precision", ci_cli_precision, "fp32", "fp16"))
    return FALSE;
  if (ci_cli_nms && !choose_nms (&options->nms))
    return FALSE;
  options->mask_resolution = ci_cli_mask_resolution;
  options->threads = ci_cli_threads;
  options->min_size = ci_cli_min_size;
  options->max_size = ci_cli_max_size;
  return TRUE;
}

CiSession *
ci_cli_new_session (CiModel * model, CiSessionOptions * options,
    GError ** error)
{
  const gchar *provider = ci_cli_provider ? ci_cli_provider : "auto";
  gboolean needed = g_str_equal (provider, "cuda");
  g_autoptr (CiDevice) device = NULL;   /* the session takes its own */

  if (!g_str_equal (provider, "cpu"))
    device = ci_device_open (ci_cli_cuda_device, NULL, needed ? error : NULL);
  if (needed && !device)
    return NULL;
  options->device = device;
  options->precision = g_strcmp0 (ci_cli_precision, "fp32") == 0 ?
      CI_PRECISION_FP32 : CI_PRECISION_FP16;
  return ci_session_new (model, options, error);
}

void
ci_cli_progress (guint done, guint total, const gchar * unit, gint64 start_us)
{
  gdouble seconds = (g_get_monotonic_time () - start_us) / 1e6;
  gdouble left = done > 0 ? seconds / done * (total - done) : 0;
  gdouble rate = seconds > 0 ? done / seconds : 0;

  if (!isatty (STDERR_FILENO))
    return;
  clear_progress ();
  if (done == total)
    return;
  fprintf (stderr, "%u/%u %s", done, total, unit);
  if (done > 0)
    fprintf (stderr, ", %.1f/s, %d:%02d left", rate, (gint) left / 60,
        (gint) left % 60);
  fflush (stderr);
  progress_shown = TRUE;
}
