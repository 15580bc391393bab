/* GStreamer instance masks
 *
 * maskdraw.c: what is drawn of each object, where and in which order
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <string.h>

#include "maskdraw-private.h"

typedef struct
{
  guint index;
  gfloat area;
  guint32 rgb;
  guint8 color[4];              /* components in the frame */
  /* the box, limited to where integers can be computed with; empty if it is
   * nonsense or outside the frame */
  gint x0, y0, x1, y1;
} Object;

typedef struct
{
  gint x0, y0, x1, y1;
} Rectangle;

struct _GstMaskDraw
{
  Canvas canvas;
  LabelCache *labels;
  Scratch objects, tile, whole, used_colors, placed;
  CoverageScratch coverage;
  EffectScratch effect;
};

GstMaskDraw *
gst_mask_draw_new (void)
{
  GstMaskDraw *draw = g_new0 (GstMaskDraw, 1);

  draw->labels = label_cache_new ();
  return draw;
}

void
gst_mask_draw_free (GstMaskDraw * draw)
{
  if (draw == NULL)
    return;
  canvas_clear (&draw->canvas);
  label_cache_free (draw->labels);
  scratch_clear (&draw->objects);
  scratch_clear (&draw->tile);
  scratch_clear (&draw->whole);
  scratch_clear (&draw->used_colors);
  scratch_clear (&draw->placed);
  coverage_scratch_clear (&draw->coverage);
  effect_scratch_clear (&draw->effect);
  g_free (draw);
}

gboolean
gst_mask_draw_needed (const GstMaskDrawOptions * options, guint n_masks)
{
  /* a cut-out without objects is all background */
  if (options->draw_masks
      && options->effect == GST_MASK_OVERLAY_EFFECT_CUTOUT_ALPHA)
    return TRUE;
  if (n_masks == 0)
    return FALSE;
  if (options->draw_contours || options->draw_boxes || options->draw_labels
      || options->draw_scores)
    return TRUE;
  return options->draw_masks
      && (options->effect != GST_MASK_OVERLAY_EFFECT_FILL
      || options->mask_opacity > 0);
}

gboolean
gst_mask_draw_reads_frame (const GstMaskDrawOptions * options)
{
  return options->draw_masks
      && (options->effect == GST_MASK_OVERLAY_EFFECT_BLUR
      || options->effect == GST_MASK_OVERLAY_EFFECT_PIXELATE);
}

/* ---- objects ----------------------------------------------------------- */

static guint32
choose_color (GstMaskDraw * draw, const GstMaskDrawOptions * options,
    const GstInstanceMask * mask, const guint32 * palette, guint n,
    guint8 * used, guint * n_used)
{
  guint index;

  switch (options->color_mode) {
    case GST_MASK_OVERLAY_COLOR_MODE_TRACK:
      return palette[mask->id % n];
    case GST_MASK_OVERLAY_COLOR_MODE_INSTANCE:
      index = mask->id % n;
      if (*n_used == n) {
        memset (used, 0, n);
        *n_used = 0;
      }
      while (used[index])
        index = (index + 1) % n;
      used[index] = TRUE;
      ++*n_used;
      return palette[index];
    case GST_MASK_OVERLAY_COLOR_MODE_CLASS:
    default:
      return palette[(guint) mask->class_id % n];
  }
}

static gboolean
is_sane (gfloat value)
{
  return value > -1e9f && value < 1e9f;
}

/* To whole pixels, or pairs where the chroma is subsampled: a line across half
 * a chroma sample would be pale. */
static gint
snap (gdouble value, gint grain)
{
  return (gint) lrint (value / grain) * grain;
}

