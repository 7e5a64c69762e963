/*
 * test_measure.c - a state measured in the client's model and
 * plugged into the full one: what each number depends on, and what it equals.
 */
#include "actors_test.h"

#include <math.h>
#include <unistd.h>

#include "actors/evaluation/measure.h"

#define MODEL   FEDMQ_SOURCE_DIR "/configs/quickstart/model"
#define RECORDS 12

static struct {
    llm_backend_t *loader;
    llm_model_t *model;
    llm_tokenizer_t *tokenizer;
    llm_emulator_t *emulator;
    const llm_offsite_t *offsite;
    llm_records_t *records;
    llm_dataset_t *dataset;
    fmq_devices_t *permits;
    fmq_config_t *config;
    fmq_context_t context;
    float *vector, *state; /* A's and E's */
} f;

static float *vector_of(const llm_adapter_t *adapter, uint32_t seed)
{
    const fmq_schema_t *schema = llm_adapter_schema(adapter);
    float *vector = test_vector(schema, seed);
    for (uint64_t i = 0; i < fmq_schema_elements(schema); i++)
        vector[i] *= 0.02f;
    return vector;
}

static void open_models(void)
{
    fmq_error_t err = {0};
    llm_emulator_spec_t spec = {.strategy = LLM_DROP_LAYER,
                                .emu_l = 0,
                                .emu_r = 3,
                                .drop_ratio = 0.34,
                                .adapter = {.kind = LLM_ADAPTER_LORA, .rank = 2, .alpha = 4}};
    llm_emulator_building_t how;
    f.loader = llm_backend_cpu_new(1, &err);
    f.model = llm_model_open(MODEL, f.loader, &err);
    f.tokenizer = llm_tokenizer_open(MODEL, &err);
    how = (llm_emulator_building_t){.be = f.loader};
    f.emulator = f.model ? llm_emulator_new(f.model, &spec, &how, &err) : NULL;
    if (!f.emulator)
        fail_msg("%s", err.text);
    f.offsite = llm_emulator_offsite(f.emulator);
}

static int set_up(void **state)
{
    fmq_error_t err = {0};
    (void)state;
    open_models();
    f.records = llm_records_new();
    for (int i = 0; i < RECORDS; i++) {
        char question[64];
        snprintf(question, sizeof question, "Reverse the word number %d.", i);
        llm_records_add(f.records, &(llm_record_t){question, "", "abc", ""}, &err);
    }
    f.dataset = llm_dataset_new(f.records, NULL, f.tokenizer, 96, &err);
    f.permits = fmq_devices_new(1, 1, &err);
    f.config = fmq_config_new();
    fmq_config_set(f.config, "llm.tok_len", "96", &err);
    fmq_config_set(f.config, "dataloader.batch_size", "3", &err);
    fmq_config_set(f.config, "fedmq.match_tokens", "4", &err);
    f.context = (fmq_context_t){.config = f.config,
                                .model = f.model,
                                .adapter = f.offsite->plugged,
                                .offsite = f.offsite,
                                .tokenizer = f.tokenizer,
                                .permits = f.permits};
    f.vector = vector_of(f.offsite->plugged, 1);
    f.state = vector_of(f.offsite->state, 2);
    return f.dataset ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    free(f.vector);
    free(f.state);
    fmq_config_destroy(&f.config);
    fmq_devices_destroy(&f.permits);
    llm_dataset_destroy(&f.dataset);
    llm_records_destroy(&f.records);
    llm_emulator_destroy(&f.emulator);
    llm_tokenizer_destroy(&f.tokenizer);
    llm_model_destroy(&f.model);
    llm_backend_destroy(&f.loader);
    return 0;
}

static int go_on(void *argument, uint64_t step, uint64_t steps, uint64_t tokens)
{
    (void)argument, (void)step, (void)steps, (void)tokens;
    return 0;
}

static int never(void *argument)
{
    (void)argument;
    return 0;
}

static fmq_metrics_t measure_with(const fmq_measure_t *how, const float *vector)
{
    fmq_measure_t self = *how;
    fmq_metrics_t metrics = {0};
    fmq_error_t err = {0};
    self.records = f.records;
    self.dataset = f.dataset;
    self.progress = go_on;
    self.stop = never;
    if (fmq_measure_run(&self, vector, &metrics, &err) < 0)
        fail_msg("%s", err.text);
    return metrics;
}

static fmq_metrics_t measure(const float *vector, const float *emulator)
{
    fmq_measure_t how = {.context = &f.context, .emulator = emulator, .plugin = true};
    return measure_with(&how, vector);
}

static double metric(const fmq_metrics_t *metrics, const char *name)
{
    const double *value = fmq_metrics_get(metrics, name);
    if (!value)
        fail_msg("there is no metric %s", name);
    return value ? *value : 0;
}

