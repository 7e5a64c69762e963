/*
 * test_wire.c - headers of messages: round trips, the byte-level examples of
 * docs/protocol.md, and damaged bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/permission.h"
#include "broker/wire.h"
#include "tests/broker/mutation.h"

/* One of each type, with the values that docs/protocol.md uses. */
static fmq_message_t example(fmq_message_type_t type)
{
    fmq_message_t message = {.type = type,
                             .name = "client-1",
                             .audience = "server",
                             .topic = "report",
                             .role = FMQ_ROLE_CLIENT,
                             .incarnation = 7,
                             .session = 9,
                             .version = 300,
                             .step = 3,
                             .steps = 10,
                             .bytes = 300000,
                             .timeout_ms = 10000,
                             .ticket = 5,
                             .index = 1,
                             .chunks = 2,
                             .credit = 8,
                             .alive = true,
                             .code = FMQ_ERR_NOTFOUND,
                             .reason = "gone"};
    for (size_t i = 0; i < FMQ_DIGEST_SIZE; i++)
        message.digest.bytes[i] = (uint8_t)i;
    return message;
}

static void hex_of(const uint8_t *bytes, size_t size, char *out)
{
    for (size_t i = 0; i < size; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static char *read_text(const char *path)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = calloc(1, 1 << 20);
    assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
    (void)fclose(file);
    return text;
}

static void the_protocol_document_shows_the_bytes_of_each_message(void **state)
{
    (void)state;
    unsigned lacking = 0;
    char *document = read_text(FEDMQ_SOURCE_DIR "/docs/protocol.md");
    for (fmq_message_type_t type = FMQ_MESSAGE_HELLO; type < FMQ_MESSAGES_END; type++) {
        uint8_t bytes[FMQ_WIRE_HEADER_MAX];
        char line[4 * FMQ_WIRE_HEADER_MAX];
        fmq_message_t message = example(type);
        size_t size = fmq_message_encode(&message, bytes);
        int used = snprintf(line, sizeof line, "%-9s ", fmq_message_name(type));
        hex_of(bytes, size, line + used);
        if (!strstr(document, line)) {
            (void)fprintf(stderr, "docs/protocol.md lacks: %s\n", line);
            lacking++;
        }
    }
    free(document);
    assert_int_equal(lacking, 0);
}

static void every_message_comes_back_as_it_was_sent(void **state)
{
    (void)state;
    for (fmq_message_type_t type = FMQ_MESSAGE_HELLO; type < FMQ_MESSAGES_END; type++) {
        fmq_error_t err;
        uint8_t bytes[FMQ_WIRE_HEADER_MAX], again[FMQ_WIRE_HEADER_MAX];
        fmq_message_t message = example(type), read;
        size_t size = fmq_message_encode(&message, bytes);
        assert_true(size > 0);
        assert_int_equal(fmq_message_decode(&read, bytes, size, &err), 0);
        assert_int_equal(read.type, type);
        assert_int_equal(fmq_message_encode(&read, again), size);
        assert_memory_equal(again, bytes, size);
        for (size_t cut = 0; cut < size; cut++)
            assert_int_equal(fmq_message_decode(&read, bytes, cut, &err), -1);
        bytes[size] = 0;
        assert_int_equal(fmq_message_decode(&read, bytes, size + 1, &err), -1);
        assert_int_equal(err.code, FMQ_ERR_FORMAT);
    }
}

static void fields_arrive_where_they_belong(void **state)
{
    (void)state;
    uint8_t bytes[FMQ_WIRE_HEADER_MAX];
    fmq_message_t message = example(FMQ_MESSAGE_NOTE), read;
    size_t size = fmq_message_encode(&message, bytes);
    assert_int_equal(fmq_message_decode(&read, bytes, size, NULL), 0);
    assert_string_equal(read.name, "client-1");
    assert_string_equal(read.audience, "server");
    assert_string_equal(read.topic, "report");
    assert_int_equal(read.role, FMQ_ROLE_CLIENT);
    assert_true(read.version == 300);
    message = example(FMQ_MESSAGE_FETCH);
    size = fmq_message_encode(&message, bytes);
    assert_int_equal(fmq_message_decode(&read, bytes, size, NULL), 0);
    assert_int_equal(read.ticket, 5);
    assert_int_equal(read.index, 1);
    assert_int_equal(read.credit, 8);
    assert_true(fmq_digest_equal(&read.digest, &message.digest));
}

static void another_version_is_named_as_such(void **state)
{
    (void)state;
    fmq_error_t err;
    fmq_message_t read;
    assert_int_equal(fmq_message_decode(&read, "\x93\x02\xa1x\x00", 5, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "version 2"));
}

static void values_out_of_bounds_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[FMQ_WIRE_HEADER_MAX];
    fmq_message_t read, wrong[8];
    for (size_t i = 0; i < 8; i++)
        wrong[i] = example(i < 3 ? FMQ_MESSAGE_NOTE : i < 6 ? FMQ_MESSAGE_FETCH : FMQ_MESSAGE_GONE);
    strcpy(wrong[0].name, "Client 1");
    strcpy(wrong[1].audience, "@nobody");
    strcpy(wrong[2].topic, "");
    wrong[3].credit = FMQ_WIRE_CREDIT_MAX + 1;
    wrong[4].index = FMQ_OBJECT_CHUNKS_MAX + 1;
    strcpy(wrong[5].name, "*");
    wrong[6].code = (fmq_error_code_t)(FMQ_ERR_INTERNAL + 1);
    wrong[7].type = FMQ_MESSAGES_END;
    for (size_t i = 0; i < 8; i++) {
        size_t size = fmq_message_encode(&wrong[i], bytes);
        assert_int_equal(fmq_message_decode(&read, bytes, size, NULL), -1);
    }
}

