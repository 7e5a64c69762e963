/*
 * writer.c - a queue of texts, and the thread that writes them.
 *
 * The lock is never held during a write, and the thread waits in poll(), so
 * that it can be told to give up.  Making the descriptor non-blocking would do
 * so for every process that shares it, the user's shell among them; so a
 * terminal or pipe is opened a second time for that.  Where this is refused (the
 * terminal of another user) a write may still block, when somebody else fills
 * what poll() has found free; a thread that hangs there at the end is cancelled.
 */
#include "fedmq/base/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/thread.h"
#include "fedmq/base/clock.h"

#define NOTICE_MAX 512
#define SLICE_MS   50   /* between looks whether it is time to give up */
#define HURRIED_MS 1000 /* for the thread to look, on a busy machine */
#define WAITS_MAX  5    /* times wait_ms at most, however much progress there is */

/* One write() each: a text of up to PIPE_BUF bytes stays whole in a pipe that
 * others write to as well. */
typedef struct text {
    struct text *next;
    uint64_t dropped_before; /* lines, between the text before it and this one */
    size_t size;
    char bytes[];
} text_t;

struct fmq_writer {
    int descriptor; /* borrowed, or the one below */
    int own;        /* opened a second time, non-blocking; -1: it was not */
    bool socket;
    size_t capacity;
    fmq_writer_notice_fn *notice;
    void *argument;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    text_t *head, *tail; /* owned; what waits */
    text_t *passing;     /* owned; waits until nothing else does */
    text_t *current;     /* owned; being written */
    size_t waiting;      /* bytes of head..tail */
    uint64_t dropped;
    uint64_t unsaid_before, unsaid_after; /* dropped lines before head, and after tail */
    uint64_t progress;                    /* counts writes that have ended, well or not */
    int error;
    bool ending;  /* the thread ends when nothing waits */
    bool hurried; /* or now */
    bool ended, closed;
    /* The thread's alone.  No frame that may be cancelled has such things of its
     * own: AddressSanitizer takes what it leaves on the stack for damage. */
    bool torn; /* the last write left the beginning of a line */
    char said[NOTICE_MAX + 1];
};

static uint64_t lines_of(const char *text, size_t size)
{
    uint64_t lines = 0;
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    return lines;
}

static size_t default_notice(void *argument, uint64_t lines, char *out, size_t capacity)
{
    (void)argument;
    int size = snprintf(out, capacity, "dropped %" PRIu64 " line%s that could not be written\n",
                        lines, lines == 1 ? "" : "s");
    return size < 0 || (size_t)size >= capacity ? 0 : (size_t)size;
}

static bool is_hurried(fmq_writer_t *self)
{
    (void)pthread_mutex_lock(&self->lock);
    bool hurried = self->hurried;
    (void)pthread_mutex_unlock(&self->lock);
    return hurried;
}

/* Returns whether it is time to write; not when it is time to give up. */
static bool wait_until_writable(fmq_writer_t *self)
{
    struct pollfd ready = {.fd = self->descriptor, .events = POLLOUT};
    while (poll(&ready, 1, SLICE_MS) == 0)
        if (is_hurried(self))
            return false;
    return true;
}

