/*
 * devices.h - the pool of backends that the actors of a process compute with.
 *
 * Whoever computes takes a permit, which is a backend with its threads, and
 * gives it back; there are as many as may compute at once.  Any thread.
 */
#ifndef FEDMQ_ACTORS_DEVICES_H
#define FEDMQ_ACTORS_DEVICES_H

#include <stddef.h>
#include <stdint.h>

#include "fedmq/base/api.h"
#include "fedmq/base/error.h"
#include "fedmq/llm/backend.h"
#include "fedmq/llm/team.h"

FMQ_API_BEGIN

/* How many may compute at once, and with how many threads each.  Holding a
 * permit gives a backend instance whose threads are the holder's alone. */
typedef struct fmq_devices fmq_devices_t;

#define FMQ_DEVICES_MAX 1024 /* of a process */

/* permits x threads CPU backends; model may later be opened with any.  A permit
 * has as many threads: its backend's, and the one of fmq_devices_do(). */
fmq_devices_t *fmq_devices_new(unsigned permits, unsigned threads, fmq_error_t *err);
/* The same on these devices (llm_backend_open()), to which the permits are dealt
 * round robin: number i is on devices[i % devices_size].  Who takes one is given
 * the device with the fewest permits taken, and among equals each in its turn. */
fmq_devices_t *fmq_devices_new_on(const char *const *devices, size_t devices_size, unsigned permits,
                                  unsigned threads, fmq_error_t *err);

typedef struct {
    const char *const *devices; /* as above; read during the call only */
    size_t devices_size;
    const char *const *team; /* devices that share every batch of a permit's holder, its own
                                instances of them, the permit's threads dealt out */
    size_t team_size;        /* 0 or 1: the permit's backend computes alone */
    bool sharded;            /* as in llm_team_plan_t */
    unsigned permits, threads;
} fmq_devices_plan_t;

fmq_devices_t *fmq_devices_open(const fmq_devices_plan_t *plan, fmq_error_t *err);
void fmq_devices_destroy(fmq_devices_t **self_p);

/* What trains together for the holder of permit: its team's backends, or its own
 * alone.  Borrowed; longest is left 0. */
llm_team_plan_t fmq_devices_team(const fmq_devices_t *self, const llm_backend_t *permit);
/* Waits for a permit, calling stop(argument) every 100 ms (NULL: never): a
 * value other than 0 gives up and returns NULL. */
llm_backend_t *fmq_devices_take(fmq_devices_t *self, int (*stop)(void *), void *argument);
void fmq_devices_give(fmq_devices_t *self, llm_backend_t **backend_p);
/* Does work(argument) in a thread that belongs to this permit, whose holder the
 * caller is, and waits for its end.  What the C library keeps of a computation
 * for its thread is then kept once a permit, and not by all who ever computed. */
void fmq_devices_do(fmq_devices_t *self, const llm_backend_t *permit, void (*work)(void *),
                    void *argument);

/* A thing that lies with a permit from one holder to the next: leave puts it
 * there, in the place of what lies there, and forget() ends it when nobody picks
 * it up; pick_up gives it to the holder, who owns it then; NULL when there is
 * none.  For the holder of permit only. */
void fmq_devices_leave(fmq_devices_t *self, const llm_backend_t *permit, void *thing,
                       void (*forget)(void *thing));
void *fmq_devices_pick_up(fmq_devices_t *self, const llm_backend_t *permit);
/* Ends what lies with this permit, for its holder; permit NULL, for anybody:
 * what lies with permits that nobody holds.  For who needs the memory. */
void fmq_devices_forget(fmq_devices_t *self, const llm_backend_t *permit);

/* Who computes with a permit says so at every step: to those who wait for one it
 * is a sign that their turn will come.  The number of such signs, of takings and
 * of givings; it stands still when everybody who has a permit hangs. */
void fmq_devices_move(fmq_devices_t *self);
uint64_t fmq_devices_moves(const fmq_devices_t *self);
size_t fmq_devices_size(const fmq_devices_t *self);
/* The most devices of a team that are one and the same: its workspaces share
 * their memory. */
size_t fmq_devices_crowd(const fmq_devices_t *self);
/* How many are taken. */
size_t fmq_devices_taken(fmq_devices_t *self);

FMQ_API_END

#endif
