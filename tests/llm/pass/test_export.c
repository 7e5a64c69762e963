/*
 * test_export.c - models written as HF directories with what was trained
 * merged in: opened again they compute what the stack computed.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fedmq/llm/parts.h"
#include "tests/llm/pass/tiny.h"

#define TOLERANCE 2e-5f

/* A directory that does not exist yet, in one that does. */
typedef struct {
    char parent[64], path[96], weights[128], config[128];
} place_t;

static void place_init(place_t *self)
{
    (void)snprintf(self->parent, sizeof self->parent, "/tmp/fedmq-export-XXXXXX");
    assert_non_null(mkdtemp(self->parent));
    (void)snprintf(self->path, sizeof self->path, "%s/model", self->parent);
    (void)snprintf(self->weights, sizeof self->weights, "%s/model.safetensors", self->path);
    (void)snprintf(self->config, sizeof self->config, "%s/config.json", self->path);
}

static void place_release(place_t *self)
{
    (void)unlink(self->weights);
    (void)unlink(self->config);
    (void)rmdir(self->path);
    assert_int_equal(rmdir(self->parent), 0); /* nothing else was left there */
}

static void stack_logits(const tiny_t *tiny, float out[TINY_LOGITS])
{
    fmq_error_t err = {0};
    tiny_batch_t batch = {0};
    int32_t rows[TINY_TOKENS];
    tiny_batch_init(&batch);
    for (int32_t i = 0; i < TINY_TOKENS; i++)
        rows[i] = i;
    assert_int_equal(llm_workspace_logits(tiny->ws, &batch.batch, rows, TINY_TOKENS, out, &err), 0);
}

static void assert_close(const float *a, const float *b, float tolerance)
{
    for (size_t i = 0; i < TINY_LOGITS; i++)
        if (!(fabsf(a[i] - b[i]) <= tolerance))
            fail_msg("logit %zu is %g in one and %g in the other", i, (double)a[i], (double)b[i]);
}

/* Exports what tiny's workspace computes with, opens it, compares. */
static void check_export(const tiny_t *tiny)
{
    fmq_error_t err = {0};
    place_t place;
    place_init(&place);
    llm_merge_t merges[] = {{tiny->adapter, tiny->vector}, {tiny->fixed, tiny->fixed_vector}};
    size_t count = tiny->fixed ? 2 : 1;
    if (llm_model_export(tiny->model, merges, count, NULL, FMQ_F32, place.path, &err) < 0)
        fail_msg("%s", err.text);
    llm_model_t *model = llm_model_open(place.path, tiny->be, &err);
    if (!model)
        fail_msg("%s", err.text);
    assert_int_equal(llm_model_shape(model)->layers, llm_model_shape(tiny->model)->layers);
    float stacked[TINY_LOGITS], merged[TINY_LOGITS], plain[TINY_LOGITS];
    stack_logits(tiny, stacked);
    tiny_logits(model, tiny->be, merged);
    tiny_logits(tiny->model, tiny->be, plain);
    assert_close(stacked, merged, TOLERANCE);
    float most = 0.0f;
    for (size_t i = 0; i < TINY_LOGITS; i++)
        most = fmaxf(most, fabsf(merged[i] - plain[i]));
    assert_true(most > 100.0f * TOLERANCE); /* the vectors matter */
    llm_model_destroy(&model);
    place_release(&place);
}

static const char gpt2_all[] = "c_attn c_proj c_fc";
static const char llama_all[] = "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj";

static void lora_is_merged_into_every_module(void **state)
{
    (void)state;
    llm_shape_t shapes[] = {tiny_gpt2(), tiny_llama(), tiny_llama_biased()};
    for (size_t i = 0; i < 3; i++) {
        tiny_t tiny;
        llm_adapter_spec_t spec = tiny_lora(i ? llama_all : gpt2_all, 0.0f);
        tiny_init(&tiny, &shapes[i], &spec, llm_backend_reference_new(NULL));
        check_export(&tiny);
        tiny_release(&tiny);
    }
}

static void full_vectors_take_the_place_of_the_tensors(void **state)
{
    (void)state;
    llm_shape_t shapes[] = {tiny_gpt2(), tiny_llama(), tiny_llama_biased()};
    for (size_t i = 0; i < 3; i++) {
        tiny_t tiny;
        llm_adapter_spec_t spec = tiny_full();
        tiny_init(&tiny, &shapes[i], &spec, llm_backend_reference_new(NULL));
        check_export(&tiny);
        tiny_release(&tiny);
    }
}

static void two_vectors_on_different_layers_are_both_merged(void **state)
{
    (void)state;
    llm_shape_t shapes[] = {tiny_gpt2(), tiny_llama()};
    for (size_t i = 0; i < 2; i++) {
        llm_adapter_spec_t lora = tiny_lora(i ? llama_all : gpt2_all, 0.0f);
        llm_adapter_spec_t upper = tiny_on_layers(lora, "1"), lower = tiny_on_layers(lora, "0");
        llm_adapter_spec_t full = tiny_on_layers(tiny_full(), "0");
        tiny_t tiny;
        tiny_init_stack(&tiny, &shapes[i], &upper, &lower, llm_backend_reference_new(NULL));
        check_export(&tiny);
        tiny_release(&tiny);
        tiny_init_stack(&tiny, &shapes[i], &upper, &full, llm_backend_reference_new(NULL));
        check_export(&tiny);
        tiny_release(&tiny);
    }
}

