/*
 * test_server_align.c - what stands behind the coordinator with offsite
 * tuning: alignment on public data, the full model's measurements, what is
 * restored and saved.  Over the embedded model.
 */
#include "actors_test.h"

#include <math.h>
#include <unistd.h>

#include "actors/server/offsite.h"
#include "actors/splitter/public.h"
#include "fedmq/llm/generate.h"

#define PUBLIC  40 /* records: 32 to align by, 4 and 4 to measure */
#define PRIVATE 30 /* of the run's data set: 3 and 3 are the server's */

typedef struct {
    char folder[64];
    fmq_config_t *config;
    llm_backend_t *loader;
    llm_model_t *model;
    llm_tokenizer_t *tokenizer;
    llm_emulator_t *emulator;
    fmq_devices_t *permits;
    llm_prefix_budget_t *prefixes;
    fmq_context_t context;
    fmq_offsite_t offsite;
    fmq_coordinator_options_t options;
    float *state; /* A's */
    fmq_error_t err;
} bench_t;

static void need(bool good, const bench_t *self)
{
    if (!good)
        fail_msg("%s", self->err.text);
}

static void write_records(const bench_t *self, const char *name, int first, int count)
{
    char path[256];
    FILE *stream = fopen(test_path(path, self->folder, name), "w");
    assert_non_null(stream);
    for (int i = first; i < first + count; i++)
        fprintf(stream, "{\"instruction\":\"Which number comes after %d?\",\"output\":\"%d\"}\n", i,
                i + 1);
    fclose(stream);
}

static void say(bench_t *self, const char *yaml)
{
    need(fmq_config_parse(self->config, "test", yaml, strlen(yaml), &self->err) == 0, self);
}

static void say_folder(bench_t *self)
{
    char yaml[1024];
    (void)snprintf(yaml, sizeof yaml,
                   "data: {root: %s, type: 'private.jsonl@llm', splitter: iid}\n"
                   "llm: {offsite_tuning: {emu_align: {data: {root: %s,"
                   " type: 'public.jsonl@llm'}}}}\n",
                   self->folder, self->folder);
    say(self, yaml);
}

static void open_engine(bench_t *self)
{
    static const char directory[] = FEDMQ_SOURCE_DIR "/configs/quickstart/model";
    fmq_offsite_settings_t settings;
    need(fmq_settings_offsite(self->config, &settings, &self->err) == 0, self);
    self->loader = llm_backend_cpu_new(1, &self->err);
    need(self->loader != NULL, self);
    self->model = llm_model_open(directory, self->loader, &self->err);
    need(self->model != NULL, self);
    self->tokenizer = llm_tokenizer_open(directory, &self->err);
    need(self->tokenizer != NULL, self);
    llm_emulator_building_t how = {.be = self->loader};
    self->emulator = llm_emulator_new(self->model, &settings.emulator, &how, &self->err);
    need(self->emulator != NULL, self);
    self->permits = fmq_devices_new(1, 1, &self->err);
    need(self->permits != NULL, self);
    self->prefixes = llm_prefix_budget_new(1u << 24);
    assert_non_null(self->prefixes);
    const llm_offsite_t *offsite = llm_emulator_offsite(self->emulator);
    self->context = (fmq_context_t){.config = self->config,
                                    .model = self->model,
                                    .adapter = offsite->plugged,
                                    .offsite = offsite,
                                    .prefixes = self->prefixes,
                                    .tokenizer = self->tokenizer,
                                    .permits = self->permits,
                                    .endpoint = "inproc://nobody"};
    uint64_t elements = fmq_schema_elements(llm_adapter_schema(offsite->plugged));
    self->state = calloc((size_t)elements, sizeof *self->state);
    need(llm_adapter_init(offsite->plugged, self->model, 3, self->state, &self->err) == 0, self);
}

/* yaml comes on top of FedBiOT over two of the embedded model's four layers. */
static void open_bench(bench_t *self, const char *yaml)
{
    memset(self, 0, sizeof *self);
    test_folder_make(self->folder);
    write_records(self, "public.jsonl", 0, PUBLIC);
    write_records(self, "private.jsonl", 1000, PRIVATE);
    self->config = fmq_config_new();
    say(self, "seed: 4\n"
              "federate: {client_num: 2}\n"
              "dataloader: {batch_size: 4}\n"
              "train: {optimizer: {type: SGD, lr: 0.5}}\n"
              "eval: {split: [val, test]}\n"
              "llm:\n"
              "  tok_len: 96\n"
              "  adapter: {use: True, args: [{r: 2}]}\n"
              "  offsite_tuning:\n"
              "    use: True\n"
              "    emu_l: 1\n"
              "    emu_r: 3\n"
              "    emu_align:\n"
              "      use: True\n"
              "      initial_only: False\n"
              "      train:\n"
              "        local_update_steps: 4\n"
              "        kd_loss_weight: 0.0\n"
              "        optimizer: {type: AdamW, lr: 0.01}\n");
    say_folder(self);
    say(self, yaml);
    open_engine(self);
    need(fmq_offsite_open(&self->offsite, &self->context, &self->err) == 0, self);
    fmq_offsite_fill(&self->offsite, &self->options);
}

