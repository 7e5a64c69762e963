/*
 * test_emulator.c - emulators of borrowed layers: which layers are where, what
 * trains, what it costs, what is refused.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/llm/offsite/small.h"

static const char *const families[] = {"gpt2", "llama"};

static void check_source(const llm_offsite_t *offsite, const uint32_t *source, uint32_t layers)
{
    assert_int_equal(llm_model_shape(offsite->student)->layers, layers);
    assert_memory_equal(offsite->source, source, layers * sizeof *source);
}

static void the_clients_model_is_the_kept_layers_between_those_of_the_adapter(void **state)
{
    (void)state;
    small_t small;
    small_open(&small, "llama", 9);
    llm_emulator_spec_t spec = small_spec(2, 7, 0.4);
    llm_emulator_t *emulator = small_emulator(&small, &spec, NULL);
    const llm_offsite_t *offsite = llm_emulator_offsite(emulator);
    check_source(offsite, (const uint32_t[]){0, 1, 2, 4, 6, 7, 8}, 7);
    assert_ptr_equal(offsite->teacher, small.model);
    assert_int_equal(offsite->full->layers, 9);
    assert_int_equal(offsite->l, 2);
    assert_int_equal(offsite->r, 7);
    assert_int_equal(offsite->first, 2);
    assert_int_equal(offsite->behind, 5);
    assert_string_equal(llm_model_directory(offsite->student), "");
    llm_emulator_destroy(&emulator);
    assert_null(emulator);
    llm_emulator_destroy(&emulator);
    small_close(&small);
}

static void the_range_is_clamped_as_fedbiot_clamps_it(void **state)
{
    (void)state;
    small_t small;
    small_open(&small, "gpt2", 4);
    llm_emulator_spec_t spec = small_spec(0, 10, 0.0); /* FS-LLM would begin at 1 */
    llm_emulator_t *emulator = small_emulator(&small, &spec, NULL);
    const llm_offsite_t *offsite = llm_emulator_offsite(emulator);
    assert_int_equal(offsite->l, 0);
    assert_int_equal(offsite->r, 3);
    check_source(offsite, (const uint32_t[]){0, 1, 2, 3}, 4);
    llm_emulator_destroy(&emulator);
    small_close(&small);
}

static void one_kept_layer_is_enough(void **state)
{
    (void)state;
    small_t small;
    small_open(&small, "llama", 5);
    llm_emulator_spec_t spec = small_spec(0, 4, 0.9);
    llm_emulator_t *emulator = small_emulator(&small, &spec, NULL);
    check_source(llm_emulator_offsite(emulator), (const uint32_t[]){0, 4}, 2);
    llm_emulator_destroy(&emulator);
    small_close(&small);
}

static void a_client_that_keeps_every_layer_computes_what_the_teacher_computes(void **state)
{
    (void)state;
    for (size_t f = 0; f < 2; f++) {
        small_t small;
        small_open(&small, families[f], 4);
        llm_emulator_spec_t spec = small_spec(1, 3, 0.0);
        llm_emulator_t *emulator = small_emulator(&small, &spec, NULL);
        const llm_offsite_t *offsite = llm_emulator_offsite(emulator);
        small_assert_same_digest(offsite->student, small.model);
        double teacher = small_model_loss(small.model, small.be);
        assert_true(small_model_loss(offsite->student, small.be) == teacher);
        llm_emulator_destroy(&emulator);
        small_close(&small);
    }
}

static void dropping_layers_changes_what_is_computed(void **state)
{
    (void)state;
    small_t small;
    small_open(&small, "llama", 6);
    llm_emulator_spec_t spec = small_spec(1, 5, 0.5);
    llm_emulator_t *emulator = small_emulator(&small, &spec, NULL);
    const llm_offsite_t *offsite = llm_emulator_offsite(emulator);
    double teacher = small_model_loss(small.model, small.be);
    assert_true(small_model_loss(offsite->student, small.be) != teacher);
    llm_emulator_destroy(&emulator);
    small_close(&small);
}

