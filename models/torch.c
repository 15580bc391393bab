/*
 * The containers of torch.save (torch/serialization.py):
 * - since 1.6 a zip archive: FOLDER/data.pkl, FOLDER/data/KEY per storage,
 *   FOLDER/byteorder, ...;
 * - before (_use_new_zipfile_serialization=False) five pickles in a row: magic
 *   number, protocol version, system, object, list of the storages' keys;
 *   then per storage the number of its elements (8 bytes) and those.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "torch.h"

#include <string.h>

#include "zip.h"

/* 0x1950a86a20f9469cfc6c */
#define LEGACY_MAGIC "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
#define LEGACY_VERSION 1001

static void
storage_free (gpointer data)
{
  CiTorchStorage *storage = data;

  g_free (storage->key);
  g_free (storage);
}

static void
add_storage (GPtrArray * storages, const gchar * key, const guint8 * data,
    guint64 size, gsize element_size)
{
  CiTorchStorage *storage = g_new0 (CiTorchStorage, 1);

  storage->key = g_strdup (key);
  storage->data = data;
  storage->size = size;
  storage->element_size = element_size;
  g_ptr_array_add (storages, storage);
}

/* ---- zip -------------------------------------------------------------- */

static const CiZipEntry *
find_entry (const GPtrArray * entries, const gchar * folder,
    const gchar * name)
{
  g_autofree gchar *path = g_strconcat (folder, name, NULL);

  return ci_names_find (entries, path);
}

static gboolean
check_byte_order (const CiZipEntry * entry, GError ** error)
{
  g_autofree gchar *found = NULL;

  /* written since torch 2.1; before, everything was little endian in effect */
  if (!entry || (entry->size == 6 && memcmp (entry->data, "little", 6) == 0))
    return TRUE;
  found = g_strndup ((const gchar *) entry->data, MIN (entry->size, 20));
  g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
      "%s: expected \"little\", found \"%s\"", entry->name,
      g_utf8_validate (found, -1, NULL) ? found : "?");
  return FALSE;
}

CiPickle *
ci_torch_read_zip (const guint8 * data, gsize size, GPtrArray ** storages,
    GError ** error)
{
  g_autofree gchar *folder = NULL;
  g_autofree gchar *prefix = NULL;
  g_autoptr (GPtrArray) entries = ci_zip_parse (data, size, &folder, error);
  const CiZipEntry *entry;
  CiPickleCost cost = { 0 };
  CiPickle *pickle;
  gsize pos = 0;

  if (!entries)
    return NULL;
  entry = folder ? find_entry (entries, folder, "data.pkl") : NULL;
  if (!entry) {
    g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
        "a zip archive of %u entries, but none is FOLDER/data.pkl, so it is no "
        "PyTorch checkpoint", entries->len);
    return NULL;
  }
  if (!check_byte_order (find_entry (entries, folder, "byteorder"), error))
    return NULL;
  pickle = ci_pickle_parse (entry->data, entry->size, &pos, TRUE, &cost,
      error);
  if (!pickle) {
    g_prefix_error (error, "%s: ", entry->name);
    return NULL;
  }

  /* in the order of entries, and so sorted by key */
  prefix = g_strconcat (folder, "data/", NULL);
  *storages = g_ptr_array_new_with_free_func (storage_free);
  for (guint i = 0; i < entries->len; i++) {
    entry = entries->pdata[i];
    if (g_str_has_prefix (entry->name, prefix))
      add_storage (*storages, entry->name + strlen (prefix), entry->data,
          entry->size, 1);
  }
  return pickle;
}

/* ---- before 1.6 ------------------------------------------------------- */

gboolean
ci_torch_is_magic (const CiObject * root)
{
  gsize size = sizeof LEGACY_MAGIC - 1;

  return root->kind == CI_OBJECT_LONG && root->u.text.size == size
      && memcmp (root->u.text.data, LEGACY_MAGIC, size) == 0;
}

static CiPickle *
read_part (const guint8 * data, gsize size, gsize * pos, CiPickleCost * cost,
    const gchar * what, GError ** error)
{
  CiPickle *pickle = ci_pickle_parse (data, size, pos, TRUE, cost, error);

  if (!pickle)
    g_prefix_error (error, "%s: ", what);
  return pickle;
}

/* Reads a part of which only its root is of interest, and only to @check. */
static gboolean
check_part (const guint8 * data, gsize size, gsize * pos, CiPickleCost * cost,
    const gchar * what, gboolean (*check) (const CiObject *, GError **),
    GError ** error)
{
  g_autoptr (CiPickle) pickle =
      read_part (data, size, pos, cost, what, error);

  return pickle && check (ci_pickle_get_root (pickle), error);
}

static gboolean
check_version (const CiObject * version, GError ** error)
{
  if (version->kind == CI_OBJECT_INT
      && version->u.integer == LEGACY_VERSION)
    return TRUE;
  g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
      "version: expected %d, found %" G_GINT64_FORMAT, LEGACY_VERSION,
      version->kind == CI_OBJECT_INT ? version->u.integer : -1);
  return FALSE;
}

