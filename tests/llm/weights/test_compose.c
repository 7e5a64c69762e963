/*
 * test_compose.c - models put together from the layers of others: what they
 * compute, what they cost, what is refused.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/llm/generate.h"
#include "fedmq/llm/parts.h"
#include "tests/llm/pass/tiny.h"

#define LAYERS 4

/* A random model of four layers, and what composing from it needs. */
typedef struct {
    llm_backend_t *be;
    llm_model_t *model;
    llm_shape_t shape; /* of the composition: layers are set by the test */
    llm_part_origin_t stem, layers[LAYERS];
} lender_t;

static void lender_init(lender_t *self, llm_shape_t shape, uint64_t seed)
{
    fmq_error_t err = {0};
    *self = (lender_t){.be = llm_backend_cpu_new(1, &err)};
    shape.layers = LAYERS;
    self->shape = shape;
    self->model = llm_model_new_random(&shape, seed, self->be, &err);
    assert_non_null(self->model);
    self->stem.model = self->model;
    for (uint32_t l = 0; l < LAYERS; l++)
        self->layers[l] = (llm_part_origin_t){.model = self->model, .layer = l};
}

static void lender_release(lender_t *self)
{
    llm_model_destroy(&self->model);
    llm_backend_destroy(&self->be);
}

static llm_model_t *compose(lender_t *self)
{
    fmq_error_t err = {0};
    llm_model_t *model = llm_model_compose(&self->shape, &self->stem, self->layers, self->be, &err);
    if (!model)
        fail_msg("%s", err.text);
    return model;
}

/* Layers 0, 2 and 3. */
static llm_model_t *compose_without_one(lender_t *self)
{
    self->shape.layers = 3;
    self->layers[1].layer = 2;
    self->layers[2].layer = 3;
    return compose(self);
}

static void assert_same_digest(const llm_model_t *a, const llm_model_t *b, bool same)
{
    fmq_digest_t left = llm_model_digest(a), right = llm_model_digest(b);
    assert_int_equal(fmq_digest_equal(&left, &right), same);
}

static void assert_same_logits(const llm_model_t *a, const llm_model_t *b, llm_backend_t *be)
{
    float left[TINY_LOGITS], right[TINY_LOGITS];
    tiny_logits(a, be, left);
    tiny_logits(b, be, right);
    assert_memory_equal(left, right, sizeof left);
}

static void a_model_of_borrowed_parts_is_the_model_and_costs_nothing(void **state)
{
    (void)state;
    llm_shape_t shapes[] = {tiny_gpt2(), tiny_llama(), tiny_llama_biased()};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        lender_t lender;
        lender_init(&lender, shapes[i], 3);
        llm_model_t *model = compose(&lender);
        assert_int_equal(llm_model_bytes(model), 0);
        assert_string_equal(llm_model_directory(model), "");
        assert_same_digest(model, lender.model, true);
        assert_same_logits(model, lender.model, lender.be);
        llm_model_destroy(&model);
        lender_release(&lender);
    }
}

