/*
 * round_log.c - the update log of the round that is open, and its lists.
 */
#include "actors/server/round_log.h"

#include <stdlib.h>
#include <string.h>

#include "actors/storage/directory.h"
#include "actors/storage/file.h"

int fmq_round_log_init(fmq_round_log_t *self, const char *run_directory, const fmq_schema_t *schema,
                       fmq_log_t *log, fmq_error_t *err)
{
    self->schema = schema;
    self->log = log;
    self->directory = fmq_file_path(err, "%s/journal", run_directory);
    return self->directory ? fmq_directory_make(self->directory, err) : -1;
}

void fmq_round_log_release(fmq_round_log_t *self)
{
    fmq_round_log_close(self);
    free(self->directory);
    memset(self, 0, sizeof *self);
}

int fmq_round_log_open(fmq_round_log_t *self, const char run[FMQ_RUN_ID_SIZE], uint32_t round,
                       fmq_error_t *err)
{
    fmq_update_log_options_t options = {.directory = self->directory,
                                        .run = run,
                                        .round = round,
                                        .schema = self->schema,
                                        .log = self->log};
    fmq_round_log_close(self);
    self->updates = fmq_update_log_open(&options, err);
    return self->updates ? 0 : -1;
}

void fmq_round_log_close(fmq_round_log_t *self)
{
    fmq_update_log_close(&self->updates);
}

int fmq_round_log_plan(const fmq_round_log_t *self, uint32_t **clients, size_t *size,
                       fmq_error_t *err)
{
    return fmq_update_log_load_list(self->updates, FMQ_UPDATE_LOG_PLAN, clients, size, err);
}

int fmq_round_log_closed(const fmq_round_log_t *self, uint32_t **clients, size_t *size,
                         fmq_error_t *err)
{
    return fmq_update_log_load_list(self->updates, FMQ_UPDATE_LOG_CLOSED, clients, size, err);
}

int fmq_round_log_save_plan(fmq_round_log_t *self, const uint32_t *clients, size_t size,
                            fmq_error_t *err)
{
    return fmq_update_log_save_list(self->updates, FMQ_UPDATE_LOG_PLAN, clients, size, err);
}

int fmq_round_log_save_closed(fmq_round_log_t *self, const uint32_t *clients, size_t size,
                              fmq_error_t *err)
{
    return fmq_update_log_save_list(self->updates, FMQ_UPDATE_LOG_CLOSED, clients, size, err);
}

bool fmq_round_log_has(const fmq_round_log_t *self, uint32_t client)
{
    return fmq_update_log_find(self->updates, client) != NULL;
}

bool fmq_round_log_has_all(const fmq_round_log_t *self, const uint32_t *clients, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!fmq_round_log_has(self, clients[i]))
            return false;
    return true;
}

bool fmq_round_log_is_usable(const fmq_round_log_t *self)
{
    for (size_t i = 0; i < fmq_round_log_size(self); i++)
        if (fmq_update_log_at(self->updates, i)->samples > 0)
            return true;
    return false;
}

size_t fmq_round_log_size(const fmq_round_log_t *self)
{
    return fmq_update_log_size(self->updates);
}

void fmq_round_log_keep(fmq_round_log_t *self, const uint32_t *clients, size_t size)
{
    fmq_update_log_keep(self->updates, clients, size);
}

static int read_update(void *argument, size_t index, uint64_t first, uint64_t count, float *values,
                       fmq_error_t *err)
{
    return fmq_update_log_read_range(argument, index, first, count, values, err);
}

fmq_updates_t fmq_round_log_read(const fmq_round_log_t *self, uint64_t *samples, bool weigh)
{
    size_t size = fmq_round_log_size(self);
    for (size_t i = 0; i < size; i++)
        samples[i] = fmq_update_log_at(self->updates, i)->samples;
    return (fmq_updates_t){.size = size,
                           .samples = weigh ? samples : NULL,
                           .elements = fmq_schema_elements(self->schema),
                           .read = read_update,
                           .argument = self->updates};
}

void fmq_round_log_tidy(const fmq_round_log_t *self, uint32_t keep)
{
    for (uint32_t round = keep; round > 0; round--) {
        fmq_update_log_remove(self->directory, round - 1);
        if (keep - round >= 2) /* older ones went with earlier rounds */
            return;
    }
}
