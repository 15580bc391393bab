/*
 * Pickles that no state dict is: each is refused with its reason, in bounded
 * time and memory.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "checkpoint_helpers.h"

#include <string.h>
#include <sys/resource.h>

#define PROTO "\x80\x02"
/* @length: as an escape, "\x05" */
#define TEXT(length, text) "\x8c" length text
#define GLOBAL(module, name) "c" module "\n" name "\n"
#define TUPLE(items) "(" items "t"
#define REDUCE(function, items) function TUPLE (items) "R"
/* {"w": VALUE} */
#define DICT(value) PROTO "}" TEXT ("\x01", "w") value "s."
#define STORAGE_ID(type, n) \
    TUPLE (TEXT ("\x07", "storage") type TEXT ("\x01", "0") \
      TEXT ("\x03", "cpu") n)
#define FLOATS GLOBAL ("torch", "FloatStorage")
/* "0" has four floats */
#define STORAGE STORAGE_ID (FLOATS, "K\4") "Q"
#define HOOKS "\x89" GLOBAL ("collections", "OrderedDict") ")R"
#define TENSOR(offset, sizes, strides) \
    REDUCE (GLOBAL ("torch._utils", "_rebuild_tensor_v2"), \
      STORAGE offset TUPLE (sizes) TUPLE (strides) HOOKS)
#define F4 REDUCE (GLOBAL ("numpy", "dtype"), TEXT ("\x02", "f4") "\x89\x88")
#define EMPTY_ARRAY \
    REDUCE (GLOBAL ("numpy.core.multiarray", "_reconstruct"), \
      GLOBAL ("numpy", "ndarray") "K\0\x85" "C\1b")
#define ARRAY(sizes, dtype, data) \
    EMPTY_ARRAY TUPLE ("K\1" TUPLE (sizes) dtype "\x89" data) "b"
#define FROM_BUFFER(sizes, order, axes) \
    REDUCE (GLOBAL ("numpy._core.numeric", "_frombuffer"), \
      "C\x10" "0123456789abcdef" F4 TUPLE (sizes) TEXT ("\1", order) axes)
#define INT_MAX64 "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"
#define INT_2_62 "\x8a\x08\0\0\0\0\0\0\0\x40"
#define MINUS "J\xff\xff\xff\xff"

typedef struct
{
  const gchar *data;
  gsize size;
  CiError code;
  const gchar *message;
} Row;

#define ROW(data, code, message) {data, sizeof (data) - 1, code, message}
#define BAD(data, message) ROW (data, CI_ERROR_BAD_FORMAT, message)
#define FOREIGN(data, message) ROW (data, CI_ERROR_UNSUPPORTED, message)

