/*
 * test_cost.c - parameters, bytes and FLOPs, counted by hand for a small shape
 * and known for LLaMA-2-7B.
 */
#include <math.h>
#include <stdlib.h>

#include "fedmq/llm/offsite.h"
#include "tests/llm/pass/tiny.h"

static const llm_cost_batch_t batch = {.tokens = 12, .length = 6, .supervised = 5};

/* GPT-2 of two layers, width 16, MLP 24, vocabulary 23, 4 heads of 4:
 * c_attn 2*12*48*16 = 18432, c_proj 2*12*16*16 = 6144, c_fc and mlp.c_proj
 * 2*12*24*16 = 9216 each, attention 2*12*16*7 = 2688; head 2*5*23*16 = 3680. */
#define QKV       18432.0
#define O         6144.0
#define MLP       9216.0
#define ATTENTION 2688.0
#define LAYER     (QKV + O + 2 * MLP + ATTENTION)
#define HEAD      3680.0

static llm_cost_t cost_of(const llm_shape_t *shape, llm_adapter_spec_t spec)
{
    fmq_error_t err = {0};
    llm_cost_t cost;
    llm_adapter_t *adapter = llm_adapter_new(shape, &spec, &err);
    if (!adapter)
        fail_msg("%s", err.text);
    llm_cost_of_shape(shape, NULL, adapter, &batch, &cost);
    llm_adapter_destroy(&adapter);
    return cost;
}

static void a_model_that_does_not_train_costs_its_forward_pass(void **state)
{
    (void)state;
    llm_shape_t shape = tiny_gpt2();
    llm_cost_t cost = cost_of(&shape, (llm_adapter_spec_t){.kind = LLM_ADAPTER_NONE});
    assert_true(cost.forward == 2 * LAYER + HEAD);
    assert_true(cost.backward == 0.0);
    assert_int_equal(cost.trained, 0);
    assert_int_equal(cost.parameters, llm_shape_parameters(&shape));
}

static void backward_is_counted_down_to_where_it_stops(void **state)
{
    (void)state;
    /* Rank 3: on c_attn a = 2*12*3*16 and b = 2*12*3*48; on c_fc 1152 and 1728. */
    const double a = 1152.0, b = 3456.0, up_b = 1728.0;
    llm_shape_t shape = tiny_gpt2();
    llm_cost_t cost = cost_of(&shape, tiny_lora("1.attn.c_attn", 0.0f));
    assert_true(cost.forward == 2 * LAYER + HEAD + a + b);
    assert_true(cost.prefix == LAYER);
    assert_true(cost.backward == HEAD + 2 * MLP + O + 2.5 * ATTENTION + 2 * b + a);
    assert_int_equal(cost.trained, 3 * (16 + 48));

    cost = cost_of(&shape, tiny_lora("1.mlp.c_fc", 0.0f));
    assert_true(cost.backward == HEAD + MLP + 2 * up_b + a);

    cost = cost_of(&shape, tiny_lora("0.attn.c_attn", 0.0f));
    assert_true(cost.prefix == 0.0);
    double whole = QKV + O + 2 * MLP + 2.5 * ATTENTION;
    assert_true(cost.backward == HEAD + whole + whole - QKV + 2 * b + a);
}

static void full_fine_tuning_costs_two_products_backward_for_one_forward(void **state)
{
    (void)state;
    llm_shape_t shape = tiny_gpt2();
    double products = QKV + O + 2 * MLP;
    llm_cost_t cost = cost_of(&shape, tiny_full());
    assert_true(cost.forward == 2 * LAYER + HEAD);
    assert_true(cost.backward == 2 * (2 * products + 2.5 * ATTENTION + HEAD));
    assert_int_equal(cost.trained, llm_shape_parameters(&shape));
    cost = cost_of(&shape, tiny_on_layers(tiny_full(), "1"));
    assert_true(cost.prefix == LAYER);
    assert_true(cost.backward == 2 * products + 2.5 * ATTENTION + HEAD);
}

static llm_shape_t llama2_7b(void)
{
    return (llm_shape_t){.arch = llm_arch_find("llama"),
                         .layers = 32,
                         .width = 4096,
                         .heads = 32,
                         .kv_heads = 32,
                         .head_width = 128,
                         .ffn = 11008,
                         .vocab = 32000,
                         .context = 4096,
                         .norm_eps = 1e-5f,
                         .rope_theta = 10000.0f,
                         .bos = 1,
                         .eos = 2,
                         .rope_factor = 1.0f};
}

