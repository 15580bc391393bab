/*
 * The pickle machine: a stack, a memo and some sixty opcodes (Python's
 * Lib/pickletools.py), protocols 2 to 5. Objects live in chunks until the end,
 * so loops among them are harmless; nothing here recurses into objects.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pickle_priv.h"

#include <string.h>

/* Of all pickles of a file: twenty times what a checkpoint of 1000 tensors with
 * its optimizer takes. Each costs at most an object and three pointers. */
#define MAX_OPS (1 << 20)
#define CHUNK 256
#define MAX_PROTOCOL 5
/* of a module and of a class */
#define MAX_GLOBAL_BYTES 255

static const struct
{
  guint8 code;
  const gchar *name;
} op_names[] = {
  {'(', "MARK"}, {'.', "STOP"}, {'0', "POP"}, {'1', "POP_MARK"},
  {'2', "DUP"}, {'F', "FLOAT"}, {'I', "INT"}, {'J', "BININT"},
  {'K', "BININT1"}, {'L', "LONG"}, {'M', "BININT2"}, {'N', "NONE"},
  {'P', "PERSID"}, {'Q', "BINPERSID"}, {'R', "REDUCE"}, {'S', "STRING"},
  {'T', "BINSTRING"}, {'U', "SHORT_BINSTRING"}, {'V', "UNICODE"},
  {'X', "BINUNICODE"}, {'a', "APPEND"}, {'b', "BUILD"}, {'c', "GLOBAL"},
  {'d', "DICT"}, {'}', "EMPTY_DICT"}, {'e', "APPENDS"}, {'g', "GET"},
  {'h', "BINGET"}, {'i', "INST"}, {'j', "LONG_BINGET"}, {'l', "LIST"},
  {']', "EMPTY_LIST"}, {'o', "OBJ"}, {'p', "PUT"}, {'q', "BINPUT"},
  {'r', "LONG_BINPUT"}, {'s', "SETITEM"}, {'t', "TUPLE"},
  {')', "EMPTY_TUPLE"}, {'u', "SETITEMS"}, {'G', "BINFLOAT"},
  {'B', "BINBYTES"}, {'C', "SHORT_BINBYTES"},
  {0x80, "PROTO"}, {0x81, "NEWOBJ"}, {0x82, "EXT1"}, {0x83, "EXT2"},
  {0x84, "EXT4"}, {0x85, "TUPLE1"}, {0x86, "TUPLE2"}, {0x87, "TUPLE3"},
  {0x88, "NEWTRUE"}, {0x89, "NEWFALSE"}, {0x8a, "LONG1"}, {0x8b, "LONG4"},
  {0x8c, "SHORT_BINUNICODE"}, {0x8d, "BINUNICODE8"}, {0x8e, "BINBYTES8"},
  {0x8f, "EMPTY_SET"}, {0x90, "ADDITEMS"}, {0x91, "FROZENSET"},
  {0x92, "NEWOBJ_EX"}, {0x93, "STACK_GLOBAL"}, {0x94, "MEMOIZE"},
  {0x95, "FRAME"}, {0x96, "BYTEARRAY8"}, {0x97, "NEXT_BUFFER"},
  {0x98, "READONLY_BUFFER"},
};

static const gchar *
get_op_name (guint8 code)
{
  for (guint i = 0; i < G_N_ELEMENTS (op_names); i++)
    if (op_names[i].code == code)
      return op_names[i].name;
  return NULL;
}

gpointer
ci_pickle_fail (CiPickle * pickle, CiError code, const gchar * format, ...)
{
  guint8 op = pickle->op_pos < pickle->size ?
      pickle->data[pickle->op_pos] : 0;
  const gchar *name = get_op_name (op);
  g_autofree gchar *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (pickle->error, CI_ERROR, code, "byte %" G_GSIZE_FORMAT
      "%s%s: %s", pickle->op_pos, name ? ", " : "", name ? name : "", text);
  return NULL;
}

/* ---- objects ---------------------------------------------------------- */

const gchar *
ci_object_kind_name (CiObjectKind kind)
{
  static const gchar *const names[] = {
    "None", "a bool", "an int", "a long int", "a float", "a string", "bytes",
    "a tuple", "a list", "a dict", "a class or function", "a storage",
    "a tensor", "a numpy dtype", "a numpy array", "another object",
  };

  return names[kind];
}

