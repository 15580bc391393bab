/* GStreamer instance masks
 *
 * maskoverlaysettings.c: what maskoverlay's properties say
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "maskoverlaysettings.h"

#define DEFAULT_DRAW_MASKS TRUE
#define DEFAULT_DRAW_CONTOURS TRUE
#define DEFAULT_DRAW_BOXES FALSE
#define DEFAULT_DRAW_LABELS TRUE
#define DEFAULT_DRAW_SCORES TRUE
#define DEFAULT_EFFECT GST_MASK_OVERLAY_EFFECT_FILL
#define DEFAULT_EFFECT_SIZE 0
#define DEFAULT_MASK_OPACITY 0.5
#define DEFAULT_COLOR_MODE GST_MASK_OVERLAY_COLOR_MODE_CLASS
#define DEFAULT_PALETTE "default"
#define DEFAULT_CONTOUR_WIDTH 0.0
#define DEFAULT_FONT_DESC "Sans Bold"
#define DEFAULT_LABELS_COLOR 0
#define DEFAULT_EXPIRE_OVERLAY 0

enum
{
  PROP_0,
  PROP_DRAW_MASKS,
  PROP_DRAW_CONTOURS,
  PROP_DRAW_BOXES,
  PROP_DRAW_LABELS,
  PROP_DRAW_SCORES,
  PROP_EFFECT,
  PROP_EFFECT_SIZE,
  PROP_MASK_OPACITY,
  PROP_COLOR_MODE,
  PROP_PALETTE,
  PROP_CONTOUR_WIDTH,
  PROP_FONT_DESC,
  PROP_LABELS_COLOR,
  PROP_SELECTED_TYPES,
  PROP_EXCLUDED_TYPES,
  PROP_EXPIRE_OVERLAY,
};

/* One entry of selected-types: a label, and a class id if it is a number */
typedef struct
{
  GQuark label;
  gint64 class_id;              /* -1 for none */
} MaskOverlayType;

GType
gst_mask_overlay_effect_get_type (void)
{
  static gsize type = 0;
  static const GEnumValue values[] = {
    {GST_MASK_OVERLAY_EFFECT_FILL, "Tint objects in their colour", "fill"},
    {GST_MASK_OVERLAY_EFFECT_CONTOUR, "Draw the outline only", "contour"},
    {GST_MASK_OVERLAY_EFFECT_BLUR, "Blur objects beyond recognition", "blur"},
    {GST_MASK_OVERLAY_EFFECT_PIXELATE, "Replace objects by a mosaic",
        "pixelate"},
    {GST_MASK_OVERLAY_EFFECT_BLACKOUT, "Paint objects black", "blackout"},
    {GST_MASK_OVERLAY_EFFECT_CUTOUT_ALPHA,
          "Make everything but the objects transparent (black in formats "
          "without alpha)", "cutout-alpha"},
    {0, NULL, NULL},
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type,
        g_enum_register_static ("GstMaskOverlayEffect", values));
  return type;
}

GType
gst_mask_overlay_color_mode_get_type (void)
{
  static gsize type = 0;
  static const GEnumValue values[] = {
    {GST_MASK_OVERLAY_COLOR_MODE_CLASS, "One colour for each class", "class"},
    {GST_MASK_OVERLAY_COLOR_MODE_INSTANCE,
        "Another colour for each object of a frame", "instance"},
    {GST_MASK_OVERLAY_COLOR_MODE_TRACK,
        "One colour for each id that a tracker gave", "track"},
    {0, NULL, NULL},
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type,
        g_enum_register_static ("GstMaskOverlayColorMode", values));
  return type;
}

static void
settings_clear (MaskOverlaySettings * settings)
{
  g_free (settings->palette);
  g_free (settings->colors);
  g_free (settings->font_desc);
  g_free (settings->selected_types);
  g_free (settings->excluded_types);
  g_clear_pointer (&settings->selected, g_array_unref);
  g_clear_pointer (&settings->excluded, g_array_unref);
}

