/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "coco_json.h"

#include <math.h>
#include <string.h>

#include "kernels.h"

/* COCO's files need 6; the parser recurses. */
#define MAX_DEPTH 64
#define MAX_FILE_BYTES (1024 * 1024 * 1024)

/* Where in which file something is wrong. */
typedef struct
{
  const gchar *path;            /* of the file */
  const gchar *list;            /* "annotations" */
  guint index;
} Place;

/* Always FALSE; @place: NULL if a caller adds it. */
G_GNUC_PRINTF (3, 4)
static gboolean
fail (GError ** error, const Place * place, const gchar * format, ...)
{
  va_list args;

  va_start (args, format);
  if (error)
    *error = g_error_new_valist (CI_ERROR, CI_ERROR_BAD_FORMAT, format, args);
  va_end (args);
  if (place)
    g_prefix_error (error, "%s: %s[%u]: ", place->path, place->list,
        place->index);
  return FALSE;
}

static gboolean
check_depth (const gchar * data, gsize size)
{
  gboolean in_string = FALSE;
  guint depth = 0;
  gsize i;

  for (i = 0; i < size; i++) {
    switch (data[i]) {
      case '\\':
        if (in_string)
          i++;
        break;
      case '"':
        in_string = !in_string;
        break;
      case '[':
      case '{':
        if (!in_string && ++depth > MAX_DEPTH)
          return FALSE;
        break;
      case ']':
      case '}':
        if (!in_string && depth > 0)
          depth--;
        break;
    }
  }
  return TRUE;
}

JsonNode *
ci_json_load (const gchar * path, GError ** error)
{
  g_autoptr (JsonParser) parser = json_parser_new_immutable ();
  g_autoptr (GMappedFile) file = NULL;
  g_autoptr (GError) local = NULL;
  const gchar *data;
  gsize size;

  file = g_mapped_file_new (path, FALSE, &local);
  if (!file) {
    g_set_error_literal (error, CI_ERROR, CI_ERROR_IO, local->message);
    return NULL;
  }
  data = g_mapped_file_get_contents (file);
  size = g_mapped_file_get_length (file);
  if (size == 0 || size > MAX_FILE_BYTES || !check_depth (data, size)) {
    g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT, "%s: %s", path,
        size == 0 ? "the file is empty" : size > MAX_FILE_BYTES ?
        "more than 1 GiB of JSON" : "JSON nested too deeply");
    return NULL;
  }
  if (!json_parser_load_from_data (parser, data, size, &local)) {
    g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT, "%s: %s", path,
        local->message);
    return NULL;
  }
  return json_parser_steal_root (parser);
}

gboolean
ci_json_write (JsonNode * node, const gchar * path, GError ** error)
{
  g_autofree gchar *text = json_to_string (node, path == NULL);
  g_autoptr (GError) local = NULL;

  if (!path) {
    g_print ("%s\n", text);
  } else if (!g_file_set_contents (path, text, -1, &local)) {
    g_set_error_literal (error, CI_ERROR, CI_ERROR_IO, local->message);
    return FALSE;
  }
  return TRUE;
}

/* ---- members of objects ------------------------------------------------ */

/* FALSE if there is no such member, or no finite number in it. */
static gboolean
get_number (JsonObject * object, const gchar * name, gdouble * value)
{
  JsonNode *node = json_object_get_member (object, name);
  GType type = node && JSON_NODE_HOLDS_VALUE (node) ?
      json_node_get_value_type (node) : G_TYPE_INVALID;

  if (type == G_TYPE_BOOLEAN)
    *value = json_node_get_boolean (node);
  else if (type == G_TYPE_INT64 || type == G_TYPE_DOUBLE)
    *value = json_node_get_double (node);
  else
    return FALSE;
  return isfinite (*value);
}

static gboolean
get_id (JsonObject * object, const gchar * name, gint64 * value)
{
  JsonNode *node = json_object_get_member (object, name);

  if (!node || !JSON_NODE_HOLDS_VALUE (node)
      || json_node_get_value_type (node) != G_TYPE_INT64)
    return FALSE;
  *value = json_node_get_int (node);
  return TRUE;
}

static const gchar *
get_string (JsonObject * object, const gchar * name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node && JSON_NODE_HOLDS_VALUE (node) ?
      json_node_get_string (node) : NULL;
}

