/*
 * extensions.c - loads an extension, looks at its table, and puts its names beside fedmq's own.
 */
#include "actors/launcher/extensions.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "actors/settings/settings.h"
#include "actors/strategy/strategy.h"
#include "base/module.h"
#include "fedmq/extend/extension.h"

#define NAME_MAX_BYTES 32 /* with NUL: of a name that is chosen by a key */

struct fmq_extensions {
    fmq_config_offer_t items[FMQ_EXTENSIONS_OFFERS_MAX];
    fmq_config_offers_t offers; /* over items */
};

/* What a name may be of; at: fedmq's own. */
typedef struct {
    const char *what, *key;
    const char *(*at)(size_t index, const char **help);
} kind_t;

static const kind_t strategies = {"strategy", "federate.method", fmq_strategy_at};
static const kind_t rules = {"rule", "aggregator.robust_rule", fmq_rule_at};
static const kind_t samplers = {"sampler", "federate.sampler", fmq_sampler_at};
static const kind_t splitters = {"splitter", "data.splitter", fmq_splitter_at};
static const kind_t codecs = {"codec", "fedmq.codec", fmq_codec_at};
static const kind_t keys = {"key", "fedmq.extension", NULL};

/* One that is being loaded; what it adds counts once all of it was right. */
typedef struct {
    fmq_extensions_t *all;
    const fmq_extension_t *table;
    size_t size; /* of all->items, with those of this one */
} loading_t;

fmq_extensions_t *fmq_extensions_new(void)
{
    fmq_extensions_t *self = calloc(1, sizeof *self);
    if (self)
        self->offers.items = self->items;
    return self;
}

void fmq_extensions_destroy(fmq_extensions_t **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

const fmq_config_offers_t *fmq_extensions_offers(const fmq_extensions_t *self)
{
    return &self->offers;
}

/* A word that can be a value on a command line and in a table. */
static bool is_name(const char *name)
{
    size_t length = name ? strnlen(name, NAME_MAX_BYTES) : 0;
    return length > 0 && length < NAME_MAX_BYTES &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == length;
}

static bool is_taken(const loading_t *self, const kind_t *kind, const char *name)
{
    const char *own, *help;
    for (size_t i = 0; kind->at && (own = kind->at(i, &help)); i++)
        if (strcasecmp(own, name) == 0)
            return true;
    for (size_t i = 0; i < self->size; i++)
        if (strcmp(self->all->items[i].key, kind->key) == 0 &&
            strcmp(self->all->items[i].name, name) == 0)
            return true;
    return false;
}

/* lacks: the member of its table that is NULL and may not be; NULL: it has all. */
static int add(loading_t *self, const kind_t *kind, const fmq_config_offer_t *offer,
               const char *lacks, fmq_error_t *err)
{
    if (!is_name(offer->name))
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                             "a %s has no name of 1 to %d small letters, digits, '_' and '-'",
                             kind->what, NAME_MAX_BYTES - 1);
    if (!offer->help || !*offer->help || strpbrk(offer->help, "\r\n"))
        lacks = "help of one line";
    if (lacks)
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED, "%s '%s' has no %s", kind->what, offer->name,
                             lacks);
    if (is_taken(self, kind, offer->name))
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "there is a %s '%s' already; give it another name", kind->what,
                             offer->name);
    if (self->size == FMQ_EXTENSIONS_OFFERS_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "extensions bring more than %d names",
                             FMQ_EXTENSIONS_OFFERS_MAX);
    self->all->items[self->size] = *offer;
    self->all->items[self->size++].key = kind->key;
    return 0;
}

static int add_strategies(loading_t *self, fmq_error_t *err)
{
    const fmq_strategy_ops_t *const *at = self->table->strategies;
    for (; at && *at; at++) {
        const fmq_config_offer_t offer = {.name = (*at)->name, .help = (*at)->help, .thing = *at};
        const char *lacks = (*at)->create && !(*at)->destroy ? "destroy() beside create()" : NULL;
        if (!lacks && !(*at)->create &&
            ((*at)->accept || (*at)->sections || (*at)->prepare || (*at)->beside))
            lacks = "create() to keep what its other functions use";
        if (!lacks && !(*at)->aggregate && !(*at)->exchanges)
            lacks = "aggregate(), nor exchanges() that need none";
        if (add(self, &strategies, &offer, lacks, err) < 0)
            return -1;
    }
    return 0;
}