static void close_bench(bench_t *self)
{
    fmq_offsite_release(&self->offsite);
    llm_emulator_destroy(&self->emulator);
    llm_tokenizer_destroy(&self->tokenizer);
    llm_model_destroy(&self->model);
    fmq_devices_destroy(&self->permits);
    llm_prefix_budget_destroy(&self->prefixes);
    llm_backend_destroy(&self->loader);
    fmq_config_destroy(&self->config);
    test_folder_remove(self->folder);
    free(self->state);
}

static size_t emulator_bytes(const bench_t *self)
{
    return (size_t)fmq_schema_elements(self->options.offsite->schema) * sizeof(float);
}

static float *copy_emulator(const bench_t *self)
{
    float *copy = malloc(emulator_bytes(self));
    memcpy(copy, self->offsite.emulator, emulator_bytes(self));
    return copy;
}

static int go_on(void *argument, uint64_t step, uint64_t steps, uint64_t tokens)
{
    (void)step, (void)steps, (void)tokens;
    return argument != NULL; /* whoever gives one wants to stop */
}

static int run_block(bench_t *self, uint32_t block, float *emulator, fmq_metrics_t *metrics,
                     void *stop)
{
    fmq_alignment_t alignment = {.block = block,
                                 .first = block < self->options.offsite->first_blocks,
                                 .state = self->state,
                                 .emulator = emulator,
                                 .progress = go_on,
                                 .argument = stop};
    metrics->size = 0;
    return self->options.offsite->align(self->options.offsite->argument, &alignment, metrics,
                                        &self->err);
}

static double metric(const fmq_metrics_t *metrics, const char *name)
{
    const double *value = fmq_metrics_get(metrics, name);
    if (!value)
        fail_msg("there is no %s", name);
    return *value;
}

static void blocks_bring_the_emulator_nearer_and_say_how_near(void **state)
{
    (void)state;
    bench_t b;
    fmq_metrics_t first, last;
    open_bench(&b, "");
    need(run_block(&b, 0, b.offsite.emulator, &first, NULL) == 0, &b);
    for (uint32_t block = 1; block < 6; block++)
        need(run_block(&b, block, b.offsite.emulator, &last, NULL) == 0, &b);
    assert_true(metric(&last, "align_loss") < 0.9 * metric(&first, "align_loss"));
    assert_true(metric(&first, "align_sim") == metric(&first, "align_loss"));
    assert_true(metric(&first, "align_steps") == 4);
    assert_true(metric(&first, "align_seconds") > 0);
    assert_null(fmq_metrics_get(&first, "align_kl")); /* without weight, not computed */
    assert_null(fmq_metrics_get(&first, "align_lm"));
    close_bench(&b);
}

static void the_divergence_and_the_truth_count_when_they_have_weight(void **state)
{
    (void)state;
    bench_t b;
    fmq_metrics_t metrics;
    open_bench(&b, "llm: {offsite_tuning: {emu_align: {init_enable_ground_truth: True,"
                   " train: {kd_loss_weight: 0.5}}}}\n");
    need(run_block(&b, 0, b.offsite.emulator, &metrics, NULL) == 0, &b);
    double sum = metric(&metrics, "align_sim") + 0.5 * metric(&metrics, "align_kl") +
                 metric(&metrics, "align_lm");
    assert_true(fabs(sum - metric(&metrics, "align_loss")) < 1e-6 * sum);
    need(run_block(&b, 50, b.offsite.emulator, &metrics, NULL) == 0, &b); /* after round 0 */
    assert_null(fmq_metrics_get(&metrics, "align_lm"));
    close_bench(&b);
}

/* Defect 5 of the released code, where clients' optimizer aligns. */
static void the_alignments_own_optimizer_is_used(void **state)
{
    (void)state;
    bench_t b;
    fmq_metrics_t metrics;
    open_bench(&b, "train: {optimizer: {lr: 1000.0}}\n"
                   "llm: {offsite_tuning: {emu_align: {train: {optimizer: {lr: 0.0}}}}}\n");
    float *before = copy_emulator(&b);
    need(run_block(&b, 0, b.offsite.emulator, &metrics, NULL) == 0, &b);
    assert_memory_equal(before, b.offsite.emulator, emulator_bytes(&b));
    free(before);
    close_bench(&b);
}

