/*
 * reports.c - what clients say of their tasks, and who is left out for it.
 *
 * A report comes from a stranger: what cannot be used leaves its client out of
 * the phase with a reason in the log, and never keeps the phase open.
 */
#include <string.h>

#include "actors/server/coordinator_private.h"
#include "actors/server/reports.h"

/* A client says that it cannot: for this task, after which it is ready for the
 * next one, or at all (serial 0). */
static void take_failure(coordinator_t *self, uint32_t client, const fmq_message_report_t *report,
                         bool current)
{
    fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "client-failed",
                  "client=%u round=%u reason=\"%s\"", client, report->round, report->reason);
    if (report->serial != 0)
        fmq_participants_is_ready(&self->participants, client);
    else
        fmq_participants_is_unready(&self->participants, client);
    if (current)
        fmq_participants_leave_out(&self->participants, client, report->reason);
}

void fmq_reports_refuse(coordinator_t *self, uint32_t client, const char *reason)
{
    fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "report-refused",
                  "client=%u round=%u reason=\"%s\"", client, self->checkpoints.mark.round, reason);
    fmq_participants_leave_out(&self->participants, client, reason);
}

/* Takes what the client was asked for in this phase. */
static int take_answer(coordinator_t *self, uint32_t client, const fmq_message_report_t *report,
                       fmq_error_t *err)
{
    const fmq_exchange_t *exchange = self->participants.exchange;
    bool training = exchange->task == FMQ_TASK_TRAIN;
    bool wanted =
        training ? report->phase == FMQ_REPORT_OFFER : report->phase == FMQ_REPORT_MEASURED;
    if (!wanted)
        return 0;
    fmq_error_t why;
    if (training && fmq_counts_check(&self->counts, client, report, &why) < 0) {
        fmq_reports_refuse(self, client, why.text);
        return 0;
    }
    if (training && report->samples == 0 && !self->settings->ignore_weight) {
        fmq_reports_refuse(self, client, "it has used no training example");
        return 0;
    }
    if (fmq_strategy_accept(&self->strategy,
                            fmq_rounds_index(&self->rounds, self->participants.exchange), client,
                            report, &why) < 0) {
        fmq_reports_refuse(self, client, why.text);
        return 0;
    }
    if (fmq_measurements_keep(self, client, &report->metrics, err) < 0)
        return -1;
    if (exchange->accept == FMQ_ACCEPT_UPDATE)
        fmq_collector_offer(self->collector, client, report);
    else
        fmq_participants_answered(&self->participants, client);
    return 0;
}

/* The serial that answers of this exchange quote; 0: none is open. */
static uint64_t serial_of_phase(const coordinator_t *self)
{
    return self->participants.phase == FMQ_PHASE_ASKING
               ? fmq_announce_serial(self, self->participants.exchange->task)
               : 0;
}

int fmq_reports_take(coordinator_t *self, uint32_t client, const char *member,
                     const fmq_message_report_t *report, fmq_error_t *err)
{
    fmq_participants_t *participants = &self->participants;
    if (strcmp(report->run, self->checkpoints.mark.run) != 0)
        return 0;
    const fmq_participant_t *participant = &participants->all[client - 1];
    bool current = participant->asked && !participant->answered &&
                   report->serial == serial_of_phase(self) && report->serial != 0;
    if (report->phase == FMQ_REPORT_FAILED) {
        take_failure(self, client, report, current);
        return 0;
    }
    fmq_participants_is_ready(participants, client);
    fmq_computing_hear_client(&self->computing, client, member, report->computes);
    if (fmq_records_take_fit(self, client, report, err) < 0)
        return -1;
    if (current && report->phase == FMQ_REPORT_WORKING)
        fmq_participants_excuse(participants, client, self->attention.now_ms);
    else if (current)
        fmq_participants_moved(participants, client, self->attention.now_ms);
    return current ? take_answer(self, client, report, err) : 0;
}
