/*
 * test_adapter.c - schemas and targets, first values, and directories: what is
 * written is read back, and what PEFT can ask for and we cannot do is refused.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fedmq/llm/hub.h"
#include "tests/llm/pass/tiny.h"

static llm_adapter_t *adapter_of(const llm_shape_t *shape, const llm_adapter_spec_t *spec)
{
    fmq_error_t err;
    llm_adapter_t *adapter = llm_adapter_new(shape, spec, &err);
    if (!adapter)
        fail_msg("%s", err.text);
    return adapter;
}

static void expect_tensor(const llm_adapter_t *adapter, size_t index, const char *name,
                          uint64_t rows, uint64_t columns)
{
    const fmq_tensor_t *tensor = fmq_schema_at(llm_adapter_schema(adapter), index);
    assert_string_equal(tensor->name, name);
    assert_int_equal(tensor->shape[0], rows);
    assert_int_equal(tensor->shape[1], columns);
}

static void default_targets_are_pefts(void **state)
{
    (void)state;
    llm_shape_t gpt2 = tiny_gpt2(), llama = tiny_llama();
    llm_adapter_spec_t spec = tiny_lora("", 0.0f);
    llm_adapter_t *adapter = adapter_of(&gpt2, &spec);
    assert_int_equal(fmq_schema_size(llm_adapter_schema(adapter)), 4);
    expect_tensor(adapter, 0, "base_model.model.transformer.h.0.attn.c_attn.lora_A.weight", 3, 16);
    expect_tensor(adapter, 1, "base_model.model.transformer.h.0.attn.c_attn.lora_B.weight", 48, 3);
    expect_tensor(adapter, 2, "base_model.model.transformer.h.1.attn.c_attn.lora_A.weight", 3, 16);
    assert_string_equal(llm_adapter_spec(adapter)->target[0], "c_attn");
    llm_adapter_destroy(&adapter);

    adapter = adapter_of(&llama, &spec);
    assert_int_equal(fmq_schema_size(llm_adapter_schema(adapter)), 8);
    expect_tensor(adapter, 0, "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", 3,
                  16);
    expect_tensor(adapter, 1, "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight", 24,
                  3);
    expect_tensor(adapter, 3, "base_model.model.model.layers.0.self_attn.v_proj.lora_B.weight", 12,
                  3);
    llm_adapter_destroy(&adapter);
}

static void targets_match_leaves_and_dotted_tails_only(void **state)
{
    (void)state;
    static const struct {
        const char *targets;
        size_t tensors;
        uint32_t first_layer;
    } cases[] = {
        {"c_proj", 8, 0}, /* both of attention and MLP, as in PEFT */
        {"attn.c_proj", 4, 0},
        {"1.mlp.c_proj", 2, 1},
        {"transformer.h.1.attn.c_attn", 2, 1},
        {"c_fc 1.attn.c_attn", 6, 0},
    };
    llm_shape_t gpt2 = tiny_gpt2();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        llm_adapter_spec_t spec = tiny_lora(cases[i].targets, 0.0f);
        llm_adapter_t *adapter = adapter_of(&gpt2, &spec);
        assert_int_equal(fmq_schema_size(llm_adapter_schema(adapter)), cases[i].tensors);
        assert_int_equal(llm_adapter_first_layer(adapter), cases[i].first_layer);
        llm_adapter_destroy(&adapter);
    }
}

static void refuse(const llm_adapter_spec_t *spec, const char *words)
{
    fmq_error_t err = {0};
    llm_shape_t gpt2 = tiny_gpt2();
    assert_null(llm_adapter_new(&gpt2, spec, &err));
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
    if (!strstr(err.text, words))
        fail_msg("the error says '%s'", err.text);
}

static void targets_that_name_nothing_are_refused_with_those_that_exist(void **state)
{
    (void)state;
    static const char *const wrong[] = {"q_proj",          "attn",    "_attn",
                                        "c_attn lm_heads", "c_attn.", "te"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        llm_adapter_spec_t spec = tiny_lora(wrong[i], 0.0f);
        refuse(&spec, "c_attn (attn.c_attn)");
    }
}

