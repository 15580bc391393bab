/* GStreamer instance masks
 *
 * gstinstancemaskfollow.c: across elements that tell metas nothing
 *
 * Up to GStreamer 1.26 videocrop, videobox and videoflip drop every meta that
 * depends on a frame's size, without asking it; and videoscale does not say
 * that add-borders=false. What they do is known, though: they take a frame
 * and push it on within the same call, and their properties tell the rest. So
 * one probe before them keeps a copy of the metas and one behind them adds the
 * copy, moved accordingly. Where an element has looked after the meta by itself
 * (it worked in place, or GStreamer is 1.28 or later), nothing is done.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>
#include "instancemask.h"
#include "gstinstancemask-private.h"

/* Against cycles of links. */
#define MAX_DEPTH 64

typedef enum
{
  CROSSING_CROP,
  CROSSING_BOX,
  CROSSING_FLIP,
  CROSSING_SCALE,
} CrossingKind;

static const struct
{
  const gchar *factory;
  CrossingKind kind;
  const gchar *properties[5];   /* that say what it does */
} kinds[] = {
  {"videocrop", CROSSING_CROP, {"left", "right", "top", "bottom"}},
  {"videobox", CROSSING_BOX, {"left", "right", "top", "bottom", "autocrop"}},
  {"videoflip", CROSSING_FLIP, {"video-direction"}},
  {"videoscale", CROSSING_SCALE, {"add-borders"}},
  {"videoconvertscale", CROSSING_SCALE, {"add-borders"}},
};

/* An element on the way and the frame that is in it. */
typedef struct
{
  gint refcount;
  guint kind;                   /* in kinds[] */
  GstPad *sink, *src;           /* borrowed; the probes live on them */
  GstBuffer *carrier;           /* has copies of the frame's metas */
  gint before[5];               /* the properties when the frame came */
} Crossing;

static void
crossing_unref (gpointer data)
{
  Crossing *crossing = data;

  if (g_atomic_int_dec_and_test (&crossing->refcount)) {
    gst_clear_buffer (&crossing->carrier);
    g_free (crossing);
  }
}

static void
read_properties (const Crossing * crossing, GObject * element, gint values[5])
{
  memset (values, 0, sizeof (gint) * 5);
  for (guint i = 0; i < 5; i++) {
    const gchar *name = kinds[crossing->kind].properties[i];

    /* Booleans and enums are ints to g_object_get(), too. */
    if (name && g_object_class_find_property (G_OBJECT_GET_CLASS (element),
            name))
      g_object_get (element, name, &values[i], NULL);
  }
}

static gboolean
pad_size (GstPad * pad, GstVideoInfo * info)
{
  GstCaps *caps = gst_pad_get_current_caps (pad);
  gboolean ok = caps && gst_video_info_from_caps (info, caps);

  gst_clear_caps (&caps);
  return ok;
}

static GstPadProbeReturn
frame_enters (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER (info);
  Crossing *crossing = data;
  GstElement *element = gst_pad_get_parent_element (pad);
  gpointer state = NULL;
  GstMeta *meta;

  gst_clear_buffer (&crossing->carrier);
  if (!element)
    return GST_PAD_PROBE_OK;
  read_properties (crossing, G_OBJECT (element), crossing->before);
  gst_object_unref (element);
  if (kinds[crossing->kind].kind == CROSSING_SCALE && crossing->before[0])
    return GST_PAD_PROBE_OK;    /* borders: the meta does right by itself */

  while ((meta = gst_buffer_iterate_meta_filtered (buffer, &state,
              GST_INSTANCE_MASK_META_API_TYPE))) {
    if (!crossing->carrier)
      crossing->carrier = gst_buffer_new ();
    gst_instance_mask_meta_clone (crossing->carrier,
        (GstInstanceMaskMeta *) meta);
  }
  return GST_PAD_PROBE_OK;
}

/* videocrop shares out what is left to properties of -1. */
static void
resolve_auto (gint removed, gint * near, gint * far)
{
  if (*near == -1 && *far == -1)
    *near = removed / 2;
  else if (*near == -1)
    *near = removed - *far;
  *far = removed - *near;
}

