/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "checkpoint.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pickle.h"
#include "safetensors.h"
#include "tensors.h"
#include "torch.h"

/* Copies (of strided, misaligned and narrow tensors) may take this many times
 * the file's size, and a constant; expanded tensors could take any. */
#define MAX_COPY_FACTOR 4
#define MAX_COPY_EXTRA (64 << 20)
/* Below this, giving pages back costs more than it is worth. */
#define RELEASE_BYTES (1 << 18)

#define PREFIX "module."
#define FROZEN_BN_EPS 1e-5
/* {"version": 2}, and perhaps a little more */
#define MAX_MODULE_ITEMS 64

struct _CiCheckpoint
{
  CiCheckpointFormat format;
  GMappedFile *map;             /* NULL if nothing shows it */
  CiSafetensors *safetensors;   /* or these: */
  GPtrArray *tensors;           /* Item, sorted by name */
  GPtrArray *names;             /* NULL-terminated */
};

typedef struct
{
  CiNamedTensor tensor;         /* first: it begins with the name */
  const CiObject *object;       /* lives while the file is read */
} Item;

const gchar *
ci_checkpoint_format_name (CiCheckpointFormat format)
{
  static const gchar *const names[] = { "safetensors", "PyTorch zip",
    "PyTorch before 1.6", "pickle"
  };

  return names[format];
}

/* ---- the state dict --------------------------------------------------- */

static gboolean
is_tensor (const CiObject * object)
{
  return object->kind == CI_OBJECT_TENSOR
      || (object->kind == CI_OBJECT_ARRAY && object->u.array.dtype
      && object->u.array.sizes);
}

static gboolean
has_tensors (const CiObject * dict)
{
  for (guint i = 0; i < dict->u.list.n; i += 2)
    if (is_tensor (dict->u.list.items[i + 1]))
      return TRUE;
  return FALSE;
}

static const CiObject *
find_state_dict (const CiObject * root)
{
  static const gchar *const keys[] = { "model", "state_dict", "model_state",
    "model_state_dict"
  };

  for (guint i = 0; i < G_N_ELEMENTS (keys); i++) {
    const CiObject *dict = ci_object_get (root, keys[i]);

    if (dict && dict->kind == CI_OBJECT_DICT && has_tensors (dict))
      return dict;
  }
  return root;
}

static void
append_keys (GString * text, const CiObject * dict)
{
  guint n = dict->u.list.n / 2;

  for (guint i = 0; i < MIN (n, 5); i++) {
    g_autofree gchar *key = ci_object_dup_name (dict->u.list.items[2 * i]);

    g_string_append_printf (text, "%s\"%.40s\"", i ? ", " : "",
        key ? key : "?");
  }
  if (n > 5)
    g_string_append_printf (text, ", ... (%u)", n);
}

static gboolean
fail_empty (const CiObject * root, GError ** error)
{
  g_autoptr (GString) text = g_string_new ("a pickle of ");

  g_string_append (text, ci_object_kind_name (root->kind));
  if (root->kind == CI_OBJECT_DICT) {
    g_string_append (text, " with the keys ");
    append_keys (text, root);
  }
  g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
      "expected a state dict, found %s without tensors", text->str);
  return FALSE;
}

/* ---- tensors ---------------------------------------------------------- */

typedef struct
{
  CiCheckpoint *checkpoint;
  const GPtrArray *storages;    /* NULL for a plain pickle */
  guint64 copied, max_copied;
} Reader;

/* Pages of the file whose content was copied can be read again if need be; they
 * would count as memory in use until the file is unmapped. */
static void
release_pages (const Reader * reader, const guint8 * data, gsize size)
{
  GMappedFile *map = reader->checkpoint->map;
  guintptr page = sysconf (_SC_PAGESIZE);
  guintptr begin = ((guintptr) data + page - 1) / page * page;
  guintptr end = ((guintptr) data + size) / page * page;
  guintptr first = map ? (guintptr) g_mapped_file_get_contents (map) : 0;

  /* decoded strings are not the file's */
  if (map && size >= RELEASE_BYTES && begin >= first
      && end <= first + g_mapped_file_get_length (map))
    madvise ((gpointer) begin, end - begin, MADV_DONTNEED);
}

