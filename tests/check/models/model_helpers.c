/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model_helpers.h"

#include <json-glib/json-glib.h>

/* Loads with the settings SETTING|SETTING|.., "" for none. */
static CiModel *
load (const gchar * path, const gchar * config, const gchar * settings,
    GError ** error)
{
  g_auto (GStrv) list = g_strsplit (settings, "|", -1);

  return ci_model_load_full (path, config, (const gchar * const *) list,
      error);
}

CiModel *
load_ok (const gchar * path, const gchar * config, const gchar * settings)
{
  GError *error = NULL;
  CiModel *model = load (path, config, settings, &error);

  fail_unless (model, "%s %s: %s", path, settings,
      error ? error->message : "no error set");
  return model;
}

void
check_bad (const gchar * path, const gchar * config, const gchar * settings,
    CiError code, const gchar * wanted)
{
  GError *error = NULL;

  fail_if (load (path, config, settings, &error), "%s: accepted", settings);
  check_error (error, code, wanted);
}

gchar *
write_sparse (const Sparse * sparse, const gchar * name)
{
  gchar *path = g_build_filename (test_dir, name, NULL);

  sparse_write (sparse, path);
  return path;
}

gchar *
write_network (const gchar * name, const gchar * json)
{
  g_autoptr (Sparse) sparse = sparse_new ();

  sparse_add_network (sparse, json);
  return write_sparse (sparse, name);
}

gchar *
get_recognised (const CiModel * model)
{
  g_autofree gchar *json = ci_model_to_json (model);
  g_autoptr (JsonNode) node = json_from_string (json, NULL);
  JsonObject *object = json_node_get_object (node);
  GString *out = g_string_new (NULL);
  JsonArray *names;

  fail_unless (json_object_has_member (object, "recognised"), "%s", json);
  names = json_object_get_array_member (object, "recognised");
  for (guint i = 0; i < json_array_get_length (names); i++)
    g_string_append_printf (out, "%s%s", i ? " " : "",
        json_array_get_string_element (names, i));
  return g_string_free (out, FALSE);
}

gchar *
write_text (const gchar * name, const gchar * text)
{
  gchar *path = g_build_filename (test_dir, name, NULL);

  fail_unless (g_file_set_contents (path, text, -1, NULL));
  return path;
}

void
check_value (const CiUpstream * upstream, const gchar * key,
    const gchar * wanted)
{
  JsonNode *node = ci_upstream_get (upstream, key, NULL);
  g_autofree gchar *text = node ? json_to_string (node, FALSE) : NULL;

  fail_unless (g_strcmp0 (text, wanted) == 0, "%s is %s, not %s", key, text,
      wanted);
}

void
check_network (const gchar * json)
{
  g_autofree gchar *path = write_network ("m.pth", json);
  g_autoptr (CiModel) model = load_ok (path, NULL, "");
  g_autoptr (CiConfig) wanted = ci_config_parse (json, "test", NULL);
  g_autofree gchar *found_text = NULL;
  g_autofree gchar *wanted_text = NULL;
  g_autofree gchar *names = get_recognised (model);

  fail_unless (wanted != NULL);
  g_free (wanted->name);
  wanted->name = g_strdup ("m");
  found_text = ci_config_to_json (ci_model_get_config (model));
  wanted_text = ci_config_to_json (wanted);
  fail_unless_equals_string (found_text, wanted_text);
  fail_unless_equals_string (names, "");
}

void
check_bad_description (const gchar * json, const gchar * wanted)
{
  g_autoptr (GError) error = NULL;

  fail_if (ci_config_parse (json, "test", &error));
  fail_unless (strstr (error->message, wanted), "%s", error->message);
}
