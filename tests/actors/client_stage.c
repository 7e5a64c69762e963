/*
 * client_stage.c - the embedded model, a router, and a server played by hand.
 */
#include "client_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "actors/runtime/pipe.h"
#include "actors/settings/settings.h"
#include "fedmq/actors/receive.h"
#include "fedmq/base/clock.h"

static void need(bool good, const stage_t *stage)
{
    if (!good)
        fail_msg("%s", stage->err.text);
}

static void open_engine(stage_t *stage)
{
    static const char directory[] = FEDMQ_SOURCE_DIR "/configs/quickstart/model";
    llm_adapter_spec_t spec;
    stage->loader = llm_backend_cpu_new(1, &stage->err);
    need(stage->loader != NULL, stage);
    stage->model = llm_model_open(directory, stage->loader, &stage->err);
    need(stage->model != NULL, stage);
    stage->tokenizer = llm_tokenizer_open(directory, &stage->err);
    need(stage->tokenizer != NULL, stage);
    need(fmq_settings_adapter(stage->config, &spec, &stage->err) == 0, stage);
    stage->adapter = llm_adapter_new(llm_model_shape(stage->model), &spec, &stage->err);
    need(stage->adapter != NULL, stage);
    stage->permits = fmq_devices_new(1, 1, &stage->err);
    need(stage->permits != NULL, stage);
}

static float *first_vector(stage_t *stage, const llm_adapter_t *adapter, const llm_model_t *model)
{
    uint64_t elements = fmq_schema_elements(llm_adapter_schema(adapter));
    float *vector = calloc((size_t)elements, sizeof *vector);
    need(llm_adapter_init(adapter, model, 1, vector, &stage->err) == 0, stage);
    return vector;
}

static void share(stage_t *stage)
{
    fmq_offsite_settings_t offsite;
    stage->context = (fmq_context_t){.config = stage->config,
                                     .model = stage->model,
                                     .adapter = stage->adapter,
                                     .tokenizer = stage->tokenizer,
                                     .permits = stage->permits,
                                     .store = stage->store,
                                     .endpoint = stage->endpoint};
    need(fmq_settings_offsite(stage->config, &offsite, &stage->err) == 0, stage);
    if (offsite.use) {
        llm_emulator_building_t how = {.be = stage->loader};
        stage->emulator = llm_emulator_new(stage->model, &offsite.emulator, &how, &stage->err);
        need(stage->emulator != NULL, stage);
        const llm_offsite_t *models = llm_emulator_offsite(stage->emulator);
        stage->emulator_vector = first_vector(stage, models->state, models->student);
        stage->context.model = NULL;
        stage->context.adapter = models->plugged;
        stage->context.offsite = models;
    }
    stage->state = first_vector(stage, stage->context.adapter, stage->model);
    stage->elements = (size_t)fmq_schema_elements(llm_adapter_schema(stage->context.adapter));
}

static void open_with(stage_t *stage, const char *yaml, uint32_t timeout_ms, fmq_store_t *store)
{
    static const char base[] = "federate: {client_num: 2}\n"
                               "llm: {tok_len: 96, adapter: {use: True, args: [{r: 2}]}}\n"
                               "dataloader: {batch_size: 4}\n"
                               "train:\n  optimizer: {type: AdamW, lr: 0.01}\n"
                               "fedmq: {heartbeat: 0.2, peer_timeout: 5}\n";
    *stage = (stage_t){.config = fmq_config_new(), .store = store};
    need(fmq_config_parse(stage->config, "base", base, strlen(base), &stage->err) == 0, stage);
    need(fmq_config_parse(stage->config, "test", yaml, strlen(yaml), &stage->err) == 0, stage);
    open_engine(stage);
    snprintf(stage->endpoint, sizeof stage->endpoint, "inproc://stage-%p", (void *)stage);
    fmq_router_options_t options = {.endpoints = {stage->endpoint},
                                    .heartbeat_ms = 200,
                                    .timeout_ms = timeout_ms,
                                    .store = store};
    stage->router = fmq_router_new(&options, &stage->err);
    need(stage->router != NULL, stage);
    share(stage);
    stage->server = stage_join(stage, "server", FMQ_ROLE_SERVER);
}

