/*
 * Recognition: whatever tensors a checkpoint says that it has, they give an
 * error or a description, and the tensors of the network that it describes give
 * the same one. The input is a list of them, "NAME 64x3x7x7" a line, of which
 * changes make sense more often than of a file's bytes; a line without a shape
 * is the file's name.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "models/method.h"
#include "models/tensors.h"

/* What files of a few terabytes may hold. */
#define MAX_ELEMENTS (G_GUINT64_CONSTANT (1) << 40)
/* More is never read to recognise something. */
#define MAX_DATA 16

int LLVMFuzzerTestOneInput (const guint8 * data, gsize size);

/* ---- a checkpoint that is a list ---------------------------------------- */

struct _CiCheckpoint
{
  GTree *tensors;               /* name -> CiTensor, in the names' order */
  GPtrArray *names;             /* NULL-terminated once all are there */
};

static void
tensor_free (gpointer data)
{
  g_free ((gpointer) ((CiTensor *) data)->data);
  g_free (data);
}

static gint
compare (gconstpointer a, gconstpointer b, gpointer user_data)
{
  return strcmp (a, b);
}

static CiCheckpoint *
checkpoint_new (void)
{
  CiCheckpoint *c = g_new0 (CiCheckpoint, 1);

  c->tensors = g_tree_new_full (compare, NULL, g_free, tensor_free);
  c->names = g_ptr_array_new ();
  return c;
}

void
ci_checkpoint_free (CiCheckpoint * c)
{
  if (!c)
    return;
  g_tree_unref (c->tensors);
  g_ptr_array_unref (c->names);
  g_free (c);
}

/* Its values are 1, 2, ..; of a large one none can be read. */
static void
add_tensor (const gchar * name, gint n_dims, const gint64 * dims,
    gpointer user_data)
{
  CiCheckpoint *c = user_data;
  CiTensor *t = g_new0 (CiTensor, 1);
  gsize n;

  t->dtype = CI_DTYPE_F32;
  t->n_dims = n_dims;
  memcpy (t->dims, dims, n_dims * sizeof *dims);
  n = ci_tensor_n_elements (t);
  if (n <= MAX_DATA) {
    gfloat *values = g_new (gfloat, n + 1);

    for (gsize i = 0; i < n; i++)
      values[i] = i + 1;
    t->data = values;
  }
  g_tree_replace (c->tensors, g_strdup (name), t);
}

static gboolean
add_name (gpointer name, gpointer tensor, gpointer user_data)
{
  g_ptr_array_add (user_data, name);
  return FALSE;
}

static void
list_names (CiCheckpoint * c)
{
  g_ptr_array_set_size (c->names, 0);
  g_tree_foreach (c->tensors, add_name, c->names);
  g_ptr_array_add (c->names, NULL);
}

static void
add_line (CiCheckpoint * c, const gchar * line, const gchar ** file)
{
  const gchar *blank = strrchr (line, ' ');
  g_autofree gchar *name = NULL;
  gint64 dims[CI_MAX_DIMS];
  guint64 n_elements = 1;
  gint n_dims = 0;

  if (!blank) {
    if (*line)
      *file = line;
    return;
  }
  name = g_strndup (line, blank - line);
  if (!g_utf8_validate (name, -1, NULL))
    return;
  for (const gchar * p = blank; *p && n_dims < CI_MAX_DIMS; n_dims++) {
    gchar *end;
    guint64 dim = g_ascii_strtoull (p + 1, &end, 10);

    if (end == p + 1 || !g_uint64_checked_mul (&n_elements, n_elements, dim))
      return;
    dims[n_dims] = dim;
    p = end;
  }
  if (n_elements <= MAX_ELEMENTS)
    add_tensor (name, n_dims, dims, c);
}

gboolean
ci_checkpoint_lookup (const CiCheckpoint * c, const gchar * name,
    CiTensor * out)
{
  const CiTensor *t = g_tree_lookup (c->tensors, name);

  if (t)
    *out = *t;
  return t != NULL;
}

gchar *
ci_checkpoint_describe (const CiCheckpoint * c, const gchar * name)
{
  const CiTensor *t = g_tree_lookup (c->tensors, name);

  return t ? ci_tensor_describe (t) : NULL;
}

const gchar *const *
ci_checkpoint_get_names (const CiCheckpoint * c)
{
  return (const gchar * const *) c->names->pdata;
}

/* ---- recognition -------------------------------------------------------- */

static gchar *
describe (const CiCheckpoint * c, const gchar * file, CiConfig ** config)
{
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) names = NULL;
  g_autofree gchar *json = ci_upstream_describe (c, NULL, file, &names,
      &error);

  g_assert ((json == NULL) == (error != NULL));
  g_assert ((json == NULL) == (names == NULL));
  g_assert (json || error->domain == CI_ERROR);
  if (!json)
    return NULL;
  *config = ci_config_parse (json, "fuzz", &error);
  g_assert ((*config == NULL) == (error != NULL));
  g_assert (*config || error->domain == CI_ERROR);
  return *config ? g_steal_pointer (&json) : NULL;
}

/* What is no part of any graph tells something, too; of FCOS' relatives too
 * much. */
static void
check_again (const CiCheckpoint * c, const gchar * file,
    const CiConfig * config, const gchar * json)
{
  static const gchar *const facts[] = {
    "pixel_mean", "pixel_std", "backbone.body.bn1.num_batches_tracked"
  };
  g_autoptr (CiCheckpoint) own = checkpoint_new ();
  g_autoptr (CiConfig) again = NULL;
  g_autofree gchar *json_again = NULL;
  CiGraph *graph = ci_network_build (config, NULL);
  CiTensor t;

  ci_graph_foreach_tensor (graph, add_tensor, own);
  ci_graph_free (graph);
  if (config->fcos.n_levels)
    return;
  for (guint i = 0; i < G_N_ELEMENTS (facts); i++)
    if (ci_checkpoint_lookup (c, facts[i], &t))
      add_tensor (facts[i], t.n_dims, t.dims, own);
  list_names (own);
  json_again = describe (own, file, &again);
  g_assert_cmpstr (json, ==, json_again);
}

int
LLVMFuzzerTestOneInput (const guint8 * data, gsize size)
{
  g_autofree gchar *text = g_strndup ((const gchar *) data, size);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  g_autoptr (CiCheckpoint) c = checkpoint_new ();
  g_autoptr (CiConfig) config = NULL;
  g_autofree gchar *json = NULL;
  const gchar *file = "fuzz.pth";

  for (guint i = 0; lines[i]; i++)
    add_line (c, lines[i], &file);
  list_names (c);
  json = describe (c, file, &config);
  if (json)
    check_again (c, file, config, json);
  return 0;
}
