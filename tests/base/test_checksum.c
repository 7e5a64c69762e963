/*
 * test_checksum.c - what checksums tell apart.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/checksum.h"

#define SIZE 203 /* six blocks of four words, and a rest */

static void fill(unsigned char bytes[SIZE])
{
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (unsigned char)(i * i + 7 * i);
}

static void every_bit_counts(void **state)
{
    (void)state;
    unsigned char bytes[SIZE];
    fill(bytes);
    uint64_t sum = fmq_checksum(bytes, SIZE);
    for (size_t bit = 0; bit < 8 * (size_t)SIZE; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        assert_true(fmq_checksum(bytes, SIZE) != sum);
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    assert_true(fmq_checksum(bytes, SIZE) == sum);
}

static void so_does_the_order_of_words(void **state)
{
    (void)state;
    unsigned char bytes[SIZE], moved[SIZE];
    fill(bytes);
    for (size_t by = 8; by <= 96; by += 8) {
        memcpy(moved, bytes, SIZE);
        memcpy(moved, bytes + by, 8);
        memcpy(moved + by, bytes, 8);
        assert_true(fmq_checksum(moved, SIZE) != fmq_checksum(bytes, SIZE));
    }
}

static void zeros_at_the_end_are_not_nothing(void **state)
{
    (void)state;
    static const unsigned char zeros[SIZE];
    for (size_t size = 0; size < SIZE; size++)
        assert_true(fmq_checksum(zeros, size) != fmq_checksum(zeros, size + 1));
}

static void it_does_not_matter_where_the_bytes_lie(void **state)
{
    (void)state;
    unsigned char bytes[SIZE], shifted[SIZE + 8];
    fill(bytes);
    for (size_t by = 1; by < 8; by++) {
        memcpy(shifted + by, bytes, SIZE);
        assert_true(fmq_checksum(shifted + by, SIZE) == fmq_checksum(bytes, SIZE));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(so_does_the_order_of_words),
        cmocka_unit_test(zeros_at_the_end_are_not_nothing),
        cmocka_unit_test(it_does_not_matter_where_the_bytes_lie),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