static gboolean
show (Reader * reader, CiNamedTensor * tensor, const CiTensorSource * source,
    GError ** error)
{
  guint64 size = ci_named_tensor_copy_size (tensor, source);

  if (size > reader->max_copied - reader->copied) {
    g_autofree gchar *shape = ci_named_tensor_describe (tensor);

    g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
        "tensor \"%.100s\" (%s) would take %" G_GUINT64_FORMAT " bytes, too "
        "many for the file's size", tensor->name, shape, size);
    return FALSE;
  }
  reader->copied += size;
  return ci_named_tensor_show (tensor, source, error);
}

/* @axes: NULL or the order of @sizes. Fails if their product overflows. */
static gboolean
set_shape (CiNamedTensor * tensor, const CiObject * sizes,
    const CiObject * axes, GError ** error)
{
  gboolean empty = FALSE, ok = TRUE;

  tensor->n_dims = sizes->u.list.n;
  tensor->n_elements = 1;
  for (guint i = 0; i < sizes->u.list.n; i++) {
    gint64 k = axes ? axes->u.list.items[i]->u.integer : i;
    gint64 size = sizes->u.list.items[k]->u.integer;

    if (i < CI_MAX_DIMS)
      tensor->view.dims[i] = size;
    empty |= size == 0;
    ok = ok && g_uint64_checked_mul (&tensor->n_elements, tensor->n_elements,
        size);
  }
  if (empty)
    tensor->n_elements = 0;
  if (ok || empty)
    return TRUE;
  g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
      "tensor \"%.100s\": the product of its sizes overflows 64 bits",
      tensor->name);
  return FALSE;
}

/* The pickle has checked that a tensor fits into its storage; the storage must
 * be what the pickle says. @change: it will be changed, in no less than single
 * precision. */
static gboolean
show_torch (Reader * reader, Item * item, gboolean change, GError ** error)
{
  CiNamedTensor *tensor = &item->tensor;
  const CiObject *object = item->object;
  const CiObject *described = object->u.tensor.storage;
  const CiObject *view = described->u.storage.view;
  g_autofree gchar *key = ci_object_dup_name (described->u.storage.key);
  const CiTorchStorage *storage = key ?
      ci_names_find (reader->storages, key) : NULL;
  gint64 strides[CI_MAX_DIMS] = { 0 };
  CiTensorSource source = { NULL, strides };
  guint64 needed;

  tensor->dtype = object->u.tensor.dtype;
  if (!set_shape (tensor, object->u.tensor.sizes, NULL, error))
    return FALSE;
  if (!storage || !storage->data) {
    g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
        "tensor \"%.100s\": its storage \"%.100s\" is not in the file",
        tensor->name, key ? key : "?");
    return FALSE;
  }
  if (!g_uint64_checked_mul (&needed, described->u.storage.n_elements,
          described->u.storage.dtype->size) || needed > storage->size) {
    g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
        "tensor \"%.100s\": its storage \"%.100s\" should have %"
        G_GINT64_FORMAT " elements of %" G_GSIZE_FORMAT " bytes, found %"
        G_GUINT64_FORMAT " bytes", tensor->name, key,
        described->u.storage.n_elements, described->u.storage.dtype->size,
        storage->size);
    return FALSE;
  }
  source.widen = change;
  source.copy = change
      || reader->checkpoint->format == CI_CHECKPOINT_TORCH_LEGACY;
  source.data = storage->data;
  for (gint i = 0; i < MIN (tensor->n_dims, CI_MAX_DIMS); i++)
    strides[i] = object->u.tensor.strides->u.list.items[i]->u.integer;
  if (tensor->n_elements) {
    source.data += object->u.tensor.offset * tensor->dtype->size;
    if (view)
      source.data += view->u.list.items[1]->u.integer
          * described->u.storage.dtype->size;
  }
  if (!show (reader, tensor, &source, error))
    return FALSE;
  if (reader->checkpoint->format == CI_CHECKPOINT_TORCH_LEGACY)
    release_pages (reader, storage->data, storage->size);
  return TRUE;
}