static JsonArray *
get_array (JsonObject * object, const gchar * name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node)
      : NULL;
}

/* The numbers of @node, an array; NULL if it is something else. */
static gdouble *
get_numbers (JsonNode * node, guint * n)
{
  JsonArray *array;
  gdouble *values;
  guint i;

  if (!node || !JSON_NODE_HOLDS_ARRAY (node))
    return NULL;
  array = json_node_get_array (node);
  *n = json_array_get_length (array);
  values = g_new (gdouble, *n + 1);
  for (i = 0; i < *n; i++) {
    JsonNode *element = json_array_get_element (array, i);
    GType type = JSON_NODE_HOLDS_VALUE (element) ?
        json_node_get_value_type (element) : G_TYPE_INVALID;

    if (type != G_TYPE_INT64 && type != G_TYPE_DOUBLE) {
      g_free (values);
      return NULL;
    }
    values[i] = json_node_get_double (element);
  }
  return values;
}

/* The object @index of a list, or NULL and @error. */
static JsonObject *
get_element (JsonArray * array, const Place * place, GError ** error)
{
  JsonNode *node = json_array_get_element (array, place->index);

  if (JSON_NODE_HOLDS_OBJECT (node))
    return json_node_get_object (node);
  fail (error, place, "not an object");
  return NULL;
}

/* ---- masks ------------------------------------------------------------- */

static gboolean
rle_from_box (CiRle * rle, const gdouble * b, const CiCocoImage * image,
    GError ** error)
{
  const gdouble corners[] = { b[0], b[1], b[0], b[1] + b[3],
    b[0] + b[2], b[1] + b[3], b[0] + b[2], b[1]
  };

  return ci_rle_from_polygon (rle, corners, 4, image->width, image->height,
      error);
}

/* {"size": [height, width], "counts": string or numbers} */
static gboolean
load_rle (CiRle * rle, JsonObject * object, const CiCocoImage * image,
    GError ** error)
{
  g_autofree gdouble *size = NULL, *counts = NULL;
  g_autofree guint32 *runs = NULL;
  const gchar *string = get_string (object, "counts");
  guint n = 0, i;

  size = get_numbers (json_object_get_member (object, "size"), &n);
  if (!size || n != 2)
    return fail (error, NULL, "the mask has no size");
  if (size[0] != image->height || size[1] != image->width)
    return fail (error, NULL,
        "the mask has %g rows and %g columns, its picture %u and %u",
        size[0], size[1], image->height, image->width);
  if (string)
    return ci_rle_from_string (rle, string, image->width, image->height,
        error);

  counts = get_numbers (json_object_get_member (object, "counts"), &n);
  if (!counts)
    return fail (error, NULL, "the mask has no counts");
  runs = g_new (guint32, MAX (n, 1));
  for (i = 0; i < n; i++) {
    if (!(counts[i] >= 0 && counts[i] <= G_MAXUINT32))
      return fail (error, NULL, "%g is no length of a run", counts[i]);
    runs[i] = counts[i];
  }
  return ci_rle_from_runs (rle, runs, n, image->width, image->height, error);
}

/* The union of polygons; if the first has four numbers, of boxes. */
static gboolean
load_polygons (CiRle * rle, JsonArray * array, const CiCocoImage * image,
    GError ** error)
{
  gboolean boxes = FALSE;
  guint i, n = 0;

  for (i = 0; i < json_array_get_length (array); i++) {
    g_autofree gdouble *numbers = NULL;
    CiRle part;

    numbers = get_numbers (json_array_get_element (array, i), &n);
    if (!numbers)
      return fail (error, NULL, "polygon %u is no list of numbers", i);
    if (i == 0)
      boxes = n == 4;
    if (boxes && n != 4)
      return fail (error, NULL, "box %u has %u numbers", i, n);
    if (!(boxes ? rle_from_box (&part, numbers, image, error) :
            ci_rle_from_polygon (&part, numbers, n / 2, image->width,
                image->height, error)))
      return FALSE;
    if (i == 0) {
      *rle = part;              /* the caller clears it on failure */
    } else {
      ci_rle_add (rle, &part);
      ci_rle_clear (&part);
    }
  }
  return TRUE;
}

