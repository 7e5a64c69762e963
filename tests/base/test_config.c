/*
 * test_config.c - defaults, KEY VALUE pairs, clients, copies and dumps of a config.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fedmq/base/config.h"

static fmq_config_t *fresh(void)
{
    fmq_config_t *config = fmq_config_new();
    assert_non_null(config);
    return config;
}

static fmq_config_t *parsed(const char *text)
{
    fmq_error_t err = {0};
    fmq_config_t *config = fresh();
    if (fmq_config_parse(config, "test.yaml", text, strlen(text), &err) < 0)
        fail_msg("%s", err.text);
    return config;
}

static void set(fmq_config_t *config, const char *key, const char *value)
{
    fmq_error_t err = {0};
    if (fmq_config_set(config, key, value, &err) < 0)
        fail_msg("%s", err.text);
}

static void refuse(fmq_config_t *config, const char *key, const char *value, const char *message)
{
    fmq_error_t err = {0};
    assert_int_equal(fmq_config_set(config, key, value, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
    if (!strstr(err.text, message))
        fail_msg("'%s' is not in: %s", message, err.text);
}

static void a_byte_order_mark_and_line_ends_of_windows_change_nothing(void **state)
{
    (void)state;
    fmq_config_t *config = parsed("\xEF\xBB\xBFseed: 7\r\ndata:\r\n  root: here\r\n");
    assert_int_equal(fmq_config_int(config, "seed"), 7);
    assert_string_equal(fmq_config_text(config, "data.root"), "here");
    fmq_config_destroy(&config);
}

static void text_in_utf_16_is_called_that(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t size;
    } cases[] = {{"\xFF\xFEs\0", 4}, {"\xFE\xFF\0s", 4}, {"s\0e\0", 4}, {"\0s\0e", 4}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fmq_error_t err = {0};
        fmq_config_t *config = fresh();
        assert_int_equal(fmq_config_parse(config, "test.yaml", cases[i].text, cases[i].size, &err),
                         -1);
        assert_non_null(strstr(err.text, "UTF-16"));
        fmq_config_destroy(&config);
    }
}

static void defaults_are_those_of_fs_llm(void **state)
{
    (void)state;
    const char *text;
    fmq_config_t *config = fresh();
    assert_int_equal(fmq_config_int(config, "federate.total_round_num"), 50);
    assert_true(fmq_config_real(config, "train.optimizer.lr") == 0.1);
    assert_string_equal(fmq_config_text(config, "federate.method"), "FedAvg");
    assert_string_equal(fmq_config_text(config, "data.splitter"), "");
    assert_false(fmq_config_bool(config, "llm.adapter.use"));
    assert_true(fmq_config_bool(config, "dataloader.shuffle"));
    assert_int_equal(fmq_config_int(config, "llm.tok_len"), 128);
    assert_int_equal(fmq_config_size(config, "eval.report"), 4);
    assert_int_equal(fmq_config_get_text(config, "eval.split.1", &text, NULL), 0);
    assert_string_equal(text, "val");
    assert_false(fmq_config_given(config, "llm.tok_len"));
    assert_false(fmq_config_given(config, "llm"));
    assert_string_equal(fmq_config_origin(config, "llm.tok_len"), "default");
    fmq_config_destroy(&config);
    assert_null(config);
    fmq_config_destroy(&config);
}

static void pairs_take_python_and_yaml_spellings(void **state)
{
    (void)state;
    double real;
    const char *text;
    fmq_config_t *config = fresh();
    set(config, "use_gpu", "True");
    assert_true(fmq_config_bool(config, "use_gpu"));
    set(config, "use_gpu", "no");
    assert_false(fmq_config_bool(config, "use_gpu"));
    set(config, "train.optimizer.lr", "3e-4");
    assert_true(fmq_config_real(config, "train.optimizer.lr") == 3e-4);
    set(config, "train.optimizer.lr", "1");
    assert_true(fmq_config_real(config, "train.optimizer.lr") == 1);
    set(config, "federate.client_num", "3.0");
    assert_int_equal(fmq_config_int(config, "federate.client_num"), 3);
    set(config, "federate.client_num", "1_0");
    assert_int_equal(fmq_config_int(config, "federate.client_num"), 10);
    set(config, "train.optimizer.betas", "(0.9, 0.95)");
    assert_int_equal(fmq_config_get_real(config, "train.optimizer.betas.0", &real, NULL), 0);
    assert_true(real == 0.9);
    set(config, "eval.split", "[val]");
    assert_int_equal(fmq_config_size(config, "eval.split"), 1);
    set(config, "eval.split", "['test', \"train\"]");
    assert_int_equal(fmq_config_get_text(config, "eval.split.1", &text, NULL), 0);
    assert_string_equal(text, "train");
    set(config, "train.optimizer", "{'lr': 0.5, 'momentum': 0.9}");
    assert_true(fmq_config_real(config, "train.optimizer.lr") == 0.5);
    assert_string_equal(fmq_config_text(config, "train.optimizer.type"), "SGD");
    fmq_config_destroy(&config);
}

static void texts_of_pairs_are_taken_as_they_stand(void **state)
{
    (void)state;
    static const char *const same[] = {"007",   "a: b # c", "[x",   "true", "gpt2@huggingface_llm",
                                       "C:\\x", "(1, 2)",   "it's", "- x",  ""};
    fmq_config_t *config = fresh();
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        set(config, "expname", same[i]);
        assert_string_equal(fmq_config_text(config, "expname"), same[i]);
    }
    set(config, "expname", "'quoted'");
    assert_string_equal(fmq_config_text(config, "expname"), "quoted");
    set(config, "expname", "None");
    assert_string_equal(fmq_config_text(config, "expname"), "");
    fmq_config_destroy(&config);
}

static void the_newest_source_wins_and_is_remembered(void **state)
{
    (void)state;
    fmq_config_t *config = parsed("llm:\n  tok_len: 200\n");
    assert_string_equal(fmq_config_origin(config, "llm.tok_len"), "test.yaml:2:3");
    assert_true(fmq_config_given(config, "llm"));
    set(config, "seed", "1");
    set(config, "llm.tok_len", "300");
    assert_int_equal(fmq_config_int(config, "llm.tok_len"), 300);
    assert_string_equal(fmq_config_origin(config, "llm.tok_len"), "command line:2:1");
    fmq_config_destroy(&config);
}

static void items_of_lists_can_be_set_alone(void **state)
{
    (void)state;
    int64_t whole;
    double real;
    fmq_config_t *config = parsed("llm: {adapter: {args: [{r: 8, lora_alpha: 16}]}}\n");
    set(config, "llm.adapter.args.0.r", "4");
    set(config, "llm.adapter.args.0.lora_dropout", "0.25");
    assert_int_equal(fmq_config_get_int(config, "llm.adapter.args.0.r", &whole, NULL), 0);
    assert_int_equal(whole, 4);
    assert_int_equal(fmq_config_get_int(config, "llm.adapter.args.0.lora_alpha", &whole, NULL), 0);
    assert_int_equal(whole, 16);
    assert_int_equal(fmq_config_get_real(config, "llm.adapter.args.0.lora_dropout", &real, NULL),
                     0);
    assert_true(real == 0.25);
    set(config, "data.splits.0", "0.7");
    assert_int_equal(fmq_config_get_real(config, "data.splits.0", &real, NULL), 0);
    assert_true(real == 0.7);
    refuse(config, "llm.adapter.args.1.r", "4", "no such item");
    refuse(config, "llm.adapter.args.0.rr", "4", "did you mean 'r'");
    refuse(config, "data.splits.7", "4", "no such item");
    fmq_config_destroy(&config);
}

static void wrong_pairs_change_nothing(void **state)
{
    (void)state;
    fmq_config_t *config = fresh();
    refuse(config, "llm.tok_len", "long", "command line:1:1: llm.tok_len: 'long' is not a whole");
    refuse(config, "llm.tok_len", "99999999999999999999", "too large");
    refuse(config, "llm.tok_len", "0", "out of range: 1 to");
    refuse(config, "llm.tok_len", "None", "'None' is not a whole number");
    refuse(config, "llm.tok_len", "[1]", "a list where a whole number is expected");
    refuse(config, "train.optimizer.lr", "nan", "not a finite number");
    refuse(config, "train.optimizer.lr", "1e999", "not a finite number");
    refuse(config, "use_gpu", "1", "neither True nor False");
    refuse(config, "eval.split", "val", "a single value where a list");
    refuse(config, "eval.split", "[dev]", "'dev' is none of train|val|test");
    refuse(config, "eval.split", "[val", "not YAML");
    refuse(config, "federate.mode", "standalon", "did you mean 'standalone'?");
    refuse(config, "train", "5", "where a group of keys is expected");
    refuse(config, "train.optimiser.lr", "5", "did you mean 'train.optimizer'?");
    refuse(config, "llm..tok_len", "5", "cannot be a key");
    refuse(config, "", "5", "cannot be a key");
    refuse(config, "lr", "5", "did you mean 'train.optimizer.lr'?");
    assert_int_equal(fmq_config_int(config, "llm.tok_len"), 128);
    assert_true(fmq_config_real(config, "train.optimizer.lr") == 0.1);
    assert_int_equal(fmq_config_size(config, "eval.split"), 2);
    assert_false(fmq_config_given(config, "llm"));
    fmq_config_destroy(&config);
}

static void clients_have_overrides_from_files_and_pairs(void **state)
{
    (void)state;
    double real;
    fmq_error_t err;
    fmq_config_t *config = parsed("dataloader: {batch_size: 2}\nclient_2: {seed: 5}\n");
    assert_int_equal(
        fmq_config_load_clients(config, FEDMQ_SOURCE_DIR "/tests/base/config/clients.yaml", &err),
        0);
    set(config, "client_2.train.optimizer.lr", "0.01");
    set(config, "client_2.llm.adapter.args.0.r", "3");
    fmq_config_t *one = fmq_config_for_client(config, 1, &err);
    fmq_config_t *two = fmq_config_for_client(config, 2, &err);
    fmq_config_t *three = fmq_config_for_client(config, 3, &err);
    assert_true(fmq_config_real(one, "train.optimizer.lr") == 0.1);
    assert_int_equal(fmq_config_get_real(one, "train.optimizer.betas.1", &real, &err), 0);
    assert_true(real == 0.6);
    assert_int_equal(fmq_config_int(two, "seed"), 5);
    assert_true(fmq_config_real(two, "train.optimizer.lr") == 0.01);
    assert_true(fmq_config_given(two, "llm.adapter.args.0.r"));
    assert_int_equal(fmq_config_int(two, "dataloader.batch_size"), 2);
    assert_int_equal(fmq_config_int(three, "dataloader.batch_size"), 7);
    assert_int_equal(fmq_config_int(config, "dataloader.batch_size"), 2);
    assert_false(fmq_config_given(config, "train.optimizer.betas"));
    fmq_config_destroy(&one);
    fmq_config_destroy(&two);
    fmq_config_destroy(&three);
    fmq_config_destroy(&config);
}

static void client_mistakes_are_found_while_loading(void **state)
{
    (void)state;
    fmq_error_t err;
    static const char text[] =
        "client_1: {llm: {tok_length: 3}}\nclient_0: {seed: 1}\nclient_2: 5\n";
    fmq_config_t *config = fresh();
    assert_int_equal(fmq_config_parse(config, "c.yaml", text, sizeof text - 1, &err), -1);
    assert_non_null(strstr(err.text, "c.yaml:1:18: unknown key 'llm.tok_length'"));
    assert_int_equal(fmq_config_check(config, NULL, NULL, &err), -1);
    assert_non_null(strstr(err.text, "4 mistakes")); /* and federate.client_num is 0 */
    fmq_config_destroy(&config);

    config = fresh();
    assert_int_equal(
        fmq_config_load_clients(config, FEDMQ_SOURCE_DIR "/tests/base/config/testcase.yaml", &err),
        -1);
    assert_non_null(strstr(err.text, "a client file holds client_1"));
    assert_false(fmq_config_given(config, "use_gpu"));
    fmq_config_destroy(&config);
}