static void numbers_of_lora_out_of_range_are_refused(void **state)
{
    (void)state;
    llm_adapter_spec_t spec = tiny_lora("", 0.0f);
    spec.rank = 0;
    refuse(&spec, "rank");
    spec.rank = LLM_LORA_RANK_MAX + 1;
    refuse(&spec, "rank");
    spec = tiny_lora("", 1.0f);
    refuse(&spec, "lora_dropout");
    spec = tiny_lora("", -0.1f);
    refuse(&spec, "lora_dropout");
    spec = tiny_lora("", 0.0f);
    spec.alpha = NAN;
    refuse(&spec, "lora_alpha");
    spec = tiny_lora("", 0.0f);
    spec.targets = LLM_TARGETS_MAX + 1;
    refuse(&spec, "target");
    spec.targets = 1;
    memset(spec.target[0], 'x', sizeof spec.target[0]);
    refuse(&spec, "target");
}

static void full_fine_tuning_covers_every_parameter_once(void **state)
{
    (void)state;
    llm_shape_t shapes[] = {tiny_gpt2(), tiny_llama(), tiny_llama_biased()};
    llm_adapter_spec_t spec = tiny_full();
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        llm_adapter_t *adapter = adapter_of(&shapes[i], &spec);
        const fmq_schema_t *schema = llm_adapter_schema(adapter);
        assert_int_equal(fmq_schema_elements(schema), llm_shape_parameters(&shapes[i]));
        assert_int_equal(!fmq_schema_find(schema, "lm_head.weight"), shapes[i].tied);
        assert_int_equal(llm_adapter_first_layer(adapter), 0);
        llm_adapter_destroy(&adapter);
    }
    llm_adapter_t *adapter = adapter_of(&shapes[0], &spec);
    const fmq_tensor_t *conv =
        fmq_schema_find(llm_adapter_schema(adapter), "transformer.h.0.attn.c_attn.weight");
    assert_int_equal(conv->shape[0], 16); /* Conv1D: [in][out] */
    assert_int_equal(conv->shape[1], 48);
    llm_adapter_destroy(&adapter);
}

static void lora_on_some_layers_has_their_modules_alone(void **state)
{
    (void)state;
    llm_shape_t shape = tiny_gpt2();
    shape.layers = 4;
    llm_adapter_spec_t spec = tiny_on_layers(tiny_lora("c_fc 1.attn.c_attn", 0.0f), "1 3");
    llm_adapter_t *adapter = adapter_of(&shape, &spec);
    assert_int_equal(fmq_schema_size(llm_adapter_schema(adapter)), 6);
    expect_tensor(adapter, 0, "base_model.model.transformer.h.1.attn.c_attn.lora_A.weight", 3, 16);
    expect_tensor(adapter, 2, "base_model.model.transformer.h.1.mlp.c_fc.lora_A.weight", 3, 16);
    expect_tensor(adapter, 4, "base_model.model.transformer.h.3.mlp.c_fc.lora_A.weight", 3, 16);
    assert_int_equal(llm_adapter_first_layer(adapter), 1);
    llm_adapter_destroy(&adapter);
}

static void full_fine_tuning_of_some_layers_has_their_tensors_alone(void **state)
{
    (void)state;
    llm_shape_t shapes[] = {tiny_gpt2(), tiny_llama_biased()};
    llm_adapter_spec_t some = tiny_on_layers(tiny_full(), "1 2"), all = tiny_full();
    for (size_t i = 0; i < 2; i++) {
        shapes[i].layers = 4;
        llm_adapter_t *adapter = adapter_of(&shapes[i], &some),
                      *whole = adapter_of(&shapes[i], &all);
        const fmq_schema_t *schema = llm_adapter_schema(adapter);
        for (size_t t = 0; t < fmq_schema_size(schema); t++) {
            const char *name = fmq_schema_at(schema, t)->name;
            assert_true(strstr(name, ".1.") || strstr(name, ".2."));
            assert_non_null(fmq_schema_find(llm_adapter_schema(whole), name));
        }
        shapes[i].layers = 2;
        llm_shape_t without = shapes[i];
        without.layers = 0;
        assert_int_equal(fmq_schema_elements(schema),
                         llm_shape_parameters(&shapes[i]) - llm_shape_parameters(&without));
        assert_int_equal(llm_adapter_first_layer(adapter), 1);
        llm_adapter_destroy(&adapter);
        llm_adapter_destroy(&whole);
    }
}

