/*
 * upstream.c: configurations of detectron2 and AdelaiDet: nests of keys as
 * YAML or JSON, flattened to "MODEL.FCOS.NUM_CLASSES".
 *
 * Values follow what yacs makes of them: YAML 1.1's booleans, and strings that
 * hold a Python literal, such as "(64, 128)", are that literal.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "upstream.h"

#include <string.h>

#include <yaml.h>

#include "json.h"

#define MAX_BYTES (1024 * 1024)
#define MAX_DEPTH 16
#define MAX_FILES 10
#define BASE_KEY "_BASE_"

typedef struct
{
  JsonNode *node;               /* a scalar or an array, never NULL */
  const gchar *origin;          /* interned */
} Value;

struct _CiUpstream
{
  GHashTable *values;           /* key -> Value */
};

static void
value_free (gpointer data)
{
  Value *value = data;

  json_node_unref (value->node);
  g_free (value);
}

CiUpstream *
ci_upstream_new (void)
{
  CiUpstream *upstream = g_new0 (CiUpstream, 1);

  upstream->values = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
      value_free);
  return upstream;
}

void
ci_upstream_free (CiUpstream * upstream)
{
  if (!upstream)
    return;
  g_hash_table_unref (upstream->values);
  g_free (upstream);
}

JsonNode *
ci_upstream_get (const CiUpstream * upstream, const gchar * key,
    const gchar ** origin)
{
  const Value *value = upstream ? g_hash_table_lookup (upstream->values, key)
      : NULL;

  if (!value)
    return NULL;
  if (origin)
    *origin = value->origin;
  return value->node;
}

void
ci_upstream_take (CiUpstream * upstream, const gchar * key, JsonNode * node,
    const gchar * origin)
{
  Value *value;

  /* None is what upstream calls "not set" */
  if (JSON_NODE_HOLDS_NULL (node)) {
    json_node_unref (node);
    g_hash_table_remove (upstream->values, key);
    return;
  }
  value = g_new0 (Value, 1);
  value->node = node;
  value->origin = g_intern_string (origin);
  g_hash_table_insert (upstream->values, g_strdup (key), value);
}

/* Puts @node, the value of @path, into the map: objects key by key. */
static void
flatten (CiUpstream * upstream, const gchar * path, JsonNode * node,
    const gchar * origin)
{
  JsonObjectIter iter;
  const gchar *name;
  JsonNode *member;

  if (!JSON_NODE_HOLDS_OBJECT (node)) {
    ci_upstream_take (upstream, path, json_node_copy (node), origin);
    return;
  }
  json_object_iter_init (&iter, json_node_get_object (node));
  while (json_object_iter_next (&iter, &name, &member)) {
    g_autofree gchar *key = *path ? g_strconcat (path, ".", name, NULL)
        : g_strdup (name);

    flatten (upstream, key, member, origin);
  }
}

/* ---- scalars ---------------------------------------------------------- */

static JsonNode *
node_new_string (const gchar * text)
{
  JsonNode *node = json_node_new (JSON_NODE_VALUE);

  json_node_set_string (node, text);
  return node;
}

/* The number that @text is as a whole, in decimal; NULL if it is none. */
static JsonNode *
read_number (const gchar * text)
{
  const gchar *digits = text + (*text == '-' || *text == '+');
  JsonNode *node;
  gchar *end;
  gdouble value;

  if (!*digits || digits[strspn (digits, "0123456789.eE+-")]
      || (!g_ascii_isdigit (*digits) && *digits != '.'))
    return NULL;
  value = g_ascii_strtod (text, &end);
  if (*end || end == digits || value - value != 0)
    return NULL;
  node = json_node_new (JSON_NODE_VALUE);
  if (!digits[strspn (digits, "0123456789")] && ABS (value) < 1e15)
    json_node_set_int (node, (gint64) value);
  else
    json_node_set_double (node, value);
  return node;
}

static JsonNode *read_literal (const gchar * text, guint depth);

