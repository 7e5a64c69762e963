/*
 * test_endpoint.c - forms of addresses, and the places that names stand for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fedmq/broker/endpoint.h"

static fmq_error_t err;

static void forms_are_told_apart_and_wrong_ones_refused(void **state)
{
    (void)state;
    static const char *const good[] = {
        "inproc://x", "tcp://127.0.0.1:1",    "tcp://localhost:65535",  "tcp://[::1]:50050",
        "tcp://*:7",  "tcp://node_01.site:7", "tcp://[fe80::1%eth0]:7", "tcp://eth0:*"};
    static const char *const bad[] = {"",
                                      "inproc://",
                                      "udp://127.0.0.1:1",
                                      "127.0.0.1:1",
                                      "tcp://127.0.0.1",
                                      "tcp://127.0.0.1:",
                                      "tcp://127.0.0.1:0",
                                      "tcp://127.0.0.1:65536",
                                      "tcp://127.0.0.1:1a",
                                      "tcp://:50050",
                                      "tcp://::1:50050",
                                      "tcp://[::1]",
                                      "tcp://[]:1",
                                      "tcp://a b:1",
                                      "tcp://a/b:1",
                                      "tcp://a;b:1"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(fmq_endpoint_check(good[i], &err), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(fmq_endpoint_check(bad[i], &err), -1);
        assert_int_equal(err.code, FMQ_ERR_CONFIG);
    }
    char text[2 * FMQ_ENDPOINT_MAX];
    memset(text, 'a', sizeof text);
    memcpy(text, "tcp://", 6);
    memcpy(text + sizeof text - 3, ":1", 3);
    assert_int_equal(fmq_endpoint_check(text, &err), -1);
    assert_int_equal(fmq_endpoint_check("tcp://::1:50050", &err), -1);
    assert_non_null(strstr(err.text, "brackets"));
}

static fmq_endpoint_t where;

static void resolve(const char *text, fmq_endpoint_use_t use)
{
    memset(&where, 0, sizeof where);
    assert_int_equal(fmq_endpoint_resolve(&where, text, use, &err), 0);
    assert_true(where.size > 0);
}

static void only_what_stays_on_this_machine_is_local(void **state)
{
    (void)state;
    resolve("inproc://x", FMQ_ENDPOINT_BIND);
    assert_true(where.local);
    resolve("tcp://127.0.0.1:1", FMQ_ENDPOINT_BIND);
    assert_true(where.local);
    assert_string_equal(where.places[0], "tcp://127.0.0.1:1");
    resolve("tcp://127.7.7.7:1", FMQ_ENDPOINT_BIND);
    assert_true(where.local);
    resolve("tcp://[::1]:*", FMQ_ENDPOINT_BIND);
    assert_true(where.local);
    assert_string_equal(where.places[0], "tcp://[::1]:*");
    resolve("tcp://[::ffff:127.0.0.1]:1", FMQ_ENDPOINT_BIND);
    assert_true(where.local);
    static const char *const beyond[] = {"tcp://10.0.0.1:1",
                                         "tcp://0.0.0.0:1",
                                         "tcp://*:1",
                                         "tcp://[::]:1",
                                         "tcp://128.0.0.1:1",
                                         "tcp://[::2]:1",
                                         "tcp://[::ffff:10.0.0.1]:1"};
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        resolve(beyond[i], FMQ_ENDPOINT_BIND);
        assert_false(where.local);
    }
}

static void names_are_judged_by_their_addresses(void **state)
{
    (void)state;
    resolve("tcp://localhost:50050", FMQ_ENDPOINT_CONNECT);
    assert_true(where.local);
    assert_string_equal(where.places[0], "tcp://127.0.0.1:50050");
    resolve("tcp://lo:50050", FMQ_ENDPOINT_BIND);
    assert_true(where.local);
    assert_string_equal(where.places[0], "tcp://127.0.0.1:50050");
    char own[128], text[FMQ_ENDPOINT_MAX];
    if (gethostname(own, sizeof own) == 0) {
        (void)snprintf(text, sizeof text, "tcp://%s:50050", own);
        if (fmq_endpoint_resolve(&where, text, FMQ_ENDPOINT_BIND, &err) == 0)
            assert_non_null(strchr("0123456789[", where.places[0][6]));
    }
    assert_int_equal(
        fmq_endpoint_resolve(&where, "tcp://127.evil.invalid:1", FMQ_ENDPOINT_BIND, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_NOTFOUND);
    assert_non_null(strstr(err.text, "127.evil.invalid"));
}

static void who_connects_everywhere_means_this_machine(void **state)
{
    (void)state;
    static const char *const all[] = {"tcp://0.0.0.0:5", "tcp://*:5", "tcp://[::]:5"};
    for (size_t i = 0; i < 3; i++) {
        resolve(all[i], FMQ_ENDPOINT_CONNECT);
        assert_string_equal(where.places[0], "tcp://127.0.0.1:5");
        assert_true(where.local);
    }
    assert_int_equal(fmq_endpoint_resolve(&where, "tcp://127.0.0.1:*", FMQ_ENDPOINT_CONNECT, &err),
                     -1);
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
}

static void an_interface_is_for_who_listens(void **state)
{
    (void)state;
    fmq_error_t why = {0};
    if (fmq_endpoint_resolve(&where, "tcp://lo:5", FMQ_ENDPOINT_CONNECT, &why) == 0)
        skip(); /* a host is called lo here */
    assert_int_equal(why.code, FMQ_ERR_NOTFOUND);
    assert_non_null(strstr(why.text, "interface"));
}

static void an_endpoint_is_written_from_host_and_port(void **state)
{
    (void)state;
    char out[FMQ_ENDPOINT_MAX];
    assert_int_equal(fmq_endpoint_write(out, "::1", 5, &err), 0);
    assert_string_equal(out, "tcp://[::1]:5");
    assert_int_equal(fmq_endpoint_write(out, "[::1]", 5, &err), 0);
    assert_string_equal(out, "tcp://[::1]:5");
    assert_int_equal(fmq_endpoint_write(out, "fe80::1%lo", 5, &err), 0);
    assert_string_equal(out, "tcp://[fe80::1%lo]:5");
    assert_int_equal(fmq_endpoint_write(out, "node01", 5, &err), 0);
    assert_string_equal(out, "tcp://node01:5");
    static const char *const bad[] = {"", "tcp://127.0.0.1", "127.0.0.1:50050", "node01:1", "a b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(fmq_endpoint_write(out, bad[i], 5, &err), -1);
        assert_int_equal(err.code, FMQ_ERR_CONFIG);
    }
    assert_int_equal(fmq_endpoint_write(out, "node01", 0, &err), -1);
    assert_string_equal(out, "tcp://node01:5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_are_told_apart_and_wrong_ones_refused),
        cmocka_unit_test(only_what_stays_on_this_machine_is_local),
        cmocka_unit_test(names_are_judged_by_their_addresses),
        cmocka_unit_test(who_connects_everywhere_means_this_machine),
        cmocka_unit_test(an_interface_is_for_who_listens),
        cmocka_unit_test(an_endpoint_is_written_from_host_and_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
