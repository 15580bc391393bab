/*
 * coco_json.h: COCO annotation and result files
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_COCO_JSON_H
#define CI_COCO_JSON_H

#include <json-glib/json-glib.h>

#include "coco_mask.h"

G_BEGIN_DECLS

typedef struct
{
  gint64 id;
  gchar *name;
} CiCocoCategory;

typedef struct
{
  gint64 id;
  gchar *file_name;
  gchar *tar;                   /* archive it lies in; NULL = a plain file */
  guint width, height;
  guint8 *labelled;             /* a flag per category; NULL = all of them */
} CiCocoImage;

/** An annotated object or a detection. */
typedef struct
{
  guint image, category;        /* indices into the dataset's arrays */
  gdouble box[4];               /* x, y, width, height */
  CiRle mask;                   /* of the picture's size; no runs: none */
  gdouble area;                 /* as annotated; unused in detections */
  gdouble score;                /* of a detection */
  gboolean crowd;
} CiCocoObject;

/** An annotation file: images and categories in the order of their ids. */
typedef struct
{
  GArray *images;               /* of CiCocoImage */
  GArray *categories;           /* of CiCocoCategory */
  GArray *objects;              /* of CiCocoObject, in the file's order */
  gboolean has_masks;           /* every object came with one */
  guint n_skipped;              /* objects of no known image or category */
} CiCoco;

CiCoco *ci_coco_load (const gchar * path, GError ** error);
void ci_coco_free (CiCoco * coco);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CiCoco, ci_coco_free)

/** Index of the category called @name, or -1. */
gint ci_coco_find_category (const CiCoco * coco, const gchar * name);

/** An empty array of CiCocoObject that clears what it holds. */
GArray *ci_coco_objects_new (void);
/**
 * Detections from a result file for the pictures of @coco. What lacks a mask
 * gets that of its box, and what lacks a box that of its mask. Detections of
 * categories unknown to @coco are left out and counted in @n_skipped.
 */
GArray *ci_coco_load_results (const CiCoco * coco, const gchar * path,
    guint * n_skipped, GError ** error);
/** One detection as an object of a result file; @label may be NULL. */
JsonNode *ci_coco_result_to_json (const CiCocoObject * object,
    gint64 image_id, gint64 category_id, const gchar * label);

/** Parses a file, refusing hostile nesting. */
JsonNode *ci_json_load (const gchar * path, GError ** error);
/** Writes @node to the file @path, or to the standard output if NULL. */
gboolean ci_json_write (JsonNode * node, const gchar * path, GError ** error);

G_END_DECLS

#endif /* CI_COCO_JSON_H */
