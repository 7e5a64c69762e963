/*
 * test_evaluator.c - the evaluator on a real (random, tiny) model, attached to
 * runs of the server with clients that only do sums.
 */
#include "fake_federation.h"

#include <math.h>
#include <stdatomic.h>
#include <unistd.h>

#include "actors/runtime/pipe.h"
#include "actors/storage/file.h"
#include "broker/lent_state.h"
#include "fedmq/actors/shard.h"
#include "fedmq/base/clock.h"
#include "fedmq/llm/train.h"
#include "tests/broker/fabric.h"

#define LIMIT_MS 30000

typedef struct {
    federation_t run;
    char tokenizer_folder[64];
    llm_backend_t *backend;
    llm_model_t *model;
    llm_adapter_t *adapter;
    llm_tokenizer_t *tokenizer;
    llm_records_t *records;
    fmq_devices_t *permits;
    fmq_config_t *config;
    fmq_context_t context;
    fmq_evaluator_options_t options;
    FILE *out;
    fmq_writer_t *writer; /* to out */
    char meaning[FMQ_REASON_MAX];
} fixture_t;

/* GPT-2's two files for the printable characters of ASCII, without merges. */
static void write_tokenizer(const char *folder)
{
    char path[256];
    FILE *file = fopen(test_path(path, folder, "vocab.json"), "w");
    assert_non_null(file);
    fputs("{\"<|endoftext|>\":0,\"\\u0120\":1,\"\\u010a\":2", file);
    int id = 3;
    for (int c = '!'; c <= '~'; c++)
        fprintf(file, ",\"%s%c\":%d", c == '"' || c == '\\' ? "\\" : "", c, id++);
    fputs("}", file);
    fclose(file);
    file = fopen(test_path(path, folder, "merges.txt"), "w");
    assert_non_null(file);
    fputs("#version: 0.2\n", file);
    fclose(file);
}

static void make_model(fixture_t *f)
{
    fmq_error_t err;
    llm_shape_t shape = {.arch = llm_arch_find("gpt2"),
                         .layers = 3,
                         .width = 16,
                         .heads = 2,
                         .kv_heads = 2,
                         .head_width = 8,
                         .ffn = 32,
                         .vocab = 97,
                         .context = 256,
                         .norm_eps = 1e-5F,
                         .activation = LLM_ACTIVATION_GELU_TANH,
                         .biases = LLM_ALL_MODULES,
                         .tied = true,
                         .bos = 0,
                         .eos = 0,
                         .rope_factor = 1};
    llm_adapter_spec_t spec = {.kind = LLM_ADAPTER_LORA, .rank = 2, .alpha = 4};
    f->backend = llm_backend_cpu_new(1, &err);
    f->model = llm_model_new_random(&shape, 1, f->backend, &err);
    f->adapter = f->model ? llm_adapter_new(&shape, &spec, &err) : NULL;
    if (!f->adapter)
        fail_msg("%s", err.text);
    test_folder_make(f->tokenizer_folder);
    write_tokenizer(f->tokenizer_folder);
    f->tokenizer = llm_tokenizer_open(f->tokenizer_folder, &err);
    if (!f->tokenizer)
        fail_msg("%s", err.text);
}

static void set(fixture_t *f, const char *key, const char *value)
{
    fmq_error_t err;
    if (fmq_config_set(f->config, key, value, &err) < 0)
        fail_msg("%s", err.text);
}