MaskOverlaySettings *
mask_overlay_settings_new (void)
{
  MaskOverlaySettings *settings = g_atomic_rc_box_new0 (MaskOverlaySettings);

  settings->options = (GstMaskDrawOptions) {
    .draw_masks = DEFAULT_DRAW_MASKS,
    .draw_contours = DEFAULT_DRAW_CONTOURS,
    .draw_boxes = DEFAULT_DRAW_BOXES,
    .draw_labels = DEFAULT_DRAW_LABELS,
    .draw_scores = DEFAULT_DRAW_SCORES,
    .effect = DEFAULT_EFFECT,
    .effect_size = DEFAULT_EFFECT_SIZE,
    .mask_opacity = DEFAULT_MASK_OPACITY,
    .color_mode = DEFAULT_COLOR_MODE,
    .contour_width = DEFAULT_CONTOUR_WIDTH,
    .labels_color = DEFAULT_LABELS_COLOR,
  };
  settings->palette = g_strdup (DEFAULT_PALETTE);
  settings->colors = gst_mask_palette_parse (DEFAULT_PALETTE,
      &settings->options.n_palette, NULL);
  settings->options.palette = settings->colors;
  settings->font_desc = g_strdup (DEFAULT_FONT_DESC);
  settings->options.font_desc = settings->font_desc;
  settings->expire_overlay = DEFAULT_EXPIRE_OVERLAY;
  return settings;
}

MaskOverlaySettings *
mask_overlay_settings_copy (const MaskOverlaySettings * settings)
{
  MaskOverlaySettings *copy = g_atomic_rc_box_new (MaskOverlaySettings);

  *copy = *settings;
  copy->palette = g_strdup (settings->palette);
  copy->colors = g_memdup2 (settings->colors,
      settings->options.n_palette * sizeof (guint32));
  copy->options.palette = copy->colors;
  copy->font_desc = g_strdup (settings->font_desc);
  copy->options.font_desc = copy->font_desc;
  copy->selected_types = g_strdup (settings->selected_types);
  copy->excluded_types = g_strdup (settings->excluded_types);
  if (copy->selected)
    g_array_ref (copy->selected);
  if (copy->excluded)
    g_array_ref (copy->excluded);
  return copy;
}

MaskOverlaySettings *
mask_overlay_settings_ref (MaskOverlaySettings * settings)
{
  return g_atomic_rc_box_acquire (settings);
}

void
mask_overlay_settings_unref (MaskOverlaySettings * settings)
{
  g_atomic_rc_box_release_full (settings, (GDestroyNotify) settings_clear);
}

/* ---- types ------------------------------------------------------------- */

static GArray *
parse_types (const gchar * list)
{
  g_auto (GStrv) items = NULL;
  GArray *types = NULL;
  guint i;

  if (list == NULL)
    return NULL;
  items = g_strsplit (list, ";", -1);
  for (i = 0; items[i]; i++) {
    const gchar *label = g_strstrip (items[i]);
    MaskOverlayType type;

    if (*label == '\0')
      continue;
    type.label = g_quark_from_string (label);
    if (!g_ascii_string_to_signed (label, 10, 0, G_MAXINT, &type.class_id,
            NULL))
      type.class_id = -1;
    if (types == NULL)
      types = g_array_new (FALSE, FALSE, sizeof (MaskOverlayType));
    g_array_append_val (types, type);
  }
  return types;
}

static gboolean
has_type (const GArray * types, const GstInstanceMask * mask)
{
  guint i;

  for (i = 0; i < types->len; i++) {
    const MaskOverlayType *type = &g_array_index (types, MaskOverlayType, i);

    if (type->label == mask->label
        || (type->class_id >= 0 && type->class_id == mask->class_id))
      return TRUE;
  }
  return FALSE;
}

