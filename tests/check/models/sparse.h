/*
 * sparse.h: safetensors files without a description, whose tensors are holes:
 * names and shapes of networks of any size at no cost.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SPARSE_H
#define SPARSE_H

#include "models/method.h"

G_BEGIN_DECLS

typedef struct _Sparse Sparse;

Sparse *sparse_new (void);
void sparse_free (Sparse * sparse);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Sparse, sparse_free)
/** Adds a tensor, in place of one of the same name; @data: its values, or NULL
 * for zeros. */
void sparse_add (Sparse * sparse, const gchar * name, CiDType dtype,
    gint n_dims, const gint64 * dims, gconstpointer data);
/** Says another dtype of the same size in the file: "BF16". */
void sparse_set_dtype (Sparse * sparse, const gchar * name,
    const gchar * dtype);
void sparse_remove (Sparse * sparse, const gchar * name);
/** Adds what the network of the description @json needs. */
void sparse_add_network (Sparse * sparse, const gchar * json);
void sparse_write (const Sparse * sparse, const gchar * path);

G_END_DECLS

#endif /* SPARSE_H */