/* Leaves @rle empty if there is no segmentation. */
static gboolean
load_mask (CiRle * rle, JsonObject * object, const CiCocoImage * image,
    GError ** error)
{
  JsonNode *node = json_object_get_member (object, "segmentation");

  if (node && JSON_NODE_HOLDS_OBJECT (node))
    return load_rle (rle, json_node_get_object (node), image, error);
  if (node && JSON_NODE_HOLDS_ARRAY (node))
    return load_polygons (rle, json_node_get_array (node), image, error);
  return TRUE;
}

/* Box and mask of an annotation or a detection; one may stand for the other.
 * @had_mask tells whether there was one. */
static gboolean
load_shape (CiCocoObject * object, JsonObject * json,
    const CiCocoImage * image, gboolean * had_mask, const Place * place,
    GError ** error)
{
  g_autofree gdouble *box = NULL;
  gboolean ok = load_mask (&object->mask, json, image, error);
  guint n = 0;

  *had_mask = object->mask.n_runs > 0;
  box = get_numbers (json_object_get_member (json, "bbox"), &n);
  if (ok && box && n == 4) {
    memcpy (object->box, box, sizeof (object->box));
    if (!*had_mask)
      ok = rle_from_box (&object->mask, box, image, error);
  } else if (ok && box && n > 0) {
    ok = fail (error, NULL, "the box has %u numbers", n);
  } else if (ok && *had_mask) {
    ci_rle_box (&object->mask, object->box);
  } else if (ok) {
    ok = fail (error, NULL, "neither bbox nor segmentation");
  }
  if (!ok) {
    ci_rle_clear (&object->mask);
    g_prefix_error (error, "%s: %s[%u]: ", place->path, place->list,
        place->index);
  }
  return ok;
}

/* ---- annotation files -------------------------------------------------- */

static void
image_clear (gpointer data)
{
  CiCocoImage *image = data;

  g_free (image->file_name);
  g_free (image->tar);
  g_free (image->labelled);
}

static void
category_clear (gpointer data)
{
  g_free (((CiCocoCategory *) data)->name);
}

static void
object_clear (gpointer data)
{
  ci_rle_clear (&((CiCocoObject *) data)->mask);
}

GArray *
ci_coco_objects_new (void)
{
  GArray *objects = g_array_new (FALSE, TRUE, sizeof (CiCocoObject));

  g_array_set_clear_func (objects, object_clear);
  return objects;
}

/* Images and categories both begin with their id. */
static gint
compare_ids (gconstpointer a, gconstpointer b)
{
  gint64 x = *(const gint64 *) a, y = *(const gint64 *) b;

  return x < y ? -1 : x > y;
}

/* Index of the element with @id of a sorted array, or -1. */
static gint
find_id (GArray * array, gint64 id)
{
  guint index;

  return g_array_binary_search (array, &id, compare_ids, &index) ? (gint) index
      : -1;
}

