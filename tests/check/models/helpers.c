/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "helpers.h"

#include <string.h>

#include <glib/gstdio.h>

gchar *test_dir;

void
setup_dir (void)
{
  test_dir = g_dir_make_tmp ("ci-XXXXXX", NULL);
}

void
teardown_dir (void)
{
  GDir *entries = g_dir_open (test_dir, 0, NULL);
  const gchar *name;

  while ((name = g_dir_read_name (entries))) {
    g_autofree gchar *path = g_build_filename (test_dir, name, NULL);

    g_remove (path);
  }
  g_dir_close (entries);
  g_rmdir (test_dir);
  g_clear_pointer (&test_dir, g_free);
}

void
check_error (GError * error, CiError code, const gchar * wanted)
{
  g_auto (GStrv) parts = g_strsplit (wanted, "|", -1);

  fail_unless (error, "no error instead of \"%s\"", wanted);
  fail_unless (error->domain == CI_ERROR && error->code == (gint) code,
      "code %d: %s", error->code, error->message);
  for (guint i = 0; parts[i]; i++)
    fail_unless (strstr (error->message, parts[i]), "no \"%s\" in \"%s\"",
        parts[i], error->message);
  g_error_free (error);
}
