/* GStreamer instance masks
 *
 * palette.c: colours for classes and objects
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <string.h>

#include "maskdraw-private.h"

/* Far from each other in OKLab (the earlier the farther), none so dark or so
 * pale that it gets lost in a picture. */
static const guint32 default_colors[] = {
  0xff3b5c, 0x1e96ff, 0x2ee54b, 0xffc61a, 0xb44bff, 0x00e0d0,
  0xff8a1f, 0xff8ae6, 0x7a8b00, 0x5b4bff, 0xa8f5b4, 0xc8783c,
  0x007f8c, 0xe0208c, 0xc8f03c, 0x784b87, 0x96d2ff, 0xb42828,
  0x159650, 0xe0b892, 0x3c5ab4, 0xc8a5ff, 0x9600a5, 0x69b496,
};

/* The twenty colours known from Tableau and matplotlib ("tab20") */
static const guint32 tableau_colors[] = {
  0x1f77b4, 0xff7f0e, 0x2ca02c, 0xd62728, 0x9467bd, 0x8c564b, 0xe377c2,
  0x7f7f7f, 0xbcbd22, 0x17becf, 0xaec7e8, 0xffbb78, 0x98df8a, 0xff9896,
  0xc5b0d5, 0xc49c94, 0xf7b6d2, 0xc7c7c7, 0xdbdb8d, 0x9edae5,
};

static const guint32 pastel_colors[] = {
  0xffadad, 0x9bd0ff, 0xb5f2a4, 0xffe08a, 0xd3b5ff, 0x98ece0, 0xffc48f,
  0xffc2ec, 0xd6dd8f, 0xb9bcff, 0xe3c6ab, 0x9fdcc0, 0xf5a9c8, 0xc7e0f4,
  0xe6d9ff, 0xdedede,
};

/* Okabe and Ito, "Color Universal Design" (2008), without black */
static const guint32 colorblind_colors[] = {
  0xe69f00, 0x56b4e9, 0x009e73, 0xf0e442, 0x0072b2, 0xd55e00, 0xcc79a7,
};

static const struct
{
  const gchar *name;
  const guint32 *colors;
  guint n_colors;
} palettes[] = {
  {"default", default_colors, G_N_ELEMENTS (default_colors)},
  {"tableau", tableau_colors, G_N_ELEMENTS (tableau_colors)},
  {"pastel", pastel_colors, G_N_ELEMENTS (pastel_colors)},
  {"colorblind", colorblind_colors, G_N_ELEMENTS (colorblind_colors)},
};

const guint32 *
palette_get_default (guint * n_colors)
{
  *n_colors = G_N_ELEMENTS (default_colors);
  return default_colors;
}

static gdouble
linear (guint value)
{
  return value <= 10 ? value / 255. / 12.92 :
      pow ((value / 255. + 0.055) / 1.055, 2.4);
}

guint32
palette_get_text_color (guint32 rgb)
{
  /* relative luminance and contrast ratio of WCAG 2; white is favoured a
   * little, as it looks calmer on saturated colours */
  gdouble luminance = 0.2126 * linear (rgb >> 16 & 0xff)
      + 0.7152 * linear (rgb >> 8 & 0xff) + 0.0722 * linear (rgb & 0xff);

  return luminance > 0.3 ? 0x000000 : 0xffffff;
}

static gboolean
parse_color (const gchar * text, guint32 * color)
{
  gsize i;

  if (*text == '#')
    text++;
  if (strlen (text) != 6)
    return FALSE;
  for (i = 0; i < 6; i++)
    if (!g_ascii_isxdigit (text[i]))
      return FALSE;
  *color = (guint32) g_ascii_strtoull (text, NULL, 16);
  return TRUE;
}

guint32 *
gst_mask_palette_parse (const gchar * spec, guint * n_colors, GError ** error)
{
  g_auto (GStrv) items = NULL;
  g_autofree guint32 *colors = NULL;
  guint i, n = 0;

  if (spec == NULL)
    spec = "default";
  for (i = 0; i < G_N_ELEMENTS (palettes); i++) {
    if (g_ascii_strcasecmp (spec, palettes[i].name) == 0) {
      *n_colors = palettes[i].n_colors;
      return g_memdup2 (palettes[i].colors,
          palettes[i].n_colors * sizeof (guint32));
    }
  }

  items = g_strsplit_set (spec, ",; \t\n", -1);
  colors = g_new (guint32, g_strv_length (items) + 1);
  for (i = 0; items[i]; i++) {
    if (*items[i] == '\0')
      continue;
    if (!parse_color (items[i], &colors[n++])) {
      g_set_error (error, GST_CORE_ERROR, GST_CORE_ERROR_FAILED,
          "palette: expected default, tableau, pastel, colorblind or colours "
          "like #ff8800 separated by commas, found \"%s\"", items[i]);
      return NULL;
    }
  }
  if (n == 0) {
    g_set_error_literal (error, GST_CORE_ERROR, GST_CORE_ERROR_FAILED,
        "palette: expected at least one colour, found none");
    return NULL;
  }
  *n_colors = n;
  return g_steal_pointer (&colors);
}
