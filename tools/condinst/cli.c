/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

gint ci_cli_threads, ci_cli_min_size, ci_cli_max_size;
gchar *ci_cli_config, **ci_cli_settings;

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

gboolean
ci_cli_session_options (const gchar * input, CiSessionOptions * options)
{
  if (ci_cli_threads < 0 || ci_cli_min_size < 0 || ci_cli_max_size < 0) {
    ci_cli_fail (CI_EXIT_USAGE, "threads and sizes cannot be negative");
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
  options->threads = ci_cli_threads;
  options->min_size = ci_cli_min_size;
  options->max_size = ci_cli_max_size;
  return TRUE;
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
