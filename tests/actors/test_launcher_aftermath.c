/*
 * test_launcher_aftermath.c - what a run that did not finish leaves and says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/launcher/aftermath.h"
#include "actors/launcher/rundir.h"

static char folder[64], run[96];
static fmq_error_t err;

static int set_up(void **state)
{
    (void)state;
    err = (fmq_error_t){0};
    strcpy(folder, "/tmp/fedmq-aftermath-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(run, sizeof run, "%s/run", folder);
    return mkdir(run, 0777);
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static void put(const char *name, const char *text)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", run, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void make(const char *name)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", run, name);
    assert_int_equal(mkdir(path, 0777), 0);
}

static bool is_there(const char *name)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", run, name);
    return access(path, F_OK) == 0;
}

/* All that a run may write before its first round. */
static void begin(void)
{
    put("config.yaml", "seed: 1\n");
    put("run.log", "a line\n");
    put("metrics.jsonl", "");
    make("journal");
    make("clients");
    make("checkpoints");
    put("checkpoints/round-000000.state", "state");
}

static void end_with(fmq_error_code_t code, bool resume, bool made)
{
    fmq_arguments_t arguments = {.resume = resume};
    fmq_run_place_t place = {.path = run, .made = made};
    fmq_error_set(&err, code, "why");
    fmq_aftermath(&fmq_command_run, &arguments, &place, &err);
}

static void a_run_that_never_began_leaves_nothing(void **state)
{
    (void)state;
    begin();
    end_with(FMQ_ERR_NOTFOUND, false, true);
    assert_int_equal(access(run, F_OK), -1);
    assert_string_equal(err.text, "why");
}

static void a_directory_that_was_there_stays_and_is_empty_again(void **state)
{
    (void)state;
    begin();
    end_with(FMQ_ERR_NOTFOUND, false, false);
    assert_int_equal(rmdir(run), 0);
}

static void whatever_else_is_in_the_directory_keeps_all_of_it(void **state)
{
    (void)state;
    static const struct {
        const char *folder, *file, *text;
    } others[] = {{NULL, "notes.txt", "mine"},
                  {NULL, "metrics.jsonl", "{}\n"},
                  {NULL, "journal/round-000000.plan", ""},
                  {NULL, "checkpoints/round-000001.state", "state"},
                  {"sub_exp_20260101000000", NULL, NULL},
                  {"clients/client-1", NULL, NULL}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        begin();
        if (others[i].folder)
            make(others[i].folder);
        else
            put(others[i].file, others[i].text);
        end_with(FMQ_ERR_NOTFOUND, false, true);
        assert_true(is_there("config.yaml"));
        assert_true(is_there("run.log"));
        assert_true(is_there("checkpoints/round-000000.state"));
        assert_int_equal(tear_down(NULL), 0);
        assert_int_equal(set_up(NULL), 0);
    }
}

static void a_run_that_is_resumed_is_never_removed(void **state)
{
    (void)state;
    begin();
    end_with(FMQ_ERR_NOTFOUND, true, false);
    assert_true(is_there("config.yaml"));
    assert_true(is_there("checkpoints/round-000000.state"));
}

static void an_interrupted_run_says_how_to_go_on(void **state)
{
    (void)state;
    char expected[256];
    begin();
    end_with(FMQ_ERR_STOPPED, false, true);
    snprintf(expected, sizeof expected, "why; go on with: fedmq run --resume --directory %s", run);
    assert_string_equal(err.text, expected);
    assert_true(is_there("checkpoints/round-000000.state"));
}

static void options_that_no_configuration_holds_are_repeated(void **state)
{
    (void)state;
    fmq_arguments_t arguments = {.cfg = "a.yaml",
                                 .client_cfg = "b.yaml",
                                 .directory = "elsewhere",
                                 .broker = "tcp://h:1",
                                 .insecure = true,
                                 .no_splitter = true,
                                 .threads = 3,
                                 .quiet = true,
                                 .json = true};
    char *line = fmq_aftermath_resume(&fmq_command_server, &arguments, "exp/it's");
    assert_string_equal(line, "fedmq server --resume --directory 'exp/it'\\''s' --broker tcp://h:1 "
                              "--insecure --no-splitter --threads 3");
    free(line);
}

static void a_command_that_would_be_cut_is_not_said(void **state)
{
    (void)state;
    char path[FMQ_ERROR_TEXT_MAX];
    memset(path, 'a', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    fmq_arguments_t arguments = {0};
    fmq_run_place_t place = {.path = path};
    fmq_error_set(&err, FMQ_ERR_STOPPED, "interrupted");
    fmq_aftermath(&fmq_command_run, &arguments, &place, &err);
    assert_string_equal(err.text, "interrupted");
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_run_that_never_began_leaves_nothing),
        CASE(a_directory_that_was_there_stays_and_is_empty_again),
        CASE(whatever_else_is_in_the_directory_keeps_all_of_it),
        CASE(a_run_that_is_resumed_is_never_removed),
        CASE(an_interrupted_run_says_how_to_go_on),
        CASE(options_that_no_configuration_holds_are_repeated),
        CASE(a_command_that_would_be_cut_is_not_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
