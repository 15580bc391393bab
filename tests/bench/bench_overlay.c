/*
 * Time to render ten masks in boxes of 384x216, and to draw them on a 720p
 * frame, in each layer and effect, beside Cairo painting the same masks, made
 * ready as full-size A8 surfaces, on BGRx; in turn, one thread, best of N times
 * of the thread's CPU clock, as JSON. Cairo on NV12 would cost the two
 * conversions besides.
 *
 *   bench-overlay [ROUNDS]
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <cairo.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "maskdraw.h"

#define WIDTH 1280
#define HEIGHT 720
#define N_MASKS 10
#define BOX_WIDTH 384
#define BOX_HEIGHT 216
/* cells of a mask from a 512x288 network, 4 pixels of its input wide */
#define CELL 10

typedef struct
{
  const gchar *name;
  GstVideoFormat format;
  GstMaskDrawOptions options;
} Case;

#define FILL .draw_masks = TRUE, .mask_opacity = 0.5

static const Case cases[] = {
  {"fill", GST_VIDEO_FORMAT_NV12, {FILL}},
  {"contour", GST_VIDEO_FORMAT_NV12, {.draw_contours = TRUE}},
  {"fill, contour", GST_VIDEO_FORMAT_NV12, {FILL,.draw_contours = TRUE}},
  {"fill, contour, box, label", GST_VIDEO_FORMAT_NV12,
      {FILL,.draw_contours = TRUE,.draw_boxes = TRUE,.draw_labels = TRUE,
            .draw_scores = TRUE}},
  {"fill", GST_VIDEO_FORMAT_I420, {FILL}},
  {"fill", GST_VIDEO_FORMAT_YUY2, {FILL}},
  {"fill", GST_VIDEO_FORMAT_RGB, {FILL}},
  {"fill", GST_VIDEO_FORMAT_BGRx, {FILL}},
  {"blackout", GST_VIDEO_FORMAT_NV12, {FILL,
          .effect = GST_MASK_OVERLAY_EFFECT_BLACKOUT}},
  {"pixelate", GST_VIDEO_FORMAT_NV12, {FILL,
          .effect = GST_MASK_OVERLAY_EFFECT_PIXELATE}},
  {"blur", GST_VIDEO_FORMAT_NV12, {FILL,
          .effect = GST_MASK_OVERLAY_EFFECT_BLUR}},
  {"cutout", GST_VIDEO_FORMAT_NV12, {FILL,
          .effect = GST_MASK_OVERLAY_EFFECT_CUTOUT_ALPHA}},
  {"cutout", GST_VIDEO_FORMAT_RGBA, {FILL,
          .effect = GST_MASK_OVERLAY_EFFECT_CUTOUT_ALPHA}},
};

static gdouble
cpu_ms (void)
{
  struct timespec t;

  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec * 1e3 + t.tv_nsec * 1e-6;
}

/* A blob that fills most of its box */
static void
make_mask (GstInstanceMask * mask, guint index)
{
  guint8 *grid;
  guint i, j;

  memset (mask, 0, sizeof (GstInstanceMask));
  mask->id = mask->class_id = index;
  mask->label = g_quark_from_static_string ("person");
  mask->score = 0.9f;
  mask->x0 = 20.3f + (index % 4) * 280;
  mask->y0 = 10.6f + (index / 4) * 230;
  mask->x1 = mask->x0 + BOX_WIDTH;
  mask->y1 = mask->y0 + BOX_HEIGHT;
  mask->grid_width = mask->grid_stride = BOX_WIDTH / CELL + 1;
  mask->grid_height = BOX_HEIGHT / CELL + 1;
  mask->offset_x = mask->x0;
  mask->offset_y = mask->y0;
  mask->scale_x = mask->scale_y = CELL;
  grid = g_malloc (mask->grid_width * mask->grid_height);
  for (j = 0; j < mask->grid_height; j++) {
    for (i = 0; i < mask->grid_width; i++) {
      gdouble u = 2 * (i + 0.5) / mask->grid_width - 1;
      gdouble v = 2 * (j + 0.5) / mask->grid_height - 1;
      gdouble r = sqrt (u * u + v * v);
      gdouble edge = 0.85 + 0.08 * sin (5 * atan2 (v, u) + index);

      grid[j * mask->grid_stride + i] = (guint8) (255 / (1 + exp ((r - edge)
                  * 25)));
    }
  }
  mask->grid = g_bytes_new_take (grid, mask->grid_width * mask->grid_height);
}

