/*
 * test_virtual.c - virtual tokens: their tensors and first values, how much
 * fits, dropout's gradient, and what is refused.  What they compute is compared
 * with PEFT in tests/llm/train/test_golden_virtual.c.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fedmq/llm/generate.h"
#include "fedmq/llm/offsite.h"
#include "fedmq/llm/tokenizer.h"
#include "tests/llm/pass/tiny.h"

#define QUICKSTART FEDMQ_SOURCE_DIR "/configs/quickstart/model"

static llm_adapter_spec_t tokens(llm_adapter_kind_t kind, uint32_t count)
{
    return (llm_adapter_spec_t){.kind = kind, .virtual_tokens = {.count = count, .layers = 2}};
}

static llm_adapter_spec_t encoded(llm_adapter_kind_t kind, llm_encoder_kind_t encoder,
                                  uint32_t hidden)
{
    llm_adapter_spec_t spec = tokens(kind, 3);
    spec.virtual_tokens.encoder = encoder;
    spec.virtual_tokens.hidden = hidden;
    return spec;
}

static void check(bool ok, const fmq_error_t *err)
{
    if (!ok)
        fail_msg("%s", err->text);
}

static llm_adapter_t *adapter_of(const llm_shape_t *shape, const llm_adapter_spec_t *spec)
{
    fmq_error_t err;
    llm_adapter_t *adapter = llm_adapter_new(shape, spec, &err);
    check(adapter, &err);
    return adapter;
}

static void expect_tensor(const llm_adapter_t *adapter, size_t index, const char *name,
                          uint64_t rows, uint64_t columns)
{
    const fmq_tensor_t *tensor = fmq_schema_at(llm_adapter_schema(adapter), index);
    assert_string_equal(tensor->name, name);
    assert_int_equal(tensor->rank, columns ? 2 : 1);
    assert_int_equal(tensor->shape[0], rows);
    if (columns)
        assert_int_equal(tensor->shape[1], columns);
}

static void tensors_have_the_names_of_pefts_modules(void **state)
{
    (void)state;
    llm_shape_t llama = tiny_llama(); /* width 16, two layers of a key head 12 wide */
    llm_adapter_spec_t spec = encoded(LLM_ADAPTER_P_TUNING, LLM_ENCODER_LSTM, 5);
    llm_adapter_t *adapter = adapter_of(&llama, &spec);
    assert_int_equal(fmq_schema_size(llm_adapter_schema(adapter)), 1 + 2 * 2 * 4 + 4);
    expect_tensor(adapter, 0, "prompt_encoder.embedding.weight", 3, 16);
    expect_tensor(adapter, 1, "prompt_encoder.lstm_head.weight_ih_l0", 20, 16);
    expect_tensor(adapter, 6, "prompt_encoder.lstm_head.weight_hh_l0_reverse", 20, 5);
    expect_tensor(adapter, 9, "prompt_encoder.lstm_head.weight_ih_l1", 20, 10);
    expect_tensor(adapter, 17, "prompt_encoder.mlp_head.0.weight", 10, 10);
    expect_tensor(adapter, 20, "prompt_encoder.mlp_head.2.bias", 16, 0);
    assert_int_equal(llm_adapter_first_layer(adapter), 0);
    llm_adapter_destroy(&adapter);

    spec = encoded(LLM_ADAPTER_PREFIX, LLM_ENCODER_MLP, 0);
    adapter = adapter_of(&llama, &spec);
    size_t width = (size_t)llama.kv_heads * llama.head_width;
    expect_tensor(adapter, 0, "prompt_encoder.embedding.weight", 3, width);
    expect_tensor(adapter, 1, "prompt_encoder.transform.0.weight", width, width);
    expect_tensor(adapter, 3, "prompt_encoder.transform.2.weight", 2 * 2 * width, width);
    assert_int_equal(llm_adapter_reach(adapter), llm_shape_reach(&llama) - 3);
    llm_adapter_destroy(&adapter);
}