static void layers_that_do_not_exist_are_refused(void **state)
{
    (void)state;
    llm_adapter_spec_t specs[] = {tiny_lora("", 0.0f), tiny_full()};
    for (size_t i = 0; i < 2; i++) {
        llm_adapter_spec_t spec = tiny_on_layers(specs[i], "1 2");
        refuse(&spec, "layer 2; the model has layers 0 to 1");
        spec = tiny_on_layers(specs[i], "1023");
        refuse(&spec, "layer 1023");
        spec = specs[i];
        llm_layer_set_add(&spec.layers, 1, 1); /* some, yet none */
        refuse(&spec, "no layer");
        llm_layer_set_add(&spec.layers, LLM_LAYERS_MAX, UINT32_MAX); /* left out */
        refuse(&spec, "no layer");
    }
    llm_adapter_spec_t spec = tiny_on_layers(tiny_lora("c_fc 0.attn.c_attn", 0.0f), "1");
    refuse(&spec, "'0.attn.c_attn' names no module of the layers");
}

static void no_adapter_has_an_empty_schema(void **state)
{
    (void)state;
    llm_shape_t shape = tiny_gpt2();
    llm_adapter_spec_t spec = {.kind = LLM_ADAPTER_NONE};
    llm_adapter_t *adapter = adapter_of(&shape, &spec);
    assert_int_equal(fmq_schema_size(llm_adapter_schema(adapter)), 0);
    assert_int_equal(llm_adapter_first_layer(adapter), shape.layers);
    fmq_error_t err;
    assert_int_equal(llm_adapter_save(adapter, NULL, "b", NULL, FMQ_F32, "/tmp/x", &err), -1);
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
    llm_adapter_destroy(&adapter);
}

static void lora_starts_with_kaiming_a_and_zero_b(void **state)
{
    (void)state;
    fmq_error_t err;
    llm_shape_t shape = tiny_gpt2();
    llm_adapter_spec_t spec = tiny_lora("", 0.0f);
    spec.rank = 64;
    llm_adapter_t *adapter = adapter_of(&shape, &spec);
    const fmq_schema_t *schema = llm_adapter_schema(adapter);
    uint64_t elements = fmq_schema_elements(schema);
    float *a = malloc(elements * sizeof *a), *b = malloc(elements * sizeof *b);
    assert_int_equal(llm_adapter_init(adapter, NULL, 4, a, &err), 0);
    for (size_t i = 0; i < fmq_schema_size(schema); i++) {
        const fmq_tensor_t *tensor = fmq_schema_at(schema, i);
        double squares = 0.0;
        for (uint64_t k = 0; k < tensor->count; k++) {
            double value = (double)a[tensor->offset + k];
            squares += value * value;
            assert_true(fabs(value) <= (i % 2 ? 0.0 : 0.25)); /* 1 / sqrt(16) */
        }
        double deviation = sqrt(squares / (double)tensor->count);
        assert_true(fabs(deviation - (i % 2 ? 0.0 : 0.25 / sqrt(3.0))) < 0.01);
    }
    assert_int_equal(llm_adapter_init(adapter, NULL, 4, b, &err), 0);
    assert_memory_equal(a, b, elements * sizeof *a);
    assert_int_equal(llm_adapter_init(adapter, NULL, 5, b, &err), 0);
    assert_memory_not_equal(a, b, elements * sizeof *a);
    free(a);
    free(b);
    llm_adapter_destroy(&adapter);
}

/* A directory that does not exist yet, in a fresh one; removed with its files. */
typedef struct {
    char base[64], path[96];
} place_t;

static void place_init(place_t *self)
{
    (void)snprintf(self->base, sizeof self->base, "/tmp/fedmq-adapter-XXXXXX");
    assert_non_null(mkdtemp(self->base));
    (void)snprintf(self->path, sizeof self->path, "%s/adapter", self->base);
}

static void place_file(const place_t *self, const char *name, char out[160])
{
    (void)snprintf(out, 160, "%s/%s", self->path, name);
}

