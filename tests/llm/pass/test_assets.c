/*
 * test_assets.c - models that others trained or made: TinyStories-656K (LLaMA
 * with grouped keys, its tied matrix stored as the head only) and a tiny GPT-2
 * with PyTorch's logits.  Skipped, naming the path, where the data is absent.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fedmq/llm/generate.h"
#include "llm/hub/json.h"
#include "tests/llm/pass/tiny.h"

#define FILE_MAX  (16u << 20)
#define TOKENS    48
#define TOLERANCE 1e-4

/* Path below the assets, in out; skips the test when it is not there. */
static void asset(char out[512], const char *name)
{
    const char *root = getenv("FEDMQ_ASSETS");
    (void)snprintf(out, 512, "%s/%s", root ? root : FEDMQ_SOURCE_DIR "/../shared/assets", name);
    if (access(out, R_OK) == 0)
        return;
    printf("skipped: '%s' is not there\n", out);
    skip();
}

static json_t *load(const char *directory, const char *name)
{
    fmq_error_t err;
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    json_t *root = llm_json_load(path, FILE_MAX, &err);
    if (!root)
        fail_msg("%s", err.text);
    return root;
}

/* A model without an adapter, over the fast backend. */
typedef struct {
    llm_backend_t *be;
    llm_model_t *model;
    llm_adapter_t *adapter;
    llm_workspace_t *ws;
} frozen_t;

static void frozen_open(frozen_t *self, const char *directory)
{
    fmq_error_t err;
    llm_adapter_spec_t none = {.kind = LLM_ADAPTER_NONE};
    llm_limits_t limits = {.tokens_max = TOKENS};
    self->be = llm_backend_cpu_new(2, &err);
    self->model = llm_model_open(directory, self->be, &err);
    if (!self->model)
        fail_msg("%s", err.text);
    self->adapter = llm_adapter_new(llm_model_shape(self->model), &none, &err);
    self->ws = llm_workspace_new(self->model, self->adapter, &limits, self->be, &err);
    if (!self->ws)
        fail_msg("%s", err.text);
}

static void frozen_close(frozen_t *self)
{
    llm_workspace_destroy(&self->ws);
    llm_adapter_destroy(&self->adapter);
    llm_model_destroy(&self->model);
    llm_backend_destroy(&self->be);
}

static size_t read_ids(const json_t *list, int32_t *out)
{
    size_t count = json_array_size(list);
    assert_true(count > 1 && count <= TOKENS);
    for (size_t i = 0; i < count; i++)
        out[i] = (int32_t)json_number_value(json_array_get(list, i));
    return count;
}

static void compare(const json_t *theirs, const float *ours, size_t count)
{
    assert_int_equal(json_array_size(theirs), count);
    for (size_t i = 0; i < count; i++) {
        double value = json_number_value(json_array_get(theirs, i));
        if (!(fabs((double)ours[i] - value) <= TOLERANCE))
            fail_msg("logit %zu is %g, should be %g", i, (double)ours[i], value);
    }
}

static void tinystories_has_the_reference_loss_and_logits(void **state)
{
    (void)state;
    fmq_error_t err;
    char directory[512];
    asset(directory, "models/TinyStories-656K");
    json_t *golden = load(directory, "golden_numpy_f64.json");
    frozen_t frozen;
    frozen_open(&frozen, directory);
    int32_t ids[TOKENS], rows[TOKENS];
    size_t count = read_ids(json_object_get(golden, "ids"), ids);
    for (size_t i = 0; i < count; i++)
        rows[i] = (int32_t)i;
    uint32_t starts[] = {0, (uint32_t)count};
    llm_batch_t batch = {.sequences = 1,
                         .starts = starts,
                         .ids = ids,
                         .supervised = count - 1,
                         .rows = rows,
                         .targets = ids + 1};
    double loss = 0.0;
    assert_int_equal(llm_workspace_loss(frozen.ws, &batch, &loss, &err), 0);
    double theirs = json_number_value(json_object_get(golden, "mean_nll"));
    assert_true(fabs(loss / (double)(count - 1) - theirs) <= 1e-5);

    size_t vocab = llm_model_shape(frozen.model)->vocab;
    float *logits = malloc(vocab * sizeof *logits);
    assert_int_equal(llm_workspace_logits(frozen.ws, &batch, &rows[count - 1], 1, logits, &err), 0);
    compare(json_object_get(golden, "logits_last"), logits, vocab);
    free(logits);
    frozen_close(&frozen);
    json_decref(golden);
}

