/*
 * test_catalog.c - publications and audiences.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/audience.h"
#include "broker/catalog.h"

static fmq_message_t publish_of(uint32_t number, const char *readers)
{
    fmq_message_t message = {.type = FMQ_MESSAGE_PUBLISH,
                             .digest = fmq_digest_of(&number, sizeof number),
                             .bytes = 10,
                             .chunks = 1};
    (void)snprintf(message.audience, sizeof message.audience, "%s", readers);
    return message;
}

static void names_and_audiences_are_told_apart(void **state)
{
    (void)state;
    assert_true(fmq_name_valid("client-12"));
    assert_false(fmq_name_valid(""));
    assert_false(fmq_name_valid("*"));
    assert_false(fmq_name_valid("Client"));
    assert_false(
        fmq_name_valid("0123456789012345678901234567890123456789012345678901234567890123"));
    assert_true(fmq_audience_valid("*"));
    assert_true(fmq_audience_valid("@splitter"));
    assert_false(fmq_audience_valid("@"));
    assert_false(fmq_audience_valid("@servers"));
    assert_false(fmq_audience_valid("a*"));
    assert_int_equal(fmq_audience_role("@evaluator"), FMQ_ROLE_EVALUATOR);
    assert_int_equal(fmq_audience_role("evaluator"), -1);
    assert_true(fmq_audience_includes("@client", "x", "client"));
    assert_false(fmq_audience_includes("client", "x", "client"));
    assert_string_equal(fmq_role_name((fmq_role_t)42), "unknown");
}

static void a_publication_gathers_readers(void **state)
{
    (void)state;
    fmq_error_t err;
    fmq_catalog_t *catalog = fmq_catalog_new();
    fmq_message_t message = publish_of(1, "client-1");
    fmq_publication_t *made = fmq_catalog_put(catalog, "server", FMQ_ROLE_SERVER, &message, &err);
    assert_non_null(made);
    assert_false(fmq_publication_is_many(made));
    assert_true(fmq_publication_is_for(made, "client-1", FMQ_ROLE_CLIENT));
    assert_false(fmq_publication_is_for(made, "client-2", FMQ_ROLE_CLIENT));
    assert_true(fmq_publication_is_for(made, "server", FMQ_ROLE_SERVER));
    message = publish_of(1, "@evaluator");
    assert_ptr_equal(fmq_catalog_put(catalog, "server", FMQ_ROLE_SERVER, &message, &err), made);
    assert_true(fmq_publication_is_many(made));
    assert_true(fmq_publication_is_for(made, "e", FMQ_ROLE_EVALUATOR));
    message.bytes = 11;
    assert_null(fmq_catalog_put(catalog, "server", FMQ_ROLE_SERVER, &message, &err));
    assert_int_equal(err.code, FMQ_ERR_MISMATCH);
    assert_int_equal(fmq_catalog_size(catalog), 1);
    fmq_catalog_remove(catalog, "server", &message.digest);
    fmq_catalog_remove(catalog, "server", &message.digest);
    assert_null(fmq_catalog_find(catalog, "server", &message.digest));
    fmq_catalog_destroy(&catalog);
}

static void a_reader_beyond_the_owners_reach_is_none(void **state)
{
    (void)state;
    fmq_catalog_t *catalog = fmq_catalog_new();
    fmq_message_t message = publish_of(1, "client-2");
    fmq_publication_t *made = fmq_catalog_put(catalog, "client-1", FMQ_ROLE_CLIENT, &message, NULL);
    assert_false(fmq_publication_is_for(made, "client-2", FMQ_ROLE_CLIENT));
    fmq_catalog_destroy(&catalog);
}

static void what_is_not_announced_again_becomes_doubtful(void **state)
{
    (void)state;
    fmq_catalog_t *catalog = fmq_catalog_new();
    fmq_message_t one = publish_of(1, "server"), two = publish_of(2, "server");
    (void)fmq_catalog_put(catalog, "client-1", FMQ_ROLE_CLIENT, &one, NULL);
    (void)fmq_catalog_put(catalog, "client-1", FMQ_ROLE_CLIENT, &two, NULL);
    (void)fmq_catalog_put(catalog, "client-2", FMQ_ROLE_CLIENT, &two, NULL);
    assert_null(fmq_catalog_any(catalog, NULL, 1000));
    fmq_catalog_doubt(catalog, "client-1", 100);
    (void)fmq_catalog_put(catalog, "client-1", FMQ_ROLE_CLIENT, &one, NULL);
    assert_null(fmq_catalog_any(catalog, NULL, 100));
    const fmq_publication_t *doubtful = fmq_catalog_any(catalog, NULL, 101);
    assert_non_null(doubtful);
    assert_true(fmq_digest_equal(&doubtful->digest, &two.digest));
    assert_string_equal(doubtful->owner, "client-1");
    fmq_catalog_remove(catalog, doubtful->owner, &doubtful->digest);
    assert_null(fmq_catalog_any(catalog, NULL, 101));
    assert_non_null(fmq_catalog_any(catalog, "client-1", 0));
    assert_null(fmq_catalog_any(catalog, "client-3", 0));
    fmq_catalog_destroy(&catalog);
}

static void owners_and_publications_meet_their_limits(void **state)
{
    (void)state;
    fmq_error_t err;
    fmq_catalog_t *catalog = fmq_catalog_new();
    for (uint32_t i = 0; i <= FMQ_CATALOG_FEW; i++) {
        fmq_message_t message = publish_of(i, "server");
        bool taken = fmq_catalog_put(catalog, "c", FMQ_ROLE_CLIENT, &message, &err) != NULL;
        assert_int_equal(taken, i < FMQ_CATALOG_FEW);
    }
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
    for (uint32_t i = 0; i <= FMQ_CATALOG_READERS_MAX; i++) {
        char reader[16];
        (void)snprintf(reader, sizeof reader, "r%u", i);
        fmq_message_t message = publish_of(5000, reader);
        bool taken = fmq_catalog_put(catalog, "s", FMQ_ROLE_SERVER, &message, &err) != NULL;
        assert_int_equal(taken, i < FMQ_CATALOG_READERS_MAX);
    }
    fmq_catalog_destroy(&catalog);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_audiences_are_told_apart),
        cmocka_unit_test(a_publication_gathers_readers),
        cmocka_unit_test(a_reader_beyond_the_owners_reach_is_none),
        cmocka_unit_test(what_is_not_announced_again_becomes_doubtful),
        cmocka_unit_test(owners_and_publications_meet_their_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