static void a_block_has_its_own_order_and_always_the_same(void **state)
{
    (void)state;
    bench_t b;
    fmq_metrics_t metrics;
    open_bench(&b, "");
    float *once = copy_emulator(&b), *again = copy_emulator(&b), *other = copy_emulator(&b);
    need(run_block(&b, 7, once, &metrics, NULL) == 0, &b);
    need(run_block(&b, 8, other, &metrics, NULL) == 0, &b);
    need(run_block(&b, 7, again, &metrics, NULL) == 0, &b);
    assert_memory_equal(once, again, emulator_bytes(&b));
    assert_memory_not_equal(once, other, emulator_bytes(&b));
    free(once);
    free(again);
    free(other);
    close_bench(&b);
}

static void a_block_that_is_stopped_changes_nothing(void **state)
{
    (void)state;
    bench_t b;
    fmq_metrics_t metrics;
    open_bench(&b, "");
    float *before = copy_emulator(&b);
    assert_int_equal(run_block(&b, 0, b.offsite.emulator, &metrics, &b), -1);
    assert_int_equal(b.err.code, FMQ_ERR_STOPPED);
    assert_memory_equal(before, b.offsite.emulator, emulator_bytes(&b));
    free(before);
    close_bench(&b);
}

static void public_data_that_is_not_there_is_named_before_the_run(void **state)
{
    (void)state;
    bench_t b;
    fmq_offsite_t other;
    open_bench(&b, "");
    need(fmq_config_set(b.config, "llm.offsite_tuning.emu_align.data.type", "no.jsonl@llm",
                        &b.err) == 0,
         &b);
    assert_int_equal(fmq_offsite_open(&other, &b.context, &b.err), -1);
    assert_non_null(strstr(b.err.text, "emu_align.data"));
    assert_non_null(strstr(b.err.text, "no.jsonl"));
    fmq_offsite_release(&other);
    close_bench(&b);
}

static void measure(bench_t *self, fmq_metrics_t *metrics)
{
    fmq_measuring_t measuring = {.state = self->state, .progress = go_on};
    assert_non_null(self->options.measure);
    metrics->size = 0;
    need(self->options.measure(self->options.measure_argument, &measuring, metrics, &self->err) ==
             0,
         self);
}

#define FULL "llm: {offsite_tuning: {eval_type: full}}\n"

/* Defect 4: there the adapter never reaches the full model. */
static void the_full_model_is_measured_with_the_adapter_that_is_plugged_in(void **state)
{
    (void)state;
    bench_t b;
    fmq_metrics_t before, again, after;
    open_bench(&b, FULL);
    measure(&b, &before);
    measure(&b, &again);
    assert_true(metric(&before, "plugin.test_total") == 3);
    assert_true(metric(&before, "plugin.val_total") == 3);
    assert_true(metric(&before, "plugin.test_avg_loss") > 0);
    assert_true(metric(&before, "plugin.test_loss") == metric(&again, "plugin.test_loss"));
    assert_null(fmq_metrics_get(&before, "plugin.test_exact_match"));
    uint64_t elements = fmq_schema_elements(llm_adapter_schema(b.context.adapter));
    for (uint64_t i = 0; i < elements; i++)
        b.state[i] += 0.05F;
    measure(&b, &after);
    assert_true(metric(&before, "plugin.test_loss") != metric(&after, "plugin.test_loss"));
    close_bench(&b);
}

static void answers_are_compared_where_that_is_asked_for(void **state)
{
    (void)state;
    bench_t b;
    fmq_metrics_t metrics;
    open_bench(&b, FULL "fedmq: {match_tokens: 3, match_examples: 2}\neval: {split: [test]}\n");
    measure(&b, &metrics);
    assert_true(metric(&metrics, "plugin.test_exact_total") == 2);
    assert_true(metric(&metrics, "plugin.test_exact_match") >= 0);
    assert_null(fmq_metrics_get(&metrics, "plugin.val_loss")); /* not in eval.split */
    close_bench(&b);
}

static void a_server_without_the_runs_data_measures_on_public_records(void **state)
{
    (void)state;
    bench_t b;
    fmq_metrics_t metrics;
    open_bench(&b, FULL "fedmq: {own_data: True}\n");
    measure(&b, &metrics);
    assert_true(metric(&metrics, "plugin.test_total") == 4);
    close_bench(&b);
    open_bench(&b, FULL "data: {type: 'elsewhere.jsonl@llm'}\n");
    measure(&b, &metrics);
    assert_true(metric(&metrics, "plugin.test_total") == 4);
    close_bench(&b);
}

static void without_eval_type_full_the_server_measures_nothing(void **state)
{
    (void)state;
    bench_t b;
    open_bench(&b, "");
    assert_null(b.options.measure);
    close_bench(&b);
}