static void place_release(place_t *self)
{
    static const char *const files[] = {"adapter_config.json",
                                        "adapter_model.safetensors",
                                        "config.json",
                                        "model.safetensors",
                                        "layers.safetensors",
                                        "tokenizer.json",
                                        "notes.txt"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char file[160];
        place_file(self, files[i], file);
        (void)unlink(file);
    }
    assert_int_equal(rmdir(self->path), 0);
    assert_int_equal(rmdir(self->base), 0); /* nothing temporary is left */
}

static void write_text(const place_t *place, const char *name, const char *text)
{
    char file[160];
    place_file(place, name, file);
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
}

static bool exists(const place_t *place, const char *name)
{
    char file[160];
    place_file(place, name, file);
    return access(file, R_OK) == 0;
}

static void check_round_trip(const llm_shape_t *shape, const llm_adapter_spec_t *spec,
                             fmq_dtype_t dtype)
{
    fmq_error_t err;
    place_t place;
    place_init(&place);
    llm_adapter_t *adapter = adapter_of(shape, spec);
    uint64_t elements = fmq_schema_elements(llm_adapter_schema(adapter));
    float *vector = malloc(elements * sizeof *vector), *back = malloc(elements * sizeof *back);
    tiny_normal(vector, elements, 1.0, 3);
    /* Twice: into a new directory, and over an old one. */
    for (int turn = 0; turn < 2; turn++) {
        vector[0] += (float)turn;
        if (llm_adapter_save(adapter, vector, "base", NULL, dtype, place.path, &err) < 0)
            fail_msg("%s", err.text);
        if (llm_adapter_load(adapter, place.path, back, &err) < 0)
            fail_msg("%s", err.text);
        for (uint64_t i = 0; i < elements; i++)
            assert_true(fabsf(back[i] - vector[i]) <=
                        (dtype == FMQ_F32 ? 0.0f : 1e-2f * fabsf(vector[i])));
    }
    free(vector);
    free(back);
    llm_adapter_destroy(&adapter);
    place_release(&place);
}

static void what_is_saved_is_loaded(void **state)
{
    (void)state;
    llm_shape_t gpt2 = tiny_gpt2(), llama = tiny_llama_biased();
    llm_adapter_spec_t lora = tiny_lora("", 0.05f), full = tiny_full();
    check_round_trip(&gpt2, &lora, FMQ_F32);
    check_round_trip(&llama, &lora, FMQ_F16);
    check_round_trip(&gpt2, &full, FMQ_F32);
    check_round_trip(&llama, &full, FMQ_BF16);
    llm_adapter_spec_t second = tiny_on_layers(lora, "1"), first = tiny_on_layers(full, "0");
    check_round_trip(&gpt2, &second, FMQ_F32);
    check_round_trip(&llama, &first, FMQ_F32);
}

static void some_layers_are_saved_apart_and_loaded_from_whole_models_too(void **state)
{
    (void)state;
    fmq_error_t err;
    place_t place, model;
    place_init(&place);
    place_init(&model);
    llm_shape_t shape = tiny_gpt2();
    llm_adapter_spec_t all = tiny_full(), some = tiny_on_layers(all, "1");
    llm_adapter_t *whole = adapter_of(&shape, &all), *part = adapter_of(&shape, &some);
    float *vector = malloc(fmq_schema_elements(llm_adapter_schema(whole)) * sizeof *vector);
    uint64_t elements = fmq_schema_elements(llm_adapter_schema(part));
    float *back = malloc(elements * sizeof *back);
    tiny_normal(vector, fmq_schema_elements(llm_adapter_schema(whole)), 1.0, 3);
    assert_int_equal(llm_adapter_save(whole, vector, "", NULL, FMQ_F32, model.path, &err), 0);
    assert_int_equal(llm_adapter_load(part, model.path, back, &err), 0);
    const fmq_tensor_t *tensor = fmq_schema_at(llm_adapter_schema(part), 2);
    assert_memory_equal(back + tensor->offset,
                        vector + fmq_schema_find(llm_adapter_schema(whole), tensor->name)->offset,
                        tensor->count * sizeof *back);

    assert_int_equal(llm_adapter_save(part, back, "", NULL, FMQ_F32, place.path, &err), 0);
    assert_true(exists(&place, "layers.safetensors"));
    assert_false(exists(&place, "config.json")); /* it is no model */
    assert_int_equal(llm_adapter_load(whole, place.path, vector, &err), -1);
    free(vector);
    free(back);
    llm_adapter_destroy(&whole);
    llm_adapter_destroy(&part);
    place_release(&place);
    place_release(&model);
}

