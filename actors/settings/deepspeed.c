/*
 * deepspeed.c - reads a DeepSpeed configuration (its documentation, "DeepSpeed
 * Configuration JSON"), entry by entry.
 */
#include "actors/settings/deepspeed.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fedmq/llm/team.h"

typedef struct {
    const char *path;
    fmq_deepspeed_t *out;
    fmq_error_t *err;
} reader_t;

static int wrong(const reader_t *self, const char *entry, const char *what)
{
    return fmq_error_set(self->err, FMQ_ERR_CONFIG, "llm.deepspeed.ds_config: '%.160s': %s %s",
                         self->path, entry, what);
}

static void tell(const reader_t *self, const char *group, const char *entry)
{
    char *told = self->out->told;
    size_t used = strlen(told);
    (void)snprintf(told + used, FMQ_DEEPSPEED_TOLD_MAX - used, "%s%s%s%s", used ? ", " : "", group,
                   *group ? "." : "", entry);
}

/* What is not among the names is told. */
static void tell_others(const reader_t *self, const char *group, json_t *object,
                        const char *const *names)
{
    const char *entry;
    json_t *value;
    json_object_foreach(object, entry, value)
    {
        bool known = false;
        for (size_t i = 0; names[i] && !known; i++)
            known = strcmp(names[i], entry) == 0;
        if (!known)
            tell(self, group, entry);
    }
}

static bool is_auto(const json_t *value)
{
    return json_is_string(value) && strcmp(json_string_value(value), "auto") == 0;
}

/* 1: there and a number, 0: left out or "auto", -1: something else. */
static int number(const reader_t *self, json_t *object, const char *entry, double *out)
{
    const json_t *value = json_object_get(object, entry);
    if (!value || is_auto(value))
        return 0;
    if (!json_is_number(value))
        return wrong(self, entry, "is not a number");
    *out = json_number_value(value);
    return 1;
}

static int whole(const reader_t *self, json_t *object, const char *entry, uint64_t *out)
{
    double value = 0;
    int found = number(self, object, entry, &value);
    if (found <= 0)
        return found;
    if (!(value >= 1 && value <= 1e9) || value != (double)(uint64_t)value)
        return wrong(self, entry, "is not a whole number of at least 1");
    *out = (uint64_t)value;
    return 1;
}

static int group_of(const reader_t *self, json_t *object, const char *entry, json_t **out)
{
    *out = json_object_get(object, entry);
    if (*out && !json_is_object(*out))
        return wrong(self, entry, "is not an object");
    return 0;
}

static int read_betas(const reader_t *self, json_t *params)
{
    llm_optimizer_t *optimizer = &self->out->optimizer;
    const json_t *betas = json_object_get(params, "betas");
    if (!betas || is_auto(betas))
        return 0;
    if (json_array_size(betas) != 2 || !json_is_number(json_array_get(betas, 0)) ||
        !json_is_number(json_array_get(betas, 1)))
        return wrong(self, "optimizer.params.betas", "is not two numbers");
    optimizer->beta1 = json_number_value(json_array_get(betas, 0));
    optimizer->beta2 = json_number_value(json_array_get(betas, 1));
    return 0;
}

/* DeepSpeed's Adam decays as AdamW does unless adam_w_mode is false. */
static int read_params(const reader_t *self, json_t *params, bool adam)
{
    static const char *const of_adam[] = {"lr",          "betas",      "eps", "weight_decay",
                                          "adam_w_mode", "torch_adam", NULL};
    static const char *const of_sgd[] = {"lr",        "momentum", "weight_decay",
                                         "dampening", "nesterov", NULL};
    llm_optimizer_t *optimizer = &self->out->optimizer;
    const json_t *mode = json_object_get(params, "adam_w_mode");
    tell_others(self, "optimizer.params", params, adam ? of_adam : of_sgd);
    if (adam && !json_is_false(mode))
        optimizer->kind = LLM_ADAMW;
    optimizer->nesterov = json_is_true(json_object_get(params, "nesterov"));
    int lr = number(self, params, "lr", &optimizer->lr);
    if (lr < 0 || number(self, params, "eps", &optimizer->eps) < 0 ||
        number(self, params, "weight_decay", &optimizer->weight_decay) < 0 ||
        number(self, params, "momentum", &optimizer->momentum) < 0 ||
        number(self, params, "dampening", &optimizer->dampening) < 0)
        return -1;
    return read_betas(self, params);
}