static gboolean
has_items (CiObjectKind kind)
{
  return kind == CI_OBJECT_TUPLE || kind == CI_OBJECT_LIST
      || kind == CI_OBJECT_DICT;
}

static void
chunk_free (gpointer data)
{
  CiObject *chunk = data;

  for (guint i = 0; i < CHUNK; i++)
    if (has_items (chunk[i].kind))
      g_free (chunk[i].u.list.items);
  g_free (chunk);
}

CiObject *
ci_pickle_new_object (CiPickle * pickle, CiObjectKind kind)
{
  CiObject *object;

  if (pickle->chunks->len == 0 || pickle->n_used == CHUNK) {
    g_ptr_array_add (pickle->chunks, g_new0 (CiObject, CHUNK));
    pickle->n_used = 0;
  }
  object = (CiObject *) pickle->chunks->pdata[pickle->chunks->len - 1]
      + pickle->n_used++;
  object->kind = kind;
  object->position = pickle->op_pos;
  return object;
}

/* The objects of @stack from @begin on. The number of items is bounded by that
 * of the opcodes. */
static void
append_items (CiObject * list, const GPtrArray * stack, guint begin)
{
  guint n = stack->len - begin, needed = list->u.list.n + n;

  if (needed > list->u.list.capacity) {
    list->u.list.capacity = MAX (needed, 2 * list->u.list.capacity);
    list->u.list.items = g_renew (CiObject *, list->u.list.items,
        list->u.list.capacity);
  }
  /* a stack that was always empty has no memory */
  if (n)
    memcpy (list->u.list.items + list->u.list.n, stack->pdata + begin,
        n * sizeof (gpointer));
  list->u.list.n = needed;
}

const CiObject *
ci_object_get (const CiObject * dict, const gchar * key)
{
  /* the last one counts, as in Python */
  for (guint i = dict->u.list.n; i >= 2; i -= 2)
    if (ci_object_equals (dict->u.list.items[i - 2], key))
      return dict->u.list.items[i - 1];
  return NULL;
}

gboolean
ci_object_equals (const CiObject * object, const gchar * string)
{
  return (object->kind == CI_OBJECT_STRING || object->kind == CI_OBJECT_BYTES)
      && object->u.text.size == strlen (string)
      && memcmp (object->u.text.data, string, object->u.text.size) == 0;
}

gchar *
ci_object_dup_name (const CiObject * object)
{
  if ((object->kind != CI_OBJECT_STRING && object->kind != CI_OBJECT_BYTES)
      || object->u.text.size > CI_MAX_NAME_BYTES
      || !g_utf8_validate_len (object->u.text.data, object->u.text.size, NULL))
    return NULL;
  return g_strndup (object->u.text.data, object->u.text.size);
}

/* ---- bytes ------------------------------------------------------------ */

static const guint8 *
take (CiPickle * pickle, guint64 n)
{
  const guint8 *bytes = pickle->data + pickle->pos;

  if (n > pickle->size - pickle->pos)
    return ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
        "needs %" G_GUINT64_FORMAT " more bytes, but %" G_GSIZE_FORMAT
        " follow (is the file truncated?)", n, pickle->size - pickle->pos);
  pickle->pos += n;
  return bytes;
}

static gboolean
take_uint (CiPickle * pickle, gint width, guint64 * value)
{
  const guint8 *bytes = take (pickle, width);

  *value = 0;
  for (gint i = width - 1; bytes && i >= 0; i--)
    *value = *value << 8 | bytes[i];
  return bytes != NULL;
}

/* A line of text without its end. */
static const gchar *
take_line (CiPickle * pickle, gsize * size)
{
  gsize left = MIN (pickle->size - pickle->pos, MAX_GLOBAL_BYTES + 1);
  const gchar *line = (const gchar *) pickle->data + pickle->pos;
  const gchar *end = left ? memchr (line, '\n', left) : NULL;

  if (!end)
    return ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
        "expected a line of at most %d bytes, found %" G_GSIZE_FORMAT
        " bytes without its end", MAX_GLOBAL_BYTES, left);
  *size = end - line;
  pickle->pos += *size + 1;
  return line;
}

/* ---- stack ------------------------------------------------------------ */

static gboolean
push (CiPickle * pickle, CiObject * object)
{
  if (object)
    g_ptr_array_add (pickle->stack, object);
  return object != NULL;
}