static const Row plain[] = {
  /* other code's functions, by every way to call one */
  FOREIGN (DICT (REDUCE (GLOBAL ("os", "system"), TEXT ("\x02", "ls"))),
      "byte 6, GLOBAL: \"os.system\" is refused|nothing is ever executed"),
  FOREIGN (DICT (TEXT ("\x05", "posix") TEXT ("\x06", "system") "\x93"
          TEXT ("\x02", "ls") "\x85R"),
      "STACK_GLOBAL: \"posix.system\" is refused"),
  FOREIGN (DICT (GLOBAL ("builtins", "eval")), "\"builtins.eval\" is refused"),
  FOREIGN (DICT (GLOBAL ("builtins", "getattr")),
      "\"builtins.getattr\" is refused"),
  FOREIGN (DICT (GLOBAL ("torch", "load")), "\"torch.load\" is refused"),
  FOREIGN (DICT (GLOBAL ("collections", "OrderedDict.__init__.__globals__")),
      "\"collections.OrderedDict.__init__.__globals__\" is refused"),
  FOREIGN (DICT (GLOBAL ("torch.storage", "_load_from_bytes")),
      "\"torch.storage._load_from_bytes\" is refused: |torch.save"),
  FOREIGN (DICT (GLOBAL ("numpy", "matrix")), "\"numpy.matrix\" is refused"),
  FOREIGN (DICT (GLOBAL ("\x1b[2J\xff", "\"")),
      "\"\\033[2J\\377.\\\"\" is refused"),
  FOREIGN (DICT (REDUCE (GLOBAL ("builtins", "dict"), "")),
      "\"builtins.dict\" is called"),
  FOREIGN (DICT (REDUCE (GLOBAL ("torch", "FloatStorage"), "K\5")),
      "\"torch.FloatStorage\" is called"),
  FOREIGN (DICT (REDUCE (GLOBAL ("numpy.core.multiarray", "_reconstruct"),
              GLOBAL ("collections", "OrderedDict") ")NN")),
      "expected numpy.ndarray, found \"collections.OrderedDict\""),
  FOREIGN (DICT ("(" "cos\nsystem\n" TEXT ("\x02", "ls") "o"),
      "\"os.system\" is refused"),
  FOREIGN (DICT ("(" TEXT ("\x02", "ls") "ios\nsystem\n"),
      "INST: |protocols 0 and 1"),
  FOREIGN (DICT (GLOBAL ("collections", "OrderedDict") ")\x81"),
      "NEWOBJ: |any class"),
  FOREIGN (DICT (GLOBAL ("collections", "OrderedDict") ")}\x92"),
      "NEWOBJ_EX: |any class"),
  FOREIGN (DICT ("(o"), "OBJ: |protocols 0 and 1"),
  FOREIGN (DICT ("\x82\1"), "EXT1: |registry"),
  FOREIGN (DICT ("\x83\1\0"), "EXT2: |registry"),
  FOREIGN (DICT ("\x84\1\0\0\0"), "EXT4: |registry"),
  FOREIGN (DICT ("Pfile\n"), "PERSID: |protocols 0 and 1"),
  FOREIGN (DICT ("NQ"), "BINPERSID: |outside the pickle"),
  FOREIGN (DICT ("\x97"), "NEXT_BUFFER: |outside the file"),
  FOREIGN (DICT ("N\x98"), "READONLY_BUFFER: |outside the file"),
  BAD (DICT ("NNR"), "REDUCE: expected a function|found None and None"),
  BAD (DICT (GLOBAL ("_codecs", "encode") "NR"),
      "found a class or function and None"),
  BAD (DICT ("NN\x93"), "expected the names of a module and a class"),

  /* __setstate__ of what has none */
  FOREIGN (DICT ("N}b"), "BUILD: a dict gets the state of None"),
  FOREIGN (DICT (GLOBAL ("collections", "OrderedDict") "}b"),
      "a dict gets the state of a class or function"),
  FOREIGN (DICT ("}" TUPLE ("}}") "b"), "a tuple gets the state of a dict"),
  FOREIGN (DICT (")}b"), "a dict gets the state of a tuple"),
  BAD (DICT (F4 TUPLE ("K\3") "b"), "dtype: expected more than 1 values"),
  BAD (DICT (EMPTY_ARRAY TUPLE ("K\1") "b"), "ndarray: expected more than 1"),

  /* the machine */
  BAD ("\x80", "PROTO: needs 2 more bytes, but 1 follow"),
  FOREIGN ("\x80\x01N.", "expected pickle protocol 2 to 5, found 1"),
  FOREIGN ("\x80\x06N.", "expected pickle protocol 2 to 5, found 6"),
  BAD (PROTO, "byte 2: needs 1 more bytes, but 0 follow"),
  BAD (PROTO ".", "expected one object on the stack, found 0"),
  BAD (PROTO "NN.", "found 2 and 0 marks"),
  BAD (PROTO "N(.", "found 1 and 1 marks"),
  BAD (PROTO "\xff", "0xff is no opcode"),
  BAD (PROTO "\x80\x02", "in the middle of another one"),
  BAD (PROTO "0", "POP: needs 1 objects on the stack, found 0"),
  BAD (PROTO "N(0", "POP: needs 1 objects on the stack, found 0"),
  BAD (PROTO "1", "POP_MARK: there is no mark"),
  BAD (PROTO "t", "TUPLE: there is no mark"),
  BAD (PROTO "N\x87", "TUPLE3: needs 3 objects on the stack, found 1"),
  BAD (PROTO "](\x86", "needs 2 objects"),
  BAD (PROTO "Na", "APPEND: there is nothing to add items to"),
  BAD (PROTO "NNa", "expected a list to add items to, found None"),
  BAD (PROTO "](Nu", "expected a dict to add items to, found a list"),
  BAD (PROTO "}(Nu", "pairs of keys and values, found 1 objects"),
  BAD (PROTO "(e", "there is nothing to add items to"),
  BAD (PROTO "]((e", "there is nothing to add items to"),
  BAD (PROTO "h\0", "BINGET: nothing was memorised as number 0"),
  BAD (PROTO "Nq\5h\4", "nothing was memorised as number 4"),
  BAD (PROTO "j\xff\xff\xff\xff", "number 4294967295"),
  BAD (PROTO "q\0", "BINPUT: needs 1 objects"),
  BAD (PROTO "\x94", "MEMOIZE: needs 1 objects"),
  FOREIGN (PROTO "Nr\xff\xff\xff\xff", "memo number 4294967295, at most"),
  FOREIGN (PROTO "I1\n", "INT: |protocols 0 and 1"),
  FOREIGN (PROTO "V1\n", "UNICODE: |protocols 0 and 1"),
  FOREIGN (PROTO "N2", "DUP: |protocols 0 and 1"),

  /* sizes of everything that has one */
  BAD (PROTO "X\xff\xff\xff\xff", "BINUNICODE: needs 4294967295 more bytes"),
  BAD (PROTO "\x8c\xff" "ab", "needs 255 more bytes, but 2 follow"),
  BAD (PROTO "\x8d\xff\xff\xff\xff\xff\xff\xff\xff",
      "BINUNICODE8: needs 18446744073709551615 more bytes, but 0 follow"),
  BAD (PROTO "B\xff\xff\xff\xff", "BINBYTES: needs 4294967295"),
  BAD (PROTO "C\2a", "SHORT_BINBYTES: needs 2"),
  BAD (PROTO "\x8e\xff\xff\xff\xff\xff\xff\xff\x7f", "BINBYTES8: needs 92233"),
  BAD (PROTO "\x96\0\0\0\0\0\0\0\x80", "BYTEARRAY8: needs 92233"),
  BAD (PROTO "T\xff\xff\xff\xff", "BINSTRING: negative size -1"),
  BAD (PROTO "U\5a", "SHORT_BINSTRING: needs 5"),
  BAD (PROTO "\x8a\5a", "LONG1: needs 5"),
  BAD (PROTO "\x8b\0\0\0\x80", "LONG4: negative size -2147483648"),
  BAD (PROTO "\x8b\xff\xff\xff\x7f", "LONG4: needs 2147483647"),
  BAD (PROTO "\x95\xff\xff\xff\xff\xff\xff\xff\xff",
      "FRAME: a frame of 18446744073709551615 bytes, but 0 follow"),
  BAD (PROTO "ctorch", "GLOBAL: expected a line of at most 255 bytes, found 5"),
  BAD (PROTO "ctorch\nSize", "found 4 bytes without its end"),

  /* numpy */
  BAD (DICT (ARRAY (MINUS, F4, "C\4abcd")), "shape: negative value -1"),
  BAD (DICT (ARRAY ("N", F4, "C\4abcd")), "shape: expected ints, found None"),
  BAD (DICT (ARRAY ("K\2", F4, "C\4abcd")), "an array of 8 bytes, found 4"),
  BAD (DICT (ARRAY (INT_2_62, F4, "C\0")), "overflows 64 bits"),
  BAD (DICT (ARRAY (INT_MAX64 INT_MAX64 "K\0", F4, "C\0")), "overflows"),
  BAD (DICT (ARRAY ("K\1", F4, "N")), "expected the bytes of an array"),
  BAD (DICT (ARRAY ("K\1", "N", "C\4abcd")),
      "ndarray: expected a numpy dtype as value 2, found None"),
  BAD (DICT (FROM_BUFFER ("K\2K\2", "K", "(K\1K\1t")), "no permutation"),
  BAD (DICT (FROM_BUFFER ("K\2K\2", "K", "(K\1K\2t")),
      "the axes of an array are no permutation of its 2 dimensions"),
  BAD (DICT (FROM_BUFFER ("K\2K\2", "K", "(K\1t")), "no permutation"),
  BAD (DICT (FROM_BUFFER ("K\2K\2", "K", "(K\1" MINUS "t")),
      "axes: negative value -1"),
  FOREIGN (DICT (FROM_BUFFER ("K\2K\2", "K", "N")), "order C, F or K"),
  FOREIGN (DICT (FROM_BUFFER ("K\2K\2", "A", "N")), "order C, F or K"),
  BAD (DICT (REDUCE (GLOBAL ("_codecs", "encode"), "\x8c\2\xc4\x80"
              TEXT ("\x06", "latin1"))), "characters up to 255, found others"),
  BAD (DICT (REDUCE (GLOBAL ("_codecs", "encode"), "\x8c\1\xc3"
              TEXT ("\x06", "latin1"))), "characters up to 255, found others"),
  FOREIGN (DICT (REDUCE (GLOBAL ("_codecs", "encode"), "\x8c\1a"
              TEXT ("\x05", "zlib_"))),
      "encode: expected the encoding latin1, found \"zlib_\""),

  /* honest pickles of something else */
  FOREIGN (PROTO "N.", "expected a state dict, found a pickle of None"),
  FOREIGN (PROTO "].", "found a pickle of a list without tensors"),
  FOREIGN (PROTO "}(" TEXT ("\1", "a") "N" TEXT ("\1", "b") "K\1u.",
      "found a pickle of a dict with the keys \"a\", \"b\" without tensors"),
  FOREIGN (PROTO "}" "\x8c\1\xff" ARRAY ("K\1", F4, "C\4abcd") "s.",
      "names in UTF-8|found another string"),
  FOREIGN (PROTO "}" "K\7" ARRAY ("K\1", F4, "C\4abcd") "s.",
      "found an int as name of tensor 0"),
  BAD (PROTO "}(" TEXT ("\1", "w") ARRAY ("K\1", F4, "C\4abcd")
      TEXT ("\1", "w") ARRAY ("K\1", F4, "C\4abcd") "u.",
      "tensor \"w\" comes twice"),
};

