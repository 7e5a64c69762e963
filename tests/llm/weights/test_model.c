/*
 * test_model.c - opening models: names with and without prefix, tied heads
 * under either name, what is refused; random weights; digests.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fedmq/llm/hub.h"
#include "llm/weights/parameter.h"
#include "tests/llm/pass/tiny.h"

/* A model directory that a test fills; both files are removed at the end. */
typedef struct {
    char path[64], config[128], tensors[128];
    llm_backend_t *be;
} directory_t;

static void directory_init(directory_t *self)
{
    (void)snprintf(self->path, sizeof self->path, "/tmp/fedmq-model-XXXXXX");
    assert_non_null(mkdtemp(self->path));
    (void)snprintf(self->config, sizeof self->config, "%s/config.json", self->path);
    (void)snprintf(self->tensors, sizeof self->tensors, "%s/model.safetensors", self->path);
    self->be = llm_backend_reference_new(NULL);
}

static void directory_release(directory_t *self)
{
    (void)unlink(self->config);
    (void)unlink(self->tensors);
    assert_int_equal(rmdir(self->path), 0);
    llm_backend_destroy(&self->be);
}

/* How a directory's tensors differ from what our own files look like. */
typedef struct {
    const char *strip;   /* removed from the front of names */
    const char *rename;  /* this tensor ... */
    const char *to;      /* ... gets this name, or is left out when NULL */
    const char *reshape; /* this tensor gets its extents swapped or cut */
    fmq_dtype_t dtype;
} change_t;

static const char *changed_name(const change_t *change, const char *name)
{
    if (change->rename && strcmp(name, change->rename) == 0)
        return change->to;
    size_t size = change->strip ? strlen(change->strip) : 0;
    return size && strncmp(name, change->strip, size) == 0 ? name + size : name;
}

/* Writes the random model of this shape and seed with changes. */
static void write_model(const directory_t *self, const llm_shape_t *shape, const change_t *change)
{
    fmq_error_t err;
    llm_parameters_t parameters;
    llm_model_t *model = llm_model_new_random(shape, 9, self->be, &err);
    assert_int_equal(llm_parameters_init(&parameters, shape, &err), 0);
    llm_tensor_out_t *out = calloc(parameters.size, sizeof *out);
    char(*names)[FMQ_SCHEMA_NAME_MAX] = calloc(parameters.size, sizeof *names);
    size_t count = 0;
    for (size_t i = 0; i < parameters.size; i++) {
        const llm_parameter_t *parameter = &parameters.items[i];
        float *data = malloc(parameter->count * sizeof *data);
        llm_parameter_name(shape, parameter, names[i]);
        assert_int_equal(llm_model_read(model, names[i], data, &err), 0);
        const char *name = changed_name(change, names[i]);
        out[count] = (llm_tensor_out_t){name, change->dtype, parameter->rank, {0}, data};
        memcpy(out[count].shape, parameter->shape, sizeof parameter->shape);
        if (change->reshape && strcmp(names[i], change->reshape) == 0) {
            out[count].shape[0] = parameter->shape[1];
            out[count].shape[1] = parameter->shape[0];
        }
        if (name)
            count++;
        else
            free(data);
    }
    assert_int_equal(llm_shape_save(shape, self->config, &err), 0);
    if (llm_safetensors_save(self->tensors, out, count, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)out[i].data);
    free(out);
    free(names);
    llm_parameters_release(&parameters);
    llm_model_destroy(&model);
}

/* Loss of the shared batch under a model without an adapter. */
static double loss_of(const llm_model_t *model, llm_backend_t *be)
{
    fmq_error_t err;
    tiny_batch_t batch = {0};
    llm_adapter_spec_t none = {.kind = LLM_ADAPTER_NONE};
    llm_limits_t limits = {.tokens_max = TINY_TOKENS};
    tiny_batch_init(&batch);
    llm_adapter_t *adapter = llm_adapter_new(llm_model_shape(model), &none, &err);
    llm_workspace_t *ws = llm_workspace_new(model, adapter, &limits, be, &err);
    assert_non_null(ws);
    double loss = 0.0;
    assert_int_equal(llm_workspace_loss(ws, &batch.batch, &loss, &err), 0);
    llm_workspace_destroy(&ws);
    llm_adapter_destroy(&adapter);
    return loss;
}