static void nothing_is_copied(void **state)
{
    (void)state;
    small_t small;
    small_open(&small, "llama", 8);
    llm_emulator_spec_t spec = small_spec(2, 7, 0.5);
    size_t before = llm_model_bytes(small.model);
    llm_emulator_t *emulator = small_emulator(&small, &spec, NULL);
    assert_true(before > 0);
    assert_int_equal(llm_model_bytes(llm_emulator_offsite(emulator)->student), 0);
    assert_int_equal(llm_model_bytes(small.model), before);
    llm_emulator_destroy(&emulator);
    (void)small_model_loss(small.model, small.be); /* is still whole */
    small_close(&small);
}

/* Resident bytes of this process. */
static long resident(void)
{
    long pages = 0, ignored = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file)
        return -1;
    if (fscanf(file, "%ld %ld", &ignored, &pages) != 2)
        pages = -1;
    (void)fclose(file);
    return pages * 4096;
}

static void building_needs_next_to_no_memory(void **state)
{
    (void)state;
    fmq_error_t err;
    llm_shape_t shape = small_shape("llama", 8);
    shape.width = 256;
    shape.heads = shape.kv_heads = 4;
    shape.head_width = 64;
    shape.ffn = 1024;
    small_t small = {.be = llm_backend_cpu_new(1, &err)};
    small.model = llm_model_new_random(&shape, 1, small.be, &err);
    assert_non_null(small.model);
    llm_emulator_spec_t spec = small_spec(1, 7, 0.2);
    long before = resident();
    llm_emulator_t *emulator = small_emulator(&small, &spec, NULL);
    long grown = resident() - before;
    assert_true(llm_model_bytes(small.model) > (24l << 20));
    if (before > 0 && grown > (1l << 20))
        fail_msg("building an emulator over %zu bytes took %ld more", llm_model_bytes(small.model),
                 grown);
    llm_emulator_destroy(&emulator);
    small_close(&small);
}

/* The layer in a tensor's name. */
static uint32_t layer_of(const char *name)
{
    const char *at = strstr(name, ".layers.");
    at = at ? at + strlen(".layers.") : strstr(name, ".h.") + strlen(".h.");
    return (uint32_t)strtoul(at, NULL, 10);
}

static void check_layers(const llm_adapter_t *adapter, bool (*belongs)(uint32_t layer))
{
    const fmq_schema_t *schema = llm_adapter_schema(adapter);
    assert_true(fmq_schema_size(schema) > 0);
    for (size_t i = 0; i < fmq_schema_size(schema); i++) {
        const char *name = fmq_schema_at(schema, i)->name;
        if (!belongs(layer_of(name)))
            fail_msg("'%s' does not belong here", name);
    }
}

/* Of 8 layers, [2, 6) are emulated by 2: the client's are 0 1 | 2 3 | 4 5. */
static bool in_full_adapter(uint32_t layer)
{
    return layer < 2 || (layer >= 6 && layer < 8);
}

static bool in_adapter(uint32_t layer)
{
    return layer < 2 || (layer >= 4 && layer < 6);
}

static bool in_emulator(uint32_t layer)
{
    return layer == 2 || layer == 3;
}

static llm_emulator_t *half(const small_t *small, llm_adapter_spec_t adapter)
{
    llm_emulator_spec_t spec = small_spec(2, 6, 0.5);
    spec.adapter = adapter;
    return small_emulator(small, &spec, NULL);
}

static void only_the_adapters_tensors_are_in_it_and_only_the_emulators_in_its_state(void **state)
{
    (void)state;
    const llm_adapter_spec_t specs[] = {small_lora(), {.kind = LLM_ADAPTER_FULL}};
    for (size_t f = 0; f < 4; f++) {
        small_t small;
        small_open(&small, families[f % 2], 8);
        llm_emulator_t *emulator = half(&small, specs[f / 2]);
        const llm_offsite_t *offsite = llm_emulator_offsite(emulator);
        check_layers(offsite->plugged, in_full_adapter);
        check_layers(offsite->adapter, in_adapter);
        check_layers(offsite->state, in_emulator);
        llm_emulator_destroy(&emulator);
        small_close(&small);
    }
}

