/*
 * test_resolve.c - which directory a model's id leads to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fedmq/llm/hub.h"
#include "tests/llm/hub/scratch.h"

/* A home with a cache of two models, and nothing inherited from the caller. */
static int set_up(void **state)
{
    static scratch_t scratch;
    scratch_init(&scratch);
    static const char *const folders[] = {
        "cache",
        "cache/models--gpt2",
        "cache/models--gpt2/refs",
        "cache/models--gpt2/snapshots",
        "cache/models--gpt2/snapshots/607a30d783",
        "cache/models--org--small-model",
        "cache/models--org--small-model/refs",
        "cache/models--org--small-model/snapshots",
        "cache/models--org--small-model/snapshots/abc",
        "cache/plain",
        "home",
        "home/.cache",
        "home/.cache/huggingface",
        "home/.cache/huggingface/hub",
        "home/.cache/huggingface/hub/at-home",
        "hf",
        "hf/hub",
        "hf/hub/in-hf-home",
        "hubcache",
        "hubcache/in-hub-cache",
    };
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        (void)scratch_folder(&scratch, folders[i]);
    (void)scratch_text(&scratch, "cache/models--gpt2/refs/main", "607a30d783\n");
    (void)scratch_text(&scratch, "cache/models--org--small-model/refs/main", "../../../plain");
    (void)setenv("HOME", scratch_path(&scratch, "home"), 1);
    (void)setenv("HF_HOME", scratch_path(&scratch, "hf"), 1);
    (void)setenv("HF_HUB_CACHE", scratch_path(&scratch, "hubcache"), 1);
    *state = &scratch;
    return 0;
}

static int tear_down(void **state)
{
    scratch_release(*state);
    return 0;
}

static void leads_to(void **state, const char *id, const char *expected)
{
    char cache[2 * SCRATCH_PATH_MAX];
    (void)snprintf(cache, sizeof cache, "%s", scratch_path(*state, "cache"));
    fmq_error_t err = {0};
    char *path = llm_hub_resolve(id, cache, &err);
    if (!path)
        fail_msg("%s: %s", id, err.text);
    assert_string_equal(path, scratch_path(*state, expected));
    free(path);
}

static void a_directory_is_its_own_model(void **state)
{
    char directory[2 * SCRATCH_PATH_MAX];
    (void)snprintf(directory, sizeof directory, "%s", scratch_path(*state, "cache/plain"));
    leads_to(state, directory, "cache/plain");
}

static void an_id_leads_to_the_snapshot_of_its_main_branch(void **state)
{
    leads_to(state, "gpt2", "cache/models--gpt2/snapshots/607a30d783");
    leads_to(state, "gpt2@huggingface_llm", "cache/models--gpt2/snapshots/607a30d783");
}

static void a_plain_folder_below_a_cache_is_found(void **state)
{
    leads_to(state, "plain", "cache/plain");
}

static void every_cache_of_hugging_face_is_looked_at(void **state)
{
    leads_to(state, "in-hf-home", "hf/hub/in-hf-home");
    leads_to(state, "in-hub-cache", "hubcache/in-hub-cache");
    leads_to(state, "at-home", "home/.cache/huggingface/hub/at-home");
}

static void a_model_that_is_nowhere_is_told_with_every_place(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    assert_null(llm_hub_resolve("org/absent@huggingface_llm", "/nonexistent-cache", &err));
    assert_int_equal(err.code, FMQ_ERR_NOTFOUND);
    assert_non_null(strstr(err.text, "huggingface-cli download org/absent"));
    assert_non_null(strstr(err.text, "/nonexistent-cache/models--org--absent"));
    assert_non_null(strstr(err.text, "/hubcache/org/absent"));
    assert_non_null(strstr(err.text, "/home/.cache/huggingface/hub/models--org--absent"));
}

static void a_commit_that_leads_out_of_the_cache_is_ignored(void **state)
{
    char cache[2 * SCRATCH_PATH_MAX];
    (void)snprintf(cache, sizeof cache, "%s", scratch_path(*state, "cache"));
    fmq_error_t err = {0};
    assert_null(llm_hub_resolve("org/small-model", cache, &err));
    assert_int_equal(err.code, FMQ_ERR_NOTFOUND);
}

static void what_cannot_be_an_id_is_refused(void **state)
{
    (void)state;
    static char longest[8192];
    memset(longest, 'a', sizeof longest - 1);
    const char *const ids[] = {"",
                               "../gpt2x",
                               "a/b/c",
                               "a//b",
                               "a b",
                               "@huggingface_llm",
                               "gpt2@modelscope_llm",
                               "/no/such/place",
                               ".hidden",
                               longest};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        fmq_error_t err = {0};
        assert_null(llm_hub_resolve(ids[i], NULL, &err));
        assert_int_equal(err.code, FMQ_ERR_NOTFOUND);
        assert_non_null(strstr(err.text, "neither a directory nor an id"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_is_its_own_model),
        cmocka_unit_test(an_id_leads_to_the_snapshot_of_its_main_branch),
        cmocka_unit_test(a_plain_folder_below_a_cache_is_found),
        cmocka_unit_test(every_cache_of_hugging_face_is_looked_at),
        cmocka_unit_test(a_model_that_is_nowhere_is_told_with_every_place),
        cmocka_unit_test(a_commit_that_leads_out_of_the_cache_is_ignored),
        cmocka_unit_test(what_cannot_be_an_id_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
