/*
 * curve.c - the losses of LoRA steps on a device beside those of the CPU in
 * floats: in floats they agree to 1e-4, in bf16 to 2e-2, every step of them; and
 * a second run of the device gives the same bits.
 *
 * Usage: curve DEVICE [STEPS]
 *
 * The model is a small LLaMA of random weights, its batch a few packed
 * sequences that repeat, so that the loss falls.  Status 1: they do not agree.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/llm/workspace.h"
#include "tests/bench/shapes.h"

#define SEQUENCES 3
#define STEPS_MAX 500

static const uint32_t starts[SEQUENCES + 1] = {0, 37, 38, 96};

typedef struct {
    int32_t ids[97], rows[96];
    llm_batch_t batch;
} scene_t;

static _Noreturn void die(const char *what, const fmq_error_t *err)
{
    (void)fprintf(stderr, "curve: %s: %s\n", what, err->text);
    exit(3);
}

static llm_shape_t small_llama(void)
{
    llm_shape_t shape;
    (void)bench_shape_find("llama-135m", &shape);
    shape.layers = 3;
    shape.width = 96;
    shape.heads = 6;
    shape.kv_heads = 3;
    shape.head_width = 16;
    shape.ffn = 176;
    shape.vocab = 301; /* rows of logits begin at odd places */
    shape.bos = shape.eos = 1;
    return shape;
}

static void scene_init(scene_t *self)
{
    for (int t = 0; t < 97; t++)
        self->ids[t] = 2 + t % 13 * 7;
    for (int t = 0; t < 96; t++)
        self->rows[t] = t;
    self->batch = (llm_batch_t){.sequences = SEQUENCES,
                                .starts = starts,
                                .ids = self->ids,
                                .supervised = 96,
                                .rows = self->rows,
                                .targets = self->ids + 1};
}

static double step(llm_workspace_t *ws, const scene_t *scene, float *moments, uint32_t number)
{
    llm_backend_t *be = llm_workspace_backend(ws);
    size_t n = (size_t)llm_workspace_elements(ws);
    fmq_error_t err;
    double loss = 0.0;
    llm_adam_t how = {.lr = 5e-3f,
                      .beta1 = 0.9f,
                      .beta2 = 0.999f,
                      .eps = 1e-8f,
                      .decoupled = true,
                      .step = number};
    be->ops->zero(be, llm_workspace_grads(ws), n * sizeof(float));
    if (llm_workspace_train(ws, &scene->batch, 1.0f / 96, NULL, &loss, &err) < 0)
        die("step", &err);
    be->ops->adam_step(be, llm_workspace_params(ws), moments, moments + n, NULL,
                       llm_workspace_grads(ws), n, &how);
    return loss / 96;
}

static void train(llm_workspace_t *ws, llm_adapter_t *adapter, const llm_model_t *model,
                  double *losses, int steps)
{
    llm_backend_t *be = llm_workspace_backend(ws);
    size_t n = (size_t)llm_workspace_elements(ws);
    fmq_error_t err;
    scene_t scene;
    scene_init(&scene);
    float *vector = malloc(n * sizeof *vector);
    float *moments = be->ops->alloc(be, 2 * n * sizeof(float));
    if (!vector || !moments || llm_adapter_init(adapter, model, 1, vector, &err) < 0 ||
        llm_workspace_set_params(ws, vector, &err) < 0)
        exit(3);
    be->ops->zero(be, moments, 2 * n * sizeof(float));
    for (int i = 0; i < steps; i++)
        losses[i] = step(ws, &scene, moments, (uint32_t)i + 1);
    be->ops->release(be, moments);
    free(vector);
}

static void curve(const char *device, double *losses, int steps)
{
    fmq_error_t err;
    llm_shape_t shape = small_llama();
    llm_limits_t limits = {.tokens_max = 96, .training = true};
    llm_adapter_spec_t spec = bench_lora(&shape, 0);
    llm_backend_t *be = llm_backend_open(device, 2, &err);
    llm_model_t *model = be ? llm_model_new_random(&shape, 1, be, &err) : NULL;
    llm_adapter_t *adapter = model ? llm_adapter_new(&shape, &spec, &err) : NULL;
    llm_workspace_t *ws = adapter ? llm_workspace_new(model, adapter, &limits, be, &err) : NULL;
    if (!ws)
        die(device, &err);
    train(ws, adapter, model, losses, steps);
    llm_workspace_destroy(&ws);
    llm_adapter_destroy(&adapter);
    llm_model_destroy(&model);
    llm_backend_destroy(&be);
}

/* The largest difference of a step, as a share of the loss. */
static double worst(const double *losses, const double *expected, int steps)
{
    double most = 0.0;
    for (int i = 0; i < steps; i++) {
        double difference = fabs(losses[i] - expected[i]) / expected[i];
        most = difference <= most ? most : difference; /* NaN is larger */
    }
    return most;
}

int main(int argc, char **argv)
{
    static double cpu[STEPS_MAX], one[STEPS_MAX], other[STEPS_MAX];
    static const struct {
        const char *suffix;
        double allowed;
    } types[] = {{":f32", 1e-4}, {":bf16", 2e-2}};
    int steps = argc > 2 ? atoi(argv[2]) : 50, wrong = 0;
    if (argc < 2 || steps < 2 || steps > STEPS_MAX) {
        (void)fprintf(stderr, "usage: curve DEVICE [STEPS, 2..%d]\n", STEPS_MAX);
        return 2;
    }
    curve("cpu", cpu, steps);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        char device[128];
        (void)snprintf(device, sizeof device, "%.100s%s", argv[1], types[i].suffix);
        curve(device, one, steps);
        curve(device, other, steps);
        double most = worst(one, cpu, steps);
        bool same = memcmp(one, other, (size_t)steps * sizeof *one) == 0;
        bool falls = one[steps - 1] < one[0];
        bool right = most <= types[i].allowed && same && falls;
        printf("%s: %d steps, loss %.4f to %.4f (CPU: %.4f to %.4f), %.1e apart at most, %.0e "
               "allowed; %s\n",
               device, steps, one[0], one[steps - 1], cpu[0], cpu[steps - 1], most,
               types[i].allowed, same ? "the same bits again" : "other bits in a second run");
        wrong += !right;
    }
    return wrong ? 1 : 0;
}
