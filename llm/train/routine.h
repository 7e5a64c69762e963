/*
 * routine.h - the local routine over any pass: order of batches, groups of
 * them, optimizer, schedule, clipping, NaN, statistics.
 *
 * llm_train_run() is the routine over a workspace's own loss; alignment brings
 * a pass with losses of its own.
 */
#ifndef FEDMQ_LLM_TRAIN_ROUTINE_H
#define FEDMQ_LLM_TRAIN_ROUTINE_H

#include "fedmq/llm/train.h"

#define LLM_ROUTINE_PARTS 4

typedef struct {
    const llm_batch_t *batch;
    const uint32_t *examples; /* the dataset's numbers of the batch's sequences */
    double divisor;           /* the gradient to add is that of loss / divisor */
    const fmq_rng_name_t *dropout;
} llm_routine_batch_t;

typedef struct {
    double loss;                     /* of the batch, a mean */
    double parts[LLM_ROUTINE_PARTS]; /* added up for whom it may concern */
} llm_routine_loss_t;

/* Forward and backward of a batch; adds to the workspace's gradient unless the
 * loss is not finite. */
typedef int(llm_routine_pass_fn)(void *argument, const llm_routine_batch_t *batch,
                                 llm_routine_loss_t *loss, fmq_error_t *err);

typedef struct {
    llm_workspace_t *ws; /* whose params are trained */
    llm_routine_pass_fn *pass;
    void *argument;
    fmq_rng_purpose_t order;   /* names the streams that shuffle */
    llm_progress_fn *progress; /* may be NULL */
    void *progress_argument;
} llm_routine_t;

typedef struct {
    llm_train_stats_t stats;
    uint64_t batches;                /* those that are in the statistics */
    double loss;                     /* sum over them of the loss ... */
    double parts[LLM_ROUTINE_PARTS]; /* ... and of its parts */
} llm_routine_result_t;

/* As llm_train_run(), which says what fails and how. */
int llm_routine_run(const llm_routine_t *self, const llm_dataset_t *dataset,
                    const llm_train_options_t *options, llm_routine_result_t *result,
                    fmq_error_t *err);

#endif
