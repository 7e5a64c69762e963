/*
 * align.h - the server's training of the emulator: FedBiOT's lower level, and
 * FS-LLM's one-shot distillation.
 *
 * For a batch of public tokens the stream h enters both the teacher's layers
 * [l, r), giving T, and the emulator, giving S; both go on through the adapter
 * A, which is frozen here, to the head.  All means are over real tokens; there
 * is no padding.
 *   l2         mean(((T - S) / rms(T))^2), rms over all of T
 *   cos        mean over tokens of -cos(T, S) over the hidden axis
 *   layerwise  sum over E's layers i of the same between E's layer i and the
 *              teacher's layer source[i]
 *   KL raw     mean over tokens of sum_v p_full log(p_full / p_client)
 *   KL logps   mean over examples of (mean log p_full - mean log p_client) of
 *              the target tokens.  The released FedBiOT code has the opposite
 *              sign, and so drives the client's likelihood down; `released`
 *              asks for that.
 *   LM         mean over supervised positions of -log p_client(target)
 * loss = sim_weight sim + kl_weight KL + lm_weight LM.
 */
#ifndef FEDMQ_LLM_ALIGN_H
#define FEDMQ_LLM_ALIGN_H

#include "fedmq/base/api.h"
#include "fedmq/llm/offsite.h"
#include "fedmq/llm/workspace.h"

FMQ_API_BEGIN

typedef enum { LLM_SIM_L2, LLM_SIM_COS } llm_sim_t;
typedef enum { LLM_KL_RAW, LLM_KL_LOGPS } llm_kl_t;

typedef struct llm_align_options {
    llm_sim_t sim;
    bool layerwise;
    llm_kl_t kl;
    double sim_weight, kl_weight, lm_weight; /* a term of weight 0 is not computed */
    bool released;
    llm_recompute_t recompute; /* of the client's model; AUTO: by the size of the full one */
    llm_train_options_t train; /* optimizer, schedule, steps, batches, clipping, seed; client is 0;
                                  round tells one alignment's streams from another's */
} llm_align_options_t;

typedef struct {
    uint64_t steps, samples, tokens, nan_batches;
    double loss, sim, kl, lm; /* means over batches; 0 where not computed */
    double seconds;
} llm_align_stats_t;

typedef struct {
    const llm_offsite_t *offsite;
    const llm_dataset_t *data;
    const llm_align_options_t *options;
    llm_prefix_cache_t *cache; /* of the teacher's stream over data; may be NULL */
    llm_backend_t *be;
    llm_progress_fn *progress; /* may be NULL */
    void *argument;
} llm_align_t;

/* Trains state (host, E's vector) in place with A's vector adapter.  On
 * failure (FMQ_ERR_STOPPED, FMQ_ERR_NUMERIC, ...) state is as it was. */
int llm_align_run(const llm_align_t *self, const float *adapter, float *state,
                  llm_align_stats_t *stats, fmq_error_t *err);

/* The same losses without training, over all of data. */
int llm_align_measure(const llm_align_t *self, const float *adapter, const float *state,
                      llm_align_stats_t *stats, fmq_error_t *err);

FMQ_API_END

#endif
