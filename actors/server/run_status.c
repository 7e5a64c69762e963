/*
 * run_status.c - tells observers, and the run's directory, how the run stands.
 *
 * It only reads.  The note goes out about once a second; the file, which says the
 * same to who cannot ask or comes later, when something began or ended, and now
 * and then.  It is not synced: it says nothing that a run goes on from.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/protocol/status.h"
#include "actors/server/coordinator_private.h"
#include "actors/storage/file.h"
#include "base/proc.h"
#include "fedmq/base/clock.h"

#define NOTE_MS 1000
#define FILE_MS 5000

static bool measures(const coordinator_t *self)
{
    return self->participants.phase == FMQ_PHASE_ASKING &&
           self->participants.exchange->task == FMQ_TASK_EVALUATE;
}

static fmq_run_phase_t phase_of(const coordinator_t *self)
{
    static const fmq_run_phase_t phases[] = {[FMQ_PHASE_WAITING] = FMQ_RUN_PHASE_WAITING,
                                             [FMQ_PHASE_ASKING] = FMQ_RUN_PHASE_TRAINING,
                                             [FMQ_PHASE_ENDING] = FMQ_RUN_PHASE_ENDING};
    if (self->showing.block > 0)
        return FMQ_RUN_PHASE_PREPARING;
    return measures(self) ? FMQ_RUN_PHASE_MEASURING : phases[self->participants.phase];
}

static fmq_standing_t standing_of_asked(const coordinator_t *self, uint32_t client)
{
    const fmq_participant_t *participant = &self->participants.all[client - 1];
    if (participant->answered)
        return FMQ_STANDING_DONE;
    if (participant->left_out)
        return FMQ_STANDING_LEFT_OUT;
    if (self->collector && fmq_collector_is_queued(self->collector, client))
        return FMQ_STANDING_UPLOADING;
    if (participant->steps == 0)
        return FMQ_STANDING_STARTING;
    return measures(self) ? FMQ_STANDING_MEASURING : FMQ_STANDING_TRAINING;
}

static fmq_standing_t standing_of(const coordinator_t *self, uint32_t client)
{
    const fmq_participant_t *participant = &self->participants.all[client - 1];
    bool works = self->participants.phase == FMQ_PHASE_ASKING;
    if (!participant->alive)
        return participant->ready || participant->gone_ms > 0 ? FMQ_STANDING_GONE
                                                              : FMQ_STANDING_AWAITED;
    if (works && participant->asked)
        return standing_of_asked(self, client);
    return participant->ready ? FMQ_STANDING_IDLE : FMQ_STANDING_JOINING;
}

static void list_client(const coordinator_t *self, fmq_status_t *out, uint32_t client,
                        fmq_standing_t standing)
{
    const fmq_participant_t *participant = &self->participants.all[client - 1];
    bool steps = standing == FMQ_STANDING_TRAINING || standing == FMQ_STANDING_MEASURING;
    if (out->listed < FMQ_STATUS_CLIENTS_MAX)
        out->list[out->listed++] = (fmq_status_client_t){.client = client,
                                                         .standing = standing,
                                                         .step = steps ? participant->step : 0,
                                                         .steps = steps ? participant->steps : 0};
}

/* Those with nothing to do are named where there is room for everybody. */
static void fill_clients(const coordinator_t *self, fmq_status_t *out)
{
    bool all = self->participants.clients <= FMQ_STATUS_CLIENTS_MAX;
    for (uint32_t k = 1; self->participants.all && k <= self->participants.clients; k++) {
        fmq_standing_t standing = standing_of(self, k);
        out->counts[standing]++;
        if (all || (standing != FMQ_STANDING_IDLE && standing != FMQ_STANDING_AWAITED))
            list_client(self, out, k, standing);
    }
}

static void fill_evaluators(const coordinator_t *self, fmq_status_t *out)
{
    for (size_t i = 0; i < self->watchers.size && i < FMQ_STATUS_EVALUATORS_MAX; i++) {
        const fmq_watcher_t *watcher = &self->watchers.list[i];
        fmq_status_evaluator_t *row = &out->evaluator[out->evaluators++];
        memcpy(row->name, watcher->name, sizeof row->name);
        row->alive = watcher->alive;
        row->measured = watcher->measured;
        row->round = watcher->round;
    }
}

