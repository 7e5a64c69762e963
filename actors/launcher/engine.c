/*
 * engine.c - opens the model, its tokenizer and adapter, and builds what takes
 * the model's place at clients.
 */
#include "actors/launcher/engine.h"

#include <stdio.h>
#include <stdlib.h>

#include "actors/launcher/opening.h"
#include "actors/settings/settings.h"
#include "actors/splitter/public.h"
#include "fedmq/base/clock.h"

#define SHOW_MS 5000 /* between two lines about an emulator that is being built */

static int fill(fmq_engine_t *self, const char *directory, const fmq_engine_model_t *how,
                fmq_error_t *err)
{
    if (how->threads > 0 && !(self->loader = llm_backend_open(how->device, how->threads, err)))
        return -1;
    self->model = llm_model_open(directory, NULL, err);
    if (!self->model || llm_model_set_form(self->model, &how->weights, err) < 0)
        return -1;
    self->own = llm_adapter_new(llm_model_shape(self->model), how->spec, err);
    self->adapter = self->own;
    return self->own ? 0 : -1;
}

int fmq_engine_open_model(fmq_engine_t *self, const fmq_engine_model_t *how, fmq_error_t *err)
{
    fmq_engine_t engine = {0};
    char *directory = llm_hub_resolve(how->model, how->cache, err);
    int rc = directory ? fill(&engine, directory, how, err) : -1;
    free(directory);
    if (rc < 0)
        fmq_engine_close(&engine);
    else
        *self = engine;
    return rc;
}

int fmq_engine_open_tokenizer(fmq_engine_t *self, fmq_error_t *err)
{
    self->tokenizer = llm_tokenizer_open(llm_model_directory(self->model), err);
    return self->tokenizer ? 0 : -1;
}

/* The model that is computed with here. */
static const llm_model_t *any_model(const fmq_engine_t *self)
{
    return self->model ? self->model : fmq_engine_offsite(self)->student;
}

int fmq_engine_check_length(const fmq_engine_t *self, const fmq_config_t *config, fmq_error_t *err)
{
    const llm_model_t *model = any_model(self);
    const llm_shape_t *shape = llm_model_shape(model);
    uint32_t whole = llm_shape_reach(shape);
    uint32_t reach = self->adapter ? llm_adapter_reach(self->adapter) : whole;
    char tokens[64] = "";
    if (reach < whole)
        (void)snprintf(tokens, sizeof tokens, ", less %u virtual tokens", whole - reach);
    int64_t length = fmq_config_int(config, "llm.tok_len");
    if (length <= (int64_t)reach)
        return 0;
    return fmq_error_set(err, FMQ_ERR_CONFIG,
                         "%s: llm.tok_len is %lld, but the model '%.160s' takes at most %u tokens "
                         "at once (its context%s); set it to at most that",
                         fmq_config_origin(config, "llm.tok_len"), (long long)length,
                         llm_model_directory(model), reach, tokens);
}

bool fmq_engine_is_endless(const fmq_engine_t *self, char why[FMQ_ENDLESS_MAX])
{
    const llm_model_t *model = any_model(self);
    int32_t eos = llm_tokenizer_eos(self->tokenizer);
    uint32_t vocab = llm_model_shape(model)->vocab;
    static const char todo[] = "examples are learnt without an end, and answers run on to the "
                               "token limit; name one as eos_token in tokenizer_config.json or as "
                               "eos_token_id in generation_config.json";
    if (eos >= 0 && (uint32_t)eos < vocab)
        return false;
    if (eos < 0)
        (void)snprintf(why, FMQ_ENDLESS_MAX,
                       "the tokenizer of '%.120s' has no end-of-text token that it knows: %s",
                       llm_model_directory(model), todo);
    else
        (void)snprintf(why, FMQ_ENDLESS_MAX,
                       "the tokenizer of '%.120s' ends texts by token %d, but the model knows "
                       "tokens 0 to %u only: the two do not belong together",
                       llm_model_directory(model), eos, vocab - 1);
    return true;
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
    fmq_compute_settings_t compute;
    if (fmq_settings_adapter(config, &spec, err) < 0 ||
        fmq_settings_offsite(config, &offsite, err) < 0 ||
        fmq_settings_compute(config, &compute, err) < 0)
        return -1;
    bool computes = offsite.use && offsite.emulator.strategy != LLM_DROP_LAYER;
    const fmq_engine_model_t model = {.model = fmq_config_text(config, "model.type"),
                                      .cache = fmq_config_text(config, "llm.cache.model"),
                                      .spec = &spec,
                                      .device = compute.device,
                                      .weights = compute.weights,
                                      .threads = computes ? fmq_opening_cores() : 0};
    if (fmq_engine_open_model(&engine, &model, err) < 0)
        return -1;
    if (fmq_engine_open_tokenizer(&engine, err) < 0 ||
        (offsite.use && build(&engine, config, &offsite, how, err) < 0) ||
        accept_model(&engine, how, err) < 0) {
        fmq_engine_close(&engine);
        return -1;
    }
    *self = engine;
    return 0;
}

/* What clients train, or evaluators measure, in this process. */
static llm_stack_t stack_of(const fmq_engine_t *self)
{
    const llm_offsite_t *offsite = fmq_engine_offsite(self);
    if (!offsite)
        return (llm_stack_t){.model = self->model, .adapter = self->adapter};
    return (llm_stack_t){
        .model = offsite->student, .adapter = offsite->adapter, .fixed = offsite->state};
}

int fmq_engine_place(const fmq_engine_t *self, fmq_devices_t *permits, fmq_error_t *err)
{
    const llm_stack_t stack = stack_of(self);
    llm_backend_t *held[FMQ_DEVICES_MAX];
    size_t size = fmq_devices_size(permits), taken = 0;
    int rc = 0;
    while (taken < size && rc == 0) {
        held[taken] = fmq_devices_take(permits, NULL, NULL);
        llm_team_plan_t team = fmq_devices_team(permits, held[taken]);
        rc = llm_stack_place(&stack, held[taken++], err);
        for (size_t i = 0; i < team.size && rc == 0; i++)
            rc = llm_stack_place(&stack, team.backends[i], err);
    }
    while (taken > 0)
        fmq_devices_give(permits, &held[--taken]);
    return rc;
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
