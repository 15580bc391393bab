/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <glib/gstdio.h>

#include "json.h"
#include "random.h"
#include "safetensors.h"

#define DEFAULT_MODEL "condinst-light"
#define SUFFIX ".safetensors"
#define MAX_REPORTED_TENSORS 10

struct _CiModel
{
  gint ref_count;               /* under the registry's lock */
  gchar *key;                   /* in the registry */
  gchar *path;                  /* NULL if random */
  CiConfig *config;
  CiWeights weights;
  guint64 n_parameters;         /* values that the network uses */

  CiSafetensors *file;          /* where the weights are: this, */
  GHashTable *random;           /* or name -> RandomTensor */
};

typedef struct
{
  gchar *name;
  CiTensor tensor;              /* owns its data */
} RandomTensor;

/* Models in use by what identifies them; holds no references. The lock is held
 * while a model loads, so that two users of a file get one model. */
static GMutex registry_lock;
static GHashTable *registry;

static void
model_free (CiModel * model)
{
  if (model->weights.id)
    ci_weights_forget (model->weights.id);
  g_clear_pointer (&model->random, g_hash_table_unref);
  ci_safetensors_free (model->file);
  ci_config_free (model->config);
  g_free (model->path);
  g_free (model->key);
  g_free (model);
}

static CiModel *
model_new (const gchar * key)
{
  CiModel *model = g_new0 (CiModel, 1);

  model->ref_count = 1;
  model->key = g_strdup (key);
  model->weights.user_data = model;
  model->weights.id = ci_weights_new_id ();
  return model;
}

CiModel *
ci_model_ref (CiModel * model)
{
  g_mutex_lock (&registry_lock);
  model->ref_count++;
  g_mutex_unlock (&registry_lock);
  return model;
}

void
ci_model_unref (CiModel * model)
{
  gboolean last;

  g_mutex_lock (&registry_lock);
  last = --model->ref_count == 0;
  if (last) {
    g_hash_table_remove (registry, model->key);
    if (g_hash_table_size (registry) == 0)
      g_clear_pointer (&registry, g_hash_table_unref);
  }
  g_mutex_unlock (&registry_lock);
  if (last)
    model_free (model);
}

/* ---- checking --------------------------------------------------------- */

typedef struct
{
  const CiModel *model;
  guint64 n_parameters;
  guint n_faults;
  GString *faults;
} TensorCheck;

static gboolean
is_float (CiDType dtype)
{
  return dtype == CI_DTYPE_F32 || dtype == CI_DTYPE_F16
      || dtype == CI_DTYPE_F64;
}

static gboolean
shape_matches (const CiTensor * tensor, gint n_dims, const gint64 * dims)
{
  /* a single value may be stored without dimensions */
  if (tensor->n_dims == 0 && n_dims == 1 && dims[0] == 1)
    return TRUE;
  return tensor->n_dims == n_dims
      && memcmp (tensor->dims, dims, n_dims * sizeof (gint64)) == 0;
}

static void
check_tensor (const gchar * name, gint n_dims, const gint64 * dims,
    gpointer user_data)
{
  TensorCheck *check = user_data;
  const CiSafetensors *file = check->model->file;
  CiTensor wanted = { CI_DTYPE_F32, n_dims };
  CiTensor tensor;
  gboolean known = ci_safetensors_lookup (file, name, &tensor);
  g_autofree gchar *found = NULL;
  g_autofree gchar *expected = NULL;

  memcpy (wanted.dims, dims, n_dims * sizeof (gint64));
  check->n_parameters += ci_tensor_n_elements (&wanted);
  if (known && is_float (tensor.dtype)
      && shape_matches (&tensor, n_dims, dims))
    return;
  if (++check->n_faults > MAX_REPORTED_TENSORS)
    return;
  expected = ci_tensor_describe (&wanted);
  found = ci_safetensors_describe (file, name);
  g_string_append_printf (check->faults, "%s %s (expected %s, found %s)",
      check->n_faults > 1 ? ";" : "", name, expected,
      found ? found : "nothing");
}

/* Whether the file has every tensor of the network in the right shape. */
static gboolean
check_tensors (CiModel * model, GError ** error)
{
  TensorCheck check = { model, 0, 0, g_string_new (NULL) };
  CiGraph *graph = ci_network_build (model->config,
      model->config->inference.post_nms_top_k, FALSE, FALSE);

  ci_graph_foreach_tensor (graph, check_tensor, &check);
  ci_graph_free (graph);
  model->n_parameters = check.n_parameters;
  if (check.n_faults > MAX_REPORTED_TENSORS)
    g_string_append_printf (check.faults, "; and %u more",
        check.n_faults - MAX_REPORTED_TENSORS);
  if (check.n_faults > 0)
    g_set_error (error, CI_ERROR, CI_ERROR_MISSING_TENSOR,
        "%s: %u tensors that the network needs are missing or do not fit:%s",
        model->path, check.n_faults, check.faults->str);
  g_string_free (check.faults, TRUE);
  return check.n_faults == 0;
}

