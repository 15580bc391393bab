/*
 * What the pickle machine can construct: torch's tensors (torch/_utils.py,
 * torch/serialization.py), numpy's arrays (numpy/core/src/multiarray/
 * methods.c), and the containers around them. Each is a description here; no
 * code comes from the file, and no name in it is ever looked up elsewhere.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pickle_priv.h"

#include <string.h>

/* numpy's own limit */
#define MAX_RANK 64

typedef enum
{
  GLOBAL_REFUSED,               /* known, but argument says why not */
  GLOBAL_TYPE,                  /* a factory of defaultdict */
  GLOBAL_DICT,                  /* a dict without arguments */
  GLOBAL_DEFAULTDICT,
  GLOBAL_SAME,                  /* its only argument: Counter, set, Size */
  GLOBAL_OTHER,                 /* nothing that matters */
  GLOBAL_BYTES,                 /* of nothing, bytes, or string and encoding */
  GLOBAL_STORAGE,               /* argument: its dtype */
  GLOBAL_TORCH_DTYPE,           /* argument: the same, or NULL */
  GLOBAL_TENSOR,
  GLOBAL_PARAMETER,
  GLOBAL_NDARRAY,
  GLOBAL_RECONSTRUCT,
  GLOBAL_FROM_BUFFER,
  GLOBAL_SCALAR,
  GLOBAL_DTYPE,
} GlobalType;

struct _CiGlobal
{
  const gchar *module, *name;
  GlobalType type;
  const gchar *argument;
};

#define MULTIARRAY(module) \
  {module, "_reconstruct", GLOBAL_RECONSTRUCT}, \
  {module, "scalar", GLOBAL_SCALAR}
#define BUILTINS(module) \
  {module, "bytearray", GLOBAL_BYTES}, \
  {module, "bytes", GLOBAL_BYTES}, \
  {module, "dict", GLOBAL_TYPE}, \
  {module, "float", GLOBAL_TYPE}, \
  {module, "frozenset", GLOBAL_SAME}, \
  {module, "int", GLOBAL_TYPE}, \
  {module, "list", GLOBAL_TYPE}, \
  {module, "set", GLOBAL_SAME}