/* "(64, 128)" or "[64, 128]"; NULL if it is no such list. */
static JsonNode *
read_list (const gchar * text, guint depth)
{
  gsize length = strlen (text);
  gchar close = *text == '(' ? ')' : ']';
  g_autoptr (JsonArray) array = NULL;
  const gchar *item, *end = text + length - 1, *p;
  gint level = 0;
  JsonNode *node;

  if (length < 2 || (*text != '(' && *text != '[') || *end != close
      || depth == 0)
    return NULL;
  array = json_array_new ();
  for (item = p = text + 1; p <= end; p++) {
    if (*p == '(' || *p == '[')
      level++;
    else if (p < end && (*p == ')' || *p == ']'))
      level--;
    else if (p == end || (*p == ',' && level == 0)) {
      g_autofree gchar *part = g_strstrip (g_strndup (item, p - item));

      item = p + 1;
      /* a comma before the end is how Python writes tuples of one */
      if (!*part && p == end)
        break;
      node = *part ? read_literal (part, depth - 1) : NULL;
      if (!node)
        return NULL;
      json_array_add_element (array, node);
    }
    if (level < 0)
      return NULL;
  }
  if (level != 0)
    return NULL;
  node = json_node_new (JSON_NODE_ARRAY);
  json_node_set_array (node, array);
  return node;
}

/* What Python's literal_eval() makes of @text; NULL if it fails. */
static JsonNode *
read_literal (const gchar * text, guint depth)
{
  gsize length = strlen (text);
  JsonNode *node;

  if (g_str_equal (text, "True") || g_str_equal (text, "False")) {
    node = json_node_new (JSON_NODE_VALUE);
    json_node_set_boolean (node, *text == 'T');
    return node;
  }
  if (g_str_equal (text, "None"))
    return json_node_new (JSON_NODE_NULL);
  if (length >= 2 && (*text == '\'' || *text == '"')
      && text[length - 1] == *text && !memchr (text + 1, *text, length - 2)
      && !strchr (text, '\\')) {
    g_autofree gchar *inner = g_strndup (text + 1, length - 2);

    return node_new_string (inner);
  }
  node = read_number (text);
  return node ? node : read_list (text, depth);
}

/* A scalar of YAML; @plain: without quotes. */
static JsonNode *
read_scalar (const gchar * text, gboolean plain)
{
  static const gchar *const yes[] = { "yes", "Yes", "YES", "on", "On", "ON",
    "true", "TRUE", NULL
  };
  static const gchar *const no[] = { "no", "No", "NO", "off", "Off", "OFF",
    "false", "FALSE", NULL
  };
  static const gchar *const null[] = { "", "~", "null", "Null", "NULL", NULL };
  JsonNode *node;

  if (plain && g_strv_contains (null, text))
    return json_node_new (JSON_NODE_NULL);
  if (plain && (g_strv_contains (yes, text) || g_strv_contains (no, text))) {
    node = json_node_new (JSON_NODE_VALUE);
    json_node_set_boolean (node, g_strv_contains (yes, text));
    return node;
  }
  node = read_literal (text, MAX_DEPTH);
  return node ? node : node_new_string (text);
}

/* ---- YAML ------------------------------------------------------------- */

typedef struct
{
  yaml_parser_t parser;
  const gchar *name;
} Yaml;

static gboolean G_GNUC_PRINTF (4, 5)
yaml_fail (const Yaml * yaml, const yaml_mark_t * mark, GError ** error,
    const gchar * format, ...)
{
  g_autofree gchar *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
      "%s: line %" G_GSIZE_FORMAT ": %s", yaml->name, (gsize) mark->line + 1,
      what);
  return FALSE;
}

/* The next event, without those that say nothing here. */
static gboolean
next_event (Yaml * yaml, yaml_event_t * event, GError ** error)
{
  do {
    if (!yaml_parser_parse (&yaml->parser, event))
      return yaml_fail (yaml, &yaml->parser.problem_mark, error, "%s",
          yaml->parser.problem ? yaml->parser.problem : "not YAML");
  } while (event->type == YAML_STREAM_START_EVENT);
  return TRUE;
}

