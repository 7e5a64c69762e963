/*
 * display.c - shows a run: a bar on a terminal, plain lines, or JSON.
 */
#include "actors/launcher/display.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "actors/launcher/display_json.h"
#include "actors/launcher/figures.h"
#include "actors/launcher/progress.h"

#define SHOWN_MAX        512
#define WRITTEN_MAX      4096 /* bytes of a line with its newline */
#define CLEAR            "\r\033[K"
#define WAITING_AGAIN_MS 5000  /* the same is not said more often than this ... */
#define WAITING_MS       1000  /* nor said more often than this who is missing */
#define PROGRESS_MS      15000 /* without a bar, a long round is not silent for longer */
#define REDRAW_MS        100   /* a bar is not redrawn more often than this */

struct fmq_display {
    fmq_display_options_t options;
    pthread_mutex_t lock;
    bool bar_shown;
    int64_t began_ms, round_began_ms, drawn_ms;
    uint32_t first_round;    /* the first round seen: a resumed run begins later than 1 */
    uint32_t clients_waited; /* of the last WAITING line */
    int64_t waited_ms;
    int64_t said_ms;       /* of the last line without a bar, or of the round's begin */
    fmq_run_event_t shown; /* by the bar; never less than was shown before */
    double share;
    uint64_t up, down; /* bytes told with the rounds so far */
};

fmq_display_t *fmq_display_new(const fmq_display_options_t *options)
{
    fmq_display_t *self = calloc(1, sizeof *self);
    if (!self || pthread_mutex_init(&self->lock, NULL) != 0) {
        free(self);
        return NULL;
    }
    self->options = *options;
    self->began_ms = -1;
    self->clients_waited = UINT32_MAX;
    self->waited_ms = -1;
    self->said_ms = -PROGRESS_MS;
    return self;
}

/* On the screen of the bar a line takes its place. */
static void put_line(fmq_display_t *self, fmq_writer_t *out, fmq_writer_kind_t kind,
                     const char *line)
{
    char text[WRITTEN_MAX];
    bool clears = self->bar_shown && out == self->options.out;
    int size = snprintf(text, sizeof text, "%s%s\n", clears ? CLEAR : "", line);
    if (size > 0 && (size_t)size < sizeof text)
        fmq_writer_put(out, kind, text, (size_t)size);
    if (clears)
        self->bar_shown = false;
}

static void say(fmq_display_t *self, const char *line)
{
    put_line(self, self->options.out, FMQ_WRITER_LINE, line);
}

static void draw(fmq_display_t *self, const char *line, int64_t now_ms)
{
    char text[SHOWN_MAX + sizeof CLEAR];
    int size = snprintf(text, sizeof text, CLEAR "%s", line);
    fmq_writer_put(self->options.out, FMQ_WRITER_PASSING, text, (size_t)size);
    self->bar_shown = true;
    self->drawn_ms = now_ms;
}

void fmq_display_destroy(fmq_display_t **self_p)
{
    fmq_display_t *self = *self_p;
    if (!self)
        return;
    pthread_mutex_destroy(&self->lock);
    free(self);
    *self_p = NULL;
}

fmq_display_mode_t fmq_display_mode(bool quiet, bool json, int descriptor)
{
    const char *term = getenv("TERM");
    if (json)
        return FMQ_DISPLAY_JSON;
    if (quiet)
        return FMQ_DISPLAY_QUIET;
    if (isatty(descriptor) && term && strcmp(term, "dumb") != 0)
        return FMQ_DISPLAY_TERMINAL;
    return FMQ_DISPLAY_PLAIN;
}

/* Time that the rounds to come will take if they take as long as those done.
 * event->round counts complete rounds; share is what is done of the next. */
static int64_t remaining_ms(const fmq_display_t *self, const fmq_run_event_t *event, double share,
                            int64_t now_ms)
{
    double done = (double)(event->round - self->first_round) + share;
    double left = (double)event->rounds - (double)event->round - share;
    if (self->began_ms < 0 || done < 0.05)
        return -1;
    return (int64_t)((double)(now_ms - self->began_ms) / done * left);
}

