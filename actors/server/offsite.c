/*
 * offsite.c - the emulator that a run begins with, and the functions that the
 * coordinator aligns, saves and measures by.
 */
#include "actors/server/offsite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fedmq/actors/model_transfer.h"

static const char restore_key[] = "llm.offsite_tuning.emu_align.restore_from";

static int begin(fmq_offsite_t *self, fmq_error_t *err)
{
    const llm_offsite_t *offsite = self->context->offsite;
    uint64_t elements = fmq_schema_elements(llm_adapter_schema(offsite->state));
    uint64_t seed = (uint64_t)fmq_config_int(self->context->config, "seed");
    self->emulator = calloc(elements ? (size_t)elements : 1, sizeof *self->emulator);
    if (!self->emulator)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for an emulator of %llu elements",
                             (unsigned long long)elements);
    return llm_offsite_init_state(offsite, seed, self->emulator, err);
}

int fmq_offsite_open(fmq_offsite_t *self, const fmq_context_t *context, fmq_error_t *err)
{
    memset(self, 0, sizeof *self);
    self->context = context;
    if (fmq_settings_offsite(context->config, &self->settings, err) < 0)
        return -1;
    if (!self->settings.use)
        return 0;
    if (!context->offsite || !context->model)
        return fmq_error_set(err, FMQ_ERR_INTERNAL,
                             "llm.offsite_tuning.use: the server was given no emulator");
    if (begin(self, err) < 0)
        return -1;
    if (self->settings.align && !(self->aligner = fmq_aligner_new(context, &self->settings, err)))
        return -1;
    if (self->settings.full && !(self->held = fmq_heldout_new(context, &self->settings, err)))
        return -1;
    return 0;
}

/* FS-LLM names the same file in restore_from and save_to. */
int fmq_offsite_restore(fmq_offsite_t *self, fmq_error_t *err)
{
    const char *path = self->settings.restore_from;
    struct stat status;
    if (!self->aligner || !*path)
        return 0;
    if (stat(path, &status) < 0 && errno == ENOENT) {
        fmq_log_write(self->context->log, FMQ_LOG_INFO, "server", "emulator-not-restored",
                      "path=%s why=\"there is none yet: it is aligned\"", path);
        return 0;
    }
    if (llm_adapter_load(self->context->offsite->state, path, self->emulator, err) < 0)
        return fmq_error_prefix(err, "%s", restore_key);
    self->aligned = self->settings.first_blocks;
    return 0;
}

void fmq_offsite_release(fmq_offsite_t *self)
{
    fmq_aligner_destroy(&self->aligner);
    fmq_heldout_destroy(&self->held);
    free(self->emulator);
    memset(self, 0, sizeof *self);
}

static int align(void *argument, const fmq_alignment_t *block, fmq_metrics_t *metrics,
                 fmq_error_t *err)
{
    return fmq_aligner_run(((fmq_offsite_t *)argument)->aligner, block, metrics, err);
}

/* As an adapter of the client's model: E's layers are named as they are there. */
static int save(void *argument, const float *emulator, const char *directory, fmq_error_t *err)
{
    const fmq_context_t *context = ((fmq_offsite_t *)argument)->context;
    return llm_adapter_save(context->offsite->state, emulator, llm_model_directory(context->model),
                            NULL, FMQ_F32, directory, err);
}

static int publish(void *argument, fmq_link_t *link, fmq_digest_t *manifest, uint64_t *bytes,
                   fmq_error_t *err)
{
    const fmq_offsite_t *self = argument;
    const llm_offsite_t *offsite = self->context->offsite;
    const fmq_model_offer_t offer = {.offsite = offsite,
                                     .tokenizer = llm_model_directory(offsite->teacher),
                                     .pins = self->context->pins};
    fmq_blob_t part;
    if (fmq_model_publish(link, &offer, &part, err) < 0)
        return -1;
    *manifest = part.digest;
    *bytes = part.bytes;
    return 0;
}

/* The whole model with what was trained merged in, in full precision: with
 * offsite tuning what it computes is what was measured as `plugin.`. */
static int save_whole(void *argument, const float *state, const char *directory, fmq_error_t *err)
{
    const fmq_context_t *context = ((const fmq_offsite_t *)argument)->context;
    const char *model = llm_model_directory(context->model);
    llm_merge_t merge = {context->adapter, state};
    return llm_model_export(context->model, &merge, 1, *model ? model : NULL, FMQ_F32, directory,
                            err);
}

void fmq_offsite_fill(fmq_offsite_t *self, fmq_coordinator_options_t *options)
{
    const fmq_offsite_settings_t *settings = &self->settings;
    if (fmq_config_bool(self->context->config, "llm.offsite_tuning.save_full_model")) {
        options->save_copy = save_whole;
        options->save_copy_argument = self;
    }
    if (!settings->use)
        return;
    options->model = llm_model_digest(self->context->offsite->student);
    self->fedbiot =
        (fmq_fedbiot_options_t){.schema = llm_adapter_schema(self->context->offsite->state),
                                .initial = self->emulator,
                                .aligned = self->aligned,
                                .first_blocks = settings->first_blocks,
                                .every_round = settings->bilevel,
                                .sent_once = settings->bilevel && settings->released,
                                .exit_after_align = settings->align && settings->exit_after_align,
                                .save_to = settings->save_to,
                                .align = self->aligner ? align : NULL,
                                .save = save,
                                .argument = self};
    options->offsite = &self->fedbiot;
    options->publish = self->context->pins ? publish : NULL;
    options->publish_argument = self;
    if (self->held) {
        options->measure = fmq_heldout_measure;
        options->measure_argument = self->held;
    }
}
