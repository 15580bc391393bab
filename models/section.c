/*
 * section.c: one object of a description: its values with checks of type and
 * range, and the same written.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "section.h"

#include <string.h>

#include "json.h"

const gchar *const ci_norm_names[] = { "none", "bn", "gn", NULL };

void
ci_section_fail (const CiSection * s, const gchar * key, CiError code,
    const gchar * format, ...)
{
  g_autofree gchar *what = NULL;
  va_list args;

  if (*s->error)
    return;
  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (s->error, CI_ERROR, code, "%s: %s%s: %s", s->source, s->path,
      key, what);
}

/* The value as short JSON, for messages. */
static gchar *
show (JsonNode * node)
{
  g_autofree gchar *text = NULL;

  if (!JSON_NODE_HOLDS_VALUE (node))
    return g_strdup (json_node_type_name (node));
  text = json_to_string (node, FALSE);
  return strlen (text) > 60 ? g_strdup ("a long string")
      : g_steal_pointer (&text);
}

static void
fail_type (const CiSection * s, const gchar * key, JsonNode * node,
    const gchar * expected)
{
  g_autofree gchar *found = show (node);

  ci_section_fail (s, key, CI_ERROR_BAD_FORMAT, "expected %s, found %s",
      expected, found);
}

JsonNode *
ci_section_get (const CiSection * s, const gchar * key)
{
  return s->object ? json_object_get_member (s->object, key) : NULL;
}

CiSection
ci_section_open (const CiSection * parent, const gchar * key,
    const gchar * path)
{
  JsonNode *node = ci_section_get (parent, key);
  CiSection section = { parent->source, path, NULL, parent->error };

  if (node && JSON_NODE_HOLDS_OBJECT (node))
    section.object = json_node_get_object (node);
  else if (node)
    fail_type (parent, key, node, "an object");
  return section;
}

static gboolean
holds_number (JsonNode * node)
{
  GType type = JSON_NODE_HOLDS_VALUE (node) ? json_node_get_value_type (node)
      : G_TYPE_INVALID;

  return type == G_TYPE_INT64 || type == G_TYPE_DOUBLE;
}

gint
ci_section_int (const CiSection * s, const gchar * key, gint fallback,
    gint min, gint max)
{
  JsonNode *node = ci_section_get (s, key);
  gdouble value;

  if (!node)
    return fallback;
  value = holds_number (node) ? json_node_get_double (node) : 0;
  /* 64.0 is an integer, too */
  if (!holds_number (node) || !(value >= min && value <= max)
      || value != (gint) value) {
    g_autofree gchar *expected =
        g_strdup_printf ("an integer from %d to %d", min, max);

    fail_type (s, key, node, expected);
    return fallback;
  }
  return value;
}

/* One number of @s' key @key; @node is the value or an element of it. */
static gdouble
check_float (const CiSection * s, const gchar * key, JsonNode * node,
    gdouble fallback, gdouble min, gdouble max)
{
  gdouble value = holds_number (node) ? json_node_get_double (node) : 0;

  if (!holds_number (node) || !(value >= min && value <= max)) {
    g_autofree gchar *expected =
        g_strdup_printf ("a number from %g to %g", min, max);

    fail_type (s, key, node, expected);
    return fallback;
  }
  return value;
}

gdouble
ci_section_float (const CiSection * s, const gchar * key, gdouble fallback,
    gdouble min, gdouble max)
{
  JsonNode *node = ci_section_get (s, key);

  return node ? check_float (s, key, node, fallback, min, max) : fallback;
}

gboolean
ci_section_boolean (const CiSection * s, const gchar * key, gboolean fallback)
{
  JsonNode *node = ci_section_get (s, key);

  if (!node)
    return fallback;
  if (!JSON_NODE_HOLDS_VALUE (node)
      || json_node_get_value_type (node) != G_TYPE_BOOLEAN) {
    fail_type (s, key, node, "true or false");
    return fallback;
  }
  return json_node_get_boolean (node);
}

const gchar *
ci_section_string (const CiSection * s, const gchar * key)
{
  JsonNode *node = ci_section_get (s, key);

  if (!node)
    return NULL;
  if (!JSON_NODE_HOLDS_VALUE (node)
      || json_node_get_value_type (node) != G_TYPE_STRING) {
    fail_type (s, key, node, "a string");
    return NULL;
  }
  return json_node_get_string (node);
}

gint
ci_section_choice (const CiSection * s, const gchar * key, gint fallback,
    const gchar * const *choices)
{
  const gchar *value = ci_section_string (s, key);

  if (!value)
    return fallback;
  for (gint i = 0; choices[i]; i++)
    if (g_str_equal (choices[i], value))
      return i;
  {
    g_autofree gchar *known = g_strjoinv (", ", (gchar **) choices);

    ci_section_fail (s, key, CI_ERROR_UNSUPPORTED,
        "\"%.60s\" is not known here (%s)", value, known);
  }
  return fallback;
}

