/*
 * reader.h: looking at the names and shapes of a checkpoint's tensors; private
 * to models/.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_READER_H
#define CI_READER_H

#include "blocks.h"
#include "upstream.h"

G_BEGIN_DECLS

#define CI_MAX_BLOCKS 64        /* of a stage, convolutions of a tower, .. */

/** CiReader: a checkpoint that is being recognised. */
typedef struct
{
  const CiCheckpoint *checkpoint;
  const gchar *source;          /* the file's name, for messages */
  CiConfig *config;             /* to be filled, */
  CiTensorFacts *facts;         /* and this */
  GError **error;
} CiReader;

/** Sets an UNSUPPORTED error that begins with the file's name; gives FALSE. */
gboolean ci_reader_fail (const CiReader * r, const gchar * format, ...)
    G_GNUC_PRINTF (2, 3);
/** Whether there is such a tensor. */
gboolean ci_reader_has (const CiReader * r, const gchar * format, ...)
    G_GNUC_PRINTF (2, 3);
/** Dimension @index of a tensor; 0 if there is none. */
gint ci_reader_dim (const CiReader * r, gint index, const gchar * format, ...)
    G_GNUC_PRINTF (3, 4);
/** What normalises behind the convolution whose norm is called @name. */
CiNorm ci_reader_norm (const CiReader * r, const gchar * name);
/** The @n values of the tensor @name; FALSE if it has others, or is missing. */
gboolean ci_reader_values (const CiReader * r, const gchar * name,
    gfloat * out, gint n);
/** How far the values of @name may be from what was rounded to them. */
gfloat ci_reader_rounding (const CiReader * r, const gchar * name);
/** The first name that begins with @prefix and ends with @suffix; NULL if there
 * is none. */
const gchar *ci_reader_find (const CiReader * r, const gchar * prefix,
    const gchar * suffix);
/** How many of `@prefix0@suffix`, `@prefix1@suffix`, .. there are in a row. */
gint ci_reader_count (const CiReader * r, const gchar * prefix,
    const gchar * suffix);

/** recognise.c: any backbone under detectron2's names. */
gboolean ci_reader_backbone (const CiReader * r);
/** recognise.c: the tensors pixel_mean and pixel_std, if there are any. */
void ci_reader_pixels (const CiReader * r);
/** recognise.c: a ResNet whose tensors are called as @names has it; @prefix
 * NULL: as that has it, too. */
gboolean ci_reader_resnet (const CiReader * r, gint names,
    const gchar * prefix);

G_END_DECLS

#endif /* CI_READER_H */
