/*
 * test_config_mistakes.c - every mistake of a source is reported, at its place, at once.
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

/* What the check prints about a text.  The caller frees it. */
static char *report_of(const char *text, size_t size)
{
    char *report = NULL;
    size_t length = 0;
    fmq_error_t err;
    FILE *out = open_memstream(&report, &length);
    fmq_config_t *config = fmq_config_new();
    assert_non_null(out);
    assert_non_null(config);
    (void)fmq_config_parse(config, "t.yaml", text, size, &err);
    (void)fmq_config_set(config, "federate.client_num", "2", NULL);
    (void)fmq_config_check(config, out, NULL, &err);
    (void)fclose(out);
    fmq_config_destroy(&config);
    return report;
}

static void assert_report(const char *text, const char *expected)
{
    char *report = report_of(text, strlen(text));
    assert_string_equal(report, expected);
    free(report);
}

static void assert_reported(const char *text, const char *part)
{
    char *report = report_of(text, strlen(text));
    if (!strstr(report, part))
        fail_msg("'%s' is not in: %s", part, report);
    free(report);
}

static void all_mistakes_of_a_file_come_at_once(void **state)
{
    (void)state;
    static const char *const expected[] = {
        "mistakes.yaml:2:3: unknown key 'federate.client_nums'; did you mean "
        "'federate.client_num'?",
        "mistakes.yaml:3:3: federate.total_round_num: 'many' is not a whole number",
        "mistakes.yaml:4:3: federate.method: 'FedAgv' is none of "
        "FedAvg|fedavg|FedOpt|fedopt|Ditto|ditto|local|global; did "
        "you mean 'FedAvg'?",
        "mistakes.yaml:5:3: federate.use_ss: fedmq does not act on 'True' here",
        "mistakes.yaml:9:3: data.splitter_args: 'alfa' is none of alpha; did you mean 'alpha'?",
        "mistakes.yaml:10:3: data.splits: it holds the shares",
        "mistakes.yaml:13:5: train.optimizer.lr: -1 is out of range: at least 0",
        "mistakes.yaml:14:5: unknown key 'train.optimizer.momentun'",
        "mistakes.yaml:15:3: unknown key 'train.optimizer_'; did you mean 'train.optimizer'?",
        "mistakes.yaml:16:3: train.local_update_steps: '2.5' is not a whole number",
        "mistakes.yaml:17:3: train.batch_or_epoch: a list where a text is expected",
        "mistakes.yaml:18:1: unknown key 'batch_size'; did you mean 'dataloader.batch_size'?",
        "mistakes.yaml:20:3: eval.metrics: a single value where a list is expected",
        "mistakes.yaml:22:3: key 'freq' is given twice in one map; its first value is at ",
        "mistakes.yaml:24:3: model.type: 5 is not a text; in quotes it would be one",
        "configuration: federate.client_num: it is 0",
    };
    const size_t count = sizeof expected / sizeof *expected;
    char *report = NULL;
    size_t size = 0;
    fmq_error_t err;
    FILE *out = open_memstream(&report, &size);
    fmq_config_t *config = fmq_config_new();
    assert_int_equal(
        fmq_config_load(config, FEDMQ_SOURCE_DIR "/tests/base/config/mistakes.yaml", &err), -1);
    assert_int_equal(fmq_config_check(config, out, NULL, &err), -1);
    assert_non_null(strstr(err.text, "16 mistakes in the configuration"));
    (void)fclose(out);
    const char *at = report; /* in the order of the file */
    for (size_t i = 0; i < count; i++) {
        const char *found = strstr(at, expected[i]);
        if (!found)
            fail_msg("'%s' is not in:\n%s", expected[i], at);
        at = found;
    }
    size_t lines = 0;
    for (const char *c = report; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, count);
    free(report);
    fmq_config_destroy(&config);
}

