/*
 * session_dump.c: all that a session's last run computed, as a file.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "session_priv.h"

#include <string.h>

typedef struct
{
  GPtrArray *names;             /* gchar * */
  GArray *tensors;              /* CiTensor; data to be freed */
} Dump;

static void
dump_take (Dump * dump, const gchar * name, const CiTensor * tensor)
{
  g_ptr_array_add (dump->names, g_strdup (name));
  g_array_append_val (dump->tensors, *tensor);
}

static void
dump_array (Dump * dump, const gchar * name, CiDType dtype, gint64 n,
    gint64 columns, gconstpointer data)
{
  CiTensor t = { dtype, columns ? 2 : 1, {n, columns} };

  t.data = g_memdup2 (data, n * MAX (columns, 1) * ci_dtype_size (dtype));
  dump_take (dump, name, &t);
}

static void
dump_detections (CiSession * session, Dump * dump)
{
  gint n = session->n_instances;
  g_autofree gint32 *from = g_new0 (gint32, n + 1);
  g_autofree gint32 *classes = g_new0 (gint32, n + 1);
  g_autofree gfloat *boxes = g_new0 (gfloat, 4 * n + 1);
  g_autofree gfloat *scores = g_new0 (gfloat, n + 1);
  CiDetections d;

  ci_plan_get_detections (session->current->sized->plan, &d);
  dump_array (dump, "pre.boxes", CI_DTYPE_F32, d.count, 4, d.boxes);
  dump_array (dump, "pre.scores", CI_DTYPE_F32, d.count, 0, d.scores);
  dump_array (dump, "pre.classes", CI_DTYPE_I32, d.count, 0, d.classes);
  dump_array (dump, "pre.level", CI_DTYPE_I32, d.count, 0, d.levels);
  dump_array (dump, "pre.loc", CI_DTYPE_F32, d.count, 2, d.locations);
  dump_array (dump, "pre.loc_index", CI_DTYPE_I32, d.count, 0, d.cells);
  for (gint i = 0; i < n; i++) {
    const CiInstance *instance = &session->instances[i];

    from[i] = instance->detection;
    classes[i] = instance->class_id;
    scores[i] = instance->score;
    memcpy (boxes + 4 * i, &instance->x0, 4 * sizeof (gfloat));
  }
  dump_array (dump, "det.from_pre", CI_DTYPE_I32, n, 0, from);
  dump_array (dump, "det.boxes", CI_DTYPE_F32, n, 4, boxes);
  dump_array (dump, "det.scores", CI_DTYPE_F32, n, 0, scores);
  dump_array (dump, "det.classes", CI_DTYPE_I32, n, 0, classes);
}

/* Probabilities as the network gives them: `mask.roi_prob` in boxes of all
 * detections, or `mask.prob` (CondInst: with its stride, `mask.prob4`) of the
 * whole input for the first few. */
#define MAX_DUMPED_MAPS 8

static gboolean
dump_probabilities (CiSession * session, Dump * dump, GError ** error)
{
  const SizedPlan *sized = session->current->sized;
  gint width = 0, height = 0, n_dumped = 0;
  g_autofree gchar *name = NULL;
  g_autofree gfloat *data = NULL;
  CiDetections d;
  CiMaskGrid grid;

  ci_plan_get_detections (sized->plan, &d);
  for (gint i = 0; i < d.count && ci_plan_get_mask (sized->plan, i, &grid);
      i++) {
    if (!data) {
      n_dumped = grid.in_box ? d.count : MIN (d.count, MAX_DUMPED_MAPS);
      /* a whole map may begin with cells before the first */
      width = grid.width + MIN (grid.x, 0);
      height = grid.height + MIN (grid.y, 0);
      name = grid.in_box ? g_strdup ("mask.roi_prob")
          : session->config->paste == CI_PASTE_ALIGNED
          ? g_strdup_printf ("mask.prob%d",
          session->config->condinst.mask_out_stride)
          : g_strdup ("mask.prob");
      data = g_try_malloc_n (n_dumped, (gsize) width * height * sizeof (*data));
      if (!data) {
        g_set_error (error, CI_ERROR, CI_ERROR_OUT_OF_MEMORY,
            "out of memory: %d maps of %dx%d", n_dumped, width, height);
        return FALSE;
      }
    }
    if (i < n_dumped) {
      g_autofree gfloat *owned = NULL;
      const gfloat *prob = ci_session_get_probabilities (&grid, &owned);

      for (gint y = 0; y < height; y++)
        memcpy (data + ((gsize) i * height + y) * width,
            prob + (gsize) (y - grid.y) * grid.width - grid.x,
            width * sizeof (gfloat));
    }
  }
  if (data) {
    CiTensor t = { CI_DTYPE_F32, 3, {n_dumped, height, width},
      g_steal_pointer (&data)
    };

    dump_take (dump, name, &t);
  }
  return TRUE;
}

