/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "json.h"

#include <string.h>

#include "../kernels/kernels.h"

void
ci_json_init (CiJson * json, const gchar * text, gsize size)
{
  json->start = json->pos = text;
  json->end = text + size;
  json->n_names = 0;
}

/* The next character that is no white space, '\0' at the end. */
static gchar
peek (CiJson * json)
{
  while (json->pos < json->end && (*json->pos == ' ' || *json->pos == '\t'
          || *json->pos == '\n' || *json->pos == '\r'))
    json->pos++;
  return json->pos < json->end ? *json->pos : '\0';
}

gboolean
ci_json_fail (const CiJson * json, const gchar * expected, GError ** error)
{
  g_autofree gchar *found = NULL;

  if (json->pos >= json->end)
    found = g_strdup ("the end");
  else if (g_ascii_isprint (*json->pos))
    found = g_strdup_printf ("'%c'", *json->pos);
  else
    found = g_strdup_printf ("the byte 0x%02x", (guchar) * json->pos);
  g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
      "byte %" G_GSIZE_FORMAT ": expected %s, found %s",
      (gsize) (json->pos - json->start), expected, found);
  return FALSE;
}

gboolean
ci_json_accept (CiJson * json, gchar c)
{
  if (peek (json) != c || json->pos == json->end)
    return FALSE;
  json->pos++;
  return TRUE;
}

gboolean
ci_json_expect (CiJson * json, gchar c, GError ** error)
{
  const gchar expected[] = { '\'', c, '\'', '\0' };

  return ci_json_accept (json, c) || ci_json_fail (json, expected, error);
}

gboolean
ci_json_at_end (CiJson * json)
{
  peek (json);
  return json->pos == json->end;
}

/* Four hexadecimal digits at @p, or -1. */
static gint
read_hex4 (const gchar * p, const gchar * end)
{
  gint value = 0;

  if (end - p < 4)
    return -1;
  for (gint i = 0; i < 4; i++) {
    if (!g_ascii_isxdigit (p[i]))
      return -1;
    value = value * 16 + g_ascii_xdigit_value (p[i]);
  }
  return value;
}

/* The escape after a backslash, appended to @out. */
static gboolean
read_escape (CiJson * json, GString * out, GError ** error)
{
  static const gchar escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
  const gchar *found;
  gint unit, low;

  if (json->pos < json->end && *json->pos
      && (found = strchr (escapes, *json->pos))) {
    g_string_append_c (out, meanings[found - escapes]);
    json->pos++;
    return TRUE;
  }
  if (json->pos == json->end || *json->pos != 'u'
      || (unit = read_hex4 (json->pos + 1, json->end)) <= 0)
    return ci_json_fail (json, "an escape", error);
  json->pos += 5;
  if (unit >= 0xd800 && unit < 0xe000) {
    /* UTF-16: the other half of a character beyond 0xffff must follow */
    if (unit >= 0xdc00 || json->end - json->pos < 6 || json->pos[0] != '\\'
        || json->pos[1] != 'u'
        || (low = read_hex4 (json->pos + 2, json->end)) < 0xdc00
        || low >= 0xe000)
      return ci_json_fail (json, "the second half of a surrogate pair", error);
    json->pos += 6;
    unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
  }
  g_string_append_unichar (out, unit);
  return TRUE;
}

gchar *
ci_json_string (CiJson * json, GError ** error)
{
  GString *out;

  if (peek (json) != '"') {
    ci_json_fail (json, "a string", error);
    return NULL;
  }
  json->pos++;
  out = g_string_new (NULL);
  while (json->pos < json->end) {
    const gchar *run = json->pos;

    while (json->pos < json->end && *json->pos != '"' && *json->pos != '\\'
        && (guchar) * json->pos >= 0x20)
      json->pos++;
    g_string_append_len (out, run, json->pos - run);
    if (json->pos == json->end)
      break;
    if (*json->pos == '"') {
      json->pos++;
      return g_string_free (out, FALSE);
    }
    if (*json->pos != '\\') {
      ci_json_fail (json, "no control character in a string", error);
      goto fail;
    }
    json->pos++;
    if (!read_escape (json, out, error))
      goto fail;
  }
  ci_json_fail (json, "the end of a string", error);

fail:
  g_string_free (out, TRUE);
  return NULL;
}

