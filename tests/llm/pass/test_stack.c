/*
 * test_stack.c - a model with one adapter that trains and one that is fixed:
 * equal to one adapter over both, without effect when zero, and refused where
 * the two do not fit.  Gradients are checked in test_gradients.c.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/llm/generate.h"
#include "tests/llm/pass/tiny.h"

static const char llama_all[] = "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj";

static llm_shape_t four_layers(void)
{
    llm_shape_t shape = tiny_llama();
    shape.layers = 4;
    return shape;
}

static llm_adapter_spec_t lora_on(const char *layers)
{
    return tiny_on_layers(tiny_lora(llama_all, 0.0f), layers);
}

static llm_backend_t *cpu(void)
{
    fmq_error_t err = {0};
    llm_backend_t *be = llm_backend_cpu_new(1, &err);
    if (!be)
        fail_msg("%s", err.text);
    return be;
}

/* Copies what both schemas name from one vector to the other. */
static void carry(const llm_adapter_t *to, float *to_vector, const llm_adapter_t *from,
                  const float *from_vector)
{
    for (size_t i = 0; i < fmq_schema_size(llm_adapter_schema(to)); i++) {
        const fmq_tensor_t *target = fmq_schema_at(llm_adapter_schema(to), i);
        const fmq_tensor_t *source = fmq_schema_find(llm_adapter_schema(from), target->name);
        if (source)
            memcpy(to_vector + target->offset, from_vector + source->offset,
                   target->count * sizeof *to_vector);
    }
}

/* Loss of a training pass; its gradient in grads. */
static double train_once(tiny_t *tiny, const llm_batch_t *batch, const fmq_rng_name_t *dropout,
                         float *grads)
{
    fmq_error_t err = {0};
    double loss = 0.0;
    size_t bytes = tiny->elements * sizeof *grads;
    tiny->be->ops->zero(tiny->be, llm_workspace_grads(tiny->ws), bytes);
    if (llm_workspace_train(tiny->ws, batch, 1.0f, dropout, &loss, &err) < 0)
        fail_msg("%s", err.text);
    tiny->be->ops->download(tiny->be, grads, llm_workspace_grads(tiny->ws), bytes);
    return loss;
}

static void check_like_one_adapter(const char *trained, const char *fixed)
{
    llm_shape_t shape = four_layers();
    llm_adapter_spec_t a = lora_on(trained), b = lora_on(fixed), all = tiny_lora(llama_all, 0.0f);
    tiny_t apart, whole;
    tiny_batch_t batch = {0};
    fmq_error_t err;
    tiny_batch_init(&batch);
    tiny_init_stack(&apart, &shape, &a, &b, cpu());
    tiny_init(&whole, &shape, &all, cpu());
    carry(whole.adapter, whole.vector, apart.adapter, apart.vector);
    carry(whole.adapter, whole.vector, apart.fixed, apart.fixed_vector);
    assert_int_equal(llm_workspace_set_params(whole.ws, whole.vector, &err), 0);

    float *grads = malloc(apart.elements * sizeof *grads);
    float *expected = malloc(apart.elements * sizeof *expected);
    float *all_grads = malloc(whole.elements * sizeof *all_grads);
    double loss = train_once(&apart, &batch.batch, NULL, grads);
    assert_true(loss == train_once(&whole, &batch.batch, NULL, all_grads));
    carry(apart.adapter, expected, whole.adapter, all_grads);
    assert_memory_equal(grads, expected, apart.elements * sizeof *grads);
    free(grads);
    free(expected);
    free(all_grads);
    tiny_release(&apart);
    tiny_release(&whole);
}

static void trained_and_fixed_together_are_one_adapter_to_the_byte(void **state)
{
    (void)state;
    check_like_one_adapter("3", "0 1 2");
    check_like_one_adapter("0 3", "1 2");
    check_like_one_adapter("1", "0 2 3");
}

