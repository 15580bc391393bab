/*
 * checkpoint.h: the weights of a file, whatever its format: safetensors,
 * torch.save's zip container, the one of torch before 1.6, or a pickled dict
 * of numpy arrays. Private to models/.
 *
 * Torch's and numpy's files hold a pickle, a program that builds objects. It
 * runs on a small machine here that knows the constructors of a state dict and
 * refuses everything else; nothing of Python is ever executed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_CHECKPOINT_H
#define CI_CHECKPOINT_H

#include "models.h"

G_BEGIN_DECLS

typedef enum
{
  CI_CHECKPOINT_SAFETENSORS,
  CI_CHECKPOINT_TORCH_ZIP,
  CI_CHECKPOINT_TORCH_LEGACY,
  CI_CHECKPOINT_PICKLE,
} CiCheckpointFormat;

/** "safetensors", "PyTorch zip", "PyTorch before 1.6", "pickle". */
const gchar *ci_checkpoint_format_name (CiCheckpointFormat format);

/**
 * CiCheckpoint: named tensors; immutable once open.
 *
 * The state dict is the file's dict itself or its entry "model", "state_dict",
 * "model_state" or "model_state_dict". What is no tensor is left out, and a
 * prefix `module.` that all names share is stripped. Variances that detectron2
 * stored before its FrozenBN had version 3 come without the eps that they held
 * (SEMANTICS 2.1), those in F16 as F32. Statistics that version 1 lacked are
 * missing here, too: nothing tells such a FrozenBN from a GroupNorm.
 */
typedef struct _CiCheckpoint CiCheckpoint;

/** Opens @path; content tells the format, never the suffix. Errors name the
 * file and the entry, and in pickles the byte and the opcode: IO, BAD_FORMAT
 * (contradicts its format), UNSUPPORTED (correct, but nothing that a state dict
 * needs), OUT_OF_MEMORY. */
CiCheckpoint *ci_checkpoint_open (const gchar * path, GError ** error);
/** The same over memory that must outlive it (@name is for messages). */
CiCheckpoint *ci_checkpoint_parse (const guint8 * data, gsize size,
    const gchar * name, GError ** error);
void ci_checkpoint_free (CiCheckpoint * checkpoint);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CiCheckpoint, ci_checkpoint_free)

CiCheckpointFormat ci_checkpoint_get_format (const CiCheckpoint * checkpoint);
/** A dense, aligned view that lives as long as @checkpoint; FALSE if there is
 * no tensor @name, or none of a dtype and rank that CiTensor knows. BF16 is
 * widened to F32, I16 and I8 to I32; BOOL is U8. */
gboolean ci_checkpoint_lookup (const CiCheckpoint * checkpoint,
    const gchar * name, CiTensor * out);
/** "BF16 64x3x7x7": dtype and shape in the file, also of tensors that
 * ci_checkpoint_lookup() does not give out; NULL if there is none. Free with
 * g_free. */
gchar *ci_checkpoint_describe (const CiCheckpoint * checkpoint,
    const gchar * name);
/** Names of all tensors, sorted, NULL-terminated; borrowed. */
const gchar *const *ci_checkpoint_get_names (const CiCheckpoint * checkpoint);
/** The string @key of a safetensors file's `__metadata__`, or NULL. */
const gchar *ci_checkpoint_get_metadata (const CiCheckpoint * checkpoint,
    const gchar * key);

G_END_DECLS

#endif /* CI_CHECKPOINT_H */
