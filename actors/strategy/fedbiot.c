/*
 * fedbiot.c - FedBiOT (Wu et al. 2024) and offsite tuning: when the emulator is
 * aligned, and what of it clients get.
 *
 * A block that is stopped leaves no trace, and every block has random streams of
 * its own, so that a run which was killed anywhere reaches the same bytes.
 */
#include "actors/strategy/fedbiot.h"

#include <stdlib.h>
#include <string.h>

#include "actors/storage/directory.h"
#include "actors/storage/file.h"

typedef struct {
    fmq_fedbiot_options_t options;
    const fmq_schema_t *schema; /* borrowed: of the state */
    fmq_strategy_t inner;       /* whose aggregation goes on inside */
    float *emulator;            /* owned */
    float *sent;                /* owned: what clients get in its place; NULL: emulator itself */
    bool began_whole;           /* nothing was left to align when this process began */
} fedbiot_t;

static void destroy(void *argument)
{
    fedbiot_t *self = argument;
    fmq_strategy_close(&self->inner);
    free(self->emulator);
    free(self->sent);
    free(self);
}

static int new (const fmq_strategy_setup_t *setup, void **out, fmq_error_t *err)
{
    fedbiot_t *self = calloc(1, sizeof *self);
    if (!self)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for offsite tuning");
    self->options = *setup->offsite;
    self->schema = setup->schema;
    size_t elements = (size_t)fmq_schema_elements(self->options.schema);
    self->emulator = calloc(elements ? elements : 1, sizeof *self->emulator);
    if (self->options.sent_once)
        self->sent = calloc(elements ? elements : 1, sizeof *self->sent);
    if (!self->emulator || (self->options.sent_once && !self->sent)) {
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for an emulator of %zu elements",
                            elements);
        goto fail;
    }
    memcpy(self->emulator, self->options.initial, elements * sizeof *self->emulator);
    self->began_whole = self->options.aligned >= self->options.first_blocks;
    if (fmq_strategy_make(&self->inner, setup->method, setup, err) < 0)
        goto fail;
    *out = self;
    return 0;
fail:
    destroy(self);
    return -1;
}

static void sections(void *argument, fmq_sections_t *out)
{
    fedbiot_t *self = argument;
    (void)fmq_sections_add(out, FMQ_SECTION_EMULATOR, self->options.schema, self->emulator);
    fmq_strategy_sections(&self->inner, out);
}

static uint32_t prepared(const void *argument)
{
    return ((const fedbiot_t *)argument)->options.aligned;
}

static size_t exchanges(const void *argument, fmq_exchange_t out[FMQ_EXCHANGES_MAX])
{
    return fmq_strategy_exchanges(&((const fedbiot_t *)argument)->inner, out);
}

static int accept(void *argument, size_t exchange, uint32_t client,
                  const fmq_message_report_t *report, fmq_error_t *why)
{
    return fmq_strategy_accept(&((fedbiot_t *)argument)->inner, exchange, client, report, why);
}

static const float *beside(void *argument, const fmq_schema_t **schema)
{
    const fedbiot_t *self = argument;
    *schema = self->options.schema;
    return self->sent ? self->sent : self->emulator;
}

static int note_block(const fmq_strategy_host_t *host, uint32_t round, uint32_t block,
                      fmq_metrics_t *metrics, fmq_error_t *err)
{
    if (fmq_metrics_set(metrics, "align_block", block, err) < 0)
        return -1;
    return host->note(host->argument, round, "align", metrics, err);
}

/* Trains one block: DONE, STOPPED or FAILED. */
static fmq_step_t align(fedbiot_t *self, const fmq_strategy_host_t *host, bool first,
                        const float *state, fmq_metrics_t *metrics, fmq_error_t *err)
{
    const fmq_fedbiot_options_t *how = &self->options;
    uint32_t done = host->prepared;
    fmq_alignment_t alignment = {.block = first ? done : how->first_blocks + host->round,
                                 .first = first,
                                 .state = state,
                                 .emulator = self->emulator,
                                 .progress = host->progress,
                                 .argument = host->argument};
    host->began(host->argument, first ? done + 1 : 1, first ? how->first_blocks : 0);
    metrics->size = 0;
    fmq_error_t why; /* being told to stop is no error of the run's */
    int rc = how->align(how->argument, &alignment, metrics, &why);
    if (rc == 0)
        return FMQ_STEP_DONE;
    if (host->stopped(host->argument))
        return FMQ_STEP_STOPPED;
    (void)fmq_error_copy(err, &why);
    return FMQ_STEP_FAILED;
}

/* Clients of the released FedBiOT keep the emulator of round 0, which later
 * checkpoints do not hold. */
