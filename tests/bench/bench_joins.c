/*
 * bench_joins.c - what it costs the router's memory of notes that members join.
 *
 * Every member has a note of its own waiting, as with a shard each, beside two
 * for all of its role.  Usage: bench_joins [members].  Prints a line each for
 * leaving the notes, joining, sending, and acknowledging.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/retained.h"
#include "fedmq/base/clock.h"

#define MEMBERS_MAX 65536

typedef struct {
    fmq_retained_t *retained;
    unsigned sent;
    fmq_message_t *notes; /* owned; what was sent, and to whom */
    char (*readers)[FMQ_MEMBER_NAME_MAX];
} bench_t;

static int take(void *argument, const char *reader, const fmq_message_t *note, const void *body,
                size_t size)
{
    bench_t *self = argument;
    (void)body, (void)size;
    self->notes[self->sent] = *note;
    (void)snprintf(self->readers[self->sent++], FMQ_MEMBER_NAME_MAX, "%s", reader);
    return 0;
}

static void leave_note(bench_t *self, const char *to, const char *topic)
{
    fmq_message_t note = {.type = FMQ_MESSAGE_NOTE, .role = FMQ_ROLE_SERVER, .version = 1};
    (void)snprintf(note.name, sizeof note.name, "server");
    (void)snprintf(note.audience, sizeof note.audience, "%s", to);
    (void)snprintf(note.topic, sizeof note.topic, "%s", topic);
    if (fmq_retained_put(self->retained, &note, "body", 4, NULL) < 0)
        abort();
}

static void tell(const char *what, unsigned members, double began)
{
    double seconds = fmq_clock_seconds() - began;
    (void)printf("%-12s %8.3f s, %8.2f us a member\n", what, seconds, seconds * 1e6 / members);
}

int main(int argc, char **argv)
{
    long given = argc > 1 ? strtol(argv[1], NULL, 10) : 10000;
    unsigned members = given > 0 && given <= MEMBERS_MAX ? (unsigned)given : 10000;
    bench_t self = {.retained = fmq_retained_new(1000)};
    self.notes = calloc(3 * (size_t)members, sizeof *self.notes);
    self.readers = calloc(3 * (size_t)members, sizeof *self.readers);
    if (!self.retained || !self.notes || !self.readers)
        return 1;
    char name[FMQ_MEMBER_NAME_MAX];
    double began = fmq_clock_seconds();
    for (unsigned i = 0; i < members; i++) {
        (void)snprintf(name, sizeof name, "client-%u", i + 1);
        leave_note(&self, name, "shard");
    }
    leave_note(&self, "@client", "run");
    leave_note(&self, "*", "state");
    tell("notes left", members, began);
    began = fmq_clock_seconds();
    for (unsigned i = 0; i < members; i++) {
        (void)snprintf(name, sizeof name, "client-%u", i + 1);
        (void)fmq_retained_join(self.retained, name, FMQ_ROLE_CLIENT, true, NULL);
        fmq_retained_flush(self.retained, 0, false, take, &self);
    }
    tell("joined, sent", members, began);
    began = fmq_clock_seconds();
    for (unsigned i = 0; i < self.sent; i++)
        fmq_retained_ack(self.retained, self.readers[i], &self.notes[i]);
    tell("acknowledged", members, began);
    (void)printf("%u notes sent to %u members\n", self.sent, members);
    fmq_retained_destroy(&self.retained);
    free(self.notes);
    free(self.readers);
    return self.sent == 3 * members ? 0 : 1;
}
