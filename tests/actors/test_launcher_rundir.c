/*
 * test_launcher_rundir.c - where a run writes: FS-LLM's rule, and resuming.
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

#include "actors/launcher/address.h"
#include "actors/launcher/rundir.h"

static char folder[64];
static fmq_config_t *config;
static fmq_error_t err;

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/fedmq-rundir-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    config = fmq_config_new();
    return config && fmq_config_set(config, "outdir", folder, &err) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    fmq_config_destroy(&config);
    return system(command);
}

static void set(const char *key, const char *value)
{
    if (fmq_config_set(config, key, value, &err) < 0)
        fail_msg("%s", err.text);
}

static char *open_one(const char *explicitly, bool resume)
{
    err = (fmq_error_t){0};
    return fmq_rundir_open(config, explicitly, resume, 1000000000, &err);
}

static void a_name_is_made_from_what_is_trained_when_none_is_given(void **state)
{
    (void)state;
    set("model.type", "org/gpt2@huggingface_llm");
    set("data.type", "alpaca@llm");
    set("train.optimizer.lr", "3e-4");
    set("train.local_update_steps", "30");
    set("expname_tag", "try");
    char *name = fmq_rundir_name(config, &err);
    assert_string_equal(name, "FedAvg_org-gpt2@huggingface_llm_on_alpaca@llm_lr0.0003_lstep30_try");
    free(name);
    set("expname", "mine/first");
    name = fmq_rundir_name(config, &err);
    assert_string_equal(name, "mine/first_try");
    free(name);
}

static void a_new_run_gets_its_own_directory(void **state)
{
    (void)state;
    char expected[128];
    struct stat status;
    set("expname", "a/b");
    snprintf(expected, sizeof expected, "%s/a/b", folder);
    char *path = open_one(NULL, false);
    assert_string_equal(path, expected);
    assert_int_equal(stat(path, &status), 0);
    free(path);
}

static void a_directory_that_is_there_is_not_written_into(void **state)
{
    (void)state;
    char start[128];
    set("expname", "a");
    free(open_one(NULL, false));
    snprintf(start, sizeof start, "%s/a/sub_exp_", folder);
    char *first = open_one(NULL, false);
    char *second = open_one(NULL, false);
    assert_non_null(first);
    assert_non_null(second);
    assert_memory_equal(first, start, strlen(start));
    assert_memory_equal(second, start, strlen(start));
    assert_string_not_equal(first, second);
    free(first);
    free(second);
}

static void who_resumes_goes_on_in_the_same_directory(void **state)
{
    (void)state;
    set("expname", "a");
    assert_null(open_one(NULL, true));
    assert_int_equal(err.code, FMQ_ERR_NOTFOUND);
    char *first = open_one(NULL, false);
    char *again = open_one(NULL, true);
    assert_string_equal(first, again);
    free(first);
    free(again);
}

static void an_explicit_directory_must_be_empty_unless_resumed(void **state)
{
    (void)state;
    char mine[128];
    snprintf(mine, sizeof mine, "%s/mine", folder);
    char *path = open_one(mine, false);
    assert_string_equal(path, mine);
    assert_int_equal(fmq_rundir_write(path, "config.yaml", "a: 1\n", &err), 0);
    free(path);
    assert_null(open_one(mine, false));
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
    assert_non_null(strstr(err.text, "--resume"));
    path = open_one(mine, true);
    assert_string_equal(path, mine);
    free(path);
}

static void what_cannot_be_created_names_path_and_reason(void **state)
{
    (void)state;
    char file[128], below[160];
    snprintf(file, sizeof file, "%s/file", folder);
    fclose(fopen(file, "w"));
    snprintf(below, sizeof below, "%s/below", file);
    assert_null(open_one(below, false));
    assert_int_equal(err.code, FMQ_ERR_IO);
    assert_non_null(strstr(err.text, below));
}

static void a_file_is_written_whole_and_without_leftovers(void **state)
{
    (void)state;
    char path[160], text[32] = "";
    assert_int_equal(fmq_rundir_write(folder, "config.yaml", "old\n", &err), 0);
    assert_int_equal(fmq_rundir_write(folder, "config.yaml", "new\n", &err), 0);
    snprintf(path, sizeof path, "%s/config.yaml", folder);
    FILE *file = fopen(path, "r");
    assert_non_null(fgets(text, sizeof text, file));
    fclose(file);
    assert_string_equal(text, "new\n");
    snprintf(path, sizeof path, "%s/.config.yaml.new", folder);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(fmq_rundir_write("/nonexistent", "x", "y", &err), -1);
    assert_int_equal(err.code, FMQ_ERR_IO);
}

static int check(const char *endpoint, fmq_endpoint_use_t use, bool insecure)
{
    return fmq_address_check(endpoint, use, insecure, &err);
}

static void an_address_beyond_this_machine_needs_a_word_aloud(void **state)
{
    (void)state;
    static const fmq_endpoint_use_t uses[] = {FMQ_ENDPOINT_BIND, FMQ_ENDPOINT_CONNECT};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(check("tcp://127.0.0.1:50050", uses[i], false), 0);
        assert_int_equal(check("tcp://localhost:50050", uses[i], false), 0);
        assert_int_equal(check("tcp://[::1]:50050", uses[i], false), 0);
        assert_int_equal(check("tcp://10.0.0.1:50050", uses[i], false), -1);
        assert_int_equal(err.code, FMQ_ERR_DENIED);
        assert_non_null(strstr(err.text, "--insecure"));
        assert_int_equal(check("tcp://10.0.0.1:50050", uses[i], true), 0);
        assert_int_equal(check("10.0.0.1:50050", uses[i], true), -1);
        assert_int_equal(err.code, FMQ_ERR_CONFIG);
    }
    assert_int_equal(check("tcp://0.0.0.0:50050", FMQ_ENDPOINT_BIND, false), -1);
    assert_int_equal(err.code, FMQ_ERR_DENIED);
    assert_int_equal(check("tcp://[::]:50050", FMQ_ENDPOINT_BIND, false), -1);
    assert_int_equal(err.code, FMQ_ERR_DENIED);
    assert_int_equal(check("tcp://127.0.0.1:*", FMQ_ENDPOINT_BIND, false), 0);
}

static void a_name_without_an_address_may_get_one_where_that_is_no_risk(void **state)
{
    (void)state;
    assert_int_equal(check("tcp://nowhere.invalid:1", FMQ_ENDPOINT_CONNECT, true), 0);
    assert_int_equal(check("tcp://nowhere.invalid:1", FMQ_ENDPOINT_CONNECT, false), -1);
    assert_int_equal(err.code, FMQ_ERR_NOTFOUND);
    assert_non_null(strstr(err.text, "nowhere.invalid"));
    assert_int_equal(check("tcp://nowhere.invalid:1", FMQ_ENDPOINT_BIND, true), -1);
    assert_int_equal(err.code, FMQ_ERR_NOTFOUND);
}

static void clients_find_a_server_that_listens_everywhere_on_this_machine(void **state)
{
    (void)state;
    char endpoint[FMQ_ENDPOINT_MAX];
    assert_int_equal(fmq_address_of_server(config, false, endpoint, &err), 0);
    assert_string_equal(endpoint, "tcp://0.0.0.0:50050");
    assert_int_equal(fmq_address_of_server(config, true, endpoint, &err), 0);
    assert_string_equal(endpoint, "tcp://127.0.0.1:50050");
    set("distribute.server_host", "10.1.2.3");
    set("distribute.server_port", "6000");
    assert_int_equal(fmq_address_of_server(config, true, endpoint, &err), 0);
    assert_string_equal(endpoint, "tcp://10.1.2.3:6000");
    set("distribute.server_host", "::1");
    assert_int_equal(fmq_address_of_server(config, false, endpoint, &err), 0);
    assert_string_equal(endpoint, "tcp://[::1]:6000");
    set("distribute.server_host", "[::]");
    assert_int_equal(fmq_address_of_server(config, true, endpoint, &err), 0);
    assert_string_equal(endpoint, "tcp://127.0.0.1:6000");
    set("distribute.server_host", "10.1.2.3:6001");
    assert_int_equal(fmq_address_of_server(config, true, endpoint, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
    assert_non_null(strstr(err.text, "distribute.server_host"));
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_name_is_made_from_what_is_trained_when_none_is_given),
        CASE(a_new_run_gets_its_own_directory),
        CASE(a_directory_that_is_there_is_not_written_into),
        CASE(who_resumes_goes_on_in_the_same_directory),
        CASE(an_explicit_directory_must_be_empty_unless_resumed),
        CASE(what_cannot_be_created_names_path_and_reason),
        CASE(a_file_is_written_whole_and_without_leftovers),
        CASE(an_address_beyond_this_machine_needs_a_word_aloud),
        CASE(a_name_without_an_address_may_get_one_where_that_is_no_risk),
        CASE(clients_find_a_server_that_listens_everywhere_on_this_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
