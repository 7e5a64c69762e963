/*
 * half_decode.c - attention of one new token over BF16: the keys are cut into
 * stretches, so that threads share out a long past whatever the number of
 * heads, and keys and values are read once, in their order in memory.  An item
 * is a few stretches; what they give is put together by the caller.
 */
#include "llm/backend/cpu/half.h"

#define ITEMS 2 /* a thread */

typedef struct {
    const llm_cpu_half_kernels_t *half;
    const llm_decode_t *how;
    const uint16_t *q, *k, *v; /* of the first key that is seen */
    size_t length;             /* keys that are */
    float *sums;               /* [stretch][H][D] */
    float *most, *mass;        /* [H][stretches] */
    size_t stretches, items;
} job_t;

static void attend_stretch(const job_t *job, size_t stretch)
{
    const llm_decode_t *how = job->how;
    size_t D = how->D, ld = how->KV * D, group = how->H / how->KV;
    size_t first = stretch * LLM_HALF_KEYS;
    llm_cpu_attend_t a = {.ld = ld, .queries = group, .D = D, .scale = how->scale};
    a.cap = how->softcap;
    a.query = job->length - 1 - first;
    a.count = llm_cpu_min(LLM_HALF_KEYS, job->length - first);
    a.step = job->stretches;
    for (size_t kv = 0; kv < how->KV; kv++) {
        size_t h = kv * group;
        a.q = job->q + h * D;
        a.slopes = how->slopes ? how->slopes + h : NULL;
        a.k = job->k + first * ld + kv * D;
        a.v = job->v + first * ld + kv * D;
        a.sums = job->sums + (stretch * how->H + h) * D;
        a.most = job->most + h * job->stretches + stretch;
        a.mass = job->mass + h * job->stretches + stretch;
        job->half->attend(&a);
    }
}

/* Rows of keys or values come from memory far beyond the nearest cache, and
 * heads read them piece by piece: the first ones are asked for at once, those
 * that follow by the kernel, a stretch ahead. */
static void attend_item(void *argument, size_t item, size_t thread)
{
    (void)thread;
    const job_t *job = argument;
    size_t begin = item * job->stretches / job->items;
    size_t end = (item + 1) * job->stretches / job->items;
    size_t ld = job->how->KV * job->how->D, first = begin * LLM_HALF_KEYS;
    size_t rows = llm_cpu_min(LLM_HALF_KEYS, job->length - first);
    llm_half_ask_for(job->k + first * ld, rows * ld);
    llm_half_ask_for(job->v + first * ld, rows * ld);
    for (size_t s = begin; s < end; s++)
        attend_stretch(job, s);
}

static void attention_decode(llm_backend_t *be, llm_act_t *out, const llm_act_t *q,
                             const llm_act_t *k, const llm_act_t *v, const llm_decode_t *how,
                             float *scratch)
{
    (void)scratch; /* too small for sums of several stretches */
    llm_cpu_t *cpu = llm_cpu(be);
    size_t from = llm_first_seen(how->window, how->length - 1), H = how->H, D = how->D;
    job_t job = {.half = cpu->half, .how = how};
    job.q = llm_half_read(q);
    job.k = llm_half_read(k) + from * how->KV * D;
    job.v = llm_half_read(v) + from * how->KV * D;
    job.length = how->length - from;
    job.stretches = llm_cpu_pieces(job.length, LLM_HALF_KEYS);
    /* Asked for in powers of two, so that a growing past seldom allocates. */
    size_t room = 16;
    while (room < job.stretches)
        room *= 2;
    job.sums = llm_half_wide(cpu, room * H * (D + 2));
    if (!job.sums)
        return;
    job.most = job.sums + job.stretches * H * D;
    job.mass = job.most + job.stretches * H;
    job.items = llm_cpu_min(job.stretches, ITEMS * llm_pool_threads(cpu->pool));
    llm_pool_run(cpu->pool, job.items, attend_item, &job);
    for (size_t h = 0; h < H; h++)
        job.half->put_together(llm_half_write(out) + h * D, job.sums + h * D, H * D,
                               job.most + h * job.stretches, job.mass + h * job.stretches,
                               job.stretches, D);
}

void llm_cpu_half_decode(llm_ops_t *ops)
{
    ops->attention_decode = attention_decode;
}