static void
map_frame (GstVideoFrame * frame, GstVideoFormat format, GstBuffer ** buffer)
{
  GstVideoInfo info;

  gst_video_info_set_format (&info, format, WIDTH, HEIGHT);
  *buffer = gst_buffer_new_allocate (NULL, info.size, NULL);
  gst_buffer_memset (*buffer, 0, 100, info.size);
  if (!gst_video_frame_map (frame, &info, *buffer, GST_MAP_READWRITE))
    abort ();
}

static gdouble
time_case (GstMaskDraw * draw, const Case * c, GstVideoFrame * frame,
    const GstInstanceMask * masks)
{
  gdouble start = cpu_ms ();

  if (!gst_mask_draw_frame (draw, frame, &c->options, masks, N_MASKS))
    abort ();
  return cpu_ms () - start;
}

/* What the library makes of a mask besides */
static void
render_a8 (const GstInstanceMask * mask, guint8 * pixels)
{
  gst_instance_mask_render_a8 (mask, (gint) mask->x0, (gint) mask->y0,
      BOX_WIDTH, BOX_HEIGHT, 128, pixels, BOX_WIDTH);
}

static void
render_probabilities (const GstInstanceMask * mask, guint8 * pixels)
{
  gst_instance_mask_render_a8 (mask, (gint) mask->x0, (gint) mask->y0,
      BOX_WIDTH, BOX_HEIGHT, 0, pixels, BOX_WIDTH);
}

static void
render_bits (const GstInstanceMask * mask, guint8 * pixels)
{
  gst_instance_mask_render_bits (mask, (gint) mask->x0, (gint) mask->y0,
      BOX_WIDTH, BOX_HEIGHT, 128, pixels, BOX_WIDTH / 8);
}

static void
get_area (const GstInstanceMask * mask, guint8 * pixels)
{
  if (gst_instance_mask_get_area (mask, WIDTH, HEIGHT, 128) == 0)
    abort ();
}

static void
make_rle (const GstInstanceMask * mask, guint8 * pixels)
{
  gsize n;

  g_free (gst_instance_mask_to_rle (mask, WIDTH, HEIGHT, 128, &n));
}

static const struct
{
  const gchar *name;
  void (*render) (const GstInstanceMask * mask, guint8 * pixels);
} renderers[] = {
  {"a8", render_a8},
  {"probabilities", render_probabilities},
  {"bits", render_bits},
  {"area", get_area},
  {"rle", make_rle},
};

static gdouble
time_renderer (guint index, const GstInstanceMask * masks, guint8 * pixels)
{
  gdouble start = cpu_ms ();
  guint i;

  for (i = 0; i < N_MASKS; i++)
    renderers[index].render (&masks[i], pixels);
  return cpu_ms () - start;
}

/* The masks as Cairo needs them, drawn by ourselves on grey */
static cairo_surface_t *
make_surface (const GstInstanceMask * mask)
{
  GstMaskDrawOptions options = { FILL };
  g_autoptr (GstMaskDraw) draw = gst_mask_draw_new ();
  GstInstanceMask moved = *mask;
  const guint32 white = 0xffffff;
  cairo_surface_t *surface;
  GstVideoFrame frame;
  GstVideoInfo info;
  GstBuffer *buffer;
  gint y;

  options.mask_opacity = 1;
  options.palette = &white;
  options.n_palette = 1;
  moved.offset_x = mask->offset_x - floorf (mask->x0);
  moved.offset_y = mask->offset_y - floorf (mask->y0);
  gst_video_info_set_format (&info, GST_VIDEO_FORMAT_GRAY8, BOX_WIDTH,
      BOX_HEIGHT);
  buffer = gst_buffer_new_allocate (NULL, info.size, NULL);
  gst_buffer_memset (buffer, 0, 0, info.size);
  if (!gst_video_frame_map (&frame, &info, buffer, GST_MAP_READWRITE))
    abort ();
  gst_mask_draw_frame (draw, &frame, &options, &moved, 1);
  surface = cairo_image_surface_create (CAIRO_FORMAT_A8, BOX_WIDTH,
      BOX_HEIGHT);
  for (y = 0; y < BOX_HEIGHT; y++)
    memcpy (cairo_image_surface_get_data (surface)
        + y * cairo_image_surface_get_stride (surface),
        (guint8 *) frame.data[0] + y * frame.info.stride[0], BOX_WIDTH);
  cairo_surface_mark_dirty (surface);
  gst_video_frame_unmap (&frame);
  gst_buffer_unref (buffer);
  return surface;
}

