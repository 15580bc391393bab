/* GStreamer instance masks
 *
 * label.c: text on plates, drawn by Cairo once and then kept
 *
 * Only coverage is kept, so that a label serves all colours and formats.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <cairo.h>
#include <math.h>
#include <string.h>

#include "maskdraw-private.h"

/* Beyond this many labels, those unseen for a while are dropped. */
#define MAX_LABELS 512
#define MAX_UNSEEN_FRAMES 256
#define MAX_LABEL_WIDTH 4096

struct _LabelCache
{
  GHashTable *labels;           /* text -> Label */
  gchar *font_desc;
  gint frame_height;
  guint64 frame;

  /* for measuring, and the parsed font */
  cairo_surface_t *surface;
  cairo_t *cr;
  gdouble size;
};

static void
label_free (Label * label)
{
  g_free (label->plate.data);
  g_free (label->text.data);
  g_free (label);
}

LabelCache *
label_cache_new (void)
{
  LabelCache *cache = g_new0 (LabelCache, 1);

  cache->labels = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
      (GDestroyNotify) label_free);
  cache->surface = cairo_image_surface_create (CAIRO_FORMAT_A8, 1, 1);
  cache->cr = cairo_create (cache->surface);
  return cache;
}

void
label_cache_free (LabelCache * cache)
{
  g_hash_table_unref (cache->labels);
  cairo_destroy (cache->cr);
  cairo_surface_destroy (cache->surface);
  g_free (cache->font_desc);
  g_free (cache);
}

/* Pixels of a label's text where the description names no size: 16 at 720p */
static gdouble
get_default_size (gint frame_height)
{
  return CLAMP (round (frame_height / 45.), 10, 64);
}

/* Sets the font of @cr by a description as Pango writes it: a family, styles,
 * a size in points at 96 dpi or in pixels ("px"); each may be missing. Returns
 * the size in pixels. */
static gdouble
select_font (cairo_t * cr, const gchar * font_desc, gint frame_height)
{
  g_auto (GStrv) words = g_strsplit_set (font_desc, " ,", -1);
  g_autoptr (GString) family = g_string_new (NULL);
  cairo_font_slant_t slant = CAIRO_FONT_SLANT_NORMAL;
  cairo_font_weight_t weight = CAIRO_FONT_WEIGHT_NORMAL;
  gdouble size = 0;
  guint i;

  for (i = 0; words[i]; i++) {
    const gchar *word = words[i];
    gchar *end;
    gdouble value = g_ascii_strtod (word, &end);

    if (*word == '\0') {
      continue;
    } else if (end != word && (*end == '\0' || g_str_equal (end, "px"))) {
      size = *end ? value : value * 96 / 72;
    } else if (g_ascii_strcasecmp (word, "bold") == 0
        || g_ascii_strcasecmp (word, "semi-bold") == 0
        || g_ascii_strcasecmp (word, "heavy") == 0) {
      weight = CAIRO_FONT_WEIGHT_BOLD;
    } else if (g_ascii_strcasecmp (word, "italic") == 0) {
      slant = CAIRO_FONT_SLANT_ITALIC;
    } else if (g_ascii_strcasecmp (word, "oblique") == 0) {
      slant = CAIRO_FONT_SLANT_OBLIQUE;
    } else if (g_ascii_strcasecmp (word, "normal") != 0
        && g_ascii_strcasecmp (word, "regular") != 0) {
      if (family->len)
        g_string_append_c (family, ' ');
      g_string_append (family, word);
    }
  }
  /* a NaN, too, gives the default */
  if (!(size >= 1))
    size = get_default_size (frame_height);
  size = MIN (size, 512);
  cairo_select_font_face (cr, family->len
      && g_utf8_validate (family->str, -1, NULL) ? family->str : "Sans", slant,
      weight);
  cairo_set_font_size (cr, size);
  return size;
}

static gboolean
is_unseen (gpointer key, gpointer value, gpointer user_data)
{
  LabelCache *cache = user_data;

  return ((Label *) value)->used + MAX_UNSEEN_FRAMES < cache->frame;
}