static float *values_of(const llm_adapter_t *adapter, const llm_model_t *model, uint64_t seed)
{
    fmq_error_t err;
    uint64_t size = fmq_schema_elements(llm_adapter_schema(adapter));
    float *vector = calloc(size, sizeof *vector);
    check(llm_adapter_init(adapter, model, seed, vector, &err) == 0, &err);
    return vector;
}

/* Standard deviation and largest size of a tensor's values. */
static void measure(const llm_adapter_t *adapter, const float *vector, size_t index, double out[2])
{
    const fmq_tensor_t *tensor = fmq_schema_at(llm_adapter_schema(adapter), index);
    double squares = 0, most = 0;
    for (uint64_t i = 0; i < tensor->count; i++) {
        double value = (double)vector[tensor->offset + i];
        squares += value * value;
        most = fmax(most, fabs(value));
    }
    out[0] = sqrt(squares / (double)tensor->count);
    out[1] = most;
}

static void first_values_are_torchs(void **state)
{
    (void)state;
    fmq_error_t err;
    llm_shape_t shape = tiny_llama();
    llm_model_t *model = llm_model_new_random(&shape, 1, NULL, &err);
    check(model, &err);
    llm_adapter_spec_t spec = encoded(LLM_ADAPTER_P_TUNING, LLM_ENCODER_LSTM, 25);
    spec.virtual_tokens.count = 4;
    llm_adapter_t *adapter = adapter_of(&shape, &spec);
    float *one = values_of(adapter, model, 7), *same = values_of(adapter, model, 7),
          *other = values_of(adapter, model, 8);
    size_t bytes = fmq_schema_elements(llm_adapter_schema(adapter)) * sizeof *one;
    assert_memory_equal(one, same, bytes);
    assert_memory_not_equal(one, other, bytes);
    double found[2];
    measure(adapter, one, 0, found); /* standard normal */
    assert_true(found[0] > 0.7 && found[0] < 1.3);
    for (size_t i = 1; i <= 16; i++) { /* the LSTM's: uniform, bound by 1 / sqrt H */
        measure(adapter, one, i, found);
        assert_true(found[1] <= 0.2 && found[1] > 0.17);
    }
    measure(adapter, one, 17, found); /* Linear(50, 50): 1 / sqrt 50 */
    assert_true(found[1] <= 1 / sqrt(50) && found[1] > 0.13);
    free(one);
    free(same);
    free(other);
    llm_adapter_destroy(&adapter);

    spec = encoded(LLM_ADAPTER_PREFIX, LLM_ENCODER_MLP, 6);
    spec.virtual_tokens.init = LLM_VIRTUAL_ZERO;
    adapter = adapter_of(&shape, &spec);
    float *zero = values_of(adapter, model, 7);
    measure(adapter, zero, 1, found);
    assert_true(found[1] > 0);
    for (size_t i = 3; i < 5; i++) {
        measure(adapter, zero, i, found);
        assert_true(found[1] == 0.0);
    }
    free(zero);
    llm_adapter_destroy(&adapter);
    llm_model_destroy(&model);
}