static const CiGlobal globals[] = {
  {"torch._utils", "_rebuild_tensor_v2", GLOBAL_TENSOR},
  {"torch._utils", "_rebuild_tensor_v3", GLOBAL_TENSOR},
  {"torch._utils", "_rebuild_tensor", GLOBAL_TENSOR},
  {"torch._utils", "_rebuild_parameter", GLOBAL_PARAMETER},
  {"torch._utils", "_rebuild_parameter_with_state", GLOBAL_PARAMETER},
  {"torch", "FloatStorage", GLOBAL_STORAGE, "F32"},
  {"torch", "LongStorage", GLOBAL_STORAGE, "I64"},
  {"torch", "HalfStorage", GLOBAL_STORAGE, "F16"},
  {"torch", "BFloat16Storage", GLOBAL_STORAGE, "BF16"},
  {"torch", "DoubleStorage", GLOBAL_STORAGE, "F64"},
  {"torch", "IntStorage", GLOBAL_STORAGE, "I32"},
  {"torch", "ShortStorage", GLOBAL_STORAGE, "I16"},
  {"torch", "CharStorage", GLOBAL_STORAGE, "I8"},
  {"torch", "ByteStorage", GLOBAL_STORAGE, "U8"},
  {"torch", "BoolStorage", GLOBAL_STORAGE, "BOOL"},
  {"torch", "ComplexFloatStorage", GLOBAL_STORAGE, "C64"},
  {"torch", "ComplexDoubleStorage", GLOBAL_STORAGE, "C128"},
  {"torch.storage", "UntypedStorage", GLOBAL_STORAGE, "U8"},
  {"torch", "float32", GLOBAL_TORCH_DTYPE, "F32"},
  {"torch", "float16", GLOBAL_TORCH_DTYPE, "F16"},
  {"torch", "bfloat16", GLOBAL_TORCH_DTYPE, "BF16"},
  {"torch", "float64", GLOBAL_TORCH_DTYPE, "F64"},
  {"torch", "int64", GLOBAL_TORCH_DTYPE, "I64"},
  {"torch", "int32", GLOBAL_TORCH_DTYPE, "I32"},
  {"torch", "int16", GLOBAL_TORCH_DTYPE, "I16"},
  {"torch", "int8", GLOBAL_TORCH_DTYPE, "I8"},
  {"torch", "uint8", GLOBAL_TORCH_DTYPE, "U8"},
  {"torch", "uint16", GLOBAL_TORCH_DTYPE, "U16"},
  {"torch", "uint32", GLOBAL_TORCH_DTYPE, "U32"},
  {"torch", "uint64", GLOBAL_TORCH_DTYPE, "U64"},
  {"torch", "bool", GLOBAL_TORCH_DTYPE, "BOOL"},
  {"torch", "float8_e4m3fn", GLOBAL_TORCH_DTYPE, "F8_E4M3"},
  {"torch", "float8_e5m2", GLOBAL_TORCH_DTYPE, "F8_E5M2"},
  {"torch", "Size", GLOBAL_SAME},
  {"torch", "device", GLOBAL_OTHER},
  {"torch.storage", "_load_from_bytes", GLOBAL_REFUSED,
      "it is a tensor that was pickled by itself; save with torch.save"},
  {"collections", "OrderedDict", GLOBAL_DICT},
  {"collections", "Counter", GLOBAL_SAME},
  {"collections", "defaultdict", GLOBAL_DEFAULTDICT},
  {"numpy", "ndarray", GLOBAL_NDARRAY},
  {"numpy", "dtype", GLOBAL_DTYPE},
  MULTIARRAY ("numpy.core.multiarray"),
  MULTIARRAY ("numpy._core.multiarray"),
  {"numpy.core.numeric", "_frombuffer", GLOBAL_FROM_BUFFER},
  {"numpy._core.numeric", "_frombuffer", GLOBAL_FROM_BUFFER},
  {"_codecs", "encode", GLOBAL_BYTES},
  BUILTINS ("builtins"),
  BUILTINS ("__builtin__"),
};

static gboolean
equals (const gchar * string, const gchar * text, gsize size)
{
  return strlen (string) == size && memcmp (string, text, size) == 0;
}

static gchar *
escape (const gchar * text, gsize size)
{
  g_autofree gchar *part = g_strndup (text, MIN (size, 100));

  return g_strescape (part, NULL);
}

const CiGlobal *
ci_pickle_find_global (CiPickle * pickle, const gchar * module,
    gsize module_size, const gchar * name, gsize name_size)
{
  g_autofree gchar *shown_module = NULL;
  g_autofree gchar *shown_name = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (globals); i++)
    if (equals (globals[i].name, name, name_size)
        && equals (globals[i].module, module, module_size)) {
      if (globals[i].type != GLOBAL_REFUSED)
        return &globals[i];
      return ci_pickle_fail (pickle, CI_ERROR_UNSUPPORTED,
          "\"%s.%s\" is refused: %s", globals[i].module, globals[i].name,
          globals[i].argument);
    }
  shown_module = escape (module, module_size);
  shown_name = escape (name, name_size);
  return ci_pickle_fail (pickle, CI_ERROR_UNSUPPORTED,
      "\"%s.%s\" is refused: only what a state dict needs is known, and "
      "nothing is ever executed; save the state dict alone", shown_module,
      shown_name);
}

/* ---- arguments -------------------------------------------------------- */

#define END G_MAXINT            /* of a list of kinds */
#define ANY (-1)

/* Strings of Python 2 arrive as bytes. */
static gboolean
fits (const CiObject * object, gint kind)
{
  return kind == ANY || (gint) object->kind == kind
      || (kind == CI_OBJECT_STRING && object->kind == CI_OBJECT_BYTES);
}

/* Whether the items of @tuple have these kinds; more may follow. */
static gboolean
check_items (CiPickle * pickle, const gchar * what, const CiObject * tuple,
    const gint * kinds)
{
  for (guint i = 0; kinds[i] != END; i++) {
    if (i == tuple->u.list.n) {
      ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
          "%s: expected more than %u values", what, i);
      return FALSE;
    }
    if (!fits (tuple->u.list.items[i], kinds[i])) {
      ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
          "%s: expected %s as value %u, found %s", what,
          ci_object_kind_name (kinds[i]), i,
          ci_object_kind_name (tuple->u.list.items[i]->kind));
      return FALSE;
    }
  }
  return TRUE;
}