static gboolean
sort_by_id (GArray * array, gsize element_size, const gchar * path,
    const gchar * list, GError ** error)
{
  guint i;

  g_array_sort (array, compare_ids);
  for (i = 1; i < array->len; i++) {
    const gint64 *id = (const gint64 *) (array->data + i * element_size);

    if (*id == *(const gint64 *) (array->data + (i - 1) * element_size)) {
      g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
          "%s: %s: the id %" G_GINT64_FORMAT " occurs twice", path, list, *id);
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
load_categories (CiCoco * coco, JsonArray * array, const gchar * path,
    GError ** error)
{
  Place place = { path, "categories", 0 };

  for (; place.index < json_array_get_length (array); place.index++) {
    JsonObject *object = get_element (array, &place, error);
    CiCocoCategory category = { 0, NULL };

    if (!object)
      return FALSE;
    if (!get_id (object, "id", &category.id) || !get_string (object, "name"))
      return fail (error, &place, "id or name is missing");
    category.name = g_strdup (get_string (object, "name"));
    g_array_append_val (coco->categories, category);
  }
  return sort_by_id (coco->categories, sizeof (CiCocoCategory), path,
      "categories", error);
}

/* "all", or the names of the categories that are annotated. */
static gboolean
load_labelled (const CiCoco * coco, CiCocoImage * image, JsonObject * object,
    const Place * place, GError ** error)
{
  JsonArray *names = get_array (object, "labelled");
  guint i;

  if (!names)
    return TRUE;
  image->labelled = g_new0 (guint8, coco->categories->len + 1);
  for (i = 0; i < json_array_get_length (names); i++) {
    JsonNode *node = json_array_get_element (names, i);
    const gchar *name = JSON_NODE_HOLDS_VALUE (node) ?
        json_node_get_string (node) : NULL;
    gint category = name ? ci_coco_find_category (coco, name) : -1;

    if (category < 0)
      return fail (error, place, "labelled: no category is called \"%s\"",
          name ? name : "(not a string)");
    image->labelled[category] = 1;
  }
  return TRUE;
}

static gboolean
load_images (CiCoco * coco, JsonArray * array, const gchar * path,
    GError ** error)
{
  Place place = { path, "images", 0 };

  for (; place.index < json_array_get_length (array); place.index++) {
    JsonObject *object = get_element (array, &place, error);
    CiCocoImage image = { 0, };
    gdouble width, height;

    if (!object)
      return FALSE;
    if (!get_id (object, "id", &image.id)
        || !get_string (object, "file_name"))
      return fail (error, &place, "id or file_name is missing");
    if (!get_number (object, "width", &width)
        || !get_number (object, "height", &height)
        || !(width >= 1 && width <= CI_RLE_MAX_SIDE)
        || !(height >= 1 && height <= CI_RLE_MAX_SIDE))
      return fail (error, &place,
          "width and height must lie between 1 and %d", CI_RLE_MAX_SIDE);
    image.width = width;
    image.height = height;
    image.file_name = g_strdup (get_string (object, "file_name"));
    image.tar = g_strdup (get_string (object, "tar"));
    g_array_append_val (coco->images, image);
    if (!load_labelled (coco, &g_array_index (coco->images, CiCocoImage,
                coco->images->len - 1), object, &place, error))
      return FALSE;
  }
  return sort_by_id (coco->images, sizeof (CiCocoImage), path, "images",
      error);
}

static gboolean
load_annotations (CiCoco * coco, JsonArray * array, const gchar * path,
    GError ** error)
{
  Place place = { path, "annotations", 0 };

  for (; place.index < json_array_get_length (array); place.index++) {
    JsonObject *json = get_element (array, &place, error);
    CiCocoObject object = { 0, };
    gint64 image_id, category_id;
    gboolean had_mask;
    gdouble crowd = 0;
    gint image, category;

    if (!json)
      return FALSE;
    if (!get_id (json, "image_id", &image_id)
        || !get_id (json, "category_id", &category_id))
      return fail (error, &place, "image_id or category_id is missing");
    image = find_id (coco->images, image_id);
    category = find_id (coco->categories, category_id);
    if (image < 0 || category < 0) {
      coco->n_skipped++;
      continue;
    }
    if (!load_shape (&object, json, &g_array_index (coco->images, CiCocoImage,
                image), &had_mask, &place, error))
      return FALSE;
    object.image = image;
    object.category = category;
    object.crowd = get_number (json, "iscrowd", &crowd) && crowd != 0;
    if (!get_number (json, "area", &object.area))
      object.area = ci_rle_area (&object.mask);
    coco->has_masks &= had_mask;
    g_array_append_val (coco->objects, object);
  }
  return TRUE;
}

CiCoco *
ci_coco_load (const gchar * path, GError ** error)
{
  g_autoptr (CiCoco) coco = g_new0 (CiCoco, 1);
  g_autoptr (JsonNode) root = NULL;
  JsonArray *images, *categories, *annotations;
  JsonObject *object;

  coco->images = g_array_new (FALSE, TRUE, sizeof (CiCocoImage));
  g_array_set_clear_func (coco->images, image_clear);
  coco->categories = g_array_new (FALSE, TRUE, sizeof (CiCocoCategory));
  g_array_set_clear_func (coco->categories, category_clear);
  coco->objects = ci_coco_objects_new ();
  coco->has_masks = TRUE;

  root = ci_json_load (path, error);
  if (!root)
    return NULL;
  object = JSON_NODE_HOLDS_OBJECT (root) ? json_node_get_object (root) : NULL;
  images = object ? get_array (object, "images") : NULL;
  categories = object ? get_array (object, "categories") : NULL;
  annotations = object ? get_array (object, "annotations") : NULL;
  if (!images || !categories || !annotations) {
    g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT, "%s: not a COCO "
        "annotation file: an object with the lists images, categories and "
        "annotations was expected", path);
    return NULL;
  }
  if (!load_categories (coco, categories, path, error)
      || !load_images (coco, images, path, error)
      || !load_annotations (coco, annotations, path, error))
    return NULL;
  return g_steal_pointer (&coco);
}

void
ci_coco_free (CiCoco * coco)
{
  if (!coco)
    return;
  g_array_unref (coco->images);
  g_array_unref (coco->categories);
  g_array_unref (coco->objects);
  g_free (coco);
}

gint
ci_coco_find_category (const CiCoco * coco, const gchar * name)
{
  guint i;

  for (i = 0; i < coco->categories->len; i++) {
    if (g_str_equal (g_array_index (coco->categories, CiCocoCategory, i).name,
            name))
      return i;
  }
  return -1;
}

/* ---- result files ------------------------------------------------------ */

GArray *
ci_coco_load_results (const CiCoco * coco, const gchar * path,
    guint * n_skipped, GError ** error)
{
  g_autoptr (GArray) results = ci_coco_objects_new ();
  g_autoptr (JsonNode) root = ci_json_load (path, error);
  Place place = { path, "", 0 };
  JsonArray *array;

  *n_skipped = 0;
  if (!root)
    return NULL;
  if (!JSON_NODE_HOLDS_ARRAY (root)) {
    g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
        "%s: not a COCO result file: a list of detections was expected", path);
    return NULL;
  }
  array = json_node_get_array (root);
  for (; place.index < json_array_get_length (array); place.index++) {
    JsonObject *json = get_element (array, &place, error);
    CiCocoObject object = { 0, };
    gint64 image_id, category_id;
    gboolean had_mask;
    gint image, category;

    if (!json)
      return NULL;
    if (!get_id (json, "image_id", &image_id)
        || !get_id (json, "category_id", &category_id)
        || !get_number (json, "score", &object.score)) {
      fail (error, &place, "image_id, category_id or score is missing");
      return NULL;
    }
    image = find_id (coco->images, image_id);
    category = find_id (coco->categories, category_id);
    if (image < 0) {
      fail (error, &place, "the annotations have no picture with the id %"
          G_GINT64_FORMAT, image_id);
      return NULL;
    }
    if (category < 0) {
      (*n_skipped)++;
      continue;
    }
    if (!load_shape (&object, json, &g_array_index (coco->images, CiCocoImage,
                image), &had_mask, &place, error))
      return NULL;
    object.image = image;
    object.category = category;
    g_array_append_val (results, object);
  }
  return g_steal_pointer (&results);
}