static void mistakes_of_several_sources_stay_apart(void **state)
{
    (void)state;
    static const char first[] = "seed: x\nverbose: y\nasyn: {use: True}\n";
    static const char second[] = "\n\n\nnothing: 1\nseed: z\nseed: 1\n";
    static const char expected[] = "a:1:1: seed: 'x' is not a whole number\n"
                                   "a:2:1: verbose: 'y' is not a whole number\n"
                                   "a:3:8: asyn.use: ";
    static const char *const later[] = {"\nb:4:1: unknown", "\nb:5:1: seed", "\nb:6:1: key 'seed'",
                                        "\ncommand line:1:1: llm.tok_len",
                                        "\nconfiguration: federate.client_num"};
    char *report = NULL;
    size_t size = 0;
    fmq_config_t *config = fmq_config_new();
    (void)fmq_config_parse(config, "a", first, sizeof first - 1, NULL);
    (void)fmq_config_parse(config, "b", second, sizeof second - 1, NULL);
    (void)fmq_config_set(config, "llm.tok_len", "x", NULL);
    FILE *out = open_memstream(&report, &size);
    (void)fmq_config_check(config, out, NULL, NULL);
    (void)fclose(out);
    assert_memory_equal(report, expected, sizeof expected - 1);
    const char *at = report;
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        const char *found = strstr(at, later[i]);
        if (!found)
            fail_msg("'%s' is not behind: %s", later[i] + 1, at);
        at = found;
    }
    free(report);
    fmq_config_destroy(&config);
}

static void right_values_beside_mistakes_are_kept(void **state)
{
    (void)state;
    static const char text[] = "llm: {tok_len: 77, nothing: 1}\nseed: x\nverbose: 2\n";
    fmq_error_t err;
    fmq_config_t *config = fmq_config_new();
    assert_int_equal(fmq_config_parse(config, "t", text, sizeof text - 1, &err), -1);
    assert_int_equal(fmq_config_int(config, "llm.tok_len"), 77);
    assert_int_equal(fmq_config_int(config, "verbose"), 2);
    assert_int_equal(fmq_config_int(config, "seed"), 0);
    fmq_config_destroy(&config);
}

static void yaml_that_a_configuration_does_not_need_is_refused(void **state)
{
    (void)state;
    assert_report("seed: &a 1\n", "t.yaml:1:7: anchor '&a': write the value out instead\n");
    assert_report("seed: 1\nverbose: *a\n",
                  "t.yaml:2:10: alias '*a': write the value out instead\n");
    assert_report("seed: !!int 1\n", "t.yaml:1:7: tag 'tag:yaml.org,2002:int': leave it out\n");
    assert_report("seed: 1\n---\nseed: 2\n", "t.yaml:2:1: a second document: only one is read\n");
    assert_report("llm:\n\ttok_len: 3\n", "t.yaml:2:1: a tab in the indentation: use spaces\n");
    assert_report("seed: 1\nseed: 2\n", "t.yaml:2:1: key 'seed' is given twice in one map; its "
                                        "first value is at t.yaml:1:1\n");
    assert_report("? [a]\n: 1\nseed: 3\n",
                  "t.yaml:1:3: a key must be a plain word of less than 256 bytes\n");
    assert_report("- a\n", "t.yaml:1:1: a configuration is a map of keys\n");
    assert_report("seed\n", "t.yaml:1:1: a configuration is a map of keys\n");
    assert_report("llm.tok_len: 4\n", "t.yaml:1:1: 'llm.tok_len': dotted keys are for the command "
                                      "line; nest them in a file\n");
    assert_reported("train: {optimizer: {betas: (0.9, 0.95)}}\n",
                    "t.yaml:1:28: a tuple within { } or [ ] ends at its comma");
    assert_reported("seed: [1\n", "t.yaml:2:1: this is not YAML: ");
    assert_reported("a: b: c\n", "t.yaml:1:5: this is not YAML: mapping values are not allowed");
    assert_reported("seed: \"\\0\"\n", "t.yaml:1:7: a text with a zero byte in it");
    assert_reported("seed: 1\nx: \xff\n", "t.yaml:2:4: this is not YAML: ");
}

