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
  CondInstModel model;
} Entry;

static GMutex lock;
static GSList *entries;         /* of Entry; a handful at most */

void
cond_inst_model_clear (CondInstModel * model)
{
  g_clear_pointer (&model->model_file, g_free);
  g_clear_pointer (&model->config_file, g_free);
  g_clear_pointer (&model->config_settings, g_free);
}

static void
copy_model (const CondInstModel * src, CondInstModel * dst)
{
  dst->model_file = g_strdup (src->model_file);
  dst->config_file = g_strdup (src->config_file);
  dst->config_settings = g_strdup (src->config_settings);
}

static void
entry_free (Entry * entry)
{
  g_free (entry->id);
  cond_inst_model_clear (&entry->model);
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
    const CondInstModel * model, GError ** error)
{
  const Entry *other;
  gboolean agreed = TRUE;

  g_mutex_lock (&lock);
  withdraw_unlocked (owner);
  other = find_unlocked (id);
  if (other && !g_str_equal (other->model.model_file, model->model_file)) {
    g_set_error (error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS,
        "model-instance-id '%s' asks for model '%s', but another element runs "
        "'%s' under this id", id, model->model_file, other->model.model_file);
    agreed = FALSE;
  } else if (other && (g_strcmp0 (other->model.config_file,
              model->config_file) != 0
          || g_strcmp0 (other->model.config_settings,
              model->config_settings) != 0)) {
    g_set_error (error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS,
        "another element runs model '%s' under model-instance-id '%s' with "
        "another config-file or config-settings", model->model_file, id);
    agreed = FALSE;
  } else {
    Entry *entry = g_new (Entry, 1);

    entry->owner = owner;
    entry->id = g_strdup (id);
    copy_model (model, &entry->model);
    entries = g_slist_prepend (entries, entry);
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

void
cond_inst_share_find (const gchar * id, CondInstModel * model)
{
  const Entry *entry;

  g_mutex_lock (&lock);
  entry = find_unlocked (id);
  if (entry)
    copy_model (&entry->model, model);
  g_mutex_unlock (&lock);
}
