/*
 * test_download.c - what a failed fetch means, and fetches that are tried again
 * over a router that has little patience.
 */
#include "actors_test.h"

#include <czmq.h>

#include "actors/protocol/download.h"
#include "fedmq/base/clock.h"
#include "fedmq/broker/router.h"

#define ENDPOINT "inproc://download"
#define LIMIT_MS 20000

typedef struct {
    fmq_router_t *router;
    fmq_link_t *owner, *reader;
    fmq_schema_t *schema;
    float *vector, *back;
    fmq_object_t *object;
    fmq_download_t download;
} fixture_t;

static fmq_link_t *join(const char *name, fmq_role_t role)
{
    fmq_link_options_t options = {
        .endpoint = ENDPOINT, .name = name, .role = role, .heartbeat_ms = 50, .timeout_ms = 2000};
    fmq_link_t *link = fmq_link_open(&options, NULL);
    assert_non_null(link);
    return link;
}

static int setup(void **state)
{
    fixture_t *f = calloc(1, sizeof *f);
    fmq_router_options_t options = {.endpoints = {ENDPOINT}, .heartbeat_ms = 50, .timeout_ms = 200};
    f->router = fmq_router_new(&options, NULL);
    assert_non_null(f->router);
    f->owner = join("server", FMQ_ROLE_SERVER);
    f->reader = join("client-1", FMQ_ROLE_CLIENT);
    f->schema = test_schema();
    f->vector = test_vector(f->schema, 1);
    f->back = test_vector(f->schema, 2);
    f->object = fmq_state_encode(f->schema, f->vector, FMQ_CODEC_F32, NULL);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_t *f = *state;
    fmq_download_cancel(&f->download);
    fmq_link_close(&f->reader, 0);
    fmq_link_close(&f->owner, 0);
    fmq_router_destroy(&f->router);
    fmq_object_drop(&f->object);
    fmq_schema_destroy(&f->schema);
    free(f->vector);
    free(f->back);
    free(f);
    return 0;
}

static fmq_download_from_t from(const fixture_t *f, const fmq_object_t *object)
{
    return (fmq_download_from_t){.link = f->reader,
                                 .actor = "client-1",
                                 .what = "state",
                                 .owner = "server",
                                 .digest = fmq_object_digest(object)};
}

/* Until it is done or has failed, or has had so many failures. */
static fmq_receive_t go_on(fixture_t *f, uint32_t failures, fmq_error_t *err)
{
    int64_t until = fmq_clock_ms() + LIMIT_MS;
    fmq_receive_t got = FMQ_RECEIVE_OTHER;
    while (got != FMQ_RECEIVE_DONE && got != FMQ_RECEIVE_FAILED &&
           f->download.failures < failures) {
        fmq_event_t event;
        int64_t now_ms = fmq_clock_ms();
        assert_true(now_ms < until);
        fmq_download_work(&f->download, now_ms);
        int patience = fmq_download_patience(&f->download, now_ms, 100);
        assert_in_range(patience, 0, 100);
        if (fmq_link_receive(f->reader, patience, &event, NULL) > 0)
            got = fmq_download_take(&f->download, &event, fmq_clock_ms(), err);
    }
    return got;
}

static void trouble_on_the_way_is_transient_and_content_is_not(void **state)
{
    (void)state;
    static const fmq_error_code_t transient[] = {FMQ_ERR_NOTFOUND, FMQ_ERR_TIMEOUT,
                                                 FMQ_ERR_IO,       FMQ_ERR_NOMEM,
                                                 FMQ_ERR_STOPPED,  FMQ_ERR_INTERNAL};
    static const fmq_error_code_t wrong[] = {FMQ_ERR_FORMAT, FMQ_ERR_NUMERIC, FMQ_ERR_MISMATCH,
                                             FMQ_ERR_LIMIT,  FMQ_ERR_DENIED,  FMQ_ERR_UNSUPPORTED};
    for (size_t i = 0; i < sizeof transient / sizeof *transient; i++)
        assert_int_equal(fmq_download_judge(transient[i]), FMQ_DOWNLOAD_TRANSIENT);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(fmq_download_judge(wrong[i]), FMQ_DOWNLOAD_WRONG);
}