/* Sizes or strides. */
static gboolean
check_sizes (CiPickle * pickle, const gchar * what, const CiObject * sizes)
{
  if (sizes->u.list.n > MAX_RANK) {
    ci_pickle_fail (pickle, CI_ERROR_UNSUPPORTED,
        "%s: %u dimensions, at most %d are possible", what, sizes->u.list.n,
        MAX_RANK);
    return FALSE;
  }
  for (guint i = 0; i < sizes->u.list.n; i++) {
    const CiObject *size = sizes->u.list.items[i];

    if (size->kind != CI_OBJECT_INT) {
      ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
          "%s: expected ints, found %s", what,
          ci_object_kind_name (size->kind));
      return FALSE;
    }
    if (size->u.integer < 0) {
      ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
          "%s: negative value %" G_GINT64_FORMAT, what, size->u.integer);
      return FALSE;
    }
  }
  return TRUE;
}

/* ---- bytes ------------------------------------------------------------ */

/* Protocol 2 has no bytes: Python 3 writes them as a string in UTF-8 of
 * characters up to 255, with the encoding that gives them back. */
static CiObject *
decode_latin1 (CiPickle * pickle, const CiObject * string)
{
  CiObject *bytes = ci_pickle_new_object (pickle, CI_OBJECT_BYTES);
  const guint8 *src = (const guint8 *) string->u.text.data;
  gsize size = string->u.text.size, n = 0;
  guint8 *dst, bad = 0;

  /* A memorised string might be decoded again and again. */
  if (size > pickle->size - pickle->cost->decoded_bytes)
    return ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
        "encoded strings take more than the file's %" G_GSIZE_FORMAT " bytes",
        pickle->size);
  pickle->cost->decoded_bytes += size;
  dst = g_try_malloc (MAX (size, 1));
  if (!dst)
    return ci_pickle_fail (pickle, CI_ERROR_OUT_OF_MEMORY,
        "no memory for %" G_GSIZE_FORMAT " bytes", size);
  g_ptr_array_add (pickle->decoded, dst);
  /* Which bytes begin a pair is as random as the weights: no branches. */
  for (gsize i = 0; i < size; n++) {
    guint8 first = src[i], next = i + 1 < size ? src[i + 1] : 0;
    guint8 wide = first >> 7;

    bad |= wide & (((first & 0xfe) != 0xc2) | ((next & 0xc0) != 0x80));
    dst[n] = wide ? (guint8) (first << 6) | (next & 0x3f) : first;
    i += 1 + wide;
  }
  if (bad)
    return ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
        "expected a string of characters up to 255, found others");
  bytes->u.text.data = (const gchar *) dst;
  bytes->u.text.size = n;
  return bytes;
}

static CiObject *
make_bytes (CiPickle * pickle, const CiGlobal * global, const CiObject * args)
{
  static const gint kinds[] = { CI_OBJECT_STRING, CI_OBJECT_STRING, END };
  CiObject **items = args->u.list.items;
  guint n = args->u.list.n;

  if (n == 0)
    return ci_pickle_new_object (pickle, CI_OBJECT_BYTES);
  if (n == 1 && items[0]->kind == CI_OBJECT_BYTES)
    return items[0];
  if (!check_items (pickle, global->name, args, kinds))
    return NULL;
  if (!ci_object_equals (items[1], "latin1")
      && !ci_object_equals (items[1], "latin-1")) {
    g_autofree gchar *found = escape (items[1]->u.text.data,
        items[1]->u.text.size);

    return ci_pickle_fail (pickle, CI_ERROR_UNSUPPORTED,
        "%s: expected the encoding latin1, found \"%s\"", global->name, found);
  }
  return decode_latin1 (pickle, items[0]);
}

/* ---- torch ------------------------------------------------------------ */

