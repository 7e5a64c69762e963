/*
 * train.c - train.*, grad.* and dataloader.* as a training routine.
 *
 * Gradients are accumulated as the keys' names promise: batches stay as many
 * as local_update_steps says, an optimizer step every grad_accum of them.
 */
#include <stdio.h>
#include <string.h>

#include "actors/settings/deepspeed.h"
#include "actors/settings/settings.h"

static uint32_t accumulation(const fmq_config_t *config)
{
    int64_t count = fmq_config_int(config, "grad.grad_accum_count");
    int64_t step = 1;
    if (fmq_config_get_int(config, "llm.grad_accum_step", &step, NULL) == 0 && step > count)
        count = step;
    return count < 1 ? 1 : (uint32_t)count;
}

static int check_counts(const fmq_config_t *config, fmq_error_t *err)
{
    static const char *const keys[] = {"train.local_update_steps", "dataloader.batch_size"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int64_t value = fmq_config_int(config, keys[i]);
        if (value < 1 || value > INT32_MAX)
            return fmq_error_set(err, FMQ_ERR_CONFIG, "%s: '%s' is %lld, it must be at least 1",
                                 fmq_config_origin(config, keys[i]), keys[i], (long long)value);
    }
    return 0;
}

/* Two keys that say the same may not say different things. */
static int check_checkpointing(const fmq_config_t *config, fmq_error_t *err)
{
    const char *key = "fedmq.gradient_checkpointing";
    const char *text = fmq_config_text(config, "fedmq.recompute");
    if (!fmq_config_bool(config, key) || strcmp(text, "auto") == 0 || strcmp(text, "layers") == 0)
        return 0;
    return fmq_error_set(err, FMQ_ERR_CONFIG,
                         "%s: '%s' is True and 'fedmq.recompute' is '%s': leave one out",
                         fmq_config_origin(config, key), key, text);
}

static uint64_t multiply(uint64_t a, uint64_t b)
{
    return b != 0 && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}

uint64_t fmq_settings_samples_max(const llm_train_options_t *options, uint64_t shard)
{
    if (options->by_epoch)
        return multiply(options->steps, shard);
    uint64_t batches = multiply(options->steps, options->grad_accum);
    uint64_t drawn = multiply(batches, options->batch_size);
    if (shard == 0)
        return drawn;
    uint64_t passes = drawn / shard + (drawn % shard != 0);
    return multiply(passes ? passes : 1, shard);
}

llm_recompute_t fmq_settings_recompute(const fmq_config_t *config)
{
    const char *text = fmq_config_text(config, "fedmq.recompute");
    llm_recompute_t recompute = LLM_RECOMPUTE_AUTO;
    if (fmq_config_bool(config, "fedmq.gradient_checkpointing"))
        return LLM_RECOMPUTE_LAYERS;
    while (recompute < LLM_RECOMPUTE_LAYERS && strcmp(text, llm_recompute_name(recompute)) != 0)
        recompute++;
    return recompute;
}

int fmq_settings_train(const fmq_config_t *config, llm_train_options_t *out, fmq_error_t *err)
{
    llm_train_options_t options = {
        .by_epoch = strcmp(fmq_config_text(config, "train.batch_or_epoch"), "epoch") == 0,
        .shuffle = fmq_config_bool(config, "dataloader.shuffle"),
        .drop_last = fmq_config_bool(config, "dataloader.drop_last"),
        .grad_clip = fmq_config_real(config, "grad.grad_clip"),
        .grad_accum = accumulation(config),
        .label_smoothing = fmq_config_real(config, "fedmq.label_smoothing"),
        .retry_on_nan = fmq_config_bool(config, "llm.retry_on_nan_loss"),
        .retries_max = FMQ_SETTINGS_NAN_RETRIES_MAX,
        .seed = (uint64_t)fmq_config_int(config, "seed"),
    };
    fmq_deepspeed_t deepspeed;
    if (check_counts(config, err) < 0 || check_checkpointing(config, err) < 0 ||
        fmq_settings_optimizer(config, "train.optimizer", &options.optimizer, err) < 0 ||
        fmq_settings_schedule(config, "train.scheduler", &options.schedule, err) < 0)
        return -1;
    options.steps = (uint64_t)fmq_config_int(config, "train.local_update_steps");
    options.batch_size = (uint32_t)fmq_config_int(config, "dataloader.batch_size");
    if (fmq_config_bool(config, "fedprox.use"))
        options.proximal_mu = fmq_config_real(config, "fedprox.mu");
    if (fmq_settings_deepspeed(config, &deepspeed, err) < 0 ||
        fmq_deepspeed_apply(&deepspeed, fmq_config_size(config, "train.data_para_dids"), &options,
                            err) < 0)
        return -1;
    *out = options;
    return 0;
}

bool fmq_settings_measures(const fmq_config_t *config, const char *part)
{
    for (size_t i = 0; i < fmq_config_size(config, "eval.split"); i++) {
        char key[48];
        const char *name = NULL;
        (void)snprintf(key, sizeof key, "eval.split.%zu", i);
        if (fmq_config_get_text(config, key, &name, NULL) == 0 && strcmp(name, part) == 0)
            return true;
    }
    return false;
}
