/* GStreamer instance segmentation
 *
 * condinstshare.c: elements that take their model from one another
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "condinstshare.h"

typedef struct
{
  gconstpointer owner;
  gchar *id;
  gchar *model_file;
} Entry;

static GMutex lock;
static GSList *entries;         /* of Entry; a handful at most */

static void
entry_free (Entry * entry)
{
  g_free (entry->id);
  g_free (entry->model_file);
  g_free (entry);
}

static void
withdraw_unlocked (gconstpointer owner)
{
  for (GSList * l = entries; l; l = l->next) {
    Entry *entry = l->data;

    if (entry->owner == owner) {
      entries = g_slist_delete_link (entries, l);
      entry_free (entry);
      return;
    }
  }
}

static const Entry *
find_unlocked (const gchar * id)
{
  for (GSList * l = entries; l; l = l->next) {
    const Entry *entry = l->data;

    if (g_str_equal (entry->id, id))
      return entry;
  }
  return NULL;
}

gboolean
cond_inst_share_publish (gconstpointer owner, const gchar * id,
    const gchar * model_file, GError ** error)
{
  const Entry *other;
  gboolean agreed;

  g_mutex_lock (&lock);
  withdraw_unlocked (owner);
  other = find_unlocked (id);
  agreed = !other || g_str_equal (other->model_file, model_file);
  if (agreed) {
    Entry *entry = g_new (Entry, 1);

    entry->owner = owner;
    entry->id = g_strdup (id);
    entry->model_file = g_strdup (model_file);
    entries = g_slist_prepend (entries, entry);
  } else {
    g_set_error (error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS,
        "model-instance-id '%s' asks for model '%s', but another element runs "
        "'%s' under this id", id, model_file, other->model_file);
  }
  g_mutex_unlock (&lock);
  return agreed;
}

void
cond_inst_share_withdraw (gconstpointer owner)
{
  g_mutex_lock (&lock);
  withdraw_unlocked (owner);
  g_mutex_unlock (&lock);
}

gchar *
cond_inst_share_find (const gchar * id)
{
  const Entry *entry;
  gchar *model_file;

  g_mutex_lock (&lock);
  entry = find_unlocked (id);
  model_file = entry ? g_strdup (entry->model_file) : NULL;
  g_mutex_unlock (&lock);
  return model_file;
}