static void damaged_headers_are_read_within_their_bytes(void **state)
{
    (void)state;
    mutation_t mutation = {.state = 77};
    for (int i = 0; i < 300000; i++) {
        uint8_t bytes[FMQ_WIRE_HEADER_MAX], damaged[FMQ_WIRE_HEADER_MAX + 8];
        fmq_message_t message = example((fmq_message_type_t)(1 + i % (FMQ_MESSAGES_END - 1))), read;
        size_t size = fmq_message_encode(&message, bytes);
        size_t left = mutation_apply(&mutation, damaged, sizeof damaged, bytes, size);
        uint8_t *exact = mutation_exact(damaged, left);
        if (fmq_message_decode(&read, exact, left, NULL) == 0) {
            /* What is accepted must be something that we could have said. */
            uint8_t again[FMQ_WIRE_HEADER_MAX];
            fmq_message_t twice;
            size_t used = fmq_message_encode(&read, again);
            assert_true(used > 0);
            assert_int_equal(fmq_message_decode(&twice, again, used, NULL), 0);
        }
        free(exact);
    }
}

static void roles_may_do_what_the_table_says(void **state)
{
    (void)state;
    assert_true(fmq_role_may_send(FMQ_ROLE_CLIENT, FMQ_MESSAGE_NOTE));
    assert_false(fmq_role_may_send(FMQ_ROLE_OBSERVER, FMQ_MESSAGE_NOTE));
    assert_false(fmq_role_may_send(FMQ_ROLE_SERVER, FMQ_MESSAGE_WELCOME));
    assert_false(fmq_role_may_send((fmq_role_t)99, FMQ_MESSAGE_PING));
    assert_true(fmq_role_may_reach(FMQ_ROLE_CLIENT, FMQ_ROLE_SERVER));
    assert_false(fmq_role_may_reach(FMQ_ROLE_CLIENT, FMQ_ROLE_CLIENT));
    assert_false(fmq_role_may_reach(FMQ_ROLE_CLIENT, FMQ_ROLE_EVALUATOR));
    assert_true(fmq_role_may_reach(FMQ_ROLE_SPLITTER, FMQ_ROLE_CLIENT));
    assert_false(fmq_role_may_address(FMQ_ROLE_CLIENT, "*"));
    assert_false(fmq_role_may_address(FMQ_ROLE_CLIENT, "@client"));
    assert_true(fmq_role_may_address(FMQ_ROLE_CLIENT, "@server"));
    assert_true(fmq_role_may_address(FMQ_ROLE_CLIENT, "server"));
    assert_false(fmq_role_may_address(FMQ_ROLE_OBSERVER, "server"));
    assert_true(fmq_role_may_address(FMQ_ROLE_SERVER, "*"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_protocol_document_shows_the_bytes_of_each_message),
        cmocka_unit_test(every_message_comes_back_as_it_was_sent),
        cmocka_unit_test(fields_arrive_where_they_belong),
        cmocka_unit_test(another_version_is_named_as_such),
        cmocka_unit_test(values_out_of_bounds_are_refused),
        cmocka_unit_test(damaged_headers_are_read_within_their_bytes),
        cmocka_unit_test(roles_may_do_what_the_table_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
