/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sparse.h"

#include <gst/check/gstcheck.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

typedef struct
{
  CiTensor tensor;
  const gchar *dtype;
  guint8 *data;                 /* or NULL */
} Entry;

struct _Sparse
{
  GHashTable *entries;          /* name -> Entry */
};

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  g_free (entry->data);
  g_free (entry);
}

Sparse *
sparse_new (void)
{
  Sparse *sparse = g_new0 (Sparse, 1);

  sparse->entries = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
      entry_free);
  return sparse;
}

void
sparse_free (Sparse * sparse)
{
  g_hash_table_unref (sparse->entries);
  g_free (sparse);
}

static gsize
tensor_size (const CiTensor * tensor)
{
  return ci_tensor_n_elements (tensor) * ci_dtype_size (tensor->dtype);
}

void
sparse_add (Sparse * sparse, const gchar * name, CiDType dtype, gint n_dims,
    const gint64 * dims, gconstpointer data)
{
  Entry *entry = g_new0 (Entry, 1);

  entry->tensor.dtype = dtype;
  entry->dtype = ci_dtype_name (dtype);
  entry->tensor.n_dims = n_dims;
  for (gint i = 0; i < n_dims; i++)
    entry->tensor.dims[i] = dims[i];
  if (data)
    entry->data = g_memdup2 (data, tensor_size (&entry->tensor));
  g_hash_table_replace (sparse->entries, g_strdup (name), entry);
}

void
sparse_set_dtype (Sparse * sparse, const gchar * name, const gchar * dtype)
{
  ((Entry *) g_hash_table_lookup (sparse->entries, name))->dtype = dtype;
}

void
sparse_remove (Sparse * sparse, const gchar * name)
{
  fail_unless (g_hash_table_remove (sparse->entries, name), "%s", name);
}

static void
add_tensor (const gchar * name, gint n_dims, const gint64 * dims,
    gpointer user_data)
{
  sparse_add (user_data, name, CI_DTYPE_F32, n_dims, dims, NULL);
}

void
sparse_add_network (Sparse * sparse, const gchar * json)
{
  GError *error = NULL;
  CiConfig *config = ci_config_parse (json, "test", &error);
  CiGraph *graph;

  fail_unless (config, "%s", error ? error->message : "no error set");
  graph = ci_network_build (config, NULL);
  ci_graph_foreach_tensor (graph, add_tensor, sparse);
  ci_graph_free (graph);
  ci_config_free (config);
}

void
sparse_write (const Sparse * sparse, const gchar * path)
{
  g_autoptr (GString) header = g_string_new ("{");
  gint fd = open (path, O_CREAT | O_TRUNC | O_WRONLY, 0666);
  gsize pos = 0, start;
  guint64 length;
  GHashTableIter iter;
  gpointer name, value;

  g_hash_table_iter_init (&iter, sparse->entries);
  while (g_hash_table_iter_next (&iter, &name, &value)) {
    const Entry *entry = value;
    const CiTensor *tensor = &entry->tensor;

    g_string_append_printf (header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[",
        pos ? "," : "", (gchar *) name, entry->dtype);
    for (gint i = 0; i < tensor->n_dims; i++)
      g_string_append_printf (header, "%s%" G_GINT64_FORMAT, i ? "," : "",
          tensor->dims[i]);
    g_string_append_printf (header, "],\"data_offsets\":[%" G_GSIZE_FORMAT
        ",%" G_GSIZE_FORMAT "]}", pos, pos + tensor_size (tensor));
    pos += tensor_size (tensor);
  }
  g_string_append_c (header, '}');
  while (header->len % 8)
    g_string_append_c (header, ' ');

  length = GUINT64_TO_LE (header->len);
  start = 8 + header->len;
  fail_unless (fd >= 0);
  fail_unless (write (fd, &length, 8) == 8);
  fail_unless (write (fd, header->str, header->len) == (gssize) header->len);
  fail_unless (ftruncate (fd, start + pos) == 0);
  pos = 0;
  g_hash_table_iter_init (&iter, sparse->entries);
  while (g_hash_table_iter_next (&iter, &name, &value)) {
    const Entry *entry = value;
    gsize size = tensor_size (&entry->tensor);

    if (entry->data)
      fail_unless (pwrite (fd, entry->data, size, start + pos)
          == (gssize) size);
    pos += size;
  }
  close (fd);
}
