/*
 * torch.h: the two containers of torch.save: a pickle, and the storages that
 * its tensors show.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_TORCH_H
#define CI_TORCH_H

#include "pickle.h"

G_BEGIN_DECLS

typedef struct
{
  gchar *key;                   /* first, for ci_names_sort() */
  const guint8 *data;
  guint64 size;                 /* bytes */
  gsize element_size;           /* as first mentioned; old container only */
} CiTorchStorage;

/** Whether @root is what the container of torch before 1.6 begins with, a
 * pickle of its magic number. */
gboolean ci_torch_is_magic (const CiObject * root);

/** Reads the zip container of torch since 1.6 or the older one, whose first
 * pickle ends at @pos. *@storages: CiTorchStorage, sorted by key. */
CiPickle *ci_torch_read_zip (const guint8 * data, gsize size,
    GPtrArray ** storages, GError ** error);
CiPickle *ci_torch_read_legacy (const guint8 * data, gsize size, gsize pos,
    CiPickleCost * cost, GPtrArray ** storages, GError ** error);

G_END_DECLS

#endif /* CI_TORCH_H */
