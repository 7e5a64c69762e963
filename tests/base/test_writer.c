/*
 * test_writer.c - output that nobody reads, that fails, that flows again: who
 * puts texts never waits, and what is missing is counted and said.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fedmq/base/clock.h"
#include "fedmq/base/log.h"
#include "fedmq/base/writer.h"

#define FLOWS_MS  60000 /* for an output that flows, on a machine however slow */
#define BLOCKS_MS 50
#define READ_MAX  (1 << 20)

typedef struct {
    int ends[2];
    fmq_writer_t *writer;
    char *text; /* what was read */
    size_t size;
} fixture_t;

static void open_writer(fixture_t *f, int descriptor, size_t capacity)
{
    fmq_error_t err = {0};
    const fmq_writer_options_t options = {.descriptor = descriptor, .capacity = capacity};
    f->writer = fmq_writer_new(&options, &err);
    if (!f->writer)
        fail_msg("%s", err.text);
}

static int set_up(void **state)
{
    fixture_t *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->text = calloc(1, READ_MAX);
    assert_non_null(f->text);
    assert_int_equal(pipe(f->ends), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture_t *f = *state;
    fmq_writer_destroy(&f->writer);
    assert_null(f->writer);
    for (int i = 0; i < 2; i++)
        if (f->ends[i] >= 0)
            close(f->ends[i]);
    free(f->text);
    free(f);
    return 0;
}

static void put(fixture_t *f, fmq_writer_kind_t kind, const char *text)
{
    fmq_writer_put(f->writer, kind, text, strlen(text));
}

/* Fills the pipe, so that the next write blocks.  Returns the bytes in it. */
static size_t fill_pipe(fixture_t *f)
{
    static const char bytes[4096] = {0};
    size_t size = 0;
    int flags = fcntl(f->ends[1], F_GETFL);
    assert_int_equal(fcntl(f->ends[1], F_SETFL, flags | O_NONBLOCK), 0);
    for (ssize_t got; (got = write(f->ends[1], bytes, sizeof bytes)) > 0;)
        size += (size_t)got;
    assert_int_equal(fcntl(f->ends[1], F_SETFL, flags), 0);
    return size;
}

/* Reads and forgets size bytes, so that as many can be written. */
static void skip_bytes(fixture_t *f, size_t size)
{
    char bytes[4096];
    while (size > 0) {
        ssize_t got = read(f->ends[0], bytes, size < sizeof bytes ? size : sizeof bytes);
        assert_true(got > 0);
        size -= (size_t)got;
    }
}

/* Reads until text ends with ending. */
static void read_until(fixture_t *f, const char *ending)
{
    size_t tail = strlen(ending);
    while (f->size < tail || memcmp(f->text + f->size - tail, ending, tail) != 0) {
        ssize_t got = read(f->ends[0], f->text + f->size, READ_MAX - 1 - f->size);
        assert_true(got > 0);
        f->size += (size_t)got;
    }
    f->text[f->size] = '\0';
}

/* The thread hangs in a write of "first" then, and what is put later waits. */
static void wait_until_it_hangs(fixture_t *f)
{
    struct timespec little = {.tv_nsec = 1000000};
    put(f, FMQ_WRITER_LINE, "first\n");
    while (fmq_writer_state(f->writer).waiting > 0)
        nanosleep(&little, NULL);
}

static void texts_are_written_in_order(void **state)
{
    fixture_t *f = *state;
    open_writer(f, f->ends[1], 0);
    for (int i = 0; i < 1000; i++) {
        char line[32];
        snprintf(line, sizeof line, "line %d\n", i);
        put(f, i % 3 ? FMQ_WRITER_LINE : FMQ_WRITER_IMPORTANT, line);
    }
    assert_int_equal(fmq_writer_flush(f->writer, FLOWS_MS), 0);
    read_until(f, "line 999\n");
    const char *at = f->text;
    for (int i = 0; i < 1000; i++) {
        int number, used;
        assert_int_equal(sscanf(at, "line %d\n%n", &number, &used), 1);
        assert_int_equal(number, i);
        at += used;
    }
    assert_int_equal(fmq_writer_close(f->writer, FLOWS_MS), 0);
}

static void a_pipe_that_nobody_reads_holds_up_nobody_and_every_line_is_accounted_for(void **state)
{
    fixture_t *f = *state;
    enum { LINES = 5000 };
    size_t filled = fill_pipe(f);
    open_writer(f, f->ends[1], 16384);
    wait_until_it_hangs(f);
    int64_t began_ms = fmq_clock_ms();
    for (int i = 0; i < LINES; i++)
        put(f, FMQ_WRITER_LINE, "a line of thirty-two characters\n");
    assert_true(fmq_clock_ms() - began_ms < FLOWS_MS);
    fmq_writer_state_t blocked = fmq_writer_state(f->writer);
    assert_true(blocked.waiting <= 16384);
    assert_true(blocked.dropped > LINES / 2);
    assert_int_equal(fmq_writer_flush(f->writer, BLOCKS_MS), -1);
    skip_bytes(f, filled);
    char notice[64];
    snprintf(notice, sizeof notice, "dropped %" PRIu64 " lines that could not be written\n",
             blocked.dropped);
    read_until(f, notice); /* without a line behind it */
    uint64_t written = 0;
    for (const char *c = f->text; (c = strstr(c, "characters\n")) != NULL; c++)
        written++;
    assert_int_equal(written + blocked.dropped, LINES);
    put(f, FMQ_WRITER_LINE, "and on\n");
    read_until(f, "and on\n");
    assert_int_equal(fmq_writer_close(f->writer, FLOWS_MS), 0);
}

static void an_important_line_finds_room_where_others_are_dropped(void **state)
{
    fixture_t *f = *state;
    size_t filled = fill_pipe(f);
    open_writer(f, f->ends[1], 16384);
    wait_until_it_hangs(f);
    for (int i = 0; i < 2000; i++)
        put(f, FMQ_WRITER_LINE, "a line\n");
    uint64_t dropped = fmq_writer_state(f->writer).dropped;
    put(f, FMQ_WRITER_IMPORTANT, "it matters\n");
    put(f, FMQ_WRITER_LINE, "not this\n");
    put(f, FMQ_WRITER_IMPORTANT, "the end\n");
    skip_bytes(f, filled);
    char ending[160];
    snprintf(ending, sizeof ending,
             "a line\ndropped %" PRIu64 " lines that could not be written\nit matters\n"
             "dropped 1 line that could not be written\nthe end\n",
             dropped);
    read_until(f, ending);
}

static void a_blocked_output_is_closed_within_the_wait_and_says_what_it_dropped(void **state)
{
    fixture_t *f = *state;
    fill_pipe(f);
    open_writer(f, f->ends[1], 0);
    put(f, FMQ_WRITER_LINE, "one\n");
    put(f, FMQ_WRITER_LINE, "two\nthree\n");
    assert_int_equal(fmq_writer_flush(f->writer, BLOCKS_MS), -1); /* the first is under way */
    assert_int_equal(fmq_writer_close(f->writer, BLOCKS_MS), 3);
    put(f, FMQ_WRITER_IMPORTANT, "late\n");
    assert_int_equal(fmq_writer_close(f->writer, BLOCKS_MS), 4);
    assert_int_equal(fmq_writer_state(f->writer).waiting, 0);
}

static void what_waits_is_written_when_a_slow_output_is_closed(void **state)
{
    fixture_t *f = *state;
    open_writer(f, f->ends[1], 0);
    for (int i = 0; i < 100; i++)
        put(f, FMQ_WRITER_LINE, "a line\n");
    put(f, FMQ_WRITER_IMPORTANT, "the last line\n");
    assert_int_equal(fmq_writer_close(f->writer, FLOWS_MS), 0);
    read_until(f, "the last line\n");
    assert_int_equal(f->size, 100 * 7 + 14);
}

static void a_reader_that_has_gone_is_an_error_and_no_signal(void **state)
{
    fixture_t *f = *state;
    close(f->ends[0]);
    f->ends[0] = -1;
    open_writer(f, f->ends[1], 0);
    put(f, FMQ_WRITER_LINE, "one\n");
    put(f, FMQ_WRITER_LINE, "two\n");
    assert_int_equal(fmq_writer_flush(f->writer, FLOWS_MS), 0);
    fmq_writer_state_t state_now = fmq_writer_state(f->writer);
    assert_int_equal(state_now.error, EPIPE);
    assert_int_equal(state_now.dropped, 2);
    assert_int_equal(fmq_writer_close(f->writer, FLOWS_MS), 2);
}

/* As on a full disk: no byte beyond the limit, and then there is room again. */
static void a_full_disk_costs_lines_and_the_next_one_says_how_many(void **state)
{
    fixture_t *f = *state;
    struct rlimit before, small;
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 12;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    open_writer(f, fileno(file), 0);
    put(f, FMQ_WRITER_LINE, "it fits\n");
    put(f, FMQ_WRITER_LINE, "half of it\n");
    put(f, FMQ_WRITER_LINE, "nothing\nof it\n");
    assert_int_equal(fmq_writer_flush(f->writer, FLOWS_MS), 0);
    assert_int_equal(fmq_writer_state(f->writer).error, EFBIG);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    put(f, FMQ_WRITER_LINE, "room again\n");
    assert_int_equal(fmq_writer_flush(f->writer, FLOWS_MS), 0);
    ssize_t size = pread(fileno(file), f->text, READ_MAX - 1, 0);
    assert_true(size > 0);
    assert_string_equal(f->text, "it fits\nhalf\ndropped 3 lines that could not be written\n"
                                 "room again\n");
    assert_int_equal(fmq_writer_state(f->writer).error, 0);
    assert_int_equal(fmq_writer_close(f->writer, FLOWS_MS), 0);
    fclose(file);
}

static void of_passing_texts_only_the_newest_is_written_and_none_before_a_line(void **state)
{
    fixture_t *f = *state;
    size_t filled = fill_pipe(f);
    open_writer(f, f->ends[1], 0);
    put(f, FMQ_WRITER_LINE, "a line\n");
    put(f, FMQ_WRITER_PASSING, "\rstep 1");
    put(f, FMQ_WRITER_LINE, "\ra second\n");
    for (int i = 2; i < 100; i++)
        put(f, FMQ_WRITER_PASSING, "\rstep n");
    put(f, FMQ_WRITER_PASSING, "\rstep 100");
    skip_bytes(f, filled);
    read_until(f, "\rstep 100");
    assert_string_equal(f->text, "a line\n\ra second\n\rstep 100");
    assert_int_equal(fmq_writer_state(f->writer).dropped, 0);
}

static void a_text_that_is_too_long_is_dropped(void **state)
{
    fixture_t *f = *state;
    char *text = malloc(FMQ_WRITER_TEXT_MAX + 1);
    assert_non_null(text);
    memset(text, '\n', FMQ_WRITER_TEXT_MAX + 1);
    open_writer(f, f->ends[1], 0);
    fmq_writer_put(f->writer, FMQ_WRITER_LINE, text, FMQ_WRITER_TEXT_MAX + 1);
    assert_int_equal(fmq_writer_state(f->writer).dropped, FMQ_WRITER_TEXT_MAX + 1);
    read_until(f, "dropped 65537 lines that could not be written\n");
    free(text);
}

static void a_descriptor_that_others_made_non_blocking_is_waited_for(void **state)
{
    fixture_t *f = *state;
    size_t filled = fill_pipe(f);
    assert_int_equal(fcntl(f->ends[1], F_SETFL, fcntl(f->ends[1], F_GETFL) | O_NONBLOCK), 0);
    open_writer(f, f->ends[1], 0);
    put(f, FMQ_WRITER_LINE, "a line\n");
    assert_int_equal(fmq_writer_flush(f->writer, BLOCKS_MS), -1);
    skip_bytes(f, filled);
    read_until(f, "a line\n");
    assert_int_equal(fmq_writer_state(f->writer).dropped, 0);
    fill_pipe(f);
    assert_int_equal(fcntl(f->ends[1], F_SETFL, fcntl(f->ends[1], F_GETFL) | O_NONBLOCK), 0);
    put(f, FMQ_WRITER_LINE, "a line\n");
    assert_int_equal(fmq_writer_close(f->writer, BLOCKS_MS), 1);
}

static void *put_many(void *argument)
{
    fixture_t *f = argument;
    for (int i = 0; i < 2000; i++) {
        put(f, FMQ_WRITER_LINE, "a line\n");
        put(f, FMQ_WRITER_PASSING, "\rpassing");
    }
    return NULL;
}

static void *read_all(void *argument)
{
    fixture_t *f = argument;
    for (ssize_t got; (got = read(f->ends[0], f->text + f->size, READ_MAX - 1 - f->size)) > 0;)
        f->size += (size_t)got;
    return NULL;
}

static void lines_of_many_threads_are_whole_and_counted(void **state)
{
    fixture_t *f = *state;
    pthread_t threads[4], reader;
    open_writer(f, f->ends[1], 4096);
    assert_int_equal(pthread_create(&reader, NULL, read_all, f), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, put_many, f), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(fmq_writer_close(f->writer, FLOWS_MS), 0);
    uint64_t dropped = fmq_writer_state(f->writer).dropped;
    close(f->ends[1]);
    f->ends[1] = -1;
    assert_int_equal(pthread_join(reader, NULL), 0);
    uint64_t lines = 0, told = 0;
    for (const char *c = f->text; (c = strstr(c, "a line\n")) != NULL; c++)
        lines++;
    for (const char *c = f->text; (c = strstr(c, "dropped ")) != NULL; c++)
        told += strtoull(c + strlen("dropped "), NULL, 10);
    assert_int_equal(lines + dropped, 4 * 2000);
    assert_int_equal(told, dropped);
}

/* A log whose sink is a writer goes on when nobody reads it. */
static void a_log_says_how_many_of_its_events_are_missing(void **state)
{
    fixture_t *f = *state;
    size_t filled = fill_pipe(f);
    const fmq_writer_options_t options = {
        .descriptor = f->ends[1], .capacity = 4096, .notice = fmq_log_notice};
    f->writer = fmq_writer_new(&options, NULL);
    assert_non_null(f->writer);
    wait_until_it_hangs(f);
    fmq_log_t *log = fmq_log_new(fmq_log_sink_writer, f->writer, FMQ_LOG_INFO);
    for (int i = 0; i < 1000; i++)
        fmq_log_write(log, FMQ_LOG_INFO, "router", "member-joined", "name=client-%d", i);
    fmq_log_write(log, FMQ_LOG_ERROR, "server", "ended", "reason=full");
    skip_bytes(f, filled);
    read_until(f, " error server ended reason=full\n");
    uint64_t lines = 0;
    for (const char *c = f->text; (c = strstr(c, " member-joined ")) != NULL; c++)
        lines++;
    char notice[64];
    snprintf(notice, sizeof notice, " warning log lines-dropped count=%d\n", (int)(1000 - lines));
    assert_true(lines > 0 && lines < 1000);
    assert_non_null(strstr(f->text, notice));
    fmq_log_destroy(&log);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(texts_are_written_in_order),
        TEST(a_pipe_that_nobody_reads_holds_up_nobody_and_every_line_is_accounted_for),
        TEST(an_important_line_finds_room_where_others_are_dropped),
        TEST(a_blocked_output_is_closed_within_the_wait_and_says_what_it_dropped),
        TEST(what_waits_is_written_when_a_slow_output_is_closed),
        TEST(a_reader_that_has_gone_is_an_error_and_no_signal),
        TEST(a_full_disk_costs_lines_and_the_next_one_says_how_many),
        TEST(of_passing_texts_only_the_newest_is_written_and_none_before_a_line),
        TEST(a_text_that_is_too_long_is_dropped),
        TEST(a_descriptor_that_others_made_non_blocking_is_waited_for),
        TEST(lines_of_many_threads_are_whole_and_counted),
        TEST(a_log_says_how_many_of_its_events_are_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
