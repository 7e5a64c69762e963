/*
 * test_model_download.c - a client fetches the parts of a run's manifest over
 * tcp: what is missing, from where it ended, past restarts and mistakes.
 */
#include <pthread.h>
#include <unistd.h>

#include <czmq.h>

#include "actors/storage/blob_cache.h"
#include "actors_test.h"
#include "tests/broker/fabric.h"
#include "transfer_stage.h"

typedef struct {
    char folder[64];
    fmq_router_t *router;
    fmq_link_t *server, *client;
    fmq_object_t *objects[STAGE_PARTS], *manifest_object;
    fmq_manifest_t *manifest;
    fmq_message_run_t run;
    uint32_t shown, parts, last;
    uint64_t first_bytes;
    int stop;
    uint32_t seen, idle; /* events that watch() was handed, and times without one */
    uint32_t patience;   /* it ends after so many of these; 0: never */
} stage_t;

static fmq_link_t *link_of(const stage_t *self, const char *name, fmq_role_t role)
{
    fmq_link_t *link = fabric_link(fmq_router_endpoint(self->router, 0), name, role);
    assert_non_null(link);
    return link;
}

static fmq_object_t *object_of(const fmq_manifest_t *manifest)
{
    static uint8_t bytes[FMQ_MANIFEST_MAX];
    size_t size = fmq_manifest_encode(manifest, bytes, sizeof bytes, NULL);
    return fmq_object_from_bytes(bytes, size, NULL);
}

static void publish(stage_t *self, fmq_object_t *object)
{
    assert_int_equal(fmq_link_publish(self->server, object, "@client", NULL), 0);
    assert_int_equal(fmq_link_publish(self->server, object, "@evaluator", NULL), 0);
}

/* Publishes the parts but `without`, and the manifest, and leaves the note. */
static void announce(stage_t *self, int without)
{
    uint8_t body[1024];
    for (int i = 0; i < STAGE_PARTS; i++)
        if (i != without)
            publish(self, self->objects[i]);
    publish(self, self->manifest_object);
    memset(self->run.run, '0', FMQ_RUN_ID_SIZE - 1);
    self->run.manifest = *fmq_object_digest(self->manifest_object);
    self->run.manifest_bytes = fmq_object_bytes(self->manifest_object);
    size_t size = fmq_message_run_encode(&self->run, body, sizeof body, NULL);
    assert_int_equal(fmq_link_note(self->server, "*", "run", body, size, NULL), 0);
}

static int set_up(void **state)
{
    stage_t *self = calloc(1, sizeof *self);
    test_folder_make(self->folder);
    self->router = fabric_router("tcp://127.0.0.1:*", NULL);
    assert_non_null(self->router);
    self->manifest = stage_manifest(3, self->objects);
    self->manifest_object = object_of(self->manifest);
    self->server = link_of(self, "server", FMQ_ROLE_SERVER);
    self->client = link_of(self, "client-1", FMQ_ROLE_CLIENT);
    *state = self;
    return 0;
}

static int tear_down(void **state)
{
    stage_t *self = *state;
    fmq_link_close(&self->client, 0);
    fmq_link_close(&self->server, 0);
    fmq_router_destroy(&self->router);
    for (int i = 0; i < STAGE_PARTS; i++)
        fmq_object_drop(&self->objects[i]);
    fmq_object_drop(&self->manifest_object);
    test_folder_remove(self->folder);
    free(self->manifest);
    free(self);
    return 0;
}

static void show(void *argument, const fmq_model_progress_t *progress)
{
    stage_t *self = argument;
    if (self->shown++ == 0)
        self->first_bytes = progress->bytes;
    self->parts = progress->parts;
    self->last = progress->part;
    assert_true(progress->part <= progress->parts);
    assert_true(progress->bytes <= progress->bytes_total);
}

static int stop(void *argument)
{
    const stage_t *self = argument;
    return self->stop;
}

static int watch(void *argument, const fmq_event_t *event, fmq_error_t *err)
{
    stage_t *self = argument;
    self->seen += event ? 1 : 0;
    self->idle += event ? 0 : 1;
    if (self->patience > 0 && self->idle >= self->patience)
        return fmq_error_set(err, FMQ_ERR_TIMEOUT, "nobody came back");
    return 0;
}