/* ---- loading ---------------------------------------------------------- */

static gboolean
lookup_file (const CiWeights * weights, const gchar * name, CiTensor * out)
{
  const CiModel *model = weights->user_data;

  return ci_safetensors_lookup (model->file, name, out);
}

/* Formats that people try, which deserve better than "bad header". */
static gboolean
refuse_foreign (const gchar * path, GError ** error)
{
  static const struct
  {
    const gchar *magic, *format;
    gsize length;
  } formats[] = {
    {"PK\3\4", "a PyTorch checkpoint or another zip file", 4},
    {"\x80\x02", "a Python pickle (an older PyTorch checkpoint)", 2},
    {"\x80\x03", "a Python pickle", 2},
    {"\x80\x04", "a Python pickle", 2},
    {"\x80\x05", "a Python pickle", 2},
    {"GGUF", "a GGUF file", 4},
    {"\x89HDF", "an HDF5 file", 4},
  };
  gchar head[9] = { 0 };
  const gchar *format = NULL, *dot = strrchr (path, '.');
  FILE *in;
  gsize n;

  /* what cannot be opened or is no file is reported by the real reader */
  if (!g_file_test (path, G_FILE_TEST_IS_REGULAR) || !(in = fopen (path, "rb")))
    return TRUE;
  n = fread (head, 1, sizeof head, in);
  fclose (in);
  /* pickles first: their two bytes may also start a header's length */
  if (n < sizeof head || head[8] != '{')
    for (guint i = 0; i < G_N_ELEMENTS (formats) && !format; i++)
      if (n >= formats[i].length
          && memcmp (head, formats[i].magic, formats[i].length) == 0)
        format = formats[i].format;
  if (!format && head[8] != '{' && !g_str_has_suffix (path, SUFFIX))
    format = dot && !strchr (dot, '/') ? dot : "of an unknown format";
  if (!format)
    return TRUE;
  g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
      "%s: models are read from safetensors files; this one is %s%s", path,
      format, format == dot ? " instead" : "");
  return FALSE;
}

static CiModel *
load_file (const gchar * path, const gchar * key, GError ** error)
{
  CiModel *model = model_new (key);
  g_autofree gchar *source = NULL;
  const gchar *json;

  model->path = g_strdup (path);
  model->weights.lookup = lookup_file;
  if (!refuse_foreign (path, error)
      || !(model->file = ci_safetensors_open (path, error)))
    goto fail;
  json = ci_safetensors_get_metadata (model->file, "condinst");
  if (!json) {
    g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
        "%s: __metadata__ has no \"condinst\", the description of the network "
        "(docs/model-format.md), so these are only weights", path);
    goto fail;
  }
  source = g_strconcat (path, ": __metadata__.condinst", NULL);
  model->config = ci_config_parse (json, source, error);
  if (!model->config || !check_tensors (model, error))
    goto fail;
  return model;

fail:
  model_free (model);
  return NULL;
}

static gboolean
lookup_random (const CiWeights * weights, const gchar * name, CiTensor * out)
{
  const CiModel *model = weights->user_data;
  const RandomTensor *found = g_hash_table_lookup (model->random, name);

  if (found)
    *out = found->tensor;
  return found != NULL;
}

static void
random_tensor_free (gpointer data)
{
  RandomTensor *random = data;

  g_free ((gpointer) random->tensor.data);
  g_free (random->name);
  g_free (random);
}

static void
add_random_tensor (const gchar * name, gint n_dims, const gint64 * dims,
    gpointer user_data)
{
  CiModel *model = user_data;
  RandomTensor *random = g_new0 (RandomTensor, 1);
  gfloat *data;
  gsize n;

  random->name = g_strdup (name);
  random->tensor.dtype = CI_DTYPE_F32;
  random->tensor.n_dims = n_dims;
  memcpy (random->tensor.dims, dims, n_dims * sizeof (gint64));
  n = ci_tensor_n_elements (&random->tensor);
  random->tensor.data = data = g_new (gfloat, n);
  ci_random_weights (data, model->config, name, n_dims, dims);
  model->n_parameters += n;
  g_hash_table_insert (model->random, random->name, random);
}

static CiModel *
load_random (const gchar * name, const gchar * key, GError ** error)
{
  CiConfig *config = ci_random_config (name, error);
  CiModel *model;
  CiGraph *graph;

  if (!config)
    return NULL;
  model = model_new (key);
  model->config = config;
  model->weights.lookup = lookup_random;
  model->random = g_hash_table_new_full (g_str_hash, g_str_equal, NULL,
      random_tensor_free);
  graph = ci_network_build (config, config->inference.post_nms_top_k, FALSE,
      FALSE);
  ci_graph_foreach_tensor (graph, add_random_tensor, model);
  ci_graph_free (graph);
  return model;
}

