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

#define EVENTS_MAX     512    /* taken in one go before deciding */
#define TICK_MS        200    /* longest wait for an event */
#define TURNED_MS      1000   /* between two words about clients that are none */
#define MISSING_MS     10000  /* until it is said again who is missing, doubled up to ... */
#define MISSING_MAX_MS 300000 /* ... this */
#define LINGER_MS      3000   /* for the last notes */
#define CLIENT_NAME    "client-"
#define SHARD_TOPIC    "shard-" /* and a client's number */

/* k of "client-k", or 0. */
static uint32_t number_of(const coordinator_t *self, const char *member)
{
    if (strncmp(member, CLIENT_NAME, strlen(CLIENT_NAME)) != 0)
        return 0;
    const char *digits = member + strlen(CLIENT_NAME);
    if (*digits < '1' || *digits > '9' || strspn(digits, "0123456789") != strlen(digits) ||
        strlen(digits) > 9)
        return 0;
    uint32_t client = (uint32_t)strtoul(digits, NULL, 10);
    return client <= self->settings->clients ? client : 0;
}

static uint32_t client_number(const coordinator_t *self, const fmq_event_t *event)
{
    return event->role == FMQ_ROLE_CLIENT ? number_of(self, event->member) : 0;
}

static void member_left(coordinator_t *self, uint32_t client)
{
    if (self->participants.all[client - 1].alive)
        fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "client-gone",
                      "client=%u round=%u", client, self->mark.round);
    fmq_participants_left(&self->participants, client, self->now_ms);
    fmq_collector_lost(self->collector, client, self->now_ms);
}

static int on_member(coordinator_t *self, const fmq_event_t *event, fmq_error_t *err)
{
    (void)err;
    if (event->role == FMQ_ROLE_EVALUATOR)
        fmq_coordinator_watch(self, event);
    uint32_t client = client_number(self, event);
    if (client == 0)
        return 0;
    if (!event->alive) {
        member_left(self, client);
        return 0;
    }
    if (!self->participants.all[client - 1].alive)
        fmq_participants_excuse(&self->participants, client, self->now_ms);
    fmq_participants_arrived(&self->participants, client);
    progress_t *progress = &self->progress[client - 1];
    bool moved = progress->step != event->step || progress->steps != event->steps;
    if (moved && event->steps > 0)
        fmq_participants_moved(&self->participants, client, self->now_ms);
    else if (moved) /* it fetches, or waits for a permit: no measure of a step */
        fmq_participants_excuse(&self->participants, client, self->now_ms);
    *progress = (progress_t){event->step, event->steps};
    bool busy = self->participants.phase == FMQ_PHASE_ASKING;
    if (busy && event->steps > 0)
        fmq_coordinator_show_now_and_then(self, FMQ_RUN_PROGRESS);
    return 0;
}

/* Somebody takes itself for a client that this run does not have; nobody hears
 * that more than once a second. */
static void turn_away(coordinator_t *self, const fmq_event_t *event)
{
    if (self->now_ms - self->turned_ms < TURNED_MS)
        return;
    self->turned_ms = self->now_ms;
    fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "client-refused",
                  "name=%s reason=\"this run has the clients 1 to %" PRIu32
                  " (federate.client_num): give that one another --id\"",
                  event->member, self->settings->clients);
}

static int take_report(coordinator_t *self, const fmq_event_t *event, fmq_error_t *err)
{
    uint32_t client = client_number(self, event);
    if (event->role == FMQ_ROLE_EVALUATOR)
        fmq_coordinator_take_standing(self, event);
    else if (client == 0)
        turn_away(self, event);
    return client ? fmq_coordinator_take_report(self, client, event, err) : 0;
}

static const struct {
    const char *topic;
    int (*handle)(coordinator_t *self, const fmq_event_t *event, fmq_error_t *err);
} topics[] = {{"report", take_report}, {"metrics", fmq_coordinator_take_metrics}};

static int on_note(coordinator_t *self, const fmq_event_t *event, fmq_error_t *err)
{
    if (strncmp(event->topic, SHARD_TOPIC, strlen(SHARD_TOPIC)) == 0)
        fmq_coordinator_take_shard(self, event);
    for (size_t i = 0; i < sizeof topics / sizeof *topics; i++)
        if (strcmp(topics[i].topic, event->topic) == 0)
            return topics[i].handle(self, event, err);
    return 0;
}