static void the_adapters_vector_is_the_same_in_both_models(void **state)
{
    (void)state;
    const llm_adapter_spec_t specs[] = {small_lora(), {.kind = LLM_ADAPTER_FULL}};
    for (size_t f = 0; f < 4; f++) {
        small_t small;
        small_open(&small, families[f % 2], 8);
        llm_emulator_t *emulator = half(&small, specs[f / 2]);
        const llm_offsite_t *offsite = llm_emulator_offsite(emulator);
        const fmq_schema_t *full = llm_adapter_schema(offsite->plugged);
        const fmq_schema_t *client = llm_adapter_schema(offsite->adapter);
        assert_int_equal(fmq_schema_size(full), fmq_schema_size(client));
        for (size_t i = 0; i < fmq_schema_size(full); i++) {
            const fmq_tensor_t *there = fmq_schema_at(full, i), *here = fmq_schema_at(client, i);
            assert_int_equal(there->offset, here->offset);
            assert_int_equal(there->count, here->count);
            assert_int_equal(layer_of(there->name), offsite->source[layer_of(here->name)]);
        }
        llm_emulator_destroy(&emulator);
        small_close(&small);
    }
}

static void the_emulators_vector_has_no_effect_at_first(void **state)
{
    (void)state;
    const llm_adapter_spec_t specs[] = {small_lora(), {.kind = LLM_ADAPTER_FULL}};
    for (size_t f = 0; f < 4; f++) {
        fmq_error_t err;
        small_t small;
        small_open(&small, families[f % 2], 8);
        llm_emulator_t *emulator = half(&small, specs[f / 2]);
        const llm_offsite_t *offsite = llm_emulator_offsite(emulator);
        float *adapter = small_vector(offsite->adapter, 0.1, 0);
        float *vector = small_vector(offsite->state, 0.1, 1);
        llm_stack_t bare = {.model = offsite->student, .adapter = offsite->adapter};
        llm_stack_t both = bare;
        both.fixed = offsite->state;
        double without = small_loss(&bare, adapter, NULL, small.be);
        assert_true(small_loss(&both, adapter, vector, small.be) != without);
        assert_int_equal(llm_offsite_init_state(offsite, 4, vector, &err), 0);
        double with = small_loss(&both, adapter, vector, small.be);
        /* FULL goes through other kernels than a prepared matrix. */
        assert_true(fabs(with - without) <= (f < 2 ? 0.0 : 1e-4) * without);
        free(vector);
        free(adapter);
        llm_emulator_destroy(&emulator);
        small_close(&small);
    }
}

static void the_emulators_lora_is_not_drawn_like_the_clients(void **state)
{
    (void)state;
    fmq_error_t err;
    small_t small;
    small_open(&small, "llama", 8);
    llm_emulator_t *emulator = half(&small, small_lora());
    const llm_offsite_t *offsite = llm_emulator_offsite(emulator);
    float *a = small_vector(offsite->adapter, 0.0, 0), *e = small_vector(offsite->state, 0.0, 0);
    float *again = small_vector(offsite->state, 0.0, 0);
    uint64_t size = fmq_schema_elements(llm_adapter_schema(offsite->state));
    assert_int_equal(llm_adapter_init(offsite->adapter, offsite->student, 4, a, &err), 0);
    assert_int_equal(llm_offsite_init_state(offsite, 4, e, &err), 0);
    assert_int_equal(llm_offsite_init_state(offsite, 4, again, &err), 0);
    assert_true(a[0] != e[0] && e[0] != 0.0f);
    assert_memory_equal(e, again, size * sizeof *e);
    assert_int_equal(llm_offsite_init_state(offsite, 5, again, &err), 0);
    assert_true(again[0] != e[0]);
    free(a);
    free(e);
    free(again);
    llm_emulator_destroy(&emulator);
    small_close(&small);
}

/* Training the stack changes what the adapter's vector names and no more. */
static void plugging_in_is_using_the_vector_in_the_full_model(void **state)
{
    (void)state;
    small_t small;
    small_open(&small, "llama", 4);
    llm_emulator_spec_t spec = small_spec(1, 3, 0.0);
    llm_emulator_t *emulator = small_emulator(&small, &spec, NULL);
    const llm_offsite_t *offsite = llm_emulator_offsite(emulator);
    float *vector = small_vector(offsite->adapter, 0.2, 2);
    llm_stack_t client = {.model = offsite->student, .adapter = offsite->adapter};
    llm_stack_t full = {.model = offsite->teacher, .adapter = offsite->plugged};
    double plugged = small_loss(&full, vector, NULL, small.be);
    assert_true(small_loss(&client, vector, NULL, small.be) == plugged);
    assert_true(plugged != small_model_loss(small.model, small.be));
    free(vector);
    llm_emulator_destroy(&emulator);
    small_close(&small);
}

