/*
 * list.c - fedmq list: what may be chosen by name, from the tables themselves.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "actors/launcher/command.h"
#include "actors/settings/settings.h"
#include "actors/strategy/strategy.h"
#include "base/nearest.h"
#include "fedmq/extend/rule.h"
#include "fedmq/extend/sampler.h"
#include "fedmq/llm/records.h"

static const fmq_option_t options[] = {FMQ_ROW_LOAD, FMQ_ROW_JSON, FMQ_ROWS_END};

static const struct {
    const char *name;
    const char *key; /* that chooses one */
    const char *(*at)(size_t index, const char **help);
} kinds[] = {{"strategies", "federate.method", fmq_strategy_at},
             {"rules", "aggregator.robust_rule", fmq_rule_at},
             {"samplers", "federate.sampler", fmq_sampler_at},
             {"codecs", "fedmq.codec", fmq_codec_at},
             {"splitters", "data.splitter", fmq_splitter_at},
             {"data", "data.type", llm_records_type_at}};

#define KINDS      (sizeof kinds / sizeof *kinds)
#define NAME_WIDTH 18

static int print_json(size_t kind, const char *name, const char *help, fmq_error_t *err)
{
    json_t *row = json_pack("{s:s, s:s, s:s, s:s}", "kind", kinds[kind].name, "key",
                            kinds[kind].key, "name", name, "help", help);
    char *text = row ? json_dumps(row, JSON_COMPACT) : NULL;
    json_decref(row);
    if (!text)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a list");
    puts(text);
    free(text);
    return 0;
}

static int print_row(size_t kind, bool json, const char *name, const char *help, fmq_error_t *err)
{
    if (json)
        return print_json(kind, name, help, err);
    printf("  %-*s %s\n", NAME_WIDTH, name, help);
    return 0;
}

/* fedmq's own, then what extensions have brought. */
static int print_kind(size_t kind, const fmq_arguments_t *arguments, fmq_error_t *err)
{
    const char *help, *name;
    const fmq_config_offers_t *offers = arguments->offers;
    if (!arguments->json)
        printf("%s (%s)\n", kinds[kind].name, kinds[kind].key);
    for (size_t i = 0; (name = kinds[kind].at(i, &help)); i++)
        if (print_row(kind, arguments->json, name, help, err) < 0)
            return -1;
    for (size_t i = 0; offers && i < offers->size; i++) {
        const fmq_config_offer_t *offer = &offers->items[i];
        if (strcmp(offer->key, kinds[kind].key) == 0 &&
            print_row(kind, arguments->json, offer->name, offer->help, err) < 0)
            return -1;
    }
    return 0;
}

static int unknown(const char *word, fmq_error_t *err)
{
    char all[256] = "", nearest[FMQ_NEAREST_MAX];
    for (size_t i = 0; i < KINDS; i++)
        (void)snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? "|" : "",
                       kinds[i].name);
    fmq_nearest_choice(all, word, nearest);
    return fmq_error_set(err, FMQ_ERR_CONFIG, "there is no list '%s'%s%s%s; choose %s", word,
                         *nearest ? "; did you mean '" : "", nearest, *nearest ? "'?" : "", all);
}

static int run(const fmq_arguments_t *arguments, const fmq_words_t *words, fmq_error_t *err)
{
    for (size_t i = 0; words->size == 0 && i < KINDS; i++)
        if (print_kind(i, arguments, err) < 0)
            return -1;
    for (size_t w = 0; w < words->size; w++) {
        size_t kind = 0;
        while (kind < KINDS && strcmp(kinds[kind].name, words->items[w]) != 0)
            kind++;
        if (kind == KINDS)
            return unknown(words->items[w], err);
        if (print_kind(kind, arguments, err) < 0)
            return -1;
    }
    return 0;
}

const fmq_command_t fmq_command_list = {
    .name = "list",
    .words = "[strategies] [rules] [samplers] [codecs] [splitters] [data]",
    .summary = "Lists what may be chosen by name, with a line about each",
    .options = options,
    .rule = FMQ_WORDS_ANY,
    .run = run};
