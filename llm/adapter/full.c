/*
 * full.c - the weights themselves, of the whole model or of some layers; and
 * nothing at all.
 */
#include "llm/adapter/method.h"

static bool covers(const llm_adapter_t *self, const llm_parameter_t *parameter)
{
    if (llm_parameter_in_layer(parameter))
        return llm_layer_set_has(&self->spec.layers, parameter->layer);
    return !self->spec.layers.some;
}

/* In the order of HF's state dict. */
static int lay_out(llm_adapter_t *self, fmq_error_t *err)
{
    llm_parameters_t parameters;
    if (llm_parameters_init(&parameters, &self->shape, err) < 0)
        return -1;
    int rc = 0;
    for (size_t i = 0; i < parameters.size && rc == 0; i++) {
        llm_piece_t piece = {.ops = &llm_piece_dense, .place = parameters.items[i]};
        if (covers(self, &piece.place))
            rc = llm_adapter_add(self, &piece, err);
    }
    llm_parameters_release(&parameters);
    return rc;
}

static void say_full(const llm_adapter_t *self, llm_line_t *line)
{
    llm_line_say(line, "adapter=full layers=");
    llm_line_layers(line, self);
}

static int lay_out_nothing(llm_adapter_t *self, fmq_error_t *err)
{
    (void)self;
    (void)err;
    return 0;
}

static void say_none(const llm_adapter_t *self, llm_line_t *line)
{
    (void)self;
    llm_line_say(line, "adapter=none layers=");
}

const llm_method_t llm_method_full = {
    .kind = LLM_ADAPTER_FULL, .lay_out = lay_out, .say = say_full};

const llm_method_t llm_method_none = {
    .kind = LLM_ADAPTER_NONE, .lay_out = lay_out_nothing, .say = say_none};
