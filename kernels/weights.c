/*
 * weights.c: what every backend needs to prepare a step: memory, tensors as
 * floats, what is folded into a convolution.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 64
#define LARGE_BYTES (64 << 20)

guint64
ci_weights_new_id (void)
{
  static gint next;

  return (guint) g_atomic_int_add (&next, 1) + 1;
}

/* ---- memory ----------------------------------------------------------- */

/* What the system could still give without killing somebody, or G_MAXSIZE if
 * it does not say. posix_memalign() alone promises more than there is. */
static gsize
available_bytes (void)
{
  g_autofree gchar *text = NULL;
  const gchar *line;

  if (!g_file_get_contents ("/proc/meminfo", &text, NULL, NULL)
      || !(line = strstr (text, "MemAvailable:")))
    return G_MAXSIZE;
  return g_ascii_strtoull (line + strlen ("MemAvailable:"), NULL, 10) * 1024;
}

gpointer
ci_aligned_alloc0 (gsize n_bytes, GError ** error)
{
  gpointer p = NULL;

  if ((n_bytes >= LARGE_BYTES && n_bytes > available_bytes ())
      || posix_memalign (&p, ALIGNMENT, MAX (n_bytes, 1))) {
    g_set_error (error, CI_ERROR, CI_ERROR_OUT_OF_MEMORY,
        "out of memory: a buffer of %" G_GSIZE_FORMAT " bytes", n_bytes);
    return NULL;
  }
  memset (p, 0, n_bytes);
  return p;
}

gpointer
ci_plan_alloc (CiPlan * plan, gsize n_bytes, GError ** error)
{
  gpointer p = ci_aligned_alloc0 (n_bytes, error);

  if (p)
    g_ptr_array_add (plan->extra, p);
  return p;
}

/* ---- weights ---------------------------------------------------------- */

static gfloat
half_to_float (guint16 h)
{
  gint exponent = (h >> 10) & 31, mantissa = h & 1023;
  gfloat v;

  if (exponent == 0)
    v = ldexpf (mantissa, -24);
  else if (exponent == 31)
    v = mantissa ? NAN : INFINITY;
  else
    v = ldexpf (mantissa + 1024, exponent - 25);
  return h & 0x8000 ? -v : v;
}

static gchar *
shape_to_string (gint n_dims, const gint64 * dims)
{
  GString *s = g_string_new ("[");

  for (gint i = 0; i < n_dims; i++)
    g_string_append_printf (s, "%s%" G_GINT64_FORMAT, i ? ", " : "", dims[i]);
  g_string_append_c (s, ']');
  return g_string_free (s, FALSE);
}

gfloat *
ci_plan_tensor (CiPlan * plan, const gchar * prefix, const gchar * suffix,
    gint n_dims, const gint64 * dims, GError ** error)
{
  g_autofree gchar *name = g_strconcat (prefix, suffix, NULL);
  g_autofree gchar *expected = shape_to_string (n_dims, dims);
  CiTensor t;
  gsize n = 1, found;
  gfloat *dst;

  if (!plan->weights->lookup (plan->weights, name, &t)) {
    g_set_error (error, CI_ERROR, CI_ERROR_MISSING_TENSOR,
        "tensor \"%s\" %s is missing", name, expected);
    return NULL;
  }
  for (gint i = 0; i < n_dims; i++)
    n *= dims[i];
  found = ci_tensor_n_elements (&t);
  /* one number may come as a scalar or as one element */
  if (found != n || (n > 1 && (t.n_dims != n_dims
              || memcmp (t.dims, dims, n_dims * sizeof (gint64))))) {
    g_autofree gchar *shape = shape_to_string (t.n_dims, t.dims);

    g_set_error (error, CI_ERROR, CI_ERROR_MISSING_TENSOR,
        "tensor \"%s\" should be %s, but is %s", name, expected, shape);
    return NULL;
  }

  dst = g_try_new (gfloat, n);
  if (!dst) {
    g_set_error (error, CI_ERROR, CI_ERROR_OUT_OF_MEMORY,
        "out of memory: tensor \"%s\" %s", name, expected);
    return NULL;
  }
  switch (t.dtype) {
    case CI_DTYPE_F32:
      memcpy (dst, t.data, n * sizeof (gfloat));
      break;
    case CI_DTYPE_F16:
      for (gsize i = 0; i < n; i++)
        dst[i] = half_to_float (((const guint16 *) t.data)[i]);
      break;
    case CI_DTYPE_F64:
      for (gsize i = 0; i < n; i++)
        dst[i] = ((const gdouble *) t.data)[i];
      break;
    default:
      g_set_error (error, CI_ERROR, CI_ERROR_MISSING_TENSOR,
          "tensor \"%s\" should be of floats, but is %s", name,
          ci_dtype_name (t.dtype));
      g_free (dst);
      return NULL;
  }
  for (gsize i = 0; i < n; i++)
    if (!isfinite (dst[i])) {
      g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
          "tensor \"%s\" %s should have finite values, but number %"
          G_GSIZE_FORMAT " is %g", name, expected, i, dst[i]);
      g_free (dst);
      return NULL;
    }
  return dst;
}

