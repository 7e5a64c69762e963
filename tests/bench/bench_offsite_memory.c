/*
 * bench_offsite_memory.c - what offsite tuning costs in memory, at both ends,
 * with a model of GPT-2 small's size (110 M parameters in LLaMA's form, random
 * weights, written to a temporary directory as BF16 and as F32).
 *
 * Server: the full model open and updates folded; the same with an emulator
 * built (drop_layer) and aligned for a few steps.  Clients: steps with the full
 * model, and with what they hold in offsite tuning, put together from part
 * files.  Every row is a process of its own; see footprint.h for its columns.
 *
 * Usage: bench_offsite_memory [--threads N] [--tokens N] [--batch N] [--steps N]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/extend/rule.h"
#include "fedmq/llm/align.h"
#include "tests/bench/flags.h"
#include "tests/bench/footprint.h"
#include "tests/bench/inputs.h"
#include "tests/bench/offsite_scene.h"
#include "tests/bench/peak.h"

#define UPDATES 16

typedef struct {
    int threads, tokens, batch, steps;
} options_t;

typedef enum { WRITE_MODEL, WRITE_PARTS, FOLD, ALIGN, ALIGN_KL, TRAIN_FULL, TRAIN_STUDENT } what_t;

typedef struct {
    const options_t *options;
    const char *directory;
    fmq_dtype_t dtype;
    what_t what;
    scene_geometry_t geometry; /* trained 0: all layers */
} row_t;

static llm_backend_t *new_backend(const row_t *row)
{
    fmq_error_t err;
    llm_backend_t *be = llm_backend_cpu_new((unsigned)row->options->threads, &err);
    if (!be)
        scene_die("backend", &err);
    return be;
}

static llm_train_options_t routine(const row_t *row)
{
    return (llm_train_options_t){
        .optimizer = {.kind = LLM_ADAMW, .lr = 1e-4, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8},
        .steps = (uint64_t)row->options->steps,
        .batch_size = (uint32_t)row->options->batch,
        .grad_accum = 1,
        .seed = 1};
}

static float *new_vector(const llm_adapter_t *adapter)
{
    uint64_t size = fmq_schema_elements(llm_adapter_schema(adapter));
    float *vector = calloc((size_t)size + 1, sizeof *vector);
    if (!vector)
        exit(1);
    return vector;
}

static llm_adapter_t *new_adapter(const row_t *row)
{
    fmq_error_t err;
    llm_shape_t shape = scene_shape();
    llm_adapter_spec_t spec = scene_adapter();
    if (row->geometry.trained)
        llm_layer_set_add(&spec.layers, (uint32_t)(SCENE_LAYERS - row->geometry.trained),
                          SCENE_LAYERS);
    llm_adapter_t *adapter = llm_adapter_new(&shape, &spec, &err);
    if (!adapter)
        scene_die("adapter", &err);
    return adapter;
}

/* An update that says nothing. */
static int read_update(void *argument, size_t index, uint64_t first, uint64_t count, float *values,
                       fmq_error_t *err)
{
    (void)argument, (void)index, (void)first, (void)err;
    memset(values, 0, (size_t)count * sizeof *values);
    return 0;
}

static int put(void *argument, uint64_t first, uint64_t count, float *values, fmq_error_t *err)
{
    (void)err;
    memcpy((float *)argument + first, values, (size_t)count * sizeof *values);
    return 0;
}

static void fold(const llm_adapter_t *adapter, float *vector)
{
    fmq_error_t err;
    fmq_updates_t updates = {.size = UPDATES,
                             .elements = fmq_schema_elements(llm_adapter_schema(adapter)),
                             .read = read_update};
    const fmq_rule_t *rule = fmq_rule_find("fedavg", &err);
    if (!rule || fmq_rule_run(rule, &updates, put, vector, &err) < 0)
        scene_die("aggregation", &err);
}

