/*
 * reader.c: what the names and shapes of a checkpoint's tensors tell.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "reader.h"

#include <math.h>

#include "tensors.h"

gboolean
ci_reader_fail (const CiReader * r, const gchar * format, ...)
{
  g_autofree gchar *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (r->error, CI_ERROR, CI_ERROR_UNSUPPORTED, "%s: %s", r->source,
      what);
  return FALSE;
}

static gboolean
lookup_v (const CiReader * r, CiTensor * tensor, const gchar * format,
    va_list args)
{
  g_autofree gchar *name = g_strdup_vprintf (format, args);

  return ci_checkpoint_lookup (r->checkpoint, name, tensor);
}

gboolean
ci_reader_has (const CiReader * r, const gchar * format, ...)
{
  CiTensor tensor;
  gboolean found;
  va_list args;

  va_start (args, format);
  found = lookup_v (r, &tensor, format, args);
  va_end (args);
  return found;
}

gint
ci_reader_dim (const CiReader * r, gint index, const gchar * format, ...)
{
  CiTensor tensor;
  gboolean found;
  va_list args;

  va_start (args, format);
  found = lookup_v (r, &tensor, format, args);
  va_end (args);
  return found && index < tensor.n_dims ?
      (gint) CLAMP (tensor.dims[index], 0, G_MAXINT) : 0;
}

CiNorm
ci_reader_norm (const CiReader * r, const gchar * name)
{
  if (ci_reader_has (r, "%s.running_mean", name))
    return CI_NORM_BN;
  return ci_reader_has (r, "%s.weight", name) ? CI_NORM_GN : CI_NORM_NONE;
}

gboolean
ci_reader_values (const CiReader * r, const gchar * name, gfloat * out, gint n)
{
  CiTensor t;

  if (!ci_checkpoint_lookup (r->checkpoint, name, &t)
      || ci_tensor_n_elements (&t) != (gsize) n)
    return FALSE;
  for (gint i = 0; i < n; i++) {
    switch (t.dtype) {
      case CI_DTYPE_F32:
        out[i] = ((const gfloat *) t.data)[i];
        break;
      case CI_DTYPE_F16:
        out[i] = ci_half_to_float (((const guint16 *) t.data)[i]);
        break;
      case CI_DTYPE_F64:
        out[i] = ((const gdouble *) t.data)[i];
        break;
      case CI_DTYPE_I32:
        out[i] = ((const gint32 *) t.data)[i];
        break;
      case CI_DTYPE_I64:
        out[i] = ((const gint64 *) t.data)[i];
        break;
      case CI_DTYPE_U8:
        out[i] = ((const guint8 *) t.data)[i];
        break;
    }
    if (!isfinite (out[i]))
      return FALSE;
  }
  return TRUE;
}

gfloat
ci_reader_rounding (const CiReader * r, const gchar * name)
{
  g_autofree gchar *text = ci_checkpoint_describe (r->checkpoint, name);

  if (g_str_has_prefix (text, "F16"))
    return 1 / 2048.0f;
  return g_str_has_prefix (text, "BF16") ? 1 / 256.0f : 0;
}

const gchar *
ci_reader_find (const CiReader * r, const gchar * prefix, const gchar * suffix)
{
  const gchar *const *names = ci_checkpoint_get_names (r->checkpoint);

  for (guint i = 0; names[i]; i++)
    if (g_str_has_prefix (names[i], prefix)
        && g_str_has_suffix (names[i], suffix))
      return names[i];
  return NULL;
}

gint
ci_reader_count (const CiReader * r, const gchar * prefix,
    const gchar * suffix)
{
  gint n = 0;

  while (n < CI_MAX_BLOCKS && ci_reader_has (r, "%s%d%s", prefix, n, suffix))
    n++;
  return n;
}
