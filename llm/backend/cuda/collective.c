/*
 * collective.c - ranks on different devices exchange vectors by NCCL.
 *
 * Vectors travel as sends and receives alone, and are added up by the backend's
 * own kernel in the order of ranks, so that the bytes are those of any other
 * carrier, whatever the library's sums would be.  Pieces are on the queue one
 * after another; the host waits once, at the end of a call.
 *
 * Work that waits for a rank that has failed never ends by itself.  So a rank that
 * fails, or that finds its device failed, says so in the group and aborts its
 * communicator; the others look there while they wait, and abort theirs.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "llm/backend/collective.h"
#include "llm/backend/cuda/cuda.h"
#include "llm/backend/cuda/nccl.h"

#define ROOM_FLOATS ((size_t)1 << 22) /* for what a rank receives to add up */
#define EAGER_ASKS  2000              /* before a waiting thread naps */
#define NAP_NS      20000

typedef struct {
    llm_nccl_t nccl;
    unsigned members; /* who has it; they come and go one after another */
    atomic_bool broken;
    pthread_mutex_t lock;
    fmq_error_t why; /* of the first rank that broke it; with the lock */
} group_t;

typedef struct {
    llm_collective_t collective;
    group_t *group; /* shared; the last member destroys it */
    void *comm;     /* owned; NULL once it is aborted */
    float *room;    /* owned, device memory: ranks - 1 pieces */
    size_t piece;   /* floats */
} member_t;

/* The first failure stays. */
static void break_up(member_t *self, const char *text)
{
    group_t *group = self->group;
    pthread_mutex_lock(&group->lock);
    if (!atomic_load(&group->broken))
        (void)fmq_error_set(&group->why, FMQ_ERR_INTERNAL,
                            "device %u of a team cannot exchange vectors by NCCL: %s; look at "
                            "NCCL_DEBUG=WARN's lines, or point $FEDMQ_NCCL to no file, which goes "
                            "through host memory",
                            self->collective.rank, text);
    atomic_store(&group->broken, true);
    pthread_mutex_unlock(&group->lock);
}

static int give_up(member_t *self, fmq_error_t *err)
{
    group_t *group = self->group;
    if (self->comm)
        (void)group->nccl.abort(self->comm);
    self->comm = NULL;
    pthread_mutex_lock(&group->lock);
    int rc = fmq_error_copy(err, &group->why);
    pthread_mutex_unlock(&group->lock);
    return rc;
}

static bool is_broken(const member_t *self)
{
    return atomic_load(&self->group->broken);
}

/* What has gone wrong with the work on the queue, or with the others. */
static const char *ask(member_t *self, const llm_cuda_t *cuda, bool *done)
{
    const llm_nccl_t *nccl = &self->group->nccl;
    const char *wrong = llm_cuda_queue_ask(&cuda->queue, done);
    int code = 0;
    if (wrong || *done)
        return wrong;
    int rc = nccl->async_error(self->comm, &code);
    if (rc != 0)
        return nccl->text(rc);
    return code == 0 || code == LLM_NCCL_IN_PROGRESS ? NULL : nccl->text(code);
}

static int finish(member_t *self, fmq_error_t *err)
{
    const llm_cuda_t *cuda = llm_cuda_enter(self->collective.be);
    bool done = false;
    for (unsigned asks = 0; !done && !is_broken(self); asks++) {
        const char *wrong = ask(self, cuda, &done);
        if (wrong)
            break_up(self, wrong);
        else if (!done && asks < EAGER_ASKS)
            (void)sched_yield();
        else if (!done)
            (void)nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
    }
    if (!done)
        return give_up(self, err);
    return self->collective.be->ops->synchronize(self->collective.be, err);
}

static size_t piece_of(const member_t *self, const size_t *bounds, unsigned owner, size_t at)
{
    return llm_collective_piece(bounds, owner, at, self->piece);
}

/* Where this rank receives another's piece. */
static float *slot(const member_t *self, unsigned from)
{
    return self->room + (from < self->collective.rank ? from : from - 1) * self->piece;
}