static void a_prompt_may_begin_as_embeddings_of_tokens(void **state)
{
    (void)state;
    fmq_error_t err;
    static const char text[] = "Repeat the word";
    llm_model_t *model = llm_model_open(QUICKSTART, NULL, &err);
    check(model, &err);
    const llm_shape_t *shape = llm_model_shape(model);
    float *table = malloc((size_t)shape->vocab * shape->width * sizeof *table);
    check(llm_model_read(model, "model.embed_tokens.weight", table, &err) == 0, &err);
    llm_tokenizer_t *tokenizer = llm_tokenizer_open(QUICKSTART, &err);
    llm_ids_t ids = {0};
    check(llm_tokenizer_encode(tokenizer, text, strlen(text), true, &ids, &err) == 0, &err);

    size_t row = shape->width * sizeof *table;
    const uint32_t counts[] = {2 * (uint32_t)ids.size + 1, 1}; /* repeated, and cut */
    for (size_t i = 0; i < 2; i++) {
        llm_adapter_spec_t spec = tokens(LLM_ADAPTER_PROMPT, counts[i]);
        spec.virtual_tokens.init = LLM_VIRTUAL_TEXT;
        (void)snprintf(spec.virtual_tokens.text, sizeof spec.virtual_tokens.text, "%s", text);
        (void)snprintf(spec.virtual_tokens.tokenizer, sizeof spec.virtual_tokens.tokenizer, "%s",
                       QUICKSTART);
        llm_adapter_t *adapter = adapter_of(shape, &spec);
        float *values = values_of(adapter, model, 1);
        for (size_t r = 0; r < counts[i]; r++)
            assert_memory_equal(values + r * shape->width,
                                table + (size_t)ids.ids[r % ids.size] * shape->width, row);
        free(values);
        llm_adapter_destroy(&adapter);
    }
    llm_adapter_spec_t spec = tokens(LLM_ADAPTER_PROMPT, 4);
    spec.virtual_tokens.init = LLM_VIRTUAL_VOCABULARY;
    llm_adapter_t *adapter = adapter_of(shape, &spec);
    float *values = values_of(adapter, model, 1);
    for (size_t r = 0; r < 4; r++) {
        size_t id = 0;
        while (id < shape->vocab &&
               memcmp(values + r * shape->width, table + id * shape->width, row) != 0)
            id++;
        assert_true(id < shape->vocab);
    }
    free(values);
    spec.virtual_tokens.init = LLM_VIRTUAL_TEXT;
    llm_adapter_destroy(&adapter);
    adapter = adapter_of(shape, &spec);
    values = calloc(4, row);
    assert_int_equal(llm_adapter_init(adapter, model, 1, values, &err), -1);
    assert_non_null(strstr(err.text, "tokenizer_name_or_path"));
    free(values);
    llm_adapter_destroy(&adapter);
    llm_ids_release(&ids);
    llm_tokenizer_destroy(&tokenizer);
    free(table);
    llm_model_destroy(&model);
}

/* (L(p + h d) - L(p - h d)) / 2h along the gradient itself, which has to be its
 * square; the same dropout falls in every pass. */
static void dropout_within_an_lstm_has_a_true_gradient(void **state)
{
    (void)state;
    fmq_error_t err;
    llm_shape_t shape = tiny_gpt2();
    llm_adapter_spec_t spec = encoded(LLM_ADAPTER_P_TUNING, LLM_ENCODER_LSTM, 5);
    spec.virtual_tokens.dropout = 0.4f;
    shape.context += 3;
    tiny_t tiny;
    tiny_batch_t batch = {0};
    tiny_init(&tiny, &shape, &spec, llm_backend_reference_new(&err));
    tiny_batch_init(&batch);
    const fmq_rng_name_t name = {.seed = 3, .purpose = FMQ_RNG_DROPOUT, .step = 4};
    double loss = 0, without = 0, sides[2];
    check(llm_workspace_train(tiny.ws, &batch.batch, 1, &name, &loss, &err) == 0, &err);
    check(llm_workspace_loss(tiny.ws, &batch.batch, &without, &err) == 0, &err);
    assert_true(loss != without);
    float *grads = malloc(tiny.elements * sizeof *grads),
          *moved = malloc(sizeof *moved * tiny.elements);
    memcpy(grads, llm_workspace_grads(tiny.ws), tiny.elements * sizeof *grads);
    double square = tiny.be->ops->sum_squares(tiny.be, grads, tiny.elements);
    double h = 4e-3 / sqrt(square);
    for (int side = 0; side < 2; side++) {
        for (uint64_t i = 0; i < tiny.elements; i++)
            moved[i] = tiny.vector[i] + (float)(side ? h : -h) * grads[i];
        check(llm_workspace_set_params(tiny.ws, moved, &err) == 0, &err);
        check(llm_workspace_train(tiny.ws, &batch.batch, 1, &name, &sides[side], &err) == 0, &err);
    }
    double found = (sides[1] - sides[0]) / (2 * h);
    if (!(fabs(found - square) <= 2e-2 * square))
        fail_msg("the gradient's square is %g, differences say %g", square, found);
    free(grads);
    free(moved);
    tiny_release(&tiny);
}

