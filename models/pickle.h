/*
 * pickle.h: the objects of a pickle (Python's pickletools.py describes the
 * format), as far as state dicts have them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_PICKLE_H
#define CI_PICKLE_H

#include "tensors.h"

G_BEGIN_DECLS

/* Objects are shared, so what is done with each use of one has to be bounded:
 * 65536 copies of a name take 32 MB. */
#define CI_MAX_NAME_BYTES 511
#define CI_MAX_NAMES 65536

typedef enum
{
  CI_OBJECT_NONE,
  CI_OBJECT_BOOL,
  CI_OBJECT_INT,                /* of at most 64 bits */
  CI_OBJECT_LONG,               /* a longer one */
  CI_OBJECT_FLOAT,
  CI_OBJECT_STRING,
  CI_OBJECT_BYTES,
  CI_OBJECT_TUPLE,
  CI_OBJECT_LIST,               /* and sets */
  CI_OBJECT_DICT,               /* and OrderedDict, Counter, defaultdict */
  CI_OBJECT_GLOBAL,             /* a known class or function */
  CI_OBJECT_STORAGE,            /* torch's */
  CI_OBJECT_TENSOR,
  CI_OBJECT_DTYPE,              /* numpy's */
  CI_OBJECT_ARRAY,
  CI_OBJECT_OTHER,              /* nothing that matters: torch.device */
} CiObjectKind;

typedef struct _CiGlobal CiGlobal;
typedef struct _CiObject CiObject;

struct _CiObject
{
  CiObjectKind kind;
  gsize position;               /* of the opcode that made it */
  union
  {
    gint64 integer;             /* INT, BOOL */
    struct
    {
      const gchar *data;        /* not terminated */
      gsize size;
    } text;                     /* STRING, BYTES, LONG (little endian) */
    struct
    {
      CiObject **items;         /* DICT: key, value, key, value, .. */
      guint n, capacity;
      const CiObject *state;    /* DICT: its attributes or NULL */
    } list;                     /* TUPLE, LIST, DICT */
    const CiGlobal *global;
    struct
    {
      const CiObject *key;      /* STRING */
      const CiObject *view;     /* old files: (key, offset, size) or NULL */
      const CiFileDType *dtype;
      gint64 n_elements;        /* without the view */
    } storage;
    struct
    {
      const CiObject *storage;
      const CiObject *sizes, *strides;  /* equally many INT >= 0 */
      const CiFileDType *dtype;
      gint64 offset;            /* >= 0, in elements */
    } tensor;                   /* lies in its storage */
    struct
    {
      const CiFileDType *dtype; /* NULL: none of numbers */
      gboolean swap;            /* big endian */
    } dtype;
    struct
    {
      const CiObject *sizes;    /* as stored; NULL: it never got contents */
      const CiObject *axes;     /* NULL, or dimension i is sizes[axes[i]] */
      const CiObject *data;     /* BYTES, as many as the sizes say */
      const CiFileDType *dtype; /* NULL: none of numbers */
      gboolean fortran, swap;   /* reversed dimensions, bytes */
    } array;
  } u;
};

typedef struct _CiPickle CiPickle;

/** What the pickles of one file have taken so far, which is bounded for all
 * together. */
typedef struct
{
  guint n_ops;                  /* opcodes, each at most 100 bytes of memory */
  gsize decoded_bytes;          /* of strings, at most as many as the file's */
} CiPickleCost;

/**
 * Reads the pickle at *@pos of @data, which must outlive the result, and
 * leaves *@pos behind it. Errors begin with the position in @data. @storages:
 * whether it may name torch's storages. @cost: of the file's pickles before,
 * zeros for the first one. Time is linear in the pickle's length, memory
 * bounded by the cost; strings are views.
 */
CiPickle *ci_pickle_parse (const guint8 * data, gsize size, gsize * pos,
    gboolean storages, CiPickleCost * cost, GError ** error);
void ci_pickle_free (CiPickle * pickle);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CiPickle, ci_pickle_free)
const CiObject *ci_pickle_get_root (const CiPickle * pickle);
/** All objects of kind STORAGE. */
const GPtrArray *ci_pickle_get_storages (const CiPickle * pickle);

/** "a dict" */
const gchar *ci_object_kind_name (CiObjectKind kind);
/** The value of @key of a DICT; NULL if there is none. */
const CiObject *ci_object_get (const CiObject * dict, const gchar * key);
gboolean ci_object_equals (const CiObject * object, const gchar * string);
/** A STRING (or BYTES) as a name: NULL if it is not UTF-8 without NUL, or is
 * longer than CI_MAX_NAME_BYTES. */
gchar *ci_object_dup_name (const CiObject * object);

G_END_DECLS

#endif /* CI_PICKLE_H */
