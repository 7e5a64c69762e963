/*
 * linear.h - one linear module with what trains in it: forward and backward.
 */
#ifndef FEDMQ_LLM_PASS_LINEAR_H
#define FEDMQ_LLM_PASS_LINEAR_H

#include "llm/pass/decoder.h"

/* What the linear modules of a pass have in common; all of it borrowed. */
typedef struct {
    llm_backend_t *be;
    size_t rows, first_row;        /* as llm_lora_t has them */
    const fmq_rng_name_t *dropout; /* of this pass, or NULL */
    float *dh;                     /* [rows][rank] of scratch for backward */
    /* Scratch where modules are scaled: [rows][inputs], [rows][outputs] of the widest. */
    llm_act_t *scaled_in, *scaled_out;
} llm_linear_run_t;

/* What adapters on a module leave for backward; NULL where they have nothing. */
typedef struct {
    float *h;      /* [rows][rank]: drop(x) A^T */
    uint8_t *mask; /* what was dropped, see llm_lora_t */
    llm_act_t *z;  /* [rows][outputs]: what is scaled, where outputs are */
} llm_hidden_t;

/* y[rows][out], rows y_stride apart, from x[rows][in]; hidden may be NULL where
 * there is no LoRA. */
void llm_linear_forward(const llm_linear_run_t *run, const llm_bound_linear_t *self, llm_act_t *y,
                        size_t y_stride, const llm_act_t *x, const llm_hidden_t *hidden);

/* Adds to the module's gradients, given dy (rows dy_stride apart), and x and
 * hidden of the forward pass; dx[rows][in] is overwritten, or added to when
 * add, or left alone when NULL. */
void llm_linear_backward(const llm_linear_run_t *run, const llm_bound_linear_t *self, llm_act_t *dx,
                         bool add, const llm_act_t *dy, size_t dy_stride, const llm_act_t *x,
                         const llm_hidden_t *hidden);

#endif
