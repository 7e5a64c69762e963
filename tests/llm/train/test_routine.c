/*
 * test_routine.c - the local routine on paper: which batches make which steps,
 * what a step does to the parameters, and what NaN, a stop and nonsense do.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/llm/train/paper.h"

static const float start[PAPER_SIZE] = {0.5f, -1.0f, 2.0f};

static llm_train_options_t plain_options(void)
{
    return (llm_train_options_t){.optimizer = {.kind = LLM_SGD, .lr = 0.1},
                                 .steps = 4,
                                 .batch_size = 2,
                                 .shuffle = true,
                                 .grad_accum = 1,
                                 .seed = 5,
                                 .client = 3,
                                 .round = 7};
}

static void train(llm_workspace_t *ws, const llm_dataset_t *dataset,
                  const llm_train_options_t *options, llm_train_stats_t *stats)
{
    fmq_error_t err;
    if (llm_train_run(ws, dataset, options, NULL, NULL, stats, &err) < 0)
        fail_msg("%s", err.text);
}

/* What SGD makes of the calls that were noted: the formulas once more, in
 * double precision. */
static void simulate(const llm_workspace_t *ws, const llm_train_options_t *options,
                     double w[PAPER_SIZE])
{
    double origin[PAPER_SIZE];
    uint64_t step = 0;
    for (size_t j = 0; j < PAPER_SIZE; j++)
        w[j] = (double)start[j];
    for (size_t j = 0; j < PAPER_SIZE; j++)
        origin[j] = options->proximal_anchor ? (double)options->proximal_anchor[j] : w[j];
    for (size_t call = 0; call < ws->calls; step++) {
        double grad[PAPER_SIZE] = {0}, norm = 0;
        size_t group =
            ws->calls - call < options->grad_accum ? ws->calls - call : options->grad_accum;
        for (size_t i = 0; i < group; i++, call++)
            for (size_t j = 0; j < PAPER_SIZE; j++)
                grad[j] += (w[j] - ws->call[call].center[j]) / (double)group;
        for (size_t j = 0; j < PAPER_SIZE; j++) {
            grad[j] += options->proximal_mu * (w[j] - origin[j]);
            norm += grad[j] * grad[j];
        }
        norm = sqrt(norm);
        double clip = options->grad_clip > 0 ? fmin(1, options->grad_clip / (norm + 1e-6)) : 1;
        double lr = llm_schedule_lr(&options->schedule, options->optimizer.lr, step);
        for (size_t j = 0; j < PAPER_SIZE; j++)
            w[j] -= lr * clip * grad[j];
    }
}

static void assert_simulated(const llm_workspace_t *ws, const llm_train_options_t *options)
{
    double expected[PAPER_SIZE];
    simulate(ws, options, expected);
    for (size_t j = 0; j < PAPER_SIZE; j++)
        if (!(fabs((double)ws->params[j] - expected[j]) < 2e-6))
            fail_msg("parameter %zu is %.9g, expected %.9g", j, (double)ws->params[j], expected[j]);
}

static void sgd_steps_are_those_on_paper(void **state)
{
    (void)state;
    llm_dataset_t *dataset = paper_dataset(10, 3);
    llm_train_options_t options = plain_options();
    llm_workspace_t ws;
    paper_open(&ws, start);
    llm_train_stats_t stats;
    train(&ws, dataset, &options, &stats);
    assert_int_equal(ws.calls, 4);
    assert_int_equal(stats.steps, 4);
    assert_simulated(&ws, &options);
    paper_close(&ws);
    llm_dataset_destroy(&dataset);
}

