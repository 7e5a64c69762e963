/*
 * test_pack.c - msgpack into a bounded buffer, and out of a stranger's bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/broker/pack.h"
#include "tests/broker/mutation.h"

static size_t pack_one_of_each(uint8_t *out, size_t capacity, fmq_error_t *err)
{
    fmq_packer_t packer;
    fmq_packer_init(&packer, out, capacity);
    fmq_pack_map(&packer, 7);
    fmq_pack_str(&packer, "uint");
    fmq_pack_uint(&packer, UINT64_MAX);
    fmq_pack_str(&packer, "int");
    fmq_pack_int(&packer, INT64_MIN);
    fmq_pack_str(&packer, "real");
    fmq_pack_real(&packer, 0.1);
    fmq_pack_str(&packer, "bool");
    fmq_pack_bool(&packer, true);
    fmq_pack_str(&packer, "bin");
    fmq_pack_bin(&packer, "\0\1\2", 3);
    fmq_pack_str(&packer, "nil");
    fmq_pack_nil(&packer);
    fmq_pack_str(&packer, "array");
    fmq_pack_array(&packer, 2);
    fmq_pack_uint(&packer, 1);
    fmq_pack_str(&packer, "");
    return fmq_packer_end(&packer, err);
}

static int unpack_one_of_each(const void *data, size_t size, fmq_error_t *err)
{
    fmq_unpacker_t in;
    char text[8];
    size_t bin_size;
    fmq_unpacker_init(&in, data, size);
    (void)fmq_unpack_map(&in, 7);
    (void)fmq_unpack_str(&in, text, sizeof text);
    (void)fmq_unpack_uint(&in, UINT64_MAX);
    (void)fmq_unpack_str(&in, text, sizeof text);
    (void)fmq_unpack_int(&in);
    (void)fmq_unpack_str(&in, text, sizeof text);
    (void)fmq_unpack_real(&in);
    (void)fmq_unpack_str(&in, text, sizeof text);
    (void)fmq_unpack_bool(&in);
    (void)fmq_unpack_str(&in, text, sizeof text);
    (void)fmq_unpack_bin(&in, 16, &bin_size);
    (void)fmq_unpack_str(&in, text, sizeof text);
    if (!fmq_unpack_nil(&in))
        fmq_unpack_fail(&in, "expected nil");
    fmq_unpack_skip(&in);
    fmq_unpack_skip(&in);
    return fmq_unpack_done(&in, err);
}

static void what_was_packed_comes_back(void **state)
{
    (void)state;
    uint8_t bytes[128];
    fmq_error_t err;
    size_t size = pack_one_of_each(bytes, sizeof bytes, &err);
    assert_true(size > 0);

    fmq_unpacker_t in;
    char key[8];
    size_t bin_size;
    fmq_unpacker_init(&in, bytes, size);
    assert_int_equal(fmq_unpack_map(&in, 7), 7);
    fmq_unpack_str(&in, key, sizeof key);
    assert_string_equal(key, "uint");
    assert_true(fmq_unpack_uint(&in, UINT64_MAX) == UINT64_MAX);
    fmq_unpack_skip(&in);
    assert_true(fmq_unpack_int(&in) == INT64_MIN);
    fmq_unpack_skip(&in);
    assert_true(fmq_unpack_real(&in) == 0.1);
    fmq_unpack_skip(&in);
    assert_true(fmq_unpack_bool(&in));
    fmq_unpack_skip(&in);
    const void *bin = fmq_unpack_bin(&in, 3, &bin_size);
    assert_int_equal(bin_size, 3);
    assert_memory_equal(bin, "\0\1\2", 3);
    fmq_unpack_skip(&in);
    assert_true(fmq_unpack_nil(&in));
    fmq_unpack_skip(&in);
    assert_int_equal(fmq_unpack_array(&in, 2), 2);
    assert_false(fmq_unpack_nil(&in));
    assert_int_equal(fmq_unpack_uint(&in, 1), 1);
    assert_int_equal(fmq_unpack_str(&in, key, sizeof key), 0);
    assert_int_equal(fmq_unpack_done(&in, &err), 0);
}

static void a_buffer_that_is_too_small_is_an_error_at_every_size(void **state)
{
    (void)state;
    uint8_t whole[128], part[128];
    fmq_error_t err;
    size_t size = pack_one_of_each(whole, sizeof whole, NULL);
    for (size_t capacity = 0; capacity < size; capacity++) {
        memset(part, 0xee, sizeof part);
        assert_int_equal(pack_one_of_each(part, capacity, &err), 0);
        assert_int_equal(err.code, FMQ_ERR_LIMIT);
        for (size_t i = capacity; i < sizeof part; i++)
            assert_int_equal(part[i], 0xee);
    }
    assert_int_equal(pack_one_of_each(part, size, &err), size);
    assert_memory_equal(part, whole, size);
}

static void every_prefix_of_a_message_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[128];
    fmq_error_t err;
    size_t size = pack_one_of_each(bytes, sizeof bytes, NULL);
    assert_int_equal(unpack_one_of_each(bytes, size, &err), 0);
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_equal(unpack_one_of_each(bytes, cut, &err), -1);
        assert_int_equal(err.code, FMQ_ERR_FORMAT);
    }
}

static void bytes_left_over_are_refused(void **state)
{
    (void)state;
    fmq_unpacker_t in;
    fmq_error_t err;
    fmq_unpacker_init(&in, "\x01\x02", 2);
    assert_int_equal(fmq_unpack_uint(&in, 9), 1);
    assert_int_equal(fmq_unpack_done(&in, &err), -1);
    assert_non_null(strstr(err.text, "left over at byte 1"));
}

static void bombs_of_claimed_length_are_refused_where_they_stand(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } bombs[] = {
        {"\xdd\x00\xff\xff\xff", 5},
        {"\xdf\x01\x00\x00\x00", 5},
        {"\xdd\xff\x00\x00\x00", 5},
        {"\xc6\xff\xff\xff\xff", 5},
        {"\xdb\xff\xff\xff\xff", 5},
        {"\xc9\xff\xff\xff\xff\x00", 6},
        {"\xd8\x00", 2},
        {"\x81\x01", 2},
        {"\x9f\x01", 2},
    };
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
        fmq_unpacker_t in;
        fmq_unpacker_init(&in, bombs[i].bytes, bombs[i].size);
        fmq_unpack_skip(&in);
        assert_true(fmq_unpack_failed(&in));
        assert_int_equal(fmq_unpack_done(&in, NULL), -1);
    }
    /* 31 nested arrays, each of which claims all that is left. */
    uint8_t nested[155];
    for (size_t i = 0; i < 31; i++)
        memcpy(nested + 5 * i, "\xdd\x00\x00\x00\x7c", 5);
    fmq_unpacker_t in;
    fmq_unpacker_init(&in, nested, sizeof nested);
    fmq_unpack_skip(&in);
    assert_true(fmq_unpack_failed(&in));
}

