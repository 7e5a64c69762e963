/*
 * test_schema.c - order, offsets, look-up, digest and limits of schemas.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/base/schema.h"

static void tensors_lie_behind_each_other(void **state)
{
    (void)state;
    fmq_error_t err;
    fmq_schema_t *schema = fmq_schema_new(FMQ_F32);
    assert_int_equal(fmq_schema_add(schema, "a", 2, (uint64_t[]){2, 3}, &err), 0);
    assert_int_equal(fmq_schema_add(schema, "b", 1, (uint64_t[]){5}, &err), 0);
    assert_int_equal(fmq_schema_add(schema, "scalar", 0, NULL, &err), 0);
    assert_int_equal(fmq_schema_add(schema, "c", 4, (uint64_t[]){1, 2, 3, 4}, &err), 0);
    assert_int_equal(fmq_schema_size(schema), 4);
    assert_int_equal(fmq_schema_elements(schema), 36);
    assert_int_equal(fmq_schema_at(schema, 1)->offset, 6);
    assert_int_equal(fmq_schema_at(schema, 2)->offset, 11);
    assert_int_equal(fmq_schema_at(schema, 2)->count, 1);
    assert_int_equal(fmq_schema_at(schema, 3)->offset, 12);
    assert_int_equal(fmq_schema_at(schema, 0)->shape[2], 1);
    assert_null(fmq_schema_at(schema, 4));
    fmq_schema_destroy(&schema);
    assert_null(schema);
}

static void every_tensor_is_found_by_name_in_a_schema_of_full_size(void **state)
{
    (void)state;
    fmq_error_t err;
    fmq_schema_t *schema = fmq_schema_new(FMQ_BF16);
    char name[32];
    assert_null(fmq_schema_find(schema, "layer.0"));
    for (unsigned i = 0; i < FMQ_SCHEMA_TENSORS_MAX; i++) {
        (void)snprintf(name, sizeof name, "layer.%u", i);
        assert_int_equal(fmq_schema_add(schema, name, 1, (uint64_t[]){1 + i % 3}, &err), 0);
    }
    for (unsigned i = 0; i < FMQ_SCHEMA_TENSORS_MAX; i++) {
        (void)snprintf(name, sizeof name, "layer.%u", i);
        assert_ptr_equal(fmq_schema_find(schema, name), fmq_schema_at(schema, i));
    }
    assert_null(fmq_schema_find(schema, "layer.65536"));
    assert_int_equal(fmq_schema_add(schema, "more", 1, (uint64_t[]){1}, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
    assert_int_equal(fmq_schema_size(schema), FMQ_SCHEMA_TENSORS_MAX);
    fmq_schema_destroy(&schema);
}

static void bad_tensors_are_refused_and_change_nothing(void **state)
{
    (void)state;
    char long_name[FMQ_SCHEMA_NAME_MAX + 1];
    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    const struct {
        const char *name;
        uint32_t rank;
        uint64_t shape[5];
        fmq_error_code_t code;
    } bad[] = {
        {"", 1, {1}, FMQ_ERR_FORMAT},
        {long_name, 1, {1}, FMQ_ERR_LIMIT},
        {"twice", 1, {1}, FMQ_ERR_FORMAT},
        {"zero", 2, {3, 0}, FMQ_ERR_FORMAT},
        {"rank", 5, {1, 1, 1, 1, 1}, FMQ_ERR_LIMIT},
        {"large", 1, {FMQ_SCHEMA_ELEMENTS_MAX + 1}, FMQ_ERR_LIMIT},
        {"sum", 1, {FMQ_SCHEMA_ELEMENTS_MAX}, FMQ_ERR_LIMIT},
        {"product", 2, {UINT64_C(1) << 32, UINT64_C(1) << 32}, FMQ_ERR_LIMIT},
    };
    fmq_error_t err;
    fmq_schema_t *schema = fmq_schema_new(FMQ_F32);
    assert_int_equal(fmq_schema_add(schema, "twice", 1, (uint64_t[]){7}, &err), 0);
    fmq_digest_t before = fmq_schema_digest(schema);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fmq_error_clear(&err);
        assert_int_equal(fmq_schema_add(schema, bad[i].name, bad[i].rank, bad[i].shape, &err), -1);
        assert_int_equal(err.code, bad[i].code);
    }
    fmq_digest_t after = fmq_schema_digest(schema);
    assert_true(fmq_digest_equal(&before, &after));
    assert_int_equal(fmq_schema_elements(schema), 7);
    fmq_schema_destroy(&schema);
}

static void names_and_states_reach_exactly_their_limits(void **state)
{
    (void)state;
    char name[FMQ_SCHEMA_NAME_MAX];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    fmq_error_t err;
    fmq_schema_t *schema = fmq_schema_new(FMQ_I8);
    assert_int_equal(fmq_schema_add(schema, name, 2, (uint64_t[]){1 << 20, 1 << 20}, &err), 0);
    assert_true(fmq_schema_elements(schema) == FMQ_SCHEMA_ELEMENTS_MAX);
    assert_int_equal(fmq_schema_add(schema, "one", 1, (uint64_t[]){1}, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
    fmq_schema_destroy(&schema);
}

static fmq_digest_t digest_of(fmq_dtype_t dtype, const char *first, uint64_t rows, uint32_t rank)
{
    fmq_schema_t *schema = fmq_schema_new(dtype);
    assert_int_equal(fmq_schema_add(schema, first, rank, (uint64_t[]){rows, 3, 1}, NULL), 0);
    assert_int_equal(fmq_schema_add(schema, "b.c", 1, (uint64_t[]){5}, NULL), 0);
    fmq_digest_t digest = fmq_schema_digest(schema);
    fmq_schema_destroy(&schema);
    return digest;
}

/* Computed with Python's hashlib from the byte layout written in schema.c. */
static void the_digest_covers_the_documented_bytes(void **state)
{
    (void)state;
    char hex[FMQ_DIGEST_HEX_SIZE];
    fmq_digest_t digest = digest_of(FMQ_F32, "a", 2, 2);
    fmq_digest_hex(&digest, hex);
    assert_string_equal(hex, "908df47759c9c0d02110503933de10ff62952a92dc496d1d14ff68a0f8471ce7");
}