/* The federation trains the model's adapter by arithmetic. */
static int setup(void **state)
{
    fixture_t *f = calloc(1, sizeof *f);
    make_model(f);
    fake_open(&f->run, 2, 4);
    const fmq_schema_t *schema = llm_adapter_schema(f->adapter);
    float *initial = calloc(fmq_schema_elements(schema), sizeof *initial);
    assert_int_equal(llm_adapter_init(f->adapter, f->model, 3, initial, NULL), 0);
    fake_use(&f->run, schema, initial);
    f->records = llm_records_new();
    for (int i = 0; i < 5; i++) {
        char text[16];
        snprintf(text, sizeof text, "Say %d", i);
        llm_records_add(f->records, &(llm_record_t){text, "", "ok", ""}, NULL);
    }
    f->permits = fmq_devices_new(1, 1, NULL);
    f->config = fmq_config_new();
    set(f, "llm.tok_len", "200");
    set(f, "dataloader.batch_size", "2");
    set(f, "fedmq.heartbeat", "0.1");
    set(f, "fedmq.peer_timeout", "3");
    f->out = tmpfile();
    const fmq_writer_options_t writing = {.descriptor = fileno(f->out)};
    f->writer = fmq_writer_new(&writing, NULL);
    assert_non_null(f->writer);
    f->context = (fmq_context_t){.config = f->config,
                                 .model = f->model,
                                 .adapter = f->adapter,
                                 .tokenizer = f->tokenizer,
                                 .permits = f->permits,
                                 .store = f->run.store,
                                 .endpoint = f->run.endpoint};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_t *f = *state;
    fake_close(&f->run);
    fmq_writer_destroy(&f->writer);
    fclose(f->out);
    fmq_config_destroy(&f->config);
    fmq_devices_destroy(&f->permits);
    llm_records_destroy(&f->records);
    llm_tokenizer_destroy(&f->tokenizer);
    llm_adapter_destroy(&f->adapter);
    llm_model_destroy(&f->model);
    llm_backend_destroy(&f->backend);
    test_folder_remove(f->tokenizer_folder);
    free(f);
    return 0;
}

/* The run's numbers mean what the evaluator's do. */
static void start_prepared(fixture_t *f)
{
    fmq_context_meaning(&f->context, f->meaning);
    f->run.options.meaning = f->meaning;
    fake_start_prepared(&f->run);
}

static void start_run(fixture_t *f, uint32_t delay_ms)
{
    for (uint32_t k = 1; k <= 2; k++)
        fake_add(&f->run, k, FAKE_HONEST, 0, delay_ms);
    fake_prepare(&f->run);
    f->run.options.model = llm_model_digest(f->model);
    start_prepared(f);
}

static void fenced_evaluator(zsock_t *pipe, void *options)
{
    test_fence();
    fmq_evaluator_actor(pipe, options);
    test_fence();
}

static void stop_evaluator(zactor_t **actor)
{
    zactor_destroy(actor);
    test_fence();
}

static zactor_t *start_evaluator(fixture_t *f, const char *name, bool own, bool once)
{
    f->options = (fmq_evaluator_options_t){.context = &f->context,
                                           .name = name,
                                           .own = own ? f->records : NULL,
                                           .once = once,
                                           .out = f->writer};
    test_fence();
    zactor_t *actor = zactor_new(fenced_evaluator, &f->options);
    assert_non_null(actor);
    return actor;
}

static fmq_error_t wait_evaluator(zactor_t *actor)
{
    fmq_error_t why = {0};
    int64_t end = fmq_clock_ms() + LIMIT_MS;
    while (!fmq_pipe_ended(actor, &why)) {
        if (fmq_clock_ms() > end)
            fail_msg("the evaluator has not ended");
        zclock_sleep(5);
    }
    return why;
}

static char *history(const fixture_t *f)
{
    char path[256];
    size_t size;
    char *text =
        fmq_file_load(test_path(path, f->run.folder, "metrics.jsonl"), 1u << 20, &size, NULL);
    assert_non_null(text);
    return text;
}

static char *printed(const fixture_t *f)
{
    char *text = calloc(1, 65536);
    assert_int_equal(fmq_writer_flush(f->writer, LIMIT_MS), 0);
    rewind(f->out);
    (void)!fread(text, 1, 65535, f->out);
    return text;
}

static double number_after(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    if (!at)
        fail_msg("no %s in %s", key, text);
    return strtod(at + strlen(key), NULL);
}

