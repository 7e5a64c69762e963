/*
 * half_losses.c - losses and choices from logits, and the cosine, in BF16: a
 * row of logits is widened, its loss is a float, and its gradient is rounded
 * into the memory of the logits.
 */
#include "llm/backend/cpu/half.h"

typedef struct {
    float *loss;
    uint16_t *out;
    const uint16_t *x, *target;
    const int32_t *ids;
    int32_t *best;
    size_t C;
    float scale;
    const llm_cross_entropy_t *how;
} job_t;

static void loss_piece(const llm_half_hand_t *hand, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    for (size_t m = first; m < first + count; m++) {
        uint16_t *row = job->out + m * job->C;
        hand->half->widen(hand->room, row, job->C);
        job->loss[m] =
            hand->kernels->cross_entropy(hand->room, (size_t)job->ids[m], job->C, job->how);
        if (job->how->scale != 0.0f)
            hand->half->narrow(row, hand->room, job->C);
    }
}

static void cross_entropy(llm_backend_t *be, float *loss, llm_act_t *logits, const int32_t *targets,
                          size_t M, size_t V, const llm_cross_entropy_t *how)
{
    job_t job = {.loss = loss, .ids = targets, .C = V, .how = how};
    job.out = llm_half_write(logits);
    llm_half_run_pieces(llm_cpu(be), M, 1, V, loss_piece, &job);
}

static void kl_piece(const llm_half_hand_t *hand, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    for (size_t m = first; m < first + count; m++) {
        uint16_t *row = job->out + m * job->C;
        float *full = hand->room + job->C;
        hand->half->widen(hand->room, row, job->C);
        hand->half->widen(full, job->x + m * job->C, job->C);
        job->loss[m] = hand->kernels->kl_divergence(hand->room, full, job->C, job->scale);
        if (job->scale != 0.0f)
            hand->half->narrow(row, hand->room, job->C);
    }
}

static void kl_divergence(llm_backend_t *be, float *loss, llm_act_t *client, const llm_act_t *full,
                          size_t M, size_t V, float scale)
{
    job_t job = {.loss = loss, .x = llm_half_read(full), .C = V, .scale = scale};
    job.out = llm_half_write(client);
    llm_half_run_pieces(llm_cpu(be), M, 1, 2 * V, kl_piece, &job);
}

static void cosine_piece(const llm_half_hand_t *hand, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    size_t C = job->C;
    float *dx = job->out ? hand->room : NULL, *target = hand->room + C, *x = target + C;
    for (size_t t = first; t < first + count; t++) {
        hand->half->widen(target, job->target + t * C, C);
        hand->half->widen(x, job->x + t * C, C);
        if (dx)
            hand->half->widen(dx, job->out + t * C, C);
        job->loss[t] = hand->kernels->cosine(dx, target, x, C, job->scale);
        if (dx)
            hand->half->narrow(job->out + t * C, dx, C);
    }
}

static void cosine(llm_backend_t *be, float *loss, llm_act_t *dx, const llm_act_t *target,
                   const llm_act_t *x, size_t T, size_t C, float scale)
{
    job_t job = {.loss = loss, .C = C, .scale = scale};
    job.out = llm_half_write(dx);
    job.target = llm_half_read(target);
    job.x = llm_half_read(x);
    llm_half_run_pieces(llm_cpu(be), T, llm_cpu_rows_in_piece(C), 3 * C, cosine_piece, &job);
}

static void argmax_piece(const llm_half_hand_t *hand, void *argument, size_t first, size_t count)
{
    const job_t *job = argument;
    for (size_t m = first; m < first + count; m++) {
        hand->half->widen(hand->room, job->x + m * job->C, job->C);
        job->best[m] = (int32_t)hand->kernels->argmax(hand->room, job->C);
    }
}

static void argmax(llm_backend_t *be, int32_t *best, const llm_act_t *logits, size_t M, size_t V)
{
    job_t job = {.best = best, .x = llm_half_read(logits), .C = V};
    llm_half_run_pieces(llm_cpu(be), M, 1, V, argmax_piece, &job);
}

void llm_cpu_half_losses(llm_ops_t *ops)
{
    ops->cross_entropy = cross_entropy;
    ops->kl_divergence = kl_divergence;
    ops->cosine = cosine;
    ops->argmax = argmax;
}