static int on_fetch(coordinator_t *self, const fmq_event_t *event, fmq_error_t *err)
{
    if (event->type == FMQ_EVENT_CHUNK) /* of its update: it is the fabric that is slow */
        fmq_participants_excuse(&self->participants, number_of(self, event->member), self->now_ms);
    return fmq_collector_event(self->collector, event, self->now_ms, err);
}

static int on_connection(coordinator_t *self, const fmq_event_t *event, fmq_error_t *err)
{
    (void)err;
    bool up = event->type == FMQ_EVENT_UP;
    fmq_log_write(self->options.log, up ? FMQ_LOG_INFO : FMQ_LOG_WARNING, "server",
                  up ? "up" : "down", "endpoint=%s", self->options.endpoint);
    return 0;
}

static int on_refused(coordinator_t *self, const fmq_event_t *event, fmq_error_t *err)
{
    (void)self;
    return fmq_error_set(err, event->error.code, "the router refuses the server: %s",
                         event->error.text);
}

static int (*const handlers[])(coordinator_t *, const fmq_event_t *, fmq_error_t *) = {
    [FMQ_EVENT_UP] = on_connection, [FMQ_EVENT_DOWN] = on_connection,
    [FMQ_EVENT_MEMBER] = on_member, [FMQ_EVENT_NOTE] = on_note,
    [FMQ_EVENT_CHUNK] = on_fetch,   [FMQ_EVENT_FETCHED] = on_fetch,
    [FMQ_EVENT_FAILED] = on_fetch,  [FMQ_EVENT_REFUSED] = on_refused};

static int take_events(coordinator_t *self, fmq_error_t *err)
{
    fmq_event_t event;
    for (int i = 0; i < EVENTS_MAX; i++) {
        int got = fmq_link_receive(self->link, 0, &event, NULL);
        self->drained = got <= 0;
        if (got <= 0)
            return 0;
        if (handlers[event.type](self, &event, err) < 0)
            return -1;
    }
    return 0;
}

static void accepted(void *argument, uint32_t client)
{
    coordinator_t *self = argument;
    fmq_participants_answered(&self->participants, client);
    self->bytes_up += fmq_collector_bytes(self->collector, client);
}

static void rejected(void *argument, uint32_t client, const char *reason)
{
    fmq_coordinator_leave_out(argument, client, reason);
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
            fmq_coordinator_post_task(self, k, FMQ_TASK_WAIT, err) < 0)
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
    if (rc == 0 && fmq_participants_decide(&self->participants, self->now_ms) == FMQ_DECIDE_STAY)
        rc = acknowledge(self, before, err);
    if (rc == 0)
        fmq_coordinator_show(self, FMQ_RUN_PROGRESS);
    free(before);
    return rc;
}

static void show_waiting(coordinator_t *self)
{
    uint32_t ready = fmq_participants_count(&self->participants, self->now_ms).ready;
    if (self->participants.phase != FMQ_PHASE_WAITING)
        return;
    if (ready == self->shown_ready && self->now_ms < self->missing_ms)
        return;
    bool again = ready == self->shown_ready;
    self->missing_pause_ms = again ? 2 * self->missing_pause_ms : MISSING_MS;
    if (self->missing_pause_ms > MISSING_MAX_MS)
        self->missing_pause_ms = MISSING_MAX_MS;
    self->missing_ms = self->now_ms + self->missing_pause_ms;
    self->shown_ready = ready;
    fmq_coordinator_show(self, FMQ_RUN_WAITING);
}

/* One turn: events, the journal, what follows. */
static int turn(coordinator_t *self, fmq_error_t *err)
{
    self->now_ms = fmq_clock_ms();
    fmq_coordinator_excuse_if_deaf(self);
    if (take_events(self, err) < 0 || (self->dealt && fmq_dealt_save(self->dealt, err) < 0) ||
        commit(self, err) < 0)
        return -1;
    fmq_coordinator_drop_stalled(self);
    show_waiting(self);
    if (fmq_coordinator_advance(self, err) < 0 ||
        fmq_collector_work(self->collector, is_alive, self->now_ms, err) < 0)
        return -1;
    if (self->participants.phase == FMQ_PHASE_ENDING)
        self->over = fmq_coordinator_may_end(self);
    fmq_coordinator_tell_status(self);
    return 0;
}