static void deep_nesting_is_skipped_without_recursion(void **state)
{
    (void)state;
    static uint8_t deep[1 << 20];
    memset(deep, 0x91, sizeof deep - 1);
    deep[sizeof deep - 1] = 0xc0;
    fmq_unpacker_t in;
    fmq_error_t err;
    fmq_unpacker_init(&in, deep, sizeof deep);
    fmq_unpack_skip(&in);
    assert_int_equal(fmq_unpack_done(&in, &err), 0);
}

static void a_value_of_another_type_is_an_error_that_stays(void **state)
{
    (void)state;
    fmq_unpacker_t in;
    fmq_error_t err;
    char text[8] = "before";
    fmq_unpacker_init(&in, "\xa1x\x05", 3);
    assert_int_equal(fmq_unpack_uint(&in, 9), 0);
    assert_int_equal(fmq_unpack_uint(&in, 9), 0);
    assert_int_equal(fmq_unpack_str(&in, text, sizeof text), 0);
    assert_string_equal(text, "");
    assert_int_equal(fmq_unpack_done(&in, &err), -1);
    assert_non_null(strstr(err.text, "expected an integer"));
}

static void limits_of_the_caller_hold(void **state)
{
    (void)state;
    fmq_unpacker_t in;
    char text[4];
    size_t size;
    fmq_unpacker_init(&in,
                      "\xa4"
                      "abcd",
                      5);
    assert_int_equal(fmq_unpack_str(&in, text, sizeof text), 0);
    assert_true(fmq_unpack_failed(&in));
    fmq_unpacker_init(&in,
                      "\xa3"
                      "a\0b",
                      4);
    assert_int_equal(fmq_unpack_str(&in, text, sizeof text), 0);
    assert_true(fmq_unpack_failed(&in));
    fmq_unpacker_init(&in,
                      "\xc4\x03"
                      "abc",
                      5);
    assert_null(fmq_unpack_bin(&in, 2, &size));
    assert_true(fmq_unpack_failed(&in));
    fmq_unpacker_init(&in,
                      "\xc4\x03"
                      "abc",
                      5);
    fmq_unpack_bin_exact(&in, text, 2);
    assert_true(fmq_unpack_failed(&in));
    fmq_unpacker_init(&in, "\xcc\xff", 2);
    assert_int_equal(fmq_unpack_uint(&in, 254), 0);
    assert_true(fmq_unpack_failed(&in));
    fmq_unpacker_init(&in, "\x92\x01\x02", 3);
    assert_int_equal(fmq_unpack_array(&in, 1), 0);
    assert_true(fmq_unpack_failed(&in));
}

