/*
 * Checkpoints: whatever the bytes, the reader gives an error or tensors that
 * can be read, sorted by name.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "models/checkpoint.h"

int LLVMFuzzerTestOneInput (const guint8 * data, gsize size);

int
LLVMFuzzerTestOneInput (const guint8 * data, gsize size)
{
  g_autoptr (CiCheckpoint) checkpoint = NULL;
  g_autoptr (GError) error = NULL;
  const gchar *const *names;

  checkpoint = ci_checkpoint_parse (data, size, "fuzz", &error);
  g_assert ((checkpoint == NULL) == (error != NULL));
  if (!checkpoint) {
    g_assert (error->domain == CI_ERROR);
    return 0;
  }
  names = ci_checkpoint_get_names (checkpoint);
  for (guint i = 0; names[i]; i++) {
    g_autofree gchar *text = ci_checkpoint_describe (checkpoint, names[i]);
    g_autofree guint8 *copy = NULL;
    CiTensor t;

    g_assert (text);
    g_assert (i == 0 || strcmp (names[i - 1], names[i]) < 0);
    if (!ci_checkpoint_lookup (checkpoint, names[i], &t))
      continue;
    g_assert ((guintptr) t.data % ci_dtype_size (t.dtype) == 0);
    /* reads every byte, under the sanitizer's eyes */
    copy = g_memdup2 (t.data, ci_tensor_n_elements (&t) *
        ci_dtype_size (t.dtype));
  }
  return 0;
}