GST_START_TEST (test_pickle_refused)
{
  const Row *row = &plain[__i__];
  /* nothing that may be read stands behind it */
  g_autofree gchar *data = g_memdup2 (row->data, row->size);

  check_refused (data, row->size, row->code, row->message);
}

GST_END_TEST;

/* ---- tensors of torch ------------------------------------------------- */

static const Row tensors[] = {
  BAD (DICT (TENSOR ("K\0", "K\5", "K\1")),
      "a/data.pkl: byte |REDUCE: a tensor at element 0 |past the storage's 4"),
  BAD (DICT (TENSOR ("K\5", "", "")), "a tensor at element 5|4 elements"),
  BAD (DICT (TENSOR ("K\1", "K\2" "K\2", "K\2" "K\1")), "at element 1"),
  BAD (DICT (TENSOR (INT_MAX64, "K\1", "K\1")), "reaches past"),
  BAD (DICT (TENSOR ("K\0", "K\2", INT_MAX64)), "reaches past"),
  BAD (DICT (TENSOR ("K\0", "K\3", INT_MAX64)), "reaches past"),
  BAD (DICT (TENSOR ("K\1", INT_MAX64, INT_MAX64)), "reaches past"),
  /* 4 * 2^62 bytes are 0 modulo 2^64 */
  BAD (DICT (TENSOR ("K\0", INT_2_62, "K\1")), "reaches past"),
  BAD (DICT (TENSOR (MINUS, "K\1", "K\1")), "a tensor at offset -1"),
  BAD (DICT (TENSOR ("K\0", MINUS, "K\1")), "sizes: negative value -1"),
  BAD (DICT (TENSOR ("K\0", "K\1", MINUS)), "strides: negative value -1"),
  BAD (DICT (TENSOR ("K\0", "K\1" "K\1", "K\1")), "2 sizes and 1 strides"),
  BAD (DICT (TENSOR ("K\0", "N", "K\1")), "sizes: expected ints, found None"),
  BAD (DICT (TENSOR ("K\0", INT_2_62 INT_2_62, "K\0" "K\0")),
      "tensor \"w\": the product of its sizes overflows"),
  FOREIGN (DICT (TENSOR ("K\0", "M\0\xff" "M\0\xff" "K\7", "K\0K\0K\0")),
      "tensor \"w\" (F32 65280x65280x7) would take 119321395200 bytes"),
  BAD (DICT (REDUCE (GLOBAL ("torch._utils", "_rebuild_tensor_v2"),
              "NK\0))" HOOKS)), "expected a storage as value 0, found None"),
  BAD (DICT (REDUCE (GLOBAL ("torch._utils", "_rebuild_tensor_v2"),
              STORAGE)), "_rebuild_tensor_v2: expected more than 1 values"),
  BAD (DICT (REDUCE (GLOBAL ("torch._utils", "_rebuild_parameter"), "N")),
      "_rebuild_parameter: expected a tensor as value 0, found None"),
  FOREIGN (DICT (GLOBAL ("torch._utils", "_rebuild_qtensor")),
      "\"torch._utils._rebuild_qtensor\" is refused"),
  FOREIGN (DICT (REDUCE (GLOBAL ("torch._utils", "_rebuild_tensor_v2"),
              STORAGE "K\0))" HOOKS "}" TEXT ("\3", "neg") "\x88s")),
      "negated view"),
  BAD (DICT (STORAGE_ID (FLOATS, MINUS) "Q"), "a storage of -1 elements"),
  BAD (DICT (STORAGE_ID (FLOATS, "N") "Q"), "an int as value 4, found None"),
  BAD (DICT (STORAGE_ID ("N", "K\4") "Q"), "value 1, found None"),
  BAD (DICT (STORAGE_ID (GLOBAL ("torch", "Size"), "K\4") "Q"),
      "expected \"storage\" and its type"),
  BAD (DICT ("NQ"), "BINPERSID: expected a tuple"),
  FOREIGN (DICT (TUPLE (TEXT ("\6", "module") "NNN") "Q"),
      "a whole pickled module"),
  BAD (DICT (REDUCE (GLOBAL ("torch._utils", "_rebuild_tensor_v2"),
              STORAGE_ID (FLOATS, "K\5") "Q" "K\0))" HOOKS)),
      "test: tensor \"w\": its storage \"0\" should have 5 elements of 4 "
      "bytes, found 16"),
  BAD (DICT (REDUCE (GLOBAL ("torch._utils", "_rebuild_tensor_v2"),
              TUPLE (TEXT ("\7", "storage") FLOATS TEXT ("\5", "../..")
                  TEXT ("\3", "cpu") "K\4") "Q" "K\0))" HOOKS)),
      "its storage \"../..\" is not in the file"),
  BAD (DICT (TUPLE (TEXT ("\7", "storage") FLOATS TEXT ("\1", "0")
              TEXT ("\3", "cpu") "K\4" TUPLE (TEXT ("\1", "v") "K\3K\2"))
          "Q"), "a view of 2 elements from 3 on, but the storage has 4"),
  BAD (DICT (TUPLE (TEXT ("\7", "storage") FLOATS TEXT ("\1", "0")
              TEXT ("\3", "cpu") "K\4" TUPLE (TEXT ("\1", "v") INT_MAX64
                  INT_MAX64)) "Q"), "but the storage has 4"),
};

