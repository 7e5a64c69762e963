/*
 * collective.c - a group of threads that exchange pieces through host memory.
 *
 * In a round every rank leaves pieces, waits for the others, and takes what it
 * needs.  Two rooms take turns: when a rank comes to the next meeting it has
 * taken all it wanted from the room of the round before, so that one meeting a
 * round is enough.
 */
#include "llm/train/collective.h"

#include <stdlib.h>

#include "llm/train/meeting.h"

#define PIECE_MAX  65536 /* floats that a rank leaves for an owner in a round ... */
#define PIECE_MIN  1024
#define PIECES_MAX (1u << 21) /* ... and all of them together, where ranks are many */

typedef struct {
    llm_meeting_t meeting;
    unsigned ranks, members; /* members: not yet destroyed */
    size_t piece;            /* floats */
    float *rooms[2];         /* owned: [left by][for][piece] */
} group_t;

typedef struct {
    llm_collective_t collective;
    group_t *group; /* shared; the last member destroys it */
    uint64_t rounds;
} member_t;

void llm_collective_share(size_t n, unsigned ranks, size_t *bounds)
{
    size_t each = (n / ranks + (n % ranks != 0) + 15) / 16 * 16;
    for (unsigned r = 0; r <= ranks; r++)
        bounds[r] = r * each < n ? r * each : n;
    bounds[ranks] = n;
}

void llm_collective_give(size_t n, unsigned ranks, unsigned owner, size_t *bounds)
{
    for (unsigned r = 0; r <= ranks; r++)
        bounds[r] = r > owner ? n : 0;
}

static float *slot(const member_t *self, unsigned from, unsigned to)
{
    const group_t *group = self->group;
    return group->rooms[self->rounds % 2] + ((size_t)from * group->ranks + to) * group->piece;
}

static size_t piece_of(const member_t *self, const size_t *bounds, unsigned owner, size_t at)
{
    return llm_collective_piece(bounds, owner, at, self->group->piece);
}

static void leave(const member_t *self, const float *vector, const size_t *bounds, unsigned owner,
                  size_t at)
{
    llm_backend_t *be = self->collective.be;
    size_t count = piece_of(self, bounds, owner, at);
    if (count)
        be->ops->download(be, slot(self, self->collective.rank, owner), vector + bounds[owner] + at,
                          count * sizeof *vector);
}

/* Adds the ranks' pieces for this one up in the place of the first. */
static void sum_up(const member_t *self, float *vector, const size_t *bounds, size_t at)
{
    unsigned rank = self->collective.rank;
    llm_backend_t *be = self->collective.be;
    size_t count = piece_of(self, bounds, rank, at);
    float *sum = slot(self, 0, rank);
    for (unsigned r = 1; r < self->collective.ranks; r++) {
        const float *more = slot(self, r, rank);
        for (size_t i = 0; i < count; i++)
            sum[i] += more[i];
    }
    if (count)
        be->ops->upload(be, vector + bounds[rank] + at, sum, count * sizeof *vector);
}

static int reduce_scatter(llm_collective_t *collective, float *vector, const size_t *bounds,
                          fmq_error_t *err)
{
    member_t *self = (member_t *)collective;
    size_t longest = collective->ranks > 1 ? llm_collective_longest(bounds, collective->ranks) : 0;
    for (size_t at = 0; at < longest; at += self->group->piece) {
        for (unsigned owner = 0; owner < collective->ranks; owner++)
            leave(self, vector, bounds, owner, at);
        (void)llm_meeting_hold(&self->group->meeting, true);
        sum_up(self, vector, bounds, at);
        self->rounds++;
    }
    return collective->be->ops->synchronize(collective->be, err);
}

static void take(const member_t *self, float *vector, const size_t *bounds, unsigned owner,
                 size_t at)
{
    llm_backend_t *be = self->collective.be;
    size_t count = piece_of(self, bounds, owner, at);
    if (count && owner != self->collective.rank)
        be->ops->upload(be, vector + bounds[owner] + at, slot(self, owner, owner),
                        count * sizeof *vector);
}

static int all_gather(llm_collective_t *collective, float *vector, const size_t *bounds,
                      fmq_error_t *err)
{
    member_t *self = (member_t *)collective;
    size_t longest = collective->ranks > 1 ? llm_collective_longest(bounds, collective->ranks) : 0;
    for (size_t at = 0; at < longest; at += self->group->piece) {
        leave(self, vector, bounds, collective->rank, at);
        (void)llm_meeting_hold(&self->group->meeting, true);
        for (unsigned owner = 0; owner < collective->ranks; owner++)
            take(self, vector, bounds, owner, at);
        self->rounds++;
    }
    return collective->be->ops->synchronize(collective->be, err);
}