static void tinystories_generates_the_reference_tokens(void **state)
{
    (void)state;
    fmq_error_t err;
    char directory[512];
    asset(directory, "models/TinyStories-656K");
    json_t *golden = load(directory, "golden_numpy_f64.json");
    frozen_t frozen;
    frozen_open(&frozen, directory);
    int32_t ids[TOKENS];
    size_t count = read_ids(json_object_get(golden, "ids"), ids);
    llm_generator_t *generator =
        llm_generator_new(frozen.model, frozen.adapter, TOKENS, frozen.be, &err);
    assert_non_null(generator);
    const int32_t end = 2;
    llm_sampling_t greedy = {.new_tokens_max = TOKENS, .top_p = 1.0, .ends = &end, .ends_size = 1};
    /* From one token, from some, and from all but one. */
    const size_t prompts[] = {1, 7, count - 1};
    for (size_t i = 0; i < sizeof prompts / sizeof *prompts; i++) {
        llm_ids_t out = {0};
        assert_int_equal(llm_generator_run(generator, ids, prompts[i], &greedy, &out, &err), 0);
        assert_int_equal(out.size, count - prompts[i]);
        assert_memory_equal(out.ids, ids + prompts[i], out.size * sizeof *ids);
        llm_ids_release(&out);
    }
    llm_generator_destroy(&generator);
    frozen_close(&frozen);
    json_decref(golden);
}

/* The fixture has no config.json: the golden file says what belongs into it. */
static void write_config(const json_t *golden, const char *directory)
{
    fmq_error_t err;
    char path[1024];
    json_t *config = json_deep_copy(json_object_get(golden, "config"));
    assert_int_equal(json_object_set_new(config, "model_type", json_string("gpt2")), 0);
    (void)snprintf(path, sizeof path, "%s/config.json", directory);
    if (llm_json_save(config, path, &err) < 0)
        fail_msg("%s", err.text);
    json_decref(config);
}

static void a_tiny_gpt2_has_the_logits_of_pytorch(void **state)
{
    (void)state;
    fmq_error_t err;
    char source[512], weights[1024], link[600], config[600], directory[] = "/tmp/fedmq-gpt2-XXXXXX";
    asset(source, "fixtures/loractl-tiny-gpt2");
    json_t *golden = load(source, "gpt2_tiny_golden.json");
    assert_non_null(mkdtemp(directory));
    (void)snprintf(weights, sizeof weights, "%s/model.safetensors", source);
    char *target = realpath(weights, NULL);
    assert_non_null(target);
    (void)snprintf(link, sizeof link, "%s/model.safetensors", directory);
    (void)snprintf(config, sizeof config, "%s/config.json", directory);
    assert_int_equal(symlink(target, link), 0);
    write_config(golden, directory);

    frozen_t frozen;
    frozen_open(&frozen, directory);
    int32_t ids[TOKENS], rows[TOKENS];
    size_t count = read_ids(json_object_get(golden, "input_ids"), ids);
    for (size_t i = 0; i < count; i++)
        rows[i] = (int32_t)i;
    uint32_t starts[] = {0, (uint32_t)count};
    llm_batch_t batch = {.sequences = 1, .starts = starts, .ids = ids};
    size_t elements = count * llm_model_shape(frozen.model)->vocab;
    float *logits = malloc(elements * sizeof *logits);
    assert_int_equal(llm_workspace_logits(frozen.ws, &batch, rows, count, logits, &err), 0);
    compare(json_object_get(golden, "logits"), logits, elements);
    free(logits);
    frozen_close(&frozen);
    json_decref(golden);
    free(target);
    assert_int_equal(unlink(link) | unlink(config) | rmdir(directory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tinystories_has_the_reference_loss_and_logits),
        cmocka_unit_test(tinystories_generates_the_reference_tokens),
        cmocka_unit_test(a_tiny_gpt2_has_the_logits_of_pytorch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
