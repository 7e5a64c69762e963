/*
 * attach.c - asks a run that is going on for its configuration.
 */
#include "actors/launcher/attach.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "actors/launcher/aside.h"
#include "actors/launcher/opening.h"
#include "actors/protocol/inbound.h"
#include "actors/settings/settings.h"
#include "fedmq/actors/messages.h"
#include "fedmq/actors/receive.h"
#include "fedmq/base/clock.h"

#define AGAIN_MS 1000 /* between two attempts to fetch what a server that has gone announced */

typedef struct {
    const fmq_attach_t *how;
    fmq_link_t *link;
    fmq_bytes_reader_t reader;
    fmq_message_run_t run; /* the newest ... */
    char server[FMQ_MEMBER_NAME_MAX];
    bool known;       /* ... when there is one */
    bool asked;       /* its configuration is being fetched */
    int64_t again_ms; /* not before then */
    bool up;          /* a router answers */
    int64_t until_ms; /* for a run to be there; 0: not counting */
} visit_t;

static int ask(visit_t *self, fmq_error_t *err)
{
    if (!self->known || self->asked || fmq_clock_ms() < self->again_ms)
        return 0;
    self->asked = true;
    fmq_bytes_reader_release(&self->reader);
    fmq_bytes_reader_begin(&self->reader, &self->run.config, FMQ_CONFIG_FILE_MAX);
    return fmq_link_fetch(self->link, self->server, &self->run.config, 0, FMQ_CONFIG_FILE_MAX, err);
}

/* A server that ends takes its run back. */
static void on_run(void *argument, const fmq_event_t *event, const void *message)
{
    visit_t *self = argument;
    self->known = message != NULL;
    if (!self->known)
        return;
    self->run = *(const fmq_message_run_t *)message;
    memcpy(self->server, event->member, sizeof self->server);
}

static const fmq_inbound_t inbound[] = {{"run", FMQ_FROM(FMQ_ROLE_SERVER), on_run, true}};

/* A server that has gone took its configuration along; it, or another one, may
 * come back. */
static int on_fetch(visit_t *self, const fmq_event_t *event, fmq_error_t *err)
{
    fmq_error_t why = {0};
    fmq_receive_t got =
        self->asked ? fmq_bytes_reader_take(&self->reader, event, &why) : FMQ_RECEIVE_OTHER;
    if (got != FMQ_RECEIVE_FAILED)
        return got == FMQ_RECEIVE_DONE ? 1 : 0;
    if (why.code != FMQ_ERR_NOTFOUND && why.code != FMQ_ERR_TIMEOUT)
        return fmq_error_set(err, why.code, "the run's configuration: %s", why.text);
    self->asked = false;
    self->again_ms = fmq_clock_ms() + AGAIN_MS;
    return 0;
}

/* 1: the configuration is here; 0: wait on; -1: it will not come. */
static int handle(visit_t *self, const fmq_event_t *event, fmq_error_t *err)
{
    switch (event->type) {
    case FMQ_EVENT_NOTE:
        (void)fmq_inbound_take(inbound, sizeof inbound / sizeof *inbound, self, event);
        return 0;
    case FMQ_EVENT_CHUNK:
    case FMQ_EVENT_FETCHED:
    case FMQ_EVENT_FAILED:
        return on_fetch(self, event, err);
    case FMQ_EVENT_REFUSED:
        return fmq_error_copy(err, &event->error);
    case FMQ_EVENT_UP:
    case FMQ_EVENT_DOWN:
        self->up = event->type == FMQ_EVENT_UP;
        return 0;
    case FMQ_EVENT_MEMBER:
        return 0;
    }
    return 0;
}

/* A server whose router is there already may still be opening a large model or
 * building an emulator; that is said once, and is waited for. */
