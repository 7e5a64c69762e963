/*
 * test_evaluate.c - losses over a dataset, on paper: order, sums, NaN, a stop.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/llm/train/paper.h"

static const float start[PAPER_SIZE] = {0.5f, -1.0f, 2.0f};

typedef struct {
    uint64_t calls, stop_at, steps, tokens;
} watcher_t;

static int watch(void *argument, uint64_t step, uint64_t steps, uint64_t tokens)
{
    watcher_t *watcher = argument;
    watcher->calls++;
    assert_int_equal(step, watcher->calls);
    assert_true(tokens > watcher->tokens);
    watcher->tokens = tokens;
    watcher->steps = steps;
    return step == watcher->stop_at;
}

static void evaluation_sums_over_all_batches_in_order(void **state)
{
    (void)state;
    llm_dataset_t *dataset = paper_dataset(7, 3);
    llm_workspace_t ws;
    paper_open(&ws, start);
    llm_eval_stats_t stats;
    fmq_error_t err;
    assert_int_equal(llm_evaluate_loss(&ws, dataset, 3, NULL, NULL, &stats, &err), 0);
    assert_int_equal(ws.calls, 3);
    assert_int_equal(ws.call[0].first_target, 'A');
    assert_int_equal(ws.call[1].first_target, 'D');
    double loss_sum = 0;
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < PAPER_SIZE; j++)
            loss_sum +=
                (double)ws.call[i].examples * pow((double)start[j] - ws.call[i].center[j], 2) / 2;
    assert_int_equal(stats.samples, 7);
    assert_int_equal(stats.supervised, 28);
    assert_true(fabs(stats.loss_sum - loss_sum) < 1e-9);
    assert_true(fabs(stats.loss_avg - loss_sum / 7) < 1e-9);
    assert_true(fabs(stats.token_loss - stats.nll_sum / 28) < 1e-12);
    paper_close(&ws);
    llm_dataset_destroy(&dataset);
}

/* FedBiOT's accumulation loop also wraps evaluation: k-fold totals. */
static void evaluation_does_not_multiply_with_accumulation(void **state)
{
    (void)state;
    llm_dataset_t *dataset = paper_dataset(7, 3);
    llm_eval_stats_t before = {0}, after;
    fmq_error_t err;
    for (uint32_t accumulation = 1; accumulation <= 4; accumulation += 3) {
        llm_workspace_t ws;
        paper_open(&ws, start);
        llm_train_options_t options = {.optimizer = {.kind = LLM_SGD}, /* a rate of 0 */
                                       .steps = 2,
                                       .batch_size = 2,
                                       .grad_accum = accumulation};
        assert_int_equal(llm_train_run(&ws, dataset, &options, NULL, NULL, NULL, &err), 0);
        size_t trained = ws.calls;
        assert_int_equal(trained, 2 * accumulation);
        assert_int_equal(llm_evaluate_loss(&ws, dataset, 2, NULL, NULL, &after, &err), 0);
        assert_int_equal(ws.calls - trained, 4);
        assert_int_equal(after.samples, 7);
        assert_int_equal(after.supervised, 28);
        if (accumulation > 1)
            assert_true(after.loss_sum == before.loss_sum && after.nll_sum == before.nll_sum);
        before = after;
        paper_close(&ws);
    }
    llm_dataset_destroy(&dataset);
}

static void evaluation_leaves_nan_batches_out_and_counts_them(void **state)
{
    (void)state;
    llm_dataset_t *dataset = paper_dataset(7, 3), *empty = paper_dataset(0, 3);
    llm_workspace_t ws;
    paper_open(&ws, start);
    ws.nan_losses = 1u << 1;
    llm_eval_stats_t stats;
    fmq_error_t err;
    assert_int_equal(llm_evaluate_loss(&ws, dataset, 3, NULL, NULL, &stats, &err), 0);
    assert_int_equal(stats.samples, 4);
    assert_int_equal(stats.nan_batches, 1);
    ws.nan_always = true;
    assert_int_equal(llm_evaluate_loss(&ws, dataset, 3, NULL, NULL, &stats, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_NUMERIC);
    assert_int_equal(llm_evaluate_loss(&ws, empty, 3, NULL, NULL, &stats, &err), 0);
    assert_int_equal(stats.samples, 0);
    assert_true(stats.loss_avg == 0);
    assert_int_equal(llm_evaluate_loss(&ws, dataset, 0, NULL, NULL, &stats, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
    paper_close(&ws);
    llm_dataset_destroy(&dataset);
    llm_dataset_destroy(&empty);
}

static void evaluation_can_be_stopped(void **state)
{
    (void)state;
    llm_dataset_t *dataset = paper_dataset(7, 3);
    llm_workspace_t ws;
    paper_open(&ws, start);
    watcher_t watcher = {.stop_at = 2};
    llm_eval_stats_t stats;
    fmq_error_t err;
    assert_int_equal(llm_evaluate_loss(&ws, dataset, 1, watch, &watcher, &stats, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_STOPPED);
    assert_int_equal(ws.calls, 2);
    assert_int_equal(watcher.steps, 7);
    paper_close(&ws);
    llm_dataset_destroy(&dataset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evaluation_sums_over_all_batches_in_order),
        cmocka_unit_test(evaluation_does_not_multiply_with_accumulation),
        cmocka_unit_test(evaluation_leaves_nan_batches_out_and_counts_them),
        cmocka_unit_test(evaluation_can_be_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
