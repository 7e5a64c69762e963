/*
 * config.h - what a run is told: one table of keys, and the values given.
 *
 * The table (base/config/keys.c) declares every key once: path, type, range,
 * default, one line of help, and whether fedmq acts on it.  The parser, the
 * checks, `fedmq config` and docs/configuration.md come from it.  FS-LLM's
 * YAML files load unchanged.  Loading collects every mistake instead of
 * stopping at the first; fmq_config_check() then reports them all at once.
 *
 * A config belongs to one thread while it is being filled; after a successful
 * check it is read-only and may be shared.
 */
#ifndef FEDMQ_BASE_CONFIG_H
#define FEDMQ_BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "fedmq/base/api.h"
#include "fedmq/base/error.h"
#include "fedmq/base/log.h"

FMQ_API_BEGIN

#define FMQ_CONFIG_FILE_MAX     (256 * 1024) /* bytes of one YAML file */
#define FMQ_CONFIG_DEPTH_MAX    32
#define FMQ_CONFIG_MISTAKES_MAX 100 /* beyond this only counted */

typedef enum {
    FMQ_KEY_BOOL,
    FMQ_KEY_INT,
    FMQ_KEY_REAL, /* accepts an integer too, and 3e-4 without a dot */
    FMQ_KEY_TEXT,
    FMQ_KEY_LIST,   /* sequence of scalars and/or one-level maps, see below */
    FMQ_KEY_DEVICE, /* a number, a name (cuda:1), or a list of them: asked like a list's items */
    FMQ_KEY_NODE    /* open node: children that are not declared are kept as given */
} fmq_key_type_t;

typedef enum {
    FMQ_KEY_ACTED_ON,    /* fedmq does what it says */
    FMQ_KEY_HARMLESS,    /* no effect on results here: one warning when set */
    FMQ_KEY_NOT_ACTED_ON /* set to anything but its default: the run is refused */
} fmq_key_status_t;

/* What a run that is resumed may be told otherwise than it was. */
typedef enum {
    FMQ_RESUME_SAME, /* nothing: its result would be another run's */
    FMQ_RESUME_MORE, /* a greater number */
    FMQ_RESUME_FREE  /* anything */
} fmq_key_resume_t;

typedef struct {
    const char *path; /* "train.optimizer.lr" */
    fmq_key_type_t type;
    const char *fallback; /* default as YAML text */
    double least, most;   /* range of a number; least > most: unlimited */
    const char *choices;  /* "a|b|c" or NULL: values of a text, items of a list, names that may
                           * be added to an open node or stand in the maps of a list */
    fmq_key_status_t status;
    fmq_key_resume_t resume;
    const char *help; /* one line */
    const char *dead; /* "a|b": further such words, which older files hold and nobody reads: they
                       * are taken with a warning; or NULL */
} fmq_key_t;

typedef struct fmq_config fmq_config_t;

/* The declared keys, sorted by path. */
const fmq_key_t *fmq_config_keys(size_t *count);

/* A config with every key at its default.  NULL: out of memory. */
fmq_config_t *fmq_config_new(void);
fmq_config_t *fmq_config_clone(const fmq_config_t *self);
void fmq_config_destroy(fmq_config_t **self_p);

/* What may be chosen beside what the table of keys says: a name that a key may then hold, or, of
 * an open node, the name of a child.  Everything is borrowed. */
typedef struct {
    const char *key, *name, *help;
    const void *thing; /* what the name stands for; NULL where it is a child's */
} fmq_config_offer_t;

typedef struct {
    const fmq_config_offer_t *items;
    size_t size;
} fmq_config_offers_t;

/* For what is merged from now on, and for copies of self; NULL: none.  offers is borrowed until
 * self and its copies are destroyed. */
void fmq_config_set_offers(fmq_config_t *self, const fmq_config_offers_t *offers);
const fmq_config_offers_t *fmq_config_offers(const fmq_config_t *self);
/* What a name of a key stands for; NULL where nobody has offered it. */
const void *fmq_config_offered(const fmq_config_t *self, const char *key, const char *name);

/* Merges a YAML file, or YAML text that is called name in messages.  Mistakes
 * are collected in self.  Returns 0 when there was none in this source, else
 * -1 with err = the first one. */
int fmq_config_load(fmq_config_t *self, const char *path, fmq_error_t *err);
int fmq_config_parse(fmq_config_t *self, const char *name, const char *text, size_t size,
                     fmq_error_t *err);

/* Applies one KEY VALUE pair of the command line; value is YAML flow syntax,
 * and Python's (0.9, 0.95), True, None too.  Mistakes as above. */
int fmq_config_set(fmq_config_t *self, const char *key, const char *value, fmq_error_t *err);

/* Merges the client_<k>.* nodes of a client file (FS-LLM's --client_cfg) and
 * those given inline; fmq_config_for_client() then gives client k's view: a
 * clone with its overrides applied.  NULL with err on failure. */