static void a_saved_spec_is_read_back(void **state)
{
    (void)state;
    fmq_error_t err;
    place_t place;
    place_init(&place);
    llm_shape_t shape = tiny_gpt2();
    llm_adapter_spec_t spec = tiny_lora("c_fc attn.c_proj", 0.05f), back;
    shape.layers = 70; /* the set has more than one word */
    spec = tiny_on_layers(spec, "0 63 64 69");
    llm_adapter_t *adapter = adapter_of(&shape, &spec);
    float *vector = calloc(fmq_schema_elements(llm_adapter_schema(adapter)), sizeof *vector);
    assert_int_equal(llm_adapter_save(adapter, vector, NULL, NULL, FMQ_F32, place.path, &err), 0);
    assert_int_equal(llm_adapter_spec_load(place.path, &back, &err), 0);
    assert_memory_equal(&back, &spec, sizeof spec);
    free(vector);
    llm_adapter_destroy(&adapter);
    place_release(&place);
}

static void files_of_others_survive_saving(void **state)
{
    (void)state;
    fmq_error_t err;
    place_t place, source;
    place_init(&place);
    place_init(&source);
    assert_int_equal(mkdir(place.path, 0755) | mkdir(source.path, 0755), 0);
    write_text(&place, "notes.txt", "mine");
    write_text(&source, "tokenizer.json", "{}");
    llm_shape_t shape = tiny_llama();
    llm_adapter_spec_t spec = tiny_full();
    llm_adapter_t *adapter = adapter_of(&shape, &spec);
    float *vector = calloc(fmq_schema_elements(llm_adapter_schema(adapter)), sizeof *vector);
    assert_int_equal(llm_adapter_save(adapter, vector, "", source.path, FMQ_F32, place.path, &err),
                     0);
    assert_true(exists(&place, "notes.txt"));
    assert_true(exists(&place, "tokenizer.json"));
    assert_true(exists(&place, "config.json"));
    llm_backend_t *be = llm_backend_reference_new(&err);
    llm_model_t *model = llm_model_open(place.path, be, &err);
    assert_non_null(model);
    llm_model_destroy(&model);
    llm_backend_destroy(&be);
    free(vector);
    llm_adapter_destroy(&adapter);
    place_release(&place);
    place_release(&source);
}

static void saving_where_nothing_can_be_written_is_an_error(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    llm_shape_t shape = tiny_gpt2();
    llm_adapter_spec_t spec = tiny_lora("", 0.0f);
    llm_adapter_t *adapter = adapter_of(&shape, &spec);
    float *vector = calloc(fmq_schema_elements(llm_adapter_schema(adapter)), sizeof *vector);
    assert_int_equal(llm_adapter_save(adapter, vector, "", NULL, FMQ_F32, "/nowhere/adapter", &err),
                     -1);
    assert_int_equal(err.code, FMQ_ERR_IO);
    assert_non_null(strstr(err.text, "/nowhere/adapter"));
    free(vector);
    llm_adapter_destroy(&adapter);
}

/* A configuration with these members beside the necessary ones. */
static int load_config(const place_t *place, const char *members, llm_adapter_spec_t *spec,
                       fmq_error_t *err)
{
    char text[512];
    (void)snprintf(text, sizeof text, "{\"task_type\": \"CAUSAL_LM\", %s}", members);
    write_text(place, "adapter_config.json", text);
    return llm_adapter_spec_load(place->path, spec, err);
}