static void pauses_grow_up_to_a_limit(void **state)
{
    (void)state;
    assert_int_equal(fmq_download_pause_ms(1), FMQ_DOWNLOAD_PAUSE_MS);
    assert_int_equal(fmq_download_pause_ms(2), 2 * FMQ_DOWNLOAD_PAUSE_MS);
    assert_int_equal(fmq_download_pause_ms(UINT32_MAX), FMQ_DOWNLOAD_PAUSE_MAX_MS);
}

static void what_is_not_there_yet_is_asked_for_again_until_it_comes(void **state)
{
    fixture_t *f = *state;
    fmq_error_t err = {0};
    fmq_download_from_t where = from(f, f->object);
    fmq_download_vector(&f->download, &where, f->schema, f->back, fmq_clock_ms());
    go_on(f, 2, &err);
    assert_true(f->download.active);
    assert_int_equal(fmq_link_publish(f->owner, f->object, "*", NULL), 0);
    assert_int_equal(go_on(f, 99, &err), FMQ_RECEIVE_DONE);
    assert_int_equal(f->download.failures, 2);
    assert_memory_equal(f->back, f->vector, fmq_schema_elements(f->schema) * sizeof *f->back);
    assert_int_equal(fmq_download_patience(&f->download, 0, -1), -1);
}

static void bytes_are_asked_for_again_too(void **state)
{
    fixture_t *f = *state;
    fmq_error_t err = {0};
    fmq_object_t *text = fmq_object_from_bytes("records", 7, NULL);
    fmq_download_from_t where = from(f, text);
    fmq_download_bytes(&f->download, &where, 100, fmq_clock_ms());
    go_on(f, 1, &err);
    assert_int_equal(fmq_link_publish(f->owner, text, "*", NULL), 0);
    assert_int_equal(go_on(f, 99, &err), FMQ_RECEIVE_DONE);
    assert_string_equal(f->download.bytes.data, "records");
    fmq_object_drop(&text);
}

static void what_is_wrong_is_asked_for_once(void **state)
{
    fixture_t *f = *state;
    fmq_object_t *rubbish = fmq_object_from_bytes("rubbish", 7, NULL);
    assert_int_equal(fmq_link_publish(f->owner, rubbish, "*", NULL), 0);
    for (int plain = 0; plain < 2; plain++) {
        fmq_error_t err = {0};
        fmq_download_from_t where = from(f, rubbish);
        if (plain)
            fmq_download_bytes(&f->download, &where, 6, fmq_clock_ms());
        else
            fmq_download_vector(&f->download, &where, f->schema, f->back, fmq_clock_ms());
        assert_int_equal(go_on(f, 1, &err), FMQ_RECEIVE_FAILED);
        assert_int_equal(fmq_download_judge(err.code), FMQ_DOWNLOAD_WRONG);
        assert_false(f->download.active);
        assert_int_equal(f->download.failures, 0);
    }
    fmq_object_drop(&rubbish);
}

static void one_that_is_cancelled_can_begin_anew(void **state)
{
    fixture_t *f = *state;
    fmq_error_t err = {0};
    fmq_download_from_t where = from(f, f->object);
    fmq_download_vector(&f->download, &where, f->schema, f->back, fmq_clock_ms());
    fmq_download_cancel(&f->download);
    assert_int_equal(fmq_link_publish(f->owner, f->object, "*", NULL), 0);
    fmq_download_vector(&f->download, &where, f->schema, f->back, fmq_clock_ms());
    assert_int_equal(go_on(f, 99, &err), FMQ_RECEIVE_DONE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trouble_on_the_way_is_transient_and_content_is_not),
        cmocka_unit_test(pauses_grow_up_to_a_limit),
        TEST(what_is_not_there_yet_is_asked_for_again_until_it_comes),
        TEST(bytes_are_asked_for_again_too),
        TEST(what_is_wrong_is_asked_for_once),
        TEST(one_that_is_cancelled_can_begin_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