JsonNode *
ci_coco_result_to_json (const CiCocoObject * object, gint64 image_id,
    gint64 category_id, const gchar * label)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  guint i;

  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "image_id");
  json_builder_add_int_value (builder, image_id);
  json_builder_set_member_name (builder, "category_id");
  json_builder_add_int_value (builder, category_id);
  if (label) {
    json_builder_set_member_name (builder, "label");
    json_builder_add_string_value (builder, label);
  }
  json_builder_set_member_name (builder, "bbox");
  json_builder_begin_array (builder);
  for (i = 0; i < 4; i++)
    json_builder_add_double_value (builder, object->box[i]);
  json_builder_end_array (builder);
  json_builder_set_member_name (builder, "score");
  json_builder_add_double_value (builder, object->score);
  if (object->mask.n_runs > 0) {
    g_autofree gchar *counts = ci_rle_to_string (&object->mask);

    json_builder_set_member_name (builder, "segmentation");
    json_builder_begin_object (builder);
    json_builder_set_member_name (builder, "size");
    json_builder_begin_array (builder);
    json_builder_add_int_value (builder, object->mask.height);
    json_builder_add_int_value (builder, object->mask.width);
    json_builder_end_array (builder);
    json_builder_set_member_name (builder, "counts");
    json_builder_add_string_value (builder, counts);
    json_builder_end_object (builder);
  }
  json_builder_end_object (builder);
  return json_builder_get_root (builder);
}
