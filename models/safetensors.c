/*
 * safetensors: 8 bytes of header length (little endian), a JSON header
 * {name: {dtype, shape, data_offsets}, "__metadata__": {string: string}}, the
 * data. Format: https://github.com/huggingface/safetensors
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "json.h"
#include "tensors.h"

/* The limit of the official reader. */
#define MAX_HEADER_BYTES 100000000
#define METADATA "__metadata__"

typedef struct
{
  CiNamedTensor tensor;         /* first: it begins with the name */
  guint64 begin, end;           /* in the data */
} Entry;

struct _CiSafetensors
{
  gchar *name;
  GMappedFile *map;             /* NULL if the memory is somebody else's */
  /* sorted by name */
  GPtrArray *entries;           /* Entry */
  GPtrArray *metadata;          /* Pair */
  GPtrArray *names;             /* NULL-terminated */
};

typedef struct
{
  gchar *key, *value;
} Pair;

static void
pair_free (gpointer data)
{
  Pair *pair = data;

  g_free (pair->key);
  g_free (pair->value);
  g_free (pair);
}

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  ci_named_tensor_clear (&entry->tensor);
  g_free (entry);
}

/* ---- reading ---------------------------------------------------------- */

static gboolean
parse_dtype (CiJson * json, Entry * entry, GError ** error)
{
  g_autofree gchar *name = ci_json_string (json, error);

  if (!name)
    return FALSE;
  entry->tensor.dtype = ci_file_dtype_find (name);
  if (!entry->tensor.dtype)
    g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
        "unknown dtype \"%.40s\"", name);
  return entry->tensor.dtype != NULL;
}

static gboolean
parse_shape (CiJson * json, Entry * entry, GError ** error)
{
  CiNamedTensor *tensor = &entry->tensor;
  guint64 dim;

  tensor->n_dims = 0;
  tensor->n_elements = 1;
  if (!ci_json_expect (json, '[', error))
    return FALSE;
  if (ci_json_accept (json, ']'))
    return TRUE;
  do {
    if (!ci_json_uint (json, &dim, error))
      return FALSE;
    if (!g_uint64_checked_mul (&tensor->n_elements, tensor->n_elements,
            dim)) {
      g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
          "the product of the shape overflows 64 bits at dimension %d (%"
          G_GUINT64_FORMAT ")", tensor->n_dims, dim);
      return FALSE;
    }
    if (tensor->n_dims < CI_MAX_DIMS)
      tensor->view.dims[tensor->n_dims] = dim;
    tensor->n_dims++;
  } while (ci_json_accept (json, ','));
  return ci_json_expect (json, ']', error);
}

static gboolean
parse_offsets (CiJson * json, Entry * entry, GError ** error)
{
  return ci_json_expect (json, '[', error)
      && ci_json_uint (json, &entry->begin, error)
      && ci_json_expect (json, ',', error)
      && ci_json_uint (json, &entry->end, error)
      && ci_json_expect (json, ']', error);
}

/* {"dtype": .., "shape": [..], "data_offsets": [begin, end]} */
static gboolean
parse_entry (CiJson * json, Entry * entry, guint64 data_size, GError ** error)
{
  static const struct
  {
    const gchar *key;
      gboolean (*parse) (CiJson *, Entry *, GError **);
  } fields[] = { {"dtype", parse_dtype}, {"shape", parse_shape},
  {"data_offsets", parse_offsets}
  };
  const CiNamedTensor *tensor = &entry->tensor;
  guint seen = 0, i;
  guint64 size;

  if (!ci_json_expect (json, '{', error))
    return FALSE;
  do {
    g_autofree gchar *key = ci_json_string (json, error);

    if (!key)
      return FALSE;
    for (i = 0; i < G_N_ELEMENTS (fields); i++)
      if (g_str_equal (fields[i].key, key))
        break;
    if (i == G_N_ELEMENTS (fields) || (seen & (1 << i))) {
      g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
          "expected dtype, shape and data_offsets once each, found \"%.40s\"%s",
          key, i < G_N_ELEMENTS (fields) ? " twice" : "");
      return FALSE;
    }
    seen |= 1 << i;
    if (!ci_json_expect (json, ':', error)
        || !fields[i].parse (json, entry, error))
      return FALSE;
  } while (ci_json_accept (json, ','));
  if (!ci_json_expect (json, '}', error))
    return FALSE;
  for (i = 0; i < G_N_ELEMENTS (fields); i++)
    if (!(seen & (1 << i))) {
      g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT, "%s is missing",
          fields[i].key);
      return FALSE;
    }

  if (entry->begin > entry->end || entry->end > data_size) {
    g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
        "data_offsets [%" G_GUINT64_FORMAT ", %" G_GUINT64_FORMAT
        "] are no range inside the file's %" G_GUINT64_FORMAT
        " bytes of data (is it truncated?)", entry->begin, entry->end,
        data_size);
    return FALSE;
  }
  if (!g_uint64_checked_mul (&size, tensor->n_elements, tensor->dtype->size)
      || size != entry->end - entry->begin) {
    g_autofree gchar *shape = ci_named_tensor_describe (tensor);

    g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
        "%s needs %" G_GUINT64_FORMAT " elements of %" G_GSIZE_FORMAT
        " bytes, but data_offsets span %" G_GUINT64_FORMAT " bytes", shape,
        tensor->n_elements, tensor->dtype->size,
        entry->end - entry->begin);
    return FALSE;
  }
  return TRUE;
}

