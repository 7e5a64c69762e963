/*
 * decode.c - attention of one token over the keys and values of those before
 * it: an item is a head of queries.
 */
#include "llm/backend/cpu/cpu.h"

#include <string.h>

typedef struct {
    const llm_cpu_kernels_t *kernels;
    const llm_decode_t *how;
    float *out, *scratch;
    const float *q, *k, *v; /* of the first key that is seen */
    size_t length;          /* keys that are */
} decode_t;

static void decode_item(void *argument, size_t h, size_t thread)
{
    (void)thread;
    const decode_t *job = argument;
    const llm_decode_t *how = job->how;
    size_t D = how->D;
    size_t row = how->KV * D;
    size_t kv = h / (how->H / how->KV) * D;
    float *scores = job->scratch + h * job->length;
    for (size_t j = 0; j < job->length; j++)
        scores[j] = how->scale * job->kernels->dot(job->q + h * D, job->k + j * row + kv, D);
    if (how->softcap > 0 || how->slopes) {
        llm_cpu_bend_t bend = {.scale = 1, .cap = how->softcap, .query = job->length - 1};
        bend.slope = how->slopes ? how->slopes[h] : 0;
        job->kernels->bend(scores, NULL, job->kernels->width, job->length, &bend);
    }
    job->kernels->softmax(scores, job->length);
    memset(job->out + h * D, 0, D * sizeof(float));
    for (size_t j = 0; j < job->length; j++)
        job->kernels->axpy(job->out + h * D, job->v + j * row + kv, scores[j], D);
}

static void attention_decode(llm_backend_t *be, llm_act_t *out, const llm_act_t *q,
                             const llm_act_t *k, const llm_act_t *v, const llm_decode_t *how,
                             float *scratch)
{
    size_t from = llm_first_seen(how->window, how->length - 1), row = how->KV * how->D;
    decode_t job = {.kernels = llm_cpu(be)->kernels, .how = how, .scratch = scratch};
    job.out = llm_cpu_floats_out(out);
    job.q = llm_cpu_floats(q);
    job.k = llm_cpu_floats(k) + from * row;
    job.v = llm_cpu_floats(v) + from * row;
    job.length = how->length - from;
    llm_pool_run(llm_cpu(be)->pool, how->H, decode_item, &job);
}

void llm_cpu_decode(llm_ops_t *ops)
{
    ops->attention_decode = attention_decode;
}
