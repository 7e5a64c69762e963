/*
 * nccl_emulated.c - NCCL's part between emulated devices; tests only.
 *
 * What is sent lies in a box for each pair of ranks until it is received.  It is
 * an error to send from, or to receive to, what is no memory of the
 * communicator's device, outside of a group, of another type, to a rank that
 * there is not, on another device's queue; to receive another size than was sent;
 * and to destroy a communicator to which something is still on its way.  What
 * nobody sends is waited for until somebody aborts, as by the library.
 */
#include "llm/backend/cuda/nccl.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "llm/backend/cuda/runtime.h"

#define RANKS_MAX 64
#define OPS_MAX   (2 * RANKS_MAX) /* of a group */

enum { SUCCESS = 0, SYSTEM = 2, INVALID = 4, USAGE = 5, REMOTE = 6 }; /* as ncclResult_t */

typedef struct letter {
    struct letter *next;
    size_t bytes;
    char data[];
} letter_t;

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int ranks, alive; /* communicators that are there */
    bool aborted;
    letter_t **boxes; /* owned: [from][to], the oldest first */
} world_t;

typedef struct {
    world_t *world;
    int rank, device;
} comm_t;

typedef struct {
    const char *from; /* a send ... */
    char *to;         /* ... or a receive */
    size_t bytes;
    int peer;
    comm_t *comm;
    void *stream;
} operation_t;

typedef struct {
    int depth, size;
    int wrong; /* the first */
    operation_t ops[OPS_MAX];
} group_t;

/* Owned: the library keeps a group in the thread, and has no handle for it. */
static _Thread_local group_t *group;

static void world_destroy(world_t *self)
{
    for (int i = 0; self->boxes && i < self->ranks * self->ranks; i++)
        for (letter_t *letter = self->boxes[i], *next; letter; letter = next) {
            next = letter->next;
            free(letter);
        }
    free(self->boxes);
    pthread_cond_destroy(&self->changed);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

static world_t *world_new(int ranks)
{
    world_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->changed, NULL);
    self->ranks = ranks;
    self->boxes = calloc((size_t)ranks * (size_t)ranks, sizeof *self->boxes);
    if (self->boxes)
        return self;
    world_destroy(self);
    return NULL;
}

/* The communicator goes; the last one takes the world with it. */
static int leave(comm_t *self, bool aborts)
{
    world_t *world = self->world;
    int code = SUCCESS;
    pthread_mutex_lock(&world->lock);
    for (int r = 0; r < world->ranks && !aborts && !world->aborted; r++)
        if (world->boxes[r * world->ranks + self->rank])
            code = USAGE;
    world->aborted = world->aborted || aborts;
    pthread_cond_broadcast(&world->changed);
    bool last = --world->alive == 0;
    pthread_mutex_unlock(&world->lock);
    if (last)
        world_destroy(world);
    free(self);
    return code;
}

static int destroy(void *comm)
{
    return leave(comm, false);
}

static int abort_all(void *comm)
{
    return leave(comm, true);
}

static bool are_distinct(const int *devices, int size)
{
    for (int i = 0; i < size; i++)
        for (int k = 0; k < i; k++)
            if (devices[i] == devices[k])
                return false;
    return true;
}

static int init_all(void **comms, int ranks, const int *devices)
{
    if (ranks < 1 || ranks > RANKS_MAX)
        return INVALID;
    if (!are_distinct(devices, ranks))
        return USAGE;
    world_t *world = world_new(ranks);
    for (int r = 0; world && r < ranks; r++) {
        comm_t *comm = malloc(sizeof *comm);
        if (!comm) {
            for (int k = 0; k < r; k++)
                free(comms[k]);
            world_destroy(world);
            return SYSTEM;
        }
        *comm = (comm_t){world, r, devices[r]};
        comms[r] = comm;
        world->alive++;
    }
    return world ? SUCCESS : SYSTEM;
}

static int group_start(void)
{
    if (!group)
        group = calloc(1, sizeof *group);
    if (!group)
        return SYSTEM;
    group->depth++;
    return SUCCESS;
}

