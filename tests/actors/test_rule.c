/*
 * test_rule.c - what rules make of updates, range by range.
 */
#include "actors_test.h"

#include <math.h>

#include "fedmq/broker/state.h"
#include "fedmq/extend/rule.h"

typedef struct {
    const fmq_schema_t *schema;
    float *vectors[4];
    size_t reads, fail_at;
} source_t;

static int read_range(void *argument, size_t index, uint64_t first, uint64_t count, float *values,
                      fmq_error_t *err)
{
    source_t *source = argument;
    if (++source->reads == source->fail_at)
        return fmq_error_set(err, FMQ_ERR_IO, "the disk is gone");
    memcpy(values, source->vectors[index] + first, count * sizeof *values);
    return 0;
}

static void setup(source_t *source, fmq_schema_t **schema)
{
    *schema = test_schema();
    *source = (source_t){.schema = *schema};
    for (uint32_t i = 0; i < 4; i++)
        source->vectors[i] = test_vector(*schema, i + 1);
}

static void teardown(source_t *source, fmq_schema_t *schema)
{
    for (int i = 0; i < 4; i++)
        free(source->vectors[i]);
    fmq_schema_destroy(&schema);
}

static int put(void *argument, uint64_t first, uint64_t count, float *values, fmq_error_t *err)
{
    (void)err;
    memcpy((float *)argument + first, values, count * sizeof *values);
    return 0;
}

static int fold_by(const char *name, source_t *source, const uint64_t *samples, size_t size,
                   float *out, fmq_error_t *err)
{
    fmq_updates_t updates = {size, samples, fmq_schema_elements(source->schema), read_range,
                             source};
    const fmq_rule_t *rule = fmq_rule_find(name, NULL);
    assert_non_null(rule);
    return fmq_rule_run(rule, &updates, put, out, err);
}

static void fold(source_t *source, const uint64_t *samples, size_t size, float *out)
{
    assert_int_equal(fold_by("fedavg", source, samples, size, out, NULL), 0);
}

static void fedavg_weighs_by_samples(void **state)
{
    (void)state;
    source_t source;
    fmq_schema_t *schema;
    setup(&source, &schema);
    const uint64_t samples[] = {1, 7, 100, 12};
    float *out = test_vector(schema, 9);
    fold(&source, samples, 4, out);
    for (uint64_t i = 0; i < fmq_schema_elements(schema); i++) {
        double sum = 0;
        for (int c = 0; c < 4; c++)
            sum += (double)samples[c] * (double)source.vectors[c][i];
        assert_true(out[i] == (float)(sum / 120));
    }
    free(out);
    teardown(&source, schema);
}

static void without_samples_and_with_all_zero_samples_everybody_counts_alike(void **state)
{
    (void)state;
    source_t source;
    fmq_schema_t *schema;
    setup(&source, &schema);
    uint64_t elements = fmq_schema_elements(schema);
    float *plain = test_vector(schema, 9), *zero = test_vector(schema, 9);
    fold(&source, NULL, 3, plain);
    fold(&source, (const uint64_t[]){0, 0, 0}, 3, zero);
    assert_memory_equal(plain, zero, elements * sizeof *plain);
    double sum =
        (double)source.vectors[0][5] + (double)source.vectors[1][5] + (double)source.vectors[2][5];
    assert_true(plain[5] == (float)(sum / 3));
    free(plain);
    free(zero);
    teardown(&source, schema);
}

static void equal_updates_come_out_as_they_went_in(void **state)
{
    (void)state;
    source_t source;
    fmq_schema_t *schema;
    setup(&source, &schema);
    uint64_t elements = fmq_schema_elements(schema);
    for (int i = 1; i < 4; i++)
        memcpy(source.vectors[i], source.vectors[0], elements * sizeof(float));
    float *out = test_vector(schema, 9);
    fold(&source, (const uint64_t[]){3, 333, 12345, 7}, 4, out);
    assert_memory_equal(out, source.vectors[0], elements * sizeof *out);
    free(out);
    teardown(&source, schema);
}

