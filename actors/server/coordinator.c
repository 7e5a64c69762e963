/*
 * coordinator.c - the server's life: opening, events in, $TERM, the end.  Its
 * thread may wait for the disk; the hub's thread keeps the fabric alive
 * meanwhile.
 */
#include "actors/server/coordinator.h"

#include <inttypes.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/runtime/pipe.h"
#include "actors/server/coordinator_private.h"
#include "actors/storage/directory.h"
#include "actors/storage/file.h"
#include "actors/storage/versions.h"
#include "fedmq/base/clock.h"

#define TICK_MS   200  /* longest wait for an event */
#define LINGER_MS 3000 /* for the last notes */

static void accepted(void *argument, uint32_t client)
{
    coordinator_t *self = argument;
    fmq_participants_answered(&self->participants, client);
}

static void rejected(void *argument, uint32_t client, const char *reason)
{
    coordinator_t *self = argument;
    fmq_participants_leave_out(&self->participants, client, reason);
}

static bool is_alive(void *argument, uint32_t client)
{
    const coordinator_t *self = argument;
    return self->participants.all[client - 1].alive;
}

/* Those whose update is durable hear it from their next task; where the round
 * goes on they are told to wait. */
static int acknowledge(coordinator_t *self, const bool *before, fmq_error_t *err)
{
    for (uint32_t k = 1; k <= self->settings->clients; k++)
        if (self->participants.all[k - 1].answered && !before[k - 1] &&
            fmq_announce_task(self, k, FMQ_TASK_WAIT, err) < 0)
            return -1;
    return 0;
}

static int commit(coordinator_t *self, fmq_error_t *err)
{
    if (fmq_collector_pending(self->collector) == 0)
        return 0;
    bool *before = calloc(self->settings->clients, sizeof *before);
    if (!before)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory to journal updates");
    for (uint32_t i = 0; i < self->settings->clients; i++)
        before[i] = self->participants.all[i].answered;
    int rc = fmq_collector_commit(self->collector, err);
    if (rc == 0 &&
        fmq_participants_decide(&self->participants, self->attention.now_ms) == FMQ_DECIDE_STAY)
        rc = acknowledge(self, before, err);
    if (rc == 0)
        fmq_showing_show(self, FMQ_RUN_PROGRESS);
    free(before);
    return rc;
}

/* One turn: events, the journal, what follows. */
static int turn(coordinator_t *self, fmq_error_t *err)
{
    fmq_attention_look(&self->attention);
    fmq_coordinator_excuse_if_deaf(self);
    if (fmq_inbox_take(self, err) < 0 || fmq_counts_save(&self->counts, err) < 0 ||
        commit(self, err) < 0)
        return -1;
    fmq_coordinator_drop_stalled(self);
    fmq_showing_show_waiting(self);
    if (fmq_perform_advance(self, err) < 0 ||
        fmq_collector_work(self->collector, is_alive, self->attention.now_ms, err) < 0)
        return -1;
    if (self->participants.phase == FMQ_PHASE_ENDING)
        self->over = fmq_watchers_are_done(self);
    fmq_run_status_tell(self);
    return 0;
}

static int serve(coordinator_t *self, fmq_error_t *err)
{
    int rc = 0;
    while (rc == 0 && !self->over && !self->attention.terminated) {
        (void)fmq_link_wait(
            self->link, self->attention.pipe,
            fmq_participants_patience(&self->participants, fmq_clock_ms(), TICK_MS));
        fmq_attention_listen(&self->attention);
        rc = turn(self, err);
    }
    return rc;
}

static int open_strategy(coordinator_t *self, fmq_error_t *err)
{
    const fmq_strategy_setup_t setup = {.method = self->settings->method,
                                        .rule = self->settings->rule,
                                        .config = self->options.config,
                                        .schema = self->options.schema,
                                        .offsite = self->options.offsite,
                                        .log = self->options.log};
    if (fmq_strategy_open(&self->strategy, &setup, err) < 0)
        return -1;
    return fmq_rounds_init(&self->rounds, &self->strategy, self->settings->rounds,
                           self->settings->eval_freq, err);
}

