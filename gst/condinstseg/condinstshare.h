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

/* What makes a model, as the properties of these names; each may be NULL. */
typedef struct
{
  gchar *model_file, *config_file, *config_settings;
} CondInstModel;

void cond_inst_model_clear (CondInstModel * model);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CondInstModel, cond_inst_model_clear)

/* Says that @owner runs @model, which has a model file, under @id. FALSE and
 * @error if someone else runs another one under it. Saying it again replaces
 * what @owner said before. */
gboolean cond_inst_share_publish (gconstpointer owner, const gchar * id,
    const CondInstModel * model, GError ** error);
/* Takes back what @owner said, if anything. */
void cond_inst_share_withdraw (gconstpointer owner);
/* Fills @model, all NULL, with what someone runs under @id, if anyone does. */
void cond_inst_share_find (const gchar * id, CondInstModel * model);

G_END_DECLS

#endif