static void
skip_digits (CiJson * json)
{
  while (json->pos < json->end && g_ascii_isdigit (*json->pos))
    json->pos++;
}

/* Skips a number and tells whether it is an integer, and which. */
static gboolean
read_number (CiJson * json, gboolean * is_integer, gint64 * value,
    GError ** error)
{
  const gchar *begin, *digits;
  g_autofree gchar *text = NULL;

  peek (json);
  begin = json->pos;
  if (json->pos < json->end && *json->pos == '-')
    json->pos++;
  digits = json->pos;
  skip_digits (json);
  if (json->pos == digits || (*digits == '0' && json->pos - digits > 1)) {
    json->pos = begin;
    return ci_json_fail (json, "a number", error);
  }
  *is_integer = TRUE;
  if (json->pos < json->end && *json->pos == '.') {
    *is_integer = FALSE;
    digits = ++json->pos;
    skip_digits (json);
    if (json->pos == digits)
      return ci_json_fail (json, "a digit", error);
  }
  if (json->pos < json->end && (*json->pos == 'e' || *json->pos == 'E')) {
    *is_integer = FALSE;
    json->pos++;
    if (json->pos < json->end && (*json->pos == '+' || *json->pos == '-'))
      json->pos++;
    digits = json->pos;
    skip_digits (json);
    if (json->pos == digits)
      return ci_json_fail (json, "a digit", error);
  }
  if (*is_integer) {
    text = g_strndup (begin, json->pos - begin);
    if (!g_ascii_string_to_signed (text, 10, G_MININT64, G_MAXINT64, value,
            NULL)) {
      g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
          "byte %" G_GSIZE_FORMAT ": expected a 64-bit integer, found %.40s%s",
          (gsize) (begin - json->start), text,
          strlen (text) > 40 ? "..." : "");
      return FALSE;
    }
  }
  return TRUE;
}

gboolean
ci_json_uint (CiJson * json, guint64 * out, GError ** error)
{
  gboolean is_integer;
  gint64 value;
  CiJson begin;

  peek (json);
  begin = *json;
  if (!g_ascii_isdigit (peek (json)) && peek (json) != '-')
    return ci_json_fail (json, "an integer >= 0", error);
  if (!read_number (json, &is_integer, &value, error))
    return FALSE;
  if (!is_integer || value < 0) {
    g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
        "byte %" G_GSIZE_FORMAT ": expected an integer >= 0, found %.*s",
        (gsize) (begin.pos - begin.start),
        (gint) MIN (json->pos - begin.pos, 40), begin.pos);
    return FALSE;
  }
  *out = value;
  return TRUE;
}

static gboolean check_value (CiJson * json, guint depth, GError ** error);

/* A name in an object. */
typedef struct
{
  gchar *text;
  gsize at;                     /* bytes from the start */
} Name;

static void
name_clear (gpointer data)
{
  Name *name = data;

  g_free (name->text);
}

static gint
compare_names (gconstpointer a, gconstpointer b)
{
  const Name *x = a, *y = b;
  gint order = strcmp (x->text, y->text);

  return order ? order : (x->at > y->at) - (x->at < y->at);
}

/* Reads one more name into @names, up to the limits. */
static gboolean
check_name (CiJson * json, GArray * names, GError ** error)
{
  Name name = { NULL, json->pos - json->start };
  gboolean one = names->len == CI_JSON_MAX_MEMBERS;

  if (one || json->n_names == CI_JSON_MAX_NAMES) {
    g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
        "byte %" G_GSIZE_FORMAT ": more than %d names in %s", name.at,
        one ? CI_JSON_MAX_MEMBERS : CI_JSON_MAX_NAMES,
        one ? "one object" : "all objects");
    return FALSE;
  }
  name.text = ci_json_string (json, error);
  if (!name.text)
    return FALSE;
  g_array_append_val (names, name);
  json->n_names++;
  return TRUE;
}

