/*
 * test_recompute.c - workspaces that compute activations again in backward:
 * the bytes of those that keep them, in less memory.
 */
#include <stdlib.h>
#include <string.h>

#include "llm/backend/instance.h"
#include "tests/llm/pass/tiny.h"

static fmq_error_t err;

static llm_workspace_t *with(const tiny_t *tiny, llm_limits_t limits)
{
    llm_stack_t stack = {.model = tiny->model, .adapter = tiny->adapter, .fixed = tiny->fixed};
    limits.tokens_max = TINY_TOKENS;
    limits.training = true;
    llm_workspace_t *ws = llm_workspace_new_stack(&stack, &limits, tiny->be, &err);
    if (!ws)
        fail_msg("%s", err.text);
    assert_int_equal(llm_workspace_set_params(ws, tiny->vector, &err), 0);
    if (tiny->fixed)
        assert_int_equal(llm_workspace_set_fixed(ws, tiny->fixed_vector, &err), 0);
    return ws;
}

/* A workspace like tiny's own that computes so much again. */
static llm_workspace_t *like(const tiny_t *tiny, llm_recompute_t recompute)
{
    llm_workspace_t *ws = with(tiny, (llm_limits_t){.recompute = recompute});
    size_t spared;
    assert_int_equal(llm_workspace_recomputes(ws, &spared), recompute);
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
    llm_workspace_t *keeping = like(&tiny, LLM_RECOMPUTE_NONE);
    size_t least = llm_workspace_bytes(keeping), most = least, bytes = 0;
    double losses[2], others[2];
    float *kept = gradient(&tiny, keeping, losses);
    for (llm_recompute_t how = LLM_RECOMPUTE_NORMS; how <= LLM_RECOMPUTE_LAYERS; how++) {
        llm_workspace_t *again = like(&tiny, how);
        float *recomputed = gradient(&tiny, again, others);
        assert_memory_equal(kept, recomputed, (size_t)tiny.elements * sizeof *kept);
        assert_memory_equal(losses, others, sizeof losses);
        size_t spared, size = llm_workspace_bytes(again);
        (void)llm_workspace_recomputes(again, &spared);
        assert_int_equal(spared, size < most ? most - size : 0);
        bytes = how == LLM_RECOMPUTE_NORMS ? size : bytes;
        least = size;
        free(recomputed);
        llm_workspace_destroy(&again);
    }
    assert_true(bytes <= most);
    if (llm_adapter_first_layer(tiny.adapter) == 0)
        assert_true(least < most);
    free(kept);
    llm_workspace_destroy(&keeping);
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

/* Who computes with a workspace may be followed by another who sets parameters
 * of its own and zeroes the gradient, as the training routine does. */
static void a_workspace_that_was_used_before_gives_the_bytes_of_a_new_one(void **state)
{
    (void)state;
    llm_adapter_spec_t full = tiny_on_layers(tiny_full(), "1");
    llm_adapter_spec_t trained = tiny_on_layers(tiny_lora(llama_all, 0.25f), "0");
    tiny_t tiny;
    llm_shape_t shape = tiny_llama();
    tiny_init_stack(&tiny, &shape, &trained, &full, llm_backend_cpu_new(2, &err));
    size_t bytes = (size_t)tiny.elements * sizeof(float);
    size_t fixed = (size_t)fmq_schema_elements(llm_adapter_schema(tiny.fixed));
    for (llm_recompute_t how = LLM_RECOMPUTE_NONE; how <= LLM_RECOMPUTE_LAYERS; how++) {
        llm_workspace_t *fresh = like(&tiny, how), *used = like(&tiny, how);
        float *others = malloc(bytes + fixed * sizeof(float)), *vector = others + tiny.elements;
        double losses[2], again[2];
        tiny_normal(others, (size_t)tiny.elements + fixed, 0.5, 9);
        assert_int_equal(llm_workspace_set_params(used, others, &err), 0);
        assert_int_equal(llm_workspace_set_fixed(used, vector, &err), 0);
        free(gradient(&tiny, used, again));
        assert_int_equal(llm_workspace_set_params(used, tiny.vector, &err), 0);
        assert_int_equal(llm_workspace_set_fixed(used, tiny.fixed_vector, &err), 0);
        float *first = gradient(&tiny, fresh, losses), *second = gradient(&tiny, used, again);
        assert_memory_equal(first, second, bytes);
        assert_memory_equal(losses, again, sizeof losses);
        free(first);
        free(second);
        free(others);
        llm_workspace_destroy(&fresh);
        llm_workspace_destroy(&used);
    }
    tiny_release(&tiny);
}

static size_t memory_there;

static size_t what_is_there(const llm_backend_t *be)
{
    (void)be;
    return memory_there;
}

static llm_recompute_t chosen(const tiny_t *tiny, llm_limits_t limits)
{
    size_t spared;
    llm_workspace_t *ws = with(tiny, limits);
    llm_recompute_t recompute = llm_workspace_recomputes(ws, &spared);
    llm_workspace_destroy(&ws);
    return recompute;
}

static void as_little_is_computed_again_as_the_room_allows(void **state)
{
    (void)state;
    tiny_t tiny;
    llm_shape_t shape = tiny_llama();
    llm_adapter_spec_t spec = tiny_lora(llama_all, 0.0f);
    size_t size[LLM_RECOMPUTE_LAYERS + 1], vectors;
    tiny_init(&tiny, &shape, &spec, llm_backend_reference_new(&err));
    vectors = 2 * (size_t)tiny.elements * sizeof(float);
    for (llm_recompute_t how = LLM_RECOMPUTE_NONE; how <= LLM_RECOMPUTE_LAYERS; how++) {
        llm_workspace_t *ws = like(&tiny, how);
        size[how] = llm_workspace_bytes(ws) - vectors;
        llm_workspace_destroy(&ws);
    }
    assert_true(size[LLM_RECOMPUTE_LAYERS] < size[LLM_RECOMPUTE_NORMS]);
    assert_true(size[LLM_RECOMPUTE_NORMS] < size[LLM_RECOMPUTE_NONE]);
    assert_int_equal(chosen(&tiny, (llm_limits_t){0}), LLM_RECOMPUTE_NONE);
    for (llm_recompute_t how = LLM_RECOMPUTE_NONE; how <= LLM_RECOMPUTE_LAYERS; how++) {
        llm_recompute_t next = how < LLM_RECOMPUTE_LAYERS ? how + 1 : how;
        assert_int_equal(chosen(&tiny, (llm_limits_t){.bytes_wanted = size[how]}), how);
        assert_int_equal(chosen(&tiny, (llm_limits_t){.bytes_wanted = size[how] - 1}), next);
        /* Of what is free a quarter stays so, and the rest is shared. */
        llm_instance(tiny.be)->ops.memory_free = what_is_there;
        memory_there = (size[how] * 2 + 2) / 3 * 4;
        assert_int_equal(chosen(&tiny, (llm_limits_t){.sharers = 2}), how);
        memory_there = (size[how] * 2 - 1) / 3 * 4;
        assert_int_equal(chosen(&tiny, (llm_limits_t){.sharers = 2}), next);
        assert_int_equal(chosen(&tiny, (llm_limits_t){0}), LLM_RECOMPUTE_NONE);
        assert_int_equal(
            chosen(&tiny, (llm_limits_t){.sharers = 2, .recompute = LLM_RECOMPUTE_NONE}),
            LLM_RECOMPUTE_NONE);
    }
    memory_there = SIZE_MAX;
    assert_int_equal(chosen(&tiny, (llm_limits_t){.sharers = 7}), LLM_RECOMPUTE_NONE);
    tiny_release(&tiny);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lora_gets_the_same_bytes_with_dropout),
        cmocka_unit_test(layers_that_train_different_modules_share_the_room),
        cmocka_unit_test(full_fine_tuning_gets_the_same_bytes),
        cmocka_unit_test(fixed_adapters_beside_get_the_same_bytes),
        cmocka_unit_test(a_workspace_that_was_used_before_gives_the_bytes_of_a_new_one),
        cmocka_unit_test(as_little_is_computed_again_as_the_room_allows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