/* Tags that change nothing; all others ask for objects of Python. */
static gboolean
check_tag (Yaml * yaml, const yaml_char_t * tag, const yaml_mark_t * mark,
    GError ** error)
{
  static const gchar *const known[] = { "!", "tag:yaml.org,2002:bool",
    "tag:yaml.org,2002:float", "tag:yaml.org,2002:int",
    "tag:yaml.org,2002:map", "tag:yaml.org,2002:null",
    "tag:yaml.org,2002:seq", "tag:yaml.org,2002:str",
    "tag:yaml.org,2002:python/tuple", "tag:yaml.org,2002:python/unicode", NULL
  };

  if (!tag || g_strv_contains (known, (const gchar *) tag))
    return TRUE;
  return yaml_fail (yaml, mark, error, "the tag \"%.60s\" is refused",
      (const gchar *) tag);
}

static JsonNode *read_node (Yaml * yaml, yaml_event_t * event, guint depth,
    GError ** error);

static JsonNode *
read_sequence (Yaml * yaml, guint depth, GError ** error)
{
  g_autoptr (JsonArray) array = json_array_new ();
  yaml_event_t event;
  JsonNode *node;

  for (;;) {
    if (!next_event (yaml, &event, error))
      return NULL;
    if (event.type == YAML_SEQUENCE_END_EVENT)
      break;
    node = read_node (yaml, &event, depth, error);
    if (!node)
      return NULL;
    json_array_add_element (array, node);
  }
  yaml_event_delete (&event);
  node = json_node_new (JSON_NODE_ARRAY);
  json_node_set_array (node, array);
  return node;
}

/* The scalar in @event, which it consumes; NULL if it holds what no string
 * here may. */
static gchar *
take_text (Yaml * yaml, yaml_event_t * event, GError ** error)
{
  const gchar *value = (const gchar *) event->data.scalar.value;
  gsize length = event->data.scalar.length;
  gchar *text = NULL;

  if (memchr (value, 0, length) || !g_utf8_validate (value, length, NULL))
    yaml_fail (yaml, &event->start_mark, error, "expected text in UTF-8");
  else
    text = g_strndup (value, length);
  return text;
}

static JsonNode *
read_mapping (Yaml * yaml, guint depth, GError ** error)
{
  g_autoptr (JsonObject) object = json_object_new ();
  yaml_event_t event;
  JsonNode *node;

  for (;;) {
    g_autofree gchar *key = NULL;

    if (!next_event (yaml, &event, error))
      return NULL;
    if (event.type == YAML_MAPPING_END_EVENT)
      break;
    if (event.type == YAML_SCALAR_EVENT)
      key = take_text (yaml, &event, error);
    else
      yaml_fail (yaml, &event.start_mark, error, "expected a key");
    yaml_event_delete (&event);
    if (!key || !next_event (yaml, &event, error))
      return NULL;
    node = read_node (yaml, &event, depth, error);
    if (!node)
      return NULL;
    /* the last of two equal keys counts, as in Python */
    json_object_set_member (object, key, node);
  }
  yaml_event_delete (&event);
  node = json_node_new (JSON_NODE_OBJECT);
  json_node_set_object (node, object);
  return node;
}

