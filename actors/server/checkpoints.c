/*
 * checkpoints.c - begins a run or goes on with one, and counts what is done of it.
 */
#include "actors/server/checkpoints.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/storage/directory.h"
#include "actors/storage/file.h"

int fmq_checkpoints_open(fmq_checkpoints_t *self, const char *run_directory, fmq_log_t *log,
                         fmq_error_t *err)
{
    self->run_directory = run_directory;
    self->log = log;
    self->directory = fmq_file_path(err, "%s/checkpoints", run_directory);
    return self->directory ? fmq_directory_make(self->directory, err) : -1;
}

void fmq_checkpoints_release(fmq_checkpoints_t *self)
{
    free(self->directory);
    memset(self, 0, sizeof *self);
}

void fmq_checkpoints_hold(fmq_checkpoints_t *self, const fmq_schema_t *schema, float *state,
                          const fmq_strategy_t *strategy)
{
    (void)fmq_sections_add(&self->sections, FMQ_SECTION_STATE, schema, state);
    fmq_strategy_sections(strategy, &self->sections);
}

static int put(const fmq_checkpoints_t *self, fmq_error_t *err)
{
    return fmq_checkpoint_put(self->directory, &self->mark, &self->sections, err);
}

static void name_new_run(char run[FMQ_RUN_ID_SIZE])
{
    unsigned char bytes[16];
    randombytes_buf(bytes, sizeof bytes);
    (void)sodium_bin2hex(run, FMQ_RUN_ID_SIZE, bytes, sizeof bytes);
}

static void take_meaning(fmq_checkpoints_t *self, const char *meaning)
{
    (void)snprintf(self->mark.meaning, sizeof self->mark.meaning, "%s", meaning);
}

static int stand_at_the_beginning(fmq_checkpoints_t *self, const fmq_checkpoints_run_t *run,
                                  fmq_error_t *err)
{
    name_new_run(self->mark.run);
    self->mark.model = *run->model;
    take_meaning(self, run->meaning);
    self->mark.prepared = run->prepared;
    return put(self, err);
}

/* Newer ones than the one that it goes on from are not intact. */
static int fall_back(fmq_checkpoints_t *self, fmq_error_t *err)
{
    self->mark.epoch++;
    if (put(self, err) < 0)
        return -1;
    fmq_checkpoint_forget(self->directory, self->mark.round);
    return 0;
}

int fmq_checkpoints_stand(fmq_checkpoints_t *self, const fmq_checkpoints_run_t *run,
                          fmq_error_t *err)
{
    fmq_checkpoint_search_t search = {self->directory, &self->sections, self->log};
    uint32_t skipped = 0;
    int found = fmq_checkpoint_newest(&search, &self->mark, &skipped, err);
    if (found < 0)
        return -1;
    if (found == 0)
        return stand_at_the_beginning(self, run, err);
    if (!fmq_digest_equal(&self->mark.model, run->model))
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "the run in '%s' was made with another base model",
                             self->run_directory);
    if (fmq_checkpoint_compare(&self->mark, run->meaning, self->run_directory, err) < 0)
        return -1;
    take_meaning(self, run->meaning);
    fmq_log_write(self->log, FMQ_LOG_INFO, "server", "resumed", "run=%s round=%u skipped=%u",
                  self->mark.run, self->mark.round, skipped);
    return skipped > 0 ? fall_back(self, err) : 0;
}

const fmq_checkpoint_t *fmq_checkpoints_mark(const fmq_checkpoints_t *self)
{
    return &self->mark;
}

int fmq_checkpoints_complete_round(fmq_checkpoints_t *self, fmq_error_t *err)
{
    self->mark.round++;
    if (put(self, err) < 0)
        return -1;
    fmq_checkpoint_prune(self->directory, fmq_checkpoints_keep(self));
    return 0;
}

int fmq_checkpoints_complete_step(fmq_checkpoints_t *self, fmq_error_t *err)
{
    self->mark.prepared++;
    return put(self, err);
}

int fmq_checkpoints_save(const fmq_checkpoints_t *self, const char *path, fmq_error_t *err)
{
    return fmq_checkpoint_save(path, &self->mark, &self->sections, err);
}

uint32_t fmq_checkpoints_keep(const fmq_checkpoints_t *self)
{
    return self->mark.round > 0 ? self->mark.round - 1 : 0;
}

uint32_t fmq_checkpoints_count_empty(fmq_checkpoints_t *self, bool empty)
{
    self->mark.empty_rounds = empty ? self->mark.empty_rounds + 1 : 0;
    return self->mark.empty_rounds;
}

fmq_verdict_t fmq_checkpoints_judge(fmq_checkpoints_t *self, const fmq_early_stop_rule_t *rule,
                                    double value)
{
    bool stop = fmq_early_stop_update(&self->mark.early_stop, rule, value);
    bool best = fmq_best_update(&self->mark.best, rule->larger, value, self->mark.round);
    return (fmq_verdict_t){.best = best, .stop = stop};
}