static void the_statistics_are_the_sums_that_fs_llm_reports(void **state)
{
    (void)state;
    llm_dataset_t *dataset = paper_dataset(5, 3);
    llm_train_options_t options = plain_options();
    options.by_epoch = true;
    options.steps = 1;
    options.optimizer.lr = 0; /* so that the losses are known */
    llm_workspace_t ws;
    paper_open(&ws, start);
    llm_train_stats_t stats;
    train(&ws, dataset, &options, &stats);
    double loss_sum = 0, nll_sum = 0;
    uint64_t tokens = 0, supervised = 0;
    assert_int_equal(ws.calls, 3);
    for (size_t i = 0; i < 3; i++) {
        const paper_call_t *call = &ws.call[i];
        double loss = 0;
        for (size_t j = 0; j < PAPER_SIZE; j++)
            loss += pow((double)start[j] - call->center[j], 2) / 2;
        loss_sum += loss * (double)call->examples;
        nll_sum += loss * (double)call->supervised;
        tokens += call->tokens;
        supervised += call->supervised;
    }
    assert_int_equal(stats.samples, 5);
    assert_int_equal(stats.supervised, supervised);
    assert_int_equal(stats.supervised, 5 * 4);
    assert_int_equal(stats.tokens, tokens);
    assert_int_equal(stats.tokens, llm_dataset_tokens(dataset));
    assert_true(fabs(stats.loss_sum - loss_sum) < 1e-9);
    assert_true(fabs(stats.loss_avg - loss_sum / 5) < 1e-9);
    assert_true(fabs(stats.nll_sum - nll_sum) < 1e-9);
    assert_true(stats.seconds >= 0 && stats.seconds < 60);
    paper_close(&ws);
    llm_dataset_destroy(&dataset);
}

static void accumulated_batches_make_the_step_of_one_large_batch(void **state)
{
    (void)state;
    llm_dataset_t *dataset = paper_dataset(24, 3);
    llm_train_options_t options = plain_options();
    options.steps = 6;
    options.batch_size = 4;
    llm_workspace_t large, small;
    paper_open(&large, start);
    train(&large, dataset, &options, NULL);
    options.batch_size = 1;
    options.grad_accum = 4;
    paper_open(&small, start);
    llm_train_stats_t stats;
    train(&small, dataset, &options, &stats);
    assert_int_equal(stats.steps, 6);
    assert_int_equal(small.calls, 24);
    for (size_t j = 0; j < PAPER_SIZE; j++)
        assert_true(fabs((double)small.params[j] - (double)large.params[j]) < 1e-6);
    assert_simulated(&small, &options);
    paper_close(&large);
    paper_close(&small);
    llm_dataset_destroy(&dataset);
}

static void a_short_last_group_counts_as_the_mean_of_what_it_has(void **state)
{
    (void)state;
    llm_dataset_t *dataset = paper_dataset(5, 3);
    llm_train_options_t options = plain_options();
    options.by_epoch = true;
    options.steps = 1;
    options.batch_size = 1;
    options.grad_accum = 3;
    llm_workspace_t ws;
    paper_open(&ws, start);
    llm_train_stats_t stats;
    train(&ws, dataset, &options, &stats);
    assert_int_equal(ws.calls, 5);
    assert_int_equal(stats.steps, 2);
    assert_simulated(&ws, &options);
    paper_close(&ws);
    llm_dataset_destroy(&dataset);
}

static void clipping_bounds_the_whole_gradient(void **state)
{
    (void)state;
    llm_dataset_t *dataset = paper_dataset(10, 3);
    llm_train_options_t options = plain_options();
    options.grad_clip = 0.25;
    options.grad_accum = 2;
    llm_workspace_t ws;
    paper_open(&ws, start);
    train(&ws, dataset, &options, NULL);
    assert_simulated(&ws, &options);
    double moved = 0;
    for (size_t j = 0; j < PAPER_SIZE; j++)
        moved += pow((double)ws.params[j] - (double)start[j], 2);
    assert_true(sqrt(moved) <= 4 * 0.1 * 0.25 + 1e-6);
    paper_close(&ws);
    llm_dataset_destroy(&dataset);
}

static void the_rate_follows_the_schedule(void **state)
{
    (void)state;
    llm_dataset_t *dataset = paper_dataset(10, 3);
    llm_train_options_t options = plain_options();
    options.steps = 9;
    options.schedule = (llm_schedule_t){.kind = LLM_SCHEDULE_STEP, .step_size = 2, .gamma = 0.5};
    llm_workspace_t ws;
    paper_open(&ws, start);
    train(&ws, dataset, &options, NULL);
    assert_simulated(&ws, &options);
    paper_close(&ws);
    llm_dataset_destroy(&dataset);
}