/* A splitter says what the server alone may say; a second server speaks of
 * another run. */
static void who_is_not_the_server_of_its_run_is_not_believed(void **state)
{
    fixture_t *f = *state;
    fmq_event_t event;
    fmq_message_run_t run;
    uint8_t body[1024];
    start_run(f, 150);
    fmq_link_t *splitter = fabric_link(f->run.endpoint, "splitter", FMQ_ROLE_SPLITTER);
    fmq_link_t *server = fabric_link(f->run.endpoint, "server-2", FMQ_ROLE_SERVER);
    assert_true(fabric_await_note(splitter, "run", &event));
    assert_int_equal(fmq_message_run_decode(&run, event.data, event.size, NULL), 0);
    zactor_t *evaluator = start_evaluator(f, "evaluator-1", true, false);
    assert_true(fabric_await_member(server, "evaluator-1", true, &event));
    fmq_message_state_t newest = {.round = 999, .emulator_bytes = 1};
    fmq_message_done_t done = {.reason = "evil"};
    memcpy(newest.run, run.run, sizeof newest.run);
    memcpy(done.run, run.run, sizeof done.run);
    memset(&run.model, 0, sizeof run.model);
    size_t size = fmq_message_run_encode(&run, body, sizeof body, NULL);
    assert_int_equal(fmq_link_note(splitter, "@evaluator", "run", body, size, NULL), 0);
    size = fmq_message_state_encode(&newest, body, sizeof body, NULL);
    assert_int_equal(fmq_link_note(splitter, "@evaluator", "state", body, size, NULL), 0);
    size = fmq_message_done_encode(&done, body, sizeof body, NULL);
    assert_int_equal(fmq_link_note(splitter, "@evaluator", "done", body, size, NULL), 0);
    memset(done.run, 'f', sizeof done.run - 1);
    size = fmq_message_done_encode(&done, body, sizeof body, NULL);
    assert_int_equal(fmq_link_note(server, "@evaluator", "done", body, size, NULL), 0);
    assert_int_equal(fake_wait(&f->run, LIMIT_MS), 0);
    fmq_error_t why = wait_evaluator(evaluator);
    assert_int_equal(why.code, FMQ_OK);
    assert_string_equal(why.text, "finished");
    stop_evaluator(&evaluator);
    fmq_link_close(&splitter, 0);
    fmq_link_close(&server, 0);
}

/* States that were read where they lie. */
static atomic_uint reads;

int __real_fmq_state_read(const fmq_object_t *object, const fmq_schema_t *schema,
                          fmq_state_take_fn *take, void *argument, fmq_error_t *err);
int __wrap_fmq_state_read(const fmq_object_t *object, const fmq_schema_t *schema,
                          fmq_state_take_fn *take, void *argument, fmq_error_t *err);

int __wrap_fmq_state_read(const fmq_object_t *object, const fmq_schema_t *schema,
                          fmq_state_take_fn *take, void *argument, fmq_error_t *err)
{
    atomic_fetch_add(&reads, 1);
    return __real_fmq_state_read(object, schema, take, argument, err);
}

static void first_and_last_state_are_measured_and_the_run_ends_it(void **state)
{
    fixture_t *f = *state;
    atomic_store(&reads, 0);
    start_run(f, 60);
    zactor_t *evaluator = start_evaluator(f, "evaluator-1", true, false);
    assert_int_equal(fake_wait(&f->run, LIMIT_MS), 0);
    fmq_error_t why = wait_evaluator(evaluator);
    assert_true(atomic_load(&reads) >= 2); /* none has come as a copy */
    assert_int_equal(why.code, FMQ_OK);
    assert_string_equal(why.text, "finished");
    stop_evaluator(&evaluator);
    char *text = history(f);
    assert_non_null(strstr(text, "{\"round\":0,\"source\":\"evaluator-1\",\"form\":\"raw\""));
    assert_non_null(strstr(text, "{\"round\":4,\"source\":\"evaluator-1\",\"form\":\"raw\""));
    free(text);
    text = printed(f);
    assert_non_null(strstr(text, "{\"round\":4,\"source\":\"evaluator-1\",\"metrics\":{\"test_l"));
    assert_true(number_after(text, "\"test_total\":") == 5);
    double loss = number_after(text, "\"test_avg_loss\":");
    assert_true(fabs(loss - log(97)) < 1.5); /* a random model knows nothing */
    free(text);
}