static void append(char *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void append(char *line, const char *format, ...)
{
    size_t used = strlen(line);
    va_list args;
    va_start(args, format);
    vsnprintf(line + used, SHOWN_MAX - used, format, args);
    va_end(args);
}

/* What travelled of a count so far since the last round was closed: nothing does
 * between actors of one process. */
static uint64_t travelled(const fmq_display_t *self, uint64_t so_far, uint64_t told)
{
    return self->options.in_memory || so_far < told ? 0 : so_far - told;
}

static void append_traffic(const fmq_display_t *self, char *line, const fmq_run_event_t *event)
{
    char up[32], down[32];
    if (self->options.in_memory)
        return;
    fmq_figure_bytes(travelled(self, event->bytes_up, self->up), up, sizeof up);
    fmq_figure_bytes(travelled(self, event->bytes_down, self->down), down, sizeof down);
    append(line, "  up %s  down %s", up, down);
}

static unsigned columns_now(const fmq_display_t *self)
{
    struct winsize size;
    if (self->options.terminal < 0 || ioctl(self->options.terminal, TIOCGWINSZ, &size) < 0)
        return 0;
    return size.ws_col;
}

static void append_steps(char *line, const fmq_run_event_t *event)
{
    if (event->steps > 0)
        append(line, "  step %llu/%llu", (unsigned long long)event->step,
               (unsigned long long)event->steps);
}

static void append_loss(char *line, const fmq_run_event_t *event)
{
    if (isfinite(event->train_loss))
        append(line, "  loss %.4f", event->train_loss);
}

/* "aligning block 3/50  step 4/10  loss 0.1234" */
static void put_alignment(char *line, const fmq_run_event_t *event)
{
    if (event->blocks > 0)
        append(line, "aligning block %u/%u", event->block, event->blocks);
    else
        append(line, "aligning after round %u/%u", fmq_progress_round(event), event->rounds);
    append_steps(line, event);
    append_loss(line, event);
}

/* A client that begins anew, or one that is slower than was known, takes nothing
 * back of what was shown. */
static void keep_going(fmq_display_t *self, fmq_run_event_t *event)
{
    const fmq_run_event_t *before = &self->shown;
    if (before->type != FMQ_RUN_PROGRESS || before->round != event->round ||
        before->evaluating != event->evaluating || before->clients != event->clients)
        return;
    if (event->clients_done < before->clients_done)
        event->clients_done = before->clients_done;
    if (event->steps > 0 && before->steps > 0 && event->clients_done == before->clients_done &&
        (double)event->step / (double)event->steps < (double)before->step / (double)before->steps) {
        event->step = before->step;
        event->steps = before->steps;
    }
}

/* What is shown of the event on one line, drawn as wide as the terminal is now. */
static void redraw(fmq_display_t *self, int64_t now_ms)
{
    char line[FMQ_PROGRESS_MAX] = "";
    const fmq_run_event_t *event = &self->shown;
    unsigned columns = columns_now(self);
    if (event->type == FMQ_RUN_ALIGNING) {
        put_alignment(line, event);
        fmq_progress_cut(line, columns);
    } else {
        double done = event->evaluating ? 0 : self->share;
        const fmq_progress_look_t look = {.columns = columns,
                                          .color = self->options.color,
                                          .share = self->share,
                                          .left_ms = remaining_ms(self, event, done, now_ms),
                                          .bytes_up = travelled(self, event->bytes_up, self->up),
                                          .bytes_down =
                                              travelled(self, event->bytes_down, self->down)};
        fmq_progress_line(event, &look, line);
    }
    draw(self, line, now_ms);
}

static void draw_bar(fmq_display_t *self, const fmq_run_event_t *event, int64_t now_ms)
{
    fmq_run_event_t next = *event;
    bool same = self->shown.round == event->round && self->shown.evaluating == event->evaluating &&
                event->type == FMQ_RUN_PROGRESS;
    keep_going(self, &next);
    double share = fmq_progress_share(&next);
    self->share = same && self->share > share ? self->share : share;
    next.type = FMQ_RUN_PROGRESS;
    next.metrics = NULL;
    next.source = next.reason = NULL;
    self->shown = next;
    redraw(self, now_ms);
}

static void show_aggregated(fmq_display_t *self, const fmq_run_event_t *event, int64_t now_ms)
{
    char line[SHOWN_MAX] = "", duration[32];
    fmq_figure_duration(now_ms - self->round_began_ms, duration, sizeof duration);
    append(line, "round %u/%u  %u/%u clients", event->round, event->rounds, event->clients_done,
           event->clients);
    append_loss(line, event);
    append_traffic(self, line, event);
    append(line, "  took %s", duration);
    int64_t left = remaining_ms(self, event, 0, now_ms);
    if (left > 0) {
        fmq_figure_duration(left, duration, sizeof duration);
        append(line, "  eta %s", duration);
    }
    say(self, line);
}

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), tail = strlen(ending);
    return length >= tail && strcmp(text + length - tail, ending) == 0;
}