/* Sorts @names; none may come twice. */
static gboolean
check_unique (GArray * names, GError ** error)
{
  g_array_sort (names, compare_names);
  for (guint i = 1; i < names->len; i++) {
    const Name *name = &g_array_index (names, Name, i);

    if (g_str_equal (name[-1].text, name->text)) {
      g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
          "byte %" G_GSIZE_FORMAT ": the name \"%.100s\" comes twice in one "
          "object", name->at, name->text);
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
check_object (CiJson * json, guint depth, GError ** error)
{
  g_autoptr (GArray) names = g_array_new (FALSE, FALSE, sizeof (Name));

  g_array_set_clear_func (names, name_clear);
  if (ci_json_accept (json, '}'))
    return TRUE;
  do {
    if (!check_name (json, names, error)
        || !ci_json_expect (json, ':', error)
        || !check_value (json, depth, error))
      return FALSE;
  } while (ci_json_accept (json, ','));
  if (!ci_json_accept (json, '}'))
    return ci_json_fail (json, "',' or '}'", error);
  return check_unique (names, error);
}

static gboolean
check_array (CiJson * json, guint depth, GError ** error)
{
  if (ci_json_accept (json, ']'))
    return TRUE;
  do {
    if (!check_value (json, depth, error))
      return FALSE;
  } while (ci_json_accept (json, ','));
  return ci_json_accept (json, ']') || ci_json_fail (json, "',' or ']'", error);
}

/* @depth: how many more levels of nesting are allowed; bounds the recursion. */
static gboolean
check_value (CiJson * json, guint depth, GError ** error)
{
  static const gchar *const literals[] = { "true", "false", "null" };
  g_autofree gchar *string = NULL;
  gboolean is_integer;
  gint64 value;
  gchar c = peek (json);

  if (c == '{' || c == '[') {
    if (depth == 0) {
      g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
          "byte %" G_GSIZE_FORMAT ": nested too deeply",
          (gsize) (json->pos - json->start));
      return FALSE;
    }
    json->pos++;
    return c == '{' ? check_object (json, depth - 1, error)
        : check_array (json, depth - 1, error);
  }
  if (c == '"')
    return (string = ci_json_string (json, error)) != NULL;
  if (c == '-' || g_ascii_isdigit (c))
    return read_number (json, &is_integer, &value, error);
  for (guint i = 0; i < G_N_ELEMENTS (literals); i++) {
    gsize length = strlen (literals[i]);

    if ((gsize) (json->end - json->pos) >= length
        && memcmp (json->pos, literals[i], length) == 0) {
      json->pos += length;
      return TRUE;
    }
  }
  return ci_json_fail (json, "a value", error);
}

gboolean
ci_json_check (const gchar * text, gsize size, guint max_depth,
    GError ** error)
{
  const gchar *valid;
  CiJson json;

  ci_json_init (&json, text, size);
  if (!g_utf8_validate_len (text, size, &valid)) {
    json.pos = valid;
    return ci_json_fail (&json, "UTF-8", error);
  }
  if (!check_value (&json, max_depth, error))
    return FALSE;
  return ci_json_at_end (&json) || ci_json_fail (&json, "the end", error);
}

void
ci_json_append_string (GString * out, const gchar * string)
{
  g_string_append_c (out, '"');
  for (const gchar * p = string; *p; p++) {
    if (*p == '"' || *p == '\\')
      g_string_append_printf (out, "\\%c", *p);
    else if ((guchar) * p < 0x20)
      g_string_append_printf (out, "\\u%04x", *p);
    else
      g_string_append_c (out, *p);
  }
  g_string_append_c (out, '"');
}

void
ci_json_append_float (GString * out, gfloat value)
{
  gchar text[G_ASCII_DTOSTR_BUF_SIZE];
  gchar format[] = "%.6g";

  /* nine digits always suffice for a float */
  for (gint digits = 6; digits <= 9; digits++) {
    format[2] = '0' + digits;
    g_ascii_formatd (text, sizeof text, format, value);
    if ((gfloat) g_ascii_strtod (text, NULL) == value)
      break;
  }
  g_string_append (out, text);
}
