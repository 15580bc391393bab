/*
 * main.c: the command condinst
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <locale.h>

#include "cli.h"

static const struct
{
  const gchar *name, *summary;
  gint (*run) (gint argc, gchar ** argv);
} commands[] = {
  {"info", "Tell what a model file holds", ci_cmd_info},
  {"import", "Write an official checkpoint as a file that describes itself",
      ci_cmd_import},
  {"run", "Find the objects in pictures, draw and save them", ci_cmd_run},
  {"eval", "Measure a model's precision on a COCO data set", ci_cmd_eval},
  {"bench", "Measure a model's speed on this machine", ci_cmd_bench},
};

static void
print_help (void)
{
  guint i;

  g_print ("Usage: condinst COMMAND [OPTION...] MODEL ...\n\n"
      "Instance segmentation of pictures, and measurements of its models.\n\n"
      "Commands (condinst COMMAND --help tells more):\n");
  for (i = 0; i < G_N_ELEMENTS (commands); i++)
    g_print ("  %-8s%s\n", commands[i].name, commands[i].summary);
  g_print ("\nMODEL is a model file (safetensors, or an official .pth or "
      ".pkl), the name\nof an installed model (condinst-light), or "
      "random:NAME, a published architecture\nwith made-up weights "
      "(random:condinst-r50).\n\n"
      "  --help      Show this\n  --version   Show the version\n");
}

int
main (int argc, char **argv)
{
  guint i;

  setlocale (LC_ALL, "");
  setlocale (LC_NUMERIC, "C");  /* numbers are for scripts, too */
  g_set_prgname ("condinst");
  if (argc < 2)
    return ci_cli_fail (CI_EXIT_USAGE,
        "a command is missing; see condinst --help");
  if (g_str_equal (argv[1], "--help") || g_str_equal (argv[1], "-h")
      || g_str_equal (argv[1], "help")) {
    print_help ();
    return CI_EXIT_OK;
  }
  if (g_str_equal (argv[1], "--version")) {
    g_print ("condinst %s\n", CI_VERSION);
    return CI_EXIT_OK;
  }
  for (i = 0; i < G_N_ELEMENTS (commands); i++) {
    if (g_str_equal (argv[1], commands[i].name))
      return commands[i].run (argc - 1, argv + 1);
  }
  return ci_cli_fail (CI_EXIT_USAGE, "unknown %s \"%s\"; see condinst --help",
      argv[1][0] == '-' ? "option" : "command", argv[1]);
}
