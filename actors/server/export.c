/*
 * export.c - what a run leaves for others: the best and the last state, and
 * copies of them where the configuration says.
 */
#include "actors/server/coordinator_private.h"

#include <stdio.h>
#include <stdlib.h>

#include "actors/storage/directory.h"
#include "actors/storage/file.h"

static int save_as(coordinator_t *self, const char *directory, fmq_error_t *err)
{
    if (!self->options.save || !fmq_coordinator_shares(self))
        return 0;
    if (fmq_coordinator_bring_state(self, err) < 0)
        return -1;
    return self->options.save(self->options.save_argument, self->state, directory, err);
}

/* For whoever takes it elsewhere: perhaps more than the adapter. */
static int copy_to(coordinator_t *self, const char *directory, fmq_error_t *err)
{
    if (!self->options.save_copy || !fmq_coordinator_shares(self))
        return save_as(self, directory, err);
    if (fmq_coordinator_bring_state(self, err) < 0)
        return -1;
    return self->options.save_copy(self->options.save_copy_argument, self->state, directory, err);
}

int fmq_coordinator_save_best(coordinator_t *self, fmq_error_t *err)
{
    char *file = fmq_file_path(err, "%s/best.state", self->best);
    char *adapter = fmq_file_path(err, "%s/adapter", self->best);
    int rc = -1;
    if (!file || !adapter || fmq_directory_make(self->best, err) < 0 ||
        fmq_coordinator_bring_state(self, err) < 0)
        goto fail;
    if (fmq_checkpoint_save(file, &self->mark, &self->sections, err) < 0 ||
        save_as(self, adapter, err) < 0)
        goto fail;
    rc = *self->settings->save_to ? copy_to(self, self->settings->save_to, err) : 0;
fail:
    free(file);
    free(adapter);
    return rc;
}

static int save_prefixed(coordinator_t *self, const char *prefix, fmq_error_t *err)
{
    char *path = fmq_prefixed_path(self->settings->save_to, prefix, err);
    int rc = path ? copy_to(self, path, err) : -1;
    free(path);
    return rc;
}

int fmq_coordinator_save_periodic(coordinator_t *self, fmq_error_t *err)
{
    char prefix[16];
    if (self->settings->save_freq == 0 || !*self->settings->save_to ||
        self->mark.round % self->settings->save_freq != 0)
        return 0;
    (void)snprintf(prefix, sizeof prefix, "%u", self->mark.round);
    return save_prefixed(self, prefix, err);
}

int fmq_coordinator_save_final(coordinator_t *self, fmq_error_t *err)
{
    char *adapter = fmq_file_path(err, "%s/adapter", self->options.directory);
    int rc = adapter ? save_as(self, adapter, err) : -1;
    free(adapter);
    if (rc == 0 && *self->settings->save_to)
        rc = save_prefixed(self, "final", err);
    return rc < 0 ? -1 : fmq_coordinator_export(self, err);
}
