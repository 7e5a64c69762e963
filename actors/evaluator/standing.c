/*
 * standing.c - what an evaluator tells its server of itself: that it will
 * measure, or that for now or for good it will not and why.  The server waits at
 * its end for those who will.
 */
#include <stdio.h>
#include <string.h>

#include "actors/evaluator/evaluator_private.h"

static bool is_known(const evaluator_t *self, const fmq_message_report_t *note)
{
    return self->has_said && self->said.phase == note->phase &&
           strcmp(self->said.run, note->run) == 0 && strcmp(self->said.reason, note->reason) == 0;
}

/* Who was refused knows no run of its own: then the report is for any. */
void fmq_evaluator_say(evaluator_t *self, bool failed, const char *reason)
{
    unsigned char body[FMQ_NOTE_MAX];
    fmq_error_t err = {0};
    fmq_message_report_t note = {.phase = failed ? FMQ_REPORT_FAILED : FMQ_REPORT_IDLE};
    if (!self->has_run && !failed)
        return;
    (void)snprintf(note.run, sizeof note.run, "%s", self->has_run ? self->run.run : "");
    (void)snprintf(note.reason, sizeof note.reason, "%s", reason);
    fmq_context_computes(&self->context, note.computes);
    if (is_known(self, &note))
        return;
    self->said = note;
    self->has_said = true;
    if (*reason && !failed)
        fmq_log_write(self->context.log, self->context.leads ? FMQ_LOG_INFO : FMQ_LOG_WARNING,
                      self->name, "measures-nothing",
                      "reason=\"%s; its server will not wait for it\"", note.reason);
    size_t size = fmq_message_report_encode(&note, body, sizeof body, &err);
    if (size == 0 || fmq_link_note(self->link, self->has_run ? self->server : "@server", "report",
                                   body, size, &err) < 0)
        fmq_log_write(self->context.log, FMQ_LOG_ERROR, self->name, "report-failed",
                      "reason=\"%s\"", err.text);
}
