/*
 * test_log.c - the line format, levels, sinks, and lines from many threads.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/base/clock.h"
#include "fedmq/base/log.h"

typedef struct {
    char last[FMQ_LOG_LINE_MAX];
    int count;
    int torn; /* lines that are not of the form the threads write */
} catcher_t;

static void catch_line(void *argument, fmq_log_level_t level, const char *line)
{
    (void)level;
    catcher_t *catcher = argument;
    catcher->count++;
    (void)snprintf(catcher->last, sizeof catcher->last, "%s", line);
    const char *pair = strstr(line, "n=");
    if (!pair || strcmp(pair, "n=1 m=1") != 0)
        catcher->torn++;
}

static void a_line_has_time_level_actor_event_and_pairs(void **state)
{
    (void)state;
    catcher_t catcher = {0};
    fmq_log_t *log = fmq_log_new(catch_line, &catcher, FMQ_LOG_INFO);
    fmq_log_write(log, FMQ_LOG_INFO, "client-3", "round-closed", "round=%d loss=%.2f", 7, 1.5);
    size_t utc = strlen("2026-01-31T23:59:59.123Z");
    assert_int_equal(catcher.last[utc - 1], 'Z');
    assert_string_equal(catcher.last + utc, " info client-3 round-closed round=7 loss=1.50");
    fmq_log_write(log, FMQ_LOG_ERROR, "server", "lost", "%s", "");
    assert_string_equal(catcher.last + utc, " error server lost");
    fmq_log_destroy(&log);
    assert_null(log);
    fmq_log_destroy(&log);
}

static void events_below_a_sinks_level_are_dropped_there_only(void **state)
{
    (void)state;
    catcher_t loud = {0}, quiet = {0};
    fmq_log_t *log = fmq_log_new(catch_line, &quiet, FMQ_LOG_WARNING);
    assert_int_equal(fmq_log_add_sink(log, catch_line, &loud, FMQ_LOG_DEBUG), 0);
    for (int level = FMQ_LOG_DEBUG; level <= FMQ_LOG_ERROR; level++)
        fmq_log_write(log, (fmq_log_level_t)level, "a", "b", "n=%d m=1", 1);
    assert_int_equal(quiet.count, 2);
    assert_int_equal(loud.count, 4);
    fmq_log_destroy(&log);
}

static void a_fifth_sink_is_refused(void **state)
{
    (void)state;
    catcher_t catcher = {0};
    fmq_log_t *log = fmq_log_new(catch_line, &catcher, FMQ_LOG_DEBUG);
    for (int i = 0; i < 3; i++)
        assert_int_equal(fmq_log_add_sink(log, catch_line, &catcher, FMQ_LOG_DEBUG), 0);
    assert_int_equal(fmq_log_add_sink(log, catch_line, &catcher, FMQ_LOG_DEBUG), -1);
    fmq_log_write(log, FMQ_LOG_INFO, "a", "b", "n=%d m=1", 1);
    assert_int_equal(catcher.count, 4);
    fmq_log_destroy(&log);
}

static void control_characters_cannot_forge_a_second_line(void **state)
{
    (void)state;
    catcher_t catcher = {0};
    fmq_log_t *log = fmq_log_new(catch_line, &catcher, FMQ_LOG_DEBUG);
    fmq_log_write(log, FMQ_LOG_INFO, "a", "b", "peer=%s", "x\n2026 error \x1b[2J\r\ty");
    for (const char *c = catcher.last; *c; c++)
        assert_true((unsigned char)*c >= 0x20);
    fmq_log_destroy(&log);
}

static void long_lines_are_cut_and_no_log_is_no_crash(void **state)
{
    (void)state;
    char text[2 * FMQ_LOG_LINE_MAX];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    catcher_t catcher = {0};
    fmq_log_t *log = fmq_log_new(catch_line, &catcher, FMQ_LOG_DEBUG);
    fmq_log_write(log, FMQ_LOG_INFO, "a", "b", "%s", text);
    assert_int_equal(strlen(catcher.last), FMQ_LOG_LINE_MAX - 1);
    fmq_log_write(log, FMQ_LOG_INFO, text, text, "%s", text);
    assert_int_equal(strlen(catcher.last), FMQ_LOG_LINE_MAX - 1);
    fmq_log_destroy(&log);
    fmq_log_write(NULL, FMQ_LOG_INFO, "a", "b", "%s", text);
}

static void *write_many(void *argument)
{
    for (int i = 0; i < 500; i++)
        fmq_log_write(argument, FMQ_LOG_INFO, "thread", "tick", "n=%d m=1", 1);
    return NULL;
}

static void lines_of_four_threads_stay_whole(void **state)
{
    (void)state;
    catcher_t catcher = {0};
    fmq_log_t *log = fmq_log_new(catch_line, &catcher, FMQ_LOG_INFO);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, log), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(catcher.count, 2000);
    assert_int_equal(catcher.torn, 0);
    fmq_log_destroy(&log);
}

static void the_file_sink_ends_each_line(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    assert_non_null(file);
    fmq_log_t *log = fmq_log_new(fmq_log_sink_file, file, FMQ_LOG_INFO);
    fmq_log_write(log, FMQ_LOG_INFO, "a", "b", "n=%d", 1);
    fmq_log_write(log, FMQ_LOG_INFO, "a", "b", "n=%d", 2);
    fmq_log_destroy(&log);
    rewind(file);
    char line[FMQ_LOG_LINE_MAX];
    for (int n = 1; n <= 2; n++) {
        char ending[16];
        (void)snprintf(ending, sizeof ending, " n=%d\n", n);
        assert_non_null(fgets(line, sizeof line, file));
        assert_non_null(strstr(line, ending));
    }
    assert_null(fgets(line, sizeof line, file));
    assert_int_equal(fclose(file), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_time_level_actor_event_and_pairs),
        cmocka_unit_test(events_below_a_sinks_level_are_dropped_there_only),
        cmocka_unit_test(a_fifth_sink_is_refused),
        cmocka_unit_test(control_characters_cannot_forge_a_second_line),
        cmocka_unit_test(long_lines_are_cut_and_no_log_is_no_crash),
        cmocka_unit_test(lines_of_four_threads_stay_whole),
        cmocka_unit_test(the_file_sink_ends_each_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
