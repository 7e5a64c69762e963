/*
 * options.c - parses a command line by a table of options.
 */
#include "actors/launcher/options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "fedmq/base/config.h"

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

static int take_one_more(const fmq_option_t *row, const char *text, fmq_texts_t *out,
                         fmq_error_t *err)
{
    if (out->size == FMQ_TEXTS_MAX)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "--%s is given more than %d times", row->name,
                             FMQ_TEXTS_MAX);
    out->items[out->size++] = text;
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
    case FMQ_OPTION_TEXTS:
        return take_one_more(row, text, field, err);
    case FMQ_OPTION_COUNT:
        return take_count(row, text, field, err);
    case FMQ_OPTION_REAL:
        return take_real(row, text, field, err);
    }
    return fmq_error_set(err, FMQ_ERR_INTERNAL, "option '%s' has no kind", row->name);
}

static int init_words(fmq_words_t *words, size_t most, fmq_error_t *err)
{
    *words = (fmq_words_t){.items = calloc(2 * most + 1, sizeof(char *)),
                           .copies = calloc(most + 1, sizeof(char *))};
    if (words->items && words->copies)
        return 0;
    fmq_words_release(words);
    return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for the command line");
}

bool fmq_words_is_file(const char *word)
{
    const char *dot = strrchr(word, '.');
    return dot && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

/* Length of the KEY in KEY=VALUE, or 0 when word is something else. */
static size_t key_before_equals(const char *word)
{
    size_t length = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "0123456789_.");
    return word[length] == '=' ? length : 0;
}

static int take_equation(const char *word, size_t length, fmq_words_t *words, fmq_error_t *err)
{
    char *copy = strdup(word);
    if (!copy)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for the command line");
    words->copies[words->copies_size++] = copy;
    copy[length] = '\0';
    words->items[words->size++] = copy;
    words->items[words->size++] = copy + length + 1;
    return 1;
}

/* Takes the pair at the front of items: how many it was, or -1. */
static int take_pair(char **items, size_t size, fmq_words_t *words, fmq_error_t *err)
{
    size_t length = key_before_equals(items[0]);
    if (length > 0)
        return take_equation(items[0], length, words, err);
    if (fmq_words_is_file(items[0]))
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "'%s' is no key: a configuration file is given as --cfg %s", items[0],
                             items[0]);
    if (size < 2)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "'%s' has no value: keys come as KEY VALUE or KEY=VALUE", items[0]);
    words->items[words->size++] = items[0];
    words->items[words->size++] = items[1];
    return 2;
}

int fmq_words_pair(const fmq_words_t *items, fmq_words_t *pairs, fmq_error_t *err)
{
    if (init_words(pairs, items->size, err) < 0)
        return -1;
    for (size_t i = 0; i < items->size;) {
        int taken = take_pair(items->items + i, items->size - i, pairs, err);
        if (taken < 0)
            return -1;
        i += (size_t)taken;
    }
    return 0;
}

/* getopt_long has stopped at a word: takes it, and its value when words come
 * in pairs. */
static int take_words(int argc, char **argv, fmq_words_rule_t rule, fmq_words_t *words,
                      fmq_error_t *err)
{
    if (rule == FMQ_WORDS_NONE)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "'%s' is not expected here", argv[optind]);
    if (rule == FMQ_WORDS_ANY) {
        words->items[words->size++] = argv[optind++];
        return 0;
    }
    int taken = take_pair(argv + optind, (size_t)(argc - optind), words, err);
    if (taken < 0)
        return -1;
    optind += taken;
    return 0;
}

static bool is_key(const char *name)
{
    size_t count;
    const fmq_key_t *keys = fmq_config_keys(&count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(keys[i].path, name) == 0)
            return true;
    return false;
}

/* "--cfg, --client_cfg": the options that begin so; returns how many. */
static size_t list_beginning(const fmq_option_t *table, const char *name, char *out, size_t size)
{
    size_t found = 0, used = 0;
    out[0] = '\0';
    for (const fmq_option_t *row = table; row->name; row++) {
        if (strncmp(row->name, name, strlen(name)) != 0)
            continue;
        int added = snprintf(out + used, size - used, "%s--%s", found ? ", " : "", row->name);
        used += added > 0 && used + (size_t)added < size ? (size_t)added : 0;
        found++;
    }
    return found;
}

/* What an unknown option may have meant. */
static int complain_of(const fmq_option_t *table, const char *word, fmq_error_t *err)
{
    char name[FMQ_NEAREST_MAX], nearest[FMQ_NEAREST_MAX] = "", all[1024] = "";
    (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(word + strspn(word, "-"), "="),
                   word + strspn(word, "-"));
    if (is_key(name) || strchr(name, '.'))
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "'%s' is no option: a key is given without dashes, as %s VALUE", word,
                             name);
    if (*name && list_beginning(table, name, all, sizeof all) > 1)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "option '%s' is ambiguous: %s", word, all);
    all[0] = '\0';
    for (const fmq_option_t *row = table; row->name; row++)
        if (strlen(all) + strlen(row->name) + 2 < sizeof all)
            (void)snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", *all ? "|" : "",
                           row->name);
    if (*all)
        fmq_nearest_choice(all, name, nearest);
    return fmq_error_set(err, FMQ_ERR_CONFIG, "option '%s' is not known here%s%s%s", word,
                         *nearest ? "; did you mean '--" : "", nearest, *nearest ? "'?" : "");
}

static int complain(int found, char **argv, const fmq_option_t *table, fmq_error_t *err)
{
    const char *word = argv[optind > 1 ? optind - 1 : 1];
    if (found == ':')
        return fmq_error_set(err, FMQ_ERR_CONFIG, "option '%s' needs a value", word);
    return complain_of(table, word, err);
}

int fmq_options_parse(int argc, char **argv, const fmq_option_t *table, fmq_words_rule_t rule,
                      void *values, fmq_words_t *words, fmq_error_t *err)
{
    struct option options[FMQ_OPTIONS_MAX + 2];
    if (init_words(words, (size_t)argc, err) < 0)
        return -1;
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
            return complain(found, argv, table, err);
        } else if (take(&table[found - HELP_VALUE - 1], optarg, values, err) < 0) {
            return -1;
        }
    }
}

void fmq_words_release(fmq_words_t *words)
{
    for (size_t i = 0; i < words->copies_size; i++)
        free(words->copies[i]);
    free(words->copies);
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
