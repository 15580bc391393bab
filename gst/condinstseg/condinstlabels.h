/* GStreamer instance segmentation
 *
 * condinstlabels.h: names of classes, and choosing classes by name
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef __COND_INST_LABELS_H__
#define __COND_INST_LABELS_H__

#include <gst/gst.h>

G_BEGIN_DECLS

/* Reads @path, a UTF-8 text file with one label per line (empty lines at its
 * end do not count) that must name @n_classes classes of the model called
 * @model. NULL and a GST_RESOURCE_ERROR that names the file, the expected and
 * the found count otherwise. Free with g_strfreev(). */
gchar **cond_inst_labels_load (const gchar * path, guint n_classes,
    const gchar * model, GError ** error);

/* One flag per label of the NULL-terminated @labels, 1 for a class that is
 * wanted. @selected and @excluded are lists of labels or class indices with
 * `;` between them; NULL or empty for none. Without @selected all classes are
 * wanted that are not excluded. What names no class goes into @unknown
 * (comma-separated; NULL if everything is known; free with g_free()). Free
 * the flags with g_free(). */
guint8 *cond_inst_labels_select (gchar ** labels, const gchar * selected,
    const gchar * excluded, gchar ** unknown);

G_END_DECLS

#endif