static void an_update_that_used_no_samples_is_not_even_read(void **state)
{
    (void)state;
    source_t source;
    fmq_schema_t *schema;
    setup(&source, &schema);
    source.vectors[1][0] = INFINITY;
    float *out = test_vector(schema, 9);
    fold(&source, (const uint64_t[]){5, 0}, 2, out);
    assert_memory_equal(out, source.vectors[0], fmq_schema_elements(schema) * sizeof *out);
    assert_int_equal(source.reads, fmq_state_chunks(schema));
    free(out);
    teardown(&source, schema);
}

static void an_update_that_cannot_be_read_ends_the_aggregation(void **state)
{
    (void)state;
    source_t source;
    fmq_schema_t *schema;
    setup(&source, &schema);
    source.fail_at = 6;
    float *out = test_vector(schema, 9);
    fmq_error_t err;
    assert_int_equal(fold_by("fedavg", &source, NULL, 4, out, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_IO);
    source.fail_at = source.reads + 3;
    assert_int_equal(fold_by("median", &source, NULL, 4, out, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_IO);
    free(out);
    teardown(&source, schema);
}

static int ascending(const void *a, const void *b)
{
    float x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static void the_median_is_that_of_every_coordinate_whatever_the_weights(void **state)
{
    (void)state;
    source_t source;
    fmq_schema_t *schema;
    setup(&source, &schema);
    uint64_t elements = fmq_schema_elements(schema);
    source.vectors[1][3] = 1e30F; /* whoever lies by far moves nothing far */
    source.vectors[2][4] = source.vectors[0][4];
    float *odd = test_vector(schema, 9), *even = test_vector(schema, 9);
    assert_int_equal(fold_by("median", &source, (const uint64_t[]){1, 900, 1}, 3, odd, NULL), 0);
    assert_int_equal(fold_by("median", &source, NULL, 4, even, NULL), 0);
    for (uint64_t i = 0; i < elements; i++) {
        float v[4];
        for (int c = 0; c < 4; c++)
            v[c] = source.vectors[c][i];
        qsort(v, 3, sizeof *v, ascending);
        assert_true(odd[i] == v[1]);
        qsort(v, 4, sizeof *v, ascending);
        assert_true(even[i] == (float)(((double)v[1] + (double)v[2]) / 2));
    }
    free(odd);
    free(even);
    teardown(&source, schema);
}

/* Client k of many says (k * 7919) % many at every place. */
static int read_many(void *argument, size_t index, uint64_t first, uint64_t count, float *values,
                     fmq_error_t *err)
{
    const size_t *many = argument;
    (void)first, (void)err;
    for (uint64_t i = 0; i < count; i++)
        values[i] = (float)(index * 7919 % *many);
    return 0;
}

static void the_median_of_many_takes_no_more_memory_than_that_of_few(void **state)
{
    (void)state;
    const fmq_rule_t *rule = fmq_rule_find("median", NULL);
    size_t many = 10007; /* a prime: every value occurs once */
    float out[1000] = {0};
    fmq_updates_t updates = {many, NULL, 1000, read_many, &many};
    assert_int_equal(fmq_rule_run(rule, &updates, put, out, NULL), 0);
    for (int i = 0; i < 1000; i++)
        assert_true(out[i] == 5003);
    for (size_t size = 1; size <= 65536; size *= 2)
        assert_true(rule->scratch(size) <=
                    (FMQ_RULE_WINDOW_VALUES + size + FMQ_RULE_RANGE_MAX) * sizeof(float));
}

static void an_unknown_rule_is_refused_by_name(void **state)
{
    (void)state;
    fmq_error_t err;
    assert_null(fmq_rule_find("krumm", &err));
    assert_int_equal(err.code, FMQ_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "krumm"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fedavg_weighs_by_samples),
        cmocka_unit_test(without_samples_and_with_all_zero_samples_everybody_counts_alike),
        cmocka_unit_test(equal_updates_come_out_as_they_went_in),
        cmocka_unit_test(an_update_that_used_no_samples_is_not_even_read),
        cmocka_unit_test(an_update_that_cannot_be_read_ends_the_aggregation),
        cmocka_unit_test(the_median_is_that_of_every_coordinate_whatever_the_weights),
        cmocka_unit_test(the_median_of_many_takes_no_more_memory_than_that_of_few),
        cmocka_unit_test(an_unknown_rule_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
