/*
 * test_families.c - every decoder family against PyTorch with transformers and
 * PEFT, from the directories that scripts/goldens/make_family_goldens.py writes:
 * whatever lies in tests/llm/pass/families is checked.  With a device as its
 * argument ("cuda-emulated", "cpu:bf16") it checks losses, gradients, logits and
 * greedy ids of that one instead, in fp32 unless it says bf16.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fedmq/llm/generate.h"
#include "tests/llm/pass/golden.h"

#define FAMILIES     FEDMQ_SOURCE_DIR "/tests/llm/pass/families"
#define FAMILIES_MAX 128
#define NEW_TOKENS   20

static char names[FAMILIES_MAX][64]; /* set once, by main() */
static size_t count;
static char device[64]; /* that is tested instead, or empty; set once, by main() */

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static int list_families(void)
{
    DIR *directory = opendir(FAMILIES);
    const struct dirent *entry;
    while (directory && (entry = readdir(directory)) && count < FAMILIES_MAX)
        if (entry->d_name[0] != '.')
            (void)snprintf(names[count++], sizeof *names, "%.63s", entry->d_name);
    if (directory)
        (void)closedir(directory);
    qsort(names, count, sizeof *names, by_name);
    return count > 0 ? 0 : -1;
}

typedef void (*visit_t)(const char *name, llm_backend_t *be);

static void each(const char *backend, visit_t visit)
{
    fmq_error_t err = {0};
    for (size_t i = 0; i < count; i++) {
        llm_backend_t *be =
            backend ? llm_backend_open(backend, 2, &err) : llm_backend_reference_new(&err);
        golden_check(be, &err);
        visit(names[i], be);
    }
}

/* The bias of keys that no position turns has a gradient of zero, which nobody
 * computes exactly. */
static void check_values(const char *name, bool full, golden_tolerance_t tolerance,
                         llm_backend_t *be)
{
    tolerance.least = 0.01;
    golden_check_case(FAMILIES, name, full, &tolerance, be);
}

static void check_full(const char *name, llm_backend_t *be)
{
    check_values(name, true, golden_exact, be);
}

static void check_lora(const char *name, llm_backend_t *be)
{
    check_values(name, false, golden_exact, be);
}

static void full_fine_tuning_is_that_of_transformers(void **state)
{
    (void)state;
    each(NULL, check_full);
    each("cpu", check_full);
}

static void lora_on_the_default_targets_is_that_of_peft(void **state)
{
    (void)state;
    each(NULL, check_lora);
    each("cpu", check_lora);
}

/* The adapter's targets are PEFT's defaults: ours are the same modules. */
static void check_targets(const char *name, llm_backend_t *be)
{
    fmq_error_t err = {0};
    golden_t golden;
    golden_open(&golden, FAMILIES, name, false, be);
    llm_adapter_spec_t spec = *llm_adapter_spec(golden.tiny.adapter);
    spec.targets = 0;
    llm_adapter_t *ours = llm_adapter_new(llm_model_shape(golden.tiny.model), &spec, &err);
    golden_check(ours, &err);
    const fmq_schema_t *a = llm_adapter_schema(ours);
    const fmq_schema_t *b = llm_adapter_schema(golden.tiny.adapter);
    assert_int_equal(fmq_schema_size(a), fmq_schema_size(b));
    for (size_t i = 0; i < fmq_schema_size(a); i++)
        assert_string_equal(fmq_schema_at(a, i)->name, fmq_schema_at(b, i)->name);
    llm_adapter_destroy(&ours);
    golden_close(&golden);
}

static void the_default_targets_are_those_of_peft(void **state)
{
    (void)state;
    each(NULL, check_targets);
}

static void check_prompt(const golden_t *golden, llm_generator_t *generator, unsigned number)
{
    fmq_error_t err = {0};
    char key[64];
    uint64_t length = 0, size = 0;
    (void)snprintf(key, sizeof key, "prompt.%u", number);
    float *prompt = golden_read(golden, key, &length);
    (void)snprintf(key, sizeof key, "greedy.%u", number);
    float *theirs = golden_read(golden, key, &size);
    int32_t ids[64] = {0};
    assert_true(length <= sizeof ids / sizeof *ids);
    for (uint64_t i = 0; i < length; i++)
        ids[i] = (int32_t)prompt[i];
    llm_sampling_t how = {.new_tokens_max = NEW_TOKENS, .top_p = 1.0};
    llm_ids_t out = {0};
    golden_check(llm_generator_run(generator, ids, length, &how, &out, &err) == 0, &err);
    assert_int_equal(out.size, size);
    for (uint64_t i = 0; i < size; i++)
        if (out.ids[i] != (int32_t)theirs[i])
            fail_msg("%s: token %llu behind prompt %u is %d, not %d", golden->directory,
                     (unsigned long long)i, number, out.ids[i], (int)theirs[i]);
    llm_ids_release(&out);
    free(prompt);
    free(theirs);
}