/* Sums and counts are for programs; people get averages and shares. */
static bool is_for_people(const char *name)
{
    if (ends_with(name, "_avg_loss"))
        return true;
    return !ends_with(name, "_loss") && !ends_with(name, "_total") && !ends_with(name, "_count");
}

static void show_metrics(fmq_display_t *self, const fmq_run_event_t *event)
{
    char line[SHOWN_MAX] = "";
    append(line, "round %u/%u  %s", event->round, event->rounds,
           event->source ? event->source : "clients");
    for (size_t i = 0; event->metrics && i < event->metrics->size; i++)
        if (is_for_people(event->metrics->items[i].name))
            append(line, "  %s %.5g", event->metrics->items[i].name,
                   event->metrics->items[i].value);
    say(self, line);
}

/* Clients may come by the hundred: a line a second, and one when all are here. */
static void show_waiting(fmq_display_t *self, const fmq_run_event_t *event, int64_t now_ms)
{
    char line[SHOWN_MAX] = "";
    bool all = event->clients_done >= event->clients;
    int64_t since_ms = self->waited_ms < 0 ? INT64_MAX : now_ms - self->waited_ms;
    bool same = event->clients_done == self->clients_waited;
    if ((same && since_ms < WAITING_AGAIN_MS) || (!all && since_ms < WAITING_MS))
        return;
    self->clients_waited = event->clients_done;
    self->waited_ms = now_ms;
    append(line, "waiting for clients: %u of %u are here", event->clients_done, event->clients);
    if (event->reason)
        append(line, "; %s", event->reason);
    say(self, line);
}

/* How far a round is, for those who see no bar. */
static void show_progress(fmq_display_t *self, const fmq_run_event_t *event, int64_t now_ms)
{
    char line[SHOWN_MAX] = "";
    if (now_ms - self->said_ms < PROGRESS_MS)
        return;
    append(line, "round %u/%u  %s%u/%u clients so far", fmq_progress_round(event), event->rounds,
           event->evaluating ? "evaluating: " : "", event->clients_done, event->clients);
    append_steps(line, event);
    append_loss(line, event);
    say(self, line);
    self->said_ms = now_ms;
}

/* Without a bar the blocks before round 0 are said now and then. */
static void show_alignment(fmq_display_t *self, const fmq_run_event_t *event, int64_t now_ms)
{
    char line[SHOWN_MAX] = "";
    bool begins = event->blocks > 0 && event->block == 1 && event->step == 0;
    if (!begins && now_ms - self->said_ms < PROGRESS_MS)
        return;
    put_alignment(line, event);
    say(self, line);
    self->said_ms = now_ms;
}

static void draw_alignment(fmq_display_t *self, const fmq_run_event_t *event, int64_t now_ms)
{
    if (now_ms - self->drawn_ms < REDRAW_MS)
        return;
    self->shown = *event;
    redraw(self, now_ms);
}

static void show_end(fmq_display_t *self, const fmq_run_event_t *event)
{
    char line[WRITTEN_MAX] = "";
    (void)snprintf(line, sizeof line, "ended after round %u/%u: %s", event->round, event->rounds,
                   event->reason ? event->reason : "");
    put_line(self, self->options.out, FMQ_WRITER_IMPORTANT, line);
}

static void show_lines(fmq_display_t *self, const fmq_run_event_t *event, int64_t now_ms)
{
    if (event->type != FMQ_RUN_PROGRESS && event->type != FMQ_RUN_ALIGNING)
        self->said_ms = now_ms;
    switch (event->type) {
    case FMQ_RUN_WAITING:
        show_waiting(self, event, now_ms);
        return;
    case FMQ_RUN_ALIGNING:
        show_alignment(self, event, now_ms);
        return;
    case FMQ_RUN_ROUND:
        return;
    case FMQ_RUN_PROGRESS:
        show_progress(self, event, now_ms);
        return;
    case FMQ_RUN_AGGREGATED:
        show_aggregated(self, event, now_ms);
        return;
    case FMQ_RUN_METRICS:
        show_metrics(self, event);
        return;
    case FMQ_RUN_ENDED:
        show_end(self, event);
        return;
    }
}

