/*
 * small.c - see small.h.
 */
#include "tests/llm/train/small.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/llm/data/byte_tokenizer.h"

static void must(bool done, const fmq_error_t *err)
{
    if (!done)
        fail_msg("%s", err->text);
}

llm_shape_t small_llama(void)
{
    return (llm_shape_t){.arch = llm_arch_find("llama"),
                         .layers = 2,
                         .width = 24,
                         .heads = 4,
                         .kv_heads = 2,
                         .head_width = 6,
                         .ffn = 33, /* no multiple of four: words of dropout's blocks are cut */
                         .vocab = 258,
                         .context = SMALL_CONTEXT,
                         .norm_eps = 1e-5f,
                         .rope_theta = 10000,
                         .tied = true,
                         .bos = BYTE_BOS,
                         .eos = BYTE_EOS,
                         .rope_factor = 1};
}

llm_adapter_spec_t small_lora(const char *targets, float dropout)
{
    llm_adapter_spec_t spec = tiny_lora(targets, dropout);
    spec.rank = 4;
    spec.alpha = 8;
    return spec;
}

void small_open(small_t *self, const llm_shape_t *shape, const llm_adapter_spec_t *spec,
                uint64_t seed, llm_backend_t *be)
{
    fmq_error_t err = {0};
    assert_non_null(be);
    *self = (small_t){.model = llm_model_new_random(shape, seed, be, &err)};
    must(self->model != NULL, &err);
    self->adapter = llm_adapter_new(shape, spec, &err);
    must(self->adapter != NULL, &err);
    self->elements = (size_t)fmq_schema_elements(llm_adapter_schema(self->adapter));
    self->vector = malloc(self->elements * sizeof *self->vector);
    assert_non_null(self->vector);
    must(llm_adapter_init(self->adapter, self->model, 1, self->vector, &err) == 0, &err);
}

void small_close(small_t *self)
{
    free(self->vector);
    llm_adapter_destroy(&self->adapter);
    llm_model_destroy(&self->model);
}

void small_stir(small_t *self)
{
    for (size_t i = 0; i < self->elements; i++)
        self->vector[i] += 0.02f * (float)((i * 2654435761u >> 7) % 101) / 101.0f;
}

llm_dataset_t *small_ragged(size_t examples, unsigned flavour)
{
    fmq_error_t err = {0};
    llm_records_t *records = llm_records_new();
    for (size_t i = 0; i < examples; i++) {
        char answer[128];
        int size = (int)(1 + (i * 7 + flavour) % 60);
        (void)snprintf(answer, sizeof answer, "%.*s", size,
                       "the quick brown fox jumps over the lazy dog, again and again and again");
        llm_record_t record = {.instruction = i % 2 ? "say" : "say it", .output = answer};
        must(llm_records_add(records, &record, &err) == 0, &err);
    }
    llm_tokenizer_t tokenizer = {0};
    llm_dataset_t *dataset = llm_dataset_new(records, NULL, &tokenizer, SMALL_CONTEXT, &err);
    must(dataset != NULL, &err);
    assert_int_equal(llm_dataset_size(dataset), examples);
    llm_records_destroy(&records);
    return dataset;
}
