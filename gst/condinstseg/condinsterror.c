/* GStreamer instance segmentation
 *
 * condinsterror.c: the engine's errors as GStreamer's
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "condinsterror.h"

#include "models.h"

void
cond_inst_post_error (GstElement * element, GError * error,
    const gchar * what)
{
  GQuark domain = error->domain;
  gint code = error->code;
  g_autofree gchar *file = NULL;
  const gchar *remedy = "";

  g_object_get (element, "model-file", &file, NULL);

  if (domain == CI_ERROR) {
    domain = GST_RESOURCE_ERROR;
    switch ((CiError) error->code) {
      case CI_ERROR_IO:
        code = file && g_file_test (file, G_FILE_TEST_EXISTS) ?
            GST_RESOURCE_ERROR_OPEN_READ : GST_RESOURCE_ERROR_NOT_FOUND;
        remedy = ". Set model-file to a model's file, to the name of an "
            "installed model, or put the file into a folder that "
            "GST_CONDINST_MODEL_PATH names";
        break;
      case CI_ERROR_BAD_FORMAT:
      case CI_ERROR_MISSING_TENSOR:
        code = GST_RESOURCE_ERROR_READ;
        remedy = ". The file is damaged, is no model that this plugin knows, "
            "or its configuration does not fit";
        break;
      case CI_ERROR_OUT_OF_MEMORY:
        code = GST_RESOURCE_ERROR_NO_SPACE_LEFT;
        remedy = ". A smaller input (input-width and input-height, or min-size "
            "and max-size) needs less memory";
        break;
      case CI_ERROR_NO_DEVICE:
        code = GST_RESOURCE_ERROR_NOT_FOUND;
        remedy = ". execution-provider=cpu needs no GPU, auto uses one if it "
            "can";
        break;
      case CI_ERROR_BACKEND:
        domain = GST_LIBRARY_ERROR;
        code = GST_LIBRARY_ERROR_FAILED;
        break;
      case CI_ERROR_UNSUPPORTED:
      case CI_ERROR_INVALID_ARGUMENT:
      default:
        domain = GST_STREAM_ERROR;
        code = GST_STREAM_ERROR_FORMAT;
        break;
    }
  }
  gst_element_message_full (element, GST_MESSAGE_ERROR, domain,
      code, g_strdup_printf ("%s: %s%s.", what, error->message, remedy), NULL,
      __FILE__, GST_FUNCTION, __LINE__);
  g_error_free (error);
}
