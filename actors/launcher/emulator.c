/*
 * emulator.c - fedmq emulator: what clients of a configuration hold, send and
 * compute, against the full model.
 */
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/launcher/aside.h"
#include "actors/launcher/figures.h"
#include "actors/launcher/opening.h"
#include "actors/settings/settings.h"
#include "fedmq/broker/state.h"

static const fmq_option_t options[] = {
    FMQ_ROW_CFG,
    FMQ_ROW("directory", TEXT, directory, "DIR", "a run's: use the emulator that is built there"),
    FMQ_ROW_JSON, FMQ_ROW_LOAD, FMQ_ROWS_END};

/* One of the two models with what is trained in it. */
typedef struct {
    uint32_t layers;
    llm_cost_t cost;
} side_t;

typedef struct {
    fmq_engine_t engine;
    fmq_offsite_settings_t settings;
    llm_cost_batch_t batch;
    uint32_t batch_size;
    llm_train_options_t train;
    side_t full, client;
    uint64_t emulator; /* elements of E's vector */
    uint64_t up, down; /* bytes of a round */
} findings_t;

static llm_cost_batch_t batch_of(const fmq_config_t *config, uint32_t batch_size)
{
    uint64_t length = (uint64_t)fmq_config_int(config, "llm.tok_len");
    return (llm_cost_batch_t){
        .tokens = length * batch_size, .length = length, .supervised = length * batch_size};
}

static uint64_t bytes_of(uint64_t elements, const fmq_config_t *config)
{
    bool whole = fmq_codec_find(fmq_config_text(config, "fedmq.codec")) == FMQ_CODEC_F32;
    return elements * (whole ? 4 : 2);
}

/* The full model as a client without offsite tuning would train it. */
static int measure_full(findings_t *self, fmq_error_t *err)
{
    const llm_model_t *model = self->engine.model;
    llm_adapter_t *adapter =
        llm_adapter_new(llm_model_shape(model), &self->settings.emulator.adapter, err);
    if (!adapter)
        return -1;
    self->full.layers = llm_model_shape(model)->layers;
    int rc = llm_cost(model, adapter, &self->batch, &self->full.cost, err);
    llm_adapter_destroy(&adapter);
    return rc;
}

static int measure(findings_t *self, const fmq_config_t *config, fmq_error_t *err)
{
    const llm_offsite_t *offsite = fmq_engine_offsite(&self->engine);
    if (fmq_settings_train(config, &self->train, err) < 0)
        return -1;
    self->batch = batch_of(config, self->train.batch_size);
    self->client.layers = llm_model_shape(offsite->student)->layers;
    if (measure_full(self, err) < 0 ||
        llm_cost(offsite->student, offsite->adapter, &self->batch, &self->client.cost, err) < 0)
        return -1;
    self->emulator = fmq_schema_elements(llm_adapter_schema(offsite->state));
    self->up = bytes_of(self->client.cost.trained, config);
    self->down =
        self->up + (self->settings.align && self->settings.bilevel && !self->settings.released
                        ? bytes_of(self->emulator, config)
                        : 0);
    return 0;
}

static const char *strategy_name(const llm_emulator_spec_t *spec)
{
    static const char *const names[] = {[LLM_DROP_LAYER] = "drop_layer",
                                        [LLM_PRUNING] = "pruning",
                                        [LLM_QUANTIZATION] = "quantization",
                                        [LLM_DISTILLATION] = "distillation"};
    return names[spec->strategy];
}

static json_t *side_json(const side_t *side)
{
    const llm_cost_t *cost = &side->cost;
    return json_pack("{s:I, s:I, s:I, s:I, s:f, s:f, s:f}", "layers", (json_int_t)side->layers,
                     "parameters", (json_int_t)cost->parameters, "bytes",
                     (json_int_t)cost->weight_bytes, "trained", (json_int_t)cost->trained,
                     "forward_flops", cost->forward, "backward_flops", cost->backward,
                     "prefix_flops", cost->prefix);
}

