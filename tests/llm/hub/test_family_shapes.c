/*
 * test_family_shapes.c - config.json of families that are like LLaMA, and what
 * each of them reads differently.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/llm/hub/config_text.h"

/* A config of LLaMA's keys, of another family. */
static void as(char *out, size_t size, const char *model_type, const char *more)
{
    char named[64], text[2048], added[512];
    (void)snprintf(named, sizeof named, "\"%s\"", model_type);
    (void)snprintf(added, sizeof added, "%s\"bos_token_id\":1", more);
    config_text_replace(text, sizeof text, LLAMA_TEXT, "\"llama\"", named);
    config_text_replace(out, size, text, "\"bos_token_id\":1", added);
}

/* What is written is read as the same. */
static void comes_back(const llm_shape_t *shape)
{
    llm_shape_t again;
    fmq_error_t err = {0};
    char *text = llm_shape_text(shape, &err);
    assert_non_null(text);
    if (llm_shape_parse(&again, "text", text, strlen(text), &err) < 0)
        fail_msg("%s: %s", shape->arch->model_type, err.text);
    assert_true(llm_shape_same_family(shape, &again));
    for (uint32_t l = 0; l < shape->layers; l++)
        assert_true(llm_shape_same_layer(shape, l, &again, l));
    free(text);
}

static void every_family_comes_back_as_it_was_written(void **state)
{
    const llm_arch_t *row;
    for (size_t i = 0; (row = llm_arch_at(i)); i++) {
        char text[2048];
        llm_shape_t shape;
        if (row->keys->kv_heads == NULL)
            continue; /* other keys */
        as(text, sizeof text, row->model_type, "\"num_key_value_heads\":8,\"norm_epsilon\":1e-05,");
        config_text_load_well(state, text, &shape);
        comes_back(&shape);
    }
}

static void families_have_biases_where_transformers_has_them(void **state)
{
    char text[2048];
    llm_shape_t shape;
    as(text, sizeof text, "qwen2", "\"attention_bias\":false,");
    config_text_load_well(state, text, &shape);
    assert_int_equal(shape.biases, 1u << LLM_Q | 1u << LLM_K | 1u << LLM_V);
    as(text, sizeof text, "mistral", "\"attention_bias\":true,\"mlp_bias\":true,");
    config_text_load_well(state, text, &shape);
    assert_int_equal(shape.biases, 0);
    as(text, sizeof text, "starcoder2", "\"num_key_value_heads\":8,\"use_bias\":false,");
    config_text_load_well(state, text, &shape);
    assert_int_equal(shape.biases, 0);
}

static void multipliers_are_read_and_one_is_none(void **state)
{
    char text[2048];
    llm_shape_t shape;
    as(text, sizeof text, "granite",
       "\"embedding_multiplier\":12.0,\"residual_multiplier\":0.22,"
       "\"attention_multiplier\":0.0078125,\"logits_scaling\":8.0,");
    config_text_load_well(state, text, &shape);
    assert_true(shape.embedding_scale == 12.0f && shape.residual_scale == 0.22f);
    assert_true(llm_shape_attention_scale(&shape) == 0.0078125f && shape.logit_scale == 0.125f);
    comes_back(&shape);
    as(text, sizeof text, "granite", "");
    config_text_load_well(state, text, &shape);
    assert_true(shape.embedding_scale == 0 && shape.residual_scale == 0 && shape.logit_scale == 0);
    assert_true(llm_shape_attention_scale(&shape) == 1.0f); /* as transformers has it */
    as(text, sizeof text, "gemma", "\"num_key_value_heads\":8,\"hidden_act\":\"gelu\",");
    char other[2048];
    config_text_replace(other, sizeof other, text, ",\"hidden_act\":\"silu\"", "");
    config_text_load_well(state, other, &shape);
    assert_true(shape.embedding_scale == 64.0f); /* the root of 4096 */
    assert_int_equal(shape.activation, LLM_ACTIVATION_GELU_TANH);
}