static void what_peft_can_and_we_cannot_is_refused_by_its_key(void **state)
{
    (void)state;
    static const struct {
        const char *members, *key;
    } cases[] = {
        {"\"peft_type\": \"LORA\", \"r\": 8, \"use_dora\": \"yes\"", "use_dora"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"use_rslora\": 1", "use_rslora"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"rank_pattern\": {\"c_fc\": 4.5}", "rank_pattern"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"rank_pattern\": {\"c_fc\": 4096}", "rank_pattern"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"rank_pattern\": [4]", "rank_pattern"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"alpha_pattern\": {\"c_fc\": -4}", "alpha_pattern"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"modules_to_save\": \"wte\"", "modules_to_save"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"exclude_modules\": [1]", "exclude_modules"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"bias\": \"some\"", "bias"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"ensure_weight_tying\": true", "ensure_weight_tying"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"target_modules\": \"x\", "
         "\"layers_to_transform\": 1",
         "layers_to_transform"},
        {"\"peft_type\": \"IA3\", \"feedforward_modules\": 3", "feedforward_modules"},
        {"\"peft_type\": \"IA3\", \"use_dora\": true", "use_dora"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"layers_to_transform\": 1024", "layers_to_transform"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"layers_to_transform\": -1", "layers_to_transform"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"layers_to_transform\": [0, 1.5]",
         "layers_to_transform"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"layers_to_transform\": [\"1\"]",
         "layers_to_transform"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"layers_to_transform\": true", "layers_to_transform"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"layers_pattern\": \"blocks\"", "layers_pattern"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"layers_pattern\": [\"ayers\"]", "layers_pattern"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"layers_pattern\": \"\"", "layers_pattern"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"init_lora_weights\": \"pissa\"", "pissa"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"target_modules\": [3]", "target_modules"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"target_modules\": []", "target_modules"},
        {"\"peft_type\": \"LORA\", \"r\": 0", "r"},
        {"\"peft_type\": \"LORA\"", "r"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"lora_alpha\": -1", "lora_alpha"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"lora_dropout\": 1", "lora_dropout"},
        {"\"peft_type\": \"PREFIX_TUNING\", \"r\": 8", "PREFIX_TUNING"},
        {"\"r\": 8", "peft_type"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"use_something_new\": true", "use_something_new"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"new_config\": {\"a\": 1}", "new_config"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"variant\": \"mc\"", "variant"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"lora_bias\": true", "lora_bias"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"init_lora_weights\": \"pissa_niter_16\"", "pissa"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"init_lora_weights\": \"olora\"", "olora"},
        {"\"peft_type\": \"LORA\", \"r\": 8, \"init_lora_weights\": \"loftq\"", "loftq"},
    };
    place_t place;
    place_init(&place);
    assert_int_equal(mkdir(place.path, 0755), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fmq_error_t err = {0};
        llm_adapter_spec_t spec = {.rank = 77};
        assert_int_equal(load_config(&place, cases[i].members, &spec, &err), -1);
        if (!strstr(err.text, cases[i].key) || !strstr(err.text, place.path))
            fail_msg("%s: the error says '%s'", cases[i].members, err.text);
        assert_int_equal(spec.rank, 77);
    }
    fmq_error_t err;
    llm_adapter_spec_t spec;
    assert_int_equal(load_config(&place, "\"peft_type\": \"LORA\", \"r\": 4", &spec, &err), 0);
    assert_int_equal(spec.rank, 4);
    assert_int_equal(spec.targets, 0);
    assert_false(spec.layers.some);
    place_release(&place);
}

/* Keys that cannot change what saved tensors mean, and those of newer versions
 * of PEFT that are off. */
static void what_changes_nothing_is_passed_over(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "\"task_type\": null",
        "\"task_type\": \"SEQ_CLS\"",
        "\"revision\": \"main\", \"base_model_name_or_path\": \"/elsewhere\"",
        "\"auto_mapping\": {\"parent_library\": \"x\"}, \"peft_version\": \"0.21.2\"",
        "\"inference_mode\": false, \"lora_dropout\": 0.3",
        "\"init_lora_weights\": false",
        "\"init_lora_weights\": \"gaussian\"",
        "\"init_lora_weights\": \"eva\", \"eva_config\": {\"rho\": 2.0}",
        "\"megatron_core\": \"megatron.core\", \"qalora_group_size\": 16, \"loftq_config\": {}",
        "\"use_something\": false, \"some_config\": null, \"a_pattern\": {}, \"a_size\": 16",
    };
    place_t place;
    place_init(&place);
    assert_int_equal(mkdir(place.path, 0755), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fmq_error_t err = {0};
        llm_adapter_spec_t spec;
        char members[512];
        (void)snprintf(members, sizeof members, "{\"peft_type\": \"LORA\", \"r\": 8, %s}",
                       cases[i]);
        write_text(&place, "adapter_config.json", members);
        if (llm_adapter_spec_load(place.path, &spec, &err) < 0)
            fail_msg("%s: %s", cases[i], err.text);
    }
    place_release(&place);
}