static void restore_from(bench_t *self, const char *path, fmq_offsite_t *out)
{
    need(fmq_config_set(self->config, "llm.offsite_tuning.emu_align.restore_from", path,
                        &self->err) == 0,
         self);
    need(fmq_offsite_open(out, &self->context, &self->err) == 0, self);
    need(fmq_offsite_restore(out, &self->err) == 0, self);
}

static void what_is_saved_can_be_restored_and_is_not_aligned_again(void **state)
{
    (void)state;
    bench_t b;
    char path[256];
    fmq_metrics_t metrics;
    fmq_offsite_t other;
    open_bench(&b, "");
    test_path(path, b.folder, "emulator");
    restore_from(&b, path, &other); /* none is there yet: it is aligned, then saved there */
    assert_int_equal(other.aligned, 0);
    assert_memory_equal(other.emulator, b.offsite.emulator, emulator_bytes(&b));
    fmq_offsite_release(&other);
    need(run_block(&b, 0, b.offsite.emulator, &metrics, NULL) == 0, &b);
    need(b.options.offsite->save(b.options.offsite->argument, b.offsite.emulator, path, &b.err) ==
             0,
         &b);
    restore_from(&b, path, &other);
    assert_int_equal(other.aligned, 50);
    assert_memory_equal(other.emulator, b.offsite.emulator, emulator_bytes(&b));
    fmq_offsite_release(&other);
    close_bench(&b);
}

/* What an HF model directory computes by itself over the server's test set. */
static double loss_of(bench_t *self, const char *directory)
{
    llm_adapter_spec_t none = {.kind = LLM_ADAPTER_NONE};
    llm_records_t *records[3];
    llm_eval_stats_t stats;
    llm_model_t *model = llm_model_open(directory, self->loader, &self->err);
    need(model != NULL, self);
    llm_adapter_t *adapter = llm_adapter_new(llm_model_shape(model), &none, &self->err);
    need(adapter != NULL, self);
    need(fmq_public_load(&self->offsite.settings, records, &self->err) == 0, self);
    llm_dataset_t *data = fmq_heldout_tokenize(&self->context, records[2], "test", &self->err);
    need(data != NULL, self);
    llm_limits_t limits = {.tokens_max = llm_train_tokens_max(data, 4)};
    llm_workspace_t *workspace =
        llm_workspace_new(model, adapter, &limits, self->loader, &self->err);
    need(workspace != NULL, self);
    need(llm_evaluate_loss(workspace, data, 4, NULL, NULL, &stats, &self->err) == 0, self);
    llm_workspace_destroy(&workspace);
    llm_dataset_destroy(&data);
    for (int i = 0; i < 3; i++)
        llm_records_destroy(&records[i]);
    llm_adapter_destroy(&adapter);
    llm_model_destroy(&model);
    return stats.loss_sum;
}

static void the_whole_model_that_is_saved_computes_what_was_measured(void **state)
{
    (void)state;
    bench_t b;
    char path[256];
    fmq_metrics_t metrics;
    open_bench(&b, "fedmq: {own_data: True}\n"
                   "llm: {offsite_tuning: {eval_type: full, save_full_model: True}}\n");
    uint64_t elements = fmq_schema_elements(llm_adapter_schema(b.context.adapter));
    for (uint64_t i = 0; i < elements; i++)
        b.state[i] += 0.05F;
    measure(&b, &metrics);
    test_path(path, b.folder, "merged");
    assert_non_null(b.options.save_copy);
    need(b.options.save_copy(b.options.save_copy_argument, b.state, path, &b.err) == 0, &b);
    double merged = loss_of(&b, path), measured = metric(&metrics, "plugin.test_loss");
    double plain = loss_of(&b, FEDMQ_SOURCE_DIR "/configs/quickstart/model");
    assert_true(fabs(merged - measured) < 1e-4 * measured);
    assert_true(fabs(plain - measured) > 1e-3 * measured);
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_bring_the_emulator_nearer_and_say_how_near),
        cmocka_unit_test(the_divergence_and_the_truth_count_when_they_have_weight),
        cmocka_unit_test(the_alignments_own_optimizer_is_used),
        cmocka_unit_test(a_block_has_its_own_order_and_always_the_same),
        cmocka_unit_test(a_block_that_is_stopped_changes_nothing),
        cmocka_unit_test(public_data_that_is_not_there_is_named_before_the_run),
        cmocka_unit_test(the_full_model_is_measured_with_the_adapter_that_is_plugged_in),
        cmocka_unit_test(answers_are_compared_where_that_is_asked_for),
        cmocka_unit_test(a_server_without_the_runs_data_measures_on_public_records),
        cmocka_unit_test(without_eval_type_full_the_server_measures_nothing),
        cmocka_unit_test(what_is_saved_can_be_restored_and_is_not_aligned_again),
        cmocka_unit_test(the_whole_model_that_is_saved_computes_what_was_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