/* The binary masks at the frame's size, most significant bit first. */
static gboolean
dump_masks (CiSession * session, Dump * dump, GError ** error)
{
  const CiImageFormat *image = &session->view.scaling->image;
  gint n = session->n_instances;
  gsize n_pixels = (gsize) image->width * image->height;
  gsize n_bytes = (n_pixels + 7) / 8;
  g_autofree guint8 *mask = g_try_malloc (n_pixels);
  g_autofree guint8 *bits = g_try_malloc0 (n * n_bytes + 1);
  g_autofree gint32 *areas = g_new0 (gint32, n + 1);

  if (!mask || !bits) {
    g_set_error (error, CI_ERROR, CI_ERROR_OUT_OF_MEMORY,
        "out of memory: %d masks of %dx%d", n, image->width, image->height);
    return FALSE;
  }
  for (gint i = 0; i < n; i++) {
    if (!ci_session_paste_mask (session, &session->instances[i], 0.5f, mask,
            error))
      return FALSE;
    for (gsize p = 0; p < n_pixels; p++)
      if (mask[p]) {
        bits[i * n_bytes + p / 8] |= 0x80 >> p % 8;
        areas[i]++;
      }
  }
  dump_array (dump, "mask.bits", CI_DTYPE_U8, n, n_bytes, bits);
  dump_array (dump, "mask.area", CI_DTYPE_I32, n, 0, areas);
  return TRUE;
}

/* The 8-bit image that became @input. */
static void
dump_levels (Dump * dump, const CiPreprocessOptions * pre,
    const CiTensor * input)
{
  gint w = pre->resized_width, h = pre->resized_height;
  CiTensor t = { CI_DTYPE_U8, 3, {h, w, 3} };
  guint8 *levels = g_malloc ((gsize) 3 * w * h);

  for (gint c = 0; c < 3; c++)
    for (gint y = 0; y < h; y++)
      for (gint x = 0; x < w; x++) {
        gfloat v = ((const gfloat *) input->data)[((gsize) c
                * input->dims[2] + y) * input->dims[3] + x];

        levels[((gsize) y * w + x) * 3 + c] =
            CLAMP (v * pre->std[c] + pre->mean[c] + 0.5f, 0, 255);
      }
  t.data = levels;
  dump_take (dump, "input.resized_u8", &t);
}

gboolean
ci_session_dump (CiSession * session, const gchar * path, GError ** error)
{
  CiPlan *plan;
  Dump dump;
  CiTensor t;
  gboolean ok;

  if (!session->options.keep_tensors || !session->options.full_map
      || !session->view.scaling) {
    g_set_error_literal (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "a dump needs a session with keep_tensors and full_map that has run");
    return FALSE;
  }
  plan = session->current->sized->plan;
  dump.names = g_ptr_array_new_with_free_func (g_free);
  dump.tensors = g_array_new (FALSE, FALSE, sizeof (CiTensor));
  for (const gchar * const *name = ci_plan_get_names (plan); *name; name++)
    if (ci_plan_read (plan, *name, &t))
      dump_take (&dump, *name, &t);
  if (session->view.scaling->pre_options.quality != CI_RESIZE_FAST
      && ci_plan_read (plan, "input", &t)) {
    dump_levels (&dump, &session->view.scaling->pre_options, &t);
    g_free ((gpointer) t.data);
  }
  dump_detections (session, &dump);
  ok = (ci_plan_get_grid_size (plan) == 0
      || (dump_probabilities (session, &dump, error)
          && dump_masks (session, &dump, error)))
      && ci_safetensors_write (path,
      (const gchar * const *) dump.names->pdata,
      (const CiTensor *) dump.tensors->data, dump.tensors->len, NULL, error);

  for (guint i = 0; i < dump.tensors->len; i++)
    g_free ((gpointer) g_array_index (dump.tensors, CiTensor, i).data);
  g_array_unref (dump.tensors);
  g_ptr_array_unref (dump.names);
  return ok;
}
