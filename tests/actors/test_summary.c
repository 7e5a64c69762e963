/*
 * test_summary.c - merging clients' measurements, and the file of lines.
 */
#include "actors_test.h"

#include <math.h>

#include "actors/evaluation/summary.h"
#include "actors/storage/metrics_log.h"

#define NEAR(a, b) assert_true(fabs((a) - (b)) < 1e-9)

static double merged(const fmq_merged_t *self, const char *name)
{
    const double *value = fmq_merged_get(self, name);
    if (!value)
        fail_msg("no metric '%s'", name);
    return *value;
}

/* Three clients with losses 1, 2, 6 over 10, 30, 0 examples. */
static void three(fmq_metrics_t metrics[3], fmq_measured_t measured[3])
{
    const double losses[] = {1, 2, 6}, totals[] = {10, 30, 0};
    for (uint32_t i = 0; i < 3; i++) {
        memset(&metrics[i], 0, sizeof metrics[i]);
        fmq_metrics_set(&metrics[i], "test_avg_loss", losses[i], NULL);
        fmq_metrics_set(&metrics[i], "test_total", totals[i], NULL);
        measured[i] = (fmq_measured_t){i + 1, &metrics[i]};
    }
}

static void weighted_averages_weigh_by_the_split_total(void **state)
{
    (void)state;
    fmq_metrics_t metrics[3];
    fmq_measured_t measured[3];
    three(metrics, measured);
    fmq_merged_t out = {0};
    assert_int_equal(fmq_form_find("weighted_avg")->merge(measured, 3, &out, NULL), 0);
    NEAR(merged(&out, "test_avg_loss"), 70.0 / 40);
    NEAR(merged(&out, "test_total"), 40.0 / 3);
    fmq_merged_release(&out);
    assert_int_equal(fmq_form_find("avg")->merge(measured, 3, &out, NULL), 0);
    NEAR(merged(&out, "test_avg_loss"), 3);
    fmq_merged_release(&out);
}

/* With offsite tuning the same split is measured with and without the emulator. */
static void totals_have_the_prefix_of_what_they_count(void **state)
{
    (void)state;
    fmq_metrics_t metrics[2] = {{0}, {0}};
    fmq_measured_t measured[2];
    for (uint32_t i = 0; i < 2; i++) {
        fmq_metrics_set(&metrics[i], "emulator.test_avg_loss", 1 + i, NULL);
        fmq_metrics_set(&metrics[i], "emulator.test_total", i ? 30 : 10, NULL);
        fmq_metrics_set(&metrics[i], "plugin.test_avg_loss", 1 + i, NULL);
        fmq_metrics_set(&metrics[i], "plugin.test_total", i ? 10 : 30, NULL);
        measured[i] = (fmq_measured_t){i + 1, &metrics[i]};
    }
    fmq_merged_t out = {0};
    assert_int_equal(fmq_form_find("weighted_avg")->merge(measured, 2, &out, NULL), 0);
    NEAR(merged(&out, "emulator.test_avg_loss"), 1.75);
    NEAR(merged(&out, "plugin.test_avg_loss"), 1.25);
    NEAR(merged(&out, "emulator.test_total"), 20);
    assert_int_equal(fmq_merged_add(&out, "plugin.val_loss", 4, NULL), 0);
    NEAR(merged(&out, "plugin.val_loss"), 4);
    fmq_merged_release(&out);
}

static void fairness_has_every_suffix_of_fs(void **state)
{
    (void)state;
    fmq_metrics_t metrics[20];
    fmq_measured_t measured[20];
    for (uint32_t i = 0; i < 20; i++) { /* 20, 19, ..., 1 */
        memset(&metrics[i], 0, sizeof metrics[i]);
        fmq_metrics_set(&metrics[i], "val_loss", 20 - i, NULL);
        fmq_metrics_set(&metrics[i], "val_total", 5, NULL);
        measured[i] = (fmq_measured_t){i + 1, &metrics[i]};
    }
    fmq_merged_t out = {0};
    assert_int_equal(fmq_form_find("fairness")->merge(measured, 20, &out, NULL), 0);
    NEAR(merged(&out, "val_loss_std"), sqrt(33.25));
    NEAR(merged(&out, "val_loss_bottom_decile"), 3);
    NEAR(merged(&out, "val_loss_top_decile"), 19);
    NEAR(merged(&out, "val_loss_min"), 1);
    NEAR(merged(&out, "val_loss_max"), 20);
    NEAR(merged(&out, "val_loss_bottom10%"), 1.5);
    NEAR(merged(&out, "val_loss_top10%"), 19.5);
    NEAR(merged(&out, "val_loss_cos1"), 10.5 / sqrt(143.5));
    double entropy = 0;
    for (int i = 1; i <= 20; i++)
        entropy -= i / 210.0 * log(i / 210.0);
    assert_true(fabs(merged(&out, "val_loss_entropy") - entropy) < 1e-6);
    NEAR(merged(&out, "val_total"), 5);
    assert_null(fmq_merged_get(&out, "val_loss"));
    fmq_merged_release(&out);
}

