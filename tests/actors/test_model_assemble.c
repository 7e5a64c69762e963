/*
 * test_model_assemble.c - a model that was cut up by a server and fetched by a
 * client is the same model, and the server gives nothing else away.
 */
#include <unistd.h>

#include "actors/model_transfer/part_object.h"
#include "actors/storage/blob_cache.h"
#include "actors_test.h"
#include "tests/broker/fabric.h"
#include "transfer_stage.h"

#define DIRECTORY FEDMQ_SOURCE_DIR "/configs/quickstart/model"

typedef struct {
    char folder[64];
    llm_backend_t *be;
    llm_model_t *teacher;
    llm_emulator_t *emulator;
    fmq_router_t *router;
    fmq_link_t *server, *client;
    fmq_pins_t *pins;
    fmq_manifest_t manifest;
    fmq_error_t err;
} stage_t;

static const llm_adapter_spec_t lora = {.kind = LLM_ADAPTER_LORA, .rank = 4, .alpha = 8};

static void need(const stage_t *self, bool good)
{
    if (!good)
        fail_msg("%s", self->err.text);
}

static llm_emulator_t *emulate(stage_t *self, double drop_ratio)
{
    const llm_emulator_spec_t spec = {.strategy = LLM_DROP_LAYER,
                                      .emu_l = 1,
                                      .emu_r = 3,
                                      .drop_ratio = drop_ratio,
                                      .adapter = lora};
    const llm_emulator_building_t how = {.be = self->be};
    llm_emulator_t *emulator = llm_emulator_new(self->teacher, &spec, &how, &self->err);
    need(self, emulator != NULL);
    return emulator;
}

/* A server that publishes the emulator, and a client that is new to it. */
static void serve(stage_t *self, const llm_emulator_t *emulator)
{
    uint8_t body[1024];
    fmq_message_run_t run = {.rounds = 1};
    fmq_blob_t manifest;
    fmq_link_close(&self->client, 100);
    fmq_link_close(&self->server, 100);
    const char *endpoint = fmq_router_endpoint(self->router, 0);
    self->server = fabric_link(endpoint, "server", FMQ_ROLE_SERVER);
    self->client = fabric_link(endpoint, "client-1", FMQ_ROLE_CLIENT);
    const fmq_model_offer_t offer = {
        .offsite = llm_emulator_offsite(emulator), .tokenizer = DIRECTORY, .pins = self->pins};
    need(self, fmq_model_publish(self->server, &offer, &manifest, &self->err) == 0);
    run.manifest = manifest.digest;
    run.manifest_bytes = manifest.bytes;
    memset(run.run, '1', FMQ_RUN_ID_SIZE - 1);
    size_t size = fmq_message_run_encode(&run, body, sizeof body, NULL);
    assert_int_equal(fmq_link_note(self->server, "*", "run", body, size, NULL), 0);
}

static int set_up(void **state)
{
    stage_t *self = calloc(1, sizeof *self);
    test_folder_make(self->folder);
    self->be = llm_backend_cpu_new(1, &self->err);
    self->teacher = self->be ? llm_model_open(DIRECTORY, self->be, &self->err) : NULL;
    need(self, self->teacher != NULL);
    self->router = fabric_router("tcp://127.0.0.1:*", NULL);
    assert_non_null(self->router);
    self->pins = fmq_pins_new();
    assert_non_null(self->pins);
    self->emulator = emulate(self, 0.5);
    serve(self, self->emulator);
    *state = self;
    return 0;
}

static int tear_down(void **state)
{
    stage_t *self = *state;
    fmq_link_close(&self->client, 0);
    fmq_link_close(&self->server, 0);
    fmq_router_destroy(&self->router);
    need(self, fmq_pins_await(self->pins, FABRIC_PATIENCE_MS, &self->err) == 0);
    fmq_pins_destroy(&self->pins);
    llm_emulator_destroy(&self->emulator);
    llm_model_destroy(&self->teacher);
    llm_backend_destroy(&self->be);
    test_folder_remove(self->folder);
    free(self);
    return 0;
}

static void fetch(stage_t *self)
{
    const fmq_model_download_t how = {.link = self->client, .directory = self->folder};
    need(self, fmq_model_download(&how, &self->manifest, &self->err) == 0);
}

static void the_fetched_model_is_the_one_that_was_cut_up(void **state)
{
    stage_t *self = *state;
    fmq_assembled_t student;
    const llm_offsite_t *here = llm_emulator_offsite(self->emulator);
    fetch(self);
    need(self, fmq_assembled_open(&student, self->folder, &self->manifest, &lora, self->be,
                                  &self->err) == 0);
    const llm_offsite_t *there = llm_emulator_offsite(student.emulator);
    fmq_digest_t a = llm_model_digest(here->student), b = llm_model_digest(there->student);
    assert_true(fmq_digest_equal(&a, &b));
    assert_null(there->teacher);
    assert_int_equal(there->l, 1);
    assert_int_equal(there->r, 3);
    assert_int_equal(there->behind, here->behind);
    a = fmq_schema_digest(llm_adapter_schema(here->plugged));
    b = fmq_schema_digest(llm_adapter_schema(there->plugged));
    assert_true(fmq_digest_equal(&a, &b));
    a = fmq_schema_digest(llm_adapter_schema(here->state));
    b = fmq_schema_digest(llm_adapter_schema(there->state));
    assert_true(fmq_digest_equal(&a, &b));

    llm_tokenizer_t *own = llm_tokenizer_open(DIRECTORY, &self->err);
    llm_ids_t ids = {0}, again = {0};
    const char *text = "Sort the words: zebra, apple, mango";
    assert_int_equal(llm_tokenizer_encode(own, text, strlen(text), true, &ids, NULL), 0);
    assert_int_equal(
        llm_tokenizer_encode(student.tokenizer, text, strlen(text), true, &again, NULL), 0);
    assert_int_equal(ids.size, again.size);
    assert_memory_equal(ids.ids, again.ids, ids.size * sizeof *ids.ids);
    llm_ids_release(&ids);
    llm_ids_release(&again);
    llm_tokenizer_destroy(&own);
    fmq_assembled_close(&student);
}

