/*
 * test_digest.c - BLAKE2b-256 against published values, and its hexadecimal form.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/base/digest.h"

/* From the BLAKE2 reference implementation (b2sum -l 256). */
#define DIGEST_OF_NOTHING "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"
#define DIGEST_OF_ABC     "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"

static void known_texts_have_their_known_digests(void **state)
{
    (void)state;
    char hex[FMQ_DIGEST_HEX_SIZE];
    fmq_digest_t digest = fmq_digest_of(NULL, 0);
    fmq_digest_hex(&digest, hex);
    assert_string_equal(hex, DIGEST_OF_NOTHING);
    digest = fmq_digest_of("abc", 3);
    fmq_digest_hex(&digest, hex);
    assert_string_equal(hex, DIGEST_OF_ABC);
}

static void pieces_give_the_digest_of_the_whole(void **state)
{
    (void)state;
    uint8_t data[1000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    fmq_digest_t whole = fmq_digest_of(data, sizeof data);
    for (size_t piece = 1; piece < sizeof data; piece += 61) {
        fmq_digest_state_t running;
        fmq_digest_begin(&running);
        for (size_t at = 0; at < sizeof data; at += piece)
            fmq_digest_add(&running, data + at,
                           sizeof data - at < piece ? sizeof data - at : piece);
        fmq_digest_t digest = fmq_digest_end(&running);
        assert_true(fmq_digest_equal(&digest, &whole));
    }
    data[999] ^= 1;
    fmq_digest_t other = fmq_digest_of(data, sizeof data);
    assert_false(fmq_digest_equal(&other, &whole));
}

static void hexadecimal_reads_back_in_either_case(void **state)
{
    (void)state;
    fmq_error_t err;
    fmq_digest_t digest = fmq_digest_of("abc", 3), read;
    assert_int_equal(fmq_digest_from_hex(&read, DIGEST_OF_ABC, &err), 0);
    assert_true(fmq_digest_equal(&digest, &read));
    char upper[FMQ_DIGEST_HEX_SIZE] = DIGEST_OF_ABC;
    for (char *c = upper; *c; c++)
        if (*c >= 'a')
            *c = (char)(*c - 'a' + 'A');
    assert_int_equal(fmq_digest_from_hex(&read, upper, &err), 0);
    assert_true(fmq_digest_equal(&digest, &read));
}

static void texts_that_are_no_digest_are_refused_and_change_nothing(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "", "bddd", DIGEST_OF_ABC "0",
        "gddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319",
        "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d5231 "};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        fmq_error_t err;
        fmq_digest_t digest = fmq_digest_of("x", 1), before = digest;
        assert_int_equal(fmq_digest_from_hex(&digest, wrong[i], &err), -1);
        assert_int_equal(err.code, FMQ_ERR_FORMAT);
        assert_true(fmq_digest_equal(&digest, &before));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_texts_have_their_known_digests),
        cmocka_unit_test(pieces_give_the_digest_of_the_whole),
        cmocka_unit_test(hexadecimal_reads_back_in_either_case),
        cmocka_unit_test(texts_that_are_no_digest_are_refused_and_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