static void align(const row_t *row, const llm_model_t *model, llm_backend_t *be,
                  const float *vector)
{
    fmq_error_t err;
    llm_dataset_t *data = bench_dataset(4 * row->options->batch, row->options->tokens);
    llm_emulator_spec_t spec = scene_emulator(&row->geometry);
    llm_emulator_building_t how = {.be = be, .data = data, .seed = 1};
    llm_emulator_t *emulator = llm_emulator_new(model, &spec, &how, &err);
    if (!emulator)
        scene_die("emulator", &err);
    const llm_offsite_t *offsite = llm_emulator_offsite(emulator);
    float *state = new_vector(offsite->state);
    if (llm_adapter_init(offsite->state, offsite->student, 1, state, &err) < 0)
        scene_die("emulator", &err);
    llm_align_options_t options = {
        .sim_weight = 1, .kl_weight = row->what == ALIGN_KL ? 0.25 : 0, .train = routine(row)};
    llm_align_t block = {.offsite = offsite, .data = data, .options = &options, .be = be};
    if (llm_align_run(&block, vector, state, NULL, &err) < 0)
        scene_die("alignment", &err);
    free(state);
    llm_emulator_destroy(&emulator);
    llm_dataset_destroy(&data);
}

static void serve(const row_t *row)
{
    fmq_error_t err;
    llm_backend_t *be = new_backend(row);
    llm_model_t *model = llm_model_open(row->directory, be, &err);
    if (!model)
        scene_die("model", &err);
    llm_adapter_t *adapter = new_adapter(row);
    float *vector = new_vector(adapter);
    if (llm_adapter_init(adapter, model, 1, vector, &err) < 0)
        scene_die("adapter", &err);
    fold(adapter, vector);
    if (row->what != FOLD)
        align(row, model, be, vector);
    free(vector);
    llm_adapter_destroy(&adapter);
    llm_model_destroy(&model);
    llm_backend_destroy(&be);
}

/* A client's local steps. */
static void train(const row_t *row, const llm_stack_t *stack, llm_backend_t *be)
{
    fmq_error_t err;
    llm_train_options_t options = routine(row);
    llm_dataset_t *data = bench_dataset(4 * row->options->batch, row->options->tokens);
    llm_limits_t limits = {.tokens_max = llm_train_tokens_max(data, options.batch_size),
                           .training = true};
    llm_workspace_t *ws = llm_workspace_new_stack(stack, &limits, be, &err);
    if (!ws)
        scene_die("workspace", &err);
    float *vector = new_vector(stack->adapter);
    if (llm_adapter_init(stack->adapter, stack->model, 1, vector, &err) < 0 ||
        llm_workspace_set_params(ws, vector, &err) < 0 ||
        llm_train_run(ws, data, &options, NULL, NULL, NULL, &err) < 0)
        scene_die("training", &err);
    free(vector);
    llm_workspace_destroy(&ws);
    llm_dataset_destroy(&data);
}

static void train_full(const row_t *row)
{
    fmq_error_t err;
    llm_backend_t *be = new_backend(row);
    llm_model_t *model = llm_model_open(row->directory, be, &err);
    if (!model)
        scene_die("model", &err);
    llm_adapter_t *adapter = new_adapter(row);
    train(row, &(llm_stack_t){.model = model, .adapter = adapter}, be);
    llm_adapter_destroy(&adapter);
    llm_model_destroy(&model);
    llm_backend_destroy(&be);
}

static void train_student(const row_t *row)
{
    llm_backend_t *be = new_backend(row);
    llm_emulator_t *emulator = scene_assemble(row->directory, &row->geometry, be);
    const llm_offsite_t *offsite = llm_emulator_offsite(emulator);
    llm_stack_t stack = {
        .model = offsite->student, .adapter = offsite->adapter, .fixed = offsite->state};
    train(row, &stack, be);
    llm_emulator_destroy(&emulator);
    llm_backend_destroy(&be);
}

static void work(const void *argument)
{
    const row_t *row = argument;
    switch (row->what) {
    case WRITE_MODEL:
        scene_write_model(row->directory, row->dtype);
        break;
    case WRITE_PARTS:
        scene_write_parts(row->directory);
        break;
    case FOLD:
    case ALIGN:
    case ALIGN_KL:
        serve(row);
        break;
    case TRAIN_FULL:
        train_full(row);
        break;
    case TRAIN_STUDENT:
        train_student(row);
        break;
    }
}