static gboolean
push_new (CiPickle * pickle, CiObjectKind kind)
{
  return push (pickle, ci_pickle_new_object (pickle, kind));
}

static gboolean
push_int (CiPickle * pickle, CiObjectKind kind, gint64 value)
{
  CiObject *object = ci_pickle_new_object (pickle, kind);

  object->u.integer = value;
  return push (pickle, object);
}

/* Text of as many bytes as the number of @width bytes before it says. */
static gboolean
push_text (CiPickle * pickle, CiObjectKind kind, gint width,
    gboolean is_signed)
{
  const guint8 *bytes;
  CiObject *object;
  guint64 size;

  if (!take_uint (pickle, width, &size))
    return FALSE;
  if (is_signed && size > G_MAXINT32) {
    ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT, "negative size %d",
        (gint) (gint32) size);
    return FALSE;
  }
  if (!(bytes = take (pickle, size)))
    return FALSE;
  object = ci_pickle_new_object (pickle, kind);
  object->u.text.data = (const gchar *) bytes;
  object->u.text.size = size;
  return push (pickle, object);
}

/* An int of any length, in two's complement. */
static gboolean
push_long (CiPickle * pickle, gint width)
{
  CiObject *object;
  guint64 value;
  gsize size;

  if (!push_text (pickle, CI_OBJECT_LONG, width, width == 4))
    return FALSE;
  object = pickle->stack->pdata[pickle->stack->len - 1];
  size = object->u.text.size;
  if (size > 8)
    return TRUE;
  value = size && (object->u.text.data[size - 1] & 0x80) ? G_MAXUINT64 : 0;
  for (gsize i = size; i-- > 0;)
    value = value << 8 | (guint8) object->u.text.data[i];
  object->kind = CI_OBJECT_INT;
  object->u.integer = (gint64) value;
  return TRUE;
}

static guint
get_fence (const CiPickle * pickle)
{
  return pickle->marks->len ?
      g_array_index (pickle->marks, guint, pickle->marks->len - 1) : 0;
}

/* Whether there are @n objects above the last mark. */
static gboolean
need (CiPickle * pickle, guint n)
{
  guint found = pickle->stack->len - get_fence (pickle);

  if (found < n)
    ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
        "needs %u objects on the stack, found %u", n, found);
  return found >= n;
}

static CiObject *
peek (CiPickle * pickle)
{
  return pickle->stack->pdata[pickle->stack->len - 1];
}

static CiObject *
pop (CiPickle * pickle)
{
  CiObject *object = peek (pickle);

  g_ptr_array_set_size (pickle->stack, pickle->stack->len - 1);
  return object;
}

/* Removes the last mark; the objects from *@begin on were above it. */
static gboolean
pop_mark (CiPickle * pickle, guint * begin)
{
  if (pickle->marks->len == 0) {
    ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT, "there is no mark");
    return FALSE;
  }
  *begin = get_fence (pickle);
  g_array_set_size (pickle->marks, pickle->marks->len - 1);
  return TRUE;
}

/* The stack's objects from @begin on become one of @kind. */
static gboolean
collect (CiPickle * pickle, CiObjectKind kind, guint begin)
{
  CiObject *object = ci_pickle_new_object (pickle, kind);

  append_items (object, pickle->stack, begin);
  g_ptr_array_set_size (pickle->stack, begin);
  return push (pickle, object);
}

static gboolean
collect_last (CiPickle * pickle, guint n)
{
  return need (pickle, n)
      && collect (pickle, CI_OBJECT_TUPLE, pickle->stack->len - n);
}

static gboolean
collect_marked (CiPickle * pickle, CiObjectKind kind)
{
  guint begin;

  return pop_mark (pickle, &begin) && collect (pickle, kind, begin);
}

/* The stack's objects from @begin on are added to the one below. */
static gboolean
add_items (CiPickle * pickle, CiObjectKind kind, guint begin)
{
  guint n = pickle->stack->len - begin;
  CiObject *object;

  if (begin == 0 || begin - 1 < get_fence (pickle)) {
    ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
        "there is nothing to add items to");
    return FALSE;
  }
  object = pickle->stack->pdata[begin - 1];
  if (object->kind != kind) {
    ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
        "expected %s to add items to, found %s", ci_object_kind_name (kind),
        ci_object_kind_name (object->kind));
    return FALSE;
  }
  if (kind == CI_OBJECT_DICT && n % 2) {
    ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
        "expected pairs of keys and values, found %u objects", n);
    return FALSE;
  }
  append_items (object, pickle->stack, begin);
  g_ptr_array_set_size (pickle->stack, begin);
  return TRUE;
}