static gboolean
parse_metadata (CiSafetensors * file, CiJson * json, GError ** error)
{
  if (!ci_json_expect (json, '{', error))
    return FALSE;
  if (ci_json_accept (json, '}'))
    return TRUE;
  do {
    Pair *pair = g_new0 (Pair, 1);

    g_ptr_array_add (file->metadata, pair);
    if (!(pair->key = ci_json_string (json, error))
        || !ci_json_expect (json, ':', error)
        || !(pair->value = ci_json_string (json, error)))
      return FALSE;
  } while (ci_json_accept (json, ','));
  return ci_json_expect (json, '}', error)
      && ci_names_sort (file->metadata, "key", error);
}

static gboolean
parse_header (CiSafetensors * file, CiJson * json, guint64 data_size,
    GError ** error)
{
  gboolean has_metadata = FALSE;

  if (!ci_json_expect (json, '{', error))
    return FALSE;
  if (ci_json_accept (json, '}'))
    return ci_json_at_end (json) || ci_json_fail (json, "the end", error);
  do {
    g_autofree gchar *name = ci_json_string (json, error);
    Entry *entry;

    if (!name || !ci_json_expect (json, ':', error))
      return FALSE;
    if (g_str_equal (name, METADATA)) {
      if (has_metadata) {
        g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
            METADATA " comes twice");
        return FALSE;
      }
      has_metadata = TRUE;
      if (!parse_metadata (file, json, error)) {
        g_prefix_error (error, METADATA ": ");
        return FALSE;
      }
      continue;
    }
    entry = g_new0 (Entry, 1);
    entry->tensor.name = g_steal_pointer (&name);
    g_ptr_array_add (file->entries, entry);
    if (!parse_entry (json, entry, data_size, error)) {
      g_prefix_error (error, "tensor \"%.100s\": ", entry->tensor.name);
      return FALSE;
    }
  } while (ci_json_accept (json, ','));
  if (!ci_json_expect (json, '}', error))
    return FALSE;
  return ci_json_at_end (json) || ci_json_fail (json, "the end", error);
}

static gint
compare_offsets (gconstpointer a, gconstpointer b)
{
  const Entry *x = *(Entry * const *) a, *y = *(Entry * const *) b;

  return (x->begin > y->begin) - (x->begin < y->begin);
}

/* Tensors must not share bytes; holes are harmless (other writers pad). */
static gboolean
check_overlap (CiSafetensors * file, GError ** error)
{
  const Entry *last = NULL;

  g_ptr_array_sort (file->entries, compare_offsets);
  for (guint i = 0; i < file->entries->len; i++) {
    const Entry *entry = g_ptr_array_index (file->entries, i);

    if (entry->begin == entry->end)
      continue;
    if (last && entry->begin < last->end) {
      g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
          "tensor \"%.100s\" starts at %" G_GUINT64_FORMAT ", inside \"%.100s\""
          " (%" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT ")",
          entry->tensor.name, entry->begin, last->tensor.name, last->begin,
          last->end);
      return FALSE;
    }
    last = entry;
  }
  return TRUE;
}

