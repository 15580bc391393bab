/*
 * helpers.h: what tests of models share: errors, and a folder for each test
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef HELPERS_H
#define HELPERS_H

#include <gst/check/gstcheck.h>

#include "models/models.h"

G_BEGIN_DECLS

extern gchar *test_dir;         /* made for each test by the fixture */

void setup_dir (void);
void teardown_dir (void);

/** @error must have @code, and the parts of @wanted (PART|PART|..) in its
 * message; it is freed. */
void check_error (GError * error, CiError code, const gchar * wanted);

G_END_DECLS

#endif /* HELPERS_H */