static void what_it_measures_is_what_the_engine_says_of_that_state(void **state)
{
    fixture_t *f = *state;
    start_run(f, 20);
    zactor_t *evaluator = start_evaluator(f, "evaluator-1", true, false);
    assert_int_equal(fake_wait(&f->run, LIMIT_MS), 0);
    wait_evaluator(evaluator);
    stop_evaluator(&evaluator);
    float *result = fake_result(&f->run);
    llm_dataset_t *dataset = llm_dataset_new(f->records, NULL, f->tokenizer, 200, NULL);
    llm_limits_t limits = {.tokens_max = llm_train_tokens_max(dataset, 2)};
    llm_workspace_t *ws = llm_workspace_new(f->model, f->adapter, &limits, f->backend, NULL);
    llm_eval_stats_t stats;
    assert_int_equal(llm_workspace_set_params(ws, result, NULL), 0);
    assert_int_equal(llm_evaluate_loss(ws, dataset, 2, NULL, NULL, &stats, NULL), 0);
    char *text = printed(f);
    const char *last = strstr(text, "{\"round\":4");
    assert_non_null(last);
    assert_true(number_after(last, "\"test_avg_loss\":") == stats.loss_avg);
    assert_true(number_after(last, "\"test_loss\":") == stats.loss_sum);
    free(text);
    llm_workspace_destroy(&ws);
    llm_dataset_destroy(&dataset);
    free(result);
}

static void with_match_tokens_it_also_counts_exact_answers(void **state)
{
    fixture_t *f = *state;
    set(f, "fedmq.match_tokens", "3");
    set(f, "fedmq.match_examples", "4");
    start_run(f, 20);
    zactor_t *evaluator = start_evaluator(f, NULL, true, true);
    fmq_error_t why = wait_evaluator(evaluator);
    assert_int_equal(why.code, FMQ_OK);
    stop_evaluator(&evaluator);
    char *text = printed(f);
    assert_non_null(strstr(text, "\"source\":\"evaluator-"));
    assert_true(number_after(text, "\"test_exact_total\":") == 4);
    double share = number_after(text, "\"test_exact_match\":");
    assert_true(share >= 0 && share <= 1);
    assert_null(strchr(strchr(text, '\n') + 1, '\n')); /* once: one line */
    free(text);
    assert_int_equal(fake_wait(&f->run, LIMIT_MS), 0);
}

static void coming_and_going_does_not_disturb_the_run(void **state)
{
    fixture_t *f = *state;
    start_run(f, 80);
    for (int i = 0; i < 3; i++) {
        zactor_t *passing = start_evaluator(f, NULL, true, false);
        zclock_sleep(40);
        stop_evaluator(&passing);
    }
    assert_int_equal(fake_wait(&f->run, LIMIT_MS), 0);
    fake_check(&f->run, fake_expected(&f->run, (uint32_t[]){6, 6, 6, 6}, 4));
}

