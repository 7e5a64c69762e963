/*
 * watchers.c - the evaluators of a run, as its server sees them: who will
 * measure the last state, and for whom, and how long, the end waits.
 *
 * One that has shown a step or a measurement, or has said that it will measure,
 * gets its time; one that has said why it will not gets none.
 */
#include <stdio.h>
#include <string.h>

#include "actors/server/coordinator_private.h"

#define SAY_MS    1000  /* most have measured by then */
#define AGAIN_MS  15000 /* until it is said again */
#define NAMED_MAX 8     /* of more the number is said */
#define NAMES_MAX (NAMED_MAX * (FMQ_MEMBER_NAME_MAX + 2) + 32)

/* NULL when there are too many to keep an eye on. */
static fmq_watcher_t *find_watcher(coordinator_t *self, const char *name)
{
    for (size_t i = 0; i < self->watchers.size; i++)
        if (strcmp(self->watchers.list[i].name, name) == 0)
            return &self->watchers.list[i];
    if (self->watchers.size == FMQ_WATCHERS_MAX)
        return NULL;
    fmq_watcher_t *watcher = &self->watchers.list[self->watchers.size++];
    memset(watcher, 0, sizeof *watcher);
    (void)snprintf(watcher->name, sizeof watcher->name, "%s", name);
    watcher->moved_ms = self->attention.now_ms;
    return watcher;
}

void fmq_watchers_heard(coordinator_t *self, const fmq_event_t *event)
{
    fmq_watcher_t *watcher = find_watcher(self, event->member);
    if (!watcher)
        return;
    if (watcher->alive != event->alive || watcher->step != event->step)
        watcher->moved_ms = self->attention.now_ms;
    if (watcher->alive && !event->alive) /* another process may have its name then */
        watcher->standing = FMQ_WATCHER_UNKNOWN;
    else if (watcher->step != event->step && watcher->standing == FMQ_WATCHER_UNKNOWN)
        watcher->standing = FMQ_WATCHER_READY;
    watcher->alive = event->alive;
    watcher->step = event->step;
}

int fmq_watchers_take_metrics(coordinator_t *self, const char *member,
                              const fmq_message_metrics_t *note, fmq_error_t *err)
{
    if (strcmp(note->run, self->checkpoints.mark.run) != 0 ||
        note->round > self->checkpoints.mark.round)
        return 0;
    fmq_watcher_t *watcher = find_watcher(self, member);
    bool repeated = watcher && watcher->measured && watcher->round == note->round;
    if (watcher) {
        watcher->measured = true;
        watcher->round = note->round;
        watcher->standing = FMQ_WATCHER_READY;
        watcher->moved_ms = self->attention.now_ms;
    }
    return repeated ? 0 : fmq_measurements_note(self, member, note, err);
}

/* An evaluator that refuses the run, or has not heard of it, names none. */
void fmq_watchers_take_report(coordinator_t *self, const char *member,
                              const fmq_message_report_t *note)
{
    fmq_watcher_t *watcher = find_watcher(self, member);
    if (!watcher || (*note->run && strcmp(note->run, self->checkpoints.mark.run) != 0))
        return;
    bool failed = note->phase == FMQ_REPORT_FAILED;
    fmq_computing_hear(&self->computing, member, &watcher->computing, note->computes);
    bool excused = failed || *note->reason;
    watcher->standing = excused ? FMQ_WATCHER_EXCUSED : FMQ_WATCHER_READY;
    watcher->moved_ms = self->attention.now_ms;
    if (excused)
        fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server",
                      failed ? "evaluator-failed" : "evaluator-measures-nothing",
                      "name=%s reason=\"%s\"", watcher->name, note->reason);
    else
        fmq_log_write(self->options.log, FMQ_LOG_INFO, "server", "evaluator-ready", "name=%s",
                      watcher->name);
}

void fmq_watchers_begin_end(coordinator_t *self)
{
    for (size_t i = 0; i < self->watchers.size; i++)
        self->watchers.list[i].moved_ms = self->attention.now_ms;
    self->watchers.waiting_ms = self->attention.now_ms + SAY_MS;
}

/* How long a sign of work of it is waited for. */
static int64_t patience(const fmq_watcher_t *watcher)
{
    switch (watcher->standing) {
    case FMQ_WATCHER_UNKNOWN:
        return FMQ_EVALUATOR_NEW_MS;
    case FMQ_WATCHER_READY:
        return FMQ_EVALUATOR_WAIT_MS;
    case FMQ_WATCHER_EXCUSED:
        break;
    }
    return 0;
}

/* Whether the end still waits for it; when that is over it is said, once. */
static bool is_waited_for(coordinator_t *self, fmq_watcher_t *watcher)
{
    bool done = watcher->measured && watcher->round >= self->checkpoints.mark.round;
    if (!watcher->alive || done || watcher->standing == FMQ_WATCHER_EXCUSED)
        return false;
    if (self->attention.now_ms - watcher->moved_ms < patience(watcher))
        return true;
    if (!watcher->given_up)
        fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "evaluator-given-up",
                      "name=%s round=%u reason=\"no sign of work for %lld s\"", watcher->name,
                      self->checkpoints.mark.round, (long long)(patience(watcher) / 1000));
    watcher->given_up = true;
    return false;
}

static void say(coordinator_t *self, const char *names, int64_t most_ms)
{
    char line[NAMES_MAX + 128];
    (void)snprintf(line, sizeof line,
                   "waiting for %s to measure round %u: %lld s at most without a step", names,
                   self->checkpoints.mark.round, (long long)(most_ms + 999) / 1000);
    self->watchers.waiting_ms = self->attention.now_ms + AGAIN_MS;
    fmq_log_write(self->options.log, FMQ_LOG_INFO, "server", "waiting-for-evaluators",
                  "names=\"%s\" round=%u seconds=%lld", names, self->checkpoints.mark.round,
                  (long long)(most_ms + 999) / 1000);
    if (self->options.say)
        self->options.say(self->options.say_argument, line);
}

bool fmq_watchers_are_done(coordinator_t *self)
{
    char names[NAMES_MAX] = "";
    size_t used = 0, waited = 0;
    int64_t most_ms = 0;
    for (size_t i = 0; i < self->watchers.size; i++) {
        fmq_watcher_t *watcher = &self->watchers.list[i];
        if (!is_waited_for(self, watcher))
            continue;
        int64_t rest_ms = watcher->moved_ms + patience(watcher) - self->attention.now_ms;
        most_ms = rest_ms > most_ms ? rest_ms : most_ms;
        if (waited++ < NAMED_MAX)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "",
                                     watcher->name);
    }
    if (waited > NAMED_MAX)
        (void)snprintf(names + used, sizeof names - used, " and %zu more", waited - NAMED_MAX);
    if (waited > 0 && self->attention.now_ms >= self->watchers.waiting_ms)
        say(self, names, most_ms);
    return waited == 0;
}