static void long_forms_of_small_numbers_are_understood(void **state)
{
    (void)state;
    fmq_unpacker_t in;
    static const char bytes[] = "\xcf\x00\x00\x00\x00\x00\x00\x00\x07"
                                "\xd3\xff\xff\xff\xff\xff\xff\xff\xff"
                                "\xca\x3f\xc0\x00\x00"
                                "\xd0\x80"
                                "\xff";
    fmq_unpacker_init(&in, bytes, sizeof bytes - 1);
    assert_int_equal(fmq_unpack_uint(&in, 7), 7);
    assert_int_equal(fmq_unpack_int(&in), -1);
    assert_true(fmq_unpack_real(&in) == 1.5);
    assert_int_equal(fmq_unpack_int(&in), -128);
    assert_true(fmq_unpack_real(&in) == -1.0);
    assert_int_equal(fmq_unpack_done(&in, NULL), 0);
}

static void damaged_messages_are_read_within_their_bytes(void **state)
{
    (void)state;
    uint8_t whole[128];
    size_t size = pack_one_of_each(whole, sizeof whole, NULL);
    mutation_t mutation = {.state = 1};
    unsigned accepted = 0;
    for (unsigned i = 0; i < 200000; i++) {
        uint8_t damaged[160];
        size_t left = mutation_apply(&mutation, damaged, sizeof damaged, whole, size);
        uint8_t *exact = mutation_exact(damaged, left);
        accepted += unpack_one_of_each(exact, left, NULL) == 0;
        fmq_unpacker_t in;
        fmq_unpacker_init(&in, exact, left);
        while (!fmq_unpack_failed(&in))
            fmq_unpack_skip(&in);
        assert_true(in.at <= left);
        free(exact);
    }
    assert_true(accepted < 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_packed_comes_back),
        cmocka_unit_test(a_buffer_that_is_too_small_is_an_error_at_every_size),
        cmocka_unit_test(every_prefix_of_a_message_is_refused),
        cmocka_unit_test(bytes_left_over_are_refused),
        cmocka_unit_test(bombs_of_claimed_length_are_refused_where_they_stand),
        cmocka_unit_test(deep_nesting_is_skipped_without_recursion),
        cmocka_unit_test(a_value_of_another_type_is_an_error_that_stays),
        cmocka_unit_test(limits_of_the_caller_hold),
        cmocka_unit_test(long_forms_of_small_numbers_are_understood),
        cmocka_unit_test(damaged_messages_are_read_within_their_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
