/*
 * test_launcher_display.c - what a run looks like on a terminal, in a file and
 * to a program.
 */
#define _XOPEN_SOURCE 700 /* posix_openpt */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>

#include "actors/launcher/display.h"
#include "actors/launcher/figures.h"

#define TEXT_MAX 8192

typedef struct {
    FILE *file;
    fmq_writer_t *writer;
    char text[TEXT_MAX]; /* what was written so far, as of the last look() */
} page_t;

typedef struct {
    page_t out, log;
    char *text; /* of out */
    int terminal;
    fmq_display_t *display;
} screen_t;

static screen_t screen = {.terminal = -1};

static void open_page(page_t *page)
{
    page->file = tmpfile();
    assert_non_null(page->file);
    const fmq_writer_options_t options = {.descriptor = fileno(page->file)};
    page->writer = fmq_writer_new(&options, NULL);
    assert_non_null(page->writer);
}

static void look(page_t *page)
{
    assert_int_equal(fmq_writer_flush(page->writer, 60000), 0);
    ssize_t size = pread(fileno(page->file), page->text, TEXT_MAX - 1, 0);
    assert_true(size >= 0 && size < TEXT_MAX - 1);
    page->text[size] = '\0';
}

static void show_as(fmq_display_mode_t mode)
{
    open_page(&screen.out);
    open_page(&screen.log);
    screen.text = screen.out.text;
    const fmq_display_options_t options = {.mode = mode,
                                           .terminal = screen.terminal,
                                           .out = screen.out.writer,
                                           .log_out = screen.log.writer};
    screen.display = fmq_display_new(&options);
    assert_non_null(screen.display);
}

static void close_page(page_t *page)
{
    fmq_writer_destroy(&page->writer);
    if (page->file)
        fclose(page->file);
}

static int tear_down(void **state)
{
    (void)state;
    fmq_display_destroy(&screen.display);
    close_page(&screen.out);
    close_page(&screen.log);
    screen = (screen_t){.terminal = -1};
    return 0;
}

static void say(fmq_run_event_t event, int64_t now_ms)
{
    fmq_display_event(screen.display, &event, now_ms);
    look(&screen.out);
}

static fmq_run_event_t round_event(fmq_run_event_type_t type, uint32_t round)
{
    return (fmq_run_event_t){.type = type,
                             .round = round,
                             .rounds = 4,
                             .clients = 3,
                             .train_loss = NAN,
                             .bytes_up = 12300000,
                             .bytes_down = 999};
}

static void numbers_are_written_for_people(void **state)
{
    (void)state;
    char text[64];
    fmq_figure_bytes(999, text, sizeof text);
    assert_string_equal(text, "999 B");
    fmq_figure_bytes(1000, text, sizeof text);
    assert_string_equal(text, "1.0 kB");
    fmq_figure_bytes(999960, text, sizeof text);
    assert_string_equal(text, "1.0 MB");
    fmq_figure_bytes(UINT64_MAX, text, sizeof text);
    assert_string_equal(text, "18.4 EB");
    fmq_figure_duration(65499, text, sizeof text);
    assert_string_equal(text, "1:05");
    fmq_figure_duration(3723000, text, sizeof text);
    assert_string_equal(text, "1:02:03");
    fmq_figure_duration(-5, text, sizeof text);
    assert_string_equal(text, "0:00");
}

static void a_bar_fills_from_the_left_and_stays_within_its_width(void **state)
{
    (void)state;
    char bar[16];
    fmq_figure_bar(0, 4, bar, sizeof bar);
    assert_string_equal(bar, "[....]");
    fmq_figure_bar(0.5, 4, bar, sizeof bar);
    assert_string_equal(bar, "[##..]");
    fmq_figure_bar(7, 4, bar, sizeof bar);
    assert_string_equal(bar, "[####]");
    fmq_figure_bar(NAN, 4, bar, sizeof bar);
    assert_string_equal(bar, "[....]");
}

