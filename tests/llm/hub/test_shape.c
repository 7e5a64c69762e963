/*
 * test_shape.c - config.json read for every row of the table, written again,
 * and every kind of mistake in it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/llm/shape.h"
#include "tests/llm/hub/config_text.h"

static void gpt2_has_124439808_parameters(void **state)
{
    llm_shape_t shape;
    config_text_load_well(state, GPT2_TEXT, &shape);
    assert_string_equal(shape.arch->model_type, "gpt2");
    assert_int_equal(shape.ffn, 3072);
    assert_int_equal(shape.head_width, 64);
    assert_int_equal(shape.kv_heads, 12);
    assert_true(shape.tied && shape.biases == LLM_ALL_MODULES &&
                shape.activation == LLM_ACTIVATION_GELU_TANH);
    assert_int_equal(shape.bos, 50256);
    assert_true(llm_shape_parameters(&shape) == 124439808);
}

static void llama2_7b_has_6738415616_parameters(void **state)
{
    llm_shape_t shape;
    config_text_load_well(state, LLAMA_TEXT, &shape);
    assert_int_equal(shape.kv_heads, 32);
    assert_int_equal(shape.head_width, 128);
    assert_false(shape.tied || shape.biases);
    assert_true(shape.rope_theta == 10000.0f && shape.rope_factor == 1.0f);
    assert_true(llm_shape_parameters(&shape) == UINT64_C(6738415616));
}

static void llama31_8b_has_8030261248_parameters_and_its_first_end_token(void **state)
{
    llm_shape_t shape;
    config_text_load_well(state, LLAMA31_TEXT, &shape);
    assert_int_equal(shape.kv_heads, 8);
    assert_int_equal(shape.eos, 128001);
    assert_int_equal(shape.rope_original_context, 8192);
    assert_true(llm_shape_parameters(&shape) == UINT64_C(8030261248));
}

static void the_outputs_and_inputs_of_modules_follow_heads_and_ffn(void **state)
{
    llm_shape_t shape;
    config_text_load_well(state, LLAMA31_TEXT, &shape);
    static const size_t expected[LLM_MODULES][2] = {
        [LLM_QKV] = {6144, 4096}, [LLM_Q] = {4096, 4096},     [LLM_K] = {1024, 4096},
        [LLM_V] = {1024, 4096},   [LLM_O] = {4096, 4096},     [LLM_GATE] = {14336, 4096},
        [LLM_UP] = {14336, 4096}, [LLM_DOWN] = {4096, 14336}, [LLM_GATE_UP] = {28672, 4096}};
    for (int m = 0; m < LLM_MODULES; m++) {
        size_t out, in;
        llm_shape_module(&shape, (llm_module_t)m, &out, &in);
        assert_int_equal(out, expected[m][0]);
        assert_int_equal(in, expected[m][1]);
    }
}

static void plain_rope_frequencies_are_powers_of_theta(void **state)
{
    llm_shape_t shape;
    config_text_load_well(state, LLAMA_TEXT, &shape);
    float frequencies[64];
    llm_shape_rope_frequencies(&shape, frequencies);
    assert_true(frequencies[0] == 1.0f);
    assert_float_equal(frequencies[16], 0.1f, 1e-7f);
    assert_float_equal(frequencies[32], 0.01f, 1e-8f);
    assert_float_equal(frequencies[63], 1.1547820e-4f, 1e-10f);
}

static void llama3_scaling_keeps_short_waves_and_stretches_long_ones(void **state)
{
    llm_shape_t shape;
    config_text_load_well(state, LLAMA31_TEXT, &shape);
    float scaled[64], plain[64];
    llm_shape_rope_frequencies(&shape, scaled);
    llm_shape_t unscaled = shape;
    unscaled.rope_factor = 1;
    unscaled.rope_original_context = 0;
    unscaled.rope_scaling = LLM_ROPE_LINEAR;
    llm_shape_rope_frequencies(&unscaled, plain);
    /* Wavelength 2 pi / f against 8192/4 and 8192/1. */
    for (int i = 0; i < 64; i++) {
        double wavelength = 6.283185307179586 / (double)plain[i];
        if (wavelength < 2048)
            assert_true(scaled[i] == plain[i]);
        else if (wavelength > 8192)
            assert_true(scaled[i] == plain[i] / 8);
        else
            assert_true(scaled[i] < plain[i] && scaled[i] > plain[i] / 8);
    }
    assert_float_equal(scaled[29], 2.1666e-3, 1e-6);
}