static void a_fixed_vector_of_zeros_is_like_none_to_the_byte(void **state)
{
    (void)state;
    llm_shape_t shape = four_layers();
    llm_adapter_spec_t trained = lora_on("0 3"), fixed = lora_on("1 2");
    tiny_t with, without;
    tiny_batch_t batch = {0};
    fmq_error_t err;
    tiny_batch_init(&batch);
    tiny_init_stack(&with, &shape, &trained, &fixed, cpu());
    tiny_init(&without, &shape, &trained, cpu());
    /* As training begins: A is drawn, B is zero. */
    assert_int_equal(llm_adapter_init(with.fixed, with.model, 5, with.fixed_vector, &err), 0);
    assert_int_equal(llm_workspace_set_fixed(with.ws, with.fixed_vector, &err), 0);

    float *grads = malloc(with.elements * sizeof *grads);
    float *expected = malloc(with.elements * sizeof *expected);
    assert_true(train_once(&with, &batch.batch, NULL, grads) ==
                train_once(&without, &batch.batch, NULL, expected));
    assert_memory_equal(grads, expected, with.elements * sizeof *grads);
    free(grads);
    free(expected);
    tiny_release(&with);
    tiny_release(&without);
}

static void what_is_fixed_is_never_dropped(void **state)
{
    (void)state;
    llm_shape_t shape = four_layers();
    llm_adapter_spec_t trained = lora_on("3"), fixed = lora_on("0 1 2"), dropping = fixed;
    dropping.dropout = 0.5f;
    fmq_rng_name_t stream = {.seed = 5, .purpose = FMQ_RNG_DROPOUT, .step = 1};
    tiny_t still, dropped;
    tiny_batch_t batch = {0};
    tiny_batch_init(&batch);
    tiny_init_stack(&still, &shape, &trained, &fixed, cpu());
    tiny_init_stack(&dropped, &shape, &trained, &dropping, cpu());
    float *grads = malloc(still.elements * sizeof *grads);
    assert_true(train_once(&still, &batch.batch, &stream, grads) ==
                train_once(&dropped, &batch.batch, &stream, grads));
    free(grads);
    tiny_release(&still);
    tiny_release(&dropped);
}

static void fixed_layers_of_the_models_own_weights_change_next_to_nothing(void **state)
{
    (void)state;
    llm_shape_t shape = tiny_gpt2();
    shape.layers = 4;
    llm_adapter_spec_t trained = tiny_on_layers(tiny_lora("c_attn", 0.0f), "0 3");
    llm_adapter_spec_t fixed = tiny_on_layers(tiny_full(), "1 2");
    tiny_t with, without;
    tiny_batch_t batch = {0};
    fmq_error_t err;
    double loss = 0.0, expected = 0.0, moved = 0.0;
    tiny_batch_init(&batch);
    tiny_init_stack(&with, &shape, &trained, &fixed, cpu());
    tiny_init(&without, &shape, &trained, cpu());
    assert_int_equal(llm_adapter_init(with.fixed, with.model, 0, with.fixed_vector, &err), 0);
    assert_int_equal(llm_workspace_set_fixed(with.ws, with.fixed_vector, &err), 0);
    assert_int_equal(llm_workspace_loss(with.ws, &batch.batch, &loss, &err), 0);
    assert_int_equal(llm_workspace_loss(without.ws, &batch.batch, &expected, &err), 0);
    assert_true(fabs(loss - expected) <= 1e-5 * expected);
    with.fixed_vector[0] += 1.0f;
    assert_int_equal(llm_workspace_set_fixed(with.ws, with.fixed_vector, &err), 0);
    assert_int_equal(llm_workspace_loss(with.ws, &batch.batch, &moved, &err), 0);
    assert_true(moved != loss);
    tiny_release(&with);
    tiny_release(&without);
}