static void a_batch_that_does_not_fit_with_them_is_refused(void **state)
{
    (void)state;
    fmq_error_t err;
    llm_shape_t shape = tiny_gpt2();
    shape.context = 10; /* the longest sequence of the batch and two */
    llm_adapter_spec_t spec = tokens(LLM_ADAPTER_PREFIX, 2);
    llm_model_t *model = llm_model_new_random(&shape, 1, NULL, &err);
    llm_backend_t *be = llm_backend_reference_new(&err);
    tiny_batch_t batch = {0};
    tiny_batch_init(&batch);
    double loss = 0;
    uint32_t longest = 0;
    for (size_t s = 0; s < 3; s++)
        if (batch.starts[s + 1] - batch.starts[s] > longest)
            longest = batch.starts[s + 1] - batch.starts[s];
    for (size_t sequences = 2; sequences <= 3; sequences++) {
        llm_adapter_t *adapter = adapter_of(&shape, &spec);
        llm_limits_t limits = {.tokens_max = TINY_TOKENS, .sequences_max = sequences};
        llm_workspace_t *ws = llm_workspace_new(model, adapter, &limits, be, &err);
        check(ws, &err);
        int rc = llm_workspace_loss(ws, &batch.batch, &loss, &err);
        assert_int_equal(rc, sequences == 3 ? 0 : -1);
        if (rc < 0) {
            assert_int_equal(err.code, FMQ_ERR_LIMIT);
            assert_non_null(strstr(err.text, "2 virtual tokens"));
        }
        llm_stack_t stack = {.model = model, .adapter = adapter};
        llm_limits_t more = {.tokens_max = TINY_TOKENS, .sequences_max = 3};
        assert_int_equal(llm_workspace_serves(ws, &stack, &more), sequences == 3);
        llm_workspace_destroy(&ws);
        llm_adapter_destroy(&adapter);
    }
    spec.virtual_tokens.count = 10 - longest + 1;
    llm_adapter_t *adapter = adapter_of(&shape, &spec);
    llm_limits_t limits = {.tokens_max = TINY_TOKENS};
    llm_workspace_t *ws = llm_workspace_new(model, adapter, &limits, be, &err);
    check(ws, &err);
    assert_int_equal(llm_workspace_loss(ws, &batch.batch, &loss, &err), -1);
    assert_non_null(strstr(err.text, "virtual ones"));
    assert_null(llm_generator_new(model, adapter, llm_adapter_reach(adapter) + 1, be, &err));
    assert_non_null(strstr(err.text, "virtual tokens"));
    llm_workspace_destroy(&ws);
    llm_adapter_destroy(&adapter);
    spec.virtual_tokens.count = 10;
    assert_null(llm_adapter_new(&shape, &spec, &err));
    assert_non_null(strstr(err.text, "leaves no room"));
    llm_model_destroy(&model);
    llm_backend_destroy(&be);
}

