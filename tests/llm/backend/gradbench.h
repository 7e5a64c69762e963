/*
 * gradbench.h - what tests of the reference backend's gradients compute with.
 */
#ifndef TESTS_BACKEND_GRADBENCH_H
#define TESTS_BACKEND_GRADBENCH_H

#include <stddef.h>
#include <stdint.h>

#include "acts.h"
#include "gradcheck.h"

#define MANY 512

/* One bench for all ops: inputs, gradients and sizes; each test uses a part. */
typedef struct {
    float x[MANY], w[MANY], b[MANY], stats[MANY];
    float dx[MANY], dw[MANY], db[MANY];
    float out[MANY], dout[MANY];
    int32_t ids[16];
    llm_matrix_t *matrix;
    llm_attention_t attention;
    size_t T, C, V;
    bool flag;
    llm_activation_t activation;
    llm_rope_t rope;
    float smoothing;
} bench_t;

static inline int setup(void **state)
{
    *state = llm_backend_reference_new(NULL);
    return *state ? 0 : -1;
}

static inline int teardown(void **state)
{
    llm_backend_t *be = *state;
    llm_backend_destroy(&be);
    return 0;
}

static inline bench_t bench_new(size_t T, size_t C)
{
    bench_t bench = {.T = T, .C = C};
    random_floats(bench.x, MANY, 1);
    random_floats(bench.w, MANY, 2);
    random_floats(bench.b, MANY, 3);
    random_floats(bench.dout, MANY, 4);
    return bench;
}

static inline gradcheck_t check_of(llm_backend_t *be, bench_t *bench, gradcheck_forward_t forward,
                                   size_t outputs)
{
    return (gradcheck_t){.be = be,
                         .forward = forward,
                         .state = bench,
                         .out = bench->out,
                         .weight = bench->dout,
                         .outputs = outputs};
}

#endif
