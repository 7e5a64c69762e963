/*
 * lora.c - LoRA as PEFT has it: which modules train, and what that is called.
 * Its adapter_config.json is lora_config.c's affair.
 */
#include "llm/adapter/lora.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "llm/adapter/targets.h"

/* All that decides what a module gets. */
typedef struct {
    llm_adapter_t *adapter;
    llm_targets_t targets;
    llm_exceptional_t ranks, alphas;
} making_t;

static int making_init(making_t *self, llm_adapter_t *adapter, fmq_error_t *err)
{
    const llm_adapter_spec_t *spec = &adapter->spec;
    memset(self, 0, sizeof *self);
    self->adapter = adapter;
    if (llm_targets_init(&self->targets, adapter, adapter->shape.arch->lora_targets, err) < 0 ||
        llm_exceptional_init(&self->ranks, "rank_pattern", &spec->ranks, err) < 0)
        return -1;
    return llm_exceptional_init(&self->alphas, "alpha_pattern", &spec->alphas, err);
}

static void making_release(making_t *self)
{
    llm_targets_release(&self->targets);
    llm_exceptional_release(&self->ranks);
    llm_exceptional_release(&self->alphas);
}

static int add_low_rank(making_t *self, const llm_parameter_t *place, fmq_error_t *err)
{
    const llm_adapter_spec_t *spec = &self->adapter->spec;
    char path[FMQ_SCHEMA_NAME_MAX];
    llm_parameter_path(&self->adapter->shape, place, path);
    uint32_t rank = (uint32_t)llm_exceptional_value(&self->ranks, path, (float)spec->rank);
    float alpha = llm_exceptional_value(&self->alphas, path, spec->alpha);
    bool lookup = place->role == LLM_ROLE_TOKENS;
    llm_piece_t piece = {
        .ops = lookup ? &llm_piece_lookup : &llm_piece_low_rank,
        .place = *place,
        .rank = rank,
        .scaling = spec->rslora ? (float)((double)alpha / sqrt((double)rank)) : alpha / (float)rank,
        .dropout = lookup ? 0.0f : spec->dropout,
        .start = spec->init,
    };
    if (llm_adapter_add(self->adapter, &piece, err) < 0)
        return -1;
    if (!spec->dora)
        return 0;
    if (place->role != LLM_ROLE_MODULE)
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                             "'use_dora' is not built for '%s', only for modules of layers", path);
    piece.ops = &llm_piece_magnitude;
    piece.rank = 0;
    return llm_adapter_add(self->adapter, &piece, err);
}

static bool is_weight_of_module(const llm_parameter_t *parameter)
{
    return !parameter->bias && parameter->rank == 2;
}

static int add_targets(making_t *self, const llm_parameters_t *list, fmq_error_t *err)
{
    for (size_t i = 0; i < list->size; i++) {
        const llm_parameter_t *place = &list->items[i];
        if (!is_weight_of_module(place) || !llm_targets_has(&self->targets, place))
            continue;
        if (place->role == LLM_ROLE_POSITIONS)
            return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                                 "'%s' is among 'target_modules': LoRA on learned positions is not "
                                 "built; name it in 'modules_to_save'",
                                 self->adapter->shape.arch->position_embedding);
        if (add_low_rank(self, place, err) < 0)
            return -1;
    }
    return llm_targets_check(&self->targets, err);
}

/* The model's own biases: of all modules and norms, or of those adapted. */
static int add_biases(llm_adapter_t *self, const llm_parameters_t *list, fmq_error_t *err)
{
    size_t targets = self->size;
    for (size_t i = 0; i < list->size && self->spec.bias != LLM_BIAS_NONE; i++) {
        const llm_parameter_t *bias = &list->items[i];
        if (!bias->bias || llm_targets_is_saved(&self->spec, &self->shape, bias))
            continue;
        bool adapted = false;
        for (size_t p = 0; p < targets && bias->role == LLM_ROLE_MODULE && !adapted; p++)
            adapted = self->pieces[p].place.layer == bias->layer &&
                      self->pieces[p].place.module == bias->module &&
                      self->pieces[p].place.role == bias->role;
        llm_piece_t piece = {.ops = &llm_piece_dense,
                             .place = *bias,
                             .called = adapted ? LLM_DENSE_BASE_LAYER : LLM_DENSE_PEFT};
        if ((adapted || self->spec.bias == LLM_BIAS_ALL) && llm_adapter_add(self, &piece, err) < 0)
            return -1;
    }
    return 0;
}

static int lay_out(llm_adapter_t *self, fmq_error_t *err)
{
    making_t making;
    llm_parameters_t list;
    if (llm_targets_list(&list, &self->shape, err) < 0)
        return -1;
    int rc = making_init(&making, self, err);
    rc = rc == 0 ? add_targets(&making, &list, err) : rc;
    rc = rc == 0 ? add_biases(self, &list, err) : rc;
    rc = rc == 0 ? llm_targets_add_saved(self, err) : rc;
    making_release(&making);
    llm_parameters_release(&list);
    return rc;
}

static int check_exceptions(const llm_exceptions_t *values, const char *key, bool rank,
                            fmq_error_t *err)
{
    for (uint32_t i = 0; i < values->size && i < LLM_NAMES_MAX; i++) {
        float value = values->at[i].value;
        if (!isfinite(value) || (rank && !(value >= 1 && value <= LLM_LORA_RANK_MAX)))
            return fmq_error_set(err, FMQ_ERR_CONFIG, "'%s' of '%s' is %g", key,
                                 values->at[i].expression, (double)value);
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
    if (check_exceptions(&spec->ranks, "rank_pattern", true, err) < 0 ||
        check_exceptions(&spec->alphas, "alpha_pattern", false, err) < 0)
        return -1;
    return llm_check_targets(spec, err);
}

static void say_exceptions(llm_line_t *line, const char *key, const llm_exceptions_t *values)
{
    for (uint32_t i = 0; i < values->size; i++)
        llm_line_say(line, "%s%s:%.9g", i ? "," : key, values->at[i].expression,
                     (double)values->at[i].value);
}

static void say(const llm_adapter_t *self, llm_line_t *line)
{
    const llm_adapter_spec_t *spec = &self->spec;
    llm_line_say(line, "adapter=lora r=%u lora_alpha=%.9g target_modules=", spec->rank,
                 (double)spec->alpha);
    llm_line_modules(line, self);
    llm_line_say(line, " layers_to_transform=");
    llm_line_layers(line, self);
    say_exceptions(line, " rank_pattern=", &spec->ranks);
    say_exceptions(line, " alpha_pattern=", &spec->alphas);
    if (spec->rslora)
        llm_line_say(line, " use_rslora=True");
    if (spec->dora)
        llm_line_say(line, " use_dora=True");
    if (spec->bias != LLM_BIAS_NONE)
        llm_line_say(line, " bias=%s", llm_bias_name(spec->bias));
    llm_line_names(line, " modules_to_save=", &spec->saved);
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
