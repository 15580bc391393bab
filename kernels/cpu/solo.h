/*
 * solo.h: what SOLO's detection and its masks share; private to kernels/cpu.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_CPU_SOLO_H
#define CI_CPU_SOLO_H

#include "cpu.h"

G_BEGIN_DECLS

/* Soft masks are made for so many cells and so many rows at a time. */
#define CI_SOLO_GROUP 4
#define CI_SOLO_ROWS 8

/* A cell, and the 1x1 convolution that makes its mask: padded weights; NULL of
 * products. */
typedef struct
{
  gint level, cell;
  const gfloat *row;
  gfloat bias;
} CiSoloCell;

typedef struct
{
  const CiMap *maps[2];         /* product: columns and rows; else features */
  const CiMap *kernels;         /* dynamic */
  CiPacked *packed;             /* static: a row for each cell */
  CiTap *ys, *xs;               /* NULL: the maps have the size of the masks */
} CiSoloMaps;

typedef struct
{
  CiSoloSource source;
  gint n_levels;
  gint h, w;                    /* of the masks */
  gint row_floats;              /* of a cell's weights */
  gfloat least;                 /* logits below are below mask_threshold */
  gsize scratch_floats;
  gint grids[8];
  CiSoloMaps levels[8];
} CiSolo;

gboolean ci_cpu_solo_init (CiSolo * solo, CiPlan * plan, const CiNode * node,
    GError ** error);
void ci_cpu_solo_clear (CiSolo * solo);

/* @room: row_floats numbers that @out may use. */
void ci_cpu_solo_get_cell (const CiSolo * solo, gint level, gint cell,
    gfloat * room, CiSoloCell * out);

/* Soft masks of the @n cells, at most CI_SOLO_GROUP of one level (of any, if
 * dynamic), in columns [@x0, @x1) of the rows [@y0, @y1), at most CI_SOLO_ROWS.
 * @out: a plane of CI_SOLO_ROWS rows for each, @pitch floats apart, in whole
 * vectors, zeros behind the last column. @binary: what is surely below
 * mask_threshold may be 0. @scratch: scratch_floats. */
void ci_cpu_solo_soft (const CiSolo * solo, const CiSoloCell * cells, gint n,
    gint x0, gint x1, gint y0, gint y1, gboolean binary, gfloat * scratch,
    gfloat * out, gint pitch);

G_END_DECLS

#endif