/* ("storage", type, key, location, number of elements); the old container adds
 * None or (key of the view, offset, number of elements). Where a storage was is
 * of no interest. */
CiObject *
ci_pickle_persistent (CiPickle * pickle, const CiObject * id)
{
  static const gint kinds[] = { CI_OBJECT_STRING, CI_OBJECT_GLOBAL,
    CI_OBJECT_STRING, CI_OBJECT_STRING, CI_OBJECT_INT, END
  };
  static const gint view_kinds[] = { CI_OBJECT_STRING, CI_OBJECT_INT,
    CI_OBJECT_INT, END
  };
  CiObject *storage;
  CiObject **items;

  if (!pickle->allow_storages)
    return ci_pickle_fail (pickle, CI_ERROR_UNSUPPORTED,
        "refers to something outside the pickle, which only the containers of "
        "torch.save have");
  if (id->kind != CI_OBJECT_TUPLE)
    return ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
        "expected a tuple that describes a storage, found %s",
        ci_object_kind_name (id->kind));
  items = id->u.list.items;
  if (id->u.list.n > 0 && ci_object_equals (items[0], "module"))
    return ci_pickle_fail (pickle, CI_ERROR_UNSUPPORTED,
        "the file holds a whole pickled module, not a state dict");
  if (!check_items (pickle, "storage", id, kinds))
    return NULL;
  if (pickle->storages->len == CI_MAX_NAMES)
    return ci_pickle_fail (pickle, CI_ERROR_UNSUPPORTED,
        "more than %d tensors", CI_MAX_NAMES);
  if (!ci_object_equals (items[0], "storage")
      || items[1]->u.global->type != GLOBAL_STORAGE)
    return ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
        "expected \"storage\" and its type, found something else");
  if (items[4]->u.integer < 0)
    return ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
        "a storage of %" G_GINT64_FORMAT " elements", items[4]->u.integer);

  storage = ci_pickle_new_object (pickle, CI_OBJECT_STORAGE);
  storage->u.storage.key = items[2];
  storage->u.storage.dtype = ci_file_dtype_find (items[1]->u.global->argument);
  storage->u.storage.n_elements = items[4]->u.integer;
  if (id->u.list.n > 5 && items[5]->kind != CI_OBJECT_NONE) {
    const CiObject *view = items[5];

    if (view->kind != CI_OBJECT_TUPLE)
      return ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
          "expected a tuple that describes a view of a storage, found %s",
          ci_object_kind_name (view->kind));
    if (!check_items (pickle, "view", view, view_kinds))
      return NULL;
    items = view->u.list.items;
    if (items[1]->u.integer < 0 || items[2]->u.integer < 0
        || items[1]->u.integer > storage->u.storage.n_elements
        || items[2]->u.integer >
        storage->u.storage.n_elements - items[1]->u.integer)
      return ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
          "a view of %" G_GINT64_FORMAT " elements from %" G_GINT64_FORMAT
          " on, but the storage has %" G_GINT64_FORMAT, items[2]->u.integer,
          items[1]->u.integer, storage->u.storage.n_elements);
    storage->u.storage.view = view;
  }
  g_ptr_array_add (pickle->storages, storage);
  return storage;
}

/* Whether offset, sizes and strides stay inside the storage. */
static gboolean
check_extent (CiPickle * pickle, const CiObject * tensor)
{
  const CiObject *storage = tensor->u.tensor.storage;
  const CiObject *view = storage->u.storage.view;
  CiObject **sizes = tensor->u.tensor.sizes->u.list.items;
  CiObject **strides = tensor->u.tensor.strides->u.list.items;
  guint n_dims = tensor->u.tensor.sizes->u.list.n;
  guint64 available = view ? view->u.list.items[2]->u.integer :
      storage->u.storage.n_elements;
  guint64 needed = (guint64) tensor->u.tensor.offset + 1, step;
  gboolean ok = TRUE;

  for (guint i = 0; i < n_dims; i++)
    if (sizes[i]->u.integer == 0)
      return TRUE;
  for (guint i = 0; ok && i < n_dims; i++)
    ok = g_uint64_checked_mul (&step, sizes[i]->u.integer - 1,
        strides[i]->u.integer)
        && g_uint64_checked_add (&needed, needed, step);
  ok = ok
      && g_uint64_checked_mul (&needed, needed, tensor->u.tensor.dtype->size)
      && g_uint64_checked_mul (&available, available,
      storage->u.storage.dtype->size);
  if (!ok || needed > available) {
    ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
        "a tensor at element %" G_GINT64_FORMAT " of its storage reaches past "
        "the storage's %" G_GINT64_FORMAT " elements", tensor->u.tensor.offset,
        view ? view->u.list.items[2]->u.integer :
        storage->u.storage.n_elements);
    return FALSE;
  }
  return TRUE;
}

