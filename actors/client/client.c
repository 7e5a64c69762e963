/*
 * client.c - the actor that trains on its own data.
 *
 * Events feed the course (course.h), which says what to do; actions.c does it.
 * The hub's thread keeps the router content while this one trains.
 */
#include "fedmq/actors/actors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/client/client_private.h"
#include "actors/runtime/pipe.h"
#include "fedmq/base/clock.h"

#define LINGER_MS 1000

/* Does all there is to do now.  Returns true when the client has ended. */
static bool advance(fmq_client_t *self)
{
    if (self->shard_is_here && !self->terminated)
        fmq_client_use_shard(self);
    while (!self->terminated && self->refused.code == FMQ_OK) {
        fmq_course_action_t action = fmq_course_next(&self->course);
        if (action == FMQ_DO_END)
            return true;
        if (action == FMQ_DO_NOTHING)
            return false;
        fmq_client_act(self, action);
    }
    return self->refused.code != FMQ_OK;
}

static int start(fmq_client_t *self, const char *directory, fmq_error_t *err)
{
    fmq_digest_t model = llm_model_digest(fmq_context_client_model(&self->context));
    fmq_digest_t schema = fmq_schema_digest(llm_adapter_schema(self->context.adapter));
    fmq_link_options_t options = {.endpoint = self->context.endpoint,
                                  .name = self->name,
                                  .role = FMQ_ROLE_CLIENT,
                                  .store = self->context.store,
                                  .hub = self->context.hub,
                                  .first_version = self->context.first_version,
                                  .log = self->context.log};
    char meaning[FMQ_REASON_MAX];
    fmq_context_meaning(&self->context, meaning);
    fmq_course_init(&self->course, &model, &schema, meaning);
    self->course.number = self->number;
    self->config = fmq_config_for_client(self->context.config, self->number, err);
    if (!self->config || fmq_settings_train(self->config, &self->train, err) < 0 ||
        fmq_client_keepsake_open(self, directory, err) < 0)
        return -1;
    if (self->context.offsite && fmq_settings_offsite(self->config, &self->offsite, err) < 0)
        return -1;
    self->train.client = self->number;
    self->train.proximal_merged = self->offsite.proximal;
    self->train.proximal_inert = self->offsite.released;
    self->local = strcmp(fmq_config_text(self->config, "federate.method"), "local") == 0;
    if (fmq_client_own_open(self, directory, err) < 0)
        return -1;
    fmq_settings_times(self->context.config, &options.heartbeat_ms, &options.timeout_ms);
    options.connect_ms = fmq_settings_connect(self->context.config);
    fmq_presence_init(&self->presence, &self->context, fmq_clock_ms());
    self->link = fmq_link_open(&options, err);
    return self->link ? 0 : -1;
}

/* Milliseconds until something is to be done without an event; -1: nothing. */
static int patience(fmq_client_t *self)
{
    int fetch = fmq_client_fetch_work(self);
    int presence = fmq_presence_wait(&self->presence, fmq_clock_ms());
    if (fetch < 0 || presence < 0)
        return fetch < 0 ? presence : fetch;
    return fetch < presence ? fetch : presence;
}

static void serve(fmq_client_t *self)
{
    bool ended = false;
    while (!ended && !self->terminated) {
        (void)fmq_link_wait(self->link, self->pipe, patience(self));
        fmq_client_pump(self);
        ended = advance(self);
    }
}

/* Why the client has ended by itself. */
static fmq_error_t reason(const fmq_client_t *self)
{
    fmq_error_t why = {0};
    if (self->refused.code != FMQ_OK)
        return self->refused;
    const char *plural = self->course.rounds == 1 ? "" : "s";
    if (self->course.failed)
        fmq_error_set(&why, self->course.code, "%s", self->course.reason);
    else if (self->course.run_failed && !self->hosted) /* else its server says so itself */
        fmq_error_set(&why, FMQ_ERR_FAILED, "the run has failed after %u round%s: %s",
                      self->course.rounds, plural, self->course.reason);
    else
        fmq_error_set(&why, FMQ_OK, "%s after %u round%s", self->course.reason, self->course.rounds,
                      plural);
    return why;
}

static void release(fmq_client_t *self)
{
    fmq_config_destroy(&self->config);
    for (int part = 0; part < FMQ_PARTS; part++)
        llm_prefix_cache_destroy(&self->prefixes[part]);
    fmq_examples_release(&self->examples);
    fmq_client_fetch_cancel(self);
    fmq_download_cancel(&self->shard);
    if (self->link)
        fmq_link_close(&self->link, LINGER_MS);
    free(self->keepsake);
    fmq_client_own_close(self);
    fmq_task_state_release(&self->state);
    free(self->emulator);
}

void fmq_client_actor(zsock_t *pipe, void *options)
{
    const fmq_client_options_t *how = options;
    fmq_client_t *self = calloc(1, sizeof *self);
    fmq_error_t why = {0};
    if (!self) {
        fmq_pipe_ready(pipe);
        fmq_error_set(&why, FMQ_ERR_NOMEM, "out of memory for a client");
        fmq_pipe_done(pipe, &why);
        fmq_pipe_wait(pipe);
        return;
    }
    self->context = *how->context;
    self->number = how->client;
    self->recomputes = LLM_RECOMPUTE_NONE;
    self->hosted = how->hosted;
    self->pipe = pipe;
    for (int part = 0; part < FMQ_PARTS; part++)
        self->own[part] = how->own[part];
    snprintf(self->name, sizeof self->name, "client-%u", self->number);
    const char *directory = how->directory;
    fmq_pipe_ready(pipe);

    if (start(self, directory, &why) == 0) {
        serve(self);
        if (!self->terminated)
            why = reason(self);
    }
    bool terminated = self->terminated;
    if (!terminated && why.code != FMQ_OK)
        fmq_log_write(self->context.log, FMQ_LOG_ERROR, self->name, "failed", "reason=\"%s\"",
                      why.text);
    release(self);
    free(self);
    if (!terminated) {
        fmq_pipe_done(pipe, &why);
        fmq_pipe_wait(pipe);
    }
}
