/*
 * status.c - fedmq status: how a run stands, asked of a live one over tcp or of
 * a run's directory.
 *
 * Who asks over tcp is an observer: it may read what the server leaves for such,
 * and nothing that it does reaches anybody.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/launcher/address.h"
#include "actors/launcher/command.h"
#include "actors/launcher/signals.h"
#include "actors/launcher/status_view.h"
#include "actors/protocol/inbound.h"
#include "actors/storage/directory.h"
#include "actors/storage/file.h"
#include "fedmq/base/clock.h"

#define CONNECT_MS 5000 /* for a router to answer */
#define QUIET_MS   8000 /* for a server's word, where a router answers */
#define WATCH_MS   1000

static const fmq_option_t options[] = {
    FMQ_ROW("watch", FLAG, watch, NULL, "go on until the run ends"), FMQ_ROW_INSECURE, FMQ_ROW_JSON,
    FMQ_ROWS_END};

typedef struct {
    const fmq_arguments_t *arguments;
    int signals;
    bool terminal;
    fmq_status_t status;
    bool came;         /* a status, since this was last asked: */
    fmq_error_t wrong; /* ... with this the matter */
} look_t;

static int show(const look_t *self, bool stopped, fmq_error_t *err)
{
    if (self->terminal && self->arguments->watch && !self->arguments->json)
        fputs("\033[H\033[J", stdout);
    if (self->arguments->json) {
        char *text = fmq_status_json(&self->status, stopped);
        if (!text)
            return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a status");
        puts(text);
        free(text);
    } else {
        fmq_status_print(&self->status, stopped, stdout);
    }
    return fflush(stdout) == 0 ? 0 : fmq_error_set(err, FMQ_ERR_IO, "nobody reads the output");
}

static bool was_interrupted(const look_t *self)
{
    return fmq_signals_take(self->signals) != 0;
}

static int no_server(const char *endpoint, fmq_error_t *err)
{
    return fmq_error_set(
        err, FMQ_ERR_TIMEOUT,
        "a router answers at '%s', but no server has told it how a run stands: has "
        "one been started?",
        endpoint);
}

/* It is no table of fields, so it is decoded here. */
static void on_status(void *argument, const fmq_event_t *event, const void *message)
{
    look_t *self = argument;
    (void)message;
    self->came = true;
    fmq_error_clear(&self->wrong);
    (void)fmq_status_decode(&self->status, event->data, event->size, &self->wrong);
}

static const fmq_inbound_t inbound[] = {
    {FMQ_STATUS_NAME, FMQ_FROM(FMQ_ROLE_SERVER), on_status, true}};

/* 1: a status came; 0: none yet; -1: none will. */
static int take(look_t *self, fmq_link_t *link, int timeout_ms, fmq_error_t *err)
{
    fmq_event_t event;
    int got = fmq_link_receive(link, timeout_ms, &event, err);
    if (got <= 0)
        return got;
    if (event.type == FMQ_EVENT_REFUSED)
        return fmq_error_copy(err, &event.error);
    self->came = false;
    if (event.type == FMQ_EVENT_NOTE)
        (void)fmq_inbound_take(inbound, sizeof inbound / sizeof *inbound, self, &event);
    if (self->came && self->wrong.code != FMQ_OK)
        return fmq_error_copy(err, &self->wrong);
    return self->came ? 1 : 0;
}

/* Each status that comes is shown; without --watch the first is the last. */
static int follow(look_t *self, fmq_link_t *link, const char *endpoint, fmq_error_t *err)
{
    int64_t end_ms = fmq_clock_ms() + QUIET_MS;
    bool seen = false;
    for (;;) {
        int got = take(self, link, WATCH_MS / 4, err);
        if (got < 0 || (got > 0 && show(self, false, err) < 0))
            return -1;
        seen = seen || got > 0;
        if (seen && (!self->arguments->watch || fmq_run_phase_is_over(self->status.phase)))
            return 0;
        if (was_interrupted(self))
            return seen ? 0 : fmq_error_set(err, FMQ_ERR_STOPPED, "interrupted");
        if (!seen && fmq_clock_ms() >= end_ms)
            return no_server(endpoint, err);
    }
}

static int ask_live(look_t *self, const char *endpoint, fmq_error_t *err)
{
    char name[FMQ_MEMBER_NAME_MAX];
    (void)snprintf(name, sizeof name, "observer-%ld", (long)getpid());
    fmq_link_options_t how = {
        .endpoint = endpoint, .name = name, .role = FMQ_ROLE_OBSERVER, .connect_ms = CONNECT_MS};
    if (fmq_address_check(endpoint, FMQ_ENDPOINT_CONNECT, self->arguments->insecure, err) < 0)
        return -1;
    fmq_link_t *link = fmq_link_open(&how, err);
    int rc = link ? follow(self, link, endpoint, err) : -1;
    if (link)
        fmq_link_close(&link, 0);
    return rc;
}

static int load(look_t *self, const char *directory, fmq_error_t *err)
{
    size_t size = 0;
    struct stat what;
    if (stat(directory, &what) < 0 || !S_ISDIR(what.st_mode))
        return fmq_error_set(err, FMQ_ERR_NOTFOUND,
                             "there is no run's directory '%s'; a live run is asked at "
                             "tcp://HOST:PORT",
                             directory);
    char *path = fmq_file_path(err, "%s/" FMQ_STATUS_NAME, directory);
    char *body = path ? fmq_file_load(path, FMQ_STATUS_BYTES_MAX, &size, err) : NULL;
    int rc = body ? fmq_status_decode(&self->status, body, size, err) : -1;
    if (!body && path && err->code == FMQ_ERR_NOTFOUND)
        fmq_error_set(err, FMQ_ERR_NOTFOUND,
                      "'%s' is no run's directory, or of one whose server has not begun: it has no "
                      "file 'status'",
                      directory);
    else if (body && rc < 0)
        fmq_error_prefix(err, "'%s'", path);
    free(body);
    free(path);
    return rc;
}

static int look_into(look_t *self, const char *directory, fmq_error_t *err)
{
    uint64_t shown_ms = 0;
    for (;;) {
        bool stopped = !fmq_lock_is_held(directory);
        if (load(self, directory, err) < 0)
            return -1;
        if (self->status.written_ms != shown_ms && show(self, stopped, err) < 0)
            return -1;
        shown_ms = self->status.written_ms;
        if (!self->arguments->watch || stopped || fmq_run_phase_is_over(self->status.phase) ||
            was_interrupted(self))
            return 0;
        (void)poll(NULL, 0, WATCH_MS);
    }
}

static int run(const fmq_arguments_t *arguments, const fmq_words_t *words, fmq_error_t *err)
{
    if (words->size != 1)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "give one run: tcp://HOST:PORT of its server or broker, or its "
                             "directory");
    look_t *self = calloc(1, sizeof *self);
    if (!self)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a status");
    self->arguments = arguments;
    self->terminal = isatty(STDOUT_FILENO) == 1;
    self->signals = fmq_signals_open(err);
    int rc = -1;
    if (self->signals >= 0)
        rc = strncmp(words->items[0], "tcp://", 6) == 0 ? ask_live(self, words->items[0], err)
                                                        : look_into(self, words->items[0], err);
    fmq_signals_close(&self->signals);
    free(self);
    return rc;
}

const fmq_command_t fmq_command_status = {
    .name = "status",
    .words = "tcp://HOST:PORT | DIR",
    .summary = "Says how a run stands: who is here and does what, round, loss, traffic, memory",
    .options = options,
    .rule = FMQ_WORDS_ANY,
    .run = run};