static gboolean
add_last (CiPickle * pickle, CiObjectKind kind, guint n)
{
  return need (pickle, n)
      && add_items (pickle, kind, pickle->stack->len - n);
}

static gboolean
add_marked (CiPickle * pickle, CiObjectKind kind)
{
  guint begin;

  return pop_mark (pickle, &begin) && add_items (pickle, kind, begin);
}

/* ---- memo ------------------------------------------------------------- */

static gboolean
put (CiPickle * pickle, guint64 number)
{
  gpointer *slot;

  if (!need (pickle, 1))
    return FALSE;
  if (number >= MAX_OPS) {
    ci_pickle_fail (pickle, CI_ERROR_UNSUPPORTED,
        "memo number %" G_GUINT64_FORMAT ", at most %d are possible", number,
        MAX_OPS - 1);
    return FALSE;
  }
  if (number >= pickle->memo->len)
    g_ptr_array_set_size (pickle->memo, number + 1);
  slot = &pickle->memo->pdata[number];
  pickle->n_memo += *slot == NULL;
  *slot = peek (pickle);
  return TRUE;
}

static gboolean
take_and_put (CiPickle * pickle, gint width)
{
  guint64 number;

  return take_uint (pickle, width, &number) && put (pickle, number);
}

static gboolean
take_and_get (CiPickle * pickle, gint width)
{
  guint64 number;

  if (!take_uint (pickle, width, &number))
    return FALSE;
  if (number >= pickle->memo->len || !pickle->memo->pdata[number]) {
    ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
        "nothing was memorised as number %" G_GUINT64_FORMAT, number);
    return FALSE;
  }
  return push (pickle, pickle->memo->pdata[number]);
}

/* ---- classes and functions -------------------------------------------- */

static gboolean
push_global (CiPickle * pickle, const gchar * module, gsize module_size,
    const gchar * name, gsize name_size)
{
  const CiGlobal *global = ci_pickle_find_global (pickle, module, module_size,
      name, name_size);

  if (!global || !push_new (pickle, CI_OBJECT_GLOBAL))
    return FALSE;
  peek (pickle)->u.global = global;
  return TRUE;
}

static gboolean
take_global (CiPickle * pickle)
{
  const gchar *module, *name;
  gsize module_size = 0, name_size = 0;

  return (module = take_line (pickle, &module_size))
      && (name = take_line (pickle, &name_size))
      && push_global (pickle, module, module_size, name, name_size);
}

static gboolean
stack_global (CiPickle * pickle)
{
  CiObject *module, *name;

  if (!need (pickle, 2))
    return FALSE;
  name = pop (pickle);
  module = pop (pickle);
  if (module->kind != CI_OBJECT_STRING || name->kind != CI_OBJECT_STRING) {
    ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
        "expected the names of a module and a class, found %s and %s",
        ci_object_kind_name (module->kind), ci_object_kind_name (name->kind));
    return FALSE;
  }
  return push_global (pickle, module->u.text.data, module->u.text.size,
      name->u.text.data, name->u.text.size);
}

static gboolean
reduce (CiPickle * pickle)
{
  CiObject *function, *args;

  if (!need (pickle, 2))
    return FALSE;
  args = pop (pickle);
  function = pop (pickle);
  if (function->kind != CI_OBJECT_GLOBAL || args->kind != CI_OBJECT_TUPLE) {
    ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
        "expected a function and a tuple of arguments, found %s and %s",
        ci_object_kind_name (function->kind),
        ci_object_kind_name (args->kind));
    return FALSE;
  }
  return push (pickle, ci_pickle_reduce (pickle, function, args));
}

static gboolean
build (CiPickle * pickle)
{
  CiObject *state;

  if (!need (pickle, 2))
    return FALSE;
  state = pop (pickle);
  return ci_pickle_build (pickle, peek (pickle), state);
}

static gboolean
persistent_id (CiPickle * pickle)
{
  return need (pickle, 1)
      && push (pickle, ci_pickle_persistent (pickle, pop (pickle)));
}