static void without_records_of_its_own_it_asks_the_splitter(void **state)
{
    fixture_t *f = *state;
    start_run(f, 60);
    const llm_records_t *parts[3] = {NULL, NULL, f->records};
    fmq_object_t *shard = fmq_shard_encode(parts, NULL);
    fmq_link_options_t options = {.endpoint = f->run.endpoint,
                                  .name = "splitter",
                                  .role = FMQ_ROLE_SPLITTER,
                                  .store = f->run.store};
    fmq_link_t *splitter = fmq_link_open(&options, NULL);
    fmq_message_shard_t note = {
        .shard = *fmq_object_digest(shard), .shard_bytes = fmq_object_bytes(shard), .test = 5};
    unsigned char body[256];
    size_t size = fmq_message_shard_encode(&note, body, sizeof body, NULL);
    zactor_t *evaluator = start_evaluator(f, "evaluator-7", false, false);
    assert_int_equal(fmq_link_publish(splitter, shard, "@evaluator", NULL), 0);
    assert_int_equal(fmq_link_note(splitter, "@evaluator", "shard", body, size, NULL), 0);
    assert_int_equal(fake_wait(&f->run, LIMIT_MS), 0);
    assert_int_equal(wait_evaluator(evaluator).code, FMQ_OK);
    stop_evaluator(&evaluator);
    char *text = history(f);
    assert_non_null(strstr(text, "{\"round\":4,\"source\":\"evaluator-7\""));
    free(text);
    fmq_object_drop(&shard);
    fmq_link_close(&splitter, 0);
}

/* A short run with an evaluator whose splitter, if there is one, holds records
 * for validation and none for testing; how the evaluator has ended. */
static fmq_error_t run_with(fixture_t *f, bool splitter)
{
    fmq_link_t *link = NULL;
    unsigned char body[256];
    const llm_records_t *parts[3] = {NULL, f->records, NULL};
    fmq_object_t *shard = fmq_shard_encode(parts, NULL);
    fmq_message_shard_t note = {
        .shard = *fmq_object_digest(shard), .shard_bytes = fmq_object_bytes(shard), .val = 5};
    if (splitter) {
        link = fabric_link_with(f->run.endpoint, "splitter", FMQ_ROLE_SPLITTER, f->run.store);
        assert_int_equal(fmq_link_publish(link, shard, "@evaluator", NULL), 0);
        size_t size = fmq_message_shard_encode(&note, body, sizeof body, NULL);
        assert_int_equal(fmq_link_note(link, "@evaluator", "shard", body, size, NULL), 0);
    }
    zactor_t *evaluator = start_evaluator(f, "evaluator-7", false, false);
    start_run(f, 60);
    assert_int_equal(fake_wait(&f->run, LIMIT_MS), 0);
    fmq_error_t why = wait_evaluator(evaluator);
    stop_evaluator(&evaluator);
    fmq_link_close(&link, 0);
    fmq_object_drop(&shard);
    return why;
}

static void without_any_records_it_says_so_and_nobody_waits(void **state)
{
    fixture_t *f = *state;
    fmq_error_t why = run_with(f, false);
    assert_int_equal(why.code, FMQ_ERR_TIMEOUT);
    assert_non_null(strstr(why.text, "finished"));
    assert_non_null(strstr(why.text, "no splitter has dealt out any"));
}

static void where_clients_bring_their_own_data_it_needs_some_of_its_own(void **state)
{
    fixture_t *f = *state;
    set(f, "fedmq.own_data", "True");
    fmq_error_t why = run_with(f, false);
    assert_int_equal(why.code, FMQ_ERR_CONFIG);
    assert_non_null(strstr(why.text, "--data FILE"));
}

static void validation_records_are_not_called_test_records(void **state)
{
    fixture_t *f = *state;
    assert_int_equal(run_with(f, true).code, FMQ_OK);
    char *text = history(f);
    assert_non_null(strstr(text, "\"val_avg_loss\""));
    assert_null(strstr(text, "\"test_avg_loss\""));
    free(text);
}

static void a_split_that_it_does_not_have_is_an_error(void **state)
{
    fixture_t *f = *state;
    set(f, "eval.split", "['test']");
    fmq_error_t why = run_with(f, true);
    assert_int_equal(why.code, FMQ_ERR_CONFIG);
    assert_non_null(strstr(why.text, "5 for val, 0 for test"));
}