int fmq_config_load_clients(fmq_config_t *self, const char *path, fmq_error_t *err);
fmq_config_t *fmq_config_for_client(const fmq_config_t *self, uint32_t client, fmq_error_t *err);
/* Has client k settings of its own?  Else its view says what self says. */
bool fmq_config_differs_for(const fmq_config_t *self, uint32_t client);

/* Prints every collected mistake as "file:line:column: text" plus cross-key
 * checks; warns (through log, may be NULL) about harmless keys that are set.
 * Returns 0 when the config can run; -1 with err saying how many there are and
 * where, and the first of them when out is NULL. */
int fmq_config_check(fmq_config_t *self, FILE *out, fmq_log_t *log, fmq_error_t *err);

/* Values.  The key must be declared (or lie in an open node and exist), and be
 * of that type: asking otherwise is a bug of ours and aborts.  Texts are
 * borrowed from self. */
bool fmq_config_bool(const fmq_config_t *self, const char *key);
int64_t fmq_config_int(const fmq_config_t *self, const char *key);
double fmq_config_real(const fmq_config_t *self, const char *key);
const char *fmq_config_text(const fmq_config_t *self, const char *key);

/* True when the key was given by a file or a pair, at whatever value; works
 * for children of open nodes ("train.optimizer.betas", "llm.adapter.args.0.r",
 * "splitter_args.0.alpha"): list items are addressed by index. */
bool fmq_config_given(const fmq_config_t *self, const char *key);

/* Items of a list or children of an open node. */
size_t fmq_config_size(const fmq_config_t *self, const char *key);
/* Name of child i of an open node or map item, borrowed. */
const char *fmq_config_child(const fmq_config_t *self, const char *key, size_t i);

/* Undeclared scalars (open nodes, list items, map items in lists), converted
 * on request: 0, or -1 with FMQ_ERR_CONFIG saying file:line:column when the
 * value is absent or of another type.  None is the empty text. */
int fmq_config_get_int(const fmq_config_t *self, const char *key, int64_t *out, fmq_error_t *err);
int fmq_config_get_real(const fmq_config_t *self, const char *key, double *out, fmq_error_t *err);
int fmq_config_get_bool(const fmq_config_t *self, const char *key, bool *out, fmq_error_t *err);
int fmq_config_get_text(const fmq_config_t *self, const char *key, const char **out,
                        fmq_error_t *err);

/* "file:line:column" of where the key's value came from, or "default". */
const char *fmq_config_origin(const fmq_config_t *self, const char *key);

/* Writes the effective config as YAML that loads again to the same values.
 * only_given: leave out keys at their default.  Returned text is the caller's. */
char *fmq_config_dump(const fmq_config_t *self, bool only_given, fmq_error_t *err);

/* The value of a key as JSON, maps and lists in it included, for readers of
 * arguments that others have declared; of a map without those names (NULL behind
 * the last).  Returned text is the caller's; NULL with FMQ_ERR_CONFIG when the key
 * is absent or its value is none of JSON's. */
char *fmq_config_json(const fmq_config_t *self, const char *key, const char *const *without,
                      fmq_error_t *err);

/* What is given and changes nothing here, be it that fedmq does not act on the
 * key, that nobody reads its value, or that it needs another key.  Borrowed
 * for the call. */
typedef struct {
    const char *key, *value, *origin, *why;
} fmq_config_inert_t;

typedef void(fmq_config_inert_fn)(void *argument, const fmq_config_inert_t *inert);

/* Visits them; values that say what fedmq does anyway are not among them. */
void fmq_config_visit_inert(const fmq_config_t *self, fmq_config_inert_fn *visit, void *argument);

/* Lists these and what is refused, a line each: origin, key, value, which of
 * both, why. */
void fmq_config_print_inert(const fmq_config_t *self, FILE *out);

/* A key that fedmq acts on and that two configs set differently ("client_3."
 * before it: for client 3 alone).  Texts are borrowed for the call. */
typedef struct {
    const char *key, *from, *to; /* values as YAML; "nothing" where there is none */
    fmq_key_resume_t resume;     /* whether a run may be resumed with it */
} fmq_config_change_t;

typedef void(fmq_config_change_fn)(void *argument, const fmq_config_change_t *change);

/* Visits them, in the order of the table, clients last.  -1: out of memory. */
int fmq_config_visit_changes(const fmq_config_t *from, const fmq_config_t *to,
                             fmq_config_change_fn *visit, void *argument, fmq_error_t *err);

/* Prints the table of keys as "text", "json" or "markdown".  -1 with
 * FMQ_ERR_CONFIG for another format, FMQ_ERR_IO when writing failed. */
int fmq_config_print_keys(FILE *out, const char *format, fmq_error_t *err);

/* Prints all about one key, or about every key of a group.  -1 with
 * FMQ_ERR_NOTFOUND, naming the nearest key, when there is none. */
int fmq_config_explain(FILE *out, const char *path, fmq_error_t *err);

FMQ_API_END

#endif
