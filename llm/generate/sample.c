/*
 * sample.c - sampling on the host.  Candidates are taken from a heap, largest
 * first, only as far as top-k or top-p reach; equal logits in order of id.
 */
#include "llm/generate/sample.h"

#include <math.h>

#include "base/real.h"

int llm_sampling_check(const llm_sampling_t *how, fmq_error_t *err)
{
    if (!(how->temperature >= 0.0 && isfinite(how->temperature)))
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "the temperature is %g; it must be a number, at least 0",
                             how->temperature);
    if (!(how->top_p > 0.0 && how->top_p <= 1.0))
        return fmq_error_set(err, FMQ_ERR_CONFIG, "top_p is %g; it must be above 0 and at most 1",
                             how->top_p);
    return 0;
}

/* Does a come before b? */
static bool before(const llm_candidate_t *a, const llm_candidate_t *b)
{
    return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

static void swap(llm_candidate_t *a, llm_candidate_t *b)
{
    llm_candidate_t kept = *a;
    *a = *b;
    *b = kept;
}

static void sift(llm_candidate_t *heap, size_t at, size_t size)
{
    for (size_t child = 2 * at + 1; child < size; child = 2 * at + 1) {
        if (child + 1 < size && before(&heap[child + 1], &heap[child]))
            child++;
        if (!before(&heap[child], &heap[at]))
            return;
        swap(&heap[at], &heap[child]);
        at = child;
    }
}

static void heapify(llm_candidate_t *heap, size_t size)
{
    for (size_t i = size / 2; i-- > 0;)
        sift(heap, i, size);
}

/* Moves the first candidate behind the heap, which then has size - 1. */
static void pop(llm_candidate_t *heap, size_t size)
{
    swap(&heap[0], &heap[size - 1]);
    sift(heap, 0, size - 1);
}

static int load(const llm_sampling_t *how, const float *logits, size_t vocab, llm_candidate_t *work,
                double *largest, fmq_error_t *err)
{
    *largest = -INFINITY;
    for (size_t i = 0; i < vocab; i++) {
        work[i] = (llm_candidate_t){(double)logits[i] / how->temperature, (int32_t)i};
        *largest = fmax(*largest, work[i].logit);
        if (isnan(logits[i]))
            return fmq_error_set(err, FMQ_ERR_NUMERIC, "the logit of token %zu is not a number", i);
    }
    if (!isfinite(*largest))
        return fmq_error_set(err, FMQ_ERR_NUMERIC, "no logit is finite");
    return 0;
}

static double weight(const llm_candidate_t *candidate, double largest)
{
    return fmq_exp(candidate->logit - largest);
}

/* Pops the top_k largest and those equal to the last of them; returns how many. */
static size_t pop_top_k(const llm_sampling_t *how, llm_candidate_t *work, size_t vocab)
{
    size_t kept = 0;
    while (kept < vocab && (kept < how->top_k || work[0].logit == work[vocab - kept].logit)) {
        pop(work, vocab - kept);
        kept++;
    }
    return kept;
}

int llm_sample(const llm_sampling_t *how, const float *logits, size_t vocab, double uniform,
               llm_candidate_t *work, int32_t *id, fmq_error_t *err)
{
    double largest = 0.0, whole = 0.0, mass = 0.0;
    if (load(how, logits, vocab, work, &largest, err) < 0)
        return -1;
    bool top_k = how->top_k > 0 && how->top_k < vocab, top_p = how->top_p < 1.0;
    if (top_k || top_p)
        heapify(work, vocab);
    size_t kept = top_k ? pop_top_k(how, work, vocab) : vocab;
    for (size_t i = vocab - kept; i < vocab; i++)
        whole += weight(&work[i], largest);
    mass = whole;
    if (top_p) {
        size_t most = kept;
        mass = 0.0;
        for (kept = 0; kept < most && mass < how->top_p * whole; kept++) {
            if (!top_k)
                pop(work, vocab - kept);
            mass += weight(&work[vocab - 1 - kept], largest);
        }
    }
    /* Largest first where there is an order, which ends the walk soonest. */
    double left = uniform * mass;
    size_t at = vocab;
    while (at > vocab - kept && left >= 0.0)
        left -= weight(&work[--at], largest);
    *id = work[at].id;
    return 0;
}