static int print_json(const findings_t *self, fmq_error_t *err)
{
    const llm_offsite_t *offsite = fmq_engine_offsite(&self->engine);
    json_t *source = json_array();
    for (uint32_t i = 0; i < self->client.layers; i++)
        json_array_append_new(source, json_integer(offsite->source[i]));
    json_t *object =
        json_pack("{s:s, s:I, s:I, s:I, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I}", "strategy",
                  strategy_name(&self->settings.emulator), "l", (json_int_t)offsite->l, "r",
                  (json_int_t)offsite->r, "behind", (json_int_t)offsite->behind, "source", source,
                  "full", side_json(&self->full), "client", side_json(&self->client),
                  "emulator_trained", (json_int_t)self->emulator, "bytes_up", (json_int_t)self->up,
                  "bytes_down", (json_int_t)self->down, "step_tokens",
                  (json_int_t)self->batch.tokens, "step_length", (json_int_t)self->batch.length);
    if (!object)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for an answer");
    json_dumpf(object, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(object);
    return 0;
}

/* "0-1 2* 4* 6-7": layers of the full model, a star on those that are E's. */
static void print_layers(const llm_offsite_t *offsite)
{
    uint32_t layers = llm_model_shape(offsite->student)->layers;
    for (uint32_t i = 0; i < layers; i++) {
        bool emulating = i >= offsite->first && i < offsite->behind;
        printf(" %u%s", offsite->source[i], emulating ? "*" : "");
    }
    putchar('\n');
}

static void print_row(const char *name, double full, double client,
                      void (*text)(double value, char out[32]))
{
    char left[32], right[32];
    text(full, left);
    text(client, right);
    printf("%-26s %14s %16s", name, left, right);
    if (full > 0)
        printf(" %6.1f %%", 100 * client / full);
    putchar('\n');
}

static void as_count(double value, char out[32])
{
    (void)snprintf(out, 32, "%.0f", value);
}

static void as_bytes(double value, char out[32])
{
    fmq_figure_bytes((uint64_t)value, out, 32);
}

static void as_flops(double value, char out[32])
{
    (void)snprintf(out, 32, "%.3g G", value / 1e9);
}

static void print_text(const findings_t *self)
{
    const llm_offsite_t *offsite = fmq_engine_offsite(&self->engine);
    const llm_cost_t *full = &self->full.cost, *client = &self->client.cost;
    char up[32], down[32];
    as_bytes((double)self->up, up);
    as_bytes((double)self->down, down);
    printf("layers %u to %u of %u are emulated by %u (%s)\nclients hold layers", offsite->l,
           offsite->r - 1, self->full.layers, offsite->behind - offsite->l,
           strategy_name(&self->settings.emulator));
    print_layers(offsite);
    printf("\n%-26s %14s %16s\n", "", "full model", "client's model");
    print_row("layers", self->full.layers, self->client.layers, as_count);
    print_row("parameters", (double)full->parameters, (double)client->parameters, as_count);
    print_row("bytes as files", (double)full->weight_bytes, (double)client->weight_bytes, as_bytes);
    print_row("trained by clients", (double)full->trained, (double)client->trained, as_count);
    printf("%-26s %14s %16llu\n", "trained by the server", "", (unsigned long long)self->emulator);
    printf("%-26s %14s %16s\n%-26s %14s %16s\n", "sent by a client a round", "", up,
           "sent to a client a round", "", down);
    printf("\nFLOPs of a step: %u examples of %llu tokens, all with a target\n",
           self->train.batch_size, (unsigned long long)self->batch.length);
    print_row("forward", full->forward, client->forward, as_flops);
    print_row("forward, prefix kept", full->forward - full->prefix,
              client->forward - client->prefix, as_flops);
    print_row("backward", full->backward, client->backward, as_flops);
    print_row("step", full->forward + full->backward, client->forward + client->backward, as_flops);
    print_row("step, prefix kept", full->forward - full->prefix + full->backward,
              client->forward - client->prefix + client->backward, as_flops);
}

/* Removes a folder of files. */
static void remove_folder(const char *path)
{
    DIR *folder = opendir(path);
    for (struct dirent *item; folder && (item = readdir(folder));) {
        char file[PATH_MAX];
        if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0 &&
            snprintf(file, sizeof file, "%s/%s", path, item->d_name) < (int)sizeof file)
            (void)unlink(file);
    }
    if (folder)
        (void)closedir(folder);
    (void)rmdir(path);
}

/* Where layers of the emulator's own are: a run's folder, or one for now. */
static int choose_folder(const fmq_arguments_t *arguments, char path[PATH_MAX], fmq_error_t *err)
{
    const char *place = getenv("TMPDIR");
    if (arguments->directory) {
        if (snprintf(path, PATH_MAX, "%s/emulator", arguments->directory) >= PATH_MAX)
            return fmq_error_set(err, FMQ_ERR_LIMIT, "the path of --directory is too long");
        return 0;
    }
    if (snprintf(path, PATH_MAX, "%s/fedmq-emulator-XXXXXX", place && *place ? place : "/tmp") >=
        PATH_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "$TMPDIR is too long");
    if (!mkdtemp(path))
        return fmq_error_set(err, FMQ_ERR_IO, "cannot make '%s': %s", path, strerror(errno));
    return 0;
}

static int answer(const fmq_arguments_t *arguments, const fmq_config_t *config, fmq_error_t *err)
{
    char folder[PATH_MAX];
    findings_t found = {0};
    if (fmq_settings_offsite(config, &found.settings, err) < 0)
        return -1;
    if (!found.settings.use)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "this configuration has no emulator: set llm.offsite_tuning.use True");
    if (choose_folder(arguments, folder, err) < 0)
        return -1;
    fmq_log_t *log = fmq_aside_log(arguments->json, FMQ_LOG_INFO);
    const fmq_engine_building_t how = {.directory = folder, .log = log};
    int result = log ? fmq_engine_open(&found.engine, config, &how, err)
                     : fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a log");
    if (result == 0)
        result = measure(&found, config, err);
    if (result == 0 && arguments->json)
        result = print_json(&found, err);
    else if (result == 0)
        print_text(&found);
    fmq_engine_close(&found.engine);
    fmq_log_destroy(&log);
    if (!arguments->directory)
        remove_folder(folder);
    return result;
}

static int run(const fmq_arguments_t *arguments, const fmq_words_t *words, fmq_error_t *err)
{
    fmq_config_t *config = fmq_opening_config(arguments, words, err);
    int result = config ? answer(arguments, config, err) : -1;
    fmq_config_destroy(&config);
    return result;
}

const fmq_command_t fmq_command_emulator = {
    .name = "emulator",
    .words = "[KEY VALUE ...]",
    .summary = "Says what clients of offsite tuning hold, send and compute",
    .options = options,
    .rule = FMQ_WORDS_PAIRS,
    .run = run};
