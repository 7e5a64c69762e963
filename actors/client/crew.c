/*
 * crew.c - a queue of clients that want a turn, timers, and threads.
 *
 * A member is with one thread at a time: it is idle, in the queue, or has its
 * turn; what happens in a turn asks for another one.  One thread more, the
 * keeper, looks at the timers, and at those that wait for their turn.
 */
#include "actors/client/crew.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/client/client.h"
#include "base/bell.h"
#include "base/thread.h"
#include "base/timers.h"
#include "fedmq/base/clock.h"

#define SHOW_MS 200 /* between two signs of those that wait for a turn */

typedef enum {
    IDLE,
    QUEUED,
    IN_TURN,
    IN_TURN_AGAIN, /* and wants another */
    ENDED
} state_t;

typedef struct member {
    fmq_timer_t timer; /* set in state IDLE alone */
    fmq_crew_t *crew;  /* borrowed */
    fmq_client_t *client;
    uint32_t number;
    state_t state;
    bool started, shown;
    struct member *next; /* in the queue, or among those that ended */
    fmq_error_t *why;    /* owned; ENDED by itself, or NULL: no memory to say it */
} member_t;

typedef struct {
    member_t *first, *last;
    uint32_t size;
} queue_t;

struct fmq_crew {
    fmq_client_options_t options;
    pthread_mutex_t lock; /* guards all below, and the members' fields */
    pthread_cond_t wanted, timed;
    bool dismissed; /* every member shall end */
    queue_t waiting, ended;
    uint32_t alive; /* not ENDED */
    fmq_timers_t timers;
    int bell;          /* readable while `ended` is not empty */
    member_t *members; /* owned array */
    uint32_t size;
    pthread_t *threads; /* owned array; the keeper is the last */
    uint32_t running;
};

static void queue_put(queue_t *self, member_t *member)
{
    member->next = NULL;
    *(self->first ? &self->last->next : &self->first) = member;
    self->last = member;
    self->size++;
}

static member_t *queue_take(queue_t *self)
{
    member_t *member = self->first;
    if (member) {
        self->first = member->next;
        self->size--;
    }
    return member;
}

/* With the lock. */
static void enqueue(fmq_crew_t *self, member_t *member)
{
    fmq_timers_unset(&self->timers, &member->timer);
    member->state = QUEUED;
    queue_put(&self->waiting, member);
    pthread_cond_signal(&self->wanted);
}

/* With the lock. */
static void want_turn(fmq_crew_t *self, member_t *member)
{
    if (member->state == IDLE)
        enqueue(self, member);
    else if (member->state == IN_TURN)
        member->state = IN_TURN_AGAIN;
}

/* The link has news; in the hub's thread. */
static void on_news(void *argument)
{
    member_t *member = argument;
    pthread_mutex_lock(&member->crew->lock);
    want_turn(member->crew, member);
    pthread_mutex_unlock(&member->crew->lock);
}

/* One turn, the first of which starts it; without the lock.  True when the client has ended. */
static bool give_turn(fmq_crew_t *self, member_t *member, fmq_error_t *why)
{
    if (!member->started) {
        fmq_client_options_t options = self->options;
        options.client = member->number;
        options.notify = on_news;
        options.notify_argument = member;
        member->started = true;
        if (fmq_client_start(member->client, &options, why) < 0)
            return true;
    } else if (member->shown) {
        member->shown = false;
        fmq_client_show_waiting(member->client, false);
    }
    return fmq_client_turn(member->client, why);
}

/* With the lock: it has ended, by itself unless it was told to. */
static void bury(fmq_crew_t *self, member_t *member, const fmq_error_t *why)
{
    member->state = ENDED;
    if (--self->alive == 0)
        pthread_cond_broadcast(&self->wanted);
    if (self->dismissed)
        return;
    member->why = malloc(sizeof *member->why);
    if (member->why)
        *member->why = *why;
    queue_put(&self->ended, member);
    fmq_bell_ring(self->bell);
}

/* With the lock: after a turn that did not end it. */
static void lay_down(fmq_crew_t *self, member_t *member, int patience_ms)
{
    if (member->state == IN_TURN_AGAIN || self->dismissed) {
        enqueue(self, member);
        return;
    }
    member->state = IDLE;
    if (patience_ms == 0)
        enqueue(self, member);
    if (patience_ms <= 0)
        return;
    fmq_timers_set(&self->timers, &member->timer, fmq_clock_ms() + patience_ms);
    if (fmq_timers_first(&self->timers) == &member->timer)
        pthread_cond_signal(&self->timed);
}

/* The next that wants a turn; NULL once all have ended. */
static member_t *await_member(fmq_crew_t *self)
{
    while (self->waiting.size == 0 && !(self->dismissed && self->alive == 0))
        pthread_cond_wait(&self->wanted, &self->lock);
    member_t *member = queue_take(&self->waiting);
    if (member)
        member->state = IN_TURN;
    return member;
}