/* How fetching this object as a client ends. */
static fmq_event_type_t outcome(stage_t *self, const fmq_digest_t *digest, fmq_error_code_t *code)
{
    fmq_event_t event;
    assert_int_equal(fmq_link_fetch(self->client, "server", digest, 0, UINT64_C(1) << 30, NULL), 0);
    int64_t until = fmq_clock_ms() + FABRIC_PATIENCE_MS;
    while (fmq_clock_ms() < until)
        if (fmq_link_receive(self->client, 100, &event, NULL) > 0 &&
            (event.type == FMQ_EVENT_FETCHED || event.type == FMQ_EVENT_FAILED)) {
            *code = event.error.code;
            return event.type;
        }
    fail_msg("the fetch did not end");
    return FMQ_EVENT_DOWN;
}

static void a_dropped_layer_cannot_be_had(void **state)
{
    stage_t *self = *state;
    fmq_error_code_t code;
    fetch(self);
    for (uint32_t layer = 0; layer < 4; layer++) {
        fmq_object_t *object = fmq_part_object(self->teacher, layer, NULL, &self->err);
        need(self, object != NULL);
        bool held = false;
        for (uint32_t i = 0; i < self->manifest.layers; i++)
            held |= fmq_digest_equal(&self->manifest.parts[i].digest, fmq_object_digest(object));
        fmq_event_type_t end = outcome(self, fmq_object_digest(object), &code);
        assert_int_equal(held, layer != 2);
        assert_int_equal(end, held ? FMQ_EVENT_FETCHED : FMQ_EVENT_FAILED);
        if (!held)
            assert_int_equal(code, FMQ_ERR_NOTFOUND);
        fmq_object_drop(&object);
    }
}

static void another_drop_ratio_fetches_the_new_layer_alone(void **state)
{
    stage_t *self = *state;
    fetch(self);
    llm_emulator_t *more = emulate(self, 0);
    serve(self, more);
    uint64_t before = fmq_manifest_bytes(&self->manifest);
    fetch(self);
    assert_int_equal(self->manifest.layers, 4);
    uint64_t received = fmq_link_traffic(self->client).payload_received;
    uint64_t layer = self->manifest.parts[2].bytes;
    assert_true(fmq_manifest_bytes(&self->manifest) == before + layer);
    assert_true(received >= layer && received < layer + FMQ_MANIFEST_MAX);
    fmq_link_close(&self->server, 100);
    need(self, fmq_pins_await(self->pins, FABRIC_PATIENCE_MS, &self->err) == 0);
    llm_emulator_destroy(&more);
}

static void the_model_is_awaited_until_nobody_reads_it(void **state)
{
    stage_t *self = *state;
    fmq_object_t *object = fmq_part_object(self->teacher, 0, self->pins, &self->err);
    fmq_link_close(&self->server, 100);
    assert_int_equal(fmq_pins_await(self->pins, 30, &self->err), -1);
    assert_int_equal(self->err.code, FMQ_ERR_TIMEOUT);
    fmq_object_drop(&object);
    assert_int_equal(fmq_pins_await(self->pins, FABRIC_PATIENCE_MS, &self->err), 0);
}

static void the_full_model_is_known_by_its_parts(void **state)
{
    stage_t *self = *state;
    fetch(self);
    assert_int_equal(fmq_model_match(self->teacher, &self->manifest, &self->err), 0);
    llm_model_t *other = llm_model_new_random(llm_model_shape(self->teacher), 1, self->be, NULL);
    assert_int_equal(fmq_model_match(other, &self->manifest, &self->err), -1);
    assert_int_equal(self->err.code, FMQ_ERR_MISMATCH);
    llm_model_destroy(&other);
}

static void a_file_that_is_no_part_is_an_error_with_its_name(void **state)
{
    stage_t *self = *state;
    fmq_assembled_t student = {0};
    char hex[FMQ_DIGEST_HEX_SIZE], path[256];
    fetch(self);
    fmq_digest_hex(&self->manifest.parts[1].digest, hex);
    stage_write(test_path(path, self->folder, hex), "garbage", 7);
    assert_int_equal(
        fmq_assembled_open(&student, self->folder, &self->manifest, &lora, self->be, &self->err),
        -1);
    assert_non_null(strstr(self->err.text, hex));
    assert_null(student.emulator);
    assert_null(student.tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_fetched_model_is_the_one_that_was_cut_up, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_dropped_layer_cannot_be_had, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_drop_ratio_fetches_the_new_layer_alone, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_model_is_awaited_until_nobody_reads_it, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_full_model_is_known_by_its_parts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_is_no_part_is_an_error_with_its_name, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
