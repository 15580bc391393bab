/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 64
#define MAX_SIDE 16384
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

static gsize
align_up (gsize n)
{
  return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
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
ci_plan_batch_norm (CiPlan * plan, const gchar * name, gint64 c,
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
    gdouble s = gamma[i] / sqrt ((gdouble) var[i] + 1e-5);

    if (var[i] < 0) {
      g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
          "tensor \"%s.running_var\" should not be negative, but number %"
          G_GINT64_FORMAT " is %g", name, i, var[i]);
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
  gint64 c = node->channels, one = 1;
  gint64 in = ci_graph_node (plan->graph, node->srcs[0])->channels;
  gint64 dims[4] = { c, in / node->groups, node->kernel,
    node->kernel
  };
  gsize per_channel = dims[1] * dims[2] * dims[3];
  g_autofree gfloat *w = NULL, *b = NULL, *scale = NULL, *shift = NULL;

  if (!(w = ci_plan_tensor (plan, node->name, ".weight", 4, dims, error)))
    return FALSE;
  if (!node->bias)
    b = g_new0 (gfloat, c);
  else if (!(b = ci_plan_tensor (plan, node->name, ".bias", 1, &c, error)))
    return FALSE;

  scale = g_new (gfloat, c);
  shift = g_new0 (gfloat, c);
  for (gint64 o = 0; o < c; o++)
    scale[o] = 1.0f;
  if (node->norm_name && !ci_plan_batch_norm (plan, node->norm_name, c, scale,
          shift, error))
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

/* ---- compiling -------------------------------------------------------- */

/* Where a value's floats lie: values that are computed in place share one. */
typedef struct
{
  gsize bytes, offset;
  gint start, end;              /* first and last step that needs it */
} Storage;

static gint
compare_storage_size (gconstpointer a, gconstpointer b)
{
  const Storage *x = *(const Storage * const *) a;
  const Storage *y = *(const Storage * const *) b;

  return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

static gint
compare_storage_offset (gconstpointer a, gconstpointer b)
{
  const Storage *x = *(const Storage * const *) a;
  const Storage *y = *(const Storage * const *) b;

  return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Largest first, each at the lowest offset that is free while it lives. */
static gsize
place_storages (GPtrArray * storages)
{
  g_autoptr (GPtrArray) placed = g_ptr_array_new ();
  gsize total = 0;

  g_ptr_array_sort (storages, compare_storage_size);
  for (guint i = 0; i < storages->len; i++) {
    Storage *s = g_ptr_array_index (storages, i);
    gsize offset = 0;

    for (guint k = 0; k < placed->len; k++) {
      const Storage *o = g_ptr_array_index (placed, k);

      if (o->end < s->start || s->end < o->start)
        continue;
      if (offset + s->bytes <= o->offset)
        break;
      offset = MAX (offset, o->offset + o->bytes);
    }
    s->offset = offset;
    total = MAX (total, offset + s->bytes);
    g_ptr_array_add (placed, s);
    g_ptr_array_sort (placed, compare_storage_offset);
  }
  return total;
}

/* The operand that @node may overwrite with its result, @index-th choice. */
static CiValue
in_place_operand (const CiNode * node, gint index)
{
  switch (node->op) {
    case CI_OP_CONV:
    case CI_OP_UPSAMPLE:
      return index == 0 ? node->residual : CI_NO_VALUE;
    case CI_OP_ADD:
    case CI_OP_WEIGHTED_ADD:
      return index < node->n_srcs ? node->srcs[index] : CI_NO_VALUE;
    case CI_OP_CHANNEL_SCALE:
      return index == 0 ? node->srcs[0] : node->residual;
    case CI_OP_GROUP_NORM:
    case CI_OP_BATCH_NORM:
    case CI_OP_ACTIVATION:
    case CI_OP_SCALE:
      return index == 0 ? node->srcs[0] : CI_NO_VALUE;
    default:
      return CI_NO_VALUE;
  }
}

/* Values that are computed right where a concatenation wants them: @into is
 * that one or CI_NO_VALUE, @within the place in it, in bytes. */
static void
find_parts (CiPlan * plan, CiValue * into, gsize * within)
{
  gint n = plan->graph->nodes->len, block = plan->backend->block;

  for (gint i = 0; i < n; i++)
    into[i] = CI_NO_VALUE;
  for (gint i = 0; i < n; i++) {
    const CiNode *node = ci_graph_node (plan->graph, i);
    gint c = 0;

    if (node->op != CI_OP_CONCAT || node->n_srcs < 2)
      continue;
    for (gint k = 0; k < node->n_srcs; k++) {
      CiValue src = node->srcs[k];
      const CiMap *map = ci_plan_map (plan, src);

      /* whole blocks, and in one place only */
      if (into[src] == CI_NO_VALUE && !map->data && c % block == 0
          && (map->c % block == 0 || k + 1 == node->n_srcs)
          && ci_graph_node (plan->graph, src)->op != CI_OP_CONCAT) {
        into[src] = i;
        within[src] = (gsize) c * map->h * map->w * sizeof (gfloat);
      }
      c += map->c;
    }
  }
}

static Storage *
new_storage (GPtrArray * storages, gsize bytes, gint step)
{
  Storage *s = g_new0 (Storage, 1);

  s->bytes = align_up (bytes);
  s->start = s->end = step;
  g_ptr_array_add (storages, s);
  return s;
}

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

/* A convolution that may be computed with others before it. */
static gboolean
may_join (const CiNode * node, CiValue lead)
{
  return node->op == CI_OP_CONV && node->residual == CI_NO_VALUE
      && node->srcs[0] < lead;
}

static void
form_groups (CiPlan * plan)
{
  const guint n = plan->graph->nodes->len;
  CiValue lead = CI_NO_VALUE;

  /* first those that share weights */
  for (guint i = 0; i < n; i++) {
    CiNode *node = ci_graph_node (plan->graph, i);

    plan->lead[i] = i;
    plan->group[i] = 1;
    if (!plan->backend->join || node->op == CI_OP_NONE)
      continue;
    if (lead != CI_NO_VALUE && may_join (node, lead)
        && ci_plan_same_weights (ci_graph_node (plan->graph, lead), node)) {
      plan->lead[i] = lead;
      plan->group[lead]++;
      plan->group[i] = 0;
    } else {
      lead = may_join (node, i) ? (CiValue) i : CI_NO_VALUE;
    }
  }
  /* then these groups */
  lead = CI_NO_VALUE;
  for (guint i = 0; i < n; i++) {
    CiNode *node = ci_graph_node (plan->graph, i);
    gint n_maps = plan->group[i];
    gboolean join = n_maps > 0 && lead != CI_NO_VALUE;

    if (!plan->backend->join || node->op == CI_OP_NONE || n_maps == 0)
      continue;
    for (CiValue k = i, m = 0; join && m < n_maps; m++) {
      join = may_join (ci_graph_node (plan->graph, k), lead);
      k = ci_plan_next (plan, k);
    }
    if (join && plan->backend->join (plan, lead, i)) {
      for (CiValue k = i, m = 0, next; m < n_maps; m++, k = next) {
        next = ci_plan_next (plan, k);
        plan->lead[k] = lead;
      }
      plan->group[lead] += n_maps;
      plan->group[i] = 0;
    } else {
      lead = may_join (node, i) ? (CiValue) i : CI_NO_VALUE;
    }
  }
}

static gboolean
plan_memory (CiPlan * plan, GError ** error)
{
  gint n = plan->graph->nodes->len;
  g_autofree gint *last = g_new0 (gint, n);
  g_autofree gint *end_of = g_new0 (gint, n);   /* last one of its group */
  g_autofree CiValue *into = g_new (CiValue, n);
  g_autofree gsize *within = g_new0 (gsize, n);
  g_autofree Storage **of = g_new0 (Storage *, n);
  g_autofree Storage **scratch = g_new0 (Storage *, n);
  g_autoptr (GPtrArray) storages = g_ptr_array_new_with_free_func (g_free);
  guint8 *arena;

  /* a group's sources and results live together */
  for (gint i = 0; i < n; i++)
    end_of[plan->lead[i]] = i;
  for (gint i = 0; i < n; i++) {
    const CiNode *node = ci_graph_node (plan->graph, i);
    gint end = end_of[plan->lead[i]];

    for (gint k = 0; k < node->n_srcs; k++)
      last[node->srcs[k]] = end;
    if (node->residual != CI_NO_VALUE)
      last[node->residual] = end;
    last[i] = MAX (last[i], end);
  }
  find_parts (plan, into, within);
  for (gint i = 0; i < n; i++) {
    const CiNode *node = ci_graph_node (plan->graph, i);
    gint end = plan->keep[i] ? G_MAXINT : last[i];
    CiValue whole = into[i] == CI_NO_VALUE ? i : into[i];
    gsize bytes, scratch_bytes;

    if (node->kind != CI_KIND_MAP || node->op == CI_OP_NONE
        || plan->buffers[i].map.data)
      continue;
    bytes = ci_map_floats (ci_plan_map (plan, whole)) * sizeof (gfloat);
    for (gint k = 0; whole == i && k < MAX (node->n_srcs, 2) && !of[i]; k++) {
      CiValue src = in_place_operand (node, k);

      /* these still read around what they have written */
      if (src != CI_NO_VALUE && of[src] && of[src]->end == i
          && of[src]->bytes == align_up (bytes) && into[src] == CI_NO_VALUE
          && ((node->op != CI_OP_CONV && node->op != CI_OP_UPSAMPLE)
              || of[src] != of[node->srcs[0]]))
        of[i] = of[src];
    }
    if (!of[whole])
      of[whole] = new_storage (storages, bytes, plan->lead[i]);
    of[i] = of[whole];
    of[i]->end = MAX (of[i]->end, end);
    scratch_bytes = plan->backend->scratch && plan->lead[i] == i ?
        plan->backend->scratch (plan, i) : 0;
    if (scratch_bytes)
      scratch[i] = new_storage (storages, scratch_bytes, i);
  }

  plan->arena_bytes = place_storages (storages);
  if (!(arena = ci_plan_alloc (plan, plan->arena_bytes, error)))
    return FALSE;
  for (gint i = 0; i < n; i++) {
    if (of[i])
      plan->buffers[i].map.data =
          (gfloat *) (arena + of[i]->offset + within[i]);
    if (scratch[i])
      plan->buffers[i].scratch = arena + scratch[i]->offset;
  }
  return TRUE;
}

/* Whether every user of the input reads planar images: convolutions of a few
 * channels do, and a packed copy would cost a pass. */
static gboolean
input_stays_planar (CiPlan * plan, CiValue input)
{
  if (plan->backend->block == 1)
    return TRUE;
  if (ci_graph_node (plan->graph, input)->channels > 4)
    return FALSE;
  for (guint i = 0; i < plan->graph->nodes->len; i++) {
    const CiNode *node = ci_graph_node (plan->graph, i);

    for (gint k = 0; k < node->n_srcs; k++)
      if (node->srcs[k] == input && (node->op != CI_OP_CONV
              || node->groups != 1))
        return FALSE;
    if (node->residual == input)
      return FALSE;
  }
  return TRUE;
}

static gboolean
make_buffers (CiPlan * plan, const gint * hw, GError ** error)
{
  for (guint i = 0; i < plan->graph->nodes->len; i++) {
    const CiNode *node = ci_graph_node (plan->graph, i);
    CiBuffer *buffer = &plan->buffers[i];
    CiDetectionBuffer *d = &buffer->detections;
    gsize capacity = node->capacity;

    switch (node->kind) {
      case CI_KIND_MAP:
        buffer->map = (CiMap) {
        node->channels, hw[2 * i], hw[2 * i + 1], plan->backend->block, NULL};
        if (node->op == CI_OP_INPUT) {
          gsize bytes = (gsize) node->channels * hw[2 * i] * hw[2 * i + 1]
              * sizeof (gfloat);

          if (!(plan->input = ci_plan_alloc (plan, bytes, error)))
            return FALSE;
          if (input_stays_planar (plan, i)) {
            buffer->map.block = 1;
            buffer->map.data = plan->input;
          }
        }
        break;
      case CI_KIND_DETECTIONS:{
        gfloat *p = ci_plan_alloc (plan, capacity * 10 * sizeof (gfloat),
            error);

        if (!p)
          return FALSE;
        d->boxes = p;
        d->scores = p + 4 * capacity;
        d->locations = p + 5 * capacity;
        d->classes = (gint32 *) (p + 7 * capacity);
        d->levels = (gint32 *) (p + 8 * capacity);
        d->cells = (gint32 *) (p + 9 * capacity);
        plan->detections = i;
        break;
      }
      case CI_KIND_ROWS:
        buffer->map = (CiMap) {
        node->channels, capacity, 1, 1, NULL};
        if (!(buffer->map.data = ci_plan_alloc (plan, capacity
                    * node->channels * sizeof (gfloat), error)))
          return FALSE;
        break;
      case CI_KIND_MASKS:{
        const gint *in = hw + 2 * node->srcs[0];
        gsize side = node->blend.resolution, f;

        buffer->grid_size = side * side;
        if (node->op == CI_OP_MASK_HEAD) {
          f = node->mask.stride / node->mask.out_stride;
          buffer->grid_size = (in[0] * f + 1) * (in[1] * f + 1);
        }
        buffer->grids = ci_plan_alloc (plan, capacity * sizeof (CiMaskGrid),
            error);
        if (!buffer->grids || !(buffer->prob = ci_plan_alloc (plan, capacity
                    * buffer->grid_size * sizeof (gfloat), error)))
          return FALSE;
        plan->masks = i;
        break;
      }
    }
  }
  form_groups (plan);
  return plan_memory (plan, error);
}

static gboolean
make_steps (CiPlan * plan, GError ** error)
{
  plan->steps = g_new0 (CiStep, plan->graph->nodes->len);
  for (guint i = 0; i < plan->graph->nodes->len; i++) {
    const CiNode *node = ci_graph_node (plan->graph, i);
    CiStep *step = &plan->steps[plan->n_steps];

    if (node->op == CI_OP_NONE
        || (node->op == CI_OP_INPUT && ci_plan_map (plan, i)->block == 1))
      continue;
    if (plan->lead[i] == (CiValue) i) {
      step->node = node;
      step->value = i;
      plan->n_steps++;
      if (!plan->backend->prepare (plan, step, error)) {
        if (node->name)
          g_prefix_error (error, "%s: ", node->name);
        return FALSE;
      }
    }
    if (node->op == CI_OP_CONV || node->op == CI_OP_DEFORM_CONV) {
      const CiMap *out = ci_plan_map (plan, i);

      plan->flops += 2.0 * node->channels * node->kernel * node->kernel
          * (ci_plan_map (plan, node->srcs[0])->c / node->groups)
          * out->h * out->w;
    }
  }
  return TRUE;
}

CiPlan *
ci_plan_compile (const CiGraph * graph, const CiWeights * weights,
    const CiPlanOptions * options, GError ** error)
{
  gint n = graph->nodes->len;
  g_autofree gint *hw = NULL;
  CiPlan *plan;

  if (options->height < 1 || options->width < 1 || options->height > MAX_SIDE
      || options->width > MAX_SIDE) {
    g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "the network's input cannot be %dx%d pixels (1 to %d a side)",
        options->width, options->height, MAX_SIDE);
    return NULL;
  }

  plan = g_new0 (CiPlan, 1);
  plan->graph = ci_graph_copy (graph);
  plan->backend = options->backend == CI_BACKEND_REF ? &ci_backend_ref
      : &ci_backend_cpu;
  plan->weights = weights;
  plan->pool = options->pool;
  plan->detections = plan->masks = CI_NO_VALUE;
  plan->extra = g_ptr_array_new_with_free_func (free);
  plan->names = g_ptr_array_new ();
  plan->buffers = g_new0 (CiBuffer, n);
  plan->keep = g_new0 (gboolean, n);
  plan->lead = g_new0 (CiValue, n);
  plan->group = g_new0 (gint, n);
  for (gint i = 0; i < n; i++) {
    const CiNode *node = ci_graph_node (plan->graph, i);

    plan->keep[i] = node->is_output
        || (options->keep_named && node->value_name);
  }

  hw = g_new0 (gint, 2 * n);
  if (!ci_graph_infer (plan->graph, options->height, options->width, hw,
          error))
    goto fail;
  /* the yardstick computes each node by itself */
  if (!options->no_fuse && options->backend != CI_BACKEND_REF)
    ci_graph_fuse (plan->graph, plan->keep);
  if (!make_buffers (plan, hw, error) || !make_steps (plan, error))
    goto fail;

  for (gint i = 0; i < n; i++) {
    const CiNode *node = ci_graph_node (plan->graph, i);

    if (plan->keep[i] && (node->kind == CI_KIND_MAP
            || node->kind == CI_KIND_ROWS))
      g_ptr_array_add (plan->names, node->value_name);
  }
  g_ptr_array_add (plan->names, NULL);
  return plan;

fail:
  ci_plan_free (plan);
  return NULL;
}

void
ci_plan_free (CiPlan * plan)
{
  if (!plan)
    return;
  for (gint i = 0; i < plan->n_steps; i++)
    if (plan->steps[i].free_state)
      plan->steps[i].free_state (plan->steps[i].state);
  g_free (plan->steps);
  g_free (plan->buffers);
  g_free (plan->keep);
  g_free (plan->lead);
  g_free (plan->group);
  g_ptr_array_unref (plan->names);
  g_ptr_array_unref (plan->extra);
  ci_graph_free (plan->graph);
  g_free (plan);
}

/* ---- running ---------------------------------------------------------- */

gfloat *
ci_plan_get_input (CiPlan * plan)
{
  return plan->input;
}

gboolean
ci_plan_run (CiPlan * plan, const CiDetectParams * params, GError ** error)
{
  gint saved = plan->backend->begin ? plan->backend->begin () : 0;
  gint64 network = 0, decode = 0, masks = 0;
  gint64 before = g_get_monotonic_time ();
  gboolean ok = TRUE;

  g_assert (params || plan->detections == CI_NO_VALUE);
  plan->params = params;
  for (gint i = 0; i < plan->n_steps && ok; i++) {
    CiStep *step = &plan->steps[i];
    gboolean last = i + 1 == plan->n_steps;
    CiKind kind = step->node->kind;

    ok = step->run (plan, step, error);
    /* stages are told apart by what a step makes */
    if (last || plan->steps[i + 1].node->kind != kind) {
      gint64 now = g_get_monotonic_time ();

      *(kind == CI_KIND_MAP ? &network
          : kind == CI_KIND_DETECTIONS ? &decode : &masks) += now - before;
      before = now;
    }
  }
  plan->params = NULL;
  plan->times = (CiPlanTimes) {
  network * 1000, decode * 1000, masks * 1000};
  if (plan->backend->end)
    plan->backend->end (saved);
  return ok;
}

void
ci_plan_get_detections (const CiPlan * plan, CiDetections * out)
{
  memset (out, 0, sizeof (*out));
  if (plan->detections != CI_NO_VALUE) {
    const CiDetectionBuffer *d = &plan->buffers[plan->detections].detections;

    *out = (CiDetections) {
    d->count, d->boxes, d->scores, d->classes, d->levels, d->cells,
          d->locations};
  }
}

gboolean
ci_plan_get_mask (const CiPlan * plan, gint index, CiMaskGrid * out)
{
  CiDetections detections;

  ci_plan_get_detections (plan, &detections);
  if (plan->masks == CI_NO_VALUE || index < 0 || index >= detections.count)
    return FALSE;
  *out = plan->buffers[plan->masks].grids[index];
  return TRUE;
}

const gchar *const *
ci_plan_get_names (const CiPlan * plan)
{
  return (const gchar * const *) plan->names->pdata;
}

gboolean
ci_plan_read (const CiPlan * plan, const gchar * name, CiTensor * out)
{
  for (guint i = 0; i < plan->graph->nodes->len; i++) {
    const CiNode *node = ci_graph_node (plan->graph, i);
    const CiMap *map = &plan->buffers[i].map;
    gsize plane = (gsize) map->h * map->w;
    gfloat *dst;

    if (!plan->keep[i] || g_strcmp0 (node->value_name, name))
      continue;
    if (node->kind == CI_KIND_ROWS) {
      CiDetections detections;

      ci_plan_get_detections (plan, &detections);
      *out = (CiTensor) {
        CI_DTYPE_F32, 2, {detections.count, map->c},
            g_memdup2 (map->data,
              (gsize) detections.count * map->c * sizeof (gfloat))};
      return TRUE;
    }
    if (node->kind != CI_KIND_MAP)
      return FALSE;
    dst = g_new (gfloat, map->c * plane);
    for (gint c = 0; c < map->c; c++) {
      const gfloat *src = map->data + c / map->block * map->block * plane
          + c % map->block;

      for (gsize p = 0; p < plane; p++)
        dst[c * plane + p] = src[p * map->block];
    }
    *out = (CiTensor) {
      CI_DTYPE_F32, 4, {1, map->c, map->h, map->w}, dst};
    return TRUE;
  }
  return FALSE;
}

void
ci_plan_get_times (const CiPlan * plan, CiPlanTimes * out)
{
  *out = plan->times;
}

gdouble
ci_plan_get_flops (const CiPlan * plan)
{
  return plan->flops;
}

gsize
ci_plan_get_arena_bytes (const CiPlan * plan)
{
  return plan->arena_bytes;
}

void
ci_detections_set (CiDetectionBuffer * out, gint index,
    const CiCandidate * candidate, gint width, gint stride)
{
  gfloat *box = out->boxes + 4 * index;

  box[0] = candidate->x0;
  box[1] = candidate->y0;
  box[2] = candidate->x1;
  box[3] = candidate->y1;
  out->scores[index] = sqrtf (candidate->value);
  out->classes[index] = candidate->cls;
  out->levels[index] = candidate->level;
  out->cells[index] = candidate->cell;
  out->locations[2 * index] = candidate->cell % width * stride + stride / 2;
  out->locations[2 * index + 1] = candidate->cell / width * stride
      + stride / 2;
}
