/*
 * pickle_priv.h: between the machine (pickle.c) and what it can construct
 * (pickle_globals.c).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_PICKLE_PRIV_H
#define CI_PICKLE_PRIV_H

#include "pickle.h"

G_BEGIN_DECLS

struct _CiPickle
{
  const guint8 *data;
  gsize size, pos;
  gsize op_pos;                 /* of the opcode that is being executed */
  gboolean allow_storages;
  CiPickleCost *cost;           /* while it runs, like error */
  GError **error;

  GPtrArray *stack;             /* CiObject, borrowed like all below */
  GArray *marks;                /* guint: heights of the stack */
  GPtrArray *memo;              /* by number; NULL where there is none */
  guint n_memo;

  GPtrArray *chunks;            /* of objects; these own them */
  guint n_used;                 /* of the last chunk */
  GPtrArray *decoded;           /* memory of decoded strings */
  GPtrArray *storages;          /* CiObject */
  const CiObject *root;
};

/** Sets the error, behind position and opcode; returns NULL for tail calls. */
gpointer ci_pickle_fail (CiPickle * pickle, CiError code,
    const gchar * format, ...) G_GNUC_PRINTF (3, 4);
CiObject *ci_pickle_new_object (CiPickle * pickle, CiObjectKind kind);

/** The class or function @module.@name; NULL and an error that names it if it
 * is not one of those that a state dict needs. */
const CiGlobal *ci_pickle_find_global (CiPickle * pickle,
    const gchar * module, gsize module_size, const gchar * name,
    gsize name_size);
/** What @function gives for the tuple @args. */
CiObject *ci_pickle_reduce (CiPickle * pickle, const CiObject * function,
    const CiObject * args);
/** Applies @state to @object, as __setstate__ would. */
gboolean ci_pickle_build (CiPickle * pickle, CiObject * object,
    const CiObject * state);
/** The object of a persistent id: a storage of torch's. */
CiObject *ci_pickle_persistent (CiPickle * pickle, const CiObject * id);

G_END_DECLS

#endif /* CI_PICKLE_PRIV_H */
