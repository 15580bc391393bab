/*
 * model_helpers.h: a folder for each test, and models loaded from it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef MODEL_HELPERS_H
#define MODEL_HELPERS_H

#include <gst/check/gstcheck.h>

#include "models/config.h"
#include "sparse.h"

G_BEGIN_DECLS

extern gchar *dir;              /* made for each test by the fixture */

void setup_dir (void);
void teardown_dir (void);

/** Loads with the settings SETTING|SETTING|.., "" for none. */
CiModel *load_ok (const gchar * path, const gchar * config,
    const gchar * settings);
/** The same must fail with @code, and the parts of @wanted (PART|PART|..) in
 * the message. */
void check_bad (const gchar * path, const gchar * config,
    const gchar * settings, CiError code, const gchar * wanted);

/** Writes into the folder; the path is to be freed. */
gchar *write_sparse (const Sparse * sparse, const gchar * name);
/** A file with the tensors of the network of @json. */
gchar *write_network (const gchar * name, const gchar * json);
/** The names that @model is recognised as, separated by blanks. */
gchar *get_recognised (const CiModel * model);

G_END_DECLS

#endif /* MODEL_HELPERS_H */
