/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tensors.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib/gstdio.h>

#if G_BYTE_ORDER != G_LITTLE_ENDIAN
#error "views into model files need a little-endian machine"
#endif

const CiFileDType *
ci_file_dtype_find (const gchar * name)
{
  static const CiFileDType dtypes[] = {
    {"F64", 8, CI_VIEW_DIRECT, CI_DTYPE_F64},
    {"F32", 4, CI_VIEW_DIRECT, CI_DTYPE_F32},
    {"F16", 2, CI_VIEW_DIRECT, CI_DTYPE_F16},
    {"BF16", 2, CI_VIEW_WIDENED, CI_DTYPE_F32},
    {"I64", 8, CI_VIEW_DIRECT, CI_DTYPE_I64},
    {"I32", 4, CI_VIEW_DIRECT, CI_DTYPE_I32},
    {"I16", 2, CI_VIEW_WIDENED, CI_DTYPE_I32},
    {"I8", 1, CI_VIEW_WIDENED, CI_DTYPE_I32},
    {"U8", 1, CI_VIEW_DIRECT, CI_DTYPE_U8},
    {"BOOL", 1, CI_VIEW_DIRECT, CI_DTYPE_U8},
    {"U16", 2, CI_VIEW_NONE},
    {"U32", 4, CI_VIEW_NONE},
    {"U64", 8, CI_VIEW_NONE},
    {"F8_E4M3", 1, CI_VIEW_NONE},
    {"F8_E5M2", 1, CI_VIEW_NONE},
    {"C64", 8, CI_VIEW_NONE},
    {"C128", 16, CI_VIEW_NONE},
  };

  for (guint i = 0; i < G_N_ELEMENTS (dtypes); i++)
    if (g_str_equal (dtypes[i].name, name))
      return &dtypes[i];
  return NULL;
}

/* ---- one tensor ------------------------------------------------------- */

static gchar *
describe_shape (const gchar * dtype, gint n_dims, const gint64 * dims)
{
  GString *text = g_string_new (dtype);

  for (gint i = 0; i < MIN (n_dims, CI_MAX_DIMS); i++)
    g_string_append_printf (text, "%c%" G_GINT64_FORMAT, i ? 'x' : ' ',
        dims[i]);
  if (n_dims > CI_MAX_DIMS)
    g_string_append_printf (text, "x... (%d dimensions)", n_dims);
  return g_string_free (text, FALSE);
}

gchar *
ci_tensor_describe (const CiTensor * tensor)
{
  return describe_shape (ci_dtype_name (tensor->dtype), tensor->n_dims,
      tensor->dims);
}

gchar *
ci_named_tensor_describe (const CiNamedTensor * tensor)
{
  return describe_shape (tensor->dtype->name, tensor->n_dims,
      tensor->view.dims);
}

void
ci_named_tensor_clear (CiNamedTensor * tensor)
{
  g_clear_pointer (&tensor->name, g_free);
  g_clear_pointer (&tensor->copy, g_free);
}

static gboolean
has_view (const CiNamedTensor * tensor)
{
  return tensor->dtype->view != CI_VIEW_NONE
      && tensor->n_dims <= CI_MAX_DIMS;
}

static gboolean
is_dense (const CiNamedTensor * tensor, const CiTensorSource * source)
{
  guint64 expected = 1;

  if (!source->strides || tensor->n_elements == 0)
    return TRUE;
  for (gint i = tensor->n_dims - 1; i >= 0; i--) {
    if (tensor->view.dims[i] != 1
        && (guint64) source->strides[i] != expected)
      return FALSE;
    expected *= tensor->view.dims[i];
  }
  return TRUE;
}

static gboolean
is_widened (const CiNamedTensor * tensor, const CiTensorSource * source)
{
  return tensor->dtype->view == CI_VIEW_WIDENED
      || (source->widen && tensor->dtype->dtype == CI_DTYPE_F16);
}

static CiDType
get_view_dtype (const CiNamedTensor * tensor, const CiTensorSource * source)
{
  return is_widened (tensor, source) && tensor->dtype->dtype == CI_DTYPE_F16 ?
      CI_DTYPE_F32 : tensor->dtype->dtype;
}

static gboolean
needs_copy (const CiNamedTensor * tensor, const CiTensorSource * source)
{
  return source->copy || source->swap || !is_dense (tensor, source)
      || is_widened (tensor, source)
      || (guintptr) source->data % tensor->dtype->size != 0;
}

guint64
ci_named_tensor_copy_size (const CiNamedTensor * tensor,
    const CiTensorSource * source)
{
  guint64 size;

  if (!has_view (tensor) || !needs_copy (tensor, source))
    return 0;
  if (!g_uint64_checked_mul (&size, tensor->n_elements,
          ci_dtype_size (get_view_dtype (tensor, source))))
    return G_MAXUINT64;
  return size;
}

/* Elements in row-major order, whatever their strides. */
static void
gather (guint8 * dst, const CiNamedTensor * tensor,
    const CiTensorSource * source)
{
  gint last = tensor->n_dims - 1;
  gsize size = tensor->dtype->size;
  gint64 index[CI_MAX_DIMS] = { 0 };
  gint64 n, step;
  const guint8 *row = source->data;

  if (is_dense (tensor, source)) {
    if (tensor->n_elements)
      memcpy (dst, source->data, tensor->n_elements * size);
    return;
  }
  /* not dense, so it has dimensions and elements */
  n = tensor->view.dims[last];
  step = source->strides[last] * size;
  for (;;) {
    gint k = last - 1;

    if (size == 4)
      for (gint64 i = 0; i < n; i++, dst += 4)
        memcpy (dst, row + i * step, 4);
    else
      for (gint64 i = 0; i < n; i++, dst += size)
        memcpy (dst, row + i * step, size);
    while (k >= 0 && ++index[k] == tensor->view.dims[k]) {
      row -= (index[k] - 1) * source->strides[k] * size;
      index[k--] = 0;
    }
    if (k < 0)
      return;
    row += source->strides[k] * size;
  }
}

