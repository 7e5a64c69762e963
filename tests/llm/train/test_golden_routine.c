/*
 * test_golden_routine.c - whole routines against PyTorch, transformers and
 * PEFT, from records to trained adapters: prompts, tokens, masks, packed
 * against padded batches, losses, accumulation, clipping, warm-up, FedProx, FedBiOT.
 *
 * The files are written by scripts/goldens/make_training_goldens.py.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/llm/train.h"
#include "tests/llm/data/byte_tokenizer.h"
#include "tests/llm/train/golden_file.h"

#define HERE FEDMQ_SOURCE_DIR "/tests/llm/train/goldens/routine"

typedef struct {
    llm_backend_t *be;
    llm_model_t *model;
    llm_adapter_t *adapter;
    llm_dataset_t *dataset;
    json_t *golden;
    float *start;
    size_t elements;
} room_t;

static fmq_error_t err;

static void must(bool done)
{
    if (!done)
        fail_msg("%s", err.text);
}

static float *load_vector(const room_t *room, const char *name)
{
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", HERE, name);
    float *vector = malloc(room->elements * sizeof *vector);
    must(llm_adapter_load(room->adapter, path, vector, &err) == 0);
    return vector;
}

static int open_room(void **state, llm_backend_t *be)
{
    room_t *room = calloc(1, sizeof *room);
    *state = room;
    room->be = be;
    must(be != NULL);
    room->model = llm_model_open(HERE "/model", be, &err);
    must(room->model != NULL);
    llm_adapter_spec_t spec;
    must(llm_adapter_spec_load(HERE "/start", &spec, &err) == 0);
    room->adapter = llm_adapter_new(llm_model_shape(room->model), &spec, &err);
    must(room->adapter != NULL);
    room->elements = fmq_schema_elements(llm_adapter_schema(room->adapter));
    room->start = load_vector(room, "start");
    room->golden = golden_open("routine/golden.json");
    llm_records_t *records = llm_records_new();
    llm_tokenizer_t tokenizer = {0};
    must(llm_records_load(records, HERE "/records.jsonl", NULL, &err) == 0);
    room->dataset = llm_dataset_new(records, NULL, &tokenizer,
                                    (size_t)golden_number(room->golden, "tok_len", 0), &err);
    must(room->dataset != NULL);
    llm_records_destroy(&records);
    return 0;
}

static int open_reference(void **state)
{
    return open_room(state, llm_backend_reference_new(&err));
}

static int open_cpu(void **state)
{
    return open_room(state, llm_backend_cpu_new(2, &err));
}

static int close_room(void **state)
{
    room_t *room = *state;
    json_decref(room->golden);
    free(room->start);
    llm_dataset_destroy(&room->dataset);
    llm_adapter_destroy(&room->adapter);
    llm_model_destroy(&room->model);
    llm_backend_destroy(&room->be);
    free(room);
    return 0;
}

static llm_workspace_t *new_workspace(const room_t *room, uint32_t batch_size)
{
    llm_limits_t limits = {.tokens_max = llm_train_tokens_max(room->dataset, batch_size),
                           .training = true};
    llm_workspace_t *ws = llm_workspace_new(room->model, room->adapter, &limits, room->be, &err);
    must(ws != NULL);
    must(llm_workspace_set_params(ws, room->start, &err) == 0);
    return ws;
}

static llm_train_options_t read_case(const json_t *one)
{
    return (llm_train_options_t){.optimizer = {.lr = golden_number(one, "lr", NAN)},
                                 .schedule = {.kind = golden_number(one, "total", 0) > 0
                                                          ? LLM_SCHEDULE_WARMUP_STEP
                                                          : LLM_SCHEDULE_NONE,
                                              .warmup = (uint64_t)golden_number(one, "warmup", 0),
                                              .total = (uint64_t)golden_number(one, "total", 0)},
                                 .steps = (uint64_t)golden_number(one, "steps", 0),
                                 .batch_size = (uint32_t)golden_number(one, "batch_size", 0),
                                 .grad_accum = (uint32_t)golden_number(one, "accum", 0),
                                 .grad_clip = golden_number(one, "clip", 0),
                                 .proximal_mu = golden_number(one, "mu", 0),
                                 .proximal_merged = golden_number(one, "eps", 0)};
}

/* Sum over the first batches of golden loss * examples. */
static double golden_loss_sum(const room_t *room, const json_t *one, uint64_t batches)
{
    const json_t *losses = json_object_get(one, "losses");
    size_t size = (size_t)golden_number(one, "batch_size", 0);
    size_t examples = llm_dataset_size(room->dataset), per_epoch = (examples + size - 1) / size;
    double sum = 0;
    for (size_t i = 0; i < batches; i++) {
        size_t left = examples - i % per_epoch * size;
        sum += json_number_value(json_array_get(losses, i)) * (double)(left < size ? left : size);
    }
    return sum;
}