static int send(const member_t *self, const float *from, size_t count, unsigned peer)
{
    const llm_cuda_t *cuda = self->collective.be->context;
    return count ? self->group->nccl.send(from, count, LLM_NCCL_FLOAT, (int)peer, self->comm,
                                          cuda->queue.stream)
                 : 0;
}

static int receive(const member_t *self, float *to, size_t count, unsigned peer)
{
    const llm_cuda_t *cuda = self->collective.be->context;
    return count ? self->group->nccl.receive(to, count, LLM_NCCL_FLOAT, (int)peer, self->comm,
                                             cuda->queue.stream)
                 : 0;
}

/* With one other rank: its piece of the own range, or its own range, for ... */
typedef int exchange_fn(const member_t *self, float *vector, const size_t *bounds, unsigned peer,
                        size_t at);

/* ... this one's piece of its range. */
static int scatter_with(const member_t *self, float *vector, const size_t *bounds, unsigned peer,
                        size_t at)
{
    int code = send(self, vector + bounds[peer] + at, piece_of(self, bounds, peer, at), peer);
    size_t own = piece_of(self, bounds, self->collective.rank, at);
    return code ? code : receive(self, slot(self, peer), own, peer);
}

/* ... this one's range. */
static int gather_with(const member_t *self, float *vector, const size_t *bounds, unsigned peer,
                       size_t at)
{
    unsigned rank = self->collective.rank;
    int code = send(self, vector + bounds[rank] + at, piece_of(self, bounds, rank, at), peer);
    size_t theirs = piece_of(self, bounds, peer, at);
    return code ? code : receive(self, vector + bounds[peer] + at, theirs, peer);
}

/* A group is always ended, so that the thread is in none. */
static void exchange(member_t *self, exchange_fn *with, float *vector, const size_t *bounds,
                     size_t at)
{
    const llm_nccl_t *nccl = &self->group->nccl;
    int code = nccl->group_start();
    bool started = code == 0;
    for (unsigned r = 0; r < self->collective.ranks && code == 0; r++)
        if (r != self->collective.rank)
            code = with(self, vector, bounds, r, at);
    int ended = started ? nccl->group_end() : 0;
    code = code ? code : ended;
    if (code)
        break_up(self, nccl->text(code));
}

/* ((v0 + v1) + v2) + ...: what comes before the own piece is added up in the first
 * slot.  A sum of two is the same bytes either way round. */
static void sum_up(const member_t *self, float *vector, const size_t *bounds, size_t at)
{
    unsigned rank = self->collective.rank;
    llm_backend_t *be = self->collective.be;
    size_t count = piece_of(self, bounds, rank, at);
    float *own = vector + bounds[rank] + at;
    if (count == 0)
        return;
    for (unsigned r = 1; r < rank; r++)
        be->ops->add(be, slot(self, 0), slot(self, r), count);
    if (rank > 0)
        be->ops->add(be, own, slot(self, 0), count);
    for (unsigned r = rank + 1; r < self->collective.ranks; r++)
        be->ops->add(be, own, slot(self, r), count);
}

static int reduce_scatter(llm_collective_t *collective, float *vector, const size_t *bounds,
                          fmq_error_t *err)
{
    member_t *self = (member_t *)collective;
    size_t longest = llm_collective_longest(bounds, collective->ranks);
    (void)llm_cuda_enter(collective->be);
    for (size_t at = 0; at < longest && !is_broken(self); at += self->piece) {
        exchange(self, scatter_with, vector, bounds, at);
        if (!is_broken(self))
            sum_up(self, vector, bounds, at);
    }
    return finish(self, err);
}

static int all_gather(llm_collective_t *collective, float *vector, const size_t *bounds,
                      fmq_error_t *err)
{
    member_t *self = (member_t *)collective;
    size_t longest = llm_collective_longest(bounds, collective->ranks);
    (void)llm_cuda_enter(collective->be);
    for (size_t at = 0; at < longest && !is_broken(self); at += self->piece)
        exchange(self, gather_with, vector, bounds, at);
    return finish(self, err);
}

static void drop(group_t *group)
{
    if (--group->members > 0)
        return;
    pthread_mutex_destroy(&group->lock);
    free(group);
}