static gboolean
show_numpy (Reader * reader, Item * item, gboolean change, GError ** error)
{
  CiNamedTensor *tensor = &item->tensor;
  const CiObject *object = item->object;
  const CiObject *axes = object->u.array.axes;
  gint64 strides[CI_MAX_DIMS], step = 1;
  gint order[CI_MAX_DIMS], n;
  CiTensorSource source = { (const guint8 *) object->u.array.data->u.text.data,
    NULL, object->u.array.swap, TRUE, change
  };

  tensor->dtype = object->u.array.dtype;
  if (!set_shape (tensor, object->u.array.sizes, axes, error))
    return FALSE;
  n = tensor->n_dims;
  if (n <= CI_MAX_DIMS && tensor->n_elements) {
    /* the tensor's dimensions in the order in which they lie */
    for (gint i = 0; i < n; i++)
      order[axes ? axes->u.list.items[i]->u.integer :
          object->u.array.fortran ? n - 1 - i : i] = i;
    for (gint i = n - 1; i >= 0; i--) {
      strides[order[i]] = step;
      step *= tensor->view.dims[order[i]];
    }
    source.strides = strides;
  }
  if (!show (reader, tensor, &source, error))
    return FALSE;
  release_pages (reader, source.data, object->u.array.data->u.text.size);
  return TRUE;
}

/* ---- names ------------------------------------------------------------ */

static void
item_free (gpointer data)
{
  Item *item = data;

  ci_named_tensor_clear (&item->tensor);
  g_free (item);
}

static gboolean
list_tensors (GPtrArray * tensors, const CiObject * dict, GError ** error)
{
  for (guint i = 0; i < dict->u.list.n; i += 2) {
    const CiObject *key = dict->u.list.items[i];
    const CiObject *object = dict->u.list.items[i + 1];
    gchar *name;
    Item *item;

    if (!is_tensor (object))
      continue;
    name = ci_object_dup_name (key);
    if (!name || tensors->len == CI_MAX_NAMES) {
      g_free (name);
      g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
          "expected at most %d tensors with names in UTF-8 of at most %d bytes,"
          " found %s as name of tensor %u", CI_MAX_NAMES, CI_MAX_NAME_BYTES,
          key->kind == CI_OBJECT_STRING ? "another string" :
          ci_object_kind_name (key->kind), tensors->len);
      return FALSE;
    }
    item = g_new0 (Item, 1);
    item->tensor.name = name;
    item->object = object;
    g_ptr_array_add (tensors, item);
  }
  return TRUE;
}

/* Networks that were saved inside a DataParallel */
static gboolean
strip_prefix (GPtrArray * tensors)
{
  for (guint i = 0; i < tensors->len; i++)
    if (!g_str_has_prefix (*(gchar **) tensors->pdata[i], PREFIX))
      return FALSE;
  for (guint i = 0; i < tensors->len; i++) {
    gchar *name = *(gchar **) tensors->pdata[i];

    memmove (name, name + strlen (PREFIX),
        strlen (name) + 1 - strlen (PREFIX));
  }
  return TRUE;
}

/* ---- FrozenBN --------------------------------------------------------- */

typedef struct
{
  gchar *name;                  /* first, for ci_names_sort() */
  gint64 version;
} Module;

static void
module_free (gpointer data)
{
  Module *module = data;

  g_free (module->name);
  g_free (module);
}

/* Versions of the modules' state, which state_dict() attaches as an attribute:
 * {"backbone.res2.norm": {"version": 3}}. */