static void linear_scaling_divides_every_frequency(void **state)
{
    char text[2048];
    config_text_replace(text, sizeof text, LLAMA_TEXT, "\"bos_token_id\"",
                        "\"rope_scaling\":{\"type\":\"linear\",\"factor\":2.0},\"bos_token_id\"");
    llm_shape_t shape;
    config_text_load_well(state, text, &shape);
    float frequencies[64];
    llm_shape_rope_frequencies(&shape, frequencies);
    assert_true(frequencies[0] == 0.5f);
    assert_float_equal(frequencies[32], 0.005f, 1e-8f);
}

static void rope_parameters_of_newer_configs_are_read(void **state)
{
    char text[2048];
    config_text_replace(text, sizeof text, LLAMA_TEXT, "\"bos_token_id\"",
                        "\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":500000.0},"
                        "\"bos_token_id\"");
    llm_shape_t shape;
    config_text_load_well(state, text, &shape);
    assert_true(shape.rope_theta == 500000.0f && shape.rope_factor == 1.0f);
}

static void a_saved_shape_loads_as_itself(void **state)
{
    static const char *const texts[] = {GPT2_TEXT, LLAMA_TEXT, LLAMA31_TEXT};
    for (size_t i = 0; i < 3; i++) {
        llm_shape_t shape, again;
        memset(&shape, 0, sizeof shape);
        memset(&again, 0, sizeof again);
        config_text_load_well(state, texts[i], &shape);
        fmq_error_t err = {0};
        const char *path = scratch_path(*state, "saved.json");
        assert_int_equal(llm_shape_save(&shape, path, &err), 0);
        assert_int_equal(llm_shape_load(&again, path, &err), 0);
        assert_memory_equal(&shape, &again, sizeof shape);
        char *text = llm_shape_text(&shape, &err);
        assert_non_null(text);
        memset(&again, 0, sizeof again);
        assert_int_equal(llm_shape_parse(&again, "text", text, strlen(text), &err), 0);
        assert_memory_equal(&shape, &again, sizeof shape);
        assert_int_equal(llm_shape_parse(&again, "text", "[]", 2, &err), -1);
        assert_int_equal(err.code, FMQ_ERR_FORMAT);
        free(text);
    }
}

static void a_saved_config_writes_short_decimals_and_the_class(void **state)
{
    llm_shape_t shape;
    config_text_load_well(state, LLAMA31_TEXT, &shape);
    const char *path = scratch_path(*state, "saved.json");
    assert_int_equal(llm_shape_save(&shape, path, NULL), 0);
    size_t size;
    char *text = scratch_read(path, &size);
    assert_non_null(text);
    assert_non_null(strstr(text, "\"LlamaForCausalLM\""));
    assert_null(strstr(text, "9.99999"));
    assert_non_null(strstr(text, "\"rope_type\": \"llama3\""));
    free(text);
}

static void biases_head_width_and_ties_can_be_given(void **state)
{
    char text[2048];
    config_text_replace(text, sizeof text, LLAMA_TEXT, "\"bos_token_id\"",
                        "\"head_dim\":96,\"attention_bias\":true,\"mlp_bias\":true,"
                        "\"tie_word_embeddings\":true,\"bos_token_id\"");
    llm_shape_t shape;
    config_text_load_well(state, text, &shape);
    assert_int_equal(shape.head_width, 96);
    assert_true(shape.biases == LLM_ALL_MODULES && shape.tied);
    size_t out, in;
    llm_shape_module(&shape, LLM_O, &out, &in);
    assert_int_equal(out, 4096);
    assert_int_equal(in, 32 * 96);
    config_text_replace(text, sizeof text, LLAMA_TEXT, "\"bos_token_id\"",
                        "\"attention_bias\":true,\"bos_token_id\"");
    config_text_load_well(state, text, &shape);
    assert_int_equal(shape.biases, LLM_ATTENTION_MODULES);
}

