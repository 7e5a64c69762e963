/*
 * gradcheck.h - compares an op's backward with central differences of its
 * forward, over the reference backend.
 *
 * The scalar that is differentiated is L = sum_i weight_i out_i with fixed
 * random weights, so that dout = weight.  A fourth-order difference with a
 * wide step keeps both truncation and fp32 rounding below the tolerance.
 */
#ifndef TESTS_BACKEND_GRADCHECK_H
#define TESTS_BACKEND_GRADCHECK_H

#include <stddef.h>

#include "fedmq/llm/backend.h"

/* Forward of the op under test: reads its inputs from state, writes out. */
typedef void (*gradcheck_forward_t)(llm_backend_t *be, void *state, float *out);

typedef struct {
    llm_backend_t *be;
    gradcheck_forward_t forward;
    void *state;
    float *out;          /* outputs floats, scratch for forward */
    const float *weight; /* outputs floats: dL/dout */
    size_t outputs;
} gradcheck_t;

/* Fails the test when analytic[i] differs from dL/dinput[i] for any i of n.
 * input is what state reads; it is left as it was. */
void gradcheck(const gradcheck_t *check, const char *what, float *input, const float *analytic,
               size_t n);

/* n floats from a standard normal stream, different for every seed. */
void random_floats(float *x, size_t n, uint64_t seed);

/* NMSE = sum (a - b)^2 / sum b^2 over n; 0 when both are all zero.  NaN counts
 * as infinite. */
double nmse(const float *a, const float *b, size_t n);

#endif
