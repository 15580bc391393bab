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
#include "tensors.h"

#define MAX_BYTES (1024 * 1024)
#define MAX_DEPTH 16
#define MAX_FILES 10
#define MAX_COPIES 4096         /* values that aliases may stand for */
#define MAX_KEY_BYTES 255
#define BASE_KEY "_BASE_"

typedef struct
{
  JsonNode *node;               /* a scalar or an array, never NULL */
  const gchar *origin;          /* interned */
} Value;

struct _CiUpstream
{
  GTree *values;                /* key -> Value; no hash table, which a hostile
                                   file could make slow */
};

static void
value_free (gpointer data)
{
  Value *value = data;

  json_node_unref (value->node);
  g_free (value);
}

static gint
compare_keys (gconstpointer a, gconstpointer b, gpointer user_data)
{
  return strcmp (a, b);
}

CiUpstream *
ci_upstream_new (void)
{
  CiUpstream *upstream = g_new0 (CiUpstream, 1);

  upstream->values = g_tree_new_full (compare_keys, NULL, g_free, value_free);
  return upstream;
}

void
ci_upstream_free (CiUpstream * upstream)
{
  if (!upstream)
    return;
  g_tree_unref (upstream->values);
  g_free (upstream);
}

JsonNode *
ci_upstream_get (const CiUpstream * upstream, const gchar * key,
    const gchar ** origin)
{
  const Value *value = upstream ? g_tree_lookup (upstream->values, key) : NULL;

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
    g_tree_remove (upstream->values, key);
    return;
  }
  value = g_new0 (Value, 1);
  value->node = node;
  value->origin = g_intern_string (origin);
  g_tree_insert (upstream->values, g_strdup (key), value);
}

/* Puts @node, the value of @path, into the map: objects key by key. Nobody
 * asks for keys that are very long, and a long name above many others would
 * become a copy for each. */
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

    if (strlen (key) <= MAX_KEY_BYTES)
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
  GTree *anchors;               /* name -> JsonNode for aliases, or NULL */
  guint n_keys, n_copies;
} Yaml;

static void
anchor_clear (gpointer node)
{
  g_clear_pointer (&node, json_node_unref);
}

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

/* Makes @anchor known, which nothing may stand for yet. */
static gboolean
add_anchor (Yaml * yaml, const gchar * anchor, const yaml_mark_t * mark,
    GError ** error)
{
  if (!anchor)
    return TRUE;
  if (g_tree_lookup_extended (yaml->anchors, anchor, NULL, NULL))
    return yaml_fail (yaml, mark, error, "the anchor &%.40s comes twice",
        anchor);
  g_tree_insert (yaml->anchors, g_strdup (anchor), NULL);
  return TRUE;
}

/* Lets aliases stand for @node: constants of Python that are one object, as
 * PyYAML writes them. Nests of nests could grow without bounds. */
static void
keep_anchor (Yaml * yaml, const gchar * anchor, JsonNode * node)
{
  JsonArray *array;

  if (JSON_NODE_HOLDS_OBJECT (node))
    return;
  if (JSON_NODE_HOLDS_ARRAY (node)) {
    array = json_node_get_array (node);
    for (guint i = 0; i < json_array_get_length (array); i++) {
      JsonNode *item = json_array_get_element (array, i);

      if (JSON_NODE_HOLDS_OBJECT (item) || JSON_NODE_HOLDS_ARRAY (item))
        return;
    }
  }
  g_tree_insert (yaml->anchors, g_strdup (anchor), json_node_copy (node));
}