static GPtrArray *
list_modules (const CiObject * dict)
{
  GPtrArray *modules = g_ptr_array_new_with_free_func (module_free);
  const CiObject *metadata = dict->u.list.state ?
      ci_object_get (dict->u.list.state, "_metadata") : NULL;

  if (!metadata || metadata->kind != CI_OBJECT_DICT)
    return modules;
  for (guint i = 0; i < metadata->u.list.n && modules->len < CI_MAX_NAMES;
      i += 2) {
    const CiObject *local = metadata->u.list.items[i + 1];
    const CiObject *version = local->kind == CI_OBJECT_DICT
        && local->u.list.n <= MAX_MODULE_ITEMS ?
        ci_object_get (local, "version") : NULL;
    gchar *name = version && version->kind == CI_OBJECT_INT ?
        ci_object_dup_name (metadata->u.list.items[i]) : NULL;
    Module *module;

    if (!name)
      continue;
    module = g_new0 (Module, 1);
    module->name = name;
    module->version = version->u.integer;
    g_ptr_array_add (modules, module);
  }
  ci_names_sort (modules, "module", NULL);
  return modules;
}

/* Whether the module that @tensor belongs to is detectron2's FrozenBN of before
 * version 3, whose variance held eps already. It had no variance before version
 * 2: a module of version 1 that has one is another code's, such as
 * torchvision's FrozenBatchNorm2d, which never held eps. A batch norm that is
 * not frozen (its version is 2) counts its batches. */
static gboolean
is_old_variance (const CiNamedTensor * tensor, const GPtrArray * tensors,
    const GPtrArray * modules, gboolean stripped)
{
  static const gchar suffix[] = ".running_var";
  g_autofree gchar *name = NULL;
  g_autofree gchar *count = NULL;
  const Module *module;

  if (modules->len == 0 || !g_str_has_suffix (tensor->name, suffix))
    return FALSE;
  name = g_strconcat (stripped ? PREFIX : "", tensor->name, NULL);
  name[strlen (name) - strlen (suffix)] = 0;
  module = ci_names_find (modules, name);
  if (!module || module->version != 2)
    return FALSE;
  count = g_strconcat (name + (stripped ? strlen (PREFIX) : 0),
      ".num_batches_tracked", NULL);
  return ci_names_find (tensors, count) == NULL;
}

/* As detectron2's FrozenBatchNorm2d._load_from_state_dict */
static gboolean
subtract_eps (CiNamedTensor * tensor, GError ** error)
{
  gboolean wide = tensor->view.dtype == CI_DTYPE_F64;

  if (!tensor->copy || (!wide && tensor->view.dtype != CI_DTYPE_F32)) {
    g_autofree gchar *shape = ci_named_tensor_describe (tensor);

    g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
        "tensor \"%.100s\" of an old FrozenBN: expected floats, found %s",
        tensor->name, shape);
    return FALSE;
  }
  for (guint64 i = 0; i < tensor->n_elements; i++)
    if (wide)
      ((gdouble *) tensor->copy)[i] -= FROZEN_BN_EPS;
    else
      ((gfloat *) tensor->copy)[i] -= (gfloat) FROZEN_BN_EPS;
  return TRUE;
}

/* ---- formats ---------------------------------------------------------- */