/* Tensors of the same names and shapes that mean something else. */
static void a_directory_of_other_settings_is_refused_with_key_and_both_values(void **state)
{
    (void)state;
    static const struct {
        const char *members, *key, *there, *here;
    } cases[] = {
        {"\"lora_alpha\": 32", "'lora_alpha' is", "32", "6 here"},
        {"\"lora_alpha\": 6.000001", "'lora_alpha' is", "6.0000", "6 here"},
        {"\"lora_alpha\": 6, \"r\": 4", "'r' is", "4", "3 here"},
        {"\"lora_alpha\": 6, \"target_modules\": [\"c_attn\", \"c_fc\"]", "'target_modules' is",
         "attn.c_attn,mlp.c_fc", "attn.c_attn here"},
        {"\"lora_alpha\": 6, \"layers_to_transform\": [1]", "'layers_to_transform' is", "1",
         "all here"},
        {"\"lora_alpha\": 6, \"fan_in_fan_out\": false", "'fan_in_fan_out' is", "false", "true"},
        {"\"lora_alpha\": 6, \"use_rslora\": true", "'use_rslora' is", "True", "(nothing) here"},
        {"\"lora_alpha\": 6, \"alpha_pattern\": {\"c_attn\": 3}", "'alpha_pattern' is", "c_attn:3",
         "(nothing) here"},
        {"\"lora_alpha\": 6, \"init_lora_weights\": \"pissa\"", "'init_lora_weights' is", "pissa",
         "base model"},
    };
    place_t place;
    place_init(&place);
    fmq_error_t err = {0};
    llm_shape_t shape = tiny_gpt2();
    llm_adapter_spec_t spec = tiny_lora("c_attn", 0.0f);
    spec.alpha = 6;
    llm_adapter_t *adapter = adapter_of(&shape, &spec);
    float vector[4096] = {0};
    assert_int_equal(llm_adapter_save(adapter, vector, "", NULL, FMQ_F32, place.path, &err), 0);
    assert_int_equal(llm_adapter_load(adapter, place.path, vector, &err), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        (void)snprintf(text, sizeof text, "{\"peft_type\": \"LORA\", %s%s%s}", cases[i].members,
                       strstr(cases[i].members, "\"r\"") ? "" : ", \"r\": 3",
                       strstr(cases[i].members, "target") ? ""
                                                          : ", \"target_modules\": [\"c_attn\"]");
        write_text(&place, "adapter_config.json", text);
        vector[0] = 5.0f;
        err = (fmq_error_t){0};
        assert_int_equal(llm_adapter_load(adapter, place.path, vector, &err), -1);
        if (!strstr(err.text, cases[i].key) || !strstr(err.text, cases[i].there) ||
            !strstr(err.text, cases[i].here) || !strstr(err.text, place.path))
            fail_msg("%s: the error says '%s'", cases[i].members, err.text);
        assert_true(vector[0] == 5.0f);
    }
    write_text(&place, "adapter_config.json",
               "{\"peft_type\": \"LORA\", \"r\": 3, \"lora_alpha\": 6.0, \"lora_dropout\": 0.5, "
               "\"fan_in_fan_out\": true, \"target_modules\": [\"attn.c_attn\"]}");
    assert_int_equal(llm_adapter_load(adapter, place.path, vector, &err), 0);
    llm_adapter_destroy(&adapter);
    adapter = adapter_of(&shape, &(llm_adapter_spec_t){.kind = LLM_ADAPTER_FULL});
    assert_int_equal(llm_adapter_load(adapter, place.path, vector, &err), -1);
    assert_non_null(strstr(err.text, "holds an adapter"));
    float *whole = calloc(fmq_schema_elements(llm_adapter_schema(adapter)), sizeof *whole);
    assert_int_equal(llm_adapter_save(adapter, whole, "", NULL, FMQ_F32, place.path, &err), 0);
    assert_int_equal(llm_adapter_load(adapter, place.path, whole, &err), 0); /* beside it */
    free(whole);
    llm_adapter_destroy(&adapter);
    place_release(&place);
}