gboolean
mask_overlay_settings_wants (const MaskOverlaySettings * settings,
    const GstInstanceMask * mask)
{
  if (settings->excluded && has_type (settings->excluded, mask))
    return FALSE;
  return settings->selected == NULL || has_type (settings->selected, mask);
}

/* ---- properties -------------------------------------------------------- */

static void
set_string (gchar ** field, const GValue * value, const gchar * fallback)
{
  g_free (*field);
  *field = g_value_dup_string (value);
  if (*field == NULL)
    *field = g_strdup (fallback);
}

gboolean
mask_overlay_settings_set (MaskOverlaySettings * settings, guint prop_id,
    const GValue * value, GError ** error)
{
  GstMaskDrawOptions *options = &settings->options;
  guint32 *colors;
  guint n_colors;

  switch (prop_id) {
    case PROP_DRAW_MASKS:
      options->draw_masks = g_value_get_boolean (value);
      break;
    case PROP_DRAW_CONTOURS:
      options->draw_contours = g_value_get_boolean (value);
      break;
    case PROP_DRAW_BOXES:
      options->draw_boxes = g_value_get_boolean (value);
      break;
    case PROP_DRAW_LABELS:
      options->draw_labels = g_value_get_boolean (value);
      break;
    case PROP_DRAW_SCORES:
      options->draw_scores = g_value_get_boolean (value);
      break;
    case PROP_EFFECT:
      options->effect = g_value_get_enum (value);
      break;
    case PROP_EFFECT_SIZE:
      options->effect_size = g_value_get_uint (value);
      break;
    case PROP_MASK_OPACITY:
      options->mask_opacity = g_value_get_double (value);
      break;
    case PROP_COLOR_MODE:
      options->color_mode = g_value_get_enum (value);
      break;
    case PROP_PALETTE:
      colors = gst_mask_palette_parse (g_value_get_string (value), &n_colors,
          error);
      if (colors == NULL)
        return FALSE;
      g_free (settings->colors);
      settings->colors = colors;
      options->palette = colors;
      options->n_palette = n_colors;
      set_string (&settings->palette, value, DEFAULT_PALETTE);
      break;
    case PROP_CONTOUR_WIDTH:
      options->contour_width = g_value_get_double (value);
      break;
    case PROP_FONT_DESC:
      set_string (&settings->font_desc, value, DEFAULT_FONT_DESC);
      options->font_desc = settings->font_desc;
      break;
    case PROP_LABELS_COLOR:
      options->labels_color = g_value_get_uint (value);
      break;
    case PROP_SELECTED_TYPES:
      set_string (&settings->selected_types, value, NULL);
      g_clear_pointer (&settings->selected, g_array_unref);
      settings->selected = parse_types (settings->selected_types);
      break;
    case PROP_EXCLUDED_TYPES:
      set_string (&settings->excluded_types, value, NULL);
      g_clear_pointer (&settings->excluded, g_array_unref);
      settings->excluded = parse_types (settings->excluded_types);
      break;
    case PROP_EXPIRE_OVERLAY:
      settings->expire_overlay = g_value_get_uint64 (value);
      break;
    default:
      g_return_val_if_reached (TRUE);
  }
  return TRUE;
}

