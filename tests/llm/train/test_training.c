/*
 * test_training.c - the routine over real, small models: losses fall, bytes
 * repeat, accumulation is what it claims to be, NaN ends.
 *
 * Models are random and the tokenizer is bytes, so that the test needs no file.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/llm/train.h"
#include "tests/llm/data/byte_tokenizer.h"
#include "tests/llm/train/small.h"

#define BLOCK 24

static const char text[] =
    "The quick brown fox jumps over the lazy dog. The dog does not mind at all, for it is lazy. "
    "The fox jumps again, and again, and again; the quick brown fox has nothing else to do.";

typedef struct {
    llm_backend_t *be;
    small_t small;
    llm_workspace_t *ws;
    llm_dataset_t *dataset;
} room_t;

static void open_room(room_t *room, llm_adapter_kind_t kind, float dropout, uint32_t batch_size)
{
    fmq_error_t err;
    llm_shape_t shape = small_llama();
    llm_adapter_spec_t spec = small_lora("", dropout);
    llm_tokenizer_t tokenizer = {0};
    spec.kind = kind;
    *room = (room_t){.be = llm_backend_reference_new(&err)};
    small_open(&room->small, &shape, &spec, 11, room->be);
    room->dataset =
        llm_dataset_new_text(text, strlen(text) / BLOCK * BLOCK - 1, &tokenizer, BLOCK, &err);
    assert_non_null(room->dataset);
    llm_limits_t limits = {.tokens_max = llm_train_tokens_max(room->dataset, batch_size),
                           .training = true};
    room->ws = llm_workspace_new(room->small.model, room->small.adapter, &limits, room->be, &err);
    if (!room->ws)
        fail_msg("%s", err.text);
    assert_int_equal(llm_workspace_set_params(room->ws, room->small.vector, &err), 0);
}

static void close_room(room_t *room)
{
    llm_dataset_destroy(&room->dataset);
    llm_workspace_destroy(&room->ws);
    small_close(&room->small);
    llm_backend_destroy(&room->be);
}

static llm_train_options_t adam(uint64_t steps)
{
    return (llm_train_options_t){
        .optimizer = {.kind = LLM_ADAMW, .lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
        .steps = steps,
        .batch_size = 2,
        .shuffle = true,
        .grad_accum = 1,
        .grad_clip = 1,
        .seed = 1,
        .client = 1};
}

static double token_loss(room_t *room, uint32_t batch_size)
{
    llm_eval_stats_t stats;
    fmq_error_t err;
    if (llm_evaluate_loss(room->ws, room->dataset, batch_size, NULL, NULL, &stats, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(stats.samples, llm_dataset_size(room->dataset));
    return stats.token_loss;
}

static void train(room_t *room, const llm_train_options_t *options, llm_train_stats_t *stats)
{
    fmq_error_t err;
    if (llm_train_run(room->ws, room->dataset, options, NULL, NULL, stats, &err) < 0)
        fail_msg("%s", err.text);
}

static void a_random_model_knows_nothing_and_learns_a_text(void **state)
{
    (void)state;
    room_t room;
    open_room(&room, LLM_ADAPTER_FULL, 0, 2);
    double before = token_loss(&room, 2);
    assert_true(fabs(before - log(258)) < 0.3); /* uniform over the vocabulary */
    llm_train_options_t options = adam(200);
    llm_train_stats_t stats;
    train(&room, &options, &stats);
    double after = token_loss(&room, 2);
    assert_int_equal(stats.steps, 200);
    assert_int_equal(stats.nan_batches, 0);
    assert_true(after < 0.1 * before);
    assert_true(stats.loss_avg < before && stats.loss_avg > after);
    close_room(&room);
}

/* Smoothing leads to a model that is less sure of itself, and counts in the losses
 * of training alone. */
static void smoothed_labels_are_learnt_and_not_measured(void **state)
{
    (void)state;
    double trained[2], measured[2];
    for (int smooth = 0; smooth < 2; smooth++) {
        room_t room;
        llm_train_stats_t stats;
        llm_train_options_t options = adam(30);
        open_room(&room, LLM_ADAPTER_FULL, 0, 2);
        options.label_smoothing = smooth ? 0.5 : 0;
        double before = token_loss(&room, 2);
        assert_true(fabs(before - log(258)) < 0.3);
        train(&room, &options, &stats);
        trained[smooth] = stats.loss_avg;
        measured[smooth] = token_loss(&room, 2);
        close_room(&room);
    }
    assert_true(trained[1] > trained[0] + 0.3);
    assert_true(measured[1] > measured[0]);
    assert_true(measured[1] < trained[1]);
}