static void layers_to_transform_are_read_as_peft_reads_them(void **state)
{
    (void)state;
    static const struct {
        const char *members, *layers;
    } cases[] = {
        {"\"layers_to_transform\": 3", "3"},
        {"\"layers_to_transform\": [0, 2], \"layers_pattern\": null", "0 2"},
        {"\"layers_to_transform\": [1], \"layers_pattern\": \"layers\"", "1"},
        {"\"layers_to_transform\": [1], \"layers_pattern\": [\"h\"]", "1"},
        {"\"layers_to_transform\": []", ""},
        {"\"layers_to_transform\": null, \"layers_pattern\": []", ""},
    };
    place_t place;
    place_init(&place);
    assert_int_equal(mkdir(place.path, 0755), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fmq_error_t err = {0};
        llm_adapter_spec_t spec, expected = tiny_on_layers(tiny_full(), cases[i].layers);
        char members[256];
        (void)snprintf(members, sizeof members, "\"peft_type\": \"LORA\", \"r\": 8, %s",
                       cases[i].members);
        if (load_config(&place, members, &spec, &err) < 0)
            fail_msg("%s: %s", members, err.text);
        assert_memory_equal(&spec.layers, &expected.layers, sizeof spec.layers);
    }
    place_release(&place);
}

static void adapters_of_other_targets_or_shapes_do_not_load(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    place_t place;
    place_init(&place);
    llm_shape_t shape = tiny_gpt2(), deeper = tiny_gpt2(), wider = tiny_gpt2();
    deeper.layers = 3;
    wider.width = 32;
    wider.head_width = 8;
    llm_adapter_spec_t spec = tiny_lora("c_fc", 0.0f), other = tiny_lora("c_attn", 0.0f);
    llm_adapter_t *saved = adapter_of(&shape, &spec);
    float vector[4096] = {0}, kept = 5.0f;
    assert_int_equal(llm_adapter_save(saved, vector, "", NULL, FMQ_F32, place.path, &err), 0);
    llm_adapter_t *wrong[] = {adapter_of(&shape, &other), adapter_of(&deeper, &spec),
                              adapter_of(&wider, &spec)};
    for (size_t i = 0; i < 3; i++) {
        vector[0] = kept;
        assert_int_equal(llm_adapter_load(wrong[i], place.path, vector, &err), -1);
        assert_non_null(strstr(err.text, place.path));
        assert_true(vector[0] == kept);
        llm_adapter_destroy(&wrong[i]);
    }
    llm_adapter_destroy(&saved);
    place_release(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_targets_are_pefts),
        cmocka_unit_test(targets_match_leaves_and_dotted_tails_only),
        cmocka_unit_test(targets_that_name_nothing_are_refused_with_those_that_exist),
        cmocka_unit_test(numbers_of_lora_out_of_range_are_refused),
        cmocka_unit_test(full_fine_tuning_covers_every_parameter_once),
        cmocka_unit_test(lora_on_some_layers_has_their_modules_alone),
        cmocka_unit_test(full_fine_tuning_of_some_layers_has_their_tensors_alone),
        cmocka_unit_test(layers_that_do_not_exist_are_refused),
        cmocka_unit_test(no_adapter_has_an_empty_schema),
        cmocka_unit_test(lora_starts_with_kaiming_a_and_zero_b),
        cmocka_unit_test(what_is_saved_is_loaded),
        cmocka_unit_test(some_layers_are_saved_apart_and_loaded_from_whole_models_too),
        cmocka_unit_test(a_saved_spec_is_read_back),
        cmocka_unit_test(files_of_others_survive_saving),
        cmocka_unit_test(saving_where_nothing_can_be_written_is_an_error),
        cmocka_unit_test(what_peft_can_and_we_cannot_is_refused_by_its_key),
        cmocka_unit_test(what_changes_nothing_is_passed_over),
        cmocka_unit_test(a_directory_of_other_settings_is_refused_with_key_and_both_values),
        cmocka_unit_test(layers_to_transform_are_read_as_peft_reads_them),
        cmocka_unit_test(adapters_of_other_targets_or_shapes_do_not_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
