/*
 * devices.c - how many actors of a process may compute at once, and where.
 *
 * A fixed set of backends, dealt round robin to the devices, each with threads
 * of its own; whoever takes one has it alone.  Waiting is not fair: the next to
 * wake takes what is free.  It knows nothing of models or workspaces, or of what
 * holders leave with a permit.
 */
#include "fedmq/actors/actors.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "actors/runtime/hand.h"
#include "base/thread.h"
#include "fedmq/base/clock.h"

#define PERMIT_THREADS_MAX 1024
#define STOP_CHECK_MS      100

typedef struct {
    llm_backend_t *backend; /* owned */
    llm_backend_t **team;   /* owned, as its items; NULL: backend computes alone */
    fmq_hand_t *hand;       /* owned */
    size_t device;
    void *thing; /* that lies there, or NULL; forget ends it */
    void (*forget)(void *thing);
} permit_t;

typedef struct {
    size_t taken;  /* permits of it that are held */
    uint64_t turn; /* when one was last handed out, counted in permits */
} device_t;

struct fmq_devices {
    pthread_mutex_t lock;
    pthread_cond_t freed;
    size_t size, idle, devices_size, team_size, crowd;
    bool sharded;
    uint64_t turns;
    atomic_uint_fast64_t moves;
    permit_t *every;   /* owned array */
    size_t *free;      /* owned array of places in every; the first `idle` are not taken */
    device_t *devices; /* owned array */
};

static int init_waiting(fmq_devices_t *self)
{
    if (fmq_condition_init(&self->freed) != 0)
        return -1;
    if (pthread_mutex_init(&self->lock, NULL) != 0) {
        pthread_cond_destroy(&self->freed);
        return -1;
    }
    return 0;
}

/* The permit's threads are its team's, all of which never compute at once with
 * its own backend. */
static int open_team(const fmq_devices_plan_t *plan, permit_t *permit, fmq_error_t *err)
{
    unsigned each = plan->threads / (unsigned)plan->team_size;
    permit->team = calloc(plan->team_size, sizeof(*permit->team));
    if (!permit->team)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for %zu devices", plan->team_size);
    for (size_t i = 0; i < plan->team_size; i++)
        if (!(permit->team[i] = llm_backend_open(plan->team[i], each ? each : 1, err)))
            return -1;
    return 0;
}

static void close_permit(permit_t *permit, size_t team_size)
{
    fmq_hand_destroy(&permit->hand);
    for (size_t i = 0; permit->team && i < team_size; i++)
        llm_backend_destroy(&permit->team[i]);
    free(permit->team);
    llm_backend_destroy(&permit->backend);
}

static int open_permit(fmq_devices_t *self, const fmq_devices_plan_t *plan, fmq_error_t *err)
{
    permit_t *permit = &self->every[self->size];
    permit->device = self->size % self->devices_size;
    permit->backend = llm_backend_open(plan->devices[permit->device], plan->threads, err);
    if (!permit->backend || (self->team_size > 0 && open_team(plan, permit, err) < 0) ||
        !(permit->hand = fmq_hand_new(err))) {
        close_permit(permit, self->team_size);
        return -1;
    }
    self->free[self->idle++] = self->size++;
    return 0;
}

static size_t crowd_of(const fmq_devices_plan_t *plan)
{
    size_t most = 1;
    for (size_t i = 0; i < plan->team_size; i++) {
        size_t same = 0;
        for (size_t k = 0; k < plan->team_size; k++)
            same += strcmp(plan->team[i], plan->team[k]) == 0;
        most = same > most ? same : most;
    }
    return most;
}

static fmq_devices_t *shell_new(size_t devices, unsigned permits, fmq_error_t *err)
{
    fmq_devices_t *self = calloc(1, sizeof *self);
    if (!self || init_waiting(self) < 0) {
        free(self);
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for %u permits", permits);
        return NULL;
    }
    self->devices_size = devices;
    self->free = calloc(permits, sizeof *self->free);
    self->every = calloc(permits, sizeof *self->every);
    self->devices = calloc(devices, sizeof *self->devices);
    if (!self->free || !self->every || !self->devices) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for %u permits", permits);
        fmq_devices_destroy(&self);
    }
    return self;
}

fmq_devices_t *fmq_devices_open(const fmq_devices_plan_t *plan, fmq_error_t *err)
{
    if (plan->permits == 0 || plan->permits > FMQ_DEVICES_MAX || plan->threads == 0 ||
        plan->threads > PERMIT_THREADS_MAX || plan->devices_size == 0 ||
        plan->devices_size > FMQ_DEVICES_MAX || plan->team_size > LLM_TEAM_MAX) {
        fmq_error_set(err, FMQ_ERR_CONFIG,
                      "%u permits of %u threads on %zu devices: each must lie between 1 and %d",
                      plan->permits, plan->threads, plan->devices_size, FMQ_DEVICES_MAX);
        return NULL;
    }
    fmq_devices_t *self = shell_new(plan->devices_size, plan->permits, err);
    if (self) {
        self->team_size = plan->team_size > 1 ? plan->team_size : 0;
        self->sharded = plan->sharded;
        self->crowd = crowd_of(plan);
    }
    while (self && self->size < plan->permits) {
        if (open_permit(self, plan, err) < 0)
            fmq_devices_destroy(&self);
    }
    return self;
}

fmq_devices_t *fmq_devices_new_on(const char *const *devices, size_t devices_size, unsigned permits,
                                  unsigned threads, fmq_error_t *err)
{
    const fmq_devices_plan_t plan = {
        .devices = devices, .devices_size = devices_size, .permits = permits, .threads = threads};
    return fmq_devices_open(&plan, err);
}