/* The largest distance between what was learnt and what should have been, as
 * a share of the largest change. */
static double distance(const room_t *room, const llm_workspace_t *ws, const char *name)
{
    float *expected = load_vector(room, name), *got = malloc(room->elements * sizeof *got);
    llm_workspace_get_params(ws, got);
    double apart = 0, moved = 0;
    for (size_t i = 0; i < room->elements; i++) {
        apart = fmax(apart, fabs((double)got[i] - (double)expected[i]));
        moved = fmax(moved, fabs((double)expected[i] - (double)room->start[i]));
    }
    free(expected);
    free(got);
    assert_true(moved > 0.01);
    return apart / moved;
}

/* FedBiOT's term before the last step. */
static void check_proximal(const json_t *one, const char *name, const llm_train_stats_t *stats)
{
    const json_t *terms = json_object_get(one, "proximal");
    double expected = json_number_value(json_array_get(terms, (size_t)stats->steps - 1));
    if (!(fabs(stats->proximal_loss - expected) <= 1e-5 * expected))
        fail_msg("%s, %llu steps: proximal loss %.9g, expected %.9g", name,
                 (unsigned long long)stats->steps, stats->proximal_loss, expected);
}

static void check_case(room_t *room, const char *name, const llm_optimizer_t *how)
{
    const json_t *one = json_object_get(json_object_get(room->golden, "cases"), name);
    llm_train_options_t options = read_case(one);
    double lr = options.optimizer.lr;
    uint64_t steps = options.steps;
    options.optimizer = *how;
    options.optimizer.lr = lr;
    llm_workspace_t *ws = new_workspace(room, options.batch_size);
    for (options.steps = 1; options.steps <= steps; options.steps++) {
        llm_train_stats_t stats;
        must(llm_workspace_set_params(ws, room->start, &err) == 0);
        must(llm_train_run(ws, room->dataset, &options, NULL, NULL, &stats, &err) == 0);
        double expected = golden_loss_sum(room, one, options.steps * options.grad_accum);
        if (!(fabs(stats.loss_sum / expected - 1) < 2e-6))
            fail_msg("%s, %llu steps: loss sum %.9g, expected %.9g", name,
                     (unsigned long long)options.steps, stats.loss_sum, expected);
        check_proximal(one, name, &stats);
    }
    double apart = distance(room, ws, name);
    if (!(apart < 1e-4))
        fail_msg("%s: parameters are %.3g of the change apart", name, apart);
    llm_workspace_destroy(&ws);
}

static void the_examples_are_those_with_something_to_learn(void **state)
{
    room_t *room = *state;
    assert_int_equal(llm_dataset_size(room->dataset),
                     (size_t)golden_number(room->golden, "examples", 0));
    assert_int_equal(llm_dataset_dropped(room->dataset), 2);
    assert_int_equal(llm_dataset_longest(room->dataset), 200);
}

static void adamw_with_accumulation_clipping_and_warm_up_is_torchs(void **state)
{
    check_case(
        *state, "adamw",
        &(llm_optimizer_t){
            .kind = LLM_ADAMW, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1});
}

static void sgd_with_momentum_and_fedprox_is_torchs(void **state)
{
    check_case(*state, "sgd",
               &(llm_optimizer_t){.kind = LLM_SGD, .momentum = 0.9, .nesterov = true});
}

static void sgd_with_fedbiots_merged_term_is_torchs(void **state)
{
    check_case(*state, "merged",
               &(llm_optimizer_t){.kind = LLM_SGD, .momentum = 0.9, .nesterov = true});
}

#define CASES(name)                                                                                \
    {#name " on the reference backend", name, open_reference, close_room, NULL},                   \
    {                                                                                              \
#name " on the cpu backend", name, open_cpu, close_room, NULL                              \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASES(the_examples_are_those_with_something_to_learn),
        CASES(adamw_with_accumulation_clipping_and_warm_up_is_torchs),
        CASES(sgd_with_momentum_and_fedprox_is_torchs),
        CASES(sgd_with_fedbiots_merged_term_is_torchs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