static int await_run(visit_t *self, int64_t began_ms, fmq_error_t *err)
{
    int64_t now_ms = fmq_clock_ms();
    if (self->until_ms == 0) {
        if (!self->up || now_ms - began_ms < FMQ_ATTACH_QUIET_MS)
            return 0;
        fmq_log_write(self->how->log, FMQ_LOG_WARNING, "launcher", "no-run",
                      "endpoint=%s reason=\"a router answers, but has no run yet: waiting for it\"",
                      self->how->endpoint);
        self->until_ms = self->how->limit_ms == 0 ? INT64_MAX : began_ms + self->how->limit_ms;
    }
    if (now_ms < self->until_ms)
        return 0;
    return fmq_error_set(err, FMQ_ERR_TIMEOUT,
                         "no run was heard of at '%s' within %.3g seconds, though a router answers "
                         "there: has its server been started?",
                         self->how->endpoint, (double)self->how->limit_ms / 1000);
}

static int wait_for_it(visit_t *self, fmq_error_t *err)
{
    int64_t began_ms = fmq_clock_ms();
    int result = 0;
    while (result == 0) {
        fmq_event_t event;
        if (ask(self, err) < 0 || await_run(self, began_ms, err) < 0)
            return -1;
        int got = fmq_link_receive(self->link, FMQ_ATTACH_TICK_MS, &event, err);
        if (got < 0)
            return -1;
        if (got > 0)
            result = handle(self, &event, err);
    }
    return result;
}

fmq_config_t *fmq_attach_config(const fmq_attach_t *how, fmq_error_t *err)
{
    visit_t self = {.how = how};
    char name[FMQ_MEMBER_NAME_MAX];
    fmq_config_t *config = NULL;
    snprintf(name, sizeof name, "observer-%ld", (long)getpid());
    fmq_link_options_t options = {.endpoint = how->endpoint,
                                  .name = name,
                                  .role = FMQ_ROLE_OBSERVER,
                                  .connect_ms = how->connect_ms,
                                  .log = how->log};
    self.link = fmq_link_open(&options, err);
    if (!self.link)
        return NULL;
    if (wait_for_it(&self, err) > 0) {
        config = fmq_config_new();
        if (config)
            fmq_config_set_offers(config, how->offers);
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

/* fedmq.connect_timeout where it was given as a pair: the run's own is not
 * known yet. */
static int read_limit(const fmq_words_t *words, fmq_attach_t *how, fmq_error_t *err)
{
    fmq_config_t *pairs = NULL;
    int rc = 0;
    for (size_t i = 0; i + 1 < words->size; i += 2) {
        if (strcmp(words->items[i], "fedmq.connect_timeout") != 0)
            continue;
        if (!pairs && !(pairs = fmq_config_new()))
            return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a setting");
        rc = fmq_config_set(pairs, words->items[i], words->items[i + 1], err);
    }
    if (pairs && rc == 0)
        how->connect_ms = how->limit_ms = fmq_settings_connect(pairs);
    fmq_config_destroy(&pairs);
    return rc;
}

static fmq_config_t *ask_the_run(const fmq_arguments_t *arguments, const fmq_words_t *words,
                                 const char *endpoint, fmq_error_t *err)
{
    fmq_attach_t how = {.endpoint = endpoint,
                        .offers = arguments->offers,
                        .connect_ms = FMQ_ATTACH_TIMEOUT_MS,
                        .limit_ms = FMQ_ATTACH_TIMEOUT_MS + FMQ_ATTACH_PREPARING_MS};
    if (read_limit(words, &how, err) < 0)
        return NULL;
    how.log = fmq_aside_log(arguments->json, arguments->quiet ? FMQ_LOG_ERROR : FMQ_LOG_WARNING);
    if (!how.log) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a log");
        return NULL;
    }
    fmq_config_t *config = fmq_attach_config(&how, err);
    fmq_log_destroy(&how.log);
    return config;
}

fmq_config_t *fmq_attach_open(const fmq_arguments_t *arguments, const fmq_words_t *words,
                              const char *endpoint, fmq_error_t *err)
{
    fmq_config_t *config = arguments->cfg ? fmq_opening_merge(arguments, words, err)
                                          : ask_the_run(arguments, words, endpoint, err);
    if (!config)
        return NULL;
    for (size_t i = 0; !arguments->cfg && i + 1 < words->size; i += 2)
        fmq_config_set(config, words->items[i], words->items[i + 1], NULL);
    if (arguments->model)
        fmq_config_set(config, "model.type", arguments->model, NULL);
    if (fmq_opening_check(config, arguments->json, NULL, err) < 0)
        fmq_config_destroy(&config);
    return config;
}