static void check_opens(const llm_shape_t *shape, const change_t *change)
{
    fmq_error_t err;
    directory_t directory;
    directory_init(&directory);
    write_model(&directory, shape, change);
    llm_model_t *random = llm_model_new_random(shape, 9, directory.be, &err);
    llm_model_t *opened = llm_model_open(directory.path, directory.be, &err);
    if (!opened)
        fail_msg("%s", err.text);
    assert_string_equal(llm_model_directory(opened), directory.path);
    assert_string_equal(llm_model_directory(random), "");
    assert_true(llm_model_bytes(opened) >= llm_shape_parameters(shape) * sizeof(float));
    double difference = fabs(loss_of(opened, directory.be) - loss_of(random, directory.be));
    assert_true(difference <= (change->dtype == FMQ_F32 ? 0.0 : 1e-1));
    fmq_digest_t a = llm_model_digest(opened), b = llm_model_digest(random);
    assert_int_equal(fmq_digest_equal(&a, &b), change->dtype == FMQ_F32);
    llm_model_destroy(&opened);
    llm_model_destroy(&random);
    directory_release(&directory);
}

static void models_open_with_and_without_their_prefix(void **state)
{
    (void)state;
    llm_shape_t gpt2 = tiny_gpt2(), llama = tiny_llama_biased();
    check_opens(&gpt2, &(change_t){0});
    check_opens(&gpt2, &(change_t){.strip = "transformer."});
    check_opens(&llama, &(change_t){0});
    check_opens(&llama, &(change_t){.strip = "model."});
}

static void a_tied_head_is_found_under_either_name(void **state)
{
    (void)state;
    llm_shape_t gpt2 = tiny_gpt2(), llama = tiny_llama();
    check_opens(&gpt2, &(change_t){.rename = "transformer.wte.weight", .to = "lm_head.weight"});
    check_opens(&llama, &(change_t){.rename = "model.embed_tokens.weight", .to = "lm_head.weight"});
}

static void half_precision_weights_open_and_have_another_digest(void **state)
{
    (void)state;
    llm_shape_t gpt2 = tiny_gpt2(), llama = tiny_llama();
    check_opens(&gpt2, &(change_t){.dtype = FMQ_BF16});
    check_opens(&llama, &(change_t){.dtype = FMQ_F16});
}

static void refuse(const llm_shape_t *shape, const change_t *change, fmq_error_code_t code,
                   const char *subject)
{
    fmq_error_t err = {0};
    directory_t directory;
    directory_init(&directory);
    write_model(&directory, shape, change);
    assert_null(llm_model_open(directory.path, directory.be, &err));
    assert_int_equal(err.code, code);
    if (!strstr(err.text, subject) || !strstr(err.text, directory.path))
        fail_msg("the error says '%s'", err.text);
    err.code = FMQ_OK;
    assert_null(llm_model_open(directory.path, NULL, &err)); /* not when it is first used */
    assert_int_equal(err.code, code);
    directory_release(&directory);
}

static void missing_and_misshapen_tensors_are_refused_by_name(void **state)
{
    (void)state;
    llm_shape_t gpt2 = tiny_gpt2(), untied = tiny_llama_biased();
    refuse(&gpt2, &(change_t){.rename = "transformer.h.1.ln_2.bias"}, FMQ_ERR_NOTFOUND,
           "transformer.h.1.ln_2.bias");
    refuse(&untied, &(change_t){.rename = "lm_head.weight"}, FMQ_ERR_NOTFOUND, "lm_head.weight");
    refuse(&untied, &(change_t){.rename = "model.layers.0.self_attn.o_proj.bias"}, FMQ_ERR_NOTFOUND,
           "self_attn.o_proj.bias");
    refuse(&gpt2, &(change_t){.reshape = "transformer.h.0.attn.c_attn.weight"}, FMQ_ERR_MISMATCH,
           "c_attn");
}

static void a_directory_without_a_model_is_refused(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    llm_backend_t *be = llm_backend_reference_new(&err);
    assert_null(llm_model_open("/nowhere/at/all", be, &err));
    assert_non_null(strstr(err.text, "/nowhere/at/all"));
    llm_backend_destroy(&be);
}

