/*
 * test_config_keys.c - the table itself, and how it is printed and explained.
 */
#include <ctype.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/config/config_private.h"
#include "base/config/keys.h"
#include "base/config/merge.h"

static void keys_are_sorted_and_found(void **state)
{
    (void)state;
    size_t count;
    const fmq_key_t *keys = fmq_config_keys(&count);
    assert_true(count > 250);
    for (size_t i = 0; i < count; i++) {
        assert_ptr_equal(fmq_key_find(keys[i].path), &keys[i]);
        assert_true(strlen(keys[i].path) < FMQ_KEY_PATH_MAX);
        if (i && strcmp(keys[i - 1].path, keys[i].path) >= 0)
            fail_msg("'%s' is behind '%s'", keys[i].path, keys[i - 1].path);
    }
    assert_null(fmq_key_find("train"));
    assert_null(fmq_key_find(""));
    assert_true(fmq_key_is_group("train"));
    assert_true(fmq_key_is_group("llm.offsite_tuning.emu_align"));
    assert_false(fmq_key_is_group("train.optimizer.lr"));
    assert_false(fmq_key_is_group("tra"));
    assert_string_equal(fmq_key_open_above("train.optimizer.x")->path, "train.optimizer");
    assert_string_equal(fmq_key_open_above("attack.a.b.c")->path, "attack");
    assert_null(fmq_key_open_above("train.x"));
    assert_null(fmq_key_open_above("x"));
}

static void every_default_is_a_right_value_of_its_key(void **state)
{
    (void)state;
    size_t count;
    const fmq_key_t *keys = fmq_config_keys(&count);
    for (size_t i = 0; i < count; i++) {
        char wrong[FMQ_ERROR_TEXT_MAX] = "";
        fmq_node_t *node = fmq_config_default_of(&keys[i]);
        assert_non_null(node);
        if (keys[i].type != FMQ_KEY_NODE)
            fmq_merge_judge(&keys[i], NULL, node, wrong, sizeof wrong);
        if (*wrong)
            fail_msg("%s: %s", keys[i].path, wrong);
        fmq_node_destroy(&node);
    }
}

static void every_key_has_one_line_of_help_that_is_a_sentence(void **state)
{
    (void)state;
    size_t count;
    const fmq_key_t *keys = fmq_config_keys(&count);
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(keys[i].help);
        if (length < 8 || length > 110 || keys[i].help[length - 1] != '.' ||
            strchr(keys[i].help, '\n'))
            fail_msg("%s: '%s'", keys[i].path, keys[i].help);
    }
}

static void old_names_have_the_type_and_default_of_the_new(void **state)
{
    (void)state;
    size_t count, renamed = 0;
    const fmq_key_t *keys = fmq_config_keys(&count);
    for (size_t i = 0; i < count; i++) {
        const char *path = fmq_key_renamed(keys[i].path);
        const fmq_key_t *key = path ? fmq_key_find(path) : NULL;
        assert_true(!path || key);
        if (!key)
            continue;
        renamed++;
        assert_int_equal(keys[i].type, key->type);
        if (*keys[i].fallback) /* FS-LLM's data.loader is empty unless given */
            assert_string_equal(keys[i].fallback, key->fallback);
    }
    assert_int_equal(renamed, 10);
}

static void keys_of_every_section_are_declared_with_their_status(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        fmq_key_status_t status;
    } known[] = {
        {"backend", FMQ_KEY_HARMLESS},
        {"federate.client_idx_for_local_train", FMQ_KEY_ACTED_ON},
        {"federate.unseen_clients_rate", FMQ_KEY_ACTED_ON},
        {"distribute.grpc_compression", FMQ_KEY_HARMLESS},
        {"asyn.use", FMQ_KEY_NOT_ACTED_ON},
        {"aggregator.BFT_args", FMQ_KEY_HARMLESS},
        {"quantization.nbits", FMQ_KEY_HARMLESS},
        {"sgdmf.use", FMQ_KEY_NOT_ACTED_ON},
        {"fedprox.mu", FMQ_KEY_ACTED_ON},
        {"data.splitter_args", FMQ_KEY_ACTED_ON},
        {"dataloader.pin_memory", FMQ_KEY_HARMLESS},
        {"train.scheduler.type", FMQ_KEY_ACTED_ON},
        {"grad.grad_accum_count", FMQ_KEY_ACTED_ON},
        {"early_stop.improve_indicator_mode", FMQ_KEY_ACTED_ON},
        {"llm.adapter.mv_to_cpu", FMQ_KEY_ACTED_ON},
        {"llm.offsite_tuning.emu_align.train.initial_update_rounds", FMQ_KEY_ACTED_ON},
        {"llm.fedrlhf.train.batch_or_epoch", FMQ_KEY_HARMLESS},
        {"llm.adapter.grouping.round", FMQ_KEY_HARMLESS},
        {"llm.offsite_tuning.llm_generated.ratio", FMQ_KEY_ACTED_ON},
        {"fedmq.round_deadline", FMQ_KEY_ACTED_ON},
        {"fedmq.save_journal", FMQ_KEY_ACTED_ON},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const fmq_key_t *key = fmq_key_find(known[i].path);
        if (!key || key->status != known[i].status)
            fail_msg("%s", known[i].path);
    }
}

