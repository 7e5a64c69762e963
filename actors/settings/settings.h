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

#include "actors/settings/deepspeed.h"
#include "fedmq/base/config.h"
#include "fedmq/broker/state.h"
#include "fedmq/llm/adapter.h"
#include "fedmq/llm/align.h"
#include "fedmq/llm/data.h"
#include "fedmq/llm/team.h"
#include "fedmq/llm/train.h"
#include "fedmq/llm/workspace.h"

/* The seed of every split, whatever `seed` says: as in FS-LLM, so that runs
 * with different seeds train on the same shards. */
#define FMQ_SETTINGS_SPLIT_SEED UINT64_C(12345)

/* The extra batches that llm.retry_on_nan_loss may draw in one routine. */
#define FMQ_SETTINGS_NAN_RETRIES_MAX 100

/* The most examples that one training by these options can use of a shard of so
 * many: whole passes, at least one, as many as its batches need.  A shard that
 * is smaller than a batch is taken whole. */
uint64_t fmq_settings_samples_max(const llm_train_options_t *options, uint64_t shard);

/* train.*, grad.*, dataloader.*, fedprox.*, llm.grad_accum_step,
 * llm.retry_on_nan_loss and seed.  client and round are left 0. */
int fmq_settings_train(const fmq_config_t *config, llm_train_options_t *out, fmq_error_t *err);

/* fedmq.recompute: what a workspace for training does not keep. */
llm_recompute_t fmq_settings_recompute(const fmq_config_t *config);

/* Does eval.split name this part of the data, as "val"? */
bool fmq_settings_measures(const fmq_config_t *config, const char *part);

/* An optimizer node ("train.optimizer"): torch.optim's class name and keyword
 * arguments, with torch's defaults. */
int fmq_settings_optimizer(const fmq_config_t *config, const char *node, llm_optimizer_t *out,
                           fmq_error_t *err);

/* A scheduler node ("train.scheduler"): FS-LLM's warmup_step and warmup_noam,
 * or a torch.optim.lr_scheduler class with its keyword arguments. */
int fmq_settings_schedule(const fmq_config_t *config, const char *node, llm_schedule_t *out,
                          fmq_error_t *err);

/* llm.adapter.*: what is trained.  adapter.use False: the whole model.  Of all
 * layers: with offsite tuning llm_offsite_t.plugged has those that travel. */
int fmq_settings_adapter(const fmq_config_t *config, llm_adapter_spec_t *out, fmq_error_t *err);

/* data.splits, data.splitter, data.splitter_args and who takes part. */
typedef struct {
    double train, val; /* shares of all records; the rest is for testing */
    llm_splitter_t how;
    const struct fmq_splitter *own; /* of an extension, borrowed; how is LLM_SPLIT_OWN */
    double alpha;                   /* of lda */
    bool apart;                     /* meta: fedmq.meta_parts_apart */
    uint32_t parts;                 /* how many the records are split over */
    uint32_t only;    /* client_idx_for_local_train: this part alone, as client 1; 0: all */
    uint32_t clients; /* of the run: 1 when only, or when federate.method is global */
} fmq_split_settings_t;

/* The splitters that data.splitter may name, with a line about each; NULL behind the
 * last. */
const char *fmq_splitter_at(size_t index, const char **help);

/* fedmq.codec, also of an extension: its number. */
int fmq_settings_codec(const fmq_config_t *config, fmq_codec_t *out, fmq_error_t *err);

int fmq_settings_split(const fmq_config_t *config, fmq_split_settings_t *out, fmq_error_t *err);

/* llm.offsite_tuning.*: what takes the model's place at clients. */
typedef struct {
    bool use;                     /* the rest means nothing without */
    llm_emulator_spec_t emulator; /* with the adapter's spec of llm.adapter.* */
    bool align;                   /* emu_align.use */
    bool bilevel;                 /* align and not initial_only: FedBiOT */
    llm_align_options_t first;    /* one block of alignment before round 0 ... */
    uint32_t first_blocks;        /* ... and how many: 1, or initial_update_rounds of FedBiOT */
    llm_align_options_t later;    /* FedBiOT's block after each round */
    llm_align_options_t distil;   /* how a distilled student is trained */
    const char *public_root, *public_type; /* emu_align.data, texts of the configuration */
    double public_train, public_val;       /* shares */
    const char *restore_from, *save_to;    /* "" : none */
    bool exit_after_align;
    bool full;        /* eval_type full: plugin. metrics too */
    double proximal;  /* eps of FedBiOT's clients (lm_loss_weight); 0 unless bilevel */
    bool released;    /* fedmq.released_fedbiot: inert proximal term, emulator as first sent */
    double generated; /* llm_generated: share of labels; 0: off */
    size_t generated_tokens_max;
} fmq_offsite_settings_t;

int fmq_settings_offsite(const fmq_config_t *config, fmq_offsite_settings_t *out, fmq_error_t *err);

#define FMQ_DEVICE_NAME_MAX 32
#define FMQ_DEVICE_LIST_MAX LLM_TEAM_MAX

/* Names as llm_backend_open() knows them. */
typedef struct {
    size_t size;
    char names[FMQ_DEVICE_LIST_MAX][FMQ_DEVICE_NAME_MAX];
} fmq_device_list_t;

/* use_gpu, device, train.data_para_dids, llm.deepspeed.use, fedmq.require_gpu,
 * train.is_enable_half and fedmq.weights.
 *
 * A number is a GPU's where use_gpu says so, and else just the CPU (in
 * data_para_dids, one more of its workers); a name is what it names.  Every GPU is
 * opened once: where one cannot be all become the CPU, or with fedmq.require_gpu
 * it is an error.  Names say what activations are, as is_enable_half does. */
typedef struct {
    char device[FMQ_DEVICE_NAME_MAX]; /* the first of devices */
    fmq_device_list_t devices;        /* to which permits are dealt */
    fmq_device_list_t team;           /* which share every batch; size 0: nobody does */
    bool sharded;                     /* ... and the optimizer's state */
    llm_form_choice_t weights;
    char told[FMQ_DEEPSPEED_TOLD_MAX]; /* entries of llm.deepspeed.ds_config without effect */
    bool lacks_gpu;                    /* a GPU is asked for, and the CPU is used ... */
    char why[FMQ_ERROR_TEXT_MAX];      /* ... because */
} fmq_compute_settings_t;

int fmq_settings_compute(const fmq_config_t *config, fmq_compute_settings_t *out, fmq_error_t *err);

bool fmq_compute_on_gpu(const fmq_compute_settings_t *self);

/* The device that computes with activations of 32 bits, or of 16. */
const char *fmq_compute_device(bool half);

/* fedmq.heartbeat and fedmq.peer_timeout, for links and routers. */
void fmq_settings_times(const fmq_config_t *config, uint32_t *heartbeat_ms, uint32_t *timeout_ms);
/* fedmq.connect_timeout in milliseconds, 0: none. */
uint32_t fmq_settings_connect(const fmq_config_t *config);

#endif