static void check_greedy(const char *name, llm_backend_t *be)
{
    fmq_error_t err = {0};
    golden_t golden;
    golden_open(&golden, FAMILIES, name, true, be);
    tiny_t *tiny = &golden.tiny;
    llm_adapter_spec_t none = {.kind = LLM_ADAPTER_NONE};
    llm_adapter_t *adapter = llm_adapter_new(llm_model_shape(tiny->model), &none, &err);
    golden_check(adapter, &err);
    llm_generator_t *generator = llm_generator_new(tiny->model, adapter, 32, be, &err);
    golden_check(generator, &err);
    for (unsigned number = 0; number < 2; number++)
        check_prompt(&golden, generator, number);
    llm_generator_destroy(&generator);
    llm_adapter_destroy(&adapter);
    golden_close(&golden);
}

static void greedy_decoding_with_a_cache_gives_the_ids_of_transformers(void **state)
{
    (void)state;
    each(NULL, check_greedy);
    each("cpu", check_greedy);
}

/* Logits of all rows; the caller's to free. */
static float *logits_of(golden_t *golden, const llm_model_t *model, llm_backend_t *be)
{
    fmq_error_t err = {0};
    size_t size = golden->tokens * llm_model_shape(model)->vocab;
    float *out = malloc(size * sizeof *out);
    llm_adapter_spec_t none = {.kind = LLM_ADAPTER_NONE};
    llm_limits_t limits = {.tokens_max = golden->tokens};
    llm_adapter_t *adapter = llm_adapter_new(llm_model_shape(model), &none, &err);
    golden_check(adapter, &err);
    llm_workspace_t *ws = llm_workspace_new(model, adapter, &limits, be, &err);
    golden_check(ws, &err);
    golden_check(
        llm_workspace_logits(ws, &golden->batch, golden->all_rows, golden->tokens, out, &err) == 0,
        &err);
    llm_workspace_destroy(&ws);
    llm_adapter_destroy(&adapter);
    return out;
}

/* What a composed or an exported model computes is what the golden says. */
static void check_logits(golden_t *golden, const char *kind, const llm_model_t *model)
{
    char key[64];
    uint64_t size = 0;
    (void)snprintf(key, sizeof key, "%s.logits", kind);
    float *theirs = golden_read(golden, key, &size);
    float *ours = logits_of(golden, model, golden->tiny.be);
    golden_compare(key, ours, theirs, size, golden_exact.logits, 0.0);
    free(ours);
    free(theirs);
}

static void check_parts(const char *name, llm_backend_t *be)
{
    golden_t golden;
    golden_open(&golden, FAMILIES, name, true, be);
    const llm_shape_t *shape = llm_model_shape(golden.tiny.model);
    uint32_t ffn[TINY_LAYERS_MAX];
    for (uint32_t l = 0; l < shape->layers; l++)
        ffn[l] = shape->ffn;
    llm_model_t *composed = tiny_narrow(golden.tiny.model, ffn, be);
    check_logits(&golden, "full", composed);
    llm_model_destroy(&composed);
    golden_close(&golden);
}

static void a_model_of_part_files_computes_the_same(void **state)
{
    (void)state;
    each(NULL, check_parts);
}

/* A directory that nothing is in yet. */
static void make_directory(char path[64])
{
    (void)snprintf(path, 64, "/tmp/fedmq-families-XXXXXX");
    assert_non_null(mkdtemp(path));
}

static void remove_directory(const char *path)
{
    static const char *const files[] = {"config.json", "model.safetensors", "adapter_config.json",
                                        "adapter_model.safetensors"};
    char file[128];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        (void)snprintf(file, sizeof file, "%.64s/%s", path, files[i]);
        (void)remove(file);
    }
    assert_int_equal(remove(path), 0);
}

static void check_same_shape(const llm_shape_t *a, const llm_shape_t *b)
{
    fmq_error_t err = {0};
    char *first = llm_shape_text(a, &err), *second = llm_shape_text(b, &err);
    assert_non_null(first);
    assert_non_null(second);
    assert_string_equal(first, second);
    free(first);
    free(second);
}

/* Merged where the golden has an adapter's vector, and as it was: in the dtype
 * of the goldens, of which nothing is lost then. */