gint
ci_section_floats (const CiSection * s, const gchar * key, gfloat * out,
    gint min_length, gint max_length, gdouble min, gdouble max)
{
  JsonNode *node = ci_section_get (s, key);
  JsonArray *array;
  gint n;

  if (!node)
    return 0;
  if (!JSON_NODE_HOLDS_ARRAY (node)) {
    fail_type (s, key, node, "an array of numbers");
    return 0;
  }
  array = json_node_get_array (node);
  n = json_array_get_length (array);
  if (n < min_length || n > max_length) {
    if (min_length == max_length)
      ci_section_fail (s, key, CI_ERROR_BAD_FORMAT,
          "expected %d numbers, found %d", min_length, n);
    else
      ci_section_fail (s, key, CI_ERROR_BAD_FORMAT,
          "expected %d or %d numbers, found %d", min_length, max_length, n);
    return 0;
  }
  for (gint i = 0; i < n; i++)
    out[i] = check_float (s, key, json_array_get_element (array, i), min, min,
        max);
  return n;
}

void
ci_section_booleans (const CiSection * s, const gchar * key, gboolean * out,
    gint n)
{
  JsonNode *node = ci_section_get (s, key);
  JsonArray *array = node && JSON_NODE_HOLDS_ARRAY (node) ?
      json_node_get_array (node) : NULL;
  gboolean ok = array && (gint) json_array_get_length (array) == n;

  for (gint i = 0; i < n && ok; i++) {
    JsonNode *element = json_array_get_element (array, i);

    ok = JSON_NODE_HOLDS_VALUE (element)
        && json_node_get_value_type (element) == G_TYPE_BOOLEAN;
    if (ok)
      out[i] = json_node_get_boolean (element);
  }
  if (node && !ok) {
    g_autofree gchar *expected =
        g_strdup_printf ("an array of %d, each true or false", n);

    fail_type (s, key, node, expected);
  }
}

gint
ci_section_one_of (const CiSection * s, const gchar * key, const gint * known)
{
  g_autoptr (GString) list = g_string_new (NULL);
  gint value = ci_section_int (s, key, known[0], 1, G_MAXINT);

  if (!ci_section_get (s, key))
    ci_section_fail (s, key, CI_ERROR_BAD_FORMAT, "is missing");
  for (gint i = 0; known[i]; i++) {
    if (known[i] == value)
      return value;
    g_string_append_printf (list, "%s%d", i ? ", " : "", known[i]);
  }
  ci_section_fail (s, key, CI_ERROR_UNSUPPORTED, "%d is not known here (%s)",
      value, list->str);
  return known[0];
}

CiNorm
ci_section_norm (const CiSection * s, const gchar * key, gint channels,
    const gchar * source)
{
  CiNorm norm = ci_section_choice (s, key, CI_NORM_NONE, ci_norm_names);

  if (norm == CI_NORM_GN && channels % CI_NORM_GROUPS)
    ci_section_fail (s, key, CI_ERROR_BAD_FORMAT, "expected %s to be a "
        "multiple of gn's %d groups, found %d", source, CI_NORM_GROUPS,
        channels);
  return norm;
}

/* ---- writing ---------------------------------------------------------- */

void
ci_write_key (GString * out, const gchar * key)
{
  if (out->len && out->str[out->len - 1] != '{')
    g_string_append_c (out, ',');
  ci_json_append_string (out, key);
  g_string_append_c (out, ':');
}

void
ci_write_string (GString * out, const gchar * key, const gchar * value)
{
  ci_write_key (out, key);
  ci_json_append_string (out, value);
}

void
ci_write_int (GString * out, const gchar * key, gint value)
{
  ci_write_key (out, key);
  g_string_append_printf (out, "%d", value);
}

void
ci_write_boolean (GString * out, const gchar * key, gboolean value)
{
  ci_write_key (out, key);
  g_string_append (out, value ? "true" : "false");
}

void
ci_write_float (GString * out, const gchar * key, gfloat value)
{
  ci_write_key (out, key);
  ci_json_append_float (out, value);
}

void
ci_write_floats (GString * out, const gchar * key, const gfloat * values,
    gint n)
{
  ci_write_key (out, key);
  for (gint i = 0; i < n; i++) {
    g_string_append_c (out, i ? ',' : '[');
    ci_json_append_float (out, values[i]);
  }
  g_string_append_c (out, ']');
}

void
ci_write_booleans (GString * out, const gchar * key, const gboolean * values,
    gint n)
{
  ci_write_key (out, key);
  for (gint i = 0; i < n; i++)
    g_string_append_printf (out, "%s%s", i ? "," : "[",
        values[i] ? "true" : "false");
  g_string_append_c (out, ']');
}

void
ci_write_open (GString * out, const gchar * key)
{
  ci_write_key (out, key);
  g_string_append_c (out, '{');
}

void
ci_write_close (GString * out)
{
  g_string_append_c (out, '}');
}