static gdouble
time_cairo (cairo_t * cr, cairo_surface_t ** surfaces,
    const GstInstanceMask * masks)
{
  gdouble start = cpu_ms ();
  guint i;

  for (i = 0; i < N_MASKS; i++) {
    cairo_set_source_rgba (cr, 1, 0.3, 0.2, 0.5);
    cairo_mask_surface (cr, surfaces[i], floorf (masks[i].x0),
        floorf (masks[i].y0));
  }
  cairo_surface_flush (cairo_get_target (cr));
  return cpu_ms () - start;
}

int
main (int argc, char **argv)
{
  gint rounds, n;
  guint i;
  GstInstanceMask masks[N_MASKS];
  cairo_surface_t *surfaces[N_MASKS], *target;
  gdouble best[G_N_ELEMENTS (cases)], best_cairo = G_MAXDOUBLE;
  gdouble best_render[G_N_ELEMENTS (renderers)];
  g_autofree guint8 *pixels = g_malloc (BOX_WIDTH * BOX_HEIGHT);
  GstMaskDraw *draws[G_N_ELEMENTS (cases)];
  GstVideoFrame frames[G_N_ELEMENTS (cases)];
  GstBuffer *buffers[G_N_ELEMENTS (cases)];
  cairo_t *cr;

  gst_init (&argc, &argv);
  rounds = argc > 1 ? atoi (argv[1]) : 100;
  for (i = 0; i < N_MASKS; i++) {
    make_mask (&masks[i], i);
    surfaces[i] = make_surface (&masks[i]);
  }
  target = cairo_image_surface_create (CAIRO_FORMAT_RGB24, WIDTH, HEIGHT);
  cr = cairo_create (target);
  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    best[i] = G_MAXDOUBLE;
    draws[i] = gst_mask_draw_new ();
    map_frame (&frames[i], cases[i].format, &buffers[i]);
  }

  for (i = 0; i < G_N_ELEMENTS (renderers); i++)
    best_render[i] = G_MAXDOUBLE;

  for (n = 0; n < rounds; n++) {
    for (i = 0; i < G_N_ELEMENTS (renderers); i++)
      best_render[i] = MIN (best_render[i], time_renderer (i, masks, pixels));
    for (i = 0; i < G_N_ELEMENTS (cases); i++)
      best[i] = MIN (best[i], time_case (draws[i], &cases[i], &frames[i],
              masks));
    best_cairo = MIN (best_cairo, time_cairo (cr, surfaces, masks));
  }

  g_print ("{\"bench\": \"overlay\", \"frame\": \"1280x720\", \"masks\": %d, "
      "\"box\": \"384x216\", \"rounds\": %d, \"cases\": [\n", N_MASKS, rounds);
  for (i = 0; i < G_N_ELEMENTS (renderers); i++)
    g_print ("  {\"render\": \"%s\", \"ms_min\": %.4f},\n",
        renderers[i].name, best_render[i]);
  for (i = 0; i < G_N_ELEMENTS (cases); i++)
    g_print ("  {\"layers\": \"%s\", \"format\": \"%s\", \"ms_min\": %.4f},\n",
        cases[i].name, gst_video_format_to_string (cases[i].format), best[i]);
  g_print ("  {\"layers\": \"cairo_mask_surface\", \"format\": \"BGRx\", "
      "\"ms_min\": %.4f}\n]}\n", best_cairo);

  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    gst_mask_draw_free (draws[i]);
    gst_video_frame_unmap (&frames[i]);
    gst_buffer_unref (buffers[i]);
  }
  for (i = 0; i < N_MASKS; i++) {
    g_bytes_unref (masks[i].grid);
    cairo_surface_destroy (surfaces[i]);
  }
  cairo_destroy (cr);
  cairo_surface_destroy (target);
  return 0;
}
