/*
 * fetch.c - the vectors that an evaluator measures: a state, which is left where it
 * is until then when this process has it, and with offsite tuning the emulator it
 * was made for.  Which ones is for follow.c to say.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/evaluator/evaluator_private.h"
#include "actors/protocol/download.h"
#include "broker/lent_state.h"
#include "fedmq/base/clock.h"

static const fmq_schema_t *schema_of(const evaluator_t *self)
{
    return llm_adapter_schema(self->context.adapter);
}

static void cancel(evaluator_t *self, fmq_state_reader_t *reader)
{
    if (reader->active)
        (void)fmq_link_cancel(self->link, &reader->digest, NULL);
    reader->active = false;
}

/* A state that is wrong is not measured; for others the policy of download.h
 * holds as long as no newer one is known. */
static void fetch_failed(evaluator_t *self, fmq_follow_item_t *item, const fmq_error_t *err)
{
    bool wrong = fmq_download_judge(err->code) == FMQ_DOWNLOAD_WRONG;
    fmq_log_write(self->context.log, wrong ? FMQ_LOG_WARNING : FMQ_LOG_INFO, self->name,
                  wrong ? "state-skipped" : "fetch-again", "round=%u reason=\"%s\"",
                  item->state.round, err->text);
    cancel(self, &item->reader);
    cancel(self, &item->emulator_reader);
    if (wrong) {
        char reason[FMQ_REASON_MAX];
        (void)snprintf(reason, sizeof reason, "the state of round %u is of no use: %.400s",
                       item->state.round, err->text);
        fmq_follow_skip(&self->follow, item);
        fmq_evaluator_say(self, false, reason);
    } else
        fmq_follow_failed(&self->follow, item,
                          fmq_clock_ms() + fmq_download_pause_ms(++item->failures));
}

/* Takes the event for one of an item's readers; false when that failed. */
static bool take_for(evaluator_t *self, fmq_follow_item_t *item, fmq_state_reader_t *reader,
                     const fmq_event_t *event)
{
    fmq_error_t err;
    if (!reader->active || fmq_state_reader_take(reader, event, &err) != FMQ_RECEIVE_FAILED)
        return true;
    (void)fmq_link_cancel(self->link, &reader->digest, NULL);
    fetch_failed(self, item, &err);
    return false;
}

void fmq_evaluator_take_state(evaluator_t *self, fmq_follow_item_t *item, const fmq_event_t *event)
{
    if (take_for(self, item, &item->reader, event) &&
        take_for(self, item, &item->emulator_reader, event) && !item->reader.active &&
        !item->emulator_reader.active)
        item->stage = FMQ_FOLLOW_READY;
}

/* Room for a vector of this schema, made once. */
static bool make_room(evaluator_t *self, float **vector, const fmq_schema_t *schema)
{
    uint64_t elements = fmq_schema_elements(schema);
    if (!*vector)
        *vector = malloc((elements ? (size_t)elements : 1) * sizeof **vector);
    if (!*vector)
        (void)fmq_error_set(&self->fatal, FMQ_ERR_NOMEM, "no memory for a state");
    return *vector != NULL;
}

static int begin_fetch(evaluator_t *self, fmq_state_reader_t *reader, const fmq_schema_t *schema,
                       const fmq_digest_t *digest, float *vector, fmq_error_t *err)
{
    fmq_state_reader_begin(reader, schema, digest, vector);
    if (fmq_link_fetch(self->link, self->server, digest, 0, fmq_state_bytes_max(schema), err) == 0)
        return 0;
    reader->active = false;
    if (err->code == FMQ_ERR_MISMATCH) /* another item is fetching the same one */
        err->code = FMQ_ERR_TIMEOUT;
    return -1;
}

/* The item's emulator, from the server unless it is known.  1: somebody else
 * is fetching it, and only one fetch of a digest may run. */
static int begin_emulator(evaluator_t *self, fmq_follow_item_t *item, fmq_error_t *err)
{
    const fmq_schema_t *schema = llm_adapter_schema(self->context.offsite->state);
    if (!make_room(self, &item->emulator, schema))
        return 1;
    switch (fmq_follow_find_emulator(&self->follow, item, fmq_schema_elements(schema))) {
    case FMQ_EMULATOR_COMING:
        return 1;
    case FMQ_EMULATOR_NEW:
        return begin_fetch(self, &item->emulator_reader, schema, &item->state.emulator,
                           item->emulator, err);
    case FMQ_EMULATOR_KNOWN:
        break;
    }
    return 0;
}

static int take_values(void *argument, uint64_t first, uint64_t count, const float *values,
                       fmq_error_t *err)
{
    (void)err;
    memcpy((float *)argument + first, values, (size_t)count * sizeof *values);
    return 0;
}

float *fmq_evaluator_take_vector(evaluator_t *self, fmq_follow_item_t *item)
{
    fmq_error_t err;
    float *vector = NULL;
    if (!make_room(self, &item->vector, schema_of(self)))
        return NULL;
    if (item->object &&
        fmq_state_read(item->object, schema_of(self), take_values, item->vector, &err) < 0) {
        fetch_failed(self, item, &err);
        return NULL;
    }
    fmq_object_drop(&item->object);
    vector = item->vector;
    item->vector = NULL;
    return vector;
}

void fmq_evaluator_start_fetch(evaluator_t *self, fmq_follow_item_t *item)
{
    fmq_error_t err;
    fmq_object_drop(&item->object);
    item->object = fmq_link_find(self->link, &item->state.state);
    if (!item->object && !make_room(self, &item->vector, schema_of(self)))
        return;
    int rc = self->context.offsite ? begin_emulator(self, item, &err) : 0;
    if (rc == 1) {
        item->retry_ms = fmq_clock_ms() + FMQ_FOLLOW_RETRY_MS;
        return;
    }
    item->stage = FMQ_FOLLOW_FETCHING;
    if (rc == 0 && !item->object)
        rc = begin_fetch(self, &item->reader, schema_of(self), &item->state.state, item->vector,
                         &err);
    if (rc < 0)
        fetch_failed(self, item, &err);
    else if (!item->reader.active && !item->emulator_reader.active)
        item->stage = FMQ_FOLLOW_READY;
}