static footprint_t measure(const row_t *row)
{
    footprint_t footprint;
    if (footprint_of(work, row, &footprint) < 0)
        exit(1);
    return footprint;
}

static footprint_t print_row(const row_t *row, const char *name, const footprint_t *base)
{
    footprint_t now = measure(row);
    printf("  %-44s %8.1f %8.1f", name, now.peak, now.anon);
    if (base)
        printf("   %6.3f %6.3f", now.peak / base->peak, now.anon / base->anon);
    printf("\n");
    return now;
}

static const scene_geometry_t geometries[] = {{2, 0.2}, {2, 0.5}, {4, 0.2}, {4, 0.5}};

#define GEOMETRIES (sizeof geometries / sizeof *geometries)

static void print_servers(row_t row)
{
    char name[96];
    row.geometry = geometries[0];
    row.what = FOLD;
    footprint_t base = print_row(&row, "server, aggregation only", NULL);
    for (size_t i = 0; i < GEOMETRIES; i++) {
        row.geometry = geometries[i];
        row.what = ALIGN;
        (void)snprintf(name, sizeof name, "server, A %d layers, dropout %.1f, aligned",
                       row.geometry.trained, row.geometry.dropout);
        (void)print_row(&row, name, &base);
    }
    row.geometry = geometries[0];
    row.what = ALIGN_KL;
    (void)print_row(&row, "server, A 2 layers, dropout 0.2, KL too", &base);
}

static void print_clients(row_t row)
{
    char name[96];
    row.what = TRAIN_FULL;
    row.geometry = (scene_geometry_t){0, 0};
    footprint_t base = print_row(&row, "client, full model, LoRA in all layers", NULL);
    for (int trained = 2; trained <= 4; trained += 2) {
        row.geometry.trained = trained;
        (void)snprintf(name, sizeof name, "client, full model, LoRA in the last %d", trained);
        (void)print_row(&row, name, &base);
    }
    for (size_t i = 0; i < GEOMETRIES; i++) {
        row.what = TRAIN_STUDENT;
        row.geometry = geometries[i];
        (void)snprintf(name, sizeof name, "client, A %d layers, dropout %.1f", row.geometry.trained,
                       row.geometry.dropout);
        (void)print_row(&row, name, &base);
    }
}

static void parse(options_t *options, int argc, char **argv)
{
    const bench_flag_t flags[] = {
        bench_number("--threads", &options->threads, 1, BENCH_THREADS_MAX),
        bench_number("--tokens", &options->tokens, 1, 1024),
        bench_number("--batch", &options->batch, 1, 64),
        bench_number("--steps", &options->steps, 1, 1000)};
    bench_flags(flags, sizeof flags / sizeof *flags, argc, argv);
}

int main(int argc, char **argv)
{
    options_t options = {.threads = 2, .tokens = 256, .batch = 1, .steps = 2};
    parse(&options, argc, argv);
    llm_shape_t shape = scene_shape();
    printf("%.1f M parameters in %d layers, LoRA r=8 on q_proj and v_proj, batches of %d x %d "
           "tokens; MiB\n",
           (double)llm_shape_parameters(&shape) * 1e-6, SCENE_LAYERS, options.batch,
           options.tokens);
    for (int i = 0; i < 2; i++) {
        char directory[] = "/tmp/fedmq-offsite-memory-XXXXXX";
        if (!mkdtemp(directory))
            return 1;
        row_t row = {.options = &options,
                     .directory = directory,
                     .dtype = i ? FMQ_F32 : FMQ_BF16,
                     .what = WRITE_MODEL};
        (void)measure(&row);
        row.what = WRITE_PARTS;
        (void)measure(&row);
        printf("%-46s %8s %8s   %s\n", i ? "F32 file" : "BF16 file", "VmHWM", "RssAnon",
               "of the first");
        print_servers(row);
        print_clients(row);
        scene_remove(directory);
    }
    return 0;
}
