/*
 * test_merged.c - FedBiOT's regulariser by thin products against merged
 * matrices: PyTorch's numbers, float64, and central differences.
 *
 * merged.json is written by scripts/goldens/make_merged_goldens.py.
 */
#include "llm/train/merged.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/llm/train/golden_file.h"

static fmq_error_t err;

static void must(bool done)
{
    if (!done)
        fail_msg("%s", err.text);
}

static llm_shape_t small_llama(uint32_t width)
{
    return (llm_shape_t){.arch = llm_arch_find("llama"),
                         .layers = 2,
                         .width = width,
                         .heads = 2,
                         .kv_heads = 1,
                         .head_width = width / 2,
                         .ffn = width + width / 2,
                         .vocab = 16,
                         .context = 16,
                         .norm_eps = 1e-5f,
                         .rope_theta = 10000,
                         .tied = true,
                         .rope_factor = 1};
}

static llm_adapter_spec_t lora_spec(uint32_t rank, float alpha)
{
    return (llm_adapter_spec_t){.kind = LLM_ADAPTER_LORA,
                                .rank = rank,
                                .alpha = alpha,
                                .targets = 3,
                                .target = {"q_proj", "v_proj", "down_proj"}};
}

/* An adapter, where it started, where it is, and what the term gives. */
typedef struct {
    llm_backend_t *be;
    llm_adapter_t *adapter;
    const fmq_schema_t *schema;
    size_t n;
    float *start, *vector, *grads; /* host */
} room_t;

static void open_room(room_t *room, llm_backend_t *be, uint32_t width,
                      const llm_adapter_spec_t *spec)
{
    llm_shape_t shape = small_llama(width);
    must(be != NULL);
    *room = (room_t){.be = be, .adapter = llm_adapter_new(&shape, spec, &err)};
    must(room->adapter != NULL);
    room->schema = llm_adapter_schema(room->adapter);
    room->n = (size_t)fmq_schema_elements(room->schema);
    room->start = calloc(room->n, sizeof(float));
    room->vector = calloc(room->n, sizeof(float));
    room->grads = calloc(room->n, sizeof(float));
}

static void close_room(room_t *room)
{
    free(room->start);
    free(room->vector);
    free(room->grads);
    llm_adapter_destroy(&room->adapter);
    llm_backend_destroy(&room->be);
}

/* The term at the vector, and its gradient when wanted. */
static double term(room_t *room, double eps, bool gradient)
{
    const llm_ops_t *ops = room->be->ops;
    size_t bytes = room->n * sizeof(float);
    float *params = ops->alloc(room->be, bytes), *grads = ops->alloc(room->be, bytes);
    llm_merged_t merged;
    ops->upload(room->be, params, room->start, bytes);
    must(llm_merged_init(&merged, room->adapter, room->be, params, &err) == 0);
    ops->upload(room->be, params, room->vector, bytes);
    ops->zero(room->be, grads, bytes);
    double value = llm_merged_add(&merged, eps, params, gradient ? grads : NULL);
    ops->download(room->be, room->grads, grads, bytes);
    /* A second call gives the same and adds once more. */
    double again = llm_merged_add(&merged, eps, params, gradient ? grads : NULL);
    assert_memory_equal(&again, &value, sizeof value);
    float *twice = malloc(bytes);
    ops->download(room->be, twice, grads, bytes);
    for (size_t i = 0; i < room->n; i++)
        assert_true(fabsf(twice[i] - 2 * room->grads[i]) <= 1e-5f * (1 + fabsf(twice[i])));
    free(twice);
    llm_merged_release(&merged);
    ops->release(room->be, params);
    ops->release(room->be, grads);
    return value;
}

/* Lays the tensors of a case into a vector, by their names. */
static double *lay_out(const room_t *room, const json_t *tensors)
{
    double *out = calloc(room->n, sizeof *out);
    for (size_t i = 0; i < fmq_schema_size(room->schema); i++) {
        const fmq_tensor_t *tensor = fmq_schema_at(room->schema, i);
        golden_numbers(json_object_get(tensors, tensor->name), out + tensor->offset,
                       (size_t)tensor->count);
    }
    assert_int_equal(json_object_size(tensors), fmq_schema_size(room->schema));
    return out;
}

static void to_floats(float *out, double *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (float)from[i];
    free(from);
}

