/*
 * lora.c - LoRA as PEFT has it: which modules train, and what that is called.
 * Its adapter_config.json is lora_config.c's affair.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm/adapter/lora.h"

/* PEFT's rule: the target is the module's path, or the tail of it behind a dot. */
static bool is_targeted(const llm_adapter_spec_t *spec, uint32_t target, const char *path)
{
    const char *name = spec->target[target];
    size_t size = strlen(name), whole = strlen(path);
    if (size == whole)
        return strcmp(name, path) == 0;
    return size < whole && path[whole - size - 1] == '.' && strcmp(path + whole - size, name) == 0;
}

/* What a target names, in the whole model and in the layers that train. */
typedef struct {
    bool anywhere, here;
} found_t;

/* Does any target name this module?  Notes what each target found. */
static bool match(const llm_adapter_spec_t *spec, const char *path, bool here, found_t *found)
{
    bool any = false;
    for (uint32_t t = 0; t < spec->targets; t++) {
        if (!is_targeted(spec, t, path))
            continue;
        found[t].anywhere = true;
        found[t].here = found[t].here || here;
        any = here;
    }
    return any;
}

static int add_low_rank(llm_adapter_t *self, uint32_t layer, llm_module_t module, fmq_error_t *err)
{
    const llm_adapter_spec_t *spec = &self->spec;
    llm_piece_t piece = {
        .ops = &llm_piece_low_rank,
        .place = {.role = LLM_ROLE_MODULE, .layer = layer, .module = module},
        .rank = spec->rank,
        .scaling = spec->alpha / (float)spec->rank,
        .dropout = spec->dropout,
    };
    return llm_adapter_add(self, &piece, err);
}

/* FMQ_ERR_CONFIG with the names that a target may have. */
static int refuse_target(const llm_adapter_t *self, const char *target, bool anywhere,
                         fmq_error_t *err)
{
    if (anywhere)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "the adapter's target '%s' names no module of the layers to transform",
                             target);
    char known[512] = "";
    for (int m = 0; m < LLM_MODULES; m++) {
        const char *path = self->shape.arch->modules[m];
        if (!path)
            continue;
        const char *dot = strrchr(path, '.');
        size_t used = strlen(known);
        (void)snprintf(known + used, sizeof known - used, "%s%s%s%s%s", used ? ", " : "",
                       dot ? dot + 1 : path, dot ? " (" : "", dot ? path : "", dot ? ")" : "");
    }
    return fmq_error_set(err, FMQ_ERR_CONFIG,
                         "the adapter's target '%s' names no linear module of %s; it has %s",
                         target, self->shape.arch->model_type, known);
}

static int lay_out_modules(llm_adapter_t *self, fmq_error_t *err)
{
    found_t found[LLM_TARGETS_MAX] = {0};
    for (uint32_t layer = 0; layer < self->shape.layers; layer++) {
        bool here = llm_layer_set_has(&self->spec.layers, layer);
        for (int m = 0; m < LLM_MODULES; m++) {
            if (!self->shape.arch->modules[m])
                continue;
            char path[FMQ_SCHEMA_NAME_MAX];
            llm_parameter_module_path(&self->shape, layer, (llm_module_t)m, path);
            if (match(&self->spec, path, here, found) &&
                add_low_rank(self, layer, (llm_module_t)m, err) < 0)
                return -1;
        }
    }
    for (uint32_t t = 0; t < self->spec.targets; t++) {
        if (!found[t].here)
            return refuse_target(self, self->spec.target[t], found[t].anywhere, err);
    }
    return 0;
}

static int check(const llm_adapter_spec_t *spec, fmq_error_t *err)
{
    if (spec->rank < 1 || spec->rank > LLM_LORA_RANK_MAX)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "LoRA's rank r is %u; it must lie between 1 and %d", spec->rank,
                             LLM_LORA_RANK_MAX);
    if (!(spec->dropout >= 0.0f && spec->dropout < 1.0f))
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "lora_dropout is %g; it must be at least 0 and below 1",
                             (double)spec->dropout);
    if (!isfinite(spec->alpha))
        return fmq_error_set(err, FMQ_ERR_CONFIG, "lora_alpha is not a finite number");
    if (spec->targets > LLM_TARGETS_MAX)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "%u target modules are named; %d are the limit",
                             spec->targets, LLM_TARGETS_MAX);
    for (uint32_t t = 0; t < spec->targets; t++) {
        if (!memchr(spec->target[t], '\0', sizeof spec->target[t]) || !spec->target[t][0])
            return fmq_error_set(err, FMQ_ERR_CONFIG,
                                 "target module number %u is empty or longer than %zu bytes", t,
                                 sizeof spec->target[t] - 1);
    }
    return 0;
}

static void name_default_targets(llm_adapter_t *self)
{
    const llm_arch_t *arch = self->shape.arch;
    for (uint32_t t = 0; t < LLM_MODULES && arch->lora_targets[t]; t++) {
        (void)snprintf(self->spec.target[t], sizeof self->spec.target[t], "%s",
                       arch->lora_targets[t]);
        self->spec.targets = t + 1;
    }
}

static int lay_out(llm_adapter_t *self, fmq_error_t *err)
{
    if (!self->spec.targets)
        name_default_targets(self);
    return lay_out_modules(self, err);
}

static void say(const llm_adapter_t *self, llm_line_t *line)
{
    llm_line_say(line, "adapter=lora r=%u lora_alpha=%.9g target_modules=", self->spec.rank,
                 (double)self->spec.alpha);
    llm_line_modules(line, self);
    llm_line_say(line, " layers_to_transform=");
    llm_line_layers(line, self);
}

const llm_method_t llm_method_lora = {
    .kind = LLM_ADAPTER_LORA,
    .peft_type = "LORA",
    .check = check,
    .lay_out = lay_out,
    .say = say,
    .read = llm_lora_read,
    .write = llm_lora_write,
};