static void
set_box (Object * object, const GstInstanceMask * mask, const Canvas * canvas)
{
  gint width = canvas->width, height = canvas->height, grain = canvas->grain;

  object->x0 = object->y0 = object->x1 = object->y1 = 0;
  object->area = 0;
  if (!is_sane (mask->x0) || !is_sane (mask->y0) || !is_sane (mask->x1)
      || !is_sane (mask->y1))
    return;
  object->area = (mask->x1 - mask->x0) * (mask->y1 - mask->y0);
  if (mask->x1 > 0 && mask->y1 > 0 && mask->x0 < width && mask->y0 < height
      && mask->x0 < mask->x1 && mask->y0 < mask->y1) {
    object->x0 = snap (mask->x0, grain);
    object->y0 = snap (mask->y0, grain);
    object->x1 = MAX (snap (mask->x1, grain), object->x0 + grain);
    object->y1 = MAX (snap (mask->y1, grain), object->y0 + grain);
  }
}

/* Large objects first, so that small ones stay visible; Shell's sort, which
 * needs no memory. */
static void
sort_objects (Object * objects, guint n)
{
  guint gap, i, j;

  for (gap = n / 2; gap > 0; gap /= 2) {
    for (i = gap; i < n; i++) {
      Object object = objects[i];

      for (j = i; j >= gap && (objects[j - gap].area < object.area
              || (objects[j - gap].area == object.area
                  && objects[j - gap].index > object.index)); j -= gap)
        objects[j] = objects[j - gap];
      objects[j] = object;
    }
  }
}

static Object *
prepare_objects (GstMaskDraw * draw, const GstMaskDrawOptions * options,
    const GstInstanceMask * masks, guint n_masks)
{
  const guint32 *palette = options->palette;
  guint n_colors = options->n_palette, n_used = 0, i;
  Object *objects = (Object *) scratch_get (&draw->objects,
      n_masks * sizeof (Object));
  guint8 *used;

  if (palette == NULL || n_colors == 0)
    palette = palette_get_default (&n_colors);
  used = scratch_get (&draw->used_colors, n_colors);
  memset (used, 0, n_colors);

  for (i = 0; i < n_masks; i++) {
    Object *object = &objects[i];

    object->index = i;
    object->rgb = choose_color (draw, options, &masks[i], palette, n_colors,
        used, &n_used);
    canvas_get_color (&draw->canvas, object->rgb, object->color);
    set_box (object, &masks[i], &draw->canvas);
  }
  sort_objects (objects, n_masks);
  return objects;
}

/* ---- masks ------------------------------------------------------------- */

static gboolean
begin_tile (GstMaskDraw * draw, Tile * tile, const MaskMap * map,
    gdouble margin)
{
  return tile_init (tile, &draw->tile, draw->canvas.width,
      draw->canvas.height, map->x0 - margin, map->y0 - margin,
      map->x1 + margin, map->y1 + margin);
}

/* About an eighth of the object, in steps so that it does not change with
 * every frame; for privacy rather too much than too little. */
static gint
get_effect_size (const GstMaskDrawOptions * options, const MaskMap * map)
{
  static const gint sizes[] = { 8, 12, 16, 24, 32, 48, 64, 96, 128 };
  gdouble size = sqrt ((map->x1 - map->x0) * (map->y1 - map->y0)) / 8;
  guint i;

  if (options->effect_size > 0)
    return MIN (options->effect_size, 1024);
  for (i = 0; i < G_N_ELEMENTS (sizes) - 1 && sizes[i] < size;)
    i++;
  return sizes[i];
}