static void fedprox_has_a_real_gradient(void **state)
{
    (void)state;
    llm_dataset_t *dataset = paper_dataset(10, 3);
    llm_train_options_t options = plain_options();
    options.steps = 20;
    llm_workspace_t free_one, held;
    paper_open(&free_one, start);
    train(&free_one, dataset, &options, NULL);
    options.proximal_mu = 3;
    paper_open(&held, start);
    train(&held, dataset, &options, NULL);
    assert_simulated(&held, &options);
    double far = 0, near = 0;
    for (size_t j = 0; j < PAPER_SIZE; j++) {
        far += fabs((double)free_one.params[j] - (double)start[j]);
        near += fabs((double)held.params[j] - (double)start[j]);
    }
    assert_true(near < far / 2);
    paper_close(&free_one);
    paper_close(&held);
    llm_dataset_destroy(&dataset);
}

/* As a client's own model is pulled to the shared one: from start, to elsewhere. */
static void the_pull_may_be_to_something_else_than_the_start(void **state)
{
    (void)state;
    llm_dataset_t *dataset = paper_dataset(10, 3);
    llm_train_options_t options = plain_options();
    float anchor[PAPER_SIZE];
    for (size_t j = 0; j < PAPER_SIZE; j++)
        anchor[j] = 5.0F + (float)j;
    options.steps = 20;
    options.proximal_mu = 3;
    options.proximal_anchor = anchor;
    llm_workspace_t pulled;
    paper_open(&pulled, start);
    train(&pulled, dataset, &options, NULL);
    assert_simulated(&pulled, &options);
    double before = 0, after = 0;
    for (size_t j = 0; j < PAPER_SIZE; j++) {
        before += fabs((double)start[j] - (double)anchor[j]);
        after += fabs((double)pulled.params[j] - (double)anchor[j]);
    }
    assert_true(after < before / 2);
    paper_close(&pulled);
    llm_dataset_destroy(&dataset);
}

static void an_epoch_meets_every_example_and_the_next_has_another_order(void **state)
{
    (void)state;
    llm_dataset_t *dataset = paper_dataset(20, 3);
    llm_train_options_t options = plain_options();
    options.by_epoch = true;
    options.steps = 2;
    options.batch_size = 1;
    llm_workspace_t ws;
    paper_open(&ws, start);
    train(&ws, dataset, &options, NULL);
    assert_int_equal(ws.calls, 40);
    bool differs = false;
    for (size_t epoch = 0; epoch < 2; epoch++) {
        uint32_t seen = 0;
        for (size_t i = 0; i < 20; i++) {
            seen |= UINT32_C(1) << (ws.call[20 * epoch + i].first_target - 'A');
            differs |= ws.call[i].first_target != ws.call[20 + i].first_target;
        }
        assert_int_equal(seen, (1 << 20) - 1);
    }
    assert_true(differs);
    paper_close(&ws);
    llm_dataset_destroy(&dataset);
}

/* The first letters of the batches of a routine. */
static void letters_of(const llm_train_options_t *options, char letters[5])
{
    llm_dataset_t *dataset = paper_dataset(26, 3);
    llm_workspace_t ws;
    paper_open(&ws, start);
    train(&ws, dataset, options, NULL);
    for (size_t i = 0; i < 4; i++)
        letters[i] = (char)ws.call[i].first_target;
    letters[4] = '\0';
    paper_close(&ws);
    llm_dataset_destroy(&dataset);
}

static void every_round_client_and_seed_has_an_order_of_its_own(void **state)
{
    (void)state;
    llm_train_options_t options = plain_options();
    char first[5], again[5], round[5], client[5], seed[5], plain[5];
    letters_of(&options, first);
    letters_of(&options, again);
    options.round++;
    letters_of(&options, round);
    options.round--;
    options.client++;
    letters_of(&options, client);
    options.client--;
    options.seed++;
    letters_of(&options, seed);
    options.shuffle = false;
    letters_of(&options, plain);
    assert_string_equal(first, again);
    assert_string_not_equal(first, round);
    assert_string_not_equal(first, client);
    assert_string_not_equal(first, seed);
    assert_string_equal(plain, "ACEG");
}

static void every_batch_has_a_dropout_stream_of_its_own(void **state)
{
    (void)state;
    llm_dataset_t *dataset = paper_dataset(6, 3);
    llm_train_options_t options = plain_options();
    options.steps = 8;
    options.grad_accum = 2;
    llm_workspace_t ws;
    paper_open(&ws, start);
    train(&ws, dataset, &options, NULL);
    assert_int_equal(ws.calls, 16);
    for (size_t i = 0; i < 16; i++) {
        assert_true(ws.call[i].had_dropout);
        const fmq_rng_name_t *name = &ws.call[i].dropout;
        assert_int_equal(name->purpose, FMQ_RNG_DROPOUT);
        assert_int_equal(name->seed, 5);
        assert_int_equal(name->client, 3);
        assert_int_equal(name->round, 7);
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(name->step, ws.call[k].dropout.step);
    }
    paper_close(&ws);
    llm_dataset_destroy(&dataset);
}

