/*
 * team.c - the ranks' threads and workspaces, and passes that are dealt to them.
 *
 * Threads wait between two pieces of work.  What a rank works on lies in its
 * member and is read by the caller when all have come to an end.
 */
#include "llm/train/team.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "llm/pass/parts.h"
#include "llm/train/deal.h"
#include "llm/train/meeting.h"

typedef struct {
    llm_team_t *team;
    llm_backend_t *be;   /* borrowed */
    llm_workspace_t *ws; /* owned */
    llm_collective_t *collective;
    llm_deal_t deal;
    pthread_t thread; /* of ranks but the first ... */
    bool started;     /* ... once it is there */
    uint64_t done;    /* pieces of work */
    bool asked;       /* whether this pass has come to the meeting */
    int result;
    fmq_error_t err;
} member_t;

struct llm_team {
    size_t size;
    bool sharded;
    member_t *members;     /* owned */
    llm_meeting_t meeting; /* of passes */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    llm_team_work_fn *work; /* the piece at hand */
    void *argument;
    uint64_t given; /* pieces so far */
    size_t busy;    /* ranks but the first that have not ended it */
    bool dismissed;
    fmq_error_t detour; /* why the collective takes one; FMQ_OK: it does not */
};

static void do_work(member_t *member)
{
    llm_team_t *team = member->team;
    member->result = team->work(team->argument, (unsigned)(member - team->members), &member->err);
}

static void *serve(void *argument)
{
    member_t *member = argument;
    llm_team_t *team = member->team;
    pthread_mutex_lock(&team->lock);
    while (!team->dismissed) {
        if (member->done == team->given) {
            pthread_cond_wait(&team->changed, &team->lock);
            continue;
        }
        pthread_mutex_unlock(&team->lock);
        do_work(member);
        pthread_mutex_lock(&team->lock);
        member->done++;
        if (--team->busy == 0)
            pthread_cond_broadcast(&team->changed);
    }
    pthread_mutex_unlock(&team->lock);
    return NULL;
}

static int start(member_t *member, fmq_error_t *err)
{
    int failed = fmq_thread_start(&member->thread, serve, member);
    member->started = failed == 0;
    return failed ? fmq_error_set(err, FMQ_ERR_NOMEM,
                                  "no thread can be started for a device: %s; raise 'ulimit -u'",
                                  strerror(failed))
                  : 0;
}

int llm_team_do(llm_team_t *self, llm_team_work_fn *work, void *argument, fmq_error_t *err)
{
    pthread_mutex_lock(&self->lock);
    self->work = work;
    self->argument = argument;
    self->given++;
    self->busy = self->size - 1;
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
    do_work(&self->members[0]);
    pthread_mutex_lock(&self->lock);
    while (self->busy > 0)
        pthread_cond_wait(&self->changed, &self->lock);
    pthread_mutex_unlock(&self->lock);
    for (size_t r = 0; r < self->size; r++) {
        const fmq_error_t *why = &self->members[r].err;
        if (self->members[r].result < 0)
            return fmq_error_copy(err, why);
    }
    return 0;
}

static llm_limits_t limits_of_parts(const llm_team_plan_t *plan, const llm_limits_t *limits)
{
    llm_limits_t part = *limits;
    part.tokens_max = llm_deal_tokens_max(limits->tokens_max, plan->longest, plan->size);
    if (limits->supervised_max > part.tokens_max)
        part.supervised_max = part.tokens_max;
    return part;
}

static int open_members(llm_team_t *self, const llm_team_plan_t *plan, const llm_stack_t *stack,
                        const llm_limits_t *limits, fmq_error_t *err)
{
    llm_limits_t part = limits_of_parts(plan, limits);
    llm_collective_t *collectives[LLM_TEAM_MAX];
    if (llm_collective_open(plan->backends, (unsigned)plan->size, collectives, &self->detour, err) <
        0)
        return -1;
    for (size_t r = 0; r < self->size; r++) {
        self->members[r].team = self;
        self->members[r].be = plan->backends[r];
        self->members[r].collective = collectives[r];
    }
    for (size_t r = 0; r < self->size; r++) {
        member_t *member = &self->members[r];
        member->ws = llm_workspace_new_stack(stack, &part, member->be, err);
        if (!member->ws || llm_deal_init(&member->deal, part.tokens_max, err) < 0 ||
            (r > 0 && start(member, err) < 0))
            return -1;
    }
    return 0;
}