GST_START_TEST (test_pickle_tensor_refused)
{
  const Row *row = &tensors[__i__];
  g_autoptr (GByteArray) zip = zip_torch (row->data, row->size, 16);

  check_refused (zip->data, zip->len, row->code, row->message);
}

GST_END_TEST;

/* The same writing is accepted when it is right. */
GST_START_TEST (test_pickle_tensor_accepted)
{
  static const gchar pickle[] = DICT (TENSOR ("K\1", "K\2", "K\2"));
  g_autoptr (GByteArray) zip = zip_torch (pickle, sizeof pickle - 1, 16);
  g_autoptr (CiCheckpoint) checkpoint = check_accepted (zip->data, zip->len);
  CiTensor t;

  fail_unless (ci_checkpoint_lookup (checkpoint, "w", &t));
  fail_unless_equals_int (t.n_dims, 1);
  fail_unless_equals_int64 (t.dims[0], 2);
  fail_unless_equals_int (((const guint8 *) t.data)[0], 4);
  fail_unless_equals_int (((const guint8 *) t.data)[4], 12);
}

GST_END_TEST;

/* What Python 2 wrote: its strings are names and data alike. */
GST_START_TEST (test_pickle_python2)
{
  static const gchar pickle[] = PROTO "}U\1w"
      EMPTY_ARRAY "(K\1(K\1t" GLOBAL ("numpy", "dtype") "(U\2f4K\0K\1tR"
      "(K\3U\1<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
      "\x89T\4\0\0\0\0\0\xc0\xbftbs.";
  g_autoptr (CiCheckpoint) checkpoint =
      check_accepted (pickle, sizeof pickle - 1);
  CiTensor t;

  fail_unless (ci_checkpoint_lookup (checkpoint, "w", &t));
  fail_unless_equals_int (t.dtype, CI_DTYPE_F32);
  fail_unless (((const gfloat *) t.data)[0] == -1.5f);
}