/* The node that begins with @event, which is consumed. */
static JsonNode *
read_node (Yaml * yaml, yaml_event_t * event, guint depth, GError ** error)
{
  yaml_mark_t mark = event->start_mark;
  yaml_event_type_t type = event->type;
  JsonNode *node = NULL;
  gboolean ok = TRUE;

  if (type == YAML_SCALAR_EVENT) {
    g_autofree gchar *text = NULL;

    if (check_tag (yaml, event->data.scalar.tag, &mark, error))
      text = take_text (yaml, event, error);
    if (text)
      node = read_scalar (text, event->data.scalar.style ==
          YAML_PLAIN_SCALAR_STYLE);
    yaml_event_delete (event);
    return node;
  }
  if (type == YAML_SEQUENCE_START_EVENT)
    ok = check_tag (yaml, event->data.sequence_start.tag, &mark, error);
  else if (type == YAML_MAPPING_START_EVENT)
    ok = check_tag (yaml, event->data.mapping_start.tag, &mark, error);
  else if (type == YAML_ALIAS_EVENT)
    ok = yaml_fail (yaml, &mark, error, "aliases (*%.40s) are refused",
        (const gchar *) event->data.alias.anchor);
  else
    ok = yaml_fail (yaml, &mark, error, "expected a value");
  yaml_event_delete (event);
  if (ok && depth == 0)
    ok = yaml_fail (yaml, &mark, error, "nested more than %d deep", MAX_DEPTH);
  if (!ok)
    return NULL;
  return type == YAML_SEQUENCE_START_EVENT ?
      read_sequence (yaml, depth - 1, error) :
      read_mapping (yaml, depth - 1, error);
}

/* The one document of @text; an empty one is null. */
static JsonNode *
parse_yaml (const gchar * text, gsize size, const gchar * name,
    GError ** error)
{
  Yaml yaml = {.name = name };
  JsonNode *node = NULL;
  yaml_event_t event;

  if (!yaml_parser_initialize (&yaml.parser)) {
    g_set_error (error, CI_ERROR, CI_ERROR_OUT_OF_MEMORY,
        "%s: no memory for a YAML parser", name);
    return NULL;
  }
  yaml_parser_set_input_string (&yaml.parser, (const guchar *) text, size);
  if (!next_event (&yaml, &event, error))
    goto out;
  if (event.type == YAML_STREAM_END_EVENT) {
    yaml_event_delete (&event);
    node = json_node_new (JSON_NODE_NULL);
    goto out;
  }
  yaml_event_delete (&event);   /* the document's start */
  if (!next_event (&yaml, &event, error))
    goto out;
  node = read_node (&yaml, &event, MAX_DEPTH, error);
  if (!node)
    goto out;
  for (gboolean end = FALSE; node && !end;) {
    if (!next_event (&yaml, &event, error)) {
      g_clear_pointer (&node, json_node_unref);
      break;
    }
    end = event.type == YAML_STREAM_END_EVENT;
    if (event.type == YAML_DOCUMENT_START_EVENT) {
      yaml_fail (&yaml, &event.start_mark, error, "expected one document");
      g_clear_pointer (&node, json_node_unref);
    }
    yaml_event_delete (&event);
  }

out:
  yaml_parser_delete (&yaml.parser);
  return node;
}

/* ---- JSON ------------------------------------------------------------- */

static JsonNode *
parse_json (const gchar * text, gsize size, const gchar * name,
    GError ** error)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  GError *fault = NULL;

  if (ci_json_check (text, size, MAX_DEPTH, &fault)
      && json_parser_load_from_data (parser, text, size, &fault))
    return json_parser_steal_root (parser);
  fault->domain = CI_ERROR;
  fault->code = CI_ERROR_BAD_FORMAT;
  g_propagate_prefixed_error (error, fault, "%s: ", name);
  return NULL;
}

/* Copies the first number or the like that @object has under @from. */
static void
take_member (CiUpstream * upstream, JsonObject * object, const gchar * from,
    const gchar * key, const gchar * origin)
{
  JsonNode *node = object ? json_object_get_member (object, from) : NULL;

  if (node && !JSON_NODE_HOLDS_OBJECT (node))
    ci_upstream_take (upstream, key, json_node_copy (node), origin);
}

/* A golden case.json: its `config` is the part below MODEL, what else it has
 * stands beside it, the size of the test in the list of images. */
