/*
 * model_save.c: a model as a file of ours
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "method.h"

#include <string.h>

typedef struct
{
  const CiWeights *weights;
  gboolean half;
  GPtrArray *names;
  GArray *tensors;              /* of CiTensor */
  GPtrArray *converted;         /* data that the tensors do not borrow */
} Writer;

/* The nearest half-precision number, ties to even; infinite beyond 65504. */
static guint16
half_from_float (gfloat value)
{
  guint32 bits, rest, low;
  gint exponent;
  guint16 sign;

  memcpy (&bits, &value, sizeof bits);
  sign = bits >> 16 & 0x8000;
  exponent = (gint) (bits >> 23 & 255) - 127;
  bits &= 0x7fffff;
  if (exponent == 128)          /* infinite, not a number */
    return sign | 0x7c00 | (bits ? 0x200 : 0);
  if (exponent < -25)
    return sign;
  if (exponent < -14) {         /* subnormal */
    gint shift = -14 - exponent + 13;

    bits |= 0x800000;
    low = bits >> shift;
    rest = bits & ((1u << shift) - 1);
    return sign | (low + (rest > 1u << (shift - 1)
            || (rest == 1u << (shift - 1) && (low & 1))));
  }
  low = (guint32) MAX (exponent + 15, 0) << 10 | bits >> 13;
  rest = bits & 0x1fff;
  /* a carry goes into the exponent, up to infinity */
  low += rest > 0x1000 || (rest == 0x1000 && (low & 1));
  return sign | MIN (low, 0x7c00);
}

/* Weights of convolutions lose nothing that matters; statistics and biases are
 * few and may be large. */
static void
convert (Writer * w, CiTensor * tensor)
{
  gsize n = ci_tensor_n_elements (tensor);
  const gfloat *from = tensor->data;
  g_autofree guint16 *to = NULL;

  if (tensor->dtype != CI_DTYPE_F32 || tensor->n_dims < 2)
    return;
  to = g_new (guint16, n);
  for (gsize i = 0; i < n; i++) {
    to[i] = half_from_float (from[i]);
    if ((to[i] & 0x7c00) == 0x7c00)
      return;                   /* does not fit */
  }
  tensor->dtype = CI_DTYPE_F16;
  tensor->data = to;
  g_ptr_array_add (w->converted, g_steal_pointer (&to));
}

static void
collect (const gchar * name, gint n_dims, const gint64 * dims,
    gpointer user_data)
{
  Writer *w = user_data;
  CiTensor tensor;

  /* loading has checked that it is there */
  if (!w->weights->lookup (w->weights, name, &tensor))
    return;
  tensor.n_dims = n_dims;
  memcpy (tensor.dims, dims, n_dims * sizeof *dims);
  if (w->half)
    convert (w, &tensor);
  g_ptr_array_add (w->names, g_strdup (name));
  g_array_append_val (w->tensors, tensor);
}

gboolean
ci_model_save (const CiModel * model, const gchar * path, gboolean half,
    GError ** error)
{
  const CiConfig *config = ci_model_get_config (model);
  g_autofree gchar *json = ci_config_to_json (config);
  const gchar *const metadata[] = { "condinst", json, NULL };
  Writer w = { ci_model_get_weights (model), half };
  CiGraph *graph = ci_network_build (config, NULL);
  gboolean ok;

  w.names = g_ptr_array_new_with_free_func (g_free);
  w.tensors = g_array_new (FALSE, FALSE, sizeof (CiTensor));
  w.converted = g_ptr_array_new_with_free_func (g_free);
  ci_graph_foreach_tensor (graph, collect, &w);
  ci_graph_free (graph);
  ok = ci_safetensors_write (path, (const gchar * const *) w.names->pdata,
      (const CiTensor *) w.tensors->data, w.names->len, metadata, error);
  g_ptr_array_unref (w.converted);
  g_array_unref (w.tensors);
  g_ptr_array_unref (w.names);
  return ok;
}
