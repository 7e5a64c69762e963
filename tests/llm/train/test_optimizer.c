/*
 * test_optimizer.c - SGD, Adam and AdamW against torch's trajectories, on every
 * backend there is; and torch's gradient clipping.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "llm/train/optimizer.h"
#include "llm/train/options.h"
#include "tests/llm/train/golden_file.h"

#define STEPS 12
#define SIZE  7

static const size_t range[2] = {0, SIZE};

typedef struct {
    llm_backend_t *be;
    json_t *golden;
    float *params, *grads; /* the backend's */
} room_t;

static room_t room;

static int open_room(void **state, llm_backend_t *be)
{
    assert_non_null(be);
    room.be = be;
    room.golden = golden_open("optimizers.json");
    room.params = be->ops->alloc(be, SIZE * sizeof(float));
    room.grads = be->ops->alloc(be, SIZE * sizeof(float));
    *state = &room;
    return 0;
}

static int open_reference(void **state)
{
    return open_room(state, llm_backend_reference_new(NULL));
}

static int close_room(void **state)
{
    (void)state;
    room.be->ops->release(room.be, room.params);
    room.be->ops->release(room.be, room.grads);
    llm_backend_destroy(&room.be);
    json_decref(room.golden);
    return 0;
}

static void upload(float *to, const json_t *list)
{
    double numbers[SIZE];
    float host[SIZE];
    golden_numbers(list, numbers, SIZE);
    for (size_t i = 0; i < SIZE; i++)
        host[i] = (float)numbers[i];
    room.be->ops->upload(room.be, to, host, sizeof host);
}

static void assert_near(const float *memory, const json_t *list, const char *what, size_t step)
{
    double expected[SIZE];
    float host[SIZE];
    golden_numbers(list, expected, SIZE);
    room.be->ops->download(room.be, host, memory, sizeof host);
    for (size_t i = 0; i < SIZE; i++)
        if (!(fabs((double)host[i] - expected[i]) <= 1e-6 * (fabs(expected[i]) + 0.05)))
            fail_msg("%s, step %zu, element %zu: %.9g instead of %.9g", what, step, i,
                     (double)host[i], expected[i]);
}

static llm_optimizer_t read_case(const json_t *one)
{
    const char *type = json_string_value(json_object_get(one, "type"));
    double betas[2] = {0, 0};
    if (json_object_get(one, "betas"))
        golden_numbers(json_object_get(one, "betas"), betas, 2);
    return (llm_optimizer_t){
        .kind = strcmp(type, "SGD") == 0    ? LLM_SGD
                : strcmp(type, "Adam") == 0 ? LLM_ADAM
                                            : LLM_ADAMW,
        .lr = golden_number(one, "lr", NAN),
        .momentum = golden_number(one, "momentum", 0),
        .dampening = golden_number(one, "dampening", 0),
        .weight_decay = golden_number(one, "weight_decay", 0),
        .beta1 = betas[0],
        .beta2 = betas[1],
        .eps = golden_number(one, "eps", 0),
        .nesterov = json_is_true(json_object_get(one, "nesterov")),
    };
}

static void every_step_of_every_optimizer_is_torchs(void **state)
{
    (void)state;
    const json_t *cases = json_object_get(room.golden, "cases");
    const json_t *grads = json_object_get(room.golden, "grads");
    assert_true(json_array_size(cases) >= 9);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *one = json_array_get(cases, i);
        char *what = json_dumps(json_object_get(one, "type"), JSON_ENCODE_ANY);
        llm_optimizer_t how = read_case(one);
        fmq_error_t err;
        assert_int_equal(llm_optimizer_check(&how, &err), 0);
        llm_optimizer_state_t optimizer;
        assert_int_equal(llm_optimizer_init(&optimizer, &how, room.be, NULL, range, &err), 0);
        upload(room.params, json_object_get(room.golden, "start"));
        const llm_schedule_t none = {.kind = LLM_SCHEDULE_NONE};
        const llm_rates_t rates = llm_optimizer_rates(&how, &none, 0);
        for (size_t step = 0; step < STEPS; step++) {
            upload(room.grads, json_array_get(grads, step));
            llm_optimizer_step(&optimizer, room.params, room.grads, &rates);
            assert_near(room.params, json_array_get(json_object_get(one, "params"), step), what,
                        step);
        }
        llm_optimizer_release(&optimizer);
        llm_optimizer_release(&optimizer); /* does nothing */
        free(what);
    }
}