GST_END_TEST;

/* The axes of more dimensions than there are views of */
GST_START_TEST (test_pickle_permuted)
{
  static const gchar pickle[] = DICT (FROM_BUFFER ("K\4K\1K\1K\1K\1K\1",
          "K", "(K\1K\2K\0K\3K\4K\5t"));
  g_autoptr (CiCheckpoint) checkpoint =
      check_accepted (pickle, sizeof pickle - 1);
  g_autofree gchar *text = ci_checkpoint_describe (checkpoint, "w");
  CiTensor t;

  fail_if (ci_checkpoint_lookup (checkpoint, "w", &t));
  fail_unless_equals_string (text, "F32 1x1x4x1x1x... (6 dimensions)");
}

GST_END_TEST;

/* An array whose axes are permuted gets another state with more of them. */
GST_START_TEST (test_pickle_array_twice)
{
  static const gchar pickle[] = DICT (FROM_BUFFER ("K\2K\2", "K", "(K\1K\0t")
      TUPLE ("K\1" TUPLE ("K\1K\1K\1K\2") F4 "\x89" "C\x08" "abcdefgh") "b");
  g_autoptr (CiCheckpoint) checkpoint =
      check_accepted (pickle, sizeof pickle - 1);
  CiTensor t;

  fail_unless (ci_checkpoint_lookup (checkpoint, "w", &t));
  fail_unless_equals_int (t.n_dims, 4);
  fail_unless (memcmp (t.data, "abcdefgh", 8) == 0);
}