static void fixed_layers_have_to_be_set_before_anything_is_computed(void **state)
{
    (void)state;
    llm_shape_t shape = four_layers();
    llm_adapter_spec_t trained = lora_on("3"), fixed = tiny_on_layers(tiny_full(), "0");
    tiny_t tiny;
    tiny_batch_t batch = {0};
    fmq_error_t err = {0};
    double loss = 0.0;
    tiny_batch_init(&batch);
    tiny_init_stack(&tiny, &shape, &trained, &fixed, cpu());
    llm_stack_t stack = {.model = tiny.model, .adapter = tiny.adapter, .fixed = tiny.fixed};
    llm_limits_t limits = {.tokens_max = TINY_TOKENS, .training = true};
    llm_workspace_t *ws = llm_workspace_new_stack(&stack, &limits, tiny.be, &err);
    assert_int_equal(llm_workspace_loss(ws, &batch.batch, &loss, &err), -1);
    assert_non_null(strstr(err.text, "not set"));
    assert_int_equal(llm_workspace_train(ws, &batch.batch, 1.0f, NULL, &loss, &err), -1);
    assert_int_equal(llm_workspace_set_fixed(ws, NULL, &err), -1);
    assert_int_equal(llm_workspace_set_fixed(ws, tiny.fixed_vector, &err), 0);
    assert_int_equal(llm_workspace_loss(ws, &batch.batch, &loss, &err), 0);
    llm_workspace_destroy(&ws);

    llm_generator_t *generator = llm_generator_new_stack(&stack, TINY_CONTEXT, tiny.be, &err);
    llm_sampling_t greedy = {.new_tokens_max = 2, .top_p = 1.0};
    llm_ids_t out = {0};
    const int32_t prompt[] = {1, 2};
    assert_int_equal(llm_generator_run(generator, prompt, 2, &greedy, &out, &err), -1);
    assert_int_equal(llm_generator_set_fixed(generator, tiny.fixed_vector, &err), 0);
    assert_int_equal(llm_generator_run(generator, prompt, 2, &greedy, &out, &err), 0);
    llm_ids_release(&out);
    llm_generator_destroy(&generator);
    tiny_release(&tiny);
}

static void refuse_stack(const llm_adapter_spec_t *trained, const llm_adapter_spec_t *fixed,
                         fmq_error_code_t code, const char *words)
{
    llm_shape_t shape = four_layers(), other = shape;
    other.ffn += code == FMQ_ERR_MISMATCH;
    fmq_error_t err = {0};
    llm_backend_t *be = cpu();
    llm_model_t *model = llm_model_new_random(&shape, 3, be, &err);
    llm_stack_t stack = {.model = model,
                         .adapter = llm_adapter_new(&shape, trained, &err),
                         .fixed = llm_adapter_new(&other, fixed, &err)};
    assert_true(stack.adapter && stack.fixed);
    llm_limits_t limits = {.tokens_max = TINY_TOKENS, .training = true};
    assert_null(llm_workspace_new_stack(&stack, &limits, be, &err));
    assert_int_equal(err.code, code);
    if (!strstr(err.text, words))
        fail_msg("the error says '%s'", err.text);
    assert_null(llm_generator_new_stack(&stack, TINY_CONTEXT, be, &err));
    llm_adapter_t *made[] = {(llm_adapter_t *)(uintptr_t)stack.adapter,
                             (llm_adapter_t *)(uintptr_t)stack.fixed};
    llm_adapter_destroy(&made[0]);
    llm_adapter_destroy(&made[1]);
    llm_model_destroy(&model);
    llm_backend_destroy(&be);
}

static void a_module_both_trained_and_fixed_is_refused_by_its_name(void **state)
{
    (void)state;
    llm_adapter_spec_t lora = lora_on("0 2"), up = tiny_lora("up_proj", 0.0f), full = tiny_full();
    llm_adapter_spec_t third = tiny_on_layers(full, "2"), last = lora_on("3");
    refuse_stack(&lora, &up, FMQ_ERR_CONFIG, "model.layers.0.mlp.up_proj");
    refuse_stack(&lora, &third, FMQ_ERR_CONFIG, "model.layers.2.self_attn.q_proj");
    refuse_stack(&full, &last, FMQ_ERR_CONFIG, "model.layers.3.self_attn.q_proj");
    refuse_stack(&third, &full, FMQ_ERR_CONFIG, "model.layers.2.self_attn.q_proj");
}