/* ---- opcodes ---------------------------------------------------------- */

static gboolean
begin_frame (CiPickle * pickle)
{
  guint64 size;

  if (!take_uint (pickle, 8, &size))
    return FALSE;
  /* only readers of streams need it */
  if (size > pickle->size - pickle->pos) {
    ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
        "a frame of %" G_GUINT64_FORMAT " bytes, but %" G_GSIZE_FORMAT
        " follow (is the file truncated?)", size, pickle->size - pickle->pos);
    return FALSE;
  }
  return TRUE;
}

static gboolean
refuse (CiPickle * pickle, guint8 op)
{
  switch (op) {
    case '2': case 'F': case 'I': case 'L': case 'P': case 'S': case 'V':
    case 'd': case 'g': case 'i': case 'l': case 'o': case 'p':
      ci_pickle_fail (pickle, CI_ERROR_UNSUPPORTED,
          "an opcode of pickle protocols 0 and 1, which checkpoints do not "
          "use");
      break;
    case 0x81: case 0x92:
      ci_pickle_fail (pickle, CI_ERROR_UNSUPPORTED,
          "makes an object of any class; no state dict needs that");
      break;
    case 0x82: case 0x83: case 0x84:
      ci_pickle_fail (pickle, CI_ERROR_UNSUPPORTED,
          "refers to a registry of extensions of the writing program");
      break;
    case 0x80:
      ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
          "begins a pickle in the middle of another one");
      break;
    case 0x97: case 0x98:
      ci_pickle_fail (pickle, CI_ERROR_UNSUPPORTED,
          "refers to buffers outside the file");
      break;
    default:
      ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
          "0x%02x is no opcode of a pickle", op);
  }
  return FALSE;
}

static gboolean
execute (CiPickle * pickle, guint8 op)
{
  guint64 value;
  guint begin;

  switch (op) {
    case 0x95:
      return begin_frame (pickle);
    case 'N':
      return push_new (pickle, CI_OBJECT_NONE);
    case 0x88: case 0x89:
      return push_int (pickle, CI_OBJECT_BOOL, op == 0x88);
    case 'J':
      return take_uint (pickle, 4, &value)
          && push_int (pickle, CI_OBJECT_INT, (gint32) value);
    case 'K':
      return take_uint (pickle, 1, &value)
          && push_int (pickle, CI_OBJECT_INT, value);
    case 'M':
      return take_uint (pickle, 2, &value)
          && push_int (pickle, CI_OBJECT_INT, value);
    case 0x8a:
      return push_long (pickle, 1);
    case 0x8b:
      return push_long (pickle, 4);
    case 'G':
      return take (pickle, 8) && push_new (pickle, CI_OBJECT_FLOAT);
    case 'X':
      return push_text (pickle, CI_OBJECT_STRING, 4, FALSE);
    case 0x8c:
      return push_text (pickle, CI_OBJECT_STRING, 1, FALSE);
    case 0x8d:
      return push_text (pickle, CI_OBJECT_STRING, 8, FALSE);
    case 'B':
      return push_text (pickle, CI_OBJECT_BYTES, 4, FALSE);
    case 'C': case 'U':        /* strings of Python 2 may be either */
      return push_text (pickle, CI_OBJECT_BYTES, 1, FALSE);
    case 'T':
      return push_text (pickle, CI_OBJECT_BYTES, 4, TRUE);
    case 0x8e: case 0x96:
      return push_text (pickle, CI_OBJECT_BYTES, 8, FALSE);
    case ')':
      return push_new (pickle, CI_OBJECT_TUPLE);
    case 0x85: case 0x86: case 0x87:
      return collect_last (pickle, op - 0x84);
    case 't':
      return collect_marked (pickle, CI_OBJECT_TUPLE);
    case 0x91:
      return collect_marked (pickle, CI_OBJECT_LIST);
    case ']': case 0x8f:
      return push_new (pickle, CI_OBJECT_LIST);
    case 'a':
      return add_last (pickle, CI_OBJECT_LIST, 1);
    case 'e': case 0x90:
      return add_marked (pickle, CI_OBJECT_LIST);
    case '}':
      return push_new (pickle, CI_OBJECT_DICT);
    case 's':
      return add_last (pickle, CI_OBJECT_DICT, 2);
    case 'u':
      return add_marked (pickle, CI_OBJECT_DICT);
    case '(':
      g_array_append_val (pickle->marks, pickle->stack->len);
      return TRUE;
    case '0':
      return need (pickle, 1) && pop (pickle);
    case '1':
      if (!pop_mark (pickle, &begin))
        return FALSE;
      g_ptr_array_set_size (pickle->stack, begin);
      return TRUE;
    case 'q':
      return take_and_put (pickle, 1);
    case 'r':
      return take_and_put (pickle, 4);
    case 0x94:
      return put (pickle, pickle->n_memo);
    case 'h':
      return take_and_get (pickle, 1);
    case 'j':
      return take_and_get (pickle, 4);
    case 'c':
      return take_global (pickle);
    case 0x93:
      return stack_global (pickle);
    case 'R':
      return reduce (pickle);
    case 'b':
      return build (pickle);
    case 'Q':
      return persistent_id (pickle);
    default:
      return refuse (pickle, op);
  }
}

