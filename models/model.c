/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include <glib/gstdio.h>

#include "json.h"
#include "method.h"
#include "random.h"
#include "safetensors.h"
#include "upstream.h"

#define DEFAULT_MODEL "condinst-light"
#define SUFFIX ".safetensors"
#define MAX_REPORTED_TENSORS 10
#define MAX_REPORTED_UNKNOWN 3

struct _CiModel
{
  gint ref_count;               /* under the registry's lock */
  gchar *key;                   /* in the registry */
  gchar *path;                  /* NULL if random */
  CiConfig *config;
  CiWeights weights;
  guint64 n_parameters;         /* values that the network uses */
  gchar **recognised;           /* published configurations with such tensors;
                                   NULL if a description came with the file */
  GPtrArray *hints;             /* what else the description was made from */

  CiCheckpoint *file;           /* where the weights are: this, */
  GHashTable *random;           /* or name -> RandomTensor */
};

/* What the caller knows of a model beside where it is. */
typedef struct
{
  const gchar *config_file;     /* or NULL */
  const gchar *const *settings; /* or NULL */
} Hints;

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
  ci_checkpoint_free (model->file);
  g_strfreev (model->recognised);
  g_ptr_array_unref (model->hints);
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
  model->hints = g_ptr_array_new_with_free_func (g_free);
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
  GHashTable *needed;           /* names */
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
  const CiCheckpoint *file = check->model->file;
  CiTensor wanted = { CI_DTYPE_F32, n_dims };
  CiTensor tensor;
  gboolean known = ci_checkpoint_lookup (file, name, &tensor);
  g_autofree gchar *found = NULL;
  g_autofree gchar *expected = NULL;

  g_hash_table_add (check->needed, g_strdup (name));
  memcpy (wanted.dims, dims, n_dims * sizeof (gint64));
  check->n_parameters += ci_tensor_n_elements (&wanted);
  if (known && is_float (tensor.dtype)
      && shape_matches (&tensor, n_dims, dims))
    return;
  if (++check->n_faults > MAX_REPORTED_TENSORS)
    return;
  expected = ci_tensor_describe (&wanted);
  found = ci_checkpoint_describe (file, name);
  g_string_append_printf (check->faults, "%s %s (expected %s, found %s)",
      check->n_faults > 1 ? ";" : "", name, expected,
      found ? found : "nothing");
}

/* Says which tensors the network has no use for, in one line. */
static void
report_unknown (const CiModel * model, GHashTable * needed)
{
  const gchar *const *names = ci_checkpoint_get_names (model->file);
  g_autoptr (GString) list = g_string_new (NULL);
  guint n = 0;

  for (guint i = 0; names[i]; i++)
    if (!g_hash_table_contains (needed, names[i])
        && n++ < MAX_REPORTED_UNKNOWN)
      g_string_append_printf (list, "%s%s", n > 1 ? ", " : "", names[i]);
  if (n > 0)
    g_info ("%s: %u tensors are not needed: %s%s", model->path, n, list->str,
        n > MAX_REPORTED_UNKNOWN ? ", ..." : "");
}

/* Whether the file has every tensor of the network in the right shape. */
static gboolean
check_tensors (CiModel * model, GError ** error)
{
  g_autoptr (GHashTable) needed = g_hash_table_new_full (g_str_hash,
      g_str_equal, g_free, NULL);
  TensorCheck check = { model, 0, needed, 0, g_string_new (NULL) };
  CiGraph *graph = ci_network_build (model->config, NULL);

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
  else
    report_unknown (model, needed);
  g_string_free (check.faults, TRUE);
  return check.n_faults == 0;
}

/* ---- describing ------------------------------------------------------- */

/* The files beside @path that may be its configuration; NULL-terminated. */
static gchar **
find_siblings (const gchar * path)
{
  static const gchar *const suffixes[] = { ".yaml", ".yml", ".json" };
  const gchar *name = strrchr (path, G_DIR_SEPARATOR);
  const gchar *dot = strrchr (name ? name : path, '.');
  gsize length = dot ? (gsize) (dot - path) : strlen (path);
  gchar **files = g_new0 (gchar *, G_N_ELEMENTS (suffixes) + 1);
  guint n = 0;

  for (guint i = 0; i < G_N_ELEMENTS (suffixes); i++) {
    g_autofree gchar *file = g_strdup_printf ("%.*s%s", (gint) length, path,
        suffixes[i]);

    if (g_file_test (file, G_FILE_TEST_IS_REGULAR)
        && !g_str_equal (file, path))
      files[n++] = g_steal_pointer (&file);
  }
  return files;
}

/* Reads the first file beside @model's that is a configuration; warns of those
 * that are something else, such as results under the same name. */
static void
read_sibling (CiModel * model, CiUpstream * upstream)
{
  g_auto (GStrv) files = find_siblings (model->path);

  for (guint i = 0; files[i]; i++) {
    g_autoptr (GError) error = NULL;

    if (ci_upstream_read_beside (upstream, files[i], &error)) {
      g_ptr_array_add (model->hints, g_strdup (files[i]));
      return;
    }
    g_warning ("%s; the file beside the weights is left out", error->message);
  }
}

