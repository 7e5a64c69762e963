/*
 * test_moments.c - further optimizers against torch's and transformers' over 50 steps,
 * and 8-bit AdamW against the same rule in Python; whole, and in ranges as the ranks of a
 * team have them, to the same bytes.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/llm/backend.h"
#include "llm/backend/dynamic_map.h"
#include "llm/train/optimizer.h"
#include "llm/train/options.h"
#include "tests/llm/train/golden_file.h"

#define STEPS 50
#define EVERY 5 /* of the elements is in the file */
#define SIZE  (17 * 23 + 9 + 40 * 20)
#define SHOWN ((SIZE + EVERY - 1) / EVERY)
#define RANKS 3

static const uint64_t shapes[][2] = {{17, 23}, {9, 1}, {40, 20}};
static const float scales[] = {0x1p-3f, 1, 0x1p-9f};
static const size_t shown[] = {1, 10, 50};

typedef struct {
    llm_backend_t *be;
    fmq_schema_t *schema;
    json_t *golden;
} room_t;

static const char *device;

static int open_room(void **state)
{
    static room_t room;
    fmq_error_t err;
    room.be = device ? llm_backend_open(device, 2, &err) : llm_backend_reference_new(&err);
    if (!room.be)
        fail_msg("%s", err.text);
    room.golden = golden_open("moments.json");
    room.schema = fmq_schema_new(FMQ_F32);
    for (size_t t = 0; t < 3; t++) {
        const char name[] = {(char)('a' + t), '\0'};
        assert_int_equal(
            fmq_schema_add(room.schema, name, shapes[t][1] > 1 ? 2 : 1, shapes[t], &err), 0);
    }
    assert_int_equal(fmq_schema_elements(room.schema), SIZE);
    *state = &room;
    return 0;
}

static int close_room(void **state)
{
    room_t *room = *state;
    fmq_schema_destroy(&room->schema);
    json_decref(room->golden);
    llm_backend_destroy(&room->be);
    return 0;
}

/* The script's generator. */
static void draw(uint32_t *numbers, float out[SIZE], bool scaled)
{
    size_t at = 0;
    for (size_t t = 0; t < 3; t++)
        for (uint64_t i = 0; i < shapes[t][0] * shapes[t][1]; i++, at++) {
            *numbers = *numbers * 1664525u + 1013904223u;
            float value = (float)((int)((*numbers >> 16) % 4097) - 2048) / 1024;
            out[at] = scaled ? value * scales[t] : value;
        }
}

static bool flag(const json_t *one, const char *name, bool otherwise)
{
    const json_t *value = json_object_get(one, name);
    return value ? json_is_true(value) : otherwise;
}

static llm_optimizer_kind_t kind_of(const char *type)
{
    static const char *const names[] = {[LLM_SGD] = "SGD",
                                        [LLM_ADAM] = "Adam",
                                        [LLM_ADAMW] = "AdamW",
                                        [LLM_ADAGRAD] = "Adagrad",
                                        [LLM_RMSPROP] = "RMSprop",
                                        [LLM_ADAFACTOR] = "Adafactor",
                                        [LLM_ADAFACTOR_HF] = "transformers.Adafactor",
                                        [LLM_ADAMW_8BIT] = "AdamW8bit"};
    for (int kind = 0; kind <= LLM_ADAMW_8BIT; kind++)
        if (strcmp(names[kind], type) == 0)
            return (llm_optimizer_kind_t)kind;
    fail_msg("no optimizer is called %s", type);
    return LLM_SGD;
}

