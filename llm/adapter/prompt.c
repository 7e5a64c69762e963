/*
 * prompt.c - the methods with virtual tokens: prompt tuning, p-tuning, prefix
 * tuning.  Each has one piece, all tensors of what makes its rows (encoder.h).
 *
 * The rows are made by llm/pass/virtual.h, which has memory of the host's and
 * knows a pass's dropout; the decoder's table has nothing of them.
 */
#include <stdlib.h>

#include "llm/adapter/method.h"
#include "llm/adapter/virtual.h"

static int lay_out_piece(llm_piece_t *self, llm_adapter_t *adapter, fmq_error_t *err)
{
    (void)self;
    adapter->virtual_tokens = calloc(1, sizeof *adapter->virtual_tokens);
    if (!adapter->virtual_tokens)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for virtual tokens");
    return llm_encoder_lay_out(adapter->virtual_tokens, &adapter->spec, &adapter->shape,
                               adapter->schema, err);
}

static int init_piece(const llm_piece_t *self, const llm_adapter_t *adapter,
                      const llm_piece_start_t *start, float *vector, fmq_error_t *err)
{
    (void)self;
    return llm_encoder_draw(adapter->virtual_tokens, adapter->schema, start->model, start->seed,
                            vector, err);
}

static void bind_piece(const llm_piece_t *self, llm_decoder_t *decoder, const llm_vector_t *vector,
                       float *own)
{
    (void)self;
    (void)decoder;
    (void)vector;
    (void)own;
}

static const llm_piece_ops_t virtual_tokens = {
    .name = "virtual_tokens", .lay_out = lay_out_piece, .init = init_piece, .bind = bind_piece};

/* Backward reaches what enters the first layer, or for keys and values what
 * enters its attention. */
static int lay_out(llm_adapter_t *self, fmq_error_t *err)
{
    llm_piece_t piece = {.ops = &virtual_tokens, .place = {.role = LLM_ROLE_TOKENS}};
    if (self->spec.kind == LLM_ADAPTER_PREFIX)
        piece.place = (llm_parameter_t){.role = LLM_ROLE_MODULE, .module = LLM_QKV};
    return llm_adapter_add(self, &piece, err);
}

/* They differ in what these functions find in the spec. */
#define VIRTUAL_TOKENS                                                                             \
    .check = llm_virtual_check, .lay_out = lay_out, .say = llm_virtual_say,                        \
    .read = llm_virtual_read, .write = llm_virtual_write, .load = llm_virtual_load,                \
    .save = llm_virtual_save

const llm_method_t llm_method_prompt = {
    .kind = LLM_ADAPTER_PROMPT, .peft_type = "PROMPT_TUNING", VIRTUAL_TOKENS};

const llm_method_t llm_method_p_tuning = {
    .kind = LLM_ADAPTER_P_TUNING, .peft_type = "P_TUNING", VIRTUAL_TOKENS};

const llm_method_t llm_method_prefix = {
    .kind = LLM_ADAPTER_PREFIX, .peft_type = "PREFIX_TUNING", VIRTUAL_TOKENS};
