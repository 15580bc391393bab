/*
 * Crafted checkpoints for tests.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CHECKPOINT_HELPERS_H
#define CHECKPOINT_HELPERS_H

#include "helpers.h"
#include "models/checkpoint.h"

void check_refused (gconstpointer data, gsize size, CiError code,
    const gchar * wanted);
CiCheckpoint *check_accepted (gconstpointer data, gsize size);

/** An entry of a zip archive, and where its headers have come to lie. */
typedef struct
{
  const gchar *name;
  gconstpointer data;
  gsize size;
  gsize local, central;
} ZipItem;

typedef struct
{
  GByteArray *bytes;
  gsize directory, end64, locator, end;
} Zip;

/** @zip64: sizes and offsets stand in extra fields, and the directory's end in
 * a record of ZIP64. */
void zip_build (Zip * zip, ZipItem * items, guint n, gboolean zip64);
/** An archive of torch.save with this pickle, and the storage "0" of @size
 * bytes 0, 1, 2, ... */
GByteArray *zip_torch (gconstpointer pickle, gsize pickle_size, gsize size);
void append_uint (GByteArray * bytes, guint64 value, gint width);

#endif