/* What FedBiOT's geometry implies: adapter = the last layers, emulator = the
 * others with drop_layer; LoRA of rank 8 on q and v. */
static void llama_2_7b_has_the_numbers_of_its_geometry(void **state)
{
    (void)state;
    static const struct {
        uint32_t adapter;
        double dropout;
        uint32_t layers;
        double billions;
        uint64_t trained, emulated, full;
    } rows[] = {{2, 0.2, 26, 5.524, 262144, 3145728, 404766720},
                {2, 0.5, 17, 3.703, 262144, 1966080, 404766720},
                {4, 0.2, 26, 5.524, 524288, 2883584, 809533440},
                {4, 0.5, 18, 3.905, 524288, 1835008, 809533440}};
    llm_shape_t whole = llama2_7b();
    llm_adapter_spec_t lora = {.kind = LLM_ADAPTER_LORA, .rank = 8, .alpha = 16};
    llm_cost_t cost = cost_of(&whole, lora);
    assert_int_equal(cost.parameters, UINT64_C(6738415616));
    assert_int_equal(cost.trained, 4194304);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        llm_shape_t shape = whole;
        llm_adapter_spec_t upper = lora, lower = lora, full = {.kind = LLM_ADAPTER_FULL};
        double kept = nearbyint((double)(32 - rows[i].adapter) * (1.0 - rows[i].dropout));
        uint32_t emulated = (uint32_t)kept;
        shape.layers = emulated + rows[i].adapter;
        assert_int_equal(shape.layers, rows[i].layers);
        llm_layer_set_add(&lower.layers, 0, emulated);
        llm_layer_set_add(&upper.layers, emulated, shape.layers);
        full.layers = upper.layers;
        cost = cost_of(&shape, upper);
        assert_true(fabs((double)cost.parameters / 1e9 - rows[i].billions) < 0.0005);
        assert_int_equal(cost.trained, rows[i].trained);
        assert_true(fabs(cost.prefix / cost.forward - kept / (kept + rows[i].adapter)) < 0.03);
        assert_int_equal(cost_of(&shape, lower).trained, rows[i].emulated);
        assert_int_equal(cost_of(&shape, full).trained, rows[i].full);
    }
}

static void an_open_model_says_its_bytes_and_its_narrower_layers(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    llm_shape_t shape = tiny_gpt2();
    llm_backend_t *be = llm_backend_cpu_new(1, &err);
    llm_model_t *whole = llm_model_new_random(&shape, 3, be, &err);
    const uint32_t ffn[] = {24, 10};
    llm_model_t *narrow = tiny_narrow(whole, ffn, be);
    llm_adapter_spec_t none = {.kind = LLM_ADAPTER_NONE};
    llm_adapter_t *adapter = llm_adapter_new(&shape, &none, &err);
    llm_cost_t all, less;
    assert_int_equal(llm_cost(whole, adapter, &batch, &all, &err), 0);
    assert_int_equal(llm_cost(narrow, adapter, &batch, &less, &err), 0);
    assert_int_equal(all.parameters, llm_shape_parameters(&shape));
    assert_int_equal(all.weight_bytes, 4 * all.parameters);
    /* A channel is a column of c_fc with its bias, and a row of mlp.c_proj. */
    assert_int_equal(all.parameters - less.parameters, 14 * 33);
    assert_int_equal(less.weight_bytes, 4 * less.parameters);
    assert_true(all.forward - less.forward == 2 * MLP * 14 / 24);
    llm_adapter_destroy(&adapter);
    llm_model_destroy(&narrow);
    llm_model_destroy(&whole);
    llm_backend_destroy(&be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_that_does_not_train_costs_its_forward_pass),
        cmocka_unit_test(backward_is_counted_down_to_where_it_stops),
        cmocka_unit_test(full_fine_tuning_costs_two_products_backward_for_one_forward),
        cmocka_unit_test(llama_2_7b_has_the_numbers_of_its_geometry),
        cmocka_unit_test(an_open_model_says_its_bytes_and_its_narrower_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