static void few_clients_still_have_a_worst_tenth_and_one_has_no_spread(void **state)
{
    (void)state;
    fmq_metrics_t metrics[3];
    fmq_measured_t measured[3];
    three(metrics, measured);
    fmq_merged_t out = {0};
    assert_int_equal(fmq_form_find("fairness")->merge(measured, 3, &out, NULL), 0);
    NEAR(merged(&out, "test_avg_loss_bottom10%"), 1);
    NEAR(merged(&out, "test_avg_loss_top10%"), 6);
    fmq_merged_release(&out);
    assert_int_equal(fmq_form_find("fairness")->merge(measured, 1, &out, NULL), 0);
    assert_null(fmq_merged_get(&out, "test_avg_loss_std"));
    fmq_merged_release(&out);
}

static void missing_and_infinite_values_are_left_out(void **state)
{
    (void)state;
    fmq_metrics_t metrics[3];
    fmq_measured_t measured[3];
    three(metrics, measured);
    fmq_metrics_set(&metrics[0], "test_avg_loss", NAN, NULL);
    fmq_metrics_set(&metrics[2], "only_here", 4, NULL);
    fmq_merged_t out = {0};
    assert_int_equal(fmq_form_find("weighted_avg")->merge(measured, 3, &out, NULL), 0);
    NEAR(merged(&out, "test_avg_loss"), 2);
    assert_null(fmq_merged_get(&out, "only_here")); /* it has no total to weigh by */
    fmq_merged_release(&out);
    assert_int_equal(fmq_form_find("avg")->merge(measured, 3, &out, NULL), 0);
    NEAR(merged(&out, "only_here"), 4);
    fmq_merged_release(&out);
    assert_int_equal(fmq_form_find("avg")->merge(measured, 0, &out, NULL), 0);
    assert_int_equal(out.size, 0);
    assert_null(fmq_form_find("raw"));
}

static char *slurp(const char *path)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *text = calloc(1, 65536);
    assert_true(fread(text, 1, 65535, file) > 0);
    fclose(file);
    return text;
}

static void every_measurement_is_one_whole_line_of_json(void **state)
{
    (void)state;
    char folder[64], path[256];
    test_folder_make(folder);
    test_path(path, folder, "metrics.jsonl");
    fmq_metrics_t metrics = {0};
    fmq_metrics_set(&metrics, "test_loss", 1.5, NULL);
    fmq_metrics_set(&metrics, "bad", NAN, NULL);
    fmq_metrics_log_t *history = fmq_metrics_log_open(path, NULL);
    assert_non_null(history);
    assert_int_equal(fmq_metrics_log_add_raw(
                         history, &(fmq_metrics_log_key_t){3, "client-1", "raw"}, &metrics, NULL),
                     0);
    fmq_metrics_log_close(&history);

    FILE *file = fopen(path, "a"); /* a crash in the middle of a line */
    fputs("{\"round\":4,\"sour", file);
    fclose(file);
    history = fmq_metrics_log_open(path, NULL);
    assert_non_null(history);
    fmq_merged_t none = {0};
    assert_int_equal(
        fmq_metrics_log_add(history, &(fmq_metrics_log_key_t){4, "clients", "avg"}, &none, NULL),
        0);
    fmq_metrics_log_close(&history);

    char *text = slurp(path);
    const char *first = "{\"round\":3,\"source\":\"client-1\",\"form\":\"raw\","
                        "\"metrics\":{\"test_loss\":1.5,\"bad\":null},\"time\":\"";
    assert_memory_equal(text, first, strlen(first));
    const char *second = strchr(text, '\n') + 1;
    assert_memory_equal(second, "{\"round\":4,\"source\":\"clients\"", 29);
    assert_null(strstr(text, "sour\n"));
    free(text);
    test_folder_remove(folder);
}

static void a_history_in_a_folder_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    fmq_error_t err;
    assert_null(fmq_metrics_log_open("no/such/folder/metrics.jsonl", &err));
    assert_int_equal(err.code, FMQ_ERR_IO);
    assert_non_null(strstr(err.text, "metrics.jsonl"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weighted_averages_weigh_by_the_split_total),
        cmocka_unit_test(totals_have_the_prefix_of_what_they_count),
        cmocka_unit_test(fairness_has_every_suffix_of_fs),
        cmocka_unit_test(few_clients_still_have_a_worst_tenth_and_one_has_no_spread),
        cmocka_unit_test(missing_and_infinite_values_are_left_out),
        cmocka_unit_test(every_measurement_is_one_whole_line_of_json),
        cmocka_unit_test(a_history_in_a_folder_that_is_not_there_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