/* The only place in which the thread may be cancelled. */
static ssize_t write_piece(fmq_writer_t *self, const char *bytes, size_t size)
{
    if (self->socket)
        return send(self->descriptor, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    ssize_t written = write(self->descriptor, bytes, size);
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    return written;
}

/* Writes everything, or returns the errno of what failed. */
static int write_all(fmq_writer_t *self, const char *bytes, size_t size)
{
    size_t done = 0;
    int error = 0;
    while (done < size && error == 0) {
        size_t piece = size - done < PIPE_BUF ? size - done : PIPE_BUF;
        ssize_t written = -1;
        if (wait_until_writable(self))
            written = write_piece(self, bytes + done, piece);
        else
            errno = ECANCELED;
        if (written > 0)
            done += (size_t)written;
        else if (written < 0 && errno == EAGAIN)
            (void)poll(NULL, 0, 1); /* somebody else was faster */
        else if (written == 0 || errno != EINTR)
            error = written == 0 ? EIO : errno;
    }
    if (done > 0)
        self->torn = bytes[done - 1] != '\n';
    return error;
}

/* Says that lines are missing, on a line of its own.  Returns 0 or an errno. */
static int write_notice(fmq_writer_t *self, uint64_t lines)
{
    size_t size = self->notice(self->argument, lines, self->said + 1, NOTICE_MAX);
    self->said[0] = '\n';
    if (size == 0)
        return 0;
    return self->torn ? write_all(self, self->said, size + 1)
                      : write_all(self, self->said + 1, size);
}

static void drop(fmq_writer_t *self, uint64_t lines, uint64_t *unsaid)
{
    self->dropped += lines;
    *unsaid += lines;
}

/* The next text, taken out of what waits, or NULL; what was dropped before it
 * is then to be said. */
static text_t *next_text(fmq_writer_t *self)
{
    text_t *text = self->head;
    if (!text) {
        self->unsaid_before += self->unsaid_after;
        self->unsaid_after = 0;
        text = self->passing;
        self->passing = NULL;
        return text;
    }
    self->head = text->next;
    if (!self->head)
        self->tail = NULL;
    self->waiting -= sizeof *text + text->size;
    self->unsaid_before += text->dropped_before;
    return text;
}

/* Called with the lock, which is released during the writes.  Without a text it
 * only says what was dropped. */
static void write_next(fmq_writer_t *self, bool passes)
{
    text_t *text = self->current = next_text(self);
    uint64_t unsaid = self->unsaid_before;
    (void)pthread_mutex_unlock(&self->lock);
    int error = unsaid > 0 ? write_notice(self, unsaid) : 0;
    bool said = error == 0;
    if (said && text)
        error = write_all(self, text->bytes, text->size);
    if (passes)
        self->torn = false;
    (void)pthread_mutex_lock(&self->lock);
    if (said)
        self->unsaid_before -= unsaid;
    if (text && error != 0 && !passes)
        drop(self, lines_of(text->bytes, text->size), &self->unsaid_before);
    self->error = error;
    self->current = NULL;
    self->progress++;
    free(text);
}

/* Lines that were dropped are said without a text behind them too, but an
 * output that just failed is not tried again until there is one. */
static bool has_work(const fmq_writer_t *self)
{
    return self->head || self->passing ||
           (self->unsaid_before + self->unsaid_after > 0 && self->error == 0);
}

static void *write_texts(void *argument)
{
    fmq_writer_t *self = argument;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    (void)pthread_mutex_lock(&self->lock);
    while (true) {
        while (!has_work(self) && !self->ending)
            (void)pthread_cond_wait(&self->changed, &self->lock);
        if (!has_work(self) || self->hurried)
            break;
        write_next(self, !self->head);
        (void)pthread_cond_broadcast(&self->changed);
    }
    self->ended = true;
    (void)pthread_cond_broadcast(&self->changed);
    (void)pthread_mutex_unlock(&self->lock);
    return NULL;
}

/* Opens a terminal or pipe a second time, or keeps what was given. */
static void choose_descriptor(fmq_writer_t *self, int descriptor)
{
    char path[64];
    struct stat status;
    self->descriptor = descriptor;
    self->own = -1;
    if (fstat(descriptor, &status) < 0)
        return;
    self->socket = S_ISSOCK(status.st_mode);
    if (!S_ISCHR(status.st_mode) && !S_ISFIFO(status.st_mode))
        return;
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    self->own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (self->own >= 0)
        self->descriptor = self->own;
}

static int open_lock(fmq_writer_t *self)
{
    int error = fmq_condition_init(&self->changed);
    if (error == 0 && (error = pthread_mutex_init(&self->lock, NULL)) != 0)
        (void)pthread_cond_destroy(&self->changed);
    return error;
}

static void close_own(fmq_writer_t *self)
{
    if (self->own >= 0)
        (void)close(self->own);
    self->own = -1;
}

static void close_lock(fmq_writer_t *self)
{
    (void)pthread_mutex_destroy(&self->lock);
    (void)pthread_cond_destroy(&self->changed);
}

fmq_writer_t *fmq_writer_new(const fmq_writer_options_t *options, fmq_error_t *err)
{
    fmq_writer_t *self = calloc(1, sizeof *self);
    int error = self ? open_lock(self) : ENOMEM;
    if (error == 0) {
        choose_descriptor(self, options->descriptor);
        self->capacity = options->capacity ? options->capacity : FMQ_WRITER_BYTES;
        self->notice = options->notice ? options->notice : default_notice;
        self->argument = options->argument;
        /* Without signals SIGPIPE and SIGXFSZ are errors of its write(). */
        error = fmq_thread_start(&self->thread, write_texts, self);
        if (error == 0)
            return self;
        close_own(self);
        close_lock(self);
    }
    free(self);
    fmq_error_set(err, FMQ_ERR_NOMEM, "cannot start a thread that writes output: %s",
                  strerror(error));
    return NULL;
}

static void put_passing(fmq_writer_t *self, text_t *text)
{
    free(self->passing);
    self->passing = text;
}

static void put_last(fmq_writer_t *self, text_t *text)
{
    put_passing(self, NULL);
    text->dropped_before = self->unsaid_after;
    self->unsaid_after = 0;
    if (self->tail)
        self->tail->next = text;
    else
        self->head = text;
    self->tail = text;
    self->waiting += sizeof *text + text->size;
}

static bool has_room(const fmq_writer_t *self, fmq_writer_kind_t kind, size_t size)
{
    size_t most = kind == FMQ_WRITER_LINE ? self->capacity / 4 * 3 : self->capacity;
    return !self->closed && size <= FMQ_WRITER_TEXT_MAX &&
           self->waiting + sizeof(text_t) + size <= most;
}

void fmq_writer_put(fmq_writer_t *self, fmq_writer_kind_t kind, const char *text, size_t size)
{
    text_t *copy = size <= FMQ_WRITER_TEXT_MAX ? malloc(sizeof *copy + size) : NULL;
    if (copy) {
        *copy = (text_t){.size = size};
        memcpy(copy->bytes, text, size);
    }
    (void)pthread_mutex_lock(&self->lock);
    if (!copy || !has_room(self, kind, size)) {
        if (kind != FMQ_WRITER_PASSING)
            drop(self, lines_of(text, size), &self->unsaid_after);
        free(copy);
    } else if (kind == FMQ_WRITER_PASSING) {
        put_passing(self, copy);
    } else {
        put_last(self, copy);
    }
    (void)pthread_cond_broadcast(&self->changed);
    (void)pthread_mutex_unlock(&self->lock);
}

/* Called with the lock.  Waits until nothing is left to do (or, when it is to
 * end, until the thread has ended); -1 when that takes too long. */
static int wait_until_idle(fmq_writer_t *self, int wait_ms)
{
    int64_t now_ms = fmq_clock_ms(), last_ms = now_ms + (int64_t)wait_ms * WAITS_MAX;
    int64_t until_ms = now_ms + wait_ms;
    uint64_t seen = self->progress;
    while (self->ending ? !self->ended : has_work(self) || self->current) {
        if (self->progress != seen) {
            seen = self->progress;
            until_ms = now_ms + wait_ms < last_ms ? now_ms + wait_ms : last_ms;
        }
        if (now_ms >= until_ms)
            return -1;
        (void)fmq_condition_wait(&self->changed, &self->lock, until_ms);
        now_ms = fmq_clock_ms();
    }
    return 0;
}

int fmq_writer_flush(fmq_writer_t *self, int wait_ms)
{
    (void)pthread_mutex_lock(&self->lock);
    int rc = wait_until_idle(self, wait_ms);
    (void)pthread_mutex_unlock(&self->lock);
    return rc;
}

/* The thread is no more: what it left is dropped.  A text that was being
 * written counts as dropped, though some of it may have come through. */
static void drop_the_rest(fmq_writer_t *self)
{
    if (self->current && self->current->size > 0)
        drop(self, lines_of(self->current->bytes, self->current->size), &self->unsaid_before);
    free(self->current);
    self->current = NULL;
    while (self->head) {
        text_t *text = next_text(self);
        drop(self, lines_of(text->bytes, text->size), &self->unsaid_before);
        free(text);
    }
    put_passing(self, NULL);
}

/* Called with the lock.  Waits for what is left to do and then for the thread;
 * -1 when it hangs in a write. */
static int end_thread(fmq_writer_t *self, int wait_ms)
{
    self->ending = true;
    (void)pthread_cond_broadcast(&self->changed);
    if (wait_until_idle(self, wait_ms) == 0)
        return 0;
    self->hurried = true;
    (void)pthread_cond_broadcast(&self->changed);
    return wait_until_idle(self, HURRIED_MS);
}

uint64_t fmq_writer_close(fmq_writer_t *self, int wait_ms)
{
    (void)pthread_mutex_lock(&self->lock);
    bool first = !self->ending;
    bool hangs = first && end_thread(self, wait_ms) < 0;
    (void)pthread_mutex_unlock(&self->lock);
    if (hangs)
        (void)pthread_cancel(self->thread);
    if (first)
        (void)pthread_join(self->thread, NULL);
    close_own(self);
    (void)pthread_mutex_lock(&self->lock);
    self->closed = true;
    drop_the_rest(self);
    uint64_t unsaid = self->unsaid_before + self->unsaid_after;
    (void)pthread_mutex_unlock(&self->lock);
    return unsaid;
}

void fmq_writer_destroy(fmq_writer_t **self_p)
{
    if (!self_p || !*self_p)
        return;
    (void)fmq_writer_close(*self_p, 0);
    close_lock(*self_p);
    free(*self_p);
    *self_p = NULL;
}

fmq_writer_state_t fmq_writer_state(fmq_writer_t *self)
{
    (void)pthread_mutex_lock(&self->lock);
    fmq_writer_state_t state = {
        .dropped = self->dropped, .waiting = self->waiting, .error = self->error};
    (void)pthread_mutex_unlock(&self->lock);
    return state;
}
