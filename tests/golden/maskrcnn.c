/*
 * maskrcnn.c: Mask R-CNN against the outputs of torchvision and detectron2.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gst/check/gstcheck.h>
#include <math.h>
#include <string.h>

#include "compare.h"

#define ZOO GOLDEN "zoo/"

typedef void (*PasteFunc) (const gfloat * prob, gint size,
    const gfloat box[4], gint frame_width, gint frame_height,
    gfloat threshold, guint8 * dst);

static const struct
{
  const gchar *stem;
  PasteFunc paste;
} paste_cases[] = {
  {"maskrcnn_torchvision/maskrcnn_resnet50_fpn", ci_mask_paste_pixel_box},
  {"maskrcnn_d2/mask_rcnn_R_50_FPN", ci_mask_paste_box},
};

/* The official masks of the first three detections from their soft maps. */
static void
check_pastes (const gchar * path, PasteFunc paste)
{
  CiSafetensors *file = golden_open (path);
  CiTensor prob = golden_get (file, "inst.mask_probs_first3");
  CiTensor boxes = golden_get (file, "det.boxes");
  CiTensor packed = golden_get (file, "det.masks_packed");
  CiTensor hw = golden_get (file, "det.image_hw");
  gint h = ((const gint64 *) hw.data)[0], w = ((const gint64 *) hw.data)[1];
  gint size = prob.dims[1];
  g_autofree guint8 *mask = g_malloc (h * w);

  for (gint i = 0; i < prob.dims[0]; i++) {
    const guint8 *bits = (const guint8 *) packed.data + i * packed.dims[1];
    gint n_wrong = 0, n_set = 0;

    paste (F32 (prob) + i * size * size, size, F32 (boxes) + 4 * i, w, h, 0.5f,
        mask);
    for (gint k = 0; k < h * w; k++) {
      n_wrong += mask[k] != (bits[k / 8] >> (7 - k % 8) & 1);
      n_set += mask[k];
    }
    fail_unless (!n_wrong && n_set > 100, "%s: mask %d: %d of %d pixels",
        path, i, n_wrong, n_set);
  }
  ci_safetensors_free (file);
}

GST_START_TEST (test_paste)
{
  for (gint image = 0; image < 2; image++) {
    g_autofree gchar *path = g_strdup_printf (ZOO "%s.%c.safetensors",
        paste_cases[__i__].stem, 'a' + image);

    check_pastes (path, paste_cases[__i__].paste);
  }
}

GST_END_TEST;

static Suite *
maskrcnn_suite (void)
{
  Suite *s = suite_create ("parity-maskrcnn");
  TCase *tc = tcase_create ("golden");

  suite_add_tcase (s, tc);
  tcase_set_timeout (tc, 300);
  tcase_add_loop_test (tc, test_paste, 0, G_N_ELEMENTS (paste_cases));
  return s;
}

int
main (int argc, char **argv)
{
  if (!g_file_test (ZOO, G_FILE_TEST_IS_DIR)) {
    g_print ("skipped: no " ZOO "\n");
    return 77;
  }
  gst_check_init (&argc, &argv);
  return gst_check_run_suite (maskrcnn_suite (), "parity-maskrcnn", __FILE__);
}