void
label_cache_begin (LabelCache * cache, const gchar * font_desc,
    gint frame_height)
{
  if (font_desc == NULL)
    font_desc = "Sans Bold";
  cache->frame++;
  if (cache->frame_height != frame_height
      || g_strcmp0 (cache->font_desc, font_desc) != 0) {
    g_hash_table_remove_all (cache->labels);
    g_free (cache->font_desc);
    cache->font_desc = g_strdup (font_desc);
    cache->frame_height = frame_height;
    cache->size = select_font (cache->cr, font_desc, frame_height);
  }
  if (g_hash_table_size (cache->labels) > MAX_LABELS) {
    g_hash_table_foreach_remove (cache->labels, is_unseen, cache);
    if (g_hash_table_size (cache->labels) > 4 * MAX_LABELS)
      g_hash_table_remove_all (cache->labels);
  }
}

static void
rounded_rectangle (cairo_t * cr, gdouble width, gdouble height,
    gdouble radius)
{
  cairo_new_sub_path (cr);
  cairo_arc (cr, width - radius, radius, radius, -G_PI / 2, 0);
  cairo_arc (cr, width - radius, height - radius, radius, 0, G_PI / 2);
  cairo_arc (cr, radius, height - radius, radius, G_PI / 2, G_PI);
  cairo_arc (cr, radius, radius, radius, G_PI, 3 * G_PI / 2);
  cairo_close_path (cr);
}

/* A tile whose coverage Cairo is to draw */
static cairo_t *
begin_drawing (Tile * tile, gint width, gint height)
{
  gsize size = tile_layout (tile, width, height);
  cairo_surface_t *surface;
  cairo_t *cr;

  tile_bind (tile, g_malloc0 (size));
  surface = cairo_image_surface_create_for_data (tile->data, CAIRO_FORMAT_A8,
      width, height, tile->stride);
  cr = cairo_create (surface);
  cairo_surface_destroy (surface);
  return cr;
}

static void
end_drawing (Tile * tile, cairo_t * cr)
{
  cairo_surface_flush (cairo_get_target (cr));
  cairo_destroy (cr);
  tile_find_kinds (tile);
}

static Label *
label_new (LabelCache * cache, const gchar * text)
{
  Label *label = g_new0 (Label, 1);
  cairo_font_extents_t font;
  cairo_text_extents_t extents;
  cairo_font_face_t *face = cairo_get_font_face (cache->cr);
  gdouble pad_x = round (cache->size * 0.4), pad_y = round (cache->size * 0.2);
  gint width, height;
  cairo_t *cr;

  cairo_font_extents (cache->cr, &font);
  cairo_text_extents (cache->cr, text, &extents);
  if (cairo_status (cache->cr) != CAIRO_STATUS_SUCCESS
      || !(extents.x_advance > 0) || !(font.ascent > 0)) {
    /* no fonts on this machine: an empty label, asked for only once */
    return label;
  }

  width = MIN (ceil (extents.x_advance + 2 * pad_x), MAX_LABEL_WIDTH);
  height = ceil (font.ascent + font.descent + 2 * pad_y);
  width = GST_ROUND_UP_2 (width);
  height = GST_ROUND_UP_2 (height);

  cr = begin_drawing (&label->plate, width, height);
  rounded_rectangle (cr, width, height, round (cache->size * 0.2));
  cairo_fill (cr);
  end_drawing (&label->plate, cr);

  cr = begin_drawing (&label->text, width, height);
  cairo_set_font_face (cr, face);
  cairo_set_font_size (cr, cache->size);
  cairo_move_to (cr, round ((width - extents.x_advance) / 2),
      round ((height + font.ascent - font.descent) / 2));
  cairo_show_text (cr, text);
  end_drawing (&label->text, cr);
  return label;
}

const Label *
label_cache_get (LabelCache * cache, const gchar * text)
{
  Label *label = g_hash_table_lookup (cache->labels, text);

  if (label == NULL) {
    label = label_new (cache, text);
    g_hash_table_insert (cache->labels, g_strdup (text), label);
  }
  label->used = cache->frame;
  return label->plate.width > 0 ? label : NULL;
}
