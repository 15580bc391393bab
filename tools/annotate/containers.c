/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "containers.h"

#include <string.h>

#define X264 "x264enc pass=qual quantizer=21 speed-preset=veryfast"
#define OPENH264 "openh264enc rate-control=quality bitrate=6000000 " \
    "max-bitrate=12000000 complexity=low ! h264parse"
#define VP8 "vp8enc deadline=1 cpu-used=8 threads=2 end-usage=cq " \
    "cq-level=20 target-bitrate=8000000"
#define VP9 "vp9enc deadline=1 cpu-used=8 threads=2 row-mt=true " \
    "end-usage=cq cq-level=28 target-bitrate=8000000"
#define THEORA "theoraenc quality=52 speed-level=2"
#define JPEG "jpegenc quality=88"

static const gchar *const mp4_video[] =
    { X264, OPENH264, "avenc_mpeg4 bitrate=6000000", NULL };
static const gchar *const mov_video[] =
    { X264, OPENH264, "avenc_mpeg4 bitrate=6000000", JPEG, NULL };
static const gchar *const mkv_video[] =
    { X264, OPENH264, VP8, VP9, THEORA, JPEG, NULL };
static const gchar *const webm_video[] = { VP8, VP9, NULL };
static const gchar *const ogg_video[] = { THEORA, NULL };
static const gchar *const aac[] =
    { "avenc_aac", "fdkaacenc", "voaacenc", NULL };
static const gchar *const any_audio[] =
    { "opusenc", "vorbisenc", "avenc_aac", NULL };
static const gchar *const free_audio[] = { "opusenc", "vorbisenc", NULL };

static const Container containers[] = {
  {"mp4", "mp4mux", mp4_video, aac},
  {"m4v", "mp4mux", mp4_video, aac},
  {"mov", "qtmux", mov_video, aac},
  {"mkv", "matroskamux", mkv_video, any_audio},
  {"webm", "webmmux", webm_video, free_audio},
  {"ogv", "oggmux", ogg_video, free_audio},
};

const Container *
containers_find (const gchar * path)
{
  const gchar *dot = strrchr (path, '.');
  guint i;

  for (i = 0; dot && i < G_N_ELEMENTS (containers); i++)
    if (!g_ascii_strcasecmp (dot + 1, containers[i].extension))
      return &containers[i];
  return NULL;
}

gchar *
containers_list (void)
{
  GString *list = g_string_new (NULL);
  guint i;

  for (i = 0; i < G_N_ELEMENTS (containers); i++)
    g_string_append_printf (list, "%s.%s", i ? ", " : "",
        containers[i].extension);
  return g_string_free (list, FALSE);
}

gchar *
containers_encoder_name (const gchar * encoder)
{
  return g_strndup (encoder, strcspn (encoder, " "));
}

gchar *
containers_encoder_names (const gchar *const *encoders)
{
  GString *names = g_string_new (NULL);
  guint i;

  for (i = 0; encoders[i]; i++) {
    g_autofree gchar *name = containers_encoder_name (encoders[i]);

    g_string_append_printf (names, "%s%s", i ? ", " : "", name);
  }
  return g_string_free (names, FALSE);
}

const gchar *
containers_find_encoder (const gchar *const *encoders)
{
  for (; *encoders; encoders++) {
    g_autoptr (GError) error = NULL;
    /* All of its elements, with their properties */
    GstElement *element = gst_parse_launch_full (*encoders, NULL,
        GST_PARSE_FLAG_FATAL_ERRORS, &error);

    if (element) {
      gst_object_unref (gst_object_ref_sink (element));
      return *encoders;
    }
  }
  return NULL;
}

gboolean
containers_take_audio (const Container * container, const GstCaps * caps)
{
  g_autoptr (GstElementFactory) muxer =
      gst_element_factory_find (container->muxer);
  const GstStructure *format = gst_caps_get_structure (caps, 0);
  gboolean parsed = FALSE;
  const GList *item;

  if (!muxer || !g_str_has_prefix (gst_structure_get_name (format), "audio/")
      || gst_structure_has_name (format, "audio/x-raw"))
    return FALSE;
  /* Not every demuxer cuts MPEG sound at its frames. */
  if (gst_structure_has_name (format, "audio/mpeg")
      && !(gst_structure_get_boolean (format, "framed", &parsed) && parsed)
      && !(gst_structure_get_boolean (format, "parsed", &parsed) && parsed))
    return FALSE;
  for (item = gst_element_factory_get_static_pad_templates (muxer); item;
      item = item->next) {
    GstStaticPadTemplate *template = item->data;
    g_autoptr (GstCaps) accepted = gst_static_pad_template_get_caps (template);

    if (template->direction == GST_PAD_SINK
        && g_str_has_prefix (template->name_template, "audio")
        && gst_caps_is_subset (caps, accepted))
      return TRUE;
  }
  return FALSE;
}