static void layers_of_fewer_channels_are_padded(void **state)
{
    (void)state;
    llm_shape_t shapes[] = {tiny_gpt2(), tiny_llama(), tiny_llama_biased()};
    for (size_t i = 0; i < 3; i++) {
        llm_adapter_spec_t specs[] = {tiny_lora(i ? llama_all : gpt2_all, 0.0f),
                                      {.kind = LLM_ADAPTER_FULL}};
        const uint32_t ffn[] = {11, 5};
        for (int k = 0; k < 2; k++) {
            llm_backend_t *be = llm_backend_reference_new(NULL);
            llm_model_t *whole = llm_model_new_random(&shapes[i], 3, be, NULL);
            llm_model_t *narrow = tiny_narrow(whole, ffn, be);
            llm_model_destroy(&whole);
            tiny_t tiny;
            tiny_init_with(&tiny, &narrow, &specs[k], NULL, be);
            check_export(&tiny);
            tiny_release(&tiny);
        }
    }
}

static void a_composition_without_vectors_has_the_digest_of_its_export(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    llm_backend_t *be = llm_backend_cpu_new(1, &err);
    llm_shape_t shape = tiny_llama_biased(), smaller = shape;
    shape.layers = 4;
    smaller.layers = 2;
    llm_model_t *whole = llm_model_new_random(&shape, 3, be, &err);
    llm_part_origin_t stem = {.model = whole};
    llm_part_origin_t layers[] = {{.model = whole, .layer = 1}, {.model = whole, .layer = 3}};
    llm_model_t *model = llm_model_compose(&smaller, &stem, layers, be, &err);
    place_t place;
    place_init(&place);
    assert_int_equal(llm_model_export(model, NULL, 0, NULL, FMQ_F32, place.path, &err), 0);
    llm_model_t *opened = llm_model_open(place.path, be, &err);
    assert_non_null(opened);
    fmq_digest_t a = llm_model_digest(model), b = llm_model_digest(opened);
    assert_true(fmq_digest_equal(&a, &b));
    llm_model_destroy(&opened);
    llm_model_destroy(&model);
    llm_model_destroy(&whole);
    llm_backend_destroy(&be);
    place_release(&place);
}

static off_t size_of(const char *path)
{
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    return status.st_size;
}

static void a_model_in_half_precision_is_half_as_long(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    llm_backend_t *be = llm_backend_cpu_new(1, &err);
    llm_shape_t shape = tiny_llama();
    llm_model_t *model = llm_model_new_random(&shape, 3, be, &err);
    float wide[TINY_LOGITS], narrow[TINY_LOGITS];
    tiny_logits(model, be, wide);
    const fmq_dtype_t dtypes[] = {FMQ_BF16, FMQ_F16};
    for (int i = 0; i < 2; i++) {
        place_t place;
        place_init(&place);
        assert_int_equal(llm_model_export(model, NULL, 0, NULL, dtypes[i], place.path, &err), 0);
        uint64_t bytes = 2 * llm_shape_parameters(&shape);
        off_t size = size_of(place.weights);
        assert_true(size > (off_t)bytes && size < (off_t)bytes + 8192);
        llm_model_t *opened = llm_model_open(place.path, be, &err);
        tiny_logits(opened, be, narrow);
        assert_close(wide, narrow, 0.02f);
        llm_model_destroy(&opened);
        place_release(&place);
    }
    llm_model_destroy(&model);
    llm_backend_destroy(&be);
}

static void what_cannot_be_exported_leaves_nothing_behind(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    llm_backend_t *be = llm_backend_cpu_new(1, &err);
    llm_shape_t shape = tiny_llama(), other = tiny_gpt2();
    llm_model_t *model = llm_model_new_random(&shape, 3, be, &err);
    llm_adapter_spec_t full = tiny_full();
    llm_adapter_t *adapter = llm_adapter_new(&other, &full, &err);
    float nothing = 0.0f;
    llm_merge_t merge = {adapter, &nothing};
    place_t place;
    place_init(&place);
    assert_int_equal(llm_model_export(model, &merge, 1, NULL, FMQ_F32, place.path, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_MISMATCH);
    assert_non_null(strstr(err.text, place.path));
    assert_int_equal(llm_model_export(model, NULL, 0, NULL, FMQ_I8, place.path, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_UNSUPPORTED);
    assert_int_equal(llm_model_export(model, NULL, 0, NULL, FMQ_F32, "/nowhere/at/all", &err), -1);
    assert_int_equal(err.code, FMQ_ERR_IO);
    place_release(&place);
    llm_adapter_destroy(&adapter);
    llm_model_destroy(&model);
    llm_backend_destroy(&be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lora_is_merged_into_every_module),
        cmocka_unit_test(full_vectors_take_the_place_of_the_tensors),
        cmocka_unit_test(two_vectors_on_different_layers_are_both_merged),
        cmocka_unit_test(layers_of_fewer_channels_are_padded),
        cmocka_unit_test(a_composition_without_vectors_has_the_digest_of_its_export),
        cmocka_unit_test(a_model_in_half_precision_is_half_as_long),
        cmocka_unit_test(what_cannot_be_exported_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
