/* GStreamer instance masks
 *
 * maskoverlaysettings.h: what maskoverlay's properties say
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef __MASK_OVERLAY_SETTINGS_H__
#define __MASK_OVERLAY_SETTINGS_H__

#include "maskdraw.h"

G_BEGIN_DECLS

/* Never changed once it is in use: a property makes a changed copy, and a
 * frame keeps the one that it started with. */
typedef struct
{
  GstMaskDrawOptions options;   /* its pointers lead to what follows */
  gchar *palette;
  guint32 *colors;
  gchar *font_desc;
  gchar *selected_types, *excluded_types;
  GArray *selected, *excluded;  /* of MaskOverlayType; NULL for none */
  guint64 expire_overlay;
} MaskOverlaySettings;

/* With the properties' defaults */
MaskOverlaySettings *mask_overlay_settings_new (void);
MaskOverlaySettings *mask_overlay_settings_copy (
    const MaskOverlaySettings * settings);
MaskOverlaySettings *mask_overlay_settings_ref (
    MaskOverlaySettings * settings);
void mask_overlay_settings_unref (MaskOverlaySettings * settings);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (MaskOverlaySettings,
    mask_overlay_settings_unref)

/* Whether the user wants to see objects like @mask. */
gboolean mask_overlay_settings_wants (const MaskOverlaySettings * settings,
    const GstInstanceMask * mask);

/* Installs all properties of the element. */
void mask_overlay_settings_install (GObjectClass * klass);
/* Change @settings, which nobody else uses yet. FALSE and @error if @value
 * makes no sense. */
gboolean mask_overlay_settings_set (MaskOverlaySettings * settings,
    guint prop_id, const GValue * value, GError ** error);
void mask_overlay_settings_get (const MaskOverlaySettings * settings,
    guint prop_id, GValue * value);

#define GST_TYPE_MASK_OVERLAY_EFFECT (gst_mask_overlay_effect_get_type ())
GType gst_mask_overlay_effect_get_type (void);
#define GST_TYPE_MASK_OVERLAY_COLOR_MODE \
    (gst_mask_overlay_color_mode_get_type ())
GType gst_mask_overlay_color_mode_get_type (void);

G_END_DECLS

#endif