static void destroy(llm_collective_t *collective)
{
    member_t *self = (member_t *)collective;
    group_t *group = self->group;
    (void)llm_cuda_enter(collective->be);
    if (self->comm && is_broken(self))
        (void)group->nccl.abort(self->comm);
    else if (self->comm && group->nccl.destroy(self->comm) != 0)
        llm_cuda_fail(collective->be->context, "a team came apart while vectors were on their way");
    if (self->room)
        collective->be->ops->release(collective->be, self->room);
    drop(group);
    free(self);
}

static const llm_collective_ops_t nccl_ops = {
    .name = "NCCL", .destroy = destroy, .reduce_scatter = reduce_scatter, .all_gather = all_gather};

/* The ranks' devices, which have to be different ones. */
static int devices_of(llm_backend_t *const *backends, unsigned ranks, int *devices,
                      fmq_error_t *err)
{
    for (unsigned r = 0; r < ranks; r++) {
        devices[r] = (int)llm_instance(backends[r])->device;
        for (unsigned k = 0; k < r; k++)
            if (devices[k] == devices[r])
                return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                                     "ranks %u and %u share '%s:%d', and NCCL takes one rank a "
                                     "device",
                                     k, r, backends[r]->ops->name, devices[r]);
    }
    return 0;
}

static group_t *group_new(const llm_nccl_t *nccl)
{
    group_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->nccl = *nccl;
    self->members = 1; /* who opens it */
    pthread_mutex_init(&self->lock, NULL);
    return self;
}

static member_t *member_new(group_t *group, void *comm, unsigned rank, unsigned ranks,
                            llm_backend_t *be)
{
    member_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    *self = (member_t){.collective = {&nccl_ops, rank, ranks, be}, .group = group, .comm = comm};
    self->piece = ROOM_FLOATS / (ranks - 1) / 64 * 64;
    self->room = be->ops->alloc(be, self->piece * (ranks - 1) * sizeof *self->room);
    if (!self->room) {
        free(self);
        return NULL;
    }
    group->members++;
    return self;
}

/* A communicator without a member is nobody else's. */
static void discard(group_t *group, void *const *comms, llm_collective_t **members, unsigned ranks)
{
    for (unsigned r = 0; r < ranks; r++) {
        if (members[r])
            destroy(members[r]);
        else
            (void)group->nccl.destroy(comms[r]);
        members[r] = NULL;
    }
}

static int join(group_t *group, llm_backend_t *const *backends, unsigned ranks,
                llm_collective_t **members, fmq_error_t *err)
{
    int devices[LLM_RANKS_MAX] = {0};
    void *comms[LLM_RANKS_MAX] = {NULL};
    if (devices_of(backends, ranks, devices, err) < 0)
        return -1;
    int code = group->nccl.init_all(comms, (int)ranks, devices);
    if (code)
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED, "NCCL cannot connect %u devices: %s", ranks,
                             group->nccl.text(code));
    for (unsigned r = 0; r < ranks; r++) {
        member_t *member = member_new(group, comms[r], r, ranks, backends[r]);
        if (!member) {
            discard(group, comms, members, ranks);
            return fmq_error_set(err, FMQ_ERR_NOMEM,
                                 "out of memory for %u devices that train together", ranks);
        }
        members[r] = &member->collective;
    }
    return 0;
}

static int collective(llm_backend_t *const *backends, unsigned ranks, llm_collective_t **members,
                      fmq_error_t *err)
{
    if (ranks < 2 || ranks > LLM_RANKS_MAX)
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                             "%u devices exchange nothing by NCCL: 2 to %d do", ranks,
                             LLM_RANKS_MAX);
    llm_nccl_t nccl;
    memset(members, 0, ranks * sizeof *members);
    if (llm_nccl_find(&nccl, err) < 0)
        return -1;
    group_t *group = group_new(&nccl);
    if (!group)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for %u devices that train together",
                             ranks);
    int rc = join(group, backends, ranks, members, err);
    drop(group);
    return rc;
}

void llm_cuda_collective_ops(llm_ops_t *ops)
{
    ops->collective = collective;
}
