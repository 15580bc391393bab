/*
 * containers.h: kinds of video files, and who writes them
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_CONTAINERS_H
#define CI_CONTAINERS_H

#include <gst/gst.h>

G_BEGIN_DECLS

typedef struct
{
  const gchar *extension, *muxer;
  /* Encoders as gst-launch-1.0 takes them, best first; NULL-terminated. */
  const gchar *const *video, *const *audio;
} Container;

/** The kind of file that @path's extension names; NULL if it is unknown. */
const Container *containers_find (const gchar * path);
/** All known extensions; free with g_free(). */
gchar *containers_list (void);
/** The first of @encoders that is installed, or NULL. */
const gchar *containers_find_encoder (const gchar *const *encoders);
/** Element of a description: its first word; free with g_free(). */
gchar *containers_encoder_name (const gchar * encoder);
/** The same of all @encoders; free with g_free(). */
gchar *containers_encoder_names (const gchar *const *encoders);
/** Whether encoded sound of @caps can be put into the file as it is. */
gboolean containers_take_audio (const Container * container,
    const GstCaps * caps);

G_END_DECLS

#endif
