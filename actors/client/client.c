/*
 * client.c - the life of one that trains on its own data.
 *
 * Events feed the course (course.h), which says what to do; actions.c does it.
 * The hub's thread keeps the router content while this one trains.
 */
#include "actors/client/client.h"

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

static int prepare(fmq_client_t *self, const fmq_client_options_t *how, fmq_error_t *err)
{
    const char *directory = how->directory;
    fmq_digest_t model = llm_model_digest(fmq_context_client_model(&self->context));
    fmq_digest_t schema = fmq_schema_digest(llm_adapter_schema(self->context.adapter));
    fmq_link_options_t options = {.endpoint = self->context.endpoint,
                                  .name = self->name,
                                  .role = FMQ_ROLE_CLIENT,
                                  .store = self->context.store,
                                  .hub = self->context.hub,
                                  .first_version = self->context.first_version,
                                  .log = self->context.log,
                                  .notify = how->notify,
                                  .notify_argument = how->notify_argument};
    char meaning[FMQ_REASON_MAX];
    fmq_context_meaning(&self->context, meaning);
    fmq_course_init(&self->course, &model, &schema, meaning);
    self->course.number = self->number;
    fmq_context_computes(&self->context, self->course.computes);
    self->config = self->context.config;
    if (fmq_config_differs_for(self->config, self->number))
        self->config = self->own_config = fmq_config_for_client(self->config, self->number, err);
    if (!self->config || fmq_settings_train(self->config, &self->train, err) < 0 ||
        fmq_client_keepsake_open(self, directory, err) < 0)
        return -1;
    if (self->context.offsite && fmq_settings_offsite(self->config, &self->offsite, err) < 0)
        return -1;
    self->train.client = self->number;
    self->train.proximal_merged = self->offsite.proximal;
    self->train.proximal_inert = self->offsite.released;
    self->method = fmq_strategy_of(self->config, err);
    if (!self->method)
        return -1;
    self->passes_size = fmq_strategy_passes(self->method, self->config, self->passes);
    for (size_t i = 0; i < self->passes_size; i++)
        self->keeps = self->keeps || self->passes[i].keeps;
    if (fmq_client_own_open(self, directory, err) < 0)
        return -1;
    fmq_settings_times(self->context.config, &options.heartbeat_ms, &options.timeout_ms);
    options.connect_ms = fmq_settings_connect(self->context.config);
    fmq_presence_init(&self->presence, &self->context, fmq_clock_ms());
    self->link = fmq_link_open(&options, err);
    return self->link ? 0 : -1;
}

int fmq_client_patience(fmq_client_t *self)
{
    int fetch = fmq_client_fetch_work(self);
    int presence = fmq_presence_wait(&self->presence, fmq_clock_ms());
    if (fetch < 0 || presence < 0)
        return fetch < 0 ? presence : fetch;
    return fetch < presence ? fetch : presence;
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

fmq_client_t *fmq_client_new(const fmq_client_options_t *options, fmq_error_t *err)
{
    fmq_client_t *self = calloc(1, sizeof *self);
    if (!self) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a client");
        return NULL;
    }
    self->context = *options->context;
    self->number = options->client;
    self->recomputes = LLM_RECOMPUTE_NONE;
    self->hosted = options->hosted;
    for (int part = 0; part < FMQ_PARTS; part++)
        self->own[part] = options->own[part];
    snprintf(self->name, sizeof self->name, "client-%u", self->number);
    return self;
}

static void say_why(const fmq_client_t *self, const fmq_error_t *why)
{
    if (why->code != FMQ_OK)
        fmq_log_write(self->context.log, FMQ_LOG_ERROR, self->name, "failed", "reason=\"%s\"",
                      why->text);
}

int fmq_client_start(fmq_client_t *self, const fmq_client_options_t *options, fmq_error_t *err)
{
    if (prepare(self, options, err) == 0)
        return 0;
    say_why(self, err);
    return -1;
}

bool fmq_client_turn(fmq_client_t *self, fmq_error_t *why)
{
    fmq_client_pump(self);
    bool ended = advance(self);
    if (self->terminated) {
        fmq_error_set(why, FMQ_ERR_STOPPED, "told to end");
        return true;
    }
    if (!ended)
        return false;
    *why = reason(self);
    say_why(self, why);
    return true;
}

void fmq_client_tell_to_end(fmq_client_t *self)
{
    atomic_store_explicit(&self->told, true, memory_order_release);
}

void fmq_client_show_waiting(fmq_client_t *self, bool waiting)
{
    if (self->link)
        fmq_link_set_progress(self->link, waiting ? fmq_devices_moves(self->context.permits) : 0,
                              0);
}

void fmq_client_leave(fmq_client_t *self)
{
    fmq_config_destroy(&self->own_config);
    for (int part = 0; part < FMQ_PARTS; part++)
        llm_prefix_cache_destroy(&self->prefixes[part]);
    fmq_examples_release(&self->examples);
    fmq_client_fetch_cancel(self);
    fmq_download_cancel(&self->shard);
    if (self->link)
        fmq_link_leave(self->link, LINGER_MS);
    free(self->keepsake);
    self->keepsake = NULL;
    fmq_client_own_close(self);
    fmq_task_state_release(&self->state);
    fmq_task_state_release(&self->own_state);
    free(self->emulator);
    self->emulator = NULL;
}

void fmq_client_destroy(fmq_client_t **self_p)
{
    fmq_client_t *self = *self_p;
    if (!self)
        return;
    fmq_client_leave(self);
    if (self->link)
        fmq_link_close(&self->link, LINGER_MS);
    free(self);
    *self_p = NULL;
}

static bool serve(fmq_client_t *self, fmq_error_t *why)
{
    while (!fmq_client_turn(self, why))
        (void)fmq_link_wait(self->link, self->pipe, fmq_client_patience(self));
    return !self->terminated;
}

void fmq_client_actor(zsock_t *pipe, void *options)
{
    const fmq_client_options_t *how = options;
    fmq_client_options_t copy = *how;
    char *directory = how->directory ? strdup(how->directory) : NULL;
    fmq_error_t why = {0};
    fmq_client_t *self = fmq_client_new(how, &why);
    copy.directory = directory;
    copy.notify = NULL;
    if (self)
        self->pipe = pipe;
    fmq_pipe_ready(pipe);
    bool by_itself = !self || fmq_client_start(self, &copy, &why) < 0 || serve(self, &why);
    fmq_client_destroy(&self);
    free(directory);
    if (by_itself) {
        fmq_pipe_done(pipe, &why);
        fmq_pipe_wait(pipe);
    }
}