static int serve(coordinator_t *self, fmq_error_t *err)
{
    int rc = 0;
    while (rc == 0 && !self->over && !self->terminated) {
        (void)fmq_link_wait(
            self->link, self->pipe,
            fmq_participants_patience(&self->participants, fmq_clock_ms(), TICK_MS));
        self->terminated = fmq_pipe_terminated_because(self->pipe, &self->told);
        rc = turn(self, err);
    }
    return rc;
}

static void name_new_run(char run[FMQ_RUN_ID_SIZE])
{
    unsigned char bytes[16];
    randombytes_buf(bytes, sizeof bytes);
    (void)sodium_bin2hex(run, FMQ_RUN_ID_SIZE, bytes, sizeof bytes);
}

static const char *meaning_of(const coordinator_t *self)
{
    return self->options.meaning ? self->options.meaning : "";
}

static void take_meaning(coordinator_t *self)
{
    (void)snprintf(self->mark.meaning, sizeof self->mark.meaning, "%s", meaning_of(self));
}

static int stand_at_the_beginning(coordinator_t *self, fmq_error_t *err)
{
    name_new_run(self->mark.run);
    self->mark.model = self->options.model;
    take_meaning(self);
    if (self->state != self->options.initial)
        memcpy(self->state, self->options.initial,
               fmq_schema_elements(self->options.schema) * sizeof *self->state);
    self->mark.aligned = fmq_strategy_prepared(&self->strategy);
    return fmq_checkpoint_put(self->checkpoints, &self->mark, &self->sections, err);
}

/* Begins anew, or goes on where the directory's checkpoints say. */
static int stand(coordinator_t *self, fmq_error_t *err)
{
    fmq_checkpoint_search_t search = {self->checkpoints, &self->sections, self->options.log};
    uint32_t skipped = 0;
    int found = fmq_checkpoint_newest(&search, &self->mark, &skipped, err);
    if (found < 0)
        return -1;
    if (found == 0)
        return stand_at_the_beginning(self, err);
    if (!fmq_digest_equal(&self->mark.model, &self->options.model))
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "the run in '%s' was made with another base model",
                             self->options.directory);
    if (fmq_checkpoint_compare(&self->mark, meaning_of(self), self->options.directory, err) < 0)
        return -1;
    take_meaning(self);
    fmq_log_write(self->options.log, FMQ_LOG_INFO, "server", "resumed",
                  "run=%s round=%u skipped=%u", self->mark.run, self->mark.round, skipped);
    if (skipped == 0)
        return 0;
    self->mark.epoch++;
    if (fmq_checkpoint_put(self->checkpoints, &self->mark, &self->sections, err) < 0)
        return -1;
    fmq_checkpoint_forget(self->checkpoints, self->mark.round);
    return 0;
}

/* Where best and last states will be copied to must be known to work before
 * a long run begins. */
static int make_place_for_copies(const char *save_to, fmq_error_t *err)
{
    const char *slash = strrchr(save_to, '/');
    if (!slash || slash == save_to)
        return 0;
    char *parent = fmq_file_path(err, "%.*s", (int)(slash - save_to), save_to);
    int rc = parent ? fmq_directory_make(parent, err) : -1;
    free(parent);
    return rc;
}

static int open_files(coordinator_t *self, fmq_error_t *err)
{
    const char *directory = self->options.directory;
    self->journals = fmq_file_path(err, "%s/journal", directory);
    self->checkpoints = fmq_file_path(err, "%s/checkpoints", directory);
    self->best = fmq_file_path(err, "%s/best", directory);
    char *metrics = fmq_file_path(err, "%s/metrics.jsonl", directory);
    int rc = -1;
    if (!self->journals || !self->checkpoints || !self->best || !metrics)
        goto fail;
    if (fmq_directory_make(self->journals, err) < 0 ||
        fmq_directory_make(self->checkpoints, err) < 0 ||
        make_place_for_copies(self->settings->save_to, err) < 0 ||
        (self->options.offsite && make_place_for_copies(self->options.offsite->save_to, err) < 0))
        goto fail;
    if (!self->settings->own_data &&
        !(self->dealt = fmq_dealt_open(directory, self->settings->clients, err)))
        goto fail;
    self->history = fmq_metrics_log_open(metrics, err);
    rc = self->history ? stand(self, err) : -1;
fail:
    free(metrics);
    return rc;
}