static void
draw_mask (GstMaskDraw * draw, const GstMaskDrawOptions * options,
    const MaskMap * map, const Object * object, gdouble line_width)
{
  Canvas *canvas = &draw->canvas;
  gboolean contour = options->draw_contours;
  guint8 opacity = 255;
  CanvasImage image;
  guint8 black[4];
  Tile tile;

  if (options->draw_masks) {
    switch (options->effect) {
      case GST_MASK_OVERLAY_EFFECT_FILL:
        opacity = (guint8) (CLAMP (options->mask_opacity, 0, 1) * 255 + 0.5);
        /* the outline of the same colour goes into the same tile */
        if (!begin_tile (draw, &tile, map, contour ? line_width / 2 + 1 : 0))
          return;
        if (opacity > 0)
          coverage_fill (&tile, map, opacity, &draw->coverage);
        if (contour)
          coverage_contour (&tile, map, line_width);
        tile_finish (&tile);
        canvas_blend_color (canvas, &tile, object->color, CANVAS_ALL);
        return;
      case GST_MASK_OVERLAY_EFFECT_CONTOUR:
        contour = TRUE;
        break;
      case GST_MASK_OVERLAY_EFFECT_CUTOUT_ALPHA:
        break;
      default:
        if (!begin_tile (draw, &tile, map, 0))
          break;
        coverage_fill (&tile, map, 255, &draw->coverage);
        tile_finish (&tile);
        if (options->effect == GST_MASK_OVERLAY_EFFECT_BLACKOUT) {
          canvas_get_color (canvas, 0x000000, black);
          canvas_blend_color (canvas, &tile, black, CANVAS_ALL);
          break;
        }
        if (options->effect == GST_MASK_OVERLAY_EFFECT_BLUR)
          effect_blur (canvas, &tile, get_effect_size (options, map),
              &draw->effect, &image);
        else
          effect_pixelate (canvas, &tile,
              GST_ROUND_UP_2 (get_effect_size (options, map)), &draw->effect,
              &image);
        canvas_blend_image (canvas, &tile, &image);
        break;
    }
  }
  if (contour && begin_tile (draw, &tile, map, line_width / 2 + 1)) {
    coverage_contour (&tile, map, line_width);
    tile_finish (&tile);
    canvas_blend_color (canvas, &tile, object->color, CANVAS_ALL);
  }
}

/* Everything that no object covers becomes transparent, or black. */
static void
draw_cutout (GstMaskDraw * draw, const GstInstanceMask * masks, guint n_masks)
{
  static const guint8 transparent[4] = { 0, 0, 0, 0 };
  Canvas *canvas = &draw->canvas;
  Tile whole, tile;
  guint8 black[4];
  guint i;

  if (!tile_init (&whole, &draw->whole, canvas->width, canvas->height, 0, 0,
          canvas->width, canvas->height))
    return;
  for (i = 0; i < n_masks; i++) {
    MaskMap map;

    if (!mask_map_init (&map, &masks[i]))
      continue;
    /* so that its blocks are blocks of the whole */
    map.x0 = floor (map.x0 / TILE_BLOCK) * TILE_BLOCK;
    map.x1 = ceil (map.x1 / TILE_BLOCK) * TILE_BLOCK;
    if (!begin_tile (draw, &tile, &map, 0))
      continue;
    coverage_fill (&tile, &map, 255, &draw->coverage);
    tile_finish (&tile);
    tile_unite (&whole, &tile);
  }
  tile_invert (&whole);
  tile_finish (&whole);
  if (canvas->has_alpha) {
    canvas_blend_color (canvas, &whole, transparent, CANVAS_ALPHA);
  } else {
    canvas_get_color (canvas, 0x000000, black);
    canvas_blend_color (canvas, &whole, black, CANVAS_ALL);
  }
}

/* ---- boxes and labels -------------------------------------------------- */

static void
draw_rectangle (GstMaskDraw * draw, const guint8 color[4], gint x0, gint y0,
    gint x1, gint y1)
{
  Tile tile;

  if (!tile_init (&tile, &draw->tile, draw->canvas.width,
          draw->canvas.height, x0, y0, x1, y1))
    return;
  coverage_rectangle (&tile, x0, y0, x1, y1);
  tile_finish (&tile);
  canvas_blend_color (&draw->canvas, &tile, color, CANVAS_ALL);
}

/* Lines on whole pixels, inside the box */
static void
draw_box (GstMaskDraw * draw, const Object * object, gdouble line_width)
{
  gint x0 = object->x0, y0 = object->y0, x1 = object->x1, y1 = object->y1;
  gint line = MAX (snap (line_width, draw->canvas.grain), draw->canvas.grain);

  if (x0 >= x1 || y0 >= y1)
    return;
  if (x1 - x0 <= 2 * line || y1 - y0 <= 2 * line) {
    draw_rectangle (draw, object->color, x0, y0, x1, y1);
    return;
  }
  draw_rectangle (draw, object->color, x0, y0, x1, y0 + line);
  draw_rectangle (draw, object->color, x0, y1 - line, x1, y1);
  draw_rectangle (draw, object->color, x0, y0 + line, x0 + line, y1 - line);
  draw_rectangle (draw, object->color, x1 - line, y0 + line, x1, y1 - line);
}