gboolean
ci_plan_batch_norm (CiPlan * plan, const gchar * name, gfloat eps, gint64 c,
    gfloat * scale, gfloat * shift, GError ** error)
{
  g_autofree gfloat *gamma = ci_plan_tensor (plan, name, ".weight", 1, &c,
      error);
  g_autofree gfloat *beta = gamma ? ci_plan_tensor (plan, name, ".bias", 1, &c,
      error) : NULL;
  g_autofree gfloat *mean = beta ? ci_plan_tensor (plan, name,
      ".running_mean", 1, &c, error) : NULL;
  g_autofree gfloat *var = mean ? ci_plan_tensor (plan, name, ".running_var",
      1, &c, error) : NULL;

  if (!var)
    return FALSE;
  for (gint64 i = 0; i < c; i++) {
    gdouble s = gamma[i] / sqrt ((gdouble) var[i] + eps);

    if (var[i] < 0 || var[i] + eps <= 0) {
      g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
          "tensor \"%s.running_var\" should be %s, but number %"
          G_GINT64_FORMAT " is %g", name, eps > 0 ? "zero or more" :
          "positive", i, var[i]);
      return FALSE;
    }
    scale[i] = s;
    shift[i] = beta[i] - mean[i] * s;
  }
  return TRUE;
}

gboolean
ci_plan_fold_conv (CiPlan * plan, const CiNode * node, gfloat ** weight,
    gfloat ** bias, GError ** error)
{
  gint64 c = node->channels, one = 1, dims[4];
  gint64 in = ci_graph_node (plan->graph, node->srcs[0])->channels;
  gint n_dims = ci_graph_weight_dims (plan->graph, node, dims);
  gsize per_channel = in / node->groups * node->kernel * node->kernel;
  g_autofree gfloat *w = NULL, *b = NULL, *scale = NULL, *shift = NULL;

  if (!(w = ci_plan_tensor (plan, node->name, ".weight", n_dims, dims, error)))
    return FALSE;
  if (!node->bias)
    b = g_new0 (gfloat, c);
  else if (!(b = ci_plan_tensor (plan, node->name, ".bias", 1, &c, error)))
    return FALSE;

  scale = g_new (gfloat, c);
  shift = g_new0 (gfloat, c);
  for (gint64 o = 0; o < c; o++)
    scale[o] = 1.0f;
  if (node->norm_name && !ci_plan_batch_norm (plan, node->norm_name, node->eps,
          c, scale, shift, error))
    return FALSE;
  if (node->scale_name) {
    g_autofree gfloat *s = ci_plan_tensor (plan, node->scale_name, "", 1, &one,
        error);

    if (!s)
      return FALSE;
    for (gint64 o = 0; o < c; o++) {
      scale[o] *= *s;
      shift[o] *= *s;
    }
  }
  for (gint64 o = 0; o < c; o++) {
    for (gsize i = 0; i < per_channel; i++)
      w[o * per_channel + i] *= scale[o];
    b[o] = b[o] * scale[o] + shift[o];
  }
  *weight = g_steal_pointer (&w);
  *bias = g_steal_pointer (&b);
  return TRUE;
}

/* ---- groups ------------------------------------------------------------ */

gboolean
ci_plan_same_weights (const CiNode * a, const CiNode * b)
{
  return g_str_equal (a->name, b->name)
      && g_strcmp0 (a->norm_name, b->norm_name) == 0
      && g_strcmp0 (a->scale_name, b->scale_name) == 0
      && a->channels == b->channels && a->kernel == b->kernel
      && a->stride == b->stride && a->padding == b->padding
      && a->groups == b->groups && a->activation == b->activation;
}

gint
ci_plan_count_maps (const CiPlan * plan, CiValue lead)
{
  const CiNode *first = ci_graph_node (plan->graph, lead);
  CiValue value = lead;
  gint n = 0;

  do {
    n++;
    value = ci_plan_next (plan, value);
  } while (n < plan->group[lead]
      && ci_plan_same_weights (first, ci_graph_node (plan->graph, value)));
  return n;
}
