/*
 * announce.c - the notes a server leaves.
 */
#include "actors/server/coordinator_private.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int fmq_announce_open(coordinator_t *self, fmq_error_t *err)
{
    self->announce.told = calloc(self->settings->clients, sizeof *self->announce.told);
    return self->announce.told ? 0
                               : fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for %u clients",
                                               self->settings->clients);
}

void fmq_announce_release(coordinator_t *self)
{
    free(self->announce.told);
    memset(&self->announce, 0, sizeof self->announce);
}

/* A task's serial says what it is for, so that a server that was restarted
 * asks with the same serial as before and work that was done still counts.
 * After falling back to an older checkpoint the epoch differs, and with it
 * every serial. */
uint64_t fmq_announce_serial(const coordinator_t *self, fmq_task_kind_t kind)
{
    static const uint64_t order[] = {
        [FMQ_TASK_EVALUATE] = 1, [FMQ_TASK_TRAIN] = 2, [FMQ_TASK_WAIT] = 3, [FMQ_TASK_FINISH] = 4};
    return (uint64_t)self->checkpoints.mark.epoch << 40 |
           (uint64_t)fmq_rounds_index(&self->rounds, self->participants.exchange) << 35 |
           (uint64_t)self->checkpoints.mark.round << 3 | order[kind];
}

static void name_run(const coordinator_t *self, char run[FMQ_RUN_ID_SIZE])
{
    memcpy(run, self->checkpoints.mark.run, FMQ_RUN_ID_SIZE);
}

/* Takes back what a note of ours said: nil tells nobody anything. */
static int take_back(coordinator_t *self, const char *topic, fmq_error_t *err)
{
    static const unsigned char nil = 0xc0;
    return fmq_link_note(self->link, "*", topic, &nil, sizeof nil, err);
}

/* A router that has outlived an earlier process may still know its end; one in
 * this process knows nothing of others. */
static int take_back_older_end(coordinator_t *self, fmq_error_t *err)
{
    bool here = strncmp(self->options.endpoint, "inproc://", 9) == 0;
    return here ? 0 : take_back(self, "done", err);
}

static int publish_model(coordinator_t *self, fmq_error_t *err)
{
    const fmq_coordinator_options_t *options = &self->options;
    if (!options->publish)
        return 0;
    return options->publish(options->publish_argument, self->link, &self->announce.manifest,
                            &self->announce.manifest_bytes, err);
}

int fmq_announce_run(coordinator_t *self, fmq_error_t *err)
{
    if (publish_model(self, err) < 0)
        return -1;
    const char *text = self->options.config_text ? self->options.config_text : "";
    fmq_object_t *object = fmq_object_from_bytes(text, strlen(text), err);
    if (!object || fmq_link_publish(self->link, object, "*", err) < 0) {
        fmq_object_drop(&object);
        return -1;
    }
    fmq_message_run_t note = {.rounds = self->settings->rounds,
                              .clients = self->settings->clients,
                              .config = *fmq_object_digest(object),
                              .config_bytes = fmq_object_bytes(object),
                              .model = self->options.model,
                              .schema = fmq_schema_digest(self->options.schema),
                              .manifest = self->announce.manifest,
                              .manifest_bytes = self->announce.manifest_bytes};
    fmq_object_drop(&object);
    name_run(self, note.run);
    memcpy(note.meaning, self->checkpoints.mark.meaning, sizeof note.meaning);
    unsigned char body[1024];
    size_t size = fmq_message_run_encode(&note, body, sizeof body, err);
    if (size == 0 || take_back_older_end(self, err) < 0)
        return -1;
    return fmq_link_note(self->link, "*", "run", body, size, err);
}

/* The two newest stay published: whoever is fetching the one before is not cut
 * off. */
static void rotate(coordinator_t *self, fmq_published_t *published, const fmq_digest_t *newest)
{
    static const fmq_digest_t none = {{0}};
    if (fmq_digest_equal(&published->now, newest))
        return;
    if (!fmq_digest_equal(&published->before, &none) &&
        !fmq_digest_equal(&published->before, newest))
        (void)fmq_link_withdraw(self->link, &published->before, NULL);
    published->before = published->now;
    published->now = *newest;
}

