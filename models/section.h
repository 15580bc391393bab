/*
 * section.h: reading and writing one object of a description; private to
 * models/.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_SECTION_H
#define CI_SECTION_H

#include <json-glib/json-glib.h>

#include "config.h"

G_BEGIN_DECLS

/**
 * CiSection: one object. @error points to what all sections of a document
 * share: the first fault stays, later reads then only give fallbacks. It names
 * @source, the path and the key, what was expected and what was found.
 */
typedef struct
{
  const gchar *source, *path;   /* "" or "fcos." */
  JsonObject *object;           /* NULL if the document has no such section */
  GError **error;
} CiSection;

/** The object @key of @parent; @path is what its keys are called by. */
CiSection ci_section_open (const CiSection * parent, const gchar * key,
    const gchar * path);
void ci_section_fail (const CiSection * s, const gchar * key, CiError code,
    const gchar * format, ...) G_GNUC_PRINTF (4, 5);
/** The value @key, or NULL. */
JsonNode *ci_section_get (const CiSection * s, const gchar * key);

/* @fallback if there is no @key, or what it has is wrong. */
gint ci_section_int (const CiSection * s, const gchar * key, gint fallback,
    gint min, gint max);
gdouble ci_section_float (const CiSection * s, const gchar * key,
    gdouble fallback, gdouble min, gdouble max);
gboolean ci_section_boolean (const CiSection * s, const gchar * key,
    gboolean fallback);
/** NULL if there is none. */
const gchar *ci_section_string (const CiSection * s, const gchar * key);
/** Index of the string @key in @choices, NULL-terminated. */
gint ci_section_choice (const CiSection * s, const gchar * key, gint fallback,
    const gchar * const *choices);
/** The integer @key, which has to be there and one of @known (0 at the end). */
gint ci_section_one_of (const CiSection * s, const gchar * key,
    const gint * known);
/** The normalisation @key of maps of @channels, a number called @source. */
CiNorm ci_section_norm (const CiSection * s, const gchar * key, gint channels,
    const gchar * source);
/** Fills @out with the numbers of the array @key, which must have from
 * @min_length to @max_length of them; returns how many, 0 if it is absent. */
gint ci_section_floats (const CiSection * s, const gchar * key, gfloat * out,
    gint min_length, gint max_length, gdouble min, gdouble max);
/** The same of exactly @n booleans. */
void ci_section_booleans (const CiSection * s, const gchar * key,
    gboolean * out, gint n);

/* config.c */
extern const gchar *const ci_backbone_names[];  /* by CiBackboneType */
extern const gchar *const ci_norm_names[];      /* by CiNorm */

/** "key": before a value, with a comma unless it opens its object. */
void ci_write_key (GString * out, const gchar * key);
void ci_write_string (GString * out, const gchar * key, const gchar * value);
void ci_write_int (GString * out, const gchar * key, gint value);
void ci_write_boolean (GString * out, const gchar * key, gboolean value);
void ci_write_float (GString * out, const gchar * key, gfloat value);
void ci_write_floats (GString * out, const gchar * key,
    const gfloat * values, gint n);
void ci_write_booleans (GString * out, const gchar * key,
    const gboolean * values, gint n);
void ci_write_open (GString * out, const gchar * key);
void ci_write_close (GString * out);

G_END_DECLS

#endif /* CI_SECTION_H */
