/*
 * upstream_describe.c: the steps from a checkpoint to its description
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "upstream.h"

#include <string.h>

#define MAX_CLASSES 10000
#define PERSON "BlendMask/Person/R_50_1x"

/* ---- the dynamic head ------------------------------------------------- */

/* An integer of the configuration, or @fallback. Wrong types are found later,
 * when all keys are read. */
static gint
get_int (const CiUpstream * upstream, const gchar * key, gint fallback)
{
  JsonNode *node = ci_upstream_get (upstream, key, NULL);
  GType type = node && JSON_NODE_HOLDS_VALUE (node) ?
      json_node_get_value_type (node) : G_TYPE_INVALID;

  if (type == G_TYPE_BOOLEAN)
    return json_node_get_boolean (node);
  return type == G_TYPE_INT64 ?
      (gint) CLAMP (json_node_get_int (node), 0, G_MAXINT) : fallback;
}

static void
set_head (CiConfig * c, gint channels, gint layers, gboolean rel_coords)
{
  c->condinst.head_channels = channels;
  c->condinst.head_num_layers = layers;
  c->condinst.rel_coords = rel_coords;
}

/* Finds width, depth and inputs of the dynamic head, of which the controller
 * only tells how many parameters it has. What upstream calls default is right
 * where it fits. */
static gboolean
solve_head (const CiUpstream * upstream, const CiTensorFacts * facts,
    const gchar * source, CiConfig * c, GError ** error)
{
  gint channels = get_int (upstream, "MODEL.CONDINST.MASK_HEAD.CHANNELS", 0);
  gint layers = get_int (upstream, "MODEL.CONDINST.MASK_HEAD.NUM_LAYERS", 0);
  gint no_coords = get_int (upstream,
      "MODEL.CONDINST.MASK_HEAD.DISABLE_REL_COORDS", -1);
  g_autoptr (GString) list = g_string_new (NULL);
  CiConfig found = *c;
  guint n = 0;

  /* out of range, which is said when the description is parsed; the sums below
   * would overflow */
  if (c->condinst.branch_out_channels > 1024 || channels > 64 || layers > 64)
    return TRUE;
  set_head (c, channels ? channels : 8, layers ? layers : 3, no_coords != 1);
  if (ci_config_n_parameters (c) == facts->head_parameters)
    return TRUE;
  for (gint coords = 1; coords >= 0; coords--)
    for (gint l = 1; l <= 8; l++)
      for (gint k = 1; k <= 32; k++) {
        if ((channels && k != channels) || (layers && l != layers)
            || (no_coords >= 0 && coords == no_coords) || (l == 1 && k > 1))
          continue;
        set_head (c, k, l, coords);
        if (ci_config_n_parameters (c) != facts->head_parameters)
          continue;
        found = *c;
        g_string_append_printf (list, "%s%d layers of %d channels%s",
            n++ ? ", " : "", l, k, coords ? "" : " without coordinates");
      }
  *c = found;
  if (n == 1)
    return TRUE;
  g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
      "%s: the %d channels of its controller fit %s over %d mask features%s%s; "
      "the keys MODEL.CONDINST.MASK_HEAD.CHANNELS, NUM_LAYERS and "
      "DISABLE_REL_COORDS decide", source, facts->head_parameters,
      n ? "several dynamic heads" : "no dynamic head",
      c->condinst.branch_out_channels, n ? ": " : "", list->str);
  return FALSE;
}

/* ---- all -------------------------------------------------------------- */

/* The file's name without folder and suffix, or the one configuration that it
 * is. */
static gchar *
make_name (const gchar * source, gchar ** recognised)
{
  g_autofree gchar *base = g_path_get_basename (source);
  g_autofree gchar *name = g_utf8_make_valid (base, -1);
  gchar *dot = strrchr (name, '.');

  if (recognised[0] && !recognised[1] && !strchr (recognised[0], ' '))
    return g_strdup (recognised[0]);
  if (dot && dot > name)
    *dot = '\0';
  return g_strndup (name, 200);
}

gchar *
ci_upstream_describe (const CiCheckpoint * checkpoint,
    const CiUpstream * upstream, const gchar * source, gchar *** recognised,
    GError ** error)
{
  g_autoptr (CiConfig) config = g_new0 (CiConfig, 1);
  g_auto (GStrv) names = NULL;
  CiTensorFacts facts;
  gchar *json;

  if (!ci_recognise (checkpoint, source, config, &facts, error))
    return NULL;
  if (config->n_classes < 1 || config->n_classes > MAX_CLASSES) {
    g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
        "%s: expected 1 to %d classes, found %u", source,
        MAX_CLASSES, config->n_classes);
    return NULL;
  }
  if (config->architecture == CI_ARCHITECTURE_CONDINST
      && !solve_head (upstream, &facts, source, config, error))
    return NULL;
  /* the table has FCOS' relatives */
  names = config->fcos.n_levels ? ci_published_fill (upstream, &facts, source,
      config, error) : g_new0 (gchar *, 1);
  if (!names)
    return NULL;
  if (g_strv_contains ((const gchar * const *) names, PERSON)) {
    config->classes = g_new0 (gchar *, 2);
    config->classes[0] = g_strdup ("person");
  }
  if (!ci_upstream_apply (upstream, &facts, source, config, error))
    return NULL;
  config->name = make_name (source, names);
  json = ci_config_to_json (config);
  if (recognised)
    *recognised = g_steal_pointer (&names);
  return json;
}