static void they_are_not_merged_nor_fixed(void **state)
{
    (void)state;
    fmq_error_t err;
    llm_shape_t shape = tiny_gpt2();
    llm_adapter_spec_t spec = tokens(LLM_ADAPTER_PROMPT, 2), lora = tiny_lora("", 0);
    llm_model_t *model = llm_model_new_random(&shape, 1, NULL, &err);
    llm_adapter_t *adapter = adapter_of(&shape, &spec), *other = adapter_of(&shape, &lora);
    float *vector = values_of(adapter, model, 1);
    llm_merge_t merge = {.adapter = adapter, .vector = vector};
    assert_int_equal(llm_model_export(model, &merge, 1, NULL, FMQ_F32, "/tmp/fedmq-none", &err),
                     -1);
    assert_non_null(strstr(err.text, "cannot be merged"));
    llm_backend_t *be = llm_backend_reference_new(&err);
    llm_stack_t stack = {.model = model, .adapter = other, .fixed = adapter};
    llm_limits_t limits = {.tokens_max = 4};
    assert_null(llm_workspace_new_stack(&stack, &limits, be, &err));
    assert_non_null(strstr(err.text, "virtual tokens"));
    free(vector);
    llm_adapter_destroy(&adapter);
    llm_adapter_destroy(&other);
    llm_model_destroy(&model);
    llm_backend_destroy(&be);
}

/* What is read, with one more key, or a changed one; words: of the error. */
static const struct {
    const char *type, *keys, *words;
} wrong[] = {
    {"PROMPT_TUNING", "", "num_virtual_tokens"},
    {"PROMPT_TUNING", "\"num_virtual_tokens\": 0", "num_virtual_tokens"},
    {"PROMPT_TUNING", "\"num_virtual_tokens\": 4096", "num_virtual_tokens"},
    {"PROMPT_TUNING", "\"num_virtual_tokens\": \"four\"", "num_virtual_tokens"},
    {"PROMPT_TUNING", "\"num_virtual_tokens\": 4, \"prompt_tuning_init\": \"MEAN\"", "MEAN"},
    {"PROMPT_TUNING", "\"num_virtual_tokens\": 4, \"tokenizer_kwargs\": {\"a\": 1}",
     "tokenizer_kwargs"},
    {"PROMPT_TUNING", "\"num_virtual_tokens\": 4, \"modules_to_save\": [\"lm_head\"]",
     "modules_to_save"},
    {"PROMPT_TUNING", "\"num_virtual_tokens\": 4, \"num_transformer_submodules\": 2",
     "num_transformer_submodules"},
    {"PROMPT_TUNING", "\"num_virtual_tokens\": 4, \"prefix_projection\": true",
     "prefix_projection"},
    {"PROMPT_TUNING", "\"num_virtual_tokens\": 4, \"use_magic\": true", "use_magic"},
    {"P_TUNING", "\"num_virtual_tokens\": 4, \"encoder_reparameterization_type\": \"GRU\"", "GRU"},
    {"P_TUNING", "\"num_virtual_tokens\": 4, \"encoder_dropout\": 1.0", "encoder_dropout"},
    {"P_TUNING", "\"num_virtual_tokens\": 4, \"encoder_hidden_size\": -1", "encoder_hidden_size"},
    {"P_TUNING", "\"num_virtual_tokens\": 4, \"encoder_num_layers\": 99", "encoder_num_layers"},
    {"PREFIX_TUNING", "\"num_virtual_tokens\": 4, \"init_weights\": \"ones\"", "init_weights"},
    {"MULTITASK_PROMPT_TUNING", "\"num_virtual_tokens\": 4", "MULTITASK_PROMPT_TUNING"},
};

static void write_config(const char *directory, const char *type, const char *keys)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/adapter_config.json", directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fprintf(file, "{\"peft_type\": \"%s\"%s%s}", type, *keys ? ", " : "", keys);
    (void)fclose(file);
}