static void a_nan_batch_is_left_out_of_steps_and_statistics(void **state)
{
    (void)state;
    llm_dataset_t *dataset = paper_dataset(10, 3);
    llm_train_options_t options = plain_options();
    options.steps = 6;
    llm_workspace_t ws;
    paper_open(&ws, start);
    ws.nan_losses = 1u << 1 | 1u << 4;
    llm_train_stats_t stats;
    train(&ws, dataset, &options, &stats);
    assert_int_equal(ws.calls, 6);
    assert_int_equal(stats.steps, 4);
    assert_int_equal(stats.nan_batches, 2);
    assert_int_equal(stats.samples, 8);
    assert_true(isfinite(stats.loss_avg));
    for (size_t j = 0; j < PAPER_SIZE; j++)
        assert_true(isfinite(ws.params[j]));
    paper_close(&ws);
    llm_dataset_destroy(&dataset);
}

static void a_group_that_lost_a_batch_counts_as_the_mean_of_the_rest(void **state)
{
    (void)state;
    llm_dataset_t *dataset = paper_dataset(10, 3);
    llm_train_options_t options = plain_options();
    options.steps = 1;
    options.grad_accum = 2;
    llm_workspace_t ws;
    paper_open(&ws, start);
    ws.nan_losses = 1u << 0;
    train(&ws, dataset, &options, NULL);
    assert_int_equal(ws.calls, 2);
    for (size_t j = 0; j < PAPER_SIZE; j++) {
        double expected = (double)start[j] - 0.1 * ((double)start[j] - ws.call[1].center[j]);
        assert_true(fabs((double)ws.params[j] - expected) < 1e-6);
    }
    paper_close(&ws);
    llm_dataset_destroy(&dataset);
}

static void a_retry_draws_one_more_batch_for_each_that_was_nan(void **state)
{
    (void)state;
    llm_dataset_t *dataset = paper_dataset(10, 3);
    llm_train_options_t options = plain_options();
    options.steps = 6;
    options.retry_on_nan = true;
    options.retries_max = 10;
    llm_workspace_t ws;
    paper_open(&ws, start);
    ws.nan_losses = 1u << 1 | 1u << 5 | 1u << 6; /* the last one, and its retry, too */
    llm_train_stats_t stats;
    train(&ws, dataset, &options, &stats);
    assert_int_equal(ws.calls, 9);
    assert_int_equal(stats.steps, 6);
    assert_int_equal(stats.nan_batches, 3);
    assert_int_equal(stats.samples, 12);
    paper_close(&ws);
    llm_dataset_destroy(&dataset);
}