/* Reads "KEY=VALUE". */
static gboolean
read_setting (CiUpstream * upstream, const gchar * setting, GError ** error)
{
  const gchar *equals = strchr (setting, '=');
  g_autofree gchar *key = NULL;

  if (!equals) {
    g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "\"%.80s\" is no setting like MODEL.FCOS.NMS_TH=0.6", setting);
    return FALSE;
  }
  key = g_strndup (setting, equals - setting);
  return ci_upstream_set (upstream, key, equals + 1, error);
}

/* All that is known of @model besides its file, the most explicit last: the
 * file beside it, unless it describes itself or a file is named, then
 * @hints. */
static CiUpstream *
collect_hints (CiModel * model, const Hints * hints, gboolean described,
    GError ** error)
{
  g_autoptr (CiUpstream) upstream = ci_upstream_new ();
  const gchar *file = hints->config_file;

  if (model->path && !described && !file)
    read_sibling (model, upstream);
  if (file) {
    if (!(g_file_test (file, G_FILE_TEST_EXISTS) ?
            ci_upstream_read_file (upstream, file, error) :
            ci_upstream_set_published (upstream, file, error)))
      return NULL;
    g_ptr_array_add (model->hints, g_strdup (file));
  }
  for (guint i = 0; hints->settings && hints->settings[i]; i++) {
    if (!read_setting (upstream, hints->settings[i], error))
      return NULL;
    g_ptr_array_add (model->hints, g_strdup (hints->settings[i]));
  }
  return g_steal_pointer (&upstream);
}

/* Puts @hints into the description that @model came with. */
static gboolean
amend (CiModel * model, const Hints * hints, const gchar * source,
    GError ** error)
{
  g_autoptr (CiUpstream) upstream = collect_hints (model, hints, TRUE, error);
  g_autofree gchar *json = NULL;

  if (!upstream)
    return FALSE;
  if (model->hints->len == 0)
    return TRUE;
  if (!ci_upstream_apply (upstream, NULL, source, model->config, error))
    return FALSE;
  /* once more through the checks of ranges */
  json = ci_config_to_json (model->config);
  g_clear_pointer (&model->config, ci_config_free);
  model->config = ci_config_parse (json, source, error);
  return model->config != NULL;
}

/* Finds the description of a file: its own, or what its tensors tell. */
static gboolean
describe (CiModel * model, const Hints * hints, GError ** error)
{
  const gchar *own = ci_checkpoint_get_metadata (model->file, "condinst");
  g_autofree gchar *source = NULL;
  g_autofree gchar *json = NULL;
  g_autoptr (CiUpstream) upstream = NULL;

  if (own) {
    source = g_strconcat (model->path, ": __metadata__.condinst", NULL);
    model->config = ci_config_parse (own, source, error);
    return model->config && amend (model, hints, model->path, error);
  }
  upstream = collect_hints (model, hints, FALSE, error);
  if (!upstream)
    return FALSE;
  json = ci_upstream_describe (model->file, upstream, model->path,
      &model->recognised, error);
  if (json)
    model->config = ci_config_parse (json, model->path, error);
  return model->config != NULL;
}

/* ---- loading ---------------------------------------------------------- */

static gboolean
lookup_file (const CiWeights * weights, const gchar * name, CiTensor * out)
{
  const CiModel *model = weights->user_data;

  return ci_checkpoint_lookup (model->file, name, out);
}

/* Whether the zip file of @data has TorchScript's files, by its directory at
 * the end. */
static gboolean
is_torchscript (const gchar * data, gsize size)
{
  static const gchar name[] = "/constants.pkl";
  gsize tail = MIN (size, 1024 * 1024);

  return size > 4 && memcmp (data, "PK\3\4", 4) == 0
      && memmem (data + size - tail, tail, name, sizeof name - 1);
}

/* Exported networks, which only their own runtimes can run. */
static gboolean
refuse_foreign (const gchar * path, GError ** error)
{
  static const struct
  {
    const gchar *magic, *suffix, *format;
  } formats[] = {
    {NULL, ".onnx", "an ONNX model"},
    {NULL, ".engine", "a TensorRT engine"},
    {NULL, ".plan", "a TensorRT engine"},
    {NULL, ".trt", "a TensorRT engine"},
    {"ftrt", NULL, "a TensorRT engine"},
    {"ptrt", NULL, "a TensorRT engine"},
  };
  g_autoptr (GMappedFile) file = NULL;
  const gchar *format = NULL, *data;
  gsize size;

  /* what cannot be opened or is no file is reported by the real reader */
  if (!g_file_test (path, G_FILE_TEST_IS_REGULAR)
      || !(file = g_mapped_file_new (path, FALSE, NULL)))
    return TRUE;
  data = g_mapped_file_get_contents (file);
  size = g_mapped_file_get_length (file);
  for (guint i = 0; i < G_N_ELEMENTS (formats) && !format; i++)
    if (formats[i].magic ? size > 4 && memcmp (data, formats[i].magic, 4) == 0
        : g_str_has_suffix (path, formats[i].suffix))
      format = formats[i].format;
  /* a file's own start counts more than its name, as everywhere here */
  if (size > 8 && data[8] == '{')
    format = NULL;
  if (!format && is_torchscript (data, size))
    format = "a TorchScript archive";
  if (!format)
    return TRUE;
  g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
      "%s: this is %s; models are read from the weights themselves: "
      "safetensors, PyTorch checkpoints (.pth) and pickles (.pkl)", path,
      format);
  return FALSE;
}