static void another_base_model_is_refused_with_the_reason(void **state)
{
    fixture_t *f = *state;
    start_run(f, 20);
    llm_shape_t shape = *llm_model_shape(f->model);
    llm_model_t *other = llm_model_new_random(&shape, 2, f->backend, NULL);
    f->context.model = other;
    zactor_t *evaluator = start_evaluator(f, "evaluator-1", true, false);
    fmq_error_t why = wait_evaluator(evaluator);
    assert_int_equal(why.code, FMQ_ERR_MISMATCH);
    assert_non_null(strstr(why.text, "another base model"));
    stop_evaluator(&evaluator);
    assert_int_equal(fake_wait(&f->run, LIMIT_MS), 0);
    llm_model_destroy(&other);
}

static void records_without_an_answer_are_an_error_at_once(void **state)
{
    fixture_t *f = *state;
    set(f, "llm.tok_len", "4");
    zactor_t *evaluator = start_evaluator(f, "evaluator-1", true, false);
    fmq_error_t why = wait_evaluator(evaluator);
    assert_int_equal(why.code, FMQ_ERR_CONFIG);
    assert_non_null(strstr(why.text, "llm.tok_len"));
    stop_evaluator(&evaluator);
}

/* Two of the three layers are emulated by one; nobody aligns it. */
typedef struct {
    llm_emulator_t *emulator;
    const llm_offsite_t *models;
    float *vector;
    fmq_log_t *log;
    int warnings;
} offsite_t;

static void count_warnings(void *argument, fmq_log_level_t level, const char *line)
{
    offsite_t *self = argument;
    if (level == FMQ_LOG_WARNING && strstr(line, "plugin-off"))
        self->warnings++;
}

static void go_offsite(fixture_t *f, offsite_t *self)
{
    fmq_error_t err = {0};
    llm_emulator_building_t how = {.be = f->backend};
    llm_emulator_spec_t spec = {
        .emu_l = 0, .emu_r = 2, .drop_ratio = 0.5, .adapter = *llm_adapter_spec(f->adapter)};
    *self = (offsite_t){.emulator = llm_emulator_new(f->model, &spec, &how, &err)};
    if (!self->emulator)
        fail_msg("%s", err.text);
    self->models = llm_emulator_offsite(self->emulator);
    self->vector = test_vector(llm_adapter_schema(self->models->state), 8);
    self->log = fmq_log_new(count_warnings, self, FMQ_LOG_WARNING);
    fake_use(&f->run, llm_adapter_schema(self->models->plugged),
             test_vector(llm_adapter_schema(self->models->plugged), 9));
    f->context.offsite = self->models;
    f->context.adapter = self->models->plugged;
    f->context.log = self->log;
    set(f, "llm.offsite_tuning.use", "True");
    set(f, "llm.offsite_tuning.emu_r", "2");
    set(f, "llm.offsite_tuning.eval_type", "full");
    for (uint32_t k = 1; k <= 2; k++)
        fake_add(&f->run, k, FAKE_HONEST, 0, 60);
    fake_prepare(&f->run);
    f->run.options.model = llm_model_digest(self->models->student);
    f->run.emulator.how = (fmq_fedbiot_options_t){
        .schema = llm_adapter_schema(self->models->state), .initial = self->vector, .save_to = ""};
    f->run.options.offsite = &f->run.emulator.how;
}

static void release_offsite(offsite_t *self)
{
    llm_emulator_destroy(&self->emulator);
    fmq_log_destroy(&self->log);
    free(self->vector);
}