static void empty_files_and_empty_groups_say_nothing(void **state)
{
    (void)state;
    assert_report("", "");
    assert_report("# only a comment\n", "");
    assert_report("---\n...\n", "");
    assert_report("train:\nllm: {}\ndata: ~\n", "");
    assert_report("\xef\xbb\xbfseed: 1\n", "");
    assert_report("expname: a\tb\n", "");
}

static void limits_are_enforced_with_their_numbers(void **state)
{
    (void)state;
    size_t size = FMQ_CONFIG_FILE_MAX + 1;
    char *text = malloc(size);
    memset(text, '\n', size);
    char *report = report_of(text, size);
    assert_string_equal(report, "t.yaml: 262145 bytes: a configuration has at most 262144\n");
    free(report);
    report = report_of(text, size - 1);
    assert_string_equal(report, "");
    free(report);
    memset(text, '[', 80000);
    report = report_of(text, 80000);
    assert_string_equal(report, "t.yaml:1:34: nested deeper than 32\n");
    free(report);
    size_t used = 0;
    used += (size_t)sprintf(text + used, "attack: {");
    for (int i = 0; i < 5000; i++)
        used += (size_t)sprintf(text + used, "k%d: 1, ", i);
    (void)sprintf(text + used, "}\n");
    assert_reported(text, "key 'k4096' is more than the 4096 that one map may have");
    free(text);
}

static void more_mistakes_than_kept_are_counted(void **state)
{
    (void)state;
    char text[8192];
    size_t used = 0;
    for (int i = 0; i < 150; i++)
        used += (size_t)sprintf(text + used, "nonsense_%d: 1\n", i);
    char *report = report_of(text, used);
    size_t lines = 0;
    for (const char *c = report; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, FMQ_CONFIG_MISTAKES_MAX + 1);
    assert_non_null(strstr(report, "(and 50 more)\n"));
    free(report);
}

static void control_characters_do_not_reach_the_report(void **state)
{
    (void)state;
    char *report = report_of("\"a\\e[2J\\nb\": 1\n", strlen("\"a\\e[2J\\nb\": 1\n"));
    for (const char *c = report; *c; c++)
        assert_true((unsigned char)*c >= 0x20 || *c == '\n');
    assert_non_null(strstr(report, "unknown key 'a [2J b'"));
    free(report);
}

static void misspelt_keys_meet_the_nearest_one(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"federate: {total_round_nums: 1}", "federate.total_round_num"},
        {"fedrate: {client_num: 1}", "federate"},
        {"llm: {adaptor: {use: True}}", "llm.adapter"},
        {"llm: {toklen: 3}", "llm.tok_len"},
        {"lr: 0.1", "train.optimizer.lr"},
        {"train: {lr: 0.1}", "train.optimizer.lr"},
        {"federate: {batch_size: 3}", "dataloader.batch_size"},
        {"data: {splittr: iid}", "data.splitter"},
        {"Seed: 3", "seed"},
        {"eval: {frequency: 3}", NULL},
        {"xyzzy: 3", NULL},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char expected[256];
        char *report = report_of(pairs[i][0], strlen(pairs[i][0]));
        (void)snprintf(expected, sizeof expected, "did you mean '%s'?",
                       pairs[i][1] ? pairs[i][1] : "");
        if (pairs[i][1] ? !strstr(report, expected) : strstr(report, "did you mean") != NULL)
            fail_msg("%s: %s", pairs[i][0], report);
        free(report);
    }
}

/* The error of a check whose report goes to out; NULL: nowhere. */
static fmq_error_t error_of(const char *text, const char *pair, FILE *out)
{
    fmq_error_t err = {0};
    fmq_config_t *config = fmq_config_new();
    assert_non_null(config);
    (void)fmq_config_parse(config, "t.yaml", text, strlen(text), NULL);
    (void)fmq_config_set(config, "federate.client_num", "2", NULL);
    if (pair)
        (void)fmq_config_set(config, "seed", pair, NULL);
    assert_int_equal(fmq_config_check(config, out, NULL, &err), -1);
    fmq_config_destroy(&config);
    return err;
}