static int read_optimizer(const reader_t *self, json_t *root)
{
    static const char *const known[] = {"type", "params", NULL};
    json_t *optimizer, *params;
    if (group_of(self, root, "optimizer", &optimizer) < 0 || !optimizer)
        return optimizer ? -1 : 0;
    const char *type = json_string_value(json_object_get(optimizer, "type"));
    bool adam = type && (strcmp(type, "Adam") == 0 || strcmp(type, "AdamW") == 0);
    if (!adam && !(type && strcmp(type, "SGD") == 0))
        return wrong(self, "optimizer.type", "is none of Adam, AdamW and SGD");
    self->out->has_optimizer = true;
    self->out->optimizer = (llm_optimizer_t){.kind = !adam                       ? LLM_SGD
                                                     : strcmp(type, "Adam") == 0 ? LLM_ADAM
                                                                                 : LLM_ADAMW,
                                             .lr = 1e-3,
                                             .beta1 = 0.9,
                                             .beta2 = 0.999,
                                             .eps = 1e-8};
    tell_others(self, "optimizer", optimizer, known);
    if (group_of(self, optimizer, "params", &params) < 0)
        return -1;
    return params ? read_params(self, params, adam) : read_params(self, optimizer, adam);
}

static int read_warmup(const reader_t *self, json_t *params, bool decays)
{
    static const char *const known[] = {"warmup_min_lr", "warmup_max_lr",   "warmup_num_steps",
                                        "warmup_type",   "total_num_steps", NULL};
    fmq_deepspeed_t *out = self->out;
    const json_t *type = json_object_get(params, "warmup_type");
    const char *how = type && !is_auto(type) ? json_string_value(type) : "log";
    out->schedule = (llm_schedule_t){.kind = LLM_SCHEDULE_WARMUP, .warmup = 1000};
    out->lr = 1e-3;
    out->has_lr = true;
    tell_others(self, "scheduler.params", params, known);
    if (!how || (strcmp(how, "log") != 0 && strcmp(how, "linear") != 0))
        return wrong(self, "scheduler.params.warmup_type", "is neither log nor linear");
    out->schedule.logarithmic = strcmp(how, "log") == 0;
    int total = whole(self, params, "total_num_steps", &out->schedule.total);
    if (number(self, params, "warmup_min_lr", &out->schedule.eta_min) < 0 ||
        number(self, params, "warmup_max_lr", &out->lr) < 0 ||
        whole(self, params, "warmup_num_steps", &out->schedule.warmup) < 0 || total < 0)
        return -1;
    if (decays && total == 0)
        return wrong(self, "scheduler.params.total_num_steps", "is missing");
    if (!decays)
        out->schedule.total = 0;
    if (out->schedule.warmup < 2) /* as DeepSpeed does, for the logarithm */
        out->schedule.warmup = 2;
    out->has_schedule = true;
    return 0;
}

static int read_scheduler(const reader_t *self, json_t *root)
{
    static const char *const known[] = {"type", "params", NULL};
    json_t *scheduler, *params;
    if (group_of(self, root, "scheduler", &scheduler) < 0 || !scheduler)
        return scheduler ? -1 : 0;
    const char *type = json_string_value(json_object_get(scheduler, "type"));
    bool decays = type && strcmp(type, "WarmupDecayLR") == 0;
    if (!decays && !(type && strcmp(type, "WarmupLR") == 0))
        return wrong(self, "scheduler.type", "is neither WarmupLR nor WarmupDecayLR");
    tell_others(self, "scheduler", scheduler, known);
    if (group_of(self, scheduler, "params", &params) < 0)
        return -1;
    if (!params)
        params = scheduler;
    return read_warmup(self, params, decays);
}

/* fp16 is computed as bf16, which needs no scaling of losses. */
static int read_half(const reader_t *self, json_t *root, const char *name)
{
    static const char *const known[] = {"enabled", NULL};
    json_t *half;
    if (group_of(self, root, name, &half) < 0 || !half)
        return half ? -1 : 0;
    const json_t *enabled = json_object_get(half, "enabled");
    if (enabled && !json_is_boolean(enabled) && !is_auto(enabled))
        return wrong(self, name, "has an 'enabled' that is neither true nor false");
    tell_others(self, name, half, known);
    if (json_is_boolean(enabled)) {
        self->out->says_half = true;
        self->out->half = self->out->half || json_is_true(enabled);
    }
    return 0;
}

static int read_zero(const reader_t *self, json_t *root)
{
    static const char *const known[] = {"stage", NULL};
    json_t *zero;
    double stage = 0;
    self->out->sharded = false;
    if (group_of(self, root, "zero_optimization", &zero) < 0 || !zero)
        return zero ? -1 : 0;
    if (number(self, zero, "stage", &stage) < 0)
        return -1;
    if (stage != 0 && stage != 1 && stage != 2 && stage != 3)
        return wrong(self, "zero_optimization.stage", "is none of 0, 1, 2 and 3");
    self->out->sharded = stage > 0;
    tell_others(self, "zero_optimization", zero, known);
    if (stage == 3)
        tell(self, "zero_optimization", "stage 3 (parameters stay whole on every device)");
    return 0;
}

