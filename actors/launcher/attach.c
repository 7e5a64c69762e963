/*
 * attach.c - asks a run that is going on for its configuration.
 */
#include "actors/launcher/attach.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "actors/launcher/opening.h"
#include "fedmq/actors/notes.h"
#include "fedmq/actors/receive.h"
#include "fedmq/base/clock.h"

typedef struct {
    fmq_link_t *link;
    fmq_bytes_reader_t reader;
    bool asked;
    bool up;       /* a router answers */
    bool extended; /* and is given longer */
} visit_t;

static int on_run(visit_t *self, const fmq_event_t *event, fmq_error_t *err)
{
    fmq_note_run_t note;
    if (self->asked || strcmp(event->topic, "run") != 0 || event->role != FMQ_ROLE_SERVER ||
        fmq_note_run_decode(&note, event->data, event->size, NULL) < 0)
        return 0;
    self->asked = true;
    fmq_bytes_reader_begin(&self->reader, &note.config, FMQ_CONFIG_FILE_MAX);
    return fmq_link_fetch(self->link, event->member, &note.config, 0, FMQ_CONFIG_FILE_MAX, err);
}

/* 1: the configuration is here; 0: wait on; -1: it will not come. */
static int handle(visit_t *self, const fmq_event_t *event, fmq_error_t *err)
{
    switch (event->type) {
    case FMQ_EVENT_NOTE:
        return on_run(self, event, err);
    case FMQ_EVENT_CHUNK:
    case FMQ_EVENT_FETCHED:
    case FMQ_EVENT_FAILED: {
        fmq_receive_t got =
            self->asked ? fmq_bytes_reader_take(&self->reader, event, err) : FMQ_RECEIVE_OTHER;
        return got == FMQ_RECEIVE_DONE ? 1 : got == FMQ_RECEIVE_FAILED ? -1 : 0;
    }
    case FMQ_EVENT_REFUSED:
        if (err)
            *err = event->error;
        return -1;
    case FMQ_EVENT_UP:
    case FMQ_EVENT_DOWN:
        self->up = event->type == FMQ_EVENT_UP;
        return 0;
    case FMQ_EVENT_MEMBER:
        return 0;
    }
    return 0;
}

/* Time is up.  A server whose router is there already may still be opening a
 * large model or building an emulator: it gets longer, once. */
static int be_patient(visit_t *self, const char *endpoint, int64_t *until, fmq_error_t *err)
{
    if (!self->up || self->extended)
        return fmq_error_set(
            err, FMQ_ERR_TIMEOUT,
            "no run was heard of at '%s' within %d seconds: is the address "
            "right, and the server there?",
            endpoint,
            (FMQ_ATTACH_TIMEOUT_MS + (self->extended ? FMQ_ATTACH_PREPARING_MS : 0)) / 1000);
    self->extended = true;
    *until += FMQ_ATTACH_PREPARING_MS;
    fprintf(stderr, "'%s' answers, but has no run yet: waiting for it\n", endpoint);
    return 0;
}

static int wait_for_it(visit_t *self, const char *endpoint, fmq_error_t *err)
{
    int64_t until = fmq_clock_ms() + FMQ_ATTACH_TIMEOUT_MS;
    int result = 0;
    while (result == 0) {
        fmq_event_t event;
        int64_t left = until - fmq_clock_ms();
        if (left <= 0 && be_patient(self, endpoint, &until, err) < 0)
            return -1;
        if (left <= 0)
            continue;
        int got = fmq_link_receive(self->link, (int)left, &event, err);
        if (got < 0)
            return -1;
        if (got > 0)
            result = handle(self, &event, err);
    }
    return result;
}

fmq_config_t *fmq_attach_config(const char *endpoint, fmq_error_t *err)
{
    visit_t self = {.link = NULL};
    char name[FMQ_MEMBER_NAME_MAX];
    fmq_config_t *config = NULL;
    snprintf(name, sizeof name, "observer-%ld", (long)getpid());
    fmq_link_options_t options = {.endpoint = endpoint, .name = name, .role = FMQ_ROLE_OBSERVER};
    self.link = fmq_link_open(&options, err);
    if (!self.link)
        return NULL;
    if (wait_for_it(&self, endpoint, err) > 0) {
        config = fmq_config_new();
        if (!config)
            fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for the configuration");
        else if (fmq_config_parse(config, "the run's configuration", self.reader.data,
                                  self.reader.size, err) < 0)
            fmq_config_destroy(&config);
    }
    fmq_link_close(&self.link, 0);
    fmq_bytes_reader_release(&self.reader);
    return config;
}

fmq_config_t *fmq_attach_open(const fmq_arguments_t *arguments, const fmq_words_t *words,
                              const char *endpoint, fmq_error_t *err)
{
    fmq_config_t *config = arguments->cfg ? fmq_opening_merge(arguments, words, err)
                                          : fmq_attach_config(endpoint, err);
    if (!config)
        return NULL;
    for (size_t i = 0; !arguments->cfg && i + 1 < words->size; i += 2)
        fmq_config_set(config, words->items[i], words->items[i + 1], NULL);
    if (arguments->model)
        fmq_config_set(config, "model.type", arguments->model, NULL);
    if (fmq_opening_check(config, NULL, err) < 0)
        fmq_config_destroy(&config);
    return config;
}
