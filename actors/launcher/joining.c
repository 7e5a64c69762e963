/*
 * joining.c - a run's model for who joins it: fetched, put together, and for
 * an evaluator the full one beside it.
 */
#include "actors/launcher/joining.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <sodium.h>

#include "actors/launcher/figures.h"
#include "actors/runtime/presence.h"
#include "actors/settings/settings.h"
#include "fedmq/actors/model_transfer.h"
#include "fedmq/base/clock.h"

#define SHOW_MS 2000 /* between two lines about a part that is being fetched */

typedef struct {
    const fmq_joining_t *how;
    fmq_presence_t presence; /* of the server */
    uint32_t part;           /* last shown, with so many bytes here, at that time: */
    uint64_t bytes;
    int64_t shown_ms;
} visit_t;

static void show(void *argument, const fmq_model_progress_t *progress)
{
    visit_t *self = argument;
    char bytes[32], total[32];
    int64_t now_ms = fmq_clock_ms();
    bool last = progress->bytes == progress->bytes_total && progress->bytes != self->bytes;
    if (progress->parts == 0 ||
        (progress->part == self->part && now_ms - self->shown_ms < SHOW_MS && !last))
        return;
    self->part = progress->part;
    self->bytes = progress->bytes;
    self->shown_ms = now_ms;
    fmq_figure_bytes(progress->bytes, bytes, sizeof bytes);
    fmq_figure_bytes(progress->bytes_total, total, sizeof total);
    fmq_log_write(self->how->log, FMQ_LOG_INFO, "launcher",
                  progress->waiting ? "waiting-for-layers" : "fetching-layers",
                  "part=%u of=%u fetched=\"%s of %s\"", progress->part, progress->parts, bytes,
                  total);
}

static int stop(void *argument)
{
    const visit_t *self = argument;
    return self->how->stop ? self->how->stop(self->how->argument) : 0;
}

/* Who waits for its model waits for the server, as who has it does. */
static int watch(void *argument, const fmq_event_t *event, fmq_error_t *err)
{
    visit_t *self = argument;
    int64_t now_ms = fmq_clock_ms();
    if (event)
        fmq_presence_event(&self->presence, event, now_ms);
    return fmq_presence_tend(&self->presence, self->how->log, "launcher", now_ms, err);
}

/* A member of its own, so that the server does not take it for the client or
 * evaluator that comes after it. */
static fmq_link_t *open_link(const fmq_joining_t *how, fmq_error_t *err)
{
    char name[FMQ_MEMBER_NAME_MAX];
    uint32_t number;
    randombytes_buf(&number, sizeof number);
    (void)snprintf(name, sizeof name, "layers-%08" PRIx32, number);
    fmq_link_options_t options = {.endpoint = how->endpoint,
                                  .name = name,
                                  .role = how->evaluator ? FMQ_ROLE_EVALUATOR : FMQ_ROLE_CLIENT,
                                  .log = how->log};
    fmq_settings_times(how->config, &options.heartbeat_ms, &options.timeout_ms);
    options.connect_ms = fmq_settings_connect(how->config);
    return fmq_link_open(&options, err);
}

static int fetch(const fmq_joining_t *how, const char *directory, fmq_manifest_t *manifest,
                 fmq_error_t *err)
{
    visit_t visit = {.how = how};
    const fmq_context_t joining = {.config = how->config, .endpoint = how->endpoint};
    fmq_model_download_t fetch = {
        .directory = directory, .show = show, .stop = stop, .watch = watch, .argument = &visit};
    fmq_presence_init(&visit.presence, &joining, fmq_clock_ms());
    fetch.link = open_link(how, err);
    if (!fetch.link)
        return -1;
    fmq_log_write(how->log, FMQ_LOG_INFO, "launcher", "waiting-for-run", "cache=\"%s\"", directory);
    int rc = fmq_model_download(&fetch, manifest, err);
    if (rc == 0)
        fmq_log_write(how->log, FMQ_LOG_INFO, "launcher", "layers-here",
                      "bytes=%" PRIu64 " fetched=%" PRIu64, fmq_manifest_bytes(manifest),
                      fmq_link_traffic(fetch.link).payload_received);
    fmq_link_close(&fetch.link, 0);
    return rc;
}

/* Opens the full model when it is here and has the layers that clients have;
 * without it an evaluator measures less. */
static int open_full(const fmq_joining_t *how, const fmq_manifest_t *manifest, fmq_engine_t *engine,
                     fmq_error_t *err)
{
    fmq_error_t why;
    char *directory = llm_hub_resolve(fmq_config_text(how->config, "model.type"),
                                      fmq_config_text(how->config, "llm.cache.model"), &why);
    if (directory) {
        engine->model = llm_model_open(directory, NULL, err);
        free(directory);
        if (!engine->model)
            return -1;
        if (fmq_model_match(engine->model, manifest, &why) == 0)
            return 0;
        llm_model_destroy(&engine->model);
    }
    fmq_log_write(how->log, FMQ_LOG_WARNING, "launcher", "no-plugin-metrics", "reason=\"%s\"",
                  why.text);
    return 0;
}

static int open_from(const fmq_joining_t *how, const char *directory,
                     const fmq_manifest_t *manifest, fmq_engine_t *engine, fmq_error_t *err)
{
    fmq_offsite_settings_t settings;
    fmq_compute_settings_t compute;
    fmq_assembled_t student;
    if (fmq_settings_offsite(how->config, &settings, err) < 0 ||
        fmq_settings_compute(how->config, &compute, err) < 0 ||
        fmq_assembled_open(&student, directory, manifest, &settings.emulator.adapter, NULL, err) <
            0)
        return -1;
    engine->emulator = student.emulator;
    engine->tokenizer = student.tokenizer;
    if (llm_emulator_set_form(engine->emulator, &compute.weights, err) < 0)
        return -1;
    engine->adapter = fmq_engine_offsite(engine)->plugged;
    if (!how->evaluator || !settings.full)
        return 0;
    if (open_full(how, manifest, engine, err) < 0)
        return -1;
    return engine->model ? llm_model_set_form(engine->model, &compute.weights, err) : 0;
}

int fmq_joining_open(const fmq_joining_t *self, fmq_engine_t *engine, fmq_error_t *err)
{
    fmq_engine_t joined = {0};
    int rc = -1;
    fmq_manifest_t *manifest = malloc(sizeof *manifest);
    char *directory =
        fmq_blob_cache_directory(fmq_config_text(self->config, "fedmq.layer_cache"), err);
    if (!manifest)
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a manifest");
    else if (directory && fetch(self, directory, manifest, err) == 0)
        rc = open_from(self, directory, manifest, &joined, err);
    free(manifest);
    free(directory);
    if (rc < 0)
        fmq_engine_close(&joined);
    else
        *engine = joined;
    return rc;
}
