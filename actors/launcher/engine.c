/*
 * engine.c - opens the model, its tokenizer and adapter, and builds what takes
 * the model's place at clients.
 */
#include "actors/launcher/engine.h"

#include <stdlib.h>

#include "actors/launcher/opening.h"
#include "actors/settings/settings.h"
#include "actors/splitter/public.h"
#include "fedmq/base/clock.h"

#define SHOW_MS 5000 /* between two lines about an emulator that is being built */

int fmq_engine_open_model(fmq_engine_t *self, const char *model, const char *cache,
                          const llm_adapter_spec_t *spec, unsigned threads, fmq_error_t *err)
{
    fmq_engine_t engine = {0};
    char *directory = llm_hub_resolve(model, cache, err);
    if (!directory)
        return -1;
    engine.loader = llm_backend_cpu_new(threads, err);
    if (!engine.loader)
        goto fail;
    engine.model = llm_model_open(directory, engine.loader, err);
    if (!engine.model)
        goto fail;
    engine.tokenizer = llm_tokenizer_open(directory, err);
    if (!engine.tokenizer)
        goto fail;
    engine.own = llm_adapter_new(llm_model_shape(engine.model), spec, err);
    if (!engine.own)
        goto fail;
    engine.adapter = engine.own;
    free(directory);
    *self = engine;
    return 0;
fail:
    free(directory);
    fmq_engine_close(&engine);
    return -1;
}

typedef struct {
    const fmq_engine_building_t *how;
    int64_t shown_ms;
} building_t;

static int on_progress(void *argument, uint64_t step, uint64_t steps, uint64_t tokens)
{
    building_t *self = argument;
    int64_t now_ms = fmq_clock_ms();
    (void)tokens;
    if (now_ms - self->shown_ms >= SHOW_MS || step == steps) {
        self->shown_ms = now_ms;
        fmq_log_write(self->how->log, FMQ_LOG_INFO, "launcher", "building-emulator",
                      "step=%llu steps=%llu", (unsigned long long)step, (unsigned long long)steps);
    }
    return self->how->stop ? self->how->stop(self->how->argument) : 0;
}

static bool looks_at_data(const llm_emulator_spec_t *spec)
{
    return spec->strategy == LLM_DISTILLATION ||
           (spec->strategy == LLM_PRUNING && spec->structured);
}

static llm_dataset_t *open_public(const fmq_engine_t *self, const fmq_config_t *config,
                                  const fmq_offsite_settings_t *settings, fmq_error_t *err)
{
    llm_records_t *parts[3];
    if (fmq_public_load(settings, parts, err) < 0)
        return NULL;
    llm_dataset_t *data = llm_dataset_new(parts[0], NULL, self->tokenizer,
                                          (size_t)fmq_config_int(config, "llm.tok_len"), err);
    for (size_t i = 0; i < 3; i++)
        llm_records_destroy(&parts[i]);
    return data;
}

static int build(fmq_engine_t *self, const fmq_config_t *config,
                 const fmq_offsite_settings_t *settings, const fmq_engine_building_t *how,
                 fmq_error_t *err)
{
    building_t building = {.how = how, .shown_ms = fmq_clock_ms()};
    llm_dataset_t *data = NULL;
    if (looks_at_data(&settings->emulator) && !(data = open_public(self, config, settings, err)))
        return -1;
    const llm_emulator_building_t plan = {.be = self->loader,
                                          .directory = how->directory,
                                          .data = data,
                                          .distil = &settings->distil,
                                          .seed = settings->distil.train.seed,
                                          .progress = on_progress,
                                          .argument = &building};
    self->emulator = llm_emulator_new(self->model, &settings->emulator, &plan, err);
    llm_dataset_destroy(&data);
    if (!self->emulator)
        return -1;
    llm_adapter_destroy(&self->own);
    self->adapter = fmq_engine_offsite(self)->plugged;
    return 0;
}

/* A run belongs to the model that its clients have. */
static int accept_model(const fmq_engine_t *self, const fmq_engine_building_t *how,
                        fmq_error_t *err)
{
    if (!how->accept)
        return 0;
    const llm_offsite_t *offsite = fmq_engine_offsite(self);
    const fmq_digest_t digest = llm_model_digest(offsite ? offsite->student : self->model);
    return how->accept(how->argument, &digest, err);
}

int fmq_engine_open(fmq_engine_t *self, const fmq_config_t *config,
                    const fmq_engine_building_t *how, fmq_error_t *err)
{
    fmq_engine_t engine = {0};
    llm_adapter_spec_t spec;
    fmq_offsite_settings_t offsite;
    if (fmq_settings_adapter(config, &spec, err) < 0 ||
        fmq_settings_offsite(config, &offsite, err) < 0)
        return -1;
    unsigned threads =
        offsite.use && offsite.emulator.strategy != LLM_DROP_LAYER ? fmq_opening_cores() : 1;
    if (fmq_engine_open_model(&engine, fmq_config_text(config, "model.type"),
                              fmq_config_text(config, "llm.cache.model"), &spec, threads, err) < 0)
        return -1;
    if ((offsite.use && build(&engine, config, &offsite, how, err) < 0) ||
        accept_model(&engine, how, err) < 0) {
        fmq_engine_close(&engine);
        return -1;
    }
    *self = engine;
    return 0;
}

void fmq_engine_close(fmq_engine_t *self)
{
    llm_emulator_destroy(&self->emulator);
    llm_adapter_destroy(&self->own);
    llm_tokenizer_destroy(&self->tokenizer);
    llm_model_destroy(&self->model);
    llm_backend_destroy(&self->loader);
    self->adapter = NULL;
}

const llm_offsite_t *fmq_engine_offsite(const fmq_engine_t *self)
{
    return self->emulator ? llm_emulator_offsite(self->emulator) : NULL;
}