static void *work(void *argument)
{
    fmq_crew_t *self = argument;
    member_t *member;
    pthread_mutex_lock(&self->lock);
    while ((member = await_member(self))) {
        fmq_error_t why = {0};
        bool unborn = self->dismissed && !member->started;
        pthread_mutex_unlock(&self->lock);
        bool ended = unborn || give_turn(self, member, &why);
        int patience_ms = ended ? -1 : fmq_client_patience(member->client);
        if (ended)
            fmq_client_leave(member->client);
        pthread_mutex_lock(&self->lock);
        if (ended)
            bury(self, member, &why);
        else
            lay_down(self, member, patience_ms);
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

/* With the lock, so that nobody else has them. */
static void show_who_waits(fmq_crew_t *self)
{
    for (member_t *member = self->waiting.first; member; member = member->next)
        if (member->started) {
            member->shown = true;
            fmq_client_show_waiting(member->client, true);
        }
}

/* With the lock, which it gives back meanwhile. */
static void doze(fmq_crew_t *self, int pause_ms)
{
    (void)fmq_condition_wait(&self->timed, &self->lock, fmq_clock_ms() + pause_ms);
}

static void *keep(void *argument)
{
    fmq_crew_t *self = argument;
    int64_t shown_ms = fmq_clock_ms();
    pthread_mutex_lock(&self->lock);
    while (!self->dismissed) {
        int64_t now_ms = fmq_clock_ms();
        fmq_timer_t *timer;
        while ((timer = fmq_timers_first(&self->timers)) && timer->due_ms <= now_ms)
            want_turn(self, (member_t *)timer);
        if (now_ms - shown_ms >= SHOW_MS) {
            show_who_waits(self);
            shown_ms = now_ms;
        }
        doze(self, fmq_timers_wait(&self->timers, now_ms, SHOW_MS));
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

bool fmq_crew_ended(fmq_crew_t *self, uint32_t *client, fmq_error_t *why)
{
    pthread_mutex_lock(&self->lock);
    member_t *member = queue_take(&self->ended);
    if (self->ended.size == 0)
        fmq_bell_silence(self->bell);
    if (member && member->why)
        *why = *member->why;
    else if (member)
        fmq_error_set(why, FMQ_ERR_NOMEM, "out of memory for what client-%u said", member->number);
    if (member)
        *client = member->number;
    pthread_mutex_unlock(&self->lock);
    return member != NULL;
}

int fmq_crew_descriptor(const fmq_crew_t *self)
{
    return self->bell;
}

static int make_members(fmq_crew_t *self, const fmq_crew_options_t *options, fmq_error_t *err)
{
    self->members = calloc(options->size ? options->size : 1, sizeof *self->members);
    if (!self->members)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for %u clients", options->size);
    if (fmq_timers_reserve(&self->timers, options->size, err) < 0)
        return -1;
    for (uint32_t i = 0; i < options->size; i++) {
        fmq_client_options_t client = options->client;
        client.client += i;
        self->members[i] = (member_t){.crew = self, .number = client.client};
        self->members[i].client = fmq_client_new(&client, err);
        if (!self->members[i].client)
            return fmq_error_prefix(err, "client %u of %u", i + 1, options->size);
        self->size++;
        self->alive++;
        enqueue(self, &self->members[i]);
    }
    return 0;
}

static int start_threads(fmq_crew_t *self, uint32_t threads, fmq_error_t *err)
{
    int failed = 0;
    self->threads = calloc(threads + 1, sizeof *self->threads);
    if (!self->threads)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for %u threads", threads);
    while (!failed && self->running <= threads) {
        failed = fmq_thread_start(&self->threads[self->running],
                                  self->running < threads ? work : keep, self);
        self->running += failed == 0;
    }
    return failed == 0 ? 0
                       : fmq_error_set(err, FMQ_ERR_NOMEM,
                                       "no thread can be started for the clients: %s; raise "
                                       "'ulimit -u', 'ulimit -v' or the container's limit of "
                                       "processes",
                                       strerror(failed));
}

static int init_waiting(fmq_crew_t *self)
{
    if (fmq_condition_init(&self->timed) != 0)
        return -1;
    if (pthread_cond_init(&self->wanted, NULL) == 0) {
        if (pthread_mutex_init(&self->lock, NULL) == 0)
            return 0;
        pthread_cond_destroy(&self->wanted);
    }
    pthread_cond_destroy(&self->timed);
    return -1;
}

fmq_crew_t *fmq_crew_new(const fmq_crew_options_t *options, fmq_error_t *err)
{
    fmq_crew_t *self = calloc(1, sizeof *self);
    if (!self || init_waiting(self) < 0) {
        free(self);
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for %u clients", options->size);
        return NULL;
    }
    self->options = options->client;
    self->bell = fmq_bell_open();
    if (self->bell < 0)
        fmq_error_set(err, FMQ_ERR_NOMEM,
                      "no file can be opened for the clients: %s; raise 'ulimit -n'",
                      strerror(errno));
    else if (make_members(self, options, err) == 0 &&
             start_threads(self, options->threads ? options->threads : 1, err) == 0)
        return self;
    fmq_crew_destroy(&self);
    return NULL;
}

/* Those that could not be given a thread end without a turn. */
static void dismiss(fmq_crew_t *self)
{
    pthread_mutex_lock(&self->lock);
    self->dismissed = true;
    for (uint32_t i = 0; i < self->size; i++) {
        fmq_client_tell_to_end(self->members[i].client);
        want_turn(self, &self->members[i]);
    }
    pthread_cond_broadcast(&self->wanted);
    pthread_cond_broadcast(&self->timed);
    pthread_mutex_unlock(&self->lock);
    for (uint32_t i = 0; i < self->running; i++)
        pthread_join(self->threads[i], NULL);
}

void fmq_crew_destroy(fmq_crew_t **self_p)
{
    fmq_crew_t *self = *self_p;
    if (!self)
        return;
    dismiss(self);
    for (uint32_t i = 0; i < self->size; i++)
        fmq_client_leave(self->members[i].client);
    for (uint32_t i = 0; i < self->size; i++) {
        fmq_client_destroy(&self->members[i].client);
        free(self->members[i].why);
    }
    if (self->bell >= 0)
        close(self->bell);
    fmq_timers_release(&self->timers);
    free(self->threads);
    free(self->members);
    pthread_cond_destroy(&self->timed);
    pthread_cond_destroy(&self->wanted);
    pthread_mutex_destroy(&self->lock);
    free(self);
    *self_p = NULL;
}