static int fetch(stage_t *self, fmq_manifest_t *manifest, fmq_error_t *err)
{
    const fmq_model_download_t how = {.link = self->client,
                                      .directory = self->folder,
                                      .show = show,
                                      .stop = stop,
                                      .watch = watch,
                                      .argument = self};
    self->shown = self->parts = self->last = 0;
    return fmq_model_download(&how, manifest, err);
}

static char *path_of(const stage_t *self, int part, const char *ending, char out[256])
{
    char hex[FMQ_DIGEST_HEX_SIZE];
    fmq_digest_hex(fmq_object_digest(self->objects[part]), hex);
    snprintf(out, 256, "%s/%s%s", self->folder, hex, ending);
    return out;
}

static void assert_all_here(const stage_t *self)
{
    char path[256];
    for (int i = 0; i < STAGE_PARTS; i++) {
        assert_true(stage_holds(path_of(self, i, "", path), self->objects[i]));
        assert_int_not_equal(access(path_of(self, i, ".part", path), F_OK), 0);
    }
}

/* A fresh client: an old one has seen the run's note already. */
static void come_anew(stage_t *self)
{
    fmq_link_close(&self->client, 100);
    self->client = link_of(self, "client-1", FMQ_ROLE_CLIENT);
}

static void all_parts_come_and_only_once(void **state)
{
    stage_t *self = *state;
    fmq_manifest_t *got = calloc(1, sizeof *got);
    fmq_error_t err = {0};
    announce(self, -1);
    if (fetch(self, got, &err) < 0)
        fail_msg("%s", err.text);
    assert_memory_equal(got, self->manifest, sizeof *got);
    assert_all_here(self);
    assert_int_equal(self->parts, STAGE_PARTS - 1);
    assert_int_equal(self->last, STAGE_PARTS - 1);
    come_anew(self);
    assert_int_equal(fetch(self, got, &err), 0);
    assert_int_equal(self->parts, 0);
    uint64_t second = fmq_link_traffic(self->client).payload_received;
    assert_true(second <= fmq_object_bytes(self->manifest_object));
    free(got);
}

static void a_half_fetched_part_is_taken_up(void **state)
{
    stage_t *self = *state;
    fmq_manifest_t *got = calloc(1, sizeof *got);
    char path[256];
    size_t size;
    const void *chunk = fmq_object_chunk(self->objects[2], 0, &size);
    stage_write(path_of(self, 2, ".part", path), chunk, size);
    announce(self, -1);
    assert_int_equal(fetch(self, got, NULL), 0);
    assert_all_here(self);
    uint64_t received = fmq_link_traffic(self->client).payload_received;
    uint64_t all = fmq_manifest_bytes(self->manifest) + fmq_object_bytes(self->manifest_object);
    assert_true(received == all - FMQ_CHUNK_MAX);
    free(got);
}

static void wrong_bytes_on_disk_are_fetched_again(void **state)
{
    stage_t *self = *state;
    fmq_manifest_t *got = calloc(1, sizeof *got);
    char path[256];
    uint8_t *zeros = calloc(2, FMQ_CHUNK_MAX);
    stage_write(path_of(self, 2, ".part", path), zeros, 2 * FMQ_CHUNK_MAX);
    stage_write(path_of(self, 1, "", path), zeros, fmq_object_bytes(self->objects[1]));
    announce(self, -1);
    assert_int_equal(fetch(self, got, NULL), 0);
    assert_all_here(self);
    free(zeros);
    free(got);
}

