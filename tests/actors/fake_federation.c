/*
 * fake_federation.c - see fake_federation.h.
 */
#include "fake_federation.h"

#include "actors/runtime/pipe.h"
#include "actors/storage/directory.h"
#include "actors/storage/file.h"
#include "fedmq/base/clock.h"

#define ENDPOINT "inproc://fake-federation"

fmq_server_settings_t fake_settings(uint32_t clients, uint32_t rounds)
{
    return (fmq_server_settings_t){
        .seed = 5,
        .rounds = rounds,
        .clients = clients,
        .training = clients,
        .limits = {.min_ready = clients, .quorum = 1, .grace_ms = 3000},
        .heartbeat_ms = 100,
        .timeout_ms = 3000,
        .sampler = fmq_sampler_find("uniform", NULL),
        .sample_number = -1,
        .sample_rate = -1,
        .method = fmq_strategy_find("FedAvg", NULL),
        .rule = fmq_rule_find("fedavg", NULL),
        .codec = FMQ_CODEC_F32,
        .forms = {fmq_form_find("weighted_avg"), fmq_form_find("fairness")},
        .forms_size = 2,
        .raw = true,
        .best_key = "val_loss",
        .save_to = ""};
}

int fake_save(void *argument, const float *state, const char *directory, fmq_error_t *err)
{
    const uint64_t *elements = argument;
    char path[512];
    if (fmq_directory_make(directory, err) < 0)
        return -1;
    snprintf(path, sizeof path, "%s/state.bin", directory);
    return fmq_file_save(path, state, *elements * sizeof *state, err);
}

static void on_event(void *argument, const fmq_run_event_t *event)
{
    federation_t *self = argument;
    if (event->type == FMQ_RUN_ROUND)
        self->rounds_begun++;
    if (event->type == FMQ_RUN_AGGREGATED)
        self->bytes_down = event->bytes_down;
}

void fake_use(federation_t *self, const fmq_schema_t *schema, float *initial)
{
    free(self->initial);
    self->schema = schema;
    self->initial = initial;
    self->elements = fmq_schema_elements(schema);
}

void fake_open(federation_t *self, uint32_t clients, uint32_t rounds)
{
    memset(self, 0, sizeof *self);
    test_folder_make(self->folder);
    self->own_schema = test_schema();
    fake_use(self, self->own_schema, test_vector(self->own_schema, 99));
    self->settings = fake_settings(clients, rounds);
    self->store = fmq_store_new(UINT64_C(1) << 30);
    fmq_router_options_t router = {
        .endpoints = {ENDPOINT}, .store = self->store, .heartbeat_ms = 100, .timeout_ms = 3000};
    fmq_error_t err;
    self->router = fmq_router_new(&router, &err);
    if (!self->router)
        fail_msg("%s", err.text);
    self->endpoint = ENDPOINT;
}

void fake_close(federation_t *self)
{
    fake_end_server(self);
    for (int i = 0; i < FAKE_CLIENTS_MAX; i++)
        fake_client_stop(&self->clients[i]);
    fmq_router_destroy(&self->router);
    fmq_store_destroy(&self->store);
    fake_emulator_release(&self->emulator);
    fmq_schema_destroy(&self->own_schema);
    free(self->initial);
    test_folder_remove(self->folder);
}

void fake_add(federation_t *self, uint32_t client, fake_behaviour_t behaviour, uint32_t from,
              uint32_t delay_ms)
{
    fake_options_t options = {.number = client,
                              .endpoint = self->endpoint,
                              .store = self->store,
                              .schema = self->schema,
                              .emulator_schema = self->emulator.schema,
                              .behaviour = behaviour,
                              .from = from,
                              .delay_ms = delay_ms,
                              .heartbeat_ms = 100,
                              .timeout_ms = 3000};
    fake_client_stop(&self->clients[client - 1]);
    self->clients[client - 1] = fake_client_start(&options);
}