static void a_fixed_adapter_of_another_shape_is_refused(void **state)
{
    (void)state;
    llm_adapter_spec_t lora = lora_on("0"), other = lora_on("1");
    refuse_stack(&lora, &other, FMQ_ERR_MISMATCH, "another shape");
}

static void a_prefix_has_the_same_bytes_however_it_is_made(void **state)
{
    (void)state;
    llm_shape_t shape = four_layers();
    llm_adapter_spec_t trained = lora_on("2 3"), fixed = lora_on("0 1");
    tiny_t tiny;
    tiny_batch_t batch = {0};
    fmq_error_t err;
    tiny_batch_init(&batch);
    tiny_init_stack(&tiny, &shape, &trained, &fixed, cpu());
    size_t width = llm_workspace_prefix_bytes(tiny.ws) / sizeof(float);
    assert_int_equal(width, shape.width);
    float alone[TINY_TOKENS * 16], beside[TINY_TOKENS * 16], one[TINY_TOKENS * 16];
    float *grads = malloc(tiny.elements * sizeof *grads);
    float *kept = malloc(tiny.elements * sizeof *kept);
    batch.batch.prefix_out = beside;
    double loss = train_once(&tiny, &batch.batch, NULL, grads);
    assert_int_equal(llm_workspace_prefix(tiny.ws, &batch.batch, alone, &err), 0);
    assert_memory_equal(alone, beside, sizeof alone);

    /* A given prefix is not believed, and a sequence's does not depend on others. */
    memset(beside, 0, sizeof beside);
    batch.batch.prefix = beside;
    assert_int_equal(llm_workspace_prefix(tiny.ws, &batch.batch, one, &err), 0);
    assert_memory_equal(alone, one, sizeof alone);
    const uint32_t starts[] = {0, 4};
    llm_batch_t last = {.sequences = 1, .starts = starts, .ids = batch.ids + batch.starts[2]};
    assert_int_equal(llm_workspace_prefix(tiny.ws, &last, one, &err), 0);
    assert_memory_equal(one, alone + batch.starts[2] * width, 4 * width * sizeof *one);

    batch.batch.prefix = alone;
    batch.batch.prefix_out = NULL;
    assert_true(loss == train_once(&tiny, &batch.batch, NULL, kept));
    assert_memory_equal(grads, kept, tiny.elements * sizeof *grads);
    /* It is the prefix that was used: what is fixed lies below and is not run. */
    memset(tiny.fixed_vector, 0, 16 * sizeof *tiny.fixed_vector);
    assert_int_equal(llm_workspace_set_fixed(tiny.ws, tiny.fixed_vector, &err), 0);
    assert_true(loss == train_once(&tiny, &batch.batch, NULL, kept));
    batch.batch.prefix = NULL;
    assert_true(loss != train_once(&tiny, &batch.batch, NULL, kept));
    free(grads);
    free(kept);
    tiny_release(&tiny);
}

static void nothing_is_frozen_below_what_trains_in_the_first_layer(void **state)
{
    (void)state;
    llm_shape_t shape = four_layers();
    llm_adapter_spec_t trained = lora_on("0 3"), fixed = lora_on("1 2");
    tiny_t tiny;
    tiny_batch_t batch = {0};
    fmq_error_t err;
    float out[1] = {7.0f};
    tiny_batch_init(&batch);
    tiny_init_stack(&tiny, &shape, &trained, &fixed, cpu());
    assert_int_equal(llm_workspace_prefix_bytes(tiny.ws) / sizeof(float), 0);
    assert_int_equal(llm_workspace_prefix(tiny.ws, &batch.batch, out, &err), 0);
    assert_true(out[0] == 7.0f);
    tiny_release(&tiny);
}