static const gchar *
format_label (const GstMaskDrawOptions * options,
    const GstInstanceMask * mask, gchar * text, gsize size)
{
  const gchar *name = mask->label ? g_quark_to_string (mask->label) : NULL;
  gint n = 0;

  text[0] = '\0';
  if (options->draw_labels) {
    if (name && g_utf8_validate (name, -1, NULL)) {
      n = MIN (strlen (name), size - 16);
      while ((name[n] & 0xc0) == 0x80)
        n--;
      memcpy (text, name, n);
      text[n] = '\0';
    } else {
      n = g_snprintf (text, size - 16, "#%d", mask->class_id);
    }
  }
  if (options->draw_scores && mask->score >= 0 && mask->score <= 1)
    g_snprintf (text + n, 16, n ? " %d%%" : "%d%%",
        (gint) (mask->score * 100 + 0.5f));
  return text[0] ? text : NULL;
}

static gboolean
is_free (const Rectangle * placed, guint n, const Rectangle * r)
{
  guint i;

  for (i = 0; i < n; i++)
    if (r->x0 < placed[i].x1 && placed[i].x0 < r->x1 && r->y0 < placed[i].y1
        && placed[i].y0 < r->y1)
      return FALSE;
  return TRUE;
}

/* Labels that a new one must not cover; in a crowd it cannot be helped. */
#define MAX_AVOIDED 256

/* On top of the box, else inside it, ever lower, else under it: the first place
 * in the frame that no other label takes, or the first one if all are taken */
static Rectangle
place_label (const GstMaskDraw * draw, const Object * object,
    const Tile * plate, const Rectangle * placed, guint n_placed)
{
  gint width = draw->canvas.width, height = draw->canvas.height;
  gint x = CLAMP (object->x0, 0, MAX (width - plate->width, 0));
  gint top = MAX (object->y0, 0), y = top - plate->height, i;
  Rectangle r, best;

  x -= x % draw->canvas.grain;
  best.x0 = x;
  best.x1 = x + plate->width;
  best.y0 = y < 0 ? top : y;
  best.y0 = CLAMP (best.y0, 0, MAX (height - plate->height, 0));
  best.y0 -= best.y0 % draw->canvas.grain;
  best.y1 = best.y0 + plate->height;

  r = best;
  for (i = 0; i < 10; i++) {
    r.y0 = y;
    r.y1 = y + plate->height;
    if (r.y0 >= 0 && r.y1 <= height && is_free (placed, n_placed, &r))
      return r;
    if (y >= object->y1)
      break;
    y += plate->height;
    /* inside at least once, and not half out */
    if (y > top && y + plate->height > object->y1)
      y = object->y1;
  }
  return best;
}

static void
draw_tile_at (GstMaskDraw * draw, const Tile * part, const Rectangle * where,
    const guint8 color[4])
{
  const Canvas *canvas = &draw->canvas;
  Tile tile = *part;

  tile.x = where->x0;
  tile.y = where->y0;
  /* a label larger than the frame is cut off */
  tile.width = MIN (tile.width, GST_ROUND_UP_2 (canvas->width) - tile.x);
  tile.height = MIN (tile.height, GST_ROUND_UP_2 (canvas->height) - tile.y);
  canvas_blend_color (&draw->canvas, &tile, color, CANVAS_ALL);
}

static void
draw_label (GstMaskDraw * draw, const GstMaskDrawOptions * options,
    const Object * object, const Label * label, const Rectangle * where)
{
  guint32 text_rgb = options->labels_color ? options->labels_color & 0xffffff :
      palette_get_text_color (object->rgb);
  guint8 color[4];

  canvas_get_color (&draw->canvas, text_rgb, color);
  draw_tile_at (draw, &label->plate, where, object->color);
  draw_tile_at (draw, &label->text, where, color);
}

