/*
 * test_config_changes.c - where two configs differ, and whether a resumed run may.
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

typedef struct {
    char text[4096];
} list_t;

static void take(void *argument, const fmq_config_change_t *change)
{
    static const char *const names[] = {"same", "more", "free"};
    list_t *list = argument;
    size_t used = strlen(list->text);
    (void)snprintf(list->text + used, sizeof list->text - used, "%s %s>%s %s\n", change->key,
                   change->from, change->to, names[change->resume]);
}

static fmq_config_t *config_of(const char *text)
{
    fmq_error_t err = {0};
    fmq_config_t *config = fmq_config_new();
    if (fmq_config_parse(config, "t", text, strlen(text), &err) < 0)
        fail_msg("%s", err.text);
    return config;
}

static void expect(const char *from, const char *to, const char *changes)
{
    fmq_error_t err;
    list_t list = {""};
    fmq_config_t *a = config_of(from), *b = config_of(to);
    assert_int_equal(fmq_config_visit_changes(a, b, take, &list, &err), 0);
    assert_string_equal(list.text, changes);
    fmq_config_destroy(&a);
    fmq_config_destroy(&b);
}

static void equal_values_are_no_change_however_they_are_written(void **state)
{
    (void)state;
    expect("", "", "");
    expect("seed: 0", "", "");
    expect("train: {optimizer: {lr: 1e-3, eps: 1}}", "train: {optimizer: {eps: 1.0, lr: 0.001}}",
           "");
    expect("llm: {adapter: {args: [{r: 4}]}}", "llm: {adapter: {args: \"[{'r': 4}]\"}}", "");
}

static void each_change_says_both_values_and_whether_it_may_be(void **state)
{
    (void)state;
    expect("train: {optimizer: {lr: 0.1}}", "train: {optimizer: {lr: 0.2}}",
           "train.optimizer.lr 0.1>0.2 same\n");
    expect("federate: {client_num: 3, total_round_num: 5}",
           "federate: {client_num: 4, total_round_num: 9}",
           "federate.client_num 3>4 more\nfederate.total_round_num 5>9 free\n");
    expect("data: {root: a}", "data: {root: 'b c'}", "data.root a>\"b c\" free\n");
}

static void what_is_added_to_a_group_or_in_the_map_of_a_list_is_named_itself(void **state)
{
    (void)state;
    expect("", "train: {optimizer: {momentum: 0.9}}",
           "train.optimizer.momentum nothing>0.9 same\n");
    expect("train: {optimizer: {momentum: 0.9}}", "",
           "train.optimizer.momentum 0.9>nothing same\n");
    expect("llm: {adapter: {args: [{r: 4, lora_alpha: 8}]}}",
           "llm: {adapter: {args: [{r: 5, lora_alpha: 8, bias: none}]}}",
           "llm.adapter.args.0.r 4>5 same\nllm.adapter.args.0.bias nothing>none same\n");
    expect("data: {splits: [0.8, 0.1, 0.1]}", "data: {splits: [0.9, 0.1, 0.0]}",
           "data.splits [0.8, 0.1, 0.1]>[0.9, 0.1, 0.0] same\n");
}

static void keys_without_effect_do_not_count(void **state)
{
    (void)state;
    expect("", "cfg_file: x\ndistribute: {data_file: x}", "");
}

static void what_one_client_is_told_is_compared_too(void **state)
{
    (void)state;
    expect("client_2: {train: {optimizer: {lr: 0.5}}}", "",
           "client_2.train.optimizer.lr 0.5>0.1 same\n");
    expect("", "client_2: {train: {optimizer: {lr: 0.5}}}",
           "client_2.train.optimizer.lr 0.1>0.5 same\n");
    expect("client_2: {train: {optimizer: {lr: 0.1}}}", "", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_values_are_no_change_however_they_are_written),
        cmocka_unit_test(each_change_says_both_values_and_whether_it_may_be),
        cmocka_unit_test(what_is_added_to_a_group_or_in_the_map_of_a_list_is_named_itself),
        cmocka_unit_test(keys_without_effect_do_not_count),
        cmocka_unit_test(what_one_client_is_told_is_compared_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
