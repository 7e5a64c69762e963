/*
 * test_docs.c - the reference pages say what the program does.
 *
 * After a change of the key table, FEDMQ_WRITE_DOCS=1 build/dev/tests/base/test_docs
 * writes the generated part of docs/configuration.md anew.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/base/config.h"
#include "tests/base/contents.h"

#define PAGE   FEDMQ_SOURCE_DIR "/docs/configuration.md"
#define MARKER "tests/base/test_docs -->\n\n"

static char *generated(void)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_int_equal(fmq_config_print_keys(out, "markdown", NULL), 0);
    (void)fclose(out);
    return text;
}

static void the_key_reference_is_up_to_date(void **state)
{
    (void)state;
    char *page = contents(PAGE);
    char *table = generated();
    char *written = strstr(page, MARKER);
    assert_non_null(written);
    written += strlen(MARKER);
    if (getenv("FEDMQ_WRITE_DOCS")) {
        FILE *out = fopen(PAGE, "wb");
        assert_non_null(out);
        (void)fprintf(out, "%.*s%s", (int)(written - page), page, table);
        assert_int_equal(fclose(out), 0);
    } else if (strcmp(written, table) != 0) {
        fail_msg("docs/configuration.md is out of date: run FEDMQ_WRITE_DOCS=1 on this test");
    }
    free(page);
    free(table);
}

/* The examples of mistakes on the page are what the program really says. */
static void the_mistakes_on_the_page_are_real(void **state)
{
    (void)state;
    static const char text[] = "\n\n\n\n\n\nfederate:\n  client_nums: 3\n\n\n\n\n\n\n\n\n\n\n"
                               "train:\n  optimizer:\n    lr: -1\n";
    char *report = NULL;
    size_t size = 0;
    fmq_config_t *config = fmq_config_new();
    (void)fmq_config_parse(config, "gpt2.yaml", text, sizeof text - 1, NULL);
    (void)fmq_config_set(config, "federate.client_num", "3", NULL);
    (void)fmq_config_set(config, "federate.mode", "standalon", NULL);
    FILE *out = open_memstream(&report, &size);
    assert_int_equal(fmq_config_check(config, out, NULL, NULL), -1);
    (void)fclose(out);
    char *page = contents(PAGE);
    if (!strstr(page, report))
        fail_msg("the page does not hold:\n%s", report);
    free(page);
    free(report);
    fmq_config_destroy(&config);
}

static void every_exit_status_is_documented(void **state)
{
    (void)state;
    char *page = contents(FEDMQ_SOURCE_DIR "/docs/exit-codes.md");
    size_t rows = 0;
    for (int code = FMQ_OK; code <= FMQ_ERR_INTERNAL; code++) {
        char row[64];
        (void)snprintf(row, sizeof row, "\n| %d | %s | ",
                       fmq_error_exit_status((fmq_error_code_t)code),
                       fmq_error_name((fmq_error_code_t)code));
        if (!strstr(page, row))
            fail_msg("no row begins with: %s", row + 1);
    }
    for (const char *at = page; (at = strstr(at, "\n| ")); at++)
        rows++;
    assert_int_equal(rows, FMQ_ERR_INTERNAL + 2); /* with the head */
    free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_key_reference_is_up_to_date),
        cmocka_unit_test(the_mistakes_on_the_page_are_real),
        cmocka_unit_test(every_exit_status_is_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
