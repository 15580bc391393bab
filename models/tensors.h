/*
 * tensors.h: named tensors as files store them; what the readers of all
 * formats share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_TENSORS_H
#define CI_TENSORS_H

#include "models.h"

G_BEGIN_DECLS

/** How a stored dtype is given out: as it is, as a wider one, or not at all,
 * because kernels have none like it. */
typedef enum
{
  CI_VIEW_DIRECT,
  CI_VIEW_WIDENED,
  CI_VIEW_NONE,
} CiView;

typedef struct
{
  const gchar *name;            /* as in safetensors headers: "BF16" */
  gsize size;                   /* bytes of an element */
  CiView view;
  CiDType dtype;                /* what it is given out as */
} CiFileDType;

/** NULL if there is none called @name. */
const CiFileDType *ci_file_dtype_find (const gchar * name);

/** Where the elements of a tensor are. */
typedef struct
{
  const guint8 *data;           /* the first element; any alignment */
  const gint64 *strides;        /* in elements; NULL: dense, row-major */
  gboolean swap;                /* the bytes of an element are reversed */
  gboolean copy;                /* @data does not last */
  gboolean widen;               /* F16 comes as F32, too */
} CiTensorSource;

/** A tensor of a file; the caller sets what comes before @view, which has
 * the first CI_MAX_DIMS dims beforehand. */
typedef struct
{
  gchar *name;                  /* first, for ci_names_sort() */
  const CiFileDType *dtype;
  gint n_dims;                  /* beyond CI_MAX_DIMS there is no view */
  guint64 n_elements;
  CiTensor view;                /* data is NULL if there is none */
  gpointer copy;                /* what the view shows if not the file */
} CiNamedTensor;

void ci_named_tensor_clear (CiNamedTensor * tensor);
/** The bytes that ci_named_tensor_show() will allocate; G_MAXUINT64 if that
 * overflows. */
guint64 ci_named_tensor_copy_size (const CiNamedTensor * tensor,
    const CiTensorSource * source);
/** Makes the view: of the source's memory, where that is dense, aligned and of
 * a dtype that kernels know, else of a copy; none for foreign dtypes. */
gboolean ci_named_tensor_show (CiNamedTensor * tensor,
    const CiTensorSource * source, GError ** error);
/** "I16 2x3", whether there is a view or not. */
gchar *ci_named_tensor_describe (const CiNamedTensor * tensor);
/** The number that half precision stores as @half. */
gfloat ci_half_to_float (guint16 half);
/** "F32 2x3" of any tensor; a scalar has no shape: "F32". */
gchar *ci_tensor_describe (const CiTensor * tensor);

/* Arrays of structs that begin with their name; no hash tables, which a
 * hostile file could make slow. */

/** Sorts by name; two of the same name are an error ("@what "a" comes
 * twice"). */
gboolean ci_names_sort (GPtrArray * items, const gchar * what,
    GError ** error);
gpointer ci_names_find (const GPtrArray * items, const gchar * name);

/** Maps the regular file @path for reading. */
GMappedFile *ci_map_file (const gchar * path, GError ** error);

G_END_DECLS

#endif /* CI_TENSORS_H */