void
mask_overlay_settings_get (const MaskOverlaySettings * settings,
    guint prop_id, GValue * value)
{
  const GstMaskDrawOptions *options = &settings->options;

  switch (prop_id) {
    case PROP_DRAW_MASKS:
      g_value_set_boolean (value, options->draw_masks);
      break;
    case PROP_DRAW_CONTOURS:
      g_value_set_boolean (value, options->draw_contours);
      break;
    case PROP_DRAW_BOXES:
      g_value_set_boolean (value, options->draw_boxes);
      break;
    case PROP_DRAW_LABELS:
      g_value_set_boolean (value, options->draw_labels);
      break;
    case PROP_DRAW_SCORES:
      g_value_set_boolean (value, options->draw_scores);
      break;
    case PROP_EFFECT:
      g_value_set_enum (value, options->effect);
      break;
    case PROP_EFFECT_SIZE:
      g_value_set_uint (value, options->effect_size);
      break;
    case PROP_MASK_OPACITY:
      g_value_set_double (value, options->mask_opacity);
      break;
    case PROP_COLOR_MODE:
      g_value_set_enum (value, options->color_mode);
      break;
    case PROP_PALETTE:
      g_value_set_string (value, settings->palette);
      break;
    case PROP_CONTOUR_WIDTH:
      g_value_set_double (value, options->contour_width);
      break;
    case PROP_FONT_DESC:
      g_value_set_string (value, settings->font_desc);
      break;
    case PROP_LABELS_COLOR:
      g_value_set_uint (value, options->labels_color);
      break;
    case PROP_SELECTED_TYPES:
      g_value_set_string (value, settings->selected_types);
      break;
    case PROP_EXCLUDED_TYPES:
      g_value_set_string (value, settings->excluded_types);
      break;
    case PROP_EXPIRE_OVERLAY:
      g_value_set_uint64 (value, settings->expire_overlay);
      break;
    default:
      g_return_if_reached ();
  }
}

#define FLAGS (G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS \
    | GST_PARAM_MUTABLE_PLAYING)

