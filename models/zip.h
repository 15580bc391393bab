/*
 * zip.h: the entries of a zip archive in memory, as torch.save writes it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_ZIP_H
#define CI_ZIP_H

#include "models.h"

G_BEGIN_DECLS

typedef struct
{
  gchar *name;                  /* first, for ci_names_sort() */
  const guint8 *data;
  guint64 size;
  guint64 begin, end;           /* in the file: header and data */
} CiZipEntry;

/**
 * CiZipEntry array, sorted by name. Entries that are compressed, encrypted,
 * overlapping, outside the file, of the same name, or described differently by
 * directory and file are refused: what is left are plain ranges of @data.
 * Everything lies in one folder, as in torch's files; *@folder is its name with
 * the slash.
 */
GPtrArray *ci_zip_parse (const guint8 * data, gsize size, gchar ** folder,
    GError ** error);

G_END_DECLS

#endif /* CI_ZIP_H */