static void a_file_gets_a_line_for_each_round_and_no_escapes(void **state)
{
    (void)state;
    show_as(FMQ_DISPLAY_PLAIN);
    say(round_event(FMQ_RUN_ROUND, 0), 1000);
    say(round_event(FMQ_RUN_PROGRESS, 0), 1500);
    fmq_run_event_t closed = round_event(FMQ_RUN_AGGREGATED, 1);
    closed.clients_done = 3;
    closed.train_loss = 2.5;
    say(closed, 3000);
    assert_null(strchr(screen.text, '\033'));
    assert_string_equal(
        screen.text,
        "round 1/4  3/3 clients  loss 2.5000  up 12.3 MB  down 999 B  took 0:02  eta 0:06\n");
}

static void a_long_round_says_how_far_it_is_every_fifteen_seconds(void **state)
{
    (void)state;
    fmq_run_event_t event = round_event(FMQ_RUN_PROGRESS, 1);
    show_as(FMQ_DISPLAY_PLAIN);
    say(round_event(FMQ_RUN_ROUND, 1), 1000);
    event.clients_done = 1;
    event.step = 5;
    event.steps = 10;
    say(event, 15999);
    assert_null(strchr(screen.text, '\n'));
    say(event, 16000);
    event.step = 9;
    event.train_loss = 2.5;
    say(event, 30999);
    say(event, 31000);
    assert_string_equal(screen.text, "round 2/4  1/3 clients so far  step 5/10\n"
                                     "round 2/4  1/3 clients so far  step 9/10  loss 2.5000\n");
}

static fmq_run_event_t block_event(uint32_t block, uint64_t step, double loss)
{
    fmq_run_event_t event = round_event(FMQ_RUN_ALIGNING, 0);
    event.block = block;
    event.blocks = 3;
    event.step = step;
    event.steps = 10;
    event.train_loss = loss;
    return event;
}

static void an_alignment_says_which_block_and_how_good_the_last_one_was(void **state)
{
    (void)state;
    show_as(FMQ_DISPLAY_PLAIN);
    say(block_event(1, 0, NAN), 1000);
    say(block_event(1, 5, NAN), 2000);
    say(block_event(2, 1, 0.5), 15999);
    say(block_event(2, 2, 0.5), 16000);
    fmq_run_event_t later = block_event(1, 4, 0.25);
    later.blocks = 0;
    say(later, 31000);
    assert_string_equal(screen.text, "aligning block 1/3  step 0/10\n"
                                     "aligning block 2/3  step 2/10  loss 0.5000\n"
                                     "aligning after round 1/4  step 4/10  loss 0.2500\n");
    tear_down(NULL);
    show_as(FMQ_DISPLAY_JSON);
    say(block_event(2, 2, 0.5), 0);
    assert_non_null(strstr(screen.text, "\"event\":\"aligning\""));
    assert_non_null(strstr(screen.text, "\"block\":2,\"blocks\":3"));
    tear_down(NULL);
    show_as(FMQ_DISPLAY_TERMINAL);
    say(block_event(1, 1, NAN), 0);
    say(block_event(1, 2, NAN), 50); /* drawn too lately */
    say(block_event(1, 3, NAN), 200);
    assert_non_null(strstr(screen.text, "\r\033[Kaligning block 1/3  step 3/10"));
    assert_null(strstr(screen.text, "step 2/10"));
}

static void a_line_of_text_stands_beside_the_events(void **state)
{
    (void)state;
    show_as(FMQ_DISPLAY_PLAIN);
    fmq_display_line(screen.display, "data: iid");
    look(&screen.out);
    assert_string_equal(screen.text, "data: iid\n");
    tear_down(NULL);
    show_as(FMQ_DISPLAY_JSON);
    fmq_display_line(screen.display, "data: \"iid\"");
    look(&screen.out);
    assert_string_equal(screen.text, "{\"event\":\"line\",\"text\":\"data: \\\"iid\\\"\"}\n");
    tear_down(NULL);
    show_as(FMQ_DISPLAY_QUIET);
    fmq_display_line(screen.display, "data: iid");
    look(&screen.out);
    assert_string_equal(screen.text, "");
}