static gboolean
check_system (const CiObject * system, GError ** error)
{
  const CiObject *little;

  little = system->kind == CI_OBJECT_DICT ?
      ci_object_get (system, "little_endian") : NULL;
  if (little && little->kind == CI_OBJECT_BOOL && little->u.integer)
    return TRUE;
  g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
      "system: expected little_endian to be True, found %s",
      !little ? "nothing" : little->kind == CI_OBJECT_BOOL ? "False" :
      ci_object_kind_name (little->kind));
  return FALSE;
}

/* Sizes of the storages that the pickle mentions, by key. A shared one is
 * mentioned often, of the same size each time. */
static GPtrArray *
list_storages (const CiPickle * pickle, GError ** error)
{
  const GPtrArray *mentions = ci_pickle_get_storages (pickle);
  g_autoptr (GPtrArray) all =
      g_ptr_array_new_with_free_func (storage_free);
  GPtrArray *unique;

  for (guint i = 0; i < mentions->len; i++) {
    const CiObject *object = mentions->pdata[i];
    g_autofree gchar *key = ci_object_dup_name (object->u.storage.key);
    guint64 size;

    if (!key || !g_uint64_checked_mul (&size, object->u.storage.n_elements,
            object->u.storage.dtype->size)) {
      g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
          "byte %" G_GSIZE_FORMAT ": a storage of %" G_GINT64_FORMAT
          " elements, or without a name", object->position,
          object->u.storage.n_elements);
      return NULL;
    }
    add_storage (all, key, NULL, size, object->u.storage.dtype->size);
  }
  /* what it says of names that come twice is expected */
  ci_names_sort (all, "storage", NULL);
  unique = g_ptr_array_new_with_free_func (storage_free);
  for (guint i = 0; i < all->len; i++) {
    CiTorchStorage *storage = all->pdata[i];
    CiTorchStorage *last = unique->len ?
        unique->pdata[unique->len - 1] : NULL;

    if (!last || !g_str_equal (last->key, storage->key)) {
      add_storage (unique, storage->key, NULL, storage->size,
          storage->element_size);
    } else if (last->size != storage->size) {
      g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
          "storage \"%.100s\" has %" G_GUINT64_FORMAT " bytes in one place, %"
          G_GUINT64_FORMAT " in another", storage->key, last->size,
          storage->size);
      g_ptr_array_unref (unique);
      return NULL;
    }
  }
  return unique;
}

static gboolean
find_storages (const CiObject * keys, const guint8 * data, gsize size,
    gsize pos, GPtrArray * storages, GError ** error)
{
  if (keys->kind != CI_OBJECT_LIST) {
    g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
        "storage keys: expected a list, found %s",
        ci_object_kind_name (keys->kind));
    return FALSE;
  }
  for (guint i = 0; i < keys->u.list.n; i++) {
    g_autofree gchar *key = ci_object_dup_name (keys->u.list.items[i]);
    CiTorchStorage *storage = key ? ci_names_find (storages, key) : NULL;
    guint64 n_elements;

    if (!storage || storage->data) {
      g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
          "storage keys: \"%.100s\" %s", key ? key : "(no string)",
          storage ? "comes twice" : "is not used by the pickle");
      return FALSE;
    }
    if (size - pos < 8 || size - pos - 8 < storage->size) {
      g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
          "storage \"%.100s\": expected %" G_GUINT64_FORMAT " bytes at byte %"
          G_GSIZE_FORMAT ", but %" G_GSIZE_FORMAT " follow (is the file "
          "truncated?)", key, storage->size + 8, pos, size - pos);
      return FALSE;
    }
    memcpy (&n_elements, data + pos, 8);
    if (n_elements != storage->size / storage->element_size) {
      g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
          "storage \"%.100s\": %" G_GUINT64_FORMAT " elements at byte %"
          G_GSIZE_FORMAT ", but the pickle says %" G_GUINT64_FORMAT, key,
          n_elements, pos, storage->size / storage->element_size);
      return FALSE;
    }
    storage->data = data + pos + 8;
    pos += 8 + storage->size;
  }
  return TRUE;
}

CiPickle *
ci_torch_read_legacy (const guint8 * data, gsize size, gsize pos,
    CiPickleCost * cost, GPtrArray ** storages, GError ** error)
{
  g_autoptr (CiPickle) keys = NULL;
  g_autoptr (CiPickle) pickle = NULL;
  g_autoptr (GPtrArray) found = NULL;

  if (!check_part (data, size, &pos, cost, "version", check_version, error)
      || !check_part (data, size, &pos, cost, "system", check_system, error)
      || !(pickle = read_part (data, size, &pos, cost, "object", error))
      || !(keys = read_part (data, size, &pos, cost, "storage keys",
              error))
      || !(found = list_storages (pickle, error))
      || !find_storages (ci_pickle_get_root (keys), data, size, pos, found,
          error))
    return NULL;
  *storages = g_steal_pointer (&found);
  return g_steal_pointer (&pickle);
}