fmq_devices_t *fmq_devices_new(unsigned permits, unsigned threads, fmq_error_t *err)
{
    static const char *const cpu[] = {"cpu"};
    return fmq_devices_new_on(cpu, 1, permits, threads, err);
}

static void forget_thing(permit_t *permit)
{
    void *thing = permit->thing;
    permit->thing = NULL;
    if (thing)
        permit->forget(thing);
}

void fmq_devices_destroy(fmq_devices_t **self_p)
{
    fmq_devices_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->size; i++) {
        forget_thing(&self->every[i]);
        close_permit(&self->every[i], self->team_size);
    }
    free(self->devices);
    free(self->every);
    free(self->free);
    pthread_cond_destroy(&self->freed);
    pthread_mutex_destroy(&self->lock);
    free(self);
    *self_p = NULL;
}

void fmq_devices_move(fmq_devices_t *self)
{
    atomic_fetch_add_explicit(&self->moves, 1, memory_order_relaxed);
}

uint64_t fmq_devices_moves(const fmq_devices_t *self)
{
    return atomic_load_explicit(&self->moves, memory_order_relaxed);
}

size_t fmq_devices_size(const fmq_devices_t *self)
{
    return self->size;
}

size_t fmq_devices_crowd(const fmq_devices_t *self)
{
    return self->crowd;
}

size_t fmq_devices_taken(fmq_devices_t *self)
{
    pthread_mutex_lock(&self->lock);
    size_t taken = self->size - self->idle;
    pthread_mutex_unlock(&self->lock);
    return taken;
}

/* The device with the fewest permits taken comes first; among equals the one
 * that has waited longest. */
static bool comes_before(const device_t *a, const device_t *b)
{
    return a->taken != b->taken ? a->taken < b->taken : a->turn < b->turn;
}

/* Takes one of those that are idle: of its device the one given back last,
 * whose memory may still be in a cache. */
static llm_backend_t *take_idle(fmq_devices_t *self)
{
    size_t chosen = self->idle - 1;
    for (size_t i = self->idle - 1; i-- > 0;) {
        if (comes_before(&self->devices[self->every[self->free[i]].device],
                         &self->devices[self->every[self->free[chosen]].device]))
            chosen = i;
    }
    const permit_t *permit = &self->every[self->free[chosen]];
    device_t *device = &self->devices[permit->device];
    device->taken++;
    device->turn = ++self->turns;
    self->idle--;
    memmove(&self->free[chosen], &self->free[chosen + 1],
            (self->idle - chosen) * sizeof *self->free);
    fmq_devices_move(self);
    return permit->backend;
}

/* stop() is called without the lock, so that it may take its time and may
 * itself give permits back. */
llm_backend_t *fmq_devices_take(fmq_devices_t *self, int (*stop)(void *), void *argument)
{
    pthread_mutex_lock(&self->lock);
    while (self->idle == 0) {
        if (!stop) {
            pthread_cond_wait(&self->freed, &self->lock);
            continue;
        }
        int64_t until_ms = fmq_clock_ms() + STOP_CHECK_MS;
        if (fmq_condition_wait(&self->freed, &self->lock, until_ms) != ETIMEDOUT)
            continue;
        pthread_mutex_unlock(&self->lock);
        if (stop(argument) != 0)
            return NULL;
        pthread_mutex_lock(&self->lock);
    }
    llm_backend_t *backend = take_idle(self);
    pthread_mutex_unlock(&self->lock);
    return backend;
}

/* The place of a permit that somebody holds; every never changes. */
static size_t place_of(const fmq_devices_t *self, const llm_backend_t *backend)
{
    size_t i = 0;
    while (i + 1 < self->size && self->every[i].backend != backend)
        i++;
    return i;
}

llm_team_plan_t fmq_devices_team(const fmq_devices_t *self, const llm_backend_t *permit)
{
    const permit_t *place = &self->every[place_of(self, permit)];
    if (!place->team)
        return (llm_team_plan_t){.backends = &place->backend, .size = 1, .sharded = self->sharded};
    return (llm_team_plan_t){
        .backends = place->team, .size = self->team_size, .sharded = self->sharded};
}

void fmq_devices_give(fmq_devices_t *self, llm_backend_t **backend_p)
{
    if (!*backend_p)
        return;
    size_t place = place_of(self, *backend_p);
    pthread_mutex_lock(&self->lock);
    self->free[self->idle++] = place;
    self->devices[self->every[place].device].taken--;
    fmq_devices_move(self);
    pthread_cond_signal(&self->freed);
    pthread_mutex_unlock(&self->lock);
    *backend_p = NULL;
}

void fmq_devices_do(fmq_devices_t *self, const llm_backend_t *permit, void (*work)(void *),
                    void *argument)
{
    fmq_hand_do(self->every[place_of(self, permit)].hand, work, argument);
}

void fmq_devices_leave(fmq_devices_t *self, const llm_backend_t *permit, void *thing,
                       void (*forget)(void *thing))
{
    permit_t *place = &self->every[place_of(self, permit)];
    forget_thing(place);
    place->thing = thing;
    place->forget = forget;
}

void *fmq_devices_pick_up(fmq_devices_t *self, const llm_backend_t *permit)
{
    permit_t *place = &self->every[place_of(self, permit)];
    void *thing = place->thing;
    place->thing = NULL;
    return thing;
}

/* While the lock is held nobody becomes the holder of one that is idle. */
void fmq_devices_forget(fmq_devices_t *self, const llm_backend_t *permit)
{
    if (permit) {
        forget_thing(&self->every[place_of(self, permit)]);
        return;
    }
    pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < self->idle; i++)
        forget_thing(&self->every[self->free[i]]);
    pthread_mutex_unlock(&self->lock);
}