static CiModel *
load_file (const gchar * path, const gchar * key, const Hints * hints,
    GError ** error)
{
  CiModel *model = model_new (key);

  model->path = g_strdup (path);
  model->weights.lookup = lookup_file;
  if (refuse_foreign (path, error)
      && (model->file = ci_checkpoint_open (path, error))
      && describe (model, hints, error) && check_tensors (model, error))
    return model;
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
load_random (const gchar * name, const gchar * key, const Hints * hints,
    GError ** error)
{
  CiConfig *config = ci_random_config (name, error);
  CiModel *model;
  CiGraph *graph;

  if (!config)
    return NULL;
  model = model_new (key);
  model->config = config;
  if (!amend (model, hints, key, error)) {
    model_free (model);
    return NULL;
  }
  config = model->config;
  model->weights.lookup = lookup_random;
  model->random = g_hash_table_new_full (g_str_hash, g_str_equal, NULL,
      random_tensor_free);
  graph = ci_network_build (config, NULL);
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

/* What tells one model from another: its file, and what is said of it. */
static gchar *
model_key (const gchar * spec, const gchar * path, const Hints * hints)
{
  GString *key = g_string_new (NULL);
  g_auto (GStrv) siblings = path && !hints->config_file ?
      find_siblings (path) : NULL;
  g_autofree gchar *file = path ? file_key (path) : g_strdup (spec);

  g_string_append (key, file);
  for (guint i = 0; siblings && siblings[i]; i++) {
    g_autofree gchar *own = file_key (siblings[i]);

    g_string_append_printf (key, "\nbeside %s", own);
  }
  if (hints->config_file) {
    g_autofree gchar *own = file_key (hints->config_file);

    g_string_append_printf (key, "\nconfig %s", own);
  }
  for (guint i = 0; hints->settings && hints->settings[i]; i++)
    g_string_append_printf (key, "\n%s", hints->settings[i]);
  return g_string_free (key, FALSE);
}

CiModel *
ci_model_load_full (const gchar * spec, const gchar * config_file,
    const gchar * const *settings, GError ** error)
{
  const Hints hints = { config_file, settings };
  const gchar *random = NULL;
  g_autofree gchar *path = NULL;
  g_autofree gchar *key = NULL;
  CiModel *model;

  if (spec && g_str_has_prefix (spec, "random:")) {
    random = spec + strlen ("random:");
  } else {
    if (spec && (strchr (spec, G_DIR_SEPARATOR)
            || g_file_test (spec, G_FILE_TEST_IS_REGULAR)))
      path = g_strdup (spec);
    else
      path = find_installed (spec && *spec ? spec : DEFAULT_MODEL, error);
    if (!path)
      return NULL;
  }
  key = model_key (spec, path, &hints);

  g_mutex_lock (&registry_lock);
  if (!registry)
    registry = g_hash_table_new (g_str_hash, g_str_equal);
  model = g_hash_table_lookup (registry, key);
  if (model) {
    model->ref_count++;
  } else {
    model = random ? load_random (random, key, &hints, error)
        : load_file (path, key, &hints, error);
    if (model)
      g_hash_table_insert (registry, model->key, model);
  }
  g_mutex_unlock (&registry_lock);
  return model;
}

CiModel *
ci_model_load (const gchar * spec, GError ** error)
{
  return ci_model_load_full (spec, NULL, NULL, error);
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

static void
append_strings (GString * out, const gchar * key,
    const gchar * const *strings, guint n)
{
  g_string_append_printf (out, "\"%s\":[", key);
  for (guint i = 0; i < n; i++) {
    g_autofree gchar *text = g_utf8_make_valid (strings[i], -1);

    if (i > 0)
      g_string_append_c (out, ',');
    ci_json_append_string (out, text);
  }
  g_string_append (out, "],");
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
    g_string_append (out, ",\"format\":");
    ci_json_append_string (out, ci_checkpoint_format_name
        (ci_checkpoint_get_format (model->file)));
    g_string_append_c (out, ',');
  }
  if (model->recognised)
    append_strings (out, "recognised",
        (const gchar * const *) model->recognised,
        g_strv_length (model->recognised));
  if (model->hints->len > 0)
    append_strings (out, "config",
        (const gchar * const *) model->hints->pdata, model->hints->len);
  g_string_append_printf (out, "\"parameters\":%" G_GUINT64_FORMAT ",%s",
      model->n_parameters, config + 1);
  return g_string_free (out, FALSE);
}