static void random_models_depend_on_their_seed_and_shape_alone(void **state)
{
    (void)state;
    fmq_error_t err;
    llm_backend_t *be = llm_backend_reference_new(&err);
    llm_shape_t shape = tiny_gpt2(), other = tiny_gpt2();
    other.norm_eps = 1e-6f;
    llm_model_t *models[] = {
        llm_model_new_random(&shape, 1, be, &err), llm_model_new_random(&shape, 1, be, &err),
        llm_model_new_random(&shape, 2, be, &err), llm_model_new_random(&other, 1, be, &err)};
    fmq_digest_t first = llm_model_digest(models[0]);
    for (size_t i = 0; i < 4; i++) {
        fmq_digest_t digest = llm_model_digest(models[i]);
        assert_int_equal(fmq_digest_equal(&first, &digest), i < 2);
    }
    assert_true(loss_of(models[0], be) == loss_of(models[1], be));
    for (size_t i = 0; i < 4; i++)
        llm_model_destroy(&models[i]);
    llm_backend_destroy(&be);
}

static void random_weights_have_gpt2s_deviations(void **state)
{
    (void)state;
    fmq_error_t err;
    llm_backend_t *be = llm_backend_reference_new(&err);
    llm_shape_t shape = tiny_gpt2();
    shape.vocab = 2000;
    llm_model_t *model = llm_model_new_random(&shape, 1, be, &err);
    static const struct {
        const char *name;
        size_t count;
        double deviation, mean;
    } expected[] = {
        {"transformer.wte.weight", 2000 * 16, 0.02, 0.0},
        {"transformer.h.1.attn.c_attn.weight", 16 * 48, 0.02, 0.0},
        {"transformer.h.1.attn.c_proj.weight", 16 * 16, 0.01, 0.0}, /* 0.02 / sqrt(2 * 2) */
        {"transformer.h.0.mlp.c_proj.weight", 24 * 16, 0.01, 0.0},
        {"transformer.ln_f.weight", 16, 0.0, 1.0},
        {"transformer.h.0.mlp.c_fc.bias", 24, 0.0, 0.0},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        size_t n = expected[i].count;
        float *values = malloc(n * sizeof *values);
        assert_int_equal(llm_model_read(model, expected[i].name, values, &err), 0);
        double sum = 0.0, squares = 0.0;
        for (size_t k = 0; k < n; k++) {
            sum += (double)values[k];
            squares += pow((double)values[k] - expected[i].mean, 2.0);
        }
        double slack = expected[i].deviation * 5.0 / sqrt((double)n);
        assert_true(fabs(sum / (double)n - expected[i].mean) <= slack);
        assert_true(fabs(sqrt(squares / (double)n) - expected[i].deviation) <= slack);
        free(values);
    }
    float value;
    assert_int_equal(llm_model_read(model, "transformer.nothing", &value, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_NOTFOUND);
    llm_model_destroy(&model);
    llm_backend_destroy(&be);
}

static void the_list_of_tensors_has_as_many_elements_as_the_shape_says(void **state)
{
    (void)state;
    fmq_error_t err;
    llm_shape_t shapes[] = {tiny_gpt2(), tiny_llama(), tiny_llama_biased()};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        llm_parameters_t parameters;
        uint64_t elements = 0;
        assert_int_equal(llm_parameters_init(&parameters, &shapes[i], &err), 0);
        for (size_t k = 0; k < parameters.size; k++)
            elements += parameters.items[k].count;
        assert_int_equal(elements, llm_shape_parameters(&shapes[i]));
        llm_parameters_release(&parameters);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_open_with_and_without_their_prefix),
        cmocka_unit_test(a_tied_head_is_found_under_either_name),
        cmocka_unit_test(half_precision_weights_open_and_have_another_digest),
        cmocka_unit_test(missing_and_misshapen_tensors_are_refused_by_name),
        cmocka_unit_test(a_directory_without_a_model_is_refused),
        cmocka_unit_test(random_models_depend_on_their_seed_and_shape_alone),
        cmocka_unit_test(random_weights_have_gpt2s_deviations),
        cmocka_unit_test(the_list_of_tensors_has_as_many_elements_as_the_shape_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