static void retries_are_bounded_and_all_nan_is_an_error_that_changes_nothing(void **state)
{
    (void)state;
    llm_dataset_t *dataset = paper_dataset(10, 3);
    llm_train_options_t options = plain_options();
    options.retry_on_nan = true;
    options.retries_max = 7;
    llm_workspace_t ws;
    paper_open(&ws, start);
    ws.nan_always = true;
    llm_train_stats_t stats = {.steps = 99};
    fmq_error_t err;
    assert_int_equal(llm_train_run(&ws, dataset, &options, NULL, NULL, &stats, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_NUMERIC);
    assert_int_equal(ws.calls, 4 + 7);
    assert_int_equal(stats.steps, 99);
    assert_memory_equal(ws.params, start, sizeof start);
    paper_close(&ws);
    llm_dataset_destroy(&dataset);
}

/* Three good batches, a step that went too far, and nothing but NaN: also over
 * more than an epoch, and when the last batch alone was so. */
static void losses_that_are_nan_to_the_end_are_a_failure(void **state)
{
    (void)state;
    static const struct {
        uint64_t steps, calls; /* of all, with the batch that is tried again */
        uint64_t nan_losses;
    } cases[] = {{4, 5, ~UINT64_C(7)},
                 {4, 5, ~UINT64_C(7) & ~(UINT64_C(1) << 5)},
                 {14, 14, ~UINT64_C(7)},
                 {5, 6, UINT64_C(3) << 4}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        llm_dataset_t *dataset = paper_dataset(10, 3);
        llm_train_options_t options = plain_options();
        options.steps = cases[i].steps;
        llm_workspace_t ws;
        paper_open(&ws, start);
        ws.nan_losses = cases[i].nan_losses;
        fmq_error_t err = {0};
        assert_int_equal(llm_train_run(&ws, dataset, &options, NULL, NULL, NULL, &err), -1);
        assert_int_equal(err.code, FMQ_ERR_NUMERIC);
        assert_non_null(strstr(err.text, "training diverged: no loss is a number"));
        assert_int_equal(ws.calls, cases[i].calls);
        paper_close(&ws);
        llm_dataset_destroy(&dataset);
    }
}

static void a_last_batch_that_never_has_a_loss_is_no_failure(void **state)
{
    (void)state;
    llm_dataset_t *dataset = paper_dataset(10, 3);
    llm_train_options_t options = plain_options();
    options.steps = 4;
    llm_workspace_t ws;
    paper_open(&ws, start);
    ws.nan_losses = 1u << 3;
    llm_train_stats_t stats;
    train(&ws, dataset, &options, &stats);
    assert_int_equal(ws.calls, 5);
    assert_int_equal(stats.steps, 3);
    assert_int_equal(stats.samples, 6);
    paper_close(&ws);
    llm_dataset_destroy(&dataset);
}

static void a_nan_gradient_makes_no_step(void **state)
{
    (void)state;
    llm_dataset_t *dataset = paper_dataset(10, 3);
    llm_train_options_t options = plain_options();
    options.grad_accum = 2;
    llm_workspace_t ws;
    paper_open(&ws, start);
    ws.nan_gradients = 1u << 2;
    llm_train_stats_t stats;
    train(&ws, dataset, &options, &stats);
    assert_int_equal(ws.calls, 8);
    assert_int_equal(stats.steps, 3);
    assert_int_equal(stats.nan_batches, 2); /* both of the group that it spoilt */
    assert_int_equal(stats.samples, 12);
    for (size_t j = 0; j < PAPER_SIZE; j++)
        assert_true(isfinite(ws.params[j]));
    paper_close(&ws);
    llm_dataset_destroy(&dataset);
}

static void a_nan_batch_that_spoils_the_gradient_costs_its_group_only(void **state)
{
    (void)state;
    llm_dataset_t *dataset = paper_dataset(10, 3);
    llm_train_options_t options = plain_options();
    options.grad_accum = 3;
    llm_workspace_t ws;
    paper_open(&ws, start);
    ws.nan_losses = 1u << 4;
    ws.nan_spoils = true;
    llm_train_stats_t stats;
    train(&ws, dataset, &options, &stats);
    assert_int_equal(ws.calls, 12);
    assert_int_equal(stats.steps, 4);
    /* Of the second group only the batch after the spoilt one is left. */
    assert_int_equal(stats.nan_batches, 2);
    assert_int_equal(stats.samples, 20);
    for (size_t j = 0; j < PAPER_SIZE; j++)
        assert_true(isfinite(ws.params[j]));
    paper_close(&ws);
    llm_dataset_destroy(&dataset);
}

static void parameters_that_run_away_are_reported(void **state)
{
    (void)state;
    llm_dataset_t *dataset = paper_dataset(10, 3);
    llm_train_options_t options = plain_options();
    options.optimizer.lr = 1e30;
    options.steps = 20;
    llm_workspace_t ws;
    paper_open(&ws, start);
    fmq_error_t err;
    assert_int_equal(llm_train_run(&ws, dataset, &options, NULL, NULL, NULL, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_NUMERIC);
    assert_non_null(strstr(err.text, "lr"));
    paper_close(&ws);
    llm_dataset_destroy(&dataset);
}

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

static void progress_is_told_after_every_step_and_may_stop_the_routine(void **state)
{
    (void)state;
    llm_dataset_t *dataset = paper_dataset(10, 3);
    llm_train_options_t options = plain_options();
    options.grad_accum = 3;
    llm_workspace_t ws;
    paper_open(&ws, start);
    watcher_t watcher = {0};
    fmq_error_t err;
    assert_int_equal(llm_train_run(&ws, dataset, &options, watch, &watcher, NULL, &err), 0);
    assert_int_equal(watcher.calls, 4);
    assert_int_equal(watcher.steps, 4);
    paper_close(&ws);

    paper_open(&ws, start);
    watcher = (watcher_t){.stop_at = 2};
    assert_int_equal(llm_train_run(&ws, dataset, &options, watch, &watcher, NULL, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_STOPPED);
    assert_int_equal(watcher.calls, 2);
    assert_int_equal(ws.calls, 6);
    assert_simulated(&ws, &options); /* the two steps were made */
    paper_close(&ws);
    llm_dataset_destroy(&dataset);
}

static void options_that_make_no_sense_are_refused_before_anything_happens(void **state)
{
    (void)state;
    llm_dataset_t *dataset = paper_dataset(10, 3), *empty = paper_dataset(0, 3);
    llm_train_options_t wrong[14];
    for (size_t i = 0; i < 14; i++)
        wrong[i] = plain_options();
    wrong[0].batch_size = 0;
    wrong[1].steps = 0;
    wrong[2].grad_accum = 0;
    wrong[3].grad_clip = NAN;
    wrong[4].proximal_mu = -1;
    wrong[5].proximal_mu = NAN;
    wrong[6].optimizer.lr = -1;
    wrong[7].schedule.kind = LLM_SCHEDULE_STEP;
    wrong[8].batch_size = 11;
    wrong[8].drop_last = true;
    wrong[9].steps = UINT64_MAX;
    wrong[10].steps = UINT64_MAX;
    wrong[10].grad_accum = 2;
    wrong[11].optimizer.kind = LLM_ADAM;
    wrong[11].optimizer.beta1 = 1;
    wrong[12].proximal_merged = -1;
    wrong[13].proximal_merged = NAN;
    llm_workspace_t ws;
    paper_open(&ws, start);
    for (size_t i = 0; i < 14; i++) {
        fmq_error_t err = {0};
        if (llm_train_run(&ws, dataset, &wrong[i], NULL, NULL, NULL, &err) != -1 ||
            err.code != FMQ_ERR_CONFIG)
            fail_msg("case %zu: %s", i, err.text);
    }
    fmq_error_t err;
    llm_train_options_t options = plain_options();
    assert_int_equal(llm_train_run(&ws, empty, &options, NULL, NULL, NULL, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
    assert_non_null(strstr(err.text, "tok_len"));
    assert_int_equal(ws.calls, 0);
    paper_close(&ws);
    llm_dataset_destroy(&dataset);
    llm_dataset_destroy(&empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sgd_steps_are_those_on_paper),
        cmocka_unit_test(the_statistics_are_the_sums_that_fs_llm_reports),
        cmocka_unit_test(accumulated_batches_make_the_step_of_one_large_batch),
        cmocka_unit_test(a_short_last_group_counts_as_the_mean_of_what_it_has),
        cmocka_unit_test(clipping_bounds_the_whole_gradient),
        cmocka_unit_test(the_rate_follows_the_schedule),
        cmocka_unit_test(fedprox_has_a_real_gradient),
        cmocka_unit_test(the_pull_may_be_to_something_else_than_the_start),
        cmocka_unit_test(an_epoch_meets_every_example_and_the_next_has_another_order),
        cmocka_unit_test(every_round_client_and_seed_has_an_order_of_its_own),
        cmocka_unit_test(every_batch_has_a_dropout_stream_of_its_own),
        cmocka_unit_test(a_nan_batch_is_left_out_of_steps_and_statistics),
        cmocka_unit_test(a_group_that_lost_a_batch_counts_as_the_mean_of_the_rest),
        cmocka_unit_test(a_retry_draws_one_more_batch_for_each_that_was_nan),
        cmocka_unit_test(retries_are_bounded_and_all_nan_is_an_error_that_changes_nothing),
        cmocka_unit_test(losses_that_are_nan_to_the_end_are_a_failure),
        cmocka_unit_test(a_last_batch_that_never_has_a_loss_is_no_failure),
        cmocka_unit_test(a_nan_gradient_makes_no_step),
        cmocka_unit_test(a_nan_batch_that_spoils_the_gradient_costs_its_group_only),
        cmocka_unit_test(parameters_that_run_away_are_reported),
        cmocka_unit_test(progress_is_told_after_every_step_and_may_stop_the_routine),
        cmocka_unit_test(options_that_make_no_sense_are_refused_before_anything_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
