/*
 * deepspeed.h - what DeepSpeed's JSON file (llm.deepspeed.ds_config) says, in
 * the engine's words.
 *
 * As with DeepSpeed, the file counts before train.*, grad.* and dataloader.*; what
 * it leaves out, or gives as "auto", is theirs.  Entries that have no counterpart
 * here are listed, and values that would ask for something else are refused.
 */
#ifndef FEDMQ_ACTORS_SETTINGS_DEEPSPEED_H
#define FEDMQ_ACTORS_SETTINGS_DEEPSPEED_H

#include "fedmq/base/config.h"
#include "fedmq/llm/train.h"

#define FMQ_DEEPSPEED_TOLD_MAX 700
#define FMQ_DEEPSPEED_FILE_MAX (1 << 20) /* bytes */

typedef struct {
    bool use;             /* llm.deepspeed.use; the rest means nothing without */
    bool sharded;         /* zero_optimization.stage above 0, or no file */
    bool says_half, half; /* bf16.enabled or fp16.enabled */
    bool has_optimizer, has_schedule, has_clip;
    llm_optimizer_t optimizer;
    llm_schedule_t schedule; /* its rates are of has_lr, where that is said */
    bool has_lr;
    double lr, clip;
    uint64_t batch, micro, accumulated; /* of a step, of a device, batches a step; 0: unsaid */
    char told[FMQ_DEEPSPEED_TOLD_MAX]; /* "wall_clock_breakdown, zero_optimization.offload_param" */
} fmq_deepspeed_t;

/* -1 with FMQ_ERR_CONFIG or FMQ_ERR_IO naming the file and the entry. */
int fmq_settings_deepspeed(const fmq_config_t *config, fmq_deepspeed_t *out, fmq_error_t *err);

/* Puts what the file says over options, for so many devices. */
int fmq_deepspeed_apply(const fmq_deepspeed_t *self, size_t devices, llm_train_options_t *options,
                        fmq_error_t *err);

#endif