/* Two trainings over all batches in order, with a schedule that goes on: together, or one
 * after the other with what was kept. */
static void a_kept_optimizer_goes_on_where_it_was(void **state)
{
    (void)state;
    static const llm_optimizer_t optimizers[] = {
        {.kind = LLM_ADAMW, .lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
        {.kind = LLM_ADAFACTOR,
         .lr = 0.01,
         .eps = 1e-7,
         .eps2 = 1e-3,
         .clip = 1,
         .beta2_decay = -1},
        {.kind = LLM_ADAMW_8BIT, .lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
    };
    for (size_t i = 0; i < sizeof optimizers / sizeof *optimizers; i++) {
        float *vectors[3];
        size_t bytes = 0;
        for (int way = 0; way < 3; way++) { /* at once, with what was kept, without */
            room_t room;
            llm_kept_optimizer_t kept = {0};
            open_room(&room, LLM_ADAPTER_LORA, 0, 2);
            llm_train_options_t options = adam(way ? 1 : 2);
            options.optimizer = optimizers[i];
            options.schedule =
                (llm_schedule_t){.kind = LLM_SCHEDULE_STEP, .gamma = 0.5, .step_size = 3};
            options.by_epoch = true;
            options.shuffle = false;
            options.kept = way < 2 ? &kept : NULL;
            train(&room, &options, NULL);
            if (way)
                train(&room, &options, NULL);
            bytes = room.small.elements * sizeof *room.small.vector;
            vectors[way] = malloc(bytes);
            llm_workspace_get_params(room.ws, vectors[way]);
            llm_kept_optimizer_release(&kept);
            close_room(&room);
        }
        assert_memory_equal(vectors[0], vectors[1], bytes);
        assert_memory_not_equal(vectors[0], vectors[2], bytes);
        for (size_t way = 0; way < 3; way++)
            free(vectors[way]);
    }
}

static void what_is_kept_of_another_optimizer_is_refused(void **state)
{
    (void)state;
    room_t room;
    fmq_error_t err;
    llm_kept_optimizer_t kept = {0};
    open_room(&room, LLM_ADAPTER_LORA, 0, 2);
    llm_train_options_t options = adam(1);
    options.kept = &kept;
    train(&room, &options, NULL);
    assert_true(kept.size > 0);
    options.optimizer.kind = LLM_SGD;
    assert_int_equal(llm_train_run(room.ws, room.dataset, &options, NULL, NULL, NULL, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_MISMATCH);
    options.optimizer.kind = LLM_ADAMW;
    kept.size--;
    assert_int_equal(llm_train_run(room.ws, room.dataset, &options, NULL, NULL, NULL, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_MISMATCH);
    kept.size = 3;
    assert_int_equal(llm_train_run(room.ws, room.dataset, &options, NULL, NULL, NULL, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_FORMAT);
    llm_kept_optimizer_release(&kept);
    close_room(&room);
}

static void lora_learns_while_the_model_is_frozen(void **state)
{
    (void)state;
    room_t room;
    open_room(&room, LLM_ADAPTER_LORA, 0.05f, 2);
    double before = token_loss(&room, 2);
    llm_train_options_t options = adam(60);
    options.optimizer.lr = 0.03;
    train(&room, &options, NULL);
    assert_true(token_loss(&room, 2) < before - 0.05);
    assert_int_equal(llm_workspace_set_params(room.ws, room.small.vector, NULL), 0);
    assert_true(token_loss(&room, 2) == before);
    close_room(&room);
}

static void the_same_seed_gives_the_same_bytes_and_another_one_others(void **state)
{
    (void)state;
    float *vectors[3];
    size_t bytes = 0;
    for (uint64_t i = 0; i < 3; i++) {
        room_t room;
        open_room(&room, LLM_ADAPTER_LORA, 0.1f, 2);
        llm_train_options_t options = adam(10);
        options.seed = i == 2 ? 2 : 1;
        train(&room, &options, NULL);
        bytes = room.small.elements * sizeof *room.small.vector;
        vectors[i] = malloc(bytes);
        llm_workspace_get_params(room.ws, vectors[i]);
        close_room(&room);
    }
    assert_memory_equal(vectors[0], vectors[1], bytes);
    assert_memory_not_equal(vectors[0], vectors[2], bytes);
    for (size_t i = 0; i < 3; i++)
        free(vectors[i]);
}

static void a_routine_leaves_nothing_behind_that_the_next_one_sees(void **state)
{
    (void)state;
    room_t room;
    open_room(&room, LLM_ADAPTER_LORA, 0.1f, 2);
    size_t bytes = room.small.elements * sizeof *room.small.vector;
    float *first = malloc(bytes), *again = malloc(bytes);
    llm_train_options_t options = adam(7);
    train(&room, &options, NULL);
    llm_workspace_get_params(room.ws, first);
    options.round = 1;
    train(&room, &options, NULL); /* something else in between */
    options.round = 0;
    assert_int_equal(llm_workspace_set_params(room.ws, room.small.vector, NULL), 0);
    train(&room, &options, NULL);
    llm_workspace_get_params(room.ws, again);
    assert_memory_equal(first, again, bytes);
    free(first);
    free(again);
    close_room(&room);
}

static void accumulating_equal_batches_equals_one_large_batch(void **state)
{
    (void)state;
    room_t room;
    open_room(&room, LLM_ADAPTER_FULL, 0, 4);
    size_t bytes = room.small.elements * sizeof *room.small.vector;
    float *large = malloc(bytes), *small = malloc(bytes);
    llm_train_options_t options = adam(1);
    options.optimizer = (llm_optimizer_t){.kind = LLM_SGD, .lr = 0.5};
    options.shuffle = false;
    options.grad_clip = 0;
    options.batch_size = 4;
    train(&room, &options, NULL);
    llm_workspace_get_params(room.ws, large);
    assert_int_equal(llm_workspace_set_params(room.ws, room.small.vector, NULL), 0);
    options.batch_size = 1;
    options.grad_accum = 4;
    llm_train_stats_t stats;
    train(&room, &options, &stats);
    assert_int_equal(stats.samples, 4);
    llm_workspace_get_params(room.ws, small);
    double moved = 0, apart = 0;
    for (size_t i = 0; i < room.small.elements; i++) {
        moved = fmax(moved, fabs((double)large[i] - (double)room.small.vector[i]));
        apart = fmax(apart, fabs((double)large[i] - (double)small[i]));
    }
    assert_true(moved > 1e-3);
    assert_true(apart < 1e-4 * moved);
    free(large);
    free(small);
    close_room(&room);
}

static void the_loss_does_not_depend_on_how_examples_are_packed(void **state)
{
    (void)state;
    room_t room;
    open_room(&room, LLM_ADAPTER_LORA, 0.1f, 7);
    double one = token_loss(&room, 1);
    for (uint32_t batch_size = 2; batch_size <= 7; batch_size++)
        assert_true(fabs(token_loss(&room, batch_size) / one - 1) < 1e-6);
    close_room(&room);
}

static void a_nan_parameter_ends_in_an_error_after_a_bounded_time(void **state)
{
    (void)state;
    room_t room;
    open_room(&room, LLM_ADAPTER_FULL, 0, 2);
    room.small.vector[room.small.elements / 2] = NAN;
    assert_int_equal(llm_workspace_set_params(room.ws, room.small.vector, NULL), 0);
    llm_train_options_t options = adam(5);
    options.retry_on_nan = true;
    options.retries_max = 4;
    fmq_error_t err;
    assert_int_equal(llm_train_run(room.ws, room.dataset, &options, NULL, NULL, NULL, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_NUMERIC);
    assert_non_null(strstr(err.text, " 9 batches"));
    close_room(&room);
}

static void fedprox_keeps_a_model_nearer_to_its_start(void **state)
{
    (void)state;
    double away[2];
    for (int i = 0; i < 2; i++) {
        room_t room;
        open_room(&room, LLM_ADAPTER_LORA, 0, 2);
        llm_train_options_t options = adam(20);
        options.optimizer = (llm_optimizer_t){.kind = LLM_SGD, .lr = 0.5};
        options.grad_clip = 0;
        options.proximal_mu = i ? 1 : 0;
        train(&room, &options, NULL);
        float *trained = malloc(room.small.elements * sizeof *trained);
        llm_workspace_get_params(room.ws, trained);
        away[i] = 0;
        for (size_t k = 0; k < room.small.elements; k++)
            away[i] += pow((double)trained[k] - (double)room.small.vector[k], 2);
        free(trained);
        close_room(&room);
    }
    assert_true(away[1] < 0.5 * away[0]);
}

/* 20 steps from a start that is not zero, with FedBiOT's term. */
static void train_with_proximal(llm_adapter_kind_t kind, double eps, bool inert, double *away,
                                llm_train_stats_t *stats)
{
    room_t room;
    open_room(&room, kind, 0, 2);
    llm_train_options_t options = adam(5);
    train(&room, &options, NULL);
    llm_workspace_get_params(room.ws, room.small.vector);
    options = adam(20);
    options.optimizer = (llm_optimizer_t){.kind = LLM_SGD, .lr = 0.5};
    options.grad_clip = 0;
    options.proximal_merged = eps;
    options.proximal_inert = inert;
    train(&room, &options, stats);
    float *trained = malloc(room.small.elements * sizeof *trained);
    llm_workspace_get_params(room.ws, trained);
    *away = 0;
    for (size_t i = 0; i < room.small.elements; i++)
        *away += pow((double)trained[i] - (double)room.small.vector[i], 2);
    free(trained);
    close_room(&room);
}

/* FedBiOT's released code computes it from detached tensors: it only shows in
 * the logged loss. */
static void the_proximal_term_has_a_gradient_unless_it_is_made_inert(void **state)
{
    (void)state;
    const llm_adapter_kind_t kinds[] = {LLM_ADAPTER_LORA, LLM_ADAPTER_FULL};
    for (size_t i = 0; i < 2; i++) {
        double without, with, inert;
        llm_train_stats_t plain, held, logged;
        train_with_proximal(kinds[i], 0, false, &without, &plain);
        train_with_proximal(kinds[i], 0.5, false, &with, &held);
        train_with_proximal(kinds[i], 0.5, true, &inert, &logged);
        assert_true(with < 0.7 * without);
        assert_true(inert == without);
        assert_true(plain.proximal_loss == 0);
        assert_true(held.proximal_loss > 0 && held.proximal_loss < 0.7 * logged.proximal_loss);
        assert_true(logged.loss_sum == plain.loss_sum);
        assert_true(held.loss_sum > plain.loss_sum);
    }
}

static void a_workspace_that_cannot_learn_is_refused(void **state)
{
    (void)state;
    room_t room;
    open_room(&room, LLM_ADAPTER_LORA, 0, 2);
    llm_workspace_destroy(&room.ws);
    llm_limits_t limits = {.tokens_max = 2 * BLOCK};
    room.ws = llm_workspace_new(room.small.model, room.small.adapter, &limits, room.be, NULL);
    assert_non_null(room.ws);
    llm_train_options_t options = adam(1);
    fmq_error_t err;
    assert_int_equal(llm_train_run(room.ws, room.dataset, &options, NULL, NULL, NULL, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
    close_room(&room);
}

static void a_workspace_too_small_for_a_batch_says_so(void **state)
{
    (void)state;
    room_t room;
    open_room(&room, LLM_ADAPTER_LORA, 0, 1);
    llm_train_options_t options = adam(1);
    fmq_error_t err;
    assert_int_equal(llm_train_run(room.ws, room.dataset, &options, NULL, NULL, NULL, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
    close_room(&room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_random_model_knows_nothing_and_learns_a_text),
        cmocka_unit_test(smoothed_labels_are_learnt_and_not_measured),
        cmocka_unit_test(a_kept_optimizer_goes_on_where_it_was),
        cmocka_unit_test(what_is_kept_of_another_optimizer_is_refused),
        cmocka_unit_test(lora_learns_while_the_model_is_frozen),
        cmocka_unit_test(the_same_seed_gives_the_same_bytes_and_another_one_others),
        cmocka_unit_test(a_routine_leaves_nothing_behind_that_the_next_one_sees),
        cmocka_unit_test(accumulating_equal_batches_equals_one_large_batch),
        cmocka_unit_test(the_loss_does_not_depend_on_how_examples_are_packed),
        cmocka_unit_test(a_nan_parameter_ends_in_an_error_after_a_bounded_time),
        cmocka_unit_test(fedprox_keeps_a_model_nearer_to_its_start),
        cmocka_unit_test(the_proximal_term_has_a_gradient_unless_it_is_made_inert),
        cmocka_unit_test(a_workspace_that_cannot_learn_is_refused),
        cmocka_unit_test(a_workspace_too_small_for_a_batch_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
