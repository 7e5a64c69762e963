/*
 * test_config_scalar.c - the grammar of values, and Python's literals.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/config/reader.h"
#include "base/config/scalar.h"

static void texts_are_of_the_kind_they_look_like(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        fmq_scalar_kind_t kind;
    } cases[] = {
        {"", FMQ_SCALAR_NULL},     {"~", FMQ_SCALAR_NULL},     {"None", FMQ_SCALAR_NULL},
        {"True", FMQ_SCALAR_BOOL}, {"off", FMQ_SCALAR_BOOL},   {"tRUE", FMQ_SCALAR_TEXT},
        {"0", FMQ_SCALAR_INT},     {"-12", FMQ_SCALAR_INT},    {"+3", FMQ_SCALAR_INT},
        {"1_000", FMQ_SCALAR_INT}, {"_1", FMQ_SCALAR_TEXT},    {"1_", FMQ_SCALAR_TEXT},
        {"010", FMQ_SCALAR_TEXT},  {"0x10", FMQ_SCALAR_TEXT},  {"1:30", FMQ_SCALAR_TEXT},
        {"1.", FMQ_SCALAR_REAL},   {".5", FMQ_SCALAR_REAL},    {"-.5e+3", FMQ_SCALAR_REAL},
        {"3e-4", FMQ_SCALAR_REAL}, {"1e", FMQ_SCALAR_TEXT},    {"e3", FMQ_SCALAR_TEXT},
        {".", FMQ_SCALAR_TEXT},    {"-", FMQ_SCALAR_TEXT},     {"nan", FMQ_SCALAR_TEXT},
        {"inf", FMQ_SCALAR_TEXT},  {".inf", FMQ_SCALAR_TEXT},  {"1 2", FMQ_SCALAR_TEXT},
        {" 1", FMQ_SCALAR_TEXT},   {"1.2.3", FMQ_SCALAR_TEXT}, {"0.0.0.0", FMQ_SCALAR_TEXT},
        {"gpt2", FMQ_SCALAR_TEXT}, {"00.5", FMQ_SCALAR_REAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (fmq_scalar_kind(cases[i].text) != cases[i].kind)
            fail_msg("'%s' is of kind %d", cases[i].text, (int)fmq_scalar_kind(cases[i].text));
}

static void integers_are_exact_or_refused(void **state)
{
    (void)state;
    int64_t value = 5;
    assert_int_equal(fmq_scalar_int("9223372036854775807", &value), 0);
    assert_true(value == INT64_MAX);
    assert_int_equal(fmq_scalar_int("-9223372036854775808", &value), 0);
    assert_true(value == INT64_MIN);
    assert_int_equal(fmq_scalar_int("1e3", &value), 0);
    assert_int_equal(value, 1000);
    assert_int_equal(fmq_scalar_int("9223372036854775808", &value), -1);
    assert_int_equal(fmq_scalar_int("1e17", &value), -1);
    assert_int_equal(fmq_scalar_int("2.5", &value), -1);
    assert_int_equal(fmq_scalar_int("x", &value), -1);
    assert_int_equal(value, 1000);
}

static void reals_are_finite(void **state)
{
    (void)state;
    double value = 5;
    assert_int_equal(fmq_scalar_real("-1_0.5e-1", &value), 0);
    assert_true(value == -1.05);
    assert_int_equal(fmq_scalar_real("7", &value), 0);
    assert_true(value == 7);
    assert_int_equal(fmq_scalar_real("1e400", &value), -1);
    assert_int_equal(fmq_scalar_real("nan", &value), -1);
    assert_int_equal(fmq_scalar_real("0x1p3", &value), -1);
    assert_true(value == 7);
    char many[200];
    memset(many, '1', sizeof many - 1);
    many[sizeof many - 1] = '\0';
    assert_int_equal(fmq_scalar_real(many, &value), -1);
}

static void python_literals_become_trees(void **state)
{
    (void)state;
    fmq_node_t *node =
        fmq_literal_read(" [ {'r': 8, \"names\": ('a', 'b\\'c',), 'x': None}, () , -1.5e3,]");
    assert_non_null(node);
    assert_int_equal(node->kind, FMQ_NODE_LIST);
    assert_int_equal(node->size, 3);
    assert_string_equal(fmq_node_find(node, "0.r")->text, "8");
    assert_string_equal(fmq_node_find(node, "0.names.1")->text, "b'c");
    assert_true(fmq_node_find(node, "0.names.1")->quoted);
    assert_int_equal(fmq_node_find(node, "1")->size, 0);
    assert_null(fmq_node_find(node, "3"));
    assert_null(fmq_node_find(node, "0.names.x"));
    assert_null(fmq_node_find(node, "0.r.s"));
    fmq_node_destroy(&node);
    node = fmq_literal_read("((1))");
    assert_int_equal(node->kind, FMQ_NODE_SCALAR);
    fmq_node_destroy(&node);
    node = fmq_literal_read("(1,)");
    assert_int_equal(node->kind, FMQ_NODE_LIST);
    fmq_node_destroy(&node);
}

static void what_is_no_literal_is_left_alone(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "a",
                                        "(q|v)_proj",
                                        "[a]",
                                        "(1",
                                        "[1, 2",
                                        "{'a' 1}",
                                        "{1: 2}",
                                        "1 + 2",
                                        "[1] x",
                                        "'open",
                                        "'\\x41'",
                                        "'end\\",
                                        "[,]",
                                        "(,)",
                                        "[1,,2]",
                                        "{'a': 1, 'a': 2}",
                                        "__import__('os')",
                                        "true",
                                        "nan"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        fmq_node_t *node = fmq_literal_read(texts[i]);
        if (node)
            fail_msg("'%s' was read", texts[i]);
    }
    char deep[200];
    memset(deep, '[', 100);
    memset(deep + 100, ']', 99);
    deep[199] = '\0';
    assert_null(fmq_literal_read(deep));
}

static void values_are_equal_by_meaning(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool equal;
    } cases[] = {
        {"1", "1.0", true},
        {"True", "True", true},
        {"[1, 'a']", "(1.0, 'a')", true},
        {"{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}", true},
        {"{'a': 1}", "{'b': 1}", false},
        {"[1]", "[1, 1]", false},
        {"[]", "{}", false},
        {"'1'", "2", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fmq_node_t *a = fmq_literal_read(cases[i].a), *b = fmq_literal_read(cases[i].b);
        assert_int_equal(fmq_node_equal(a, b), cases[i].equal);
        fmq_node_t *copy = fmq_node_clone(a);
        assert_true(fmq_node_equal(a, copy));
        fmq_node_destroy(&copy);
        fmq_node_destroy(&a);
        fmq_node_destroy(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_of_the_kind_they_look_like),
        cmocka_unit_test(integers_are_exact_or_refused),
        cmocka_unit_test(reals_are_finite),
        cmocka_unit_test(python_literals_become_trees),
        cmocka_unit_test(what_is_no_literal_is_left_alone),
        cmocka_unit_test(values_are_equal_by_meaning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