static void a_clone_is_independent(void **state)
{
    (void)state;
    fmq_error_t err;
    fmq_config_t *config = parsed("llm: {tok_len: 200}\nclient_1: {seed: 4}\n");
    fmq_config_t *clone = fmq_config_clone(config);
    set(config, "llm.tok_len", "300");
    set(config, "client_1.seed", "5");
    refuse(config, "nonsense", "1", "unknown key 'nonsense'");
    assert_int_equal(fmq_config_int(clone, "llm.tok_len"), 200);
    fmq_config_destroy(&config);
    fmq_config_t *view = fmq_config_for_client(clone, 1, &err);
    assert_int_equal(fmq_config_int(view, "seed"), 4);
    assert_string_equal(fmq_config_origin(clone, "llm.tok_len"), "test.yaml:1:7");
    set(clone, "federate.client_num", "1");
    assert_int_equal(fmq_config_check(clone, stderr, NULL, &err), 0);
    fmq_config_destroy(&view);
    fmq_config_destroy(&clone);
}

static void open_values_are_converted_on_request(void **state)
{
    (void)state;
    int64_t whole = 7;
    double real = 7;
    bool truth = true;
    const char *text = "before";
    fmq_error_t err;
    fmq_config_t *config =
        parsed("train:\n  optimizer: {momentum: 0.5, eps: '1e-3', nesterov: no}\n"
               "llm: {adapter: {args: [{target_modules: 'q_proj|v', r: x, bias: None}]}}\n");
    assert_int_equal(fmq_config_get_real(config, "train.optimizer.momentum", &real, &err), 0);
    assert_true(real == 0.5);
    assert_int_equal(fmq_config_get_real(config, "train.optimizer.eps", &real, &err), 0);
    assert_true(real == 1e-3);
    assert_int_equal(fmq_config_get_bool(config, "train.optimizer.nesterov", &truth, &err), 0);
    assert_false(truth);
    assert_int_equal(fmq_config_get_int(config, "train.optimizer.momentum", &whole, &err), -1);
    assert_string_equal(err.text,
                        "test.yaml:2:15: train.optimizer.momentum: '0.5' is not a whole number");
    assert_int_equal(fmq_config_get_int(config, "llm.adapter.args.0.r", &whole, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
    assert_int_equal(fmq_config_get_bool(config, "llm.adapter.args.0.r", &truth, &err), -1);
    assert_int_equal(fmq_config_get_text(config, "train.optimizer.momentum", &text, &err), -1);
    assert_int_equal(fmq_config_get_text(config, "llm.adapter.args.0.bias", &text, &err), 0);
    assert_string_equal(text, "");
    text = "before";
    assert_int_equal(fmq_config_get_text(config, "train.optimizer.betas", &text, &err), -1);
    assert_string_equal(err.text, "key 'train.optimizer.betas' is not given");
    assert_int_equal(fmq_config_get_text(config, "llm.adapter.args.0", &text, &err), -1);
    assert_non_null(strstr(err.text, "a single value is expected"));
    assert_int_equal(whole, 7);
    assert_string_equal(text, "before");
    assert_int_equal(fmq_config_get_text(config, "llm.adapter.args.0.target_modules", &text, &err),
                     0);
    assert_string_equal(text, "q_proj|v");
    assert_string_equal(fmq_config_child(config, "llm.adapter.args.0", 1), "r");
    assert_null(fmq_config_child(config, "llm.adapter.args.0", 3));
    assert_int_equal(fmq_config_size(config, "nowhere"), 0);
    fmq_config_destroy(&config);
}

/* The dump of a config, loaded into a fresh one, dumps to the same text. */
static void assert_dump_loads_again(const fmq_config_t *config, bool only_given)
{
    fmq_error_t err = {0};
    char *text = fmq_config_dump(config, only_given, &err);
    assert_non_null(text);
    fmq_config_t *again = parsed(text);
    char *second = fmq_config_dump(again, only_given, &err);
    assert_string_equal(text, second);
    char *whole = fmq_config_dump(config, false, &err);
    char *whole_again = fmq_config_dump(again, false, &err);
    assert_string_equal(whole, whole_again);
    free(text);
    free(second);
    free(whole);
    free(whole_again);
    fmq_config_destroy(&again);
}

/* Runs ask(config) in a process of its own, which must abort. */
static void assert_aborts(void (*ask)(const fmq_config_t *config))
{
    int status = 0;
    fmq_config_t *config = fresh();
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        (void)fclose(stderr);
        ask(config);
        _exit(0);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    fmq_config_destroy(&config);
}

static void ask_undeclared(const fmq_config_t *config)
{
    (void)fmq_config_int(config, "llm.tok_length");
}

static void ask_other_type(const fmq_config_t *config)
{
    (void)fmq_config_real(config, "llm.tok_len");
}

static void ask_group(const fmq_config_t *config)
{
    (void)fmq_config_text(config, "train");
}

static void asking_for_what_is_not_declared_aborts(void **state)
{
    (void)state;
    assert_aborts(ask_undeclared);
    assert_aborts(ask_other_type);
    assert_aborts(ask_group);
}

static void dumps_load_again_to_the_same_values(void **state)
{
    (void)state;
    static const char *const files[] = {
        "testcase", "gpt2", "llama", "dolly_lda", "dolly_meta", "gsm8k_distributed", "fedbiot"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[512];
        fmq_error_t err = {0};
        fmq_config_t *config = fresh();
        (void)snprintf(path, sizeof path, FEDMQ_SOURCE_DIR "/tests/base/config/%s.yaml", files[i]);
        assert_int_equal(fmq_config_load(config, path, &err), 0);
        assert_dump_loads_again(config, false);
        assert_dump_loads_again(config, true);
        fmq_config_destroy(&config);
    }
}

static void a_dump_keeps_odd_texts_and_types(void **state)
{
    (void)state;
    static const char *const odd[] = {"",
                                      "True",
                                      "12",
                                      "1e3",
                                      "null",
                                      "~",
                                      "- a",
                                      "a: b",
                                      "#x",
                                      "\"quoted\" \\ 'x'",
                                      "line\nbreak\ttab",
                                      "(1, 2)",
                                      "[a",
                                      "@x",
                                      "\xc3\xa4\xe2\x82\xac",
                                      " lead",
                                      "trail "};
    fmq_error_t err = {0};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        fmq_config_t *config = fresh();
        assert_int_equal(fmq_config_set(config, "expname", odd[i], &err), 0);
        assert_string_equal(fmq_config_text(config, "expname"), odd[i]);
        char *text = fmq_config_dump(config, true, &err);
        fmq_config_t *again = parsed(text);
        assert_string_equal(fmq_config_text(again, "expname"), odd[i]);
        free(text);
        fmq_config_destroy(&again);
        fmq_config_destroy(&config);
    }
}

static void the_readmes_word_for_deepspeed_is_taken(void **state)
{
    (void)state;
    fmq_config_t *config = fmq_config_new();
    set(config, "llm.accelation.use", "True");
    set(config, "llm.accelation.ds_config", "ds.json");
    assert_true(fmq_config_bool(config, "llm.deepspeed.use"));
    assert_string_equal(fmq_config_text(config, "llm.deepspeed.ds_config"), "ds.json");
    fmq_config_destroy(&config);
}

static void a_dump_of_defaults_only_is_empty_and_old_names_are_gone(void **state)
{
    (void)state;
    fmq_error_t err;
    fmq_config_t *config = fresh();
    char *text = fmq_config_dump(config, true, &err);
    assert_string_equal(text, "");
    free(text);
    set(config, "data.batch_size", "2");
    set(config, "dataloader.batch_size", "4");
    text = fmq_config_dump(config, true, &err);
    assert_string_equal(text, "dataloader:\n  batch_size: 4\n");
    free(text);
    fmq_config_destroy(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_byte_order_mark_and_line_ends_of_windows_change_nothing),
        cmocka_unit_test(text_in_utf_16_is_called_that),
        cmocka_unit_test(defaults_are_those_of_fs_llm),
        cmocka_unit_test(pairs_take_python_and_yaml_spellings),
        cmocka_unit_test(texts_of_pairs_are_taken_as_they_stand),
        cmocka_unit_test(the_newest_source_wins_and_is_remembered),
        cmocka_unit_test(items_of_lists_can_be_set_alone),
        cmocka_unit_test(wrong_pairs_change_nothing),
        cmocka_unit_test(clients_have_overrides_from_files_and_pairs),
        cmocka_unit_test(client_mistakes_are_found_while_loading),
        cmocka_unit_test(a_clone_is_independent),
        cmocka_unit_test(open_values_are_converted_on_request),
        cmocka_unit_test(asking_for_what_is_not_declared_aborts),
        cmocka_unit_test(dumps_load_again_to_the_same_values),
        cmocka_unit_test(a_dump_keeps_odd_texts_and_types),
        cmocka_unit_test(a_dump_of_defaults_only_is_empty_and_old_names_are_gone),
        cmocka_unit_test(the_readmes_word_for_deepspeed_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
