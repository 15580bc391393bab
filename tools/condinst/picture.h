/*
 * picture.h: pictures in files and archives
 *
 * JPEG and PNG, by libjpeg and libpng themselves: their pixels are those that
 * other programs on the same libraries see (Pillow, and so the official
 * evaluation), which a detour over subsampled planes would not give.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_PICTURE_H
#define CI_PICTURE_H

#include <glib.h>

G_BEGIN_DECLS

#define CI_PICTURE_MAX_SIDE 32768
#define CI_PICTURE_MAX_PIXELS (16384 * 16384)

/** RGB, 8 bits, rows without gaps. */
typedef struct
{
  gint width, height;
  guint8 *rgb;
} CiPicture;

void ci_picture_clear (CiPicture * picture);

/**
 * Decodes a JPEG or PNG in memory; @name is for messages. Grey and CMYK become
 * RGB, alpha is dropped, a camera's orientation (Exif) is applied. @picture is
 * cleared on failure.
 */
gboolean ci_picture_decode (CiPicture * picture, const guint8 * data,
    gsize size, const gchar * name, GError ** error);
gboolean ci_picture_load (CiPicture * picture, const gchar * path,
    GError ** error);
/** JPEG if @path ends in .jpg or .jpeg, else PNG. */
gboolean ci_picture_save (const CiPicture * picture, const gchar * path,
    GError ** error);

/**
 * CiPictureStore: a folder with the pictures of a data set, as files or in
 * uncompressed tar archives, which stay open.
 */
typedef struct _CiPictureStore CiPictureStore;

CiPictureStore *ci_picture_store_new (const gchar * dir);
void ci_picture_store_free (CiPictureStore * store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CiPictureStore, ci_picture_store_free)

/**
 * Loads the picture @file_name of the folder or, where there is no such file,
 * of the archive @tar in it (NULL = none; found with and without its own
 * folder's name).
 */
gboolean ci_picture_store_load (CiPictureStore * store,
    const gchar * file_name, const gchar * tar, CiPicture * picture,
    GError ** error);

G_END_DECLS

#endif /* CI_PICTURE_H */