static void check_export(const char *name, bool full, llm_backend_t *be)
{
    fmq_error_t err = {0};
    golden_t golden;
    char path[64];
    golden_open(&golden, FAMILIES, name, full, be);
    make_directory(path);
    llm_merge_t merge = {.adapter = golden.tiny.adapter, .vector = golden.tiny.vector};
    golden_check(llm_model_export(golden.tiny.model, &merge, full ? 0 : 1, NULL,
                                  full ? FMQ_BF16 : FMQ_F32, path, &err) == 0,
                 &err);
    llm_model_t *again = llm_model_open(path, be, &err);
    golden_check(again, &err);
    check_same_shape(llm_model_shape(again), llm_model_shape(golden.tiny.model));
    check_logits(&golden, full ? "full" : "lora", again);
    if (full) {
        fmq_digest_t before = llm_model_digest(golden.tiny.model);
        fmq_digest_t after = llm_model_digest(again);
        assert_memory_equal(&before, &after, sizeof before);
    }
    llm_model_destroy(&again);
    golden_close(&golden);
    remove_directory(path);
}

static void check_export_plain(const char *name, llm_backend_t *be)
{
    check_export(name, true, be);
}

static void check_export_merged(const char *name, llm_backend_t *be)
{
    check_export(name, false, be);
}

static void what_is_exported_is_read_again_and_computes_the_same(void **state)
{
    (void)state;
    each(NULL, check_export_plain);
    each(NULL, check_export_merged);
}

/* What training leaves of a model or an adapter has every byte of the vector. */
static void check_saved(const char *name, bool full, llm_backend_t *be)
{
    fmq_error_t err = {0};
    golden_t golden;
    char path[64];
    golden_open(&golden, FAMILIES, name, full, be);
    make_directory(path);
    tiny_t *tiny = &golden.tiny;
    float *again = calloc(tiny->elements, sizeof *again);
    golden_check(
        llm_adapter_save(tiny->adapter, tiny->vector, name, NULL, FMQ_F32, path, &err) == 0, &err);
    golden_check(llm_adapter_load(tiny->adapter, path, again, &err) == 0, &err);
    assert_memory_equal(again, tiny->vector, tiny->elements * sizeof *again);
    free(again);
    golden_close(&golden);
    remove_directory(path);
}

static void check_saved_lora(const char *name, llm_backend_t *be)
{
    check_saved(name, false, be);
}

static void check_saved_full(const char *name, llm_backend_t *be)
{
    check_saved(name, true, be);
}

static void what_was_trained_survives_saving_and_loading(void **state)
{
    (void)state;
    each(NULL, check_saved_lora);
    each(NULL, check_saved_full);
}

/* How near depends on the numbers that it computes with. */
static void check_device(const char *name, llm_backend_t *be)
{
    fmq_error_t err = {0};
    golden_tolerance_t tolerance = strstr(device, ":bf16") ? golden_rounded : golden_exact;
    check_values(name, true, tolerance, be);
    be = llm_backend_open(device, 2, &err);
    golden_check(be, &err);
    check_values(name, false, tolerance, be);
}

static void a_device_gives_the_same(void **state)
{
    (void)state;
    each(device, check_device);
}

static void greedy_ids_on_a_device_are_the_same(void **state)
{
    (void)state;
    if (strstr(device, ":bf16"))
        skip(); /* rounding may change a choice */
    each(device, check_greedy);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest on_device[] = {
        cmocka_unit_test(a_device_gives_the_same),
        cmocka_unit_test(greedy_ids_on_a_device_are_the_same),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_fine_tuning_is_that_of_transformers),
        cmocka_unit_test(lora_on_the_default_targets_is_that_of_peft),
        cmocka_unit_test(the_default_targets_are_those_of_peft),
        cmocka_unit_test(greedy_decoding_with_a_cache_gives_the_ids_of_transformers),
        cmocka_unit_test(a_model_of_part_files_computes_the_same),
        cmocka_unit_test(what_is_exported_is_read_again_and_computes_the_same),
        cmocka_unit_test(what_was_trained_survives_saving_and_loading),
    };
    if (argc > 1)
        (void)snprintf(device, sizeof device, "%.48s%s", argv[1],
                       strstr(argv[1], ":bf16") ? "" : ":f32");
    if (list_families() < 0) {
        fprintf(stderr, "there are no families in '%s'\n", FAMILIES);
        return 1;
    }
    return device[0] ? cmocka_run_group_tests(on_device, NULL, NULL)
                     : cmocka_run_group_tests(tests, NULL, NULL);
}
