/*
 * output.c - the writers of a process, the log and the display above them.
 */
#include "actors/launcher/output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/launcher/display.h"
#include "actors/launcher/display_json.h"
#include "actors/launcher/run_log.h"

typedef struct {
    const char *name;
    fmq_writer_t *writer;
    bool told;
} stream_t;

struct fmq_output {
    fmq_display_mode_t mode;
    stream_t out, err;      /* err has no writer where both are one terminal, pipe or file */
    stream_t file;          /* run.log's, once it is open; its writer is borrowed */
    fmq_run_log_t *run_log; /* owned, or NULL */
    fmq_display_t *display;
    fmq_log_t *log;
};

/* Lines of both then come in order, and clear of the bar. */
static bool are_one(int a, int b)
{
    struct stat left, right;
    return fstat(a, &left) == 0 && fstat(b, &right) == 0 && left.st_dev == right.st_dev &&
           left.st_ino == right.st_ino;
}

static int open_stream(fmq_output_t *self, stream_t *stream, const char *name, int descriptor,
                       fmq_error_t *err)
{
    const fmq_writer_options_t options = {
        .descriptor = descriptor, .notice = fmq_display_notice, .argument = &self->mode};
    *stream = (stream_t){.name = name, .writer = fmq_writer_new(&options, err)};
    return stream->writer ? 0 : -1;
}

static int open_display(fmq_output_t *self, const fmq_output_options_t *options, fmq_error_t *err)
{
    self->mode = fmq_display_mode(options->quiet, options->json, STDOUT_FILENO);
    if (open_stream(self, &self->out, "stdout", STDOUT_FILENO, err) < 0)
        return -1;
    if (!are_one(STDOUT_FILENO, STDERR_FILENO) &&
        open_stream(self, &self->err, "stderr", STDERR_FILENO, err) < 0)
        return -1;
    const fmq_display_options_t display = {.mode = self->mode,
                                           .color = getenv("NO_COLOR") == NULL,
                                           .in_memory = options->in_memory,
                                           .terminal = STDOUT_FILENO,
                                           .out = self->out.writer,
                                           .log_out = self->err.writer ? self->err.writer
                                                                       : self->out.writer};
    self->display = fmq_display_new(&display);
    if (self->display)
        self->log = fmq_log_new(fmq_display_log, self->display, options->shown);
    return self->log ? 0 : fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a log");
}

static int open_run_log(fmq_output_t *self, const fmq_output_options_t *options, fmq_error_t *err)
{
    if (!options->run_log)
        return 0;
    self->run_log = fmq_run_log_new();
    if (!self->run_log)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a log");
    return fmq_log_add_sink(self->log, fmq_run_log_write, self->run_log, options->kept);
}

fmq_output_t *fmq_output_open(const fmq_output_options_t *options, fmq_error_t *err)
{
    fmq_output_t *self = calloc(1, sizeof *self);
    if (!self) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a log");
        return NULL;
    }
    if (open_display(self, options, err) < 0 || open_run_log(self, options, err) < 0)
        fmq_output_close(&self);
    return self;
}

int fmq_output_keep(fmq_output_t *self, const char *directory, fmq_error_t *err)
{
    if (fmq_run_log_open(self->run_log, directory, err) < 0)
        return -1;
    self->file = (stream_t){.name = "run.log", .writer = fmq_run_log_writer(self->run_log)};
    return 0;
}

static void look_at(fmq_output_t *self, stream_t *stream)
{
    if (!stream->writer || stream->told)
        return;
    fmq_writer_state_t state = fmq_writer_state(stream->writer);
    if (state.dropped == 0 && state.error == 0)
        return;
    stream->told = true;
    fmq_log_write(self->log, FMQ_LOG_WARNING, "launcher", "output-fails",
                  "output=%s reason=\"%s\" consequence=\"lines are dropped, the run goes on\"",
                  stream->name, state.error ? strerror(state.error) : "nobody reads it");
}

void fmq_output_look(fmq_output_t *self)
{
    look_at(self, &self->out);
    look_at(self, &self->err);
    look_at(self, &self->file);
}

/* What could not be said there is said in run.log. */
static void close_stream(fmq_output_t *self, stream_t *stream)
{
    if (!stream->writer)
        return;
    uint64_t lines = fmq_writer_close(stream->writer, FMQ_OUTPUT_CLOSE_MS);
    if (lines > 0)
        fmq_log_write(self->log, FMQ_LOG_WARNING, "launcher", "lines-dropped",
                      "output=%s count=%" PRIu64, stream->name, lines);
}

/* The display still takes what is logged while its writers are closed: it is
 * destroyed when nobody logs any more. */
void fmq_output_close(fmq_output_t **self_p)
{
    fmq_output_t *self = *self_p;
    if (!self)
        return;
    if (self->log)
        fmq_output_look(self);
    if (self->display)
        fmq_display_clear(self->display);
    close_stream(self, &self->out);
    close_stream(self, &self->err);
    close_stream(self, &self->file);
    fmq_log_destroy(&self->log);
    fmq_display_destroy(&self->display);
    fmq_writer_destroy(&self->out.writer);
    fmq_writer_destroy(&self->err.writer);
    fmq_run_log_destroy(&self->run_log);
    free(self);
    *self_p = NULL;
}

fmq_log_t *fmq_output_log(fmq_output_t *self)
{
    return self->log;
}

fmq_writer_t *fmq_output_results(fmq_output_t *self)
{
    return self->out.writer;
}

void fmq_output_event(fmq_output_t *self, const fmq_run_event_t *event, int64_t now_ms)
{
    fmq_display_event(self->display, event, now_ms);
}

void fmq_output_line(fmq_output_t *self, const char *line)
{
    fmq_display_line(self->display, line);
}

/* Without memory for a thread the line is written all the same. */
static void write_error(const char *text)
{
    const fmq_writer_options_t options = {.descriptor = STDERR_FILENO};
    fmq_writer_t *writer = fmq_writer_new(&options, NULL);
    if (!writer) {
        (void)fputs(text, stderr);
        return;
    }
    fmq_writer_put(writer, FMQ_WRITER_IMPORTANT, text, strlen(text));
    (void)fmq_writer_close(writer, FMQ_OUTPUT_CLOSE_MS);
    fmq_writer_destroy(&writer);
}

void fmq_output_error(const char *who, bool json, const fmq_error_t *err, int status)
{
    char line[sizeof err->text + 128];
    char *object = json ? fmq_display_json_error(err, status) : NULL;
    (void)snprintf(line, sizeof line, "fedmq%s%s: %s\n", *who ? " " : "", who, err->text);
    write_error(object ? object : line);
    free(object);
}
