/*
 * test_placement.c - a model is one thing, and where it is computed with
 * another: what is placed, when, where, and for whom.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/llm/parts.h"
#include "tests/llm/pass/tiny.h"

#define THREADS 8

static llm_backend_t *cpu(void)
{
    llm_backend_t *be = llm_backend_open("cpu", 1, NULL);
    assert_non_null(be);
    return be;
}

/* Nothing was placed twice: not by an instance of a device, nor by another one. */
static void the_cpu_in_bf16_has_the_weights_once_too(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    llm_backend_t *be = llm_backend_open("cpu:bf16", 1, &err);
    llm_backend_t *other = llm_backend_open("cpu:bf16", 2, &err);
    assert_non_null(be);
    assert_non_null(other);
    llm_shape_t shape = tiny_llama();
    llm_model_t *model = llm_model_new_random(&shape, 3, be, &err);
    size_t bytes = llm_model_bytes(model);
    assert_true(bytes > 0);
    assert_int_equal(llm_model_place(model, be, &err), 0);
    assert_int_equal(llm_model_place(model, other, &err), 0);
    assert_int_equal(llm_model_bytes(model), bytes);
    llm_model_destroy(&model);
    llm_backend_destroy(&other);
    llm_backend_destroy(&be);
}

/* Opened for nobody. */
static llm_model_t *unplaced(llm_shape_t shape)
{
    fmq_error_t err = {0};
    llm_model_t *model = llm_model_new_random(&shape, 3, NULL, &err);
    assert_non_null(model);
    return model;
}

static void who_only_reads_a_model_places_nothing(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    llm_model_t *model = unplaced(tiny_llama());
    float norm[16];
    assert_int_equal(llm_model_read(model, "model.norm.weight", norm, &err), 0);
    fmq_digest_t digest = llm_model_digest(model);
    (void)digest;
    llm_part_image_t *image = llm_part_image_new(model, 0, &err);
    llm_part_image_destroy(&image);
    assert_int_equal(llm_model_bytes(model), 0);
    llm_model_destroy(&model);
}

static void a_device_has_the_weights_once_whoever_asks(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    llm_backend_t *be = cpu(), *other = cpu();
    llm_shape_t shape = tiny_gpt2();
    llm_model_t *model = unplaced(shape);
    llm_model_t *placed = llm_model_new_random(&shape, 3, be, &err);
    float later[TINY_LOGITS], before[TINY_LOGITS];
    size_t bytes = llm_model_bytes(placed);
    assert_true(bytes > 0);
    tiny_logits(placed, be, before);
    tiny_logits(model, be, later);
    assert_memory_equal(later, before, sizeof later);
    assert_int_equal(llm_model_bytes(model), bytes);
    tiny_logits(model, other, later);
    assert_memory_equal(later, before, sizeof later);
    assert_int_equal(llm_model_place(model, other, &err), 0);
    assert_int_equal(llm_model_bytes(model), bytes);
    llm_model_destroy(&placed);
    llm_model_destroy(&model);
    llm_backend_destroy(&other);
    llm_backend_destroy(&be);
}

static int out_of_memory(llm_backend_t *be, fmq_error_t *err)
{
    (void)be;
    return fmq_error_set(err, FMQ_ERR_NOMEM, "the device is full");
}

