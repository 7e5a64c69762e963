/*
 * ia3.c - (IA)^3 (Liu et al. 2022) as PEFT has it: factors on the outputs of
 * some modules, and on the inputs of others, which it calls feedforward.
 */
#include "llm/adapter/ia3.h"

#include <stdio.h>
#include <string.h>

#include "llm/adapter/targets.h"

/* PEFT's defaults, and which of them are feedforward. */
static const struct {
    const char *type;
    const char *targets[4], *feedforward[2];
} defaults[] = {
    {"gpt2", {"c_attn", "mlp.c_proj"}, {"mlp.c_proj"}},
    {"bloom", {"query_key_value", "mlp.dense_4h_to_h"}, {"mlp.dense_4h_to_h"}},
    {"opt", {"q_proj", "k_proj", "fc2"}, {"fc2"}},
    {"gptj", {"q_proj", "v_proj", "fc_out"}, {"fc_out"}},
    {"gpt_neox", {"query_key_value", "dense_4h_to_h"}, {"dense_4h_to_h"}},
    {"gpt_neo", {"q_proj", "v_proj", "c_proj"}, {"c_proj"}},
    {"llama", {"k_proj", "v_proj", "down_proj"}, {"down_proj"}},
    {"mistral", {"k_proj", "v_proj", "down_proj"}, {"down_proj"}},
    {"mixtral", {"k_proj", "v_proj", "w2"}, {"w2"}},
    {"falcon", {"query_key_value", "dense_4h_to_h"}, {"dense_4h_to_h"}},
    {"phi", {"q_proj", "v_proj", "fc2"}, {"fc2"}},
    {"gemma", {"q_proj", "v_proj", "down_proj"}, {"down_proj"}},
    {"gemma2", {"q_proj", "v_proj", "down_proj"}, {"down_proj"}},
    {"gemma3_text", {"q_proj", "v_proj", "down_proj"}, {"down_proj"}},
    {"qwen2", {"q_proj", "v_proj", "down_proj"}, {"down_proj"}},
    {"qwen3", {"q_proj", "v_proj", "down_proj"}, {"down_proj"}},
};

static size_t defaults_of(const char *type)
{
    size_t i = 0;
    while (i < sizeof defaults / sizeof *defaults && strcmp(defaults[i].type, type) != 0)
        i++;
    return i;
}

static void name_feedforward(llm_adapter_spec_t *spec, size_t known)
{
    for (uint32_t i = 0; defaults[known].feedforward[i]; i++)
        (void)snprintf(spec->feedforward.name[spec->feedforward.size++], LLM_NAME_MAX, "%s",
                       defaults[known].feedforward[i]);
    spec->feedforward_given = true;
}

/* PEFT asks for the end of the path here, whatever stands before it. */
static bool is_feedforward(const llm_names_t *names, const llm_matcher_t *matcher, const char *path)
{
    if (names->expression[0])
        return llm_matcher_has(matcher, path);
    for (uint32_t i = 0; i < names->size; i++) {
        size_t size = strlen(names->name[i]), whole = strlen(path);
        if (size <= whole && strcmp(path + whole - size, names->name[i]) == 0)
            return true;
    }
    return false;
}

static int add_targets(llm_adapter_t *self, llm_targets_t *targets, const llm_matcher_t *inputs,
                       fmq_error_t *err)
{
    llm_parameters_t list;
    if (llm_targets_list(&list, &self->shape, err) < 0)
        return -1;
    int rc = 0;
    for (size_t i = 0; i < list.size && rc == 0; i++) {
        llm_piece_t piece = {.ops = &llm_piece_scale, .place = list.items[i]};
        char path[FMQ_SCHEMA_NAME_MAX];
        if (piece.place.bias || piece.place.rank != 2 || !llm_targets_has(targets, &piece.place))
            continue;
        llm_parameter_path(&self->shape, &piece.place, path);
        piece.of_input = is_feedforward(&self->spec.feedforward, inputs, path);
        rc = piece.place.role == LLM_ROLE_MODULE
                 ? llm_adapter_add(self, &piece, err)
                 : fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                                 "'%s' is among 'target_modules': IA3 is built for modules of "
                                 "layers",
                                 path);
    }
    llm_parameters_release(&list);
    return rc == 0 ? llm_targets_check(targets, err) : rc;
}

/* Every feedforward module is a target, as PEFT demands of lists. */
static int check_feedforward(const llm_adapter_t *self, fmq_error_t *err)
{
    const llm_adapter_spec_t *spec = &self->spec;
    for (uint32_t i = 0; i < spec->feedforward.size && spec->targets; i++) {
        bool found = false;
        for (uint32_t t = 0; t < spec->targets; t++)
            found = found || strcmp(spec->feedforward.name[i], spec->target[t]) == 0;
        if (!found)
            return fmq_error_set(err, FMQ_ERR_CONFIG,
                                 "'feedforward_modules': '%s' is not among 'target_modules'",
                                 spec->feedforward.name[i]);
    }
    return 0;
}

static int lay_out(llm_adapter_t *self, fmq_error_t *err)
{
    const char *type = self->shape.arch->model_type;
    size_t known = defaults_of(type);
    bool has = known < sizeof defaults / sizeof *defaults;
    llm_targets_t targets;
    llm_matcher_t inputs = {0};
    if (!self->spec.feedforward_given && !has)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "IA3 needs 'feedforward_modules': there are no defaults for %s", type);
    if (!self->spec.feedforward_given)
        name_feedforward(&self->spec, known);
    int rc = llm_targets_init(&targets, self, has ? defaults[known].targets : NULL, err);
    rc = rc == 0 ? check_feedforward(self, err) : rc;
    rc = rc == 0 ? llm_matcher_init(&inputs, "feedforward_modules", &self->spec.feedforward, err)
                 : rc;
    rc = rc == 0 ? add_targets(self, &targets, &inputs, err) : rc;
    rc = rc == 0 ? llm_targets_add_saved(self, err) : rc;
    llm_matcher_release(&inputs);
    llm_targets_release(&targets);
    return rc;
}

static void say(const llm_adapter_t *self, llm_line_t *line)
{
    llm_line_say(line, "adapter=ia3 target_modules=");
    llm_line_modules(line, self);
    llm_line_names(line, " feedforward_modules=", &self->spec.feedforward);
    llm_line_names(line, " modules_to_save=", &self->spec.saved);
}

const llm_method_t llm_method_ia3 = {
    .kind = LLM_ADAPTER_IA3,
    .peft_type = "IA3",
    .check = llm_check_targets,
    .lay_out = lay_out,
    .say = say,
    .read = llm_ia3_read,
    .write = llm_ia3_write,
};