static int open_memory(coordinator_t *self, fmq_error_t *err)
{
    uint32_t clients = self->settings->clients;
    const fmq_shared_state_options_t shared = {.schema = self->options.schema,
                                               .checkpoints = &self->checkpoints,
                                               .codec = self->settings->codec,
                                               .kept_max = self->options.state_kept_max,
                                               .log = self->options.log};
    const fmq_computing_options_t computing = {
        .clients = clients,
        .own = self->options.computes ? self->options.computes : "",
        .log = self->options.log,
        .say = self->options.say,
        .argument = self->options.say_argument};
    if (fmq_participants_init(&self->participants, clients, &self->settings->limits, err) < 0 ||
        fmq_shared_state_open(&self->shared, &shared, self->options.initial, self->options.state,
                              err) < 0)
        return -1;
    if (fmq_computing_open(&self->computing, &computing, err) < 0 ||
        fmq_records_open(self, err) < 0 || fmq_announce_open(self, err) < 0)
        return -1;
    return open_strategy(self, err);
}

/* Begins anew, or goes on where the directory's checkpoints say. */
static int stand(coordinator_t *self, fmq_error_t *err)
{
    const fmq_checkpoints_run_t run = {.model = &self->options.model,
                                       .meaning =
                                           self->options.meaning ? self->options.meaning : "",
                                       .prepared = fmq_strategy_prepared(&self->strategy)};
    fmq_checkpoints_hold(&self->checkpoints, self->options.schema, self->shared.vector,
                         &self->strategy);
    return fmq_checkpoints_stand(&self->checkpoints, &run, err);
}

static int open_files(coordinator_t *self, fmq_error_t *err)
{
    const char *directory = self->options.directory;
    const fmq_counts_options_t counts = {.run_directory = directory,
                                         .clients = self->settings->clients,
                                         .own_data = self->settings->own_data,
                                         .samples_max = self->options.samples_max,
                                         .argument = self->options.samples_argument};
    if (fmq_round_log_init(&self->round_log, directory, self->options.schema, self->options.log,
                           err) < 0 ||
        fmq_checkpoints_open(&self->checkpoints, directory, self->options.log, err) < 0 ||
        fmq_coordinator_make_places(self, err) < 0 ||
        fmq_counts_open(&self->counts, &counts, err) < 0 || fmq_measurements_open(self, err) < 0)
        return -1;
    return stand(self, err);
}

static int open_fabric(coordinator_t *self, fmq_error_t *err)
{
    uint64_t first = self->options.first_version;
    if (first == 0 &&
        fmq_versions_begin(self->options.directory, fmq_clock_wall_ms(), &first, err) < 0)
        return -1;
    fmq_link_options_t link = {.endpoint = self->options.endpoint,
                               .first_version = first,
                               .name = "server",
                               .role = FMQ_ROLE_SERVER,
                               .store = self->options.store,
                               .hub = self->options.hub,
                               .heartbeat_ms = self->settings->heartbeat_ms,
                               .timeout_ms = self->settings->timeout_ms,
                               .connect_ms = self->settings->connect_ms,
                               .log = self->options.log};
    self->link = fmq_link_open(&link, err);
    if (!self->link)
        return -1;
    fmq_collector_options_t collector = {.link = self->link,
                                         .schema = self->options.schema,
                                         .log = self->options.log,
                                         .clients = self->settings->clients,
                                         .accepted = accepted,
                                         .rejected = rejected,
                                         .argument = self};
    self->collector = fmq_collector_new(&collector, err);
    return self->collector ? 0 : -1;
}

/* What everybody needs is there first, so that clients can get their model
 * while the strategy prepares; the state comes when it has. */