static void
draw_labels (GstMaskDraw * draw, const GstMaskDrawOptions * options,
    const Object * objects, const GstInstanceMask * masks, guint n_masks)
{
  Rectangle *placed = (Rectangle *) scratch_get (&draw->placed,
      n_masks * sizeof (Rectangle));
  guint i, n_placed = 0;
  gchar text[128];

  label_cache_begin (draw->labels, options->font_desc, draw->canvas.height);
  for (i = 0; i < n_masks; i++) {
    const Object *object = &objects[i];
    const Label *label;

    if (object->x0 >= object->x1
        || !format_label (options, &masks[object->index], text, sizeof (text)))
      continue;
    label = label_cache_get (draw->labels, text);
    if (label == NULL)
      continue;
    placed[n_placed] = place_label (draw, object, &label->plate, placed,
        MIN (n_placed, MAX_AVOIDED));
    draw_label (draw, options, object, label, &placed[n_placed]);
    n_placed++;
  }
}

/* An object without a mask: tinting all of its box would say that it fills it,
 * so the box is drawn instead. Privacy wants the whole box. */
static gboolean
is_box_only (const GstMaskDrawOptions * options, const GstInstanceMask * mask)
{
  return !mask->grid && (!options->draw_masks
      || options->effect == GST_MASK_OVERLAY_EFFECT_FILL
      || options->effect == GST_MASK_OVERLAY_EFFECT_CONTOUR);
}

static void
draw_all (GstMaskDraw * draw, const GstMaskDrawOptions * options,
    const GstInstanceMask * masks, guint n_masks)
{
  gboolean draw_objects = options->draw_masks || options->draw_contours;
  Object *objects;
  gdouble line_width = options->contour_width;
  guint i;

  if (!gst_mask_draw_needed (options, n_masks))
    return;
  if (!(line_width > 0))
    line_width = MAX (draw->canvas.height / 360., 1.5);
  line_width = MIN (line_width, 1024);

  if (options->draw_masks
      && options->effect == GST_MASK_OVERLAY_EFFECT_CUTOUT_ALPHA)
    draw_cutout (draw, masks, n_masks);

  objects = prepare_objects (draw, options, masks, n_masks);
  for (i = 0; i < n_masks && draw_objects; i++) {
    const GstInstanceMask *mask = &masks[objects[i].index];
    MaskMap map;

    if (!is_box_only (options, mask) && mask_map_init (&map, mask))
      draw_mask (draw, options, &map, &objects[i], line_width);
  }
  for (i = 0; i < n_masks; i++)
    if (options->draw_boxes || (draw_objects
            && is_box_only (options, &masks[objects[i].index])))
      draw_box (draw, &objects[i], line_width);
  if (options->draw_labels || options->draw_scores)
    draw_labels (draw, options, objects, masks, n_masks);
}

gboolean
gst_mask_draw_frame (GstMaskDraw * draw, GstVideoFrame * frame,
    const GstMaskDrawOptions * options, const GstInstanceMask * masks,
    guint n_masks)
{
  if (!canvas_init (&draw->canvas, &frame->info, frame))
    return FALSE;
  draw->canvas.func = NULL;
  draw_all (draw, options, masks, n_masks);
  return TRUE;
}

gboolean
gst_mask_draw_cells (GstMaskDraw * draw, const GstVideoInfo * info,
    const GstMaskDrawOptions * options, const GstInstanceMask * masks,
    guint n_masks, GstMaskDrawCellFunc func, gpointer user_data)
{
  if (gst_mask_draw_reads_frame (options)
      || !canvas_init (&draw->canvas, info, NULL))
    return FALSE;
  draw->canvas.func = func;
  draw->canvas.user_data = user_data;
  draw_all (draw, options, masks, n_masks);
  return TRUE;
}