static void show_on_terminal(fmq_display_t *self, const fmq_run_event_t *event, int64_t now_ms)
{
    if (event->type == FMQ_RUN_ROUND || event->type == FMQ_RUN_PROGRESS) {
        if (event->type == FMQ_RUN_ROUND || now_ms - self->drawn_ms >= REDRAW_MS)
            draw_bar(self, event, now_ms);
        return;
    }
    if (event->type == FMQ_RUN_ALIGNING) {
        draw_alignment(self, event, now_ms);
        return;
    }
    show_lines(self, event, now_ms);
}

/* JSON of one line; NULL when out of memory. */
static void put_json(fmq_writer_t *out, fmq_writer_kind_t kind, char *json)
{
    if (json)
        fmq_writer_put(out, kind, json, strlen(json));
    free(json);
}

static void show_json(fmq_display_t *self, const fmq_run_event_t *event, int64_t now_ms)
{
    fmq_run_event_t told = *event;
    told.bytes_up = event->bytes_up < self->up ? 0 : event->bytes_up - self->up;
    told.bytes_down = event->bytes_down < self->down ? 0 : event->bytes_down - self->down;
    put_json(self->options.out,
             event->type == FMQ_RUN_ENDED ? FMQ_WRITER_IMPORTANT : FMQ_WRITER_LINE,
             fmq_display_json_event(&told, self->began_ms < 0 ? 0 : now_ms - self->began_ms,
                                    self->options.in_memory));
}

static void note_times(fmq_display_t *self, const fmq_run_event_t *event, int64_t now_ms)
{
    if (event->type != FMQ_RUN_ROUND)
        return;
    if (self->began_ms < 0) {
        self->began_ms = now_ms;
        self->first_round = event->round;
    }
    self->round_began_ms = now_ms;
}

void fmq_display_event(fmq_display_t *self, const fmq_run_event_t *event, int64_t now_ms)
{
    pthread_mutex_lock(&self->lock);
    note_times(self, event, now_ms);
    if (self->options.mode == FMQ_DISPLAY_JSON)
        show_json(self, event, now_ms);
    else if (self->options.mode == FMQ_DISPLAY_TERMINAL)
        show_on_terminal(self, event, now_ms);
    else if (self->options.mode == FMQ_DISPLAY_PLAIN)
        show_lines(self, event, now_ms);
    if (event->type == FMQ_RUN_AGGREGATED) {
        self->up = event->bytes_up;
        self->down = event->bytes_down;
    }
    pthread_mutex_unlock(&self->lock);
}

void fmq_display_line(fmq_display_t *self, const char *text)
{
    pthread_mutex_lock(&self->lock);
    if (self->options.mode == FMQ_DISPLAY_JSON)
        put_json(self->options.out, FMQ_WRITER_IMPORTANT, fmq_display_json_text(text));
    else if (self->options.mode != FMQ_DISPLAY_QUIET)
        put_line(self, self->options.out, FMQ_WRITER_IMPORTANT, text);
    pthread_mutex_unlock(&self->lock);
}

void fmq_display_log(void *argument, fmq_log_level_t level, const char *line)
{
    fmq_display_t *self = argument;
    fmq_writer_kind_t kind = level >= FMQ_LOG_WARNING ? FMQ_WRITER_IMPORTANT : FMQ_WRITER_LINE;
    pthread_mutex_lock(&self->lock);
    if (self->options.mode == FMQ_DISPLAY_JSON)
        put_json(self->options.log_out, kind, fmq_display_json_log(line));
    else {
        bool shown = self->bar_shown;
        put_line(self, self->options.log_out, kind, line);
        if (shown && !self->bar_shown)
            redraw(self, self->drawn_ms);
    }
    pthread_mutex_unlock(&self->lock);
}

void fmq_display_clear(fmq_display_t *self)
{
    pthread_mutex_lock(&self->lock);
    if (self->bar_shown)
        fmq_writer_put(self->options.out, FMQ_WRITER_IMPORTANT, CLEAR, strlen(CLEAR));
    self->bar_shown = false;
    pthread_mutex_unlock(&self->lock);
}

size_t fmq_display_notice(void *argument, uint64_t lines, char *out, size_t capacity)
{
    const fmq_display_mode_t *mode = argument;
    int size;
    if (*mode == FMQ_DISPLAY_JSON)
        size = snprintf(out, capacity, "{\"event\":\"dropped\",\"lines\":%" PRIu64 "}\n", lines);
    else
        size = snprintf(out, capacity, "%sdropped %" PRIu64 " line%s that could not be shown\n",
                        *mode == FMQ_DISPLAY_TERMINAL ? CLEAR : "", lines, lines == 1 ? "" : "s");
    return size < 0 || (size_t)size >= capacity ? 0 : (size_t)size;
}
