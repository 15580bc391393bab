/*
 * model_helpers.h: models in the folder of a test
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef MODEL_HELPERS_H
#define MODEL_HELPERS_H

#include "helpers.h"
#include "models/config.h"
#include "models/upstream.h"
#include "sparse.h"

G_BEGIN_DECLS

/** Loads with the settings SETTING|SETTING|.., "" for none. */
CiModel *load_ok (const gchar * path, const gchar * config,
    const gchar * settings);
/** The same must fail like this. */
void check_bad (const gchar * path, const gchar * config,
    const gchar * settings, CiError code, const gchar * wanted);

/** Write into the folder; the path is to be freed. */
gchar *write_text (const gchar * name, const gchar * text);
gchar *write_sparse (const Sparse * sparse, const gchar * name);
/** A file with the tensors of the network of @json. */
gchar *write_network (const gchar * name, const gchar * json);
/** The names that @model is recognised as, separated by blanks. */
gchar *get_recognised (const CiModel * model);

/** The description of @json's network must be found again in its tensors, and
 * no published name. */
void check_network (const gchar * json);
/** A description must be refused with a message that has @wanted. */
void check_bad_description (const gchar * json, const gchar * wanted);

/** Whether @key is the JSON @wanted; NULL: whether it is not there. */
void check_value (const CiUpstream * upstream, const gchar * key,
    const gchar * wanted);

G_END_DECLS

#endif /* MODEL_HELPERS_H */
