/*
 * test_config_fuzz.c - no text whatever crashes, hangs or leaks in the configuration.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/base/clock.h"
#include "fedmq/base/config.h"
#include "fedmq/base/rng.h"

static const char *const files[] = {"testcase",   "gpt2",    "llama",    "dolly_lda",
                                    "dolly_meta", "fedbiot", "mistakes", "gsm8k_distributed"};

static char *contents(const char *name, size_t *size)
{
    char path[512];
    (void)snprintf(path, sizeof path, FEDMQ_SOURCE_DIR "/tests/base/config/%s.yaml", name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = malloc(65536);
    *size = fread(text, 1, 65536, file);
    (void)fclose(file);
    return text;
}

/* Parses, checks and dumps; a text without mistakes must survive its dump. */
static void run(const char *text, size_t size)
{
    fmq_error_t err;
    fmq_config_t *config = fmq_config_new();
    assert_non_null(config);
    int rc = fmq_config_parse(config, "fuzz", text, size, &err);
    (void)fmq_config_check(config, NULL, NULL, NULL);
    char *dump = fmq_config_dump(config, true, &err);
    assert_non_null(dump);
    if (rc == 0) {
        fmq_config_t *again = fmq_config_new();
        if (fmq_config_parse(again, "dump", dump, strlen(dump), &err) < 0)
            fail_msg("%s\nfrom\n%.*s\nvia\n%s", err.text, (int)size, text, dump);
        fmq_config_destroy(&again);
    }
    free(dump);
    fmq_config_destroy(&config);
}

static void truncated_files_are_read_or_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        size_t size;
        char *text = contents(files[i], &size);
        for (size_t cut = 0; cut <= size; cut += 7)
            run(text, cut);
        free(text);
    }
}

static void mutated_files_are_read_or_refused(void **state)
{
    (void)state;
    static const char alphabet[] = "[]{}(),:-?#&*!|>'\"%@`~ \n\t\\0123.eTrueNone\x01\xff\xc3";
    fmq_rng_t rng;
    fmq_rng_init(&rng, &(fmq_rng_name_t){.seed = 7, .purpose = FMQ_RNG_TEST});
    for (size_t round = 0; round < 1200; round++) {
        size_t size;
        char *text = contents(files[round % (sizeof files / sizeof *files)], &size);
        for (uint32_t edits = 1 + fmq_rng_below(&rng, 8); edits; edits--) {
            size_t at = fmq_rng_below(&rng, (uint32_t)size);
            size_t length = fmq_rng_below(&rng, 20);
            size_t to = fmq_rng_below(&rng, (uint32_t)size);
            if (fmq_rng_below(&rng, 3) == 0 && at + length <= size && to + length <= size)
                memmove(text + to, text + at, length); /* a piece of it elsewhere */
            else
                text[at] = alphabet[fmq_rng_below(&rng, sizeof alphabet - 1)];
        }
        run(text, size);
        free(text);
    }
}

static void random_pairs_are_read_or_refused(void **state)
{
    (void)state;
    static const char alphabet[] = "[]{}(),:'\"0123.eTrueNone_al \\\n";
    size_t count;
    fmq_rng_t rng;
    const fmq_key_t *keys = fmq_config_keys(&count);
    fmq_config_t *config = fmq_config_new();
    fmq_rng_init(&rng, &(fmq_rng_name_t){.seed = 8, .purpose = FMQ_RNG_TEST});
    for (int round = 0; round < 4000; round++) {
        char value[24], key[300];
        size_t size = fmq_rng_below(&rng, sizeof value);
        for (size_t i = 0; i < size; i++)
            value[i] = alphabet[fmq_rng_below(&rng, sizeof alphabet - 1)];
        value[size] = '\0';
        (void)snprintf(key, sizeof key, "%s%s%s", fmq_rng_below(&rng, 4) ? "" : "client_3.",
                       keys[fmq_rng_below(&rng, (uint32_t)count)].path,
                       fmq_rng_below(&rng, 4) ? "" : ".0.a");
        (void)fmq_config_set(config, key, value, NULL);
    }
    (void)fmq_config_check(config, NULL, NULL, NULL);
    fmq_config_destroy(&config);
}

/* Fills size bytes with piece over and over, and reads it. */
static double seconds_for(const char *head, const char *piece, size_t size)
{
    fmq_error_t err;
    char *text = malloc(size + 1);
    size_t used = strlen(head), length = strlen(piece);
    memcpy(text, head, used);
    while (used + length <= size) {
        memcpy(text + used, piece, length);
        used += length;
    }
    fmq_config_t *config = fmq_config_new();
    double start = fmq_clock_seconds();
    (void)fmq_config_parse(config, "large", text, used, &err);
    double seconds = fmq_clock_seconds() - start;
    fmq_config_destroy(&config);
    free(text);
    return seconds;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLOWER 10
#else
#define SLOWER 1
#endif

static void eighty_kilobytes_of_brackets_are_refused_at_once(void **state)
{
    (void)state;
    assert_true(seconds_for("", "[", 80000) < 0.05 * SLOWER);
    assert_true(seconds_for("", "{a: ", 80000) < 0.05 * SLOWER);
    assert_true(seconds_for("", "- ", 80000) < 0.05 * SLOWER);
    assert_true(seconds_for("", "? ", 80000) < 0.05 * SLOWER);
}

static void no_pattern_of_full_size_takes_long(void **state)
{
    (void)state;
    static const char *const pieces[][2] = {
        {"", "a"},       {"", "a: "},          {"", "a\n"},    {"", "a: 1\n"},
        {"[", "a,"},     {"[", "[],"},         {"{", "a: 1,"}, {"eval: {split: [", "{},"},
        {"", "'"},       {"", "\"\\x41\" "},   {"", "&a "},    {"", "!a "},
        {"", "#\n"},     {"a: |\n", " x\n"},   {"", "---\n"},  {"", "%YAML 1.1\n"},
        {"x: ", "(1, "}, {"x: [", "'(1)',"},   {"", "\r\n"},   {"", "\t"},
        {"", "*a,"},     {"", "\xef\xbb\xbf"}, {"a:", " \n"},  {"x: \"", "\\\n"}};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        double seconds = seconds_for(pieces[i][0], pieces[i][1], FMQ_CONFIG_FILE_MAX);
        if (seconds > 1.0 * SLOWER)
            fail_msg("'%s%s...': %.3f s", pieces[i][0], pieces[i][1], seconds);
    }
}

static void many_unknown_keys_are_answered_soon(void **state)
{
    (void)state;
    char *text = malloc(FMQ_CONFIG_FILE_MAX);
    size_t used = 0;
    for (int i = 0; i < 3000; i++)
        used += (size_t)sprintf(text + used,
                                "federate_client_number_of_all_the_clients_that_%d: 1\n", i);
    fmq_error_t err;
    fmq_config_t *config = fmq_config_new();
    double start = fmq_clock_seconds();
    assert_int_equal(fmq_config_parse(config, "many", text, used, &err), -1);
    assert_true(fmq_clock_seconds() - start < 1.0 * SLOWER);
    fmq_config_destroy(&config);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(truncated_files_are_read_or_refused),
        cmocka_unit_test(mutated_files_are_read_or_refused),
        cmocka_unit_test(random_pairs_are_read_or_refused),
        cmocka_unit_test(eighty_kilobytes_of_brackets_are_refused_at_once),
        cmocka_unit_test(no_pattern_of_full_size_takes_long),
        cmocka_unit_test(many_unknown_keys_are_answered_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