static void fill(const coordinator_t *self, fmq_run_phase_t phase, const char *reason,
                 fmq_status_t *out)
{
    uint64_t memory = fmq_proc_kilobytes("/proc/self/status", "VmRSS");
    memcpy(out->run, self->checkpoints.mark.run, sizeof out->run);
    out->phase = phase;
    out->round = self->checkpoints.mark.round;
    out->rounds = self->settings->rounds;
    out->clients = self->settings->clients;
    out->loss = self->measurements.train_loss;
    out->bytes_up = fmq_collector_received(self->collector);
    out->bytes_down = self->announce.bytes_down;
    out->memory = memory == UINT64_MAX ? 0 : memory;
    out->run_seconds = (uint64_t)(self->attention.now_ms - self->status.began_ms) / 1000;
    out->phase_seconds = (uint64_t)(self->attention.now_ms - self->status.phase_ms) / 1000;
    out->written_ms = (uint64_t)fmq_clock_wall_ms();
    (void)snprintf(out->reason, sizeof out->reason, "%s", reason);
    fill_clients(self, out);
    fill_evaluators(self, out);
}

static int write_file(const coordinator_t *self, const void *body, size_t size, fmq_error_t *err)
{
    fmq_file_t file = {.fd = -1};
    char *path = fmq_file_path(err, "%s/" FMQ_STATUS_NAME, self->options.directory);
    int rc = path ? fmq_file_open(&file, path, err) : -1;
    if (rc == 0)
        rc = fmq_file_write(&file, body, size, err) < 0 ? -1 : fmq_file_rename(&file, err);
    fmq_file_abandon(&file);
    free(path);
    return rc;
}

/* Nothing is lost with it: said once. */
static void say_unwritten(coordinator_t *self, const fmq_error_t *why)
{
    if (!self->status.unwritten)
        fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "status-unwritten",
                      "reason=\"%s\" consequence=\"fedmq status DIR may tell what was\"",
                      why->text);
    self->status.unwritten = true;
}

static void tell(coordinator_t *self, fmq_run_phase_t phase, const char *reason, bool file)
{
    uint8_t *body = malloc(FMQ_STATUS_BYTES_MAX);
    fmq_status_t *status = calloc(1, sizeof *status);
    fmq_error_t err = {0};
    size_t size = 0;
    if (body && status) {
        fill(self, phase, reason, status);
        size = fmq_status_encode(status, body, FMQ_STATUS_BYTES_MAX, &err);
    }
    if (size > 0 && self->link)
        (void)fmq_link_note(self->link, "@observer", FMQ_STATUS_NAME, body, size, NULL);
    if (size > 0 && file && write_file(self, body, size, &err) < 0)
        say_unwritten(self, &err);
    free(status);
    free(body);
}

void fmq_run_status_tell(coordinator_t *self)
{
    fmq_run_phase_t phase = phase_of(self);
    bool other = phase != self->status.phase || self->checkpoints.mark.round != self->status.round;
    if (self->status.began_ms == 0)
        self->status.began_ms = self->attention.now_ms;
    if (other || self->status.phase_ms == 0) {
        self->status.phase_ms = self->attention.now_ms;
        self->status.phase = phase;
        self->status.round = self->checkpoints.mark.round;
        self->status.unsaved = true;
    }
    if (self->status.told_ms > 0 && self->attention.now_ms - self->status.told_ms < NOTE_MS)
        return;
    bool file = self->status.unsaved || self->attention.now_ms - self->status.file_ms >= FILE_MS;
    tell(self, phase, "", file);
    self->status.told_ms = self->attention.now_ms;
    if (file)
        self->status.file_ms = self->attention.now_ms;
    self->status.unsaved = self->status.unsaved && !file;
}

void fmq_run_status_tell_end(coordinator_t *self, const fmq_error_t *why)
{
    fmq_run_phase_t phase = why->code == FMQ_OK            ? FMQ_RUN_PHASE_ENDED
                            : why->code == FMQ_ERR_STOPPED ? FMQ_RUN_PHASE_AWAY
                                                           : FMQ_RUN_PHASE_FAILED;
    fmq_attention_look(&self->attention);
    if (self->status.began_ms == 0 || *self->checkpoints.mark.run == '\0') /* it has not begun */
        return;
    tell(self, phase, why->text, true);
}