/* _rebuild_tensor (storage, offset, sizes, strides); v2 adds requires_grad,
 * hooks and perhaps metadata; v3 puts the dtype before the metadata. */
static CiObject *
make_tensor (CiPickle * pickle, const CiGlobal * global, const CiObject * args)
{
  static const gint kinds[] = { CI_OBJECT_STORAGE, CI_OBJECT_INT,
    CI_OBJECT_TUPLE, CI_OBJECT_TUPLE, END
  };
  static const gint v3_kinds[] = { ANY, ANY, ANY, ANY, ANY, ANY,
    CI_OBJECT_GLOBAL, END
  };
  gboolean v3 = g_str_has_suffix (global->name, "_v3");
  CiObject **items = args->u.list.items;
  guint n = args->u.list.n, metadata = v3 ? 7 : 6;
  CiObject *tensor;

  if (!check_items (pickle, global->name, args, kinds)
      || !check_sizes (pickle, "sizes", items[2])
      || !check_sizes (pickle, "strides", items[3]))
    return NULL;
  if (items[1]->u.integer < 0
      || items[2]->u.list.n != items[3]->u.list.n)
    return ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
        "a tensor at offset %" G_GINT64_FORMAT " with %u sizes and %u strides",
        items[1]->u.integer, items[2]->u.list.n, items[3]->u.list.n);
  /* Its only uses: conjugated and negated views, of complex numbers */
  if (n > metadata && items[metadata]->kind == CI_OBJECT_DICT
      && items[metadata]->u.list.n)
    return ci_pickle_fail (pickle, CI_ERROR_UNSUPPORTED,
        "a tensor that is a conjugated or negated view");
  tensor = ci_pickle_new_object (pickle, CI_OBJECT_TENSOR);
  tensor->u.tensor.storage = items[0];
  tensor->u.tensor.offset = items[1]->u.integer;
  tensor->u.tensor.sizes = items[2];
  tensor->u.tensor.strides = items[3];
  tensor->u.tensor.dtype = items[0]->u.storage.dtype;
  if (v3) {
    if (!check_items (pickle, global->name, args, v3_kinds))
      return NULL;
    if (items[6]->u.global->type != GLOBAL_TORCH_DTYPE)
      return ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
          "expected a dtype, found \"%s\"", items[6]->u.global->name);
    tensor->u.tensor.dtype =
        ci_file_dtype_find (items[6]->u.global->argument);
  }
  return check_extent (pickle, tensor) ? tensor : NULL;
}

/* ---- numpy ------------------------------------------------------------ */

/* dtype ("f4", False, True) */
static CiObject *
make_dtype (CiPickle * pickle, const CiGlobal * global, const CiObject * args)
{
  static const gint kinds[] = { ANY, END };
  static const gchar *const names[][2] = {
    {"f4", "F32"}, {"f8", "F64"}, {"f2", "F16"}, {"i8", "I64"}, {"i4", "I32"},
    {"i2", "I16"}, {"i1", "I8"}, {"u8", "U64"}, {"u4", "U32"}, {"u2", "U16"},
    {"u1", "U8"}, {"b1", "BOOL"}, {"c8", "C64"}, {"c16", "C128"},
  };
  CiObject *dtype;

  if (!check_items (pickle, global->name, args, kinds))
    return NULL;
  dtype = ci_pickle_new_object (pickle, CI_OBJECT_DTYPE);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (ci_object_equals (args->u.list.items[0], names[i][0]))
      dtype->u.dtype.dtype = ci_file_dtype_find (names[i][1]);
  return dtype;
}

