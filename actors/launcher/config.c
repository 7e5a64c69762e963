/*
 * config.c - fedmq config: checks a configuration, shows it, lists the keys.
 */
#include <stdlib.h>
#include <string.h>

#include "actors/launcher/opening.h"

static const fmq_option_t options[] = {
    FMQ_ROW_CFG, FMQ_ROW_CLIENT_CFG,
    FMQ_ROW("given", FLAG, given, NULL, "show: leave out what has its default"), FMQ_ROWS_END};

static int check(const fmq_arguments_t *arguments, const fmq_words_t *words, fmq_error_t *err)
{
    fmq_log_t *log = fmq_log_new(fmq_log_sink_file, stderr, FMQ_LOG_WARNING);
    fmq_config_t *config = fmq_opening_merge(arguments, words, err);
    int result = config && log ? fmq_opening_check(config, log, err) : -1;
    if (result == 0)
        printf("%s: no mistakes\n", arguments->cfg);
    fmq_config_destroy(&config);
    fmq_log_destroy(&log);
    return result;
}

static int show(const fmq_arguments_t *arguments, const fmq_words_t *words, fmq_error_t *err)
{
    fmq_config_t *config = fmq_opening_config(arguments, words, err);
    char *text = config ? fmq_config_dump(config, arguments->given, err) : NULL;
    if (text)
        fputs(text, stdout);
    int result = text ? 0 : -1;
    free(text);
    fmq_config_destroy(&config);
    return result;
}

static const char *type_name(fmq_key_type_t type)
{
    static const char *const names[] = {
        [FMQ_KEY_BOOL] = "bool", [FMQ_KEY_INT] = "int",   [FMQ_KEY_REAL] = "real",
        [FMQ_KEY_TEXT] = "text", [FMQ_KEY_LIST] = "list", [FMQ_KEY_NODE] = "open"};
    return names[type];
}

static const char *status_name(fmq_key_status_t status)
{
    static const char *const names[] = {[FMQ_KEY_ACTED_ON] = "",
                                        [FMQ_KEY_HARMLESS] = " (no effect here)",
                                        [FMQ_KEY_NOT_ACTED_ON] = " (not supported)"};
    return names[status];
}

static bool mentions(const fmq_key_t *key, const char *word)
{
    return strstr(key->path, word) || strstr(key->help, word) ||
           (key->choices && strstr(key->choices, word));
}

/* Every key, or those that mention a given word. */
static int keys(const fmq_arguments_t *arguments, const fmq_words_t *words, fmq_error_t *err)
{
    size_t count = 0, shown = 0;
    const fmq_key_t *table = fmq_config_keys(&count);
    (void)arguments;
    for (size_t i = 0; i < count; i++) {
        if (words->size > 0 && !mentions(&table[i], words->items[0]))
            continue;
        shown++;
        printf("%s: %s = %s\n    %s%s\n", table[i].path, type_name(table[i].type),
               *table[i].fallback ? table[i].fallback : "''", table[i].help,
               status_name(table[i].status));
        if (table[i].choices)
            printf("    one of: %s\n", table[i].choices);
    }
    if (shown > 0)
        return 0;
    return fmq_error_set(err, FMQ_ERR_NOTFOUND, "no key mentions '%s'", words->items[0]);
}

static const struct {
    const char *word;
    int (*run)(const fmq_arguments_t *arguments, const fmq_words_t *words, fmq_error_t *err);
} verbs[] = {{"check", check}, {"show", show}, {"keys", keys}};

static int run(const fmq_arguments_t *arguments, const fmq_words_t *words, fmq_error_t *err)
{
    const char *word = words->size > 0 ? words->items[0] : "";
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(verbs[i].word, word) != 0)
            continue;
        fmq_words_t rest = {.items = words->items + 1, .size = words->size - 1};
        if (verbs[i].run != keys && rest.size % 2 != 0)
            return fmq_error_set(err, FMQ_ERR_CONFIG, "'%s' has no value: keys come as KEY VALUE",
                                 rest.items[rest.size - 1]);
        return verbs[i].run(arguments, &rest, err);
    }
    return fmq_error_set(err, FMQ_ERR_CONFIG, "'%s': check, show or keys is expected", word);
}

const fmq_command_t fmq_command_config = {
    .name = "config",
    .words = "check|show|keys [KEY VALUE ... | WORD]",
    .summary = "Checks a configuration, shows what it amounts to, or lists the keys",
    .options = options,
    .rule = FMQ_WORDS_ANY,
    .run = run};