/* A copy of what stands behind @anchor. */
static JsonNode *
resolve_alias (Yaml * yaml, const gchar * anchor, const yaml_mark_t * mark,
    GError ** error)
{
  JsonNode *node;
  gpointer value;
  guint n;

  if (!g_tree_lookup_extended (yaml->anchors, anchor, NULL, &value)) {
    yaml_fail (yaml, mark, error, "there is no anchor &%.40s before its alias",
        anchor);
    return NULL;
  }
  if (!(node = value)) {
    yaml_fail (yaml, mark, error, "the alias *%.40s: only a value or a list "
        "of values that ends before may have aliases", anchor);
    return NULL;
  }
  n = 1 + (JSON_NODE_HOLDS_ARRAY (node) ?
      json_array_get_length (json_node_get_array (node)) : 0);
  if (n > MAX_COPIES - yaml->n_copies) {
    yaml_fail (yaml, mark, error, "aliases stand for more than %d values",
        MAX_COPIES);
    return NULL;
  }
  yaml->n_copies += n;
  return json_node_copy (node);
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

/* The scalar in @event; NULL if it holds what no string here may. */
static gchar *
get_text (Yaml * yaml, yaml_event_t * event, GError ** error)
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

  for (guint n = 1;; n++) {
    g_autofree gchar *key = NULL;

    if (!next_event (yaml, &event, error))
      return NULL;
    if (event.type == YAML_MAPPING_END_EVENT)
      break;
    /* equal ones, too: each costs a search */
    if (n > CI_JSON_MAX_MEMBERS)
      yaml_fail (yaml, &event.start_mark, error,
          "more than %d keys in one mapping", CI_JSON_MAX_MEMBERS);
    else if (++yaml->n_keys > CI_JSON_MAX_NAMES)
      yaml_fail (yaml, &event.start_mark, error, "more than %d keys",
          CI_JSON_MAX_NAMES);
    else if (event.type == YAML_SCALAR_EVENT)
      key = get_text (yaml, &event, error);
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
  const yaml_char_t *tag = NULL, *name = NULL;
  JsonNode *node = NULL;

  if (event->type == YAML_SCALAR_EVENT) {
    tag = event->data.scalar.tag;
    name = event->data.scalar.anchor;
  } else if (event->type == YAML_SEQUENCE_START_EVENT) {
    tag = event->data.sequence_start.tag;
    name = event->data.sequence_start.anchor;
  } else if (event->type == YAML_MAPPING_START_EVENT) {
    tag = event->data.mapping_start.tag;
    name = event->data.mapping_start.anchor;
  }
  if (!check_tag (yaml, tag, &mark, error)
      || !add_anchor (yaml, (const gchar *) name, &mark, error))
    goto out;

  if (event->type == YAML_SCALAR_EVENT) {
    g_autofree gchar *text = get_text (yaml, event, error);

    if (text)
      node = read_scalar (text, event->data.scalar.style ==
          YAML_PLAIN_SCALAR_STYLE);
  } else if (event->type == YAML_ALIAS_EVENT) {
    node = resolve_alias (yaml, (const gchar *) event->data.alias.anchor,
        &mark, error);
  } else if (event->type != YAML_SEQUENCE_START_EVENT
      && event->type != YAML_MAPPING_START_EVENT) {
    yaml_fail (yaml, &mark, error, "expected a value");
  } else if (depth == 0) {
    yaml_fail (yaml, &mark, error, "nested more than %d deep", MAX_DEPTH);
  } else {
    node = event->type == YAML_SEQUENCE_START_EVENT ?
        read_sequence (yaml, depth - 1, error) :
        read_mapping (yaml, depth - 1, error);
  }
  if (node && name)
    keep_anchor (yaml, (const gchar *) name, node);

out:
  yaml_event_delete (event);
  return node;
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
  yaml.anchors = g_tree_new_full (compare_keys, NULL, g_free, anchor_clear);
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
  g_tree_unref (yaml.anchors);
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
  /* what is mapped from an empty file */
  if (!text)
    text = "";
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
  g_tree_remove (upstream->values, BASE_KEY);
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

/* What is being read. */
typedef struct
{
  GPtrArray *files;             /* each the base of the one before it */
  gboolean beside;              /* nobody named the first one */
} Chain;

static gboolean read_file (CiUpstream * upstream, const gchar * path,
    Chain * chain, GError ** error);

/* Whether @base, relative to a folder, is in it or below it by its name. */
static gboolean
is_below (const gchar * base)
{
  g_auto (GStrv) parts = g_strsplit (base, G_DIR_SEPARATOR_S, -1);

  return !g_path_is_absolute (base) && *base != '~'
      && !g_strv_contains ((const gchar * const *) parts, "..");
}

/* Reads the file @base, which @path names as its base. */
static gboolean
read_base (CiUpstream * upstream, const gchar * path, const gchar * base,
    Chain * chain, GError ** error)
{
  g_autofree gchar *folder = g_path_get_dirname (path);
  g_autofree gchar *file = NULL;

  /* a file that came along with weights must not have others opened */
  if (chain->beside && !is_below (base)) {
    g_warning ("%s: its " BASE_KEY " %s is outside its folder, which is read "
        "only for a configuration that is named; what it would say is taken "
        "from the published configurations", path, base);
    return TRUE;
  }
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
  return read_file (upstream, file, chain, error);
}

/* Whether @root has a part that only configurations have. */
static gboolean
is_configuration (JsonNode * root)
{
  static const gchar *const parts[] =
      { "MODEL", "INPUT", "DATASETS", "config" };
  JsonObject *object;
  JsonNode *node;

  if (!JSON_NODE_HOLDS_OBJECT (root))
    return FALSE;
  object = json_node_get_object (root);
  for (guint i = 0; i < G_N_ELEMENTS (parts); i++) {
    node = json_object_get_member (object, parts[i]);
    if (node && JSON_NODE_HOLDS_OBJECT (node))
      return TRUE;
  }
  return json_object_has_member (object, BASE_KEY);
}

/* Reads @path on top of its bases. */
static gboolean
read_file (CiUpstream * upstream, const gchar * path, Chain * chain,
    GError ** error)
{
  g_autofree gchar *absolute = g_canonicalize_filename (path, NULL);
  g_autoptr (JsonNode) root = NULL;
  g_autoptr (GMappedFile) map = NULL;
  GPtrArray *files = chain->files;
  JsonNode *base;
  gboolean ok = TRUE;

  if (g_ptr_array_find_with_equal_func (files, absolute, g_str_equal, NULL)
      || files->len == MAX_FILES) {
    g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT, "%s: %s", path,
        files->len == MAX_FILES ? "too long a chain of " BASE_KEY
        : "is its own " BASE_KEY);
    return FALSE;
  }
  map = ci_map_file (path, error);
  if (!map)
    return FALSE;
  root = parse_text (g_mapped_file_get_contents (map),
      g_mapped_file_get_length (map), path, error);
  if (!root)
    return FALSE;
  if (chain->beside && files->len == 0 && !is_configuration (root)) {
    g_set_error (error, CI_ERROR, CI_ERROR_BAD_FORMAT,
        "%s: expected a configuration, with MODEL or " BASE_KEY, path);
    return FALSE;
  }

  base = JSON_NODE_HOLDS_OBJECT (root) ?
      json_object_get_member (json_node_get_object (root), BASE_KEY) : NULL;
  g_ptr_array_add (files, absolute);
  if (base && JSON_NODE_HOLDS_VALUE (base)
      && json_node_get_value_type (base) == G_TYPE_STRING)
    ok = read_base (upstream, path, json_node_get_string (base), chain, error);
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
  Chain chain = { files, FALSE };

  return read_file (upstream, path, &chain, error);
}

gboolean
ci_upstream_read_beside (CiUpstream * upstream, const gchar * path,
    GError ** error)
{
  g_autoptr (GPtrArray) files = g_ptr_array_new ();
  Chain chain = { files, TRUE };

  return read_file (upstream, path, &chain, error);
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