static void an_emulator_and_the_plugged_state_are_measured(void **state)
{
    fixture_t *f = *state;
    offsite_t offsite;
    go_offsite(f, &offsite);
    start_prepared(f);
    zactor_t *evaluator = start_evaluator(f, "evaluator-1", true, false);
    assert_int_equal(fake_wait(&f->run, LIMIT_MS), 0);
    assert_int_equal(wait_evaluator(evaluator).code, FMQ_OK);
    stop_evaluator(&evaluator);
    assert_int_equal(offsite.warnings, 0);
    char *text = printed(f);
    const char *last = strstr(text, "{\"round\":4");
    assert_non_null(last);

    float *result = fake_result(&f->run);
    llm_dataset_t *dataset = llm_dataset_new(f->records, NULL, f->tokenizer, 200, NULL);
    llm_limits_t limits = {.tokens_max = llm_train_tokens_max(dataset, 2)};
    llm_stack_t stack = fmq_context_client_stack(&f->context);
    llm_workspace_t *ws = llm_workspace_new_stack(&stack, &limits, f->backend, NULL);
    llm_eval_stats_t stats;
    assert_int_equal(llm_workspace_set_params(ws, result, NULL), 0);
    assert_int_equal(llm_workspace_set_fixed(ws, offsite.vector, NULL), 0);
    assert_int_equal(llm_evaluate_loss(ws, dataset, 2, NULL, NULL, &stats, NULL), 0);
    assert_true(number_after(last, "\"emulator.test_loss\":") == stats.loss_sum);
    assert_true(number_after(last, "\"plugin.test_loss\":") != stats.loss_sum);
    assert_true(number_after(last, "\"plugin.test_total\":") == 5);
    llm_workspace_destroy(&ws);
    llm_dataset_destroy(&dataset);
    free(result);
    free(text);
    release_offsite(&offsite);
}

static void without_the_full_model_it_says_once_that_the_emulator_is_all(void **state)
{
    fixture_t *f = *state;
    offsite_t offsite;
    go_offsite(f, &offsite);
    f->context.model = NULL;
    start_prepared(f);
    zactor_t *evaluator = start_evaluator(f, "evaluator-1", true, false);
    assert_int_equal(fake_wait(&f->run, LIMIT_MS), 0);
    assert_int_equal(wait_evaluator(evaluator).code, FMQ_OK);
    stop_evaluator(&evaluator);
    assert_int_equal(offsite.warnings, 1);
    char *text = printed(f);
    assert_non_null(strstr(text, "\"emulator.test_loss\":"));
    assert_null(strstr(text, "plugin."));
    free(text);
    release_offsite(&offsite);
}

static void a_run_without_an_emulator_is_refused_by_one_that_expects_it(void **state)
{
    fixture_t *f = *state;
    offsite_t offsite;
    go_offsite(f, &offsite);
    f->run.options.offsite = NULL;
    start_prepared(f);
    zactor_t *evaluator = start_evaluator(f, "evaluator-1", true, false);
    fmq_error_t why = wait_evaluator(evaluator);
    assert_int_equal(why.code, FMQ_ERR_MISMATCH);
    assert_non_null(strstr(why.text, "without offsite tuning"));
    stop_evaluator(&evaluator);
    assert_int_equal(fake_wait(&f->run, LIMIT_MS), 0);
    release_offsite(&offsite);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(first_and_last_state_are_measured_and_the_run_ends_it),
        TEST(who_is_not_the_server_of_its_run_is_not_believed),
        TEST(what_it_measures_is_what_the_engine_says_of_that_state),
        TEST(with_match_tokens_it_also_counts_exact_answers),
        TEST(coming_and_going_does_not_disturb_the_run),
        TEST(without_records_of_its_own_it_asks_the_splitter),
        TEST(without_any_records_it_says_so_and_nobody_waits),
        TEST(where_clients_bring_their_own_data_it_needs_some_of_its_own),
        TEST(validation_records_are_not_called_test_records),
        TEST(a_split_that_it_does_not_have_is_an_error),
        TEST(another_base_model_is_refused_with_the_reason),
        TEST(records_without_an_answer_are_an_error_at_once),
        TEST(an_emulator_and_the_plugged_state_are_measured),
        TEST(without_the_full_model_it_says_once_that_the_emulator_is_all),
        TEST(a_run_without_an_emulator_is_refused_by_one_that_expects_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