void
mask_overlay_settings_install (GObjectClass * klass)
{
  /**
   * GstMaskOverlay:draw-masks:
   *
   * Apply #GstMaskOverlay:effect to the objects' pixels.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_DRAW_MASKS,
      g_param_spec_boolean ("draw-masks", "Draw masks",
          "Apply the effect to the objects' pixels", DEFAULT_DRAW_MASKS,
          FLAGS));
  /**
   * GstMaskOverlay:draw-contours:
   *
   * Draw an anti-aliased line around each object.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_DRAW_CONTOURS,
      g_param_spec_boolean ("draw-contours", "Draw contours",
          "Draw a line around each object, whatever the effect",
          DEFAULT_DRAW_CONTOURS, FLAGS));
  /**
   * GstMaskOverlay:draw-boxes:
   *
   * Draw each object's bounding box.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_DRAW_BOXES,
      g_param_spec_boolean ("draw-boxes", "Draw boxes",
          "Draw each object's bounding box", DEFAULT_DRAW_BOXES, FLAGS));
  /**
   * GstMaskOverlay:draw-labels:
   *
   * Write each object's class on a plate at its box.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_DRAW_LABELS,
      g_param_spec_boolean ("draw-labels", "Draw labels",
          "Write each object's class on a plate at its box",
          DEFAULT_DRAW_LABELS, FLAGS));
  /**
   * GstMaskOverlay:draw-scores:
   *
   * Write each object's score, in percent, beside its class, or alone.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_DRAW_SCORES,
      g_param_spec_boolean ("draw-scores", "Draw scores",
          "Write each object's score in percent (beside the class, or alone)",
          DEFAULT_DRAW_SCORES, FLAGS));
  /**
   * GstMaskOverlay:effect:
   *
   * What becomes of the pixels that belong to an object. An object without a
   * mask counts as one that fills its box.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_EFFECT,
      g_param_spec_enum ("effect", "Effect",
          "What becomes of the pixels that belong to an object",
          GST_TYPE_MASK_OVERLAY_EFFECT, DEFAULT_EFFECT, FLAGS));
  /**
   * GstMaskOverlay:effect-size:
   *
   * Radius of the blur, or size of the mosaic's blocks, in pixels.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_EFFECT_SIZE,
      g_param_spec_uint ("effect-size", "Effect size",
          "Radius of the blur or size of the mosaic's blocks, in pixels "
          "(0 = an eighth of the object)", 0, 1024, DEFAULT_EFFECT_SIZE,
          FLAGS));
  /**
   * GstMaskOverlay:mask-opacity:
   *
   * Opacity of the tint of effect=fill. The other effects are never
   * translucent.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_MASK_OPACITY,
      g_param_spec_double ("mask-opacity", "Mask opacity",
          "Opacity of the tint of effect=fill", 0, 1, DEFAULT_MASK_OPACITY,
          FLAGS | GST_PARAM_CONTROLLABLE));
  /**
   * GstMaskOverlay:color-mode:
   *
   * What decides the colour of an object.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_COLOR_MODE,
      g_param_spec_enum ("color-mode", "Colour mode",
          "What decides the colour of an object",
          GST_TYPE_MASK_OVERLAY_COLOR_MODE, DEFAULT_COLOR_MODE, FLAGS));
  /**
   * GstMaskOverlay:palette:
   *
   * A palette's name (`default`, `tableau`, `pastel`, `colorblind`) or colours
   * like `#ff8800,#00aaff`; class or id n gets the nth, counted from 0, and
   * after the last comes the first again.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_PALETTE,
      g_param_spec_string ("palette", "Palette",
          "Colours: default, tableau, pastel, colorblind, or a list like "
          "#ff8800,#00aaff", DEFAULT_PALETTE, FLAGS));
  /**
   * GstMaskOverlay:contour-width:
   *
   * Width of outlines and boxes in pixels; 0 takes a 360th of the frame's
   * height (2 pixels at 720p).
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_CONTOUR_WIDTH,
      g_param_spec_double ("contour-width", "Contour width",
          "Width of outlines and boxes, in pixels (0 = by the frame's height)",
          0, 100, DEFAULT_CONTOUR_WIDTH, FLAGS | GST_PARAM_CONTROLLABLE));
  /**
   * GstMaskOverlay:font-desc:
   *
   * Font of the labels: a family, Bold, Italic or Oblique, and a size in
   * points ("12") or pixels ("16px"), as in "DejaVu Sans Bold 12". Without a
   * size it follows the frame's height (16 pixels at 720p).
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_FONT_DESC,
      g_param_spec_string ("font-desc", "Font description",
          "Font of the labels, like \"Sans Bold 12\" or \"Serif 16px\" "
          "(without a size: by the frame's height)", DEFAULT_FONT_DESC,
          FLAGS));
  /**
   * GstMaskOverlay:labels-color:
   *
   * Colour of the labels' text, big-endian ARGB; the plate has the object's
   * colour.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_LABELS_COLOR,
      g_param_spec_uint ("labels-color", "Labels colour",
          "Colour of the labels' text, big-endian ARGB (0 = black or white, "
          "whichever reads better)", 0, G_MAXUINT32, DEFAULT_LABELS_COLOR,
          FLAGS));
  /**
   * GstMaskOverlay:selected-types:
   *
   * Labels or class ids, separated by `;`, of the objects to draw; unset draws
   * all.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_SELECTED_TYPES,
      g_param_spec_string ("selected-types", "Selected types",
          "Labels or class ids of the objects to draw, separated by ';' "
          "(unset = all)", NULL, FLAGS));
  /**
   * GstMaskOverlay:excluded-types:
   *
   * Labels or class ids, separated by `;`, of objects to leave alone, even if
   * they are selected.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_EXCLUDED_TYPES,
      g_param_spec_string ("excluded-types", "Excluded types",
          "Labels or class ids of objects to leave alone, separated by ';'",
          NULL, FLAGS));
  /**
   * GstMaskOverlay:expire-overlay:
   *
   * Draw the masks of the last frame that had any on frames without metadata,
   * for so long after it.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_EXPIRE_OVERLAY,
      g_param_spec_uint64 ("expire-overlay", "Expire overlay",
          "Reuse the last masks on frames without metadata for so many ns "
          "(0 = never, MAX = for ever)", 0, G_MAXUINT64,
          DEFAULT_EXPIRE_OVERLAY, FLAGS));

  gst_type_mark_as_plugin_api (GST_TYPE_MASK_OVERLAY_EFFECT, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_MASK_OVERLAY_COLOR_MODE, 0);
}