static void group_destroy(group_t *self)
{
    llm_meeting_release(&self->meeting);
    free(self->rooms[0]);
    free(self->rooms[1]);
    free(self);
}

static void destroy(llm_collective_t *collective)
{
    member_t *self = (member_t *)collective;
    if (--self->group->members == 0)
        group_destroy(self->group);
    free(self);
}

static const llm_collective_ops_t local_ops = {.name = "host memory",
                                               .destroy = destroy,
                                               .reduce_scatter = reduce_scatter,
                                               .all_gather = all_gather};

static group_t *group_new(unsigned ranks)
{
    group_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    size_t most = PIECES_MAX / ((size_t)ranks * ranks);
    llm_meeting_init(&self->meeting, ranks);
    self->ranks = ranks;
    self->piece = most > PIECE_MAX ? PIECE_MAX : most < PIECE_MIN ? PIECE_MIN : most;
    for (size_t i = 0; i < 2 && ranks > 1; i++)
        self->rooms[i] = malloc((size_t)ranks * ranks * self->piece * sizeof(float));
    if (ranks == 1 || (self->rooms[0] && self->rooms[1]))
        return self;
    group_destroy(self);
    return NULL;
}

int llm_collective_local(llm_backend_t *const *backends, unsigned ranks, llm_collective_t **members,
                         fmq_error_t *err)
{
    if (ranks == 0 || ranks > LLM_RANKS_MAX)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "%u devices cannot train together: 1 to %d can",
                             ranks, LLM_RANKS_MAX);
    for (unsigned r = 0; r < ranks; r++)
        members[r] = NULL;
    group_t *group = group_new(ranks);
    for (unsigned r = 0; group && r < ranks; r++) {
        member_t *member = calloc(1, sizeof *member);
        if (!member)
            break;
        *member = (member_t){.group = group, .collective = {&local_ops, r, ranks, backends[r]}};
        members[r] = &member->collective;
        group->members++;
    }
    if (group && group->members == ranks)
        return 0;
    if (group && group->members == 0)
        group_destroy(group);
    llm_collective_close(members, ranks);
    return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for %u devices that train together",
                         ranks);
}

/* Can they all be asked, and is it the same that they are asked? */
static bool are_of_one_kind(llm_backend_t *const *backends, unsigned ranks)
{
    for (unsigned r = 0; r < ranks; r++)
        if (!backends[r]->ops->collective ||
            backends[r]->ops->collective != backends[0]->ops->collective)
            return false;
    return true;
}

int llm_collective_open(llm_backend_t *const *backends, unsigned ranks, llm_collective_t **members,
                        fmq_error_t *detour, fmq_error_t *err)
{
    *detour = (fmq_error_t){0};
    if (ranks > 1 && ranks <= LLM_RANKS_MAX && are_of_one_kind(backends, ranks)) {
        if (backends[0]->ops->collective(backends, ranks, members, detour) == 0)
            return 0;
        if (detour->code != FMQ_ERR_UNSUPPORTED)
            return fmq_error_copy(err, detour);
    }
    return llm_collective_local(backends, ranks, members, err);
}

void llm_collective_close(llm_collective_t **members, unsigned ranks)
{
    for (unsigned r = 0; r < ranks; r++) {
        if (members[r])
            members[r]->ops->destroy(members[r]);
        members[r] = NULL;
    }
}

int llm_collective_all_reduce(llm_collective_t *self, float *vector, size_t n, fmq_error_t *err)
{
    size_t bounds[LLM_RANKS_MAX + 1];
    llm_collective_share(n, self->ranks, bounds);
    int rc = self->ops->reduce_scatter(self, vector, bounds, err);
    fmq_error_t why; /* the others wait for this rank in the second half, too */
    return self->ops->all_gather(self, vector, bounds, rc < 0 ? &why : err) < 0 ? -1 : rc;
}

int llm_collective_broadcast(llm_collective_t *self, float *vector, size_t n, unsigned root,
                             fmq_error_t *err)
{
    size_t bounds[LLM_RANKS_MAX + 1];
    llm_collective_give(n, self->ranks, root, bounds);
    return self->ops->all_gather(self, vector, bounds, err);
}