static gboolean
take_case (CiUpstream * upstream, JsonObject * root, const gchar * origin)
{
  static const gchar *const keys[][2] = {
    {"score_thresh", "MODEL.FCOS.INFERENCE_TH_TEST"},
    {"nms_thresh", "MODEL.FCOS.NMS_TH"},
    {"pre_nms_topk", "MODEL.FCOS.PRE_NMS_TOPK_TEST"},
    {"post_nms_topk", "MODEL.FCOS.POST_NMS_TOPK_TEST"},
    {"thresh_with_ctr", "MODEL.FCOS.THRESH_WITH_CTR"},
    {"pixel_mean", "MODEL.PIXEL_MEAN"},
    {"pixel_std", "MODEL.PIXEL_STD"},
  };
  JsonNode *config = json_object_get_member (root, "config");
  JsonNode *images = json_object_get_member (root, "images");
  JsonNode *first;

  if (!config || !JSON_NODE_HOLDS_OBJECT (config))
    return FALSE;
  flatten (upstream, "MODEL", config, origin);
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    take_member (upstream, root, keys[i][0], keys[i][1], origin);
  if (images && JSON_NODE_HOLDS_ARRAY (images)
      && json_array_get_length (json_node_get_array (images)) > 0) {
    first = json_array_get_element (json_node_get_array (images), 0);
    if (JSON_NODE_HOLDS_OBJECT (first)) {
      JsonObject *image = json_node_get_object (first);

      take_member (upstream, image, "min_size_test", "INPUT.MIN_SIZE_TEST",
          origin);
      take_member (upstream, image, "max_size_test", "INPUT.MAX_SIZE_TEST",
          origin);
    }
  }
  return TRUE;
}

/* ---- reading ---------------------------------------------------------- */

/* The nest in @text: an object or null. */
static JsonNode *
parse_text (const gchar * text, gsize size, const gchar * name,
    GError ** error)
{
  gsize blank = 0;
  JsonNode *node;

  if (size > MAX_BYTES) {
    g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
        "%s: expected at most %d bytes, found %" G_GSIZE_FORMAT, name,
        MAX_BYTES, size);
    return NULL;
  }
  while (blank < size && g_ascii_isspace (text[blank]))
    blank++;
  /* what begins with a brace would be YAML, too, but strictness helps */
  node = blank < size && text[blank] == '{' ?
      parse_json (text, size, name, error) :
      parse_yaml (text, size, name, error);
  if (node && !JSON_NODE_HOLDS_OBJECT (node) && !JSON_NODE_HOLDS_NULL (node)) {
    g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
        "%s: expected a nest of keys such as MODEL.FCOS.NUM_CLASSES, found %s",
        name, JSON_NODE_HOLDS_ARRAY (node) ? "a list" : "a single value");
    g_clear_pointer (&node, json_node_unref);
  }
  return node;
}

static void
take_root (CiUpstream * upstream, JsonNode * root, const gchar * name)
{
  if (JSON_NODE_HOLDS_OBJECT (root)
      && !take_case (upstream, json_node_get_object (root), name))
    flatten (upstream, "", root, name);
  g_hash_table_remove (upstream->values, BASE_KEY);
}

gboolean
ci_upstream_parse (CiUpstream * upstream, const gchar * text, gsize size,
    const gchar * name, GError ** error)
{
  g_autoptr (JsonNode) root = parse_text (text, size, name, error);

  if (root)
    take_root (upstream, root, name);
  return root != NULL;
}

static gboolean read_file (CiUpstream * upstream, const gchar * path,
    GPtrArray * files, GError ** error);

/* Reads the file @base, which @path names as its base. */
static gboolean
read_base (CiUpstream * upstream, const gchar * path, const gchar * base,
    GPtrArray * files, GError ** error)
{
  g_autofree gchar *folder = g_path_get_dirname (path);
  g_autofree gchar *file = NULL;

  if (g_str_has_prefix (base, "~/"))
    file = g_build_filename (g_get_home_dir (), base + 2, NULL);
  else if (g_path_is_absolute (base))
    file = g_strdup (base);
  else
    file = g_build_filename (folder, base, NULL);
  if (!g_file_test (file, G_FILE_TEST_EXISTS)) {
    g_warning ("%s: its " BASE_KEY " %s is missing; what it would say is "
        "taken from the published configurations", path, file);
    return TRUE;
  }
  return read_file (upstream, file, files, error);
}