static int add(operation_t what, int type, size_t count)
{
    const comm_t *comm = what.comm;
    int code = SUCCESS;
    if (!group)
        return USAGE;
    if (group->size == OPS_MAX)
        code = USAGE;
    else if (type != LLM_NCCL_FLOAT || what.peer < 0 || what.peer >= comm->world->ranks ||
             llm_cuda_emulated_number(what.stream) != comm->device)
        code = INVALID;
    what.bytes = count * sizeof(float);
    if (code == SUCCESS &&
        !llm_cuda_emulated_holds(comm->device, what.from ? what.from : what.to, what.bytes))
        code = INVALID;
    if (code == SUCCESS)
        group->ops[group->size++] = what;
    else if (group->wrong == SUCCESS)
        group->wrong = code;
    return code;
}

static int send(const void *from, size_t count, int type, int peer, void *comm, void *stream)
{
    return add((operation_t){.from = from, .peer = peer, .comm = comm, .stream = stream}, type,
               count);
}

static int receive(void *to, size_t count, int type, int peer, void *comm, void *stream)
{
    return add((operation_t){.to = to, .peer = peer, .comm = comm, .stream = stream}, type, count);
}

/* Between the two, which are different devices, lies host memory. */
static void copy(const operation_t *what, void *to, const void *from)
{
    const llm_cuda_queue_t queue = {.stream = what->stream};
    llm_cuda_emulated_open(&queue);
    memcpy(to, from, what->bytes);
    llm_cuda_emulated_close(&queue);
}

static int post(const operation_t *what)
{
    world_t *world = what->comm->world;
    letter_t *letter = malloc(sizeof *letter + what->bytes);
    if (!letter)
        return SYSTEM;
    letter->next = NULL;
    letter->bytes = what->bytes;
    copy(what, letter->data, what->from);
    pthread_mutex_lock(&world->lock);
    letter_t **end = &world->boxes[what->comm->rank * world->ranks + what->peer];
    while (*end)
        end = &(*end)->next;
    *end = letter;
    pthread_cond_broadcast(&world->changed);
    pthread_mutex_unlock(&world->lock);
    return SUCCESS;
}

static int fetch(const operation_t *what)
{
    world_t *world = what->comm->world;
    pthread_mutex_lock(&world->lock);
    letter_t **box = &world->boxes[what->peer * world->ranks + what->comm->rank], *letter;
    while (!(letter = *box) && !world->aborted)
        pthread_cond_wait(&world->changed, &world->lock);
    if (letter)
        *box = letter->next;
    pthread_mutex_unlock(&world->lock);
    if (!letter)
        return REMOTE;
    int code = letter->bytes == what->bytes ? SUCCESS : INVALID;
    if (code == SUCCESS)
        copy(what, what->to, letter->data);
    free(letter);
    return code;
}

static int group_end(void)
{
    if (!group)
        return USAGE;
    if (--group->depth > 0)
        return SUCCESS;
    int code = group->wrong;
    for (int i = 0; i < group->size && code == SUCCESS; i++)
        if (group->ops[i].from)
            code = post(&group->ops[i]);
    for (int i = 0; i < group->size && code == SUCCESS; i++)
        if (group->ops[i].to)
            code = fetch(&group->ops[i]);
    free(group);
    group = NULL;
    return code;
}

static int async_error(void *comm, int *code)
{
    (void)comm;
    *code = SUCCESS;
    return SUCCESS;
}

static const char *text(int code)
{
    switch (code) {
    case SUCCESS:
        return "no error";
    case SYSTEM:
        return "unhandled system error";
    case INVALID:
        return "invalid argument";
    case USAGE:
        return "invalid usage";
    default:
        return "remote process exited or there was a network error";
    }
}

/* As if it were there, unless $FEDMQ_NCCL says where it is not. */
int llm_nccl_find(llm_nccl_t *out, fmq_error_t *err)
{
    const char *said = getenv("FEDMQ_NCCL");
    if (said && *said && access(said, R_OK) != 0)
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED, "no NCCL: there is no '%s'", said);
    *out = (llm_nccl_t){.init_all = init_all,
                        .group_start = group_start,
                        .group_end = group_end,
                        .send = send,
                        .receive = receive,
                        .async_error = async_error,
                        .destroy = destroy,
                        .abort = abort_all,
                        .text = text};
    return 0;
}
