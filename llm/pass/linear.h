/*
 * linear.h - one linear module with what trains in it: forward and backward.
 */
#ifndef FEDMQ_LLM_PASS_LINEAR_H
#define FEDMQ_LLM_PASS_LINEAR_H

#include "llm/pass/decoder.h"

/* What the linear modules of a pass have in common; all of it borrowed. */
typedef struct {
    llm_backend_t *be;
    size_t rows;
    const fmq_rng_name_t *dropout; /* of this pass, or NULL */
    float *dropped;                /* [rows][in] of scratch when there is dropout */
    float *dh;                     /* [rows][rank] of scratch for backward */
    const float *ones;             /* rows ones, for biases of strided outputs */
} llm_linear_run_t;

/* y[rows][out], rows y_stride apart, from x[rows][in]; keeps drop(x) A^T in
 * h[rows][rank] where there is LoRA. */
void llm_linear_forward(const llm_linear_run_t *run, const llm_bound_linear_t *self, float *y,
                        size_t y_stride, const float *x, float *h);

/* Adds to the module's gradients, given dy (rows dy_stride apart) and x and h
 * of the forward pass; dx[rows][in] is overwritten, or added to when add, or
 * left alone when NULL. */
void llm_linear_backward(const llm_linear_run_t *run, const llm_bound_linear_t *self, float *dx,
                         bool add, const float *dy, size_t dy_stride, const float *x,
                         const float *h);

#endif
