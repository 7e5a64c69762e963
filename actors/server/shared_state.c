/*
 * shared_state.c - lends the state, moves its readers, and gives its memory back.
 */
#include "actors/server/shared_state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/pages.h"

static size_t bytes_of(const fmq_shared_state_t *self)
{
    return (size_t)fmq_schema_elements(self->options.schema) * sizeof *self->vector;
}

int fmq_shared_state_open(fmq_shared_state_t *self, const fmq_shared_state_options_t *options,
                          const float *initial, float *vector, fmq_error_t *err)
{
    self->options = *options;
    size_t bytes = bytes_of(self);
    if (!vector)
        vector = self->own = calloc(1, bytes ? bytes : 1);
    if (!vector)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for a state of %" PRIu64 " elements",
                             fmq_schema_elements(options->schema));
    if (vector != initial)
        memcpy(vector, initial, bytes);
    self->vector = vector;
    return 0;
}

void fmq_shared_state_release(fmq_shared_state_t *self)
{
    fmq_shared_state_end_lending(self);
    free(self->own);
    memset(self, 0, sizeof *self);
}

int fmq_shared_state_lend(fmq_shared_state_t *self, fmq_object_t **object, fmq_error_t *err)
{
    *object = NULL;
    if (self->lent)
        return 0;
    self->lent = fmq_lent_state_new(self->options.schema, self->vector, self->options.codec, err);
    if (!self->lent)
        return -1;
    *object = fmq_lent_state_object(self->lent);
    return 0;
}

/* Readers of what is published go on in its checkpoint. */
static bool move(const fmq_shared_state_t *self)
{
    fmq_error_t err;
    uint64_t offset;
    const fmq_checkpoints_t *checkpoints = self->options.checkpoints;
    uint32_t round = checkpoints->mark.round;
    char *path = fmq_checkpoint_find_state(checkpoints->directory, round, self->options.schema,
                                           &offset, &err);
    bool moved = path && fmq_lent_state_move(self->lent, path, offset, &err) == 0;
    if (!moved)
        fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "state-not-moved",
                      "round=%u reason=\"%s\"", round, err.text);
    free(path);
    return moved;
}

void fmq_shared_state_put_away(fmq_shared_state_t *self)
{
    size_t most = self->options.kept_max ? self->options.kept_max : FMQ_STATE_KEPT_MAX;
    if (self->away || !self->lent || bytes_of(self) <= most || !move(self))
        return;
    fmq_pages_forget(self->vector, bytes_of(self));
    self->away = true;
}

int fmq_shared_state_bring(fmq_shared_state_t *self, fmq_error_t *err)
{
    if (!self->away)
        return 0;
    if (fmq_lent_state_restore(self->lent, self->vector, err) < 0)
        return fmq_error_prefix(err, "round %u", self->options.checkpoints->mark.round);
    self->away = false;
    return 0;
}

int fmq_shared_state_reclaim(fmq_shared_state_t *self, fmq_error_t *err)
{
    if (fmq_shared_state_bring(self, err) < 0)
        return -1;
    fmq_shared_state_end_lending(self);
    return 0;
}

void fmq_shared_state_end_lending(fmq_shared_state_t *self)
{
    if (self->lent)
        (void)move(self);
    fmq_lent_state_end(&self->lent);
}
