/*
 * splitter.c - the actor that reads the data set and hands out its shards.
 *
 * Everything it says is latest-value: it publishes each shard for its client
 * alone, leaves a note for it, and then only stays to serve late comers.
 */
#include "fedmq/actors/actors.h"

#include <stdio.h>
#include <stdlib.h>

#include "actors/protocol/inbound.h"
#include "actors/runtime/pipe.h"
#include "actors/runtime/presence.h"
#include "actors/settings/settings.h"
#include "actors/splitter/dealing.h"
#include "actors/splitter/pieces.h"
#include "fedmq/base/clock.h"

#define NAME      "splitter"
#define LINGER_MS 500

typedef struct {
    fmq_context_t context; /* what it points to is borrowed */
    fmq_pieces_t *pieces;
    fmq_link_t *link;
    char run[FMQ_RUN_ID_SIZE]; /* the run that is going on, or "" */
    fmq_presence_t presence;   /* of its server */
    bool ended;                /* the run is over: */
    fmq_error_t why;           /* how */
} splitter_t;

static int leave_note(splitter_t *self, const char *reader, const char *topic,
                      const fmq_message_shard_t *note, fmq_error_t *err)
{
    uint8_t body[256];
    size_t size = fmq_message_shard_encode(note, body, sizeof body, err);
    if (size == 0)
        return -1;
    return fmq_link_note(self->link, reader, topic, body, size, err);
}

static void name_reader(uint32_t client, char reader[FMQ_MEMBER_NAME_MAX])
{
    snprintf(reader, FMQ_MEMBER_NAME_MAX, "@evaluator");
    if (client > 0)
        snprintf(reader, FMQ_MEMBER_NAME_MAX, "client-%u", client);
}

/* Publishes client k's shard, or the server-held one (0) for evaluators. */
static int publish(splitter_t *self, uint32_t client, fmq_message_shard_t *note, fmq_error_t *err)
{
    char reader[FMQ_MEMBER_NAME_MAX];
    uint64_t counts[3] = {0};
    name_reader(client, reader);
    fmq_object_t *shard = fmq_pieces_shard(self->pieces, client, counts, err);
    if (!shard)
        return -1;
    *note = (fmq_message_shard_t){.client = client,
                                  .shard = *fmq_object_digest(shard),
                                  .shard_bytes = fmq_object_bytes(shard),
                                  .train = counts[0],
                                  .val = counts[1],
                                  .test = counts[2]};
    int result = fmq_link_publish(self->link, shard, reader, err);
    fmq_object_drop(&shard);
    if (result == 0)
        fmq_log_write(self->context.log, FMQ_LOG_INFO, NAME, "shard",
                      "reader=%s train=%llu val=%llu test=%llu bytes=%llu", reader,
                      (unsigned long long)note->train, (unsigned long long)note->val,
                      (unsigned long long)note->test, (unsigned long long)note->shard_bytes);
    return result;
}

/* The server holds what clients say of their data against this. */
static int tell_server(splitter_t *self, const fmq_message_shard_t *note, fmq_error_t *err)
{
    char topic[FMQ_TOPIC_MAX];
    snprintf(topic, sizeof topic, "shard-%u", note->client);
    return leave_note(self, "@server", topic, note, err);
}

/* The server hears of all shards before anybody can have got one: no client is
 * ready before it is known what was dealt to each of them. */
static int hand_out(splitter_t *self, fmq_error_t *err)
{
    uint32_t clients = fmq_pieces_clients(self->pieces);
    fmq_message_shard_t *notes = calloc((size_t)clients + 1, sizeof *notes);
    int result =
        notes ? 0 : fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for %u shards", clients);
    for (uint32_t client = 0; result == 0 && client <= clients; client++) {
        result = publish(self, client, &notes[client], err);
        if (result == 0 && client > 0)
            result = tell_server(self, &notes[client], err);
    }
    for (uint32_t client = 0; result == 0 && client <= clients; client++) {
        char reader[FMQ_MEMBER_NAME_MAX];
        name_reader(client, reader);
        result = leave_note(self, reader, "shard", &notes[client], err);
    }
    free(notes);
    return result;
}