static llm_optimizer_t read_case(const json_t *one)
{
    double betas[2] = {0.9, 0.999}, eps[2] = {0x1p-23, 1e-3};
    const json_t *given = json_object_get(one, "eps");
    llm_optimizer_t how = {.kind = kind_of(json_string_value(json_object_get(one, "type")))};
    bool hf = how.kind == LLM_ADAFACTOR_HF;
    if (json_object_get(one, "betas"))
        golden_numbers(json_object_get(one, "betas"), betas, 2);
    if (hf)
        eps[0] = 1e-30;
    if (json_is_array(given))
        golden_numbers(given, eps, 2);
    bool factored = hf || how.kind == LLM_ADAFACTOR;
    how.beta1 = hf ? golden_number(one, "beta1", 0) : factored ? 0 : betas[0];
    how.beta2 = betas[1];
    how.eps = factored ? eps[0] : golden_number(one, "eps", how.kind == LLM_ADAGRAD ? 1e-10 : 1e-8);
    how.eps2 = eps[1];
    how.lr = golden_number(one, "lr", 0);
    how.momentum = golden_number(one, "momentum", 0);
    how.weight_decay = golden_number(one, "weight_decay", how.kind == LLM_ADAMW ? 0.01 : 0);
    how.lr_decay = golden_number(one, "lr_decay", 0);
    how.initial_accumulator = golden_number(one, "initial_accumulator_value", 0);
    how.alpha = golden_number(one, "alpha", 0.99);
    how.centered = flag(one, "centered", false);
    how.maximize = flag(one, "maximize", false);
    how.amsgrad = flag(one, "amsgrad", false);
    how.beta2_decay = golden_number(one, hf ? "decay_rate" : "beta2_decay", -0.8);
    how.clip = golden_number(one, hf ? "clip_threshold" : "d", 1);
    how.scale_parameter = flag(one, "scale_parameter", hf);
    how.relative_step = flag(one, "relative_step", hf);
    how.warmup_init = flag(one, "warmup_init", false);
    how.min_8bit_size = (uint64_t)golden_number(one, "min_8bit_size", 4096);
    return how;
}

/* What an optimizer makes of the vector in so many ranges; after[step - 1][SIZE]. */
static void train(const room_t *room, const llm_optimizer_t *how, unsigned ranks, float *after)
{
    llm_backend_t *be = room->be;
    const llm_schedule_t none = {.kind = LLM_SCHEDULE_NONE};
    const llm_rates_t rates = llm_optimizer_rates(how, &none, 0);
    llm_optimizer_state_t states[RANKS];
    size_t bounds[RANKS + 1] = {0};
    uint32_t numbers = 7;
    fmq_error_t err;
    float host[SIZE];
    for (unsigned r = 1; r <= ranks; r++)
        bounds[r] = SIZE * r / ranks;
    llm_moments_cut(how, room->schema, bounds, ranks);
    for (unsigned r = 0; r < ranks; r++)
        assert_int_equal(llm_optimizer_init(&states[r], how, be, room->schema, &bounds[r], &err),
                         0);
    float *params = be->ops->alloc(be, sizeof host), *grads = be->ops->alloc(be, sizeof host);
    draw(&numbers, host, false);
    be->ops->upload(be, params, host, sizeof host);
    for (size_t step = 0; step < STEPS; step++) {
        draw(&numbers, host, true);
        for (size_t i = 0; how->maximize && i < SIZE; i++)
            host[i] = -host[i]; /* as an update does */
        be->ops->upload(be, grads, host, sizeof host);
        for (unsigned r = 0; r < ranks; r++)
            llm_optimizer_step(&states[r], params + bounds[r], grads + bounds[r], &rates);
        be->ops->download(be, after + step * SIZE, params, sizeof host);
    }
    for (unsigned r = 0; r < ranks; r++)
        llm_optimizer_release(&states[r]);
    be->ops->release(be, params);
    be->ops->release(be, grads);
}

static void compare(const json_t *one, const float *after, size_t number)
{
    const char *type = json_string_value(json_object_get(one, "type"));
    for (size_t s = 0; s < 3; s++) {
        double expected[SHOWN];
        golden_numbers(json_array_get(json_object_get(one, "params"), s), expected, SHOWN);
        double most = shown[s] < STEPS ? 1e-5 : 1e-4;
        for (size_t i = 0; i < SHOWN; i++) {
            double got = (double)after[(shown[s] - 1) * SIZE + i * EVERY];
            if (!(fabs(got - expected[i]) <= most * (fabs(expected[i]) + 0.1)))
                fail_msg("case %zu, %s, step %zu, element %zu: %.9g instead of %.9g", number, type,
                         shown[s], i * EVERY, got, expected[i]);
        }
    }
}

static void fifty_steps_are_those_of_python(void **state)
{
    const room_t *room = *state;
    const json_t *cases = json_object_get(room->golden, "cases");
    float *after = malloc(STEPS * SIZE * sizeof *after);
    assert_int_equal(json_array_size(cases), 16);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *one = json_array_get(cases, i);
        llm_optimizer_t how = read_case(one);
        fmq_error_t err;
        if (llm_optimizer_check(&how, &err) < 0)
            fail_msg("%s", err.text);
        train(room, &how, 1, after);
        compare(one, after, i);
    }
    free(after);
}