static int open_run(coordinator_t *self, fmq_error_t *err)
{
    if (fmq_announce_run(self, err) < 0)
        return -1;
    fmq_step_t step = fmq_coordinator_prepare(self, err);
    if (step == FMQ_STEP_FAILED)
        return -1;
    self->over = self->prepared = step == FMQ_STEP_OVER;
    if (self->over || self->attention.terminated)
        return 0;
    return fmq_announce_state(self, self->checkpoints.mark.round >= self->settings->rounds, err);
}

static void release(coordinator_t *self)
{
    fmq_collector_destroy(&self->collector);
    fmq_round_log_release(&self->round_log);
    fmq_shared_state_end_lending(&self->shared);
    fmq_link_close(&self->link, LINGER_MS);
    fmq_measurements_release(self);
    fmq_participants_release(&self->participants);
    fmq_counts_release(&self->counts);
    fmq_records_release(self);
    fmq_computing_release(&self->computing);
    fmq_announce_release(self);
    fmq_strategy_close(&self->strategy);
    fmq_shared_state_release(&self->shared);
    fmq_checkpoints_release(&self->checkpoints);
}

static const char *outcome_of(const coordinator_t *self)
{
    return self->rounds.stopped ? "early stop" : self->prepared ? "aligned" : "finished";
}

/* Why it ended, for the pipe: an error's code, or FMQ_OK with a reason. */
static fmq_error_t conclude(coordinator_t *self)
{
    fmq_error_t why = self->fatal;
    if (why.code == FMQ_OK && self->attention.told.code != FMQ_OK)
        why = self->attention.told;
    else if (why.code == FMQ_OK && self->attention.terminated)
        (void)fmq_error_set(&why, FMQ_ERR_STOPPED, "interrupted");
    else if (why.code == FMQ_OK)
        (void)fmq_error_set(&why, FMQ_OK, "%s", outcome_of(self));
    bool failed = why.code != FMQ_OK;
    fmq_log_write(self->options.log, failed ? FMQ_LOG_ERROR : FMQ_LOG_INFO, "server", "ended",
                  "round=%u reason=\"%s\"", self->checkpoints.mark.round, why.text);
    fmq_run_status_tell_end(self, &why);
    if (self->link && why.code == FMQ_ERR_STOPPED) /* --resume goes on with who is still there */
        (void)fmq_announce_away(self, NULL);
    else if (self->link)
        (void)fmq_announce_done(self, failed, why.text, NULL);
    fmq_run_event_t event = {.type = FMQ_RUN_ENDED,
                             .round = self->checkpoints.mark.round,
                             .rounds = self->settings->rounds,
                             .train_loss = self->measurements.train_loss,
                             .reason = why.text};
    if (self->options.on_event)
        self->options.on_event(self->options.event_argument, &event);
    return why;
}

void fmq_coordinator_run(zsock_t *pipe, const fmq_coordinator_options_t *options)
{
    fmq_error_t why = {0};
    coordinator_t *self = calloc(1, sizeof *self);
    if (!self) {
        (void)fmq_error_set(&why, FMQ_ERR_NOMEM, "no memory for a server");
        fmq_pipe_done(pipe, &why);
        fmq_pipe_wait(pipe);
        return;
    }
    self->options = *options;
    self->settings = options->settings;
    fmq_attention_init(&self->attention, pipe);
    fmq_showing_init(self);
    fmq_measurements_init(self);
    if (open_memory(self, &self->fatal) == 0 && open_files(self, &self->fatal) == 0 &&
        open_fabric(self, &self->fatal) == 0 && open_run(self, &self->fatal) == 0)
        (void)serve(self, &self->fatal);
    why = conclude(self);
    bool terminated = self->attention.terminated;
    release(self);
    free(self);
    fmq_pipe_done(pipe, &why);
    if (!terminated)
        fmq_pipe_wait(pipe);
}

void fmq_coordinator_actor(zsock_t *pipe, void *options)
{
    fmq_coordinator_options_t copy = *(const fmq_coordinator_options_t *)options;
    fmq_pipe_ready(pipe);
    fmq_coordinator_run(pipe, &copy);
}