static char *printed(const char *format)
{
    char *text = NULL;
    size_t size = 0;
    fmq_error_t err;
    FILE *out = open_memstream(&text, &size);
    assert_int_equal(fmq_config_print_keys(out, format, &err), 0);
    (void)fclose(out);
    return text;
}

static void the_table_prints_as_json_that_parses(void **state)
{
    (void)state;
    size_t count;
    const fmq_key_t *keys = fmq_config_keys(&count);
    char *text = printed("json");
    json_t *array = json_loads(text, 0, NULL);
    assert_non_null(array);
    assert_int_equal(json_array_size(array), count);
    for (size_t i = 0; i < count; i++) {
        json_t *object = json_array_get(array, i);
        assert_string_equal(json_string_value(json_object_get(object, "key")), keys[i].path);
        assert_string_equal(json_string_value(json_object_get(object, "default")),
                            keys[i].fallback);
    }
    json_decref(array);
    free(text);
}

static void every_key_is_one_row_of_markdown_and_is_in_the_text(void **state)
{
    (void)state;
    size_t count, rows = 0;
    const fmq_key_t *keys = fmq_config_keys(&count);
    char *markdown = printed("markdown");
    char *text = printed("text");
    for (const char *at = markdown; (at = strstr(at, "\n| `")); at++)
        rows++;
    assert_int_equal(rows, count);
    for (size_t i = 0; i < count; i++) {
        char row[2 * FMQ_KEY_PATH_MAX];
        (void)snprintf(row, sizeof row, "\n| `%s` |", keys[i].path);
        assert_non_null(strstr(markdown, row));
        assert_non_null(strstr(text, keys[i].help));
    }
    free(markdown);
    free(text);
}

static void unknown_formats_are_refused(void **state)
{
    (void)state;
    fmq_error_t err;
    assert_int_equal(fmq_config_print_keys(stderr, "xml", &err), -1);
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
}

static void keys_and_groups_are_explained(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    fmq_error_t err;
    FILE *out = open_memstream(&text, &size);
    assert_int_equal(fmq_config_explain(out, "train.optimizer", &err), 0);
    assert_int_equal(fmq_config_explain(out, "llm.tok_len", &err), 0);
    assert_int_equal(fmq_config_explain(out, "llm.tok_lenn", &err), -1);
    assert_int_equal(err.code, FMQ_ERR_NOTFOUND);
    assert_non_null(strstr(err.text, "did you mean 'llm.tok_len'?"));
    assert_int_equal(fmq_config_explain(out, "llm.tok", &err), -1);
    (void)fclose(out);
    assert_non_null(
        strstr(text, "train.optimizer.lr\n    real, default 0.1, at least 0; acted on"));
    assert_non_null(strstr(text, "train.optimizer\n"));
    assert_non_null(strstr(text, "llm.tok_len\n    int, default 128, 1 to 1048576"));
    assert_null(strstr(text, "train.scheduler"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_sorted_and_found),
        cmocka_unit_test(every_default_is_a_right_value_of_its_key),
        cmocka_unit_test(every_key_has_one_line_of_help_that_is_a_sentence),
        cmocka_unit_test(old_names_have_the_type_and_default_of_the_new),
        cmocka_unit_test(keys_of_every_section_are_declared_with_their_status),
        cmocka_unit_test(the_table_prints_as_json_that_parses),
        cmocka_unit_test(every_key_is_one_row_of_markdown_and_is_in_the_text),
        cmocka_unit_test(unknown_formats_are_refused),
        cmocka_unit_test(keys_and_groups_are_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