static void the_digest_tells_dtype_name_shape_and_rank_apart(void **state)
{
    (void)state;
    const fmq_digest_t digests[] = {digest_of(FMQ_F32, "a", 2, 2), digest_of(FMQ_F16, "a", 2, 2),
                                    digest_of(FMQ_F32, "A", 2, 2), digest_of(FMQ_F32, "a", 4, 2),
                                    digest_of(FMQ_F32, "a", 2, 3)};
    for (size_t i = 0; i < sizeof digests / sizeof *digests; i++)
        for (size_t k = 0; k < i; k++)
            assert_false(fmq_digest_equal(&digests[i], &digests[k]));
}

static void dtypes_have_sizes_and_names(void **state)
{
    (void)state;
    assert_int_equal(fmq_dtype_size(FMQ_F32), 4);
    assert_int_equal(fmq_dtype_size(FMQ_BF16), 2);
    assert_int_equal(fmq_dtype_size(FMQ_I8), 1);
    assert_int_equal(fmq_dtype_size(FMQ_I64), 8);
    assert_string_equal(fmq_dtype_name(FMQ_BF16), "bf16");
    assert_string_equal(fmq_dtype_name((fmq_dtype_t)99), "unknown");
    assert_int_equal(fmq_dtype_size((fmq_dtype_t)99), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_lie_behind_each_other),
        cmocka_unit_test(every_tensor_is_found_by_name_in_a_schema_of_full_size),
        cmocka_unit_test(bad_tensors_are_refused_and_change_nothing),
        cmocka_unit_test(names_and_states_reach_exactly_their_limits),
        cmocka_unit_test(the_digest_covers_the_documented_bytes),
        cmocka_unit_test(the_digest_tells_dtype_name_shape_and_rank_apart),
        cmocka_unit_test(dtypes_have_sizes_and_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
