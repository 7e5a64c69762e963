/*
 * test_recompute.c - workspaces that compute activations again in backward:
 * the bytes of those that keep them, in less memory.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/llm/pass/tiny.h"

static fmq_error_t err;

/* A workspace like tiny's own that wants to be no larger than bytes. */
static llm_workspace_t *like(const tiny_t *tiny, size_t bytes)
{
    llm_stack_t stack = {.model = tiny->model, .adapter = tiny->adapter, .fixed = tiny->fixed};
    llm_limits_t limits = {.tokens_max = TINY_TOKENS, .training = true, .bytes_wanted = bytes};
    llm_workspace_t *ws = llm_workspace_new_stack(&stack, &limits, tiny->be, &err);
    if (!ws)
        fail_msg("%s", err.text);
    assert_int_equal(llm_workspace_set_params(ws, tiny->vector, &err), 0);
    if (tiny->fixed)
        assert_int_equal(llm_workspace_set_fixed(ws, tiny->fixed_vector, &err), 0);
    return ws;
}

/* The gradient of two batches with dropout, and their losses. */
static float *gradient(const tiny_t *tiny, llm_workspace_t *ws, double losses[2])
{
    tiny_batch_t batch = {0};
    size_t bytes = (size_t)tiny->elements * sizeof(float);
    float *grads = malloc(bytes);
    tiny_batch_init(&batch);
    tiny->be->ops->zero(tiny->be, llm_workspace_grads(ws), bytes);
    for (uint32_t i = 0; i < 2; i++) {
        fmq_rng_name_t stream = {.seed = 5, .purpose = FMQ_RNG_DROPOUT, .client = 2, .step = i};
        assert_int_equal(llm_workspace_train(ws, &batch.batch, 0.5f, &stream, &losses[i], &err), 0);
    }
    tiny->be->ops->download(tiny->be, grads, llm_workspace_grads(ws), bytes);
    return grads;
}

static void check(llm_shape_t shape, const llm_adapter_spec_t *spec,
                  const llm_adapter_spec_t *fixed, llm_backend_t *be)
{
    tiny_t tiny;
    tiny_init_stack(&tiny, &shape, spec, fixed, be);
    llm_workspace_t *keeping = like(&tiny, 0), *again = like(&tiny, 1);
    double losses[2][2];
    float *kept = gradient(&tiny, keeping, losses[0]);
    float *recomputed = gradient(&tiny, again, losses[1]);
    assert_memory_equal(kept, recomputed, (size_t)tiny.elements * sizeof *kept);
    assert_memory_equal(losses[0], losses[1], sizeof losses[0]);
    if (llm_adapter_first_layer(tiny.adapter) == 0)
        assert_true(llm_workspace_bytes(again) < llm_workspace_bytes(keeping));
    free(kept);
    free(recomputed);
    llm_workspace_destroy(&keeping);
    llm_workspace_destroy(&again);
    tiny_release(&tiny);
}

static void check_all(const llm_adapter_spec_t *spec, const llm_adapter_spec_t *fixed,
                      llm_shape_t shape)
{
    check(shape, spec, fixed, llm_backend_reference_new(&err));
    check(shape, spec, fixed, llm_backend_cpu_new(2, &err));
}

static const char gpt2_all[] = "c_attn c_proj c_fc";
static const char llama_all[] = "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj";

static void lora_gets_the_same_bytes_with_dropout(void **state)
{
    (void)state;
    llm_adapter_spec_t gpt2 = tiny_lora(gpt2_all, 0.25f), llama = tiny_lora(llama_all, 0.25f);
    check_all(&gpt2, NULL, tiny_gpt2());
    check_all(&llama, NULL, tiny_llama());
    check_all(&llama, NULL, tiny_llama_biased());
}

static void layers_that_train_different_modules_share_the_room(void **state)
{
    (void)state;
    llm_adapter_spec_t llama = tiny_lora("0.self_attn.q_proj 1.mlp.down_proj", 0.1f);
    llm_adapter_spec_t upper = tiny_lora("1.mlp.up_proj 1.self_attn.k_proj", 0.0f);
    llm_adapter_spec_t gpt2 = tiny_lora("0.mlp.c_fc 1.attn.c_attn", 0.0f);
    check_all(&llama, NULL, tiny_llama());
    check_all(&upper, NULL, tiny_llama());
    check_all(&gpt2, NULL, tiny_gpt2());
}

static void full_fine_tuning_gets_the_same_bytes(void **state)
{
    (void)state;
    llm_adapter_spec_t full = tiny_full(), one = tiny_on_layers(tiny_full(), "0");
    check_all(&full, NULL, tiny_gpt2());
    check_all(&full, NULL, tiny_llama());
    check_all(&one, NULL, tiny_llama());
}

static void fixed_adapters_beside_get_the_same_bytes(void **state)
{
    (void)state;
    llm_adapter_spec_t trained = tiny_on_layers(tiny_lora("q_proj v_proj", 0.1f), "0");
    llm_adapter_spec_t fixed = tiny_on_layers(tiny_lora(llama_all, 0.0f), "1");
    check_all(&trained, &fixed, tiny_llama());
    check_all(&fixed, &trained, tiny_llama());
    llm_adapter_spec_t some = tiny_lora("q_proj down_proj", 0.0f);
    llm_adapter_spec_t others = tiny_lora("v_proj up_proj", 0.0f);
    check_all(&some, &others, tiny_llama());
}

static void nothing_is_computed_again_where_there_is_room(void **state)
{
    (void)state;
    tiny_t tiny;
    llm_shape_t shape = tiny_llama();
    llm_adapter_spec_t spec = tiny_lora("", 0.0f);
    tiny_init(&tiny, &shape, &spec, llm_backend_reference_new(&err));
    llm_workspace_t *keeping = like(&tiny, 0);
    size_t bytes = llm_workspace_bytes(keeping);
    llm_workspace_t *fits = like(&tiny, bytes), *not = like(&tiny, bytes / 2);
    assert_int_equal(llm_workspace_bytes(fits), bytes);
    assert_true(llm_workspace_bytes(not ) < bytes);
    llm_workspace_destroy(&keeping);
    llm_workspace_destroy(&fits);
    llm_workspace_destroy(&not );
    tiny_release(&tiny);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lora_gets_the_same_bytes_with_dropout),
        cmocka_unit_test(layers_that_train_different_modules_share_the_room),
        cmocka_unit_test(full_fine_tuning_gets_the_same_bytes),
        cmocka_unit_test(fixed_adapters_beside_get_the_same_bytes),
        cmocka_unit_test(nothing_is_computed_again_where_there_is_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
