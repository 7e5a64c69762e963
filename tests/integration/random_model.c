/*
 * random_model.c - writes a small model with random weights as a directory
 * that fedmq reads: extents that are no multiple of any register or panel,
 * key/value heads that query heads share where the family has them.
 *
 * Usage: random_model gpt2|llama DIRECTORY TOKENIZER_FROM
 */
#include <stdio.h>
#include <string.h>

#include "fedmq/llm/model.h"

#define VOCABULARY 643 /* a little more than the embedded model's tokenizer has */

static llm_shape_t shape_of(const llm_arch_t *arch)
{
    bool gpt2 = strcmp(arch->model_type, "gpt2") == 0;
    return (llm_shape_t){.arch = arch,
                         .layers = 2,
                         .width = 60,
                         .heads = 3,
                         .kv_heads = gpt2 ? 3 : 1,
                         .head_width = 20,
                         .ffn = 141,
                         .vocab = VOCABULARY,
                         .context = 256,
                         .norm_eps = 1e-5f,
                         .rope_theta = gpt2 ? 0.0f : 10000.0f,
                         .activation = gpt2 ? LLM_ACTIVATION_GELU_TANH : LLM_ACTIVATION_SILU,
                         .biases = gpt2 ? LLM_ALL_MODULES : 0,
                         .tied = gpt2,
                         .bos = -1,
                         .eos = 1,
                         .rope_factor = 1.0f};
}

int main(int argc, char **argv)
{
    const llm_arch_t *arch = argc == 4 ? llm_arch_find(argv[1]) : NULL;
    if (!arch) {
        (void)fprintf(stderr, "usage: random_model gpt2|llama DIRECTORY TOKENIZER_FROM\n");
        return 2;
    }
    fmq_error_t err;
    llm_shape_t shape = shape_of(arch);
    llm_model_t *model = llm_model_new_random(&shape, 11, NULL, &err);
    int failed = !model || llm_model_export(model, NULL, 0, argv[3], FMQ_F32, argv[2], &err) < 0;
    if (failed)
        (void)fprintf(stderr, "random_model: %s\n", err.text);
    llm_model_destroy(&model);
    return failed;
}