static gboolean
parse (CiSafetensors * file, const guint8 * data, gsize size, GError ** error)
{
  guint64 header_size;
  const gchar *header, *valid;
  CiJson json;

  if (size < 8) {
    g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
        "not a safetensors file: it has %" G_GSIZE_FORMAT " bytes, the length "
        "of its header alone takes 8", size);
    return FALSE;
  }
  memcpy (&header_size, data, 8);
  if (header_size > MAX_HEADER_BYTES || header_size > size - 8) {
    g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
        "truncated, or not a safetensors file: a header of %" G_GUINT64_FORMAT
        " bytes is announced; %" G_GSIZE_FORMAT " follow and at most %d are "
        "allowed", header_size, size - 8, MAX_HEADER_BYTES);
    return FALSE;
  }
  header = (const gchar *) data + 8;
  ci_json_init (&json, header, header_size);
  if (!g_utf8_validate_len (header, header_size, &valid)) {
    json.pos = valid;
    ci_json_fail (&json, "UTF-8", error);
    g_prefix_error (error, "header: ");
    return FALSE;
  }
  if (!parse_header (file, &json, size - 8 - header_size, error)) {
    g_prefix_error (error, "header: ");
    return FALSE;
  }
  if (!check_overlap (file, error))
    return FALSE;

  if (!ci_names_sort (file->entries, "tensor", error))
    return FALSE;
  for (guint i = 0; i < file->entries->len; i++) {
    Entry *entry = g_ptr_array_index (file->entries, i);
    CiTensorSource source = { data + 8 + header_size + entry->begin };

    if (!ci_named_tensor_show (&entry->tensor, &source, error))
      return FALSE;
    g_ptr_array_add (file->names, entry->tensor.name);
  }
  g_ptr_array_add (file->names, NULL);
  return TRUE;
}

CiSafetensors *
ci_safetensors_parse (const guint8 * data, gsize size, const gchar * name,
    GError ** error)
{
  CiSafetensors *file = g_new0 (CiSafetensors, 1);

  file->name = g_strdup (name);
  file->entries = g_ptr_array_new_with_free_func (entry_free);
  file->metadata = g_ptr_array_new_with_free_func (pair_free);
  file->names = g_ptr_array_new ();
  if (!parse (file, data, size, error)) {
    g_prefix_error (error, "%s: ", name);
    ci_safetensors_free (file);
    return NULL;
  }
  return file;
}

CiSafetensors *
ci_safetensors_open (const gchar * path, GError ** error)
{
  CiSafetensors *file = NULL;
  GMappedFile *map = ci_map_file (path, error);

  if (!map)
    return NULL;
  file = ci_safetensors_parse ((const guint8 *)
      g_mapped_file_get_contents (map), g_mapped_file_get_length (map), path,
      error);
  if (file)
    file->map = map;
  else
    g_mapped_file_unref (map);
  return file;
}

void
ci_safetensors_free (CiSafetensors * file)
{
  if (!file)
    return;
  g_ptr_array_unref (file->metadata);
  g_ptr_array_unref (file->names);
  g_ptr_array_unref (file->entries);
  g_clear_pointer (&file->map, g_mapped_file_unref);
  g_free (file->name);
  g_free (file);
}

gboolean
ci_safetensors_lookup (const CiSafetensors * file, const gchar * name,
    CiTensor * out)
{
  const Entry *entry = ci_names_find (file->entries, name);

  if (!entry || !entry->tensor.view.data)
    return FALSE;
  *out = entry->tensor.view;
  return TRUE;
}

gchar *
ci_safetensors_describe (const CiSafetensors * file, const gchar * name)
{
  const Entry *entry = ci_names_find (file->entries, name);

  return entry ? ci_named_tensor_describe (&entry->tensor) : NULL;
}

const gchar *const *
ci_safetensors_get_names (const CiSafetensors * file)
{
  return (const gchar * const *) file->names->pdata;
}

const gchar *
ci_safetensors_get_metadata (const CiSafetensors * file, const gchar * key)
{
  const Pair *pair = ci_names_find (file->metadata, key);

  return pair ? pair->value : NULL;
}

/* ---- writing ---------------------------------------------------------- */

