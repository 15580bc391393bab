/* GStreamer instance segmentation
 *
 * condinstshare.h: elements that take their model from one another
 *
 * Weights need no help to be shared: whoever loads the same file gets the same
 * model. What is kept here is which model goes with a `model-instance-id`.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef __COND_INST_SHARE_H__
#define __COND_INST_SHARE_H__

#include <gst/gst.h>

G_BEGIN_DECLS

/* Says that @owner runs @model_file under @id. FALSE and @error if someone
 * else runs another one under it. Saying it again replaces what @owner said
 * before. */
gboolean cond_inst_share_publish (gconstpointer owner, const gchar * id,
    const gchar * model_file, GError ** error);
/* Takes back what @owner said, if anything. */
void cond_inst_share_withdraw (gconstpointer owner);
/* The model file that someone runs under @id, or NULL; free with g_free(). */
gchar *cond_inst_share_find (const gchar * id);

G_END_DECLS

#endif
