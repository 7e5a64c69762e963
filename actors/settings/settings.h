/*
 * settings.h - what the configuration says, in the engine's own words.
 *
 * One function a translation; each reads FS-LLM's keys and fills an options
 * struct of llm/.  Names that the configuration leaves open (an optimizer's
 * or a PEFT method's keyword arguments) are checked here: one that fedmq does
 * not act on is refused by name, with its place in the file.  All return 0,
 * or -1 with err and *out untouched.  Nothing here computes or keeps state.
 */
#ifndef FEDMQ_ACTORS_SETTINGS_H
#define FEDMQ_ACTORS_SETTINGS_H

#include "fedmq/base/config.h"
#include "fedmq/llm/adapter.h"
#include "fedmq/llm/data.h"
#include "fedmq/llm/train.h"

/* The seed of every split, whatever `seed` says: as in FS-LLM, so that runs
 * with different seeds train on the same shards. */
#define FMQ_SETTINGS_SPLIT_SEED UINT64_C(12345)

/* The extra batches that llm.retry_on_nan_loss may draw in one routine. */
#define FMQ_SETTINGS_NAN_RETRIES_MAX 100

/* train.*, grad.*, dataloader.*, fedprox.*, llm.grad_accum_step,
 * llm.retry_on_nan_loss and seed.  client and round are left 0. */
int fmq_settings_train(const fmq_config_t *config, llm_train_options_t *out, fmq_error_t *err);

/* An optimizer node ("train.optimizer"): torch.optim's class name and keyword
 * arguments, with torch's defaults. */
int fmq_settings_optimizer(const fmq_config_t *config, const char *node, llm_optimizer_t *out,
                           fmq_error_t *err);

/* A scheduler node ("train.scheduler"): FS-LLM's warmup_step and warmup_noam,
 * or a torch.optim.lr_scheduler class with its keyword arguments. */
int fmq_settings_schedule(const fmq_config_t *config, const char *node, llm_schedule_t *out,
                          fmq_error_t *err);

/* llm.adapter.*: what is trained.  adapter.use False: the whole model. */
int fmq_settings_adapter(const fmq_config_t *config, llm_adapter_spec_t *out, fmq_error_t *err);

/* data.splits, data.splitter, data.splitter_args and who takes part. */
typedef struct {
    double train, val; /* shares of all records; the rest is for testing */
    llm_splitter_t how;
    double alpha;     /* of lda */
    uint32_t parts;   /* how many the records are split over */
    uint32_t only;    /* client_idx_for_local_train: this part alone, as client 1; 0: all */
    uint32_t clients; /* of the run: 1 when only, or when federate.method is global */
} fmq_split_settings_t;

int fmq_settings_split(const fmq_config_t *config, fmq_split_settings_t *out, fmq_error_t *err);

/* fedmq.heartbeat and fedmq.peer_timeout, for links and routers. */
void fmq_settings_times(const fmq_config_t *config, uint32_t *heartbeat_ms, uint32_t *timeout_ms);

#endif