static size_t bytes_of(const char *trained, const char *fixed)
{
    llm_shape_t shape = four_layers();
    llm_adapter_spec_t a = lora_on(trained), b = lora_on(fixed);
    tiny_t tiny;
    tiny_init_stack(&tiny, &shape, &a, &b, cpu());
    size_t bytes = llm_workspace_bytes(tiny.ws);
    tiny_release(&tiny);
    return bytes;
}

static void activations_are_kept_from_the_lowest_trained_layer_only(void **state)
{
    (void)state;
    /* The vectors are the same sizes; what differs is what backward needs. */
    assert_true(bytes_of("3", "0 1 2") < bytes_of("1", "0 2 3"));
    assert_true(bytes_of("1", "0 2 3") < bytes_of("0", "1 2 3"));
    /* In a fixed layer above, less is kept than in one that trains. */
    assert_true(bytes_of("0", "1 2 3") < bytes_of("0 1 2", "3"));
}

static void greedy_text_of_a_stack_is_that_of_one_adapter(void **state)
{
    (void)state;
    llm_shape_t shape = four_layers();
    llm_adapter_spec_t a = lora_on("0 3"), b = lora_on("1 2"), all = tiny_lora(llama_all, 0.0f);
    tiny_t apart, whole;
    fmq_error_t err;
    tiny_init_stack(&apart, &shape, &a, &b, cpu());
    tiny_init(&whole, &shape, &all, cpu());
    carry(whole.adapter, whole.vector, apart.adapter, apart.vector);
    carry(whole.adapter, whole.vector, apart.fixed, apart.fixed_vector);
    llm_stack_t stack = {.model = apart.model, .adapter = apart.adapter, .fixed = apart.fixed};
    llm_generator_t *generators[] = {
        llm_generator_new_stack(&stack, TINY_CONTEXT, apart.be, &err),
        llm_generator_new(whole.model, whole.adapter, TINY_CONTEXT, whole.be, &err)};
    assert_int_equal(llm_generator_set_params(generators[0], apart.vector, &err), 0);
    assert_int_equal(llm_generator_set_fixed(generators[0], apart.fixed_vector, &err), 0);
    assert_int_equal(llm_generator_set_params(generators[1], whole.vector, &err), 0);
    llm_sampling_t greedy = {.new_tokens_max = TINY_CONTEXT, .top_p = 1.0};
    for (int32_t first = 0; first < TINY_VOCAB; first++) {
        llm_ids_t out[2] = {{0}};
        for (int i = 0; i < 2; i++)
            assert_int_equal(llm_generator_run(generators[i], &first, 1, &greedy, &out[i], &err),
                             0);
        assert_int_equal(out[0].size, TINY_CONTEXT - 1);
        assert_memory_equal(out[0].ids, out[1].ids, out[0].size * sizeof *out[0].ids);
        llm_ids_release(&out[0]);
        llm_ids_release(&out[1]);
    }
    llm_generator_destroy(&generators[0]);
    llm_generator_destroy(&generators[1]);
    tiny_release(&apart);
    tiny_release(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trained_and_fixed_together_are_one_adapter_to_the_byte),
        cmocka_unit_test(a_fixed_vector_of_zeros_is_like_none_to_the_byte),
        cmocka_unit_test(what_is_fixed_is_never_dropped),
        cmocka_unit_test(fixed_layers_of_the_models_own_weights_change_next_to_nothing),
        cmocka_unit_test(fixed_layers_have_to_be_set_before_anything_is_computed),
        cmocka_unit_test(a_module_both_trained_and_fixed_is_refused_by_its_name),
        cmocka_unit_test(a_fixed_adapter_of_another_shape_is_refused),
        cmocka_unit_test(a_prefix_has_the_same_bytes_however_it_is_made),
        cmocka_unit_test(nothing_is_frozen_below_what_trains_in_the_first_layer),
        cmocka_unit_test(activations_are_kept_from_the_lowest_trained_layer_only),
        cmocka_unit_test(greedy_text_of_a_stack_is_that_of_one_adapter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