static void layers_turn_and_have_windows_as_the_family_says(void **state)
{
    static const struct {
        const char *type, *more;
        uint32_t window;
        bool windowed[8], unrotated[8];
    } cases[] = {
        {"smollm3", "", 0, {0}, {0, 0, 0, 1, 0, 0, 0, 1}},
        {"smollm3", "\"no_rope_layer_interval\":2,", 0, {0}, {0, 1, 0, 1, 0, 1, 0, 1}},
        {"smollm3", "\"no_rope_layers\":[0,1,1,1,1,1,1,0],", 0, {0}, {1, 0, 0, 0, 0, 0, 0, 1}},
        {"smollm3",
         "\"use_sliding_window\":true,\"sliding_window\":64,",
         64,
         {0, 0, 0, 1, 0, 0, 0, 1},
         {0, 0, 0, 1, 0, 0, 0, 1}},
        {"qwen2", "\"sliding_window\":64,", 0, {0}, {0}},
        {"qwen2", "\"sliding_window\":64,\"use_sliding_window\":true,", 0, {0}, {0}},
        {"qwen3",
         "\"sliding_window\":64,\"use_sliding_window\":true,\"max_window_layers\":6,",
         64,
         {0, 0, 0, 0, 0, 0, 1, 1},
         {0}},
        {"mistral", "\"sliding_window\":64,", 64, {1, 1, 1, 1, 1, 1, 1, 1}, {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[2048], eight[2048];
        llm_shape_t shape;
        as(text, sizeof text, cases[i].type, cases[i].more);
        config_text_replace(eight, sizeof eight, text, "\"num_hidden_layers\":32",
                            "\"num_hidden_layers\":8");
        config_text_load_well(state, eight, &shape);
        assert_int_equal(shape.window, cases[i].window);
        for (uint32_t l = 0; l < 8; l++) {
            assert_int_equal(llm_layer_bit(&shape.windowed, l), cases[i].windowed[l]);
            assert_int_equal(llm_layer_bit(&shape.unrotated, l), cases[i].unrotated[l]);
        }
        comes_back(&shape);
    }
}

static void bad_values_of_families_are_refused_by_name(void **state)
{
    static const struct {
        const char *type, *more, *named;
    } cases[] = {
        {"smollm3", "\"no_rope_layers\":[1,0],", "no_rope_layers"},
        {"smollm3", "\"no_rope_layers\":7,", "no_rope_layers"},
        {"smollm3", "\"no_rope_layer_interval\":0,", "no_rope_layer_interval"},
        {"qwen3", "\"layer_types\":[\"full_attention\"],", "layer_types"},
        {"qwen3", "\"use_sliding_window\":1,", "use_sliding_window"},
        {"granite", "\"residual_multiplier\":0,", "residual_multiplier"},
        {"granite", "\"logits_scaling\":\"8\",", "logits_scaling"},
        {"olmo2", "\"sliding_window\":64,\"head_dim\":33,", "odd"},
        {"qwen2_moe", "", "the nearest is 'qwen2', Qwen2ForCausalLM"},
        {"lama", "", "the nearest is 'llama', LlamaForCausalLM"},
        {"bert", "", "'bert' is not known (known: gpt2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[2048];
        llm_shape_t shape;
        fmq_error_t err = {0};
        as(text, sizeof text, cases[i].type, cases[i].more);
        assert_int_equal(config_text_load(state, text, &shape, &err), -1);
        if (!strstr(err.text, cases[i].named))
            fail_msg("case %zu: %s", i, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_family_comes_back_as_it_was_written),
        cmocka_unit_test(families_have_biases_where_transformers_has_them),
        cmocka_unit_test(multipliers_are_read_and_one_is_none),
        cmocka_unit_test(layers_turn_and_have_windows_as_the_family_says),
        cmocka_unit_test(bad_values_of_families_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, config_text_set_up, config_text_tear_down);
}