static int read_all(const reader_t *self, json_t *root)
{
    static const char *const known[] = {"optimizer",
                                        "scheduler",
                                        "bf16",
                                        "fp16",
                                        "zero_optimization",
                                        "gradient_clipping",
                                        "train_batch_size",
                                        "train_micro_batch_size_per_gpu",
                                        "gradient_accumulation_steps",
                                        NULL};
    fmq_deepspeed_t *out = self->out;
    if (!json_is_object(root))
        return wrong(self, "the file", "is not an object");
    int clip = number(self, root, "gradient_clipping", &out->clip);
    out->has_clip = clip > 0;
    tell_others(self, "", root, known);
    if (clip < 0 || whole(self, root, "train_batch_size", &out->batch) < 0 ||
        whole(self, root, "train_micro_batch_size_per_gpu", &out->micro) < 0 ||
        whole(self, root, "gradient_accumulation_steps", &out->accumulated) < 0 ||
        read_optimizer(self, root) < 0 || read_scheduler(self, root) < 0 ||
        read_half(self, root, "bf16") < 0 || read_half(self, root, "fp16") < 0)
        return -1;
    return read_zero(self, root);
}

static int read_file(const reader_t *self)
{
    json_error_t why;
    struct stat status;
    if (stat(self->path, &status) < 0)
        return fmq_error_set(self->err, errno == ENOENT ? FMQ_ERR_NOTFOUND : FMQ_ERR_IO,
                             "llm.deepspeed.ds_config: cannot read '%.200s': %s", self->path,
                             strerror(errno));
    if (!S_ISREG(status.st_mode) || status.st_size > FMQ_DEEPSPEED_FILE_MAX)
        return wrong(self, "the file", "is no file of at most 1 MiB");
    json_t *root = json_load_file(self->path, JSON_REJECT_DUPLICATES, &why);
    if (!root)
        return fmq_error_set(self->err, FMQ_ERR_CONFIG,
                             "llm.deepspeed.ds_config: '%.160s' line %d: %.160s", self->path,
                             why.line, why.text);
    int rc = read_all(self, root);
    json_decref(root);
    return rc;
}

int fmq_settings_deepspeed(const fmq_config_t *config, fmq_deepspeed_t *out, fmq_error_t *err)
{
    fmq_deepspeed_t found = {.use = fmq_config_bool(config, "llm.deepspeed.use"), .sharded = true};
    const char *path = fmq_config_text(config, "llm.deepspeed.ds_config");
    const reader_t reader = {path, &found, err};
    if (found.use && *path && read_file(&reader) < 0)
        return -1;
    *out = found;
    return 0;
}

/* DeepSpeed's rule: a step's batch is a device's, times the batches that are
 * accumulated, times the devices; what is left out follows from the others. */
static int apply_batch(const fmq_deepspeed_t *self, size_t devices, llm_train_options_t *options,
                       fmq_error_t *err)
{
    uint64_t accumulated = self->accumulated, micro = self->micro, world = devices;
    if (!self->batch && !micro && !accumulated)
        return 0;
    if (!accumulated)
        accumulated = self->batch && micro ? self->batch / (micro * world) : 1;
    if (!micro && self->batch)
        micro = self->batch / (accumulated * world);
    if (!micro) {
        options->grad_accum = (uint32_t)accumulated;
        return 0;
    }
    if (accumulated == 0 || (self->batch && self->batch != micro * accumulated * world) ||
        micro * world > UINT32_MAX)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "llm.deepspeed.ds_config: train_batch_size %llu is not "
                             "train_micro_batch_size_per_gpu %llu times "
                             "gradient_accumulation_steps %llu times %zu device%s",
                             (unsigned long long)self->batch, (unsigned long long)micro,
                             (unsigned long long)accumulated, devices, devices == 1 ? "" : "s");
    options->batch_size = (uint32_t)(micro * world);
    options->grad_accum = (uint32_t)accumulated;
    return 0;
}

int fmq_deepspeed_apply(const fmq_deepspeed_t *self, size_t devices, llm_train_options_t *options,
                        fmq_error_t *err)
{
    if (!self->use)
        return 0;
    if (self->has_optimizer)
        options->optimizer = self->optimizer;
    if (self->has_schedule)
        options->schedule = self->schedule;
    if (self->has_lr)
        options->optimizer.lr = self->lr;
    if (self->has_clip)
        options->grad_clip = self->clip;
    return apply_batch(self, devices ? devices : 1, options, err);
}
