/*
 * aligner.c - blocks of llm_align_run() over the training share of the public
 * records, with the options of the block.
 */
#include "actors/server/aligner.h"

#include <stdlib.h>

#include "actors/server/heldout.h"
#include "actors/splitter/public.h"
#include "fedmq/llm/align.h"

struct fmq_aligner {
    const fmq_context_t *context;           /* borrowed */
    const fmq_offsite_settings_t *settings; /* borrowed */
    llm_dataset_t *data;                    /* owned */
    llm_prefix_cache_t *cache;              /* owned, or NULL: nothing is kept */
};

static int load(fmq_aligner_t *self, fmq_error_t *err)
{
    llm_records_t *parts[3] = {NULL};
    if (fmq_public_load(self->settings, parts, err) < 0)
        return -1;
    self->data = fmq_heldout_tokenize(self->context, parts[0], "alignment", err);
    for (size_t i = 0; i < 3; i++)
        llm_records_destroy(&parts[i]);
    return self->data ? 0 : fmq_error_prefix(err, "llm.offsite_tuning.emu_align.data");
}

fmq_aligner_t *fmq_aligner_new(const fmq_context_t *context, const fmq_offsite_settings_t *settings,
                               fmq_error_t *err)
{
    fmq_aligner_t *self = calloc(1, sizeof *self);
    if (!self) {
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for an alignment");
        return NULL;
    }
    self->context = context;
    self->settings = settings;
    if (load(self, err) < 0)
        goto fail;
    if (llm_dataset_size(self->data) == 0) {
        (void)fmq_error_set(err, FMQ_ERR_CONFIG,
                            "llm.offsite_tuning.emu_align.data: no record of the training share "
                            "has a token to learn within llm.tok_len");
        goto fail;
    }
    if (context->prefixes && !(self->cache = llm_prefix_cache_new(context->prefixes, err)))
        goto fail;
    return self;
fail:
    fmq_aligner_destroy(&self);
    return NULL;
}

void fmq_aligner_destroy(fmq_aligner_t **self_p)
{
    fmq_aligner_t *self = *self_p;
    if (!self)
        return;
    llm_prefix_cache_destroy(&self->cache);
    llm_dataset_destroy(&self->data);
    free(self);
    *self_p = NULL;
}

static int put(fmq_metrics_t *metrics, const llm_align_options_t *options,
               const llm_align_stats_t *stats, fmq_error_t *err)
{
    const struct {
        const char *name;
        double value;
        bool computed;
    } rows[] = {{"align_loss", stats->loss, true},
                {"align_sim", stats->sim, options->sim_weight > 0},
                {"align_kl", stats->kl, options->kl_weight > 0},
                {"align_lm", stats->lm, options->lm_weight > 0},
                {"align_steps", (double)stats->steps, true},
                {"align_nan_batches", (double)stats->nan_batches, true},
                {"align_seconds", stats->seconds, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].computed && fmq_metrics_set(metrics, rows[i].name, rows[i].value, err) < 0)
            return -1;
    return 0;
}

int fmq_aligner_run(void *argument, const fmq_alignment_t *block, fmq_metrics_t *metrics,
                    fmq_error_t *err)
{
    fmq_aligner_t *self = argument;
    llm_align_options_t options = block->first ? self->settings->first : self->settings->later;
    llm_align_stats_t stats = {0};
    fmq_heldout_stop_t stop = {block->progress, block->argument};
    options.train.client = 0;
    options.train.round = block->block;
    llm_align_t align = {.offsite = self->context->offsite,
                         .data = self->data,
                         .options = &options,
                         .cache = self->cache,
                         .be = fmq_devices_take(self->context->permits, fmq_heldout_stop, &stop),
                         .progress = block->progress,
                         .argument = block->argument};
    if (!align.be)
        return fmq_error_set(err, FMQ_ERR_STOPPED, "stopped while waiting for a permit");
    int rc = llm_align_run(&align, block->state, block->emulator, &stats, err);
    fmq_devices_give(self->context->permits, &align.be);
    return rc < 0 ? -1 : put(metrics, &options, &stats, err);
}