/* Makes @meta about the frame that left the element. FALSE if that cannot be
 * known for sure. */
static gboolean
cross (const Crossing * crossing, GstInstanceMaskMeta * meta,
    const gint values[5], const GstVideoInfo * in, const GstVideoInfo * out)
{
  gint left = values[0], right = values[1], top = values[2], bottom = values[3];
  gint dx = in->width - out->width, dy = in->height - out->height;

  if (!gst_instance_mask_meta_matches (meta, in->width, in->height))
    return FALSE;

  switch (kinds[crossing->kind].kind) {
    case CROSSING_CROP:
      resolve_auto (dx, &left, &right);
      resolve_auto (dy, &top, &bottom);
      if ((values[1] != -1 && right != values[1])
          || (values[3] != -1 && bottom != values[3]) || left < 0 || top < 0)
        return FALSE;
      gst_instance_mask_meta_crop (meta, left, top, out->width, out->height);
      return TRUE;
    case CROSSING_BOX:
      if (values[4] || left + right != dx || top + bottom != dy)
        return FALSE;
      gst_instance_mask_meta_crop (meta, left, top, out->width, out->height);
      return TRUE;
    case CROSSING_FLIP:
      return gst_instance_mask_meta_orient (meta, values[0])
          && gst_instance_mask_meta_matches (meta, out->width, out->height);
    case CROSSING_SCALE:
      gst_instance_mask_meta_scale (meta, 0, 0, out->width, out->height,
          out->width, out->height);
      return TRUE;
  }
  return FALSE;
}

static GstBuffer *
carry_across (Crossing * crossing, GstElement * element, GstBuffer * buffer)
{
  gboolean scales = kinds[crossing->kind].kind == CROSSING_SCALE;
  GstInstanceMaskMeta *own = gst_buffer_get_instance_mask_meta (buffer);
  GstVideoInfo in, out;
  gint values[5];
  gpointer state = NULL;
  GstMeta *meta;

  read_properties (crossing, G_OBJECT (element), values);
  /* Scalers have moved the meta, but as if there were borders. */
  if (scales ? values[0] != 0 : own != NULL)
    return buffer;
  if (!pad_size (crossing->sink, &in) || !pad_size (crossing->src, &out))
    return buffer;
  if (scales && (!own || (in.width == out.width && in.height == out.height)))
    return buffer;
  /* Controllers move properties between the two probes, before the frame is
   * worked on; what an application sets meanwhile may count or not. */
  if (memcmp (values, crossing->before, sizeof (values)) != 0
      && !gst_object_has_active_control_bindings (GST_OBJECT (element))) {
    GST_DEBUG_OBJECT (element, "changed while a frame was in it: no masks");
    if (!scales)
      return buffer;
  }

  buffer = gst_buffer_make_writable (buffer);
  while ((own = gst_buffer_get_instance_mask_meta (buffer)))
    gst_buffer_remove_meta (buffer, (GstMeta *) own);
  while ((meta = gst_buffer_iterate_meta_filtered (crossing->carrier, &state,
              GST_INSTANCE_MASK_META_API_TYPE))) {
    GstInstanceMaskMeta *moved =
        gst_instance_mask_meta_clone (buffer, (GstInstanceMaskMeta *) meta);

    if (!cross (crossing, moved, values, &in, &out)) {
      GST_DEBUG_OBJECT (element, "cannot tell where masks go");
      gst_buffer_remove_meta (buffer, (GstMeta *) moved);
    }
  }
  return buffer;
}

static GstPadProbeReturn
frame_leaves (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  Crossing *crossing = data;
  GstElement *element;

  if (!crossing->carrier)
    return GST_PAD_PROBE_OK;

  element = gst_pad_get_parent_element (pad);
  if (element) {
    info->data = carry_across (crossing, element,
        GST_PAD_PROBE_INFO_BUFFER (info));
    gst_object_unref (element);
  }
  gst_clear_buffer (&crossing->carrier);
  return GST_PAD_PROBE_OK;
}

