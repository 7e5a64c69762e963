/*
 * test_backend_calls.c - what passes ask of a backend beside arithmetic: its
 * state once at the end, losses in one copy, starts once a batch, rows of the
 * head as it wants them.
 */
#include <stdlib.h>
#include <string.h>

#include "fedmq/llm/generate.h"
#include "llm/backend/instance.h"
#include "tests/llm/pass/tiny.h"

static fmq_error_t err;

/* The reference backend, whose ops some are counted of. */
typedef struct {
    llm_ops_t real;
    size_t synchronized, downloads, uploads_of_starts, attended;
    bool starts_are_wrong;
} counts_t;

static counts_t counts;

static int counted_synchronize(llm_backend_t *be, fmq_error_t *error)
{
    counts.synchronized++;
    return counts.real.synchronize(be, error);
}

static void counted_download(llm_backend_t *be, void *host, const void *from, size_t bytes)
{
    assert_int_equal(counts.synchronized, 0); /* nothing follows the question */
    counts.downloads++;
    counts.real.download(be, host, from, bytes);
}

static void counted_upload(llm_backend_t *be, void *to, const void *host, size_t bytes)
{
    static const uint32_t starts[] = {0, 7, 8, TINY_TOKENS};
    counts.uploads_of_starts += bytes == sizeof starts && memcmp(host, starts, bytes) == 0;
    counts.real.upload(be, to, host, bytes);
}

static void checked_attention(llm_backend_t *be, llm_act_t *out, float *lse, const llm_act_t *q,
                              const llm_act_t *k, const llm_act_t *v, const llm_attention_t *shape,
                              float *scratch)
{
    size_t bytes = (shape->S + 1) * sizeof *shape->starts;
    counts.attended++;
    counts.starts_are_wrong |= shape->longest != 7;
    if (be->ops->device_starts)
        counts.starts_are_wrong |=
            !shape->device_starts || memcmp(shape->device_starts, shape->starts, bytes) != 0;
    else
        counts.starts_are_wrong |= shape->device_starts != NULL;
    counts.real.attention_forward(be, out, lse, q, k, v, shape, scratch);
}

static llm_backend_t *counted(size_t head_rows, bool device_starts)
{
    llm_backend_t *be = llm_backend_reference_new(&err);
    llm_ops_t *ops = &llm_instance(be)->ops;
    counts = (counts_t){.real = *ops};
    ops->synchronize = counted_synchronize;
    ops->download = counted_download;
    ops->upload = counted_upload;
    ops->attention_forward = checked_attention;
    ops->head_rows = head_rows;
    ops->device_starts = device_starts;
    return be;
}

static void reset(void)
{
    llm_ops_t real = counts.real;
    counts = (counts_t){.real = real};
}

static void open_tiny(tiny_t *tiny, tiny_batch_t *batch, llm_backend_t *be)
{
    llm_shape_t shape = tiny_llama();
    llm_adapter_spec_t spec = tiny_on_layers(tiny_lora("q_proj down_proj", 0.1f), "1");
    *batch = (tiny_batch_t){0};
    tiny_batch_init(batch);
    tiny_init(tiny, &shape, &spec, be);
    tiny->be->ops->zero(be, llm_workspace_grads(tiny->ws), tiny->elements * sizeof(float));
    reset();
}

static void a_pass_asks_once_and_fetches_its_losses_in_one_copy(void **state)
{
    (void)state;
    tiny_t tiny;
    tiny_batch_t batch;
    double losses[2];
    static const size_t rows[] = {128, 2}; /* all supervised rows at once, and in five blocks */
    for (size_t i = 0; i < 2; i++) {
        open_tiny(&tiny, &batch, counted(rows[i], false));
        assert_int_equal(llm_workspace_train(tiny.ws, &batch.batch, 1.0f, NULL, &losses[i], &err),
                         0);
        assert_int_equal(counts.synchronized, 1);
        assert_int_equal(counts.downloads, 1);
        reset();
        double loss;
        assert_int_equal(llm_workspace_loss(tiny.ws, &batch.batch, &loss, &err), 0);
        assert_int_equal(counts.synchronized, 1);
        assert_int_equal(counts.downloads, 1);
        assert_true(loss == losses[i]);
        tiny_release(&tiny);
    }
    assert_true(losses[0] == losses[1]);
}

static void starts_reach_a_backend_that_reads_them_once_a_batch(void **state)
{
    (void)state;
    tiny_t tiny;
    tiny_batch_t batch;
    double loss;
    for (int reads = 0; reads < 2; reads++) {
        open_tiny(&tiny, &batch, counted(128, reads));
        assert_int_equal(llm_workspace_train(tiny.ws, &batch.batch, 1.0f, NULL, &loss, &err), 0);
        assert_int_equal(counts.uploads_of_starts, reads);
        assert_int_equal(counts.attended, 2);
        assert_false(counts.starts_are_wrong);
        tiny_release(&tiny);
    }
}

/* Every pass, and text, on a backend that has failed. */
static void what_went_wrong_on_the_backend_fails_the_pass(void **state)
{
    (void)state;
    tiny_t tiny;
    tiny_batch_t batch;
    float room[TINY_TOKENS * TINY_VOCAB];
    double loss = 5.0;
    llm_ids_t ids = {0};
    open_tiny(&tiny, &batch, llm_backend_reference_new(&err));
    llm_generator_t *generator = llm_generator_new(tiny.model, tiny.adapter, 8, tiny.be, &err);
    llm_sampling_t how = {.new_tokens_max = 2, .top_p = 1};
    assert_non_null(generator);
    assert_int_equal(llm_generator_run(generator, batch.ids, 3, &how, &ids, &err), 0);
    llm_instance_fail(llm_instance(tiny.be), FMQ_ERR_IO, "the device is gone");
    llm_instance_fail(llm_instance(tiny.be), FMQ_ERR_INTERNAL, "and what came of that");
    const int results[] = {
        llm_workspace_train(tiny.ws, &batch.batch, 1.0f, NULL, &loss, NULL),
        llm_workspace_loss(tiny.ws, &batch.batch, &loss, NULL),
        llm_workspace_prefix(tiny.ws, &batch.batch, room, NULL),
        llm_workspace_logits(tiny.ws, &batch.batch, batch.rows, 2, room, NULL),
        llm_generator_run(generator, batch.ids, 3, &how, &ids, &err),
    };
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        assert_int_equal(results[i], -1);
    assert_int_equal(err.code, FMQ_ERR_IO);
    assert_string_equal(err.text, "the device is gone");
    assert_true(loss == 5.0);
    llm_ids_release(&ids);
    llm_generator_destroy(&generator);
    tiny_release(&tiny);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pass_asks_once_and_fetches_its_losses_in_one_copy),
        cmocka_unit_test(starts_reach_a_backend_that_reads_them_once_a_batch),
        cmocka_unit_test(what_went_wrong_on_the_backend_fails_the_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
