/*
 * packed.c: weights in the layouts that the steps want, made once and shared by
 * all plans of a model.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cpu.h"

#include <stdlib.h>

static GMutex lock;             /* of the cache and of all counts */
static GHashTable *cache;       /* set of CiPacked, which holds a reference */

static guint
packed_hash (gconstpointer p)
{
  return g_str_hash (((const CiPacked *) p)->key);
}

static gboolean
packed_equal (gconstpointer a, gconstpointer b)
{
  const CiPacked *p = a, *q = b;

  return p->id == q->id && g_str_equal (p->key, q->key)
      && !p->layout == !q->layout
      && (!p->layout || ci_dnnl_layout_equal (p->layout, q->layout));
}

static void
unref_locked (CiPacked * packed)
{
  if (--packed->refs)
    return;
  free (packed->weight);
  free (packed->bias);
  if (packed->layout)
    ci_dnnl_layout_free (packed->layout);
  g_free (packed->key);
  g_free (packed);
}

void
ci_packed_unref (CiPacked * packed)
{
  g_mutex_lock (&lock);
  unref_locked (packed);
  g_mutex_unlock (&lock);
}

static gboolean
is_of_weights (gpointer key, gpointer value, gpointer user_data)
{
  return ((CiPacked *) key)->id == *(guint64 *) user_data;
}

void
ci_weights_forget (guint64 id)
{
  g_mutex_lock (&lock);
  if (cache)
    g_hash_table_foreach_remove (cache, is_of_weights, &id);
  g_mutex_unlock (&lock);
}

CiPacked *
ci_packed_find (guint64 id, const gchar * key, gpointer layout)
{
  CiPacked wanted = { 0, id, (gchar *) key, layout }, *packed;

  g_mutex_lock (&lock);
  packed = cache ? g_hash_table_lookup (cache, &wanted) : NULL;
  if (packed)
    packed->refs++;
  g_mutex_unlock (&lock);
  return packed;
}

CiPacked *
ci_packed_new (guint64 id, const gchar * key, gpointer layout,
    gsize weight_bytes, gsize bias_bytes, GError ** error)
{
  CiPacked *packed = g_new0 (CiPacked, 1);

  packed->refs = 1;
  packed->id = id;
  packed->key = g_strdup (key);
  packed->layout = layout;
  if (!(packed->weight = ci_aligned_alloc0 (weight_bytes, error))
      || !(packed->bias = ci_aligned_alloc0 (bias_bytes, error)))
    g_clear_pointer (&packed, ci_packed_unref);
  return packed;
}

CiPacked *
ci_packed_publish (CiPacked * packed)
{
  CiPacked *other;

  g_mutex_lock (&lock);
  if (!cache)
    cache = g_hash_table_new_full (packed_hash, packed_equal,
        (GDestroyNotify) unref_locked, NULL);
  other = g_hash_table_lookup (cache, packed);
  if (other) {
    unref_locked (packed);
    packed = other;
  } else {
    g_hash_table_add (cache, packed);
  }
  packed->refs++;
  g_mutex_unlock (&lock);
  return packed;
}