GST_END_TEST;

/* ---- bombs ------------------------------------------------------------ */

static void
append (GByteArray * bytes, const gchar * data, gsize size)
{
  g_byte_array_append (bytes, (const guint8 *) data, size);
}

#define APPEND(bytes, data) append (bytes, data, sizeof (data) - 1)

static void
append_put (GByteArray * bytes, guint number)
{
  APPEND (bytes, "r");
  append_uint (bytes, number, 4);
}

static void
append_get (GByteArray * bytes, guint number)
{
  APPEND (bytes, "j");
  append_uint (bytes, number, 4);
}

/* 2^200 laughs: each tuple holds the one before twice. */
GST_START_TEST (test_pickle_billion_laughs)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();

  APPEND (bytes, PROTO "}" TEXT ("\5", "model") TEXT ("\3", "lol") "r\0\0\0\0");
  for (guint i = 1; i <= 200; i++) {
    append_get (bytes, i - 1);
    APPEND (bytes, "\x86");
    append_put (bytes, i);
  }
  APPEND (bytes, "s.");
  check_refused (bytes->data, bytes->len, CI_ERROR_UNSUPPORTED,
      "a dict with the keys \"model\" without tensors");
}

GST_END_TEST;

/* Lists and dicts that hold themselves */
GST_START_TEST (test_pickle_loops)
{
  static const gchar list[] = PROTO "]q\0h\0a.";
  static const gchar dict[] = PROTO "}q\0" TEXT ("\5", "model") "h\0s.";
  static const gchar state[] = PROTO "}q\0h\0b.";

  check_refused (list, sizeof list - 1, CI_ERROR_UNSUPPORTED,
      "a list without tensors");
  check_refused (dict, sizeof dict - 1, CI_ERROR_UNSUPPORTED,
      "a dict with the keys \"model\" without tensors");
  check_refused (state, sizeof state - 1, CI_ERROR_UNSUPPORTED,
      "without tensors");
}

GST_END_TEST;

