/*
 * reports.c - what clients say of their tasks, and who is left out for it.
 *
 * A report comes from a stranger: what cannot be used leaves its client out of
 * the phase with a reason in the log, and never keeps the phase open.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "actors/server/coordinator_private.h"
#include "fedmq/actors/shard.h"

void fmq_coordinator_leave_out(coordinator_t *self, uint32_t client, const char *reason)
{
    const fmq_participant_t *participant = &self->participants.all[client - 1];
    if (!participant->asked || participant->answered)
        return;
    (void)snprintf(self->left_out_because, sizeof self->left_out_because, "client %u: %.200s",
                   client, reason);
    fmq_participants_leave_out(&self->participants, client);
}

/* A client says that it cannot: for this task, after which it is ready for the
 * next one, or at all (serial 0). */
static void take_failure(coordinator_t *self, uint32_t client, const fmq_message_report_t *report,
                         bool current)
{
    fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "client-failed",
                  "client=%u round=%u reason=\"%s\"", client, report->round, report->reason);
    self->participants.all[client - 1].ready = report->serial != 0;
    if (current)
        fmq_coordinator_leave_out(self, client, report->reason);
}

/* What a client says cannot be used: that must not keep the round open. */
static void refuse_report(coordinator_t *self, uint32_t client, const char *reason)
{
    fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "report-refused",
                  "client=%u round=%u reason=\"%s\"", client, self->mark.round, reason);
    fmq_coordinator_leave_out(self, client, reason);
}

/* A count of examples is the weight of an update, so it is held against what the
 * client was dealt, or what any client can have, and against what it can have
 * used of them.  Fills why when it is more. */
static int check_counts(const coordinator_t *self, uint32_t client,
                        const fmq_message_report_t *report, fmq_error_t *why)
{
    const uint64_t *dealt = fmq_dealt_to(self->dealt, client);
    if (report->shard_samples > FMQ_SHARD_RECORDS_MAX)
        return fmq_error_set(why, FMQ_ERR_LIMIT,
                             "it says it has %" PRIu64 " examples; %" PRIu64 " are possible",
                             report->shard_samples, FMQ_SHARD_RECORDS_MAX);
    if (dealt && report->shard_samples > dealt[FMQ_DEALT_TRAIN])
        return fmq_error_set(why, FMQ_ERR_LIMIT,
                             "it says it has %" PRIu64
                             " examples; the splitter has dealt it %" PRIu64
                             " (where clients bring their own data, set fedmq.own_data)",
                             report->shard_samples, dealt[FMQ_DEALT_TRAIN]);
    uint64_t most = fmq_coordinator_used_max(self, client, report->shard_samples);
    if (report->samples > most)
        return fmq_error_set(
            why, FMQ_ERR_LIMIT,
            "it says it has used %" PRIu64 " examples; of the %" PRIu64
            " that it has a round uses %" PRIu64 " at most",
            report->samples,
            report->shard_samples || !dealt ? report->shard_samples : dealt[FMQ_DEALT_TRAIN], most);
    return 0;
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
    if (training && check_counts(self, client, report, &why) < 0) {
        refuse_report(self, client, why.text);
        return 0;
    }
    if (training && report->samples == 0 && !self->settings->ignore_weight) {
        refuse_report(self, client, "it has used no training example");
        return 0;
    }
    if (fmq_strategy_accept(&self->strategy, fmq_coordinator_exchange(self), client, report, &why) <
        0) {
        refuse_report(self, client, why.text);
        return 0;
    }
    if (fmq_coordinator_keep_answer(self, client, &report->metrics, err) < 0)
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
               ? fmq_coordinator_serial(self, self->participants.exchange->task)
               : 0;
}

int fmq_coordinator_take_report(coordinator_t *self, uint32_t client, const fmq_event_t *event,
                                fmq_error_t *err)
{
    fmq_message_report_t report;
    fmq_error_t why;
    if (fmq_message_report_decode(&report, event->data, event->size, &why) < 0) {
        refuse_report(self, client, why.text);
        return 0;
    }
    if (strcmp(report.run, self->mark.run) != 0)
        return 0;
    const fmq_participant_t *participant = &self->participants.all[client - 1];
    bool current = participant->asked && !participant->answered &&
                   report.serial == serial_of_phase(self) && report.serial != 0;
    if (report.phase == FMQ_REPORT_FAILED) {
        take_failure(self, client, &report, current);
        return 0;
    }
    fmq_participants_is_ready(&self->participants, client);
    fmq_coordinator_compare_computing(self, event->member, &self->computing[client - 1],
                                      report.computes);
    if (fmq_coordinator_take_fit(self, client, &report, err) < 0)
        return -1;
    if (current && report.phase == FMQ_REPORT_WORKING)
        fmq_participants_excuse(&self->participants, client, self->now_ms);
    else if (current)
        fmq_participants_moved(&self->participants, client, self->now_ms);
    return current ? take_answer(self, client, &report, err) : 0;
}