static void who_is_missing_is_said_again_but_not_every_second(void **state)
{
    (void)state;
    show_as(FMQ_DISPLAY_PLAIN);
    fmq_run_event_t event = {.type = FMQ_RUN_WAITING, .clients = 2, .clients_done = 1};
    event.reason = "client-2 has not joined";
    say(event, 0);
    say(event, 1500);
    assert_string_equal(screen.text,
                        "waiting for clients: 1 of 2 are here; client-2 has not joined\n");
    say(event, 10000);
    assert_string_equal(screen.text,
                        "waiting for clients: 1 of 2 are here; client-2 has not joined\n"
                        "waiting for clients: 1 of 2 are here; client-2 has not joined\n");
}

static void an_unknown_loss_is_not_shown(void **state)
{
    (void)state;
    show_as(FMQ_DISPLAY_PLAIN);
    say(round_event(FMQ_RUN_ROUND, 1), 0);
    say(round_event(FMQ_RUN_AGGREGATED, 1), 10);
    assert_null(strstr(screen.text, "loss"));
}

static void averages_are_shown_with_their_source(void **state)
{
    (void)state;
    fmq_metrics_t metrics = {
        .size = 4,
        .items = {{"val_loss", 9}, {"val_avg_loss", 1.25}, {"val_total", 8}, {"test_exact", 0.5}}};
    fmq_run_event_t event = round_event(FMQ_RUN_METRICS, 2);
    event.metrics = &metrics;
    event.source = "evaluator-1";
    show_as(FMQ_DISPLAY_PLAIN);
    say(event, 0);
    assert_string_equal(screen.text, "round 2/4  evaluator-1  val_avg_loss 1.25  test_exact 0.5\n");
}

static void waiting_is_said_once_a_second_and_when_all_are_here(void **state)
{
    (void)state;
    fmq_run_event_t event = round_event(FMQ_RUN_WAITING, 0);
    show_as(FMQ_DISPLAY_PLAIN);
    say(event, 0);
    say(event, 1500);
    event.clients_done = 1;
    say(event, 2000);
    event.clients_done = 2;
    say(event, 2100);
    event.clients_done = 3;
    say(event, 2200);
    assert_string_equal(screen.text, "waiting for clients: 0 of 3 are here\n"
                                     "waiting for clients: 1 of 3 are here\n"
                                     "waiting for clients: 3 of 3 are here\n");
}

static void a_terminal_shows_one_bar_that_is_redrawn(void **state)
{
    (void)state;
    show_as(FMQ_DISPLAY_TERMINAL);
    say(round_event(FMQ_RUN_ROUND, 0), 1000);
    fmq_run_event_t event = round_event(FMQ_RUN_PROGRESS, 0);
    event.clients_done = 1;
    event.step = 5;
    event.steps = 10;
    say(event, 1050); /* too soon after the last one */
    assert_null(strstr(screen.text, "step"));
    say(event, 2000);
    assert_non_null(strstr(screen.text, "\r\033[Kround 1/4 ["));
    assert_non_null(strstr(screen.text, "1/3 clients  step 5/10"));
    assert_non_null(strstr(screen.text, "eta"));
    assert_null(strchr(screen.text, '\n'));
}

