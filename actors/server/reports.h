/*
 * reports.h - what clients say of their tasks, and who is left out for it.
 *
 * A report comes from a stranger: what cannot be used leaves its client out of
 * the phase with a reason in the log, and never keeps the phase open.
 */
#ifndef FEDMQ_ACTORS_SERVER_REPORTS_H
#define FEDMQ_ACTORS_SERVER_REPORTS_H

#include "fedmq/actors/messages.h"

struct fmq_coordinator;

/* Takes a client's report; -1: the run cannot go on. */
int fmq_reports_take(struct fmq_coordinator *self, uint32_t client, const char *member,
                     const fmq_message_report_t *report, fmq_error_t *err);
/* What a client says cannot be used: that must not keep the round open. */
void fmq_reports_refuse(struct fmq_coordinator *self, uint32_t client, const char *reason);

#endif