/* Mistral is LLaMA whose layers have a window. */
static void mistral_has_a_window_where_it_is_below_the_context(void **state)
{
    static const struct {
        const char *keys;
        uint32_t window, reach, kv_heads;
    } cases[] = {
        {"\"max_position_embeddings\":4096", 0, 4096, 8},
        {"\"max_position_embeddings\":5000", 4096, 5000, 8},
        {"\"max_position_embeddings\":5000,\"sliding_window\":null", 0, 5000, 8},
        {"\"max_position_embeddings\":5000,\"sliding_window\":1024", 1024, 5000, 8},
        {"\"max_position_embeddings\":5000,\"sliding_window\":8192", 0, 5000, 8},
        {"\"max_position_embeddings\":64,\"num_key_value_heads\":null", 0, 64, 32},
        {"\"max_position_embeddings\":64,\"num_key_value_heads\":4", 0, 64, 4},
    };
    char mistral[2048], text[2048], kept[64];
    config_text_replace(mistral, sizeof mistral, LLAMA_TEXT, "\"llama\"", "\"mistral\"");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        llm_shape_t shape, again;
        fmq_error_t err = {0};
        config_text_replace(text, sizeof text, mistral, "\"max_position_embeddings\":4096",
                            cases[i].keys);
        config_text_load_well(state, text, &shape);
        assert_string_equal(shape.arch->hf_class, "MistralForCausalLM");
        assert_int_equal(shape.window, cases[i].window);
        assert_int_equal(llm_shape_reach(&shape), cases[i].reach);
        assert_int_equal(shape.kv_heads, cases[i].kv_heads);
        char *written = llm_shape_text(&shape, &err);
        (void)snprintf(kept, sizeof kept, "\"max_position_embeddings\":%u", shape.context);
        assert_non_null(strstr(written, kept));
        assert_int_equal(llm_shape_parse(&again, "text", written, strlen(written), &err), 0);
        assert_int_equal(again.window, cases[i].window);
        free(written);
    }
    llm_shape_t shape; /* LLaMA has no window, whatever is written there */
    config_text_replace(text, sizeof text, LLAMA_TEXT, "\"max_position_embeddings\":4096",
                        "\"max_position_embeddings\":5000,\"sliding_window\":64");
    config_text_load_well(state, text, &shape);
    assert_int_equal(llm_shape_reach(&shape), 5000);
    assert_int_equal(shape.kv_heads, 32);
}

/* As transformers has it: the class's own values where a key is not there. */
static void ends_that_nobody_mentions_are_the_familys(void **state)
{
    char text[2048];
    llm_shape_t shape;
    config_text_replace(text, sizeof text, LLAMA_TEXT, "\"bos_token_id\":1,\"eos_token_id\":2",
                        "\"a\":1,\"b\":2");
    config_text_load_well(state, text, &shape);
    assert_int_equal(shape.bos, 1);
    assert_int_equal(shape.eos, 2);
    config_text_replace(text, sizeof text, LLAMA_TEXT, "\"eos_token_id\":2",
                        "\"eos_token_id\":null");
    config_text_load_well(state, text, &shape);
    assert_int_equal(shape.eos, -1);
    config_text_replace(text, sizeof text, LLAMA_TEXT, "\"eos_token_id\":2",
                        "\"eos_token_id\":[9,7,99999999,8]");
    config_text_load_well(state, text, &shape);
    assert_int_equal(shape.eos, 9);
    assert_int_equal(shape.ends_size, 2);
    assert_int_equal(shape.ends[0], 7);
    assert_int_equal(shape.ends[1], 8);
    fmq_error_t err = {0};
    char *written = llm_shape_text(&shape, &err);
    assert_non_null(strstr(written, "\"eos_token_id\":[9,7,8]"));
    free(written);
}

static void a_token_beyond_the_vocabulary_is_absent(void **state)
{
    char text[2048];
    config_text_replace(text, sizeof text, GPT2_TEXT, "50257", "61");
    llm_shape_t shape;
    config_text_load_well(state, text, &shape);
    assert_int_equal(shape.bos, -1);
    assert_int_equal(shape.eos, -1);
}

