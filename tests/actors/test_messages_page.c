/*
 * test_messages_page.c - docs/runs.md shows the notes as the program has them:
 * every note, every key in its order, its type, and what numbers mean.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actors/protocol/tables.h"
#include "fedmq/actors/messages.h"
#include "fedmq/broker/link.h"
#include "fedmq/broker/state.h"
#include "messages_page.h"
#include "tests/base/contents.h"

#define PAGE   FEDMQ_SOURCE_DIR "/docs/runs.md"
#define HEADER FEDMQ_SOURCE_DIR "/include/fedmq/actors/messages.h"

static size_t count(const char *text, const char *what)
{
    size_t size = 0;
    for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
        size++;
    return size;
}

/* The section "### `task`, ..." up to the next heading; the caller frees it. */
static char *section_of(const char *page, const char *topic)
{
    char heading[64];
    (void)snprintf(heading, sizeof heading, "\n### `%s`, ", topic);
    const char *begin = strstr(page, heading);
    if (!begin)
        fail_msg("docs/runs.md has no section '%s'", heading + 1);
    const char *end = strstr(begin + 1, "\n##");
    char *section = strdup(begin);
    section[(end ? (size_t)(end - begin) : strlen(begin))] = '\0';
    return section;
}

/* tests/actors/message_tables writes the page anew when it is not so. */
static void the_page_is_what_the_tables_say(void **state)
{
    (void)state;
    char *page = contents(PAGE), *expected = messages_page(page);
    assert_non_null(expected);
    if (strcmp(page, expected) != 0)
        fail_msg("docs/runs.md does not show the messages as actors/protocol/messages.c has them: "
                 "run build/dev/tests/actors/message_tables");
    size_t tables = 0;
    while (fmq_message_table(tables))
        tables++;
    assert_int_equal(count(page, "\n### `"), tables);
    free(expected);
    free(page);
}

/* A note that is in the header has a table that is compared. */
static void every_note_of_the_header_has_a_table(void **state)
{
    (void)state;
    char *header = contents(HEADER);
    size_t tables = 0;
    for (const fmq_fields_t *table; (table = fmq_message_table(tables)); tables++) {
        char codec[64], line[64];
        (void)snprintf(codec, sizeof codec, "\nFMQ_MESSAGE_CODEC(%s)", table->name);
        (void)snprintf(line, sizeof line, "\n *   %-8s ", table->name);
        assert_non_null(strstr(header, codec));
        if (!strstr(header, line))
            fail_msg("messages.h does not say what note '%s' is", table->name);
    }
    assert_int_equal(count(header, "\nFMQ_MESSAGE_CODEC("), tables);
    free(header);
}

static void codecs_have_the_numbers_of_the_page(void **state)
{
    (void)state;
    char *page = contents(PAGE), text[128] = "";
    for (int codec = FMQ_CODEC_F32; codec <= FMQ_CODEC_BF16; codec++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d %s",
                       codec ? ", " : "", codec, fmq_codec_name((fmq_codec_t)codec));
    assert_string_equal(text, "0 f32, 1 f16, 2 bf16");
    char *section = section_of(page, "task");
    assert_non_null(strstr(section, text));
    free(section);
    free(page);
}

/* Puts the example's value at a field of a note. */
static void set_example(const fmq_field_t *field, void *at)
{
    static const char run[] = "0123456789abcdef0123456789abcdef";
    const uint32_t word = field->kind == FMQ_FIELD_CHOICE    ? 1
                          : strcmp(field->key, "round") == 0 ? 2
                                                             : 3;
    const uint64_t wide = strcmp(field->key, "serial") == 0 ? 18 : 3;
    const double real = 1.5;
    switch (field->kind) {
    case FMQ_FIELD_RUN:
        memcpy(at, run, sizeof run);
        break;
    case FMQ_FIELD_U32:
    case FMQ_FIELD_CHOICE:
        memcpy(at, &word, sizeof word);
        break;
    case FMQ_FIELD_U64:
        memcpy(at, &wide, sizeof wide);
        break;
    case FMQ_FIELD_BOOL:
        *(bool *)at = true;
        break;
    case FMQ_FIELD_REAL:
        memcpy(at, &real, sizeof real);
        break;
    case FMQ_FIELD_REASON:
    case FMQ_FIELD_REMARK:
        strcpy(at, "why");
        break;
    case FMQ_FIELD_DIGEST:
        for (uint8_t i = 0; i < FMQ_DIGEST_SIZE; i++)
            ((uint8_t *)at)[i] = i;
        break;
    case FMQ_FIELD_METRICS:
        assert_int_equal(fmq_metrics_set(at, "train_total", 7, NULL), 0);
        break;
    }
}

static void the_examples_are_the_bytes_that_are_sent(void **state)
{
    (void)state;
    char *page = contents(PAGE);
    unsigned lacking = 0;
    for (size_t i = 0; fmq_message_table(i); i++) {
        const fmq_fields_t *table = fmq_message_table(i);
        if (strcmp(table->name, "task") != 0 && strcmp(table->name, "report") != 0)
            continue;
        static _Alignas(16) char note[FMQ_FIELDS_STRUCT_MAX];
        static unsigned char bytes[FMQ_NOTE_MAX];
        static char line[2 * FMQ_NOTE_MAX + 16];
        memset(note, 0, sizeof note);
        for (size_t k = 0; k < table->size; k++)
            set_example(&table->fields[k], note + table->fields[k].offset);
        size_t size = fmq_fields_encode(table, note, bytes, sizeof bytes, NULL);
        int used = snprintf(line, sizeof line, "\n%-6s ", table->name);
        for (size_t k = 0; k < size; k++)
            used += snprintf(line + used, 3, "%02x", bytes[k]);
        if (strstr(page, line))
            continue;
        (void)fprintf(stderr, "docs/runs.md lacks:%s\n", line);
        lacking++;
    }
    free(page);
    assert_int_equal(lacking, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_is_what_the_tables_say),
        cmocka_unit_test(every_note_of_the_header_has_a_table),
        cmocka_unit_test(codecs_have_the_numbers_of_the_page),
        cmocka_unit_test(the_examples_are_the_bytes_that_are_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