/* Streams that one device has kept another reads. */
static int check_plan(const llm_team_plan_t *plan, fmq_error_t *err)
{
    if (plan->size == 0 || plan->size > LLM_TEAM_MAX)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "%zu devices cannot train together: 1 to %d can",
                             plan->size, LLM_TEAM_MAX);
    for (size_t r = 1; r < plan->size; r++)
        if (plan->backends[r]->ops->act != plan->backends[0]->ops->act)
            return fmq_error_set(err, FMQ_ERR_CONFIG,
                                 "devices that train together must have activations of one type: "
                                 "one has bf16, another f32");
    return 0;
}

llm_team_t *llm_team_new(const llm_team_plan_t *plan, const llm_stack_t *stack,
                         const llm_limits_t *limits, fmq_error_t *err)
{
    if (check_plan(plan, err) < 0)
        return NULL;
    llm_team_t *self = calloc(1, sizeof *self);
    if (self)
        self->members = calloc(plan->size, sizeof *self->members);
    if (!self || !self->members) {
        free(self);
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for %zu devices", plan->size);
        return NULL;
    }
    self->size = plan->size;
    self->sharded = plan->sharded;
    llm_meeting_init(&self->meeting, (unsigned)plan->size);
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->changed, NULL);
    if (open_members(self, plan, stack, limits, err) < 0)
        llm_team_destroy(&self);
    return self;
}

static void dismiss(llm_team_t *self)
{
    pthread_mutex_lock(&self->lock);
    self->dismissed = true;
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
    for (size_t r = 0; r < self->size; r++)
        if (self->members[r].started)
            pthread_join(self->members[r].thread, NULL);
}

void llm_team_destroy(llm_team_t **self_p)
{
    llm_team_t *self = *self_p;
    if (!self)
        return;
    dismiss(self);
    for (size_t r = 0; r < self->size; r++) {
        llm_collective_close(&self->members[r].collective, 1);
        llm_workspace_destroy(&self->members[r].ws);
        llm_deal_release(&self->members[r].deal);
    }
    pthread_cond_destroy(&self->changed);
    pthread_mutex_destroy(&self->lock);
    llm_meeting_release(&self->meeting);
    free(self->members);
    free(self);
    *self_p = NULL;
}

bool llm_team_serves(const llm_team_t *self, const llm_team_plan_t *plan, const llm_stack_t *stack,
                     const llm_limits_t *limits)
{
    llm_limits_t part = limits_of_parts(plan, limits);
    if (self->size != plan->size || self->sharded != plan->sharded)
        return false;
    for (size_t r = 0; r < self->size; r++)
        if (self->members[r].be != plan->backends[r] || !self->members[r].ws)
            return false;
    return part.tokens_max <= self->members[0].deal.tokens_max &&
           llm_workspace_serves(self->members[0].ws, stack, &part);
}

size_t llm_team_size(const llm_team_t *self)
{
    return self->size;
}

llm_workspace_t *llm_team_lead(llm_team_t *self)
{
    return self->members[0].ws;
}

llm_workspace_t *llm_team_workspace(llm_team_t *self, unsigned rank)
{
    return self->members[rank].ws;
}

llm_collective_t *llm_team_collective(llm_team_t *self, unsigned rank)
{
    return self->members[rank].collective;
}

const char *llm_team_carrier(const llm_team_t *self)
{
    return self->members[0].collective->ops->name;
}

const char *llm_team_detour(const llm_team_t *self)
{
    return self->detour.code == FMQ_OK ? NULL : self->detour.text;
}

bool llm_team_is_sharded(const llm_team_t *self)
{
    return self->sharded;
}

int llm_team_set_fixed(llm_team_t *self, const float *host, fmq_error_t *err)
{
    for (size_t r = 0; r < self->size; r++)
        if (llm_workspace_set_fixed(self->members[r].ws, host, err) < 0)
            return -1;
    return 0;
}