static int add_rules(loading_t *self, fmq_error_t *err)
{
    const fmq_rule_t *const *at = self->table->rules;
    for (; at && *at; at++) {
        const fmq_config_offer_t offer = {.name = (*at)->name, .help = (*at)->help, .thing = *at};
        const char *lacks = !(*at)->scratch ? "scratch()" : !(*at)->fold ? "fold()" : NULL;
        if (add(self, &rules, &offer, lacks, err) < 0)
            return -1;
    }
    return 0;
}

static int add_samplers(loading_t *self, fmq_error_t *err)
{
    const fmq_sampler_t *const *at = self->table->samplers;
    for (; at && *at; at++) {
        const fmq_config_offer_t offer = {.name = (*at)->name, .help = (*at)->help, .thing = *at};
        if (add(self, &samplers, &offer, (*at)->choose ? NULL : "choose()", err) < 0)
            return -1;
    }
    return 0;
}

static int add_splitters(loading_t *self, fmq_error_t *err)
{
    const fmq_splitter_t *const *at = self->table->splitters;
    for (; at && *at; at++) {
        const fmq_config_offer_t offer = {.name = (*at)->name, .help = (*at)->help, .thing = *at};
        if (add(self, &splitters, &offer, (*at)->deal ? NULL : "deal()", err) < 0)
            return -1;
    }
    return 0;
}

/* Numbers and sizes of the one that was added last: what is on the wire must be told apart, and
 * must fit into a chunk. */
static int check_codec(const loading_t *self, const fmq_codec_ops_t *codec, fmq_error_t *err)
{
    size_t before = 0;
    if (codec->number < FMQ_CODEC_OWN_FIRST || codec->number > FMQ_CODEC_OWN_LAST)
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                             "codec '%s' has number %u; extensions' are %u to %u", codec->name,
                             codec->number, FMQ_CODEC_OWN_FIRST, FMQ_CODEC_OWN_LAST);
    for (size_t i = 0; i + 1 < self->size; i++) {
        const fmq_codec_ops_t *other = self->all->items[i].thing;
        if (strcmp(self->all->items[i].key, codecs.key) != 0)
            continue;
        if (other->number == codec->number)
            return fmq_error_set(err, FMQ_ERR_CONFIG,
                                 "codec '%s' has number %u, which is that of '%s'", codec->name,
                                 codec->number, other->name);
        before++;
    }
    if (before == FMQ_SCHEMA_CODECS_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "extensions bring more than %d codecs",
                             FMQ_SCHEMA_CODECS_MAX);
    if (codec->bytes(1) > FMQ_CODEC_ONE_MAX ||
        codec->bytes(FMQ_STATE_RANGE_MAX) > FMQ_STATE_RANGE_MAX * sizeof(float))
        return fmq_error_set(
            err, FMQ_ERR_UNSUPPORTED,
            "codec '%s' takes %zu bytes for one element and %zu for %u; at most %u "
            "and 4 each are allowed",
            codec->name, codec->bytes(1), codec->bytes(FMQ_STATE_RANGE_MAX), FMQ_STATE_RANGE_MAX,
            FMQ_CODEC_ONE_MAX);
    return 0;
}

static int add_codecs(loading_t *self, fmq_error_t *err)
{
    const fmq_codec_ops_t *const *at = self->table->codecs;
    for (; at && *at; at++) {
        const fmq_config_offer_t offer = {.name = (*at)->name, .help = (*at)->help, .thing = *at};
        const char *lacks = !(*at)->bytes    ? "bytes()"
                            : !(*at)->encode ? "encode()"
                            : !(*at)->decode ? "decode()"
                                             : NULL;
        if (add(self, &codecs, &offer, lacks, err) < 0 || check_codec(self, *at, err) < 0)
            return -1;
    }
    return 0;
}

static int add_keys(loading_t *self, fmq_error_t *err)
{
    const char *const *at = self->table->keys;
    for (; at && *at; at++) {
        const fmq_config_offer_t offer = {.name = *at, .help = "of an extension"};
        if (add(self, &keys, &offer, NULL, err) < 0)
            return -1;
    }
    return 0;
}