static void
swap_bytes (guint8 * data, gsize n, gsize size)
{
  for (gsize i = 0; i < n; i++, data += size)
    for (gsize k = 0; k < size / 2; k++) {
      guint8 byte = data[k];

      data[k] = data[size - 1 - k];
      data[size - 1 - k] = byte;
    }
}

gfloat
ci_half_to_float (guint16 half)
{
  gint exponent = half >> 10 & 31, mantissa = half & 1023;
  gfloat value;

  if (exponent == 31)
    value = mantissa ? NAN : INFINITY;
  else if (exponent)
    value = ldexpf (mantissa + 1024, exponent - 25);
  else
    value = ldexpf (mantissa, -24);
  return half & 0x8000 ? -value : value;
}

/* In place: the narrow values lie at the end of the wide ones' memory, and
 * those are written from the front, so none is overwritten before its turn. */
static void
widen (guint8 * dst, const guint8 * src, gsize n, const CiFileDType * dtype)
{
  for (gsize i = 0; i < n; i++) {
    guint32 bits;
    gfloat value;

    if (dtype->dtype == CI_DTYPE_F16) {
      value = ci_half_to_float (src[2 * i] | src[2 * i + 1] << 8);
      memcpy (&bits, &value, sizeof bits);
    } else if (dtype->size == 1) {
      bits = (guint32) (gint8) src[i];
    } else if (dtype->dtype == CI_DTYPE_I32) {
      bits = (guint32) (gint16) (src[2 * i] | src[2 * i + 1] << 8);
    } else {
      bits = (guint32) (src[2 * i] | src[2 * i + 1] << 8) << 16;
    }
    memcpy (dst + 4 * i, &bits, sizeof bits);
  }
}

gboolean
ci_named_tensor_show (CiNamedTensor * tensor, const CiTensorSource * source,
    GError ** error)
{
  guint64 n = tensor->n_elements;
  guint64 size = ci_named_tensor_copy_size (tensor, source);
  guint8 *narrow;

  if (!has_view (tensor))
    return TRUE;
  tensor->view.dtype = get_view_dtype (tensor, source);
  tensor->view.n_dims = tensor->n_dims;
  tensor->view.data = source->data;
  if (!needs_copy (tensor, source))
    return TRUE;

  tensor->copy = size <= G_MAXSIZE ? g_try_malloc (MAX (size, 1)) : NULL;
  if (!tensor->copy) {
    tensor->view.data = NULL;
    g_set_error (error, CI_ERROR, CI_ERROR_OUT_OF_MEMORY,
        "tensor \"%.100s\": no memory for %" G_GUINT64_FORMAT " elements",
        tensor->name, n);
    return FALSE;
  }
  narrow = (guint8 *) tensor->copy + size - n * tensor->dtype->size;
  gather (narrow, tensor, source);
  if (source->swap)
    swap_bytes (narrow, n, tensor->dtype->size);
  if (is_widened (tensor, source))
    widen (tensor->copy, narrow, n, tensor->dtype);
  tensor->view.data = tensor->copy;
  return TRUE;
}

/* ---- by name ---------------------------------------------------------- */

static const gchar *
get_name (gconstpointer item)
{
  return *(gchar * const *) item;
}

static gint
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (get_name (*(gconstpointer *) a),
      get_name (*(gconstpointer *) b));
}

gboolean
ci_names_sort (GPtrArray * items, const gchar * what, GError ** error)
{
  g_ptr_array_sort (items, compare_names);
  for (guint i = 1; i < items->len; i++)
    if (compare_names (&items->pdata[i - 1], &items->pdata[i]) == 0) {
      g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
          "%s \"%.100s\" comes twice", what, get_name (items->pdata[i]));
      return FALSE;
    }
  return TRUE;
}

gpointer
ci_names_find (const GPtrArray * items, const gchar * name)
{
  guint begin = 0, end = items->len;

  while (begin < end) {
    guint middle = begin + (end - begin) / 2;
    gint order = strcmp (name, get_name (items->pdata[middle]));

    if (order == 0)
      return items->pdata[middle];
    if (order < 0)
      end = middle;
    else
      begin = middle + 1;
  }
  return NULL;
}

/* ---- files ------------------------------------------------------------ */

GMappedFile *
ci_map_file (const gchar * path, GError ** error)
{
  GMappedFile *map = NULL;
  struct stat info;
  /* O_NONBLOCK: opening a pipe would wait for its writer */
  gint fd = g_open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);

  if (fd < 0 || fstat (fd, &info) != 0)
    g_set_error (error, CI_ERROR, CI_ERROR_IO, "%s: cannot be opened: %s",
        path, g_strerror (errno));
  else if (!S_ISREG (info.st_mode))
    g_set_error (error, CI_ERROR, CI_ERROR_IO, "%s: not a regular file", path);
  else if (!(map = g_mapped_file_new_from_fd (fd, FALSE, NULL)))
    g_set_error (error, CI_ERROR, CI_ERROR_IO, "%s: cannot be mapped: %s",
        path, g_strerror (errno));
  if (fd >= 0)
    close (fd);
  return map;
}
