/*
 * emulator.c - the emulator's vector in a run: when it is aligned, and what of
 * it clients get.  A block that is stopped leaves no trace, and every block
 * has random streams of its own, so that a run which was killed anywhere
 * reaches the same bytes.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "actors/server/coordinator_private.h"
#include "actors/storage/file.h"

bool fmq_coordinator_has_emulator(const coordinator_t *self)
{
    return self->options.emulator.schema != NULL;
}

static int note_block(coordinator_t *self, uint32_t round, uint32_t block, fmq_metrics_t *metrics,
                      fmq_error_t *err)
{
    const double *loss = fmq_metrics_get(metrics, "align_loss");
    fmq_metrics_log_key_t key = {round, "server", "align"};
    self->align_loss = loss ? *loss : NAN;
    if (fmq_metrics_set(metrics, "align_block", block, err) < 0)
        return -1;
    return fmq_metrics_log_add_raw(self->history, &key, metrics, err);
}

/* 1: done; 0: told to stop, nothing has changed; -1: it failed. */
static int align(coordinator_t *self, bool first, fmq_metrics_t *metrics, fmq_error_t *err)
{
    const fmq_coordinator_emulator_t *how = &self->options.emulator;
    fmq_alignment_t alignment = {.block = first ? self->mark.aligned
                                                : how->first_blocks + self->mark.round,
                                 .first = first,
                                 .state = self->state,
                                 .emulator = self->emulator,
                                 .progress = fmq_coordinator_progress,
                                 .argument = self};
    self->own_step = (progress_t){0, 0};
    self->block = first ? self->mark.aligned + 1 : 1;
    self->blocks = first ? how->first_blocks : 0;
    fmq_coordinator_show(self, FMQ_RUN_ALIGNING);
    metrics->size = 0;
    fmq_error_t why; /* being told to stop is no error of the run's */
    int rc = how->align(how->argument, &alignment, metrics, &why);
    self->block = 0;
    if (rc < 0 && self->terminated)
        return 0;
    return rc < 0 ? fmq_error_set(err, why.code, "%s", why.text) : 1;
}

/* Clients of the released FedBiOT keep the emulator of round 0, which later
 * checkpoints do not hold. */
static int keep_first(coordinator_t *self, fmq_error_t *err)
{
    char *path = fmq_file_path(err, "%s/sent.state", self->checkpoints);
    fmq_sections_t first = self->sections;
    const fmq_schema_t *schema = self->options.emulator.schema;
    fmq_checkpoint_t mark;
    float *state = NULL;
    int rc = -1;
    if (!path)
        return -1;
    if (self->mark.round == 0) {
        size_t elements = (size_t)fmq_schema_elements(schema);
        memcpy(self->sent, self->emulator, elements * sizeof *self->sent);
        rc = fmq_checkpoint_save(path, &self->mark, &self->sections, err);
        goto fail;
    }
    state = malloc((size_t)fmq_schema_elements(self->options.schema) * sizeof *state);
    if (!state) {
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "no memory to read '%s'", path);
        goto fail;
    }
    fmq_sections_find(&first, FMQ_SECTION_STATE)->vector = state;
    fmq_sections_find(&first, FMQ_SECTION_EMULATOR)->vector = self->sent;
    rc = fmq_checkpoint_load(path, &first, &mark, err);
fail:
    free(state);
    free(path);
    return rc;
}

int fmq_coordinator_align_first(coordinator_t *self, fmq_error_t *err)
{
    const fmq_coordinator_emulator_t *how = &self->options.emulator;
    bool began_whole = how->aligned >= how->first_blocks;
    fmq_metrics_t metrics;
    if (!fmq_coordinator_has_emulator(self))
        return 0;
    while (self->mark.round == 0 && self->mark.aligned < how->first_blocks) {
        int done = align(self, true, &metrics, err);
        if (done <= 0)
            return done;
        self->mark.aligned++;
        if (note_block(self, 0, self->mark.aligned, &metrics, err) < 0 ||
            fmq_checkpoint_put(self->checkpoints, &self->mark, &self->sections, err) < 0)
            return -1;
    }
    if (self->sent && keep_first(self, err) < 0)
        return -1;
    if (self->mark.round == 0 && !began_whole && fmq_coordinator_save_emulator(self, true, err) < 0)
        return -1;
    if (how->exit_after_align) {
        self->over = true;
        self->outcome = "aligned";
    }
    return 0;
}

int fmq_coordinator_align_round(coordinator_t *self, fmq_error_t *err)
{
    fmq_metrics_t metrics;
    if (!fmq_coordinator_has_emulator(self) || !self->options.emulator.every_round)
        return 0;
    int done = align(self, false, &metrics, err);
    if (done <= 0)
        return done;
    return note_block(self, self->mark.round + 1,
                      self->options.emulator.first_blocks + self->mark.round + 1, &metrics, err);
}