static gboolean
read_state_dict (CiCheckpoint * checkpoint, const CiPickle * pickle,
    const GPtrArray * storages, gsize file_size, GError ** error)
{
  const CiObject *root = ci_pickle_get_root (pickle), *dict;
  GPtrArray *tensors = checkpoint->tensors;
  g_autoptr (GPtrArray) modules = NULL;
  Reader reader = { checkpoint, storages };
  gboolean stripped;

  if (root->kind != CI_OBJECT_DICT)
    return fail_empty (root, error);
  reader.max_copied = (guint64) file_size * MAX_COPY_FACTOR + MAX_COPY_EXTRA;
  dict = find_state_dict (root);
  if (!has_tensors (dict))
    return fail_empty (root, error);
  if (!list_tensors (tensors, dict, error))
    return FALSE;
  stripped = strip_prefix (tensors);
  if (!ci_names_sort (tensors, "tensor", error))
    return FALSE;
  modules = list_modules (dict);
  for (guint i = 0; i < tensors->len; i++) {
    Item *item = tensors->pdata[i];
    gboolean old = is_old_variance (&item->tensor, tensors, modules, stripped);

    if (item->object->kind == CI_OBJECT_TENSOR ?
        !show_torch (&reader, item, old, error) :
        !show_numpy (&reader, item, old, error))
      return FALSE;
    if (old && !subtract_eps (&item->tensor, error))
      return FALSE;
    item->object = NULL;
    g_ptr_array_add (checkpoint->names, item->tensor.name);
  }
  g_ptr_array_add (checkpoint->names, NULL);
  return TRUE;
}

static gboolean
begins (const guint8 * data, gsize size, gsize at, const gchar * magic)
{
  gsize length = strlen (magic);

  return size >= at && size - at >= length
      && memcmp (data + at, magic, length) == 0;
}

/* Formats that people try, which deserve better than "bad header" */
static const gchar *
find_foreign (const guint8 * data, gsize size)
{
  if (size == 0)
    return "an empty file";
  if (begins (data, size, 0, "GGUF"))
    return "a GGUF file";
  if (begins (data, size, 0, "\x89HDF"))
    return "an HDF5 file";
  if (begins (data, size, 0, "\x1f\x8b"))
    return "a gzip file; unpack it first";
  if (begins (data, size, 257, "ustar"))
    return "a tar archive (of PyTorch before 0.1.10?)";
  if (begins (data, size, 0, "version https://git-lfs"))
    return "a pointer of Git LFS; fetch the file itself";
  if (begins (data, size, 0, "<"))
    return "a page of HTML or XML, perhaps of a failed download";
  return NULL;
}

static gboolean
detect (const guint8 * data, gsize size, CiCheckpointFormat * format,
    GError ** error)
{
  const gchar *foreign;

  /* first, since its length may begin with any bytes */
  if (size > 8 && data[8] == '{') {
    *format = CI_CHECKPOINT_SAFETENSORS;
  } else if (begins (data, size, 0, "PK\3\4")
      || begins (data, size, 0, "PK\5\6")) {
    *format = CI_CHECKPOINT_TORCH_ZIP;
  } else if (size >= 1 && data[0] == 0x80) {
    /* or the first one of torch's old container, which shows when it is read */
    *format = CI_CHECKPOINT_PICKLE;
  } else {
    foreign = find_foreign (data, size);
    g_set_error (error, CI_ERROR, CI_ERROR_UNSUPPORTED,
        "expected safetensors, a PyTorch checkpoint or a pickle, found %s",
        foreign ? foreign : "another format");
    return FALSE;
  }
  return TRUE;
}

static gboolean
parse_pickles (CiCheckpoint * checkpoint, const guint8 * data, gsize size,
    GError ** error)
{
  g_autoptr (GPtrArray) storages = NULL;
  g_autoptr (CiPickle) pickle = NULL;
  CiPickleCost cost = { 0 };
  gsize pos = 0;

  if (checkpoint->format == CI_CHECKPOINT_TORCH_ZIP)
    pickle = ci_torch_read_zip (data, size, &storages, error);
  else
    pickle = ci_pickle_parse (data, size, &pos, FALSE, &cost, error);
  if (pickle && !storages && ci_torch_is_magic (ci_pickle_get_root (pickle))) {
    checkpoint->format = CI_CHECKPOINT_TORCH_LEGACY;
    ci_pickle_free (pickle);
    pickle = ci_torch_read_legacy (data, size, pos, &cost, &storages, error);
  }
  return pickle
      && read_state_dict (checkpoint, pickle, storages, size, error);
}

