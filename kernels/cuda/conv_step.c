/*
 * conv_step.c: a convolution, or that of all levels of a pyramid on their
 * canvas.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cuda.h"

typedef struct
{
  CiConv *conv;
  CiCanvas canvas;
  CiView src, dst;              /* of the canvas */
  /* maps that come from elsewhere go into the scratch first */
  CiView packed[CI_MAX_RECTS];
  gint n_packed;
  CiView residual_from, residual;
  const float *scales;          /* per level, or NULL */
  CiActivation activation;      /* behind the scales */
  gboolean finish;              /* scales, or zeros in the gaps */
} ConvStep;

static void
conv_step_free (gpointer data)
{
  ConvStep *c = data;

  if (c->conv)
    ci_conv_free (c->conv);
  g_free (c);
}

/* ---- weights ----------------------------------------------------------- */

typedef struct
{
  CiPlan *plan;
  const CiNode *node;
  gint in_pitch;
  gfloat *weight, *bias;        /* folded, as soon as somebody needs them */
} Weights;

static gboolean
fold (Weights * w, GError ** error)
{
  return w->weight || ci_plan_fold_conv (w->plan, w->node, &w->weight,
      &w->bias, error);
}

/* O x I x k x k -> O x k x k x I. */
static gboolean
fill_weights (gpointer host, gpointer data, GError ** error)
{
  Weights *w = data;
  const CiNode *node = w->node;
  gint in = ci_graph_node (w->plan->graph, node->srcs[0])->channels
      / node->groups, taps = node->kernel * node->kernel;
  CiView out = {.data = host,.half = ci_cuda_plan (w->plan)->half };

  if (!fold (w, error))
    return FALSE;
  for (gint o = 0; o < node->channels; o++)
    for (gint i = 0; i < in; i++)
      for (gint t = 0; t < taps; t++)
        ci_store (&out, ((gint64) o * taps + t) * w->in_pitch + i,
            w->weight[((gsize) o * in + i) * taps + t]);
  return TRUE;
}

static gboolean
fill_bias (gpointer host, gpointer data, GError ** error)
{
  Weights *w = data;

  if (!fold (w, error))
    return FALSE;
  memcpy (host, w->bias, w->node->channels * sizeof (float));
  return TRUE;
}

gboolean
ci_cuda_load_weights (CiPlan * plan, const CiNode * node, gint in_pitch,
    CiConvSpec * spec, GError ** error)
{
  Weights w = { plan, node, in_pitch, NULL, NULL };
  g_autofree gchar *layout = g_strdup_printf ("krsc%d", in_pitch);
  g_autofree gchar *key = ci_cuda_weights_key (node, layout);
  g_autofree gchar *bias_key = ci_cuda_weights_key (node, "bias");

  spec->weight = ci_cuda_constant (plan, key, (gsize) spec->dst.cp
      * node->kernel * node->kernel * in_pitch * plan->element_bytes,
      fill_weights, &w, error);
  if (spec->weight)
    spec->bias = ci_cuda_constant (plan, bias_key,
        spec->dst.cp * sizeof (float), fill_bias, &w, error);
  g_free (w.weight);
  g_free (w.bias);
  return spec->bias != NULL;
}

/* ---- levels with scales ------------------------------------------------ */

static gboolean
has_scales (const CiPlan * plan, CiValue lead)
{
  const CiNode *first = ci_graph_node (plan->graph, lead);
  CiValue value = lead;

  for (gint i = 1; i < plan->group[lead]; i++) {
    value = ci_plan_next (plan, value);
    if (g_strcmp0 (ci_graph_node (plan->graph, value)->scale_name,
            first->scale_name))
      return TRUE;
  }
  return FALSE;
}

typedef struct
{
  CiPlan *plan;
  CiValue lead;
} Scales;

static gboolean
fill_scales (gpointer host, gpointer data, GError ** error)
{
  const Scales *s = data;
  const gint64 one = 1;
  CiValue value = s->lead;

  for (gint i = 0; i < s->plan->group[s->lead]; i++) {
    const CiNode *node = ci_graph_node (s->plan->graph, value);
    g_autofree gfloat *scale = node->scale_name ?
        ci_plan_tensor (s->plan, node->scale_name, "", 1, &one, error) : NULL;

    if (node->scale_name && !scale)
      return FALSE;
    ((float *) host)[i] = scale ? *scale : 1.0f;
    value = ci_plan_next (s->plan, value);
  }
  return TRUE;
}

/* Whether somebody convolves the result as it lies on its canvas, so that its
 * gaps have to be zeros. */
static gboolean
gaps_are_read (const CiPlan * plan, CiValue lead)
{
  for (guint i = 0; i < plan->graph->nodes->len; i++) {
    const CiNode *node = ci_graph_node (plan->graph, i);

    if (node->op == CI_OP_CONV && plan->lead[i] == (CiValue) i
        && node->srcs[0] == lead && ci_cuda_is_canvas_of (plan, i))
      return TRUE;
  }
  return FALSE;
}

/* ---- the step ---------------------------------------------------------- */

static gboolean
run_conv (CiPlan * plan, CiStep * step, GError ** error)
{
  ConvStep *c = step->state;
  const CiCanvas whole = { 1, {{0, 0, c->residual.h, c->residual.w}} };

  return (!c->n_packed || ci_cuda_canvas_pack (plan, c->packed, c->n_packed,
          c->src, &c->canvas, error))
      && (!c->residual_from.data || ci_cuda_canvas_pack (plan,
          &c->residual_from, 1, c->residual, &whole, error))
      && ci_conv_run (plan, c->conv, error)
      && (!c->finish || ci_cuda_canvas_finish (plan, c->dst, &c->canvas,
          c->scales, c->activation, error));
}