static void check_refused(const small_t *small, const llm_emulator_spec_t *spec, const char *word)
{
    fmq_error_t err = {0};
    llm_emulator_building_t how = {.be = small->be};
    assert_null(llm_emulator_new(small->model, spec, &how, &err));
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
    if (!strstr(err.text, word))
        fail_msg("'%s' does not say '%s'", err.text, word);
}

static void ranges_that_leave_nothing_to_emulate_are_refused_with_their_numbers(void **state)
{
    (void)state;
    small_t small;
    small_open(&small, "llama", 4);
    llm_emulator_spec_t spec = small_spec(2, 2, 0.5);
    check_refused(&small, &spec, "[2, 2)");
    spec = small_spec(3, 9, 0.5);
    check_refused(&small, &spec, "emu_l 3 and emu_r 9");
    spec = small_spec(7, 2, 0.5);
    check_refused(&small, &spec, "4 layers");
    small_close(&small);
    small_open(&small, "llama", 1);
    spec = small_spec(0, 1, 0.5);
    check_refused(&small, &spec, "1 layers");
    small_close(&small);
}

static void numbers_outside_their_range_are_refused(void **state)
{
    (void)state;
    small_t small;
    small_open(&small, "llama", 4);
    llm_emulator_spec_t spec = small_spec(0, 3, 1.0);
    check_refused(&small, &spec, "drop_ratio is 1");
    spec = small_spec(0, 3, (double)NAN);
    check_refused(&small, &spec, "drop_ratio");
    spec.strategy = LLM_PRUNING;
    spec.prune_ratio = -0.1;
    check_refused(&small, &spec, "ratio is -0.1");
    spec.strategy = LLM_QUANTIZATION;
    spec.bits = 5;
    check_refused(&small, &spec, "5 bits");
    spec.bits = 8;
    check_refused(&small, &spec, "needs a directory");
    spec.strategy = (llm_emulator_strategy_t)9;
    check_refused(&small, &spec, "9");
    small_close(&small);
}

static void an_adapter_that_trains_nothing_is_refused(void **state)
{
    (void)state;
    small_t small;
    small_open(&small, "gpt2", 4);
    llm_emulator_spec_t spec = small_spec(1, 3, 0.5);
    spec.adapter.kind = LLM_ADAPTER_NONE;
    check_refused(&small, &spec, "needs an adapter");
    spec.adapter = small_lora();
    spec.adapter.targets = 1;
    (void)snprintf(spec.adapter.target[0], sizeof spec.adapter.target[0], "h.1.attn.c_attn");
    check_refused(&small, &spec, "h.1.attn.c_attn"); /* is E's */
    (void)snprintf(spec.adapter.target[0], sizeof spec.adapter.target[0], "h.3.attn.c_attn");
    check_refused(&small, &spec, "h.3.attn.c_attn"); /* leaves E nothing */
    (void)snprintf(spec.adapter.target[0], sizeof spec.adapter.target[0], "q_proj");
    check_refused(&small, &spec, "q_proj");
    small_close(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_clients_model_is_the_kept_layers_between_those_of_the_adapter),
        cmocka_unit_test(the_range_is_clamped_as_fedbiot_clamps_it),
        cmocka_unit_test(one_kept_layer_is_enough),
        cmocka_unit_test(a_client_that_keeps_every_layer_computes_what_the_teacher_computes),
        cmocka_unit_test(dropping_layers_changes_what_is_computed),
        cmocka_unit_test(nothing_is_copied),
        cmocka_unit_test(building_needs_next_to_no_memory),
        cmocka_unit_test(only_the_adapters_tensors_are_in_it_and_only_the_emulators_in_its_state),
        cmocka_unit_test(the_adapters_vector_is_the_same_in_both_models),
        cmocka_unit_test(the_emulators_vector_has_no_effect_at_first),
        cmocka_unit_test(the_emulators_lora_is_not_drawn_like_the_clients),
        cmocka_unit_test(plugging_in_is_using_the_vector_in_the_full_model),
        cmocka_unit_test(ranges_that_leave_nothing_to_emulate_are_refused_with_their_numbers),
        cmocka_unit_test(numbers_outside_their_range_are_refused),
        cmocka_unit_test(an_adapter_that_trains_nothing_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
