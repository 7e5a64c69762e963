/*
 * options.c - parses a command line by a table of options.
 */
#include "actors/launcher/options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HELP_VALUE 1000 /* what getopt_long returns for --help; rows return 1001 + index */

static size_t table_size(const fmq_option_t *table)
{
    size_t size = 0;
    while (table[size].name && size < FMQ_OPTIONS_MAX)
        size++;
    return size;
}

static void make_long_options(const fmq_option_t *table, struct option *out)
{
    size_t size = table_size(table);
    for (size_t i = 0; i < size; i++)
        out[i] = (struct option){.name = table[i].name,
                                 .has_arg = table[i].kind == FMQ_OPTION_FLAG ? no_argument
                                                                             : required_argument,
                                 .val = HELP_VALUE + 1 + (int)i};
    out[size] = (struct option){.name = "help", .val = HELP_VALUE};
    out[size + 1] = (struct option){0};
}

static int take_count(const fmq_option_t *row, const char *text, uint64_t *out, fmq_error_t *err)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || end == text || *end || strchr(text, '-'))
        return fmq_error_set(err, FMQ_ERR_CONFIG, "--%s '%s': a whole number is expected",
                             row->name, text);
    *out = value;
    return 0;
}

static int take_real(const fmq_option_t *row, const char *text, double *out, fmq_error_t *err)
{
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value))
        return fmq_error_set(err, FMQ_ERR_CONFIG, "--%s '%s': a number is expected", row->name,
                             text);
    *out = value;
    return 0;
}

static int take(const fmq_option_t *row, const char *text, void *values, fmq_error_t *err)
{
    void *field = (char *)values + row->offset;
    switch (row->kind) {
    case FMQ_OPTION_FLAG:
        *(bool *)field = true;
        return 0;
    case FMQ_OPTION_TEXT:
        *(const char **)field = text;
        return 0;
    case FMQ_OPTION_COUNT:
        return take_count(row, text, field, err);
    case FMQ_OPTION_REAL:
        return take_real(row, text, field, err);
    }
    return fmq_error_set(err, FMQ_ERR_INTERNAL, "option '%s' has no kind", row->name);
}

/* getopt_long has stopped at a word: takes it, and its value when words come
 * in pairs. */
static int take_words(int argc, char **argv, fmq_words_rule_t rule, fmq_words_t *words,
                      fmq_error_t *err)
{
    if (rule == FMQ_WORDS_NONE)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "'%s' is not expected here", argv[optind]);
    int count = rule == FMQ_WORDS_PAIRS ? 2 : 1;
    if (optind + count > argc)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "'%s' has no value: keys come as KEY VALUE",
                             argv[optind]);
    for (int i = 0; i < count; i++)
        words->items[words->size++] = argv[optind++];
    return 0;
}

static int complain(int found, char **argv, fmq_error_t *err)
{
    const char *word = argv[optind > 1 ? optind - 1 : 1];
    if (found == ':')
        return fmq_error_set(err, FMQ_ERR_CONFIG, "option '%s' needs a value", word);
    return fmq_error_set(err, FMQ_ERR_CONFIG, "option '%s' is not known here, or is ambiguous",
                         word);
}

int fmq_options_parse(int argc, char **argv, const fmq_option_t *table, fmq_words_rule_t rule,
                      void *values, fmq_words_t *words, fmq_error_t *err)
{
    struct option options[FMQ_OPTIONS_MAX + 2];
    *words = (fmq_words_t){.items = calloc((size_t)argc + 1, sizeof(char *))};
    if (!words->items)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for the command line");
    make_long_options(table, options);
    optind = 0; /* begins anew, in glibc and musl */
    opterr = 0;
    while (true) {
        int found = getopt_long(argc, argv, "+:h", options, NULL);
        if (found == -1 && optind >= argc)
            return 0;
        if (found == -1) {
            if (take_words(argc, argv, rule, words, err) < 0)
                return -1;
        } else if (found == 'h' || found == HELP_VALUE) {
            words->help = true;
        } else if (found == '?' || found == ':') {
            return complain(found, argv, err);
        } else if (take(&table[found - HELP_VALUE - 1], optarg, values, err) < 0) {
            return -1;
        }
    }
}

void fmq_words_release(fmq_words_t *words)
{
    free(words->items);
    *words = (fmq_words_t){0};
}

void fmq_options_print(const fmq_option_t *table, FILE *out)
{
    for (const fmq_option_t *row = table; row->name; row++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", row->name, row->argument ? " " : "",
                 row->argument ? row->argument : "");
        fprintf(out, "  %-26s %s\n", left, row->help);
    }
}