static void check_golden(llm_backend_t *be, const char *name, double tolerance)
{
    json_t *golden = golden_open("merged.json");
    const json_t *one = json_object_get(json_object_get(golden, "cases"), name);
    llm_adapter_spec_t spec = lora_spec((uint32_t)golden_number(golden, "rank", 0),
                                        (float)golden_number(golden, "alpha", 0));
    room_t room;
    open_room(&room, be, 8, &spec);
    to_floats(room.start, lay_out(&room, json_object_get(one, "start")), room.n);
    to_floats(room.vector, lay_out(&room, json_object_get(one, "vector")), room.n);
    double *grads = lay_out(&room, json_object_get(one, "grads"));
    double value = term(&room, golden_number(golden, "eps", 0), true);
    double expected = golden_number(one, "value", 0), largest = 0;
    if (!(fabs(value - expected) <= tolerance * expected))
        fail_msg("%s: value %.9g, expected %.9g", name, value, expected);
    for (size_t i = 0; i < room.n; i++)
        largest = fmax(largest, fabs(grads[i]));
    assert_true(largest > 0);
    for (size_t i = 0; i < room.n; i++)
        if (!(fabs((double)room.grads[i] - grads[i]) <= tolerance * largest))
            fail_msg("%s: gradient %zu is %.9g, expected %.9g (largest %.3g)", name, i,
                     (double)room.grads[i], grads[i], largest);
    free(grads);
    close_room(&room);
    json_decref(golden);
}

static void check_goldens(const char *name, double tolerance)
{
    check_golden(llm_backend_reference_new(&err), name, tolerance);
    check_golden(llm_backend_cpu_new(2, &err), name, tolerance);
}

static void it_is_torchs_far_from_the_start(void **state)
{
    (void)state;
    check_goldens("far", 2e-6);
}

static void it_is_torchs_where_a_run_begins_with_b_zero(void **state)
{
    (void)state;
    check_goldens("first", 2e-6);
}

static void it_is_torchs_where_the_merged_matrices_nearly_cancel(void **state)
{
    (void)state;
    check_goldens("near", 2e-6);
}

static void it_is_torchs_where_factors_move_and_their_product_hardly(void **state)
{
    (void)state;
    check_goldens("turned", 2e-3);
}

static void draw(float *out, size_t n, double size, uint32_t step)
{
    fmq_rng_t rng;
    fmq_rng_name_t name = {.seed = 4, .purpose = FMQ_RNG_ADAPTER_INIT, .step = step};
    fmq_rng_init(&rng, &name);
    for (size_t i = 0; i < n; i++)
        out[i] = (float)(size * (2 * fmq_rng_uniform(&rng) - 1));
}

/* ||B A - B0 A0||^2 of one module in double precision, M being formed. */
static double merged_square(const room_t *room, size_t index)
{
    const fmq_tensor_t *a = fmq_schema_at(room->schema, index);
    const fmq_tensor_t *b = fmq_schema_at(room->schema, index + 1);
    double sum = 0;
    for (uint64_t o = 0; o < b->shape[0]; o++) {
        for (uint64_t i = 0; i < a->shape[1]; i++) {
            double apart = 0;
            for (uint64_t r = 0; r < a->shape[0]; r++) {
                size_t at_b = b->offset + o * a->shape[0] + r,
                       at_a = a->offset + r * a->shape[1] + i;
                apart += (double)room->vector[at_b] * (double)room->vector[at_a] -
                         (double)room->start[at_b] * (double)room->start[at_a];
            }
            sum += apart * apart;
        }
    }
    return sum;
}

static void the_value_stays_exact_as_the_adapter_nears_its_start(void **state)
{
    (void)state;
    llm_adapter_spec_t spec = lora_spec(8, 16);
    room_t room;
    open_room(&room, llm_backend_cpu_new(1, &err), 96, &spec);
    draw(room.start, room.n, 1, 1);
    float *step = malloc(room.n * sizeof *step);
    draw(step, room.n, 1, 2);
    for (int digits = 0; digits <= 6; digits++) {
        double size = pow(10, -digits), expected = 0;
        for (size_t i = 0; i < room.n; i++)
            room.vector[i] = room.start[i] + (float)size * step[i];
        for (size_t i = 0; i < fmq_schema_size(room.schema); i += 2)
            expected += 0.1 * 4 * merged_square(&room, i);
        double value = term(&room, 0.1, false), error = fabs(value / expected - 1);
        print_message("moved by 1e-%d: %.6g, relative error %.1e\n", digits, value, error);
        assert_true(error < 1e-6);
    }
    free(step);
    close_room(&room);
}