static void a_run_without_a_manifest_is_no_run_for_it(void **state)
{
    stage_t *self = *state;
    fmq_manifest_t *got = calloc(1, sizeof *got);
    uint8_t body[1024];
    fmq_error_t err;
    size_t size = fmq_message_run_encode(&self->run, body, sizeof body, NULL);
    assert_int_equal(fmq_link_note(self->server, "*", "run", body, size, NULL), 0);
    assert_int_equal(fetch(self, got, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_MISMATCH);
    assert_non_null(strstr(err.text, "offsite_tuning"));
    free(got);
}

static void a_manifest_that_lies_about_a_size_is_refused(void **state)
{
    stage_t *self = *state;
    fmq_manifest_t *got = calloc(1, sizeof *got);
    fmq_error_t err;
    self->manifest->parts[0].bytes += 10;
    fmq_object_drop(&self->manifest_object);
    self->manifest_object = object_of(self->manifest);
    announce(self, -1);
    assert_int_equal(fetch(self, got, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_MISMATCH);
    self->manifest->parts[0].bytes -= 20;
    fmq_object_drop(&self->manifest_object);
    self->manifest_object = object_of(self->manifest);
    announce(self, -1);
    assert_int_equal(fetch(self, got, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
    free(got);
}

static void it_stops_when_it_is_told_to(void **state)
{
    stage_t *self = *state;
    fmq_manifest_t *got = calloc(1, sizeof *got);
    fmq_error_t err;
    self->stop = 1;
    assert_int_equal(fetch(self, got, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_STOPPED);
    free(got);
}

/* One part is never published: the fetch is tried again and again. */
static void who_watches_sees_every_event_and_may_end_it(void **state)
{
    stage_t *self = *state;
    fmq_manifest_t *got = calloc(1, sizeof *got);
    fmq_error_t err;
    announce(self, 2);
    self->patience = 3;
    assert_int_equal(fetch(self, got, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_TIMEOUT);
    assert_string_equal(err.text, "nobody came back");
    assert_true(self->seen >= 4); /* UP, the run's note, the manifest, a part */
    free(got);
}

/* The server comes back with the missing part a while later. */
static void *restart(void *argument)
{
    stage_t *self = argument;
    zclock_sleep(FABRIC_TIMEOUT_MS * 3 / 2);
    fmq_link_close(&self->server, 100);
    zclock_sleep(200);
    self->server = link_of(self, "server", FMQ_ROLE_SERVER);
    announce(self, -1);
    return NULL;
}

static void it_outlives_a_server_that_restarts(void **state)
{
    stage_t *self = *state;
    fmq_manifest_t *got = calloc(1, sizeof *got);
    fmq_error_t err = {0};
    pthread_t thread;
    announce(self, 2);
    assert_int_equal(pthread_create(&thread, NULL, restart, self), 0);
    int rc = fetch(self, got, &err);
    pthread_join(thread, NULL);
    if (rc < 0)
        fail_msg("%s", err.text);
    assert_all_here(self);
    free(got);
}

static void *end_run(void *argument)
{
    stage_t *self = argument;
    uint8_t body[1024];
    fmq_message_done_t done = {.reason = "early stop"};
    memcpy(done.run, self->run.run, sizeof done.run);
    zclock_sleep(200);
    size_t size = fmq_message_done_encode(&done, body, sizeof body, NULL);
    (void)fmq_link_note(self->server, "*", "done", body, size, NULL);
    return NULL;
}

static void a_run_that_ends_meanwhile_ends_it(void **state)
{
    stage_t *self = *state;
    fmq_manifest_t *got = calloc(1, sizeof *got);
    fmq_error_t err;
    pthread_t thread;
    announce(self, 2);
    assert_int_equal(pthread_create(&thread, NULL, end_run, self), 0);
    int rc = fetch(self, got, &err);
    pthread_join(thread, NULL);
    assert_int_equal(rc, -1);
    assert_int_equal(err.code, FMQ_ERR_NOTFOUND);
    assert_non_null(strstr(err.text, "early stop"));
    free(got);
}

static void an_observer_gets_nothing(void **state)
{
    stage_t *self = *state;
    fmq_manifest_t *got = calloc(1, sizeof *got);
    fmq_error_t err;
    fmq_link_close(&self->client, 0);
    self->client = link_of(self, "somebody", FMQ_ROLE_OBSERVER);
    announce(self, -1);
    assert_int_equal(fetch(self, got, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_DENIED);
    free(got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_parts_come_and_only_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_half_fetched_part_is_taken_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_bytes_on_disk_are_fetched_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_run_without_a_manifest_is_no_run_for_it, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_manifest_that_lies_about_a_size_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(it_stops_when_it_is_told_to, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_watches_sees_every_event_and_may_end_it, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(it_outlives_a_server_that_restarts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_run_that_ends_meanwhile_ends_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_observer_gets_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
