/*
 * json.h: strict reading of JSON (RFC 8259) over memory; private to models/.
 *
 * The header of a safetensors file may be 100 MB, so it is read in one pass
 * without building a tree. Trees (config.c) are left to json-glib, which
 * recurses, is lenient and lets a later name overwrite an earlier one; text is
 * therefore passed through ci_json_check() first.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_JSON_H
#define CI_JSON_H

#include <glib.h>

G_BEGIN_DECLS

/** A position in a text, which must be valid UTF-8 for ci_json_string() to
 * give valid UTF-8. Errors are CI_ERROR_BAD_FORMAT and say at which byte. */
typedef struct
{
  const gchar *start, *pos, *end;
  guint n_names;                /* in objects that ci_json_check() has seen */
} CiJson;

/* Trees hash names, and hostile ones collide: this many of one object, and of
 * all of them, cost no time that matters. */
#define CI_JSON_MAX_MEMBERS 1000
#define CI_JSON_MAX_NAMES 10000

void ci_json_init (CiJson * json, const gchar * text, gsize size);
/** Skips white space, then the character @c if it comes next. */
gboolean ci_json_accept (CiJson * json, gchar c);
/** The same, but anything else is an error. */
gboolean ci_json_expect (CiJson * json, gchar c, GError ** error);
/** Only white space is left. */
gboolean ci_json_at_end (CiJson * json);
/** The next value as an unescaped string without NUL bytes; NULL on error. */
gchar *ci_json_string (CiJson * json, GError ** error);
/** The next value as an integer in [0, 2^63). */
gboolean ci_json_uint (CiJson * json, guint64 * out, GError ** error);
/** Sets @error: "byte N: expected @expected, found ..."; gives FALSE. */
gboolean ci_json_fail (const CiJson * json, const gchar * expected,
    GError ** error);

/** Whether @text is one JSON value, nested at most @max_depth deep, in UTF-8,
 * without a name twice in one object, more names than the limits above allow,
 * or integers beyond 64 bits. */
gboolean ci_json_check (const gchar * text, gsize size, guint max_depth,
    GError ** error);

/** Appends @string quoted and escaped. */
void ci_json_append_string (GString * out, const gchar * string);
/** Appends the shortest decimal that reads back as the same float. */
void ci_json_append_float (GString * out, gfloat value);

G_END_DECLS

#endif /* CI_JSON_H */