void llm_team_strip(llm_team_t *self)
{
    llm_workspace_strip(self->members[0].ws);
    for (size_t r = 1; r < self->size; r++)
        llm_workspace_destroy(&self->members[r].ws);
}

static int spread(void *argument, unsigned rank, fmq_error_t *err)
{
    llm_workspace_t *ws = llm_team_workspace(argument, rank);
    return llm_collective_broadcast(llm_team_collective(argument, rank), llm_workspace_params(ws),
                                    (size_t)llm_workspace_elements(ws), 0, err);
}

int llm_team_spread(llm_team_t *self, fmq_error_t *err)
{
    return self->size > 1 ? llm_team_do(self, spread, self, err) : 0;
}

/* One pass of all ranks over their parts. */
typedef struct {
    llm_team_t *team;
    const llm_batch_t *batch;
    const llm_train_pass_t *train; /* NULL: losses or a prefix only */
    char *prefix;                  /* where that is wanted; NULL: losses */
    size_t prefix_bytes;
} pass_t;

static bool agree(void *argument, double loss_sum)
{
    member_t *member = argument;
    member->asked = true;
    return llm_meeting_hold(&member->team->meeting, isfinite(loss_sum));
}

static int compute(const pass_t *pass, member_t *member, fmq_error_t *err)
{
    const llm_batch_t *part = &member->deal.batch;
    double sum;
    if (part->sequences == 0)
        return 0;
    if (pass->prefix)
        return llm_workspace_prefix(
            member->ws, part,
            pass->prefix + pass->prefix_bytes * pass->batch->starts[member->deal.first], err);
    if (!pass->train)
        return llm_workspace_loss(member->ws, part, &sum, err);
    llm_train_pass_t how = *pass->train;
    how.agree = agree;
    how.argument = member;
    return llm_workspace_train_when(member->ws, part, &how, &sum, err);
}

/* A rank that has failed or has nothing to do is waited for all the same. */
static int run_part(void *argument, unsigned rank, fmq_error_t *err)
{
    const pass_t *pass = argument;
    member_t *member = &pass->team->members[rank];
    member->asked = false;
    int rc = llm_deal_take(&member->deal, pass->batch, rank, (unsigned)pass->team->size,
                           pass->prefix_bytes, err);
    if (rc == 0)
        rc = compute(pass, member, err);
    if (pass->train && !member->asked)
        (void)agree(member, rc == 0 ? 0.0 : NAN);
    return rc;
}

/* The ranks' losses in the order of the whole batch, as one workspace adds them. */
static double sum_losses(const llm_team_t *self)
{
    double sum = 0.0;
    for (size_t r = 0; r < self->size; r++) {
        const member_t *member = &self->members[r];
        const float *losses = llm_workspace_losses(member->ws);
        for (size_t i = 0; i < member->deal.batch.supervised; i++)
            sum += (double)losses[i];
    }
    return sum;
}

static size_t prefix_bytes(const llm_team_t *self)
{
    return llm_workspace_prefix_bytes(self->members[0].ws);
}

int llm_team_train(llm_team_t *self, const llm_batch_t *batch, const llm_train_pass_t *how,
                   double *loss_sum, fmq_error_t *err)
{
    pass_t pass = {.team = self, .batch = batch, .train = how, .prefix_bytes = prefix_bytes(self)};
    if (llm_team_do(self, run_part, &pass, err) < 0)
        return -1;
    *loss_sum = sum_losses(self);
    return 0;
}

int llm_team_loss(llm_team_t *self, const llm_batch_t *batch, double *loss_sum, fmq_error_t *err)
{
    pass_t pass = {.team = self, .batch = batch, .prefix_bytes = prefix_bytes(self)};
    if (llm_team_do(self, run_part, &pass, err) < 0)
        return -1;
    *loss_sum = sum_losses(self);
    return 0;
}

int llm_team_prefix(llm_team_t *self, const llm_batch_t *batch, void *out, fmq_error_t *err)
{
    pass_t pass = {.team = self, .batch = batch, .prefix = out, .prefix_bytes = prefix_bytes(self)};
    return llm_team_do(self, run_part, &pass, err);
}