/* 300000 levels: nothing may recurse, neither reading nor freeing. */
GST_START_TEST (test_pickle_depth)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();

  APPEND (bytes, PROTO ")");
  for (guint i = 0; i < 300000; i++)
    APPEND (bytes, "\x85");
  APPEND (bytes, ".");
  check_refused (bytes->data, bytes->len, CI_ERROR_UNSUPPORTED,
      "a tuple without tensors");
}

GST_END_TEST;

GST_START_TEST (test_pickle_opcodes)
{
  static const gchar *const ops[] = { "N", "(", "N0", "]q\1" };
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  gsize length = strlen (ops[__i__]);

  APPEND (bytes, PROTO);
  for (guint i = 0; i < 1100000; i++)
    append (bytes, ops[__i__], length);
  check_refused (bytes->data, bytes->len, CI_ERROR_UNSUPPORTED,
      "more than 1048576 opcodes");
}

GST_END_TEST;

static glong
get_peak_kilobytes (void)
{
  struct rusage usage;

  fail_unless (getrusage (RUSAGE_SELF, &usage) == 0);
  return usage.ru_maxrss;
}

/* One array of 64 dimensions that is permuted over and over */
GST_START_TEST (test_pickle_permutations)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  glong before;

  APPEND (bytes, PROTO GLOBAL ("numpy._core.numeric", "_frombuffer") "q\0" "0("
      "C\4abcd" F4 "(");
  for (guint i = 0; i < 64; i++)
    APPEND (bytes, "K\1");
  APPEND (bytes, "t" TEXT ("\1", "K") "(");
  for (guint i = 64; i-- > 0;) {
    APPEND (bytes, "K");
    append_uint (bytes, i, 1);
  }
  APPEND (bytes, "ttq\1" "0");
  for (guint i = 0; i < 250000; i++)
    APPEND (bytes, "h\0h\1R0");
  APPEND (bytes, "N.");
  before = get_peak_kilobytes ();
  check_refused (bytes->data, bytes->len, CI_ERROR_UNSUPPORTED,
      "a pickle of None");
  fail_unless (get_peak_kilobytes () - before < 100000, "%ld kB",
      get_peak_kilobytes () - before);
}

GST_END_TEST;

/* One string that is decoded over and over */
GST_START_TEST (test_pickle_decoding)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autofree gchar *text = g_strnfill (1 << 20, 'x');

  APPEND (bytes, PROTO "](" "X\0\0\x10\0");
  append (bytes, text, 1 << 20);
  APPEND (bytes, "q\0");
  for (guint i = 0; i < 5000; i++)
    APPEND (bytes, GLOBAL ("_codecs", "encode") "h\0" TEXT ("\6", "latin1")
        "\x86R");
  APPEND (bytes, "e.");
  check_refused (bytes->data, bytes->len, CI_ERROR_BAD_FORMAT,
      "encoded strings take more than the file's");
}

GST_END_TEST;

/* One long name for many storages */
GST_START_TEST (test_pickle_long_names)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autofree gchar *text = g_strnfill (1 << 20, 'x');
  g_autoptr (GByteArray) zip = NULL;

  APPEND (bytes, PROTO "X\0\0\x10\0");
  append (bytes, text, 1 << 20);
  APPEND (bytes, "q\0" "0}(");
  for (guint i = 0; i < 60000; i++) {
    APPEND (bytes, "X\4\0\0\0");
    append_uint (bytes, 0x40404040 + (i & 63) + (i >> 6 & 63) * 256
        + (i >> 12) * 65536, 4);
    if (i == 0)
      APPEND (bytes, GLOBAL ("torch._utils", "_rebuild_tensor") "("
          TUPLE (TEXT ("\7", "storage") FLOATS "h\0" TEXT ("\3", "cpu") "K\4")
          "QK\0))tRq\1");
    else
      APPEND (bytes, "h\1");
  }
  APPEND (bytes, "u.");
  zip = zip_torch (bytes->data, bytes->len, 16);
  check_refused (zip->data, zip->len, CI_ERROR_BAD_FORMAT,
      "tensor \"@@@@\": its storage \"?\" is not in the file");
}

GST_END_TEST;