static int start(splitter_t *self, fmq_error_t *err)
{
    fmq_link_options_t options = {.endpoint = self->context.endpoint,
                                  .name = NAME,
                                  .role = FMQ_ROLE_SPLITTER,
                                  .store = self->context.store,
                                  .hub = self->context.hub,
                                  .first_version = self->context.first_version,
                                  .log = self->context.log};
    self->pieces = fmq_pieces_new(self->context.config, self->context.log, err);
    if (!self->pieces)
        return -1;
    if (self->context.say) {
        char line[FMQ_DEALING_BYTES + 16];
        snprintf(line, sizeof line, "data: %s", fmq_pieces_told(self->pieces));
        self->context.say(self->context.say_argument, line);
    }
    fmq_settings_times(self->context.config, &options.heartbeat_ms, &options.timeout_ms);
    options.connect_ms = fmq_settings_connect(self->context.config);
    fmq_presence_init(&self->presence, &self->context, fmq_clock_ms());
    self->link = fmq_link_open(&options, err);
    if (!self->link)
        return -1;
    if (hand_out(self, err) < 0)
        return -1;
    fmq_pieces_destroy(&self->pieces); /* what is published is held by the link */
    return 0;
}

static void on_run(void *argument, const fmq_event_t *event, const void *message)
{
    splitter_t *self = argument;
    const fmq_message_run_t *run = message;
    (void)event;
    memcpy(self->run, run->run, sizeof self->run);
}

/* Only the end of a run that was seen going on counts: a router may remember older
 * ones. */
static void on_done(void *argument, const fmq_event_t *event, const void *message)
{
    splitter_t *self = argument;
    const fmq_message_done_t *done = message;
    (void)event;
    if (strcmp(done->run, self->run) != 0)
        return;
    self->ended = true;
    if (done->failed && !self->context.leads) /* else its server says so itself */
        fmq_error_set(&self->why, FMQ_ERR_FAILED, "the run has failed: %s", done->reason);
    else
        fmq_error_set(&self->why, FMQ_OK, "%s", done->reason);
}

static const fmq_inbound_t inbound[] = {{"run", FMQ_FROM(FMQ_ROLE_SERVER), on_run, false},
                                        {"done", FMQ_FROM(FMQ_ROLE_SERVER), on_done, false}};

/* True when it ends the splitter, why says how. */
static bool handle(splitter_t *self, const fmq_event_t *event, fmq_error_t *why)
{
    if (event->type == FMQ_EVENT_REFUSED) {
        *why = event->error;
        return true;
    }
    if (event->type == FMQ_EVENT_NOTE)
        (void)fmq_inbound_take(inbound, sizeof inbound / sizeof *inbound, self, event);
    if (self->ended)
        *why = self->why;
    return self->ended;
}

/* Serves until it is told to end (true) or the run is over (false). */
static bool serve(splitter_t *self, zsock_t *pipe, fmq_error_t *why)
{
    bool terminated = false, ended = false;
    while (!terminated && !ended) {
        fmq_event_t event;
        (void)fmq_link_wait(self->link, pipe, fmq_presence_wait(&self->presence, fmq_clock_ms()));
        terminated = fmq_pipe_terminated(pipe);
        while (!ended && fmq_link_receive(self->link, 0, &event, NULL) > 0) {
            fmq_presence_event(&self->presence, &event, fmq_clock_ms());
            ended = handle(self, &event, why);
        }
        if (!ended && !terminated)
            ended = fmq_presence_tend(&self->presence, self->context.log, NAME, fmq_clock_ms(),
                                      why) < 0;
    }
    return terminated;
}

void fmq_splitter_actor(zsock_t *pipe, void *options)
{
    splitter_t self = {.context = *((const fmq_splitter_options_t *)options)->context};
    fmq_error_t why = {0};
    bool terminated = false;
    fmq_pipe_ready(pipe);
    if (start(&self, &why) == 0)
        terminated = serve(&self, pipe, &why);
    if (!terminated && why.code != FMQ_OK)
        fmq_log_write(self.context.log, FMQ_LOG_ERROR, NAME, "failed", "reason=\"%s\"", why.text);
    if (self.link)
        fmq_link_close(&self.link, LINGER_MS);
    fmq_pieces_destroy(&self.pieces);
    if (!terminated) {
        fmq_pipe_done(pipe, &why);
        fmq_pipe_wait(pipe);
    }
}
