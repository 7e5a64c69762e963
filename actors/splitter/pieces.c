/*
 * pieces.c - a data set, cut into what each client and the server hold.
 */
#include "actors/splitter/pieces.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "actors/settings/settings.h"
#include "actors/splitter/dealing.h"
#include "fedmq/extend/splitter.h"

struct fmq_pieces {
    fmq_split_settings_t split;
    llm_records_t *records; /* owned */
    llm_part_t three[3];    /* train, val, test of all records */
    llm_part_t *parts[3];   /* owned arrays: [split.parts] of each */
    char told[FMQ_DEALING_BYTES];
};

llm_records_t *fmq_pieces_load(const fmq_config_t *config, fmq_error_t *err)
{
    llm_record_fields_t fields;
    if (llm_record_fields_parse(&fields, fmq_config_text(config, "fedmq.data_fields"), err) < 0) {
        fmq_error_prefix(err, "fedmq.data_fields");
        return NULL;
    }
    llm_records_source_t source = {
        .root = fmq_config_text(config, "data.root"),
        .type = fmq_config_text(config, "data.type"),
        .subsample = fmq_config_real(config, "data.subsample"),
        .file = fmq_config_text(config, "data.file_path"),
        .seed = FMQ_SETTINGS_SPLIT_SEED,
        .keys = &fields.keys,
        .by_category = strcasecmp(fmq_config_text(config, "data.splitter"), "meta") == 0};
    llm_records_t *records = llm_records_new();
    if (!records)
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for records");
    else if (llm_records_load_source(records, &source, err) < 0)
        llm_records_destroy(&records);
    return records;
}

/* What the splitter really did, for the log. */
static void tell(fmq_pieces_t *self, const char *const warnings[3], fmq_log_t *log)
{
    static const char *const names[3] = {"train", "val", "test"};
    static const char *const ways[] = {[LLM_SPLIT_IID] = "iid",
                                       [LLM_SPLIT_LDA] = "lda",
                                       [LLM_SPLIT_META] = "meta",
                                       [LLM_SPLIT_OWN] = NULL};
    bool fell_back = warnings[0] && strstr(warnings[0], "falls back");
    llm_splitter_t how = fell_back ? LLM_SPLIT_IID : self->split.how;
    const fmq_dealing_t dealing = {.records = self->records,
                                   .how = self->split.own ? self->split.own->name : ways[how],
                                   .parts = {self->parts[0], self->parts[1], self->parts[2]},
                                   .clients = self->split.parts,
                                   .counts = how == LLM_SPLIT_LDA,
                                   .categories = how != LLM_SPLIT_IID};
    for (size_t part = 0; part < 3; part++)
        if (warnings[part] && self->three[part].size > 0)
            fmq_log_write(log, FMQ_LOG_WARNING, "splitter", "split", "part=%s warning=\"%s\"",
                          names[part], warnings[part]);
    fmq_dealing_describe(&dealing, self->told);
    fmq_log_write(log, FMQ_LOG_INFO, "splitter", "split", "text=\"%s\"", self->told);
}

/* An extension's splitter, and what it may read. */
typedef struct {
    const fmq_splitter_t *splitter;
    const fmq_config_t *config;
} own_t;

static int deal_own(void *argument, const llm_split_deal_t *deal, uint32_t *owner, fmq_error_t *err)
{
    const own_t *own = argument;
    return own->splitter->deal(deal, own->config, owner, err);
}

static int split_parts(fmq_pieces_t *self, const fmq_config_t *config, fmq_log_t *log,
                       fmq_error_t *err)
{
    own_t own = {self->split.own, config};
    const char *warnings[3] = {NULL, NULL, NULL};
    const llm_split_how_t how = {.how = self->split.how,
                                 .alpha = self->split.alpha,
                                 .clients = self->split.parts,
                                 .seed = FMQ_SETTINGS_SPLIT_SEED,
                                 .apart = self->split.apart,
                                 .deal = deal_own,
                                 .argument = &own};
    for (size_t part = 0; part < 3; part++)
        if (!(self->parts[part] = calloc(self->split.parts, sizeof *self->parts[part])))
            return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for %u shards",
                                 self->split.parts);
    if (llm_split_clients_three(self->records, self->three, &how, self->parts, warnings, err) < 0)
        return self->split.own ? fmq_error_prefix(err, "splitter '%s'", self->split.own->name) : -1;
    tell(self, warnings, log);
    return 0;
}