/* (version, byte order, ...) */
static gboolean
build_dtype (CiPickle * pickle, CiObject * dtype, const CiObject * state)
{
  static const gint kinds[] = { CI_OBJECT_INT, ANY, END };

  if (!check_items (pickle, "dtype", state, kinds))
    return FALSE;
  dtype->u.dtype.swap = ci_object_equals (state->u.list.items[1], ">");
  return TRUE;
}

static CiObject *
fill_array (CiPickle * pickle, CiObject * array, const CiObject * sizes,
    const CiObject * dtype, const CiObject * data, gboolean fortran)
{
  guint64 needed;

  if (!check_sizes (pickle, "shape", sizes))
    return NULL;
  array->u.array.dtype = dtype->u.dtype.dtype;
  array->u.array.swap = dtype->u.dtype.swap;
  array->u.array.sizes = sizes;
  array->u.array.axes = NULL;   /* it may have had other contents */
  array->u.array.fortran = fortran;
  if (!array->u.array.dtype)
    return array;
  if (data->kind != CI_OBJECT_BYTES)
    return ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
        "expected the bytes of an array, found %s",
        ci_object_kind_name (data->kind));
  needed = array->u.array.dtype->size;
  for (guint i = 0; i < sizes->u.list.n; i++)
    if (!g_uint64_checked_mul (&needed, needed,
            sizes->u.list.items[i]->u.integer))
      return ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
          "the product of an array's shape overflows 64 bits");
  if (needed != data->u.text.size)
    return ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
        "an array of %" G_GUINT64_FORMAT " bytes, found %" G_GSIZE_FORMAT,
        needed, data->u.text.size);
  array->u.array.data = data;
  return array;
}

/* (version, shape, dtype, is it in Fortran's order, data) */
static gboolean
build_array (CiPickle * pickle, CiObject * array, const CiObject * state)
{
  static const gint kinds[] = { CI_OBJECT_INT, CI_OBJECT_TUPLE,
    CI_OBJECT_DTYPE, CI_OBJECT_BOOL, ANY, END
  };
  CiObject **items = state->u.list.items;

  return check_items (pickle, "ndarray", state, kinds)
      && fill_array (pickle, array, items[1], items[2], items[4],
      items[3]->u.integer != 0);
}

/* Dimension i of @array is number axes[i] of those in which its data lies. Its
 * sizes in that order would take more memory than an opcode may. */
static gboolean
permute (CiPickle * pickle, CiObject * array, const CiObject * axes)
{
  guint n = array->u.array.sizes->u.list.n;
  guint64 seen = 0;

  if (!check_sizes (pickle, "axes", axes))
    return FALSE;
  for (guint i = 0; i < n && axes->u.list.n == n; i++) {
    gint64 axis = axes->u.list.items[i]->u.integer;

    if (axis >= n || (seen & G_GUINT64_CONSTANT (1) << axis))
      break;
    seen |= G_GUINT64_CONSTANT (1) << axis;
  }
  if (axes->u.list.n != n || (n && seen != G_MAXUINT64 >> (64 - n))) {
    ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
        "the axes of an array are no permutation of its %u dimensions", n);
    return FALSE;
  }
  array->u.array.axes = axes;
  return TRUE;
}

/* _frombuffer (data, dtype, shape, "C" or "F"), or since numpy 2 (data, dtype,
 * shape of the data, "K", axes) */
static CiObject *
make_from_buffer (CiPickle * pickle, const CiGlobal * global,
    const CiObject * args)
{
  static const gint kinds[] = { CI_OBJECT_BYTES, CI_OBJECT_DTYPE,
    CI_OBJECT_TUPLE, CI_OBJECT_STRING, END
  };
  CiObject **items = args->u.list.items;
  gboolean fortran, keep;
  CiObject *array;

  if (!check_items (pickle, global->name, args, kinds))
    return NULL;
  fortran = ci_object_equals (items[3], "F");
  keep = ci_object_equals (items[3], "K") && args->u.list.n > 4
      && items[4]->kind == CI_OBJECT_TUPLE;
  if (!fortran && !keep && !ci_object_equals (items[3], "C"))
    return ci_pickle_fail (pickle, CI_ERROR_UNSUPPORTED,
        "expected an array in the order C, F or K with its axes");
  array = fill_array (pickle, ci_pickle_new_object (pickle, CI_OBJECT_ARRAY),
      items[2], items[1], items[0], fortran);
  return array && (!keep || permute (pickle, array, items[4])) ? array : NULL;
}