static void what_a_device_could_not_do_is_told_when_a_model_is_placed(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    llm_model_t *model = unplaced(tiny_llama());
    llm_backend_t *be = cpu();
    llm_ops_t ops = *be->ops;
    llm_backend_t full = {.ops = &ops, .context = be->context};
    ops.synchronize = out_of_memory;
    assert_int_equal(llm_model_place(model, &full, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_NOMEM);
    assert_string_equal(err.text, "the device is full");
    assert_int_equal(llm_model_bytes(model), 0);
    assert_int_equal(llm_model_place(model, be, &err), 0); /* a failure does not stick */
    assert_true(llm_model_bytes(model) > 0);
    llm_model_destroy(&model);
    llm_backend_destroy(&be);
}

/* And the weights outlive the instance that they were placed with. */
static void every_device_has_weights_of_its_own(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    llm_model_t *model = unplaced(tiny_llama_biased());
    llm_backend_t *be = cpu(), *naive = llm_backend_reference_new(&err);
    float fast[TINY_LOGITS], slow[TINY_LOGITS], again[TINY_LOGITS];
    tiny_logits(model, be, fast);
    size_t bytes = llm_model_bytes(model);
    tiny_logits(model, naive, slow);
    assert_true(llm_model_bytes(model) > bytes);
    for (size_t i = 0; i < TINY_LOGITS; i++)
        assert_float_equal(fast[i], slow[i], 1e-5);
    bytes = llm_model_bytes(model);
    llm_backend_destroy(&be);
    be = cpu();
    tiny_logits(model, be, again);
    assert_memory_equal(fast, again, sizeof fast);
    assert_int_equal(llm_model_bytes(model), bytes);
    llm_backend_destroy(&naive);
    llm_backend_destroy(&be);
    llm_model_destroy(&model);
}

static size_t bytes_under(const llm_adapter_spec_t *spec)
{
    fmq_error_t err = {0};
    llm_backend_t *be = cpu();
    llm_model_t *model = unplaced(tiny_llama());
    llm_adapter_t *adapter = llm_adapter_new(llm_model_shape(model), spec, &err);
    llm_limits_t limits = {.tokens_max = TINY_TOKENS, .training = true};
    llm_workspace_t *ws = llm_workspace_new(model, adapter, &limits, be, &err);
    assert_non_null(ws);
    size_t bytes = llm_model_bytes(model);
    llm_workspace_destroy(&ws);
    llm_adapter_destroy(&adapter);
    llm_model_destroy(&model);
    llm_backend_destroy(&be);
    return bytes;
}

static void what_a_vector_takes_the_place_of_is_not_placed(void **state)
{
    (void)state;
    llm_adapter_spec_t lora = tiny_lora("", 0.0f), full = tiny_full();
    llm_adapter_spec_t one = tiny_on_layers(tiny_full(), "1");
    assert_int_equal(bytes_under(&full), 0);
    assert_true(bytes_under(&one) > 0);
    assert_true(bytes_under(&one) < bytes_under(&lora));
}

static void of_a_lender_only_what_is_borrowed_is_placed(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    llm_backend_t *be = cpu();
    llm_shape_t shape = tiny_gpt2();
    shape.layers = 4;
    llm_model_t *lender = unplaced(shape);
    llm_part_origin_t stem = {.model = lender};
    llm_part_origin_t layers[] = {{.model = lender}, {.model = lender, .layer = 3}};
    shape.layers = 2;
    llm_model_t *student = llm_model_compose(&shape, &stem, layers, NULL, &err);
    assert_non_null(student);
    float one[TINY_LOGITS], other[TINY_LOGITS];
    tiny_logits(student, be, one);
    size_t borrowed = llm_model_bytes(lender);
    assert_int_equal(llm_model_bytes(student), 0);
    assert_true(borrowed > 0);
    tiny_logits(lender, be, other);
    assert_memory_not_equal(one, other, sizeof one);
    assert_true(llm_model_bytes(lender) > borrowed);
    tiny_logits(student, be, other);
    assert_memory_equal(one, other, sizeof one);
    llm_model_destroy(&student);
    llm_model_destroy(&lender);
    llm_backend_destroy(&be);
}

typedef struct {
    const llm_model_t *model;
    float logits[TINY_LOGITS];
} asker_t;

static void *ask(void *argument)
{
    asker_t *self = argument;
    llm_backend_t *be = llm_backend_open("cpu", 1, NULL);
    tiny_logits(self->model, be, self->logits);
    llm_backend_destroy(&be);
    return NULL;
}

static void threads_that_ask_at_once_share_one_placement(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    llm_shape_t shape = tiny_llama();
    llm_model_t *lender = unplaced(shape);
    llm_part_origin_t stem = {.model = lender};
    llm_part_origin_t layers[] = {{.model = lender}, {.model = lender, .layer = 1}};
    llm_model_t *student = llm_model_compose(&shape, &stem, layers, NULL, &err);
    pthread_t threads[THREADS];
    asker_t askers[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        askers[i].model = i % 2 ? lender : student;
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &askers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_memory_equal(askers[i].logits, askers[0].logits, sizeof askers[0].logits);
    }
    llm_backend_t *be = cpu();
    llm_model_t *alone = llm_model_new_random(&shape, 3, be, &err);
    assert_int_equal(llm_model_bytes(lender), llm_model_bytes(alone));
    assert_int_equal(llm_model_bytes(student), 0);
    llm_model_destroy(&alone);
    llm_model_destroy(&student);
    llm_model_destroy(&lender);
    llm_backend_destroy(&be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_only_reads_a_model_places_nothing),
        cmocka_unit_test(a_device_has_the_weights_once_whoever_asks),
        cmocka_unit_test(the_cpu_in_bf16_has_the_weights_once_too),
        cmocka_unit_test(what_a_device_could_not_do_is_told_when_a_model_is_placed),
        cmocka_unit_test(every_device_has_weights_of_its_own),
        cmocka_unit_test(what_a_vector_takes_the_place_of_is_not_placed),
        cmocka_unit_test(of_a_lender_only_what_is_borrowed_is_placed),
        cmocka_unit_test(threads_that_ask_at_once_share_one_placement),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