typedef struct
{
  const gchar *name;
  const CiTensor *tensor;
  gsize size;
} Item;

/* The official writer's order: with wide dtypes first, everything is aligned
 * without a gap, which the official reader insists on. */
static gint
compare_items (gconstpointer a, gconstpointer b)
{
  const Item *x = a, *y = b;
  gint order = (gint) ci_dtype_size (y->tensor->dtype)
      - (gint) ci_dtype_size (x->tensor->dtype);

  return order ? order : strcmp (x->name, y->name);
}

static GString *
build_header (const Item * items, gint n, const gchar * const *metadata)
{
  GString *header = g_string_new ("{");
  gsize offset = 0;

  if (metadata && metadata[0]) {
    g_string_append (header, "\"" METADATA "\":{");
    for (gint i = 0; metadata[i]; i += 2) {
      if (i)
        g_string_append_c (header, ',');
      ci_json_append_string (header, metadata[i]);
      g_string_append_c (header, ':');
      ci_json_append_string (header, metadata[i + 1]);
    }
    g_string_append_c (header, '}');
  }
  for (gint i = 0; i < n; i++) {
    const CiTensor *tensor = items[i].tensor;

    if (header->len > 1)
      g_string_append_c (header, ',');
    ci_json_append_string (header, items[i].name);
    g_string_append_printf (header, ":{\"dtype\":\"%s\",\"shape\":[",
        ci_dtype_name (tensor->dtype));
    for (gint k = 0; k < tensor->n_dims; k++)
      g_string_append_printf (header, "%s%" G_GINT64_FORMAT, k ? "," : "",
          tensor->dims[k]);
    g_string_append_printf (header, "],\"data_offsets\":[%" G_GSIZE_FORMAT
        ",%" G_GSIZE_FORMAT "]}", offset, offset + items[i].size);
    offset += items[i].size;
  }
  g_string_append_c (header, '}');
  while (header->len % 8)
    g_string_append_c (header, ' ');
  return header;
}

static gboolean
write_all (FILE * out, const GString * header, const Item * items, gint n)
{
  guint64 header_size = header->len;

  if (fwrite (&header_size, 8, 1, out) != 1
      || fwrite (header->str, header->len, 1, out) != 1)
    return FALSE;
  for (gint i = 0; i < n; i++)
    if (items[i].size
        && fwrite (items[i].tensor->data, items[i].size, 1, out) != 1)
      return FALSE;
  return TRUE;
}

gboolean
ci_safetensors_write (const gchar * path, const gchar * const *names,
    const CiTensor * tensors, gint n, const gchar * const *metadata,
    GError ** error)
{
  g_autofree Item *items = g_new0 (Item, MAX (n, 1));
  g_autoptr (GString) header = NULL;
  g_autofree gchar *part = g_strconcat (path, ".XXXXXX", NULL);
  FILE *out;
  gint fd, saved;
  gboolean ok;

  for (gint i = 0; i < n; i++)
    items[i] = (Item) {
    names[i], &tensors[i],
          ci_tensor_n_elements (&tensors[i]) *
          ci_dtype_size (tensors[i].dtype)};
  qsort (items, n, sizeof (Item), compare_items);
  header = build_header (items, n, metadata);
  if (header->len > MAX_HEADER_BYTES) {
    g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "%s: the header would have %" G_GSIZE_FORMAT " bytes, at most %d are "
        "allowed", path, header->len, MAX_HEADER_BYTES);
    return FALSE;
  }

  /* A new file takes the old one's place: somebody may have that mapped. */
  fd = g_mkstemp_full (part, O_WRONLY | O_CLOEXEC, 0666);
  out = fd >= 0 ? fdopen (fd, "wb") : NULL;
  ok = out && write_all (out, header, items, n);
  saved = errno;
  if ((out ? fclose (out) : fd >= 0 ? close (fd) : 0) != 0 && ok) {
    ok = FALSE;
    saved = errno;
  }
  if (ok && g_rename (part, path) != 0) {
    ok = FALSE;
    saved = errno;
  }
  if (!ok) {
    if (fd >= 0)
      g_unlink (part);
    g_set_error (error, CI_ERROR, CI_ERROR_IO, "%s: cannot be written: %s",
        path, g_strerror (saved));
  }
  return ok;
}