static gboolean
begin (CiPickle * pickle)
{
  const guint8 *proto;

  pickle->op_pos = pickle->pos;
  if (!(proto = take (pickle, 2)))
    return FALSE;
  if (proto[0] != 0x80) {
    ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
        "expected a pickle of protocol 2 or later (0x80), found 0x%02x",
        proto[0]);
    return FALSE;
  }
  if (proto[1] < 2 || proto[1] > MAX_PROTOCOL) {
    ci_pickle_fail (pickle, CI_ERROR_UNSUPPORTED,
        "expected pickle protocol 2 to %d, found %d", MAX_PROTOCOL, proto[1]);
    return FALSE;
  }
  return TRUE;
}

static gboolean
run (CiPickle * pickle)
{
  const guint8 *op;

  if (!begin (pickle))
    return FALSE;
  for (;;) {
    pickle->op_pos = pickle->pos;
    if (pickle->cost->n_ops++ >= MAX_OPS) {
      ci_pickle_fail (pickle, CI_ERROR_UNSUPPORTED,
          "more than %d opcodes, far more than a state dict has", MAX_OPS);
      return FALSE;
    }
    if (!(op = take (pickle, 1)))
      return FALSE;
    if (*op == '.')
      break;
    if (!execute (pickle, *op))
      return FALSE;
  }
  if (pickle->stack->len != 1 || pickle->marks->len) {
    ci_pickle_fail (pickle, CI_ERROR_BAD_FORMAT,
        "expected one object on the stack, found %u and %u marks",
        pickle->stack->len, pickle->marks->len);
    return FALSE;
  }
  pickle->root = pop (pickle);
  return TRUE;
}

CiPickle *
ci_pickle_parse (const guint8 * data, gsize size, gsize * pos,
    gboolean storages, CiPickleCost * cost, GError ** error)
{
  CiPickle *pickle = g_new0 (CiPickle, 1);
  gboolean ok;

  pickle->data = data;
  pickle->size = size;
  pickle->pos = *pos;
  pickle->allow_storages = storages;
  pickle->cost = cost;
  pickle->error = error;
  pickle->stack = g_ptr_array_new ();
  pickle->marks = g_array_new (FALSE, FALSE, sizeof (guint));
  pickle->memo = g_ptr_array_new ();
  pickle->chunks = g_ptr_array_new_with_free_func (chunk_free);
  pickle->decoded = g_ptr_array_new_with_free_func (g_free);
  pickle->storages = g_ptr_array_new ();
  ok = run (pickle);

  *pos = pickle->pos;
  pickle->cost = NULL;
  pickle->error = NULL;
  g_clear_pointer (&pickle->stack, g_ptr_array_unref);
  g_clear_pointer (&pickle->marks, g_array_unref);
  g_clear_pointer (&pickle->memo, g_ptr_array_unref);
  if (!ok)
    g_clear_pointer (&pickle, ci_pickle_free);
  return pickle;
}

void
ci_pickle_free (CiPickle * pickle)
{
  g_ptr_array_unref (pickle->chunks);
  g_ptr_array_unref (pickle->decoded);
  g_ptr_array_unref (pickle->storages);
  g_free (pickle);
}

const CiObject *
ci_pickle_get_root (const CiPickle * pickle)
{
  return pickle->root;
}

const GPtrArray *
ci_pickle_get_storages (const CiPickle * pickle)
{
  return pickle->storages;
}
