/*
 * update.c - one optimizer step, wherever its state lies.
 *
 * A rank's part of the work is one function; llm_team_do() has every rank do
 * its own, and without a team it is rank 0's alone.
 */
#include "llm/train/update.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A piece of work and what it is about. */
typedef struct {
    llm_update_t *update;
    float factor;
    const llm_rates_t *rates;
    bool finite[LLM_TEAM_MAX];
    double squares[LLM_TEAM_MAX]; /* of the shares */
} job_t;

static int each(llm_update_t *self, llm_team_work_fn *work, job_t *job, fmq_error_t *err)
{
    job->update = self;
    return self->ranks > 1 ? llm_team_do(self->team, work, job, err) : work(job, 0, err);
}

static llm_workspace_t *workspace_of(const llm_update_t *self, unsigned rank)
{
    return self->ranks > 1 ? llm_team_workspace(self->team, rank) : self->ws;
}

int llm_update_init(llm_update_t *self, llm_workspace_t *ws, llm_team_t *team,
                    const llm_optimizer_t *how, fmq_error_t *err)
{
    *self = (llm_update_t){.ws = ws, .team = team, .n = (size_t)llm_workspace_elements(ws)};
    self->ranks = team ? (unsigned)llm_team_size(team) : 1;
    self->optimizers = calloc(self->ranks, sizeof *self->optimizers);
    if (!self->optimizers)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for an optimizer");
    const llm_adapter_t *adapter = llm_workspace_adapter(ws);
    const fmq_schema_t *schema = adapter ? llm_adapter_schema(adapter) : NULL;
    llm_collective_share(self->n, self->ranks, self->shares);
    llm_moments_cut(how, schema, self->shares, self->ranks);
    if (team && llm_team_is_sharded(team))
        memcpy(self->owners, self->shares, sizeof self->owners);
    else
        llm_collective_give(self->n, self->ranks, 0, self->owners);
    for (unsigned r = 0; r < self->ranks; r++) {
        llm_backend_t *be = llm_workspace_backend(workspace_of(self, r));
        if (llm_optimizer_init(&self->optimizers[r], how, be, schema, &self->owners[r], err) < 0)
            return -1;
    }
    return 0;
}

void llm_update_release(llm_update_t *self)
{
    for (unsigned r = 0; self->optimizers && r < self->ranks; r++)
        llm_optimizer_release(&self->optimizers[r]);
    free(self->optimizers);
    *self = (llm_update_t){0};
}

uint64_t llm_update_steps(const llm_update_t *self)
{
    return self->optimizers[0].steps;
}

static int forget(void *argument, unsigned rank, fmq_error_t *err)
{
    const llm_update_t *self = ((job_t *)argument)->update;
    llm_workspace_t *ws = workspace_of(self, rank);
    llm_backend_t *be = llm_workspace_backend(ws);
    (void)err;
    be->ops->zero(be, llm_workspace_grads(ws), self->n * sizeof(float));
    return 0;
}

int llm_update_forget(llm_update_t *self, fmq_error_t *err)
{
    job_t job = {0};
    return each(self, forget, &job, err);
}

int llm_update_begin(llm_update_t *self, fmq_error_t *err)
{
    if (self->ranks > 1 && llm_team_spread(self->team, err) < 0)
        return -1;
    return llm_update_forget(self, err);
}

static int scale(void *argument, unsigned rank, fmq_error_t *err)
{
    const job_t *job = argument;
    llm_workspace_t *ws = workspace_of(job->update, rank);
    llm_backend_t *be = llm_workspace_backend(ws);
    (void)err;
    be->ops->scale(be, llm_workspace_grads(ws), job->factor, job->update->n);
    return 0;
}

int llm_update_scale(llm_update_t *self, float factor, fmq_error_t *err)
{
    job_t job = {.factor = factor};
    return each(self, scale, &job, err);
}

static int look(void *argument, unsigned rank, fmq_error_t *err)
{
    job_t *job = argument;
    llm_workspace_t *ws = workspace_of(job->update, rank);
    llm_backend_t *be = llm_workspace_backend(ws);
    (void)err;
    job->finite[rank] = isfinite(be->ops->sum_squares(be, llm_workspace_grads(ws), job->update->n));
    return 0;
}

int llm_update_is_finite(llm_update_t *self, bool *finite, fmq_error_t *err)
{
    job_t job = {0};
    if (each(self, look, &job, err) < 0)
        return -1;
    *finite = true;
    for (unsigned r = 0; r < self->ranks; r++)
        *finite = *finite && job.finite[r];
    return 0;
}

/* Who owns a share knows its squares; shares are the same whoever owns them. */
static void add_squares(job_t *job, unsigned rank)
{
    const llm_update_t *self = job->update;
    llm_workspace_t *ws = workspace_of(self, rank);
    llm_backend_t *be = llm_workspace_backend(ws);
    for (unsigned r = 0; r < self->ranks; r++) {
        size_t from = self->shares[r], count = self->shares[r + 1] - from;
        if (count > 0 && from >= self->owners[rank] && from < self->owners[rank + 1])
            job->squares[r] = be->ops->sum_squares(be, llm_workspace_grads(ws) + from, count);
    }
}

static int gather(void *argument, unsigned rank, fmq_error_t *err)
{
    job_t *job = argument;
    const llm_update_t *self = job->update;
    int rc = 0;
    if (self->ranks > 1) {
        llm_collective_t *collective = llm_team_collective(self->team, rank);
        float *grads = llm_workspace_grads(llm_team_workspace(self->team, rank));
        rc = collective->ops->reduce_scatter(collective, grads, self->owners, err);
    }
    add_squares(job, rank);
    return rc;
}

int llm_update_gather(llm_update_t *self, double *sum_squares, fmq_error_t *err)
{
    job_t job = {0};
    if (each(self, gather, &job, err) < 0)
        return -1;
    double sum = 0;
    for (unsigned r = 0; r < self->ranks; r++)
        sum += job.squares[r];
    *sum_squares = sum;
    return 0;
}

static void step_own(llm_update_t *self, const job_t *job, unsigned rank)
{
    llm_workspace_t *ws = workspace_of(self, rank);
    llm_backend_t *be = llm_workspace_backend(ws);
    size_t from = self->owners[rank], count = self->owners[rank + 1] - from;
    float *grads = llm_workspace_grads(ws) + from;
    if (count == 0) {
        self->optimizers[rank].steps++; /* which a schedule goes by */
        return;
    }
    if (job->factor != 1)
        be->ops->scale(be, grads, job->factor, count);
    llm_optimizer_step(&self->optimizers[rank], llm_workspace_params(ws) + from, grads, job->rates);
}

static int step(void *argument, unsigned rank, fmq_error_t *err)
{
    const job_t *job = argument;
    llm_update_t *self = job->update;
    int rc = 0;
    step_own(self, job, rank);
    if (self->ranks > 1) {
        llm_collective_t *collective = llm_team_collective(self->team, rank);
        float *params = llm_workspace_params(llm_team_workspace(self->team, rank));
        rc = collective->ops->all_gather(collective, params, self->owners, err);
    }
    (void)forget(argument, rank, err);
    return rc;
}

int llm_update_step(llm_update_t *self, double factor, const llm_rates_t *rates, fmq_error_t *err)
{
    bool along = self->ranks > 0 && self->optimizers[0].how->maximize;
    job_t job = {.factor = (float)(along ? -factor : factor), .rates = rates};
    return each(self, step, &job, err);
}
