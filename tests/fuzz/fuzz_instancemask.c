/* Reads any bytes as an instance mask meta; what is taken must survive being
 * used and written again.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdlib.h>
#include <gst/instancemask/instancemask.h>

int LLVMFuzzerInitialize (int *argc, char ***argv);
int LLVMFuzzerTestOneInput (const guint8 * data, gsize size);

int
LLVMFuzzerInitialize (int *argc, char ***argv)
{
  /* No plugins are needed, and their registry takes seconds. */
  g_setenv ("GST_REGISTRY_DISABLE", "yes", TRUE);
  gst_init (NULL, NULL);
  return 0;
}

/* Small sizes, since a mask may say that it is 65536 pixels wide. */
static void
use (const GstInstanceMask * mask)
{
  guint8 pixels[64 * 48];
  g_autofree gchar *rle = NULL;
  gint x, y, w, h;

  gst_instance_mask_render_a8 (mask, -8, -8, 64, 48, 0, pixels, 64);
  gst_instance_mask_get_area (mask, 64, 48, 128);
  gst_instance_mask_get_bounding_rect (mask, 64, 48, 1, &x, &y, &w, &h);
  rle = gst_instance_mask_to_rle_string (mask, 64, 48, 128);
  if (mask->grid_width * mask->grid_height < 4096)
    g_ptr_array_unref (gst_instance_mask_to_polygons (mask, 128, 0.5f));
}

int
LLVMFuzzerTestOneInput (const guint8 * data, gsize size)
{
  g_autoptr (GBytes) bytes = g_bytes_new_static (data, size);
  GstBuffer *buffer = gst_buffer_new ();
  GstInstanceMaskMeta *meta =
      gst_buffer_add_instance_mask_meta_from_bytes (buffer, bytes, NULL);

  if (meta) {
    g_autoptr (GBytes) written = gst_instance_mask_meta_to_bytes (meta);
    g_autoptr (GBytes) again = NULL;

    for (guint i = 0; i < gst_instance_mask_meta_get_n_instances (meta); i++)
      use (gst_instance_mask_meta_get_instance (meta, i));

    meta = gst_buffer_add_instance_mask_meta_from_bytes (buffer, written, NULL);
    if (!meta)
      abort ();
    again = gst_instance_mask_meta_to_bytes (meta);
    if (!g_bytes_equal (written, again))
      abort ();
    gst_instance_mask_meta_crop (meta, 3, 5, 40, 30);
    gst_instance_mask_meta_orient (meta, GST_VIDEO_ORIENTATION_90R);
  }
  gst_buffer_unref (buffer);
  return 0;
}