fmq_pieces_t *fmq_pieces_new(const fmq_config_t *config, fmq_log_t *log, fmq_error_t *err)
{
    fmq_pieces_t *self = calloc(1, sizeof *self);
    if (!self) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a data set");
        return NULL;
    }
    if (fmq_settings_split(config, &self->split, err) < 0 ||
        (self->records = fmq_pieces_load(config, err)) == NULL ||
        llm_split_three(llm_records_size(self->records), self->split.train, self->split.val,
                        FMQ_SETTINGS_SPLIT_SEED, self->three, err) < 0)
        goto fail;
    if (split_parts(self, config, log, err) < 0)
        goto fail;
    return self;
fail:
    fmq_pieces_destroy(&self);
    return NULL;
}

void fmq_pieces_destroy(fmq_pieces_t **self_p)
{
    fmq_pieces_t *self = *self_p;
    if (!self)
        return;
    for (size_t part = 0; part < 3; part++) {
        llm_part_release(&self->three[part]);
        for (uint32_t i = 0; self->parts[part] && i < self->split.parts; i++)
            llm_part_release(&self->parts[part][i]);
        free(self->parts[part]);
    }
    llm_records_destroy(&self->records);
    free(self);
    *self_p = NULL;
}

const char *fmq_pieces_told(const fmq_pieces_t *self)
{
    return self->told;
}

uint32_t fmq_pieces_clients(const fmq_pieces_t *self)
{
    return self->split.clients;
}

llm_records_t *fmq_pieces_select(const llm_records_t *from, const llm_part_t *part,
                                 fmq_error_t *err)
{
    llm_records_t *records = llm_records_new();
    if (!records)
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for records");
    for (size_t i = 0; records && i < part->size; i++)
        if (llm_records_add(records, llm_records_at(from, part->items[i]), err) < 0)
            llm_records_destroy(&records);
    return records;
}

/* Which records client k holds of a part; NULL: none. */
static const llm_part_t *part_of(const fmq_pieces_t *self, uint32_t client, size_t part)
{
    if (client == 0)
        return part == 0 ? NULL : &self->three[part];
    uint32_t number = self->split.only > 0 ? self->split.only : client;
    return &self->parts[part][number - 1];
}

fmq_object_t *fmq_pieces_shard(const fmq_pieces_t *self, uint32_t client, uint64_t counts[3],
                               fmq_error_t *err)
{
    llm_records_t *records[3] = {NULL};
    fmq_object_t *object = NULL;
    if (client > self->split.clients) {
        fmq_error_set(err, FMQ_ERR_NOTFOUND, "client %u of %u has no shard", client,
                      self->split.clients);
        return NULL;
    }
    for (size_t part = 0; part < 3; part++) {
        const llm_part_t *mine = part_of(self, client, part);
        if (mine && (records[part] = fmq_pieces_select(self->records, mine, err)) == NULL)
            goto done;
    }
    object = fmq_shard_encode((const llm_records_t *const *)records, err);
    for (size_t part = 0; object && part < 3; part++)
        counts[part] = records[part] ? llm_records_size(records[part]) : 0;
done:
    for (size_t part = 0; part < 3; part++)
        llm_records_destroy(&records[part]);
    return object;
}

int fmq_pieces_held(const fmq_config_t *config, llm_records_t *out[3], fmq_error_t *err)
{
    fmq_split_settings_t split;
    llm_part_t parts[3] = {{0}};
    llm_records_t *records = NULL;
    int rc = -1;
    for (size_t i = 0; i < 3; i++)
        out[i] = NULL;
    if (fmq_settings_split(config, &split, err) < 0 ||
        (records = fmq_pieces_load(config, err)) == NULL)
        return -1;
    if (llm_split_three(llm_records_size(records), split.train, split.val, FMQ_SETTINGS_SPLIT_SEED,
                        parts, err) < 0)
        goto fail;
    for (size_t i = 1; i < 3; i++)
        if ((out[i] = fmq_pieces_select(records, &parts[i], err)) == NULL)
            goto fail;
    rc = 0;
fail:
    for (size_t i = 0; i < 3; i++) {
        llm_part_release(&parts[i]);
        if (rc < 0)
            llm_records_destroy(&out[i]);
    }
    llm_records_destroy(&records);
    return rc;
}
