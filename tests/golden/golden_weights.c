/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "golden_weights.h"

#include <json-glib/json-glib.h>

#include "models/models.h"
#include "models/random.h"

typedef struct
{
  CiWeights weights;            /* first: what users see */
  CiSafetensors *explicit_file;
  GHashTable *tensors;          /* name -> CiTensor */
  GPtrArray *generated;         /* data of the tensors not in the file */
} GoldenWeights;

static gboolean
lookup (const CiWeights * weights, const gchar * name, CiTensor * out)
{
  const GoldenWeights *golden = weights->user_data;
  const CiTensor *found = g_hash_table_lookup (golden->tensors, name);

  if (found)
    *out = *found;
  return found != NULL;
}

void
golden_weights_free (CiWeights * weights)
{
  GoldenWeights *golden = (GoldenWeights *) weights;

  if (!golden)
    return;
  ci_weights_forget (weights->id);
  g_hash_table_unref (golden->tensors);
  g_ptr_array_unref (golden->generated);
  ci_safetensors_free (golden->explicit_file);
  g_free (golden);
}

static gboolean
add_tensor (GoldenWeights * golden, const gchar * name, JsonObject * entry,
    guint seed, GError ** error)
{
  JsonArray *shape = json_object_get_array_member (entry, "shape");
  CiTensor *tensor = g_new0 (CiTensor, 1);
  gfloat *data;
  gsize n;

  g_hash_table_insert (golden->tensors, g_strdup (name), tensor);
  if (g_str_equal (json_object_get_string_member (entry, "kind"),
          "explicit")) {
    if (ci_safetensors_lookup (golden->explicit_file, name, tensor))
      return TRUE;
    g_set_error (error, CI_ERROR, CI_ERROR_MISSING_TENSOR,
        "no explicit tensor %s", name);
    return FALSE;
  }
  tensor->dtype = CI_DTYPE_F32;
  tensor->n_dims = json_array_get_length (shape);
  for (gint i = 0; i < tensor->n_dims; i++)
    tensor->dims[i] = json_array_get_int_element (shape, i);
  n = ci_tensor_n_elements (tensor);
  tensor->data = data = g_new (gfloat, n);
  g_ptr_array_add (golden->generated, data);
  ci_random_fill (data, n, name, seed,
      json_object_get_double_member (entry, "offset"),
      json_object_get_double_member (entry, "scale"));
  return TRUE;
}

CiWeights *
golden_weights_load (const gchar * case_dir, GError ** error)
{
  g_autofree gchar *list = g_build_filename (case_dir, "weights.json", NULL);
  g_autofree gchar *data = g_build_filename (case_dir,
      "weights_explicit.safetensors", NULL);
  g_autoptr (JsonParser) parser = json_parser_new_immutable ();
  GoldenWeights *golden = g_new0 (GoldenWeights, 1);
  JsonObject *root, *tensors;
  g_autoptr (GList) names = NULL;

  golden->weights.lookup = lookup;
  golden->weights.user_data = golden;
  golden->weights.id = ci_weights_new_id ();
  golden->tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
      g_free);
  golden->generated = g_ptr_array_new_with_free_func (g_free);
  golden->explicit_file = ci_safetensors_open (data, error);
  if (!golden->explicit_file
      || !json_parser_load_from_file (parser, list, error))
    goto fail;

  root = json_node_get_object (json_parser_get_root (parser));
  tensors = json_object_get_object_member (root, "tensors");
  names = json_object_get_members (tensors);
  for (GList * l = names; l; l = l->next)
    if (!add_tensor (golden, l->data, json_object_get_object_member (tensors,
                l->data), json_object_get_int_member (root, "seed"), error))
      goto fail;
  return &golden->weights;

fail:
  golden_weights_free (&golden->weights);
  return NULL;
}

gboolean
golden_weights_write (const CiWeights * weights, const gchar * path,
    GError ** error)
{
  const GoldenWeights *golden = weights->user_data;
  guint n = g_hash_table_size (golden->tensors), i = 0;
  g_autofree const gchar **names = g_new (const gchar *, n);
  g_autofree CiTensor *tensors = g_new (CiTensor, n);
  gpointer name, tensor;
  GHashTableIter iter;

  g_hash_table_iter_init (&iter, golden->tensors);
  for (; g_hash_table_iter_next (&iter, &name, &tensor); i++) {
    names[i] = name;
    tensors[i] = *(const CiTensor *) tensor;
  }
  return ci_safetensors_write (path, names, tensors, n, NULL, error);
}