/* Path of the installed model @name; NULL and an error that tells where it was
 * looked for. */
static gchar *
find_installed (const gchar * name, GError ** error)
{
  const gchar *suffix = g_str_has_suffix (name, SUFFIX) ? "" : SUFFIX;
  const gchar *list = g_getenv ("GST_CONDINST_MODEL_PATH");
  g_auto (GStrv) folders = g_strsplit (list ? list : "",
      G_SEARCHPATH_SEPARATOR_S, -1);
  g_autofree gchar *file = g_strconcat (name, suffix, NULL);
  g_autoptr (GString) searched = g_string_new (NULL);

  for (guint i = 0; i <= g_strv_length (folders); i++) {
    const gchar *folder = folders[i] ? folders[i] : CI_MODEL_DIR;
    g_autofree gchar *path = NULL;

    if (!*folder)
      continue;
    path = g_build_filename (folder, file, NULL);
    if (g_file_test (path, G_FILE_TEST_EXISTS))
      return g_steal_pointer (&path);
    g_string_append_printf (searched, "%s%s", searched->len ? ", " : "",
        folder);
  }
  g_set_error (error, CI_ERROR, CI_ERROR_IO,
      "there is no model \"%s\": no such file, and no %s in %s "
      "(GST_CONDINST_MODEL_PATH may name more folders)", name, file,
      searched->str);
  return NULL;
}

/* A file, whatever leads to it and as long as it is unchanged. */
static gchar *
file_key (const gchar * path)
{
  GStatBuf info;

  if (g_stat (path, &info) != 0)
    return g_strdup (path);
  return g_strdup_printf ("%" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT ":%"
      G_GINT64_FORMAT ".%09ld:%" G_GINT64_FORMAT, (guint64) info.st_dev,
      (guint64) info.st_ino, (gint64) info.st_mtim.tv_sec,
      (glong) info.st_mtim.tv_nsec, (gint64) info.st_size);
}

CiModel *
ci_model_load (const gchar * spec, GError ** error)
{
  const gchar *random = NULL;
  g_autofree gchar *path = NULL;
  g_autofree gchar *key = NULL;
  CiModel *model;

  if (spec && g_str_has_prefix (spec, "random:")) {
    random = spec + strlen ("random:");
    key = g_strdup (spec);
  } else {
    if (spec && (strchr (spec, G_DIR_SEPARATOR)
            || g_file_test (spec, G_FILE_TEST_IS_REGULAR)))
      path = g_strdup (spec);
    else
      path = find_installed (spec && *spec ? spec : DEFAULT_MODEL, error);
    if (!path)
      return NULL;
    key = file_key (path);
  }

  g_mutex_lock (&registry_lock);
  if (!registry)
    registry = g_hash_table_new (g_str_hash, g_str_equal);
  model = g_hash_table_lookup (registry, key);
  if (model) {
    model->ref_count++;
  } else {
    model = random ? load_random (random, key, error)
        : load_file (path, key, error);
    if (model)
      g_hash_table_insert (registry, model->key, model);
  }
  g_mutex_unlock (&registry_lock);
  return model;
}

/* ---- facts ------------------------------------------------------------ */

const CiConfig *
ci_model_get_config (const CiModel * model)
{
  return model->config;
}

const CiWeights *
ci_model_get_weights (const CiModel * model)
{
  return &model->weights;
}

const gchar *
ci_model_get_name (const CiModel * model)
{
  return model->config->name;
}

const gchar *
ci_model_get_path (const CiModel * model)
{
  return model->path;
}

const gchar *
ci_model_get_architecture (const CiModel * model)
{
  return ci_architecture_name (model->config->architecture);
}

guint
ci_model_get_n_classes (const CiModel * model)
{
  return model->config->n_classes;
}

const gchar *
ci_model_get_class_name (const CiModel * model, guint index)
{
  return index < model->config->n_classes ? model->config->classes[index]
      : NULL;
}

gfloat
ci_model_get_score_threshold (const CiModel * model)
{
  return model->config->inference.score_threshold;
}

gfloat
ci_model_get_nms_threshold (const CiModel * model)
{
  return model->config->inference.nms_threshold;
}

void
ci_model_get_test_size (const CiModel * model, gint * min_size,
    gint * max_size)
{
  *min_size = model->config->input.min_size;
  *max_size = model->config->input.max_size;
}

gchar *
ci_model_to_json (const CiModel * model)
{
  g_autofree gchar *config = ci_config_to_json (model->config);
  GString *out = g_string_new ("{");

  if (model->path) {
    g_autofree gchar *path = g_filename_display_name (model->path);

    g_string_append (out, "\"path\":");
    ci_json_append_string (out, path);
    g_string_append_c (out, ',');
  }
  g_string_append_printf (out, "\"parameters\":%" G_GUINT64_FORMAT ",%s",
      model->n_parameters, config + 1);
  return g_string_free (out, FALSE);
}