/* Reads @path on top of its bases. @files: those that are being read. */
static gboolean
read_file (CiUpstream * upstream, const gchar * path, GPtrArray * files,
    GError ** error)
{
  g_autofree gchar *absolute = g_canonicalize_filename (path, NULL);
  g_autoptr (JsonNode) root = NULL;
  g_autoptr (GMappedFile) file = NULL;
  GError *fault = NULL;
  JsonNode *base;
  gboolean ok = TRUE;

  if (g_ptr_array_find_with_equal_func (files, absolute, g_str_equal, NULL)
      || files->len == MAX_FILES) {
    g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT, "%s: %s", path,
        files->len == MAX_FILES ? "too long a chain of " BASE_KEY
        : "is its own " BASE_KEY);
    return FALSE;
  }
  /* devices and pipes could block or never end */
  if (g_file_test (path, G_FILE_TEST_EXISTS)
      && !g_file_test (path, G_FILE_TEST_IS_REGULAR)) {
    g_set_error (error, CI_ERROR, CI_ERROR_IO, "%s: not a regular file", path);
    return FALSE;
  }
  file = g_mapped_file_new (path, FALSE, &fault);
  if (!file) {
    fault->domain = CI_ERROR;
    fault->code = CI_ERROR_IO;
    g_propagate_error (error, fault);
    return FALSE;
  }
  root = parse_text (g_mapped_file_get_contents (file),
      g_mapped_file_get_length (file), path, error);
  if (!root)
    return FALSE;

  base = JSON_NODE_HOLDS_OBJECT (root) ?
      json_object_get_member (json_node_get_object (root), BASE_KEY) : NULL;
  g_ptr_array_add (files, absolute);
  if (base && JSON_NODE_HOLDS_VALUE (base)
      && json_node_get_value_type (base) == G_TYPE_STRING)
    ok = read_base (upstream, path, json_node_get_string (base), files, error);
  else if (base && !JSON_NODE_HOLDS_NULL (base)) {
    g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
        "%s: " BASE_KEY ": expected the name of a file", path);
    ok = FALSE;
  }
  g_ptr_array_remove_index (files, files->len - 1);
  if (ok)
    take_root (upstream, root, path);
  return ok;
}

gboolean
ci_upstream_read_file (CiUpstream * upstream, const gchar * path,
    GError ** error)
{
  g_autoptr (GPtrArray) files = g_ptr_array_new ();

  return read_file (upstream, path, files, error);
}

gboolean
ci_upstream_set (CiUpstream * upstream, const gchar * key,
    const gchar * value, GError ** error)
{
  g_autofree gchar *name = g_strdup_printf ("%.60s=%.60s", key, value);
  JsonNode *node;

  if (!*key || key[strcspn (key, " \t\n=:")] || *key == '.'
      || g_str_has_suffix (key, ".") || !g_utf8_validate (key, -1, NULL)
      || strlen (value) > MAX_BYTES) {
    g_set_error (error, CI_ERROR, CI_ERROR_INVALID_ARGUMENT,
        "\"%.60s\" is no key of a configuration, like MODEL.FCOS.NUM_CLASSES",
        key);
    return FALSE;
  }
  /* "" and (64, 128) would be something else in YAML */
  node = *value && *value != '(' ?
      parse_yaml (value, strlen (value), name, error)
      : read_scalar (value, FALSE);
  if (!node)
    return FALSE;
  if (JSON_NODE_HOLDS_OBJECT (node)) {
    flatten (upstream, key, node, "the settings");
    json_node_unref (node);
  } else {
    ci_upstream_take (upstream, key, node, "the settings");
  }
  return TRUE;
}
