/*
 * train.h - local training and evaluation of a dataset.
 *
 * FS-LLM's routine with its defects mended: true gradient accumulation,
 * bounded retries on NaN, average loss as the headline.  The optimizer is new
 * in every routine, as there, unless its state is kept.
 */
#ifndef FEDMQ_LLM_TRAIN_H
#define FEDMQ_LLM_TRAIN_H

#include "fedmq/base/api.h"
#include "fedmq/llm/data.h"
#include "fedmq/llm/prefix_cache.h"
#include "fedmq/llm/team.h"
#include "fedmq/llm/workspace.h"

FMQ_API_BEGIN

typedef enum {
    LLM_SGD,
    LLM_ADAM,
    LLM_ADAMW,
    LLM_ADAGRAD,
    LLM_RMSPROP,
    LLM_ADAFACTOR,    /* torch.optim.Adafactor */
    LLM_ADAFACTOR_HF, /* transformers.optimization.Adafactor */
    LLM_ADAMW_8BIT    /* AdamW whose moments are kept at 8 bits (docs/training.md) */
} llm_optimizer_kind_t;

typedef struct {
    llm_optimizer_kind_t kind;
    double lr, momentum, dampening, weight_decay, beta1, beta2, eps;
    bool nesterov;
    bool maximize;                        /* steps along the gradient, not against it */
    bool amsgrad;                         /* Adam, AdamW */
    double lr_decay, initial_accumulator; /* Adagrad */
    double alpha;                         /* RMSprop */
    bool centered;
    /* Adafactor: eps is torch's eps[0] or what the other adds to squares, eps2 the least
     * that a tensor's root mean square counts for, clip the longest update (torch's d),
     * beta2_decay also decay_rate; beta1 0: no first moment. */
    double eps2, beta2_decay, clip;
    bool scale_parameter, relative_step, warmup_init; /* transformers' alone */
    uint64_t min_8bit_size;                           /* a smaller tensor's moments are floats */
} llm_optimizer_t;

typedef enum {
    LLM_SCHEDULE_NONE,
    LLM_SCHEDULE_WARMUP_STEP, /* linear up over warmup, then linear to 0 at total */
    LLM_SCHEDULE_WARMUP_NOAM, /* min(s^-0.5, s * w^-1.5) */
    LLM_SCHEDULE_STEP,        /* torch StepLR: step_size, gamma */
    LLM_SCHEDULE_MULTISTEP,   /* torch MultiStepLR: milestones, gamma */
    LLM_SCHEDULE_EXPONENTIAL, /* torch ExponentialLR: gamma */
    LLM_SCHEDULE_COSINE,      /* torch CosineAnnealingLR: t_max, eta_min */
    LLM_SCHEDULE_LINEAR,      /* torch LinearLR: start_factor, end_factor, total */
    LLM_SCHEDULE_CONSTANT,    /* torch ConstantLR: start_factor, total */
    LLM_SCHEDULE_POLYNOMIAL,  /* torch PolynomialLR: total, power */
    LLM_SCHEDULE_RESTARTS,    /* torch CosineAnnealingWarmRestarts: t_max (T_0), t_mult, eta_min */
    LLM_SCHEDULE_ONE_CYCLE,   /* torch OneCycleLR: cycle, total */
    LLM_SCHEDULE_WARMUP /* DeepSpeed's WarmupLR (total 0) and WarmupDecayLR: up from eta_min over
                           warmup, logarithmic or linear, then constant or linear to total */
} llm_schedule_kind_t;

#define LLM_MILESTONES_MAX 32

/* torch's OneCycleLR under its names; total is the schedule's. */
typedef struct {
    double max_lr, pct_start, div_factor, final_div_factor;
    double base_momentum, max_momentum;
    bool linear; /* anneal_strategy */
    bool three_phase, cycle_momentum;
} llm_one_cycle_t;

typedef struct {
    llm_schedule_kind_t kind;
    uint64_t warmup, total, step_size, t_max, t_mult;
    double gamma, eta_min, start_factor, end_factor, power;
    bool logarithmic;
    llm_one_cycle_t cycle;
    uint64_t milestones[LLM_MILESTONES_MAX];
    size_t milestones_size;
} llm_schedule_t;

/* The learning rate of optimizer step `step` (from 0). */
double llm_schedule_lr(const llm_schedule_t *self, double lr, uint64_t step);
/* What that step takes for SGD's or RMSprop's momentum, or Adam's first beta, which is
 * `momentum` unless the schedule cycles it. */
double llm_schedule_momentum(const llm_schedule_t *self, double momentum, uint64_t step);

/* What an optimizer knows when a training ends: its moments, and how many steps it has
 * made, which is where its schedule stands.  The same bytes however a team shares them
 * out. */
typedef struct {
    void *bytes; /* owned; NULL: nothing yet */
    size_t size;
} llm_kept_optimizer_t;

/* Harmless when it is empty. */
void llm_kept_optimizer_release(llm_kept_optimizer_t *self);