/* @like by itself, at @data. */
static CiView
dense_view (CiView like, gpointer data)
{
  like.data = data;
  like.pitch = like.w;
  like.image = (gint64) like.h * like.w * like.cp;
  return like;
}

static gsize
view_bytes (const CiPlan * plan, CiView view)
{
  return ci_cuda_align (plan->batch * dense_view (view, NULL).image
      * plan->element_bytes);
}

static gboolean
packs_source (const CiPlan * plan, CiValue lead)
{
  CiValue src = ci_graph_node (plan->graph, lead)->srcs[0];

  return plan->group[lead] > 1 ? !ci_cuda_is_canvas_of (plan, lead)
      : !ci_cuda_is_dense (plan, src);
}

static gboolean
packs_residual (const CiPlan * plan, CiValue lead)
{
  CiValue residual = ci_graph_node (plan->graph, lead)->residual;

  return residual != CI_NO_VALUE && !ci_cuda_is_dense (plan, residual);
}

/* The source of the convolution when it has been packed: as the result lies,
 * with the channels of the source; one map by itself. */
static CiView
packed_source (const CiPlan * plan, CiValue lead, gpointer data)
{
  CiView src = ci_cuda_view (plan,
      ci_graph_node (plan->graph, lead)->srcs[0]);

  if (plan->group[lead] > 1) {
    src.h = plan->place[lead].h;
    src.w = plan->place[lead].w;
  }
  return dense_view (src, data);
}

gsize
ci_cuda_conv_scratch (CiPlan * plan, CiValue lead)
{
  const CiNode *node = ci_graph_node (plan->graph, lead);
  gsize bytes = 0;

  if (packs_source (plan, lead))
    bytes += view_bytes (plan, packed_source (plan, lead, NULL));
  if (packs_residual (plan, lead))
    bytes += view_bytes (plan, ci_cuda_view (plan, node->residual));
  return bytes;
}

static void
find_source (CiPlan * plan, CiValue lead, ConvStep * c)
{
  guint8 *scratch = plan->buffers[lead].scratch;
  const CiNode *node = ci_graph_node (plan->graph, lead);
  CiValue value = lead;

  if (!packs_source (plan, lead)) {
    CiCanvas same;

    c->src = plan->group[lead] > 1 ?
        ci_cuda_canvas_view (plan, node->srcs[0], &same)
        : ci_cuda_view (plan, node->srcs[0]);
  } else {
    c->src = packed_source (plan, lead, scratch);
    scratch += view_bytes (plan, c->src);
    c->n_packed = plan->group[lead];
    for (gint i = 0; i < c->n_packed; i++) {
      c->packed[i] = ci_cuda_view (plan,
          ci_graph_node (plan->graph, value)->srcs[0]);
      value = ci_plan_next (plan, value);
    }
  }
  if (node->residual != CI_NO_VALUE) {
    c->residual = ci_cuda_view (plan, node->residual);
    if (packs_residual (plan, lead)) {
      c->residual_from = c->residual;
      c->residual = dense_view (c->residual, scratch);
    }
  }
}

/* Each of @n items as one pixel: what a window sees that holds all of it. As
 * such, linear layers are one matrix product. */
static void
as_rows (CiView * view, gint n)
{
  view->c = view->cp *= view->h * view->w;
  view->h = n;
  view->w = view->pitch = 1;
  view->image = (gint64) n * view->cp;
}

gboolean
ci_cuda_prepare_conv (CiPlan * plan, CiStep * step, GError ** error)
{
  CiNode node = *step->node;
  gboolean scales = has_scales (plan, step->value);
  ConvStep *c = g_new0 (ConvStep, 1);
  CiConvSpec spec = { ci_cuda_count_images (plan, step->value) };

  step->state = c;
  step->free_state = conv_step_free;
  step->run = run_conv;
  c->dst = ci_cuda_canvas_view (plan, step->value, &c->canvas);
  find_source (plan, step->value, c);
  if (c->n_packed == 1)
    c->canvas.rect[0] = (CiRect) {
    0, 0, c->src.h, c->src.w};
  if (scales) {
    g_autofree gchar *key = ci_cuda_weights_key (&node, "scales");
    Scales s = { plan, step->value };

    node.scale_name = NULL;
    if (!(c->scales = ci_cuda_constant (plan, key, CI_MAX_RECTS
                * sizeof (float), fill_scales, &s, error)))
      return FALSE;
  }
  c->activation = scales ? node.activation : CI_ACTIVATION_NONE;
  c->finish = scales || (plan->group[step->value] > 1
      && gaps_are_read (plan, step->value));

  spec.src = c->src;
  spec.dst = c->dst;
  spec.kernel = node.kernel;
  spec.stride = node.stride;
  spec.padding = node.padding;
  spec.groups = node.groups;
  spec.activation = scales ? CI_ACTIVATION_NONE : node.activation;
  spec.residual = c->residual;
  if (!ci_cuda_load_weights (plan, &node, node.groups == 1 ? spec.src.cp
          : spec.src.c / node.groups, &spec, error))
    return FALSE;
  if (node.items && spec.dst.h == 1 && spec.dst.w == 1 && !node.padding
      && spec.src.h == node.kernel && spec.src.w == node.kernel) {
    as_rows (&spec.src, spec.batch);
    as_rows (&spec.dst, spec.batch);
    as_rows (&spec.residual, spec.batch);
    spec.kernel = spec.stride = spec.batch = 1;
  }
  return (c->conv = ci_conv_new (plan, &spec, node.name, error)) != NULL;
}
