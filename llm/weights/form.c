/*
 * form.c - the names of what frozen weights are kept as.
 */
#include <string.h>

#include "fedmq/llm/model.h"

static const struct {
    const char *name;
    llm_form_choice_t choice;
} names[] = {{"auto", {false, LLM_FORM_F32}}, {"f32", {true, LLM_FORM_F32}},
             {"bf16", {true, LLM_FORM_BF16}}, {"int8", {true, LLM_FORM_INT8}},
             {"int4", {true, LLM_FORM_INT4}}, {"nf4", {true, LLM_FORM_NF4}}};

int llm_form_choice_parse(const char *name, llm_form_choice_t *out, fmq_error_t *err)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i].name) == 0) {
            *out = names[i].choice;
            return 0;
        }
    }
    return fmq_error_set(err, FMQ_ERR_CONFIG,
                         "weights cannot be kept as '%.40s': use auto, f32, bf16, int8, int4 or "
                         "nf4",
                         name);
}

const char *llm_form_choice_name(const llm_form_choice_t *self)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (self->given == names[i].choice.given &&
            (!self->given || self->form == names[i].choice.form))
            return names[i].name;
    }
    return "unknown";
}