static int no_memory(uint64_t elements, fmq_error_t *err)
{
    return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for a state of %" PRIu64 " elements",
                         elements);
}

static int open_memory(coordinator_t *self, fmq_error_t *err)
{
    uint32_t clients = self->settings->clients;
    uint64_t elements = fmq_schema_elements(self->options.schema);
    if (fmq_participants_init(&self->participants, clients, &self->settings->limits, err) < 0)
        return -1;
    if (!self->options.state)
        self->own_state = calloc(elements ? (size_t)elements : 1, sizeof *self->own_state);
    self->state = self->options.state ? self->options.state : self->own_state;
    self->answers = calloc(clients, sizeof *self->answers);
    self->progress = calloc(clients, sizeof *self->progress);
    self->fits = calloc(clients, sizeof *self->fits);
    self->computing = calloc(clients, sizeof *self->computing);
    self->fetched = calloc(clients, sizeof *self->fetched);
    if (!self->state || !self->answers || !self->progress || !self->fetched || !self->fits ||
        !self->computing)
        return no_memory(elements, err);
    return fmq_coordinator_open_strategy(self, err);
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
    const fmq_coordinator_options_t *options = &self->options;
    if (options->publish && options->publish(options->publish_argument, self->link, &self->manifest,
                                             &self->manifest_bytes, err) < 0)
        return -1;
    if (fmq_coordinator_post_run(self, err) < 0 || fmq_coordinator_prepare(self, err) < 0)
        return -1;
    if (self->over || self->terminated)
        return 0;
    return fmq_coordinator_post_state(self, self->mark.round >= self->settings->rounds, err);
}

static void release(coordinator_t *self)
{
    fmq_collector_destroy(&self->collector);
    fmq_update_log_close(&self->journal);
    fmq_coordinator_end_lending(self);
    fmq_link_close(&self->link, LINGER_MS);
    fmq_metrics_log_close(&self->history);
    fmq_coordinator_drop_answers(self);
    fmq_participants_release(&self->participants);
    free(self->answers);
    free(self->progress);
    fmq_dealt_close(&self->dealt);
    free(self->fits);
    free(self->computing);
    free(self->fetched);
    free(self->own_state);
    fmq_strategy_close(&self->strategy);
    free(self->journals);
    free(self->checkpoints);
    free(self->best);
}

/* Why it ended, for the pipe: an error's code, or FMQ_OK with a reason. */
static fmq_error_t conclude(coordinator_t *self)
{
    fmq_error_t why = self->fatal;
    if (why.code == FMQ_OK && self->told.code != FMQ_OK)
        why = self->told;
    else if (why.code == FMQ_OK && self->terminated)
        (void)fmq_error_set(&why, FMQ_ERR_STOPPED, "interrupted");
    else if (why.code == FMQ_OK)
        (void)fmq_error_set(&why, FMQ_OK, "%s", self->outcome);
    bool failed = why.code != FMQ_OK;
    fmq_log_write(self->options.log, failed ? FMQ_LOG_ERROR : FMQ_LOG_INFO, "server", "ended",
                  "round=%u reason=\"%s\"", self->mark.round, why.text);
    fmq_coordinator_tell_end(self, &why);
    if (self->link && why.code == FMQ_ERR_STOPPED) /* --resume goes on with who is still there */
        (void)fmq_coordinator_post_away(self, NULL);
    else if (self->link)
        (void)fmq_coordinator_post_done(self, failed, why.text, NULL);
    fmq_run_event_t event = {.type = FMQ_RUN_ENDED,
                             .round = self->mark.round,
                             .rounds = self->settings->rounds,
                             .train_loss = self->train_loss,
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
    self->pipe = pipe;
    self->now_ms = fmq_clock_ms();
    self->train_loss = self->align_loss = NAN;
    self->outcome = "finished";
    self->evaluated = -1;
    if (open_memory(self, &self->fatal) == 0 && open_files(self, &self->fatal) == 0 &&
        open_fabric(self, &self->fatal) == 0 && open_run(self, &self->fatal) == 0)
        (void)serve(self, &self->fatal);
    why = conclude(self);
    bool terminated = self->terminated;
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