/* @map: what @data is, if it is a file; the checkpoint's if it succeeds */
static CiCheckpoint *
parse (const guint8 * data, gsize size, GMappedFile * map, const gchar * name,
    GError ** error)
{
  CiCheckpoint *checkpoint = g_new0 (CiCheckpoint, 1);
  gboolean ok;

  checkpoint->tensors = g_ptr_array_new_with_free_func (item_free);
  checkpoint->names = g_ptr_array_new ();
  checkpoint->map = map ? g_mapped_file_ref (map) : NULL;
  ok = detect (data, size, &checkpoint->format, error);
  if (ok && checkpoint->format == CI_CHECKPOINT_SAFETENSORS) {
    checkpoint->safetensors = ci_safetensors_parse (data, size, name, error);
    if (!checkpoint->safetensors)
      g_clear_pointer (&checkpoint, ci_checkpoint_free);
    return checkpoint;
  }
  if (!ok || !parse_pickles (checkpoint, data, size, error)) {
    g_prefix_error (error, "%s: ", name);
    g_clear_pointer (&checkpoint, ci_checkpoint_free);
    return NULL;
  }
  /* of the other formats nothing is shown in place */
  if (checkpoint->format != CI_CHECKPOINT_TORCH_ZIP)
    g_clear_pointer (&checkpoint->map, g_mapped_file_unref);
  return checkpoint;
}

CiCheckpoint *
ci_checkpoint_parse (const guint8 * data, gsize size, const gchar * name,
    GError ** error)
{
  return parse (data, size, NULL, name, error);
}

CiCheckpoint *
ci_checkpoint_open (const gchar * path, GError ** error)
{
  g_autoptr (GMappedFile) map = ci_map_file (path, error);

  if (!map)
    return NULL;
  return parse ((const guint8 *) g_mapped_file_get_contents (map),
      g_mapped_file_get_length (map), map, path, error);
}

void
ci_checkpoint_free (CiCheckpoint * checkpoint)
{
  if (!checkpoint)
    return;
  ci_safetensors_free (checkpoint->safetensors);
  g_ptr_array_unref (checkpoint->names);
  g_ptr_array_unref (checkpoint->tensors);
  g_clear_pointer (&checkpoint->map, g_mapped_file_unref);
  g_free (checkpoint);
}

/* ---- what it holds ---------------------------------------------------- */

CiCheckpointFormat
ci_checkpoint_get_format (const CiCheckpoint * checkpoint)
{
  return checkpoint->format;
}

gboolean
ci_checkpoint_lookup (const CiCheckpoint * checkpoint, const gchar * name,
    CiTensor * out)
{
  const CiNamedTensor *tensor;

  if (checkpoint->safetensors)
    return ci_safetensors_lookup (checkpoint->safetensors, name, out);
  tensor = ci_names_find (checkpoint->tensors, name);
  if (!tensor || !tensor->view.data)
    return FALSE;
  *out = tensor->view;
  return TRUE;
}

gchar *
ci_checkpoint_describe (const CiCheckpoint * checkpoint, const gchar * name)
{
  const CiNamedTensor *tensor;

  if (checkpoint->safetensors)
    return ci_safetensors_describe (checkpoint->safetensors, name);
  tensor = ci_names_find (checkpoint->tensors, name);
  return tensor ? ci_named_tensor_describe (tensor) : NULL;
}

const gchar *const *
ci_checkpoint_get_names (const CiCheckpoint * checkpoint)
{
  if (checkpoint->safetensors)
    return ci_safetensors_get_names (checkpoint->safetensors);
  return (const gchar * const *) checkpoint->names->pdata;
}

const gchar *
ci_checkpoint_get_metadata (const CiCheckpoint * checkpoint,
    const gchar * key)
{
  return checkpoint->safetensors ?
      ci_safetensors_get_metadata (checkpoint->safetensors, key) : NULL;
}