/* scalar (dtype, data) */
static CiObject *
make_scalar (CiPickle * pickle, const CiGlobal * global, const CiObject * args)
{
  static const gint kinds[] = { CI_OBJECT_DTYPE, ANY, END };

  if (!check_items (pickle, global->name, args, kinds))
    return NULL;
  return fill_array (pickle, ci_pickle_new_object (pickle, CI_OBJECT_ARRAY),
      ci_pickle_new_object (pickle, CI_OBJECT_TUPLE), args->u.list.items[0],
      args->u.list.items[1], FALSE);
}

/* ---- entry points ----------------------------------------------------- */

CiObject *
ci_pickle_reduce (CiPickle * pickle, const CiObject * function,
    const CiObject * args)
{
  static const gint one[] = { ANY, END };
  static const gint parameter[] = { CI_OBJECT_TENSOR, END };
  static const gint reconstruct[] = { CI_OBJECT_GLOBAL, ANY, ANY, END };
  const CiGlobal *global = function->u.global;
  CiObject **items = args->u.list.items;

  switch (global->type) {
    case GLOBAL_DICT:
      if (args->u.list.n)
        return ci_pickle_fail (pickle, CI_ERROR_UNSUPPORTED,
            "%s: expected no arguments, found %u", global->name,
            args->u.list.n);
      /* FALLTHROUGH */
    case GLOBAL_DEFAULTDICT:
      return ci_pickle_new_object (pickle, CI_OBJECT_DICT);
    case GLOBAL_SAME:
      return check_items (pickle, global->name, args, one) ? items[0] : NULL;
    case GLOBAL_OTHER:
      return ci_pickle_new_object (pickle, CI_OBJECT_OTHER);
    case GLOBAL_BYTES:
      return make_bytes (pickle, global, args);
    case GLOBAL_TENSOR:
      return make_tensor (pickle, global, args);
    case GLOBAL_PARAMETER:
      return check_items (pickle, global->name, args, parameter) ?
          items[0] : NULL;
    case GLOBAL_RECONSTRUCT:
      if (!check_items (pickle, global->name, args, reconstruct))
        return NULL;
      if (items[0]->u.global->type != GLOBAL_NDARRAY)
        return ci_pickle_fail (pickle, CI_ERROR_UNSUPPORTED,
            "expected numpy.ndarray, found \"%s.%s\"",
            items[0]->u.global->module, items[0]->u.global->name);
      return ci_pickle_new_object (pickle, CI_OBJECT_ARRAY);
    case GLOBAL_FROM_BUFFER:
      return make_from_buffer (pickle, global, args);
    case GLOBAL_SCALAR:
      return make_scalar (pickle, global, args);
    case GLOBAL_DTYPE:
      return make_dtype (pickle, global, args);
    default:
      return ci_pickle_fail (pickle, CI_ERROR_UNSUPPORTED,
          "\"%s.%s\" is called, which no state dict needs", global->module,
          global->name);
  }
}

gboolean
ci_pickle_build (CiPickle * pickle, CiObject * object, const CiObject * state)
{
  if (object->kind == CI_OBJECT_DICT && state->kind == CI_OBJECT_DICT) {
    object->u.list.state = state;
    return TRUE;
  }
  if (object->kind == CI_OBJECT_ARRAY && state->kind == CI_OBJECT_TUPLE)
    return build_array (pickle, object, state);
  if (object->kind == CI_OBJECT_DTYPE && state->kind == CI_OBJECT_TUPLE)
    return build_dtype (pickle, object, state);
  ci_pickle_fail (pickle, CI_ERROR_UNSUPPORTED, "%s gets the state of %s",
      ci_object_kind_name (state->kind), ci_object_kind_name (object->kind));
  return FALSE;
}
