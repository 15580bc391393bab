/* GStreamer instance segmentation
 *
 * condinstlabels.c: names of classes, and choosing classes by name
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include <glib/gstdio.h>

#include "condinstlabels.h"

/* No real list of labels comes near; keeps /dev/zero and the like out. */
#define MAX_FILE_BYTES (1024 * 1024)

gchar **
cond_inst_labels_load (const gchar * path, guint n_classes,
    const gchar * model, GError ** error)
{
  g_autoptr (GError) io_error = NULL;
  g_autofree gchar *text = NULL;
  g_auto (GStrv) lines = NULL;
  GStatBuf st;
  gsize size;
  guint n;

  if (g_stat (path, &st) == 0 && (!S_ISREG (st.st_mode)
          || st.st_size > MAX_FILE_BYTES)) {
    g_set_error (error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_READ,
        "label file '%s' is not a text file of at most %d bytes", path,
        MAX_FILE_BYTES);
    return NULL;
  }
  if (!g_file_get_contents (path, &text, &size, &io_error)) {
    gboolean missing = g_error_matches (io_error, G_FILE_ERROR,
        G_FILE_ERROR_NOENT);

    g_set_error (error, GST_RESOURCE_ERROR, missing ?
        GST_RESOURCE_ERROR_NOT_FOUND : GST_RESOURCE_ERROR_OPEN_READ,
        "cannot read label file '%s': %s", path, io_error->message);
    return NULL;
  }
  if (!g_utf8_validate (text, size, NULL)) {
    g_set_error (error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_READ,
        "label file '%s' is not UTF-8 text", path);
    return NULL;
  }

  lines = g_strsplit (text, "\n", -1);
  for (n = 0; lines[n]; n++)
    g_strstrip (lines[n]);
  while (n > 0 && lines[n - 1][0] == '\0')
    g_clear_pointer (&lines[--n], g_free);

  if (n != n_classes) {
    g_set_error (error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS,
        "label file '%s' has %u labels, model '%s' has %u classes", path, n,
        model, n_classes);
    return NULL;
  }
  return g_steal_pointer (&lines);
}

/* Sets the flags of the classes that @list names to @value. */
static void
mark_classes (gchar ** labels, const gchar * list, guint8 value,
    guint8 * flags, GString * unknown)
{
  g_auto (GStrv) names = g_strsplit (list, ";", -1);
  guint n = g_strv_length (labels);

  for (gchar ** name = names; *name; name++) {
    gboolean found = FALSE;
    guint64 index;

    if (*g_strstrip (*name) == '\0')
      continue;
    /* by label first, since a label may be a number; two classes may share
     * one */
    for (guint i = 0; i < n; i++) {
      if (g_strcmp0 (labels[i], *name) == 0) {
        flags[i] = value;
        found = TRUE;
      }
    }
    if (!found && n > 0
        && g_ascii_string_to_unsigned (*name, 10, 0, n - 1, &index, NULL)) {
      flags[index] = value;
      found = TRUE;
    }
    if (!found)
      g_string_append_printf (unknown, "%s'%s'", unknown->len ? ", " : "",
          *name);
  }
}

static gboolean
is_empty (const gchar * list)
{
  return !list || strspn (list, "; \t") == strlen (list);
}

guint8 *
cond_inst_labels_select (gchar ** labels, const gchar * selected,
    const gchar * excluded, gchar ** unknown)
{
  GString *strangers = g_string_new (NULL);
  guint n = g_strv_length (labels);
  guint8 *flags = g_malloc0 (MAX (n, 1));

  if (is_empty (selected))
    memset (flags, 1, n);
  else
    mark_classes (labels, selected, 1, flags, strangers);
  if (!is_empty (excluded))
    mark_classes (labels, excluded, 0, flags, strangers);

  *unknown = g_string_free (strangers, strangers->len == 0);
  return flags;
}