static void a_log_line_takes_the_place_of_a_bar_on_its_screen_only(void **state)
{
    (void)state;
    show_as(FMQ_DISPLAY_TERMINAL);
    say(round_event(FMQ_RUN_ROUND, 1), 1000);
    fmq_display_log(screen.display, FMQ_LOG_WARNING, "a line");
    look(&screen.log);
    assert_string_equal(screen.log.text, "a line\n");
    const fmq_display_options_t both = {.mode = FMQ_DISPLAY_TERMINAL,
                                        .terminal = -1,
                                        .out = screen.out.writer,
                                        .log_out = screen.out.writer};
    fmq_display_destroy(&screen.display);
    screen.display = fmq_display_new(&both);
    say(round_event(FMQ_RUN_ROUND, 1), 1000);
    fmq_display_log(screen.display, FMQ_LOG_WARNING, "a line");
    look(&screen.out);
    const char *line = strstr(screen.text, "\r\033[Ka line\n");
    assert_non_null(line);
    assert_memory_equal(line + strlen("\r\033[Ka line\n"), "\r\033[Kround 2/4 [", 15);
}

/* A terminal that is as wide as it is told to be. */
static int open_terminal(void)
{
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(terminal >= 0);
    return terminal;
}

static void make_wide(int terminal, unsigned columns)
{
    struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
    assert_int_equal(ioctl(terminal, TIOCSWINSZ, &size), 0);
}

/* Cells of the longest of the lines drawn in text: what is between one return of
 * the carriage and the next, without colours. */
static size_t longest(const char *text)
{
    size_t cells = 0, most = 0;
    for (; *text; text++) {
        if (*text == '\r' || *text == '\n')
            cells = 0;
        else if (*text == '\033')
            while (text[1] && *text != 'm' && *text != 'K')
                text++;
        else
            cells++;
        most = cells > most ? cells : most;
    }
    return most;
}

static fmq_run_event_t long_event(uint32_t done, uint64_t step)
{
    fmq_run_event_t event = round_event(FMQ_RUN_PROGRESS, 998);
    event.rounds = 1000;
    event.clients = 1000;
    event.clients_done = done;
    event.step = step;
    event.steps = 10000;
    event.train_loss = 1.5;
    event.bytes_up = event.bytes_down = UINT64_C(999900000000);
    return event;
}

static void a_bar_fits_the_terminal_also_after_its_size_has_changed(void **state)
{
    (void)state;
    static const unsigned widths[] = {200, 80, 40, 20, 79, 10, 2, 120};
    screen.terminal = open_terminal();
    show_as(FMQ_DISPLAY_TERMINAL);
    int64_t now_ms = 0;
    fmq_run_event_t begin = long_event(0, 0);
    begin.type = FMQ_RUN_ROUND;
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        make_wide(screen.terminal, widths[i]);
        size_t before = strlen(screen.text);
        say(begin, now_ms += 1000);
        say(long_event((uint32_t)i * 100, 5000), now_ms += 1000);
        say(block_event(3, 5, 0.5), now_ms += 1000);
        assert_true(longest(screen.text + before) < widths[i]);
        assert_true(longest(screen.text + before) + 9 > (widths[i] > 80 ? 80 : widths[i]) / 2);
        assert_null(strchr(screen.text, '\n'));
    }
    make_wide(screen.terminal, 0); /* unknown */
    size_t before = strlen(screen.text);
    say(long_event(900, 5000), now_ms + 1000);
    assert_in_range(longest(screen.text + before), 60, 79);
    close(screen.terminal);
}

/* The text of the last line that was drawn. */
static const char *drawn(void)
{
    const char *last = screen.text, *next = last;
    while ((next = strstr(next, "\r\033[K")) != NULL)
        last = next = next + strlen("\r\033[K");
    return last;
}

static void a_bar_never_runs_backwards_within_a_round(void **state)
{
    (void)state;
    show_as(FMQ_DISPLAY_TERMINAL);
    fmq_run_event_t event = round_event(FMQ_RUN_PROGRESS, 1);
    say(round_event(FMQ_RUN_ROUND, 1), 0);
    event.clients_done = 2;
    event.step = 8;
    event.steps = 10;
    say(event, 1000);
    char before[64];
    snprintf(before, sizeof before, "%.40s", drawn());
    event.clients_done = 1; /* one was lost, and comes back with nothing */
    event.step = 1;
    say(event, 2000);
    assert_memory_equal(drawn(), before, 40);
    assert_non_null(strstr(drawn(), "2/3 clients  step 8/10"));
}