/* Is this a table that can be read at all? */
static int check_table(const fmq_extension_t *table, fmq_error_t *err)
{
    static const uint32_t sizes[FMQ_EXTENSION_SIZES_MAX] = FMQ_EXTENSION_SIZES;
    if (table->magic != FMQ_EXTENSION_MAGIC)
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "its " FMQ_EXTENSION_SYMBOL " is no table of an extension; define it "
                             "with FMQ_EXTENSION() of fedmq/extend/extension.h");
    if (table->table != FMQ_EXTENSION_TABLE)
        return fmq_error_set(
            err, FMQ_ERR_MISMATCH,
            "it was built for version %u of the extensions' table, this is version "
            "%u; build it again with this fedmq's headers",
            table->table, FMQ_EXTENSION_TABLE);
    for (size_t i = 0; i < FMQ_EXTENSION_SIZES_MAX; i++)
        if (table->sizes[i] != sizes[i])
            return fmq_error_set(err, FMQ_ERR_MISMATCH,
                                 "it was built with other headers (struct %zu has %u bytes there, "
                                 "%u here); build it again with this fedmq's headers",
                                 i, table->sizes[i], sizes[i]);
    if (!is_name(table->name))
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED, "it has no name");
    return 0;
}

/* A name without a slash is a file here, and not one that the loader looks for; what is not a
 * file (a FIFO, say) would be waited for. */
static int find_file(const char *file, char path[PATH_MAX], fmq_error_t *err)
{
    struct stat status;
    int size = snprintf(path, PATH_MAX, "%s%s", strchr(file, '/') ? "" : "./", file);
    if (size < 0 || size >= PATH_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "the path is too long");
    if (stat(path, &status) < 0)
        return fmq_error_set(err, errno == ENOENT ? FMQ_ERR_NOTFOUND : FMQ_ERR_IO, "%s",
                             strerror(errno));
    if (!S_ISREG(status.st_mode))
        return fmq_error_set(err, FMQ_ERR_FORMAT, "it is no file");
    return 0;
}

static void describe(const loading_t *self, const char *file, char *line)
{
    size_t used = (size_t)snprintf(line, FMQ_EXTENSIONS_LINE_MAX, "loaded %.400s (%s):", file,
                                   self->table->name);
    for (size_t i = self->all->offers.size; i < self->size && used < FMQ_EXTENSIONS_LINE_MAX; i++) {
        const fmq_config_offer_t *offer = &self->all->items[i];
        used += (size_t)snprintf(line + used, FMQ_EXTENSIONS_LINE_MAX - used, "%s %s %s",
                                 i == self->all->offers.size ? "" : ",", offer->key, offer->name);
    }
}

static int load(loading_t *self, const char *path, fmq_error_t *err)
{
    fmq_error_t why = {0};
    void *symbol = NULL;
    if (fmq_module_symbol(path, FMQ_EXTENSION_SYMBOL, &symbol, &why) < 0 &&
        why.code == FMQ_ERR_MISMATCH)
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "it is no extension of fedmq: %.200s; define it with FMQ_EXTENSION() "
                             "of fedmq/extend/extension.h",
                             why.text);
    if (why.code != FMQ_OK)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "it cannot be loaded: %s", why.text);
    self->table = symbol;
    if (check_table(self->table, err) < 0 || add_strategies(self, err) < 0 ||
        add_rules(self, err) < 0 || add_samplers(self, err) < 0 || add_splitters(self, err) < 0 ||
        add_codecs(self, err) < 0 || add_keys(self, err) < 0)
        return -1;
    if (self->size == self->all->offers.size)
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED, "it brings nothing");
    return 0;
}

int fmq_extensions_load(fmq_extensions_t *self, const char *file,
                        char line[FMQ_EXTENSIONS_LINE_MAX], fmq_error_t *err)
{
    char path[PATH_MAX];
    loading_t loading = {.all = self, .size = self->offers.size};
    if (find_file(file, path, err) < 0 || load(&loading, path, err) < 0)
        return fmq_error_prefix(err, "extension '%.400s'", file);
    describe(&loading, file, line);
    self->offers.size = loading.size;
    return 0;
}