void stage_open(stage_t *stage, const char *yaml)
{
    open_with(stage, yaml, 0, NULL);
}

void stage_open_impatient(stage_t *stage, const char *yaml, uint32_t timeout_ms)
{
    open_with(stage, yaml, timeout_ms, NULL);
}

void stage_open_as_one(stage_t *stage, const char *yaml)
{
    open_with(stage, yaml, 0, fmq_store_new(UINT64_C(1) << 30));
}

void stage_close(stage_t *stage)
{
    fmq_link_close(&stage->server, 0);
    fmq_router_destroy(&stage->router);
    fmq_store_destroy(&stage->store);
    fmq_devices_destroy(&stage->permits);
    llm_adapter_destroy(&stage->adapter);
    llm_emulator_destroy(&stage->emulator);
    llm_tokenizer_destroy(&stage->tokenizer);
    llm_model_destroy(&stage->model);
    llm_backend_destroy(&stage->loader);
    fmq_config_destroy(&stage->config);
    free(stage->state);
    free(stage->emulator_vector);
}

fmq_link_t *stage_join(stage_t *stage, const char *name, fmq_role_t role)
{
    fmq_link_options_t options = {.endpoint = stage->endpoint,
                                  .name = name,
                                  .role = role,
                                  .store = stage->store,
                                  .heartbeat_ms = 200};
    fmq_link_t *link = fmq_link_open(&options, &stage->err);
    need(link != NULL, stage);
    return link;
}

llm_records_t *stage_records(int first, int size)
{
    llm_records_t *records = llm_records_new();
    for (int i = first; i < first + size; i++) {
        char question[64], answer[32];
        snprintf(question, sizeof question, "Which number comes after %d?", i);
        snprintf(answer, sizeof answer, "%d", i + 1);
        llm_record_t record = {.instruction = question, .output = answer};
        assert_int_equal(llm_records_add(records, &record, NULL), 0);
    }
    return records;
}

static void leave(stage_t *stage, const char *to, const char *topic, const void *body, size_t size)
{
    need(size > 0 && fmq_link_note(stage->server, to, topic, body, size, &stage->err) == 0, stage);
}

void stage_say_run(stage_t *stage, const char *run)
{
    uint8_t body[1024];
    fmq_message_run_t note = {.rounds = 5,
                              .clients = 2,
                              .model = llm_model_digest(fmq_context_client_model(&stage->context)),
                              .schema =
                                  fmq_schema_digest(llm_adapter_schema(stage->context.adapter))};
    snprintf(note.run, sizeof note.run, "%s", run);
    fmq_context_meaning(&stage->context, note.meaning);
    leave(stage, "*", "run", body, fmq_message_run_encode(&note, body, sizeof body, &stage->err));
}

/* Returns the digest of what was published. */
static fmq_digest_t publish(stage_t *stage, const llm_adapter_t *adapter, const float *vector,
                            uint64_t *bytes)
{
    fmq_object_t *object =
        fmq_state_encode(llm_adapter_schema(adapter), vector, FMQ_CODEC_F32, &stage->err);
    need(object != NULL, stage);
    fmq_digest_t digest = *fmq_object_digest(object);
    *bytes = fmq_object_bytes(object);
    need(fmq_link_publish(stage->server, object, "*", &stage->err) == 0, stage);
    fmq_object_drop(&object);
    return digest;
}

void stage_say_task(stage_t *stage, uint64_t serial, fmq_task_kind_t kind)
{
    uint8_t body[512];
    fmq_message_task_t note = {.run = STAGE_RUN,
                               .serial = serial,
                               .round = (uint32_t)serial,
                               .kind = kind,
                               .codec = FMQ_CODEC_F32};
    note.state = publish(stage, stage->context.adapter, stage->state, &note.state_bytes);
    if (stage->emulator)
        note.emulator = publish(stage, llm_emulator_offsite(stage->emulator)->state,
                                stage->emulator_vector, &note.emulator_bytes);
    stage->emulator_digest = note.emulator;
    leave(stage, "client-1", "task", body,
          fmq_message_task_encode(&note, body, sizeof body, &stage->err));
}

