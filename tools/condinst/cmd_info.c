/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli.h"

/* Values of an array or an object in one line, names before them. */
static void
append_values (GString * line, JsonNode * node)
{
  if (JSON_NODE_HOLDS_ARRAY (node)) {
    JsonArray *array = json_node_get_array (node);
    guint i;

    if (json_array_get_length (array) == 0)
      g_string_append (line, "none");
    for (i = 0; i < json_array_get_length (array); i++) {
      if (i > 0)
        g_string_append (line, ", ");
      append_values (line, json_array_get_element (array, i));
    }
  } else if (JSON_NODE_HOLDS_OBJECT (node)) {
    JsonObject *object = json_node_get_object (node);
    g_autoptr (GList) names = json_object_get_members (object);
    GList *l;

    for (l = names; l; l = l->next) {
      g_string_append_printf (line, "%s%s ", l == names ? "" : "; ",
          (gchar *) l->data);
      append_values (line, json_object_get_member (object, l->data));
    }
  } else if (JSON_NODE_HOLDS_VALUE (node)
      && json_node_get_value_type (node) == G_TYPE_STRING) {
    g_string_append (line, json_node_get_string (node));
  } else if (JSON_NODE_HOLDS_VALUE (node)
      && json_node_get_value_type (node) == G_TYPE_DOUBLE) {
    g_string_append_printf (line, "%g", json_node_get_double (node));
  } else {
    g_autofree gchar *text = json_to_string (node, FALSE);
    g_string_append (line, text);
  }
}

/* Breaks @text at blanks, with @indent before every line but the first. */
static void
print_wrapped (const gchar * text, guint indent)
{
  g_auto (GStrv) words = g_strsplit (text, " ", -1);
  glong column = indent;
  guint i;

  for (i = 0; words[i]; i++) {
    glong length = g_utf8_strlen (words[i], -1);

    if (i > 0 && column + 1 + length > 79) {
      g_print ("\n%*s", (gint) indent, "");
      column = indent;
    } else if (i > 0) {
      g_print (" ");
      column++;
    }
    g_print ("%s", words[i]);
    column += length;
  }
  g_print ("\n");
}

gint
ci_cmd_info (gint argc, gchar ** argv)
{
  gboolean as_json = FALSE;
  const GOptionEntry entries[] = {
    CI_CLI_MODEL_ENTRIES,
    {"json", 0, 0, G_OPTION_ARG_NONE, &as_json, "Print JSON", NULL},
    {NULL}
  };
  const CiCliUsage usage = { "MODEL",
    "Tells what a model file holds: architecture, input, classes; of official\n"
        "checkpoints also which published configurations have such tensors.",
    entries, 1, 1
  };
  g_autoptr (CiModel) model = NULL;
  g_autoptr (JsonNode) node = NULL;
  g_autoptr (GList) names = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree gchar *json = NULL;
  GList *l;

  if (!ci_cli_parse (&usage, &argc, &argv))
    return CI_EXIT_USAGE;
  model = ci_cli_load_model (argv[1], &error);
  if (!model)
    return ci_cli_fail (CI_EXIT_FAILED, "%s", error->message);

  json = ci_model_to_json (model);
  node = json_from_string (json, &error);
  if (!node || !JSON_NODE_HOLDS_OBJECT (node))
    return ci_cli_fail (CI_EXIT_FAILED, "%s: no description", argv[1]);
  if (as_json) {
    g_autofree gchar *pretty = json_to_string (node, TRUE);

    g_print ("%s\n", pretty);
    return CI_EXIT_OK;
  }
  g_print ("%-16s%s\n", "file", ci_model_get_path (model) ?
      ci_model_get_path (model) : "none (made-up weights)");
  names = json_object_get_members (json_node_get_object (node));
  for (l = names; l; l = l->next) {
    g_autoptr (GString) line = g_string_new (NULL);

    if (g_str_equal (l->data, "path"))
      continue;
    append_values (line, json_object_get_member (json_node_get_object (node),
            l->data));
    g_print ("%-16s", (gchar *) l->data);
    print_wrapped (line->str, 16);
  }
  return CI_EXIT_OK;
}
