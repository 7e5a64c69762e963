/*
 * test_directory_lock.c - a run's directory has one leader, and nothing in the
 * way of what the run writes.  Locks belong to processes, so the second one
 * here is a child.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actors/launcher/obstacles.h"
#include "actors/launcher/rundir.h"
#include "actors/storage/directory.h"

static char folder[64];
static fmq_config_t *config;
static fmq_error_t err;

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/fedmq-lock-XXXXXX");
    config = fmq_config_new();
    return mkdtemp(folder) && config ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "chmod -R u+rwx '%s'; rm -rf '%s'", folder, folder);
    fmq_config_destroy(&config);
    return system(command);
}

static const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* What happens in another process: a code, and the text of the error. */
typedef struct {
    fmq_error_code_t code;
    char text[FMQ_ERROR_TEXT_MAX];
} answer_t;

static void in_child(void (*act)(answer_t *answer), answer_t *answer)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        answer_t said = {0};
        act(&said);
        _exit(write(ends[1], &said, sizeof said) == sizeof said ? 0 : 1);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], answer, sizeof *answer), sizeof *answer);
    close(ends[0]);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void try_to_lead(answer_t *answer)
{
    fmq_error_t why = {0};
    fmq_lock_t *lock = fmq_lock_take(folder, &why);
    answer->code = why.code;
    memcpy(answer->text, why.text, sizeof answer->text);
    fmq_lock_release(&lock);
}

static void the_second_leader_is_told_who_the_first_is(void **state)
{
    (void)state;
    answer_t answer;
    char me[64];
    fmq_lock_t *lock = fmq_lock_take(folder, &err);
    assert_non_null(lock);
    assert_int_equal(fmq_lock_sign(lock, "run", &err), 0);
    in_child(try_to_lead, &answer);
    assert_int_equal(answer.code, FMQ_ERR_DENIED);
    snprintf(me, sizeof me, "process %ld on ", (long)getpid());
    assert_non_null(strstr(answer.text, me));
    assert_non_null(strstr(answer.text, "(fedmq run)"));
    fmq_lock_release(&lock);
    in_child(try_to_lead, &answer);
    assert_int_equal(answer.code, FMQ_OK);
}

static void a_lock_that_is_not_signed_yet_names_its_process_and_no_former_one(void **state)
{
    (void)state;
    answer_t answer;
    char me[64];
    assert_int_equal(fmq_rundir_write(folder, FMQ_LOCK_NAME, "process 1 on old since x\n", &err),
                     0);
    fmq_lock_t *lock = fmq_lock_take(folder, &err);
    assert_non_null(lock);
    in_child(try_to_lead, &answer);
    snprintf(me, sizeof me, "process %ld", (long)getpid());
    assert_non_null(strstr(answer.text, me));
    assert_null(strstr(answer.text, "on old"));
    fmq_lock_release(&lock);
    assert_int_equal(access(path_of(FMQ_LOCK_NAME), F_OK), 0); /* it was there before */
}

static void a_killed_leader_leaves_the_directory_free(void **state)
{
    (void)state;
    int ends[2];
    char ready;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        fmq_lock_t *lock = fmq_lock_take(folder, NULL);
        if (!lock || fmq_lock_sign(lock, "run", NULL) < 0 || write(ends[1], "x", 1) != 1)
            _exit(1);
        pause();
        _exit(0);
    }
    assert_int_equal(read(ends[0], &ready, 1), 1);
    assert_null(fmq_lock_take(folder, &err));
    assert_int_equal(err.code, FMQ_ERR_DENIED);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    fmq_lock_t *lock = fmq_lock_take(folder, &err);
    assert_non_null(lock);
    fmq_lock_release(&lock);
    close(ends[0]);
    close(ends[1]);
}

static void a_lock_that_led_nothing_leaves_no_file(void **state)
{
    (void)state;
    fmq_lock_t *lock = fmq_lock_take(folder, &err);
    assert_non_null(lock);
    assert_int_equal(access(path_of(FMQ_LOCK_NAME), F_OK), 0);
    fmq_lock_release(&lock);
    assert_int_equal(access(path_of(FMQ_LOCK_NAME), F_OK), -1);
    assert_int_equal(fmq_rundir_check_free(folder, &err), 0);
}

static void without_rights(answer_t *answer)
{
    fmq_error_t why = {0};
    if (setgid(65534) == 0 && setuid(65534) == 0) {
        fmq_lock_t *lock = fmq_lock_take(folder, &why);
        fmq_lock_release(&lock);
    }
    answer->code = why.code;
    memcpy(answer->text, why.text, sizeof answer->text);
}