static void what_cannot_be_honoured_is_refused_by_its_key(void **state)
{
    (void)state;
    fmq_error_t err;
    char directory[] = "/tmp/fedmq-virtual-XXXXXX", path[256];
    assert_non_null(mkdtemp(directory));
    llm_adapter_spec_t spec;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        write_config(directory, wrong[i].type, wrong[i].keys);
        assert_int_equal(llm_adapter_spec_load(directory, &spec, &err), -1);
        if (!strstr(err.text, wrong[i].words))
            fail_msg("the error says '%s', not %s", err.text, wrong[i].words);
    }
    llm_shape_t shape = tiny_gpt2();
    static const char *const measures[] = {"token_dim", "num_attention_heads", "num_layers"};
    llm_adapter_spec_t prefix = tokens(LLM_ADAPTER_PREFIX, 4);
    llm_adapter_t *adapter = adapter_of(&shape, &prefix);
    float *vector = calloc(fmq_schema_elements(llm_adapter_schema(adapter)), sizeof *vector);
    for (size_t i = 0; i < 3; i++) {
        char keys[128];
        (void)snprintf(keys, sizeof keys, "\"num_virtual_tokens\": 4, \"%s\": 77", measures[i]);
        write_config(directory, "PREFIX_TUNING", keys);
        assert_int_equal(llm_adapter_load(adapter, directory, vector, &err), -1);
        assert_int_equal(err.code, FMQ_ERR_MISMATCH);
        assert_non_null(strstr(err.text, measures[i]));
    }
    write_config(directory, "PREFIX_TUNING", "\"num_virtual_tokens\": 5");
    assert_int_equal(llm_adapter_load(adapter, directory, vector, &err), -1);
    assert_non_null(strstr(err.text, "num_virtual_tokens"));
    free(vector);
    llm_adapter_destroy(&adapter);

    /* What PEFT saved of an encoder is not one. */
    prefix.virtual_tokens.encoder = LLM_ENCODER_MLP;
    adapter = adapter_of(&shape, &prefix);
    vector = calloc(fmq_schema_elements(llm_adapter_schema(adapter)), sizeof *vector);
    write_config(directory, "PREFIX_TUNING",
                 "\"num_virtual_tokens\": 4, \"prefix_projection\": true");
    assert_int_equal(llm_adapter_load(adapter, directory, vector, &err), -1);
    assert_non_null(strstr(err.text, "prompt_encoder.safetensors"));
    free(vector);
    llm_adapter_destroy(&adapter);
    (void)snprintf(path, sizeof path, "%s/adapter_config.json", directory);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(directory), 0);
}

static void numbers_out_of_range_are_refused(void **state)
{
    (void)state;
    fmq_error_t err;
    llm_shape_t shape = tiny_gpt2();
    llm_adapter_spec_t spec = tokens(LLM_ADAPTER_PROMPT, 0);
    assert_null(llm_adapter_new(&shape, &spec, &err));
    assert_non_null(strstr(err.text, "num_virtual_tokens"));
    spec = encoded(LLM_ADAPTER_P_TUNING, LLM_ENCODER_LSTM, 4);
    spec.virtual_tokens.layers = 0;
    assert_null(llm_adapter_new(&shape, &spec, &err));
    assert_non_null(strstr(err.text, "encoder_num_layers"));
    spec.virtual_tokens.layers = 1;
    spec.virtual_tokens.dropout = NAN;
    assert_null(llm_adapter_new(&shape, &spec, &err));
    assert_non_null(strstr(err.text, "encoder_dropout"));
    spec.virtual_tokens.dropout = 0;
    spec.virtual_tokens.hidden = LLM_ENCODER_HIDDEN_MAX + 1;
    assert_null(llm_adapter_new(&shape, &spec, &err));
    assert_non_null(strstr(err.text, "encoder_hidden_size"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_have_the_names_of_pefts_modules),
        cmocka_unit_test(first_values_are_torchs),
        cmocka_unit_test(a_prompt_may_begin_as_embeddings_of_tokens),
        cmocka_unit_test(dropout_within_an_lstm_has_a_true_gradient),
        cmocka_unit_test(a_batch_that_does_not_fit_with_them_is_refused),
        cmocka_unit_test(they_are_not_merged_nor_fixed),
        cmocka_unit_test(what_cannot_be_honoured_is_refused_by_its_key),
        cmocka_unit_test(numbers_out_of_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