static void ranges_of_a_vector_give_the_bytes_of_the_whole(void **state)
{
    const room_t *room = *state;
    const json_t *cases = json_object_get(room->golden, "cases");
    float *whole = malloc(STEPS * SIZE * sizeof *whole);
    float *apart = malloc(STEPS * SIZE * sizeof *apart);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        llm_optimizer_t how = read_case(json_array_get(cases, i));
        train(room, &how, 1, whole);
        train(room, &how, RANKS, apart);
        assert_memory_equal(whole, apart, STEPS * SIZE * sizeof *whole);
    }
    free(whole);
    free(apart);
}

static void state_is_cut_between_tensors_or_blocks_only(void **state)
{
    const room_t *room = *state;
    llm_optimizer_t how = {.kind = LLM_ADAFACTOR};
    size_t bounds[] = {0, 390, 395, 1000, SIZE};
    llm_moments_cut(&how, room->schema, bounds, 4);
    assert_int_equal(bounds[1], 0);
    assert_int_equal(bounds[2], 391);
    assert_int_equal(bounds[3], 400);
    assert_int_equal(bounds[4], SIZE);
    how = (llm_optimizer_t){.kind = LLM_ADAMW_8BIT, .min_8bit_size = 10};
    size_t again[] = {0, 390, 395, 1000, SIZE};
    llm_moments_cut(&how, room->schema, again, 4);
    assert_int_equal(again[1], 256);
    assert_int_equal(again[2], 395); /* the vector of nine has moments in floats */
    assert_int_equal(again[3], 400 + 512);
    how.kind = LLM_ADAMW;
    size_t free_ones[] = {0, 390, 395, 1000, SIZE};
    llm_moments_cut(&how, room->schema, free_ones, 4);
    assert_int_equal(free_ones[1], 390);
}

static void the_map_of_codes_is_the_published_one(void **state)
{
    (void)state;
    llm_dynamic_map_t map;
    llm_dynamic_map(&map, true);
    assert_true(map.values[255] == 1 && map.values[127] == 0 && map.values[0] == -map.values[254]);
    assert_true(fabsf(map.values[254] - 0.99296875f) < 1e-7f);
    assert_true(fabsf(map.values[128] - 5.5e-7f) < 1e-12f);
    for (int signs = 0; signs < 2; signs++) {
        llm_dynamic_map(&map, signs);
        for (int i = 1; i < LLM_DYNAMIC_CODES; i++)
            assert_true(map.values[i] > map.values[i - 1]);
        for (int i = 0; i < LLM_DYNAMIC_CODES; i++)
            assert_int_equal(llm_dynamic_code(map.values, map.values[i]), i);
        assert_int_equal(llm_dynamic_code(map.values, 2), 255);
        assert_int_equal(llm_dynamic_code(map.values, llm_dynamic_middle(map.values, 200)), 200);
    }
    assert_true(map.values[255] == 1 && fabsf(map.values[254] - 0.99296875f) < 1e-7f);
}

static void moments_of_8_bits_take_a_quarter_of_the_memory(void **state)
{
    const room_t *room = *state;
    const size_t range[2] = {0, SIZE};
    llm_optimizer_t how = {.kind = LLM_ADAMW_8BIT, .min_8bit_size = 0};
    llm_moments_t moments;
    size_t bytes = 0;
    assert_int_equal(llm_moments_init(&moments, &how, room->be, room->schema, range, NULL), 0);
    for (size_t a = 0; a < LLM_MOMENTS_ARRAYS; a++)
        bytes += moments.arrays[a].bytes;
    assert_int_equal(bytes, 2 * SIZE + 2 * (2 + 1 + 4) * sizeof(float));
    llm_moments_release(&moments);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_room, close_room)

/* The device as an argument; none: the reference. */
int main(int argc, char **argv)
{
    device = argc > 1 ? argv[1] : NULL;
    const struct CMUnitTest tests[] = {
        CASE(fifty_steps_are_those_of_python),
        CASE(ranges_of_a_vector_give_the_bytes_of_the_whole),
        CASE(state_is_cut_between_tensors_or_blocks_only),
        cmocka_unit_test(the_map_of_codes_is_the_published_one),
        CASE(moments_of_8_bits_take_a_quarter_of_the_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