static int keep_first(fedbiot_t *self, const fmq_strategy_host_t *host, const float *state,
                      fmq_error_t *err)
{
    char *path = fmq_file_path(err, "%s/sent.state", host->checkpoints);
    size_t size = (size_t)fmq_schema_elements(self->schema);
    float *copy = path ? malloc((size ? size : 1) * sizeof *copy) : NULL;
    fmq_sections_t all = {.passed_over = FMQ_SECTION_METHOD};
    fmq_checkpoint_t mark;
    int rc = -1;
    if (path && !copy)
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for '%s'", path);
    if (!copy)
        goto fail;
    (void)fmq_sections_add(&all, FMQ_SECTION_STATE, self->schema, copy);
    (void)fmq_sections_add(&all, FMQ_SECTION_EMULATOR, self->options.schema, self->sent);
    if (host->round > 0) {
        rc = fmq_checkpoint_load(path, &all, &mark, err);
    } else {
        size_t elements = (size_t)fmq_schema_elements(self->options.schema);
        memcpy(self->sent, self->emulator, elements * sizeof *self->sent);
        memcpy(copy, state, size * sizeof *copy);
        rc = fmq_checkpoint_save(path, host->mark, &all, err);
    }
fail:
    free(copy);
    free(path);
    return rc;
}

static int save_as(const fedbiot_t *self, const char *prefix, fmq_error_t *err)
{
    const fmq_fedbiot_options_t *how = &self->options;
    if (!prefix)
        return how->save(how->argument, self->emulator, how->save_to, err);
    char *path = fmq_prefixed_path(how->save_to, prefix, err);
    int rc = path ? how->save(how->argument, self->emulator, path, err) : -1;
    free(path);
    return rc;
}

/* Before round 0 as "0_<save_to>" too, where it will change. */
static int save(const fedbiot_t *self, bool first, fmq_error_t *err)
{
    const fmq_fedbiot_options_t *how = &self->options;
    if (!how->save || !*how->save_to)
        return 0;
    if (!first && !how->every_round) /* it is what it was before round 0 */
        return 0;
    if (first && how->every_round && save_as(self, "0", err) < 0)
        return -1;
    return save_as(self, NULL, err);
}

/* The blocks before round 0 that are not done yet, one a call. */
static fmq_step_t prepare(void *argument, const fmq_strategy_host_t *host, const float *state,
                          fmq_error_t *err)
{
    fedbiot_t *self = argument;
    const fmq_fedbiot_options_t *how = &self->options;
    fmq_metrics_t metrics;
    if (host->round == 0 && host->prepared < how->first_blocks) {
        fmq_step_t step = align(self, host, true, state, &metrics, err);
        if (step != FMQ_STEP_DONE)
            return step;
        return note_block(host, 0, host->prepared + 1, &metrics, err) < 0 ? FMQ_STEP_FAILED
                                                                          : FMQ_STEP_AGAIN;
    }
    if (self->sent && keep_first(self, host, state, err) < 0)
        return FMQ_STEP_FAILED;
    if (host->round == 0 && !self->began_whole && save(self, true, err) < 0)
        return FMQ_STEP_FAILED;
    return how->exit_after_align ? FMQ_STEP_OVER : FMQ_STEP_DONE;
}

/* The method's own, then a block over what came of it. */
static fmq_step_t aggregate(void *argument, const fmq_strategy_host_t *host,
                            const fmq_updates_t *updates, float *state, fmq_error_t *err)
{
    fedbiot_t *self = argument;
    fmq_metrics_t metrics;
    fmq_step_t step = fmq_strategy_aggregate(&self->inner, host, updates, state, err);
    if (step != FMQ_STEP_DONE || !self->options.every_round)
        return step;
    step = align(self, host, false, state, &metrics, err);
    if (step != FMQ_STEP_DONE)
        return step;
    uint32_t block = self->options.first_blocks + host->round + 1;
    return note_block(host, host->round + 1, block, &metrics, err) < 0 ? FMQ_STEP_FAILED
                                                                       : FMQ_STEP_DONE;
}

static int export(void *argument, const fmq_strategy_host_t *host, fmq_error_t *err)
{
    fedbiot_t *self = argument;
    return fmq_strategy_export(&self->inner, host, err) < 0 ? -1 : save(self, false, err);
}

const fmq_strategy_ops_t fmq_fedbiot_ops = {
    .name = "fedbiot",
    .help = "offsite tuning: an emulator in place of layers, aligned at the server",
    .create = new,
    .destroy = destroy,
    .exchanges = exchanges,
    .accept = accept,
    .prepared = prepared,
    .prepare = prepare,
    .aggregate = aggregate,
    .sections = sections,
    .beside = beside,
    .deliver = export};
