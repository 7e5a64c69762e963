/*
 * config.c - fedmq config: checks a configuration, shows it, lists the keys.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/launcher/aside.h"
#include "actors/launcher/display_json.h"
#include "actors/launcher/opening.h"
#include "actors/launcher/preflight.h"
#include "base/nearest.h"

static const fmq_option_t options[] = {
    FMQ_ROW_CFG,
    FMQ_ROW_CLIENT_CFG,
    FMQ_ROW("given", FLAG, given, NULL, "show: leave out what has its default"),
    FMQ_ROW("all", FLAG, all, NULL, "keys: those without effect too"),
    FMQ_ROW("json", FLAG, json, NULL, "check: print JSON, one object a line"),
    FMQ_ROW("file-only", FLAG, file_only, NULL, "check: do not look at data, model and folders"),
    FMQ_ROW_LOAD,
    FMQ_ROWS_END};

static void say_no_mistakes(const fmq_arguments_t *arguments)
{
    char *object = arguments->json ? fmq_display_json_said("no-mistakes", arguments->cfg) : NULL;
    if (object)
        (void)fputs(object, stdout);
    else
        printf("%s: no mistakes\n", arguments->cfg);
    (void)fflush(stdout);
    free(object);
}

static int check(const fmq_arguments_t *arguments, const fmq_words_t *words, fmq_error_t *err)
{
    fmq_log_t *log = fmq_aside_log(arguments->json, FMQ_LOG_WARNING);
    fmq_config_t *config = fmq_opening_merge(arguments, words, err);
    int result = config && log ? fmq_opening_check(config, arguments->json, log, err) : -1;
    if (result == 0)
        say_no_mistakes(arguments);
    if (result == 0 && !arguments->file_only)
        result = fmq_preflight(config, arguments->json, err);
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
    static const char *const names[] = {[FMQ_KEY_BOOL] = "bool",
                                        [FMQ_KEY_INT] = "int",
                                        [FMQ_KEY_REAL] = "real",
                                        [FMQ_KEY_TEXT] = "text",
                                        [FMQ_KEY_LIST] = "list",
                                        [FMQ_KEY_NODE] = "open",
                                        [FMQ_KEY_DEVICE] = "int, text or list"};
    return names[type];
}

static const char *status_name(fmq_key_status_t status)
{
    static const char *const names[] = {[FMQ_KEY_ACTED_ON] = "",
                                        [FMQ_KEY_HARMLESS] = " (no effect here)",
                                        [FMQ_KEY_NOT_ACTED_ON] = " (not supported)"};
    return names[status];
}

static bool mentions(const fmq_key_t *key, const fmq_words_t *words)
{
    const char *word = words->size > 0 ? words->items[0] : "";
    return strstr(key->path, word) || strstr(key->help, word) ||
           (key->choices && strstr(key->choices, word));
}

static void print_key(const fmq_key_t *key)
{
    printf("%s: %s = %s\n    %s%s\n", key->path, type_name(key->type),
           *key->fallback ? key->fallback : "''", key->help, status_name(key->status));
    if (key->choices)
        printf("    one of: %s\n", key->choices);
}

/* The keys that act, or with --all every key; those that mention a given word. */
static int keys(const fmq_arguments_t *arguments, const fmq_words_t *words, fmq_error_t *err)
{
    size_t count = 0, shown = 0, hidden = 0;
    const fmq_key_t *table = fmq_config_keys(&count);
    for (size_t i = 0; i < count; i++) {
        if (!mentions(&table[i], words))
            continue;
        if (table[i].status != FMQ_KEY_ACTED_ON && !arguments->all) {
            hidden++;
            continue;
        }
        print_key(&table[i]);
        shown++;
    }
    if (shown == 0 && hidden > 0)
        return fmq_error_set(err, FMQ_ERR_NOTFOUND,
                             "no key that acts here mentions '%s'; --all shows %zu without effect",
                             words->items[0], hidden);
    if (shown == 0)
        return fmq_error_set(err, FMQ_ERR_NOTFOUND, "no key mentions '%s'", words->items[0]);
    if (hidden > 0)
        printf("\n(%zu more without effect here; --all shows them)\n", hidden);
    return 0;
}

static const struct {
    const char *word;
    int (*run)(const fmq_arguments_t *arguments, const fmq_words_t *words, fmq_error_t *err);
} verbs[] = {{"check", check}, {"show", show}, {"keys", keys}};

/* check and show: [FILE] [KEY VALUE ...], FILE as with --cfg. */
static int run_on_file(int (*verb)(const fmq_arguments_t *, const fmq_words_t *, fmq_error_t *),
                       const fmq_arguments_t *given, const fmq_words_t *words, fmq_error_t *err)
{
    fmq_arguments_t arguments = *given;
    fmq_words_t rest = *words, pairs;
    bool named =
        rest.size > 0 && (fmq_words_is_file(rest.items[0]) || access(rest.items[0], F_OK) == 0);
    if (named && !arguments.cfg) {
        arguments.cfg = rest.items[0];
        rest.items++;
        rest.size--;
    }
    int result = fmq_words_pair(&rest, &pairs, err);
    if (result == 0)
        result = verb(&arguments, &pairs, err);
    fmq_words_release(&pairs);
    return result;
}

static int run(const fmq_arguments_t *arguments, const fmq_words_t *words, fmq_error_t *err)
{
    char nearest[FMQ_NEAREST_MAX];
    const char *word = words->size > 0 ? words->items[0] : "";
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(verbs[i].word, word) != 0)
            continue;
        if (arguments->json && verbs[i].run != check)
            return fmq_error_set(err, FMQ_ERR_CONFIG,
                                 "--json is for config check; '%s' has no "
                                 "other form",
                                 word);
        fmq_words_t rest = {.items = words->items + 1, .size = words->size - 1};
        return verbs[i].run == keys ? keys(arguments, &rest, err)
                                    : run_on_file(verbs[i].run, arguments, &rest, err);
    }
    fmq_nearest_choice("check|show|keys", word, nearest);
    return fmq_error_set(err, FMQ_ERR_CONFIG, "'%s': check, show or keys is expected%s%s%s", word,
                         *nearest ? "; did you mean '" : "", nearest, *nearest ? "'?" : "");
}

const fmq_command_t fmq_command_config = {
    .name = "config",
    .words = "check [FILE] [KEY VALUE ...] | show [FILE] [KEY VALUE ...] | keys [WORD]",
    .summary = "Says whether a run could start, shows a configuration, or lists the keys",
    .options = options,
    .rule = FMQ_WORDS_ANY,
    .run = run};