static void a_bar_says_when_a_complete_round_is_evaluated(void **state)
{
    (void)state;
    show_as(FMQ_DISPLAY_TERMINAL);
    say(round_event(FMQ_RUN_ROUND, 0), 0);
    say(round_event(FMQ_RUN_AGGREGATED, 1), 1000);
    fmq_run_event_t event = round_event(FMQ_RUN_PROGRESS, 1);
    event.evaluating = true;
    event.clients_done = 1;
    say(event, 2000);
    assert_memory_equal(drawn(), "round 1/4 evaluating [", 22);
    say(round_event(FMQ_RUN_ROUND, 1), 3000);
    assert_memory_equal(drawn(), "round 2/4 [", 11);
    assert_null(strstr(drawn(), "evaluating"));
}

static void traffic_is_told_for_each_round(void **state)
{
    (void)state;
    show_as(FMQ_DISPLAY_PLAIN);
    fmq_run_event_t event = round_event(FMQ_RUN_AGGREGATED, 1);
    event.bytes_up = 1000;
    event.bytes_down = 2000;
    say(event, 0);
    event.round = 2;
    event.bytes_up = 4000;
    event.bytes_down = 2000;
    say(event, 1000);
    assert_non_null(strstr(screen.text, "up 1.0 kB  down 2.0 kB"));
    assert_non_null(strstr(screen.text, "up 3.0 kB  down 0 B"));
}

static void what_stays_in_memory_is_no_traffic(void **state)
{
    (void)state;
    show_as(FMQ_DISPLAY_PLAIN);
    const fmq_display_options_t inside = {.mode = FMQ_DISPLAY_PLAIN,
                                          .in_memory = true,
                                          .out = screen.out.writer,
                                          .log_out = screen.log.writer};
    fmq_display_destroy(&screen.display);
    screen.display = fmq_display_new(&inside);
    say(round_event(FMQ_RUN_AGGREGATED, 1), 0);
    assert_non_null(strstr(screen.text, "round 1/4"));
    assert_null(strstr(screen.text, "up "));
    assert_null(strstr(screen.text, "down "));
}

static void a_line_of_the_log_is_an_object_too_whatever_a_peer_said(void **state)
{
    (void)state;
    show_as(FMQ_DISPLAY_JSON);
    fmq_log_t *log = fmq_log_new(fmq_display_log, screen.display, FMQ_LOG_INFO);
    fmq_log_write(log, FMQ_LOG_WARNING, "server", "refused", "name=\"%s\"", "\xff\"\n\xc2\x9b\xe2");
    fmq_log_destroy(&log);
    look(&screen.log);
    json_t *object = json_loads(screen.log.text, 0, NULL);
    assert_non_null(object);
    assert_string_equal(json_string_value(json_object_get(object, "event")), "log");
    assert_string_equal(json_string_value(json_object_get(object, "level")), "warning");
    assert_string_equal(json_string_value(json_object_get(object, "actor")), "server");
    assert_string_equal(json_string_value(json_object_get(object, "what")), "refused");
    assert_string_equal(json_string_value(json_object_get(object, "text")), "name=\"?\"   ?\"");
    json_decref(object);
}

static void quiet_says_nothing_but_what_is_logged(void **state)
{
    (void)state;
    show_as(FMQ_DISPLAY_QUIET);
    say(round_event(FMQ_RUN_ROUND, 1), 0);
    say(round_event(FMQ_RUN_PROGRESS, 1), 60000);
    say(round_event(FMQ_RUN_AGGREGATED, 1), 60010);
    say(round_event(FMQ_RUN_ENDED, 1), 60020);
    assert_int_equal(strlen(screen.text), 0);
}