/* torch's OneCycleLR sets the momentum of the optimizer that it is given. */
static void a_cycle_gives_momentum_to_sgd_that_had_none(void **state)
{
    (void)state;
    llm_optimizer_t how = {.kind = LLM_SGD, .lr = 0.1};
    llm_schedule_t schedule = {.kind = LLM_SCHEDULE_ONE_CYCLE, .total = 10};
    schedule.cycle = (llm_one_cycle_t){.max_lr = 1,
                                       .pct_start = 0.5,
                                       .div_factor = 10,
                                       .final_div_factor = 100,
                                       .base_momentum = 0.5,
                                       .max_momentum = 0.75,
                                       .cycle_momentum = true};
    llm_optimizer_t begun = llm_optimizer_begun(&how, &schedule);
    llm_optimizer_state_t optimizer;
    assert_true(begun.momentum == 0.75);
    assert_true(fabs(llm_optimizer_rates(&begun, &schedule, 4).momentum - 0.5) < 1e-12);
    assert_int_equal(llm_optimizer_init(&optimizer, &begun, room.be, NULL, range, NULL), 0);
    assert_non_null(optimizer.moments.arrays[0].memory);
    llm_optimizer_release(&optimizer);
}

static void clipping_is_torchs(void **state)
{
    (void)state;
    const json_t *clips = json_object_get(room.golden, "clips");
    assert_true(json_array_size(clips) >= 4);
    for (size_t i = 0; i < json_array_size(clips); i++) {
        const json_t *one = json_array_get(clips, i);
        upload(room.grads, json_object_get(one, "grad"));
        double norm = sqrt(room.be->ops->sum_squares(room.be, room.grads, SIZE));
        assert_true(fabs(norm / golden_number(one, "norm", 0) - 1) < 1e-6);
        double factor = llm_clip_factor(norm, golden_number(one, "limit", 0));
        room.be->ops->scale(room.be, room.grads, (float)factor, SIZE);
        assert_near(room.grads, json_object_get(one, "clipped"), "clip", i);
    }
}

static void a_limit_of_zero_or_less_clips_nothing(void **state)
{
    (void)state;
    assert_true(llm_clip_factor(1e9, 0) == 1);
    assert_true(llm_clip_factor(1e9, -1) == 1);
    assert_true(llm_clip_factor(0, 1) == 1);
}

static void plain_sgd_takes_no_memory(void **state)
{
    (void)state;
    llm_optimizer_t how = {.kind = LLM_SGD, .lr = 0.1};
    llm_optimizer_state_t optimizer;
    assert_int_equal(llm_optimizer_init(&optimizer, &how, room.be, NULL, range, NULL), 0);
    for (size_t a = 0; a < LLM_MOMENTS_ARRAYS; a++)
        assert_null(optimizer.moments.arrays[a].memory);
    llm_optimizer_release(&optimizer);
}

static void optimizers_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    static const llm_optimizer_t wrong[] = {
        {.kind = LLM_SGD, .lr = -1},
        {.kind = LLM_SGD, .lr = NAN},
        {.kind = LLM_SGD, .lr = 1, .weight_decay = -1},
        {.kind = LLM_SGD, .lr = 1, .momentum = -1},
        {.kind = LLM_SGD, .lr = 1, .momentum = 0.9, .dampening = NAN},
        {.kind = LLM_SGD, .lr = 1, .nesterov = true},
        {.kind = LLM_SGD, .lr = 1, .momentum = 0.9, .dampening = 0.1, .nesterov = true},
        {.kind = LLM_ADAM, .lr = 1, .beta1 = 1, .beta2 = 0.999},
        {.kind = LLM_ADAM, .lr = 1, .beta1 = 0.9, .beta2 = -0.1},
        {.kind = LLM_ADAMW, .lr = 1, .beta1 = 0.9, .beta2 = 0.99, .eps = -1},
        {.kind = LLM_ADAMW, .lr = 1, .beta1 = NAN, .beta2 = 0.99},
        {.kind = LLM_ADAGRAD, .lr = 1, .lr_decay = -1},
        {.kind = LLM_ADAGRAD, .lr = 1, .initial_accumulator = NAN},
        {.kind = LLM_RMSPROP, .lr = 1, .alpha = -1},
        {.kind = LLM_RMSPROP, .lr = 1, .momentum = INFINITY},
        {.kind = LLM_ADAFACTOR, .lr = 1, .clip = 0.5},
        {.kind = LLM_ADAFACTOR, .lr = 1, .clip = 1, .eps2 = -1},
        {.kind = LLM_ADAFACTOR_HF, .clip = 1, .beta2_decay = 1},
        {.kind = LLM_ADAFACTOR_HF, .clip = 1, .beta1 = 1},
        {.kind = LLM_ADAFACTOR_HF, .clip = 1, .warmup_init = true},
        {.kind = LLM_ADAMW_8BIT, .lr = 1, .beta1 = 1, .beta2 = 0.99},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        fmq_error_t err;
        assert_int_equal(llm_optimizer_check(&wrong[i], &err), -1);
        assert_int_equal(err.code, FMQ_ERR_CONFIG);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_reference, close_room)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(every_step_of_every_optimizer_is_torchs),
        CASE(a_cycle_gives_momentum_to_sgd_that_had_none),
        CASE(clipping_is_torchs),
        cmocka_unit_test(a_limit_of_zero_or_less_clips_nothing),
        CASE(plain_sgd_takes_no_memory),
        cmocka_unit_test(optimizers_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