static void the_error_counts_what_the_report_lists(void **state)
{
    (void)state;
    FILE *out = tmpfile();
    assert_non_null(out);
    assert_string_equal(error_of("seed: x\n", NULL, out).text, "1 mistake in 't.yaml'");
    assert_string_equal(error_of("seed: x\nverbose: y\n", NULL, out).text,
                        "2 mistakes in 't.yaml'");
    assert_string_equal(error_of("verbose: y\n", "z", out).text, "2 mistakes in the configuration");
    assert_string_equal(error_of("", "z", out).text, "1 mistake in the configuration");
    assert_string_equal(error_of("seed: x\n", NULL, NULL).text,
                        "1 mistake in 't.yaml'; first: t.yaml:1:1: seed: 'x' is not a whole "
                        "number");
    (void)fclose(out);
}

static void a_key_that_is_wrong_already_is_not_spoken_of_again(void **state)
{
    (void)state;
    static const char *const texts[] = {"federate: {client_num: -3}", "federate: 5",
                                        "federate: {client_num: x}\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *report = NULL;
        size_t size = 0;
        fmq_error_t err;
        FILE *out = open_memstream(&report, &size);
        fmq_config_t *config = fmq_config_new();
        (void)fmq_config_parse(config, "t.yaml", texts[i], strlen(texts[i]), NULL);
        (void)fmq_config_check(config, out, NULL, &err);
        (void)fclose(out);
        assert_string_equal(err.text, "1 mistake in 't.yaml'");
        if (strchr(report, '\n') != report + strlen(report) - 1)
            fail_msg("%s: %s", texts[i], report);
        free(report);
        fmq_config_destroy(&config);
    }
    char *report = report_of("data: {type: a.jsonl@llm, splitter: fair}", 41);
    assert_non_null(strstr(report, "data.splitter: 'fair'"));
    assert_null(strstr(report, "needs data.splitter"));
    free(report);
    report = report_of("fedmq: {heartbeat: soon, peer_timeout: 1}", 41);
    assert_non_null(strstr(report, "fedmq.heartbeat: 'soon'"));
    assert_null(strstr(report, "two heartbeats"));
    free(report);
}

static void files_that_cannot_be_read_are_mistakes(void **state)
{
    (void)state;
    fmq_error_t err;
    fmq_config_t *config = fmq_config_new();
    assert_int_equal(fmq_config_load(config, "/nowhere/x.yaml", &err), -1);
    assert_int_equal(err.code, FMQ_ERR_NOTFOUND);
    assert_non_null(strstr(err.text, "cannot open configuration '/nowhere/x.yaml'"));
    assert_int_equal(fmq_config_load(config, "/tmp", &err), -1);
    assert_int_equal(err.code, FMQ_ERR_IO);
    assert_int_equal(fmq_config_load(config, "/dev/zero", &err), -1);
    assert_non_null(strstr(err.text, "at most 262144"));
    assert_int_equal(fmq_config_set(config, "federate.client_num", "1", &err), 0);
    assert_int_equal(fmq_config_check(config, NULL, NULL, &err), -1);
    assert_non_null(strstr(err.text, "3 mistakes"));
    fmq_config_destroy(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_mistakes_of_a_file_come_at_once),
        cmocka_unit_test(mistakes_of_several_sources_stay_apart),
        cmocka_unit_test(right_values_beside_mistakes_are_kept),
        cmocka_unit_test(yaml_that_a_configuration_does_not_need_is_refused),
        cmocka_unit_test(empty_files_and_empty_groups_say_nothing),
        cmocka_unit_test(limits_are_enforced_with_their_numbers),
        cmocka_unit_test(more_mistakes_than_kept_are_counted),
        cmocka_unit_test(control_characters_do_not_reach_the_report),
        cmocka_unit_test(misspelt_keys_meet_the_nearest_one),
        cmocka_unit_test(the_error_counts_what_the_report_lists),
        cmocka_unit_test(a_key_that_is_wrong_already_is_not_spoken_of_again),
        cmocka_unit_test(files_that_cannot_be_read_are_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