/* 200000 modules with one dict of 100000 entries as their version */
GST_START_TEST (test_pickle_metadata)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autoptr (GByteArray) zip = NULL;
  g_autoptr (CiCheckpoint) checkpoint = NULL;

  APPEND (bytes, PROTO "}(Nq\2");
  for (guint i = 0; i < 199999; i++)
    APPEND (bytes, "h\2");
  APPEND (bytes, "uq\0" "0}" TEXT ("\xd", "w.running_var")
      TENSOR ("K\0", "K\4", "K\1") "s}" TEXT ("\x9", "_metadata") "}(");
  for (guint i = 0; i < 200000; i++)
    APPEND (bytes, TEXT ("\1", "w") "h\0");
  APPEND (bytes, "usb.");
  zip = zip_torch (bytes->data, bytes->len, 16);
  checkpoint = check_accepted (zip->data, zip->len);
}

GST_END_TEST;

/* Many variances to correct, all of one storage of 1 MB */
GST_START_TEST (test_pickle_copies)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autoptr (GByteArray) zip = NULL;

  APPEND (bytes, PROTO "}(");
  for (guint i = 0; i < 10000; i++) {
    APPEND (bytes, "X\x10\0\0\0");
    append_uint (bytes, 0x40404040 + (i & 63) + (i >> 6 & 63) * 256
        + (i >> 12) * 65536, 4);
    APPEND (bytes, ".running_var");
    if (i == 0)
      APPEND (bytes, GLOBAL ("torch._utils", "_rebuild_tensor") "("
          STORAGE_ID (FLOATS, "J\0\0\4\0") "QK\0(J\0\0\4\0t(K\1ttRq\1");
    else
      APPEND (bytes, "h\1");
  }
  APPEND (bytes, "u}" TEXT ("\x9", "_metadata") "}(");
  for (guint i = 0; i < 10000; i++) {
    APPEND (bytes, "X\4\0\0\0");
    append_uint (bytes, 0x40404040 + (i & 63) + (i >> 6 & 63) * 256
        + (i >> 12) * 65536, 4);
    APPEND (bytes, "}" TEXT ("\7", "version") "K\2s");
  }
  APPEND (bytes, "usb.");
  zip = zip_torch (bytes->data, bytes->len, 1 << 20);
  check_refused (zip->data, zip->len, CI_ERROR_UNSUPPORTED,
      "would take 1048576 bytes, too many for the file's size");
}

GST_END_TEST;

/* More tensors than there may be names */
GST_START_TEST (test_pickle_many_tensors)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autoptr (GByteArray) zip = NULL;

  APPEND (bytes, PROTO "}(" TEXT ("\1", "w") "q\0"
      TENSOR ("K\0", "K\4", "K\1") "q\1");
  for (guint i = 0; i < 100000; i++)
    APPEND (bytes, "h\0h\1");
  APPEND (bytes, "u.");
  zip = zip_torch (bytes->data, bytes->len, 16);
  check_refused (zip->data, zip->len, CI_ERROR_UNSUPPORTED,
      "at most 65536 tensors|tensor 65536");
}

GST_END_TEST;

static Suite *
checkpoint_pickles_suite (void)
{
  Suite *s = suite_create ("checkpoint-pickles");
  TCase *tc = tcase_create ("general");

  suite_add_tcase (s, tc);
  tcase_add_loop_test (tc, test_pickle_refused, 0, G_N_ELEMENTS (plain));
  tcase_add_loop_test (tc, test_pickle_tensor_refused, 0,
      G_N_ELEMENTS (tensors));
  tcase_add_test (tc, test_pickle_tensor_accepted);
  tcase_add_test (tc, test_pickle_python2);
  tcase_add_test (tc, test_pickle_permuted);
  tcase_add_test (tc, test_pickle_array_twice);
  tcase_add_test (tc, test_pickle_billion_laughs);
  tcase_add_test (tc, test_pickle_loops);
  tcase_add_test (tc, test_pickle_depth);
  tcase_add_loop_test (tc, test_pickle_opcodes, 0, 4);
  tcase_add_test (tc, test_pickle_permutations);
  tcase_add_test (tc, test_pickle_decoding);
  tcase_add_test (tc, test_pickle_long_names);
  tcase_add_test (tc, test_pickle_metadata);
  tcase_add_test (tc, test_pickle_copies);
  tcase_add_test (tc, test_pickle_many_tensors);
  return s;
}

GST_CHECK_MAIN (checkpoint_pickles);