/* The same vector as before is the same object, which nobody fetches twice. */
static int publish(coordinator_t *self, fmq_published_t *published, fmq_object_t *object,
                   fmq_error_t *err)
{
    if (fmq_link_publish(self->link, object, "*", err) < 0)
        return -1;
    rotate(self, published, fmq_object_digest(object));
    published->bytes = fmq_object_bytes(object);
    return 0;
}

/* What is lent already has not changed since. */
static int publish_state(coordinator_t *self, fmq_error_t *err)
{
    fmq_object_t *object;
    if (fmq_shared_state_lend(&self->shared, &object, err) < 0)
        return -1;
    return object ? publish(self, &self->announce.state, object, err) : 0;
}

/* What clients get beside the state. */
static int publish_beside(coordinator_t *self, fmq_error_t *err)
{
    const fmq_schema_t *schema = NULL;
    const float *vector = fmq_strategy_beside(&self->strategy, &schema);
    if (!vector)
        return 0;
    fmq_object_t *object = fmq_state_encode(schema, vector, self->settings->codec, err);
    int rc = object ? publish(self, &self->announce.beside, object, err) : -1;
    fmq_object_drop(&object);
    return rc;
}

/* Evaluators measure it; who observes may read it too, and write nothing. */
int fmq_announce_state(coordinator_t *self, bool last, fmq_error_t *err)
{
    static const char *const readers[] = {"@evaluator", "@observer"};
    if (publish_state(self, err) < 0 || publish_beside(self, err) < 0)
        return -1;
    fmq_message_state_t note = {.round = self->checkpoints.mark.round,
                                .state = self->announce.state.now,
                                .state_bytes = self->announce.state.bytes,
                                .emulator = self->announce.beside.now,
                                .emulator_bytes = self->announce.beside.bytes,
                                .last = last};
    name_run(self, note.run);
    unsigned char body[512];
    size_t size = fmq_message_state_encode(&note, body, sizeof body, err);
    if (size == 0)
        return -1;
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        if (fmq_link_note(self->link, readers[i], "state", body, size, err) < 0)
            return -1;
    return 0;
}

/* What a task makes its client fetch: what it has already is not. */
static void count_down(coordinator_t *self, uint32_t client)
{
    fmq_digest_t *fetched = &self->announce.told[client - 1];
    self->announce.bytes_down += self->announce.state.bytes;
    if (!fmq_digest_equal(fetched, &self->announce.beside.now))
        self->announce.bytes_down += self->announce.beside.bytes;
    *fetched = self->announce.beside.now;
}

int fmq_announce_task(coordinator_t *self, uint32_t client, fmq_task_kind_t kind, fmq_error_t *err)
{
    char to[FMQ_MEMBER_NAME_MAX];
    (void)snprintf(to, sizeof to, "client-%u", client);
    fmq_message_task_t note = {.serial = fmq_announce_serial(self, kind),
                               .round = self->checkpoints.mark.round,
                               .kind = kind,
                               .state = self->announce.state.now,
                               .state_bytes = self->announce.state.bytes,
                               .emulator = self->announce.beside.now,
                               .emulator_bytes = self->announce.beside.bytes,
                               .codec = self->settings->codec};
    name_run(self, note.run);
    if (kind == FMQ_TASK_TRAIN || kind == FMQ_TASK_EVALUATE)
        count_down(self, client);
    unsigned char body[512];
    size_t size = fmq_message_task_encode(&note, body, sizeof body, err);
    return size ? fmq_link_note(self->link, to, "task", body, size, err) : -1;
}

/* A router that outlives this process must not greet newcomers with its run:
 * who knows the run waits for it or hears that it is done, who does not waits
 * for the next. */
int fmq_announce_away(coordinator_t *self, fmq_error_t *err)
{
    return take_back(self, "run", err);
}

int fmq_announce_done(coordinator_t *self, bool failed, const char *reason, fmq_error_t *err)
{
    fmq_message_done_t note = {.rounds = self->checkpoints.mark.round, .failed = failed};
    (void)snprintf(note.reason, sizeof note.reason, "%s", reason);
    name_run(self, note.run);
    unsigned char body[1024];
    size_t size = fmq_message_done_encode(&note, body, sizeof body, err);
    if (size == 0 || fmq_link_note(self->link, "*", "done", body, size, err) < 0)
        return -1;
    return fmq_announce_away(self, err);
}