static void every_bad_value_is_refused_by_name(void **state)
{
    static const struct {
        const char *text, *from, *to, *named;
        fmq_error_code_t code;
    } cases[] = {
        {GPT2_TEXT, "\"gpt2\"", "\"gpt5\"", "known: gpt2, llama", FMQ_ERR_UNSUPPORTED},
        {GPT2_TEXT, "\"model_type\":\"gpt2\",", "", "model_type", FMQ_ERR_FORMAT},
        {GPT2_TEXT, "\"n_layer\":12,", "", "'n_layer' is missing", FMQ_ERR_FORMAT},
        {GPT2_TEXT, "\"n_layer\":12", "\"n_layer\":0", "n_layer", FMQ_ERR_LIMIT},
        {GPT2_TEXT, "\"n_layer\":12", "\"n_layer\":-3", "n_layer", FMQ_ERR_LIMIT},
        {GPT2_TEXT, "\"n_layer\":12", "\"n_layer\":1.5", "n_layer", FMQ_ERR_FORMAT},
        {GPT2_TEXT, "\"n_layer\":12", "\"n_layer\":\"12\"", "n_layer", FMQ_ERR_FORMAT},
        {GPT2_TEXT, "\"n_layer\":12", "\"n_layer\":1e300", "n_layer", FMQ_ERR_LIMIT},
        {GPT2_TEXT, "50257", "4000000000", "vocab_size", FMQ_ERR_LIMIT},
        {GPT2_TEXT, "\"n_head\":12", "\"n_head\":7", "n_head", FMQ_ERR_FORMAT},
        {GPT2_TEXT, "gelu_new", "relu2", "relu2", FMQ_ERR_UNSUPPORTED},
        {GPT2_TEXT, "1e-05", "-1", "layer_norm_epsilon", FMQ_ERR_FORMAT},
        {GPT2_TEXT, "50256", "\"x\"", "bos_token_id", FMQ_ERR_FORMAT},
        {GPT2_TEXT, "\"n_inner\":null", "\"scale_attn_weights\":false", "scale_attn_weights",
         FMQ_ERR_UNSUPPORTED},
        {GPT2_TEXT, "\"n_inner\":null", "\"n_inner\":null,\"n_inner\":1", "JSON", FMQ_ERR_FORMAT},
        {LLAMA_TEXT, "\"intermediate_size\":11008,", "", "intermediate_size", FMQ_ERR_FORMAT},
        {LLAMA_TEXT, "silu", "mish", "hidden_act", FMQ_ERR_UNSUPPORTED},
        {LLAMA_TEXT, "\"bos_token_id\":1", "\"num_key_value_heads\":5", "num_key_value_heads",
         FMQ_ERR_FORMAT},
        {LLAMA_TEXT, "\"bos_token_id\":1", "\"head_dim\":33", "odd", FMQ_ERR_FORMAT},
        {LLAMA_TEXT, "\"bos_token_id\":1", "\"head_dim\":65536", "wider", FMQ_ERR_LIMIT},
        {LLAMA_TEXT, "\"bos_token_id\":1", "\"tie_word_embeddings\":1", "true or false",
         FMQ_ERR_FORMAT},
        {LLAMA_TEXT, "\"bos_token_id\":1", "\"rope_scaling\":3", "rope_scaling", FMQ_ERR_FORMAT},
        {LLAMA_TEXT, "\"bos_token_id\":1", "\"rope_scaling\":{\"type\":\"ntk\",\"factor\":4}",
         "yarn", FMQ_ERR_UNSUPPORTED},
        {LLAMA_TEXT, "\"bos_token_id\":1", "\"rope_scaling\":{\"type\":\"linear\"}", "factor",
         FMQ_ERR_FORMAT},
        {LLAMA_TEXT, "\"bos_token_id\":1", "\"quantization_config\":{}", "quantization_config",
         FMQ_ERR_UNSUPPORTED},
        {LLAMA31_TEXT, "\"high_freq_factor\":4.0", "\"high_freq_factor\":1.0", "high_freq_factor",
         FMQ_ERR_FORMAT},
        {LLAMA31_TEXT, "\"original_max_position_embeddings\":8192,", "",
         "original_max_position_embeddings", FMQ_ERR_FORMAT},
        {LLAMA31_TEXT, "\"rope_theta\":500000.0", "\"rope_theta\":0", "rope_theta", FMQ_ERR_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[2048];
        config_text_replace(text, sizeof text, cases[i].text, cases[i].from, cases[i].to);
        llm_shape_t shape = {.layers = 77};
        fmq_error_t err = {0};
        assert_int_equal(config_text_load(state, text, &shape, &err), -1);
        if (err.code != cases[i].code || !strstr(err.text, cases[i].named) ||
            !strstr(err.text, "config.json"))
            fail_msg("case %zu: %s: %s", i, fmq_error_name(err.code), err.text);
        assert_int_equal(shape.layers, 77); /* untouched */
    }
}

static void files_that_are_no_config_are_refused(void **state)
{
    llm_shape_t shape;
    fmq_error_t err = {0};
    assert_int_equal(llm_shape_load(&shape, scratch_path(*state, "none.json"), &err), -1);
    assert_int_equal(err.code, FMQ_ERR_NOTFOUND);
    assert_int_equal(llm_shape_load(&shape, scratch_folder(*state, "folder.json"), &err), -1);
    assert_int_equal(config_text_load(state, "[1]", &shape, &err), -1);
    assert_non_null(strstr(err.text, "object"));
    assert_int_equal(config_text_load(state, "", &shape, &err), -1);
    assert_int_equal(config_text_load(state, "{\"a\":", &shape, &err), -1);
    static char deep[100001];
    memset(deep, '[', sizeof deep - 1);
    assert_int_equal(config_text_load(state, deep, &shape, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_FORMAT);
}

static void activations_are_found_under_every_name_of_theirs(void **state)
{
    (void)state;
    llm_activation_t found = LLM_ACTIVATIONS, again = LLM_ACTIVATIONS;
    for (int a = 0; a < LLM_ACTIVATIONS; a++) {
        assert_true(llm_activation_find(llm_activation_name((llm_activation_t)a), &found));
        assert_int_equal(found, a);
    }
    assert_true(llm_activation_find("swish", &again) && again == LLM_ACTIVATION_SILU);
    assert_true(llm_activation_find("gelu_pytorch_tanh", &again) &&
                again == LLM_ACTIVATION_GELU_TANH);
    assert_false(llm_activation_find("mish", &again));
}

static void the_table_is_enumerable_and_complete(void **state)
{
    (void)state;
    const llm_arch_t *row;
    size_t rows = 0;
    for (; (row = llm_arch_at(rows)); rows++) {
        /* Rows of one family stand together, each with other switches. */
        const llm_arch_t *first = llm_arch_find(row->model_type);
        assert_non_null(first);
        for (const llm_arch_t *one = first; one != row; one++) {
            assert_string_equal(one->model_type, row->model_type);
            assert_string_equal(one->switches[0].key, row->switches[0].key);
            assert_memory_not_equal(one->switches, row->switches, sizeof one->switches);
        }
        assert_non_null(row->modules[LLM_O]);
        assert_true((row->modules[LLM_QKV] != NULL) != (row->modules[LLM_Q] != NULL));
        assert_non_null(row->lora_targets[0]);
        assert_true((row->positions == LLM_POSITIONS_LEARNED) == (row->position_embedding != NULL));
        llm_activation_t activation;
        assert_true(llm_activation_find(row->activation, &activation));
        assert_true(row->keys && row->norm_eps > 0);
    }
    assert_true(rows >= 2);
    assert_null(llm_arch_find("bert"));
}

static void the_config_of_tinystories_656k_loads(void **state)
{
    (void)state;
    llm_shape_t shape;
    fmq_error_t err = {0};
    assert_int_equal(
        llm_shape_load(&shape, scratch_asset("models/TinyStories-656K/config.json"), &err), 0);
    assert_int_equal(shape.width, 128);
    assert_int_equal(shape.kv_heads, 4);
    assert_int_equal(shape.eos, 2);
    assert_true(shape.tied);
    assert_true(llm_shape_parameters(&shape) == 656000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2_has_124439808_parameters),
        cmocka_unit_test(llama2_7b_has_6738415616_parameters),
        cmocka_unit_test(llama31_8b_has_8030261248_parameters_and_its_first_end_token),
        cmocka_unit_test(the_outputs_and_inputs_of_modules_follow_heads_and_ffn),
        cmocka_unit_test(plain_rope_frequencies_are_powers_of_theta),
        cmocka_unit_test(llama3_scaling_keeps_short_waves_and_stretches_long_ones),
        cmocka_unit_test(linear_scaling_divides_every_frequency),
        cmocka_unit_test(rope_parameters_of_newer_configs_are_read),
        cmocka_unit_test(a_saved_shape_loads_as_itself),
        cmocka_unit_test(a_saved_config_writes_short_decimals_and_the_class),
        cmocka_unit_test(biases_head_width_and_ties_can_be_given),
        cmocka_unit_test(mistral_has_a_window_where_it_is_below_the_context),
        cmocka_unit_test(ends_that_nobody_mentions_are_the_familys),
        cmocka_unit_test(a_token_beyond_the_vocabulary_is_absent),
        cmocka_unit_test(every_bad_value_is_refused_by_name),
        cmocka_unit_test(files_that_are_no_config_are_refused),
        cmocka_unit_test(activations_are_found_under_every_name_of_theirs),
        cmocka_unit_test(the_table_is_enumerable_and_complete),
        cmocka_unit_test(the_config_of_tinystories_656k_loads),
    };
    return cmocka_run_group_tests(tests, config_text_set_up, config_text_tear_down);
}