static void central_differences_agree_with_the_gradient(void **state)
{
    (void)state;
    const llm_adapter_spec_t specs[] = {lora_spec(3, 5), {.kind = LLM_ADAPTER_FULL}};
    for (size_t s = 0; s < 2; s++) {
        room_t room;
        open_room(&room, llm_backend_reference_new(&err), 8, &specs[s]);
        draw(room.start, room.n, 1, 3);
        draw(room.vector, room.n, 1, 4);
        (void)term(&room, 0.3, true);
        float *grads = malloc(room.n * sizeof *grads);
        memcpy(grads, room.grads, room.n * sizeof *grads);
        for (size_t i = 0; i < room.n; i += 5) {
            float here = room.vector[i], h = 0.0625f;
            room.vector[i] = here + h;
            double above = term(&room, 0.3, false);
            room.vector[i] = here - h;
            double below = term(&room, 0.3, false);
            room.vector[i] = here;
            double slope = (above - below) / (2 * (double)h);
            if (!(fabs(slope - (double)grads[i]) < 1e-3 * (1 + fabs(slope))))
                fail_msg("element %zu: %.6g, the difference says %.6g", i, (double)grads[i], slope);
        }
        free(grads);
        close_room(&room);
    }
}

static void without_a_gradient_the_value_is_the_same_and_nothing_is_added(void **state)
{
    (void)state;
    llm_adapter_spec_t spec = lora_spec(3, 5);
    room_t room;
    open_room(&room, llm_backend_reference_new(&err), 8, &spec);
    draw(room.start, room.n, 1, 3);
    draw(room.vector, room.n, 1, 4);
    double value = term(&room, 0.3, true);
    assert_true(value > 0);
    assert_true(term(&room, 0.3, false) == value);
    for (size_t i = 0; i < room.n; i++)
        assert_true(room.grads[i] == 0);
    memcpy(room.vector, room.start, room.n * sizeof *room.vector);
    assert_true(term(&room, 0.3, true) == 0);
    for (size_t i = 0; i < room.n; i++)
        assert_true(room.grads[i] == 0);
    close_room(&room);
}

static void a_full_adapter_is_pulled_back_element_by_element(void **state)
{
    (void)state;
    llm_adapter_spec_t spec = {.kind = LLM_ADAPTER_FULL};
    room_t room;
    open_room(&room, llm_backend_cpu_new(1, &err), 8, &spec);
    draw(room.start, room.n, 1, 3);
    draw(room.vector, room.n, 1, 4);
    double value = term(&room, 0.25, true), expected = 0;
    for (size_t i = 0; i < room.n; i++) {
        double away = (double)room.vector[i] - (double)room.start[i];
        expected += 0.25 * away * away;
        assert_true(fabs((double)room.grads[i] - 0.5 * away) < 1e-6);
    }
    assert_true(fabs(value / expected - 1) < 1e-6);
    close_room(&room);
}

static void an_adapter_that_ran_away_has_no_finite_value(void **state)
{
    (void)state;
    llm_adapter_spec_t spec = lora_spec(3, 5);
    room_t room;
    open_room(&room, llm_backend_cpu_new(1, &err), 8, &spec);
    draw(room.vector, room.n, 1, 4);
    room.vector[7] = NAN;
    double value = term(&room, 0.3, false);
    assert_true(isnan(value));
    close_room(&room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_torchs_far_from_the_start),
        cmocka_unit_test(it_is_torchs_where_a_run_begins_with_b_zero),
        cmocka_unit_test(it_is_torchs_where_the_merged_matrices_nearly_cancel),
        cmocka_unit_test(it_is_torchs_where_factors_move_and_their_product_hardly),
        cmocka_unit_test(the_value_stays_exact_as_the_adapter_nears_its_start),
        cmocka_unit_test(central_differences_agree_with_the_gradient),
        cmocka_unit_test(without_a_gradient_the_value_is_the_same_and_nothing_is_added),
        cmocka_unit_test(a_full_adapter_is_pulled_back_element_by_element),
        cmocka_unit_test(an_adapter_that_ran_away_has_no_finite_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