typedef struct {
    llm_optimizer_t optimizer;
    llm_schedule_t schedule;
    /* Borrowed; NULL: the optimizer is new.  Else it goes on from what is in here, if
     * anything is, and leaves in here what it knows at the end; on failure it stays. */
    llm_kept_optimizer_t *kept;
    bool by_epoch;  /* batch_or_epoch */
    uint64_t steps; /* local_update_steps */
    uint32_t batch_size;
    bool shuffle, drop_last;
    double grad_clip; /* <= 0: off */
    /* torch.nn.CrossEntropyLoss(label_smoothing), in [0, 1]; of llm_train_run(), whose
     * losses have it too.  Evaluation has none. */
    double label_smoothing;
    uint32_t grad_accum;  /* >= 1 micro-batches an optimizer step */
    bool retry_on_nan;    /* draw one extra batch for each NaN batch */
    uint32_t retries_max; /* of a routine */
    double proximal_mu;   /* FedProx: + mu/2 ||w - w_start||^2; 0: off */
    /* What is pulled to in place of w_start, as Ditto does: the adapter's vector in
     * memory of the caller's, borrowed; NULL: w_start. */
    const float *proximal_anchor;
    /* FedBiOT's regulariser: + eps ||M - M_start||^2, where M are the merged
     * updates s B A of LoRA's modules (a FULL adapter's tensors themselves).
     * M is never formed.  inert: the term counts in proximal_loss but has no
     * gradient, as in the released code. */
    double proximal_merged;
    bool proximal_inert;
    llm_prefix_cache_t *prefix; /* of the dataset, borrowed; NULL: nothing is kept */
    llm_team_t *team;           /* borrowed: trains, led by the workspace; NULL: that alone does */
    uint64_t seed;
    uint32_t client, round; /* name the Philox streams */
} llm_train_options_t;

typedef struct {
    uint64_t steps;      /* optimizer steps done */
    uint64_t samples;    /* examples really used, NaN batches excluded */
    uint64_t tokens;     /* real tokens */
    uint64_t supervised; /* of them with a target */
    uint64_t nan_batches;
    double loss_sum;      /* FS-LLM's: sum over batches of mean loss * batch size */
    double loss_avg;      /* loss_sum / samples */
    double nll_sum;       /* sum over supervised tokens */
    double proximal_loss; /* eps ||M - M_start||^2 before the last step; not in the losses above */
    double seconds;
} llm_train_stats_t;

/* Called after every optimizer step, from the training thread; a value other
 * than 0 stops the routine (FMQ_ERR_STOPPED). */
typedef int(llm_progress_fn)(void *argument, uint64_t step, uint64_t steps, uint64_t tokens);

/* Largest batch in tokens that training or evaluating this dataset can meet:
 * what a workspace must be planned for. */
size_t llm_train_tokens_max(const llm_dataset_t *dataset, uint32_t batch_size);

/* How many batches a routine runs (before retries): FS-LLM's step rules.  In
 * batch mode grad_accum of them make one of `steps`; in epoch mode there are
 * `steps` passes over the data, and the last update may have fewer batches. */
uint64_t llm_train_batches(const llm_train_options_t *options, size_t examples);
/* How many optimizer steps that makes. */
uint64_t llm_train_steps(const llm_train_options_t *options, size_t examples);

/* Trains ws's params in place on dataset.
 *
 * With options.team, which ws leads, its devices share every batch (team.h).
 *
 * Every epoch has an order of its own from Philox (seed, FMQ_RNG_SHUFFLE,
 * client, round, epoch).  The loss of a batch is the mean over its supervised
 * positions; an update follows the mean gradient of its batches (of those it
 * has, when it is the last or lost some to NaN), plus FedProx's mu (w -
 * w_start) and FedBiOT's term, clipped as torch's clip_grad_norm_ does.  A batch whose loss, or
 * an update whose gradient is not finite changes nothing and is not in the
 * statistics' losses; neither are those terms.
 *
 * FMQ_ERR_NUMERIC when every batch was NaN, or a parameter in the end, or when
 * the last batches were and one that had a loss before has none any more;
 * FMQ_ERR_CONFIG for options that make no sense or leave no batch.  stats
 * (may be NULL) is untouched on failure; params keep the steps made so far. */
int llm_train_run(llm_workspace_t *ws, const llm_dataset_t *dataset,
                  const llm_train_options_t *options, llm_progress_fn *progress, void *argument,
                  llm_train_stats_t *stats, fmq_error_t *err);

typedef struct {
    uint64_t samples, supervised; /* NaN batches excluded */
    double loss_sum;              /* sum over batches of mean loss * batch size */
    double loss_avg;              /* loss_sum / samples */
    double nll_sum;
    double token_loss; /* nll_sum / supervised: average over supervised tokens */
    uint64_t nan_batches;
} llm_eval_stats_t;

/* Loss over a dataset, in order, no dropout.  An empty dataset has samples 0
 * and averages 0; FMQ_ERR_NUMERIC when every batch was NaN. */
int llm_evaluate_loss(llm_workspace_t *ws, const llm_dataset_t *dataset, uint32_t batch_size,
                      llm_progress_fn *progress, void *argument, llm_eval_stats_t *stats,
                      fmq_error_t *err);

typedef struct {
    uint32_t batch_size;
    llm_prefix_cache_t *prefix; /* of the dataset, borrowed; NULL: nothing is kept */
    llm_team_t *team;           /* borrowed: computes, led by ws; NULL: that alone does */
    llm_progress_fn *progress;  /* may be NULL */
    void *argument;
} llm_eval_options_t;

/* The same, and it may keep what frozen layers give. */
int llm_evaluate_dataset(llm_workspace_t *ws, const llm_dataset_t *dataset,
                         const llm_eval_options_t *options, llm_eval_stats_t *stats,
                         fmq_error_t *err);

struct llm_generator;

/* Greedy answers against the records' outputs, compared after trimming white
 * space at both ends.  part NULL: all records.  A prompt that does not fit the
 * generator's context counts as answered wrongly, by "".  each: called with
 * every answer (may be NULL). */
typedef void(llm_answer_fn)(void *argument, size_t index, const llm_record_t *record,
                            const char *answer, bool exact);
int llm_evaluate_match(struct llm_generator *generator, const llm_tokenizer_t *tokenizer,
                       const llm_records_t *records, const llm_part_t *part, size_t new_tokens_max,
                       llm_answer_fn *each, void *argument, uint64_t *exact, uint64_t *total,
                       fmq_error_t *err);

FMQ_API_END

#endif
