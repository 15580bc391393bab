/* GStreamer instance masks
 *
 * maskoverlaycuda.h: drawing on frames where they are, on a GPU
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef __MASK_OVERLAY_CUDA_H__
#define __MASK_OVERLAY_CUDA_H__

#include "../condinstseg/condinstcuda.h"
#include "maskdraw.h"

G_BEGIN_DECLS

typedef struct
{
  CondInstCuda shared;          /* the context of the frames */
  gboolean has_format;
  CiImageFormat format;         /* of frames, if the engine knows it */
  CiOverlay *overlay;           /* in that context; NULL if it cannot be */
  gboolean tried;               /* to make one */
} MaskOverlayCuda;

/* Frames like @info come next, in CUDA memory. */
void mask_overlay_cuda_set_info (MaskOverlayCuda * cuda,
    const GstVideoInfo * info);
/* Where to draw on @buffer: in the context that it is in, or NULL: in the
 * host's memory. What is wrong is said once. */
CondInstCuda *mask_overlay_cuda_choose (MaskOverlayCuda * cuda,
    GstBuffer * buffer, const GstMaskDrawOptions * options);
/* Draws on @image, which is on the device. */
gboolean mask_overlay_cuda_draw (MaskOverlayCuda * cuda, GstMaskDraw * draw,
    const GstVideoInfo * info, const CiImage * image,
    const GstMaskDrawOptions * options, const GstInstanceMask * masks,
    guint n_masks, GError ** error);
void mask_overlay_cuda_clear (MaskOverlayCuda * cuda);

G_END_DECLS

#endif