void stage_say_kind(stage_t *stage, uint64_t serial, fmq_task_kind_t kind,
                    const fmq_object_t *state)
{
    uint8_t body[512];
    fmq_message_task_t note = {.run = STAGE_RUN,
                               .serial = serial,
                               .round = (uint32_t)serial,
                               .kind = kind,
                               .state = *fmq_object_digest(state),
                               .state_bytes = fmq_object_bytes(state),
                               .codec = FMQ_CODEC_F32};
    leave(stage, "client-1", "task", body,
          fmq_message_task_encode(&note, body, sizeof body, &stage->err));
}

void stage_say_state(stage_t *stage, uint64_t serial, const fmq_object_t *state)
{
    stage_say_kind(stage, serial, FMQ_TASK_TRAIN, state);
}

static void say_end(stage_t *stage, bool failed, const char *reason)
{
    uint8_t body[1024];
    fmq_message_done_t note = {.run = STAGE_RUN, .rounds = 5, .failed = failed};
    snprintf(note.reason, sizeof note.reason, "%s", reason);
    leave(stage, "*", "done", body, fmq_message_done_encode(&note, body, sizeof body, &stage->err));
}

void stage_say_done(stage_t *stage, const char *reason)
{
    say_end(stage, false, reason);
}

void stage_say_failed(stage_t *stage, const char *reason)
{
    say_end(stage, true, reason);
}

fmq_message_report_t stage_hear(stage_t *stage, fmq_report_phase_t phase, uint64_t serial)
{
    int64_t until = fmq_clock_ms() + STAGE_LIMIT_MS;
    fmq_message_report_t report = {0};
    while (fmq_clock_ms() < until) {
        fmq_event_t event;
        if (fmq_link_receive(stage->server, 100, &event, NULL) <= 0 ||
            event.type != FMQ_EVENT_NOTE || strcmp(event.topic, "report") != 0)
            continue;
        need(fmq_message_report_decode(&report, event.data, event.size, &stage->err) == 0, stage);
        if (report.phase == phase && report.serial == serial)
            return report;
        if (report.phase == FMQ_REPORT_FAILED)
            fail_msg("client-1 failed: %s", report.reason);
    }
    fail_msg("no report of phase %d, serial %d", (int)phase, (int)serial);
    return report;
}

float *stage_fetch(stage_t *stage, const fmq_message_report_t *offer)
{
    const fmq_schema_t *schema = llm_adapter_schema(stage->context.adapter);
    float *vector = calloc(stage->elements, sizeof *vector);
    fmq_state_reader_t reader;
    fmq_receive_t got = FMQ_RECEIVE_OTHER;
    int64_t until = fmq_clock_ms() + STAGE_LIMIT_MS;
    fmq_state_reader_begin(&reader, schema, &offer->update, vector);
    need(fmq_link_fetch(stage->server, "client-1", &offer->update, 0, fmq_state_bytes_max(schema),
                        &stage->err) == 0,
         stage);
    while (got != FMQ_RECEIVE_DONE && fmq_clock_ms() < until) {
        fmq_event_t event;
        if (fmq_link_receive(stage->server, 100, &event, NULL) > 0)
            got = fmq_state_reader_take(&reader, &event, &stage->err);
        need(got != FMQ_RECEIVE_FAILED, stage);
    }
    assert_int_equal(got, FMQ_RECEIVE_DONE);
    return vector;
}

fmq_error_t stage_end_of(zactor_t *actor)
{
    fmq_error_t why = {0};
    int64_t until = fmq_clock_ms() + STAGE_LIMIT_MS;
    while (!fmq_pipe_ended(actor, &why)) {
        if (fmq_clock_ms() > until)
            fail_msg("an actor did not end");
        zclock_sleep(5);
    }
    return why;
}
