/*
 * options.h - the options of a subcommand, as a table.
 *
 * A row names an option, how its value is read and where in the command's own
 * struct it goes; parsing (GNU getopt_long) and the help text come from it.
 * What is no option is taken in pairs, KEY VALUE, as FS-LLM's users type them,
 * or KEY=VALUE: the value may begin with a dash.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_OPTIONS_H
#define FEDMQ_ACTORS_LAUNCHER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "fedmq/base/error.h"

#define FMQ_OPTIONS_MAX 32 /* rows of a table */

typedef enum {
    FMQ_OPTION_FLAG,  /* bool: set to true */
    FMQ_OPTION_TEXT,  /* const char *: borrowed from argv */
    FMQ_OPTION_TEXTS, /* fmq_texts_t: may be given several times */
    FMQ_OPTION_COUNT, /* uint64_t */
    FMQ_OPTION_REAL   /* double */
} fmq_option_kind_t;

#define FMQ_TEXTS_MAX 16
typedef struct {
    const char *items[FMQ_TEXTS_MAX]; /* borrowed from argv */
    size_t size;
} fmq_texts_t;

typedef struct {
    const char *name; /* without dashes; a NULL name ends the table */
    fmq_option_kind_t kind;
    size_t offset;        /* of the field */
    const char *argument; /* "FILE"; NULL for flags */
    const char *help;     /* one line */
} fmq_option_t;

/* What is not an option; members are borrowed from argv. */
typedef struct {
    char **items; /* owned array: KEY, VALUE, KEY, VALUE ... or single words */
    size_t size;
    char **copies; /* owned, with their texts: of KEY=VALUE, cut in two */
    size_t copies_size;
    bool help; /* --help was given */
} fmq_words_t;

typedef enum {
    FMQ_WORDS_NONE,  /* a word is a mistake */
    FMQ_WORDS_PAIRS, /* KEY VALUE */
    FMQ_WORDS_ANY
} fmq_words_rule_t;

/* Parses argv[1 ..] by table into the struct at values.  Returns 0, or -1 with
 * FMQ_ERR_CONFIG; release words either way. */
int fmq_options_parse(int argc, char **argv, const fmq_option_t *table, fmq_words_rule_t rule,
                      void *values, fmq_words_t *words, fmq_error_t *err);
void fmq_words_release(fmq_words_t *words);

/* Reads items as KEY VALUE or KEY=VALUE into pairs, which is then released as
 * after parsing. */
int fmq_words_pair(const fmq_words_t *items, fmq_words_t *pairs, fmq_error_t *err);

/* True when word ends as the name of a configuration file does. */
bool fmq_words_is_file(const char *word);

/* Prints the table, an option a line. */
void fmq_options_print(const fmq_option_t *table, FILE *out);

#endif