static void a_composed_layer_is_read_under_its_new_name(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    lender_t lender;
    lender_init(&lender, tiny_llama(), 3);
    llm_model_t *model = compose_without_one(&lender);
    float mine[16 * 20], theirs[16 * 20];
    assert_int_equal(llm_model_read(model, "model.layers.1.mlp.up_proj.weight", mine, &err), 0);
    assert_int_equal(
        llm_model_read(lender.model, "model.layers.2.mlp.up_proj.weight", theirs, &err), 0);
    assert_memory_equal(mine, theirs, sizeof mine);
    assert_int_equal(llm_model_read(model, "model.layers.3.mlp.up_proj.weight", mine, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_NOTFOUND);
    assert_int_equal(llm_model_read(model, "model.norm.weight", mine, &err), 0);
    assert_same_digest(model, lender.model, false);
    llm_model_destroy(&model);
    lender_release(&lender);
}

static void compositions_can_be_composed_again(void **state)
{
    (void)state;
    lender_t lender;
    lender_init(&lender, tiny_gpt2(), 3);
    llm_model_t *first = compose_without_one(&lender); /* 0 2 3 */
    lender_t again = lender;
    again.stem.model = first;
    for (uint32_t l = 0; l < 3; l++)
        again.layers[l] = (llm_part_origin_t){.model = first, .layer = 2 - l};
    llm_model_t *second = compose(&again); /* 3 2 0 */
    for (uint32_t l = 0; l < 3; l++)
        lender.layers[l].layer = l == 2 ? 0 : 3 - l;
    llm_model_t *direct = compose(&lender);
    assert_same_digest(second, direct, true);
    assert_same_digest(second, first, false);
    assert_same_logits(second, direct, lender.be);
    llm_model_destroy(&direct);
    llm_model_destroy(&second);
    llm_model_destroy(&first);
    lender_release(&lender);
}

static void a_composition_trains_and_generates(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    lender_t lender;
    lender_init(&lender, tiny_gpt2(), 3);
    llm_model_t *model = compose_without_one(&lender);
    llm_adapter_spec_t full = tiny_full();
    llm_adapter_t *adapter = llm_adapter_new(llm_model_shape(model), &full, &err);
    uint64_t elements = fmq_schema_elements(llm_adapter_schema(adapter));
    float *vector = malloc(elements * sizeof *vector);
    assert_int_equal(llm_adapter_init(adapter, model, 0, vector, &err), 0);
    llm_limits_t limits = {.tokens_max = TINY_TOKENS, .training = true};
    llm_workspace_t *ws = llm_workspace_new(model, adapter, &limits, lender.be, &err);
    tiny_batch_t batch = {0};
    double loss = 0.0, first = 0.0;
    tiny_batch_init(&batch);
    assert_int_equal(llm_workspace_set_params(ws, vector, &err), 0);
    assert_int_equal(llm_workspace_train(ws, &batch.batch, 1.0f, NULL, &first, &err), 0);
    assert_int_equal(llm_workspace_loss(ws, &batch.batch, &loss, &err), 0);
    assert_true(first > 0.0 && loss == first);
    llm_workspace_destroy(&ws);

    llm_generator_t *generator = llm_generator_new(model, adapter, 8, lender.be, &err);
    llm_sampling_t how = {.new_tokens_max = 4, .top_p = 1.0};
    llm_ids_t ids = {0};
    assert_int_equal(llm_generator_set_params(generator, vector, &err), 0);
    assert_int_equal(llm_generator_run(generator, batch.ids, 3, &how, &ids, &err), 0);
    assert_int_equal(ids.size, 4);
    llm_ids_release(&ids);
    free(vector);
    llm_generator_destroy(&generator);
    llm_adapter_destroy(&adapter);
    llm_model_destroy(&model);
    lender_release(&lender);
}

static void refuse(const lender_t *lender, const llm_shape_t *shape, const char *subject)
{
    fmq_error_t err = {0};
    assert_null(llm_model_compose(shape, &lender->stem, lender->layers, lender->be, &err));
    assert_int_equal(err.code, FMQ_ERR_MISMATCH);
    if (!strstr(err.text, subject))
        fail_msg("the error says '%s'", err.text);
}

static void parts_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    lender_t lender;
    lender_init(&lender, tiny_llama(), 3);
    llm_shape_t other = lender.shape;
    other.norm_eps = 1e-6f;
    refuse(&lender, &other, "layer 0");
    other = lender.shape;
    other.layers = 0;
    refuse(&lender, &other, "0 layers");
    lender.layers[2].layer = LAYERS;
    refuse(&lender, &lender.shape, "layer 2");
    lender_release(&lender);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_of_borrowed_parts_is_the_model_and_costs_nothing),
        cmocka_unit_test(a_composed_layer_is_read_under_its_new_name),
        cmocka_unit_test(compositions_can_be_composed_again),
        cmocka_unit_test(a_composition_trains_and_generates),
        cmocka_unit_test(parts_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