static void below_without_rights(answer_t *answer)
{
    fmq_error_t why = {0};
    char outdir[128];
    snprintf(outdir, sizeof outdir, "%s/locked/exp", folder);
    if (setgid(65534) == 0 && setuid(65534) == 0 &&
        fmq_config_set(config, "outdir", outdir, NULL) == 0)
        free(fmq_rundir_open(config, NULL, false, 1000000000, &why));
    answer->code = why.code;
    memcpy(answer->text, why.text, sizeof answer->text);
}

static void a_folder_without_rights_is_named_with_the_reason(void **state)
{
    (void)state;
    answer_t answer;
    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(mkdir(path_of("locked"), 0755), 0);
    in_child(without_rights, &answer);
    assert_int_equal(answer.code, FMQ_ERR_IO);
    assert_non_null(strstr(answer.text, folder));
    assert_non_null(strstr(answer.text, "Permission denied"));
    in_child(below_without_rights, &answer);
    assert_int_equal(answer.code, FMQ_ERR_IO);
    assert_non_null(strstr(answer.text, "/locked/exp': Permission denied"));
}

static void expect_obstacle(const char *name, bool made)
{
    err = (fmq_error_t){0};
    if (fmq_obstacles_check(folder, config, &err) == 0)
        fail_msg("'%s' is not noticed", name);
    assert_int_equal(err.code, FMQ_ERR_IO);
    if (!strstr(err.text, name))
        fail_msg("'%s' is not in: %s", name, err.text);
    if (made)
        assert_int_equal(remove(path_of(name)), 0);
}

static void whatever_is_in_the_way_is_named(void **state)
{
    (void)state;
    static const char *const files[] = {"checkpoints", "journal",  "best",
                                        "adapter",     "emulator", "clients"};
    static const char *const folders[] = {"config.yaml",     "run.log",
                                          "metrics.jsonl",   "checkpoints/round-000007.state",
                                          "best/best.state", "checkpoints/round-000007.state.tmp"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        fclose(fopen(path_of(files[i]), "w"));
        expect_obstacle(files[i], true);
    }
    assert_int_equal(mkdir(path_of("checkpoints"), 0755), 0);
    assert_int_equal(mkdir(path_of("best"), 0755), 0);
    assert_int_equal(mkdir(path_of("journal"), 0755), 0);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        assert_int_equal(mkdir(path_of(folders[i]), 0755), 0);
        expect_obstacle(folders[i], true);
    }
    fclose(fopen(path_of("journal/round-000003"), "w"));
    expect_obstacle("journal/round-000003", true);
    fclose(fopen(path_of("checkpoints/round-000003.state"), "w"));
    assert_int_equal(fmq_obstacles_check(folder, config, &err), 0);
}

static void set(const char *key, const char *value)
{
    if (fmq_config_set(config, key, value, &err) < 0)
        fail_msg("%s", err.text);
}

static void copies_elsewhere_are_looked_at_too(void **state)
{
    (void)state;
    set("federate.save_to", path_of("saved/here/state"));
    set("federate.save_freq", "2");
    set("federate.total_round_num", "4");
    assert_int_equal(fmq_obstacles_check(folder, config, &err), 0);
    fclose(fopen(path_of("saved"), "w"));
    expect_obstacle("saved", true);
    assert_int_equal(mkdir(path_of("saved"), 0755), 0);
    assert_int_equal(mkdir(path_of("saved/here"), 0755), 0);
    static const char *const copies[] = {"saved/here/state", "saved/here/final_state",
                                         "saved/here/4_state"};
    for (size_t i = 0; i < sizeof copies / sizeof *copies; i++) {
        fclose(fopen(path_of(copies[i]), "w"));
        expect_obstacle(copies[i], true);
    }
    fclose(fopen(path_of("saved/here/3_state"), "w"));
    assert_int_equal(fmq_obstacles_check(folder, config, &err), 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_second_leader_is_told_who_the_first_is),
        CASE(a_lock_that_is_not_signed_yet_names_its_process_and_no_former_one),
        CASE(a_killed_leader_leaves_the_directory_free),
        CASE(a_lock_that_led_nothing_leaves_no_file),
        CASE(a_folder_without_rights_is_named_with_the_reason),
        CASE(whatever_is_in_the_way_is_named),
        CASE(copies_elsewhere_are_looked_at_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
