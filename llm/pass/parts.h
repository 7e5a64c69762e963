/*
 * parts.h - passes over a part of a batch, whose other parts are other
 * workspaces' at the same time.
 *
 * What one of them finds out about its part all of them have to know: backward
 * adds to a gradient that another batch may lie in already.
 */
#ifndef FEDMQ_LLM_PASS_PARTS_H
#define FEDMQ_LLM_PASS_PARTS_H

#include "fedmq/llm/workspace.h"

typedef struct {
    float scale;                   /* as in llm_workspace_train(), and dropout too */
    float smoothing;               /* of labels, see llm_cross_entropy_t; the losses have it too */
    const fmq_rng_name_t *dropout; /* NULL: none */
    /* Asked once between the losses and backward, which is run when it says
     * true.  NULL: when the sum is finite.  Not asked by a pass that fails
     * before. */
    bool (*agree)(void *argument, double loss_sum);
    void *argument;
} llm_train_pass_t;

/* llm_workspace_train(), with that question. */
int llm_workspace_train_when(llm_workspace_t *self, const llm_batch_t *batch,
                             const llm_train_pass_t *pass, double *loss_sum, fmq_error_t *err);

/* The losses of the last pass, one a supervised position in order, in host
 * memory; until the next. */
const float *llm_workspace_losses(const llm_workspace_t *self);

#endif
