/*
 * upstream.h: official checkpoints (detectron2, AdelaiDet) to descriptions of
 * their networks; private to models/.
 *
 * Names and shapes of the tensors tell what the network is, a configuration
 * tells the rest: what the caller says, a file beside the weights, a published
 * configuration that has such tensors, the defaults of the official code, in
 * this order. The result is the JSON of config.h, which stays the one form in
 * which a model is checked and stored.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_UPSTREAM_H
#define CI_UPSTREAM_H

#include <json-glib/json-glib.h>

#include "checkpoint.h"
#include "config.h"

G_BEGIN_DECLS

/* ---- configurations --------------------------------------------------- */

/**
 * CiUpstream: keys of upstream's configuration ("MODEL.FCOS.NUM_CLASSES") with
 * their values. What is read later wins, key by key.
 */
typedef struct _CiUpstream CiUpstream;

CiUpstream *ci_upstream_new (void);
void ci_upstream_free (CiUpstream * upstream);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CiUpstream, ci_upstream_free)

/**
 * Adds a configuration in memory (@name is for messages): YAML as detectron2
 * reads and writes it, or the same nest of keys as JSON, also as the member
 * `config` of a golden case.json. At most 1 MiB, nested at most 16 deep, with
 * at most 1000 keys in one nest and 10000 in all. Of two equal keys the last
 * counts in YAML, as in Python; in JSON they are an error. Aliases may stand
 * for values and lists of values, 4096 in all; others, and tags for Python's
 * objects, are refused. `_BASE_` is left alone. What fails adds nothing.
 */
gboolean ci_upstream_parse (CiUpstream * upstream, const gchar * text,
    gsize size, const gchar * name, GError ** error);
/** The same from a file, on top of the files that its `_BASE_` names, as far
 * as they exist; a missing one is warned of. */
gboolean ci_upstream_read_file (CiUpstream * upstream, const gchar * path,
    GError ** error);
/** The same from a file that nobody named, because it is beside weights: an
 * error also if it has neither MODEL, INPUT, DATASETS, `config` nor `_BASE_`;
 * a `_BASE_` that is not in its folder or below, by its name, is warned of and
 * left out. */
gboolean ci_upstream_read_beside (CiUpstream * upstream, const gchar * path,
    GError ** error);
/** One key, with @value written as in YAML: 800, True, (64, 128), SyncBN. */
gboolean ci_upstream_set (CiUpstream * upstream, const gchar * key,
    const gchar * value, GError ** error);
/** Adds the published configuration @name ("CondInst/MS_R_50_3x", or what is
 * left of it from a slash on); the error lists what it could be. */
gboolean ci_upstream_set_published (CiUpstream * upstream,
    const gchar * name, GError ** error);

/** Value of @key, borrowed, or NULL; @origin: where it comes from. */
JsonNode *ci_upstream_get (const CiUpstream * upstream, const gchar * key,
    const gchar ** origin);
/** Sets @key to @node, which is consumed, as coming from @origin. */
void ci_upstream_take (CiUpstream * upstream, const gchar * key,
    JsonNode * node, const gchar * origin);

/* ---- descriptions ----------------------------------------------------- */

/**
 * The description of the network in @checkpoint as JSON for ci_config_parse().
 * @upstream: what is known besides, in ascending precedence, or NULL. @source:
 * the file's name, for messages and for the choice among published
 * configurations. @recognised: names of those that have such tensors; free
 * with g_strfreev.
 *
 * Errors: CI_ERROR_UNSUPPORTED for a network that is none of the family;
 * CI_ERROR_BAD_FORMAT for keys of wrong type, for keys that contradict the
 * tensors, and for tensors that more than one configuration fits, with the
 * candidates and what decides among them.
 */
gchar *ci_upstream_describe (const CiCheckpoint * checkpoint,
    const CiUpstream * upstream, const gchar * source, gchar *** recognised,
    GError ** error);

/* ---- the steps of it: recognise.c, published.c, upstream_apply.c ------- */

/** What tensors tell beyond the structure in a CiConfig. */
typedef struct
{
  gboolean pixels;              /* pixel_mean and pixel_std are stored */
  gfloat pixel_rounding;        /* of those, relative; 0 for F32 and F64 */
  gboolean sizes_of_interest;
  gboolean semantic;            /* a semantic head, for training only */
  gboolean trained_norm;        /* the backbone's batch norm was trained */
  gint head_parameters;         /* channels of condinst's controller */
} CiTensorFacts;

/** Fills @config with what the tensors tell, except condinst.head_*, and with
 * upstream's defaults else. */
gboolean ci_recognise (const CiCheckpoint * checkpoint, const gchar * source,
    CiConfig * config, CiTensorFacts * facts, GError ** error);

/** Whether @stored, of the tensors pixel_mean or pixel_std, may once have been
 * @value, of a configuration. */
gboolean ci_facts_agree (const CiTensorFacts * facts, gfloat stored,
    gfloat value);

/**
 * Takes from the published configurations what tensors do not tell and
 * @upstream does not say, and what they tell only roughly. Returns the names of
 * those that fit entirely (an empty list if there are none), or NULL and
 * @error if those that fit differ in something.
 */
gchar **ci_published_fill (const CiUpstream * upstream,
    const CiTensorFacts * facts, const gchar * source, CiConfig * config,
    GError ** error);

/**
 * Puts the keys of @upstream into @config. What tensors tell stays as it is:
 * keys that contradict it are errors that name @source, the key, its origin
 * and both values. @facts: NULL for a description that came with its file.
 */
gboolean ci_upstream_apply (const CiUpstream * upstream,
    const CiTensorFacts * facts, const gchar * source, CiConfig * config,
    GError ** error);

G_END_DECLS

#endif /* CI_UPSTREAM_H */
