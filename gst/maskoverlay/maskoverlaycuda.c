/* GStreamer instance masks
 *
 * maskoverlaycuda.c: drawing on frames where they are, on a GPU
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "../condinstseg/condinstformat.h"
#include "maskoverlaycuda.h"

static void
close_overlay (MaskOverlayCuda * cuda)
{
  g_clear_pointer (&cuda->overlay, ci_overlay_free);
  cuda->tried = FALSE;
}

void
mask_overlay_cuda_set_info (MaskOverlayCuda * cuda, const GstVideoInfo * info)
{
  cuda->has_format = cond_inst_format_from_info (info, &cuda->format)
      && MAX (info->width, info->height) <= CI_OVERLAY_MAX_SIZE;
  /* for whoever asks for one, or for a pool; frames bring theirs */
  cond_inst_cuda_find (&cuda->shared, -1);
}

static void
open_overlay (MaskOverlayCuda * cuda)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CiDevice) device = NULL;
  gint index = -1;
  gpointer context = cond_inst_cuda_get_handle (&cuda->shared, &index);

  /* the frames are in the host's memory, whatever their caps say */
  if (!context)
    return;
  cuda->tried = TRUE;
  device = ci_device_open (index, context, &error);
  if (device)
    cuda->overlay = ci_overlay_new (device, &error);
  if (cuda->overlay)
    GST_INFO_OBJECT (cuda->shared.element, "draws on %s",
        ci_device_get_description (device));
  else
    GST_WARNING_OBJECT (cuda->shared.element, "frames leave the GPU to be "
        "drawn on, and go back: %s", error->message);
}

CondInstCuda *
mask_overlay_cuda_choose (MaskOverlayCuda * cuda, GstBuffer * buffer,
    const GstMaskDrawOptions * options)
{
  if (!cuda->has_format || gst_mask_draw_reads_frame (options))
    return NULL;
  if (cond_inst_cuda_is_elsewhere (&cuda->shared, buffer, -1)) {
    gpointer before;

    /* nothing may use a context when it goes */
    close_overlay (cuda);
    before = cond_inst_cuda_replace (&cuda->shared,
        cond_inst_cuda_ref_context_of (buffer));
    if (before)
      gst_object_unref (before);
  }
  if (!cuda->tried)
    open_overlay (cuda);
  return cuda->overlay ? &cuda->shared : NULL;
}

static void
add_cell (const GstMaskDrawCell * cell, gpointer user_data)
{
  const guint8 *c = cell->color;
  CiOverlayLayer layer = { cell->x, cell->y, cell->coverage, cell->opacity,
    {c[0], c[1], c[2], c[3]}, cell->components
  };

  ci_overlay_add (user_data, &layer);
}

gboolean
mask_overlay_cuda_draw (MaskOverlayCuda * cuda, GstMaskDraw * draw,
    const GstVideoInfo * info, const CiImage * image,
    const GstMaskDrawOptions * options, const GstInstanceMask * masks,
    guint n_masks, GError ** error)
{
  gst_mask_draw_cells (draw, info, options, masks, n_masks, add_cell,
      cuda->overlay);
  return ci_overlay_blend (cuda->overlay, &cuda->format, image, error);
}

void
mask_overlay_cuda_clear (MaskOverlayCuda * cuda)
{
  close_overlay (cuda);
  cond_inst_cuda_clear (&cuda->shared);
}