/* TRUE if this call is the first for @object. */
static gboolean
mark (gpointer object)
{
  static const gchar key[] = "gst-instance-mask-follow";

  return g_object_replace_data (object, key, NULL, (gpointer) key, NULL, NULL);
}

static void
watch_element (GstElement * element)
{
  GstElementFactory *factory = gst_element_get_factory (element);
  GstPad *sink, *src;
  Crossing *crossing;
  guint kind;

  if (!factory)
    return;
  for (kind = 0; kind < G_N_ELEMENTS (kinds); kind++) {
    if (g_str_equal (GST_OBJECT_NAME (factory), kinds[kind].factory))
      break;
  }
  if (kind == G_N_ELEMENTS (kinds) || !mark (element))
    return;

  sink = gst_element_get_static_pad (element, "sink");
  src = gst_element_get_static_pad (element, "src");
  if (sink && src) {
    crossing = g_new0 (Crossing, 1);
    crossing->refcount = 2;
    crossing->kind = kind;
    crossing->sink = sink;
    crossing->src = src;
    gst_pad_add_probe (sink, GST_PAD_PROBE_TYPE_BUFFER, frame_enters, crossing,
        crossing_unref);
    gst_pad_add_probe (src, GST_PAD_PROBE_TYPE_BUFFER, frame_leaves, crossing,
        crossing_unref);
  }
  gst_clear_object (&sink);
  gst_clear_object (&src);
}

static void walk (GstPad * src, guint depth);

static void
walk_on (const GValue * item, gpointer depth)
{
  walk (g_value_get_object (item), GPOINTER_TO_UINT (depth));
}

/* Through all elements, and in and out of bins, that are downstream. */
static void
walk (GstPad * src, guint depth)
{
  GstPad *sink = gst_pad_get_peer (src);
  GstElement *element;
  GstIterator *links;

  if (!sink)
    return;
  element = gst_pad_get_parent_element (sink);
  if (element && !GST_IS_BIN (element))
    watch_element (element);
  gst_clear_object (&element);

  links = depth < MAX_DEPTH ? gst_pad_iterate_internal_links (sink) : NULL;
  if (links) {
    while (gst_iterator_foreach (links, walk_on,
            GUINT_TO_POINTER (depth + 1)) == GST_ITERATOR_RESYNC)
      gst_iterator_resync (links);
    gst_iterator_free (links);
  }
  gst_object_unref (sink);
}

static GstPadProbeReturn
follow_probe (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  gint *changed = data;

  if (info->type & GST_PAD_PROBE_TYPE_BUFFER) {
    /* Only here, where no lock of another element can be held. */
    if (g_atomic_int_compare_and_exchange (changed, TRUE, FALSE))
      walk (pad, 0);
  } else {
    GstEventType type = GST_EVENT_TYPE (GST_PAD_PROBE_INFO_EVENT (info));

    if (type == GST_EVENT_CAPS || type == GST_EVENT_RECONFIGURE)
      g_atomic_int_set (changed, TRUE);
  }
  return GST_PAD_PROBE_OK;
}

/**
 * gst_instance_mask_follow:
 * @pad: a source pad from which buffers with masks go
 *
 * Sees to it that masks stay true behind videocrop, videobox, videoflip and
 * videoscale add-borders=false downstream of @pad, which do not tell metas
 * what they do. For that it watches their pads. Elements that are linked later
 * are found when caps change or the pipeline is reconfigured. Where it cannot
 * be known what became of a frame (autocrop, orientation by tag), the meta is
 * dropped.
 *
 * An element that adds metas calls this once, when it makes its pad.
 */
void
gst_instance_mask_follow (GstPad * pad)
{
  gint *changed;

  g_return_if_fail (GST_IS_PAD (pad) && GST_PAD_IS_SRC (pad));

  if (!mark (pad))
    return;
  changed = g_new (gint, 1);
  *changed = TRUE;
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER |
      GST_PAD_PROBE_TYPE_EVENT_BOTH, follow_probe, changed, g_free);
}