void fake_prepare(federation_t *self)
{
    self->options = (fmq_coordinator_options_t){.settings = &self->settings,
                                                .endpoint = self->endpoint,
                                                .store = self->store,
                                                .schema = self->schema,
                                                .initial = self->initial,
                                                .config_text = "seed: 5\n",
                                                .directory = self->folder,
                                                .save = fake_save,
                                                .save_argument = &self->elements,
                                                .on_event = on_event,
                                                .event_argument = self};
    if (self->emulator.schema)
        fake_emulator_fill(&self->emulator, &self->options);
}

void fake_start_server(federation_t *self)
{
    fake_prepare(self);
    fake_start_prepared(self);
}

static void fenced_actor(zsock_t *pipe, void *options)
{
    test_fence();
    fmq_coordinator_actor(pipe, options);
    test_fence();
}

void fake_start_prepared(federation_t *self)
{
    test_fence();
    self->server = zactor_new(fenced_actor, &self->options);
    assert_non_null(self->server);
}

int fake_wait(federation_t *self, int limit_ms)
{
    int64_t end = fmq_clock_ms() + limit_ms;
    fmq_error_t why;
    while (!fmq_pipe_ended(self->server, &why)) {
        if (fmq_clock_ms() > end)
            fail_msg("the server has not ended after %d ms", limit_ms);
        zclock_sleep(5);
    }
    self->status = fmq_error_exit_status(why.code);
    memcpy(self->reason, why.text, sizeof self->reason);
    return self->status;
}

void fake_interrupt(federation_t *self)
{
    zstr_send(self->server, "$TERM");
    fake_wait(self, 10000);
    fake_end_server(self);
}

void fake_end_server(federation_t *self)
{
    zactor_destroy(&self->server);
    test_fence();
}

float *fake_expected(const federation_t *self, const uint32_t *who, uint32_t rounds)
{
    uint64_t size = fmq_schema_elements(self->schema);
    float *state = calloc(size, sizeof *state), *update = calloc(size, sizeof *update);
    double *sum = calloc(size, sizeof *sum);
    memcpy(state, self->initial, size * sizeof *state);
    float *emulator = self->emulator.schema ? fake_emulator_first(&self->emulator, state) : NULL;
    float *sent = self->emulator.schema ? fake_emulator_first(&self->emulator, state) : NULL;
    for (uint32_t round = 0; round < rounds; round++) {
        double total = 0;
        memset(sum, 0, size * sizeof *sum);
        for (uint32_t k = 1; k <= self->settings.clients; k++) {
            if (!(who[round] & 1u << k))
                continue;
            double weight = (double)fake_samples(k, round);
            fake_update(self->schema, k, round, state, update);
            if (self->emulator.schema)
                fake_add_emulator(self->schema, self->emulator.schema,
                                  self->emulator.sent_once ? sent : emulator, update);
            for (uint64_t i = 0; i < size; i++)
                sum[i] += weight * (double)update[i];
            total += weight;
        }
        for (uint64_t i = 0; total > 0 && i < size; i++)
            state[i] = (float)(sum[i] / total);
        if (self->emulator.schema && self->emulator.every_round)
            fake_emulator_train(&self->emulator, self->emulator.first_blocks + round, state,
                                emulator);
    }
    free(sent);
    free(emulator);
    free(update);
    free(sum);
    return state;
}

static float *load(const federation_t *self, const char *directory)
{
    char path[256], name[64];
    size_t size = 0;
    fmq_error_t err;
    (void)snprintf(name, sizeof name, "%s/state.bin", directory);
    char *bytes = fmq_file_load(test_path(path, self->folder, name), 1u << 30, &size, &err);
    if (!bytes)
        fail_msg("%s", err.text);
    assert_int_equal(size, fmq_schema_elements(self->schema) * sizeof(float));
    float *state = malloc(size);
    memcpy(state, bytes, size);
    free(bytes);
    return state;
}

float *fake_result(const federation_t *self)
{
    return load(self, "adapter");
}

void fake_check_in(const federation_t *self, const char *directory, float *expected)
{
    float *result = load(self, directory);
    assert_memory_equal(result, expected, fmq_schema_elements(self->schema) * sizeof *result);
    free(result);
    free(expected);
}

void fake_check(const federation_t *self, float *expected)
{
    fake_check_in(self, "adapter", expected);
}
