/*
 * test_config_examples.c - files as FS-LLM's and FedBiOT's users have them load
 * unchanged and say what they say there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/base/config.h"

#define FOLDER FEDMQ_SOURCE_DIR "/tests/base/config/"

static fmq_config_t *loaded(const char *file)
{
    char path[512];
    fmq_error_t err = {0};
    fmq_config_t *config = fmq_config_new();
    assert_non_null(config);
    (void)snprintf(path, sizeof path, FOLDER "%s", file);
    if (fmq_config_load(config, path, &err) < 0)
        fail_msg("%s", err.text);
    return config;
}

static void runnable_examples_pass_the_check(void **state)
{
    (void)state;
    static const char *const files[] = {"testcase.yaml",   "gpt2.yaml",
                                        "llama.yaml",      "dolly_lda.yaml",
                                        "dolly_meta.yaml", "gsm8k_distributed.yaml"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        fmq_error_t err = {0};
        fmq_config_t *config = loaded(files[i]);
        if (fmq_config_check(config, stderr, NULL, &err) < 0)
            fail_msg("%s: %s", files[i], err.text);
        assert_true(fmq_config_int(config, "federate.client_num") > 0);
        fmq_config_destroy(&config);
        assert_null(config);
    }
}

static void values_of_a_file_are_read(void **state)
{
    (void)state;
    double real;
    int64_t whole;
    const char *text;
    fmq_config_t *config = loaded("llama.yaml");
    assert_true(fmq_config_bool(config, "use_gpu"));
    assert_int_equal(fmq_config_int(config, "llm.tok_len"), 650);
    assert_string_equal(fmq_config_text(config, "data.type"), "rosetta_alpaca@llm");
    assert_true(fmq_config_real(config, "train.optimizer.lr") == 3e-4);
    assert_int_equal(fmq_config_get_real(config, "train.optimizer.betas.1", &real, NULL), 0);
    assert_true(real == 0.95);
    assert_int_equal(fmq_config_get_real(config, "train.optimizer.eps", &real, NULL), 0);
    assert_true(real == 1e-8);
    assert_int_equal(fmq_config_size(config, "llm.adapter.args"), 1);
    assert_int_equal(fmq_config_get_int(config, "llm.adapter.args.0.r", &whole, NULL), 0);
    assert_int_equal(whole, 8);
    assert_int_equal(fmq_config_size(config, "llm.adapter.args.0.target_modules"), 2);
    assert_int_equal(
        fmq_config_get_text(config, "llm.adapter.args.0.target_modules.1", &text, NULL), 0);
    assert_string_equal(text, "v_proj");
    fmq_config_destroy(&config);
}

static void texts_with_python_literals_are_lists_and_numbers(void **state)
{
    (void)state;
    double real;
    int64_t whole;
    fmq_config_t *config = loaded("dolly_meta.yaml");
    assert_int_equal(fmq_config_size(config, "data.splits"), 3);
    assert_int_equal(fmq_config_get_real(config, "data.splits.0", &real, NULL), 0);
    assert_true(real == 0.98);
    assert_int_equal(fmq_config_get_int(config, "llm.adapter.args.0.r", &whole, NULL), 0);
    assert_int_equal(whole, 8);
    assert_true(fmq_config_real(config, "train.optimizer.lr") == 5e-4);
    fmq_config_destroy(&config);
}

static void old_names_set_the_new_keys(void **state)
{
    (void)state;
    fmq_config_t *config = loaded("gsm8k_distributed.yaml");
    assert_int_equal(fmq_config_int(config, "dataloader.batch_size"), 2);
    assert_false(fmq_config_bool(config, "dataloader.shuffle"));
    assert_false(fmq_config_bool(config, "dataloader.drop_last"));
    fmq_config_destroy(&config);
}

static void inline_client_nodes_change_that_client_only(void **state)
{
    (void)state;
    fmq_error_t err;
    fmq_config_t *config = loaded("gsm8k_distributed.yaml");
    fmq_config_t *first = fmq_config_for_client(config, 1, &err);
    fmq_config_t *second = fmq_config_for_client(config, 2, &err);
    assert_true(fmq_config_real(config, "train.optimizer.lr") == 0.0003);
    assert_true(fmq_config_real(first, "train.optimizer.lr") == 0.001);
    assert_true(fmq_config_real(second, "train.optimizer.lr") == 0.0003);
    assert_string_equal(fmq_config_text(first, "train.optimizer.type"), "Adam");
    assert_true(fmq_config_differs_for(config, 1));
    assert_false(fmq_config_differs_for(config, 2));
    fmq_config_destroy(&first);
    fmq_config_destroy(&second);
    fmq_config_destroy(&config);
}

static void fedbiot_can_run(void **state)
{
    (void)state;
    static const char *const files[] = {"fedbiot.yaml", "fedbiot_older.yaml"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        fmq_error_t err;
        fmq_config_t *config = loaded(files[i]);
        if (fmq_config_check(config, stderr, NULL, &err) < 0)
            fail_msg("%s", err.text);
        assert_true(fmq_config_bool(config, "llm.offsite_tuning.use"));
        fmq_config_destroy(&config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runnable_examples_pass_the_check),
        cmocka_unit_test(values_of_a_file_are_read),
        cmocka_unit_test(texts_with_python_literals_are_lists_and_numbers),
        cmocka_unit_test(old_names_set_the_new_keys),
        cmocka_unit_test(inline_client_nodes_change_that_client_only),
        cmocka_unit_test(fedbiot_can_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
