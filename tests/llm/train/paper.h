/*
 * paper.h - a workspace whose model fits on paper, to check the routine's
 * arithmetic and its order of events exactly.
 *
 * The mean loss of a batch is |w - c|^2 / 2, where c follows from the mean of
 * the batch's targets; so its gradient is w - c.  It takes the place of the
 * real workspace at link time, remembers every call, and can be told to give
 * NaN.  It may have frozen layers: then every prefix it is given must be the
 * one that it gives.  What a real model does is tested with real models.
 */
#ifndef FEDMQ_TESTS_PAPER_H
#define FEDMQ_TESTS_PAPER_H

#include <stdbool.h>

#include "fedmq/llm/train.h"

#define PAPER_SIZE      3
#define PAPER_CALLS_MAX 512

typedef struct {
    double center[PAPER_SIZE];
    size_t examples, supervised, tokens;
    int32_t first_target;
    fmq_rng_name_t dropout;
    bool had_dropout;
} paper_call_t;

struct llm_workspace {
    llm_backend_t *be;     /* owned: the reference backend */
    float *params, *grads; /* owned, the backend's */
    uint64_t nan_losses;   /* bit i: call i (below 64) has a NaN loss */
    bool nan_always;
    bool nan_spoils;                        /* a NaN loss leaves NaN in the gradient, too */
    uint64_t nan_gradients;                 /* bit i: call i has a good loss and a NaN gradient */
    size_t prefix_width;                    /* 0: no frozen layers */
    size_t prefix_sequences, prefix_tokens; /* computed by llm_workspace_prefix */
    size_t prefixed;                        /* calls that were given a prefix */
    size_t calls;
    paper_call_t call[PAPER_CALLS_MAX];
};

void paper_open(llm_workspace_t *self, const float start[PAPER_SIZE]);
void paper_close(llm_workspace_t *self);

/* size examples of one kind each: every answer has `letters` letters. */
llm_dataset_t *paper_dataset(size_t size, size_t letters);

#endif