static void each_number_depends_on_what_it_measures(void **state)
{
    (void)state;
    float *other = vector_of(f.offsite->plugged, 3), *moved = vector_of(f.offsite->state, 4);
    fmq_metrics_t first = measure(f.vector, f.state);
    fmq_metrics_t with_other = measure(other, f.state);
    fmq_metrics_t with_moved = measure(f.vector, moved);
    static const char plugin[] = "plugin.test_loss", emulator[] = "emulator.test_loss";
    assert_true(metric(&first, plugin) != metric(&with_other, plugin));
    assert_true(metric(&first, emulator) != metric(&with_other, emulator));
    /* The emulator has no part in the full model. */
    assert_true(metric(&first, plugin) == metric(&with_moved, plugin));
    assert_true(metric(&first, emulator) != metric(&with_moved, emulator));
    assert_true(metric(&first, "plugin.test_total") == RECORDS);
    assert_true(metric(&first, "plugin.test_exact_total") == RECORDS);
    assert_true(metric(&first, "emulator.test_exact_total") == RECORDS);
    assert_null(fmq_metrics_get(&first, "test_loss"));
    free(other);
    free(moved);
}

/* The full model with the vector merged in, measured as a model of its own. */
static fmq_metrics_t measure_merged(const float *vector)
{
    fmq_error_t err = {0};
    char folder[64], path[256];
    llm_merge_t merge = {.adapter = f.offsite->plugged, .vector = vector};
    llm_adapter_spec_t none = {.kind = LLM_ADAPTER_NONE};
    test_folder_make(folder);
    test_path(path, folder, "merged");
    if (llm_model_export(f.model, &merge, 1, NULL, FMQ_F32, path, &err) < 0)
        fail_msg("%s", err.text);
    llm_model_t *merged = llm_model_open(path, f.loader, &err);
    assert_non_null(merged);
    llm_adapter_t *adapter = llm_adapter_new(llm_model_shape(merged), &none, &err);
    fmq_context_t context = f.context;
    context.model = merged;
    context.adapter = adapter;
    context.offsite = NULL;
    fmq_measure_t how = {.context = &context};
    fmq_metrics_t metrics = measure_with(&how, NULL);
    llm_adapter_destroy(&adapter);
    llm_model_destroy(&merged);
    test_folder_remove(folder);
    return metrics;
}

static void the_plugged_state_is_the_exported_merged_model(void **state)
{
    (void)state;
    float *vectors[] = {f.vector, vector_of(f.offsite->plugged, 5)};
    for (int i = 0; i < 2; i++) {
        fmq_metrics_t plugged = measure(vectors[i], f.state), merged = measure_merged(vectors[i]);
        double ours = metric(&plugged, "plugin.test_avg_loss");
        double theirs = metric(&merged, "test_avg_loss");
        if (!(fabs(ours - theirs) <= 1e-5 * theirs))
            fail_msg("plugged in %.9g, merged %.9g", ours, theirs);
        assert_true(metric(&plugged, "plugin.test_exact_match") ==
                    metric(&merged, "test_exact_match"));
    }
    free(vectors[1]);
}

static void without_the_full_model_the_emulator_alone_is_measured(void **state)
{
    (void)state;
    fmq_context_t context = f.context;
    context.model = NULL;
    fmq_measure_t how = {.context = &context, .emulator = f.state};
    fmq_metrics_t alone = measure_with(&how, f.vector), both = measure(f.vector, f.state);
    assert_true(metric(&alone, "emulator.test_loss") == metric(&both, "emulator.test_loss"));
    assert_null(fmq_metrics_get(&alone, "plugin.test_loss"));
}

static void kept_prefixes_change_no_number(void **state)
{
    (void)state;
    fmq_error_t err;
    fmq_digest_t tag = {{1}};
    llm_prefix_budget_t *budget = llm_prefix_budget_new(1 << 24);
    llm_prefix_cache_t *client = llm_prefix_cache_new(budget, &err);
    llm_prefix_cache_t *full = llm_prefix_cache_new(budget, &err);
    llm_prefix_cache_tag(client, &tag);
    llm_prefix_cache_tag(full, &tag);
    fmq_measure_t how = {.context = &f.context,
                         .emulator = f.state,
                         .plugin = true,
                         .prefix = client,
                         .plugin_prefix = full};
    fmq_metrics_t expected = measure(f.vector, f.state);
    for (int turn = 0; turn < 2; turn++) {
        fmq_metrics_t metrics = measure_with(&how, f.vector);
        assert_memory_equal(&metrics, &expected, sizeof metrics);
    }
    assert_int_equal(llm_prefix_cache_stats(client).hits, RECORDS);
    assert_int_equal(llm_prefix_cache_stats(full).hits, RECORDS);
    llm_prefix_cache_destroy(&client);
    llm_prefix_cache_destroy(&full);
    llm_prefix_budget_destroy(&budget);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_number_depends_on_what_it_measures),
        cmocka_unit_test(the_plugged_state_is_the_exported_merged_model),
        cmocka_unit_test(without_the_full_model_the_emulator_alone_is_measured),
        cmocka_unit_test(kept_prefixes_change_no_number),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