static void every_event_is_one_json_object_a_line(void **state)
{
    (void)state;
    fmq_metrics_t metrics = {.size = 2, .items = {{"a", 0.5}, {"b", NAN}}};
    show_as(FMQ_DISPLAY_JSON);
    say(round_event(FMQ_RUN_ROUND, 1), 500);
    fmq_run_event_t event = round_event(FMQ_RUN_METRICS, 1);
    event.metrics = &metrics;
    event.source = "clients";
    say(event, 1500);
    char *second = strchr(screen.text, '\n') + 1;
    json_t *object = json_loads(second, 0, NULL);
    assert_non_null(object);
    assert_string_equal(json_string_value(json_object_get(object, "event")), "metrics");
    assert_int_equal(json_integer_value(json_object_get(object, "milliseconds")), 1000);
    assert_int_equal(json_integer_value(json_object_get(object, "bytes_up")), 12300000);
    assert_true(json_is_null(json_object_get(object, "train_loss")));
    json_t *values = json_object_get(object, "metrics");
    assert_true(json_real_value(json_object_get(values, "a")) == 0.5);
    assert_true(json_is_null(json_object_get(values, "b")));
    json_decref(object);
}

static void flags_choose_the_mode_before_the_terminal_does(void **state)
{
    (void)state;
    assert_int_equal(fmq_display_mode(true, true, 0), FMQ_DISPLAY_JSON);
    assert_int_equal(fmq_display_mode(true, false, 0), FMQ_DISPLAY_QUIET);
    assert_int_equal(fmq_display_mode(false, false, -1), FMQ_DISPLAY_PLAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_written_for_people),
        cmocka_unit_test(a_bar_fills_from_the_left_and_stays_within_its_width),
        cmocka_unit_test_teardown(a_file_gets_a_line_for_each_round_and_no_escapes, tear_down),
        cmocka_unit_test_teardown(a_long_round_says_how_far_it_is_every_fifteen_seconds, tear_down),
        cmocka_unit_test_teardown(an_alignment_says_which_block_and_how_good_the_last_one_was,
                                  tear_down),
        cmocka_unit_test_teardown(a_line_of_text_stands_beside_the_events, tear_down),
        cmocka_unit_test_teardown(who_is_missing_is_said_again_but_not_every_second, tear_down),
        cmocka_unit_test_teardown(an_unknown_loss_is_not_shown, tear_down),
        cmocka_unit_test_teardown(averages_are_shown_with_their_source, tear_down),
        cmocka_unit_test_teardown(waiting_is_said_once_a_second_and_when_all_are_here, tear_down),
        cmocka_unit_test_teardown(a_terminal_shows_one_bar_that_is_redrawn, tear_down),
        cmocka_unit_test_teardown(a_log_line_takes_the_place_of_a_bar_on_its_screen_only,
                                  tear_down),
        cmocka_unit_test_teardown(a_bar_fits_the_terminal_also_after_its_size_has_changed,
                                  tear_down),
        cmocka_unit_test_teardown(a_bar_never_runs_backwards_within_a_round, tear_down),
        cmocka_unit_test_teardown(a_bar_says_when_a_complete_round_is_evaluated, tear_down),
        cmocka_unit_test_teardown(traffic_is_told_for_each_round, tear_down),
        cmocka_unit_test_teardown(what_stays_in_memory_is_no_traffic, tear_down),
        cmocka_unit_test_teardown(a_line_of_the_log_is_an_object_too_whatever_a_peer_said,
                                  tear_down),
        cmocka_unit_test_teardown(quiet_says_nothing_but_what_is_logged, tear_down),
        cmocka_unit_test_teardown(every_event_is_one_json_object_a_line, tear_down),
        cmocka_unit_test(flags_choose_the_mode_before_the_terminal_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
