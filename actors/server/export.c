/*
 * export.c - what a run leaves for others: the best and the last state, and
 * copies of them where the configuration says.
 */
#include "actors/server/coordinator_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/storage/directory.h"
#include "actors/storage/file.h"

static int save_as(coordinator_t *self, const char *directory, fmq_error_t *err)
{
    if (!self->options.save || !fmq_coordinator_shares(self))
        return 0;
    if (fmq_shared_state_bring(&self->shared, err) < 0)
        return -1;
    return self->options.save(self->options.save_argument, self->shared.vector, directory, err);
}

/* For whoever takes it elsewhere: perhaps more than the adapter. */
static int copy_to(coordinator_t *self, const char *directory, fmq_error_t *err)
{
    if (!self->options.save_copy || !fmq_coordinator_shares(self))
        return save_as(self, directory, err);
    if (fmq_shared_state_bring(&self->shared, err) < 0)
        return -1;
    return self->options.save_copy(self->options.save_copy_argument, self->shared.vector, directory,
                                   err);
}

int fmq_coordinator_save_best(coordinator_t *self, fmq_error_t *err)
{
    char *file = fmq_file_path(err, "%s/best/best.state", self->options.directory);
    char *adapter = fmq_file_path(err, "%s/best/adapter", self->options.directory);
    char *best = fmq_file_path(err, "%s/best", self->options.directory);
    int rc = -1;
    if (!file || !adapter || !best || fmq_directory_make(best, err) < 0 ||
        fmq_shared_state_bring(&self->shared, err) < 0)
        goto fail;
    if (fmq_checkpoints_save(&self->checkpoints, file, err) < 0 || save_as(self, adapter, err) < 0)
        goto fail;
    rc = *self->settings->save_to ? copy_to(self, self->settings->save_to, err) : 0;
fail:
    free(best);
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
        self->checkpoints.mark.round % self->settings->save_freq != 0)
        return 0;
    (void)snprintf(prefix, sizeof prefix, "%u", self->checkpoints.mark.round);
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

int fmq_coordinator_make_places(coordinator_t *self, fmq_error_t *err)
{
    if (make_place_for_copies(self->settings->save_to, err) < 0)
        return -1;
    return self->options.offsite ? make_place_for_copies(self->options.offsite->save_to, err) : 0;
}
